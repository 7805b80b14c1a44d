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


NO_CLIENT = "no client: "
"""Begins the reason of a result where it is not known from whom the operator's relays have a message.

A reader of our own field knows by it that the message was judged.
"""


@dataclass(frozen=True, slots=True)
class Resinfo:
    """One ``method=result`` clause of an Authentication-Results field, RFC 8601 section 2.2.

    ``properties`` are (ptype, property, value) triples. A value may be anything that a sender wrote: ``header.render``
    writes it only if it is what the property should hold. ``reason`` is text of our own, in which only domain names may
    come from a sender. ``comment`` is written only if it is a plain host name.
    """

    method: str
    result: Result
    properties: tuple[tuple[str, str, str], ...] = ()
    reason: str = ""
    comment: str = ""
