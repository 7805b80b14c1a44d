"""Failure reports: RFC 9991, without section 5, and the required fields of RFC 5965."""

from __future__ import annotations

import re
from dataclasses import replace
from email import message_from_bytes, message_from_string, policy

import pytest

from mailassay.aggregate import Reporter
from mailassay.aggregate.mail import addressed
from mailassay.config import Settings
from mailassay.failure.feedback_report import compose
from mailassay.failure.incident import FIELDS, Failure
from mailassay.failure.picking import MOST, Picking
from mailassay.failure.redaction import Redactor
from tests.lab.failing import BROKEN, KEY, MESSAGE, NOW, RUF, SIGNED, found, judged

OURS = "192.0.2.1"  # SPF passes
REPORTER = Reporter("mx.receiver.example", "Receiver Example", "dmarc-reports@receiver.example")
RECORD = "v=spf1 ip4:192.0.2.1 -all"
HASH = Redactor(b"k" * 32)
# RFC 9991 section 4, without comments
ID_ALIGN = re.compile(r"(?:none|(dkim|spf)(?: *, *(?!\1)(?:dkim|spf))?)")


def mail(one, records=(RECORD,)):
    octets = addressed(compose(HASH.incident(one), REPORTER, "a" * 26, NOW, records), "fail@bank.example")
    return octets, message_from_bytes(octets, policy=policy.default)


def feedback(one, records=(RECORD,)):
    """The fields of the second part."""
    [fields] = mail(one, records)[1].get_payload(1).get_payload()
    return fields


def header(one):
    """The fields of the third part."""
    return message_from_string(mail(one)[1].get_payload(2).get_payload())


def test_rfc9991_2_the_format_is_that_of_rfc6591():
    """A report is a multipart/report of the type feedback-report: text, a message/feedback-report, header fields."""
    _, parsed = mail(found(message=BROKEN))
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "feedback-report"
    assert [each.get_content_type() for each in parsed.get_payload()] == [
        "text/plain", "message/feedback-report", "text/rfc822-headers",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fo", "message", "client", "is_sent"),
    [
        ("", MESSAGE, "203.0.113.9", True),
        ("", MESSAGE, OURS, False),
        ("fo=0; ", SIGNED, "203.0.113.9", False),
        ("fo=1; ", SIGNED, "203.0.113.9", True),
        ("fo=1; ", SIGNED, OURS, False),
        ("fo=d; ", BROKEN, OURS, True),
        ("fo=d; ", MESSAGE, "203.0.113.9", False),
        ("fo=s; ", SIGNED, "203.0.113.9", True),
        ("fo=s; ", BROKEN, OURS, False),
        ("fo=0:d:s; ", BROKEN, OURS, True),
    ],
)
def test_rfc9991_2_fo_says_which_messages_are_reported(fo, message, client, is_sent):
    """fo=0, the default: no mechanism aligns; 1: one of them does not; d: a signature fails; s: SPF fails."""
    assert (found(fo + RUF, message, client) is not None) == is_sent


def test_rfc9991_2_without_ruf_nothing_is_reported():
    """A record without ruf, or without a mailto: URI in it, leads to no report, whatever fo says."""
    assert found("fo=1") is None
    assert found("fo=1; ruf=https://bank.example/") is None
    assert found(RUF)


def test_rfc9991_2_a_record_of_a_public_suffix_domain_is_not_considered():
    """The ruf of a record with psd=y leads to no report."""
    assert found(f"psd=y; {RUF}") is None
    assert found(f"psd=n; {RUF}")


def test_rfc9991_2_the_number_of_reports_has_a_limit():
    """A worker keeps few incidents a minute; the store keeps few of an hour, of a domain and in all."""
    picking, kept = Picking("mx1"), 0
    for number in range(100):
        kept += len(picking.of(judged(client=f"10.0.{number}.1")))
    assert kept == MOST
    assert Settings().reports.failure.per_hour <= 10
    assert Settings().reports.failure.total_per_hour <= 100


def test_rfc9991_3_the_type_is_dmarc_except_if_only_another_signature_fails():
    """Which types are sent is decided by what failed and by fo: dmarc, or that of DKIM if all else is aligned."""
    assert feedback(found(f"fo=d; {RUF}", BROKEN, OURS))["Auth-Failure"] == "dmarc"
    twice = KEY.sign(SIGNED, "bank.example", "none")
    assert found(f"fo=0:1:s; {RUF}", twice, OURS) is None
    assert feedback(found(f"fo=d; {RUF}", twice, OURS))["Auth-Failure"] == "signature"


@pytest.mark.parametrize(
    ("message", "client", "written"),
    [
        (BROKEN, "203.0.113.9", "dkim, spf"),
        (MESSAGE, "203.0.113.9", "dkim, spf"),
        (BROKEN, OURS, "dkim"),
        (SIGNED, "203.0.113.9", "spf"),
        (KEY.sign(SIGNED, "bank.example", "none"), OURS, "none"),
    ],
)
def test_rfc9991_4_identity_alignment_is_what_authenticated_no_aligned_identity(message, client, written):
    """Identity-Alignment is in each report: dkim, spf, both, or none."""
    value = feedback(found(f"fo=1:d; {RUF}", message, client))["Identity-Alignment"]
    assert value == written
    assert ID_ALIGN.fullmatch(value)


def test_rfc9991_4_a_failed_signature_of_an_aligned_domain_is_named():
    """DKIM-Domain, DKIM-Identity and DKIM-Selector are there if a signature of an aligned domain fails."""
    fields = feedback(found(message=BROKEN))
    assert fields["DKIM-Domain"] == "bank.example"
    assert fields["DKIM-Identity"] == "@bank.example"
    assert fields["DKIM-Selector"] == "ed"
    other = found(message=KEY.sign(MESSAGE, "other.example", "ed"))
    assert not [each for each in feedback(other) if each.startswith("DKIM-")]


def test_rfc9991_4_the_spf_record_of_an_aligned_domain_is_quoted():
    """SPF-DNS is there if SPF fails for an aligned domain; it is empty if that has no record."""
    assert feedback(found())["SPF-DNS"] == f'txt : bank.example : "{RECORD}"'
    assert feedback(found(), ())["SPF-DNS"] == 'txt : bank.example : ""'
    assert len(feedback(found(), (RECORD, "v=spf1 -all")).get_all("SPF-DNS")) == 2
    assert feedback(found(mail_from="<x@other.example>"))["SPF-DNS"] is None
    assert feedback(found(f"fo=d; {RUF}", BROKEN, OURS))["SPF-DNS"] is None


def test_rfc9991_4_the_type_dmarc_is_for_mechanisms_that_gave_no_aligned_identifier():
    """Auth-Failure is dmarc if SPF, DKIM or both authenticated no aligned identity."""
    assert found().failure is found(f"fo=1; {RUF}", SIGNED).failure is Failure.DMARC
    assert feedback(found())["Auth-Failure"] == "dmarc"


def test_rfc9991_7_3_no_url_can_be_followed():
    """http becomes hxxp in what others wrote."""
    octets, _ = mail(found(), ("v=spf1 exp=http://evil.example/",))
    assert b"hxxp://evil.example/" in octets
    assert b"http:" not in octets


def test_rfc9991_7_3_body_and_attachments_are_left_out():
    """The third part has header fields only, and few of them; never the subject."""
    octets, parsed = mail(found(message=b"X-Mailer: y\r\n" + BROKEN))
    assert set(header(found(message=b"X-Mailer: y\r\n" + BROKEN)).keys()) <= {*FIELDS, "Authentication-Results"}
    assert b"secret" not in octets
    assert b"changed" not in octets
    assert not [*parsed.iter_attachments()][3:]


def test_rfc9991_8_1_like_incidents_are_one_report():
    """Messages of an hour that failed in the same way, from one network, are one report; Incidents says how many."""
    one, other = found(), found(message=MESSAGE.replace(b"q1", b"q2"), client="203.0.113.77")
    assert one.key == other.key
    assert feedback(replace(one, count=12))["Incidents"] == "12"


def test_rfc9991_7_3_equal_local_parts_stay_equal():
    """A local-part is replaced by a keyed hash of it, everywhere alike."""
    one = found(message=MESSAGE.replace(b"bob@receiver", b"alice@receiver"))
    octets, _ = mail(one)
    hashed = HASH.local_part("alice")
    assert feedback(one)["Original-Mail-From"] == f"<{hashed}@bank.example>"
    assert header(one)["From"] == f"<{hashed}@bank.example>"
    assert header(one)["To"] == f"<{hashed}@receiver.example>"
    assert b"alice" not in octets
    assert Redactor(b"another key").local_part("alice") != hashed


def test_rfc9991_2_authentication_results_has_one_result():
    """As in appendix A, the field in the second part has the result of DMARC only. The third part has all of them."""
    one = found(message=BROKEN)
    assert feedback(one)["Authentication-Results"] == "mx.receiver.example; dmarc=fail header.from=bank.example"
    assert header(one)["Authentication-Results"].count("=fail") == 3


def test_rfc9991_2_the_transmission_is_described():
    """Original-Mail-From, Source-IP, Reported-Domain and Arrival-Date."""
    fields = feedback(found())
    assert fields["Original-Mail-From"].endswith("@bank.example>")
    assert fields["Source-IP"] == "203.0.113.9"
    assert fields["Reported-Domain"] == "bank.example"
    assert fields["Arrival-Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"


def test_rfc9991_4_delivery_result_is_what_was_done():
    """Delivery-Result, which is optional, says what was done with the message."""
    assert feedback(found())["Delivery-Result"] == "reject"


def test_rfc5965_3_1_the_required_fields():
    """Feedback-Type, User-Agent and Version are in each report, once."""
    fields = feedback(found())
    assert [fields.get_all(each) for each in ("Feedback-Type", "Version")] == [["auth-failure"], ["1"]]
    assert len(fields.get_all("User-Agent")) == 1
    assert not [each for each in fields if len(fields.get_all(each)) > 1]
