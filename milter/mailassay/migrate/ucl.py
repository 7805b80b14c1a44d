"""UCL, in which rspamd has its configuration: the part of it that dkim_signing.conf needs, which includes JSON.

What is not read is an error, never a guess: macros (``.include``), escapes outside of quotes, keys that are there
twice, and variables but those for rspamd's folders.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

from .excerpt import excerpt
from .remark import Place

_MAX_DEPTH = 16  # of nested objects and lists
_VARIABLES = {"DBDIR": "/var/lib/rspamd", "CONFDIR": "/etc/rspamd", "LOCAL_CONFDIR": "/etc/rspamd"}  # of its packages
_VARIABLE = re.compile(r"\$(?:\{([A-Z_]+)\}|([A-Z_]+))")
_BLANK = re.compile(r"[ \t\r\n]+")
_COMMENT = re.compile(r"#[^\n]*")
_SPACES = re.compile(r"[ \t]*")
_KEY = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_/.-]*")
_JSON = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_SINGLE = re.compile(r"'(?:[^'\\\n]|\\.)*'")
_HERE = re.compile(r"<<([A-Z]+)\n(.*?)\n\1(?=[;,\s]|\Z)", re.DOTALL)
_BARE = re.compile(r"(?![=:])(?:\$\{[A-Z_]+\}|(?!/\*)[^][{};,\n\"'#\\<\s]|[ \t\r]+(?![ \t\r\n;,#}\]]|\Z|/\*))+")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


class Unclear(Exception):
    """The text is not read. It says why, and ``place`` says where."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(excerpt(what))
        self.place = place


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, a number or a boolean, as its text."""

    text: str
    place: Place

    @property
    def is_true(self) -> bool:
        """Is it a boolean that says yes? Raises :class:`Unclear` if it is no boolean."""
        if self.text.lower() not in _TRUE + _FALSE:
            raise Unclear(self.place, f"expected true or false, found {self.text!r}")
        return self.text.lower() in _TRUE


@dataclass(frozen=True, slots=True)
class Array:
    """A list."""

    elements: tuple[Value, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Object:
    """A map; keys are there once."""

    members: dict[str, Value]
    place: Place


Value: TypeAlias = Scalar | Array | Object


def parsed(text: str, file: str) -> Object:
    """The object that a text is. Raises :class:`Unclear`."""
    return _Parser(text, file).whole()


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._text, self._file, self._at = text, file, 0
        self._line, self._counted = 1, 0

    def whole(self) -> Object:
        self._pass(_BLANK)
        place = self._place()
        found = self._members(place, "}", 1) if self._next("{") else self._members(place, "", 0)
        self._skip()
        if self._at < len(self._text):
            raise self._unclear("there is something after the end")
        return found

    def _place(self) -> Place:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return Place(self._file, self._line)

    def _unclear(self, what: str) -> Unclear:
        return Unclear(self._place(), what)

    def _next(self, mark: str) -> bool:
        """Is this the next character? Then it is passed over."""
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _pass(self, expression: re.Pattern[str]) -> None:
        """Pass over what matches."""
        if found := expression.match(self._text, self._at):
            self._at = found.end()

    def _skip(self, marks: str = "") -> Place:
        """Pass over blanks, comments and ``marks``, and say where what follows begins."""
        while self._at < len(self._text):
            if found := _BLANK.match(self._text, self._at) or _COMMENT.match(self._text, self._at):
                self._at = found.end()
            elif self._text.startswith("/*", self._at):
                self._comment()
            elif self._text[self._at] in marks:
                self._at += 1
            else:
                break
        return self._place()

    def _comment(self) -> None:
        """A comment between ``/*`` and ``*/``, which can be nested."""
        depth = 0
        for mark in re.finditer(r"/\*|\*/", self._text[self._at :]):
            depth += 1 if mark[0] == "/*" else -1
            if not depth:
                self._at += mark.end()
                return
        raise self._unclear("a comment has no end")

    def _members(self, place: Place, end: str, depth: int) -> Object:
        if depth > _MAX_DEPTH:
            raise self._unclear("objects are nested too deeply")
        members: dict[str, Value] = {}
        while True:
            at = self._skip(";," if members else "")
            if self._at == len(self._text):
                if end:
                    raise self._unclear("an object has no end")
                return Object(members, place)
            if end and self._next(end):
                return Object(members, place)
            if self._text[self._at] == ".":
                raise self._unclear("a macro of UCL, such as .include: rspamd reads more than this file")
            key = self._key()
            if key in members:
                raise Unclear(at, f"{key} is there twice")
            members[key] = self._after_key(depth)
            self._ended(members[key])

    def _ended(self, value: Value) -> None:
        """Only after an object or a list may the next key follow in the same line."""
        if isinstance(value, Scalar):
            self._pass(_SPACES)
            if not self._ends("\r\n;,#}]"):
                raise self._unclear("expected a semicolon or the end of the line")

    def _ends(self, marks: str) -> bool:
        """Is here one of the ``marks``, a comment, or the end of the text?"""
        return self._text[self._at : self._at + 1] in ("", *marks) or self._text.startswith("/*", self._at)

    def _key(self) -> str:
        if found := _JSON.match(self._text, self._at):
            self._at = found.end()
            return self._unquoted(found[0])
        if found := _KEY.match(self._text, self._at):
            self._at = found.end()
            return found[0]
        raise self._unclear("expected the name of a key")

    def _after_key(self, depth: int) -> Value:
        after, place = self._at, self._place()
        self._pass(_SPACES)
        if self._next("=") or self._next(":"):
            # after a comment here, libucl reads on differently
            self._pass(_BLANK)
            return self._value(depth)
        if after == self._at:
            raise self._unclear("expected = or a blank after the name of a key")
        if self._text.startswith(("{", "["), self._at):
            return self._value(depth)
        # `key name { ... }` is `key { name { ... } }`, and otherwise this is a value
        begun = self._at
        if _KEY.match(self._text, begun) or self._text.startswith('"', begun):
            name = self._key()
            self._pass(_SPACES)
            if self._text.startswith("{", self._at):
                return Object({name: self._value(depth + 1)}, place)
            self._at = begun
        return self._value(depth)

    def _value(self, depth: int) -> Value:
        place = self._place()
        if self._next("{"):
            return self._members(place, "}", depth + 1)
        if self._next("["):
            return self._array(place, depth + 1)
        if found := _JSON.match(self._text, self._at):
            self._at = found.end()
            return Scalar(_expanded(self._unquoted(found[0])), place)
        if found := _SINGLE.match(self._text, self._at):
            self._at = found.end()
            return Scalar(found[0][1:-1].replace("\\'", "'"), place)
        if found := _HERE.match(self._text, self._at):
            self._at = found.end()
            return Scalar(_expanded(found[2]), place)
        if found := _BARE.match(self._text, self._at):
            self._at = found.end()
            if self._ends(" \t\r\n;,#}]"):
                return Scalar(_expanded(found[0]), place)
        raise self._unclear("expected a value")

    def _array(self, place: Place, depth: int) -> Array:
        if depth > _MAX_DEPTH:
            raise self._unclear("lists are nested too deeply")
        elements: list[Value] = []
        while True:
            self._skip(";," if elements else "")
            if self._next("]"):
                return Array(tuple(elements), place)
            if self._at == len(self._text):
                raise self._unclear("a list has no end")
            elements.append(self._value(depth))
            self._ended(elements[-1])

    def _unquoted(self, text: str) -> str:
        try:
            found: str = json.loads(text)
        except ValueError as error:
            raise self._unclear("a string in double quotes that JSON does not have") from error
        return found


def _expanded(text: str) -> str:
    """A string with rspamd's variables replaced; others stay, as rspamd leaves them."""
    return _VARIABLE.sub(lambda found: _VARIABLES.get(found[1] or found[2], found[0]), text)
