"""Whose turn it is among messages that may cost much: all workers together judge few of them at a time."""

from __future__ import annotations

import fcntl
import os
import sys
import threading

# seconds that a thread may go on while others want to; Python's own 5 ms are as much as many honest messages take
_SWITCH = 0.001


class Turn:
    """A lock between the threads of all workers that have it from their parent. If a worker dies, it is free again.

    ``file`` is an open file, of which the lock is the octet at ``place``: record locks of fcntl(2) belong to a process.
    """

    def __init__(self, file: int, place: int) -> None:
        self._file, self._place = file, place
        self._of_process = threading.Lock()
        self._switch = sys.getswitchinterval()

    def acquire(self) -> None:
        """Wait for the turn. Raises OSError if the kernel has no memory for it, and so does ``release``."""
        self._of_process.acquire()
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._place)
        except OSError:
            # or every later message of this process would wait for ever
            self._of_process.release()
            raise
        # only now, since each switch takes time
        sys.setswitchinterval(_SWITCH)

    def release(self) -> None:
        """Let the next one have it."""
        sys.setswitchinterval(self._switch)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place)
        finally:
            self._of_process.release()


def turns() -> list[Turn]:
    """As many as half the processors, and at least one: the others are for messages that cost little."""
    file = os.memfd_create("turns")
    return [Turn(file, place) for place in range(max(1, len(os.sched_getaffinity(0)) // 2))]
