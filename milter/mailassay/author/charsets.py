"""Charsets in which an ASCII octet does not always stand for the ASCII character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from encodings import normalize_encoding
from encodings.aliases import aliases

_CODECS = {
    *("utf_7", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"),
    *("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr"),
    *("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140", "hz", "unicode_escape", "raw_unicode_escape"),
}
# multibyte charsets in which a character contains ASCII octets: the second one, or both after an escape sequence (ISO
# 2022)
_TWO_OCTETS = ("cp932", "big5hkscs", "gb18030", "cp949", "euc_jp")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SEGMENT = r"\x1b\$\(?[@-D]([!-~]*+)\x1b\([BJ]"
_BACKSLASH = re.compile(r"[^\x00-\x7f]\\")
# up to the address, nothing that could become a domain
_REST_OF_NAME = r"""(?=[^.\u3002\uff0e\uff61\u2024-\u2026\ufe12\ufe52<>,;:()"]*+"?\s*+<)"""
_SECOND_OCTET = re.compile(rf"(?<=[^\x00-\x7f])@{_REST_OF_NAME}")
_LAST_SEGMENT = re.compile(_SEGMENT + _REST_OF_NAME)
_ANY_SEGMENT = re.compile(_SEGMENT)
_MAX_SEGMENTS = 8  # an honest name has few, and each costs time


def codec(charset: str) -> str:
    """Python's codec for a charset, with or without a language (RFC 2231); UTF-8 for those in which ASCII is itself."""
    name = normalize_encoding(charset.partition("*")[0])
    if name.startswith(("iso_2022_jp", "csiso2022jp")):
        return "iso2022_jp_ext"
    if "ebcdic" in name:
        return "cp037"
    found = next((aliases[each] for each in (name, name.removeprefix("cs")) if each in aliases), name)
    return found if found in _CODECS else "utf-8"


def keeps_ascii(charset: str) -> bool:
    """Is ASCII itself in the charset, at least outside the escape sequences of ISO 2022?"""
    found = codec(charset)
    return found not in _CODECS or found.startswith("iso2022")


def has_backslash(field: str) -> bool:
    """Is there a backslash that may be the second octet of a character?"""
    return bool(_BACKSLASH.search(field))


def without_segments(field: str) -> str:
    """The field without its segments in the two-octet charsets of ISO 2022."""
    return _ANY_SEGMENT.sub("", field)


def decodings(field: str) -> Iterator[str]:
    """The field in each multibyte charset in which it may be written."""
    names = [*(_TWO_OCTETS if _NOT_UTF8.search(field) else ()), *(["iso2022_jp_ext"] if "\x1b" in field else [])]
    if names:
        octets = field.encode("utf-8", "surrogateescape")
        yield from (octets.decode(name, "replace") for name in names)


def without_halves(text: str) -> str:
    """A text in a multibyte charset without each ``@`` that is part of a character in a name and begins no domain."""
    for _ in range(_MAX_SEGMENTS):
        text, found = _LAST_SEGMENT.subn(_segment, text)
        if not found:
            break
    return _SECOND_OCTET.sub("", text)


def _segment(found: re.Match[str]) -> str:
    """The replacement for two-octet characters: ``x``, or their ASCII if an ASCII reader may see a domain in it."""
    return found[0].replace("\x1b", "") if "." in found[1].partition("@")[2] else "x"
