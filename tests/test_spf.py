"""SPF against a zone. The sections are RFC 7208's."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import spf
from mailassay.resolver import Budget
from mailassay.result import Result
from mailassay.zone import Zone

TEN = " ".join(f"a:void{n}.example" for n in range(2))
ZONE = Zone(
    f"""
    pass.example            TXT  "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"
    two.pass.example        TXT  "v=spf1 " "a:mx.example " "-all"
    soft.example            TXT  "v=spf1 ~all"
    neutral.example         TXT  "v=spf1 ip4:198.51.100.1"
    none.example            TXT  "something else"
    like.example            TXT  "v=spf10 -all"
    twice.example           TXT  "v=spf1 -all"
    twice.example           TXT  "v=spf1 +all"
    syntax.example          TXT  "v=spf1 ip4:192.0.2.1 nonsense -all"
    late.example            TXT  "v=spf1 +all ip4:999.1.1.1"
    servfail.example        TXT  !
    slow.example            TXT  ?
    mx.example              A    192.0.2.1
    mx.example              AAAA 2001:db8::1
    bymx.example            TXT  "v=spf1 mx -all"
    bymx.example            MX   10 mx.example
    nullmx.example          TXT  "v=spf1 mx -all"
    nullmx.example          MX   0 .
    inc.example             TXT  "v=spf1 include:pass.example -all"
    incnone.example         TXT  "v=spf1 include:none.example -all"
    inctemp.example         TXT  "v=spf1 include:servfail.example -all"
    redirect.example        TXT  "v=spf1 redirect=pass.example"
    loop.example            TXT  "v=spf1 include:loop2.example -all"
    loop2.example           TXT  "v=spf1 include:loop.example -all"
    void.example            TXT  "v=spf1 {TEN} a:void9.example -all"
    void2.example           TXT  "v=spf1 {TEN} -all"
    exp.example             TXT  "v=spf1 -all exp=explain.example"
    explain.example         TXT  !
    byptr.example           TXT  "v=spf1 ptr -all"
    ptrfail.example         TXT  "v=spf1 ptr ip4:203.0.113.1 -all"
    1.2.0.192.in-addr.arpa  PTR  mail.byptr.example
    1.2.0.192.in-addr.arpa  PTR  broken.example
    1.113.0.203.in-addr.arpa PTR !
    mail.byptr.example      A    192.0.2.1
    broken.example          A    !
    exists.example          TXT  "v=spf1 exists:%{{l}}.%{{ir}}.who.example -all"
    alice.1.2.0.192.who.example A 127.0.0.2
    wild.example            TXT  "v=spf1 exists:%{{s}}{"x" * 240}.example -all"
    big.example             TXT  "v=spf1 a:%{{d{"9" * 5000}}}.example -all"
    xn--bcher-kva.example   TXT  "v=spf1 ip4:192.0.2.1 -all"
    dots.example            TXT  "v=spf1 exists:%{{d}}{".a" * 20_000}.example -all"
    huge.example            TXT  "v=spf1 {"ip4:192.0.2.1 " * 2_000}-all"
    """
)


def resolve(name, rdtype):
    return Budget(ZONE, float("inf"), lambda: 0.0)(name, rdtype)


@pytest.mark.parametrize(
    ("mail_from", "client", "result"),
    [
        ("a@pass.example", "192.0.2.1", Result.PASS),
        ("a@pass.example", "203.0.113.9", Result.FAIL),
        ("a@pass.example", "2001:db8::5", Result.PASS),
        ("a@PASS.example.", "192.0.2.1", Result.PASS),
        ("a@two.pass.example", "192.0.2.1", Result.PASS),
        ("a@two.pass.example", "2001:db8::1", Result.PASS),
        ("a@soft.example", "192.0.2.1", Result.SOFTFAIL),
        ("a@neutral.example", "192.0.2.1", Result.NEUTRAL),
        ("a@none.example", "192.0.2.1", Result.NONE),
        ("a@nowhere.example", "192.0.2.1", Result.NONE),
        ("a@like.example", "192.0.2.1", Result.NONE),
        ("a@twice.example", "192.0.2.1", Result.PERMERROR),
        ("a@syntax.example", "192.0.2.1", Result.PERMERROR),
        ("a@late.example", "192.0.2.1", Result.PERMERROR),
        ("a@servfail.example", "192.0.2.1", Result.TEMPERROR),
        ("a@slow.example", "192.0.2.1", Result.TEMPERROR),
        ("a@bymx.example", "192.0.2.1", Result.PASS),
        ("a@bymx.example", "192.0.2.2", Result.FAIL),
        ("a@nullmx.example", "192.0.2.1", Result.FAIL),
        ("a@inc.example", "192.0.2.1", Result.PASS),
        ("a@inc.example", "203.0.113.9", Result.FAIL),
        ("a@incnone.example", "192.0.2.1", Result.PERMERROR),
        ("a@inctemp.example", "192.0.2.1", Result.TEMPERROR),
        ("a@redirect.example", "192.0.2.1", Result.PASS),
        ("a@loop.example", "192.0.2.1", Result.PERMERROR),
        ("a@void.example", "192.0.2.1", Result.PERMERROR),
        ("a@void2.example", "192.0.2.1", Result.FAIL),
        ("a@exp.example", "192.0.2.1", Result.FAIL),
        ("a@byptr.example", "192.0.2.1", Result.PASS),
        ("a@ptrfail.example", "203.0.113.1", Result.PASS),
        ("alice@exists.example", "192.0.2.1", Result.PASS),
        ("bob@exists.example", "192.0.2.1", Result.FAIL),
        ("a@wild.example", "192.0.2.1", Result.FAIL),
        ("a@big.example", "192.0.2.1", Result.PERMERROR),
        ("a@bücher.example", "192.0.2.1", Result.PASS),
        ("a@dots.example", "192.0.2.1", Result.PERMERROR),
        ("a@huge.example", "192.0.2.1", Result.PERMERROR),
        ("a@single", "192.0.2.1", Result.NONE),
        ("a@[192.0.2.1]", "192.0.2.1", Result.NONE),
        ("a@" + "a" * 64 + ".example", "192.0.2.1", Result.NONE),
        ("a@" + ".".join(["abcdefg"] * 40), "192.0.2.1", Result.NONE),
        ("a@no..example", "192.0.2.1", Result.NONE),
        ("nonsense", "192.0.2.1", Result.NONE),
        ('"a@b"@pass.example', "192.0.2.1", Result.PASS),
        ("@pass.example", "192.0.2.1", Result.PASS),
    ],
)
def test_mail_from(mail_from, client, result):
    assert spf.check_mail_from(ip_address(client), mail_from, "mx.example", resolve).result is result


@pytest.mark.parametrize(
    ("helo", "result"),
    [
        ("pass.example", Result.PASS),
        ("nowhere.example", Result.NONE),
        ("[192.0.2.1]", Result.NONE),
        ("localhost", Result.NONE),
        ("", Result.NONE),
        ("\udc80\udcff garbage", Result.NONE),
        ("a b\tc.example", Result.NONE),
    ],
)
def test_helo(helo, result):
    found = spf.check_helo(ip_address("192.0.2.1"), helo, resolve)
    assert (found.result, found.scope) == (result, "helo")


def test_says_what_matched():
    assert spf.check_mail_from(ip_address("192.0.2.1"), "a@pass.example", "", resolve).mechanism == "ip4:192.0.2.0/24"


def test_says_what_is_wrong():
    found = spf.check_mail_from(ip_address("192.0.2.1"), "a@syntax.example", "", resolve)
    assert found.reason == "term 2 is no mechanism and no modifier"


def test_an_explanation_is_not_asked_for():
    asked = []

    def listen(name, rdtype):
        asked.append(name)
        return resolve(name, rdtype)

    spf.check_mail_from(ip_address("192.0.2.1"), "a@exp.example", "", listen)
    assert asked == ["exp.example"]


def test_the_header_never_shows_the_local_part():
    resinfo = spf.check_mail_from(ip_address("192.0.2.1"), "alice@pass.example", "", resolve).resinfo()
    assert resinfo.properties == (("smtp", "mailfrom", "pass.example"),)


@given(record=st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_record_gives_a_result_word(record):
    zone = Budget(Zone(""), float("inf"), lambda: 0.0)

    def fixed(name, rdtype):
        answer = zone(name, rdtype)
        return type(answer)((f"v=spf1 {record}",)) if rdtype == "TXT" else answer

    found = spf.check_mail_from(ip_address("192.0.2.1"), "a@any.example", "mx.example", fixed)
    assert found.result in {"pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"}


@given(mail_from=st.text(max_size=40), helo=st.text(max_size=40))
def test_any_sender_gives_a_result_word(mail_from, helo):
    found = spf.check_mail_from(ip_address("192.0.2.1"), mail_from, helo, resolve)
    assert found.result is not Result.PASS
