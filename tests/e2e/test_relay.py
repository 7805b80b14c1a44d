"""What Postfix makes of a message after it was judged: lines that it breaks, fields that it cuts or adds.

The next hop must see no author, and no result in our name, that the milter did not see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from mailassay.author import author
from mailassay.authres.render import is_ours
from mailassay.message import Headers, split
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.mta import Lab
from tests.lab.raw import RawSmtp
from tests.lab.serve import AUTHSERV_ID
from tests.lab.sink import Sink

ZONE = Zone(
    """
    attacker.example          TXT  "v=spf1 ip4:198.51.100.66 -all"
    _dmarc.bank.example       TXT  "v=DMARC1; p=reject"
    """,
    limits=LIMITS,
)
EVE = b"From: eve@attacker.example\r\n"
FORGED = [
    b"Authentication-Results: " + AUTHSERV_ID.encode() + b"; dmarc=pass header.from=bank.example",
    b"From: ceo@bank.example",
]
# where Postfix breaks or cuts what is longer: RFC 5321's line, line_length_limit, header_size_limit
EDGES = [997, 998, 999, 2047, 2048, 2049, 102_399, 102_400, 102_401]


@pytest.fixture(scope="module")
def relay(make_lab: Callable[..., Lab]) -> Iterator[tuple[Lab, Sink]]:
    with Sink() as sink:
        more = f"relay_domains = next.example\nrelay_transport = smtp:[127.0.0.1]:{sink.port}\n"
        more += "always_add_missing_headers = yes\n"
        yield make_lab(names=ZONE, more=more, policy={"dmarc": {"quarantine": "reject"}}), sink


def relayed(
    relay: tuple[Lab, Sink], content: bytes, mail_from: str = "eve@attacker.example", parameters: str = ""
) -> bytes | None:
    """The header section that the next hop gets; None if the message was refused."""
    lab, sink = relay
    with RawSmtp("127.0.0.1", lab.postfix.port) as smtp:
        smtp.hello("198.51.100.66", "mail.attacker.example")
        smtp.command(f"MAIL FROM:<{mail_from}> {parameters}".rstrip())
        assert smtp.command("RCPT TO:<bob@next.example>").code == 250
        assert smtp.command("DATA").code == 354
        reply = smtp.content(content + b"\r\n.\r\n")[0]
    return sink.next().partition(b"\r\n\r\n")[0] + b"\r\n" if reply.code == 250 else None


def check(header: bytes) -> None:
    """What a reader finds: fields begin at the beginning of a line."""
    found = re.findall(rb"^(?i:from)[ \t]*:(.*)", header, re.MULTILINE)
    assert not [value for value in found if b"bank.example" in value], header[-3000:]
    ours = re.findall(rb"^Authentication-Results:((?:.*\r\n[ \t])*.*)", header, re.MULTILINE | re.IGNORECASE)
    claiming = [value for value in ours if value.split(b";")[0].strip() == AUTHSERV_ID.encode()]
    assert len(claiming) == 1
    assert not re.search(rb"header\.from\s*=\s*bank\.example", claiming[0])
    assert not re.search(rb"dmarc\s*=\s*pass", claiming[0])


@pytest.mark.parametrize("forged", FORGED, ids=["results", "author"])
@pytest.mark.parametrize("edge", EDGES)
def test_the_rest_of_a_long_line_is_no_field(relay: tuple[Lab, Sink], edge: int, forged: bytes) -> None:
    """Wherever Postfix breaks or cuts a line."""
    name = b"X-Long: "
    for line in (name + b"a" * (edge - len(name)) + forged, name + b"a" * (edge - len(name) - 1) + b" " + forged):
        header = relayed(relay, EVE + line + b"\r\n\r\nhello")
        assert header is not None
        check(header)


@pytest.mark.parametrize("forged", FORGED, ids=["results", "author"])
@pytest.mark.parametrize("edge", EDGES)
def test_the_rest_of_a_folded_field_is_no_field(relay: tuple[Lab, Sink], edge: int, forged: bytes) -> None:
    folds = b"".join(b"\r\n " + b"a" * 70 for _ in range(edge // 73))
    header = relayed(relay, EVE + b"X-Long:" + folds + b"\r\n " + forged + b"\r\n\r\nhello")
    assert header is not None
    check(header)


@pytest.mark.parametrize(
    "field", [b"Sender: ceo@bank.example", b"Resent-From: ceo@bank.example", b"Reply-To: x@attacker.example"]
)
def test_without_an_author_postfix_shows_no_other(relay: tuple[Lab, Sink], field: bytes) -> None:
    """A From that Postfix adds has the address of MAIL FROM, which anybody may name."""
    header = relayed(relay, field + b"\r\nSubject: hi\r\n\r\nhello", "ceo@bank.example")
    if header is not None:
        check(header)


def test_no_line_of_ours_is_broken(relay: tuple[Lab, Sink]) -> None:
    """However much a sender makes us write."""
    signatures = b"".join(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=" + b"a" * 60 + b".example; s=" + b"b" * 60 + b";\r\n"
        b" i=" + b"c" * 900 + b"@" + b"a" * 60 + b".example; h=from; bh=YQ==; b=" + b"d" * 60 + b"\r\n"
        for _ in range(10)
    )
    header = relayed(relay, EVE + signatures + b"\r\nhello")
    assert header is not None
    check(header)
    (ours,) = re.findall(rb"^Authentication-Results: mx((?:.*\r\n[ \t])*.*)", header, re.MULTILINE)
    assert max(map(len, ours.split(b"\r\n"))) <= 998


def upto(before: bytes, after: bytes, octets: int = 998, fill: bytes = b"a") -> bytes:
    """A text of so many octets."""
    return before + fill * (octets - len(before) - len(after)) + after


REFUSED = "550 5.7.1 Email rejected per DMARC policy for the author domain"
# what is broken on its way behind the first text, and begins a line of its own with the second
BROKEN = {
    "domain": (upto(b'From: "', b'" <ceo@bank.example'), b"x.attacker.example>", REFUSED),
    "dot of the domain": (upto(b'From: "', b'" <ceo@bank.example'), b".attacker.example>", REFUSED),
    "escaped quote": (upto(b'From: "', b"\\"), b'" <ceo@bank.example> \\"" <eve@attacker.example>', REFUSED),
    "escaped end of a comment": (
        upto(b"From: (", b"\\"), b") <ceo@bank.example> (\\)) <eve@attacker.example>", REFUSED,
    ),
    "second line": (b"From:\r\n" + upto(b' "', b'" <ceo@bank.example'), b"x.attacker.example>", REFUSED),
    "second break": (
        upto(b'From: "', b'" <ceo@bank.example', 998 + 997), b"x.attacker.example>", REFUSED,
    ),
    "name of a field": (b"Sender: ceo@bank.example\r\n" + b"j" * 998, b": x\r\n" + EVE.strip(), REFUSED),
    "name of a field, its end": (EVE + b"j" * 997 + b":", b" x", ""),
    "Subject": (EVE + upto(b"Subject: ", b""), b"From: ceo@bank.example", ""),
    "value of another field": (EVE + upto(b'X: "', b"\\"), b'"\r\n From: ceo@bank.example', ""),
}  # fmt: skip


def arrived(header: bytes) -> Headers:
    """The fields that the next hop reads, all that it may think of them being what was judged."""
    headers, _ = split(header)
    ours, *others = [value.decode() for _, value in headers.named(b"authentication-results")]
    assert ours.startswith(f" {AUTHSERV_ID};")
    assert not [value for value in others if is_ours(value.encode(), AUTHSERV_ID)]
    judged = re.findall(r"\sheader\.from=(\S+)", ours)
    found = author(headers, LIMITS)
    assert list(found.domains) == judged
    assert not found.problem or "dmarc=permerror" in ours
    return headers


@pytest.mark.parametrize("name", BROKEN)
def test_no_author_comes_of_a_break(relay: tuple[Lab, Sink], name: str) -> None:
    """What would read otherwise at the next hop is refused."""
    before, after, refused = BROKEN[name]
    lab, sink = relay
    with RawSmtp("127.0.0.1", lab.postfix.port) as smtp:
        smtp.hello("198.51.100.66", "mail.attacker.example")
        smtp.command("MAIL FROM:<eve@attacker.example>")
        assert smtp.command("RCPT TO:<bob@next.example>").code == 250
        assert smtp.command("DATA").code == 354
        (reply,) = smtp.content(before + after + b"\r\n\r\nhello\r\n.\r\n")
    if refused:
        assert str(reply) == refused
    else:
        header = sink.next().partition(b"\r\n\r\n")[0] + b"\r\n"
        # this is where it broke
        assert before[-20:] + b"\r\n " + after[:1] in header
        arrived(header)


RESULTS = {
    "version": (upto(b"Authentication-Results:", AUTHSERV_ID.encode(), fill=b" "), b"1"),
    "other name": (upto(b"Authentication-Results: (", b")" + AUTHSERV_ID.encode()), b"x"),
    "name below ours": (upto(b"Authentication-Results:", AUTHSERV_ID.encode(), fill=b" "), b".attacker.example"),
    "name that ends with ours": (upto(b"Authentication-Results: (", b")x."), AUTHSERV_ID.encode()),
}


@pytest.mark.parametrize("name", RESULTS)
def test_no_results_of_ours_come_of_a_break(relay: tuple[Lab, Sink], name: str) -> None:
    """A field that is another's before the break, and in our name behind it, does not come so far."""
    before, after = RESULTS[name]
    header = relayed(relay, before + after + b"; dmarc=pass header.from=bank.example\r\n" + EVE + b"\r\nhello")
    assert header is not None
    assert len(arrived(header).named(b"authentication-results")) == 1
    check(header)


@pytest.mark.parametrize(
    ("author", "mail_from"),
    [
        ("From: eve@attacker.example", "eve@attacker.example"),
        ("From: eve@xn--bcher-kva.example", "eve@xn--bcher-kva.example"),
    ],
)
def test_nothing_bounces_because_of_us(relay: tuple[Lab, Sink], author: str, mail_from: str) -> None:
    """The next hop has no SMTPUTF8, and the message needs none, though its client asked for it."""
    header = relayed(relay, author.encode() + b"\r\n\r\nhello", mail_from, "SMTPUTF8")
    assert header
    assert header.startswith(b"Authentication-Results: mx.receiver.example;")
