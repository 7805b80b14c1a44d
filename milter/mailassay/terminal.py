"""What others wrote, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Without what could move a terminal's cursor or look like another line: each such mark is a ``?``."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def quoted(text: str) -> str:
    """A text of DNS with what is not printable ASCII as in a zone file, ``\\ddd`` (RFC 1035 section 5.1)."""
    return "".join(mark if " " <= mark <= "~" else f"\\{ord(mark):03}" for mark in text)
