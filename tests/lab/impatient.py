"""`mailassay` that asks its workers often and waits for them less than it does in earnest.

The environment may name another file for /etc/resolv.conf, and the port of the servers in it. What is heard of a name
that begins with "dead." ends the thread that listens to DNS, "still." lets it stand still.
"""

import os
import sys
import time
from typing import Any

from mailassay import nameservers
from mailassay.cli import main
from mailassay.daemon import parent
from tests.lab.program import overwrite

hear = nameservers._Listener._hear


def faulty_hear(self: nameservers._Listener, exchange: Any, channel: Any) -> None:
    """A fault of ours."""
    if exchange.question.name.startswith("dead."):
        raise LookupError("a fault of DNS")
    if exchange.question.name.startswith("still."):
        time.sleep(1000)
    hear(self, exchange, channel)


if __name__ == "__main__":
    overwrite(parent, _PING_EVERY=0.1, _MAX_SILENCE=1.0, _MAX_SENDING=0.5)
    overwrite(nameservers, _MAX_STILL=0.5)
    overwrite(nameservers._Listener, _hear=faulty_hear)
    nameservers.RESOLV_CONF = os.environ.get("RESOLV_CONF", nameservers.RESOLV_CONF)
    nameservers.PORT = int(os.environ.get("DNS_PORT", nameservers.PORT))
    sys.exit(main())
