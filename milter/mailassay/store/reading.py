"""What comes out of the database: messages by what they are searched for, the latest first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, exists, or_, select, tuple_

from .packed import unpack
from .tables import message, recipient

METHODS = ("iprev", "spf", "dkim", "arc", "dmarc")
_CHUNK = 500  # rows that are fetched at a time


class Found(NamedTuple):
    """A message of the history: the columns that are searched, and the whole record."""

    number: int
    time: float
    record: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages are looked for; each condition that is set must hold. Times are in seconds since 1970.

    ``author`` is a domain, and stands for those below it too. ``recipient`` is an address, or a domain for all its
    addresses. ``client`` is a network. ``results`` has pairs of method and result.
    """

    since: float | None = None
    until: float | None = None
    queue_id: str = ""
    message_id: str = ""
    author: str = ""
    client: IPv4Network | IPv6Network | None = None
    recipient: str = ""
    verdict: str = ""
    would: str = ""
    rule: str = ""
    results: tuple[tuple[str, str], ...] = ()


def search(
    connection: Connection, wanted: Filter, most: int, before: tuple[float, int] | None = None
) -> Iterator[Found]:
    """The latest ``most`` messages that fit, the latest first. A record that cannot be read is left out.

    ``before`` is the time and the number of the last message of the page before.
    """
    columns = message.c
    statement = select(columns.id, columns.time, columns.record, columns.client).where(*_conditions(wanted))
    if before:
        statement = statement.where(tuple_(columns.time, columns.id) < before)
    statement = statement.order_by(columns.time.desc(), columns.id.desc())
    found = 0
    with connection.execution_options(yield_per=_CHUNK).execute(statement) as rows:
        for number, time, packed, client in rows:
            if found >= most:
                return
            if wanted.client and not _is_within(client, wanted.client):
                continue
            try:
                record = unpack(packed)
            except ValueError:
                continue
            found += 1
            yield Found(number, time, record)


def one(connection: Connection, number: int) -> Found | None:
    """The message with that number, if it is there and can be read."""
    columns = message.c
    row = connection.execute(select(columns.id, columns.time, columns.record).where(columns.id == number)).first()
    try:
        return Found(row.id, row.time, unpack(row.record)) if row else None
    except ValueError:
        return None


def of_any_id(text: str) -> Filter:
    """What an administrator means by a queue id, a Message-ID, an address, a domain or a client's address."""
    if text.startswith("<") and text.endswith(">"):
        return Filter(message_id=text)
    if "@" in text:
        return Filter(recipient=text.lower())
    try:
        return Filter(client=ip_network(text, strict=False))
    except ValueError:
        pass
    return Filter(author=text.lower().rstrip(".")) if "." in text else Filter(queue_id=text)


def _conditions(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    columns = message.c
    if wanted.since is not None:
        yield columns.time >= wanted.since
    if wanted.until is not None:
        yield columns.time < wanted.until
    for name in ("queue_id", "message_id", "verdict", "would"):
        if value := getattr(wanted, name):
            yield columns[name] == value
    if wanted.rule:
        yield columns.rule.in_([wanted.rule, f"rules.{wanted.rule}"])
    if wanted.author:
        yield or_(columns.author == wanted.author, columns.author.endswith(f".{wanted.author}", autoescape=True))
    if wanted.client and wanted.client.prefixlen == wanted.client.max_prefixlen:
        yield columns.client == str(wanted.client.network_address)
    if wanted.recipient:
        yield _has_recipient(wanted.recipient)
    for method, result in wanted.results:
        yield columns[method] == result


def _has_recipient(wanted: str) -> ColumnElement[bool]:
    address = recipient.c.address
    same = address == wanted if "@" in wanted else address.endswith(f"@{wanted}", autoescape=True)
    return exists().where(recipient.c.message == message.c.id, same)


def _is_within(client: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        # the address as a network of its own
        found = ip_network(client)
    except ValueError:
        return False
    return found.version == network.version and found.network_address in network
