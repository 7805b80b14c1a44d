"""What comes out of the database: messages by what they are searched for, the latest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, and_, exists, func, or_, select

from . import keys
from .filter import Filter
from .keys import Keys
from .packed import unpack
from .tables import message, recipient

_CHUNK = 500  # rows that are fetched at a time
_FEW = 20_000  # messages that are looked at because an index has them; if there are more, the latest are looked through
_MOST_SORTED = 200_000  # messages that are sorted by time if nothing but the index has to be read for that


class Found(NamedTuple):
    """A message of the history: its number, its time in seconds since 1970, and the whole record."""

    number: int
    time: float
    record: dict[str, Any]


def search(
    connection: Connection, wanted: Filter, most: int | None = None, before: tuple[float, int] | None = None
) -> Iterator[Found]:
    """The latest ``most`` messages that fit, the latest first. A record that cannot be read is left out.

    ``before`` is the time and the number of a message: only those that come after it in the list.

    What is searched for is found by an index, in the order of time or with few messages to sort. Only verdicts, rules
    and results, and what most messages have, are looked for from the latest message back.
    """
    ways = _ways(connection, wanted)
    while True:
        streams = (_places(connection, wanted, before, each, most) for each in ways)
        places = islice(_once(heapq.merge(*streams, reverse=True)), most)
        looked_at = given = 0
        while chunk := list(islice(places, _CHUNK)):
            looked_at, before = looked_at + len(chunk), chunk[-1]
            for each in _records(connection, chunk):
                given += 1
                yield each
        if most is None or looked_at < most or given == most:
            return
        # others take the place of those that cannot be read, or the list would seem to end there
        most -= given


def oldest(connection: Connection) -> float | None:
    """The time of the first message; None if there is none."""
    found: float | None = connection.execute(select(func.min(message.c.time))).scalar()
    return found


def after(connection: Connection, number: int, wanted: Filter) -> Iterator[int]:
    """The numbers of the messages that fit and have a higher number than that, in order."""
    columns = message.c
    conditions = *_conditions(wanted), *_bounds(columns.time, wanted)
    statement = select(columns.id).where(columns.id > number, *conditions).order_by(columns.id)
    yield from connection.execute(statement).scalars()


def one(connection: Connection, number: int) -> Found | None:
    """The message with that number; None if it is not there or cannot be read."""
    return next(records(connection, [number]), None)


def records(connection: Connection, numbers: Iterable[int]) -> Iterator[Found]:
    """The messages with these numbers, in that order. A record that cannot be read is left out."""
    places = iter([(0.0, number) for number in numbers])
    while chunk := list(islice(places, _CHUNK)):
        yield from _records(connection, chunk)


def _records(connection: Connection, places: list[tuple[float, int]]) -> Iterator[Found]:
    columns = message.c
    numbers = [number for _, number in places]
    statement = select(columns.id, columns.time, columns.record).where(columns.id.in_(numbers))
    found = {number: (time, packed) for number, time, packed in connection.execute(statement)}
    for number in numbers:
        # it may have been deleted meanwhile
        if number in found:
            time, packed = found[number]
            try:
                yield Found(number, time, unpack(packed))
            except ValueError:
                continue


def _once(places: Iterable[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """Without repetitions, which are next to each other."""
    last = None
    for each in places:
        if each != last:
            yield each
        last = each


class _Way(NamedTuple):
    """How messages are found: by an index, and what is looked for in it.

    ``covers`` is the condition that this is. ``beside_low``: another way looks for the first of the keys.
    """

    covers: str
    column: Column[str]
    keys: Keys
    beside_low: bool = False

    @property
    def holds(self) -> ColumnElement[bool]:
        """Is a message found in this way?"""
        if self.beside_low:
            # one bound, from which the index is read
            return and_(self.column > self.keys.low, self.column <= self.keys.high)
        return _has(self.column, self.keys)


def _ways(connection: Connection, wanted: Filter) -> list[_Way | None]:
    """The ways that together find all messages. None: from the latest back, or by the index of an exact condition."""
    choices = [] if wanted.is_exact else list(_choices(wanted))
    if not choices:
        return [None]
    if len(choices) == 1 and not list(_conditions(wanted, choices[0][0].covers)):
        # nothing but the index has to be read
        return [way for each in choices[0] for way in _in_order(connection, each)]
    counted = [(sum(_count(connection, each, _FEW) for each in ways), ways) for ways in choices]
    many, fewest = min(counted, key=lambda each: each[0])
    return [*fewest] if many <= _FEW else [None]


def _choices(wanted: Filter) -> Iterator[list[_Way]]:
    """The conditions that have an index, each as the ways that together find all that it holds for."""
    if wanted.address:
        columns = recipient.c.key, message.c.mail_from_key
        yield [_Way("address", each, keys.address_or_domain(wanted.address)) for each in columns]
    if wanted.recipient:
        yield [_Way("recipient", recipient.c.key, keys.address_or_domain(wanted.recipient))]
    if wanted.client:
        yield [_Way("client", message.c.client_key, keys.in_network(wanted.client))]
    if wanted.author:
        yield [_Way("author", message.c.author_key, keys.within(wanted.author))]


def _in_order(connection: Connection, way: _Way) -> Iterator[_Way | None]:
    """The same in ways that give the latest messages soon.

    The index has the messages with one key in the order of time. Those with other keys are sorted if they are not too
    many; if they are, there are some among the latest messages.
    """
    if way.keys.high is None:
        yield way
        return
    yield way._replace(keys=Keys(way.keys.low))
    others = way._replace(beside_low=True)
    yield others if _count(connection, others, _MOST_SORTED) <= _MOST_SORTED else None


def _count(connection: Connection, way: _Way, most: int) -> int:
    """How many messages are found in a way; no more than ``most`` and one are counted."""
    found = select(way.column).where(way.holds).limit(most + 1)
    return connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()


def _places(
    connection: Connection, wanted: Filter, before: tuple[float, int] | None, way: _Way | None, most: int | None
) -> Iterator[tuple[float, int]]:
    """Time and number of the messages that are found in one way, the latest first."""
    time: ColumnElement[float]
    if way is None:
        time, number = message.c.time, message.c.id
        statement = select(time, number).where(*_conditions(wanted), *_bounds(time, wanted))
    elif way.column.table is recipient:
        time, number = recipient.c.time, recipient.c.message
        statement = select(time, number).where(way.holds, *_bounds(time, wanted))
        if way.keys.high is not None:
            statement = statement.distinct()
        if others := list(_conditions(wanted, way.covers)):
            statement = statement.join(message, message.c.id == number).where(*others)
    else:
        # an expression, so that the index of times is not used instead
        time = message.c.time if way.keys.high is None else message.c.time + 0.0
        number = message.c.id
        others = [*_conditions(wanted, way.covers), *_bounds(time, wanted)]
        statement = select(time, number).where(way.holds, *others)
    if before:
        statement = statement.where(time <= before[0], or_(time < before[0], number < before[1]))
    latest = statement.order_by(time.desc(), number.desc()).limit(most)
    with connection.execution_options(yield_per=_CHUNK).execute(latest) as rows:
        yield from ((row[0], row[1]) for row in rows)


def _bounds(time: ColumnElement[float], wanted: Filter) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield time >= wanted.since
    if wanted.until is not None:
        yield time < wanted.until


def _conditions(wanted: Filter, covered: str = "") -> Iterator[ColumnElement[bool]]:
    """The conditions except those on time, and the one that a way covers."""
    columns = message.c
    for name in ("queue_id", "verdict", "would"):
        if value := getattr(wanted, name):
            yield columns[name] == value
    if wanted.message_id:
        yield columns.message_id.in_(wanted.message_ids)
    if wanted.rule:
        yield columns.rule.in_(wanted.rules)
    for method, result in wanted.results:
        yield columns[method] == result
    if wanted.signing:
        yield _has(columns.dkim, wanted.signings)
    # expressions, so that no index is used instead of the one that is best
    if wanted.author and covered != "author":
        yield _has(columns.author_key + "", keys.within(wanted.author))
    if wanted.client and covered != "client":
        yield _has(columns.client_key + "", keys.in_network(wanted.client))
    if wanted.recipient and covered != "recipient":
        yield _is_recipient(keys.address_or_domain(wanted.recipient))
    if wanted.address and covered != "address":
        looked_for = keys.address_or_domain(wanted.address)
        yield or_(_has(columns.mail_from_key + "", looked_for), _is_recipient(looked_for))


def _is_recipient(looked_for: Keys) -> ColumnElement[bool]:
    # the statement may find messages by recipients of its own
    other = recipient.alias()
    return exists().where(other.c.message == message.c.id, _has(other.c.key + "", looked_for))


def _has(key: ColumnElement[str], looked_for: Keys) -> ColumnElement[bool]:
    if looked_for.high is None:
        return key == looked_for.low
    return and_(key >= looked_for.low, key <= looked_for.high)
