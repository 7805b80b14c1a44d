"""SQLite's file of the history, as the standard library opens it.

``mailassay why`` and ``history`` need nothing else. SQLAlchemy takes longer to load than a search takes.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from . import APPLICATION, FILE
from .ask import Ask
from .usable import Unusable, closed, is_made

_PATIENCE = 10  # seconds that a reader waits for another process


def path(directory: str) -> Path:
    """The file in the directory of the history; where a link leads, since SQLite keeps its other files there."""
    return Path(os.path.realpath(os.path.join(directory, FILE)))


def connect(file: Path, *, creates: bool) -> sqlite3.Connection:
    """Open the file; make it if ``creates``. Transactions begin where a statement says so. Raises sqlite3.Error."""
    if creates:
        # for its owner only, whatever the umask; SQLite's other files follow it, and SQLite says what is wrong
        with suppress(OSError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    address = f"file:{quote(str(file))}?mode={'rwc' if creates else 'rw'}"
    # the pool of SQLAlchemy lets one thread at a time use it
    return sqlite3.connect(address, timeout=_PATIENCE, isolation_level=None, uri=True, check_same_thread=False)


def reads_only(connection: sqlite3.Connection) -> None:
    """Let no statement of the connection write."""
    connection.execute("PRAGMA query_only = on")


def claim(connection: sqlite3.Connection, file: Path) -> None:
    """Mark a new file as ours. Raises Unusable, before anything is changed, if it belongs to another program."""
    [found] = connection.execute("PRAGMA application_id").fetchone()
    if found == APPLICATION:
        return
    if found or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
        raise Unusable(f"{file} belongs to another program. Move it away, or set history.directory to another folder")
    # the space of deleted rows is given back; only possible before the first table
    connection.execute("PRAGMA auto_vacuum = incremental")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")


def is_there(file: Path, directory: Path) -> bool:
    """Is there a file, for this user? Raises Unusable if it cannot be read.

    It is not opened: to close it would end the locks that this process has on it (SQLite, How To Corrupt, 2.2).
    """
    try:
        if stat.S_ISDIR(os.stat(file).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(file, os.R_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise closed(file, directory, error) from error
    return True


def unreadable(error: sqlite3.Error, file: Path, directory: Path) -> Unusable:
    """Why the file in the directory of the history cannot be read."""
    if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        # a reader too has to write to the files beside it, if no other process has it open
        return closed(file, directory, PermissionError())
    return Unusable(f"{file} cannot be read: {cause(error, file)}")


def cause(error: BaseException, file: Path) -> str:
    """What went wrong with the file, in one line, and how to fix it if that is known."""
    what = str(error).partition("\n")[0]
    fix = _fix(error, file)
    return f"{what}. {fix}" if fix else what


def _fix(error: BaseException, file: Path) -> str:
    match getattr(error, "sqlite_errorname", "").split("_")[1:]:
        case ["FULL", *_]:
            return "Make room on the disk; lower values of history.days and history.messages keep less"
        case ["CANTOPEN" | "READONLY" | "PERM", *_]:
            if file.is_dir():
                return f"{file} is a folder: move it away"
            if not file.exists():
                return f"Nothing has made {file} yet, or it is in a folder that cannot be entered"
            return f"{file} and the folder around it must belong to the user of the service (here: uid {os.geteuid()})"
    return ""


@contextmanager
def asking(directory: Path) -> Iterator[Ask | None]:
    """A transaction on the file in the directory of the history, in which nothing changes; None if there is none yet.

    Raises Unusable.
    """
    file = path(str(directory))
    if not is_there(file, directory):
        yield None
        return
    try:
        with closing(connect(file, creates=False)) as connection:
            reads_only(connection)
            connection.execute("BEGIN")
            yield connection.execute if _is_made(connection, file) else None
    except sqlite3.Error as error:
        raise unreadable(error, file, directory) from error


def _is_made(connection: sqlite3.Connection, file: Path) -> bool:
    """Raises Unusable."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    found = None
    if "alembic_version" in tables:
        found = next((str(number) for (number,) in connection.execute("SELECT version_num FROM alembic_version")), None)
    if tables and found is None:
        raise Unusable(f"{file} belongs to another program")
    return is_made(str(file), found)
