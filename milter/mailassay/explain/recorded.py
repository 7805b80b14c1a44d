"""What the history knows about a message, in lines of two columns: the output of ``mailassay why``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..config import KeptAddresses, Settings
from ..history.rebuilt import Unreadable, outcome
from ..judge import logline
from ..policy import Partial
from .alignment import alignments
from .outcome import Judgement, changes, decision, results
from .whatif import WhatIf, decide


class Recorded:
    """A message of the history. Raises Unreadable if its record is not one that this version can read."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record, self.outcome = record, outcome(record)
        try:
            line = record["line"]
            self._judgement = Judgement(
                self.outcome,
                str(record["file"] or ""),
                None if line is None else int(line),
                Partial(record.get("partial", Partial.IGNORE)),
            )
            self._addresses = KeptAddresses(record["addresses"])
            self._time = datetime.fromtimestamp(record["time"]).astimezone()
            self._digest, self._host, self._version = map(str, (record["policy"], record["host"], record["version"]))
            self._more = int(record["more_recipients"])
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from error

    def lines(self, settings: Settings | None, now: float | None = None) -> list[tuple[str, str]]:
        """All there is to say. ``settings`` are the present ones, None if they are not known.

        ``now``: also what they would decide at that time, in seconds since 1970.
        """
        found = self.outcome
        lines = [*decision(self._judgement), *self._since_then(settings, now), ("", ""), *self._facts()]
        if found.evidence:
            lines += results(found.evidence)
        else:
            lines.append(("results", f"not judged ({found.verdict.rule})"))
        lines.append(("took", f"{found.seconds * 1000:.1f} ms on {self._host}, version {self._version}"))
        if changed := [*changes(found)]:
            lines += [("", ""), *changed]
        return lines

    def as_json(self, settings: Settings | None, now: float | None = None) -> dict[str, Any]:
        """The record, and what :meth:`lines` says beyond it. The keys do not change."""
        evidence = self.outcome.evidence
        found = {
            **self.record,
            "results": logline.results(self.outcome),
            "alignment": [each.words for each in alignments(evidence, self._judgement.partial)] if evidence else [],
            "policy_changed": self._digest != settings.policy.digest if settings else None,
        }
        if settings and now is not None:
            found["now"] = decide(self.outcome, self._addresses, settings, now).as_json()
        return found

    def _since_then(self, settings: Settings | None, now: float | None) -> Iterator[tuple[str, str]]:
        if settings is None:
            return
        present = settings.policy.digest
        if self._digest != present:
            yield "policy", f"changed since: it was {self._digest}, and is {present} now"
        if now is not None:
            yield from _words(decide(self.outcome, self._addresses, settings, now), changed=self._digest != present)

    def _facts(self) -> Iterator[tuple[str, str]]:
        found, transaction, connection = self.outcome, self.outcome.transaction, self.outcome.connection
        if found.queue_id:
            yield "queue id", found.queue_id
        if found.message_id:
            yield "message id", found.message_id
        yield "time", f"{self._time:%Y-%m-%d %H:%M:%S %Z}"
        if connection and connection.via:
            by_way = ", ".join(map(str, connection.via))
            yield "client", f"{found.client}  (Received, by way of {by_way})"
        elif connection and connection.untraced:
            yield "relay", found.client
            yield "client", f"unknown: {connection.untraced}"
        else:
            yield "client", found.client or "none"
        if not (connection and connection.untraced):
            yield "helo", (connection.helo if connection else "") or "none"
        yield "mail from", self._mail_from()
        recipients = [each for each in transaction.recipients if each]
        if recipients or self._more:
            more = f"{self._more} more, which are not kept" if self._more else ""
            yield "recipients", ", ".join(filter(None, [*recipients, more]))
        elif self._addresses is not KeptAddresses.FULL:
            yield "recipients", f"not kept (history.addresses: {self._addresses})"
        if transaction.login:
            yield "login", transaction.login

    def _mail_from(self) -> str:
        evidence, mail_from = self.outcome.evidence, self.outcome.transaction.mail_from
        if mail_from or self._addresses is KeptAddresses.FULL or (evidence and evidence.spf_mail_from is None):
            return f"<{mail_from}>"
        return f"not kept (history.addresses: {self._addresses})"


def _words(found: WhatIf, *, changed: bool) -> Iterator[tuple[str, str]]:
    for each in found.unknown:
        yield "now", f"cannot be decided: {each}"
    if found.judgement:
        first, *rest = decision(found.judgement)
        yield "now", first[1]
        for label, text in rest:
            if label in ("reason", "monitor", "reply"):
                yield "now", f"{label}: {text}"
        if changed:
            yield (
                "now",
                "from the results at that time: settings that change how the checks themselves work are not applied",
            )


__all__ = ["Recorded", "Unreadable"]
