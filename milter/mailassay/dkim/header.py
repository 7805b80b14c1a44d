"""What a signature hashes of the header section: RFC 6376 sections 3.4.1, 3.4.2 and 3.7."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from dkim.canonicalization import Relaxed, Simple

from ..message import Field, Headers
from .signature import Signature


class HeaderHashes:
    """The header hashes of one message; each field is canonicalized once, however many signatures cover it."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self._relaxed: dict[int, bytes] = {}

    def digest(self, signature: Signature) -> bytes:
        """The SHA-256 over the fields that a signature covers, and its own field."""
        relaxed = signature.canonicalization.header_algorithm is Relaxed
        digest = hashlib.sha256()
        for place in self._covered(signature):
            digest.update(self._canonical(place) if relaxed else canonical(self._headers.fields[place], Simple))
        own = without_b(signature.field)
        digest.update(canonical(own, Relaxed if relaxed else Simple).removesuffix(b"\r\n"))
        return digest.digest()

    def _canonical(self, place: int) -> bytes:
        text = self._relaxed.get(place)
        if text is None:
            text = self._relaxed[place] = canonical(self._headers.fields[place])
        return text

    def _covered(self, signature: Signature) -> Iterator[int]:
        """The places of the fields that h= names, each name's instances from the bottom (section 5.4.2)."""
        taken: dict[bytes, int] = {}
        # From once more than h= says: a second From that the signer did not see must not hide behind the signature
        once_more = (b"from",) if b"from" in signature.header_names else ()
        for name in (*signature.header_names, *once_more):
            place = self._headers.place(name, taken.get(name, 0))
            taken[name] = taken.get(name, 0) + 1
            if place is not None:
                yield place


def canonical(field: Field, algorithm: type[Relaxed] | type[Simple] = Relaxed) -> bytes:
    """A field as it is hashed, final CRLF included."""
    ((name, value),) = algorithm.canonicalize_headers([(field.name, field.value + b"\r\n")])
    return bytes(name + b":" + value)


def without_b(field: Field) -> Field:
    """A signature field with the value of its b= tag taken out."""
    tags = field.value.split(b";")
    for at, tag in enumerate(tags):
        name, equals, _ = tag.partition(b"=")
        if equals and name.strip() == b"b":
            tags[at] = name + equals
    return Field(field.name, b";".join(tags))
