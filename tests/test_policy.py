"""From evidence to verdict."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from mailassay.arc import Arc
from mailassay.dkim import Dkim
from mailassay.dmarc import Disposition, Dmarc
from mailassay.domain import Domain
from mailassay.evidence import Case, Connection, Evidence, Transaction
from mailassay.iprev import Iprev
from mailassay.policy import DmarcActions, IprevActions, Mode, Policy, SpfActions
from mailassay.result import Result
from mailassay.spf import Spf
from mailassay.verdict import Action

AUTHOR = Domain("bank.example")


def dmarc(result, policy=None):
    return Dmarc(
        result=result,
        header_from=AUTHOR,
        policy=policy,
        tag="p" if policy else "",
        found_at=AUTHOR if policy else None,
        org_domain=AUTHOR,
        aligned=(),
        testing=False,
        reason="",
    )


def evidence(
    dmarc_result=Result.NONE,
    disposition=None,
    spf="none",
    iprev="pass",
    dkim=(),
    domain="sender.example",
    at_stake=Disposition.NONE,
):
    return Evidence(
        iprev=Iprev(Result(iprev), ip_address("192.0.2.1")),
        spf_helo=Spf(Result.NONE, "helo", "mx.example"),
        spf_mail_from=Spf(Result(spf), "mailfrom", domain),
        dkim=tuple(Dkim(Result(word)) for word in dkim),
        arc=Arc(Result.NONE),
        dmarc=replace(dmarc(dmarc_result, disposition), at_stake=at_stake),
    )


def decide(
    policy, found, client="192.0.2.1", helo="mx.example", recipients=(), sample=0, now=0.0, mail_from="a@sender.example"
):
    connection = Connection(ip_address(client), helo)
    return policy.decide(Case(connection, Transaction(mail_from, recipients=tuple(recipients)), found, now, sample))


REJECT, QUARANTINE, NONE = Disposition.REJECT, Disposition.QUARANTINE, Disposition.NONE
STANDARD = Policy()
STRICT_SPF = Policy(spf=SpfActions(fail=Action.REJECT, permerror=Action.REJECT, temperror=Action.HOLD))
STRICT_IPREV = Policy(iprev=IprevActions(fail=Action.DEFER, permerror=Action.REJECT))


@pytest.mark.parametrize(
    ("policy", "found", "action", "rule", "code"),
    [
        (STANDARD, evidence(), "accept", "default", None),
        (STANDARD, evidence(Result.PASS, REJECT, "pass"), "accept", "default", None),
        (STANDARD, evidence(Result.FAIL, NONE, "fail"), "accept", "default", None),
        (STANDARD, evidence(Result.FAIL, REJECT), "reject", "dmarc.reject", "550 5.7.1"),
        (STANDARD, evidence(Result.FAIL, REJECT, "softfail"), "reject", "dmarc.reject", "550 5.7.1"),
        (STANDARD, evidence(Result.FAIL, REJECT, "fail"), "reject", "dmarc.reject", "550 5.7.26"),
        (STANDARD, evidence(Result.FAIL, REJECT, dkim=["fail"]), "reject", "dmarc.reject", "550 5.7.26"),
        (STANDARD, evidence(Result.FAIL, REJECT, dkim=["fail", "pass"]), "reject", "dmarc.reject", "550 5.7.1"),
        (STANDARD, evidence(Result.FAIL, QUARANTINE, "fail"), "hold", "dmarc.quarantine", None),
        (STANDARD, evidence(Result.TEMPERROR), "accept", "default", None),
        (STANDARD, evidence(Result.PERMERROR), "accept", "default", None),
        (STANDARD, evidence(Result.TEMPERROR, at_stake=REJECT), "defer", "dmarc.temperror", "451 4.7.1"),
        (STANDARD, evidence(Result.TEMPERROR, at_stake=QUARANTINE), "defer", "dmarc.temperror", "451 4.7.1"),
        (
            Policy(dmarc=DmarcActions(temperror=Action.ACCEPT)),
            evidence(Result.TEMPERROR, at_stake=REJECT),
            "accept",
            "default",
            None,
        ),
        (Policy(dmarc=DmarcActions(reject=Action.TAG)), evidence(Result.FAIL, REJECT), "tag", "dmarc.reject", None),
        (STRICT_SPF, evidence(spf="fail"), "reject", "spf.fail", "550 5.7.23"),
        (STRICT_SPF, evidence(spf="permerror"), "reject", "spf.permerror", "550 5.7.24"),
        (STRICT_SPF, evidence(spf="temperror"), "hold", "spf.temperror", None),
        (STRICT_SPF, evidence(spf="softfail"), "accept", "default", None),
        (STRICT_SPF, evidence(Result.FAIL, QUARANTINE, "fail"), "reject", "spf.fail", "550 5.7.26"),
        (STRICT_IPREV, evidence(iprev="fail"), "defer", "iprev.fail", "451 4.7.25"),
        (STRICT_IPREV, evidence(iprev="permerror"), "reject", "iprev.permerror", "550 5.7.25"),
        (STRICT_IPREV, evidence(Result.FAIL, REJECT, iprev="fail"), "reject", "dmarc.reject", "550 5.7.26"),
    ],
)
def test_decide(policy, found, action, rule, code):
    verdict = decide(policy, found)
    assert (verdict.action, verdict.rule, verdict.would) == (action, rule, action)
    assert str(verdict.reply).startswith(code + " ") if code else verdict.reply is None, verdict.reply


def test_monitor_records_and_accepts():
    verdict = decide(Policy(mode=Mode.MONITOR), evidence(Result.FAIL, REJECT))
    assert (verdict.action, verdict.would, verdict.rule) == ("accept", "reject", "dmarc.reject")


def test_the_reply_names_the_author_domain():
    reply = decide(STANDARD, evidence(Result.FAIL, REJECT)).reply
    assert str(reply) == "550 5.7.1 Email rejected per DMARC policy for bank.example"


def test_the_reply_repeats_nothing_else_of_the_sender():
    reply = decide(STRICT_SPF, evidence(spf="fail", domain="evil\r\n250 ok")).reply
    assert str(reply) == "550 5.7.23 SPF fail"


def test_actions_rise_in_severity():
    assert sorted(Action, key=lambda action: action.severity) == ["accept", "tag", "hold", "defer", "reject"]
