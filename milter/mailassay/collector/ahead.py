"""An iterator that is some values ahead of who uses it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Generic, TypeVar

_T = TypeVar("_T")
_MOST = 2  # values that are made before they are asked for


class Ahead(Generic[_T]):
    """The values of an iterator. The next ones can be made in a thread, while this one waits for something.

    Where the iterator gives None, its work can be interrupted.
    """

    def __init__(self, values: Iterator[_T | None]) -> None:
        self._values = values
        self._made: deque[_T] = deque()
        self._error: BaseException | None = None

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Make values in a thread, which ends when this ends: who forks has no other thread."""
        is_over = Event()
        thread = Thread(target=self._make, args=(is_over,), name="ahead")
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def __iter__(self) -> Iterator[_T]:
        return self

    def __next__(self) -> _T:
        """The next value, made by now or made here. Raises what the iterator raises."""
        if self._made:
            return self._made.popleft()
        if self._error:
            raise self._error
        while (value := next(self._values)) is None:
            pass
        return value

    def _make(self, is_over: Event) -> None:
        try:
            while not self._error and len(self._made) < _MOST and not is_over.is_set():
                if (value := next(self._values)) is not None:
                    self._made.append(value)
        except BaseException as error:  # noqa: BLE001 - for who asks for the value
            self._error = error
