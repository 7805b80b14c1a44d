"""What the present policy would decide on the evidence of the history."""

from dataclasses import replace
from datetime import date
from ipaddress import IPv4Network, ip_address

import pytest

from mailassay.config import Dns, History, KeptAddresses, Relays, Settings, Untraced
from mailassay.evidence import Connection
from mailassay.explain.recorded import Recorded
from mailassay.explain.whatif import decide
from mailassay.history.record import Judged, record
from mailassay.policy import Mode, Policy
from mailassay.policy.condition import Match
from mailassay.policy.rule import Rule
from mailassay.policy.sections import SenderDomainActions
from mailassay.policy.sets import Addresses, Domains, Networks
from mailassay.sender_domain import Receives
from mailassay.verdict import Action
from tests.lab.cases import NOW, judged, load

CASES = load()
SPOOF = next(each for each in CASES if each.rule == "dmarc.reject" and each.verdict == "reject" and not each.policy)


def kept(found, addresses=KeptAddresses.FULL):
    return Recorded(record(Judged(found, Settings(history=History(addresses=addresses)), NOW), "mx1")).outcome


def decided(found, settings, addresses=KeptAddresses.FULL, now=NOW):
    return decide(kept(found, addresses), addresses, settings, now)


@pytest.mark.parametrize("case", [each for each in CASES if not each.policy], ids=str)
def test_the_same_policy_decides_the_same(case):
    """Whatever is kept of addresses."""
    found = judged(case, Policy())
    for addresses in KeptAddresses:
        decided_now = decided(found, Settings(), addresses)
        if found.evidence is None:
            assert decided_now.judgement is None
            assert "the checks did not run then" in decided_now.unknown[0]
        else:
            # the header fields that a rule adds are among those that were written
            now = decided_now.judgement.outcome.verdict
            assert replace(now, headers=()) == replace(found.verdict, headers=())


def rule(**given):
    return Rule(name="mine", **({"action": Action.ACCEPT, "unsafe": True} | given))


def test_another_policy():
    found = judged(SPOOF, Policy())
    policy = Policy()
    softer = replace(policy, dmarc=replace(policy.dmarc, reject=Action.HOLD))
    decided_now = decided(found, Settings(policy=softer, policy_path="/p.yaml", policy_lines={"dmarc.reject": 3}))
    assert (decided_now.judgement.outcome.verdict.action, decided_now.judgement.line) == (Action.HOLD, 3)
    assert decided_now.as_json() == {
        "verdict": "hold", "would": "hold", "rule": "dmarc.reject", "file": "/p.yaml", "line": 3,
        "reason": found.verdict.reason, "reply": None, "monitored": [], "unknown": [],
    }  # fmt: skip
    monitor = decided(found, Settings(policy=replace(policy, mode=Mode.MONITOR))).judgement.outcome.verdict
    assert (monitor.action, monitor.would) == (Action.ACCEPT, Action.REJECT)
    client = Networks((IPv4Network(found.client),))
    mine = rule(condition=Match("client", client), expires=date(2026, 9, 30))
    with_rule = Settings(policy=replace(policy, rules=(mine,)))
    assert decided(found, with_rule).judgement.outcome.verdict.rule == "rules.mine"
    # rules expire by the present time, not by that of the message
    assert decided(found, with_rule, now=NOW + 400 * 86_400).judgement.outcome.verdict.rule == "dmarc.reject"


def test_a_client_that_is_trusted_now():
    found = judged(SPOOF, Policy())
    trusted = Settings(trusted_networks=(IPv4Network(found.client),))
    assert decided(found, trusted).judgement.outcome.verdict.rule == "trusted_network"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(policy=Policy(sender_domain=SenderDomainActions(null_mx=Action.REJECT))), "sender_domain now"),
        (Settings(policy=replace(Policy(), dmarc=replace(Policy().dmarc, enforce_percent=50))), "enforce_percent"),
        (Settings(relays=Relays(networks=Networks((IPv4Network(SPOOF.connection.client),)))), "another client"),
    ],
)
def test_what_is_not_known_is_said(settings, words):
    decided_now = decided(judged(SPOOF, Policy()), settings)
    assert decided_now.judgement is None
    assert len(decided_now.unknown) == 1
    assert words in decided_now.unknown[0]
    assert decided_now.as_json() == {"verdict": None, "unknown": list(decided_now.unknown)}
    told = Recorded(record(Judged(judged(SPOOF, Policy()), Settings(), NOW), "mx1")).lines(settings, NOW)
    assert ("now", f"cannot be decided: {decided_now.unknown[0]}") in told


def test_what_was_looked_up_then_is_known():
    asks = Policy(sender_domain=SenderDomainActions(null_mx=Action.REJECT))
    found = judged(SPOOF, asks)
    assert found.evidence.sender_domain.result in Receives
    assert decided(found, Settings(policy=asks)).unknown == ()
    percent = replace(Policy(), dmarc=replace(Policy().dmarc, enforce_percent=1))
    drawn = judged(SPOOF, percent)
    decided_now = decided(drawn, Settings(policy=percent)).judgement.outcome.verdict
    assert decided_now == replace(drawn.verdict, headers=())


@pytest.mark.parametrize("addresses", KeptAddresses)
def test_rules_for_recipients(addresses):
    found = judged(SPOOF, Policy())
    mine = rule(condition=Match("recipient", Addresses(("bob@receiver.example",))))
    decided_now = decided(found, Settings(policy=Policy(rules=(mine,)), recipient_delimiter=""), addresses)
    if addresses is KeptAddresses.FULL:
        assert decided_now.judgement.outcome.verdict.rule == "rules.mine"
    else:
        assert decided_now.unknown == ("the rule mine looks at recipients, and not all of them are kept",)


def test_rules_for_the_domain_of_mail_from():
    """It is in the results, whatever is kept of addresses."""
    found = judged(SPOOF, Policy())
    names = Domains((found.transaction.mail_from_domain,))
    settings = Settings(policy=Policy(rules=(rule(condition=Match("mail_from", names)),)))
    for addresses in KeptAddresses:
        assert decided(found, settings, addresses).judgement.outcome.verdict.rule == "rules.mine"


def test_dns_that_did_not_work():
    found = replace(judged(SPOOF, Policy()), unanswered=True)
    assert decided(found, Settings()).judgement.outcome.verdict.monitored == ()
    accept = replace(Policy(), dmarc=replace(Policy().dmarc, reject=Action.ACCEPT))
    assert decided(found, Settings(policy=accept)).judgement.outcome.verdict.rule == "dns.unavailable"
    lax = Settings(policy=accept, dns=Dns(unavailable=Action.ACCEPT))
    assert decided(found, lax).judgement.outcome.verdict.action is Action.ACCEPT
    unsent = replace(found, unsent=True)
    assert decided(unsent, lax).judgement.outcome.verdict.rule == "dns.unsent"


RELAY, CLIENT = ip_address("10.0.0.1"), ip_address("198.51.100.66")


@pytest.mark.parametrize(
    ("connection", "login", "relays", "same"),
    [
        (Connection(CLIENT), "", Relays(), True),
        (Connection(CLIENT), "", Relays(networks=Networks((IPv4Network("10.0.0.0/8"),))), True),
        (Connection(CLIENT, via=(RELAY,)), "", Relays(networks=Networks((IPv4Network("10.0.0.0/8"),))), True),
        (Connection(CLIENT, via=(RELAY,)), "gate", Relays(logins=("gate",)), True),
        (Connection(CLIENT, via=(RELAY,)), "", Relays(), False),
        (Connection(RELAY, untraced="x"), "", Relays(networks=Networks((IPv4Network("10.0.0.0/8"),))), True),
        (Connection(RELAY, untraced="x"), "", Relays(), False),
    ],
)
def test_relays(connection, login, relays, same):
    """The message was judged by the client to which the relays led then."""
    found = judged(SPOOF, Policy())
    found = replace(found, connection=connection, transaction=replace(found.transaction, login=login))
    assert (decided(found, Settings(relays=relays)).unknown == ()) is same


def test_an_untraced_message_is_spared_by_the_present_setting():
    found = judged(SPOOF, Policy())
    found = replace(found, connection=Connection(RELAY, untraced="x"))
    relays = Relays(networks=Networks((IPv4Network("10.0.0.0/8"),)), untraced=Untraced.ACCEPT)
    assert decided(found, Settings(relays=relays)).judgement.outcome.verdict.rule == "relays.untraced"
