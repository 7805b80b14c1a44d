"""Another milter: inserts one header field into every message, or changes the first of that name.

python -m tests.lab.inserter SOCKET INDEX|change NAME VALUE
"""

from __future__ import annotations

import sys

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


if __name__ == "__main__":
    socket, Inserter.index, Inserter.name, Inserter.value = sys.argv[1:]
    Milter.factory = Inserter
    Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS)
    Milter.runmilter("inserter", socket)
