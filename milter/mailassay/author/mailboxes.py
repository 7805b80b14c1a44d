"""The mailbox-list of a From field: RFC 5322 sections 3.4 and 3.6.2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

from ..domain import BadDomain, Domain
from . import charsets
from .encoded_words import decoded, is_encoded_word
from .fault import Fault, Malformed, Sloppy, Unclear
from .readings import DIRECTION, ENCODED_CONTROL, Tried, anything
from .tokens import WHITE_SPACE, Token, tokens

_PLAIN_ADDRESS = r"[\w.+-]++@([\w-]++(?:\.[\w-]++)+)"
_PLAIN = re.compile(rf""" *+(?:(?:[\w.' -]*+|"[\w.,&' -]*+" *+)<{_PLAIN_ADDRESS}>|{_PLAIN_ADDRESS}) *+""", re.ASCII)
# includes C1 and the line and paragraph separators, which some readers take for line ends
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_NEXT_LINE = "\x85"
# C1 characters next to another non-ASCII character come from text that was encoded twice, or in another charset
_C1_LETTERS = re.compile(r"(?<=[^\x00-\x9f])[\x80-\x9f]++|(?<![\x80-\x9f])[\x80-\x9f]++(?=[^\x00-\x9f])")
_EMPTY_LINE = re.compile(r"\r\n[ \t]*(?=\r\n)")
_BRACKETED = re.compile(r"<[^<>]*")
_ANOTHER_MAILBOX = re.compile(r"<[^<>]*|@[^\s,;<>@.]+\.[^\s,;<>@]+[,;]")
_QUOTES = re.compile(r'["\\]')


def domains(field: str, tried: Tried) -> Sequence[Domain]:
    """The domains of a mailbox-list, and those that a careless reader may find. Raises :class:`Unclear`."""
    # most fields are plain: no reader can misread them
    if plain := _PLAIN.fullmatch(field):
        with suppress(BadDomain):
            return (Domain(plain[1] or plain[2]),)
    unfolded = field.replace("\r\n", "")
    _check_characters(field, unfolded)
    split = _Splitter(field)
    _check_encoded(unfolded)
    found, addresses = [], []
    sloppy: Fault | None = None
    for mailbox in filter(None, split.mailboxes):
        fault = _sloppiness(mailbox)
        if any(token.kind == "@" for token in mailbox):
            address = _address(mailbox)
            found.append(_domain(address, field))
            addresses.append(_text(address, field))
        sloppy = sloppy or fault
    if sloppy:
        raise Sloppy(sloppy)
    others = [*split.others, *_before_line_ends(field), *_decoded(_without_encoded_names(field, split.mailboxes))]
    return [*found, *anything([*addresses, *others], tried)]


def _check_characters(field: str, unfolded: str) -> None:
    """Raises :class:`Unclear` if readers differ about a character of the field."""
    letters = _C1_LETTERS.sub("", unfolded)
    if _CONTROL.search(letters):
        kind = Unclear if _CONTROL.search(charsets.without_segments(letters)) else Malformed
        raise kind(Fault.CONTROL)
    if charsets.has_backslash(field):
        raise Malformed(Fault.BACKSLASH)


def _check_encoded(unfolded: str) -> None:
    """Raises :class:`Unclear` if an encoded-word contains a control character."""
    if any(ENCODED_CONTROL.search(decoded(unfolded, whole=whole)) for whole in (False, True)):
        raise Unclear(Fault.ENCODED_CONTROL)


class _Splitter:
    """Splits a mailbox-list at the commas between its mailboxes. Raises :class:`Malformed`.

    ``mailboxes`` are the tokens of each mailbox, without comments; ``others`` are possible addresses in comments.
    """

    def __init__(self, field: str) -> None:
        self.mailboxes: list[list[Token]] = [[]]
        self.others: list[str] = []
        self._in_brackets = False
        self._saw_colon = False
        for token in tokens(field):
            self._take(token)
        if self._in_brackets:
            raise Malformed(Fault.BRACKETS)

    def _take(self, token: Token) -> None:
        kind = token.kind
        if kind == "open":
            raise Malformed(Fault.UNCLOSED)
        if kind == "comment":
            # a reader that does not know comments may look for angle brackets in them, and a reader that does not nest
            # comments continues after the first parenthesis
            self.others += [*_BRACKETED.findall(token.text), token.text.partition(")")[2]]
        elif kind == "," and not self._in_brackets:
            self.mailboxes.append([])
        else:
            self._watch(kind)
            self.mailboxes[-1].append(token)

    def _watch(self, kind: str) -> None:
        """Follow angle brackets and groups."""
        if kind in ("<", ">"):
            if self._in_brackets == (kind == "<"):
                raise Malformed(Fault.BRACKETS)
            self._in_brackets = not self._in_brackets
        elif not self._in_brackets:
            if kind == ";" and self._saw_colon:
                raise Malformed(Fault.GROUP)
            self._saw_colon = self._saw_colon or kind == ":"


def _sloppiness(mailbox: list[Token]) -> Fault | None:
    """What is wrong with a mailbox apart from its address; None if nothing is. Raises :class:`Malformed`."""
    kinds = [token.kind for token in mailbox]
    if "@" not in kinds:
        return Fault.NO_ADDRESS
    if "<" in kinds:
        opens, closes = kinds.index("<"), kinds.index(">")
        if after := {token.text for token in mailbox[closes + 1 :]}:
            if after - {".", ";"}:
                raise Malformed(Fault.TEXT_AFTER)
            return Fault.TEXT_AFTER
        if "@" in kinds[:opens]:
            return Fault.ADDRESS_IN_NAME
        if any(kind not in ("word", "quoted") for kind in kinds[:opens]):
            return Fault.DISPLAY_NAME
    return None


def _address(mailbox: list[Token]) -> list[Token]:
    """The tokens of the address: those in angle brackets, or all if there are none. Raises :class:`Malformed`."""
    kinds = [token.kind for token in mailbox]
    if "<" not in kinds:
        return mailbox
    opens, closes = kinds.index("<"), kinds.index(">")
    inside = kinds[opens + 1 : closes]
    if inside[:1] == ["@"] or ":" in inside or "," in inside:
        raise Malformed(Fault.ROUTE)
    return mailbox[opens + 1 : closes]


def _domain(address: list[Token], field: str) -> Domain:
    """The domain of an address. Raises :class:`Unclear`."""
    kinds = [token.kind for token in address]
    if kinds.count("@") != 1:
        raise Malformed(Fault.ADDRESS)
    at = kinds.index("@")
    if kinds[at + 1 :] == ["literal"]:
        raise Unclear(Fault.LITERAL)
    local_part, domain = address[:at], address[at + 1 :]
    if not _is_dotted(local_part, "word", "quoted") or not _is_dotted(domain, "word"):
        raise Malformed(Fault.ADDRESS)
    if DIRECTION.search(_text(address, field)):
        raise Unclear(Fault.DIRECTION)
    try:
        return Domain("".join(token.text for token in domain))
    except BadDomain as error:
        raise Malformed(Fault.DOMAIN) from error


def _is_dotted(words: list[Token], *kinds: str) -> bool:
    """Are the tokens words of these kinds that form one name?

    White space may separate them only next to a dot (RFC 5322 section 4.4, obs-local-part and obs-domain).
    """
    return (
        bool(words)
        and all(word.kind in kinds for word in words)
        and all(left.text.endswith(".") or right.text.startswith(".") for left, right in pairwise(words))
    )


def _text(address: list[Token], field: str) -> str:
    """An address as it is written.

    A reader may find other domains in it, if it does not handle quotes, comments or white space there, or decodes
    encoded-words there (RFC 2047 section 5).
    """
    return field[address[0].start : address[-1].end]


def _before_line_ends(field: str) -> list[str]:
    """The parts of the field that a reader sees if it ends a line, or the header section, inside the field."""
    others = []
    # for some readers, a line of white space ends the header section (RFC 5322 section 4.2 still allows it)
    if line := _EMPTY_LINE.search(field):
        others.append(field[: line.start()])
    # for some readers, NEL ends a line
    if _NEXT_LINE in field:
        others += field.split(_NEXT_LINE)
    return others


def _without_encoded_names(field: str, mailboxes: list[list[Token]]) -> str:
    """The field without each display name, or part of one, that remains one after decoding (RFC 2047 section 5)."""
    pieces, at = [], 0
    for mailbox in mailboxes:
        kinds = [token.kind for token in mailbox]
        for token in mailbox[: kinds.index("<") if "<" in kinds else 0]:
            # a reader may not treat it as an encoded-word if other text touches it (section 5)
            before, after = field[: token.start][-1:], field[token.end]
            if before in ("", ",", *WHITE_SPACE) and after in f"<{WHITE_SPACE}" and _is_encoded_name(token):
                pieces += [field[at : token.start], "x"]
                at = token.end
    return "".join([*pieces, field[at:]])


def _is_encoded_name(token: Token) -> bool:
    """Is the token an encoded-word, or a quoted-string of encoded-words without quotes in them after decoding?"""
    if token.kind == "word":
        return is_encoded_word(token.text)
    inside = token.text[1:-1]
    words = [word for word in inside.split() if "=?" in word or "?=" in word]
    if token.kind != "quoted" or not words:
        return False
    return all(map(is_encoded_word, words)) and not _QUOTES.search(decoded(inside))


def _decoded(field: str) -> list[str]:
    """The texts that become an address, or the end of one, for a reader that decodes before it parses."""
    field = field.replace("\r\n", "")
    others: list[str] = []
    for text in dict.fromkeys((decoded(field), decoded(field, whole=True))):
        found = Counter(_ANOTHER_MAILBOX.findall(text))
        # if decoding adds or removes quotes or parentheses, a name may become an address without changing itself
        if all(text.count(mark) == field.count(mark) for mark in '"\\()'):
            found -= Counter(_ANOTHER_MAILBOX.findall(field))
        others += found
    return others
