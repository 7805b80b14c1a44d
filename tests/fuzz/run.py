"""One target under atheris: ``python -m tests.fuzz.run TARGET [libFuzzer's options and folders]``."""

from __future__ import annotations

import logging
import sys

import atheris

_ROOMS = ["mailassay", "spf", "dkim", "authres", "idna.core", "dns.message", "dns.wire", "dns.rdata", "dns.name"]


def main() -> None:
    """Fuzz until libFuzzer has had enough; it ends the process itself."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=_ROOMS):
        from .targets import TARGETS
    logging.disable(logging.DEBUG)
    atheris.Setup(sys.argv, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
