"""A day of a busy host, and the reports that it becomes: how long that takes, and how much memory.

python -m tests.bench.reports FOLDER [--messages N] writes FOLDER/history.sqlite, closes the day, and makes all reports.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import func, select

from mailassay.aggregate import Reporter
from mailassay.aggregate.arrival import Arrival, arrival
from mailassay.domain import Domain
from mailassay.feedback.composing import compose_pending
from mailassay.feedback.destinations import Destinations
from mailassay.store import database, observed
from mailassay.store.observed import Arrived
from mailassay.store.outbox import State
from mailassay.store.tables import report
from tests.bench.history import CLIENTS, DOMAINS, records

MESSAGES = 1_000_000
DAY = 20_000  # since 1970
OURS = "dmarc-reports@receiver.example"
_BEGIN, _END = DAY * 86_400.0, (DAY + 1) * 86_400.0
_BATCH = 1000  # as the collector has it
_TEMPLATES = 2000
_REPORTER = Reporter("receiver.example", "Receiver", OURS)


class Made(NamedTuple):
    """What was made, in how many seconds, and how many octets of memory the process had at most."""

    reports: int
    octets: int
    seconds: float
    memory: int


def arrivals(many: int) -> Iterator[Arrived]:
    """So many messages of a day, in order. Few domains and clients have most of them (Zipf's law).

    Each domain has at least one, and what was found of a message is that of a session.
    """
    chance = random.Random(1)
    templates: list[dict[str, Any]] = [*records(0, _END, 1.0, _TEMPLATES)]
    found = [each for each in (arrival(record, OURS) for record in templates) if each.added]
    weights = {count: [*accumulate(1 / rank for rank in range(1, count + 1))] for count in (DOMAINS, CLIENTS)}
    for number in range(many):
        [domain] = chance.choices(range(DOMAINS), cum_weights=weights[DOMAINS])
        [client] = chance.choices(range(CLIENTS), cum_weights=weights[CLIENTS])
        domain = number if number < DOMAINS else domain
        # a domain has one policy
        each = found[domain % len(found)] if number % 10 else chance.choice(found)
        yield Arrived(_BEGIN + number * 86_400 / many, "mx1", _of(each, domain, client))


def _of(found: Arrival, domain: int, client: int) -> Arrival:
    """What was found, for another domain and client."""
    assert found.added
    name = Domain(f"news{domain}.example{domain % 97}.com")
    policy, row, wanted = found.added
    own = {row.header_from, policy.domain}
    signatures = tuple(each._replace(domain=name) if each.domain in own else each for each in row.signatures)
    of_spf = row.spf_result and (
        row.spf_result._replace(domain=name) if row.spf_result.domain in own else row.spf_result
    )
    row = row._replace(
        source_ip=f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}",
        header_from=name,
        envelope_from=name if row.envelope_from in own else row.envelope_from,
        signatures=signatures,
        spf_result=of_spf,
    )
    added = found.added._replace(policy=policy._replace(domain=name), row=row, wanted=wanted)
    return Arrival(added, (name,) if found.passed else ())


def fill(folder: Path, many: int) -> float:
    """Write what the messages of a day add to reports into a database. Returns the seconds that the database took."""
    engine = database.connect(database.address(str(folder), None))
    database.migrate(engine)
    found, took = arrivals(many), 0.0
    while batch := list(islice(found, _BATCH)):
        began = time.monotonic()
        with engine.begin() as connection:
            observed.add(connection, batch, _END)
        took += time.monotonic() - began
    engine.dispose()
    return took


def make(folder: Path) -> Made:
    """Close the day, and make all reports, in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_make, (folder,))


def _find(domains: Iterable[str]) -> Iterator[tuple[str, Destinations]]:
    """What DNS says takes no time of ours."""
    for each in domains:
        yield each, Destinations((f"dmarc@{each}",))


def _make(folder: Path) -> Made:
    began = time.monotonic()
    engine = database.connect(database.address(str(folder), None))
    step = None
    while step is None or any(step):
        with engine.begin() as connection:
            step = observed.close(connection, _END + 2 * 86_400, known_only=False)
    compose_pending(engine, _REPORTER, _find, lambda: _END + 2 * 86_400, lambda: False, lambda _: None)
    with engine.connect() as connection:
        size = func.sum(func.length(report.c.body))
        made = select(func.count(), size).where(report.c.state == State.COMPOSED)
        [(reports, octets)] = connection.execute(made).all()
    engine.dispose()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Made(reports, octets, time.monotonic() - began, memory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    filled = fill(arguments.folder, arguments.messages)
    made = make(arguments.folder)
    print(json.dumps({"messages": arguments.messages, "filled": round(filled, 1), **made._asdict()}))
