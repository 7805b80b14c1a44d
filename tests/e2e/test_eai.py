"""Internationalized mail (RFC 8616) through the real Postfix: A-labels in DNS, UTF-8 where SMTPUTF8 allows it."""

import re

import pytest

from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.raw import RawSmtp
from tests.lab.sign import ed25519_key, rsa_key

RECIPIENT = "bob@receiver.example"
# bücher.example, mx.bücher.example; the selector is schlüssel
ZONE = f"""
    40.2.0.192.in-addr.arpa                              PTR  mx.xn--bcher-kva.example
    mx.xn--bcher-kva.example                             A    192.0.2.40
    mx.xn--bcher-kva.example                             TXT  "v=spf1 a -all"
    xn--bcher-kva.example                                TXT  "v=spf1 ip4:192.0.2.40 -all"
    _dmarc.xn--bcher-kva.example                         TXT  "v=DMARC1; p=reject; adkim=s; aspf=s"
    xn--schlssel-95a._domainkey.xn--bcher-kva.example    TXT  "{rsa_key().record}"
    ed._domainkey.xn--bcher-kva.example                  TXT  "{ed25519_key().record}"
"""
AUTHOR = "From: Zoë <zoë@bücher.example>\r\nSubject: Grüße\r\n\r\nHallo\r\n".encode()


@pytest.fixture(scope="module")
def lab_eai(make_lab):
    return make_lab(names=Zone(ZONE, limits=LIMITS))


def signed():
    """d=, s= and i= in UTF-8, hashed as they are written (RFC 8616 section 5)."""
    return rsa_key().sign(AUTHOR, "bücher.example", "schlüssel", identity="zoë@bücher.example")


def deliver(lab, message, mail_from, helo, options, ip="192.0.2.40"):
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become(ip)
        smtp.command(b"EHLO " + helo)
        reply = smtp.send(mail_from, [RECIPIENT], message, options)
    assert reply.queue_id, reply
    header = lab.postfix.delivered(reply.queue_id).partition(b"\nReceived: ")[0]
    return re.sub(r"\n\s+", " ", header.decode()), lab.serve.entry(reply.queue_id)


SMTPUTF8 = " SMTPUTF8 BODY=8BITMIME"
IN_UTF8 = (
    "Authentication-Results: mx.receiver.example; "
    "iprev=pass policy.iprev=192.0.2.40 (mx.xn--bcher-kva.example); "
    'spf=pass smtp.mailfrom="bücher.example"; '
    'dkim=pass header.d="bücher.example" header.i="zoë@bücher.example" header.s="schlüssel" header.a=rsa-sha256 '
    "header.b=...; "
    "arc=none smtp.remote-ip=192.0.2.40; "
    'dmarc=pass header.from="bücher.example" policy.dmarc=reject'
)
IN_ASCII = (
    "Authentication-Results: mx.receiver.example; "
    "iprev=pass policy.iprev=192.0.2.40 (mx.xn--bcher-kva.example); "
    "spf=pass smtp.mailfrom=xn--bcher-kva.example; "
    "dkim=pass header.d=xn--bcher-kva.example header.i=@xn--bcher-kva.example header.s=xn--schlssel-95a "
    "header.a=rsa-sha256 header.b=...; "
    "arc=none smtp.remote-ip=192.0.2.40; "
    "dmarc=pass header.from=xn--bcher-kva.example policy.dmarc=reject"
)


def without_b(header):
    return re.sub(r'header\.b=("[^"]*"|[^ ;]+)', "header.b=...", header)


@pytest.mark.parametrize("options", [SMTPUTF8, " smtputf8", " BODY=8BITMIME SMTPUTF8"])
def test_u_labels_everywhere(lab_eai, options):
    """MAIL FROM, HELO, From, d=, s= and i= are asked for as A-labels; the message may hold UTF-8, and so our field."""
    header, entry = deliver(lab_eai, signed(), "zoë@bücher.example", "mx.bücher.example".encode(), options)
    assert without_b(header) == IN_UTF8
    assert (entry["spf"], entry["spf_helo"], entry["dmarc"]) == ("pass", "pass", "pass")
    assert entry["helo"] == "mx.xn--bcher-kva.example"


def test_a_message_that_may_hold_no_utf8(lab_eai):
    """UTF-8 in the header all the same: ours stays ASCII."""
    header, entry = deliver(lab_eai, signed(), "zoe@xn--bcher-kva.example", b"mx.xn--bcher-kva.example", "")
    assert without_b(header) == IN_ASCII
    assert entry["dmarc"] == "pass"


def test_smtputf8_is_asked_for_message_by_message(lab_eai):
    with lab_eai.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.40")
        smtp.command("EHLO mx.bücher.example")
        replies = [
            smtp.send(f"zoe@{domain}", [RECIPIENT], signed(), options)
            for domain, options in [
                ("bücher.example", SMTPUTF8),
                ("xn--bcher-kva.example", ""),
                ("xn--bcher-kva.example", SMTPUTF8),
            ]
        ]
    headers = [lab_eai.postfix.delivered(reply.queue_id).partition(b"\nReceived: ")[0] for reply in replies]
    assert [header.isascii() for header in headers] == [False, True, False]
    assert [header.count(b"=pass") for header in headers] == [4, 4, 4]


def test_an_a_label_author_with_a_u_label_signature(lab_eai):
    message = AUTHOR.replace("bücher".encode(), b"xn--bcher-kva")
    message = ed25519_key().sign(message, "BÜCHER.example", "ed")
    header, _ = deliver(lab_eai, message, "", b"mx.xn--bcher-kva.example", "")
    assert "dkim=pass header.d=xn--bcher-kva.example" in header
    assert "dmarc=pass header.from=xn--bcher-kva.example" in header


def test_a_spoof_of_an_internationalized_domain(lab_eai):
    with lab_eai.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("198.51.100.66")
        smtp.command("EHLO mx.bücher.example")
        reply = smtp.send("eve@attacker.example", [RECIPIENT], AUTHOR, SMTPUTF8)
    assert str(reply) == "550 5.7.1 Email rejected per DMARC policy for xn--bcher-kva.example"


A_LABELS = "xn--bcher-kva.example"
# spellings of bücher.example: those that Postfix takes in an address with SMTPUTF8, and those that it does not
TAKEN = {
    "U-label": "bücher.example",
    "A-label": A_LABELS,
    "A-label, upper case": A_LABELS.upper(),
    "upper case": "BÜCHER.EXAMPLE",
    "decomposed": "bu\u0308cher.example",
    "decomposed, upper case": "BU\u0308CHER.EXAMPLE",
    "ideographic dot": "bücher\u3002example",
    "full-width dot": "bücher\uff0eexample",
    "half-width dot": f"{A_LABELS[:-8]}\uff61example",
    "full-width letter": "ｂücher.ｅxample",
    "mathematical letter": "\U0001d41bücher.example",
    "circled letter": "ⓑücher.example",
    "soft hyphen": "bü\u00adcher.example",
    "zero-width space": "bücher\u200b.example",
    "byte order mark": "\ufeffbücher.example",
    "variation selector": "bücher\ufe0f.example",
    "word joiner": "bücher\u2060.example",
    "final dot": "bücher.example.",
}
REFUSED = {
    "direction overridden": "\u202ebücher.example",
    "direction mark": "bücher\u200e.example",
    "no-break space": "bücher\u00a0.example",
    "final ideographic dot": f"{A_LABELS}\u3002",
    "tag": "bücher\U000e0001.example",
    "control": "bücher\u0085.example",
    "line separator": "bücher\u2028.example",
    "encoded twice": "xn--xn--bcher-kva-.example",
}
NO_UTF8 = {
    "Latin-1": b"b\xfccher.example",
    "overlong": b"b\xe0\x83\xbccher.example",
    "surrogate": b"b\xed\xa0\x80cher.example",
    "surrogates": b"b\xed\xa0\xbd\xed\xb8\x80cher.example",
    "cut off": b"b\xc3cher.example",
    "beyond Unicode": b"b\xf4\x90\x80\x80cher.example",
    "overlong dot": b"b\xc3\xbccher\xc0\xaeexample",
}
SPELLINGS = {name: text.encode() for name, text in (TAKEN | REFUSED).items()} | NO_UTF8


def say(lab, author, mail_from, helo, options="", ip="198.51.100.66"):
    """The reply to one message, whatever it is."""
    with RawSmtp("127.0.0.1", lab.postfix.port) as smtp:
        smtp.hello(ip, helo)
        reply = smtp.envelope(mail_from, options)
        if reply.code == 354:
            (reply,) = smtp.content(b"From: " + author + b"\r\nSubject: x\r\n\r\nx\r\n.\r\n")
    return reply


@pytest.mark.parametrize("options", ["", SMTPUTF8])
@pytest.mark.parametrize("form", [b"ceo@%s", b"Ceo <ceo@%s>", "ceö@%s".encode(), "\U0001f600 <\U0001f600@%s>".encode()])
def test_a_spoof_in_every_spelling(lab_eai, options, form):
    """Whatever a reader may take for bücher.example, which asks for rejection at its A-label."""
    for name, domain in SPELLINGS.items():
        reply = say(lab_eai, form % domain, "eve@attacker.example", "mail.attacker.example", options)
        whose = "the author domain" if domain in NO_UTF8.values() else A_LABELS
        assert str(reply) == f"550 5.7.1 Email rejected per DMARC policy for {whose}", name


@pytest.mark.parametrize("options", ["", SMTPUTF8])
@pytest.mark.parametrize("at", ["\uff20", "\ufe6b"])
@pytest.mark.parametrize("form", ["ceo{}bücher.example", "Ceo <ceo{}bücher.example>", f"ceo{{}}{A_LABELS}"])
def test_a_spoof_with_another_at_sign(lab_eai, options, at, form):
    reply = say(lab_eai, form.format(at).encode(), "eve@attacker.example", "mail.attacker.example", options)
    assert str(reply) == f"550 5.7.1 Email rejected per DMARC policy for {A_LABELS}"


@pytest.mark.parametrize("name", TAKEN)
def test_honest_mail_in_every_spelling(lab_eai, name):
    """Everywhere the same one: HELO, MAIL FROM, From."""
    domain = TAKEN[name].encode()
    reply = say(lab_eai, b"ceo@" + domain, b"ceo@" + domain, b"mx." + domain, SMTPUTF8, "192.0.2.40")
    assert reply.queue_id, reply
    entry = lab_eai.serve.entry(reply.queue_id)
    assert (entry["spf"], entry["dmarc"], entry["header_from"]) == ("pass", "pass", A_LABELS)
    assert entry["mail_from"] == A_LABELS
    without = say(lab_eai, b"ceo@" + domain, b"ceo@" + domain, b"mx." + domain, "", "192.0.2.40")
    assert bool(without.queue_id) is domain.isascii()
    assert without.queue_id or str(without) == "501 5.1.7 Bad sender address syntax"


@pytest.mark.parametrize("options", ["", SMTPUTF8])
@pytest.mark.parametrize("name", [*REFUSED, *NO_UTF8])
def test_senders_that_postfix_does_not_take(lab_eai, name, options):
    domain = SPELLINGS[name]
    reply = say(lab_eai, b"ceo@open.example", b"ceo@" + domain, "mail.attacker.example", options)
    assert reply.code in (500, 501)


@pytest.mark.parametrize("name", TAKEN)
def test_a_sender_that_spf_forbids(lab_eai, name):
    """The domain of MAIL FROM and HELO is bücher.example's in every spelling."""
    domain = TAKEN[name].encode()
    reply = say(lab_eai, "Zoë <eve@attacker.example>".encode(), b"ceo@" + domain, b"mx." + domain, SMTPUTF8)
    entry = lab_eai.serve.entry(reply.queue_id)
    assert (entry["spf"], entry["mail_from"], entry["dmarc"]) == ("fail", A_LABELS, "none")
    header = lab_eai.postfix.delivered(reply.queue_id).partition(b"\n\n")[0].decode()
    assert re.search(r"\sspf=fail smtp\.mailfrom=\"bücher\.example\";", header)


@pytest.mark.parametrize("domain", ["bücher.example", A_LABELS, "BÜCHER.example", "bu\u0308cher.example"])
@pytest.mark.parametrize("selector", ["schlüssel", "xn--schlssel-95a", "SCHLÜSSEL", "schlu\u0308ssel"])
def test_spellings_of_a_signer(lab_eai, domain, selector):
    message = rsa_key().sign(AUTHOR, domain, selector)
    header, _ = deliver(lab_eai, message, "", b"mx.xn--bcher-kva.example", SMTPUTF8)
    assert re.search(r' dkim=pass header\.d="bücher\.example" (header\.i=\S+ )?header\.s="schlüssel"', header), header
    assert ' dmarc=pass header.from="bücher.example"' in header


def test_a_recipient_in_utf8(lab_eai):
    """It is not ours to judge, and changes nothing else."""
    with lab_eai.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.40")
        smtp.command("EHLO mx.bücher.example")
        reply = smtp.send(f"ceo@{A_LABELS}", ["bøb@receiver.example"], signed(), SMTPUTF8)
        assert lab_eai.serve.entry(reply.queue_id)["dmarc"] == "pass"


@pytest.mark.parametrize("asked", [True, False])
def test_our_own_name(make_lab, asked):
    """As a U-label where the message may hold one; a forged field is known in either form."""
    lab = make_lab(names=Zone(ZONE, limits=LIMITS), authserv_id="mx.münchen.example")
    forged = "Authentication-Results: MX.München.example; dmarc=pass\r\n".encode()
    forged += b"Authentication-Results: mx.xn--mnchen-3ya.example; dmarc=pass\r\n"
    options = SMTPUTF8 if asked else ""
    header, _ = deliver(lab, forged + signed(), "", b"mx.xn--bcher-kva.example", options)
    ours = '"mx.münchen.example"' if asked else "mx.xn--mnchen-3ya.example"
    assert header.startswith(f"Authentication-Results: {ours}; iprev=pass ")
    assert header.count("Authentication-Results") == 1


def test_a_helo_that_is_not_utf8_leaves_no_earlier_one(make_lab):
    """Where SMTPUTF8 is on, Postfix takes none."""
    lab = make_lab(names=Zone(ZONE, limits=LIMITS), more="smtputf8_enable = no\n")
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.40")
        smtp.command("EHLO mx.bücher.example")
        smtp.command("MAIL FROM:<>")
        assert smtp.command(b"EHLO mx.b\xfccher.example").code == 250
        first = smtp.send("", [RECIPIENT], b"From: x@open.example\r\n\r\nx\r\n")
        smtp.command("EHLO mx.bücher.example")
        second = smtp.send("", [RECIPIENT], b"From: x@open.example\r\n\r\nx\r\n")
    assert lab.serve.entry(first.queue_id)["spf"] == "none"
    assert lab.serve.entry(second.queue_id)["spf"] == "pass"
