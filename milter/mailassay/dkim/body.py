"""Hash the body chunk by chunk, without keeping it. RFC 6376 sections 3.4.3 and 3.4.4."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple

Canonicalization = Literal["simple", "relaxed"]

_LINE_ENDS = b"\r\n" * 16_384

_SHORT = 4096  # octets; up to this size it is cheap to search for blanks several times
# Relaxed: the class of each octet, in bits so far apart that the shifts in ``reduced`` mix no two of them.
_CLASS = bytes({0x20: 0b11, 0x09: 0b11, 0x0D: 0b1000, 0x0A: 0b100000}.get(octet, 0) for octet in range(256))
# TAB becomes SP, and "!" becomes TAB, so that SP with its lowest bit set is a value that no other octet has.
_ASIDE, _BACK = bytes.maketrans(b"\t!", b" \t"), bytes.maketrans(b"\t", b"!")


class BodyRequest(NamedTuple):
    """The body hash that a signature needs: the canonicalization, and how many canonical octets (l=; None: all)."""

    canonicalization: Canonicalization
    length: int | None


class BodyDigest(NamedTuple):
    """The SHA-256 for a request, the number of canonical octets hashed, and whether the body is longer than that."""

    digest: bytes
    hashed: int
    partial: bool


class _Canonical:
    """One canonical form of the body. It is hashed once; for each length requested, the digest is taken on the way."""

    def __init__(self, relaxed: bool, lengths: Collection[int | None]) -> None:
        self._relaxed, self._whole = relaxed, None in lengths
        self._lengths = sorted((each for each in lengths if each is not None), reverse=True)  # to come, next last
        self._hash, self._hashed = hashlib.sha256(), 0
        self._carry = b""  # at most " \r": white space that may precede a line end, and half a line end
        self._line_ends = 0  # CRLFs that count only if something follows them
        self.digests: dict[int | None, BodyDigest] = {}

    @property
    def hungry(self) -> bool:
        # one octet past l= is needed too: it shows that the signature does not cover the whole body
        return self._whole or bool(self._lengths)

    def update(self, chunk: bytes) -> None:
        data = self._carry + chunk
        if self._relaxed:
            data = reduced(data)
        keep = len(data)
        if keep and data[keep - 1] == 0x0D:
            keep -= 1
        if self._relaxed and keep and data[keep - 1] == 0x20:
            keep -= 1
        self._carry = data[keep:]
        end = _without_line_ends(data, keep)
        if end:
            self._feed(data[:end])
        self._line_ends += (keep - end) // 2

    def finish(self) -> None:
        # the octets held back are the end of the last line; relaxed drops white space there
        last = self._carry.replace(b" ", b"") if self._relaxed and not self._carry.endswith(b"\r") else self._carry
        if last:
            self._feed(last)
        self._line_ends = 0
        if self._hashed or not self._relaxed:
            self._feed(b"\r\n")
        for length in (*self._lengths, None):
            self.digests[length] = BodyDigest(self._hash.digest(), self._hashed, False)

    def _feed(self, data: bytes) -> None:
        while self._line_ends:
            piece = _LINE_ENDS[: 2 * self._line_ends]
            self._line_ends -= len(piece) // 2
            self._hash_on(piece)
        self._hash_on(data)

    def _hash_on(self, data: bytes) -> None:
        while self._lengths and self._lengths[-1] < self._hashed + len(data):
            length = self._lengths.pop()
            room = length - self._hashed
            self._hash.update(data[:room])
            self._hashed, data = length, data[room:]
            self.digests[length] = BodyDigest(self._hash.digest(), length, True)
        self._hash.update(data)
        self._hashed += len(data)


def reduced(data: bytes) -> bytes:
    """``data`` with each run of white space reduced to one SP, and removed before a CRLF.

    White space at the end of ``data`` is kept as one SP, because more may follow. All octets are handled at once, as
    one integer with the first octet lowest: a search would cost a branch for every blank.
    """
    if len(data) < _SHORT:
        # most fields have nothing to reduce; a body always has something
        if b"\t" not in data and b"  " not in data and b" \r" not in data:
            return data
    elif b" " not in data and b"\t" not in data:
        return data
    classes = int.from_bytes(data.translate(_CLASS), "little")
    # the lowest bit of each blank that is followed by a blank, or by CR and LF
    dropped = classes & (classes >> 8 + 1 | classes >> 8 + 3 & classes >> 16 + 5)
    if not dropped:
        return data.replace(b"\t", b" ")
    octets = int.from_bytes(data.translate(_ASIDE), "little") | dropped
    return octets.to_bytes(len(data), "little").translate(_BACK, b"!")


def _without_line_ends(data: bytes, end: int) -> int:
    """The position at which the run of CRLFs before ``end`` begins."""
    start = len(data[:end].rstrip(b"\r\n"))
    tail = end - start
    if tail % 2 == 0 and data.endswith(b"\r\n" * (tail // 2), start, end):
        return start
    while data.endswith(b"\r\n", start, end):
        end -= 2
    return end


class Body:
    """All body hashes of one message. Each canonical form is made and hashed only once."""

    def __init__(self, requests: Iterable[BodyRequest]) -> None:
        self._requests = frozenset(requests)
        self._forms: dict[Canonicalization, _Canonical] = {
            kind: _Canonical(kind == "relaxed", {each.length for each in self._requests if each[0] == kind})
            for kind in {each.canonicalization for each in self._requests}
        }

    @property
    def hungry(self) -> bool:
        """Would another chunk change anything?"""
        return any(form.hungry for form in self._forms.values())

    def update(self, chunk: bytes) -> None:
        """Take the next octets of the body, with CRLF line ends."""
        for form in self._forms.values():
            if form.hungry:
                form.update(chunk)

    def finish(self) -> dict[BodyRequest, BodyDigest]:
        """The digests. Call this once, at the end of the body."""
        for form in self._forms.values():
            form.finish()
        return {each: self._forms[each.canonicalization].digests[each.length] for each in self._requests}
