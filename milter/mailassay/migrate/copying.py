"""Private keys on their way to where mailassay reads them. None is ever overwritten, printed or logged."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from ..domain import Domain
from ..key import making
from ..sign import SigningKey, keys
from .plan import Plan, Use
from .private_key import NoKey, is_same, pkcs8
from .remark import Code, error
from .source import Unreadable, octets

_MAX_OCTETS = 65_536  # of the file of a key


class State(Enum):
    """What is at the place of a copy."""

    MISSING = "missing"
    THERE = "there"  # this very key
    OTHER = "other"  # another key, or something that cannot be read


@dataclass(frozen=True, slots=True)
class Copy:
    """A private key for the file ``place``, and where it comes from."""

    use: Use
    key: SigningKey
    place: str

    def state(self) -> State:
        """What is at its place now."""
        if not os.path.lexists(self.place):
            return State.MISSING
        try:
            there = octets(self.place, _MAX_OCTETS)
        except Unreadable:
            return State.OTHER
        return State.THERE if is_same(there, self.key.pem) else State.OTHER


def copies(plan: Plan, directory: str) -> list[Copy]:
    """The keys of a plan, for the files below ``directory``. A key that cannot be used is taken out of the plan."""
    found = list[Copy]()
    for domain in [*plan.domains]:
        for use in [*plan.domains[domain]]:
            copy = _copy(plan, directory, domain, use)
            if copy:
                found.append(copy)
            else:
                plan.domains[domain].remove(use)
                plan.left_out.append((domain, use))
        if not plan.domains[domain]:
            del plan.domains[domain]
    return found


def _copy(plan: Plan, directory: str, domain: Domain, use: Use) -> Copy | None:
    place = keys.path(directory, domain, use.selector)
    what = f"{domain} cannot be signed for by the selector {use.selector}: {use.source}"
    try:
        content = octets(use.source.path, _MAX_OCTETS) if use.source.path else use.source.octets
        return Copy(use, keys.of(place, domain, use.selector, pkcs8(content)), place)
    except Unreadable as trouble:
        fix = "Run this as root" if os.geteuid() and os.path.lexists(use.source.path) else ""
        plan.say(error(use.place, Code.KEY, f"{what} {trouble}", fix))
    except NoKey as trouble:
        plan.say(error(use.place, Code.KEY, f"{what} {trouble}"))
    except keys.UnusableKey as trouble:
        plan.say(error(use.place, Code.KEY, f"{what} cannot be used: {trouble}", trouble.fix))
    return None


def write(wanted: Sequence[Copy], directory: str) -> Iterator[tuple[Copy, list[str]]]:
    """Write the copies that are missing, and yield each once it is there, with what could not be done.

    Files and folders get the group of ``directory``, so that the service can read them. Raises OSError, and
    making.Exists if a file has come meanwhile; what was written until then stays.
    """
    for copy in wanted:
        if copy.state() is State.MISSING:
            undone = making.folder(directory, copy.key.domain)
            undone += making.write(directory, copy.key.domain, copy.key.selector, copy.key.pem)
            yield copy, undone
