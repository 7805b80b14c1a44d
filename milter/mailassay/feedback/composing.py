"""Make the mails of reports whose days are closed, and keep them until Postfix has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from sqlalchemy import Engine

from .. import return_path
from ..aggregate import Period, Reporter
from ..aggregate.mail import compose
from ..aggregate.naming import id_of
from ..store import observed, outbox
from ..store.observed import Pending
from .destinations import Destinations

SPREAD = 3 * 3600  # seconds over which the first attempts are spread
# seconds after the end of its day for which a report waits for DNS to say whether one of its addresses gets it
_UNDECIDED = 2 * 86_400
_STORED = 20  # reports of one transaction
SECRET = "return path"  # the name of the key of return paths

_log = logging.getLogger(__name__)


Find: TypeAlias = Callable[[Iterable[str]], Iterable[tuple[str, Destinations]]]
"""Finds where the reports of many policy domains go now, in any order, and asks DNS for many of them at once."""


@dataclass(slots=True)
class Composed:
    """What became of pending reports: how many have their mail now, get none, or stay pending."""

    composed: int = 0
    dropped: int = 0
    postponed: int = 0


class _Made(NamedTuple):
    """A report with its mail, or without one, and why."""

    pending: Pending
    report_id: str = ""
    body: bytes = b""
    addresses: tuple[str, ...] = ()
    why: str = ""


def compose_pending(
    engine: Engine,
    reporter: Reporter,
    find: Find,
    clock: Callable[[], float],
    stopped: Callable[[], bool],
    progress: Callable[[int], None],
) -> Composed:
    """Make the mails of all pending reports. Raises DBAPIError.

    A report that cannot be made stops no other: it stays pending, and :func:`expire` drops it in the end. Its rows are
    deleted in the transaction that stores its mail. No transaction takes longer than a moment.
    """
    found = Composed()
    with engine.begin() as connection:
        waiting = observed.pending(connection)
        secret = outbox.secret(connection, SECRET)
    of_domain: dict[str, list[Pending]] = {}
    for each in waiting:
        of_domain.setdefault(each.domain, []).append(each)
    made: list[_Made] = []
    for domain, to in find(of_domain):
        if stopped():
            break
        for each in of_domain[domain]:
            one = _make(engine, reporter, each, to, clock())
            if one is None:
                found.postponed += 1
            else:
                made.append(one)
            progress(1)
            if len(made) >= _STORED:
                _store(engine, made, secret, clock(), found)
    _store(engine, made, secret, clock(), found)
    return found


def _make(engine: Engine, reporter: Reporter, each: Pending, to: Destinations, now: float) -> _Made | None:
    """The mail of one report; None if it cannot be made now. Raises DBAPIError."""
    if to.undecided and (not to.addresses or now < Period(each.day).end + _UNDECIDED):
        with engine.begin() as connection:
            outbox.late(connection, each.id, why_none(to), now)
        return None
    try:
        with engine.begin() as connection:
            suppressed = outbox.is_suppressed(connection, to.addresses, now)
            addresses = tuple(address for address in to.addresses if address not in suppressed)
            if not addresses:
                return _Made(each, why="suppressed" if to.addresses else why_none(to))
            report = observed.contents(connection, each.day, each.domain, reporter)
        # its rows have been read; nobody waits while they are written
        return _Made(each, id_of(report), compose(report, now), addresses)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # nothing that a sender wrote should cause this; the others go out all the same
        _log.exception("the report about %s on day %d cannot be made", each.domain, each.day)
        with engine.begin() as connection:
            outbox.late(connection, each.id, f"cannot be made: {type(error).__name__}", now)
        return None


def _store(engine: Engine, made: list[_Made], secret: bytes, now: float, found: Composed) -> None:
    """Store some mails, and delete the rows of which they were made. Empties ``made``."""
    if not made:
        return
    with engine.begin() as connection:
        for each in made:
            observed.remove(connection, each.pending.day, each.pending.domain)
            if each.why:
                outbox.drop(connection, each.pending.id, each.why, now)
                continue
            due = now + first_attempt(each.report_id)
            deliveries = [
                (address, return_path.new_token(secret, each.report_id, address), due) for address in each.addresses
            ]
            outbox.compose(connection, each.pending.id, each.report_id, each.body, deliveries, now)
    found.dropped += sum(bool(each.why) for each in made)
    found.composed += sum(not each.why for each in made)
    made.clear()


def why_none(to: Destinations) -> str:
    """Why a report goes to nobody, or not yet."""
    words = to.why or "no_answer"
    texts = [to.text, *(f"{each.uri}: {each.why} {each.text}".rstrip() for each in to.refused)]
    return "; ".join(filter(None, [words, *texts]))


def first_attempt(report_id: str) -> int:
    """Seconds after which a report is handed over for the first time: not all at once, and each always alike."""
    return int.from_bytes(report_id.encode()) % SPREAD


def expire(engine: Engine, before: int, now: float) -> int:
    """Drop the pending reports of days before that one, whatever kept them. Returns how many. Raises DBAPIError."""
    count = 0
    with engine.begin() as connection:
        old = [each for each in observed.pending(connection) if each.day < before]
    for begin in range(0, len(old), _STORED):
        with engine.begin() as connection:
            for each in old[begin : begin + _STORED]:
                observed.remove(connection, each.day, each.domain)
                outbox.expired(connection, each.id, now)
                count += 1
    return count
