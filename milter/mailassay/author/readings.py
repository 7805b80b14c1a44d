"""The domains that readers may find in a text, if they ignore the grammar or read it wrongly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from unicodedata import normalize

from ..domain import MAX_OCTETS, BadDomain, Domain, u_labels
from . import charsets, encoded_words
from .fault import Fault, TooMuch
from .tokens import tokens

ENCODED_CONTROL = re.compile(r"[\0\r\n]")  # not ESC, which ISO 2022 needs
DIRECTION = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_AROUND_DOT = re.compile(r"(?<![ \t\r\n])[ \t\r\n]*+\.[ \t\r\n]*+")
_SPACE = re.compile(r"\s")
_NO_UTF8 = re.compile("[\ud800-\udfff\ufffd]")
_IGNORED = re.compile(r'[\s"\\\x00-\x1f\x7f-\x9f]')
_AFTER_AT = re.compile(r'@(?:[ \t\r\n]|\([^()]*\))*([^()<>\[\]:;@,"\s\0]+)')
# characters that a reader may drop when it looks for a domain
_MARK = r"""[()<>\[\]:;,"\\\s]"""
_BROKEN_NAME = re.compile(rf"(?<=@){_MARK}++|(?<!{_MARK}){_MARK}++(?=[.\u3002\uff0e\uff61])")
_TO_A_LITERAL = re.compile(r"@(?:[ \t\r\n]|\([^()]*\))*\[")
_LETTERS = re.compile(r"[\w.-]+")
_ASCII_PUNYCODE = re.compile(r"^xn--(.+)-$", re.IGNORECASE)
_AT_SIGNS = str.maketrans("\uff20\ufe6b", "@@")  # full width, small
_MAX_NAMES = 64  # names to try as a domain, in all fields together


class Tried:
    """The names that were tried as a domain, in all fields together, and the domains that each stands for."""

    def __init__(self) -> None:
        self._domains: dict[str, tuple[Domain, ...]] = {}

    def __getitem__(self, name: str) -> tuple[Domain, ...]:
        return self._domains[name]

    def domains(self, names: dict[str, None]) -> list[Domain]:
        """The domains that names stand for. Raises :class:`TooMuch`."""
        new = names.keys() - self._domains.keys()
        if len(self._domains) + len(new) > _MAX_NAMES:
            raise TooMuch(Fault.NAMES)
        self._domains.update((name, tuple(_domains(name))) for name in new)
        return list(dict.fromkeys(chain.from_iterable(self._domains[name] for name in names)))


def _domains(name: str) -> Iterator[Domain]:
    """The domain that the name is, or else those that a reader may show in its place. Raises :class:`TooMuch`."""
    if _NO_UTF8.search(name):
        # each reader guesses the charset of such octets
        raise TooMuch(Fault.NOT_UTF8)
    try:
        yield Domain(name.replace("\\", "").rstrip("."))
    except BadDomain:
        # characters that a domain cannot have may be invisible, so the text on one side may look like the whole name
        parts = _LETTERS.findall(normalize("NFKC", name))
        for part in dict.fromkeys((*parts[:1], *parts[-1:], "".join(parts))):
            labels = part.split(".")
            yield from _end(labels)
            # xn--bank- is Punycode for bank
            yield from _end([_ASCII_PUNYCODE.sub(r"\1", label).strip("-_") for label in labels])


def _end(labels: list[str]) -> Iterator[Domain]:
    """The longest domain at the end of a name, because the end of a name determines its owner."""
    good: list[str] = []
    octets = -1
    for label in filter(None, reversed(labels)):
        try:
            good.append(Domain(label))
        except BadDomain:
            break
        octets += 1 + len(good[-1])
        if octets > MAX_OCTETS:
            del good[-1]
            break
    # a top-level domain is not the domain of an author
    if len(good) > 1:
        yield Domain(".".join(reversed(good)))


def anything(texts: Iterable[str], tried: Tried) -> list[Domain]:
    """The domains that follow an ``@`` anywhere in the texts. Raises :class:`TooMuch`.

    They include what is found by readers that handle comments and quotes, that do not, that drop characters a domain
    cannot have, and that decode before they parse.
    """
    return tried.domains(_names(_decodings(",".join(texts))))


def anything_malformed(field: str, tried: Tried) -> tuple[list[Domain], bool]:
    """Like :func:`anything`, for a malformed field; and is there only one domain that any reader can find?"""
    texts = _decodings(field)
    names = _names([*texts, *map(_without_marks, texts)])
    found = tried.domains(names)
    # if a name is not literally a domain, readers may derive this domain from it, a different one, or none
    agreed = len(found) == 1 and all(_is_spelled(name) for name in names if tried[name])
    return found, agreed and not any(map(_misleads, texts))


def _decodings(field: str) -> list[str]:
    """The field, and the texts that readers may get by decoding it."""
    texts = [field, *encoded_words.decodings(field)]
    if in_charsets := [*charsets.decodings(field)]:
        texts = [charsets.without_halves(text) for text in (*texts, *in_charsets)]
    return list(dict.fromkeys(texts))


def _without_marks(text: str) -> str:
    """The text without the characters that cannot stand between an ``@`` and a domain, or before a dot."""
    return _BROKEN_NAME.sub("", text)


def _names(texts: Iterable[str]) -> dict[str, None]:
    """The names that follow an ``@`` for some reader."""
    names: dict[str, None] = {}
    for text in dict.fromkeys(texts):
        for reading in _readings(text):
            names |= dict.fromkeys(_AFTER_AT.findall(reading.translate(_AT_SIGNS)))
    return names


def _readings(text: str) -> Iterable[str]:
    """The text for readers that handle comments and quotes, that do not, and that drop what a domain cannot have."""
    if "@" not in text.translate(_AT_SIGNS):
        return []
    lexed = _AROUND_DOT.sub(".", " ".join(token.text for token in tokens(text) if token.kind != "comment"))
    return (text, lexed, _SPACE.sub("", lexed), _IGNORED.sub("", lexed))


def _is_spelled(name: str) -> bool:
    """Is the name literally a domain of two labels or more?"""
    try:
        domain = Domain(name)
    except BadDomain:
        return False
    return len(domain.labels) > 1 and (name.isascii() or u_labels(domain) == name.lower().removesuffix("."))


def _misleads(text: str) -> bool:
    """May a reader end the text early, show its characters in a different order, or find an address literal?"""
    return bool(
        ENCODED_CONTROL.search(text.replace("\r\n", "")) or DIRECTION.search(text) or _TO_A_LITERAL.search(text)
    )
