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
    ``reply`` is there for defer and reject. In monitor mode ``action`` is accept and ``would`` is what enforcing
    would have done; else both are the same.
    """

    action: Action
    rule: str
    reason: str = ""
    reply: Reply | None = None
    would: Action = Action.ACCEPT
