"""BDAT (RFC 3030): a message in chunks is judged as the same octets after DATA are, and nothing in it ends it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable

import pytest

from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.mta import Lab
from tests.lab.raw import RawSmtp
from tests.lab.sign import rsa_key, written
from tests.lab.smtp import Reply

KEY = rsa_key()
ZONE = Zone(
    f"""
    20.2.0.192.in-addr.arpa        PTR  out.cloud.example
    out.cloud.example              A    192.0.2.20
    cloud.example                  TXT  "v=spf1 ip4:192.0.2.20 -all"
    _dmarc.cloud.example           TXT  "v=DMARC1; p=reject"
    _dmarc.bank.example            TXT  "v=DMARC1; p=reject"
    sel._domainkey.cloud.example   TXT  "{KEY.record}"
    """,
    limits=LIMITS,
)
PLAIN = b"From: user@cloud.example\r\nTo: bob@receiver.example\r\nSubject: hi\r\n\r\nHello,\r\n.\r\n..dots\r\n\r\n"
SPOOF = PLAIN.replace(b"user@cloud", b"ceo@bank")
CHANGED = PLAIN.replace(b"Hello", b"Hello\r\nFrom: ceo@bank.example")


# By default Postfix 3.9 and later disconnect a client that sends commands where it should wait for a reply. The clients
# here do that to see what Postfix makes of the commands.
MAIN = """
smtpd_forbid_bare_newline = normalize
smtpd_forbid_unauth_pipelining = no
"""


@pytest.fixture(scope="module")
def chunks_lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(names=ZONE, more=MAIN)


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


HEADER = b"From: user@cloud.example\r\nTo: bob@receiver.example\r\nSubject: hi\r\n\r\n"
# name: (the body, does a signature over it verify?)
BODIES = {
    "line": (b"a\r\n", True),
    "no end of line": (b"a", True),
    "nothing": (b"", True),
    "empty lines": (b"\r\n\r\n", True),
    "blanks at the end": (b"a  \r\n \t \r\n\r\n", True),
    "dot": (b".\r\n", True),
    "dots": (b"..\r\n.a\r\n..b\r\n", True),
    "From line": (b"From me\r\n>From you\r\n", True),
    "NUL": (b"a\0b\0\r\n\0\r\n", True),
    "8-bit": (b"\xff\xfe\xc3\r\n", True),
    "long lines": (b"x" * 5000 + b"\r\n" + b"y" * 2048 + b"\r\n" + b"z" * 2049, True),
    "BDAT": (b"BDAT 0 LAST\r\nRSET\r\n", True),
    # Postfix gives lines ends of its own and makes a bare CR a space, before we are asked
    "bare LF": (b"a\nb\r\n", False),
    "bare CR": (b"a\rb\r\n", False),
    "CR CR LF": (b"a\r\r\nb\r\n", False),
    "LF CR": (b"a\n\rb\r\n", False),
    "CR where a line is cut": (b"x" * 2047 + b"\ry\r\n", False),
}


@pytest.mark.parametrize("canonicalization", [b"relaxed", b"simple"])
@pytest.mark.parametrize("name", BODIES)
def test_a_body_in_chunks(chunks_lab: Lab, name: str, canonicalization: bytes) -> None:
    """The hash of the body is that of the same octets by DATA, where dots are doubled on the way."""
    body, verifies = BODIES[name]
    value = b" v=1; a=rsa-sha256; c=%s/%s; d=cloud.example; s=sel; h=from; bh={bh}; b={b}" % ((canonicalization,) * 2)
    relaxed = canonicalization == b"relaxed"
    signed = written(HEADER + body, value, KEY, covered=[b"from"], relaxed=(relaxed, relaxed))
    whole = by_bdat(chunks_lab, [signed])
    pieces = by_bdat(chunks_lab, cut(signed, *range(7, len(signed), 7)), last_is_empty=True)
    plain = by_data(chunks_lab, signed if signed.endswith(b"\r\n") else signed + b"\r\n")
    found = [judged(chunks_lab, reply) for reply in (whole, pieces, plain)]
    assert [re.findall(r"\sdkim=(\w+)", each) for each in found] == [["pass" if verifies else "fail"]] * 3
    assert len(set(found)) == 1
    texts = [chunks_lab.postfix.delivered(reply.queue_id).partition(b"\n\n")[2] for reply in (whole, pieces, plain)]
    assert len(set(texts)) == 1


def chunk(octets: bytes, last: bool = False, length: int | None = None) -> bytes:
    """The command, and what follows it."""
    return b"BDAT %d%s\r\n" % (len(octets) if length is None else length, b" LAST" if last else b"") + octets


MAIL = b"MAIL FROM:<user@cloud.example>\r\n"
RCPT = b"RCPT TO:<bob@receiver.example>\r\n"
AUTHOR = b"From: user@cloud.example\r\n"
GOOD = AUTHOR + b"\r\nx\r\n"
EVIL = b"From: ceo@bank.example\r\n\r\nx\r\n"
# name: (what is sent, the codes of the replies, "R" for the refusal of a spoof and "Q" for a message that is taken)
TALKS = {
    "LAST without octets": (MAIL + RCPT + chunk(GOOD) + chunk(b"", True), "250 250 250 Q"),
    "DATA behind BDAT": (MAIL + RCPT + chunk(GOOD) + b"DATA\r\n", "250 250 250 503"),
    "BDAT behind DATA": (MAIL + RCPT + b"DATA\r\n" + GOOD + chunk(EVIL, True) + b".\r\n", "250 250 354 Q"),
    "RSET between": (
        MAIL + RCPT + chunk(GOOD) + b"RSET\r\n" + MAIL + RCPT + chunk(EVIL, True),
        "250 250 250 250 250 250 R",
    ),
    "RSET and no MAIL": (MAIL + RCPT + chunk(GOOD) + b"RSET\r\n" + chunk(EVIL, True), "250 250 250 250 503"),
    "EHLO between": (
        MAIL + RCPT + chunk(GOOD) + b"EHLO x\r\n" + MAIL + RCPT + chunk(EVIL, True),
        "250 250 250 250 250 250 R",
    ),
    "MAIL between": (MAIL + RCPT + chunk(GOOD) + MAIL + chunk(EVIL, True), "250 250 250 503 Q"),
    "RCPT between": (MAIL + RCPT + chunk(GOOD) + RCPT + chunk(EVIL, True), "250 250 250 503 Q"),
    "NOOP between": (MAIL + RCPT + chunk(GOOD[:9]) + b"NOOP\r\n" + chunk(GOOD[9:], True), "250 250 250 250 Q"),
    "chunk behind LAST": (MAIL + RCPT + chunk(GOOD, True) + chunk(EVIL, True), "250 250 Q 503"),
    "message behind LAST": (MAIL + RCPT + chunk(GOOD, True) + MAIL + RCPT + chunk(EVIL, True), "250 250 Q 250 250 R"),
    "message behind a refusal": (
        MAIL + RCPT + chunk(EVIL, True) + MAIL + RCPT + chunk(GOOD, True),
        "250 250 R 250 250 Q",
    ),
    "empty chunk": (MAIL + RCPT + chunk(b"") + chunk(GOOD, True), "250 250 551 551"),
    "no recipient": (MAIL + chunk(EVIL, True), "250 554"),
    "no sender": (chunk(EVIL, True), "503"),
    "length too short": (MAIL + RCPT + chunk(GOOD, True, len(GOOD) - 3), "250 250 Q 500"),
    "BINARYMIME": (b"MAIL FROM:<user@cloud.example> BODY=BINARYMIME\r\n", "555"),
    "chunk in a chunk": (MAIL + RCPT + chunk(AUTHOR + b"\r\n" + chunk(EVIL, True), True), "250 250 Q"),
    "name of a field over two": (
        MAIL + RCPT + chunk(b"Fr") + chunk(b"om: ceo@bank.example\r\n\r\nx", True),
        "250 250 250 R",
    ),
    "line end over two": (MAIL + RCPT + chunk(b"X: y\r") + chunk(b"\n" + EVIL, True), "250 250 250 R"),
    "line over two": (MAIL + RCPT + chunk(b"From: ceo@") + chunk(b"bank.example\r\n\r\nx", True), "250 250 250 R"),
    "continuation in the second": (
        MAIL + RCPT + chunk(b"From:\r\n") + chunk(b" ceo@bank.example\r\n\r\nx", True),
        "250 250 250 R",
    ),
    "end of the header in the second": (
        MAIL + RCPT + chunk(AUTHOR + b"\r") + chunk(b"\n" + EVIL, True),
        "250 250 250 Q",
    ),
}


@pytest.mark.parametrize("name", TALKS)
def test_commands_between_chunks(chunks_lab: Lab, name: str) -> None:
    """What comes in was judged with what belongs to it, and nothing else."""
    octets, expected = TALKS[name]
    with RawSmtp("127.0.0.1", chunks_lab.postfix.port) as smtp:
        smtp.hello("192.0.2.20", "out.cloud.example")
        replies = smtp.content(octets)
    found = []
    for reply in replies:
        refused = str(reply) == "550 5.7.1 Email rejected per DMARC policy for bank.example"
        found.append("Q" if reply.queue_id else "R" if refused else str(reply.code))
        if reply.queue_id:
            assert "dmarc=pass header.from=cloud.example" in judged(chunks_lab, reply)
            header = chunks_lab.postfix.delivered(reply.queue_id).partition(b"\n\n")[0]
            assert re.findall(rb"^From:.*", header, re.MULTILINE) == [AUTHOR.strip()]
    assert " ".join(found) == expected
