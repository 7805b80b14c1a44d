"""The operator's two YAML files: what the daemon runs with, and its policy.

Every mistake in both files is reported at once, with its line and column, and nothing is guessed: a file with a
mistake is not used at all.
"""

from __future__ import annotations

import os
from typing import Any

import yaml

from ..address import Network
from ..policy import Policy
from .document import Code, ConfigError, Problem, Unfit, compose, fit, problem, shown, unreadable
from .lint import expired, in_container, is_elsewhere, warnings
from .policy_file import read_policy
from .reports import FailureReports, Reports, ReportTo, without_history
from .settings import (
    SETTINGS,
    Dns,
    Held,
    History,
    KeptAddresses,
    Log,
    LogFormat,
    LogLevel,
    Metrics,
    Relays,
    Settings,
    Untraced,
    Web,
)
from .signing import with_keys
from .values import Listen, Nameserver, Server, listen

__all__ = [
    "ConfigError",
    "Dns",
    "FailureReports",
    "Held",
    "History",
    "KeptAddresses",
    "Listen",
    "Log",
    "LogFormat",
    "LogLevel",
    "Metrics",
    "Nameserver",
    "Network",
    "Problem",
    "Relays",
    "ReportTo",
    "Reports",
    "Server",
    "Settings",
    "Untraced",
    "Web",
    "expired",
    "in_container",
    "is_elsewhere",
    "load",
    "load_anyway",
    "load_policy",
    "socket_named",
    "warnings",
]


def load(path: str | None, *, keys: bool = False) -> Settings:
    """The settings of a file, with the policy it names; None gives the defaults.

    ``keys``: with the keys that sign too, which few users can read. A relative ``policy`` starts at the folder of the
    file. Raises ConfigError with the problems of both files.
    """
    found, wrong = load_anyway(path, keys=keys)
    if wrong:
        raise wrong
    return found


def load_anyway(path: str | None, *, keys: bool = False) -> tuple[Settings, ConfigError | None]:
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
        # a folder that is wrong is reported already
        if not any(each.what.startswith("history") for each in problems):
            problems += without_history(given, lines, path)
    except OSError as error:
        problems += unreadable(path, error).problems
    except ConfigError as error:
        problems += error.problems
    if node := given.pop("policy_path", None):
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
    settings = Settings(**given)
    if keys:
        settings, unusable = with_keys(settings, path)
        problems += unusable
    return settings, ConfigError(problems) if problems else None


def socket_named(text: str) -> Listen:
    """The socket with a name as in ``listen``. Raises ValueError."""
    try:
        found: Listen = listen(yaml.ScalarNode("tag:yaml.org,2002:str", text))
    except Unfit as error:
        raise ValueError(str(error)) from error
    return found


def load_policy(path: str) -> Policy:
    """The policy of a file. Raises ConfigError."""
    try:
        found = read_policy(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if found.problems:
        raise ConfigError(found.problems)
    return found.policy
