"""`mailassay` that asks its workers often and waits for them less than it does in earnest."""

import sys

from mailassay.cli import main
from mailassay.daemon import parent

if __name__ == "__main__":
    parent._PING_EVERY, parent._MAX_SILENCE, parent._MAX_SENDING = 0.1, 1.0, 0.5
    sys.exit(main())
