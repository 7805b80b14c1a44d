"""An iterator that is one value ahead of who uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Ahead(Generic[_T]):
    """The values of an iterator. The next one can be made in a thread, while this one waits for something."""

    def __init__(self, values: Iterator[_T]) -> None:
        self._values = values
        self._made: list[_T] = []
        self._error: BaseException | None = None

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Make the next value in a thread, which has ended when this ends: who forks has no other thread."""
        thread = Thread(target=self._make, name="ahead")
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def __iter__(self) -> Iterator[_T]:
        return self

    def __next__(self) -> _T:
        """The next value, made by now or made here. Raises what the iterator raises."""
        if not self._made and not self._error:
            return next(self._values)
        if self._error:
            raise self._error
        return self._made.pop()

    def _make(self) -> None:
        try:
            self._made.append(next(self._values))
        except BaseException as error:  # noqa: BLE001 - for who asks for the value
            self._error = error
