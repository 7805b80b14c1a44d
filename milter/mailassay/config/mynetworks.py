"""Postfix's mynetworks, as ``trusted_networks: postfix`` takes it."""

from __future__ import annotations

import itertools
import re
from ipaddress import IPv6Network, ip_network

from ..address import Network
from .values import is_nearly_everybody

_NUMBERS = re.compile(r"\[?([0-9a-f:.]+)\]?(/[0-9]+)?", re.IGNORECASE)


def trusted(text: str) -> tuple[Network, ...]:
    """The networks of mynetworks that we trust too: those before the first exclusion, which may hold for the rest.

    A file may contain an exclusion, so reading stops there too; a table only adds to the list (postconf(5)). A network
    that covers nearly everybody is ignored: it would let everybody in.
    """
    listed = itertools.takewhile(lambda token: not token.startswith(("!", "/")), tokens(text))
    found = (network for token in listed for network in mynetworks(token)[0])
    return tuple(network for network in found if not is_nearly_everybody(network))


def mynetworks(text: str) -> tuple[list[Network], list[str]]:
    """The networks of a list, and its other elements: tables, files, exclusions."""
    found, others = list[Network](), list[str]()
    for token in tokens(text):
        try:
            match = _NUMBERS.fullmatch(token)
            network = ip_network(match[1] + (match[2] or ""), strict=False) if match else None
        except ValueError:
            network = None
        if network is None:
            others.append(token)
        elif isinstance(network, IPv6Network) and (inner := network[0].ipv4_mapped):
            found.append(ip_network(f"{inner}/{network.prefixlen - 96}"))
        else:
            found.append(network)
    return found, others


def tokens(text: str) -> list[str]:
    """The elements of a list, between commas and white space; braces keep their content together (mystrtokq(3))."""
    found, begin, depth = [], 0, 0
    for at, character in enumerate(text):
        if character == "{":
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif not depth and character in ", \t\r\n":
            found.append(text[begin:at])
            begin = at + 1
    return [token for token in [*found, text[begin:]] if token]
