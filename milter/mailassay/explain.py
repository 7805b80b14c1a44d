"""An outcome for people and for programs: what ``mailassay check`` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .conversation import Outcome
from .evidence import Evidence
from .report import facts
from .result import Result
from .terminal import printable


def as_text(outcome: Outcome, client: str) -> str:
    """Each result with its reason, the header field that would be written, and the line of the policy that decided."""
    lines = list(_lines(outcome, client))
    width = max(len(label) for label, _ in lines) + 2
    return "\n".join(f"{label:<{width}}{_printable(text)}".rstrip() for label, text in lines)


def _printable(text: str) -> str:
    """A sender's words fit for a terminal; our own folds stay."""
    return "\n ".join(map(printable, text.split("\n ")))


def _lines(outcome: Outcome, client: str) -> Iterator[tuple[str, str]]:
    verdict, evidence = outcome.verdict, outcome.evidence
    yield "client", client
    if evidence:
        yield from _results(evidence)
    else:
        yield "results", f"not judged ({verdict.rule})"
    for name, instance in outcome.remove:
        yield "remove", f"{name} field {instance} from the top: it claims to be ours"
    for name, value in outcome.add:
        yield "add", f"{name}: {value}"
    if verdict.would is not verdict.action:
        yield "monitor", f"enforced, it would be {verdict.would}"
    yield "verdict", f"{verdict.action}  (policy line {verdict.rule})"
    if verdict.reason:
        yield "reason", verdict.reason
    if verdict.reply and verdict.action is verdict.would:
        yield "reply", str(verdict.reply)


def _results(evidence: Evidence) -> Iterator[tuple[str, str]]:
    def line(result: Result, *rest: object) -> str:
        return "  ".join(str(part) for part in (f"{result:<9}", *rest) if part)

    iprev, dmarc = evidence.iprev, evidence.dmarc
    yield "iprev", line(iprev.result, iprev.name, iprev.reason)
    for spf in (evidence.spf_mail_from, evidence.spf_helo):
        if spf:
            matched = f"matched {spf.mechanism}" if spf.mechanism else ""
            yield f"spf {spf.scope}", line(spf.result, spf.domain, matched, spf.reason)
    for dkim in evidence.dkim:
        size = f"{dkim.bits} bits" if dkim.bits else ""
        yield "dkim", line(dkim.result, dkim.domain, f"s={dkim.selector}", dkim.algorithm, size, dkim.reason)
    if not evidence.dkim:
        yield "dkim", line(Result.NONE, "no signature")
    sealed = f"sealed by {', '.join(evidence.arc.sealers)}" if evidence.arc.sealers else ""
    yield "arc", line(evidence.arc.result, sealed, evidence.arc.reason)
    yield "dmarc", line(dmarc.result, dmarc.header_from, dmarc.reason)
    if dmarc.policy:
        testing = ", lowered by t=y" if dmarc.testing else ""
        yield "disposition", f"{dmarc.policy}  ({dmarc.tag}= at {dmarc.found_at}{testing})"


def as_json(outcome: Outcome, client: str) -> dict[str, Any]:
    """The same for programs; the keys stay."""
    verdict = outcome.verdict
    return {
        "client": client,
        "results": facts(outcome),
        "evidence": _plain(outcome.evidence),
        "remove": [{"name": name, "instance": instance} for name, instance in outcome.remove],
        "add": [{"name": name, "value": value} for name, value in outcome.add],
        "verdict": {
            "action": verdict.action,
            "rule": verdict.rule,
            "reason": verdict.reason,
            "reply": str(verdict.reply) if verdict.reply and verdict.action is verdict.would else None,
            "would": verdict.would,
        },
    }


def _plain(value: Any) -> Any:
    """Results as maps and lists of what JSON knows."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return value if isinstance(value, int | float | str | None) else str(value)
