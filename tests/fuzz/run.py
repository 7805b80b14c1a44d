"""One target under atheris: ``python -m tests.fuzz.run TARGET [libFuzzer's options and folders]``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from random import Random

import atheris

_ROOMS = ["mailassay", "spf", "dkim", "authres", "idna.core", "dns.message", "dns.wire", "dns.rdata", "dns.name"]


def _mutator(seeds: list[bytes]) -> Callable[[bytes, int, int], bytes]:
    """Mutations for inputs that are made of pieces.

    An attack is a genuine message with a few things changed, so half of the time one of the ``seeds`` is changed, and
    what libFuzzer has learnt lends its pieces.
    """

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        lent = data.split(b"\xff")
        pieces = (random.choice(seeds) if random.randrange(2) else data).split(b"\xff")
        for _ in range(random.randrange(4)):
            at, other = random.randrange(len(pieces)), random.randrange(len(pieces))
            match random.randrange(7):
                case 0:
                    pieces.insert(at, pieces[other])
                case 1:
                    pieces.insert(at, random.choice(lent))
                case 2:
                    pieces[at] = random.choice(lent)
                case 3 if len(pieces) > 1:
                    del pieces[at]
                case 4:
                    pieces[at], pieces[other] = pieces[other], pieces[at]
                case _ if pieces[at]:
                    # what kind of piece it is stays
                    pieces[at] = pieces[at][:1] + atheris.Mutate(pieces[at][1:], len(pieces[at]) + 64)
        found = b"\xff".join(pieces)[:most]
        return found if found != data else bytes(atheris.Mutate(data, most))

    return mutated


def main() -> None:
    """Fuzz until libFuzzer has had enough; it ends the process itself."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=_ROOMS):
        from .seeds import seeds
        from .targets import TARGETS
    logging.disable(logging.DEBUG)
    # to merge, libFuzzer starts itself again by what it takes for its name
    arguments = [f"{sys.executable} -m tests.fuzz.run {name}", *sys.argv[1:]]
    if TARGETS[name].pieces:
        given = [data for target, data in seeds() if target == name]
        atheris.Setup(arguments, TARGETS[name].run, custom_mutator=_mutator(given))
    else:
        atheris.Setup(arguments, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
