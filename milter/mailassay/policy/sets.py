"""Sets of domains, addresses and networks, as an operator writes them, large ones too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from ..domain import BadDomain, Domain

NULL_SENDER = "<>"


@dataclass(frozen=True, slots=True)
class Domains:
    """``example.com`` is that name and no other, ``.example.com`` is it and every name below it.

    ``<>`` is the null reverse-path, whose text is empty. ``patterns`` are in A-labels, lower case; names may have
    U-labels, and what is no domain name is in none.
    """

    patterns: tuple[str, ...] = ()
    _all: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_all", frozenset(self.patterns))

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def __contains__(self, name: str) -> bool:
        if not name:
            return NULL_SENDER in self._all
        try:
            domain = Domain(name)
        except BadDomain:
            return False
        return domain in self._all or any(self.above(domain))

    def above(self, domain: Domain) -> Iterator[Domain]:
        """Those that are in it with every name below them, of a domain and its parents."""
        return (each for each in (domain, *domain.parents()) if "." + each in self._all)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Mail addresses: ``user@example.com``, ``user@`` at any domain, and domains as :class:`Domains` has them.

    Letter case does not matter, in the local-part either.
    """

    patterns: tuple[str, ...] = ()
    _domains: Domains = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_domains", Domains(self.patterns))

    def __contains__(self, address: str) -> bool:
        local_part, at, name = address.lower().rpartition("@")
        if not (at and name):
            return False
        try:
            domain = str(Domain(name))
        except BadDomain:
            domain = name
        exact = self._domains._all
        return f"{local_part}@{domain}" in exact or f"{local_part}@" in exact or domain in self._domains


Network: TypeAlias = IPv4Network | IPv6Network


def overlaps(network: Network, others: Iterable[Network]) -> bool:
    """Does a network share an address with one of these?"""
    return any(network.version == other.version and network.overlaps(other) for other in others)


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks by their length, so that many cost no more than few."""

    networks: tuple[Network, ...] = ()
    _by_length: Mapping[tuple[int, int], frozenset[int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_length: dict[tuple[int, int], set[int]] = {}
        for each in self.networks:
            host_bits = each.max_prefixlen - each.prefixlen
            by_length.setdefault((each.version, host_bits), set()).add(int(each.network_address) >> host_bits)
        found = {length: frozenset(numbers) for length, numbers in by_length.items()}
        object.__setattr__(self, "_by_length", found)

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        if not self._by_length:
            return False
        number, version = int(address), address.version
        return any(
            version == of_version and number >> host_bits in numbers
            for (of_version, host_bits), numbers in self._by_length.items()
        )
