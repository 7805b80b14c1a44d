"""``mailassay collect``."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..history.spool import SPOOL
from ..judge import logline
from .options import Commands, config_file, settings_anyway, takes_config
from .options import settings as read

if TYPE_CHECKING:
    from ..collector import Collector
    from ..config import Settings
    from ..metrics import Exposed, Textfile
    from ..web.child import Child

_PAUSE = 1.0  # seconds between two looks at the spool, if there was nothing to do
_MEASURED = 15.0  # seconds between two looks at the size of the database

_log = logging.getLogger(__name__)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "collect",
        help="move the records of messages into the database of the history",
        description="Move the records that the workers write to history.directory into the database, until SIGTERM, "
        "and show them as web pages if web.listen is set. mailassay-collector.service runs it. Mail does not depend on "
        "it: while it is down, records wait. Exit status 66 if the configuration asks for no history, 75 if another "
        "one is running.",
    )
    takes_config(parser)
    parser.add_argument("--once", action="store_true", help="move what is there, and end")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    found = read(arguments)
    logline.set_up(found.log.level, found.log.format)
    if found.history.directory is None:
        print("mailassay collect: there is no history: set history.directory in the configuration", file=sys.stderr)
        return os.EX_NOINPUT
    try:
        # SQLAlchemy is not part of every installation
        from ..collector import Collector
        from ..store.usable import Unusable
    except ImportError as error:
        print(f"mailassay collect needs {error.name}: pip install 'mailassay[history]'", file=sys.stderr)
        return os.EX_UNAVAILABLE
    spool = Path(found.history.directory, SPOOL)
    try:
        spool.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(spool, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"mailassay collect: another one is running on {spool}", file=sys.stderr)
        return os.EX_TEMPFAIL
    except OSError as error:
        print(f"mailassay collect: {spool}: {error.strerror}", file=sys.stderr)
        return os.EX_CANTCREAT
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    collector = Collector(
        found.history,
        socket.gethostname(),
        is_over=stop.is_set,
        ours=found.reports.sender,
        failures=found.reports.failure,
    )
    views = _Views(arguments, found, spool, collector)
    try:
        _move(collector, views, stop, once=arguments.once)
        if arguments.once and collector.trouble:
            return os.EX_TEMPFAIL
    except Unusable as error:
        _log.error("%s", error)
        return os.EX_CONFIG
    finally:
        collector.close()
        views.close()
    return os.EX_OK


class _Views:
    """What shows what the collector does, as far as the configuration asks for it: metrics, a textfile, pages.

    The libraries for that are in memory only then.
    """

    def __init__(self, arguments: argparse.Namespace, settings: Settings, spool: Path, collector: Collector) -> None:
        self._measured = -_MEASURED
        self._exposed: Exposed | None = None
        self._textfile: Textfile | None = None
        self._pages: Child | None = None
        shows_pages = settings.web.listen is not None and not arguments.once
        if settings.metrics.textfile or shows_pages:
            from ..metrics import Exposed, Textfile

            self._exposed = Exposed(lambda: _rules(arguments), spool)
            collector.listeners.append(self._exposed.committed)
            if shows_pages:
                from ..web.child import Child
                from ..web.settings import CurrentSettings

                current = CurrentSettings(settings, lambda: read(arguments), config_file(arguments))
                self._pages = Child(current, collector.close, self._exposed.text)
                collector.listeners.append(self._pages.committed)
                # before the first record is moved, which may take long
                self._pages.look_after(collector.trouble)
            if settings.metrics.textfile:
                # after the metrics that it writes
                self._textfile = Textfile(Path(settings.metrics.textfile), self._exposed)
                collector.listeners.append(self._textfile.committed)

    def look_after(self, collector: Collector) -> None:
        """Show how the collector does."""
        if self._exposed and time.monotonic() - self._measured >= _MEASURED and (size := collector.size()):
            self._measured = time.monotonic()
            self._exposed.measured(size)
        if self._textfile:
            self._textfile.look_after()
        if self._pages:
            self._pages.look_after(collector.trouble)

    def close(self) -> None:
        """Show the last state, and end."""
        if self._textfile:
            self._textfile.write()
        if self._pages:
            self._pages.close()


def _move(collector: Collector, views: _Views, stop: threading.Event, *, once: bool) -> None:
    """Move records until ``stop``, or until there are no more now. Raises Unusable."""
    while not stop.is_set():
        more = collector.once()
        views.look_after(collector)
        if not more:
            if once:
                return
            stop.wait(_PAUSE)


def _rules(arguments: argparse.Namespace) -> list[str] | None:
    """The names of the rules of the policy; None while it has a mistake."""
    found, wrong = settings_anyway(arguments)
    return None if wrong else [rule.name for rule in found.policy.rules]
