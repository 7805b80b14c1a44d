"""The facts of a message file: what the client said, and the message as the milter saw it.

A message that Postfix has received carries its facts, in three forms: the envelope records that ``postcat -q`` prints,
our own Authentication-Results field, and the fields that Postfix and its delivery agents wrote on top. Nothing below
the Received field of this host is believed, since the sender's part begins there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Protocol

from ..address import Address
from ..author import author
from ..domain import BadDomain, Domain
from ..limits import Limits
from ..message import BOM, Headers, split
from ..result import Resinfo
from .delivered import Delivered
from .fact import Fact, Given, Unknown
from .postcat import Postcat

__all__ = ["Given", "Message", "Unknown", "read"]

_POSTCAT = re.compile(rb"\A\*\*\* ENVELOPE RECORDS ([^\n]*) \*\*\*\n")
_QUEUE_FILE = re.compile(rb"\AC[\x00-\xff](?: +[0-9]+){4,6}")
_FROM = re.compile(rb">?From [^\n]*\n")


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the milter saw it, with its facts.

    ``at`` is when it came in, in seconds since 1970, None if unknown. ``local``: no client sent it by SMTP. ``host`` is
    the name of the host that received it, empty if unknown. ``sources`` has the source of each fact. ``stripped`` has
    the names of the fields that were added on top after the milter saw the message, top to bottom; ``then`` has the
    results in our own field among them.
    """

    headers: Headers
    body: bytes
    client_ip: Address | None = None
    helo: str = ""
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    login: str = ""
    smtputf8: bool = False
    local: bool = False
    at: float | None = None
    host: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    stripped: tuple[str, ...] = ()
    then: tuple[Resinfo, ...] = ()


def read(raw: bytes, given: Given, hosts: Sequence[str]) -> Message:
    """A message file, or what ``postcat -q`` prints of a queue file, with its facts. Raises Unknown.

    ``hosts`` are the names of the host that received the message; one without a dot matches in any domain. If the
    client's address is given, or if the message is outgoing, a message file is taken as it is, and no facts are read
    from it. A byte order mark, as programs on Windows write it, is not part of the message.
    """
    raw = raw.removeprefix(BOM)
    if found := _POSTCAT.match(raw):
        return _message(Postcat(raw[found.end() :], found[1].decode(errors="replace"), given.tags), given)
    if _QUEUE_FILE.match(raw):
        raise Unknown("this is a queue file as Postfix stores it; give the output of `postcat -q ID`")
    if wrong := _no_message(raw):
        raise Unknown(wrong)
    if given.outgoing:
        return _message(Submitted(raw), given)
    return _message(AsGiven(raw, given.client_ip) if given.client_ip else Delivered(raw, given, hosts), given)


def _message(form: _Form, given: Given) -> Message:
    """The message of a file, with the operator's facts in place of those found. Raises Unknown."""
    client = form.client() if given.client_ip is None else Fact(given.client_ip, "--ip")
    helo = form.helo() if given.helo is None else Fact(given.helo, "--helo")
    mail_from = form.mail_from() if given.mail_from is None else Fact(given.mail_from, "--mail-from")
    recipients = form.recipients() if given.recipients is None else Fact(given.recipients, "--rcpt")
    login, at = form.login() if given.login is None else Fact(given.login, "--login"), form.at()
    sources = {
        "client": client.source,
        "helo": helo.source,
        "mail from": mail_from.source,
        "recipients": recipients.source,
        "login": login.source,
        "time": at.source,
    }
    return Message(
        headers=form.headers,
        body=form.body,
        client_ip=client.value,
        helo=helo.value,
        mail_from=mail_from.value,
        recipients=recipients.value,
        login=login.value,
        smtputf8=form.smtputf8,
        local=form.local and given.client_ip is None and given.login is None,
        at=at.value,
        host=form.host,
        sources={name: source for name, source in sources.items() if source},
        stripped=form.stripped,
        then=form.then,
    )


def _no_message(raw: bytes) -> str:
    """Why a file is not a message; empty if it is one. Otherwise its fields would be read as body, and missed."""
    if not raw:
        return "the file is empty"
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "the file is UTF-16 text; save the message as it came, octet by octet"
    first = _FROM.match(raw)
    rest = raw[first.end() :] if first else raw
    if b"\n" not in rest and b"\r" in rest.strip():
        return "the lines of the file end in CR alone; save the message as it came, octet by octet"
    if split(rest)[0]:
        return ""
    line = rest.partition(b"\n")[0].rstrip(b"\r").decode(errors="replace")
    what = repr(line[:60]) if line else "an empty line"
    return f"the file begins with {what}, which is not a header field; remove what comes before the header section"


class _Form(Protocol):
    """A form in which a file has a message and its facts. A method gives one fact, or raises Unknown."""

    headers: Headers
    body: bytes
    smtputf8: bool
    local: bool
    host: str
    stripped: tuple[str, ...]
    then: tuple[Resinfo, ...]

    def client(self) -> Fact[Address | None]: ...
    def helo(self) -> Fact[str]: ...
    def mail_from(self) -> Fact[str]: ...
    def recipients(self) -> Fact[tuple[str, ...]]: ...
    def login(self) -> Fact[str]: ...
    def at(self) -> Fact[float | None]: ...


class AsGiven:
    """A message as the client sent it. All facts come from the operator."""

    smtputf8 = local = False
    host = ""
    stripped: tuple[str, ...] = ()
    then: tuple[Resinfo, ...] = ()

    def __init__(self, raw: bytes, client_ip: Address) -> None:
        self.headers, self.body = split(raw)
        self._client_ip = client_ip

    def client(self) -> Fact[Address | None]:
        """The client's address."""
        return Fact(self._client_ip, "--ip")

    def helo(self) -> Fact[str]:
        """None, if the operator gives none."""
        return Fact("", "no --helo")

    def mail_from(self) -> Fact[str]:
        """The null reverse-path, if the operator gives none."""
        return Fact("", "no --mail-from")

    def recipients(self) -> Fact[tuple[str, ...]]:
        """None, if the operator gives none."""
        return Fact((), "no --rcpt")

    def login(self) -> Fact[str]:
        """No login."""
        return Fact("")

    def at(self) -> Fact[float | None]:
        """Unknown."""
        return Fact(None)


class Submitted:
    """A message as a program hands it over, on this host unless the operator says otherwise."""

    smtputf8 = False
    local = True
    host = ""
    stripped: tuple[str, ...] = ()
    then: tuple[Resinfo, ...] = ()

    def __init__(self, raw: bytes) -> None:
        self.headers, self.body = split(raw)

    def client(self) -> Fact[Address | None]:
        """None: a client on another host is for the operator to name."""
        return Fact(None)

    def helo(self) -> Fact[str]:
        """None."""
        return Fact("")

    def mail_from(self) -> Fact[str]:
        """The address in From, since mail programs use it; the null reverse-path if there is not one clear author."""
        found, fields = author(self.headers, Limits()), self.headers.named(b"from")
        if found.fault or len(found.domains) != 1 or len(fields) != 1:
            return Fact("", "From does not name one clear author domain")
        [domain], text = found.domains, fields[0].value.decode("utf-8", "replace")
        address = parseaddr(text.replace("\r\n", ""))[1]
        with suppress(BadDomain):
            if Domain(address.rpartition("@")[2]) == domain:
                return Fact(address, "From, as mail programs do")
        return Fact(f"postmaster@{domain}", "From, of which only the domain counts")

    def recipients(self) -> Fact[tuple[str, ...]]:
        """None: they make no difference."""
        return Fact(())

    def login(self) -> Fact[str]:
        """No login."""
        return Fact("")

    def at(self) -> Fact[float | None]:
        """Unknown."""
        return Fact(None)
