"""``mailassay held``."""

from __future__ import annotations

import argparse
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from ..config import Settings
from ..domain import BadDomain, Domain
from ..judge import logline
from ..judge.logline import as_json
from ..postfix import reminder
from ..postfix.hold_queue import BATCH, UNITS, Held, Queue, Queued, Unavailable, in_units, named, ours
from ..result import Resinfo
from ..terminal import columns, complain, is_terminal, printable, wrapped
from .bar import Bar
from .options import Commands, settings_anyway, takes_config, takes_json

_RECIPIENTS = 3  # of a message that the list shows

_log = logging.getLogger(__name__)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "held",
        help="list, release or delete messages that mailassay put on hold",
        description="List the messages that mailassay put on hold, oldest first; show, release or delete them. "
        "Messages that an operator or another filter put on hold are neither shown nor changed.",
    )
    _takes_place(parser)
    _takes_filters(parser)
    takes_json(parser)
    _takes_dry_run(parser)
    parser.add_argument(
        "--remind",
        type=_duration,
        metavar="AGE",
        help="list nothing; log a warning if a message has waited longer than this (12h), and send the mail that "
        "held.remind_to asks for; for a timer",
    )
    parser.set_defaults(run=_run, act=None)
    actions = parser.add_subparsers(metavar="ACTION")
    show = _action(actions, "show", "show all about a message, with its header section", "+")
    show.add_argument("--body", action="store_true", default=False, help="also show its body")
    takes_json(show)
    show.set_defaults(act=_show)
    for name, help_text in (
        ("release", "deliver messages to their recipients, without judging them again"),
        ("delete", "delete messages for good"),
    ):
        action = _action(actions, name, help_text, "*")
        _takes_filters(action)
        action.add_argument("--all", action="store_true", default=False, help="all messages that mailassay put on hold")
        _takes_dry_run(action)
        action.set_defaults(act=_change, release=name == "release")


def _action(actions: Commands, name: str, help_text: str, count: str) -> argparse.ArgumentParser:
    # SUPPRESS: an option before the action counts unless it is given again after it
    parser = actions.add_parser(
        name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.", argument_default=argparse.SUPPRESS
    )
    parser.add_argument("ids", nargs=count, default=[], metavar="ID", help="a queue id")
    _takes_place(parser)
    parser.set_defaults(usage=parser.error)
    return parser


def _takes_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", dest="postfix", metavar="DIR", help="the configuration directory of Postfix")
    takes_config(parser)


def _takes_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older", type=_duration, metavar="AGE", help="only messages that have waited at least this long: 90m, 12h, 7d"
    )
    parser.add_argument("--domain", type=_domain, metavar="NAME", help="only this author domain and the names below it")


def _takes_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="with release or delete: only print which messages")


def _duration(text: str) -> int:
    """A duration in seconds."""
    found = re.fullmatch(r"([0-9]{1,6})([wdhms])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: a number and one of w, d, h, m, s")
    return int(found[1]) * UNITS[found[2]]


def _domain(text: str) -> Domain:
    try:
        return Domain(text)
    except BadDomain as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a domain name: {error}") from error


def _run(arguments: argparse.Namespace) -> int:
    queue, (found, wrong) = Queue(arguments.postfix), settings_anyway(arguments)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        complain(f"mailassay: {wrong[0]}{more}")
    verdict = found.policy.tag.verdict
    if arguments.act and arguments.remind is not None:
        arguments.usage("--remind goes with the list only")
    if arguments.act is _change and arguments.json:
        arguments.usage("--json goes with the list and with show only")
    try:
        if arguments.act:
            status: int = arguments.act(arguments, queue, verdict)
            return status
        if arguments.remind is not None:
            logline.set_up(found.log.level, found.log.format)
            return _remind(queue, found, arguments.remind)
        return _list(arguments, queue, verdict)
    except Unavailable as error:
        complain(f"mailassay: {error}")
        return error.status


def _list(arguments: argparse.Namespace, queue: Queue, verdict: str) -> int:
    now = time.time()
    found = list(_selected(arguments, queue, verdict, now))
    if arguments.json:
        print(as_json([_as_json(each, now) for each in found], indent=2))
        return 0
    for each in found:
        _say(_line(each, now))
        _say(each.queued.sender or "<>", "    from      ")
        more = len(each.queued.recipients) - _RECIPIENTS
        recipients = ", ".join(each.queued.recipients[:_RECIPIENTS])
        _say(f"{recipients} and {more} more" if more > 0 else recipients, "    to        ")
        _say("  ".join(f"{one.method}={one.result}" for one in each.results), "    results   ")
    if found:
        count = f"{len(found)} messages" if len(found) > 1 else "1 message"
        print(f"{count} held, the oldest for {_age(found[0], now)}")
    else:
        print(_nothing(arguments))
    return 0


def _remind(queue: Queue, settings: Settings, limit: int) -> int:
    found, now = list(ours(queue, queue.hold(), settings.policy.tag.verdict)), time.time()
    waiting = [each for each in found if now - each.queued.arrived > limit]
    if waiting:
        message = "%d held, the oldest for %s: queue_id=%s, author domain %s; mailassay held shows them"
        author = printable(found[0].author_domain) or "unknown"
        _log.warning(message, len(found), _age(found[0], now), found[0].queued.queue_id, author)
    if settings.history.directory:
        _leave_figures(found, now)
    if settings.held.remind_to:
        _send(queue, settings.held.remind_to, waiting, now)
    return 0


def _leave_figures(found: Sequence[Held], now: float) -> None:
    """Say for the metrics how many messages are held. The user of the collector cannot read Postfix's queue."""
    try:
        reminder.leave(reminder.Figures(now, len(found), found[0].queued.arrived if found else now))
    except OSError as error:
        _log.warning("the metrics will not show how many messages are held: %s", error)


def _send(queue: Queue, to: str, waiting: Sequence[Held], now: float) -> None:
    """Mail a list of the waiting messages, unless that has been done already. Raises Unavailable."""
    queue_ids = [each.queued.queue_id for each in waiting]
    if not waiting or not reminder.is_due(queue_ids, now):
        return
    lines = [printable(_line(each, now)) for each in waiting]
    queue.send(reminder.mail(to, socket.gethostname(), _age(waiting[0], now), lines, now), to)
    try:
        reminder.remember(queue_ids, now)
    except OSError as error:
        _log.warning("cannot record what the mail to %s reported, so it will be sent again: %s", to, error)


def _show(arguments: argparse.Namespace, queue: Queue, verdict: str) -> int:
    found, why = named(queue, arguments.ids, verdict)
    contents = (queue.content(each.queued.queue_id, body=arguments.body).decode(errors="replace") for each in found)
    if arguments.json:
        now = time.time()
        listed = [{**_as_json(each, now), "content": text} for each, text in zip(found, contents, strict=True)]
        print(as_json(listed, indent=2))
        return _complain(why)
    for each, text in zip(found, contents, strict=True):
        content = text.expandtabs()
        for label, text in _details(each):
            _say(text, f"{label:<15}")
        print("", *map(printable, content.split("\n")), sep="\n")
    return _complain(why)


def _change(arguments: argparse.Namespace, queue: Queue, verdict: str) -> int:
    if bool(arguments.ids) + _filtered(arguments) + arguments.all != 1:
        arguments.usage("name queue ids, or give --older, --domain or --all")
    if os.geteuid() and not arguments.dry_run:
        raise Unavailable("only root can change Postfix's queue", os.EX_NOPERM)
    now = time.time()
    why: dict[str, str] = {}
    if arguments.ids:
        found, why = named(queue, arguments.ids, verdict)
    else:
        found = list(_selected(arguments, queue, verdict, now))
        if not found:
            print(_nothing(arguments))
    queue_ids = [each.queued.queue_id for each in found]
    change, past = (queue.release, "released") if arguments.release else (queue.delete, "deleted")
    done = change(queue_ids) if queue_ids and not arguments.dry_run else set(queue_ids)
    still = {each.queue_id for each in queue.hold()} if len(done) < len(queue_ids) else set()
    for each in found:
        if each.queued.queue_id in done:
            _say(f"{f'would be {past}' if arguments.dry_run else past}: {_line(each, now)}")
        elif each.queued.queue_id in still:
            why[each.queued.queue_id] = f"could not be {past}"
        else:
            _say(f"gone meanwhile: {_line(each, now)}")
    return _complain(why)


def _filtered(arguments: argparse.Namespace) -> bool:
    return arguments.older is not None or arguments.domain is not None


def _selected(arguments: argparse.Namespace, queue: Queue, verdict: str, now: float) -> Iterator[Held]:
    """The messages that mailassay put on hold and that match the filters, oldest first."""
    waiting = [each for each in queue.hold() if now - each.arrived >= (arguments.older or 0)]
    for each in ours(queue, _progress(waiting), verdict):
        if arguments.domain is None or _is_within(each.author_domain, arguments.domain):
            yield each


def _is_within(name: str, domain: Domain) -> bool:
    try:
        return Domain(name).is_within(domain)
    except BadDomain:
        return False


def _progress(waiting: Sequence[Queued]) -> Iterator[Queued]:
    """The same messages; on a terminal, shows the progress if it takes a while."""
    bar = Bar(len(waiting) if len(waiting) > BATCH and is_terminal(sys.stderr) else None)
    yield from bar.passing(waiting)
    bar.end()


def _say(text: str, label: str = "") -> None:
    """Print a text in lines that fit the terminal, with or without a label."""
    print("\n".join(wrapped(printable(text), columns(sys.stdout), label, " " * (len(label) or 4))))


def _complain(why: dict[str, str]) -> int:
    """Report what could not be done. Returns exit status 1 if there is anything, else 0."""
    for queue_id, reason in why.items():
        complain(f"mailassay: {queue_id} {reason}")
    return 1 if why else 0


def _nothing(arguments: argparse.Namespace) -> str:
    return "mailassay holds no matching message" if _filtered(arguments) else "mailassay holds no message"


def _age(held: Held, now: float) -> str:
    return in_units(now - held.queued.arrived)


def _line(held: Held, now: float) -> str:
    return f"{held.queued.queue_id}  {_age(held, now)}  {held.author_domain or '-'}  {held.rule}"


def _details(held: Held) -> Iterator[tuple[str, str]]:
    yield "queue id", held.queued.queue_id
    arrived = datetime.fromtimestamp(held.queued.arrived).astimezone()
    yield "held since", f"{arrived:%Y-%m-%d %H:%M:%S %z} ({_age(held, time.time())})"
    yield "size", f"{held.queued.size} octets"
    yield "sender", held.queued.sender or "<>"
    for label, recipient in zip_longest(["recipients"], held.queued.recipients, fillvalue=""):
        yield label, recipient
    yield "author domain", held.author_domain or "-"
    yield "rule", held.rule
    for label, text in zip_longest(["results"], map(_clause, held.results), fillvalue=""):
        yield label, text


def _clause(resinfo: Resinfo) -> str:
    words = [f"{resinfo.method}={resinfo.result}"]
    words += [f"{ptype}.{name}={value}" for ptype, name, value in resinfo.properties]
    words += [f"({text})" for text in (resinfo.comment, resinfo.reason) if text]
    return " ".join(words)


def _as_json(held: Held, now: float) -> dict[str, Any]:
    """A message for programs. The keys do not change."""
    return {
        **held.queued._asdict(),
        "age": max(0, int(now - held.queued.arrived)),
        "author_domain": held.author_domain,
        "rule": held.rule,
        "results": [
            {
                "method": each.method,
                "result": each.result,
                "reason": each.reason,
                "comment": each.comment,
                "properties": {f"{ptype}.{name}": value for ptype, name, value in each.properties},
            }
            for each in held.results
        ],
    }
