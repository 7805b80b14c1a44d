"""A report as a mail: its octets, its names, and what a reader of MIME finds in it."""

from __future__ import annotations

import gzip
import re
from base64 import b64decode
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.aggregate import Disposition, Period, Reporter
from mailassay.aggregate.document import xml
from mailassay.aggregate.mail import addressed, attached, compose, written
from mailassay.aggregate.naming import file_name, id_of, report_id
from tests.lab.reports import AT, FORGED, HOSTILE, POLICY, REPORTER, REPORTS, ROW, report

REJECTED = FORGED._replace(disposition=Disposition.REJECT)
QUARANTINED = FORGED._replace(disposition=Disposition.QUARANTINE)


def parsed(octets):
    return message_from_bytes(octets, policy=policy.default)


WHOLE = """\
To: dmarc@bank.example
From: dmarc-reports@receiver.example
Subject: Report Domain: bank.example Submitter: mx.receiver.example
 Report-ID: ID
Date: Sun, 29 Nov 2026 03:00:00 +0000
Message-ID: <ID@receiver.example>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_ID"

--=_ID
Content-Type: text/plain; charset=us-ascii
Content-Transfer-Encoding: 7bit

DMARC aggregate report (RFC 9990) about bank.example, from mx.receiver.example
for 2026-11-28 (UTC).

Messages:      1020
Passed DMARC:  1000
Failed:        20, of these 7 rejected, 8 quarantined

The attachment has the details, as XML. It was made by mailassay VERSION.
The DMARC record of bank.example asks for these reports, by its rua tag.
Contact: https://x.example/?a&b

--=_ID
Content-Type: application/gzip;
 name="mx.receiver.example!bank.example!1795824000!1795910399!ID.xml.gz"
Content-Transfer-Encoding: base64
Content-Disposition: attachment;
 filename="mx.receiver.example!bank.example!1795824000!1795910399!ID.xml.gz"

BASE64
--=_ID--
"""


def test_the_whole_mail():
    found = report((ROW, 1000), (REJECTED, 7), (QUARANTINED, 8), (FORGED, 5))
    octets = addressed(compose(found, 1_795_921_200.9), "dmarc@bank.example")
    text = octets.decode("ascii").replace("\r\n", "\n").replace(id_of(found), "ID")
    text = re.sub("mailassay [0-9.a-z]+[.]\n", "mailassay VERSION.\n", text)
    assert re.sub("\n\n(?:[A-Za-z0-9+/]{76}\n)*[A-Za-z0-9+/=]+\n--", "\n\nBASE64\n--", text) == WHOLE


@given(REPORTS, st.integers(0, 1 << 32))
def test_whatever_senders_write_the_mail_can_be_sent(found, at):
    """7bit, no line too long, no bare CR or LF, and what is attached is the document."""
    octets = addressed(compose(found, at), "dmarc@bank.example")
    assert octets == addressed(compose(found, at), "dmarc@bank.example")
    assert octets.isascii()
    assert b"\0" not in octets
    lines = octets.split(b"\r\n")
    assert not [line for line in lines if b"\r" in line or b"\n" in line]
    assert lines[-1] == b""
    assert max(map(len, lines)) <= 998
    message = parsed(octets)
    assert not message.defects
    assert [*message.keys()] == [
        "To", "From", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    ]  # fmt: skip
    text, attachment = message.iter_parts()
    assert not text.defects
    assert not attachment.defects
    assert attachment.get_filename() == file_name(found)
    assert gzip.decompress(attachment.get_content()) == xml(found) == attached(octets)


def test_lines_are_short_unless_a_name_is_long():
    found = report(ROW, policy=POLICY._replace(domain="a." * 120 + "example"))
    long = [line for line in compose(found, AT).split(b"\r\n") if len(line) > 78]
    assert {re.sub(rb"(?:a\.)+example", b"DOMAIN", each) for each in long} == {
        b" DOMAIN",
        b"DOMAIN,",
        b"DOMAIN",
        f' name="{file_name(found)}"'.encode().replace(b"a." * 120 + b"example", b"DOMAIN"),
        f' filename="{file_name(found)}"'.encode().replace(b"a." * 120 + b"example", b"DOMAIN"),
    }


def test_the_same_rows_are_the_same_octets_another_day_is_not():
    assert compose(report(ROW), AT) == compose(report(ROW), AT)
    assert compose(report(ROW), AT) != compose(report(ROW, period=Period(20_786)), AT)
    # gzip has a time of its own
    assert attached(compose(report(ROW), AT)) == attached(compose(report(ROW), AT + 86_400))


@given(st.lists(st.tuples(HOSTILE, HOSTILE, st.integers(0, 9), HOSTILE, HOSTILE), min_size=2, max_size=2, unique=True))
def test_a_report_id_is_of_one_report(both):
    one, other = (report_id(*parts) for parts in both)
    assert re.fullmatch("[a-z2-7]{26}", one)
    lowered = {
        tuple(each.lower() if isinstance(each, str) else each for each in parts[:3]) + parts[3:] for parts in both
    }
    assert (one == other) == (len(lowered) == 1)


def test_a_report_id_does_not_change():
    """A report that is composed again after an update has the same one."""
    assert report_id("mx.receiver.example", "bank.example", 20_785) == "glnpxz6thuczlqrzfjqnem6kpp"
    assert report_id("MX.receiver.example", "Bank.example", 20_785) == "glnpxz6thuczlqrzfjqnem6kpp"


@pytest.mark.parametrize(
    ("address", "field", "local_part"),
    [
        ("dmarc@bank.example", "dmarc@bank.example", "dmarc"),
        ("a.b+c=d@Bank.Example", "a.b+c=d@bank.example", "a.b+c=d"),
        ("dmarc@bücher.example", "dmarc@xn--bcher-kva.example", "dmarc"),
        ("two words@bank.example", '"two words"@bank.example', "two words"),
        ('"two words"@bank.example', '"two words"@bank.example', "two words"),
        ('a"b\\c@bank.example', r'"a\"b\\c"@bank.example', 'a"b\\c'),
        ("a..b@bank.example", '"a..b"@bank.example', "a..b"),
        ("a,b@bank.example", '"a,b"@bank.example', "a,b"),
        ("a@b@bank.example", '"a@b"@bank.example', "a@b"),
        ("a@b.example>, <c@d.example", '"a@b.example>, <c"@d.example', "a@b.example>, <c"),
        ("<a>@bank.example", '"<a>"@bank.example', "<a>"),
    ],
)
def test_an_address_becomes_one_address(address, field, local_part):
    assert written(address) == field
    (found,) = parsed(addressed(compose(report(ROW), AT), address))["To"].addresses
    assert (found.username, found.domain) == (local_part, field.rpartition("@")[2])


@pytest.mark.parametrize(
    "address",
    [
        *("", "@", "dmarc", "dmarc@", "@bank.example", "a\0@bank.example", "a@bank.example\r\n", "ü@bank.example"),
        *("\ud800@bank.example", "a@[192.0.2.1]", "a@bank..example", "a@b c.example", "a" * 65 + "@bank.example"),
        *("a@" + "b." * 130 + "example", "a@b.example, c@d.example>"),
        "a\r\nBcc: x@x.example, b@bank.example",
    ],
)
def test_no_address(address):
    with pytest.raises(ValueError):
        addressed(b"", address)


@given(HOSTILE | st.emails(), HOSTILE | st.sampled_from(["@bank.example", "@bank.example,c@d.example"]))
def test_no_address_makes_a_field_of_its_own(local_part, domain):
    try:
        octets = addressed(b"From: us\r\n\r\n", local_part + domain)
    except ValueError:
        return
    message = parsed(octets)
    assert [*message.keys()] == ["To", "From"]
    assert len(message["To"].addresses) == 1


@pytest.mark.parametrize(
    "reporter",
    [
        Reporter("not a domain", "x", "a@b.example"),
        Reporter("", "x", "a@b.example"),
        Reporter("mx.example", "x", "nobody"),
    ],
)
def test_a_reporter_that_cannot_report(reporter):
    with pytest.raises(ValueError):
        compose(report(ROW, reporter=reporter), AT)


def test_no_rows_no_mail():
    with pytest.raises(ValueError):
        compose(report(), AT)


def without_its_end(octets):
    packed = attachment(octets)
    return octets.replace(b"\r\n".join(packed), b"\r\n".join(packed[:-3]))


def altered_inside(octets):
    packed = attachment(octets)
    return octets.replace(packed[2], b"/" * 76)


def attachment(octets):
    """The lines of base64."""
    return octets.rpartition(b'xml.gz"\r\n\r\n')[2].partition(b"\r\n--")[0].split(b"\r\n")


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda octets: octets[:900],
        lambda octets: octets.replace(b"H4sI", b"AAAA"),
        lambda octets: octets.replace(b"H4sI", b"H4s"),
        without_its_end,
        altered_inside,
    ],
)
def test_what_is_no_mail_of_ours_has_no_document(damage):
    octets = compose(report(ROW), AT)
    assert attached(octets)
    with pytest.raises(ValueError):
        attached(damage(octets))


def test_the_attachment_has_neither_a_time_nor_a_name_of_its_own():
    """RFC 1952 section 2.3: flags and MTIME."""
    head = b64decode(b"".join(attachment(compose(report(ROW), AT))))[:10]
    assert (head[:3], head[3], head[4:8]) == (b"\x1f\x8b\x08", 0, b"\0\0\0\0")


@pytest.mark.parametrize(("octets", "lines"), [(74, 1), (75, 2)])
def test_a_field_is_folded_after_78_characters(octets, lines):
    address = "a@" + "b." * 20 + "c" * (octets - 42)
    assert addressed(b"", address) == (b"To: " if lines == 1 else b"To:\r\n ") + address.encode() + b"\r\n"


def test_a_contact_that_is_not_ascii_is_only_in_the_document():
    found = report(ROW, reporter=Reporter("mx.example", "Empfänger", REPORTER.address, "Büro\r\n.\r\nBcc: x"))
    octets = compose(found, AT)
    assert b"Contact:" not in octets
    assert "<extra_contact_info>Büro . Bcc: x</extra_contact_info>".encode() in attached(octets)
