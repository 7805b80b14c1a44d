"""What rules say, as an SMTP client hears it and as a mailbox shows it."""

import re

import pytest

from mailassay.cli.options import asked
from mailassay.config import Settings
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.mta import DOMAIN

NAMES = Zone(
    """
    x.example                 TXT  "v=spf1 ~all"
    bank.example              TXT  "v=spf1 -all"
    evil.example              TXT  "v=spf1 +all"
    """,
    limits=LIMITS,
)


def send(lab, author="a@x.example", mail_from="a@x.example", recipient=f"inbox@{DOMAIN}", options=""):
    with lab.postfix.client() as client:
        client.command("EHLO x.example")
        client.become("192.0.2.1", "x.example")
        client.command("EHLO x.example")
        message = f"From: {author}\r\nX-Seen: no\r\n\r\nx\r\n".encode()
        return client.send(mail_from, [recipient], message, options)


def test_rules(make_lab):
    """A percent sign is libmilter's and Postfix's to take for the beginning of a format, and neither may."""
    rules = [
        {"name": "no", "if": {"author": "no.example"}, "then": "reject", "reply": "100% no, {author} {{%s}}"},
        {"name": "later", "if": {"author": "later.example"}, "then": "defer", "enhanced": "4.7.99"},
        {"name": "yes", "if": {"client": "192.0.2.0/24"}, "then": "accept", "headers": {"X-Seen": "by {rule}"}},
    ]
    lab = make_lab(names=NAMES, policy={"rules": rules})
    assert str(send(lab, "a@no.example")) == "550 5.7.1 100% no, no.example {%s}"
    assert str(send(lab, "a@later.example")) == "451 4.7.99 Refused by local policy"
    delivered = lab.postfix.delivered(send(lab, "a@yes.example").queue_id)
    assert re.findall(rb"(?mi)^x-seen: .*", delivered) == [b"X-Seen: by yes"]


@pytest.fixture(scope="module")
def spelled(make_lab):
    """Rules for a sender, a recipient, and an SPF result."""
    rules = [
        {"name": "to", "if": {"recipient": f"inbox@{DOMAIN}"}, "then": "defer", "reply": "to"},
        {
            "name": "from",
            "if": {"mail_from": ["bank.example", "xn--bcher-kva.example"]},
            "then": "defer",
            "reply": "from",
        },
        {"name": "null", "if": {"mail_from": "<>"}, "then": "defer", "reply": "null"},
    ]
    return make_lab(names=NAMES, policy={"rules": rules})


@pytest.mark.parametrize(
    "recipient",
    [
        "inbox@{}", "INBOX@{}", "inbox@{}.", '"inbox"@{}', "in\\box@{}", "@hop.example:inbox@{}", "(x)inbox@{}",
        "inbox @ {}", '"inbox"@{}.',
    ],
)  # fmt: skip
def test_a_recipient_in_any_spelling_is_that_recipient(spelled, recipient):
    """As Postfix delivers to it, so a rule takes it."""
    assert str(send(spelled, recipient=recipient.format(DOMAIN))) == "451 4.7.1 to"


@pytest.mark.parametrize(
    ("mail_from", "reply"),
    [
        ("a@bank.example", "from"),
        ("a@bank.example ", "from"),
        ("a@ bank.example", "from"),
        ("a@bank.example(c)", "from"),
        ("a@bank\\.example", "from"),
        ("a@bank.example(x@evil.example", "from"),
        ('"a@evil.example"@bank.example', "from"),
        ("@evil.example:a@bank.example", "from"),
        ("a@BANK.example.", "from"),
        ("", "null"),
    ],
)
def test_a_sender_in_any_spelling_is_that_sender(spelled, mail_from, reply):
    assert str(send(spelled, mail_from=mail_from, recipient=f"list@{DOMAIN}")) == f"451 4.7.1 {reply}"


def test_a_sender_in_letters_of_his_own(spelled):
    """RFC 6531: U-labels are the A-labels that a rule has."""
    reply = send(spelled, mail_from="a@bücher.example", recipient=f"list@{DOMAIN}", options=" SMTPUTF8")
    assert str(reply) == "451 4.7.1 from"


@pytest.fixture(scope="module")
def extended(make_lab):
    """A Postfix with address extensions, and rules for a mailbox."""
    rules = [
        {"name": "out", "if": {"recipient": "board@", "not": {"client": "192.0.2.1"}}, "then": "reject"},
        {"name": "in", "if": {"recipient": f"inbox@{DOMAIN}", "client": "192.0.2.1"}, "then": "accept"},
        {"name": "else", "if": {"client": "192.0.2.1"}, "then": "defer", "reply": "else"},
    ]
    return make_lab(names=NAMES, policy={"rules": rules}, more="recipient_delimiter = +\n", recipient_delimiter="+")


@pytest.mark.parametrize(
    "recipient",
    ["inbox@{}", "inbox+x@{}", "INBOX+x+y@{}", '"inbox+x"@{}', '"inbox+ x"@{}', "inbox+@{}", "inbox\\+x@{}"],
)
def test_a_recipient_with_an_extension_is_that_mailbox(extended, recipient):
    """As Postfix delivers to it: Delivered-To has the mailbox that virtual(8) found."""
    assert extended.postfix.delivered(send(extended, recipient=recipient.format(DOMAIN)).queue_id)


@pytest.mark.parametrize("recipient", ["inbox-x@{}", "+inbox@{}", "other+inbox@{}"])
def test_what_is_no_extension_is_another_mailbox(extended, recipient):
    assert str(send(extended, recipient=recipient.format(DOMAIN))) == "451 4.7.1 else"


@pytest.mark.parametrize("recipient", ["board@{}", "board+x@{}", '"board+ x"@{}', "Board++@{}"])
def test_an_extension_does_not_pass_by_a_rule(extended, recipient):
    with extended.postfix.client() as client:
        client.command("EHLO x.example")
        client.become("198.51.100.66", "x.example")
        client.command("EHLO x.example")
        reply = client.send("a@x.example", [recipient.format(DOMAIN)], b"From: a@x.example\r\n\r\nx\r\n")
    assert str(reply).startswith("550 5.7.1 ")


def test_postfix_says_what_its_delimiter_is(extended, monkeypatch):
    monkeypatch.setenv("MAIL_CONFIG", extended.postfix.run("postconf", "-h", "config_directory").strip())
    assert asked(Settings()).recipient_delimiter == "+"
