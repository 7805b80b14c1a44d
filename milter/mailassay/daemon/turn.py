"""Turns for expensive messages: all workers together judge few of them at a time."""

from __future__ import annotations

import fcntl
import os
import sys
import threading

# seconds after which a thread yields to others; in Python's default of 5 ms many honest messages are judged
_SWITCH = 0.001


class Turn:
    """A lock between the threads of all workers that got it from their parent. If a worker dies, the lock is free.

    The lock is the octet at ``place`` of an open ``file``, since record locks of fcntl(2) belong to a process.
    """

    def __init__(self, file: int, place: int) -> None:
        self._file, self._place = file, place
        self._of_process = threading.Lock()
        self._switch = sys.getswitchinterval()

    def acquire(self) -> None:
        """Wait for the turn. Raises OSError if the kernel has no memory for the lock; so does ``release``."""
        self._of_process.acquire()
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, self._place)
        except OSError:
            # otherwise every later message of this process would wait for ever
            self._of_process.release()
            raise
        # only while it is needed, since each switch takes time
        sys.setswitchinterval(_SWITCH)

    def release(self) -> None:
        """Let the next message have its turn."""
        sys.setswitchinterval(self._switch)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place)
        finally:
            self._of_process.release()


def turns(workers: int) -> list[Turn]:
    """Half as many turns as workers or processors, whichever are fewer, and at least one.

    The other workers and processors are for cheap messages.
    """
    busy = min(workers, len(os.sched_getaffinity(0)))
    file = os.memfd_create("turns")
    return [Turn(file, place) for place in range(max(1, busy // 2))]
