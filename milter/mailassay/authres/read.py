"""Reads Authentication-Results and ARC-Authentication-Results fields, ours and others': RFC 8601 section 2.2.

A field is read as a whole or not at all. So a comment, quoted string or clause is never taken for another, and a part
of a malformed field is never believed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

from ..result import Resinfo, Result

MAX_MARKS = 1000  # parentheses, quotes and backslashes in one field; each may cost a step
_MAX_OPENING = 500  # octets in which the instance of an ARC-Authentication-Results has to be
_MARKS = b'()"\\'

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_BLANKS = re.compile(r"[ \t\n]*")
_IN_COMMENT = re.compile(r"(?:\\.|[^()\\\x00-\x08\x0b-\x1f\x7f])*", re.DOTALL)
_HOST_NAME = re.compile(r"\(([A-Za-z0-9.-]+)\)")

_A_QUOTED = r'"(?:[^\x00-\x08\x0a-\x1f"\\\x7f]|\\[\t -~])*"'
_CHARACTER = r'[^\x00- "();\\\x7f]'  # in a token, a domain name or an address without quotes
_BUT_EQUALS = r'[^\x00- "();=\\\x7f]'
_ENDS = r"(?=[ \t(;]|\Z)"
_INSTANCE = re.compile(r"[0-9]{1,2}")
_AUTHSERV_ID = re.compile(rf"(?:{_A_QUOTED}|{_BUT_EQUALS}+){_ENDS}")
_NONE = re.compile(rf"none{_ENDS}", re.IGNORECASE)
_VERSION = re.compile(rf"[0-9]+{_ENDS}")
_METHOD_VERSION = re.compile(r"[0-9]+(?=[ \t(=])")
_KEYWORD = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(rf"{_A_QUOTED}{_ENDS}")
_QUOTED_LOCAL_PART = re.compile(rf"<?{_A_QUOTED}@{_BUT_EQUALS}+{_ENDS}")
_WORD = re.compile(rf"{_CHARACTER}+{_ENDS}")
_WORD_APART = re.compile(rf"{_BUT_EQUALS}+{_ENDS}")
_LOCAL_PART = re.compile(rf'{_A_QUOTED}|[^\x00- "();<>@\\\x7f]+')
_AT_DOMAIN = re.compile(rf"@{_BUT_EQUALS}+{_ENDS}")


class Unreadable(ValueError):
    """The field does not conform to the grammar; the text says why."""


class Clause(NamedTuple):
    """One ``method=result`` and what belongs to it. Methods, results and names are in lower case, values as written.

    ``properties`` are (name, value) pairs in the order of the field, ``reason`` among them. The name is like
    ``header.from``, or has no ptype if the field has none. A value that is a quoted-string is given without its quotes.
    A result should not be a quoted-string; if it is, it keeps them. Results and values may be empty. ``comments``
    include their parentheses.
    """

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    comments: tuple[str, ...] = ()

    def values(self, name: str) -> set[str]:
        """The distinct values of a property, in lower case. If there are several, they contradict each other."""
        return {value.lower() for each, value in self.properties if each == name}


def opening(value: bytes) -> int:
    """The cost of :func:`instance_of`, in the units of ``dkim.Work``."""
    start = value[:_MAX_OPENING]
    return 5 + (len(start) - len(start.translate(None, _MARKS))) // 2


def instance_of(value: bytes) -> int:
    """The instance of an ARC-Authentication-Results; 0 if it has none. The rest of the field is not looked at.

    RFC 8617 section 4.1.1: the instance comes first, and ``i`` is in lower case.
    """
    return _instance(_text(value[:_MAX_OPENING]))[0]


def read(value: bytes, *, sealed: bool = False) -> tuple[Clause, ...]:
    """The clauses of a field's value; none if it says ``none``. Raises :class:`Unreadable`.

    ``sealed``: the field is an ARC-Authentication-Results, which begins with its instance.

    Some things that the RFC does not allow are accepted, because software writes them: a property without a ptype
    (``action=none``); a missing value (``smtp.mailfrom=``); in a value, an address in angle brackets, or any character
    that does not end a word; and a final semicolon. A value after white space contains no equals sign: ``a= b=c`` are
    two properties.
    """
    if len(value) - len(value.translate(None, _MARKS)) > MAX_MARKS:
        raise Unreadable(f"there are more than {MAX_MARKS} parentheses, quotes and backslashes")
    text = _text(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable("it is not UTF-8") from None
    if "\r" in text or "\n" in text:
        raise Unreadable("it contains a line break")
    number, at = _instance(text) if sealed else (1, 0)
    if not number:
        raise Unreadable("it has no instance")
    return _Reader(text, at).payload()


def resinfos(value: bytes) -> tuple[Resinfo, ...]:
    """The clauses of a field of ours, as they were given to ``authres.render``; none if the value is malformed.

    A clause with an unknown result word, which another version may have written, is left out.
    """
    found = []
    with suppress(Unreadable):
        for clause in read(value):
            pairs = [(name.partition("."), value) for name, value in clause.properties]
            properties = tuple((ptype, name, value) for (ptype, dot, name), value in pairs if dot)
            reason = next((value for name, value in clause.properties if name == "reason"), "")
            hosts = (_HOST_NAME.fullmatch(each) for each in clause.comments)
            comment = next((host[1] for host in hosts if host), "")
            with suppress(ValueError):
                found.append(Resinfo(clause.method, Result(clause.result), properties, reason, comment))
    return tuple(found)


def skip_cfws(text: str, at: int, comments: list[str] | None = None) -> int | None:
    """The position after white space and nested comments (RFC 5322 section 3.2.2); None if a comment is malformed.

    The outermost comments are appended to ``comments``.
    """
    depth = begin = 0
    while True:
        found = (_IN_COMMENT if depth else _BLANKS).match(text, at)
        at = found.end() if found else at
        mark = text[at : at + 1]
        if mark == "(":
            begin = begin if depth else at
            depth += 1
        elif mark == ")" and depth:
            depth -= 1
            if comments is not None and not depth:
                comments.append(text[begin : at + 1])
        else:
            return None if depth else at
        at += 1


def _text(value: bytes) -> str:
    return _FOLD.sub("", value.decode("utf-8", "surrogateescape"))


def _instance(text: str) -> tuple[int, int]:
    """The instance, and the position of the rest; zeros if there is no instance."""
    reader = _Reader(text[:_MAX_OPENING], 0)
    try:
        reader.expect("i")
        reader.expect("=")
        reader.cfws()
        number = reader.take(_INSTANCE)
        reader.expect(";")
    except Unreadable:
        return 0, 0
    return int(number), reader.at


class _Reader:
    """A position in an unfolded text, and the comments before it. All methods raise :class:`Unreadable`."""

    def __init__(self, text: str, at: int) -> None:
        self.at = at
        self._text = text
        self._comments: list[str] = []

    def payload(self) -> tuple[Clause, ...]:
        """Everything after the colon of an Authentication-Results field."""
        self.cfws()
        self.take(_AUTHSERV_ID)
        if self.cfws() and (version := self._match(_VERSION)):
            if version.lstrip("0") != "1":
                raise Unreadable("its version is unknown")
            self.cfws()
        clauses: list[Clause] = []
        while self._passes(";"):
            self.cfws()
            if self._next() in ("", ";"):
                break
            if not clauses and self._match(_NONE):
                self.cfws()
                break
            clauses.append(self._clause())
        while self._passes(";"):
            self.cfws()
        if self._next():
            raise self._trouble()
        return tuple(clauses)

    def _clause(self) -> Clause:
        self._comments.clear()
        method = self._name()
        if self._passes("/"):
            self.cfws()
            if self.take(_METHOD_VERSION).lstrip("0") != "1":
                raise Unreadable(f"the version of {method} is unknown")
        self.expect("=")
        result, _ = self._value()
        properties = []
        while self._next() not in ("", ";"):
            name = self._name()
            self.expect("=")
            properties.append((name, self._value()[1]))
        return Clause(method, result.lower(), tuple(properties), tuple(self._comments))

    def _name(self) -> str:
        name = self.take(_KEYWORD)
        self.cfws()
        while self._passes("."):
            self.cfws()
            name += f".{self.take(_KEYWORD)}"
            self.cfws()
        return name.lower()

    def _value(self) -> tuple[str, str]:
        """The value as it is written, and what it means."""
        apart = self.cfws()
        begin, passed = self.at, len(self._comments)
        written = self._match(_QUOTED) or self._match(_QUOTED_LOCAL_PART)
        written = written or self._match(_WORD_APART if apart else _WORD)
        self.cfws()
        if written and self._next() == "@":
            # CFWS may follow a local-part
            if not _LOCAL_PART.fullmatch(written):
                raise self._trouble()
            written += self.take(_AT_DOMAIN)
            self.cfws()
        elif apart and written and self._next() in ("=", "."):
            # this is the name of the next property
            self.at, written = begin, ""
            del self._comments[passed:]
        is_quoted = written[:1] == '"' == written[-1:]
        return written, re.sub(r"\\(.)", r"\1", written[1:-1]) if is_quoted else written

    def expect(self, mark: str) -> None:
        """Skip CFWS and then this character."""
        self.cfws()
        if not self._passes(mark):
            raise self._trouble()

    def take(self, pattern: re.Pattern[str]) -> str:
        """Skip the text that matches, and return it."""
        found = self._match(pattern)
        if not found:
            raise self._trouble()
        return found

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self.at)
        if not found:
            return ""
        self.at = found.end()
        return found[0]

    def _next(self) -> str:
        return self._text[self.at : self.at + 1]

    def _passes(self, mark: str) -> bool:
        if self._next() != mark:
            return False
        self.at += 1
        return True

    def cfws(self) -> bool:
        """Skip white space and comments. Was there any?"""
        at = skip_cfws(self._text, self.at, self._comments)
        if at is None:
            raise self._trouble()
        passed = at > self.at
        self.at = at
        return passed

    def _trouble(self) -> Unreadable:
        left = self._text[self.at : self.at + 40].strip()
        return Unreadable(f"it is malformed at {left!r}" if left else "its end is missing")
