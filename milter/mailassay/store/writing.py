"""What goes into the database: records, once each, and what is deleted again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from .rows import HOUR, OF_SENDERS, SEPARATOR, Rows, others
from .tables import hourly, message, recipient, segment

MOST_KEYS = 2000  # that senders have chosen: of a kind, in an hour, of a host
_LOCK = 0x6D61796D  # of PostgreSQL, for what deletes old rows

# made once: to make them takes longer than the database needs
_AT = (
    hourly.c.kind == bindparam("of_kind"),
    hourly.c.hour == bindparam("of_hour"),
    hourly.c.host == bindparam("of_host"),
)
_MANY = select(func.count()).select_from(hourly).where(*_AT)
_THERE = select(hourly.c.key, hourly.c["count"]).where(*_AT)


def positions(connection: Connection) -> dict[str, tuple[int, int]]:
    """How far each segment has been read: octets and lines."""
    return {name: (octets, lines) for name, octets, lines in connection.execute(select(segment))}


def add(connection: Connection, found: Iterable[Rows]) -> None:
    """Add messages and their recipients. Their counts are for ``count``."""
    found = list(found)
    if not found:
        return
    # numbers of our own, so that all rows go in with one statement
    numbers = _numbers(connection, len(found))
    connection.execute(message.insert(), [each.message | {"id": n} for n, each in zip(numbers, found, strict=True)])
    addresses = [
        {"message": number, "key": key, "time": each.message["time"]}
        for number, each in zip(numbers, found, strict=True)
        for key in each.recipients
    ]
    if addresses:
        connection.execute(recipient.insert(), addresses)


def count(connection: Connection, counts: Counter[tuple[int, str, str, str]]) -> None:
    """Add to the counts of hours: hour, host, kind and key."""
    if not counts:
        return
    counts = _bounded(connection, counts)
    # in one order, so that two that write at the same time cannot wait for each other
    rows = [
        dict(zip(("hour", "host", "kind", "key", "count"), (*key, counts[key]), strict=True)) for key in sorted(counts)
    ]
    new = insert(connection)(hourly)
    keys = [each.name for each in hourly.primary_key]
    add_to = {"count": hourly.c.count + new.excluded["count"]}
    connection.execute(new.on_conflict_do_update(index_elements=keys, set_=add_to), rows)


def _bounded(connection: Connection, counts: Counter[tuple[int, str, str, str]]) -> Counter[tuple[int, str, str, str]]:
    """The counts, with those of new keys together if senders have chosen too many in an hour."""
    found: Counter[tuple[int, str, str, str]] = Counter()
    of_senders: dict[tuple[int, str, str], set[str]] = {}
    for (hour, host, kind, key), many in counts.items():
        if kind in OF_SENDERS:
            of_senders.setdefault((hour, host, kind), set()).add(key)
        else:
            found[hour, host, kind, key] = many
    for (hour, host, kind), keys in of_senders.items():
        at = {"of_kind": kind, "of_hour": hour, "of_host": host}
        there = connection.execute(_MANY, at).scalar_one()
        new = {key: counts[hour, host, kind, key] for key in keys}
        if there + len(keys) > MOST_KEYS:
            new = _largest(connection, at, new)
        for key, many in new.items():
            found[hour, host, kind, key] += many
    return found


def _largest(connection: Connection, at: dict[str, Any], new: dict[str, int]) -> Counter[str]:
    """The counts to add, with those of the smallest keys together. Keys that have been counted may be deleted.

    So whoever writes from a new domain each time hides no domain that occurs often.
    """
    kind = at["of_kind"]
    there: dict[str, int] = dict(connection.execute(_THERE, at).all())
    sums = Counter(there)
    sums.update(new)
    # a key that is there already goes before a new one; of the same count, the order stays as it is
    order = [key for key in (*sorted(there), *sorted(new.keys() - there.keys())) if not _is_of_others(kind, key)]
    order.sort(key=sums.__getitem__, reverse=True)
    smallest = set(order[MOST_KEYS:])
    if deleted := smallest & there.keys():
        connection.execute(delete(hourly).where(*_AT, hourly.c.key.in_(deleted)), at)
    added: Counter[str] = Counter()
    for key in new.keys() | deleted:
        # of one that is deleted, all that was counted
        added[others(kind, key) if key in smallest else key] += sums[key] if key in smallest else new[key]
    return added


def _is_of_others(kind: str, key: str) -> bool:
    # at one end of it there is an empty part, which is soon seen
    return (key[:1] == SEPARATOR or key[-1:] == SEPARATOR) and key == others(kind, key)


def read_up_to(connection: Connection, name: str, octets: int, lines: int) -> None:
    """Remember how far a segment has been read. In the same transaction as its records."""
    new = insert(connection)(segment)
    place = {"octets": octets, "lines": lines}
    statement = new.values(name=name, **place).on_conflict_do_update(index_elements=["name"], set_=place)
    connection.execute(statement)


def forget(connection: Connection, name: str) -> None:
    """Forget a segment that has been deleted."""
    connection.execute(delete(segment).where(segment.c.name == name))


def horizon(connection: Connection, before: float) -> float:
    """The time before which messages are deleted now: ``before``, but at most an hour after the oldest message.

    Called once a minute, it deletes no more than an hour of the history in a minute. So a clock that is wrong
    for a while costs some hours, and not the whole history.
    """
    oldest = connection.execute(select(func.min(message.c.time))).scalar()
    return 0.0 if oldest is None else min(before, oldest + HOUR)


def expire(connection: Connection, before: float, most: int, batch: int) -> int:
    """Delete up to ``batch`` of the messages from before that time, or of those beyond the ``most`` latest.

    Returns how many. Of several hosts that share a database, one does so at a time.
    """
    if not is_alone(connection):
        return 0
    newest = connection.execute(select(func.max(message.c.id))).scalar() or 0
    # each by an index
    old = select(message.c.id).where(message.c.time < before).order_by(message.c.time).limit(batch)
    ids = connection.execute(old).scalars().all()
    if not ids:
        beyond = select(message.c.id).where(message.c.id <= newest - most).order_by(message.c.id).limit(batch)
        ids = connection.execute(beyond).scalars().all()
    if ids:
        connection.execute(delete(recipient).where(recipient.c.message.in_(ids)))
        connection.execute(delete(message).where(message.c.id.in_(ids)))
    return len(ids)


def expire_counts(connection: Connection, before: float) -> None:
    """Delete the counts of the oldest hour of each kind, if it is before that time."""
    if not is_alone(connection):
        return
    kind, hour = hourly.c.kind, hourly.c.hour
    found = connection.execute(select(func.min(kind))).scalar()
    while found is not None:
        oldest = connection.execute(select(func.min(hour)).where(kind == found)).scalar_one()
        if oldest < int(before) // HOUR:
            connection.execute(delete(hourly).where(kind == found, hour == oldest))
        found = connection.execute(select(func.min(kind)).where(kind > found)).scalar()


def is_alone(connection: Connection) -> bool:
    """Does no other host delete old rows? True until the end of the transaction."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar())


def _numbers(connection: Connection, many: int) -> list[int]:
    """So many numbers that no message has had, in ascending order."""
    if connection.dialect.name == "sqlite":
        first = 1 + (connection.execute(select(func.max(message.c.id))).scalar() or 0)
        return [*range(first, first + many)]
    # several hosts write at the same time
    next_one = func.nextval(func.pg_get_serial_sequence("message", "id"))
    return sorted(connection.execute(select(next_one).select_from(func.generate_series(1, many))).scalars())


def insert(connection: Connection) -> Any:
    """INSERT with ON CONFLICT, which both have."""
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
