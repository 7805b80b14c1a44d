"""A message judged again, as JSON: the output of ``mailassay check --json``.

Every key is written out here, so renaming a field of a result does not change what programs read. The keys do not
change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..explain.alignment import Alignment
from ..judge import details
from ..judge.logline import results
from ..judge.outcome import Outcome
from ..resolver import Answer
from ..result import Resinfo
from .explain import differences, line_of
from .trace import Lookup, Trace


def values(trace: Trace) -> dict[str, Any]:
    """The facts, the results, the verdict and what led to it, as maps, lists and values of JSON."""
    outcome, evidence = trace.outcome, trace.outcome.evidence
    return {
        "client": outcome.client,
        "results": results(outcome),
        "evidence": details.evidence(evidence) if evidence else None,
        "remove": [{"name": name, "instance": instance} for name, instance in outcome.remove],
        "add": [{"name": name, "value": value} for name, value in (*_signatures(outcome), *outcome.add)],
        "signing": _signing(outcome),
        "verdict": _verdict(trace),
        "message": _message(trace),
        "policy": {"file": trace.settings.policy_path, "digest": trace.settings.policy.digest},
        "spf_terms": [
            {"depth": term.depth, "text": term.text, "matched": term.matched}
            for term in (evidence.spf.terms if evidence else ())
        ],
        "dmarc_walks": [
            {"author": str(author), "steps": [{"name": step.name, "found": step.found} for step in steps]}
            for author, steps in trace.walks()
        ],
        "alignment": [_alignment(each) for each in (trace.alignments(evidence) if evidence else ())],
        "dns": [_lookup(each) for each in trace.lookups()],
    }


def _signatures(outcome: Outcome) -> Iterator[tuple[str, str]]:
    return (("DKIM-Signature", value) for value in outcome.signatures)


def _signing(outcome: Outcome) -> dict[str, Any] | None:
    """By which keys the message is signed, or why by none; None if this was not asked, or if it is judged."""
    if not outcome.signed_by and not outcome.unsigned:
        return None
    return {
        "signed_by": list(outcome.signed_by),
        "signed_with": list(outcome.signed_with),
        "unsigned": outcome.unsigned,
        "why": outcome.unsigned.words if outcome.unsigned else "",
    }


def _verdict(trace: Trace) -> dict[str, Any]:
    verdict = trace.outcome.verdict
    return {
        "action": verdict.action,
        "rule": verdict.rule,
        "line": line_of(verdict.decider, trace.settings),
        "reason": verdict.reason,
        "reply": str(verdict.reply) if verdict.reply and verdict.action is verdict.would else None,
        "would": verdict.would,
        "monitored": list(verdict.monitored),
        "override": verdict.override,
    }


def _message(trace: Trace) -> dict[str, Any]:
    message = trace.message
    return {
        "client": str(message.client_ip or ""),
        "helo": message.helo,
        "mail_from": message.mail_from,
        "recipients": list(message.recipients),
        "login": message.login,
        "local": message.local,
        "smtputf8": message.smtputf8,
        "time": message.at,
        "judged_at": trace.now,
        "sources": {name.replace(" ", "_"): source for name, source in message.sources.items()},
        "left_out": list(message.stripped),
        "then": [_resinfo(each) for each in message.then],
        "differs": [f"{method}={result}" for method, result in differences(trace).items()],
    }


def _alignment(found: Alignment) -> dict[str, Any]:
    return {**details.identifier(found.identifier), "aligned": found.aligned, "mode": found.mode, "words": found.words}


def _resinfo(found: Resinfo) -> dict[str, Any]:
    properties = {f"{ptype}.{name}": value for ptype, name, value in found.properties}
    return {"method": found.method, "result": found.result, "reason": found.reason, "properties": properties}


def _lookup(lookup: Lookup) -> dict[str, Any]:
    answer = lookup.answer
    asked = {"method": lookup.method, "name": lookup.question.name, "type": lookup.question.rdtype}
    if not isinstance(answer, Answer):
        return asked | {"records": [], "exists": None, "ttl": None, "authentic": False, "trouble": str(answer)}
    return asked | {
        "records": list(answer.records),
        "exists": answer.exists,
        "ttl": answer.ttl,
        "authentic": answer.authentic,
        "trouble": "",
    }
