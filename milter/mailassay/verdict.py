"""What we do with a message, in SMTP terms. (What a domain owner asks for is a disposition: see ``dmarc``.)"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What happens to a message; in rising order of severity."""

    ACCEPT = "accept"
    TAG = "tag"
    HOLD = "hold"
    DEFER = "defer"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 for accept, rising."""
        return list(Action).index(self)


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: ``code`` 4xx or 5xx, ``enhanced`` status code of RFC 3463 / 7372, one line of ASCII ``text``."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.enhanced} {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one message.

    ``rule`` names the line of the policy that spoke (``dmarc.reject``, ``default``), ``reason`` says why in words.
    ``reply`` is there for defer and reject, ``headers`` are written where the message is delivered or held.
    ``would`` is what would have been done, were nothing only recorded; where the action then is accept, ``rule`` and
    ``reason`` are those of what would have been done. ``monitored`` are the lines whose action was only recorded.
    ``override`` says why a message that fails DMARC is accepted all the same, for the header field.
    """

    action: Action
    rule: str
    reason: str = ""
    reply: Reply | None = None
    would: Action = Action.ACCEPT
    headers: tuple[tuple[str, str], ...] = ()
    monitored: tuple[str, ...] = ()
    override: str = ""
