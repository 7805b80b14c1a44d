"""A private key in any of the forms that opendkim and rspamd read, as PKCS#8 in PEM."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    load_ssh_private_key,
)

_Private: TypeAlias = RSAPrivateKey | Ed25519PrivateKey
_SEED, _SEED_AND_PUBLIC = 32, 64  # octets of an Ed25519 key: RFC 8032, and libsodium
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")


class NoKey(ValueError):
    """There is no key that can be used. The text says why, and has nothing of the key."""


def pkcs8(octets: bytes) -> bytes:
    """The key as PKCS#8 in PEM (RFC 5958), not encrypted. Raises :class:`NoKey`."""
    return _private(octets).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def is_same(one: bytes, other: bytes) -> bool:
    """Are both the same key, in whatever form? False if one of them is none."""
    try:
        return pkcs8(one) == pkcs8(other)
    except NoKey:
        return False


def _private(octets: bytes) -> _Private:
    if b"ENCRYPTED" in octets:
        raise NoKey("is encrypted, and mailassay has nobody who could type the passphrase")
    found = next(_readings(octets), None)
    if found is None:
        raise NoKey("is not a private key")
    if not isinstance(found, RSAPrivateKey | Ed25519PrivateKey):
        kind = type(found).__name__.lstrip("_").removesuffix("PrivateKey")
        raise NoKey(f"is a key of the kind {kind}; DKIM has RSA and Ed25519")
    return found


def _readings(octets: bytes) -> Iterator[object]:
    """What the octets are, in one form after another."""
    if b"-----BEGIN" in octets:
        load = load_ssh_private_key if b"OPENSSH" in octets else load_pem_private_key
        yield from _tried(lambda: load(octets, None))
        return
    yield from _of_binary(octets)
    if not _NOT_BASE64.search(octets):
        try:
            decoded = base64.b64decode(octets)
        except binascii.Error:
            return
        if len(decoded) in (_SEED, _SEED_AND_PUBLIC):
            yield from _tried(lambda: _of_seed(decoded))
        yield from _of_binary(decoded)


def _of_binary(octets: bytes) -> Iterator[object]:
    yield from _tried(lambda: load_der_private_key(octets, None))


def _of_seed(octets: bytes) -> Ed25519PrivateKey:
    """A key as rspamd has it: the seed, and perhaps the public key after it. Raises ValueError if they disagree."""
    found = Ed25519PrivateKey.from_private_bytes(octets[:_SEED])
    if octets[_SEED:] not in (b"", found.public_key().public_bytes_raw()):
        raise ValueError("the public key is not that of the private one")
    return found


def _tried(load: Callable[[], object]) -> Iterator[object]:
    try:
        yield load()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # not in this form
        return
