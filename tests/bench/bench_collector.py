"""How many records a second the collector moves from the spool into a file of SQLite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mailassay.collector import Collector
from mailassay.config import History, Settings
from mailassay.history.record import Judged, line
from mailassay.history.spool import SPOOL, SUFFIX
from mailassay.message import split
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import ed25519_key
from tests.lab.talk import Talk

MANY = 20_000
KEY = ed25519_key()
ZONE = Zone(
    f"""
    1.2.0.192.in-addr.arpa      PTR  mail.bank.example
    mail.bank.example           A    192.0.2.1
    bank.example                TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.bank.example         TXT  "v=DMARC1; p=reject"
    ed._domainkey.bank.example  TXT  "{KEY.record}"
    """,
    limits=LIMITS,
)


@pytest.fixture(scope="module")
def records() -> str:
    """Lines of a busy time: a signed message of a domain with a policy, each with an id of its own."""
    headers, body = split(KEY.sign(b"From: a@bank.example\r\nMessage-ID: <QID@x>\r\n\r\nhi\r\n", "bank.example", "ed"))
    outcome = Talk(ZONE, settings=Settings(), client="192.0.2.1").send(list(headers), body)
    text = line(Judged(outcome, Settings(), 1_800_000_000.0), "mx1")
    return "".join(f"{text.replace('QID', f'4Xyz{number:08}')}\n" for number in range(MANY))


def test_collector(benchmark: Any, tmp_path: Path, records: str) -> None:
    """The time for all of them; a second is 20,000 records a second."""
    (tmp_path / SPOOL).mkdir()
    turns = iter(range(100))

    def filled() -> tuple[tuple[Collector], dict[str, Any]]:
        (tmp_path / SPOOL / f"mx1-{next(turns)}.0-1-1{SUFFIX}").write_text(records)
        return (Collector(History(directory=str(tmp_path)), "mx1", lambda: 1_800_000_001.0),), {}

    def move(collector: Collector) -> None:
        while collector.once():
            pass
        collector.close()

    benchmark.pedantic(move, setup=filled, rounds=3)
    assert not list((tmp_path / SPOOL).iterdir())
