"""Domain names in the form that DNS and comparisons need: A-labels, lower case, no final dot."""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import normalize

import idna

MAX_OCTETS = 253  # RFC 1035 section 2.3.4: 255 in wire form
MAX_LABEL = 63
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
# The code points with Unicode's Default_Ignorable_Code_Point property, except the joiners, which IDNA 2008 allows in
# some scripts. Versions of idna treat them differently, so they are handled here. UTS 46 drops these,
_DROPPED = re.compile(
    "[\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2064\u206a-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0100-\U000e01ef]"
)
# and disallows these
_DISALLOWED = re.compile(
    "[\u061c\u200e\u200f\u202a-\u202e\u2065-\u2069\ufff0-\ufff8\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)


class BadDomain(ValueError):
    """The text is not a domain name."""


class Domain(str):
    """A domain name in A-label form, lower case, without the final dot (RFC 8616 section 4; RFC 5890).

    It is a ``str``, so it compares, hashes and prints as its text. Underscores are allowed, because selectors and
    policy records are found at such names. Raises :class:`BadDomain` if the text is not a domain name.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Domain:
        return super().__new__(cls, _normalize(text))

    @property
    def labels(self) -> list[str]:
        """The labels, left to right."""
        return self.split(".")

    def parents(self) -> list[Domain]:
        """The names above this one, nearest first; the last is the top-level domain."""
        labels = self.labels
        return [self.rightmost(count) for count in range(len(labels) - 1, 0, -1)]

    def rightmost(self, count: int) -> Domain:
        """The name made of the ``count`` right-most labels."""
        return str.__new__(Domain, ".".join(self.labels[-count:]))

    def common(self, other: Domain) -> Domain:
        """The longest name that both are within, which may be one of them.

        The two must have at least the top-level domain in common; else StopIteration is raised.
        """
        return next(above for above in (self, *self.parents()) if other.is_within(above))

    def is_within(self, other: Domain) -> bool:
        """Is this ``other`` itself or a name below it?"""
        return self == other or self.endswith("." + other)


def a_labels(text: str) -> str:
    """A domain name with A-labels. Text that is ASCII already, or is not a domain name, is returned unchanged."""
    if text.isascii():
        return text
    try:
        return Domain(text)
    except BadDomain:
        return text


def u_labels(text: str) -> str:
    """A domain name with its A-labels decoded to U-labels. Text that is not a domain name is returned unchanged."""
    return ".".join(map(_u_label, text.split("."))) if len(text) <= MAX_OCTETS else text


def _u_label(label: str) -> str:
    if not label.lower().startswith("xn--"):
        return label
    try:
        u_label = idna.decode(label)
        return u_label if _a_label(u_label) == label.lower() else label
    except (idna.IDNAError, UnicodeError, BadDomain):
        return label


@lru_cache(maxsize=4096)
def _normalize(text: str) -> str:
    name = text.removesuffix(".")
    # checked before any conversion, because the cost of IDNA grows with the length
    if not name or len(name) > MAX_OCTETS:
        raise BadDomain("empty or longer than a domain name can be")
    # IDNA 2003 and UTS 46 treat these as full stops (RFC 3490 section 3.1)
    labels = [_a_label(label) for label in re.split("[.\u3002\uff0e\uff61]", name)]
    name = ".".join(labels)
    if len(name) > MAX_OCTETS:
        raise BadDomain("longer than a domain name can be")
    return name


def _a_label(label: str) -> str:
    if label.isascii():
        lower = label.lower()
    else:
        if _DISALLOWED.search(label):
            raise BadDomain("a label with an invisible character")
        label = _DROPPED.sub("", label)
        # IDNA compares some characters with all the others, so the length is checked first. No step of IDNA makes a
        # label shorter than NFKC does.
        if len(normalize("NFKC", label)) > MAX_LABEL:
            raise BadDomain("a label that is too long")
        try:
            lower = idna.encode(label, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise BadDomain("a label that IDNA does not allow") from error
    if not _LABEL.fullmatch(lower):
        raise BadDomain("an empty, over-long or malformed label")
    return lower
