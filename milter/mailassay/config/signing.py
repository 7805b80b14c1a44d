"""The keys that ``sign:`` names, read together with the configuration: one cannot be used without the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..domain import Domain
from ..finding import Severity
from ..key import ring
from ..sign import KeyName, Seal, SigningKey, keys, permissions
from ..sign.permissions import Account
from .document import Code, Problem
from .settings import Settings


def with_keys(settings: Settings, path: str) -> tuple[Settings, list[Problem]]:
    """The settings with the keys that can be used, and a problem for each that cannot.

    ``path`` is the file of the settings. The keys must be readable by whoever calls this.
    """
    found: dict[Domain, tuple[SigningKey, ...]] = {}
    problems = []
    for domain, selectors in settings.sign.domains.items():
        usable, where = [], _line(settings, selectors.written)
        try:
            chosen = _chosen(settings, domain)
        except ring.BadRing as error:
            problems.append(_problem(error, path, where))
            continue
        for selector in chosen:
            try:
                usable.append(keys.read(settings.sign.directory, domain, selector))
            except keys.UnusableKey as error:
                problems.append(_problem(error, path, where))
        if usable:
            found[domain] = tuple(usable)
    sealing = None
    if name := sealer(settings):
        try:
            sealing = keys.read(settings.sign.directory, *name)
        except keys.UnusableKey as error:
            problems.append(_problem(error, path, _place(settings, "sign.seal_as")))
    return replace(settings, signing_keys=found, sealing_key=sealing), problems


def sealer(settings: Settings) -> KeyName | None:
    """The key that seals; None if nothing is sealed."""
    return settings.sign.seal_as if settings.sign.seal is Seal.ALL else None


def _problem(error: keys.UnusableKey | ring.BadRing, path: str, where: tuple[int, int]) -> Problem:
    return Problem(Severity.ERROR, Code.UNREADABLE, f"sign: {error}", error.fix, path, *where)


def _chosen(settings: Settings, domain: Domain) -> tuple[str, ...]:
    """The selectors of the keys that sign for a domain. Raises BadRing if they are not known."""
    named = settings.sign.domains[domain].keys
    return ring.active(settings.sign.directory, domain) if named is None else named


def doubts(settings: Settings, path: str, reader: Account | None) -> Iterator[Problem]:
    """Warnings about keys that others can read or replace, or ``reader`` cannot read: see ``permissions.doubts``."""
    directory, said = settings.sign.directory, set()
    for domain, selector, where in _named(settings):
        for what, fix in permissions.doubts(keys.path(directory, domain, selector), reader):
            if what not in said:
                said.add(what)
                yield Problem(Severity.WARNING, "signing-key", f"sign: {what}", fix, path, *where)


def _named(settings: Settings) -> Iterator[tuple[Domain, str, tuple[int, int]]]:
    """Every key that is used, and its line and column."""
    for domain, selectors in settings.sign.domains.items():
        try:
            chosen = _chosen(settings, domain)
        except ring.BadRing:
            # a mistake, not a doubt: with_keys names it
            continue
        for selector in chosen:
            yield domain, selector, _line(settings, selectors.written)
    if name := sealer(settings):
        yield *name, _place(settings, "sign.seal_as")


def _line(settings: Settings, domain: str) -> tuple[int, int]:
    """The line and column of a domain in the file."""
    return _place(settings, f"sign.domains.{domain}")


def _place(settings: Settings, key: str) -> tuple[int, int]:
    line = settings.lines.get(key, 1)
    return int(line), getattr(line, "column", 1)
