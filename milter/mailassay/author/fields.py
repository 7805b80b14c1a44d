"""The fields in which readers look for the author: From, and those that some readers show instead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..message import Field, Headers

_AFTER_CR = re.compile(rb"\r[ \t]*from[ \t]*:((?:[^\r\n]++|\r\n?[ \t])*)", re.IGNORECASE)
# an empty line, a line of white space (RFC 5322 section 4.2 still allows it), or text after a bare CR that is no field
_SECTION_END = re.compile(rb"\r\n?+[ \t]*+(?=\r|\Z)|\r(?![\n \t])")


def from_fields(headers: Headers) -> list[Field]:
    """The From fields, and those that some readers see inside other fields, because a bare CR ends a line for them."""
    return [*headers.named(b"from"), *_inside(headers)]


def _inside(headers: Headers) -> Iterator[Field]:
    for field in headers:
        if b"\r" in field.value:
            for value in _AFTER_CR.findall(field.value):
                yield Field(b"From", value)


def named_instead(headers: Headers) -> list[Field]:
    """The fields that some readers show if From names nobody."""
    return [*headers.named(b"sender"), *headers.named(b"resent-from")]


def shown_instead(headers: Headers) -> list[Field]:
    """Sender and Resent-From above a line that ends the header section for some readers before they see an author."""
    above: list[Field] = []
    found: list[Field] = []
    if not headers.named(b"sender") and not headers.named(b"resent-from"):
        return found
    for field in headers:
        name = field.name.lower()
        if name in (b"sender", b"resent-from"):
            above.append(field)
        end = _SECTION_END.search(field.value) if above else None
        if name == b"from" and (not end or b"@" in field.value[: end.start()]):
            break
        if end:
            found = list(above)
    return found
