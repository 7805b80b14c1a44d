"""The vocabulary of RFC 8601: the result words, and the result of one method in a form that can be written out."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Result(StrEnum):
    """A result word of RFC 8601 section 2.7. The RFC of each method says which of them it may use."""

    NONE = "none"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


METHODS = ("iprev", "spf", "dkim", "arc", "dmarc")
"""The methods that each judged message has a result of (RFC 8601 section 2.7), in the order in which they are shown."""

NO_CLIENT = "no client: "
"""The reason begins with this if the client that gave the message to the operator's relays is not known.

It tells a reader of our own field that the message was judged.
"""


class Resinfo(NamedTuple):
    """One ``method=result`` clause of an Authentication-Results field, RFC 8601 section 2.2.

    ``properties`` are (ptype, property, value) triples. A value may be anything that a sender wrote: ``authres.render``
    writes it only if it has the form that the property calls for. ``reason`` is our own text; only the domain names in
    it may come from a sender. ``comment`` is written only if it is a plain host name.
    """

    method: str
    result: Result
    properties: tuple[tuple[str, str, str], ...] = ()
    reason: str = ""
    comment: str = ""
