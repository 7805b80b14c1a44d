"""What others wrote, made fit for a terminal."""

from __future__ import annotations

import os
from typing import TextIO

BOLD, DIM, RED, GREEN, YELLOW = 1, 2, 31, 32, 33  # of ECMA-48 (SGR), as every terminal has them


def printable(text: str) -> str:
    """Without what could move a terminal's cursor or look like another line: each such mark is a ``?``."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def quoted(text: str) -> str:
    """A text of DNS with what is not printable ASCII as in a zone file, ``\\ddd`` (RFC 1035 section 5.1)."""
    return "".join(mark if " " <= mark <= "~" else f"\\{ord(mark):03}" for mark in text)


def painted(text: str, colour: int) -> str:
    """In a colour."""
    return f"\x1b[{colour}m{text}\x1b[0m"


def is_terminal(stream: TextIO | None) -> bool:
    """Is it one? None is a stream that is closed."""
    return stream is not None and stream.isatty()


def shows_colour(stream: TextIO | None) -> bool:
    """Is it a terminal with colours, and is nobody against them (``NO_COLOR``)?"""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
