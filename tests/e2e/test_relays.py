"""The operator's own relay, a real Postfix, in front of a real Postfix with the milter."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailassay.cli import main
from mailassay.zone import Zone
from tests.lab import mta
from tests.lab.limits import LIMITS
from tests.lab.mta import Lab
from tests.lab.raw import RawSmtp

SENDER, ATTACKER, RELAY = "198.51.100.7", "203.0.113.66", "127.0.0.2"
NAMES = """
    sender.example             TXT  "v=spf1 ip4:198.51.100.7 -all"
    _dmarc.sender.example      TXT  "v=DMARC1; p=reject"
    7.100.51.198.in-addr.arpa  PTR  mail.sender.example
    mail.sender.example        A    198.51.100.7
    66.113.0.203.in-addr.arpa  PTR  h66.attacker.example
    h66.attacker.example       A    203.0.113.66
"""
MESSAGE = b"From: Ann <ann@sender.example>\r\nSubject: hello\r\n\r\nHello\r\n"
FORGED = (
    b"Received: from mail.sender.example (mail.sender.example [198.51.100.7])\r\n"
    b"\tby mx2.receiver.example (Postfix) with ESMTPS id 4ABC\r\n"
    b"\tfor <bob@receiver.example>; Mon, 21 Sep 2026 14:10:00 +0000 (UTC)\r\n"
)


@dataclass(frozen=True)
class Chain:
    """``relay`` passes everything on to the Postfix of ``lab``, which it reaches from an address of its own."""

    relay: mta.Mta
    lab: Lab

    def sent(self, send: Callable[[], object]) -> dict[str, Any]:
        """The line of the log of one message."""
        count = len(self._entries())
        send()
        self.lab.serve.wait_for_count('"verdict": ', count + 1, 30)
        return self._entries()[count]

    def by(self, client: str, helo: bytes, content: bytes = MESSAGE) -> dict[str, Any]:
        """What became of a message that a client gave to the relay."""

        def send() -> None:
            with RawSmtp("127.0.0.1", self.relay.port) as smtp:
                smtp.hello(client, helo)
                assert smtp.envelope("ann@sender.example").code == 354
                assert smtp.content(content + b".\r\n")[0].code == 250

        return self.sent(send)

    def _entries(self) -> list[dict[str, Any]]:
        return [each for each in self.lab.serve.entries() if "verdict" in each]


@pytest.fixture(scope="module")
def chain(make_lab: Callable[..., Lab]) -> Iterator[Chain]:
    lab = make_lab(names=Zone(NAMES, limits=LIMITS), relays=[RELAY])
    more = (
        "myhostname = mx2.receiver.example\nvirtual_mailbox_domains =\nrelay_domains = receiver.example\n"
        f"relay_transport = smtp:[127.0.0.1]:{lab.postfix.port}\nsmtp_bind_address = {RELAY}\n"
    )
    with mta.Mta([], more) as relay:
        yield Chain(relay, lab)


def test_honest_mail_passes(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = chain.by(SENDER, b"mail.sender.example")
    assert (found["client"], found["via"], found["helo"]) == (SENDER, [RELAY], "mail.sender.example")
    assert (found["iprev"], found["spf"], found["dmarc"], found["verdict"]) == ("pass", "pass", "pass", "accept")
    octets = chain.lab.postfix.delivered(found["queue_id"])
    assert octets.startswith(
        b'Authentication-Results: mx.receiver.example;\n iprev=pass reason="by way of 127.0.0.2" '
        b"policy.iprev=198.51.100.7 (mail.sender.example);\n spf=pass smtp.mailfrom=sender.example;\n"
    )
    # and check finds the same in what was delivered
    (tmp_path / "message").write_bytes(b"Return-Path: <ann@sender.example>\n" + octets)
    (tmp_path / "zone").write_text(NAMES)
    given = ["--zone", str(tmp_path / "zone"), "--config", str(chain.lab.serve.config), "--json"]
    assert main(["check", str(tmp_path / "message"), *given]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["message"]["differs"] == []
    assert {key: found[key] for key in again["results"] if key != "ms"} == {
        key: value for key, value in again["results"].items() if key != "ms"
    }


@pytest.mark.parametrize(
    "helo",
    [
        b"h66.attacker.example",
        b"[198.51.100.7]",
        b"[IPv6:::ffff:198.51.100.7]",
        b"mail.sender.example (mail.sender.example [198.51.100.7])",
        b"a (b [198.51.100.7]) by mx2.receiver.example (Postfix) with ESMTPSA id 1; x",
        b"by (b [198.51.100.7])",
        b"[127.0.0.2]",
        b"a\\",
        b'"a(',
        b"a;(b\t[198.51.100.7])",
        b"a\xff(\xc2\xa0[198.51.100.7])",
        # the relay breaks the line in the middle of the address
        *(b"a" * length for length in (960, 966, 970, 974, 978, 1960)),
    ],
)
@pytest.mark.parametrize("below", [b"", FORGED])
def test_a_spoof_fails(chain: Chain, helo: bytes, below: bytes) -> None:
    found = chain.by(ATTACKER, helo, below + MESSAGE)
    assert (found["client"], found["via"]) == (ATTACKER, [RELAY])
    assert (found["spf"], found["dmarc"], found["verdict"]) == ("fail", "fail", "reject")


def test_by_ipv6(chain: Chain) -> None:
    assert chain.by("2001:db8::66", b"x")["client"] == "2001:db8::66"


def test_what_a_program_on_the_relay_sends_has_no_client(chain: Chain) -> None:
    def send() -> None:
        command = ["/usr/sbin/sendmail", "-C", str(chain.relay.folder / "etc"), "-f", "ann@sender.example"]
        subprocess.run([*command, "bob@receiver.example"], check=True, input=FORGED + MESSAGE)

    found = chain.sent(send)
    assert (found["client"], found["untraced"]) == (RELAY, "the relay 127.0.0.2 received it from one of its own users")
    assert (found["iprev"], found["spf"], found["dmarc"], found["verdict"]) == ("none", "none", "fail", "reject")


def test_from_nobody_else_a_received_field_is_believed(chain: Chain) -> None:
    """Postfix does not show its own to a milter, so the sender's is the topmost."""

    def send() -> None:
        with RawSmtp("127.0.0.1", chain.lab.postfix.port) as smtp:
            smtp.hello(ATTACKER, "h66.attacker.example")
            assert smtp.envelope("ann@sender.example").code == 354
            assert smtp.content(FORGED + MESSAGE + b".\r\n")[0].code == 550

    found = chain.sent(send)
    assert (found["client"], found["spf"], found["verdict"]) == (ATTACKER, "fail", "reject")
    assert "via" not in found
