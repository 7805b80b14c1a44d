"""`mailassay` where there are too many processes already."""

import errno
import os
import sys

from mailassay.cli import main


def forkless() -> int:
    """As where the limit is reached."""
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


if __name__ == "__main__":
    os.fork = forkless
    sys.exit(main())
