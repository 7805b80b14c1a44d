"""A million messages of a day become reports, and what the collector does for a thousand records more than before."""

import json
import time
from itertools import count
from pathlib import Path

import pytest

from tests.bench.history import DOMAINS, records
from tests.bench.reports import MESSAGES, OURS, fill, make
from tests.lab.spooled import Spooled

MANY = 1000
NUMBERS = count(10**9, MANY)


def test_a_day(benchmark, request, tmp_path):
    """Under five minutes, and 300 MB."""
    is_quick = float(request.config.getoption("benchmark_max_time")) < 1
    fill(tmp_path, MESSAGES // 50 if is_quick else MESSAGES)
    made = benchmark.pedantic(make, (tmp_path,), rounds=1)
    assert made.reports == DOMAINS
    assert made.seconds < 300
    assert made.memory < 300e6


@pytest.mark.parametrize("ours", [None, OURS], ids=["without", "with"])
def test_collect(benchmark, tmp_path: Path, ours):
    spooled = Spooled(tmp_path, ours=ours)
    spooled.now = time.time()
    spooled.all()

    def segment():
        spooled.segment(*map(json.dumps, records(next(NUMBERS), spooled.now, 0.01, MANY)))

    benchmark.pedantic(spooled.all, setup=segment, rounds=8, warmup_rounds=1)
    assert spooled.left() == []
    spooled.collector.close()
