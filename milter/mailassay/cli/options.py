"""What several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from ..config import Settings, load
from ..network import Nameservers, system_nameservers
from ..resolver import Cached, Source
from ..zone import Zone

DEFAULT_CONFIG = "/etc/mailassay/mailassay.yaml"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def takes_config(parser: argparse.ArgumentParser) -> None:
    """``--config``, for :func:`settings`."""
    parser.add_argument(
        "--config", metavar="FILE", help=f"the configuration (default: {DEFAULT_CONFIG}, where there is one)"
    )


def takes_zone(parser: argparse.ArgumentParser) -> None:
    """``--zone``, for :func:`source`."""
    parser.add_argument("--zone", metavar="FILE", help="answer every DNS question from this zone file")


def takes_json(parser: argparse.ArgumentParser) -> None:
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


def source(arguments: argparse.Namespace, settings: Settings) -> Source:
    """Where questions are asked: the zone file, or the configured name servers. Raises ZoneError, OSError."""
    if arguments.zone:
        return Zone.load(arguments.zone)
    nameservers = settings.nameservers or system_nameservers()
    return Cached(Nameservers(nameservers, settings.dns_timeout, settings.policy.limits), settings.cache_size)
