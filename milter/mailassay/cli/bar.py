"""A progress bar, for commands that take a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_WIDTH = 30  # columns
_PAUSE = 0.1  # seconds between two drawings

T = TypeVar("T")


def _one(_: object) -> int:
    return 1


class Bar:
    """A progress bar on stderr, which has to be a terminal. ``total`` is the sum of all sizes; None shows nothing."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._done = self._count = 0
        self._at = 0.0

    def passing(self, messages: Iterable[T], size: Callable[[T], int] = _one) -> Iterator[T]:
        """Yields the messages, and shows how many there were so far."""
        for each in messages:
            yield each
            self._done, self._count = self._done + size(each), self._count + 1
            if self._total is not None and time.monotonic() > self._at + _PAUSE:
                self._at = time.monotonic()
                share = min(1.0, self._done / self._total) if self._total else 0.0
                full = "#" * int(share * _WIDTH)
                self._print(f"\r[{full:.<{_WIDTH}}] {share:4.0%}  {self._count:,} messages")

    def end(self) -> None:
        """Clear the line."""
        if self._total is not None:
            self._print("\r\x1b[K")

    def _print(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)
