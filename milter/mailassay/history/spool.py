"""The way of a record from a worker to the collector: files of lines, which one writes and the other deletes.

A worker appends to a segment, a file that only it writes to. It locks the segment as long as it may write to it, so the
collector knows by the lock when a segment is complete, even if the worker was killed. A record is identified by the
name of its segment and the number of its line.

No message waits for the disk: a thread of the worker writes, and what waits for it is bounded. What cannot be written
is lost, counted, and logged at most once a minute.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from . import service
from .record import VERSION, Judged, line

SPOOL = "spool"  # the folder of the segments, in the directory of the history
SUFFIX = ".records"
MAX_OCTETS = 1 << 20  # of a segment
MAX_SECONDS = 60.0  # a worker begins a new segment with the next line after this time
MAX_WAITING = 1000  # records that wait to be written
MAX_LINE = 1 << 20  # octets; no record of ours is nearly as long
PAUSE = 0.05  # seconds after what waited has been written
SAY_EVERY = 60.0  # seconds between two lines of a worker about itself
_QUIET = 60.0  # seconds between two log lines about lost records
_PATIENCE = 5.0  # seconds that the end of a worker waits for the disk

_log = logging.getLogger(__name__)


class Spool:
    """The segments that one worker writes, one after the other.

    ``status`` says what the worker has done since it began, and what it does now.
    """

    def __init__(
        self,
        folder: Path,
        status: Callable[[], service.Worker] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._segments = _Segments(folder, clock)
        self._folder, self._status = folder, status
        self._said_before: service.Worker | None = None
        self._waiting: queue.SimpleQueue[Judged | service.Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._lost, self._logged = 0, -_QUIET
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def add(self, found: Judged | service.Event) -> None:
        """Write the record of a message, or an event, soon. Never waits."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._lose(isinstance(found, Judged), "the disk is too slow")
        else:
            self._waiting.put(found)

    def close(self) -> None:
        """Write what waits, for a few seconds at most; log what is lost in the end."""
        self._waiting.put(None)
        self._thread.join(_PATIENCE)
        with self._lock:
            lost = self._lost + (self._waiting.qsize() if self._thread.is_alive() else 0)
        if lost:
            _log.error("%d records of messages are lost: %s cannot be written", lost, self._folder)

    def _run(self) -> None:
        due = time.monotonic() + SAY_EVERY
        while True:
            for found in self._taken(due):
                if found is None:
                    self._end()
                    return
                self._try(isinstance(found, Judged), partial(self._add, found))
            if time.monotonic() >= due:
                due = time.monotonic() + SAY_EVERY
                self._try(0, self._add_status)
            # to change threads for each message would cost more than its record
            time.sleep(PAUSE)

    def _taken(self, due: float) -> Iterator[Judged | service.Event | None]:
        """All that waits, as soon as there is something; nothing if that takes until ``due``."""
        with contextlib.suppress(queue.Empty):
            yield self._waiting.get(timeout=max(0.0, due - time.monotonic()))
            while True:
                yield self._waiting.get_nowait()

    def _end(self) -> None:
        self._try(0, partial(self._add_status, ends=True))
        self._try(0, self._add_lost)
        self._segments.finish()

    def _try(self, records: int, add: Callable[[], None]) -> None:
        """Add something. So many records are lost if that fails."""
        try:
            add()
        except OSError as error:
            self._lose(records, str(error))
        except Exception as bug:  # noqa: BLE001 - it costs a record, and not all that follow
            self._lose(records, "a bug", bug)

    def _add(self, found: Judged | service.Event) -> None:
        host = self._segments.host
        text = line(found, host) if isinstance(found, Judged) else json.dumps(service.values(found))
        self._add_lost()
        self._segments.append(text)

    def _add_status(self, *, ends: bool = False) -> None:
        """Add what the worker has done since the last such line. If it cannot be written, the next one has it too."""
        if self._status and (said := (now := self._status()).since(self._said_before, ends=ends)):
            self._segments.append(json.dumps(service.values(said)))
            self._said_before = now

    def _add_lost(self) -> None:
        """Add how many records are lost."""
        if lost := self._lost:
            self._segments.append(json.dumps({"v": VERSION, "kind": "lost", "records": lost}))
            with self._lock:
                self._lost -= lost

    def _lose(self, many: int, why: str, bug: Exception | None = None) -> None:
        with self._lock:
            self._lost += many
            lost, now = self._lost, time.monotonic()
            if now - self._logged < _QUIET:
                return
            self._logged = now
        what = f"{lost} records of messages are lost" if lost else "the history cannot be written"
        _log.error("%s: %s: %s", what, self._folder, why, exc_info=bug)


class _Segments:
    """The files, of which one is open."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.host = socket.gethostname()
        self._folder, self._clock = folder, clock
        self._file: int | None = None
        self._octets, self._begun, self._number = 0, 0.0, 0

    def append(self, text: str) -> None:
        """Append a line to the segment, or to a new one if it is old or large. Raises OSError."""
        # the age is not by the clock of the name, which may jump
        if self._octets >= MAX_OCTETS or time.monotonic() - self._begun >= MAX_SECONDS:
            self.finish()
        file = self._begin() if self._file is None else self._file
        octets = f"{text}\n".encode()
        written = os.write(file, octets)
        if written < len(octets):
            # the collector has not read it: it has no line end
            try:
                os.ftruncate(file, self._octets)
            except OSError:
                self.finish()
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._octets += written

    def finish(self) -> None:
        """Close the segment, which the collector can then delete."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _begin(self) -> int:
        """Open a segment, and lock it before the collector can see it. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._number += 1
        name = f"{self.host}-{self._clock():.6f}-{os.getpid()}-{self._number}"
        hidden, path = self._folder / f".{name}", self._folder / f"{name}{SUFFIX}"
        file = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(hidden, path)
        except OSError:
            os.close(file)
            with contextlib.suppress(OSError):
                os.unlink(hidden)
            raise
        self._file, self._octets, self._begun = file, 0, time.monotonic()
        return file


class Line(NamedTuple):
    """A line of a segment: its number, counted from 1, where it ends, and what it says; None if that is unreadable."""

    number: int
    end: int
    found: dict[str, Any] | None


class Segment:
    """A segment as the collector reads it. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name.removesuffix(SUFFIX)

    @property
    def begun(self) -> float:
        """When its worker began it, in seconds since 1970, by its name; 0 if that does not say it."""
        begun = self.path.name.rsplit("-", 3)[1:2]
        try:
            return float(begun[0])
        except (IndexError, ValueError):
            return 0.0

    def is_complete(self) -> bool:
        """Is there no worker any more that may write to it?"""
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(file)
        return True

    def lines(self, offset: int = 0, number: int = 0, *, complete: bool = False) -> Iterator[Line]:
        """The lines after ``offset`` octets, which are ``number`` lines.

        The last one counts only if it has a line end. ``complete``: nothing follows, so it is a torn line otherwise. A
        line of more than ``MAX_LINE`` octets is unreadable.
        """
        with self.path.open("rb") as file:
            file.seek(offset)
            while octets := file.readline(MAX_LINE):
                whole = octets.endswith(b"\n")
                offset += len(octets)
                while not whole and (more := file.readline(MAX_LINE)):
                    offset += len(more)
                    octets, whole = b"", more.endswith(b"\n")
                if not whole and not complete:
                    return
                number += 1
                yield Line(number, offset, _read(octets) if whole else None)


def segments(folder: Path) -> list[Segment]:
    """The segments in a folder, the oldest first."""
    # by their names: the clock may have jumped, but a worker's segments keep their order
    return sorted(map(Segment, folder.glob(f"[!.]*{SUFFIX}")), key=lambda each: (each.begun, each.name))


def _read(octets: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
