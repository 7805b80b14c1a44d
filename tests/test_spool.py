"""The way of a record from a worker to the collector."""

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.config import Settings
from mailassay.evidence import Transaction
from mailassay.history import service, spool
from mailassay.history.record import Judged
from mailassay.history.service import Event, What, Why, Worker
from mailassay.history.spool import Segment, Spool, segments
from mailassay.judge.outcome import Outcome
from mailassay.verdict import DEFAULT, Action, Verdict

SETTINGS = Settings()


def judged(queue_id="4XyZ12abcd"):
    outcome = Outcome(
        verdict=Verdict(Action.ACCEPT, DEFAULT), transaction=Transaction("a@b.example"), queue_id=queue_id
    )
    return Judged(outcome, SETTINGS, 1_800_000_000.0)


def written(folder):
    """Everything that the segments say."""
    return [each.found for segment in segments(folder) for each in segment.lines(complete=segment.is_complete())]


def until(is_so):
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def queue_ids(folder):
    return [found["queue_id"] for found in written(folder) if found["kind"] == "message"]


def test_every_record_is_a_line(tmp_path):
    writer = Spool(tmp_path)
    for number in range(100):
        writer.add(judged(f"Q{number}"))
    writer.close()
    assert queue_ids(tmp_path) == [f"Q{number}" for number in range(100)]
    [segment] = segments(tmp_path)
    assert segment.is_complete()
    assert os.stat(segment.path).st_mode & 0o777 == 0o600
    assert [each.number for each in segment.lines()] == list(range(1, 101))
    # from any line on
    before = list(segment.lines())[41]
    assert next(segment.lines(before.end, before.number)).found["queue_id"] == "Q42"


def test_the_lock_says_whether_a_worker_still_writes(tmp_path):
    """Also if it was killed."""
    program = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parents[1])!r})
    from pathlib import Path
    from tests.test_spool import Spool, judged, queue_ids
    writer = Spool(Path({str(tmp_path)!r}))
    writer.add(judged("Q1"))
    while queue_ids(Path({str(tmp_path)!r})) != ["Q1"]:
        pass
    print("written", flush=True)
    sys.stdin.read()
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with worker:
        assert worker.stdout.readline() == b"written\n"
        [segment] = segments(tmp_path)
        assert not segment.is_complete()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert segment.is_complete()
    assert queue_ids(tmp_path) == ["Q1"]


def test_a_segment_ends_by_its_size_or_its_age(tmp_path, monkeypatch):
    writer = Spool(tmp_path)

    def add(queue_id):
        writer.add(judged(queue_id))
        until(lambda: queue_id in queue_ids(tmp_path))

    add("Q1")
    add("Q2")
    with monkeypatch.context() as patched:
        patched.setattr(spool, "MAX_SECONDS", 0.0)
        add("Q3")
    assert [len(list(each.lines())) for each in segments(tmp_path)] == [2, 1]
    monkeypatch.setattr(spool, "MAX_OCTETS", 1)
    add("Q4")
    writer.close()
    assert [each.is_complete() for each in segments(tmp_path)] == [True] * 3
    assert queue_ids(tmp_path) == ["Q1", "Q2", "Q3", "Q4"]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0, 0.0])
def test_a_clock_that_jumps(tmp_path, monkeypatch, jump):
    """Nothing is lost, and a segment is as old as it is."""
    now = [1_800_000_000.0]
    writer = Spool(tmp_path, clock=lambda: now[0])

    def add(numbers):
        for number in numbers:
            writer.add(judged(f"Q{number}"))
            until(lambda: f"Q{number}" in queue_ids(tmp_path))  # noqa: B023 - called at once
            now[0] += jump

    add(range(3))
    assert len(segments(tmp_path)) == 1
    monkeypatch.setattr(spool, "MAX_SECONDS", 0.0)
    add(range(3, 6))
    writer.close()
    assert len(segments(tmp_path)) == 4
    assert sorted(queue_ids(tmp_path)) == [f"Q{number}" for number in range(6)]


def test_what_cannot_be_written_is_counted(tmp_path, caplog):
    """A folder that is missing, and then there."""
    folder = tmp_path / "missing" / "spool"
    writer = Spool(folder)
    for number in range(3):
        writer.add(judged(f"Q{number}"))
    until(lambda: "are lost" in caplog.text)
    folder.parent.mkdir()
    writer.add(judged("Q3"))
    writer.close()
    first, *_, last = written(folder)
    assert first["kind"] == "lost"
    assert first["records"] + len(queue_ids(folder)) == 4
    assert last["queue_id"] == "Q3"
    assert caplog.text.count("are lost") == 1
    assert str(folder) in caplog.text


def limited(octets):
    """Files of this process cannot get longer than that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    return lambda: (resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)), signal.signal(signal.SIGXFSZ, before))


def test_a_line_that_was_cut_off_does_not_spoil_the_next(tmp_path, caplog):
    """Nor does it stay: it would be counted twice, as lost and as unreadable."""
    writer = Spool(tmp_path)
    undo = limited(500)
    try:
        for number in range(4):
            writer.add(judged(f"Q{number}"))
        until(lambda: "are lost" in caplog.text)
    finally:
        undo()
    writer.add(judged("Q5"))
    writer.close()
    found = written(tmp_path)
    lost = sum(each["records"] for each in found if each["kind"] == "lost")
    assert queue_ids_of(found)[-1] == "Q5"
    assert len(queue_ids_of(found)) + lost == 5
    assert lost


def test_a_line_that_stays_cut_off_is_the_last_of_its_segment(tmp_path, monkeypatch):
    """It cannot be taken back either."""
    writer = Spool(tmp_path)
    writer.add(judged("Q1"))
    until(lambda: queue_ids(tmp_path) == ["Q1"])

    def refused(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", refused)
        undo = limited(os.stat(segments(tmp_path)[0].path).st_size + 10)
        try:
            writer.add(judged("Q2"))
            until(lambda: segments(tmp_path)[0].is_complete())
        finally:
            undo()
    writer.add(judged("Q3"))
    writer.close()
    assert len(segments(tmp_path)) == 2
    [first, *rest] = written(tmp_path)
    assert first["queue_id"] == "Q1"
    # the collector counts the line that is cut off as lost, so nothing else does
    assert rest == [None, rest[-1]]
    assert rest[-1]["queue_id"] == "Q3"


def queue_ids_of(found):
    return [each["queue_id"] for each in found if each["kind"] == "message"]


@pytest.fixture
def hanging_disk(monkeypatch):
    """Writing waits; a function lets it go on, another waits until it waits."""
    going_on, hanging = threading.Event(), threading.Event()
    append = spool._Segments.append

    def appended(*given):
        hanging.set()
        going_on.wait()
        return append(*given)

    monkeypatch.setattr(spool._Segments, "append", appended)
    yield going_on.set, hanging.wait
    going_on.set()


def test_nobody_waits_for_a_disk_that_hangs(tmp_path, monkeypatch, caplog, hanging_disk):
    go_on, _ = hanging_disk
    monkeypatch.setattr(spool, "MAX_WAITING", 1000)
    writer = Spool(tmp_path)
    for _ in range(20):
        writer.add(judged())
    assert "the disk is too slow" in caplog.text
    assert writer._waiting.qsize() < 20
    go_on()
    there, lost, _ = everything(writer, tmp_path)
    assert there + lost == 20
    assert lost


def test_a_bug_costs_one_record(tmp_path, monkeypatch, caplog):
    lines = iter([RuntimeError("x"), RuntimeError("y"), '{"kind": "message", "queue_id": "Q3"}'])

    def line(*_):
        found = next(lines)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(spool, "line", line)
    writer = Spool(tmp_path)
    for number in range(1, 4):
        writer.add(judged(f"Q{number}"))
    writer.close()
    assert queue_ids(tmp_path) == ["Q3"]
    assert written(tmp_path)[0]["records"] == 2
    assert caplog.text.count("a bug") == 1
    assert "RuntimeError: x" in caplog.text


@contextmanager
def file_system(folder, size):
    """A file system of its own, in memory, of so many octets. Only root can have it."""
    if os.geteuid():
        pytest.skip(reason="needs root, to mount a file system")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        # not while the writer has a file open
        subprocess.run(["umount", "--lazy", folder], check=True)


def everything(writer, folder, add=0):
    """Close it; how many records are there, and how many are lost."""
    for number in range(add):
        writer.add(judged(f"later{number}"))
    writer.close()
    found = [each or {} for each in written(folder)]
    kinds = [each.get("kind") for each in found]
    return kinds.count("message"), sum(each.get("records", 0) for each in found), kinds.count(None)


def test_the_last_room_of_a_file_system_is_for_mail(tmp_path, caplog):
    """Without a collector the spool grows; Postfix must not be without room because of it."""
    folder = tmp_path / "nearly"
    with file_system(folder, 4 << 20):
        (folder / "other").write_bytes(bytes(3800 << 10))
        writer = Spool(folder / "spool")
        writer.add(judged("Q1"))
        until(lambda: "for mail" in caplog.text)
        assert not written(folder / "spool")
        (folder / "other").unlink()
        there, lost, unreadable = everything(writer, folder / "spool", add=1)
    assert (there, lost, unreadable) == (1, 1, 0)


def test_a_file_system_that_is_full(tmp_path, caplog):
    """What does not fit is counted; what comes when there is room again is written."""
    folder = tmp_path / "full"
    with file_system(folder, 256 << 10):
        (folder / "other").write_bytes(bytes(200 << 10))
        writer = Spool(folder / "spool")
        for number in range(500):
            writer.add(judged(f"Q{number}"))
        until(lambda: "No space left" in caplog.text)
        until(lambda: not writer._waiting.qsize())
        (folder / "other").unlink()
        there, lost, unreadable = everything(writer, folder / "spool", add=10)
    assert there + lost == 510
    assert there > 10
    assert lost
    assert not unreadable
    assert caplog.text.count("are lost") == 1


def test_a_file_system_that_is_read_only(tmp_path, caplog):
    folder = tmp_path / "readonly"
    with file_system(folder, 1 << 20):
        (folder / "spool").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        writer = Spool(folder / "spool")
        writer.add(judged("Q1"))
        until(lambda: "are lost" in caplog.text)
        assert "Read-only file system" in caplog.text
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        assert everything(writer, folder / "spool", add=1) == (1, 1, 0)


def test_what_is_lost_when_the_worker_ends_is_logged(tmp_path, caplog):
    """There is no place to write it to."""
    (tmp_path / "spool").touch()
    writer = Spool(tmp_path / "spool")
    for number in range(7):
        writer.add(judged(f"Q{number}"))
    writer.close()
    assert f"7 records of messages are lost: {tmp_path}/spool cannot be written" in caplog.text


def test_what_was_lost_before_the_worker_ends_is_counted(tmp_path, monkeypatch):
    """Also if no record comes after it."""
    monkeypatch.setattr(spool, "line", lambda *_: 1 / 0)
    writer = Spool(tmp_path)
    writer.add(judged())
    assert everything(writer, tmp_path) == (0, 1, 0)


def test_what_still_waits_for_a_disk_that_hangs_is_logged_in_the_end(tmp_path, monkeypatch, caplog, hanging_disk):
    go_on, until_it_hangs = hanging_disk
    monkeypatch.setattr(spool, "_PATIENCE", 0.0)
    writer = Spool(tmp_path)
    writer.add(judged())
    until_it_hangs()
    for _ in range(2):
        writer.add(judged())
    writer.close()
    assert "3 records of messages are lost" in caplog.text
    go_on()
    writer._thread.join()


def test_two_services_share_a_folder(tmp_path):
    """Each has its segments, also if they count alike."""
    writers = [Spool(tmp_path) for _ in range(4)]
    for number in range(200):
        writers[number % 4].add(judged(f"Q{number}"))
    for each in writers:
        each.close()
    assert len(segments(tmp_path)) == 4
    assert sorted(queue_ids(tmp_path)) == sorted(f"Q{number}" for number in range(200))


class Status:
    """What a worker says about itself, set by a test."""

    def __init__(self):
        self.now = Worker(time=1.0, host="mx1", pid=7)

    def __call__(self):
        return self.now


def said(folder):
    return [service.read(each) for each in written(folder) if each["kind"] != "message"]


def test_what_a_worker_says_about_itself(tmp_path, monkeypatch):
    """If something has changed, and in the end; counts are those since the last time."""
    monkeypatch.setattr(spool, "SAY_EVERY", 0.1)
    status = Status()
    writer = Spool(tmp_path, status)
    writer.add(judged("Q1"))
    status.now = replace(status.now, time=2.0, messages=5, dns_sent=9, connections=2)
    until(lambda: said(tmp_path))
    time.sleep(0.3)
    status.now = replace(status.now, time=3.0, messages=7, connections=1)
    until(lambda: len(said(tmp_path)) == 2)
    status.now = replace(status.now, time=4.0, connections=0, dns_failed=1)
    writer.close()
    assert said(tmp_path)[:2] == [
        Worker(time=2.0, host="mx1", pid=7, messages=5, dns_sent=9, connections=2),
        Worker(time=3.0, host="mx1", pid=7, messages=2, connections=1),
    ]
    rest = said(tmp_path)[2:]
    assert rest[-1].ends
    assert sum(each.dns_failed for each in rest) == 1


def test_what_a_worker_has_done_is_not_lost(tmp_path, monkeypatch, caplog):
    """The next line has it too."""
    monkeypatch.setattr(spool, "SAY_EVERY", 0.1)
    (tmp_path / "spool").touch()
    status = Status()
    status.now = replace(status.now, messages=5)
    writer = Spool(tmp_path / "spool", status)
    until(lambda: "cannot be written" in caplog.text)
    (tmp_path / "spool").unlink()
    writer.close()
    assert sum(each.messages for each in said(tmp_path / "spool")) == 5
    assert "records" not in caplog.text


def test_an_event(tmp_path):
    event = Event(time=1.0, host="mx1", what=What.WORKER_ENDED, workers=2, policy="abc", why=Why.SIGNAL, pid=7)
    writer = Spool(tmp_path)
    writer.add(judged("Q1"))
    writer.say(event)
    writer.close()
    assert said(tmp_path) == [event]


def segment_of(folder, octets):
    path = folder / f"mx-1.0-2-3{spool.SUFFIX}"
    path.write_bytes(octets)
    return Segment(path)


@pytest.mark.parametrize(
    ("octets", "growing", "complete"),
    [
        (b"", [], []),
        (b'{"a": 1}\n', [{"a": 1}], [{"a": 1}]),
        (b'{"a": 1}\n{"a"', [{"a": 1}], [{"a": 1}, None]),
        (b'{"a": 1}', [], [None]),
        (b'\n[1]\n1\n{"a": 1}\n', [None, None, None, {"a": 1}], [None, None, None, {"a": 1}]),
        (b"\x00\xff\xfe\n{}\n", [None, {}], [None, {}]),
        (b"[" * 100_000 + b"\n{}\n", [None, {}], [None, {}]),
        (b"x" * (spool.MAX_LINE + 1) + b"\n{}\n", [None, {}], [None, {}]),
        (b"x" * (3 * spool.MAX_LINE) + b"\n{}\n", [None, {}], [None, {}]),
        (b"x" * (3 * spool.MAX_LINE), [], [None]),
        (b'"' + b"y" * (spool.MAX_LINE - 2) + b"\n{}\n", [None, {}], [None, {}]),
    ],
)
def test_lines(tmp_path, octets, growing, complete):
    segment = segment_of(tmp_path, octets)
    assert [each.found for each in segment.lines()] == growing
    assert [each.found for each in segment.lines(complete=True)] == complete


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"{}", b"\n", b"{", b'{"v":1}\n', b"\xff"])).map(b"".join))
def test_any_octets(tmp_path_factory, octets):
    segment = segment_of(tmp_path_factory.mktemp("spool"), octets)
    found = list(segment.lines(complete=True))
    assert len(found) == octets.count(b"\n") + (not octets.endswith(b"\n") and octets != b"")
    # going on from any line gives the rest
    for each in found:
        assert list(segment.lines(each.end, each.number, complete=True)) == found[each.number :]
    if found:
        assert found[-1].end == len(octets)


def test_the_order_of_segments(tmp_path):
    for name in ("b-host-9.5-1-1", "a-10.0-1-1", "a-2.0-7-10", "nonsense", ".hidden-1.0-1-1"):
        (tmp_path / f"{name}{spool.SUFFIX}").touch()
    (tmp_path / "history.sqlite").touch()
    assert [each.name for each in segments(tmp_path)] == ["nonsense", "a-2.0-7-10", "b-host-9.5-1-1", "a-10.0-1-1"]


def test_a_segment_is_locked_before_it_can_be_seen(tmp_path, monkeypatch):
    """The collector would take it for complete."""
    locked = []
    rename = os.rename

    def renamed(before, after):
        with open(before) as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        locked.append(after)
        rename(before, after)

    monkeypatch.setattr(os, "rename", renamed)
    writer = Spool(tmp_path)
    writer.add(judged())
    writer.close()
    assert len(locked) == 1
    json.loads(locked[0].read_text())
