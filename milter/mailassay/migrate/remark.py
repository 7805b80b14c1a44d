"""What a migration has to say: what has no equivalent here, what differs, and where the old configuration has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from ..finding import Finding, Severity
from .excerpt import excerpt


class Place(NamedTuple):
    """A line of a file, counted from 1; 0 stands for the whole file."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Code(StrEnum):
    """The kinds of remarks: words for programs."""

    ADDRESS = "address"  # signs for some addresses of a domain only
    AUTHOR = "author"  # the author is not who decides about d=
    BELIEVED = "from"  # what has to agree with the author
    CLIENTS = "clients"  # whose mail is signed
    DATA_SET = "data-set"  # a table that cannot be read
    DISABLED = "disabled"  # the old configuration signs nothing
    DOMAIN = "domain"  # no domain that can be in d=
    FILE = "file"
    FOREIGN = "foreign-domain"  # d= is no domain of the author
    KEY = "key"
    OPTION = "option"
    OTHER_FILE = "other-file"
    SELECTOR = "selector"
    SUBDOMAINS = "subdomains"
    UNKNOWN = "unknown-option"
    UNUSED = "unused"
    WILDCARD = "wildcard"


@dataclass(frozen=True, slots=True)
class Remark(Finding):
    """A finding about the old configuration.

    An ``error`` keeps something from being migrated that could be, a ``warning`` has no equivalent here, and a
    ``note`` says what is different. Its text has excerpts only of what the configuration says, which may be a key that
    is in the wrong place; error(), warning() and note() see to that.
    """

    place: Place = field(default_factory=Place)

    def __str__(self) -> str:
        words = ": ".join(filter(None, (str(self.place), self.severity, self.what)))
        return ". ".join(filter(None, (words, self.fix)))


def error(place: Place, code: Code, what: str, fix: str = "") -> Remark:
    return Remark(Severity.ERROR, code, excerpt(what), excerpt(fix), place)


def warning(place: Place, code: Code, what: str, fix: str = "") -> Remark:
    return Remark(Severity.WARNING, code, excerpt(what), excerpt(fix), place)


def note(place: Place, code: Code, what: str, fix: str = "") -> Remark:
    return Remark(Severity.NOTE, code, excerpt(what), excerpt(fix), place)
