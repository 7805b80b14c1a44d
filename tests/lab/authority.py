"""A zone with several authoritative servers on loopback, and the resolver that knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS

ADDRESSES = ("127.0.0.2", "127.0.0.3")
NAMES = ("ns1.example.org", "ns2.example.org")
MINIMUM = 600  # seconds, of a negative answer
TTL = 300


@dataclass(frozen=True)
class Authority:
    """The servers by name, all at one port, and the resolver."""

    servers: Mapping[str, DnsServer]
    resolver: DnsServer
    port: int

    def publish(self, *lines: str, at: str | None = None) -> None:
        """Have these records in the zone, in place of all that were there before; at one server only, or at all."""
        for name, server in self.servers.items():
            if at in (None, name):
                server.zone = zone(*lines)


def zone(*lines: str) -> Zone:
    """The zone example.org with these lines."""
    text = [f"example.org NS {name}" for name in NAMES]
    text += [f"{name} A {address}" for name, address in zip(NAMES, ADDRESSES, strict=True)]
    text.append(f"example.org SOA ns1.example.org admin.example.org 1 7200 900 1209600 {MINIMUM}")
    return Zone("\n".join([*text, *lines]), ttl=TTL, limits=LIMITS)


@contextmanager
def authority() -> Iterator[Authority]:
    """Two servers of the zone example.org, which has no keys yet."""
    with ExitStack() as stack:
        servers = [stack.enter_context(each) for each in _at_one_port()]
        resolver = stack.enter_context(DnsServer(zone()))
        yield Authority(dict(zip(NAMES, servers, strict=True)), resolver, servers[0].port)


def _at_one_port() -> list[DnsServer]:
    """A server at each address. A port that is free at one may not be so at another."""
    kept = []
    for _ in range(20):
        first = DnsServer(zone(), ADDRESSES[0])
        # until the end, so that the next try has another port
        kept.append(first)
        try:
            return [first, *(DnsServer(zone(), each, first.port) for each in ADDRESSES[1:])]
        except OSError:
            continue
    raise OSError("no port is free at all addresses")
