"""`mailassay` that asks its workers often and waits for them less than it does in earnest.

The environment may name another file for /etc/resolv.conf, and the port of the servers in it.
"""

import os
import sys

from mailassay import network
from mailassay.cli import main
from mailassay.daemon import parent

if __name__ == "__main__":
    parent._PING_EVERY, parent._MAX_SILENCE, parent._MAX_SENDING = 0.1, 1.0, 0.5
    network.RESOLV_CONF = os.environ.get("RESOLV_CONF", network.RESOLV_CONF)
    network.PORT = int(os.environ.get("DNS_PORT", network.PORT))
    sys.exit(main())
