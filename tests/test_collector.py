"""From the spool into the database: every record once, whatever happens in between."""

import errno
import fcntl
import gc
import json
import os
import sqlite3
import subprocess
import threading
import time
from contextlib import closing
from itertools import count as numbers

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from mailassay import collector
from mailassay.collector import BATCH
from mailassay.history import service
from mailassay.history.service import Event, What, Worker
from mailassay.history.spool import SPOOL, SUFFIX, Segment
from mailassay.store import FILE, database, writing
from mailassay.store.packed import unpack
from mailassay.store.tables import hourly, message, metadata, recipient, segment
from mailassay.store.usable import Unusable
from tests.lab.program import ENVIRONMENT, PROGRAM
from tests.lab.spooled import NOW, Spooled, record

ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))
of_sqlite = pytest.mark.parametrize("make", ["sqlite"], indirect=True)


@pytest.fixture(params=["sqlite", ON_POSTGRESQL])
def make(request, tmp_path):
    """A ``Spooled`` with these keys of the history; all of a test share a database."""
    history, made = {}, []
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        name = server.new()
        history["database"] = server.url(name)

    def make(host="mx1", **keys):
        made.append(Spooled(tmp_path / host, host, **history, **keys))
        return made[-1]

    yield make
    for each in made:
        each.close()
    if history:
        server.drop(name)


@pytest.fixture
def spooled(make):
    return make()


def test_records_become_rows(spooled):
    spooled.segment(record("Q1"), record("Q2", recipients=["a@x.example", "b@x.example", "a@x.example"]))
    spooled.all()
    first, _ = spooled.rows(message)
    assert {name: first[name] for name in ("queue_id", "author", "dkim", "dmarc", "name", "time", "seconds")} == {
        "queue_id": "Q1", "author": "bank.example", "dkim": "pass", "dmarc": "pass", "name": "mail.bank.example",
        "time": NOW, "seconds": 0.003,
    }  # fmt: skip
    assert unpack(first["record"]) == record("Q1")
    assert sorted((each["message"], each["key"]) for each in spooled.rows(recipient)) == [
        (1, "example.receiver.@bob"), (2, "example.x.@a"), (2, "example.x.@b"),
    ]  # fmt: skip
    assert spooled.count("verdict", "accept\taccept") == 2
    assert spooled.count("result", "dkim\tpass") == 2
    assert spooled.count("seconds", "0.005") == 2
    assert spooled.left() == []
    assert spooled.rows(segment) == []


def test_a_segment_that_grows(spooled):
    path = spooled.segment(record("Q1"), torn='{"v": 1, "ki')
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        spooled.all()
        assert spooled.queue_ids() == ["Q1"]
        assert spooled.left() == [path.name]
        file.write('nd": "lost", "records": 3}\n')
        file.flush()
        spooled.all()
        assert spooled.count("lost", "unwritten") == 3
        file.write(json.dumps(record("Q2")))
    spooled.all()
    # its worker has ended in the middle of a line
    assert spooled.queue_ids() == ["Q1"]
    assert spooled.count("lost", "unreadable") == 1
    assert spooled.left() == []


def test_a_segment_that_cannot_be_read(spooled):
    """It keeps no other one waiting."""
    (spooled.folder / "spool" / "mx1-0.5-1-1.records").mkdir()
    spooled.segment(record("Q1"))
    spooled.all()
    assert spooled.queue_ids() == ["Q1"]
    assert spooled.left() == ["mx1-0.5-1-1.records"]
    assert "mx1-0.5-1-1.records cannot be read" in spooled.collector.trouble
    (spooled.folder / "spool" / "mx1-0.5-1-1.records").rmdir()
    spooled.all()
    assert spooled.collector.trouble == ""


def test_a_power_cut(spooled, monkeypatch):
    """A deleted segment is deleted on the disk before its place is forgotten, so it does not come back as a new one."""
    path, done = spooled.segment(record("Q1")), []

    def synced(descriptor):
        assert not path.exists()
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        # a place is still known
        assert len(spooled.rows(segment)) == 1

    monkeypatch.setattr(os, "fsync", synced)
    spooled.all()
    assert done == [str(path.parent)]
    assert spooled.rows(segment) == []


class Killed(BaseException):
    """As kill -9: nothing after it runs."""


@pytest.mark.parametrize("at", ["add", "count", "read_up_to", "forget"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere(make, monkeypatch, at, after):
    """All records are there once, and so are the counts."""
    monkeypatch.setattr(collector, "BATCH", 50)
    many = 157
    first, second = make(), make()
    first.segment(*(record(f"Q{number}") for number in range(many)))
    for step in range(6):
        steps, real = numbers(), getattr(writing, at)

        def killed(*given, steps=steps, real=real, step=step):
            if is_last := next(steps) == step % 4:
                if after:
                    real(*given)
                raise Killed
            return None if is_last else real(*given)

        with monkeypatch.context() as patched:
            patched.setattr(writing, at, killed)
            try:
                first.all()
            except Killed:
                first.collector.close()
                first.collector = first.another()
    second.all()
    assert second.queue_ids() == sorted(f"Q{number}" for number in range(many))
    assert second.count("verdict") == many
    assert second.left() == []


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("garbage", "unreadable"),
        ("", "unreadable"),
        ("[" * 10_000, "unreadable"),
        ("\x00\x01", "unreadable"),
        ({"v": 1, "kind": "message"}, "unreadable"),
        (record("Q", time="now"), "unreadable"),
        (record("Q", time=float("nan")), "unreadable"),
        (record("Q", time=-1), "unreadable"),
        (record("Q", time=str(NOW)), "unreadable"),
        (record("Q", unsigned=1.5), "unreadable"),
        (record("Q", evidence={"dkim": []}), "unreadable"),
        (record("Q", queue_id=7), "unreadable"),
        (record("Q", recipients=[["x"]]), "unreadable"),
        (record("Q", seconds=[]), "unreadable"),
        (record("Q", seconds=float("nan")), "unreadable"),
        (record("Q", seconds=float("inf")), "unreadable"),
        (record("Q", v=2), "version"),
        ({"v": 1, "kind": "something new"}, "version"),
        ({"v": 1, "kind": "lost", "records": -4}, "version"),
        ({"v": 1, "kind": "lost", "records": 10**30}, "version"),
    ],
)
def test_a_line_that_is_no_record(spooled, line, key, caplog):
    """Is counted, and the others go in."""
    spooled.segment(record("Q1"), line, record("Q2"))
    spooled.all()
    assert spooled.queue_ids() == ["Q1", "Q2"]
    assert spooled.count("lost") == spooled.count("lost", key) == 1
    assert "1 records of messages are lost" in caplog.text
    assert spooled.left() == []


def test_counts_that_are_large_together(spooled):
    """They are not the service's. The database takes their sum, or nothing of them."""
    large = [service.values(service.Worker(time=NOW, host="mx1", pid=1, dns_sent=many)) for many in (1 << 62, 1 << 39)]
    spooled.segment(record("Q1"), *large * 300)
    spooled.all()
    assert spooled.left() == []
    assert spooled.queue_ids() == ["Q1"]
    assert spooled.count("dns", "sent") == 300 << 39


def test_a_pipe_in_the_spool_is_left_alone(spooled):
    """Nobody may ever write to it."""
    os.mkfifo(spooled.folder / SPOOL / f"mx1-1.0-1-1{SUFFIX}")
    spooled.segment(record("Q1"))
    spooled.all()
    assert spooled.queue_ids() == ["Q1"]
    assert len(spooled.left()) == 1
    assert not spooled.collector.trouble


# no two of these characters can be packed together
INCOMPRESSIBLE = "".join(chr(0x20000 + 7919 * number % 40_000) for number in range(3000))


@pytest.mark.parametrize(
    "words",
    ["a\x00b", "<script>", "\u202e", "x" * 10_000, INCOMPRESSIBLE, "tab\ttab", "\ufffd", "é", chr(0xD800), "%_'\\"],
)
def test_any_words_go_in(spooled, words):
    results = dict.fromkeys(("name", "header_from", "dmarc", "iprev", "spf", "arc"), words)
    fields = ("message_id", "client", "helo", "mail_from", "verdict", "would", "rule")
    known = record(words, **dict.fromkeys(fields, words), recipients=[words], monitored=[words], results=results)
    spooled.segment(known, record("Q2", results=results | {"dmarc": "fail", "limit": words}, client=words))
    spooled.all()
    found, _ = sorted(spooled.rows(message), key=lambda row: row["id"])
    assert unpack(found["record"]) == known
    column = words.replace("\x00", "\ufffd").replace("\t", " ").replace("\ud800", "?")
    assert column.startswith(found["helo"])
    assert len(found["helo"].encode()) > 790 or found["helo"] == column
    assert spooled.count("source") == 1


@of_sqlite
def test_a_file_of_another_program_is_left_alone(spooled):
    file = spooled.folder / FILE
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("CREATE TABLE message (x)")
    other.close()
    before = file.read_bytes()
    with pytest.raises(Unusable, match=r"belongs to another program.*history\.directory"):
        spooled.collector.once()
    assert file.read_bytes() == before


def test_tables_of_a_later_version(spooled):
    spooled.all()
    engine = database.connect(database.address(str(spooled.folder), spooled.history.database))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    spooled.segment(record("Q1"))
    spooled.collector.close()
    with pytest.raises(Unusable, match=r"later version of mailassay \(9999"):
        spooled.collector.once()
    assert len(spooled.left()) == 1


def described(engine):
    """The tables of a database, and their indexes."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.execute(text("SELECT sql FROM sqlite_schema")).scalars()
            return {" ".join(sql.split()) for sql in rows if sql and "alembic" not in sql}
        columns = connection.execute(
            text("""
            SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'alembic%'
        """)
        )
        indexes = connection.execute(
            text("""
            SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic%'
        """)
        )
        return {str(row) for rows in (columns, indexes) for row in rows}


def test_the_migrations_make_the_tables(spooled):
    """Both descriptions say the same."""
    engine = database.connect(database.address(str(spooled.folder), spooled.history.database))
    database.migrate(engine)
    made = described(engine)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert described(engine) == made
    assert len(made) > 5
    engine.dispose()


def test_a_database_that_is_busy_or_full_keeps_the_spool(spooled, monkeypatch, caplog):
    spooled.segment(record("Q1"))
    trouble = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    def full(*_):
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr(writing, "add", full)
        assert not spooled.collector.once()
        assert not spooled.collector.once()
    assert caplog.text.count("database or disk is full") == 1
    assert "INSERT" not in caplog.text
    assert len(spooled.left()) == 1
    spooled.all()
    assert spooled.queue_ids() == ["Q1"]


def test_old_messages_are_deleted(make):
    spooled = make(days=2, messages=1000)
    spooled.segment(*(record(f"Q{number}", time=NOW - number * 3600) for number in range(100)))
    spooled.minutes(60)
    assert spooled.queue_ids() == sorted(f"Q{number}" for number in range(49))
    assert len(spooled.rows(recipient)) == 49
    assert spooled.count("verdict") == 49
    spooled.segment(*(record(f"R{number}") for number in range(1200)))
    spooled.all()
    assert spooled.queue_ids() == sorted(f"R{number}" for number in range(200, 1200))


@pytest.mark.parametrize("years", [1, 75])
def test_a_clock_that_jumps_into_the_future(spooled, years):
    """Costs an hour of the history in a minute, and nothing once it is right again."""
    spooled.segment(*(record(f"Q{number}", time=NOW - number * 3600) for number in range(48)))
    spooled.minutes(1)
    spooled.now += years * 365 * 86_400
    spooled.segment(record("jumped", time=spooled.now))
    spooled.minutes(5)
    spooled.now = NOW
    spooled.minutes(5)
    assert spooled.queue_ids() == sorted(["jumped", *(f"Q{number}" for number in range(43))])
    assert spooled.count("verdict") == 44


def test_a_record_of_another_century(spooled):
    """Is one of now: it is found among the latest, and deleted with them."""
    spooled.segment(record("1970", time=3.5), record("2100", time=4_102_444_800.0), record("now"))
    spooled.minutes(3)
    assert spooled.queue_ids() == ["1970", "2100", "now"]
    spooled.now += 31 * 86_400
    spooled.minutes(3)
    assert spooled.queue_ids() == []
    assert spooled.rows(hourly) == []


@of_sqlite
def test_the_file_does_not_grow_for_ever(make):
    spooled = make(messages=1000)
    sizes = []
    for turn in range(6):
        spooled.segment(*(record(f"{turn}-{number}", helo=os.urandom(300).hex()) for number in range(1000)))
        spooled.all()
        with closing(sqlite3.connect(spooled.folder / FILE)) as file, file:
            sizes.append(file.execute("PRAGMA page_count").fetchone()[0])
        file.close()
    # a batch comes before the one that it replaces is deleted
    assert max(sizes) <= 1.3 * sizes[0]


def test_alembic_is_quiet(tmp_path):
    """Also while it is imported, so this is a process of its own."""
    config = tmp_path / "mailassay.yaml"
    config.write_text(f"history: {{directory: {tmp_path}}}\n")
    command = [*PROGRAM, "collect", "--once", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert (tmp_path / "history.sqlite").exists()
    assert done.stdout + done.stderr == ""


class Listening:
    """A listener that remembers."""

    def __init__(self, spooled):
        self.spooled, self.heard = spooled, []

    def committed(self, batch):
        # it is in the database by now
        assert {each["queue_id"] for each in batch.records} <= set(self.spooled.queue_ids())
        self.heard.append(batch)


def test_the_next_batch_is_made_while_one_is_committed(spooled, monkeypatch):
    """In a thread that has ended when listeners are told: one of them may fork."""
    lines, made_in, threads = Segment.lines, [], []

    def seen(*arguments, **options):
        made_in.append(threading.current_thread().name)
        return lines(*arguments, **options)

    commit = Connection.commit

    def slow(connection):
        end = time.monotonic() + 10
        while len(made_in) < min(3, len(threads) + 2) and time.monotonic() < end:
            time.sleep(0.01)
        commit(connection)

    monkeypatch.setattr(Segment, "lines", seen)
    monkeypatch.setattr(Connection, "commit", slow)
    spooled.collector = spooled.another(lambda _: threads.append([each.name for each in threading.enumerate()]))
    for number in range(3):
        spooled.segment(record(f"Q{number}"))
    spooled.all()
    assert made_in[1:] == ["ahead"] * 2
    assert len(threads) == 3
    assert not [each for each in threads if "ahead" in each]
    assert spooled.queue_ids() == ["Q0", "Q1", "Q2"]


@pytest.mark.parametrize("failing", range(4))
def test_a_commit_fails(spooled, monkeypatch, failing):
    """What was made meanwhile is not added: its place in the segment would hide what the failed batch had."""
    monkeypatch.setattr(collector, "BATCH", 2)
    listening = Listening(spooled)
    spooled.collector = spooled.another(listening.committed)
    spooled.segment(*(record(f"A{number}") for number in range(5)))
    spooled.segment(*(record(f"B{number}") for number in range(5)))
    commit, turns = Connection.commit, iter(range(100))

    def full(connection):
        if next(turns) == failing:
            raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))
        commit(connection)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "commit", full)
        assert not spooled.collector.once()
    assert len(spooled.queue_ids()) == [0, 2, 4, 5][failing]
    spooled.all()
    assert spooled.queue_ids() == [f"{each}{number}" for each in "AB" for number in range(5)]
    assert spooled.count("verdict") == 10
    assert spooled.left() == []


def test_a_segment_that_breaks_off(spooled, monkeypatch):
    """The others do not wait, and nothing of it is passed over."""
    monkeypatch.setattr(collector, "BATCH", 2)
    spooled.segment(*(record(f"A{number}") for number in range(5)))
    spooled.segment(record("B"))
    lines = Segment.lines

    def broken(segment, octets=0, count=0, **options):
        for line in lines(segment, octets, count, **options):
            if line.number == 4:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            yield line

    with monkeypatch.context() as patched:
        patched.setattr(Segment, "lines", broken)
        spooled.collector.once()
    assert spooled.queue_ids() == ["A0", "A1", "B"]
    assert "Input/output error" in spooled.collector.trouble
    spooled.all()
    assert spooled.queue_ids() == ["A0", "A1", "A2", "A3", "A4", "B"]


def test_garbage_is_seldom_looked_for(spooled):
    """While records are moved: nearly all objects are of the batch, and searching them takes a sixth of the time."""
    before, during = gc.get_threshold(), []
    spooled.collector = spooled.another(lambda _: during.append(gc.get_threshold()[0]))
    spooled.segment(record("Q1"))
    spooled.all()
    assert during == [200_000]
    assert gc.get_threshold() == before


def test_a_stop_does_not_wait_for_all_segments(spooled):
    heard = []
    spooled.collector = spooled.another(heard.append, is_over=lambda: len(heard) == 2)
    for number in range(5):
        spooled.segment(record(f"Q{number}"))
    assert not spooled.collector.once()
    assert spooled.collector.trouble
    assert (len(spooled.queue_ids()), len(spooled.left())) == (2, 3)
    spooled.collector.close()
    spooled.collector = spooled.another()
    spooled.all()
    assert spooled.queue_ids() == [f"Q{number}" for number in range(5)]
    assert not spooled.collector.trouble


def test_what_the_service_says_about_itself(spooled):
    """It is counted, and listeners hear it with what else was moved."""
    listening = Listening(spooled)
    spooled.collector = spooled.another(listening.committed)
    worker = Worker(time=NOW, host="mx1", pid=7, messages=3, dns_asked=9, dns_sent=5, dns_failed=2)
    event = Event(time=NOW, host="mx1", what=What.STARTED, workers=2, policy="abc")
    said = [service.values(each) for each in (event, worker, worker)]
    spooled.segment(said[0], record("Q1"), said[1], {"v": 1, "kind": "lost", "records": 4}, said[2])
    spooled.all()
    [batch] = listening.heard
    assert batch.said == [event, worker, worker]
    # the rest would only take memory
    assert [(each["queue_id"], "recipients" in each) for each in batch.records] == [("Q1", False)]
    hour = int(NOW) // 3600
    assert batch.counts[hour, "mx1", "lost", "unwritten"] == 4
    assert batch.counts[hour, "mx1", "verdict", "accept\taccept"] == 1
    assert {
        (each["hour"], each["host"], each["kind"], each["key"]): each["count"] for each in spooled.rows(hourly)
    } == (batch.counts)
    assert (spooled.count("dns", "sent"), spooled.count("dns", "failed")) == (10, 4)


def test_a_line_about_the_service_that_is_none(spooled):
    said = service.values(Worker(time=NOW, host="mx1", pid=7))
    spooled.segment({**said, "messages": -1}, {**said, "v": 2}, {**said, "kind": "event"}, record("Q1"))
    spooled.all()
    assert spooled.queue_ids() == ["Q1"]
    assert spooled.count("lost", "version") == 3


def test_a_batch_is_heard_once(spooled, monkeypatch):
    """Also if its transaction failed at first."""
    listening = Listening(spooled)
    spooled.collector = spooled.another(listening.committed)
    spooled.segment(*(record(f"Q{number}") for number in range(BATCH + 1)))
    with monkeypatch.context() as patched:

        def full(*_):
            raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

        patched.setattr(writing, "read_up_to", full)
        spooled.all()
    assert listening.heard == []
    spooled.all()
    assert [len(each.records) for each in listening.heard] == [BATCH, 1]
