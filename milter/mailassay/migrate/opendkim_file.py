"""An opendkim.conf(5) with the files that it includes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from .opendkim_options import BOOLEANS, OPTIONS, Fate
from .remark import Code, Place, Remark, error, note, warning
from .source import Unreadable, lines

_MAX_DEPTH = 5  # of Include; opendkim refuses more
_MAX_FILES = 100  # a file may include itself more than once


class Setting(NamedTuple):
    """What an option is set to, and where."""

    value: str
    place: Place

    @property
    def is_on(self) -> bool:
        """Of an option that is on or off: opendkim looks at the first character."""
        return self.value[:1] in ("t", "T", "y", "Y", "1")


class Settings:
    """The options of a configuration by their names in lower case. The last setting of each counts."""

    def __init__(self, path: str) -> None:
        """Read the file ``path``. Raises :class:`Unreadable`."""
        self.remarks: dict[Remark, None] = {}
        self._found: dict[str, Setting] = {}
        self._files = 0
        self._read(lines(path), 0)

    def get(self, name: str) -> Setting | None:
        """What an option is set to."""
        return self._found.get(name.lower())

    def is_on(self, name: str) -> bool:
        """Is an option on? All are off unless they are set."""
        found = self.get(name)
        return bool(found and found.is_on)

    def absolute(self, path: str) -> str | None:
        """A path of the configuration as an absolute one; None if only the running program knows."""
        base = self.get("BaseDirectory")
        joined = os.path.join(base.value if base else "", path)
        return joined if joined.startswith("/") else None

    def others(self) -> Iterable[Remark]:
        """What is to be said about options that are not taken."""
        for name, setting in self._found.items():
            option = OPTIONS[name]
            if option.fate is Fate.DIFFERS:
                yield note(setting.place, Code.OPTION, f"{option.name}: {option.words}")
            elif option.fate is Fate.WITHOUT and (name not in BOOLEANS or setting.is_on):
                yield warning(setting.place, Code.OPTION, f"{option.name} has no equivalent: {option.words}")

    def passed_over(self, *fates: Fate) -> list[tuple[str, Setting]]:
        """The options of some fates, by the names in the manual."""
        return [(OPTIONS[name].name, each) for name, each in self._found.items() if OPTIONS[name].fate in fates]

    def _read(self, found: Iterable[tuple[Place, str]], depth: int) -> None:
        self._files += 1
        for place, line in found:
            # the name ends at the first blank; CR ends the line
            words = line.partition("#")[0].partition("\r")[0].strip(" \t").replace("\t", " ").split(" ", 1)
            name, value = words[0].lower(), words[1].strip(" ") if len(words) > 1 else ""
            if not name:
                continue
            if name not in OPTIONS:
                what = f"{words[0]} is no option of opendkim.conf(5) that is known here"
                self._remark(warning(place, Code.UNKNOWN, what))
            elif not value:
                self._remark(error(place, Code.OPTION, f"{OPTIONS[name].name} has no value, which opendkim refuses"))
            elif name == "include":
                self._include(value, place, depth + 1)
            else:
                self._found[name] = Setting(value, place)

    def _include(self, path: str, place: Place, depth: int) -> None:
        if depth > _MAX_DEPTH or self._files >= _MAX_FILES:
            what = f"Include {path}: files include each other too deeply, which opendkim refuses"
            self._remark(error(place, Code.FILE, what, "Include each file once"))
        elif not path.startswith("/"):
            what = f"Include {path}: it depends on the folder in which opendkim was started"
            self._remark(error(place, Code.FILE, what, "Write its whole path"))
        else:
            try:
                self._read(lines(path), depth)
            except Unreadable as trouble:
                self._remark(error(place, Code.FILE, f"Include {path}: the file {trouble}"))

    def _remark(self, remark: Remark) -> None:
        self.remarks[remark] = None
