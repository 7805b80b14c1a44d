"""The daemon signs: keys come with the configuration, at start and at a reload, and workers open no file."""

import json
import os
import pwd
import re
import signal
from pathlib import Path

import pytest

from mailassay.domain import Domain
from mailassay.history.record import read
from mailassay.key import ring
from mailassay.key.ring import Kept, State
from mailassay.sign import keys as key_files
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.folder import open_folder
from tests.lab.limits import LIMITS
from tests.lab.milter import MilterClient
from tests.lab.sealing import dkimpys, host, published
from tests.lab.serve import Serve
from tests.lab.signing import dkimpy_says, pem, signing, write

pytestmark = pytest.mark.process

FIELDS = [(b"From", b" alice@example.org"), (b"Subject", b" a\r\n long one"), (b"Subject", b" \xff")]
BODY = b"Hello \r\n\r\n"
CHUNKS = [BODY[:7], BODY[7:]]
ARC = [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]


@pytest.fixture(scope="module")
def dns():
    with DnsServer(Zone("", limits=LIMITS)) as server:
        yield server


def sent(serve, queue_id="4C1"):
    """The answer about a message of a login, and the message as Postfix makes it of the answer."""
    with MilterClient(serve.socket) as client:
        client.connect("198.51.100.7")
        client.helo(b"x.example")
        answer = client.message(b"<alice@example.org>", FIELDS, CHUNKS, login="alice", queue_id=queue_id)
    fields = answer.apply(FIELDS)
    lines = [name + b":" + value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for name, value in fields]
    return answer, b"\r\n".join(lines) + b"\r\n\r\n" + BODY


def sign(folder, **domains):
    return {"directory": str(folder), "domains": domains}


def reload(served, expected, **changes):
    """Change the configuration and wait until the log says what became of it, once more than before."""
    served.config.write_text(json.dumps(json.loads(served.config.read_text()) | changes))
    before = served.log.read_text().count(expected)
    os.kill(served.pid, signal.SIGHUP)
    served.wait_for_count(expected, before + 1)


def test_both_signatures_verify_as_postfix_inserts_them(tmp_path, dns):
    keys = tmp_path / "keys"
    keys.mkdir()
    found = signing(keys)
    with Serve(tmp_path, dns, sign=sign(keys, **{"example.org": ["2026a", "2026b"]})) as served:
        answer, whole = sent(served)
        assert len(answer.inserted(b"DKIM-Signature")) == 2
        assert dkimpy_says(found, whole) == [True, True]
        assert served.entry("4C1")["signed_by"] == ["example.org/2026a", "example.org/2026b"]
        assert "signs for 1 domains" in served.log.read_text()


def test_thousands_of_signatures_take_no_memory(tmp_path, dns):
    keys = tmp_path / "keys"
    keys.mkdir()
    signing(keys)
    with Serve(tmp_path, dns, sign=sign(keys, **{"example.org": ["2026a", "2026b"]})) as served:

        def rounds(many):
            for _ in range(many):
                with MilterClient(served.socket) as client:
                    client.connect("198.51.100.7")
                    client.helo(b"x.example")
                    for _ in range(50):
                        answer = client.message(b"<alice@example.org>", FIELDS, CHUNKS, login="alice")
                        assert len(answer.inserted(b"DKIM-Signature")) == 2
            [worker] = served.workers()
            return int(re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{worker}/status").read_text())[1])

        warm = rounds(10)
        assert rounds(60) - warm < 2048


def test_the_history_has_the_number_of_keys_and_the_algorithms(tmp_path, dns):
    keys = tmp_path / "keys"
    keys.mkdir()
    signing(keys)
    history = tmp_path / "history"
    history.mkdir(0o700)
    sections = {"sign": sign(keys, **{"example.org": ["2026a", "2026b"]}), "history": {"directory": str(history)}}
    with Serve(tmp_path, dns, **sections) as served:
        sent(served)
        assert served.stop() == 0
    lines = [json.loads(line) for file in (history / "spool").iterdir() for line in file.read_text().splitlines()]
    assert {each["keys"] for each in lines if each["kind"] == "event"} == {2}
    [found] = [read(each) for each in lines if each["kind"] == "message"]
    assert found["signed_by"] == ["example.org/2026a", "example.org/2026b"]
    assert found["signed_with"] == ["rsa-sha256", "ed25519-sha256"]


def test_a_reload_changes_keys_and_configuration_or_neither(tmp_path, dns):
    def signed_by(queue_id):
        return sent(served, queue_id)[0] and served.entry(queue_id)["signed_by"]

    keys = tmp_path / "keys"
    keys.mkdir()
    write(keys, "example.org", "old")
    with Serve(tmp_path, dns, sign=sign(keys, **{"example.org": ["old"]})) as served:
        assert signed_by("4C1") == ["example.org/old"]
        # deleted between `config check` and the reload
        reload(served, "is not reloaded", sign=sign(keys, **{"example.org": ["new"]}))
        assert f"{keys}/example.org/new.pem cannot be read: No such file" in served.log.read_text()
        assert signed_by("4C2") == ["example.org/old"]
        # the file of the key in use is gone too: it stays in use
        (keys / "example.org/old.pem").unlink()
        assert signed_by("4C3") == ["example.org/old"]
        write(keys, "example.org", "new")
        reload(served, "judges by policy", sign=sign(keys, **{"example.org": ["new"]}))
        assert signed_by("4C4") == ["example.org/new"]
        # a worker that is started later has them as well
        [worker] = served.workers()
        os.kill(worker, signal.SIGKILL)
        served.wait_for("starting another")
        served.wait_for_workers(1)
        assert signed_by("4C5") == ["example.org/new"]
        reload(served, "judges by policy", sign=None)
        sent(served, "4C6")
        assert not {"signed_by", "unsigned"} & set(served.entry("4C6"))


def test_a_strangers_message_is_sealed_as_postfix_inserts_the_fields(tmp_path, dns):
    """The sealing key changes with the configuration, or both stay."""

    def sealed(queue_id):
        with MilterClient(served.socket) as client:
            client.connect("198.51.100.7")
            client.helo(b"x.example")
            answer = client.message(b"<alice@example.org>", FIELDS, CHUNKS, queue_id=queue_id)
        fields = answer.apply(FIELDS)
        assert [name for name, _ in fields][:4] == [*ARC, b"Authentication-Results"]
        lines = [name + b":" + value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for name, value in fields]
        message = b"\r\n".join(lines) + b"\r\n\r\n" + BODY
        assert dkimpys(message, published(*hosts)) == "pass"
        return served.entry(queue_id)["sealed_by"]

    def seal_as(name):
        return {"directory": str(keys), "seal": "all", "seal_as": name}

    keys = tmp_path / "keys"
    keys.mkdir()
    hosts = [host(keys, "example.org", "old")]
    with Serve(tmp_path, dns, sign=seal_as("example.org/old")) as served:
        served.wait_for("seals as example.org/old")
        assert sealed("4C1") == "example.org/old"
        reload(served, "is not reloaded", sign=seal_as("a.example/new"))
        assert sealed("4C2") == "example.org/old"
        hosts.append(host(keys, "a.example", "new"))
        reload(served, "judges by policy", sign=seal_as("a.example/new"))
        assert sealed("4C3") == "a.example/new"


def test_a_reload_follows_the_file_of_keys(tmp_path, dns):
    """`example.org: active`: the active keys sign from the next reload on; a damaged file keeps those that sign."""

    def signed_by(queue_id):
        return sent(served, queue_id)[0] and served.entry(queue_id)["signed_by"]

    def states(**given):
        found = {}
        for selector, state in given.items():
            record = key_files.read(str(folder), name, selector).record
            found[selector] = Kept(selector, record, 0, State(state), {State(state): 0})
        ring.save(str(folder), name, ring.Ring(found))

    folder, name = tmp_path / "keys", Domain("example.org")
    folder.mkdir()
    for each in ("old", "new"):
        write(folder, name, each, pem("ed25519", each))
    states(old="active", new="published")
    with Serve(tmp_path, dns, sign=sign(folder, **{name: "active"})) as served:
        assert signed_by("4C1") == ["example.org/old"]
        states(old="retired", new="active")
        assert signed_by("4C2") == ["example.org/old"]
        reload(served, "judges by policy")
        assert signed_by("4C3") == ["example.org/new"]
        (folder / name / "keys.json").write_text('{"version": 2}')
        reload(served, "is not reloaded")
        assert f"{folder}/example.org/keys.json: it is of version 2" in served.log.read_text()
        assert signed_by("4C4") == ["example.org/new"]
        states(old="retired", new="retired")
        reload(served, "is not reloaded")
        assert "has no active key" in served.log.read_text()
        assert signed_by("4C5") == ["example.org/new"]


def test_a_key_that_cannot_be_used_keeps_the_service_from_starting(tmp_path, dns):
    serve = Serve(tmp_path, dns, sign=sign(tmp_path, **{"example.org": ["s"]}))
    with pytest.raises(Exception, match=r"s\.pem cannot be read"), serve:
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_key_is_read_by_the_user_of_the_service(dns):
    """0640 and its group are enough; a key that only root can read is a mistake, with the command that mends it."""
    nobody = pwd.getpwnam("nobody")
    with open_folder() as folder:
        folder.chmod(0o777)
        keys = folder / "keys"
        keys.mkdir()
        place = write(keys, "example.org", "s")
        for each in (keys, keys / "example.org"):
            each.chmod(0o755)
        os.chown(place, nobody.pw_uid, 0)
        serve = Serve(folder, dns, sign=sign(keys, **{"example.org": ["s"]}))
        serve.module = "tests.lab.unprivileged"
        with serve:
            assert sent(serve)[0].inserted(b"DKIM-Signature")
            os.chown(place, 0, 0)
            place.chmod(0o600)
            reload(serve, "is not reloaded")
            assert f"chgrp mailassay {place} && chmod 0640 {place}" in serve.log.read_text()
            assert sent(serve, "4C2")[0].inserted(b"DKIM-Signature")


def test_a_key_that_everybody_can_read_is_a_warning_and_signs(tmp_path, dns):
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o750)
    write(keys, "example.org", "s").chmod(0o644)
    with Serve(tmp_path, dns, sign=sign(keys, **{"example.org": ["s"]})) as served:
        served.wait_for("everybody on this host can read the key, and sign with it; chmod o-r")
        assert sent(served)[0].inserted(b"DKIM-Signature")
