"""Another milter: inserts one header field into every message.

python -m tests.lab.inserter SOCKET INDEX NAME VALUE
"""

from __future__ import annotations

import sys

import Milter


class Inserter(Milter.Base):
    """Inserts ``NAME: VALUE`` at ``INDEX``."""

    index, name, value = 0, "", ""

    def eom(self) -> int:
        """The only event of interest."""
        self.addheader(self.name, self.value, self.index)
        return int(Milter.CONTINUE)


if __name__ == "__main__":
    socket, index, Inserter.name, Inserter.value = sys.argv[1:]
    Inserter.index = int(index)
    Milter.factory = Inserter
    Milter.set_flags(Milter.ADDHDRS)
    Milter.runmilter("inserter", socket)
