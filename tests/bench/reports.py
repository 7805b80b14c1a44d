"""A day of a busy host, and the reports that it becomes: how long that takes, and how much memory.

python -m tests.bench.reports FOLDER [--messages N] writes FOLDER/history.sqlite, closes the day, and makes all reports.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import sys
import time
from multiprocessing import Pool, get_context
from pathlib import Path
from typing import NamedTuple

from mailassay.aggregate import Reporter, document
from mailassay.aggregate.arrival import arrival
from mailassay.store import database, observed
from mailassay.store.observed import Arrived
from tests.bench.history import records

MESSAGES = 1_000_000
DAY = 20_000  # since 1970
_END = (DAY + 1) * 86_400.0
_OURS = "dmarc-reports@receiver.example"
_BATCH = 5000
_REPORTER = Reporter("receiver.example", "Receiver", _OURS)


class Made(NamedTuple):
    """What was made, in how many seconds, and how many octets of memory the process had at most."""

    reports: int
    octets: int
    seconds: float
    memory: int


def fill(folder: Path, many: int) -> None:
    """Write what the messages of a day add to reports into a database."""
    engine = database.connect(database.address(str(folder), None))
    database.migrate(engine)
    parts = [(first, min(_BATCH, many - first), many) for first in range(0, many, _BATCH)]
    with Pool() as pool:
        for found in pool.imap(_part, parts):
            with engine.begin() as connection:
                observed.add(connection, found, _END)
    engine.dispose()


def _part(place: tuple[int, int, int]) -> list[Arrived]:
    first, many, of = place
    each = 1 / of  # of the day
    until = _END - 1 - (of - first - many) * each * 86_400
    return [
        Arrived(found["time"], found["host"], arrival(found, _OURS))
        for found in records(first, until, many * each, many)
    ]


def make(folder: Path) -> Made:
    """Close the day, and make all reports, in a process of its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_make, (folder,))


def _make(folder: Path) -> Made:
    began, reports, octets = time.monotonic(), 0, 0
    engine = database.connect(database.address(str(folder), None))
    now = _END + 2 * 86_400
    step = None
    while step is None or any(step):
        with engine.begin() as connection:
            step = observed.close(connection, now)
    with engine.connect() as connection:
        waits = observed.pending(connection)
    for each in waits:
        with engine.begin() as connection:
            found = observed.contents(connection, each.day, each.domain, _REPORTER)
            octets += len(gzip.compress(document.xml(found), mtime=0))
            observed.remove(connection, each.day, each.domain)
        reports += 1
    engine.dispose()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Made(reports, octets, time.monotonic() - began, memory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    fill(arguments.folder, arguments.messages)
    made = make(arguments.folder)
    print(
        f"{made.reports} reports of {arguments.messages} messages: {made.seconds:.0f} s, {made.octets / 1e6:.0f} MB of "
        f"gzip, {made.memory / 1e6:.0f} MB of memory"
    )
    sys.exit(0)
