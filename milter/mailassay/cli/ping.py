"""``mailassay ping``."""

from __future__ import annotations

import argparse
import time

from ..config import Listen, socket_named
from ..ping import ping
from ..terminal import printable
from .options import Commands, settings_anyway, takes_config

_PATIENCE = 5.0  # seconds


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "ping",
        help="does the service answer at its socket?",
        description="Begin a milter connection, as Postfix does, and end it. Print one line. Exit status 0 if a milter "
        "answers, 1 if not: for the health checks of containers and for monitoring. No message is sent.",
    )
    parser.add_argument(
        "socket",
        metavar="SOCKET",
        nargs="?",
        type=_socket,
        help="unix:/PATH, /PATH, inet:PORT@HOST or inet:HOST:PORT (default: listen in the configuration)",
    )
    takes_config(parser)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=_PATIENCE,
        help=f"how long to wait for the answer (default: {_PATIENCE:g})",
    )
    parser.set_defaults(run=_run)


def _socket(text: str) -> Listen:
    try:
        return socket_named(f"unix:{text}" if text.startswith("/") else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0 and at most 3600, found {text!r}")
    return seconds


def _run(arguments: argparse.Namespace) -> int:
    listen = arguments.socket or settings_anyway(arguments)[0].listen
    began = time.monotonic()
    try:
        problem = ping(listen, arguments.timeout)
    except OSError as error:
        problem = f"{error.strerror or error}".lower()
    if problem:
        print(printable(f"mailassay does not answer at {listen.libmilter}: {problem}"))
        return 1
    print(printable(f"mailassay answers at {listen.libmilter} in {1000 * (time.monotonic() - began):.0f} ms"))
    return 0
