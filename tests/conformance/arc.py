"""The ARC test suite (RFC 8617): ``cv`` is the result that is right, an empty one means fail."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from .bench import Bench, Case, ZoneData


def cases(path: Path) -> list[Case]:
    """The cases of a file: YAML documents, each a group with its own key records."""
    found = []
    with path.open(encoding="utf-8") as file:
        for group in yaml.safe_load_all(file):
            zone = {name: {"TXT": [text]} for name, text in (group["txt-records"] or {}).items()}
            for name, case in group["tests"].items():
                expected = (case["cv"] or "fail").lower()
                found.append(_case(f"{group['description']}/{name}", zone, case["message"].encode(), expected))
    return found


def _case(name: str, zone: ZoneData, message: bytes, expected: str) -> Case:
    def replay(bench: Bench) -> Iterable[str]:
        if (got := bench.replay(zone, message).result("arc")) != expected:
            yield f"got {got}, expected {expected}"

    return Case(name, replay)
