"""What an examination says: how bad, what, why, and the commands that mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Worst first. An error: mail is lost, let in unjudged, or judged wrongly; a warning: that can come to be."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` stays the same for programs; ``mend`` are shell commands, in order, where there are any."""

    severity: Severity
    code: str
    reason: str
    mend: tuple[str, ...] = ()


def error(code: str, reason: str, *mend: str) -> Finding:
    return Finding(Severity.ERROR, code, reason, mend)


def warning(code: str, reason: str, *mend: str) -> Finding:
    return Finding(Severity.WARNING, code, reason, mend)


def note(code: str, reason: str, *mend: str) -> Finding:
    return Finding(Severity.NOTE, code, reason, mend)


def fine(code: str, reason: str) -> Finding:
    return Finding(Severity.FINE, code, reason)
