"""The operator's policy: which verdict follows from which evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailassay.verdict import Action


class Mode(StrEnum):
    """Whether verdicts are carried out, or only recorded while everything is delivered."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class DmarcActions:
    """What follows when DMARC fails under a domain's ``p=reject`` or ``p=quarantine``, or cannot be decided now.

    RFC 9989 section 7.4 forbids rejecting on ``p=reject`` alone, without other knowledge: ``reject`` here is the
    operator's own choice.
    """

    reject: Action = Action.REJECT
    quarantine: Action = Action.HOLD
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class SpfActions:
    """What follows from the SPF result of MAIL FROM (RFC 7208 section 8)."""

    fail: Action = Action.ACCEPT
    softfail: Action = Action.ACCEPT
    permerror: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class IprevActions:
    """What follows from the iprev result of the client's address (RFC 8601 section 2.7.3)."""

    fail: Action = Action.ACCEPT
    permerror: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class TagHeaders:
    """The names of the header fields that the action ``tag`` writes."""

    flag: str = "X-Spam-Flag"
    verdict: str = "X-Mailassay-Verdict"


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy file; the defaults are the shipped standard policy."""

    mode: Mode = Mode.ENFORCE
    dmarc: DmarcActions = DmarcActions()
    spf: SpfActions = SpfActions()
    iprev: IprevActions = IprevActions()
    tag: TagHeaders = TagHeaders()
    rules: tuple[()] = ()
