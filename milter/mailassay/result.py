"""The vocabulary of RFC 8601: result words, and what one method found out, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """A result word of RFC 8601 section 2.7. Which words a method may use, its RFC says."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class Resinfo:
    """One ``method=result`` clause of an Authentication-Results field, RFC 8601 section 2.2.

    ``properties`` are (ptype, property, value) triples; the values may hold what a sender wrote and are quoted when
    the field is rendered. ``reason`` is text of our own. ``comment`` is written only where it is a plain host name.
    """

    method: str
    result: Result
    properties: tuple[tuple[str, str, str], ...] = ()
    reason: str = ""
    comment: str = ""
