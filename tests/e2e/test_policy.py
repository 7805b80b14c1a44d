"""What rules say, as an SMTP client hears it and as a mailbox shows it."""

import re

from mailassay.zone import Zone
from tests.lab.mta import DOMAIN

NAMES = Zone('x.example TXT "v=spf1 ~all"')


def send(lab, author):
    with lab.postfix.client() as client:
        client.command("EHLO x.example")
        client.become("192.0.2.1", "x.example")
        client.command("EHLO x.example")
        return client.send("a@x.example", [f"inbox@{DOMAIN}"], f"From: {author}\r\nX-Seen: no\r\n\r\nx\r\n".encode())


def test_rules(make_lab):
    """A percent sign is libmilter's and Postfix's to take for the beginning of a format, and neither may."""
    rules = [
        {"name": "no", "if": {"author": "no.example"}, "then": "reject", "reply": "100% no, {author} {{%s}}"},
        {"name": "later", "if": {"author": "later.example"}, "then": "defer", "enhanced": "4.7.99"},
        {"name": "yes", "if": {"client": "192.0.2.0/24"}, "then": "accept", "headers": {"X-Seen": "by {rule}"}},
    ]
    lab = make_lab(names=NAMES, policy={"rules": rules})
    assert str(send(lab, "a@no.example")) == "550 5.7.1 100% no, no.example {%s}"
    assert str(send(lab, "a@later.example")) == "451 4.7.99 Refused by local policy (later)"
    delivered = lab.postfix.delivered(send(lab, "a@yes.example").queue_id)
    assert re.findall(rb"(?mi)^x-seen: .*", delivered) == [b"X-Seen: by yes"]
