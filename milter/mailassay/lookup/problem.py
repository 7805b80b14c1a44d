"""The problems of a domain's records, and the changes that fix them."""

from __future__ import annotations

from dataclasses import dataclass

from ..finding import Finding, Severity


@dataclass(frozen=True, slots=True)
class Change:
    """A change at a ``name``: publish ``records`` of a ``type``, each complete, in place of those in ``instead``.

    If there are no ``records``, only remove the others.
    """

    name: str
    type: str
    instead: tuple[str, ...]
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem(Finding):
    """A finding in DNS, the section of the ``rfc`` that it rests on, and the ``changes`` after which it is gone.

    If there are no changes, a person has to decide what to publish.
    """

    rfc: str = ""
    changes: tuple[Change, ...] = ()


def error(code: str, what: str, fix: str = "", rfc: str = "", changes: tuple[Change, ...] = ()) -> Problem:
    """The record violates the RFC, or mail is lost."""
    return Problem(Severity.ERROR, code, what, fix, rfc, changes)


def warning(code: str, what: str, fix: str = "", rfc: str = "", changes: tuple[Change, ...] = ()) -> Problem:
    """The record works, but perhaps not as its owner intends."""
    return Problem(Severity.WARNING, code, what, fix, rfc, changes)


def note(code: str, what: str, fix: str = "", rfc: str = "") -> Problem:
    """Something worth knowing."""
    return Problem(Severity.NOTE, code, what, fix, rfc)
