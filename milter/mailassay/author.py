"""Whose message is it? The author domain(s) of From, RFC 5322 section 3.6.2 and RFC 9989 section 5.3.1.

What DMARC protects is what a reader is shown, and readers differ where a field is not what it should be. So the reading
here is wide in what it collects (every domain that some reader might take for the author's) and narrow in what it calls
clear. A display name is not an address, whatever it says (RFC 9989 section 11.4): it makes no field unclear, unless it
becomes an address for a reader that decodes before it parses.
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

from .domain import MAX_OCTETS, BadDomain, Domain
from .limits import Limits
from .message import MAX_LINE, Field, Headers

_WHITE_SPACE = " \t\r\n"
# with C1 and the line and paragraph separators, which some readers take for line ends
_PLAIN_ADDRESS = r"[\w.+-]++@([\w-]++(?:\.[\w-]++)+)"
_PLAIN = re.compile(rf""" *+(?:(?:[\w.' -]*+|"[\w.,&' -]*+" *+)<{_PLAIN_ADDRESS}>|{_PLAIN_ADDRESS}) *+""", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
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
_LETTERS = re.compile(r"[\w.-]+")
_ASCII_PUNYCODE = re.compile(r"^xn--(.+)-$", re.IGNORECASE)
_AFTER_CR = re.compile(rb"\r[ \t]*from[ \t]*:((?:[^\r\n]++|\r\n?[ \t])*)", re.IGNORECASE)
# an empty line, one of white space (RFC 5322 section 4.2 still allows it), or after a CR alone what may be no field
_SECTION_END = re.compile(rb"\r\n?+[ \t]*+(?=\r|\Z)|\r(?![\n \t])")
_BRACKETED = re.compile(r"<[^<>]*")
_ANOTHER_MAILBOX = re.compile(r"<[^<>]*|@[^\s,;<>@.]+\.[^\s,;<>@]+[,;]")
_AT_SIGNS = str.maketrans("\uff20\ufe6b", "@@")  # full width, small
_ENCODED_WORD = re.compile(r"=\?([^?\s]*)\?([bq])\?", re.IGNORECASE)
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
    found = _read([*fields, *_shown_instead(headers)], limits, problem)
    if found.domains or found.unread:
        return found
    return _read([*headers.named(b"sender"), *headers.named(b"resent-from")], limits, found.problem)


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


def _read(fields: Sequence[Field], limits: Limits, problem: str) -> Author:
    if len(fields) > limits.from_fields or sum(len(field.value) for field in fields) > limits.from_octets:
        return Author((), problem or "From is larger than what is looked at", unread=True)
    if any(field.breakable for field in fields):
        return Author((), problem or "a line of From longer than 998 octets", unread=True)
    texts = [field.value.decode("utf-8", "surrogateescape") for field in fields]
    if sum(len(_PIECE.findall(text)) for text in texts) > _MAX_PIECES:
        return Author((), problem or "more words and marks in From than are looked at", unread=True)
    domains: dict[Domain, None] = {}
    tried: dict[str, tuple[Domain, ...]] = {}
    found: Iterable[Domain]
    for text in texts:
        try:
            found = _mailboxes(text, tried)
        except _Unclear as error:
            try:
                found = _anything([text], tried)
            except _TooMuch as more:
                return Author((), problem or str(more), unread=True)
            if isinstance(error, _Sloppy):
                # a single label in a name, as in "Team@Home", is nobody's domain
                found = [domain for domain in found if len(domain.labels) > 1] or found
            if not isinstance(error, _Sloppy) or len(found) != 1:
                problem = problem or str(error)
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
    return Author(tuple(domains)[: limits.from_domains], problem, unread)


def _anything(texts: Iterable[str], tried: dict[str, tuple[Domain, ...]]) -> list[Domain]:
    """Whatever stands behind an ``@``, wherever it is. Raises :class:`_TooMuch`.

    It is found by readers that know comments and quotes, that know none, that pass over what has no place in a domain,
    and that decode before they parse. ``tried`` has the names of other fields and what they stand for.
    """
    field = ",".join(texts)
    names: dict[str, None] = {}
    # some put the blank behind an encoded-word that should be there (RFC 2047 section 5)
    for text in dict.fromkeys((field, _decoded(field), _decoded(_WORD_END.sub("?= ", field)))):
        tokens = (token.text for token in _tokens(text) if token.kind != "comment")
        lexed = _AROUND_DOT.sub(".", " ".join(tokens))
        for reading in (text, lexed, _SPACE.sub("", lexed), _IGNORED.sub("", lexed)):
            names |= dict.fromkeys(_AFTER_AT.findall(reading.translate(_AT_SIGNS)))
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


def _decoded(text: str) -> str:
    """The text with its encoded-words (RFC 2047) decoded, wherever they stand and whatever is in them."""
    pieces, at = [], 0
    for word in _ENCODED_WORD.finditer(text):
        if word.start() < at:
            continue
        end = text.find("?=", word.end())
        if end < 0:
            break
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
    if _CONTROL.search(field.replace("\r\n", "")):
        raise _Unclear("a control character in From")
    mailboxes: list[list[_Token]] = [[]]
    colon = False
    others = []
    inside = False
    for token in _tokens(field):
        if token.kind == "open":
            raise _Unclear("an open quote, bracket or comment in From")
        if token.kind == ";" and colon and not inside:
            raise _Unclear("a group in From")
        colon = colon or (token.kind == ":" and not inside)
        if token.kind in "<>":
            if inside == (token.kind == "<"):
                raise _Unclear("unbalanced angle brackets in From")
            inside = not inside
        if token.kind == "comment":
            # a reader without comments may look for angle brackets, and one for which they do not nest goes on inside
            others += [*_BRACKETED.findall(token.text), token.text.partition(")")[2]]
        elif token.kind == "," and not inside:
            mailboxes.append([])
        else:
            mailboxes[-1].append(token)
    if inside:
        raise _Unclear("unbalanced angle brackets in From")
    found, sloppy = [], ""
    for tokens in filter(None, mailboxes):
        fault = _sloppiness(tokens)
        if fault != _NO_ADDRESS:
            found.append(_mailbox(tokens, field))
        sloppy = sloppy or fault
    # for some readers the header section ends at a line of white space (RFC 5322 section 4.2 still allows it)
    if line := _EMPTY_LINE.search(field):
        others.append(field[: line.start()])
    others += _others_decoded(field.replace("\r\n", ""))
    if sloppy:
        raise _Sloppy(sloppy)
    return chain((domain for domain, _ in found), _anything([*(address for _, address in found), *others], tried))


def _others_decoded(field: str) -> list[str]:
    """What becomes an address, or the end of one, for a reader that decodes encoded-words before it parses."""
    decoded = _decoded(field)
    if _ENCODED_CONTROL.search(decoded):
        raise _Unclear("an encoded control character in From")
    found = Counter(_ANOTHER_MAILBOX.findall(decoded))
    # where quotes or parentheses come or go, a name may become an address without a change of its own
    if all(decoded.count(mark) == field.count(mark) for mark in '"\\()'):
        found -= Counter(_ANOTHER_MAILBOX.findall(field))
    return list(found)


def _sloppiness(tokens: list[_Token]) -> str:
    """What is wrong with a mailbox beside its address. Raises :class:`_Unclear`."""
    kinds = [token.kind for token in tokens]
    if "@" not in kinds:
        return _NO_ADDRESS
    if "<" in kinds:
        opens, closes = kinds.index("<"), kinds.index(">")
        if after := {token.text for token in tokens[closes + 1 :]}:
            if after - {".", ";"}:
                raise _Unclear("something after the address in From")
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
            raise _Unclear("a route in From")
    if kinds.count("@") != 1:
        raise _Unclear("an address in From that is none")
    at = kinds.index("@")
    local_part, domain = tokens[:at], tokens[at + 1 :]
    if [token.kind for token in domain] == ["literal"]:
        raise _Unclear("an address literal in From")
    if not local_part or any(token.kind not in ("word", "quoted") for token in local_part):
        raise _Unclear("an address in From that is none")
    if len(local_part) > 1 and not _dotted(local_part):
        raise _Unclear("an address in From that is none")
    if not domain or any(token.kind != "word" for token in domain) or (len(domain) > 1 and not _dotted(domain)):
        raise _Unclear("an address in From that is none")
    address = field[tokens[0].start : tokens[-1].end]
    if _DIRECTION.search(address):
        raise _Unclear("an address in From whose letters change places")
    try:
        return Domain("".join(token.text for token in domain)), address
    except BadDomain as error:
        raise _Unclear("a domain in From that is none") from error


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
