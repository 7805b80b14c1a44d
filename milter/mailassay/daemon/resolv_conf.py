"""The name servers of settings that name none: the system's, also when they change."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import replace

from .. import nameservers
from ..config import ConfigError, Settings
from ..nameservers import Place

_Mark = tuple[int, int, int] | None

_log = logging.getLogger(__name__)


class SystemNameservers:
    """Those that resolv.conf(5) names now, or has named last: the file may be away, or empty, while it is written."""

    def __init__(self) -> None:
        self._found: tuple[Place, ...] = ()  # none: the settings name theirs
        self._mark: _Mark = None  # of the file that they are from
        self._wrong: _Mark = None  # of the last one that had a mistake

    def resolved(self, settings: Settings) -> Settings:
        """With the system's name servers if they name none, which are followed from now on. Raises ConfigError."""
        if settings.nameservers:
            self._found = ()
            return settings
        # before the file is read: what is written meanwhile is seen the next time
        mark = _mark()
        found = tuple(nameservers.listed_nameservers()) or self._found or tuple(nameservers.system_nameservers())
        self._found, self._mark = found, mark
        return replace(settings, nameservers=found)

    def changed(self) -> tuple[Place, ...] | None:
        """Those that are named now, if they are others. A file that is missing, empty or wrong changes nothing."""
        mark = _mark()
        if not self._found or mark == self._mark:
            return None
        try:
            found = tuple(nameservers.listed_nameservers())
        except ConfigError as error:
            if mark != self._wrong:
                self._wrong = mark
                _log.warning("%s; the name servers stay", error.problems[0])
            return None
        if not found:
            return None
        before, self._found, self._mark = self._found, found, mark
        return None if found == before else found


def text(places: Iterable[Place]) -> str:
    """Name servers for the log."""
    return ", ".join(f"{address} port {port}" for address, port in places)


def _mark() -> _Mark:
    """What changes with the file; None if it is missing."""
    try:
        found = os.stat(nameservers.RESOLV_CONF)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
