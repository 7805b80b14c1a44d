"""`mailassay` by a clock that can be set: the file ``MAILASSAY_CLOCK`` holds seconds since 1970, or nothing."""

import functools
import os
import sys
import time
from pathlib import Path

from mailassay.cli import main
from mailassay.daemon import callbacks
from mailassay.judge.session import Clocks, Session


def now() -> float:
    """What the file says; the time where it is empty."""
    text = Path(os.environ["MAILASSAY_CLOCK"]).read_text()
    return float(text) if text else time.time()


if __name__ == "__main__":
    callbacks.Session = functools.partial(Session, clocks=Clocks(now=now))  # type: ignore[assignment, attr-defined]
    sys.exit(main())
