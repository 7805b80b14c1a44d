"""One SMTP connection, driven through ``judge.session.Session`` as the daemon drives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import TypedDict, Unpack

from mailassay.address import Address
from mailassay.config import Settings
from mailassay.dmarc import Remembered
from mailassay.judge.outcome import Outcome
from mailassay.judge.sample import HOST_SECRET
from mailassay.judge.session import Clocks, Lock, Session
from mailassay.policy import Policy
from mailassay.resolver import Source
from mailassay.zone import Zone

from .limits import LIMITS

OURS = "mx.receiver.example"
SETTINGS = Settings(authserv_id=OURS)
"""The settings if a test gives none."""

Fields = Iterable[tuple[bytes, bytes]]


class Envelope(TypedDict, total=False):
    """MAIL and RCPT, with the addresses as in the commands. ``login`` is the client's SASL name."""

    mail_from: str
    login: str
    smtputf8: bool
    recipients: Iterable[str]


class Talk:
    """A connection on which messages arrive. ``session`` takes single events.

    ``dns`` is a source, or a zone as text. ``policy`` replaces that of ``settings``. ``client`` is None if the MTA does
    not know the address. Without ``helo`` the client sends no HELO. ``now`` is the time of day in seconds since 1970,
    without which the clock is the machine's; ``monotonic`` is the clock for time-outs. The rest are parameters of
    ``Session``.
    """

    def __init__(
        self,
        dns: Source | str,
        policy: Policy | None = None,
        *,
        settings: Settings = SETTINGS,
        client: Address | str | None = "192.0.2.1",
        local: bool = False,
        helo: str | None = "mail.bank.example",
        now: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        mta_name: str = OURS,
        first: Source | None = None,
        anew: Source | None = None,
        remembered: Remembered | None = None,
        dear: Lock | None = None,
        secret: bytes = HOST_SECRET,
    ) -> None:
        """CONNECT and HELO."""
        self.session = Session(
            settings if policy is None else replace(settings, policy=policy),
            Zone(dns, limits=LIMITS) if isinstance(dns, str) else dns,
            mta_name,
            Clocks(time.time if now is None else lambda: now, monotonic),
            first=first,
            anew=anew,
            remembered=remembered,
            dear=dear,
            secret=secret,
        )
        self.session.connect(ip_address(client) if isinstance(client, str) else client, local=local)
        if helo is not None:
            self.session.helo(helo)

    def message(
        self,
        *,
        author: str = "alice@bank.example",
        fields: Fields = (),
        body: bytes = b"x\r\n",
        **envelope: Unpack[Envelope],
    ) -> Outcome:
        """A message with one From field, and ``fields`` above it."""
        # octets that are not UTF-8 are surrogates in a str
        of_author = b"From", b" " + author.encode("utf-8", "surrogatepass")
        return self.send([*fields, of_author], body, **envelope)

    def send(
        self, fields: Fields, body: bytes = b"x\r\n", *, chunk: int = 65_535, **envelope: Unpack[Envelope]
    ) -> Outcome:
        """A message with these header fields and no others. The body comes in chunks of so many octets.

        As with Postfix, the rest of the body does not come if no more of it is needed.
        """
        session = self.session
        sender = envelope.get("mail_from", "<alice@bank.example>")
        session.mail_from(sender, envelope.get("login", ""), smtputf8=envelope.get("smtputf8", False))
        for recipient in envelope.get("recipients", ["<bob@receiver.example>"]):
            session.recipient(recipient)
        for name, value in fields:
            session.header(name, value)
        session.end_of_headers()
        for start in range(0, len(body), chunk):
            if not session.body(body[start : start + chunk]):
                break
        return session.end_of_message()
