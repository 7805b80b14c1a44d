"""A spool, its collector and its database, for tests of what becomes of records."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count as numbers
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select

from mailassay.collector import Collector, Listener
from mailassay.config import History
from mailassay.config.reports import FailureReports
from mailassay.history.spool import SPOOL, SUFFIX
from mailassay.store import database
from mailassay.store.tables import hourly, message

from .evidence import evidence

NOW = 1_800_000_000.0
_BEGUN = numbers(1)


def record(name: str, /, results: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A record of a message with that queue id. ``results`` are not as usual."""
    usual = {"dkim": [{"result": "fail"}, {"result": "pass"}]}
    return {
        "v": 1, "kind": "message", "time": NOW, "host": "mx1", "queue_id": name, "message_id": f"<{name}@x>",
        "client": "192.0.2.1", "helo": "mail.bank.example", "mail_from": "a@bank.example",
        "recipients": ["bob@receiver.example"], "more_recipients": 0,
        "untraced": "", "evidence": evidence(**(usual | (results or {}))),
        "verdict": "accept", "would": "accept", "kind_of_rule": "default", "rule": "default", "monitored": [],
        "seconds": 0.003,
    } | more  # fmt: skip


def segment(folder: Path, *lines: str | dict[str, Any], torn: str = "", host: str = "mx1") -> Path:
    """A new segment in the spool of the history in a folder."""
    (folder / SPOOL).mkdir(exist_ok=True)
    path = folder / SPOOL / f"{host}-{next(_BEGUN)}.0-1-1{SUFFIX}"
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines) + torn)
    return path


class Spooled:
    """A folder with segments, and its collector, on a host of that name.

    ``now`` is the time of day, and ``uptime`` the monotonic clock. ``ours`` is the address of DMARC reports;
    ``failures`` says whom failure reports are about. What else is given are keys of the history.
    """

    def __init__(self, folder: Path, host: str = "mx1", ours: str | None = None, **history: Any) -> None:
        (folder / SPOOL).mkdir(parents=True, exist_ok=True)
        self.folder, self.host, self.ours = folder, host, ours
        self.now, self.uptime = NOW, 0.0
        self.failures: FailureReports | None = None
        self.history = History(directory=str(folder), **history)
        self._made: list[Collector] = []
        self.collector = self.another()

    def another(self, *listeners: Listener, is_over: Callable[[], bool] = lambda: False) -> Collector:
        """A collector of the same folder."""
        collector = Collector(
            self.history, self.host, lambda: self.now, listeners, lambda: self.uptime, is_over, self.ours, self.failures
        )
        self._made.append(collector)
        return collector

    def close(self) -> None:
        """Close what its collectors have open."""
        for each in self._made:
            each.close()

    def segment(self, *lines: str | dict[str, Any], torn: str = "") -> Path:
        """A new segment, which nobody writes to."""
        return segment(self.folder, *lines, torn=torn, host=self.host)

    def left(self) -> list[str]:
        """The names of the segments that are left."""
        return sorted(path.name for path in (self.folder / SPOOL).iterdir())

    def all(self) -> None:
        """Move all that can be moved."""
        while self.collector.once():
            pass

    def minutes(self, many: int) -> None:
        """In each minute, an hour of old messages is deleted."""
        for _ in range(many):
            self.uptime += 60
            self.all()

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """All rows of a table."""
        engine = database.connect(database.address(str(self.folder), self.history.database), reads_only=True)
        try:
            with engine.connect() as connection:
                return [each._asdict() for each in connection.execute(select(table))]
        finally:
            engine.dispose()

    def queue_ids(self) -> list[str]:
        """Those of all messages."""
        return sorted(each["queue_id"] for each in self.rows(message))

    def count(self, kind: str, key: str | None = None) -> int:
        """The sum of the counts of a kind, or of one of its keys."""
        found = [each for each in self.rows(hourly) if each["kind"] == kind and key in (None, each["key"])]
        return sum(each["count"] for each in found)
