"""Text that others wrote, made safe to print on a terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

BOLD, DIM, RED, GREEN, YELLOW = 1, 2, 31, 32, 33  # SGR codes of ECMA-48, which every terminal understands
_WIDTH = 110  # columns, if the output is not a terminal
_LEAST = 40  # columns; a narrower terminal has no room for text beside its indent
# never broken across lines: code or a command in backquotes, a reference to an RFC, a word
_WORD = re.compile(r" *(?:`[^`]{1,60}`|\(RFC [^)]{1,40}\)|[^ ])+")
_PIECE = re.compile("[^;,]*[;,]+|[^;,]+")


def printable(text: str) -> str:
    """The text with ``?`` in place of each character that could move the cursor or look like a new line."""
    return text if text.isprintable() else "".join(mark if mark.isprintable() else "?" for mark in text)


def visible(text: str) -> str:
    """The text with ``[U+202E]`` in place of each character that cannot be seen, such as a control or a bidi mark."""
    return (
        text if text.isprintable() else "".join(each if each.isprintable() else f"[U+{ord(each):04X}]" for each in text)
    )


def quoted(text: str) -> str:
    """Text from DNS with each octet that is not printable ASCII written ``\\ddd`` (RFC 1035 section 5.1)."""
    return "".join(mark if " " <= mark <= "~" else f"\\{ord(mark):03}" for mark in text)


def painted(text: str, colour: int) -> str:
    """The text in a colour, or in another style of the SGR codes above."""
    return f"\x1b[{colour}m{text}\x1b[0m"


def is_terminal(stream: TextIO | None) -> bool:
    """Is the stream a terminal? None means that it is closed."""
    return stream is not None and stream.isatty()


def shows_colour(stream: TextIO | None) -> bool:
    """Is the stream a terminal with colours, and has the user not turned them off (``NO_COLOR``)?"""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns(stream: TextIO | None, otherwise: int = _WIDTH) -> int:
    """The width of a line: ``COLUMNS`` if it is set, else that of the terminal, else ``otherwise``."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return max(_LEAST, int(given))
    try:
        found = os.get_terminal_size(stream.fileno()).columns if stream else 0
    except (OSError, ValueError):
        found = 0
    # a serial line reports 0
    return max(_LEAST, found) if found else otherwise


def wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """The text in lines of at most ``width`` columns. ``first`` begins the first line, ``rest`` the others.

    ``rest`` defaults to as many spaces as ``first`` is long. Words are not broken, so that commands, domains and URLs
    can be copied. A word wider than a line is broken after a semicolon or a comma, which records have; if it has none,
    it is longer than the line.
    """
    rest = " " * len(first) if rest is None else rest
    lines, line, empty = [], first, True
    for word in _WORD.findall(text):
        room = width - len(rest)
        for piece in _PIECE.findall(word) if len(word.lstrip()) > room else [word]:
            if not empty and len(line) + len(piece) > width:
                lines.append(line.rstrip())
                line, piece = rest, piece.lstrip()
            line, empty = line + piece, False
    return [*lines, line.rstrip()]


def complain(text: str) -> None:
    """Print an error on standard error: wrapped to the width of a terminal, and otherwise with its own line breaks."""
    width = columns(sys.stderr, otherwise=sys.maxsize)
    for line in text.split("\n"):
        print("\n".join(wrapped(printable(line), width, rest=" " * 4)), file=sys.stderr)
