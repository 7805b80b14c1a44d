"""The questions of a check, started before it runs: as soon as a record is there, everything that it asks for.

So a check waits for the depth of a record and not for its length. What a term before it, or an include before it, would
decide is not known yet, so that a question may turn out to be needless; there are never more than the limits allow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Never

import spf as pyspf

from ..limits import Limits
from ..resolver import Answer, Prefetch, when
from . import macro
from .query import Query, checkable
from .record import BadRecord, Record, is_record, parse


def unasked(name: str, rdtype: str) -> Never:
    """The resolver of a query that only says what it would ask."""
    raise RuntimeError(f"{name} {rdtype}: asked before its time")


class Ahead:
    """One check, from the record of its domain on. Nothing here waits."""

    def __init__(self, query: Query, prefetch: Prefetch, limits: Limits) -> None:
        self._query, self._prefetch, self._limits = query, prefetch, limits
        self._terms = limits.spf_terms
        # answers arrive in several threads
        self._lock = threading.Lock()

    def record(self, domain: str) -> None:
        """Ask for a domain's record, and then for what it asks for."""
        when(self._prefetch(domain, "TXT"), lambda answer: self._read(domain, answer))

    def _read(self, domain: str, answer: Answer) -> None:
        texts = [text for text in answer.records if is_record(text)]
        if len(texts) != 1 or len(texts[0]) > self._limits.record_octets:
            return
        wanted: list[tuple[str, str]] = []
        # what is wrong the check will say
        with self._lock, suppress(BadRecord, pyspf.PermError):
            self._query.d = domain
            wanted.extend(self._wanted(parse(texts[0])))
        # not under the lock: an answer that is there already is read at once
        for mechanism, target in wanted:
            self._ask(mechanism, target)

    def _wanted(self, record: Record) -> Iterator[tuple[str, str]]:
        """The terms that ask, and the name they ask for, up to the one that ends the evaluation."""
        for directive in record.directives():
            if directive.mechanism in ("all", "ip4", "ip6"):
                if self._query.matches(directive):
                    return
            elif not self._terms:
                return
            else:
                yield from self._target(directive.mechanism, directive.argument)
        if record.redirect and self._terms:
            yield from self._target("redirect", record.redirect)

    def _target(self, term: str, domain_spec: str) -> Iterator[tuple[str, str]]:
        self._terms -= 1
        # the name of a client has to be asked for first
        if "%" not in domain_spec or "p" not in macro.letters(domain_spec):
            target = self._query.target(domain_spec)
            if target is not None:
                yield term, target

    def _ask(self, term: str, target: str) -> None:
        match term:
            case "include" | "redirect":
                if checkable(target):
                    self.record(target)
            case "a":
                self._prefetch(target, self._query.A)
            case "mx":
                when(self._prefetch(target, "MX"), self._hosts)
            case "exists":
                self._prefetch(target, "A")

    def _hosts(self, answer: Answer) -> None:
        if len(answer.records) <= self._limits.spf_mx_hosts:
            for record in answer.records:
                self._prefetch(record.partition(" ")[2], self._query.A)
