"""Open the database of the history: SQLite in a file, or PostgreSQL by its URL; migrate its tables."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ..config import History
from . import REVISION, sqlite
from .ask import Ask
from .tables import metadata
from .usable import Unusable, is_made

_MIGRATIONS = Path(__file__).parent / "migrations"
_CHUNK = 500  # rows that are fetched at a time
_PAGES = 1000  # that are given back at a time
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock; less than a millisecond
_LOG = 64 << 20  # octets of SQLite's write-ahead log that stay on disk
_PAGE = 4096  # octets
_MOST_LOG = 256 << 20  # octets of it beyond which nothing is written
_PATIENCE = 10  # seconds that one waits for a connection
_SILENCE = 30  # seconds after which a server that does not answer is gone
_LOCK = 0x6D61796C  # of PostgreSQL, for migrations


def address(directory: str, database: str | None) -> URL:
    """The URL of the database of a configuration (``history.directory``, ``history.database``)."""
    if database is None:
        return URL.create("sqlite", database=str(sqlite.path(directory)))
    return make_url(database).set(drivername="postgresql+psycopg")


def connect(url: URL, *, reads_only: bool = False) -> Engine:
    """An engine for the database; nothing is opened yet. Raises Unusable if a library is missing.

    ``reads_only``: no statement can write, and no file is made. Who only reads opens the database for each transaction:
    the collector may have put another file in its place.
    """
    pool = NullPool if reads_only else None
    if url.get_backend_name() != "sqlite":
        return _postgresql(url, pool, reads_only=reads_only)
    file = _file(url)
    engine = create_engine(url, poolclass=pool, creator=lambda: sqlite.connect(file, creates=not reads_only))

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: Any) -> None:
        if reads_only:
            sqlite.reads_only(connection)
            return
        sqlite.claim(connection, file)
        connection.execute("PRAGMA journal_mode = wal")
        # what is committed is on the disk: its segment is deleted next
        connection.execute("PRAGMA synchronous = full")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG}")
        # A batch changes thousands of pages. With SQLite's 1,000, each would be copied into the file after each batch.
        connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG * 3 // 4 // _PAGE}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, pool: type[NullPool] | None, *, reads_only: bool) -> Engine:
    arguments = {
        "connect_timeout": _PATIENCE,
        "keepalives_idle": _SILENCE,
        "tcp_user_timeout": _SILENCE * 1000,
        "fallback_application_name": "mailassay",
        "client_encoding": "utf8",
        # what is committed is on the disk: its segment is deleted next
        "options": f"-c {'default_transaction_read_only' if reads_only else 'synchronous_commit'}=on",
    }
    try:
        return create_engine(url, pool_pre_ping=not reads_only, poolclass=pool, connect_args=arguments)
    except ImportError as error:
        raise Unusable(
            f"{name(url)} needs psycopg: pip install 'mailassay[postgresql]', or Debian's package python3-psycopg "
            f"({error})"
        ) from error


def limit(engine: Engine, seconds: float) -> None:
    """Let no transaction on the engine read for longer; what is under way then fails, see :func:`took_too_long`.

    PostgreSQL counts the time of each statement.
    """

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if engine.dialect.name != "sqlite":
            driver.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            return
        end = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > end, _STEPS)


def took_too_long(error: DBAPIError) -> bool:
    """Did the statement fail because of :func:`limit`?"""
    cause = error.orig
    return getattr(cause, "sqlite_errorname", "") == "SQLITE_INTERRUPT" or getattr(cause, "sqlstate", "") == "57014"


def migrate(engine: Engine) -> None:
    """Bring the tables to this version. Raises Unusable, and what the database raises."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        found = revision(connection)
        if found is None:
            _check_new(connection)
        elif found.isdigit() and found > REVISION:
            raise Unusable(
                f"the tables of {name(engine.url)} are of a later version of mailassay ({found}; this one knows "
                f"{REVISION}). Install that version again, or move the database away"
            )
        elif not list((_MIGRATIONS / "versions").glob(f"{found}_*.py")):
            raise _of_another_program(engine.url)
        if found != REVISION:
            _upgrade(connection)


def is_damaged(error: Exception) -> bool:
    """Does an error say that the file of SQLite is damaged, or no database?"""
    code = getattr(_original(error), "sqlite_errorname", "")
    return code == "SQLITE_NOTADB" or code.startswith("SQLITE_CORRUPT")


def cause(error: Exception, url: URL) -> str:
    """What went wrong with a database, in one line, and how to fix it if that is known."""
    original = _original(error)
    if url.get_backend_name() == "sqlite":
        return sqlite.cause(original, _file(url))
    what, fix = str(original).partition("\n")[0], _fix(original)
    return f"{what}. {fix}" if fix else what


def _original(error: Exception) -> BaseException:
    return (error.orig or error) if isinstance(error, DBAPIError) else error


def _fix(error: BaseException) -> str:
    """For PostgreSQL. The cause is in the language of the server."""
    match getattr(error, "sqlstate", ""):
        case None:
            return (
                "Check that PostgreSQL runs there, and that it has the role and the database of history.database; "
                "a password may be in ~/.pgpass, which only its owner may read"
            )
        case "42501":
            return "The role needs a database of its own: ALTER DATABASE ... OWNER TO ..."
        case "25006":
            return "history.database must name the server that takes changes, and no standby"
    return ""


def revision(connection: Connection) -> str | None:
    """The migration up to which the tables are made."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _check_new(connection: Connection) -> None:
    """Raises Unusable if tables cannot be made in this database."""
    if connection.dialect.name != "postgresql":
        return
    if set(metadata.tables) & set(inspect(connection).get_table_names()):
        raise _of_another_program(connection.engine.url)
    if (encoding := connection.exec_driver_sql("SHOW server_encoding").scalar()) != "UTF8":
        raise Unusable(f"{name(connection.engine.url)} has the encoding {encoding}: make it with ENCODING 'UTF8'")


def _upgrade(connection: Connection) -> None:
    # it says much that only its developers need, some of it while it is loaded
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Alembic takes 8 MB, and a third of a second
    from alembic.command import upgrade
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    upgrade(config, "head")


def _of_another_program(url: URL) -> Unusable:
    return Unusable(f"{name(url)} has tables of another program: give mailassay a database of its own")


def give_back(engine: Engine) -> None:
    """Give the space of some deleted rows back to the file system. PostgreSQL does so by itself."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            # each page is a step of the statement; execute() does only the first
            file: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            file.executescript(f"PRAGMA incremental_vacuum({_PAGES})")


def takes_more(engine: Engine) -> bool:
    """May more be written? Not while a reader keeps SQLite from beginning its log again, and the log is long.

    The log takes ten times the space of what waits in the spool.
    """
    try:
        if engine.dialect.name != "sqlite" or os.stat(f"{engine.url.database}-wal").st_size < _MOST_LOG:
            return True
    except FileNotFoundError:
        return True
    with closing(sqlite3.connect(str(engine.url.database), timeout=1)) as file:
        [is_held, *_] = file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_held


def _file(url: URL) -> Path:
    return Path(str(url.database))


def name(url: URL) -> str:
    """The file, or the URL without a password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)


def asking(connection: Connection) -> Ask:
    """What a search asks by means of a connection."""

    def ask(statement: str, values: dict[str, Any]) -> Iterator[Any]:
        with connection.execute(text(statement), values, execution_options={"yield_per": _CHUNK}) as rows:
            yield from rows

    return ask


class Reading:
    """Reads the database of a history, and changes nothing. Raises Unusable: why not, and what to do."""

    def __init__(self, history: History) -> None:
        assert history.directory
        self._directory = Path(history.directory)
        self._url = address(history.directory, history.database)
        self._engine: Engine | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._engine:
            self._engine.dispose()
            self._engine = None

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
            if isinstance(error.orig, sqlite3.Error):
                raise sqlite.unreadable(error.orig, _file(self._url), self._directory) from error
            raise Unusable(f"{name(self._url)} cannot be read: {cause(error, self._url)}") from error

    @contextmanager
    def asking(self) -> Iterator[Ask | None]:
        """The same for a search."""
        with self.connection() as connection:
            yield asking(connection) if connection else None

    def _opened(self) -> Engine | None:
        if self._url.get_backend_name() == "sqlite":
            with sqlite.asking(self._directory) as ask:
                return connect(self._url, reads_only=True) if ask else None
        engine = connect(self._url, reads_only=True)
        with engine.connect() as connection:
            found = revision(connection)
        # if not, the collector has only begun
        return engine if is_made(name(self._url), found) else None
