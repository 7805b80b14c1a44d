"""Failure reports: which message makes one, what it shows, and the mail."""

import email
import email.policy
import json
import re
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailassay.failure import feedback_report, incident
from mailassay.failure.incident import MAX_VALUE, MAX_VALUES, Delivery, Failure, Unfit, line, of, read
from mailassay.failure.redaction import Redactor
from mailassay.judge.session import INTERNAL_ERROR
from mailassay.policy.sets import Domains
from mailassay.zone import Zone
from tests.lab.failing import BROKEN, KEY, LISTED, MESSAGE, NOW, REPORTING, RUF, SENDER, SIGNED, ZONE, found, sent
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk

KEYS = Redactor(b"k" * 32)


@dataclass(frozen=True)
class Us:
    """A reporter."""

    domain: str = "mx.receiver.example"
    address: str = "dmarc-reports@receiver.example"
    contact: str = "https://receiver.example/dmarc"


OURS = "192.0.2.1"


def test_what_failed():
    one = found(message=BROKEN)
    assert (one.domain, one.header_from, one.client) == ("bank.example", "bank.example", "203.0.113.9")
    assert (one.failure, one.unaligned, one.result) == (Failure.DMARC, ("dkim", "spf"), "fail")
    assert one.delivery is Delivery.REJECT
    assert (one.failed_spf.domain, one.failed_spf.result) == ("bank.example", "fail")
    assert (one.failed_signature.selector, one.failed_signature.fault) == ("ed", "body")
    assert [name for name, _ in one.fields] == ["DKIM-Signature", "From", "To", "Message-ID"]
    assert (one.time, one.host, one.count) == (NOW, "mx1", 1)


# 0: neither authenticates an aligned domain; 1: one of them does not; d: a signature fails; s: SPF fails
CASES = {
    "both pass": (SIGNED, OURS, ""),
    "DKIM passes": (SIGNED, "203.0.113.9", "1s"),
    "SPF passes, no signature": (MESSAGE, OURS, "1"),
    "SPF passes, a signature fails": (BROKEN, OURS, "1d"),
    "neither": (MESSAGE, "203.0.113.9", "01s"),
    "neither, with a signature": (BROKEN, "203.0.113.9", "01ds"),
    "both pass, another signature fails": (KEY.sign(SIGNED, "bank.example", "none"), OURS, "d"),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("fo", ["0", "1", "d", "s", "0:d", "1:d:s", "d:s", None])
def test_fo(case, fo):
    message, client, asking = CASES[case]
    tags = RUF if fo is None else f"fo={fo}; {RUF}"
    is_asked = bool(set((fo or "0").split(":")) & set(asking))
    assert (found(tags, message, client) is not None) == is_asked


def test_fo_without_ruf_asks_for_nothing():
    assert found("fo=1") is None
    assert found("fo=1; ruf=https://bank.example/") is None


def test_a_message_of_which_only_another_signature_fails():
    """Auth-Failure says what failed, since DMARC did not."""
    message, client, _ = CASES["both pass, another signature fails"]
    one = found(f"fo=d; {RUF}", message, client)
    assert (one.failure, one.unaligned, one.failed_signature.selector) == (Failure.SIGNATURE, (), "none")


def test_only_listed_domains():
    assert found(domains="") is None
    assert found(domains="other.example") is None
    below = MESSAGE.replace(b"alice@bank", b"alice@sub.bank")
    assert found(message=below).header_from == "sub.bank.example"
    assert found(message=below, domains="sub.bank.example").domain == "bank.example"
    assert found(message=below, domains="bank.example").domain == "bank.example"
    # the subdomain has a record of its own
    own = ZONE + f'_dmarc.sub.bank.example TXT "v=DMARC1; p=none; {RUF}"\n'
    assert found(message=below, zone=own).domain == "sub.bank.example"
    assert found(message=below, zone=own, domains="sub.bank.example").domain == "sub.bank.example"
    assert found(message=below, zone=own, domains="bank.example") is None
    assert found(zone=own, domains="sub.bank.example") is None


def test_never_for_a_public_suffix_domain():
    assert found(f"psd=y; {RUF}") is None
    assert found(f"psd=n; {RUF}")


def test_an_identifier_of_the_organization_is_aligned_if_the_record_allows_it():
    below = {"mail_from": "<x@sub.bank.example>"}
    assert found(**below).failed_spf.domain == "sub.bank.example"
    assert found(f"aspf=s; {RUF}", **below).failed_spf is None
    assert found(mail_from="<x@other.example>").failed_spf is None


def test_deferred_and_undecided_messages_come_again():
    undecided = ZONE.replace('bank.example                TXT  "v=spf1 ip4:192.0.2.1 -all"', "bank.example  TXT  !")
    outcome = sent(f"fo=0:1:d:s; {RUF}", zone=undecided)
    assert outcome.evidence.dmarc.result == "temperror"
    assert of(outcome, Domains(("bank.example",)), None, "mx1", NOW) is None
    outcome = sent()
    assert of(outcome, Domains(("bank.example",)), None, "mx1", NOW)
    assert of(replace(outcome, verdict=INTERNAL_ERROR), Domains(("bank.example",)), None, "mx1", NOW) is None


def test_an_author_that_is_not_clear_has_no_policy_domain():
    assert found(message=b"From: mallory@other.example\r\n" + MESSAGE) is None


@pytest.mark.parametrize(
    "envelope",
    [
        {"mail_from": "<>"},
        {"recipients": ["<dmarc-reports@receiver.example>"]},
        {"recipients": ["<x@receiver.example>", "<DMARC-reports+abc@Receiver.example>"]},
    ],
)
def test_what_could_loop(envelope):
    """A bounce, mail to our report addresses, and reports of other mail systems."""
    assert found(**envelope) is None
    assert found(recipients=["<dmarc-reportsx@receiver.example>"])
    report = b"content-type: Multipart/Report; report-type=feedback-report; boundary=x\r\n" + MESSAGE
    assert found(message=report) is None


def test_what_a_sender_writes_is_bounded():
    many = b"".join(b"DKIM-Signature: v=1; s=%d\r\nTo: x%d@y.example\r\n" % (each, each) for each in range(50))
    long = b"Cc: " + b"a@b.example,\r\n " * 400 + b"a@b.example\r\n"
    one = found(message=many + long + MESSAGE)
    names = [name for name, _ in one.fields]
    assert names.count("DKIM-Signature") == 4
    assert names.count("To") == 1
    assert "Cc" not in names
    assert len(line(one)) < 20_000
    full = b"".join(
        b"%s: %s\r\n" % (each.encode(), b"x" * (MAX_VALUE - 1)) for each in incident.FIELDS if each != "From"
    )
    assert sum(len(value) for _, value in found(message=full + MESSAGE).fields) <= MAX_VALUES


def test_it_comes_back_as_it_was_written():
    one = found(message=BROKEN)
    assert read(json.loads(line(one))) == one
    assert line(one).isascii()
    assert "\n" not in line(one)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    ),
    st.data(),
)
def test_a_line_that_is_none_is_unfit(value, data):
    whole = json.loads(line(found(message=BROKEN)))
    key = data.draw(st.sampled_from(sorted(set(whole) - {"v", "kind"})))
    try:
        one = read(whole | {key: value})
    except Unfit:
        return
    assert read(json.loads(line(one))) == one


def test_alike():
    """What differs in the message makes no other report; what failed does."""
    one = found()
    assert found(message=MESSAGE.replace(b"q1", b"q2"), mail_from="<x@bank.example>").key == one.key
    assert found(client="203.0.113.200").key == one.key
    assert found(client="203.0.114.9").key != one.key
    assert found(message=BROKEN).key != one.key
    assert found(mail_from="<x@nothing.example>").key != one.key


# --- redaction


def test_equal_local_parts_stay_equal():
    hashed = KEYS.local_part("alice")
    assert KEYS.address("Alice@Bank.example") == f"{hashed}@bank.example"
    assert KEYS.address('"alice"@bank.example') == f"{hashed}@bank.example"
    assert Redactor(b"other").local_part("alice") != hashed
    assert re.fullmatch(r"[a-z2-7]{16}", hashed)


def shown(name, value):
    """What is shown of a field."""
    one = found()
    return dict(KEYS.incident(replace(one, fields=((name, value),))).fields).get(name)


H = KEYS.local_part
BH = "a/+" * 14 + "a="
QUOTED = H('a " b')


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("From", " Alice B <alice@Bank.example>", f"<{H('alice')}@bank.example>"),
        ("To", ' "bob@x.example" <carol@y.example>, Team: d@z.example;', None),
        ("To", " undisclosed-recipients:;", None),
        ("Cc", " b@\u00fcber.example", f"<{H('b')}@xn--ber-goa.example>"),
        ("Reply-To", r' "a \" b"@x.example', f"<{QUOTED}@x.example>"),
        ("Message-ID", "\r\n <alice.1@bank.example>", f"<{H('alice.1')}@bank.example>"),
        ("Message-ID", " alice", None),
        ("List-Id", " Friends of Alice <users.lists.example>", f"<{H('users')}.lists.example>"),
        ("Date", " Tue, 19 Jul 2022 07:57:33 +0200 (alice)", "Tue, 19 Jul 2022 05:57:33 +0000"),
        ("Date", " alice", None),
        ("MIME-Version", " 1.0", "1.0"),
        ("MIME-Version", " 1.0 (alice)", None),
        ("Content-Type", ' Multipart/Mixed; boundary="alice"', "multipart/mixed"),
        ("Content-Type", " alice/bob", None),
        (
            "Received",
            " from [192.0.2.8] (alice [192.0.2.8])\r\n (AUTH: alice)\r\n by mail.x.example with ESMTPSA\r\n"
            " id alice for <bob@y.example>; Tue, 19 Jul 2022 07:57:35 +0200",
            "from [192.0.2.8] by mail.x.example with ESMTPSA; Tue, 19 Jul 2022 05:57:35 +0000",
        ),
        (
            "Received",
            " from a.example (b.example [IPv6:2001:db8::1])\r\n by x.example (Postfix, from userid 7)\r\n id 1; Tue,"
            " 19 Jul 2022 07:57:35 +0200",
            "from a.example ([IPv6:2001:db8::1]) by x.example; Tue, 19 Jul 2022 05:57:35 +0000",
        ),
        ("Received", " from alice@x.example by bob; Tue, 19 Jul 2022 07:57:35 +0200", None),
        (
            "DKIM-Signature",
            " v=1; a=rsa-sha256; d=Bank.example; s=ed;\r\n i=alice@bank.example; z=From:alice@bank.example;"
            f" h=From:To:\r\n  X-Alice; bh={BH}; b=b\r\n b; r=alice",
            f"v=1; a=rsa-sha256; d=bank.example; s=ed; i={H('alice')}@bank.example; h=From:To; bh={BH}",
        ),
    ],
)  # fmt: skip
def test_fields(name, value, written):
    if "carol" in value:
        written = f"<{H('bob')}@x.example>, <{H('carol')}@y.example>, <{H('d')}@z.example>"
    assert shown(name, value) == written


def test_a_field_that_is_not_listed_is_not_shown():
    assert shown("Subject", " x") is None
    assert shown("X-To", " a@b.example") is None


def test_the_rest_of_an_incident():
    one = KEYS.incident(found(message=BROKEN, mail_from="<bounce+alice@bank.example>"))
    assert one.mail_from == f"{H('bounce+alice')}@bank.example"
    # an address without a domain is a local-part alone, which SPF has in the place of a domain
    bare = KEYS.incident(replace(found(), mail_from="alice.b", spf=replace(found().spf, domain="alice.b")))
    assert (bare.mail_from, bare.spf.domain) == ("", "")


# --- the mail


def mail(one, record="v=spf1 ip4:192.0.2.1 -all"):
    octets = feedback_report.compose(one, Us(), "a" * 26, NOW + 60, [record])
    return octets, email.message_from_bytes(octets, policy=email.policy.default)


def feedback(parsed):
    """The fields of the part for programs."""
    part = parsed.get_payload(1)
    assert part.get_content_type() == "message/feedback-report"
    [inner] = part.get_payload()
    return inner


def test_the_mail():
    one = KEYS.incident(replace(found(message=BROKEN), count=7))
    octets, parsed = mail(one)
    assert parsed["From"] == "dmarc-reports@receiver.example"
    assert (
        parsed["Subject"]
        == f"DMARC failure report for bank.example Submitter: mx.receiver.example Report-ID: {'a' * 26}"
    )
    assert parsed["Message-ID"] == f"<{'a' * 26}@receiver.example>"
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert parsed["Date"].datetime.timestamp() == int(NOW) + 60
    assert parsed["To"] is None
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "feedback-report"
    assert [each.get_content_type() for each in parsed.get_payload()] == [
        "text/plain", "message/feedback-report", "text/rfc822-headers",
    ]  # fmt: skip
    fields = feedback(parsed)
    assert dict(fields.items()) == {
        "Feedback-Type": "auth-failure",
        "Version": "1",
        "User-Agent": fields["User-Agent"],
        "Auth-Failure": "dmarc",
        "Authentication-Results": "mx.receiver.example; dmarc=fail header.from=bank.example",
        "Identity-Alignment": "dkim, spf",
        "DKIM-Domain": "bank.example",
        "DKIM-Identity": "@bank.example",
        "DKIM-Selector": "ed",
        "SPF-DNS": 'txt : bank.example : "v=spf1 ip4:192.0.2.1 -all"',
        "Delivery-Result": "reject",
        "Original-Mail-From": f"<{H('alice')}@bank.example>",
        "Source-IP": "203.0.113.9",
        "Reported-Domain": "bank.example",
        "Arrival-Date": "Fri, 15 Jan 2027 08:00:00 +0000",
        "Incidents": "7",
    }
    assert fields["User-Agent"].startswith("mailassay/")
    shown = email.message_from_string(parsed.get_payload(2).get_payload())
    assert shown.keys() == ["Authentication-Results", "DKIM-Signature", "From", "To", "Message-ID"]
    assert shown["To"] == f"<{H('bob')}@receiver.example>"
    assert octets == mail(one)[0]
    assert octets.isascii()
    assert b"secret" not in octets


def test_no_url_can_be_clicked_on():
    one = KEYS.incident(found())
    _, parsed = mail(one, "v=spf1 exp=http://evil.example/ HTTPS://evil.example")
    assert feedback(parsed)["SPF-DNS"] == 'txt : bank.example : "v=spf1 exp=hxxp://evil.example/ HXXPS://evil.example"'


SECRET = "zq+local"  # in every local-part, and in no domain: a sender may name any
HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "\r\nBcc: x@evil.example",
        "\r\n\r\n--=_" + "a" * 26,
        "\0",
        "\x85x",
        "\u2028",
        "a" * 3000,
        '"',
        "(",
        "<",
        ">,",
        "@",
        ";",
        "=?utf-8?q?",
        "\\",
        "\ud800",
    ]
)
PERSON = st.builds(
    lambda before, quoted, domain, after: "".join((before, f'"{SECRET} x"' if quoted else SECRET, "@", domain, after)),
    HOSTILE,
    st.booleans(),
    st.sampled_from(["bank.example", "x.example", "[192.0.2.1]", "", "\u00fcber.example", "a..b"]),
    HOSTILE,
)
TEXT = st.lists(HOSTILE | PERSON | st.just(SECRET), max_size=5).map("".join)


@given(st.lists(st.tuples(st.sampled_from(incident.FIELDS), TEXT), max_size=12), TEXT, TEXT, TEXT, TEXT)
@example(
    [("Received", f" from {SECRET} by {SECRET} with {SECRET} for {SECRET}@x.example; {SECRET}")], SECRET, "", "", ""
)
@example([("DKIM-Signature", f" i={SECRET}@x.example; s=a\r\nx: y; h=From\r\nBcc:z; b={SECRET}\x00")], "", "", "", "")
def test_nothing_that_a_sender_writes_gets_out(fields, mail_from, identity, record, client):
    """No header is injected, no line is long, and no local-part is anywhere in the octets."""
    base = found(message=BROKEN)
    [signature] = base.signatures
    one = replace(
        base,
        fields=tuple(fields),
        mail_from=mail_from,
        client=client,
        spf=replace(base.spf, domain=mail_from.rpartition("@")[2]),
        signatures=(replace(signature, identity=identity),),
    )
    redacted = KEYS.incident(one)
    octets, parsed = mail(redacted, record.replace(SECRET, ""))
    lines = octets.split(b"\r\n")
    assert not any(b"\r" in each or b"\n" in each or len(each) > 998 for each in lines)
    assert all(32 <= octet < 127 for each in lines for octet in each)
    # a hash is no text: whatever letters it has, nobody reads a name in it
    readable = re.sub(rb"\bbh=[A-Za-z0-9+/=\s]+", b"", octets)
    assert SECRET.encode() not in readable.lower().replace(b"\r\n ", b"")
    assert parsed.keys() == mail(KEYS.incident(base))[1].keys()
    assert len(parsed.get_payload()) == 3
    assert set(feedback(parsed).keys()) <= set(feedback(mail(KEYS.incident(replace(base, queue_id="Q1")))[1]).keys())
    assert not parsed.defects
    assert read(json.loads(line(redacted))) == redacted


def test_a_signature_tag_without_a_pattern_is_dropped():
    assert shown("DKIM-Signature", f" b={SECRET}@x; t=yesterday; c=none; l=-1; q=dns/txt") is None


OCTETS = st.binary(max_size=80) | TEXT.map(lambda text: text.encode(errors="surrogatepass"))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([*incident.FIELDS, "Subject", "X-Y"]), OCTETS), max_size=20), OCTETS)
def test_whatever_the_header_has_the_worker_and_the_report_go_on(fields, mail_from):
    """From the octets of a message to the mail."""
    raw = [(name.encode(), b" " + value.replace(b"\0", b"")) for name, value in fields if name != "From"]
    talk = Talk(Zone(ZONE % RUF, limits=LIMITS), settings=REPORTING, client="203.0.113.9", now=NOW)
    outcome = talk.send(
        [(b"From", b" alice@bank.example"), *raw], mail_from=f"<{mail_from.decode(errors='replace')}@bank.example>"
    )
    one = of(outcome, LISTED.domains, SENDER, "mx1", NOW)
    if one is None:
        assert outcome.evidence is None or any(b"multipart/report" in value.lower() for _, value in raw)
        return
    text = line(one)
    assert text.isascii()
    assert len(text) < 100_000
    octets, parsed = mail(KEYS.incident(read(json.loads(text))))
    assert SECRET.encode() not in octets.lower()
    assert feedback(parsed)["Reported-Domain"] == "bank.example"
