"""Signatures for the messages of ``tests/messages``, the same every time.

python -m tests.lab.stamp DOMAIN                    its key record
python -m tests.lab.stamp DOMAIN TAGS < MESSAGE     the message with a signature by its key on top

TAGS is the value of the DKIM-Signature field, with ``{bh}`` and ``{b}`` where the hash and the signature belong. It
need not make sense: what is hashed follows its c=, h= and l=, and the key is that of DOMAIN, whatever d= says.
"""

from __future__ import annotations

import base64
import re
import sys
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .sign import Key, written


def key(domain: str) -> Key:
    """The one Ed25519 key of a domain."""
    seed = sha256(domain.encode()).digest()
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return Key(b"ed25519-sha256", base64.b64encode(seed), base64.b64encode(public).decode())


def stamped(message: bytes, tags: bytes, by: Key, name: bytes = b"DKIM-Signature") -> bytes:
    """The message with a signature field on top."""
    given = dict(re.findall(rb"(?:^|;)\s*([a-z]+)=([^;]*)", tags))
    header, _, body = given.get(b"c", b"simple").partition(b"/")
    length = given.get(b"l")
    return written(
        message,
        tags,
        by,
        name=name,
        covered=[each.strip().lower() for each in given[b"h"].split(b":")],
        relaxed=(header.strip() == b"relaxed", body.strip() == b"relaxed"),
        length=int(length) if length else None,
    )


def main() -> None:
    """See above."""
    domain, *tags = sys.argv[1:]
    if tags:
        message = sys.stdin.buffer.read()
        sys.stdout.buffer.write(stamped(message, b" " + tags[0].encode(), key(domain)))
    else:
        print(key(domain).record)


if __name__ == "__main__":
    main()
