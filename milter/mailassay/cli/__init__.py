"""The command line. Exit status: 0 fine, 1 the check says no, 2 usage, 70 and more as in sysexits.h.

Each command is a module with ``add``, which gives its parser to the others and the function that runs it.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from .. import __version__
from ..config import ConfigError
from ..zone import ZoneError

_COMMANDS = ("serve", "check", "lookup", "config", "doctor", "held")


def main(argv: Sequence[str] | None = None) -> int:
    """The program ``mailassay``; the exit status."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(*[word for word in words[:1] if word in _COMMANDS]).parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a terminal that cannot show a sender's letters
        sys.stdout.reconfigure(errors="replace")
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (ConfigError, ZoneError) as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        # a reader that has seen enough needs no words
        if not isinstance(error, BrokenPipeError):
            place = f"{error.filename}: " if error.filename else ""
            print(f"mailassay: {place}{error.strerror or error}", file=sys.stderr)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # what could not be written now must not be tried again at interpreter exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return os.EX_IOERR
    return status


def parser(*names: str) -> argparse.ArgumentParser:
    """Of these commands, or of all: a daemon that runs for months need not keep what the others import."""
    found = argparse.ArgumentParser(
        prog="mailassay",
        description="One milter for Postfix: is this mail what it claims to be? iprev, SPF, DKIM, ARC and DMARC.",
        epilog="Exit status: 0 fine, 1 the check says no, 2 usage, 70 and more as in sysexits.h.",
    )
    found.add_argument("--version", action="version", version=f"mailassay {__version__}")
    commands = found.add_subparsers(metavar="COMMAND", required=True)
    for name in names or _COMMANDS:
        import_module(f".{name}", __name__).add(commands)
    return found
