"""What the present policy would decide on the evidence that the history has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from ..config import KeptAddresses, Settings, Untraced
from ..evidence import Case, Connection, Evidence, Transaction, Trouble
from ..judge.outcome import Outcome
from ..policy.condition import matches
from ..verdict import Action, Decider, Kind, Verdict
from .outcome import Judgement


class WhatIf(NamedTuple):
    """A decision by the present policy; None, with what is not known, if it cannot be made."""

    judgement: Judgement | None
    unknown: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For programs. The keys do not change."""
        if self.judgement is None:
            return {"verdict": None, "unknown": list(self.unknown)}
        verdict = self.judgement.outcome.verdict
        return {
            "verdict": verdict.action,
            "would": verdict.would,
            "rule": verdict.rule,
            "file": self.judgement.file or None,
            "line": self.judgement.line,
            "reason": verdict.reason,
            "reply": str(verdict.reply) if verdict.reply and verdict.action is verdict.would else None,
            "monitored": list(verdict.monitored),
            "unknown": [],
        }


def decide(found: Outcome, kept: KeptAddresses, settings: Settings, now: float) -> WhatIf:
    """The verdict that the present policy would give. ``kept`` is what the record has of addresses."""
    connection, evidence = found.connection, found.evidence
    if connection is None or evidence is None:
        return WhatIf(None, (f"the checks did not run then ({found.verdict.rule})",))
    if unknown := tuple(_unknown(found, evidence, kept, settings)):
        return WhatIf(None, unknown)
    if not connection.untraced and any(connection.client_ip in each for each in settings.trusted_networks or ()):
        verdict = Verdict(Action.ACCEPT, Decider(Kind.UNJUDGED, "trusted_network"))
    else:
        verdict = settings.policy.decide(_case(found, connection, evidence, settings, now))
    line = settings.policy_lines.get(verdict.rule)
    outcome = Outcome(verdict=verdict, transaction=found.transaction)
    return WhatIf(Judgement(outcome, settings.policy_path or "", line, settings.policy.dkim.partial))


def _case(found: Outcome, connection: Connection, evidence: Evidence, settings: Settings, now: float) -> Case:
    trouble = None
    if found.unsent:
        trouble = Trouble.UNSENT
    elif found.unanswered and settings.dns.unavailable is Action.DEFER:
        trouble = Trouble.UNAVAILABLE
    return Case(
        connection=replace(connection, is_spared=settings.relays.untraced is Untraced.ACCEPT),
        transaction=_transaction(found.transaction, evidence),
        evidence=evidence,
        now=now,
        sample=found.sample or 0,
        recipient_delimiter=settings.recipient_delimiter,
        owner_request_special=settings.owner_request_special,
        trouble=trouble,
    )


def _transaction(found: Transaction, evidence: Evidence) -> Transaction:
    """With the domain of MAIL FROM, which the results have in any case."""
    if found.mail_from or evidence.spf_mail_from is None:
        return found
    return replace(found, mail_from=f"@{evidence.spf_mail_from.domain}")


def _unknown(found: Outcome, evidence: Evidence, kept: KeptAddresses, settings: Settings) -> Iterator[str]:
    """What the present policy looks at, and the record does not have."""
    policy = settings.policy
    if policy.asks_sender_domain and evidence.sender_domain is None:
        yield "the policy uses sender_domain now, and it was not looked up then"
    if policy.dmarc.enforce_percent < 100 and found.sample is None:
        yield "enforce_percent selects messages now, and did not then"
    recipients = found.transaction.recipients
    if kept is not KeptAddresses.FULL or "" in recipients:
        for rule in policy.rules:
            if any(each.key == "recipient" for each in matches(rule.condition)):
                yield f"the rule {rule.name} looks at recipients, and not all of them are kept"
    if found.connection and not _is_same_client(found.connection, found.transaction.login, settings):
        yield "relays has changed since, so the message would be judged by another client"


def _is_same_client(connection: Connection, login: str, settings: Settings) -> bool:
    """Do the present relays lead to the client by which the message was judged?"""
    relays = settings.relays
    first, *rest = connection.via or (connection.client_ip,)
    is_relay = first in relays.networks or login in relays.logins
    if not connection.via:
        return is_relay is bool(connection.untraced)
    return is_relay and all(each in relays.networks for each in rest) and connection.client_ip not in relays.networks
