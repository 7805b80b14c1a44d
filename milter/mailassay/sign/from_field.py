"""The one address that all readers of a From field see: RFC 5322 section 3.4, RFC 2047."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as BadBase64
from collections.abc import Container, Iterator
from quopri import decodestring
from unicodedata import category, normalize

from ..author.encoded_words import decodings
from ..author.tokens import Token, tokens

# a plain address, which nobody can read in two ways
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*@[^\s\"(),:;<>@\[\]\\]++"
)
_EMPTY_LINE = re.compile(r"\r\n[ \t]*(?:\r\n|\Z)")
_FOLD = re.compile(r"\r\n(?=[ \t])")
_QUOTED_PAIR = re.compile(r"\\(.)")
_ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_SHOWN_ADDRESS = re.compile(r"[^\s\"(),:;<>@\[\]\\]+@[^\s\"(),:;<>@\[\]\\]+")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PYTHONS_OWN = ("unicode", "raw_unicode", "raw-unicode")  # codecs that no mail has, which read escape sequences


class _Unreadable(ValueError):
    """An encoded-word that readers may read in different ways."""


def address_of(value: bytes, may_use: Container[str]) -> str:
    """The address of a From field with a single mailbox; empty if a reader may see another one.

    The display name and comments may only have addresses among ``may_use``.
    """
    try:
        field = value.decode()
    except UnicodeDecodeError:
        return ""
    if _EMPTY_LINE.search(field):
        # for some readers, it ends the header section
        return ""
    text = _FOLD.sub("", field)
    found = _place(text)
    if not found or not _ADDRESS.fullmatch(text[slice(*found)]):
        return ""
    begin, end = found
    rest = f"{text[:begin].rstrip().removesuffix('<')} {text[end:].lstrip().removeprefix('>')}"
    try:
        is_harmless = all(_is_harmless(each, may_use) for each in _readings(rest))
    except _Unreadable:
        return ""
    return text[begin:end] if is_harmless else ""


def _place(text: str) -> tuple[int, int] | None:
    """Where the address of a single mailbox begins and ends; None if the field is anything else."""
    kept: list[Token] = [each for each in tokens(text) if each.kind != "comment"]
    kinds = [each.kind for each in kept]
    if not kept:
        return None
    if "<" not in kinds:
        return kept[0].start, kept[-1].end
    opens = kinds.index("<")
    if kinds[-1] != ">" or not set(kinds[:opens]) <= {"word", "quoted"}:
        return None
    return kept[opens].end, kept[-1].start


def _readings(text: str) -> Iterator[str]:
    """The text as readers may show it. Raises :class:`_Unreadable`."""
    for plain in dict.fromkeys((text, _unquoted(text.replace('"', "")), _unquoted(text))):
        for decoded in (plain, *decodings(plain), _decoded(plain, joined=False), _decoded(plain, joined=True)):
            yield normalize("NFKC", decoded)


def _unquoted(text: str) -> str:
    return _QUOTED_PAIR.sub(r"\1", text)


def _is_harmless(text: str, may_use: Container[str]) -> bool:
    if _BIDI.search(text) or any(category(each) in ("Cc", "Cs", "Zl", "Zp") and each != "\t" for each in text):
        return False
    # what is not seen does not separate
    seen = "".join(each for each in text if category(each) != "Cf")
    if "<" in seen or ">" in seen:
        return False
    shown = _SHOWN_ADDRESS.findall(seen)
    return len(shown) == seen.count("@") and all(each.strip("'") in may_use for each in shown)


def _decoded(text: str, *, joined: bool) -> str:
    """The text with its encoded-words decoded by their charsets. Raises :class:`_Unreadable`.

    ``joined``: the octets of neighbours in one charset are put together first, as some readers do.
    """
    pieces: list[tuple[str, bytes]] = []
    at = 0
    for word in _ENCODED_WORD.finditer(text):
        before = text[at : word.start()]
        # white space between two encoded-words is not shown (RFC 2047 section 6.2)
        is_next = bool(at) and not before.strip()
        if not is_next:
            pieces.append(("utf-8", before.encode()))
        charset = word[1].partition("*")[0].lower()
        octets = _octets(word[2].lower(), word[3])
        if joined and is_next and pieces[-1][0] == charset:
            pieces[-1] = (charset, pieces[-1][1] + octets)
        else:
            pieces.append((charset, octets))
        at = word.end()
    return "".join(_text(*each) for each in pieces) + text[at:]


def _octets(encoding: str, content: str) -> bytes:
    try:
        written = content.encode("ascii")
        return decodestring(written, header=True) if encoding == "q" else b64decode(written, validate=True)
    except (UnicodeEncodeError, BadBase64) as error:
        raise _Unreadable(str(error)) from None


def _text(charset: str, octets: bytes) -> str:
    if charset.startswith(_PYTHONS_OWN):
        raise _Unreadable(charset)
    try:
        return octets.decode(charset, "replace")
    except (LookupError, ValueError) as error:
        raise _Unreadable(str(error)) from None
