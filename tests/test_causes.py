"""Why a result is no pass: each word of each vocabulary, by a message that has it, in the log line and in JSON."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mailassay import arc, dkim, dmarc, iprev, sender_domain, spf
from mailassay.config import Relays, Settings
from mailassay.judge.logline import JsonFormatter, Line
from mailassay.judge.outcome import Outcome
from mailassay.limits import Limits
from mailassay.message import split
from mailassay.policy import Policy
from mailassay.policy.sections import SenderDomainActions
from mailassay.policy.sets import Networks
from mailassay.verdict import Action
from tests.lab.limits import LIMITS
from tests.lab.logged import read_back
from tests.lab.sign import TAGS, arc_set, ed25519_key, rsa_key, written
from tests.lab.talk import Talk

DOCS = Path(__file__).parents[1] / "docs"
NOW = 1_800_000_000
RSA, SHORT, ED = rsa_key(), rsa_key(1024), ed25519_key()
PLAIN = b"From: ann@bank.example\r\nTo: bob@example.org\r\nSubject: hi\r\n\r\nx\r\n"
REJECT = '_dmarc.bank.example TXT "v=DMARC1; p=reject"'
PTR = "1.2.0.192.in-addr.arpa PTR mx.bank.example"
A = "mx.bank.example A 192.0.2.1"
ASKS = Policy(sender_domain=SenderDomainActions(null_mx=Action.REJECT))
LITTLE = Limits(dns_questions=1)
RELAYED = Relays(Networks((ip_network("192.0.2.1/32"),)))


class Case(NamedTuple):
    """A message, and what makes it have a cause. ``words``: what the reason has to hold."""

    zone: str = ""
    message: bytes = PLAIN
    words: str = ""
    limits: Limits = LIMITS
    mail_from: str = "ann@bank.example"
    relays: Relays = Relays()
    policy: Policy = Policy()


def record(*records: str, at: str = "sel._domainkey.example.com") -> str:
    return "\n".join(f'{at} TXT "{each}"' for each in records)


def signed(tags: bytes = TAGS, zone: str = record(RSA.record), words: str = "", **more: Any) -> Case:
    key = more.pop("key", RSA)
    headers = {name: more.pop(name) for name in ("covered", "length") if name in more}
    edit = more.pop("edit", lambda message: message)
    return Case(zone, edit(written(PLAIN, tags, key, **headers)), words, **more)


def with_key(text: str, words: str = "") -> Case:
    return signed(zone=record(text), words=words)


def of_spf(text: str, zone: str = "", words: str = "", **more: Any) -> Case:
    return Case(f'bank.example TXT "{text}"\n{zone}', words=words, **more)


IPREV = {
    iprev.Fault.NO_NAME: Case(),
    iprev.Fault.UNCONFIRMED: Case(f"{PTR}\nmx.bank.example A 192.0.2.9", words="no name leads back"),
    iprev.Fault.NO_ANSWER: Case("1.2.0.192.in-addr.arpa PTR !", words="1.2.0.192.in-addr.arpa PTR: SERVFAIL"),
    iprev.Fault.LIMIT: Case(f"{PTR}\n{A}", limits=LITTLE),
    iprev.Fault.NO_CLIENT: Case(relays=RELAYED),
}
SPF = {
    spf.Fault.NO_DOMAIN: Case(mail_from="ann@localhost"),
    spf.Fault.NO_RECORD: Case(),
    spf.Fault.NO_CLIENT: Case(relays=RELAYED),
    spf.Fault.MATCHED: of_spf("v=spf1 ip4:192.0.2.9 -ip4:192.0.2.0/24", words="-ip4:192.0.2.0/24"),
    spf.Fault.NO_MATCH: of_spf("v=spf1 ip4:192.0.2.9"),
    spf.Fault.SEVERAL_RECORDS: of_spf("v=spf1 -all", 'bank.example TXT "v=spf1 +all"'),
    spf.Fault.SYNTAX: of_spf("v=spf1 a ip4:x -all", words="term 2"),
    spf.Fault.INCLUDED_NO_RECORD: of_spf("v=spf1 include:x.example -all", words="include:x.example has no SPF record"),
    spf.Fault.TERMS: of_spf("v=spf1 " + "a:here.example " * 11, "here.example A 192.0.2.9", "more than 10 terms"),
    spf.Fault.VOID_LOOKUPS: of_spf("v=spf1 a:a.example a:b.example a:c.example -all", words="more than 2"),
    spf.Fault.MX_HOSTS: of_spf(
        "v=spf1 mx -all", "\n".join(f"bank.example MX 1 m{each}.example" for each in range(11)), "more than 10 MX hosts"
    ),
    spf.Fault.DOMAIN_SPEC: of_spf(f"v=spf1 exists:{'%{i}.' * 120}example -all"),
    spf.Fault.RECORD_SIZE: of_spf(f"v=spf1 {'a ' * 3000}-all"),
    spf.Fault.LIMIT: of_spf("v=spf1 a -all", limits=LITTLE, words="more than 1 questions for spf"),
    spf.Fault.NO_ANSWER: Case("bank.example TXT !", words="bank.example TXT: SERVFAIL"),
}
DKIM = {
    dkim.Fault.SYNTAX: signed(TAGS.replace(b"h=from", b"h=:from")),
    dkim.Fault.MISSING_TAG: signed(TAGS.replace(b" v=1;", b""), words="v= is missing"),
    dkim.Fault.VERSION: signed(TAGS.replace(b"v=1", b"v=2")),
    dkim.Fault.ALGORITHM: signed(TAGS.replace(b"sha256", b"sha1")),
    dkim.Fault.CANONICALIZATION: signed(TAGS.replace(b"c=relaxed", b"c=sloppy")),
    dkim.Fault.DOMAIN: signed(TAGS.replace(b"d=example.com", b"d=.")),
    dkim.Fault.SELECTOR: signed(TAGS.replace(b"s=sel", b"s=a..b")),
    dkim.Fault.IDENTITY: signed(TAGS + b"; i=@other.example"),
    dkim.Fault.FROM_NOT_SIGNED: signed(TAGS.replace(b"h=from:", b"h="), covered=(b"to", b"subject")),
    dkim.Fault.QUERY: signed(TAGS + b"; q=http"),
    dkim.Fault.FUTURE: signed(TAGS + b"; t=%d" % (NOW + 90_000)),
    dkim.Fault.EXPIRED: signed(TAGS + b"; x=%d" % (NOW - 90_000)),
    dkim.Fault.NO_ANSWER: signed(
        zone="sel._domainkey.example.com TXT !", words="sel._domainkey.example.com TXT: SERVFAIL"
    ),
    dkim.Fault.NO_KEY: signed(zone=""),
    dkim.Fault.REVOKED: with_key("v=DKIM1; p="),
    dkim.Fault.KEY_SYNTAX: with_key("v=DKIM1; p=??"),
    dkim.Fault.KEY_USE: with_key(f"{RSA.record}; s=other"),
    dkim.Fault.KEY_TYPE: with_key(ED.record),
    dkim.Fault.KEY_SIZE: signed(zone=record(SHORT.record), key=SHORT, limits=Limits(key_bits=1023), words="1024 bits"),
    dkim.Fault.KEY_UNSAFE: signed(
        TAGS.replace(b"rsa", b"ed25519"), zone=record("v=DKIM1; k=ed25519; p=" + "A" * 43 + "="), key=ED
    ),
    dkim.Fault.LENGTH: signed(TAGS + b"; l=99", words="l="),
    dkim.Fault.BODY: signed(edit=lambda message: message + b"y\r\n", words="the body was changed"),
    dkim.Fault.REPEATED_FIELD: signed(edit=lambda message: b"Subject: no\r\n" + message, words="a further subject"),
    dkim.Fault.HEADER: signed(edit=lambda message: message.replace(b"Subject: hi", b"Subject: no")),
    dkim.Fault.TESTING: with_key(f"{RSA.record}; t=y"),
    dkim.Fault.PARTIAL: signed(TAGS + b"; l=1", length=1),
    dkim.Fault.LIMIT: signed(limits=Limits(signature_work=0)),
}
SEALED = arc_set(PLAIN, 1, "list.example", ED)
ARC_KEY = record(ED.record, at="arc._domainkey.list.example")


def sealed(old: bytes = b"", new: bytes = b"", zone: str = ARC_KEY, words: str = "", **more: Any) -> Case:
    assert old in SEALED
    return Case(zone, SEALED.replace(old, new, 1), words, **more)


ARC = {
    arc.Fault.SYNTAX: sealed(b"cv=none;", b"cv=none; cv=none;"),
    arc.Fault.INSTANCE: sealed(b"ARC-Seal: i=1", b"ARC-Seal: i=0"),
    arc.Fault.TOO_MANY_SETS: sealed(b"ARC-Seal: i=1", b"ARC-Seal: i=51", words="more than 50 sets"),
    arc.Fault.REPEATED_FIELD: sealed(b"ARC-Seal: i=1", b"ARC-Seal: i=1; a=x\r\nARC-Seal: i=1"),
    arc.Fault.INCOMPLETE: sealed(b"ARC-Seal:", b"Seal:"),
    arc.Fault.STATUS: sealed(b"cv=none", b"cv=fail", words="set 1"),
    arc.Fault.MESSAGE_SIGNATURE: sealed(b"\r\n\r\nx", b"\r\n\r\ny", words="the body was changed"),
    arc.Fault.SEAL: sealed(b"spf=pass", b"spf=fail", words="seal 1: "),
    arc.Fault.LIMIT: sealed(limits=Limits(signature_work=0), words="signature_work"),
}
DMARC = {
    dmarc.Fault.NO_AUTHOR: Case(message=PLAIN.replace(b"ann@bank.example", b"ann"), words="no address in From"),
    dmarc.Fault.AUTHOR: Case(
        REJECT, PLAIN.replace(b"ann@bank.example", b"a@bank.example, b@x.example"), "several author domains"
    ),
    dmarc.Fault.UNREAD: Case(limits=Limits(from_octets=3)),
    dmarc.Fault.NO_RECORD: Case(),
    dmarc.Fault.RECORD: Case('_dmarc.bank.example TXT "v=DMARC1; p=x"'),
    dmarc.Fault.NO_ANSWER: Case("_dmarc.bank.example TXT !", words="_dmarc.bank.example TXT: SERVFAIL"),
    dmarc.Fault.UNDECIDED: Case(f"{REJECT}\nbank.example TXT !", words="spf for bank.example"),
    dmarc.Fault.UNAUTHENTICATED: Case(REJECT),
    dmarc.Fault.UNALIGNED: Case(f'{REJECT}\nx.example TXT "v=spf1 +all"', mail_from="ann@x.example"),
    dmarc.Fault.PUBLIC_SUFFIX: Case(
        '_dmarc.co.uk TXT "v=DMARC1; p=reject"\nx.co.uk TXT "v=spf1 +all"',
        PLAIN.replace(b"bank.example", b"bank.co.uk"),
        "co.uk",
        mail_from="ann@x.co.uk",
    ),
}
SENDER_DOMAIN = {
    sender_domain.Fault.NO_DOMAIN: Case(mail_from="ann@localhost", policy=ASKS),
    sender_domain.Fault.NULL_MX: Case("bank.example MX 0 .", policy=ASKS),
    sender_domain.Fault.NO_SUCH_DOMAIN: Case(policy=ASKS),
    sender_domain.Fault.NO_HOST: Case("bank.example -", policy=ASKS),
    sender_domain.Fault.NO_ANSWER: Case("bank.example MX !", policy=ASKS, words="bank.example MX: SERVFAIL"),
    sender_domain.Fault.LIMIT: Case("bank.example -", policy=ASKS, limits=LITTLE),
}
CASES = {"iprev": IPREV, "spf": SPF, "dkim": DKIM, "arc": ARC, "dmarc": DMARC, "sender_domain": SENDER_DOMAIN}
MODULES = {"iprev": iprev, "spf": spf, "dkim": dkim, "arc": arc, "dmarc": dmarc, "sender_domain": sender_domain}


def judge(case: Case) -> Outcome:
    settings = Settings(policy=replace(case.policy, limits=case.limits), relays=case.relays)
    talk = Talk(case.zone, settings=settings, helo="mx.bank.example", now=NOW)
    return talk.send(*split(case.message), mail_from=f"<{case.mail_from}>")


def logged(line: Line) -> dict[str, Any]:
    return json.loads(JsonFormatter().format(logging.LogRecord("mailassay", 20, "", 0, "%s", (line,), None)))


@pytest.mark.parametrize(
    ("check", "fault"), [(check, fault) for check, cases in CASES.items() for fault in cases], ids=str
)
def test_a_cause_is_in_the_log_and_in_json(check: str, fault: str) -> None:
    case = CASES[check][fault]
    line = Line(replace(judge(case), queue_id="4ABC"))
    read, entry = read_back(str(line)), logged(line)
    word, _, words = read[f"{check}_why"].partition(": ")
    assert (word, case.words in words) == (fault, True), words
    found = entry[check][0] if check == "dkim" else entry[f"{check}_why"]
    assert (found["fault"], found["reason"]) == (fault, words)
    if check == "dkim":
        assert read["dkim"].split(":") == [found["result"], found["domain"] or "", found["selector"], fault]
    else:
        assert read[check] == entry[check] != "pass"


@pytest.mark.parametrize("check", CASES)
def test_every_word_has_its_case(check: str) -> None:
    assert set(CASES[check]) == set(MODULES[check].Fault)


@pytest.mark.parametrize("check", CASES)
def test_every_word_is_documented(check: str) -> None:
    section = (DOCS / "troubleshooting.md").read_text().partition("### The words of a cause\n")[2].partition("\n##")[0]
    row = next(line for line in section.splitlines() if line.startswith(f"| `{check}`"))
    assert re.findall("`([a-z_]+)`", row.split("|")[2]) == list(MODULES[check].Fault)


def test_readings_of_an_author() -> None:
    line = Line(replace(judge(DMARC[dmarc.Fault.AUTHOR]), queue_id="4ABC"))
    assert read_back(str(line))["readings"] == "fail:bank.example:reject,none:x.example:"
    assert logged(line)["readings"] == [
        {"result": "fail", "domain": "bank.example", "policy": "reject", "fault": "author", "reason": ""},
        {"result": "none", "domain": "x.example", "policy": None, "fault": "no_record", "reason": ""},
    ]


def test_what_passes_has_no_cause() -> None:
    zone = f'{PTR}\n{A}\nbank.example TXT "v=spf1 a:mx.bank.example"\nmx.bank.example TXT "v=spf1 a"\n{REJECT}'
    zone += f"\n{record(RSA.record)}\n{ARC_KEY}"
    line = Line(replace(judge(Case(zone, written(SEALED))), queue_id="4ABC"))
    assert "_why" not in str(line)
    assert "dkim=pass:example.com:sel " in str(line)
    (found,) = logged(line)["dkim"]
    assert (found["result"], found["domain"], found["selector"]) == ("pass", "example.com", "sel")
    assert (found["algorithm"], found["fault"], found["reason"]) == ("rsa-sha256", None, "")
