"""The sample of messages for which the policy is enforced: which ones, only this host knows."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..message import Headers


def _secret() -> bytes:
    """A secret that all processes of this host share: machine-id(5), or else a random number of this process."""
    try:
        return hashlib.sha256(b"mailassay" + Path("/etc/machine-id").read_bytes()).digest()
    except OSError:
        return os.urandom(32)


HOST_SECRET = _secret()


def sample(headers: Headers, secret: bytes) -> int:
    """A number from 0 to 99: the same each time a message is sent again, and unknown to anybody without the secret."""
    identity = [field.value for name in (b"message-id", b"from", b"date") for field in headers.named(name)]
    return int.from_bytes(hashlib.blake2b(b"\0".join(identity), key=secret, digest_size=8).digest()) % 100
