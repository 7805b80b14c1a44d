"""ARC chains, sealed by dkimpy, validated here. RFC 8617."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import arc
from mailassay.dkim import Body, HeaderHashes
from mailassay.message import Field, Headers, split
from mailassay.resolver import Budget
from mailassay.result import Result
from mailassay.zone import Zone
from tests.lab.sign import rsa_key

KEY = rsa_key()
ZONE = f"""
    arc._domainkey.list.example     TXT "{KEY.record}"
    arc._domainkey.forward.example  TXT "{KEY.record}"
    arc._domainkey.broken.example   TXT "v=DKIM1; p="
    arc._domainkey.slow.example     TXT ?
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


def check(message):
    headers, content = split(message)
    chain = arc.chain(headers)
    body = Body(arc.body_requests(chain))
    body.update(content)
    return arc.check(chain, HeaderHashes(headers), body.finish(), Budget(Zone(ZONE), float("inf"), lambda: 0.0))


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
        (lambda m: m.replace(b"Subject: hi", b"Subject: no"), "does not fit"),
        (lambda m: m.replace(b"cv=none", b"cv=fail"), "says that the chain failed"),
        (lambda m: m.replace(b"cv=none", b"cv=pass"), "says that the chain failed"),
        (lambda m: m.replace(b"spf=pass", b"spf=fail"), "does not fit"),
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


def test_more_sets_than_allowed():
    fields = [Field(b"ARC-Seal", b" i=%d" % number) for number in range(1, 2000)]
    assert arc.chain(Headers(fields)).problem


def test_what_is_written():
    resinfo = arc.Arc(Result.PASS, (), 0).resinfo(None)
    assert resinfo.properties == (("header", "oldest-pass", "0"),)


text = st.text(st.sampled_from("aisbcvdh=;:12 \t\r\n.50é\0"), max_size=40).map(str.encode)
kinds = st.sampled_from([b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"])


@given(fields=st.lists(st.builds(Field, kinds, text), min_size=1, max_size=6))
def test_anything_is_a_failure(fields):
    headers = Headers(fields)
    chain = arc.chain(headers)
    bodies = Body(arc.body_requests(chain)).finish()
    assert (
        arc.check(chain, HeaderHashes(headers), bodies, Budget(Zone(""), float("inf"), lambda: 0.0)).result
        is Result.FAIL
    )
