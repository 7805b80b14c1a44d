"""One run of ``mailassay reports send``: close days, make what is pending, hand over what is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from ..aggregate import Reporter
from ..aggregate.report import DAY
from ..config import ReportTo, Settings
from ..domain import BadDomain, Domain
from ..store import observed, outbox
from ..store.observed import Closed
from . import composing
from .composing import Composed, Find
from .failing import Failing
from .handover import Handover, Pace
from .sending import Sender, Sent

DAYS = 3  # after the end of its day, a report is not sent any more
LONGEST = 50 * 60  # seconds of a run; the next one goes on
_COMPOSING = 25 * 60  # seconds of them in which mails are made; then those that are there are handed over


class Progress(Protocol):
    """Who shows how far a run is."""

    def __call__(self, what: str, many: int) -> None:
        """So many more reports are done in that step."""


@dataclass(slots=True)
class Done:
    """What a run did. ``refused``: why no mail may be sent now; empty if it may."""

    pending: int = 0
    dropped: int = 0
    given_up: int = 0
    refused: str = ""
    composed: Composed = field(default_factory=Composed)
    failures: Composed = field(default_factory=Composed)
    sent: Sent = field(default_factory=Sent)


@dataclass(slots=True)
class Run:
    """One run, and all it needs.

    ``find`` finds where reports go. ``failing`` makes failure reports; None if there are none. ``refused`` says why our
    own mail would not pass DMARC; empty if it does. ``host`` is the name of this host. ``delimiter`` is Postfix's
    ``recipient_delimiter``; None if it is not known.
    """

    engine: Engine
    settings: Settings
    host: str
    delimiter: str | None
    find: Find
    refused: Callable[[], str]
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    stopped: Callable[[], bool] = lambda: False
    progress: Progress = lambda _, __: None
    failing: Failing | None = None

    def once(self) -> Done:
        """Do it. Raises outbox.Busy if another process does, DBAPIError and OSError."""
        history, reports = self.settings.history, self.settings.reports
        assert history.directory
        assert reports.sender
        found = Done()
        with outbox.alone(self.engine, Path(history.directory)) as sole:
            self._close(found)
            found.refused = self.refused()
            if found.refused or self.stopped():
                return found
            who, began = reporter(self.settings, self.host), self.monotonic()
            if self.failing:
                found.failures = self.failing.compose(
                    self.engine, who, self.clock, self.stopped, lambda many: self.progress("failures", many)
                )
            found.composed = composing.compose_pending(
                self.engine,
                who,
                self.find,
                self.clock,
                lambda: self.stopped() or self.monotonic() > began + _COMPOSING,
                lambda many: self.progress("composed", many),
            )
            pace = Pace(reports.per_minute, self.monotonic, self.sleep)
            with Handover(reports.smtp.host, reports.smtp.port, self.host) as handover:
                sender = Sender(
                    self.engine, sole, reports.sender, self.delimiter, handover, pace, self.clock, self.sleep
                )
                found.sent = sender.send(
                    lambda: self.stopped() or self.monotonic() > began + LONGEST,
                    lambda many: self.progress("sent", many),
                )
        return found

    def _close(self, found: Done) -> None:
        """Close the days that are over, and give up what is too old, in short transactions."""
        known_only = self.settings.reports.to is ReportTo.KNOWN
        while not self.stopped():
            with self.engine.begin() as connection:
                step = observed.close(connection, self.clock(), known_only=known_only)
            if step == Closed():
                break
            found.pending += step.pending
            found.dropped += step.dropped
        before = int(self.clock()) // DAY - DAYS
        found.given_up = composing.expire(self.engine, before, self.clock())
        while not self.stopped():
            with self.engine.begin() as connection:
                given_up = outbox.give_up(connection, before, self.clock())
            if not given_up:
                break
            found.given_up += given_up


def reporter(settings: Settings, host: str) -> Reporter:
    """Who reports, by the configuration. ``host`` is the name of this host."""
    reports = settings.reports
    assert reports.sender
    # several hosts that share a history report as one
    own = reports.domain if settings.history.database else settings.authserv_id or host
    try:
        domain = Domain(reports.submitter or own)
    except BadDomain:
        domain = Domain(reports.domain)
    return Reporter(domain, reports.org_name or reports.domain, reports.sender, reports.contact or "")
