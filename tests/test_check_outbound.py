"""`mailassay check --outbound`: what `serve` would do with a message as outgoing mail."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailassay.cli import main
from mailassay.message import crlf
from mailassay.sign import Unsigned
from tests.lab.folder import open_folder
from tests.lab.program import ENVIRONMENT
from tests.lab.screens import screen
from tests.lab.signing import DOMAIN, ED, NOW, RSA, dkimpy_says, pem, signing, write

FROM = f"alice@{DOMAIN}"
MESSAGE = f"From: Alice <{FROM}>\nTo: bob@example.net\nSubject: hi\n\nHello\n".encode()
BOTH = [f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return folder, signing(folder)


@pytest.fixture
def folder(tmp_path, monkeypatch, keys):
    monkeypatch.chdir(tmp_path)
    configure(tmp_path, keys[0])
    return tmp_path


def configure(folder, directory, /, domains=None, **sign):
    found = {
        "authserv_id": "mx.receiver.example",
        "trusted_networks": ["192.0.2.0/24"],
        "recipient_delimiter": "",
        "sign": {"domains": {DOMAIN: [RSA, ED]} if domains is None else domains, "directory": str(directory), **sign},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(found))


def check(*arguments):
    return main(["check", "--outbound", *arguments, "--config", "config.yaml"])


@pytest.fixture
def said(capsys, folder):
    """The exit status and the JSON about a message, with options."""

    def run(message, *options):
        (folder / "mail").write_bytes(message)
        status = check("mail", "--json", *options)
        return status, json.loads(capsys.readouterr().out)

    return run


def without_octets(printed):
    """The screen without the signatures, which are of keys that are made anew."""
    return re.sub(r"(?m)^( +b=).*\n(?:(?!add|\Z).+\n?)*", r"\1...\n", printed)


def test_the_screen_of_a_message_that_is_signed(folder, capsys):
    (folder / "mail").write_bytes(MESSAGE)
    assert check("mail", "--login", "alice", "--at", f"@{int(NOW)}") == 0
    printed = without_octets(capsys.readouterr().out)
    assert printed == screen("check-outbound", printed)


def test_the_screen_of_a_message_that_is_not(folder, capsys):
    (folder / "mail").write_bytes(MESSAGE)
    assert check("mail", "--ip", "192.0.2.1", "--mail-from", "bounce@example.net", "--at", f"@{int(NOW)}") == 1
    printed = capsys.readouterr().out
    assert printed == screen("check-outbound-unsigned", printed)


@pytest.mark.parametrize("options", [[], ["--login", "alice"], ["--ip", "192.0.2.7"]], ids=["here", "login", "trusted"])
def test_the_fields_are_those_that_verify(said, keys, options):
    status, found = said(MESSAGE, *options)
    assert status == 0
    assert found["signing"] == {
        "signed_by": BOTH,
        "signed_with": ["rsa-sha256", "ed25519-sha256"],
        "unsigned": None,
        "why": "",
    }
    assert found["verdict"]["action"] == "accept"
    assert [each["name"] for each in found["add"]] == ["DKIM-Signature"] * 2
    fields = "".join(f"{each['name']}: {each['value']}\n" for each in found["add"]).encode()
    assert dkimpy_says(keys[1], crlf(fields + MESSAGE)) == [True, True]
    assert dkimpy_says(keys[1], crlf(fields + MESSAGE.replace(b"hi", b"ho"))) == [False, False]
    # nobody asks DNS about outgoing mail
    assert found["dns"] == []
    assert found["evidence"] is None


def test_the_facts_and_where_they_are_from(said):
    message = said(MESSAGE)[1]["message"]
    assert (message["local"], message["client"], message["login"]) == (True, "", "")
    assert (message["mail_from"], message["sources"]["mail_from"]) == (FROM, "From, as mail programs do")
    message = said(MESSAGE, "--login", "alice", "--mail-from", "")[1]["message"]
    assert (message["local"], message["login"], message["mail_from"]) == (False, "alice", "")
    assert message["sources"]["login"] == "--login"
    message = said(MESSAGE.replace(b"<alice@", b'<"alice smith"@'))[1]["message"]
    assert message["mail_from"].endswith(f"@{DOMAIN}")


OTHER = MESSAGE.replace(FROM.encode(), b"carol@example.net")


@pytest.mark.parametrize(
    ("message", "options", "why"),
    [
        (MESSAGE.replace(b"To:", b"From: eve@example.org\nTo:"), [], "author"),
        (MESSAGE.replace(b"From:", b"X-From:"), [], "author"),
        (MESSAGE.replace(b"<", b"<carol@example.net>, <"), [], "author"),
        (MESSAGE.replace(b"@example.org", b""), [], "author"),
        (MESSAGE.replace(b"@example.org", b"\0@example.org"), [], "author"),
        (MESSAGE.replace(b"From: Alice <alice@example.org>", b"Subject: x\r From: alice@example.org"), [], "author"),
        (OTHER, [], "domain"),
        (OTHER, ["--login", "alice"], "domain"),
        (MESSAGE, ["--mail-from", "bounce@example.net"], "envelope"),
        (MESSAGE, ["--mail-from", "", "--login", "alice"], "envelope"),
        (b"X-A:" + b" y" * 500_001 + b"\n" + MESSAGE, [], "author"),
        (MESSAGE.replace(b"\n\n", b"\nX-A:" + b" y" * 500_001 + b"\n\n"), [], "limit"),
        (b"Received: x\n" * 1001 + MESSAGE, [], "author"),
        (b"To: x@example.net\n" * 120 + MESSAGE, [], "fields"),
        (b"Authentication-Results: mx.receiver.example; dmarc=pass\n" + MESSAGE, [], "judged"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_why_a_message_is_not_signed(said, message, options, why):
    status, found = said(message, *options)
    assert (status, found["signing"]["unsigned"], found["signing"]["signed_by"]) == (1, why, [])
    assert found["signing"]["why"] == Unsigned(why).words
    assert [each["name"] for each in found["add"] if each["name"] == "DKIM-Signature"] == []


def test_an_empty_body_is_signed(said, keys):
    message = MESSAGE.partition(b"\n\n")[0] + b"\n"
    for each in (message, message + b"\n", message + b"\n\0\n"):
        found = said(each)[1]
        assert found["signing"]["signed_by"] == BOTH
        fields = "".join(f"{one['name']}: {one['value']}\n" for one in found["add"]).encode()
        assert dkimpy_says(keys[1], crlf(fields + each)) == [True, True]


def test_a_message_that_is_signed_already(said):
    fields = "".join(f"{each['name']}: {each['value']}\n" for each in said(MESSAGE)[1]["add"]).encode()
    status, found = said(fields + MESSAGE)
    # it leaves with the signatures that it has
    assert (status, found["signing"]["unsigned"]) == (0, "signed")
    assert said(fields + MESSAGE + b"a footer\n")[1]["signing"]["signed_by"] == BOTH


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--login", "alice"], None),
        (["--login", "eve"], "login"),
        (["--login", "bob"], "address"),
        ([], "no_login"),
    ],
)
def test_a_login_and_its_addresses(folder, keys, said, options, why):
    configure(folder, keys[0], **{"from": "login", "logins": {"alice": [FROM], "bob": ["bob@example.org"]}})
    assert said(MESSAGE, *options)[1]["signing"]["unsigned"] == why


def test_mail_that_is_refused_if_it_cannot_be_signed(folder, keys, said):
    configure(folder, keys[0], unsignable="reject")
    status, found = said(MESSAGE, "--login", "eve", "--mail-from", "eve@example.net")
    assert (status, found["verdict"]["action"], found["verdict"]["rule"]) == (1, "reject", "sign.unsignable")
    assert found["verdict"]["reply"].startswith("550 5.7.1 The message cannot be signed: ")
    configure(folder, keys[0], unsignable="defer")
    status, found = said(MESSAGE, "--mail-from", "eve@example.net")
    assert (status, found["verdict"]["action"]) == (1, "defer")


def test_mail_of_strangers_is_not_outgoing(folder, capsys):
    (folder / "mail").write_bytes(MESSAGE)
    assert check("mail", "--ip", "198.51.100.1") == 65
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "198.51.100.1 is not in trusted_networks and did not log in" in printed.err.replace("\n", " ")
    assert check("mail", "--ip", "198.51.100.1", "--login", "alice") == 0


def test_mail_that_is_refused_before_it_is_signed(said):
    status, found = said(MESSAGE.replace(b"To:", b"X: y\rAuthentication-Results: mx.receiver.example; dmarc=pass\nTo:"))
    assert (status, found["verdict"]["rule"], found["signing"]) == (1, "forged_fields", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--outbound", "--helo", "x"], "--helo makes no difference"),
        (["--outbound", "--rcpt", "x@example.net"], "--rcpt makes no difference"),
        (["--outbound", "--host", "mx"], "--host makes no difference"),
        (["--outbound", "--policy", "p.yaml"], "--policy makes no difference"),
        (["--outbound", "--zone", "z"], "--zone makes no difference"),
        (["--outbound", "--summary", "--since", "yesterday"], "--since makes no difference"),
        (["--outbound", "--login", ""], "expected a text that is not empty"),
        (["--login", "alice"], "--login needs --outbound"),
    ],
)
def test_options_that_make_no_sense_together(folder, capsys, options, words):
    (folder / "mail").write_bytes(MESSAGE)
    with pytest.raises(SystemExit) as ended:
        main(["check", "mail", *options, "--config", "config.yaml"])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.replace("\n", " ")


def test_nothing_signs(folder, keys, capsys):
    (folder / "mail").write_bytes(MESSAGE)
    configure(folder, keys[0], domains={})
    assert check("mail") == 78
    assert "no domain in sign.domains" in capsys.readouterr().err


def test_a_key_that_is_missing(folder, capsys, tmp_path):
    (folder / "mail").write_bytes(MESSAGE)
    configure(folder, tmp_path)
    assert check("mail") == 78
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{tmp_path}/{DOMAIN}/{RSA}.pem cannot be read: No such file" in printed.err


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_keys_that_this_user_must_not_read():
    with open_folder() as place:
        write(place, DOMAIN, RSA).chmod(0o600)
        (place / DOMAIN).chmod(0o755)
        (place / "mail").write_bytes(MESSAGE)
        configure(place, place, domains={DOMAIN: [RSA]})
        (place / "config.yaml").chmod(0o644)
        command = [sys.executable, "-m", "tests.lab.unprivileged", "check", "--outbound", place / "mail"]
        done = subprocess.run(
            [*command, "--config", place / "config.yaml"],
            cwd=Path(__file__).parents[1],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stdout) == (78, ""), done.stderr
    told = " ".join(done.stderr.split())
    assert f"{RSA}.pem cannot be read: Permission denied" in told
    assert "run this as root, or as the user of the service: sudo -u mailassay mailassay check" in told
    assert "PRIVATE KEY" not in done.stderr
    assert "chgrp" not in done.stderr


def test_no_key_is_printed(folder, capsys):
    (folder / "mail").write_bytes(MESSAGE)
    check("mail", "-v")
    check("mail", "--json")
    printed = capsys.readouterr()
    for kind in ("rsa", "ed25519"):
        for line in pem(kind).decode().split("\n")[:-1]:
            assert line not in printed.out + printed.err


def test_many_messages(folder, capsys):
    box = folder / "box"
    box.mkdir()
    (box / "a").write_bytes(MESSAGE)
    (box / "b").write_bytes(b"From x\n" + MESSAGE + b"\nFrom x\n" + OTHER)
    (box / "c").write_bytes(b"")
    assert check("--summary", "box", "-v") == 0
    printed = capsys.readouterr().out
    assert printed == screen("check-outbound-summary", printed)
    assert check("--summary", "box", "--json") == 0
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [each.get("signing") and each["signing"]["unsigned"] for each in lines] == [None, None, "domain", None]
    assert last["summary"]["signed"] == 2
    assert last["summary"]["signed_by"] == dict.fromkeys(BOTH, 2)
    assert last["summary"]["unsigned"] == {"domain": 1}


FIELDS = st.lists(
    st.sampled_from(
        [
            b"From: alice@example.org", b"From: \"a\" <alice@example.org>", b"From:", b"From: =?utf-8?q?x?= <a@b>",
            b"Sender: x@example.org", b"Subject: \0 \xff", b"Received: from x by y", b" folded", b"\t", b"X:\r y",
            b"DKIM-Signature: v=1; d=example.org; s=2026a; a=rsa-sha256; b=; bh=", b"Resent-From: a@example.org",
        ]
    ) | st.binary(max_size=60),
    max_size=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    FIELDS,
    st.binary(max_size=80),
    st.sampled_from([[], ["--login", "alice"], ["--ip", "192.0.2.1"], ["--mail-from", "\udcff@\0"]]),
)
def test_any_octets_give_an_answer(folder, capsys, fields, body, options):
    (folder / "mail").write_bytes(b"".join(each + b"\n" for each in fields) + b"\n" + body)
    status = check("mail", "--json", *options)
    printed = capsys.readouterr()
    if status == 65:
        assert (printed.out, printed.err[:16]) == ("", "mailassay: mail:")
        return
    found = json.loads(printed.out)
    assert status == (0 if (found["signing"] or {}).get("unsigned", "x") in (None, "signed") else 1)
