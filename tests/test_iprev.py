"""FCrDNS against a zone: RFC 8601 section 3."""

from concurrent.futures import Future
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import iprev
from mailassay.address import client
from mailassay.limits import Limits
from mailassay.resolver import Answer, Deadline, question
from mailassay.result import Result
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

MANY = "\n".join(f"9.2.0.192.in-addr.arpa PTR n{number}.example" for number in range(10, 22))
ZONE = f"""
    1.2.0.192.in-addr.arpa  PTR  mx.example
    mx.example              A    192.0.2.1
    mx.example              AAAA 2001:db8::1
    2.2.0.192.in-addr.arpa  PTR  mx.example
    3.2.0.192.in-addr.arpa  PTR  gone.example
    4.2.0.192.in-addr.arpa  PTR  !
    5.2.0.192.in-addr.arpa  PTR  broken.example
    broken.example          A    ?
    6.2.0.192.in-addr.arpa  PTR  broken.example
    6.2.0.192.in-addr.arpa  PTR  six.example
    six.example             A    192.0.2.6
    7.2.0.192.in-addr.arpa  PTR  six-only.example
    six-only.example        AAAA 2001:db8::7
    8.2.0.192.in-addr.arpa  PTR  bad..name
    {MANY}
    n19.example             A    192.0.2.9
    10.2.0.192.in-addr.arpa PTR  x.example
    11.2.0.192.in-addr.arpa PTR  bücher.example
    xn--bcher-kva.example   A    192.0.2.11
    {ip_address("2001:db8::1").reverse_pointer} PTR mx.example
    {ip_address("2001:db8::2").reverse_pointer} PTR mx.example
    {ip_address("fe80::1").reverse_pointer} PTR link.example
    link.example            AAAA fe80::1
"""


def resolve(name, rdtype):
    return Deadline(Zone(ZONE, limits=LIMITS), float("inf"), lambda: 0.0)(name, rdtype)


@pytest.mark.parametrize(
    ("address", "result", "name"),
    [
        ("192.0.2.1", Result.PASS, "mx.example"),
        ("192.0.2.2", Result.FAIL, "mx.example"),
        ("192.0.2.3", Result.FAIL, "gone.example"),
        ("192.0.2.4", Result.TEMPERROR, ""),
        ("192.0.2.5", Result.TEMPERROR, "broken.example"),
        ("192.0.2.6", Result.PASS, "six.example"),
        ("192.0.2.7", Result.FAIL, "six-only.example"),
        ("192.0.2.8", Result.FAIL, "bad..name"),
        ("192.0.2.9", Result.PASS, "n19.example"),
        # octets that are no ASCII are not that A-label
        ("192.0.2.11", Result.FAIL, "bücher.example"),
        ("192.0.2.77", Result.PERMERROR, ""),
        ("2001:db8::1", Result.PASS, "mx.example"),
        ("2001:db8::2", Result.FAIL, "mx.example"),
        ("fe80::1%eth0", Result.PASS, "link.example"),
        ("::ffff:192.0.2.1", Result.PASS, "mx.example"),
    ],
)
def test_check(address, result, name):
    found = iprev.check(client(address), resolve, LIMITS)
    assert (found.result, found.name) == (result, name)


def test_names_beyond_the_limit_are_not_looked_at():
    zone = MANY.replace("9.2.0", "10.2.0") + "\nn20.example A 192.0.2.10"
    found = iprev.check(
        ip_address("192.0.2.10"), Deadline(Zone(zone, limits=LIMITS), float("inf"), lambda: 0.0), LIMITS
    )
    assert found.result is Result.FAIL


def test_names_that_are_none_count_against_the_limit():
    names = "\n".join(f"1.2.0.192.in-addr.arpa PTR bad..n{number}" for number in range(Limits().ptr_names))
    zone = names + "\n1.2.0.192.in-addr.arpa PTR mx.example\nmx.example A 192.0.2.1"
    found = iprev.check(ip_address("192.0.2.1"), Deadline(Zone(zone, limits=LIMITS), float("inf"), lambda: 0.0), LIMITS)
    assert (found.result, found.name) == (Result.FAIL, "bad..n0")


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("192.0.2.1", [("1.2.0.192.in-addr.arpa", "PTR"), ("mx.example", "A")]),
        ("::ffff:192.0.2.1", [("1.2.0.192.in-addr.arpa", "PTR"), ("mx.example", "A")]),
        ("2001:db8::1", [(ip_address("2001:db8::1").reverse_pointer, "PTR"), ("mx.example", "AAAA")]),
        ("192.0.2.77", [("77.2.0.192.in-addr.arpa", "PTR")]),
        ("192.0.2.4", [("4.2.0.192.in-addr.arpa", "PTR")]),
    ],
)
def test_what_is_asked(address, asked):
    seen = []

    def listening(name, rdtype):
        seen.append((name, rdtype))
        return resolve(name, rdtype)

    iprev.check(client(address), listening, LIMITS)
    assert seen == asked


@pytest.mark.parametrize(("address", "reason"), [("192.0.2.4", True), ("192.0.2.5", True), ("192.0.2.2", False)])
def test_the_reason_of_a_temporary_error_is_written(address, reason):
    assert bool(iprev.check(client(address), resolve, LIMITS).resinfo().reason) == reason


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_what_is_written(address):
    resinfo = iprev.check(client(address), resolve, LIMITS).resinfo()
    assert (resinfo.properties, resinfo.comment) == ((("policy", "iprev", address),), "mx.example")


def test_a_name_that_is_not_confirmed_is_not_written():
    assert iprev.check(ip_address("192.0.2.2"), resolve, LIMITS).resinfo().comment == ""


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "203.0.113.9"])
def test_what_is_prefetched_is_what_the_check_asks(address):
    early, asked, futures = [], [], []

    def later(name, rdtype):
        early.append((name, rdtype))
        futures.append(Future())
        return futures[-1]

    def listening(name, rdtype):
        asked.append((name, rdtype))
        return resolve(name, rdtype)

    assert iprev.prefetch(client(address), later, LIMITS) is None
    for each, future in zip(early, futures, strict=False):
        future.set_result(Zone(ZONE, limits=LIMITS)(question(*each)).result())
    iprev.check(client(address), listening, LIMITS)
    assert set(asked) <= set(early)


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "203.0.113.9"])
def test_what_needs_no_waiting_is_known_at_once(address):
    def prefetch(name, rdtype):
        return Zone(ZONE, limits=LIMITS)(question(name, rdtype))

    assert iprev.prefetch(client(address), prefetch, LIMITS) == iprev.check(client(address), resolve, LIMITS)


@given(names=st.lists(st.text(st.characters(max_codepoint=255), max_size=40), max_size=14), address=st.ip_addresses())
def test_any_names_cost_at_most_one_question_each(names, address):
    asked = []

    def hostile(name, rdtype):
        asked.append(name)
        return Answer(tuple(names) if rdtype == "PTR" else ("203.0.113.200",) if rdtype == "A" else ("2001:db8::200",))

    found = iprev.check(address, hostile, LIMITS)
    assert found.result is not Result.PASS or str(found.client_ip) in ("203.0.113.200", "2001:db8::200")
    assert len(asked) <= 1 + Limits().ptr_names
