"""The author domains of From: RFC 5322 section 3.6.2 and RFC 9989 section 5.3.1.

DMARC protects what a mail program shows as the author, and mail programs ("readers" below) differ if a field is
malformed. So this module collects every domain that some reader might show as the author's, and is strict about what it
calls clear. A display name is not an address, whatever it says (RFC 9989 section 11.4). Its end is found before
encoded-words are decoded, because they cannot be part of an address (RFC 2047 section 5). A malformed field is clear
only if the same domain follows every ``@``, in every decoding.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from encodings import normalize_encoding
from encodings.aliases import aliases
from itertools import chain, pairwise
from quopri import decodestring
from typing import NamedTuple
from unicodedata import normalize

from .domain import MAX_OCTETS, BadDomain, Domain, u_labels
from .limits import Limits
from .message import MAX_LINE, Field, Headers

_WHITE_SPACE = " \t\r\n"
_PLAIN_ADDRESS = r"[\w.+-]++@([\w-]++(?:\.[\w-]++)+)"
_PLAIN = re.compile(rf""" *+(?:(?:[\w.' -]*+|"[\w.,&' -]*+" *+)<{_PLAIN_ADDRESS}>|{_PLAIN_ADDRESS}) *+""", re.ASCII)
# includes C1 and the line and paragraph separators, which some readers take for line ends
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_NEXT_LINE = "\x85"
# C1 characters next to another non-ASCII character come from text that was encoded twice, or in another charset
_C1_LETTERS = re.compile(r"(?<=[^\x00-\x9f])[\x80-\x9f]++|(?<![\x80-\x9f])[\x80-\x9f]++(?=[^\x00-\x9f])")
_ENCODED_CONTROL = re.compile(r"[\0\r\n]")  # not ESC, which ISO 2022 needs
_DIRECTION = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
_EMPTY_LINE = re.compile(r"\r\n[ \t]*(?=\r\n)")
_WORD = re.compile(r'[^()<>\[\]:;@\\," \t\r\n]+')
_PIECE = re.compile(r'[()<>\[\]:;@\\,"]|[^()<>\[\]:;@\\," \t\r\n]+')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LITERAL = re.compile(r"\[(?:[^\]\\]|\\.)*\]", re.DOTALL)
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)
_AROUND_DOT = re.compile(r"(?<![ \t\r\n])[ \t\r\n]*+\.[ \t\r\n]*+")
_SPACE = re.compile(r"\s")
_NO_UTF8 = re.compile("[\ud800-\udfff\ufffd]")
_IGNORED = re.compile(r'[\s"\\\x00-\x1f\x7f-\x9f]')
_AFTER_AT = re.compile(r'@(?:[ \t\r\n]|\([^()]*\))*([^()<>\[\]:;@,"\s\0]+)')
# characters that a reader may drop when it looks for a domain
_MARK = r"""[()<>\[\]:;,"\\\s]"""
_BROKEN_NAME = re.compile(rf"(?<=@){_MARK}++|(?<!{_MARK}){_MARK}++(?=[.\u3002\uff0e\uff61])")
_TO_A_LITERAL = re.compile(r"@(?:[ \t\r\n]|\([^()]*\))*\[")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
# multibyte charsets in which a character contains ASCII octets: the second one, or both after an escape sequence (ISO
# 2022)
_TWO_OCTETS = ("cp932", "big5hkscs", "gb18030", "cp949", "euc_jp")
_SEGMENT = r"\x1b\$\(?[@-D]([!-~]*+)\x1b\([BJ]"
_ESCAPE_OR_LETTER = re.compile(r"[^\x00-\x7f]\\")
# up to the address, nothing that could become a domain
_REST_OF_NAME = r"""(?=[^.\u3002\uff0e\uff61\u2024-\u2026\ufe12\ufe52<>,;:()"]*+"?\s*+<)"""
_SECOND_OCTET = re.compile(rf"(?<=[^\x00-\x7f])@{_REST_OF_NAME}")
_LAST_SEGMENT = re.compile(_SEGMENT + _REST_OF_NAME)
_ANY_SEGMENT = re.compile(_SEGMENT)
_MAX_SEGMENTS = 8  # an honest name has few, and each costs time
_LETTERS = re.compile(r"[\w.-]+")
_ASCII_PUNYCODE = re.compile(r"^xn--(.+)-$", re.IGNORECASE)
_AFTER_CR = re.compile(rb"\r[ \t]*from[ \t]*:((?:[^\r\n]++|\r\n?[ \t])*)", re.IGNORECASE)
# an empty line, a line of white space (RFC 5322 section 4.2 still allows it), or text after a bare CR that is no field
_SECTION_END = re.compile(rb"\r\n?+[ \t]*+(?=\r|\Z)|\r(?![\n \t])")
_BRACKETED = re.compile(r"<[^<>]*")
_ANOTHER_MAILBOX = re.compile(r"<[^<>]*|@[^\s,;<>@.]+\.[^\s,;<>@]+[,;]")
_AT_SIGNS = str.maketrans("\uff20\ufe6b", "@@")  # full width, small
_ENCODED_WORD = re.compile(r"=\?([^?\s]*)\?([bq])\?", re.IGNORECASE)
_QUOTES = re.compile(r'["\\]')
_WHOLE_WORD = re.compile(r"=\?([^?\s]+)\?([bq])\?([^?\s]*)\?=", re.IGNORECASE)
_WHOLE_BASE64 = re.compile(r"[A-Za-z0-9+/]*+={0,2}")
_WORD_END = re.compile(r"\?=(?![ \t\r\n])")
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
# charsets in which an ASCII octet does not always stand for the ASCII character
_CODECS = {
    *("utf_7", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"),
    *("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr"),
    *("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140", "hz", "unicode_escape", "raw_unicode_escape"),
}
_NO_ADDRESS = "no address in From"
_MAX_NAMES = 64  # names to try as a domain, in all fields together
_MAX_PIECES = 1000  # words and special characters in all fields together; each costs time, and 64 mailboxes have 500


@dataclass(frozen=True, slots=True)
class Author:
    """The distinct author domains, in order.

    ``problem`` says why they are not one clear domain; it is empty if they are. ``unread``: there may be more domains
    than were looked at.
    """

    domains: tuple[Domain, ...]
    problem: str = ""
    unread: bool = False


class _Unclear(ValueError):
    """The field does not conform to RFC 5322 section 3.6.2, or can be read in several ways."""


class _Malformed(_Unclear):
    """The field has no mailbox by the grammar. Readers agree only if no reading gives a second domain."""


class _Sloppy(_Unclear):
    """Some programs write such fields. Readers agree on them as long as only one domain can be found."""


class _TooMuch(_Unclear):
    """The field is larger than is looked at."""


def author(headers: Headers, limits: Limits) -> Author:
    """Read the From field or fields. Never raises.

    If they name nobody, Sender and Resent-From are read, because some readers show these instead.
    """
    if headers.longest_name >= MAX_LINE:
        # an MTA that relays it breaks the name, so that it is not a field any more and ends the header section
        return Author((), "a field name longer than a line", unread=True)
    fields = [*headers.named(b"from"), *_fields_inside(headers)]
    problem = "several From fields" if len(fields) > 1 else "" if fields else "no From field"
    found, malformed = _read([*fields, *_shown_instead(headers)], limits, problem)
    if not found.domains and not found.unread:
        return _read(_named_instead(headers), limits, found.problem)[0]
    if malformed and not found.problem:
        # a reader may find no author in it, and show Sender or Resent-From instead
        beside, _ = _read(_named_instead(headers), limits, "")
        if beside.unread or not set(beside.domains) <= set(found.domains):
            domains = tuple(dict.fromkeys([*found.domains, *beside.domains]))
            unread = beside.unread or len(domains) > limits.from_domains
            return Author(domains[: limits.from_domains], malformed, unread)
    return found


def _named_instead(headers: Headers) -> list[Field]:
    return [*headers.named(b"sender"), *headers.named(b"resent-from")]


def _fields_inside(headers: Headers) -> Iterator[Field]:
    """From fields inside other fields: if the MTA lets a bare CR through, it ends a line for some readers."""
    for field in headers:
        if b"\r" in field.value:
            for value in _AFTER_CR.findall(field.value):
                yield Field(b"From", value)


def _shown_instead(headers: Headers) -> list[Field]:
    """Sender and Resent-From above a line that ends the header section for some readers before they see an author."""
    above: list[Field] = []
    found: list[Field] = []
    if not headers.named(b"sender") and not headers.named(b"resent-from"):
        return found
    for field in headers:
        name = field.name.lower()
        if name in (b"sender", b"resent-from"):
            above.append(field)
        end = _SECTION_END.search(field.value) if above else None
        if name == b"from" and (not end or b"@" in field.value[: end.start()]):
            break
        if end:
            found = list(above)
    return found


def _read(fields: Sequence[Field], limits: Limits, problem: str) -> tuple[Author, str]:
    """The author that these fields give, and what is malformed in them."""
    texts = [field.value.decode("utf-8", "surrogateescape") for field in fields]
    if too_much := _too_much(fields, texts, limits):
        return Author((), problem or too_much, unread=True), ""
    malformed = ""
    domains: dict[Domain, None] = {}
    tried: dict[str, tuple[Domain, ...]] = {}
    found: Iterable[Domain]
    for text in texts:
        try:
            found = _mailboxes(text, tried)
        except _Unclear as error:
            try:
                found, is_clear = _of_unclear(text, error, tried)
            except _TooMuch as more:
                return Author((), problem or str(more), unread=True), ""
            if not is_clear:
                problem = problem or str(error)
            elif isinstance(error, _Malformed):
                malformed = str(error)
        for domain in found:
            domains[domain] = None
            if len(domains) > limits.from_domains:
                break
    unread = len(domains) > limits.from_domains
    if unread:
        problem = problem or "more author domains than are looked at"
    elif len(domains) > 1:
        problem = problem or "several author domains"
    elif not domains:
        problem = problem or _NO_ADDRESS
    return Author(tuple(domains)[: limits.from_domains], problem, unread), malformed


def _too_much(fields: Sequence[Field], texts: Sequence[str], limits: Limits) -> str:
    """Why From is not read; empty if it is within the limits."""
    if len(fields) > limits.from_fields or sum(len(field.value) for field in fields) > limits.from_octets:
        return "From is larger than is looked at"
    if any(field.breakable for field in fields):
        return "a line of From longer than 998 octets"
    if sum(len(_PIECE.findall(text)) for text in texts) > _MAX_PIECES:
        return "more words and special characters in From than are looked at"
    return ""


def _of_unclear(text: str, error: _Unclear, tried: dict[str, tuple[Domain, ...]]) -> tuple[list[Domain], bool]:
    """The domains that readers may find in a faulty field; and do all readers find the same one? Raises _TooMuch."""
    if isinstance(error, _Malformed):
        return _anywhere(text, tried)
    found = _anything([text], tried)
    if isinstance(error, _Sloppy):
        # a single label in a name, as in "Team@Home", is not the domain of an author
        found = [domain for domain in found if len(domain.labels) > 1] or found
        return found, len(found) == 1
    return found, False


def _anything(texts: Iterable[str], tried: dict[str, tuple[Domain, ...]]) -> list[Domain]:
    """The domains that follow an ``@`` anywhere in the texts. Raises :class:`_TooMuch`.

    They include what is found by readers that handle comments and quotes, that do not, that drop characters a domain
    cannot have, and that decode before they parse. ``tried`` maps the names that were tried before to their domains.
    """
    return _stand_for(_names(_decodings(",".join(texts))), tried)


def _anywhere(field: str, tried: dict[str, tuple[Domain, ...]]) -> tuple[list[Domain], bool]:
    """Like :func:`_anything`, for a malformed field; and is there only one domain that any reader can find?"""
    texts = _decodings(field)
    names = _names([*texts, *map(_without_marks, texts)])
    found = _stand_for(names, tried)
    # if a name is not literally a domain, readers may derive this domain from it, a different one, or none
    agreed = len(found) == 1 and all(_is_spelled(name) for name in names if tried[name])
    return found, agreed and not any(map(_misleads, texts))


def _without_marks(text: str) -> str:
    """The text without the characters that cannot stand between an ``@`` and a domain, or before a dot."""
    return _BROKEN_NAME.sub("", text)


def _misleads(text: str) -> bool:
    """May a reader end the text early, show its characters in a different order, or find an address literal?"""
    return bool(
        _ENCODED_CONTROL.search(text.replace("\r\n", "")) or _DIRECTION.search(text) or _TO_A_LITERAL.search(text)
    )


def _names(texts: Iterable[str]) -> dict[str, None]:
    """The names that follow an ``@`` for some reader."""
    names: dict[str, None] = {}
    for text in dict.fromkeys(texts):
        for reading in _readings(text):
            names |= dict.fromkeys(_AFTER_AT.findall(reading.translate(_AT_SIGNS)))
    return names


def _is_spelled(name: str) -> bool:
    """Is the name literally a domain of two labels or more?"""
    try:
        domain = Domain(name)
    except BadDomain:
        return False
    return len(domain.labels) > 1 and (name.isascii() or u_labels(domain) == name.lower().removesuffix("."))


def _decodings(field: str) -> list[str]:
    """The field, and the texts that readers may get by decoding it."""
    # some readers insert the blank that should follow an encoded-word (RFC 2047 section 5)
    texts = [field, _decoded(field), _decoded(field, whole=True), _decoded(_WORD_END.sub("?= ", field))]
    charsets = [*(_TWO_OCTETS if _NOT_UTF8.search(field) else ()), *(["iso2022_jp_ext"] if "\x1b" in field else [])]
    if charsets:
        octets = field.encode("utf-8", "surrogateescape")
        texts = [_without_halves(text) for text in (*texts, *(octets.decode(name, "replace") for name in charsets))]
    return list(dict.fromkeys(texts))


def _without_halves(text: str) -> str:
    """A text in a multibyte charset without each ``@`` that is part of a character in a name and begins no domain."""
    for _ in range(_MAX_SEGMENTS):
        text, found = _LAST_SEGMENT.subn(_segment, text)
        if not found:
            break
    return _SECOND_OCTET.sub("", text)


def _segment(found: re.Match[str]) -> str:
    """The replacement for two-octet characters: ``x``, or their ASCII if an ASCII reader may see a domain in it."""
    return found[0].replace("\x1b", "") if "." in found[1].partition("@")[2] else "x"


def _readings(text: str) -> Iterable[str]:
    """The text for readers that handle comments and quotes, that do not, and that drop what a domain cannot have."""
    if "@" not in text.translate(_AT_SIGNS):
        return []
    tokens = (token.text for token in _tokens(text) if token.kind != "comment")
    lexed = _AROUND_DOT.sub(".", " ".join(tokens))
    return (text, lexed, _SPACE.sub("", lexed), _IGNORED.sub("", lexed))


def _stand_for(names: dict[str, None], tried: dict[str, tuple[Domain, ...]]) -> list[Domain]:
    """The domains that names stand for. New names are added to ``tried``. Raises :class:`_TooMuch`."""
    new = names.keys() - tried.keys()
    if len(tried) + len(new) > _MAX_NAMES:
        raise _TooMuch("more addresses in From than are looked at")
    tried.update((name, tuple(_domains(name))) for name in new)
    return list(dict.fromkeys(chain.from_iterable(tried[name] for name in names)))


def _domains(name: str) -> Iterator[Domain]:
    """The domain that the name is, or else those that a reader may show in its place. Raises :class:`_TooMuch`."""
    if _NO_UTF8.search(name):
        # each reader guesses the charset of such octets
        raise _TooMuch("octets in a domain of From that are not UTF-8")
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


def _decoded(text: str, *, whole: bool = False) -> str:
    """The text with its encoded-words (RFC 2047) decoded, whatever their position and content.

    ``whole``: an encoded-word contains no question mark. So one may begin inside text that would otherwise be another.
    """
    pieces, at = [], 0
    for word in _ENCODED_WORD.finditer(text):
        if word.start() < at:
            continue
        end = text.find("?=", word.end())
        if end < 0:
            break
        if whole and "?" in text[word.end() : end]:
            continue
        before = text[at : word.start()]
        # white space between two encoded-words is not shown (section 6.2)
        if not at or before.strip(_WHITE_SPACE):
            pieces.append(before)
        pieces.append(_letters(word[1].lower(), word[2].lower(), text[word.end() : end]))
        at = end + 2
    return "".join([*pieces, text[at:]])


def _letters(charset: str, encoding: str, content: str) -> str:
    """The text of an encoded-word. Only ASCII matters, so charsets in which ASCII is itself are decoded as UTF-8."""
    octets = content.encode("ascii", "replace")
    if encoding == "q":
        octets = decodestring(octets, header=True)
    else:
        # at a "=" that is not at the end, some readers stop, some start again after it, and some skip it
        parts = [part for part in octets.split(b"=") if part]
        readings = [parts[:1], parts, [b"".join(parts)]] if len(parts) > 1 else [parts]
        octets = b" ".join(b"".join(map(_base64, reading)) for reading in readings)
    return octets.decode(_codec(charset), "replace")


def _codec(charset: str) -> str:
    """Python's codec for a charset, with or without a language (RFC 2231); UTF-8 for those in which ASCII is itself."""
    name = normalize_encoding(charset.partition("*")[0])
    if name.startswith(("iso_2022_jp", "csiso2022jp")):
        return "iso2022_jp_ext"
    if "ebcdic" in name:
        return "cp037"
    codec = next((aliases[each] for each in (name, name.removeprefix("cs")) if each in aliases), name)
    return codec if codec in _CODECS else "utf-8"


def _base64(text: bytes) -> bytes:
    """The whole octets of a base64 text, ignoring characters that are not base64."""
    letters = _NO_BASE64.sub(b"", text)
    return b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"==")


class _Token(NamedTuple):
    """``kind`` is ``word``, ``quoted``, ``literal``, ``comment``, one of the specials, or ``open`` if unclosed."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The position in the field at which the token ends."""
        return self.start + len(self.text)


def _mailboxes(field: str, tried: dict[str, tuple[Domain, ...]]) -> Iterator[Domain]:
    """The domains of a mailbox-list, and those that a careless reader may find. Raises :class:`_Unclear`."""
    # most fields are plain: no reader can misread them
    if plain := _PLAIN.fullmatch(field):
        with suppress(BadDomain):
            return iter((Domain(plain[1] or plain[2]),))
    unfolded = field.replace("\r\n", "")
    letters = _C1_LETTERS.sub("", unfolded)
    if _CONTROL.search(letters):
        kind = _Unclear if _CONTROL.search(_ANY_SEGMENT.sub("", letters)) else _Malformed
        raise kind("a control character in From")
    if _ESCAPE_OR_LETTER.search(field):
        raise _Malformed("a backslash in From that may be part of a multibyte character")
    mailboxes, others = _split(field)
    if any(_ENCODED_CONTROL.search(_decoded(unfolded, whole=whole)) for whole in (False, True)):
        raise _Unclear("an encoded control character in From")
    found, sloppy = [], ""
    for tokens in filter(None, mailboxes):
        fault = _sloppiness(tokens)
        if any(token.kind == "@" for token in tokens):
            found.append(_mailbox(tokens, field))
        sloppy = sloppy or fault
    # for some readers, a line of white space ends the header section (RFC 5322 section 4.2 still allows it)
    if line := _EMPTY_LINE.search(field):
        others.append(field[: line.start()])
    # for some readers, NEL ends a line
    if _NEXT_LINE in field:
        others += field.split(_NEXT_LINE)
    others += _others_decoded(field if sloppy else _without_encoded_names(field, mailboxes))
    if sloppy:
        raise _Sloppy(sloppy)
    return chain((domain for domain, _ in found), _anything([*(address for _, address in found), *others], tried))


def _split(field: str) -> tuple[list[list[_Token]], list[str]]:
    """The tokens of each mailbox, without comments, and possible addresses in comments. Raises :class:`_Malformed`."""
    mailboxes: list[list[_Token]] = [[]]
    colon = False
    others = []
    inside = False
    for token in _tokens(field):
        if token.kind == "open":
            raise _Malformed("an unclosed quote, bracket or comment in From")
        if token.kind == ";" and colon and not inside:
            raise _Malformed("a group in From")
        colon = colon or (token.kind == ":" and not inside)
        if token.kind in "<>":
            if inside == (token.kind == "<"):
                raise _Malformed("unbalanced angle brackets in From")
            inside = not inside
        if token.kind == "comment":
            # a reader that does not know comments may look for angle brackets in them, and a reader that does not nest
            # comments continues after the first parenthesis
            others += [*_BRACKETED.findall(token.text), token.text.partition(")")[2]]
        elif token.kind == "," and not inside:
            mailboxes.append([])
        else:
            mailboxes[-1].append(token)
    if inside:
        raise _Malformed("unbalanced angle brackets in From")
    return mailboxes, others


def _without_encoded_names(field: str, mailboxes: list[list[_Token]]) -> str:
    """The field without each display name, or part of one, that remains one after decoding (RFC 2047 section 5)."""
    pieces, at = [], 0
    for tokens in mailboxes:
        kinds = [token.kind for token in tokens]
        for token in tokens[: kinds.index("<") if "<" in kinds else 0]:
            # a reader may not treat it as an encoded-word if other text touches it (section 5)
            before, after = field[max(token.start - 1, 0) : token.start], field[token.end]
            if before in ("", ",", *_WHITE_SPACE) and after in f"<{_WHITE_SPACE}" and _is_encoded_name(token):
                pieces += [field[at : token.start], "x"]
                at = token.end
    return "".join([*pieces, field[at:]])


def _is_encoded_name(token: _Token) -> bool:
    """Is the token an encoded-word, or a quoted-string of encoded-words without quotes in them after decoding?"""
    if token.kind == "word":
        return _is_encoded_word(token.text)
    inside = token.text[1:-1]
    words = [word for word in inside.split() if "=?" in word or "?=" in word]
    return token.kind == "quoted" and all(map(_is_encoded_word, words)) and not _QUOTES.search(_decoded(inside))


def _is_encoded_word(text: str) -> bool:
    """Is the text one complete encoded-word, in a charset in which ASCII is itself, or in ISO 2022?"""
    word = _WHOLE_WORD.fullmatch(text)
    if not word or (word[2] in "bB" and not _WHOLE_BASE64.fullmatch(word[3])):
        return False
    codec = _codec(word[1].lower())
    return codec not in _CODECS or codec.startswith("iso2022")


def _others_decoded(field: str) -> list[str]:
    """The texts that become an address, or the end of one, for a reader that decodes before it parses."""
    field = field.replace("\r\n", "")
    others: list[str] = []
    for decoded in dict.fromkeys((_decoded(field), _decoded(field, whole=True))):
        found = Counter(_ANOTHER_MAILBOX.findall(decoded))
        # if decoding adds or removes quotes or parentheses, a name may become an address without changing itself
        if all(decoded.count(mark) == field.count(mark) for mark in '"\\()'):
            found -= Counter(_ANOTHER_MAILBOX.findall(field))
        others += found
    return others


def _sloppiness(tokens: list[_Token]) -> str:
    """What is wrong with a mailbox apart from its address; empty if nothing is. Raises :class:`_Malformed`."""
    kinds = [token.kind for token in tokens]
    if "@" not in kinds:
        return _NO_ADDRESS
    if "<" in kinds:
        opens, closes = kinds.index("<"), kinds.index(">")
        if after := {token.text for token in tokens[closes + 1 :]}:
            if after - {".", ";"}:
                raise _Malformed("text after the address in From")
            return "text after the address in From"
        if "@" in kinds[:opens]:
            return "an address in the display name of From"
        if any(kind not in ("word", "quoted") for kind in kinds[:opens]):
            return "a malformed display name in From"
    return ""


def _mailbox(tokens: list[_Token], field: str) -> tuple[Domain, str]:
    """The domain and the address of one mailbox: a name and an address in angle brackets, or only an address.

    The address is returned because a reader may find other domains in it, if it does not handle quotes, comments or
    white space there, or decodes encoded-words there (RFC 2047 section 5). Raises :class:`_Unclear`.
    """
    kinds = [token.kind for token in tokens]
    if "<" in kinds:
        opens, closes = kinds.index("<"), kinds.index(">")
        tokens, kinds = tokens[opens + 1 : closes], kinds[opens + 1 : closes]
        if kinds[:1] == ["@"] or ":" in kinds or "," in kinds:
            raise _Malformed("a source route in From")
    if kinds.count("@") != 1:
        raise _Malformed("a malformed address in From")
    at = kinds.index("@")
    local_part, domain = tokens[:at], tokens[at + 1 :]
    if [token.kind for token in domain] == ["literal"]:
        raise _Unclear("an address literal in From")
    if not local_part or any(token.kind not in ("word", "quoted") for token in local_part):
        raise _Malformed("a malformed address in From")
    if len(local_part) > 1 and not _dotted(local_part):
        raise _Malformed("a malformed address in From")
    if not domain or any(token.kind != "word" for token in domain) or (len(domain) > 1 and not _dotted(domain)):
        raise _Malformed("a malformed address in From")
    address = field[tokens[0].start : tokens[-1].end]
    if _DIRECTION.search(address):
        raise _Unclear("an address in From with bidirectional control characters")
    try:
        return Domain("".join(token.text for token in domain)), address
    except BadDomain as error:
        raise _Malformed("an invalid domain in From") from error


def _dotted(tokens: list[_Token]) -> bool:
    """Are the words one name? White space may separate them only next to a dot (RFC 5322 section 4.4, obs-domain)."""
    return all(left.text.endswith(".") or right.text.startswith(".") for left, right in pairwise(tokens))


def _tokens(field: str) -> Iterator[_Token]:
    """The lexical tokens of a structured field (RFC 5322 section 3.2), without white space."""
    ends = _comment_ends(field)
    closed = {'"': ("quoted", _QUOTED), "[": ("literal", _LITERAL)}
    at = 0
    while at < len(field):
        mark = field[at]
        if mark in _WHITE_SPACE:
            at += 1
            continue
        kind, end = mark, at + 1
        if mark == "(":
            kind, end = ("comment", ends[at]) if at in ends else ("open", end)
        elif mark in closed:
            kind, form = closed[mark]
            if found := form.match(field, at):
                end = found.end()
            else:
                # no later one is closed either, and searching again would take quadratic time
                kind = "open"
                del closed[mark]
        elif found := _WORD.match(field, at):
            kind, end = "word", found.end()
        yield _Token(kind, field[at:end], at)
        at = end


def _comment_ends(field: str) -> dict[int, int]:
    """For each comment, the position of its opening parenthesis and its end."""
    ends = {}
    opened = []
    for mark in _PARENTHESIS.finditer(field):
        if mark[0] == "(":
            opened.append(mark.start())
        elif mark[0] == ")" and opened:
            ends[opened.pop()] = mark.end()
    return ends
