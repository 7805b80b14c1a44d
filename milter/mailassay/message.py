"""A message's header section as bytes: the fields in order, which can be looked up by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"  # UTF-8's byte order mark
MAX_LINE = 998  # octets in a line, RFC 5322 section 2.1.1


class Field(NamedTuple):
    """One header field as it was received (RFC 5322 section 2.2).

    ``value`` is everything after the colon, leading space included, folded with CRLF, without the final CRLF.
    """

    name: bytes
    value: bytes

    @property
    def breakable(self) -> bool:
        """Is one of its lines longer than ``MAX_LINE``? The first line includes the name.

        An MTA that relays the message may break such a line at any octet: inside a domain, or between a backslash and
        the quote after it. The next hop then reads a field that was not judged.
        """
        whole = self.name + b":" + self.value
        return len(whole) > MAX_LINE and any(len(line) > MAX_LINE for line in whole.split(b"\r\n"))


class Headers:
    """The header fields of one message, top to bottom."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self.fields = list(fields)
        self._places: dict[bytes, list[int]] = {}
        for place, field in enumerate(self.fields):
            self._places.setdefault(field.name.lower(), []).append(place)

    @property
    def longest_name(self) -> int:
        """The length of the longest field name, in octets; 0 if there are no fields."""
        return max(map(len, self._places), default=0)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def named(self, name: bytes) -> list[Field]:
        """The fields with that name, in any letter case, top to bottom."""
        return [self.fields[place] for place in self.places(name)]

    def places(self, name: bytes) -> Sequence[int]:
        """The positions of the fields with that name, counted from 0 at the top."""
        return self._places.get(name.lower(), ())

    def place(self, name: bytes, instance: int) -> int | None:
        """The position, from 0 at the top, of a field with that name; None if there is no such field.

        ``instance`` counts the fields with that name from 0 at the bottom.
        """
        places = self.places(name)
        return places[-1 - instance] if instance < len(places) else None


def crlf(text: bytes) -> bytes:
    """The text with each lone LF replaced by CRLF."""
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def split(raw: bytes) -> tuple[Headers, bytes]:
    """The header fields and the body of a message file, read as Postfix reads them, both with CRLF.

    The header section ends at the first empty line or at the first line that is neither a field nor a continuation. In
    the second case that line begins the body. A ``From `` line (mbox) at the start is skipped, and blanks before the
    colon are dropped.
    """
    text = raw.replace(b"\r\n", b"\n")
    fields: list[list[bytes]] = []
    at = 0
    while at < len(text):
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end]
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if not line:
            at = end + 1
            break
        if line[:1] in b" \t" and fields:
            fields[-1].append(line)
        elif colon and name and all(33 <= octet <= 126 for octet in name):
            fields.append([name, value])
        elif not (line.startswith((b"From ", b">From ")) and not fields):
            break
        at = end + 1
    return Headers(Field(name, b"\r\n".join(lines)) for name, *lines in fields), crlf(text[at:])
