"""The keys that ``sign:`` names, read together with the configuration: one cannot be used without the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..domain import Domain
from ..finding import Severity
from ..sign import SigningKey, keys
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
                where = _line(settings, selectors.written)
                problems.append(Problem(Severity.ERROR, Code.UNREADABLE, f"sign: {error}", error.fix, path, *where))
        if usable:
            found[domain] = tuple(usable)
    return replace(settings, signing_keys=found), problems


def doubts(settings: Settings, path: str) -> Iterator[Problem]:
    """Warnings about keys that others can read or replace, each with the command that mends it."""
    directory, said = settings.sign.directory, set()
    for domain, selectors in settings.sign.domains.items():
        for selector in selectors.keys:
            for what, fix in keys.doubts(keys.path(directory, domain, selector), directory):
                if what not in said:
                    said.add(what)
                    where = _line(settings, selectors.written)
                    yield Problem(Severity.WARNING, "signing-key", f"sign: {what}", fix, path, *where)


def _line(settings: Settings, domain: str) -> tuple[int, int]:
    """The line and column of a domain in the file."""
    line = settings.lines.get(f"sign.domains.{domain}", 1)
    return int(line), getattr(line, "column", 1)
