"""What is wrong with what a domain publishes, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """``error``: broken by the RFC, or mail is lost; ``warning``: works, and not as its owner may think; ``note``."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Change:
    """What to publish at a ``name``: ``records`` of a ``type``, each whole, in the place of those ``instead``.

    Without ``records`` the others are to be removed.
    """

    name: str
    type: str
    instead: tuple[str, ...]
    records: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """``name`` is one word for programs, ``what`` is wrong and what to ``do`` are for people.

    After all changes of ``fix`` the problem is gone; without any, only a person can tell what to publish.
    """

    severity: Severity
    name: str
    what: str
    do: str = ""
    rfc: str = ""
    fix: tuple[Change, ...] = ()


def error(name: str, what: str, do: str = "", rfc: str = "", fix: tuple[Change, ...] = ()) -> Problem:
    """What breaks a rule of the RFC, or loses mail."""
    return Problem(Severity.ERROR, name, what, do, rfc, fix)


def warning(name: str, what: str, do: str = "", rfc: str = "", fix: tuple[Change, ...] = ()) -> Problem:
    """What works, and not as its owner may think."""
    return Problem(Severity.WARNING, name, what, do, rfc, fix)


def note(name: str, what: str, do: str = "", rfc: str = "") -> Problem:
    """What is worth knowing."""
    return Problem(Severity.NOTE, name, what, do, rfc)
