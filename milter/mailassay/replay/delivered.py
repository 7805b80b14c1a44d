"""The facts of a message as this host delivered it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from ..address import Address
from ..domain import BadDomain, Domain
from ..message import Field, split
from ..received import parsed
from ..received import read as received
from .delivery import added_after, names_of, received_by, same_host, without
from .fact import Fact, Given, Unknown

_RETURN_PATH = "Return-Path"


class Delivered:
    """A message as this host delivered it; the facts are in the fields that it wrote on top."""

    def __init__(self, raw: bytes, given: Given, hosts: Sequence[str]) -> None:
        """Find the Received field of this host. Raises Unknown."""
        self._raw, self._given = raw, given
        headers, self.body = split(raw)
        self._fields = fields = headers.fields
        hosts = [given.host] if given.host else hosts
        place = _place(fields, given.host) if given.host else 0
        place += received_by(fields[place:], hosts, given.relays)
        stripped, self.then, self.host = added_after(fields, place, given.tags, hosts)
        self._came = received(fields[place].value)
        self.headers, self._top = without(headers, stripped)
        self.stripped = names_of(self._top)
        self._recorded = {f"{ptype}.{name}": value for each in self.then for ptype, name, value in each.properties}
        self.smtputf8 = self._came.protocol.startswith("UTF8") or any(not each.value.isascii() for each in self._top)
        self.local = self._client().value is None and self._came.local

    def client(self) -> Fact[Address | None]:
        """The client. If it is a relay, our own field names the client from which the relay received it.

        Raises Unknown.
        """
        found = self._client()
        if found.value is None and not self.local:
            raise Unknown("the Received field of this host has no client address; give it with --ip")
        return found

    def _client(self) -> Fact[Address | None]:
        came, relays = self._came, self._given.relays
        recorded = parsed(self._recorded.get("policy.iprev", ""))
        is_relay = self.login().value in relays.logins or (
            came.client_ip is not None and came.client_ip in relays.networks
        )
        if recorded is None or (is_relay and came.client_ip):
            return Fact(came.client_ip, "Received")
        return Fact(recorded, "our Authentication-Results (policy.iprev)")

    def helo(self) -> Fact[str]:
        """The HELO name."""
        return Fact(self._came.helo or self._recorded.get("smtp.helo", ""), "Received")

    def mail_from(self) -> Fact[str]:
        """The reverse-path. Raises Unknown."""
        found, host = self._mail_from(), self._given.host
        if host and found.source == _RETURN_PATH and not same_host(_topmost(self._fields), host):
            return Fact(found.value, f"{_RETURN_PATH}, which a later host may have rewritten")
        return found

    def _mail_from(self) -> Fact[str]:
        domain = self._recorded.get("smtp.mailfrom", "").rpartition("@")[2]
        # for a lower hop, its own field is closer to what the client said
        for found in _paths(self._raw, self._top[::-1] if self._given.host else self._top):
            # a path that was rewritten since (SRS) is not what the client said
            if not domain or _is_of(found.value, domain):
                return found
        if domain:
            source = "our Authentication-Results (smtp.mailfrom; the local-part is not known)"
            return Fact(f"postmaster@{domain}", source)
        if "smtp.helo" in self._recorded:
            return Fact("", "our Authentication-Results (smtp.helo: a null reverse-path)")
        if not self.local:
            raise Unknown("no Return-Path field of this host has the reverse-path; give it with --mail-from")
        return Fact("", "not known")

    def recipients(self) -> Fact[tuple[str, ...]]:
        """The recipient as the client named it, as far as that is known; a file has one of possibly several."""
        if self._came.recipient:
            return Fact((self._came.recipient,), "Received (for)")
        for name in (b"x-original-to", b"delivered-to", b"envelope-to"):
            # the lowest: an alias writes its own above
            if found := [each for each in self._top if each.name.lower() == name]:
                address = found[-1].value.decode("utf-8", "surrogateescape").strip().strip("<>")
                return Fact((address,), found[-1].name.decode())
        return Fact((), "not known")

    def login(self) -> Fact[str]:
        """The SASL login. A client that logged in is not judged, unless it is a relay."""
        login, relays = self._came.login, self._given.relays
        if self.then and login and login not in relays.logins:
            login = next(iter(relays.logins), "")
        return Fact(login, "Received" if login else "")

    def at(self) -> Fact[float | None]:
        """When the message came in."""
        return Fact(self._came.at, "Received")


def _place(fields: Sequence[Field], host: str) -> int:
    """The place of the topmost Received field by ``host``, which the operator named. Raises Unknown.

    0 if there is no Received field at all.
    """
    writers = {place: received(each.value).by for place, each in enumerate(fields) if each.name.lower() == b"received"}
    if not (own := [place for place, writer in writers.items() if same_host(writer, host)]):
        if not writers:
            return 0
        of_others = ", ".join(dict.fromkeys(filter(None, writers.values()))) or "unnamed hosts"
        raise Unknown(f"no Received field was written by {host}; they were written by {of_others}")
    return own[0]


def _topmost(fields: Sequence[Field]) -> str:
    """The host that wrote the topmost Received field; empty if unknown."""
    return next(received(each.value).by for each in fields if each.name.lower() == b"received")


def _paths(raw: bytes, top: Sequence[Field]) -> Iterator[Fact[str]]:
    """The reverse-paths that delivery agents and MTAs wrote."""
    for each in top:
        text = each.value.decode("utf-8", "surrogateescape")
        if each.name.lower() == b"return-path":
            yield Fact(text.strip().removeprefix("<").removesuffix(">"), _RETURN_PATH)
        elif each.name.lower() == b"received" and (path := received(each.value).envelope_from) is not None:
            yield Fact(path, "Received (envelope-from)")
    if raw.startswith(b"From ") and (words := raw[:2000].partition(b"\n")[0].split()[1:]):
        path = words[0].decode("utf-8", "surrogateescape")
        yield Fact("" if path == "MAILER-DAEMON" else path, "the `From ` line of the mbox")


def _is_of(path: str, domain: str) -> bool:
    name = path.rpartition("@")[2]
    with suppress(BadDomain):
        return Domain(name) == Domain(domain)
    return name.lower() == domain.lower()
