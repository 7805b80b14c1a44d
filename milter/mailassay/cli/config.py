"""``mailassay config check``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..config import ConfigError, Problem, warnings
from ..network import system_nameservers
from ..terminal import printable
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
        print(f"configuration {path}, policy {found.policy_path or 'standard'} (digest {digest}): fine")
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
    for each in problems:
        print(each, file=sys.stderr)
        if each.path not in lines:
            lines[each.path] = _lines(each.path)
        line = "".join(lines[each.path][each.line - 1 : each.line])
        if line.strip():
            before = line[: each.column - 1]
            print(f"    {printable(line)}", file=sys.stderr)
            print("    " + " " * len(printable(before)) + "^", file=sys.stderr)


_SHOWN = ("path", "line", "column", "message")


def _lines(path: str) -> list[str]:
    """What can be shown of a file; one that cannot be read has said so already."""
    try:
        return Path(path).read_bytes().decode("utf-8", "replace").split("\n")
    except (OSError, ValueError):
        return []
