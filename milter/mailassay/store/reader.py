"""The history as a reader sees it: what is in the database, and what is still in the spool."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import History
from ..history.record import VERSION
from ..history.spool import SPOOL, segments
from . import reading, sqlite
from .ask import Ask
from .filter import Filter
from .rows import Unfit, searched
from .usable import closed

if TYPE_CHECKING:
    from .database import Reading

_MARGIN = 5000  # numbers that other hosts may have taken for messages which they commit later
_REMEMBERED = 100_000  # records of which a later copy is not shown again


class Reader:
    """Reads the history, and changes nothing. Every method raises Unusable: why it cannot be read, and what to do.

    PostgreSQL needs SQLAlchemy; a method raises ImportError if that is not installed.
    """

    def __init__(self, history: History) -> None:
        assert history.directory
        self._history, self._directory = history, Path(history.directory)
        self._server: Reading | None = None
        self._shown: OrderedDict[bytes, None] = OrderedDict()
        self._read: dict[str, int] = {}
        self._numbers: set[int] = set()
        self._newest = 0

    def close(self) -> None:
        """Close the connections to the database."""
        if self._server:
            self._server.close()

    def latest(self, wanted: Filter, most: int | None = None) -> Iterator[dict[str, Any]]:
        """The latest ``most`` records that fit, the latest first, each once."""
        with self._asking() as ask:
            read = reading.positions(ask) if ask else {}
        # before the database: what moves meanwhile is found twice, and never missed
        spooled = ((_time(each), each) for each, _, _ in self._spooled(read, wanted))
        waiting = heapq.nlargest(most, spooled, key=_first) if most else sorted(spooled, key=_first, reverse=True)
        copies = {_identity(each) for _, each in waiting}
        with self._asking() as ask:
            # the database has another time if the clock of the host was wrong by years
            found = ((each.time, each.record) for each in reading.search(ask, wanted, most)) if ask else ()
            kept = (pair for pair in found if not copies or _identity(pair[1]) not in copies)
            for _, each in islice(heapq.merge(waiting, kept, key=_first, reverse=True), most):
                self._is_new(each)
                yield each

    def follow(self, wanted: Filter) -> None:
        """What comes from now on is new to :meth:`new`."""
        for record, name, end in self._spooled({}, wanted):
            self._is_new(record)
            self._read[name] = end
        with self._asking() as ask:
            if ask:
                self._numbers = set(self._later(ask, wanted))

    def new(self, wanted: Filter) -> list[dict[str, Any]]:
        """The records that came since :meth:`follow`, or since the last call, in the order of time."""
        found = []
        for record, name, end in self._spooled(self._read, wanted):
            found.append(record)
            self._read[name] = end
        with self._asking() as ask:
            if ask:
                numbers = [each for each in self._later(ask, wanted) if each not in self._numbers]
                self._numbers = {each for each in self._numbers if each > self._newest - _MARGIN}.union(numbers)
                found += [each.record for each in reading.records(ask, numbers)]
        return sorted(filter(self._is_new, found), key=_time)

    def oldest(self) -> float | None:
        """The time of the first record in seconds since 1970; None if there is none."""
        times = [_time(each) for each, _, _ in self._spooled({}, Filter())]
        with self._asking() as ask:
            if ask and (found := reading.oldest(ask)) is not None:
                times.append(found)
        return min(times, default=None)

    def _later(self, ask: Ask, wanted: Filter) -> list[int]:
        """The numbers of the messages that fit and may be new."""
        newest = reading.newest(ask)
        if newest < self._newest:
            # the collector has begun another file, whose numbers say nothing about those of the old one
            self._newest, self._numbers = 0, set()
        found = list(reading.after(ask, self._newest - _MARGIN, wanted))
        self._newest = newest
        return found

    def _is_new(self, record: dict[str, Any]) -> bool:
        """Has the record not been shown yet? It counts as shown from now on."""
        identity = _identity(record)
        if identity in self._shown:
            return False
        self._shown[identity] = None
        if len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return True

    def _spooled(self, read: dict[str, int], wanted: Filter) -> Iterator[tuple[dict[str, Any], str, int]]:
        """The records in the spool that fit: each with the name of its segment and the octet where it ends.

        ``read`` says how many octets of a segment are known already.
        """
        folder = self._directory / SPOOL
        try:
            # glob() is silent about a folder that it may not read
            if any(folder.iterdir()):
                for each in segments(folder):
                    yield from _records(each, read.get(each.name, 0), wanted)
        except FileNotFoundError:
            return
        except OSError as error:
            raise closed(folder, self._directory, error) from error

    @contextmanager
    def _asking(self) -> Iterator[Ask | None]:
        """A transaction, in which nothing changes; None if there is no database yet. Raises Unusable."""
        if self._history.database is None:
            with sqlite.asking(self._directory) as ask:
                yield ask
            return
        from .database import Reading

        self._server = self._server or Reading(self._history)
        with self._server.asking() as ask:
            yield ask


def _records(found: Any, offset: int, wanted: Filter) -> Iterator[tuple[dict[str, Any], str, int]]:
    try:
        for line in found.lines(offset):
            record = line.found
            if record and record.get("v") == VERSION and record.get("kind") == "message" and _fits(record, wanted):
                yield record, found.name, line.end
    except (FileNotFoundError, IsADirectoryError):
        # all of it is in the database now; or it never was a segment, of which the collector complains
        return


def _fits(record: dict[str, Any], wanted: Filter) -> bool:
    try:
        return wanted.fits(searched(record))
    except Unfit:
        return False


def _first(pair: tuple[float, dict[str, Any]]) -> float:
    return pair[0]


def _time(record: dict[str, Any]) -> float:
    return float(record["time"])


def _identity(record: dict[str, Any]) -> bytes:
    return hashlib.blake2b(json.dumps(record).encode(), digest_size=16).digest()
