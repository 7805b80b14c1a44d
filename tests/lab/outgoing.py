"""A host that sends DMARC reports: its history, its clock, its DNS, and a server that takes its mail."""

from __future__ import annotations

import email.policy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mailassay.aggregate import Disposition, Policy, Row
from mailassay.aggregate.arrival import Arrival
from mailassay.aggregate.row import Added
from mailassay.config import History, Reports, ReportTo, Server, Settings
from mailassay.domain import Domain
from mailassay.feedback import destinations
from mailassay.feedback.destinations import Destinations, Ours, Wanted
from mailassay.feedback.failing import Failing
from mailassay.feedback.run import Done, Run
from mailassay.store import database, observed, outbox
from mailassay.store.observed import Arrived
from mailassay.store.outbox import Delivered, Listed, State
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

DAY = 86_400
NOON = 20_833 * DAY + 43_200.0  # of the day that is reported
SENDER = "dmarc-reports@receiver.example"


DATABASES = [
    pytest.param("sqlite"),
    pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql")),
]


class Outgoing:
    """``now`` is the time of day; ``refused`` is why nothing may be sent.

    ``names`` has TXT records in quotes, or ``?`` if DNS gives no answer.
    """

    def __init__(self, folder: Path, port: int, url: str | None = None, host: str = "mx1.receiver.example") -> None:
        folder.mkdir(exist_ok=True)
        reports = Reports(SENDER, to=ReportTo.ALL, smtp=Server("127.0.0.1", port), per_minute=10_000)
        self.settings = Settings(history=History(directory=str(folder), database=url), reports=reports)
        self.engine = database.connect(database.address(str(folder), url))
        database.migrate(self.engine)
        self.folder, self.host = folder, host
        self.now, self.uptime, self.refused = NOON, 0.0, ""
        self.names: dict[str, str] = {}
        self.delimiter: str | None = "+"
        self.failing: Failing | None = None

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()

    def seen(self, domain: str, messages: int = 1, rua: str | None = None, **more: Any) -> None:
        """Messages come now that are for the report of a domain, which publishes where reports go."""
        self.names[f"_dmarc.{domain}"] = f'"v=DMARC1; p=reject; rua={rua or f"mailto:d@{domain}"}"'
        row = Row("192.0.2.1", domain, None, Disposition.NONE, dkim=False, spf=False)._replace(**more)
        added = Added(Policy(domain, "reject", "reject", "reject"), row, wanted=True)
        with self.engine.begin() as connection:
            observed.add(connection, [Arrived(self.now, self.host, Arrival(added))] * messages, self.now)

    def past_midnight(self, days: int = 1) -> None:
        """The day is over, and all of it is moved."""
        self.now = (self.now // DAY + days) * DAY + 1800
        with self.engine.begin() as connection:
            observed.moved(connection, self.host, self.now)

    def run(self, **more: Any) -> Done:
        """One run of ``reports send``."""
        return Run(
            self.engine,
            self.settings,
            self.host,
            self.delimiter,
            self.find,
            lambda: self.refused,
            lambda: self.now,
            lambda: self.uptime,
            self._sleep,
            failing=self.failing,
            **more,
        ).once()

    def all(self) -> list[Done]:
        """Runs at each hour until the first attempts of all reports are over."""
        found = []
        for _ in range(4):
            found.append(self.run())
            self.now += 3600
        return found

    def _sleep(self, seconds: float) -> None:
        self.uptime += seconds

    def find(self, domains: Iterable[str]) -> Iterator[tuple[str, Destinations]]:
        """Where the reports go."""
        lines = (f"{name} TXT {text}" for name, text in self.names.items())
        zone = Zone("\n".join(lines), limits=LIMITS)
        wanted = [Wanted(Domain(each)) for each in domains]
        for one, found in destinations.of_each(wanted, zone, Ours(SENDER, self.delimiter), LIMITS, 60.0):
            yield one.domain, found

    def became(self, domain: str) -> tuple[State, str]:
        """The state of the report about a domain, and why."""
        found = self.reports()[domain]
        return found.state, found.why

    def reports(self) -> dict[str, Listed]:
        """The reports by their domains, the newest of each."""
        with self.engine.begin() as connection:
            return {each.domain: each for each in reversed(outbox.reports(connection, 0))}

    def deliveries(self, domain: str) -> dict[str, Delivered]:
        """The deliveries of the report of a domain by their addresses."""
        number = self.reports()[domain].id
        with self.engine.begin() as connection:
            return {each.address: each for each in outbox.deliveries(connection, [number])[number]}


def mail(octets: bytes) -> EmailMessage:
    """A mail, parsed."""
    return BytesParser(policy=email.policy.default).parsebytes(octets)


_Host = TypeVar("_Host", bound=Outgoing)


@contextmanager
def host_on(request: pytest.FixtureRequest, kind: type[_Host], folder: Path, port: int) -> Iterator[_Host]:
    """A host whose history is in the database that the parameter of a fixture names (``DATABASES``)."""
    if request.param == "sqlite":
        found = kind(folder, port)
        yield found
        found.close()
        return
    postgresql = request.getfixturevalue("postgresql")
    name = postgresql.new()
    found = kind(folder, port, postgresql.url(name))
    yield found
    found.close()
    postgresql.drop(name)
