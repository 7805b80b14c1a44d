"""What was found about a domain, in lines of text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from ..domain import u_labels
from ..limits import Limits
from ..result import Result
from ..terminal import quoted, wrapped
from . import Change, Problem, Report
from .dkim import EVERY, Dkim, Key
from .dmarc import Asked, Dmarc, Reports, Step
from .mx import Mx
from .spf import Record, Spf, Term

_MAX_SHOWN = 400  # characters of a record
_UNBROKEN = re.compile("[^ ;,]+[;,]*")
_NARROW = 12  # columns; a label up to that never gets a line of its own
_INDENT = 8  # columns, below a label that does
_MAX_DEPTH = 12  # of the tree, up to which lines are indented
_TERM = 44  # columns of a term
_KEYS = 20  # columns of the left side


class Text:
    """Lines of ``width`` columns. They are not safe to print yet: DNS has chosen parts of them."""

    def __init__(self, width: int) -> None:
        self._width = width

    def lines(self, report: Report, given: str, limits: Limits) -> Iterator[str]:
        """What DNS says about a domain. ``given`` is how it was named, ``limits`` are those of the policy."""
        domain = report.domain
        unicode = u_labels(domain)
        yield from wrapped(f"{domain}  ({unicode})" if unicode != domain else domain, self._width, rest="  ")
        if "@" in given:
            yield from self._wrapped("  ", f"the domain of {given}")
        yield ""
        for found in report.findings:
            yield from self._problem(found)
        if not report.findings:
            yield "  No problems found."
        yield ""
        if changes := [*dict.fromkeys(change for found in report.findings for change in found.changes)]:
            yield from self._wrapped(
                "", "Publish these, as far as it is clear what was meant (--json has each record as one text)"
            )
            for change in changes:
                yield from self._change(change)
            yield ""
        if report.exists is not False:
            for lines in (self._mx(report.mx), self._spf(report.spf, limits), self._dkim(report.dkim)):
                yield from lines
                yield ""
        yield from self._dmarc(report.dmarc)
        yield ""
        yield from self._dnssec(report)
        if report.unanswered:
            yield ""
            yield f"No answer to {len(report.unanswered)} of {report.questions} questions"
            for text in report.unanswered[:10]:
                yield from self._wrapped("  ", text)
            if len(report.unanswered) > 10:
                yield f"  and {len(report.unanswered) - 10} more"

    def _problem(self, problem: Problem) -> Iterator[str]:
        where = f" ({problem.rfc})" if problem.rfc else ""
        yield from self._wrapped(f"  {problem.severity:<9}", problem.what + where)
        if problem.fix:
            yield from self._wrapped(" " * 11, problem.fix)

    def _change(self, change: Change) -> Iterator[str]:
        """A change to be published, not shortened."""
        yield from self._wrapped("  ", f"{change.name} {change.type}")
        for text in change.records:
            yield from self._wrapped("    ", text, most=sys.maxsize)
        if change.instead:
            number = len(change.instead)
            there = "the one that is there" if number == 1 else f"the {number} that are there"
            yield f"    {'in place of' if change.records else 'remove'} {there}"

    def _wrapped(self, label: str, text: str, most: int = _MAX_SHOWN) -> Iterator[str]:
        """A label, with a wrapped text beside it."""
        text = quoted(text)
        if len(text) > most:
            text = f"{text[:most]} ..."
        width = self._width
        longest = max(map(len, _UNBROKEN.findall(text)), default=0)
        if text and len(label) > _NARROW and len(label) + longest > width:
            # a long label gets a line of its own
            yield label.rstrip()
            label = " " * _INDENT
        yield from wrapped(text, width, label)

    def _row(self, depth: int, key: str, text: str) -> Iterator[str]:
        label = "  " * depth + key
        yield from self._wrapped(f"{label:<{_KEYS + 2}}  ", text)

    def _mx(self, mx: Mx) -> Iterator[str]:
        said = {
            "mx": f"{mx.count} MX record{'s' if mx.count > 1 else ''}",
            "null": "accepts no mail (null MX)",
            "implicit": "no MX record; the domain's own address takes its place",
            "none": "neither MX record nor address",
            "unknown": "not known",
        }
        yield from self._wrapped("Mail    ", said[mx.kind])
        for host in mx.hosts:
            yield from self._wrapped("  " if host.preference is None else f"  {host.preference:>5} ", host.name)
            for each in host.addresses:
                said_of = {
                    Result.PASS: each.name,
                    Result.FAIL: f"{each.name}, which does not lead back",
                    Result.PERMERROR: "no name",
                }
                yield from self._wrapped(f"        {each.address:<25} ", said_of.get(each.result, each.reason))

    def _spf(self, spf: Spf, limits: Limits) -> Iterator[str]:
        record = spf.record
        if not record.texts:
            yield from self._wrapped("SPF     ", "not known" if record.trouble else record.error)
            return
        costs = f"{record.asks} terms that ask DNS (at most {limits.spf_terms}), {_void(record)}"
        yield from self._wrapped("SPF     ", f"permerror: {record.error}" if record.error else costs)
        for text in record.texts:
            yield from self._wrapped("  ", quoted(text))
        if record.terms and not record.error:
            yield ""
            yield from self._terms(record, 1)
            if spf.otherwise:
                yield ""
                ipv6 = spf.otherwise_ipv6
                over = f" ({ipv6} over IPv6)" if ipv6 != spf.otherwise else ""
                yield from self._wrapped("  any other client: ", f"{spf.otherwise}{over}")

    def _terms(self, record: Record, depth: int) -> Iterator[str]:
        for term in record.terms:
            label = f"{'  ' * min(depth, _MAX_DEPTH)}{quoted(term.text)}"
            label = label if len(label) <= _MAX_SHOWN else f"{label[:_MAX_SHOWN]} ..."
            cost = f"{term.asks:>2}  " if term.asks else "    "
            if len(label) > _TERM:
                # a line of its own, so that the costs stay in one column
                yield label
                label = ""
            yield from self._wrapped(f"{label:<{_TERM}}  {cost}", _said_of(term))
            if term.record and not term.error:
                yield from self._terms(term.record, depth + 1)

    def _dkim(self, dkim: Dkim) -> Iterator[str]:
        count = len(dkim.keys)
        if dkim.given:
            yield from self._wrapped("DKIM    ", "the selectors you named")
        elif not count:
            yield from self._wrapped("DKIM    ", f"no key at {len(dkim.tried)} well-known selectors")
        else:
            yield from self._wrapped(
                "DKIM    ", f"{count} key{'s' if count > 1 else ''}, found at well-known selectors"
            )
        for key in dkim.keys:
            yield from self._row(1, key.selector if key.selector != EVERY else "* (every selector)", _said_of_key(key))
        if not dkim.given:
            yield from self._wrapped("  tried: ", " ".join(dkim.tried))

    def _dmarc(self, dmarc: Dmarc) -> Iterator[str]:
        if asks := dmarc.domain_asks:
            yield from self._wrapped("DMARC   ", _asks(asks))
        else:
            yield from self._wrapped("DMARC   ", "not known" if dmarc.trouble else "no policy")
        for step in dmarc.steps:
            yield from self._step(step)
        yield ""
        if dmarc.org_domain:
            yield from self._row(1, "organization", dmarc.org_domain)
        if dmarc.below_asks:
            yield from self._row(1, "subdomains", _asks(dmarc.below_asks))
        if dmarc.missing_asks and dmarc.missing_asks != dmarc.below_asks:
            yield from self._row(1, "missing subdomains", _asks(dmarc.missing_asks))
        if asks:
            kinds = ("relaxed", "strict")
            yield from self._row(1, "alignment", f"SPF {kinds[dmarc.strict_spf]}, DKIM {kinds[dmarc.strict_dkim]}")
        for report in dmarc.reports:
            yield from self._row(1, "reports" if report.tag == "rua" else "failure reports", _said_of_report(report))

    def _step(self, step: Step) -> Iterator[str]:
        if not step.needed:
            said = ["not needed"]
        elif step.trouble:
            said = [step.trouble]
        else:
            said = [quoted(text) for text in (*step.records, *step.malformed)] or ["no record"]
        for text in said:
            yield from self._wrapped(f"  {step.name:<28}  ", text)

    def _dnssec(self, report: Report) -> Iterator[str]:
        own = {
            "MX": report.mx.authentic,
            "SPF": report.spf.authentic,
            "DMARC": report.dmarc.steps[0].authentic,
            **{f"DKIM {key.selector}": key.authentic for key in report.dkim.keys},
        }
        proven = [name for name, authentic in own.items() if authentic]
        if len(proven) == len(own):
            yield from self._wrapped("DNSSEC  ", "proves all of it, as the name server says (AD)")
        elif proven:
            yield from self._wrapped(
                "DNSSEC  ", f"proves {', '.join(proven)}, as the name server says (AD), and not the rest"
            )
        else:
            text = "proves nothing: the domain is not signed, or the name server does not validate"
            yield from self._wrapped("DNSSEC  ", text)


def _void(record: Record) -> str:
    said = f"{record.void_ipv4} without an answer"
    return said if record.void_ipv4 == record.void_ipv6 else f"{said} ({record.void_ipv6} for an IPv6 client)"


def _said_of(term: Term) -> str:
    if term.error or term.trouble:
        return term.error or term.trouble
    if not term.reached:
        return "never reached"
    if term.mechanism in ("a", "mx", "exists"):
        if not term.target:
            return "depends on the message"
        shown = ", ".join(term.found[:4]) + (f" and {len(term.found) - 4} more" if len(term.found) > 4 else "")
        return shown or "nothing there"
    return "depends on the client" if term.mechanism == "ptr" or (term.asks and not term.target) else ""


def _said_of_key(key: Key) -> str:
    if key.error or key.trouble:
        return key.error or key.trouble
    said = [f"RSA, {key.bits} bits" if key.kind == "rsa" else "Ed25519"]
    if key.testing:
        said.append("testing (t=y)")
    if key.strict:
        said.append("no subdomains in i= (t=s)")
    said += [f"{name}={quoted(value)}" for name, value in key.tags if name in ("h", "s", "n")]
    return ", ".join(said)


def _asks(asks: Asked) -> str:
    lowered = ", lowered by t=y" if asks.lowered else ""
    return f"{asks.policy}  ({asks.tag}= at {asks.at}{lowered})"


def _said_of_report(report: Reports) -> str:
    if report.trouble:
        return f"{report.uri}, whose consent is not known"
    if not report.host:
        return f"{report.uri}, which nobody uses"
    if not report.external:
        return report.uri
    return f"{report.uri}, {'with' if report.authorized else 'without'} the consent of {report.host}"
