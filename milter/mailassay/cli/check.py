"""``mailassay check``."""

from __future__ import annotations

import argparse
import json
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from .. import explain
from ..conversation import Conversation
from ..message import split
from ..verdict import Action
from .options import Commands, settings, source, takes_config, takes_json, takes_zone

_BODY_CHUNK = 65536


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "check",
        help="judge a message file as the milter would",
        description="Judge a message as the milter would, and say why. Exit status 1 where it would be refused.",
    )
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="the message (default: - for stdin)")
    parser.add_argument("--ip", required=True, type=_address, metavar="IP", help="the address of the SMTP client")
    parser.add_argument("--helo", default="", metavar="NAME", help="what the client said in HELO or EHLO")
    parser.add_argument("--mail-from", default="", metavar="ADDR", help="the reverse-path (default: the null one)")
    parser.add_argument("--rcpt", default=[], action="append", metavar="ADDR", help="a recipient; may be repeated")
    takes_zone(parser)
    takes_json(parser)
    takes_config(parser)
    parser.set_defaults(run=_run)


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from error


def _run(arguments: argparse.Namespace) -> int:
    found = settings(arguments)
    with open(0 if arguments.file == "-" else arguments.file, "rb") as file:
        raw = file.read()
    conversation = Conversation(found, source(arguments, found), socket.gethostname())
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
