"""Messages that fail DMARC, and whom failure reports are about."""

from __future__ import annotations

from typing import Any

from mailassay.config import Settings
from mailassay.config.reports import FailureReports, Reports
from mailassay.failure.incident import Incident, of
from mailassay.history.record import Judged
from mailassay.judge.outcome import Outcome
from mailassay.message import split
from mailassay.policy.sets import Domains
from mailassay.zone import Zone

from .limits import LIMITS
from .sign import ed25519_key
from .talk import Talk

KEY = ed25519_key()
NOW = 1_800_000_000.25
SENDER = "dmarc-reports@receiver.example"
LISTED = FailureReports(Domains((".bank.example",)), per_hour=10, total_per_hour=60)
REPORTING = Settings(reports=Reports(SENDER, failure=LISTED))
ZONE = f"""
    mail.bank.example           A    192.0.2.1
    bank.example                TXT  "v=spf1 ip4:192.0.2.1 -all"
    bank.example                A    192.0.2.1
    _dmarc.bank.example         TXT  "v=DMARC1; p=reject; %s"
    ed._domainkey.bank.example  TXT  "{KEY.record}"
    sub.bank.example            TXT  "v=spf1 -all"
    other.example               TXT  "v=spf1 ip4:198.51.100.7 -all"
"""
RUF = "ruf=mailto:fail@bank.example"
MESSAGE = (
    b"From: alice@bank.example\r\nTo: bob@receiver.example\r\nSubject: secret\r\nMessage-ID: <q1@bank.example>\r\n"
    b"\r\nx\r\n"
)
SIGNED = KEY.sign(MESSAGE, "bank.example", "ed")
BROKEN = SIGNED.replace(b"\r\n\r\nx", b"\r\n\r\nchanged")


def sent(
    tags: str = RUF, message: bytes = MESSAGE, client: str = "203.0.113.9", zone: str = ZONE, **envelope: Any
) -> Outcome:
    """The outcome of a message, which fails unless it is signed or comes from 192.0.2.1."""
    headers, body = split(message)
    talk = Talk(Zone(zone % tags, limits=LIMITS), settings=REPORTING, client=client, now=NOW)
    return talk.send(list(headers), body, **{"mail_from": "<alice@bank.example>"} | envelope)


def judged(*given: Any, at: float = NOW, settings: Settings = REPORTING, **more: Any) -> Judged:
    """The same, with the settings that ask for failure reports."""
    return Judged(sent(*given, **more), settings, at)


def found(*given: Any, domains: str = ".bank.example", sender: str | None = SENDER, **more: Any) -> Incident | None:
    """The incident of a message."""
    return of(sent(*given, **more), Domains(tuple(domains.split())), sender, "mx1", NOW)
