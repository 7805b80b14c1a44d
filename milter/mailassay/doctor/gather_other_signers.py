"""Which signing filters run on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_LONGEST = 15  # characters of a name that the kernel keeps (proc(5), comm)


def running(programs: Iterable[str], processes: Path = Path("/proc")) -> frozenset[str]:
    """Those of the programs that run, by the names of their processes."""
    names = set[str]()
    for each in processes.glob("[0-9]*/comm"):
        # the process may have ended
        with suppress(OSError):
            names.add(each.read_text(errors="replace").rstrip("\n"))
    return frozenset(each for each in programs if each[:_LONGEST] in names)
