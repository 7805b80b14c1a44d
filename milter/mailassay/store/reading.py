"""What comes out of the database: messages by what they are searched for, the latest first.

The statements are SQL that both databases understand, so that SQLite's can be searched without SQLAlchemy. The names
in them are those of ``tables``; all that is looked for is given beside them (:class:`_Values`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from ..result import METHODS
from . import keys
from .ask import Ask
from .filter import Filter
from .keys import Keys
from .packed import unpack

_CHUNK = 500  # messages that are read at a time
_FEW = 20_000  # messages that are looked at because an index has them; if there are more, the latest are looked through
_MOST_SORTED = 200_000  # messages that are sorted by time if nothing but the index has to be read for that


class Found(NamedTuple):
    """A message of the history: its number, its time in seconds since 1970, and the whole record."""

    number: int
    time: float
    record: dict[str, Any]


def search(
    ask: Ask, wanted: Filter, most: int | None = None, before: tuple[float, int] | None = None
) -> Iterator[Found]:
    """The latest ``most`` messages that fit, the latest first. A record that cannot be read is left out.

    ``before`` is the time and the number of a message: only those that come after it in the list.

    What is searched for is found by an index, in the order of time or with few messages to sort. Only verdicts, rules
    and results, and what most messages have, are looked for from the latest message back.
    """
    ways = _ways(ask, wanted)
    while True:
        streams = (_places(ask, wanted, before, each, most) for each in ways)
        places = islice(_once(heapq.merge(*streams, reverse=True)), most)
        looked_at = given = 0
        while chunk := list(islice(places, _CHUNK)):
            looked_at, before = looked_at + len(chunk), chunk[-1]
            for each in _records(ask, chunk):
                given += 1
                yield each
        if most is None or looked_at < most or given == most:
            return
        # others take the place of those that cannot be read, or the list would seem to end there
        most -= given


def oldest(ask: Ask) -> float | None:
    """The time of the first message; None if there is none."""
    [(found,)] = ask("SELECT min(time) FROM message", {})
    return None if found is None else float(found)


def newest(ask: Ask) -> int:
    """The highest number of a message; 0 if there is none."""
    [(found,)] = ask("SELECT max(id) FROM message", {})
    return int(found or 0)


def positions(ask: Ask) -> dict[str, int]:
    """How many octets of each segment of the spool are in the database."""
    return {name: int(octets) for name, octets in ask("SELECT name, octets FROM segment", {})}


def after(ask: Ask, number: int, wanted: Filter) -> Iterator[int]:
    """The numbers of the messages that fit and have a higher number than that, in order."""
    values = _Values()
    holds = [f"message.id > {values(number)}", *_conditions(wanted, values), *_bounds("message.time", wanted, values)]
    for (found,) in ask(f"SELECT id FROM message WHERE {_all(holds)} ORDER BY id", values):
        yield int(found)


def one(ask: Ask, number: int) -> Found | None:
    """The message with that number; None if it is not there or cannot be read."""
    return next(records(ask, [number]), None)


def records(ask: Ask, numbers: Iterable[int]) -> Iterator[Found]:
    """The messages with these numbers, in that order. A record that cannot be read is left out."""
    places = iter([(0.0, number) for number in numbers])
    while chunk := list(islice(places, _CHUNK)):
        yield from _records(ask, chunk)


def _records(ask: Ask, places: list[tuple[float, int]]) -> Iterator[Found]:
    numbers, values = [number for _, number in places], _Values()
    statement = f"SELECT id, time, record FROM message WHERE id IN ({', '.join(map(values, numbers))})"
    found = {number: (time, packed) for number, time, packed in ask(statement, values)}
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


class _Values(dict[str, Any]):
    """The values of a statement, by the names that they have in it."""

    def __call__(self, value: object) -> str:
        """Add a value. Returns what stands for it."""
        name = f"v{len(self)}"
        self[name] = value
        return f":{name}"


class _Way(NamedTuple):
    """How messages are found: by an index, and what is looked for in it.

    ``covers`` is the condition that this is. ``beside_low``: another way looks for the first of the keys.
    """

    covers: str
    table: str
    column: str
    keys: Keys
    beside_low: bool = False

    def holds(self, values: _Values) -> str:
        """Is a message found in this way?"""
        column = f"{self.table}.{self.column}"
        if self.beside_low:
            # one bound, from which the index is read
            return f"{column} > {values(self.keys.low)} AND {column} <= {values(self.keys.high)}"
        return _has(column, self.keys, values)


def _ways(ask: Ask, wanted: Filter) -> list[_Way | None]:
    """The ways that together find all messages. None: from the latest back, or by the index of an exact condition."""
    choices = [] if wanted.is_exact else list(_choices(wanted))
    if not choices:
        return [None]
    if len(choices) == 1 and not list(_conditions(wanted, _Values(), choices[0][0].covers)):
        # nothing but the index has to be read
        return [way for each in choices[0] for way in _in_order(ask, each)]
    counted = [(sum(_count(ask, each, _FEW) for each in ways), ways) for ways in choices]
    many, fewest = min(counted, key=lambda each: each[0])
    return [*fewest] if many <= _FEW else [None]


def _choices(wanted: Filter) -> Iterator[list[_Way]]:
    """The conditions that have an index, each as the ways that together find all that it holds for."""
    if wanted.address:
        looked_for = keys.address_or_domain(wanted.address)
        yield [
            _Way("address", "recipient", "key", looked_for),
            _Way("address", "message", "mail_from_key", looked_for),
        ]
    if wanted.recipient:
        yield [_Way("recipient", "recipient", "key", keys.address_or_domain(wanted.recipient))]
    if wanted.client:
        yield [_Way("client", "message", "client_key", keys.in_network(wanted.client))]
    if wanted.author:
        yield [_Way("author", "message", "author_key", keys.within(wanted.author))]


def _in_order(ask: Ask, way: _Way) -> Iterator[_Way | None]:
    """The same in ways that give the latest messages soon.

    The index has the messages with one key in the order of time. Those with other keys are sorted if they are not too
    many; if they are, there are some among the latest messages.
    """
    if way.keys.high is None:
        yield way
        return
    yield way._replace(keys=Keys(way.keys.low))
    others = way._replace(beside_low=True)
    yield others if _count(ask, others, _MOST_SORTED) <= _MOST_SORTED else None


def _count(ask: Ask, way: _Way, most: int) -> int:
    """How many messages are found in a way; no more than ``most`` and one are counted."""
    values = _Values()
    found = f"SELECT {way.column} FROM {way.table} WHERE {way.holds(values)} LIMIT {values(most + 1)}"
    [(count,)] = ask(f"SELECT count(*) FROM ({found}) AS found", values)
    return int(count)


def _places(
    ask: Ask, wanted: Filter, before: tuple[float, int] | None, way: _Way | None, most: int | None
) -> Iterator[tuple[float, int]]:
    """Time and number of the messages that are found in one way, the latest first."""
    values = _Values()
    time, number, source, distinct, holds = "message.time", "message.id", "message", "", list[str]()
    if way is not None:
        holds.append(way.holds(values))
    others = list(_conditions(wanted, values, way.covers if way else ""))
    if way and way.table == "recipient":
        time, number, source = "recipient.time", "recipient.message", "recipient"
        if way.keys.high is not None:
            distinct = "DISTINCT "
        if others:
            source = "recipient JOIN message ON message.id = recipient.message"
    elif way and way.keys.high is not None:
        # an expression, so that the index of times is not used instead
        time = "message.time + 0.0"
    holds += [*others, *_bounds(time, wanted, values)]
    if before:
        latest, last = values(before[0]), values(before[1])
        holds.append(f"{time} <= {latest} AND ({time} < {latest} OR {number} < {last})")
    where = f" WHERE {_all(holds)}" if holds else ""
    statement = f"SELECT {distinct}{time}, {number} FROM {source}{where} ORDER BY {time} DESC, {number} DESC"
    if most is not None:
        statement += f" LIMIT {values(most)}"
    yield from ((row[0], row[1]) for row in ask(statement, values))


def _all(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions)


def _bounds(time: str, wanted: Filter, values: _Values) -> Iterator[str]:
    if wanted.since is not None:
        yield f"{time} >= {values(wanted.since)}"
    if wanted.until is not None:
        yield f"{time} < {values(wanted.until)}"


def _conditions(wanted: Filter, values: _Values, covered: str = "") -> Iterator[str]:
    """The conditions except those on time, and the one that a way covers."""
    for name in ("queue_id", "verdict", "would"):
        if value := getattr(wanted, name):
            yield f"message.{name} = {values(value)}"
    if wanted.message_id:
        yield f"message.message_id IN ({', '.join(map(values, wanted.message_ids))})"
    if wanted.rule:
        yield f"message.rule IN ({', '.join(map(values, wanted.rules))})"
    for method, result in wanted.results:
        if method not in METHODS:
            # a column has no name beside the statement
            raise ValueError(f"{method!r} is no method")
        yield f"message.{method} = {values(result)}"
    if wanted.signing:
        yield _has("message.dkim", wanted.signings, values)
    # expressions, so that no index is used instead of the one that is best
    if wanted.author and covered != "author":
        yield _has("message.author_key || ''", keys.within(wanted.author), values)
    if wanted.client and covered != "client":
        yield _has("message.client_key || ''", keys.in_network(wanted.client), values)
    if wanted.recipient and covered != "recipient":
        yield _is_recipient(keys.address_or_domain(wanted.recipient), values)
    if wanted.address and covered != "address":
        looked_for = keys.address_or_domain(wanted.address)
        of_sender = _has("message.mail_from_key || ''", looked_for, values)
        yield f"({of_sender} OR {_is_recipient(looked_for, values)})"


def _is_recipient(looked_for: Keys, values: _Values) -> str:
    # the statement may find messages by recipients of its own
    is_it = _has("other.key || ''", looked_for, values)
    return f"EXISTS (SELECT 1 FROM recipient AS other WHERE other.message = message.id AND {is_it})"


def _has(key: str, looked_for: Keys, values: _Values) -> str:
    if looked_for.high is None:
        return f"{key} = {values(looked_for.low)}"
    return f"({key} >= {values(looked_for.low)} AND {key} <= {values(looked_for.high)})"
