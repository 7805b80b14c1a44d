"""The lexical tokens of a structured field: RFC 5322 section 3.2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

WHITE_SPACE = " \t\r\n"
_WORD = re.compile(r'[^()<>\[\]:;@\\," \t\r\n]+')
_PIECE = re.compile(r'[()<>\[\]:;@\\,"]|[^()<>\[\]:;@\\," \t\r\n]+')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LITERAL = re.compile(r"\[(?:[^\]\\]|\\.)*\]", re.DOTALL)
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)


class Token(NamedTuple):
    """``kind`` is ``word``, ``quoted``, ``literal``, ``comment``, one of the specials, or ``open`` if unclosed."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The position in the field at which the token ends."""
        return self.start + len(self.text)


def tokens(field: str) -> Iterator[Token]:
    """The tokens of a field, in order, without white space."""
    ends = _comment_ends(field)
    closed = {'"': ("quoted", _QUOTED), "[": ("literal", _LITERAL)}
    at = 0
    while at < len(field):
        mark = field[at]
        if mark in WHITE_SPACE:
            at += 1
            continue
        kind, end = mark, at + 1
        if mark == "(":
            kind, end = ("comment", ends[at]) if at in ends else ("open", end)
        elif mark in closed:
            kind, form = closed[mark]
            if found := form.match(field, at):
                end = found.end()
            else:
                # no later one is closed either, and searching again would take quadratic time
                kind = "open"
                del closed[mark]
        elif found := _WORD.match(field, at):
            kind, end = "word", found.end()
        yield Token(kind, field[at:end], at)
        at = end


def _comment_ends(field: str) -> dict[int, int]:
    """For each comment, the position of its opening parenthesis and its end."""
    ends = {}
    opened = []
    for mark in _PARENTHESIS.finditer(field):
        if mark[0] == "(":
            opened.append(mark.start())
        elif mark[0] == ")" and opened:
            ends[opened.pop()] = mark.end()
    return ends


def pieces(field: str) -> int:
    """The number of words and special characters in a field, an upper bound of what reading it costs."""
    return len(_PIECE.findall(field))
