"""The configuration as it is now: the collector is not told of a reload."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from ..config import ConfigError, Settings


class CurrentSettings:
    """The settings of the files as they are now; the last ones without a mistake, if there is one.

    ``again`` reads the files ``paths`` anew, and may raise ConfigError.
    """

    def __init__(self, settings: Settings, again: Callable[[], Settings], *paths: str | None) -> None:
        self._settings, self._again = settings, again
        self._paths = [path for path in paths if path]
        self._lock = threading.Lock()
        self._seen = self._state()

    def settings(self) -> Settings:
        """The settings."""
        with self._lock:
            if (state := self._state()) != self._seen:
                self._seen = state
                # with a mistake in the files, the daemon goes on with the last ones, too
                with suppress(ConfigError):
                    self._settings = self._again()
            return self._settings

    def _state(self) -> list[tuple[int, int]]:
        paths = [*self._paths, *filter(None, [self._settings.policy_path])]
        return [_state(path) for path in paths]


def _state(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino
