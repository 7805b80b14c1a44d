"""Lists of clients whose mail is signed, as networks that mailassay could trust."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Network, ip_network

from ..address import Network
from ..config.values import is_nearly_everybody
from .remark import Code, Place, Remark, error, note, warning

_NAMES_OF_LOOPBACK = ("localhost", "localhost.localdomain", "ip6-localhost")
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def networks(members: Iterable[tuple[str, Place]], name: str) -> tuple[list[Network], list[Remark]]:
    """The networks in a list beyond loopback, and what is to be said of the other members. ``name``: of the option."""
    found, remarks = dict[Network, None](), list[Remark]()
    for text, place in members:
        network, remark = _network(text, place, name)
        if remark:
            remarks.append(remark)
        elif network and not any(network.version == each.version and network.subnet_of(each) for each in LOOPBACK):  # type: ignore[arg-type]
            found[network] = None
    return [*found], remarks


def _network(text: str, place: Place, name: str) -> tuple[Network | None, Remark | None]:
    if text.startswith("!"):
        what = f"{name}: {text} excludes clients, which trusted_networks cannot"
        return None, warning(place, Code.CLIENTS, what, "Leave it out, and write the networks around it")
    if text.lower() in _NAMES_OF_LOOPBACK:
        return None, None
    plain = re.sub(r"^\[([^\]]*)\]", r"\1", text)
    try:
        network = ip_network(plain, strict=False)
    except ValueError:
        if re.fullmatch(r"[0-9a-fA-F:./\[\]]+", text):
            return None, error(place, Code.CLIENTS, f"{name}: {text} is no network")
        what = f"{name}: {text} is no network, and trusted_networks has nothing else"
        return None, warning(place, Code.CLIENTS, what, "Write the addresses of these clients there")
    if "/" in plain and plain.partition("/")[0].lower() not in (str(network[0]), network[0].exploded):
        what = f"{name}: {text} is an address inside a network, which opendkim never matched; the network is {network}"
        return None, note(place, Code.CLIENTS, what)
    if isinstance(network, IPv6Network) and (inner := network[0].ipv4_mapped) and network.prefixlen >= 96:
        network = ip_network(f"{inner}/{network.prefixlen - 96}", strict=False)
    if is_nearly_everybody(network):
        what = f"{name}: {text} is nearly everybody, and no mail from there would be judged"
        return None, warning(place, Code.CLIENTS, what, "Write the networks of your own hosts into trusted_networks")
    return network, None
