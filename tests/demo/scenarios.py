"""The messages of the demo, and what must become of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailassay.zone import Zone
from tests.lab.limits import LIMITS

from ..lab.sign import ed25519_key, rsa_key

RECIPIENT = "bob@receiver.example"
ZONE_FILE = Path(__file__).with_name("demo.zone")
ATTACKER = "198.51.100.66"
BODY = b"\r\nDear Bob,\r\n\r\nthis is a message.\r\n\r\n"
FORGED = b"Authentication-Results: mx.receiver.example; spf=pass; dkim=pass; dmarc=pass header.from=bank.example\r\n"
FOREIGN = b"Authentication-Results: mx.elsewhere.example; spf=pass smtp.mailfrom=news.example\r\n"


@dataclass(frozen=True)
class Expected:
    """The words of the five results, the verdict, and the SMTP reply's code and enhanced code."""

    iprev: str
    spf: str
    dkim: str
    arc: str
    dmarc: str
    verdict: str = "accept"
    reply: str = "250"

    @property
    def fate(self) -> str:
        """What Postfix does with the message."""
        return {"reject": "refused", "defer": "deferred", "hold": "held"}.get(self.verdict, "delivered")


@dataclass(frozen=True)
class Scenario:
    """One message from one client. ``keeps`` and ``loses`` are header fields to be there, or gone, on delivery."""

    name: str
    client: str
    helo: str
    mail_from: str
    message: Callable[[], bytes]
    expected: Expected
    login: str = ""
    keeps: bytes = b""
    loses: bytes = b""


def zone_text() -> str:
    """The demo's zone with the keys in it."""
    padding = " ".join(f"ip4:203.0.113.{number}" for number in range(100))
    values = {"rsa": rsa_key().record, "ed25519": ed25519_key().record, "padding": padding}
    text = ZONE_FILE.read_text()
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def zone(more: str = "") -> Zone:
    """The demo's DNS, with more lines."""
    return Zone(f"{zone_text()}\n{more}", str(ZONE_FILE), limits=LIMITS)


def letter(author: str, *more: bytes) -> bytes:
    """A short message; ``more`` are header fields above the others."""
    return b"".join(more) + f"From: {author}\r\nTo: {RECIPIENT}\r\nSubject: Hello\r\n".encode() + BODY


def by_rsa(author: str, domain: str, *more: bytes) -> bytes:
    """Signed with RSA."""
    return rsa_key().sign(letter(author, *more), domain, "rsa")


def listed() -> bytes:
    """A signed message to a list, which notes what it saw, adds a footer and seals."""
    message = by_rsa("ann@member.example", "member.example")
    message = message.replace(b"Subject: Hello", b"Subject: [list] Hello") + b"-- \r\nyour list\r\n"
    seen = b"Authentication-Results: mx.list.example; dkim=pass header.d=member.example; dmarc=pass\r\n"
    return rsa_key().seal(seen + message, "list.example", "mx.list.example").replace(seen, b"")


def unanswered() -> bytes:
    """Signed with a key that DNS does not give."""
    return rsa_key().sign(letter("ann@late.example"), "late.example", "slow")


SCENARIOS = [
    Scenario(
        "aligned pass by SPF", "192.0.2.10", "mail.news.example", "bounce@news.example",
        lambda: letter("Alice <alice@news.example>"),
        Expected("pass", "pass", "none", "none", "pass"),
    ),
    Scenario(
        "aligned pass by DKIM, RSA", "192.0.2.11", "out.cloud.example", "x@out.cloud.example",
        lambda: by_rsa("alice@post.example", "post.example"),
        Expected("pass", "pass", "pass", "none", "pass"),
    ),
    Scenario(
        "aligned pass by DKIM, Ed25519", "192.0.2.11", "out.cloud.example", "x@out.cloud.example",
        lambda: ed25519_key().sign(letter("alice@post.example"), "post.example", "ed"),
        Expected("pass", "pass", "pass", "none", "pass"),
    ),
    Scenario(
        "aligned by organization", "192.0.2.11", "out.cloud.example", "b@bounce.shop.example",
        lambda: letter("Shop <info@shop.example>"),
        Expected("pass", "pass", "none", "none", "pass"),
    ),
    Scenario(
        "an SPF record that needs TCP", "192.0.2.10", "mail.news.example", "a@large.example",
        lambda: letter("a@large.example"),
        Expected("pass", "pass", "none", "none", "pass"),
    ),
    Scenario(
        "IPv6 client", "2001:db8::25", "six.news.example", "a@six.example",
        lambda: letter("a@six.example"),
        Expected("pass", "pass", "none", "none", "pass"),
    ),
    Scenario(
        "forwarded: SPF fails, DKIM holds", "192.0.2.20", "mx.alumni.example", "alice@bank.example",
        lambda: by_rsa("alice@bank.example", "bank.example"),
        Expected("pass", "fail", "pass", "none", "pass"),
    ),
    Scenario(
        "mailing list, sealed by ARC", "192.0.2.21", "mx.list.example", "list-bounces@list.example",
        listed,
        Expected("pass", "pass", "fail", "pass", "fail"),
    ),
    Scenario(
        "null sender", "192.0.2.11", "out.cloud.example", "",
        lambda: letter("Mail Delivery <postmaster@out.cloud.example>"),
        Expected("pass", "pass", "none", "none", "none"),
    ),
    Scenario(
        "no SPF, no DKIM, no policy", "203.0.113.9", "plain.example", "a@plain.example",
        lambda: letter("a@plain.example"),
        Expected("permerror", "none", "none", "none", "none"),
    ),
    Scenario(
        "spoof of p=reject", ATTACKER, "attacker.example", "alice@bank.example",
        lambda: letter("alice@bank.example"),
        Expected("fail", "fail", "none", "none", "fail", "reject", "550 5.7.26"),
    ),
    Scenario(
        "the same by an unaligned pass", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("alice@post.example"),
        Expected("fail", "pass", "none", "none", "fail", "reject", "550 5.7.26"),
    ),
    Scenario(
        "spoof of p=quarantine", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("info@shop.example"),
        Expected("fail", "pass", "none", "none", "fail", "hold"),
    ),
    Scenario(
        "spoof of p=none", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("a@open.example"),
        Expected("fail", "pass", "none", "none", "fail"),
    ),
    Scenario(
        "spoof of a subdomain, sp=reject", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("a@parks.city.example"),
        Expected("fail", "pass", "none", "none", "fail", "reject", "550 5.7.26"),
    ),
    Scenario(
        "spoof of no such subdomain, np=", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("a@nowhere.city.example"),
        Expected("fail", "pass", "none", "none", "fail", "hold"),
    ),
    Scenario(
        "the same, np=reject", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("a@nowhere.void.example"),
        Expected("fail", "pass", "none", "none", "fail", "reject", "550 5.7.26"),
    ),
    Scenario(
        "spoof of p=reject, t=y", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("a@trial.example"),
        Expected("fail", "pass", "none", "none", "fail", "hold"),
    ),
    Scenario(
        "spoof with forged results", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: letter("alice@bank.example", FORGED),
        Expected("fail", "pass", "none", "none", "fail", "reject", "550 5.7.26"),
    ),
    Scenario(
        "forged and foreign results", "192.0.2.10", "mail.news.example", "bounce@news.example",
        lambda: letter("alice@news.example", FORGED, FOREIGN),
        Expected("pass", "pass", "none", "none", "pass"),
        keeps=FOREIGN, loses=FORGED,
    ),
    Scenario(
        "two From fields", "192.0.2.10", "mail.news.example", "bounce@news.example",
        lambda: letter("alice@news.example", b"From: alice@bank.example\r\n"),
        Expected("pass", "pass", "none", "none", "fail", "reject", "550 5.7.1"),
    ),
    Scenario(
        "no From field", ATTACKER, "attacker.example", "eve@attacker.example",
        lambda: b"Subject: Hello\r\n" + BODY,
        Expected("fail", "pass", "none", "none", "permerror"),
    ),
    Scenario(
        "a key that DNS does not give", "203.0.113.9", "late.example", "ann@late.example",
        unanswered,
        Expected("permerror", "none", "temperror", "none", "temperror", "defer", "451 4.7.1"),
    ),
    Scenario(
        "authenticated client", "203.0.113.77", "laptop", "bob@receiver.example",
        lambda: letter("bob@receiver.example"),
        Expected("-", "-", "-", "-", "-"),
        login="bob",
    ),
]  # fmt: skip
