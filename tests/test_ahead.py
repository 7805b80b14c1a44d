"""An iterator that is some values ahead."""

import threading
import time
from itertools import repeat

import pytest

from mailassay.collector.ahead import Ahead


def has_thread():
    return any(each.name == "ahead" for each in threading.enumerate())


def test_each_value_once_in_its_order():
    ahead, found = Ahead(iter([None, 0, 1, None, None, 2, 3, None, 4, None])), []
    for each in ahead:
        found.append(each)
        if each % 2:
            with ahead.meanwhile():
                pass
    assert found == [*range(5)]


def test_the_next_values_are_made_meanwhile():
    """Two of them: what is made waits in memory."""
    made, enough = [], threading.Event()

    def values():
        for number in range(9):
            made.append(number)
            yield None
            if number == 2:
                enough.set()
            yield number

    ahead = Ahead(values())
    assert next(ahead) == 0
    with ahead.meanwhile():
        assert enough.wait(10)
        time.sleep(0.05)
    assert not has_thread()
    assert made == [0, 1, 2]
    assert [*ahead] == [*range(1, 9)]


def test_work_is_interrupted():
    """Who waited for something else does not wait for the next value too."""
    begun = threading.Event()

    def values():
        yield 1
        begun.set()
        yield from repeat(None)

    ahead = Ahead(values())
    assert next(ahead) == 1
    with ahead.meanwhile():
        assert begun.wait(10)
    assert not has_thread()


def test_the_end_comes_with_the_next_value():
    ahead = Ahead(iter([1]))
    assert next(ahead) == 1
    with ahead.meanwhile():
        pass
    assert list(ahead) == []


def test_a_fault_comes_with_the_next_value():
    def values():
        yield 1
        raise ValueError("wrong")

    ahead = Ahead(values())
    assert next(ahead) == 1
    with ahead.meanwhile():
        pass
    with pytest.raises(ValueError, match="wrong"):
        next(ahead)


def test_the_thread_has_ended_after_a_fault():
    ahead = Ahead(iter([1, 2]))
    with pytest.raises(OSError, match="full"), ahead.meanwhile():
        raise OSError("full")
    assert not has_thread()
    assert next(ahead) == 1
