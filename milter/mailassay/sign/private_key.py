"""The private keys of OpenSSL: loaded, examined, and signed with.

This is loaded with the first key: OpenSSL takes a while, and ``mailassay why`` signs nothing.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_PADDING, _SHA256 = PKCS1v15(), Prehashed(SHA256())

Private: TypeAlias = RSAPrivateKey | Ed25519PrivateKey


class Damaged(ValueError):
    """No key can be read."""


class OtherKind(Exception):
    """A private key of another kind, which the text names."""


def load(pem: bytes) -> Private:
    """The key of a file in PKCS#8. Raises :class:`Damaged`, :class:`OtherKind`."""
    try:
        # to prove that the factors of a key are primes takes 60 ms for 2048 bits and 350 ms for 4096. A signature that
        # can be verified says enough
        private = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Damaged(str(error)) from error
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise OtherKind(type(private).__name__.lstrip("_").removesuffix("PrivateKey"))
    return private


def sign(private: Private, digest: bytes) -> bytes:
    """The signature of a SHA-256 (RFC 6376 section 3.3.1, RFC 8463 section 3)."""
    if isinstance(private, RSAPrivateKey):
        return private.sign(digest, _PADDING, _SHA256)
    return private.sign(digest)


def public(private: Private) -> tuple[str, bytes, int]:
    """The public part: the value of k=, the octets of p= (RFC 6376 section 3.6.1, RFC 8463 section 4), and its bits."""
    found = private.public_key()
    if isinstance(private, RSAPrivateKey):
        return "rsa", found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), private.key_size
    return "ed25519", found.public_bytes(Encoding.Raw, PublicFormat.Raw), 256


def fits(private: Private) -> bool:
    """Do all numbers of an RSA key belong together (RFC 8017 section 3.2)?

    OpenSSL signs with ``d`` if the others are wrong, at four times the cost. Its modulus must be odd.
    """
    if not isinstance(private, RSAPrivateKey):
        return True
    key = private.private_numbers()
    p, q, d, numbers = key.p, key.q, key.d, key.public_numbers
    if p < 3 or q < 3 or p * q != numbers.n or not 0 < d < numbers.n:
        return False
    return (
        all(numbers.e * d % (prime - 1) == 1 for prime in (p, q))
        and (key.dmp1, key.dmq1) == (d % (p - 1), d % (q - 1))
        and key.iqmp * q % p == 1
    )
