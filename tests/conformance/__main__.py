"""Replay the suites of a folder. Exit status: 0 all passed, 1 some did not, 2 some could not be run."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .bench import Bench, Gone
from .suites import READINGS, Report, Suite, SuiteError, find, read, run


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    default = os.environ.get("MAILASSAY_SUITES") or Path(__file__).parents[3] / "shared" / "suites"
    parser.add_argument("folder", nargs="?", type=Path, default=Path(default), help="default: %(default)s")
    folder: Path = parser.parse_args(arguments).folder
    suites, unreadable = [], 0
    for pattern in READINGS:
        for path in find(folder, pattern):
            try:
                suites.append(read(folder, path, pattern))
            except SuiteError as error:
                print(error, file=sys.stderr)
                unreadable += 1
    if not suites and not unreadable:
        print(f"no suites in {folder}", file=sys.stderr)
        return 2
    try:
        with Bench() as bench:
            reports = [_show(suite, bench) for suite in suites]
    except Gone as error:
        print(f"\nthe daemon is gone: {error}", file=sys.stderr)
        return 2
    passed, total = sum(each.passed for each in reports), sum(each.total for each in reports)
    print(f"{passed}/{total} in all, {sum(len(each.waived) for each in reports)} waived")
    if unreadable:
        return 2
    return int(any(each.failed or each.stale for each in reports))


def _show(suite: Suite, bench: Bench) -> Report:
    def progress(done: int) -> None:
        if sys.stdout.isatty():
            print(f"{suite.name}: {done} of {len(suite.cases)}", end="\r", flush=True)

    report = run(suite, bench, progress)
    if sys.stdout.isatty():
        print("\x1b[K", end="")
    print(report)
    for kind in ("failed", "stale", "waived"):
        for name, why in getattr(report, kind):
            print(f"  {kind} {name}: {why}")
    sys.stdout.flush()
    return report


if __name__ == "__main__":
    sys.exit(main())
