"""SPF against a zone. The sections are RFC 7208's."""

import threading
from collections import Counter
from concurrent.futures import Future
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import spf
from mailassay.limits import Limits
from mailassay.resolver import Answer, Deadline, DnsLimit, DnsTempError, question
from mailassay.result import Resinfo, Result
from mailassay.spf import evaluation, macro, record
from mailassay.spf.prefetching import Prefetching
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

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
    longest.example         TXT  "v=spf1 exists:%{{d}}{".a" * 250}.example -all"
    netmx.example           TXT  "v=spf1 mx/24//64 -all"
    netmx.example           MX   10 mx.example
    dot.example             TXT  "v=spf1 include:in.dot.example. -all"
    in.dot.example          TXT  "v=spf1 exists:%{{d}}.who.example -all"
    in.dot.example.who.example  A  127.0.0.2
    byip.example            TXT  "v=spf1 exists:%{{i}}.who.example -all"
    192.0.2.1.who.example   A    127.0.0.2
    """,
    limits=LIMITS,
)


def resolve(name, rdtype):
    return Deadline(ZONE, float("inf"), lambda: 0.0)(name, rdtype)


MAIL_FROM = [
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
    ("a@longest.example", "192.0.2.1", Result.FAIL),
    ("a@netmx.example", "192.0.2.9", Result.PASS),
    ("a@netmx.example", "192.0.3.9", Result.FAIL),
    ("a@netmx.example", "2001:db8::9", Result.PASS),
    ("a@netmx.example", "2001:db8:0:1::9", Result.FAIL),
    ("a@dot.example", "192.0.2.1", Result.PASS),
    ("müller@byip.example", "192.0.2.1", Result.PASS),
    ("müller@exists.example", "192.0.2.1", Result.FAIL),
    ("a@single", "192.0.2.1", Result.NONE),
    ("a@[192.0.2.1]", "192.0.2.1", Result.NONE),
    ("a@" + "a" * 64 + ".example", "192.0.2.1", Result.NONE),
    ("a@" + ".".join(["abcdefg"] * 40), "192.0.2.1", Result.NONE),
    ("a@no..example", "192.0.2.1", Result.NONE),
    ("nonsense", "192.0.2.1", Result.NONE),
    ('"a@b"@pass.example', "192.0.2.1", Result.PASS),
    ("@pass.example", "192.0.2.1", Result.PASS),
]


@pytest.mark.parametrize(("mail_from", "client", "result"), MAIL_FROM)
def test_mail_from(mail_from, client, result):
    assert spf.check_mail_from(ip_address(client), mail_from, "mx.example", resolve, LIMITS).result is result


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
    found = spf.check_mail_from(ip_address("192.0.2.1"), "", helo, resolve, LIMITS)
    assert (found.result, found.scope) == (result, "helo")


LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])  # 253 octets


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mail.Example", "mail.example"),
        ("mail.example.", "mail.example"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("_x.a-.example", "_x.a-.example"),
        (LONGEST, LONGEST),
        (LONGEST + ".", LONGEST),
        ("a" * 64 + ".example", None),
        ("x." + LONGEST[1:], None),  # 254 octets, in labels that are not too long
        ("mail..example", None),
        ("mail.example..", None),
        ("example", None),
        ("example.", None),
        ("[192.0.2.1]", None),
    ],
)
def test_which_names_are_checked(name, expected):
    """Section 4.3: domain names of at least two labels, as DNS has them."""
    assert spf.checkable(name) == expected


def test_says_what_matched():
    assert (
        spf.check_mail_from(ip_address("192.0.2.1"), "a@pass.example", "", resolve, LIMITS).mechanism
        == "ip4:192.0.2.0/24"
    )


def test_says_what_is_wrong():
    found = spf.check_mail_from(ip_address("192.0.2.1"), "a@syntax.example", "", resolve, LIMITS)
    assert found.reason == "term 2 is neither a mechanism nor a modifier"


def test_an_explanation_is_not_asked_for():
    asked = []

    def listen(name, rdtype):
        asked.append(name)
        return resolve(name, rdtype)

    spf.check_mail_from(ip_address("192.0.2.1"), "a@exp.example", "", listen, LIMITS)
    assert asked == ["exp.example"]


def test_the_header_never_shows_the_local_part():
    resinfo = spf.check_mail_from(ip_address("192.0.2.1"), "alice@pass.example", "", resolve, LIMITS).resinfo()
    assert resinfo.properties == (("smtp", "mailfrom", "pass.example"),)


# what a domain owner may write, word by word; the names lead to one another, to themselves and nowhere
NAMES = ["any.example", "r1.example", "r2.example", "mx.example", "void.example", "broken.example", "r1.example."]
MACROS = st.builds(
    "%{{{}{}{}{}}}".format,
    st.sampled_from("slodiphvSLODIPHV"),
    st.sampled_from(["", "1", "2", "03", "128", "9" * 5000]),
    st.sampled_from(["", "r", "R"]),
    st.text(".-+,/_=", max_size=3),
)
PIECES = st.one_of(MACROS, st.sampled_from(["%%", "%_", "%-"]), st.text("ab.-_/:=+1", max_size=8))
SPECS = st.one_of(
    st.sampled_from(NAMES),
    st.builds("{}.{}".format, st.lists(PIECES, max_size=4).map("".join), st.sampled_from(NAMES)),
    st.builds("{}{}".format, st.lists(PIECES, max_size=4).map("".join), MACROS),
)
NETWORKS = st.one_of(
    st.ip_addresses(v=4).map("ip4:{}".format),
    st.builds("ip4:{}/{}".format, st.ip_addresses(v=4), st.integers(0, 32)),
    st.ip_addresses(v=6).map("ip6:{}".format),
    st.builds("ip6:{}/{}".format, st.ip_addresses(v=6), st.integers(0, 128)),
)
DUAL = st.builds(
    "{}{}".format,
    st.one_of(st.just(""), st.integers(0, 32).map("/{}".format)),
    st.one_of(st.just(""), st.integers(0, 128).map("//{}".format)),
)
MECHANISMS = st.one_of(
    NETWORKS,
    st.sampled_from(["all", "ALL", "a", "mx", "ptr", "A", "Mx"]),
    st.builds("{}{}".format, st.sampled_from(["a", "mx"]), DUAL),
    st.builds("{}:{}{}".format, st.sampled_from(["a", "mx"]), SPECS, DUAL),
    st.builds("{}:{}".format, st.sampled_from(["include", "Include", "exists", "ptr"]), SPECS),
)
DIRECTIVES = st.builds("{}{}".format, st.sampled_from(["", "+", "-", "~", "?"]), MECHANISMS)
UNKNOWN = st.builds(
    "{}={}".format, st.sampled_from(["x", "y.z", "all", "default"]), st.lists(PIECES, max_size=3).map("".join)
)
ONCE = st.builds(
    lambda redirect, exp: [*redirect, *exp],
    st.lists(SPECS.map("redirect={}".format), max_size=1),
    st.lists(SPECS.map("exp={}".format), max_size=1),
)
TERMS = st.builds(
    lambda terms, once: [*terms, *once], st.lists(st.one_of(DIRECTIVES, UNKNOWN), max_size=12), ONCE
).flatmap(st.permutations)
RECORDS = TERMS.map(lambda terms: " ".join(["v=spf1", *terms]))
WORDS = {"pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"}


def zone_of(*records):
    """Three records that may include one another, among hosts, names without anything, and trouble."""

    def resolve(name, rdtype):
        resolve.asked.append((name, rdtype))
        if name.startswith("broken") or len(resolve.asked) == 7:
            raise DnsTempError(f"{name} {rdtype}: SERVFAIL")
        if rdtype == "TXT":
            place = NAMES.index(name) if name in NAMES[:3] else None
            return Answer(()) if place is None else Answer((records[place % len(records)],))
        if rdtype == "MX":
            return Answer(tuple(f"{n} h{n}.{name}" for n in range(10)))
        if rdtype == "PTR":
            return Answer(tuple(f"p{n}.any.example" for n in range(20)))
        return (
            Answer(()) if name.startswith("void") else Answer(("198.51.100.1",) if rdtype == "A" else ("2001:db8::9",))
        )

    resolve.asked = []
    return resolve


@given(terms=TERMS)
def test_whatever_the_grammar_allows_is_read(terms):
    parsed = record.parse(" ".join(["v=spf1", *terms]))
    assert [each.text for each in parsed.directives()] == [term for term in terms if "=" not in term.partition(":")[0]]
    assert parsed.redirect == next((term[9:] for term in terms if term.startswith("redirect=")), "")
    for each in parsed.directives():
        assert each.text.lower().lstrip("+-~?").startswith(each.mechanism)
        assert each.argument in each.text


@given(
    texts=st.lists(RECORDS, min_size=3, max_size=3),
    client=st.ip_addresses(),
    local_part=st.text(max_size=70),
    helo=st.text(max_size=70),
)
def test_no_record_raises_or_asks_without_end(texts, client, local_part, helo):
    resolve = zone_of(*texts)
    found = spf.check_mail_from(client, f"{local_part}@any.example", helo, resolve, LIMITS)
    assert found.result in WORDS
    # the record, ten terms of eleven questions, the names of the client for %{p}
    assert len(resolve.asked) <= 1 + 10 * 11 + 11


@given(text=RECORDS, at=st.integers(0, 200), change=st.text(st.characters(max_codepoint=255), max_size=3))
def test_no_broken_record_raises(text, at, change):
    found = spf.check_mail_from(
        ip_address("192.0.2.1"), "a@any.example", "mx.example", zone_of(text[:at] + change + text[at + 1 :]), LIMITS
    )
    assert found.result in WORDS


@given(text=st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_record_gives_a_result_word(text):
    found = spf.check_mail_from(ip_address("192.0.2.1"), "a@any.example", "", zone_of(f"v=spf1 {text}"), LIMITS)
    assert found.result in WORDS
    assert (found.fault is None) == (found.result is Result.PASS)


@given(spec=SPECS, texts=st.dictionaries(st.sampled_from("slodiphv"), st.text(max_size=300)))
def test_a_name_is_as_long_as_one_can_be_or_has_one_label(spec, texts):
    name = macro.expand(spec, tuple((letter, texts.get(letter, "x.example")) for letter in "slodiphv"))
    assert len(name) <= 253 or "." not in name[-253:]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=spf1 a:broken.example -all", "broken.example A: SERVFAIL"),
        ("v=spf1 a:broken.%{l}.example -all", "no answer"),
        ("v=spf1 a:broken.%{h} -all", "no answer"),
        ("v=spf1 a:broken.spf=pass.example -all", "no answer"),
    ],
)
def test_a_reason_tells_no_name_that_a_macro_made(record, reason):
    found = spf.check_mail_from(
        ip_address("192.0.2.1"), "alice@any.example", "spf=pass.example", zone_of(record), LIMITS
    )
    assert (found.result, found.reason) == (Result.TEMPERROR, reason)


@pytest.mark.parametrize(
    ("spec", "local_part", "asked"),
    [
        (LONGEST, "joe", [LONGEST]),
        ("x" * 64 + ".example", "joe", []),
        ("%{l}", "who..example", []),
        ("%{l}", "who.example..", ["who.example"]),
    ],
)
def test_a_name_that_dns_cannot_have_is_not_asked_for(spec, local_part, asked):
    """It does not exist."""
    resolve = zone_of(f"v=spf1 exists:{spec} -all")
    found = spf.check_mail_from(ip_address("192.0.2.1"), f"{local_part}@any.example", "x", resolve, LIMITS)
    assert [name for name, rdtype in resolve.asked if rdtype == "A"] == asked
    assert found.result is (Result.PASS if asked else Result.FAIL)


@pytest.mark.parametrize(
    ("helo", "name"),
    [
        ("MX.example.", "mx.example"),
        ("localhost.", "localhost"),
        ("localhost", "localhost"),
        ("", "unknown"),
        (".", "unknown"),
    ],
)
def test_the_macro_h_is_the_helo_name_without_its_final_dot(helo, name):
    """Section 7.3."""
    resolve = zone_of("v=spf1 exists:%{h}.who.example -all")
    spf.check_mail_from(ip_address("192.0.2.1"), "joe@any.example", helo, resolve, LIMITS)
    assert resolve.asked[-1] == (f"{name}.who.example", "A")


@pytest.mark.parametrize("record", ["v=spf1 spf=pass%", "v=spf1 ip6:spf", "v=spf1 a:spf/33"])
def test_a_reason_has_no_word_of_the_record(record):
    found = spf.check_mail_from(ip_address("192.0.2.1"), "alice@any.example", "", zone_of(record), LIMITS)
    assert found.result is Result.PERMERROR
    assert "spf" not in found.reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=spf1 ip6:1::2::3 -all", "an ip6 without an IPv6 address"),
        ("v=spf1 redirect=a.example redirect=b.example", "redirect= or exp= more than once"),
    ],
)
def test_a_syntax_error_is_named(record, reason):
    found = spf.check_mail_from(ip_address("192.0.2.1"), "alice@any.example", "", zone_of(record), LIMITS)
    assert (found.result, found.reason, found.fault) == (Result.PERMERROR, reason, spf.Fault.SYNTAX)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("v=spf1 include:NoSPF.example -all", "include:nospf.example has no SPF record"),
        ("v=spf1 redirect=nospf.example", "redirect=nospf.example has no SPF record"),
        ("v=spf1 include:%{l}.example -all", "include of a domain without SPF record"),
        ("v=spf1 include:spf=pass.example -all", "include of a domain without SPF record"),
        (f"v=spf1 include:{LONGEST} -all", f"include:{LONGEST} has no SPF record"),
    ],
)
def test_the_domain_of_an_include_without_record_is_named_if_the_record_spells_it_out(record, reason):
    found = spf.check_mail_from(ip_address("192.0.2.1"), "spf=pass@any.example", "", zone_of(record), LIMITS)
    assert (found.result, found.reason) == (Result.PERMERROR, reason)
    assert found.fault is spf.Fault.INCLUDED_NO_RECORD


@pytest.mark.parametrize(
    ("record", "reason", "fault"),
    [
        ("v=spf1 x", "term 1 is neither a mechanism nor a modifier (other.example)", "syntax"),
        ("v=spf1 -all", "more than one SPF record (other.example)", "several_records"),
        (f"v=spf1 {' ' * 5200}", "a record of more than 5120 octets (other.example)", "record_size"),
    ],
)
@pytest.mark.parametrize("term", ["include:Other.example", "redirect=other.example", "include:%{l}.example"])
def test_the_record_that_is_in_error_is_named_if_the_term_spells_it_out(record, reason, fault, term):
    zone = f'a.example TXT "v=spf1 {term}"\nother.example TXT "{record}"'
    if fault == "several_records":
        zone += '\nother.example TXT "v=spf1 +all"'
    resolve = Deadline(Zone(zone, limits=LIMITS), float("inf"), lambda: 0.0)
    found = spf.check_mail_from(ip_address("192.0.2.1"), "other@a.example", "", resolve, LIMITS)
    expected = reason.partition(" (")[0] if "%" in term else reason
    assert (found.result, found.reason, found.fault) == (Result.PERMERROR, expected, fault)


def test_loops_of_a_hundred_terms_end():
    resolve = zone_of("v=spf1 include:r1.example", "v=spf1 include:r2.example", "v=spf1 redirect=any.example")
    limits = Limits(spf_terms=100)
    resolve.asked = list(range(7))
    found = spf.check_mail_from(ip_address("192.0.2.1"), "a@any.example", "", resolve, limits)
    assert (found.result, found.reason) == (Result.PERMERROR, "more than 100 terms that ask DNS")


@given(mail_from=st.text(max_size=40), helo=st.text(max_size=40))
def test_any_sender_gives_a_result_word(mail_from, helo):
    found = spf.check_mail_from(ip_address("192.0.2.1"), mail_from, helo, resolve, LIMITS)
    assert found.result is not Result.PASS
    assert spf.check_mail_from(ip_address("192.0.2.1"), "", helo, resolve, LIMITS).result is not Result.PASS


class Delayed:
    """Answers come when they are let, in any order."""

    def __init__(self, zone):
        self.zone, self.futures = zone, {}

    def __call__(self, name, rdtype):
        return self.futures.setdefault(question(name, rdtype), Future())

    def waiting(self):
        return {asked for asked, future in self.futures.items() if not future.done()}

    def let(self, *names):
        for asked in [asked for asked in self.waiting() if asked.name in names]:
            answer = self.zone(asked)
            if error := answer.exception():
                self.futures[asked].set_exception(error)
            else:
                self.futures[asked].set_result(answer.result())

    def let_all(self):
        """Everything that is asked, and what is asked because of that; the names and types asked for."""
        while waiting := self.waiting():
            self.let(*(asked.name for asked in waiting))
        return set(self.futures)


def begun(zone, domain):
    """A prefetch of MAIL FROM joe@DOMAIN: its questions, which wait for their answers."""
    delayed = Delayed(Zone(zone, limits=LIMITS) if isinstance(zone, str) else zone)
    spf.prefetch(ip_address("192.0.2.1"), f"joe@{domain}", "mx.example", delayed, LIMITS)
    return delayed


PREFETCHED = Zone(
    """
    deep.example    TXT  "v=spf1 ip4:203.0.113.1 include:a.example a:h.example mx exists:%{l}.x.example ptr -all"
    a.example       TXT  "v=spf1 include:b.example ip4:192.0.2.1 a:never.example -all"
    b.example       TXT  "v=spf1 a:c.example include:nobody.example redirect=d.example"
    deep.example    MX   10 mx1.example
    deep.example    MX   20 mx2.example
    d.example       TXT  "v=spf1 -all a:never.example"
    p.example       TXT  "v=spf1 exists:%{p}.example a:%{i}.example -all"
    many.example    TXT  "v=spf1 a:h1.e a:h2.e a:h3.e a:h4.e a:h5.e a:h6.e a:h7.e a:h8.e a:h9.e a:h10.e a:h11.e -all"
    loop.example    TXT  "v=spf1 include:loop.example include:loop.example -all"
    """,
    limits=LIMITS,
)


def test_what_a_record_asks_for_is_asked_together():
    delayed = begun(PREFETCHED, "deep.example")
    assert delayed.waiting() == {("deep.example", "TXT")}
    delayed.let("deep.example")
    delayed.let("deep.example")
    assert delayed.waiting() == {
        ("a.example", "TXT"),
        ("h.example", "A"),
        ("joe.x.example", "A"),
        ("1.2.0.192.in-addr.arpa", "PTR"),
    }
    delayed.let("a.example", "h.example", "joe.x.example", "1.2.0.192.in-addr.arpa")
    # what stands behind a match is not asked for
    assert delayed.waiting() == {("b.example", "TXT")}
    delayed.let("b.example")
    assert delayed.waiting() == {("c.example", "A"), ("nobody.example", "TXT"), ("d.example", "TXT")}
    delayed.let("c.example", "nobody.example", "d.example")
    assert delayed.waiting() == set()


def test_the_hosts_of_an_mx_wait_until_it_is_known_that_the_mx_counts():
    """Nobody knows how many terms an include has; the hosts of one mx are ten questions."""
    zone = """
        late.example  TXT  "v=spf1 include:inner.example mx -all"
        late.example  MX   10 mx1.example
        late.example  MX   20 mx2.example
        inner.example TXT  "v=spf1 a:elsewhere.example -all"
    """
    delayed = begun(zone, "late.example")
    delayed.let("late.example")
    delayed.let("late.example")
    assert delayed.waiting() == {("inner.example", "TXT")}
    delayed.let("inner.example")
    assert delayed.waiting() == {("elsewhere.example", "A"), ("mx1.example", "A"), ("mx2.example", "A")}


def test_a_name_of_the_client_that_is_not_known_makes_no_other_questions():
    names = "".join(f"1.2.0.192.in-addr.arpa PTR p{number}.client.example\n" for number in range(10))
    terms = " ".join(f"a:%{{p}}.t{number}.p.example" for number in range(9))
    delayed = Delayed(Zone(f'p.example TXT "v=spf1 {terms} -all"\n{names}', limits=LIMITS))
    spf.prefetch(ip_address("192.0.2.1"), "joe@p.example", "mx.example", delayed, LIMITS)
    asked = {each.name for each in delayed.let_all() if ".t" in each.name}
    assert asked == {f"unknown.t{number}.p.example" for number in range(2)}


def test_what_is_known_is_kept_whatever_comes_later(monkeypatch):
    """An answer that makes no difference any more arrives in another thread, perhaps while the result is read."""
    checked = []
    check = evaluation.Evaluation.found
    monkeypatch.setattr(evaluation.Evaluation, "found", lambda each: checked.append(each) or check(each))
    zone = Zone(
        """
        late.example  TXT  "v=spf1 include:inner.example mx -all"
        inner.example TXT  "v=spf1 ip4:192.0.2.1"
    """,
        limits=LIMITS,
    )
    delayed = Delayed(zone)
    found = spf.prefetch(ip_address("192.0.2.1"), "joe@late.example", "mx.example", delayed, LIMITS)
    delayed.let("late.example")
    assert (found(), delayed.waiting()) == (None, {("inner.example", "TXT"), ("late.example", "MX")})
    delayed.let("inner.example")
    known = found()
    assert (known.result, known.mechanism) == ("pass", "include:inner.example")
    times = len(checked)
    delayed.let("late.example")
    assert (len(checked), found()) == (times, known)


def test_the_names_of_the_client_count_each_time_the_check_runs():
    """That the client has no name is a term without an answer, also if it was known before the others were."""
    zone = Zone(
        'ptr.example TXT "v=spf1 ptr include:inner.example +all"\ninner.example TXT "v=spf1 a:no.example -mx"',
        limits=LIMITS,
    )
    delayed = Delayed(zone)
    found = spf.prefetch(ip_address("192.0.2.1"), "joe@ptr.example", "mx.example", delayed, LIMITS)
    for name in ("ptr.example", "1.2.0.192.in-addr.arpa", "inner.example", "no.example", "inner.example"):
        delayed.let(name)
    assert (delayed.waiting(), found().reason) == (set(), "more than 2 terms without an answer")


def test_of_too_many_hosts_none_is_asked_for():
    hosts = "".join(f"mx.example MX {number} h{number}.example\n" for number in range(Limits().spf_mx_hosts + 1))
    delayed = Delayed(Zone(f'mx.example TXT "v=spf1 mx -all"\n{hosts}', limits=LIMITS))
    spf.prefetch(ip_address("192.0.2.1"), "joe@mx.example", "mx.example", delayed, LIMITS)
    assert {(each.name, each.rdtype) for each in delayed.let_all()} == {("mx.example", "TXT"), ("mx.example", "MX")}


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("1", "c"), ("2", "b.c"), ("0002", "b.c"), (12 * "0" + "2", "b.c"), ("10", "a.b.c"), (12 * "9", "a.b.c")],
)
def test_how_many_parts_a_macro_keeps(digits, expected):
    """Section 7.3: DIGIT is the number of parts from the right; if there are fewer, all of them."""
    assert macro.expand(f"%{{d{digits}}}", (("d", "a.b.c"),)) == expected


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("%{s}.x.", "a/b@c", "a/b@c.x"),
        ("%{S}", "a/b@c d~", "a%2Fb%40c%20d~"),
        # octets that are not UTF-8, as Python has them in a str
        ("%{S}", "\udcff", "%ED%B3%BF"),
        (".%{s}", "a", ".a"),
    ],
)
def test_a_macro_letter_in_capitals_is_escaped(spec, text, expected):
    """Section 7.3: as in a URL, all but letters, digits, hyphen, dot, underscore and tilde."""
    assert macro.expand(spec, (("s", text),)) == expected


def test_a_name_that_is_too_long_for_dns_loses_labels_on_the_left():
    """Section 7.3: until it has 253 octets."""
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(longest) == 253
    for labels in ("", "x.", "y.x.", "yy.xx.x."):
        assert macro.expand(f"{labels}{longest}", ()) == longest
    shorter = longest.partition(".")[2]
    for labels in ("x", "y.x", "yy.xx.xx"):
        assert macro.expand(f"{labels}{longest}", ()) == shorter


def seen(zone, client="192.0.2.1", **options):
    """The steps of an evaluation of a.example."""
    ask = Deadline(Zone(zone, limits=LIMITS), float("inf"), lambda: 0.0)
    of_it = evaluation.Client.of(ip_address(client))
    return evaluation.Evaluation(of_it, "joe", "a.example", "mx.example", ask, LIMITS, **options).found().seen


def test_steps_are_kept_only_for_those_who_ask_for_them():
    assert seen('a.example TXT "v=spf1 -all"') is None


def test_a_step_without_an_answer_says_which_question_has_none():
    """Even if a macro made its name, which a reason does not tell."""
    whole = seen('a.example TXT "v=spf1 a:%{l}.example -all"\njoe.example A !', follow=evaluation.Follow.EVERY)
    assert (whole.terms[0].fault, whole.terms[0].problem) == (spf.Fault.NO_ANSWER, "joe.example A: SERVFAIL")


@pytest.mark.parametrize("client", ["192.0.2.1", "2001:db8::1"])
def test_every_branch_has_the_addresses_of_both_families(client):
    zone = 'a.example TXT "v=spf1 a -all"\na.example A 192.0.2.1\na.example AAAA 2001:db8::1'
    (term, _) = seen(zone, client, follow=evaluation.Follow.EVERY).terms
    assert term.answers == {"A": ("192.0.2.1",), "AAAA": ("2001:db8::1",)}


@pytest.mark.parametrize(("client", "other"), [("192.0.2.1", "AAAA"), ("2001:db8::1", "A")])
def test_a_family_without_an_answer_does_not_hide_the_other(client, other):
    zone = f'a.example TXT "v=spf1 a:h.example -all"\nh.example {other} !\nh.example ' + (
        "A 192.0.2.1" if other == "AAAA" else "AAAA 2001:db8::1"
    )
    (term, _) = seen(zone, client, follow=evaluation.Follow.EVERY).terms
    assert (term.fault, term.problem) == (spf.Fault.NO_ANSWER, f"h.example {other}: SERVFAIL")
    assert set(term.answers) == {"A", "AAAA"} - {other}


@pytest.mark.parametrize("zone", [
    'a.example TXT "v=spf1 include:A.example -all"',
    'a.example TXT "v=spf1 redirect=a.example"',
    'a.example TXT "v=spf1 include:B.example -all"\nb.example TXT "v=spf1 include:b.example -all"',
    'a.example TXT "v=spf1 include:b.example -all"\nb.example TXT "v=spf1 redirect=a.EXAMPLE"',
])  # fmt: skip
def test_a_term_that_leads_back_is_not_followed_again(zone):
    """In whatever letter case its record and those before it are named."""
    step, steps = seen(zone, follow=evaluation.Follow.EVERY), []
    while step.terms:
        step = step.terms[0]
        steps.append(step.is_circular)
    assert steps == [False] * zone.count("\n") + [True]


def test_a_redirect_is_shown_with_the_name_that_its_macros_made():
    zone = 'a.example TXT "v=spf1 redirect=%{l}.example"\njoe.example TXT "v=spf1 -all"'
    assert list(evaluation.flat(seen(zone, explain=True))) == [(0, "redirect=joe.example", True), (1, "-all", True)]


def test_terms_are_kept_for_those_who_ask_for_them():
    zone = Zone('a.example TXT "v=spf1 -all"', limits=LIMITS)
    for explain, terms in ((False, ()), (True, (evaluation.Term(0, "-all", True),))):
        delayed = Delayed(zone)
        check = spf.prefetch(ip_address("192.0.2.1"), "joe@a.example", "x", delayed, LIMITS, explain=explain)
        delayed.let_all()
        assert check().terms == terms
        found = spf.check_mail_from(
            ip_address("192.0.2.1"), "joe@a.example", "x", lambda *asked: zone(question(*asked)).result(), LIMITS,
            explain=explain,
        )  # fmt: skip
        assert found.terms == terms
    delayed = Delayed(zone)
    check = spf.prefetch(ip_address("192.0.2.1"), "joe@a.example", "x", delayed, LIMITS)
    delayed.let_all()
    assert check().terms == ()
    assert spf.check_mail_from(ip_address("192.0.2.1"), "joe@pass.example", "x", resolve, LIMITS).terms == ()


@pytest.mark.parametrize("address", ["A 203.0.113.1", "A !", "A ?"])
def test_a_name_whose_address_is_not_known_is_not_the_clients(address):
    """Section 5.5: if the lookup of a name fails, the name is skipped. The client's owner chooses it."""
    zone = Zone(
        f"""
        ptr.example             TXT  "v=spf1 ptr -all"
        1.2.0.192.in-addr.arpa  PTR  mail.ptr.example
        mail.ptr.example        {address}
        """,
        limits=LIMITS,
    )
    found = spf.check_mail_from(
        ip_address("192.0.2.1"), "joe@ptr.example", "x", lambda *asked: zone(question(*asked)).result(), LIMITS
    )
    assert found.result is Result.FAIL


@pytest.mark.parametrize(("address", "result"), [("2001:db8::1", Result.PASS), ("2001:db8::2", Result.FAIL)])
def test_a_name_is_validated_by_the_whole_ipv6_address(address, result):
    """Section 5.5."""
    zone = Zone(
        f"""
        ptr.example                                 TXT  "v=spf1 ptr -all"
        {ip_address("2001:db8::1").reverse_pointer}  PTR  mail.ptr.example
        mail.ptr.example                            AAAA {address}
        """,
        limits=LIMITS,
    )
    found = spf.check_mail_from(
        ip_address("2001:db8::1"), "joe@ptr.example", "x", lambda *asked: zone(question(*asked)).result(), LIMITS
    )
    assert found.result is result


def test_what_follows_a_ptr_is_asked_while_a_name_of_the_client_has_no_answer():
    zone = Zone(
        """
        ptr.example             TXT  "v=spf1 ptr include:more.example -all"
        more.example            TXT  "v=spf1 a:later.example -all"
        1.2.0.192.in-addr.arpa  PTR  mail.ptr.example
        mail.ptr.example        A    192.0.2.1
        """,
        limits=LIMITS,
    )
    delayed = Delayed(zone)
    check = spf.prefetch(ip_address("192.0.2.1"), "joe@ptr.example", "mx.example", delayed, LIMITS)
    delayed.let("ptr.example")
    delayed.let("1.2.0.192.in-addr.arpa")
    assert {asked.name for asked in delayed.waiting()} == {"mail.ptr.example", "more.example"}
    delayed.let("more.example")
    assert {asked.name for asked in delayed.waiting()} == {"mail.ptr.example", "later.example"}
    assert check() is None


def test_an_answer_that_arrives_while_the_check_runs_is_looked_at():
    """It arrives after the check found it missing, and before the check asks to be told."""
    zone = Zone('a.example TXT "v=spf1 a:b.example include:c.example -all"\nb.example A 192.0.2.1', limits=LIMITS)

    class Late(Future):
        def add_done_callback(self, told):
            self.set_result(zone(self.asked).result())
            super().add_done_callback(told)

    def start(name, rdtype):
        future = Late()
        future.asked = question(name, rdtype)
        if rdtype == "A":
            # nobody is told of an address
            future.set_result(zone(future.asked).result())
        return future

    check = spf.prefetch(ip_address("192.0.2.1"), "joe@a.example", "mx.example", start, LIMITS)
    assert (check().result, check().mechanism) == (Result.PASS, "a:b.example")


def test_one_thread_at_a_time_runs_the_check():
    """An answer that arrives in another thread is left to the one that runs it."""
    zone = Zone('a.example TXT "v=spf1 a:b.example a:c.example -all"\nc.example A 192.0.2.1', limits=LIMITS)
    going, futures, within = [], {}, []

    def make(resolve, follow):
        client = evaluation.Client.of(ip_address("192.0.2.1"))
        return evaluation.Evaluation(client, "joe", "a.example", "mx.example", resolve, LIMITS, follow=follow)

    def start(name, rdtype):
        assert not within, "another thread runs the check"
        future = futures[name] = Future()
        if name != "a.example":
            within.append(name)
            thread = threading.Thread(target=going[0].look)
            thread.start()
            thread.join()
            within.clear()
            future.set_result(zone(question(name, rdtype)).result())
        return future

    going.append(Prefetching(make, start, LIMITS))
    going[0].look()
    futures["a.example"].set_result(zone(question("a.example", "TXT")).result())
    assert going[0].found.mechanism == "a:c.example"


@pytest.mark.parametrize(("client", "rdtype"), [("192.0.2.1", "A"), ("2001:db8::1", "AAAA")])
def test_an_address_that_arrives_does_not_run_the_check_again(client, rdtype):
    """It leads to no further question, and a sender may give a thousand of them one by one."""
    delayed = Delayed(Zone('a.example TXT "v=spf1 a:b.example a:c.example -all"', limits=LIMITS))
    runs = []

    class Counted(evaluation.Evaluation):
        def found(self):
            runs.append(delayed.waiting())
            return super().found()

    def make(resolve, follow):
        of_it = evaluation.Client.of(ip_address(client))
        return Counted(of_it, "joe", "a.example", "mx.example", resolve, LIMITS, follow=follow)

    Prefetching(make, delayed, LIMITS).look()
    delayed.let("a.example")
    assert delayed.waiting() == {("b.example", rdtype), ("c.example", rdtype)}
    assert len(runs) == 2
    delayed.let("b.example", "c.example")
    assert len(runs) == 2


def test_a_limit_of_ours_that_is_reached_is_named():
    """It is no failure of DNS, and the result is not temperror."""

    def ask(_, rdtype):
        if rdtype == "A":
            raise DnsLimit("dns_records", "an answer of more than 100 records")
        return Answer(("v=spf1 a -all",))

    found = spf.check_mail_from(ip_address("192.0.2.1"), "joe@a.example", "x", ask, LIMITS)
    assert (found.result, found.fault) == (Result.PERMERROR, spf.Fault.LIMIT)
    assert (found.limit, found.reason) == ("dns_records", "limit: an answer of more than 100 records")
    found = spf.check_mail_from(ip_address("192.0.2.1"), "joe@pass.example", "x", resolve, LIMITS)
    assert (found.result, found.limit) == (Result.PASS, "")


def test_the_clause_of_a_result():
    """RFC 8601 section 2.7.2: spf, with smtp.mailfrom or smtp.helo; without a name, no property."""
    for scope in ("mailfrom", "helo"):
        found = spf.Spf(Result.FAIL, scope, "a.example", reason="why")
        assert found.resinfo() == Resinfo("spf", Result.FAIL, (("smtp", scope, "a.example"),), "why")
    assert spf.Spf(Result.NONE, "helo", "").resinfo() == Resinfo("spf", Result.NONE, (), "")


def test_records_and_macros_are_read_once_in_whatever_pieces_answers_come(monkeypatch):
    """The check runs again whenever one has come: a sender whose answers are late has no longer way for us."""
    addresses = " ".join(["ip4:203.0.113.1"] * 200)
    spec = "%{S}" * 100
    records = "".join(
        f'r{number}.example TXT "v=spf1 {addresses} include:r{number + 1}.example exists:{spec}.{number}.example"\n'
        for number in range(5)
    )
    delayed, read = Delayed(Zone(f'{records}r5.example TXT "v=spf1 -all"', limits=LIMITS)), []
    for module, name in ((evaluation, "parse"), (macro, "_transform")):
        whole = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, of=whole: read.append(of) or of(*args))
    evaluation._counting.cache_clear()
    macro.expand.cache_clear()
    limits = Limits(spf_void_lookups=10)
    check = spf.prefetch(ip_address("192.0.2.1"), "joe@r0.example", "mx.example", delayed, limits)
    while waiting := sorted(delayed.waiting()):
        delayed.let(waiting[0].name)
    assert check().result == "neutral"
    assert sorted(Counter(read).values()) == [6, 500]


HOSTILE = st.sampled_from([f"d{number}.example" for number in range(6)])
HOSTILE_TERMS = st.one_of(
    HOSTILE.map("include:{}".format),
    HOSTILE.map("mx:{}".format),
    HOSTILE.map("a:{}".format),
    HOSTILE.map("exists:%{{l}}.{}".format),
    st.sampled_from(["ptr", "mx", "a", "ip4:192.0.2.1", "ip4:203.0.113.0/24"]),
)


@st.composite
def hostile_zones(draw):
    """Records that ask for as much as they can."""
    lines = ["1.2.0.192.in-addr.arpa PTR d0.example"]
    for number in range(6):
        terms = draw(st.lists(HOSTILE_TERMS, max_size=12))
        redirect = draw(st.one_of(st.just(""), HOSTILE.map(" redirect={}".format), st.just(" -all")))
        lines.append(f'd{number}.example TXT "v=spf1 {" ".join(terms)}{redirect}"')
        lines += [f"d{number}.example MX {host} h{host}.d{number}.example" for host in range(draw(st.integers(0, 11)))]
        lines += [f"h{host}.d{number}.example A 198.51.100.{host}" for host in range(11)]
    return Zone("\n".join(lines), limits=LIMITS)


@given(hostile_zones(), st.randoms(use_true_random=False))
def test_prefetching_and_the_check_ask_together_for_ten_names_more_than_terms_allow(zone, order):
    """In whatever order answers come; so no record uses up the questions of a check."""
    delayed, asked = Delayed(zone), set()

    def resolve(name, rdtype):
        asked.add(question(name, rdtype))
        return Deadline(zone, float("inf"), lambda: 0.0)(name, rdtype)

    spf.prefetch(ip_address("192.0.2.1"), "joe@d0.example", "mail.example", delayed, LIMITS)
    while waiting := sorted(delayed.waiting()):
        delayed.let(order.choice(waiting).name)
    spf.check_mail_from(ip_address("192.0.2.1"), "joe@d0.example", "mail.example", resolve, LIMITS)
    # the record, the names of the client, ten terms with the ten hosts of an mx each, and ten names more
    limits = Limits()
    most = 1 + 1 + limits.ptr_names + limits.spf_terms * (1 + limits.spf_mx_hosts) + limits.spf_terms
    assert len(asked | set(delayed.futures)) <= most < limits.dns_questions


def test_a_redirect_inside_an_include_leaves_open_what_counts_after_it():
    zone = """
        late.example   TXT  "v=spf1 include:inner.example mx -all"
        late.example   MX   10 mx1.example
        inner.example  TXT  "v=spf1 redirect=last.example"
        last.example   TXT  "v=spf1 a:elsewhere.example -all"
    """
    delayed = begun(zone, "late.example")
    delayed.let("late.example")
    delayed.let("inner.example", "late.example")
    assert delayed.waiting() == {("last.example", "TXT")}
    delayed.let("last.example")
    assert delayed.waiting() == {("elsewhere.example", "A"), ("mx1.example", "A")}


def test_the_hosts_of_a_second_mx_do_not_wait_for_those_of_the_first():
    """An address that has not arrived changes no number of terms."""
    zone = """
        two.example  TXT  "v=spf1 mx:one.example mx:other.example -all"
        one.example    MX  10 mx1.example
        other.example  MX  10 mx2.example
    """
    delayed = begun(zone, "two.example")
    delayed.let("two.example")
    delayed.let("one.example", "other.example")
    assert delayed.waiting() == {("mx1.example", "A"), ("mx2.example", "A")}


@pytest.mark.parametrize("inner", ["-all", "redirect=last.example"])
def test_a_match_inside_an_include_is_not_the_term_that_matched(inner):
    """Through a redirect, too."""
    zone = Zone(
        f"""
        out.example    TXT  "v=spf1 include:in.example"
        in.example     TXT  "v=spf1 {inner}"
        last.example   TXT  "v=spf1 -all"
    """,
        limits=LIMITS,
    )
    ask = Deadline(zone, float("inf"), lambda: 0.0)
    found = spf.check_mail_from(ip_address("192.0.2.1"), "joe@out.example", "x", ask, LIMITS)
    assert (found.result, found.mechanism, found.fault) == (Result.NEUTRAL, "", spf.Fault.NO_MATCH)


def test_ten_questions_are_asked_while_it_is_not_known_which_terms_count():
    """However many records arrive one by one."""
    zone = """
        top.example    TXT  "v=spf1 include:inner.example a:h1.e a:h2.e a:h3.e a:h4.e a:h5.e a:h6.e a:h7.e a:h8.e -all"
        inner.example  TXT  "v=spf1 include:last.example a:i1.e a:i2.e a:i3.e a:i4.e a:i5.e a:i6.e a:i7.e a:i8.e -all"
    """
    delayed = begun(zone, "top.example")
    delayed.let("top.example")
    outer = {f"h{number}.e" for number in range(1, 9)}
    assert {asked.name for asked in delayed.waiting()} == {"inner.example", *outer}
    delayed.let("inner.example")
    assert {asked.name for asked in delayed.waiting()} == {"last.example", *outer, "i1.e", "i2.e"}


@pytest.mark.parametrize(
    ("domain", "asked"),
    [
        ("many.example", {"many.example", *(f"h{number}.e" for number in range(1, 11))}),
        ("loop.example", {"loop.example"}),
        ("p.example", {"p.example", "192.0.2.1.example", "1.2.0.192.in-addr.arpa", "unknown.example"}),
        ("b.example", {"b.example", "c.example", "nobody.example", "d.example"}),
        ("localhost", set()),
    ],
)
def test_no_more_is_prefetched_than_the_limits_allow(domain, asked):
    delayed = Delayed(PREFETCHED)
    assert spf.prefetch(ip_address("192.0.2.1"), "", domain, delayed, LIMITS)() is None or not asked
    assert {each.name for each in delayed.let_all()} == asked


@pytest.mark.parametrize(("mail_from", "client"), [each[:2] for each in MAIL_FROM])
def test_a_check_asks_nothing_that_was_not_prefetched(mail_from, client):
    """But for the names of the client, which are iprev's to ask for."""
    delayed, asked = Delayed(ZONE), set()

    def resolve(name, rdtype):
        asked.add(question(name, rdtype))
        return Deadline(ZONE, float("inf"), lambda: 0.0)(name, rdtype)

    spf.prefetch(ip_address(client), mail_from, "mail.example", delayed, LIMITS)
    spf.check_mail_from(ip_address(client), mail_from, "mail.example", resolve, LIMITS)
    names_of_client = {"mail.byptr.example", "broken.example"}
    unasked = asked - delayed.let_all()
    assert {each for each in unasked if each.rdtype != "PTR" and each.name not in names_of_client} == set()


@pytest.mark.parametrize(("mail_from", "client", "result"), MAIL_FROM)
def test_what_needs_no_waiting_is_known_at_once(mail_from, client, result):
    """The very result of the check; a failure of DNS is left for later, when DNS may have an answer."""
    answers = []

    def prefetch(name, rdtype):
        answers.append(ZONE(question(name, rdtype)))
        return answers[-1]

    found = spf.prefetch(ip_address(client), mail_from, "mail.example", prefetch, LIMITS)()
    if any(answer.exception() for answer in answers):
        assert found is None
    else:
        assert found is not None
        resolve = Deadline(ZONE, float("inf"), lambda: 0.0)
        assert found == spf.check_mail_from(ip_address(client), mail_from, "mail.example", resolve, LIMITS)
        assert found.result is result
