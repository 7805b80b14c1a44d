"""The facts about a message from its SMTP session, and the results of the checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum

from .address import Address
from .arc import Arc, Doubted
from .dkim import Dkim
from .dmarc import Dmarc
from .domain import Domain
from .iprev import Iprev
from .sender_domain import SenderDomain
from .spf import Spf


@dataclass(frozen=True, slots=True)
class Connection:
    """The SMTP client: its address, and the name it gave in HELO or EHLO.

    ``via`` lists the operator's relays that brought the message from the client, the connected one first. ``untraced``
    says why the client that gave them the message is not known; then the address is that of the relay.
    ``is_spared``: in that case, a message that fails DMARC is accepted.
    """

    client_ip: Address
    helo: str = ""
    _: KW_ONLY
    via: tuple[Address, ...] = ()
    untraced: str = ""
    is_spared: bool = False


@dataclass(frozen=True, slots=True)
class Transaction:
    """One MAIL command: ``mail_from`` without angle brackets (empty: null reverse-path), SASL login, recipients.

    ``smtputf8``: the command asked for SMTPUTF8, so the header of the message may contain UTF-8 (RFC 6531).
    """

    mail_from: str = ""
    _: KW_ONLY
    login: str = ""
    smtputf8: bool = False
    recipients: tuple[str, ...] = ()

    @property
    def mail_from_domain(self) -> str:
        """The text after the last ``@``."""
        return self.mail_from.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The results of the checks on one message.

    SPF has two identities that are never merged: ``spf_helo`` and ``spf_mail_from``. The second is None for a null
    reverse-path, because the MAIL FROM identity is then the HELO identity (RFC 7208 section 2.4).

    ``authors`` are all domains that a reader may take for the author's; None if there are more than are looked at.
    ``sender_domain`` is None if the policy does not use it. ``vouched`` says in words how a trusted ARC sealer saw that
    the message was authentic for its author, and ``vouched_mail_from`` is the domain of MAIL FROM for which SPF passed
    at that time. ``not_vouched`` says why a passing chain with a trusted sealer is not believed (``arc.Vouched``).
    ``mailing_list``: the message has a header field of a mailing list (RFC 2919, RFC 2369).
    """

    iprev: Iprev
    spf_helo: Spf
    spf_mail_from: Spf | None
    dkim: tuple[Dkim, ...]
    arc: Arc
    dmarc: Dmarc
    authors: tuple[Domain, ...] | None = ()
    sender_domain: SenderDomain | None = None
    vouched: str = ""
    mailing_list: bool = False
    vouched_mail_from: str = ""
    not_vouched: Doubted | None = None

    @property
    def limits(self) -> tuple[str, ...]:
        """The results that come from one of our limits on questions or work, each as ``method:limit``."""
        found = [("iprev", self.iprev.limit), ("spf_helo", self.spf_helo.limit)]
        found += [("spf", self.spf_mail_from.limit if self.spf_mail_from else "")]
        found += [("dkim", each.limit) for each in self.dkim]
        found += [("sender_domain", self.sender_domain.limit if self.sender_domain else "")]
        return limits(found)

    @property
    def spf(self) -> Spf:
        """The result that counts for MAIL FROM, and so for DMARC (RFC 9989 section 3.2.4)."""
        return self.spf_mail_from or self.spf_helo


def limits(found: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Methods and the limits that their results come from, each once as ``method:limit``. Empty limits are left out."""
    return tuple(dict.fromkeys(f"{method}:{limit}" for method, limit in found if limit))


class Trouble(StrEnum):
    """Why a message has to be deferred, whatever the results.

    ``unavailable``: DNS gave no answer at all. ``unsent``: a question could not be sent in time, because too many were
    in flight or because of a fault of this host.
    """

    UNAVAILABLE = "unavailable"
    UNSENT = "unsent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that a policy decides by.

    ``now`` is in seconds since 1970. ``sample`` is a number from 0 to 99, evenly distributed and always the same for
    the same message. ``recipient_delimiter`` and ``owner_request_special`` are Postfix's settings, None if not known:
    the characters that begin an address extension, and whether the addresses of lists have no extension. ``trouble``
    concerns DNS as a whole.
    """

    connection: Connection
    transaction: Transaction
    evidence: Evidence
    now: float = 0.0
    sample: int = 0
    recipient_delimiter: str | None = None
    owner_request_special: bool | None = None
    trouble: Trouble | None = None
