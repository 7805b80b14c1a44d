"""What goes into the database: records, once each, and what leaves it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from .rows import HOUR, Rows
from .tables import hourly, message, recipient, segment


def position(connection: Connection, name: str) -> tuple[int, int]:
    """How far a segment has been read: octets and lines."""
    found = connection.execute(select(segment.c.octets, segment.c.lines).where(segment.c.name == name)).first()
    return (found[0], found[1]) if found else (0, 0)


def add(connection: Connection, found: Iterable[Rows]) -> None:
    """Add messages, their recipients, and their counts."""
    counts: Counter[tuple[int, str, str, str]] = Counter()
    found = list(found)
    if not found:
        return
    # numbers of our own, so that all rows go in with one statement; the collector is the only one that writes
    first = _next(connection, len(found))
    connection.execute(message.insert(), [each.message | {"id": first + n} for n, each in enumerate(found)])
    addresses = [
        {"message": first + number, "key": key, "time": each.message["time"]}
        for number, each in enumerate(found)
        for key in each.recipients
    ]
    if addresses:
        connection.execute(recipient.insert(), addresses)
    for each in found:
        counts.update(each.counts)
    count(connection, counts)


def count(connection: Connection, counts: Counter[tuple[int, str, str, str]]) -> None:
    """Add to the counts of hours: hour, host, kind and key."""
    if not counts:
        return
    rows = [dict(zip(("hour", "host", "kind", "key", "count"), (*key, n), strict=True)) for key, n in counts.items()]
    new = _insert(connection)(hourly)
    keys = [each.name for each in hourly.primary_key]
    add_to = {"count": hourly.c.count + new.excluded["count"]}
    connection.execute(new.on_conflict_do_update(index_elements=keys, set_=add_to), rows)


def read_up_to(connection: Connection, name: str, octets: int, lines: int) -> None:
    """Remember how far a segment has been read. In the same transaction as its records."""
    new = _insert(connection)(segment)
    place = {"octets": octets, "lines": lines}
    statement = new.values(name=name, **place).on_conflict_do_update(index_elements=["name"], set_=place)
    connection.execute(statement)


def forget(connection: Connection, name: str) -> None:
    """Forget a segment that has been deleted."""
    connection.execute(delete(segment).where(segment.c.name == name))


def expire(connection: Connection, before: float, most: int, batch: int) -> int:
    """Delete up to ``batch`` of the messages from before that time, or of those beyond the ``most`` latest.

    Returns how many. The counts of hours from before that time leave with the last of them.
    """
    newest = connection.execute(select(func.max(message.c.id))).scalar() or 0
    # each by an index
    old = select(message.c.id).where(message.c.time < before).limit(batch)
    ids = connection.execute(old).scalars().all()
    if not ids:
        beyond = select(message.c.id).where(message.c.id <= newest - most).order_by(message.c.id).limit(batch)
        ids = connection.execute(beyond).scalars().all()
    if ids:
        connection.execute(delete(recipient).where(recipient.c.message.in_(ids)))
        connection.execute(delete(message).where(message.c.id.in_(ids)))
    if len(ids) < batch:
        connection.execute(delete(hourly).where(hourly.c.hour < int(before) // HOUR))
    return len(ids)


def _next(connection: Connection, many: int) -> int:
    """The first of so many numbers that no message has had."""
    if connection.dialect.name == "sqlite":
        return 1 + (connection.execute(select(func.max(message.c.id))).scalar() or 0)
    # several hosts write at the same time
    taken = connection.exec_driver_sql(
        "SELECT setval(pg_get_serial_sequence('message', 'id'), nextval(pg_get_serial_sequence('message', 'id')) + %s)",
        (many,),
    ).scalar_one()
    return int(taken) - many


def _insert(connection: Connection) -> Any:
    """INSERT with ON CONFLICT, which both have."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
