"""The findings of an examination: how severe, what, why, and the commands that fix it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Worst first. An error: mail is lost, let in unjudged, or judged wrongly. A warning: that can happen."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` is for programs and does not change; ``fix`` has shell commands, in order, if there are any."""

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
