"""The questions of a check, started before it runs: as soon as a record is there, everything that it asks for.

So a check waits for the depth of a record and not for its length. What a term before it, or an include before it, would
decide is not known yet, so that a question may turn out to be needless; there are never more than the limits allow.
"""

from __future__ import annotations

from copy import copy
from typing import Never

import spf as pyspf

from ..limits import Limits
from ..resolver import Answer, Prefetch, when
from . import macro
from .query import Query, checkable
from .record import BadRecord, Directive, is_record, parse


def unasked(name: str, rdtype: str) -> Never:
    """The resolver of a query that only says what it would ask."""
    raise RuntimeError(f"{name} {rdtype}: asked before its time")


class Ahead:
    """One check, from the record of its domain on. Nothing here waits."""

    def __init__(self, query: Query, prefetch: Prefetch, limits: Limits) -> None:
        self._query, self._prefetch, self._limits = query, prefetch, limits
        # answers arrive in several threads; an iterator gives each number once
        self._terms = iter(range(limits.spf_terms))

    def record(self, domain: str) -> None:
        """Ask for a domain's record, and then for what it asks for."""
        when(self._prefetch(domain, "TXT"), lambda answer: self._read(domain, answer))

    def _read(self, domain: str, answer: Answer) -> None:
        texts = [text for text in answer.records if is_record(text)]
        if len(texts) != 1 or len(texts[0]) > self._limits.record_octets:
            return
        query = copy(self._query)
        query.d = domain
        # what is wrong the check will say
        try:
            record = parse(texts[0])
            for directive in record.directives():
                if directive.mechanism in ("all", "ip4", "ip6"):
                    if query.matches(directive):
                        return
                elif not self._ask(directive, query):
                    return
            if record.redirect and next(self._terms, None) is not None and (target := _target(record.redirect, query)):
                self.record(target)
        except (BadRecord, pyspf.PermError):
            return

    def _ask(self, directive: Directive, query: Query) -> bool:
        """Start the questions of a term; False where no more terms are allowed."""
        if next(self._terms, None) is None:
            return False
        target = _target(directive.argument, query)
        if target is None:
            return True
        match directive.mechanism:
            case "include":
                if checkable(target):
                    self.record(target)
            case "a":
                self._prefetch(target, query.A)
            case "mx":
                when(self._prefetch(target, "MX"), self._hosts)
            case "exists":
                self._prefetch(target, "A")
        return True

    def _hosts(self, answer: Answer) -> None:
        if len(answer.records) <= self._limits.spf_mx_hosts:
            for record in answer.records:
                self._prefetch(record.partition(" ")[2], self._query.A)


def _target(domain_spec: str, query: Query) -> str | None:
    """The name, where no question stands before it."""
    return None if "p" in macro.letters(domain_spec) else query.target(domain_spec)
