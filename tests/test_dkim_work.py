"""What the signatures of one message may cost: whatever is done is paid before, and never more than the limit."""

from collections import Counter
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailassay import arc, dkim
from mailassay.dkim import key as keys
from mailassay.dkim import work
from mailassay.limits import Limits
from mailassay.message import Field, Headers, split
from mailassay.result import Result
from tests.bench import dearest
from tests.lab.sign import rsa_key


@settings(max_examples=60, deadline=None)
@given(parts=dearest.parts(small=True), most=st.integers(0, 30_000))
def test_no_message_costs_more_than_the_limit(parts, most):
    """Whatever it is made of; what is not paid for is not done, and does not pass."""
    made = dearest.made(parts)
    limits = Limits(signature_work=most)
    headers, content = split(made.message)
    account = dkim.Work(limits)
    done: Counter[str] = Counter()
    verifies, digest = keys.Key.verifies, dkim.HeaderHashes.digest

    def verifying(key, *arguments):
        done["verifications"] += key.work
        return verifies(key, *arguments)

    def hashing(hashes, signature):
        found = digest(hashes, signature)
        done["names"] += work.naming(signature.header_names)
        return found

    with patch.object(keys.Key, "verifies", verifying), patch.object(dkim.HeaderHashes, "digest", hashing):
        signatures = dkim.signatures(headers, limits, account)
        chain = arc.chain(headers, limits, account)
        body = dkim.Body([*(each.body for each in signatures if not each.problem), *arc.body_requests(chain)])
        body.update(content)
        bodies, hashes = body.finish(), dkim.HeaderHashes(headers, account)
        found = [dkim.check(each, hashes, bodies, made.resolve, dearest.NOW, limits) for each in signatures]
        found_arc = arc.check(chain, hashes, bodies, made.resolve, limits)
    assert done.total() <= account.spent <= most
    for each in [*found, found_arc]:
        if each.fault in (dkim.Fault.LIMIT, arc.Fault.LIMIT):
            assert each.result is (Result.FAIL if each is found_arc else Result.PERMERROR)


def test_honest_mail_is_far_from_the_limit():
    """Ten signatures and five sets, the header section that of a mailing list."""
    parts = dearest.Parts(signatures=10, sets=5, bits=2048, fields=40, field=200, names=30)
    made = dearest.made(parts)
    assert made.spent(Limits()) < Limits().signature_work // 3


def test_the_dearest_chain_that_the_rfc_asks_for():
    """Fifty sets by keys of 2048 bits (RFC 8617 section 4.2.1) and ten signatures."""
    made = dearest.made(dearest.Parts(signatures=10, sets=50, bits=2048))
    assert made.spent(Limits()) < Limits().signature_work


def test_what_each_piece_costs_in_units():
    """``signature_work`` counts these units, so a change here changes what that limit means."""
    lists = (b"", b"a" * 49, b"a" * 50, b";", b":", b"::", "ü".encode(), b"a=b; h=c:d:e" + b"f" * 88)
    assert [work.reading(each) for each in lists] == [15, 15, 16, 18, 15, 16, 45, 21]
    assert [work.naming([b"to"] * number) for number in (0, 1, 2, 3)] == [5, 5, 6, 6]
    assert [work.hashing([Field(b"To", b"a" * size)]) for size in (297, 298, 897, 898)] == [7, 8, 9, 10]
    assert [work.hashing([Field(b"", b"")] * number) for number in (0, 1, 2)] == [5, 7, 9]
    sizes = ((1024, 2), (1024, 17), (2048, 17), (4096, 17), (4096, 64), (16_384, 64))
    assert [work.rsa(*each) for each in sizes] == [11, 15, 33, 102, 330, 5130]


def test_costs_of_keys():
    """They grow with what a key's owner chooses; a common key is a few dozen units."""
    assert keys.parse(rsa_key(2048).record).work < 40
    assert work.rsa(8192, 64) > 20 * work.rsa(2048, 17)
    assert work.rsa(16_384, 64) > 3 * work.rsa(8192, 64)


@pytest.mark.parametrize(
    ("less", "more"),
    [(b"a=b", b"a=b" + b"b" * 100), (b"a=b", b"a=b;c=d"), (b"h=a", b"h=a:b:c"), (b"d=u", "d=ü".encode())],
)
def test_what_a_tag_list_costs_grows_with_it(less, more):
    """Its octets, tags, names in h= and what is not ASCII, which IDNA looks at letter by letter."""
    assert 0 < work.reading(b"") <= work.reading(less) < work.reading(more)


def test_what_is_hashed_costs_by_its_fields_and_octets():
    short, long = Field(b"To", b" a@b.example"), Field(b"To", b"a" * 3000)
    assert 0 < work.hashing([]) < work.hashing([short]) < work.hashing([short, short]) < work.hashing([short, long])
    assert work.hashing([Field(b"a" * 3000, b"")]) == work.hashing([Field(b"", b"a" * 3000)]) > work.hashing([short])
    assert 0 < work.naming([]) < work.naming([b"to"] * 10) < work.naming([b"to"] * 20)


def test_a_new_account_has_nothing_spent():
    work.Work(Limits(signature_work=10)).pay(10)


def test_an_account_can_be_spent_to_the_last_unit():
    account = work.Work(Limits(signature_work=10), spent=4)
    account.pay(6)
    with pytest.raises(work.TooMuchWork):
        account.pay(1)
    assert account.spent == 10


def test_a_field_that_is_not_read():
    field = Field(b"DKIM-Signature", b" v=1; d=example.com")
    problem = "limit: more work than signature_work allows"
    expected = dkim.Signature(field, problem, fault=dkim.Fault.LIMIT)
    assert dkim.signatures(Headers([field]), Limits(signature_work=1)) == (expected,)
