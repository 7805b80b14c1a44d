"""The private keys that sign: read from their files, and refused if another program could not verify by them."""

from __future__ import annotations

import base64
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ..dkim import key as published
from ..domain import Domain

MIN_BITS, MAX_BITS = 1024, 4096  # RFC 8301 section 3.2
_MAX_OCTETS = 65_536  # of a file; an RSA key of 4096 bits has 3300
_PKCS8, _ENCRYPTED = b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_OTHERS = tuple(b"-----BEGIN %s PRIVATE KEY-----" % each for each in (b"RSA", b"OPENSSH", b"EC", b"DSA"))
_PADDING, _SHA256 = PKCS1v15(), Prehashed(SHA256())
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:[.]{_LABEL})*")
MAX_SELECTOR = 100  # characters

_Private: TypeAlias = RSAPrivateKey | Ed25519PrivateKey


class UnusableKey(ValueError):
    """The file has no key that can sign. The text says why, with the path; ``fix`` says what to do about it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and where its public part is published. It can be pickled for another process.

    ``pem`` is the content of the file; it is in no text about the key. ``record`` is the key record (RFC 6376 section
    3.6.1) that belongs to it.
    """

    domain: Domain
    selector: str
    algorithm: str
    pem: bytes = field(repr=False)
    record: str = field(repr=False, compare=False)

    def __str__(self) -> str:
        """As in the log: ``d/s``."""
        return f"{self.domain}/{self.selector}"

    def sign(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 (RFC 6376 section 3.3.1, RFC 8463 section 3)."""
        private = _known(self.pem)
        if isinstance(private, RSAPrivateKey):
            return private.sign(digest, _PADDING, _SHA256)
        return private.sign(digest)

    def verifies(self, signature: bytes, digest: bytes) -> bool:
        """Did this key make ``signature`` over the SHA-256 ``digest``?"""
        return published.parse(self.record).verifies(signature, digest)


Keys: TypeAlias = Mapping[Domain, tuple[SigningKey, ...]]
"""The keys of each domain, in the order of the configuration."""


def is_selector(text: str) -> bool:
    """Is this a selector (RFC 6376 section 3.1): labels that are the name of a file too?"""
    return len(text) <= MAX_SELECTOR and bool(_SELECTOR.fullmatch(text))


def path(directory: str, domain: Domain, selector: str) -> str:
    """The file of a key."""
    return os.path.join(directory, domain, f"{selector}.pem")


def read(directory: str, domain: Domain, selector: str) -> SigningKey:
    """Read the key of a selector. Raises :class:`UnusableKey`."""
    place = path(directory, domain, selector)
    try:
        octets = _octets(place)
    except OSError as error:
        raise UnusableKey(f"{place} cannot be read: {error.strerror}", _readable(place, error)) from error
    return of(place, domain, selector, octets)


def of(place: str, domain: Domain, selector: str, octets: bytes) -> SigningKey:
    """The key of a selector, from the content of its file ``place``. Raises :class:`UnusableKey`."""
    private = _private(place, octets)
    algorithm, record = "ed25519-sha256", _record("ed25519", _raw(private))
    if isinstance(private, RSAPrivateKey):
        if not MIN_BITS <= private.key_size <= MAX_BITS:
            what = f"{place} is an RSA key of {private.key_size} bits; verifiers take {MIN_BITS} to {MAX_BITS}"
            raise UnusableKey(what, f"make one of 2048 bits under another selector: {_making(place)}")
        algorithm, record = "rsa-sha256", _record("rsa", _spki(private))
    try:
        published.parse(record)
    except published.BadKey as error:
        raise UnusableKey(f"{place}: {error}", f"make another key: {_making(place)}") from error
    return SigningKey(domain, selector, algorithm, octets, record)


def _octets(place: str) -> bytes:
    """The content of a file, without waiting for one that is no file. Raises OSError and :class:`UnusableKey`."""
    with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UnusableKey(f"{place} is not a file", f"make a key: {_making(place)}")
        return file.read(_MAX_OCTETS)


def _private(place: str, octets: bytes) -> _Private:
    quoted = shlex.quote(place)
    as_pkcs8 = f"openssl pkcs8 -topk8 -nocrypt -in {quoted} -out {shlex.quote(place + '.new')}"
    if _ENCRYPTED in octets or b"Proc-Type: 4,ENCRYPTED" in octets:
        raise UnusableKey(f"{place} is encrypted, and nobody is there to type the passphrase", as_pkcs8)
    if any(each in octets for each in _OTHERS):
        raise UnusableKey(f"{place} is a key of another form than PKCS#8", as_pkcs8)
    if _PKCS8 not in octets:
        raise UnusableKey(f"{place} is not a private key", f"make one: {_making(place)}")
    try:
        private = load_pem_private_key(octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey(f"{place} is damaged: no key can be read from it", f"make one: {_making(place)}") from error
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        kind = type(private).__name__.lstrip("_").removesuffix("PrivateKey")
        raise UnusableKey(f"{place} is a key of the kind {kind}; DKIM has RSA and Ed25519", _making(place))
    return private


def _making(place: str) -> str:
    return f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {shlex.quote(place)}"


def _readable(place: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"make it: {_making(place)}"
    if isinstance(error, PermissionError):
        quoted = shlex.quote(place)
        return f"chgrp mailassay {quoted} && chmod 0640 {quoted}"
    return ""


def _raw(private: _Private) -> bytes:
    return b"" if isinstance(private, RSAPrivateKey) else private.public_key().public_bytes_raw()


def _spki(private: RSAPrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _record(kind: str, public: bytes) -> str:
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"


@lru_cache(maxsize=4096)
def _known(pem: bytes) -> _Private:
    # the key was proven when it was read from its file; to prove it again would take each worker longer than to sign
    private = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, RSAPrivateKey | Ed25519PrivateKey)
    return private


def doubts(place: str, directory: str) -> Iterator[tuple[str, str]]:
    """What makes a key unsafe: others can read or replace it. Each with the command that mends it.

    The permissions that count are those of the file and of the two folders above it; a path that is missing is passed
    over.
    """
    for each, forbidden, what in (
        (place, stat.S_IROTH, "everybody on this host can read the key, and sign with it"),
        (place, stat.S_IWOTH | stat.S_IWGRP, "others than its owner can replace the key"),
        (os.path.dirname(place), stat.S_IWOTH, "everybody on this host can replace the key"),
        (directory, stat.S_IWOTH, "everybody on this host can replace the keys"),
    ):
        try:
            mode = stat.S_IMODE(os.stat(each).st_mode)
        except OSError:
            continue
        if mode & forbidden:
            fewer = "o-r" if forbidden == stat.S_IROTH else "go-w"
            yield f"{each} has the mode {mode:04o}: {what}", f"chmod {fewer} {shlex.quote(each)}"
