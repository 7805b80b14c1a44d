"""Records of messages, as a worker writes them into the spool."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from mailassay.history.spool import SPOOL, SUFFIX

NOW = 1_800_000_000.0
_BEGUN = count(1)


def record(queue_id: str, /, **more: Any) -> dict[str, Any]:
    """A record as the columns of the database need it; not all that ``why`` needs."""
    return {
        "v": 1, "kind": "message", "time": NOW, "host": "mx1", "queue_id": queue_id, "message_id": f"<{queue_id}@x>",
        "client": "192.0.2.1", "helo": "mail.bank.example", "mail_from": "a@bank.example",
        "recipients": ["bob@receiver.example"], "more_recipients": 0,
        "results": {
            "iprev": "pass", "name": "mail.bank.example", "spf": "pass", "spf_helo": "none",
            "dkim": [{"result": "fail"}, {"result": "pass"}], "arc": "none", "dmarc": "pass",
            "header_from": "bank.example",
        },
        "verdict": "accept", "would": "accept", "kind_of_rule": "default", "rule": "default", "monitored": [],
        "seconds": 0.003,
    } | more  # fmt: skip


def segment(folder: Path, *lines: str | Mapping[str, Any], torn: str = "") -> Path:
    """Write a segment into the spool of the history in a folder."""
    (folder / SPOOL).mkdir(exist_ok=True)
    path = folder / SPOOL / f"mx1-{next(_BEGUN)}.0-1-1{SUFFIX}"
    path.write_text(_text(lines) + torn)
    return path


def _text(lines: Iterable[str | Mapping[str, Any]]) -> str:
    return "".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines)
