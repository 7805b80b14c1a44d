"""A report as XML: valid whatever senders wrote, small in memory, the same each time."""

from __future__ import annotations

import re
import tracemalloc
from ipaddress import ip_address
from itertools import repeat

import pytest
from hypothesis import given

from mailassay import __version__
from mailassay.aggregate import Disposition, Policy, Reason, Reporter, Signature, document, fit
from mailassay.aggregate.document import pieces, xml
from mailassay.result import Result
from tests.lab.reports import FORGED, HOSTILE, POLICY, REPORTER, REPORTS, ROW, report, texts, tree

WHOLE = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">
  <version>1.0</version>
  <report_metadata>
    <org_name>Receiver Example</org_name>
    <email>dmarc-reports@receiver.example</email>
    <extra_contact_info>https://x.example/?a&amp;b</extra_contact_info>
    <report_id>REPORT_ID</report_id>
    <date_range>
      <begin>1795824000</begin>
      <end>1795910399</end>
    </date_range>
    <error>two DMARC records; sp is invalid</error>
    <generator>mailassay {__version__}</generator>
  </report_metadata>
  <policy_published>
    <domain>bank.example</domain>
    <discovery_method>treewalk</discovery_method>
    <p>reject</p>
    <sp>quarantine</sp>
    <np>reject</np>
    <fo>1:d</fo>
    <adkim>s</adkim>
    <aspf>r</aspf>
    <testing>y</testing>
  </policy_published>
  <record>
    <row>
      <source_ip>192.0.2.1</source_ip>
      <count>12</count>
      <policy_evaluated>
        <disposition>pass</disposition>
        <dkim>pass</dkim>
        <spf>fail</spf>
      </policy_evaluated>
    </row>
    <identifiers>
      <header_from>bank.example</header_from>
      <envelope_from>bounce.bank.example</envelope_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>bank.example</domain>
        <selector>2026a</selector>
        <result>pass</result>
      </dkim>
      <spf>
        <domain>bounce.bank.example</domain>
        <scope>mfrom</scope>
        <result>softfail</result>
      </spf>
    </auth_results>
  </record>
  <record>
    <row>
      <source_ip>2001:db8::7</source_ip>
      <count>1</count>
      <policy_evaluated>
        <disposition>none</disposition>
        <dkim>fail</dkim>
        <spf>fail</spf>
        <reason>
          <type>policy_test_mode</type>
        </reason>
        <reason>
          <type>local_policy</type>
          <comment>rule known-list &amp; others</comment>
        </reason>
      </policy_evaluated>
    </row>
    <identifiers>
      <header_from>pay.bank.example</header_from>
      <envelope_from></envelope_from>
    </identifiers>
    <auth_results>
      <spf>
        <domain>helo.example</domain>
        <scope>mfrom</scope>
        <result>none</result>
      </spf>
    </auth_results>
  </record>
</feedback>
"""


def test_the_whole_document():
    found = xml(report((ROW, 12), FORGED, errors=("two DMARC records", "sp is invalid"))).decode()
    (identifier,) = re.findall("<report_id>([a-z2-7]{26})</report_id>", found)
    assert found.replace(identifier, "REPORT_ID") == WHOLE
    tree(found.encode())


# every shape of a row: with and without each part, and each word
SHAPES = [
    ROW._replace(envelope_from=None, spf_result=None, signatures=()),
    *(ROW._replace(disposition=each) for each in Disposition),
    *(ROW._replace(signatures=(Signature("a.example", "s", each),)) for each in Result if each is not Result.SOFTFAIL),
    *(ROW._replace(spf_result=ROW.spf_result._replace(result=each)) for each in Result),
    *(ROW._replace(reasons=(reason,) * number) for number in (1, 3) for reason in FORGED.reasons),
    FORGED,
]


@pytest.mark.parametrize("row", SHAPES)
def test_every_shape_is_valid(row):
    root = tree(xml(report(row)))
    assert texts(root, "record/row/policy_evaluated/disposition") == [row.disposition]
    assert texts(root, "record/auth_results/dkim/result") == [each.result for each in row.signatures]
    assert texts(root, "record/auth_results/spf/result") == ([row.spf_result.result] if row.spf_result else [])


@given(REPORTS)
def test_whatever_senders_write_the_document_is_valid(found):
    octets = xml(found)
    root = tree(octets)
    rows = [row for row, _ in found.rows]
    assert texts(root, "record/row/count") == [str(count) for _, count in found.rows]
    assert texts(root, "record/identifiers/envelope_from") == [
        row.envelope_from and fit.name(row.envelope_from) for row in rows if row.envelope_from is not None
    ]
    assert len(texts(root, "record/auth_results/dkim/selector")) == sum(len(row.signatures) for row in rows)
    for each in root.iter():
        text = each.text or ""
        if not len(each) and not each.tag.endswith("}auth_results"):
            assert text.isprintable()
            assert len(text) <= document.MAX_ERROR
    assert octets == xml(found)


@given(HOSTILE)
def test_a_name_survives_every_reader(text):
    found = fit.name(text)
    assert found == found.strip()
    assert 1 <= len(found) <= fit.MAX_NAME
    assert found.isprintable()
    assert " " not in found
    assert fit.name(found) == found


@given(HOSTILE)
def test_a_sentence_is_one_short_line(text):
    found = fit.sentence(text, 20)
    assert found == found.strip()
    assert len(found) <= 20
    assert found.isprintable()
    assert fit.sentence(found, 20) == found


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("192.0.0.0/16", "192.0.0.0"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::"),
        ("2001:db8:1:2::9/64", "2001:db8:1:2::"),
        ("unknown", "0.0.0.0"),
        ("", "0.0.0.0"),
        ("192.0.2.1\n", "0.0.0.0"),
        ("\ud800", "0.0.0.0"),
    ],
)
def test_an_address_has_the_form_of_rfc_3986(text, written):
    assert fit.address(text) == written


@given(HOSTILE)
def test_whatever_an_address_is_an_address_is_written(text):
    assert str(ip_address(fit.address(text))) == fit.address(text)


def test_what_is_missing_does_not_make_an_element_empty():
    """Many readers take an empty element for a missing one."""
    row = ROW._replace(
        header_from="", signatures=(Signature("", "", "pass"),), spf_result=ROW.spf_result._replace(domain="")
    )
    root = tree(xml(report(row)))
    assert texts(root, "record/auth_results/dkim/selector") == ["?"]
    assert texts(root, "record/auth_results/dkim/domain") == ["?"]
    assert texts(root, "record/auth_results/spf/domain") == ["?"]
    assert texts(root, "record/identifiers/header_from") == ["?"]


def test_words_that_the_schema_does_not_have():
    """They ask for nothing, and say nothing about the message."""
    policy = Policy("bank.example", "monitor", "", "REJECT", adkim="x", aspf="")
    row = ROW._replace(
        signatures=(Signature("a.example", "s", "softfail"),), spf_result=ROW.spf_result._replace(result="x")
    )
    root = tree(xml(report(row, policy=policy)))
    assert [texts(root, f"policy_published/{tag}")[0] for tag in ("p", "sp", "np", "adkim", "aspf")] == [
        "none",
        "none",
        "none",
        "r",
        "r",
    ]
    assert texts(root, "record/auth_results/dkim/result") == ["neutral"]
    assert texts(root, "record/auth_results/spf/result") == ["none"]


def test_long_errors_and_comments_are_cut():
    row = ROW._replace(reasons=(Reason(FORGED.reasons[0].type, "x" * 5000),))
    root = tree(xml(report(row, errors=("a" * 400, "b" * 400, "c" * 400, "d" * 400, "e" * 400))))
    (error,) = texts(root, "report_metadata/error")
    assert (len(error), error[:256], error[-1]) == (1000, "a" * 254 + "…;", "…")
    assert len(texts(root, "record/row/policy_evaluated/reason/comment")[0]) == 255


def test_a_reporter_without_a_name_has_its_domain():
    root = tree(xml(report(ROW, reporter=Reporter("mx.example", " ", REPORTER.address))))
    assert texts(root, "report_metadata/org_name") == ["mx.example"]
    assert texts(root, "report_metadata/extra_contact_info") == []


def test_a_report_without_rows_is_none():
    with pytest.raises(ValueError):
        xml(report())


def test_only_one_record_is_in_memory():
    """10,000 rows with 20 signatures each are some 25 MB of XML, which are never there at once."""
    row = ROW._replace(signatures=(Signature("bank.example", "2026a", "pass"),) * 20)
    found = report(policy=POLICY, rows=zip(repeat(row, 10_000), repeat(3, 10_000), strict=True))
    tracemalloc.start()
    try:
        size = sum(map(len, pieces(found)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 20 << 20
    assert peak < 1 << 20


def test_the_rows_are_read_once():
    rows = iter([(ROW, 1), (FORGED, 2)])
    assert xml(report(rows=rows)).count(b"<record>") == 2
    assert [*rows] == []
