"""What was asked for a message, and what follows from it, in words."""

from concurrent.futures import Future
from ipaddress import ip_address

import pytest

from mailassay.config import Settings
from mailassay.dmarc.evaluate import How
from mailassay.message import split
from mailassay.policy import DkimRules, Partial, Policy, SenderDomainActions
from mailassay.replay.as_json import values
from mailassay.replay.explain import as_text
from mailassay.replay.message_file import Message
from mailassay.replay.trace import Recording, Step, judge
from mailassay.resolver import Answer, Question
from mailassay.spf.evaluation import Term
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.screens import screen
from tests.lab.sign import rsa_key

ZONE = f"""
1.2.0.192.in-addr.arpa     PTR  mail.bank.example
mail.bank.example          A    192.0.2.1
bank.example               TXT  "v=spf1 include:_spf.bank.example ?all"
_spf.bank.example          TXT  "v=spf1 ip4:198.51.100.7 exists:no.bank.example include:_more.bank.example -all"
_more.bank.example         TXT  "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.example        TXT  "v=DMARC1; p=reject"
never.example              TXT  "v=spf1 include:_spf.bank.example redirect=all.example"
all.example                TXT  "v=spf1 -all"
bounce.example.net         TXT  "v=spf1 +all"
bounce.bank.example        TXT  "v=spf1 +all"
strict.example             -
_dmarc.strict.example      TXT  "v=DMARC1; p=quarantine; aspf=s; adkim=s"
bounce.strict.example      TXT  "v=spf1 +all"
sel._domainkey.bank.example    TXT  "{rsa_key().record}"
sel._domainkey.elsewhere.net   TXT  "{rsa_key().record}"
test._domainkey.bank.example   TXT  "{rsa_key().record}; t=y"
_dmarc.late.example        TXT  ?
one.co.uk                  TXT  "v=spf1 +all"
_dmarc.uk                  TXT  "v=DMARC1; p=reject"
"""


def trace(author="alice@bank.example", mail_from="", *signed, client="192.0.2.1", length=False, policy=Policy()):
    raw = f"From: {author}\r\nSubject: x\r\n\r\nHello\r\n".encode()
    for domain, selector in signed:
        raw = rsa_key().sign(raw, domain, selector, length=length)
    headers, body = split(raw + b"more\r\n" * length)
    message = Message(headers, body, ip_address(client), "mail.bank.example", mail_from)
    return judge(message, Settings(authserv_id="mx.test", policy=policy), Zone(ZONE, limits=LIMITS), "mx.test")


# author, MAIL FROM, signatures; of each identifier how it relates to the author domain, or that it is useless
ALIGNMENTS = [
    ("a@bank.example", "a@bank.example", [], [("spf", "bank.example", How.SAME)]),
    ("a@sub.bank.example", "a@bounce.bank.example", [], [("spf", "bounce.bank.example", How.ORGANIZATION)]),
    ("a@bank.example", "a@bounce.example.net", [], [("spf", "bounce.example.net", How.OTHER)]),
    ("a@bank.example", "a@all.example", [], [("spf", "all.example", None)]),
    ("a@strict.example", "a@bounce.strict.example", [], [("spf", "bounce.strict.example", How.STRICT)]),
    (
        "a@bank.example",
        "",
        [("bank.example", "sel"), ("elsewhere.net", "sel"), ("bank.example", "gone")],
        [
            ("spf", "mail.bank.example", None),
            ("dkim", "bank.example", None),
            ("dkim", "elsewhere.net", How.OTHER),
            ("dkim", "bank.example", How.SAME),
        ],
    ),
    (
        "a@bank.example",
        "",
        [("bank.example", "test")],
        [("spf", "mail.bank.example", None), ("dkim", "bank.example", None)],
    ),
    ("a@two.co.uk", "a@one.co.uk", [], [("spf", "one.co.uk", How.PUBLIC_SUFFIX)]),
    ("a@nowhere.example", "a@bank.example", [], []),
    ("a@late.example", "a@bank.example", [], []),
]


def aligned(found):
    """The alignment of each identifier, and what DMARC says of those that it can use."""
    return list(found.alignments(found.outcome.evidence)), dict(found.outcome.evidence.dmarc.alignment)


@pytest.mark.parametrize(("author", "mail_from", "signed", "expected"), ALIGNMENTS)
def test_alignments(author, mail_from, signed, expected):
    found = trace(author, mail_from, *signed)
    alignments, related = aligned(found)
    assert [(each.identifier.method, each.identifier.domain) for each in alignments] == [each[:2] for each in expected]
    for each, (*_, how) in zip(alignments, expected, strict=True):
        assert (each.aligned, each.mode) == (bool(how and how.aligned), "strict" if "strict" in author else "relaxed")
        assert how is None or related[each.identifier] is how
    assert tuple(each.identifier for each in alignments if each.aligned) == found.outcome.evidence.dmarc.aligned


def test_the_words_of_alignments():
    found = [trace(author, mail_from, *signed) for author, mail_from, signed, _ in ALIGNMENTS]
    found += [partial(each) for each in Partial]
    printed = "".join(f"{each.words}\n" for one in found for each in aligned(one)[0])
    assert printed == screen("alignments", printed)


def partial(setting):
    """A signature that leaves a part of the body unsigned."""
    return trace("a@bank.example", "", ("bank.example", "sel"), length=True, policy=Policy(dkim=DkimRules(setting)))


@pytest.mark.parametrize(("setting", "is_aligned"), [(Partial.IGNORE, False), (Partial.ALIGN, True)])
def test_a_part_of_the_body(setting, is_aligned):
    found = partial(setting)
    *_, last = aligned(found)[0]
    assert (last.aligned, bool(found.outcome.evidence.dmarc.aligned)) == (is_aligned, is_aligned)


@pytest.mark.parametrize(
    ("mail_from", "client", "terms", "decisive"),
    [
        ("a@bank.example", "192.0.2.1",
         [(0, "include:_spf.bank.example", True), (1, "ip4:198.51.100.7", False), (1, "exists:no.bank.example", False),
          (1, "include:_more.bank.example", True), (2, "ip4:192.0.2.1", True)],
         "matched include:_spf.bank.example > include:_more.bank.example > ip4:192.0.2.1"),
        ("a@never.example", "203.0.113.1",
         [(0, "include:_spf.bank.example", False), (1, "ip4:198.51.100.7", False), (1, "exists:no.bank.example", False),
          (1, "include:_more.bank.example", False), (2, "ip4:192.0.2.1", False), (2, "-all", True), (1, "-all", True),
          (0, "redirect=all.example", True), (1, "-all", True)],
         "matched redirect=all.example > -all"),
        ("a@nowhere.example", "192.0.2.1", [], ""),
        ("", "192.0.2.1", [], ""),
    ],
)  # fmt: skip
def test_terms(mail_from, client, terms, decisive):
    found = trace("a@bank.example", mail_from, client=client)
    assert list(found.outcome.evidence.spf.terms) == [Term(*each) for each in terms]
    lines = as_text(found).split("\n")
    (line,) = (line for line in lines if line.startswith("spf mailfrom" if mail_from else "spf helo"))
    assert line.endswith(decisive)


@pytest.mark.parametrize(
    ("author", "walks"),
    [
        ("a@bank.example", [("bank.example", [Step("_dmarc.bank.example", "v=DMARC1; p=reject")])]),
        ("a@x.bank.example", [("x.bank.example", [Step("_dmarc.x.bank.example", "no such name"),
                                                  Step("_dmarc.bank.example", "v=DMARC1; p=reject"),
                                                  Step("_dmarc.example", "no such name")])]),
        ("a@late.example", [("late.example", [Step("_dmarc.late.example", "_dmarc.late.example TXT: time-out"),
                                              Step("_dmarc.example", "no such name")])]),
        ("a@bank.example, b@late.example",
         [("bank.example", [Step("_dmarc.bank.example", "v=DMARC1; p=reject")]),
          ("late.example", [Step("_dmarc.late.example", "_dmarc.late.example TXT: time-out"),
                            Step("_dmarc.example", "no such name")])]),
        ("nobody", []),
    ],
)  # fmt: skip
def test_walks(author, walks):
    assert trace(author, "").walks() == walks


def test_who_asked():
    found = trace("a@bank.example", "a@bank.example", ("bank.example", "sel"))
    methods = {(each.question.name, each.question.rdtype): each.method for each in found.lookups()}
    assert methods == {
        ("1.2.0.192.in-addr.arpa", "PTR"): "iprev",
        ("mail.bank.example", "A"): "iprev",
        ("mail.bank.example", "TXT"): "spf_helo",
        ("bank.example", "TXT"): "spf",
        ("_spf.bank.example", "TXT"): "spf",
        ("_more.bank.example", "TXT"): "spf",
        ("no.bank.example", "A"): "spf",
        ("sel._domainkey.bank.example", "TXT"): "dkim",
        ("_dmarc.bank.example", "TXT"): "dmarc",
        ("_dmarc.example", "TXT"): "dmarc",
    }


def test_who_asked_is_no_guess():
    """With np=, DMARC asks whether the author domain exists; MX records may be SPF's, and a key ARC's."""
    zone = Zone(
        """
        _dmarc.bank.example  TXT  "v=DMARC1; p=none; np=reject"
        bank.example         TXT  "v=spf1 mx -all"
        bank.example         MX   10 mx.bank.example
        mx.bank.example      A    192.0.2.9
    """,
        limits=LIMITS,
    )
    headers, body = split(b"From: a@invented.bank.example\r\n\r\nx\r\n")
    message = Message(headers, body, ip_address("192.0.2.1"), "mail.bank.example", "a@bank.example")
    policy = Policy(sender_domain=SenderDomainActions(null_mx=Action.REJECT))
    found = judge(message, Settings(policy=policy), zone, "mx.test")
    methods = {(each.question.name, each.question.rdtype): each.method for each in found.lookups()}
    assert methods["invented.bank.example", "A"] == "dmarc"
    assert methods["bank.example", "MX"] == "sender_domain"
    assert methods["mx.bank.example", "A"] in ("spf", "sender_domain")


def test_a_question_without_an_end():
    pending = Future()
    recording = Recording(lambda _: pending)
    recording(Question("slow.example", "TXT"))
    ((asked, answer),) = recording.answers().items()
    assert str(answer) == "no answer for slow.example TXT within the time of the message"
    pending.set_result(Answer(("x",)))
    assert recording.answers() == {asked: Answer(("x",))}


def test_the_text_has_no_control_characters_of_dns():
    zone = Zone(
        '_dmarc.bank.example TXT "v=DMARC1; p=reject; \x1b[31m"\nbank.example TXT "v=spf1 \x1b[31m"', limits=LIMITS
    )
    headers, body = split(b"From: a@bank.example\r\n\r\nx\r\n")
    message = Message(headers, body, ip_address("192.0.2.1"), "\x1b", "\x1b@bank.example", sources={"helo": "\x1b"})
    found = judge(message, Settings(), zone, "mx.test")
    text = as_text(found, verbose=True)
    assert "\x1b" not in text
    assert r"v=DMARC1; p=reject; \027[31m" in text
    assert as_text(found, verbose=True, colour=True).count("\x1b") % 2 == 0


def test_colours_are_the_only_difference():
    found = trace("a@bank.example", "a@all.example", ("bank.example", "gone"))
    plain = as_text(found, verbose=True)
    painted = as_text(found, verbose=True, colour=True)
    assert "\x1b[31mreject\x1b[0m" in painted
    for code in (0, 2, 31, 32, 33):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == plain


def test_a_sender_paints_nothing():
    headers, body = split(b"From: a@bank.example\r\n\r\nx\r\n")
    found = judge(
        Message(headers, body, ip_address("192.0.2.1"), "pass"), Settings(), Zone(ZONE, limits=LIMITS), "mx.test"
    )
    painted = as_text(found, colour=True)
    (line,) = (line for line in painted.split("\n") if line.startswith("\x1b[2mhelo "))
    assert line.endswith(" \x1b[0mpass")


def test_for_programs():
    found = trace("a@bank.example", "a@bounce.example.net")
    said = values(found)
    assert said["policy"] == {"file": None, "digest": found.settings.policy.digest}
    assert said["verdict"] == {
        "action": "reject", "rule": "dmarc.reject", "line": None,
        "reason": "DMARC fail for bank.example, whose policy is reject",
        "reply": "550 5.7.1 Email rejected per DMARC policy for bank.example", "would": "reject", "monitored": [],
        "override": "",
    }  # fmt: skip
    assert said["alignment"][0] | {"words": ""} == {
        "method": "spf", "domain": "bounce.example.net", "result": "pass", "aligned": False, "mode": "relaxed",
        "words": "",
    }  # fmt: skip
    assert {"method", "name", "type", "records", "exists", "ttl", "authentic", "trouble"} == set(said["dns"][0])
