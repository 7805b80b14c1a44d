"""An outcome as a record: what is kept about one message. Never its subject, never its body."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..config import KeptAddresses, Settings
from ..dmarc import Dmarc
from ..judge import details
from ..judge.logline import results, without_lone
from ..judge.outcome import Outcome

VERSION = 1
_MAX_TEXT = 1000  # characters of a name or an address that a sender chose
MAX_RECIPIENTS = 100  # whose addresses are kept
_SHOWN = 8  # characters of b=, as in our header field (RFC 6008)
# json.dumps makes an encoder for each call
_encode = json.JSONEncoder(default=str, separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, slots=True)
class Judged:
    """A message that has its answer: the outcome, the settings by which it was judged, and the time since 1970."""

    outcome: Outcome
    settings: Settings
    at: float


def line(judged: Judged, host: str) -> str:
    """The record as one line of JSON in ASCII, without a line end. ``host`` is the name of this host."""
    return without_lone(_encode(record(judged, host)))


def record(judged: Judged, host: str) -> dict[str, Any]:
    """The record as maps, lists and values of JSON. The keys of a version do not change."""
    outcome, settings = judged.outcome, judged.settings
    kept = settings.history.addresses
    verdict, transaction, connection = outcome.verdict, outcome.transaction, outcome.connection
    evidence = outcome.evidence
    recipients = [_address(each, kept) for each in transaction.recipients[:MAX_RECIPIENTS]]
    found: dict[str, Any] = {
        "v": VERSION,
        "kind": "message",
        "time": round(judged.at, 3),
        "host": host,
        "queue_id": outcome.queue_id,
        "message_id": _cut(outcome.message_id),
        "client": outcome.client,
        "helo": _cut(connection.helo) if connection else "",
        "addresses": kept,
        "mail_from": _address(transaction.mail_from, kept),
        "recipients": [each for each in recipients if each],
        "more_recipients": max(0, len(transaction.recipients) - MAX_RECIPIENTS),
        "login": _address(transaction.login, kept),
        "results": results(outcome),
        "verdict": verdict.action,
        "would": verdict.would,
        "kind_of_rule": verdict.decider.kind,
        "rule": verdict.rule,
        "line": settings.policy_lines.get(verdict.rule),
        "file": settings.policy_path,
        "policy": settings.policy.digest,
        "monitored": list(verdict.monitored),
        "override": verdict.override,
        "reason": verdict.reason,
        "reply": str(verdict.reply) if verdict.reply and verdict.action is verdict.would else None,
        "added": [list(each) for each in outcome.add] if kept is KeptAddresses.FULL else [],
        "removed": [list(each) for each in outcome.remove],
        "unanswered": outcome.unanswered,
        "unsent": outcome.unsent,
        "sample": outcome.sample,
        "seconds": round(outcome.seconds, 6),
        "dns_wait": round(outcome.dns_wait, 6),
        "version": __version__,
    }
    if evidence:
        found["evidence"] = of_checks = details.evidence(evidence)
        found["partial"] = settings.policy.dkim.partial
        found["dmarc_record"] = _record(evidence.dmarc)
        for signature in of_checks["dkim"]:
            signature["identity"] = _address(signature["identity"], kept)
            signature["b_text"] = signature["b_text"][:_SHOWN]
    return found


def _record(found: Dmarc) -> dict[str, Any] | None:
    """The DMARC record that applied, with the name where it was found and its tags (RFC 9989 section 4.7)."""
    # a result that is not decided yet has no ``found_at``
    policy = found.walk.policy if found.walk else None
    if policy is None:
        return None
    at, record = policy
    return {
        "at": at,
        "p": record.p,
        "sp": record.sp,
        "np": record.np,
        "psd": record.psd,
        "t": "y" if record.testing else "n",
        "adkim": "s" if record.strict_dkim else "r",
        "aspf": "s" if record.strict_spf else "r",
        "fo": record.fo,
        "rua": list(record.rua),
        "ruf": list(record.ruf),
        "alignment": [{**details.identifier(each), "how": how} for each, how in found.alignment],
    }


def _address(address: str, kept: KeptAddresses) -> str:
    local_part, at, domain = address.rpartition("@")
    match kept:
        case KeptAddresses.NONE:
            return ""
        case KeptAddresses.DOMAIN if at:
            return _cut(f"@{domain}")
        case KeptAddresses.DOMAIN:
            # an address without a domain is a local-part
            return "" if local_part or domain else address
    return _cut(address)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."
