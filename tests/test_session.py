"""The events of a connection, in order: what they start, and what comes out."""

import gc
import hashlib
import itertools
import threading
import time
import weakref
from concurrent.futures import Future
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mailassay import iprev, sender_domain, spf
from mailassay.config import Dns, Settings
from mailassay.dmarc import Disposition, Identifier, Remembered
from mailassay.evidence import Connection, Transaction
from mailassay.judge import sample
from mailassay.judge.authenticate import Content, authenticate, resinfos
from mailassay.judge.session import MAX_RECIPIENTS, Session
from mailassay.limits import Limits
from mailassay.message import Field, Headers, split
from mailassay.policy import DkimRules, DmarcActions, Mode, Partial, Policy, Repeated, Rule
from mailassay.policy.condition import Match
from mailassay.policy.sections import SenderDomainActions
from mailassay.policy.sets import Addresses, Domains
from mailassay.resolver import NXDOMAIN, Answer, Cached, Method, Share, Shared, Waiting, question
from mailassay.spf.evaluation import Evaluation
from mailassay.spf.prefetching import Prefetching
from mailassay.verdict import Action, Kind
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import arc_set, ed25519_key
from tests.lab.talk import Talk

KEY = ed25519_key()
ZONE = Zone(
    f"""
    1.2.0.192.in-addr.arpa         PTR  mail.bank.example
    mail.bank.example              A    192.0.2.1
    bank.example                   TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.bank.example            TXT  "v=DMARC1; p=reject"
    ed._domainkey.bank.example     TXT  "{KEY.record}"
    _dmarc.shop.example            TXT  "v=DMARC1; p=quarantine"
    """,
    limits=LIMITS,
)
SETTINGS = Settings(authserv_id="mx.receiver.example", trusted_networks=(ip_network("192.0.2.250/32"),))
CLIENT, ATTACKER = ip_address("192.0.2.1"), ip_address("198.51.100.66")


class Recording:
    """A source that keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, question):
        self.asked.append(tuple(question))
        return ZONE(question)

    def new(self):
        asked, self.asked = self.asked, []
        return asked


def begin(client=CLIENT, source=ZONE, settings=SETTINGS, **more):
    return Talk(source, settings=settings, client=client, mta_name="mx.host.example", **more)


def test_questions_start_when_their_facts_arrive():
    source = Recording()
    conversation = Session(SETTINGS, source, "mx.host.example")
    conversation.connect(CLIENT)
    assert source.new() == [("1.2.0.192.in-addr.arpa", "PTR"), ("mail.bank.example", "A")]
    conversation.helo("Mail.Bank.Example")
    assert source.new() == [("mail.bank.example", "TXT")]
    conversation.mail_from("<alice@bank.example>")
    assert source.new() == [("_dmarc.bank.example", "TXT"), ("bank.example", "TXT")]
    message = KEY.sign(b"From: a@sub.bank.example\r\n\r\nx\r\n", "bank.example", "ed")
    field = message.partition(b"\r\nFrom")[0].partition(b":")[2]
    conversation.header(b"DKIM-Signature", field)
    conversation.header(b"From", b" a@sub.bank.example")
    assert source.new() == []
    conversation.end_of_headers()
    assert source.new() == [
        ("_dmarc.sub.bank.example", "TXT"),
        ("_dmarc.example", "TXT"),
        ("ed._domainkey.bank.example", "TXT"),
    ]
    conversation.body(b"x\r\n")
    assert conversation.end_of_message().evidence.dmarc.result == "pass"
    assert source.new() == [], "something was left to ask for"


def test_the_questions_about_the_connection_are_limited_too():
    source = Recording()
    settings = replace(SETTINGS, policy=Policy(limits=Limits(dns_questions=1)))
    conversation = Session(settings, source, "mx.host.example")
    conversation.connect(CLIENT)
    assert source.new() == [("1.2.0.192.in-addr.arpa", "PTR")]


ERRORS = Zone(
    f"""
    1.2.0.192.in-addr.arpa  PTR  mail.bank.example
    many.example            TXT  "v=spf1 {" ".join(f"a:{number}.example" for number in range(11))} -all"
    loop.example            TXT  "v=spf1 include:loop.example -all"
    two.example             TXT  "v=spf1 -all"
    two.example             TXT  "v=spf1 ~all"
    """,
    limits=LIMITS,
)


@pytest.mark.parametrize("mail_from", ["alice@bank.example", "a@many.example", "a@loop.example", "a@two.example"])
@pytest.mark.parametrize("kind", [Session, Content, Shared, Share, Prefetching, Evaluation])
def test_a_message_that_is_over_leaves_nothing(kind, mail_from, monkeypatch):
    """Neither to the garbage collector, which would find it much later, nor to the cache, whose answers live for days.

    Its answers arrive late, so that each of them was waited for.
    """
    waiting, made, here, begin = [], [], threading.get_ident(), kind.__init__

    def begun(each, *given, **more):
        if threading.get_ident() == here:
            made.append(weakref.ref(each))
        begin(each, *given, **more)

    def source(question):
        waiting.append((question, Future()))
        return waiting[-1][1]

    def arrive():
        while waiting:
            question, future = waiting.pop()
            future.set_result(replace((ERRORS if "bank" not in question.name else ZONE)(question).result(), ttl=3600))

    monkeypatch.setattr(kind, "__init__", begun)
    cached = Cached(source, 100)
    signed = KEY.sign(b"From: alice@bank.example\r\n\r\nx\r\n", "bank.example", "ed")
    gc.disable()
    try:
        session = Session(SETTINGS, cached, "mx.host.example")
        session.connect(CLIENT)
        arrive()
        session.helo("mail.bank.example")
        arrive()
        session.mail_from(f"<{mail_from}>")
        arrive()
        session.recipient("<bob@receiver.example>")
        for name, value in split(signed)[0]:
            session.header(name, value)
        session.end_of_headers()
        arrive()
        session.body(b"x\r\n")
        outcome = session.end_of_message()
        del session
        assert cached.stats().kept == len(outcome.asked_by) > 5
        assert made
        assert [each() for each in made if each()] == []
    finally:
        gc.enable()


def test_what_is_asked_first():
    """The author's policy and keys, which decide, and nothing else that a sender chooses."""
    source, first = Recording(), Recording()
    talk = begin(source=source, first=first)
    signed = KEY.sign(b"From: alice@bank.example\r\n\r\nx\r\n", "bank.example", "ed")
    fields = [field for field in split(signed)[0] if field.name != b"From"]
    assert talk.message(fields=fields).evidence.dmarc.result == "pass"
    assert set(first.asked) == {
        ("_dmarc.bank.example", "TXT"),
        ("_dmarc.example", "TXT"),
        ("ed._domainkey.bank.example", "TXT"),
    }
    assert set(first.asked).isdisjoint(source.asked)


def test_a_policy_that_was_seen_is_at_stake_while_dns_gives_no_answer():
    remembered = Remembered()
    assert begin(remembered=remembered).message().evidence.dmarc.at_stake is Disposition.NONE
    broken = Zone("_dmarc.bank.example TXT !", limits=LIMITS)
    assert begin(source=broken, remembered=remembered).message().evidence.dmarc.at_stake is Disposition.REJECT


def test_a_client_that_is_trusted_no_more_is_judged_by_the_name_it_gave():
    """The settings may change between messages of a connection."""
    talk = begin("192.0.2.250")
    assert talk.message().verdict.rule == "trusted_network"
    talk.session.settings = replace(SETTINGS, trusted_networks=())
    evidence = talk.message().evidence
    assert (evidence.spf_helo.domain, evidence.dmarc.result) == ("mail.bank.example", "fail")


def test_the_sender_domain_is_asked_for_at_once():
    source = Recording()
    policy = Policy(sender_domain=SenderDomainActions(no_mail=Action.REJECT))
    conversation = begin(source=source, policy=policy).session
    source.new()
    conversation.mail_from("<alice@bank.example>")
    asked = {("bank.example", "MX"), ("bank.example", "A"), ("bank.example", "AAAA")}
    assert asked <= set(source.asked)
    conversation.header(b"From", b" alice@bank.example")
    conversation.end_of_headers()
    found = conversation.end_of_message()
    assert {found.asked_by[each] for each in asked} == {Method.SENDER_DOMAIN}
    assert found.verdict.rule == "sender_domain.no_mail"


def test_the_keys_of_arc_are_asked_for_at_the_end_of_the_header_section():
    """And none for a signature that cannot be right."""
    source = Recording()
    signed = KEY.sign(b"From: alice@bank.example\r\n\r\nx\r\n", "bank.example", "ed")
    sealed = arc_set(signed, 1, "list.example", KEY)
    for old, new, of_arc, of_dkim in [
        (b"", b"", True, True),
        (b"v=1;", b"v=2;", True, False),
        (b"d=list.example", b"d=..", False, True),
    ]:
        assert old in sealed
        conversation = begin(source=source).session
        conversation.mail_from("<alice@bank.example>")
        for field in split(sealed.replace(old, new))[0]:
            conversation.header(*field)
        source.new()
        conversation.end_of_headers()
        asked = source.new()
        assert (("arc._domainkey.list.example", "TXT") in asked) is of_arc
        assert (("ed._domainkey.bank.example", "TXT") in asked) is of_dkim
        by = conversation.end_of_message().asked_by
        assert by.get(("arc._domainkey.list.example", "TXT")) == (Method.ARC if of_arc else None)
        assert by.get(("ed._domainkey.bank.example", "TXT")) == (Method.DKIM if of_dkim else None)
        assert not any("_domainkey" in name for name, _ in source.new())


class Late(Future):
    """An answer of the zone that is there as soon as somebody waits for it."""

    def __init__(self, question):
        super().__init__()
        self.question = question

    def result(self, timeout=None):
        if not self.done():
            self.set_result(ZONE(self.question).result())
        return super().result(timeout)


@pytest.mark.parametrize("source", [ZONE, Late])
@pytest.mark.parametrize("explain", [True, False])
def test_the_terms_of_a_record_are_kept_if_somebody_wants_them(source, explain):
    """Whether its answer comes early or late."""
    conversation = Session(SETTINGS, source, "mx.host.example", explain=explain)
    conversation.connect(CLIENT)
    conversation.helo("bank.example")
    conversation.mail_from("<alice@bank.example>")
    conversation.header(b"From", b" alice@bank.example")
    conversation.end_of_headers()
    evidence = conversation.end_of_message().evidence
    for each in (evidence.spf_mail_from, evidence.spf_helo):
        assert (each.result, len(each.terms)) == ("pass", int(explain))


@pytest.mark.parametrize(("mail_from", "times"), [("<alice@bank.example>", 2), ("<>", 1)])
def test_spf_is_evaluated_once_for_each_identity(monkeypatch, mail_from, times):
    check, asked = spf.check_mail_from, []

    def counting(client_ip, mail_from, *arguments, **more):
        asked.append(mail_from)
        return check(client_ip, mail_from, *arguments, **more)

    monkeypatch.setattr(spf, "check_mail_from", counting)
    evidence = begin(source=Late, helo="bank.example").message(mail_from=mail_from).evidence
    assert (evidence.spf.result, evidence.spf_helo.result, len(asked)) == ("pass", "pass", times)
    assert evidence.spf_helo.domain == "bank.example"


def test_what_arrived_early_is_not_looked_for_again(monkeypatch):
    policy = Policy(sender_domain=SenderDomainActions(null_mx=Action.REJECT))
    conversation = begin(policy=policy).session
    conversation.mail_from("<alice@bank.example>")
    conversation.header(b"From", b" alice@bank.example")
    conversation.end_of_headers()
    for module, name in [(iprev, "check"), (spf, "check_mail_from"), (sender_domain, "check")]:
        monkeypatch.setattr(module, name, None)
    evidence = conversation.end_of_message().evidence
    assert (evidence.iprev.result, evidence.spf_mail_from.result, evidence.spf_helo.result) == ("pass", "pass", "none")
    assert evidence.sender_domain.result == "no_mail"


@pytest.mark.parametrize("mail_from", ["<alice@bank.example>", "<>"])
def test_a_late_question_is_that_of_its_check(mail_from):
    asked_by = begin(source=Late).message(mail_from=mail_from).asked_by
    assert set(asked_by.values()) <= set(Method)


def test_time_is_taken_from_the_clock_of_the_session():
    """What is late by it is late; what comes in time may take as long as it likes by any other."""

    def slow(question):
        future = Future()
        threading.Timer(0.05, lambda: future.set_result(ZONE(question).result())).start()
        return future

    # a clock that stands still, long before any other
    found = begin(source=slow, monotonic=lambda: -1e9).message()
    assert (found.evidence.dmarc.result, found.seconds, found.unanswered) == ("pass", 0.0, False)
    # nothing answers but the question whether DNS works at all
    found = begin(source=lambda _: Future(), settings=replace(SETTINGS, message_timeout=0.0), anew=slow).message()
    assert (found.evidence.dmarc.result, found.unanswered) == ("temperror", False)
    ticks = itertools.count(1000)
    found = begin(monotonic=lambda: float(next(ticks))).message()
    # each question takes two looks at the clock or more
    assert 0 < found.dns_wait < found.seconds < 200


def test_what_belongs_to_the_connection_is_asked_once():
    source = Recording()
    talk = begin(source=source)
    talk.message()
    source.new()
    talk.message()
    assert ("1.2.0.192.in-addr.arpa", "PTR") not in source.asked
    assert ("bank.example", "TXT") in source.asked


@pytest.mark.parametrize(
    ("login", "field", "kind"),
    [
        ("", b" x", Kind.DEFAULT),
        ("alice", b" x", Kind.UNJUDGED),
        ("alice", b" x\rAuthentication-Results: x", Kind.BUILT_IN),
    ],
)
def test_every_outcome_has_the_facts(login, field, kind):
    session = begin().session
    session.mail_from("<alice@bank.example>", login, smtputf8=True)
    for recipient in ("bob@receiver.example", "X@receiver.example"):
        session.recipient(f"<{recipient}>")
    session.header(b"Subject", field)
    session.header(b"From", b" alice@bank.example")
    session.end_of_headers()
    found = session.end_of_message("4ABC")
    assert (found.queue_id, found.connection) == ("4ABC", Connection(CLIENT, "mail.bank.example"))
    assert found.transaction == Transaction(
        "alice@bank.example", login=login, smtputf8=True, recipients=("bob@receiver.example", "X@receiver.example")
    )
    assert found.verdict.decider.kind is kind
    assert (found.evidence is None) is (kind is not Kind.DEFAULT)
    assert ("mail.bank.example", "A") in found.asked_by


def test_what_nobody_said_is_empty():
    session = begin(helo=None).session
    session.mail_from("<alice@bank.example>")
    session.header(b"From", "a@bücher.example".encode())
    session.end_of_headers()
    outcome = session.end_of_message()
    assert (outcome.queue_id, outcome.connection) == ("", Connection(CLIENT))
    assert outcome.transaction == Transaction("alice@bank.example")
    assert outcome.evidence.spf.terms == ()
    assert outcome.add[0][1].isascii()


def test_a_message_without_the_end_of_its_header_section_is_judged_all_the_same():
    for more in (0, 1):
        conversation = begin(policy=Policy(limits=Limits(header_fields=50))).session
        conversation.mail_from("<alice@bank.example>")
        for _ in range(49 + more):
            conversation.header(b"X-Filler", b" y")
        conversation.header(b"From", b" alice@bank.example")
        outcome = conversation.end_of_message()
        assert outcome.evidence.dmarc.result == ("fail" if more else "pass")


def test_a_message_leaves_nothing_to_the_next():
    talk = begin()
    first = talk.message(fields=[(b"Authentication-Results", b" mx.receiver.example; none")])
    second = talk.message(mail_from="<>", author="eve@shop.example")
    assert (len(first.remove), len(second.remove)) == (1, 0)
    assert second.evidence.spf_mail_from is None
    assert second.evidence.dmarc.header_from == "shop.example"


def test_rset():
    talk = begin()
    talk.session.mail_from("<eve@evil.example>")
    talk.session.header(b"From", b" eve@evil.example")
    talk.session.abort()
    assert talk.message().evidence.dmarc.header_from == "bank.example"


def test_events_out_of_order_are_an_error():
    conversation = begin().session
    events = [
        lambda: conversation.recipient("<bob@receiver.example>"),
        lambda: conversation.header(b"From", b" x"),
        conversation.end_of_headers,
        lambda: conversation.body(b"x"),
        conversation.end_of_message,
    ]

    def rset():
        conversation.mail_from("<>")
        conversation.abort()

    for before in (lambda: None, rset, conversation.abort):
        before()
        for event in events:
            with pytest.raises(RuntimeError, match="a message event without MAIL"):
                event()


@pytest.mark.parametrize(("more", "action"), [(0, "accept"), (1, "reject"), (5, "reject")])
def test_no_rule_lets_in_for_recipients_beyond_those_that_are_kept(more, action):
    """All recipients have to match, and the policy cannot know whether the further ones do."""
    rule = Rule(name="ours", condition=Match("recipient", Addresses(("receiver.example",))), action=Action.ACCEPT)
    conversation = begin(ATTACKER, policy=Policy(rules=(rule,))).session
    conversation.mail_from("<alice@bank.example>")
    for number in range(MAX_RECIPIENTS + more):
        conversation.recipient(f"<{number}@receiver.example>")
    conversation.header(b"From", b" alice@bank.example")
    conversation.end_of_headers()
    outcome = conversation.end_of_message()
    assert outcome.verdict.action == action
    assert outcome.transaction.recipients[MAX_RECIPIENTS:] == ("",) * min(more, 1)


@pytest.mark.parametrize(
    ("smtputf8", "author", "is_ascii"),
    [(True, "a@bücher.example", False), (False, "a@bücher.example", True), (True, "a@xn--bcher-kva.example", True)],
)
def test_our_field_has_utf8_only_in_a_message_that_needs_smtputf8(smtputf8, author, is_ascii):
    conversation = begin().session
    conversation.mail_from("<alice@bank.example>", smtputf8=smtputf8)
    conversation.header(b"From", b" " + author.encode())
    conversation.end_of_headers()
    ((_, value),) = conversation.end_of_message().add
    assert value.isascii() is is_ascii


@pytest.mark.parametrize(("smtputf8", "name"), [(True, '"mx.bücher.example"'), (False, "mx.xn--bcher-kva.example")])
def test_the_name_of_this_host_in_a_message_of_a_trusted_client(smtputf8, name):
    talk = begin("192.0.2.250", settings=replace(SETTINGS, authserv_id="mx.xn--bcher-kva.example"))
    forged = (b"Authentication-Results", b" mx.xn--bcher-kva.example; dmarc=pass")
    outcome = talk.message(author="a@bücher.example", fields=[forged], smtputf8=smtputf8)
    assert outcome.add == ((RESULTS, f"{name}; none"),)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("<alice@bank.example>", "bank.example"),
        ("alice@bank.example", "bank.example"),
        (" <Alice@BANK.example> ", "bank.example"),
        ("<@relay.example,@b.example:alice@bank.example>", "bank.example"),
        ('<"a@b"@bank.example>', "bank.example"),
    ],
)
def test_spellings_of_mail_from(address, domain):
    assert begin().message(mail_from=address).evidence.spf_mail_from.domain == domain


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ('<"a:b"@bank.example>', '"a:b"@bank.example'),
        ('<@relay.example:"a:b"@bank.example>', '"a:b"@bank.example'),
        ("<@bank.example>", "@bank.example"),
        ("alice@bank.example>", "alice@bank.example>"),
        ("<alice@bank.example", "<alice@bank.example"),
    ],
)
def test_what_is_no_source_route_or_bracket_belongs_to_the_address(given, address):
    assert begin().message(mail_from=given).transaction.mail_from == address


@pytest.mark.parametrize("address", ["<>", "", " <> "])
def test_null_reverse_path(address):
    evidence = begin().message(mail_from=address).evidence
    assert evidence.spf_mail_from is None
    assert evidence.spf.scope == "helo"


@pytest.mark.parametrize(
    ("client_ip", "login", "more", "rule"),
    [
        (ip_address("192.0.2.250"), "", {}, "trusted_network"),
        (ip_address("::ffff:192.0.2.250"), "", {}, "trusted_network"),
        (ATTACKER, "joe", {}, "authenticated"),
        (None, "", {"local": True}, "local"),
    ],
)
def test_who_is_not_judged(client_ip, login, more, rule):
    source = Recording()
    outcome = begin(client_ip, source, **more).message(login=login)
    assert (outcome.verdict.action, outcome.verdict.rule, outcome.evidence) == (Action.ACCEPT, rule, None)
    assert (outcome.remove, outcome.add) == ((), ())
    if not login:
        assert source.asked == []


def test_no_address_is_no_judgement():
    outcome = begin(None).message()
    assert (outcome.verdict.action, outcome.verdict.reply.code) == (Action.DEFER, 451)
    assert outcome.verdict.reason == outcome.verdict.reply.text == "The client's address is unknown"
    assert outcome.verdict.reply.enhanced == "4.7.1"
    assert outcome.client == ""


@pytest.mark.parametrize("client", [None, "192.0.2.1", "2001:db8::1"])
def test_the_client_for_the_log(client):
    assert begin(client).session.client == (client or "")
    assert begin("::ffff:192.0.2.1").session.client == "192.0.2.1"


def test_no_address_is_no_judgement_but_monitoring_delivers():
    forged = [(b"Authentication-Results", b" mx.receiver.example; dmarc=pass")]
    outcome = begin(None, policy=Policy(mode=Mode.MONITOR)).message(fields=forged)
    assert (outcome.verdict.action, outcome.verdict.would) == (Action.ACCEPT, Action.DEFER)
    assert outcome.remove == ((RESULTS, 1),)
    assert outcome.add == ((RESULTS, "mx.receiver.example; none"),)


def test_the_host_names_itself_where_the_settings_do_not():
    outcome = begin(settings=replace(SETTINGS, authserv_id=None)).message()
    assert outcome.add[0][1].startswith("mx.host.example;")


RESULTS = "Authentication-Results"


def names(outcome):
    return [name for name, _ in outcome.add]


@pytest.mark.parametrize(
    ("policy", "action", "added"),
    [
        (Policy(), Action.REJECT, [RESULTS]),
        (Policy(dmarc=DmarcActions(reject=Action.TAG)), Action.TAG, [RESULTS, "X-Spam-Flag", "X-Mailassay-Verdict"]),
        (Policy(dmarc=DmarcActions(reject=Action.HOLD)), Action.HOLD, [RESULTS, "X-Mailassay-Verdict"]),
        (Policy(mode=Mode.MONITOR), Action.ACCEPT, [RESULTS]),
    ],
)  # fmt: skip
def test_what_is_added(policy, action, added):
    outcome = begin(ATTACKER, policy=policy).message()
    assert (outcome.verdict.action, names(outcome)) == (action, added)
    assert outcome.verdict.would in (action, Action.REJECT)
    assert dict(outcome.add).get("X-Spam-Flag", "YES") == "YES"


@pytest.mark.parametrize(("partial", "result"), [(Partial.IGNORE, "fail"), (Partial.ALIGN, "pass")])
def test_a_signature_that_leaves_the_end_of_the_body_open(partial, result):
    """RFC 6376 section 8.2: what comes after l= anybody may have written."""
    policy = Policy(dkim=DkimRules(partial))
    signed = KEY.sign(b"From: a@bank.example\r\n\r\nx\r\n", "bank.example", "ed", length=True)
    field = signed.partition(b"\r\nFrom")[0].partition(b":")[2]
    message = {"author": "a@bank.example", "fields": [(b"DKIM-Signature", field)], "body": b"x\r\nand more\r\n"}
    evidence = begin(ATTACKER, policy=policy).message(**message, mail_from="<>").evidence
    assert [each.result for each in evidence.dkim] == ["pass"]
    assert evidence.dmarc.result == result


@pytest.mark.parametrize(("repeated", "result"), [(Repeated.FAIL, "fail"), (Repeated.PASS, "pass")])
def test_a_second_field_that_is_not_signed(repeated, result):
    policy = Policy(dkim=DkimRules(repeated_fields=repeated))
    message = b"From: a@bank.example\r\nTo: bob@receiver.example\r\n\r\nx\r\n"
    signed = KEY.sign(message, "bank.example", "ed", headers=[b"from", b"to"])
    fields = [(b"To", b" ceo@receiver.example"), *split(signed)[0]]
    evidence = begin(ATTACKER, policy=policy).send(fields, mail_from="<>").evidence
    assert ([each.result for each in evidence.dkim], evidence.dmarc.result) == ([result], result)


@pytest.mark.parametrize(
    ("least", "author", "action", "rule"),
    [
        (None, "a@nobody.example, b@shop.example", Action.HOLD, "dmarc.quarantine"),
        (None, "a@nobody.example, b@bank.example", Action.REJECT, "dmarc.reject"),
        (None, "a@nobody.example, b@other.example", Action.ACCEPT, "default"),
        (None, "nobody", Action.ACCEPT, "default"),
        (Action.TAG, "nobody", Action.TAG, "dmarc.ambiguous_author"),
        (Action.TAG, "a@nobody.example, b@bank.example", Action.REJECT, "dmarc.reject"),
        (Action.REJECT, "a@nobody.example, b@shop.example", Action.REJECT, "dmarc.ambiguous_author"),
        (Action.REJECT, "a@nobody.example", Action.ACCEPT, "default"),
    ],
)
def test_an_ambiguous_author(least, author, action, rule):
    policy = Policy(dmarc=DmarcActions(ambiguous_author=least))
    verdict = begin(policy=policy).message(author=author).verdict
    assert (verdict.action, verdict.rule) == (action, rule)


@pytest.mark.parametrize(("public_suffixes", "result"), [(True, "fail"), (False, "pass")])
def test_public_suffixes_are_a_net(public_suffixes, result):
    """RFC 9989 section 11.8: a registry's record without psd=y makes no organization of its customers."""
    source = Zone('_dmarc.co.uk TXT "v=DMARC1; p=reject"\neve.co.uk TXT "v=spf1 ip4:198.51.100.66 -all"', limits=LIMITS)
    policy = Policy(dmarc=DmarcActions(public_suffixes=public_suffixes))
    talk = begin(ATTACKER, source, policy=policy)
    dmarc = talk.message(mail_from="<eve@eve.co.uk>", author="alice@bank.co.uk").evidence.dmarc
    assert (dmarc.result, dmarc.public_suffix) == (result, None if result == "pass" else "co.uk")


def test_the_body_is_read_no_further_than_needed():
    conversation = begin().session
    conversation.mail_from("<alice@bank.example>")
    conversation.header(b"From", b" alice@bank.example")
    conversation.end_of_headers()
    assert not conversation.body(b"x")


def test_the_time_of_the_message_bounds_its_checks():
    # whether DNS answers at all has the time of one try more
    settings = replace(SETTINGS, message_timeout=0.1, dns=Dns(timeout=0.1))
    outcome = begin(source=lambda _: Future(), settings=settings).message()
    evidence = outcome.evidence
    assert {evidence.iprev.result, evidence.spf.result, evidence.dmarc.result} == {"temperror"}
    # the default is 20 s
    assert outcome.seconds < 15


LENIENT = Settings(
    authserv_id="mx.receiver.example",
    dns=Dns(unavailable=Action.ACCEPT),
    policy=Policy(dmarc=DmarcActions(temperror=Action.ACCEPT)),
    message_timeout=0.02,
)
UNSENT = [
    ("2.0.192.in-addr.arpa", "iprev"),
    ("mail.bank.example", "the addresses of the client's name, and its SPF record"),
    ("x.example", "SPF"),
    ("_dmarc.bank.example", "the policy"),
    ("_domainkey.bank.example", "a key"),
    ("_domainkey.list.example", "a key of ARC"),
]


@pytest.mark.parametrize("name", [name for name, _ in UNSENT], ids=[what for _, what in UNSENT])
def test_a_question_that_was_never_sent_lets_nothing_in(name):
    """Too many are under way in the process: whoever saw to that must not gain by it, and honest mail waits."""

    def source(question):
        return Waiting() if question.name.endswith(name) else ZONE(question)

    signed = KEY.sign(b"From: alice@bank.example\r\n\r\nx\r\n", "bank.example", "ed")
    sealed = arc_set(signed, 1, "list.example", KEY)
    fields = [field for field in split(sealed)[0] if field.name != b"From"]
    outcome = begin(source=source, settings=LENIENT).message(mail_from="<eve@x.example>", fields=fields)
    assert (outcome.verdict.action, outcome.verdict.rule) == (Action.DEFER, "dns.unsent")
    assert str(outcome.verdict.reply) == "451 4.4.3 Temporary failure of DNS"


def asked_by_the_end_of_headers(zone):
    """The questions that a message has raised by then whose author is below bank.example, and the conversation."""
    asked = []

    def source(question):
        asked.append(question)
        return zone(question)

    conversation = begin(ATTACKER, source).session
    conversation.mail_from("<eve@x.example>")
    conversation.header(b"From", b" ceo@nowhere.bank.example")
    conversation.end_of_headers()
    return asked, conversation


def test_whether_an_author_exists_is_asked_as_soon_as_it_matters():
    """Not after what a sender can make slow: with np= it decides which policy applies."""
    zone = Zone('_dmarc.bank.example TXT "v=DMARC1; p=none; np=reject"', limits=LIMITS)
    asked, conversation = asked_by_the_end_of_headers(zone)
    assert ("nowhere.bank.example", "A") in asked
    assert conversation.end_of_message().verdict.action is Action.REJECT


@pytest.mark.parametrize(
    "records",
    [
        '"v=DMARC1; p=none; np=reject"\n_dmarc.bank.example TXT "v=DMARC1; p=none"',
        f'"v=DMARC1; np=reject; p=none; {"a" * 5120}"',
        '"v=DMARC1; p=none"',
    ],
)
def test_without_np_that_counts_nobody_asks_whether_an_author_exists(records):
    """Else eight authors, each with seven names above, make us read a hundred records of each."""
    asked, _ = asked_by_the_end_of_headers(Zone(f"_dmarc.bank.example TXT {records}", limits=LIMITS))
    assert ("_dmarc.bank.example", "TXT") in asked
    assert ("nowhere.bank.example", "A") not in asked


@pytest.mark.parametrize(("unavailable", "action"), [(Action.DEFER, Action.DEFER), (Action.ACCEPT, Action.ACCEPT)])
def test_without_any_answer(unavailable, action):
    """Also if the mode is to record only, it is recorded."""
    settings = replace(SETTINGS, message_timeout=0.02, dns=Dns(unavailable=unavailable, timeout=0.02))
    outcome = begin(source=lambda _: Future(), settings=settings).message()
    assert (outcome.verdict.action, outcome.unanswered) == (action, True)
    assert outcome.asked_by["_dmarc.com", "TXT"] is Method.DMARC
    verdict = begin(source=lambda _: Future(), settings=settings, policy=Policy(mode=Mode.MONITOR)).message().verdict
    assert (verdict.action, verdict.would) == (Action.ACCEPT, action)


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("mail_from", ["<joe@bank.example>", "<eve@x.localhost>"])
@pytest.mark.parametrize(
    ("author", "top_level"),
    [
        ("ceo@news.bank.de", "de"),
        ("ceo@bank.com.np", "np"),  # which the list has with an asterisk only
        ("root@host.local", "com"),  # nobody's: some resolvers never answer for it
    ],
)
def test_whether_dns_answers_at_all(answers, mail_from, author, top_level):
    """The top-level domain of the author says it, and nothing that a sender has named; it has time of its own."""
    asked = []

    def source(question):
        # an answer that was kept, and one that the resolver has of its own
        if question == ("bank.example", "TXT"):
            return ZONE(question)
        future = Future()
        if question.name.endswith("localhost"):
            threading.Timer(0.001, future.set_result, [NXDOMAIN]).start()
        return future

    def anew(question):
        asked.append(question)
        future = Future()
        if answers:
            threading.Timer(0.3, future.set_result, [Answer()]).start()
        return future

    settings = replace(SETTINGS, message_timeout=0.05, dns=Dns(timeout=60 if answers else 0.1))
    outcome = begin(source=source, settings=settings, anew=anew).message(mail_from=mail_from, author=author)
    assert set(asked) == {(f"_dmarc.{top_level}", "TXT")}
    assert outcome.unanswered is not answers
    assert outcome.verdict.rule == ("default" if answers else "dns.unavailable")


def test_one_name_of_the_walk_without_answer_is_not_all_of_dns():
    """A top-level domain may be out of order; what the name below it says was heard."""

    class Late(Future):
        """There as soon as somebody waits."""

        def result(self, timeout=None):
            if not self.done():
                self.set_result(Answer())
            return super().result(timeout)

    settings = replace(SETTINGS, message_timeout=0.02, dns=Dns(timeout=0.1))

    def source(asked):
        return Late() if asked.name == "_dmarc.bank.de" else Future()

    outcome = begin(source=source, settings=settings, helo=None, anew=lambda _: Future()).message(author="joe@bank.de")
    assert (outcome.evidence.dmarc.result, outcome.unanswered) == ("temperror", False)
    assert outcome.verdict.action is Action.ACCEPT


def test_a_message_without_author_and_answers():
    """Then a top-level domain that is there says whether DNS answers."""
    asked = []

    def anew(question):
        asked.append(question)
        future = Future()
        future.set_result(NXDOMAIN)
        return future

    settings = replace(SETTINGS, message_timeout=0.02)
    assert not begin(source=lambda _: Future(), settings=settings, anew=anew).send([]).unanswered
    assert asked == [("_dmarc.com", "TXT")]


WRITES = Rule(
    name="x",
    condition=Match("author", Domains(("bank.example",))),
    action=Action.TAG,
    headers=(("X-Team", "y"),),
    monitor=True,
)


def test_fields_of_the_names_that_the_policy_writes_are_removed_beyond_the_header_limit():
    """Nobody reads them there, and nobody else may write them."""
    policy = Policy(rules=(WRITES,), limits=Limits(header_fields=50))
    forged = [(b"x-mailassay-verdict", b" accept"), (b"X-Team", b" trusted"), (b"X-Other", b" y")]
    fields = [(b"X-Filler", b" y")] * 60 + forged
    outcome = begin(policy=policy).message(fields=fields)
    assert {name for name, _ in outcome.remove} == {"X-Mailassay-Verdict", "X-Team"}


@pytest.mark.parametrize(("number", "refused"), [(100, False), (101, True)])
def test_forged_fields_beyond_the_header_limit_are_counted(number, refused):
    policy = Policy(limits=Limits(header_fields=50, forged_fields=100))
    fields = [(b"X-Filler", b" y")] * 50 + [(b"X-Mailassay-Verdict", b" accept")] * number
    outcome = begin(policy=policy).message(fields=fields)
    assert len(outcome.remove) == (0 if refused else number)
    assert (outcome.verdict.rule == "forged_fields") is refused
    if refused:
        assert str(outcome.verdict.reply) == "550 5.7.1 Too many forged header fields"


@pytest.mark.parametrize(("client", "removed"), [(CLIENT, 1), (ip_address("192.0.2.250"), 0)])
def test_results_of_an_unknown_version_stay_if_they_come_from_a_trusted_client(client, removed):
    fields = [(b"Authentication-Results", b" other.example 2; dmarc=pass")]
    assert len(begin(client).message(fields=fields).remove) == removed


FORGED_INSIDE = [
    b" x\rAuthentication-Results: mx.receiver.example; dmarc=pass",
    b" x\r\n y\rauthentication-results\t: other.example; dmarc=pass",
    b" x\r\rx-mailassay-verdict: accept",
    b" x\rX-Team:trusted",
]


@pytest.mark.parametrize("value", FORGED_INSIDE)
@pytest.mark.parametrize("filler", [0, 60])
@pytest.mark.parametrize("client_ip", [ATTACKER, ip_address("192.0.2.250")])
def test_a_field_that_holds_one_of_ours_behind_a_cr(value, filler, client_ip):
    """A CR alone ends a line for some readers. No honest message has that, so it is refused in every mode."""
    policy = Policy(mode=Mode.MONITOR, rules=(WRITES,), limits=Limits(header_fields=50))
    fields = [(b"X-Filler", b" y")] * filler + [(b"Subject", value)]
    talk = begin(client_ip, policy=policy)
    verdict = talk.message(fields=fields).verdict
    assert (verdict.action, verdict.rule, verdict.reply.code) == (Action.REJECT, "forged_fields", 550)
    assert (verdict.would, verdict.reason) == (Action.REJECT, "A forged header field inside another")
    assert str(verdict.reply) == "550 5.7.1 A forged header field inside another"
    assert talk.message().verdict.rule != "forged_fields"


@pytest.mark.parametrize("value", [b" x\ry", b" x\rX-Other: y", b" x\r\n Authentication-Results: z"])
def test_a_field_that_holds_none_of_ours(value):
    assert begin().message(fields=[(b"Subject", value)]).verdict.rule != "forged_fields"


@pytest.mark.parametrize(
    "given",
    ["<@relay.example,@other.example:joe@x.example>", "<joe@x.example>", " joe@x.example ", "@a.b:joe@x.example"],
)
def test_a_source_route_is_no_part_of_the_address(given):
    """RFC 5321 section 4.1.1.2; SPF's macros have the local-part."""
    asked = []

    def source(question):
        asked.append(question.name)
        return Zone('x.example TXT "v=spf1 exists:%{l}.l.%{s}.example -all"', limits=LIMITS)(question)

    begin(source=source).session.mail_from(given)
    assert "joe.l.joe@x.example.example" in asked


FILLER = [(b"X-Filler", b" " + b"y" * 900)] * 40


def test_messages_that_may_cost_much_are_judged_one_at_a_time():
    """And no other message waits for them."""
    dear = threading.Semaphore()
    dear.acquire()
    talk = begin(ATTACKER, helo=None, dear=dear)
    assert talk.message().verdict.action is Action.REJECT
    found = []
    thread = threading.Thread(target=lambda: found.append(talk.message(fields=FILLER)))
    thread.start()
    thread.join(0.2)
    assert found == []
    dear.release()
    thread.join()
    assert found[0].verdict.action is Action.REJECT
    assert dear.acquire(blocking=False), "it was not given back"


def test_signatures_that_cost_much_wait_for_their_turn(monkeypatch):
    """However small the header section is; until then no message waits."""
    signed = b"From: alice@bank.example\r\n\r\nx\r\n"
    for number in range(4):
        signed = KEY.sign(signed, "bank.example", f"s{number}")
    zone = Zone(
        "".join(f's{number}._domainkey.bank.example TXT "{KEY.record}"\n' for number in range(4)), limits=LIMITS
    )
    dear = threading.Lock()
    dear.acquire()

    def judged(work):
        """The message as it is, judged in a thread, if so many units of work are much."""
        monkeypatch.setattr("mailassay.judge.session.DEAR_WORK", work)
        talk, found = begin(ATTACKER, zone, helo=None, dear=dear), []
        fields, _ = split(signed)
        signatures = [(each.name, each.value) for each in fields if each.name != b"From"]
        thread = threading.Thread(target=lambda: found.append(talk.message(fields=signatures)))
        thread.start()
        return thread, found

    thread, found = judged(2000)
    thread.join()
    assert [each.result for each in found[0].evidence.dkim] == ["pass"] * 4
    thread, found = judged(300)
    thread.join(0.2)
    assert found == []
    dear.release()
    thread.join()
    assert [each.result for each in found[0].evidence.dkim] == ["pass"] * 4
    assert dear.acquire(blocking=False), "it was not given back"


def test_nobody_waits_for_the_dns_of_a_message_that_may_cost_much():
    dear, free = threading.Semaphore(), []

    class Slow(Future):
        def result(self, timeout=None):
            assert timeout is not None
            taken = dear.acquire(blocking=False)
            if taken:
                dear.release()
            free.append(taken)
            raise TimeoutError

    settings = replace(SETTINGS, message_timeout=0.1)
    begin(ATTACKER, lambda _: Slow(), settings, helo=None, anew=lambda _: Slow(), dear=dear).message(fields=FILLER)
    assert free
    assert all(free)
    assert dear.acquire(blocking=False)


def test_all_processes_of_a_host_choose_the_same_messages_for_a_sample(tmp_path, monkeypatch):
    """The secret is not the machine-id itself, which other programs may show: machine-id(5) asks for a hash of it."""
    monkeypatch.setattr(sample, "Path", lambda path: tmp_path / path.removeprefix("/etc/"))
    (tmp_path / "machine-id").write_bytes(b"0123456789abcdef0123456789abcdef\n")
    assert sample._secret() == hashlib.sha256(b"mailassay0123456789abcdef0123456789abcdef\n").digest()
    (tmp_path / "machine-id").unlink()
    one, other = sample._secret(), sample._secret()
    assert one != other
    assert len(one) == len(other) == 32


OF_SAMPLE = [
    (b"Message-ID", b" <1@bank.example>"),
    (b"From", b" ann@bank.example"),
    (b"Date", b" Mon, 21 Sep 2026 14:10:00 +0000"),
]


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        (OF_SAMPLE, 86),
        ([*reversed(OF_SAMPLE), (b"Subject", b" x"), (b"Received", b" by mx")], 86),
        ([(name.upper(), value) for name, value in OF_SAMPLE], 86),
        (OF_SAMPLE[1:], 12),
        (OF_SAMPLE[::2], 26),
        (OF_SAMPLE[:2], 37),
        ([], 7),
    ],
)
def test_the_sample_depends_on_what_stays_the_same_when_a_message_is_sent_again(fields, number):
    """Also after an upgrade, since a message that was deferred may be sent again after it."""
    assert sample.sample(Headers(Field(*each) for each in fields), b"secret") == number


def test_each_check_asks_by_its_own_resolver():
    asked = set()

    def resolver(method):
        def resolve(name, rdtype):
            asked.add((method, name, rdtype))
            return ZONE(question(name, rdtype)).result()

        return resolve

    signed = KEY.sign(b"From: a@bank.example\r\n\r\nx\r\n", "bank.example", "ed")
    headers, body = split(arc_set(signed, 1, "list.example", KEY))
    content = Content(headers, LIMITS)
    content.body.update(body)
    policy = Policy(sender_domain=SenderDomainActions(no_mail=Action.REJECT))
    connection, transaction = Connection(CLIENT, "mail.bank.example"), Transaction("a@bank.example")
    found = authenticate(connection, transaction, content, resolver, time.time(), policy)
    assert found.dmarc.result == "pass"
    assert found.sender_domain.result == "no_mail"
    assert found.spf_mail_from.terms == (), "nobody wanted them"
    assert resinfos(connection, found)[-1].reason == "", "nothing overrides the result of DMARC"
    assert asked == {
        (Method.DMARC, "_dmarc.bank.example", "TXT"),
        (Method.SPF, "bank.example", "TXT"),
        (Method.DKIM, "ed._domainkey.bank.example", "TXT"),
        (Method.ARC, "arc._domainkey.list.example", "TXT"),
        (Method.IPREV, "1.2.0.192.in-addr.arpa", "PTR"),
        (Method.IPREV, "mail.bank.example", "A"),
        (Method.SPF_HELO, "mail.bank.example", "TXT"),
        (Method.SENDER_DOMAIN, "bank.example", "MX"),
        (Method.SENDER_DOMAIN, "bank.example", "A"),
        (Method.SENDER_DOMAIN, "bank.example", "AAAA"),
    }


def test_a_message_does_not_ask_what_its_connection_has_asked():
    """The record of the HELO name, if it is the domain of MAIL FROM, too."""
    zone, asked = Zone('mail.bank.example TXT "v=spf1 a -all"\nmail.bank.example A 192.0.2.1', limits=LIMITS), []

    def source(question):
        asked.append(question)
        return zone(question)

    found = Talk(source, helo="mail.bank.example").message(mail_from="<a@mail.bank.example>")
    assert found.evidence.spf_mail_from.result == "pass"
    assert asked.count(("mail.bank.example", "TXT")) == asked.count(("mail.bank.example", "A")) == 1


def test_fields_beyond_the_header_limit_say_nothing():
    policy = Policy(limits=Limits(header_fields=50))
    fields = [(b"X-Filler", b" y")] * 50 + [(b"List-Id", b" <list.example>")]
    assert not begin(policy=policy).message(fields=fields).evidence.mailing_list


def test_line_ends_of_a_folded_field_are_those_that_were_signed():
    """Postfix gives them as LF."""
    message = b"From: alice@bank.example\r\nSubject: one\r\n two\r\n\r\nx\r\n"
    signed = KEY.sign(message, "bank.example", "ed", headers=[b"from", b"subject"], canonicalize=(b"simple", b"simple"))
    fields = [(name, value.replace(b"\r\n", b"\n")) for name, value in split(signed)[0]]
    evidence = begin(ATTACKER).send(fields, mail_from="<>").evidence
    assert [each.result for each in evidence.dkim] == ["pass"]
    assert evidence.dmarc.aligned == (Identifier("dkim", "bank.example", "pass"),)
    assert evidence.dmarc.reason == "aligned: dkim bank.example"


def test_whether_dns_answers_is_asked_by_the_clock_of_the_session():
    waited = []

    class Timed(Future):
        def result(self, timeout=None):
            waited.append(timeout)
            raise TimeoutError

    settings = replace(SETTINGS, message_timeout=0.01, dns=Dns(timeout=0.25))
    talk = begin(source=lambda _: Future(), settings=settings, anew=lambda _: Timed(), monotonic=lambda: 1e9)
    assert talk.message().unanswered
    assert waited == [0.25]


def test_reading_arc_is_paid_from_the_account_of_dkim():
    """Else a message could cost twice what signature_work allows."""
    sealed = arc_set(b"From: alice@bank.example\r\n\r\nx\r\n", 1, "list.example", KEY)
    content = Content(split(sealed)[0], LIMITS)
    assert content.signatures == ()
    assert content.work.spent > 0


SEALED_ZONE = Zone(
    f"""
    x.example                      TXT  "v=spf1 -all"
    _dmarc.bank.example            TXT  "v=DMARC1; p=reject"
    arc._domainkey.list.example    TXT  "{KEY.record}"
    """,
    limits=LIMITS,
)


@pytest.mark.parametrize(
    ("author", "now", "doubt"),
    [
        (b"a@bank.example", 1000, None),
        (b"a@bank.example", 1001, "expired"),
        (b"a@bank.example, b@shop.example", 1000, "author"),
        (b"nobody", 1000, "author"),
    ],
)
def test_a_trusted_sealer_speaks_for_one_author_and_for_a_time(author, now, doubt):
    policy = Policy(dmarc=DmarcActions(trusted_sealers=Domains(("list.example",))))
    message = b"From: " + author + b"\r\n\r\nx\r\n"
    results = b" i={number}; {domain}; dmarc=pass header.from=bank.example"
    signature = (
        b" i={number}; a={algorithm}; c=relaxed/relaxed; d={domain}; s=arc; x=1000; h=from:to:subject; bh={bh}; b={b}"
    )
    fields, body = split(arc_set(message, 1, "list.example", KEY, results=results, message_signature=signature))
    talk = begin(ATTACKER, SEALED_ZONE, policy=policy, now=float(now))
    evidence = talk.send(fields, body, mail_from="<eve@x.example>").evidence
    assert (evidence.arc.result, evidence.spf.result) == ("pass", "fail")
    assert (evidence.not_vouched and evidence.not_vouched.fault) == doubt
    assert bool(evidence.vouched) is (doubt is None)
