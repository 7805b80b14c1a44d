"""Makes private keys, each in a file that only root can write, and only root and the service can read."""

from __future__ import annotations

import grp
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from string import ascii_lowercase

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ..domain import Domain
from ..sign import keys
from ..sign.permissions import group_name

RSA, ED25519 = "rsa", "ed25519"
DEFAULT_BITS = 2048  # RFC 8301 section 3.2
_EXPONENT = 65537  # RFC 6376 section 3.3.1 leaves the choice; every verifier has this one
_FOLDER, _FILE = 0o750, 0o640
_GROUP = "mailassay"


class Exists(Exception):
    """A file is there already. No key is overwritten."""


def folder(directory: str, domain: Domain) -> list[str]:
    """Make the folder of a domain, if it is missing; likewise that of all keys. Raises OSError.

    Returns what could not be done, each with the command that does it.
    """
    undone = []
    if not os.path.isdir(directory):
        undone += _new_folder(directory, _service())
    place = os.path.join(directory, domain)
    if not os.path.isdir(place):
        undone += _new_folder(place, group(directory))
    return undone


def _new_folder(place: str, group: int) -> list[str]:
    os.mkdir(place, 0o700)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _own(descriptor, place, _FOLDER, group)
    finally:
        os.close(descriptor)


def make(directory: str, domain: Domain, selector: str, kind: str, bits: int = DEFAULT_BITS) -> list[str]:
    """Make the key of a selector in the folder of its domain: ``rsa`` with so many bits, or ``ed25519``.

    Returns what could not be done. Raises :class:`Exists`, OSError; then there is no new file.
    """
    private = rsa.generate_private_key(_EXPONENT, bits) if kind == RSA else ed25519.Ed25519PrivateKey.generate()
    octets = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return write(directory, domain, selector, octets)


def write(directory: str, domain: Domain, selector: str, octets: bytes) -> list[str]:
    """Write the file of a key into the folder of its domain.

    Returns what could not be done. Raises :class:`Exists`, OSError; then there is no new file.
    """
    place = keys.path(directory, domain, selector)
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Exists(f"{place} is there already, and no key is overwritten") from error
    try:
        with open(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(descriptor)
            undone = _own(descriptor, place, _FILE, group(directory))
        _on_disk(os.path.dirname(place))
    except BaseException:
        with suppress(OSError):
            os.unlink(place)
        raise
    return undone


def selectors(taken: Callable[[str], bool], now: float) -> Iterator[str]:
    """Selectors that nothing has: ``2026a``, ``2026b``, and after ``2026z`` ``2026aa``. ``now``: seconds since 1970."""
    year = time.gmtime(now).tm_year
    yield from (name for letters in _letters() if not taken(name := f"{year}{letters}"))


def _letters() -> Iterator[str]:
    for number in count():
        letters, rest = "", number
        while rest >= 0:
            rest, letter = divmod(rest, len(ascii_lowercase))
            letters, rest = ascii_lowercase[letter] + letters, rest - 1
        yield letters


def _own(descriptor: int, place: str, mode: int, group: int) -> list[str]:
    """Give a new file or folder its group and permissions; the group first, so that no other group can read it.

    By its descriptor, since its path may lead elsewhere by now. Returns what could not be done: only root may give
    files to any group.
    """
    try:
        os.fchown(descriptor, -1, group)
    except PermissionError:
        quoted, name = shlex.quote(place), group_name(group)
        return [f"the service cannot read {place}; as root: chgrp {name} {quoted} && chmod {mode:04o} {quoted}"]
    os.fchmod(descriptor, mode)
    return []


def group(directory: str) -> int:
    """The group of what is made below a folder: that of the folder, or of the service if it is root's. Raises OSError.

    Whoever made the folder by hand may have left it to root, and the service could not read the keys.
    """
    return os.stat(directory).st_gid or _service()


def _service() -> int:
    """The group of the service, or that of this process if there is none."""
    try:
        return grp.getgrnam(_GROUP).gr_gid
    except KeyError:
        return os.getegid()


def _on_disk(place: str) -> None:
    """Force the names in a folder to the disk: a key whose record is published must not be lost."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
