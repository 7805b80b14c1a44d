"""CPU time and memory of a stack's processes and all below them, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One line of proc(5) stat: the parent's id, and CPU seconds, those of its dead children included."""

    parent: int
    cpu: float


def read(stat: str) -> Process:
    """What ``/proc/PID/stat`` says; the name in it may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return Process(int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)


def _tree(roots: Iterable[int]) -> dict[int, Process]:
    """The processes and all below them."""
    every = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        # it may end meanwhile
        with suppress(OSError):
            every[int(path.parent.name)] = read(path.read_text(errors="replace"))
    found = {pid: every[pid] for pid in roots}
    grown = True
    while grown:
        more = {pid: each for pid, each in every.items() if each.parent in found and pid not in found}
        found |= more
        grown = bool(more)
    return found


def cpu(roots: Iterable[int]) -> float:
    """CPU seconds so far, user and system."""
    return sum(each.cpu for each in _tree(roots).values())


def pss(roots: Iterable[int]) -> float:
    """Memory in MB (10^6 octets); what processes share is counted once."""
    total = 0
    for pid in _tree(roots):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6
