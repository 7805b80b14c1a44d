"""RFC 8617 section by section."""

import re
from ipaddress import ip_address

import pytest

from mailassay import arc, dkim
from mailassay.dkim import Work
from mailassay.limits import Limits
from mailassay.message import Field, Headers, split
from mailassay.resolver import Deadline
from mailassay.result import Result
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import arc_set, ed25519_key, rsa_key
from tests.lab.talk import Talk

RSA, ED = rsa_key(), ed25519_key()
ZONE = f"""
    arc._domainkey.one.example       TXT "{ED.record}"
    arc._domainkey.two.example       TXT "{ED.record}"
    arc._domainkey.rsa.example       TXT "{RSA.record}"
    arc._domainkey.several.example   TXT "junk"
    arc._domainkey.several.example   TXT "{ED.record}"
    arc._domainkey.testing.example   TXT "{ED.record}; t=y"
    arc._domainkey.revoked.example   TXT "v=DKIM1; k=ed25519; p="
    arc._domainkey.servfail.example  TXT !
    arc._domainkey.slow.example      TXT ?
    arc._domainkey.xn--bcher-kva.example TXT "{ED.record}"
    _dmarc.example.com               TXT "v=DMARC1; p=reject"
"""
MESSAGE = b"From: alice@example.com\r\nTo: list@one.example\r\nSubject: hi\r\n\r\nHello\r\n"
RESULTS = b" i={number}; {domain}; spf=pass"
AMS = b" i={number}; a={algorithm}; c=relaxed/relaxed; d={domain}; s=arc; h=from:to:subject; bh={bh}; b={b}"
SEAL = b" i={number}; a={algorithm}; cv={status}; d={domain}; s=arc; b={b}"


def check(message, limits=LIMITS):
    headers, content = split(message)
    chain = arc.chain(headers, limits)
    body = dkim.Body(arc.body_requests(chain))
    body.update(content)
    resolve = Deadline(Zone(ZONE, limits=LIMITS), float("inf"), lambda: 0.0)
    return arc.check(chain, dkim.HeaderHashes(headers, Work(LIMITS)), body.finish(), resolve, limits)


def word(message, **more):
    return check(message, **more).result


def one(domain="one.example", key=ED, message=MESSAGE, **values):
    """The message with one set."""
    return arc_set(message, 1, domain, key, **values)


def several(count, message=MESSAGE, **values):
    for instance in range(1, count + 1):
        message = arc_set(message, instance, ("two.example", "one.example")[instance % 2], ED, **values)
    return message


def fields(message):
    """The header fields with their folding, and the rest."""
    head, _, body = message.partition(b"\r\n\r\n")
    return re.split(rb"\r\n(?![ \t])", head), b"\r\n\r\n" + body


def test_rfc8617_4_1_words_of_the_grammar_have_no_case():
    """The words of a=, c= and cv= may be in any letter case, as in DKIM signatures."""
    of_message = AMS.replace(b"{algorithm}", b"Ed25519-SHA256").replace(b"relaxed/relaxed", b"Relaxed/RELAXED")
    of_seal = SEAL.replace(b"{algorithm}", b"ED25519-sha256").replace(b"{status}", b"None")
    assert word(one(message_signature=of_message, seal=of_seal)) is Result.PASS


def test_rfc8617_5_2_no_set_is_none():
    """A message without ARC fields gives none."""
    assert word(MESSAGE) is Result.NONE


@pytest.mark.parametrize("count", [1, 2, 3, 10, 50])
def test_rfc8617_5_2_up_to_fifty_sets_pass(count):
    """Every message signature and every seal of up to fifty sets is verified."""
    found = check(several(count))
    assert (found.result, found.oldest_pass, len(found.sealers)) == (Result.PASS, 0, count)


def test_rfc8617_5_2_more_than_fifty_sets_fail():
    """More than 50 sets fail; a policy may allow fewer."""
    assert word(several(51)) is Result.FAIL
    assert word(several(3), limits=Limits(arc_sets=3)) is Result.PASS
    assert word(several(4), limits=Limits(arc_sets=3)) is Result.FAIL


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_rfc8617_5_2_step_3a_exactly_one_of_each(keep):
    """Each set has exactly one of each of the three fields."""
    lines, rest = fields(several(2))
    for missing in (keep, keep + 3):
        assert word(b"\r\n".join(lines[:missing] + lines[missing + 1 :]) + rest) is Result.FAIL
        assert word(b"\r\n".join([*lines[: missing + 1], *lines[missing:]]) + rest) is Result.FAIL


def test_rfc8617_5_2_step_3b_no_gap():
    """The instances are a continuous sequence from 1."""
    lines, rest = fields(several(3))
    for gap in (0, 3, 6):
        found = word(b"\r\n".join(lines[:gap] + lines[gap + 3 :]) + rest)
        assert found is (Result.FAIL if gap else Result.PASS)  # without the newest set it is a shorter chain


def test_rfc8617_5_1_1_the_order_of_the_fields_does_not_matter():
    """Fields are assigned to sets by their instances, whatever their positions."""
    lines, rest = fields(several(3))
    head, chain = lines[9:], lines[:9]
    for shuffled in (chain[::-1] + head, head + chain, chain[::2] + head + chain[1::2]):
        assert word(b"\r\n".join(shuffled) + rest) is Result.PASS


@pytest.mark.parametrize("number", [b"0", b"", b"-1", b"51", b"001", b"1 1", b"one", b"1.0", b"0x1"])
def test_rfc8617_4_2_1_instances_that_are_none(number):
    """An instance is one or two digits, from 1 to 50; anything else fails."""
    for kind, value in (("results", RESULTS), ("message_signature", AMS), ("seal", SEAL)):
        assert word(one(**{kind: value.replace(b"{number}", number)})) is Result.FAIL


@pytest.mark.parametrize("kind", ["message_signature", "seal"])
@pytest.mark.parametrize(
    ("number", "expected"),
    [(b"1", Result.PASS), (b"01", Result.PASS), (b"\r\n 1\t", Result.PASS), (b"(1)1", Result.FAIL)],
)
def test_rfc8617_4_2_1_instances_in_tag_lists(kind, number, expected):
    """In seals and message signatures i= is a tag like the others: white space around its value, no comments, any
    place."""
    usual = {"message_signature": AMS, "seal": SEAL}[kind]
    assert word(one(**{kind: usual.replace(b"{number}", number)})) is expected
    last = usual.replace(b" i={number};", b"").replace(b"; b=", b"; i=" + number + b"; b=")
    assert word(one(**{kind: last})) is expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b" i=1;", Result.PASS),
        (b"i=1;", Result.PASS),
        (b" i = 1 ;", Result.PASS),
        (b"\r\n i\r\n =\r\n 1\r\n ;", Result.PASS),
        (b" (one) i (two) = (three) 1 (four \\) \r\n five) ;", Result.PASS),
        (b" (one (two)) i ((three) four) = 1;", Result.PASS),
        (b" i=01;", Result.PASS),
        (b" I=1;", Result.FAIL),
        (b" i=1", Result.FAIL),
        (b" i=1 x;", Result.FAIL),
        (b" one.example; i=1;", Result.FAIL),
        (b" (i=1; i=1;", Result.FAIL),
        (b" i=2;", Result.FAIL),
    ],
)
def test_rfc8617_4_1_1_results_begin_with_their_instance(start, expected):
    """ARC-Authentication-Results begins with its instance and ";", with i in lower case; the rest is not examined."""
    assert word(one(results=start + b" {domain}; spf=pass")) is expected
    assert word(one(results=start + b" this is no result at all \xff")) is expected


@pytest.mark.parametrize(
    ("instance", "status", "expected"),
    [
        (1, b"none", Result.PASS),
        (1, b"NONE", Result.PASS),  # a literal of the ABNF
        (1, b"pass", Result.FAIL),
        (1, b"fail", Result.FAIL),
        (1, b"", Result.FAIL),
        (1, b"non", Result.FAIL),
        (2, b"pass", Result.PASS),
        (2, b"none", Result.FAIL),
        (2, b"fail", Result.FAIL),
        (2, b"FAIL", Result.FAIL),
        (3, b"fail", Result.FAIL),
    ],
)
def test_rfc8617_5_2_step_3c_what_the_seals_say(instance, status, expected):
    """cv=none in the first seal, pass in all others, fail in none."""
    message = several(instance - 1)
    assert word(arc_set(message, instance, "one.example", ED, status=status)) is expected


def test_rfc8617_5_2_a_failed_chain_stays_failed():
    """cv=fail below the newest set fails the chain too."""
    message = arc_set(several(1), 2, "two.example", ED, status=b"fail")
    assert word(arc_set(message, 3, "one.example", ED)) is Result.FAIL


def test_rfc8617_4_1_3_cv_is_missing():
    """A seal without cv=, or with an empty one, fails the chain."""
    assert word(one(seal=SEAL.replace(b" cv={status};", b""))) is Result.FAIL


def test_rfc8617_4_1_3_a_seal_has_no_h():
    """A seal with h=, even an empty one, fails the chain."""
    for tag in (b"from", b""):
        assert word(one(seal=SEAL.replace(b" cv=", b" h=" + tag + b"; cv="))) is Result.FAIL


@pytest.mark.parametrize("tag", [b"x=y", b"c=simple/simple", b"bh=AAAA", b"v=1", b"t=1700000000", b"z="])
def test_rfc8617_4_1_3_other_tags_of_a_seal_are_ignored(tag):
    """Seals are canonicalized relaxed, whatever c= says; tags that are not defined are ignored."""
    assert word(one(seal=SEAL + b"; " + tag)) is Result.PASS


@pytest.mark.parametrize("kind", ["message_signature", "seal"])
@pytest.mark.parametrize("change", [
    (b"a={algorithm}", b"a=rsa-sha1"), (b"a={algorithm}", b"a=unknown"), (b" a={algorithm};", b""),
    (b" d={domain};", b""), (b"d={domain}", b"d="), (b"d={domain}", b"d=com"), (b" s=arc;", b""), (b"s=arc", b"s="),
    (b"; b={b}", b""), (b"b={b}", b"b=!"), (b"b={b}", b"b=; y={b}"),
    (b"s=arc", b"s=arc; s=arc"), (b"s=arc", b"s=arc; ;"),
    (b"s=arc", b"s=arc; t="), (b"s=arc", b"s=arc; t=x"),
])  # fmt: skip
def test_rfc8617_5_2_a_signature_with_a_fault(kind, change):
    """Anything that makes DKIM refuse a signature makes a chain fail."""
    usual = {"message_signature": AMS, "seal": SEAL}[kind]
    assert word(one(**{kind: usual.replace(*change)})) is Result.FAIL


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ((b" h=from", b" v=2; h=from"), Result.PASS),  # if seen, a version tag MUST be ignored
        ((b" bh={bh};", b""), Result.FAIL),
        ((b"bh={bh}", b"bh=AAAA"), Result.FAIL),
        ((b" h=from:to:subject;", b""), Result.FAIL),
        ((b"h=from", b"h=arc-seal:from"), Result.FAIL),
        ((b"h=from", b"h=ARC-SEAL:from"), Result.FAIL),
        ((b"h=from", b"h=arc-message-signature:from"), Result.PASS),  # its own field is never meant
        ((b"c=relaxed/relaxed", b"c=relaxed/nothing"), Result.FAIL),
        ((b" h=from", b" l=7; h=from"), Result.PASS),
        ((b" h=from", b" l=9999; h=from"), Result.FAIL),
    ],
)
def test_rfc8617_4_1_2_message_signatures(change, expected):
    """A message signature is a DKIM-Signature without v= and with another i=; it must not cover an ARC-Seal."""
    assert word(one(message_signature=AMS.replace(*change))) is expected


def test_rfc8617_5_1_1_every_octet_of_the_sets_is_sealed():
    """A seal covers the results, message signatures and seals of all sets up to its own, in order."""
    message = several(3)
    assert word(message) is Result.PASS
    for number in (b"1", b"2", b"3"):
        changed = re.sub(rb"(ARC-Authentication-Results: i=%b;.*)spf=pass" % number, rb"\1spf=fail", message)
        assert changed != message
        assert word(changed) is Result.FAIL
    for name in (b"Seal", b"Message-Signature"):
        changed = re.sub(rb"(ARC-%b: i=1;.*); s=arc" % name, rb"\1; y=; s=arc", message)
        assert changed != message
        assert word(changed) is Result.FAIL


def test_rfc8617_5_2_step_4_and_5_oldest_pass():
    """The newest message signature must verify; oldest-pass is the lowest instance down to which the older ones do."""
    message = several(2)
    changed = message.replace(b"Hello", b"[list] Hello")
    assert word(changed) is Result.FAIL
    message = arc_set(changed, 3, "one.example", ED)
    assert (check(message).result, check(message).oldest_pass) == (Result.PASS, 3)
    message = arc_set(message, 4, "two.example", ED)
    assert (check(message).result, check(message).oldest_pass) == (Result.PASS, 3)
    resinfo = check(message).resinfo(ip_address("2001:db8::1"))
    assert resinfo.properties == (("smtp", "remote-ip", "2001:db8::1"), ("header", "oldest-pass", "3"))


def test_rfc8617_5_2_step_5_an_older_message_signature_that_cannot_be_read():
    """An older message signature that cannot be verified bounds oldest-pass and does not fail the chain."""
    first = one(message_signature=AMS.replace(b"a={algorithm}", b"a=unknown"))
    found = check(arc_set(first, 2, "two.example", ED))
    assert (found.result, found.oldest_pass) == (Result.PASS, 2)


def test_rfc8617_5_2_step_6_every_seal():
    """If any seal does not verify, the chain fails."""
    for number in (b"1", b"2", b"3"):
        message = several(3)
        changed = re.sub(rb"(ARC-Seal: i=%b;.* b=).{4}" % number, rb"\1AAAA", message)
        assert changed != message
        assert word(changed) is Result.FAIL


@pytest.mark.parametrize("domain", ["revoked.example", "servfail.example", "slow.example", "nowhere.example"])
def test_rfc8617_5_2_1_all_failures_are_permanent(domain):
    """A chain has no temporary errors: if a key cannot be fetched now, it fails."""
    assert word(one(domain)) is Result.FAIL
    assert word(arc_set(one(domain), 2, "two.example", ED)) is Result.FAIL


def test_rfc8617_4_1_2_any_key_that_dkim_has():
    """Keys as for DKIM: RSA and Ed25519, several records, different domains for the two signatures."""
    assert word(one("rsa.example", RSA)) is Result.PASS
    assert word(one("several.example")) is Result.PASS
    assert word(one("bücher.example")) is Result.PASS  # section 4.1.4
    assert word(one(message_signature=AMS.replace(b"{domain}", b"two.example"))) is Result.PASS
    assert word(arc_set(one("rsa.example", RSA), 2, "one.example", ED)) is Result.PASS
    assert word(one("rsa.example", ED)) is Result.FAIL


def test_rfc6376_3_6_1_a_sealer_that_is_testing_seals_nothing():
    """A sealer's key with t=y makes the chain fail."""
    assert word(one("testing.example")) is Result.FAIL


def test_rfc6376_8_2_a_sealer_that_leaves_the_body_open():
    """A message signature whose l= leaves octets open fails: a chain has no result for a part of a message."""
    message = one(message_signature=AMS.replace(b" h=from", b" l=7; h=from"))
    assert word(message + b"\r\n") is Result.PASS
    assert word(message + b"more\r\n") is Result.FAIL


def test_rfc6376_8_15_a_second_field_above_the_signed_one():
    """A message that has a further Subject is not the one that was sealed."""
    assert word(b"Subject: another\r\n" + one()) is Result.FAIL


def test_rfc8617_7_2_1_a_chain_is_no_pass_for_dmarc():
    """A chain informs local policy; by itself it lets nothing in, and a failing chain counts as no chain."""
    for message in (one("one.example"), one("one.example").replace(b"Hello", b"Howdy"), MESSAGE):
        outcome = Talk(ZONE, helo="one.example").send(*split(message), mail_from="<list@one.example>")
        assert outcome.verdict.action is Action.REJECT
        assert outcome.evidence.dmarc.result is Result.FAIL


def test_rfc8617_4_2_1_fields_beyond_the_limit_are_not_read():
    """However many there are, no more than three for each set are parsed."""
    seals = [Field(b"ARC-Seal", b" i=%d; cv=none" % (1 + number % 50)) for number in range(20_000)]
    assert arc.chain(Headers(seals), LIMITS).problem
