"""A finding of a command in our configuration, in DNS or in Postfix, with words for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Worst first.

    ``error``: mail is lost, let in unjudged or judged wrongly, or the file or record cannot be used; ``warning``: that
    can happen, or it is probably a mistake; ``note``: worth knowing; ``fine``: examined, and nothing is wrong.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` is one word for programs and does not change. ``what`` was found is for people.

    ``fix`` says what to do about it; it is empty if ``what`` makes that clear, or if nothing needs to be done.
    """

    severity: Severity
    code: str
    what: str
    fix: str = ""
