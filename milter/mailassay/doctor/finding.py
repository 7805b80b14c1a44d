"""The findings about this machine, and the commands that fix them."""

from __future__ import annotations

from dataclasses import dataclass

from .. import finding
from ..finding import Severity


@dataclass(frozen=True, slots=True)
class Finding(finding.Finding):
    """A finding about this machine, and the shell ``commands`` that fix it, in order, if there are any."""

    commands: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What was found, and what to do about it."""
        return ". ".join(filter(None, (self.what, self.fix)))


def error(code: str, what: str, *commands: str, fix: str = "") -> Finding:
    return Finding(Severity.ERROR, code, what, fix, commands)


def warning(code: str, what: str, *commands: str, fix: str = "") -> Finding:
    return Finding(Severity.WARNING, code, what, fix, commands)


def note(code: str, what: str, *commands: str, fix: str = "") -> Finding:
    return Finding(Severity.NOTE, code, what, fix, commands)


def fine(code: str, what: str) -> Finding:
    return Finding(Severity.FINE, code, what)
