"""Registrable domains (the test of the Public Suffix List), where a public suffix publishes a record without psd=.

mailassay finds organizational domains by the tree walk of RFC 9989, to which such a record makes all names below the
suffix one organization (section 11.8). The list stands beside it as a safety net, and that is what is replayed: the
author is at the case's name, and its suffix, and nobody else, publishes ``v=DMARC1; p=reject``.

- The author aligns with another name below its registrable domain.
- It does not align with another registrable domain below the same suffix.
- Where it has no registrable domain, being a public suffix or no name at all, it aligns with nothing below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import idna

from .bench import Bench, Case
from .facts import Facts

_CASE = re.compile(r"checkPublicSuffix\((?:null|'([^']*)'), (?:null|'([^']*)')\);")


def cases(path: Path) -> list[Case]:
    """The cases of a file, each named by its line."""
    lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    return [_case(line) for line in lines if line and not line.startswith("//")]


def _case(line: str) -> Case:
    if not (found := _CASE.fullmatch(line)):
        raise ValueError(f"not a case: {line}")
    author = found[1] or ""
    registrable = _a_labels(found[2] or "")
    suffix = registrable.partition(".")[2] or _a_labels(author).strip(".")
    zone = {f"_dmarc.{suffix}": {"TXT": ["v=DMARC1; p=reject"]}} if suffix else {}

    def replay(bench: Bench) -> Iterable[str]:
        def aligns(domain: str) -> bool:
            judged = Facts(author, (domain, "pass"), zone=zone).judge(bench, smtputf8=not author.isascii())
            return judged.result("dmarc") == "pass"

        if registrable and not aligns(below := f"below.{registrable}"):
            yield f"it does not align with {below}"
        if aligns(beside := f"other.{suffix or 'example'}"):
            yield f"it aligns with {beside}"

    return Case(line, replay)


def _a_labels(name: str) -> str:
    return name if name.isascii() else idna.encode(name, uts46=True).decode()
