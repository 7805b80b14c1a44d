"""`mailassay key`, with two authoritative servers of the zone on loopback."""

import json
import os
import pwd
import re
import stat
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mailassay.cli import key_world, main
from mailassay.config import load
from mailassay.domain import Domain
from mailassay.key import adding, making, ring
from mailassay.key import folder as folders
from mailassay.key.adding import Wanted
from mailassay.key.ring import State
from mailassay.key.rotation import KEEP
from mailassay.sign import Sign, keys, permissions
from tests.lab.authority import MINIMUM, NAMES, TTL, authority
from tests.lab.program import ENVIRONMENT, PROGRAM, fits
from tests.lab.sign import ed25519_key
from tests.lab.signing import DOMAIN, dkimpy_says, finished, on_top, pem, records, write

NAME = Domain(DOMAIN)
START = 1_800_000_000  # in January 2027
DAY = 86_400
WAIT = max(TTL, min(TTL, MINIMUM))


class Host:
    """A host with a folder for keys; the command runs in this process, at a time that does not pass by itself."""

    def __init__(self, folder, capsys, monkeypatch):
        self.folder, self.now, self._capsys = folder, START, capsys
        self.keys = folder / "keys"
        self.slept = []
        self.dns = None
        self.configure()
        monkeypatch.setenv("COLUMNS", "1000")
        monkeypatch.setattr(key_world, "now", lambda: self.now)
        monkeypatch.setattr(key_world, "sleep", self.sleep)
        self._monkeypatch = monkeypatch

    def configure(self, domains=""):
        """Write mailassay.yaml; ``domains`` as in sign.domains."""
        server = f"127.0.0.1:{self.dns.resolver.port}" if self.dns else "127.0.0.1:9"
        text = f"dns: {{nameservers: ['{server}'], timeout: 0.3}}\nsign:\n  directory: {self.keys}\n"
        self.config = self.folder / "mailassay.yaml"
        self.config.write_text(f"{text}  domains: {{{domains}}}\n")

    def use(self, dns):
        self.dns = dns
        self._monkeypatch.setattr(key_world, "PORT", dns.port)
        self.configure()

    def sleep_by(self, sleep):
        """Wait in another way."""
        self._monkeypatch.setattr(key_world, "sleep", sleep)

    def sleep(self, seconds):
        assert 0 < seconds <= 60
        self.slept.append(seconds)
        self.now += int(seconds)

    def run(self, *words):
        """The exit status, and what was printed."""
        try:
            status = main(["key", *words, "--config", str(self.config)])
        except SystemExit as end:
            status = end.code
        printed = self._capsys.readouterr()
        self.out, self.err = printed.out, printed.err
        assert "PRIVATE" not in self.out + self.err
        return status

    def json(self, *words):
        """What is printed for programs."""
        self.status = self.run(*words, "--json")
        return json.loads(self.out)

    def check(self, *words):
        """The codes of what is wrong, each with its selector and severity."""
        found = self.json("check", *words)
        [domain] = [each for each in found["domains"] if each["domain"] == DOMAIN]
        self.findings = domain["findings"]
        return {(each["severity"], each["code"], each["selector"]) for each in self.findings}

    def ring(self):
        return ring.load(str(self.keys), NAME)

    def states(self):
        return {selector: kept.state.value for selector, kept in self.ring().keys.items()}

    def publish(self, **more):
        """Publish the records of all keys that are not revoked, and others by selector; None leaves one out."""
        found = {each.selector: each.record for each in self.ring().keys.values() if each.state is not State.REVOKED}
        found |= more
        lines = []
        for selector, value in found.items():
            for each in [value] if isinstance(value, str) else value or []:
                lines.append(f'{selector}._domainkey.{DOMAIN} TXT "{each}"')
        self.dns.publish(*lines)
        return lines


@pytest.fixture
def host(tmp_path, capsys, monkeypatch):
    return Host(tmp_path, capsys, monkeypatch)


@pytest.fixture(scope="module")
def servers():
    with authority() as found:
        yield found


@pytest.fixture
def online(host, servers):
    """The host, with DNS."""
    servers.publish()
    for each in servers.servers.values():
        each.mode = "ok"
    host.use(servers)
    return host


def active(host, algorithm="both"):
    """Keys that sign by the file of keys."""
    assert host.run("new", DOMAIN, "--algorithm", algorithm) == 0
    host.publish()
    assert host.run("rotate", DOMAIN, "--wait") == 0
    host.configure(f"{DOMAIN}: active")


# --- new


def test_new_makes_both_keys_and_prints_their_records(host):
    assert host.run("new", DOMAIN) == 0
    first, second = (keys.read(str(host.keys), NAME, each) for each in ("2027a", "2027b"))
    assert (first.algorithm, second.algorithm) == ("rsa-sha256", "ed25519-sha256")
    for each in (first, second):
        assert f"    {each.selector}._domainkey.{DOMAIN}\n    {each.record}\n" in host.out
        assert f"{each.selector}._domainkey.{DOMAIN}. IN TXT" in host.out
    assert f"mailassay key rotate {DOMAIN}" in host.out
    assert host.states() == {"2027a": "prepared", "2027b": "prepared"}
    # the next ones
    assert host.run("new", DOMAIN) == 0
    assert [*host.states()] == ["2027a", "2027b", "2027c", "2027d"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to any group")
def test_files_are_for_root_and_the_group_of_the_folder(host):
    host.keys.mkdir(mode=0o750)
    os.chown(host.keys, -1, 12345)
    before = os.umask(0)
    try:
        assert host.run("new", DOMAIN) == 0
    finally:
        os.umask(before)
    for place, mode in ((".", 0o750), ("2027a.pem", 0o640), ("2027b.pem", 0o640), ("keys.json", 0o640)):
        found = (host.keys / DOMAIN / place).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, 0, 12345)
    assert not [*permissions.doubts(str(host.keys / DOMAIN / "2027a.pem"), None)]
    assert sorted(os.listdir(host.keys / DOMAIN)) == ["2027a.pem", "2027b.pem", "keys.json"]


def test_a_key_is_nobody_elses_from_its_first_moment(host, monkeypatch):
    modes = []
    really = os.fsync

    def fsync(descriptor):
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    before = os.umask(0)
    try:
        assert host.run("new", DOMAIN, "--algorithm", "ed25519") == 0
    finally:
        os.umask(before)
    # the content of the key is written before others may read it
    assert modes[0] == 0o600


def test_the_form_of_a_key(host):
    assert host.run("new", DOMAIN, "--algorithm", "rsa", "--bits", "3072", "--selector", "mail.eu") == 0
    octets = (host.keys / DOMAIN / "mail.eu.pem").read_bytes()
    assert octets.startswith(b"-----BEGIN PRIVATE KEY-----")
    key = load_pem_private_key(octets, None)
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 3072


@pytest.mark.parametrize("form", ["bind", "text"])
def test_a_format_prints_the_records_alone(host, form):
    assert host.run("new", DOMAIN, "--algorithm", "ed25519", "--format", form) == 0
    record = keys.read(str(host.keys), NAME, "2027a").record
    name = f"2027a._domainkey.{DOMAIN}"
    assert host.out == (f'{name}. IN TXT "{record}"\n' if form == "bind" else f"{name}\n{record}\n")


def test_new_json(host):
    found = host.json("new", "bücher.example", "--algorithm", "rsa")
    [key] = found["keys"]
    assert found["domain"] == "xn--bcher-kva.example"
    assert (key["selector"], key["algorithm"], key["bits"]) == ("2027a", "rsa", 2048)
    assert key["file"] == str(host.keys / "xn--bcher-kva.example/2027a.pem")
    assert key["record"]["name"] == "2027a._domainkey.xn--bcher-kva.example"
    assert key["record"]["value"] == "".join(key["record"]["strings"])
    assert [len(each) for each in key["record"]["strings"]][:-1] == [255]


def test_nothing_is_overwritten(host):
    host.keys.mkdir()
    write(host.keys, DOMAIN, "2027a", b"theirs")
    assert host.run("new", DOMAIN, "--algorithm", "ed25519") == 0
    assert [*host.states()] == ["2027b"]
    for selector in ("2027a", "2027b", "2027B"):
        assert host.run("new", DOMAIN, "--algorithm", "rsa", "--selector", selector) == os.EX_CANTCREAT
        assert selector in host.err
    assert (host.keys / DOMAIN / "2027a.pem").read_bytes() == b"theirs"


def test_a_selector_that_was_ever_used_is_refused(host):
    """Verifiers may know its old key, even if its file is gone."""
    assert host.run("new", DOMAIN, "--algorithm", "ed25519", "--selector", "old") == 0
    (host.keys / DOMAIN / "old.pem").unlink()
    assert host.run("new", DOMAIN, "--algorithm", "ed25519", "--selector", "old") == os.EX_CANTCREAT
    host.configure(f"{DOMAIN}: [named]")
    assert host.run("new", DOMAIN, "--algorithm", "ed25519", "--selector", "named") == os.EX_CANTCREAT


@pytest.mark.parametrize(
    "words",
    [
        ["--selector", "a"],
        ["--selector", "-a"],
        ["--selector", "../a"],
        ["--algorithm", "dsa"],
        ["--bits", "512"],
        ["--bits", "8192"],
        ["--json", "--format", "bind"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_makes_nothing(host, words):
    assert host.run("new", DOMAIN, *words) == 2
    assert host.err
    assert not host.keys.exists()


@pytest.mark.parametrize("domain", ["org", "192.0.2.1", "*.example.org", "a..example", "../x.example", ""])
def test_a_wrong_domain(host, domain):
    assert host.run("new", domain) == 2
    assert not host.keys.exists()


def test_a_domain_that_is_too_long(host):
    domain = ".".join(["a" * 60] * 4)
    assert host.run("new", domain) == 2
    assert "too long" in host.err
    host.configure(f"{domain}: active")
    assert host.run("rotate", domain) == 2
    assert "too long" in host.err
    assert not [each for each in (host.keys / domain).iterdir() if each.suffix == ".pem"]


def test_if_one_key_fails_there_is_none(tmp_path, monkeypatch):
    sign = Sign(directory=str(tmp_path))
    making.folder(sign.directory, NAME)
    found = folders.look(sign, NAME, START)

    def full(*_):
        raise OSError(28, "No space left on device", "keys.json")

    monkeypatch.setattr(ring, "save", full)
    with pytest.raises(OSError, match="No space"):
        adding.add(found, [Wanted("ed25519"), Wanted("ed25519")], START)
    assert os.listdir(tmp_path / DOMAIN) == []
    # a file that somebody else makes meanwhile is theirs
    monkeypatch.undo()
    write(tmp_path, DOMAIN, "2027b", b"theirs")
    with pytest.raises(making.Exists):
        adding.add(found, [Wanted("ed25519"), Wanted("ed25519")], START, ["2027a", "2027b"])
    assert os.listdir(tmp_path / DOMAIN) == ["2027b.pem"]


def test_no_link_is_followed(tmp_path):
    (tmp_path / DOMAIN).mkdir()
    (tmp_path / DOMAIN / "a.pem").symlink_to(tmp_path / "other")
    with pytest.raises(making.Exists):
        making.make(str(tmp_path), NAME, "a", "ed25519")
    assert not (tmp_path / "other").exists()


def test_a_damaged_file_of_keys_is_not_replaced(host):
    assert host.run("new", DOMAIN, "--algorithm", "ed25519") == 0
    place = host.keys / DOMAIN / "keys.json"
    place.write_text("{")
    for words in (["new", DOMAIN], ["list"], ["rotate", DOMAIN], ["retire", DOMAIN, "2027a"]):
        assert host.run(*words) == os.EX_CONFIG
        assert f"{place}: it is damaged" in host.err
    assert place.read_text() == "{"
    assert host.run("check") == 1
    assert "it is damaged" in host.out
    host.configure(f"{DOMAIN}: active")
    assert host.run("check") == 2


def test_only_one_command_at_a_time(host):
    assert host.run("new", DOMAIN, "--algorithm", "ed25519") == 0
    with ring.locked(str(host.keys), NAME):
        for words in (["new", DOMAIN], ["retire", DOMAIN, "2027a"]):
            assert host.run(*words) == os.EX_TEMPFAIL
            assert "another process" in host.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.process
def test_without_root(tmp_path):
    """What cannot be done is said, and the file is not opened to more users than before."""
    nobody = pwd.getpwnam("nobody")
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o770)
    os.chown(folder, nobody.pw_uid, 12345)
    for each in (tmp_path, *tmp_path.parents[:-2]):
        each.chmod(each.stat().st_mode | 0o755)
    config = tmp_path / "mailassay.yaml"
    config.write_text(f"sign: {{directory: {folder}}}\n")
    command = [sys.executable, "-m", "tests.lab.unprivileged", "key"]

    def run(*words):
        done = subprocess.run([*command, *words, "--config", str(config)], capture_output=True, text=True)
        return done.returncode, done.stderr

    status, said = run("new", DOMAIN, "--algorithm", "ed25519")
    made = folder / DOMAIN / f"{time.gmtime().tm_year}a.pem"
    assert status == 0
    for place, mode in ((made.parent, "0750"), (made, "0640")):
        assert f"as root: chgrp 12345 {place} && chmod {mode} {place}" in said
        assert not stat.S_IMODE(place.stat().st_mode) & 0o077
    os.chown(folder, 0, 0)
    folder.chmod(0o700)
    for words in (["new", "b.example"], ["list"], ["check"], ["rotate", DOMAIN]):
        status, said = run(*words)
        assert (status, "run this as root" in said) == (os.EX_NOPERM, True), (words, said)


# --- a rotation


MESSAGE = b"From: alice@example.org\r\nTo: bob@example.net\r\nSubject: hi\r\n\r\nHello\r\n"


def test_the_keys_that_are_made_sign_and_others_verify(online):
    """By the records that were printed."""
    host = online
    found = host.json("new", DOMAIN)
    printed = {each["record"]["name"]: each["record"]["value"] for each in found["keys"]}
    host.dns.publish(*(f'{name} TXT "{value}"' for name, value in printed.items()))
    assert host.run("rotate", DOMAIN, "--wait") == 0
    host.configure(f"{DOMAIN}: active")
    settings = load(str(host.config), keys=True)
    signed = finished(settings, MESSAGE)
    assert signed.by == (f"{DOMAIN}/2027a", f"{DOMAIN}/2027b")
    assert records(settings) == printed
    assert dkimpy_says(settings, on_top(signed, MESSAGE)) == [True, True]


def test_a_rotation(online):
    host = online
    active(host)
    assert host.states() == {"2027a": "active", "2027b": "active"}
    assert [each.selector for each in load(str(host.config), keys=True).signing_keys[NAME]] == ["2027a", "2027b"]
    # a rotation is done, so nothing is made by chance
    host.now += 100 * DAY
    assert host.run("rotate", DOMAIN) == 1
    assert "2027c._domainkey" in host.out
    assert host.states() == {"2027a": "active", "2027b": "active", "2027c": "prepared", "2027d": "prepared"}
    # not yet in DNS
    assert host.run("rotate", DOMAIN) == 1
    assert "2027c cannot be active yet" in host.out
    assert "2027c._domainkey" in host.out
    assert len(host.states()) == 4
    # at one server
    lines = host.publish()
    host.dns.publish(*lines[:2], at=NAMES[1])
    assert host.run("rotate", DOMAIN) == 1
    assert f"there is no record at {NAMES[1]}" in host.out
    assert NAMES[0] not in host.out
    # everywhere, but resolvers may not know yet
    host.publish()
    assert host.run("rotate", DOMAIN) == 1
    assert "until 20" in host.out
    host.now += WAIT - 1
    assert host.run("rotate", DOMAIN) == 1
    host.now += 1
    assert host.run("rotate", DOMAIN) == 0
    assert re.search("^Then: .*reload", host.out, re.MULTILINE)
    assert host.states() == {"2027a": "retired", "2027b": "retired", "2027c": "active", "2027d": "active"}
    assert [each.selector for each in load(str(host.config), keys=True).signing_keys[NAME]] == ["2027c", "2027d"]
    # safe to repeat
    for _ in range(3):
        assert host.run("rotate", DOMAIN) == 0
        assert "the keys were replaced" in host.out
    assert len(host.states()) == 4


def test_a_rotation_that_waits(online):
    host = online
    active(host, "ed25519")
    host.now += 30 * DAY
    published = []

    def sleep(seconds):
        host.sleep(seconds)
        if len(host.slept) == 3:
            published.append(host.publish())

    host._monkeypatch.setattr(key_world, "sleep", sleep)
    host.slept = []
    assert host.run("rotate", DOMAIN, "--wait") == 0
    assert len(published) == 1
    assert host.states() == {"2027a": "retired", "2027b": "active"}
    # three looks until it is published, then the TTL
    assert sum(host.slept[3:]) == WAIT
    assert "waits for the records in DNS" in host.err
    assert "2027b: resolvers may still have an older answer" in host.err


def test_a_rotation_with_a_list_in_the_configuration(online):
    """The command prints the new line, and changes nothing that decides who signs."""
    host = online
    host.keys.mkdir()
    write(host.keys, DOMAIN, "x", pem("rsa"))
    write(host.keys, DOMAIN, "y", pem("ed25519"))
    host.configure(f"{DOMAIN}: [x, y]")
    assert host.run("rotate", DOMAIN) == 1
    assert host.states() == {"x": "active", "y": "active", "2027a": "prepared", "2027b": "prepared"}
    host.publish()
    assert host.run("rotate", DOMAIN, "--wait") == 0
    for _ in range(2):
        assert f"    {DOMAIN}: [2027a, 2027b]\n" in host.out
        assert host.states() == {"x": "active", "y": "active", "2027a": "published", "2027b": "published"}
        assert host.run("rotate", DOMAIN) == 0
    host.configure(f"{DOMAIN}: [2027a, 2027b]")
    assert host.run("check") == 0
    assert host.states() == {"x": "retired", "y": "retired", "2027a": "active", "2027b": "active"}
    # the list decides, even back
    host.configure(f"{DOMAIN}: [x, y]")
    assert host.run("check") == 0
    assert host.states() == {"x": "active", "y": "active", "2027a": "retired", "2027b": "retired"}
    # and then the file
    host.configure(f"{DOMAIN}: active")
    assert [each.selector for each in load(str(host.config), keys=True).signing_keys[NAME]] == ["x", "y"]


def test_the_first_keys_are_not_active_before_dns_has_them(online):
    host = online
    assert host.run("new", DOMAIN) == 0
    assert host.states() == {"2027a": "prepared", "2027b": "prepared"}
    host.now += 365 * DAY
    assert host.run("rotate", DOMAIN) == 1
    host.dns.resolver.mode = "drop"
    assert host.run("rotate", DOMAIN) == 1
    host.dns.resolver.mode = "ok"
    assert host.states() == {"2027a": "prepared", "2027b": "prepared"}
    host.publish()
    assert host.run("rotate", DOMAIN, "--wait") == 0
    assert f"    {DOMAIN}: active\n" in host.out


def test_a_key_without_its_file_is_not_made_active(online):
    host = online
    active(host, "ed25519")
    host.now += 30 * DAY
    assert host.run("rotate", DOMAIN) == 1
    host.publish()
    place = host.keys / DOMAIN / "2027b.pem"
    octets = place.read_bytes()
    place.unlink()
    for _ in range(3):
        host.now += WAIT
        assert host.run("rotate", DOMAIN) == 1
    assert f"{place} does not exist" in host.out
    place.write_bytes(pem("ed25519", "another"))
    assert host.run("rotate", DOMAIN) == 1
    assert "another key" in host.out
    assert host.states()["2027a"] == "active"
    place.write_bytes(octets)
    assert host.run("rotate", DOMAIN) == 0
    assert host.states() == {"2027a": "retired", "2027b": "active"}


# --- retire


def test_retire(online):
    host = online
    active(host)
    assert host.run("retire", DOMAIN, "2027a") == 0
    assert re.search("^Then: .*reload", host.out, re.MULTILINE)
    assert host.states() == {"2027a": "retired", "2027b": "active"}
    assert host.run("retire", DOMAIN, "2027b") == 1
    assert "the only active key" in host.err
    assert host.states()["2027b"] == "active"
    # its record has to stay
    assert host.run("retire", DOMAIN, "2027a") == 1
    assert "has to stay until" in " ".join(host.out.split())
    host.now += KEEP
    assert host.run("retire", DOMAIN, "2027a") == 0
    assert "v=DKIM1; k=rsa; p=\n" in host.out
    assert ("warning", "key-retired", "2027a") in host.check()
    host.publish(**{"2027a": "v=DKIM1; k=rsa; p="})
    assert not [each for each in host.check() if each[2] == "2027a"]
    assert host.states() == {"2027a": "revoked", "2027b": "active"}
    assert host.run("retire", DOMAIN, "2027a") == 0
    assert "of no more use" in host.out
    assert host.run("retire", DOMAIN, "2027b", "--last") == 0
    assert f"take {DOMAIN} out" in host.out
    assert host.states() == {"2027a": "revoked", "2027b": "retired"}


def test_retire_with_a_list_in_the_configuration(host):
    host.keys.mkdir()
    for each in "xy":
        write(host.keys, DOMAIN, each, pem("ed25519", each))
    host.configure(f"{DOMAIN}: [x, y]")
    assert host.run("retire", DOMAIN, "x") == 0
    assert f"    {DOMAIN}: [y]\n" in host.out
    host.configure(f"{DOMAIN}: [y]")
    assert host.run("retire", DOMAIN, "y") == 1
    assert host.run("retire", DOMAIN, "nothing") == 1
    assert host.run("retire", "other.example", "x") == 1


def test_a_key_that_never_signed_may_go_at_once(online):
    host = online
    assert host.run("new", DOMAIN, "--algorithm", "ed25519") == 0
    assert host.run("retire", DOMAIN, "2027a") == 0
    assert host.run("retire", DOMAIN, "2027a") == 0
    assert "p=\n" in host.out
    host.publish(**{"2027a": None})
    host.check(DOMAIN)
    assert host.states() == {"2027a": "revoked"}


def test_a_key_that_seals(online):
    """One that only seals does not begin to sign; one that does both is not revoked while it seals."""
    host = online
    active(host, "ed25519")
    assert host.run("new", DOMAIN, "--algorithm", "rsa", "--selector", "arc") == 0
    write(host.keys, DOMAIN, "other", pem("rsa"))
    domains = host.config.read_text()
    host.config.write_text(f"{domains}  seal: all\n  seal_as: {DOMAIN}/arc\n")
    host.publish()
    host.now += 30 * DAY
    assert host.run("rotate", DOMAIN) == 1
    host.publish()
    assert host.run("rotate", DOMAIN, "--wait") == 0
    states = {"2027a": "retired", "2027b": "active"}
    assert host.states() == {**states, "arc": "published"}
    host.config.write_text(f"{domains}  seal: all\n  seal_as: {DOMAIN}/2027a\n")
    assert ("warning", "key-seals", "2027a") in host.check()
    host.now += KEEP
    assert host.run("retire", DOMAIN, "2027a") == 1
    assert "seals too" in host.out
    assert "p=" not in host.out
    # a key that neither the file of keys nor the list has is known by its use
    host.config.write_text(f"{domains}  seal: all\n  seal_as: {DOMAIN}/other\n")
    assert not [each for each in host.check() if each[1] in ("key-file-unknown", "key-seals")]
    assert host.run("retire", DOMAIN, "2027b", "--last") == 0
    assert "seals too" not in host.out


# --- check


def test_all_is_well(online):
    host = online
    active(host)
    assert host.run("check") == 0
    assert "No problems found" in host.out
    assert host.json("check")["status"] == 0
    assert host.run("check", "--quiet") == 0
    assert (host.out, host.err) == ("", "")


def right(host, selector="2027a"):
    return host.ring().keys[selector].record


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (lambda _: None, ("error", "key-missing", "2027a")),
        (lambda _: ed25519_key().record, ("error", "key-other", "2027a")),
        (lambda _: "v=DKIM1; p=", ("error", "key-revoked", "2027a")),
        (lambda record: f"{record}; s=tlsrpt", ("error", "key-unusable", "2027a")),
        (lambda record: f"{record}; h=sha1", ("error", "key-unusable", "2027a")),
        (lambda record: record[:-40], ("error", "key-unusable", "2027a")),
        (lambda record: [record, "v=spf1 -all"], ("warning", "key-several", "2027a")),
        (lambda record: f"{record}; t=y", ("warning", "key-testing", "2027a")),
    ],
)
def test_what_dns_has_instead_of_an_active_key(online, record, found):
    host = online
    active(host, "rsa")
    host.publish(**{"2027a": record(right(host))})
    assert host.check() == {found}
    assert host.status == (2 if found[0] == "error" else 1)
    [finding] = host.findings
    if found[1] != "key-revoked":
        assert finding["publish"]["value"] == right(host)
    assert finding["fix"]
    assert host.run("check", "--quiet") == host.status
    assert re.search(rf"keys of {DOMAIN}: key 2027a\b.*record", host.err)


def test_servers_that_differ_and_a_server_that_is_down(online):
    host = online
    active(host, "rsa")
    host.dns.publish(at=NAMES[1])
    assert host.check() == {("error", "key-missing", "2027a")}
    [finding] = host.findings
    assert f"at {NAMES[1]}; it is right at {NAMES[0]}" in finding["what"]
    host.publish()
    host.dns.servers[NAMES[1]].mode = "drop"
    assert host.check() == {("warning", "key-unanswered", "2027a")}
    assert NAMES[1] in host.findings[0]["what"]
    host.dns.resolver.mode = "drop"
    assert host.check() == {("warning", "key-unknown", "2027a")}
    host.dns.resolver.mode = "ok"


def test_an_alias_is_a_note(online):
    host = online
    active(host, "rsa")
    host.dns.publish(f"2027a._domainkey.{DOMAIN} CNAME k.{DOMAIN}", f'k.{DOMAIN} TXT "{right(host)}"')
    found = host.check()
    assert host.status == 0
    assert found <= {("note", "key-alias", "2027a")}


def test_a_short_key_and_an_old_one(online):
    host = online
    host.keys.mkdir()
    write(host.keys, DOMAIN, "short", pem("rsa1024"))
    os.utime(host.keys / DOMAIN / "short.pem", (START - 366 * DAY, START - 366 * DAY))
    host.configure(f"{DOMAIN}: short")
    assert host.run("check") == 2
    host.publish()
    assert host.check() == {("warning", "key-short", "short"), ("note", "key-old", "short")}
    assert host.status == 1


def test_an_ed25519_key_alone(online):
    host = online
    active(host, "ed25519")
    assert host.check() == {("warning", "key-ed25519", "")}


def test_a_retired_key_whose_record_is_gone_too_early(online):
    host = online
    active(host)
    assert host.run("retire", DOMAIN, "2027b") == 0
    for gone in (None, "v=DKIM1; k=ed25519; p="):
        host.publish(**{"2027b": gone})
        found = host.check()
        assert ("warning", "key-missing" if gone is None else "key-revoked", "2027b") in found
        assert host.status == 1
        assert host.states()["2027b"] == "retired"
    host.now += KEEP
    assert host.check() == set()
    assert host.states()["2027b"] == "revoked"


def test_a_revoked_key_that_is_used(online):
    host = online
    active(host)
    assert host.run("retire", DOMAIN, "2027b") == 0
    host.now += KEEP
    host.publish(**{"2027b": None})
    assert host.check() == set()
    host.configure(f"{DOMAIN}: [2027a, 2027b]")
    found = host.check()
    assert ("error", "key-revoked", "2027b") in found
    assert host.status == 2
    assert host.states()["2027b"] == "revoked"


def test_prepared_keys_are_no_fault(online):
    host = online
    active(host)
    host.now += 30 * DAY
    host.run("rotate", DOMAIN)
    host.publish(**{"2027c": None, "2027d": None})
    found = host.check()
    assert found == {("note", "key-missing", "2027c"), ("note", "key-missing", "2027d")}
    assert host.status == 0
    host.publish(**{"2027c": ed25519_key().record})
    found = host.check()
    assert ("warning", "key-other", "2027c") in found
    assert ("note", "key-published", "2027d") in found


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"x", "is not a private key"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "is encrypted"),
        (b"-----BEGIN RSA PRIVATE KEY-----\n", "another form than PKCS#8"),
        (None, "does not exist"),
        (pem("ed25519", "other"), "another key"),
    ],
    ids=range(5),
)
def test_files_of_active_keys_that_cannot_be_used(online, octets, said):
    host = online
    active(host, "rsa")
    place = host.keys / DOMAIN / "2027a.pem"
    place.unlink() if octets is None else place.write_bytes(octets)
    assert host.check() == {("error", "key-file", "2027a")}
    assert said in host.findings[0]["what"]
    assert host.status == 2
    assert host.run("list") == 0
    assert said in " ".join(host.out.split())


def test_a_key_that_everybody_can_read(online):
    host = online
    active(host, "rsa")
    place = host.keys / DOMAIN / "2027a.pem"
    place.chmod(0o644)
    assert host.check() == {("warning", "key-permissions", "2027a")}
    assert host.findings[0]["fix"] == f"chmod o-r {place}"


def test_names_without_a_file_and_files_without_a_name(online):
    host = online
    active(host, "rsa")
    write(host.keys, DOMAIN, "theirs", pem("ed25519"))
    (host.keys / DOMAIN / "notes.txt").write_text("")
    (host.keys / DOMAIN / "-x.pem").write_text("")
    host.configure(f"{DOMAIN}: [2027a, missing]")
    assert host.check() == {("error", "key-file", "missing"), ("note", "key-file-unknown", "theirs")}
    found = host.json("list")
    [domain] = found["domains"]
    states = {each["selector"]: (each["state"], each["file"] is None) for each in domain["keys"]}
    assert states == {"2027a": ("active", False), "missing": (None, True), "theirs": (None, False)}


def test_what_is_seen_is_written_down_if_it_can_be(online, monkeypatch):
    host = online
    assert host.run("new", DOMAIN, "--algorithm", "ed25519") == 0
    host.publish()

    def read_only(*_):
        raise OSError(30, "Read-only file system", "keys.json")

    monkeypatch.setattr(ring, "save", read_only)
    assert host.run("check") == 0
    assert "is not written down" in host.out
    assert "Read-only file system" in host.out
    assert host.ring().keys["2027a"].seen is None
    monkeypatch.undo()
    host._monkeypatch.setattr(key_world, "now", lambda: host.now)
    host._monkeypatch.setattr(key_world, "PORT", host.dns.port)
    assert host.run("check") == 0
    assert "written down" not in host.out
    assert host.ring().keys["2027a"].seen.since == START


def test_the_check_of_a_host_that_signs_nothing(host):
    """Not a line a day in its log."""
    assert host.run("check", "--quiet") == 0
    assert (host.out, host.err) == ("", "")
    assert host.run("check") == 0
    assert "nothing to check" in host.out
    assert host.run("list") == 0
    assert "mailassay key new" in host.out


def test_a_domain_that_is_not_in_the_configuration(online):
    host = online
    active(host, "rsa")
    host.configure()
    assert host.check() == {("note", "key-unused", "")}
    # no mail is broken
    host.publish(**{"2027a": None})
    assert host.check() == {("note", "key-unused", ""), ("warning", "key-missing", "2027a")}
    assert host.status == 1
    assert host.run("list") == 0
    assert "nothing signs" in host.out


def test_a_configuration_that_names_active_keys_and_has_none(online):
    host = online
    assert host.run("new", DOMAIN) == 0
    host.publish()
    host.configure(f"{DOMAIN}: active")
    assert ("error", "key-none", "") in host.check()
    assert host.status == 2


def test_a_mistake_elsewhere_in_the_configuration_is_said(online):
    host = online
    active(host, "rsa")
    host.config.write_text(host.config.read_text() + "nonsense: 1\n")
    assert host.run("check") == 1
    assert "unknown key `nonsense`" in host.err
    assert host.run("rotate", DOMAIN) == os.EX_CONFIG


# --- list


def test_list(online):
    host = online
    active(host)
    host.run("retire", DOMAIN, "2027b")
    host.run("new", DOMAIN, "--algorithm", "ed25519")
    assert host.run("list") == 0
    assert f"{DOMAIN}  (signs with 2027a)" in host.out
    assert "2027a         RSA, 2048 bits, active since 2027-01-" in host.out
    assert "2027b         Ed25519, retired since" in host.out
    assert "its record has to stay until" in host.out
    [domain] = host.json("list", DOMAIN)["domains"]
    assert [(each["selector"], each["state"], each["bits"]) for each in domain["keys"]] == [
        ("2027a", "active", 2048),
        ("2027b", "retired", 256),
        ("2027c", "prepared", 256),
    ]
    assert domain["signs"] == ["2027a"]


@pytest.mark.process
def test_the_command_as_a_process(tmp_path):
    config = tmp_path / "mailassay.yaml"
    config.write_text(f"sign: {{directory: {tmp_path}/keys}}\n")
    command = [*PROGRAM, "key", "new", DOMAIN, "--json", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert [each["algorithm"] for each in json.loads(done.stdout)["keys"]] == ["rsa", "ed25519"]
    assert "PRIVATE" not in done.stdout


def test_selectors_go_on_after_z():
    taken = {f"2027{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"}
    found = making.selectors(taken.__contains__, START)
    assert [next(found) for _ in range(28)][::27] == ["2027aa", "2027bb"]


@pytest.mark.parametrize("width", [60, 110])
def test_every_line_fits_the_terminal(online, monkeypatch, width):
    """But for records, commands and paths, which can be copied."""
    host, domain = online, f"{'a' * 30}-{'b' * 29}.example"
    monkeypatch.setenv("COLUMNS", str(width))
    host.keys.mkdir()
    write(host.keys, domain, "x", b"x")
    write(host.keys, domain, "y", pem("ed25519"))
    for words in (
        ["new", domain, "--algorithm", "ed25519"],
        ["list"],
        ["check"],
        ["rotate", domain],
        ["retire", domain, "2027a"],
        ["retire", domain, "2027a"],
        ["rotate", domain],
    ):
        host.run(*words)
        lines = [*host.out.split("\n"), *host.err.split("\n")]
        kept = re.compile(r"._domainkey.|    v=DKIM1|    \"|made /|Then: mailassay |mailassay key: /")
        assert [each for each in lines if not kept.search(each) and not fits(each, width)] == []


def test_a_zone_file_starts_no_clock(host):
    """What a file on this host says is not what verifiers see, so nothing of it is kept, and no key becomes active."""
    host.run("new", DOMAIN, "--format", "text")
    names, values = host.out.split("\n")[::2], host.out.split("\n")[1::2]
    zone = host.folder / "zone"
    zone.write_text("\n".join(f'{name} TXT "{value}"' for name, value in zip(names, values, strict=False)))
    before = (host.keys / DOMAIN / "keys.json").read_bytes()
    host.run("check", DOMAIN, "--zone", str(zone))
    assert "not written down" in host.out
    assert (host.keys / DOMAIN / "keys.json").read_bytes() == before
    assert host.run("rotate", DOMAIN, "--zone", str(zone)) == 2
    assert "--zone" in host.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to a group")
def test_keys_in_a_folder_of_root_are_for_the_service(host, monkeypatch):
    """Whoever made the folder by hand left it to root's group."""
    monkeypatch.setattr(making, "_service", lambda: 12345)
    host.keys.mkdir()
    os.chown(host.keys, 0, 0)
    host.run("new", DOMAIN)
    folder = host.keys / DOMAIN
    assert {path.stat().st_gid for path in (folder, *folder.iterdir())} == {12345}


def test_a_domain_that_is_not_known_gets_no_keys(host):
    """Often it is mistyped."""
    for words in (["rotate", DOMAIN], ["list", DOMAIN]):
        assert host.run(*words) == 1
        assert f"sign.domains does not have {DOMAIN}" in host.err
    assert host.check(DOMAIN) == {("warning", "key-domain", "")}
    assert host.status == 1
    assert not (host.keys / DOMAIN).exists()
    # the configuration has it
    host.configure(f"{DOMAIN}: active")
    assert host.run("rotate", DOMAIN) == 1
    assert len(host.ring().keys) == 2


def test_a_check_does_not_end_a_long_wait(online):
    online.run("new", DOMAIN)
    online.publish()
    with ring.locked(str(online.keys), NAME):
        assert online.run("rotate", DOMAIN) == os.EX_TEMPFAIL
        first = []

        def sleep(seconds):
            if not first:
                first.append(seconds)
                raise KeyboardInterrupt
            online.sleep(seconds)

        online.sleep_by(sleep)
        assert online.run("rotate", DOMAIN, "--wait") == 130
        assert first == [1]
    assert online.run("rotate", DOMAIN, "--wait") == 0


def test_keys_whose_records_nobody_saw(host):
    code = "import sys; from mailassay.cli import main; sys.exit(main(sys.argv[1:]))"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "key", "new", DOMAIN, "--config", host.config],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == os.EX_IOERR
    assert f"mailassay key rotate {DOMAIN} prints their records" in done.stderr
    assert "Traceback" not in done.stderr
    host.run("rotate", DOMAIN)
    assert "v=DKIM1" in host.out
