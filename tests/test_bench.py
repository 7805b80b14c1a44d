"""The load benchmark's own logic; the stacks themselves are measured by ``make bench``."""

from __future__ import annotations

import json
import os
from collections import Counter
from ipaddress import ip_address

import pytest

from mailassay.config import Settings
from mailassay.conversation import Conversation
from mailassay.message import split
from mailassay.zone import Zone
from tests.bench.corpus import KINDS, RECIPIENT, Corpus, corpus
from tests.bench.processes import Process, cpu, pss, read
from tests.bench.report import Cell, percentile, table
from tests.bench.stacks import ALONE, OURS, STACKS, missing


@pytest.fixture(scope="module")
def made() -> Corpus:
    return corpus(120)


def test_corpus_holds_every_kind_and_its_messages_differ(made: Corpus) -> None:
    assert {each.kind for each in made.messages} == set(KINDS)
    assert len({each.content for each in made.messages}) == 120
    assert {each.header_from for each in made.warm}.isdisjoint(each.header_from for each in made.messages)


def test_corpus_is_the_same_each_time(made: Corpus) -> None:
    again = corpus(120)
    assert [each.mail_from for each in again.messages] == [each.mail_from for each in made.messages]


def test_verdicts_are_the_expected_ones(made: Corpus) -> None:
    settings, zone = Settings(authserv_id="mx.receiver.example"), Zone(json.dumps(made.zone))
    found = Counter[str]()
    for message in (*made.messages, *made.warm):
        talk = Conversation(settings, zone)
        talk.connect(ip_address(message.client))
        talk.helo(message.helo)
        talk.mail_from(f"<{message.mail_from}>")
        talk.recipient(f"<{RECIPIENT}>")
        headers, body = split(message.content)
        for name, value in headers:
            talk.header(name, value)
        talk.end_of_headers()
        talk.body(body)
        outcome = talk.end_of_message()
        assert outcome.evidence
        assert (message.kind, outcome.evidence.dmarc.result) == (message.kind, message.dmarc)
        assert (outcome.verdict.action == "reject") == message.refused
        assert (outcome.evidence.arc.result == "pass") == (message.kind == "sealed")
        found[message.dmarc] += 1
    assert len(found) == 3


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7], 0.5, 7),
        ([3, 1, 2], 0.5, 2),
        ([4, 3, 2, 1], 0.5, 2),
        (range(1, 101), 0.95, 95),
        (range(1, 21), 0.95, 19),
        ([1, 2], 1.0, 2),
    ],
)
def test_percentile(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_percentile_of_nothing() -> None:
    with pytest.raises(ValueError):
        percentile([], 0.5)


def cell(latency: int, throughput: float, session: float, wrong: int = 0) -> Cell:
    return Cell(latency, throughput, (session,) * 3, 0.002, 4.0, 50.0, wrong)


def line(text: str, title: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(f"| {title} "))
    return [each.strip() for each in found.strip("|").split("|")[1:]]


def test_table() -> None:
    cells = {
        ALONE: [cell(0, 1000, 0.004), cell(20, 900, 0.004)],
        # the median of three turns
        OURS: [cell(0, 400, 0.01, 1), cell(0, 500, 0.02), cell(0, 900, 0.03, 1), cell(20, 200, 0.03)],
        "chain": [cell(0, 250, 0.02), cell(20, 100, 0.1)],
    }
    text = table(cells, [0, 20], "chain")
    assert line(text, "messages/s, DNS 0 ms") == ["1000 (4.00)", "500 (2.00)", "250"]
    assert line(text, f"messages/s, DNS 0 ms (× {ALONE})") == ["1000", "500 (0.50)", "250 (0.25)"]
    assert line(text, "session p95 ms, DNS 20 ms") == ["4 (0.04)", "30 (0.30)", "100"]
    assert line(text, "CPU ms per message") == ["–", "2.00 (1.00)", "2.00"]
    assert line(text, "wrong verdicts") == ["–", "2", "0"]


def test_table_without_a_chain() -> None:
    text = table({ALONE: [cell(0, 1000, 0.004)], OURS: [cell(0, 500, 0.01)]}, [0], "")
    assert line(text, "messages/s, DNS 0 ms") == ["1000", "500"]
    assert line(text, "CPU ms per message") == ["–", "2.00"]
    assert "brackets" not in text


def test_stat_is_read_whatever_the_name_is() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    stat = f"42 (a) S 9 (b) S 7 42 42 0 -1 4194304 1 2 3 4 {ticks} {ticks} {2 * ticks} 0 20 0 1 0"
    assert read(stat) == Process(7, 4.0)


def test_this_process_has_cpu_time_and_memory() -> None:
    assert cpu([os.getpid()]) > 0
    assert pss([os.getpid()]) > 1
    assert cpu([]) == pss([]) == 0


def test_postfix_alone_and_ours_lack_no_package() -> None:
    assert not missing(ALONE)
    assert not missing(OURS)
    assert [*STACKS][:2] == [ALONE, OURS]
