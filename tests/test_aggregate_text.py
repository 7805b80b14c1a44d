"""A report in lines for a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import __version__
from mailassay.aggregate import Reporter
from mailassay.aggregate.document import xml
from mailassay.aggregate.naming import id_of
from mailassay.aggregate.text import Style, lines
from tests.lab.reports import FORGED, REPORTER, REPORTS, ROW, report

WHOLE = """\
DMARC aggregate report about bank.example
  time       2026-11-28 00:00:00 to 2026-11-28 23:59:59 UTC
  from       Receiver Example, dmarc-reports@receiver.example
  contact    https://x.example/?a&b
  report id  REPORT_ID
  policy     p=reject; sp=quarantine; np=reject; fo=1:d; adkim=s; aspf=r; t=y
  error      sp is invalid
  made by    mailassay VERSION

1,201 messages in 2 rows: 1,200 passed DMARC, 1 did not. Disposition: none 1,
pass 1,200.

1,200 messages from 192.0.2.1: pass
  From bank.example, MAIL FROM bounce.bank.example
  aligned: dkim pass, spf fail
  dkim=pass d=bank.example s=2026a
  spf=softfail bounce.bank.example

1 message from 2001:db8::7: none
  From pay.bank.example, MAIL FROM <>
  aligned: dkim fail, spf fail
  because of policy_test_mode
  because of local_policy: rule known-list & others
  spf=none helo.example
"""


def test_the_whole_report():
    found = report((ROW, 1200), FORGED, errors=("sp is invalid",))
    text = "\n".join([*lines(xml(found), Style(78)), ""])
    assert text.replace(id_of(found), "REPORT_ID").replace(__version__, "VERSION") == WHOLE


def test_what_is_unknown_has_no_line():
    row = ROW._replace(envelope_from=None, spf_result=None, signatures=())
    found = report(row, reporter=Reporter("mx.example", "x", REPORTER.address))
    text = "\n".join(lines(xml(found), Style(78)))
    assert text.endswith(": pass\n  From bank.example\n  aligned: dkim pass, spf fail")
    assert "contact" not in text
    assert "error" not in text


def test_colours():
    text = [*lines(xml(report(ROW, FORGED)), Style(78, colour=True))]
    assert text[0] == "\x1b[1mDMARC aggregate report about bank.example\x1b[0m"
    assert "\x1b[32m1 message from 192.0.2.1: pass\x1b[0m" in text
    assert "1 message from 2001:db8::7: none" in text


@given(REPORTS, st.integers(40, 120))
def test_nothing_moves_the_cursor(found, width):
    text = [*lines(xml(found), Style(width))]
    assert all(line.isprintable() for line in text)
    assert sum(line.startswith("  aligned: ") for line in text) == len(found.rows)


def test_a_document_that_is_not_fit_is_printed_safely():
    octets = xml(report(ROW, FORGED)).replace(b"bank.example", "a\u202e\x85\u2028b".encode())
    octets = octets.replace(b"rule known", b"rule&#x85;known").replace(b">none<", ">\u200b<".encode())
    text = [*lines(octets, Style(78))]
    assert all(line.isprintable() for line in text)
    assert text[0] == "DMARC aggregate report about a???b"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"<",
        b"\xff",
        b"<feedback/>",
        b"<feedback><report_metadata/><policy_published/></feedback>",
        xml(report(ROW)).replace(b"<count>1<", b"<count>x<"),
        xml(report(ROW)).replace(b"<begin>", b"<begin>9999999999999999999"),
        xml(report(ROW))[:-5],
        b'<!DOCTYPE feedback [<!ENTITY x SYSTEM "file:///etc/passwd">]><feedback>&x;</feedback>',
    ],
)
def test_what_is_no_report(octets):
    with pytest.raises(ValueError):
        [*lines(octets, Style(78))]
