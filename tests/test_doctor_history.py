"""What the doctor sees of a history: real files, a real collector. tests/test_doctor.py has what it says of them."""

import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mailassay.store
from mailassay.collector import Collector
from mailassay.config import History, Listen, Settings, Web
from mailassay.doctor.facts import Kept
from mailassay.doctor.gather_history import kept, paths
from tests.lab.program import ENVIRONMENT, PROGRAM

NOW = 1_800_000_000.0
LOST = {"v": 1, "kind": "lost", "records": 3}


class Place:
    """A folder with a history."""

    def __init__(self, folder):
        self.folder, self.spool, self.file = folder, folder / "spool", folder / "history.sqlite"
        self.history = History(directory=str(folder))
        self.web = Web()
        self.unseen = []

    def segment(self, name, *lines, age=0.0):
        self.spool.mkdir(exist_ok=True)
        path = self.spool / f"mx1-{name}.0-1-1.records"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        os.utime(path, (NOW - age, NOW - age))
        return path

    def collect(self, now=NOW):
        collector = Collector(self.history, "mx1", lambda: now)
        while collector.once():
            pass
        collector.close()

    def change(self, statement):
        with closing(sqlite3.connect(self.file)) as database, database:
            database.execute(statement)

    def seen(self, now=NOW):
        """The facts; what could not be seen is in ``unseen``."""
        self.unseen = []
        return kept(Settings(history=self.history, web=self.web), self.unseen, now)


@pytest.fixture
def here(tmp_path):
    return Place(tmp_path)


def test_without_a_history_there_is_nothing_to_see():
    assert kept(Settings(), [], NOW) is None
    assert [*paths(History())] == []


def test_what_the_service_writes_to(here):
    assert [*paths(here.history)] == [str(here.folder), str(here.spool), str(here.file)]
    shared = History(directory=str(here.folder), database="postgresql://a@b/c")
    assert [*paths(shared)] == [str(here.folder), str(here.spool)]


def test_a_history_that_has_not_begun(here):
    found = here.seen()
    assert found == Kept(collected=False, lost=None, size=0, free=found.free)
    assert found.free > 0
    gone = kept(Settings(history=History(directory=f"{here.folder}/gone")), here.unseen, NOW)
    assert gone == Kept(collected=False, lost=None, size=0, free=None)
    assert here.unseen == []


def test_records_that_are_lost(here):
    """Those of the last day."""
    here.segment(1, LOST, {"v": 99, "kind": "message"})
    here.collect()
    assert here.seen().lost == 4
    assert here.seen(NOW + 23 * 3600).lost == 4
    assert here.seen(NOW + 25 * 3600).lost == 0
    assert here.seen().size == here.file.stat().st_size


def test_looking_leaves_nothing_behind(here):
    here.segment(1, LOST)
    here.collect()
    before = sorted(path.name for path in here.folder.iterdir())
    assert here.seen().lost == 3
    assert sorted(path.name for path in here.folder.iterdir()) == before == ["history.sqlite", "spool"]


def test_the_database_while_a_collector_has_it(here):
    """What is still in SQLite's own log counts."""
    here.segment(1, LOST)
    collector = Collector(here.history, "mx1", lambda: NOW)
    collector.once()
    assert (here.folder / "history.sqlite-wal").exists()
    assert here.seen().lost == 3
    assert here.seen().size > here.file.stat().st_size
    collector.close()


def test_how_far_the_collector_is_behind(here):
    """A segment that a worker may still write to does not wait, whatever its age."""
    here.segment(1, age=3600.0)
    open_ = here.segment(2, age=7200.0)
    here.segment(3, age=5.0)
    worker = os.open(open_, os.O_WRONLY)
    fcntl.flock(worker, fcntl.LOCK_EX)
    found = here.seen()
    assert (found.waiting, found.behind) == (2, 3600.0)
    os.close(worker)
    assert here.seen().behind == 7200.0


@pytest.mark.process
def test_a_collector_is_seen_by_its_lock(here):
    config = here.folder / "mailassay.yaml"
    assert here.seen().collected is False
    here.spool.mkdir()
    assert here.seen().collected is False
    here.web = Web(Listen("unix", path=f"{here.folder}/web.sock"))
    config.write_text(f"history: {{directory: {here.folder}}}\nweb: {{listen: unix:{here.folder}/web.sock}}\n")
    command = [*PROGRAM, "collect", "--config", str(config)]
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE) as running:
        end = time.monotonic() + 60
        try:
            while not (found := here.seen()).collected or found.pages or found.stuck:
                assert running.poll() is None, running.stderr.read()
                assert time.monotonic() < end, found
                time.sleep(0.05)
            assert found.pages is None
        finally:
            running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    assert here.seen().collected is False


def test_a_database_of_a_later_version(here):
    here.collect()
    here.change("UPDATE alembic_version SET version_num = '9001'")
    found = here.seen()
    assert found.trouble == f"{here.file}: its tables are of a later version of mailassay (9001)"
    assert found.lost is None


def test_a_database_of_another_program(here):
    here.change("CREATE TABLE a (x)")
    assert here.seen().trouble == f"{here.file}: it belongs to another program"


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database(here, content):
    here.file.write_bytes(content)
    assert bool(here.seen().trouble) == bool(content)
    assert here.unseen == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A database in which three records are lost."""
    place = Place(tmp_path_factory.mktemp("history"))
    place.segment(1, LOST)
    place.collect()
    return place.file


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=50))
def test_a_damaged_database_ends_nothing(here, whole, changes):
    damaged = bytearray(whole.read_bytes())
    for place, octet in changes:
        damaged[place % len(damaged)] = octet
    here.file.write_bytes(damaged)
    # whatever it says, it raises nothing
    found = here.seen()
    assert found.lost == 3 or damaged != whole.read_bytes()


def test_what_is_no_file_is_not_opened(here):
    """Whoever opened a FIFO would wait for a writer."""
    here.spool.mkdir()
    os.mkfifo(here.file)
    os.mkfifo(here.spool / "mx1-1.0-1-1.records")
    assert here.seen() == Kept(collected=False, lost=None, size=0, free=here.seen().free)


def test_what_may_not_be_seen_is_said(here):
    here.collect()
    here.folder.chmod(0)
    user = os.geteuid()
    try:
        # root may read everything
        os.seteuid(user or 65_534)
        found = here.seen()
    finally:
        os.seteuid(user)
        here.folder.chmod(0o700)
    assert found.collected is None
    assert here.unseen == [f"{here.spool}: Permission denied"]


@contextmanager
def answering(response):
    """A socket where whoever connects gets this, whatever it asks for."""

    def answer():
        with suppress(OSError):
            while True:
                channel, _ = listener.accept()
                with channel:
                    channel.sendall(response)
                    channel.shutdown(socket.SHUT_WR)
                    channel.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield Web(Listen("inet", host="127.0.0.1", port=listener.getsockname()[1]))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("response", "pages", "stuck"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Security-Policy: x\r\n\r\nok\n", None, ""),
        (b"HTTP/1.1 503 No\r\nContent-Security-Policy: x\r\n\r\ndisk is full\n", None, "disk is full"),
        (b"HTTP/1.1 503 No\r\nContent-Security-Policy: x\r\n\r\n" + b"\xff" * 100_000, None, "\ufffd" * 1000),
        (b"HTTP/1.1 200 OK\r\n\r\nok\n", "another program answers there", ""),
        (b"HTTP/1.1 404 No\r\nContent-Security-Policy: x\r\n\r\nok\n", "another program answers there", ""),
        (b"220 mx.example.org ESMTP\r\n", "another program answers there", ""),
        (b"HTTP/1.1 " + b"x" * 100_000, "another program answers there", ""),
        (b"", "another program answers there", ""),
    ],
)
def test_what_answers_in_the_place_of_the_pages(here, response, pages, stuck):
    with answering(response) as here.web:
        found = here.seen()
    assert (found.pages, found.stuck) == (pages, stuck)


def test_pages_that_are_not_there(here):
    here.web = Web(Listen("unix", path=f"{here.folder}/web.sock"))
    assert here.seen().pages == "no such file or directory"


def test_libraries_that_are_missing(here, monkeypatch):
    assert here.seen().missing == ()
    monkeypatch.setattr("mailassay.doctor.gather_history.find_spec", lambda _: None)
    assert here.seen().missing == ("sqlalchemy", "alembic")
    shared = History(directory=str(here.folder), database="postgresql://a@b/c")
    assert kept(Settings(history=shared), [], NOW).missing == ("sqlalchemy", "alembic", "psycopg")


def test_no_library_is_needed_to_look():
    program = "import sys, mailassay.doctor; print(*sorted({'sqlalchemy', 'alembic', 'psycopg'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_the_versions_of_the_tables_are_those_of_alembic():
    config = Config()
    config.set_main_option("script_location", f"{os.path.dirname(mailassay.store.__file__)}/migrations")
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    assert mailassay.store.revisions() == known
