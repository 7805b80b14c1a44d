"""The keys of ``check --json``: every one of them, for a message that fills everything."""

import json
from ipaddress import ip_address

from mailassay import arc, dkim, dmarc, iprev, sender_domain, spf
from mailassay.arc import Arc
from mailassay.config import Settings
from mailassay.dkim import Dkim
from mailassay.dmarc import Disposition, Dmarc, Identifier
from mailassay.dmarc.discovery import Step, Walk
from mailassay.domain import Domain
from mailassay.evidence import Connection, Evidence, Transaction
from mailassay.iprev import Iprev
from mailassay.judge import logline
from mailassay.judge.outcome import Outcome
from mailassay.limits import Limits
from mailassay.message import Headers
from mailassay.replay.as_json import values
from mailassay.replay.message_file import Message
from mailassay.replay.trace import Trace
from mailassay.resolver import Answer, DnsTempError, Question
from mailassay.result import Resinfo, Result
from mailassay.sender_domain import Receives, SenderDomain
from mailassay.spf import Spf
from mailassay.spf.evaluation import Term
from mailassay.verdict import Action, Decider, Kind, Reply, Verdict

BANK, EXAMPLE, CLIENT = Domain("bank.example"), Domain("example"), ip_address("192.0.2.1")
FAULT = {"fault": None, "reason": None}
SPF = dict.fromkeys(["result", "scope", "domain", "mechanism", "reason", "limit", "fault"])
READING = dict.fromkeys(
    ["result", "header_from", "policy", "tag", "found_at", "org_domain", "aligned", "testing", "ambiguous",
     "public_suffix", "at_stake", "reason", "readings", "fault"]
)  # fmt: skip
IDENTIFIER = dict.fromkeys(["method", "domain", "result"])
RESULTS = {
    "via": [None], "untraced": None, "iprev": None, "iprev_why": FAULT, "name": None, "spf": None, "spf_why": FAULT,
    "mail_from": None, "spf_helo": None, "spf_helo_why": FAULT, "helo": None,
    "dkim": [dict.fromkeys(["result", "domain", "selector", "algorithm", "fault", "reason"])],
    "arc": None, "arc_why": FAULT, "dmarc": None, "dmarc_why": FAULT, "header_from": None, "policy": None,
    "policy_at": None, "public_suffix": None,
    "readings": [dict.fromkeys(["result", "domain", "policy", "fault", "reason"])],
    "at_stake": None, "limit": [None], "not_vouched": FAULT, "sender_domain": None, "sender_domain_why": FAULT,
}  # fmt: skip
DECISION = {
    "verdict": None,
    "rule": None,
    "signed_by": [None],
    "would": None,
    "monitored": [None],
    "reason": None,
    "ms": None,
}
KEYS = {
    "client": None,
    "results": RESULTS,
    "evidence": {
        "iprev": dict.fromkeys(["result", "client_ip", "name", "reason", "limit", "names", "unanswered", "fault"])
        | {"names": [None], "unanswered": [None]},
        "spf_helo": SPF,
        "spf_mail_from": SPF,
        "dkim": [
            dict.fromkeys(
                ["result", "domain", "identity", "selector", "algorithm", "b_text", "bits", "testing", "partial",
                 "reason", "limit", "fault"]
            )
        ],
        "arc": {"result": None, "sealers": [None], "oldest_pass": None, "reason": None, "fault": None},
        "dmarc": READING | {"aligned": [IDENTIFIER], "readings": [READING | {"aligned": [], "readings": []}]},
        "authors": [None],
        "sender_domain": dict.fromkeys(["result", "domain", "reason", "limit", "fault"]),
        "vouched": None,
        "mailing_list": None,
        "vouched_mail_from": None,
        "not_vouched": FAULT,
    },
    "remove": [{"name": None, "instance": None}],
    "add": [{"name": None, "value": None}] * 2,
    "signing": dict.fromkeys(["signed_by", "signed_with", "unsigned", "why"])
    | {"signed_by": [None], "signed_with": [None]},
    "verdict": dict.fromkeys(["action", "rule", "line", "reason", "reply", "would"])
    | {"monitored": [None], "override": None},
    "message": {
        "client": None, "helo": None, "mail_from": None, "recipients": [None], "login": None, "local": None,
        "smtputf8": None, "time": None, "judged_at": None, "sources": {"mail_from": None}, "left_out": [None],
        "then": [{"method": None, "result": None, "reason": None, "properties": {"smtp.mailfrom": None}}],
        "differs": [None],
    },
    "policy": {"file": None, "digest": None},
    "spf_terms": [{"depth": None, "text": None, "matched": None}],
    "dmarc_walks": [{"author": None, "steps": [{"name": None, "found": None}]}],
    "alignment": [dict.fromkeys(["method", "domain", "result", "aligned", "mode", "words"])] * 2,
    "dns": [
        dict.fromkeys(["method", "name", "type", "records", "exists", "ttl", "authentic", "trouble"])
        | {"records": records}
        for records in ([None], [])
    ],
}  # fmt: skip


def keys(value):
    """A JSON value with None in place of everything but its keys."""
    if isinstance(value, dict):
        return {key: keys(each) for key, each in value.items()}
    return [keys(each) for each in value] if isinstance(value, list) else None


def trace():
    """A message about which everything is known."""
    record = "v=DMARC1; p=reject"
    walk = Walk(BANK, ((BANK, dmarc.the_record((record,), Limits())),), steps=(Step(BANK, Answer((record,))),))
    evidence = Evidence(
        iprev=Iprev(Result.FAIL, CLIENT, "mx.a.example", names=("x",), unanswered=("y",), fault=iprev.Fault.LIMIT),
        spf_helo=Spf(Result.NONE, "helo", "mx.a.example", fault=spf.Fault.NO_RECORD),
        spf_mail_from=Spf(
            Result.PERMERROR, "mailfrom", "bank.example", limit="dns_questions", fault=spf.Fault.LIMIT,
            terms=(Term(0, "all", matched=True),),
        ),
        dkim=(Dkim(Result.FAIL, BANK, fault=dkim.Fault.BODY),),
        arc=Arc(Result.FAIL, (BANK,), fault=arc.Fault.SEAL),
        dmarc=Dmarc(
            Result.FAIL, BANK, Disposition.REJECT, found_at=BANK, org_domain=BANK,
            aligned=(Identifier("spf", BANK, Result.PASS),), public_suffix=EXAMPLE, at_stake=Disposition.REJECT,
            reason="why", readings=(Dmarc(Result.FAIL, BANK, walk=walk),), fault=dmarc.Fault.AUTHOR, walk=walk,
        ),
        authors=(BANK,),
        sender_domain=SenderDomain(Receives.NO_MAIL, BANK, fault=sender_domain.Fault.NO_HOST),
        not_vouched=arc.Doubted(arc.Doubt.EXPIRED, "why"),
    )  # fmt: skip
    outcome = Outcome(
        verdict=Verdict(
            Action.HOLD, Decider(Kind.SETTING, "dmarc.reject"), "why", Reply(550, "5.7.1", "no"), Action.REJECT,
            monitored=("rules.a:reject",), override="local_policy: why",
        ),
        transaction=Transaction(),
        connection=Connection(CLIENT, via=(ip_address("192.0.2.50"),), untraced="why"),
        evidence=evidence,
        remove=(("Authentication-Results", 1),),
        add=(("Authentication-Results", "x"),),
        signatures=("x",),
        signed_by=("bank.example/x",),
        signed_with=("rsa-sha256",),
        asked_by={},
    )  # fmt: skip
    message = Message(
        Headers([]), b"", CLIENT, recipients=("b@x.example",), sources={"mail from": "Return-Path"},
        stripped=("Received",), then=(Resinfo("spf", Result.PASS, (("smtp", "mailfrom", "x.example"),)),),
    )  # fmt: skip
    answers = {Question("a.example", "TXT"): Answer(("x",)), Question("b.example", "TXT"): DnsTempError("b")}
    return Trace(message, outcome, Settings(), answers, 0.0)


def test_every_key_is_written_out():
    assert keys(json.loads(logline.as_json(values(trace())))) == KEYS


def test_the_results_are_those_of_the_log():
    assert keys(json.loads(logline.as_json(logline.facts(trace().outcome)))) == {
        "queue_id": None, "client": None, **RESULTS, **DECISION,
    }  # fmt: skip


def test_an_unjudged_message_has_the_same_keys():
    judged = trace()
    outcome = Outcome(verdict=judged.outcome.verdict, transaction=Transaction())
    said = values(Trace(judged.message, outcome, Settings(), {}, 0.0))
    assert list(said) == list(KEYS)
    assert (said["evidence"], said["results"], said["spf_terms"], said["alignment"]) == (None, {}, [], [])
