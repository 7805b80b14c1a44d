"""Parse the key record of a signer: RFC 6376 section 3.6.1, RFC 8463."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from . import work
from .fault import Fault
from .signature import BadSignature, tag_list, words

MIN_RSA_BITS = 1024  # RFC 8301 section 3.2
MAX_EXPONENT_BITS = 64  # OpenSSL's own bound for keys over 3072 bits; the work grows with the exponent

# Ed25519, RFC 8032 section 5.1: the prime of its field, and the y coordinates of the eight points of small order
_P = (1 << 255) - 19
_Y_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = {0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8}

_PADDING, _SHA256 = PKCS1v15(), Prehashed(SHA256())
# the DER of an RSAPublicKey, or of a SubjectPublicKeyInfo that holds one
_RSA = re.compile(rb"0(?:[\0-\x7f]|\x81.|\x82..)(?:\x02|0.\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01)", re.DOTALL)


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
    public: RSAPublicKey | Ed25519PublicKey
    testing: bool
    strict: bool
    work: int

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Did this key make ``signature`` over the SHA-256 ``digest``?"""
        try:
            if isinstance(self.public, RSAPublicKey):
                self.public.verify(signature, digest, _PADDING, _SHA256)
            else:
                self.public.verify(signature, digest)
        except InvalidSignature:
            return False
        return True


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
    public = _public_key(kind, material)
    bits, cost = 256, work.ED25519
    if isinstance(public, RSAPublicKey):
        bits = public.key_size
        cost = work.rsa(bits, public.public_numbers().e.bit_length())
    return Key(kind=kind, bits=bits, public=public, testing=b"y" in flags, strict=b"s" in flags, work=cost)


def _public_key(kind: str, material: bytes) -> RSAPublicKey | Ed25519PublicKey:
    """The key of p=. Worthless keys are refused here, because not every version of the library refuses them."""
    if kind not in ("rsa", "ed25519"):
        raise BadKey(Fault.KEY_TYPE, "the key type is unknown (k=)")
    try:
        octets = base64.b64decode(material, validate=True)
    except binascii.Error as error:
        raise BadKey(Fault.KEY_SYNTAX, "the key record's p= is not base64") from error
    return _rsa(octets) if kind == "rsa" else _ed25519(octets)


def _ed25519(octets: bytes) -> Ed25519PublicKey:
    y = int.from_bytes(octets, "little") & (1 << 255) - 1
    # anybody can sign for a point of small order, and OpenSSL takes a y beyond the field's prime for a different number
    if y >= _P or y in _SMALL_ORDER:
        raise BadKey(Fault.KEY_UNSAFE, "the key is not a safe Ed25519 point (p=)")
    try:
        return Ed25519PublicKey.from_public_bytes(octets)
    except ValueError as error:
        raise BadKey(Fault.KEY_SYNTAX, "the key cannot be read (p=)") from error


def _rsa(octets: bytes) -> RSAPublicKey:
    # A SubjectPublicKeyInfo, which everybody publishes, or the RSAPublicKey that the RFC's text asks for. Others are
    # refused before the loader, which prints warnings for some kinds of key.
    if not _RSA.match(octets):
        raise BadKey(Fault.KEY_TYPE, "the key is not of the type in k=")
    try:
        public = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey(Fault.KEY_SYNTAX, "the key cannot be read (p=)") from error
    if not isinstance(public, RSAPublicKey):
        raise BadKey(Fault.KEY_TYPE, "the key is not of the type in k=")
    if public.key_size < MIN_RSA_BITS:
        raise BadKey(Fault.KEY_SIZE, f"the key has {public.key_size} bits, fewer than {MIN_RSA_BITS}")
    numbers = public.public_numbers()
    if numbers.n % 2 == 0:
        raise BadKey(Fault.KEY_UNSAFE, "the key's modulus is even")
    # with the exponent 1, anybody can sign; RFC 8017 section 3.1
    if numbers.e < 3 or numbers.e % 2 == 0:
        raise BadKey(Fault.KEY_UNSAFE, "the key's exponent is even, or less than 3")
    if numbers.e.bit_length() > MAX_EXPONENT_BITS:
        raise BadKey(Fault.KEY_SIZE, f"the key's exponent has more than {MAX_EXPONENT_BITS} bits")
    return public
