"""The section ``reports`` of mailassay.yaml: what each key takes, and how each mistake is reported."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.config import ConfigError, FailureReports, Reports, ReportTo, Server, Settings, load
from mailassay.policy.sets import Domains

HISTORY = "history: {directory: /var/lib/mailassay}\n"
FROM = "reports.from: expected a mail address such as dmarc-reports@example.org, found"
SMTP = "reports.smtp: expected a loopback address with a port, such as 127.0.0.1:25 or [::1]:25, found"
EGRESS = "reports.egress: expected an IP address from which mail leaves, such as 192.0.2.1 or 2001:db8::1, found"
WITHOUT_HISTORY = (
    "reports.from: reports are made from the history, and none is kept; "
    "set `history.directory`, such as /var/lib/mailassay"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config")


def settings(folder: Path, text: str) -> Settings:
    path = folder / "mailassay.yaml"
    path.write_bytes(text.encode())
    return load(str(path))


def reports(folder: Path, text: str) -> Reports:
    return settings(folder, HISTORY + f"reports: {text}\n").reports


def test_reports_are_off_unless_they_are_turned_on(folder: Path) -> None:
    assert Settings().reports == reports(folder, "") == reports(folder, "{from: null}") == Reports(None)
    assert not Reports().domain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{from: dmarc@example.org}", Reports("dmarc@example.org")),
        ("{from: d.m+r@Bücher.EXAMPLE}", Reports("d.m+r@xn--bcher-kva.example")),
        ("{org_name: Müller & Söhne, contact: 'https://example.org/'}", Reports(None, "Müller & Söhne", "https://example.org/")),
        ("{org_name: 42}", Reports(org_name="42")),
        ("{submitter: MX1.example.org}", Reports(submitter="mx1.example.org")),
        ("{to: all, per_minute: 1}", Reports(to=ReportTo.ALL, per_minute=1)),
        ("{smtp: '[::1]:2525'}", Reports(smtp=Server("::1", 2525))),
        ("{smtp: 127.0.0.2:10026}", Reports(smtp=Server("127.0.0.2", 10026))),
        (
            "{egress: [192.0.2.1, '2001:DB8:0::1']}",
            Reports(egress=(ip_address("192.0.2.1"), ip_address("2001:db8::1"))),
        ),
        (
            "{from: a@example.org, failure: {domains: [b.example, .A.example], per_hour: 1, total_per_hour: 2}}",
            Reports("a@example.org", failure=FailureReports(Domains((".a.example", "b.example")), 1, 2)),
        ),
        ("{failure: {domains: []}}", Reports()),
    ],
)  # fmt: skip
def test_what_the_keys_take(folder: Path, text: str, expected: Reports) -> None:
    assert reports(folder, text) == expected


def test_the_domain_of_the_address() -> None:
    assert Reports("dmarc@reports.example.org").domain == "reports.example.org"


@pytest.mark.parametrize("server", [Server("127.0.0.1", 25), Server("::1", 2525)])
def test_a_server_is_written_as_it_is_read(folder: Path, server: Server) -> None:
    assert reports(folder, f'{{smtp: "{server}"}}').smtp == server


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("reports: {from: postmaster}", 2, 17, f"{FROM} the text `postmaster`"),
        ("reports: {from: '@example.org'}", 2, 17, f"{FROM} the text `@example.org`"),
        ("reports: {from: 'a@'}", 2, 17, f"{FROM} the text `a@`"),
        ("reports: {from: a@localhost}", 2, 17, f"{FROM} the text `a@localhost`"),
        ("reports: {from: 'a@[192.0.2.1]'}", 2, 17, f"{FROM} the text `a@[192.0.2.1]`"),
        ("reports: {from: a@192.0.2.1}", 2, 17, f"{FROM} the text `a@192.0.2.1`"),
        ("reports: {from: a..b@example.org}", 2, 17, f"{FROM} the text `a..b@example.org`"),
        ("reports: {from: Ann <a@example.org>}", 2, 17, f"{FROM} the text `Ann <a@example.org>`"),
        ('reports: {from: "a@example.org\\r\\nBcc: b@c.example"}', 2, 17,
         f"{FROM} the text `a@example.org\\r\\nBcc: b@c.example`"),
        ("reports:\n  from: [a@example.org]", 3, 9, f"{FROM} a list"),
        (
            f"reports: {{from: {38 * 'a'}@example.org}}",
            2,
            17,
            "reports.from: the part before the @ has 38 characters; it can have 37, since an address extension tells "
            "which report a bounce is about",
        ),
        ("reports: {org_name: ''}", 2, 21,
         "reports.org_name: expected one line of text, at most 255 characters, found the text ``"),
        ('reports: {contact: "a\\nb"}', 2, 20,
         "reports.contact: expected one line of text, at most 255 characters, found the text `a\\nb`"),
        ("reports: {submitter: a b}", 2, 22,
         "reports.submitter: expected the name of a host such as mx1.example.org, found the text `a b`"),
        ("reports: {to: anybody}", 2, 15, "reports.to: expected known | all, found the text `anybody`"),
        ("reports: {smtp: 192.0.2.1:25}", 2, 17, f"{SMTP} the text `192.0.2.1:25`"),
        ("reports: {smtp: 0.0.0.0:25}", 2, 17, f"{SMTP} the text `0.0.0.0:25`"),
        ("reports: {smtp: localhost:25}", 2, 17, f"{SMTP} the text `localhost:25`"),
        ("reports: {smtp: 127.0.0.1}", 2, 17, f"{SMTP} the text `127.0.0.1`"),
        ("reports: {smtp: 127.0.0.1:0}", 2, 17, "reports.smtp: expected a port from 1 to 65535, found `0`"),
        ("reports: {smtp: null}", 2, 17, f"{SMTP} nothing"),
        ("reports: {per_minute: 0}", 2, 23,
         "reports.per_minute: expected a whole number from 1 to 10000, found the number `0`"),
        ("reports: {egress: [192.0.2.1, mx.example.org]}", 2, 31, f"{EGRESS} the text `mx.example.org`"),
        ("reports: {egress: [192.0.2.0/24]}", 2, 20, f"{EGRESS} the text `192.0.2.0/24`"),
        ("reports: {egress: ['fe80::1%eth0']}", 2, 20, f"{EGRESS} the text `fe80::1%eth0`"),
        ("reports: {egress: [127.0.0.1]}", 2, 20,
         "reports.egress: no mail reaches others from 127.0.0.1; write the address that they see"),
        ("reports: {egress: ['::ffff:192.0.2.1']}", 2, 20,
         "reports.egress: `::ffff:192.0.2.1` is IPv4 inside IPv6; write 192.0.2.1"),
        ("reports: {egress: 192.0.2.1}", 2, 19, "reports.egress: expected a list, found the text `192.0.2.1`"),
        (
            "reports: {from: a@b.example, failure: {domains: [x y]}}",
            2,
            50,
            "reports.failure.domains: expected a domain such as example.com, or .example.com for it and every name "
            "below it, found the text `x y`",
        ),
        (
            "reports: {failure: {domains: [bank.example]}}",
            2,
            10,
            "reports: `failure.domains` needs `from`, the address from which reports are sent",
        ),
        ("reports: {form: a@b.example}", 2, 11, "unknown key `reports.form`; did you mean `reports.from`?"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(folder: Path, text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(folder, HISTORY + text)
    assert [(each.line, each.column, each.message) for each in error.value.problems] == [(line, column, message)]


@pytest.mark.parametrize("history", ["", "history:\n", "history: {directory: null}\n"])
def test_reports_need_a_history(folder: Path, history: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(folder, f"{history}reports:\n  to: all\n  from: a@example.org\n")
    line = 3 + history.count("\n")
    assert [(each.line, each.column, each.message) for each in error.value.problems] == [(line, 3, WITHOUT_HISTORY)]


def test_a_history_that_is_wrong_is_reported_once(folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        settings(folder, "history: {directory: here}\nreports: {from: a@example.org}\n")
    assert [(each.line, each.column) for each in error.value.problems] == [(1, 22)]


@given(st.text(max_size=80))
def test_an_address_is_safe_in_a_header_field_and_an_envelope(folder: Path, text: str) -> None:
    escaped = "".join(f"\\U{ord(char):08x}" for char in text)
    try:
        found = reports(folder, f'{{from: "{escaped}"}}').sender
    except ConfigError:
        return
    assert found
    assert found.isascii()
    assert found.isprintable()
    assert found.count("@") == 1
    assert not set(found) & set(' ,;:<>()[]\\"')
