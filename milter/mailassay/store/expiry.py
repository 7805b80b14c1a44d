"""What leaves of reports: rows that nobody reported, old reports, domains from which nothing comes any more."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, delete, func, select, update

from ..aggregate.report import DAY
from . import incidents, observed, outbox
from .outbox import State
from .tables import collected, correspondent, report
from .tables import observed as rows
from .writing import count, is_alone

_ROWS = 7  # days that rows are kept for somebody to report them
_BODIES = 7  # days that the mail of a report is kept, to show it
_REPORTS = 30  # days that reports and their deliveries are kept
_AT_ONCE = 1_000  # rows of each table that leave in one transaction


def expire(connection: Connection, now: float, host: str) -> int:
    """Let some of what is old leave. Returns how many rows have left.

    Called once a minute, it lets little leave while a clock is wrong. Of several hosts that share a database, one does
    so at a time. ``host`` is the name of this one, for the count of messages about which there was no failure report.
    """
    if not is_alone(connection):
        return 0
    # before any row is locked, so that no host that adds waits for us while we wait for it
    observed.exclude(connection)
    today = int(now) // DAY
    gone = _rows(connection, today - _ROWS, now) + _correspondents(connection, today - observed.KNOWN)
    gone += connection.execute(delete(collected).where(collected.c.until < now - _ROWS * DAY)).rowcount
    if left_out := incidents.expire(connection, now):
        place = int(now) // incidents.HOUR, host, incidents.KIND, "left_out"
        count(connection, Counter({place: left_out}))
    return gone + outbox.expire(connection, today - _BODIES, today - _REPORTS, now)


def _rows(connection: Connection, before: int, now: float) -> int:
    unmade = report.c.state.in_([State.OPEN, State.PENDING])
    why = {"state": State.DROPPED, "why": observed.Why.EXPIRED, "changed": now}
    connection.execute(update(report).where(unmade, report.c.day < before).values(**why))
    gone = 0
    oldest = select(rows.c.day, rows.c.domain).where(rows.c.day < before).order_by(rows.c.day, rows.c.domain).limit(1)
    while gone < _AT_ONCE and (found := connection.execute(oldest).first()):
        gone += observed.remove(connection, found.day, found.domain)
    return gone


def _correspondents(connection: Connection, before: int) -> int:
    greatest = func.max if connection.dialect.name == "sqlite" else func.greatest
    old = select(correspondent.c.domain).where(greatest(correspondent.c.passed, correspondent.c.written) < before)
    found = connection.execute(old.limit(_AT_ONCE)).scalars().all()
    if found:
        connection.execute(delete(correspondent).where(correspondent.c.domain.in_(found)))
    return len(found)
