"""An outcome as a record: what is kept about one message. Never its subject, never its body.

On its way through the spool a record is a line whose values have no keys, since a worker needs half the time for it:
``{"v": 1, "kind": "message", "values": [...]}``. :func:`read` gives them their keys again. Of a message with a seal,
or without one that it should have, ``seal`` says so: a reader of an older version passes over it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import __version__, return_path
from ..arc import Doubted
from ..config import KeptAddresses, Settings
from ..dmarc import Dmarc
from ..evidence import Evidence
from ..judge import details
from ..judge.details import Form
from ..judge.logline import sealing, without_lone
from ..judge.outcome import Outcome

VERSION = 1
_MAX_TEXT = 1000  # characters of a name or an address that a sender chose
_MAX_LINE = 1 << 17  # octets of a record; in a longer one, which only a sender on purpose causes, all texts are cut
_SHORT = 255  # characters of a text in it; a domain name is no longer
MAX_RECIPIENTS = 100  # whose addresses are kept
_SHOWN = 8  # characters of b=, as in our header field (RFC 6008)
# json.dumps makes an encoder for each call
_encode = json.JSONEncoder(default=str, separators=(",", ":"), check_circular=False).encode

_MESSAGE = Form(
    "time", "host", "queue_id", "message_id", "client", "helo", "addresses", "mail_from", "recipients",
    "more_recipients", "login", "via", "untraced", "verdict", "would", "kind_of_rule", "rule", "line", "file",
    "policy", "monitored", "override", "reason", "reply", "added", "removed", "unanswered", "unsent", "sample",
    "seconds", "dns_wait", "version", "evidence", "partial", "dmarc_record", "signed_by", "unsigned", "signed_with",
)  # fmt: skip
KEYS = _MESSAGE.keys
"""The keys of the values of a line, in their order."""
_OF_CHECKS = ("evidence", "partial", "dmarc_record")  # are missing if the message was not judged
# are missing unless signing is set up and the message was not judged; and of these, if it was signed, or if it was not
_OF_SIGNING = ("signed_by", "signed_with", "unsigned")
_RECORD = Form("at", "p", "sp", "np", "psd", "t", "adkim", "aspf", "fo", "rua", "ruf", "alignment")


@dataclass(frozen=True, slots=True)
class Judged:
    """A message that has its answer: the outcome, the settings by which it was judged, and the time since 1970."""

    outcome: Outcome
    settings: Settings
    at: float


def line(judged: Judged, host: str) -> str:
    """The record as one line of JSON in ASCII, without a line end. ``host`` is the name of this host."""
    values, seal = _values(judged, host), judged.outcome.seal
    more = {"seal": sealing(seal)} if seal else {}
    text = _line(values, more)
    return text if len(text) <= _MAX_LINE else _line(_short(json.loads(_encode(values))), more)


def _line(values: list[Any], more: dict[str, Any]) -> str:
    return without_lone(_encode({"v": VERSION, "kind": "message", "values": values, **more}))


def _short(found: Any) -> Any:
    """Values of JSON in which no text is long."""
    match found:
        case str():
            return _cut(found, _SHORT)
        case list():
            return [_short(each) for each in found]
        case dict():
            return {key: _short(each) for key, each in found.items()}
    return found


def read(found: dict[str, Any]) -> dict[str, Any]:
    """A line of the spool, the values of a record with their keys. Raises ValueError or TypeError."""
    if found.get("v") != VERSION or found.get("kind") != "message" or "values" not in found:
        return found
    record = _MESSAGE.named(found["values"])
    for key in _OF_SIGNING:
        if not record[key]:
            del record[key]
    if record["evidence"] is None:
        for key in _OF_CHECKS:
            del record[key]
    else:
        record["evidence"] = details.named(record["evidence"])
        record["dmarc_record"] = _named(record["dmarc_record"])
    return {"v": VERSION, "kind": "message", **record, **found.get("seal", {})}


def record(judged: Judged, host: str) -> dict[str, Any]:
    """The record as maps, lists and values of JSON. The keys of a version do not change."""
    found: dict[str, Any] = json.loads(line(judged, host))
    return read(found)


def _values(judged: Judged, host: str) -> list[Any]:
    """What ``_MESSAGE`` names, in that order."""
    settings = judged.settings
    addresses = settings.history.addresses
    outcome = judged.outcome
    if addresses is not KeptAddresses.FULL:
        outcome = _without_local_parts(outcome, addresses, settings.reports.sender)
    verdict, transaction, connection = outcome.verdict, outcome.transaction, outcome.connection
    evidence, rule = outcome.evidence, verdict.rule
    return [
        round(judged.at, 3),
        host,
        outcome.queue_id,
        _cut(outcome.message_id),
        outcome.client,
        _cut(connection.helo) if connection else "",
        addresses,
        _cut(transaction.mail_from),
        [_cut(each) for each in transaction.recipients[:MAX_RECIPIENTS] if each],
        max(0, len(transaction.recipients) - MAX_RECIPIENTS),
        _cut(transaction.login),
        [str(each) for each in connection.via] if connection else [],
        connection.untraced if connection else "",
        verdict.action,
        verdict.would,
        verdict.decider.kind,
        rule,
        settings.policy_lines.get(rule),
        settings.policy_path,
        settings.policy.digest,
        verdict.monitored,
        verdict.override,
        verdict.reason,
        str(verdict.reply) if verdict.reply and verdict.action is verdict.would else None,
        outcome.add,
        outcome.remove,
        outcome.unanswered,
        outcome.unsent,
        outcome.sample,
        round(outcome.seconds, 6),
        round(outcome.dns_wait, 6),
        __version__,
        details.values(evidence, b_text=_SHOWN) if evidence else None,
        settings.policy.dkim.partial,
        _record(evidence.dmarc) if evidence else None,
        outcome.signed_by or None,
        outcome.unsigned,
        outcome.signed_with or None,
    ]


def _record(found: Dmarc) -> list[Any] | None:
    """The DMARC record that applied, with the name where it was found and its tags (RFC 9989 section 4.7)."""
    # a result that is not decided yet has no ``found_at``
    policy = found.walk.policy if found.walk else None
    if policy is None:
        return None
    at, record = policy
    return [
        at,
        record.p,
        record.sp,
        record.np,
        record.psd,
        "y" if record.testing else "n",
        "s" if record.strict_dkim else "r",
        "s" if record.strict_spf else "r",
        record.fo,
        record.rua,
        record.ruf,
        found.alignment,
    ]


def _named(values: Sequence[Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    found = _RECORD.named(values)
    found["alignment"] = [{**details.identifier(each), "how": how} for each, how in found["alignment"]]
    return found


def _without_local_parts(outcome: Outcome, kept: KeptAddresses, sender: str | None) -> Outcome:
    """The outcome without what may be a local-part. Addresses that a domain publishes in its DMARC record stay.

    So do those of our own reports, whose address is ``sender``: by them the collector knows bounces of reports.
    """
    transaction, verdict, evidence = outcome.transaction, outcome.verdict, outcome.evidence
    if transaction.mail_from and "@" not in transaction.mail_from:
        # then it stands where its domain is expected, in texts too
        reply = replace(verdict.reply, text="-") if verdict.reply else None
        verdict = replace(verdict, reason="", reply=reply)
        evidence = evidence and _without_mail_from(evidence)
    return replace(
        outcome,
        verdict=verdict,
        transaction=replace(
            transaction,
            mail_from=return_path.kept(transaction.mail_from, sender) or _kept(transaction.mail_from, kept),
            login=_kept(transaction.login, kept),
            recipients=tuple(return_path.kept(each, sender) or _kept(each, kept) for each in transaction.recipients),
        ),
        evidence=evidence and _without_identities(evidence, kept),
        # header.i= is an address, and a policy may write others
        add=(),
    )


def _without_mail_from(evidence: Evidence) -> Evidence:
    of_spf, of_sender = evidence.spf_mail_from, evidence.sender_domain
    return replace(
        evidence,
        spf_mail_from=of_spf and replace(of_spf, domain="", reason=""),
        sender_domain=of_sender and replace(of_sender, domain="", reason=""),
    )


def _without_identities(evidence: Evidence, kept: KeptAddresses) -> Evidence:
    doubt = evidence.not_vouched
    return replace(
        evidence,
        dkim=tuple(replace(each, identity=_kept(each.identity, kept)) for each in evidence.dkim),
        # the reason quotes what a sealer recorded
        not_vouched=doubt and Doubted(doubt.fault, ""),
    )


def _kept(address: str, kept: KeptAddresses) -> str:
    _, at, domain = address.rpartition("@")
    # without a domain, all of it is a local-part
    return f"@{domain}" if at and kept is KeptAddresses.DOMAIN else ""


def _cut(text: str, most: int = _MAX_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
