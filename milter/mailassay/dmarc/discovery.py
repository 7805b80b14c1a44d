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


def names(domain: Domain, limits: Limits) -> list[Domain]:
    """The names of a walk from ``domain``, which comes first. The walk may stop before the last name."""
    parents = domain.parents()
    # for a name of eight labels or more, the second question is for its seven right-most labels
    return [domain, *parents[len(parents) - min(len(parents), limits.dmarc_queries - 1) :]]


def questions(domain: Domain, limits: Limits) -> list[str]:
    """The names that a walk from ``domain`` asks for, in order, each with type TXT."""
    return [f"_dmarc.{name}" for name in names(domain, limits)]


class Step(NamedTuple):
    """One name of a walk: the answer to the question for its record, or in ``trouble`` why there is no answer."""

    name: Domain
    answer: Answer | None
    trouble: str = ""

    @property
    def question(self) -> str:
        """The name that was asked for, with type TXT."""
        return f"_dmarc.{self.name}"


@dataclass(frozen=True, slots=True)
class Walk:
    """The records found on the way up from ``start``, the longest name first, and the ``steps`` of the walk.

    ``trouble`` is the first temporary failure in words, empty if every question had an answer. If there was a failure,
    conclusions from the records are not certain. ``remembered`` are records seen earlier at the names that now have no
    answer.
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
        """The strictest policy that may apply to ``start``, by the records found now or remembered."""
        found = (*self.records, *self.remembered)
        asked = (record.at_most(name == self.start) for name, record in found)
        return max(asked, key=lambda each: each.severity, default=Disposition.NONE)

    @property
    def declared(self) -> bool:
        """Does the organization declare its domain to be an organizational domain, by psd=n?"""
        return any(record.psd == "n" for _, record in self.records)

    @property
    def policy(self) -> tuple[Domain, Record] | None:
        """The name and the record whose policy applies to ``start`` (section 4.10.1); None if there is no such record.

        The domain's own record comes first, then the one of its organizational domain, then the one of its PSD.
        """
        found = dict(self.records)
        for name in (self.start, self.org_domain):
            if name in found:
                return name, found[name]
        return next(((name, record) for name, record in self.records if record.psd == "y"), None)


def _look(name: Domain, resolve: Resolver) -> Step:
    """Ask for the record at a name. Raises DnsTempError.

    An answer that is too large to be read counts as no record: the owner of the name caused it, and a record above it
    may apply.
    """
    try:
        return Step(name, resolve(f"_dmarc.{name}", "TXT"))
    except DnsLimit as limit:
        return Step(name, None, str(limit))


def the_record(texts: Iterable[str], limits: Limits) -> Record | None:
    """The one record in an answer; None if there are none or several (section 4.10)."""
    found = list(islice((text for text in filter(is_record, texts) if len(text) <= limits.record_octets), 2))
    return Record.parse(found[0]) if len(found) == 1 else None


class Remembered:
    """The records that this process has seen and that ask for quarantine or reject, kept beyond their TTL.

    They are never used to judge a message. They only show that a policy may be at stake while DNS gives no answer. At
    most ``size`` are kept, and at most ``of_one`` per registrable domain, because its owner can create any number of
    names. The least recently seen record is dropped first. The registrable domain itself is never dropped for a name
    below it: with a wildcard, a sender can use any number of such names.
    """

    def __init__(self, size: int = 50_000, of_one: int = 20) -> None:
        self._size, self._of_one = size, of_one
        self._lock = threading.Lock()
        self._records: OrderedDict[Domain, Record] = OrderedDict()
        # in the same order
        self._names: dict[Domain, dict[Domain, None]] = {}

    def note(self, name: Domain, record: Record | None) -> None:
        """Note the record that a name has now, or None if it has none."""
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
        """The record last seen at a name, if it asked for quarantine or reject."""
        with self._lock:
            return self._records.get(name)


def walk(domain: Domain, resolve: Resolver, limits: Limits, *, for_policy: bool = False) -> Walk:
    """Like :func:`try_walk`, but raises DnsTempError if a question has no answer."""
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
    """Collect the records from ``domain`` upwards, to the first that says where the organization ends.

    ``for_policy``: stop at the domain's own record, because those above it do not matter (section 4.10.1). A name whose
    question has no answer is skipped, because a record above it may apply.
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
