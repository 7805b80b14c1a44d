"""Options that several commands have."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ..config import Problem, Settings, load, load_anyway
from ..config.mynetworks import trusted
from ..postfix import postconf
from ..resolver import Cached, Source
from ..zone import Zone

DEFAULT_CONFIG = "/etc/mailassay/mailassay.yaml"
_MOST_UNDER_WAY = 300  # DNS questions of a command; each takes a descriptor

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def takes_config(parser: argparse.ArgumentParser) -> None:
    """``--config``, for :func:`settings`."""
    parser.add_argument("--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_CONFIG}, if it exists)")


def takes_zone(parser: argparse.ArgumentParser) -> None:
    """``--zone``, for :func:`source`."""
    parser.add_argument("--zone", metavar="FILE", help="answer every DNS question from this zone file")


def takes_json(parser: argparse._ActionsContainer) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def config_file(arguments: argparse.Namespace) -> str | None:
    """The given configuration, or the default one; None if there is none."""
    if arguments.config is None and Path(DEFAULT_CONFIG).exists():
        return DEFAULT_CONFIG
    path: str | None = arguments.config
    return path


def settings(arguments: argparse.Namespace, *, keys: bool = False) -> Settings:
    """The settings of the given configuration, or of the default one; with the ``keys`` too. Raises ConfigError."""
    return load(config_file(arguments), keys=keys)


def settings_anyway(arguments: argparse.Namespace, *, keys: bool = False) -> tuple[Settings, tuple[Problem, ...]]:
    """The valid settings, with defaults for the rest, and the problems; for commands that work all the same."""
    found, wrong = load_anyway(config_file(arguments), keys=keys)
    return found, wrong.problems if wrong else ()


def source(arguments: argparse.Namespace, settings: Settings) -> Source:
    """The source of DNS answers: the zone file, or the configured name servers. Raises ZoneError, OSError."""
    if arguments.zone:
        return Zone.load(arguments.zone, limits=settings.policy.limits)
    # the commands that look into the history ask no DNS
    from ..nameservers import Nameservers, system_nameservers

    nameservers = settings.dns.nameservers or system_nameservers()
    return Cached(Nameservers(nameservers, settings.dns.timeout, settings.policy.limits), settings.dns.cache_size)


def sources(arguments: argparse.Namespace, settings: Settings) -> Callable[[], Source]:
    """Makes the source of each of many messages, with one bound for all questions. Raises ZoneError, OSError."""
    found = source(arguments, settings)
    from ..nameservers.turns import Turns

    return Turns(found, _MOST_UNDER_WAY).asker if isinstance(found, Cached) else lambda: found


def asked(settings: Settings) -> Settings:
    """The settings with Postfix's values where they leave them to Postfix; unchanged if it cannot be asked."""
    if settings.trusted_networks is None and (mynetworks := postconf.value("mynetworks")) is not None:
        settings = replace(settings, trusted_networks=trusted(mynetworks))
    if settings.recipient_delimiter is None:
        settings = replace(settings, recipient_delimiter=postconf.value("recipient_delimiter"))
    if "-" in (settings.recipient_delimiter or ""):
        special = {"yes": True, "no": False}.get((postconf.value("owner_request_special") or "").lower())
        settings = replace(settings, owner_request_special=special)
    return settings


def host_names(*, of_postfix_only: bool = False) -> set[str]:
    """The names of this host: its own, and Postfix's myhostname; empty if only the latter counts and is not known."""
    return {*([] if of_postfix_only else [socket.gethostname()]), *(postconf.value("myhostname") or "").split()}
