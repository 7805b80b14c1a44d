"""The grammar of an SPF record, RFC 7208 section 12. A record is parsed as a whole before it counts (section 4.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from socket import AF_INET6, inet_pton
from typing import NamedTuple

from ..result import Result

# Repeated character classes are possessive, so that even a malformed record is not read twice. Groups cannot be
# possessive: before 3.11.5, Python continues after text that such a group did not match. So the alternatives of a group
# begin differently.
_LITERAL = r"[!-$&-~]"  # macro-literal
_IN_LABEL = r"[!-$&-\-/-~]"  # macro-literal without the dot


def _macro(letters: str) -> str:
    """macro-expand; a number of parts is not zero (section 7.3)."""
    return rf"%(?:[%_-]|\{{[{letters}](?:0*+[1-9][0-9]*+)?r?+[.+,/_=-]*+\}})"


_MACRO = _macro("slodiphv")
_ANY_MACRO = _macro("slodiphvcrt")  # c, r and t are allowed only in explanations (section 7.2)
_NUMBER = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_CIDR4 = r"(?:/(?:3[0-2]|[12]?[0-9])(?![0-9]))?"
_CIDR6 = r"/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])(?![0-9])"
_DUAL_CIDR = rf"{_CIDR4}(?:/{_CIDR6})?"
_END = rf"{_DUAL_CIDR}\Z"
_TOPLABEL = rf"(?![0-9]++\.?{_END})[a-z0-9]++(?:-++[a-z0-9]++)*"
_DOMAIN_SPEC = (
    rf"(?:{_LITERAL}*+{_MACRO})*"
    rf"(?:(?<![:=])(?={_END})|(?:{_IN_LABEL}*+\.(?!{_END}))+{_TOPLABEL}\.?+(?={_END}))"
)
_DIRECTIVE = (
    rf"[+?~-]?+(?:all|(?:include|exists):{_DOMAIN_SPEC}|(?:a|mx)(?::{_DOMAIN_SPEC})?{_DUAL_CIDR}"
    rf"|ptr(?::{_DOMAIN_SPEC})?|ip4:{_NUMBER}(?:\.{_NUMBER}){{3}}{_CIDR4}|ip6:[0-9a-f:.]++(?:{_CIDR6})?)"
)
_MODIFIER = rf"(?:redirect|exp)={_DOMAIN_SPEC}|(?!(?:redirect|exp)=)[a-z][a-z0-9_.-]*+=(?:{_LITERAL}++|{_ANY_MACRO})*"
_FLAGS = re.IGNORECASE | re.ASCII

_VERSION = re.compile(r"v=spf1(?: |\Z)", _FLAGS)
_TERM = re.compile(rf"{_DIRECTIVE}|{_MODIFIER}", _FLAGS)
_IP6 = re.compile(r" [+?~-]?ip6:([^ /]++)", _FLAGS)
_ONCE = re.compile(r" (redirect|exp)=([^ ]++)", _FLAGS)
_PARTS = re.compile(r"([+?~-]?)([a-z0-9]++)(?::([^/]*+.*?))?(?:/([0-9]+))?(?://([0-9]+))?", _FLAGS)

_SHORT = 512  # octets; longer texts are not cached, since a parsed hostile record takes a hundred times its length
_QUALIFIERS = {"": Result.PASS, "+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}


class BadRecord(ValueError):
    """The record has a syntax error. The text says where, without quoting the record."""


class Directive(NamedTuple):
    """One mechanism, taken apart. ``argument`` is a domain-spec or an address, empty if there is none.

    ``prefixes`` are the prefix lengths in bits for IPv4 and for IPv6.
    """

    text: str
    result: Result
    mechanism: str
    argument: str
    prefixes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Record:
    """A record without syntax errors: its terms in order, and the domain-spec of ``redirect=``, or an empty text."""

    terms: tuple[str, ...]
    redirect: str

    def directives(self) -> Iterator[Directive]:
        """The mechanisms in order. Each is taken apart only when the caller reaches it."""
        for term in self.terms:
            if found := (_kept_directive if len(term) <= _SHORT else _directive)(term):
                yield found


def _directive(term: str) -> Directive | None:
    found = _PARTS.fullmatch(term)
    if not found:
        return None
    qualifier, mechanism, argument, first, second = found.groups()
    mechanism = mechanism.lower()
    # ip6 has one prefix length, written like that of ip4
    prefix6 = first if mechanism == "ip6" else second
    prefixes = int(first or 32), int(prefix6 or 128)
    return Directive(term, _QUALIFIERS[qualifier], mechanism, argument or "", prefixes)


_kept_directive = lru_cache(maxsize=4096)(_directive)


def is_record(text: str) -> bool:
    """Is the text an SPF record (section 4.5)?"""
    return bool(_VERSION.match(text))


def parse(text: str) -> Record:
    """Read a record. Raises :class:`BadRecord`."""
    return (_kept_record if len(text) <= _SHORT else _record)(text)


def _record(text: str) -> Record:
    terms = tuple(filter(None, text.split(" ")))[1:]
    for number, term in enumerate(terms, 1):
        if not _TERM.fullmatch(term):
            raise BadRecord(f"term {number} is neither a mechanism nor a modifier")
    for address in _IP6.findall(text):
        try:
            inet_pton(AF_INET6, address)
        except OSError as error:
            raise BadRecord("an ip6 without an IPv6 address") from error
    once = [(name.lower(), spec) for name, spec in _ONCE.findall(text)]
    modifiers = dict(once)
    if len(modifiers) < len(once):
        raise BadRecord("redirect= or exp= more than once")
    return Record(terms, modifiers.get("redirect", ""))


_kept_record = lru_cache(maxsize=1024)(_record)
