"""The DNS of the load, in a process of its own: each answer is made once, held back for the latency, and counted.

python -m tests.bench.dns ZONEFILE ADDRESS:PORT

A line on standard input is a latency in milliseconds from now on; the answer is the number of questions since the last.
"""

from __future__ import annotations

import sys

from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS

_MOST = 100_000


class Remembering(DnsServer):
    """The lab's server, quick enough for a load."""

    def __init__(self, zone: Zone, address: str, port: int) -> None:
        super().__init__(zone, address, port)
        self.questions = 0
        self._known: dict[tuple[bytes, bool], bytes] = {}

    def _answer(self, packet: bytes, *, tcp: bool) -> bytes:
        self.questions += 1
        key = packet[2:], tcp
        if key not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = super()._answer(packet, tcp=tcp)
            self.asked.clear()
        known = self._known[key]
        return known and packet[:2] + known[2:]


def main() -> None:
    """Serve until the end of standard input."""
    path, place = sys.argv[1:]
    address, _, port = place.rpartition(":")
    server = Remembering(Zone.load(path, limits=LIMITS), address, int(port))
    with server:
        print("ready", flush=True)
        for line in sys.stdin:
            server.latency = float(line) / 1000
            print(server.questions, flush=True)
            server.questions = 0


if __name__ == "__main__":
    main()
