"""Reports on their way, in both databases."""

import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from mailassay.store import database, outbox
from mailassay.store.outbox import DAY, Stage, State
from mailassay.store.tables import delivery, report, suppressed

NOW = 1_800_000_000.0
TODAY = int(NOW) // DAY
SQLITE, POSTGRESQL = pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def engine(request, tmp_path):
    if request.param == "sqlite":
        found = database.connect(database.address(str(tmp_path), None))
        database.migrate(found)
        yield found
        found.dispose()
        return
    server = request.getfixturevalue("postgresql")
    name = server.new()
    found = database.connect(database.address(str(tmp_path), server.url(name)))
    database.migrate(found)
    yield found
    found.dispose()
    server.drop(name)


def composed(engine, domain="bank.example", day=TODAY - 1, addresses=("d@bank.example",), now=NOW):
    """A report with its mail; the tokens are the addresses."""
    with engine.begin() as connection:
        number = outbox.add(connection, "aggregate", day, domain, "", now, 3)
        tokens = [(address, f"{domain} {day} {address}", now) for address in addresses]
        outbox.compose(connection, number, "id", b"mail", tokens, now)
    return number


def state(engine, number):
    with engine.begin() as connection:
        return State(connection.execute(select(report.c.state).where(report.c.id == number)).scalar_one())


def all_due(engine, now=NOW):
    with engine.begin() as connection:
        return outbox.due(connection, now, 100)


def act(engine, what, *given):
    with engine.begin() as connection:
        return what(connection, *given)


def stages(engine, number):
    return {each.address: each.stage for each in act(engine, outbox.deliveries, [number])[number]}


def test_a_report_is_done_when_each_address_has_it(engine):
    number = composed(engine, addresses=("a@bank.example", "b@bank.example"))
    first, second = all_due(engine)
    assert act(engine, outbox.body, number) == b"mail"
    act(engine, outbox.settle, first, Stage.SENT, "250 2.0.0 Ok", NOW)
    assert state(engine, number) is State.COMPOSED
    assert all_due(engine) == [second]
    act(engine, outbox.settle, second, Stage.FAILED, "550 no", NOW)
    assert state(engine, number) is State.DONE
    assert stages(engine, number) == {"a@bank.example": Stage.SENT, "b@bank.example": Stage.FAILED}
    assert all_due(engine) == []


def test_a_report_to_nobody_is_done(engine):
    assert state(engine, composed(engine, addresses=())) is State.DONE


def test_composing_again_changes_no_delivery(engine):
    number = composed(engine)
    act(engine, outbox.settle, all_due(engine)[0], Stage.SENT, "", NOW)
    act(engine, outbox.compose, number, "id", b"mail", [("d@bank.example", "another", NOW)], NOW)
    assert all_due(engine) == []
    assert state(engine, number) is State.DONE


def test_one_report_for_a_day_and_a_domain(engine):
    assert act(engine, outbox.add, "aggregate", TODAY, "bank.example", "", NOW)
    assert act(engine, outbox.add, "aggregate", TODAY, "bank.example", "", NOW) is None
    assert act(engine, outbox.add, "failure", TODAY, "bank.example", "x", NOW)


def test_later(engine):
    composed(engine)
    act(engine, outbox.later, all_due(engine)[0], "450 4.2.0 greylisted", NOW + 60, NOW)
    assert all_due(engine, NOW + 59) == []
    [found] = all_due(engine, NOW + 60)
    assert found.attempts == 1
    assert act(engine, outbox.waiting) == 1


def test_what_waits_too_long_fails_with_its_reply(engine):
    old, new = composed(engine, day=TODAY - 5), composed(engine, day=TODAY - 1)
    act(engine, outbox.later, all_due(engine)[0], "450 4.2.0 greylisted", NOW, NOW)
    assert act(engine, outbox.give_up, TODAY - 3, NOW) == 1
    assert (state(engine, old), state(engine, new)) == (State.DONE, State.COMPOSED)
    [failed] = act(engine, outbox.deliveries, [old])[old]
    assert (failed.stage, failed.reply, failed.attempts) == (Stage.FAILED, "given up: 450 4.2.0 greylisted", 1)
    assert act(engine, outbox.give_up, TODAY - 3, NOW) == 0


def test_a_bounce(engine):
    number = composed(engine, addresses=("D@Bank.example",))
    [found] = all_due(engine)
    act(engine, outbox.settle, found, Stage.SENT, "250", NOW)
    assert act(engine, outbox.returned, [found.token, found.token, "unknown"], NOW) == 1
    assert stages(engine, number) == {"D@Bank.example": Stage.RETURNED}
    assert set(act(engine, outbox.is_suppressed, ["d@BANK.example", "e@bank.example"], NOW)) == {"d@BANK.example"}
    # once
    assert act(engine, outbox.returned, [found.token], NOW + 8 * DAY) == 0
    assert act(engine, outbox.is_suppressed, ["d@bank.example"], NOW + 7 * DAY) == {}


def test_a_bounce_that_is_faster_than_the_news_of_the_250(engine):
    number = composed(engine)
    [found] = all_due(engine)
    assert act(engine, outbox.returned, [found.token], NOW) == 1
    assert state(engine, number) is State.DONE
    act(engine, outbox.settle, found, Stage.SENT, "250", NOW)
    assert stages(engine, number) == {"d@bank.example": Stage.RETURNED}


def test_periods_grow(engine):
    now, found = NOW, []
    for _ in range(6):
        act(engine, outbox.bounced, "d@bank.example", "", now)
        # while it is suppressed, others that were on their way make it no worse
        act(engine, outbox.bounced, "d@bank.example", "", now + 60)
        [one] = act(engine, outbox.suppressions, now)
        found.append((one.until - now) / DAY)
        now = one.until
    assert found == [7, 30, 90, 365, 365, 365]
    # a year without a bounce
    act(engine, outbox.expire, 0, 0, now + 364 * DAY)
    act(engine, outbox.bounced, "d@bank.example", "", now + 364 * DAY)
    assert act(engine, outbox.suppressions, now + 364 * DAY)[0].times == 7
    now += 2 * 366 * DAY + 365 * DAY
    act(engine, outbox.expire, 0, 0, now)
    act(engine, outbox.bounced, "d@bank.example", "", now)
    assert act(engine, outbox.suppressions, now)[0].times == 1


def test_the_administrator_suppresses(engine):
    act(engine, outbox.suppress, "D@bank.example", None, "asked for by mail")
    [found] = act(engine, outbox.suppressions, NOW)
    assert found == ("d@bank.example", None, 1, "asked for by mail")
    # a bounce does not end it
    act(engine, outbox.bounced, "d@bank.example", "a report bounced", NOW)
    act(engine, outbox.expire, 0, 0, NOW + 1000 * DAY)
    assert act(engine, outbox.suppressions, NOW + 1000 * DAY) == [found]
    assert act(engine, outbox.unsuppress, "d@Bank.example") is True
    assert act(engine, outbox.unsuppress, "d@Bank.example") is False
    assert act(engine, outbox.suppressions, NOW) == []


def test_the_secret_is_made_once(engine):
    first = act(engine, outbox.secret, "return path")
    assert len(first) == 32
    assert act(engine, outbox.secret, "return path") == first
    assert act(engine, outbox.secret, "other") != first


def test_what_is_old_leaves(engine):
    old, waits, new = (composed(engine, domain, day) for domain, day in (("a", 1), ("b", 1), ("c", TODAY)))
    for found in all_due(engine):
        if found.report != waits:
            act(engine, outbox.settle, found, Stage.SENT, "250", NOW)
    assert act(engine, outbox.expire, 5, 0, NOW) is False
    assert [act(engine, outbox.body, each) for each in (old, waits, new)] == [None, b"mail", b"mail"]
    act(engine, outbox.expire, 5, 5, NOW)
    assert [each.id for each in act(engine, outbox.reports, 0)] == [new, waits]
    with engine.begin() as connection:
        assert set(connection.execute(select(delivery.c.report)).scalars()) == {waits, new}


def test_reports_that_are_listed(engine):
    first, second = composed(engine, "a"), composed(engine, "b")
    act(engine, outbox.drop, second, "no address", NOW)
    assert [each.id for each in act(engine, outbox.reports, 0)] == [first, second]
    assert [each.why for each in act(engine, outbox.reports, 0, "b")] == ["no address"]
    assert act(engine, outbox.reports, TODAY) == []
    assert [each.id for each in act(engine, outbox.reports, 0, "", [State.COMPOSED])] == [first]


def test_one_sender(engine, tmp_path):
    with outbox.alone(engine, tmp_path) as sole:
        sole.check()
        with pytest.raises(outbox.Busy), outbox.alone(engine, tmp_path):
            pytest.fail("two at once")
    with outbox.alone(engine, tmp_path) as sole:
        sole.check()


def test_a_sender_that_is_killed_is_none_any_more(engine, tmp_path):
    code = """
import os, sys
from pathlib import Path
from mailassay.store import database, outbox
engine = database.connect(database.make_url(sys.argv[1]))
with outbox.alone(engine, Path(sys.argv[2])):
    print("mine", flush=True)
    sys.stdin.readline()
    os._exit(9)
"""
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", code, url, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "mine\n"
        with pytest.raises(outbox.Busy), outbox.alone(engine, tmp_path):
            pytest.fail("two at once")
        process.communicate("\n")
    while True:
        # PostgreSQL notices in its own time
        try:
            with outbox.alone(engine, tmp_path):
                return
        except outbox.Busy:
            threading.Event().wait(0.05)


@pytest.mark.parametrize("engine", [POSTGRESQL], indirect=True)
def test_a_sender_whose_connection_broke_learns_it(engine, tmp_path):
    with outbox.alone(engine, tmp_path) as sole:
        with engine.begin() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            connection.exec_driver_sql(f"{others} AND datname = current_database()")
        with pytest.raises(database.DBAPIError):
            sole.check()
        with outbox.alone(engine, tmp_path):
            pass


@given(text=st.text(), why=st.text(max_size=2000))
def test_any_text(text, why, tmp_path_factory):
    engine = database.connect(database.address(str(tmp_path_factory.getbasetemp()), None))
    database.migrate(engine)
    try:
        with engine.begin() as connection:
            outbox.suppress(connection, text, None, why)
            assert text in outbox.is_suppressed(connection, [text], NOW)
            [found] = connection.execute(select(suppressed)).all()
            assert len(found.address.encode()) <= 1500
            assert outbox.unsuppress(connection, text)
    finally:
        engine.dispose()
