"""The command line. Exit status: 0 fine, 1 the check says no, 2 usage, 70 and more as in sysexits.h.

Each command is a module with ``add``, which registers its parser and the function that runs it.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, TextIO

from .. import __version__
from ..config import ConfigError
from ..terminal import complain
from ..zone import ZoneError

_BACK = re.compile("-[0-9]")
_COMMANDS = (
    "serve",
    "check",
    "lookup",
    "config",
    "doctor",
    "held",
    "key",
    "why",
    "history",
    "report",
    "reports",
    "collect",
    "ping",
    "migrate",
    "files",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mailassay``. Returns the exit status."""
    words = _joined(sys.argv[1:] if argv is None else argv)
    arguments = parser(*[word for word in words[:1] if word in _COMMANDS]).parse_args(words)
    _open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # the terminal may be unable to show a sender's characters
        sys.stdout.reconfigure(errors="replace")
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (ConfigError, ZoneError) as error:
        return os.EX_CONFIG if _say(str(error)) else os.EX_IOERR
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        # no message if the reader of a pipe has simply stopped
        if not isinstance(error, BrokenPipeError):
            place = f"{error.filename}: " if error.filename else ""
            _say(f"mailassay: {place}{error.strerror or error}")
        _give_up(sys.stdout)
        return os.EX_IOERR
    return status


def _joined(words: Sequence[str]) -> list[str]:
    """Join a time such as -2h to the option before it; argparse would take it for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--at", "--since", "--until") and _BACK.match(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _open_what_is_closed() -> None:
    """Replace closed streams: writing to stdout then fails, as on a full disk; stderr is discarded."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _say(text: str) -> bool:
    """Write to standard error. Returns False if that fails."""
    try:
        complain(text)
    except OSError:
        _give_up(sys.stderr)
        return False
    return True


def _give_up(stream: TextIO) -> None:
    """Drop what could not be written, so that the interpreter does not try again at exit."""
    if isinstance(stream, io.TextIOWrapper):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose error messages fit the terminal."""

    def error(self, message: str) -> NoReturn:
        """Exit with the usage and an error message."""
        self.print_usage(sys.stderr)
        complain(f"{self.prog}: error: {message}")
        self.exit(2)


def parser(*names: str) -> argparse.ArgumentParser:
    """The parser of these commands, or of all. A daemon that runs for months need not import the other commands."""
    found = _Parser(
        prog="mailassay",
        description="One milter for Postfix: is this mail what it claims to be? iprev, SPF, DKIM, ARC and DMARC.",
        epilog="Exit status: 0 fine, 1 the check says no, 2 usage, 70 and more as in sysexits.h.",
    )
    found.add_argument("--version", action="version", version=f"mailassay {__version__}")
    commands = found.add_subparsers(metavar="COMMAND", required=True)
    for name in names or _COMMANDS:
        import_module(f".{name}", __name__).add(commands)
    return found
