"""`mailassay` with a socket of systemd's: the descriptor that MAILASSAY_SOCKET names comes as number 3."""

import os
import sys

from mailassay.cli import main

if __name__ == "__main__":
    os.dup2(int(os.environ["MAILASSAY_SOCKET"]), 3)
    sys.exit(main())
