"""Files that are replaced at once: a reader sees the old content or the new one, never a part of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace(
    path: Path, octets: bytes, mode: int | None = None, *, group: int | None = None, durable: bool = False
) -> None:
    """Write a file in place of the one of this name, by rename(2). Raises OSError; then the old one is still there.

    ``mode`` are its permissions; None for those that the umask gives. ``group`` is the number of its group, None for
    that of the process or folder. If ``path`` is a symbolic link, the file takes the place of the link. Only if it is
    ``durable``, the content is on the disk before the old one is gone.
    """
    # Another user may own the folder: the name cannot be guessed, and nothing that is there is opened
    new = path.with_name(f".mailassay.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(new, flags, 0o666 if mode is None else 0o600)
    try:
        with open(descriptor, "wb") as file:
            if group is not None:
                os.fchown(descriptor, -1, group)
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(octets)
            if durable:
                file.flush()
                os.fsync(descriptor)
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
