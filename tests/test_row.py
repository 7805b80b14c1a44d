"""What a message adds to a report, from the record that the history has of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.aggregate import Disposition, Override, Policy, Spf
from mailassay.aggregate.arrival import Unfit, arrival
from mailassay.aggregate.coarse import LEVELS, coarse, merged
from mailassay.aggregate.row import MOST_SIGNATURES, added
from mailassay.config import KeptAddresses
from mailassay.store import row_text
from tests.lab.reported import OURS, TOKEN, record


def one(**given):
    found = added(record(**given), OURS)
    assert found
    return found


def reasons(**given):
    row = one(**given).row
    return row.disposition, [(each.type, each.comment) for each in row.reasons]


def test_a_message_that_passes():
    policy, row, wanted = one(signed=["bank.example"])
    assert policy == Policy("bank.example", "reject", "quarantine", "reject", "1", "r", "s", psd="u")
    assert (row.source_ip, row.header_from, row.envelope_from) == ("192.0.2.1", "bank.example", "bank.example")
    assert (row.disposition, row.dkim, row.spf, row.reasons) == (Disposition.PASS, True, True, ())
    assert [tuple(each) for each in row.signatures] == [("bank.example", "sel", "pass")]
    assert row.spf_result == Spf("bank.example", "pass")
    assert wanted


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"author": "a@plain.example", "mail_from": "<a@plain.example>"}, (Disposition.NONE, [])),
        ({"author": "a@bank.example", "client": "198.51.100.66"}, (Disposition.REJECT, [])),
        ({"author": "a@plain.example", "client": "198.51.100.66"}, (Disposition.NONE, [])),
        (
            {"client": "198.51.100.66", "policy": "mode: monitor"},
            (Disposition.NONE, [(Override.LOCAL_POLICY, "the receiver does not enforce policies yet")]),
        ),
        (
            {"client": "198.51.100.66", "policy": "dmarc: {reject: hold}"},
            (Disposition.QUARANTINE, [(Override.LOCAL_POLICY, "the receiver is less strict")]),
        ),
        (
            {"client": "198.51.100.66", "policy": "dmarc: {reject: tag}"},
            (Disposition.QUARANTINE, [(Override.LOCAL_POLICY, "the receiver is less strict")]),
        ),
        (
            {"author": "a@plain.example", "client": "198.51.100.66", "policy": "dmarc: {none: reject}"},
            (Disposition.REJECT, [(Override.LOCAL_POLICY, "the receiver is stricter")]),
        ),
        (
            {"client": "198.51.100.66", "policy": "dmarc: {trusted_forwarders: [198.51.100.0/24]}"},
            (Disposition.NONE, [(Override.TRUSTED_FORWARDER, "")]),
        ),
        (
            {
                "author": "a@bank.example",
                "client": "198.51.100.66",
                "mail_from": "<list@lists.example>",
                "signed": ["lists.example"],
                "fields": [(b"List-Id", b" <l.lists.example>")],
                "policy": "dmarc: {mailing_lists: [lists.example]}",
            },
            (Disposition.NONE, [(Override.MAILING_LIST, "")]),
        ),
        (
            {
                "client": "198.51.100.66",
                "policy": "rules: [{name: secret-partner, if: {client: 198.51.100.66}, then: accept}]",
            },
            (Disposition.NONE, [(Override.LOCAL_POLICY, "a rule of the receiver")]),
        ),
        (
            {
                "author": "a@plain.example",
                "client": "198.51.100.66",
                "policy": "rules: [{name: secret, if: {client: 198.51.100.66}, then: reject}]",
            },
            (Disposition.REJECT, [(Override.LOCAL_POLICY, "a rule of the receiver")]),
        ),
        # t=y asks for one level less
        (
            {"author": "a@testing.example", "client": "198.51.100.66"},
            (Disposition.QUARANTINE, [(Override.POLICY_TEST_MODE, "")]),
        ),
        (
            {"author": "a@testing.example", "client": "198.51.100.66", "policy": "mode: monitor"},
            (
                Disposition.NONE,
                [
                    (Override.POLICY_TEST_MODE, ""),
                    (Override.LOCAL_POLICY, "the receiver does not enforce policies yet"),
                ],
            ),
        ),
        # what passes DMARC and is refused by another check
        (
            {"signed": ["bank.example"], "policy": "rules: [{name: r, if: {client: 192.0.2.1}, then: reject}]"},
            (Disposition.PASS, []),
        ),
    ],
)
def test_what_was_done_and_why(given, expected):
    assert reasons(**given) == expected


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, True),
        ({"author": "a@silent.example"}, False),
        ({"author": "a@http.example"}, False),
        ({"author": "a@zero.example"}, False),
        ({"author": "a@none.example"}, False),
        ({"login": "ann"}, False),
        ({"policy": "rules: [{name: r, if: {client: 192.0.2.1}, then: defer}]"}, False),
        # the record of the organization, since the author has none
        ({"author": "a@deep.bank.example"}, True),
        ({"author": "a@bank.psd"}, True),
    ],
)
def test_what_counts(given, counts):
    assert (added(record(**given), OURS) is not None) is counts


def test_the_domain_that_publishes_the_record():
    found = one(author="a@deep.bank.example", client="198.51.100.66")
    assert (found.policy.domain, found.row.header_from) == ("bank.example", "deep.bank.example")
    assert found.row.disposition is Disposition.REJECT, "np="
    found = one(author="a@bank.psd")
    assert (found.policy.domain, found.policy.psd) == ("psd", "y")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, True),
        ({"mail_from": "<>"}, False),
        ({"recipients": [f"<{OURS}>"]}, False),
        ({"recipients": ["<bob@receiver.example>", f"<{OURS.upper()}>"]}, False),
        ({"recipients": [f"<{OURS.replace('@', '+x@')}>"]}, False),
        ({"recipients": ["<bob@reports.example>"]}, True),
    ],
)
def test_what_may_cause_a_report(given, wanted):
    assert one(**given).wanted is wanted


def test_a_null_reverse_path():
    row = one(mail_from="<>").row
    assert row.envelope_from == ""
    # the identity of MAIL FROM is postmaster at the name of HELO
    assert row.spf_result == Spf("mail.bank.example", "pass")


def test_names_that_are_none():
    row = one(mail_from="<>", helo="[192.0.2.1]").row
    assert row.spf_result is None
    assert one(mail_from="<a@-.-.\x7f>").row.envelope_from is None


def test_signatures_in_order():
    row = one(
        signed=["other.example", "mail.bank.example", "bank.example"],
        fields=[(b"DKIM-Signature", b" v=1; a=rsa-sha256; d=bad.example; s=x; h=from; bh=AA; b=BB")],
    ).row
    assert [(each.domain, each.result == "pass") for each in row.signatures] == [
        ("bank.example", True), ("mail.bank.example", True), ("other.example", True), ("bad.example", False),
    ]  # fmt: skip


def test_no_more_than_a_hundred_signatures():
    found = record(signed=["bank.example"])
    [signature] = found["evidence"]["dkim"]
    failed = [signature | {"domain": f"d{n}.example", "result": "fail", "selector": "s"} for n in range(150)]
    found["evidence"]["dkim"] = [*failed, signature]
    row = added(found, OURS).row
    assert len(row.signatures) == MOST_SIGNATURES
    assert row.signatures[0].domain == "bank.example"
    for each in failed:
        each["selector"] = "\ud800\0" * 1000
    row = added(found, OURS).row
    assert 1 < len(row.signatures) < 10
    assert row.signatures[1].selector == "\ufffd" * 255


def test_no_word_of_the_operator_gets_out():
    """Names of rules, files and trusted networks are not for domain owners."""
    policy = "rules: [{name: secret-partner, if: {client: 198.51.100.66}, then: accept, reason: hush}]"
    text = row_text.of_row(one(client="198.51.100.66", policy=policy).row)
    assert not [each for each in ("secret", "hush", "policy.yaml", "rules") if each in text]


def test_what_is_known_by_a_message():
    assert arrival(record(signed=["bank.example"]), OURS).passed == ("bank.example",)
    assert arrival(record(author="a@silent.example", mail_from="<a@silent.example>"), OURS).passed == (
        "silent.example",
    )
    assert arrival(record(client="198.51.100.66", policy="mode: monitor"), OURS).passed == ()
    refused = "rules: [{name: r, if: {client: 192.0.2.1}, then: reject}]"
    assert arrival(record(signed=["bank.example"], policy=refused), OURS).passed == ()


def test_whom_our_users_write_to():
    to = ["<ann@Sub.Shop.example>", "<bob@shop.example>", "<x@[192.0.2.9]>", "<postmaster>"]
    assert arrival(record(login="ann", recipients=to), OURS).written == ("shop.example",)
    assert arrival(record(login="ann", recipients=to, mail_from="<>"), OURS).written == ()
    # our own reports
    assert arrival(record(login="ann", recipients=to, mail_from=f"<{TOKEN}>"), OURS).written == ()


def test_bounces_of_reports():
    token = TOKEN.partition("+")[2].partition("@")[0]
    bounce = {"author": "a@plain.example", "mail_from": "<>", "recipients": [f"<{TOKEN}>"]}
    assert arrival(record(**bounce), OURS).returned == (token,)
    assert arrival(record(**bounce, login="ann"), OURS).returned == (token,)
    assert arrival(record(**bounce | {"mail_from": "<a@bank.example>"}), OURS).returned == ()
    for action, expected in (("reject", (token,)), ("defer", ())):
        rule = f"rules: [{{name: r, if: {{client: 192.0.2.1}}, then: {action}}}]"
        assert arrival(record(**bounce, policy=rule), OURS).returned == expected
    assert arrival(record(mail_from="<>", recipients=[f"<{OURS}>"]), OURS).returned == ()


@pytest.mark.parametrize("kept", KeptAddresses)
def test_addresses_that_are_not_kept(kept):
    """What is counted, and whether a reverse-path is null, is known all the same."""
    assert one(kept=kept).row.envelope_from == "bank.example"
    assert one(kept=kept, mail_from="<>").row.envelope_from == ""
    assert one(kept=kept).wanted
    assert not one(kept=kept, mail_from="<>").wanted
    # neither are bounces and mail to our own address lost
    assert not one(kept=kept, recipients=["<bob@receiver.example>", f"<{OURS}>"]).wanted
    found = record(
        kept=kept, author="a@plain.example", mail_from="<>", recipients=[f"<{TOKEN}>", "<bob@reports.example>"]
    )
    assert len(arrival(found, OURS).returned) == 1
    assert ("bob" in json.dumps(found)) is (kept is KeptAddresses.FULL)
    found = record(kept=kept, login="ann", mail_from=f"<{TOKEN}>", recipients=["<d@bank.example>"])
    assert arrival(found, OURS).written == ()


TEXT = st.text(max_size=300) | st.sampled_from(["\0", "\ud800", "x" * 5000, "é.example", "a b"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXT, each, max_size=3),
    max_leaves=8,
)


def places(found, path=()):
    """Where a value of a record can be."""
    yield path
    if isinstance(found, (dict, list)):
        for key in found if isinstance(found, dict) else range(len(found)):
            yield from places(found[key], (*path, key))


WHOLE = record(signed=["bank.example", "other.example"])
PLACES = [each for each in places(WHOLE) if each]


@given(st.sampled_from(PLACES), JSON)
def test_hostile_values(path, value):
    """A record that is none says so, and what comes out of any other is text that both databases and XML take."""
    found = json.loads(json.dumps(WHOLE))
    at = found
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    try:
        means = arrival(found, OURS)
    except Unfit:
        return
    if means.added:
        text = row_text.of_row(means.added.row)
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 25_000
        assert row_text.row(text) == means.added.row
        tags = row_text.of_policy(means.added.policy)
        assert len(tags) < 200
        assert row_text.policy(means.added.policy.domain, tags) == means.added.policy
        for level in LEVELS:
            less = coarse(means.added.row, level, "bank.example")
            assert coarse(less, level, "bank.example") == less
    for each in (*means.passed, *means.written, *means.returned):
        assert each.isascii()
        assert len(each) <= 253


def test_levels():
    row = one(signed=["bank.example"], author="a@deep.bank.example", policy="mode: monitor", client="198.51.100.66").row
    seen = [coarse(row, level, "bank.example") for level in LEVELS]
    assert [each.source_ip for each in seen] == ["198.51.100.66", "198.51.100.0/24", "198.51.0.0/16", "0.0.0.0/0"]
    six = row._replace(source_ip="2001:db8:1:2:3::4")
    assert [coarse(six, level, "x").source_ip for level in LEVELS] == [
        "2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32", "::/0",
    ]  # fmt: skip
    assert [each.header_from for each in seen] == ["deep.bank.example"] * 2 + ["bank.example"] * 2
    assert {(each.envelope_from, each.signatures, each.spf_result) for each in seen} == {(None, (), None)}
    assert {(each.disposition, each.dkim, each.spf) for each in seen} == {(row.disposition, row.dkim, row.spf)}
    assert [each.type for each in seen[-1].reasons] == [each.type for each in row.reasons]


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 9)), max_size=60), st.integers(1, 30))
def test_merging_loses_no_message(sources, most):
    row = one().row
    rows = [
        (row._replace(source_ip=f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"), messages)
        for n, messages in sources
    ]
    found = merged(iter(rows), most, "bank.example")
    assert sum(found.values()) == sum(messages for _, messages in rows)
    assert len(found) <= most
