"""Parse the key record of a signer: RFC 6376 section 3.6.1, RFC 8463."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from . import work
from .fault import Fault
from .signature import BadSignature, tag_list, words

if TYPE_CHECKING:
    from .public_key import Public


class BadKey(ValueError):
    """The record has no key that may be used. The text says why; ``fault`` is its kind."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key: its type (``rsa`` or ``ed25519``), its size in bits, and what the record says about its use.

    ``work`` is the cost of a verification, in the units of :class:`work.Work`.
    """

    kind: str
    bits: int
    public: Public
    testing: bool
    strict: bool
    work: int

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Did this key make ``signature`` over the SHA-256 ``digest``?"""
        from .public_key import verifies

        return verifies(self.public, signature, digest)


def parse(record: str) -> Key:
    """Parse a key record (one TXT record, one character per octet). Raises :class:`BadKey`."""
    found = _known(record)
    if isinstance(found, BadKey):
        raise BadKey(found.fault, str(found))
    return found


@lru_cache(maxsize=1024)
def _known(record: str) -> Key | BadKey:
    try:
        return _read(record)
    except BadKey as error:
        return BadKey(error.fault, str(error))


def _read(record: str) -> Key:
    try:
        tags = tag_list(record.encode("latin-1"))
    except BadSignature as error:
        raise BadKey(Fault.KEY_SYNTAX, "the key record is not a tag=value list") from error
    if b"v" in tags and (next(iter(tags)) != b"v" or tags[b"v"] != b"DKIM1"):
        raise BadKey(Fault.KEY_SYNTAX, "the key record's v= is not DKIM1 or not first")
    if b"p" not in tags:
        raise BadKey(Fault.KEY_SYNTAX, "the key record has no p=")
    if b"sha256" not in words(tags.get(b"h", b"sha256")):
        raise BadKey(Fault.KEY_USE, "the key record's h= does not allow sha256")
    if not {b"*", b"email"} & set(words(tags.get(b"s", b"*"))):
        raise BadKey(Fault.KEY_USE, "the key is not for e-mail (s=)")
    material = re.sub(rb"[ \t\r\n]+", b"", tags[b"p"])
    if not material:
        raise BadKey(Fault.REVOKED, "the key is revoked (p= is empty)")
    flags = words(tags.get(b"t", b""))
    kind = tags.get(b"k", b"rsa").lower().decode("latin-1")
    if kind not in ("rsa", "ed25519"):
        raise BadKey(Fault.KEY_TYPE, "the key type is unknown (k=)")
    try:
        octets = base64.b64decode(material, validate=True)
    except binascii.Error as error:
        raise BadKey(Fault.KEY_SYNTAX, "the key record's p= is not base64") from error
    from .public_key import ed25519, rsa

    public: Public
    if kind == "rsa":
        public, bits, exponent_bits = rsa(octets)
        cost = work.rsa(bits, exponent_bits)
    else:
        public, bits, cost = ed25519(octets), 256, work.ED25519
    return Key(kind=kind, bits=bits, public=public, testing=b"y" in flags, strict=b"s" in flags, work=cost)
