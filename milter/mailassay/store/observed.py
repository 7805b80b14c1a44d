"""The rows of reports: added as messages arrive, and read once their day is over (RFC 9990 section 3.1).

``report`` has a row for each policy domain and day, which is open at first. A day is closed once: what comes later is
late and never added. So no message is counted in two reports, and no report changes after it was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Function, bindparam, delete, func, or_, select, update

from ..aggregate import MAX_ROWS, Period, Report, Reporter, Row
from ..aggregate.arrival import Arrival
from ..aggregate.coarse import coarse, merged
from ..aggregate.report import DAY
from ..dmarc.suffix import registrable
from ..domain import Domain
from . import outbox, row_text
from .outbox import State
from .tables import closed, collected, correspondent, observed, policy, report
from .writing import insert

AGGREGATE = "aggregate"  # the kind of these reports
KNOWN = 90  # days for which a correspondent is known
MOST_ROWS = 20_000  # of a policy domain and day that are kept in full
_COARSEST = MOST_ROWS + 5_000  # rows from which on not even networks are told apart
_MOST_POLICIES = 100  # configurations of such a policy domain that are noticed in a day
_MERGED = 1_000  # rows of a report that may stand for all that do not fit
_PATIENCE = 36 * 3600  # seconds after its end when a day is closed although a host has not moved everything
_AT_ONCE = 1_000  # reports of one step
_SPAN = 15  # days before and after which there are no rows any more, or not yet
_MARGIN = 60.0  # seconds that a record may take from its worker into the spool
_LOCK = 0x6D61796F  # of PostgreSQL: shared by those who add, exclusive for who closes


# made once: to make them takes longer than the database needs
_IS_PLACE = (observed.c.day == bindparam("on"), observed.c.domain == bindparam("of"))
_ROWS = select(observed.c.row, observed.c.messages, observed.c.policy, observed.c["last"]).where(*_IS_PLACE)
_TAGS = select(policy.c.tags).where(policy.c.id == bindparam("number"))
_GONE = delete(observed).where(*_IS_PLACE)
_USED = select(observed.c.policy).where(
    observed.c.day.in_(bindparam("days", expanding=True)), observed.c.domain == bindparam("of")
)
_UNUSED = delete(policy).where(policy.c.domain == bindparam("of"), policy.c.id.not_in(_USED))


class Why(StrEnum):
    """Why a report is dropped when its day is closed."""

    REPORT_MAIL = "only report mail"  # no message may cause a report
    UNKNOWN = "not known"  # no accepted mail came from the domain, and no user wrote to it
    EXPIRED = "expired"  # nobody has made reports for days


class Arrived(NamedTuple):
    """A message of a batch: its time in seconds since 1970, its host, and what it means for reports."""

    time: float
    host: str
    arrival: Arrival


class Closed(NamedTuple):
    """What one step did: how many reports wait to be made now, and how many are dropped."""

    pending: int = 0
    dropped: int = 0


class Pending(NamedTuple):
    """A report that waits to be made, with the number of its row."""

    id: int
    day: int
    domain: str


@dataclass(slots=True)
class _Sum:
    """What the messages of a batch add to one row."""

    messages: int = 0
    wanted: int = 0
    last: float = 0.0

    def add(self, messages: int, wanted: int, last: float) -> None:
        self.messages += messages
        self.wanted += wanted
        self.last = max(self.last, last)


_Place = tuple[int, str]  # day and policy domain
_Key = tuple[int, str, str, str]  # day, policy domain, digest of the policy, text of the row


def add(connection: Connection, found: Sequence[Arrived], now: float) -> Counter[tuple[float, str]]:
    """Add messages, the correspondents that they show, and the reports that came back.

    Returns how many messages came too late for their day, by their time and host. In the transaction of their records.
    """
    late: Counter[tuple[float, str]] = Counter()
    if not found:
        return late
    _lock(connection, func.pg_advisory_xact_lock_shared)
    end = _last_closed(connection, now)
    places = {(_day(each.time), each.arrival.added.policy.domain) for each in found if each.arrival.added}
    there = _reports(connection, {place for place in places if place[0] > end})
    sums: dict[_Key, _Sum] = {}
    policies: dict[str, tuple[str, str]] = {}
    rows: dict[str, Row] = {}
    texts: dict[Row, str] = {}
    for time, host, arrival in found:
        if arrival.added is None:
            continue
        (configuration, row, wanted), day = arrival.added, _day(time)
        if day <= end or there.get((day, configuration.domain), (0, State.OPEN))[1] != State.OPEN:
            late[time, host] += 1
            continue
        text = texts.get(row)
        if text is None:
            text = texts[row] = row_text.of_row(row)
            rows[text] = row
        tags = row_text.of_policy(configuration)
        digest = row_text.key(configuration.domain, tags)
        policies[digest] = (configuration.domain, tags)
        sums.setdefault((day, configuration.domain, digest, text), _Sum()).add(1, int(wanted), time)
    numbers = _numbers(connection, policies)
    full = {place: many for place, (many, _) in there.items() if many >= MOST_ROWS}
    if full:
        sums = _coarser(connection, sums, rows, full, numbers)
    _make_policies(connection, policies, {digest for _, _, digest, _ in sums}, numbers)
    _count(connection, sums, numbers, now)
    _know(connection, found)
    outbox.returned(connection, sorted({each for one in found for each in one.arrival.returned}), now)
    return late


def exclude(connection: Connection) -> None:
    """Let nobody add anything until the end of the transaction. In SQLite, one transaction writes at a time."""
    _lock(connection, func.pg_advisory_xact_lock)


def _lock(connection: Connection, how: Callable[[int], Function[None]]) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(how(_LOCK)))


def _day(time: float) -> int:
    return int(time) // DAY


def _last_closed(connection: Connection, now: float) -> int:
    """The last day that is closed. A clock that was wrong for a while may have closed days that are not over."""
    found = connection.execute(select(closed.c.day)).scalar()
    return -1 if found is None else min(found, _day(now) - 1)


def _reports(connection: Connection, places: set[_Place]) -> dict[_Place, tuple[int, str]]:
    """How many rows each report has, and its state; those that are there."""
    found: dict[_Place, tuple[int, str]] = {}
    for day in sorted({day for day, _ in places}):
        domains = sorted(domain for each, domain in places if each == day)
        there = select(report.c.domain, report.c.rows, report.c.state).where(*_of(day), report.c.domain.in_(domains))
        found |= {(day, each.domain): (each.rows, each.state) for each in connection.execute(there)}
    return found


def _of(day: int) -> tuple[ColumnElement[bool], ...]:
    return report.c.kind == AGGREGATE, report.c.day == day, report.c.key == ""


def _numbers(connection: Connection, digests: Iterable[str]) -> dict[str, int]:
    """The numbers of policies by their digests; those that are there."""
    there = select(policy.c.digest, policy.c.id).where(policy.c.digest.in_(sorted(digests)))
    return {each.digest: each.id for each in connection.execute(there)}


def _make_policies(
    connection: Connection, policies: dict[str, tuple[str, str]], used: set[str], numbers: dict[str, int]
) -> None:
    """Make the policies that are not there yet, and add them to ``numbers``."""
    new = sorted(used - numbers.keys())
    if not new:
        return
    rows = [{"domain": policies[each][0], "tags": policies[each][1], "digest": each} for each in new]
    connection.execute(insert(connection)(policy).on_conflict_do_nothing(index_elements=["digest"]), rows)
    numbers |= _numbers(connection, new)


def _coarser(
    connection: Connection,
    sums: dict[_Key, _Sum],
    rows: dict[str, Row],
    full: dict[_Place, int],
    numbers: dict[str, int],
) -> dict[_Key, _Sum]:
    """The sums, with coarse rows in place of new ones of reports that have too many."""
    found: dict[_Key, _Sum] = {}
    there = {place: _there(connection, place, sums, numbers) for place in full}
    for (day, domain, digest, text), each in sums.items():
        place, key = (day, domain), (day, domain, digest, text)
        if place in full and (numbers.get(digest), row_text.key(text)) not in there[place]:
            level = 3 if full[place] < _COARSEST else 4
            key = (
                day,
                domain,
                _noticed(connection, place, digest, numbers),
                row_text.of_row(coarse(rows[text], level, domain)),
            )
        found.setdefault(key, _Sum()).add(each.messages, each.wanted, each.last)
    return found


def _there(
    connection: Connection, place: _Place, sums: dict[_Key, _Sum], numbers: dict[str, int]
) -> set[tuple[int | None, str]]:
    """The rows of a report that are there, of those of a batch: the number of the policy, and the key."""
    keys = {row_text.key(text) for *where, _, text in sums if tuple(where) == place}
    known = {numbers[digest] for *where, digest, _ in sums if tuple(where) == place and digest in numbers}
    of_place = (observed.c.day == place[0], observed.c.domain == place[1])
    some = select(observed.c.policy, observed.c.key).where(
        *of_place, observed.c.policy.in_(sorted(known)), observed.c.key.in_(sorted(keys))
    )
    return {(each.policy, each.key) for each in connection.execute(some)}


def _noticed(connection: Connection, place: _Place, digest: str, numbers: dict[str, int]) -> str:
    """The digest of the policy under which a message counts: whoever changes a policy all the time fills no table."""
    if digest in numbers:
        return digest
    of_place = (observed.c.day == place[0], observed.c.domain == place[1])
    many, first = connection.execute(
        select(func.count(observed.c.policy.distinct()), func.min(observed.c.policy)).where(*of_place)
    ).one()
    if many < _MOST_POLICIES:
        return digest
    known: str = connection.execute(select(policy.c.digest).where(policy.c.id == first)).scalar_one()
    numbers[known] = first
    return known


def _count(connection: Connection, sums: dict[_Key, _Sum], numbers: dict[str, int], now: float) -> None:
    """Add to the rows, and to what is known of their reports."""
    if not sums:
        return
    by_key: dict[tuple[int, str, int, str], tuple[str, _Sum]] = {}
    for (day, domain, digest, text), each in sums.items():
        by_key[day, domain, numbers[digest], row_text.key(text)] = (text, each)
    new = insert(connection)(observed)
    keys = [each.name for each in observed.primary_key]
    values = [
        dict(zip(keys, key, strict=True))
        | {"row": text, "messages": each.messages, "wanted": each.wanted, "last": each.last}
        # in one order, so that two that write at the same time cannot wait for each other
        for key, (text, each) in sorted(by_key.items(), key=lambda item: item[0])
    ]
    greatest = func.max if connection.dialect.name == "sqlite" else func.greatest
    counted = new.on_conflict_do_update(
        index_elements=keys,
        set_={
            "messages": observed.c.messages + new.excluded.messages,
            "wanted": observed.c.wanted + new.excluded.wanted,
            "last": greatest(observed.c["last"], new.excluded["last"]),
        },
    ).returning(*observed.primary_key, observed.c.messages)
    reports: dict[_Place, Counter[str]] = {}
    for day, domain, number, key, messages in connection.execute(counted, values):
        each = by_key[day, domain, number, key][1]
        # a row that has no more messages than were added is new
        reports.setdefault((day, domain), Counter()).update(
            rows=int(messages == each.messages), messages=each.messages, wanted=each.wanted
        )
    new = insert(connection)(report)
    added = {name: report.c[name] + new.excluded[name] for name in ("rows", "messages", "wanted")}
    rows = [
        {"kind": AGGREGATE, "day": day, "domain": domain, "key": "", "state": State.OPEN, "why": "", "report_id": ""}
        | {"body": None, "changed": now, "rows": 0, "messages": 0, "wanted": 0}
        | counts
        for (day, domain), counts in sorted(reports.items())
    ]
    statement = new.on_conflict_do_update(index_elements=["kind", "day", "domain", "key"], set_=added)
    connection.execute(statement, rows)


def _know(connection: Connection, found: Sequence[Arrived]) -> None:
    """Note whom this host knows: the last day of each."""
    passed: dict[str, int] = {}
    written: dict[str, int] = {}
    for time, _, arrival in found:
        for domains, days in ((arrival.passed, passed), (arrival.written, written)):
            for domain in domains:
                days[domain] = max(days.get(domain, 0), _day(time))
    names = sorted(passed.keys() | written.keys())
    there = select(correspondent).where(correspondent.c.domain.in_(names))
    known = {each.domain: (each.passed, each.written) for each in connection.execute(there)} if names else {}
    # most have been noted earlier that day, so few rows change
    rows = []
    for each in names:
        before, now = known.get(each, (0, 0)), (passed.get(each, 0), written.get(each, 0))
        if now[0] > before[0] or now[1] > before[1]:
            rows.append({"domain": each, "passed": now[0], "written": now[1]})
    if not rows:
        return
    new = insert(connection)(correspondent)
    greatest = func.max if connection.dialect.name == "sqlite" else func.greatest
    latest = {name: greatest(correspondent.c[name], new.excluded[name]) for name in ("passed", "written")}
    connection.execute(new.on_conflict_do_update(index_elements=["domain"], set_=latest), rows)


def moved(connection: Connection, host: str, until: float) -> None:
    """Note that a host has moved everything that its spool had at that time."""
    new = insert(connection)(collected)
    statement = new.values(host=host, until=until - _MARGIN)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["host"], set_={"until": statement.excluded["until"]})
    )


def is_known(connection: Connection, domains: Iterable[str], now: float) -> set[str]:
    """Those of the domains that belong to a correspondent of the last 90 days."""
    names = {domain: registrable(Domain(domain)) for domain in domains}
    since = _day(now) - KNOWN
    there = select(correspondent.c.domain).where(
        correspondent.c.domain.in_(sorted(set(names.values()))),
        or_(correspondent.c.passed >= since, correspondent.c.written >= since),
    )
    known = set(connection.execute(there).scalars())
    return {domain for domain, name in names.items() if name in known}


def close(connection: Connection, now: float, *, known_only: bool = True) -> Closed:
    """Close the days that are over, and let some of their reports wait to be made, or drop them.

    A day is over for us if all hosts have moved what they wrote in it, or 36 hours after its end. Each call is one
    step, in a transaction of its own: the last one does nothing. ``known_only``: domains that this host does not know
    get no report.
    """
    exclude(connection)
    _close(connection, now)
    ready = (report.c.kind == AGGREGATE, report.c.state == State.OPEN, report.c.day <= _last_closed(connection, now))
    rows = connection.execute(
        select(report.c.id, report.c.day, report.c.domain, report.c.wanted).where(*ready).limit(_AT_ONCE)
    ).all()
    known = is_known(connection, {each.domain for each in rows}, now) if known_only else set()
    drops: dict[Why, list[tuple[int, int, str]]] = {each: [] for each in Why}
    waits = []
    for each in rows:
        if not each.wanted:
            drops[Why.REPORT_MAIL].append((each.id, each.day, each.domain))
        elif known_only and each.domain not in known:
            drops[Why.UNKNOWN].append((each.id, each.day, each.domain))
        else:
            waits.append(each.id)
    _change(connection, waits, now, state=State.PENDING)
    for why, some in drops.items():
        _drop(connection, some, why, now)
    return Closed(len(waits), sum(map(len, drops.values())))


def _close(connection: Connection, now: float) -> None:
    """Move the last closed day forward if days are over."""
    untils = connection.execute(select(func.min(collected.c.until))).scalar()
    over = _day(now) - 1
    last = max(_day(now - _PATIENCE), _day(untils) if untils is not None else 0) - 1
    last = max(min(over, last), _last_closed(connection, now))
    new = insert(connection)(closed).values(id=1, day=last)
    connection.execute(new.on_conflict_do_update(index_elements=["id"], set_={"day": new.excluded.day}))


def _change(connection: Connection, ids: Sequence[int], now: float, **values: str) -> None:
    if ids:
        connection.execute(update(report).where(report.c.id.in_(ids)).values(changed=now, **values))


def _drop(connection: Connection, reports: Sequence[tuple[int, int, str]], why: Why, now: float) -> None:
    _change(connection, [each[0] for each in reports], now, state=State.DROPPED, why=why)
    for _, day, domain in reports:
        remove(connection, day, domain)


def pending(connection: Connection, most: int = -1) -> list[Pending]:
    """The reports that wait to be made; ``most`` of them if that is not negative.

    Those that were tried come last: domains whose DNS does not answer keep no others waiting.
    """
    waits = select(report.c.id, report.c.day, report.c.domain).where(
        report.c.state == State.PENDING, report.c.kind == AGGREGATE
    )
    ordered = waits.order_by(report.c.changed, report.c.day, report.c.domain)
    return [Pending(*each) for each in connection.execute(ordered if most < 0 else ordered.limit(most))]


def contents(connection: Connection, day: int, domain: str, reporter: Reporter) -> Report:
    """The report of a policy domain about a day. Raises LookupError if there are no rows.

    The policy is the one that was seen last (section 3.1). The largest rows come first, and rows that do not fit
    become coarser ones. Only the texts of the rows are in memory.
    """
    counts: Counter[str] = Counter()
    last, number = 0.0, 0
    for text, messages, of_policy, seen in connection.execute(_ROWS, {"on": day, "of": domain}):
        counts[text] += messages
        last, number = max((last, number), (seen, of_policy))
    if not counts:
        raise LookupError(f"no messages of {domain} on day {day}")
    tags = connection.execute(_TAGS, {"number": number}).scalar_one()
    errors = []
    if len(counts) > MAX_ROWS:
        order = _ordered(counts)
        rest = ((row_text.row(text), messages) for text, messages in order[MAX_ROWS - _MERGED :])
        few = Counter(dict(order[: MAX_ROWS - _MERGED]))
        few.update({row_text.of_row(row): messages for row, messages in merged(rest, _MERGED, domain).items()})
        errors.append(
            f"{len(counts) - len(few)} of {len(counts)} records do not fit into this report: the smallest were merged "
            "by network, without envelope_from and auth_results"
        )
        counts = few
    return Report(reporter, Period(day), row_text.policy(domain, tags), _rows(_ordered(counts)), tuple(errors))


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    """The largest first, and always in the same order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _rows(counts: list[tuple[str, int]]) -> Iterator[tuple[Row, int]]:
    for text, messages in counts:
        yield row_text.row(text), messages


def remove(connection: Connection, day: int, domain: str) -> int:
    """Delete the rows of a report that is made, or that is not made after all, and the policies that only they had.

    Returns how many rows there were.
    """
    # nobody adds a row of a policy between the question whether there is one and the deletion
    exclude(connection)
    gone = connection.execute(_GONE, {"on": day, "of": domain}).rowcount
    if gone:
        days = [*range(day - _SPAN, day + _SPAN)]
        connection.execute(_UNUSED, {"of": domain, "days": days})
    return gone
