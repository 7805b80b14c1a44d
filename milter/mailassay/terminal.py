"""What others wrote, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without what could move a terminal's cursor or look like another line: each such mark is a ``?``."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)
