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
from pathlib import Path
from typing import Any, NamedTuple

from .record import VERSION, Judged, line

SPOOL = "spool"  # the folder of the segments, in the directory of the history
SUFFIX = ".records"
MAX_OCTETS = 1 << 20  # of a segment
MAX_SECONDS = 60.0  # a worker begins a new segment with the next record after this time
MAX_WAITING = 1000  # records that wait to be written
MAX_LINE = 1 << 20  # octets; no record of ours is nearly as long
_QUIET = 60.0  # seconds between two log lines about lost records
_PATIENCE = 5.0  # seconds that the end of a worker waits for the disk

_log = logging.getLogger(__name__)


class Spool:
    """The segments that one worker writes, one after the other. The thread that writes starts with the first record."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock
        self._host = socket.gethostname()
        self._waiting: queue.SimpleQueue[Judged | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._file: int | None = None
        self._octets, self._begun, self._number = 0, 0.0, 0
        self._is_torn = False  # the last line of the segment
        self._lost, self._said = 0, -_QUIET
        self._dropped = 0  # because too many waited

    def add(self, judged: Judged) -> None:
        """Write the record of a message soon. Never waits."""
        if self._waiting.qsize() >= MAX_WAITING:
            with self._lock:
                self._dropped += 1
            return
        self._waiting.put(judged)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="history", daemon=True)
                    self._thread.start()

    def close(self) -> None:
        """Write what waits, for a few seconds at most."""
        if self._thread:
            self._waiting.put(None)
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while (judged := self._waiting.get()) is not None:
            try:
                self._write(line(judged, self._host))
            except OSError as error:
                self._lose(str(error))
            except Exception:  # noqa: BLE001 - a bug costs a record, and not all that follow
                _log.exception("queue_id=%s: no record in the history", judged.outcome.queue_id)
                self._lose("a bug")
        self._finish()

    def _write(self, text: str) -> None:
        """Append a line to the segment, after one that says what was lost. Raises OSError."""
        if self._file is not None and (self._octets >= MAX_OCTETS or self._clock() - self._begun >= MAX_SECONDS):
            self._finish()
        file = self._begin() if self._file is None else self._file
        with self._lock:
            self._lost, self._dropped = self._lost + self._dropped, 0
        if self._lost:
            self._append(file, json.dumps({"v": VERSION, "kind": "lost", "records": self._lost}))
            self._lost = 0
        self._append(file, text)

    def _append(self, file: int, text: str) -> None:
        octets = (("\n" if self._is_torn else "") + text + "\n").encode()
        written = os.write(file, octets)
        self._octets += written
        if written < len(octets):
            self._is_torn = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_torn = False

    def _begin(self) -> int:
        """Open a segment, and lock it before the collector can see it. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._number += 1
        begun = self._clock()
        name = f"{self._host}-{begun:.6f}-{os.getpid()}-{self._number}"
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
        self._file, self._octets, self._begun, self._is_torn = file, 0, begun, False
        return file

    def _finish(self) -> None:
        """Close the segment, which the collector can then delete."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lose(self, why: str) -> None:
        self._lost += 1
        now = time.monotonic()
        if now - self._said >= _QUIET:
            self._said = now
            _log.error("%d records of messages are lost: %s: %s", self._lost, self._folder, why)


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
