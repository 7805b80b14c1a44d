"""``mailassay check``."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO

from ..address import Address, client
from ..config import ConfigError, Settings
from ..config.document import unreadable
from ..config.policy_file import read_policy
from ..judge.logline import as_json
from ..message import BOM
from ..moment import moment
from ..postfix.hold_queue import QUEUE_ID, Queue, Unavailable
from ..replay import explain, many
from ..replay.as_json import values
from ..replay.message_file import Given, Unknown, read
from ..replay.trace import Trace, judge
from ..resolver import Source
from ..terminal import columns, complain, is_terminal, shows_colour
from ..verdict import Action
from . import outbound
from .options import Commands, asked, host_names, settings, sources, takes_config, takes_json, takes_zone
from .summary import summarize


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="judge a message file as the milter would, and say why; or many, with a summary",
        description="Judge a message as the milter would, and say why. The facts are taken from the message as this "
        "host delivered it, or as `postcat -q ID` prints it. With --ip they are taken from the options, and the file "
        "is the message as the client sent it. If no file has the given name, it is a queue id: that message is read "
        "from Postfix's queue, which needs root.",
        epilog="Exit status 1 if the message would be refused, or with --outbound leave unsigned, 65 if its facts are "
        "unknown, 66 if it cannot be read. With --summary: 0 whatever the verdicts are, 65 if no message could be "
        "judged, 66 if files could not be read.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="the message, or a queue id (default: - for stdin); with --summary messages, mbox files, Maildirs and "
        "folders",
    )
    parser.add_argument("--ip", type=_address, metavar="IP", help="the address of the SMTP client")
    parser.add_argument("--helo", metavar="NAME", help="what the client said in HELO or EHLO")
    parser.add_argument(
        "--mail-from",
        metavar="ADDR",
        help="the reverse-path (default: with --ip the null one, with --outbound the address in From)",
    )
    parser.add_argument("--rcpt", action="append", metavar="ADDR", help="a recipient; may be repeated")
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="the host that received the message, as in its Received field. It need not be the topmost field; the "
        "facts are then those that this host knew (default: authserv_id, and this host)",
    )
    parser.add_argument(
        "--at",
        type=_time,
        metavar="TIME",
        help="judge at this time: now, yesterday, 2 hours ago, -2h, 10:00, ISO 8601, or seconds since 1970 as @N "
        "(default: when the message came in, if that is known)",
    )
    parser.add_argument("--policy", metavar="FILE", help="try this policy instead of the configured one")
    outbound.takes_outbound(parser)
    parser.add_argument("--summary", action="store_true", help="judge many messages and count the verdicts")
    parser.add_argument(
        "--since", type=_time, metavar="TIME", help="with --summary, only messages that came in at this time or later"
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also show the SPF terms, the DMARC walk and all DNS answers; "
        "with --summary every message that would not be accepted",
    )
    takes_zone(parser)
    takes_json(parser)
    takes_config(parser)
    parser.set_defaults(run=_run, refuse=parser.error)


def _address(text: str) -> Address:
    try:
        return client(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from error


def _time(text: str) -> float:
    try:
        return moment(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _run(arguments: argparse.Namespace) -> int:
    paths: list[str] = arguments.files
    if arguments.summary and not paths:
        arguments.refuse("--summary needs files or folders")
    if not arguments.summary and len(paths) > 1:
        arguments.refuse("several files need --summary")
    if arguments.since is not None and not arguments.summary:
        arguments.refuse("--since needs --summary")
    if arguments.since is not None and arguments.ip:
        arguments.refuse("--since takes the time from the Received field, which --ip ignores")
    if not paths and is_terminal(sys.stdin):
        arguments.refuse("name a FILE, or give a message on standard input")
    if wrong := outbound.useless(arguments):
        arguments.refuse(wrong)
    if arguments.outbound:
        return _outbound(arguments)
    found = _settings(arguments)
    asking = sources(arguments, found)
    hosts = [arguments.host] if arguments.host else [*filter(None, [found.authserv_id]), *sorted(host_names())]

    def judged(raw: bytes) -> Trace | None:
        return _judge(raw, arguments, found, asking, hosts)

    return summarize(arguments, found, judged) if arguments.summary else _one(arguments, judged)


def _outbound(arguments: argparse.Namespace) -> int:
    found = outbound.settings(arguments)
    if not found.sign.domains:
        complain("mailassay check: nothing is signed: the configuration has no domain in sign.domains")
        return os.EX_CONFIG
    host = outbound.host()

    def signed(raw: bytes) -> Trace:
        return outbound.signed(raw, arguments, found, host)

    return summarize(arguments, found, signed) if arguments.summary else _one(arguments, signed)


def _settings(arguments: argparse.Namespace) -> Settings:
    """The settings, with the policy of --policy. Raises ConfigError."""
    found = asked(settings(arguments))
    if not arguments.policy:
        return found
    try:
        policy = read_policy(arguments.policy)
    except OSError as error:
        raise unreadable(arguments.policy, error) from error
    if policy.problems:
        raise ConfigError(policy.problems)
    return replace(found, policy=policy.policy, policy_path=arguments.policy, policy_lines=policy.lines)


def _judge(
    raw: bytes, arguments: argparse.Namespace, found: Settings, asking: Callable[[], Source], hosts: Sequence[str]
) -> Trace | None:
    """Judge a message. Returns None if it came in before ``--since``. Raises Unknown."""
    written = (found.policy.tag.flag, *found.policy.fields)
    recipients = None if arguments.rcpt is None else tuple(arguments.rcpt)
    given = Given(
        arguments.ip, arguments.helo, arguments.mail_from, recipients, written, found.relays, arguments.host or ""
    )
    message = read(raw, given, hosts)
    if arguments.since is not None:
        if message.at is None:
            raise Unknown("no Received field of this host says when it came in, which --since needs to know")
        if message.at < arguments.since:
            return None
    return judge(message, found, asking(), socket.gethostname(), arguments.at)


def _one(arguments: argparse.Namespace, judged: Callable[[bytes], Trace | None]) -> int:
    path = arguments.files[0] if arguments.files else "-"
    name = "standard input" if path == "-" else path
    try:
        trace = judged(_message(path))
    except OSError as error:
        return _failed(name, error.strerror or str(error), os.EX_NOINPUT)
    except Unavailable as error:
        return _failed(name, str(error), error.status)
    except Unknown as error:
        return _failed(name, str(error), os.EX_DATAERR)
    assert trace, "--since goes with --summary"
    if arguments.json:
        print(as_json(values(trace), indent=2))
    else:
        width, colour = columns(sys.stdout), shows_colour(sys.stdout)
        print(explain.as_text(trace, width, verbose=arguments.verbose, colour=colour))
    if arguments.outbound and not outbound.has_signature(trace.outcome):
        return 1
    return 1 if trace.outcome.verdict.action is Action.REJECT else 0


def _failed(name: str, why: str, status: int) -> int:
    complain(f"mailassay: {name}: {why}")
    return status


def _message(path: str) -> bytes:
    """The message in a file, or that of a queue id as postcat prints it. Raises OSError, Unavailable, Unknown."""
    try:
        with open(0 if path == "-" else path, "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        if not QUEUE_ID.fullmatch(path):
            raise
        if printed := Queue().printed(path):
            return printed
        raise Unavailable("there is no file and no queued message with that name", os.EX_NOINPUT) from None
    raw = raw.removeprefix(BOM)
    if not raw.startswith(many.FROM):
        return raw
    messages = [*many.mbox(BytesIO(raw))]
    if len(messages) > 1:
        raise Unknown(f"this is an mbox of {len(messages)} messages; judge them with --summary")
    return messages[0]
