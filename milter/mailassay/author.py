"""Whose message is it? The author domain(s) of From, RFC 5322 section 3.6.2 and RFC 9989 section 5.3.1.

What DMARC protects is what a reader is shown, and readers differ where a field is not what it should be. So the reading
here is wide in what it collects (every domain that some reader might take for the author's) and narrow in what it calls
clear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .domain import BadDomain, Domain
from .message import Headers

MAX_DOMAINS = 8
MAX_OCTETS = 65536  # of a From field that is looked at

_WHITE_SPACE = " \t\r\n"
_SPECIALS = '()<>[]:;@\\,"'
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_WORD = re.compile(r'[^()<>\[\]:;@\\,"\s]+')
_ANYTHING_LIKE_AN_ADDRESS = re.compile(r"@[ \t\r\n]*([^()<>\[\]:;@\\,\"\s]+)")


@dataclass(frozen=True, slots=True)
class Author:
    """The author domains, distinct, in order. ``problem`` says why they are not one clear domain; else it is empty."""

    domains: tuple[Domain, ...]
    problem: str = ""


class _Unclear(ValueError):
    """The field is not what RFC 5322 section 3.6.2 asks for, or may be read in several ways."""


def author(headers: Headers) -> Author:
    """Read the From field or fields; never raises."""
    fields = [field.value.decode("utf-8", "surrogateescape") for field in headers.named(b"from")]
    if not fields:
        return Author((), "no From field")
    problem = "several From fields" if len(fields) > 1 else ""
    domains: dict[Domain, None] = {}
    for field in fields[: MAX_DOMAINS + 1]:
        try:
            found = _mailboxes(field)
        except _Unclear as error:
            problem = problem or str(error)
            found = list(_anything(field))
        domains.update(dict.fromkeys(found))
    if len(domains) > MAX_DOMAINS:
        problem = problem or "more author domains than are looked at"
    elif len(domains) > 1:
        problem = problem or "several author domains"
    elif not domains:
        problem = problem or "no address in From"
    return Author(tuple(domains)[:MAX_DOMAINS], problem)


def _anything(field: str) -> Iterator[Domain]:
    """Whatever stands behind an ``@``, wherever it is."""
    for match in _ANYTHING_LIKE_AN_ADDRESS.finditer(field[:MAX_OCTETS]):
        try:
            yield Domain(match[1].rstrip("."))
        except BadDomain:
            continue


@dataclass(frozen=True, slots=True)
class _Token:
    """``kind`` is ``word``, ``quoted``, ``literal`` or one of the specials."""

    kind: str
    text: str


def _mailboxes(field: str) -> list[Domain]:
    """The domains of a mailbox-list. Raises :class:`_Unclear`."""
    if len(field) > MAX_OCTETS:
        raise _Unclear("From is larger than what is looked at")
    if _CONTROL.search(field.replace("\r\n", "")):
        raise _Unclear("a control character in From")
    mailboxes: list[list[_Token]] = [[]]
    inside = False
    for token in _tokens(field):
        if token.kind in "<>":
            if inside == (token.kind == "<"):
                raise _Unclear("unbalanced angle brackets in From")
            inside = not inside
        if token.kind == "," and not inside:
            mailboxes.append([])
        else:
            mailboxes[-1].append(token)
    if inside:
        raise _Unclear("unbalanced angle brackets in From")
    return [_mailbox(tokens) for tokens in mailboxes if tokens]


def _mailbox(tokens: list[_Token]) -> Domain:
    """The domain of one mailbox: a name and an address in angle brackets, or an address."""
    kinds = [token.kind for token in tokens]
    if ";" in kinds:
        raise _Unclear("a group in From")
    if "<" in kinds:
        opens, closes = kinds.index("<"), kinds.index(">")
        if kinds.count("<") > 1 or closes != len(kinds) - 1:
            raise _Unclear("something after the address in From")
        name = tokens[:opens]
        if ":" in kinds[:opens]:
            raise _Unclear("a group in From")
        if "@" in kinds[:opens]:
            raise _Unclear("an address in the display name of From")
        if any(token.kind not in ("word", "quoted") for token in name):
            raise _Unclear("a display name in From that is none")
        tokens, kinds = tokens[opens + 1 : closes], kinds[opens + 1 : closes]
        if kinds[:1] == ["@"] or ":" in kinds or "," in kinds:
            raise _Unclear("a route in From")
    if kinds.count("@") != 1:
        raise _Unclear("no address in From" if "@" not in kinds else "an address in From that is none")
    at = kinds.index("@")
    local_part, domain = tokens[:at], tokens[at + 1 :]
    if [token.kind for token in domain] == ["literal"]:
        raise _Unclear("an address literal in From")
    if not local_part or any(token.kind not in ("word", "quoted") for token in local_part):
        raise _Unclear("an address in From that is none")
    if len(local_part) > 1 and not _dotted(local_part):
        raise _Unclear("an address in From that is none")
    if not domain or any(token.kind != "word" for token in domain) or (len(domain) > 1 and not _dotted(domain)):
        raise _Unclear("an address in From that is none")
    try:
        return Domain("".join(token.text for token in domain))
    except BadDomain as error:
        raise _Unclear("a domain in From that is none") from error


def _dotted(tokens: list[_Token]) -> bool:
    """Words with white space between stay one name only around a dot (RFC 5322 section 4.4, obs-domain)."""
    return all(left.text.endswith(".") or right.text.startswith(".") for left, right in pairwise(tokens))


def _tokens(field: str) -> Iterator[_Token]:
    """The lexical tokens of a structured field (RFC 5322 section 3.2), comments and white space dropped."""
    at = 0
    while at < len(field):
        mark = field[at]
        if mark in _WHITE_SPACE:
            at += 1
        elif mark == "(":
            at = _after_comment(field, at)
        elif mark == '"':
            end = _after(field, at + 1, '"', "an open quote in From")
            yield _Token("quoted", field[at:end])
            at = end
        elif mark == "[":
            end = _after(field, at + 1, "]", "an open bracket in From")
            yield _Token("literal", field[at:end])
            at = end
        elif mark == "\\":
            raise _Unclear("a backslash outside quotes in From")
        elif mark in _SPECIALS:
            yield _Token(mark, mark)
            at += 1
        else:
            match = _WORD.match(field, at)
            if not match:
                raise _Unclear("white space in From that is not of mail")
            yield _Token("word", match[0])
            at = match.end()


def _after(field: str, at: int, end: str, problem: str) -> int:
    while at < len(field):
        if field[at] == "\\":
            at += 1
        elif field[at] == end:
            return at + 1
        at += 1
    raise _Unclear(problem)


def _after_comment(field: str, at: int) -> int:
    depth = 0
    while at < len(field):
        if field[at] == "\\":
            at += 1
        elif field[at] == "(":
            depth += 1
        elif field[at] == ")":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    raise _Unclear("an open comment in From")
