"""The rows of reports: counted once each as messages arrive, closed with their day, and read."""

import threading
from collections import Counter
from dataclasses import replace
from itertools import count as numbers

import pytest
from sqlalchemy import text, update

from mailassay import collector
from mailassay.aggregate import MAX_ROWS, Disposition, Reporter, document
from mailassay.config import KeptAddresses
from mailassay.store import database, expiry, observed, outbox, writing
from mailassay.store.outbox import Stage, State
from mailassay.store.tables import closed, collected, correspondent, delivery, message, policy, report, suppressed
from mailassay.store.tables import observed as rows_table
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.reported import OURS, TOKEN, ZONE, record
from tests.lab.spooled import NOW, Spooled

DAY = int(NOW) // 86_400
MIDNIGHT = (DAY + 1) * 86_400.0
REPORTER = Reporter("receiver.example", "Receiver", OURS)
FAILS = {"client": "198.51.100.66"}


class Reported(Spooled):
    """A spool whose collector counts for reports."""

    def at(self, now):
        """It is that time. All is moved."""
        self.uptime += 60
        self.now = now
        self.all()
        return self

    def run(self, step, *given, **more):
        """What a step does in a transaction of its own."""
        engine = database.connect(database.address(str(self.folder), self.history.database))
        try:
            with engine.begin() as connection:
                return step(connection, *given, **more)
        finally:
            engine.dispose()

    def close(self, **more):
        """How many reports wait, and how many are dropped, after the days are closed that are over."""
        found = [0, 0]
        while any(step := self.run(observed.close, self.now, **more)):
            found = [sum(each) for each in zip(found, step, strict=True)]
        return tuple(found)

    def contents(self, domain="bank.example", day=DAY):
        found = self.run(observed.contents, day, domain, REPORTER)
        return found, list(found.rows)

    def seen(self):
        """How many messages are counted, and how many of them may cause a report."""
        found = self.rows(rows_table)
        return sum(each["messages"] for each in found), sum(each["wanted"] for each in found)

    def reports(self):
        return {(each["day"], each["domain"]): each for each in self.rows(report)}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
def make(request, tmp_path):
    """A ``Reported`` of a host; all of a test share a database."""
    history, made = {}, []
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        name = server.new()
        history["database"] = server.url(name)

    def make(host="mx1", folder="", **keys):
        made.append(Reported(tmp_path / (folder or host), host, **{"ours": OURS} | history | keys))
        return made[-1]

    yield make
    for each in made:
        each.collector.close()
    if history:
        server.drop(name)


@pytest.fixture
def spooled(make):
    return make()


of_postgresql = pytest.mark.parametrize(
    "make", [pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))], indirect=True
)
on_sqlite = pytest.mark.parametrize("make", ["sqlite"], indirect=True)


def sources(many, found, at=NOW):
    """Copies of a record, each from another address, over so many networks."""
    return [found | {"client": f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", "time": at} for n in range(many)]


def test_messages_are_counted_in_rows(spooled):
    one, other = record(signed=["bank.example"]), record(**FAILS)
    spooled.segment(one, one, other, record(author="a@deep.bank.example", **FAILS), record(author="a@plain.example"))
    spooled.all()
    assert spooled.seen() == (5, 5)
    found = spooled.reports()
    assert {place: (each["rows"], each["messages"], each["state"]) for place, each in found.items()} == {
        (DAY, "bank.example"): (3, 4, State.OPEN), (DAY, "plain.example"): (1, 1, State.OPEN),
    }  # fmt: skip
    made, rows = spooled.contents()
    assert (made.policy.domain, made.period.day, made.errors) == ("bank.example", DAY, ())
    assert [(row.header_from, row.disposition, many) for row, many in rows] == [
        ("bank.example", Disposition.PASS, 2),
        ("bank.example", Disposition.REJECT, 1),
        ("deep.bank.example", Disposition.REJECT, 1),
    ]
    assert {each["domain"]: (each["passed"], each["written"]) for each in spooled.rows(correspondent)} == {
        "bank.example": (DAY, 0), "plain.example": (DAY, 0),
    }  # fmt: skip


def test_without_an_address_of_reports_nothing_is_kept(make):
    spooled = make(ours=None)
    spooled.segment(record(), record(login="ann"))
    spooled.minutes(2)
    assert len(spooled.queue_ids()) == 2
    assert not [each for each in (rows_table, report, policy, correspondent, collected) if spooled.rows(each)]


class Killed(BaseException):
    """As kill -9: nothing after it runs."""


@pytest.mark.parametrize("at", ["observed.add", "writing.count", "writing.read_up_to", "writing.forget"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere(make, monkeypatch, at, after):
    """Each message is counted once, whatever is read again."""
    monkeypatch.setattr(collector, "BATCH", 20)
    first = make()
    some = [record(signed=["bank.example"]), record(**FAILS), record(author="a@plain.example"), record(login="ann")]
    first.segment(*(some[n % 4] for n in range(120)))
    room, name = at.split(".")
    place = {"observed": observed, "writing": writing}[room]
    for step in range(5):
        steps, real = numbers(), getattr(place, name)

        def killed(*given, steps=steps, real=real, step=step):
            if next(steps) == step % 3:
                if after:
                    real(*given)
                raise Killed
            return real(*given)

        with monkeypatch.context() as patched:
            patched.setattr(place, name, killed)
            try:
                first.all()
            except Killed:
                first.collector.close()
                first.collector = first.another()
    first.all()
    assert first.seen() == (90, 90)
    assert sum(each["messages"] for each in first.rows(report)) == 90
    assert len(first.rows(message)) == 120


def test_a_policy_that_changes_at_noon(spooled):
    """One report, with the rows of both, and the policy that was seen last, also if records come in another order."""
    stricter = Zone(
        """
        bank.example         TXT  "v=spf1 ip4:192.0.2.1 -all"
        _dmarc.bank.example  TXT  "v=DMARC1; p=quarantine; rua=mailto:d@bank.example"
        """,
        limits=LIMITS,
    )
    noon = DAY * 86_400 + 43_200.0
    spooled.segment(*(record(at=noon + n, zone=stricter) for n in range(3)))
    spooled.segment(*(record(at=noon - 60 + n) for n in range(3)))
    spooled.segment(record(at=noon + 1, zone=stricter, **FAILS))
    spooled.at(noon + 3600)
    assert len(spooled.rows(policy)) == 2
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close() == (1, 0)
    made, rows = spooled.contents()
    assert (made.policy.p, made.policy.aspf) == ("quarantine", "r")
    assert sorted((row.disposition, many) for row, many in rows) == [("pass", 6), ("quarantine", 1)]
    spooled.run(observed.remove, DAY, "bank.example")
    assert spooled.rows(policy) == spooled.rows(rows_table) == []


def test_a_day_is_closed_once_and_what_is_late_is_counted(spooled, caplog):
    spooled.segment(record())
    spooled.at(MIDNIGHT + 30)
    assert spooled.close() == (0, 0), "a record may still be on its way"
    spooled.at(MIDNIGHT + 90)
    assert spooled.close() == (1, 0)
    before = spooled.contents()[1]
    spooled.segment(record(at=MIDNIGHT - 1), record(at=MIDNIGHT - 1, author="a@plain.example"), record(at=MIDNIGHT + 1))
    spooled.at(MIDNIGHT + 200)
    assert spooled.contents()[1] == before
    assert spooled.count("unreported", "late") == 2
    assert spooled.count("lost") == 0
    assert [(each["day"], each["domain"]) for each in spooled.rows(rows_table)] == [
        (DAY, "bank.example"), (DAY + 1, "bank.example"),
    ]  # fmt: skip
    assert [each.getMessage()[:34] for each in caplog.records] == ["2 messages are in no DMARC report:"]
    assert spooled.close() == (0, 0)
    assert len(spooled.rows(message)) == 4, "the history has them all"


def test_a_day_without_mail(spooled):
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close() == (0, 0)
    assert spooled.rows(closed) == [{"id": 1, "day": DAY}]
    assert spooled.rows(report) == []
    with pytest.raises(LookupError):
        spooled.contents()


def test_nothing_is_closed_before_a_day_is_over(spooled):
    spooled.segment(record())
    spooled.at(MIDNIGHT - 1)
    assert spooled.close() == (0, 0)
    assert spooled.reports()[DAY, "bank.example"]["state"] == State.OPEN


def test_a_host_that_has_not_moved_everything(make):
    """A day waits for it, but not for ever."""
    first, second = make("mx1", folder="one"), make("mx2", folder="one")
    first.segment(record())
    second.at(MIDNIGHT - 3600)
    first.at(MIDNIGHT + 3600)
    assert first.close() == (0, 0)
    first.now = MIDNIGHT + 35 * 3600
    assert first.close() == (0, 0)
    first.now = MIDNIGHT + 36 * 3600
    assert first.close() == (1, 0)


def test_a_host_that_has_moved_everything(make):
    first, second = make("mx1", folder="one"), make("mx2", folder="one")
    first.segment(record())
    second.at(MIDNIGHT + 3600)
    first.at(MIDNIGHT + 3600)
    assert {each["host"]: each["until"] for each in first.rows(collected)} == dict.fromkeys(
        ["mx1", "mx2"], MIDNIGHT + 3540
    )
    assert first.close() == (1, 0)


def test_a_spool_that_cannot_be_moved_keeps_its_day_open(spooled):
    (spooled.folder / "spool" / "mx1-0.5-1-1.records").mkdir()
    spooled.segment(record())
    spooled.at(MIDNIGHT + 3600)
    assert spooled.rows(collected) == []
    assert spooled.close() == (0, 0)


@pytest.mark.parametrize("ahead", [1, 2])
def test_a_clock_that_jumps_over_midnight(spooled, ahead):
    """What was closed too early stays closed for its day, and the days after it are reported as ever."""
    spooled.segment(record())
    spooled.at(NOW)
    spooled.segment(record(at=NOW + ahead * 86_400))
    spooled.at(NOW + ahead * 86_400)
    spooled.segment(record(at=NOW + (ahead + 1) * 86_400))
    spooled.at(NOW + (ahead + 1) * 86_400)
    assert spooled.close() == (2, 0)
    # back
    spooled.segment(record(at=NOW + 60), record(at=NOW + 61, author="a@plain.example"))
    spooled.at(NOW + 120)
    # the day has a report that is made, or to be made, for one domain; for the other one there is none yet
    assert spooled.reports()[DAY, "bank.example"]["messages"] == 1
    assert spooled.count("unreported", "late") == 1
    assert spooled.reports()[DAY, "plain.example"]["state"] == State.OPEN
    spooled.segment(record(at=MIDNIGHT + 600, author="a@plain.example"))
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close() == (1, 0)
    assert spooled.reports()[DAY, "plain.example"]["state"] == State.PENDING
    assert spooled.reports()[DAY + 1, "plain.example"]["state"] == State.OPEN


def test_a_clock_that_is_a_year_ahead_for_a_while(spooled):
    """It costs the reports about some days. Once it is right again, each day has its report."""
    spooled.segment(record())
    spooled.at(NOW)
    for days in (365, 366):
        spooled.segment(record(at=NOW + days * 86_400))
        spooled.at(NOW + days * 86_400)
        spooled.close()
    assert spooled.rows(closed)[0]["day"] == DAY + 365
    spooled.segment(record(at=NOW + 60))
    spooled.at(NOW + 120)
    assert spooled.close() == (0, 0)
    assert spooled.rows(closed)[0]["day"] == DAY - 1
    spooled.segment(record(at=MIDNIGHT + 60))
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close() == (1, 0)
    assert spooled.rows(closed)[0]["day"] == DAY
    found = {day: (each["state"], each["messages"]) for (day, _), each in spooled.reports().items()}
    assert found[DAY] == (State.PENDING, 1)
    assert found[DAY + 1] == (State.OPEN, 1)


def test_mail_that_causes_no_report_counts_in_one(spooled):
    of_reports = record(recipients=[f"<{OURS}>"])
    bounce = record(author="a@plain.example", mail_from="<>")
    spooled.segment(of_reports, bounce, record(author="a@plain.example"))
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close() == (1, 1)
    found = {domain: (each["state"], each["why"]) for (_, domain), each in spooled.reports().items()}
    assert found == {"bank.example": (State.DROPPED, "only report mail"), "plain.example": (State.PENDING, "")}
    _, rows = spooled.contents("plain.example")
    assert sorted((row.envelope_from, many) for row, many in rows) == [("", 1), ("plain.example", 1)]
    assert {each["domain"] for each in spooled.rows(rows_table)} == {"plain.example"}
    assert [each.domain for each in spooled.run(observed.pending)] == ["plain.example"]


def test_what_is_not_counted(spooled):
    deferred = "rules: [{name: r, if: {client: 192.0.2.1}, then: defer}]"
    spooled.segment(record(policy=deferred), record(login="ann"), record(author="a@silent.example"))
    spooled.all()
    assert spooled.seen() == (0, 0)
    assert spooled.rows(report) == []


def test_who_is_known(spooled):
    """Mail that passed and was accepted, or mail of our users to the domain, within 90 days."""
    spooled.segment(
        record(**FAILS),
        record(author="a@plain.example", **FAILS),
        record(author="a@testing.example", **FAILS),
        record(login="ann", recipients=["<x@sub.plain.example>"]),
        record(signed=["bank.example"], at=NOW - 91 * 86_400),
    )
    spooled.now = NOW - 91 * 86_400
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close(known_only=True) == (1, 3)
    found = {place: (each["state"], each["why"]) for place, each in spooled.reports().items()}
    assert found == {
        (DAY, "plain.example"): (State.PENDING, ""),
        (DAY, "bank.example"): (State.DROPPED, "not known"),
        (DAY, "testing.example"): (State.DROPPED, "not known"),
        (DAY - 91, "bank.example"): (State.DROPPED, "not known"),
    }


def test_everybody_gets_a_report_if_that_is_wanted(spooled):
    spooled.segment(record(author="a@testing.example", **FAILS))
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close(known_only=False) == (1, 0)


def test_more_rows_than_are_kept(spooled):
    """All messages are counted. The largest rows stay as they are, and the rest is merged."""
    spooled.segment(*sources(25_000, record(**FAILS)), *[record(**FAILS)] * 50)
    spooled.at(NOW)
    kept = spooled.rows(rows_table)
    assert observed.MOST_ROWS <= len(kept) <= observed.MOST_ROWS + 500 + 100
    assert sum(each["messages"] for each in kept) == 25_050
    assert spooled.reports()[DAY, "bank.example"]["rows"] == len(kept)
    spooled.at(MIDNIGHT + 3600)
    assert spooled.close(known_only=False) == (1, 0)
    made, rows = spooled.contents()
    assert len(rows) <= MAX_ROWS
    assert sum(many for _, many in rows) == 25_050
    assert len({row for row, _ in rows}) == len(rows), "one record for each tuple (section 3.1.1.7)"
    assert {row.disposition for row, _ in rows} == {Disposition.REJECT}
    [error] = made.errors
    assert "do not fit" in error
    again = spooled.contents()
    assert again[1] == rows, "a report that is made again is the same"
    assert document.xml(replace(made, rows=rows))


def test_a_policy_that_changes_all_the_time(spooled, monkeypatch):
    """Whoever answers each question differently does not fill a table."""
    monkeypatch.setattr(observed, "MOST_ROWS", 20)
    monkeypatch.setattr(observed, "_COARSEST", 25)
    monkeypatch.setattr(observed, "_MOST_POLICIES", 30)
    monkeypatch.setattr(collector, "BATCH", 5)
    found = record(**FAILS)
    spooled.segment(
        *(
            found | {"dmarc_record": found["dmarc_record"] | {"at": "bank.example", "fo": ":".join("1d0s"[n % 4] * n)}}
            for n in range(1, 90)
        )
    )
    spooled.all()
    assert spooled.seen() == (89, 89)
    assert len(spooled.rows(policy)) <= 40
    assert len(spooled.rows(rows_table)) <= 60


def test_hostile_values(spooled):
    """Both databases and the report take what senders write."""
    found = record(signed=["bank.example"])
    [signature] = found["evidence"]["dkim"]
    hostile = ["\0", "\ud800", "</selector>&", "\u202e", "x" * 1000, "\n", "😀"]
    found["evidence"]["dkim"] = [signature | {"selector": each} for each in hostile]
    spooled.segment(found, record(helo="\0\ud800", mail_from="<>"), record(mail_from="<\0@\ud800>"))
    spooled.at(MIDNIGHT + 3600)
    assert spooled.seen() == (3, 2)
    made, rows = spooled.contents()
    assert len(rows) == 3
    assert max(len(row.signatures) for row, _ in rows) == len(hostile)
    assert document.xml(replace(made, rows=rows)).count(b"<record>") == 3
    assert made.policy.domain == "bank.example"


def test_a_record_that_reports_cannot_use(spooled):
    """The history keeps it; it is said that no report counts it."""
    found = record()
    del found["evidence"]["dmarc"]["aligned"]
    spooled.segment(found, record())
    spooled.all()
    assert spooled.seen() == (1, 1)
    assert spooled.count("unreported", "unreadable") == 1
    assert len(spooled.rows(message)) == 2


@pytest.mark.parametrize("kept", KeptAddresses)
def test_whatever_of_addresses_is_kept(spooled, kept):
    spooled.segment(record(kept=kept), record(kept=kept, author="a@plain.example", mail_from="<>"))
    spooled.all()
    assert spooled.seen() == (2, 1)


def test_a_report_that_comes_back(spooled):
    """Its delivery is marked and its address suppressed, once, in the transaction of the bounce's record."""
    spooled.at(NOW)
    token = TOKEN.partition("+")[2].partition("@")[0]
    number = spooled.run(outbox.add, observed.AGGREGATE, DAY - 1, "bank.example", "", NOW, 1)
    spooled.run(outbox.compose, number, "id", b"mail", [("d@bank.example", token, NOW)], NOW)
    bounce = record(author="a@plain.example", mail_from="<>", recipients=[f"<{TOKEN}>"])
    spooled.segment(record(recipients=[f"<{TOKEN}>"]), bounce | {"verdict": "defer", "would": "defer"})
    spooled.all()
    assert [each["state"] for each in spooled.rows(delivery)] == [Stage.WAITING], "the deferred one comes again"
    spooled.segment(bounce | {"verdict": "reject", "would": "reject"}, bounce)
    spooled.all()
    assert [each["state"] for each in spooled.rows(delivery)] == [Stage.RETURNED]
    assert [(each["address"], each["times"]) for each in spooled.rows(suppressed)] == [("d@bank.example", 1)]
    # it counts, and causes no report
    assert [each["wanted"] for (_, domain), each in spooled.reports().items() if domain == "plain.example"] == [0]


def test_old_rows_leave(spooled):
    """Rows that nobody reported within a week, hosts that have gone, and domains that were known 90 days ago."""
    spooled.segment(
        record(), record(author="a@plain.example", at=MIDNIGHT), record(login="ann", recipients=["x@b.example"])
    )
    spooled.at(MIDNIGHT + 60)
    spooled.collector.close()
    spooled.host = "mx2"
    spooled.collector = spooled.another()
    spooled.at((DAY + 7) * 86_400 + 60.0)
    assert spooled.seen() == (2, 2)
    spooled.at((DAY + 8) * 86_400 + 60.0)
    assert {each["domain"] for each in spooled.rows(rows_table)} == {"plain.example"}
    assert {each["domain"] for each in spooled.rows(policy)} == {"plain.example"}
    found = spooled.reports()
    assert (found[DAY, "bank.example"]["state"], found[DAY, "bank.example"]["why"]) == (State.DROPPED, "expired")
    assert found[DAY + 1, "plain.example"]["state"] == State.OPEN
    assert [each["host"] for each in spooled.rows(collected)] == ["mx2"]
    spooled.at((DAY + 32) * 86_400.0)
    assert spooled.rows(rows_table) == spooled.rows(policy) == spooled.rows(report) == []
    assert {each["domain"] for each in spooled.rows(correspondent)} == {"bank.example", "plain.example", "b.example"}
    spooled.at((DAY + 91) * 86_400.0)
    assert {each["domain"] for each in spooled.rows(correspondent)} == {"plain.example"}
    spooled.at((DAY + 92) * 86_400.0)
    assert spooled.rows(correspondent) == []


def test_old_rows_leave_after_reports_are_turned_off(spooled):
    spooled.segment(record(), record(login="ann", recipients=["x@b.example"]))
    spooled.at(NOW)
    assert spooled.rows(rows_table)
    spooled.collector.close()
    spooled.ours = None
    spooled.collector = spooled.another()
    spooled.at((DAY + 92) * 86_400.0)
    assert spooled.rows(rows_table) == spooled.rows(correspondent) == spooled.rows(collected) == []
    spooled.minutes(1)
    assert spooled.rows(report) == []


def test_many_old_rows_leave_bit_by_bit(spooled, monkeypatch):
    monkeypatch.setattr(expiry, "_AT_ONCE", 10)
    spooled.segment(*(record(author=f"a@{n}.plain.example", **FAILS) for n in range(5)), *sources(30, record(**FAILS)))
    spooled.at(NOW)
    spooled.at(NOW + 9 * 86_400)
    assert len(spooled.rows(rows_table)) == 5
    spooled.minutes(1)
    assert spooled.rows(rows_table) == []


@pytest.mark.parametrize(
    "make", [pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))], indirect=True
)
def test_two_hosts_while_a_day_is_closed(make, monkeypatch):
    """Each message is in the one report about its day, or counted as late; nothing waits for ever."""
    monkeypatch.setattr(collector, "BATCH", 10)
    hosts = [make("mx1"), make("mx2")]
    hosts[0].at(NOW)
    some = [record(at=MIDNIGHT - 1), record(at=MIDNIGHT - 1, author="a@plain.example"), record(at=MIDNIGHT + 1)]
    for host in hosts:
        host.now = MIDNIGHT + 100
        for n in range(10):
            host.segment(*(some[(n + k) % 3] for k in range(60)))
    closes, wrong = [], []

    def guarded(step):
        try:
            step()
        except BaseException as error:
            wrong.append(error)
            raise

    def closing():
        while any(each.is_alive() for each in threads):
            closes.append(hosts[0].run(observed.close, MIDNIGHT + 37 * 3600))

    threads = [threading.Thread(target=guarded, args=(host.all,)) for host in hosts]
    closer = threading.Thread(target=guarded, args=(closing,))
    for thread in (*threads, closer):
        thread.start()
    for thread in (*threads, closer):
        thread.join(120)
    assert not wrong
    assert [host.left() for host in hosts] == [[], []]
    late = hosts[0].count("unreported", "late")
    counted = Counter()
    for each in hosts[0].rows(rows_table):
        counted[each["day"]] += each["messages"]
    assert counted[DAY] + late == 800
    assert counted[DAY + 1] == 400
    made = {place: each for place, each in hosts[0].reports().items() if place[0] == DAY}
    assert sum(each["messages"] for each in made.values()) == counted[DAY]
    hosts[0].now = MIDNIGHT + 37 * 3600
    hosts[0].close()
    assert {each["state"] for each in hosts[0].reports().values() if each["day"] == DAY} <= {State.PENDING}


@on_sqlite
def test_closing_and_arrival_exclude_each_other(make):
    """While a day is being closed, nothing is added."""
    spooled = make()
    spooled.segment(record())
    spooled.at(NOW)
    engine = database.connect(database.address(str(spooled.folder), None))
    with engine.begin() as connection:
        spooled.segment(record(**FAILS))
        spooled.all()
        assert "locked" in spooled.collector.trouble
        observed.close(connection, MIDNIGHT + 37 * 3600)
    engine.dispose()
    spooled.now = MIDNIGHT + 37 * 3600
    spooled.all()
    assert spooled.count("unreported", "late") == 1
    assert spooled.seen() == (1, 1)


@pytest.mark.parametrize(
    "make", [pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))], indirect=True
)
def test_postgresql_waits_for_who_closes(make):
    spooled = make()
    spooled.segment(record())
    spooled.at(NOW)
    engine = database.connect(database.address("/", spooled.history.database))
    with engine.begin() as connection:
        observed.close(connection, MIDNIGHT + 37 * 3600)
        spooled.segment(record(**FAILS))
        spooled.now = MIDNIGHT + 37 * 3600
        thread = threading.Thread(target=spooled.all)
        thread.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while not connection.execute(waiting).scalar():
            assert thread.is_alive()
    thread.join(60)
    engine.dispose()
    assert spooled.count("unreported", "late") == 1
    assert spooled.seen() == (1, 1)


def test_a_report_that_is_made_takes_no_more(spooled):
    """Also if the clock says that its day has only begun."""
    spooled.segment(record())
    spooled.at(NOW)
    spooled.run(lambda connection: connection.execute(update(report).values(state=State.COMPOSED)))
    spooled.segment(record())
    spooled.at(NOW + 1)
    assert spooled.count("unreported", "late") == 1
    assert spooled.seen() == (1, 1)
    assert ZONE
