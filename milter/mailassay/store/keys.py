"""The keys by which messages are found.

A key of a domain has its labels in reverse order and ends with a full stop, so that a domain and those below it are
next to each other in an index. The key of an address is that of its domain, ``@`` and the local-part. Case does not
matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from ..domain import a_labels

# characters of a key and of a Message-ID: PostgreSQL takes no more than 2,704 octets into an index
_MAX = 320
_MAX_MESSAGE_ID = 600


def of_domain(name: str) -> str:
    """``mail.bank.example`` becomes ``example.bank.mail.``; empty if there is no name."""
    labels = a_labels(name.lower().rstrip(".")).split(".")
    return _text(f"{'.'.join(reversed(labels))}."[:_MAX]) if labels != [""] else ""


def of_address(address: str) -> str:
    """``bob@bank.example`` becomes ``example.bank.@bob``; empty if there is no address."""
    local_part, _, domain = address.rpartition("@")
    return _text(f"{of_domain(domain)}@{local_part.lower()}"[:_MAX]) if address else ""


def of_client(address: str) -> str:
    """The address of a client as hexadecimal digits after its version; empty if it is none."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    return f"{found.version}{found.packed.hex()}"


def of_message_id(text: str) -> str:
    """A Message-ID as its column has it."""
    return _text(text[:_MAX_MESSAGE_ID])


def _text(found: str) -> str:
    # PostgreSQL takes no NUL, and neither takes lone surrogates
    return found.replace("\0", "\ufffd").encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Keys:
    """What an index is searched for: the keys from ``low`` to ``high``, or only ``low`` if that is None."""

    low: str
    high: str | None = None

    def has(self, key: str) -> bool:
        """Is the key among them?"""
        return key == self.low if self.high is None else self.low <= key <= self.high


def within(domain: str) -> Keys:
    """A domain, and those below it; also the addresses in them."""
    low = of_domain(domain)
    # up to the sign after the full stop at its end
    return Keys(low, f"{low[:-1]}/")


def address_or_domain(text: str) -> Keys:
    """An address, or all addresses in a domain and those below it."""
    return Keys(of_address(text)) if "@" in text else within(text)


def in_network(network: IPv4Network | IPv6Network) -> Keys:
    """The addresses of a network."""
    low, high = of_client(str(network[0])), of_client(str(network[-1]))
    return Keys(low) if low == high else Keys(low, high)
