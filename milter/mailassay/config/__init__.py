"""The operator's two YAML files: what the daemon runs with, and its policy.

Every mistake in both files is reported at once, with its line and column, and nothing is guessed: a file with a
mistake is not used at all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from ..address import Network
from ..policy import Policy
from ..policy.sets import Networks
from ..verdict import Action
from . import values
from .document import Code, ConfigError, List, Map, Problem, Short, Value, compose, fit, problem, shown, unreadable
from .lint import expired, warnings
from .policy import read_policy, trusted
from .values import Listen, Nameserver

__all__ = [
    "ConfigError",
    "Listen",
    "LogFormat",
    "LogLevel",
    "Nameserver",
    "Network",
    "Problem",
    "Relays",
    "Settings",
    "Untraced",
    "expired",
    "load",
    "load_anyway",
    "load_policy",
    "warnings",
]


class LogLevel(StrEnum):
    """The lowest level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Lines for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


class Untraced(StrEnum):
    """What happens to a message that fails DMARC, if it is unknown which client a relay received it from."""

    DMARC = "dmarc"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Relays:
    """The operator's own hosts that pass on other people's mail: their networks, and the logins that they use here."""

    networks: Networks = Networks()
    logins: tuple[str, ...] = ()
    untraced: Untraced = Untraced.DMARC


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon runs with. Times are in seconds.

    None means: the host's name (``authserv_id``), the built-in standard policy (``policy_path``), one worker per CPU
    (``workers``), no retirement (``retire_after``, in messages), the daemon's own group (``socket_group``), Postfix's
    value (``recipient_delimiter``, and ``trusted_networks``: its mynetworks), and no mail about messages on hold
    (``held_remind_to``). ``owner_request_special`` is Postfix's value, None if it cannot be asked. No ``nameservers``
    means the system's. ``cache_size`` counts answers per worker. ``policy_lines`` are the lines of the policy's keys by
    their dotted names, and of its rules (``rules.NAME``); ``lines`` are those of the configuration. ``odd`` has the
    warnings about the policy file.
    """

    listen: Listen = field(default=Listen("unix", path="/run/mailassay/mailassay.sock"))
    socket_mode: int = 0o660
    socket_group: str | None = "postfix"
    authserv_id: str | None = None
    policy: Policy = field(default_factory=Policy)
    policy_path: str | None = None
    policy_lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    odd: tuple[Problem, ...] = field(default=(), repr=False, compare=False)
    workers: int | None = None
    retire_after: int | None = None
    trusted_networks: tuple[Network, ...] | None = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    relays: Relays = Relays()
    recipient_delimiter: str | None = None
    owner_request_special: bool | None = None
    nameservers: tuple[Nameserver, ...] = ()
    dns_timeout: float = 2.0
    dns_unavailable: Action = Action.DEFER
    cache_size: int = 50_000
    message_timeout: float = 20.0
    held_remind_to: str | None = None
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT


def load(path: str | None) -> Settings:
    """The settings of a file, with the policy it names; None gives the defaults.

    A relative ``policy`` starts at the folder of the file. Raises ConfigError with the problems of both files.
    """
    found, wrong = load_anyway(path)
    if wrong:
        raise wrong
    return found


def load_anyway(path: str | None) -> tuple[Settings, ConfigError | None]:
    """The valid part of a file and its policy, with defaults for the rest; and the problems of both files.

    For commands that examine a host whose configuration is broken. Do not judge mail by it.
    """
    if path is None:
        return Settings(), None
    given: dict[str, Any] = {}
    problems: list[Problem] = []
    try:
        given, problems, lines = fit(compose(path), SETTINGS)
        given["lines"] = lines
    except OSError as error:
        problems += unreadable(path, error).problems
    except ConfigError as error:
        problems += error.problems
    if node := given.pop("policy", None):
        policy_path = given["policy_path"] = os.path.join(os.path.dirname(path), node.value)
        try:
            found = read_policy(policy_path)
        except OSError as error:
            what = f"policy: {shown(policy_path)} cannot be read: {error.strerror}"
            problems.append(problem(node, Code.UNREADABLE, what))
        except ConfigError as error:
            problems += error.problems
        else:
            given |= {
                "policy": found.policy,
                "policy_lines": found.lines,
                "odd": tuple(found.odd),
            }
            problems += found.problems
    dns, held, log = (given.pop(key, {}) for key in ("dns", "held", "log"))
    return Settings(**given, **dns, **held, **log), ConfigError(problems) if problems else None


def load_policy(path: str) -> Policy:
    """The policy of a file. Raises ConfigError."""
    try:
        found = read_policy(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if found.problems:
        raise ConfigError(found.problems)
    return found.policy


def _relays(networks: tuple[Network, ...] = (), **given: Any) -> Relays:
    return Relays(Networks(networks), **given)


def _dns(**given: Any) -> dict[str, Any]:
    return {f"dns_{key}" if key in ("timeout", "unavailable") else key: value for key, value in given.items()}


def _held(**given: Any) -> dict[str, Any]:
    return {f"held_{key}": value for key, value in given.items()}


def _log(**given: Any) -> dict[str, Any]:
    return {f"log_{key}": value for key, value in given.items()}


SETTINGS: Map[dict[str, Any]] = Map(
    dict,
    {
        "listen": values.listen,
        "socket_mode": values.mode,
        "socket_group": values.or_nothing(values.group),
        "authserv_id": values.or_nothing(values.authserv_id),
        "policy": values.or_nothing(values.path),
        "workers": values.whole(1, 1024, unless="auto"),
        "retire_after": values.whole(1, 999_999_999, unless="never"),
        "trusted_networks": List(values.trusted_network, unless="postfix"),
        "relays": Short(
            Map(
                _relays,
                {
                    "networks": List(Value(lambda node: trusted(values.network(node)), values.network.schema)),
                    "logins": List(values.login),
                    "untraced": values.one_of(*Untraced),
                },
            ),
            "networks",
        ),
        "recipient_delimiter": values.or_nothing(values.delimiters),
        "dns": Map(
            _dns,
            {
                "nameservers": List(values.nameserver),
                "timeout": values.seconds(60),
                "unavailable": values.one_of(Action.DEFER, Action.ACCEPT),
                "cache_size": values.whole(0, 10_000_000),
            },
        ),
        # Postfix itself waits 300 s (milter_content_timeout)
        "message_timeout": values.seconds(300),
        "held": Map(_held, {"remind_to": values.or_nothing(values.address)}),
        "log": Map(_log, {"level": values.one_of(*LogLevel), "format": values.one_of(*LogFormat)}),
    },
)
