"""The Authentication-Results field: ours rendered, and those that claim to be ours recognized. RFC 8601."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from unicodedata import normalize

from authres.core import AuthenticationResult, AuthenticationResultProperty, QuotableValue

from .domain import BadDomain, Domain, a_labels, u_labels
from .limits import Limits
from .message import Headers
from .result import Resinfo

MAX_VALUE = 255  # octets of one value in UTF-8, before quoting
MAX_LINE = 998  # octets of one line, RFC 5322 section 2.1.1
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")  # RFC 2045 section 5.1
_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?:{_DOT_ATOM})?@{_LABEL}(?:\.{_LABEL})+")  # domain-name: RFC 6376 section 3.5
_EQUALS_PASS = re.compile(r"=+(?=pass)", re.IGNORECASE)
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

# a token or a domain name, and what gateways write after it (``host/process``, ``host:port``)
_WORD = re.compile(r"[^\s;()\"\\\x00-\x1f\x7f\ud800-\udfff<>@,=\[\]]+")
_VERSION = re.compile(r"[0-9]++(?=[\s;(]|\Z)")
_QUOTED = re.compile(r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t -~])*"')
_MARKS, _MAX_MARKS = b'()"\\', 1000  # where comments and quoted strings begin and end; each is a step of _bare
_ENCODED_WORD = re.compile(r"=\?[^?\s]++\?[bq]\?")
_IN_COMMENT = re.compile(r"\\.|[()]|[^()\\]++|\\", re.DOTALL)
_OUTSIDE = re.compile(r'"(?:[^"\\]|\\.)*"|\\.|[()]|[^()"\\]++|["\\]', re.DOTALL)


class _Value(QuotableValue):  # type: ignore[misc]
    """A value that is quoted unless it is a token, or an address that needs no quotes (RFC 8601 section 2.2).

    authres' own leaves everything with an ``@`` as it is.
    """

    def quote_if_needed(self) -> str:
        if _TOKEN.fullmatch(self) or _ADDRESS.fullmatch(self):
            return str(self)
        return '"' + re.sub(r'(["\\])', r"\\\1", self) + '"'


def _value(text: str, utf8: bool) -> _Value:
    """What may stand in the field of a value, which may be anything a sender wrote.

    Control characters, lone surrogates and what exceeds ``MAX_VALUE`` octets are dropped. Domains stand as U-labels
    where the message may hold UTF-8, else as A-labels, and what is left beyond ASCII as RFC 6533 section 3 writes it.
    Filters look for ``dmarc=pass`` and know nothing of quotes, so that no value keeps the ``=`` of a pass.
    """
    local_part, at, domain = text[: 2 * MAX_VALUE].rpartition("@")
    text = f"{local_part}{at}{u_labels(domain) if utf8 else a_labels(domain)}"
    if text.isascii() and text.isprintable():
        return _Value(_EQUALS_PASS.sub("", text[:MAX_VALUE]))
    kept, octets = [], 0
    for mark in text:
        if mark.isprintable():  # surrogates are not
            written = mark if utf8 or mark.isascii() else f"\\x{{{ord(mark):X}}}"
            octets += len(written.encode())
            if octets > MAX_VALUE:
                break
            kept.append(written)
    return _Value(_EQUALS_PASS.sub("", "".join(kept)))


def render(authserv_id: str, resinfos: Sequence[Resinfo], *, utf8: bool = False) -> str:
    """The field's value, one clause a line, folded with LF and a space as milters give header fields.

    ``utf8``: the message may have UTF-8 in its header (RFC 6532), else the value is ASCII.

    A clause too long for a line has its properties on lines of their own. Postfix breaks a longer line at any octet,
    even between a backslash and the quote after it, and what a sender wrote would go on outside its quotes.
    """
    name = _value(authserv_id, utf8).quote_if_needed()
    return ";\n ".join([name, *(_clause(resinfo, utf8) for resinfo in resinfos)]) if resinfos else f"{name}; none"


@lru_cache(maxsize=2048)
def _clause(resinfo: Resinfo, utf8: bool) -> str:
    methodspec = AuthenticationResult(resinfo.method, result=resinfo.result)
    if resinfo.reason:
        methodspec.reason = _value(resinfo.reason, utf8)
    pieces = [str(methodspec)]
    for ptype, name, value in resinfo.properties:
        each = AuthenticationResultProperty(ptype, name)
        each.value = _value(value, utf8)
        pieces.append(str(each))
    if len(resinfo.comment) <= MAX_VALUE and _HOST_NAME.fullmatch(resinfo.comment):
        pieces.append(f"({resinfo.comment})")
    clause = " ".join(pieces)
    # with the space before it and the semicolon after it
    return clause if len(clause.encode()) + 2 <= MAX_LINE else "\n ".join(pieces)


def unwanted(
    headers: Headers, authserv_id: str, *, trusted: bool = False, most: int = Limits().results_octets
) -> list[int]:
    """The Authentication-Results fields to remove (RFC 8601 section 5): 1-based numbers, counted as milters count.

    Those that claim to be ours; those of a version nobody knows yet, unless they come from a ``trusted`` client; and,
    unread, those beyond ``most`` octets or ``_MAX_MARKS``, for reading one takes time in proportion to both.
    """
    fields = headers.named(b"authentication-results")
    ends = accumulate(len(field.value) for field in fields)
    # a field costs as much as a few of them, however short it is
    marks = accumulate(4 + len(field.value) - len(field.value.translate(None, _MARKS)) for field in fields)
    return [
        number
        for number, (field, end, mark) in enumerate(zip(fields, ends, marks, strict=True), 1)
        if end > most
        or mark > _MAX_MARKS
        or is_ours(field.value, authserv_id)
        or not (trusted or is_known_version(field.value))
    ]


def is_known_version(value: bytes) -> bool:
    """Is a value of version 1, which is also what none says? (RFC 8601 section 2.2)"""
    claim = _claim(_text(value))
    if claim is None:
        return True
    _, _, rest = claim
    version = _VERSION.match(rest, _skip_cfws(rest, 0) or 0)
    return version is None or version[0].lstrip("0") == "1"


def is_ours(value: bytes, authserv_id: str) -> bool:
    """Does an Authentication-Results value claim our authserv-id, however disguised? (RFC 8601 section 5)

    A value that reads strictly is another's if it begins with another name, and ours stands neither in a comment
    before that nor where a method belongs. One that does not read strictly is ours when our name stands anywhere in
    it: what we cannot parse, somebody else may.
    """
    ours = _canonical(authserv_id)
    text = _text(value)
    claim = _claim(text)
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
    """A name for comparison: as a domain where it is one, else in lower case."""
    try:
        return Domain(name)
    except BadDomain:
        return name.casefold().rstrip(".")


def _claim(text: str) -> tuple[str, str, str] | None:
    """What stands before the authserv-id, the authserv-id and the rest; None where no value strictly begins so."""
    at = _skip_cfws(text, 0)
    if at is None:
        return None
    found = _QUOTED.match(text, at) or _WORD.match(text, at)
    if not found:
        return None
    name = re.sub(r'\\(.)|"', r"\1", found[0])
    # what a quoted-string holds beyond a word, another reader may take for the end of the name
    return (text[:at], name, text[found.end() :]) if _WORD.fullmatch(name) else None


def _reads_on(rest: str) -> bool:
    """What may follow an authserv-id: CFWS, a version, and then a semicolon or the end."""
    at = _skip_cfws(rest, 0)
    if at is None:
        return False
    version = _VERSION.match(rest, at)
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
    """Does our name stand in the text as a name of its own, whatever was strewn into it?

    An encoded-word (RFC 2047) counts as our name: Sieve and mail clients decode it, and nobody's name needs one.
    """
    text = text.casefold()
    unquoted = text.replace('"', "")
    plain = unquoted.replace("\\", "")
    readings = {text, _bare_flat(plain), *map(_bare, {unquoted, plain})}
    # some readers drop what is not ASCII, and some take it for the ASCII that it looks like
    readings |= {normalize("NFKC", each) for each in readings if not each.isascii()}
    readings |= {each.encode("ascii", "ignore").decode() for each in readings}
    return any(_ENCODED_WORD.search(each) or _anywhere(ours).search(each) for each in readings)


@lru_cache(maxsize=8)
def _anywhere(ours: str) -> re.Pattern[str]:
    """Our name, with A-labels or U-labels, and between its characters any that belong to no name."""
    spellings = {ours, u_labels(ours)}
    either = "|".join(r"[^\w.-]*+".join(map(re.escape, each)) for each in spellings)
    return re.compile(rf"(?<!\w)(?<!\w[.-])(?<!--)(?:{either})(?!-*\w|\.\w)")


def _bare(text: str) -> str:
    """The text without comments and quoted strings. What is opened and not closed stays."""
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
    """The text without comments, for a reader to whom the first ``)`` ends them all."""
    *parts, last = text.split(")")
    return "".join(part.partition("(")[0] for part in parts) + last
