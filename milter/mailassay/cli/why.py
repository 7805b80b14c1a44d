"""``mailassay why``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from ..config import Problem, Settings
from ..explain.outcome import as_text
from ..explain.recorded import Recorded, Unreadable
from ..judge.logline import as_json
from ..terminal import columns, complain, shows_colour
from . import history_options
from .options import Commands, asked, settings, settings_anyway, takes_config, takes_json

if TYPE_CHECKING:
    from ..store.reader import Reader

_FEW = 5  # messages of an address, a domain or a client
_MANY = 10_000  # messages with --all, or with one Message-ID: all are in memory before the oldest is shown


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "why",
        help="say what happened to a message that came in earlier, and why",
        description="Say what happened to a message, and why, from the history (`history.directory`). With a queue id "
        f"or a Message-ID, all messages that have it are shown, up to the latest {_MANY:,}, since Postfix uses queue "
        "ids again. With an address "
        "(a recipient or MAIL FROM), an author domain or the address of a client, the latest few are.",
        epilog="Exit status 1 if no message is found, 66 if the history cannot be read, 78 if there is none.",
    )
    parser.add_argument(
        "id",
        type=history_options.not_empty,
        metavar="ID",
        help="a queue id, a Message-ID, an address, a domain, or the address of a client",
    )
    history_options.takes_since(parser)
    parser.add_argument(
        "--all", action="store_true", help=f"show the latest {_MANY:,} messages that match, and not only {_FEW}"
    )
    parser.add_argument(
        "--now", action="store_true", help="also say what the present policy would decide from the results at that time"
    )
    takes_json(parser)
    takes_config(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    wrong: Sequence[Problem] = ()
    if arguments.now:
        found = asked(settings(arguments))
    else:
        found, wrong = settings_anyway(arguments)
    present = None if wrong else found
    return history_options.read("why", found.history, wrong, lambda reader: _show(arguments, found, present, reader))


def _show(arguments: argparse.Namespace, found: Settings, present: Settings | None, reader: Reader) -> int:
    looked_for, records, most = _search(arguments, reader)
    now = time.time() if arguments.now else None
    # the latest come first; texts take less memory than records
    texts = [_text(arguments, each, present, now) for each in islice(records, most)]
    is_more = next(records, None) is not None
    if not texts:
        notes = [history_options.how_far(reader)]
        if "recipient" in looked_for:
            notes += filter(None, [history_options.what_is_kept(found.history, arguments.id)])
        complain(f"mailassay why: no message has {arguments.id} as its {looked_for}; {'. '.join(notes)}")
        return 1
    shown = [each for each in reversed(texts) if each]
    print(*shown, sep="\n" if arguments.json else "\n\n", end="\n" if shown else "")
    if is_more:
        complain(f"these are the latest {most:,}{'; --all shows more' if most == _FEW else ''}")
    return 0 if shown else 1


def _search(arguments: argparse.Namespace, reader: Reader) -> tuple[str, Iterator[dict[str, Any]], int]:
    """What the ID may be; the records that fit, the latest first, one more than are shown at most; and how many are."""
    from ..store.filter import of_any_id

    looked_for, filters = of_any_id(arguments.id)
    for each in filters:
        most = _MANY if arguments.all or each.is_exact else _FEW
        records = reader.latest(replace(each, since=arguments.since), most + 1)
        if first := next(records, None):
            return looked_for, chain([first], records), most
    return looked_for, iter(()), _FEW


def _text(
    arguments: argparse.Namespace, record: dict[str, Any], present: Settings | None, now: float | None
) -> str | None:
    """What is said of a record; None if it cannot be read, which is said at once."""
    try:
        recorded = Recorded(record)
    except Unreadable as error:
        complain(f"mailassay why: a record of this message cannot be read: {error}")
        return None
    if arguments.json:
        return as_json(recorded.as_json(present, now))
    return as_text(recorded.lines(present, now), columns(sys.stdout), colour=shows_colour(sys.stdout))
