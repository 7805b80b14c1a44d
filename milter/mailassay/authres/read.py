"""What somebody recorded in Authentication-Results or ARC-Authentication-Results: RFC 8601 section 2.2.

The one reader of such fields. A field is read as a whole or not at all, so that no comment, quoted string or clause is
taken for another, and nobody believes a part of what a field says.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

from ..result import Resinfo, Result

MAX_MARKS = 1000  # parentheses, quotes and backslashes of one field; each may be a step
_MAX_OPENING = 500  # octets in which the instance of an ARC-Authentication-Results stands
_MARKS = b'()"\\'

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_BLANKS = re.compile(r"[ \t\n]*")
_IN_COMMENT = re.compile(r"(?:\\.|[^()\\\x00-\x08\x0b-\x1f\x7f])*", re.DOTALL)
_HOST_NAME = re.compile(r"\(([A-Za-z0-9.-]+)\)")

_A_QUOTED = r'"(?:[^\x00-\x08\x0a-\x1f"\\\x7f]|\\[\t -~])*"'
_CHARACTER = r'[^\x00- "();\\\x7f]'  # of a token, a domain name or an address, as they are written without quotes
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
    """The field does not read as a whole."""


class Clause(NamedTuple):
    """One ``method=result`` with what follows. Methods, results and names are in lower case, values as written.

    ``properties`` are in their order, ``reason`` among them; the name is ``header.from``, or has no ptype, as some
    write it. A quoted-string stands for what is in it, but as a result, which none should be, keeps its quotes. Results
    and values may be empty. ``comments`` have their parentheses.
    """

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    comments: tuple[str, ...] = ()

    def values(self, name: str) -> set[str]:
        """The distinct values of a property, in lower case; several contradict each other."""
        return {value.lower() for each, value in self.properties if each == name}


def opening(value: bytes) -> int:
    """What :func:`instance_of` costs, in the units of ``dkim.Work``."""
    start = value[:_MAX_OPENING]
    return 5 + (len(start) - len(start.translate(None, _MARKS))) // 2


def instance_of(value: bytes) -> int:
    """The instance of an ARC-Authentication-Results; 0 if there is none. What follows it is not looked at.

    RFC 8617 section 4.1.1: it comes first, and ``i`` is in lower case.
    """
    return _instance(_text(value[:_MAX_OPENING]))[0]


def read(value: bytes, *, sealed: bool = False) -> tuple[Clause, ...]:
    """The clauses of a value; none if it says ``none``. Raises :class:`Unreadable`.

    ``sealed``: it is of an ARC-Authentication-Results, and begins with its instance.

    Beyond the RFC, as software writes: a property may lack its ptype (``action=none``); a value may be missing
    (``smtp.mailfrom=``), be an address in angle brackets, or hold any mark that ends no word; and a semicolon may stand
    at the end. If white space follows an equals sign, the value has none: ``a= b=c`` are two properties.
    """
    if len(value) - len(value.translate(None, _MARKS)) > MAX_MARKS:
        raise Unreadable(f"there are more than {MAX_MARKS} parentheses, quotes and backslashes")
    text = _text(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unreadable("it is not UTF-8") from None
    if "\r" in text or "\n" in text:
        raise Unreadable("it holds a line break")
    number, at = _instance(text) if sealed else (1, 0)
    if not number:
        raise Unreadable("there is no instance")
    return _Reader(text, at).payload()


def resinfos(value: bytes) -> tuple[Resinfo, ...]:
    """The clauses of a value of ours, as ``header.render`` was given them; none of a value that does not read.

    A result word that is not known, as another version may have written it, makes no clause.
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
    """Past white space and comments, which nest (RFC 5322 section 3.2.2); None if a comment is not one.

    ``comments`` gets the outer ones.
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
    """The number, and where the rest begins; zeros if there is none."""
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
    """A place in an unfolded text, and the comments that were passed. All methods raise :class:`Unreadable`."""

    def __init__(self, text: str, at: int) -> None:
        self.at = at
        self._text = text
        self._comments: list[str] = []

    def payload(self) -> tuple[Clause, ...]:
        """What stands after the colon of an Authentication-Results field."""
        self.cfws()
        self.take(_AUTHSERV_ID)
        if self.cfws() and (version := self._match(_VERSION)):
            if version.lstrip("0") != "1":
                raise Unreadable("it is of a version that is not known")
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
                raise Unreadable(f"{method} is of a version that is not known")
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
        """As it is written, and what it means."""
        apart = self.cfws()
        begin, passed = self.at, len(self._comments)
        written = self._match(_QUOTED) or self._match(_QUOTED_LOCAL_PART)
        written = written or self._match(_WORD_APART if apart else _WORD)
        self.cfws()
        if written and self._next() == "@":
            # CFWS may end a local-part
            if not _LOCAL_PART.fullmatch(written):
                raise self._trouble()
            written += self.take(_AT_DOMAIN)
            self.cfws()
        elif apart and written and self._next() in ("=", "."):
            # it is the name of the next property
            self.at, written = begin, ""
            del self._comments[passed:]
        is_quoted = written[:1] == '"' == written[-1:]
        return written, re.sub(r"\\(.)", r"\1", written[1:-1]) if is_quoted else written

    def expect(self, mark: str) -> None:
        """Past this mark and the CFWS before it."""
        self.cfws()
        if not self._passes(mark):
            raise self._trouble()

    def take(self, pattern: re.Pattern[str]) -> str:
        """Past what matches."""
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
        """Past white space and comments; is there any?"""
        at = skip_cfws(self._text, self.at, self._comments)
        if at is None:
            raise self._trouble()
        passed = at > self.at
        self.at = at
        return passed

    def _trouble(self) -> Unreadable:
        left = self._text[self.at : self.at + 40].strip()
        return Unreadable(f"it does not read from {left!r} on" if left else "its end is missing")
