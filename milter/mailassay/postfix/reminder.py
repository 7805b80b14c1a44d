"""A mail that says what Postfix holds on our word: when it is due, and what is in it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

FOLDER = "/run/mailassay-held"  # what has been said of which messages; systemd's RuntimeDirectory, if it gives one
AGAIN = 86_400  # seconds, after which the same messages are worth another mail
MOST_LISTED = 100


def _file() -> Path:
    return Path(os.environ.get("RUNTIME_DIRECTORY", FOLDER)) / "reminded"


def is_due(queue_ids: Sequence[str], now: float) -> bool:
    """Is there a message of which no mail has told, or has none told anything for a day?

    ``now`` in seconds since 1970. What was told before the machine started is told again.
    """
    try:
        told = json.loads(_file().read_bytes())
        return not set(queue_ids) <= set(told["queue_ids"]) or not 0 <= now - told["sent"] < AGAIN
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return True


def remember(queue_ids: Sequence[str], now: float) -> None:
    """A mail has told of these. Raises OSError."""
    path = _file()
    path.parent.mkdir(mode=0o755, exist_ok=True)
    # another user may own the folder, whose links root must not follow
    descriptor, new = tempfile.mkstemp(dir=path.parent)
    with open(descriptor, "w") as file:
        os.fchmod(descriptor, 0o644)
        json.dump({"sent": now, "queue_ids": list(queue_ids)}, file)
    os.replace(new, path)


def mail(to: str, host: str, oldest: str, lines: Sequence[str], now: float) -> bytes:
    """The message; ``lines`` are what is held, one each, and ``oldest`` is how long the first has waited.

    No program answers it (RFC 3834 section 5), and nothing in it but author domains was written by a sender.
    """
    count = "1 message is" if len(lines) == 1 else f"{len(lines)} messages are"
    more = [f"and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else []
    text = [
        f"{count} held by Postfix on the word of mailassay, the oldest for {oldest}.",
        "Neither senders nor recipients are told, so nobody else will look.",
        "",
        "queue id, how long it waits, author domain, line of the policy:",
        "",
        *lines[:MOST_LISTED],
        *more,
        "",
        "    mailassay held",
        "    mailassay held show ID",
        "    mailassay held release ID",
        "    mailassay held delete ID",
        "",
        "The next mail comes with the next message that is held, or in a day if these still wait.",
        "",
    ]
    message = EmailMessage()
    message["From"] = "mailassay <postmaster>"
    message["To"] = to
    message["Subject"] = f"{count} held on {host}"
    message["Date"] = formatdate(now, localtime=True)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(text))
    return message.as_bytes()
