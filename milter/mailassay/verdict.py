"""The verdict on a message, in SMTP terms. (``dmarc`` has the disposition, which a domain owner asks for.)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    """What happens to a message, in order of increasing severity."""

    ACCEPT = "accept"
    TAG = "tag"
    HOLD = "hold"
    DEFER = "defer"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 for accept, and one more for each action after it."""
        return _SEVERITY[self]


_SEVERITY = {each: severity for severity, each in enumerate(Action)}


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: ``code`` is 4xx or 5xx, ``enhanced`` a code of RFC 3463 or 7372, ``text`` one line of ASCII."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


class Kind(StrEnum):
    """What kind of thing decides on a message.

    ``rule``: a rule of the policy. ``setting``: a setting of the policy. ``configuration``: a setting of the
    configuration. ``default``: no rule and no setting asks for anything but acceptance. ``unjudged``: the client is
    trusted. ``built_in``: mailassay itself, whatever the policy says.
    """

    RULE = "rule"
    SETTING = "setting"
    CONFIGURATION = "configuration"
    DEFAULT = "default"
    UNJUDGED = "unjudged"
    BUILT_IN = "built_in"


class Decider(NamedTuple):
    """What decided: its kind, and its name (``dmarc.reject``, the name of a rule, ``trusted_network``)."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        """As in the log and in header fields: ``dmarc.reject``, ``rules.NAME``, ``default``."""
        return f"rules.{self.name}" if self.kind is Kind.RULE else self.name


DEFAULT = Decider(Kind.DEFAULT, "default")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one message.

    ``decider`` is what decided. ``reason`` says why in words. ``reply`` is set for defer and reject. ``headers`` are
    added if the message is delivered or held. ``would`` is the action that the policy would have taken if all of it
    were enforced. If ``action`` is accept, ``decider`` and ``reason`` explain ``would``. ``monitored`` names the
    settings and rules whose action was only recorded. ``override`` says, for the header field, why a message that fails
    DMARC is accepted anyway.
    """

    action: Action
    decider: Decider
    reason: str = ""
    reply: Reply | None = None
    would: Action = Action.ACCEPT
    headers: tuple[tuple[str, str], ...] = ()
    monitored: tuple[str, ...] = ()
    override: str = ""

    @property
    def rule(self) -> str:
        """The ``decider`` as text."""
        return str(self.decider)
