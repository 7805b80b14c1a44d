"""Received fields, RFC 5321 section 4.4: the client that a host received a message from, as its MTA recorded it.

The content of a Received field proves nothing, and neither does its ``by`` clause. Only its position counts: an MTA
adds its own field above all the others. So the topmost one was written by the client that delivered the message, and
the next one by the client that the topmost one names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import dropwhile, pairwise
from typing import NamedTuple

from .address import Address, client
from .message import MAX_LINE

_MAX = 8192  # octets; a longer field is not read
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_BLANK = " \t"
_FIRST = re.compile(r"[ \t]*from[ \t]+([^ \t]+)", re.IGNORECASE)
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"[^ \t(]*|[^ \t(]+')
# an address is one piece, whatever its local-part contains
_PATH = re.compile(r'<(?:[^"<> \t]|"(?:[^"\\]|\\.)*")*>')
_EXIMS_PATH = re.compile(rf"\(envelope-from {_PATH.pattern}\)")
_ADDRESS = r"(?:IPv6:)?([0-9A-Fa-f:.]+)(?:%[^ \t\[\]]*)?"
# (name [address]), ([address]:port helo=name), (ident@name [address] (may be forged))
_BRACKETED = re.compile(
    rf"\((?!(?:HELO|EHLO)[ \t])(?:[^ \t\[\]()]+[ \t]+)?\[{_ADDRESS}\](?::[0-9]+)?((?:[ \t].*)?)\)", re.IGNORECASE
)
_SECOND = re.compile(r"[ \t]\[")
_PLAIN = re.compile(rf"\((?:[^ \t()]*@)?{_ADDRESS}\)", re.IGNORECASE)  # Exchange, qmail with ident
_LITERAL = re.compile(rf"\[{_ADDRESS}\](?::[0-9]+)?", re.IGNORECASE)  # Exim, for a client without a name
_HELO = re.compile(r"\((?:HELO|EHLO)[ \t]+(.*)\)", re.IGNORECASE)  # qmail
_HELO_IS = re.compile(r"[ \t(]helo=([^ \t()]+)", re.IGNORECASE)  # Exim
_OF_EXIM = re.compile(r"\((?:helo|ident|port)=", re.IGNORECASE)
_EXIM = re.compile(r"\(Exim [0-9]", re.IGNORECASE)
_LOGIN = re.compile(r"\(Authenticated sender: (.*)\)")
_AUTHENTICATED = re.compile(r"\(auth(?:enticated\b|:)", re.IGNORECASE)  # sendmail and its derivatives, Courier
_ENVELOPE_FROM = re.compile(r"\(envelope-from <([^<>]*)>\)")
_QMAIL = re.compile(r"[ \t]*\(qmail [0-9]+ invoked from network\)")
_SMTP = re.compile(r"(?:UTF8|E)?SMTP(?:SA|S|A)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A Received field. A value that the field does not give is empty.

    ``client_ip`` and ``helo`` belong to the client that the writer received the message from. ``protocol`` is in upper
    case. ``login`` is ``?`` if the client authenticated itself and the field does not name the login. ``local``: the
    field names no client. ``by_user``: a user of the host submitted the message. ``goes_on``: this field names no
    client, and the same host wrote the next field too. ``problem`` says why the field cannot be read; then nothing else
    is known.
    """

    helo: str = ""
    client_ip: Address | None = None
    by: str = ""
    protocol: str = ""
    login: str = ""
    envelope_from: str | None = None
    recipient: str = ""
    at: float | None = None
    local: bool = False
    by_user: bool = False
    authenticated: bool = False
    goes_on: bool = False
    problem: str = ""

    @property
    def inside(self) -> bool:
        """Did one program of the host pass the message to another? For an alias, Postfix writes no client."""
        loopback = self.client_ip is not None and self.client_ip.is_loopback
        return self.protocol.startswith("LMTP") or loopback or (self.local and not self.by_user)

    @property
    def by_smtp(self) -> bool:
        """Did the client use SMTP? Some gateways do not name the protocol, which counts as SMTP."""
        return not self.protocol or bool(_SMTP.fullmatch(self.protocol))


def read(value: bytes) -> Received:
    """Read a field of Postfix, Exim, sendmail, Exchange, Haraka, qmail, OpenSMTPD, Courier and others. Never raises.

    A client chooses its HELO name, the names in its certificate, the name of its address, ident, and mail addresses. So
    an address counts only where an MTA writes that of the client: in a separate comment between ``from`` and ``by``.
    If there are two addresses, or a second ``by``, a client has injected text into the field, and nothing in it counts.
    """
    if len(value) > _MAX:
        return Received(problem="is too long")
    text = _unfolded(value).decode("utf-8", "surrogateescape")
    if _CONTROL.search(text):
        return Received(problem="has a control character")
    if _QMAIL.match(text):
        return Received(local=True, goes_on=True)
    first = _FIRST.match(text)
    try:
        pieces = list(_pieces(text, first.end() if first else 0))
    except ValueError:
        return Received(problem="has an unbalanced parenthesis")
    return _read(text, pieces, first[1] if first else None)


def _read(text: str, pieces: list[str], name: str | None) -> Received:
    """What the pieces of a field say. ``name`` follows ``from``; None if the field has no from clause."""
    places = [place for place, piece in enumerate(pieces) if piece.lower() == "by"]
    if len(places) > 1:
        return Received(problem="has several by clauses")
    if name is not None and not places:
        return Received(problem="has no by clause")
    at = places[0] if places else len(pieces)
    before, after = [*([] if name is None else [name]), *pieces[:at]], pieces[at + 1 :]
    clients = [] if name is None else list(_clients(before, after))
    if len(clients) > 1:
        return Received(problem="names several clients")
    helo, client_ip, rest = clients[0] if clients else (" ".join(_words(before)), None, [])
    protocol = _protocol(after)
    # a final A says that the client authenticated itself (RFC 3848, RFC 6531 section 4.3)
    by_protocol = protocol in ("ESMTPA", "ESMTPSA", "UTF8SMTPA", "UTF8SMTPSA")
    return Received(
        helo=helo,
        client_ip=client_ip,
        by=next(_words(after), ""),
        protocol=protocol,
        login=_login(rest) if by_protocol else "",
        envelope_from=_envelope_from(after),
        recipient=_recipient(after),
        at=_time(text.rpartition(";")[2]) if ";" in text else None,
        local=name is None,
        by_user=", from userid " in text,
        authenticated=by_protocol or protocol == "ASMTP" or any(_AUTHENTICATED.match(piece) for piece in pieces),
    )


def _login(rest: list[str]) -> str:
    """The name by which the client logged in; ``?`` if the field does not say."""
    return next((found[1] for piece in rest if (found := _LOGIN.fullmatch(piece))), "?")


def _envelope_from(after: list[str]) -> str | None:
    return next((found[1] for piece in _up_to("for", after) if (found := _ENVELOPE_FROM.fullmatch(piece))), None)


def _recipient(after: list[str]) -> str:
    found = _PATH.fullmatch(_behind("for", after, "<"))
    return found[0][1:-1] if found and not any(blank in found[0] for blank in _BLANK) else ""


def _unfolded(value: bytes) -> bytes:
    """The value without line ends, and without the blanks that Postfix inserts to break a line that is too long.

    A client chooses the length of its HELO name, so it can move such a break into the middle of its address.
    """
    first, *lines = value.replace(b"\r\n", b"\n").split(b"\n")
    text, last = first, len(b"Received:" + first)
    for line in lines:
        text += line[1:] if last == MAX_LINE and line[:1] == b" " else line
        last = len(line)
    return text


def _pieces(text: str, at: int) -> Iterator[str]:
    """Words, addresses in angle brackets, and comments. Raises ValueError for an unbalanced parenthesis."""
    while at < len(text):
        if text[at] in _BLANK:
            at += 1
            continue
        end = _end_of_comment(text, at) if text[at] == "(" else 0
        if not end:
            found = _PATH.match(text, at) or _WORD.match(text, at)
            end = found.end() if found else at + 1
            if text[at] != "<" and ")" in text[at:end]:
                raise ValueError
        yield text[at:end].rstrip(";,") or ";"
        at = end


def _end_of_comment(text: str, at: int) -> int:
    if found := _EXIMS_PATH.match(text, at):
        return found.end()
    depth = 0
    while at < len(text):
        mark = text[at]
        depth += {"(": 1, ")": -1}.get(mark, 0)
        at += 2 if mark == "\\" else 1
        if not depth:
            return at
    raise ValueError


def _words(pieces: list[str]) -> Iterator[str]:
    """The pieces that are not comments. The first piece of a from clause never is, whatever the client says in HELO."""
    return (piece for place, piece in enumerate(pieces) if place == 0 or piece[0] != "(")


def _protocol(after: list[str]) -> str:
    """The protocol after ``with``, in upper case. Some MTAs write their own name first (``Microsoft SMTP``)."""
    behind = [piece.partition("/")[0].upper() for piece in dropwhile(lambda piece: piece.lower() != "with", after)]
    word, second, *_ = [*(piece for piece in behind[1:] if not piece.startswith("(")), "", ""]
    by_program = second.removesuffix("SVC")
    return by_program if _SMTP.fullmatch(by_program) and not _SMTP.fullmatch(word) else word


def _up_to(word: str, pieces: list[str]) -> Iterator[str]:
    for piece in pieces:
        if piece.lower() == word:
            return
        yield piece


def _behind(word: str, pieces: list[str], mark: str) -> str:
    """The first piece that follows ``word`` and begins with ``mark``."""
    return next((each for last, each in pairwise(pieces) if last.lower() == word and each.startswith(mark)), "")


def _clients(before: list[str], after: list[str]) -> Iterator[tuple[str, Address | None, list[str]]]:
    """HELO, the address, and the pieces that follow, for each place that may hold a client's address.

    If a comment has two addresses, the first may be the name of the address, or ident, so the address is None.
    """
    name, *comments = before
    if literal := _LITERAL.fullmatch(name):
        # for other MTAs, this is what the client said in HELO
        of_exim = any(map(_OF_EXIM.match, comments[:1]))
        is_exim = any(map(_EXIM.match, after)) and not any(map(_BRACKETED.fullmatch, comments[:1]))
        if (of_exim or is_exim) and (address := parsed(literal[1])):
            said = _HELO_IS.search(comments[0]) if comments else None
            yield said[1] if said else "", address, comments
    for place, comment in enumerate(before):
        found = (_BRACKETED.fullmatch(comment) or _PLAIN.fullmatch(comment)) if place else None
        address = parsed(found[1]) if found else None
        if found is None or address is None:
            continue
        behind = found[2] if found.re is _BRACKETED else ""
        said = _HELO_IS.match(behind) or _HELO.fullmatch(before[place - 1])
        helo = said[1] if said else " ".join(_words(before[:place]))
        yield helo, None if _SECOND.search(behind) else address, before[place + 1 :]


def _time(date: str) -> float | None:
    with suppress(ValueError, OverflowError, TypeError):
        return parsedate_to_datetime(date.strip()).timestamp()
    return None


def parsed(text: str) -> Address | None:
    """An address as MTAs write it; None if the text is not an address."""
    try:
        return client(text.removeprefix("IPv6:"))
    except ValueError:
        return None


class Client(NamedTuple):
    """The client that gave a message to the operator's relays. ``via`` lists these relays, the connected one first."""

    address: Address
    helo: str
    via: tuple[Address, ...]


class Relayed:
    """The Received fields of a message from one of the operator's relays, read from the top down to the client.

    Each field was written by the client that the field above names, and the topmost one by the connected relay. The
    first client that is not a relay is the ``client``. If no field gives it, it is None, and ``problem`` says why. A
    client with a loopback address is a program of the relay itself, such as a content filter; then the relay must have
    written the field below as well.
    """

    def __init__(self, connected: Address, is_relay: Callable[[Address], bool]) -> None:
        self.client: Client | None = None
        self.problem = ""
        self._is_relay = is_relay
        self._via = [connected]
        self._names: set[str] = set()
        self._is_inside = False

    @property
    def is_over(self) -> bool:
        """Is the client known, or is it known that it cannot be found?"""
        return bool(self.client or self.problem)

    def read(self, value: bytes) -> None:
        """Take the next Received field of the message."""
        if not self.is_over:
            self._next(read(value))

    def end(self) -> None:
        """Say that there is no further field."""
        if not self.is_over:
            self.problem = f"there is no Received field of the relay {self._via[-1]}"

    def _next(self, found: Received) -> None:
        relay, name = self._via[-1], found.by.lower().rstrip(".")
        if found.problem:
            self.problem = f"the Received field of the relay {relay} {found.problem}"
        elif found.goes_on:
            return
        elif self._is_inside and name not in {*self._names, "localhost"}:
            self.problem = f"the relay {relay} received it from a program of its own, which did not record the client"
        elif found.client_ip is None:
            what = "one of its own users" if found.local else "a client whose address it did not record"
            self.problem = f"the relay {relay} received it from {what}"
        elif found.client_ip.is_loopback and (found.by_smtp or found.protocol == "LMTP"):
            self._is_inside = True
            self._names.add(name)
        elif not found.by_smtp:
            self.problem = f"the relay {relay} received it by a protocol other than SMTP"
        elif self._is_relay(found.client_ip):
            self._via.append(found.client_ip)
            self._names, self._is_inside = set(), False
        elif found.authenticated:
            self.problem = f"the relay {relay} received it from a user who logged in there"
        else:
            self.client = Client(found.client_ip, found.helo, tuple(self._via))
