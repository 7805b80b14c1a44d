"""DNS and messages of a sender who tries whatever may let him in as somebody else, made by chance from a seed.

The victim is ``bank.example``, whose DNS is good and whose policy is reject. Everything below ``test`` is the sender's:
what stands there follows from the name and the seed, so that it need not be written down.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from mailassay.resolver import NO_DATA, NXDOMAIN, Answer, DnsLimit, DnsTempError, Question
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

from .sign import Key, arc_set, ed25519_key

KEY = ed25519_key()
VICTIM = """
    bank.example                    A    203.0.113.80
    bank.example                    MX   10 mx.bank.example
    bank.example                    TXT  "v=spf1 mx include:spf.bank.example -all"
    spf.bank.example                TXT  "v=spf1 exists:%{i}.%{l}.spf.bank.example -all"
    mx.bank.example                 A    203.0.113.25
    mx.bank.example                 TXT  "v=spf1 a -all"
    news.bank.example               A    203.0.113.81
    sel._domainkey.bank.example     TXT  "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
"""
POLICIES = [
    "p=reject",
    "p=reject; sp=reject; np=reject",
    "p=reject; adkim=s; aspf=s",
    "p=reject; psd=n; rua=mailto:a@b.c",
]
_LABELS = ["a", "b", "mail", "x1", "_spf", "1.2.3.4.5.6.7", "%{l}", "%{h}", "%{i}", "%{p}", "%{s}"]


class Clock:
    """Time that goes on only if somebody waits; answers arrive on the way."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Late]] = []
        self._count = itertools.count()

    def __call__(self) -> float:
        return self.now

    def expect(self, late: Late, seconds: float) -> None:
        """An answer will arrive."""
        heapq.heappush(self._due, (self.now + seconds, next(self._count), late))

    def wait(self, seconds: float, until: Late | None = None) -> None:
        """Let so much time go by, or less if an answer is there before."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end and not (until and until.done()):
            self.now, _, late = heapq.heappop(self._due)
            late.arrive()
        if not (until and until.done()):
            self.now = end


class Late(Future[Answer]):
    """An answer that comes after some seconds, if anybody waits as long."""

    def __init__(self, clock: Clock, seconds: float, answer: Answer | Exception) -> None:
        super().__init__()
        self._clock, self._answer = clock, answer
        if seconds:
            clock.expect(self, seconds)
        else:
            self.arrive()

    def arrive(self) -> None:
        """Now it is there."""
        if isinstance(self._answer, Answer):
            self.set_result(self._answer)
        else:
            self.set_exception(self._answer)

    def result(self, timeout: float | None = None) -> Answer:
        """Waits by the clock."""
        self._clock.wait(2000 if timeout is None else timeout, self)
        return super().result(0)


@dataclass
class Dns:
    """A source of answers: the victim's zone, and the sender's own."""

    seed: int
    clock: Clock
    policy: str
    spends: bool = False
    asked: int = 0
    _victim: Zone = field(init=False)

    def __post_init__(self) -> None:
        self._victim = Zone(f'{VICTIM}\n_dmarc.bank.example TXT "v=DMARC1; {self.policy}"', limits=LIMITS)

    def __call__(self, question: Question) -> Future[Answer]:
        self.asked += 1
        if not question.name.endswith(".test"):
            future = self._victim(question)
            return Late(self.clock, 0.02, future.result())
        chance = random.Random(f"{self.seed} {question.name} {question.rdtype}")
        seconds = chance.choice([0.0, 0.01, 0.3, 5.9, 1000.0])
        trouble = chance.randrange(12)
        if self.spends:
            # a sender who wants to be asked as much as possible
            seconds, trouble = chance.choice([0.0, 0.01]), 99
        if trouble == 0:
            return Late(self.clock, min(seconds, 6.0), DnsTempError(f"{question.name}: SERVFAIL"))
        if trouble == 1:
            return Late(self.clock, min(seconds, 6.0), DnsLimit("dns_octets", "more octets than are read"))
        found = Answer(ttl=300, records=tuple(self._records(chance, question)))
        if not found.records:
            found = chance.choice([NO_DATA, NXDOMAIN])
        return Late(self.clock, seconds, found)

    def _records(self, chance: random.Random, question: Question) -> list[str]:
        count = chance.choice([0, 1, 1, 2, 10, 11])
        if self.spends:
            count = 1 if question.rdtype in ("A", "AAAA", "TXT") else chance.choice([9, 10])
        match question.rdtype:
            case "A":
                own = 1 if self.spends else chance.choice([66, 1])
                return [f"198.51.100.{66 + place if place else own}" for place in range(count)]
            case "AAAA":
                return [f"2001:db8::{place + 1:x}" for place in range(count)]
            case "MX":
                return [f"{place} h{place}.{question.name[-60:]}" for place in range(count)]
            case "PTR":
                return [f"p{place}.{chance.choice(['test', 'bank.example'])}" for place in range(count)]
        if "_domainkey" in question.name:
            return [KEY.record] * min(count, 1) + [ed25519_key("other").record] * max(0, count - 6)
        if question.name.startswith("_dmarc."):
            asked = ["p=none", "p=reject", "p=quarantine; np=none", "sp=none; p=x", "psd=y; p=none"]
            tags = ["p=none" if self.spends else chance.choice(asked)]
            return [f"v=DMARC1; {tag}" for tag in tags * min(count, 2)]
        return [self._spf(chance)] * min(count, 1)

    def _spf(self, chance: random.Random) -> str:
        if self.spends:
            names = [f"m{place}.{plain_name(chance)}" for place in range(chance.choice([9, 10]))]
            first = chance.choice(["", f"include:{plain_name(chance)} "])
            return f"v=spf1 {first}{' '.join(map('mx:{}'.format, names))} {chance.choice(['-all', '?all'])}"
        terms = [chance.choice(_TERMS)(name(chance)) for _ in range(chance.choice([1, 3, 9, 10, 12]))]
        end = chance.choice(["-all", "~all", "?all", "+all", f"redirect={name(chance)}", ""])
        return f"v=spf1 {' '.join(terms)} {end}"


_TERMS: list[Callable[[str], str]] = [
    "include:{}".format,
    "include:{}".format,
    "mx:{}".format,
    "mx:{}".format,
    "a:{}".format,
    "exists:{}".format,
    lambda _: "ptr",
    lambda _: "include:_dmarc.bank.example",
    lambda _: "include:bank.example",
    lambda _: "ip4:198.51.100.1",
]


def name(chance: random.Random) -> str:
    """A name of the sender's; few in all, so that some are asked for twice."""
    return f"{chance.choice(_LABELS)}.{chance.choice(_LABELS[:6])}{chance.randrange(9)}.test"


def plain_name(chance: random.Random) -> str:
    """One without macros."""
    return f"{chance.choice(_LABELS[:4])}.d{chance.randrange(9)}.test"


def from_fields(chance: random.Random, *, spends: bool) -> list[bytes]:
    """From fields of which each shows the victim's address to some reader.

    ``spends``: as many other authors as are looked at, whose policies are as far to seek as can be.
    """
    domain = chance.choice(
        ["bank.example", "bank.example", "BANK.example", "news.bank.example", "no.such.bank.example"]
    )
    victim = f"ceo@{domain}"
    deep = "1.2.3.4.5.6." if spends else chance.choice(["", "1.2.3.4.5.6."])
    others = [f"x@{deep}{plain_name(chance)}" for _ in range(6 if spends else chance.choice([0, 1, 2, 6, 7, 12]))]
    comments = "".join(f"({each})" for each in others)
    listed = "".join(f"{each}, " for each in others)
    value = chance.choice(
        [f"{comments} CEO <{victim}>;"]
        if spends
        else [
            f"CEO <{victim}>",
            f"{comments} CEO <{victim}>;",
            f"CEO <{victim}> {comments}",
            f'"{"".join(others)}" <{victim}>',
            f"{listed}{victim}",
            f"{victim}, {listed}z@z.test",
            f"=?utf-8?q?{''.join(others).replace('@', '=40')}?= <{victim}>",
            f"{''.join(f'<{each}>' for each in others)} <{victim}>",
            f"group: {listed}{victim};",
            f"{victim} <{victim}>",
            f"<{victim}>\r\n ({'y' * chance.choice([1, 7000, 9000])})",
        ]
    )
    fields = [value.encode()]
    fields += [f"x@{plain_name(chance)}".encode() for _ in range(0 if spends else chance.choice([0, 0, 0, 1, 9]))]
    chance.shuffle(fields)
    return fields


def signature(chance: random.Random) -> bytes:
    """A field for a key of somebody's, by nobody."""
    domain = chance.choice(["bank.example", "x.bank.example", "example", plain_name(chance), plain_name(chance)])
    return (
        f" v=1; a=ed25519-sha256; c=relaxed/relaxed; d={domain}; s={chance.choice(['sel', 'nonesuch', 'a.b'])};"
        f" h=from; b=YWJj; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; x={chance.choice([99999999999, 1])}"
    ).encode()


def message(chance: random.Random, *, spends: bool) -> bytes:
    """A header section and a body, some of it signed by the sender, for his own domains."""
    fields = [(b"From", value) for value in from_fields(chance, spends=spends)]
    fields += [(b"DKIM-Signature", signature(chance)) for _ in range(chance.choice([0, 1, 3, 12]))]
    fields += [(b"Authentication-Results", b"mx.receiver.example; dmarc=pass")] * chance.choice([0, 1])
    fields += [(b"X-Filler", b"y")] * (0 if spends else chance.choice([0, 0, 0, 1100]))
    chance.shuffle(fields)
    text = b"".join(each + b": " + value + b"\r\n" for each, value in fields) + b"\r\nhello\r\n"
    for _ in range(chance.choice([0, 0, 1])):
        text = sign(KEY, text, plain_name(chance))
    for instance in range(1, chance.choice([1, 1, 1, 3]) + 0):
        text = arc_set(text, instance, plain_name(chance), KEY)
    return text


def sign(key: Key, text: bytes, domain: str) -> bytes:
    """With a good signature, if dkimpy makes one of this header section."""
    try:
        return key.sign(text, domain)
    except ValueError:
        return text
