"""What we do with a message, in SMTP terms. (``dmarc`` has the disposition, which is what a domain owner asks for.)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
        return list(Action).index(self)


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: ``code`` is 4xx or 5xx, ``enhanced`` a code of RFC 3463 or 7372, ``text`` one line of ASCII."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one message.

    ``rule`` names the setting or rule of the policy that decided (``dmarc.reject``, ``default``). ``reason`` says why
    in words. ``reply`` is set for defer and reject. ``headers`` are added if the message is delivered or held.
    ``would`` is the action that the policy would have taken if all of it were enforced. If ``action`` is accept,
    ``rule`` and ``reason`` explain ``would``. ``monitored`` names the settings and rules whose action was only
    recorded. ``override`` says, for the header field, why a message that fails DMARC is accepted anyway.
    """

    action: Action
    rule: str
    reason: str = ""
    reply: Reply | None = None
    would: Action = Action.ACCEPT
    headers: tuple[tuple[str, str], ...] = ()
    monitored: tuple[str, ...] = ()
    override: str = ""
