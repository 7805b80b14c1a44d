"""The database of the history: its tables, what goes in, and what comes out. No worker imports this room.

What is here needs no library, so that one can look at a database without them.
"""

from __future__ import annotations

from pathlib import Path

FILE = "history.sqlite"  # in the directory of the history
APPLICATION = 0x6D61796C  # PRAGMA application_id of our files: "mayl"
REVISION = "0002"  # the newest migration


def revisions() -> frozenset[str]:
    """The versions of the tables that this version of the program knows, by the names of their migrations."""
    return frozenset(
        path.name.partition("_")[0] for path in Path(__file__).parent.glob("migrations/versions/[0-9]*.py")
    )
