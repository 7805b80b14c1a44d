"""The operator's rules: when they apply, what they do, and when they expire."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from string import Formatter
from typing import Annotated, NamedTuple

from ..config_key import Key
from ..domain import BadDomain, Domain
from ..evidence import Case
from ..verdict import Action
from .condition import Condition

PLACEHOLDERS = ("author", "mail_from_domain", "client_ip", "policy", "rule")
"""The names that an operator's text may have in braces. The values from a sender are domain names only."""


class Place(NamedTuple):
    """A position: file, line and column. Both numbers count from 1."""

    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """If ``condition`` holds, ``action`` follows. ``place`` is where the file has the rule."""

    name: Annotated[
        str,
        Key(
            "The name of the rule in the log and the header: at most 60 letters, digits, `_`, `.` and `-`. Required, "
            "and unique.",
        ),
    ]
    comment: Annotated[str, Key("Words for people. Required if `unsafe` is true.")] = ""
    expires: Annotated[
        date | None,
        Key(
            "The last day of the rule, in UTC, such as 2030-12-31. After that day the rule never applies, and "
            "`mailassay config check` warns about it.",
        ),
    ] = None
    monitor: Annotated[
        bool, Key("If `true`, only record what would be done (`monitored` in the log), and go on to the next rule.")
    ] = False
    unsafe: Annotated[
        bool,
        Key(
            "Confirms that the rule is meant to let in mail that fails, from anybody. Without it, a rule that accepts "
            "or tags must require something authenticated: `client` (not wider than /8, or /16 for IPv6), "
            "`client_name`, `spf_pass`, `dkim_pass`, `sealer` (not of a top-level domain), `dmarc` with only `pass` "
            "and `none`, or `policy: none`. Each part of an `any` must do so; a `not` never counts.",
        ),
    ] = False
    condition: Annotated[
        Condition,
        Key(
            "When the rule applies. A rule that accepts applies only if it matches every recipient and every domain "
            "that From may be read to name; a rule that tags, holds, defers or rejects applies if it matches any of "
            "them. If DNS gives no answer, nothing is authenticated: a rule that accepts does not apply if the "
            "missing answer could have ruled it out, and a message that would be rejected only for want of the answer "
            "is deferred. Required.",
            name="if",
        ),
    ]
    action: Annotated[Action, Key("The action. Required.", name="then")]
    reply: Annotated[str, Key("The text of the SMTP reply of `reject` or `defer`. It can contain placeholders.")] = ""
    enhanced: Annotated[
        str,
        Key(
            "The enhanced status code of the reply (RFC 3463): 5.x.x for `reject`, 4.x.x for `defer`. If omitted, it "
            "is 5.7.1 or 4.7.1.",
        ),
    ] = ""
    headers: Annotated[
        tuple[tuple[str, str], ...],
        Key(
            "Header fields, name and value, that are added if the message is delivered or held. The values can "
            "contain placeholders. Fields of these names that come from outside are removed. Names that mean "
            "something to mail software, such as Subject, are refused.",
        ),
    ] = ()
    reason: Annotated[str, Key("Words for the log, and for messages that are held. They can contain placeholders.")] = (
        ""
    )
    place: Place = field(default=Place("", 0, 0), repr=False, compare=False)

    def is_expired(self, now: float) -> bool:
        """Is the rule past its last day? ``now`` is in seconds since 1970."""
        return self.expires is not None and datetime.fromtimestamp(now, UTC).date() > self.expires

    def applies(self, case: Case) -> bool:
        """Does the condition fit some recipient and reading of the author? A rule that accepts must also decide."""
        if self.is_expired(case.now):
            return False
        return self.decides(case) if self.action is Action.ACCEPT else self.condition.holds(case, every=False)

    def decides(self, case: Case) -> bool:
        """Does the condition fit every recipient and every reading of the author, whatever the missing DNS answers are?

        A rule that applies but does not decide sets a minimum: a sender who adds a recipient or an author to make a
        rule apply must not escape a more severe finding.
        """
        return self.condition.holds(case, every=True, otherwise=False)

    def is_certain(self, case: Case) -> bool:
        """Does a rule that applies do so whatever the missing DNS answers are?"""
        return self.condition.holds(case, every=False, otherwise=False)


def lets_in(action: Action) -> bool:
    """Does the message reach its recipient?"""
    return action in (Action.ACCEPT, Action.TAG)


def fill(text: str, case: Case, rule: str) -> str:
    """An operator's text, in which :func:`trouble` finds nothing wrong, with its placeholders filled in."""
    evidence = case.evidence
    values = {
        "author": str(evidence.dmarc.header_from or "unknown"),
        "mail_from_domain": _name(case.transaction.mail_from_domain),
        "client_ip": str(case.connection.client_ip),
        "policy": str(evidence.dmarc.disposition or "none"),
        "rule": rule,
    }
    return text.format_map(values)


def trouble(text: str) -> str:
    """What is wrong with the placeholders of a text; empty if they are right."""
    try:
        fields = [(name, form, conversion) for _, name, form, conversion in Formatter().parse(text) if name is not None]
    except ValueError:
        return "an unbalanced brace; write {{ or }} for a literal one"
    for name, form, conversion in fields:
        if name not in PLACEHOLDERS or form or conversion:
            return f"unknown placeholder {{{name}}}; use {', '.join(f'{{{each}}}' for each in PLACEHOLDERS)}"
    return ""


def _name(text: str) -> str:
    try:
        return str(Domain(text))
    except BadDomain:
        return "unknown"
