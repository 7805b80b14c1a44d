"""Aggregate reports: RFC 9990 section 3, as far as documents and mail are concerned."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from ipaddress import ip_address

import pytest

from mailassay import __version__
from mailassay.aggregate import Disposition, Override, Period, Policy, Reason, Reporter, Signature
from mailassay.aggregate.document import xml
from mailassay.aggregate.mail import addressed, compose
from mailassay.aggregate.naming import report_id
from tests.lab.reports import AT, DAY, FORGED, NAMESPACE, POLICY, REPORTER, ROW, report, texts, tree

# RFC 6376 section 2.6, RFC 5321 section 4.1.2
_DOMAIN_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+"
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_RIDFMT = rf"{_ATEXT}(?:\.{_ATEXT})*(?:@{_ATEXT}(?:\.{_ATEXT})*)?"
_FWS = r"(?:[ \t]*\r\n)?[ \t]+"
# section 3.5.2
FILE_NAME = re.compile(
    rf"(?P<receiver>{_DOMAIN_NAME})!(?P<domain>{_DOMAIN_NAME})!(?P<begin>\d+)!(?P<end>\d+)(?:!(?P<id>[A-Za-z0-9]+))?"
    r"\.(?P<extension>xml|xml\.gz)",
    re.ASCII,
)
SUBJECT = re.compile(
    rf"Report(?:{_FWS})+Domain:(?:{_FWS})+(?P<domain>{_DOMAIN_NAME})(?:{_FWS})+Submitter:(?:{_FWS})+"
    rf"(?P<receiver>{_DOMAIN_NAME})(?:{_FWS})+(?:Report-ID:(?:{_FWS})+(?P<id><{_RIDFMT}>|{_RIDFMT}))?"
)
RIDTXT = re.compile(rf"<{_RIDFMT}>|{_RIDFMT}")


def document(*rows, **changes):
    return tree(xml(report(*(rows or (ROW, FORGED)), **changes)))


def names(root, path="."):
    """The names of the children of the first element at a path."""
    where = "/".join(part if part == "." else f"{NAMESPACE}{part}" for part in path.split("/"))
    return [each.tag.removeprefix(NAMESPACE) for each in root.find(where)]


def mail(**changes):
    octets = addressed(compose(report(ROW, FORGED, **changes), AT), "dmarc@bank.example")
    return octets, message_from_bytes(octets, policy=policy.default)


def attachment(message):
    (found,) = message.iter_attachments()
    return found


def test_rfc9990_3_1_a_report_has_one_policy_domain_and_one_configuration():
    """A report has one policy_published element: that of the last configuration seen in its period."""
    root = document()
    assert len(root.findall(f"{NAMESPACE}policy_published")) == 1
    assert texts(root, "policy_published/domain") == ["bank.example"]


@pytest.mark.parametrize("rows", [(ROW,), (FORGED,), (ROW, FORGED) * 20])
def test_rfc9990_3_1_1_the_document_is_valid_by_the_schema(rows):
    """The document is valid by the XSD of Appendix A, whatever its rows are."""
    assert len(document(*rows).findall(f"{NAMESPACE}record")) == len(rows)


def test_rfc9990_3_1_1_1_the_root_is_feedback_in_the_namespace_of_dmarc():
    """The root element is "feedback" in the namespace urn:ietf:params:xml:ns:dmarc-2.0, as are all others."""
    root = document()
    assert root.tag == "{urn:ietf:params:xml:ns:dmarc-2.0}feedback"
    assert all(each.tag.startswith(NAMESPACE) for each in root.iter())


def test_rfc9990_3_1_1_2_first_level_elements_are_in_order():
    """version, which is 1.0, report_metadata, policy_published and the records, in this order; no extension."""
    root = document()
    assert names(root) == ["version", "report_metadata", "policy_published", "record", "record"]
    assert texts(root, "version") == ["1.0"]


def test_rfc9990_3_1_1_2_there_is_at_least_one_record():
    """A report without a row is not made."""
    with pytest.raises(ValueError):
        xml(report())


def test_rfc9990_3_1_1_3_the_metadata_says_who_reports():
    """The metadata has the name, the address, the contact and the Report-ID, and the version of mailassay."""
    root = document(errors=("sp is invalid",))
    assert names(root, "report_metadata") == [
        "org_name", "email", "extra_contact_info", "report_id", "date_range", "error", "generator",
    ]  # fmt: skip
    for name, text in {
        "org_name": REPORTER.org_name,
        "email": REPORTER.address,
        "extra_contact_info": REPORTER.contact,
        "report_id": report_id(REPORTER.domain, POLICY.domain, DAY),
        "generator": f"mailassay {__version__}",
    }.items():
        assert texts(root, f"report_metadata/{name}") == [text]


def test_rfc9990_3_1_1_3_optional_metadata_is_left_out():
    """Without a contact and without errors, the elements for them are left out."""
    root = document(reporter=Reporter("mx.receiver.example", "Receiver", REPORTER.address))
    assert names(root, "report_metadata") == ["org_name", "email", "report_id", "date_range", "generator"]


def test_rfc9990_3_1_1_4_the_period_is_a_utc_day():
    """begin and end are the first and the last second of a UTC day, so that no two periods overlap."""
    periods = [
        [int(texts(document(period=Period(day)), f"report_metadata/date_range/{name}")[0]) for name in ("begin", "end")]
        for day in (DAY, DAY + 1)
    ]
    assert [datetime.fromtimestamp(each, UTC).isoformat() for each in periods[0]] == [
        "2026-11-28T00:00:00+00:00",
        "2026-11-28T23:59:59+00:00",
    ]
    assert periods[0][1] + 1 == periods[1][0]


def test_rfc9990_3_1_1_5_the_policy_is_the_published_one():
    """The Policy Domain, the tags of its record, and testing, which is the t tag. The method is the tree walk."""
    root = document()
    assert {name: texts(root, f"policy_published/{name}") for name in names(root, "policy_published")} == {
        "domain": ["bank.example"], "discovery_method": ["treewalk"], "p": ["reject"], "sp": ["quarantine"],
        "np": ["reject"], "fo": ["1:d"], "adkim": ["s"], "aspf": ["r"], "testing": ["y"],
    }  # fmt: skip


def test_rfc9990_3_1_1_5_unspecified_tags_have_their_defaults():
    """A tag that the record leaves out is in the report too, with its default."""
    root = document(policy=Policy("bank.example", "none", "none", "none"))
    found = {name: texts(root, f"policy_published/{name}")[0] for name in ("fo", "adkim", "aspf", "testing")}
    assert found == {"fo": "0", "adkim": "r", "aspf": "r", "testing": "n"}


def test_rfc9990_3_1_1_7_elements_of_a_record_are_in_order():
    """row, identifiers and auth_results, in this order; each row of the history is one record."""
    assert names(document(), "record") == ["row", "identifiers", "auth_results"]


@pytest.mark.parametrize(
    ("client", "written"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:db8::/64", "2001:db8::"),
    ],
)
def test_rfc9990_3_1_1_8_source_ip_is_an_address_of_rfc_3986(client, written):
    """The address has no brackets, no zone and no prefix length. A merged network is written as its first address."""
    (found,) = texts(document(ROW._replace(source_ip=client)), "record/row/source_ip")
    assert found == written == str(ip_address(found))


def test_rfc9990_3_1_1_8_count_is_the_number_of_messages():
    """A record says for how many messages it stands."""
    assert texts(document((ROW, 12), (FORGED, 3)), "record/row/count") == ["12", "3"]


def test_rfc9990_3_1_1_9_elements_of_policy_evaluated_are_in_order():
    """disposition, dkim, spf and the reasons, in this order."""
    root = document(FORGED)
    assert names(root, "record/row/policy_evaluated") == ["disposition", "dkim", "spf", "reason", "reason"]


@pytest.mark.parametrize("disposition", Disposition)
@pytest.mark.parametrize(("dkim", "spf"), [(True, False), (False, True), (False, False)])
def test_rfc9990_3_1_1_9_dkim_and_spf_are_aligned_results(disposition, dkim, spf):
    """dkim and spf say whether an aligned domain passed, whatever was done with the message."""
    root = document(ROW._replace(disposition=disposition, dkim=dkim, spf=spf))
    for name, passed in (("dkim", dkim), ("spf", spf)):
        assert texts(root, f"record/row/policy_evaluated/{name}") == ["pass" if passed else "fail"]
    assert texts(root, "record/row/policy_evaluated/disposition") == [disposition]


@pytest.mark.parametrize(
    ("envelope_from", "written"), [("", [""]), (None, []), ("bounce.bank.example", ["bounce.bank.example"])]
)
def test_rfc9990_3_1_1_10_a_null_reverse_path_is_an_empty_envelope_from(envelope_from, written):
    """envelope_from is empty for a null reverse-path, and left out if it is not known. envelope_to is left out."""
    root = document(ROW._replace(envelope_from=envelope_from))
    assert texts(root, "record/identifiers/envelope_from") == written
    assert texts(root, "record/identifiers/envelope_to") == []
    assert texts(root, "record/identifiers/header_from") == ["bank.example"]


def test_rfc9990_3_1_1_11_dkim_comes_before_spf():
    """All signatures come before SPF."""
    signatures = (Signature("a.example", "a", "fail"), Signature("b.example", "b", "pass"))
    assert names(document(ROW._replace(signatures=signatures)), "record/auth_results") == ["dkim", "dkim", "spf"]


@pytest.mark.parametrize("result", ["none", "pass", "fail", "policy", "neutral", "temperror", "permerror"])
def test_rfc9990_3_1_1_12_a_signature_has_domain_selector_and_result(result):
    """A signature has its domain, its selector and a result word of RFC 8601 section 2.7.1."""
    root = document(ROW._replace(signatures=(Signature("a.example", "2026a", result),)))
    assert names(root, "record/auth_results/dkim") == ["domain", "selector", "result"]
    found = {name: texts(root, f"record/auth_results/dkim/{name}") for name in ("domain", "selector", "result")}
    assert found == {"domain": ["a.example"], "selector": ["2026a"], "result": [result]}


@pytest.mark.parametrize("selector", ["", "\0", "a b", "\u202e", "\ud800", "x" * 5000, "</selector>"])
def test_rfc9990_3_1_1_12_a_selector_is_never_missing(selector):
    """A selector that is empty, too long, or has characters that cannot be seen is made fit."""
    root = document(ROW._replace(signatures=(Signature("a.example", selector, "permerror"),)))
    (found,) = texts(root, "record/auth_results/dkim/selector")
    assert 1 <= len(found) <= 255
    assert found.isprintable()


@pytest.mark.parametrize("result", ["none", "pass", "fail", "softfail", "policy", "neutral", "temperror", "permerror"])
def test_rfc9990_3_1_1_13_spf_is_that_of_mail_from(result):
    """The scope of SPF is mfrom, and the result is a word of RFC 8601 section 2.7.2."""
    root = document(ROW._replace(spf_result=ROW.spf_result._replace(result=result)))
    found = {name: texts(root, f"record/auth_results/spf/{name}") for name in names(root, "record/auth_results/spf")}
    assert found == {"domain": ["bounce.bank.example"], "scope": ["mfrom"], "result": [result]}


def test_rfc9990_3_1_1_14_a_reason_has_a_type_and_perhaps_a_comment():
    """The comment is left out if there is none."""
    root = document(FORGED)
    assert texts(root, "record/row/policy_evaluated/reason/type") == ["policy_test_mode", "local_policy"]
    assert texts(root, "record/row/policy_evaluated/reason/comment") == ["rule known-list & others"]


def test_rfc9990_3_1_2_each_from_domain_has_its_own_record():
    """Messages of domains without a record of their own are in the report of the Policy Domain, each in a record."""
    root = document(ROW, ROW._replace(header_from="foo.bank.example"))
    assert texts(root, "record/identifiers/header_from") == ["bank.example", "foo.bank.example"]
    assert texts(root, "policy_published/domain") == ["bank.example"]


def test_rfc9990_3_1_3_no_more_than_100_signatures():
    """A record has at most the first 100 signatures of a row, whose order is that of this section."""
    signatures = tuple(Signature("a.example", f"s{number}", "pass") for number in range(150))
    found = texts(document(ROW._replace(signatures=signatures)), "record/auth_results/dkim/selector")
    assert found == [f"s{number}" for number in range(100)]


def test_rfc9990_3_1_4_all_identifiers_of_a_report_are_the_same():
    """The Report-ID is the same in the document, in the subject, in the file name and in the Message-ID."""
    octets, message = mail()
    file = attachment(message)
    root = tree(gzip.decompress(file.get_content()))
    (identifier,) = texts(root, "report_metadata/report_id")
    assert FILE_NAME.fullmatch(file.get_filename())["id"] == identifier
    assert SUBJECT.fullmatch(message["Subject"])["id"] == identifier
    assert message["Message-ID"] == f"<{identifier}@receiver.example>"
    assert octets.count(identifier.encode()) > 4


def test_rfc9990_3_1_5_errors_are_one_short_element():
    """There is one error element, of at most 1,000 characters."""
    (error,) = texts(document(errors=("x" * 9000, "y" * 9000) * 5), "report_metadata/error")
    assert len(error) == 1000


@pytest.mark.parametrize("override", Override)
def test_rfc9990_3_1_6_a_reason_has_a_type_of_the_list(override):
    """The type is local_policy, mailing_list, other, policy_test_mode or trusted_forwarder."""
    root = document(FORGED._replace(reasons=(Reason(override),)))
    assert texts(root, "record/row/policy_evaluated/reason/type") == [override]
    assert override in ("local_policy", "mailing_list", "other", "policy_test_mode", "trusted_forwarder")


def test_rfc9990_3_5_1_a_report_id_is_unique_and_has_its_form():
    """The Report-ID is a hash of the receiver, the Policy Domain and the day, in letters and digits."""
    found = {
        report_id(receiver, domain, day)
        for receiver in ("mx1.receiver.example", "mx2.receiver.example")
        for domain in ("bank.example", "pay.bank.example")
        for day in range(100)
    }
    assert len(found) == 400
    assert all(RIDTXT.fullmatch(each) and re.fullmatch("[a-z2-7]{26}", each) for each in found)


def test_rfc9990_3_5_2_the_mail_has_the_form_of_rfc_5322_and_mime():
    """The mail has one field of each name, lines of ASCII that end with CRLF, and no defect."""
    octets, message = mail()
    assert octets.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert not [each for each in message.walk() if each.defects]
    assert len({*message.keys()}) == len(message.keys())
    assert {"From", "To", "Date", "Subject", "Message-ID", "MIME-Version"} < {*message.keys()}


def test_rfc9990_3_5_2_the_report_is_an_attachment_in_gzip():
    """The document is an attachment of type application/gzip, beside a short text for people."""
    _, message = mail()
    text, file = message.iter_parts()
    assert (text.get_content_type(), text.is_attachment()) == ("text/plain", False)
    assert (file.get_content_type(), file.is_attachment()) == ("application/gzip", True)
    assert gzip.decompress(file.get_content()) == xml(report(ROW, FORGED))


@pytest.mark.parametrize("domain", ["bank.example", "xn--bcher-kva.example", "a." * 120 + "example"])
def test_rfc9990_3_5_2_the_file_name_has_its_form(domain):
    """The file name has the receiver, the Policy Domain, the period and the Report-ID; it ends with xml.gz."""
    _, message = mail(policy=POLICY._replace(domain=domain))
    found = FILE_NAME.fullmatch(attachment(message).get_filename())
    assert found.groupdict() == {
        "receiver": REPORTER.domain,
        "domain": domain,
        "begin": "1795824000",
        "end": "1795910399",
        "id": report_id(REPORTER.domain, domain, DAY),
        "extension": "xml.gz",
    }


def test_rfc9990_3_5_2_a_report_that_is_sent_again_has_the_same_file_name():
    """The same rows give the same octets, also if the report is composed again. To another address, too."""
    octets, message = mail()
    again, another = mail()
    assert octets == again
    assert attachment(message).get_filename() == attachment(another).get_filename()
    body = compose(report(ROW, FORGED), AT)
    assert addressed(body, "x@other.example").removeprefix(b"To: x@other.example\r\n") == body


@pytest.mark.parametrize("domain", ["bank.example", "xn--bcher-kva.example", "a." * 120 + "example"])
def test_rfc9990_3_5_2_the_subject_has_its_form(domain):
    """The subject has the Policy Domain, the receiver and the Report-ID, and is folded where white space may be."""
    octets, _ = mail(policy=POLICY._replace(domain=domain))
    (field,) = re.findall(rb"^Subject: ((?:[^\r]|\r\n[ \t])*)\r\n", octets, re.M)
    found = SUBJECT.fullmatch(field.decode())
    assert found.groupdict() == {
        "domain": domain,
        "receiver": REPORTER.domain,
        "id": report_id(REPORTER.domain, domain, DAY),
    }


def test_rfc9990_3_5_4_a_duplicate_has_the_same_identifiers():
    """A report that is composed a second time, on another day, has the same identifiers and the same document."""
    first, second = (
        message_from_bytes(compose(report(ROW, FORGED), at), policy=policy.default) for at in (AT, AT + 86_400)
    )
    for name in ("Subject", "Message-ID"):
        assert first[name] == second[name]
    assert first["Date"] != second["Date"]
    assert attachment(first).get_content() == attachment(second).get_content()
    assert attachment(first).get_filename() == attachment(second).get_filename()
