"""Messages made of many dear parts, and their DNS: what a search for the dearest one chooses from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property

from hypothesis import strategies as st

from mailassay import arc, dkim, domain
from mailassay.authres import render
from mailassay.config import Settings
from mailassay.dkim import key as keys
from mailassay.dmarc import record as dmarc_record
from mailassay.judge.outcome import Outcome
from mailassay.limits import Limits
from mailassay.message import Headers, split
from mailassay.resolver import NXDOMAIN, Answer, Question
from mailassay.spf import evaluation, macro
from tests.bench import bench_author, bench_dkim, bench_dmarc, bench_header, bench_spf
from tests.lab import hostile
from tests.lab.sign import Key, arc_set, ed25519_key, rsa_key, written
from tests.lab.talk import Talk

LIMITS = Limits()
NOW = 1_800_000_000
OURS = bench_header.OURS
_CHUNK = 65_535

FILLERS = {"text": b"x", "words": b" x", "blanks": b" \t", "folding": b"\r\n "}
DOMAINS = {
    "ASCII": "list.example",
    "U-labels": "\u00fc." * 60 + "example",
    "middle dots": "\u30fb\u30a2" * 25 + ".example",
}


@dataclass(frozen=True)
class Parts:
    """What a message is made of; numbers of ``signatures``, ``sets``, and so on."""

    signatures: int = 0
    sets: int = 0
    bits: int = 1024  # of the RSA key that signs; 0: Ed25519
    decoy: str = ""  # keys at the same name, in front of the right one
    decoys: int = 0
    names: int = 0  # in h=, beside those of TAGS
    form: str = "relaxed"
    fields: int = 0  # that h= may mean
    field: int = 0  # octets of each
    filler: str = "text"
    results: int = 0  # octets in each set
    tags: int = 0  # more of them in each signature field
    domain: str = "ASCII"
    lengths: bool = False  # each signature with an l= of its own
    author: str = ""
    authors: int = 1  # From fields
    others: str = ""  # the Authentication-Results that are there
    spf: str = ""
    dmarc: str = ""
    body: str = ""
    octets: int = 0  # of the body
    late: bool = False  # the answers of DNS come one by one


def choices(*, small: bool = False, signatures_only: bool = False) -> dict[str, Sequence[object]]:
    """What each part may be, all or those that concern signatures; ``small``: these, and what is quickly signed."""
    signing: dict[str, Sequence[object]] = {
        "signatures": range(LIMITS.signatures + 1),
        "sets": range(13 if small else LIMITS.arc_sets + 1),
        "bits": [0, 1024, 2048] if small else [0, 1024, 2048, 4096],
        "decoy": ["", *DECOYS],
        "decoys": range(LIMITS.key_records),
        "names": range(501 if small else 5001),
        "form": ["relaxed", "simple"],
        "fields": range(101 if small else 901),
        "field": range(1001),
        "filler": [*FILLERS],
        "results": range(1001 if small else 15_001),
        "tags": range(101 if small else 1001),
        "domain": [*DOMAINS],
        "lengths": [False, True],
    }
    if small or signatures_only:
        return signing
    return signing | {
        "author": ["", *bench_author.CASES],
        "authors": [1, LIMITS.from_fields],
        "others": ["", *bench_header.THEIRS],
        "spf": ["", *_SPF],
        "dmarc": ["", *_DMARC],
        "body": [*bench_dkim.BODIES],
        "octets": [0, 1000, 100_000],
        "late": [False, True],
    }


def parts(**kinds: bool) -> st.SearchStrategy[Parts]:
    """Any of the choices."""
    return st.builds(
        Parts,
        **{
            part: st.integers(values[0], values[-1]) if isinstance(values, range) else st.sampled_from(values)
            for part, values in choices(**kinds).items()
        },
    )


def _record(bits: int, exponent: int) -> str:
    """A key that nobody has the other half of."""
    return f"v=DKIM1; p={bench_dkim.modulus(bits, exponent)}"


def _decoy(parts: Parts) -> str:
    # a signature that has not the length of the key costs nothing
    bits = parts.bits or 8192
    return DECOYS[parts.decoy] or _record(bits, 65537 if parts.decoy == "a usual key" else (1 << 64) - 1)


DECOYS = {
    "a usual key": "",
    "the longest exponent": "",
    "tags": "v=DKIM1; " + "".join(f"a{number}=;" for number in range(600)),
    "U-labels": "v=DKIM1; n=" + "\u00fc" * 2000,
}  # fmt: skip
# what comes with more records than a response may hold is no message's fault
_SPF = [case for case in bench_spf.CASES if "thousands" not in case]
_DMARC = [case for case in bench_dmarc.RECORDS if case not in ("many records", "other records")]


@dataclass
class Made:
    """A message, and its DNS."""

    message: bytes
    zone: dict[tuple[str, str], tuple[str, ...]]
    everywhere: tuple[str, ...] = ()
    client: str = "192.0.2.1"
    helo: str = "mail.example.com"
    mail_from: str = "<a@example.com>"
    late: bool = False
    asked: dict[Question, Future[Answer]] = field(default_factory=dict)

    def resolve(self, name: str, rdtype: str) -> Answer:
        """The answer, as a check asks."""
        records = self.zone.get((name.lower(), rdtype))
        if records is None and rdtype == "TXT" and name.startswith("_dmarc."):
            # told apart, so that none is remembered
            records = tuple(f"{record};{name}" for record in self.everywhere)
        return Answer(records) if records else NXDOMAIN

    def source(self, question: Question) -> Future[Answer]:
        """The answer, which is there already."""
        if question not in self.asked:
            future: Future[Answer] = Future()
            future.set_result(self.resolve(*question))
            self.asked[question] = future
        return self.asked[question]

    def judge(self) -> Outcome:
        """From the first field to the end of the message, as if no message like it had been here before."""
        headers, body = self.read
        forget()
        clock = hostile.Clock()
        ticks = itertools.count(1)

        def later(question: Question) -> Future[Answer]:
            return hostile.Late(clock, next(ticks) / 1000, self.source(question).result())

        source = later if self.late else self.source
        talk = Talk(source, settings=Settings(authserv_id=OURS), client=self.client, helo=self.helo, monotonic=clock)
        return talk.send(headers, body, mail_from=self.mail_from)

    @cached_property
    def read(self) -> tuple[Headers, bytes]:
        """The fields and the body, as the MTA gives them: taking a file apart is no part of judging."""
        return split(self.message)

    def spent(self, limits: Limits) -> int:
        """The work of its signatures."""
        account = dkim.Work(limits)
        headers, content = self.read
        signatures, chain = dkim.signatures(headers, limits, account), arc.chain(headers, limits, account)
        body = dkim.Body([*(each.body for each in signatures if not each.problem), *arc.body_requests(chain)])
        body.update(content)
        bodies, hashes = body.finish(), dkim.HeaderHashes(headers, account)
        for each in signatures:
            dkim.check(each, hashes, bodies, self.resolve, NOW, limits)
        arc.check(chain, hashes, bodies, self.resolve, limits)
        return account.spent


def forget() -> None:
    """What other messages left."""
    spf = (evaluation._checkable, evaluation._counting, macro.letters, macro.expand)
    for remembered in (keys._known, domain._normalize, dmarc_record._read, render._clause, *spf):
        remembered.cache_clear()


def made(parts: Parts) -> Made:
    """The message; of the parts in a header section as much as there is room for."""
    key = rsa_key(parts.bits) if parts.bits else ed25519_key()
    author = bench_author.CASES[parts.author].encode() if parts.author else b" a@example.com"
    room = LIMITS.from_octets // parts.authors
    fields = [b"From:" + author[:room].replace(b"\n", b"\n ").replace(b"\n  ", b"\n ")] * parts.authors
    fields += [b"To: bob@receiver.example", b"Subject: hi"]
    fields += [b"Authentication-Results:" + each for each in bench_header.THEIRS.get(parts.others, [])[:700]]
    filler = FILLERS[parts.filler]
    value = b" x" + filler * (parts.field // len(filler)) + b"x"
    room = LIMITS.header_octets - sum(map(len, fields)) - (parts.sets + parts.signatures) * 2000
    fields += [b"X:" + value] * min(parts.fields, max(0, room // (2 + len(value))))
    body = (bench_dkim.BODIES[parts.body or "text"] * (1 + parts.octets // _CHUNK))[: parts.octets] + b"\r\n"
    message = b"\r\n".join(fields) + b"\r\n\r\n" + body
    return _signed(message, parts, key)


def _signed(message: bytes, parts: Parts, key: Key) -> Made:
    domain_name = DOMAINS[parts.domain]
    tags = b"".join(b"; z%d=" % number for number in range(parts.tags))
    names = b":x" * parts.names
    form = parts.form.encode()
    covered = (b"from", b"to", b"subject", *[b"x"] * parts.names)
    zone = {}
    for number in range(parts.sets + parts.signatures):
        selector = f"s{number}"
        decoys = [f"{_decoy(parts)}; n={number}.{each}" for each in range(parts.decoys)] if parts.decoy else []
        zone[f"{selector}._domainkey.{domain.a_labels(domain_name)}", "TXT"] = (*decoys, f"{key.record}; n={number}")
        start = b"a=%s; d=%s; s=%s%s" % (key.algorithm, domain_name.encode(), selector.encode(), tags)
        covering = b" c=%s/relaxed; h=from:to:subject%s; bh={bh}; b={b}" % (form, names)
        is_relaxed = (parts.form == "relaxed", True)
        if number >= parts.sets:
            length = number + 1 if parts.lengths else None
            more = b" l=%d;" % length if length else b""
            message = written(
                message,
                b" v=1; " + start + b";" + more + covering,
                key,
                covered=covered,
                relaxed=is_relaxed,
                length=length,
            )
        elif len(message) < LIMITS.header_octets - parts.results:
            message = arc_set(
                message,
                number + 1,
                domain_name,
                key,
                results=b" i={number}; x.example; none" + b" x" * (parts.results // 2),
                message_signature=b" i={number}; " + start + b"; c=relaxed/relaxed; h=from:to:subject; bh={bh}; b={b}",
                seal=b" i={number}; cv={status}; " + start + b"; b={b}",
            )
    everywhere = tuple(bench_dmarc.RECORDS[parts.dmarc]) if parts.dmarc else ()
    if parts.spf:
        # the record is that of the HELO name too
        helo = bench_spf.HELO if "delimiters" in parts.spf else "r0.example"
        mail_from = f"<{bench_spf.LOCAL_PART}@r0.example>"
        zone |= bench_spf.CASES[parts.spf]
        return Made(message, zone, everywhere, helo=helo, mail_from=mail_from, late=parts.late)
    return Made(message, zone, everywhere, late=parts.late)
