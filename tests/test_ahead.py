"""An iterator that is one value ahead."""

import threading

import pytest

from mailassay.collector.ahead import Ahead


def has_thread():
    return any(each.name == "ahead" for each in threading.enumerate())


def test_each_value_once_in_its_order():
    ahead, found = Ahead(iter(range(5))), []
    for each in ahead:
        found.append(each)
        if each % 2:
            with ahead.meanwhile():
                pass
    assert found == [*range(5)]


def test_the_next_value_is_made_meanwhile():
    made = threading.Event()

    def values():
        yield 1
        made.set()
        yield 2

    ahead = Ahead(values())
    assert next(ahead) == 1
    with ahead.meanwhile():
        assert made.wait(10)
    assert not has_thread()
    assert next(ahead) == 2


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
