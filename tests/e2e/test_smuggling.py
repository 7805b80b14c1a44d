"""SMTP smuggling: a provider's outgoing server lets its customer's text pass, and we take part of it for commands.

Whatever Postfix takes for a message of its own is judged as one. With ``smtpd_forbid_bare_newline = normalize``, which
is advised, that is only what stands behind CRLF . CRLF, where the provider's own server ended the message too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest

from mailassay.zone import Zone
from tests.lab.cases import mentions
from tests.lab.limits import LIMITS
from tests.lab.mta import Lab
from tests.lab.raw import RawSmtp
from tests.lab.serve import AUTHSERV_ID
from tests.lab.smtp import Reply

ZONE = Zone(
    """
    20.2.0.192.in-addr.arpa        PTR  out.cloud.example
    out.cloud.example              A    192.0.2.20
    cloud.example                  TXT  "v=spf1 ip4:192.0.2.20 -all"
    _dmarc.cloud.example           TXT  "v=DMARC1; p=reject"
    _dmarc.bank.example            TXT  "v=DMARC1; p=reject"
    """,
    limits=LIMITS,
)
FORGED = f"Authentication-Results: {AUTHSERV_ID}; dmarc=pass header.from=bank.example\r\n".encode()
LETTER = b"From: user@cloud.example\r\nSubject: harmless\r\n" + FORGED + b"\r\nHello"
SPOOF = b"From: ceo@bank.example\r\n" + FORGED + b"\r\nPay.\r\n"
ENVELOPE = b"MAIL FROM:<admin@cloud.example>\r\nRCPT TO:<bob@receiver.example>\r\n"
INNER = (
    ENVELOPE + b"BDAT %d LAST\r\n" % len(SPOOF) + SPOOF
    + ENVELOPE + b"DATA\r\nFrom: admin@cloud.example\r\nSubject: smuggled\r\n" + FORGED + b"\r\nPay.\r\n.\r\n"
)  # fmt: skip

LINE_ENDS = {
    "CRLF": b"\r\n",
    "LF": b"\n",
    "CR": b"\r",
    "CR CRLF": b"\r\r\n",
    "LF CR": b"\n\r",
    "NUL CRLF": b"\0\r\n",
}
DOTS = {".": b".", "NUL .": b"\0.", ". NUL": b".\0"}
ENDS = {
    f"{before} {dot} {after}": LINE_ENDS[before] + DOTS[dot] + LINE_ENDS[after]
    for before, dot, after in itertools.product(LINE_ENDS, DOTS, LINE_ENDS)
}
# the end of the message for everybody
REAL = {"CRLF . CRLF", "CR CRLF . CRLF", "NUL CRLF . CRLF"}
# what Postfix takes for it by the value of smtpd_forbid_bare_newline
TAKEN = {
    "normalize": REAL,
    "reject": REAL,
    "no": {
        f"{before} . {after}"
        for before in ("CRLF", "LF", "CR CRLF", "NUL CRLF")
        for after in ("CRLF", "LF", "CR CRLF", "LF CR")
    },
}
BARE_LF = re.compile(rb"(?<!\r)\n")


@pytest.fixture(scope="module", params=TAKEN)
def setting(request: pytest.FixtureRequest) -> str:
    """The value of smtpd_forbid_bare_newline."""
    return str(request.param)


@pytest.fixture(scope="module")
def smuggling_lab(make_lab: Callable[..., Lab], setting: str) -> Lab:
    # what would disconnect the client of test_after_data, by default from Postfix 3.9 on
    other = "smtpd_forbid_unauth_pipelining = no"
    return make_lab(names=ZONE, more=f"smtpd_forbid_bare_newline = {setting}\n{other}\n")


def from_cloud(lab: Lab) -> RawSmtp:
    smtp = RawSmtp("127.0.0.1", lab.postfix.port)
    smtp.hello("192.0.2.20", "out.cloud.example")
    return smtp


def subjects(lab: Lab, replies: list[Reply]) -> list[bytes]:
    """What was delivered, each judged on its own; our field is on top of it, and no other of our name is there."""
    found = []
    for queue_id in filter(None, (reply.queue_id for reply in replies)):
        assert lab.serve.entry(queue_id)["dmarc"] == "pass"
        header = lab.postfix.delivered(queue_id).partition(b"\n\n")[0]
        first, *others = re.findall(rb"^Authentication-Results:((?:.*\n[ \t])*.*)", header, re.MULTILINE)
        assert header.startswith(b"Authentication-Results:" + first)
        assert b"dmarc=pass header.from=cloud.example" in first
        assert not [value for value in others if mentions(value, AUTHSERV_ID.encode())]
        assert b"bank" not in header
        found += re.findall(rb"^Subject: (.*)", header, re.MULTILINE)
    return found


@pytest.mark.parametrize("dot", DOTS)
@pytest.mark.parametrize("before", LINE_ENDS)
def test_after_data(smuggling_lab: Lab, setting: str, before: str, dot: str) -> None:
    """The whole table: before the dot, the dot, behind it."""
    for after in LINE_ENDS:
        name = f"{before} {dot} {after}"
        with from_cloud(smuggling_lab) as smtp:
            assert smtp.envelope("user@cloud.example").code == 354
            replies = smtp.content(LETTER + ENDS[name] + INNER)
        found = subjects(smuggling_lab, replies)
        if name in TAKEN[setting]:
            assert found == [b"harmless", b"smuggled"], name
            spoofs = [str(reply) for reply in replies if reply.code == 550]
            assert spoofs == ["550 5.7.1 Email rejected per DMARC policy for bank.example"], name
        elif setting == "reject" and BARE_LF.search(ENDS[name]):
            assert found == [], name
            assert [str(reply) for reply in replies] == ["550 5.5.2 mx.receiver.example Error: bare <LF> received"], (
                name
            )
        else:
            # the commands are text
            assert found == [b"harmless"], name
            assert len(replies) == 1, name


@pytest.mark.parametrize("dot", DOTS)
@pytest.mark.parametrize("before", LINE_ENDS)
def test_in_a_chunk(smuggling_lab: Lab, setting: str, before: str, dot: str) -> None:
    """Nothing ends a chunk but its length."""
    for after in LINE_ENDS:
        name = f"{before} {dot} {after}"
        with from_cloud(smuggling_lab) as smtp:
            smtp.command("MAIL FROM:<user@cloud.example>")
            smtp.command("RCPT TO:<bob@receiver.example>")
            content = LETTER + ENDS[name] + INNER
            (reply,) = smtp.content(b"BDAT %d LAST\r\n" % len(content) + content)
        refused = setting == "reject" and BARE_LF.search(content)
        assert subjects(smuggling_lab, [reply]) == ([] if refused else [b"harmless"]), name
        assert not refused or reply.code == 550
