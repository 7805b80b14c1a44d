"""The incidents that a worker writes into the spool: few of them, however many messages fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from ..history.record import Judged
from . import incident
from .incident import Incident

MOST = 30  # incidents that differ, of a worker in a period
PERIOD = 60.0  # seconds


class Picking:
    """Picks the first incident of each kind in a period; those that are alike, and those beyond ``MOST``, are counted.

    Any thread may call it. It never waits, and what it keeps is bounded: of a flood of messages that fail, it costs
    a worker no more than to see that each failed like one before.
    """

    def __init__(self, host: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._host, self._monotonic = host, monotonic
        self._lock = threading.Lock()
        self._since = monotonic()
        self._seen: dict[str, Incident] = {}
        self._more: dict[str, int] = {}
        self._left_out = 0

    def of(self, judged: Judged) -> list[str]:
        """The lines to write now that a message has its answer; mostly none."""
        reports = judged.settings.reports
        if not reports.sender or not reports.failure.domains:
            return []
        found = incident.of(judged.outcome, reports.failure.domains, reports.sender, self._host, judged.at)
        if found is None:
            return []
        key = found.key
        with self._lock:
            lines = self._rest() if self._monotonic() - self._since >= PERIOD else []
            if key in self._seen:
                self._more[key] = self._more.get(key, 0) + 1
            elif len(self._seen) < MOST:
                self._seen[key] = found
                lines.append(incident.line(found))
            else:
                self._left_out += 1
        return lines

    def rest(self) -> list[str]:
        """The lines about the incidents that were only counted. Called at least once a period, and at the end."""
        with self._lock:
            return self._rest()

    def _rest(self) -> list[str]:
        lines = [incident.line(replace(self._seen[key], count=count)) for key, count in self._more.items()]
        if self._left_out:
            lines.append(incident.left_out(self._left_out))
        self._since, self._left_out = self._monotonic(), 0
        self._seen.clear()
        self._more.clear()
        return lines
