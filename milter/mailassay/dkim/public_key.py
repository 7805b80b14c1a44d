"""The public keys of signers, and what they verify: RFC 6376 section 3.6.1, RFC 8463.

Worthless keys are refused here, because not every version of the library refuses them. This is loaded with the first
key: OpenSSL takes a while, and ``mailassay why`` verifies nothing.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from .fault import Fault
from .key import BadKey

MIN_RSA_BITS = 1024  # RFC 8301 section 3.2
MAX_EXPONENT_BITS = 64  # OpenSSL's own bound for keys over 3072 bits; the work grows with the exponent

# Ed25519, RFC 8032 section 5.1: the prime of its field, and the y coordinates of the eight points of small order
_P = (1 << 255) - 19
_Y_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = {0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8}

_PADDING, _SHA256 = PKCS1v15(), Prehashed(SHA256())
# the DER of an RSAPublicKey, or of a SubjectPublicKeyInfo that holds one
_RSA = re.compile(rb"0(?:[\0-\x7f]|\x81.|\x82..)(?:\x02|0.\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01)", re.DOTALL)

Public: TypeAlias = RSAPublicKey | Ed25519PublicKey


def verifies(public: Public, signature: bytes, digest: bytes) -> bool:
    """Did this key make ``signature`` over the SHA-256 ``digest``?"""
    try:
        if isinstance(public, RSAPublicKey):
            public.verify(signature, digest, _PADDING, _SHA256)
        else:
            public.verify(signature, digest)
    except InvalidSignature:
        return False
    return True


def ed25519(octets: bytes) -> Ed25519PublicKey:
    """The key of p= (RFC 8463 section 4). Raises :class:`BadKey`."""
    y = int.from_bytes(octets, "little") & (1 << 255) - 1
    # anybody can sign for a point of small order, and OpenSSL takes a y beyond the field's prime for a different number
    if y >= _P or y in _SMALL_ORDER:
        raise BadKey(Fault.KEY_UNSAFE, "the key is not a safe Ed25519 point (p=)")
    try:
        return Ed25519PublicKey.from_public_bytes(octets)
    except ValueError as error:
        raise BadKey(Fault.KEY_SYNTAX, "the key cannot be read (p=)") from error


def rsa(octets: bytes) -> tuple[RSAPublicKey, int, int]:
    """The key of p= (RFC 6376 section 3.6.1), and the bits of modulus and exponent. Raises :class:`BadKey`."""
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
    return public, public.key_size, numbers.e.bit_length()
