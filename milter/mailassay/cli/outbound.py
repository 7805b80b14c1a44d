"""``mailassay check --outbound``: what ``serve`` would do with a message as outgoing mail."""

from __future__ import annotations

import argparse
import errno
import os
import pwd
import socket
from concurrent.futures import Future
from dataclasses import replace

from ..config import ConfigError, Problem, Settings
from ..config.document import Code
from ..judge.outcome import Outcome
from ..replay.message_file import Given, Unknown, read
from ..replay.trace import Trace, judge
from ..resolver import Answer, DnsTempError, Question
from ..sign import Unsigned
from ..verdict import Decider, Kind
from .history_options import not_empty
from .options import asked, host_names, settings_anyway

_USER = "mailassay"  # of the service
_NO_USE = ("helo", "rcpt", "host", "policy", "since", "zone")


def takes_outbound(parser: argparse.ArgumentParser) -> None:
    """``--outbound`` and ``--login``."""
    parser.add_argument(
        "--outbound",
        action="store_true",
        help="say what would become of the message as outgoing mail: the keys and fields by which it would be signed, "
        "or why it would not be. Without --login and --ip, it comes from a program on this host. The file is the "
        "message as that program hands it over, or a queue id. Only root and the user of the service can read the keys",
    )
    parser.add_argument(
        "--login", type=not_empty, metavar="NAME", help="with --outbound, the name by which the client logged in (SASL)"
    )


def useless(arguments: argparse.Namespace) -> str:
    """Why options do not go together, in words; empty if they do."""
    if not arguments.outbound:
        return "--login needs --outbound" if arguments.login is not None else ""
    if given := [f"--{name}" for name in _NO_USE if getattr(arguments, name) is not None]:
        return f"{given[0]} makes no difference to what is signed: leave it or --outbound out"
    return ""


def settings(arguments: argparse.Namespace) -> Settings:
    """The settings with the keys. Raises ConfigError."""
    found, problems = settings_anyway(arguments, keys=True)
    if problems:
        raise ConfigError([_for_this_user(each) for each in problems])
    return asked(found)


def _for_this_user(problem: Problem) -> Problem:
    """The problem; if it is a key that this user must not read, with what to do about that."""
    is_forbidden = problem.code == Code.UNREADABLE and os.strerror(errno.EACCES) in problem.what
    if not is_forbidden or _is_service():
        return problem
    return replace(problem, fix=f"run this as root, or as the user of the service: sudo -u {_USER} mailassay check ...")


def _is_service() -> bool:
    """Does this run as root or as the user of the service? If these cannot read a key, its permissions are wrong."""
    try:
        return os.geteuid() in (0, pwd.getpwnam(_USER).pw_uid)
    except KeyError:
        return os.geteuid() == 0


def host() -> str:
    """The name by which Postfix calls this host, which is our authserv-id if the settings have none."""
    return next(iter(host_names(of_postfix_only=True)), socket.gethostname())


def signed(raw: bytes, arguments: argparse.Namespace, found: Settings, host: str) -> Trace:
    """What becomes of a message. Raises Unknown if it would be judged: then it is not outgoing mail."""
    written = (found.policy.tag.flag, *found.policy.fields)
    given = Given(
        arguments.ip,
        mail_from=arguments.mail_from,
        tags=written,
        relays=found.relays,
        login=arguments.login,
        outgoing=True,
    )
    trace = judge(read(raw, given, ()), found, _unasked, host, arguments.at)
    outcome = trace.outcome
    if not (outcome.signed_by or outcome.unsigned or outcome.verdict.decider == _FORGED):
        raise Unknown(_not_outgoing(outcome))
    return trace


_FORGED = Decider(Kind.BUILT_IN, "forged_fields")


def _not_outgoing(outcome: Outcome) -> str:
    if outcome.connection and outcome.connection.untraced:
        return f"this is not outgoing mail: {outcome.client} is a relay, and {outcome.connection.untraced}"
    client = outcome.client or "a client without an address"
    return (
        f"this is not outgoing mail: {client} is not in trusted_networks and did not log in, so its mail is judged and "
        "never signed; give the name of a login with --login"
    )


def _unasked(question: Question) -> Future[Answer]:
    """A source for mail that is not judged, which asks nothing."""
    found: Future[Answer] = Future()
    found.set_exception(DnsTempError(f"{question.name} {question.rdtype} was not asked"))
    return found


def has_signature(outcome: Outcome) -> bool:
    """Does the message leave with a signature of ours, a new one or an earlier one?"""
    return bool(outcome.signed_by) or outcome.unsigned is Unsigned.SIGNED
