"""The command line. Exit status: 0 fine, 1 the check says no, 2 usage, 70 and more as in sysexits.h."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from . import __version__, explain
from .config import ConfigError, Settings, load
from .conversation import Conversation
from .message import split
from .network import Nameservers, system_nameservers
from .resolver import Cached, Source
from .verdict import Action
from .zone import Zone, ZoneError

DEFAULT_CONFIG = "/etc/mailassay/mailassay.yaml"
_BODY_CHUNK = 65536


def main(argv: Sequence[str] | None = None) -> int:
    """The program ``mailassay``; the exit status."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a terminal that cannot show a sender's letters
        sys.stdout.reconfigure(errors="replace")
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (ConfigError, ZoneError) as error:
        print(error, file=sys.stderr)
        return os.EX_CONFIG
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        # a reader that has seen enough needs no words
        if not isinstance(error, BrokenPipeError):
            place = f"{error.filename}: " if error.filename else ""
            print(f"mailassay: {place}{error.strerror or error}", file=sys.stderr)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # what could not be written now must not be tried again at interpreter exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return os.EX_IOERR
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mailassay",
        description="One milter for Postfix: is this mail what it claims to be? iprev, SPF, DKIM, ARC and DMARC.",
        epilog="Exit status: 0 fine, 1 the check says no, 2 usage, 70 and more as in sysexits.h.",
    )
    parser.add_argument("--version", action="version", version=f"mailassay {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser(
        "serve",
        help="run the milter in the foreground",
        description="Run the milter in the foreground and log to stderr. SIGTERM ends it.",
    )
    _takes_config(serve)
    serve.set_defaults(run=_serve)

    check = commands.add_parser(
        "check",
        help="judge a message file as the milter would",
        description="Judge a message as the milter would, and say why. Exit status 1 where it would be refused.",
    )
    check.add_argument("file", nargs="?", default="-", metavar="FILE", help="the message (default: - for stdin)")
    check.add_argument("--ip", required=True, type=_address, metavar="IP", help="the address of the SMTP client")
    check.add_argument("--helo", default="", metavar="NAME", help="what the client said in HELO or EHLO")
    check.add_argument("--mail-from", default="", metavar="ADDR", help="the reverse-path (default: the null one)")
    check.add_argument("--rcpt", default=[], action="append", metavar="ADDR", help="a recipient; may be repeated")
    check.add_argument("--zone", metavar="FILE", help="answer every DNS question from this zone file")
    check.add_argument("--json", action="store_true", help="for programs")
    _takes_config(check)
    check.set_defaults(run=_check)

    config = commands.add_parser("config", help="look at the configuration")
    config_commands = config.add_subparsers(metavar="COMMAND", required=True)
    config_check = config_commands.add_parser(
        "check",
        help="validate configuration and policy",
        description="Validate configuration and policy; each error as file:line:column: message. Exit status 1 if any.",
    )
    _takes_config(config_check)
    config_check.set_defaults(run=_config_check)
    return parser


def _takes_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_CONFIG}, where there is one)"
    )


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from error


def _settings(arguments: argparse.Namespace) -> Settings:
    path: str | None = arguments.config
    if path is None and Path(DEFAULT_CONFIG).exists():
        path = DEFAULT_CONFIG
    return load(path)


def _serve(arguments: argparse.Namespace) -> int:
    # only here: pymilter needs libmilter, which a machine that merely runs `check` may not have
    from .daemon import CannotListen, serve

    try:
        return serve(_settings(arguments))
    except CannotListen as error:
        print(f"mailassay: {error}", file=sys.stderr)
        return os.EX_OSERR


def _check(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    with open(0 if arguments.file == "-" else arguments.file, "rb") as file:
        raw = file.read()
    conversation = Conversation(settings, _source(arguments.zone, settings), socket.gethostname())
    conversation.connect(arguments.ip)
    conversation.helo(arguments.helo)
    conversation.mail_from(arguments.mail_from)
    for recipient in arguments.rcpt:
        conversation.recipient(recipient)
    headers, body = split(raw)
    for field in headers:
        conversation.header(*field)
    conversation.end_of_headers()
    for at in range(0, len(body), _BODY_CHUNK):
        if not conversation.body(body[at : at + _BODY_CHUNK]):
            break
    outcome = conversation.end_of_message()
    if arguments.json:
        print(json.dumps(explain.as_json(outcome, conversation.client), indent=2))
    else:
        print(explain.as_text(outcome, conversation.client))
    return 1 if outcome.verdict.action is Action.REJECT else 0


def _source(zone: str | None, settings: Settings) -> Source:
    if zone:
        return Zone.load(zone)
    nameservers = settings.nameservers or system_nameservers()
    return Cached(Nameservers(nameservers, settings.dns_timeout, settings.policy.limits), settings.cache_size)


def _config_check(arguments: argparse.Namespace) -> int:
    try:
        settings = _settings(arguments)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    policy = settings.policy_path or "standard"
    print(f"configuration {arguments.config or 'built-in'}, policy {policy}: fine")
    return 0
