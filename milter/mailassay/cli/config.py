"""``mailassay config check``."""

from __future__ import annotations

import argparse
import sys

from ..config import ConfigError
from .options import Commands, settings, takes_config


def add(commands: Commands) -> None:
    """Add the command."""
    config = commands.add_parser("config", help="look at the configuration")
    check = config.add_subparsers(metavar="COMMAND", required=True).add_parser(
        "check",
        help="validate configuration and policy",
        description="Validate configuration and policy; each error as file:line:column: message. Exit status 1 if any.",
    )
    takes_config(check)
    check.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    try:
        found = settings(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"configuration {arguments.config or 'built-in'}, policy {found.policy_path or 'standard'}: fine")
    return 0
