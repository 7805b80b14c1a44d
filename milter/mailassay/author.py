"""Whose message is it? The author domain(s) of From, RFC 5322 section 3.6.2 and RFC 9989 section 5.3.1.

What DMARC protects is what a reader is shown, and readers differ where a field is not what it should be. So the reading
here is wide in what it collects (every domain that some reader might take for the author's) and narrow in what it calls
clear.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from quopri import decodestring

from .domain import BadDomain, Domain
from .limits import Limits
from .message import Headers

_WHITE_SPACE = " \t\r\n"
_SPECIALS = '()<>[]:;@\\,"'
# with C1 and the line and paragraph separators, which some readers take for line ends
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_ENCODED_CONTROL = re.compile(r"[\0\r\n]")  # not ESC, which ISO 2022 needs
_DIRECTION = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_NO_WORD = re.compile(r'[()<>\[\]:;@\\," \t\r\n]')
_ANYTHING_LIKE_AN_ADDRESS = re.compile(r'@(?:[ \t\r\n]|\([^()]*\))*+([^()<>\[\]:;@,"\s\0]+)')
_ANOTHER_MAILBOX = re.compile(r"<[^<>]*>|@[^\s,<>@.]+\.[^\s,<>@]+,")
_AT_SIGNS = str.maketrans("\uff20\ufe6b", "@@")  # full width, small
_ENCODED_WORD = re.compile(r"=\?([^?\s]*)\?([bq])\?([^?\s]*)\?=(?:[ \t\r\n]++(?==\?))?", re.IGNORECASE)
_ISO_2022 = {"iso-2022-jp": "iso2022_jp_ext", "iso-2022-kr": "iso2022_kr"}


@dataclass(frozen=True, slots=True)
class Author:
    """The author domains, distinct, in order. ``problem`` says why they are not one clear domain; else it is empty.

    ``unread``: there may be more domains than were looked at.
    """

    domains: tuple[Domain, ...]
    problem: str = ""
    unread: bool = False


class _Unclear(ValueError):
    """The field is not what RFC 5322 section 3.6.2 asks for, or may be read in several ways."""


def author(headers: Headers, limits: Limits = Limits()) -> Author:
    """Read the From field or fields; never raises."""
    fields = [field.value.decode("utf-8", "surrogateescape") for field in headers.named(b"from")]
    if not fields:
        return Author((), "no From field")
    problem = "several From fields" if len(fields) > 1 else ""
    domains: dict[Domain, None] = {}
    for field in fields[: limits.from_fields]:
        try:
            if len(field) > limits.from_octets:
                raise _Unclear("From is larger than what is looked at")
            found = _mailboxes(field)
        except _Unclear as error:
            problem = problem or str(error)
            found = list(_anything(field[: limits.from_octets]))
        domains.update(dict.fromkeys(found))
    if len(domains) > limits.from_domains:
        problem = problem or "more author domains than are looked at"
    elif len(domains) > 1:
        problem = problem or "several author domains"
    elif not domains:
        problem = problem or "no address in From"
    unread = (
        len(domains) > limits.from_domains
        or len(fields) > limits.from_fields
        or any(len(field) > limits.from_octets for field in fields)
    )
    return Author(tuple(domains)[: limits.from_domains], problem, unread)


def _anything(field: str) -> Iterator[Domain]:
    """Whatever stands behind an ``@``, wherever it is, for a reader that decodes before it parses as well."""
    for text in (field, _decoded(field)):
        for match in _ANYTHING_LIKE_AN_ADDRESS.finditer(text.translate(_AT_SIGNS)):
            try:
                yield Domain(match[1].replace("\\", "").rstrip("."))
            except BadDomain:
                continue


def _decoded(text: str) -> str:
    """The text with its encoded-words (RFC 2047) decoded, wherever they stand.

    Octets are taken for UTF-8: what matters is ASCII, which is itself in every charset but those of ISO 2022.
    """

    def letters(word: re.Match[str]) -> str:
        charset, encoding, content = word.groups()
        octets = content.encode("ascii", "replace")
        try:
            octets = b64decode(octets + b"==") if encoding in "bB" else decodestring(octets, header=True)
        except NotBase64:
            return word[0]
        codec = next((codec for name, codec in _ISO_2022.items() if charset.lower().startswith(name)), "utf-8")
        return octets.decode(codec, "replace")

    return _ENCODED_WORD.sub(letters, text)


@dataclass(frozen=True, slots=True)
class _Token:
    """``kind`` is ``word``, ``quoted``, ``literal`` or one of the specials."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends in the field."""
        return self.start + len(self.text)


def _mailboxes(field: str) -> list[Domain]:
    """The domains of a mailbox-list, and those that a careless reader finds. Raises :class:`_Unclear`."""
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
    domains = [domain for tokens in mailboxes if tokens for domain in _mailbox(tokens, field)]
    unfolded = field.replace("\r\n", "")
    decoded = _decoded(unfolded)
    if _ENCODED_CONTROL.search(decoded):
        raise _Unclear("an encoded control character in From")
    # a name is not an address, whatever it says (RFC 9989 section 11.4), but one that is decoded first may become one
    others = Counter(_ANOTHER_MAILBOX.findall(decoded)) - Counter(_ANOTHER_MAILBOX.findall(unfolded))
    return [*domains, *(domain for other in others for domain in _anything(other))]


def _mailbox(tokens: list[_Token], field: str) -> list[Domain]:
    """The domain of one mailbox: a name and an address in angle brackets, or an address.

    Others come with it where a reader that knows no quotes, comments or white space inside an address, or that decodes
    what is not to be decoded there (RFC 2047 section 5), finds another domain.
    """
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
    address = field[tokens[0].start : tokens[-1].end]
    if _DIRECTION.search(address):
        raise _Unclear("an address in From whose letters change places")
    try:
        return [Domain("".join(token.text for token in domain)), *_anything(address)]
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
            yield _Token("quoted", field[at:end], at)
            at = end
        elif mark == "[":
            end = _after(field, at + 1, "]", "an open bracket in From")
            yield _Token("literal", field[at:end], at)
            at = end
        elif mark == "\\":
            raise _Unclear("a backslash outside quotes in From")
        elif mark in _SPECIALS:
            yield _Token(mark, mark, at)
            at += 1
        else:
            after = _NO_WORD.search(field, at)
            end = after.start() if after else len(field)
            yield _Token("word", field[at:end], at)
            at = end


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
