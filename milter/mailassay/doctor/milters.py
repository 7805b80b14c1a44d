"""The lists of milters: what their elements name, and which of them is mailassay."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..config import Listen
from ..config.mynetworks import tokens
from ..postfix.configuration import Postfix, Service

_LOOPBACK = ("127.0.0.1", "::1", "localhost", "ip6-localhost")
_ANY = ("0.0.0.0", "::")
_NUMERIC = re.compile("[0-9.]+|.*:.*")


@dataclass(frozen=True, slots=True)
class Milter:
    """An element of ``smtpd_milters``: ``endpoint`` is ``unix:path`` or ``inet:host:port``."""

    endpoint: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str | None:
        """The path of a Unix socket; None if it is not one."""
        kind, _, rest = self.endpoint.partition(":")
        return rest if kind.lower() in ("unix", "local") else None

    @property
    def place(self) -> tuple[str, str] | None:
        """Host and port of a TCP socket, also in Sendmail's form ``inet:port@host``; None if it is not one."""
        kind, _, rest = self.endpoint.partition(":")
        if kind.lower() not in ("inet", "inet6"):
            return None
        port, at, host = rest.partition("@")
        if not at:
            host, _, port = rest.rpartition(":")
        return host.strip("[]").lower(), port

    def __str__(self) -> str:
        options = [f"{name}={value}" for name, value in self.options.items()]
        return "{ " + ", ".join([self.endpoint, *options]) + " }" if options else self.endpoint


@dataclass(frozen=True, slots=True)
class Entry:
    """Our entry in the list of a service's milters. ``reached``: smtpd finds our socket by it."""

    service: Service
    milters: tuple[Milter, ...]
    index: int
    reached: bool

    @property
    def ours(self) -> Milter:
        """The element that names us."""
        return self.milters[self.index]


def parsed(text: str) -> tuple[Milter, ...]:
    """The milters of a list."""
    return tuple(milter for token in tokens(text) if (milter := _milter(token)))


def _milter(token: str) -> Milter | None:
    if not token.startswith("{"):
        return Milter(token)
    words = tokens(token[1:].removesuffix("}"))
    pairs = (re.sub(r"^\{\s*|\s*\}$", "", word).partition("=") for word in words[1:])
    return Milter(words[0], {name.strip(): value.strip() for name, _, value in pairs}) if words else None


def edited(postfix: Postfix, name: str, service: Service, edit: Callable[[Milter], Milter | None]) -> str:
    """A list with its milters edited or removed. A ``$name`` stays as it is if nothing in it changes."""
    for text in (postfix.as_written(name, service), postfix.value(name, service)):
        before = [(token, _milter(token)) for token in tokens(text)]
        after = [(token, milter and edit(milter)) for token, milter in before]
        if before != after:
            # an unchanged element stays as it was written
            old = dict(before)
            return ", ".join(token if milter == old[token] else str(milter) for token, milter in after if milter)
    return postfix.value(name, service)


def endpoint(listen: Listen, queue: str) -> str:
    """Our socket in Postfix's form; relative if it is below the queue directory, where smtpd works."""
    if listen.kind != "unix":
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        return f"inet:{host}:{listen.port}"
    return f"unix:{listen.path.removeprefix(queue + '/')}"


def is_there(milter: Milter, listen: Listen) -> bool:
    """Is it our TCP socket? A host name counts as this host, since nobody has two milters on the same port."""
    if listen.kind == "unix" or not milter.place:
        return False
    host, port = milter.place
    local = (host in _LOOPBACK, listen.host in _LOOPBACK)
    same = host == listen.host.lower() or listen.host in _ANY or all(local)
    return port == str(listen.port) and (same or (not any(local) and not _NUMERIC.fullmatch(host)))
