"""How many processors this process may use: by its affinity, and by the quota of its control group (cgroups(7))."""

from __future__ import annotations

import math
import os
from pathlib import Path

_ROOT = Path("/")


def processors(root: Path = _ROOT) -> int:
    """The number of processors, at least 1. ``root`` is the root of the file system with ``proc`` and ``sys``.

    Only version 2 of control groups is read. A part of a processor counts as one.
    """
    quotas = [found for folder in _groups(root) if (found := _quota(folder / "cpu.max")) is not None]
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, quotas)]))


def _groups(root: Path) -> list[Path]:
    """The folders of this process's group and of those above it; of the root only if the group is not known."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
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
