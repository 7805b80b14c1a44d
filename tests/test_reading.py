"""Searches in the database: what is found, in which order, and by which index."""

import json
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from mailassay.result import METHODS
from mailassay.store import database, keys, reading, sqlite, writing
from mailassay.store.filter import Filter, of_any_id
from mailassay.store.rows import rows
from tests.lab.spooled import NOW, record

NAMES = ["bank.example", "mail.bank.example", "bank-x.example", "bankx.example", "example", "Bücher.example", "com", ""]
LOCAL_PARTS = ["bob", "BOB", "bob+x", "", "a@b", "%", "_", "\x00", "'; --", "\u202e", "x" * 900]
CLIENTS = ["192.0.2.1", "192.0.2.200", "192.0.3.1", "2001:db8::1", "2001:db8:1::1", "10.0.0.1", ""]
NETWORKS = ["192.0.2.1/32", "192.0.2.0/24", "192.0.2.0/23", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1/128", "::/0"]
QUEUE_IDS = ["4XyZ0", "ABCDEF01", "4bXyZk2mNzQqL", "x"]
NUMBERS = count(1)


def address(draw):
    return f"{draw(st.sampled_from(LOCAL_PARTS))}@{draw(st.sampled_from(NAMES))}"


@st.composite
def records(draw):
    author = draw(st.sampled_from([*NAMES[:4], None]))
    word = st.sampled_from(["pass", "fail"])
    return record(
        draw(st.sampled_from(QUEUE_IDS)),
        number=next(NUMBERS),
        time=NOW + draw(st.integers(-3, 3)),
        message_id=draw(st.sampled_from(["<1@x>", "1@x", "<2@x>", "", "<%@x>", "m" * 1000])),
        client=draw(st.sampled_from(CLIENTS)),
        mail_from=draw(st.sampled_from(["", "postmaster"])) if draw(st.booleans()) else address(draw),
        recipients=[address(draw) for _ in range(draw(st.integers(0, 3)))],
        verdict=draw(st.sampled_from(["accept", "reject"])),
        rule=draw(st.sampled_from(["default", "dmarc.reject", "rules.mine", "mine"])),
        results=draw(
            st.just({})
            | st.fixed_dictionaries(
                {each: word for each in METHODS if each != "dkim"}
                | {
                    "dkim": st.lists(word.map(lambda each: {"result": each}), max_size=2),
                    "header_from": st.just(author),
                }
            )
        ),
        **draw(st.sampled_from([{}, {"signed_by": ["x/y"]}, {"unsigned": "envelope"}, {"unsigned": "author"}])),
    )


@st.composite
def filters(draw):
    def some(strategy, empty=""):
        return draw(st.one_of(*[st.just(empty)] * 3, strategy))

    def of_address():
        return draw(st.sampled_from(NAMES[:-1])) if draw(st.booleans()) else address(draw)

    return Filter(
        since=some(st.integers(-3, 3).map(lambda each: NOW + each), None),
        until=some(st.integers(-3, 4).map(lambda each: NOW + each), None),
        queue_id=some(st.sampled_from(QUEUE_IDS)),
        message_id=some(st.sampled_from(["<1@x>", "2@x", "<2@x>", "%", "m" * 1000])),
        author=some(st.sampled_from(NAMES[:-1])),
        client=some(st.sampled_from(NETWORKS).map(ip_network), None),
        recipient=of_address() if draw(st.integers(0, 3)) == 0 else "",
        address=of_address() if draw(st.integers(0, 3)) == 0 else "",
        verdict=some(st.just("reject")),
        rule=some(st.sampled_from(["mine", "dmarc.reject"])),
        results=tuple((each, "fail") for each in METHODS if draw(st.integers(0, 9)) == 0),
        signing=some(st.sampled_from(["signed", "unsigned", "unsigned:envelope", "unsigned:later"])),
    )


@contextmanager
def holding(url, *found):
    """A database with these records."""
    engine = database.connect(url)
    database.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM recipient"))
        connection.execute(text("DELETE FROM message"))
        writing.add(connection, (rows(each, json.dumps(each).encode()) for each in found))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def made(folder):
    with holding(file(folder)):
        return folder


def file(folder):
    return database.address(str(folder), None)


def agrees(url, few, found, wanted, most):
    """Does a search find what the filter says, all at once, page by page, and by numbers?"""
    with pytest.MonkeyPatch.context() as patched, holding(url, *found) as connection:
        patched.setattr(reading, "_FEW", few)
        patched.setattr(reading, "_MOST_SORTED", few)
        listed = list(reading.search(database.asking(connection), wanted, most))
        every = list(reading.search(database.asking(connection), Filter()))
        expected = [each for each in every if wanted.fits(rows(each.record, b""))]
        assert sorted(each.record["number"] for each in every) == sorted(each["number"] for each in found)
        assert [(each.time, each.number) for each in every] == sorted(((e.time, e.number) for e in every), reverse=True)
        assert listed == expected[:most]
        pages, before = [], None
        while page := list(reading.search(database.asking(connection), wanted, 2, before)):
            pages += page
            before = page[-1].time, page[-1].number
        assert pages == expected
        middle = every[len(every) // 2].number if every else 0
        after = list(reading.after(database.asking(connection), middle, wanted))
        assert after == sorted(each.number for each in expected if each.number > middle)
        assert list(reading.records(database.asking(connection), after)) == sorted(
            (each for each in expected if each.number > middle), key=lambda each: each.number
        )


@pytest.mark.parametrize("few", [0, 2, 20_000])
@settings(max_examples=25, deadline=None)
@given(found=st.lists(records(), max_size=12), wanted=filters(), most=st.none() | st.integers(1, 5))
def test_a_search_finds_what_fits(few, tmp_path_factory, found, wanted, most):
    """Whichever index it uses."""
    agrees(file(tmp_path_factory.getbasetemp()), few, found, wanted, most)


@settings(max_examples=25, deadline=None)
@given(found=st.lists(records(), max_size=12), wanted=filters(), most=st.none() | st.integers(1, 5))
def test_a_search_finds_the_same_without_sqlalchemy(tmp_path_factory, found, wanted, most):
    folder = tmp_path_factory.getbasetemp()
    with holding(file(folder), *found) as connection, sqlite.asking(folder) as ask:
        for search in (
            lambda ask: reading.search(ask, wanted, most),
            lambda ask: reading.after(ask, 0, wanted),
            lambda ask: [reading.oldest(ask), reading.newest(ask), reading.positions(ask)],
        ):
            assert list(search(ask)) == list(search(database.asking(connection)))


def test_a_search_for_a_method_that_is_none(tmp_path):
    with sqlite.asking(made(tmp_path)) as ask, pytest.raises(ValueError, match="no method"):
        list(reading.search(ask, Filter(results=(("dkim = '' OR 1 --", "x"),))))


@pytest.fixture(scope="module")
def url(postgresql):
    """A database of PostgreSQL."""
    return database.address("", postgresql.url(postgresql.new()))


@pytest.mark.xdist_group("postgresql")
@settings(max_examples=25, deadline=None)
@given(few=st.sampled_from([0, 2, 20_000]), found=st.lists(records(), max_size=12), wanted=filters())
def test_a_search_finds_what_fits_in_postgresql(url, few, found, wanted):
    agrees(url, few, found, wanted, 4)


@given(st.text(max_size=300))
def test_any_text_has_keys(words):
    for key in (keys.of_domain(words), keys.of_address(words), keys.of_client(words), keys.of_message_id(words)):
        assert len(key.encode()) < 2600, "PostgreSQL takes no more into an index"
        assert "\0" not in key
    assert keys.within(words).has(keys.of_domain(words)) or not keys.of_domain(words)


@given(st.lists(st.from_regex("[a-z0-9_]([a-z0-9_-]{0,3}[a-z0-9])?", fullmatch=True), min_size=2, max_size=5))
def test_a_domain_is_next_to_those_below_it(labels):
    name = ".".join(labels)
    below, above = f"x.{name}", ".".join(labels[1:])
    assert keys.within(name).has(keys.of_domain(below))
    assert keys.within(above).has(keys.of_domain(name))
    assert keys.within(above).has(keys.of_address(f"\x00~@{name}"))
    assert not keys.within(name).has(keys.of_domain(above))
    assert not keys.within(name).has(keys.of_domain(f"x{name}"))


@given(st.ip_addresses(), st.ip_addresses(), st.data())
def test_a_network_has_its_clients(one, other, data):
    network = ip_network((one, data.draw(st.integers(0, one.max_prefixlen))), strict=False)
    assert keys.in_network(network).has(keys.of_client(str(one)))
    assert keys.in_network(network).has(keys.of_client(str(other))) is (other in network)
    assert keys.of_client(str(ip_address("::ffff:192.0.2.1"))) != keys.of_client("192.0.2.1")


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        (Filter(queue_id="X"), {"message_queue_id"}),
        (Filter(message_id="X"), {"message_message_id"}),
        (Filter(address="bob@bank.example"), {"recipient_key", "message_mail_from"}),
        (Filter(author="bank.example"), {"message_author"}),
        (Filter(client=ip_network("192.0.2.1")), {"message_client"}),
        (Filter(client=ip_network("192.0.2.0/24"), since=NOW), {"message_client"}),
        (Filter(results=(("dkim", "fail"),)), {"message_time"}),
        (Filter(signing="unsigned"), {"message_time"}),
        (Filter(), {"message_time"}),
    ],
)
def test_each_search_has_its_index(tmp_path, wanted, indexes):
    """A table is never read from end to end."""
    asked = []
    with holding(file(tmp_path), *(record(f"Q{number}") for number in range(20))) as connection:

        @event.listens_for(connection.engine, "before_cursor_execute")
        def note(_, __, statement, parameters, *___):
            if statement.startswith("SELECT") and "sqlite" not in statement:
                asked.append((statement, parameters))

        list(reading.search(database.asking(connection), wanted, 5))
        event.remove(connection.engine, "before_cursor_execute", note)
        plans = [
            step[3]
            for statement, parameters in asked
            for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    found = {index for plan in plans for index in indexes if f" {index} " in f"{plan} "}
    assert found == indexes, plans
    used = [plan for plan in plans if plan.startswith(("SEARCH", "SCAN"))]
    assert all("INDEX" in plan or "PRIMARY KEY" in plan or plan == "SCAN found" for plan in used), used


@pytest.mark.parametrize(
    ("text", "words", "filters"),
    [
        ("4bXyZk2mNzQqL", "queue id", [Filter(queue_id="4bXyZk2mNzQqL"), Filter(message_id="4bXyZk2mNzQqL")]),
        ("ABCDEF01", "queue id", [Filter(queue_id="ABCDEF01"), Filter(message_id="ABCDEF01")]),
        ("<1@x>", "Message-ID", [Filter(message_id="<1@x>"), Filter(address="1@x")]),
        ("bob@x.example", "recipient", [Filter(message_id="bob@x.example"), Filter(address="bob@x.example")]),
        ("x.example", "author domain", [Filter(message_id="x.example"), Filter(author="x.example")]),
        (".", "queue id", [Filter(queue_id="."), Filter(message_id=".")]),
        ("192.0.2.1", "client", [Filter(client=ip_network("192.0.2.1"))]),
        ("[2001:db8::1]", "client", [Filter(client=ip_network("2001:db8::1"))]),
    ],
)
def test_what_an_id_may_be(text, words, filters):
    said, found = of_any_id(text)
    assert words in said
    assert found == filters


def test_a_record_that_cannot_be_read_is_left_out(tmp_path):
    with holding(file(tmp_path), record("Q1"), record("Q2")) as connection:
        connection.execute(text("UPDATE message SET record = x'07' WHERE queue_id = 'Q1'"))
        assert [each.record["queue_id"] for each in reading.search(database.asking(connection), Filter())] == ["Q2"]
        assert reading.one(database.asking(connection), 1) is None
        assert reading.one(database.asking(connection), 2).record["queue_id"] == "Q2"
        assert reading.one(database.asking(connection), 99) is None
        assert reading.oldest(database.asking(connection)) == NOW


@pytest.mark.parametrize("wanted", [Filter(), Filter(author="bank.example"), Filter(recipient="receiver.example")])
def test_records_that_cannot_be_read_do_not_end_the_list(tmp_path, wanted):
    """The next ones take their place, and nothing is shown twice."""
    kept = [record(f"Q{number:02}", time=NOW + number) for number in range(60)]
    with holding(file(tmp_path), *kept) as connection:
        connection.execute(text("UPDATE message SET record = x'07' WHERE queue_id > 'Q30' AND queue_id != 'Q50'"))
        left = ["Q50", *(f"Q{number:02}" for number in range(30, -1, -1))]
        for most in (1, 5, 20, 40, None):
            found = [each.record["queue_id"] for each in reading.search(database.asking(connection), wanted, most)]
            assert found == left[:most]
