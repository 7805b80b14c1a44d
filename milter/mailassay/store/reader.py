"""The history as a reader sees it: what is in the database, and what is still in the spool."""

from __future__ import annotations

import hashlib
import heapq
import json
import pwd
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, inspect, select
from sqlalchemy.exc import DBAPIError

from ..config import History
from ..history.record import VERSION
from ..history.spool import SPOOL, segments
from . import database, reading
from .database import Unusable
from .filter import Filter
from .rows import Unfit, searched
from .tables import REVISION, message, segment

_MARGIN = 5000  # numbers that other hosts may have taken for messages which they commit later
_REMEMBERED = 100_000  # records of which a later copy is not shown again


class Reader:
    """Reads the history, and changes nothing. Every method raises Unusable: why it cannot be read, and what to do."""

    def __init__(self, history: History) -> None:
        assert history.directory
        self._directory = Path(history.directory)
        self._url = database.address(history.directory, history.database)
        self._engine: Engine | None = None
        self._shown: OrderedDict[bytes, None] = OrderedDict()
        self._read: dict[str, int] = {}
        self._numbers: set[int] = set()
        self._newest = 0

    def close(self) -> None:
        """Close the connections to the database."""
        if self._engine:
            self._engine.dispose()
            self._engine = None

    def latest(self, wanted: Filter, most: int | None = None) -> Iterator[dict[str, Any]]:
        """The latest ``most`` records that fit, the latest first, each once."""
        with self.connection() as connection:
            read = _positions(connection) if connection else {}
        # before the database: what moves meanwhile is found twice, and never missed
        spooled = ((_time(each), each) for each, _, _ in self._spooled(read, wanted))
        waiting = heapq.nlargest(most, spooled, key=_first) if most else sorted(spooled, key=_first, reverse=True)
        copies = {_identity(each) for _, each in waiting}
        with self.connection() as connection:
            # the database has another time if the clock of the host was wrong by years
            found = (
                ((each.time, each.record) for each in reading.search(connection, wanted, most)) if connection else ()
            )
            kept = (pair for pair in found if not copies or _identity(pair[1]) not in copies)
            for _, each in islice(heapq.merge(waiting, kept, key=_first, reverse=True), most):
                self._is_new(each)
                yield each

    def follow(self, wanted: Filter) -> None:
        """What comes from now on is new to :meth:`new`."""
        for record, name, end in self._spooled({}, wanted):
            self._is_new(record)
            self._read[name] = end
        with self.connection() as connection:
            if connection:
                self._numbers = set(self._later(connection, wanted))

    def new(self, wanted: Filter) -> list[dict[str, Any]]:
        """The records that came since :meth:`follow`, or since the last call, in the order of time."""
        found = []
        for record, name, end in self._spooled(self._read, wanted):
            found.append(record)
            self._read[name] = end
        with self.connection() as connection:
            if connection:
                numbers = [each for each in self._later(connection, wanted) if each not in self._numbers]
                self._numbers = {each for each in self._numbers if each > self._newest - _MARGIN}.union(numbers)
                found += [each.record for each in reading.records(connection, numbers)]
        return sorted(filter(self._is_new, found), key=_time)

    def oldest(self) -> float | None:
        """The time of the first record in seconds since 1970; None if there is none."""
        times = [_time(each) for each, _, _ in self._spooled({}, Filter())]
        with self.connection() as connection:
            if connection and (found := reading.oldest(connection)) is not None:
                times.append(found)
        return min(times, default=None)

    def _later(self, connection: Connection, wanted: Filter) -> list[int]:
        """The numbers of the messages that fit and may be new."""
        found = list(reading.after(connection, self._newest - _MARGIN, wanted))
        self._newest = connection.execute(select(func.max(message.c.id))).scalar() or 0
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
            raise self._closed(folder, error) from error

    @contextmanager
    def connection(self) -> Iterator[Connection | None]:
        """A transaction, in which nothing changes; None if there is no database yet. Raises Unusable."""
        try:
            self._engine = self._engine or self._opened()
            if self._engine is None:
                yield None
                return
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            if getattr(error.orig, "sqlite_errorname", "").startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
                # a reader too has to write to the files beside it, if no other process has it open
                raise self._closed(Path(str(self._url.database)), PermissionError()) from error
            raise Unusable(f"{database.name(self._url)} cannot be read: {database.cause(error, self._url)}") from error

    def _opened(self) -> Engine | None:
        if self._url.get_backend_name() == "sqlite":
            file = Path(str(self._url.database))
            try:
                with file.open("rb"):
                    pass
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._closed(file, error) from error
        engine = database.connect(self._url, reads_only=True)
        with engine.connect() as connection:
            found = database.revision(connection)
            is_foreign = found is None and inspect(connection).get_table_names()
        if found == REVISION:
            return engine
        engine.dispose()
        name = database.name(self._url)
        if is_foreign and self._url.get_backend_name() == "sqlite":
            raise Unusable(f"{name} belongs to another program")
        if found is None:
            # the collector has only begun
            return None
        if found > REVISION:
            raise Unusable(
                f"the tables of {name} are of a later version of mailassay ({found}; this one knows {REVISION}). "
                "Install that version"
            )
        raise Unusable(
            f"the tables of {name} are of an older version of mailassay; mailassay-collector.service updates it"
        )

    def _closed(self, path: Path, error: OSError) -> Unusable:
        if not isinstance(error, PermissionError):
            return Unusable(f"{path}: {error.strerror}")
        try:
            owner = pwd.getpwuid(self._directory.stat().st_uid).pw_name
        except (OSError, KeyError):
            owner = "mailassay"
        return Unusable(f"{path} cannot be read by this user. Try `sudo -u {owner} mailassay ...`, or as root")


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


def _positions(connection: Connection) -> dict[str, int]:
    return {row.name: row.octets for row in connection.execute(select(segment.c.name, segment.c.octets))}


def _first(pair: tuple[float, dict[str, Any]]) -> float:
    return pair[0]


def _time(record: dict[str, Any]) -> float:
    return float(record["time"])


def _identity(record: dict[str, Any]) -> bytes:
    return hashlib.blake2b(json.dumps(record).encode(), digest_size=16).digest()
