"""BDAT (RFC 3030): a message in chunks is judged as the same octets after DATA are, and nothing in it ends it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable

import pytest

from mailassay.zone import Zone
from tests.lab.raw import RawSmtp
from tests.lab.sign import rsa_key
from tests.lab.smtp import Reply

from .conftest import Lab

KEY = rsa_key()
ZONE = Zone(
    f"""
    20.2.0.192.in-addr.arpa        PTR  out.cloud.example
    out.cloud.example              A    192.0.2.20
    cloud.example                  TXT  "v=spf1 ip4:192.0.2.20 -all"
    _dmarc.cloud.example           TXT  "v=DMARC1; p=reject"
    _dmarc.bank.example            TXT  "v=DMARC1; p=reject"
    sel._domainkey.cloud.example   TXT  "{KEY.record}"
    """
)
PLAIN = b"From: user@cloud.example\r\nTo: bob@receiver.example\r\nSubject: hi\r\n\r\nHello,\r\n.\r\n..dots\r\n\r\n"
SPOOF = PLAIN.replace(b"user@cloud", b"ceo@bank")
CHANGED = PLAIN.replace(b"Hello", b"Hello\r\nFrom: ceo@bank.example")


@pytest.fixture(scope="module")
def chunks_lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(names=ZONE, more="smtpd_forbid_bare_newline = normalize\n")


def by_bdat(lab: Lab, chunks: Iterable[bytes], *, last_is_empty: bool = False) -> Reply:
    """The reply to the last chunk."""
    with RawSmtp("127.0.0.1", lab.postfix.port) as smtp:
        smtp.hello("192.0.2.20", "out.cloud.example")
        assert smtp.command("MAIL FROM:<user@cloud.example>").code == 250
        assert smtp.command("RCPT TO:<bob@receiver.example>").code == 250
        pieces = [*chunks, *([b""] if last_is_empty else [])]
        for number, piece in enumerate(pieces, 1):
            last = " LAST" if number == len(pieces) else ""
            smtp._socket.sendall(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
            reply = smtp._reply()
            if reply.code >= 400:
                break
        return reply


def by_data(lab: Lab, message: bytes) -> Reply:
    stuffed = re.sub(rb"(?m)^\.", b"..", message)
    with RawSmtp("127.0.0.1", lab.postfix.port) as smtp:
        smtp.hello("192.0.2.20", "out.cloud.example")
        assert smtp.envelope("user@cloud.example").code == 354
        return smtp.content(stuffed + b".\r\n")[0]


def judged(lab: Lab, reply: Reply) -> str:
    """Our field of what was delivered; the reply if it was refused."""
    if not reply.queue_id:
        return str(reply)
    delivered = lab.postfix.delivered(reply.queue_id)
    return re.findall(rb"^Authentication-Results:((?:.*\n[ \t])*.*)", delivered, re.MULTILINE)[0].decode()


def cut(message: bytes, *places: int) -> list[bytes]:
    """The message in pieces that begin at these places."""
    edges = [0, *sorted(places), len(message)]
    return [message[begin:end] for begin, end in itertools.pairwise(edges)]


WAYS: dict[str, Callable[[bytes], list[bytes]]] = {
    "one chunk": lambda message: [message],
    "octet by octet": lambda message: [message[at : at + 1] for at in range(len(message))],
    "inside each CRLF": lambda message: cut(message, *(found.end() for found in re.finditer(rb"\r", message))),
    "inside a field": lambda message: cut(message, message.index(b"From:") + 2, message.index(b"cloud") + 2),
    "inside the end of the header": lambda message: cut(message, message.index(b"\r\n\r\n") + 2),
    "around a dot": lambda message: cut(message, message.index(b"\r\n.") + 2, message.index(b"\r\n.") + 3),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("canonicalization", [b"relaxed", b"simple"])
@pytest.mark.parametrize("last_is_empty", [False, True])
def test_a_signature_over_chunks(chunks_lab: Lab, way: str, canonicalization: bytes, last_is_empty: bool) -> None:
    signed = KEY.sign(PLAIN, "cloud.example", canonicalize=(canonicalization, canonicalization))
    reply = by_bdat(chunks_lab, WAYS[way](signed), last_is_empty=last_is_empty)
    found = judged(chunks_lab, reply)
    assert "dkim=pass" in found
    assert "dmarc=pass" in found


@pytest.mark.parametrize("message", [PLAIN, SPOOF, CHANGED], ids=["plain", "spoof", "a field in the body"])
@pytest.mark.parametrize("way", ["one chunk", "octet by octet", "inside the end of the header"])
def test_chunks_are_judged_as_data_is(chunks_lab: Lab, way: str, message: bytes) -> None:
    if message is SPOOF:
        message = message.replace(b"bob@receiver", b"cloud@receiver")
    reply = by_bdat(chunks_lab, WAYS[way](message))
    plain = by_data(chunks_lab, message)
    assert reply.code == plain.code == (550 if b"ceo@bank" in message.partition(b"\r\n\r\n")[0] else 250)
    assert judged(chunks_lab, reply) == judged(chunks_lab, plain)


def test_after_rset_chunks_are_another_message(chunks_lab: Lab) -> None:
    """Nothing of the one that was given up counts for the next."""
    signed = KEY.sign(PLAIN, "cloud.example")
    with RawSmtp("127.0.0.1", chunks_lab.postfix.port) as smtp:
        smtp.hello("192.0.2.20", "out.cloud.example")
        for message, last in ((signed, False), (SPOOF, True)):
            smtp.command("MAIL FROM:<user@cloud.example>")
            smtp.command("RCPT TO:<bob@receiver.example>")
            smtp._socket.sendall(f"BDAT {len(message)}{' LAST' if last else ''}\r\n".encode() + message)
            reply = smtp._reply()
            if not last:
                assert smtp.command("RSET").code == 250
    assert str(reply) == "550 5.7.1 Email rejected per DMARC policy for bank.example"
