"""Fuzzed conversations: an input is a script of milter events and DNS records, and this is what must hold.

A script is pieces that end with the octet 0xFF, which no UTF-8 text has. The first octet of a piece says what it is::

    s settings  c client  h HELO  m MAIL  l MAIL of a login  u MAIL with SMTPUTF8  r RCPT  f field  e end of headers
    b body  x end of message  a abort  T TXT  P PTR  X MX  A A  Q AAAA: "name value"
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AF_INET, AF_INET6, AF_UNIX
from typing import Any

import Milter

from mailassay import config
from mailassay.config import Settings
from mailassay.daemon.callbacks import Callbacks, Work
from mailassay.judge import logline
from mailassay.judge.outcome import Outcome
from mailassay.judge.session import Clocks, Session
from mailassay.limits import Limits
from mailassay.message import Field, Headers
from mailassay.nameservers.turns import Turns
from mailassay.policy import DkimRules, DmarcActions, IprevActions, Mode, Partial, Policy, SpfActions
from mailassay.replay import explain
from mailassay.replay.message_file import Message
from mailassay.replay.trace import Trace
from mailassay.resolver import Cached, Question, Source
from mailassay.verdict import Action

from . import reader
from .world import AUTHSERV_ID, BANK, NOW, Dns, add_record, can_be_from_the_bank

_RECORDS = {b"T": "TXT", b"P": "PTR", b"X": "MX", b"A": "A", b"Q": "AAAA"}
_MAX_MESSAGES = 4
_CLOCKS = Clocks(now=lambda: NOW, monotonic=lambda: 0.0)
# no time at all: an answer that is there counts, and nothing waits
_SETTINGS = Settings(
    authserv_id=AUTHSERV_ID,
    trusted_networks=(ip_network("192.0.2.250/32"),),
    message_timeout=0.0,
    dns=config.Dns(timeout=0.0),
)
_SMALL = Limits(
    header_fields=50, from_fields=1, from_octets=1000, from_domains=1, signatures=1, key_records=1, key_bits=4096,
    signature_work=5000, clock_tolerance=0, arc_sets=1, ptr_names=1, identifiers=2, record_octets=1000,
    dns_questions=50,
)  # fmt: skip
_HARSH = Policy(
    dmarc=DmarcActions(
        reject=Action.TAG, quarantine=Action.HOLD, temperror=Action.DEFER, ambiguous_author=Action.REJECT
    ),
    spf=SpfActions(Action.REJECT, Action.TAG, Action.REJECT, Action.DEFER),
    iprev=IprevActions(Action.REJECT, Action.HOLD, Action.DEFER),
)
POLICIES = [
    Policy(),
    Policy(dmarc=DmarcActions(reject=Action.TAG, quarantine=Action.TAG)),
    Policy(dmarc=DmarcActions(ambiguous_author=Action.HOLD), dkim=DkimRules(Partial.ALIGN), mode=Mode.MONITOR),
    _HARSH,
    Policy(limits=_SMALL),
]


@dataclass(frozen=True)
class Script:
    """The DNS and the events of an input."""

    policy: Policy
    dns: Dns
    events: list[tuple[bytes, bytes]]


def script(data: bytes) -> Script:
    """Read an input; every input is one."""
    policy, events = POLICIES[0], []
    records: dict[tuple[str, str], list[str]] = {}
    for piece in data.split(b"\xff"):
        kind, rest = piece[:1], piece[1:]
        if kind in _RECORDS:
            add_record(records, _RECORDS[kind], rest)
        elif kind == b"s":
            policy = POLICIES[(rest or b"\0")[0] % len(POLICIES)]
        else:
            events.append((kind, rest))
    return Script(policy, Dns(records), list(_deliverable(events)))


def _deliverable(events: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """The events that libmilter would deliver in that order, others left out: one connect, messages in their order."""
    # what may follow what; "-" is the time between messages
    follows = {b"-": b"hmlua", b"m": b"rfebxa", b"r": b"rfebxa", b"f": b"fea", b"e": b"bxa", b"b": b"bxa"}
    first = next((rest for kind, rest in events if kind == b"c"), b"198.51.100.66")
    yield b"c", first
    state, messages = b"-", 0
    for kind, rest in events:
        if not kind or kind not in follows[state]:
            continue
        if kind in b"mlu" and messages == _MAX_MESSAGES:
            return
        yield kind, rest
        messages += kind in b"mlu"
        state = {b"h": b"-", b"a": b"-", b"x": b"-", b"l": b"m", b"u": b"m"}.get(kind, kind)


def _client(rest: bytes) -> IPv4Address | IPv6Address | None:
    if len(rest) in (4, 16) and b"." not in rest and b":" not in rest:
        return ip_address(rest)
    try:
        return ip_address(rest.decode("ascii"))
    except ValueError:
        return None


def _field(rest: bytes) -> Field | None:
    """A field as Postfix would let it through."""
    name, colon, value = rest.partition(b":")
    return Field(name, value) if colon and name and all(33 <= octet <= 126 for octet in name) else None


@dataclass
class _Seen:
    """What one message was, for those who look at its outcome."""

    sender: str = ""
    utf8: bool = False
    fields: list[Field] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)


class _Counting:
    def __init__(self, source: Source) -> None:
        self._source, self.asked = source, 0

    def __call__(self, question: Question) -> Any:
        self.asked += 1
        return self._source(question)


def conversation(data: bytes) -> None:
    """Milter events and DNS, all of the sender's making."""
    told = script(data)
    source = _Counting(told.dns)
    settings = replace(_SETTINGS, policy=told.policy)
    talk = Session(settings, source, "unused.example", _CLOCKS)
    client, helo, seen = None, "", _Seen()
    for kind, rest in told.events:
        match kind:
            case b"c":
                client = _client(rest)
                talk.connect(client, local=rest == b"local")
            case b"h":
                helo = rest.decode("utf-8", "replace")
                talk.helo(helo)
            case b"m" | b"l" | b"u":
                source.asked, seen = 0, _Seen(rest.decode("utf-8", "surrogateescape"), utf8=kind == b"u")
                talk.mail_from(seen.sender, "joe" if kind == b"l" else "", smtputf8=seen.utf8)
            case b"r":
                talk.recipient(rest.decode("utf-8", "surrogateescape"))
            case b"f":
                if found := _field(rest):
                    seen.fields.append(found)
                    talk.header(*found)
            case b"e":
                talk.end_of_headers()
            case b"b":
                seen.body.append(rest)
                talk.body(rest)
            case b"x":
                outcome = talk.end_of_message("4QUEUE")
                assert source.asked <= _most(told.policy.limits)
                _check(outcome, seen, helo, longer=told.policy.dkim.partial is Partial.ALIGN)
            case b"a":
                talk.abort()


def _most(limits: Limits) -> int:
    """The questions of one message: SPF of both identities, iprev, sender_domain and ARC; policies, alignment, keys."""
    of_policies = limits.from_domains * (limits.dmarc_queries + 1) + limits.identifiers * limits.dmarc_queries
    return 5 * limits.dns_questions + of_policies + limits.signatures + 1


def _check(outcome: Outcome, seen: _Seen, helo: str, *, longer: bool) -> None:
    verdict, evidence, client = outcome.verdict, outcome.evidence, outcome.client
    headers = Headers(seen.fields)
    line = str(logline.Line(outcome))
    assert line.isprintable()
    json.dumps(logline.facts(outcome))
    explain.as_text(Trace(Message(headers, b""), outcome, _SETTINGS, {}, 0.0), verbose=True)
    if verdict.reply:
        assert str(verdict.reply).isascii()
        assert str(verdict.reply).isprintable()
        assert len(str(verdict.reply)) < 510
    for name, instance in outcome.remove:
        assert instance <= len(headers.named(name.encode()))
    results = [value for name, value in outcome.add if name == "Authentication-Results"]
    assert all("\n" not in value and value.isprintable() for name, value in outcome.add[1:])
    if evidence is None:
        assert all(value == f"{AUTHSERV_ID}; none" for value in results)
        return
    assert len(results) == 1
    assert outcome.add[0][1] is results[0]
    checks = (evidence.iprev, evidence.spf, evidence.spf_helo, evidence.dmarc, evidence.sender_domain, *evidence.dkim)
    for each in filter(None, checks):
        assert each.result == "pass" or each.fault
    assert evidence.arc.result in ("pass", "none") or evidence.arc.fault
    found = reader.check(results[0], AUTHSERV_ID, utf8=seen.utf8)
    assert found["dmarc"] == evidence.dmarc.result
    assert (client not in ("192.0.2.30", "192.0.2.40", "2001:db8::30")) <= (
        found["spf"] != "pass" or not evidence.spf.domain.endswith(BANK)
    )
    if found["dmarc"] != "pass":
        return
    author = evidence.dmarc.header_from
    assert author
    assert len(headers.named(b"from")) == 1
    assert not evidence.dmarc.ambiguous
    good = [evidence.spf.domain] if evidence.spf.result == "pass" else []
    good += [str(each.domain) for each in evidence.dkim if each.result == "pass"]
    # no two organizations under different names of a registry, whatever DNS says
    assert any(each.lower().split(".")[-2:] == author.split(".")[-2:] for each in good), (author, good)
    if author == BANK or author.endswith("." + BANK):
        sender = seen.sender.strip(" <>\r\n\t") or helo
        body = b"".join(seen.body)
        assert can_be_from_the_bank(client, sender, headers, body, longer=longer), "a pass in the bank's name"


# ours as a careless reader sees it
_OURS = re.compile(rb"\s*" + re.escape(AUTHSERV_ID.encode()) + rb"(?![\w.-])", re.IGNORECASE)


class _Mta:
    """The milter context of a session: keeps the header section as an MTA does, and what it was told."""

    def __init__(self, login: bool) -> None:
        self.login = login
        self.fields: list[Field] = []
        self.reply: tuple[str, ...] = ()

    def getsymval(self, name: str) -> str | None:
        known = {"j": AUTHSERV_ID, "{j}": AUTHSERV_ID, "i": "4QUEUE", "{auth_authen}": "joe" if self.login else None}
        # as of an MTA that does not say how it understands an address
        return known.get(name)

    def setpriv(self, session: Callbacks | None) -> None:
        del session

    def setsymlist(self, stage: int, macros: str) -> None:
        del stage, macros

    def addheader(self, name: str, value: str, index: int = -1) -> None:
        assert name.isascii()
        assert name.isprintable()
        assert "\r" not in value
        assert "\0" not in value
        self.fields.insert(index if index >= 0 else len(self.fields), Field(name.encode(), value.encode()))

    def chgheader(self, name: str, instance: int, value: str | None) -> None:
        assert not value, "we never change a field, but remove it"
        places = [at for at, each in enumerate(self.fields) if each.name.lower() == name.encode().lower()]
        del self.fields[places[instance - 1]]

    def setreply(self, code: str, enhanced: str, text: str) -> None:
        self.reply = (code, enhanced, text)
        assert text.isascii()
        assert text.isprintable()

    def quarantine(self, reason: str) -> None:
        assert reason.isprintable()


class _Failing(logging.Handler):
    """A fault that the session answers for by deferring is a finding here."""

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()
        if record.exc_info and record.exc_info[1]:
            raise record.exc_info[1]


_FAILING = _Failing()


def session(data: bytes) -> None:
    """The same by the callbacks that libmilter calls; the header section that comes out holds one field of ours."""
    log = logging.getLogger("mailassay.daemon.callbacks")
    log.propagate = False
    if _FAILING not in log.handlers:
        log.addHandler(_FAILING)
    told = script(data)
    turns = Turns(Cached(told.dns, 100), 50)
    talk = Callbacks(Work(replace(_SETTINGS, policy=told.policy), turns.asker, threading.Lock(), retire=lambda: None))
    mta, utf8 = _Mta(login=False), False
    talk._setctx(mta)
    talk.negotiate([Milter.CURR_ACTS, Milter.P_HDR_LEADSPC | Milter.P_SKIP, 0, 0])
    for kind, rest in told.events:
        match kind:
            case b"c":
                client = _client(rest)
                family = AF_UNIX if rest == b"local" else AF_INET if client and client.version == 4 else AF_INET6
                talk.connect("host.example", family, (str(client), 25) if client else None)
            case b"h":
                talk.hello(rest.decode("utf-8", "replace"))
            case b"m" | b"l" | b"u":
                mta.login, mta.fields, mta.reply, utf8 = kind == b"l", [], (), kind == b"u"
                talk.envfrom(rest.decode("utf-8", "surrogateescape"), *(["SMTPUTF8"] if kind == b"u" else []))
            case b"r":
                talk.envrcpt(rest.decode("utf-8", "surrogateescape"))
            case b"f":
                if found := _field(rest):
                    mta.fields.append(found)
                    talk.header(found.name.decode(), found.value)
            case b"e":
                talk.eoh()
            case b"b":
                talk.body(rest)
            case b"x":
                answer = talk.eom()
                assert answer in (Milter.CONTINUE, Milter.TEMPFAIL, Milter.REJECT)
                assert (answer == Milter.CONTINUE) == (not mta.reply)
                if answer == Milter.CONTINUE:
                    _check_fields(mta.fields, utf8=utf8)
            case b"a":
                talk.abort()


def _check_fields(fields: list[Field], *, utf8: bool) -> None:
    results = [each for each in fields if each.name.lower() == b"authentication-results"]
    ours = [each for each in results if _OURS.match(each.value)]
    assert len(ours) <= 1
    if ours:
        assert ours[0] is results[0], "ours is not the first"
        assert ours[0] is fields[0]
        reader.check(ours[0].value.decode().removeprefix(" "), AUTHSERV_ID, utf8=utf8)
    assert not any(each.name == b"X-Mailassay-Marker" for each in fields[:1])
