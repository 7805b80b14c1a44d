"""The private keys that sign: read from their files, and refused if another program could not verify by them."""

from __future__ import annotations

import base64
import errno
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ..dkim import key as published
from ..domain import Domain
from . import permissions

if TYPE_CHECKING:
    from .private_key import Private

MIN_BITS, MAX_BITS = 1024, 4096  # RFC 8301 section 3.2
_MAX_OCTETS = 65_536  # of a file; an RSA key of 4096 bits has 3300
_PKCS8, _ENCRYPTED = b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_PKCS1 = b"-----BEGIN RSA PRIVATE KEY-----"
_OTHERS = tuple(b"-----BEGIN %s PRIVATE KEY-----" % each for each in (b"OPENSSH", b"EC", b"DSA"))
_DIGEST = bytes(range(32))  # any SHA-256
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:[.]{_LABEL})*")
MAX_SELECTOR = 100  # characters


class UnusableKey(ValueError):
    """The file has no key that can sign. The text says why, with the path; ``fix`` says what to do about it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and where its public part is published. It can be pickled for another process.

    ``pem`` is the content of the file; it is in no text about the key. ``record`` is the key record (RFC 6376 section
    3.6.1) that belongs to it. No key outlives the configuration that has it: ``_loaded`` has what was read from
    ``pem``, once it was needed.
    """

    domain: Domain
    selector: str
    algorithm: str
    pem: bytes = field(repr=False)
    record: str = field(repr=False, compare=False)
    _loaded: list[Private] = field(default_factory=list, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[SigningKey], tuple[Domain, str, str, bytes, str]]:
        return SigningKey, (self.domain, self.selector, self.algorithm, self.pem, self.record)

    def __str__(self) -> str:
        """As in the log: ``d/s``."""
        return f"{self.domain}/{self.selector}"

    def sign(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 (RFC 6376 section 3.3.1, RFC 8463 section 3)."""
        from . import private_key

        if not self._loaded:
            self._loaded.append(private_key.load(self.pem))
        [private] = self._loaded[:1]
        return private_key.sign(private, digest)

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
    except PermissionError as error:
        part, fix = permissions.closed(place, permissions.this_process) or (place, "AppArmor or SELinux may forbid it")
        where = "" if part == place else f" for {part}"
        raise UnusableKey(f"{place} cannot be read: {error.strerror}{where}", fix) from error
    except OSError as error:
        fix = f"make keys, and name them: {_making(domain)}" if isinstance(error, FileNotFoundError) else ""
        raise UnusableKey(f"{place} cannot be read: {error.strerror}", fix) from error
    return of(place, domain, selector, octets)


def of(place: str, domain: Domain, selector: str, octets: bytes) -> SigningKey:
    """The key of a selector, from the content of its file ``place``. Raises :class:`UnusableKey`."""
    from . import private_key

    private = _private(place, domain, octets)
    kind, public, bits = private_key.public(private)
    if kind == "rsa" and not MIN_BITS <= bits <= MAX_BITS:
        what = f"{place} is an RSA key of {bits} bits; verifiers take {MIN_BITS} to {MAX_BITS}"
        raise UnusableKey(what, _others(domain))
    record = f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"
    try:
        published.parse(record)
    except published.BadKey as error:
        raise UnusableKey(f"{place}: {error}", _others(domain)) from error
    key = SigningKey(domain, selector, f"{kind}-sha256", octets, record)
    if not (private_key.fits(private) and key.verifies(key.sign(_DIGEST), _DIGEST)):
        raise UnusableKey(f"{place} is damaged: nobody can verify its signatures", _others(domain))
    return key


def _octets(place: str) -> bytes:
    """The content of a file, without waiting for one that is no file. Raises OSError."""
    with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        return file.read(_MAX_OCTETS)


def _private(place: str, domain: Domain, octets: bytes) -> Private:
    from . import private_key

    if any(each in octets for each in _OTHERS):
        raise UnusableKey(f"{place} is a key of another form than PKCS#8", _others(domain))
    if _ENCRYPTED in octets or b"Proc-Type: 4,ENCRYPTED" in octets:
        raise UnusableKey(f"{place} is encrypted, and nobody is there to type the passphrase", _as_pkcs8(place))
    if _PKCS1 in octets:
        raise UnusableKey(f"{place} is a key of another form than PKCS#8", _as_pkcs8(place))
    if _PKCS8 not in octets:
        raise UnusableKey(f"{place} is not a private key", _others(domain))
    try:
        return private_key.load(octets)
    except private_key.Damaged as error:
        raise UnusableKey(f"{place} is damaged: no key can be read from it", _others(domain)) from error
    except private_key.OtherKind as error:
        raise UnusableKey(f"{place} is a key of the kind {error}; DKIM has RSA and Ed25519", _others(domain)) from error


def _making(domain: Domain) -> str:
    return f"mailassay key new {domain}"


def _others(domain: Domain) -> str:
    return f"make others, and name them instead: {_making(domain)}"


def _as_pkcs8(place: str) -> str:
    """The command that makes the key one of PKCS#8, which asks for the passphrase if there is one."""
    old, new = shlex.quote(place), shlex.quote(f"{place}.new")
    made = f"openssl pkcs8 -topk8 -nocrypt -in {old} -out {new}"
    return f"(umask 077 && {made}) && {permissions.let_read(f'{place}.new')} && mv {new} {old}"
