"""CPU time and memory of a stack's processes and all below them, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
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
    """The processes and all below them. Raises ProcessLookupError where one of the roots is gone."""
    every = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        # it may end meanwhile
        with suppress(OSError):
            every[int(path.parent.name)] = read(path.read_text(errors="replace"))
    found = {}
    for pid in roots:
        if pid not in every:
            raise ProcessLookupError(f"process {pid} is gone")
        found[pid] = every[pid]
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
    """Memory in MB (10^6 octets), PSS: a page that several processes share is counted once, in parts."""
    return sum(_field(pid, "smaps_rollup", "Pss") for pid in _tree(roots))


def begin(roots: Iterable[int]) -> dict[int, float]:
    """The resident memory in MB of each process, whose peak begins anew here (proc(5), clear_refs)."""
    resident = {}
    for pid in _tree(roots):
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            resident[pid] = _field(pid, "status", "VmRSS")
    return resident


def growth(resident: Mapping[int, float]) -> float:
    """MB that these processes have been above what they were, each at its own peak since, in sum."""
    return sum(max(0.0, _field(pid, "status", "VmHWM") - before) for pid, before in resident.items())


def _field(pid: int, name: str, field: str) -> float:
    """A figure of a file in ``/proc/PID``, of kB there, in MB; 0 where the process has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/{name}").read_text(errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
