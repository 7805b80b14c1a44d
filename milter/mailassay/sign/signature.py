"""Write a DKIM-Signature field: RFC 6376 sections 3.5, 3.7 and 5.6; RFC 8463.

Always relaxed/relaxed, which survives what mail servers do to white space. There is no l=, since anybody could add to
the body, no x=, which prevents no replay, and no i=, which would say the same as d=.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..dkim.body import BodyRequest
from ..dkim.header import relaxed
from ..message import Field, Headers, crlf
from .keys import SigningKey

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

BODY = BodyRequest("relaxed", None)
"""The body hash that every signature needs."""

NAME = "DKIM-Signature"
_WIDTH = 76  # columns of a line


class HeaderHash:
    """The covered fields of one message, hashed once for all its signatures. ``tag`` is h=, folded."""

    def __init__(self, headers: Headers, names: Sequence[bytes]) -> None:
        first, *others = [f"{name.decode()}:" for name in names]
        self.tag = _lines([f"h={first}", *others], "").removesuffix(":") + ";"
        self.covered = hashed(_covered(headers, names))


def hashed(fields: Iterable[Field]) -> Hash:
    """The SHA-256 of what a signature covers before its own field."""
    return hashlib.sha256(b"".join(map(relaxed, fields)))


def _covered(headers: Headers, names: Sequence[bytes]) -> Iterator[Field]:
    """The fields that h= names, those of the same name from the bottom up (RFC 6376 section 5.4.2)."""
    taken: dict[bytes, int] = {}
    for name in names:
        instance = taken.get(name, 0)
        taken[name] = instance + 1
        place = headers.place(name, instance)
        if place is not None:
            yield headers.fields[place]


def value(key: SigningKey, header: HeaderHash, body_hash: bytes, now: float) -> str:
    """The value of a signature field, folded with LF as milters write it. ``now`` is in seconds since 1970."""
    return of_message(NAME, "v=1;", key, header, body_hash, now)


def of_message(name: str, first: str, key: SigningKey, header: HeaderHash, body_hash: bytes, now: float) -> str:
    """The value of a field that signs header and body; ``first`` is the tag before those that all of them have."""
    tags = [first, f"a={key.algorithm};", "c=relaxed/relaxed;", *by(key, now)]
    more = [header.tag, f"bh={base64.b64encode(body_hash).decode()};"]
    return signed(name, tags, more, key, header.covered)


def by(key: SigningKey, now: float) -> list[str]:
    """The tags that say who signs, and when."""
    return [f"d={key.domain};", f"s={key.selector};", f"t={int(now)};"]


def signed(name: str, tags: Sequence[str], more: Sequence[str], key: SigningKey, covered: Hash) -> str:
    """The value of a signature field: tags in as few lines as fit, ``more`` lines of tags, and b= last.

    What is signed is ``covered`` and, last, the field with an empty b= (RFC 6376 section 3.7).
    """
    begun = "\n ".join([_lines(tags, " ", name), *more, "b="])
    whole = covered.copy()
    whole.update(relaxed(field(name, begun)).removesuffix(b"\r\n"))
    proof = base64.b64encode(key.sign(whole.digest())).decode()
    return begun + "\n ".join(proof[at : at + _WIDTH - 4] for at in range(0, len(proof), _WIDTH - 4))


def field(name: str, value: str) -> Field:
    """The field as the next host receives it, of a value that is folded with LF."""
    return Field(name.encode(), crlf(b" " + value.encode()))


def _lines(words: Sequence[str], between: str, name: str = NAME) -> str:
    """Words in as few lines as fit, the first of them after the name of the field."""
    lines, room = [words[0]], _WIDTH - len(name) - 2
    for word in words[1:]:
        if len(lines[-1]) + len(between) + len(word) > room:
            lines.append(word)
            room = _WIDTH - 1
        else:
            lines[-1] += between + word
    return "\n ".join(lines)
