"""The DNS tree walk: RFC 9989 section 4.10."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from ..domain import Domain
from ..limits import Limits
from ..resolver import Resolver
from .record import Record, is_record


def names(domain: Domain, limits: Limits = Limits()) -> list[Domain]:
    """The names of a walk from ``domain``, which comes first; the walk may stop before the last one."""
    parents = domain.parents()
    # of a name of eight labels or more, the second question is for its seven right-most labels
    return [domain, *parents[len(parents) - min(len(parents), limits.dmarc_queries - 1) :]]


def questions(domain: Domain, limits: Limits = Limits()) -> list[str]:
    """What a walk from ``domain`` asks for, in order, each of type TXT."""
    return [f"_dmarc.{name}" for name in names(domain, limits)]


@dataclass(frozen=True, slots=True)
class Walk:
    """The records found on the way up from ``start``: the longest name first."""

    start: Domain
    records: tuple[tuple[Domain, Record], ...]

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


def record_at(name: Domain, resolve: Resolver, limits: Limits) -> Record | None:
    """The one record at a name; several are as good as none (section 4.10). Raises DnsTempError."""
    texts = resolve(f"_dmarc.{name}", "TXT").records
    found = list(islice((text for text in filter(is_record, texts) if len(text) <= limits.record_octets), 2))
    return Record.parse(found[0]) if len(found) == 1 else None


def walk(domain: Domain, resolve: Resolver, limits: Limits, *, for_policy: bool = False) -> Walk:
    """Collect the records upwards to the first that says where the organization ends. Raises DnsTempError.

    ``for_policy``: a record of the domain's own is enough, whatever stands above it (section 4.10.1).
    """
    records = []
    for name in names(domain, limits):
        if record := record_at(name, resolve, limits):
            records.append((name, record))
            if record.psd in ("y", "n") or (for_policy and name == domain):
                break
    return Walk(domain, tuple(records))
