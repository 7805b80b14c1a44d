"""The system's name servers, for settings that name none; follows changes."""

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
    """The name servers in resolv.conf(5), now or last: the file may be missing or empty while it is written."""

    def __init__(self) -> None:
        self._found: tuple[Place, ...] = ()  # empty if the settings name some
        self._mark: _Mark = None  # of the file that has them
        self._wrong: _Mark = None  # of the last file with a mistake

    def resolved(self, settings: Settings) -> Settings:
        """The settings, with the system's name servers if they name none; follows these. Raises ConfigError."""
        if settings.dns.nameservers:
            self._found = ()
            return settings
        # taken before the file is read, so a change meanwhile is seen the next time
        mark = _mark()
        found = tuple(nameservers.listed_nameservers()) or self._found or tuple(nameservers.system_nameservers())
        self._found, self._mark = found, mark
        return asking(settings, found)

    def changed(self) -> tuple[Place, ...] | None:
        """The name servers, if they have changed; else None. A missing, empty or wrong file changes nothing."""
        mark = _mark()
        if not self._found or mark == self._mark:
            return None
        try:
            found = tuple(nameservers.listed_nameservers())
        except ConfigError as error:
            if mark != self._wrong:
                self._wrong = mark
                _log.warning("%s; the name servers stay the same", error.problems[0])
            return None
        if not found:
            return None
        before, self._found, self._mark = self._found, found, mark
        return None if found == before else found


def asking(settings: Settings, places: tuple[Place, ...]) -> Settings:
    """The settings with these name servers."""
    return replace(settings, dns=replace(settings.dns, nameservers=places))


def text(places: Iterable[Place]) -> str:
    """Name servers for the log."""
    return ", ".join(f"{address} port {port}" for address, port in places)


def _mark() -> _Mark:
    """A value that changes with the file; None if it is missing."""
    try:
        found = os.stat(nameservers.RESOLV_CONF)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
