"""Does DNS have the public part of a key that signs? RFC 6376 section 3.6."""

from __future__ import annotations

from typing import NamedTuple

from ..dkim import key as published
from ..resolver import DnsLimit, DnsTempError, Resolver
from .keys import SigningKey


class Published(NamedTuple):
    """What DNS has for a key. ``problem`` is why verifiers cannot verify by it, ``trouble`` why DNS does not say.

    Both are empty if the record is right. ``missing``: there is no record at all.
    """

    key: SigningKey
    problem: str = ""
    trouble: str = ""
    missing: bool = False

    @property
    def is_right(self) -> bool:
        """Is it certain that verifiers can verify by the record?"""
        return not self.problem and not self.trouble

    @property
    def name(self) -> str:
        """Where the record is."""
        return f"{self.key.selector}._domainkey.{self.key.domain}"


def look(key: SigningKey, resolve: Resolver) -> Published:
    """Ask DNS for the record of a key, and compare it with the key."""
    empty = Published(key)
    try:
        records = resolve(empty.name, "TXT").records
    except DnsTempError as error:
        return empty._replace(trouble=str(error))
    except DnsLimit as error:
        return empty._replace(problem=f"the answer is too long to be read: {error}")
    if not records:
        return empty._replace(problem="there is no TXT record", missing=True)
    if len(records) > 1:
        # RFC 6376 section 3.6.2.2
        return empty._replace(problem=f"there are {len(records)} TXT records, and a verifier may read any of them")
    return empty._replace(problem=_difference(key, records[0]))


def _difference(key: SigningKey, record: str) -> str:
    """Why a verifier cannot verify by a record; empty if it can."""
    try:
        found = published.parse(record)
    except published.BadKey as error:
        return str(error)
    if found.public != published.parse(key.record).public:
        return "the record has another key"
    if found.testing:
        return "the record says that the key is only tested (t=y), so a verifier may ignore its signatures"
    return ""
