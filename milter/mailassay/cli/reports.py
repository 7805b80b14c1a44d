"""``mailassay reports``."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ..config import ReportTo, Settings
from ..domain import BadDomain, Domain
from ..judge.logline import as_json
from ..terminal import columns, complain, printable, shows_colour, wrapped
from . import history_options, reports_send
from .options import Commands, settings_anyway, takes_config, takes_json, takes_zone

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ..feedback.destinations import Destinations
    from ..store.outbox import Delivered, Listed

_DAY = 86_400
_MOST = 100  # reports
_MAILBOX = re.compile(r"[^\s<>@]+@[^\s<>@]+")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "reports",
        help="send DMARC reports to the owners of domains, and show them",
        description="Send aggregate reports of DMARC (RFC 9990), and show what was sent to whom. They are off until "
        "`reports.from` is set. mailassay-reports.timer runs `mailassay reports send` every hour.",
        epilog="Exit status 1 if a report would not pass DMARC, 66 if the configuration asks for no reports or the "
        "history cannot be read, 75 if another process sends them, or if DNS, Postfix or the database is down, 78 if "
        "there is no history.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    send = _action(actions, "send", "make the reports of the days that are over, and hand over to Postfix what is due")
    send.add_argument("--dry-run", action="store_true", help="only print what would be sent, and to whom")
    send.set_defaults(run=reports_send.run)
    listing = _action(actions, "list", "list reports, where they went, and the addresses that get none")
    listing.add_argument(
        "--since",
        type=history_options.since,
        default="7d",
        metavar="TIME",
        help="only reports about days from then on (default: 7d)",
    )
    listing.add_argument("--all", action="store_true", help="also reports that are sent to nobody, and why")
    listing.add_argument(
        "-n", type=_count, default=_MOST, metavar="N", help=f"the number of reports (default: {_MOST})"
    )
    takes_json(listing)
    listing.set_defaults(run=_list)
    show = _action(actions, "show", "show the newest aggregate report about a domain")
    show.add_argument("domain", type=_domain, metavar="DOMAIN", help="the domain at which its DMARC record is")
    show.add_argument("--day", type=_day, metavar="DAY", help="the report about this day (UTC), such as 2026-11-27")
    show.add_argument("--xml", action="store_true", help="print the XML that is sent")
    show.set_defaults(run=_show)
    preview = _action(actions, "preview", "show what would be reported of the running day, and to whom")
    preview.add_argument("domain", type=_domain, nargs="?", metavar="DOMAIN", help="show the report about this domain")
    preview.add_argument("--xml", action="store_true", help="print the XML; needs DOMAIN")
    takes_zone(preview)
    takes_json(preview)
    preview.set_defaults(run=_preview, usage=preview.error)
    suppress = _action(actions, "suppress", "send no reports to an address")
    suppress.add_argument("address", type=_address, metavar="ADDRESS", help="a mail address")
    suppress.add_argument("--days", type=_count, metavar="N", help="for so many days (default: for ever)")
    suppress.add_argument(
        "--why",
        type=history_options.not_empty,
        default="by the administrator",
        metavar="TEXT",
        help="the reason, for `list`",
    )
    suppress.set_defaults(run=_suppress)
    unsuppress = _action(actions, "unsuppress", "send reports to an address again")
    unsuppress.add_argument("address", type=_address, metavar="ADDRESS", help="a mail address")
    unsuppress.set_defaults(run=_unsuppress)


def _action(actions: Commands, name: str, help_text: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
    takes_config(parser)
    return parser


def _domain(text: str) -> Domain:
    try:
        return Domain(text)
    except BadDomain as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a domain name, such as bank.example: {error}") from error


def _day(text: str) -> int:
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)) // timedelta(days=1)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day, such as 2026-11-27") from error


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, such as 30")
    return int(text)


def _address(text: str) -> str:
    if not _MAILBOX.fullmatch(history_options.utf8(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a mail address, such as dmarc@bank.example")
    return text


def _read(arguments: argparse.Namespace, act: Callable[[Settings, Connection], int]) -> int:
    """Run ``act`` with a connection that reads. Returns its exit status, or another if there is nothing to read."""
    found, wrong = settings_anyway(arguments)
    return reports_send.read(found, lambda connection: act(found, connection), wrong)


def _say(text: str, indent: int = 0) -> None:
    print("\n".join(wrapped(printable(text), columns(sys.stdout), " " * indent, " " * (indent + 2))))


# --- list


def _list(arguments: argparse.Namespace) -> int:
    return _read(arguments, lambda settings, connection: _listed(arguments, settings, connection))


def _listed(arguments: argparse.Namespace, settings: Settings, connection: Connection) -> int:
    from ..report import reported
    from ..store import outbox
    from ..store.outbox import State

    since = int(arguments.since) // _DAY
    states = [each for each in State if arguments.all or each is not State.DROPPED]
    reports = outbox.reports(connection, since, states=states, most=arguments.n + 1)
    is_cut, reports = len(reports) > arguments.n, reports[: arguments.n]
    deliveries = outbox.deliveries(connection, [each.id for each in reports])
    suppressed = outbox.suppressions(connection, time.time())
    dropped = outbox.dropped(connection, since)
    if arguments.json:
        found = {
            "reports": [_as_json(each, deliveries[each.id]) for each in reports],
            "dropped": dict(sorted(dropped.items())),
            "suppressed": [each._asdict() for each in suppressed],
        }
        print(as_json(found, indent=2))
        return os.EX_OK
    for each in reports:
        _say(_line(each))
        for one in deliveries[each.id]:
            _say(f"{one.address}  {reported.became(one)}", 4)
    if is_cut:
        complain(f"these are the newest {arguments.n}; -n shows more")
    if not reports:
        print("no reports")
    if dropped and not arguments.all:
        count = sum(dropped.values())
        print(f"\n{count:,} more {'is' if count == 1 else 'are'} sent to nobody (--all shows them):")
        for word, many in dropped.most_common():
            _say(f"{many:6,}  {reported.cause(word)}", 2)
    if suppressed:
        print("\naddresses that get no reports:")
        for silent in suppressed:
            _say(f"{silent.address}  {reported.until(silent)}: {silent.why}", 2)
    if settings.reports.sender is None:
        complain("no more reports are sent: the configuration has no reports.from")
    return os.EX_OK


def _line(each: Listed) -> str:
    from ..report import reported

    kind = "" if each.kind == "aggregate" else f"{each.kind}  "
    counts = f"{each.messages:,} message{'' if each.messages == 1 else 's'}"
    why = f": {reported.why(each.why)}" if each.why else ""
    return f"{reported.named(each.day)}  {each.domain}  {kind}{each.state}{why}  ({counts})"


def _as_json(each: Listed, deliveries: Sequence[Delivered]) -> dict[str, Any]:
    """A report for programs. The keys do not change."""
    from ..report import reported

    return {
        "kind": each.kind,
        "day": reported.named(each.day),
        "domain": each.domain,
        "state": each.state,
        "why": each.why,
        "rows": each.rows,
        "messages": each.messages,
        "report_id": each.report_id,
        "changed": each.changed,
        "deliveries": [one._asdict() for one in deliveries],
    }


# --- show and preview


def _show(arguments: argparse.Namespace) -> int:
    return _read(arguments, lambda settings, connection: _shown(arguments, settings, connection))


def _shown(arguments: argparse.Namespace, settings: Settings, connection: Connection) -> int:
    from ..aggregate.mail import attached
    from ..report import reported
    from ..store import outbox
    from ..store.outbox import State

    reports = outbox.reports(connection, arguments.day or 0, arguments.domain)
    found = next((each for each in reports if arguments.day in (None, each.day) and each.kind == "aggregate"), None)
    if found is None:
        day = f" on {reported.named(arguments.day)}" if arguments.day is not None else ""
        complain(f"mailassay reports: there is no report about {arguments.domain}{day}; mailassay reports list")
        return 1
    if found.state in (State.OPEN, State.PENDING):
        xml = _not_yet(settings, connection, found.day, found.domain)
    else:
        body = outbox.body(connection, found.id)
        xml = attached(body) if body is not None else None
    if arguments.xml:
        if xml is None:
            complain(f"mailassay reports: the report is not kept: {_line(found)}")
            return 1
        _print_xml(xml)
        return os.EX_OK
    _say(_line(found))
    for one in outbox.deliveries(connection, [found.id])[found.id]:
        _say(f"{one.address}  {reported.became(one)}", 4)
    if xml is not None:
        print()
        _print_text(xml)
    return os.EX_OK


def _not_yet(settings: Settings, connection: Connection, day: int, domain: str) -> bytes | None:
    """The report of a day as it would be now; None if there is nothing to report, or nobody who does."""
    if settings.reports.sender is None:
        return None
    from ..aggregate.document import xml
    from ..feedback.run import reporter
    from ..store import observed

    try:
        return xml(observed.contents(connection, day, domain, reporter(settings, reports_send.host())))
    except LookupError:
        return None


def _print_xml(xml: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(xml if xml.endswith(b"\n") else xml + b"\n")
    sys.stdout.buffer.flush()


def _print_text(xml: bytes) -> None:
    from ..aggregate.text import Style, lines

    for line in lines(xml, Style(columns(sys.stdout), shows_colour(sys.stdout))):
        print(line)


def _preview(arguments: argparse.Namespace) -> int:
    if arguments.xml and arguments.domain is None:
        arguments.usage("--xml needs DOMAIN")
    if arguments.xml and arguments.json:
        arguments.usage("--xml and --json exclude each other")
    return _read(arguments, lambda settings, connection: _previewed(arguments, settings, connection))


def _previewed(arguments: argparse.Namespace, settings: Settings, connection: Connection) -> int:
    from ..feedback.find import find
    from ..store import observed, outbox
    from ..store.outbox import State

    if settings.reports.sender is None:
        complain(reports_send.OFF)
        return os.EX_NOINPUT
    now = time.time()
    # a day that is over is not closed at once
    reports = outbox.reports(connection, int(now) // _DAY - 2, arguments.domain or "", [State.OPEN])
    known = observed.is_known(connection, {each.domain for each in reports}, now)
    if not reports:
        about = f" about {arguments.domain}" if arguments.domain else ""
        complain(f"mailassay reports: nothing would be reported{about}: no message came whose domain asks for reports")
        return 1
    if arguments.xml:
        return _preview_xml(settings, connection, reports[0])
    delimiter = reports_send.delimiter(settings)
    to = dict(find(settings, reports_send.dns(settings, arguments.zone), delimiter)({each.domain for each in reports}))
    to_all = settings.reports.to is ReportTo.ALL
    rows = [_Preview(each, to[each.domain], is_known=to_all or each.domain in known) for each in reports]
    if arguments.json:
        print(as_json([each.as_json() for each in rows], indent=2))
        return os.EX_OK
    for row in rows:
        row.print()
        if arguments.domain and (xml := _not_yet(settings, connection, row.report.day, row.report.domain)):
            print()
            _print_text(xml)
    return os.EX_OK


def _preview_xml(settings: Settings, connection: Connection, found: Listed) -> int:
    xml = _not_yet(settings, connection, found.day, found.domain)
    if xml is None:
        return 1
    _print_xml(xml)
    return os.EX_OK


class _Preview:
    """A report that is not made yet, and where it would go."""

    def __init__(self, report: Listed, to: Destinations, *, is_known: bool) -> None:
        self.report, self._to, self._is_known = report, to, is_known

    def as_json(self) -> dict[str, Any]:
        """For programs. The keys do not change."""
        from ..report import reported

        return {
            "day": reported.named(self.report.day),
            "domain": self.report.domain,
            "rows": self.report.rows,
            "messages": self.report.messages,
            "addresses": self._to.addresses if not self._none() else (),
            "why": self._none(),
            "refused": [each._asdict() for each in self._to.refused],
        }

    def print(self) -> None:
        """Say it."""
        from ..report import reported

        _say(_line(self.report))
        if why := self._none():
            _say(f"to nobody: {reported.cause(why)}", 4)
        else:
            for address in self._to.addresses:
                _say(f"to {address}", 4)
        for each in self._to.refused:
            _say(f"not to {each.uri}: {reported.cause(each.why)}{f' ({each.text})' if each.text else ''}", 4)

    def _none(self) -> str:
        """Why nobody would get it; empty if somebody would."""
        if not self.report.wanted:
            return "only report mail"
        if not self._is_known:
            return "not known"
        return str(self._to.why or "")


# --- suppress and unsuppress


def _suppress(arguments: argparse.Namespace) -> int:
    from ..report import reported
    from ..store import outbox

    until = None if arguments.days is None else time.time() + arguments.days * _DAY

    def act(connection: Connection) -> int:
        outbox.suppress(connection, arguments.address, until, arguments.why)
        when = "" if until is None else f" until {reported.local(until)}"
        _say(f"no reports go to {arguments.address}{when}")
        return os.EX_OK

    return reports_send.write(arguments, act)


def _unsuppress(arguments: argparse.Namespace) -> int:
    from ..store import outbox

    def act(connection: Connection) -> int:
        if outbox.unsuppress(connection, arguments.address):
            _say(f"reports go to {arguments.address} again")
            return os.EX_OK
        complain(f"mailassay reports: {arguments.address} is not suppressed")
        return 1

    return reports_send.write(arguments, act)
