"""The figures of a span of time, from the counts by the hour (``store.rows``) and the policy."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select

from ..config import Settings
from ..store.outbox import DAY
from ..store.rows import BUCKETS, COUNTED, HOUR, SEPARATOR
from ..store.tables import hourly
from ..verdict import Action
from .reported import Reported, reported

PERCENTILES = (50, 95, 99)
_BY_HOUR = 2 * 86_400  # seconds; a longer span is shown by day
_TOP = 10  # of what senders choose
_SOURCES = 3  # of an author domain
_MOST = 1000  # keys of all other kinds together; they come from closed sets and from the policy
_RESULTS = ("none", "pass", "fail", "temperror", "permerror")  # of DMARC (RFC 9989 section 5.3.6)
_ACTIONS = {each.value: each for each in Action}
_SMALL = ("verdict", "unjudged", "rule", "monitored", "result", "limit", "seconds", "lost", "dns", "signed", "unsigned")


class Span(NamedTuple):
    """The hours that count, as seconds since 1970 divided by 3600: from ``first`` to before ``end``, the last one now.

    ``by_hour``: it is shown by hour, and otherwise by day.
    """

    first: int
    end: int
    by_hour: bool
    now: float

    @classmethod
    def since(cls, since: float, now: float) -> Span:
        """The span from that time until now.

        It starts with a whole hour. If it has more than two days, it is shown by day, and starts with a day of local
        time.
        """
        begun = min(since, now)
        by_hour = now - begun <= _BY_HOUR
        first = int(begun) // HOUR if by_hour else _midnight(datetime.fromtimestamp(begun).date())
        return cls(first, int(now) // HOUR + 1, by_hour, now)

    def starts(self) -> list[int]:
        """The first hour of each hour or day of the span."""
        if self.by_hour:
            return list(range(self.first, self.end))
        # not every day has 24 hours
        day = datetime.fromtimestamp(self.first * HOUR).date()
        found = [self.first]
        while (hour := _midnight(day := day + timedelta(days=1))) < self.end:
            found.append(hour)
        return found


def _midnight(day: date) -> int:
    # where that is not between two hours, a day has the hours that begin in it
    return math.ceil(datetime.combine(day, datetime.min.time()).timestamp() / HOUR)


@dataclass(frozen=True, slots=True)
class Period:
    """The messages of an hour or a day, which starts at ``start`` (seconds since 1970).

    ``verdicts`` does not have the ``unjudged`` ones; ``would`` has the verdicts as they would be without any monitor.
    """

    start: int
    verdicts: Counter[Action]
    would: Counter[Action]
    unjudged: int

    @property
    def messages(self) -> int:
        """All messages."""
        return self.verdicts.total() + self.unjudged


class Source(NamedTuple):
    """A client whose messages fail DMARC, with its confirmed name; ``messages`` counts those."""

    client: str
    name: str
    messages: int


@dataclass(frozen=True, slots=True)
class Author:
    """An author domain, how many of its messages failed DMARC, and the clients that sent most of these."""

    domain: str
    messages: int
    failed: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What decided on messages: a rule or a setting by its name in the log. ``line`` is its place in the policy."""

    name: str
    line: int | None
    verdicts: Counter[Action]
    would: Counter[Action]

    @property
    def messages(self) -> int:
        """All messages on which it decided."""
        return self.verdicts.total()


class Unused(NamedTuple):
    """A rule of the policy that applied to no message. ``expired``: its last day is over."""

    name: str
    line: int | None
    expired: bool


class Monitored(NamedTuple):
    """A rule or setting that is only monitored, what it would have done, and to how many messages."""

    name: str
    line: int | None
    action: str
    messages: int


class NoAnswer(NamedTuple):
    """A domain, or a client's address, about which DNS did not answer the question of a check."""

    method: str
    domain: str
    messages: int


class OnHold(NamedTuple):
    """The messages in this host's queue that mailassay put on hold, and the age of the oldest in seconds."""

    messages: int
    oldest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All figures of a span of time, of one host or of all.

    ``changed`` counts the messages for which verdict and ``would`` differ. ``times`` counts the judged messages by the
    bucket of their time, as ``store.rows.BUCKETS`` has them, and one more for all that took longer. ``dns`` counts the
    questions ``sent`` and those that ``failed``. ``on_hold`` is None if the queue cannot be read; ``hold_trouble`` says
    why.

    If there are too many author domains or clients in an hour, the counts of some are only known together. These are
    not in ``authors``, ``sources`` and ``unanswered``.

    Of outgoing mail, ``signed`` counts messages by their algorithms, and ``unsigned`` those without a signature by why.
    ``signers`` has the keys that signed most, as ``domain/selector``, with the messages of each.

    ``reported`` is None if there is nothing to say about DMARC reports. The hosts of a history report as one, so it is
    None for one of them, too.
    """

    span: Span
    host: str
    hosts: tuple[str, ...]
    mode: str
    policy: str
    periods: tuple[Period, ...]
    changed: Counter[tuple[Action, Action]]
    unjudged: Counter[str]
    results: Mapping[str, Counter[str]]
    authors: tuple[Author, ...]
    sources: tuple[Source, ...]
    rules: tuple[Rule, ...]
    unused: tuple[Unused, ...]
    monitored: tuple[Monitored, ...]
    limits: Counter[str]
    unanswered: tuple[NoAnswer, ...]
    dns: Counter[str]
    times: tuple[int, ...]
    lost: Counter[str]
    on_hold: OnHold | None = None
    hold_trouble: str = ""
    reported: Reported | None = None
    signed: Counter[str] = field(default_factory=Counter)
    unsigned: Counter[str] = field(default_factory=Counter)
    signers: tuple[tuple[str, int], ...] = ()

    @property
    def messages(self) -> int:
        """All messages."""
        return sum(each.messages for each in self.periods)

    @property
    def judged(self) -> int:
        """The messages that were judged."""
        return self.messages - self.unjudged.total()

    @property
    def verdicts(self) -> Counter[Action]:
        """The verdicts on the judged messages."""
        return sum((each.verdicts for each in self.periods), Counter())

    @property
    def would(self) -> Counter[Action]:
        """The verdicts as they would be without any monitor."""
        return sum((each.would for each in self.periods), Counter())

    def at_most(self, percent: int) -> float | None:
        """The time that so many percent of the messages did not exceed, in seconds, rounded up to a bucket.

        Infinite if it is more than the longest bucket, None if no message was judged.
        """
        needed = math.ceil(sum(self.times) * percent / 100)
        if not needed:
            return None
        counted = 0
        for bucket, many in zip(BUCKETS, self.times, strict=False):
            counted += many
            if counted >= needed:
                return bucket
        return math.inf


def figures(
    connection: Connection,
    settings: Settings,
    span: Span,
    host: str = "",
    on_hold: OnHold | None = None,
    hold_trouble: str = "",
) -> Figures:
    """The figures, of all hosts if none is given. A few queries, each with a bounded answer."""
    within = [hourly.c.hour >= span.first, hourly.c.hour < span.end]
    every = hourly.c.kind == "verdict"
    hours, hosts = (select(each).where(every, *within).distinct() for each in (hourly.c.hour, hourly.c.host))
    of_host = [hourly.c.host == host] if host else []
    wanted = [*within, *of_host]
    # the hours one by one: a key is then found by the index, and not by a search through all keys of the kind
    listed = [hourly.c.hour.in_(hours), *of_host]
    counts = _small(connection, wanted)
    rules = tuple(_rules(counts["rule"], settings))
    monitored = tuple(_monitored(counts["monitored"], settings))
    return Figures(
        span=span,
        host=host,
        hosts=tuple(connection.execute(hosts.order_by(hourly.c.host).limit(_MOST)).scalars()),
        mode=settings.policy.mode,
        policy=settings.policy_path or "",
        periods=tuple(_periods(connection, wanted, span)),
        changed=_changed(counts["verdict"]),
        unjudged=counts["unjudged"],
        results=_results(counts["result"]),
        authors=tuple(_authors(connection, wanted, listed)),
        sources=tuple(_sources(connection, wanted)),
        rules=rules,
        unused=tuple(_unused(settings, {each.name for each in rules} | {each.name for each in monitored}, span.now)),
        monitored=monitored,
        limits=counts["limit"],
        unanswered=tuple(_unanswered(connection, wanted)),
        dns=counts["dns"],
        times=tuple(counts["seconds"][str(each)] for each in (*BUCKETS, "inf")),
        lost=counts["lost"],
        on_hold=on_hold,
        hold_trouble=hold_trouble,
        reported=None if host else _reported(connection, settings, span),
        signed=counts["signed"],
        unsigned=counts["unsigned"],
        signers=tuple(_top(connection, "signed_by", wanted, _TOP)),
    )


def _reported(connection: Connection, settings: Settings, span: Span) -> Reported | None:
    """The reports about the UTC days of the span, the first of which may have begun before it."""
    return reported(connection, span.first * HOUR // DAY, span.now, is_on=settings.reports.sender is not None)


_Where = Sequence[ColumnElement[bool]]


def _split(key: str, parts: int) -> list[str]:
    """The parts of a key, and empty ones if it has fewer: another version may have written it."""
    return (key.split(SEPARATOR, parts - 1) + [""] * parts)[:parts]


def _action(word: str) -> Action:
    """An action of the log. An unknown one of a later version counts as the most severe."""
    return _ACTIONS.get(word, Action.REJECT)


def _small(connection: Connection, wanted: _Where) -> dict[str, Counter[str]]:
    """The counts of the kinds that have few keys, the largest first."""
    total = func.sum(hourly.c.count)
    statement = select(hourly.c.kind, hourly.c.key, total).where(hourly.c.kind.in_(_SMALL), *wanted)
    grouped = statement.group_by(hourly.c.kind, hourly.c.key).order_by(total.desc(), hourly.c.kind, hourly.c.key)
    found: dict[str, Counter[str]] = {kind: Counter() for kind in _SMALL}
    for kind, key, many in connection.execute(grouped.limit(_MOST)):
        found[kind][key] = int(many)
    return found


def _top(
    connection: Connection, kind: str, wanted: _Where, most: int, *more: ColumnElement[bool]
) -> list[tuple[str, int]]:
    """The keys of a kind with the largest counts, without the counts of others."""
    total = func.sum(hourly.c.count)
    key = hourly.c.key
    others = key.endswith(SEPARATOR) if kind == "unanswered" else key.startswith(SEPARATOR)
    statement = select(key, total).where(hourly.c.kind == kind, *wanted, *more, ~others).group_by(key)
    rows = connection.execute(statement.order_by(total.desc(), key).limit(most))
    return [(found, int(many)) for found, many in rows]


def _periods(connection: Connection, wanted: _Where, span: Span) -> Iterator[Period]:
    statement = select(hourly.c.hour, hourly.c.kind, hourly.c.key, func.sum(hourly.c.count))
    statement = statement.where(hourly.c.kind.in_(("verdict", "unjudged")), *wanted)
    found = connection.execute(statement.group_by(hourly.c.hour, hourly.c.kind, hourly.c.key)).all()
    starts = span.starts()
    of_each: list[list[tuple[str, str, int]]] = [[] for _ in starts]
    for hour, kind, key, many in found:
        of_each[bisect(starts, hour) - 1].append((kind, key, int(many)))
    for start, counts in zip(starts, of_each, strict=True):
        verdicts, would, unjudged = Counter[Action](), Counter[Action](), 0
        for kind, key, many in counts:
            if kind == "unjudged":
                unjudged += many
            else:
                words = _split(key, 2)
                verdicts[_action(words[0])] += many
                would[_action(words[1])] += many
        # a message that is not judged is accepted
        without = Counter({Action.ACCEPT: unjudged})
        yield Period(start * HOUR, verdicts - without, would - without, unjudged)


def _changed(verdicts: Counter[str]) -> Counter[tuple[Action, Action]]:
    found: Counter[tuple[Action, Action]] = Counter()
    for key, many in verdicts.items():
        verdict, would = map(_action, _split(key, 2))
        if verdict is not would:
            found[verdict, would] += many
    return found


def _results(counts: Counter[str]) -> dict[str, Counter[str]]:
    """Of each method, how many messages had which result, the most frequent first."""
    found: dict[str, Counter[str]] = {}
    for method in COUNTED:
        pairs = ((_split(key, 2), many) for key, many in counts.most_common())
        if of_method := Counter({result: many for (name, result), many in pairs if name == method}):
            found[method] = of_method
    return found


def _authors(connection: Connection, wanted: _Where, listed: _Where) -> Iterator[Author]:
    """The author domains with most failures."""
    failing = hourly.c.key.endswith(f"{SEPARATOR}fail", autoescape=True)
    found = [(_split(key, 2)[0], many) for key, many in _top(connection, "author", wanted, _TOP, failing)]
    if not found:
        return
    keys = [SEPARATOR.join((domain, result)) for domain, _ in found for result in _RESULTS]
    all_of: Counter[str] = Counter()
    of_these = hourly.c.key.in_(keys)
    for key, many in _top(connection, "author", listed, len(keys), of_these):
        all_of[_split(key, 2)[0]] += many
    for domain, failed in found:
        yield Author(domain, all_of[domain], failed, tuple(_of_author(connection, domain, listed)))


def _of_author(connection: Connection, domain: str, listed: _Where) -> Iterator[Source]:
    # by octets: what begins with the domain and a tab is below the domain and the next character
    first, end = f"{domain}{SEPARATOR}", f"{domain}{chr(ord(SEPARATOR) + 1)}"
    within = and_(hourly.c.key >= first, hourly.c.key < end)
    for key, many in _top(connection, "source_of", listed, _SOURCES, within):
        _, client, name = _split(key, 3)
        yield Source(client, name, many)


def _sources(connection: Connection, wanted: _Where) -> Iterator[Source]:
    for key, many in _top(connection, "source", wanted, _TOP):
        client, name = _split(key, 2)
        yield Source(client, name, many)


def _unanswered(connection: Connection, wanted: _Where) -> Iterator[NoAnswer]:
    for key, many in _top(connection, "unanswered", wanted, _TOP):
        method, domain = _split(key, 2)
        yield NoAnswer(method, domain, many)


def _rules(counts: Counter[str], settings: Settings) -> Iterator[Rule]:
    verdicts: dict[str, Counter[Action]] = {}
    would: dict[str, Counter[Action]] = {}
    for key, many in counts.items():
        name, verdict, other = _split(key, 3)
        verdicts.setdefault(name, Counter())[_action(verdict)] += many
        would.setdefault(name, Counter())[_action(other)] += many
    for name in sorted(verdicts, key=lambda each: (-verdicts[each].total(), each)):
        yield Rule(name, settings.policy_lines.get(name), verdicts[name], would[name])


def _monitored(counts: Counter[str], settings: Settings) -> Iterator[Monitored]:
    for key, many in counts.most_common():
        name, _, action = key.partition(":")
        yield Monitored(name, settings.policy_lines.get(name), action, many)


def _unused(settings: Settings, used: set[str], now: float) -> Iterator[Unused]:
    for rule in settings.policy.rules:
        if (name := f"rules.{rule.name}") not in used:
            yield Unused(name, settings.policy_lines.get(name), rule.is_expired(now))
