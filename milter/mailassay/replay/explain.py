"""A message judged again, in words: the output of ``mailassay check``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from ..author import author
from ..config import Settings
from ..explain import outcome
from ..explain.outcome import Judgement
from ..resolver import Answer
from ..result import Result
from ..terminal import quoted
from ..verdict import Decider
from .trace import Lookup, Trace

_MAX_RECORD = 200  # characters of a record
_MAX_RECORDS = 8


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
    found = trace.outcome
    lines = [*outcome.decision(judgement(trace)), ("", ""), *_facts(trace)]
    if found.evidence:
        lines += outcome.results(found.evidence)
    else:
        lines += [*_author(trace), ("results", f"not judged ({found.verdict.rule})")]
    if verbose:
        lines += [("", ""), *_details(trace)]
    if changes := [*outcome.changes(found)]:
        lines += [("", ""), *changes]
    return outcome.as_text(lines, width, colour=colour)


def judgement(trace: Trace) -> Judgement:
    """The outcome, with what its words need of the policy."""
    settings, outcome = trace.settings, trace.outcome
    line = line_of(outcome.verdict.decider, settings)
    return Judgement(outcome, settings.policy_path or "", line, settings.policy.dkim.partial)


def place(decider: Decider, settings: Settings) -> str:
    """What decided, and its place if it is in the policy or the configuration."""
    return outcome.place(decider, settings.policy_path or "", line_of(decider, settings))


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
        yield said("client", "none: it was submitted on the host" if message.local else client or "any")
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


def _author(trace: Trace) -> Iterator[tuple[str, str]]:
    """The author of outgoing mail, by which the keys are found."""
    outcome = trace.outcome
    if outcome.signed_by or outcome.unsigned:
        found = author(outcome.headers, trace.settings.policy.limits)
        yield "author", "  ".join(filter(None, [", ".join(found.domains) or "none", found.problem]))


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
