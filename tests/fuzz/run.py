"""One target under atheris: ``python -m tests.fuzz.run TARGET [libFuzzer's options and folders]``."""

from __future__ import annotations

import logging
import sys
from random import Random

import atheris

_ROOMS = ["mailassay", "spf", "dkim", "authres", "idna.core", "dns.message", "dns.wire", "dns.rdata", "dns.name"]


def _mutated(data: bytes, most: int, seed: int) -> bytes:
    """A mutation of whole pieces, of one piece, or of anything; ``most`` octets at most."""
    random = Random(seed)
    pieces = data.split(b"\xff")
    at, other = random.randrange(len(pieces)), random.randrange(len(pieces))
    match random.randrange(8):
        case 0:
            pieces.insert(other, pieces[at])
        case 1:
            del pieces[at]
        case 2:
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case 3 | 4 if pieces[at]:
            # what kind of piece it is stays
            pieces[at] = pieces[at][:1] + atheris.Mutate(pieces[at][1:], len(pieces[at]) + 64)
        case _:
            return bytes(atheris.Mutate(data, most))
    return b"\xff".join(pieces)[:most]


def main() -> None:
    """Fuzz until libFuzzer has had enough; it ends the process itself."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=_ROOMS):
        from .targets import TARGETS
    logging.disable(logging.DEBUG)
    # to merge, libFuzzer starts itself again by what it takes for its name
    arguments = [f"{sys.executable} -m tests.fuzz.run {name}", *sys.argv[1:]]
    if TARGETS[name].pieces:
        atheris.Setup(arguments, TARGETS[name].run, custom_mutator=_mutated)
    else:
        atheris.Setup(arguments, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
