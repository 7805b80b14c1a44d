"""The incidents of failure reports, from a worker's messages to the rows of which reports are made."""

import json
import logging
from dataclasses import replace

import pytest

from mailassay.config import Settings
from mailassay.config.reports import FailureReports, Reports
from mailassay.failure.incident import VERSION, left_out, line, read, read_left_out
from mailassay.failure.picking import MOST, PERIOD, Picking
from mailassay.failure.redaction import Redactor
from mailassay.history.spool import Spool, segments
from mailassay.policy.sets import Domains
from mailassay.store import database, expiry, incidents
from mailassay.store.tables import hourly, incident, message, secret
from tests.lab.failing import BROKEN, LISTED, MESSAGE, NOW, SENDER, found, judged, sent
from tests.lab.spooled import Spooled, record

HOUR = int(NOW) // 3600


class Clock:
    """A monotonic clock."""

    now = 1000.0

    def __call__(self):
        return self.now


def incidents_of(lines):
    return [read(json.loads(each)) for each in lines]


# --- a worker


def test_the_first_of_a_kind_is_written_and_the_others_are_counted():
    clock = Clock()
    picking = Picking("mx1", clock)
    one = judged()
    assert [each.count for each in incidents_of(picking.of(one))] == [1]
    assert picking.of(one) == picking.of(judged(mail_from="<x@bank.example>")) == []
    [broken] = incidents_of(picking.of(judged(message=BROKEN)))
    [more] = incidents_of(picking.rest())
    assert (more.count, more.key) == (2, found().key)
    assert broken.key != more.key
    assert picking.rest() == []
    # a new period
    assert len(picking.of(one)) == 1


def test_a_period_that_is_over_without_a_call():
    clock = Clock()
    picking = Picking("mx1", clock)
    picking.of(judged())
    picking.of(judged())
    clock.now += PERIOD
    assert [each.count for each in incidents_of(picking.of(judged()))] == [1, 1]


def test_a_flood_costs_a_worker_a_few_lines():
    """10,000 messages that fail, from 200 networks."""
    picking = Picking("mx1", Clock())
    outcome = sent()
    clients = [
        replace(outcome.connection, client_ip=type(outcome.connection.client_ip)(f"10.0.{n}.1")) for n in range(200)
    ]
    base = judged()
    lines = []
    for number in range(10_000):
        lines += picking.of(replace(base, outcome=replace(outcome, connection=clients[number % 200])))
    *rest, last = picking.rest()
    assert len(lines) == len(rest) == MOST
    assert sum(each.count for each in incidents_of(lines + rest)) == MOST * 50
    assert read_left_out(json.loads(last)) == 10_000 - MOST * 50
    assert picking.rest() == []


@pytest.mark.parametrize(
    "reports",
    [
        Reports(),
        Reports(SENDER),
        Reports(SENDER, failure=FailureReports(Domains(("other.example",)))),
        Reports(None, failure=LISTED),
    ],
)
def test_off_by_default(reports):
    """Also if aggregate reports are on, and also about domains that are not listed."""
    assert Settings().reports.failure.domains == Domains()
    assert Picking("mx1").of(judged(settings=Settings(reports=reports))) == []
    assert Picking("mx1").of(judged()) != []


# --- the spool


def written(folder):
    return [each.found for segment in segments(folder) for each in segment.lines(complete=segment.is_complete())]


def test_the_spool_has_lines_of_their_own(tmp_path):
    spool = Spool(tmp_path, more=Picking("mx1"))
    for _ in range(3):
        spool.add(judged())
    spool.close()
    kinds = [each["kind"] for each in written(tmp_path)]
    assert sorted(kinds) == ["failed", "failed", "message", "message", "message"]
    assert sum(each["count"] for each in written(tmp_path) if each["kind"] == "failed") == 3
    # nothing of the header section is in the record of the message
    [first, *_] = [each for each in written(tmp_path) if each["kind"] == "message"]
    assert "bob" not in json.dumps(first | {"recipients": []})


def test_a_bug_costs_a_line_and_no_record(tmp_path, caplog):
    class Bug:
        def of(self, _):
            raise RuntimeError("of")

        def rest(self):
            raise RuntimeError("rest")

    spool = Spool(tmp_path, more=Bug())
    spool.add(judged())
    spool.add(judged())
    spool.close()
    assert [each["kind"] for each in written(tmp_path)] == ["message", "message"]
    [said] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert said.exc_info


# --- the collector


@pytest.fixture
def here(tmp_path):
    """A host that sends failure reports."""
    spooled = Spooled(tmp_path, ours=SENDER)
    spooled.failures = LISTED
    spooled.now = NOW
    spooled.collector = spooled.another()
    yield spooled
    spooled.collector.close()


def test_rows_are_redacted(here):
    here.segment(record("Q1"), line(found(message=BROKEN)), line(replace(found(message=BROKEN), count=4)))
    here.all()
    [row] = here.rows(incident)
    assert (row["hour"], row["domain"], row["count"]) == (HOUR, "bank.example", 5)
    assert "alice" not in row["first"]
    assert "bob" not in row["first"]
    [key] = [bytes.fromhex(each["value"]) for each in here.rows(secret) if each["name"] == "redaction"]
    assert Redactor(key).local_part("bob") in row["first"]
    assert here.queue_ids() == ["Q1"]
    assert here.count("lost") == 0
    [packed] = here.rows(message)
    assert "fields" not in packed


def test_rows_of_domains_that_are_no_longer_listed(here):
    here.failures = FailureReports(Domains(("other.example",)))
    here.collector = here.another()
    here.segment(line(found()))
    here.all()
    assert here.rows(incident) == []
    assert here.count("lost") == 0


@pytest.mark.parametrize("broken", [{"domain": "..."}, {"count": 0}, {"fields": 7}, {"spf": None}, {"failure": "x"}])
def test_a_line_that_cannot_be_read_is_counted(here, broken):
    here.segment(json.loads(line(found())) | broken, record("Q1"))
    here.all()
    assert here.rows(incident) == []
    assert here.count("lost", "unreadable") == 1
    assert here.queue_ids() == ["Q1"]


def test_what_a_worker_left_out_is_counted(here):
    here.segment(left_out(7), {"v": VERSION, "kind": "failed_left_out", "count": "x"})
    here.all()
    assert (here.count("failure", "left_out"), here.count("lost", "unreadable")) == (7, 1)


def test_a_line_of_a_later_version(here):
    here.segment(json.loads(line(found())) | {"v": VERSION + 1}, record("Q1"))
    here.all()
    assert (here.count("lost", "version"), here.rows(incident), here.queue_ids()) == (1, [], ["Q1"])


def different(many, **changes):
    """Incidents that differ in the network of the client."""
    return [replace(found(), client=f"10.0.{n}.1", **changes) for n in range(many)]


def test_there_are_few_of_a_domain_and_few_in_all(here):
    here.segment(*map(line, different(30)))
    here.all()
    assert len(here.rows(incident)) == LISTED.per_hour
    assert here.count("failure", "left_out") == 20
    domains = [f"d{n}.bank.example" for n in range(20)]
    for domain in domains:
        here.segment(*(line(replace(each, domain=domain)) for each in different(4)))
    here.all()
    assert len(here.rows(incident)) == LISTED.total_per_hour
    assert here.count("failure", "left_out") == 20 + 80 - 50
    # those that have a row are counted all the same, and the next hour has room
    here.segment(*map(line, different(30)), line(different(1, time=NOW + 3600)[0]))
    here.now += 3600
    here.all()
    assert [each["count"] for each in here.rows(incident)].count(2) == LISTED.per_hour
    assert {each["hour"] for each in here.rows(incident)} == {HOUR, HOUR + 1}


def test_what_is_too_old_and_a_clock_that_is_ahead(here):
    here.segment(line(replace(found(), time=NOW - 25 * 3600)), line(replace(found(), time=NOW + 1e6)))
    here.all()
    assert [each["hour"] for each in here.rows(incident)] == [HOUR]
    assert here.count("failure", "left_out") == 1
    here.now += 26 * 3600
    here.minutes(1)
    assert here.rows(incident) == []


def test_a_flood_leaves_a_few_rows(here):
    """10,000 messages of one kind, by way of a worker and its spool."""
    spool = Spool(here.folder / "spool", more=Picking("mx1"))
    one = judged(message=MESSAGE)
    for _ in range(10_000):
        spool.add(one)
    spool.close()
    here.all()
    [row] = here.rows(incident)
    assert row["count"] == 10_000
    assert here.count("lost") == 0


# --- the store


@pytest.fixture
def engine(tmp_path):
    made = database.connect(database.address(str(tmp_path), None))
    database.migrate(made)
    yield made
    made.dispose()


KEY = Redactor(b"x" * 32)


def test_only_what_is_kept_is_redacted(engine):
    """However many there are: a sender can make it expensive."""
    redacted = []

    def redact(found):
        redacted.append(found)
        return KEY.incident(found)

    with engine.begin() as connection:
        for _ in range(3):
            incidents.add(connection, different(20), redact, incidents.Most(5, 10), NOW)
    assert len(redacted) == 5


def test_rows_of_hours_that_are_over(engine):
    most = incidents.Most(5, 10)
    first, second = different(2)
    old = replace(first, time=NOW - 3600)
    with engine.begin() as connection:
        assert incidents.add(connection, [first, second, second, old], KEY.incident, most, NOW) == 0
        assert [each.hour for each in incidents.over(connection, HOUR)] == [HOUR - 1]
        kept = incidents.over(connection, HOUR + 1)
        # the newest hour first, and in it what occurred most often
        assert [(each.hour, each.first) for each in kept] == [
            (HOUR, KEY.incident(replace(second, count=2))), (HOUR, KEY.incident(first)), (HOUR - 1, KEY.incident(old)),
        ]  # fmt: skip
        incidents.remove(connection, kept[0])
        assert len(incidents.over(connection, HOUR + 1)) == 2
        assert incidents.expire(connection, NOW + 24 * 3600) == 1
        assert len(incidents.over(connection, HOUR + 1)) == 1


def test_what_is_never_reported_is_counted(engine):
    with engine.begin() as connection:
        incidents.add(connection, [*different(1), *different(1)], KEY.incident, incidents.Most(5, 10), NOW)
        expiry.expire(connection, NOW + 26 * 3600, "mx1")
        [row] = connection.execute(hourly.select())
        assert (row.host, row.kind, row.key, row._mapping["count"]) == ("mx1", "failure", "left_out", 2)
        assert incidents.over(connection, HOUR + 48) == []
