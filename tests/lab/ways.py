"""A Postfix with several services, each with its own options, so that messages take different ways through it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailassay.zone import Zone

from .dns import DnsServer
from .limits import LIMITS
from .mta import Lab, Mta, free_port
from .serve import Serve
from .sink import Sink
from .smtp import SmtpClient

CLIENT = "198.51.100.7"
"""The client of a user who logged in."""

_MAIN = """
mynetworks = 127.0.0.0/8, 198.51.100.7
smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_sasl_auth_enable = no
default_transport = smtp:[127.0.0.1]:{sink}
transport_maps = inline:{{ {transports} }}
{more}
"""


@dataclass(frozen=True)
class Way:
    """Options of smtpd, of its cleanup, and of the smtp service that sends the message on.

    ``OURS`` in a value is our socket. ``modern``: the next hop offers 8BITMIME and SMTPUTF8.
    """

    smtpd: Mapping[str, str] = field(default_factory=dict)
    cleanup: Mapping[str, str] = field(default_factory=dict)
    smtp: Mapping[str, str] = field(default_factory=dict)
    modern: bool = False


@dataclass(frozen=True)
class Ways:
    """The lab, the two next hops, and the ports of the ways by their names."""

    lab: Lab
    plain: Sink
    modern: Sink
    ports: Mapping[str, int]
    hops: Mapping[str, Sink]

    def client(self, way: str, login: str = "alice") -> SmtpClient:
        """A connection of a client at the beginning of a way; of this host, without a login."""
        client = self.lab.postfix.client(port=self.ports[way])
        client.command("EHLO x.example")
        if login:
            client.become(CLIENT, "x.example", login)
            client.command("EHLO x.example")
        return client


def recipient(way: str) -> str:
    """An address to which a message leaves by that way."""
    return f"bob@{way}.next.example"


@contextlib.contextmanager
def ways(folder: Path, found: Mapping[str, Way], more: str = "", services: str = "", **config: Any) -> Iterator[Ways]:
    """Start all; ``more`` are lines of main.cf, ``services`` of master.cf, ``config`` our keys.

    ``folder`` can be entered by every user.
    """
    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(DnsServer(Zone("", limits=LIMITS)))
        config = {"trusted_networks": ["127.0.0.0/8"], **config}
        serve = stack.enter_context(Serve(folder, dns, None, **config))
        plain, modern = stack.enter_context(Sink()), stack.enter_context(Sink(b"8BITMIME", b"SMTPUTF8"))
        ports = {name: free_port() for name in found}
        hops = {name: modern if way.modern else plain for name, way in found.items()}
        ours = f"unix:{serve.socket}"
        lines = [
            line.replace("OURS", ours) for name, way in found.items() for line in _services(name, way, ports[name])
        ]
        transports = ", ".join(
            f"{{ {name}.next.example = out-{name}:[127.0.0.1]:{hop.port} }}" for name, hop in hops.items()
        )
        main = _MAIN.format(sink=plain.port, transports=transports, more=more).replace("OURS", ours)
        postfix = stack.enter_context(Mta([ours], main, "\n".join([*lines, services, ""])))
        yield Ways(Lab(postfix, serve), plain, modern, ports, hops)


def _services(name: str, way: Way, port: int) -> Iterator[str]:
    own = {"cleanup_service_name": f"in-{name}", **way.smtpd}
    yield _line(f"127.0.0.1:{port} inet n - n - - smtpd", own)
    yield _line(f"in-{name} unix n - n - 0 cleanup", way.cleanup)
    yield _line(f"out-{name} unix - - n - - smtp", way.smtp)


def _line(service: str, options: Mapping[str, str]) -> str:
    return "\n".join([service, *(f"  -o {{ {option} = {value} }}" for option, value in options.items())])
