"""Whose message is it? The author domain(s) of From, RFC 5322 section 3.6.2 and RFC 9989 section 5.3.1.

What DMARC protects is what a reader is shown, and readers differ where a field is not what it should be. So the reading
here is wide in what it collects (every domain that some reader might take for the author's) and narrow in what it calls
clear. A display name is not an address, whatever it says (RFC 9989 section 11.4). It ends where it ends without
decoding, since an encoded-word is no part of an address (RFC 2047 section 5). A malformed field is clear only if one
and the same domain stands behind each ``@``, in every decoding.
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
# with C1 and the line and paragraph separators, which some readers take for line ends
_PLAIN_ADDRESS = r"[\w.+-]++@([\w-]++(?:\.[\w-]++)+)"
_PLAIN = re.compile(rf""" *+(?:(?:[\w.' -]*+|"[\w.,&' -]*+" *+)<{_PLAIN_ADDRESS}>|{_PLAIN_ADDRESS}) *+""", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_NEXT_LINE = "\x85"
# beside another character beyond ASCII they come from a text that was encoded twice, or in another charset
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
# marks that a reader drops who looks for a name
_MARK = r"""[()<>\[\]:;,"\\\s]"""
_BROKEN_NAME = re.compile(rf"(?<=@){_MARK}++|(?<!{_MARK}){_MARK}++(?=[.\u3002\uff0e\uff61])")
_TO_A_LITERAL = re.compile(r"@(?:[ \t\r\n]|\([^()]*\))*\[")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
# charsets of Asia whose letters hold ASCII: as the second octet, or as both after an escape sequence (ISO 2022)
_TWO_OCTETS = ("cp932", "big5hkscs", "gb18030", "cp949", "euc_jp")
_SEGMENT = r"\x1b\$\(?[@-D]([!-~]*+)\x1b\([BJ]"
_ESCAPE_OR_LETTER = re.compile(r"[^\x00-\x7f]\\")
# up to the address, nothing from which a domain can be made
_REST_OF_NAME = r"""(?=[^.\u3002\uff0e\uff61\u2024-\u2026\ufe12\ufe52<>,;:()"]*+"?\s*+<)"""
_SECOND_OCTET = re.compile(rf"(?<=[^\x00-\x7f])@{_REST_OF_NAME}")
_LAST_SEGMENT = re.compile(_SEGMENT + _REST_OF_NAME)
_ANY_SEGMENT = re.compile(_SEGMENT)
_MAX_SEGMENTS = 8  # an honest name has few, and each takes time
_LETTERS = re.compile(r"[\w.-]+")
_ASCII_PUNYCODE = re.compile(r"^xn--(.+)-$", re.IGNORECASE)
_AFTER_CR = re.compile(rb"\r[ \t]*from[ \t]*:((?:[^\r\n]++|\r\n?[ \t])*)", re.IGNORECASE)
# an empty line, one of white space (RFC 5322 section 4.2 still allows it), or after a CR alone what may be no field
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
# charsets in which ASCII is not always itself
_CODECS = {
    *("utf_7", "utf_16", "utf_16_be", "utf_16_le", "utf_32", "utf_32_be", "utf_32_le"),
    *("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_kr"),
    *("cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140", "hz", "unicode_escape", "raw_unicode_escape"),
}
_NO_ADDRESS = "no address in From"
_MAX_NAMES = 64  # tried as a domain, of all fields together
_MAX_PIECES = 1000  # words and marks, of all fields together: each takes time, and 64 mailboxes have half as many


@dataclass(frozen=True, slots=True)
class Author:
    """The author domains, distinct, in order. ``problem`` says why they are not one clear domain; else it is empty.

    ``unread``: there may be more domains than were looked at.
    """

    domains: tuple[Domain, ...]
    problem: str = ""
    unread: bool = False


class _Unclear(ValueError):
    """The field is not what RFC 5322 section 3.6.2 asks for, or may be read in several ways."""


class _Malformed(_Unclear):
    """There is no mailbox by the grammar; readers agree where nobody can find another domain than one."""


class _Sloppy(_Unclear):
    """Programs write such fields, and readers agree on them as long as there is one domain only to find."""


class _TooMuch(_Unclear):
    """More than is looked at."""


def author(headers: Headers, limits: Limits = Limits()) -> Author:
    """Read the From field or fields; never raises.

    Where they name nobody, some readers show whom Sender or Resent-From names.
    """
    if headers.longest_name >= MAX_LINE:
        # an MTA that sends it on breaks the name: no field any more, so that the header section ends there
        return Author((), "a field name longer than a line", unread=True)
    fields = [*headers.named(b"from"), *_fields_inside(headers)]
    problem = "several From fields" if len(fields) > 1 else "" if fields else "no From field"
    found, malformed = _read([*fields, *_shown_instead(headers)], limits, problem)
    if not found.domains and not found.unread:
        return _read(_named_instead(headers), limits, found.problem)[0]
    if malformed and not found.problem:
        # a reader may find nobody in it
        beside, _ = _read(_named_instead(headers), limits, "")
        if beside.unread or not set(beside.domains) <= set(found.domains):
            domains = tuple(dict.fromkeys([*found.domains, *beside.domains]))
            unread = beside.unread or len(domains) > limits.from_domains
            return Author(domains[: limits.from_domains], malformed, unread)
    return found


def _named_instead(headers: Headers) -> list[Field]:
    return [*headers.named(b"sender"), *headers.named(b"resent-from")]


def _fields_inside(headers: Headers) -> Iterator[Field]:
    """From fields in the values of others: a CR alone ends a line for some readers, where the MTA lets it through."""
    for field in headers:
        if b"\r" in field.value:
            for value in _AFTER_CR.findall(field.value):
                yield Field(b"From", value)


def _shown_instead(headers: Headers) -> list[Field]:
    """Sender and Resent-From above a line at which the header section ends for some readers, before any author."""
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
    """The author by these fields, and what is malformed in them."""
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
    """Why From is not read; empty if it is."""
    if len(fields) > limits.from_fields or sum(len(field.value) for field in fields) > limits.from_octets:
        return "From is larger than what is looked at"
    if any(field.breakable for field in fields):
        return "a line of From longer than 998 octets"
    if sum(len(_PIECE.findall(text)) for text in texts) > _MAX_PIECES:
        return "more words and marks in From than are looked at"
    return ""


def _of_unclear(text: str, error: _Unclear, tried: dict[str, tuple[Domain, ...]]) -> tuple[list[Domain], bool]:
    """The domains that readers may find in a field with a fault; and is it one, whoever reads? Raises _TooMuch."""
    if isinstance(error, _Malformed):
        return _anywhere(text, tried)
    found = _anything([text], tried)
    if isinstance(error, _Sloppy):
        # a single label in a name, as in "Team@Home", is nobody's domain
        found = [domain for domain in found if len(domain.labels) > 1] or found
        return found, len(found) == 1
    return found, False


def _anything(texts: Iterable[str], tried: dict[str, tuple[Domain, ...]]) -> list[Domain]:
    """Whatever stands behind an ``@``, wherever it is. Raises :class:`_TooMuch`.

    It is found by readers that know comments and quotes, that know none, that pass over what has no place in a domain,
    and that decode before they parse. ``tried`` has the names of other fields and what they stand for.
    """
    return _stand_for(_names(_decodings(",".join(texts))), tried)


def _anywhere(field: str, tried: dict[str, tuple[Domain, ...]]) -> tuple[list[Domain], bool]:
    """As :func:`_anything`, for a malformed field; and is one domain all that anybody can find?"""
    texts = _decodings(field)
    names = _names([*texts, *map(_without_marks, texts)])
    found = _stand_for(names, tried)
    # from a name that is no domain as it stands there, readers make this one, another or none
    agreed = len(found) == 1 and all(_is_spelled(name) for name in names if tried[name])
    return found, agreed and not any(map(_misleads, texts))


def _without_marks(text: str) -> str:
    """The text without what has no place between an ``@`` and a domain, or before a dot."""
    return _BROKEN_NAME.sub("", text)


def _misleads(text: str) -> bool:
    """May a reader end the text early, show its letters in another order, or find an address literal?"""
    return bool(
        _ENCODED_CONTROL.search(text.replace("\r\n", "")) or _DIRECTION.search(text) or _TO_A_LITERAL.search(text)
    )


def _names(texts: Iterable[str]) -> dict[str, None]:
    """What stands behind an ``@`` for some reader."""
    names: dict[str, None] = {}
    for text in dict.fromkeys(texts):
        for reading in _readings(text):
            names |= dict.fromkeys(_AFTER_AT.findall(reading.translate(_AT_SIGNS)))
    return names


def _is_spelled(name: str) -> bool:
    """Is it a domain as it stands there?"""
    try:
        domain = Domain(name)
    except BadDomain:
        return False
    return len(domain.labels) > 1 and (name.isascii() or u_labels(domain) == name.lower().removesuffix("."))


def _decodings(field: str) -> list[str]:
    """The texts that readers make of a field."""
    # some put the blank behind an encoded-word that should be there (RFC 2047 section 5)
    texts = [field, _decoded(field), _decoded(field, whole=True), _decoded(_WORD_END.sub("?= ", field))]
    charsets = [*(_TWO_OCTETS if _NOT_UTF8.search(field) else ()), *(["iso2022_jp_ext"] if "\x1b" in field else [])]
    if charsets:
        octets = field.encode("utf-8", "surrogateescape")
        texts = [_without_halves(text) for text in (*texts, *(octets.decode(name, "replace") for name in charsets))]
    return list(dict.fromkeys(texts))


def _without_halves(text: str) -> str:
    """A text in a charset of Asia without each ``@`` that is half of a letter in a name, and begins no domain."""
    for _ in range(_MAX_SEGMENTS):
        text, found = _LAST_SEGMENT.subn(_segment, text)
        if not found:
            break
    return _SECOND_OCTET.sub("", text)


def _segment(found: re.Match[str]) -> str:
    """What is left of letters of two octets: nothing, or all where an ASCII reader may see a domain."""
    return found[0].replace("\x1b", "") if "." in found[1].partition("@")[2] else "x"


def _readings(text: str) -> Iterable[str]:
    """The text for readers that know comments and quotes, that know none, and that drop what no domain has."""
    if "@" not in text.translate(_AT_SIGNS):
        return []
    tokens = (token.text for token in _tokens(text) if token.kind != "comment")
    lexed = _AROUND_DOT.sub(".", " ".join(tokens))
    return (text, lexed, _SPACE.sub("", lexed), _IGNORED.sub("", lexed))


def _stand_for(names: dict[str, None], tried: dict[str, tuple[Domain, ...]]) -> list[Domain]:
    """The domains of names, all that are new added to those tried. Raises :class:`_TooMuch`."""
    new = names.keys() - tried.keys()
    if len(tried) + len(new) > _MAX_NAMES:
        raise _TooMuch("more addresses in From than are looked at")
    tried.update((name, tuple(_domains(name))) for name in new)
    return list(dict.fromkeys(chain.from_iterable(tried[name] for name in names)))


def _domains(name: str) -> Iterator[Domain]:
    """The domain of that name; if it is none, those that a reader may show in its place. Raises :class:`_TooMuch`."""
    if _NO_UTF8.search(name):
        # a reader takes them for letters of whatever charset it likes
        raise _TooMuch("octets in a domain of From that are not UTF-8")
    try:
        yield Domain(name.replace("\\", "").rstrip("."))
    except BadDomain:
        # marks that no domain has may be shown as nothing, and what is beside them as the whole
        parts = _LETTERS.findall(normalize("NFKC", name))
        for part in dict.fromkeys((*parts[:1], *parts[-1:], "".join(parts))):
            labels = part.split(".")
            yield from _end(labels)
            # xn--bank- is Punycode for bank
            yield from _end([_ASCII_PUNYCODE.sub(r"\1", label).strip("-_") for label in labels])


def _end(labels: list[str]) -> Iterator[Domain]:
    """The longest end of a name that is a domain: whose name it is stands at the end."""
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
    # a top-level domain is nobody's
    if len(good) > 1:
        yield Domain(".".join(reversed(good)))


def _decoded(text: str, *, whole: bool = False) -> str:
    """The text with its encoded-words (RFC 2047) decoded, wherever they stand and whatever is in them.

    ``whole``: a question mark is in none of them, so that one may begin inside what else would be another.
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
        # white space between two of them is not shown (section 6.2)
        if not at or before.strip(_WHITE_SPACE):
            pieces.append(before)
        pieces.append(_letters(word[1].lower(), word[2].lower(), text[word.end() : end]))
        at = end + 2
    return "".join([*pieces, text[at:]])


def _letters(charset: str, encoding: str, content: str) -> str:
    """What an encoded-word shows. Octets are taken for UTF-8 where only ASCII matters and is itself."""
    octets = content.encode("ascii", "replace")
    if encoding == "q":
        octets = decodestring(octets, header=True)
    else:
        # where "=" is not at the end, some stop at it, some begin anew, some pass over it
        parts = [part for part in octets.split(b"=") if part]
        readings = [parts[:1], parts, [b"".join(parts)]] if len(parts) > 1 else [parts]
        octets = b" ".join(b"".join(map(_base64, reading)) for reading in readings)
    return octets.decode(_codec(charset), "replace")


def _codec(charset: str) -> str:
    """Python's name of a charset, with or without a language (RFC 2231); UTF-8 where ASCII is itself."""
    name = normalize_encoding(charset.partition("*")[0])
    if name.startswith(("iso_2022_jp", "csiso2022jp")):
        return "iso2022_jp_ext"
    if "ebcdic" in name:
        return "cp037"
    codec = next((aliases[each] for each in (name, name.removeprefix("cs")) if each in aliases), name)
    return codec if codec in _CODECS else "utf-8"


def _base64(text: bytes) -> bytes:
    """Whole octets of base64, whatever else is in it."""
    letters = _NO_BASE64.sub(b"", text)
    return b64decode(letters[: len(letters) - (len(letters) % 4 == 1)] + b"==")


class _Token(NamedTuple):
    """``kind`` is ``word``, ``quoted``, ``literal``, ``comment``, one of the specials, or ``open``: it never closes."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends in the field."""
        return self.start + len(self.text)


def _mailboxes(field: str, tried: dict[str, tuple[Domain, ...]]) -> Iterator[Domain]:
    """The domains of a mailbox-list, and those that a careless reader finds. Raises :class:`_Unclear`."""
    # nothing in it that any reader could take for something else; so are most
    if plain := _PLAIN.fullmatch(field):
        with suppress(BadDomain):
            return iter((Domain(plain[1] or plain[2]),))
    unfolded = field.replace("\r\n", "")
    letters = _C1_LETTERS.sub("", unfolded)
    if _CONTROL.search(letters):
        kind = _Unclear if _CONTROL.search(_ANY_SEGMENT.sub("", letters)) else _Malformed
        raise kind("a control character in From")
    if _ESCAPE_OR_LETTER.search(field):
        raise _Malformed("a backslash in From that may be half of a letter")
    mailboxes, others = _split(field)
    if any(_ENCODED_CONTROL.search(_decoded(unfolded, whole=whole)) for whole in (False, True)):
        raise _Unclear("an encoded control character in From")
    found, sloppy = [], ""
    for tokens in filter(None, mailboxes):
        fault = _sloppiness(tokens)
        if any(token.kind == "@" for token in tokens):
            found.append(_mailbox(tokens, field))
        sloppy = sloppy or fault
    # for some readers the header section ends at a line of white space (RFC 5322 section 4.2 still allows it)
    if line := _EMPTY_LINE.search(field):
        others.append(field[: line.start()])
    # and for some a line ends there
    if _NEXT_LINE in field:
        others += field.split(_NEXT_LINE)
    others += _others_decoded(field if sloppy else _without_encoded_names(field, mailboxes))
    if sloppy:
        raise _Sloppy(sloppy)
    return chain((domain for domain, _ in found), _anything([*(address for _, address in found), *others], tried))


def _split(field: str) -> tuple[list[list[_Token]], list[str]]:
    """The tokens of each mailbox, without comments, and what may be an address in these. Raises :class:`_Malformed`."""
    mailboxes: list[list[_Token]] = [[]]
    colon = False
    others = []
    inside = False
    for token in _tokens(field):
        if token.kind == "open":
            raise _Malformed("an open quote, bracket or comment in From")
        if token.kind == ";" and colon and not inside:
            raise _Malformed("a group in From")
        colon = colon or (token.kind == ":" and not inside)
        if token.kind in "<>":
            if inside == (token.kind == "<"):
                raise _Malformed("unbalanced angle brackets in From")
            inside = not inside
        if token.kind == "comment":
            # a reader without comments may look for angle brackets, and one for which they do not nest goes on inside
            others += [*_BRACKETED.findall(token.text), token.text.partition(")")[2]]
        elif token.kind == "," and not inside:
            mailboxes.append([])
        else:
            mailboxes[-1].append(token)
    if inside:
        raise _Malformed("unbalanced angle brackets in From")
    return mailboxes, others


def _without_encoded_names(field: str, mailboxes: list[list[_Token]]) -> str:
    """The field without each display name, or part of one, that stays one whoever decodes it (RFC 2047 section 5)."""
    pieces, at = [], 0
    for tokens in mailboxes:
        kinds = [token.kind for token in tokens]
        for token in tokens[: kinds.index("<") if "<" in kinds else 0]:
            # a reader may take it for none if anything stands right beside it (section 5)
            before, after = field[max(token.start - 1, 0) : token.start], field[token.end]
            if before in ("", ",", *_WHITE_SPACE) and after in f"<{_WHITE_SPACE}" and _is_encoded_name(token):
                pieces += [field[at : token.start], "x"]
                at = token.end
    return "".join([*pieces, field[at:]])


def _is_encoded_name(token: _Token) -> bool:
    """An encoded-word, or a quoted-string of some that leaves none of its quotes when it is decoded."""
    if token.kind == "word":
        return _is_encoded_word(token.text)
    inside = token.text[1:-1]
    words = [word for word in inside.split() if "=?" in word or "?=" in word]
    return token.kind == "quoted" and all(map(_is_encoded_word, words)) and not _QUOTES.search(_decoded(inside))


def _is_encoded_word(text: str) -> bool:
    """A whole encoded-word without a control character, in a charset in which ASCII is itself."""
    word = _WHOLE_WORD.fullmatch(text)
    if not word or (word[2] in "bB" and not _WHOLE_BASE64.fullmatch(word[3])):
        return False
    codec = _codec(word[1].lower())
    return codec not in _CODECS or codec.startswith("iso2022")


def _others_decoded(field: str) -> list[str]:
    """What becomes an address, or the end of one, for a reader that decodes encoded-words before it parses."""
    field = field.replace("\r\n", "")
    others: list[str] = []
    for decoded in dict.fromkeys((_decoded(field), _decoded(field, whole=True))):
        found = Counter(_ANOTHER_MAILBOX.findall(decoded))
        # where quotes or parentheses come or go, a name may become an address without a change of its own
        if all(decoded.count(mark) == field.count(mark) for mark in '"\\()'):
            found -= Counter(_ANOTHER_MAILBOX.findall(field))
        others += found
    return others


def _sloppiness(tokens: list[_Token]) -> str:
    """What is wrong with a mailbox beside its address. Raises :class:`_Unclear`."""
    kinds = [token.kind for token in tokens]
    if "@" not in kinds:
        return _NO_ADDRESS
    if "<" in kinds:
        opens, closes = kinds.index("<"), kinds.index(">")
        if after := {token.text for token in tokens[closes + 1 :]}:
            if after - {".", ";"}:
                raise _Malformed("something after the address in From")
            return "something after the address in From"
        if "@" in kinds[:opens]:
            return "an address in the display name of From"
        if any(kind not in ("word", "quoted") for kind in kinds[:opens]):
            return "a display name in From that is none"
    return ""


def _mailbox(tokens: list[_Token], field: str) -> tuple[Domain, str]:
    """The domain and the address of one mailbox: a name and an address in angle brackets, or an address.

    A reader may find other domains in the address that knows no quotes, comments or white space inside it, or that
    decodes what is not to be decoded there (RFC 2047 section 5).
    """
    kinds = [token.kind for token in tokens]
    if "<" in kinds:
        opens, closes = kinds.index("<"), kinds.index(">")
        tokens, kinds = tokens[opens + 1 : closes], kinds[opens + 1 : closes]
        if kinds[:1] == ["@"] or ":" in kinds or "," in kinds:
            raise _Malformed("a route in From")
    if kinds.count("@") != 1:
        raise _Malformed("an address in From that is none")
    at = kinds.index("@")
    local_part, domain = tokens[:at], tokens[at + 1 :]
    if [token.kind for token in domain] == ["literal"]:
        raise _Unclear("an address literal in From")
    if not local_part or any(token.kind not in ("word", "quoted") for token in local_part):
        raise _Malformed("an address in From that is none")
    if len(local_part) > 1 and not _dotted(local_part):
        raise _Malformed("an address in From that is none")
    if not domain or any(token.kind != "word" for token in domain) or (len(domain) > 1 and not _dotted(domain)):
        raise _Malformed("an address in From that is none")
    address = field[tokens[0].start : tokens[-1].end]
    if _DIRECTION.search(address):
        raise _Unclear("an address in From whose letters change places")
    try:
        return Domain("".join(token.text for token in domain)), address
    except BadDomain as error:
        raise _Malformed("a domain in From that is none") from error


def _dotted(tokens: list[_Token]) -> bool:
    """Words with white space between stay one name only around a dot (RFC 5322 section 4.4, obs-domain)."""
    return all(left.text.endswith(".") or right.text.startswith(".") for left, right in pairwise(tokens))


def _tokens(field: str) -> Iterator[_Token]:
    """The lexical tokens of a structured field (RFC 5322 section 3.2), white space dropped."""
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
                # none behind it closes either, and to look again would cost the square of the length
                kind = "open"
                del closed[mark]
        elif found := _WORD.match(field, at):
            kind, end = "word", found.end()
        yield _Token(kind, field[at:end], at)
        at = end


def _comment_ends(field: str) -> dict[int, int]:
    """Where the comment ends that begins at a parenthesis."""
    ends = {}
    opened = []
    for mark in _PARENTHESIS.finditer(field):
        if mark[0] == "(":
            opened.append(mark.start())
        elif mark[0] == ")" and opened:
            ends[opened.pop()] = mark.end()
    return ends
