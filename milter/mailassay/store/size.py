"""How large the history is, how far its spool has been read, and which DMARC reports wait."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, func, select

from . import outbox
from .tables import message, segment


class Size(NamedTuple):
    """Octets of the database, about how many messages it has, and how many octets were read of each segment.

    ``unsent`` counts the reports of days that are over and that are not done yet; the oldest of these days ended at
    ``unsent_since``. ``suppressed`` counts the addresses that get no reports now.
    """

    octets: int
    messages: int
    read: dict[str, int]
    unsent: int
    unsent_since: float | None
    suppressed: int


def size(engine: Engine, now: float) -> Size:
    """The size. Each statement takes a few milliseconds, however large it is. Raises DBAPIError."""
    with engine.connect() as connection:
        # they are numbered one after the other, and the oldest are deleted
        last, first = connection.execute(select(func.max(message.c.id), func.min(message.c.id))).one()
        read = {each.name: each.octets for each in connection.execute(select(segment.c.name, segment.c.octets))}
        unsent, oldest = outbox.unsent(connection, now)
        suppressed = outbox.suppressed_now(connection, now)
        if engine.dialect.name == "sqlite":
            octets = _octets(Path(str(engine.url.database)))
        else:
            octets = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    since = None if oldest is None else float((oldest + 1) * outbox.DAY)
    return Size(octets, last - first + 1 if last is not None else 0, read, unsent, since, suppressed)


def _octets(file: Path) -> int:
    return sum(each.stat().st_size for each in (file, file.with_name(f"{file.name}-wal")) if each.exists())
