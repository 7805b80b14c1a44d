"""Signing of outgoing mail: RFC 6376 section 5, RFC 8463. The body is hashed as it arrives, and nothing is kept.

``seal`` seals incoming mail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .. import dkim
from ..dkim.body import Body
from ..limits import Limits
from ..message import Headers
from . import fields, signature
from .keys import Keys, SigningKey
from .seal import Sealed, Unsealed
from .settings import ACTIVE, Believed, KeyName, Seal, Selectors, Sign, Unsignable
from .who import Submission, Unsigned, signer, was_judged

__all__ = [
    "ACTIVE",
    "Believed",
    "KeyName",
    "Keys",
    "Seal",
    "Sealed",
    "Selectors",
    "Sign",
    "Signed",
    "Signing",
    "SigningKey",
    "Submission",
    "Unsealed",
    "Unsignable",
    "Unsigned",
]


class Signed(NamedTuple):
    """What became of a message: the values of its new signature fields, their keys as ``d/s`` and a=, or why none.

    ``ours``: the message should have been signed.
    """

    values: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    why: Unsigned | None = None
    ours: bool = True
    algorithms: tuple[str, ...] = ()


class Signing:
    """The signatures of one message, from the end of its header section on. Give ``body`` the body, if it is hungry."""

    def __init__(
        self,
        settings: Sign,
        keys: Keys,
        headers: Headers,
        submission: Submission,
        limits: Limits,
        *,
        cut: bool = False,
    ) -> None:
        """``cut``: not all fields of the header were kept."""
        self._headers, self._limits = headers, limits
        self._settings, self._submission = settings, submission
        self._signer = signer(headers, submission, settings, limits, cut=cut)
        self._names: tuple[bytes, ...] = ()
        self._keys: Sequence[SigningKey] = keys.get(self._signer.domain, ()) if self._signer.domain else ()
        self._earlier: list[dkim.Signature] = []
        if self._keys:
            self._earlier = [*_of(self._keys, dkim.signatures(headers, limits))]
            self._name_fields()
        # a message that may not be signed may have been, before it went through another program of this host
        needs_body = self._earlier or (self._keys and not self._signer.why)
        self.body = Body([signature.BODY] if needs_body else [])

    def _name_fields(self) -> None:
        try:
            self._names = fields.names(self._headers)
        except fields.TooManyFields:
            self._signer = self._signer._replace(why=self._signer.why or Unsigned.FIELDS)

    def finish(self, now: float, *, judged: bool = False) -> Signed:
        """Sign, at the end of the body. ``now`` is in seconds since 1970.

        ``judged``: the header has our own results, which we write on the mail of strangers. Such a message is not new,
        whoever its author claims to be, and neither is one with results of another host of a domain that signs. What a
        client that logged in writes there is its own.
        """
        hashed = self.body.finish()
        body_hash = hashed[signature.BODY].digest if signature.BODY in hashed else b""
        missing = self._without(body_hash)
        if self._keys and not missing:
            return Signed(why=Unsigned.SIGNED, ours=False)
        if not self._submission.login and (judged or was_judged(self._headers, self._settings)):
            return Signed(why=Unsigned.JUDGED, ours=False)
        if self._signer.why:
            return Signed(why=self._signer.why, ours=self._signer.ours)
        header = signature.HeaderHash(self._headers, self._names)
        values = [signature.value(key, header, body_hash, now) for key in missing]
        return Signed(tuple(values), tuple(map(str, missing)), algorithms=tuple(key.algorithm for key in missing))

    def _without(self, body_hash: bytes) -> list[SigningKey]:
        """The keys that have not signed the message as it is now."""
        valid = [each for each in self._earlier if each.body_hash == body_hash]
        if not valid:
            return [*self._keys]
        hashes = dkim.HeaderHashes(self._headers, dkim.Work(self._limits), repeated_fail=True)
        return [key for key in self._keys if not any(_is_by(key, each, hashes) for each in valid)]


def _of(keys: Sequence[SigningKey], found: Sequence[dkim.Signature]) -> Iterator[dkim.Signature]:
    """The signatures that claim to be by one of these keys, in the form in which we write them."""
    names = {(key.domain, key.selector.lower(), key.algorithm) for key in keys}
    for each in found:
        claims = (each.domain, each.selector.lower(), each.algorithm)
        if not each.problem and claims in names and each.body == signature.BODY and each.expires is None:
            yield each


def _is_by(key: SigningKey, earlier: dkim.Signature, hashes: dkim.HeaderHashes) -> bool:
    """Did this key make the signature, over the header as it is now? Anybody can write the name of a key."""
    if (key.selector.lower(), key.algorithm) != (earlier.selector.lower(), earlier.algorithm):
        return False
    try:
        return key.verifies(earlier.signature, hashes.digest(earlier)) and not hashes.stray(earlier)
    except dkim.TooMuchWork:
        return False
