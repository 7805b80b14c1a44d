"""The keys of a domain as they are: the files in its folder, ``keys.json``, and what the configuration says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..domain import BadDomain, Domain
from ..sign import Seal, Sign, SigningKey, keys
from ..sign.keys import UnusableKey, is_selector
from . import record as records
from . import ring
from .record import Record
from .ring import Kept, Ring, State

_SUFFIX = ".pem"


@dataclass(frozen=True, slots=True)
class Folder:
    """The keys of a domain.

    ``is_named``: the configuration has the domain. ``named`` are the selectors that it lists; None if it leaves the
    choice to the file of keys. ``ring`` is that file with what follows from the configuration; ``stored`` is the file
    as it is, None if there is none. ``seals`` is the selector of the key that seals, empty if that is none of these;
    it may sign too. ``files`` has each key file by its selector, or why it cannot be used.
    """

    sign: Sign
    domain: Domain
    is_named: bool
    named: tuple[str, ...] | None
    ring: Ring
    stored: Ring | None
    files: Mapping[str, SigningKey | UnusableKey]
    seals: str = ""

    @property
    def directory(self) -> str:
        """The folder of the keys of all domains."""
        return self.sign.directory

    @property
    def signs(self) -> tuple[str, ...]:
        """The selectors of the keys that sign, or would if the configuration had the domain."""
        return tuple(each.selector for each in self.ring.of(State.ACTIVE)) if self.named is None else self.named

    @property
    def is_known(self) -> bool:
        """Does the configuration have the domain, or are there keys of it?"""
        return self.is_named or bool(self.selectors)

    @property
    def is_chosen_by_file(self) -> bool:
        """Does the file of keys say which keys sign?"""
        return self.named is None

    @property
    def selectors(self) -> list[str]:
        """All selectors: those of the file of keys, those that the configuration lists, and those of files."""
        return list(dict.fromkeys([*self.ring.keys, *(self.named or ()), *self.files]))

    def is_taken(self, selector: str) -> bool:
        """Is the selector used, or was it ever?"""
        others = {each.lower() for each in self.selectors}
        return selector.lower() in others or os.path.lexists(keys.path(self.directory, self.domain, selector))

    def record(self, kept: Kept) -> Record:
        """The record of a key."""
        return records.of(kept.selector, self.domain, kept.record)

    def revoked(self, kept: Kept) -> Record:
        """The record that says that a key is revoked (RFC 6376 section 3.6.1)."""
        return records.of(kept.selector, self.domain, records.revoked(kept.record))

    def unusable(self, kept: Kept) -> str:
        """Why the file of a key cannot sign; empty if it can."""
        found = self.files.get(kept.selector)
        if found is None:
            return f"{keys.path(self.directory, self.domain, kept.selector)} does not exist"
        if isinstance(found, UnusableKey):
            return str(found)
        if found.record != kept.record:
            return f"{keys.path(self.directory, self.domain, kept.selector)} is another key than the one that was made"
        return ""


def unknown(domain: Domain) -> str:
    """What to say of a domain that is not known; often it is mistyped."""
    return f"sign.domains does not have {domain}, and there are no keys of it; mailassay key new {domain} makes some"


def look(sign: Sign, domain: Domain, now: float) -> Folder:
    """The keys of a domain. ``now`` is in seconds since 1970. Raises BadRing, and OSError if the folder is unreadable.

    If the configuration lists selectors, that list says which keys are active, whatever the file of keys has.
    """
    is_named = domain in sign.domains
    named = sign.domains[domain].keys if is_named else None
    stored = ring.load(sign.directory, domain)
    files = _files(sign.directory, domain, named or ())
    found = stored or Ring()
    if named is not None:
        found = _followed(found, named, files, sign.directory, domain, int(now))
    name = sign.seal_as if sign.seal is Seal.ALL else None
    seals = name.selector if name and name.domain == domain else ""
    return Folder(sign, domain, is_named, named, found, stored, files, seals)


def store(folder: Folder, after: Ring) -> Folder:
    """The keys with what is known of them now, which is written if it is new. Call it while the keys are locked.

    Raises OSError.
    """
    if after.keys and after != folder.stored:
        ring.save(folder.directory, folder.domain, after)
        return replace(folder, ring=after, stored=after)
    return replace(folder, ring=after)


def domains(sign: Sign) -> list[Domain]:
    """The domains of the configuration, and others that have a file of keys. Raises OSError."""
    found = [*sign.domains]
    try:
        names = sorted(os.listdir(sign.directory))
    except FileNotFoundError:
        return found
    found += [Domain(name) for name in names if _is_domain(name) and os.path.isfile(ring.path(sign.directory, name))]
    return list(dict.fromkeys(found))


def _is_domain(name: str) -> bool:
    """Is a folder that of a domain? Others may have put something there."""
    try:
        return Domain(name) == name
    except BadDomain:
        return False


def _files(directory: str, domain: Domain, named: tuple[str, ...]) -> dict[str, SigningKey | UnusableKey]:
    try:
        names = sorted(os.listdir(os.path.join(directory, domain)))
    except FileNotFoundError:
        names = []
    there = [each.removesuffix(_SUFFIX) for each in names if each.endswith(_SUFFIX)]
    found: dict[str, SigningKey | UnusableKey] = {}
    for selector in dict.fromkeys([*filter(is_selector, there), *named]):
        try:
            found[selector] = keys.read(directory, domain, selector)
        except UnusableKey as error:
            if selector in there:
                found[selector] = error
    return found


def _followed(
    found: Ring,
    named: tuple[str, ...],
    files: Mapping[str, SigningKey | UnusableKey],
    directory: str,
    domain: Domain,
    now: int,
) -> Ring:
    """The file of keys as it follows from the list of the configuration."""
    for selector in named:
        kept, file = found.keys.get(selector), files.get(selector)
        if kept is None and isinstance(file, SigningKey) and not found.has(selector):
            made = min(now, int(os.stat(keys.path(directory, domain, selector)).st_mtime))
            kept = Kept.new(selector, file.record, made)
        # one that is revoked stays so: the check says that it is still used
        if kept and kept.state not in (State.ACTIVE, State.REVOKED):
            found = found.put(kept.used(now))
    return found.put(*(each.to(State.RETIRED, now) for each in found.of(State.ACTIVE) if each.selector not in named))
