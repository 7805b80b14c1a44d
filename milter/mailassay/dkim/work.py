"""The cost of the signatures of one message, DKIM and ARC together."""

from __future__ import annotations

from collections.abc import Sequence

from ..limits import Limits
from ..message import Field

_ASCII = bytes(range(128))


class TooMuchWork(ValueError):
    """The next piece of work would cost more than is left in the account."""


class Work:
    """An account. Work whose size the sender chooses is paid for before it is done.

    A unit is about a microsecond on one core of a server of 2026. The functions of this module give the cost of each
    piece of work. They estimate high rather than low, and depend only on the message and the key records.
    """

    def __init__(self, limits: Limits, spent: int = 0) -> None:
        self.most = limits.signature_work
        self.spent = spent

    def pay(self, units: int) -> None:
        """Take these units. If fewer are left, take nothing and raise :class:`TooMuchWork`."""
        if self.spent + units > self.most:
            raise TooMuchWork("limit: more work than signature_work allows")
        self.spent += units


def reading(tags: bytes) -> int:
    """The cost of a tag=value list: its tags, the names in h=, and U-labels, which IDNA checks one by one."""
    return 15 + len(tags) // 50 + 3 * tags.count(b";") + tags.count(b":") // 2 + 15 * len(tags.translate(None, _ASCII))


def naming(names: Sequence[bytes]) -> int:
    """The cost of looking up the fields that h= names."""
    return 5 + len(names) // 2


def hashing(fields: Sequence[Field]) -> int:
    """The cost of canonicalizing and hashing fields."""
    return 5 + 2 * len(fields) + sum(len(field.name) + len(field.value) for field in fields) // 300


def rsa(bits: int, exponent_bits: int) -> int:
    """The cost of verifying with an RSA key: about one multiplication for each bit of the exponent."""
    return 10 + bits * bits * (4 + exponent_bits * 3 // 2) // (5 << 20)


ED25519 = 120
"""The cost of verifying with an Ed25519 key."""
