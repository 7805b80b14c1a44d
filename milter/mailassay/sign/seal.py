"""Seal an incoming message: RFC 8617 section 5.1, with the fields of sections 4.1.1 to 4.1.3.

The seal says what this host found. It is made when everything else about the header is decided, of the header as the
next host receives it, and of our own results alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from .. import arc
from ..dkim.work import TooMuchWork, Work
from ..message import Field, Headers
from ..result import Result
from . import fields, signature
from .keys import SigningKey

RESULTS, MESSAGE, SEAL = "ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"
MAX_SETS = 50
"""RFC 8617 section 4.2.1."""


class Unsealed(StrEnum):
    """Why a message that was let in has no seal of ours: a closed vocabulary for the log and for programs."""

    LIMIT = "limit"  # the header is larger than what is looked at, or the chain needs more work than the policy allows
    FIELDS = "fields"  # too many fields to sign
    SETS = "sets"  # there can be no further set
    FAILED = "failed"  # the newest seal says that the chain failed
    DNS = "dns"  # a key of the chain could not be looked up
    ERROR = "error"  # a fault of mailassay or of this host

    @property
    def words(self) -> str:
        """The same in words."""
        return _WORDS[self]


_WORDS = {
    Unsealed.LIMIT: "the header is larger than what is looked at, or the chain needs more work than the limits allow",
    Unsealed.FIELDS: "the header repeats fields too often",
    Unsealed.SETS: f"the chain has {MAX_SETS} sets, and can have no more",
    Unsealed.FAILED: "the newest seal says that the chain failed, so nobody may add to it",
    Unsealed.DNS: "DNS did not answer for a key of the chain, so it is not known whether the chain passes",
    Unsealed.ERROR: "something failed; the log has the traceback",
}


class Sealed(NamedTuple):
    """What became of a message: the fields (name, value) of its new ARC set, or why it has none.

    The first field belongs on top. ``by`` is the key as ``d/s``, ``instance`` is i=, and ``status`` is cv=.
    """

    fields: tuple[tuple[str, str], ...] = ()
    by: str = ""
    instance: int = 0
    status: Result = Result.NONE
    why: Unsealed | None = None


class Incoming(NamedTuple):
    """A message as it came: its header, its chain and the result for it, and the hash of its body (``signature.BODY``).

    To read a malformed chain is charged to ``account``.
    """

    headers: Headers
    chain: arc.Chain
    found: arc.Arc
    body_hash: bytes
    account: Work


class Change(NamedTuple):
    """What is done to the header first: ``remove`` and ``add`` are as in ``judge.outcome``.

    ``results`` is the value of our Authentication-Results field, which is one of those to add.
    """

    remove: Sequence[tuple[str, int]]
    add: Sequence[tuple[str, str]]
    results: str


def sealed(key: SigningKey, message: Incoming, change: Change, now: float) -> Sealed:
    """Seal a message that is let in. ``now`` is in seconds since 1970."""
    after = changed(message.headers, change)
    try:
        newest = _newest(message)
        names = fields.names(after, b"DKIM-Signature")
    except TooMuchWork:
        return Sealed(why=Unsealed.LIMIT)
    except fields.TooManyFields:
        return Sealed(why=Unsealed.FIELDS)
    if why := _why_not(message, newest):
        return Sealed(why=why)
    number, status = newest.instance + 1, message.found.result
    of_results = f"i={number}; {change.results}"
    header = signature.HeaderHash(after, names)
    of_message = signature.of_message(MESSAGE, f"i={number};", key, header, message.body_hash, now)
    # of a chain that failed, not all hosts would read the same sets, so the seal covers its own set only
    earlier = message.chain.sets if status is Result.PASS else ()
    covered = _covered(earlier, signature.field(RESULTS, of_results), signature.field(MESSAGE, of_message))
    tags = [f"i={number};", f"a={key.algorithm};", f"cv={status};", *signature.by(key, now)]
    of_seal = signature.signed(SEAL, tags, (), key, signature.hashed(covered))
    added = (SEAL, of_seal), (MESSAGE, of_message), (RESULTS, of_results)
    return Sealed(added, str(key), number, status)


def _newest(message: Incoming) -> arc.Newest:
    """Raises :class:`TooMuchWork`."""
    if message.chain.problem:
        return arc.newest(message.headers, message.account)
    return arc.Newest(len(message.chain.sets))


def _why_not(message: Incoming, newest: arc.Newest) -> Unsealed | None:
    """Why the chain cannot have another set."""
    if newest.is_failed:
        return Unsealed.FAILED
    if newest.instance >= MAX_SETS:
        return Unsealed.SETS
    return Unsealed(message.found.unknown) if message.found.unknown else None


def _covered(earlier: Sequence[arc.Set], *own: Field) -> Iterator[Field]:
    """What an ARC-Seal covers: the sets in their order, the new one last (RFC 8617 sections 5.1.1 and 5.1.2)."""
    for each in earlier:
        yield from (each.results, each.message.field, each.seal.field)
    yield from own


def changed(headers: Headers, change: Change) -> Headers:
    """The header after a change, as the next host receives it."""
    gone = {(name.lower().encode(), instance) for name, instance in change.remove}
    return Headers([*(signature.field(*each) for each in change.add), *_left(headers, gone)])


def _left(headers: Headers, gone: set[tuple[bytes, int]]) -> Iterator[Field]:
    seen: dict[bytes, int] = {}
    for field in headers:
        name = field.name.lower()
        seen[name] = seen.get(name, 0) + 1
        if (name, seen[name]) not in gone:
            yield field
