"""``mailassay history``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Any

from ..config import History
from ..domain import BadDomain, Domain
from ..history.rebuilt import Unreadable, outcome
from ..judge.logline import as_json, results
from ..result import METHODS, Result
from ..sign import Unsigned
from ..terminal import columns, complain, printable, wrapped
from ..verdict import Action
from . import history_options
from .options import Commands, settings_anyway, takes_config, takes_json

if TYPE_CHECKING:
    from ..store.filter import Filter
    from ..store.reader import Reader

_ACTIONS = [*map(str, Action)]  # argparse shows a mistake with the repr() of each
_MOST = 100  # messages
_PAUSE = 1.0  # seconds between two looks, as the collector's
_SHOWN = ("spf", "dkim", "dmarc")
_WIDE = 120  # columns; a narrower terminal has room for what decided, or for the result of DMARC
_NARROW = 100  # columns, below which there is no room for seconds, nor for a column after names


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "history",
        help="list the messages that came in, and what happened to them",
        description="List messages from the history (`history.directory`), the newest last: time, queue id, verdict, "
        "author domain, client, the results of SPF, DKIM and DMARC, and what decided.",
        epilog="Exit status 66 if the history cannot be read, 78 if there is none.",
    )
    history_options.takes_since(parser)
    parser.add_argument(
        "--until", type=history_options.since, metavar="TIME", help="only messages from before this time"
    )
    parser.add_argument("--author", type=_domain, metavar="DOMAIN", help="only this author domain and its subdomains")
    parser.add_argument("--client", type=_network, metavar="IP", help="only this client, or the clients of a network")
    parser.add_argument(
        "--recipient",
        type=history_options.not_empty,
        metavar="ADDR",
        help="only messages to this address, or to the addresses of a domain",
    )
    parser.add_argument("--verdict", choices=_ACTIONS, metavar="WORD", help=f"only this verdict: {', '.join(Action)}")
    parser.add_argument(
        "--would", choices=_ACTIONS, metavar="WORD", help="only what this would have happened to without monitor mode"
    )
    parser.add_argument(
        "--rule",
        type=history_options.not_empty,
        metavar="NAME",
        help="only what this rule or setting decided: dmarc.reject",
    )
    parser.add_argument(
        "--result",
        type=_result,
        action="append",
        default=[],
        metavar="METHOD=WORD",
        help="only this result, such as dkim=fail; may be repeated",
    )
    signing = parser.add_mutually_exclusive_group()
    signing.add_argument(
        "--signed", dest="signing", action="store_const", const="signed", help="only outgoing mail that was signed"
    )
    signing.add_argument(
        "--unsigned",
        dest="signing",
        type=_unsigned,
        nargs="?",
        const=True,
        metavar="WHY",
        help=f"only outgoing mail that was not signed, or not for this reason: {', '.join(Unsigned)}",
    )
    parser.add_argument(
        "-n",
        type=history_options.number,
        default=_MOST,
        metavar="N",
        help=f"the number of messages, at most {history_options.MOST} (default: {_MOST})",
    )
    parser.add_argument("--follow", action="store_true", help="go on with what comes in, until Ctrl-C")
    takes_json(parser)
    takes_config(parser)
    parser.set_defaults(run=_run)


def _domain(text: str) -> Domain:
    try:
        return Domain(text)
    except BadDomain as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a domain name, such as bank.example: {error}") from error


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an IP address or a network, such as 192.0.2.1 or 2001:db8::/32"
        ) from error


def _result(text: str) -> tuple[str, str]:
    method, _, result = text.partition("=")
    if method not in METHODS or result not in list(Result):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a result, such as dkim=fail: a method ({', '.join(METHODS)}) and a word "
            f"({', '.join(Result)})"
        )
    return method, result


def _unsigned(text: str) -> str:
    if text not in list(Unsigned):
        raise argparse.ArgumentTypeError(f"{text!r} is no reason: expected one of {', '.join(Unsigned)}")
    return f"unsigned:{text}"


def _run(arguments: argparse.Namespace) -> int:
    found, wrong = settings_anyway(arguments)
    return history_options.read("history", found.history, wrong, lambda reader: _list(arguments, found.history, reader))


def _list(arguments: argparse.Namespace, history: History, reader: Reader) -> int:
    wanted = _filter(arguments)
    if arguments.follow:
        reader.follow(wanted)
    # the latest come first; lines take less memory than records
    lines = [*_lines(arguments, reader.latest(wanted, arguments.n + 1))]
    _print(reversed(lines[: arguments.n]))
    if len(lines) > arguments.n and not arguments.follow:
        complain(f"these are the latest {arguments.n}; -n shows more")
    if not lines and not arguments.follow:
        notes = [history_options.how_far(reader)]
        if arguments.recipient:
            notes += filter(None, [history_options.what_is_kept(history, arguments.recipient)])
        complain(f"mailassay history: no message matches; {'. '.join(notes)}")
    while arguments.follow:
        time.sleep(_PAUSE)
        _print(_lines(arguments, reader.new(wanted)))
    return 0


def _filter(arguments: argparse.Namespace) -> Filter:
    from ..store.filter import Filter

    return Filter(
        since=arguments.since,
        until=arguments.until,
        author=arguments.author or "",
        client=arguments.client,
        recipient=arguments.recipient or "",
        verdict=arguments.verdict or "",
        would=arguments.would or "",
        rule=arguments.rule or "",
        results=tuple(arguments.result),
        signing="unsigned" if arguments.signing is True else arguments.signing or "",
    )


def _print(lines: Iterable[str]) -> None:
    for each in lines:
        print(each)
    sys.stdout.flush()


def _lines(arguments: argparse.Namespace, records: Iterable[dict[str, Any]]) -> Iterator[str]:
    width = columns(sys.stdout)
    for each in records:
        if not arguments.json:
            yield "\n".join(wrapped(printable(_line(each, width)), width, rest=" " * 4))
            continue
        try:
            of_checks = results(outcome(each))
        except Unreadable:
            of_checks = None
        yield as_json({**each, "results": of_checks})


def _line(record: dict[str, Any], width: int) -> str:
    """A message in one line, which fits into ``width`` columns if its names are not long."""
    from ..store import rows

    verdict = record["verdict"]
    if record["would"] != verdict:
        verdict += f" (would {record['would']})"
    words, evidence = rows.results(record), record.get("evidence")
    rule = "" if record["rule"] == "default" else record["rule"]
    shown = _SHOWN if width >= _WIDE else () if rule else ("dmarc",)
    checked = " ".join(f"{each}={words[each]}" for each in shown if words.get(each))
    if outgoing := rows.signing(record):
        # that it was not judged goes without saying if there is no room
        checked, rule = outgoing, rule if width >= _WIDE else ""
    decided = "  ".join(filter(None, [checked, rule]))
    is_narrow = width < _NARROW
    found = [
        time.strftime("%m-%d %H:%M" if is_narrow else "%m-%d %H:%M:%S", time.localtime(record["time"])),
        f"{record['queue_id'] or '-':<14}",
        f"{verdict:<6}",
        ((evidence and evidence["dmarc"]["header_from"]) or "-").ljust(12 if is_narrow else 18),
        (record["client"] or "-").ljust(0 if is_narrow else 15),
    ]
    start = "  ".join(found)
    # at the right edge, it is beside names of any length that leave room for it
    return f"{start}  {decided.rjust(width - len(start) - 2 if is_narrow else 0)}".rstrip()
