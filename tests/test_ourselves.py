"""Would a report of ours pass DMARC? What is published, from where mail leaves, and what to publish."""

import socket
from ipaddress import ip_address

import pytest

from mailassay.config import Reports, Settings
from mailassay.domain import Domain
from mailassay.feedback import egress
from mailassay.feedback.egress import of_postfix, sending
from mailassay.feedback.ourselves import Sending, alignment
from mailassay.finding import Severity
from mailassay.postfix.configuration import Postfix, Service
from mailassay.resolver import Deadline
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.signing import signing

V4, V6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
DMARC = '_dmarc.reports.example.org TXT "v=DMARC1; p=reject"'
SPF = 'reports.example.org TXT "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"'


def judged(*lines, addresses=(V4, V6), **more):
    resolve = Deadline(Zone("\n".join(lines), limits=LIMITS), float("inf"), lambda: 0.0)
    return alignment(Sending("dmarc@reports.example.org", addresses, "mx.example.org", **more), resolve, LIMITS)


@pytest.mark.parametrize(
    "lines",
    [
        [DMARC, SPF],
        # the record of the organization will do, and so will a policy of none
        ['_dmarc.example.org TXT "v=DMARC1; p=none"', SPF],
        ['_dmarc.reports.example.org TXT "v=DMARC1; p=reject; aspf=s"', SPF],
        [DMARC, 'reports.example.org TXT "v=spf1 include:example.org -all"',
         'example.org TXT "v=spf1 a:mx.example.org -all"', "mx.example.org A 192.0.2.1",
         "mx.example.org AAAA 2001:db8::1"],
    ],
)  # fmt: skip
def test_a_report_passes(lines):
    seen = judged(*lines)
    assert seen.passes
    assert not seen.problems


@pytest.mark.parametrize(
    ("lines", "code", "names", "records"),
    [
        ([SPF], "reports-dmarc", "_dmarc.reports.example.org", "v=DMARC1; p=reject"),
        (
            [SPF, DMARC, '_dmarc.reports.example.org TXT "v=DMARC1; p=none"'],
            "reports-dmarc",
            "_dmarc.reports.example.org",
            "v=DMARC1; p=reject",
        ),
        ([DMARC], "reports-spf", "reports.example.org", "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all"),
        (
            [DMARC, "reports.example.org TXT other"],
            "reports-spf",
            "reports.example.org",
            "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 -all",
        ),
        (
            [DMARC, 'reports.example.org TXT "v=spf1 ip4:192.0.2.1 -all"'],
            "reports-spf",
            "reports.example.org",
            "v=spf1 ip6:2001:db8::1 ip4:192.0.2.1 -all",
        ),
        (
            [DMARC, 'reports.example.org TXT "V=spf1 ?all"'],
            "reports-spf",
            "reports.example.org",
            "V=spf1 ip4:192.0.2.1 ip6:2001:db8::1 ?all",
        ),
    ],
)
def test_what_to_publish_makes_it_pass(lines, code, names, records):
    seen = judged(*lines)
    assert not seen.passes
    [problem] = seen.problems
    assert (problem.code, problem.severity) == (code, Severity.ERROR)
    [change] = problem.changes
    assert (change.name, change.records) == (names, (records,))
    assert f'"{records}"' in problem.fix
    left = [line for line in lines if not any(f'{names} TXT "{old}"' == line for old in change.instead)]
    assert judged(*left, f'{names} TXT "{records}"').passes


@pytest.mark.parametrize(
    "lines",
    [
        [DMARC, 'reports.example.org TXT "v=spf1 ip4:nonsense -all"'],
        [DMARC, 'reports.example.org TXT "v=spf1 -all"', 'reports.example.org TXT "v=spf1 ?all"'],
        ['_dmarc.reports.example.org TXT "v=DMARC1; p=nonsense"', SPF],
    ],
)
def test_a_record_in_error_is_for_a_person_to_correct(lines):
    seen = judged(*lines)
    assert not seen.passes
    [problem] = seen.problems
    assert problem.fix == "mailassay lookup reports.example.org says what is wrong"
    assert not problem.changes


@pytest.mark.parametrize(
    "lines",
    [
        ["_dmarc.reports.example.org TXT !", SPF],
        [DMARC, "reports.example.org TXT !"],
        [DMARC, 'reports.example.org TXT "v=spf1 a:mx.example.org -all"', "mx.example.org * ?"],
    ],
)
def test_dns_without_an_answer_is_not_a_pass(lines):
    seen = judged(*lines)
    assert seen.trouble
    assert not seen.passes
    assert not seen.problems


def test_every_address_counts():
    seen = judged(DMARC, 'reports.example.org TXT "v=spf1 ip4:192.0.2.1 ~all"')
    [problem] = seen.problems
    assert "softfail for 2001:db8::1" in problem.what
    assert "192.0.2.1," not in problem.what


def test_reports_on_reports_are_warned_of():
    own = judged('_dmarc.reports.example.org TXT "v=DMARC1; p=reject; rua=mailto:a@example.org"', SPF)
    assert own.passes
    assert [(each.code, each.changes) for each in own.problems] == [("reports-loop", ())]
    above = judged('_dmarc.example.org TXT "v=DMARC1; p=reject; rua=mailto:a@example.org"', SPF)
    assert above.passes
    [problem] = above.problems
    [change] = problem.changes
    assert not judged(SPF, f'{change.name} TXT "{change.records[0]}"').problems


def test_without_the_addresses_nothing_is_sent():
    seen = judged(DMARC, SPF, addresses=(), unknown="Postfix cannot be asked", fix="Set reports.egress")
    assert not seen.passes
    assert [each.code for each in seen.problems] == ["reports-egress"]
    assert not judged(DMARC, SPF, addresses=()).passes


def settings(**reports):
    return Settings(reports=Reports("dmarc@reports.example.org", **reports))


def postfix(**values):
    values = {"default_transport": "smtp", "inet_protocols": "all", "inet_interfaces": "all"} | values
    return Postfix({}, values, (Service("smtp", "unix", "smtp"), Service("local", "unix", "local")))


def test_addresses_as_configured():
    assert of_postfix(settings(egress=(V4,)), postfix(relayhost="[smtp.example.net]")).egress == (V4,)
    assert sending(settings(egress=(V4, V6)), 0.0).egress == (V4, V6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"smtp_bind_address": "8.8.8.1", "inet_protocols": "ipv4"}, "8.8.8.1"),
        ({"smtp_bind_address6": "2a00::1", "inet_protocols": "ipv6"}, "2a00::1"),
        ({"inet_interfaces": "8.8.8.2, 127.0.0.1", "inet_protocols": "ipv4"}, "8.8.8.2"),
        ({"inet_interfaces": "[2a00::2] ::1", "inet_protocols": "ipv6"}, "2a00::2"),
        ({"inet_interfaces": "8.8.8.2", "smtp_bind_address": "8.8.8.1", "inet_protocols": "ipv4"}, "8.8.8.1"),
    ],
)
def test_addresses_to_which_postfix_is_bound(values, expected):
    found = of_postfix(settings(), postfix(**values))
    assert (found.egress, found.unknown) == ((ip_address(expected),), "")


def test_the_names_by_which_postfix_greets():
    values = {"smtp_bind_address": "8.8.8.1", "inet_protocols": "ipv4", "myhostname": "mx.example.org"}
    assert of_postfix(settings(), postfix(**values)).helo == "mx.example.org"
    assert of_postfix(settings(), postfix(**values, smtp_helo_name="out.example.org")).helo == "out.example.org"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"relayhost": "[smtp.example.net]:587"}, "[smtp.example.net]:587"),
        ({"default_transport": "smtp:[smtp.example.net]"}, "[smtp.example.net]"),
        ({"default_transport": "error:no mail"}, "no mail"),
        ({"default_transport": "local"}, "local"),
        ({"default_transport": "absent"}, "absent"),
        ({"sender_dependent_relayhost_maps": "hash:/etc/postfix/relays"}, "sender_dependent_relayhost_maps"),
        ({"smtp_bind_address": "10.0.0.1", "inet_protocols": "ipv4"}, "10.0.0.1"),
        ({"smtp_bind_address": "100.64.0.1", "inet_protocols": "ipv4"}, "100.64.0.1"),
        ({"smtp_bind_address6": "fd00::1", "inet_protocols": "ipv6"}, "fd00::1"),
    ],
)
def test_addresses_that_cannot_be_judged(values, said):
    found = of_postfix(settings(), postfix(**values))
    assert not found.egress
    assert said in found.unknown
    assert "reports.egress" in found.fix


def test_a_postfix_that_cannot_be_asked_means_unknown_addresses():
    # there is none, or the time for it is over
    found = sending(settings(), 0.0)
    assert not found.egress
    assert "Postfix cannot be asked" in found.unknown
    assert of_postfix(settings(), None).unknown


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6: ::1 cannot be bound")


@pytest.mark.parametrize(
    ("version", "family", "local"),
    [(4, socket.AF_INET, "127.0.0.1"), pytest.param(6, socket.AF_INET6, "::1", marks=needs_ipv6)],
)
def test_the_address_that_the_kernel_would_use(monkeypatch, version, family, local):
    monkeypatch.setitem(egress._OTHERS, version, (family, local))
    assert egress._of_kernel(version) == ip_address(local)


def test_a_kernel_without_a_route(monkeypatch):
    # 240.0.0.0/4 and the discard prefix are never routed; a wrong family is an error of the same kind
    monkeypatch.setattr(egress, "_OTHERS", {4: (socket.AF_INET, "::1"), 6: (socket.AF_INET6, "not an address")})
    found = of_postfix(settings(), postfix())
    assert not found.egress
    assert "no route" in found.unknown


ORG = Domain("example.org")
ABOVE = '_dmarc.example.org TXT "v=DMARC1; p=reject"'


@pytest.fixture
def signing_keys(tmp_path):
    """An RSA and an Ed25519 key of the organization."""
    return signing(tmp_path).signing_keys[ORG]


def published(*keys):
    return [f'{key.selector}._domainkey.{key.domain} TXT "{key.record}"' for key in keys]


def test_a_signature_is_enough(signing_keys):
    """From wherever the report leaves, and even if nobody knows from where."""
    for given in ({}, {"addresses": (), "unknown": "Postfix gives its mail to x, which sends it on"}):
        seen = judged(ABOVE, *published(*signing_keys), keys=signing_keys, **given)
        assert seen.passes
        assert all(each.severity is Severity.WARNING for each in seen.problems)
        assert not judged(ABOVE, *published(*signing_keys), **given).passes


def test_what_spf_lacks_is_a_warning_then(signing_keys):
    [warned] = judged(ABOVE, *published(*signing_keys), keys=signing_keys).problems
    assert (warned.code, warned.severity) == ("reports-spf", Severity.WARNING)
    assert warned.what.endswith("do not pass DMARC by SPF, only by their signature")
    assert judged(ABOVE, SPF, *published(*signing_keys), keys=signing_keys).problems == ()


def test_a_signature_without_a_record_is_not_enough(signing_keys):
    rsa, ed25519 = signing_keys
    for records in ([], published(ed25519), [f'{rsa.selector}._domainkey.example.org TXT "v=DKIM1; p="']):
        seen = judged(ABOVE, *records, keys=signing_keys)
        assert not seen.passes
        assert {each.code for each in seen.problems} == {"reports-spf", "reports-dkim"}
        [said] = [each for each in seen.problems if f"signed by {rsa}" in each.what]
        assert said.fix == f'Publish "{rsa.record}" as TXT at {rsa.selector}._domainkey.example.org'
    # SPF passes: the report does, and the doctor says elsewhere what is wrong with the key
    assert judged(ABOVE, SPF, keys=signing_keys).problems == ()


def test_an_ed25519_key_alone_is_not_enough(signing_keys):
    """Many verifiers do not know it."""
    seen = judged(ABOVE, *published(*signing_keys), keys=signing_keys[1:])
    assert [each.code for each in seen.problems] == ["reports-spf"]


@pytest.mark.parametrize(
    "records",
    [
        # two organizations (RFC 9989 section 4.10), and one whose domains have to be the same
        [DMARC],
        [ABOVE, '_dmarc.reports.example.org TXT "v=DMARC1; p=reject; adkim=s"'],
    ],
)
def test_a_signature_that_is_not_aligned_is_not_enough(signing_keys, records):
    assert not judged(*records, *published(*signing_keys), keys=signing_keys).passes
    assert judged(*records, SPF, *published(*signing_keys), keys=signing_keys).passes


def test_without_a_dmarc_record_no_signature_helps(signing_keys):
    seen = judged(*published(*signing_keys), keys=signing_keys)
    assert not seen.passes
    assert "reports-dmarc" in {each.code for each in seen.problems}


def test_a_key_about_which_dns_says_nothing(signing_keys):
    rsa, ed25519 = signing_keys
    seen = judged(ABOVE, f"{rsa.selector}._domainkey.example.org TXT !", *published(ed25519), keys=signing_keys)
    assert seen.trouble
    assert not seen.passes
    assert judged(ABOVE, SPF, f"{rsa.selector}._domainkey.example.org TXT !", keys=signing_keys).passes
