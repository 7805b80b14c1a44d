"""The tables of opendkim that say which keys sign for an address."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .data_set import DataSet, Entry
from .remark import Place

_ALGORITHM = re.compile(r"(.+):(?:rsa-sha1|rsa-sha256|ed25519-sha256)", re.DOTALL)
_PATHS = ("/", "./", "../")
ANYBODY = "mailassay-migrate-probe"
"""A local-part that no table names."""


class Key(NamedTuple):
    """A line of the KeyTable: d=, or ``%`` for the domain of the author; s=; and where the key is."""

    domain: str
    selector: str
    data: str
    place: Place

    @property
    def is_path(self) -> bool:
        """Is the key in a file?"""
        return self.data.startswith(_PATHS)


@dataclass(frozen=True, slots=True)
class Signs:
    """What a line of the SigningTable does for an address: d= and the key. ``key`` is None if there is no such key."""

    entry: Entry
    name: str
    domain: str = ""
    key: Key | None = None


class Tables:
    """A SigningTable and its KeyTable. ``several``: all lines that match sign (MultipleSignatures)."""

    def __init__(self, signing: DataSet, keys: DataSet, *, several: bool = False) -> None:
        self._signing, self._keys, self._several = signing, keys, several

    @property
    def has_patterns(self) -> bool:
        """Are the lines of the SigningTable patterns?"""
        return self._signing.patterns

    @property
    def entries(self) -> list[Entry]:
        """The lines of the SigningTable."""
        return self._signing.entries

    @property
    def keys(self) -> list[Entry]:
        """The lines of the KeyTable."""
        return self._keys.entries

    def signs(self, local_part: str, domain: str) -> list[Signs]:
        """What signs mail of an author."""
        found: list[Signs] = []
        for entry in self._matching(local_part, domain):
            found.append(self._signs(entry, domain))
            # without a key, opendkim defers the message
            if not self._several or found[-1].key is None:
                break
        return found

    def _matching(self, local_part: str, domain: str) -> Iterator[Entry]:
        address = f"{local_part}@{domain}"
        if not address.isascii():
            return
        if self._signing.patterns:
            yield from self._signing.every(address)
            return
        for text in _in_turn(local_part, domain):
            if entry := self._signing.first(text):
                yield entry

    def _signs(self, entry: Entry, domain: str) -> Signs:
        name = entry.value.partition(":")[0]
        name = domain if name == "%" else name
        key = self.key(name)
        if key is None:
            return Signs(entry, name)
        return Signs(entry, name, domain if key.domain == "%" else key.domain, key)

    def key(self, name: str) -> Key | None:
        """The key with a name; None if there is none, or if its line is not complete."""
        entry = self._keys.first(name, fold=False)
        return key_of(entry) if entry else None

    def candidates(self, root: str) -> Iterator[str]:
        """The domains for which one of the lines may sign, as far as anybody can know.

        ``root`` is the folder in which the paths of keys begin.
        """
        for entry in self.entries:
            name = entry.key.rpartition("@")[2].lstrip(".")
            yield name.removeprefix("*.")
        every = [(entry, key) for entry in self.keys if (key := key_of(entry))]
        if any(entry.value.partition(":")[0] == "%" for entry in self.entries):
            yield from (entry.key for entry, _ in every)
        for _, key in every:
            if key.domain != "%":
                yield key.domain
            elif key.data.startswith("/") and "%" in key.data:
                yield from domains_of_files(root + key.data, "%")


def key_of(entry: Entry) -> Key | None:
    """A line of the KeyTable; None if it is not complete."""
    fields = entry.value.split(":", 2)
    if len(fields) < 3 or not all(fields):
        return None
    domain, selector, data = fields
    found = _ALGORITHM.fullmatch(data)
    return Key(domain, selector, found[1] if found else data, entry.place)


def _in_turn(local_part: str, domain: str) -> Iterator[str]:
    """What is looked up for an address in a table without patterns."""
    yield f"{local_part}@{domain}"
    yield domain
    at = domain.find(".")
    while at >= 0:
        yield f"{local_part}@{domain[at:]}"
        yield domain[at:]
        at = domain.find(".", at + 1)
    yield f"{local_part}@*"
    yield "*"


def domains_of_files(template: str, placeholder: str) -> list[str]:
    """What stands in the place of ``placeholder`` in the paths of files that are there."""
    pattern = "*".join(map(glob.escape, template.split(placeholder)))
    first, *others = map(re.escape, template.split(placeholder))
    expression = f"{first}([^/]+)" + r"\1".join(others)
    return [match[1] for path in sorted(glob.glob(pattern)) if (match := re.fullmatch(expression, path, re.DOTALL))]
