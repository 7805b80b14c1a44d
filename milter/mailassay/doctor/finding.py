"""What an examination says: how bad, what, why, and the commands that fix it."""

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
    """``code`` stays the same for programs; ``fix`` are shell commands, in order, where there are any."""

    severity: Severity
    code: str
    reason: str
    fix: tuple[str, ...] = ()


def error(code: str, reason: str, *fix: str) -> Finding:
    return Finding(Severity.ERROR, code, reason, fix)


def warning(code: str, reason: str, *fix: str) -> Finding:
    return Finding(Severity.WARNING, code, reason, fix)


def note(code: str, reason: str, *fix: str) -> Finding:
    return Finding(Severity.NOTE, code, reason, fix)


def fine(code: str, reason: str) -> Finding:
    return Finding(Severity.FINE, code, reason)
