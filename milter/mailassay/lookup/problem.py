"""The problems of a domain's records, in words for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """``error``: violates the RFC, or mail is lost; ``warning``: works, but perhaps not as intended; ``note``."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


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
class Problem:
    """``name`` is one word for programs; ``what`` is wrong, and what to ``do``, are for people.

    After all changes in ``fix`` the problem is gone. If ``fix`` is empty, a person has to decide what to publish.
    """

    severity: Severity
    name: str
    what: str
    do: str = ""
    rfc: str = ""
    fix: tuple[Change, ...] = ()


def error(name: str, what: str, do: str = "", rfc: str = "", fix: tuple[Change, ...] = ()) -> Problem:
    """A problem that violates the RFC, or loses mail."""
    return Problem(Severity.ERROR, name, what, do, rfc, fix)


def warning(name: str, what: str, do: str = "", rfc: str = "", fix: tuple[Change, ...] = ()) -> Problem:
    """A problem that works, but perhaps not as its owner intends."""
    return Problem(Severity.WARNING, name, what, do, rfc, fix)


def note(name: str, what: str, do: str = "", rfc: str = "") -> Problem:
    """Something worth knowing."""
    return Problem(Severity.NOTE, name, what, do, rfc)
