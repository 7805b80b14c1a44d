"""How large the history is, and how far its spool has been read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, func, select

from .tables import message, segment


class Size(NamedTuple):
    """Octets of the database, about how many messages it has, and how many octets were read of each segment."""

    octets: int
    messages: int
    read: dict[str, int]


def size(engine: Engine) -> Size:
    """The size. Each statement takes a few milliseconds, however large it is. Raises DBAPIError."""
    with engine.connect() as connection:
        # they are numbered one after the other, and the oldest are deleted
        last, first = connection.execute(select(func.max(message.c.id), func.min(message.c.id))).one()
        read = {each.name: each.octets for each in connection.execute(select(segment.c.name, segment.c.octets))}
        if engine.dialect.name == "sqlite":
            octets = _octets(Path(str(engine.url.database)))
        else:
            octets = connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
    return Size(octets, last - first + 1 if last is not None else 0, read)


def _octets(file: Path) -> int:
    return sum(each.stat().st_size for each in (file, file.with_name(f"{file.name}-wal")) if each.exists())
