"""`mailassay migrate`: what it prints, the keys that it writes, and input that is none."""

import json
import os
import re
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mailassay.cli import main
from mailassay.domain import Domain
from mailassay.migrate import State
from mailassay.migrate.source import MAX_OCTETS
from mailassay.sign import keys, permissions
from tests.lab.migrating import laid, libsodium, pkcs1
from tests.lab.signing import pem

CONFIG = """\
Mode s
KeyTable %FOLDER%/KeyTable
SigningTable refile:%FOLDER%/SigningTable
"""
FILES = {
    "opendkim.conf": CONFIG,
    "KeyTable": "one example.org:a:%FOLDER%/one.private\ntwo example.net:b:%FOLDER%/two.private\n",
    "SigningTable": "*@example.org one\n*@example.net two\n",
    "one.private": pkcs1(),
    "two.private": pem("rsa"),
}


def run(capsys, *words):
    status = main(["migrate", *map(str, words)])
    printed = capsys.readouterr()
    secret = re.findall("[A-Za-z0-9+/]{60}", printed.out + printed.err)
    assert [each for each in secret if any(each.encode() in octets for octets in SECRETS)] == []
    return status, printed.out, printed.err


SECRETS = [pkcs1(), pem("rsa"), libsodium(), pem("ed25519")]


@pytest.fixture
def folder(tmp_path):
    laid(tmp_path, FILES)
    return tmp_path


def written(folder):
    found = sorted(path for path in folder.rglob("*.pem") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_nothing_is_written_unasked(folder, capsys):
    before = sorted(folder.rglob("*"))
    status, out, err = run(capsys, folder / "opendkim.conf", "--keys", folder / "keys")
    assert (status, sorted(folder.rglob("*"))) == (0, before)
    assert re.findall(r"^    (\S+: \[.*\])  # (.*)$", out, re.MULTILINE) == [
        ("example.org: [a]", f"{folder}/SigningTable:1"),
        ("example.net: [b]", f"{folder}/SigningTable:2"),
    ]
    assert err.count("not copied yet: ") == 2
    assert f"mailassay migrate {folder}/opendkim.conf --keys {folder}/keys --write-keys" in err


def test_keys_are_written_once(folder, capsys):
    words = (folder / "opendkim.conf", "--keys", folder / "keys", "--write-keys")
    status, out, err = run(capsys, *words)
    assert (status, err.count("copied ")) == (0, 2)
    found = written(folder / "keys")
    assert list(found) == ["example.net/b.pem", "example.org/a.pem"]
    for name, octets in found.items():
        place = folder / "keys" / name
        assert stat.S_IMODE(place.stat().st_mode) == 0o640
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o750
        assert octets.startswith(b"-----BEGIN PRIVATE KEY-----")
        assert [*permissions.doubts(str(place), None)] == []
    was = load_pem_private_key(pkcs1(), None).private_numbers()
    assert load_pem_private_key(found["example.org/a.pem"], None).private_numbers() == was
    assert keys.read(str(folder / "keys"), Domain("example.org"), "a").algorithm == "rsa-sha256"
    inodes = [path.stat().st_ino for path in (folder / "keys").rglob("*.pem")]
    status, again, err = run(capsys, *words)
    assert (status, again, err.count("is there already")) == (0, out, 2)
    assert inodes == [path.stat().st_ino for path in (folder / "keys").rglob("*.pem")]
    assert [path.name for path in (folder / "keys").rglob(".*")] == []


@pytest.mark.parametrize("there", ["another key", "rubbish", "a folder", "a link to nothing"])
def test_another_key_is_never_overwritten(folder, capsys, there):
    place = folder / "keys/example.net/b.pem"
    place.parent.mkdir(parents=True)
    match there:
        case "another key":
            place.write_bytes(pem("rsa1024", "other"))
        case "rubbish":
            place.write_text("x")
        case "a folder":
            place.mkdir()
        case _:
            place.symlink_to("nowhere")
    before = place.lstat()
    status, _, err = run(capsys, folder / "opendkim.conf", "--keys", folder / "keys", "--write-keys")
    assert status == os.EX_CANTCREAT
    assert f"{place} is there, and is not the same key" in err
    assert (place.lstat().st_ino, place.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(written(folder / "keys")) in (["example.net/b.pem"], [])


def test_the_same_key_in_another_form_is_the_same(folder, capsys):
    place = folder / "keys/example.org/a.pem"
    place.parent.mkdir(parents=True)
    place.write_bytes(pem("rsa1024", ""))
    status, _, err = run(capsys, folder / "opendkim.conf", "--keys", folder / "keys", "--write-keys")
    assert (status, err.count("is there already"), err.count("copied ")) == (0, 1, 1)
    assert place.read_bytes() == pem("rsa1024", "")


def test_a_key_that_comes_meanwhile_stays(folder, capsys, monkeypatch):
    """Between the look at its place and the writing."""
    place = folder / "keys/example.org/a.pem"
    place.parent.mkdir(parents=True)
    place.write_text("x")
    monkeypatch.setattr("mailassay.migrate.copying.Copy.state", lambda _: State.MISSING)
    status, out, err = run(capsys, folder / "opendkim.conf", "--keys", folder / "keys", "--write-keys")
    assert (status, out, place.read_text()) == (os.EX_CANTCREAT, "", "x")
    assert f"{place} is there already" in err


def test_keys_get_the_group_of_their_folder(folder, capsys):
    if os.geteuid():
        pytest.skip(reason="only root can give files to another group")
    (folder / "keys").mkdir()
    os.chown(folder / "keys", -1, 4242)
    assert run(capsys, folder / "opendkim.conf", "--keys", folder / "keys", "--write-keys")[0] == 0
    assert {path.stat().st_gid for path in (folder / "keys").rglob("*")} == {4242}


def test_programs_get_the_same(folder, capsys):
    status, out, _ = run(capsys, folder / "opendkim.conf", "--keys", folder / "keys", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["sign"] == {
        "domains": {"example.org": ["a"], "example.net": ["b"]},
        "directory": str(folder / "keys"),
        "subdomains": False,
        "from": "envelope",
    }
    assert [(key["selector"], key["state"]) for key in found["keys"]] == [("a", "missing"), ("b", "missing")]
    assert found["keys"][0]["record"].startswith("v=DKIM1; k=rsa; p=")


def encrypted(form):
    private = load_pem_private_key(pem("rsa1024", ""), None)
    return private.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))


def elliptic():
    private = ec.generate_private_key(ec.SECP256R1())
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


UNUSABLE = {
    "encrypted": encrypted(PrivateFormat.PKCS8),
    "encrypted in the old form": encrypted(PrivateFormat.TraditionalOpenSSL),
    "elliptic": elliptic(),
    "empty": b"",
    "rubbish": b"\x00\xff" * 100,
    "cut off": pkcs1()[:300],
    "base64 of nothing": b"AAAA",
    "libsodium with another public key": libsodium()[:40] + libsodium("x")[40:],
    "large": b"x" * 70_000,
    "public": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
}


@pytest.mark.parametrize("octets", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_cannot_be_used(folder, capsys, octets):
    (folder / "one.private").write_bytes(octets)
    status, out, err = run(capsys, folder / "opendkim.conf", "--keys", folder / "keys", "--write-keys")
    assert status == 1
    assert (
        f"{folder}/SigningTable:1: error: example.org cannot be signed for by the selector a: {folder}/one.private"
        in err
    )
    assert "# example.org: [a] is left out: its key cannot be used" in out
    assert list(written(folder / "keys")) == ["example.net/b.pem"]


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "unreadable"])
def test_a_key_that_cannot_be_read(folder, capsys, kind):
    place = folder / "one.private"
    place.unlink()
    match kind:
        case "folder":
            place.mkdir()
        case "fifo":
            os.mkfifo(place)
        case "unreadable":
            place.symlink_to(place)
    status, _, err = run(capsys, folder / "opendkim.conf", "--keys", folder / "keys")
    assert status == 1
    assert f"{folder}/one.private" in err


# FILE


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, os.EX_NOINPUT),
        (b"\0\1\2", os.EX_NOINPUT),
        (b"#" * (MAX_OCTETS + 1), os.EX_NOINPUT),
        (b"Mode sv\n" * 1_000_000, 1),
        (b"", 1),
        (b"# nothing\n", 1),
        (b"some prose, or a letter.\n", os.EX_CONFIG),
        (b"smtpd_milters = x\n", os.EX_CONFIG),
        (b".include 'x'\n", os.EX_CONFIG),
        (b"<xml/>", os.EX_CONFIG),
        (b"domain { a = 1 }", os.EX_CONFIG),
        (b"\xff\xfe\r\n", os.EX_CONFIG),
    ],
    ids=[
        "missing",
        "binary",
        "too large",
        "10 MB",
        "empty",
        "comments",
        "prose",
        "main.cf",
        "macro",
        "xml",
        "kind",
        "octets",
    ],
)
def test_a_file_that_is_no_configuration(tmp_path, capsys, content, expected):
    path = tmp_path / "x.conf"
    if content is not None:
        path.write_bytes(content)
    status, out, err = run(capsys, path)
    assert (status, out) == (expected, "")
    assert str(path) in err


def test_a_folder_is_no_configuration(tmp_path, capsys):
    assert run(capsys, tmp_path)[0] == os.EX_NOINPUT


@pytest.mark.parametrize("words", [["--keys", "keys"], ["--keys", "/a\nb"], ["--from", "postfix"]])
def test_wrong_usage(folder, words):
    with pytest.raises(SystemExit) as found:
        main(["migrate", str(folder / "opendkim.conf"), *words])
    assert found.value.code == 2


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Syslog yes\n", "opendkim"),
        ("# x\n\n  domain example.org\n", "opendkim"),
        ("KeyTable csl:a=b\n", "opendkim"),
        ("domain { }\n", "rspamd"),
        ("domain example.org { path = x }\n", "rspamd"),
        ("selector = x;\n", "rspamd"),
        ("domain: {}\n", "rspamd"),
        ("selector x;\n", "rspamd"),
        ('{"domain": {}}', "rspamd"),
    ],
)
def test_whose_configuration_it_is(tmp_path, capsys, text, program):
    path = tmp_path / "x.conf"
    path.write_text(text)
    assert f'"from": "{program}"' in run(capsys, path, "--json")[1]


def test_one_can_say_whose_it_is(tmp_path, capsys):
    path = tmp_path / "x.conf"
    path.write_text("Selector x\n")
    assert run(capsys, path, "--json", "--from", "rspamd")[0] == os.EX_CONFIG
    path.write_text("selector x\n")
    assert '"from": "opendkim"' in run(capsys, path, "--json")[1]
    assert '"from": "rspamd"' in run(capsys, path, "--json", "--from", "rspamd")[1]


def test_what_means_nothing_is_named_if_asked_for(folder, capsys):
    with (folder / "opendkim.conf").open("a") as file:
        file.write("Syslog yes\nOn-BadSignature reject\n")
    assert "Syslog" not in run(capsys, folder / "opendkim.conf")[2]
    said = run(capsys, folder / "opendkim.conf", "-v")[2]
    assert [said.count(each) for each in ("Syslog means nothing", "On-BadSignature means nothing")] == [1, 1]


def test_many_domains(tmp_path, capsys):
    """As a host of many customers has them."""
    names = [f"customer{number}.example" for number in range(3000)]
    files = {
        "opendkim.conf": CONFIG,
        "SigningTable": "".join(f"*@{name} {name}\n" for name in names),
        "KeyTable": "".join(f"{name} {name}:s:%FOLDER%/one.private\n" for name in names),
        "one.private": pem("ed25519"),
    }
    status, out, _ = run(capsys, laid(tmp_path, files))
    assert (status, out.count(": [s]  # ")) == (0, len(names))


PASTED = "example.org:a:" + pem("rsa").decode()
IN_ONE_LINE = "".join(pem("rsa").decode().split("\n")[1:-2])
BARE = "\n".join(pem("rsa").decode().split("\n")[1:-2])
ONE_DOMAIN = "Domain example.org\nSelector s\n"


@pytest.mark.parametrize(
    ("program", "files"),
    [
        ("opendkim", FILES | {"KeyTable": f"one {PASTED}"}),
        ("opendkim", FILES | {"KeyTable": f"one example.org:a:{BARE}\n"}),
        ("opendkim", FILES | {"KeyTable": pem("rsa")}),
        ("opendkim", FILES | {"KeyTable": f"one example.org:a\n{IN_ONE_LINE} x\n"}),
        ("opendkim", FILES | {"SigningTable": pem("rsa")}),
        ("opendkim", {"opendkim.conf": pem("rsa")}),
        ("opendkim", {"opendkim.conf": f"{ONE_DOMAIN}KeyFile {pem('rsa').decode()}"}),
        ("opendkim", {"opendkim.conf": f"{ONE_DOMAIN}KeyFile\n{BARE}\n"}),
        ("opendkim", {"opendkim.conf": f"{ONE_DOMAIN}KeyFile {IN_ONE_LINE}\n"}),
        ("opendkim", {"opendkim.conf": f"{ONE_DOMAIN}KeyFile /{IN_ONE_LINE}\n"}),
        ("opendkim", {"opendkim.conf": f"{ONE_DOMAIN}KeyFile {libsodium().decode()}\n"}),
        ("opendkim", {"opendkim.conf": f"Include {IN_ONE_LINE}\nMode {IN_ONE_LINE}\n"}),
        ("opendkim", {"opendkim.conf": "Include %FOLDER%/key.pem\n", "key.pem": pem("rsa")}),
        (
            "rspamd",
            {"d.conf": f'domain {{ example.org {{ selector = "s"; path = <<EOD\n{pem("rsa").decode()}EOD\n}} }}'},
        ),
        ("rspamd", {"d.conf": f'domain {{ example.org {{ selector = "s"; path = <<EOD\n{BARE}\nEOD\n}} }}'}),
        ("rspamd", {"d.conf": f'domain {{ example.org {{ selector = "s"; path = "{IN_ONE_LINE}" }} }}'}),
        ("rspamd", {"d.conf": f'domain {{ example.org {{ path = "{libsodium().decode()}" }} }}'}),
        ("rspamd", {"d.conf": f'enabled = "{IN_ONE_LINE}";'}),
        ("rspamd", {"d.conf": f'path = "{pem("rsa").decode()}";'.replace("\n", "\\n")}),
        ("rspamd", {"d.conf": pem("rsa")}),
    ],
)
@pytest.mark.parametrize("more", [(), ("--json",), ("--verbose",)])
def test_a_key_in_the_wrong_place_is_not_shown(tmp_path, capsys, program, files, more):
    status, out, err = run(capsys, laid(tmp_path, files), "--from", program, *more)
    assert status
    shown = out + err
    for secret in (IN_ONE_LINE, libsodium().decode()):
        assert not [at for at in range(len(secret) - 19) if secret[at : at + 20] in shown]


def test_where_the_key_is_that_does_not_belong_there(tmp_path, capsys):
    config = laid(tmp_path, FILES | {"KeyTable": f"# ours\none {PASTED}"})
    status, _, err = run(capsys, config)
    assert (status, f"{tmp_path}/KeyTable has a private key in line 2" in err) == (1, True)
    laid(tmp_path, {"KeyTable": f"# ours\n\n{BARE}"})
    assert "KeyTable has a private key in line 3" in run(capsys, config)[2]


@pytest.mark.parametrize("line", ["x" * 10_000_000, "Mode " + "x " * 5_000_000, "Include " + "é" * 1_000_000])
@pytest.mark.parametrize("program", ["opendkim", "rspamd"])
def test_little_of_a_long_line_is_shown(tmp_path, capsys, program, line):
    _, out, err = run(capsys, laid(tmp_path, {"a.conf": f"{ONE_DOMAIN}{line}\n"}), "--from", program)
    assert len(out + err) < 3000
