"""The messages of ``tests/messages``, each with what must become of it. README.md there says how they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mailassay.judge.outcome import Outcome
from mailassay.message import split
from mailassay.policy import Policy

from .talk import Talk

FOLDER = Path(__file__).parents[1] / "messages"
NOW = 1_790_000_000.0
"""The time of every case, in seconds since 1970."""


@dataclass(frozen=True)
class Connection:
    """What the client is and says; the attacker, where a case does not say otherwise."""

    client: str = "198.51.100.66"
    helo: str = "mail.attacker.example"
    mail_from: str = "eve@attacker.example"
    smtputf8: bool = False


@dataclass(frozen=True)
class Case:
    """One case, as its ``case.yaml`` has it.

    ``dns`` is the common zone with the case's own names in it. ``dkim`` among the ``results`` is one word, or a list
    where there are several signatures.
    """

    name: str
    message: bytes
    dns: Mapping[str, Mapping[str, Any]]
    title: str
    source: str
    why: str
    results: Mapping[str, str | list[str]]
    verdict: str
    rule: str
    reply: str = ""
    header_from: str = ""
    passes_for: str = ""
    removed: int = 0
    never: tuple[str, ...] = ()
    policy: Mapping[str, Any] = field(default_factory=dict)
    connection: Connection = Connection()

    def __str__(self) -> str:
        return self.name

    @cached_property
    def differs_on_the_way(self) -> bool:
        """Does the milter protocol, whose strings end at a NUL, carry less than the message holds?"""
        return b"\0" in self.message.partition(b"\r\n\r\n")[0]


def load() -> list[Case]:
    """All cases, in the order of their names. Raises TypeError where a file has a key that there is not."""
    common = yaml.safe_load((FOLDER / "zone.yaml").read_text())
    return [_read(path.parent, common) for path in sorted(FOLDER.glob("*/*/case.yaml"))]


def _read(folder: Path, common: Mapping[str, Any]) -> Case:
    given = yaml.safe_load((folder / "case.yaml").read_text())
    return Case(
        name=f"{folder.parent.name}/{folder.name}",
        message=(folder / "message.eml").read_bytes(),
        dns={**common, **given.pop("zone", {})},
        source=given.pop("class"),
        never=tuple(given.pop("never", ())),
        connection=Connection(**given.pop("connection", {})),
        **given,
    )


def judged(case: Case, policy: Policy) -> Outcome:
    """The message, in process."""
    given = case.connection
    talk = Talk(json.dumps(case.dns), policy, client=given.client, helo=given.helo, now=NOW)
    return talk.send(*split(case.message), mail_from=f"<{given.mail_from}>", smtputf8=given.smtputf8)


def mentions(value: bytes, name: bytes) -> bool:
    """Does a field's value hold a name, whatever quotes, comments, case and white space do to it?"""
    bare = re.sub(rb"\([^()]*\)|[^a-z0-9.-]", b"", value.lower())
    return name in bare
