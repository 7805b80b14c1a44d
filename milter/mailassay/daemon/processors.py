"""How many workers suit this machine: by its processors, and by the quota of our control group (cgroups(7))."""

from __future__ import annotations

import math
import os
from pathlib import Path

_ROOT = Path("/")


def suitable_workers(root: Path = _ROOT) -> int:
    """One worker for every two processors that this process may use, at most as many as its quota, and at least one.

    For each message, Postfix needs as much of the processors as we do, but it is not in our control group. Fewer
    workers share more answers of DNS and more of the processors' caches.
    ``root`` is the root of the file system with ``proc`` and ``sys``. Only version 2 of control groups is read. A part
    of a processor counts as one.
    """
    quotas = [found for folder in _groups(root) if (found := _quota(folder / "cpu.max")) is not None]
    return max(1, min([len(os.sched_getaffinity(0)) // 2, *map(math.ceil, quotas)]))


def _groups(root: Path) -> list[Path]:
    """The folders of this process's group and of those above it; of the root only if the group is not known."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        # also a name that is not UTF-8
        return [top]
    # "0::" is version 2; a group above the root of our namespace begins with /..
    name = next((line[3:] for line in lines if line.startswith("0::")), "/")
    parts = [part for part in name.split("/") if part and part != ".."]
    return [top.joinpath(*parts[:count]) for count in range(len(parts) + 1)]


def _quota(path: Path) -> float | None:
    """The processors that ``cpu.max`` allows; None if it sets no limit or cannot be read."""
    try:
        most, period = map(int, path.read_text().split())
    except (OSError, ValueError):
        return None
    return most / period if most > 0 and period > 0 else None
