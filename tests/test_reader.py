"""The history as `why` and `history` read it: database and spool together, each record once."""

import fcntl
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, closing

import pytest

from mailassay.collector import Collector
from mailassay.config import History
from mailassay.history.spool import SPOOL, SUFFIX
from mailassay.store import FILE, database, sqlite
from mailassay.store.filter import Filter
from mailassay.store.reader import Reader
from mailassay.store.usable import Unusable
from tests.lab.folder import open_folder
from tests.lab.program import ENVIRONMENT
from tests.lab.spooled import NOW, record, segment


@pytest.fixture
def history(tmp_path):
    return History(directory=str(tmp_path))


@pytest.fixture
def reader(history):
    found = Reader(history)
    yield found
    found.close()


@pytest.fixture
def collect(history):
    collector = Collector(history, "mx1", lambda: NOW)

    def all_of_it():
        while collector.once():
            pass

    yield all_of_it
    collector.close()


def ids(found):
    return [each["queue_id"] for each in found]


def test_database_and_spool_together(tmp_path, reader, collect):
    assert list(reader.latest(Filter())) == []
    assert reader.oldest() is None
    segment(tmp_path, record("Q1", time=NOW - 5), record("Q2", time=NOW - 3))
    assert ids(reader.latest(Filter())) == ["Q2", "Q1"], "there is no database yet"
    assert not (tmp_path / FILE).exists(), "a reader makes none"
    collect()
    segment(tmp_path, record("Q3", time=NOW - 4), record("Q4", time=NOW))
    assert ids(reader.latest(Filter())) == ["Q4", "Q2", "Q3", "Q1"]
    assert ids(reader.latest(Filter(), 3)) == ["Q4", "Q2", "Q3"]
    assert ids(reader.latest(Filter(queue_id="Q3"))) == ["Q3"]
    assert ids(reader.latest(Filter(author="example", until=NOW))) == ["Q2", "Q3", "Q1"]
    assert ids(reader.latest(Filter(author="example.org"))) == []
    assert reader.oldest() == NOW - 5


def test_what_the_collector_has_read_is_not_shown_twice(tmp_path, reader, collect):
    """A worker still writes to the segment."""
    path = segment(tmp_path, record("Q1"), record("Q2", time=NOW + 1))
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        collect()
        assert path.exists()
        file.write(json.dumps(record("Q3", time=NOW + 2)) + "\n" + '{"v": 1, "kind": "mess')
        file.flush()
        assert ids(reader.latest(Filter())) == ["Q3", "Q2", "Q1"]


@pytest.mark.parametrize(
    "line",
    ["garbage", "[" * 9000, "null", {"v": 9, "kind": "message"}, {"v": 1, "kind": "message"}, {"v": 1, "kind": 3}],
)
def test_a_line_that_is_no_record_is_skipped(tmp_path, reader, line):
    segment(tmp_path, record("Q1"), line, record("Q2", time=NOW + 1))
    assert ids(reader.latest(Filter())) == ["Q2", "Q1"]


def test_what_is_no_file_in_the_spool_is_skipped(tmp_path, reader):
    segment(tmp_path, record("Q1"))
    os.mkfifo(tmp_path / SPOOL / f"mx1-1.0-1-1{SUFFIX}")
    (tmp_path / SPOOL / f"mx1-2.0-1-1{SUFFIX}").mkdir()
    assert ids(reader.latest(Filter())) == ["Q1"]


def test_nothing_is_missed_while_records_move(tmp_path, history, collect):
    """A reader at any moment finds every record once, and one that follows does too."""
    (tmp_path / SPOOL).mkdir()
    many, problems = 400, []
    follower = Reader(history)
    follower.follow(Filter())
    written, followed = threading.Event(), []

    def write():
        for start in range(0, many, 20):
            segment(tmp_path, *(record(f"Q{number}", time=NOW + number) for number in range(start, start + 20)))
            collect()
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    other = Reader(history)
    while not written.is_set():
        before = next(numbers_seen(tmp_path), 0)
        found = ids(other.latest(Filter()))
        if len(found) != len(set(found)) or len(found) < before:
            problems.append(found)
        followed += ids(follower.new(Filter()))
    writer.join()
    followed += ids(follower.new(Filter()))
    follower.close()
    other.close()
    assert problems == []
    assert sorted(followed) == sorted(f"Q{number}" for number in range(many))


def numbers_seen(folder):
    """How many records are in the database at this moment."""
    if (folder / FILE).exists():
        file = sqlite3.connect(folder / FILE, timeout=10)
        try:
            yield file.execute("SELECT count(*) FROM message").fetchone()[0]
        except sqlite3.OperationalError:
            # its tables are not made yet
            return
        finally:
            file.close()


def test_following(tmp_path, reader, collect):
    segment(tmp_path, record("Q1"), record("Q2"))
    collect()
    segment(tmp_path, record("Q3"))
    reader.follow(Filter(verdict="accept"))
    shown = ids(reader.latest(Filter(verdict="accept"), 1))
    assert len(shown) == 1
    assert reader.new(Filter(verdict="accept")) == []
    collect()
    assert reader.new(Filter(verdict="accept")) == [], "they only moved"
    path = segment(tmp_path, record("Q4"), record("Q5", verdict="reject"))
    assert ids(reader.new(Filter(verdict="accept"))) == ["Q4"]
    with path.open("a") as file:
        file.write(json.dumps(record("Q6")) + "\n")
    assert ids(reader.new(Filter(verdict="accept"))) == ["Q6"]
    segment(tmp_path, record("Q7"))
    collect()
    assert ids(reader.new(Filter(verdict="accept"))) == ["Q7"], "it moved before it was seen"
    assert reader.new(Filter(verdict="accept")) == []


def test_following_into_another_file(tmp_path, reader, collect, history):
    """The collector moves a damaged file away, and the numbers of the next one begin anew."""
    segment(tmp_path, *(record(f"Q{number}") for number in range(20)))
    collect()
    reader.follow(Filter())
    for each in tmp_path.glob(f"{FILE}*"):
        each.rename(each.with_name(f"{each.name}.damaged"))
    segment(tmp_path, record("R1"), record("R2"))
    other = Collector(history, "mx1", lambda: NOW)
    other.once()
    other.close()
    assert ids(reader.new(Filter())) == ["R1", "R2"]


TRY = """
import fcntl, sys
try:
    fcntl.lockf(open(sys.argv[1], "r+b"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("locked")
"""


def test_to_look_for_the_file_ends_no_lock(tmp_path):
    """Locks of POSIX, such as SQLite's, end when any descriptor of the file is closed, whoever has opened it."""
    file = made(tmp_path)
    with file.open("r+b") as holder:
        fcntl.lockf(holder, fcntl.LOCK_EX)
        assert sqlite.is_there(file, tmp_path)
        command = [sys.executable, "-c", TRY, str(file)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "locked\n"


def made(folder):
    engine = database.connect(database.address(str(folder), None))
    database.migrate(engine)
    engine.dispose()
    return folder / FILE


@pytest.fixture(params=["sqlite3", "SQLAlchemy"])
def asking(request, tmp_path, history):
    """Opens the database for a search, in both ways."""
    if request.param == "sqlite3":
        yield lambda: sqlite.asking(tmp_path)
        return
    with closing(database.Reading(history)) as reading:
        yield reading.asking


def test_a_reader_cannot_write(tmp_path, asking):
    made(tmp_path)
    with pytest.raises(Unusable) as raised, asking() as ask:
        list(ask("DELETE FROM message", {}))
    assert "attempt to write a readonly database" in str(raised.value.__cause__)


def test_there_is_no_database_yet(tmp_path, asking):
    with asking() as ask:
        assert ask is None
    # the collector has only begun
    (tmp_path / FILE).touch()
    with asking() as ask:
        assert ask is None
    assert list((tmp_path / FILE).parent.iterdir()) == [tmp_path / FILE]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", "of a later version of mailassay (9999; this one knows"),
        ("UPDATE alembic_version SET version_num = '0000'", "of an older version of mailassay; mailassay-collector"),
        ("DROP TABLE alembic_version", "belongs to another program"),
    ],
)
def test_tables_that_are_not_ours(tmp_path, asking, change, words):
    file = made(tmp_path)
    with closing(sqlite3.connect(file)) as other, other:
        other.execute(change)
    other.close()
    with pytest.raises(Unusable) as found, asking():
        pytest.fail("it is read")
    assert words in str(found.value)
    assert str(file) in str(found.value)


def test_a_damaged_file(tmp_path, asking):
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    with pytest.raises(Unusable, match=r"history\.sqlite cannot be read: file is not a database"), asking():
        pytest.fail("it is read")


def test_a_server_that_is_away(tmp_path):
    reader = Reader(History(directory=str(tmp_path), database="postgresql://x:secret@127.0.0.1:1/mail"))
    with pytest.raises(Unusable, match=r"postgresql.*cannot be read: .*[Cc]onnection refused") as found:
        list(reader.latest(Filter()))
    assert "secret" not in str(found.value)


AS_NOBODY = """
import os, pwd, sys
from mailassay.config import History
from mailassay.store.usable import Unusable
from mailassay.store.filter import Filter
from mailassay.store.reader import Reader
import mailassay.store.reading
os.seteuid(pwd.getpwnam("nobody").pw_uid)
for folder in sys.argv[1:]:
    try:
        print(len(list(Reader(History(directory=folder)).latest(Filter()))))
    except Unusable as error:
        print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_permissions():
    """The message names what cannot be read, and a command that can."""
    with open_folder() as above, ExitStack() as stack:
        closed = {}
        for name in ("open", "directory", "spool", "file", "idle"):
            folder = above / name
            folder.mkdir()
            segment(folder, record("Q1"))
            collector = Collector(History(directory=str(folder)), "mx1", lambda: NOW)
            collector.once()
            stack.callback(collector.close)
            # the collector lets nobody else read them
            for file in folder.glob(f"{FILE}*"):
                assert file.stat().st_mode & 0o777 == 0o600
                file.chmod(0o644)
            closed[folder] = {"directory": folder, "spool": folder / SPOOL}.get(name, folder / FILE)
            match name:
                case "directory" | "spool":
                    closed[folder].chmod(0o700)
                case "file":
                    closed[folder].chmod(0o600)
                case "idle":
                    # nobody has made the files beside it that SQLite needs, and this user must not
                    collector.close()
        command = [sys.executable, "-c", AS_NOBODY, *map(str, closed)]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
        first, *others = done.stdout.splitlines()
        assert first == "1"
        for (folder, path), said in zip(list(closed.items())[1:], others, strict=True):
            assert said.startswith(f"{path if folder.name != 'directory' else folder}")
            # who owns it may not be visible
            assert re.search(
                "cannot be read by this user. Try `sudo -u (root|mailassay) mailassay ...`, or as root", said
            )
