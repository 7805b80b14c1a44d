"""mutmut, except that pytest collects the tests once, and not again for each change.

A change is tested in a fork of the process that has collected them. What killed other changes of the same function is
tried first, since it often kills this one too.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from _pytest.config import _prepareconfig
from mutmut.__main__ import cli
from mutmut.runners.harness import PytestRunner
from mutmut.utils.file_utils import change_cwd
from mutmut.workers.isolation import ForkRunner


class Collected:
    """All tests of a room. ``folder`` keeps which tests killed changes of which function, and what tests write."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self._killers, self._scratch = folder / "killers", folder / "scratch"
        for each in (self._killers, self._scratch):
            each.mkdir(exist_ok=True)
        # what pytest.main() does before the first test
        config = _prepareconfig(["--rootdir=.", "-x", "-q", "--capture=sys", *arguments])
        config._do_configure()
        self._session = pytest.Session.from_config(config)
        config.hook.pytest_sessionstart(session=self._session)
        config.hook.pytest_collection(session=self._session)
        capture: Any = config.pluginmanager.get_plugin("capturemanager")
        capture.suspend_global_capture(in_=True)
        self._items = {item.nodeid: item for item in self._session.items}
        self._kept: list[Any] = []

    def run(self, mutant: str, tests: Iterable[str]) -> int:
        """The status of the tests: 1 if one failed. Call it in a fork that ends with it."""
        killers, scratch = self._killers / mutant.partition("__mutmut_")[0], self._scratch / str(os.getpid())
        first = killers.read_text().splitlines() if killers.exists() else []
        wanted = [*tests]
        order = dict.fromkeys(each for each in (*reversed(first), *wanted) if each in {*wanted})
        self._session.items = [self._items[each] for each in order]
        config: Any = self._session.config
        # mutmut's own, which pytest replaces; a file that is left open is a warning, and so an error
        self._kept += [sys.stdout, sys.stderr]
        config.get_terminal_writer()._file = sys.stdout
        factory = config._tmp_path_factory
        factory._given_basetemp, factory._basetemp = scratch, None
        config.pluginmanager.register(_Failures(killers))
        with suppress(self._session.Failed):
            config.hook.pytest_runtestloop(session=self._session)
        self._session._setupstate.teardown_exact(None)
        shutil.rmtree(scratch, ignore_errors=True)
        return 1 if self._session.testsfailed else 0


class _Failures:
    """Notes the test that fails."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self._path.open("a") as to:
                to.write(f"{report.nodeid}\n")


def main() -> None:
    """mutmut's command line."""
    # each call of a function takes three, since mutmut chooses which change of it to call
    sys.setrecursionlimit(3 * sys.getrecursionlimit())
    collected: list[Collected] = []
    startup, run_tests = ForkRunner.startup, PytestRunner.run_tests

    def collecting(runner: Any) -> None:
        tests, folder = runner.test_runner, Path.cwd()
        with change_cwd("mutants"):
            arguments = [*tests._pytest_add_cli_args, *tests._pytest_add_cli_args_test_selection]
            collected.append(Collected(arguments, folder))
        startup(runner)

    def running(runner: Any, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        if mutant_name is None or not collected:
            return run_tests(runner, mutant_name=mutant_name, tests=tests)
        with change_cwd("mutants"):
            return collected[0].run(mutant_name, tests)

    ForkRunner.startup, PytestRunner.run_tests = collecting, running
    cli()


if __name__ == "__main__":
    main()
