"""Body hashes that advance chunk by chunk; the body is not kept. RFC 6376 sections 3.4.3 and 3.4.4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Canonicalization = Literal["simple", "relaxed"]


class BodyRequest(NamedTuple):
    """What a signature wants hashed by SHA-256: the canonicalization, and how many canonical octets (l=; None: all)."""

    canonicalization: Canonicalization
    length: int | None


class BodyDigest(NamedTuple):
    """The SHA-256 of what was asked for, and how many canonical octets were hashed and how many were left over."""

    digest: bytes
    hashed: int
    unsigned: int


@dataclass(slots=True)
class _Sink:
    length: int | None
    hash: hashlib._Hash
    hashed: int = 0
    unsigned: int = 0

    def update(self, data: bytes) -> None:
        if self.length is not None and self.hashed + len(data) > self.length:
            room = self.length - self.hashed
            self.unsigned += len(data) - room
            data = data[:room]
        self.hashed += len(data)
        self.hash.update(data)

    @property
    def hungry(self) -> bool:
        # one octet past l= is wanted too: it tells that the signature does not cover the whole body
        return self.length is None or not self.unsigned


class _Canonicalizer:
    """Feeds canonical octets to its sinks, holding back what only the next chunk can decide."""

    def __init__(self, relaxed: bool, sinks: list[_Sink]) -> None:
        self._relaxed, self.sinks = relaxed, sinks
        self._carry = b""  # at most " \r": white space before a line end, half a line end
        self._line_ends = 0  # CRLFs that count only if something follows them
        self._empty = True

    def update(self, chunk: bytes) -> None:
        data = self._carry + chunk
        if self._relaxed:
            data = data.replace(b"\t", b" ")
            while b"  " in data:
                data = data.replace(b"  ", b" ")
            data = data.replace(b" \r\n", b"\r\n")
        keep = len(data)
        if keep and data[keep - 1] == 0x0D:
            keep -= 1
        if self._relaxed and keep and data[keep - 1] == 0x20:
            keep -= 1
        self._carry = data[keep:]
        self._emit(data[:keep])

    def _emit(self, data: bytes) -> None:
        end = _without_line_ends(data)
        if end:
            if self._line_ends:
                self._feed(b"\r\n" * self._line_ends)
                self._line_ends = 0
            self._empty = False
            self._feed(data[:end])
        self._line_ends += (len(data) - end) // 2

    def finish(self) -> None:
        # what was held back turns out to be the end of the last line; relaxed drops the white space there
        last = self._carry.replace(b" ", b"") if self._relaxed and not self._carry.endswith(b"\r") else self._carry
        if last:
            self._feed(b"\r\n" * self._line_ends + last)
            self._empty = False
        if not self._empty or not self._relaxed:
            self._feed(b"\r\n")

    def _feed(self, data: bytes) -> None:
        for sink in self.sinks:
            sink.update(data)


def _without_line_ends(data: bytes) -> int:
    """Where the CRLFs at the end of ``data`` begin."""
    end = len(data)
    tail = end - len(data.rstrip(b"\r\n"))
    if tail % 2 == 0 and data.endswith(b"\r\n" * (tail // 2)):
        return end - tail
    while data.endswith(b"\r\n", 0, end):
        end -= 2
    return end


class Body:
    """All body hashes of one message, each (canonicalization, length) computed once."""

    def __init__(self, requests: Iterable[BodyRequest]) -> None:
        self._sinks = {request: _Sink(request.length, hashlib.sha256()) for request in dict.fromkeys(requests)}
        self._canonicalizers = [
            _Canonicalizer(kind == "relaxed", sinks)
            for kind in ("simple", "relaxed")
            if (sinks := [sink for asked, sink in self._sinks.items() if asked.canonicalization == kind])
        ]

    @property
    def hungry(self) -> bool:
        """Would another chunk change anything?"""
        return any(sink.hungry for sink in self._sinks.values())

    def update(self, chunk: bytes) -> None:
        """The next octets of the body, with CRLF line ends."""
        for canonicalizer in self._canonicalizers:
            if any(sink.hungry for sink in canonicalizer.sinks):
                canonicalizer.update(chunk)

    def finish(self) -> dict[BodyRequest, BodyDigest]:
        """The digests; to be called once, at the end of the body."""
        for canonicalizer in self._canonicalizers:
            canonicalizer.finish()
        return {
            request: BodyDigest(sink.hash.digest(), sink.hashed, sink.unsigned) for request, sink in self._sinks.items()
        }
