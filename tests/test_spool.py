"""The way of a record from a worker to the collector."""

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
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.config import Settings
from mailassay.evidence import Transaction
from mailassay.history import spool
from mailassay.history.record import Judged
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
    while not is_so():
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
    now = [1000.0]
    writer = Spool(tmp_path, lambda: now[0])

    def add(queue_id):
        writer.add(judged(queue_id))
        until(lambda: queue_id in queue_ids(tmp_path))

    add("Q1")
    add("Q2")
    now[0] += spool.MAX_SECONDS
    add("Q3")
    assert [len(list(each.lines())) for each in segments(tmp_path)] == [2, 1]
    monkeypatch.setattr(spool, "MAX_OCTETS", 1)
    add("Q4")
    writer.close()
    assert [each.is_complete() for each in segments(tmp_path)] == [True] * 3
    assert queue_ids(tmp_path) == ["Q1", "Q2", "Q3", "Q4"]


def test_a_clock_that_jumps_back_loses_nothing(tmp_path):
    now = [1000.0]
    writer = Spool(tmp_path, lambda: now[0])
    for number in range(5):
        writer.add(judged(f"Q{number}"))
        until(lambda: f"Q{number}" in queue_ids(tmp_path))  # noqa: B023 - called at once
        now[0] -= 10 * spool.MAX_SECONDS
    writer.close()
    assert sorted(queue_ids(tmp_path)) == [f"Q{number}" for number in range(5)]


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
    writer = Spool(tmp_path)
    undo = limited(1000)
    try:
        for number in range(4):
            writer.add(judged(f"Q{number}"))
        until(lambda: "are lost" in caplog.text)
    finally:
        undo()
    writer.add(judged("Q5"))
    writer.close()
    found = written(tmp_path)
    whole = [each for each in found if each]
    lost = sum(each["records"] for each in whole if each["kind"] == "lost")
    assert None in found
    assert queue_ids_of(whole)[-1] == "Q5"
    assert len(queue_ids_of(whole)) + lost == 5


def queue_ids_of(found):
    return [each["queue_id"] for each in found if each["kind"] == "message"]


def test_nobody_waits_for_a_disk_that_hangs(tmp_path, monkeypatch):
    going_on = threading.Event()
    monkeypatch.setattr(spool, "line", lambda *_: going_on.wait() and "{}")
    monkeypatch.setattr(spool, "MAX_WAITING", 5)
    writer = Spool(tmp_path)
    for _ in range(20):
        writer.add(judged())
    going_on.set()
    writer.close()
    found = written(tmp_path)
    assert len(found) - 1 + next(each["records"] for each in found if each) == 20


def test_a_bug_costs_one_record(tmp_path, monkeypatch, caplog):
    lines = iter([RuntimeError("x"), '{"kind": "message", "queue_id": "Q2"}'])

    def line(*_):
        found = next(lines)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(spool, "line", line)
    writer = Spool(tmp_path)
    writer.add(judged("Q1"))
    writer.add(judged("Q2"))
    writer.close()
    assert queue_ids(tmp_path) == ["Q2"]
    assert "queue_id=Q1: no record in the history" in caplog.text


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
