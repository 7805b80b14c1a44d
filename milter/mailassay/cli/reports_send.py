"""``mailassay reports send``, and what changes the database."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config import Problem, Settings
from ..finding import Severity
from ..judge import logline
from ..resolver import Method, Shared, Source
from ..terminal import complain, is_terminal, printable
from . import history_options
from .options import asked, host_names, settings, sources

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from ..feedback.ourselves import Alignment
    from ..feedback.run import Done
    from ..sign import SigningKey
    from ..store.database import Reading

OFF = "mailassay reports: the configuration asks for no reports: set reports.from"
_NO_DATABASE = "mailassay reports: the history has no database yet; mailassay-collector.service makes it"
_PATIENCE = 20.0  # seconds for the questions about our own domain, and for Postfix's commands
_PAUSE = 0.2  # seconds between two drawings of the progress

_log = logging.getLogger(__name__)


def host() -> str:
    """The name of this host: Postfix's ``myhostname``, if Postfix can be asked."""
    return next(iter(host_names(of_postfix_only=True)), "") or socket.getfqdn()


def delimiter(found: Settings) -> str | None:
    """Postfix's ``recipient_delimiter``; None if it cannot be asked."""
    return asked(found).recipient_delimiter


def run(arguments: argparse.Namespace) -> int:
    """Send, or say what would be sent. Raises ConfigError."""
    found = settings(arguments)
    logline.set_up(found.log.level, found.log.format)
    if found.reports.sender is None:
        if is_terminal(sys.stderr) or arguments.dry_run:
            # not once an hour in the log of a host that sends none
            complain(OFF)
        return os.EX_NOINPUT
    if arguments.dry_run:
        return read(found, lambda connection: _plan(found, connection))
    return _opened(found, lambda engine: _send(found, engine))


def read(found: Settings, act: Callable[[Connection], int], wrong: Sequence[Problem] = ()) -> int:
    """Run ``act`` with a connection that only reads.

    Returns its exit status, or another if there is nothing to read. ``wrong`` are the mistakes of the configuration.
    """

    def use(reading: Reading) -> int:
        with reading.connection() as connection:
            if connection is None:
                complain(_NO_DATABASE)
                return os.EX_NOINPUT
            return act(connection)

    return history_options.connect("reports", found.history, wrong, use)


def write(arguments: argparse.Namespace, act: Callable[[Connection], int]) -> int:
    """Run ``act`` in a transaction that may change the database.

    Returns its exit status, or another if the database cannot be used. Raises ConfigError.
    """
    found = settings(arguments)
    if found.history.directory is None:
        complain("mailassay reports: there is no history: set history.directory in the configuration")
        return os.EX_CONFIG

    def use(engine: Engine) -> int:
        with engine.begin() as connection:
            return act(connection)

    return _opened(found, use)


def _opened(found: Settings, act: Callable[[Engine], int]) -> int:
    """Run ``act`` with the database of the history. Returns its exit status, or another if it cannot be used."""
    assert found.history.directory
    try:
        # SQLAlchemy is not part of every installation
        from sqlalchemy.exc import DBAPIError

        from ..store import FILE, database
        from ..store.outbox import Busy
        from ..store.usable import Unusable
    except ImportError as error:
        complain(f"mailassay reports needs {error.name}: pip install 'mailassay[history]'")
        return os.EX_UNAVAILABLE
    if found.history.database is None and not os.path.exists(os.path.join(found.history.directory, FILE)):
        complain(_NO_DATABASE)
        return os.EX_NOINPUT
    url = database.address(found.history.directory, found.history.database)
    try:
        engine = database.connect(url)
    except Unusable as error:
        complain(f"mailassay reports: {error}")
        return os.EX_NOINPUT
    try:
        database.migrate(engine)
        return act(engine)
    except Unusable as error:
        complain(f"mailassay reports: {error}")
        return os.EX_NOINPUT
    except Busy as error:
        complain(f"mailassay reports: {error}")
        return os.EX_TEMPFAIL
    except (DBAPIError, sqlite3.Error) as error:
        complain(f"mailassay reports: {database.name(url)} cannot be used: {database.cause(error, url)}")
        return os.EX_TEMPFAIL
    finally:
        engine.dispose()


def _send(found: Settings, engine: Engine) -> int:
    from ..feedback.failing import failing
    from ..feedback.find import find
    from ..feedback.run import Run

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def pause(seconds: float) -> None:
        stop.wait(seconds)

    answers, own = dns(found), _Own(found)
    shown = _Shown()
    extension, name = delimiter(found), found.authserv_id or host()
    run = Run(
        engine,
        found,
        name,
        extension,
        find(found, answers, extension),
        lambda: own.refused(answers),
        sleep=pause,
        stopped=stop.is_set,
        progress=shown,
        failing=failing(found, answers, extension, name),
    )
    try:
        done = run.once()
    finally:
        shown.end()
    return _said(done, own)


class _Own:
    """Whether our own mail would pass DMARC."""

    def __init__(self, found: Settings) -> None:
        self._settings = found
        self.alignment: Alignment | None = None

    def refused(self, answers: Source) -> str:
        """Why no report may be sent now; empty if it may."""
        from ..feedback.egress import sending
        from ..feedback.ourselves import alignment

        until = time.monotonic() + _PATIENCE
        resolve = Shared(answers).of(Method.LOOKUP).resolver(until)
        own = replace(sending(self._settings, until), keys=self._keys(until))
        self.alignment = alignment(own, resolve, self._settings.policy.limits)
        if self.alignment.passes:
            return ""
        return self.alignment.trouble or next(
            each.what for each in self.alignment.problems if each.severity is Severity.ERROR
        )

    def _keys(self, until: float) -> tuple[SigningKey, ...]:
        """The keys that sign the reports; those that this user cannot read are none."""
        if not self._settings.sign.domains:
            return ()
        from ..config.signing import with_keys
        from ..doctor.signed_reports import signing_keys
        from ..postfix.configuration import NoPostfix, examined

        found, _ = with_keys(self._settings, "")
        try:
            return signing_keys(found, examined(None, until))
        except NoPostfix:
            return ()


def dns(found: Settings, zone: str | None = None) -> Source:
    """DNS, or a zone file, for questions about hundreds of domains. Raises ZoneError, OSError.

    Each takes a descriptor while it is under way, so there is one bound for all of them. None waits behind those of
    another domain, of which a limited number may wait: each has a queue of its own.
    """
    asker = sources(argparse.Namespace(zone=zone), found)
    return lambda question: asker()(question)


def _said(done: Done, own: _Own) -> int:
    """Log what was done. Returns the exit status."""
    from ..feedback.composing import Composed

    if done.given_up:
        _log.warning("%d reports were given up: they waited for three days", done.given_up)
    if done.refused:
        if own.alignment and not own.alignment.trouble:
            for each in own.alignment.problems:
                _log.error("no report is sent: %s. %s", printable(each.what), printable(each.fix))
            return 1
        _log.warning("no report is sent now: %s", printable(done.refused))
        return os.EX_TEMPFAIL
    composed, sent = done.composed, done.sent
    _log.info(
        "reports: %d made, %d for nobody, %d wait for DNS; mails: %d sent, %d later, %d refused, %d suppressed",
        composed.composed,
        composed.dropped + done.dropped,
        composed.postponed,
        sent.sent,
        sent.later,
        sent.failed,
        sent.suppressed,
    )
    failures = done.failures
    if failures != Composed():
        _log.info(
            "failure reports: %d made, %d for nobody or left out, %d wait for DNS",
            failures.composed,
            failures.dropped,
            failures.postponed,
        )
    if sent.trouble:
        _log.warning("Postfix takes no more reports now: %s", printable(sent.trouble))
        return os.EX_TEMPFAIL
    return os.EX_OK


def _plan(found: Settings, connection: Connection) -> int:
    """Print what would be sent, and to whom. Changes nothing."""
    from ..feedback.composing import why_none
    from ..feedback.find import find
    from ..store import observed, outbox

    own, answers = _Own(found), dns(found)
    refused = own.refused(answers)
    waiting, due = observed.pending(connection), outbox.waiting(connection)
    for domain, to in find(found, answers, delimiter(found))({each.domain for each in waiting}):
        where = ", ".join(to.addresses) or f"nobody ({why_none(to)})"
        print(printable(f"{domain}: to {where}"))
    days = len({each.day for each in waiting})
    print(
        f"reports to be made: {len(waiting)}, about days: {days}; mails that wait, some of them for their time: {due}"
    )
    if refused:
        complain(f"mailassay reports: nothing would be sent: {refused}; mailassay doctor says what to do")
        return 1
    return os.EX_OK


class _Shown:
    """The progress, on a terminal."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._at = 0.0
        self._is_on = is_terminal(sys.stderr)

    def __call__(self, what: str, many: int) -> None:
        """So many more."""
        self._counts[what] = self._counts.get(what, 0) + many
        if self._is_on and time.monotonic() > self._at + _PAUSE:
            self._at = time.monotonic()
            text = ", ".join(f"{count:,} {name}" for name, count in self._counts.items())
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._is_on and self._counts:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
