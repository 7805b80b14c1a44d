"""The operator's policy: which verdict follows from which evidence. Pure: no clock, no lookups, no logging."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .dmarc import Disposition
from .domain import BadDomain, Domain
from .evidence import Evidence
from .limits import Limits
from .result import Result
from .verdict import Action, Reply, Verdict


class Mode(StrEnum):
    """Whether verdicts are carried out, or only recorded while everything is delivered."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class DmarcActions:
    """What follows when DMARC fails under a domain's ``p=reject`` or ``p=quarantine``, or cannot be decided now.

    RFC 9989 section 7.4 forbids rejecting on ``p=reject`` alone, without other knowledge: ``reject`` here is the
    operator's own choice. ``ambiguous_author`` is what at least follows where From is not one clear domain; None: only
    what the strictest of its readings asks for. ``public_suffixes``: registrable domains as a net below the tree walk.
    """

    reject: Action = Action.REJECT
    quarantine: Action = Action.HOLD
    temperror: Action = Action.ACCEPT
    ambiguous_author: Action | None = None
    public_suffixes: bool = True


class Partial(StrEnum):
    """Whether a good DKIM signature that leaves octets of the body unsigned (l=) counts for DMARC."""

    IGNORE = "ignore"
    ALIGN = "align"


@dataclass(frozen=True, slots=True)
class DkimRules:
    """Which signatures DMARC may align with; what l= leaves open anybody may have written (RFC 6376 section 8.2)."""

    partial: Partial = Partial.IGNORE


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
    dkim: DkimRules = DkimRules()
    spf: SpfActions = SpfActions()
    iprev: IprevActions = IprevActions()
    tag: TagHeaders = TagHeaders()
    limits: Limits = Limits()
    rules: tuple[()] = ()

    @property
    def digest(self) -> str:
        """Names what the policy says, whatever the words and comments of its file: 12 hexadecimal digits."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]

    def decide(self, evidence: Evidence) -> Verdict:
        """The severest of what the policy's lines ask for; silence is acceptance.

        In monitor mode the action is accept, and what would have been done stands beside it.
        """
        finding = max(self._findings(evidence), key=lambda each: each.action.severity, default=_ACCEPTED)
        if finding.action is Action.ACCEPT:
            finding = _ACCEPTED
        reply = None
        if finding.action in (Action.DEFER, Action.REJECT):
            enhanced = finding.enhanced
            if finding.action is Action.REJECT and len(_failed(evidence)) > 1:
                enhanced = "7.26"  # RFC 7372 section 3.3
            code, first = (550, 5) if finding.action is Action.REJECT else (451, 4)
            reply = Reply(code, f"{first}.{enhanced}", finding.refusal)
        action = Action.ACCEPT if self.mode is Mode.MONITOR else finding.action
        return Verdict(action, finding.rule, finding.reason, reply, finding.action)

    def _findings(self, evidence: Evidence) -> Iterator[_Finding]:
        """What each check's result asks for, by the lines of the policy."""
        dmarc, spf, iprev = evidence.dmarc, evidence.spf, evidence.iprev
        author = dmarc.header_from or "the author domain"
        if dmarc.result is Result.FAIL and dmarc.policy in (Disposition.REJECT, Disposition.QUARANTINE):
            action = self.dmarc.reject if dmarc.policy is Disposition.REJECT else self.dmarc.quarantine
            reason = f"DMARC fail for {author}, whose policy is {dmarc.policy}"
            refusal = f"Email rejected per DMARC policy for {author}"
            yield _Finding(action, f"dmarc.{dmarc.policy}", "7.1", reason, refusal)
        if dmarc.ambiguous and self.dmarc.ambiguous_author:
            reason = "The author of the message is not one clear domain"
            yield _Finding(self.dmarc.ambiguous_author, "dmarc.ambiguous_author", "7.1", reason, reason)
        if dmarc.result is Result.TEMPERROR:
            reason = f"DMARC for {author} cannot be decided now"
            yield _Finding(self.dmarc.temperror, "dmarc.temperror", "7.1", reason, reason)
        if line := _of(self.spf, spf.result):
            enhanced = "7.24" if spf.result in (Result.PERMERROR, Result.TEMPERROR) else "7.23"
            reason = f"SPF {spf.result}{_for(spf.domain)}"
            yield _Finding(line, f"spf.{spf.result}", enhanced, reason, reason)
        if line := _of(self.iprev, iprev.result):
            reason = f"Reverse DNS {iprev.result} for {iprev.client_ip}"
            yield _Finding(line, f"iprev.{iprev.result}", "7.25", reason, reason)


class _Finding(NamedTuple):
    action: Action
    rule: str
    enhanced: str  # status code of RFC 7372 without its class
    reason: str
    refusal: str  # text of the reply, where it comes to one


_ACCEPTED = _Finding(Action.ACCEPT, "default", "", "", "")


def _of(actions: SpfActions | IprevActions, result: Result) -> Action | None:
    """The line for a result word, where there is one."""
    action: Action | None = getattr(actions, result, None)
    return action


def _for(name: str) -> str:
    """The name in a reply, where it is a domain name: nothing else a client wrote is sent back."""
    try:
        return f" for {Domain(name)}"
    except BadDomain:
        return ""


def _failed(evidence: Evidence) -> list[str]:
    """The checks that failed, as RFC 7372 section 3.3 counts them."""
    dkim = {each.result for each in evidence.dkim}
    failed = {
        "iprev": evidence.iprev.result is Result.FAIL,
        "spf": evidence.spf.result is Result.FAIL,
        "dkim": Result.FAIL in dkim and Result.PASS not in dkim,
        "dmarc": evidence.dmarc.result is Result.FAIL,
    }
    return [name for name, is_failed in failed.items() if is_failed]
