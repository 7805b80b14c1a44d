"""Signing on the way of a message: which mail, the fields that are added, the log, the history and `why`."""

import json
import tracemalloc
from dataclasses import replace
from ipaddress import ip_network

import pytest

from mailassay.config import Relays
from mailassay.explain.recorded import Recorded
from mailassay.history.record import Judged, record
from mailassay.judge.logline import Line
from mailassay.policy.sets import Networks
from mailassay.sign import Believed, Unsignable, Unsigned
from mailassay.verdict import Action, Kind
from tests.lab.signing import DOMAIN, ED, NOW, RSA, dkimpy_says, records, signing
from tests.lab.talk import OURS, Talk

BOTH = (f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}")
FROM = f"alice@{DOMAIN}"
OTHERS = [(b"To", b" bob@example.net"), (b"Subject", b" a\r\n long one")]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return signing(tmp_path_factory.mktemp("keys"))


def with_sign(found, **more):
    return replace(found, sign=replace(found.sign, **more))


def outcome(settings, *, client="192.0.2.1", author=FROM, mail_from=f"<{FROM}>", login="", fields=(), **more):
    """A message by a client; of a stranger where nothing else is said."""
    settings = replace(settings, authserv_id=OURS)
    local = more.pop("local", False)
    talk = Talk("", settings=settings, client=client, now=NOW, local=local)
    return talk.message(author=author, mail_from=mail_from, login=login, fields=fields, **more)


def whole(found, fields, body, author=FROM):
    """The message as the next host gets it."""
    kept = [f"DKIM-Signature: {each}".replace("\n", "\r\n").encode() for each in found.signatures]
    kept += [name + b":" + value for name, value in [*fields, (b"From", f" {author}".encode())]]
    return b"\r\n".join(kept) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "client",
    [{"login": "alice"}, {"client": "127.0.0.1"}, {"client": "::1"}, {"client": None, "local": True}],
    ids=["login", "trusted", "trusted_ipv6", "local"],
)
def test_what_is_not_judged_is_signed(both, client):
    body = b"Hello\r\n\r\n" * 10_000
    found = outcome(both, fields=OTHERS, body=body, **client)
    assert (found.verdict.action, found.verdict.decider.kind) == (Action.ACCEPT, Kind.UNJUDGED)
    assert (found.signed_by, found.unsigned) == (BOTH, None)
    assert dkimpy_says(both, whole(found, OTHERS, body)) == [True, True]
    assert not found.add


def test_what_is_judged_is_never_signed(both):
    found = outcome(both)
    assert found.evidence is not None
    assert (found.signed_by, found.signatures, found.unsigned) == ((), (), None)
    assert not {"signed_by", "unsigned"} & set(Line(found).facts)


def test_without_keys_nothing_is_signed_and_no_body_is_needed(both):
    without = replace(both, signing_keys={})
    found = outcome(without, login="alice")
    assert (found.signed_by, found.signatures, found.unsigned) == ((), (), None)
    assert not {"signed_by", "unsigned"} & set(Line(found).facts)
    talk = Talk("", settings=without)
    talk.session.mail_from(f"<{FROM}>", "alice")
    talk.session.header(b"From", FROM.encode())
    talk.session.end_of_headers()
    assert talk.session.body(b"x\r\n") is False


def test_a_message_of_a_relay_is_judged_whatever_its_login(both):
    relays = Relays(Networks((ip_network("192.0.2.7/32"),)))
    found = outcome(replace(both, relays=relays), client="192.0.2.7", login="alice")
    assert found.signed_by == ()
    assert found.evidence is not None


def test_a_strangers_mail_that_a_filter_hands_back_is_not_signed(both):
    """It was judged when it came in; the filter is a trusted client, and the author is whatever the stranger wrote."""
    results = (b"Authentication-Results", f" {OURS}; dmarc=fail header.from={DOMAIN}".encode())
    refusing = with_sign(both, believed=Believed.ANY, unsignable=Unsignable.REJECT)
    found = outcome(refusing, client="127.0.0.1", fields=[results])
    assert (found.unsigned, found.signatures) == (Unsigned.JUDGED, ())
    assert found.verdict.action is Action.ACCEPT
    others = (b"Authentication-Results", b" mx.example.net; dmarc=fail")
    assert outcome(refusing, client="127.0.0.1", fields=[others]).signed_by == BOTH


def test_a_login_is_refused_whatever_results_it_writes(both):
    results = (b"Authentication-Results", f" {OURS}; none".encode())
    refusing = with_sign(both, unsignable=Unsignable.REJECT)
    found = outcome(refusing, login="eve", mail_from="<eve@example.net>", fields=[results])
    assert (found.verdict.action, found.unsigned) == (Action.REJECT, Unsigned.ENVELOPE)
    assert outcome(refusing, login="alice", fields=[results]).signed_by == BOTH


def test_a_relay_is_not_this_host(both):
    """Its null reverse-path is that of another client."""
    relays = Relays(Networks((ip_network("127.0.0.1/32"),)))
    found = replace(both, relays=relays, trusted_networks=(ip_network("10.0.0.0/8"),))
    came = (b"Received", b" from x.example (x.example [10.1.2.3]) by mx.receiver.example (Postfix) with ESMTP id A; "
            b"Sat, 28 Nov 2026 12:00:00 +0000")  # fmt: skip
    assert outcome(found, client="127.0.0.1", mail_from="<>", fields=[came]).unsigned is Unsigned.ENVELOPE
    assert outcome(found, client="127.0.0.1", fields=[came]).signed_by == BOTH
    assert outcome(both, client="127.0.0.1", mail_from="<>").signed_by == BOTH
    assert outcome(both, client="192.0.2.1", login="alice", mail_from="<>").unsigned is Unsigned.ENVELOPE
    networks = replace(both, trusted_networks=(ip_network("192.0.2.0/24"),))
    assert outcome(networks, mail_from="<>").unsigned is Unsigned.ENVELOPE


def test_a_header_that_is_cut_below_from_is_not_signed(both):
    talk = Talk("", settings=replace(both, authserv_id=OURS), now=NOW)
    fields = [(b"From", f" {FROM}".encode()), (b"X-A", b" y" * 500_001)]
    assert talk.send(fields, mail_from=f"<{FROM}>", login="alice").unsigned is Unsigned.LIMIT


def test_fields_that_are_removed_are_not_signed(both):
    """So it makes no difference whether Postfix removes them before it inserts the signatures."""
    fields = [(b"X-Mailassay-Verdict", b" accept"), *OTHERS]
    found = outcome(both, login="alice", fields=fields)
    assert {name for name, _ in found.remove} == {"X-Mailassay-Verdict"}
    assert [name for name, _ in found.add] == ["Authentication-Results"]
    assert dkimpy_says(both, whole(found, fields, b"x\r\n")) == [True, True]
    assert dkimpy_says(both, whole(found, OTHERS, b"x\r\n")) == [True, True]


def test_a_login_cannot_get_another_domain_signed(both):
    found = outcome(both, login="eve", mail_from="<eve@example.net>")
    assert found.unsigned is Unsigned.ENVELOPE
    assert outcome(both, login="eve", author="ceo@bank.example").unsigned is Unsigned.DOMAIN


@pytest.mark.parametrize(
    ("asked", "action", "reply"),
    [
        (Unsignable.SEND, Action.ACCEPT, None),
        (Unsignable.DEFER, Action.DEFER, "451 4.7.1"),
        (Unsignable.REJECT, Action.REJECT, "550 5.7.1"),
    ],
)
def test_what_happens_to_unsignable_mail(both, asked, action, reply):
    found = outcome(with_sign(both, unsignable=asked), login="eve", mail_from="<eve@example.net>")
    assert (found.verdict.action, found.unsigned) == (action, Unsigned.ENVELOPE)
    assert found.verdict.rule == ("authenticated" if reply is None else "sign.unsignable")
    if reply:
        words = "The message cannot be signed: MAIL FROM belongs to another domain than the author"
        assert str(found.verdict.reply) == f"{reply} {words}"
    # the mail of others that a host of ours passes on is not for us to refuse
    passed_on = outcome(with_sign(both, unsignable=asked), client="127.0.0.1", author="x@example.net")
    assert (passed_on.verdict.action, passed_on.unsigned) == (Action.ACCEPT, Unsigned.DOMAIN)


def test_a_header_beyond_the_limits_is_not_signed(both):
    fields = [(b"X-A", b" y" * 500_001)]
    assert outcome(both, login="alice", fields=fields).signed_by == BOTH[:0]
    # the header is cut there, so not even From is known
    assert outcome(both, login="alice", fields=fields).unsigned in (Unsigned.AUTHOR, Unsigned.LIMIT)
    assert outcome(both, login="alice", fields=[(b"X-A", b" y" * 400_000)]).signed_by == BOTH


def test_200_recipients_make_no_difference(both):
    recipients = [f"<r{number}@example.net>" for number in range(200)]
    assert outcome(both, login="alice", recipients=recipients).signed_by == BOTH


def test_a_large_message_takes_no_memory(both):
    talk = Talk("", settings=both, now=NOW)
    talk.session.mail_from(f"<{FROM}>", "alice")
    talk.session.header(b"From", FROM.encode())
    talk.session.end_of_headers()
    chunk = b"x" * 65_533 + b"\r\n"
    tracemalloc.start()
    try:
        for _ in range(320):
            assert talk.session.body(chunk)
        assert talk.session.end_of_message().signed_by == BOTH
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


# the log and the history


def test_the_log_says_who_signed_or_why_nobody_did(both):
    signed, unsigned = outcome(both, login="alice"), outcome(both, login="alice", author="a@example.net")
    assert f"verdict=accept rule=authenticated signed_by={','.join(BOTH)} ms=" in str(Line(signed))
    assert "verdict=accept rule=authenticated unsigned=domain ms=" in str(Line(unsigned))
    assert Line(signed).facts["signed_by"] == list(BOTH)
    assert Line(unsigned).facts["unsigned"] == "domain"


def kept(found, settings):
    return record(Judged(found, settings, NOW), "mx1")


def test_the_history_keeps_who_signed(both):
    found = kept(outcome(both, login="alice"), both)
    assert found["signed_by"] == list(BOTH)
    assert found["signed_with"] == ["rsa-sha256", "ed25519-sha256"]
    assert "unsigned" not in found
    assert ("signed by", BOTH[1]) in Recorded(found).lines(both)
    # the fields themselves are not kept
    assert "v=1" not in json.dumps(found)
    found = kept(outcome(both, login="alice", author="a@example.net"), both)
    assert (found["unsigned"], found.get("signed_by"), found.get("signed_with")) == ("domain", None, None)
    assert dict(Recorded(found).lines(both))["unsigned"] == f"domain: {Unsigned.DOMAIN.words}"
    assert not {"signed_by", "signed_with", "unsigned"} & set(kept(outcome(both), both))


def test_every_why_has_words():
    for each in Unsigned:
        assert each.words


def test_the_records_of_both_keys_are_what_dns_needs(both):
    assert [each.partition("p=")[0] for each in records(both).values()] == [
        "v=DKIM1; k=rsa; ",
        "v=DKIM1; k=ed25519; ",
    ]
