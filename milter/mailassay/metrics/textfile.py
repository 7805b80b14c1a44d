"""Metrics in a file that the textfile collector of node_exporter reads."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from .. import atomic
from .exposition import Exposed

EVERY = 15.0  # seconds
_QUIET = 60.0  # seconds between two log lines about the same trouble

_log = logging.getLogger(__name__)


class Textfile:
    """Writes the file again and again, in a thread of its own, and once more at the end."""

    def __init__(self, path: Path, exposed: Exposed, every: float = EVERY) -> None:
        self._path, self._exposed, self._every = path, exposed, every
        self._said = -_QUIET
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="textfile", daemon=True)

    def start(self) -> None:
        """Write it for the first time soon."""
        self._thread.start()

    def close(self) -> None:
        """Write it for the last time."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._write()
            if self._stop.is_set():
                return
            self._stop.wait(self._every)

    def _write(self) -> None:
        try:
            atomic.replace(self._path, self._exposed.text().encode(), 0o644)
        except OSError as error:
            now = time.monotonic()
            if now - self._said >= _QUIET:
                self._said = now
                _log.error("metrics.textfile: %s cannot be written: %s", self._path, error.strerror)
