"""Attacks through the real Postfix: what it makes of them before the milter is asked, and what is delivered.

Every message of tests/messages comes this way too. Postfix is set up as conf/postfix-main.cf advises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailassay.policy import Policy
from mailassay.zone import Zone
from tests.lab import mta
from tests.lab.cases import NOW, Case, judged, load, mentions
from tests.lab.dns import DnsServer
from tests.lab.folder import open_folder
from tests.lab.limits import LIMITS
from tests.lab.mta import Mta
from tests.lab.raw import RawSmtp
from tests.lab.serve import AUTHSERV_ID, Serve
from tests.lab.smtp import Reply

CASES = load()
COMMON = next(case for case in CASES if case.name == "weak-links/a02-mail-from-is-not-from")
OURS = AUTHSERV_ID.encode()
EVE, BANK = b"From: eve@attacker.example\r\n", b"From: admin@bank.example\r\n"
REFUSED = "550 5.7.1 Email rejected per DMARC policy for bank.example"
END = b"\r\n.\r\n"


class World:
    """A Postfix in front of the daemon, and a DNS that can be changed for each message."""

    def __init__(self, stack: ExitStack, folder: Path, more: str) -> None:
        self.dns = stack.enter_context(DnsServer(Zone(json.dumps(COMMON.dns), ttl=0, limits=LIMITS)))
        self.serve = Serve(folder, self.dns)
        self.serve.module = "tests.conformance.daemon"
        (folder / "clock").write_text(str(NOW))
        self.serve.environment["MAILASSAY_CLOCK"] = str(folder / "clock")
        stack.enter_context(self.serve)
        self.postfix = stack.enter_context(Mta([f"unix:{self.serve.socket}"], more))

    def send(
        self,
        content: bytes,
        *,
        client: str = "198.51.100.66",
        helo: bytes = b"mail.attacker.example",
        mail_from: bytes = b"eve@attacker.example",
        options: str = "",
    ) -> list[Reply]:
        """One message, the end of DATA included, and whatever its sender smuggled in; the replies to the content."""
        with RawSmtp("127.0.0.1", self.postfix.port) as smtp:
            smtp.hello(client, helo)
            reply = smtp.envelope(mail_from, options)
            return smtp.content(content) if reply.code == 354 else [reply]


@pytest.fixture(scope="module")
def make_world() -> Iterator[Callable[[str], World]]:
    """Start one; ``more`` are lines of main.cf."""
    if why := mta.missing():
        pytest.skip(reason=why)
    with ExitStack() as stack:
        yield lambda more: World(stack, stack.enter_context(open_folder()), more)


@pytest.fixture(scope="module")
def world(make_world: Callable[[str], World]) -> World:
    """One for all."""
    return make_world("smtpd_forbid_bare_newline = normalize\n")


def fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a delivered header, line ends LF."""
    return [(name, value) for name, _, value in (each.partition(b":") for each in re.split(rb"\n(?![ \t])", header))]


def results(delivered: bytes) -> str:
    """Our field's value; it is the first of the message, and no other has our name in it."""
    (name, value), *rest = fields(delivered.partition(b"\n\n")[0])
    assert name == b"Authentication-Results"
    others = [value for name, value in rest if name.lower() == b"authentication-results"]
    assert not [value for value in others if mentions(value, OURS)]
    return value.decode().removeprefix(" ")


# --- what Postfix makes of a header before it asks

SEEN = {
    "space before the colon": (EVE + b"From : admin@bank.example\r\n", REFUSED),
    "tab before the colon": (EVE + b"From\t: admin@bank.example\r\n", REFUSED),
    "line of LF only": (EVE + b"X: y\nFrom: admin@bank.example\n", REFUSED),
    "CR before CRLF": (EVE + b"X: y\r\r\nFrom: admin@bank.example\r\r\n", REFUSED),
    "folded empty line": (b"From: eve@attacker.example\r\n \r\n ,admin@bank.example\r\n", REFUSED),
    "continuation that begins with CR": (EVE + b"\rFrom: admin@bank.example\r\n", REFUSED),
    "NUL at the end of a folded line": (b"From: eve@attacker.example\0\r\n ,admin@bank.example\r\n", REFUSED),
    "mbox line": (b"From eve@attacker.example now\r\n" + BANK, REFUSED),
    "several From": (EVE + b"Subject: x\r\n" + BANK + EVE, REFUSED),
    "bare CR": (b"From: eve@attacker.example\rFrom: admin@bank.example\r\n", REFUSED),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_repaired_is_judged_repaired(world: World, name: str) -> None:
    header, reply = SEEN[name]
    assert [str(each) for each in world.send(header + b"\r\nx" + END)] == [reply]


# name: (header, what is delivered of it, what our field says, what is then in the body)
DELIVERED = {
    "NUL behind the address": (
        b"From: eve@attacker.example\0, admin@bank.example\r\n", b"From: eve@attacker.example", "pass", b"",
    ),
    "NUL inside the address": (
        b"From: <eve@attacker.example\0.bank.example>\r\n", b"From: <eve@attacker.example", "pass", b"",
    ),
    "NUL inside the name of a field": (EVE + b"Fr\0om: admin@bank.example\r\n", EVE.strip(), "pass", b"Fr\0om: admin"),
    "NUL before the colon": (EVE + b"From\0: admin@bank.example\r\n", EVE.strip(), "pass", b"From\0: admin"),
    "8-bit name": (EVE + b"From\xc2\xa0: admin@bank.example\r\n", EVE.strip(), "pass", b"From\xc2\xa0: admin"),
    "vertical tab in the name": (EVE + b"From\x0b: admin@bank.example\r\n", EVE.strip(), "pass", b"From\x0b: admin"),
    "fold before the colon": (EVE + b"From\r\n : admin@bank.example\r\n", EVE.strip(), "pass", b"From\n : admin"),
    "space before the first name": (b" " + EVE + BANK, b"", "permerror", b" From: eve@attacker.example\nFrom: admin"),
    "long line": (
        EVE + b"X: " + b"a" * 5000 + b"\r\n", EVE + b"X: " + b"a" * 5000, "pass", b"",
    ),
    "line with a From where it is cut": (
        EVE + b"X: " + b"a" * 2045 + b"From: admin@bank.example\r\n",
        EVE + b"X: " + b"a" * 2045 + b"From: admin@bank.example", "pass", b"",
    ),
    "field beyond header_size_limit": (
        EVE + b"X: " + b"a" * 102_400 + b"\r\n From: admin@bank.example\r\n", EVE + b"X: " + b"a" * 1000, "pass", b"",
    ),
    "forged results after a NUL": (
        EVE + b"Authentication-Results: \0mx.receiver.example; dmarc=pass\r\n",
        EVE + b"Authentication-Results: ", "pass", b"",
    ),
    "forged results after a bare CR": (
        EVE + b"X: y\rAuthentication-Results: mx.receiver.example; dmarc=pass\r\n",
        EVE + b"X: y Authentication-Results: mx.receiver.example; dmarc=pass", "pass", b"",
    ),
    "forged results, continued after a NUL": (
        EVE + b"Authentication-Results: x\0\r\n mx.receiver.example; dmarc=pass\r\n", EVE.strip(), "pass", b"",
    ),
    "forged results with a blank before the colon": (
        b"Authentication-Results : mx.receiver.example; dmarc=pass\r\n" + EVE, EVE.strip(), "pass", b"",
    ),
    "forged results below the end of the header": (
        EVE + b"\r\nAuthentication-Results: mx.receiver.example; dmarc=pass\r\n",
        EVE.strip(), "pass", b"Authentication-Results: mx.receiver",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DELIVERED)
def test_what_is_delivered_is_what_was_judged(world: World, name: str) -> None:
    """What the milter is not shown is not delivered as a header either."""
    content, header, word, body = DELIVERED[name]
    (reply,) = world.send(content + b"\r\nx" + END)
    delivered = world.postfix.delivered(reply.queue_id)
    value = results(delivered)
    assert re.findall(r"\sdmarc=(\w+)", value) == [word]
    assert "bank" not in value
    above, _, below = delivered.partition(b"\n\n")
    assert header.replace(b"\r\n", b"\n") in above
    assert not re.search(rb"^From:.*bank", above, re.MULTILINE)
    assert below.startswith(body)


# --- the envelope

SENDERS = {
    b"@bank.example,@any.example:'any@attacker.example": "spf=pass smtp.mailfrom=attacker.example;",
    b"@bank.example:any@attacker.example": "spf=pass smtp.mailfrom=attacker.example;",
    b"any@bank.example@attacker.example": "spf=pass smtp.mailfrom=attacker.example;",
    b"any@bank.example'@attacker.example": "spf=pass smtp.mailfrom=attacker.example;",
    b'"x; dmarc=pass (y"@attacker.example': "spf=pass smtp.mailfrom=attacker.example;",
    b'"a@bank.example"@attacker.example': "spf=pass smtp.mailfrom=attacker.example;",
    b"x%bank.example@attacker.example": "spf=pass smtp.mailfrom=attacker.example;",
    # a comment, and so the null reverse-path
    b"(any@bank.example": "spf=pass smtp.helo=mail.attacker.example;",
    b"any@bank.example.": "spf=fail smtp.mailfrom=bank.example;",
    b"any\r@bank.example": "spf=fail smtp.mailfrom=bank.example;",
    b"any@bank.example(.attacker.example": "spf=fail smtp.mailfrom=bank.example;",
    b"any@[192.0.2.1]": 'spf=none smtp.mailfrom="[192.0.2.1]";',
    b"bank.example!any": "spf=fail smtp.mailfrom=bank.example;",
    b"any@bank..example": "501 5.1.7 Bad sender address syntax",
    b"any@x;dmarc=pass.attacker.example": "501 5.1.7 Bad sender address syntax",
    b"any@bank.example\0@attacker.example": "501 5.1.7 Bad sender address syntax",
    b"any@bank.example\x01.attacker.example": "501 5.1.7 Bad sender address syntax",
    b"any@b\xe4nk.example": "500 5.5.2 Error: bad UTF-8 syntax",
    b"@attacker.example,@x.example:any@bank.example": "spf=fail smtp.mailfrom=bank.example;",
    b"any@x.example@bank.example": "spf=fail smtp.mailfrom=bank.example;",
    b"any%bank.example@": "spf=fail smtp.mailfrom=bank.example;",
    b"@bank.example": "spf=fail smtp.mailfrom=bank.example;",
    b"any(x)@(y)bank.example": "spf=fail smtp.mailfrom=bank.example;",
    b" any@attacker.example ": "spf=pass smtp.mailfrom=attacker.example;",
    b" ": "spf=pass smtp.helo=mail.attacker.example;",
    b'"a>b"@attacker.example': "spf=pass smtp.mailfrom=attacker.example;",
    b'"a\\"@bank.example"@attacker.example': "spf=pass smtp.mailfrom=attacker.example;",
    b"x" * 900 + b"@attacker.example": "spf=pass smtp.mailfrom=attacker.example;",
    b"any@[IPv6:2001:db8::1]": 'spf=none smtp.mailfrom="[IPv6:2001:db8::1]";',
    # Postfix writes its own name behind it
    b"any": "spf=none smtp.mailfrom=mx.receiver.example;",
    b"any@[bank.example]": "501 5.1.7 Bad sender address syntax",
    b"any@attacker.example,any@bank.example": "501 5.1.7 Bad sender address syntax",
    b"any@attacker.example><any@bank.example": "501 5.1.7 Bad sender address syntax",
    b"any@" + b"a." * 200 + b"attacker.example": "501 5.1.7 Bad sender address syntax",
}


@pytest.mark.parametrize("sender", SENDERS)
def test_mail_from(world: World, sender: bytes) -> None:
    (reply,) = world.send(EVE + b"\r\nx" + END, mail_from=sender)
    expected = SENDERS[sender]
    if reply.queue_id:
        value = results(world.postfix.delivered(reply.queue_id))
        assert f"\n {expected}" in value
        assert "any@" not in value
    else:
        assert str(reply) == expected


# what stands behind the address: does it change who is asked about, or bring something into the message?
PARAMETERS = [
    b"", b" ", b" SIZE=0", b" SIZE=1 SIZE=99", b" BODY=7BIT", b" BODY=8BITMIME SMTPUTF8", b" SMTPUTF8 SMTPUTF8",
    b" RET=HDRS ENVID=+3Ddmarc+3Dpass", b' ENVID="x', b" AUTH=any@bank.example", b" AUTH=<>",
    b" SIZE=-1", b" SIZE=99999999999999999999", b" BODY=x", b" BODY=BINARYMIME", b" SMTPUTF8=yes", b" FOO=bar",
    b" ENVID=x+0D+0AFrom:", b" <any@bank.example>", b" SMTPUTF8 any@bank.example",
]  # fmt: skip
RECIPIENTS = [
    b"<@x.example:bob@receiver.example>", b'<"bob"@receiver.example>', b"<bob(x)@receiver.example>",
    b"< bob@receiver.example >", b"<bob@receiver.example.>", b"<bob@RECEIVER.example>", b"<receiver.example!bob>",
    b'<"b o b"@receiver.example>', b"<bob@receiver.example> ORCPT=rfc822;x+0D+0AFrom:+20any@bank.example",
    b"<bob@receiver.example> ORCPT=utf-8;\xc3\xbc@x", b"<bob@receiver.example> NOTIFY=NEVER",
    b"<bob@receiver.example> ORCPT=;", b"<bob@receiver.example> NOTIFY=SUCCESS,x", b"<>", b"<bob@other.example>",
]  # fmt: skip


def said(world: World, lines: list[bytes], content: bytes) -> Reply:
    """The reply that decided."""
    with RawSmtp("127.0.0.1", world.postfix.port) as smtp:
        smtp.hello("198.51.100.66", b"mail.attacker.example")
        for line in (*lines, b"DATA"):
            reply = smtp.command(line)
            if reply.code >= 400:
                return reply
        return smtp.content(content + b"\r\nx" + END)[0]


def check_said(world: World, lines: list[bytes]) -> None:
    """Postfix takes the envelope or does not; if it does, honest mail passes and a spoof is refused."""
    honest, spoof = (said(world, lines, author) for author in (EVE, BANK))
    if not honest.queue_id:
        assert str(honest) == str(spoof)
        assert honest.text[:2] in ("5.", "4.")
        return
    assert str(spoof) == REFUSED
    delivered = world.postfix.delivered(honest.queue_id)
    value = results(delivered)
    assert "\n spf=pass smtp.mailfrom=attacker.example;" in value
    assert re.findall(r"\sdmarc=(\w+)", value) == ["pass"]
    assert "bank" not in value
    assert [value for name, value in fields(delivered.partition(b"\n\n")[0]) if name == b"From"] == [EVE[5:-2]]


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_parameters_of_mail(world: World, parameters: bytes) -> None:
    check_said(world, [b"MAIL FROM:<eve@attacker.example>" + parameters, b"RCPT TO:<bob@receiver.example>"])


@pytest.mark.parametrize("recipient", RECIPIENTS)
def test_recipients(world: World, recipient: bytes) -> None:
    check_said(world, [b"MAIL FROM:<eve@attacker.example>", b"RCPT TO:" + recipient])


def test_a_thousand_recipients(world: World) -> None:
    names = [b"RCPT TO:<user%d@receiver.example>" % number for number in range(1000)]
    check_said(world, [b"MAIL FROM:<eve@attacker.example>", *names])


HELOS = {
    b"x;dmarc=pass header.from=bank.example": "spf=none;",
    b"mail.bank.example\0.attacker.example": "spf=fail smtp.helo=mail.bank.example;",
    b"mail.bank.example(": "spf=none;",
    b'x"y': "spf=none;",
    b"[192.0.2.1]": 'spf=none smtp.helo="[192.0.2.1]";',
    b"mx.receiver.example": "spf=none smtp.helo=mx.receiver.example;",
}


@pytest.mark.parametrize("name", HELOS)
def test_helo(world: World, name: bytes) -> None:
    (reply,) = world.send(EVE + b"\r\nx" + END, helo=name, mail_from=b"")
    value = results(world.postfix.delivered(reply.queue_id))
    assert f"\n {HELOS[name]}" in value
    assert re.findall(r"\n dmarc=(\w+)", value) == ["fail"]


# --- every message of tests/messages


def sendable(case: Case) -> bool:
    """Can an SMTP client say this, and does Postfix neither refuse nor fix it before it asks?"""
    connection = case.connection
    unsayable = re.search(r"[\r\n\ud800-\udfff]", connection.helo + connection.mail_from)
    refused = ";" in connection.mail_from.rpartition("@")[2]
    # what Postfix takes for a comment is no part of the address that it goes by
    fixed = "(" in connection.mail_from
    return not (case.policy or unsayable or refused or fixed or case.name.startswith("smuggling/"))


@pytest.mark.parametrize("case", [case for case in CASES if sendable(case)], ids=str)
def test_messages(world: World, case: Case) -> None:
    world.dns.zone = Zone(json.dumps(case.dns), ttl=0, limits=LIMITS)
    connection = case.connection
    stuffed = re.sub(rb"(\A|\r\n)\.", rb"\1..", case.message)
    (reply,) = world.send(
        stuffed.removesuffix(b"\r\n") + END,
        client=connection.client,
        helo=connection.helo.encode(),
        mail_from=connection.mail_from.encode(),
        options=" SMTPUTF8 BODY=8BITMIME" if connection.smtputf8 else "",
    )
    if case.verdict in ("reject", "defer"):
        assert str(reply).startswith(case.reply)
        return
    assert reply.code == 250, reply
    if case.verdict == "hold":
        delivered = world.postfix.held(reply.queue_id)
    else:
        delivered = world.postfix.delivered(reply.queue_id)
    value = results(delivered)
    if not case.differs_on_the_way:
        assert value == judged(case, Policy()).add[0][1]
