"""``mailassay lookup``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import asdict
from ipaddress import ip_address

from ..domain import BadDomain, Domain
from ..judge.logline import as_json
from ..lookup import key_name, look_up
from ..lookup.text import Text
from ..terminal import BOLD, DIM, RED, YELLOW, columns, complain, painted, printable, shows_colour
from .options import Commands, settings, source, takes_config, takes_json, takes_zone

_FIRST_WORD = re.compile(r"  (?:error|warning|note)(?=  )|(?:Mail|SPF|DKIM|DMARC|DNSSEC)(?=  )")
_COLOURS = {"error": RED, "warning": YELLOW, "note": DIM}


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
        for line in Text(columns(sys.stdout)).lines(report, given, limits):
            print(_painted(printable(line)) if colour else printable(line))
    if not report.is_known:
        complain(f"mailassay: DNS does not answer: {report.unanswered[0]}")
        return os.EX_TEMPFAIL
    return 1 if report.bad else 0


def _painted(line: str) -> str:
    """A line with its first word in colour, if that is one of ours."""
    found = _FIRST_WORD.match(line)
    return painted(found[0], _COLOURS.get(found[0].strip(), BOLD)) + line[found.end() :] if found else line
