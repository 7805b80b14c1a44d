"""Metrics in a file that the textfile collector of node_exporter reads."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

from .. import atomic
from ..collector import Batch
from .exposition import Exposed

EVERY = 15.0  # seconds
_QUIET = 60.0  # seconds between two log lines about the same trouble

_log = logging.getLogger(__name__)


class Textfile:
    """Writes the file at most once in ``every`` seconds. The main loop of the collector calls it: it has no thread."""

    def __init__(
        self, path: Path, exposed: Exposed, every: float = EVERY, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._exposed, self._every, self._monotonic = path, exposed, every, monotonic
        self._due = self._said = -math.inf

    def committed(self, _: Batch) -> None:
        """Write it if it is time: there may be many batches before all records are moved."""
        self.look_after()

    def look_after(self) -> None:
        """Write it if it is time."""
        if self._monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write it now. If that is not possible, the log says so, at most once a minute."""
        now = self._monotonic()
        self._due = now + self._every
        try:
            atomic.replace(self._path, self._exposed.text().encode(), 0o644)
        except OSError as error:
            if now - self._said >= _QUIET:
                self._said = now
                _log.error("metrics.textfile: %s cannot be written: %s", self._path, error.strerror)
