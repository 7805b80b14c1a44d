"""`mailassay` that asks its workers often, and takes mail from unanswered@... for mail without an answer from DNS."""

import sys
from dataclasses import replace

from mailassay.cli import main
from mailassay.conversation import Conversation
from mailassay.daemon import parent


def end_of_message(self):
    """As a message ends, and what is to be counted."""
    unanswered = self._mail.transaction.mail_from.startswith("unanswered@")
    return replace(end(self), unanswered=unanswered)


end = Conversation.end_of_message

if __name__ == "__main__":
    parent._PING_EVERY = 0.1
    Conversation.end_of_message = end_of_message
    sys.exit(main())
