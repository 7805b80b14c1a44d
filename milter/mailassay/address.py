"""The address of a client, in the one form that DNS and the policy know."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def canonical(address: Address) -> Address:
    """IPv4 for an IPv4 client on an IPv6 socket (RFC 4291 section 2.5.5.2); a link-local address without its zone.

    A zone is a name of this host for a link (RFC 4007 section 11), and DNS has none.
    """
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or (IPv6Address(int(address)) if address.scope_id else address)


def client(text: str) -> Address:
    """The canonical form of an address. Raises ValueError."""
    return canonical(ip_address(text))
