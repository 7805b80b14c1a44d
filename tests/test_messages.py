"""Every message of tests/messages: in process, and through the milter with DNS on a socket.

Besides what its case expects, no message whatever may put a word into our field, or any other field into the message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailassay.config import load_policy
from mailassay.message import split
from mailassay.policy import Policy
from tests.conformance.bench import Bench
from tests.fuzz import reader
from tests.lab.cases import FOLDER, NOW, Case, judged, load, mentions
from tests.lab.talk import OURS

RESULTS = b"authentication-results"
CASES = load()
Fields = list[tuple[bytes, bytes]]


def stated(case: Case, value: str) -> dict[str, str | list[str]]:
    """The results in our field, read strictly, and no word in it that is not of our vocabulary."""
    reader.check(value, OURS, utf8=case.connection.smtputf8)
    clauses = reader.clauses(value, OURS, utf8=case.connection.smtputf8)
    words: dict[str, list[str]] = {}
    for method, result, _ in clauses:
        words.setdefault(method, []).append(result)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", value), "a control character"
    for method, found in words.items():
        # filters that look for a text, and know nothing of quotes
        seen = re.findall(rf"(?<!dm){method}=pass", value, re.IGNORECASE)
        assert len(seen) == found.count("pass"), "a result that another reader may see"
    for word in case.never:
        assert word not in value
    header_from = next(properties.get("header.from", "") for method, _, properties in clauses if method == "dmarc")
    assert header_from.strip('"') == case.header_from
    if "pass" in words["dmarc"]:
        assert header_from.strip('"') == case.passes_for, "a pass for a domain that did not authenticate the message"
    return {method: found[0] if len(found) == 1 else found for method, found in words.items()}


def check_fields(before: Fields, after: Fields, removed: int) -> None:
    """Ours on top, nobody else's in our name, and all others as they were."""
    (name, value), *rest = after
    assert name.lower() == RESULTS
    assert value.strip().startswith(OURS.encode())
    others = [value for name, value in rest if name.lower() == RESULTS]
    assert not [value for value in others if mentions(value, OURS.encode())]
    gone = list(before)
    for each in rest:
        assert each in gone, "a field that the message did not have"
        gone.remove(each)
    assert len(gone) == removed
    assert {name.lower() for name, _ in gone} <= {RESULTS, b"x-mailassay-verdict"}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """One daemon for all."""
    # every question has its answer, however busy the machine is
    with Bench(timeout=10.0) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=str)
def test_in_process(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps(case.policy))
    outcome = judged(case, load_policy(str(path)))
    (name, value), *tags = outcome.add
    assert name == "Authentication-Results"
    assert bool(tags) == (outcome.verdict.action in ("tag", "hold"))
    results = stated(case, value)
    assert {method: results[method] for method in case.results} == case.results, value
    verdict = outcome.verdict
    assert (verdict.action, verdict.rule) == (case.verdict, case.rule)
    reply = str(verdict.reply) if verdict.reply else ""
    assert reply.startswith(case.reply) if case.reply else not reply
    assert reply.isascii()
    assert reply.isprintable()
    assert not [word for word in case.never if word in reply]
    before: Fields = [(name, value) for name, value in split(case.message)[0]]
    after, seen = [(b"Authentication-Results", value.encode())], dict[bytes, int]()
    gone = {(name.lower().encode(), instance) for name, instance in outcome.remove}
    for each in before:
        lower = each[0].lower()
        seen[lower] = seen.get(lower, 0) + 1
        if (lower, seen[lower]) not in gone:
            after.append(each)
    check_fields(before, after, case.removed)


@pytest.mark.parametrize("case", [case for case in CASES if not case.policy], ids=str)
@pytest.mark.process
def test_through_the_milter(case: Case, bench: Bench) -> None:
    connection = case.connection
    found = bench.replay(
        case.dns,
        case.message,
        client_ip=connection.client,
        helo=connection.helo,
        mail_from=connection.mail_from,
        smtputf8=connection.smtputf8,
        now=NOW,
    )
    before: Fields = [(name, value.partition(b"\0")[0]) for name, value in split(case.message)[0]]
    after = found.answer.apply(before)
    check_fields(before, after, case.removed)
    value = after[0][1].decode().removeprefix(" ")
    results = stated(case, value)
    assert {method: results[method] for method in case.results} == case.results, value
    assert found.entry["verdict"] == "accept"
    assert (found.entry.get("would", "accept"), found.entry["rule"]) == (case.verdict, case.rule)
    if not case.differs_on_the_way:
        assert ("Authentication-Results", value) == judged(case, Policy()).add[0]


def test_every_folder_is_a_case() -> None:
    folders = {path.parent for path in FOLDER.glob("*/*/*")}
    assert {f"{folder.parent.name}/{folder.name}" for folder in folders} == {case.name for case in CASES}
    assert {path.name for path in FOLDER.glob("*/*/*")} == {"message.eml", "case.yaml"}
    assert len(CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_explained(case: Case) -> None:
    assert len(case.title) <= 100
    assert len(case.why) >= 60
    assert case.verdict in ("accept", "tag", "hold", "defer", "reject")
    assert (case.verdict in ("reject", "defer")) == bool(case.reply)
