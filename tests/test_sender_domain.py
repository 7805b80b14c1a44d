"""Whether the MAIL FROM domain can receive mail, against a zone: RFC 5321 section 5.1, RFC 7505."""

from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import sender_domain
from mailassay.domain import Domain
from mailassay.resolver import NO_DATA, NXDOMAIN, Answer, Deadline, DnsTempError, question
from mailassay.sender_domain import Receives
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

ZONE = """
    mail.example              MX    10 mx.mail.example
    dead.example              MX    10 gone.example
    null.example              MX    0 .
    other-null.example        MX    10 .
    mixed.example             MX    0 .
    mixed.example             MX    10 mx.mail.example
    four.example              A     192.0.2.1
    six.example               AAAA  2001:db8::1
    nothing.example           TXT   "v=spf1 -all"
    below.void.example        TXT   "there"
    mx-broken.example         MX    !
    mx-broken.example         A     192.0.2.1
    a-broken.example          A     !
    a-broken-six.example      A     ?
    a-broken-six.example      AAAA  2001:db8::2
    aaaa-broken.example       AAAA  ?
    aaaa-broken-four.example  AAAA  !
    aaaa-broken-four.example  A     192.0.2.2
    alias.example             CNAME mail.example
    lost.example              CNAME gone.example
    *.wild.example            MX    10 mx.mail.example
    xn--bcher-kva.example     MX    10 mx.mail.example
    local                     MX    10 mx.mail.example
"""
CASES = [
    ("mail.example", "pass", "mail.example", ["MX"]),
    ("MAIL.Example.", "pass", "mail.example", ["MX"]),
    ("bücher.example", "pass", "xn--bcher-kva.example", ["MX"]),
    ("XN--BCHER-KVA.example", "pass", "xn--bcher-kva.example", ["MX"]),
    ("alias.example", "pass", "alias.example", ["MX"]),
    ("any.wild.example", "pass", "any.wild.example", ["MX"]),
    # whether its host has an address is not asked
    ("dead.example", "pass", "dead.example", ["MX"]),
    # RFC 7505 section 3: with any other MX it is no null MX
    ("mixed.example", "pass", "mixed.example", ["MX"]),
    ("null.example", "null_mx", "null.example", ["MX"]),
    ("other-null.example", "null_mx", "other-null.example", ["MX"]),
    ("four.example", "pass", "four.example", ["MX", "A"]),
    ("six.example", "pass", "six.example", ["MX", "A", "AAAA"]),
    ("nothing.example", "no_mail", "nothing.example", ["MX", "A", "AAAA"]),
    ("void.example", "no_mail", "void.example", ["MX", "A", "AAAA"]),
    ("gone.example", "no_mail", "gone.example", ["MX"]),
    ("lost.example", "no_mail", "lost.example", ["MX"]),
    ("192.0.2.1", "no_mail", "192.0.2.1", ["MX"]),
    ("mx-broken.example", "temperror", "mx-broken.example", ["MX"]),
    ("a-broken.example", "temperror", "a-broken.example", ["MX", "A", "AAAA"]),
    ("aaaa-broken.example", "temperror", "aaaa-broken.example", ["MX", "A", "AAAA"]),
    ("a-broken-six.example", "pass", "a-broken-six.example", ["MX", "A", "AAAA"]),
    ("aaaa-broken-four.example", "pass", "aaaa-broken-four.example", ["MX", "A"]),
    # nothing to ask about
    ("", "none", "", []),
    (".", "none", "", []),
    ("local", "none", "", []),
    ("[192.0.2.1]", "none", "", []),
    ("[IPv6:2001:db8::1]", "none", "", []),
    ("two words.example", "none", "", []),
    ("double..example", "none", "", []),
    (f"{'a' * 64}.example", "none", "", []),
    ("a." * 130 + "example", "none", "", []),
    ("\udcff.example", "none", "", []),
]
DOMAINS = [domain for domain, *_ in CASES]


def resolve(name, rdtype):
    return Deadline(Zone(ZONE, limits=LIMITS), float("inf"), lambda: 0.0)(name, rdtype)


@pytest.mark.parametrize(("domain", "result", "name", "asked"), CASES)
def test_check(domain, result, name, asked):
    seen = []

    def listening(name, rdtype):
        seen.append((name, rdtype))
        return resolve(name, rdtype)

    found = sender_domain.check(domain, listening)
    assert (found.result, found.domain) == (result, name)
    assert seen == [(name, rdtype) for rdtype in asked]


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("mail.example", ""),
        ("[192.0.2.1]", "not a domain name"),
        ("null.example", "the domain accepts no mail (null MX)"),
        ("gone.example", "the domain does not exist"),
        ("nothing.example", "the domain has neither MX nor address"),
        ("a-broken.example", "a-broken.example A: SERVFAIL"),
        ("aaaa-broken.example", "aaaa-broken.example AAAA: time-out"),
    ],
)
def test_reason(domain, reason):
    assert sender_domain.check(domain, resolve).reason == reason


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_is_prefetched_is_what_the_check_asks(domain):
    early, asked, futures = [], [], []

    def later(name, rdtype):
        asked_already = (name, rdtype) in early
        if not asked_already:
            early.append((name, rdtype))
            futures.append(Future())
        return futures[early.index((name, rdtype))]

    def listening(name, rdtype):
        asked.append((name, rdtype))
        return resolve(name, rdtype)

    known = sender_domain.prefetch(domain, later)
    assert [rdtype for _, rdtype in early] == ["MX"][: len(early)]
    for each, future in zip(early, futures, strict=False):
        try:
            future.set_result(Zone(ZONE, limits=LIMITS)(question(*each)).result())
        except DnsTempError as error:
            future.set_exception(error)
    found = sender_domain.check(domain, listening)
    assert set(asked) <= set(early)
    assert known == (found if found.result is Receives.NONE else None)
    assert ("MX" in {rdtype for _, rdtype in asked}) == bool(early)


@pytest.mark.parametrize("domain", ["mail.example", "null.example", "gone.example"])
def test_what_the_mx_decides_asks_nothing_more(domain):
    asked = []
    mx = Future()

    def later(name, rdtype):
        asked.append((name, rdtype))
        return mx

    sender_domain.prefetch(domain, later)
    mx.set_result(resolve(domain, "MX"))
    assert set(asked) == {(domain, "MX")}


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_needs_no_waiting_is_known_at_once(domain):
    def prefetch(name, rdtype):
        return Zone(ZONE, limits=LIMITS)(question(name, rdtype))

    found = sender_domain.check(domain, resolve)
    unknown = found.result is Receives.TEMPERROR or domain == "a-broken-six.example"
    assert sender_domain.prefetch(domain, prefetch) == (None if unknown else found)


answers = st.one_of(
    st.sampled_from([NXDOMAIN, NO_DATA, None]),
    st.lists(st.one_of(st.sampled_from(["0 .", "10 mx.example", "192.0.2.1"]), st.text(max_size=20)), max_size=4).map(
        lambda records: Answer(tuple(records))
    ),
)


@given(domain=st.one_of(st.sampled_from(DOMAINS), st.text(max_size=40)), mx=answers, a=answers, aaaa=answers)
def test_any_answers(domain, mx, a, aaaa):
    """The worst is said only of what was answered, and never more than three questions are asked."""
    asked = []

    def hostile(name, rdtype):
        asked.append((name, rdtype))
        answer = {"MX": mx, "A": a, "AAAA": aaaa}[rdtype]
        if answer is None:
            raise DnsTempError("no answer")
        return answer

    found = sender_domain.check(domain, hostile)
    assert asked == [(found.domain, rdtype) for rdtype in ("MX", "A", "AAAA")][: len(asked)]
    match found.result:
        case Receives.NONE:
            assert (asked, found.domain) == ([], "")
        case Receives.PASS:
            assert mx is not None
            assert any(each and each.records for each in (mx, a, aaaa))
        case Receives.NULL_MX:
            assert {record.partition(" ")[2] for record in mx.records} == {"."}
        case Receives.NO_MAIL:
            assert not mx.records
            assert not mx.exists or not (a.records or aaaa.records)
        case Receives.TEMPERROR:
            assert None in (mx, a, aaaa)
    assert not found.domain or found.domain == Domain(found.domain)
