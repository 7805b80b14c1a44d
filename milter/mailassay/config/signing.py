"""The keys that ``sign:`` names, read together with the configuration: one cannot be used without the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..domain import Domain
from ..finding import Severity
from ..sign import KeyName, Seal, SigningKey, keys
from .document import Code, Problem
from .settings import Settings


def with_keys(settings: Settings, path: str) -> tuple[Settings, list[Problem]]:
    """The settings with the keys that can be used, and a problem for each that cannot.

    ``path`` is the file of the settings. The keys must be readable by whoever calls this.
    """
    found: dict[Domain, tuple[SigningKey, ...]] = {}
    problems = []
    for domain, selectors in settings.sign.domains.items():
        usable = []
        for selector in selectors.keys:
            try:
                usable.append(keys.read(settings.sign.directory, domain, selector))
            except keys.UnusableKey as error:
                problems.append(_problem(error, path, _line(settings, selectors.written)))
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


def _problem(error: keys.UnusableKey, path: str, where: tuple[int, int]) -> Problem:
    return Problem(Severity.ERROR, Code.UNREADABLE, f"sign: {error}", error.fix, path, *where)


def doubts(settings: Settings, path: str) -> Iterator[Problem]:
    """Warnings about keys that others can read or replace, each with the command that mends it."""
    directory, said = settings.sign.directory, set()
    for domain, selector, where in _named(settings):
        for what, fix in keys.doubts(keys.path(directory, domain, selector), directory):
            if what not in said:
                said.add(what)
                yield Problem(Severity.WARNING, "signing-key", f"sign: {what}", fix, path, *where)


def _named(settings: Settings) -> Iterator[tuple[Domain, str, tuple[int, int]]]:
    """Every key that is used, and its line and column."""
    for domain, selectors in settings.sign.domains.items():
        for selector in selectors.keys:
            yield domain, selector, _line(settings, selectors.written)
    if name := sealer(settings):
        yield *name, _place(settings, "sign.seal_as")


def _line(settings: Settings, domain: str) -> tuple[int, int]:
    """The line and column of a domain in the file."""
    return _place(settings, f"sign.domains.{domain}")


def _place(settings: Settings, key: str) -> tuple[int, int]:
    line = settings.lines.get(key, 1)
    return int(line), getattr(line, "column", 1)
