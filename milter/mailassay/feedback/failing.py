"""Make the mails of failure reports (RFC 9991): of messages that failed in hours that are over, and of few of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, Engine

from .. import return_path
from ..aggregate import Reporter
from ..aggregate.naming import report_id
from ..config import Settings
from ..failure.feedback_report import compose
from ..resolver import Source
from ..store import incidents, outbox, writing
from ..store.incidents import HOUR, KIND, Kept, Most
from .composing import SECRET, Composed, Find, why_none
from .destinations import Destinations, Tag
from .find import find
from .spf_records import spf_records

_DAY = 24  # hours
_LATE = 300.0  # seconds after the end of an hour in which its last messages arrive from the spool
_UNDECIDED = 6  # hours for which an incident waits for DNS to say what it must know
_PATIENCE = 60.0  # seconds for the answer about one domain
_UNKNOWN = Destinations(undecided=True, text="DNS was not asked")

_log = logging.getLogger(__name__)

Records: TypeAlias = Callable[[Iterable[str]], Iterable[tuple[str, tuple[str, ...] | None]]]
"""Finds the SPF records of many domains at once; None for a domain about which DNS gives no answer."""


@dataclass(frozen=True, slots=True)
class Failing:
    """What failure reports need: ``find`` gives the addresses of ``ruf``, ``records`` the SPF records of domains.

    ``most`` are how many reports are made in an hour by the clock. ``host`` is the name of this host.
    """

    find: Find
    records: Records
    most: Most
    host: str

    def compose(
        self,
        engine: Engine,
        reporter: Reporter,
        clock: Callable[[], float],
        stopped: Callable[[], bool],
        progress: Callable[[int], None],
    ) -> Composed:
        """Make the mails that are to be made now. Raises DBAPIError.

        What is beyond the limits is counted, and no report is made of it. An incident that cannot be reported now waits
        for the next run, but not for more than a day.
        """
        done = Composed()
        with engine.begin() as connection:
            kept = incidents.over(connection, int(clock() - _LATE) // HOUR)
            secret = outbox.secret(connection, SECRET)
        if not kept:
            return done
        addresses = dict(self.find(sorted({each.domain for each in kept})))
        of_spf = {each.first.failed_spf.domain for each in kept if each.first.failed_spf}
        records = dict(self.records(sorted(each for each in of_spf if each)))
        for each in kept:
            if stopped():
                break
            to = addresses.get(each.domain, _UNKNOWN)
            try:
                with engine.begin() as connection:
                    self._one(connection, reporter, each, to, records, secret, clock(), done)
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
                # nothing that a sender wrote should cause this; the others go out all the same
                _log.exception("the failure report about %s cannot be made", each.domain)
            progress(1)
        return done

    def _one(
        self,
        connection: Connection,
        reporter: Reporter,
        kept: Kept,
        to: Destinations,
        records: dict[str, tuple[str, ...] | None],
        secret: bytes,
        now: float,
        done: Composed,
    ) -> None:
        spf = kept.first.failed_spf
        found = records.get(spf.domain, ()) if spf else ()
        if (to.undecided or found is None) and kept.hour > int(now) // HOUR - _UNDECIDED:
            done.postponed += 1
            return
        incidents.remove(connection, kept)
        # the clock of the reports, so that a run each hour always has room
        if not incidents.room(connection, kept.domain, now // HOUR * HOUR, self.most):
            self._leave_out(connection, kept, now)
            done.dropped += 1
            return
        key = f"{kept.hour}.{kept.key}"
        day = kept.hour // _DAY
        number = outbox.add(connection, KIND, day, kept.domain, key, now, messages=kept.first.count)
        if number is None:
            # its messages came after the report of that hour
            self._leave_out(connection, kept, now)
            return
        suppressed = outbox.is_suppressed(connection, to.addresses, now)
        addresses = [each for each in to.addresses if each not in suppressed]
        if not addresses:
            outbox.drop(connection, number, "suppressed" if suppressed else why_none(to), now)
            done.dropped += 1
            return
        identifier = report_id(reporter.domain, kept.domain, day, KIND, key)
        body = compose(kept.first, reporter, identifier, now, found or ())
        deliveries = [(each, return_path.new_token(secret, identifier, each), now) for each in addresses]
        outbox.compose(connection, number, identifier, body, deliveries, now)
        done.composed += 1

    def _leave_out(self, connection: Connection, kept: Kept, now: float) -> None:
        """Count the messages about which there is no report."""
        place = int(now) // HOUR, self.host, KIND, "left_out"
        writing.count(connection, Counter({place: kept.first.count}))


def failing(settings: Settings, source: Source, delimiter: str | None, host: str) -> Failing | None:
    """What failure reports need, by the configuration; None if it asks for none."""
    found = settings.reports.failure
    if not found.domains:
        return None
    return Failing(
        find(settings, source, delimiter, Tag.RUF),
        lambda domains: spf_records(domains, source, _PATIENCE),
        Most(found.per_hour, found.total_per_hour),
        host,
    )
