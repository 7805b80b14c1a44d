"""What the signatures of one message may cost, DKIM's and ARC's together."""

from __future__ import annotations

from collections.abc import Sequence

from ..limits import Limits
from ..message import Field

_ASCII = bytes(range(128))


class TooMuchWork(ValueError):
    """The account has less than what comes next would cost."""


class Work:
    """An account: whatever a sender chooses the size of is paid before it is done.

    A unit is about a microsecond of one core of a server of 2026. The functions of this module say what each piece
    costs; they are rather too high than too low, and depend on nothing but the message and the key records.
    """

    def __init__(self, limits: Limits = Limits(), spent: int = 0) -> None:
        self.most = limits.signature_work
        self.spent = spent

    def pay(self, units: int) -> None:
        """Take these units. Raises :class:`TooMuchWork`, and takes nothing, if there are fewer."""
        if self.spent + units > self.most:
            raise TooMuchWork("limit: more work than signature_work allows")
        self.spent += units


def reading(tags: bytes) -> int:
    """A tag=value list: its tags, the names that its h= may have, and U-labels, which IDNA looks at one by one."""
    return 15 + len(tags) // 50 + 3 * tags.count(b";") + tags.count(b":") // 2 + 15 * len(tags.translate(None, _ASCII))


def naming(names: Sequence[bytes]) -> int:
    """To look up the fields that h= names."""
    return 5 + len(names) // 2


def hashing(fields: Sequence[Field]) -> int:
    """To canonicalize fields and to hash them."""
    return 5 + 2 * len(fields) + sum(len(field.name) + len(field.value) for field in fields) // 300


def rsa(bits: int, exponent_bits: int) -> int:
    """A verification by an RSA key: a multiplication of such numbers for each bit of the exponent, and some more."""
    return 10 + bits * bits * (4 + exponent_bits * 3 // 2) // (5 << 20)


ED25519 = 120
"""A verification by an Ed25519 key."""
