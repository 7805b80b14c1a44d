"""Records of messages of domains that ask for DMARC reports, as the session makes them."""

from __future__ import annotations

from functools import cache
from tempfile import NamedTemporaryFile
from typing import Any

from mailassay.config import History, KeptAddresses, Settings, load_policy
from mailassay.config.reports import Reports
from mailassay.history.record import Judged
from mailassay.history.record import record as kept_of
from mailassay.message import split
from mailassay.policy import Policy
from mailassay.zone import Zone

from .limits import LIMITS
from .sign import ed25519_key
from .spooled import NOW
from .talk import Talk

OURS = "dmarc-reports@reports.example"
TOKEN = "dmarc-reports+abcdefghijklmnopqrstuvwxyz@reports.example"
_KEY = ed25519_key()
_SIGNERS = ("bank.example", "mail.bank.example", "other.example", "lists.example")
ZONE = Zone(
    """
    1.2.0.192.in-addr.arpa     PTR  mail.bank.example
    mail.bank.example          A    192.0.2.1
    mail.bank.example          TXT  "v=spf1 ip4:192.0.2.1 -all"
    bank.example               TXT  "v=spf1 ip4:192.0.2.1 -all"
    plain.example              TXT  "v=spf1 ip4:192.0.2.1 -all"
    silent.example             TXT  "v=spf1 ip4:192.0.2.1 -all"
    lists.example              TXT  "v=spf1 ip4:198.51.100.66 -all"
    other.example              TXT  "v=spf1 -all"
    bank.psd                   TXT  "v=spf1 -all"
    _dmarc.bank.example        TXT  "v=DMARC1; p=reject; sp=quarantine; np=reject; aspf=s; fo=1; \
rua=mailto:d@bank.example; ruf=mailto:d@bank.example"
    _dmarc.plain.example       TXT  "v=DMARC1; p=none; rua=http://x.example,MAILTO:d@plain.example!10m"
    _dmarc.testing.example     TXT  "v=DMARC1; p=reject; t=y; rua=mailto:d@testing.example"
    _dmarc.silent.example      TXT  "v=DMARC1; p=none"
    _dmarc.http.example        TXT  "v=DMARC1; p=none; rua=https://http.example/x"
    _dmarc.zero.example        TXT  "v=DMARC1; p=none; rua=mailto:0"
    _dmarc.psd                 TXT  "v=DMARC1; p=reject; psd=y; rua=mailto:d@psd"
    """
    + "".join(f'\n    sel._domainkey.{name} TXT "{_KEY.record}"' for name in _SIGNERS),
    limits=LIMITS,
)


@cache
def _policy(text: str) -> Policy:
    if not text:
        return Policy()
    with NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return load_policy(file.name)


def record(
    *,
    author: str = "a@bank.example",
    client: str = "192.0.2.1",
    helo: str = "mail.bank.example",
    policy: str = "",
    signed: list[str] = [],  # noqa: B006 - read only
    fields: list[tuple[bytes, bytes]] = [],  # noqa: B006 - read only
    kept: KeptAddresses = KeptAddresses.FULL,
    at: float = NOW,
    host: str = "mx1",
    zone: Zone = ZONE,
    **envelope: Any,
) -> dict[str, Any]:
    """The record of a message. ``policy`` is YAML; ``signed`` are the domains whose signatures it has, all valid."""
    settings = Settings(policy=_policy(policy), history=History(addresses=kept), reports=Reports(sender=OURS))
    message = f"From: {author}\r\nMessage-ID: <1@x>\r\n\r\nx\r\n".encode()
    for name in signed:
        message = _KEY.sign(message, name, "sel")
    header, body = split(message)
    envelope.setdefault("mail_from", f"<{author}>")
    outcome = Talk(zone, settings=settings, client=client, helo=helo).send([*fields, *header], body, **envelope)
    return kept_of(Judged(outcome, settings, at), host)
