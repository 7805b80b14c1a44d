"""Makes keys for a domain, all of them or none, under selectors that nothing has or had."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ..sign import keys
from . import making, record, ring
from .folder import Folder
from .ring import Kept


class Wanted(NamedTuple):
    """A key to be made; ``bits`` are those of an RSA key."""

    kind: str
    bits: int = making.DEFAULT_BITS


def add(found: Folder, wanted: Sequence[Wanted], now: int, chosen: Sequence[str] = ()) -> tuple[list[Kept], list[str]]:
    """Make the files, and write the keys down as prepared. Call it while the keys are locked.

    Returns the keys, and what could not be done. If one of them fails, nothing is left of any. ``chosen`` are their
    selectors, if they are given. Raises Exists if a selector is used or was, BadDomain if the name of a record would be
    too long, UnusableKey, OSError.
    """
    directory, domain = found.directory, found.domain
    for each in chosen:
        if found.is_taken(each):
            what = f"the selector {each} of {domain} is used, or was: verifiers may know its old key"
            raise making.Exists(f"{what}; choose another one")
    if len({each.lower() for each in chosen}) < len(chosen):
        raise making.Exists("two keys cannot have one selector")
    selectors = iter(chosen) if chosen else making.selectors(found.is_taken, now)
    made: list[Kept] = []
    undone: list[str] = []
    places: list[str] = []
    try:
        for key, selector in zip(wanted, selectors, strict=False):
            # whether its name fits, before there is a file
            record.of(selector, domain, "")
            undone += making.make(directory, domain, selector, key.kind, key.bits)
            places.append(keys.path(directory, domain, selector))
            made.append(Kept.new(selector, keys.read(directory, domain, selector).record, now))
        ring.save(directory, domain, found.ring.put(*made))
    except BaseException:
        for place in places:
            with suppress(OSError):
                os.unlink(place)
        raise
    return made, undone
