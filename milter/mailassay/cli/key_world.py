"""What the actions of ``mailassay key`` need from outside: the time, and DNS."""

from __future__ import annotations

import argparse
import time

from ..config import Settings
from ..key import published
from ..key.check import names
from ..key.folder import Folder
from ..key.published import Published
from ..nameservers import PORT, Nameservers
from ..resolver import Source


def now() -> int:
    """The time in seconds since 1970."""
    return int(time.time())


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def look(found: Settings, arguments: argparse.Namespace, answers: Source, folder: Folder) -> dict[str, Published]:
    """What the authoritative servers have for the keys of a domain, by selector. ``answers`` is a resolver."""
    opened: list[Nameservers] = []

    def at(address: str) -> Source:
        if arguments.zone:
            return answers
        opened.append(Nameservers([(address, PORT)], found.dns.timeout, found.policy.limits))
        return opened[-1]

    wanted = names(folder)
    try:
        by_name = published.look(wanted.values(), answers, at)
    finally:
        for each in opened:
            each.close()
    return {selector: by_name[name] for selector, name in wanted.items()}
