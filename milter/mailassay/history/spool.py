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
from typing import Any, NamedTuple, Protocol

from . import service
from .record import VERSION, Judged, line, read

SPOOL = "spool"  # the folder of the segments, in the directory of the history
SUFFIX = ".records"
MAX_OCTETS = 1 << 20  # of a segment
MAX_SECONDS = 60.0  # a worker begins a new segment with the next line after this time
MAX_WAITING = 4 << 20  # octets that wait to be written
LEFT_TO_MAIL = 256 << 20  # octets of a file system, or a tenth of it, which the spool does not take
MAX_LINE = 1 << 20  # octets; no record of ours is nearly as long
_AT_ONCE = 64  # lines
_PAUSE = 0.05  # seconds after what waited has been written
SAY_EVERY = 60.0  # seconds between two lines of a worker about itself
_QUIET = 60.0  # seconds between two log lines about lost records
_PATIENCE = 5.0  # seconds that the end of a worker waits for the disk

_log = logging.getLogger(__name__)


class _Line(NamedTuple):
    """A line, and how many records are lost without it."""

    text: str
    records: int = 0


def _of(said: service.Said) -> _Line:
    return _Line(json.dumps(service.values(said)))


class More(Protocol):
    """What else is written about messages, in lines of kinds of its own. Nothing here waits."""

    def of(self, judged: Judged) -> list[str]:
        """The lines that a message brings."""

    def rest(self) -> list[str]:
        """The lines that were held back. Called once in ``SAY_EVERY`` seconds, and at the end."""


class Spool:
    """The segments that one worker writes, one after the other.

    ``status`` says what the worker has done since it began, and what it does now. ``more`` gives other lines.
    """

    def __init__(
        self,
        folder: Path,
        status: Callable[[], service.Worker] | None = None,
        clock: Callable[[], float] = time.time,
        more: More | None = None,
    ) -> None:
        self._host = socket.gethostname()
        self._segments = _Segments(folder, self._host, clock)
        self._folder, self._status, self._more = folder, status, more
        self._said_before: service.Worker | None = None
        self._waiting: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self._octets = 0  # of what waits
        self._lock = threading.Lock()
        self._lost, self._logged = 0, -_QUIET
        self._in_hand = 0  # records that are neither waiting nor written
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    def add(self, judged: Judged) -> None:
        """Write the record of a message soon. Never waits.

        It is rendered at once, while all that is known of the message is in the processor's caches.
        """
        try:
            text = line(judged, self._host)
        except Exception as bug:  # noqa: BLE001 - it costs a record, and no message
            self._lose(1, "a bug", bug)
        else:
            if not self._put(_Line(text, records=1)):
                self._lose(1, "the disk is too slow")
        for each in self._others(lambda more: more.of(judged)):
            # if there is no room for it, it is lost; the record of the message went first
            self._put(each)

    def _others(self, ask: Callable[[More], list[str]]) -> list[_Line]:
        """Lines of other kinds. A bug costs them, and neither a message nor its record."""
        if self._more is None:
            return []
        try:
            return [_Line(each) for each in ask(self._more)]
        except Exception as bug:  # noqa: BLE001 - see above
            self._lose(0, "a bug", bug)
            return []

    def say(self, event: service.Event) -> None:
        """Write an event soon. Never waits."""
        self._put(_of(event))

    def _put(self, one: _Line) -> bool:
        """Let a line wait, if there is room for it."""
        with self._lock:
            if self._octets + len(one.text) > MAX_WAITING:
                return False
            self._octets += len(one.text)
        self._waiting.put(one)
        return True

    def close(self) -> None:
        """Write what waits, for a few seconds at most; log what is lost in the end."""
        self._waiting.put(None)
        self._thread.join(_PATIENCE)
        with self._lock:
            lost = self._lost
        if self._thread.is_alive():
            lost += self._in_hand + self._waiting.qsize() - 1
        if lost:
            _log.error("%d records of messages are lost: %s cannot be written", lost, self._folder)

    def _run(self) -> None:
        due = time.monotonic() + SAY_EVERY
        is_over = False
        while not is_over:
            found = self._taken(due)
            is_over = found[-1:] == [None]
            lines = [each for each in found if each]
            self._in_hand = len(lines)
            self._append(lines)
            self._in_hand = 0
            if is_over or time.monotonic() >= due:
                due = time.monotonic() + SAY_EVERY
                self._append(self._others(lambda more: more.rest()))
                self._say_status(ends=is_over)
            if not is_over and len(found) < _AT_ONCE:
                # threads that take turns for each message would cost more than its record
                time.sleep(_PAUSE)
        self._append([])
        self._segments.finish()

    def _taken(self, due: float) -> list[_Line | None]:
        """Some of what waits, as soon as there is something; nothing if that takes until ``due``. None is the last."""
        found: list[_Line | None] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._waiting.get(timeout=max(0.0, due - time.monotonic())))
            while found[-1] is not None and len(found) < _AT_ONCE:
                found.append(self._waiting.get_nowait())
        with self._lock:
            self._octets -= sum(len(each.text) for each in found if each)
        return found

    def _say_status(self, *, ends: bool) -> None:
        """Say what the worker has done since it last did so. If that cannot be written, it is said the next time."""
        if self._status is None:
            return
        now = self._status()
        said = now.since(self._said_before, ends=ends)
        if said and self._append([_of(said)]):
            self._said_before = now

    def _append(self, lines: list[_Line]) -> bool:
        """Append lines, after one that says how many records are lost, if any are. Returns whether all are written."""
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            text = json.dumps({"v": VERSION, "kind": "lost", "records": lost})
            lines = [_Line(text, records=lost), *lines]
        if not lines:
            return True
        written, why = 0, os.strerror(errno.ENOSPC)
        try:
            written = self._segments.append([each.text for each in lines])
        except OSError as error:
            why = str(error)
        if written < len(lines):
            self._lose(sum(each.records for each in lines[written:]), why)
        return written == len(lines)

    def _lose(self, many: int, why: str, bug: Exception | None = None) -> None:
        with self._lock:
            self._lost += many
            lost, now = self._lost, time.monotonic()
            if now - self._logged < _QUIET:
                return
            self._logged = now
        what = f"{lost} records of messages are lost" if lost else "a part of the history cannot be written"
        _log.error("%s: %s: %s", what, self._folder, why, exc_info=bug)


class _Segments:
    """The files, of which one is open."""

    def __init__(self, folder: Path, host: str, clock: Callable[[], float]) -> None:
        self._folder, self._host, self._clock = folder, host, clock
        self._file: int | None = None
        self._octets, self._begun, self._number = 0, 0.0, 0

    def append(self, lines: list[str]) -> int:
        """Append lines to the segment, or to a new one if it is old or large. Returns how many are written.

        Raises OSError if none is.
        """
        # the age is not by the clock of the name, which may jump
        if self._octets >= MAX_OCTETS or time.monotonic() - self._begun >= MAX_SECONDS:
            self.finish()
        file = self._begin() if self._file is None else self._file
        octets = "".join(f"{each}\n" for each in lines).encode()
        written = os.write(file, octets)
        if written == len(octets):
            self._octets += written
            return len(lines)
        # the collector may have read the whole lines; what is left of one must not become part of the next
        whole = octets.rfind(b"\n", 0, written) + 1
        self._octets += whole
        count = octets.count(b"\n", 0, whole)
        try:
            os.ftruncate(file, self._octets)
        except OSError:
            self.finish()
            # the collector counts the torn line as lost
            count += whole < written
        return count

    def finish(self) -> None:
        """Close the segment, which the collector can then delete."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _begin(self) -> int:
        """Open a segment, and lock it before the collector can see it. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        # nobody may be moving records, and Postfix often has its queue on the same file system
        if has_little_room(self._folder):
            raise OSError(errno.ENOSPC, "the room that is left is for mail")
        self._number += 1
        name = f"{self._host}-{self._clock():.6f}-{os.getpid()}-{self._number}"
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


def has_little_room(folder: Path) -> bool:
    """Is the file system so full that nothing is written to the spool? Raises OSError."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < min(LEFT_TO_MAIL, found.f_blocks * found.f_frsize // 10)


class Line(NamedTuple):
    """A line of a segment: its number, counted from 1, and where it ends; its octets, and what they say.

    ``found`` is None if it is unreadable.
    """

    number: int
    end: int
    octets: bytes
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
                yield Line(number, offset, octets, _read(octets) if whole else None)


def segments(folder: Path) -> list[Segment]:
    """The segments in a folder, the oldest first."""
    # nobody may ever write to a pipe of that name
    found = (Segment(path) for path in folder.glob(f"[!.]*{SUFFIX}") if not path.is_fifo())
    # by their names: the clock may have jumped, but a worker's segments keep their order
    return sorted(found, key=lambda each: (each.begun, each.name))


def _read(octets: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(octets)
        return read(found) if isinstance(found, dict) else None
    except (ValueError, TypeError, RecursionError):
        return None
