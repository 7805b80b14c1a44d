"""An outcome in lines of two columns: what a line is about, and what there is to say.

``check``, ``why`` and the pages render the same lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..evidence import Evidence
from ..judge.outcome import Outcome
from ..policy import Partial
from ..result import Result
from ..terminal import DIM, GREEN, RED, YELLOW, painted, printable, wrapped
from ..verdict import Decider, Kind
from .alignment import alignments

_COLOURS = {
    **dict.fromkeys(("pass", "accept"), GREEN),
    **dict.fromkeys(("fail", "reject"), RED),
    **dict.fromkeys(("softfail", "permerror", "temperror", "tag", "hold", "defer", "null_mx", "no_mail"), YELLOW),
}
_RESULTS = {"verdict", "iprev", "spf mailfrom", "spf helo", "dkim", "arc", "sender domain", "dmarc", "disposition"}
_FIRST_WORD = re.compile(r"[a-z_]+")


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome, and what its words need of the policy: its file, the line of what decided, and ``dkim.partial``.

    ``line`` is None if the policy file does not have what decided.
    """

    outcome: Outcome
    file: str
    line: int | None
    partial: Partial


def decision(found: Judgement) -> Iterator[tuple[str, str]]:
    """The verdict, what decided, and how DMARC's identifiers relate to the author domain."""
    verdict, evidence = found.outcome.verdict, found.outcome.evidence
    setting = "setting " if verdict.decider.kind in (Kind.SETTING, Kind.CONFIGURATION) else ""
    yield "verdict", f"{verdict.action}  ({setting}{place(verdict.decider, found.file, found.line)})"
    if verdict.reason:
        yield "reason", verdict.reason
    if verdict.would is not verdict.action:
        yield "monitor", f"enforced, it would be {verdict.would}"
    for each in verdict.monitored:
        yield "monitor", f"recorded only: {each}"
    if verdict.reply and verdict.action is verdict.would:
        yield "reply", str(verdict.reply)
    yield from _signing(found.outcome)
    if evidence:
        for alignment in alignments(evidence, found.partial):
            yield "alignment", alignment.words
        if not evidence.dkim and evidence.dmarc.result is Result.FAIL:
            yield "alignment", "there is no DKIM signature"


def _signing(outcome: Outcome) -> Iterator[tuple[str, str]]:
    for key in outcome.signed_by:
        yield "signed by", key
    if outcome.unsigned:
        yield "unsigned", f"{outcome.unsigned}: {outcome.unsigned.words}"
    if seal := outcome.seal:
        if seal.by:
            yield "sealed by", f"{seal.by}  i={seal.instance} cv={seal.status}"
        if seal.why:
            yield "unsealed", f"{seal.why}: {seal.why.words}"


def place(decider: Decider, file: str, line: int | None) -> str:
    """What decided, and its place if it is in the policy or the configuration."""
    if decider.kind is Kind.CONFIGURATION:
        return f"{decider}, in the configuration"
    if decider.kind not in (Kind.RULE, Kind.SETTING):
        return str(decider)
    if line:
        return f"{decider}, line {line} of {file}"
    left = f"which {file} leaves at its default" if file else "a default"
    return f"{decider}, {left}"


def results(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """The result of each check."""

    def line(result: str, *rest: object) -> str:
        return "  ".join(str(part) for part in (f"{result:<9}", *rest) if part)

    iprev, dmarc = evidence.iprev, evidence.dmarc
    yield "iprev", line(iprev.result, " ".join(iprev.names) or iprev.name, iprev.reason)
    for spf in (evidence.spf_mail_from, evidence.spf_helo):
        if spf:
            matched = spf.mechanism
            if spf is evidence.spf:
                matched = " > ".join(_decisive(evidence)) or matched
            yield f"spf {spf.scope}", line(spf.result, spf.domain, f"matched {matched}" if matched else "", spf.reason)
    for dkim in evidence.dkim:
        size = f"{dkim.bits} bits" if dkim.bits else ""
        yield "dkim", line(dkim.result, dkim.domain, f"s={dkim.selector}", dkim.algorithm, size, dkim.reason)
    if not evidence.dkim:
        yield "dkim", line(Result.NONE, "no signature")
    sealed = f"sealed by {', '.join(evidence.arc.sealers)}" if evidence.arc.sealers else ""
    oldest = evidence.arc.oldest_pass
    changed = f"changed before set {oldest}" if oldest else ""
    yield "arc", line(evidence.arc.result, sealed, changed, evidence.arc.reason)
    if evidence.vouched:
        yield "vouched", evidence.vouched
    if evidence.not_vouched:
        yield "not vouched", str(evidence.not_vouched)
    if sender := evidence.sender_domain:
        yield "sender domain", line(sender.result, sender.domain, sender.reason)
    yield "dmarc", line(dmarc.result, dmarc.header_from, dmarc.reason)
    if dmarc.disposition:
        testing = ", lowered by t=y" if dmarc.testing else ""
        yield "disposition", f"{dmarc.disposition}  ({dmarc.tag}= at {dmarc.found_at}{testing})"
    if dmarc.org_domain:
        yield "organization", str(dmarc.org_domain)


def _decisive(evidence: Evidence) -> list[str]:
    """The terms that matched, each inside the one before it; empty if none did."""
    if not evidence.spf.mechanism:
        return []
    found: list[str] = []
    for term in evidence.spf.terms:
        # a match inside an include that did not match decided nothing
        if term.matched and term.depth == len(found):
            found.append(term.text)
    return found


def changes(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The header fields that are removed and added."""
    for name, instance in outcome.remove:
        yield "remove", f"{name} field {instance} from the top: it claims to be ours"
    for value in outcome.signatures:
        yield "add", f"DKIM-Signature: {value}"
    for name, value in outcome.add:
        yield "add", f"{name}: {value}"


def as_text(lines: list[tuple[str, str]], width: int, *, colour: bool) -> str:
    """The lines as text of ``width`` columns, safe to print."""
    indent = max(len(label) for label, _ in lines) + 2
    return "\n".join(line for label, text in lines for line in _lines(label, text, indent, width, colour=colour))


def _lines(label: str, text: str, indent: int, width: int, *, colour: bool) -> Iterator[str]:
    # our own field is folded
    first, *others = text.split("\n ") if label == "add" else [text]
    column = f"{label:<{indent}}"
    begun, *rest = wrapped(printable(first), width, column, " " * (indent + 2))
    if colour and label:
        text = begun[indent:]
        word = _FIRST_WORD.match(text)
        if word and word[0] in _COLOURS and label in _RESULTS:
            text = painted(word[0], _COLOURS[word[0]]) + text[word.end() :]
        begun = painted(column, DIM) + text
    yield begun.rstrip()
    yield from rest
    for each in others:
        yield from wrapped(printable(each), width, " " * (indent + 2))
