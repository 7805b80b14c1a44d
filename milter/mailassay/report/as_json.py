"""The figures for programs. Every key is written out here; the keys do not change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ..store.rows import BUCKETS, HOUR
from ..verdict import Action
from . import reported
from .figures import PERCENTILES, Figures, Source


def values(found: Figures) -> dict[str, Any]:
    """The figures as maps, lists and values of JSON. Times are local ones with their zone, durations in seconds."""
    span = found.span
    return {
        "since": _time(span.first * HOUR),
        "until": _time(span.now),
        "host": found.host or None,
        "hosts": list(found.hosts),
        "policy": {"file": found.policy or None, "mode": found.mode},
        "messages": found.messages,
        "judged": found.judged,
        "unjudged": dict(found.unjudged),
        "verdicts": _actions(found.verdicts),
        "would": _actions(found.would),
        "changed": [
            {"verdict": verdict, "would": would, "messages": many}
            for (verdict, would), many in found.changed.most_common()
        ],
        "period": "hour" if span.by_hour else "day",
        "periods": [
            {
                "start": _time(each.start),
                "messages": each.messages,
                "unjudged": each.unjudged,
                "verdicts": _actions(each.verdicts),
                "would": _actions(each.would),
            }
            for each in found.periods
        ],
        "results": {method: dict(counts) for method, counts in found.results.items()},
        "authors": [
            {
                "domain": each.domain,
                "messages": each.messages,
                "failed": each.failed,
                "sources": _sources(each.sources),
            }
            for each in found.authors
        ],
        "sources": _sources(found.sources),
        "rules": [
            {
                "name": each.name,
                "line": each.line,
                "messages": each.messages,
                "verdicts": _actions(each.verdicts),
                "would": _actions(each.would),
            }
            for each in found.rules
        ],
        "unused_rules": [{"name": each.name, "line": each.line, "expired": each.expired} for each in found.unused],
        "monitored": [
            {"name": each.name, "line": each.line, "action": each.action, "messages": each.messages}
            for each in found.monitored
        ],
        "limits": dict(found.limits),
        "dns": {"sent": found.dns["sent"], "failed": found.dns["failed"]},
        "unanswered": [
            {"method": each.method, "domain": each.domain, "messages": each.messages} for each in found.unanswered
        ],
        **_durations(found),
        "on_hold": {"messages": found.on_hold.messages, "oldest": found.on_hold.oldest} if found.on_hold else None,
        "on_hold_unknown": found.hold_trouble or None,
        "lost": dict(found.lost),
        "signing": {
            "signed": found.signed.total(),
            "keys": dict(found.signers),
            "unsigned": dict(found.unsigned),
        },
        "dmarc_reports": reported.values(found.reported) if found.reported else None,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def _actions(found: Counter[Action]) -> dict[str, int]:
    return {action: found[action] for action in Action}


def _sources(found: Iterable[Source]) -> list[dict[str, Any]]:
    return [{"client": each.client, "name": each.name or None, "messages": each.messages} for each in found]


def _durations(found: Figures) -> dict[str, Any]:
    """``at_most`` is null for more than the longest time that is counted by itself, and if there is no message."""
    percentiles = {f"p{percent}": found.at_most(percent) for percent in PERCENTILES}
    return {
        "percentiles": {
            name: None if value is None else {"at_most": None if value == math.inf else value}
            for name, value in percentiles.items()
        },
        "times": [
            {"at_most": bucket, "messages": many} for bucket, many in zip((*BUCKETS, None), found.times, strict=True)
        ],
    }
