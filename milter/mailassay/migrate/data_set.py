"""A data set of opendkim(8): a list in the configuration, a file of keys and values, or a file of patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .opendkim_file import Setting, Settings
from .remark import Code, Place, Remark, error, note, warning
from .source import Unreadable, lines

_MAX_LINE = 1022  # octets without the line end; opendkim takes what follows for another line
_SPACE = " \t\n\v\f\r"  # isspace(3)
_READ = ("csl", "file", "refile")
_KINDS = (*_READ, "db", "dsn", "ldap", "ldapi", "ldaps", "lua", "memcache", "mdb", "erlang", "repute", "socket")
# opendkim makes a regular expression of a pattern, and escapes only + and the full stop
_EXPRESSION = re.compile(r"[][(){}|?^$\\]")


class Entry(NamedTuple):
    """An element of a data set."""

    key: str
    value: str
    place: Place


class DataSet:
    """The entries in order. ``patterns``: in their keys, ``*`` stands for any characters.

    ``folded``: keys match in any letter case, whoever asks.
    """

    def __init__(self, entries: list[Entry], *, patterns: bool = False, folded: bool = False) -> None:
        self.entries, self.patterns, self._any_case = entries, patterns, folded
        self._exact: dict[str, list[int]] = {}
        self._folded: dict[str, list[int]] = {}
        self._domains: dict[str, list[int]] = {}
        self._others: list[tuple[int, list[str]]] = []
        for index, entry in enumerate(entries):
            key = entry.key.lower()
            if not patterns or "*" not in key:
                self._exact.setdefault(entry.key, []).append(index)
                self._folded.setdefault(key, []).append(index)
            elif key.startswith("*@") and "*" not in key[2:] and "@" not in key[2:]:
                self._domains.setdefault(key[2:], []).append(index)
            else:
                self._others.append((index, key.split("*")))

    def first(self, text: str, *, fold: bool = True) -> Entry | None:
        """The first entry that matches; ``fold``: in any letter case."""
        return next(iter(self.every(text, fold=fold)), None)

    def every(self, text: str, *, fold: bool = True) -> Iterator[Entry]:
        """All entries that match, in order."""
        folded, fold = text.lower(), fold or self._any_case
        found = [*(self._folded.get(folded, []) if fold else self._exact.get(text, []))]
        if self.patterns:
            likely = self._domains.get(folded.rpartition("@")[2], []) if "@" in folded else []
            likely = [*likely, *(index for index, parts in self._others if _matches(parts, folded))]
            found += (each for each in likely if fold or _matches(self.entries[each].key.split("*"), text))
        yield from (self.entries[index] for index in sorted(found))


def _matches(parts: list[str], text: str) -> bool:
    """Does the text consist of these parts, with anything between them?"""
    first, *between, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in between:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def opened(name: str, setting: Setting, settings: Settings) -> tuple[DataSet | None, list[Remark]]:
    """The data set that an option names, and what is to be said; None if it cannot be read."""
    kind, rest = _kind(setting.value)
    if kind == "csl":
        return DataSet([*_of_list(rest, setting.place)]), []
    if kind not in _READ:
        what = f"{name}: data sets of the kind {kind} are not read"
        if kind not in _KINDS:
            return None, [error(setting.place, Code.DATA_SET, f"{name}: {kind!r} is no kind of data set")]
        return None, [warning(setting.place, Code.DATA_SET, what, "Write it into a file first")]
    path = settings.absolute(rest)
    if path is None:
        what = f"{name}: where {rest} is depends on the folder in which opendkim was started"
        return None, [error(setting.place, Code.FILE, what, "Write its whole path")]
    remarks: list[Remark] = []
    try:
        entries = [*_of_file(path, remarks, patterns=kind == "refile")]
    except Unreadable as trouble:
        return None, [error(setting.place, Code.FILE, f"{name}: {path} {trouble}")]
    return DataSet(entries, patterns=kind == "refile"), remarks


def _kind(value: str) -> tuple[str, str]:
    """The kind of a data set, and the rest of its name."""
    colon, comma = value.find(":"), value.find(",")
    if colon >= 0 and not 0 <= comma < colon:
        return value[:colon].lower(), value[colon + 1 :]
    if colon < 0 and value.endswith(".db"):
        return "db", value
    return ("file" if value.startswith("/") else "csl"), value


def _of_list(text: str, place: Place) -> Iterator[Entry]:
    for element in text.split(","):
        if element:
            key, _, value = element.partition("=")
            yield Entry(key.strip(_SPACE), value.strip(_SPACE), place)


def _of_file(path: str, remarks: list[Remark], *, patterns: bool) -> Iterator[Entry]:
    for place, line in lines(path):
        if len(line.encode(errors="surrogateescape")) > _MAX_LINE:
            what = f"a line of more than {_MAX_LINE} octets, which opendkim takes for two"
            remarks.append(error(place, Code.DATA_SET, what, "Write a path instead of a key"))
            continue
        words = line.partition("#")[0].strip(_SPACE)
        if patterns and words and line[0] in _SPACE:
            what = f"opendkim passes over {words.split()[0]!r}, since a blank is before it"
            remarks.append(note(place, Code.UNUSED, what))
            continue
        key, value = re.fullmatch(rf"([^{_SPACE}]*)[{_SPACE}]*(.*)", words, re.DOTALL).groups()  # type: ignore[union-attr]
        if key and patterns and _EXPRESSION.search(key):
            what = f"{key!r} is a regular expression; only * is read as a pattern"
            remarks.append(warning(place, Code.DATA_SET, what, "Write what it matches"))
        elif key:
            yield Entry(key, value, place)
