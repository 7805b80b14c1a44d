"""``mailassay doctor``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from .. import __version__
from ..doctor import Facts, Finding, NoPostfix, all_facts, before_removal, examine, remaining
from ..finding import Severity
from ..judge.logline import as_json
from ..terminal import DIM, GREEN, RED, YELLOW, columns, complain, painted, printable, shows_colour, wrapped
from .options import Commands, config_file, settings_anyway, takes_config, takes_json

_COLOURS = {"error": RED, "warning": YELLOW, "note": DIM, "fine": GREEN}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="examine the Postfix of this machine",
        description="Examine the Postfix of this machine and what mailassay needs there. Print what is wrong, worst "
        "first, and the commands that fix it. Changes nothing. Exit status 1 if there are errors, 69 without Postfix.",
    )
    takes_config(parser)
    parser.add_argument(
        "--postfix-config", metavar="DIR", help="Postfix's configuration directory (default: its own default)"
    )
    parser.add_argument(
        "--removal",
        action="store_true",
        help="only say what Postfix still needs mailassay for, before you remove it; exit status 1 if anything",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="also show what is fine")
    takes_json(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # others may not read the keys, which the doctor says
    found, wrong = settings_anyway(arguments, keys=os.geteuid() == 0)
    folder = arguments.postfix_config and os.path.abspath(arguments.postfix_config)
    try:
        if arguments.removal:
            facts = before_removal(found, folder)
            findings = [*remaining(facts)]
        else:
            facts = all_facts(found, wrong, config_file(arguments), folder)
            findings = examine(facts)
    except NoPostfix as error:
        complain(f"mailassay: {error}")
        return os.EX_UNAVAILABLE
    if arguments.json:
        print(as_json(_as_json(facts, findings), indent=2))
    elif findings or not arguments.removal:
        colour = shows_colour(sys.stdout)
        for line in map(printable, _lines(facts, findings, arguments.verbose, again=not arguments.removal)):
            print(_painted(line) if colour else line)
    if arguments.removal:
        return 1 if findings else 0
    return 1 if any(finding.severity is Severity.ERROR for finding in findings) else 0


def _lines(facts: Facts, findings: Sequence[Finding], verbose: bool, *, again: bool) -> Iterator[str]:
    width = columns(sys.stdout)
    for finding in findings:
        if finding.severity is not Severity.FINE or verbose:
            yield from wrapped(f"{finding.code}: {finding.text}", width, f"{finding.severity:<9}")
            # a command is not wrapped, so that it can be copied
            yield from (f"{'':9}  {command}" for command in finding.commands)
    if again and any(command.startswith("postconf") for finding in findings for command in finding.commands):
        # several commands may set the same value, so look again; a Postfix that is down has nothing to reload
        reload = "" if facts.down else f"{facts.postfix.command('postfix', 'reload')}; then "
        yield from wrapped(f"{reload}mailassay doctor again", width, "after postconf: ", "    ")
    counts = [(sum(each.severity is severity for each in findings), severity) for severity in Severity]
    yield ", ".join(
        f"{count} {severity}" if severity is Severity.FINE else _counted(count, severity) for count, severity in counts
    )


def _painted(line: str) -> str:
    """A line with its severity in colour, if it begins with one."""
    word, blank, rest = line.partition(" ")
    return f"{painted(word, _COLOURS[word])}{blank}{rest}" if word in _COLOURS else line


def _counted(count: int, severity: Severity) -> str:
    return f"{count} {severity}{'' if count == 1 else 's'}"


def _as_json(facts: Facts, findings: Sequence[Finding]) -> dict[str, object]:
    """The findings for programs. Keys and codes do not change."""
    return {
        "mailassay": __version__,
        "postfix": facts.postfix.value("mail_version"),
        "findings": [asdict(each) for each in findings],
    }
