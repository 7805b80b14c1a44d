"""The address of a client, in the one form that DNS and the policy use."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def canonical(address: Address) -> Address:
    """The canonical form of a client address.

    An IPv4-mapped address, which an IPv6 socket shows for an IPv4 client, becomes IPv4 (RFC 4291 section 2.5.5.2). A
    link-local address loses its zone, because a zone means something on this host only (RFC 4007 section 11).
    """
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or (IPv6Address(int(address)) if address.scope_id else address)


def client(text: str) -> Address:
    """The canonical form of the address in ``text``. Raises ValueError if the text is not an IP address."""
    return canonical(ip_address(text))
