"""Sets of domains, addresses and networks as an operator writes them. Large sets are fast too.

Each is indexed at once, not on first use: the daemon reads its files before it starts workers, so these share the
index of a large set, and no message waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..address import Address, Network
from ..domain import BadDomain, Domain

NULL_SENDER = "<>"


@dataclass(frozen=True, slots=True)
class Domains:
    """``example.com`` matches only that name; ``.example.com`` matches it and every name below it.

    ``<>`` matches the null reverse-path, which is an empty text. ``patterns`` are in A-labels and lower case; the names
    to match may have U-labels. A string that is not a domain name matches nothing.
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
        """The domain and its parents, as far as the set has them with every name below them."""
        return (each for each in (domain, *domain.parents()) if "." + each in self._all)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Mail addresses: ``user@example.com``, ``user@`` for any domain, and domains as in :class:`Domains`.

    Case does not matter, not even in the local-part.
    """

    patterns: tuple[str, ...] = ()
    _domains: Domains = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_domains", Domains(self.patterns))

    def __contains__(self, address: str) -> bool:
        local_part, at, name = address.lower().rpartition("@")
        if not (at and name):
            return False
        exact = self._domains._all
        if f"{local_part}@" in exact:
            return True
        try:
            domain = Domain(name)
        except BadDomain:
            return False
        return f"{local_part}@{domain}" in exact or domain in self._domains


def overlaps(network: Network, others: Iterable[Network]) -> bool:
    """Does a network share an address with one of these?"""
    return any(network.version == other.version and network.overlaps(other) for other in others)


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks, indexed by prefix length so that many cost no more than a few."""

    networks: tuple[Network, ...] = ()
    _by_length: Mapping[tuple[int, int], frozenset[int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_length: dict[tuple[int, int], set[int]] = {}
        for each in self.networks:
            host_bits = each.max_prefixlen - each.prefixlen
            by_length.setdefault((each.version, host_bits), set()).add(int(each.network_address) >> host_bits)
        found = {length: frozenset(numbers) for length, numbers in by_length.items()}
        object.__setattr__(self, "_by_length", found)

    def __contains__(self, address: Address) -> bool:
        if not self._by_length:
            return False
        number, version = int(address), address.version
        return any(
            version == of_version and number >> host_bits in numbers
            for (of_version, host_bits), numbers in self._by_length.items()
        )
