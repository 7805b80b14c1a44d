"""bank.example: a domain whose mail passes, if it comes from its host or has its signature, and otherwise fails."""

from __future__ import annotations

from typing import Unpack

from mailassay.config import Settings
from mailassay.judge.outcome import Outcome
from mailassay.message import split
from mailassay.zone import Zone

from .limits import LIMITS
from .sign import ed25519_key
from .talk import Envelope, Talk

HOST, STRANGER = "192.0.2.1", "198.51.100.66"
"""The address of its host, and one that its SPF record does not name."""
KEY = ed25519_key()
NAMES = f"""
1.2.0.192.in-addr.arpa      PTR  mail.bank.example
mail.bank.example           A    {HOST}
bank.example                TXT  "v=spf1 ip4:{HOST} -all"
_dmarc.bank.example         TXT  "v=DMARC1; p=reject; np=reject; aspf=s; rua=mailto:d@bank.example"
ed._domainkey.bank.example  TXT  "{KEY.record}"
"""
"""Its zone as text."""
ZONE = Zone(NAMES, limits=LIMITS)
MESSAGE = b"From: a@bank.example\r\nSubject: secret\r\nMessage-ID:\r\n <1@bank.example>\r\n\r\nhidden\r\n"
_SETTINGS = Settings()


def signed(message: bytes = MESSAGE) -> bytes:
    """A message with the signature of the domain."""
    return KEY.sign(message, "bank.example", "ed")


def outcome(
    message: bytes = MESSAGE, client: str = HOST, settings: Settings = _SETTINGS, **envelope: Unpack[Envelope]
) -> Outcome:
    """The outcome of a message from a client."""
    headers, body = split(message)
    return Talk(ZONE, settings=settings, client=client).send(list(headers), body, **envelope)
