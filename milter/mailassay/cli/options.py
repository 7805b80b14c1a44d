"""What several commands take."""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ..config import Problem, Settings, load, load_anyway
from ..config.mynetworks import trusted
from ..nameservers import Nameservers, system_nameservers
from ..nameservers.turns import Turns
from ..resolver import Cached, Source
from ..zone import Zone

DEFAULT_CONFIG = "/etc/mailassay/mailassay.yaml"
_MOST_UNDER_WAY = 300  # DNS questions of a command, each of which takes a descriptor
_PATIENCE = 5.0  # seconds for Postfix's answer

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def takes_config(parser: argparse.ArgumentParser) -> None:
    """``--config``, for :func:`settings`."""
    parser.add_argument(
        "--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_CONFIG}, where there is one)"
    )


def takes_zone(parser: argparse.ArgumentParser) -> None:
    """``--zone``, for :func:`source`."""
    parser.add_argument("--zone", metavar="FILE", help="answer every DNS question from this zone file")


def takes_json(parser: argparse._ActionsContainer) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="for programs")


def config_file(arguments: argparse.Namespace) -> str | None:
    """The named configuration, or the default one; None where there is none."""
    if arguments.config is None and Path(DEFAULT_CONFIG).exists():
        return DEFAULT_CONFIG
    path: str | None = arguments.config
    return path


def settings(arguments: argparse.Namespace) -> Settings:
    """Those of the named configuration, or of the default one. Raises ConfigError."""
    return load(config_file(arguments))


def settings_anyway(arguments: argparse.Namespace) -> tuple[Settings, tuple[Problem, ...]]:
    """What is right in them, with defaults for the rest, and what is wrong; for commands that work all the same."""
    found, wrong = load_anyway(config_file(arguments))
    return found, wrong.problems if wrong else ()


def source(arguments: argparse.Namespace, settings: Settings) -> Source:
    """Where questions are asked: the zone file, or the configured name servers. Raises ZoneError, OSError."""
    if arguments.zone:
        return Zone.load(arguments.zone, limits=settings.policy.limits)
    nameservers = settings.nameservers or system_nameservers()
    return Cached(Nameservers(nameservers, settings.dns_timeout, settings.policy.limits), settings.cache_size)


def sources(arguments: argparse.Namespace, settings: Settings) -> Callable[[], Source]:
    """Makes the source of one message of many, whose questions are bounded together. Raises ZoneError, OSError."""
    found = source(arguments, settings)
    return Turns(found, _MOST_UNDER_WAY).asker if isinstance(found, Cached) else lambda: found


def asked(settings: Settings) -> Settings:
    """With what Postfix says of what they leave to it; as they are if it cannot be asked."""
    if settings.trusted_networks is None and (mynetworks := _postconf("mynetworks")) is not None:
        settings = replace(settings, trusted_networks=trusted(mynetworks))
    if settings.recipient_delimiter is None:
        settings = replace(settings, recipient_delimiter=_postconf("recipient_delimiter"))
    if "-" in (settings.recipient_delimiter or ""):
        special = {"yes": True, "no": False}.get((_postconf("owner_request_special") or "").lower())
        settings = replace(settings, owner_request_special=special)
    return settings


def host_names() -> set[str]:
    """The names of this host: its own, and the one that Postfix goes by."""
    return {socket.gethostname(), *(_postconf("myhostname") or "").split()}


def _postconf(name: str) -> str | None:
    """What Postfix has for a parameter; None if it cannot be asked."""
    if not (program := shutil.which("postconf", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")):
        return None
    try:
        done = subprocess.run(
            [program, "-xh", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
