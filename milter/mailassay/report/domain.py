"""The figures of one author domain: from the counts by the hour, and from its latest messages."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import Connection, Select, func, select

from ..store import keys
from ..store.rows import HOUR, SEPARATOR
from ..store.tables import hourly, message
from .figures import Span

_LATEST = 1000  # messages of which the sources are shown
_MOST = 50  # sources, and selectors


@dataclass(frozen=True, slots=True)
class Sender:
    """A client that sent mail of a domain, with its confirmed name; ``results`` counts those of DMARC."""

    client: str
    name: str
    results: Counter[str]


@dataclass(frozen=True, slots=True)
class OfDomain:
    """The figures of an author domain in a span of time.

    ``periods`` has the time of each hour or day in seconds since 1970, and how many messages had which result of DMARC.
    ``senders`` are those of the latest messages, of which there are ``latest``. ``signed`` counts the outgoing messages
    that each selector of this domain signed.
    """

    domain: str
    span: Span
    periods: tuple[tuple[int, Counter[str]], ...]
    senders: tuple[Sender, ...]
    latest: int
    signed: Counter[str] = field(default_factory=Counter)

    @property
    def results(self) -> Counter[str]:
        """How many messages had which result of DMARC."""
        return sum((found for _, found in self.periods), Counter())


def of_domain(connection: Connection, domain: str, span: Span) -> OfDomain:
    """The figures of a domain. A few queries, each with a bounded answer."""
    senders = _senders(connection, domain, span)
    return OfDomain(
        domain,
        span,
        _periods(connection, domain, span),
        tuple(sorted(senders, key=lambda each: -each.results.total()))[:_MOST],
        sum(each.results.total() for each in senders),
        _signed(connection, domain, span),
    )


def _hours(span: Span) -> Select[tuple[int]]:
    """The hours of the span one by one: a key is then found by the index."""
    within = [hourly.c.hour >= span.first, hourly.c.hour < span.end]
    return select(hourly.c.hour).where(hourly.c.kind == "verdict", *within).distinct()


def _signed(connection: Connection, domain: str, span: Span) -> Counter[str]:
    # by octets: what begins with the domain and a slash is below the domain and the next character
    first, end = f"{domain}/", f"{domain}{chr(ord('/') + 1)}"
    of_domain = [hourly.c.kind == "signed_by", hourly.c.hour.in_(_hours(span)), hourly.c.key >= first]
    statement = select(hourly.c.key, func.sum(hourly.c.count)).where(*of_domain, hourly.c.key < end)
    found = connection.execute(statement.group_by(hourly.c.key).limit(_MOST))
    return Counter({key.removeprefix(first): int(many) for key, many in found})


def _periods(connection: Connection, domain: str, span: Span) -> tuple[tuple[int, Counter[str]], ...]:
    first, end = f"{domain}{SEPARATOR}", f"{domain}{chr(ord(SEPARATOR) + 1)}"
    of_domain = [hourly.c.kind == "author", hourly.c.hour.in_(_hours(span)), hourly.c.key >= first, hourly.c.key < end]
    statement = select(hourly.c.hour, hourly.c.key, func.sum(hourly.c.count)).where(*of_domain)
    found = connection.execute(statement.group_by(hourly.c.hour, hourly.c.key)).all()
    starts = span.starts()
    counts = [Counter[str]() for _ in starts]
    for hour, key, many in found:
        counts[bisect(starts, hour) - 1][key.rpartition(SEPARATOR)[2]] += int(many)
    return tuple((start * HOUR, each) for start, each in zip(starts, counts, strict=True))


def _senders(connection: Connection, domain: str, span: Span) -> list[Sender]:
    columns = message.c
    since = columns.time >= span.first * HOUR
    statement = select(columns.client, columns.name, columns.dmarc)
    statement = statement.where(columns.author_key == keys.of_domain(domain), since)
    counts: dict[tuple[str, str], Counter[str]] = {}
    for client, name, dmarc in connection.execute(statement.order_by(columns.time.desc()).limit(_LATEST)):
        counts.setdefault((client, name), Counter())[dmarc] += 1
    return [Sender(client, name, found) for (client, name), found in counts.items()]
