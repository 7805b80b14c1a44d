"""The texts for people, as files in tests/screens. ``MAILASSAY_SCREENS=write`` in the environment writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "screens"


def screen(name: str, printed: str) -> str:
    """The text that should be printed; the file has ``printed`` from now on if it is to be written anew."""
    path = _FOLDER / f"{name}.txt"
    if os.environ.get("MAILASSAY_SCREENS") == "write":
        path.write_text(printed)
    return path.read_text()
