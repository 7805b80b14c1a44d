"""What others wrote, made fit for a terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

BOLD, DIM, RED, GREEN, YELLOW = 1, 2, 31, 32, 33  # of ECMA-48 (SGR), as every terminal has them
_WIDTH = 110  # columns of what is no terminal
_LEAST = 40  # columns; in a narrower terminal no text has room beside its indent
# what stays on one line: a code or a command in backquotes, a reference to an RFC, a word
_WORD = re.compile(r" *(?:`[^`]{1,60}`|\(RFC [^)]{1,40}\)|[^ ])+")
_PIECE = re.compile("[^;,]*[;,]+|[^;,]+")


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


def columns(stream: TextIO | None, otherwise: int = _WIDTH) -> int:
    """How long lines may be: as ``COLUMNS`` says, or the terminal; ``otherwise`` if it is none."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return max(_LEAST, int(given))
    try:
        found = os.get_terminal_size(stream.fileno()).columns if stream else 0
    except (OSError, ValueError):
        found = 0
    # a serial line does not know
    return max(_LEAST, found) if found else otherwise


def wrapped(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """The lines of a text, of at most ``width`` columns, the first behind ``first``, the others behind ``rest``.

    ``rest`` is as much white space as ``first`` is long unless it is given. No word is broken, so that commands,
    domains and URLs can be copied: one that is wider than a line stands over, unless it has a semicolon or a comma to
    break after, as records have them.
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
    """Say what is wrong on standard error: on a terminal in lines that fit it, else in the lines that it has."""
    width = columns(sys.stderr, otherwise=sys.maxsize)
    for line in text.split("\n"):
        print("\n".join(wrapped(printable(line), width, rest=" " * 4)), file=sys.stderr)
