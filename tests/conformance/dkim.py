"""DKIM (RFC 6376): messages with their keys, and canonicalization.

**Messages** (``cases.json`` beside ``zone.json``). ``expect.dkim`` is the result, or a list of them: one for each
signature from the top, or for a single signature those that are right. An entry that begins with no result word asserts
nothing; ``limit: MaxVerifications=N`` asks for N results where the policy's ``limits.signatures`` is N. Clock: the
case's ``now`` (seconds since 1970); else, where a pass is expected of a signature that has expired since, the time of
the earliest ``x``; else real time. Entries with ``header`` are Authentication-Results fields, see ``authres``.

**Canonicalization**. A hash cannot be seen from outside, so a message is signed whose signature holds only if
mailassay canonicalizes it to the octets that the case expects: bh= and b= are computed from these, and from nothing
else. The same message signed over other octets must fail. ``chunks`` are separate body packets; an empty one is none.
Blanks between a field's name and its colon are left out of the message, and of what ``simple`` makes of it: Postfix
drops them before a milter, or anybody else, sees the field. ``sha1`` is not looked at (RFC 8301 section 3.1).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailassay.message import split
from mailassay.result import Result
from tests.lab.sign import ed25519_key

from . import authres
from .bench import Bench, Case, Fields, ZoneData

_AUTHOR = (b"From", b" a@author.example")
_KEY = ed25519_key()
_ZONE: ZoneData = {"sel._domainkey.author.example": {"TXT": [_KEY.record]}}
_BLANKS = re.compile(rb"^([!-9;-~]+)[ \t]+:", re.MULTILINE)
_LIMIT = re.compile(r"limit: MaxVerifications=([0-9]+)")


def messages(path: Path) -> list[Case]:
    """The cases of a ``cases.json``."""
    beside = path.with_name("zone.json")
    zone = json.loads(beside.read_text()) if beside.exists() else {}
    return [
        _message(case, path.parent, zone) if "message" in case else authres.case(case)
        for case in json.loads(path.read_text())
    ]


def _message(case: dict[str, Any], folder: Path, zone: ZoneData) -> Case:
    message = (folder / case["message"]).read_bytes()
    zone, expected, now = case.get("zone", zone), case["expect"]["dkim"], _clock(case)

    def replay(bench: Bench) -> Iterable[str]:
        if limit := _LIMIT.match(str(expected)):
            with Bench({"limits": {"signatures": int(limit[1])}}) as limited:
                got = limited.replay(zone, message, now=now).results("dkim")
            wrong = len(got) != int(limit[1])
        else:
            got = bench.replay(zone, message, now=now).results("dkim")
            wrong = not _fits(got, expected)
        if wrong:
            yield f"got {', '.join(got)}, expected {expected}"

    return Case(case["id"], replay)


def _clock(case: dict[str, Any]) -> float | None:
    if "now" in case:
        return float(case["now"])
    expiries = [int(each["x"]) for each in case.get("sigs", []) if each["x"] is not None]
    return float(min(expiries)) if expiries and "pass" in case["expect"]["dkim"] else None


def _fits(got: Sequence[str], expected: str | list[str]) -> bool:
    words = [expected] if isinstance(expected, str) else expected
    asserted = [word if word in list(Result) else None for word in words]
    if len(got) == len(words):
        return all(want in (None, each) for each, want in zip(got, asserted, strict=True))
    return len(got) == 1 and got[0] in asserted


def canonicalization(path: Path) -> list[Case]:
    """The cases of a file: with ``chunks`` and what becomes of them, or with ``raw_headers`` and ``raw_body``."""
    return [_chunks(each) if "chunks" in each else _raw(each) for each in json.loads(path.read_text())]


def _chunks(case: dict[str, Any]) -> Case:
    algorithm, _, part = case["canon"].partition("-")
    chunks, expected = [each.encode() for each in case["chunks"]], case["expect"].encode()

    def replay(bench: Bench) -> Iterable[str]:
        if part == "header":
            return _differs(bench, algorithm, split(b"".join(chunks))[0].fields, expected)
        return _differs(bench, algorithm, [], b"", chunks, _digest(expected))

    return Case(case["id"], replay)


def _raw(case: dict[str, Any]) -> Case:
    raw_headers, body = split(case.get("raw_headers", "").encode())[0].fields, [case["raw_body"].encode()]
    algorithms = [case["canon"]] if "canon" in case else ["relaxed", "simple"]

    def replay(bench: Bench) -> Iterable[str]:
        for algorithm in algorithms:
            if "sha256" in case:
                body_hash = base64.b64decode(case["sha256"])
            else:
                body_hash = _digest(case[f"{algorithm}_body"].encode())
            headers = _BLANKS.sub(rb"\1:", case.get(f"{algorithm}_headers", "").encode())
            yield from _differs(bench, algorithm, raw_headers, headers, body, body_hash)

    return Case(case["id"], replay)


def _differs(
    bench: Bench,
    algorithm: str,
    fields: Fields,
    canonical: bytes,
    body: Sequence[bytes] = (b"x\r\n",),
    body_hash: bytes = hashlib.sha256(b"x\r\n").digest(),
) -> Iterable[str]:
    """Where a message signed over what is expected does not pass, or one signed over something else does not fail."""
    other_headers = canonical.replace(b"\r\n", b"!\r\n", 1) if canonical else b"!"
    for what, signed, digest, expected in (
        ("what is expected", canonical, body_hash, "pass"),
        ("another header section", other_headers, body_hash, "fail"),
        ("another body", canonical, _digest(b"another"), "fail"),
    ):
        signature = _signature(algorithm, [name for name, _ in fields], signed, digest)
        judged = bench.replay(_ZONE, ([_AUTHOR, *fields, signature], [*filter(None, body)]))
        if (got := judged.result("dkim")) != expected:
            yield f"{algorithm}, signed over {what}: got {got}, expected {expected}"


def _signature(algorithm: str, names: Sequence[bytes], canonical: bytes, body_hash: bytes) -> tuple[bytes, bytes]:
    """A DKIM-Signature field over From, then the canonical header fields as they are given, and a body hash."""
    covered = b":".join([b"from", *names]).decode()
    bh = base64.b64encode(body_hash).decode()
    tags = f"v=1; a=ed25519-sha256; c={algorithm}/{algorithm}; d=author.example; s=sel; h={covered}; bh={bh}; b="
    name, space = ("dkim-signature", "") if algorithm == "relaxed" else ("DKIM-Signature", " ")
    author = b"from:a@author.example\r\n" if algorithm == "relaxed" else b"From: a@author.example\r\n"
    signed = author + canonical + f"{name}:{space}{tags}".encode()
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(_KEY.private))
    return b"DKIM-Signature", f" {tags}".encode() + base64.b64encode(key.sign(_digest(signed)))


def _digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()
