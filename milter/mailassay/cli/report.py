"""``mailassay report``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .. import atomic
from ..config import Settings
from ..judge.logline import as_json
from ..postfix.hold_queue import Queue, Unavailable, oldest
from ..terminal import columns, complain, is_terminal, shows_colour
from . import history_options
from .options import Commands, settings_anyway, takes_config, takes_json

if TYPE_CHECKING:
    from ..report import Figures, OnHold
    from ..store.database import Reading

_PATIENCE = 20.0  # seconds for Postfix's tools


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="say what happened to the mail of some days",
        description="Say what happened to the mail of some days, from the history (`history.directory`): messages and "
        "verdicts over time, results by method, author domains and sources that fail most, rules by use and rules "
        "never used, what monitor mode or a monitored rule would have done, limits reached, DNS trouble, the time "
        "taken, and the mail on hold.",
        epilog="Exit status 66 if the history cannot be read, 78 if there is none.",
    )
    parser.add_argument(
        "--since",
        type=history_options.since,
        default="7d",
        metavar="TIME",
        help="from when on (default: 7d): 2d, 12h, yesterday, 2026-11-01. More than two days are shown by day, and "
        "begin with a whole one",
    )
    parser.add_argument(
        "--host", type=history_options.utf8, default="", help="only what this host did, of several that share a history"
    )
    parser.add_argument(
        "--html",
        type=history_options.not_empty,
        metavar="FILE",
        help="write one page of HTML, with charts, to this file (- for standard output)",
    )
    takes_json(parser)
    takes_config(parser)
    parser.set_defaults(run=_run, usage=parser.error)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.html and arguments.json:
        arguments.usage("--html and --json exclude each other")
    if arguments.since > time.time():
        arguments.usage("--since is in the future")
    found, wrong = settings_anyway(arguments)
    return history_options.connect("report", found.history, wrong, lambda reading: _report(arguments, found, reading))


def _report(arguments: argparse.Namespace, settings: Settings, reading: Reading) -> int:
    from ..report import Span, figures

    on_hold, trouble = _on_hold(settings)
    with reading.connection() as connection:
        if connection is None:
            complain("mailassay report: the history has no database yet; mailassay-collector.service makes it")
            return os.EX_NOINPUT
        span = Span.since(arguments.since, time.time())
        found = figures(connection, settings, span, arguments.host, on_hold, trouble)
    return _show(arguments, found)


def _show(arguments: argparse.Namespace, found: Figures) -> int:
    if arguments.json:
        from ..report.as_json import values

        print(as_json(values(found), indent=2))
    elif arguments.html:
        try:
            from ..report.page import page
        except ImportError as error:
            complain(f"mailassay report --html needs {error.name}: pip install 'mailassay[history]'")
            return os.EX_UNAVAILABLE
        _write(arguments.html, page(found))
    else:
        from ..report.text import Style, as_text

        encoding = (sys.stdout.encoding or "").lower().replace("-", "")
        blocks = is_terminal(sys.stdout) and encoding == "utf8"
        style = Style(columns(sys.stdout), blocks=blocks, colour=shows_colour(sys.stdout))
        print(*as_text(found, style), sep="\n")
    return os.EX_OK


def _on_hold(settings: Settings) -> tuple[OnHold | None, str]:
    """What this host has on hold now; None, and why, if its queue cannot be read."""
    from ..report import OnHold

    try:
        backlog = oldest(Queue(until=time.monotonic() + _PATIENCE), settings.policy.tag.verdict)
    except Unavailable as error:
        return None, str(error)
    waited = max(0.0, time.time() - backlog.oldest.queued.arrived) if backlog.oldest else 0.0
    return OnHold(backlog.count, waited), ""


def _write(name: str, text: str) -> None:
    """Write a file at once, or not at all. Raises OSError."""
    octets = text.encode()
    if name == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(octets)
        return
    # where a link leads
    path = Path(os.path.realpath(name))
    try:
        if path.exists() and not path.is_file():
            # a pipe, or /dev/stdout
            path.write_bytes(octets)
        else:
            atomic.replace(path, octets, path.stat().st_mode & 0o777 if path.exists() else None)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    print(f"written: {path}", file=sys.stderr)
