"""Finds the suites of a folder by their names, and runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from . import arc, authres, dkim, dmarc, psl, spf
from .bench import Bench, Case, Unjudged
from .waivers import WAIVERS

CONTESTED = "contested.json"
"""Beside suites: cases (patterns of their names) whose expectation is not what the RFC says, each with the reason."""

READINGS: dict[str, Callable[[Path], list[Case]]] = {
    "spf/*.json": spf.cases,
    "arc/*.y*ml": arc.cases,
    "dkim/*/cases.json": dkim.messages,
    "dkim/**/*canon*.json": dkim.canonicalization,
    "dmarc/*.json": dmarc.cases,
    "authres/*.json": authres.cases,
    "psl/*.txt": psl.cases,
}


class SuiteError(Exception):
    """A file that cannot be read as the suite that its name says it is: ``path: why``."""


@dataclass
class Suite:
    """The cases of one file; ``waivers`` and ``contested`` are reasons by case name, the latter's may be patterns."""

    name: str
    cases: list[Case]
    waivers: dict[str, str] = field(default_factory=dict)
    contested: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """What came of a suite: ``failed`` and ``waived`` are (case, why), ``stale`` waivers that are not needed."""

    name: str
    passed: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    waived: list[tuple[str, str]] = field(default_factory=list)
    stale: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many cases were replayed."""
        return self.passed + len(self.failed) + len(self.waived)

    def __str__(self) -> str:
        waived = f", {len(self.waived)} waived" if self.waived else ""
        percent = 100 * (self.total - len(self.failed)) // (self.total or 1)
        return f"{self.name}: {self.passed}/{self.total}{waived}, {percent} %"


def find(folder: Path, pattern: str) -> Iterator[Path]:
    """The files that a pattern of ``READINGS`` names."""
    return (path for path in sorted(folder.glob(pattern)) if path.name != CONTESTED)


def read(folder: Path, path: Path, pattern: str) -> Suite:
    """Read a suite. Raises :class:`SuiteError`."""
    name = path.relative_to(folder).as_posix()
    beside = path.with_name(CONTESTED)
    reading = path
    try:
        cases = READINGS[pattern](path)
        reading = beside
        contested = json.loads(beside.read_text()) if beside.exists() else {}
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SuiteError(f"{reading}: {type(error).__name__}: {error}") from error
    return Suite(name, cases, WAIVERS.get(name, {}), contested)


def run(suite: Suite, bench: Bench, progress: Callable[[int], object] = bool) -> Report:
    """Replay a suite; ``progress`` is told how many cases are done."""
    report = Report(suite.name)
    for done, case in enumerate(suite.cases, 1):
        try:
            wrong = "; ".join(case.replay(bench))
        except Unjudged as error:
            wrong = f"got no judgement: {error}"
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            wrong = f"cannot be replayed: {type(error).__name__}: {error}"
        if not wrong:
            report.passed += 1
            if case.name in suite.waivers:
                report.stale.append((case.name, "is waived, and passes"))
        elif reason := suite.waivers.get(case.name) or _contested(suite, case.name):
            report.waived.append((case.name, reason))
        else:
            report.failed.append((case.name, wrong))
        progress(done)
    unknown = suite.waivers.keys() - {case.name for case in suite.cases}
    report.stale += [(name, "is waived, and there is no such case") for name in sorted(unknown)]
    return report


def _contested(suite: Suite, name: str) -> str:
    return next((reason for pattern, reason in suite.contested.items() if fnmatchcase(name, pattern)), "")
