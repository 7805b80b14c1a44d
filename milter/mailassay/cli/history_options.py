"""What the commands that read the history have in common."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from .. import moment
from ..config import History, KeptAddresses, Problem
from ..terminal import complain, printable

if TYPE_CHECKING:
    from ..store.database import Reading
    from ..store.reader import Reader

MOST = 100_000
"""Messages of one command: all are in memory before the oldest is shown."""
_TIMES = "2d, 12h, yesterday, 10:00, 2026-11-01, 2026-11-01T10:00"


def since(text: str) -> float:
    """A time for argparse. Raises its error."""
    try:
        return moment.since(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; examples are {_TIMES}") from error


def takes_since(parser: argparse.ArgumentParser) -> None:
    """``--since``."""
    parser.add_argument(
        "--since",
        type=since,
        metavar="TIME",
        help=f"only messages from this time on: {_TIMES}",
    )


def number(text: str) -> int:
    """A number of messages for argparse. Raises its error."""
    if not re.fullmatch("[0-9]{1,9}", text) or not 0 < int(text) <= MOST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of messages, such as 20; for more than {MOST}, ask for one span of time after "
            "the other (--since, --until)"
        )
    return int(text)


def not_empty(text: str) -> str:
    """A text for argparse. An empty one, perhaps of a variable that is not set, would select all. Raises its error."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a text that is not empty")
    return utf8(text)


def utf8(text: str) -> str:
    """A text for argparse. Raises its error if that is not UTF-8: no database can be asked for it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is not UTF-8") from error
    return text


def read(command: str, history: History, wrong: Sequence[Problem], act: Callable[[Reader], int]) -> int:
    """Run ``act`` with a reader of the history. Returns its exit status, or another if there is nothing to read.

    ``wrong`` are the mistakes of the configuration; the first is said.
    """
    # most commands read no history
    from ..store.reader import Reader

    def use() -> int:
        with closing(Reader(history)) as reader:
            return act(reader)

    return _read(command, history, wrong, use)


def connect(command: str, history: History, wrong: Sequence[Problem], act: Callable[[Reading], int]) -> int:
    """Run ``act`` like :func:`read`, with the database alone."""

    def use() -> int:
        from ..store.database import Reading

        with closing(Reading(history)) as reading:
            return act(reading)

    return _read(command, history, wrong, use)


def _read(command: str, history: History, wrong: Sequence[Problem], use: Callable[[], int]) -> int:
    if wrong:
        complain(f"mailassay: {wrong[0]}")
        if history.directory is None:
            # it may be the mistake
            return os.EX_CONFIG
    if history.directory is None:
        complain(f"mailassay {command}: there is no history: set history.directory in the configuration")
        return os.EX_CONFIG
    from ..store.usable import Unusable

    try:
        return use()
    except Unusable as error:
        complain(f"mailassay {command}: {error}")
        return os.EX_NOINPUT
    except ModuleNotFoundError as error:
        # SQLAlchemy, which needs the other, is not part of every installation
        if error.name not in ("sqlalchemy", "typing_extensions"):
            raise
        complain(f"mailassay {command} needs {error.name}: pip install 'mailassay[history]'")
        return os.EX_UNAVAILABLE


def how_far(reader: Reader) -> str:
    """How far the history goes back, in words."""
    oldest = reader.oldest()
    if oldest is None:
        return "there is no message in the history yet"
    return f"the history goes back to {time.strftime('%Y-%m-%d %H:%M:%S %z', time.localtime(oldest))}"


def what_is_kept(history: History, address: str) -> str:
    """Why an address may not be found, in words; empty if all addresses are kept."""
    match history.addresses:
        case KeptAddresses.NONE:
            return "history.addresses is none, so messages cannot be found by recipient or MAIL FROM"
        case KeptAddresses.DOMAIN if "@" in address:
            return "history.addresses is domain, so messages can be found by the domain of a recipient only: @domain"
    return ""
