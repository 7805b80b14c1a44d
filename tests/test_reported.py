"""What was reported to domain owners, in figures and in words, in both databases."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.feedback import destinations
from mailassay.report import reported
from mailassay.store import database, observed, outbox
from mailassay.store.outbox import DAY, Delivered, Listed, Mails, Stage, State, Suppressed
from tests.lab import sent_reports

NOW = 1_800_000_000.0
TODAY = int(NOW) // DAY
SQLITE, POSTGRESQL = pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def connection(request, tmp_path):
    url, drop = None, None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        name = server.new()
        url, drop = server.url(name), lambda: server.drop(name)
    engine = database.connect(database.address(str(tmp_path), url))
    database.migrate(engine)
    with engine.begin() as found:
        yield found
    engine.dispose()
    if drop:
        drop()


def add(connection, domain, day=TODAY - 1, stages=sent_reports.NOWHERE, why=""):
    return sent_reports.add(connection, domain, NOW, day, stages, why=why)


def test_the_figures(connection):
    add(connection, "bank.example", stages={"d@bank.example": Stage.SENT, "d@collector.example": Stage.SENT})
    add(connection, "shop.example", stages={"d@collector.example": Stage.SENT, "x@shop.example": Stage.RETURNED})
    add(connection, "slow.example", stages={"s@slow.example": Stage.WAITING, "t@slow.example": Stage.FAILED})
    outbox.add(connection, "aggregate", TODAY - 1, "late.example", "", NOW)
    add(connection, "a.example", why="not known")
    add(connection, "b.example", why="not known")
    add(connection, "c.example", why="unauthorized; mailto:x@y.example: unauthorized")
    # older days do not count
    add(connection, "old.example", day=TODAY - 9, stages={"d@old.example": Stage.SENT})
    add(connection, "gone.example", day=TODAY - 9, why="expired")
    outbox.suppress(connection, "asked@bank.example", None, "asked by mail")
    outbox.suppress(connection, "over@bank.example", NOW - 1, "over")
    got = reported.reported(connection, TODAY - 7, NOW, is_on=True)
    assert got.states == {State.DONE: 2, State.COMPOSED: 1, State.PENDING: 1, State.DROPPED: 3}
    assert got.mails == {
        Stage.SENT: Mails(3, 2, 2),
        Stage.RETURNED: Mails(1, 1, 1),
        Stage.WAITING: Mails(1, 1, 1),
        Stage.FAILED: Mails(1, 1, 1),
    }
    assert got.causes == {"not known": 2, "unauthorized": 1}
    assert got.silent == 2
    assert got.suppressed == (
        Suppressed("asked@bank.example", None, 1, "asked by mail"),
        Suppressed("x@shop.example", NOW + 7 * DAY, 1, "a report bounced"),
    )
    assert list(reported.sentences(got)) == [
        "About days from 2027-01-08 on (UTC), 2 reports were sent, to 2 addresses.",
        "1 mail waits for Postfix.",
        "1 mail was refused or given up.",
        "1 mail came back.",
        "1 report is not made yet.",
    ]


def test_nothing_to_say(connection):
    assert reported.reported(connection, TODAY, NOW, is_on=False) is None
    assert list(reported.sentences(reported.reported(connection, TODAY, NOW, is_on=True))) == [
        "About days from 2027-01-15 on (UTC), 0 reports were sent, to 0 addresses."
    ]


@pytest.mark.parametrize("what", ["report", "address"])
def test_what_was_reported_before_it_was_turned_off(connection, what):
    if what == "report":
        add(connection, "bank.example", day=TODAY - 20, why="expired")
    else:
        outbox.suppress(connection, "d@bank.example", None, "asked")
    got = reported.reported(connection, TODAY - 7, NOW, is_on=False)
    assert next(reported.sentences(got)) == "No more are sent: the configuration has no reports.from."


def test_a_week_at_most(connection):
    add(connection, "bank.example", TODAY - 8, {"d@bank.example": Stage.SENT})
    add(connection, "shop.example", TODAY - 7, {"d@bank.example": Stage.SENT})
    got = reported.reported(connection, TODAY - 30, NOW, is_on=True)
    assert (got.since, got.states) == (TODAY - 7, {State.DONE: 1})


def test_a_few_addresses_are_named(connection):
    for number in range(15):
        outbox.suppress(connection, f"a{number:02}@bank.example", None, "asked")
    got = reported.reported(connection, TODAY, NOW, is_on=True)
    assert ([each.address for each in got.suppressed], got.silent) == ([f"a{n:02}@bank.example" for n in range(10)], 15)


def test_the_reports_about_a_domain(connection):
    for day in range(5):
        add(connection, "bank.example", TODAY - day, {"d@bank.example": Stage.SENT})
        add(connection, "a.bank.example", TODAY - day, why="not known")
    outbox.add(connection, "failure", TODAY - 1, "bank.example", "x", NOW)
    got = outbox.about(connection, ["bank.example"], range(TODAY - 3, TODAY + 1))
    assert [(each.day, each.kind) for each in got] == [
        (TODAY, "aggregate"), (TODAY - 1, "aggregate"), (TODAY - 1, "failure"), (TODAY - 2, "aggregate"),
        (TODAY - 3, "aggregate"),
    ]  # fmt: skip
    assert len(outbox.about(connection, ["bank.example"], range(TODAY - 3, TODAY + 1), most=2)) == 2
    assert outbox.about(connection, ["bank.example"], range(TODAY, TODAY + 1), [State.DROPPED]) == []
    assert outbox.one(connection, got[0].id) == got[0]
    assert outbox.one(connection, 10**17) is None


@pytest.mark.parametrize("word", [*observed.Why, *destinations.Why, "suppressed"])
def test_each_cause_has_words(word):
    assert reported.cause(word) != word
    assert reported.why(f"{word}; mailto:x") == f"{reported.cause(word)} (mailto:x)"


def test_each_state_has_words():
    assert list(reported.STATES) == list(State)


@pytest.mark.parametrize(
    ("stage", "attempts", "words"),
    [
        (Stage.WAITING, 0, "waiting until 2027-01-15 08:00"),
        (Stage.WAITING, 2, "waiting until 2027-01-15 08:00, tried 2 times, the last reply: 451 no"),
        (Stage.SENT, 1, "sent 2027-01-15 08:01"),
        (Stage.RETURNED, 1, "returned 2027-01-15 08:01: 451 no"),
        (Stage.FAILED, 1, "failed 2027-01-15 08:01: 451 no"),
    ],
)
def test_what_became_of_a_mail(stage, attempts, words):
    assert reported.became(Delivered("d@bank.example", stage, attempts, NOW, "451 no", NOW + 60)) == words


@pytest.mark.parametrize(
    ("end", "times", "words"),
    [
        (None, 1, "always"),
        (NOW, 1, "until 2027-01-15 08:00"),
        (NOW, 2, "until 2027-01-15 08:00, for the second time"),
        (NOW, 3, "until 2027-01-15 08:00, for the third time"),
        (NOW, 12, "until 2027-01-15 08:00, for the 12th time"),
    ],
)
def test_until_when(end, times, words):
    assert reported.until(Suppressed("d@bank.example", end, times, "x")) == words


@given(st.text(), st.sampled_from(State))
def test_any_cause(text, state):
    found = Listed(1, "aggregate", TODAY, "x", state, text, 1, 1, 1, "", NOW)
    assert reported.state(found).startswith(reported.STATES[state])
