"""The openspf suites (RFC 7208, and RFC 4408 where it still holds): ``expect.spf`` lists the results that are right.

``expect.explanation`` is not looked at: exp= is not fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .bench import Bench, Case

_MESSAGE = b"From: a@author.invalid\r\n\r\nx\r\n"


def cases(path: Path) -> list[Case]:
    """The cases of a file."""
    return [_case(each) for each in json.loads(path.read_text())]


def _case(case: dict[str, Any]) -> Case:
    zone, client_ip, helo, allowed = case["zone"], case["client_ip"], case["helo"], case["expect"]["spf"]
    mail_from = case["mail_from"] or ""

    def replay(bench: Bench) -> Iterable[str]:
        judged = bench.replay(zone, _MESSAGE, client_ip=client_ip, helo=helo, mail_from=mail_from)
        if (got := judged.result("spf")) not in allowed:
            yield f"got {got}, expected {' or '.join(allowed)}"

    return Case(case["id"], replay)
