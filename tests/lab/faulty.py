"""`mailassay` with faults.

Mail from boom@... makes the checks raise, a header field Boom the reading of the header, the queue id 4LINE the line
in the log, and the client 203.0.113.13 its connection. The second fork fails, and whoever started it ignored SIGCHLD.
"""

import errno
import itertools
import os
import signal
import sys
from ipaddress import ip_address

from mailassay.cli import main
from mailassay.judge import logline, session
from mailassay.judge.authenticate import Content, authenticate


def faulty_authenticate(connection, transaction, *rest, **more):
    """Fails at the end of a message."""
    if transaction.mail_from.startswith("boom@"):
        raise LookupError("a fault at the end")
    return authenticate(connection, transaction, *rest, **more)


class FaultyContent(Content):
    """Fails at the end of the header section."""

    def __init__(self, headers, *rest, **more):
        if headers.named(b"Boom"):
            raise LookupError("a fault in the header")
        super().__init__(headers, *rest, **more)


class FaultyLine(logline.Line):
    """Fails when everything is decided."""

    def __init__(self, outcome):
        if outcome.queue_id == "4LINE":
            raise LookupError("a fault in the log")
        super().__init__(outcome)


def faulty_connect(self, client_ip, **more):
    """Fails before there is a message."""
    if client_ip == ip_address("203.0.113.13"):
        raise LookupError("a fault at the beginning")
    connect(self, client_ip, **more)


def faulty_fork():
    """As where there are too many processes."""
    if next(forks) == 1:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return fork()


forks, fork = itertools.count(), os.fork
connect = session.Session.connect

if __name__ == "__main__":
    session.authenticate, session.Content = faulty_authenticate, FaultyContent
    os.fork = faulty_fork
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    session.Session.connect, logline.Line = faulty_connect, FaultyLine
    sys.exit(main())
