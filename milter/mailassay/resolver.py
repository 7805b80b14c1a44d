"""What every check may know of DNS: a question, an answer, and who remembers what was asked.

Layers, each a function from a question to the future of its answer: a source (``network.Nameservers``, ``zone.Zone``),
``Cached`` in front of it for the whole process, an ``Asker`` for one connection if many ask at a time
(``network.turns``), ``Shared`` for one message, and of that a ``Share`` for each check. A check sees none of them but a
``Resolver``: the ``Deadline`` that waits for answers until time is up.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from .limits import Limits

MAX_KEPT = 4096  # octets, of one answer in the cache
_REFRESH = 0.9  # of its time, after which an answer that is wanted is asked for again
_RECORD = 64  # octets of a record beside its text

Clock = Callable[[], float]


class Question(NamedTuple):
    """A name (lower case, no final dot; any text that splits into labels at its dots) and a record type."""

    name: str
    rdtype: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS says: records, or none although the name exists, or no such name (``exists`` False).

    ``records`` are texts: an address (A, AAAA), a name without final dot (PTR, CNAME), ``"10 mx.example"`` (MX), or
    the joined character-strings of one TXT record with one character per octet (latin-1), each once and sorted: they
    are a set (RFC 2181 section 5), so nothing may depend on the order in which a server gives them. ``ttl`` in seconds.
    PTR and MX records with names that have octets other than those of printable ASCII, or a full stop in a label, are
    left out: as text they would be other names, and no host has such a name (RFC 1123 section 2.1).
    ``authentic``: the name server says that DNSSEC proves it (AD, RFC 4035 section 3.2.3). No check depends on it.
    """

    records: tuple[str, ...] = ()
    exists: bool = True
    ttl: int = 0
    authentic: bool = False


NXDOMAIN = Answer(exists=False)
NO_DATA = Answer()


class DnsTempError(Exception):
    """No answer could be had: time-out, SERVFAIL, REFUSED, garbage. The text names the question and the trouble."""


class DnsLate(DnsTempError):
    """The time of the message was up before there was an answer."""


class DnsUnsent(DnsLate):
    """The question was not sent, or too late, or nobody hears the answer: a bound or a fault of ours.

    The sender of this message may have seen to that, so no message is let in by it.
    """


class DnsLimit(Exception):
    """The question was not asked, or its answer not read, since a limit of ours is reached; the text says which.

    This is no trouble of DNS, which may be gone the next time: whoever caused it gets a permanent result.
    ``key`` is the name of the limit in the policy.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def too_many(key: str, limits: Limits) -> DnsLimit:
    """An answer beyond ``dns_octets`` or ``dns_records``."""
    return DnsLimit(key, f"an answer of more than {getattr(limits, key)} {key.removeprefix('dns_')}")


def bounded(octets: int, records: int, limits: Limits) -> None:
    """A response of so many octets, and records in it, is read. Raises :class:`DnsLimit`."""
    for key, found in (("dns_octets", octets), ("dns_records", records)):
        if found > getattr(limits, key):
            raise too_many(key, limits)


class Waiting(Future[Answer]):
    """A question that has to wait before it is sent; ``anew``: although its answer may be kept."""

    anew = False


Source = Callable[[Question], "Future[Answer]"]
"""Starts a question. The future gives an ``Answer`` or raises ``DnsTempError`` or ``DnsLimit``, and always ends."""


class Resolver(Protocol):
    """How a check asks. Blocks; raises :class:`DnsTempError` and :class:`DnsLimit`."""

    def __call__(self, name: str, rdtype: str) -> Answer:
        """The answer for ``name``, letter case and a final dot ignored."""


class Asker(Protocol):
    """The source of one connection, which shares a bound on questions under way with others."""

    def __call__(self, question: Question, /) -> Future[Answer]:
        """Start a question; where others are before it, it waits."""

    def first(self, question: Question, /) -> Future[Answer]:
        """Start a question that goes before the others, also one that waits already."""

    def anew(self, question: Question, /) -> Future[Answer]:
        """Start a question as ``first`` does, although its answer may be kept."""

    def drop(self) -> None:
        """Forget the questions that wait: they end with ``DnsUnsent``."""

    def close(self) -> None:
        """Forget them, and ask nothing any more: that would end with ``DnsUnsent`` too."""


def question(name: str, rdtype: str) -> Question:
    """The canonical question: one spelling, so that it is asked once."""
    return Question(name.lower().removesuffix("."), rdtype)


class Use(NamedTuple):
    """What a cache was good for: questions it was asked, those it sent on, and the answers that it keeps now.

    ``failed`` are those sent that had no answer.
    """

    asked: int
    sent: int
    kept: int
    failed: int = 0


class _Kept(NamedTuple):
    """An answer: until when it holds, and from when on whoever wants it has it asked for anew."""

    until: float
    refresh: float
    future: Future[Answer]


class Cached:
    """The answers of one process: kept as long as their TTL says, at most ``size``, the least used leaving first.

    Questions in flight are shared, so a thousand messages at once ask once. Failures are not kept, nor are answers of
    more than ``MAX_KEPT`` octets: with its question and what keeps it, each takes less than 8 kB at worst, and about
    2 kB as answers usually are. 50,000 are at most 400 MB, and usually 100.
    What is wanted in the last tenth of its time is asked for again, so that nobody waits for what everybody wants.
    """

    def __init__(self, source: Source, size: int, clock: Clock = time.monotonic) -> None:
        self._source, self._size, self._clock = source, size, clock
        self._lock = threading.Lock()
        self._fresh: OrderedDict[Question, _Kept] = OrderedDict()
        self._in_flight: dict[Question, Future[Answer]] = {}
        self._asked = self._sent = self._failed = 0

    def __call__(self, question: Question) -> Future[Answer]:
        known, due = self.find(question)
        if known and not due:
            return known
        sent = self.send(question)
        return known or sent

    def find(self, question: Question) -> tuple[Future[Answer] | None, bool]:
        """What there is without sending the question: an answer that is kept, or one that is under way.

        And whether the question is to be sent.
        """
        with self._lock:
            self._asked += 1
            return self._find(question)

    def send(self, question: Question, *, anew: bool = False) -> Future[Answer]:
        """Send a question that :func:`find` says is to be sent, unless somebody else has done so since then.

        ``anew``: also if its answer is kept.
        """
        with self._lock:
            known, due = (self._in_flight.get(question), False) if anew else self._find(question)
            if known and not due:
                return known
            self._sent += 1
            future = self._in_flight[question] = self._source(question)
        # outside the lock: a future that is done already calls back at once
        future.add_done_callback(lambda done: self._keep(question, done))
        return future

    def use(self) -> Use:
        """Since the process began."""
        with self._lock:
            return Use(self._asked, self._sent, len(self._fresh), self._failed)

    def _find(self, question: Question) -> tuple[Future[Answer] | None, bool]:
        kept, now, asked = self._fresh.get(question), self._clock(), self._in_flight.get(question)
        if kept and now < kept.until:
            self._fresh.move_to_end(question)
            return kept.future, now >= kept.refresh and not asked
        if kept:
            del self._fresh[question]
        return asked, not asked

    def _keep(self, question: Question, done: Future[Answer]) -> None:
        with self._lock:
            self._in_flight.pop(question, None)
            if _failed(done):
                self._failed += 1
                return
            if not self._size:
                return
            answer = done.result()
            if answer.ttl and sum(_RECORD + len(record) for record in answer.records) <= MAX_KEPT:
                now = self._clock()
                self._fresh[question] = _Kept(now + answer.ttl, now + answer.ttl * _REFRESH, done)
                self._fresh.move_to_end(question)
                while len(self._fresh) > self._size:
                    self._fresh.popitem(last=False)


class Method(StrEnum):
    """Who asks: one check of a message, SPF for each of its two identities, or the command ``lookup``."""

    IPREV = "iprev"
    SPF_HELO = "spf_helo"
    SPF = "spf"
    SENDER_DOMAIN = "sender_domain"
    DKIM = "dkim"
    ARC = "arc"
    DMARC = "dmarc"
    LOOKUP = "lookup"


# What decides about the author goes first, and needs no number of its own: the number of keys is bounded by
# ``limits.signatures``, and that of policies by ``from_domains``, ``dmarc_queries`` and ``identifiers``.
_FIRST = {Method.DKIM, Method.DMARC}


class Shared:
    """The questions of one message: what one check asked, another one need not ask, whatever the TTL.

    ``known`` are the questions of the connection, which its messages need not ask again, unless they failed.
    Each check may ask at most ``most`` questions, and no check can use up what another one needs: so a sender, who
    chooses what SPF and ARC ask for, cannot keep us from asking for the policy of the author domain.
    ``first`` starts the questions that go before others; what the network answers is less than 100 kB each.
    ``asked_by`` says which check asked for each first.
    """

    def __init__(
        self, source: Source, known: Shared | None = None, most: int = 150, first: Source | None = None
    ) -> None:
        self._source, self._first, self._most = source, first or source, most
        self._known = known._asked if known else {}
        self._asked: dict[Question, Future[Answer]] = {}
        self._waited: dict[Question, Future[Answer]] = {}
        self._behind: set[Question] = set()
        self._shares: dict[Method, Share] = {}
        # an answer that arrives asks on, in the thread that brings it
        self._lock = threading.Lock()
        self._queued = False
        self.unsent = False
        self.asked_by: dict[Question, Method] = {}

    def of(self, method: Method) -> Share:
        """The questions of one check: the same share each time."""
        if method not in self._shares:
            with self._lock:
                self._shares.setdefault(method, Share(self, method, None if method in _FIRST else self._most))
        return self._shares[method]

    def unanswered(self) -> bool:
        """Did we have to wait for answers, and got none?"""
        return bool(self._waited) and all(map(_silent, list(self._waited.values())))

    def heard(self, names: Iterable[str]) -> bool:
        """Did we have to wait for a TXT record of one of these names, and got an answer?"""
        waited = (self._waited.get(question(name, "TXT")) for name in names)
        return any(future is not None and not _silent(future) for future in waited)

    def _start(self, question: Question, *, first: bool) -> Future[Answer]:
        """Ask; what waits behind others may go first now. Not to be called under the lock."""
        future = (self._first if first else self._source)(question)
        with self._lock:
            self._queued |= isinstance(future, Waiting)
            if not first and question in self._asked:
                # another thread has asked meanwhile, and may have let it go first
                return self._asked[question]
            self._asked[question] = future
            (self._behind.discard if first else self._behind.add)(question)
            if not future.done():
                self._waited[question] = future
        return future


class Share:
    """The questions of one check of a message; at most ``most``, and every further one is a DnsLimit."""

    def __init__(self, shared: Shared, method: Method, most: int | None) -> None:
        self._shared, self._method, self._most = shared, method, most
        self._is_first = method in _FIRST
        self._asked: set[Question] = set()

    def __call__(self, question: Question) -> Future[Answer]:
        shared = self._shared
        with shared._lock:
            if question not in self._asked:
                if self._most is not None and len(self._asked) >= self._most:
                    beyond: Future[Answer] = Future()
                    text = f"more than {self._most} questions for {self._method}"
                    beyond.set_exception(DnsLimit("dns_questions", text))
                    return beyond
                self._asked.add(question)
                shared.asked_by.setdefault(question, self._method)
            future = shared._asked.get(question)
            if future is None:
                known = shared._known.get(question)
                if known is not None and not _failed(known):
                    future = shared._asked[question] = known
                    if not known.done():
                        shared._queued |= isinstance(known, Waiting)
                        shared._waited[question] = known
                        shared._behind.add(question)
            if future is not None and (not self._is_first or question not in shared._behind or future.done()):
                return future
        # not under the lock: what the source sends on may bring answers at once, and who hears them asks on
        return shared._start(question, first=self._is_first)

    def prefetch(self, name: str, rdtype: str) -> Future[Answer]:
        """Start a question that the check will ask later."""
        return self(question(name, rdtype))

    def resolver(self, deadline: float, clock: Clock = time.monotonic) -> Resolver:
        """Waits for answers until ``deadline``; see :class:`Deadline`.

        If the time is up after any question of the message had to wait for its turn, the message has an ``unsent``
        question: one that follows from another is sent late because that one was.
        """
        budget, shared = Deadline(self, deadline, clock), self._shared

        def resolve(name: str, rdtype: str) -> Answer:
            try:
                return budget(name, rdtype)
            except DnsLate as late:
                if not (shared._queued or isinstance(late, DnsUnsent)):
                    raise
                # somebody else may have had the answer since then
                again = (shared._first if self._is_first else shared._source)(question(name, rdtype))
                if again.done() and not _failed(again):
                    return again.result()
                shared.unsent = True
                raise

        return resolve


def _failed(future: Future[Answer]) -> bool:
    return future.done() and (future.cancelled() or future.exception() is not None)


def _silent(future: Future[Answer]) -> bool:
    """Has DNS said nothing? An answer that is too large to be read is one."""
    return not future.done() or (_failed(future) and not isinstance(future.exception(), DnsLimit))


Prefetch = Callable[[str, str], "Future[Answer]"]
"""Starts a question that a check will ask later: a name and a record type."""


class Unanswered(Exception):
    """The answer to a question is not there yet, or could not be had."""


def at_once(prefetch: Prefetch) -> Resolver:
    """A resolver that never waits: it starts a question whose answer is not there, and raises Unanswered."""

    def resolve(name: str, rdtype: str) -> Answer:
        future = prefetch(name, rdtype)
        if not future.done() or _failed(future):
            raise Unanswered
        return future.result()

    return resolve


def when(future: Future[Answer], use: Callable[[Answer], None]) -> None:
    """Do something with an answer as soon as it is there, and nothing if it never is; ``use`` must not block."""

    def arrived(done: Future[Answer]) -> None:
        if not _failed(done):
            use(done.result())

    future.add_done_callback(arrived)


class Deadline:
    """A ``Resolver`` that waits for answers until ``deadline`` (by ``clock``).

    After it, only what is there already is an answer: one slow name must not hide the others. Raises DnsLate if no
    answer came in time, DnsUnsent if the question was not even sent, and what the source's answer raises.
    """

    def __init__(self, source: Source, deadline: float, clock: Clock = time.monotonic) -> None:
        self._source, self._deadline, self._clock = source, deadline, clock

    def __call__(self, name: str, rdtype: str) -> Answer:
        asked = question(name, rdtype)
        left = max(0.0, self._deadline - self._clock())
        future = self._source(asked)
        try:
            return future.result(left)
        except FutureTimeout as error:
            kind = DnsUnsent if isinstance(future, Waiting) else DnsLate
            raise kind(f"no answer for {asked.name} {rdtype} within the time of the message") from error
