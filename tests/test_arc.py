"""ARC chains, sealed by dkimpy, validated here. RFC 8617."""

import re
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailassay import arc
from mailassay.dkim import Body, HeaderHashes, TooMuchWork, Work
from mailassay.domain import Domain
from mailassay.limits import Limits
from mailassay.message import Field, Headers, split
from mailassay.resolver import Deadline
from mailassay.result import Result
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.sign import arc_set, ed25519_key, rsa_key, written

KEY, ED = rsa_key(), ed25519_key()
ZONE = f"""
    arc._domainkey.list.example     TXT "{KEY.record}"
    arc._domainkey.forward.example  TXT "{KEY.record}"
    arc._domainkey.broken.example   TXT "v=DKIM1; p="
    arc._domainkey.slow.example     TXT ?
    arc._domainkey.one.example      TXT "{ED.record}"
    arc._domainkey.two.example      TXT "{ED.record}"
    arc._domainkey.three.example    TXT "{ED.record}"
    arc._domainkey.evil.example     TXT "{ED.record}"
    arc._domainkey.testing.example  TXT "{ED.record}; t=y"
    arc._domainkey.xn--bcher-kva.example TXT "{ED.record}"
"""
MESSAGE = b"From: alice@example.com\r\nTo: list@list.example\r\nSubject: hi\r\n\r\nHello\r\n"


def sealed(*domains, message=MESSAGE, change=lambda message: message):
    """Each domain receives, says so, and seals; ``change`` happens before each but the first."""
    for number, domain in enumerate(domains):
        if number:
            message = change(message)
        status = b"; arc=pass" if number else b""
        stamped = b"Authentication-Results: " + domain.encode() + b"; spf=pass" + status + b"\r\n" + message
        message = KEY.seal(stamped, domain, domain)
    return message


def judge(message):
    """The chain, and what it proves."""
    headers, content = split(message)
    chain = arc.chain(headers, LIMITS)
    body = Body(arc.body_requests(chain))
    body.update(content)
    resolve = Deadline(Zone(ZONE, limits=LIMITS), float("inf"), lambda: 0.0)
    return chain, arc.check(chain, HeaderHashes(headers, Work(LIMITS)), body.finish(), resolve, LIMITS)


def check(message):
    return judge(message)[1]


def test_no_chain():
    assert check(MESSAGE).result is Result.NONE


def test_one_set():
    assert check(sealed("list.example")) == arc.Arc(Result.PASS, ("list.example",), 0)


def test_two_sets():
    assert check(sealed("list.example", "forward.example")) == arc.Arc(
        Result.PASS, ("list.example", "forward.example"), 0
    )


def test_a_change_between_two_sealers_is_seen_in_oldest_pass():
    """Section 5.2, step 4."""
    message = sealed("list.example", "forward.example", change=lambda message: message + b"footer\r\n")
    assert check(message) == arc.Arc(Result.PASS, ("list.example", "forward.example"), 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m + b"footer\r\n", "body was changed"),
        (lambda m: m.replace(b"Subject: hi", b"Subject: no"), "does not match the header"),
        (lambda m: m.replace(b"cv=none", b"cv=fail"), "says that the chain failed"),
        (lambda m: m.replace(b"cv=none", b"cv=pass"), "says that the chain failed"),
        (lambda m: m.replace(b"spf=pass", b"spf=fail"), "does not match the header"),
        (lambda m: re.sub(rb"ARC-Authentication-Results: i=1.*?\r\n(?=\S)", b"", m, flags=re.S), "incomplete"),
        (lambda m: re.sub(rb"(ARC-Seal:.*?\r\n)(?=\S)", rb"\1\1", m, flags=re.S), "two fields"),
        (lambda m: m.replace(b"i=1", b"i=2"), "incomplete"),
        (lambda m: m.replace(b"i=1", b"i=0"), "out of range"),
        (lambda m: m.replace(b"i=1", b"i=51"), "out of range"),
        (lambda m: m.replace(b"ARC-Seal: i=1;", b"ARC-Seal: i=1; h=from;"), "h="),
        (lambda m: m.replace(b"ARC-Seal: i=1;", b"ARC-Seal: i=1; i=1;"), "twice"),
        (lambda m: re.sub(rb"(ARC-Seal:.*?)a=rsa-sha256", rb"\1a=rsa-sha1", m, flags=re.S), "algorithm"),
    ],
)  # fmt: skip
def test_fail(change, reason):
    message = sealed("list.example")
    changed = change(message)
    assert changed != message
    found = check(changed)
    assert (found.result, found.sealers, found.oldest_pass) == (Result.FAIL, (), None)
    assert reason in found.reason


@pytest.mark.parametrize("domain", ["broken.example", "slow.example", "nowhere.example"])
def test_a_key_that_cannot_be_had_is_a_failure(domain):
    """Section 5.2.1: a chain has no temporary errors."""
    assert check(sealed(domain)).result is Result.FAIL


def test_what_left_the_result_open():
    """Another host may find that the chain passes, if DNS did not answer or one of our limits was reached."""
    assert check(sealed("slow.example")).unknown == "dns"
    assert check(sealed("nowhere.example")).unknown == ""
    assert check(sealed("list.example").replace(b"Hello", b"Hallo")).unknown == ""
    assert check(sealed("list.example", "slow.example")).unknown == "dns"
    assert check(sealed("list.example")).unknown == ""
    for limits in (Limits(signature_work=100), replace(LIMITS, arc_sets=1)):
        chain = arc.chain(split(sealed("list.example", "forward.example"))[0], limits)
        header = HeaderHashes(Headers(()), Work(limits))
        assert arc.check(chain, header, {}, Deadline(Zone(ZONE, limits=LIMITS), 0.0, lambda: 0.0), limits).unknown == (
            "limit"
        )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], (0, False)),
        ([(b"ARC-Seal", b" i=3; cv=pass"), (b"ARC-Authentication-Results", b" i=2; x")], (3, False)),
        ([(b"ARC-Authentication-Results", b" i=7; x"), (b"ARC-Seal", b" i=2; cv=FAIL")], (7, True)),
        ([(b"ARC-Seal", b" i=2; cv=pass"), (b"ARC-Seal", b" i=1; cv=fail")], (2, False)),
        ([(b"ARC-Seal", b" i=2; cv=pass"), (b"ARC-Seal", b" i=2; cv=fail")], (2, True)),
        ([(b"ARC-Seal", b" i=0; cv=fail"), (b"ARC-Message-Signature", b" i=001")], (0, False)),
        ([(b"ARC-Seal", b" i=1; i=1; cv=fail")], (0, False)),
        ([(b"arc-message-signature", b"\r\n i = 09 ; x=y"), (b"ARC-Seal", b" \x00")], (9, False)),
    ],
)  # fmt: skip
def test_the_newest_instance_of_any_chain(fields, expected):
    assert arc.newest(Headers(Field(*each) for each in fields), Work(LIMITS)) == expected


def test_the_newest_instance_is_not_looked_for_without_end():
    fields = [Field(b"ARC-Seal", b" i=%d; cv=none" % (1 + number % 50)) for number in range(20_000)]
    with pytest.raises(TooMuchWork):
        arc.newest(Headers(fields), Work(LIMITS))


def test_more_sets_than_allowed():
    fields = [Field(b"ARC-Seal", b" i=%d" % number) for number in range(1, 2000)]
    assert arc.chain(Headers(fields), LIMITS).problem


def test_what_is_written():
    resinfo = arc.Arc(Result.PASS, (), 0).resinfo(None)
    assert resinfo.properties == (("header", "oldest-pass", "0"),)


text = st.text(st.sampled_from("aisbcvdh=;:12 \t\r\n.50é\0"), max_size=40).map(str.encode)
kinds = st.sampled_from([b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"])


@given(fields=st.lists(st.builds(Field, kinds, text), min_size=1, max_size=6))
def test_anything_is_a_failure(fields):
    headers = Headers(fields)
    chain = arc.chain(headers, LIMITS)
    bodies = Body(arc.body_requests(chain)).finish()
    assert (
        arc.check(
            chain,
            HeaderHashes(headers, Work(LIMITS)),
            bodies,
            Deadline(Zone("", limits=LIMITS), float("inf"), lambda: 0.0),
            LIMITS,
        ).result
        is Result.FAIL
    )


AUTHOR = Domain("example.com")
TRUSTED = {"one.example", "two.example", "three.example", "list.example", "testing.example", "xn--bcher-kva.example"}
AMS = b" i={number}; a={algorithm}; c=relaxed/relaxed; d={domain}; s=arc; h=from:to:subject; bh={bh}; b={b}"
GOOD = b"dmarc=pass header.from=example.com"
PASSED_ON = b"dmarc=fail header.from=example.com; arc=pass"
BY_ONE = "ARC pass, sealed by one.example, which found DMARC pass"
BY_TWO_TOO = f"{BY_ONE}, and by two.example, which found ARC pass"


def chained(*sets, message=MESSAGE):
    """Each (domain, what it found, the values of its set) on top of the one before."""
    for instance, (domain, results, values) in enumerate(sets, 1):
        values = {"results": b" i={number}; mx.{domain}; " + results} | values
        message = arc_set(message, instance, domain, ED, **values)
    return message


def vouched(message, author=AUTHOR, trusted=TRUSTED, now=0.0):
    chain, found = judge(message)
    return arc.vouched(chain, found, author, trusted.__contains__, now).because


def doubt(message, author=AUTHOR, trusted=TRUSTED, now=0.0):
    """Why it is not believed."""
    chain, found = judge(message)
    because, why, mail_from = arc.vouched(chain, found, author, trusted.__contains__, now)
    assert not because
    assert mail_from is None
    return str(why or "")


def by_one(results):
    """A message that one sealer has sealed, whose results these are."""
    return chained(("one.example", b"", {"results": results}))


@pytest.mark.parametrize(
    ("sets", "reason"),
    [
        ([("one.example", GOOD, {})], BY_ONE),
        ([("one.example", b"dmarc=pass header.from=<alice@example.com>", {})], BY_ONE),
        (
            [("one.example", GOOD, {}), ("two.example", b"dmarc=fail header.from=<a@example.com>; arc = pass", {})],
            BY_TWO_TOO,
        ),
        ([("one.example", GOOD, {}), ("two.example", PASSED_ON, {})], BY_TWO_TOO),
        ([("one.example", GOOD, {}), ("two.example", b"arc=pass", {})], BY_TWO_TOO),
        ([("one.example", GOOD, {}), ("two.example", b"dmarc=none; arc=pass", {})], BY_TWO_TOO),
        (
            [("one.example", GOOD, {}), ("two.example", PASSED_ON, {}), ("one.example", PASSED_ON, {})],
            f"{BY_TWO_TOO}, and by one.example, which found ARC pass",
        ),
        # whoever stands below the one that found it has no part in it
        ([("evil.example", b"dmarc=fail", {}), ("one.example", GOOD + b"; arc=pass", {})], BY_ONE),
        ([("evil.example", b"junk", {}), ("one.example", GOOD, {})], BY_ONE),
        # nobody found it
        ([], ""),
        ([("one.example", b"dmarc=fail header.from=example.com", {})], ""),
        ([("one.example", b"dmarc=none", {})], ""),
        ([("one.example", b"dmarc=bestguesspass header.from=example.com", {})], ""),
        ([("one.example", b"spf=pass smtp.mailfrom=example.com", {})], ""),
        ([("one.example", b"none", {})], ""),
        ([("one.example", b"dkim=pass header.d=example.com", {}), ("two.example", PASSED_ON, {})], ""),
        # whom nobody trusts
        ([("evil.example", GOOD, {})], ""),
        ([("one.example", GOOD, {}), ("evil.example", GOOD + b"; arc=pass", {})], ""),
        ([("one.example", GOOD, {}), ("evil.example", GOOD, {}), ("two.example", PASSED_ON, {})], ""),
        ([("evil.example", GOOD, {}), ("two.example", PASSED_ON, {})], ""),
        ([("sub.one.example", GOOD, {})], ""),
        # a key that is being tested signs nothing
        ([("testing.example", GOOD, {})], ""),
        ([("testing.example", GOOD, {}), ("two.example", PASSED_ON, {})], ""),
        # the newest did not say that the chain passed when it came
        ([("one.example", GOOD, {}), ("two.example", b"dmarc=fail header.from=example.com", {})], ""),
        ([("one.example", GOOD, {}), ("two.example", b"arc=fail; dmarc=fail header.from=example.com", {})], ""),
        # what contradicts cv=
        ([("one.example", GOOD, {}), ("two.example", GOOD + b"; arc=fail", {})], ""),
        ([("one.example", GOOD, {}), ("two.example", GOOD + b"; arc=none", {})], ""),
        ([("one.example", GOOD + b"; arc=pass", {})], ""),
        ([("one.example", GOOD + b"; arc=none", {})], BY_ONE),
        # another author: From was changed on the way
        ([("one.example", b"dmarc=pass header.from=evil.example", {})], ""),
        ([("one.example", b"dmarc=pass header.from=sub.example.com", {})], ""),
        ([("one.example", b"dmarc=pass header.from=com", {})], ""),
        ([("one.example", b"dmarc=pass", {})], ""),
        ([("one.example", b"dmarc=pass header.from=", {})], ""),
        ([("one.example", GOOD, {}), ("two.example", b"dmarc=fail header.from=evil.example; arc=pass", {})], ""),
        ([("one.example", GOOD, {}), ("two.example", b"dmarc=pass header.from=evil.example; arc=pass", {})], ""),
        ([("one.example", GOOD, {}), ("two.example", b"dmarc=pass; arc=pass", {})], ""),
        # a message signature that is another's, or leaves open who wrote what
        ([("one.example", GOOD, {"message_signature": AMS.replace(b"{domain}", b"evil.example")})], ""),
        ([("one.example", GOOD, {"message_signature": AMS.replace(b"{domain}", b"two.example")})], ""),
    ],
)  # fmt: skip
def test_vouched(sets, reason):
    assert vouched(chained(*sets)) == reason


OTHERS = {"message_signature": AMS.replace(b"{domain}", b"two.example")}


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        # no sealer is trusted, or no chain is there
        ([], ""),
        ([("evil.example", GOOD, {})], ""),
        ([("testing.example", GOOD, {})], ""),
        (
            [("one.example", GOOD, {}), ("evil.example", b"arc=pass", {})],
            "untrusted: set 2, sealed by evil.example, which is not trusted",
        ),
        (
            [("evil.example", GOOD, {}), ("two.example", PASSED_ON, {})],
            "untrusted: set 1, sealed by evil.example, which is not trusted",
        ),
        (
            [("one.example", GOOD, OTHERS)],
            "signature: set 1, sealed by one.example: its message signature is not its own, or does not cover",
        ),
        (
            [("one.example", b"dmarc=pass header..from=x", {})],
            "unreadable: set 1, sealed by one.example: its results cannot be read: it is malformed at '.from=x'",
        ),
        (
            [("one.example", GOOD + b"; " + GOOD, {})],
            "contradiction: set 1, sealed by one.example: its results say dmarc",
        ),
        (
            [("one.example", GOOD + b" x=1 x=2", {})],
            "contradiction: set 1, sealed by one.example: its result of DMARC has several x",
        ),
        (
            [("one.example", GOOD + b"; arc=pass", {})],
            "contradiction: set 1, sealed by one.example, which recorded arc pass",
        ),
        (
            [("one.example", b'dmarc=pass header.from="a b"', {})],
            "author: set 1, sealed by one.example, which recorded header.from a b, not example.com",
        ),
        (
            [("one.example", b"dmarc=pass", {})],
            "author: set 1, sealed by one.example, which recorded dmarc pass without header.from",
        ),
        (
            [("one.example", b"dmarc=fail header.from=example.com", {})],
            "no_pass: set 1, sealed by one.example, which recorded dmarc fail",
        ),
        ([("one.example", b"none", {})], "no_pass: set 1, sealed by one.example, which recorded no result of DMARC"),
    ],
)
def test_why_a_trusted_sealer_is_not_believed(sets, words):
    why = doubt(chained(*sets))
    assert why.startswith(words)
    assert bool(why) is bool(words)


def test_a_sealer_vouches_for_one_clear_author_only():
    assert (
        doubt(by_one(b" i=1; mx; " + GOOD), author=None) == "author: the author of the message is not one clear domain"
    )
    assert doubt(MESSAGE, author=None) == ""


def test_what_is_shown_of_a_record_has_a_limit():
    why = doubt(by_one(b" i=1; mx; dmarc=" + b"x" * 500))
    assert len(why) < 150


@pytest.mark.parametrize(
    ("spf", "mail_from"),
    [
        (b"spf=pass smtp.mailfrom=bounce.example", "bounce.example"),
        (b"spf=pass smtp.mailfrom=ann@bounce.example", "bounce.example"),
        (b"spf=fail smtp.mailfrom=bounce.example", None),
        (b"spf=pass smtp.helo=bounce.example", None),
        (b"spf=pass smtp.mailfrom=", None),
        (b"spf=pass smtp.mailfrom=a.example smtp.mailfrom=b.example", None),
        (b"spf=pass smtp.mailfrom=a.example; spf=pass smtp.mailfrom=a.example", None),
    ],
)
def test_the_reverse_path_that_a_sealer_saw(spf, mail_from):
    chain, found = judge(by_one(b" i=1; mx; " + spf + b"; " + GOOD))
    assert arc.vouched(chain, found, AUTHOR, TRUSTED.__contains__, 0.0) == (BY_ONE, None, mail_from)


@pytest.mark.parametrize(("now", "reason"), [(1500.0, BY_ONE), (2500.0, "")])
def test_a_message_signature_that_has_expired_vouches_for_nothing(now, reason):
    """RFC 6376 section 3.5, x=: it ends how long a message that was sealed once can be sent again."""
    expiring = AMS.replace(b" bh=", b" t=1000; x=2000; bh=")
    message = chained(("one.example", GOOD, {"message_signature": expiring}))
    assert vouched(message, now=now) == reason
    if not reason:
        assert doubt(message, now=now).startswith("expired: set 1")


WHOLE = (b"h=from:to:subject;", (b"from", b"to", b"subject"), None)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (WHOLE, WHOLE, BY_TWO_TOO),
        (WHOLE, (b"h=to:subject;", (b"to", b"subject"), None), ""),
        ((b"h=to:subject;", (b"to", b"subject"), None), WHOLE, ""),
        (WHOLE, (b"h=from:to:subject; l=7;", WHOLE[1], 7), ""),
        ((b"h=from:to:subject; l=5;", WHOLE[1], 5), WHOLE, ""),
    ],
)
def test_a_message_signature_that_leaves_from_or_a_part_of_the_body_open(first, second, reason):
    message = MESSAGE
    for number, domain, found, (tags, covered, length) in (
        (b"1", b"one.example", GOOD, first),
        (b"2", b"two.example", PASSED_ON, second),
    ):
        own = b" i=" + number + b"; a=ed25519-sha256; s=arc; d=" + domain
        status = b"pass" if number == b"2" else b"none"
        names = [b"arc-authentication-results", b"arc-message-signature", b"arc-seal"] * int(number)
        value = own + b"; c=relaxed/relaxed; " + tags + b" bh={bh}; b={b}"
        message = written(message, value, ED, name=b"ARC-Message-Signature", covered=covered, length=length)
        message = b"ARC-Authentication-Results: i=" + number + b"; mx; " + found + b"\r\n" + message
        message = written(message, own + b"; cv=" + status + b"; b={b}", ED, name=b"ARC-Seal", covered=names[:-1])
    assert (check(message).result, vouched(message)) == (Result.PASS, reason)


def test_sets_as_dkimpy_writes_them():
    stamped = b"Authentication-Results: list.example; spf=pass smtp.mailfrom=example.com; " + GOOD + b"\r\n" + MESSAGE
    message = KEY.seal(stamped, "list.example", "list.example")
    assert vouched(message) == "ARC pass, sealed by list.example, which found DMARC pass"
    message = b"Authentication-Results: forward.example; arc=pass; dmarc=fail header.from=example.com\r\n" + message
    message = KEY.seal(message + b"footer\r\n", "forward.example", "forward.example")
    by_list = "ARC pass, sealed by list.example, which found DMARC pass"
    assert vouched(message, trusted={"list.example", "forward.example"}) == (
        f"{by_list}, and by forward.example, which found ARC pass"
    )
    assert vouched(message) == ""


def test_what_a_trusted_sealer_changed_it_answers_for():
    """The older message signature does not hold any more; the newest sealer saw it hold."""
    message = chained(("one.example", GOOD, {})) + b"footer\r\n"
    message = arc_set(message, 2, "two.example", ED, results=b" i=2; mx; " + PASSED_ON)
    assert check(message).oldest_pass == 2
    assert vouched(message) == BY_TWO_TOO
    assert vouched(message, trusted={"one.example"}) == ""


SEALED = chained(("one.example", GOOD, {}))


@pytest.mark.parametrize(
    "replayed",
    [
        SEALED + b"Click here\r\n",
        SEALED.replace(b"alice@example.com", b"ceo@example.com"),
        SEALED.replace(b"alice@example.com", b"ceo@sub.example.com"),
        b"From: ceo@example.com\r\n" + SEALED,
        SEALED.replace(b"Subject: hi", b"Subject: pay"),
        # the record is sealed
        SEALED.replace(b"spf=pass", b"spf=fail").replace(b"mx.one.example", b"mx.two.example"),
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_a_trusted_chain_on_another_message(replayed, again):
    """As it is, or with a set of one's own on top that says all is well."""
    if again:
        replayed = arc_set(replayed, 2, "evil.example", ED, results=b" i=2; mx; arc=pass; " + GOOD)
    assert replayed != SEALED
    for author in ("example.com", "sub.example.com"):
        assert vouched(replayed, Domain(author)) == ""


def test_a_set_of_ones_own_in_a_trusted_name():
    assert vouched(arc_set(MESSAGE, 1, "one.example", ed25519_key("forger"), results=b" i=1; mx; " + GOOD)) == ""


def test_a_chain_that_failed_stays_failed_under_a_trusted_seal():
    message = arc_set(SEALED + b"Click here\r\n", 2, "two.example", ED, status=b"fail", results=b" i=2; mx; arc=fail")
    assert vouched(message) == ""


def test_a_chain_whose_newest_sets_were_taken_off_speaks_of_the_message_before():
    message = chained(("one.example", GOOD, {}), ("evil.example", b"dmarc=fail; arc=pass", {}))
    assert vouched(message) == ""
    assert vouched(message[message.index(SEALED) :]) == BY_ONE


@pytest.mark.parametrize(
    ("sealer", "author", "name"),
    [
        (b"ONE.example", "EXAMPLE.com", b"Example.COM"),
        (b"one.example", "example.com", b"example.com."),
        (b"one.example", "b\u00fccher.example", b"xn--bcher-kva.example"),
        (b"one.example", "xn--bcher-kva.example", "b\u00fccher.example".encode()),
        (b"one.example", "xn--bcher-kva.example", b"XN--BCHER-KVA.example"),
        ("b\u00fccher.example".encode(), "example.com", b"example.com"),
    ],
)
def test_one_name_in_many_spellings(sealer, author, name):
    message = chained((sealer.decode(), b"dmarc=pass header.from=" + name, {}))
    sealer = Domain(sealer.decode())
    assert vouched(message, Domain(author)) == f"ARC pass, sealed by {sealer}, which found DMARC pass"


@pytest.mark.parametrize(
    ("results", "is_vouched"),
    [
        # as the great ones write
        (b" i=1; mx.google.com;\r\n       dkim=pass header.i=@example.com header.s=20230601 header.b=\"AbC+/dE=\";\r\n"
         b"       spf=pass (google.com: domain of a+b=c@example.com designates 192.0.2.1 as permitted sender)"
         b" smtp.mailfrom=\"a+b=c@example.com\";\r\n       dmarc=pass (p=REJECT sp=REJECT dis=NONE)"
         b" header.from=example.com;\r\n       dara=pass header.i=@example.org", True),
        (b" i=1; mx.microsoft.com 1; spf=pass (sender ip is 192.0.2.1) smtp.rcpttodomain=example.org"
         b" smtp.mailfrom=example.com; dmarc=pass (p=reject sp=reject pct=100) action=none header.from=example.com;"
         b" dkim=pass (signature was verified) header.d=example.com; arc=none (0)", True),
        (b"i=1; mx.example.org; iprev=pass policy.iprev=\"2001:db8::1\" (mail.example.com);\r\n"
         b" dkim=pass header.d=example.com header.b=\"a/b\" header.s=sel; arc=none smtp.remote-ip=192.0.2.1;\r\n"
         b" dmarc=pass header.from=example.com policy.dmarc=reject", True),
        (b" i=1; mx; spf=none smtp.mailfrom=; " + GOOD, True),
        (b" i=1; mx; spf=pass smtp.mailfrom=\"a b\"@example.com smtp.helo=[192.0.2.1]; " + GOOD, True),
        ("i=1; mx; spf=pass smtp.mailfrom=jos\u00e9@b\u00fccher.example; ".encode() + GOOD, True),
        (b" (c) i (c) = (c) 1 (c) ; (c) mx (c) 1 (c) ; (c)" + GOOD + b" (c)", True),
        (b" i=1; \"mx\"; " + GOOD, True),
        (b" i=1; mx; DMARC/1=Pass Header.From=\"ex\\ample.com\"", True),
        (b" i=1; mx;" + GOOD + b" ; ", True),
        (b" i=1; mx; " + GOOD + b" (dmarc=fail; dmarc=fail)", True),
        (b" i=1; mx; spf=pass reason=\"; dmarc=fail\"; " + GOOD, True),
        # in quotes and comments nothing is said
        ("i=1; mx; spf=pass smtp.mailfrom=\"\u00e9; dmarc=pass header.from=example.com; x=y\"".encode(), False),
        (b" i=1; mx; spf=pass smtp.mailfrom=\"\\\"; dmarc=pass header.from=example.com; x=y\"", False),
        (b" i=1; mx; spf=pass (; dmarc=pass header.from=example.com)", False),
        (b" i=1; mx; spf=pass (\\); dmarc=pass header.from=example.com)", False),
        (b" i=1; mx; dmarc=fail (header.from=example.com) reason=\"dmarc=pass\" header.from=example.com", False),
        (b" i=1; mx; spf=pass dmarc=pass header.from=example.com", False),
        (b" i=1; mx; dmarc=pass (header.from=example.com)", False),
        # what is said twice
        (b" i=1; mx; " + GOOD + b"; " + GOOD, False),
        (b" i=1; mx; dmarc=fail header.from=example.com; " + GOOD, False),
        (b" i=1; mx; " + GOOD + b"; dmarc=fail", False),
        (b" i=1; mx; " + GOOD + b" header.from=example.com", True),
        (b" i=1; mx; " + GOOD + b" header.from=<a@example.com>", False),
        (b" i=1; mx; " + GOOD + b" reason=a reason=b", False),
        (b" i=1; mx; " + GOOD + b" header.from=evil.example", False),
        (b" i=1; mx; " + GOOD + b" HEADER.FROM=evil.example", False),
        (b" i=1; mx; " + GOOD + b" dmarc=fail", False),
        (b" i=1; mx; " + GOOD + b"; spf=pass dmarc=fail", False),
        (b" i=1; mx; arc=none; arc=none; " + GOOD, False),
        # what is not understood
        (b" i=1; mx; " + GOOD + b"; spf=pass (", False),
        (b" i=1; mx; " + GOOD + b"; spf=pass )", False),
        (b" i=1; mx; " + GOOD + b"; spf=pass reason=\"", False),
        (b" i=1; mx; " + GOOD + b"; spf=pass reason=\"a\"b", False),
        (b" i=1; mx; " + GOOD + b"; spf", False),
        (b" i=1; mx; " + GOOD + b"; dmarc = fail", False),
        (b" i=1; mx; " + GOOD + b"; dmarc/2=fail", False),
        (b" i=1; mx; " + GOOD + b"; dmarc (c)=fail", False),
        (b" i=1; mx; " + GOOD + b"; none", False),
        (b" i=1; mx; " + GOOD + b"; x=\xff", False),
        (b" i=1; mx; dmarc=pass header.from=\xff.example.com", False),
        (b" i=1; mx; arc=none arc=none; " + GOOD, False),
        (b" i=1; mx; arc=pass arc=none; " + GOOD, False),
        (b" i=1; mx; spf=pass arc=none; " + GOOD, False),
        # the author as an address, in brackets, in quotes
        (b" i=1; mx; dmarc=pass header.from=@example.com", True),
        (b" i=1; mx; dmarc=pass header.from=alice@example.com", True),
        (b" i=1; mx; dmarc=pass header.from=<alice@example.com>", True),
        (b" i=1; mx; dmarc=pass header.from=<Alice@EXAMPLE.com> header.from=<alice@example.com>", True),
        (b" i=1; mx; dmarc=pass header.from=<example.com>", True),
        (b" i=1; mx; dmarc=pass header.from=\"<alice@example.com>\"", True),
        (b" i=1; mx; dmarc=pass header.from=\"alice@example.com\"", True),
        (b" i=1; mx; dmarc=pass header.from=\"a b\"@example.com", True),
        (b" i=1; mx; dmarc=pass header.from=\"x@evil.example\"@example.com", True),
        (b" i=1; mx; dmarc=pass header.from=\"\\\"x@evil.example\\\"@example.com\"", True),
        (b" i=1; mx; dmarc=pass header.from = alice (a (b)) @example.com", True),
        (b" i=1; mx; dmarc = pass header . from = example.com", True),
        (b" i=1; mx; dmarc=pass (of (a (b) c) d) header.from=example.com", True),
        (b" i=1; mx; dmarc=pass header.from=\"x@example.com\"@evil.example", False),
        (b" i=1; mx; dmarc=pass header.from=x@example.com@evil.example", False),
        (b" i=1; mx; dmarc=pass header.from=x@evil.example@example.com", False),
        (b" i=1; mx; dmarc=pass header.from=<@evil.example:x@example.com>", False),
        (b" i=1; mx; dmarc=pass header.from=evil.example<x@example.com>", False),
        (b" i=1; mx; dmarc=pass header.from=\"evil <x@example.com>\"", False),
        (b" i=1; mx; dmarc=pass header.from=\"x@evil.example, x@example.com\"", False),
        (b" i=1; mx; dmarc=pass header.from=<x@example.com", False),
        (b" i=1; mx; dmarc=pass header.from=x@example.com>", False),
        (b" i=1; mx; dmarc=pass header.from=<<x@example.com>>", False),
        (b" i=1; mx; dmarc=pass header.from=<>", False),
        (b" i=1; mx; dmarc=pass header.from=example.com(x).evil.example", False),
        (b" i=1; mx; dmarc=pass header.from=evil.example (x)@example.com", True),
        (b" i=1; mx; dmarc=\"pass\" header.from=example.com", False),
        (b" i=1; mx; dmarc=pass header.from= header.from=example.com", False),
        (b" i=1; mx; dmarc= pass=x header.from=example.com", False),
        (b" i=1; mx; dmarc=pass header.from=example.com,evil.example", False),
        (b" i=1; mx 2; " + GOOD, False),
        (b" i=1; " + GOOD, False),
        (b" i=1; ; " + GOOD, False),
        (b" i=1; mx", False),
        (b" i=1; mx;", False),
        (b" i=1;", False),
    ],
)  # fmt: skip
def test_results_of_a_trusted_sealer(results, is_vouched):
    message = by_one(results)
    assert check(message).result is Result.PASS
    assert vouched(message) == (BY_ONE if is_vouched else "")


pieces = st.sampled_from(
    ["dmarc", "arc", "=", "pass", "fail", ";", " ", "header.from", "example.com", "(", ")", '"', "\\", ".", "/1", "1",
     "<", ">", "a@", "evil.example", " = ", "(c)", "header", "from",
     "\r\n ", "\0", "\u00e9", "\ud83d\ude00", "@", ",", "i=1;", "mx", "none", "\x85", "\u2028"]
)  # fmt: skip
octets = st.one_of(
    st.lists(pieces, max_size=25).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
)


def signed(results):
    """A chain of one set that passes, if its seal were good."""
    ((own,), found) = judge_once()
    return arc.Chain((replace(own, results=Field(own.results.name, results)),)), found


@cache
def judge_once():
    chain, found = judge(SEALED)
    return chain.sets, found


@given(results=octets)
def test_any_results_are_read_or_silence(results):
    chain, found = signed(b" i=1; mx; " + results)
    assert arc.vouched(chain, found, AUTHOR, TRUSTED.__contains__, 0.0).because in ("", BY_ONE)


HEADER_FROM = st.lists(
    st.sampled_from(["example.com", "evil.example", "@", "<", ">", "a", '"', " ", "(c)", ",", ":", ".", "="]),
    max_size=9,
).map("".join)


@given(value=HEADER_FROM)
@example(value="a@example.com")
def test_only_the_last_word_is_the_author(value):
    """Where it is believed, an author of example.com stands there, and no other domain but in a local-part."""
    chain, found = signed(b" i=1; mx; dmarc=pass header.from=" + value.encode())
    if arc.vouched(chain, found, AUTHOR, TRUSTED.__contains__, 0.0).because:
        value = re.sub(r'"[^"]*" *(?=@)', "q", value.replace("(c)", " ")).replace('"', "")
        # another property may follow
        value = re.sub(r" +[\w.]+ *=.*", "", value).replace(" ", "")
        assert re.fullmatch(r"<?([^@<>]*@)?example\.com\.?>?", value), value


@given(quoted=st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60))
def test_what_is_quoted_says_nothing(quoted):
    escaped = re.sub(r'(["\\])', r"\\\1", quoted)
    for text in (f'"{escaped}"', f'"{escaped}; {GOOD.decode()}; x=y"'):
        chain, found = signed(b" i=1; mx; spf=pass smtp.mailfrom=" + text.encode())
        assert arc.vouched(chain, found, AUTHOR, TRUSTED.__contains__, 0.0).because == ""
        chain, found = signed(b" i=1; mx; spf=pass smtp.mailfrom=" + text.encode() + b"; " + GOOD)
        assert arc.vouched(chain, found, AUTHOR, TRUSTED.__contains__, 0.0).because == BY_ONE


@given(more=octets)
def test_nothing_makes_up_for_a_failure(more):
    chain, found = signed(b" i=1; mx; dmarc=fail header.from=example.com; " + more)
    assert arc.vouched(chain, found, AUTHOR, TRUSTED.__contains__, 0.0).because == ""


def test_comments_before_an_instance_are_paid_for():
    fields = [Field(b"ARC-Authentication-Results", b"()" * 240 + b"i=%d; mx" % number) for number in range(1, 51)]
    assert arc.chain(Headers(fields[:1]), LIMITS).problem == "a set is incomplete"
    account = Work(Limits(signature_work=1000))
    assert (
        arc.chain(Headers(fields), account=account, limits=LIMITS).problem
        == "limit: more work than signature_work allows"
    )


def test_a_chain_that_costs_too_much_fails():
    """With what is left of the work of a message, all the seals or none."""
    message = MESSAGE
    for number, domain in enumerate(("one", "two", "three"), 1):
        message = arc_set(message, number, f"{domain}.example", ED)
    headers, content = split(message)
    resolve = Deadline(Zone(ZONE, limits=LIMITS), float("inf"), lambda: 0.0)

    def found(most):
        account = Work(Limits(signature_work=most))
        chain = arc.chain(headers, account=account, limits=LIMITS)
        body = Body(arc.body_requests(chain))
        body.update(content)
        return arc.check(chain, HeaderHashes(headers, account), body.finish(), resolve, LIMITS), account.spent

    whole, spent = found(10_000)
    assert whole == arc.Arc(Result.PASS, ("one.example", "two.example", "three.example"), 0)
    assert found(spent)[0] == whole
    seen = set()
    for most in range(spent):
        less, paid = found(most)
        assert paid <= most
        seen.add((less.result, less.oldest_pass, less.reason))
    # the seals and the newest message signature are what counts; how far the older ones hold comes last
    limit = "limit: more work than signature_work allows"
    assert seen == {(Result.FAIL, None, limit), (Result.PASS, 3, ""), (Result.PASS, 2, "")}
