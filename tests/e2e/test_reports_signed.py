"""A DMARC report that passes by its signature: made by `reports send`, signed on its way through the real Postfix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mailassay.config import Settings
from mailassay.zone import Zone
from tests.lab.folder import open_folder
from tests.lab.limits import LIMITS
from tests.lab.mta import Lab
from tests.lab.reporting import Reporting
from tests.lab.signing import RSA, all_pass, records, signing
from tests.lab.sink import Sink

OURS, DOMAIN = "reports@receiver.example", "receiver.example"
HOST, HELO = "192.0.2.1", "mail.bank.example"
# no SPF record of ours: nothing but the signature makes a report pass
NAMES = f"""
1.2.0.192.in-addr.arpa   PTR  {HELO}
{HELO}                   A    {HOST}
bank.example             TXT  "v=spf1 ip4:{HOST} -all"
_dmarc.bank.example      TXT  "v=DMARC1; p=reject; rua=mailto:d@bank.example"
_dmarc.receiver.example  TXT  "v=DMARC1; p=reject"
"""
MORE = """
recipient_delimiter = +
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
default_transport = smtp:[127.0.0.1]:{port}
"""
MESSAGE = b"From: a@bank.example\r\nTo: bob@receiver.example\r\nSubject: Hello\r\n\r\nDear Bob\r\n"


@dataclass(frozen=True)
class Signed:
    """A day that is over, the next hop, and the keys."""

    day: Reporting
    sink: Sink
    keys: Settings


@pytest.fixture(scope="module")
def signed(make_lab: Callable[..., Lab], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """A host whose reports are signed; its Postfix is that of the machine."""
    keys = tmp_path_factory.mktemp("keys")
    found = signing(keys, {DOMAIN: (RSA,)})
    names = NAMES + "".join(f'{name} TXT "{record}"\n' for name, record in records(found).items())
    with open_folder() as folder, Sink() as sink:
        history = folder / "history"
        history.mkdir()
        lab = make_lab(
            more=MORE.format(port=sink.port),
            names=Zone(names, limits=LIMITS),
            history={"directory": str(history), "addresses": "none"},
            trusted_networks=["127.0.0.0/8"],
            recipient_delimiter="+",
            sign={"domains": {DOMAIN: RSA}, "directory": str(keys)},
            reports={"from": OURS, "per_minute": 10_000},
        )
        day = Reporting(lab, history, folder)
        path = os.pathsep.join([day.environment["PATH"], "/usr/sbin"])
        day.environment = {**day.environment, "MAIL_CONFIG": str(lab.postfix.folder / "etc"), "PATH": path}
        assert day.come(HOST, HELO, "a@bank.example", MESSAGE).code == 250
        day.days_ago(2)
        yield Signed(day, sink, found)


def test_it_is_signed_and_sent(signed: Signed) -> None:
    day = signed.day
    # where Postfix does not show reports to the milter, nothing signs them
    refused = day.run("send", smtp="127.0.0.1:9")
    assert refused.returncode == 1, refused.stderr
    assert "no report is sent: it is not known from which addresses reports leave" in refused.stderr
    made = day.run("send")
    assert made.returncode == os.EX_OK, made.stderr
    day.time_passes()
    sent = day.run("send")
    assert sent.returncode == os.EX_OK, sent.stderr
    arrived = signed.sink.next()
    assert b"\r\nSubject: Report Domain: bank.example " in arrived
    assert arrived.count(b"DKIM-Signature:") == 1
    assert all_pass(signed.keys, arrived)
    assert day.stages() == {"bank.example": "sent"}
