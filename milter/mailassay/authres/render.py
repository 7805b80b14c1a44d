"""The Authentication-Results field of RFC 8601: rendering ours, and recognizing those that claim to be ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from itertools import accumulate
from typing import NamedTuple
from unicodedata import normalize

from authres.core import AuthenticationResult, AuthenticationResultProperty, QuotableValue

from ..domain import BadDomain, Domain, a_labels, u_labels
from ..message import MAX_LINE, Headers
from ..result import Resinfo
from .read import skip_cfws

MAX_VALUE = 255  # octets of one value in UTF-8
MAX_LOCAL_PART = 64  # octets, RFC 5321 section 4.5.3.1.1
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")  # RFC 2045 section 5.1
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ATOM = r"[\w+-]+"  # the part of RFC 5322's dot-atom that every reader takes for a name
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
# domain-name: RFC 6376 section 3.5
_ADDRESS = re.compile(rf"(?:{_ATOM}(?:\.{_ATOM})*)?@{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_U_LABELS = re.compile(r"[\w.-]+")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LITERAL = re.compile(r"\[(ipv6:)?([0-9a-f:.]+)\]", re.IGNORECASE)
_ALGORITHM = re.compile(r"[A-Za-z0-9]{1,32}(?:-[A-Za-z0-9]{1,32}){1,3}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")
_OURS = re.compile(r"[a-z0-9]+")
# our own words, with names that senders chose; an equals sign is allowed only after the name of a tag
_REASON = re.compile(r"(?:(?<![\w.-])(?:[a-z]|bh|cv|exp|redirect|tag)=|[A-Za-z0-9 .,:()'/\[\]_-])*", re.ASCII)

# a token or a domain name, and what gateways append to it (``host/process``, ``host:port``)
_WORD = re.compile(r"[^\s;()\"\\\x00-\x1f\x7f\ud800-\udfff<>@,=\[\]]+")
_VERSION = re.compile(r"[0-9]++(?=[\s;(]|\Z)")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*"')
_MARK = re.compile(r'[()"\\]')
_MARKS, _MAX_MARKS = b'()"\\', 1000  # the delimiters of comments and quoted strings; each costs _bare one step
_ENCODED_WORD = re.compile(r"=\?[^?\s]++\?[bq]\?")
_IN_COMMENT = re.compile(r"\\.|[()]|[^()\\]++|\\", re.DOTALL)
_OUTSIDE = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[()]|[^()"\\]++|["\\]', re.DOTALL)


class _Value(QuotableValue):  # type: ignore[misc]
    """A value that is quoted unless it is a token, or an address that needs no quotes (RFC 8601 section 2.2).

    The library's class never quotes a value with an ``@``.
    """

    def quote_if_needed(self) -> str:
        if _TOKEN.fullmatch(self) or _ADDRESS.fullmatch(self):
            return str(self)
        return '"' + re.sub(r'(["\\])', r"\\\1", self) + '"'


def _labels(text: str, utf8: bool) -> str:
    """A domain name, in U-labels if the message may contain UTF-8, else in A-labels; empty if it is not a domain name.

    U-labels are used only if they are letters and digits, and if a reader that stops at the first non-ASCII character
    finds no other domain in them: ``bank.exampleü.evil.example`` is written in A-labels.
    """
    try:
        name = Domain(text)
    except BadDomain:
        return ""
    shown = u_labels(name) if utf8 else name
    if shown.isascii():
        return name
    in_ascii = _BEYOND_ASCII.split(shown)[0].removesuffix(".")
    is_plain = _U_LABELS.fullmatch(shown) and "." not in in_ascii and len(shown.encode()) <= MAX_VALUE
    return shown if is_plain else name


def _domain(text: str, utf8: bool) -> str:
    """A domain name of two labels or more; empty for any other text."""
    name = _labels(text, utf8)
    return name if "." in name else ""


def _host(text: str, utf8: bool) -> str:
    """A domain name or an address literal (RFC 5321 section 4.1.3); empty for any other text."""
    literal = _LITERAL.fullmatch(text)
    if not literal:
        return _domain(text, utf8)
    address = _ip(literal[2], utf8)
    is_v6 = ":" in address
    return f"[{'IPv6:' if is_v6 else ''}{address}]" if address and bool(literal[1]) == is_v6 else ""


def _ip(text: str, _: bool) -> str:
    """An IP address, without the zone of a link-local one; empty for any other text."""
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return ""


def _identity(text: str, utf8: bool) -> str:
    """A mail address, or only ``@`` and its domain if the local-part is not plain; empty for any other text."""
    local_part, at, name = text.rpartition("@")
    domain = _domain(name, utf8) if at else ""
    is_plain = len(local_part.encode(errors="replace")) <= MAX_LOCAL_PART and _LOCAL_PART.fullmatch(local_part)
    if not (is_plain and (local_part.isascii() or (utf8 and normalize("NFKC", local_part) == local_part))):
        local_part = ""
    return f"{local_part}@{domain}" if domain else ""


def _matching(pattern: re.Pattern[str]) -> Callable[[str, bool], str]:
    return lambda text, _: text if len(text) <= MAX_VALUE and pattern.fullmatch(text) else ""


def _base64(text: str, _: bool) -> str:
    """A base64 text without the padding at its end; empty for any other text."""
    text = text.rstrip("=")
    return text if len(text) <= MAX_VALUE and _BASE64.fullmatch(text) else ""


_KINDS: dict[tuple[str, str], Callable[[str, bool], str]] = {
    ("policy", "iprev"): _ip,
    ("smtp", "mailfrom"): _host,
    ("smtp", "helo"): _host,
    ("header", "d"): _domain,
    ("header", "i"): _identity,
    ("header", "s"): _labels,
    ("header", "a"): _matching(_ALGORITHM),
    ("header", "b"): _base64,
    ("smtp", "remote-ip"): _ip,
    ("header", "oldest-pass"): _matching(_OURS),
    ("header", "from"): _labels,
    ("policy", "dmarc"): _matching(_OURS),
}
"""For each property, the function that gives the text to write, or an empty text if the value must not be written.

Its second argument says whether the text may contain UTF-8.

A careless reader of our field may ignore quotes and look for ``dmarc = pass`` or ``header.from=``. So a value that a
sender chose is written only if it is a name, an address, a word or base64: letters, digits and a few other characters,
without an equals sign or a blank. Any other value is left out, because text that is escaped or repaired for one reader
is still a result to another.
"""


def _reason(text: str) -> str:
    """One of our reasons, cut between two words if it is long; empty if it has a character that none of ours has."""
    if len(text) > MAX_VALUE:
        text = text[: MAX_VALUE + 1].rpartition(" ")[0]
    return text if _REASON.fullmatch(text) else ""


def render(authserv_id: str, resinfos: Sequence[Resinfo], *, utf8: bool = False) -> str:
    """The field's value, one clause a line, folded with LF and a space as milters pass header fields.

    ``utf8``: the message may have UTF-8 in its header (RFC 6532); otherwise the value is ASCII. Nothing that a sender
    chose can be read as a result: see ``_KINDS``.

    If a clause is too long for a line, each of its properties has a line of its own. Postfix breaks a longer line at
    any octet, even between a backslash and the quote after it; text from the sender would then end up outside its
    quotes.
    """
    name = _own_name(authserv_id, utf8)
    return ";\n ".join([name, *(_clause(resinfo, utf8) for resinfo in resinfos)]) if resinfos else f"{name}; none"


@lru_cache(maxsize=8)
def _own_name(authserv_id: str, utf8: bool) -> str:
    return _Value((u_labels if utf8 else a_labels)(authserv_id)).quote_if_needed()


@lru_cache(maxsize=2048)
def _clause(resinfo: Resinfo, utf8: bool) -> str:
    methodspec = AuthenticationResult(resinfo.method, result=resinfo.result)
    if reason := _reason(resinfo.reason):
        methodspec.reason = _Value(reason)
    pieces = [str(methodspec)]
    for ptype, name, value in resinfo.properties:
        if written := _KINDS[ptype, name](value, utf8):
            each = AuthenticationResultProperty(ptype, name)
            each.value = _Value(written)
            pieces.append(str(each))
    if len(resinfo.comment) <= MAX_VALUE and _HOST_NAME.fullmatch(resinfo.comment):
        pieces.append(f"({resinfo.comment})")
    clause = " ".join(pieces)
    # 2: the space before it and the semicolon after it
    return clause if len(clause.encode()) + 2 <= MAX_LINE else "\n ".join(pieces)


def unwanted(headers: Headers, authserv_id: str, *, trusted: bool = False, most: int) -> list[int]:
    """The Authentication-Results fields to remove (RFC 8601 section 5): 1-based numbers, counted as milters count.

    These are the fields that claim to be ours; the fields of an unknown version, unless they come from a ``trusted``
    client; and the fields with a line that an MTA breaks, because our name may appear only after the break. Fields
    beyond ``most`` octets or ``_MAX_MARKS`` are removed unread, because the time to read one grows with both.
    """
    fields = headers.named(b"authentication-results")
    ends = accumulate(len(field.value) for field in fields)
    # however short a field is, it costs as much as a few marks
    marks = accumulate(4 + len(field.value) - len(field.value.translate(None, _MARKS)) for field in fields)
    return [
        number
        for number, (field, end, mark) in enumerate(zip(fields, ends, marks, strict=True), 1)
        if end > most or mark > _MAX_MARKS or field.breakable or _is_unwanted(field.value, authserv_id, trusted)
    ]


def _is_unwanted(value: bytes, authserv_id: str, trusted: bool) -> bool:
    text = _text(value)
    claim = _claim(text)
    return _claims(text, claim, authserv_id) or not (trusted or claim is None or _is_known_version(claim.rest))


def _is_known_version(rest: str) -> bool:
    """Is it version 1 that follows the authserv-id, or none, which means version 1? (RFC 8601 section 2.2)"""
    version = _VERSION.match(rest, skip_cfws(rest, 0) or 0)
    return version is None or version[0].lstrip("0") == "1"


def authserv_ids(headers: Headers) -> Iterator[Domain]:
    """The domain names by which Authentication-Results fields begin, as the identifiers of who wrote them."""
    for field in headers.named(b"authentication-results"):
        if claim := _claim(_text(field.value)):
            with suppress(BadDomain):
                yield Domain(claim.name)


def is_ours(value: bytes, authserv_id: str) -> bool:
    """Does an Authentication-Results value claim our authserv-id, however disguised? (RFC 8601 section 5)

    A value that conforms to the grammar is not ours if it begins with another name, and if our name is neither in a
    comment before that name nor in the place of a method. A value that does not conform is ours if our name is anywhere
    in it: what we cannot parse, another reader may.
    """
    text = _text(value)
    return _claims(text, _claim(text), authserv_id)


def _claims(text: str, claim: _Claim | None, authserv_id: str) -> bool:
    ours = _canonical(authserv_id)
    if claim is None:
        return _mentions(text, ours)
    before, name, rest = claim
    return (
        _canonical(name) == ours
        or _mentions(before + name, ours)
        or (not _reads_on(rest) and _mentions(text, ours))
        or _mentions(";".join(clause.partition("=")[0] for clause in _bare(rest).split(";")), ours)
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape").replace("\r\n", "")


def _canonical(name: str) -> str:
    """A name for comparison: the canonical domain if it is one, else the name in lower case."""
    try:
        return Domain(name)
    except BadDomain:
        return name.casefold().rstrip(".")


class _Claim(NamedTuple):
    """The text before the authserv-id, the authserv-id, and the rest."""

    before: str
    name: str
    rest: str


def _claim(text: str) -> _Claim | None:
    """The parts of a value; None if it does not begin with an authserv-id."""
    at = skip_cfws(text, 0)
    if at is None:
        return None
    if word := _WORD.match(text, at):
        return _Claim(text[:at], word[0], text[word.end() :])
    quoted = _QUOTED.match(text, at)
    if not quoted:
        return None
    name = re.sub(r'\\(.)|"', r"\1", quoted[0])
    # in a quoted-string that is not a word, another reader may see the end of the name
    return _Claim(text[:at], name, text[quoted.end() :]) if _WORD.fullmatch(name) else None


def _reads_on(rest: str) -> bool:
    """Does the text begin as it must after an authserv-id: CFWS, a version, and then a semicolon or the end?"""
    at = skip_cfws(rest, 0)
    if at is None:
        return False
    version = _VERSION.match(rest, at)
    if version and at:
        at = skip_cfws(rest, version.end())
    return at is not None and rest[at : at + 1] in ("", ";")


def _mentions(text: str, ours: str) -> bool:
    """Does the text contain our name as a whole name, even with other characters inserted into it?

    An encoded-word (RFC 2047) counts as our name: Sieve and mail clients decode it, and no real name needs one.
    """
    text = text.casefold()
    return any(_ENCODED_WORD.search(each) or _anywhere(ours).search(each) for each in _readings(text))


def _readings(text: str) -> Collection[str]:
    """The text for readers that treat quotes, comments and characters that are not ASCII in different ways."""
    if text.isascii() and not _MARK.search(text):
        return [text]
    unquoted = text.replace('"', "")
    plain = unquoted.replace("\\", "")
    readings = {text, _bare_flat(plain), *map(_bare, {unquoted, plain})}
    # some readers drop characters that are not ASCII, and some take them for the ASCII that they look like
    readings |= {normalize("NFKC", each) for each in readings if not each.isascii()}
    readings |= {each.encode("ascii", "ignore").decode() for each in readings}
    return readings


@lru_cache(maxsize=8)
def _anywhere(ours: str) -> re.Pattern[str]:
    """Our name in A-labels or U-labels, with any characters between its own that cannot be part of a name."""
    spellings = {ours, u_labels(ours)}
    either = "|".join(r"[^\w.-]*+".join(map(re.escape, each)) for each in spellings)
    return re.compile(rf"(?<!\w)(?<!\w[.-])(?<!--)(?:{either})(?!-*\w|\.\w)")


def _bare(text: str) -> str:
    """The text without comments and quoted strings. Those that are not closed stay."""
    if not _MARK.search(text):
        return text
    kept: list[str] = []
    opened: list[int] = []
    at = 0
    while found := (_IN_COMMENT if opened else _OUTSIDE).match(text, at):
        at = found.end()
        if found[0] == ")" and opened:
            del kept[opened.pop() :]
        elif found[0][0] != '"' or len(found[0]) == 1:
            if found[0] == "(":
                opened.append(len(kept))
            kept.append(found[0])
    return "".join(kept)


def _bare_flat(text: str) -> str:
    """The text without comments, for a reader that does not nest them: the first ``)`` ends them all."""
    *parts, last = text.split(")")
    return "".join(part.partition("(")[0] for part in parts) + last
