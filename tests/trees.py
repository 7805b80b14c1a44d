"""The project on bare Debian trees: the demo, the tests, and a life of the package. ``make test-trees`` runs this.

    python -m tests.trees [--tests all] [RELEASE ...]

In each release: a tree that debootstrap made, with git, make, Python and a clone of what is committed here.
In it run ``make demo``, ``make unit`` (or the whole ``make test``) and ``make deb``, with this machine's network, since
they fetch packages. Then ``tests/e2e/test_package.py`` runs here, with the package that was made there. What they print
is in ``build/trees/RELEASE.log``. The exit status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import tree
from tests.lab.tree import Tree

ROOT = Path(__file__).parents[1]
LOGS = tree.OF_TREES
BARE = ("git", "make", "python3")
PACKAGE = "package"
HOUR = 3600.0
_COUNTS = re.compile(r"^(?:=+ )?(\d+ (?:passed|failed|error).*?) in \d[\d.]*s\b", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """What one step came to."""

    name: str
    passed: bool
    seconds: float
    counts: str = ""

    def __str__(self) -> str:
        found = f", {self.counts}" if self.counts else ""
        return f"{'ok' if self.passed else 'FAILED'}, {self.seconds:.0f} s{found}"


class Log:
    """The log of a release, which all its steps are written into."""

    def __init__(self, release: str) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        self.path, self._release = LOGS / f"{release}.log", release
        self.path.write_text("")

    def note(self, text: str) -> None:
        """Write a line into the log, and say it."""
        print(f"{self._release}: {text}", flush=True)
        with self.path.open("a") as log:
            print(f"\n### {text}", file=log)

    def step(self, name: str, command: list[str], *, there: bool = True) -> Step:
        """Run a command; ``there``: it leads into a tree, so nothing of our environment goes along."""
        print(f"{self._release}: {name} ...", flush=True)
        began = time.monotonic()
        with self.path.open("a") as log:
            print(f"\n### {name}", file=log, flush=True)
            start = log.tell()
            environment = tree.REACHING if there else None
            try:
                done = subprocess.run(
                    command,
                    env=environment,
                    cwd="/" if there else ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    timeout=HOUR,
                )
            except subprocess.TimeoutExpired:
                print(f"\n### not done after {HOUR:.0f} s", file=log)
                passed = False
            else:
                passed = done.returncode == 0
        with self.path.open(errors="replace") as log:
            log.seek(start)
            found = counts(log.read())
        step = Step(name, passed, time.monotonic() - began, found)
        print(f"{self._release}: {name}: {step}", flush=True)
        return step


def counts(printed: str) -> str:
    """What pytest counted, in each of its runs; colours are left out."""
    return "; ".join(_COUNTS.findall(re.sub(r"\x1b\[[\d;]*m", "", printed)))


def release_steps(release: str, targets: Sequence[str]) -> list[Step]:
    """All steps on a release: what make is told to make in a bare tree, and the life of the package that this made."""
    log = Log(release)
    print(f"{release}: making a tree; the log is {log.path.relative_to(ROOT)}", flush=True)
    try:
        bare = tree.bare(release)
        with (
            tempfile.TemporaryDirectory(prefix=f"{release}-", dir=LOGS) as folder,
            Tree(bare, Path(tempfile.mkdtemp(dir=folder)), systemd=False, online=True) as running,
        ):
            running.fetch(*BARE)
            with (running.root / "committed").open("wb") as file:
                subprocess.run(["git", "bundle", "create", "--quiet", "-", "HEAD"], cwd=ROOT, stdout=file, check=True)
            running.run("git clone --quiet /committed /project")
            steps = [log.step(target, running.command(f"cd /project && make {target}")) for target in targets]
            if made := tree.package(release, running.root / "project/build"):
                shutil.copy(made, tree.OF_TREES)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        log.note(str(error))
        return [Step(name, passed=False, seconds=0) for name in (*targets, PACKAGE)]
    if made:
        command = [sys.executable, "-m", "pytest", "-m", "package", "-k", release, "tests/e2e/test_package.py"]
        return [*steps, log.step(PACKAGE, command, there=False)]
    log.note(f"make {' '.join(targets)} left no package for {release}")
    return [*steps, Step(PACKAGE, passed=False, seconds=0)]


def table(results: dict[str, list[Step]]) -> str:
    """The results as lines, a release each."""
    names = [step.name for step in next(iter(results.values()))]
    rows = [["release", *names]] + [[release, *map(str, steps)] for release, steps in results.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trees", description="Try the project on bare Debian trees.")
    parser.add_argument("--tests", choices=("unit", "all"), default="unit", help="all: the whole `make test`")
    parser.add_argument("releases", metavar="RELEASE", nargs="*", help=f"of {', '.join(tree.RELEASES)}; otherwise all")
    arguments = parser.parse_args()
    releases = arguments.releases or list(tree.RELEASES)
    if unknown := set(releases) - set(tree.RELEASES):
        parser.error(f"unknown release: {', '.join(sorted(unknown))}")
    if why := tree.missing():
        parser.error(why)
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    if changed.stdout:
        print("What is not committed is not tried, except by the tests of the package.")
    targets = ("demo", "test" if arguments.tests == "all" else "unit", "deb")
    results = {release: release_steps(release, targets) for release in releases}
    print(f"\n{table(results)}")
    return any(not step.passed for steps in results.values() for step in steps)


if __name__ == "__main__":
    sys.exit(main())
