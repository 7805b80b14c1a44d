"""What the collector does for a thousand records: reads, packs and inserts them, and lets a thousand old ones leave."""

import json
import shutil
import time
from itertools import count

import pytest

from mailassay.history.record import read
from mailassay.store import FILE, database, writing
from mailassay.store.rows import rows
from tests.bench.history import fill, lines
from tests.lab.spooled import Spooled

MANY = 1000
NUMBERS = count(10**9, MANY)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A history that is not empty, so that indexes have their depth."""
    folder = tmp_path_factory.mktemp("history")
    fill(folder, 20_000, 1.0)
    return folder


@pytest.fixture
def spooled(filled, tmp_path):
    found = Spooled(tmp_path)
    shutil.copy(filled / FILE, tmp_path)
    found.now = time.time()
    found.all()
    yield found
    found.collector.close()


def test_rows(benchmark):
    """Packing is most of it."""
    some = list(lines(next(NUMBERS), time.time(), 0.01, MANY))
    benchmark(lambda: [rows(read(json.loads(each)), each.encode()) for each in some])


def test_collect(benchmark, spooled):
    def segment():
        spooled.segment(*lines(next(NUMBERS), spooled.now, 0.01, MANY))

    benchmark.pedantic(spooled.all, setup=segment, rounds=5)
    assert spooled.left() == []


def test_expire(benchmark, spooled):
    engine = database.connect(database.address(str(spooled.folder), None))

    def expire():
        with engine.begin() as connection:
            assert writing.expire(connection, spooled.now, 10**9, MANY) == MANY
        database.give_back(engine)

    benchmark.pedantic(expire, rounds=5)
    engine.dispose()
