"""Messages that failed, until a failure report about them is made (RFC 9991): few rows, however many messages fail.

Messages of an hour that failed alike are one row, which counts them. They are redacted before they come here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, select

from ..failure import incident as incidents
from ..failure.incident import Incident
from .tables import incident, report
from .writing import insert

KIND = "failure"
HOUR = 3600  # seconds
OLDEST = 24  # hours after which nobody is told any more
_AHEAD = 300.0  # seconds that a clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Most:
    """How many different incidents of an hour are reported: of a policy domain, and in all."""

    of_domain: int
    in_all: int


class Kept(NamedTuple):
    """A row: the hour since 1970, the policy domain, the key, and the first message, with how many there were."""

    hour: int
    domain: str
    key: str
    first: Incident


def add(
    connection: Connection,
    found: Iterable[Incident],
    redact: Callable[[Incident], Incident],
    most: Most,
    now: float,
) -> int:
    """Add incidents. Returns how many messages are left out: there are too many, or it is too late.

    ``redact`` is called for those that are kept: it may cost much, and few are. The limits hold for each host that adds
    to the database; :func:`room` holds for all.
    """
    left_out = 0
    rows: dict[tuple[int, str, str], Incident] = {}
    counts: dict[tuple[int, str, str], int] = {}
    for each in found:
        # a clock that is ahead must not keep a row for ever
        hour = int(each.time if each.time < now + _AHEAD else now) // HOUR
        if hour < int(now) // HOUR - OLDEST:
            left_out += each.count
            continue
        place = (hour, each.domain, each.key)
        rows.setdefault(place, each)
        counts[place] = counts.get(place, 0) + each.count
    # in one order, so that two that write at the same time cannot wait for each other
    for place in sorted(rows):
        if not _add(connection, place, rows[place], redact, counts[place], most):
            left_out += counts[place]
    return left_out


def _add(
    connection: Connection,
    place: tuple[int, str, str],
    first: Incident,
    redact: Callable[[Incident], Incident],
    count: int,
    most: Most,
) -> bool:
    hour, domain, key = place
    is_one = (incident.c.hour == hour, incident.c.domain == domain, incident.c.key == key)
    more = incident.update().where(*is_one).values(count=incident.c["count"] + count)
    if connection.execute(more).rowcount:
        return True
    of_hour = select(func.count()).select_from(incident).where(incident.c.hour == hour)
    if connection.execute(of_hour).scalar_one() >= most.in_all:
        return False
    if connection.execute(of_hour.where(incident.c.domain == domain)).scalar_one() >= most.of_domain:
        return False
    new = insert(connection)(incident)
    new = new.values(hour=hour, domain=domain, key=key, count=count, first=incidents.line(redact(first)))
    keys = ["hour", "domain", "key"]
    add_to = {"count": incident.c["count"] + new.excluded["count"]}
    connection.execute(new.on_conflict_do_update(index_elements=keys, set_=add_to))
    return True


def over(connection: Connection, before: int) -> list[Kept]:
    """The rows of hours before that one: the newest hour first, and in it what occurred most often.

    A row that this version cannot read, because a later one wrote it, is passed over until it is too old.
    """
    found = (
        select(incident)
        .where(incident.c.hour < before)
        .order_by(incident.c.hour.desc(), incident.c.domain, incident.c["count"].desc(), incident.c.key)
    )
    return [each for row in connection.execute(found) if (each := _kept(row))]


def _kept(row: Any) -> Kept | None:
    try:
        first = incidents.read({**json.loads(row.first), "count": row._mapping["count"]})
    except ValueError:
        return None
    return Kept(row.hour, row.domain, row.key, first)


def room(connection: Connection, domain: str, since: float, most: Most) -> bool:
    """Is there room for one more report about a policy domain, by those that were made since then?"""
    made = (
        select(func.count())
        .select_from(report)
        .where(
            report.c.kind == KIND,
            report.c.report_id != "",
            report.c.day >= int(since) // 86_400 - 2,
            report.c.changed >= since,
        )
    )
    if connection.execute(made).scalar_one() >= most.in_all:
        return False
    found: int = connection.execute(made.where(report.c.domain == domain)).scalar_one()
    return found < most.of_domain


def remove(connection: Connection, found: Kept) -> None:
    """Forget a row, which is reported, or is not to be."""
    is_one = (incident.c.hour == found.hour, incident.c.domain == found.domain, incident.c.key == found.key)
    connection.execute(delete(incident).where(*is_one))


def expire(connection: Connection, now: float) -> int:
    """Forget what is too old to be reported. Returns how many messages that were."""
    old = incident.c.hour < int(now) // HOUR - OLDEST
    count: int | None = connection.execute(select(func.sum(incident.c["count"])).where(old)).scalar()
    if count:
        connection.execute(delete(incident).where(old))
    return int(count or 0)
