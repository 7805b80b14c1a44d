"""DMARC reports on their way: each report, its deliveries, and the addresses that get none.

Whatever a sender or a server wrote is cut and made fit here. Times are in seconds since 1970.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, or_, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from .tables import delivery, report, suppressed
from .tables import secret as secrets_table
from .writing import insert

DAY = 86_400
PERIODS = (7, 30, 90, 365)  # days for which an address gets none: the first time, the second, and so on
KINDS = ("aggregate", "failure")
_LOCK = 0x6D61796E  # of PostgreSQL, for the one sender
_FILE = "reports.lock"  # in the directory of the history, for the same
_MOST_TEXT = 500  # octets of a reply, or of a reason
_BATCH = 500


class State(StrEnum):
    """Where a report stands.

    ``open``: its day is not over, and ``observed`` has its rows. ``pending``: the day is closed. ``composed``: the mail
    is there, and not every address has its last state yet. ``done``: each has. ``dropped``: none is sent, see ``why``.
    """

    OPEN = "open"
    PENDING = "pending"
    COMPOSED = "composed"
    DONE = "done"
    DROPPED = "dropped"


class Stage(StrEnum):
    """Where a delivery stands.

    ``waiting``: Postfix has not taken it yet. ``sent``: Postfix has taken it. ``returned``: it bounced. ``failed``:
    Postfix refused it, or it waited too long. ``suppressed``: the address was suppressed before it was sent.
    """

    WAITING = "waiting"
    SENT = "sent"
    RETURNED = "returned"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


class Due(NamedTuple):
    """A delivery that is due."""

    id: int
    report: int
    report_id: str
    kind: str
    day: int
    domain: str
    address: str
    token: str
    attempts: int


class Delivered(NamedTuple):
    """A delivery, as it is shown. ``changed`` is when it came to its stage."""

    address: str
    stage: Stage
    attempts: int
    due: float
    reply: str
    changed: float


class Listed(NamedTuple):
    """A report, as it is shown."""

    id: int
    kind: str
    day: int
    domain: str
    state: State
    why: str
    rows: int
    messages: int
    wanted: int
    report_id: str
    changed: float


class Suppressed(NamedTuple):
    """An address that gets no reports until that time; None is always. ``times`` is how often it was suppressed."""

    address: str
    until: float | None
    times: int
    why: str


class Mails(NamedTuple):
    """How many mails there are, with how many reports, and to how many addresses."""

    mails: int
    reports: int
    addresses: int


class Busy(Exception):
    """Another process sends reports of this history."""


class Sole:
    """The right to send: no other process has it."""

    def __init__(self, connection: Connection | None = None) -> None:
        self._connection = connection

    def check(self) -> None:
        """Is it still ours? PostgreSQL takes it back if the connection breaks. Raises DBAPIError then."""
        if self._connection is not None:
            self._connection.execute(text("SELECT 1")).scalar()


@contextmanager
def alone(engine: Engine, directory: Path) -> Iterator[Sole]:
    """Be the only one that sends reports of this history, as long as the context lasts. Raises Busy and OSError.

    A process that ends, however it does, has it no longer.
    """
    if engine.dialect.name == "sqlite":
        descriptor = os.open(directory / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not os.geteuid():
                # the service has to open what root has made
                owner = directory.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Sole()
        except BlockingIOError:
            raise Busy(f"another process sends the reports: it has {directory / _FILE}") from None
        finally:
            os.close(descriptor)
        return
    # a connection of its own, without a transaction that would keep old rows alive
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.execute(select(func.pg_try_advisory_lock(_LOCK))).scalar():
            raise Busy("another process or another host sends the reports of this database")
        try:
            yield Sole(connection)
        finally:
            # the server would notice in its own time that the connection is closed
            with contextlib.suppress(SQLAlchemyError):
                connection.execute(select(func.pg_advisory_unlock(_LOCK)))
            # the pool would keep the connection, and the lock with it if that failed
            connection.invalidate()


def secret(connection: Connection, name: str) -> bytes:
    """A key of this history, which is made when it is first asked for."""
    new = insert(connection)(secrets_table).values(name=name, value=secrets.token_hex(32))
    connection.execute(new.on_conflict_do_nothing(index_elements=["name"]))
    found = connection.execute(select(secrets_table.c.value).where(secrets_table.c.name == name)).scalar_one()
    return bytes.fromhex(found)


def compose(
    connection: Connection,
    number: int,
    report_id: str,
    body: bytes,
    deliveries: Iterable[tuple[str, str, float]],
    now: float,
) -> None:
    """A report has its mail. ``deliveries`` are address, token and when it is due.

    The row of the report exists. An address that has its delivery already keeps it.
    """
    found = {
        "state": State.COMPOSED,
        "report_id": report_id,
        "body": body,
        "why": "",
        "changed": now,
    }
    connection.execute(update(report).where(report.c.id == number).values(found))
    rows = [
        {
            "report": number,
            "address": address,
            "token": token,
            "state": Stage.WAITING,
            "attempts": 0,
            "due": due,
            "reply": "",
            "changed": now,
        }
        for address, token, due in deliveries
    ]
    if rows:
        connection.execute(insert(connection)(delivery).on_conflict_do_nothing(), rows)
    _finish(connection, {number}, now)


def add(
    connection: Connection, kind: str, day: int, domain: str, key: str, now: float, messages: int = 0
) -> int | None:
    """A new report that is to be composed; None if there is one already. Returns its number."""
    found = {
        "kind": kind,
        "day": day,
        "domain": domain,
        "key": key,
        "state": State.PENDING,
        "why": "",
        "rows": 0,
        "messages": messages,
        "wanted": messages,
        "report_id": "",
        "changed": now,
    }
    new = insert(connection)(report).values(found).on_conflict_do_nothing().returning(report.c.id)
    number: int | None = connection.execute(new).scalar()
    return number


def drop(connection: Connection, number: int, why: str, now: float) -> None:
    """No report is sent, and ``why``."""
    found = {"state": State.DROPPED, "why": fit(why), "changed": now}
    connection.execute(update(report).where(report.c.id == number).values(found))


def expired(connection: Connection, number: int, now: float) -> None:
    """A pending report is too old to be sent. What kept it stays in its ``why``."""
    kept = connection.execute(select(report.c.why).where(report.c.id == number)).scalar()
    drop(connection, number, f"expired: {kept}" if kept else "expired", now)


def late(connection: Connection, number: int, why: str, now: float) -> None:
    """A report cannot be composed now, and ``why``. It stays pending."""
    connection.execute(
        update(report).where(report.c.id == number, report.c.state == State.PENDING).values(why=fit(why), changed=now)
    )


def due(connection: Connection, now: float, most: int) -> list[Due]:
    """The deliveries that are due, those that have waited longest first."""
    columns = (
        delivery.c.id, delivery.c.report, report.c.report_id, report.c.kind, report.c.day, report.c.domain,
        delivery.c.address, delivery.c.token, delivery.c.attempts,
    )  # fmt: skip
    found = (
        select(*columns)
        .join(report, report.c.id == delivery.c.report)
        .where(delivery.c.state == Stage.WAITING, delivery.c.due <= now)
        .order_by(delivery.c.due, delivery.c.id)
        .limit(most)
    )
    return [Due(*row) for row in connection.execute(found)]


def waiting(connection: Connection) -> int:
    """How many deliveries wait, due or not."""
    found: int = connection.execute(
        select(func.count()).select_from(delivery).where(delivery.c.state == Stage.WAITING)
    ).scalar_one()
    return found


def body(connection: Connection, number: int) -> bytes | None:
    """The mail of a report; None if there is none, or none any more."""
    found: bytes | None = connection.execute(select(report.c.body).where(report.c.id == number)).scalar()
    return found


def settle(connection: Connection, found: Due, stage: Stage, reply: str, now: float) -> None:
    """A delivery has come to its last stage, or to ``sent``. A bounce that came before the news of the 250 stays."""
    is_there = update(delivery).where(delivery.c.id == found.id, delivery.c.state == Stage.WAITING)
    attempts = found.attempts + (stage is not Stage.SUPPRESSED)
    connection.execute(is_there.values(state=stage, attempts=attempts, reply=fit(reply), changed=now))
    _finish(connection, {found.report}, now)


def later(connection: Connection, found: Due, reply: str, again: float, now: float) -> None:
    """A delivery was tried, and is tried again at that time."""
    is_there = update(delivery).where(delivery.c.id == found.id, delivery.c.state == Stage.WAITING)
    connection.execute(is_there.values(attempts=found.attempts + 1, reply=fit(reply), due=again, changed=now))


def give_up(connection: Connection, before: int, now: float) -> int:
    """Deliveries of days before that one have waited too long: they have failed. Returns how many of them there are.

    One batch; the reply that they got last stays.
    """
    old = (
        select(delivery.c.id, delivery.c.report, delivery.c.reply)
        .join(report, report.c.id == delivery.c.report)
        .where(delivery.c.state == Stage.WAITING, report.c.day < before)
        .limit(_BATCH)
    )
    found = connection.execute(old).all()
    for number, _, reply in found:
        why = f"given up: {reply}" if reply else "given up: not handed over in time"
        connection.execute(
            update(delivery).where(delivery.c.id == number).values(state=Stage.FAILED, reply=fit(why), changed=now)
        )
    _finish(connection, {row[1] for row in found}, now)
    return len(found)


def returned(connection: Connection, tokens: Iterable[str], now: float) -> int:
    """Bounces came to the return paths with these tokens: their addresses get no reports for a while.

    A token that nobody gave out, or that has come back already, changes nothing. Returns how many were new.
    """
    count = 0
    # in one order, so that two that write at the same time cannot wait for each other
    for token in sorted(set(tokens)):
        stages = (Stage.WAITING, Stage.SENT)
        is_there = update(delivery).where(delivery.c.token == token, delivery.c.state.in_(stages))
        new = {"state": Stage.RETURNED, "reply": "a bounce came back", "changed": now}
        found = connection.execute(is_there.values(new).returning(delivery.c.address, delivery.c.report)).first()
        if found:
            count += 1
            bounced(connection, found.address, "a report bounced", now)
            _finish(connection, {found.report}, now)
    return count


def bounced(connection: Connection, address: str, why: str, now: float) -> None:
    """An address cannot be reached: it gets no reports for 7, 30, 90 or 365 days.

    If it is suppressed already, nothing changes: many reports may have been on their way to it.
    """
    address = _address(address)
    found = connection.execute(select(suppressed).where(suppressed.c.address == address)).first()
    times = (found.times if found else 0) + 1
    new = {"until": now + PERIODS[min(times, len(PERIODS)) - 1] * DAY, "times": times, "why": fit(why)}
    insertion = insert(connection)(suppressed).values(address=address, **new)
    is_over = suppressed.c.until <= now
    connection.execute(insertion.on_conflict_do_update(index_elements=["address"], set_=new, where=is_over))


def suppress(connection: Connection, address: str, until: float | None, why: str) -> None:
    """The administrator wants no reports to be sent to an address, until that time or for ever (None)."""
    new = {"until": until, "why": fit(why)}
    insertion = insert(connection)(suppressed).values(address=_address(address), times=1, **new)
    connection.execute(insertion.on_conflict_do_update(index_elements=["address"], set_=new))


def unsuppress(connection: Connection, address: str) -> bool:
    """An address gets reports again, as if it had never been suppressed. Was it suppressed, or had it been?"""
    return bool(connection.execute(delete(suppressed).where(suppressed.c.address == _address(address))).rowcount)


def is_suppressed(connection: Connection, addresses: Iterable[str], now: float) -> dict[str, str]:
    """Those of the addresses that get no reports now, as they are given, and why."""
    asked = {each: _address(each) for each in addresses}
    found: dict[str, str] = {}
    keys = sorted(set(asked.values()))
    for begin in range(0, len(keys), _BATCH):
        is_one = suppressed.c.address.in_(keys[begin : begin + _BATCH])
        holds = or_(suppressed.c.until.is_(None), suppressed.c.until > now)
        found.update(
            (row.address, row.why)
            for row in connection.execute(select(suppressed.c.address, suppressed.c.why).where(is_one, holds))
        )
    return {each: found[key] for each, key in asked.items() if key in found}


def suppressions(connection: Connection, now: float, most: int | None = None) -> list[Suppressed]:
    """The addresses that get no reports now; the first of them if there are more than ``most``."""
    holds = or_(suppressed.c.until.is_(None), suppressed.c.until > now)
    columns = (suppressed.c.address, suppressed.c.until, suppressed.c.times, suppressed.c.why)
    found = select(*columns).where(holds).order_by(columns[0]).limit(most)
    return [Suppressed(*row) for row in connection.execute(found)]


def suppressed_now(connection: Connection, now: float) -> int:
    """How many addresses get no reports now."""
    holds = or_(suppressed.c.until.is_(None), suppressed.c.until > now)
    found: int = connection.execute(select(func.count()).select_from(suppressed).where(holds)).scalar_one()
    return found


def reports(
    connection: Connection, since: int, domain: str = "", states: Sequence[State] = (), most: int = 1000
) -> list[Listed]:
    """The reports of days from that one on, the newest first; of a domain, or in these states only."""
    where = [report.c.day >= since]
    if domain:
        where.append(report.c.domain == domain)
    if states:
        where.append(report.c.state.in_(states))
    return _listed(connection, where, most)


def about(
    connection: Connection, domains: Sequence[str], days: range, states: Sequence[State] = (), most: int = 1000
) -> list[Listed]:
    """The reports about some domains, of these days, the newest first; in these states only.

    The days one by one, so that the index finds them: among 20,000 reports a day, a search takes long.
    """
    where = [report.c.kind.in_(KINDS), report.c.day.in_(days), report.c.domain.in_(domains)]
    if states:
        where.append(report.c.state.in_(states))
    return _listed(connection, where, most)


def one(connection: Connection, number: int) -> Listed | None:
    """A report by its number; None if there is none, or none any more."""
    return next(iter(_listed(connection, [report.c.id == number], 1)), None)


def _listed(connection: Connection, where: Sequence[ColumnElement[bool]], most: int) -> list[Listed]:
    names = ("id", "kind", "day", "domain", "state", "why", "rows", "messages", "wanted", "report_id", "changed")
    found = select(*(report.c[name] for name in names)).where(*where)
    found = found.order_by(report.c.day.desc(), report.c.domain, report.c.id).limit(most)
    return [Listed(**{**row._mapping, "state": State(row.state)}) for row in connection.execute(found)]


def is_any(connection: Connection) -> bool:
    """Is there a report, or an address that gets none?"""
    found = (select(report.c.id).limit(1), select(suppressed.c.address).limit(1))
    return any(connection.execute(each).first() is not None for each in found)


def by_state(connection: Connection, since: int) -> Counter[State]:
    """How many reports of days from that one on are in which state."""
    # each state is named, so that the index alone answers
    is_one = (report.c.state.in_(list(State)), report.c.day >= since)
    found = connection.execute(select(report.c.state, func.count()).where(*is_one).group_by(report.c.state))
    return Counter({State(state): many for state, many in found})


def unsent(connection: Connection, now: float) -> tuple[int, int | None]:
    """How many reports of UTC days that are over are not done yet, and the oldest of these days."""
    waits = (report.c.state.in_((State.OPEN, State.PENDING, State.COMPOSED)), report.c.day < int(now) // DAY)
    row = connection.execute(select(func.count(), func.min(report.c.day)).where(*waits)).one()
    return row[0], row[1]


def by_stage(connection: Connection, since: int) -> dict[Stage, Mails]:
    """The mails with reports of days from that one on, by their stage."""
    is_made = (report.c.state.in_((State.COMPOSED, State.DONE)), report.c.day >= since)
    columns = (func.count(), func.count(delivery.c.report.distinct()), func.count(delivery.c.address.distinct()))
    found = select(delivery.c.state, *columns).join(report, report.c.id == delivery.c.report).where(*is_made)
    return {Stage(row[0]): Mails(*row[1:]) for row in connection.execute(found.group_by(delivery.c.state))}


def dropped(connection: Connection, since: int) -> Counter[str]:
    """How many reports of days from that one on were dropped, by the first word of why."""
    is_one = (report.c.state == State.DROPPED, report.c.day >= since)
    found: Counter[str] = Counter()
    for why, many in connection.execute(select(report.c.why, func.count()).where(*is_one).group_by(report.c.why)):
        found[cause(why)] += many
    return found


def cause(why: str) -> str:
    """The first words of why a report was dropped or waits, which are of a vocabulary."""
    return why.partition(";")[0].partition(":")[0]


def deliveries(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Delivered]]:
    """The deliveries of these reports, by their numbers."""
    found: dict[int, list[Delivered]] = {number: [] for number in numbers}
    columns = ("report", "address", "state", "attempts", "due", "reply", "changed")
    for begin in range(0, len(numbers), _BATCH):
        some = select(*(delivery.c[name] for name in columns)).where(
            delivery.c.report.in_(numbers[begin : begin + _BATCH])
        )
        for row in connection.execute(some.order_by(delivery.c.report, delivery.c.id)):
            found[row.report].append(Delivered(row.address, Stage(row.state), *row[3:]))
    return found


def expire(connection: Connection, bodies: int, rows: int, now: float) -> bool:
    """Forget the mail of reports of days before ``bodies``, and reports of days before ``rows``. Is there more?

    What is open or pending, or waits for Postfix, stays. An address whose suppression ended a year ago begins anew.
    """
    over = (State.DONE, State.DROPPED)
    of_body = select(report.c.id).where(report.c.state.in_(over), report.c.day < bodies, report.c.body.is_not(None))
    emptied = connection.execute(of_body.limit(_BATCH)).scalars().all()
    if emptied:
        connection.execute(update(report).where(report.c.id.in_(emptied)).values(body=None))
    of_row = select(report.c.id).where(report.c.state.in_(over), report.c.day < rows)
    gone = connection.execute(of_row.limit(_BATCH)).scalars().all()
    if gone:
        connection.execute(delete(delivery).where(delivery.c.report.in_(gone)))
        connection.execute(delete(report).where(report.c.id.in_(gone)))
    connection.execute(delete(suppressed).where(suppressed.c.until < now - 365 * DAY))
    return len(emptied) == _BATCH or len(gone) == _BATCH


def _finish(connection: Connection, numbers: Iterable[int], now: float) -> None:
    """Reports without a delivery that waits are done."""
    for number in sorted(numbers):
        waits = select(delivery.c.id).where(delivery.c.report == number, delivery.c.state == Stage.WAITING).exists()
        is_composed = (report.c.id == number, report.c.state == State.COMPOSED)
        connection.execute(update(report).where(*is_composed, ~waits).values(state=State.DONE, changed=now))


def _address(text: str) -> str:
    return fit(text).lower()


def fit(text: str) -> str:
    """Text that both databases take, and that an index takes."""
    return text.replace("\0", "\ufffd").encode(errors="replace")[:_MOST_TEXT].decode(errors="ignore")
