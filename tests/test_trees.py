"""What tests/trees.py says of a run; the run itself is `make test-trees`."""

import subprocess
import sys

import pytest

from tests.lab import tree
from tests.trees import Log, Step, counts, table


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("collected 9 items\n\n=== 1 failed, 8 passed in 66.39s (0:01:06) ===\n", "1 failed, 8 passed"),
        (
            "\x1b[32m\x1b[1m56 passed\x1b[0m, \x1b[33m9 skipped\x1b[0m\x1b[32m in 97.01s\x1b[0m\n",
            "56 passed, 9 skipped",
        ),
        ("== 6 passed in 9.00s ==\nmake: x\n== 3 passed in 1.00s ==\n", "6 passed; 3 passed"),
        ("2 errors in 0.50s\n", "2 errors"),
        ("24 messages judged\n", ""),
    ],
)
def test_counts(printed, expected):
    assert counts(printed) == expected


@pytest.mark.skipif(bool(tree.missing()), reason=tree.missing())
def test_a_tree_ends_with_the_process_that_runs_it():
    """Also if that is killed: a test run in the tree would go on, and write into the same log."""
    program = f"import subprocess, sys; subprocess.run([*{tree._UNSHARE!r}, 'sh', '-c', 'echo begun; exec sleep 600'])"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as runner:
        assert runner.stdout.readline() == b"begun\n"
        runner.kill()
        # that is when the last process that has the pipe has ended
        assert runner.communicate(timeout=60)[0] == b""


def test_table():
    good = [Step("demo", passed=True, seconds=27.4), Step("unit", passed=True, seconds=180, counts="5635 passed")]
    bad = [Step("demo", passed=False, seconds=1), Step("unit", passed=True, seconds=200, counts="5634 passed")]
    assert table({"bookworm": good, "trixie": bad}) == (
        "release   demo         unit\n"
        "bookworm  ok, 27 s     ok, 180 s, 5635 passed\n"
        "trixie    FAILED, 1 s  ok, 200 s, 5634 passed"
    )


def test_a_step_is_logged(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tests.trees.LOGS", tmp_path)
    log = Log("trixie")
    step = log.step("unit", ["/bin/sh", "-c", "echo '3 passed in 1.00s'; echo wrong >&2; exit 1"])
    assert (step.passed, step.counts) == (False, "3 passed")
    assert log.path.read_text() == "\n### unit\n3 passed in 1.00s\nwrong\n"
    assert "trixie: unit: FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], [None, None, None]),
        (["mailassay_1-1_amd64.deb"], [None, None, None]),
        (["mailassay_1-1_all.deb", "mailassay_1-1~deb12u1_amd64.deb"], [1, 0, 0]),
        (["mailassay_1-1~deb12u1_arm64.deb"], [0, None, None]),
    ],
)
def test_which_package_is_for_a_release(tmp_path, names, expected):
    for name in names:
        (tmp_path / name).touch()
    found = [tree.package(release, tmp_path) for release in ("bookworm", "trixie", "forky")]
    assert [path and names.index(path.name) for path in found] == expected


def test_what_is_mounted_in_half_a_tree_is_not_removed(tmp_path, monkeypatch):
    """A debootstrap that was killed may have left this machine's /proc there."""
    monkeypatch.setattr(tree, "BUILD", tmp_path)
    monkeypatch.setattr(tree, "_MOUNTS", tmp_path / "mounts")
    part = tmp_path / "debian-trixie-bare.part"
    (part / "proc").mkdir(parents=True)
    (part / "proc" / "version").touch()
    (tmp_path / "mounts").write_text(f"proc /proc proc rw 0 0\nproc {part}/proc proc rw 0 0\n")
    with pytest.raises(RuntimeError, match=f"unmount them first: {part}/proc$"):
        tree.bare("trixie")
    assert (part / "proc" / "version").exists()
