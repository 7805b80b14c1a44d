"""``mailassay lookup``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from ipaddress import ip_address

from ..domain import BadDomain, Domain, u_labels
from ..judge.logline import as_json
from ..limits import Limits
from ..lookup import Change, Problem, Report, key_name, look_up
from ..lookup.dkim import EVERY, Dkim, Key
from ..lookup.dmarc import Asked, Dmarc, Reports, Step
from ..lookup.mx import Mx
from ..lookup.spf import Record, Spf, Term
from ..result import Result
from ..terminal import BOLD, DIM, RED, YELLOW, columns, complain, painted, printable, quoted, shows_colour, wrapped
from .options import Commands, settings, source, takes_config, takes_json, takes_zone

_MAX_SHOWN = 400  # characters of a record
_UNBROKEN = re.compile("[^ ;,]+[;,]*")
_FIRST_WORD = re.compile(r"  (?:error|warning|note)(?=  )|(?:Mail|SPF|DKIM|DMARC|DNSSEC)(?=  )")
_COLOURS = {"error": RED, "warning": YELLOW, "note": DIM}
_NARROW = 12  # columns; a label up to that never gets a line of its own
_INDENT = 8  # columns, below a label that does
_MAX_DEPTH = 12  # of the tree, up to which lines are indented
_TERM = 44  # columns of a term
_KEYS = 20  # columns of the left side


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "lookup",
        help="show what DNS says about a mail domain, and what is wrong with it",
        description="Show MX, SPF, DKIM keys and DMARC of a domain, problems first; then what to publish instead, if"
        " the records show what was meant. Such a record has been tested as if it were published: with it, the"
        " problem is gone. Exit status 1 if there is an error, 75 if DNS does not answer for the domain itself.",
    )
    parser.add_argument("domain", metavar="DOMAIN", type=_domain, help="the domain, or an address in it")
    parser.add_argument(
        "--selector",
        action="append",
        default=[],
        metavar="S",
        help="a DKIM selector, s= in a signature; may be repeated (default: well-known ones are tried)",
    )
    takes_zone(parser)
    takes_json(parser)
    takes_config(parser)
    parser.set_defaults(run=_run, refuse=parser.error)


def _domain(text: str) -> tuple[str, Domain]:
    """The argument, and the domain in it. Raises ArgumentTypeError."""
    _, _, name = text.strip().rpartition("@")
    try:
        ip_address(name.strip("[]").removeprefix("IPv6:"))
    except ValueError:
        pass
    else:
        raise argparse.ArgumentTypeError(f"{text!r} is an IP address; give the domain of a mail address")
    try:
        domain = Domain(name)
    except BadDomain as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a domain name: {error}") from error
    if domain.labels[-1].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a domain name: it ends in a number")
    return text.strip(), domain


def _run(arguments: argparse.Namespace) -> int:
    given, domain = arguments.domain
    for selector in arguments.selector:
        try:
            key_name(selector, domain)
        except BadDomain:
            arguments.refuse(f"argument --selector: {selector!r} is not a selector")
    found = settings(arguments)
    limits = found.policy.limits
    report = look_up(domain, arguments.selector, source(arguments, found), found.message_timeout, limits)
    if arguments.json:
        print(as_json({"given": given, **asdict(report)}, indent=2))
    elif len(report.unanswered) < report.questions:
        colour = shows_colour(sys.stdout)
        for line in _lines(report, given, limits):
            print(_painted(printable(line)) if colour else printable(line))
    if not report.is_known:
        complain(f"mailassay: DNS does not answer: {report.unanswered[0]}")
        return os.EX_TEMPFAIL
    return 1 if report.bad else 0


def _painted(line: str) -> str:
    """A line with its first word in colour, if that is one of ours."""
    found = _FIRST_WORD.match(line)
    return painted(found[0], _COLOURS.get(found[0].strip(), BOLD)) + line[found.end() :] if found else line


def _lines(report: Report, given: str, limits: Limits) -> Iterator[str]:
    domain = report.domain
    unicode = u_labels(domain)
    yield from wrapped(f"{domain}  ({unicode})" if unicode != domain else domain, columns(sys.stdout), rest="  ")
    if "@" in given:
        yield from _wrapped("  ", f"the domain of {given}")
    yield ""
    for found in report.findings:
        yield from _problem(found)
    if not report.findings:
        yield "  No problems found."
    yield ""
    if changes := [*dict.fromkeys(change for found in report.findings for change in found.changes)]:
        yield from _wrapped(
            "", "Publish these, as far as it is clear what was meant (--json has each record as one text)"
        )
        for change in changes:
            yield from _change(change)
        yield ""
    if report.exists is not False:
        for lines in (_mx(report.mx), _spf(report.spf, limits), _dkim(report.dkim)):
            yield from lines
            yield ""
    yield from _dmarc(report.dmarc)
    yield ""
    yield from _dnssec(report)
    if report.unanswered:
        yield ""
        yield f"No answer to {len(report.unanswered)} of {report.questions} questions"
        for text in report.unanswered[:10]:
            yield from _wrapped("  ", text)
        if len(report.unanswered) > 10:
            yield f"  and {len(report.unanswered) - 10} more"


def _problem(problem: Problem) -> Iterator[str]:
    where = f" ({problem.rfc})" if problem.rfc else ""
    yield from _wrapped(f"  {problem.severity:<9}", problem.what + where)
    if problem.fix:
        yield from _wrapped(" " * 11, problem.fix)


def _change(change: Change) -> Iterator[str]:
    """A change to be published, not shortened."""
    yield from _wrapped("  ", f"{change.name} {change.type}")
    for text in change.records:
        yield from _wrapped("    ", text, most=sys.maxsize)
    if change.instead:
        number = len(change.instead)
        there = "the one that is there" if number == 1 else f"the {number} that are there"
        yield f"    {'in place of' if change.records else 'remove'} {there}"


def _wrapped(label: str, text: str, most: int = _MAX_SHOWN) -> Iterator[str]:
    """A label, with a wrapped text beside it."""
    text = quoted(text)
    if len(text) > most:
        text = f"{text[:most]} ..."
    width = columns(sys.stdout)
    longest = max(map(len, _UNBROKEN.findall(text)), default=0)
    if text and len(label) > _NARROW and len(label) + longest > width:
        # a long label gets a line of its own
        yield label.rstrip()
        label = " " * _INDENT
    yield from wrapped(text, width, label)


def _row(depth: int, key: str, text: str) -> Iterator[str]:
    label = "  " * depth + key
    yield from _wrapped(f"{label:<{_KEYS + 2}}  ", text)


def _mx(mx: Mx) -> Iterator[str]:
    said = {
        "mx": f"{mx.count} MX record{'s' if mx.count > 1 else ''}",
        "null": "accepts no mail (null MX)",
        "implicit": "no MX record; the domain's own address takes its place",
        "none": "neither MX record nor address",
        "unknown": "not known",
    }
    yield from _wrapped("Mail    ", said[mx.kind])
    for host in mx.hosts:
        yield from _wrapped("  " if host.preference is None else f"  {host.preference:>5} ", host.name)
        for each in host.addresses:
            said_of = {
                Result.PASS: each.name,
                Result.FAIL: f"{each.name}, which does not lead back",
                Result.PERMERROR: "no name",
            }
            yield from _wrapped(f"        {each.address:<25} ", said_of.get(each.result, each.reason))


def _spf(spf: Spf, limits: Limits) -> Iterator[str]:
    record = spf.record
    if not record.texts:
        yield from _wrapped("SPF     ", "not known" if record.trouble else record.error)
        return
    costs = f"{record.asks} terms that ask DNS (at most {limits.spf_terms}), {_void(record)}"
    yield from _wrapped("SPF     ", f"permerror: {record.error}" if record.error else costs)
    for text in record.texts:
        yield from _wrapped("  ", quoted(text))
    if record.terms and not record.error:
        yield ""
        yield from _terms(record, 1)
        if spf.otherwise:
            yield ""
            ipv6 = spf.otherwise_ipv6
            over = f" ({ipv6} over IPv6)" if ipv6 != spf.otherwise else ""
            yield from _wrapped("  any other client: ", f"{spf.otherwise}{over}")


def _void(record: Record) -> str:
    said = f"{record.void_ipv4} without an answer"
    return said if record.void_ipv4 == record.void_ipv6 else f"{said} ({record.void_ipv6} for an IPv6 client)"


def _terms(record: Record, depth: int) -> Iterator[str]:
    for term in record.terms:
        label = f"{'  ' * min(depth, _MAX_DEPTH)}{quoted(term.text)}"
        label = label if len(label) <= _MAX_SHOWN else f"{label[:_MAX_SHOWN]} ..."
        cost = f"{term.asks:>2}  " if term.asks else "    "
        if len(label) > _TERM:
            # a line of its own, so that the costs stay in one column
            yield label
            label = ""
        yield from _wrapped(f"{label:<{_TERM}}  {cost}", _said_of(term))
        if term.record and not term.error:
            yield from _terms(term.record, depth + 1)


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


def _dkim(dkim: Dkim) -> Iterator[str]:
    count = len(dkim.keys)
    if dkim.given:
        yield from _wrapped("DKIM    ", "the selectors you named")
    elif not count:
        yield from _wrapped("DKIM    ", f"no key at {len(dkim.tried)} well-known selectors")
    else:
        yield from _wrapped("DKIM    ", f"{count} key{'s' if count > 1 else ''}, found at well-known selectors")
    for key in dkim.keys:
        yield from _row(1, key.selector if key.selector != EVERY else "* (every selector)", _said_of_key(key))
    if not dkim.given:
        yield from _wrapped("  tried: ", " ".join(dkim.tried))


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


def _dmarc(dmarc: Dmarc) -> Iterator[str]:
    if asks := dmarc.domain_asks:
        yield from _wrapped("DMARC   ", _asks(asks))
    else:
        yield from _wrapped("DMARC   ", "not known" if dmarc.trouble else "no policy")
    for step in dmarc.steps:
        yield from _step(step)
    yield ""
    if dmarc.org_domain:
        yield from _row(1, "organization", dmarc.org_domain)
    if dmarc.below_asks:
        yield from _row(1, "subdomains", _asks(dmarc.below_asks))
    if dmarc.missing_asks and dmarc.missing_asks != dmarc.below_asks:
        yield from _row(1, "missing subdomains", _asks(dmarc.missing_asks))
    if asks:
        kinds = ("relaxed", "strict")
        yield from _row(1, "alignment", f"SPF {kinds[dmarc.strict_spf]}, DKIM {kinds[dmarc.strict_dkim]}")
    for report in dmarc.reports:
        yield from _row(1, "reports" if report.tag == "rua" else "failure reports", _said_of_report(report))


def _asks(asks: Asked) -> str:
    lowered = ", lowered by t=y" if asks.lowered else ""
    return f"{asks.policy}  ({asks.tag}= at {asks.at}{lowered})"


def _step(step: Step) -> Iterator[str]:
    if not step.needed:
        said = ["not needed"]
    elif step.trouble:
        said = [step.trouble]
    else:
        said = [quoted(text) for text in (*step.records, *step.malformed)] or ["no record"]
    for text in said:
        yield from _wrapped(f"  {step.name:<28}  ", text)


def _said_of_report(report: Reports) -> str:
    if report.trouble:
        return f"{report.uri}, whose consent is not known"
    if not report.host:
        return f"{report.uri}, which nobody uses"
    if not report.external:
        return report.uri
    return f"{report.uri}, {'with' if report.authorized else 'without'} the consent of {report.host}"


def _dnssec(report: Report) -> Iterator[str]:
    own = {
        "MX": report.mx.authentic,
        "SPF": report.spf.authentic,
        "DMARC": report.dmarc.steps[0].authentic,
        **{f"DKIM {key.selector}": key.authentic for key in report.dkim.keys},
    }
    proven = [name for name, authentic in own.items() if authentic]
    if len(proven) == len(own):
        yield from _wrapped("DNSSEC  ", "proves all of it, as the name server says (AD)")
    elif proven:
        yield from _wrapped("DNSSEC  ", f"proves {', '.join(proven)}, as the name server says (AD), and not the rest")
    else:
        text = "proves nothing: the domain is not signed, or the name server does not validate"
        yield from _wrapped("DNSSEC  ", text)
