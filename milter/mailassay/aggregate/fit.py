"""Text that others wrote, made fit for a report: it can be seen, XML 1.0 allows it, and it is not long."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network

from ..address import canonical
from ..terminal import printable

MAX_NAME = 255  # characters; no domain name is longer
MAX_SENTENCE = 255
UNKNOWN = "?"  # in place of a character that does not fit, and of a name that is empty
UNSPECIFIED = "0.0.0.0"


def name(text: str) -> str:
    """A domain name or a selector, whatever it is. It has no space, and at least one character.

    A space at an end would get lost in many readers of XML.
    """
    return printable(text[:MAX_NAME]).replace(" ", UNKNOWN) or UNKNOWN


def sentence(text: str, most: int = MAX_SENTENCE) -> str:
    """Text for people, on one line of at most ``most`` characters."""
    # before the rest, whose cost grows with the length
    words = printable(" ".join(text[: 4 * most].split()))
    return words if len(words) <= most else f"{words[: most - 1].rstrip()}…"


def address(text: str) -> str:
    """An address in the form of RFC 3986 section 3.2.2: without a zone and without brackets.

    A network, which stands for several addresses, is written as its first address. Text that is no address becomes
    0.0.0.0, the unspecified address, so that its messages are counted all the same.
    """
    try:
        network = ip_network(text.strip("[]").partition("%")[0], strict=False)
    except ValueError:
        return UNSPECIFIED
    found = network.network_address
    if isinstance(network, IPv6Network) and network.prefixlen == network.max_prefixlen:
        found = canonical(found)
    return str(found)
