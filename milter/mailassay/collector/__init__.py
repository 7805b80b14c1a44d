"""The process that moves records from the spool into the database. Mail does not depend on it."""

from __future__ import annotations

import gc
import logging
import math
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..aggregate.arrival import Unfit as UnfitForReports
from ..aggregate.arrival import arrival
from ..config import History
from ..config.reports import FailureReports
from ..failure import incident
from ..failure.incident import Incident
from ..failure.redaction import Redactor
from ..history import service
from ..history.record import VERSION
from ..history.spool import SPOOL, Line, Segment, segments
from ..store import database, expiry, incidents, observed, outbox, writing
from ..store.rows import HOUR, Rows, Unfit, of_said, rows
from ..store.size import Size, size
from .ahead import Ahead

BATCH = 1000  # records of one transaction
_EXPIRED = 1000  # messages that are deleted in one transaction
_ALLOCATIONS = 200_000  # surviving objects before garbage is collected: more than three batches have
_TOLD = ("queue_id", "verdict", "would", "kind_of_rule", "override", "removed", "seconds", "dns_wait")
_TOLD_OF_EVIDENCE = ("dmarc", "dkim")
_MOST_LOST = 1 << 40  # that a line can speak of
_REDACTION = "redaction"  # the name of a key of the history
_DAY = 86_400
_MINUTE = 60.0
_QUIET = 60.0  # seconds between two log lines about the same trouble

_HELD = (
    "a program has been reading %s for so long that its log cannot be shortened. It goes on once that program has "
    "ended; fuser(1) shows it"
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Batch:
    """What some lines of a segment say.

    ``records`` are those of messages, with what ``_told`` leaves of them. ``counts`` are what the batch adds to the
    counts by the hour, those of its messages included: hour, host, kind and key. ``said`` is what the processes of the
    service say about themselves, in the order in which they said it. ``segment`` is the name of the segment;
    ``end`` and ``lines`` are how many of its octets and lines are read with this batch.
    """

    segment: str = ""
    end: int = 0
    lines: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[tuple[int, str, str, str]] = field(default_factory=Counter)
    said: list[service.Said] = field(default_factory=list)
    rows: list[Rows] = field(default_factory=list)
    arrived: list[observed.Arrived] = field(default_factory=list)
    failed: list[Incident] = field(default_factory=list)

    def add(self, line: Line, now: float, host: str, ours: str | None = None) -> None:
        """Add what a line says. ``now`` and ``host`` are for counts of lines that name none. Raises Unfit.

        ``ours`` is the address of our DMARC reports; None if there are none.
        """
        hour = int(now) // HOUR
        match found := line.found or {}:
            case {"v": version, "kind": "message"} if version == VERSION:
                row = rows(found, line.octets, now)
                self.records.append(_told(found))
                self.rows.append(row)
                self.counts.update(row.counts)
                # there are three batches at a time, and these are a third of what the rows of one take
                row.counts.clear()
                if ours:
                    self._report(found, row, ours)
            case {"v": incident.VERSION, "kind": incident.KIND | incident.LEFT_OUT as kind}:
                try:
                    if kind == incident.KIND:
                        self.failed.append(incident.read(found))
                    else:
                        self.counts[hour, host, "failure", "left_out"] += incident.read_left_out(found)
                except incident.Unfit as error:
                    raise Unfit(str(error)) from error
            case {"v": version, "kind": "lost", "records": int(many)} if version == VERSION and 0 < many < _MOST_LOST:
                self.counts[hour, host, "lost", "unwritten"] += many
            case {"v": int(), "kind": str()} if said := service.read(found):
                self.said.append(said)
                self.counts.update(of_said(said))
            case {"v": int(), "kind": str()}:
                self.counts[hour, host, "lost", "version"] += 1
            case _:
                raise Unfit("neither a record nor a line of another version")

    def _report(self, found: dict[str, Any], row: Rows, ours: str) -> None:
        """Note what a message means for DMARC reports."""
        time, host = row.message["time"], row.message["host"]
        try:
            means = arrival(found, ours)
        except UnfitForReports:
            self.counts[int(time) // HOUR, host, "unreported", "unreadable"] += 1
            return
        if any(means):
            self.arrived.append(observed.Arrived(time, host, means))


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """The part of a record that metrics are made of. Whole records would be most of what a batch takes in memory."""
    part = {key: record.get(key) for key in _TOLD}
    if evidence := record.get("evidence"):
        part["evidence"] = {key: evidence[key] for key in _TOLD_OF_EVIDENCE}
    return part


class _Part(NamedTuple):
    """What is found in a segment: a batch if there is one, and why no more can be read.

    ``is_read``: all of the segment is in this batch and those before, and nobody writes to it any more.
    """

    segment: Segment
    batch: Batch | None = None
    is_read: bool = False
    error: OSError | None = None


_Meanwhile = Callable[[], AbstractContextManager[None]]

Listener = Callable[[Batch], None]
"""Is told of a batch that is in the database: once while this process lives, and not if the process ends before."""


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Look for garbage only when there is much: all objects of a batch are needed until its end, and then none is."""
    before = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Collector:
    """Moves records.

    ``host`` is the name of this host, for counts of lines that do not name one. ``ours`` is the address of our DMARC
    reports; if it is None, nothing is kept for reports. ``failures`` says whom failure reports are about.
    ``is_over`` is asked before each segment. If it says so, :meth:`once` leaves the rest in the spool, so that a stop
    does not wait until all is moved.
    """

    def __init__(
        self,
        history: History,
        host: str,
        clock: Callable[[], float] = time.time,
        listeners: Iterable[Listener] = (),
        monotonic: Callable[[], float] = time.monotonic,
        is_over: Callable[[], bool] = lambda: False,
        ours: str | None = None,
        failures: FailureReports | None = None,
    ) -> None:
        assert history.directory
        self._history, self._host = history, host
        self._clock, self._monotonic, self._is_over, self._ours = clock, monotonic, is_over, ours
        self.listeners = [*listeners]
        """Who is told after each commit, in this order."""
        self._failures = failures or FailureReports()
        self._directory = Path(history.directory)
        self._url = database.address(history.directory, history.database)
        self._engine: Engine | None = None
        self._said: dict[str, float] = {}
        self.trouble = "nothing has been moved yet"
        """Why the last call of :meth:`once` left records in the spool; empty if it did what there was to do."""
        self._before = 0.0  # messages of an earlier time are deleted
        self._looked = -math.inf  # when that was found out
        self._told = -math.inf  # when it was last noted how far all is moved

    @_seldom_collected()
    def once(self) -> bool:
        """Move what is there, and delete one batch of old messages. Returns whether there is more to do now.

        If the database cannot be used now, everything stays where it is. Raises usable.Unusable if it never can.
        """
        try:
            engine, began = self._opened(), self._clock()
            more = self._expire(engine)
            with engine.begin() as connection:
                places = writing.positions(connection)
            parts = Ahead(self._read(segments(self._directory / SPOOL), places))
            unread = ""
            for segment, of_segment in groupby(parts, lambda part: part.segment):
                if self._is_over():
                    self.trouble = "the collector is to end"
                    return False
                if not database.takes_more(engine):
                    self._wait(_HELD % self._url.database)
                    return False
                try:
                    moved = self._move(engine, segment, of_segment, parts.meanwhile)
                except OSError as error:
                    # the others do not wait for it, and groupby passes over what is left of it
                    unread = f"{segment.path} cannot be read or deleted: {error.strerror or error}"
                    continue
                if moved:
                    # deletion keeps up with what arrives, and neither waits long for the other
                    self._expire(engine)
                    more = True
            if unread:
                self._wait(unread)
            else:
                self.trouble = ""
                self._tell(engine, began)
            return more
        except (DBAPIError, sqlite3.Error, OSError) as error:
            self.close()
            if database.is_damaged(error):
                return self._move_aside(error)
            self._wait(database.cause(error, self._url))
            return False

    def _wait(self, why: str) -> None:
        self.trouble = why
        self._say("database", "the history waits in %s: %s", self._directory / SPOOL, why)

    def size(self) -> Size | None:
        """The size of the history; None if the database cannot be used now."""
        try:
            return size(self._engine, self._clock()) if self._engine else None
        except (DBAPIError, sqlite3.Error, OSError):
            # the next attempt to move records says why
            return None

    def close(self) -> None:
        """Close the connections to the database."""
        if self._engine:
            self._engine.dispose()
            self._engine = None

    def _opened(self) -> Engine:
        if self._engine is None:
            self._engine = database.connect(self._url)
            try:
                database.migrate(self._engine)
            except BaseException:
                self.close()
                raise
        return self._engine

    def _move_aside(self, damage: Exception) -> bool:
        """Make way for a new file. Returns whether that was possible."""
        file = Path(str(self._url.database))
        aside = file.with_name(f"{file.name}.damaged-{self._clock():.6f}")
        try:
            # the file last: if this is interrupted, the next attempt finds it damaged again
            for suffix in ("-wal", "-shm", ""):
                part = file.with_name(file.name + suffix)
                if part.exists():
                    part.rename(aside.with_name(aside.name + suffix))
        except OSError as error:
            self._wait(f"{file} is damaged, and cannot be moved away: {error}")
            return False
        what = database.cause(damage, self._url)
        _log.error("%s is damaged (%s); it is now %s, and a new history begins", file, what, aside)
        return True

    def _read(self, found: Iterable[Segment], places: dict[str, tuple[int, int]]) -> Iterator[_Part | None]:
        """What is new in segments; None after each line. ``places``: how far they have been read."""
        for segment in found:
            try:
                yield from self._parts(segment, *places.get(segment.name, (0, 0)))
            except OSError as error:
                yield _Part(segment, error=error)

    def _parts(self, segment: Segment, octets: int, count: int) -> Iterator[_Part | None]:
        """What is new in a segment, of which so many octets and lines have been read. Raises OSError."""
        # before it is read: what is written after that is read the next time
        is_complete = segment.is_complete()
        end = segment.path.stat().st_size
        lines = segment.lines(octets, count, complete=is_complete)
        batch = Batch(segment.name, octets, count)
        for line in lines:
            self._take(batch, line)
            if batch.lines == count + BATCH:
                yield _Part(segment, batch)
                count = batch.lines
                batch = Batch(segment.name, batch.end, count)
            else:
                yield None
        is_read = is_complete and batch.end >= end
        yield _Part(segment, batch if batch.lines > count else None, is_read)

    def _move(self, engine: Engine, segment: Segment, parts: Iterable[_Part], meanwhile: _Meanwhile) -> bool:
        """Move the new records of a segment; delete it if all are moved. Returns whether there were any."""
        moved = False
        for part in parts:
            if part.error:
                raise part.error
            if part.batch:
                self._add(engine, part.batch, meanwhile)
                moved = True
            if part.is_read:
                segment.path.unlink()
                # on the disk before its place is forgotten: after a power cut it would be read again
                _sync(segment.path.parent)
                with engine.begin() as connection:
                    writing.forget(connection, segment.name)
        return moved

    def _add(self, engine: Engine, batch: Batch, meanwhile: _Meanwhile) -> None:
        """Add the records of a batch, and how far its segment has been read, or nothing."""
        with engine.begin() as connection:
            writing.add(connection, batch.rows)
            if self._ours:
                late = observed.add(connection, batch.arrived, self._clock())
                batch.counts.update(
                    {(int(at) // HOUR, host, "unreported", "late"): n for (at, host), n in late.items()}
                )
                if left_out := self._keep_failed(connection, batch.failed):
                    batch.counts[int(self._clock()) // HOUR, self._host, "failure", "left_out"] += left_out
            writing.count(connection, batch.counts)
            writing.read_up_to(connection, batch.segment, batch.end, batch.lines)
            # they are in the transaction now, and the next batch needs the memory
            batch.rows.clear()
            # The disk takes as long as another batch. A statement would lose Python's lock to it with each row.
            with meanwhile():
                connection.commit()
        if lost := sum(many for (_, _, kind, _), many in batch.counts.items() if kind == "lost"):
            self._say("lost", "%d records of messages are lost, as %s says", lost, batch.segment)
        if unreported := sum(many for (_, _, kind, _), many in batch.counts.items() if kind == "unreported"):
            self._say(
                "unreported",
                "%d messages are in no DMARC report: the reports about their day are made already, or their records "
                "cannot be read",
                unreported,
            )
        for tell in self.listeners:
            tell(batch)

    def _keep_failed(self, connection: Connection, found: list[Incident]) -> int:
        """Keep what failure reports are made of, redacted. Returns how many messages none will be about."""
        domains = self._failures.domains
        # the configuration of the worker may have been another one
        listed = [each for each in found if each.domain in domains or each.header_from in domains]
        if not listed:
            return 0
        redactor = Redactor(outbox.secret(connection, _REDACTION))
        most = incidents.Most(self._failures.per_hour, self._failures.total_per_hour)
        return incidents.add(connection, listed, redactor.incident, most, self._clock())

    def _take(self, batch: Batch, line: Line) -> None:
        """Add a line to a batch, whatever it says."""
        now = self._clock()
        try:
            batch.add(line, now, self._host, self._ours)
        except Unfit:
            batch.counts[int(now) // HOUR, self._host, "lost", "unreadable"] += 1
        batch.end, batch.lines = line.end, line.number

    def _expire(self, engine: Engine) -> bool:
        """Delete a batch of old messages. Returns whether there may be more."""
        now = self._monotonic()
        with engine.begin() as connection:
            if is_due := now - self._looked >= _MINUTE:
                self._looked = now
                before = self._clock() - self._history.days * _DAY
                self._before = writing.horizon(connection, before)
                writing.expire_counts(connection, before)
            deleted = writing.expire(connection, self._before, self._history.messages, _EXPIRED)
            # also after reports have been turned off
            of_reports = expiry.expire(connection, self._clock(), self._host) if is_due else 0
        if deleted or of_reports:
            database.give_back(engine)
        return deleted == _EXPIRED

    def _tell(self, engine: Engine, began: float) -> None:
        """Note once a minute that all is moved that the spool had when this began: days are closed by that."""
        if self._ours and self._monotonic() - self._told >= _MINUTE:
            with engine.begin() as connection:
                observed.moved(connection, self._host, began)
            self._told = self._monotonic()

    def _say(self, about: str, text: str, *values: Any) -> None:
        """Log trouble, at most once a minute for each kind."""
        now = time.monotonic()
        if now - self._said.get(about, -_QUIET) >= _QUIET:
            self._said[about] = now
            _log.error(text, *values)


def _sync(folder: Path) -> None:
    """Wait until what was deleted in a folder is deleted on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
