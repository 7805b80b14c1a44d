"""The messages of the load: twenty sender domains, what DNS says of them, and the DMARC result each message must get.

The seed fixes everything but the keys. The zone is JSON as ``mailassay.zone`` reads it.
"""

from __future__ import annotations

import base64
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.lab.mta import DOMAIN
from tests.lab.sign import Key, arc_set, ed25519_key, rsa_key, written

DOMAINS = 20
BIG = 20_000_000
RECIPIENT = f"bob@{DOMAIN}"
_WORDS = ["river", "stone", "letter", "harbour", "winter", "garden", "copper", "paper", "morning", "signal", "window"]
KINDS = {
    "both": 50,  # SPF and DKIM pass and are aligned
    "dkim": 10,  # only DKIM is aligned: MAIL FROM is the sending service's
    "spf": 8,  # only SPF: unsigned
    "forwarded": 8,  # DKIM survives, SPF does not
    "sealed": 7,  # the same, with an ARC set of the forwarder
    "unsigned spoof": 5,
    "broken spoof": 4,  # a signature of the domain that is spoofed, and another body
    "own spoof": 4,  # what passes is the attacker's own domain
    "plain": 4,  # of a domain without SPF, DKIM and DMARC
}
"""Their shares, in a hundred."""


@dataclass(frozen=True)
class Message:
    """One message from one client. ``reverse`` is the client's name in DNS; empty where it has none."""

    kind: str
    client: str
    helo: str
    reverse: str
    mail_from: str
    header_from: str
    content: bytes
    dmarc: str
    refused: bool


@dataclass(frozen=True)
class Corpus:
    """``warm`` are messages of a domain that is none of the others', and ``big`` is another one of it."""

    messages: list[Message]
    warm: list[Message]
    big: Message
    zone: dict[str, dict[str, list[Any]]]


@dataclass(frozen=True)
class _Host:
    """A machine that sends: its name and address, and the domain it belongs to."""

    domain: str
    name: str
    client: str
    reverse: str


@dataclass(frozen=True)
class _Sender:
    """``selectors`` are the keys by name. ``via`` is the machine its mail comes from."""

    domain: str
    via: _Host
    policy: str
    selectors: dict[str, Key]


@dataclass
class _World:
    zone: dict[str, dict[str, list[Any]]] = field(default_factory=dict)

    def add(self, owner: str, rdtype: str, value: Any) -> None:
        self.zone.setdefault(owner, {}).setdefault(rdtype, []).append(value)

    def host(self, domain: str, client: str, label: str = "mail", *, reverse: bool = True) -> _Host:
        name = f"{label}.{domain}"
        self.add(name, "A", client)
        if reverse:
            self.add(".".join([*reversed(client.split(".")), "in-addr.arpa"]), "PTR", name)
        return _Host(domain, name, client, name if reverse else "")

    def key(self, domain: str, selector: str, key: Key) -> Key:
        self.add(f"{selector}._domainkey.{domain}", "TXT", key.record)
        return key

    def service(self, number: int) -> _Host:
        """Who sends for others: its SPF record is two levels of include deep."""
        domain = f"service-{number}.example"
        host = self.host(domain, f"203.0.113.{10 + number}", "out")
        self.add(f"_spf.{domain}", "TXT", f"v=spf1 include:_a.{domain} include:_b.{domain} ~all")
        self.add(f"_a.{domain}", "TXT", f"v=spf1 ip4:198.51.100.{200 + number} -all")
        self.add(f"_b.{domain}", "TXT", f"v=spf1 ip4:{host.client} -all")
        self.add(domain, "TXT", f"v=spf1 include:_spf.{domain} -all")
        return host

    def sender(self, number: int, services: list[_Host]) -> _Sender:
        """A domain with SPF, DKIM and DMARC; of each, domains differ in how."""
        domain = f"sender-{number:02}.example"
        via = own = self.host(domain, f"192.0.2.{10 + number}")
        first, second = services[number % len(services)], services[(number + 1) % len(services)]
        self.add(domain, "MX", [10, own.name])
        match number % 5:
            case 0:
                terms = f"ip4:{own.client}"
            case 1:
                terms, via = f"include:_spf.{first.domain}", first
            case 2:
                terms = "a mx"
            case 3:
                terms, via = f"mx include:_spf.{first.domain} include:_spf.{second.domain}", second
            case _:
                terms = f"a:{own.name} include:_spf.{first.domain}"
        self.add(domain, "A", f"192.0.2.{100 + number}")
        self.add(domain, "TXT", f"v=spf1 {terms} {'~all' if number % 3 == 2 else '-all'}")
        self.add(domain, "TXT", f"site-verification={number:032x}")  # a domain's name has other texts too
        policy = ("reject", "none", "reject", "quarantine")[number % 4]
        self.add(f"_dmarc.{domain}", "TXT", f"v=DMARC1; p={policy}; rua=mailto:dmarc@{domain}")
        selectors = {"s1": self.key(domain, "s1", rsa_key(2048, domain))}
        if number % 4 == 1:
            selectors["s2"] = self.key(domain, "s2", ed25519_key(domain))
        return _Sender(domain, via, policy, selectors)


def corpus(messages: int = 200, seed: int = 1, big: int = BIG) -> Corpus:
    """That many messages, in an order that mixes domains and kinds; ``big`` is how many octets the big one has."""
    rng = random.Random(seed)
    world = _World()
    services = [world.service(number) for number in range(4)]
    senders = [world.sender(number, services) for number in range(DOMAINS)]
    forwarders = [world.host(f"forwarder-{number}.example", f"198.51.100.{10 + number}") for number in range(3)]
    attackers = [
        world.host(f"attacker-{number}.example", f"198.51.100.{60 + number}", reverse=number % 2 == 0)
        for number in range(4)
    ]
    for host in (*forwarders, *attackers):
        world.add(host.domain, "TXT", f"v=spf1 ip4:{host.client} -all")
        world.key(host.domain, "arc", rsa_key(2048, host.domain))
    plain = [world.host(f"plain-{number}.example", f"198.51.100.{90 + number}") for number in range(3)]
    make = partial(_message, rng, services=services, forwarders=forwarders, attackers=attackers, plain=plain)
    kinds = rng.choices([*KINDS], [*KINDS.values()], k=messages)
    chosen = [make(kind, rng.choice(senders)) for kind in kinds]
    other = world.sender(DOMAINS, services)
    return Corpus(chosen, [make("both", other) for _ in range(8)], make("both", other, attachment=big), world.zone)


def _message(
    rng: random.Random,
    kind: str,
    sender: _Sender,
    *,
    attachment: int = 0,
    services: list[_Host],
    forwarders: list[_Host],
    attackers: list[_Host],
    plain: list[_Host],
) -> Message:
    host, author, dmarc = sender.via, sender.domain, "pass"
    envelope, selectors = sender.domain, sender.selectors
    match kind:
        case "dkim":
            host = rng.choice(services)
            envelope = host.domain
        case "spf":
            selectors = {}
        case "forwarded" | "sealed":
            host = rng.choice(forwarders)
        case "unsigned spoof":
            host, selectors, dmarc = rng.choice(attackers), {}, "fail"
        case "broken spoof":
            host, dmarc = rng.choice(attackers), "fail"
        case "own spoof":
            host, dmarc = rng.choice(attackers), "fail"
            envelope, selectors = host.domain, {"arc": rsa_key(2048, host.domain)}
        case "plain":
            host, selectors, dmarc = rng.choice(plain), {}, "none"
            author = envelope = host.domain
    content = _content(rng, author, attachment)
    relaxed = rng.choice([(True, True), (True, True), (True, False)])
    for selector, key in selectors.items():
        content = _signed(content, envelope if kind == "own spoof" else sender.domain, selector, key, relaxed)
    if kind == "sealed":
        results = f" i={{number}}; {{domain}}; spf=pass smtp.mailfrom={author}; dkim=pass header.d={author}"
        key = rsa_key(2048, host.domain)
        content = arc_set(content, 1, host.domain, key, results=results.encode())
    if kind == "broken spoof":
        content += b"Please pay to this account instead.\r\n"
    refused = dmarc == "fail" and sender.policy == "reject"
    mail_from = f"bounce-{rng.getrandbits(32):08x}@{envelope}"
    return Message(kind, host.client, host.name, host.reverse, mail_from, author, content, dmarc, refused)


def _signed(content: bytes, domain: str, selector: str, key: Key, relaxed: tuple[bool, bool]) -> bytes:
    canonical = "/".join("relaxed" if each else "simple" for each in relaxed)
    names = "from:to:subject:date:message-id"
    value = (
        f" v=1; a={key.algorithm.decode()}; c={canonical}; d={domain}; s={selector};\r\n\th={names};\r\n\tbh={{bh}};"
    )
    return written(
        content,
        value.encode() + b"\r\n\tb={b}",
        key,
        covered=[each.encode() for each in names.split(":")],
        relaxed=relaxed,
    )


def _content(rng: random.Random, author: str, attachment: int) -> bytes:
    """What a mail looks like on the wire: 2 to 60 kB, most of them small; or one attachment of about so many octets."""
    lines = [
        f"Received: from desk.{author} (desk.{author} [10.0.0.{rng.randint(1, 250)}])\r\n\tby relay.{author} (Postfix)"
        f" with ESMTPS id {rng.getrandbits(40):X};\r\n\tMon, 1 Sep 2025 10:00:00 +0000",
        # a result of somebody else's, as mail has them
        f"Authentication-Results: relay.{author}; auth=pass smtp.auth=desk",
        f"From: {rng.choice(_WORDS).title()} <someone@{author}>",
        f"To: Bob <{RECIPIENT}>",
        f"Subject: {' '.join(rng.choices(_WORDS, k=5))}",
        "Date: Mon, 1 Sep 2025 10:00:00 +0000",
        f"Message-ID: <{rng.getrandbits(64):016x}@{author}>",
        "MIME-Version: 1.0",
        "Content-Type: application/octet-stream" if attachment else "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {'base64' if attachment else '7bit'}",
        *(f"X-{rng.choice(_WORDS).title()}: {rng.getrandbits(80):020x}" for _ in range(rng.randint(3, 12))),
        "",
    ]
    if attachment:
        lines += base64.encodebytes(rng.randbytes(attachment // 79 * 57)).decode().splitlines()
        return "\r\n".join([*lines, ""]).encode()
    octets = min(60_000, round(rng.lognormvariate(9, 1)) + 2000)
    while octets > 0:
        line = " ".join(rng.choices(_WORDS, k=rng.randint(6, 11)))
        octets -= len(line) + 2
        lines.append(line)
    return "\r\n".join([*lines, ""]).encode()
