"""Macros in a domain-spec: RFC 7208 section 7."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from ..domain import MAX_OCTETS

_MACRO = re.compile(r"%(?:([%_-])|\{([a-z])([0-9]*)(r?)([.+,/_=-]*)\})", re.IGNORECASE | re.ASCII)
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}


@lru_cache(maxsize=256)
def letters(domain_spec: str) -> frozenset[str]:
    """The macro letters of a domain-spec, in lower case."""
    return frozenset(found[2].lower() for found in _MACRO.finditer(domain_spec) if found[2])


@lru_cache(maxsize=256)
def expand(domain_spec: str, values: tuple[tuple[str, str], ...]) -> str:
    """The expansion of a domain-spec without syntax errors; ``values`` has a text for each macro letter in it.

    If the name is too long for DNS, labels are removed from the left (section 7.3). The result is cached, because the
    check runs again whenever an answer arrives.
    """
    value = dict(values)

    def expansion(found: re.Match[str]) -> str:
        escape, letter, digits, reverse, delimiters = found.groups()
        if escape:
            return _ESCAPES[escape]
        # only the end of a long text can be left in the name, and to escape all of it would cost ten times as much
        text = _transform(value[letter.lower()], digits, reverse, delimiters)[-2 * MAX_OCTETS :]
        return quote(text, safe="", errors="surrogatepass") if letter.isupper() else text

    name = _MACRO.sub(expansion, domain_spec).removesuffix(".")
    if len(name) > MAX_OCTETS:
        name = name[name.find(".", len(name) - MAX_OCTETS - 1) + 1 :]
    return name


def _transform(text: str, digits: str, reverse: str, delimiters: str) -> str:
    """The text split at its delimiters, reversed, cut to its last parts, and joined with dots."""
    if not (digits or reverse or delimiters):
        return text
    first = delimiters[:1] or "."
    for each in delimiters:
        text = text.replace(each, first)
    parts = text.split(first)
    if reverse:
        parts.reverse()
    # no text has as many parts as a number of nine digits
    return ".".join(parts[-int(digits.lstrip("0")[:9]) :] if digits else parts)
