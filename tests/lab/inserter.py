"""Another milter: inserts one header field into every message, or changes the first of that name.

python -m tests.lab.inserter SOCKET INDEX|change NAME VALUE
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import Milter


class Inserter(Milter.Base):  # type: ignore[misc]  # it has no types
    """Inserts ``NAME: VALUE`` at ``INDEX``."""

    index, name, value = "0", "", ""

    def eom(self) -> int:
        """The only event of interest."""
        if self.index == "change":
            self.chgheader(self.name, 1, self.value)
        else:
            self.addheader(self.name, self.value, int(self.index))
        return int(Milter.CONTINUE)


@contextmanager
def inserter(folder: Path, index: int | str, name: str, value: str) -> Iterator[str]:
    """It in a process of its own, and its address for Postfix."""
    path = folder / f"inserter-{index}-{name}.sock"
    command = [sys.executable, "-m", "tests.lab.inserter", f"unix:{path}", str(index), name, value]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        path.chmod(0o666)
        yield f"unix:{path}"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    socket, Inserter.index, Inserter.name, Inserter.value = sys.argv[1:]
    Milter.factory = Inserter
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS)
    Milter.runmilter("inserter", socket)
