"""Sealing on the real Postfix: a stranger's message that leaves again verifies, host after host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailassay.message import crlf
from mailassay.result import Result
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.mta import HOST_NAME, Lab
from tests.lab.sealing import dkimpys, host, ours, published, zone
from tests.lab.sink import Sink

MESSAGE = (
    b"From: Ann <ann@member.example>\r\nTo: bob@next.example\r\nSubject: hi\r\n"
    b"Date: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@member.example>\r\n\r\nHello\r\n.\r\n..dots \r\n\r\n"
)
BY = "sealer.example/2026a"
ARC = [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]


@pytest.fixture(scope="module")
def sealing(make_lab: Callable[..., Lab], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A Postfix that seals what strangers send, and sends it on to the next hop; and what DNS has."""
    folder = tmp_path_factory.mktemp("keys")
    records = published(host(folder, "sealer.example", "2026a"))
    dns = zone(records)
    with Sink() as sink:
        relay = (
            f"relay_domains = next.example\nrelay_transport = smtp:[127.0.0.1]:{sink.port}\n"
            "smtp_line_length_limit = 0\ndisable_mime_output_conversion = yes\n"
        )
        lab = make_lab(
            more=relay,
            names=Zone(dns, limits=LIMITS),
            sign={"seal": "all", "seal_as": BY, "directory": str(folder)},
        )
        yield SimpleNamespace(lab=lab, sink=sink, records=records, dns=dns)


def sent(found: SimpleNamespace, message: bytes) -> bytes:
    """What the next hop gets of a message of a stranger."""
    with found.lab.postfix.client() as client:
        client.command("EHLO x.example")
        client.become("192.0.2.77", "x.example")
        client.command("EHLO x.example")
        reply = client.send("ann@member.example", ["bob@next.example"], message)
        assert reply.code == 250, reply
    return crlf(found.sink.next())


def last(found: SimpleNamespace) -> dict[str, object]:
    """What the log says of the last message."""
    entry: dict[str, object] = [each for each in found.lab.serve.entries() if "verdict" in each][-1]
    return {key: entry[key] for key in ("sealed_by", "seal_i", "seal_cv", "unsealed") if key in entry}


def names(message: bytes) -> list[bytes]:
    return re.findall(rb"(?m)^[A-Za-z-]+(?=:)", message.partition(b"\r\n\r\n")[0])


def test_a_strangers_message_leaves_sealed(sealing: SimpleNamespace) -> None:
    arrived = sent(sealing, MESSAGE)
    assert names(arrived)[:5] == [*ARC, b"Authentication-Results", b"Received"]
    assert ours(arrived, sealing.dns).result is Result.PASS
    assert dkimpys(arrived, sealing.records) == "pass"
    assert last(sealing) == {"sealed_by": BY, "seal_i": 1, "seal_cv": "none"}
    header = arrived.replace(b"\r\n ", b" ")
    [results] = re.findall(rb"(?m)^Authentication-Results: (.*)\r$", header)
    assert re.findall(rb"(?m)^ARC-Authentication-Results: i=1; (.*)\r$", header) == [results]


def test_a_chain_grows_on_the_next_host(sealing: SimpleNamespace) -> None:
    """Here it is the same host, so its own Authentication-Results is one that it removes."""
    message = MESSAGE
    for instance in (1, 2, 3):
        message = sent(sealing, message)
        assert last(sealing) == {"sealed_by": BY, "seal_i": instance, "seal_cv": "pass" if instance > 1 else "none"}
        found = ours(message, sealing.dns)
        assert (found.result, found.oldest_pass, len(found.sealers)) == (Result.PASS, 0, instance)
        assert dkimpys(message, sealing.records) == "pass"
        assert names(message).count(b"Authentication-Results") == 1


def test_a_forged_result_of_ours_is_removed_and_not_sealed(sealing: SimpleNamespace) -> None:
    forged = f"Authentication-Results: {HOST_NAME}; dmarc=pass header.from=bank.example\r\n".encode()
    verdict = b"X-Mailassay-Verdict: accept\r\n"
    arrived = sent(sealing, forged + verdict + b"Subject: first\r\n" + forged + MESSAGE)
    assert b"bank.example" not in arrived
    assert b"X-Mailassay" not in arrived
    assert names(arrived)[:4] == [*ARC, b"Authentication-Results"]
    assert ours(arrived, sealing.dns).result is Result.PASS
    assert dkimpys(arrived, sealing.records) == "pass"


def test_a_list_that_changes_a_message_breaks_the_chain(sealing: SimpleNamespace) -> None:
    changed = sent(sealing, MESSAGE).replace(b"Subject: hi", b"Subject: [list] hi") + b"a footer\r\n"
    assert ours(changed, sealing.dns).result is Result.FAIL
    arrived = sent(sealing, changed)
    assert last(sealing) == {"sealed_by": BY, "seal_i": 2, "seal_cv": "fail"}
    assert (ours(arrived, sealing.dns).result, dkimpys(arrived, sealing.records)) == (Result.FAIL, "ended")
    # nobody adds to it
    again = sent(sealing, arrived)
    assert last(sealing) == {"unsealed": "failed"}
    assert names(again).count(b"ARC-Seal") == 2


@pytest.mark.parametrize(
    "message",
    [
        b"From: ann@member.example\r\n\r\n",
        MESSAGE.replace(b"hi", b"=?utf-8?q?=C3=A9?=\r\n\t =?utf-8?q?=C3=A9?= \r\n "),
        MESSAGE + b"\r\n" * 50,
        MESSAGE + b"x" * 990 + b" \t \r\n\t\r\n",
        MESSAGE.replace(b"hi", b"8bit \xe9") + b"8bit: \xc3\xa9\r\n",
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n" + MESSAGE + b"8bit: \xc3\xa9\r\n",
        MESSAGE.replace(b"Subject: hi", b"Subject: " + b"y" * 1500) + b"x" * 3000 + b"\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=member.example; s=x; h=from;\r\n\tbh=AA; b=BB\r\n" + MESSAGE,
    ],
    ids=["only_from", "folded", "empty_lines", "long_line", "8bit", "8bit_mime", "longer", "signed"],
)
def test_what_postfix_does_to_a_message_breaks_no_seal(sealing: SimpleNamespace, message: bytes) -> None:
    arrived = sent(sealing, message)
    assert ours(arrived, sealing.dns).result is Result.PASS
    assert dkimpys(arrived, sealing.records) == "pass"


def test_20_megabytes_take_no_memory(sealing: SimpleNamespace) -> None:
    def highest() -> int:
        [worker] = sealing.lab.serve.workers()
        status = Path(f"/proc/{worker}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]

    sent(sealing, MESSAGE + b"warm\r\n" * 20_000)
    before = highest()
    arrived = sent(sealing, MESSAGE + (b"0123456789" * 7 + b"\r\n") * 290_000)
    assert ours(arrived, sealing.dns).result is Result.PASS
    assert highest() - before < 2048
