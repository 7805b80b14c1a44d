"""Folders for what other users than the tests' must reach, such as the sockets that Postfix connects to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that every user can enter; pytest's own are closed to others, and any run of pytest closes them."""
    with TemporaryDirectory(prefix="mailassay-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
