"""What is known of one message: the facts a session hands over, and the evidence the checks draw from them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from .arc import Arc
from .dkim import Dkim
from .dmarc import Dmarc
from .iprev import Iprev
from .spf import Spf


@dataclass(frozen=True, slots=True)
class Connection:
    """The SMTP client: its address, and the name it gave in HELO or EHLO."""

    client_ip: IPv4Address | IPv6Address
    helo: str = ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One MAIL command: ``mail_from`` without angle brackets (empty: null reverse-path), SASL login, recipients.

    ``smtputf8``: the command asked for SMTPUTF8, so that the header of the message may hold UTF-8 (RFC 6531).
    """

    mail_from: str = ""
    login: str = ""
    smtputf8: bool = False
    recipients: tuple[str, ...] = ()

    @property
    def mail_from_domain(self) -> str:
        """What follows the last ``@``."""
        return self.mail_from.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The results of the five checks on one message.

    SPF has two identities that are never merged: ``spf_helo``, and ``spf_mail_from``, which is None for a null
    reverse-path, whose MAIL FROM identity is the HELO one (RFC 7208 section 2.4).
    """

    iprev: Iprev
    spf_helo: Spf
    spf_mail_from: Spf | None
    dkim: tuple[Dkim, ...]
    arc: Arc
    dmarc: Dmarc

    @property
    def spf(self) -> Spf:
        """The result that counts for MAIL FROM, and so for DMARC (RFC 9989 section 3.2.4)."""
        return self.spf_mail_from or self.spf_helo
