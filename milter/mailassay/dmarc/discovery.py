"""The DNS tree walk: RFC 9989 section 4.10."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from ..domain import Domain
from ..limits import Limits
from ..resolver import Answer, DnsLimit, DnsTempError, Resolver
from .record import Disposition, Record, is_record
from .suffix import registrable


def names(domain: Domain, limits: Limits = Limits()) -> list[Domain]:
    """The names of a walk from ``domain``, which comes first; the walk may stop before the last one."""
    parents = domain.parents()
    # of a name of eight labels or more, the second question is for its seven right-most labels
    return [domain, *parents[len(parents) - min(len(parents), limits.dmarc_queries - 1) :]]


def questions(domain: Domain, limits: Limits = Limits()) -> list[str]:
    """What a walk from ``domain`` asks for, in order, each of type TXT."""
    return [f"_dmarc.{name}" for name in names(domain, limits)]


class Step(NamedTuple):
    """One name of a walk: the answer to the question for its record, or why there is none."""

    name: Domain
    answer: Answer | None
    trouble: str = ""

    @property
    def question(self) -> str:
        """The name that was asked for, of type TXT."""
        return f"_dmarc.{self.name}"


@dataclass(frozen=True, slots=True)
class Walk:
    """The records found on the way up from ``start``, the longest name first, and each ``step`` that it took.

    ``trouble`` is the first temporary failure in words, empty if every question had an answer. If there was one, what
    follows from the records is not certain. ``remembered`` are the records that the names without an answer had before.
    """

    start: Domain
    records: tuple[tuple[Domain, Record], ...]
    trouble: str = ""
    remembered: tuple[tuple[Domain, Record], ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def org_domain(self) -> Domain:
        """The organizational domain (section 4.10.2)."""
        for name, record in self.records:
            if record.psd == "n":
                return name
            if record.psd == "y" and name != self.start:
                return self.start.rightmost(len(name.labels) + 1)
        return self.records[-1][0] if self.records else self.start

    @property
    def at_stake(self) -> Disposition:
        """The strictest policy that may apply to ``start``, as far as records are known, or were known before."""
        found = (*self.records, *self.remembered)
        asked = (record.at_most(name == self.start) for name, record in found)
        return max(asked, key=lambda each: each.severity, default=Disposition.NONE)

    @property
    def declared(self) -> bool:
        """Does the organization itself say that its domain is one, by psd=n?"""
        return any(record.psd == "n" for _, record in self.records)

    @property
    def policy(self) -> tuple[Domain, Record] | None:
        """The record whose policy applies to ``start`` (section 4.10.1): its own, its organization's, its PSD's."""
        found = dict(self.records)
        for name in (self.start, self.org_domain):
            if name in found:
                return name, found[name]
        return next(((name, record) for name, record in self.records if record.psd == "y"), None)


def _look(name: Domain, resolve: Resolver) -> Step:
    """Ask for the record at a name. Raises DnsTempError.

    An answer that is too large to be read is as good as none: it is the name's own, and a record above it then counts.
    """
    try:
        return Step(name, resolve(f"_dmarc.{name}", "TXT"))
    except DnsLimit as limit:
        return Step(name, None, str(limit))


def the_record(texts: Iterable[str], limits: Limits = Limits()) -> Record | None:
    """The one record in an answer; several are as good as none (section 4.10)."""
    found = list(islice((text for text in filter(is_record, texts) if len(text) <= limits.record_octets), 2))
    return Record.parse(found[0]) if len(found) == 1 else None


class Remembered:
    """The records seen in this process that ask for quarantine or reject, beyond their TTL.

    They are never used to judge by. They only tell that a policy may be at stake while DNS gives no answer. At most
    ``size`` are kept, and ``of_one`` of the names of one registrable domain, whose owner may have as many as he likes;
    the one not seen for longest leaves first. That is never the registrable domain itself for a name below it: with a
    wildcard, a sender may name as many of these as he likes.
    """

    def __init__(self, size: int = 50_000, of_one: int = 20) -> None:
        self._size, self._of_one = size, of_one
        self._lock = threading.Lock()
        self._records: OrderedDict[Domain, Record] = OrderedDict()
        # in the same order
        self._names: dict[Domain, dict[Domain, None]] = {}

    def note(self, name: Domain, record: Record | None) -> None:
        """This is what stands at a name now."""
        asks = record if record and record.asks else None
        with self._lock:
            if name in self._records:
                self._forget(name)
            if asks:
                self._records[name] = asks
                owner = registrable(name)
                siblings = self._names.setdefault(owner, {})
                siblings[name] = None
                if len(siblings) > self._of_one:
                    self._forget(next(each for each in siblings if each != owner))
                if len(self._records) > self._size:
                    self._forget(next(iter(self._records)))

    def _forget(self, name: Domain) -> None:
        del self._records[name]
        owner = registrable(name)
        del self._names[owner][name]
        if not self._names[owner]:
            del self._names[owner]

    def at(self, name: Domain) -> Record | None:
        """What stood at a name, if it asked for anything."""
        with self._lock:
            return self._records.get(name)


def walk(domain: Domain, resolve: Resolver, limits: Limits, *, for_policy: bool = False) -> Walk:
    """As :func:`try_walk`, every question of which has an answer. Raises DnsTempError."""
    found = try_walk(domain, resolve, limits, for_policy=for_policy)
    if found.trouble:
        raise DnsTempError(found.trouble)
    return found


def try_walk(
    domain: Domain,
    resolve: Resolver,
    limits: Limits,
    *,
    for_policy: bool = False,
    remembered: Remembered | None = None,
) -> Walk:
    """Collect the records upwards to the first that says where the organization ends.

    ``for_policy``: a record of the domain's own is enough, whatever stands above it (section 4.10.1). A name whose
    question has no answer is passed over: a record above it may ask for something.
    """
    records, before, trouble = [], [], ""
    steps: list[Step] = []
    for name in names(domain, limits):
        try:
            step = _look(name, resolve)
        except DnsTempError as error:
            steps.append(Step(name, None, str(error)))
            trouble = trouble or str(error)
            if remembered and (old := remembered.at(name)):
                before.append((name, old))
            continue
        steps.append(step)
        record = the_record(step.answer.records, limits) if step.answer else None
        if remembered:
            remembered.note(name, record)
        if record:
            records.append((name, record))
            if record.psd in ("y", "n") or (for_policy and name == domain):
                break
    return Walk(domain, tuple(records), trouble, tuple(before), tuple(steps))
