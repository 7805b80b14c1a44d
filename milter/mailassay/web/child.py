"""The pages as a child of the collector: whatever they cost or break, records are moved.

A thread of the collector would compete with it for Python's lock: with three busy threads it moves a quarter of the
records.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from ..collector import Batch
from . import state
from .settings import CurrentSettings

_PAUSE = 60.0  # seconds between two starts of a child that dies at once
_EVERY = 1.0  # seconds between two words to the child
_MOST_OPEN = 1024  # descriptors that the collector may have
_PATIENCE = 3.0  # seconds for its end

_log = logging.getLogger(__name__)


class Child:
    """Starts the process of the pages, and starts it again if it dies.

    ``release`` closes the database before: SQLite must not be open in a process that forks. ``metrics`` gives what
    Prometheus reads.
    """

    def __init__(self, current: CurrentSettings, release: Callable[[], None], metrics: Callable[[], str]) -> None:
        self._current, self._release, self._metrics = current, release, metrics
        self._pid = 0
        self._channel: socket.socket | None = None
        self._start_at = self._tell_at = 0.0
        self._is_closing = False

    def look_after(self, trouble: str) -> None:
        """Start the process if it is not there, and tell it how the collector does. Never waits."""
        now = time.monotonic()
        self._reap()
        if not self._pid and now >= self._start_at:
            self._start_at = now + _PAUSE
            try:
                self._start()
            except OSError as error:
                _log.error("cannot start the process of the pages (%s); the next try is in a minute", error.strerror)
            self._tell_at = now
        self._tell(trouble)

    def committed(self, _: Batch) -> None:
        """Tell the process that records are moved; there may be many before all are."""
        self._tell("")

    def close(self) -> None:
        """End the process."""
        if not self._pid:
            return
        self._is_closing = True
        os.kill(self._pid, signal.SIGTERM)
        end = time.monotonic() + _PATIENCE
        while self._pid and time.monotonic() < end:
            time.sleep(0.02)
            self._reap()
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _tell(self, trouble: str) -> None:
        now = time.monotonic()
        if self._channel and now >= self._tell_at:
            self._tell_at = now + _EVERY
            # its end is found out by looking after it; it may not have read all that it was told
            with suppress(OSError):
                state.tell(self._channel, state.State(trouble, self._metrics()))

    def _start(self) -> None:
        """Raises OSError."""
        self._release()
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            its.close()
            raise
        if not pid:
            ours.close()
            _run(self._current, its)
        its.close()
        self._pid, self._channel = pid, ours

    def _reap(self) -> None:
        if not self._pid:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid:
            return
        # what else can go wrong, it has said itself
        if (code := os.waitstatus_to_exitcode(status)) < 0 and not self._is_closing:
            _log.error("signal %d has ended the process of the pages", -code)
        self._pid = 0
        if self._channel:
            self._channel.close()
            self._channel = None


def _run(current: CurrentSettings, channel: socket.socket) -> None:
    """Be the process of the pages. Does not return."""
    status = os.EX_SOFTWARE
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # the lock of the collector, above all, which another one may need after its death
        for first, last in ((3, channel.fileno()), (channel.fileno() + 1, _MOST_OPEN)):
            os.closerange(first, last)
        # waitress and Jinja2 are in the memory of this process only
        from .server import CannotListen, serve

        try:
            serve(current, channel)
            status = os.EX_OK
        except CannotListen as error:
            _log.error("web.listen: %s; the next try is in a minute", error)
            status = os.EX_UNAVAILABLE
    except Exception:  # noqa: BLE001 - the collector has to go on
        _log.exception("the pages end")
    finally:
        os._exit(status)
