"""Signing on the real Postfix: what leaves it verifies, whoever handed it over."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dkim as dkimpy
import pytest

from mailassay.cli import main
from mailassay.config import Settings
from mailassay.domain import Domain
from mailassay.message import crlf
from mailassay.sign import keys
from tests.lab.mta import HOST_NAME, Lab
from tests.lab.signing import DOMAIN, ED, RSA, dkimpy_says, records, signing, write
from tests.lab.sink import Sink

FROM = f"alice@{DOMAIN}"
HEADER = f"From: Alice <{FROM}>\r\nTo: bob@next.example\r\nSubject: hi\r\n".encode()
MESSAGE = (
    HEADER
    + b"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n.\r\n..dots \r\n\r\n"
)
BOTH = [f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}"]


@pytest.fixture(scope="module")
def signed_lab(make_lab: Callable[..., Lab], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A Postfix that signs and sends on to the next hop, and the keys."""
    folder = tmp_path_factory.mktemp("keys")
    found = signing(folder)
    write(folder, HOST_NAME, "host")
    own = Domain(HOST_NAME)
    key = keys.read(str(folder), own, "host")
    found = replace(found, signing_keys={**found.signing_keys, own: (key,)})
    with Sink() as sink:
        relay = (
            f"default_transport = smtp:[127.0.0.1]:{sink.port}\n"
            "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n"
            "mynetworks = 127.0.0.0/8, 198.51.100.7\nnon_smtpd_milters = $smtpd_milters\n"
            "internal_mail_filter_classes = bounce\nsmtp_line_length_limit = 0\n"
            "always_add_missing_headers = yes\ndisable_mime_output_conversion = yes\n"
            "transport_maps = inline:{{nobody.example=error:nobody}, {later.example=smtp:[127.0.0.1]:1}}\n"
        )
        lab = make_lab(
            more=relay,
            trusted_networks=["127.0.0.0/8"],
            sign={"domains": {DOMAIN: [RSA, ED], HOST_NAME: "host"}, "directory": str(folder)},
        )
        yield SimpleNamespace(lab=lab, sink=sink, keys=found)


def check_says(keys: Settings, message: bytes, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What our own `check` thinks of the signatures."""
    zone, file = folder / "zone", folder / "message.eml"
    zone.write_text("\n".join(f'{name} TXT "{record}"' for name, record in records(keys).items()))
    file.write_bytes(message)
    main(["check", "--json", "--zone", str(zone), "--ip", "192.0.2.1", "--helo", "x.example",
          "--mail-from", FROM, str(file)])  # fmt: skip
    return [each["result"] for each in json.loads(capsys.readouterr().out)["results"]["dkim"]]


def submitted(found: SimpleNamespace, message: bytes, login: str = "alice", mail_from: str = FROM) -> bytes:
    """What the next hop gets of a message of an authenticated client."""
    with found.lab.postfix.client() as client:
        client.command("EHLO x.example")
        client.become("198.51.100.7", "x.example", login)
        client.command("EHLO x.example")
        reply = client.send(mail_from, ["bob@next.example"], message)
        assert reply.code == 250, reply
    return crlf(found.sink.next())


def test_a_message_of_a_login_gets_both_signatures(
    signed_lab: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived = submitted(signed_lab, MESSAGE)
    assert dkimpy_says(signed_lab.keys, arrived) == [True, True]
    assert check_says(signed_lab.keys, arrived, tmp_path, capsys) == ["pass", "pass"]
    # on top, in the order of the configuration
    assert re.findall(rb"(?m)^[A-Za-z-]+(?=:)", arrived)[:3] == [b"DKIM-Signature", b"DKIM-Signature", b"Received"]
    assert [each["signed_by"] for each in signed_lab.lab.serve.entries() if "signed_by" in each][-1] == BOTH


@pytest.mark.parametrize(
    "message",
    [
        HEADER + b"\r\nno Date and no Message-ID: Postfix adds both before the milter sees the message\r\n",
        b"From: alice@example.org\r\n\r\n",
        MESSAGE.replace(b"hi", b"=?utf-8?q?=C3=A9?=\r\n\t =?utf-8?q?=C3=A9?= \r\n "),
        MESSAGE + b"\r\n" * 50,
        MESSAGE + b"x" * 990 + b" \t \r\n\t\r\n",
        MESSAGE.replace(b"Subject: hi", b"Subject: " + b"y" * 700),
        MESSAGE.replace(b"hi", b"8bit \xe9") + b"8bit: \xc3\xa9\r\n",
        # the next hop does not announce 8BITMIME
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n" + MESSAGE + b"8bit: \xc3\xa9\r\n",
        MESSAGE.replace(b"Subject: hi", b"Subject: " + b"y" * 1500) + b"x" * 3000 + b"\r\n",
    ],
    ids=["no_date", "only_from", "folded", "empty_lines", "long_line", "long_subject", "8bit", "8bit_mime", "longer"],
)
def test_what_postfix_does_to_a_message_breaks_no_signature(signed_lab: SimpleNamespace, message: bytes) -> None:
    assert dkimpy_says(signed_lab.keys, submitted(signed_lab, message)) == [True, True]


def by_sendmail(found: SimpleNamespace, recipient: str) -> bytes:
    """What the next hop gets after a message by sendmail(1)."""
    subprocess.run(
        ["/usr/sbin/sendmail", "-C", str(found.lab.postfix.folder / "etc"), "-f", FROM, recipient],
        input=MESSAGE.replace(b"\r\n", b"\n"),
        check=True,
    )
    return crlf(found.sink.next())


def test_a_message_of_sendmail_is_signed(signed_lab: SimpleNamespace) -> None:
    assert dkimpy_says(signed_lab.keys, by_sendmail(signed_lab, "bob@next.example")) == [True, True]


def test_a_bounce_is_signed(signed_lab: SimpleNamespace) -> None:
    """Postfix's own mail has a null reverse-path and comes from this host."""
    bounce = by_sendmail(signed_lab, "x@nobody.example")
    header, _, rest = bounce.partition(b"\r\n\r\n")
    assert f"MAILER-DAEMON@{HOST_NAME}".encode() in header
    assert header.count(b"DKIM-Signature:") == 1
    record = records(signed_lab.keys)[f"host._domainkey.{HOST_NAME}"].encode()
    assert dkimpy.DKIM(header + b"\r\n\r\n" + rest).verify(dnsfunc=lambda *_, **__: record)


def test_a_second_pass_signs_nothing(signed_lab: SimpleNamespace) -> None:
    once = submitted(signed_lab, MESSAGE)
    twice = submitted(signed_lab, once)
    assert dkimpy_says(signed_lab.keys, twice) == [True, True]
    assert [each["unsigned"] for each in signed_lab.lab.serve.entries() if "unsigned" in each][-1] == "signed"
    changed = submitted(signed_lab, once + b"a footer\r\n")
    assert len(re.findall(rb"(?m)^DKIM-Signature:", changed)) == 4


def test_a_login_gets_no_other_domain_signed(signed_lab: SimpleNamespace) -> None:
    for message, mail_from, why in (
        (MESSAGE.replace(FROM.encode(), b"ceo@bank.example"), FROM, "domain"),
        (MESSAGE, "eve@example.net", "envelope"),
        (MESSAGE.replace(b"Alice", b"ceo@bank.example,"), FROM, "author"),
    ):
        assert b"DKIM-Signature" not in submitted(signed_lab, message, mail_from=mail_from)
        assert [each["unsigned"] for each in signed_lab.lab.serve.entries() if "unsigned" in each][-1] == why


def test_20_megabytes_take_no_memory(signed_lab: SimpleNamespace) -> None:
    def highest() -> int:
        [worker] = signed_lab.lab.serve.workers()
        status = Path(f"/proc/{worker}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]

    submitted(signed_lab, MESSAGE + b"warm\r\n" * 20_000)
    before = highest()
    arrived = submitted(signed_lab, MESSAGE + (b"0123456789" * 7 + b"\r\n") * 290_000)
    assert dkimpy_says(signed_lab.keys, arrived) == [True, True]
    assert highest() - before < 2048


OTHER = MESSAGE.replace(FROM.encode(), b"carol@example.net")


@pytest.mark.parametrize(
    ("message", "login", "mail_from"),
    [
        (MESSAGE, "alice", FROM),
        (MESSAGE, "", FROM),
        (MESSAGE, "alice", "bounce@example.net"),
        (OTHER, "alice", FROM),
        (MESSAGE.replace(b"To:", b"From: eve@example.org\r\nTo:"), "alice", FROM),
    ],
    ids=["login", "trusted", "envelope", "domain", "author"],
)
def test_check_outbound_says_what_the_milter_did(
    signed_lab: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    message: bytes,
    login: str,
    mail_from: str,
) -> None:
    """Of the message in the queue, and of the file that the client sent: the same keys, or the same reason."""
    lab = signed_lab.lab
    with lab.postfix.client() as client:
        client.command("EHLO x.example")
        client.become("198.51.100.7" if login else "127.0.0.1", "x.example", login)
        client.command("EHLO x.example")
        reply = client.send(mail_from, ["bob@later.example"], message)
    assert reply.queue_id, reply
    entry = lab.serve.entry(reply.queue_id)
    done = entry.get("signed_by", []), entry.get("unsigned")
    monkeypatch.setenv("MAIL_CONFIG", str(lab.postfix.folder / "etc"))
    file = tmp_path / "message.eml"
    file.write_bytes(message)
    client_options = ["--login", login] if login else ["--ip", "127.0.0.1"]
    for what in ([reply.queue_id], [str(file), *client_options, "--mail-from", mail_from]):
        status = main(["check", "--outbound", *what, "--json", "--config", str(lab.serve.config)])
        found = json.loads(capsys.readouterr().out)
        assert (found["signing"]["signed_by"], found["signing"]["unsigned"]) == done
        assert status == (0 if done[0] else 1)
    # at the time of the message, even the fields are the same
    config = str(lab.postfix.folder / "etc")
    queued = subprocess.run(
        ["/usr/sbin/postcat", "-c", config, "-hq", reply.queue_id], check=True, capture_output=True, text=True
    ).stdout
    fields = re.findall(r"(?m)^DKIM-Signature: (.*(?:\n[ \t].*)*)$", queued)
    assert len(fields) == len(done[0])
    for signed_at in sorted({re.search(r"\bt=([0-9]+);", each)[1] for each in fields}):  # type: ignore[index]
        main(["check", "--outbound", str(file), *client_options, "--mail-from", mail_from, "--json",
              "--at", f"@{signed_at}", "--config", str(lab.serve.config)])  # fmt: skip
        found = json.loads(capsys.readouterr().out)
        assert [each["value"] for each in found["add"]] == fields
