"""What the collector says about itself to the process of the pages, through a socket pair."""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

_MAX = 100_000  # octets of a state; the kernel takes twice as many
_STALE = 60.0  # seconds without a word, after which the collector counts as stuck


@dataclass(frozen=True, slots=True)
class State:
    """``trouble``: why the collector could not move the records; empty if it did. ``metrics``: as Prometheus reads."""

    trouble: str = ""
    metrics: str = ""


class Known:
    """The last state that came, and when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._at = clock, clock()
        self._state = State(trouble="the collector has only just started")

    def learn(self, state: State) -> None:
        """Take a state."""
        self._state, self._at = state, self._clock()

    @property
    def metrics(self) -> str:
        """The metrics that came last; empty if that is long ago."""
        return "" if self._silent() > _STALE else self._state.metrics

    def trouble(self) -> str:
        """Why records are not moved now; empty if they are."""
        silent = self._silent()
        return f"the collector has been stuck for {silent:.0f} seconds" if silent > _STALE else self._state.trouble

    def _silent(self) -> float:
        return self._clock() - self._at


def tell(channel: socket.socket, state: State) -> None:
    """Send a state, unless that would wait. Raises OSError if nobody is there to read it."""
    octets = _packed(state)
    # with so many rules of a policy that no buffer takes their counts
    octets = octets if len(octets) <= _MAX else _packed(replace(state, metrics=""))
    # blocked: the reader has older ones to read
    with suppress(BlockingIOError):
        channel.send(octets, socket.MSG_DONTWAIT)


def _packed(state: State) -> bytes:
    return zlib.compress(json.dumps(asdict(state)).encode(), 1)


def listen(channel: socket.socket, known: Known, end: Callable[[], None]) -> None:
    """Learn each state that comes, in a thread; call ``end`` when the collector is gone."""

    def run() -> None:
        with suppress(ConnectionResetError):
            while octets := channel.recv(_MAX):
                known.learn(State(**json.loads(zlib.decompress(octets))))
        end()

    threading.Thread(target=run, name="state", daemon=True).start()
