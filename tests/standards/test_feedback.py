"""RFC 9990 and RFC 9991: who gets reports, and whether a report of ours passes DMARC."""

from ipaddress import ip_address

import pytest

from mailassay.domain import Domain
from mailassay.feedback.destinations import MAX_ADDRESSES, Ours, Tag, Wanted, Why, destinations
from mailassay.feedback.ourselves import Sending, alignment
from mailassay.limits import Limits
from mailassay.resolver import Deadline
from mailassay.zone import Zone
from tests.lab.limits import LIMITS

OURS = Ours("dmarc@report.example", "+")


def resolver(*lines, limits=LIMITS):
    return Deadline(Zone("\n".join(lines), limits=limits), float("inf"), lambda: 0.0)


def at(name, tags):
    return f'_dmarc.{name} TXT "v=DMARC1; {tags}"'


def asked(rua, *lines, domain="blue.example.com", tag=Tag.RUA, limits=LIMITS):
    """Where the reports of a domain go that asks for them at these URIs."""
    record = at(domain, f"p=none; {tag}={rua}")
    return destinations(Wanted(Domain(domain), tag), resolver(record, *lines, limits=limits), OURS, limits)


def agrees(text="v=DMARC1", *, host="red.example.net", domain="blue.example.com"):
    return f'{domain}._report._dmarc.{host} TXT "{text}"'


def test_rfc9990_3_4_rua_says_where_reports_go():
    """The record at the DMARC Policy Domain is read again when the report is made. Without rua, nobody gets one."""
    assert asked("mailto:a@blue.example.com").addresses == ("a@blue.example.com",)
    seen = destinations(Wanted(Domain("blue.example.com")), resolver(at("blue.example.com", "p=none")), OURS, LIMITS)
    assert (seen.addresses, seen.why) == ((), Why.NO_TAG)


def test_rfc9990_3_5_uris_are_evaluated_in_order():
    """The addresses are those of the URIs in the order of the record, each once."""
    uris = ",".join(f"mailto:{name}@blue.example.com" for name in "bacb")
    assert asked(uris).addresses == tuple(f"{name}@blue.example.com" for name in "bac")


@pytest.mark.parametrize(
    "uri", ["mailto:0", "mailto:a%0D%0Ab@blue.example.com", "mailto://a@blue.example.com", "a@blue.example.com", "!10m"]
)
def test_rfc9990_3_5_a_malformed_uri_is_ignored(uri):
    """A URI without one address that SMTP and a header field can have is passed over, and the others are used."""
    seen = asked(f"mailto:b@blue.example.com,{uri},mailto:c@blue.example.com")
    assert seen.addresses == ("b@blue.example.com", "c@blue.example.com")


def test_rfc9990_3_5_every_uri_up_to_a_limit_gets_a_report():
    """At most five addresses of a record get one."""
    many = Limits(record_octets=10_000)
    uris = [f"a{number}@blue.example.com" for number in range(MAX_ADDRESSES + 1)]
    seen = asked(",".join(f"mailto:{each}" for each in uris), limits=many)
    assert (MAX_ADDRESSES, seen.addresses) == (5, tuple(uris[:MAX_ADDRESSES]))


def test_rfc9990_3_5_3_other_schemes_are_passed_over():
    """Only mailto: is supported."""
    seen = asked("https://blue.example.com/a,mailto:a@blue.example.com,ftp://blue.example.com/")
    assert seen.addresses == ("a@blue.example.com",)


@pytest.mark.parametrize(
    ("records", "passes"),
    [
        (['report.example TXT "v=spf1 ip4:192.0.2.1 -all"', at("report.example", "p=reject")], True),
        (['report.example TXT "v=spf1 ip4:192.0.2.9 -all"', at("report.example", "p=reject")], False),
        (['report.example TXT "v=spf1 ip4:192.0.2.1 -all"'], False),
        (["report.example TXT !", at("report.example", "p=reject")], False),
    ],
)
def test_rfc9990_3_5_2_reports_pass_dmarc_aligned(records, passes):
    """No report is sent unless our own checks say that it passes: there is a DMARC record of its From domain, and SPF
    of the return path, which is in the same domain, passes for each address from which mail leaves."""
    sending = Sending("dmarc@report.example", (ip_address("192.0.2.1"),))
    assert alignment(sending, resolver(*records), LIMITS).passes is passes


@pytest.mark.parametrize(
    ("host", "above", "external"),
    [
        ("red.example.com", "p=none", False),
        ("red.example.com", "p=none; psd=y", True),
        ("red.example.net", "p=none", True),
    ],
)
def test_rfc9990_4_destinations_of_another_organization_are_verified(host, above, external):
    """Whether the organizational domains are the same is found by the tree walk, for the domain at which the record was
    found and for the host."""
    seen = asked(f"mailto:a@{host}", at("example.com", above))
    assert seen.why is (Why.UNAUTHORIZED if external else None)


def test_rfc9990_4_a_public_suffix_separates_organizations():
    """A registry whose record has no psd=y does not make its registrants one organization (RFC 9989 section 11.8)."""
    assert asked("mailto:a@red.co.uk", at("co.uk", "p=none"), domain="blue.co.uk").why is Why.UNAUTHORIZED


def test_rfc9990_4_step_1_the_host_is_that_of_the_address():
    """The host is the domain of the address, percent-decoded and in A-labels."""
    seen = asked("mailto:a@b%C3%BCcher.example", agrees(host="xn--bcher-kva.example"))
    assert seen.addresses == ("a@xn--bcher-kva.example",)


def test_rfc9990_4_step_3_the_name_begins_with_the_policy_domain():
    """The domain at which the record was found comes first, not its organizational domain."""
    assert asked("mailto:a@red.example.net", agrees()).addresses == ("a@red.example.net",)
    assert asked("mailto:a@red.example.net", agrees(domain="example.com")).why is Why.UNAUTHORIZED


def test_rfc9990_4_step_4_a_name_that_is_too_long_is_not_asked_for():
    """A host at which DNS can have no such name gets no report."""
    host = ".".join([*3 * [60 * "b"], "example"])
    domain = f"{60 * 'c'}.example"
    assert asked(f"mailto:a@{host}", f'*.{host} TXT "v=DMARC1"', domain=domain).why is Why.TOO_LONG


@pytest.mark.parametrize("trouble", ["!", "?"])
def test_rfc9990_4_step_5_a_temporary_error_is_not_final(trouble):
    """Without an answer the address gets no report now, and the question is asked again in the next run."""
    seen = asked("mailto:a@red.example.net", f"blue.example.com._report._dmarc.red.example.net TXT {trouble}")
    assert (seen.addresses, seen.why, seen.undecided) == ((), Why.NO_ANSWER, True)


@pytest.mark.parametrize(
    ("text", "counts"),
    [("v=DMARC1", True), ("v=DMARC1;", True), ("v=DMARC1; x=y", True), ("x=y; v=DMARC1", False), ("v=DMARC2", False)],
)
def test_rfc9990_4_step_6_the_version_comes_first(text, counts):
    """A record that does not begin with v=DMARC1 is discarded."""
    assert asked("mailto:a@red.example.net", agrees(text)).why is (None if counts else Why.UNAUTHORIZED)


def test_rfc9990_4_step_7_no_record_is_no_consent():
    """A host without such a record gets no report."""
    assert asked("mailto:a@red.example.net").why is Why.UNAUTHORIZED


def test_rfc9990_4_step_8_one_record_of_several_is_enough():
    """The host agrees if at least one record remains."""
    seen = asked("mailto:a@red.example.net", agrees("other"), agrees(), agrees("v=DMARC1; x=y"))
    assert seen.addresses == ("a@red.example.net",)


def test_rfc9990_4_step_9_rua_of_the_host_replaces_the_address():
    """The addresses of rua in the record of the host take the place of the one that was asked for."""
    text = "v=DMARC1; rua=mailto:b@red.example.net,mailto:c@RED.example.net"
    seen = asked("mailto:a@red.example.net,mailto:z@blue.example.com", agrees(text))
    assert seen.addresses == ("b@red.example.net", "c@red.example.net", "z@blue.example.com")


@pytest.mark.parametrize("other", ["mailto:a@victim.example", "mailto:a@example.net", "https://victim.example/"])
def test_rfc9990_4_step_9_another_host_gets_nothing(other):
    """If the host names an address at another host, neither that nor the original address gets a report."""
    text = f"v=DMARC1; rua=mailto:b@red.example.net,{other}"
    seen = asked("mailto:a@red.example.net", agrees(text))
    assert (seen.addresses, seen.why) == ((), Why.ELSEWHERE)


def test_rfc9990_4_a_wildcard_agrees_for_all():
    """A record at *._report._dmarc counts for any domain."""
    assert asked("mailto:a@red.example.net", '*._report._dmarc.red.example.net TXT "v=DMARC1"').addresses


def test_rfc9990_7_3_a_registry_gets_aggregate_reports_only():
    """A record with psd=y leads to aggregate reports, and never to failure reports."""
    record = at("example", "p=none; psd=y; rua=mailto:a@example.example; ruf=mailto:a@example.example")
    host = agrees(host="example.example", domain="example")
    for tag, why in ((Tag.RUA, None), (Tag.RUF, Why.PSD)):
        assert destinations(Wanted(Domain("example"), tag), resolver(record, host), OURS, LIMITS).why is why


def test_rfc9991_2_each_uri_of_ruf_gets_the_report():
    """The addresses of ruf are used as those of rua are."""
    seen = asked("mailto:b@blue.example.com,mailto:0,mailto:a@blue.example.com", tag=Tag.RUF)
    assert seen.addresses == ("b@blue.example.com", "a@blue.example.com")


def test_rfc9991_2_ruf_of_psd_is_not_considered():
    """A record with psd=y leads to no failure report."""
    record = at("blue.example.com", "p=none; psd=y; ruf=mailto:a@blue.example.com")
    seen = destinations(Wanted(Domain("blue.example.com"), Tag.RUF), resolver(record), OURS, LIMITS)
    assert (seen.addresses, seen.why) == ((), Why.PSD)


def test_rfc9991_5_external_destinations_are_verified():
    """The procedure is that of aggregate reports, with ruf in the place of rua."""
    assert asked("mailto:a@red.example.net", tag=Tag.RUF).why is Why.UNAUTHORIZED
    text = "v=DMARC1; ruf=mailto:b@red.example.net; rua=mailto:c@victim.example"
    assert asked("mailto:a@red.example.net", agrees(text), tag=Tag.RUF).addresses == ("b@red.example.net",)


def test_rfc9991_5_1_failure_reports_pass_dmarc_aligned():
    """They leave by the same From domain and return path as aggregate reports, so the same check keeps them back."""
    sending = Sending("dmarc@report.example", (ip_address("2001:db8::1"),))
    assert not alignment(sending, resolver(at("report.example", "p=reject")), LIMITS).passes
