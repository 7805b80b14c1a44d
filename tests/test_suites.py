"""Public conformance suites through the real milter and real DNS, as `make conformance` runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.bench import Bench
from tests.conformance.suites import READINGS, find, read, run

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One daemon for all suites."""
    with Bench() as running:
        yield running


@pytest.mark.parametrize("pattern", READINGS)
def test_suites(suites: Path, pattern: str, bench: Bench) -> None:
    if not (paths := list(find(suites, pattern))):
        pytest.skip(reason=f"no {pattern} in {suites}")
    for path in paths:
        report = run(read(suites, path, pattern), bench)
        print(report)
        assert not report.failed
        assert not report.stale
