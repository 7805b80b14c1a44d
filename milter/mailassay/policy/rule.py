"""The operator's rules: when they apply, what follows, until when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from string import Formatter
from typing import NamedTuple

from ..domain import BadDomain, Domain
from ..evidence import Case
from ..verdict import Action
from .condition import Condition

PLACEHOLDERS = ("author", "mail_from_domain", "client_ip", "policy", "rule")
"""What a text of the operator's may hold in braces. Nothing that a sender wrote is among it but names of domains."""


class Place(NamedTuple):
    """Where something stands: file, line and column, both from 1."""

    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Rule:
    """``condition`` applies, so ``action`` follows; the rule is none after the day ``expires`` (UTC).

    ``monitor``: it is recorded what would follow, and the next rule is looked at. ``reply`` is the text for a sender
    who is refused, ``enhanced`` its status code with class, ``headers`` are written on what is delivered or held, and
    ``reason`` stands in the log, and where a message is held. ``unsafe``: the operator says that it may let in mail
    that fails and is bound to nothing authenticated.
    """

    name: str
    condition: Condition
    action: Action
    monitor: bool = False
    expires: date | None = None
    reply: str = ""
    enhanced: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    comment: str = field(default="", repr=False)
    unsafe: bool = field(default=False, repr=False)
    place: Place = field(default=Place("", 0, 0), repr=False, compare=False)

    def is_expired(self, now: float) -> bool:
        """``now`` in seconds since 1970."""
        return self.expires is not None and datetime.fromtimestamp(now, UTC).date() > self.expires

    def applies(self, case: Case) -> bool:
        """Does it fit any recipient and any reading of the author? A rule that accepts has to decide, too."""
        if self.is_expired(case.now):
            return False
        return self.decides(case) if self.action is Action.ACCEPT else self.condition.holds(case, every=False)

    def decides(self, case: Case) -> bool:
        """Does it fit every recipient and every reading of the author, whatever the answers that DNS did not give?

        A rule that applies and does not decide is the least that follows: a sender who adds a recipient or an author
        for the sake of a rule must not escape what is severer.
        """
        return self.condition.holds(case, every=True, otherwise=False)

    def is_certain(self, case: Case) -> bool:
        """Does a rule that applies do so whatever the answers that DNS did not give?"""
        return self.condition.holds(case, every=False, otherwise=False)


def lets_in(action: Action) -> bool:
    """Does the message reach its recipient?"""
    return action in (Action.ACCEPT, Action.TAG)


def fill(text: str, case: Case, rule: str) -> str:
    """A text of the operator's with its placeholders filled."""
    evidence = case.evidence
    values = {
        "author": str(evidence.dmarc.header_from or "unknown"),
        "mail_from_domain": _name(case.transaction.mail_from_domain),
        "client_ip": str(case.connection.client_ip),
        "policy": str(evidence.dmarc.policy or "none"),
        "rule": rule,
    }
    return text.format_map(values)


def trouble(text: str) -> str:
    """What is wrong with the placeholders of a text; empty where nothing is."""
    try:
        fields = [(name, form, conversion) for _, name, form, conversion in Formatter().parse(text) if name is not None]
    except ValueError:
        return "a brace without its other half; write {{ or }} for one"
    for name, form, conversion in fields:
        if name not in PLACEHOLDERS or form or conversion:
            return f"unknown placeholder {{{name}}}; there are {', '.join(f'{{{each}}}' for each in PLACEHOLDERS)}"
    return ""


def _name(text: str) -> str:
    try:
        return str(Domain(text))
    except BadDomain:
        return "unknown"
