"""Gathers the facts about the history. Needs none of its libraries, and changes nothing."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from ..config import History, Listen, Settings
from ..history.spool import SPOOL, segments
from ..ping import connected
from ..store import APPLICATION, FILE, revisions
from .facts import Kept

_PATIENCE = 5.0  # seconds to wait for another program that has the database
_HOUR, _DAY = 3600, 86_400  # seconds
_ANSWERS = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)  # of the pages about the collector
_MOST_SAID = 1000  # octets
_LIBRARIES = ("sqlalchemy", "alembic")
_OF_POSTGRESQL = ("psycopg",)


def paths(history: History) -> Iterator[str]:
    """What the service must be able to write to."""
    if history.directory:
        yield from (history.directory, os.path.join(history.directory, SPOOL))
        if not history.database:
            yield os.path.join(history.directory, FILE)


def kept(settings: Settings, unseen: list[str], now: float) -> Kept | None:
    """The history; None if there is none."""
    history = settings.history
    if not history.directory:
        return None
    pages, stuck = _pages(settings.web.listen) if settings.web.listen else (None, "")
    try:
        return replace(_kept(history, history.directory, unseen, now), pages=pages, stuck=stuck)
    except OSError as error:
        unseen.append(f"{error.filename or history.directory}: {error.strerror}")
        return Kept()


def _kept(history: History, directory: str, unseen: list[str], now: float) -> Kept:
    spool, file = Path(directory, SPOOL), None if history.database else Path(directory, FILE)
    collected = _is_locked(spool)
    ages = [*_ages(spool, now)]
    trouble, lost = _examined(file, unseen, now) if file else ("", None)
    return Kept(
        collected=collected,
        waiting=len(ages),
        behind=max(ages, default=0.0),
        lost=lost,
        size=_size(file) if file else None,
        free=_free(directory),
        trouble=trouble,
        missing=tuple(name for name in _LIBRARIES + (() if file else _OF_POSTGRESQL) if not find_spec(name)),
    )


def _pages(listen: Listen) -> tuple[str | None, str]:
    """Why the pages do not answer, None if they do; and what is wrong with the collector, as they say."""
    try:
        with connected(listen, _PATIENCE) as channel, closing(HTTPResponse(channel)) as response:
            channel.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            response.begin()
            if response.status in _ANSWERS and response.headers["Content-Security-Policy"]:
                said = response.read(_MOST_SAID).decode(errors="replace").strip()
                return None, "" if response.status == HTTPStatus.OK else said
    except (HTTPException, ValueError):
        # this is not HTTP
        pass
    except OSError as error:
        return f"{error.strerror or error}".lower(), ""
    return "another program answers there", ""


def _is_locked(spool: Path) -> bool:
    """Has a collector locked the folder?"""
    try:
        folder = os.open(spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def _ages(spool: Path, now: float) -> Iterator[float]:
    """For each segment that no worker writes to any more, the time since one did."""
    for segment in segments(spool):
        # the collector may delete it at any time
        with suppress(FileNotFoundError):
            written = segment.path.stat().st_mtime
            if segment.path.is_file() and segment.is_complete():
                yield now - written


def _size(file: Path) -> int:
    """The octets of a database, with those that SQLite has not yet moved into its file."""
    return sum(part.stat().st_size for part in (file, Path(f"{file}-wal")) if part.is_file())


def _free(directory: str) -> int | None:
    """The octets that a program without privileges can still write; None if there is no such folder."""
    try:
        found = os.statvfs(directory)
    except FileNotFoundError:
        return None
    return found.f_bavail * found.f_frsize


def _examined(file: Path, unseen: list[str], now: float) -> tuple[str, int | None]:
    """What is wrong with a file of SQLite, and the number of records that were lost in the last day."""
    if not file.is_file():
        # there is one as soon as the collector has begun
        return "", None
    # immutable: otherwise SQLite would make files for other processes, of which there are none without a -wal
    mode = "mode=ro" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?{mode}", uri=True, timeout=_PATIENCE)) as database:
            if not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                return "", None
            if database.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
                return f"{file}: it belongs to another program", None
            found = {version for (version,) in database.execute("SELECT version_num FROM alembic_version")}
            if found - revisions():
                return f"{file}: its tables are of a later version of mailassay ({', '.join(map(str, found))})", None
            since = int(now - _DAY) // _HOUR
            lost = "SELECT coalesce(sum(count), 0) FROM hourly WHERE hour > ? AND kind = 'lost'"
            return "", int(database.execute(lost, (since,)).fetchone()[0])
    except (sqlite3.Error, UnicodeDecodeError) as error:
        # what SQLite says about a damaged file may be no text
        if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            return f"{file}: {error}", None
        unseen.append(f"{file}: {error}")
        return "", None
