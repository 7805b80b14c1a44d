"""The load benchmark's own logic; the stacks themselves are measured by ``make bench``."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from mailassay.judge.outcome import Outcome
from mailassay.message import split
from mailassay.policy import Mode, Policy
from mailassay.zone import Zone
from tests.bench.__main__ import main
from tests.bench.corpus import KINDS, RECIPIENT, Corpus, Message, corpus
from tests.bench.load import Sent, wrong
from tests.bench.processes import Process, begin, cpu, growth, pss, read
from tests.bench.report import Cell, Setting, percentile, rows, settings, table
from tests.bench.stacks import ALONE, OURS, ROOT, STACKS, missing
from tests.lab import mta
from tests.lab.limits import LIMITS
from tests.lab.smtp import Reply
from tests.lab.talk import Talk

BIG = 300_000
of_the_corpus = pytest.mark.xdist_group("corpus")
"""Tests that share the corpus run in one process: its RSA keys take seconds to make."""


@pytest.fixture(scope="module")
def made() -> Corpus:
    return corpus(120, big=BIG)


@of_the_corpus
def test_corpus_holds_every_kind_and_its_messages_differ(made: Corpus) -> None:
    assert {each.kind for each in made.messages} == set(KINDS)
    assert len({each.content for each in made.messages}) == 120
    assert {each.header_from for each in made.warm}.isdisjoint(each.header_from for each in made.messages)


@of_the_corpus
def test_corpus_is_the_same_each_time(made: Corpus) -> None:
    again = corpus(120, big=BIG)
    assert [each.mail_from for each in again.messages] == [each.mail_from for each in made.messages]


def conversed(made: Corpus, messages: Iterable[Message], policy: Policy = Policy()) -> Iterator[tuple[Sent, Outcome]]:
    """What a load of these messages is answered."""
    zone = Zone(json.dumps(made.zone), limits=LIMITS)
    for message in messages:
        talk = Talk(zone, policy, client=message.client, helo=message.helo)
        outcome = talk.send(*split(message.content), mail_from=f"<{message.mail_from}>", recipients=[f"<{RECIPIENT}>"])
        yield Sent(message, Reply(550 if outcome.verdict.action == "reject" else 250, ""), 0.01), outcome


def entry(sent: Sent, outcome: Outcome) -> dict[str, object]:
    assert outcome.evidence
    dmarc = outcome.evidence.dmarc
    return {"client": sent.message.client, "header_from": dmarc.header_from, "dmarc": dmarc.result}


@of_the_corpus
def test_verdicts_are_the_expected_ones(made: Corpus) -> None:
    found = Counter[str]()
    for sent, outcome in conversed(made, [*made.messages, *made.warm, made.big]):
        assert outcome.evidence
        message = sent.message
        assert (message.kind, outcome.evidence.dmarc.result) == (message.kind, message.dmarc)
        assert (outcome.verdict.action == "reject") == message.refused
        assert (outcome.evidence.arc.result == "pass") == (message.kind == "sealed")
        found[message.dmarc] += 1
    assert len(found) == 3
    assert 0.9 * BIG < len(made.big.content) < 1.1 * BIG


@of_the_corpus
def test_no_verdict_is_wrong(made: Corpus) -> None:
    done = [*conversed(made, made.messages)]
    log = [entry(*each) for each in done]
    sent = [each for each, _ in done]
    assert wrong(sent, [{"level": "info", "message": "listening"}, *log]) == wrong(sent) == 0


@of_the_corpus
def test_verdicts_of_a_policy_that_accepts_everything_are_wrong(made: Corpus) -> None:
    done = [*conversed(made, made.messages, Policy(mode=Mode.MONITOR))]
    refused = sum(each.refused for each in made.messages)
    assert refused
    assert wrong([each for each, _ in done], [entry(*each) for each in done]) == refused


@of_the_corpus
def test_wrong_verdicts_are_counted(made: Corpus) -> None:
    done = [*conversed(made, made.messages)]
    log = [entry(*each) for each in done]
    sent = [each for each, _ in done]
    # a message accepted, as it should be, for a reason that is not the right one
    at = next(at for at, each in enumerate(sent) if each.message.kind == "plain")
    other = replace(sent[at], message=replace(sent[at].message, dmarc="pass"))
    assert wrong([*sent[:at], other, *sent[at + 1 :]], log) == 1
    # one that was let through unjudged
    assert wrong(sent, log[1:]) == 1
    # one put off
    assert wrong([replace(sent[0], reply=Reply(451, "")), *sent[1:]], log) == 1


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


FAST, SLOW, WARM, LARGE = Setting(0), Setting(20), Setting(20, is_warm=True), Setting(0, is_big=True)


def cell(setting: Setting, throughput: float, session: float, wrong: int = 0) -> Cell:
    return Cell(setting, throughput, (session,) * 3, 0.002, 4.0, 50.0, 0.0, wrong)


def line(text: str, title: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(f"| {title} "))
    return [each.strip() for each in found.strip("|").split("|")[1:]]


@pytest.mark.parametrize(
    ("latencies", "expected"),
    [
        ([0, 20], [FAST, SLOW, WARM, LARGE]),
        ([20], [SLOW, WARM, Setting(20, is_big=True)]),
        ([80, 0, 20], [FAST, SLOW, Setting(80), WARM, LARGE]),
    ],
)
def test_settings(latencies: list[int], expected: list[Setting]) -> None:
    assert settings(latencies) == expected


def test_titles_are_different() -> None:
    titles = [row.title for row in rows(settings([0, 20, 80]))]
    assert len(set(titles)) == len(titles)


def test_table() -> None:
    cells = {
        ALONE: [cell(FAST, 1000, 0.004), cell(FAST, 2000, 0.004), cell(FAST, 1000, 0.004), cell(SLOW, 900, 0.004)],
        # the median of three turns
        OURS: [cell(FAST, 400, 0.01, 1), cell(FAST, 500, 0.02), cell(FAST, 900, 0.03, 1), cell(SLOW, 200, 0.03)],
        # turn by turn it is a half, 0.2 and 0.1 of ours: that of the medians would be 0.2
        "chain": [cell(FAST, 200, 0.02), cell(FAST, 100, 0.02), cell(FAST, 90, 0.02), cell(SLOW, 100, 0.1)],
        "other": [cell(FAST, 800, 0.02), cell(FAST, 1500, 0.02), cell(FAST, 900, 0.02), cell(SLOW, 100, 0.1)],
    }
    text = table(cells, [FAST, SLOW])
    title = "messages/s, DNS 0 ms"
    assert line(text, title) == ["1000 (2.50)", "500", "100 (0.20)", "900 (2.00)"]
    assert line(text, f"{title} (× {ALONE})") == ["1000", "500 (0.40)", "100 (0.09)", "900 (0.80)"]
    assert line(text, "session p95 ms, DNS 20 ms") == ["4 (0.13)", "30", "100 (3.33)", "100 (3.33)"]
    assert line(text, "CPU ms per message, DNS 0 ms") == ["–", "2.00", "2.00 (1.00)", "2.00 (1.00)"]
    assert line(text, "wrong verdicts") == ["–", "2", "0", "0"]


def test_table_of_warm_caches_and_a_big_message() -> None:
    free = replace(cell(LARGE, 1, 0.4), cpu=0.0)
    cells = {
        ALONE: [cell(each, 1, 0.3) for each in (FAST, WARM, LARGE)],
        OURS: [cell(FAST, 1, 0.4), replace(cell(WARM, 1, 0.01), questions=1.25), free],
        "chain": [cell(each, 1, 0.5) for each in (FAST, WARM, LARGE)],
    }
    text = table(cells, [FAST, WARM, LARGE])
    assert line(text, "session p50 ms, DNS 20 ms, warm") == ["300 (30.00)", "10", "500 (50.00)"]
    assert line(text, "DNS questions per message, DNS 20 ms, warm") == ["–", "1.2", "4.0 (3.20)"]
    assert line(text, "a message of 20 MB: session ms") == ["300 (0.75)", "400", "500 (1.25)"]
    assert line(text, "a message of 20 MB: MB more") == ["–", "0.0", "0.0"]
    # of nothing there is no multiple
    assert line(text, "a message of 20 MB: CPU ms") == ["–", "0", "2 (nan)"]


def test_stat_is_read_whatever_the_name_is() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    stat = f"42 (a) S 9 (b) S 7 42 42 0 -1 4194304 1 2 3 4 {ticks} {ticks} {2 * ticks} 0 20 0 1 0"
    assert read(stat) == Process(7, 4.0)


def test_this_process_has_cpu_time_and_memory() -> None:
    assert cpu([os.getpid()]) > 0
    assert pss([os.getpid()]) > 1
    assert cpu([]) == pss([]) == 0


def test_memory_that_is_taken_is_seen_even_when_it_is_free_again() -> None:
    here = os.getpid()
    # what earlier tests left must not be freed in between, or the process grows by less than what is taken
    gc.collect()
    before = begin([here])
    calm = growth(before)
    taken = b"x" * 40_000_000
    del taken
    assert calm < 20 < growth(before) < 60
    assert growth({}) == growth(begin([])) == 0


def test_a_process_that_is_gone_is_no_traceback() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        cpu([process.pid])


def test_postfix_alone_and_ours_lack_no_package() -> None:
    assert not missing(STACKS[ALONE])
    assert not missing(STACKS[OURS])
    assert [*STACKS][:2] == [ALONE, OURS]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "impossible here"),
        (["--if-possible"], 0, "skipped"),
    ],
)
def test_without_root_it_says_so(
    arguments: list[str],
    status: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(arguments) == status
    output = capsys.readouterr()
    assert not output.out
    assert words in output.err
    assert "root" in output.err


@pytest.mark.parametrize("arguments", [["--turns", "0"], ["--messages", "-1"], ["--latency", "0,x"], ["--latency", ""]])
def test_what_makes_no_sense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err


_LOAD = """
import sys
from tests.bench import namespace, stacks
from tests.bench.__main__ import dns_server, measure
from tests.bench.corpus import corpus
from tests.bench.report import Setting

def load(folder):
    stacks.POLICY["mode"] = "monitor"
    made = corpus(40, big=100)
    with dns_server(folder, made) as dns:
        cell = measure(stacks.OURS, folder / "stack", made, dns, Setting(0), 40, 4)
    print(cell.wrong, sum(each.refused for each in made.messages))
    return 0

try:
    sys.exit(namespace.run(load, stacks.NAMESERVER))
except OSError as error:
    print(error.strerror)
"""


_OUTBOUND = """
import sys
from dataclasses import replace
from tests.bench import namespace, outbound, stacks

def load(folder):
    # enough for some ticks of the clock of CPU time, each of which is 10 ms
    figures = outbound.measure(outbound.BOTH, folder / "stack", 100, 2, 100_000)
    print(figures.cpu > 0, figures.memory > 0)
    outbound.STACKS[outbound.BOTH] = (outbound.STACKS[outbound.RSA_ONLY][0], 2)
    try:
        outbound.measure(outbound.BOTH, folder / "stack", 4, 2, 100_000)
    except RuntimeError as error:
        print(error)
    return 0

try:
    sys.exit(namespace.run(load, stacks.NAMESERVER))
except OSError as error:
    print(error.strerror)
"""


def _printed(code: str) -> str:
    """What code prints that measures in namespaces; skips the test where that is impossible."""
    if why := mta.missing():
        pytest.skip(reason=why)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stdout.startswith(("the kernel", "the mounts")):
        pytest.skip(reason=done.stdout)
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.postfix
def test_a_load_finds_out_a_policy_that_accepts_everything() -> None:
    wrong_ones, refused = _printed(_LOAD).split()
    assert wrong_ones == refused != "0"


@pytest.mark.postfix
def test_the_cost_of_signing_is_not_that_of_messages_without_a_signature() -> None:
    first, second = _printed(_OUTBOUND).splitlines()
    assert first == "True True"
    assert second == "mailassay, RSA and Ed25519: a message has 1 signatures, not 2"
