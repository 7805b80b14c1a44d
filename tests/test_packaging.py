"""What builds and installs mailassay, on Debian and elsewhere: ``tools``, and the examples in ``contrib``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def packages(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``tools/packages`` where only the programs in a folder are installed."""
    command = [str(ROOT / "tools/packages"), sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": str(path)})


NEEDED = ["no-such-header=libmilter-dev", "no-such-pip=python3-venv", "no-such-Python.h=python3-dev"]
OWN = (
    "python3"
    if Path(sys.executable).resolve() == Path("/usr/bin/python3").resolve()
    else f"python3.{sys.version_info[1]}"
)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (["dnf"], f"dnf install gcc sendmail-milter-devel {OWN} {OWN}-devel"),
        (["apk"], "apk add gcc musl-dev libmilter-dev python3 python3-dev"),
        (["apt-get", "dnf"], "apt-get install gcc libmilter-dev python3-venv python3-dev"),
        ([], "what Debian calls gcc libmilter-dev python3-venv python3-dev"),
    ],
)
def test_what_is_missing_has_its_name_here(tmp_path, tools, said):
    script(tmp_path / "bin/id", "echo 1000")
    for each in tools:
        script(tmp_path / "bin" / each, "exit 1")
    done = packages(tmp_path / "bin", *NEEDED)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_root_is_told_too_where_there_is_no_apt(tmp_path):
    script(tmp_path / "bin/id", "echo 0")
    script(tmp_path / "bin/dnf", "echo this is never run; exit 1")
    assert packages(tmp_path / "bin", *NEEDED).stderr.startswith("please install (as root): dnf install")


def test_what_is_optional_stops_nothing(tmp_path):
    script(tmp_path / "bin/id", "echo 1000")
    script(tmp_path / "bin/apk", "exit 1")
    script(tmp_path / "bin/cc", "exit 0")
    done = packages(tmp_path / "bin", "optional", "no-such-groff=groff-base")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "not installed, so what needs it will not run: groff\n"


@pytest.mark.parametrize("tool", ["private-venv", "install"])
def test_an_old_python_is_refused(tmp_path, tool):
    """RHEL 9's python3 is 3.9. What to do is said, before anything is made."""
    old = script(tmp_path / "bin/python3", "exit 1")
    command = [str(ROOT / "tools" / tool), str(old), str(tmp_path / "made"), "/x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, os.listdir(tmp_path)) == (1, ["bin"])
    assert "Python 3.11" in done.stderr
    assert "dnf install python3.12" in done.stderr
    assert ("SYSTEM_PYTHON=/usr/bin/python3.12" in done.stderr) is (tool == "private-venv")
