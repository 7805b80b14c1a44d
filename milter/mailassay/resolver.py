"""DNS as the checks see it: questions, answers, and the layers that share and keep answers.

Each layer is a function from a question to the future of its answer. At the bottom is a source
(``nameservers.Nameservers`` or ``zone.Zone``). ``Cached`` stands in front of it for the whole process. An ``Asker``
serves one connection when many ask at the same time (``nameservers.turns``). ``Shared`` serves one message, and a
``Share`` of it each check. A check sees only a ``Resolver``: a ``Deadline``, which waits for answers until the time is
up.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from .limits import Limits

MAX_KEPT = 4096  # octets of one answer in the cache
_REFRESH = 0.9  # the part of the TTL after which an answer that is used is asked for again
_RECORD = 64  # octets of a record in addition to its text

Clock = Callable[[], float]


class Question(NamedTuple):
    """A name and a record type. The name is in lower case, without a final dot, and splits into labels at its dots."""

    name: str
    rdtype: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of DNS: records, or no records at a name that exists, or no such name (``exists`` is False).

    ``records`` are texts: an address (A, AAAA), a name without final dot (PTR, CNAME, NS), ``"10 mx.example"`` (MX),
    the fields of an SOA record with a space between them, or the joined character-strings of one TXT record with one
    character per octet (latin-1). Each occurs once, and they are sorted: they are a set (RFC 2181 section 5), so
    nothing may depend on the order in which a server gives them. PTR, NS and MX records are left out if their name has
    an octet that is not printable ASCII, or a full stop in a label: as text they would be other names, and no host has
    such a name (RFC 1123 section 2.1).
    ``ttl`` is in seconds.
    ``authoritative``: it is of a server of the zone, and not of a cache (AA, RFC 1035 section 4.1.1).
    ``authentic``: the name server says that DNSSEC validated the answer (AD, RFC 4035 section 3.2.3). No check depends
    on it.
    """

    records: tuple[str, ...] = ()
    exists: bool = True
    ttl: int = 0
    authentic: bool = False
    authoritative: bool = field(default=False, compare=False)


NXDOMAIN = Answer(exists=False)
NO_DATA = Answer()


class DnsTempError(Exception):
    """There was no usable answer: time-out, SERVFAIL, REFUSED or garbage. The text names the question and the cause."""


class DnsLate(DnsTempError):
    """The time for the message ran out before there was an answer."""


class DnsUnsent(DnsLate):
    """The question was not sent, or was sent too late, or its answer is lost: a limit or a fault of this host.

    The sender of this message may have caused that, so it never leads to an accept that would otherwise be refused.
    """


class DnsLimit(Exception):
    """The question was not asked, or its answer not read, because one of our limits is reached; the text says which.

    This is not a DNS failure, which may be over the next time: the domain that caused it gets a permanent result.
    ``key`` is the name of the limit in the policy.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def too_many(key: str, limits: Limits) -> DnsLimit:
    """The error for an answer that exceeds ``dns_octets`` or ``dns_records``, whichever ``key`` names."""
    return DnsLimit(key, f"an answer of more than {getattr(limits, key)} {key.removeprefix('dns_')}")


def bounded(octets: int, records: int, limits: Limits) -> None:
    """Check the size of a response. Raises :class:`DnsLimit` if it has too many octets or records to be read."""
    for key, found in (("dns_octets", octets), ("dns_records", records)):
        if found > getattr(limits, key):
            raise too_many(key, limits)


class Waiting(Future[Answer]):
    """A question that waits to be sent. ``anew``: send it even if its answer is in the cache."""

    anew = False


Source = Callable[[Question], "Future[Answer]"]
"""Starts a question. The future always ends, with an ``Answer``, ``DnsTempError`` or ``DnsLimit``."""


class Resolver(Protocol):
    """The function by which a check asks DNS. It blocks; it raises :class:`DnsTempError` and :class:`DnsLimit`."""

    def __call__(self, name: str, rdtype: str) -> Answer:
        """The answer for ``name``; letter case and a final dot are ignored."""


class Asker(Protocol):
    """The source of one connection. It shares a limit on the questions in flight with other connections."""

    def __call__(self, question: Question, /) -> Future[Answer]:
        """Start a question. If others are before it, it waits."""

    def first(self, question: Question, /) -> Future[Answer]:
        """Start a question before the others, even if it is already waiting."""

    def anew(self, question: Question, /) -> Future[Answer]:
        """Start a question as ``first`` does, even if its answer is in the cache."""

    def drop(self) -> None:
        """Drop the waiting questions; they end with ``DnsUnsent``."""

    def close(self) -> None:
        """Drop the waiting questions and send no more: later ones end with ``DnsUnsent`` too."""


def question(name: str, rdtype: str) -> Question:
    """The question in its canonical spelling, so that it is asked only once."""
    return Question(name.lower().removesuffix("."), rdtype)


class Stats(NamedTuple):
    """Statistics of a cache: the questions it was asked, those it sent on, and the answers that it keeps now.

    ``failed`` counts the questions that were sent and had no answer.
    """

    asked: int
    sent: int
    kept: int
    failed: int = 0


class _Entry(NamedTuple):
    """An answer in the cache, the time at which it expires, and the time from which its next use refreshes it."""

    until: float
    refresh: float
    future: Future[Answer]


class Cached:
    """The cache of one process. It keeps at most ``size`` answers for their TTL, and drops the least recently used.

    Questions in flight are shared, so a thousand simultaneous messages ask once. Failures are not kept, nor are answers
    of more than ``MAX_KEPT`` octets. An entry takes less than 8 kB at worst, and usually about 2 kB; 50,000 entries
    take at most 400 MB, and usually 100 MB.
    An answer that is used in the last tenth of its TTL is asked for again, so that no check waits for a popular one.
    """

    def __init__(self, source: Source, size: int, clock: Clock = time.monotonic) -> None:
        self._source, self._size, self._clock = source, size, clock
        self._lock = threading.Lock()
        self._fresh: OrderedDict[Question, _Entry] = OrderedDict()
        self._in_flight: dict[Question, Future[Answer]] = {}
        self._asked = self._sent = self._failed = 0

    def __call__(self, question: Question) -> Future[Answer]:
        known, due = self.find(question)
        if known and not due:
            return known
        sent = self.send(question)
        return known or sent

    def find(self, question: Question) -> tuple[Future[Answer] | None, bool]:
        """The answer in the cache or in flight, or None; and whether the question has to be sent.

        Both may hold: an answer that is about to expire is used and asked for again.
        """
        with self._lock:
            self._asked += 1
            return self._find(question)

    def send(self, question: Question, *, anew: bool = False) -> Future[Answer]:
        """Send a question that :meth:`find` says has to be sent, unless another caller has sent it since then.

        ``anew``: send it even if its answer is in the cache.
        """
        with self._lock:
            known, due = (self._in_flight.get(question), False) if anew else self._find(question)
            if known and not due:
                return known
            self._sent += 1
            future = self._in_flight[question] = self._source(question)
        # outside the lock: a future that is already done calls back at once
        future.add_done_callback(lambda done: self._keep(question, done))
        return future

    def stats(self) -> Stats:
        """The statistics since the process began."""
        with self._lock:
            return Stats(self._asked, self._sent, len(self._fresh), self._failed)

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
                # not the future itself, which keeps the callbacks of all who waited for it
                kept: Future[Answer] = Future()
                kept.set_result(answer)
                now = self._clock()
                self._fresh[question] = _Entry(now + answer.ttl, now + answer.ttl * _REFRESH, kept)
                self._fresh.move_to_end(question)
                while len(self._fresh) > self._size:
                    self._fresh.popitem(last=False)


class Method(StrEnum):
    """The asker: one check of a message, SPF for each of its two identities, or the command ``lookup``."""

    IPREV = "iprev"
    SPF_HELO = "spf_helo"
    SPF = "spf"
    SENDER_DOMAIN = "sender_domain"
    DKIM = "dkim"
    ARC = "arc"
    DMARC = "dmarc"
    LOOKUP = "lookup"


# The checks that decide about the author go first. They need no limit of their own: ``limits.signatures`` bounds the
# number of keys, and ``from_domains``, ``dmarc_queries`` and ``identifiers`` bound the number of policies.
_FIRST = {Method.DKIM, Method.DMARC}


class Shared:
    """The questions of one message. A question that one check asked is not asked again by another, whatever the TTL.

    ``known`` has the questions of the connection, which its messages do not ask again unless they failed.
    Each check may ask at most ``most`` questions of its own, so no check can use up those of another: a sender, who
    chooses what SPF and ARC ask for, cannot keep us from asking for the policy of the author domain.
    ``first`` starts the questions that go before others. Each answer from the network is less than 100 kB.
    ``asked_by`` says which check asked each question first.
    """

    def __init__(
        self, source: Source, known: Shared | None = None, most: int = 150, first: Source | None = None
    ) -> None:
        self._source, self._first, self._most = source, first or source, most
        self._known = known._asked if known else {}
        self._asked: dict[Question, Future[Answer]] = {}
        self._waited: dict[Question, Future[Answer]] = {}
        self._behind: set[Question] = set()
        self._asked_by_method: dict[Method, set[Question]] = {}
        # an answer that arrives may lead to further questions, asked in the thread that brings it
        self._lock = threading.Lock()
        self._queued = False
        self.unsent = False
        self.asked_by: dict[Question, Method] = {}

    def of(self, method: Method) -> Share:
        """The share of one check."""
        # not kept: a share refers to this object, and both would wait for the garbage collector
        with self._lock:
            asked = self._asked_by_method.setdefault(method, set())
        return Share(self, method, asked, None if method in _FIRST else self._most)

    def unanswered(self) -> bool:
        """Did we have to wait for answers, and get none?"""
        return bool(self._waited) and all(map(_silent, list(self._waited.values())))

    def heard(self, names: Iterable[str]) -> bool:
        """Did we have to wait for a TXT record of one of these names, and get an answer?"""
        waited = (self._waited.get(question(name, "TXT")) for name in names)
        return any(future is not None and not _silent(future) for future in waited)

    def _start(self, question: Question, *, first: bool) -> Future[Answer]:
        """Ask; a question that waits behind others may move to the front. Do not call it under the lock."""
        future = (self._first if first else self._source)(question)
        is_done = future.done()
        with self._lock:
            self._queued |= isinstance(future, Waiting)
            if not first and question in self._asked:
                # another thread has asked it in the meantime, and may have moved it to the front
                return self._asked[question]
            self._asked[question] = future
            if not is_done:
                (self._behind.discard if first else self._behind.add)(question)
                self._waited[question] = future
        return future


class Share:
    """The questions of one check of a message. After ``most`` of them, every further one gets a DnsLimit."""

    def __init__(self, shared: Shared, method: Method, asked: set[Question], most: int | None) -> None:
        """``asked`` are the questions of this check so far, whichever of its shares asked them."""
        self._shared, self._method, self._asked, self._most = shared, method, asked, most
        self._is_first = method in _FIRST

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
                is_done = known is not None and known.done()
                if known is not None and not (is_done and _failed(known)):
                    future = shared._asked[question] = known
                    if not is_done:
                        shared._queued |= isinstance(known, Waiting)
                        shared._waited[question] = known
                        shared._behind.add(question)
            if future is not None and (not self._is_first or question not in shared._behind or future.done()):
                return future
        # not under the lock: the source may answer at once, and the answer may lead to further questions
        return shared._start(question, first=self._is_first)

    def prefetch(self, name: str, rdtype: str) -> Future[Answer]:
        """Start a question that the check will ask later."""
        return self(question(name, rdtype))

    def resolver(self, deadline: float, clock: Clock = time.monotonic) -> Resolver:
        """A resolver that waits for answers until ``deadline``; see :class:`Deadline`.

        If the time runs out after any question of the message had to wait for its turn, the message counts as
        ``unsent``: a question that follows from another is late because the other one was.
        """
        budget, shared = Deadline(self, deadline, clock), self._shared

        def resolve(name: str, rdtype: str) -> Answer:
            try:
                return budget(name, rdtype)
            except DnsLate as late:
                if not (shared._queued or isinstance(late, DnsUnsent)):
                    raise
                # another message may have received the answer since then
                again = (shared._first if self._is_first else shared._source)(question(name, rdtype))
                if again.done() and not _failed(again):
                    return again.result()
                shared.unsent = True
                raise

        return resolve


def _failed(done: Future[Answer]) -> bool:
    """Did a question that has ended fail?"""
    return done.cancelled() or done.exception() is not None


def _silent(future: Future[Answer]) -> bool:
    """Did DNS fail to answer? An answer that is too large to be read is an answer."""
    return not future.done() or (_failed(future) and not isinstance(future.exception(), DnsLimit))


Start = Callable[[str, str], "Future[Answer]"]
"""Starts a question that a check will ask later: a name and a record type."""


class Unanswered(Exception):
    """The answer to a question has not arrived yet, or the question failed."""


def at_once(start: Start) -> Resolver:
    """A resolver that never waits: if an answer is not there yet, it starts the question and raises Unanswered."""

    def resolve(name: str, rdtype: str) -> Answer:
        future = start(name, rdtype)
        if not future.done() or _failed(future):
            raise Unanswered
        return future.result()

    return resolve


def when(future: Future[Answer], use: Callable[[Answer], None]) -> None:
    """Call ``use`` with the answer as soon as it arrives, and never if the question fails. ``use`` must not block."""

    def arrived(done: Future[Answer]) -> None:
        if not _failed(done):
            use(done.result())

    once_done(future, arrived)


def once_done(future: Future[Answer], call: Callable[[Future[Answer]], None]) -> None:
    """Call ``call`` with the future as soon as it is done.

    A future keeps its callbacks as long as it lives. This one refers to ``call`` only until then, so that the future
    does not keep the message that waited for it.
    """
    calls = [call]
    future.add_done_callback(lambda done: calls.pop()(done))


class Deadline:
    """A ``Resolver`` that waits for answers until ``deadline`` (by ``clock``).

    After that it still returns answers that have already arrived, so that one slow name does not hide the others.
    Raises DnsLate if no answer came in time, DnsUnsent if the question was not even sent, and what the answer raises.
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
