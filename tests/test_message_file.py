"""Where the facts of a message file come from, and what of it the milter had seen."""

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.received import read as received
from mailassay.replay.message_file import Given, Unknown, read

HOSTS = ["mx.receiver.example", "mail"]
AUTHOR = b"From: alice@bank.example\n"
SENT = AUTHOR + b"Subject: x\n\nHello\n"
CAME = b"""\
Received: from mail.bank.example (unknown [192.0.2.1])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)
\t(No client certificate requested)
\tby mx.receiver.example (Postfix) with ESMTPS id 4ABC
\tfor <bob@receiver.example>; Fri, 20 Nov 2026 10:00:00 +0000 (UTC)
"""
RESULTS = b"""\
Authentication-Results: mx.receiver.example;
 iprev=pass policy.iprev=192.0.2.1 (mail.bank.example);
 spf=pass smtp.mailfrom=bank.example;
 dkim=none;
 dmarc=pass header.from=bank.example policy.dmarc=reject
"""
VERDICT = b"X-Mailassay-Verdict: tag; rule=spf.fail\n"
DELIVERY = b"""\
Return-Path: <alice@bank.example>
X-Original-To: bob@receiver.example
Delivered-To: robert@receiver.example
"""
LMTP = b"""\
Return-Path: <alice@bank.example>
Delivered-To: robert@receiver.example
Received: from mx.receiver.example ([127.0.0.1])
\tby imap.receiver.example with LMTP
\tid QGHBD (envelope-from <alice@bank.example>)
\tfor <robert@receiver.example>; Fri, 20 Nov 2026 10:00:01 +0000
"""
FILTERED = b"""\
Received: from localhost (localhost [127.0.0.1])
\tby mx.receiver.example (Postfix) with ESMTP id 4DEF
\tfor <bob@receiver.example>; Fri, 20 Nov 2026 10:00:02 +0000 (UTC)
Received: from mx.receiver.example ([127.0.0.1])
\tby localhost (mx.receiver.example [127.0.0.1]) (amavisd-new, port 10024)
\twith ESMTP id x; Fri, 20 Nov 2026 10:00:02 +0000 (UTC)
"""
ALIAS = b"""\
Return-Path: <alice@bank.example>
X-Original-To: carol@receiver.example
Delivered-To: carol@receiver.example
Received: by mx.receiver.example (Postfix)
\tid 4GHI; Fri, 20 Nov 2026 10:00:01 +0000 (UTC)
"""
SPAM = b"X-Spam-Status: No\n"
FORGED = b"Received: from x (x [203.0.113.99])\n\tby mx.receiver.example (Postfix) with ESMTP id 1; x\n"
AT = datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp()

DELIVERED = {
    "by Postfix": (DELIVERY + RESULTS + CAME, "bob@receiver.example"),
    "by Postfix, tagged": (DELIVERY + RESULTS + b"X-Spam-Flag: YES\n" + VERDICT + CAME, "bob@receiver.example"),
    "by Dovecot": (LMTP + RESULTS + CAME, "bob@receiver.example"),
    "through a content filter": (DELIVERY + FILTERED + SPAM + RESULTS + CAME, "bob@receiver.example"),
    "through an alias": (ALIAS + DELIVERY[37:] + RESULTS + CAME, "bob@receiver.example"),
    "to several": (ALIAS + DELIVERY + RESULTS + CAME.replace(b"\n\tfor <bob@receiver.example>", b""),
                   "bob@receiver.example"),
    "never judged": (DELIVERY + CAME, "bob@receiver.example"),
    "never judged, by Dovecot": (LMTP + SPAM + CAME, "bob@receiver.example"),
    "without a trace of delivery": (RESULTS + CAME, "bob@receiver.example"),
}  # fmt: skip


@pytest.mark.parametrize("below", [b"", FORGED, DELIVERY, RESULTS], ids=["plain", "received", "delivery", "results"])
@pytest.mark.parametrize("name", DELIVERED)
def test_what_was_delivered_is_as_it_came(name, below):
    top, recipient = DELIVERED[name]
    message = read(top + below + SENT, Given(), HOSTS)
    assert b"".join(b"%b:%b\n" % field for field in message.headers).replace(b"\r\n", b"\n") == below + AUTHOR + (
        b"Subject: x\n"
    )
    assert message.body == b"Hello\r\n"
    assert (message.client_ip, message.helo) == (ip_address("192.0.2.1"), "mail.bank.example")
    assert message.mail_from.partition("@")[2] == "bank.example"
    assert message.recipients == (recipient,)
    assert (message.at, message.login, message.host) == (AT, "", "mx.receiver.example")
    assert bool(message.then) == (RESULTS in top)


def test_what_an_earlier_milter_put_there_is_seen():
    message = read(DELIVERY + SPAM + RESULTS + VERDICT + b"X-Earlier: 1\n" + CAME + SENT, Given(), HOSTS)
    assert [field.name for field in message.headers] == [b"X-Earlier", b"From", b"Subject"]
    assert message.stripped == (
        *("Return-Path", "X-Original-To", "Delivered-To", "X-Spam-Status"),
        *("Authentication-Results", "X-Mailassay-Verdict", "Received"),
    )


@pytest.mark.parametrize(
    ("top", "mail_from", "source"),
    [
        (DELIVERY + CAME, "alice@bank.example", "Return-Path"),
        (b"Return-Path: <>\n" + CAME, "", "Return-Path"),
        (LMTP.partition(b"\n")[2] + CAME, "alice@bank.example", "Received (envelope-from)"),
        (b"From eve@elsewhere.example Fri Nov 20 10:00:00 2026\n" + CAME, "eve@elsewhere.example", "the `From ` line"),
        (b"From MAILER-DAEMON Fri Nov 20 10:00:00 2026\n" + CAME, "", "the `From ` line of the mbox"),
        (RESULTS + CAME, "postmaster@bank.example", "our Authentication-Results (smtp.mailfrom"),
        (RESULTS.replace(b"smtp.mailfrom=", b"smtp.helo=") + CAME, "", "our Authentication-Results (smtp.helo"),
        # rewritten on its way (SRS)
        (b"Return-Path: <SRS0=x=bank.example=a@receiver.example>\n" + RESULTS + CAME, "postmaster@bank.example", "our"),
    ],
)  # fmt: skip
def test_the_reverse_path(top, mail_from, source):
    message = read(top + SENT, Given(), HOSTS)
    assert message.mail_from == mail_from
    assert message.sources["mail from"].startswith(source)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b" from a.example (b.example [192.0.2.1]) by mx (Postfix) with ESMTP id 1; x",
         ("a.example", "192.0.2.1", "mx", "ESMTP", "")),
        (b" from [192.0.2.1] (unknown [IPv6:2001:db8::1]) by mx (Postfix) with ESMTP id 1",
         ("[192.0.2.1]", "2001:db8::1", "mx", "ESMTP", "")),
        (b" from a (b [::ffff:192.0.2.1]) by mx with SMTP", ("a", "192.0.2.1", "mx", "SMTP", "")),
        (b" from laptop (b [192.0.2.1]) (Authenticated sender: bob) by mx (Postfix) with ESMTPSA id 1",
         ("laptop", "192.0.2.1", "mx", "ESMTPSA", "bob")),
        (b" from laptop (b [192.0.2.1]) by mx (Postfix) with ESMTPSA id 1",
         ("laptop", "192.0.2.1", "mx", "ESMTPSA", "?")),
        (b" by mx.receiver.example (Postfix, from userid 1000) id 1", ("", None, "mx.receiver.example", "", "")),
        (b" from a (b [unknown]) by mx", ("a", None, "mx", "", "")),
        (b" from by (by [192.0.2.1]) by with with by", ("", None, "", "", "")),
        (b" from by (by [192.0.2.1]) by with with with", ("by", "192.0.2.1", "with", "WITH", "")),
        (b"", ("", None, "", "", "")),
    ],
)  # fmt: skip
def test_received(field, expected):
    found = received(field)
    address = str(found.client_ip) if found.client_ip else None
    assert (found.helo, address, found.by, found.protocol, found.login) == expected


FOR = b" from a (b [192.0.2.1]) by mx.receiver.example (Postfix) with %b id 1\n\tfor <%b>"


@pytest.mark.parametrize(
    ("field", "login", "envelope_from"),
    [
        (FOR % (b"ESMTP", b'"bob+(Authenticated sender: boss)"@receiver.example'), "", None),
        (FOR % (b"ESMTPSA", b'"bob+(Authenticated sender: boss) by x"@receiver.example'), "?", None),
        (FOR % (b"ESMTP", b'"bob+(envelope-from <x@y.example>)"@receiver.example'), "", None),
        (FOR.replace(b"for", b"(envelope-from <x@y.example>)\n\tfor") % (b"LMTP", b"bob@receiver.example"), "",
         "x@y.example"),
        (FOR.replace(b" by", b" (Authenticated sender: x) by") % (b"ESMTPS", b"bob@receiver.example"), "", None),
        (FOR.replace(b" by", b'\n\t(Client CN "(Authenticated sender: boss)", Issuer "x (y)" (verified OK))\n\tby')
         % (b"ESMTPSA", b"bob@receiver.example"), "?", None),
        (FOR.replace(b" by", b"\n\t(using TLS (256/256 bits) x)\n\t(Authenticated sender: x (y) z)\n\tby")
         % (b"UTF8SMTPSA", b"bob@receiver.example"), "x (y) z", None),
        (FOR.replace(b"from a (b [192.0.2.1])", b"(Authenticated sender: x)") % (b"ESMTPA", b"x"), "?", None),
    ],
)  # fmt: skip
def test_what_a_client_says_is_no_login(field, login, envelope_from):
    found = received(field)
    assert (found.login, found.envelope_from) == (login, envelope_from)


def test_what_was_judged_had_no_login():
    came = CAME.replace(b"ESMTPS", b"ESMTPSA").replace(b"\tby", b"\t(Authenticated sender: boss)\n\tby")
    assert read(DELIVERY + RESULTS + came + SENT, Given(), HOSTS).login == ""
    assert read(DELIVERY + came + SENT, Given(), HOSTS).login == "boss"


OTHER = CAME.replace(b"mx.receiver.example", b"mx.elsewhere.example")


@pytest.mark.parametrize(
    ("raw", "option"),
    [
        (SENT, "--ip"),
        (OTHER + SENT, "--host"),
        (b"Received: nonsense\n" + SENT, "--host"),
        (b"Received: from a (b [unknown]) by mx.receiver.example (Postfix); x\n" + SENT, "--ip"),
        (CAME + SENT, "--mail-from"),
        (b"CO            352             806               2               0             352               0T",
         "postcat -q ID"),
        (b"*** ENVELOPE RECORDS hold/1 ***\nsender: a@b.example\n", "postcat -q ID"),
    ],
)  # fmt: skip
def test_what_cannot_be_known_names_what_would_tell(raw, option):
    with pytest.raises(Unknown, match=option):
        read(raw, Given(), HOSTS)


def test_another_host():
    assert read(DELIVERY + OTHER + SENT, Given(), ["mx.elsewhere.example"]).host == "mx.elsewhere.example"
    # a host name without its domain, as Debian has it
    assert read(DELIVERY + CAME + SENT, Given(), ["mx"]).host == "mx.receiver.example"
    with pytest.raises(Unknown):
        read(DELIVERY + CAME + SENT, Given(), ["m"])


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize("address", [None, ip_address("192.0.2.1")])
def test_a_byte_order_mark_is_no_part_of_the_message(address):
    raw = DELIVERY + CAME + SENT
    for file in (raw, b"From alice@bank.example Fri Nov 20 10:00:00 2026\n" + raw):
        marked, plain = (read(each, Given(address), HOSTS) for each in (BOM + file, file))
        assert marked.headers.fields == plain.headers.fields
        assert replace(marked, headers=plain.headers) == plain


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (b"Microsoft Mail Internet Headers Version 2.0\n", "'Microsoft Mail Internet Headers Version 2.0'"),
        (BOM + b"An exported message\r\n", "'An exported message'"),
        (b"\n", "an empty line"),
        (b" folded\n", "' folded'"),
        (b"From alice@bank.example Fri Nov 20 10:00:00 2026\n\n", "an empty line"),
        (b"<html>\n", "'<html>'"),
        (b"\x1f\x8b\x08\0\n", "header"),
    ],
)
@pytest.mark.parametrize("address", [None, ip_address("192.0.2.1")])
def test_a_file_that_does_not_begin_with_a_header_field_is_not_judged(top, said, address):
    with pytest.raises(Unknown, match=re.escape(said)) as unknown:
        read(top + DELIVERY + CAME + SENT, Given(address), HOSTS)
    assert "not a header field" in str(unknown.value)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16_is_said(coding):
    text = (DELIVERY + CAME + SENT).decode()
    with pytest.raises(Unknown, match="UTF-16"):
        read(("" if coding == "utf-16" else "\ufeff").join(["", text]).encode(coding), Given(), HOSTS)


@pytest.mark.parametrize("raw", [b"", BOM])
def test_an_empty_file_is_said(raw):
    with pytest.raises(Unknown, match="is empty"):
        read(raw, Given(ip_address("192.0.2.1")), HOSTS)


def test_line_ends_of_cr_alone_are_said():
    with pytest.raises(Unknown, match="CR"):
        read((DELIVERY + CAME + SENT).replace(b"\n", b"\r"), Given(ip_address("192.0.2.1")), HOSTS)


INNER = b"""\
Return-Path: <alice@bank.example>
Received: from mx.receiver.example (mx.receiver.example [198.51.100.9])
\tby store.receiver.example (Postfix) with ESMTPS id 5ABC
\tfor <bob@receiver.example>; Fri, 20 Nov 2026 10:00:05 +0000 (UTC)
"""


def test_a_lower_hop():
    """The facts are those of the named host, wherever its field stands."""
    raw = INNER + RESULTS + VERDICT + CAME + FORGED + SENT
    with pytest.raises(Unknown, match="topmost"):
        read(raw, Given(), HOSTS)
    message = read(raw, Given(host="mx.receiver.example"), HOSTS)
    assert (str(message.client_ip), message.helo, message.host) == ("192.0.2.1", "mail.bank.example", HOSTS[0])
    assert (message.mail_from, message.recipients, message.at) == ("alice@bank.example", ("bob@receiver.example",), AT)
    assert [field.name for field in message.headers] == [b"Received", b"From", b"Subject"]
    assert read(raw, Given(host="mx"), HOSTS).helo == "mail.bank.example"
    assert read(raw, Given(host="store.receiver.example"), HOSTS).helo == "mx.receiver.example"
    # the lowest that the host wrote before it went on
    message = read(INNER + FILTERED + CAME + SENT, Given(host="mx.receiver.example"), HOSTS)
    assert (message.helo, len(message.headers)) == ("mail.bank.example", 2)


def test_a_lower_hop_that_is_not_there():
    with pytest.raises(Unknown, match=r"store\.receiver\.example, mx\.receiver\.example"):
        read(INNER + CAME + SENT, Given(host="mx9.receiver.example"), HOSTS)


def test_the_reverse_path_of_a_lower_hop():
    """The hop itself may have written it; what the last host has may have been rewritten since."""
    came = CAME.replace(b"\n\tfor", b"\n\t(envelope-from <alice@bank.example>)\n\tfor")
    top = INNER.replace(b"alice@bank.example", b"list@receiver.example")
    message = read(top + came + SENT, Given(host="mx.receiver.example"), HOSTS)
    assert (message.mail_from, message.sources["mail from"]) == ("alice@bank.example", "Received (envelope-from)")
    message = read(top + CAME + SENT, Given(host="mx.receiver.example"), HOSTS)
    assert message.mail_from == "list@receiver.example"
    assert "a later host" in message.sources["mail from"]


def test_what_is_given_counts():
    given = Given(None, "other.example", "eve@elsewhere.example", ("carol@receiver.example",))
    message = read(DELIVERY + RESULTS + CAME + SENT, given, HOSTS)
    assert message.client_ip == ip_address("192.0.2.1")
    assert (message.helo, message.mail_from) == ("other.example", "eve@elsewhere.example")
    assert message.recipients == ("carol@receiver.example",)
    assert message.sources["mail from"] == "--mail-from"


def test_with_an_address_the_file_is_as_the_client_sent_it():
    message = read(DELIVERY + RESULTS + CAME + SENT, Given(ip_address("198.51.100.66")), HOSTS)
    assert len(message.headers) == 7
    assert (message.helo, message.mail_from, message.recipients, message.at) == ("", "", (), None)


@pytest.mark.parametrize("top", [
    b"Received: by mx.receiver.example (Postfix, from userid 1000)\n\tid 1; Fri, 20 Nov 2026 10:00:00 +0000\n" + CAME,
    b"Received: by mx.receiver.example (Postfix)\n\tid 1; Fri, 20 Nov 2026 10:00:00 +0000 (UTC)\n",
], ids=["by a user", "a bounce"])  # fmt: skip
def test_submitted_on_the_host(top):
    message = read(top + SENT, Given(), HOSTS)
    assert message.local
    assert message.client_ip is None


ENVELOPE = b"""\
*** ENVELOPE RECORDS hold/364332201DB ***
message_size:             352             806               2               0             352               7
message_arrival_time: Fri Nov 20 10:00:00 2026
create_time: Fri Nov 20 10:00:00 2026
named_attribute: log_ident=364332201DB
named_attribute: rewrite_context=remote
named_attribute: sasl_username=bob
sender: alice@bank.example
named_attribute: log_client_address=198.51.100.66
named_attribute: log_helo_name=first.example
named_attribute: client_name=unknown
named_attribute: client_address=192.0.2.1
named_attribute: helo_name=mail.bank.example
named_attribute: dsn_orig_rcpt=rfc822;bob@receiver.example
original_recipient: bob@receiver.example
recipient: robert@receiver.example
original_recipient:
recipient: carol@receiver.example
*** MESSAGE CONTENTS hold/364332201DB ***
"""
END = b"*** HEADER EXTRACTED hold/364332201DB ***\n*** MESSAGE FILE END hold/364332201DB ***\n"


def test_a_queue_file():
    body = b"*** HEADER EXTRACTED hold/364332201DB ***\n*** MESSAGE CONTENTS hold/364332201DB ***\n"
    message = read(ENVELOPE + RESULTS + VERDICT + CAME + SENT + body + END, Given(), ["elsewhere.example"])
    assert (message.client_ip, message.helo) == (ip_address("192.0.2.1"), "mail.bank.example")
    assert (message.mail_from, message.login, message.smtputf8) == ("alice@bank.example", "bob", True)
    assert message.recipients == ("bob@receiver.example", "carol@receiver.example")
    assert [field.name for field in message.headers] == [b"From", b"Subject"]
    assert message.body == b"Hello\r\n" + body.replace(b"\n", b"\r\n")
    assert message.stripped == ("Authentication-Results", "X-Mailassay-Verdict", "Received")
    assert datetime.fromtimestamp(message.at) == datetime(2026, 11, 20, 10)


@pytest.mark.parametrize(
    ("was", "now", "client", "mail_from"),
    [
        (b": client_address=192.0.2.1", b": client_address=2001:db8::1", "2001:db8::1", "alice@bank.example"),
        (b"sender: alice@bank.example", b"sender: ", "192.0.2.1", ""),
        (b": client_address=192.0.2.1", b": log_message_origin=local", "None", "alice@bank.example"),
    ],
)
def test_other_queue_files(was, now, client, mail_from):
    message = read(ENVELOPE.replace(was, now) + CAME + SENT + END, Given(), [])
    assert (str(message.client_ip), message.mail_from, message.local) == (client, mail_from, client == "None")


def test_a_queue_file_without_the_client():
    printed = ENVELOPE.replace(b"named_attribute: client_address=192.0.2.1\n", b"") + CAME + SENT + END
    with pytest.raises(Unknown, match="give it with --ip"):
        read(printed, Given(), [])
    message = read(printed, Given(ip_address("192.0.2.9")), [])
    assert (message.client_ip, message.sources["client"]) == (ip_address("192.0.2.9"), "--ip")
    assert (message.helo, message.mail_from) == ("mail.bank.example", "alice@bank.example")


NO_LOGIN = ENVELOPE.replace(b"named_attribute: sasl_username=bob\n", b"")
LINES = b"\nsender:\nnamed_attribute: client_address=192.0.2.30\nnamed_attribute: sasl_username=boss\nx: "


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b"rfc822;bob", b"rfc822;x" + LINES + b"bob"),
        (b"rfc822;bob", b"rfc822;x\nsender: x" + LINES + b"bob"),
        (b"original_recipient: bob", b"original_recipient: x" + LINES + b"\noriginal_recipient: bob"),
        (b"original_recipient:\n", b"named_attribute: dsn_orig_rcpt=x" + LINES + b"\noriginal_recipient:\n"),
    ],
)
def test_line_breaks_of_the_client_are_no_records(was, now):
    assert was in NO_LOGIN
    message = read(NO_LOGIN.replace(was, now) + CAME + SENT + END, Given(), [])
    assert (str(message.client_ip), message.mail_from, message.login) == ("192.0.2.1", "alice@bank.example", "")
    assert message.recipients == ("bob@receiver.example", "carol@receiver.example")


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b"rfc822;bob", b"rfc822;x\nrecipient: eve@elsewhere.example\nx: bob"),
        (b"             2    ", b"             x    "),
    ],
)
def test_line_breaks_of_the_client_that_leave_a_doubt(was, now):
    assert was in NO_LOGIN
    with pytest.raises(Unknown, match="line breaks"):
        read(NO_LOGIN.replace(was, now) + CAME + SENT + END, Given(), [])


def test_a_content_filter_passes_the_client_on():
    envelope = ENVELOPE.replace(b"attribute: client_address=192.0.2.1", b"attribute: client_address=127.0.0.1")
    message = read(envelope + CAME + SENT + END, Given(), [])
    assert (str(message.client_ip), message.helo) == ("198.51.100.66", "first.example")


PIECES = [
    *(DELIVERY, LMTP, FILTERED, RESULTS, VERDICT, CAME, OTHER, SENT, ENVELOPE, END, FORGED, b"Received:", b"\n"),
    *(b" from", b" (", b")", b"[", b"]", b"by", b" with", b";", b"192.0.2.1", b"\xff", b"\0", b"IPv6:", b"for <", b">"),
    *(b"*** MESSAGE CONTENTS hold/364332201DB ***\n", b"message_size: 1 2 3 4 5 \xb2", b"Return-Path: ", b"From "),
    *(b"message_arrival_time: Fri Nov 20 10:00:00 99999999999\n", b"Fri, 99 Nov 99999 10:00:00 +9999", b"C", b":"),
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=5), max_size=12).map(b"".join))
def test_anything_is_read_or_said_to_be_unknown(raw):
    with suppress(Unknown):
        message = read(raw, Given(), HOSTS)
        assert message.client_ip or message.local
        assert message.sources["client"]


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
def test_any_received_field_is_read(value):
    found = received(value)
    assert found.at is None or isinstance(found.at, float)
