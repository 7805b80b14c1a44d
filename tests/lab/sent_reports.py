"""Reports that were sent to domain owners, as they are in the database."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from mailassay.aggregate.mail import compose
from mailassay.store import outbox
from mailassay.store.outbox import Stage

from .reports import AT, FORGED, ROW, report

MAIL = compose(report((ROW, 1000), (FORGED, 5)), AT)
NOWHERE: dict[str, Stage] = {}


def add(
    connection: Connection,
    domain: str,
    now: float,
    day: int,
    stages: Mapping[str, Stage] = NOWHERE,
    *,
    why: str = "",
    body: bytes = b"",
) -> int:
    """A report; ``stages`` has what became of the mail to each address. Dropped if there is a ``why``."""
    number = outbox.add(connection, "aggregate", day, domain, "", now, 3)
    assert number is not None
    if why:
        outbox.drop(connection, number, why, now)
        return number
    to = [(address, f"{domain} {day} {address}", now) for address in stages]
    outbox.compose(connection, number, f"id{number}", body, to, now)
    for due in outbox.due(connection, now, 10_000):
        if due.report != number or due.address not in stages:
            continue
        stage = stages[due.address]
        if stage is Stage.RETURNED:
            outbox.settle(connection, due, Stage.SENT, "250 OK", now)
            outbox.returned(connection, [due.token], now)
        elif stage is not Stage.WAITING:
            outbox.settle(connection, due, stage, "550 5.1.1 no such user", now)
    return number


def some(connection: Connection, now: float) -> None:
    """Reports of some days with all that may become of them."""
    today = int(now) // outbox.DAY
    for day in range(today - 3, today):
        to = {"dmarc@bank.example": Stage.SENT, "d@collector.example": Stage.SENT}
        add(connection, "bank.example", now, day, to, body=MAIL)
    add(
        connection,
        "shop.example",
        now,
        today - 1,
        {"d@collector.example": Stage.SENT, "x@shop.example": Stage.RETURNED},
    )
    add(connection, "slow.example", now, today - 1, {"s@slow.example": Stage.WAITING, "t@slow.example": Stage.FAILED})
    outbox.add(connection, "aggregate", today - 1, "late.example", "", now, 2)
    for number in range(12):
        add(connection, f"spam{number}.example", now, today - 1, why="not known")
    add(connection, "other.example", now, today - 1, why="unauthorized; mailto:x@y.example: unauthorized")
    outbox.suppress(connection, "asked@bank.example", None, "asked by mail")


def hostile(connection: Connection, now: float, words: str) -> None:
    """Reports in which everything that strangers write is ``words``."""
    day = int(now) // outbox.DAY - 1
    number = outbox.add(connection, "aggregate", day, outbox.fit(words), "", now, 3)
    if number is None:
        return
    outbox.late(connection, number, words, now)
    outbox.compose(connection, number, "id", b"", [(outbox.fit(words), f"{number}", now)], now)
    for due in outbox.due(connection, now, 10_000):
        if due.report == number:
            outbox.settle(connection, due, Stage.FAILED, words, now)
    dropped = outbox.add(connection, "aggregate", day - 1, outbox.fit(words), "", now, 3)
    if dropped is not None:
        outbox.drop(connection, dropped, words, now)
    outbox.suppress(connection, words, None, words)
