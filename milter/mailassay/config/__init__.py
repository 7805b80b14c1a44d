"""The operator's two YAML files: what the daemon runs with, and its policy.

Every mistake in both files is reported at once, with its line and column, and nothing is guessed: a file with a
mistake is not used at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from ..limits import Limits
from ..policy import DkimRules, DmarcActions, IprevActions, Mode, Partial, Policy, SpfActions, TagHeaders
from ..verdict import Action
from . import values
from .document import ConfigError, List, Map, Problem, Unfit, problem, read, shown
from .values import Listen, Nameserver, Network

__all__ = [
    "ConfigError",
    "Listen",
    "LogFormat",
    "LogLevel",
    "Nameserver",
    "Network",
    "Problem",
    "Settings",
    "load",
    "load_policy",
]


class LogLevel(StrEnum):
    """The least severe lines that are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Lines for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the daemon runs with. Times are in seconds.

    None stands for: the host's name (``authserv_id``), the built-in standard policy (``policy_path``), one worker per
    CPU (``workers``), workers that stay (``retire_after``, in messages), the group the socket is born with
    (``socket_group``). No ``nameservers`` means the system's.
    ``cache_size`` counts answers per worker.
    """

    listen: Listen = field(default=Listen("unix", path="/run/mailassay/mailassay.sock"))
    socket_mode: int = 0o660
    socket_group: str | None = "postfix"
    authserv_id: str | None = None
    policy: Policy = field(default_factory=Policy)
    policy_path: str | None = None
    workers: int | None = None
    retire_after: int | None = None
    trusted_networks: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    nameservers: tuple[Nameserver, ...] = ()
    dns_timeout: float = 2.0
    cache_size: int = 50_000
    message_timeout: float = 20.0
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT


def load(path: str | None) -> Settings:
    """The settings of a file, with the policy it names; None gives the defaults.

    A relative ``policy`` starts at the folder of the file. Raises ConfigError with the problems of both files.
    """
    if path is None:
        return Settings()
    try:
        given, problems = read(path, _SETTINGS)
    except OSError as error:
        raise _unreadable(path, error) from error
    if node := given.pop("policy", None):
        policy_path = os.path.join(os.path.dirname(path), node.value)
        try:
            policy, more = read(policy_path, _POLICY)
        except OSError as error:
            message = f"policy: {shown(policy_path)} cannot be read: {error.strerror}"
            problems.append(problem(path, node, message))
        else:
            given |= {"policy": policy, "policy_path": policy_path}
            problems += more
    if problems:
        raise ConfigError(problems)
    dns, log = given.pop("dns", {}), given.pop("log", {})
    return Settings(**given, **dns, **log)


def load_policy(path: str) -> Policy:
    """The policy of a file. Raises ConfigError."""
    try:
        policy, problems = read(path, _POLICY)
    except OSError as error:
        raise _unreadable(path, error) from error
    if problems:
        raise ConfigError(problems)
    return policy


def _unreadable(path: str, error: OSError) -> ConfigError:
    return ConfigError([Problem(path, 1, 1, f"cannot be read: {error.strerror}")])


def _tag(**given: str) -> TagHeaders:
    tag = TagHeaders(**given)
    if tag.flag.lower() == tag.verdict.lower():
        raise Unfit(f"flag and verdict are both {shown(tag.flag)}")
    return tag


_DMARC = values.one_of(Action.REJECT, Action.HOLD, Action.TAG, Action.ACCEPT)
_AMBIGUOUS = values.one_of(Action.REJECT, Action.HOLD, Action.TAG)
_WAIT = values.one_of(Action.ACCEPT, Action.DEFER)
_FAILED = values.one_of(*Action)
_UNDECIDED = values.one_of(Action.ACCEPT, Action.TAG, Action.HOLD, Action.DEFER)

# the least and the most that makes sense; where an RFC demands a limit, what it demands is allowed
_LIMITS = {
    "header_fields": (50, 100_000),
    "header_octets": (10_000, 100_000_000),
    "from_fields": (1, 100),
    "from_octets": (1000, 100_000),
    "from_domains": (1, 100),
    "forged_fields": (100, 10_000),
    "results_octets": (10_000, 10_000_000),
    "signatures": (1, 100),
    "key_records": (1, 20),
    "key_bits": (4096, 16_384),
    "clock_tolerance": (0, 86_400),
    "arc_sets": (1, 50),
    "spf_terms": (10, 100),
    "spf_void_lookups": (2, 100),
    "spf_mx_hosts": (10, 100),
    "ptr_names": (1, 100),
    "dmarc_queries": (8, 100),
    "identifiers": (2, 200),
    "record_octets": (1000, 65_536),
    "dns_questions": (50, 10_000),
    "dns_octets": (4096, 65_535),
    "dns_records": (50, 5000),
}

_POLICY = Map(
    Policy,
    {
        "mode": values.one_of(*Mode),
        "dmarc": Map(
            DmarcActions,
            {
                "reject": _DMARC,
                "quarantine": _DMARC,
                "temperror": _WAIT,
                "ambiguous_author": values.or_word("readings", _AMBIGUOUS),
                "public_suffixes": values.boolean,
            },
        ),
        "dkim": Map(DkimRules, {"partial": values.one_of(*Partial)}),
        "spf": Map(
            SpfActions,
            {"fail": _FAILED, "softfail": _FAILED, "permerror": _FAILED, "temperror": _UNDECIDED},
        ),
        "iprev": Map(IprevActions, {"fail": _FAILED, "permerror": _FAILED, "temperror": _UNDECIDED}),
        "tag": Map(_tag, {"flag": values.header_name, "verdict": values.header_name}),
        "limits": Map(Limits, {name: values.whole(*bounds) for name, bounds in _LIMITS.items()}),
        "rules": values.no_rules,
    },
)


def _dns(**given: Any) -> dict[str, Any]:
    return {"dns_timeout" if key == "timeout" else key: value for key, value in given.items()}


def _log(**given: Any) -> dict[str, Any]:
    return {f"log_{key}": value for key, value in given.items()}


_SETTINGS: Map[dict[str, Any]] = Map(
    dict,
    {
        "listen": values.listen,
        "socket_mode": values.mode,
        "socket_group": values.or_nothing(values.group),
        "authserv_id": values.or_nothing(values.authserv_id),
        "policy": values.or_nothing(values.path),
        "workers": values.whole(1, 1024, unless="auto"),
        "retire_after": values.whole(1, 999_999_999, unless="never"),
        "trusted_networks": List(values.network),
        "dns": Map(
            _dns,
            {
                "nameservers": List(values.nameserver),
                "timeout": values.seconds(60),
                "cache_size": values.whole(0, 10_000_000),
            },
        ),
        # Postfix itself waits 300 s (milter_content_timeout)
        "message_timeout": values.seconds(300),
        "log": Map(_log, {"level": values.one_of(*LogLevel), "format": values.one_of(*LogFormat)}),
    },
)
