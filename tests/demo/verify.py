"""dkimpy's word on each signature of a message: python -m tests.demo.verify ADDRESS PORT FILE

Nothing of mailassay runs in this process. The public keys come from the DNS server at that address.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import dkim
import dns.resolver


def main(address: str, port: str, file: str) -> int:
    """Print a line for each signature, from the top; 1 where one fails, or where there is none."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [address], int(port)

    def record(name: bytes, timeout: float = 5) -> bytes:
        [answer] = resolver.resolve(name.decode(), "TXT", lifetime=timeout)
        return b"".join(answer.strings)

    message = Path(file).read_bytes()
    header = re.split(rb"\r?\n\r?\n", message, maxsplit=1)[0]
    passed = []
    for number in range(len(re.findall(rb"(?im)^dkim-signature:", header))):
        found = dkim.DKIM(message)
        try:
            passed.append(found.verify(number, dnsfunc=record))
        except dkim.ValidationError:
            passed.append(False)
        tags = {name.decode(): value.decode() for name, value in found.signature_fields.items()}
        word = "pass" if passed[-1] else "fail"
        print(f"dkimpy {version('dkimpy')}: {tags['a']} by {tags['d']}, selector {tags['s']}: {word}")
    return 0 if passed and all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
