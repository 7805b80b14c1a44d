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


class Words(str):
    """An instruction in the place of a command that is not known. It becomes part of ``fix``."""

    __slots__ = ()


def error(code: str, what: str, *commands: str, fix: str = "") -> Finding:
    return _wrong(Severity.ERROR, code, what, commands, fix)


def warning(code: str, what: str, *commands: str, fix: str = "") -> Finding:
    return _wrong(Severity.WARNING, code, what, commands, fix)


def note(code: str, what: str, *commands: str, fix: str = "") -> Finding:
    return _wrong(Severity.NOTE, code, what, commands, fix)


def _wrong(severity: Severity, code: str, what: str, commands: tuple[str, ...], fix: str) -> Finding:
    words = [each for each in commands if isinstance(each, Words)]
    known = tuple(each for each in commands if not isinstance(each, Words))
    return Finding(severity, code, what, ". ".join(filter(None, (fix, *words))), known)


def fine(code: str, what: str) -> Finding:
    return Finding(Severity.FINE, code, what)
