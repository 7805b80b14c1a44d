"""Starts questions together."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ..resolver import DnsTempError, Resolver


def start(questions: Iterable[tuple[str, str]], resolve: Resolver) -> None:
    """Start all these questions. Code that reads one answer after the other would stop at the first missing one."""
    for name, rdtype in questions:
        with suppress(DnsTempError):
            resolve(name, rdtype)
