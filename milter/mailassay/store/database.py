"""Open the database of the history: SQLite in a file, or PostgreSQL by its URL; migrate its tables."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DatabaseError, DBAPIError
from sqlalchemy.pool import NullPool

FILE = "history.sqlite"  # in the directory of the history
_APPLICATION = 0x6D61796C  # PRAGMA application_id of our files: "mayl"
# Alembic says much that only its developers need
logging.getLogger("alembic").setLevel(logging.WARNING)
_PAGES = 1000  # that are given back at a time
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock; less than a millisecond
_PATIENCE = 10  # seconds that a reader or a migration waits for another process
_LOCK = 0x6D61796C  # of PostgreSQL, for migrations


class Unusable(Exception):
    """The database is not one that this version can use. The text says why, and what to do."""


class Damaged(Unusable):
    """The file of SQLite is damaged, or not a database at all."""


def address(directory: str, database: str | None) -> URL:
    """The URL of the database of a configuration (``history.directory``, ``history.database``)."""
    if database is None:
        return URL.create("sqlite", database=os.path.join(directory, FILE))
    return make_url(database).set(drivername="postgresql+psycopg")


def connect(url: URL, *, reads_only: bool = False) -> Engine:
    """An engine for the database; nothing is opened yet. ``reads_only``: no statement can write.

    Who only reads opens the database for each transaction: the collector may have put another file in its place.
    """
    pool = NullPool if reads_only else None
    if url.get_backend_name() != "sqlite":
        options = "-c default_transaction_read_only=on" if reads_only else ""
        arguments = {"connect_timeout": _PATIENCE, "options": options}
        return create_engine(url, pool_pre_ping=not reads_only, poolclass=pool, connect_args=arguments)
    engine = create_engine(url, poolclass=pool, creator=lambda: _file(url, creates=not reads_only))

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        # transactions begin where we say so, and not at the first change
        connection.isolation_level = None
        if reads_only:
            connection.execute("PRAGMA query_only = on")
            return
        _claim(connection, str(url.database))
        connection.execute("PRAGMA journal_mode = wal")
        # the last records may be lost if the machine loses power; they are still in the spool then, or not deleted
        connection.execute("PRAGMA synchronous = normal")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def limit(engine: Engine, seconds: float) -> None:
    """Let no transaction on the engine read for longer; what is under way then fails, see :func:`took_too_long`.

    PostgreSQL counts the time of each statement.
    """

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if engine.dialect.name != "sqlite":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            return
        end = time.monotonic() + seconds
        file: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        file.set_progress_handler(lambda: time.monotonic() > end, _STEPS)


def took_too_long(error: DBAPIError) -> bool:
    """Did the statement fail because of :func:`limit`?"""
    cause = error.orig
    return getattr(cause, "sqlite_errorname", "") == "SQLITE_INTERRUPT" or getattr(cause, "sqlstate", "") == "57014"


def migrate(engine: Engine) -> None:
    """Bring the tables to this version. Raises Unusable, Damaged, and what the database raises."""
    # a reader does not need it, and it takes as long to import as a search
    from alembic.command import upgrade
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    is_sqlite = engine.dialect.name == "sqlite"
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    try:
        with engine.begin() as connection:
            if not is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            found = MigrationContext.configure(connection).get_current_revision()
            if found == newest:
                return
            config.attributes["connection"] = connection
            try:
                upgrade(config, "head")
            except CommandError as error:
                raise Unusable(
                    f"the tables of {name(engine.url)} are of a later version of mailassay ({found}; this one knows "
                    f"{newest}). Install that version again, or move the database away"
                ) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        if getattr(cause, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
            raise Damaged(f"{name(engine.url)}: {cause}") from error
        raise


def give_back(engine: Engine) -> None:
    """Give the space of some deleted rows back to the file system. PostgreSQL does so by itself."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            # each page is a step of the statement; execute() does only the first
            file: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            file.executescript(f"PRAGMA incremental_vacuum({_PAGES})")


def first_line(error: Exception) -> str:
    """What went wrong, without the statement that SQLAlchemy adds."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(cause).partition("\n")[0]


def _file(url: URL, *, creates: bool) -> sqlite3.Connection:
    path = f"file:{quote(str(url.database))}?mode={'rwc' if creates else 'rw'}"
    # the pool lets one thread at a time use it
    return sqlite3.connect(path, timeout=_PATIENCE, uri=True, check_same_thread=False)


def _claim(connection: sqlite3.Connection, name: str) -> None:
    """Mark a new file as ours. Raises Unusable, before anything is changed, if it belongs to another program."""
    [found] = connection.execute("PRAGMA application_id").fetchone()
    if found == _APPLICATION:
        return
    if found or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
        raise Unusable(f"{name} belongs to another program. Move it away, or set history.directory to another folder")
    # the space of rows that have left is given back; only possible before the first table
    connection.execute("PRAGMA auto_vacuum = incremental")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")


def name(url: URL) -> str:
    """The file, or the URL without the password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
