"""The Authentication-Results field: ours rendered, and those that claim to be ours recognized. RFC 8601."""

from __future__ import annotations

import re
from collections.abc import Sequence

from authres.core import AuthenticationResult, AuthenticationResultProperty, QuotableValue

from .domain import BadDomain, Domain
from .message import Headers
from .result import Resinfo

MAX_VALUE = 255  # characters of one value
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")  # RFC 2045 section 5.1
_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_HOST = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_ADDRESS = re.compile(rf"(?:{_DOT_ATOM})?@{_HOST}")
_HOST_NAME = re.compile(_HOST)


class _Value(QuotableValue):  # type: ignore[misc]
    """A value that is quoted unless it is a token, or an address that needs no quotes (RFC 8601 section 2.2).

    authres' own leaves everything with an ``@`` as it is. Control characters, lone surrogates and what exceeds
    ``MAX_VALUE`` characters are dropped: a value may be anything a sender wrote.
    """

    def quote_if_needed(self) -> str:
        text = "".join(mark for mark in self[:MAX_VALUE] if mark.isprintable() and not "\ud800" <= mark <= "\udfff")
        if _TOKEN.fullmatch(text) or _ADDRESS.fullmatch(text):
            return text
        return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def render(authserv_id: str, resinfos: Sequence[Resinfo]) -> str:
    """The field's value, one clause a line, folded with LF and a space as milters give header fields."""
    clauses = [_clause(resinfo) for resinfo in resinfos] or ["none"]
    return ";\n ".join([authserv_id, *clauses]) if resinfos else f"{authserv_id}; none"


def _clause(resinfo: Resinfo) -> str:
    properties = []
    for ptype, name, value in resinfo.properties:
        each = AuthenticationResultProperty(ptype, name)
        each.value = _Value(value)
        properties.append(each)
    clause = AuthenticationResult(resinfo.method, result=resinfo.result, properties=properties)
    if resinfo.reason:
        clause.reason = _Value(resinfo.reason)
    comment = f" ({resinfo.comment})" if _HOST_NAME.fullmatch(resinfo.comment) else ""
    return f"{clause}{comment}"


def claimed(headers: Headers, authserv_id: str) -> list[int]:
    """The Authentication-Results fields that claim to be ours: their 1-based numbers, counted as milters count."""
    fields = headers.named(b"authentication-results")
    return [number for number, field in enumerate(fields, 1) if is_ours(field.value, authserv_id)]


def is_ours(value: bytes, authserv_id: str) -> bool:
    """Does an Authentication-Results value claim our authserv-id, however disguised? (RFC 8601 section 5)

    A value that reads strictly is another's only if the name it begins with is another name. One that does not read
    strictly is ours when our name stands anywhere in it: what we cannot parse, somebody else may.
    """
    ours = _canonical(authserv_id)
    text = value.decode("utf-8", "surrogateescape").replace("\r\n", "")
    claim = _claim(text)
    if claim is None:
        return _mentions(text, ours)
    name, rest = claim
    return (
        _canonical(name) == ours
        or _canonical(re.split(r"[^\w.-]", name, maxsplit=1)[0]) == ours
        or (not _reads_on(rest) and _mentions(text, ours))
    )


def _canonical(name: str) -> str:
    """A name for comparison: as a domain where it is one, else in lower case."""
    try:
        return Domain(name)
    except BadDomain:
        return name.casefold().rstrip(".")


def _claim(text: str) -> tuple[str, str] | None:
    """The authserv-id that a value strictly begins with, and what follows; None where it begins with none."""
    at = _skip_cfws(text, 0)
    if at is None:
        return None
    if text[at : at + 1] == '"':
        quoted = re.compile(r'"((?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*)"').match(text, at)
        return (re.sub(r"\\(.)", r"\1", quoted[1]), text[quoted.end() :]) if quoted else None
    # a token or a domain name; what else may stand in it says where it ends for somebody else
    word = re.compile(r"[^\s;()\"\\\x00-\x1f\x7f\ud800-\udfff<>@,=\[\]]+").match(text, at)
    if not word or word[0].startswith(("=?", "?")):
        return None
    return word[0], text[word.end() :]


def _reads_on(rest: str) -> bool:
    """What may follow an authserv-id: CFWS, a version, and then a semicolon or the end."""
    at = _skip_cfws(rest, 0)
    if at is None:
        return False
    version = re.compile(r"[0-9]+").match(rest, at)
    if version and at:
        at = _skip_cfws(rest, version.end())
    return at is not None and rest[at : at + 1] in ("", ";")


def _skip_cfws(text: str, at: int) -> int | None:
    """Past white space and comments (RFC 5322 section 3.2.2); None where a comment is not one."""
    depth = 0
    while at < len(text):
        mark = text[at]
        if mark == "(":
            depth += 1
        elif mark == ")" and depth:
            depth -= 1
        elif depth:
            if mark == "\\":
                at += 1
            elif (mark < " " and mark not in "\t\n") or mark == "\x7f":
                return None
        elif mark not in " \t\n":
            return at
        at += 1
    return None if depth else at


def _mentions(text: str, ours: str) -> bool:
    """Does our name stand in the text as a name of its own, whatever marks were strewn into it?"""
    alone = re.compile(rf"(?<![\w-])(?<!\w\.){re.escape(ours)}(?!-*\w|\.\w)")
    marked = re.sub(r"[\x00-\x08\x0b-\x1f\x7f\"\\\ud800-\udfff]", "", text.casefold())
    bare = re.sub(r"\([^()]*\)", "", marked)
    return any(alone.search(each) for reading in (marked, bare) for each in (reading, re.sub(r"\s", "", reading)))
