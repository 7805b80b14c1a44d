"""`mailassay` with faults: mail from boom@... makes the checks raise, a header field Boom the reading of the header."""

import sys

from mailassay import conversation
from mailassay.cli import main
from mailassay.pipeline import Content, authenticate


def faulty_authenticate(connection, transaction, *rest):
    """Fails at the end of a message."""
    if transaction.mail_from.startswith("boom@"):
        raise LookupError("a fault at the end")
    return authenticate(connection, transaction, *rest)


class FaultyContent(Content):
    """Fails at the end of the header section."""

    def __init__(self, headers, *rest, **more):
        if headers.named(b"Boom"):
            raise LookupError("a fault in the header")
        super().__init__(headers, *rest, **more)


if __name__ == "__main__":
    conversation.authenticate, conversation.Content = faulty_authenticate, FaultyContent
    sys.exit(main())
