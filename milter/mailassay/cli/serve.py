"""``mailassay serve``."""

from __future__ import annotations

import argparse
import logging
import os

from ..config import load_anyway
from ..terminal import complain
from .options import Commands, asked, config_file, settings, takes_config

_MILTER = ("Milter", "milter")
_PACKAGES = (
    "Install the library: libmilter1.0.1 on Debian and Ubuntu, sendmail-milter on RHEL and Fedora, libmilter on "
    'Alpine. Install pymilter with pip: pip install "mailassay[serve]"'
)
_log = logging.getLogger(__name__)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "serve",
        help="run the milter in the foreground",
        description="Run the milter in the foreground and log to stderr. On SIGHUP it reads the configuration again, "
        "on SIGTERM it stops.",
    )
    takes_config(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # imported only here: pymilter needs libmilter, which a machine that only runs `check` may not have
    try:
        from ..daemon import CannotListen, Unusable, serve
    except ImportError as error:
        if error.name not in _MILTER:
            raise
        complain(f"mailassay: serve needs pymilter and libmilter: {error}\n{_PACKAGES}")
        return os.EX_UNAVAILABLE

    try:
        return serve(lambda: asked(settings(arguments, keys=True)), lambda: load_anyway(config_file(arguments))[0])
    except CannotListen as error:
        _log.error("%s", error)
        return os.EX_OSERR
    except Unusable as error:
        _log.error("%s", error)
        return os.EX_UNAVAILABLE
