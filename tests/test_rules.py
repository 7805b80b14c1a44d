"""Rules, lists and what overrules DMARC: a policy as its operator writes it, and what becomes of messages."""

import json
import os
import re
import time
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import permutations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mailassay.config import ConfigError, Settings, load_policy
from mailassay.judge.logline import Line, facts
from mailassay.judge.sample import HOST_SECRET
from mailassay.message import Headers, split
from mailassay.policy.mailbox import spellings
from mailassay.policy.sets import Addresses, Domains, Networks
from mailassay.replay.explain import as_text
from mailassay.replay.message_file import Message
from mailassay.replay.trace import Trace
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import arc_set, ed25519_key
from tests.lab.talk import Talk

KEY = ed25519_key()
ZONE_TEXT = f"""
    1.2.0.192.in-addr.arpa         PTR  mail.bank.example
    mail.bank.example              A    192.0.2.1
    mail.bank.example              TXT  "v=spf1 a -all"
    bank.example                   TXT  "v=spf1 ip4:192.0.2.1 -all"
    bank.example                   MX   10 mail.bank.example
    _dmarc.bank.example            TXT  "v=DMARC1; p=reject; sp=quarantine"
    _dmarc.shop.example            TXT  "v=DMARC1; p=quarantine"
    _dmarc.lax.example             TXT  "v=DMARC1; p=none"
    _dmarc.slow.example            TXT  !
    _dmarc.slow.bank.example       TXT  !
    66.100.51.198.in-addr.arpa     PTR  out.relay.example
    out.relay.example              A    198.51.100.66
    out.relay.example              TXT  "v=spf1 a -all"
    relay.example                  TXT  "v=spf1 a:out.relay.example -all"
    relay.example                  MX   0 .
    lists.example                  TXT  "v=spf1 ip4:198.51.100.66 -all"
    ed._domainkey.lists.example    TXT  "{KEY.record}"
    arc._domainkey.lists.example   TXT  "{KEY.record}"
    arc._domainkey.evil.example    TXT  "{KEY.record}"
    """
ZONE = Zone(ZONE_TEXT, limits=LIMITS)
BANK, RELAY = "192.0.2.1", "198.51.100.66"
NOON = datetime(2100, 6, 30, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "partners.txt").write_text("# partners\nbank.example  # since 2020\n\n.shop.example\n")
    return tmp_path


def policy(folder, text):
    path = folder / "policy.yaml"
    path.write_text(text)
    return load_policy(str(path))


def judge(policy, client=RELAY, *, author="ann@bank.example", mail_from="ann@relay.example", **more):
    """The outcome of one message; by default one that fails DMARC of bank.example, which asks to reject."""
    settings = Settings(
        authserv_id="mx.receiver.example",
        policy=policy,
        trusted_networks=(),
        recipient_delimiter=more.get("delimiters"),
        owner_request_special=more.get("special"),
    )
    zone = Zone(ZONE_TEXT + more["zone"], limits=LIMITS) if "zone" in more else ZONE
    helo, recipients = more.get("helo", "out.relay.example"), more.get("recipients", ["bob@receiver.example"])
    now, secret = more.get("now", NOON), more.get("secret", HOST_SECRET)
    return Talk(zone, settings=settings, client=client, helo=helo, now=now, secret=secret).message(
        author=author, fields=more.get("fields", []), mail_from=f"<{mail_from}>", recipients=recipients
    )


def verdict(policy, *args, **more):
    return judge(policy, *args, **more).verdict


def rules(*given):
    return yaml.safe_dump({"rules": [{"name": f"r{number}", **each} for number, each in enumerate(given)]})


# --- conditions: (condition, applies to the message that fails, a change of the message that turns it round)

CONDITIONS = [
    ({"author": "bank.example"}, True, {"author": "ann@sub.bank.example"}),
    ({"author": ".bank.example"}, True, {"author": "ann@bank.example.org"}),
    ({"author": ".bank.example"}, True, {"author": "ann@riverbank.example"}),
    ({"author": ".example"}, True, {"author": "ann@bank.test"}),
    ({"author": ["shop.example", "BANK.example"]}, True, {"author": "ann@lax.example"}),
    ({"author": "sub.bank.example"}, False, {"author": "ann@sub.bank.example"}),
    ({"mail_from": "relay.example"}, True, {"mail_from": ""}),
    ({"mail_from": "<>"}, False, {"mail_from": ""}),
    ({"mail_from": ["<>", "relay.example"]}, True, {"mail_from": "a@shop.example"}),
    ({"recipient": "bob@receiver.example"}, True, {"recipients": ["al@receiver.example"]}),
    ({"recipient": "BOB@"}, True, {"recipients": ["bobby@receiver.example"]}),
    ({"recipient": ".receiver.example"}, True, {"recipients": ["bob@example.org"]}),
    ({"recipient": "receiver.example"}, True, {"recipients": ["bob@sub.receiver.example"]}),
    ({"client": "198.51.100.64/26"}, True, {"client": "198.51.100.1"}),
    ({"client": ["2001:db8::/32", "198.51.100.66"]}, True, {"client": BANK}),
    ({"client_name": ".relay.example"}, True, {"client": BANK}),
    ({"client_name": "relay.example"}, False, {}),
    ({"helo": "out.relay.example"}, True, {"helo": "[198.51.100.66]"}),
    ({"spf_pass": "relay.example"}, True, {"client": BANK}),
    ({"spf_pass": "bank.example"}, False, {"client": BANK, "mail_from": "ann@bank.example"}),
    ({"dkim_pass": "lists.example"}, False, {"fields": "signed"}),
    ({"dkim_pass": ".relay.example"}, False, {}),
    ({"sealer": "lists.example"}, False, {}),
    ({"iprev": "pass"}, True, {"client": "203.0.113.9"}),
    ({"iprev": ["fail", "permerror"]}, False, {"client": "203.0.113.9"}),
    ({"spf": "pass"}, True, {"client": BANK}),
    ({"spf_helo": "pass"}, True, {"client": BANK}),
    ({"dkim": "none"}, True, {"fields": "signed"}),
    ({"dkim": "pass"}, False, {"fields": "signed"}),
    ({"arc": "none"}, True, None),
    ({"dmarc": "fail"}, True, {"client": BANK, "mail_from": "ann@bank.example"}),
    ({"policy": "reject"}, True, {"author": "ann@shop.example"}),
    ({"policy_tag": "p"}, True, {"author": "ann@sub.bank.example"}),
    ({"sender_domain": "null_mx"}, True, {"mail_from": "ann@bank.example"}),
    ({"sender_domain": "no_mail"}, False, {"mail_from": "ann@nobody.example"}),
    ({"all": [{"dmarc": "fail"}, {"spf": "pass"}]}, True, {"client": BANK}),
    ({"any": [{"dmarc": "pass"}, {"spf": "pass"}]}, True, {"client": BANK}),
    ({"not": {"dmarc": "pass"}}, True, {"client": BANK, "mail_from": "ann@bank.example"}),
    ({"dmarc": "fail", "not": {"any": [{"client": "192.0.2.0/24"}]}}, True, {"client": BANK}),
]


def signed(author=b"ann@bank.example"):
    message = KEY.sign(b"From: %b\r\n\r\nx\r\n" % author, "lists.example", "ed")
    return [(b"DKIM-Signature", message.partition(b"\r\nFrom")[0].partition(b":")[2])]


@pytest.mark.parametrize(("condition", "applies", "change"), CONDITIONS, ids=lambda each: str(each))
def test_conditions(folder, condition, applies, change):
    made = policy(folder, rules({"if": condition, "then": "defer"}))
    assert (verdict(made).rule == "rules.r0") is applies
    if change:
        change = {key: signed() if value == "signed" else value for key, value in change.items()}
        assert (verdict(made, **change).rule == "rules.r0") is not applies


def test_the_first_rule_that_applies_decides(folder):
    """And no other line does, however severe."""
    made = policy(
        folder,
        rules(
            {"if": {"author": "shop.example"}, "then": "defer"},
            {"if": {"client": "198.51.100.0/24"}, "then": "accept"},
            {"if": {"author": "bank.example"}, "then": "hold"},
        ),
    )
    assert (verdict(made).action, verdict(made).rule) == ("accept", "rules.r1")
    assert (verdict(made, BANK).action, verdict(made, BANK).rule) == ("hold", "rules.r2")
    found = verdict(made, author="ann@shop.example")
    assert (found.action, str(found.reply)) == ("defer", "451 4.7.1 Refused by local policy")


# --- what several recipients, and an author who is not clear, make of a rule


@pytest.mark.parametrize(
    ("condition", "then", "recipients", "applies"),
    [
        # in: every recipient has to fit, or one that does would open the door for the others
        ({"recipient": "bob@"}, "accept", ["bob@a.example"], True),
        ({"recipient": "bob@"}, "accept", ["bob@a.example", "al@a.example"], False),
        ({"not": {"recipient": "al@"}}, "accept", ["bob@a.example"], True),
        ({"not": {"recipient": "al@"}}, "accept", ["bob@a.example", "al@a.example"], False),
        ({"any": [{"recipient": "bob@"}, {"author": "shop.example"}]}, "accept", ["bob@a.example"], True),
        (
            {"any": [{"recipient": "bob@"}, {"author": "shop.example"}]},
            "accept",
            ["bob@a.example", "al@a.example"],
            False,
        ),
        # out: any of them
        ({"recipient": "bob@"}, "reject", ["bob@a.example", "al@a.example"], True),
        ({"not": {"recipient": "al@"}}, "reject", ["bob@a.example", "al@a.example"], True),
        ({"not": {"recipient": "al@"}}, "hold", ["al@a.example"], False),
        ({"not": {"not": {"recipient": "bob@"}}}, "accept", ["bob@a.example", "al@a.example"], False),
        ({"recipient": "bob@"}, "accept", [f"bob@a{number}.example" for number in range(1000)], True),
        # more than are kept may be anybody
        ({"recipient": "bob@"}, "accept", [f"bob@a{number}.example" for number in range(1001)], False),
        ({"not": {"recipient": "al@"}}, "accept", [f"bob@a{number}.example" for number in range(1001)], False),
        ({"recipient": "al@"}, "reject", [f"bob@a{number}.example" for number in range(1000)], False),
        ({"recipient": "al@"}, "reject", [f"bob@a{number}.example" for number in range(1001)], True),
        ({"not": {"recipient": "bob@"}}, "reject", [f"bob@a{number}.example" for number in range(1001)], True),
    ],
)
def test_recipients(folder, condition, then, recipients, applies):
    rule = {"if": {**condition, "client": "198.51.100.0/24"}, "then": then}
    made = policy(folder, rules(rule))
    assert (verdict(made, recipients=recipients).rule == "rules.r0") is applies


@pytest.mark.parametrize(
    ("condition", "then", "recipient", "delimiters", "applies"),
    [
        ({"recipient": "bob@"}, "reject", "bob+x@a.example", "+", True),
        ({"recipient": "bob@a.example"}, "reject", "BOB+x+y@A.example", "+", True),
        ({"recipient": "bob@"}, "reject", "bob=x@a.example", "+=", True),
        ({"recipient": "bob+x@"}, "reject", "bob+x@a.example", "+", True),
        ({"recipient": "bob+x@"}, "reject", "bob@a.example", "+", False),
        ({"recipient": "bob@"}, "reject", "bob-x@a.example", "+", False),
        ({"recipient": "bob@"}, "reject", "bob+x@a.example", "", False),
        ({"recipient": "bob@"}, "reject", '"bob+ x"@a.example', "+", True),
        ({"recipient": "bob@"}, "reject", '"bo\\b"@a.example', "", True),
        ({"not": {"recipient": "bob@"}}, "reject", "bob+x@a.example", "+", False),
        ({"recipient": "bob@"}, "accept", "bob+x@a.example", "+", True),
        ({"not": {"recipient": "bob@"}}, "accept", "bob+x@a.example", "+", False),
        # not known: what may be an extension keeps out, and lets nothing in
        ({"recipient": "bob@"}, "reject", "bob+x@a.example", None, True),
        ({"recipient": "bob@"}, "reject", "bob-x@a.example", None, True),
        ({"recipient": "bob-x@"}, "reject", "bob-x+y@a.example", None, True),
        ({"not": {"recipient": "bob@"}}, "reject", "bob+x@a.example", None, True),
        ({"recipient": "bob@"}, "accept", "bob+x@a.example", None, False),
        ({"recipient": "bob+x@"}, "accept", "bob+x@a.example", None, True),
        ({"not": {"recipient": "bob@"}}, "accept", "bob+x@a.example", None, False),
    ],
)
def test_an_address_extension(folder, condition, then, recipient, delimiters, applies):
    """The mailbox is what a rule names, not its spelling."""
    made = policy(folder, rules({"if": {**condition, "client": "198.51.100.0/24"}, "then": then}))
    assert (verdict(made, recipients=[recipient], delimiters=delimiters).rule == "rules.r0") is applies


@pytest.mark.parametrize(
    ("condition", "then", "special", "applies"),
    [
        ({"recipient": "bob@"}, "reject", True, False),
        ({"recipient": "bob@"}, "reject", False, True),
        ({"recipient": "bob@"}, "reject", None, True),
        ({"recipient": "bob@"}, "accept", True, False),
        ({"recipient": "bob@"}, "accept", False, True),
        ({"recipient": "bob@"}, "accept", None, False),
        ({"not": {"recipient": "bob@"}}, "accept", None, False),
        ({"not": {"recipient": "bob@"}}, "accept", True, True),
    ],
)
def test_the_address_of_a_list(folder, condition, then, special, applies):
    """Postfix may be told that it is one with an extension, as any other; if that is not known, nothing is let in."""
    made = policy(folder, rules({"if": {**condition, "client": "198.51.100.0/24"}, "then": then}))
    found = verdict(made, recipients=["bob-request@a.example"], delimiters="-", special=special)
    assert (found.rule == "rules.r0") is applies


def split_addr(local_part, delimiters, special):
    """Postfix 3.7, src/global/split_addr.c, with double_bounce_sender as it comes."""
    if local_part.lower() in ("postmaster", "mailer-daemon", "double-bounce"):
        return local_part
    if "-" in delimiters and special:
        if local_part[:6].lower() == "owner-":
            return local_part
        if len(local_part) > 8 and local_part[-8:].lower() == "-request":
            return local_part
    length = 0
    while length < len(local_part) and local_part[length] not in delimiters:
        length += 1
    return local_part if length in (0, len(local_part)) else local_part[:length]


LOCAL_PARTS = st.lists(
    st.sampled_from(["owner", "request", "OWNER-", "-Request", "postmaster", "Double-Bounce", "a", "+", "-", "=", "."]),
    min_size=1,
    max_size=5,
).map("".join)


@given(LOCAL_PARTS, st.sampled_from(["", "+", "-", "+-", "-+", "=", "+="]), st.booleans(), st.booleans(), st.booleans())
@example("double-bounce", "-", True, False, False)
@example("owner-a", "-", True, False, False)
@example("a-request", "-", True, False, False)
@example("+a-b", "+-", True, False, False)
@example("a+", "+", True, False, False)
@example("a@b+c", "+", True, True, False)
def test_extensions_are_what_postfix_takes_for_them(local_part, delimiters, special, quoted, every):
    address = f'"{local_part}"@x' if quoted else f"{local_part}@x"
    split = split_addr(local_part, delimiters, special)
    assert {*spellings(address, delimiters, special, every)} == {address, f"{local_part}@x", f"{split}@x"}


@pytest.mark.parametrize(
    ("local_part", "unquoted"),
    [
        ('""', [""]),
        ('"a"', ["a"]),
        (r'"a\"\\b"', [r'a"\b']),
        ('"', []),
        ('"a\\\n"', ["a\n"]),
        ('"a', []),
        ('a"', []),
        ('a"b"', []),
    ],
)
def test_a_mailbox_is_its_name_without_quotes(local_part, unquoted):
    """RFC 5321 section 4.1.2: Quoted-string begins and ends with a quote."""
    found = [*spellings(f"{local_part}@x", "", None, every=True)]
    assert found == [f"{each}@x" for each in (local_part, *unquoted)]


@given(LOCAL_PARTS, st.sampled_from(["", "+", "-", "+-"]), st.booleans())
def test_what_is_not_known_keeps_out_whatever_it_is(local_part, delimiters, special):
    """And lets in only what it would anyway."""
    address = f"{local_part}@x"
    known = {*spellings(address, delimiters, special, every=True)}
    assert {*spellings(address, None, None, every=True)} <= known <= {*spellings(address, None, None, every=False)}
    least, most = ({*spellings(address, delimiters, None, every=every)} for every in (True, False))
    assert least <= known <= most


@given(st.text(max_size=20), st.none() | st.text('+-@"\\', max_size=3), st.none() | st.booleans(), st.booleans())
def test_any_text_has_its_spellings(text, delimiters, special, every):
    assert text in spellings(text, delimiters, special, every)


@pytest.mark.parametrize(
    ("condition", "then", "applies"),
    [
        ({"author": "lax.example"}, "accept", False),
        ({"author": ["lax.example", "bank.example"]}, "accept", True),
        ({"not": {"author": "bank.example"}}, "accept", False),
        ({"author": "lax.example"}, "reject", True),
        ({"not": {"author": "bank.example"}}, "reject", True),
        # the strictest policy speaks, and what is said of the other counts too
        ({"policy": "none"}, "reject", True),
        ({"policy": "none"}, "accept", False),
        ({"not": {"policy": "reject"}}, "accept", False),
        ({"not": {"policy": "none"}, "dmarc": "fail"}, "reject", True),
    ],
)
def test_an_author_who_is_two(folder, condition, then, applies):
    made = policy(folder, rules({"if": {**condition, "client": "198.51.100.0/24"}, "then": then}))
    found = verdict(made, author="ann@lax.example, ann@bank.example")
    assert (found.rule == "rules.r0") is applies


@pytest.mark.parametrize(
    ("other", "condition"),
    [
        ("ann@slow.example", {"author": "lax.example", "dmarc": "fail"}),  # the two together are a temperror
        ("ann@shop.example", {"author": "lax.example", "policy": "none"}),  # the two together ask to quarantine
        ("ann@shop.example", {"author": "lax.example", "policy_tag": "p"}),
        ("ann@nothing.example", {"author": "lax.example", "policy": "none"}),
    ],
)
def test_another_author_takes_nothing_off_a_rule_that_keeps_out(folder, other, condition):
    made = policy(folder, rules({"if": condition, "then": "reject"}))
    assert verdict(made, author="ann@lax.example").rule == "rules.r0"
    assert verdict(made, author=f"ann@lax.example ({other})").rule == "rules.r0"


@pytest.mark.parametrize("then", ["tag", "hold"])
def test_nobody_adds_an_author_or_a_recipient_for_the_sake_of_a_rule(folder, then):
    """A rule that fits only some of them is the least that follows."""
    of_another = {"author": "lax.example"} if then == "hold" else {"author": "lax.example", "client": RELAY}
    for condition in (of_another, {"recipient": "trap@", "client": RELAY}):
        made = policy(folder, rules({"if": condition, "then": then}, {"if": {"spf": "fail"}, "then": "defer"}))
        author, recipients = "ann@bank.example (ann@lax.example)", ["bob@receiver.example", "trap@receiver.example"]
        assert verdict(made, author=author, recipients=recipients).rule == "dmarc.reject"
        assert verdict(made, author="ann@lax.example", recipients=["trap@receiver.example"]).rule == "rules.r0"


def test_the_least_that_follows(folder):
    made = policy(
        folder,
        rules(
            {"if": {"recipient": "al@"}, "then": "hold", "headers": {"X-A": "a"}},
            {"if": {"client": RELAY}, "then": "accept"},
            {"if": {"client": RELAY}, "then": "reject"},
        ),
    )
    found = verdict(made, recipients=["al@a.example", "bob@a.example"])
    assert (found.action, found.rule, found.headers) == ("hold", "rules.r0", (("X-A", "a"),))
    assert verdict(made, recipients=["bob@a.example"]).rule == "rules.r1"


SEVERITY = ["accept", "tag", "hold", "defer", "reject"]


@pytest.mark.parametrize(("least", "then"), [*permutations(SEVERITY[1:], 2)])
def test_a_rule_for_one_recipient_and_one_that_decides(folder, least, then):
    """The first sets the least that is done; nothing milder follows."""
    all_of = {"client": RELAY}
    made = policy(folder, rules({"if": {**all_of, "recipient": "bob@"}, "then": least}, {"if": all_of, "then": then}))
    found = verdict(made, recipients=["bob@a.example", "al@a.example"])
    assert found.action == max(least, then, key=SEVERITY.index)
    assert found.rule == ("rules.r0" if found.action == least else "rules.r1")


def test_more_authors_than_are_looked_at_fit_nowhere(folder):
    """Nobody knows who they are."""
    condition = {"not": {"author": "bank.example"}, "client": "198.51.100.0/24"}
    made = policy(folder, rules({"if": condition, "then": "accept"}))
    many = ", ".join(f"ann@a{number}.example" for number in range(20))
    assert verdict(made, author=many).action == "reject"


# --- what lets mail in has to be bound


@pytest.mark.parametrize("then", ["accept", "tag"])
@pytest.mark.parametrize(
    "condition",
    [
        {"author": "bank.example"},
        {"mail_from": "bank.example"},
        {"helo": "mail.bank.example"},
        {"recipient": "postmaster@"},
        {"spf": "pass"},
        {"dkim": "pass"},
        {"dmarc": ["none", "fail"]},
        {"client": "0.0.0.0/0"},
        {"client": "10.0.0.0/7"},
        {"client": "2000::/15"},
        {"client": ["192.0.2.0/24", "::/0"]},
        {"client": ["0.0.0.0/1", "128.0.0.0/1"]},
        {"dkim_pass": ".com"},
        {"spf_pass": ["a.example", "example"]},
        {"policy": ["none", "reject"]},
        {"any": [{"client": "192.0.2.0/24"}, {"author": "bank.example"}]},
        {"not": {"client": "192.0.2.0/24"}},
        {"not": {"not": {"client": "192.0.2.0/24"}}},
        {"all": []},
        {"any": []},
    ],
    ids=str,
)
def test_an_exception_for_everybody_is_refused(folder, then, condition):
    with pytest.raises(ConfigError) as error:
        policy(folder, rules({"if": condition, "then": then}))
    (problem,) = error.value.problems
    assert (problem.line, problem.column) == (2, 3)
    assert "would let in mail that fails DMARC, from anybody" in problem.message
    with pytest.raises(ConfigError, match="say in `comment` why"):
        policy(folder, rules({"if": condition, "then": then, "unsafe": True}))
    policy(folder, rules({"if": condition, "then": then, "unsafe": True, "comment": "a test"}))
    policy(folder, rules({"if": condition, "then": then, "monitor": True}))
    policy(folder, rules({"if": condition, "then": "hold"}))


@pytest.mark.parametrize(
    "condition",
    [
        {"client": "192.0.2.0/24"},
        {"client_name": "mail.bank.example"},
        {"spf_pass": "bank.example"},
        {"dkim_pass": "bank.example"},
        {"sealer": "lists.example"},
        {"client": ["10.0.0.0/8", "2000::/16"]},
        {"dmarc": ["pass", "none"]},
        {"dmarc": "fail", "policy": "none"},
        {"author": "bank.example", "spf_pass": "relay.example"},
        {"any": [{"client": "192.0.2.0/24"}, {"all": [{"spf_pass": "a.example"}, {"author": "b.example"}]}]},
    ],
    ids=str,
)
def test_an_exception_for_somebody_is_taken(folder, condition):
    policy(folder, rules({"if": condition, "then": "accept"}))


# --- what a rule does


def test_a_reply_of_the_operators_own(folder):
    text = "Mail of {author} from {client_ip} ({mail_from_domain}, {policy}, {rule}); 100%, {{sic}}"
    made = policy(folder, rules({"if": {"dmarc": "fail"}, "then": "reject", "reply": text, "enhanced": "5.7.509"}))
    reply = "550 5.7.509 Mail of bank.example from 198.51.100.66 (relay.example, reject, r0); 100%, {sic}"
    assert str(verdict(made).reply) == reply
    assert "(unknown, reject" in str(verdict(made, mail_from="ann@250 ok\r\n").reply)
    assert str(verdict(made, author="").reply or "") == ""


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ({}, "bank.example reject"),
        ({"author": ""}, "unknown none"),
        ({"author": "ann@nobody.example"}, "nobody.example none"),
    ],
)
def test_a_placeholder_has_a_word_for_what_is_not_there(folder, message, reply):
    made = policy(folder, rules({"if": {"client": RELAY}, "then": "reject", "reply": "{author} {policy}"}))
    assert str(verdict(made, **message).reply) == f"550 5.7.1 {reply}"


def test_fields_are_written_and_cannot_be_forged(folder):
    """On what is tagged, held or accepted; one of the same name that comes in is removed, in every letter case."""
    rule = {"if": {"client": "198.51.100.0/24"}, "then": "accept", "headers": {"X-Partner": "by {rule}"}}
    made = policy(folder, rules(rule))
    forged = [(b"x-partner", b" yes"), (b"X-PARTNER", b" yes")]
    outcome = judge(made, fields=forged)
    assert outcome.add[1:] == (("X-Partner", "by r0"),)
    assert outcome.remove == (("X-Partner", 1), ("X-Partner", 2))
    outcome = judge(made, BANK, fields=forged)
    assert outcome.verdict.action == "reject"
    assert outcome.remove == (("X-Partner", 1), ("X-Partner", 2))


def test_a_reason_stands_in_the_log(folder):
    made = policy(folder, rules({"if": {"dmarc": "fail"}, "then": "hold", "reason": "{author} by {rule}"}))
    assert facts(judge(made))["reason"] == "bank.example by r0"


def test_a_rule_may_speak_of_what_is_accepted_anyway(folder):
    """It writes its fields, and the log names it."""
    made = policy(folder, rules({"if": {"client": "192.0.2.0/24"}, "then": "accept", "headers": {"X-A": "b"}}))
    outcome = judge(made, BANK, mail_from="ann@bank.example")
    assert (outcome.verdict.rule, outcome.verdict.would) == ("rules.r0", "accept")
    assert outcome.add[1:] == (("X-A", "b"),)


def test_an_exception_says_so_in_the_field(folder):
    """The word is the one that reports have for it (RFC 9990): local_policy."""
    made = policy(folder, rules({"if": {"client": [RELAY, BANK]}, "then": "accept"}))
    outcome = judge(made)
    assert 'dmarc=fail reason="local_policy: rule r0" header.from=bank.example' in outcome.add[0][1]
    assert facts(outcome)["rule"] == "rules.r0"
    assert outcome.verdict.override
    passing = judge(made, BANK, mail_from="ann@bank.example")
    unpublished, none = (judge(made, author=f"ann@{name}.example") for name in ("nobody", "lax"))
    for accepted in (passing, unpublished, none):
        assert "local_policy" not in accepted.add[0][1]
        assert (accepted.verdict.rule, accepted.verdict.override) == ("rules.r0", "")


def test_a_rule_that_fits_one_recipient_overrides_nothing_for_the_other(folder):
    made = policy(folder, rules({"if": {"client": RELAY, "recipient": "bob@"}, "then": "tag"}) + "dmarc: {reject: tag}")
    one, two = (judge(made, recipients=[f"{each}@a.example" for each in names]) for names in (["bob"], ["bob", "al"]))
    assert (one.verdict.action, one.verdict.override) == ("tag", "local_policy: rule r0")
    assert (two.verdict.action, two.verdict.override) == ("tag", "")


@pytest.mark.parametrize(
    ("day", "applies"), [("2100-06-29", False), ("2100-06-30", True), ("2100-07-01", True), ("2130-01-01", True)]
)
def test_a_rule_ends_with_its_last_day(folder, day, applies):
    made = policy(folder, f"rules: [{{name: r0, if: {{dmarc: fail}}, then: defer, expires: {day}}}]")
    assert (verdict(made).action == "defer") is applies
    end = datetime(2100, 6, 30, 23, 59, 59, tzinfo=UTC).timestamp()
    assert (verdict(made, now=end).action == "defer") is applies


@pytest.mark.parametrize("zone", ["WEST12", "EAST-14"])
def test_that_day_is_utc(folder, monkeypatch, zone):
    made = policy(folder, "rules: [{name: r0, if: {dmarc: fail}, then: defer, expires: 2100-06-30}]")
    last = datetime(2100, 6, 30, 23, 59, 59, tzinfo=UTC).timestamp()
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        found = [verdict(made, now=now).action for now in (last, last + 1)]
    time.tzset()
    assert found == ["defer", "reject"]


def test_a_monitored_rule_is_recorded_and_the_next_one_looked_at(folder):
    made = policy(
        folder,
        rules(
            {"if": {"dmarc": "fail"}, "then": "accept", "monitor": True},
            {"if": {"spf": "fail"}, "then": "defer"},
            {"if": {"iprev": "pass"}, "then": "hold", "monitor": True},
        ),
    )
    found = verdict(made)
    assert (found.action, found.rule, found.would) == ("reject", "dmarc.reject", "accept")
    assert found.monitored == ("rules.r0:accept", "rules.r2:hold")
    found = verdict(made, BANK)
    assert (found.action, found.rule, found.would, found.monitored) == (
        "defer",
        "rules.r1",
        "accept",
        ("rules.r0:accept",),
    )
    outcome = judge(made, author="ann@lax.example")
    assert facts(outcome)["monitored"] == ["rules.r0:accept", "rules.r2:hold"]


def test_what_is_done_is_explained_and_not_what_is_only_recorded(folder):
    made = policy(folder, rules({"if": {"client": RELAY}, "then": "reject", "monitor": True}))
    found = verdict(made, author="ann@shop.example")
    assert (found.action, found.would, found.rule) == ("hold", "reject", "dmarc.quarantine")
    assert found.reason == "DMARC fail for shop.example, whose policy is quarantine"


def test_a_message_that_is_tagged_for_one_recipient_says_what_lets_it_in(folder):
    rule = {"if": {"client": RELAY, "recipient": "bob@"}, "then": "tag"}
    made = policy(folder, rules(rule) + f"dmarc: {{trusted_forwarders: {RELAY}}}")
    found = verdict(made, recipients=["bob@a.example", "al@a.example"])
    assert (found.action, found.override) == ("tag", f"trusted_forwarder: {RELAY}")


def test_a_monitored_exception_that_does_not_apply_is_not_recorded(folder):
    made = policy(folder, rules({"if": {"client": RELAY, "recipient": "bob@"}, "then": "accept", "monitor": True}))
    one, two = (verdict(made, recipients=[f"{each}@a.example" for each in names]) for names in (["bob"], ["bob", "al"]))
    assert (one.monitored, two.monitored) == (("rules.r0:accept",), ())


def test_in_monitor_mode_rules_are_recorded(folder):
    made = policy(folder, "mode: monitor\n" + rules({"if": {"dmarc": "fail"}, "then": "hold", "headers": {"X-A": "b"}}))
    outcome = judge(made)
    assert (outcome.verdict.action, outcome.verdict.would, outcome.verdict.rule) == ("accept", "hold", "rules.r0")
    assert [name for name, _ in outcome.add] == ["Authentication-Results"]


# --- lists


def test_lists(folder):
    text = """
lists:
  partners: [file:partners.txt, lax.example]
  relays: 198.51.100.0/24
rules:
  - {name: r0, if: {author: list:partners, client: [list:relays, 203.0.113.1]}, then: accept}
"""
    made = policy(folder, text)
    assert verdict(made).rule == "rules.r0"
    assert verdict(made, author="a@sub.shop.example").rule == "rules.r0"
    assert verdict(made, author="a@sub.bank.example").rule != "rules.r0"
    assert verdict(made, BANK).rule == "dmarc.reject"


@pytest.mark.parametrize(
    ("text", "file", "line", "column", "message"),
    [
        ("{if: {author: list:friends}, then: hold}", "policy.yaml", 2, 32, "no list `friends`; there are: p"),
        ("{if: {client: list:p}, then: hold}", "partners.txt", 2, 1, "rules.if.client: expected a network"),
    ],
)
def test_what_is_wrong_with_a_list(folder, text, file, line, column, message):
    with pytest.raises(ConfigError) as error:
        policy(folder, f"lists: {{p: file:partners.txt}}\nrules: [{{name: a, {text[1:]}]")
    problem = error.value.problems[0]
    assert (problem.path, problem.line, problem.column) == (str(folder / file), line, column)
    assert message in problem.message


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ("{p: file:nowhere.txt}", "nowhere.txt` cannot be read: No such file or directory"),
        (
            "{p: file:empty.txt}",
            "empty.txt` cannot be read: it is empty; write a line with # if the list has no members",
        ),
        ("{p: file:broken.txt}", "broken.txt` cannot be read: line 2 is not UTF-8 text"),
        ("{p: [list:p]}", "lists.p: expected a member or file:PATH"),
        ("{p: [[a.example]]}", "lists.p: expected a member or file:PATH, found a list"),
        ("[a.example]", "lists: expected a map of lists, found a list"),
    ],
)
def test_what_is_wrong_with_lists(folder, lists, message):
    (folder / "empty.txt").write_bytes(b"")
    (folder / "broken.txt").write_bytes(b"a.example\n\xff\n")
    with pytest.raises(ConfigError, match="lists") as error:
        policy(folder, f"lists: {lists}")
    assert message in str(error.value)
    assert all(problem.line == 1 for problem in error.value.problems)


# --- mistakes in rules


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{}", "a rule needs `name` and `if` and `then`"),
        ("~", "a rule needs `name` and `if` and `then`"),
        ("{name: a, if: ~, then: hold}", "rules.if: a condition needs at least one key"),
        ("{name: a b, if: {spf: fail}, then: hold}", "rules.name: expected a name"),
        ("{name: a, if: {}, then: hold}", "rules.if: a condition needs at least one key"),
        ("{name: a, if: {athor: x.example}, then: hold}", "did you mean `rules.if.author`?"),
        ("{name: a, if: {author: []}, then: hold}", "rules.if.author: expected at least one"),
        ("{name: a, if: {author: '*.x.example'}, then: hold}", "write `.x.example`"),
        ("{name: a, if: {author: 'a b'}, then: hold}", "rules.if.author: expected a domain"),
        ("{name: a, if: {client: 192.0.2.1/24}, then: hold}", "the network is 192.0.2.0/24"),
        ("{name: a, if: {dmarc: pas}, then: hold}", "did you mean `pass`?"),
        ("{name: a, if: {recipient: 'a@b@'}, then: hold}", "rules.if.recipient: expected an address"),
        ("{name: a, if: {spf: fail}, then: drop}", "rules.then: expected accept"),
        ("{name: a, if: {spf: fail}, then: hold, expires: soon}", "rules.expires: expected a day"),
        ("{name: a, if: {spf: fail}, then: hold, expires: 2026-02-30}", "rules.expires: expected a day"),
        ("{name: a, if: {spf: fail}, then: reject, reply: ''}", "expected one line of ASCII text"),
        ("{name: a, if: {spf: fail}, then: hold, reply: 'no'}", "hold has no reply"),
        (
            "{name: a, if: {spf: fail}, then: reject, reply: '{from}'}",
            "unknown placeholder {from}; use {author}, {mail_from_domain}, {client_ip}, {policy}, {rule}",
        ),
        ("{name: a, if: {spf: fail}, then: reject, reply: '{rule!r}'}", "unknown placeholder {rule}"),
        ("{name: a, if: {spf: fail}, then: reject, reply: '{rule.x}'}", "unknown placeholder {rule.x}"),
        ("{name: a, if: {spf: fail}, then: reject, reply: '{'}", "an unbalanced brace"),
        ('{name: a, if: {spf: fail}, then: reject, reply: "a\\nb"}', "expected one line of ASCII text"),
        ("{name: a, if: {spf: fail}, then: reject, enhanced: 4.7.1}", "4.7.1 is not a code for reject"),
        ("{name: a, if: {spf: fail}, then: reject, enhanced: 5.7}", "expected a status code such as 5.7.1"),
        (
            "{name: a, if: {spf: fail}, then: reject, headers: {X-A: b}}",
            "a message that is not delivered gets no headers",
        ),
        ("{name: a, if: {author: 192.0.2.1}, then: hold}", "rules.if.author: expected a domain"),
        ("{name: a, if: {spf: fail}, then: hold, headers: {X-mailassay-MARKER: b}}", "has a meaning of its own"),
        ("{name: a, if: {spf: fail}, then: hold, headers: {From: b}}", "`From` has a meaning of its own"),
        (
            "{name: a, if: {spf: fail}, then: hold}, {name: a, if: {spf: pass}, then: hold}",
            "another rule is called `a`",
        ),
    ],
)
def test_mistakes_in_a_rule(folder, rule, message):
    with pytest.raises(ConfigError) as error:
        policy(folder, f"rules:\n  [{rule}]")
    assert message in str(error.value)


def test_every_mistake_is_found_at_once(folder):
    with pytest.raises(ConfigError) as error:
        policy(folder, "mode: x\nrules:\n  - {name: a, if: {author: '', spf: y}, then: z}\n  - {if: {spf: pass}}\n")
    assert [problem.line for problem in error.value.problems] == [1, 3, 3, 3, 4]


# --- lines for author domains, and what overrules DMARC

FORCED = """
dmarc:
  authors:
    - {for: [lax.example], none: reject}
    - {for: .shop.example, monitor: true}
    - {for: bank.example, reject: hold}
    - {for: .bank.example, reject: accept, quarantine: accept, unsafe: true, comment: they know}
"""


@pytest.mark.parametrize(
    ("author", "action", "rule", "would"),
    [
        ("ann@lax.example", "reject", "dmarc.authors.none", "reject"),
        ("ann@shop.example", "accept", "dmarc.quarantine", "hold"),
        ("ann@bank.example", "hold", "dmarc.authors.reject", "hold"),
        ("ann@sub.bank.example", "accept", "default", "accept"),
        # stricter lines if any reading of the author fits
        ("ann@lax.example (<x@nothing.example>)", "reject", "dmarc.authors.none", "reject"),
        ("ann@nothing.example, ann@lax.example", "reject", "dmarc.authors.none", "reject"),
        ("ann@slow.example, ann@lax.example", "reject", "dmarc.authors.none", "reject"),
        ("ann@lax.example, ann@other.bank.example", "reject", "dmarc.authors.none", "reject"),
        # laxer ones, and monitor, only if all do
        ("ann@bank.example, ann@lax.example", "reject", "dmarc.reject", "reject"),
        ("ann@bank.example, ann@nothing.example", "reject", "dmarc.reject", "reject"),
        ("ann@bank.example, ann@sub.bank.example", "hold", "dmarc.authors.reject", "hold"),
        ("ann@a.bank.example, ann@sub.bank.example", "accept", "default", "accept"),
        ("ann@shop.example, ann@nothing.example", "hold", "dmarc.quarantine", "hold"),
        ("ann@shop.example, ann@a.shop.example", "accept", "dmarc.quarantine", "hold"),
        # one of those that are not looked at may ask for anything
        (", ".join(f"ann@a{number}.example" for number in range(20)), "reject", "dmarc.reject", "reject"),
    ],
)
def test_lines_for_an_author_domain(folder, author, action, rule, would):
    """The first that fits, for each reading of the author."""
    found = verdict(policy(folder, FORCED), author=author)
    assert (found.action, found.rule, found.would) == (action, rule, would)


@pytest.mark.parametrize(
    ("author", "action", "rule"),
    [
        ("ann@lax.example", "hold", "dmarc.none"),
        ("ann@bank.example", "reject", "dmarc.reject"),
        ("ann@lax.example, ann@nothing.example", "hold", "dmarc.none"),
        ("ann@nothing.example", "accept", "default"),
        ("ann@slow.example", "defer", "dmarc.temperror"),
    ],
)
def test_a_failure_under_p_none(folder, author, action, rule):
    """An element of authors may be laxer, since the domain asks for nothing."""
    found = verdict(policy(folder, "dmarc: {none: hold, temperror: defer}"), author=author)
    assert (found.action, found.rule) == (action, rule)
    lax = "dmarc: {none: hold, temperror: defer, authors: [{for: [lax.example, slow.example], none: accept}]}"
    found = verdict(policy(folder, lax), author=author)
    if author in ("ann@lax.example", "ann@slow.example"):
        assert found.action == "accept"
    else:
        assert (found.action, found.rule) == (action, rule)


def test_authors_that_are_not_looked_at_may_be_those_with_stricter_lines(folder):
    many = ", ".join(f"ann@a{number}.example" for number in range(20))
    for text in ("{for: lax.example, none: reject}", "{for: lax.example, reject: reject}"):
        found = verdict(policy(folder, f"dmarc: {{reject: hold, authors: [{text}]}}"), author=many)
        assert (found.action, found.rule[:14]) == ("reject", "dmarc.authors.")
    laxer = "{for: .example, reject: accept, unsafe: true, comment: x, monitor: true}"
    found = verdict(policy(folder, f"dmarc: {{authors: [{laxer}]}}"), author=many)
    assert (found.action, found.rule) == ("reject", "dmarc.reject")


def test_what_is_tried_for_one_author_does_not_reach_the_mail_of_two(folder):
    """It is recorded for messages that are all its own, and done for none."""
    made = policy(folder, "dmarc: {authors: [{for: lax.example, none: reject, monitor: true}]}")
    assert verdict(made, author="ann@lax.example").would == "reject"
    found = verdict(made, author="ann@lax.example, ann@nothing.example")
    assert (found.action, found.would) == ("accept", "accept")


def test_what_dns_does_not_say_of_one_author_counts_beside_what_another_asks_for(folder):
    made = policy(folder, "dmarc: {quarantine: tag, temperror: defer}")
    assert verdict(made, author="ann@slow.bank.example").action == "defer"
    assert verdict(made, author="ann@shop.example, ann@slow.bank.example").action == "defer"
    # nothing is known that could be at stake for this one, but for what the operator says
    assert verdict(made, author="ann@slow.example").action == "accept"
    own = policy(folder, "dmarc: {authors: [{for: slow.example, none: reject}]}")
    assert verdict(own, author="ann@slow.example").action == "defer"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{none: reject}", "needs `for`"),
        ("{for: bank.example, reject: accept}", "would let in mail that fails DMARC"),
        ("{for: bank.example, quarantine: tag}", "would let in mail that fails DMARC"),
        ("{for: bank.example, quarantine: tag}", "write a rule that is bound to something"),
        ('{for: "@x"}', "for: expected a domain"),
        ('{for: ["@x", bank.example], none: reject}', "for: expected a domain"),
    ],
)
def test_mistakes_in_lines_for_an_author_domain(folder, entry, message):
    with pytest.raises(ConfigError, match=message) as caught:
        policy(folder, f"dmarc: {{authors: [{entry}]}}")
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "change", "rule", "reason"),
    [
        ("{trusted_forwarders: [198.51.100.0/24]}", {}, "dmarc.trusted_forwarders", "trusted_forwarder: 198.51.100.66"),
        ("{trusted_forwarders: .relay.example}", {}, "dmarc.trusted_forwarders", "trusted_forwarder: 198.51.100.66"),
        ("{trusted_forwarders: [203.0.113.0/24]}", {}, "dmarc.reject", ""),
        ("{trusted_forwarders: .relay.example}", {"client": "203.0.113.5"}, "dmarc.reject", ""),
        ("{mailing_lists: [relay.example]}", {}, "dmarc.reject", ""),
        ("{mailing_lists: [relay.example]}", {"fields": "list"}, "dmarc.mailing_lists", "mailing_list: relay.example"),
        ("{mailing_lists: [lists.example]}", {"fields": "list"}, "dmarc.reject", ""),
        ("{mailing_lists: [lists.example]}", {"fields": "both"}, "dmarc.mailing_lists", "mailing_list: lists.example"),
        ("{mailing_lists: [relay.example]}", {"fields": "list", "client": BANK}, "dmarc.reject", ""),
    ],
)
def test_what_overrules_dmarc(folder, text, change, rule, reason):
    """Only what is authenticated does: a network, a confirmed name, a domain that SPF or DKIM authenticated."""
    fields = {"list": [(b"List-Id", b" <a.lists.example>")]}
    fields["both"] = [*signed(), *fields["list"]]
    change = {key: fields[value] if key == "fields" else value for key, value in change.items()}
    outcome = judge(policy(folder, f"dmarc: {text}"), **change)
    assert outcome.verdict.rule == rule
    assert outcome.verdict.action == ("accept" if reason else "reject")
    assert (f'dmarc=fail reason="{reason}"' in outcome.add[0][1]) is bool(reason)


def through(sealer, results=b"dmarc=pass header.from=bank.example"):
    """The header of the message that fails, as it comes from a sealer who found this."""
    plain = b"From: ann@bank.example\r\n\r\nx\r\n"
    message = arc_set(plain, 1, sealer, KEY, results=b" i=1; mx.%b; %b" % (sealer.encode(), results))
    headers, _ = split(message)
    return [tuple(field) for field in headers if field.name != b"From"]


@pytest.mark.parametrize(
    ("trusted", "fields", "action"),
    [
        ("lists.example", through("lists.example"), "accept"),
        (".lists.example", through("lists.example"), "accept"),
        ("lists.example", through("evil.example"), "reject"),
        ("lists.example", through("lists.example", b"dmarc=fail header.from=bank.example"), "reject"),
        ("lists.example", [(b"Subject", b" new"), *through("lists.example")], "reject"),
        ("evil.example", through("lists.example"), "reject"),
        ("lists.example", [], "reject"),
    ],
)
def test_a_trusted_sealer(folder, trusted, fields, action):
    outcome = judge(policy(folder, f"dmarc: {{trusted_sealers: [{trusted}]}}"), fields=fields)
    assert outcome.verdict.action == action
    reason = 'dmarc=fail reason="local_policy: ARC pass, sealed by lists.example, which found DMARC pass"'
    assert (reason in outcome.add[0][1]) is (action == "accept")
    assert judge(policy(folder, "{}"), fields=fields).verdict.action == "reject"


def test_a_trusted_sealer_speaks_for_one_author_that_fails(folder):
    made = policy(folder, "dmarc: {trusted_sealers: [lists.example]}")
    fields = through("lists.example")
    assert judge(made, fields=fields).evidence.vouched
    for message in (
        {"client": BANK, "mail_from": "ann@bank.example"},
        {"author": "ann@bank.example, ann@shop.example"},
        {"author": "nobody"},
    ):
        evidence = judge(made, fields=fields, **message).evidence
        assert (evidence.vouched, evidence.vouched_mail_from) == ("", "")


@pytest.mark.parametrize(
    "results",
    [
        b"dmarc=pass header.from=<ann@bank.example>",
        b"dmarc=pass header.from=<ann@bank.example> header.from=<ann@bank.example>",
        b"dmarc=pass header.from=ann@bank.example",
        b"dmarc = pass header.from = bank.example",
        b"spf=pass (mx: ann@bank.example designates 192.0.2.1 (mail.bank.example)) smtp.mailfrom=bank.example;\r\n"
        b" dmarc=pass (p=reject (sp=none)) header.from=bank.example",
    ],
)
def test_a_trusted_sealer_is_believed_as_it_writes(folder, results):
    outcome = judge(
        policy(folder, "dmarc: {trusted_sealers: [lists.example]}"), fields=through("lists.example", results)
    )
    assert (outcome.verdict.action, outcome.verdict.rule) == ("accept", "dmarc.trusted_sealers")
    assert "not_vouched" not in facts(outcome)


@pytest.mark.parametrize(
    ("sealer", "results", "author", "words"),
    [
        (
            "lists.example",
            b"dmarc=fail header.from=bank.example",
            "ann@bank.example",
            "no_pass: set 1, sealed by lists.example, which recorded dmarc fail",
        ),
        (
            "lists.example",
            b"dmarc=pass header.from=<ann@shop.example>",
            "ann@bank.example",
            "author: set 1, sealed by lists.example, which recorded header.from <ann@shop.example>, not bank.example",
        ),
        (
            "lists.example",
            b"dmarc=pass (header.from=bank.example",
            "ann@bank.example",
            "unreadable: set 1, sealed by lists.example: its results cannot be read: it is malformed at "
            "'(header.from=bank.example'",
        ),
        ("evil.example", b"dmarc=fail header.from=bank.example", "ann@bank.example", ""),
    ],
)
def test_why_a_sealer_is_not_believed_is_said(folder, sealer, results, author, words):
    """In the log line, and by `check`; no word of it stands in the header."""
    made = policy(folder, "dmarc: {trusted_sealers: [lists.example]}")
    outcome = judge(made, fields=through(sealer, results), author=author)
    assert outcome.verdict.action == "reject"
    found = facts(outcome).get("not_vouched", {"fault": "", "reason": ""})
    assert (found["fault"], found["reason"]) == (words.partition(": ")[0], words.partition(": ")[2])
    assert (f"not_vouched={json.dumps(words)} " in str(Line(outcome))) is bool(words)
    explained = as_text(Trace(Message(Headers([]), b""), outcome, Settings(policy=made), {}, 0.0))
    assert (f"not vouched   {words}" in explained) is bool(words)
    assert "sealed by" not in outcome.add[0][1]
    assert "not_vouched" not in facts(judge(policy(folder, "{}"), fields=through(sealer, results)))


def test_a_rule_may_name_a_sealer(folder):
    made = policy(folder, rules({"if": {"sealer": "lists.example"}, "then": "accept"}))
    assert verdict(made, fields=through("lists.example")).rule == "rules.r0"
    assert verdict(made, fields=through("evil.example")).rule == "dmarc.reject"


NAMELESS = "203.0.113.5"
STRICT = "spf: {fail: reject, permerror: reject, temperror: defer}\niprev: {fail: reject, permerror: reject}\n"
BEFORE = b"spf=pass smtp.mailfrom=shop.example; dmarc=pass header.from=bank.example"


@pytest.mark.parametrize(
    ("trusted", "message", "action", "rule"),
    [
        # the client is the forwarder: nothing that follows from its address is asked for
        ("{trusted_forwarders: 203.0.113.5}", {}, "accept", "dmarc.trusted_forwarders"),
        ("{trusted_forwarders: 203.0.113.5}", {"author": "ann@lax.example"}, "accept", "dmarc.trusted_forwarders"),
        ("{trusted_forwarders: 203.0.113.5}", {"author": "ann@nobody.example"}, "accept", "dmarc.trusted_forwarders"),
        ("{trusted_forwarders: 203.0.113.5}", {"mail_from": ""}, "accept", "dmarc.trusted_forwarders"),
        ("{trusted_forwarders: 203.0.113.5}", {"mail_from": "ann@slow.example"}, "accept", "dmarc.trusted_forwarders"),
        ("{trusted_forwarders: .relay.example}", {"client": RELAY}, "accept", "dmarc.trusted_forwarders"),
        ("{trusted_forwarders: .relay.example}", {}, "reject", "dmarc.reject"),
        ("{trusted_forwarders: 203.0.113.6}", {}, "reject", "dmarc.reject"),
        # a sealer vouches for the author, and for the reverse-path that it saw pass, not for one of its own
        ("{trusted_sealers: lists.example}", {"fields": "sealed"}, "reject", "iprev.permerror"),
        ("{trusted_sealers: lists.example}", {"fields": "sealed", "client": RELAY}, "accept", "dmarc.trusted_sealers"),
        (
            "{trusted_sealers: lists.example}",
            {"fields": "sealed", "client": RELAY, "mail_from": "x@news.bank.example"},
            "accept",
            "dmarc.trusted_sealers",
        ),
        (
            "{trusted_sealers: lists.example}",
            {"fields": "sealed", "client": RELAY, "mail_from": "ann@shop.example"},
            "reject",
            "spf.fail",
        ),
        (
            "{trusted_sealers: lists.example}",
            {"fields": "sealed before", "client": RELAY, "mail_from": "ann@shop.example"},
            "accept",
            "dmarc.trusted_sealers",
        ),
        (
            "{trusted_sealers: lists.example}",
            {"fields": "sealed before", "client": RELAY, "mail_from": "ann@a.shop.example"},
            "reject",
            "spf.fail",
        ),
        (
            "{trusted_sealers: lists.example}",
            {"fields": "sealed", "client": BANK, "mail_from": "srs0=x@bounce.lists.example"},
            "reject",
            "spf.fail",
        ),
        # what is no domain name is in nobody's domain
        (
            "{trusted_sealers: lists.example}",
            {"fields": "sealed", "client": RELAY, "mail_from": "ann@-.bank.example"},
            "reject",
            "spf.fail",
        ),
        (
            "{trusted_sealers: lists.example}",
            {"fields": "sealed", "client": RELAY, "mail_from": "", "helo": "mail.bank.example"},
            "reject",
            "spf.fail",
        ),
        ("{trusted_sealers: evil.example}", {"fields": "sealed", "client": RELAY}, "reject", "dmarc.reject"),
        # a list for what belongs to the domain that is authenticated, and for the author
        ("{mailing_lists: lists.example}", {"fields": "list"}, "reject", "iprev.permerror"),
        ("{mailing_lists: lists.example}", {"fields": "list", "client": RELAY}, "accept", "dmarc.mailing_lists"),
        (
            "{mailing_lists: lists.example}",
            {"fields": "list", "client": BANK, "mail_from": "x@a.lists.example"},
            "accept",
            "dmarc.mailing_lists",
        ),
        (
            "{mailing_lists: lists.example}",
            {"fields": "list", "client": RELAY, "mail_from": "ann@shop.example"},
            "reject",
            "spf.fail",
        ),
        (
            "{mailing_lists: lists.example}",
            {"fields": "list of two", "client": RELAY, "author": "ann@bank.example, bob@shop.example"},
            "reject",
            "spf.fail",
        ),
        ("{mailing_lists: relay.example}", {"fields": "list", "client": RELAY}, "reject", "dmarc.reject"),
        ("{}", {}, "reject", "dmarc.reject"),
    ],
)
def test_what_overrules_dmarc_overrules_spf_and_iprev_for_the_same_cause(folder, trusted, message, action, rule):
    """It is bound to what was authenticated. If a line refuses all the same, the header does not claim otherwise."""
    fields = {
        "sealed": through("lists.example"),
        "sealed before": through("lists.example", BEFORE),
        "list": [*signed(), (b"List-Id", b" <a.lists.example>")],
        "list of two": [*signed(b"ann@bank.example, bob@shop.example"), (b"List-Id", b" <a.lists.example>")],
    }
    names = ("shop.example", "a.shop.example", "news.bank.example", "a.lists.example", "bounce.lists.example")
    names = (*names, "-.bank.example")
    zone = "".join(f'{name} TXT "v=spf1 -all"\n' for name in names) + "slow.example TXT !\n"
    given = {"client": NAMELESS, "mail_from": "ann@bank.example", **message}
    given["fields"] = fields.get(given.get("fields"), [])
    outcome = judge(policy(folder, f"dmarc: {trusted}\n{STRICT}"), zone=zone, **given)
    assert (outcome.verdict.action, outcome.verdict.rule) == (action, rule)
    claims = re.search('dmarc=fail reason="(local_policy|trusted_forwarder|mailing_list): ', outcome.add[0][1])
    overruled = action == "accept" and outcome.evidence.dmarc.disposition in ("reject", "quarantine")
    assert bool(claims) is overruled
    assert facts(outcome)["reason"]


def test_a_message_that_is_tagged_all_the_same_is_let_in(folder):
    made = policy(folder, "dmarc: {trusted_forwarders: .relay.example}\nsender_domain: {null_mx: tag}")
    outcome = judge(made)
    assert (outcome.verdict.action, outcome.verdict.rule) == ("tag", "sender_domain.null_mx")
    assert 'reason="trusted_forwarder: 198.51.100.66"' in outcome.add[0][1]
    made = policy(folder, "dmarc: {trusted_forwarders: .relay.example}\nsender_domain: {null_mx: hold}")
    outcome = judge(made)
    assert outcome.verdict.action == "hold"
    assert "trusted_forwarder" not in outcome.add[0][1]


def test_what_refuses_beside_a_rule_that_accepts_leaves_it_nothing_to_claim(folder):
    """Of two recipients one is refused by the first rule, and so both are."""
    made = policy(
        folder,
        rules(
            {"if": {"recipient": "bob@receiver.example"}, "then": "reject"},
            {"if": {"client": RELAY}, "then": "accept"},
        ),
    )
    outcome = judge(made, recipients=["bob@receiver.example", "al@receiver.example"])
    assert outcome.verdict.action == "reject"
    assert outcome.verdict.override == ""
    assert judge(made, recipients=["al@receiver.example"]).verdict.override == "local_policy: rule r1"


def test_an_override_counts_in_monitor_mode_as_if_enforced(folder):
    made = policy(
        folder, "mode: monitor\ndmarc: {trusted_forwarders: .relay.example}\nsender_domain: {null_mx: reject}"
    )
    outcome = judge(made)
    assert (outcome.verdict.action, outcome.verdict.would) == ("accept", "reject")
    assert "trusted_forwarder" not in outcome.add[0][1]
    made = policy(folder, "mode: monitor\ndmarc: {trusted_forwarders: .relay.example}\nspf: {fail: reject}")
    outcome = judge(made, mail_from="ann@bank.example")
    assert (outcome.verdict.action, outcome.verdict.would) == ("accept", "accept")
    assert "trusted_forwarder" in outcome.add[0][1]


def test_what_passes_needs_no_overruling(folder):
    made = policy(folder, "dmarc: {trusted_forwarders: [192.0.0.0/8]}")
    outcome = judge(made, BANK, mail_from="ann@bank.example")
    assert (outcome.verdict.rule, outcome.verdict.override) == ("default", "")


@pytest.mark.parametrize(
    ("needs", "action", "rule"),
    [
        ("{spf: [fail, softfail]}", "hold", "dmarc.reject_needs"),
        ("{spf: pass}", "reject", "dmarc.reject"),
        ("{any: [{iprev: fail}, {helo: .relay.example}]}", "reject", "dmarc.reject"),
    ],
)
def test_reject_needs(folder, needs, action, rule):
    """RFC 9989 section 7.4: other knowledge than p=reject alone."""
    found = verdict(policy(folder, f"dmarc: {{reject_needs: {needs}}}"))
    assert (found.action, found.rule) == (action, rule)
    found = verdict(policy(folder, f"dmarc: {{reject: tag, reject_needs: {needs}}}"))
    assert found.action == "tag"


def test_a_sample_is_stable_and_evenly_spread(folder):
    made = policy(folder, "dmarc: {enforce_percent: 30}")
    found = []
    for number in range(400):
        fields = [(b"Message-ID", f" <{number}@bank.example>".encode())]
        first, again = (verdict(made, fields=fields) for _ in range(2))
        assert first == again
        assert (first.would, first.rule) == ("reject", "dmarc.reject")
        assert first.monitored == (() if first.action == "reject" else ("dmarc.reject:reject",))
        found.append(first.action)
    assert 80 < found.count("reject") < 160
    assert set(found) == {"reject", "accept"}
    none, every = (policy(folder, f"dmarc: {{enforce_percent: {percent}}}") for percent in (0, 100))
    assert (verdict(none).action, verdict(every).action) == ("accept", "reject")


@pytest.mark.parametrize(
    ("text", "mail_from", "reply"),
    [
        ("{null_mx: reject}", "ann@relay.example", "550 5.7.27 The sender accepts no mail (null MX) for relay.example"),
        ("{null_mx: defer}", "ann@relay.example", "451 4.7.27 The sender accepts no mail (null MX) for relay.example"),
        (
            "{no_mail: reject}",
            "ann@nobody.example",
            "550 5.1.8 The sender cannot receive mail: no MX and no address for nobody.example",
        ),
        ("{no_mail: reject}", "ann@relay.example", None),
        ("{no_mail: reject, null_mx: reject}", "ann@bank.example", None),
        ("{no_mail: reject, null_mx: reject}", "", None),
    ],
)
def test_a_sender_who_cannot_be_answered(folder, text, mail_from, reply):
    """RFC 7505 section 4.2 for the code."""
    made = policy(folder, f"sender_domain: {text}")
    outcome = judge(made, author="ann@lax.example", mail_from=mail_from)
    assert (str(outcome.verdict.reply) if outcome.verdict.reply else None) == reply
    assert "sender_domain" in facts(outcome)
    assert "sender_domain" not in outcome.add[0][1]


def test_the_sender_domain_is_looked_up_where_it_matters_only(folder):
    asked = []

    def source(question):
        asked.append(tuple(question))
        return ZONE(question)

    needed = {"sender_domain": "no_mail"}
    conditions = [needed, {**needed, "spf": "fail"}, {"any": [needed, {"spf": "fail"}]}, {"not": {"all": [needed]}}]
    for text, wanted in (
        ("{}", False),
        (rules({"if": {"spf": "fail", "not": {"any": [{"dkim": "pass"}]}}, "then": "hold"}), False),
        ("sender_domain: {no_mail: tag}", True),
        *((rules({"if": condition, "then": "hold"}), True) for condition in conditions),
        *((yaml.safe_dump({"dmarc": {"reject_needs": condition}}), True) for condition in conditions),
    ):
        asked.clear()
        talk = Talk(source, policy(folder, text), client=RELAY, helo="out.relay.example")
        talk.session.mail_from("<ann@relay.example>")
        assert (("relay.example", "MX") in asked) is wanted


# --- sets


LABELS = st.lists(st.sampled_from(["a", "b", "example", "com"]), min_size=1, max_size=4).map(".".join)


@given(patterns=st.lists(st.tuples(st.booleans(), LABELS), max_size=6), name=LABELS)
def test_domains_are_what_their_patterns_say(patterns, name):
    def covers(below, pattern):
        return name == pattern or (below and name.endswith("." + pattern))

    domains = Domains(tuple(("." if below else "") + pattern for below, pattern in patterns))
    assert (name in domains) == any(covers(*each) for each in patterns)
    assert (name.upper() + "." in domains) == (name in domains)


@given(st.lists(st.ip_addresses().map(ip_network), max_size=5), st.ip_addresses(), st.integers(0, 32))
def test_networks_are_what_they_hold(singles, address, prefix):
    networks = [*singles, ip_network((address, prefix), strict=False)]
    assert address in Networks(tuple(networks))
    assert (address in Networks(tuple(singles))) == any(address in each for each in singles)


ADDRESSES = st.lists(st.sampled_from(["bob", "Bob", "@", "x.example", "X.example", ".", " ", "é"]), max_size=5)


@given(ADDRESSES.map("".join) | st.text(max_size=30))
@example("al@-")
@example("bob@-")
@example("bob")
def test_any_text_as_an_address(text):
    local_part, at, domain = text.lower().rpartition("@")
    is_covered = bool(at and domain) and (local_part == "bob" or domain.removesuffix(".") == "x.example")
    assert (text in Addresses(("bob@", "x.example"))) == is_covered
    assert f"bob@x{text.replace('@', '')}" in Addresses(("bob@",))


# --- what DNS did not say

BROKEN = Zone(
    """
    bank.example                   TXT  !
    _dmarc.bank.example            TXT  "v=DMARC1; p=none"
    66.100.51.198.in-addr.arpa     PTR  !
    """,
    limits=LIMITS,
)


@pytest.mark.parametrize(
    ("condition", "then", "action"),
    [
        # it may be authenticated after all: what is refused now would be lost
        ({"author": "bank.example", "not": {"spf_pass": "bank.example"}}, "reject", "defer"),
        ({"not": {"any": [{"client_name": ".bank.example"}, {"dkim_pass": "bank.example"}]}}, "reject", "defer"),
        ({"not": {"spf_pass": "other.example"}}, "reject", "reject"),
        ({"not": {"spf_pass": "bank.example"}}, "hold", "hold"),
        ({"spf": "temperror"}, "reject", "reject"),
        # it may not be: what is let in now is in
        ({"client": "198.51.100.0/24", "not": {"spf_pass": "bank.example"}}, "tag", "tag"),
        ({"client": "198.51.100.0/24", "not": {"spf_pass": "other.example"}}, "tag", "tag"),
        ({"spf_pass": "bank.example"}, "tag", "accept"),
        # and what only an answer could make sure of does not refuse
        ({"client_name": ".dialup.example"}, "reject", "accept"),
    ],
    ids=str,
)
def test_what_an_answer_could_have_changed(folder, condition, then, action):
    own = {"enhanced": "5.7.2"} if then == "reject" else {}
    found = without_answers(policy(folder, rules({"if": condition, "then": then, **own})))
    assert found.action == action
    if action == "defer":
        assert str(found.reply).startswith("451 4.7.1 ")


@pytest.mark.parametrize("then", ["accept", "tag"])
@pytest.mark.parametrize(("domain", "action"), [("bank.example", "hold"), ("other.example", None)])
def test_what_an_answer_could_have_ruled_out_lets_nothing_in(folder, then, domain, action):
    """A rule that tags then leaves its mark, and the lines what they ask for."""
    rule = {"if": {"client": "198.51.100.0/24", "not": {"spf_pass": domain}}, "then": then}
    made = policy(folder, rules(rule) + "spf: {temperror: hold}")
    assert without_answers(made).action == (action or then)


def without_answers(made):
    return judged(made, BROKEN)


def judged(made, zone):
    talk = Talk(zone, made, client=RELAY, helo="out.relay.example", now=NOON)
    return talk.message(author="ann@bank.example", mail_from="<ann@bank.example>").verdict


NAMES = ("a.other.example", "m.relay.example", "z.third.example")


@pytest.mark.parametrize("order", list(permutations(NAMES)), ids=" ".join)
@pytest.mark.parametrize(
    ("name", "reject", "accept"),
    [
        ("a.other.example", "reject", "accept"),
        (".relay.example", "reject", "accept"),
        # the address of this one is not known: what it could change is not done for good
        (".third.example", "accept", "reject"),
        ("no.example", "accept", "reject"),
    ],
)
def test_a_client_with_several_names_has_each_of_them(folder, order, name, reject, accept):
    """Whatever their order: each that leads back counts, and one whose address DNS does not say might."""
    names = "\n".join(f"66.100.51.198.in-addr.arpa PTR {each}" for each in order)
    addresses = "\n".join((f"{NAMES[0]} A {RELAY}", f"{NAMES[1]} A {RELAY}", f"{NAMES[2]} A !"))
    zone = Zone(f'{names}\n{addresses}\n_dmarc.bank.example TXT "v=DMARC1; p=reject"', limits=LIMITS)

    def action(text):
        return judged(policy(folder, text), zone).action

    laxer = "dmarc: {reject: accept}\n"
    assert action(laxer + rules({"if": {"client_name": name}, "then": "reject"})) == reject
    is_unknown = name == ".third.example"
    of_others = "accept" if reject == "reject" else "defer" if is_unknown else "reject"
    assert action(laxer + rules({"if": {"not": {"client_name": name}}, "then": "reject"})) == of_others
    assert action(rules({"if": {"client_name": name}, "then": "accept"})) == accept
    assert action(f"dmarc: {{trusted_forwarders: ['{name}']}}") == accept


# --- who is everybody


@pytest.mark.parametrize(
    "text",
    [
        "{trusted_forwarders: [0.0.0.0/0]}",
        "{trusted_forwarders: [128.0.0.0/1]}",
        "{trusted_forwarders: ['2000::/3']}",
        "{trusted_forwarders: .com}",
        "{mailing_lists: [.com]}",
        "{trusted_sealers: com}",
    ],
)
def test_nobody_trusts_everybody(folder, text):
    with pytest.raises(ConfigError, match="covers nearly everybody"):
        policy(folder, f"dmarc: {text}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{trusted_forwarders: [192.0.2.1/24]}", "the network is 192.0.2.0/24"),
        ("{trusted_forwarders: ['::ffff:192.0.2.1']}", "is IPv4 inside IPv6"),
        ("{trusted_forwarders: [192.0.2.256]}", "expected a network"),
        ("{mailing_lists: [192.0.2.1]}", "expected a domain"),
        ("{mailing_lists: ['*.x.example']}", "write `.x.example`"),
    ],
)
def test_mistakes_in_who_is_trusted(folder, text, message):
    with pytest.raises(ConfigError) as error:
        policy(folder, f"dmarc: {text}")
    assert message in str(error.value)


# --- sampling


def test_nobody_can_choose_to_be_outside_the_sample(folder):
    """What is sampled rests on a secret of the host: two hosts take different messages."""
    made = policy(folder, "dmarc: {enforce_percent: 50}")

    def sampled(**more):
        numbers = range(60)
        fields = [[(b"Message-ID", f" <{number}@bank.example>".encode())] for number in numbers]
        return [verdict(made, fields=each, **more).action for each in fields]

    here = sampled()
    assert sampled(secret=b"of another host") != here
    assert sampled() == here


def test_reject_needs_may_ask_whether_the_sender_can_be_answered(folder):
    made = policy(folder, "dmarc: {reject_needs: {sender_domain: null_mx}}")
    assert verdict(made).rule == "dmarc.reject"
    assert verdict(made, mail_from="ann@bank.example").rule == "dmarc.reject_needs"


def test_reject_needs_may_ask_for_one_recipient_of_several(folder):
    """Nobody escapes a rejection by adding another one."""
    made = policy(folder, "dmarc: {reject_needs: {recipient: bob@}}")
    assert verdict(made, recipients=["al@a.example"]).rule == "dmarc.reject_needs"
    assert verdict(made, recipients=["al@a.example", "bob@a.example"]).rule == "dmarc.reject"


# --- what is only recorded


@pytest.mark.parametrize(
    ("text", "change", "monitored"),
    [
        ("{enforce_percent: 0}", {"author": "ann@lax.example"}, ()),
        ("{enforce_percent: 0}", {}, ("dmarc.reject:reject",)),
        ("{authors: [{for: bank.example, monitor: true}]}", {}, ("dmarc.reject:reject",)),
        ("{authors: [{for: lax.example, monitor: true}]}", {"author": "ann@lax.example"}, ()),
        ("{enforce_percent: 0, trusted_forwarders: .relay.example}", {}, ()),
    ],
)
def test_lines_that_accept_are_not_recorded(folder, text, change, monitored):
    assert verdict(policy(folder, f"dmarc: {text}"), **change).monitored == monitored


def test_in_monitor_mode_a_monitored_rule_is_what_it_would_be_enforced(folder):
    made = policy(folder, "mode: monitor\n" + rules({"if": {"spf": "pass"}, "then": "accept", "monitor": True}))
    found = verdict(made)
    assert (found.action, found.would, found.rule) == ("accept", "reject", "dmarc.reject")
    assert found.monitored == ("rules.r0:accept",)


def test_a_comment_changes_no_digest(folder):
    one, two = (policy(folder, rules({"if": {"spf": "fail"}, "then": "hold", "comment": text})) for text in "ab")
    assert one.digest == two.digest
    assert one.digest != policy(folder, rules({"if": {"spf": "fail"}, "then": "defer", "comment": "a"})).digest


# --- what is long


def test_a_reply_fits_its_line(folder):
    """RFC 5321 section 4.5.3.1.5; libmilter would take none that is longer, and the message would be deferred."""
    author = ".".join(["a" * 60] * 4)
    made = policy(folder, rules({"if": {"dmarc": "none"}, "then": "reject", "reply": "{author} " * 6}))
    found = verdict(made, author=f"ann@{author}")
    assert found.reply.text.startswith(author)
    assert len(str(found.reply)) < 480
    headers = {"X-A": "{author}" * 8}
    made = policy(folder, rules({"if": {"dmarc": "none"}, "then": "accept", "headers": headers}))
    assert len(judge(made, author=f"ann@{author}").add[1][1]) == 900


def test_thousands_of_mistakes(folder):
    """As many as anybody reads are told, and how many there are."""
    (folder / "long.txt").write_text("".join(f"{number}.example\n" for number in range(30_000)))
    with pytest.raises(ConfigError) as error:
        policy(folder, "lists: {p: file:long.txt}\nrules: [{name: a, if: {client: list:p}, then: hold}]")
    assert len(error.value.problems) == 101
    assert error.value.problems[-1].message == "and 29900 more from here on"


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ("{p: file:pipe}", "lists.p: `file:pipe` cannot be read: not a regular file"),
        ("{p: file:.}", "lists.p: `file:.` cannot be read: not a regular file"),
        ("{p: a.example, p: b.example}", "lists: duplicate key `p`"),
    ],
)
def test_lists_that_cannot_be_read(folder, lists, message):
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConfigError) as error:
        policy(folder, f"lists: {lists}")
    assert message in str(error.value)


def test_lines_of_a_list_are_those_of_an_editor(folder):
    (folder / "odd.txt").write_bytes("a.example # \x0c\x85\u2028 not.example\r\n\r\nb\x0b.example\n".encode())
    with pytest.raises(ConfigError) as error:
        policy(folder, "lists: {p: file:odd.txt}\nrules: [{name: a, if: {author: list:p}, then: hold}]")
    assert [(each.line, each.column) for each in error.value.problems] == [(3, 1)]
