"""The files of the old configuration, read with a bound, and only if they are files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator

from .remark import Place

# the first or last line of a key in PEM, or a line that has nothing but base64
_KEY = re.compile(
    rb"--[- ]*(?:BEGIN|END)[^\n]*PRIVATE KEY|^[ \t]*(?:[A-Za-z0-9+/]{60,}={0,2}|[A-Za-z0-9+/]{40,}={1,2})[ \t]*\r?$",
    re.MULTILINE,
)
MAX_OCTETS = 16 << 20  # of one file; a table of a hundred thousand domains has less


class Unreadable(Exception):
    """The file cannot be read. The text says why, without its name."""


def octets(path: str, most: int = MAX_OCTETS) -> bytes:
    """The content of a file. Does not wait for one that is no file. Raises :class:`Unreadable`."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("is not a file")
            found = file.read(most + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        # a NUL in the path
        raise Unreadable("cannot be the name of a file") from error
    if len(found) > most:
        raise Unreadable(f"has more than {most} octets, which is more than is read")
    return found


def text(path: str) -> str:
    """A configuration or a table; octets that are not UTF-8 stay as they are. Raises :class:`Unreadable`.

    A key of several lines belongs into a file of its own. It is refused here, so that no message quotes a line of it.
    """
    found = octets(path)
    if b"\0" in found:
        raise Unreadable("is not a text file: it has a NUL")
    if key := _KEY.search(found):
        line = found.count(b"\n", 0, key.start()) + 1
        raise Unreadable(f"has a private key in line {line}, which belongs into a file of its own")
    return found.decode(errors="surrogateescape")


def lines(path: str) -> Iterator[tuple[Place, str]]:
    """The lines of a text file. Raises :class:`Unreadable`."""
    for number, line in enumerate(text(path).split("\n"), 1):
        yield Place(path, number), line
