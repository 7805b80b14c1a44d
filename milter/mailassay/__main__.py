"""The program: ``mailassay``, and ``python -m mailassay``."""

import signal
import sys


def main() -> int:
    """Run the command line. Returns the exit status."""
    if sys.argv[1:2] == ["serve"]:
        # Loading takes a moment, and the first process of a container would never see a signal that comes meanwhile.
        # A signal that is blocked waits until daemon.parent handles it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    from .cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
