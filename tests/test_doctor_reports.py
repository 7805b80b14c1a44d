"""What the doctor sees of DMARC reports, and what it says of their alignment. tests/test_doctor.py has the rest."""

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mailassay.config import Dns, Relays, Reports, Server, Settings
from mailassay.doctor import examine
from mailassay.doctor.facts import Reporting
from mailassay.doctor.gather_reports import reporting
from mailassay.doctor.signed_reports import sending, signing_keys
from mailassay.domain import Domain
from mailassay.feedback.ourselves import Alignment
from mailassay.finding import Severity
from mailassay.lookup import Problem
from mailassay.policy.sets import Networks
from mailassay.postfix.configuration import Postfix, found
from mailassay.sign import Believed, Selectors
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.healthy import GOOD, OURS, configured, service
from tests.lab.limits import LIMITS
from tests.lab.signing import signing as key_settings

SENDER = "dmarc@example.org"


def seen(postfix=GOOD.postfix, *, dns=False, unseen=None, **more):
    sent = Reports(SENDER, **{"smtp": Server("127.0.0.1", 1)} | more)
    settings = Settings(reports=sent)
    return reporting(settings, postfix, time.monotonic() + 60, [] if unseen is None else unseen, dns=dns)


def test_without_reports_there_is_nothing_to_see():
    assert reporting(Settings(), GOOD.postfix, 0.0, [], dns=True) is None


@contextmanager
def answering(octets):
    """A server on a port of loopback that sends this to each client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            try:
                while True:
                    with server.accept()[0] as channel:
                        channel.sendall(octets)
                        channel.recv(100)
            except OSError:
                # it is closed
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Server("127.0.0.1", server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("octets", "silence"), [(b"220 mx.example.org ESMTP\r\n", ""), (b"SSH-2.0\r\n", "no SMTP server answers there")]
)
def test_who_answers_at_the_port(octets, silence):
    with answering(octets) as server:
        assert seen(smtp=server).silence == silence


def test_nobody_answers_at_the_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert seen(smtp=Server("127.0.0.1", port)).silence == "connection refused"


def test_the_alignment_is_asked_for():
    zone = Zone('_dmarc.example.org TXT "v=DMARC1; p=reject"', limits=LIMITS)
    with DnsServer(zone) as server:
        settings = Settings(
            reports=Reports(SENDER, smtp=Server("127.0.0.1", 1), egress=(ip_address("192.0.2.1"),)),
            dns=Dns(nameservers=((server.address, server.port),)),
        )
        found = reporting(settings, GOOD.postfix, time.monotonic() + 60, [], dns=True)
    assert [each.code for each in found.alignment.problems] == ["reports-spf"]


def test_what_a_postfix_that_cannot_be_asked_takes():
    unseen = []
    assert (seen(Postfix({}, {}, folder="/nowhere"), unseen=unseen).takes, len(unseen)) == (None, 1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "master.cf").touch()
    (tmp_path / "main.cf").touch()
    (tmp_path / "boxes").write_text("dmarc@example.org x\n@other.example x\n")
    (tmp_path / "domains").write_text("# example.com\nexample.org\n")
    return tmp_path


@pytest.mark.postfix
@pytest.mark.skipif(not found("postconf") or not found("postmap"), reason="needs Postfix")
@pytest.mark.parametrize(
    ("lines", "takes", "knows"),
    [
        ("mydestination = example.org\nlocal_recipient_maps =", True, True),
        ("mydestination = localhost, EXAMPLE.org\nlocal_recipient_maps = static:x", True, True),
        ("mydestination = example.org\nlocal_recipient_maps = inline:{other=x}", True, False),
        ("mydestination = example.org\nlocal_recipient_maps = inline:{dmarc=x}", True, True),
        ("mydestination = example.org\nlocal_recipient_maps = inline:{other=x}\nluser_relay = root", True, True),
        (
            "mydestination =\nvirtual_alias_domains = {0}/domains\nvirtual_alias_maps = texthash:{0}/boxes",
            True,
            True,
        ),
        ("mydestination =\nvirtual_alias_domains = example.org\nvirtual_alias_maps = inline:{other=x}", True, False),
        (
            "mydestination =\nvirtual_mailbox_domains = inline:{example.org=x}\n"
            "virtual_mailbox_maps = texthash:{0}/boxes",
            True,
            True,
        ),
        ("mydestination =\nrelay_domains = .org\nrelay_recipient_maps =", True, True),
        ("mydestination = example.com\nrelay_domains =", False, None),
    ],
)
def test_what_postfix_takes(folder, lines, takes, knows):
    (folder / "main.cf").write_text("compatibility_level = 3.6\n" + lines.replace("{0}", str(folder)) + "\n")
    unseen = []
    found = seen(replace(GOOD.postfix, folder=str(folder)), unseen=unseen)
    assert (found.takes, found.knows, unseen) == (takes, knows, [])


def told(alignment):
    facts = replace(
        GOOD,
        settings=replace(GOOD.settings, reports=Reports(SENDER)),
        postfix=configured(recipient_delimiter="+", non_smtpd_milters=OURS, internal_mail_filter_classes="bounce"),
        reports=Reporting(alignment),
    )
    return [each for each in examine(facts) if each.code.startswith("reports-") and each.severity is not Severity.FINE]


def test_what_to_publish_is_said():
    [said] = told(Alignment((Problem(Severity.ERROR, "reports-spf", "SPF is none", "Publish this"),)))
    assert (said.severity, said.code, said.text) == (
        Severity.WARNING,
        "reports-spf",
        "SPF is none. No report is sent. Publish this",
    )


def test_a_loop_is_warned_of_and_reports_are_sent():
    [said] = told(Alignment((Problem(Severity.WARNING, "reports-loop", "There is rua", "Remove it"),)))
    assert said.text == "There is rua. Remove it"


def test_alignment_is_fine():
    assert told(Alignment()) == []


@pytest.fixture
def signed(tmp_path):
    """Settings of a host whose reports are signed: keys, the report address, and our socket."""
    keys = key_settings(tmp_path)
    return replace(
        GOOD.settings,
        sign=keys.sign,
        signing_keys=keys.signing_keys,
        reports=Reports(SENDER, smtp=Server("127.0.0.1", 25)),
    )


POSTSCREEN = (service("smtp", program="postscreen"), service("smtpd", "pass"))


@pytest.mark.parametrize(
    "postfix",
    [
        configured(),
        configured(service("127.0.0.1:25"), service("submission", smtpd_milters="")),
        configured(*POSTSCREEN),
        configured(service(smtpd_milters=f"unix:other.sock, {{ {OURS}, protocol=6 }}"), smtpd_milters=""),
    ],
)
def test_reports_are_signed_where_postfix_shows_them(signed, postfix):
    assert signing_keys(signed, postfix) == signed.signing_keys[Domain("example.org")]
    assert sending(signed, postfix).keys == signing_keys(signed, postfix)


@pytest.mark.parametrize(
    "postfix",
    [
        configured(smtpd_milters="unix:other.sock"),
        configured(service("2525")),
        configured(service(), service("127.0.0.1:25", smtpd_milters="")),
        configured(*POSTSCREEN, smtpd_milters=""),
        configured(receive_override_options="no_milters"),
        configured(content_filter="smtp:[127.0.0.1]:10024"),
        configured(smtpd_proxy_filter="127.0.0.1:10024"),
        configured(smtpd_milter_maps="cidr:/etc/postfix/x"),
        configured(service(), service("relay", "unix", "smtp"), smtp_generic_maps="hash:/etc/postfix/generic"),
        configured(service(), service("relay", "unix", "smtp"), smtp_body_checks="pcre:/etc/postfix/x"),
    ],
)
def test_reports_that_postfix_does_not_show_or_changes_may_be_unsigned(signed, postfix):
    assert signing_keys(signed, postfix) == ()


@pytest.mark.parametrize(
    ("changes", "is_signed"),
    [
        ({"believed": Believed.ANY}, True),
        # Postfix gets reports without a login
        ({"believed": Believed.LOGIN}, False),
        ({"domains": {}}, False),
        ({"domains": {Domain("example.com"): Selectors(("a",))}}, False),
    ],
)
def test_who_may_sign_reports(signed, changes, is_signed):
    found = replace(signed, sign=replace(signed.sign, **changes))
    assert bool(signing_keys(found, configured())) is is_signed


def test_reports_of_a_subdomain(signed):
    below = replace(signed, reports=replace(signed.reports, sender="dmarc@reports.example.org"))
    assert signing_keys(below, configured()) == ()
    assert signing_keys(replace(below, sign=replace(below.sign, subdomains=True)), configured()) != ()


@pytest.mark.parametrize(
    ("networks", "relays", "mynetworks", "is_signed"),
    [
        (("127.0.0.0/8",), (), "", True),
        (("192.0.2.0/24",), (), "127.0.0.0/8", False),
        (None, (), "127.0.0.0/8", True),
        (None, (), "192.0.2.0/24", False),
        (("127.0.0.0/8",), ("127.0.0.1/32",), "", False),
    ],
)
def test_reports_are_signed_if_this_host_is_not_judged(signed, networks, relays, mynetworks, is_signed):
    found = replace(
        signed,
        trusted_networks=networks and tuple(map(ip_network, networks)),
        relays=Relays(Networks(tuple(map(ip_network, relays)))),
    )
    assert bool(signing_keys(found, configured(mynetworks=mynetworks))) is is_signed


def test_no_reports_and_no_keys(signed):
    assert signing_keys(replace(signed, reports=Reports()), configured()) == ()
    assert signing_keys(replace(signed, signing_keys={}), configured()) == ()


def test_a_signed_report_needs_no_address(signed):
    """The doctor at real DNS: no SPF, and nobody knows from where mail leaves."""
    record = signed.signing_keys[Domain("example.org")][0].record
    zone = f'_dmarc.example.org TXT "v=DMARC1; p=reject"\n2026a._domainkey.example.org TXT "{record}"'
    with DnsServer(Zone(zone, limits=LIMITS)) as server:
        found = replace(signed, dns=Dns(nameservers=((server.address, server.port),)))
        shown = configured(relayhost="[smtp.example.net]")
        assert reporting(found, shown, time.monotonic() + 60, [], dns=True).alignment.passes
        hidden = configured(relayhost="[smtp.example.net]", smtpd_milters="")
        assert not reporting(found, hidden, time.monotonic() + 60, [], dns=True).alignment.passes
