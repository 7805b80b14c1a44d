"""How long records have waited in the spool."""

from __future__ import annotations

import threading
from pathlib import Path

from ..history.spool import Segment, segments


class Waiting:
    """How far the segments have been read, as the collector says, and how old the first record after that is."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._read: dict[str, int] = {}

    def committed(self, name: str, octets: int) -> None:
        """So many octets of the segment with this name are in the database."""
        with self._lock:
            self._read[name] = octets

    def seconds(self, now: float) -> float:
        """The age of the oldest record that is not in the database; 0 if there is none, or its clock was ahead.

        Only the first segment that has one is looked into. Another worker may have an older one, by a minute at most.
        """
        found = segments(self._spool)
        names = {each.name for each in found}
        with self._lock:
            self._read = {name: octets for name, octets in self._read.items() if name in names}
            read = self._read
        times = (_first(segment, read.get(segment.name, 0)) for segment in found)
        return max(0.0, now - next((each for each in times if each is not None), now))


def _first(segment: Segment, offset: int) -> float | None:
    """When the first record after ``offset`` was written; None if there is none. An unreadable one has no time."""
    try:
        line = next(segment.lines(offset), None) if segment.path.stat().st_size > offset else None
    except OSError:
        # the collector has deleted it, or another process keeps it from us: then the collector says so
        return None
    if line is None:
        return None
    try:
        return float(line.found["time"]) if line.found else segment.begun
    except (KeyError, TypeError, ValueError, OverflowError):
        return segment.begun
