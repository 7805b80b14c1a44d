"""The operator's policy, which turns evidence into a verdict. Pure functions: no clock, no lookups, no logging."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, NamedTuple

from ..config_key import Key
from ..dmarc import Disposition
from ..domain import BadDomain, Domain
from ..evidence import Case, Evidence, Trouble
from ..limits import Limits
from ..result import Result
from ..sender_domain import Receives
from ..verdict import DEFAULT, Action, Decider, Kind, Reply, Verdict
from .condition import dkim_passes, matches, spf_passes
from .digest import digest
from .rule import Rule, fill, lets_in
from .sections import (
    AuthorActions,
    DkimRules,
    DmarcActions,
    IprevActions,
    Mode,
    SenderDomainActions,
    SpfActions,
    TagHeaders,
)
from .sets import Domains


# without slots, for what is worked out once
@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy file. The defaults are the standard policy that is shipped."""

    mode: Annotated[
        Mode,
        Key(
            "`enforce` carries out verdicts. `monitor` delivers everything; `would` in the log says what would have "
            "been done. Both remove forged Authentication-Results fields, and both reject a message that has more of "
            "them than `limits.forged_fields`.",
        ),
    ] = Mode.ENFORCE
    dmarc: Annotated[DmarcActions, Key("What happens to messages that fail DMARC (RFC 9989).")] = field(
        default_factory=DmarcActions
    )
    dkim: Annotated[DkimRules, Key("Which DKIM signatures count.")] = field(default_factory=DkimRules)
    spf: Annotated[
        SpfActions,
        Key(
            "What happens because of the SPF result of MAIL FROM, or of HELO if the reverse-path is null (RFC 7208 "
            "section 8). These settings also affect forwarded mail that passes DMARC by its DKIM signature. "
            "`dmarc.trusted_forwarders`, `dmarc.trusted_sealers` and `dmarc.mailing_lists` say which of the mail that "
            "they let in is exempt.",
        ),
    ] = field(default_factory=SpfActions)
    iprev: Annotated[
        IprevActions,
        Key(
            "What happens because of the name of the client's address (RFC 8601 section 2.7.3). Mail from "
            "`dmarc.trusted_forwarders` is exempt.",
        ),
    ] = field(default_factory=IprevActions)
    sender_domain: Annotated[
        SenderDomainActions,
        Key(
            "What happens if nobody could reply to the MAIL FROM domain. If all of these settings accept and no rule "
            "uses `sender_domain`, nothing is looked up. The result is in the log, not in the header.",
        ),
    ] = field(default_factory=SenderDomainActions)
    tag: Annotated[
        TagHeaders,
        Key(
            "The header fields that the action `tag` writes, so that Sieve can file the message. The action `hold` "
            "writes the second one.",
        ),
    ] = field(default_factory=TagHeaders)
    limits: Annotated[
        Limits,
        Key(
            "How much of what a sender controls is looked at. Nothing beyond a limit passes. The limits that RFCs set "
            "for SPF and the DMARC tree walk cannot be lowered.",
        ),
    ] = field(default_factory=Limits)
    rules: Annotated[
        tuple[Rule, ...],
        Key(
            "Your own rules. The first rule that applies decides, and no other setting of the policy does. If no rule "
            "applies, the most severe action that the other settings ask for is taken. A rule that matches only some "
            "recipients, or only some of the domains that From may be read to name, does not decide: its action is "
            "the least that is done.",
        ),
    ] = ()

    @cached_property
    def asks_sender_domain(self) -> bool:
        """Does a rule or a setting depend on whether the sender can receive mail?"""
        conditions = [rule.condition for rule in self.rules]
        if self.dmarc.reject_needs:
            conditions.append(self.dmarc.reject_needs)
        asks = any(each.key == "sender_domain" for condition in conditions for each in matches(condition))
        return asks or self.sender_domain != SenderDomainActions()

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that we write. Those that a sender wrote are removed."""
        names = [self.tag.verdict, *(name for rule in self.rules for name, _ in rule.headers)]
        return tuple({name.lower(): name for name in names}.values())

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits that identify what the policy says, whatever the layout and comments of its file."""
        return digest(self)

    def decide(self, case: Case) -> Verdict:
        """The verdict: the first matching rule decides; if none matches, the most severe matching setting does.

        If there is no finding, the message is accepted. A rule that fits only some of the recipients, or only some
        readings of the author, does not decide: see ``Rule.decides``.

        Findings of monitored rules and author domains, and those of messages outside the sample, are not enforced:
        they are recorded, and count in ``would``. In monitor mode, ``would`` is the action of enforce mode.
        """
        findings = list(self._findings(case))
        chosen = _pick([each for each in findings if each.enforced])
        is_monitor = self.mode is Mode.MONITOR
        wanted = chosen if is_monitor else _pick(findings)
        explained = wanted if chosen.action is Action.ACCEPT and wanted.action is not Action.ACCEPT else chosen
        # if another setting refuses the message anyway, there is no override to report
        overrides = [each.override for each in findings if each.override and each.enforced]
        return Verdict(
            action=Action.ACCEPT if is_monitor else chosen.action,
            decider=explained.decider,
            reason=explained.reason,
            reply=_reply(explained, case),
            would=wanted.action,
            headers=() if is_monitor else chosen.headers,
            monitored=tuple(f"{each.decider}:{each.action}" for each in dict.fromkeys(findings) if not each.enforced),
            override=overrides[0] if overrides and lets_in(chosen.action) else "",
        )

    def _findings(self, case: Case) -> Iterator[_Finding]:
        """The findings of the rules that apply; then those of the settings, unless an enforced rule decides."""
        for rule in self.rules:
            if rule.applies(case):
                found = _of_rule(rule, case)
                yield found
                if found.decides and found.enforced:
                    return
        yield from self._of_settings(case)

    def _of_settings(self, case: Case) -> Iterator[_Finding]:
        """The finding of the policy's setting for the result of each check."""
        yield from self._of_dmarc(case)
        if case.trouble:
            reason = _TROUBLE[case.trouble]
            yield _Finding(Action.DEFER, _TROUBLE_DECIDERS[case.trouble], "4.3", reason, "Temporary failure of DNS")
        evidence = case.evidence
        spf, iprev, sender = evidence.spf, evidence.iprev, evidence.sender_domain
        if action := _of(self.spf, spf.result):
            enhanced = "7.24" if spf.result in (Result.PERMERROR, Result.TEMPERROR) else "7.23"
            reason = f"SPF {spf.result}{_for(spf.domain)}"
            finding = _Finding(action, _setting(f"spf.{spf.result}"), enhanced, reason, reason)
            yield _overruled(finding, (each for each in self._overrides(case) if each.spf))
        if action := _of(self.iprev, iprev.result):
            reason = f"Reverse DNS {iprev.result} for {iprev.client_ip}"
            finding = _Finding(action, _setting(f"iprev.{iprev.result}"), "7.25", reason, reason)
            yield _overruled(finding, (each for each in self._overrides(case) if each.iprev))
        if sender and (action := _of(self.sender_domain, sender.result)):
            enhanced = {Receives.NULL_MX: "7.27", Receives.NO_MAIL: "1.8"}.get(sender.result, "4.3")
            reason = f"{_SENDER_DOMAIN[sender.result]}{_for(sender.domain)}"
            yield _Finding(action, _setting(f"sender_domain.{sender.result}"), enhanced, reason, reason)

    def _of_dmarc(self, case: Case) -> Iterator[_Finding]:
        """The findings of the settings for DMARC. Outside the sample, they are not enforced."""
        if case.evidence.dmarc.result is Result.PASS:
            return
        in_sample = case.sample < self.dmarc.enforce_percent
        elements = self._elements(case.evidence)
        monitored = all(each.monitor for each in elements)
        if not monitored:
            # a monitored element for one reading must not affect a message that has other readings too
            elements = [_GENERAL if each.monitor else each for each in elements]
        enforced = in_sample and not monitored
        yield from (_marked(each, enforced) for each in self._of_failure(case, elements))
        if case.evidence.dmarc.ambiguous and self.dmarc.ambiguous_author:
            reason = "The author of the message is not one clear domain"
            decider = _setting("dmarc.ambiguous_author")
            yield _marked(_Finding(self.dmarc.ambiguous_author, decider, "7.1", reason, reason), in_sample)
        yield from (_marked(each, enforced) for each in self._of_temperror(case, elements))

    def _of_failure(self, case: Case, elements: list[AuthorActions]) -> Iterator[_Finding]:
        """The findings for authors whose policy the message fails, or who publish none."""
        dmarc = case.evidence.dmarc
        readings = dmarc.readings or (dmarc,)
        # of several readings with the same policy, name the first; of several policies, take the strictest first
        failed = [each for each in reversed(readings) if each.result is Result.FAIL]
        authors = {each.disposition: each.header_from for each in failed if each.disposition}
        if case.evidence.authors is None:
            authors = dict.fromkeys(Disposition)
        asked = sorted(authors, key=lambda each: each.severity, reverse=True)
        if asked:
            finding = max((self._failure(case, each, elements, authors[each]) for each in asked), key=_severity)
            finding = _overruled(finding, self._overrides(case))
            if finding.overrules:
                finding = finding._replace(override=finding.reason)
            yield finding
        for finding in self._unpublished(case.evidence, elements):
            yield _overruled(finding, self._overrides(case))

    def _of_temperror(self, case: Case, elements: list[AuthorActions]) -> Iterator[_Finding]:
        """The finding for authors whose policy, or whose DMARC result, is not known now."""
        dmarc, settings = case.evidence.dmarc, self.dmarc
        readings = dmarc.readings or (dmarc,)
        # the operator's own setting may ask for more than the domain does
        own = any(not {each.none or settings.none, each.unpublished} <= {Action.ACCEPT, None} for each in elements)
        undecided = [each for each in readings if each.result is Result.TEMPERROR]
        waiting = [each for each in undecided if own or each.at_stake is not Disposition.NONE]
        if waiting:
            reason = f"DMARC for {waiting[0].header_from or _NOBODY} cannot be decided now"
            yield _Finding(settings.temperror, _setting("dmarc.temperror"), "7.1", reason, reason)

    def _elements(self, evidence: Evidence) -> list[AuthorActions]:
        """For each reading of the author, the first element of ``authors`` that fits, or else the general settings.

        If the readings are not known, any element may fit, and none has to.
        """
        if evidence.authors is None:
            return [_GENERAL, *self.dmarc.authors]
        found = [
            next((each for each in self.dmarc.authors if author in each.authors), _GENERAL)
            for author in evidence.authors
        ]
        return found or [_GENERAL]

    def _failure(
        self, case: Case, policy: Disposition, elements: list[AuthorActions], author: Domain | None
    ) -> _Finding:
        """The finding of the most severe setting for a failure under a policy.

        So a laxer setting applies only if all readings of the author fit it.
        """
        name = author or _NOBODY
        reason = f"DMARC fail for {name}, whose policy is {policy}"
        refusal = f"Email rejected per DMARC policy for {name}"
        decider, action = self._general(case, policy)
        general = _Finding(action, decider, "7.1", reason, refusal)
        of_author = _setting(f"dmarc.authors.{policy}")
        actions: list[Action | None] = [getattr(each, policy) for each in elements]
        found = (general if each is None else general._replace(action=each, decider=of_author) for each in actions)
        return max(found, key=_severity)

    def _unpublished(self, evidence: Evidence, elements: list[AuthorActions]) -> Iterator[_Finding]:
        """The findings of ``unpublished`` for author domains that publish no policy, or one in error."""
        dmarc = evidence.dmarc
        pairs: list[tuple[Domain | None, AuthorActions]]
        if evidence.authors is None:
            pairs = [(None, each) for each in elements]
        else:
            silent = {
                each.header_from
                for each in (dmarc.readings or (dmarc,))
                if each.result in (Result.NONE, Result.PERMERROR)
            }
            pairs = [pair for pair in zip(evidence.authors, elements, strict=False) if pair[0] in silent]
        for author, each in pairs:
            action, name = each.unpublished, author or _NOBODY
            if action is None or action is Action.ACCEPT:
                continue
            # an author that is not one clear domain never passes
            result = Result.FAIL if author is None or dmarc.ambiguous else _passes_for(author, each.authors, evidence)
            if result is Result.TEMPERROR:
                reason = f"Whether SPF or DKIM passes for {name} cannot be decided now"
                yield _Finding(self.dmarc.temperror, _setting("dmarc.temperror"), "7.1", reason, reason)
            elif result is Result.FAIL:
                reason = f"{name} publishes no DMARC policy, and neither SPF nor DKIM passes for it"
                refusal = f"Email rejected per local policy for {name}"
                yield _Finding(action, _setting("dmarc.authors.unpublished"), "7.1", reason, refusal)

    def _general(self, case: Case, policy: Disposition) -> tuple[Decider, Action]:
        """The general setting for a failure under a policy, and its action."""
        match policy:
            case Disposition.REJECT:
                needs = self.dmarc.reject_needs
                if needs and not needs.holds(case, every=False):
                    laxer = min(self.dmarc.quarantine, self.dmarc.reject, key=lambda each: each.severity)
                    return _setting("dmarc.reject_needs"), laxer
                return _setting("dmarc.reject"), self.dmarc.reject
            case Disposition.QUARANTINE:
                return _setting("dmarc.quarantine"), self.dmarc.quarantine
            case _ if self.dmarc.none is not Action.ACCEPT:
                return _setting("dmarc.none"), self.dmarc.none
            case _:
                return DEFAULT, Action.ACCEPT

    def _overrides(self, case: Case) -> Iterator[_Override]:
        """The reasons to accept a message although checks fail.

        Each override covers only what it is bound to. A trusted forwarder is the client, so it covers everything that
        follows from the client's address. A sealer and a mailing list cover the author, and a MAIL FROM that belongs to
        the author or to an authenticated domain: anybody can resend a message of theirs, from any address, with any
        reverse-path.
        """
        evidence, connection, forwarders = case.evidence, case.connection, self.dmarc.trusted_forwarders
        if evidence.vouched:
            seen = evidence.spf_mail_from is not None and evidence.spf_mail_from.domain == evidence.vouched_mail_from
            # a seal says nothing about the reverse-path now: anybody who has the message can choose another
            spf = seen or _is_own_path(evidence, ())
            yield _Override(_setting("dmarc.trusted_sealers"), f"local_policy: {evidence.vouched}", spf)
        if not connection.untraced and (
            connection.client_ip in forwarders.networks
            or any(name in forwarders.names for name in evidence.iprev.names)
        ):
            why = f"trusted_forwarder: {connection.client_ip}"
            yield _Override(_setting("dmarc.trusted_forwarders"), why, spf=True, iprev=True)
        proven = [*spf_passes(evidence), *dkim_passes(evidence)]
        if evidence.mailing_list and (known := [each for each in proven if each in self.dmarc.mailing_lists]):
            why = f"mailing_list: {known[0]}"
            yield _Override(_setting("dmarc.mailing_lists"), why, spf=_is_own_path(evidence, known))
        if connection.untraced and connection.is_spared:
            decider = Decider(Kind.CONFIGURATION, "relays.untraced")
            yield _Override(decider, f"local_policy: {connection.untraced}")


class _Override(NamedTuple):
    """Why a message that fails DMARC is accepted. ``spf``, ``iprev``: it overrides the settings of these too."""

    decider: Decider
    why: str  # begins with a word of RFC 9990 for reports
    spf: bool = False
    iprev: bool = False


class _Finding(NamedTuple):
    """The action that a rule or a setting asks for. One that is not ``enforced`` is only recorded."""

    action: Action
    decider: Decider
    enhanced: str = ""  # status code of RFC 7372 or RFC 3463, with its class only if the operator gave one
    reason: str = ""
    refusal: str = ""  # text of the reply, if the message is refused
    enforced: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    override: str = ""
    decides: bool = False  # no later finding counts
    overrules: bool = False  # replaces the finding of a more severe setting


MAX_REPLY = 450  # characters of text; a reply line has at most 512 octets (RFC 5321 section 4.5.3.1.5)
MAX_VALUE = 900  # characters in a header field (RFC 5322 section 2.1.1)
_ACCEPTED = _Finding(Action.ACCEPT, DEFAULT)
_GENERAL = AuthorActions(authors=Domains())
_TROUBLE = {
    Trouble.UNAVAILABLE: "DNS answered no question about the message",
    Trouble.UNSENT: "This host could not send a DNS question in time",
}
_TROUBLE_DECIDERS = {
    Trouble.UNAVAILABLE: Decider(Kind.CONFIGURATION, "dns.unavailable"),
    Trouble.UNSENT: Decider(Kind.BUILT_IN, "dns.unsent"),
}
_NOBODY = "the author domain"
_SENDER_DOMAIN = {
    Receives.NULL_MX: "The sender accepts no mail (null MX)",
    Receives.NO_MAIL: "The sender cannot receive mail: no MX and no address",
    Receives.TEMPERROR: "DNS does not say now whether the sender can receive mail",
}


def _setting(name: str) -> Decider:
    return Decider(Kind.SETTING, name)


def _marked(finding: _Finding, enforced: bool) -> _Finding:
    """The finding, only recorded unless it is ``enforced``. An accept has nothing to record."""
    return finding._replace(enforced=enforced or finding.action is Action.ACCEPT)


def _severity(finding: _Finding) -> int:
    return finding.action.severity


def _pick(findings: list[_Finding]) -> _Finding:
    """The finding that counts: the first that decides, or a more severe one above it; if none decides, the severest."""
    for place, each in enumerate(findings):
        if each.decides:
            return max(findings[: place + 1], key=_severity)
    return _severest(findings)


def _severest(findings: list[_Finding]) -> _Finding:
    """The most severe finding. An accept is named only if it comes from an override."""
    found = max(findings, key=lambda each: (each.action.severity, each.overrules), default=_ACCEPTED)
    return found if found.action is not Action.ACCEPT or found.overrules else _ACCEPTED


def _overruled(finding: _Finding, overrides: Iterator[_Override]) -> _Finding:
    """The finding, or an accept in its place if there is an override; the first one counts."""
    if finding.action is Action.ACCEPT or not (found := next(overrides, None)):
        return finding
    return _Finding(Action.ACCEPT, found.decider, reason=found.why, overrules=True)


def _passes_for(author: Domain, names: Domains, evidence: Evidence) -> Result:
    """Pass, fail or temperror: does SPF or DKIM pass for the author, or for a domain that the same entry covers?"""
    above = [*names.above(author)]

    def is_own(name: str) -> bool:
        try:
            domain = Domain(name)
        except BadDomain:
            return False
        return domain == author or any(map(domain.is_within, above))

    if any(map(is_own, [*spf_passes(evidence), *dkim_passes(evidence)])):
        return Result.PASS
    checked = [
        (evidence.spf.result, evidence.spf.domain),
        *((each.result, each.domain or "") for each in evidence.dkim),
    ]
    undecided = [name for result, name in checked if result is Result.TEMPERROR]
    return Result.TEMPERROR if any(map(is_own, undecided)) else Result.FAIL


def _is_own_path(evidence: Evidence, proven: Sequence[str]) -> bool:
    """Is the MAIL FROM domain the author's, above it or in its organization; or within an authenticated domain?"""
    try:
        mail_from = Domain(evidence.spf_mail_from.domain) if evidence.spf_mail_from else None
    except BadDomain:
        return False
    if mail_from is None:
        return False
    author = evidence.authors[0] if evidence.authors and len(evidence.authors) == 1 else None
    if author and (author.is_within(mail_from) or mail_from.is_within(evidence.dmarc.org_domain or author)):
        return True
    return any(mail_from.is_within(Domain(each)) for each in proven)


def _of_rule(rule: Rule, case: Case) -> _Finding:
    reason = fill(rule.reason, case, rule.name) or f"rule {rule.name}"
    refusal = fill(rule.reply, case, rule.name) or "Refused by local policy"
    action = rule.action
    if action is Action.REJECT and not rule.is_certain(case):
        # DNS may answer differently later, and a rejected message is lost
        action = Action.DEFER
    headers = tuple((name, fill(value, case, rule.name)[:MAX_VALUE]) for name, value in rule.headers)
    fails = case.evidence.dmarc.result is Result.FAIL and case.evidence.dmarc.disposition is not Disposition.NONE
    decides = rule.decides(case)
    override = f"local_policy: rule {rule.name}" if fails and decides else ""
    enhanced = (rule.enhanced if action is rule.action else "") or "7.1"
    return _Finding(
        action,
        Decider(Kind.RULE, rule.name),
        enhanced,
        reason,
        refusal,
        enforced=not rule.monitor,
        headers=headers,
        override=override,
        decides=decides,
    )


def _reply(finding: _Finding, case: Case) -> Reply | None:
    if finding.action not in (Action.DEFER, Action.REJECT):
        return None
    code, first = (550, 5) if finding.action is Action.REJECT else (451, 4)
    enhanced = finding.enhanced
    if enhanced.count(".") == 1:
        # RFC 7372 section 3.3
        several = finding.action is Action.REJECT and _failures(case.evidence) > 1
        enhanced = f"{first}.7.26" if several and finding.decider.kind is not Kind.RULE else f"{first}.{enhanced}"
    return Reply(code, enhanced, finding.refusal[:MAX_REPLY])


def _of(actions: SpfActions | IprevActions | SenderDomainActions, result: str) -> Action | None:
    """The setting for a result word; None if there is none, or if it accepts, so that there is nothing to find."""
    action: Action | None = getattr(actions, result, None)
    return None if action is Action.ACCEPT else action


def _for(name: str) -> str:
    """The words " for NAME" if the name is a domain name. Nothing else that a client wrote is put into a reply."""
    try:
        return f" for {Domain(name)}"
    except BadDomain:
        return ""


def _failures(evidence: Evidence) -> int:
    """How many checks failed, as RFC 7372 section 3.3 counts them."""
    dkim = {each.result for each in evidence.dkim}
    checks = (evidence.iprev.result, evidence.spf.result, evidence.dmarc.result)
    return checks.count(Result.FAIL) + (Result.FAIL in dkim and Result.PASS not in dkim)
