"""The service: one socket, worker processes that share it, signals, and notices to systemd."""

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
from ..dmarc import suffix
from ..judge import logline
from . import libmilter, systemd
from .deferring import until_fixed
from .libmilter import Unusable
from .listening import CannotListen, listening
from .parent import Parent
from .resolv_conf import SystemNameservers

__all__ = ["CannotListen", "Unusable", "serve"]

# surviving objects before garbage is collected: a message that is over leaves none, unless a question of it failed
_ALLOCATIONS = 20_000

_log = logging.getLogger(__name__)


def serve(read: Callable[[], Settings], read_anyway: Callable[[], Settings]) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status.

    Raises :class:`CannotListen` and :class:`Unusable`, after logging is set up.

    ``read`` reads the configuration, at start and on SIGHUP. If it raises ConfigError on SIGHUP, nothing changes. If it
    does so at start and systemd holds the socket, all mail is deferred until the configuration is right; without such a
    socket, its mistakes are logged and the status is EX_CONFIG. ``read_anyway`` gives the valid part of a configuration
    with a mistake, so that the log has the format that its readers expect.
    """
    system, inherited = SystemNameservers(), systemd.inherited()
    try:
        settings = system.resolved(read())
    except ConfigError as mistake:
        _keep_nothing_of_stderr()
        anyway = read_anyway()
        logline.set_up(anyway.log.level, anyway.log.format)
        if inherited is None:
            for problem in mistake.problems:
                _log.error("%s", problem)
            return os.EX_CONFIG
        found = until_fixed(inherited, mistake, lambda: system.resolved(read()))
        if found is None:
            return os.EX_OK
        settings = found
    _keep_nothing_of_stderr()
    logline.set_up(settings.log.level, settings.log.format)
    # each connection and each DNS question takes a descriptor; systemd forbids the call, and has its own limit
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    libmilter.register()
    try:
        suffix.read()
    except ImportError as error:
        raise Unusable(f"the Public Suffix List is missing: {error}") from error
    # objects from before the fork stay: no worker searches them for garbage, which would also copy their memory
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
    with listening(settings) as descriptor:
        return Parent(settings, read, descriptor, system).run()


def _keep_nothing_of_stderr() -> None:
    """Lose at once what cannot be written.

    Otherwise Python would keep it: each later flush would fail, the one at exit too, and a fork would write it twice.
    """
    if sys.stderr:
        raw = io.FileIO(sys.stderr.fileno(), "w", closefd=False)
        # as with PYTHONUNBUFFERED
        sys.stderr = io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
