"""Which messages aggregate reports count, and in which rows: RFC 9990 and 9989."""

import pytest

from mailassay.aggregate import Disposition, Override, Reporter
from mailassay.aggregate.row import added
from mailassay.store import observed
from mailassay.store.database import address, connect
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.reported import OURS, record
from tests.lab.spooled import NOW, Spooled

DAY = int(NOW) // 86_400
FAILS = {"client": "198.51.100.66"}


def row(**given):
    found = added(record(**given), OURS)
    assert found
    return found.row


@pytest.fixture
def seen(tmp_path):
    """What the report of a domain says after the collector has moved these records."""
    spooled = Spooled(tmp_path, ours=OURS)

    def seen(*records, domain="bank.example"):
        spooled.segment(*records)
        spooled.all()
        engine = connect(address(str(tmp_path), None))
        with engine.begin() as connection:
            found = observed.contents(connection, DAY, domain, Reporter("receiver.example", "Receiver", OURS))
        engine.dispose()
        return found, list(found.rows)

    yield seen
    spooled.collector.close()


def test_rfc9989_5_3_results_are_stored_for_reports(seen):
    """What reports need is stored in the transaction in which a message comes into the history."""
    assert seen(record(), record(**FAILS))[1] == [(row(), 1), (row(**FAILS), 1)]


def test_rfc9990_3_1_messages_count_even_if_others_block_them(seen):
    """A message that a rule refuses counts, with the result of DMARC. One that is deferred does not: it comes again."""
    refused = "rules: [{name: r, if: {client: 192.0.2.1}, then: reject}]"
    deferred = "rules: [{name: r, if: {client: 192.0.2.1}, then: defer}]"
    [(found, many)] = seen(record(signed=["bank.example"], policy=refused), record(policy=deferred))[1]
    assert (found.disposition, found.dkim, many) == (Disposition.PASS, True, 1)


def test_rfc9990_3_1_the_final_configuration_is_noted(seen):
    """If a policy changes in the period, the report has the one that was seen last."""
    changed = Zone('_dmarc.bank.example TXT "v=DMARC1; p=none; rua=mailto:d@bank.example"', limits=LIMITS)
    found, _ = seen(record(zone=changed, at=NOW + 60, **FAILS), record(at=NOW, **FAILS))
    assert found.policy.p == "none"


def test_rfc9990_3_1_1_7_one_record_for_each_address_result_and_identifiers(seen):
    """Messages that agree in address, results and identifiers are one record."""
    some = [
        record(), record(), record(**FAILS), record(client="198.51.100.67"), record(author="a@deep.bank.example"),
        record(signed=["bank.example"]),
    ]  # fmt: skip
    assert sorted(many for _, many in seen(*some)[1]) == [1, 1, 1, 1, 2]


def test_rfc9990_3_1_1_8_source_ip_is_the_connecting_address():
    """The address of the client, in the form of RFC 5952."""
    assert row().source_ip == "192.0.2.1"
    assert row(client="2001:db8::0:1").source_ip == "2001:db8::1"


def test_rfc9990_3_1_1_9_a_reason_explains_what_the_policy_does_not():
    """If alignment fails and what was done is not what was published, there is a reason."""
    for policy in ("", "mode: monitor", "dmarc: {reject: hold}", "dmarc: {reject: accept, enforce_percent: 1}"):
        for author in ("a@bank.example", "a@testing.example", "a@plain.example", "a@deep.bank.example"):
            record_of = record(author=author, policy=policy, **FAILS)
            found = added(record_of, OURS)
            published = {"p": found.policy.p, "sp": found.policy.sp, "np": found.policy.np}
            asked = published[record_of["evidence"]["dmarc"]["tag"]]
            assert (found.row.dkim, found.row.spf) == (False, False)
            assert bool(found.row.reasons) is (found.row.disposition.value != asked.value)


def test_rfc9990_3_1_1_9_dkim_and_spf_are_those_of_dmarc():
    """An override changes the disposition, and not the results."""
    found = row(policy="dmarc: {trusted_forwarders: [198.51.100.0/24]}", **FAILS)
    assert (found.disposition, found.dkim, found.spf) == (Disposition.NONE, False, False)


def test_rfc9990_3_1_1_9_pass_is_for_policies_that_ask_for_more_than_none():
    """A message that passes is pass under quarantine or reject, and none under p=none."""
    assert row().disposition is Disposition.PASS
    assert row(author="a@plain.example").disposition is Disposition.NONE


def test_rfc9990_3_1_1_10_the_identifiers_are_those_that_were_evaluated():
    """The domains of From and of MAIL FROM; empty for a null reverse-path; never the recipient's."""
    found = row(author="a@deep.bank.example", mail_from="<x@other.example>")
    assert (found.header_from, found.envelope_from) == ("deep.bank.example", "other.example")
    assert row(mail_from="<>").envelope_from == ""


def test_rfc9990_3_1_1_11_every_signature_that_was_validated_is_there():
    """Those that pass and those that do not, with the words of RFC 8601."""
    broken = (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=bad.example; s=x; h=from; bh=AA; b=BB")
    found = row(signed=["bank.example", "other.example"], fields=[broken])
    assert [(each.domain, each.selector, each.result) for each in found.signatures] == [
        ("bank.example", "sel", "pass"), ("other.example", "sel", "pass"), ("bad.example", "x", "permerror"),
    ]  # fmt: skip


def test_rfc9990_3_1_1_13_spf_of_helo_counts_only_without_mail_from():
    """The result is that of MAIL FROM, which is the HELO name for a null reverse-path (RFC 7208 section 2.4)."""
    assert row(mail_from="<x@other.example>").spf_result == ("other.example", "fail")
    assert row(mail_from="<>").spf_result == ("mail.bank.example", "pass")


def test_rfc9990_3_1_2_subdomains_count_at_the_domain_that_has_the_record(seen):
    """From domains without a record of their own are records in the report of their policy domain."""
    found, rows = seen(record(), record(author="a@deep.bank.example"), record(author="a@plain.example"))
    assert found.policy.domain == "bank.example"
    assert {each.header_from for each, _ in rows} == {"bank.example", "deep.bank.example"}


def test_rfc9990_3_1_3_aligned_signatures_come_first():
    """Strictly aligned, aligned in relaxed mode, other ones that pass, and ones that do not pass."""
    broken = (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=bank.example; s=x; h=from; bh=AA; b=BB")
    found = row(signed=["bank.example", "mail.bank.example", "other.example"], fields=[broken])
    assert [(each.domain, each.result == "pass") for each in found.signatures] == [
        ("bank.example", True), ("mail.bank.example", True), ("other.example", True), ("bank.example", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "override"),
    [
        ({"author": "a@testing.example"}, Override.POLICY_TEST_MODE),
        ({"policy": "mode: monitor"}, Override.LOCAL_POLICY),
        ({"policy": "rules: [{name: r, if: {client: 198.51.100.66}, then: accept}]"}, Override.LOCAL_POLICY),
        ({"policy": "dmarc: {trusted_forwarders: [198.51.100.0/24]}"}, Override.TRUSTED_FORWARDER),
        (
            {
                "signed": ["lists.example"],
                "fields": [(b"List-Id", b" <l.lists.example>")],
                "policy": "dmarc: {mailing_lists: [lists.example]}",
            },
            Override.MAILING_LIST,
        ),
    ],
)
def test_rfc9990_3_1_6_each_override_has_its_type(given, override):
    """t=y, our own policy, trusted forwarders and mailing lists each have their word."""
    assert [each.type for each in row(**FAILS | given).reasons] == [override]


def test_rfc9990_3_3_a_policy_that_changes_makes_one_report(seen):
    """The messages before and after the change are in one report."""
    changed = Zone('_dmarc.bank.example TXT "v=DMARC1; p=none; rua=mailto:d@bank.example"', limits=LIMITS)
    _, rows = seen(record(**FAILS), record(zone=changed, at=NOW + 60, **FAILS))
    assert sorted(each.disposition for each, _ in rows) == ["none", "reject"]


def test_rfc9990_3_4_only_who_asks_gets_a_report():
    """Without a mailto URI in rua= of the record that applied, nothing is counted."""
    for author in ("a@silent.example", "a@http.example", "a@zero.example", "a@none.example"):
        assert added(record(author=author), OURS) is None


def test_rfc9990_7_3_a_public_suffix_gets_aggregate_reports():
    """A record with psd=y counts like another if it applied."""
    found = added(record(author="a@bank.psd"), OURS)
    assert (found.policy.domain, found.policy.psd) == ("psd", "y")
