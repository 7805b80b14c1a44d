"""Questions asked together."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ..resolver import DnsTempError, Resolver


def start(questions: Iterable[tuple[str, str]], resolve: Resolver) -> None:
    """Ask for all that is wanted: who needs one answer after the other stops at the first that is not there yet."""
    for name, rdtype in questions:
        with suppress(DnsTempError):
            resolve(name, rdtype)
