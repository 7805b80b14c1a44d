"""``mailassay config check``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from ..config import Problem, in_container, warnings
from ..doctor import not_reloaded, running_digest
from ..finding import Severity
from ..judge import logline
from ..judge.logline import as_json
from ..nameservers import system_nameservers
from ..terminal import columns, complain, printable, wrapped
from .options import Commands, asked, config_file, host_names, settings_anyway, takes_config, takes_json

_log = logging.getLogger(__name__)


def add(commands: Commands) -> None:
    """Add the command."""
    config = commands.add_parser("config", help="examine the configuration")
    check = config.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "check",
        help="validate configuration and policy",
        description="Validate configuration and policy. Print errors and warnings as file:line:column: message, "
        "with that line of the file, and say if the service runs another policy. Exit status 1 if there are errors.",
    )
    form = check.add_mutually_exclusive_group()
    takes_json(form)
    form.add_argument(
        "--log", action="store_true", help="print in the configured format of the log; for the service unit"
    )
    check.add_argument(
        "--in-container",
        action="store_true",
        default=in_container(),
        help="leave out warnings about what is so in every container: its name is not Postfix's, and its name server "
        "is on a private address (default if the environment has a variable container)",
    )
    takes_config(check)
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    found, wrong = settings_anyway(arguments, keys=True)
    if arguments.log:
        logline.set_up(found.log.level, found.log.format)
    if wrong:
        _tell(wrong, arguments)
        return 1
    path, system = config_file(arguments), [address for address, _ in system_nameservers()]
    inside = arguments.in_container
    names = host_names(of_postfix_only=inside)
    _tell(warnings(asked(found), path, time.time(), names, system, in_container=inside), arguments)
    fine = (path or "built-in", found.policy_path or "standard", found.policy.digest)
    if arguments.log:
        _log.info(_FINE, *fine)
    elif not arguments.json:
        _say(_FINE % fine)
        # the service may still judge by another policy than the one checked
        for finding in not_reloaded(found, running_digest(path)):
            _say(f"{finding.text}:")
            print(*(f"{_INDENT}{command}" for command in finding.commands), sep="\n")
    return 0


_FINE = "configuration %s, policy %s (digest %s): fine"


def _say(text: str) -> None:
    print("\n".join(wrapped(printable(text), columns(sys.stdout), rest=_INDENT)))


def _tell(problems: Sequence[Problem], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(as_json({"findings": [asdict(each) for each in problems]}, indent=2))
    elif arguments.log:
        for each in problems:
            said = _log.warning if each.severity is Severity.WARNING else _log.error
            said("%s", each)
    else:
        _show(problems)


def _show(problems: Iterable[Problem]) -> None:
    """Print each problem with its line."""
    lines: dict[str, list[str]] = {}
    room = columns(sys.stderr) - len(_INDENT)
    for each in problems:
        complain(str(each))
        if each.path not in lines:
            lines[each.path] = _lines(each.path)
        line = "".join(lines[each.path][each.line - 1 : each.line])
        if line.strip():
            # of a long line, show the part around the column
            start = max(0, each.column - 1 - room // 2) if len(line) > room else 0
            print(f"{_INDENT}{printable(line[start : start + room])}".rstrip(), file=sys.stderr)
            print(_INDENT + " " * (each.column - 1 - start) + "^", file=sys.stderr)


_INDENT = " " * 4
_MOST = 32 << 20  # octets of a file that are read for its lines


def _lines(path: str) -> list[str]:
    """The lines of a file; none if it cannot be read, or not a second time, which has been reported."""
    try:
        if not Path(path).is_file():
            return []
        with open(path, "rb") as file:
            return file.read(_MOST).decode("utf-8", "replace").split("\n")
    except (OSError, ValueError):
        return []
