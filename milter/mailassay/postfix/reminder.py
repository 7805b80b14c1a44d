"""What ``mailassay held --remind`` says about messages on hold: a mail, when it is due, and figures for metrics."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import NamedTuple

from .. import atomic

FOLDER = "/run/mailassay-held"  # for both files; systemd's RuntimeDirectory, if there is one
AGAIN = 86_400  # seconds after which the same messages are reported again
MOST_LISTED = 100
_REMINDED, _FIGURES = "reminded", "figures"
_MAX_FIGURES = 1000  # octets


class Figures(NamedTuple):
    """How many messages were on hold at a time, and since when the oldest was; times in seconds since 1970."""

    time: float
    messages: int
    oldest: float


def _file(name: str) -> Path:
    return Path(os.environ.get("RUNTIME_DIRECTORY", FOLDER), name)


def leave(figures: Figures) -> None:
    """Leave figures for another user's process. Raises OSError."""
    _write(_file(_FIGURES), figures._asdict())


def figures(path: Path | None = None) -> Figures | None:
    """The figures that were left, in this file if it is given; None if there are none."""
    try:
        with (path or Path(FOLDER, _FIGURES)).open("rb") as file:
            found = json.loads(file.read(_MAX_FIGURES))
        return Figures(float(found["time"]), int(found["messages"]), float(found["oldest"]))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def is_due(queue_ids: Sequence[str], now: float) -> bool:
    """Is there a message that no mail has reported, or was the last mail a day ago?

    ``now`` is in seconds since 1970. Messages reported before the machine started are reported again.
    """
    try:
        told = json.loads(_file(_REMINDED).read_bytes())
        return not set(queue_ids) <= set(told["queue_ids"]) or not 0 <= now - told["sent"] < AGAIN
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return True


def remember(queue_ids: Sequence[str], now: float) -> None:
    """Remember that a mail has reported these messages. Raises OSError."""
    _write(_file(_REMINDED), {"sent": now, "queue_ids": list(queue_ids)})


def _write(path: Path, found: object) -> None:
    """Write a file that every user can read. Raises OSError."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    # another user may own the folder, and root must not follow links of that user
    atomic.replace(path, json.dumps(found).encode(), 0o644)


def mail(to: str, host: str, oldest: str, lines: Sequence[str], now: float) -> bytes:
    """The mail. ``lines`` has a line for each message, and ``oldest`` is how long the first one has waited.

    No program replies to it (RFC 3834 section 5). Author domains are the only text in it that a sender wrote.
    """
    count = "1 message is" if len(lines) == 1 else f"{len(lines)} messages are"
    more = [f"and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else []
    text = [
        f"{count} on hold in Postfix, put there by mailassay, the oldest for {oldest}.",
        "Neither senders nor recipients are told, so nobody else will look.",
        "",
        "queue id, how long it has waited, author domain, policy setting:",
        "",
        *lines[:MOST_LISTED],
        *more,
        "",
        "    mailassay held",
        "    mailassay held show ID",
        "    mailassay held release ID",
        "    mailassay held delete ID",
        "",
        "The next mail comes when another message is held, or in a day if these still wait.",
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
