"""Who gets the reports of a domain: the addresses of its record, and whether external ones agree."""

import os
import resource
from concurrent.futures import Future
from email.headerregistry import Address
from threading import Timer

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailassay.domain import Domain
from mailassay.feedback.asking import MAX_TOGETHER, MAX_UNDER_WAY
from mailassay.feedback.destinations import MAX_ADDRESSES, MAX_EXAMINED, Ours, Tag, Wanted, Why, destinations, of_each
from mailassay.feedback.mailto import mail_address
from mailassay.limits import Limits
from mailassay.nameservers import Nameservers
from mailassay.resolver import Answer, Cached, Deadline
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS

OURS = Ours("dmarc@report.example", "+")
MOST = Limits(record_octets=100_000, dns_octets=200_000)


class Listening:
    """A zone that notes what it is asked."""

    def __init__(self, *lines, limits=LIMITS):
        self._zone, self.asked = Zone("\n".join(lines), limits=limits), []

    def __call__(self, question):
        self.asked.append(question)
        return self._zone(question)


def found(domain, *lines, tag=Tag.RUA, limits=LIMITS, ours=OURS):
    resolve = Deadline(Zone("\n".join(lines), limits=limits), float("inf"), lambda: 0.0)
    return destinations(Wanted(Domain(domain), tag), resolve, ours, limits)


def at(name, tags):
    return f'_dmarc.{name} TXT "v=DMARC1; {tags}"'


def agrees(domain, host, tags=""):
    return f'{domain}._report._dmarc.{host} TXT "v=DMARC1; {tags}"'


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mailto:a@b.example", "a@b.example"),
        ("MailTo:A.b+c@B.Example", "A.b+c@b.example"),
        ("mailto:a@b.example?subject=x&body=%0Ay", "a@b.example"),
        ("mailto:%61%40b.example", "a@b.example"),
        ("mailto:a%2Bb@c.example", "a+b@c.example"),
        ("mailto:victim.example%21a@c.example", None),
        ("mailto:a%25victim.example@c.example", None),
        ("mailto:a@b%C3%BCcher.example", "a@xn--bcher-kva.example"),
        ("mailto:%22a.b%22@c.example", "a.b@c.example"),
        (f"mailto:{64 * 'a'}@b.example", f"{64 * 'a'}@b.example"),
        ("mailto:0", None),
        ("mailto:", None),
        ("mailto:@b.example", None),
        ("mailto:a@", None),
        ("mailto:a@localhost", None),
        ("mailto:a@[192.0.2.1]", None),
        ("mailto:a@192.0.2.1", None),
        ("mailto:a@_x.example", None),
        ("mailto:a..b@c.example", None),
        ("mailto:a%20b@c.example", None),
        ("mailto:%22a%20b%22@c.example", None),
        ("mailto:a@b.example%2Cc@d.example", None),
        ("mailto:a%0D%0ABcc:x@b.example", None),
        ("mailto:a@b.example%0D%0A", None),
        ("mailto:a@b.example%00", None),
        ("mailto:%FF@b.example", None),
        ("mailto:%C3%BC@b.example", None),
        ("mailto:%3Ca@b.example%3E", None),
        ("mailto://a@b.example", None),
        (f"mailto:{65 * 'a'}@b.example", None),
        (f"mailto:a@{'.'.join(4 * [62 * 'b'])}.example", None),
        (f"mailto:a@{'.'.join(3 * [62 * 'b'])}.{56 * 'c'}.example", None),
        ("https://b.example/a@b.example", None),
        ("a@b.example", None),
        ("", None),
    ],
)
def test_the_address_of_a_uri(uri, expected):
    assert mail_address(uri) == expected


@given(st.text(max_size=40) | st.text('a@.%0DA2C"\\ <>,;:?\r\n\x00ü', max_size=40))
@example("a@b.example\n")
def test_an_address_is_safe_wherever_it_is_written(text):
    for uri in (f"mailto:{text}", f"mailto:{text}@b.example", f"mailto:a@{text}.example", f"mailto:{text}a@b.example"):
        address = mail_address(uri)
        if address is None:
            continue
        local_part, _, host = address.rpartition("@")
        assert address.isascii()
        assert address.isprintable()
        assert 1 <= len(local_part) <= 64
        assert len(address) <= 254
        assert not set(address) & set(' "(),:;<>@[\\]') - {"@"}
        assert address.count("@") == 1
        assert Domain(host) == host
        # the grammar of RFC 5322, read by code of others
        assert Address(addr_spec=address).addr_spec == address
        assert mail_address(f"mailto:{address.replace('%', '%25').replace('?', '%3F').replace('#', '%23')}") == address


def test_the_addresses_in_the_order_of_the_record():
    uris = "mailto:b@bank.example, mailto:a@BANK.example!10m ,mailto:b@bank.example,mailto:c@mail.bank.example"
    expected = ("b@bank.example", "a@bank.example", "c@mail.bank.example")
    assert found("bank.example", at("bank.example", f"p=none; rua={uris}")).addresses == expected


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], Why.NO_RECORD),
        (["bank.example A 192.0.2.1"], Why.NO_RECORD),
        ([at("bank.example", "p=none"), at("bank.example", "p=reject; rua=mailto:a@bank.example")], Why.NO_RECORD),
        ([at("bank.example", "p=none")], Why.NO_TAG),
        ([at("bank.example", "p=none; rua=")], Why.NO_TAG),
        ([at("bank.example", "p=none; rua=mailto:0")], Why.UNUSABLE),
        ([at("bank.example", "p=none; rua=mailto:0,https://bank.example/dmarc")], Why.UNUSABLE),
        ([at("bank.example", "p=none; rua=mailto:a@other.example,mailto:0")], Why.UNAUTHORIZED),
        ([at("bank.example", "p=none; ruf=mailto:a@bank.example")], Why.NO_TAG),
    ],
)
def test_nobody_gets_a_report_and_it_is_said_why(lines, why):
    seen = found("bank.example", *lines)
    assert (seen.addresses, seen.why, seen.undecided) == ((), why, False)


def test_the_record_of_a_parent_does_not_count():
    assert found("a.bank.example", at("bank.example", "p=none; rua=mailto:a@bank.example")).why is Why.NO_RECORD


def test_no_answer_is_only_for_now():
    seen = found("bank.example", "_dmarc.bank.example TXT !")
    assert (seen.why, seen.undecided) == (Why.NO_ANSWER, True)
    assert "SERVFAIL" in seen.text


def test_a_record_that_is_too_large_is_none():
    uris = ",".join(f"mailto:a{number}@bank.example" for number in range(2000))
    seen = found("bank.example", at("bank.example", f"p=none; rua={uris}"))
    assert (seen.why, seen.undecided) == (Why.NO_RECORD, False)


def test_two_thousand_uris_lead_to_five_addresses_and_few_questions():
    uris = ",".join(f"mailto:a@h{number}.example" for number in range(2000))
    source = Listening(at("bank.example", f"p=none; rua={uris}"), '*.h0.example TXT "v=DMARC1"', limits=MOST)
    [(_, seen)] = of_each([Wanted(Domain("bank.example"))], source, OURS, MOST, 60)
    assert seen.addresses == ("a@h0.example",)
    assert {each.why for each in seen.refused} == {Why.UNAUTHORIZED, Why.TOO_MANY}
    assert len(seen.refused) == MAX_EXAMINED
    assert len(source.asked) < 30
    uris = ",".join(f"mailto:a{number}@bank.example" for number in range(2000))
    seen = found("bank.example", at("bank.example", f"p=none; rua={uris}"), limits=MOST)
    assert seen.addresses == tuple(f"a{number}@bank.example" for number in range(MAX_ADDRESSES))


@pytest.mark.parametrize(
    "address", ["dmarc@report.example", "DMARC@Report.Example", "dmarc+token@report.example", "%64marc@report.example"]
)
def test_our_report_address_gets_no_report(address):
    lines = [at("report.example", f"p=none; rua=mailto:{address}")]
    assert found("report.example", *lines).why is Why.OURS
    more = at("report.example", f"p=none; rua=mailto:{address},mailto:other@report.example")
    assert found("report.example", more).addresses == ("other@report.example",)


def test_a_redirection_to_our_report_address_gets_no_report():
    lines = [
        at("bank.example", "p=none; rua=mailto:a@report.example"),
        agrees("bank.example", "report.example", "rua=mailto:dmarc+x@report.example"),
    ]
    seen = found("bank.example", *lines)
    assert (seen.addresses, seen.why) == ((), Why.OURS)


@pytest.mark.parametrize(
    ("consent", "addresses", "why"),
    [
        ([agrees("bank.example", "third.example")], ("a@third.example",), None),
        (["bank.example._report._dmarc.third.example TXT v=DMARC1"], ("a@third.example",), None),
        (['*._report._dmarc.third.example TXT "v=DMARC1;"'], ("a@third.example",), None),
        ([], (), Why.UNAUTHORIZED),
        (['bank.example._report._dmarc.third.example TXT "v=spf1 -all"'], (), Why.UNAUTHORIZED),
        (['bank.example._report._dmarc.third.example TXT "p=none; v=DMARC1"'], (), Why.UNAUTHORIZED),
        (["bank.example._report._dmarc.third.example TXT !"], (), Why.NO_ANSWER),
        (["bank.example._report._dmarc.third.example TXT ?"], (), Why.NO_ANSWER),
        (
            [agrees("bank.example", "third.example"), 'bank.example._report._dmarc.third.example TXT "v=spf1 -all"'],
            ("a@third.example",),
            None,
        ),
        ([agrees("bank.example", "third.example"), agrees("bank.example", "third.example", "x=y")],
         ("a@third.example",), None),
        ([agrees("bank.example", "third.example", "rua=mailto:b@third.example")], ("b@third.example",), None),
        (
            [agrees("bank.example", "third.example", "rua=mailto:b@THIRD.example,mailto:c@third.example!5k,mailto:0")],
            ("b@third.example", "c@third.example"),
            None,
        ),
        ([agrees("bank.example", "third.example", "rua=mailto:a@victim.example")], (), Why.ELSEWHERE),
        ([agrees("bank.example", "third.example", "rua=mailto:a@sub.third.example")], (), Why.ELSEWHERE),
        (
            [agrees("bank.example", "third.example", "rua=mailto:b@third.example,mailto:a@victim.example")],
            (),
            Why.ELSEWHERE,
        ),
        (
            [
                agrees("bank.example", "third.example", "rua=mailto:b@third.example"),
                agrees("bank.example", "third.example", "rua=mailto:a@victim.example"),
            ],
            (),
            Why.ELSEWHERE,
        ),
        ([agrees("bank.example", "third.example", "rua=https://victim.example/")], (), Why.ELSEWHERE),
        ([agrees("bank.example", "third.example", "rua=mailto:0")], (), Why.UNUSABLE),
        ([agrees("bank.example", "third.example", "ruf=mailto:b@third.example")], ("a@third.example",), None),
    ],
)  # fmt: skip
def test_an_external_host_has_to_agree(consent, addresses, why):
    seen = found("bank.example", at("bank.example", "p=none; rua=mailto:a@third.example"), *consent)
    assert (seen.addresses, seen.why, seen.undecided) == (addresses, why, why is Why.NO_ANSWER)


def test_an_address_of_which_dns_says_nothing_leaves_the_others():
    seen = found(
        "bank.example",
        at("bank.example", "p=none; rua=mailto:a@third.example,mailto:b@bank.example"),
        "bank.example._report._dmarc.third.example TXT ?",
    )
    assert (seen.addresses, seen.why, seen.undecided) == (("b@bank.example",), None, True)


def test_a_name_that_gets_too_long_agrees_to_nothing():
    host = ".".join([*3 * [60 * "b"], "example"])
    domain = f"{60 * 'c'}.example"
    seen = found(domain, at(domain, f"p=none; rua=mailto:a@{host}"), f'*.{host} TXT "v=DMARC1"')
    assert seen.why is Why.TOO_LONG


@pytest.mark.parametrize(
    ("domain", "host", "records", "internal"),
    [
        ("bank.example", "mail.bank.example", [], True),
        ("a.bank.example", "b.bank.example", [("bank.example", "p=none")], True),
        # nothing above says that it is one organization
        ("a.bank.example", "b.bank.example", [], False),
        ("bank.example", "mail.bank.example", [("mail.bank.example", "p=none; psd=n")], False),
        ("bank.example", "mail.bank.example", [("mail.bank.example", "p=none")], True),
        ("bank.example", "other.example", [], False),
        ("a.bank.example", "b.bank.example", [("bank.example", "p=none; psd=y")], False),
        ("registry.example", "a.registry.example", [("registry.example", "p=none; psd=y")], False),
        # a registry without psd=y
        ("a.co.uk", "b.co.uk", [("co.uk", "p=none")], False),
        ("co.uk", "b.co.uk", [], False),
    ],
)
def test_where_an_organization_ends_is_found_by_the_tree_walk(domain, host, records, internal):
    lines = [at(name, tags) for name, tags in records if name != domain]
    own = dict(records).get(domain, "p=none")
    seen = found(domain, at(domain, f"{own}; rua=mailto:a@{host}"), *lines)
    assert seen.addresses == ((f"a@{host}",) if internal else ())
    assert seen.why is (None if internal else Why.UNAUTHORIZED)


def test_trouble_on_the_walk_is_only_for_now():
    lines = [at("a.bank.example", "p=none; rua=mailto:a@b.bank.example"), "_dmarc.bank.example TXT !"]
    seen = found("a.bank.example", *lines)
    assert (seen.why, seen.undecided) == (Why.NO_ANSWER, True)
    # the walk cannot matter for another top-level domain
    lines = [at("a.bank.example", "p=none; rua=mailto:a@third.test"), "_dmarc.bank.example TXT !"]
    seen = found("a.bank.example", *lines, agrees("a.bank.example", "third.test"))
    assert (seen.addresses, seen.undecided) == (("a@third.test",), False)


def test_failure_reports_are_asked_for_by_ruf():
    lines = [
        at("bank.example", "p=none; rua=mailto:a@bank.example; ruf=mailto:b@third.example"),
        agrees("bank.example", "third.example", "ruf=mailto:c@third.example; rua=mailto:d@victim.example"),
    ]
    assert found("bank.example", *lines, tag=Tag.RUF).addresses == ("c@third.example",)
    assert found("bank.example", *lines).addresses == ("a@bank.example",)


def test_a_registry_gets_no_failure_reports():
    record = at("bank.example", "p=none; psd=y; rua=mailto:a@bank.example; ruf=mailto:b@bank.example")
    assert found("bank.example", record, tag=Tag.RUF).why is Why.PSD
    assert found("bank.example", record).addresses == ("a@bank.example",)


class Slow:
    """A source that answers nothing before it has been asked about so many domains."""

    def __init__(self, zone, domains):
        self._zone, self._left, self._waiting = zone, domains, []

    def __call__(self, question):
        answer = Future()
        self._waiting.append((question, answer))
        self._left -= question.name.startswith("_dmarc.d")
        if self._left <= 0:
            waiting, self._waiting = self._waiting, []
            Timer(0.0, self._answer, [waiting]).start()
        return answer

    def _answer(self, waiting):
        for question, answer in waiting:
            answer.set_result(self._zone(question).result())


def test_many_domains_are_asked_about_at_once():
    names = [f"d{number}.example" for number in range(MAX_UNDER_WAY)]
    zone = Zone("\n".join(at(name, "p=none; rua=mailto:a@third.test") for name in names[1:]), limits=LIMITS)
    # one at a time, it would wait for ever
    seen = dict(of_each([Wanted(Domain(name)) for name in names], Slow(zone, len(names)), OURS, LIMITS, 60))
    assert len(seen) == len(names)
    assert seen.pop(Wanted(Domain(names[0]))).why is Why.NO_RECORD
    assert {each.why for each in seen.values()} == {Why.UNAUTHORIZED}


def test_more_domains_than_are_asked_about_at_once():
    names = [f"d{number}.example" for number in range(3 * MAX_UNDER_WAY)]
    zone = Zone("\n".join(at(name, f"p=none; rua=mailto:a@{name}") for name in names), limits=LIMITS)
    seen = {wanted.domain: each.addresses for wanted, each in of_each((Wanted(Domain(name)) for name in names), zone,
                                                                    OURS, LIMITS, 60)}  # fmt: skip
    assert seen == {name: (f"a@{name}",) for name in names}


def test_a_name_server_that_is_silent_costs_only_so_much_time():
    def silent(question):
        if question.name.endswith("silent.example"):
            return Future()
        answer = Future()
        answer.set_result(Answer(("v=DMARC1; rua=mailto:a@bank.example",)))
        return answer

    wanted = [Wanted(Domain("silent.example")), Wanted(Domain("bank.example"))]
    seen = dict(of_each(wanted, silent, OURS, LIMITS, 0.05))
    assert (seen[wanted[0]].why, seen[wanted[0]].undecided) == (Why.NO_ANSWER, True)
    assert seen[wanted[1]].addresses == ("a@bank.example",)


def test_many_domains_take_few_descriptors():
    names = [f"d{number}.example" for number in range(MAX_UNDER_WAY)]
    uris = ",".join(f"mailto:a@h{number}.test" for number in range(MAX_ADDRESSES))
    lines = [f'*._report._dmarc.h{number}.test TXT "v=DMARC1"' for number in range(MAX_ADDRESSES)]
    zone = Zone("\n".join([*lines, *(at(name, f"p=none; rua={uris}") for name in names)]), limits=LIMITS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with DnsServer(zone, latency=0.1) as server:
        nameservers = Nameservers([(server.address, server.port)], 20.0, LIMITS)
        open_now = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + MAX_TOGETHER + 50, hard))
        try:
            wanted = [Wanted(Domain(name)) for name in names]
            seen = dict(of_each(wanted, Cached(nameservers, 10_000), OURS, LIMITS, 120))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            nameservers.close()
    assert len(seen) == len(names)
    assert {(len(each.addresses), each.undecided) for each in seen.values()} == {(MAX_ADDRESSES, False)}


@given(
    st.lists(
        st.sampled_from(
            [
                *("mailto:a@bank.example", "mailto:b@third.test", "mailto:%0A@x.test", "mailto:0", "mailto:c@ü.test"),
                *("https://third.test/", "mailto:dmarc@report.example", "v=DMARC1", "rua=", "ruf=", "psd=y"),
                *("%00", "!", ",", ";", " ", "\r\n"),
            ]
        )
        | st.text(max_size=8),
        max_size=12,
    ).map("".join),
    st.text(max_size=40),
    st.sampled_from(Tag),
)
def test_whatever_the_records_say_there_are_few_addresses_and_all_are_safe(tags, consent, tag):
    texts = [each.encode("utf-8", "surrogatepass").decode("latin-1") for each in (tags, consent)]
    answers = {
        "_dmarc.bank.example": f"v=DMARC1; {tag}={texts[0]}",
        "bank.example._report._dmarc.third.test": f"v=DMARC1; {texts[1]}",
    }

    def resolve(name, rdtype):
        assert rdtype == "TXT"
        return Answer((answers[name],)) if name in answers else Answer(exists=False)

    seen = destinations(Wanted(Domain("bank.example"), tag), resolve, OURS, LIMITS)
    assert len(seen.addresses) == len({*seen.addresses}) <= MAX_ADDRESSES
    assert (seen.why is None) == bool(seen.addresses)
    assert not seen.undecided
    for each in seen.addresses:
        assert mail_address(f"mailto:{each.replace('%', '%25').replace('?', '%3F').replace('#', '%23')}") == each
        assert not OURS.has(each)
        assert each.rpartition("@")[2] in ("third.test",) or each.endswith("bank.example")


def test_nothing_to_ask():
    assert not [*of_each([], Zone("", limits=LIMITS), OURS, LIMITS, 1)]
