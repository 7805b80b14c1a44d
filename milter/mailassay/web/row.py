"""A message as a line of a list."""

from __future__ import annotations

from dataclasses import dataclass

from ..result import METHODS
from ..store.reading import Found
from ..store.rows import searched, signing


@dataclass(frozen=True, slots=True)
class Row:
    """What a list shows of a message. ``results`` has pairs of method and result; empty if it was not judged.

    ``signing`` is then what became of it as outgoing mail, empty if nothing signs.
    """

    number: int
    time: float
    host: str
    queue_id: str
    verdict: str
    would: str
    author: str
    mail_from: str
    recipients: list[str]
    more_recipients: int
    client: str
    name: str
    rule: str
    results: tuple[tuple[str, str], ...]
    signing: str


def row(found: Found) -> Row:
    """A message of the history as a line."""
    record = found.record
    columns = searched(record).message
    signed = signing(record)
    recipients = [each for each in record["recipients"] if each]
    words = ("host", "queue_id", "verdict", "would", "author", "mail_from", "client", "name", "rule")
    more = record.get("more_recipients")
    return Row(
        found.number,
        found.time,
        recipients=recipients,
        more_recipients=len(recipients[1:]) + (more if isinstance(more, int) else 0),
        results=tuple((method, columns[method]) for method in METHODS if columns[method] and not signed),
        signing=signed.replace(":", ": "),
        **{word: columns[word] for word in words},
    )
