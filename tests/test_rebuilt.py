"""A record as an outcome again: what `check` says about the outcome, `why` says about its record."""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailassay import arc, dkim, dmarc, iprev, sender_domain, spf
from mailassay.config import History, KeptAddresses, Settings
from mailassay.dmarc import Disposition, Dmarc, How, Identifier, Record
from mailassay.dmarc.discovery import Walk
from mailassay.domain import Domain
from mailassay.evidence import Connection, Evidence, Transaction
from mailassay.explain.outcome import Judgement, changes, decision, results
from mailassay.explain.recorded import Recorded
from mailassay.history.rebuilt import Unreadable, outcome
from mailassay.history.record import Judged, record
from mailassay.judge import logline
from mailassay.judge.logline import as_json
from mailassay.judge.outcome import Outcome
from mailassay.policy import Partial, Policy
from mailassay.result import Result
from mailassay.sign import Sealed, Unsealed, Unsigned
from mailassay.store import rows
from mailassay.verdict import Action, Decider, Kind, Reply, Verdict
from tests.lab.cases import NOW, judged, load

LONE = re.compile("[\ud800-\udfff]")
# a lone surrogate becomes U+FFFD in a record, as in the log
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["a@b.example", "<script>", "\x00", "\u202e\u2066", "%_\\", "x" * 1200, "rules.x"]
)
DOMAINS = st.sampled_from([*map(Domain, ("bank.example", "mail.bank.example", "xn--bcher-kva.example", "a_b.example"))])
ADDRESSES = st.ip_addresses()
RESULTS = st.sampled_from(Result)
FLAGS = st.booleans()


def some(strategy):
    return st.none() | strategy


def tuples(strategy, most=3):
    return st.lists(strategy, max_size=most).map(tuple)


IDENTIFIERS = st.builds(Identifier, st.sampled_from(["spf", "dkim"]), DOMAINS, RESULTS)
IPREV = st.builds(
    iprev.Iprev, RESULTS, ADDRESSES, WORDS, reason=WORDS, limit=WORDS, names=tuples(WORDS), unanswered=tuples(WORDS),
    fault=some(st.sampled_from(iprev.Fault)),
)  # fmt: skip
SPF = st.builds(
    spf.Spf, RESULTS, st.sampled_from(["helo", "mailfrom"]), WORDS, WORDS, WORDS, WORDS,
    some(st.sampled_from(spf.Fault)),
)  # fmt: skip
DKIM = st.builds(
    dkim.Dkim, RESULTS, some(DOMAINS), identity=WORDS, selector=WORDS, algorithm=WORDS, b_text=WORDS,
    bits=st.integers(0, 9999), testing=FLAGS, partial=FLAGS, reason=WORDS, limit=WORDS,
    fault=some(st.sampled_from(dkim.Fault)),
)  # fmt: skip
ARC = st.builds(
    arc.Arc, RESULTS, tuples(DOMAINS), some(st.integers(0, 50)), WORDS, some(st.sampled_from(arc.Fault))
)  # fmt: skip
DISPOSITIONS = some(st.sampled_from(Disposition))
RECORDS = st.builds(
    Record, p=DISPOSITIONS, sp=DISPOSITIONS, np=DISPOSITIONS, psd=st.sampled_from("ynu"), testing=FLAGS,
    strict_dkim=FLAGS, strict_spf=FLAGS, rua=tuples(WORDS), ruf=tuples(WORDS), fo=WORDS,
)  # fmt: skip
READINGS = st.builds(
    Dmarc, RESULTS, some(DOMAINS), DISPOSITIONS, WORDS, some(DOMAINS), some(DOMAINS), tuples(IDENTIFIERS), FLAGS, FLAGS,
    some(DOMAINS), st.sampled_from(Disposition), WORDS, fault=some(st.sampled_from(dmarc.Fault)),
)  # fmt: skip


@st.composite
def dmarcs(draw):
    found = replace(draw(READINGS), readings=draw(tuples(READINGS, 2)))
    if draw(FLAGS):
        return found
    at = draw(DOMAINS)
    alignment = {each: draw(st.sampled_from(How)) for each in draw(tuples(IDENTIFIERS))}
    return replace(
        found, found_at=at, walk=Walk(at, ((at, draw(RECORDS)),)), alignment=tuple(alignment.items())
    )  # fmt: skip


EVIDENCE = st.builds(
    Evidence, iprev=IPREV, spf_helo=SPF, spf_mail_from=some(SPF), dkim=tuples(DKIM), arc=ARC, dmarc=dmarcs(),
    authors=some(tuples(DOMAINS)),
    sender_domain=some(st.builds(
        sender_domain.SenderDomain, st.sampled_from(sender_domain.Receives), WORDS, WORDS, WORDS,
        some(st.sampled_from(sender_domain.Fault)),
    )),
    vouched=WORDS, mailing_list=FLAGS, vouched_mail_from=WORDS,
    not_vouched=some(st.builds(arc.Doubted, st.sampled_from(arc.Doubt), WORDS)),
)  # fmt: skip
VERDICTS = st.builds(
    Verdict, st.sampled_from(Action), st.builds(Decider, st.sampled_from(Kind), WORDS), WORDS,
    some(st.builds(Reply, st.sampled_from([451, 550]), st.just("5.7.1"), WORDS)), st.sampled_from(Action),
    monitored=tuples(WORDS), override=WORDS,
)  # fmt: skip
CONNECTIONS = st.builds(Connection, ADDRESSES, WORDS, via=tuples(ADDRESSES), untraced=WORDS)
OUTCOMES = st.builds(
    Outcome,
    verdict=VERDICTS,
    transaction=st.builds(Transaction, WORDS, login=WORDS, recipients=tuples(WORDS) | st.just(("", "b@x", "c") * 50)),
    connection=some(CONNECTIONS),
    evidence=some(EVIDENCE),
    queue_id=WORDS,
    message_id=WORDS,
    remove=tuples(st.tuples(WORDS, st.integers(1, 99))),
    add=tuples(st.tuples(WORDS, WORDS)),
    seconds=st.floats(0, 1000),
    dns_wait=st.floats(0, 1000),
    unanswered=FLAGS,
    unsent=FLAGS,
    sample=some(st.integers(0, 99)),
    signed_by=tuples(WORDS),
    unsigned=some(st.sampled_from(Unsigned)),
    seal=some(
        st.builds(Sealed, st.just(()), WORDS, st.integers(0, 50), RESULTS, some(st.sampled_from(Unsealed))),
    ),
)


def recorded(found, kept=KeptAddresses.FULL, **given):
    return record(Judged(found, Settings(history=History(addresses=kept), **given), NOW), "mx1")


@settings(max_examples=100)
@given(OUTCOMES, st.sampled_from(KeptAddresses))
def test_a_record_comes_back_the_same(found, kept):
    record = recorded(found, kept)
    assert recorded(outcome(record), kept) == record
    # and it can be told
    told = Recorded(record).lines(Settings(), NOW)
    assert all(isinstance(text, str) for pair in told for text in pair)
    json.dumps(Recorded(record).as_json(Settings(), NOW))


CASES = load()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_why_says_what_check_says(case):
    """The same words about what decided, the alignment, the results and the header fields."""
    found = judged(case, Policy())
    again = Recorded(recorded(found))
    kept = again.lines(Settings())
    policy = Settings().policy
    said = [*decision(Judgement(found, "", None, policy.dkim.partial)), *changes(found)]
    if found.evidence:
        said += results(found.evidence)
    # what is not UTF-8 has another sign in a record
    assert not {(label, LONE.sub("\ufffd", text)) for label, text in said} - {*kept}
    assert as_json(again.as_json(None)["results"]) == as_json(logline.results(found))


@given(OUTCOMES)
def test_what_is_counted_is_what_the_log_says(found):
    logged, record = logline.results(found), recorded(found)
    assert (record["via"], record["untraced"]) == (logged.get("via", []), logged.get("untraced", ""))
    of_checks = rows.results(record)
    assert [*of_checks] == ([*rows.COUNTED] if found.evidence else [])
    for method, result in of_checks.items():
        if method == "dkim":
            assert result in ({each["result"] for each in logged["dkim"]} or {"none"})
        else:
            assert result == logged[method]
    limits = {key for _, _, kind, key in rows.rows(record, b"").counts if kind == "limit"}
    is_judged = found.verdict.decider.kind is not Kind.UNJUDGED
    assert limits == ({rows._text(each) for each in logged.get("limit", ())} if is_judged else set())


def test_the_line_and_the_policy_of_then():
    found = judged(next(each for each in CASES if each.verdict == "reject"), Policy())
    given = {"policy_path": "/etc/mailassay/policy.yaml", "policy_lines": {found.verdict.rule: 12}}
    kept = Recorded(recorded(found, **given))
    assert kept.lines(Settings())[0] == (
        "verdict",
        f"reject  (setting {found.verdict.rule}, line 12 of {given['policy_path']})",
    )
    assert "policy" not in dict(kept.lines(Settings()))
    changed = Settings(policy=Policy(dmarc=replace(Policy().dmarc, reject=Action.HOLD)))
    old, new = Policy().digest, changed.policy.digest
    assert dict(kept.lines(changed))["policy"] == f"changed since: it was {old}, and is {new} now"
    assert kept.as_json(changed)["policy_changed"] is True
    # with a mistake in the configuration the present policy is not known
    assert "policy" not in dict(kept.lines(None))


@pytest.mark.parametrize("partial", Partial)
def test_what_the_policy_said_of_partial_signatures(partial):
    """The words about alignment are those of then."""
    found = judged(next(each for each in CASES if "arc" in each.name), Policy())
    signature = dkim.Dkim(Result.PASS, Domain("other.example"), partial=True)
    found = replace(found, evidence=replace(found.evidence, dkim=(signature,)))
    policy = replace(Policy(), dkim=replace(Policy().dkim, partial=partial))
    said = [*decision(Judgement(found, "", None, partial))]
    assert said == Recorded(recorded(found, policy=policy)).lines(Settings(policy=policy))[: len(said)]
    assert any("dkim.partial" in text for _, text in said) is (partial is Partial.IGNORE)


def paths(found, path=()):
    """Every place in a record."""
    yield path
    if isinstance(found, (dict, list)):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            yield from paths(value, (*path, key))


WHOLE = recorded(judged(next(each for each in CASES if "arc" in each.name), Policy()))
PLACES = [each for each in paths(WHOLE) if each]


@settings(max_examples=400)
@given(
    st.sampled_from(PLACES),
    st.none() | FLAGS | st.integers() | st.text(max_size=5) | st.sampled_from([[], {"x": [1]}, 10**400, float("inf")]),
)
def test_a_damaged_record_is_told_or_refused(place, value):
    """Whatever stands in a place of it, there is no other exception."""
    record = json.loads(json.dumps(WHOLE))
    *way, last = place
    inner = record
    for key in way:
        inner = inner[key]
    inner[last] = value
    try:
        lines = Recorded(record).lines(Settings(), NOW)
    except Unreadable:
        return
    assert lines[0][0] == "verdict"


@pytest.mark.parametrize("record", [{}, {"v": 2, "kind": "message"}, {"v": 1, "kind": "lost", "records": 3}])
def test_another_version(record):
    with pytest.raises(Unreadable, match="not a record of version 1"):
        outcome(record)


def test_addresses_that_are_not_kept():
    found = judged(CASES[0], Policy())
    told = dict(Recorded(recorded(found, KeptAddresses.NONE)).lines(Settings()))
    assert told["mail from"] == told["recipients"] == "not kept (history.addresses: none)"
    told = dict(Recorded(recorded(found, KeptAddresses.DOMAIN)).lines(Settings()))
    assert told["mail from"].startswith("<@")
    assert told["recipients"].startswith("@")


def test_a_message_by_a_relay():
    found = judged(CASES[0], Policy())
    connection = Connection(ip_address("198.51.100.66"), "mail.x.example", via=(IPv4Address("192.0.2.9"),))
    told = dict(Recorded(recorded(replace(found, connection=connection))).lines(Settings()))
    assert told["client"] == "198.51.100.66  (Received, by way of 192.0.2.9)"
    connection = Connection(ip_address("192.0.2.9"), untraced="no Received field")
    told = dict(Recorded(recorded(replace(found, connection=connection))).lines(Settings()))
    assert (told["relay"], told["client"]) == ("192.0.2.9", "unknown: no Received field")
