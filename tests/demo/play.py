"""One scenario through the real parts, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..lab.mta import Mta
from ..lab.serve import Serve
from ..lab.smtp import Reply
from .scenarios import RECIPIENT, Expected, Scenario

METHODS = ("iprev", "spf", "dkim", "arc", "dmarc")


@dataclass(frozen=True)
class Played:
    """What was found, what became of the message, and how that differs from what was expected, in words.

    ``entry`` is the log line; ``message`` what was sent; ``header`` the header section of what was delivered or held.
    """

    scenario: Scenario
    found: dict[str, str]
    verdict: str
    reply: Reply
    fate: str
    differences: tuple[str, ...]
    entry: dict[str, Any]
    message: bytes
    header: bytes


def play(scenario: Scenario, mta: Mta, serve: Serve) -> Played:
    """Send a scenario's message as its client."""
    message = scenario.message()
    before = len(serve.entries())
    with mta.client() as client:
        client.command("EHLO demo.invalid")
        client.become(scenario.client, login=scenario.login)
        client.command(f"EHLO {scenario.helo}")
        reply = client.send(scenario.mail_from, [RECIPIENT], message)
    # written before the milter answers; of a refused message Postfix tells no queue id
    (entry,) = (each for each in serve.entries()[before:] if "queue_id" in each)
    found = {method: _word(entry.get(method, "-")) for method in METHODS}
    fate, header = _fate(reply, entry, mta)
    differences = tuple(_differences(scenario, found, entry, reply, fate, header))
    return Played(scenario, found, entry["verdict"], reply, fate, differences, entry, message, header)


def _word(found: str | list[dict[str, Any]]) -> str:
    """The result, or those of the signatures."""
    return found if isinstance(found, str) else ",".join(each["result"] for each in found) or "none"


def _fate(reply: Reply, entry: dict[str, Any], mta: Mta) -> tuple[str, bytes]:
    """What Postfix did, and the header section of the message where there still is one."""
    if not reply.queue_id:
        return ("refused" if reply.code >= 500 else "deferred"), b""
    if entry["verdict"] == "hold":
        return "held", mta.held(reply.queue_id)
    return "delivered", mta.delivered(reply.queue_id).partition(b"\n\n")[0] + b"\n"


def _differences(
    scenario: Scenario, found: dict[str, str], entry: dict[str, Any], reply: Reply, fate: str, header: bytes
) -> Iterator[str]:
    expected: Expected = scenario.expected
    wanted = {method: getattr(expected, method) for method in METHODS}
    for what, got, want in (
        *((method, found[method], wanted[method]) for method in METHODS),
        ("verdict", entry["verdict"], expected.verdict),
        ("fate", fate, expected.fate),
    ):
        if got != want:
            yield f"{what}: got {got}, expected {want}"
    if not str(reply).startswith(f"{expected.reply} "):
        yield f"reply: got {reply}, expected {expected.reply}"
    if not header:
        return
    unfolded = header.replace(b"\n ", b" ").replace(b"\n\t", b" ").split(b"\n")
    ours = [line for line in unfolded if line.startswith(b"Authentication-Results: mx.receiver.example;")]
    if scenario.login:
        if ours:
            yield "an Authentication-Results field on mail that was not judged"
    elif len(ours) != 1 or unfolded[0] != ours[0]:
        yield f"not one Authentication-Results field of ours, on top: {ours}"
    else:
        for method in METHODS:
            word = re.search(rb"; %s=(\w+)" % method.encode(), ours[0])
            if not word or word[1].decode() != found[method]:
                yield f"{method}: the header says {word and word[1]!r}, the log {found[method]}"
    if scenario.keeps and scenario.keeps.strip() not in unfolded:
        yield "somebody else's Authentication-Results field is gone"
    if scenario.loses and scenario.loses.strip() in unfolded:
        yield "a forged Authentication-Results field is still there"
