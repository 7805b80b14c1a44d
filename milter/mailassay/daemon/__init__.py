"""The service: one socket, worker processes that share it, signals, and what systemd wants to know."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import resource
import sys
from collections.abc import Callable

from ..config import ConfigError, Settings
from ..judge import logline
from . import systemd, worker
from .deferring import until_fixed
from .listening import CannotListen, listening
from .parent import Parent
from .resolv_conf import SystemNameservers

__all__ = ["CannotListen", "serve"]

# objects made, and not let go, before garbage is collected: a message makes some hundred, and almost no cycles
_ALLOCATIONS = 20_000

_log = logging.getLogger(__name__)


def serve(read: Callable[[], Settings], read_anyway: Callable[[], Settings]) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises :class:`CannotListen`, once it is known how to log.

    ``read`` reads the configuration, now and on SIGHUP; if it raises ConfigError then, everything stays as it is. If it
    does so now and systemd holds the socket, all mail is deferred until it does no more. ``read_anyway`` gives what is
    right in a configuration with a mistake, so that the log has the format that its readers expect.
    """
    system, inherited = SystemNameservers(), systemd.inherited()
    try:
        settings = system.resolved(read())
    except ConfigError as mistake:
        _keep_nothing_of_stderr()
        anyway = read_anyway()
        logline.set_up(anyway.log_level, anyway.log_format)
        if inherited is None:
            for problem in mistake.problems:
                _log.error("%s", problem)
            return os.EX_CONFIG
        found = until_fixed(inherited, mistake, lambda: system.resolved(read()))
        if found is None:
            return os.EX_OK
        settings = found
    _keep_nothing_of_stderr()
    logline.set_up(settings.log_level, settings.log_format)
    # a descriptor for each connection and each DNS question under way; systemd forbids it, and has its own limit
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    worker.register()
    # what is there before the fork stays: no worker looks through it for garbage, nor gets a copy of its own by that
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
    with listening(settings) as descriptor:
        return Parent(settings, read, descriptor, system).run()


def _keep_nothing_of_stderr() -> None:
    """What cannot be written is lost at once.

    Else Python would keep it: each flush would fail from then on, that of the exit too, and a fork would double it.
    """
    if sys.stderr:
        raw = io.FileIO(sys.stderr.fileno(), "w", closefd=False)
        # as PYTHONUNBUFFERED does it
        sys.stderr = io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
