"""``make fuzz``: every target in turn under atheris, each for its share of the time.

What is learnt stays in the work folder and is where the next run begins; ``--merge`` takes from it into the corpus what
reaches code that the corpus does not. The input of a finding that is fixed is put there by hand, by a telling name.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .targets import CORPUS, TARGETS, WORDS

_SLOW = 10  # seconds for one input, wall clock: a finding
_MIB = 1024  # of memory
_KEPT = 4096  # octets of the largest input that becomes part of the corpus


@dataclass(frozen=True)
class Ran:
    """What one target did: inputs tried, seconds, the inputs that reproduce what was found."""

    executions: int
    seconds: float
    findings: list[Path]


def _command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz.run", name, *map(str, arguments)]


def fuzz(name: str, seconds: int, work: Path) -> Ran:
    """Run one target for a while, or up to its first finding."""
    learnt, found = work / "corpus" / name, work / "findings"
    learnt.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    before, begun = set(found.glob(f"{name}-*")), time.monotonic()
    options = [
        f"-max_total_time={seconds}", f"-max_len={TARGETS[name].octets}", f"-timeout={_SLOW}", f"-rss_limit_mb={_MIB}",
        f"-dict={WORDS}", f"-artifact_prefix={found}/{name}-", "-print_final_stats=1", "-report_slow_units=2",
    ]  # fmt: skip
    log = work / f"{name}.log"
    with log.open("w") as output:
        subprocess.run(_command(name, *options, learnt, CORPUS / name), stdout=output, stderr=output, check=False)
    text = log.read_text(errors="replace")
    counts = re.findall(r"number_of_executed_units:\s*(\d+)", text)
    if not counts:
        # killed by its own alarm, or never begun
        counts = re.findall(r"^#(\d+)\t", text, re.MULTILINE) or sys.exit(f"{name} did not run: see {log}")
    return Ran(int(counts[-1]), time.monotonic() - begun, sorted(set(found.glob(f"{name}-*")) - before))


def merge(name: str, work: Path) -> None:
    """Into the corpus, in small, what covers more."""
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    # by lines reached alone, not by how often: few inputs
    options = ["-merge=1", "-use_counters=0", f"-max_len={_KEPT}"]
    subprocess.run(_command(name, *options, CORPUS / name, work / "corpus" / name), check=True)


def _line(name: str, executions: int, seconds: float, findings: int) -> str:
    return f"{name:<13} {executions:>9} executions in {seconds:>6.1f} s, {findings} findings"


def main() -> int:
    """1 where there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=600, help="for all together (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=Path("build/fuzz"), help="folder (default: %(default)s)")
    parser.add_argument("--merge", action="store_true", help="fuzz nothing, enlarge the corpus by what was learnt")
    given = parser.parse_args()
    names = given.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if given.merge:
        for name in names:
            merge(name, given.work)
        return 0
    parts = sum(TARGETS[name].share for name in names)
    total = []
    for name in names:
        ran = fuzz(name, max(1, given.seconds * TARGETS[name].share // parts), given.work)
        print(_line(name, ran.executions, ran.seconds, len(ran.findings)), flush=True)
        for path in ran.findings:
            print(f"    {path}", flush=True)
        total.append(ran)
    findings = sum(len(ran.findings) for ran in total)
    executions, seconds = sum(ran.executions for ran in total), sum(ran.seconds for ran in total)
    print(_line("together", executions, seconds, findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
