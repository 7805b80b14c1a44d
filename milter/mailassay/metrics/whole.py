"""Files that are replaced as a whole, so no reader sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace(path: Path, octets: bytes, mode: int) -> None:
    """Write a file with these permissions in place of the one of this name. Raises OSError."""
    # Another user may own the folder: no link of theirs is followed
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(octets)
        os.replace(new, path)
    except OSError:
        os.unlink(new)
        raise
