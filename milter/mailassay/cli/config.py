"""``mailassay config check``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..config import ConfigError, Problem, warnings
from ..network import system_nameservers
from ..terminal import columns, complain, printable, wrapped
from .options import Commands, as_json, asked, config_file, host_names, settings, takes_config, takes_json


def add(commands: Commands) -> None:
    """Add the command."""
    config = commands.add_parser("config", help="look at the configuration")
    check = config.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "check",
        help="validate configuration and policy",
        description="Validate configuration and policy. Each error and each warning as file:line:column: message, with "
        "the line it is about. Exit status 1 where there is an error.",
    )
    takes_json(check)
    takes_config(check)
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    try:
        found = asked(settings(arguments))
    except ConfigError as error:
        _tell(error.problems, arguments.json)
        return 1
    system = [address for address, _ in system_nameservers()]
    odd = warnings(found, config_file(arguments), time.time(), host_names(), system)
    _tell(odd, arguments.json)
    if not arguments.json:
        digest = found.policy.digest
        path = config_file(arguments) or "built-in"
        text = f"configuration {path}, policy {found.policy_path or 'standard'} (digest {digest}): fine"
        print("\n".join(wrapped(printable(text), columns(sys.stdout), rest=" " * 4)))
    return 0


def _tell(problems: tuple[Problem, ...] | list[Problem], for_programs: bool) -> None:
    if for_programs:
        kinds = {True: "warning", False: "error"}
        found = [
            {"severity": kinds[each.warning], **{name: getattr(each, name) for name in _SHOWN}} for each in problems
        ]
        print(as_json(found, indent=2))
        return
    lines: dict[str, list[str]] = {}
    room = columns(sys.stderr) - len(_INDENT)
    for each in problems:
        complain(str(each))
        if each.path not in lines:
            lines[each.path] = _lines(each.path)
        line = "".join(lines[each.path][each.line - 1 : each.line])
        if line.strip():
            # of a long line, what is around the place
            start = max(0, each.column - 1 - room // 2) if len(line) > room else 0
            print(f"{_INDENT}{printable(line[start : start + room])}".rstrip(), file=sys.stderr)
            print(_INDENT + " " * (each.column - 1 - start) + "^", file=sys.stderr)


_INDENT = " " * 4
_MOST = 32 << 20  # octets of a file that are looked at for them
_SHOWN = ("path", "line", "column", "message")


def _lines(path: str) -> list[str]:
    """What can be shown of a file; one that cannot be read, or not a second time, has said so already."""
    try:
        if not Path(path).is_file():
            return []
        with open(path, "rb") as file:
            return file.read(_MOST).decode("utf-8", "replace").split("\n")
    except (OSError, ValueError):
        return []
