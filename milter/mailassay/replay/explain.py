"""A message judged again, in words: the output of ``mailassay check``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from ..config import Settings
from ..evidence import Evidence
from ..judge.outcome import Outcome
from ..resolver import Answer
from ..result import Result
from ..terminal import DIM, GREEN, RED, YELLOW, painted, printable, quoted, wrapped
from ..verdict import Decider, Kind
from .trace import Lookup, Trace

_MAX_RECORD = 200  # characters of a record
_MAX_RECORDS = 8
_COLOURS = {
    **dict.fromkeys(("pass", "accept"), GREEN),
    **dict.fromkeys(("fail", "reject"), RED),
    **dict.fromkeys(("softfail", "permerror", "temperror", "tag", "hold", "defer", "null_mx", "no_mail"), YELLOW),
}
_RESULTS = {"verdict", "iprev", "spf mailfrom", "spf helo", "dkim", "arc", "sender domain", "dmarc", "disposition"}
_FIRST_WORD = re.compile(r"[a-z_]+")


def as_text(
    trace: Trace,
    width: int = sys.maxsize,
    *,
    verbose: bool = False,
    colour: bool = False,
) -> str:
    """The verdict and what decided; the facts and their sources; each result; the field that is written.

    ``verbose``: also the SPF terms, the DMARC walk and all DNS answers. ``width`` is in columns.
    """
    outcome = trace.outcome
    lines = [*_decision(trace), ("", ""), *_facts(trace)]
    if outcome.evidence:
        lines += _results(outcome.evidence)
    else:
        lines.append(("results", f"not judged ({outcome.verdict.rule})"))
    if verbose:
        lines += [("", ""), *_details(trace)]
    if changes := [*_changes(outcome)]:
        lines += [("", ""), *changes]
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


def _decision(trace: Trace) -> Iterator[tuple[str, str]]:
    verdict, evidence = trace.outcome.verdict, trace.outcome.evidence
    setting = "setting " if verdict.decider.kind in (Kind.SETTING, Kind.CONFIGURATION) else ""
    yield "verdict", f"{verdict.action}  ({setting}{place(verdict.decider, trace.settings)})"
    if verdict.reason:
        yield "reason", verdict.reason
    if verdict.would is not verdict.action:
        yield "monitor", f"enforced, it would be {verdict.would}"
    for each in verdict.monitored:
        yield "monitor", f"recorded only: {each}"
    if verdict.reply and verdict.action is verdict.would:
        yield "reply", str(verdict.reply)
    if evidence:
        for alignment in trace.alignments(evidence):
            yield "alignment", alignment.words
        if not evidence.dkim and evidence.dmarc.result is Result.FAIL:
            yield "alignment", "there is no DKIM signature"


def place(decider: Decider, settings: Settings) -> str:
    """What decided, and its place if it is in the policy or the configuration."""
    if decider.kind is Kind.CONFIGURATION:
        return f"{decider}, in the configuration"
    if decider.kind not in (Kind.RULE, Kind.SETTING):
        return str(decider)
    if line := line_of(decider, settings):
        return f"{decider}, line {line} of {settings.policy_path}"
    left = f"which {settings.policy_path} leaves at its default" if settings.policy_path else "a default"
    return f"{decider}, {left}"


def line_of(decider: Decider, settings: Settings) -> int | None:
    """The line of a setting or rule in the policy file; None if it is a default, or not in the policy."""
    return settings.policy_lines.get(str(decider))


def _facts(trace: Trace) -> Iterator[tuple[str, str]]:
    message, client = trace.message, trace.outcome.client

    def said(fact: str, value: str) -> tuple[str, str]:
        source = message.sources.get("client" if fact == "relay" else fact, "")
        return fact, value if source.startswith("--") or not source else f"{value}  ({source})"

    connection = trace.outcome.connection
    if connection and connection.via:
        yield said("relay", str(message.client_ip or ""))
        source = f"Received, by way of {', '.join(map(str, connection.via))}"
        yield "client", f"{client}  ({source})"
        yield "helo", f"{connection.helo or 'none'}  ({source})"
    elif connection and connection.untraced:
        yield said("relay", client)
        yield "client", f"unknown: {connection.untraced}"
    else:
        yield said("client", "none: it was submitted on the host" if message.local else client)
        yield said("helo", message.helo or "none")
    yield said("mail from", f"<{message.mail_from}>")
    if message.recipients:
        yield said("recipients", ", ".join(message.recipients))
    if message.login:
        yield said("login", message.login)
    if message.at is not None:
        yield said("time", f"{_utc(message.at)}")
    if message.at != trace.now and (message.at is not None or message.stripped):
        yield "judged at", _utc(trace.now)
    if message.stripped:
        yield "left out", f"{', '.join(message.stripped)}: added on top after the milter saw the message"
    if message.then:
        differs = [f"{method}={result}" for method, result in differences(trace).items()]
        now = f"; now {', '.join(differs)}" if differs else ""
        yield "then", f"{', '.join(f'{each.method}={each.result}' for each in message.then)}{now}"


def differences(trace: Trace) -> dict[str, str]:
    """The results that differ from those in our own field, by method."""
    evidence = trace.outcome.evidence
    if not evidence or not trace.message.then:
        return {}
    now = {
        "iprev": [evidence.iprev.result],
        "spf": [evidence.spf.result],
        "dkim": [each.result for each in evidence.dkim] or [Result.NONE],
        "arc": [evidence.arc.result],
        "dmarc": [evidence.dmarc.result],
    }
    found = {}
    for method, results in now.items():
        then = [each.result for each in trace.message.then if each.method == method]
        if then and then != results:
            found[method] = ",".join(results)
    return found


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _results(evidence: Evidence) -> Iterator[tuple[str, str]]:
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


def _details(trace: Trace) -> Iterator[tuple[str, str]]:
    evidence = trace.outcome.evidence
    if evidence:
        for term in evidence.spf.terms:
            yield "spf term", f"{'  ' * term.depth}{term.text}  {'matched' if term.matched else 'did not match'}"
        for _, steps in trace.walks():
            for step in steps:
                yield "walk", f"{step.name}  {quoted(step.found)}"
    for each in trace.lookups():
        yield f"dns {each.method}", f"{each.question.name} {each.question.rdtype}  {_answered(each)}"


def _answered(lookup: Lookup) -> str:
    answer = lookup.answer
    if not isinstance(answer, Answer):
        return f"! {answer}"
    if not answer.records:
        return "nothing" if answer.exists else "no such name"
    shown = [quoted(each if len(each) <= _MAX_RECORD else f"{each[:_MAX_RECORD]}...") for each in answer.records]
    more = f", and {len(shown) - _MAX_RECORDS} more" if len(shown) > _MAX_RECORDS else ""
    return ", ".join(shown[:_MAX_RECORDS]) + more + (" (DNSSEC)" if answer.authentic else "")


def _changes(outcome: Outcome) -> Iterator[tuple[str, str]]:
    for name, instance in outcome.remove:
        yield "remove", f"{name} field {instance} from the top: it claims to be ours"
    for name, value in outcome.add:
        yield "add", f"{name}: {value}"
