"""The sections of a policy file except its rules. Each setting gives the action for a result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..verdict import Action
from .condition import Condition
from .rule import Place
from .sets import Domains, Networks


class Mode(StrEnum):
    """Whether verdicts are carried out, or only recorded while all mail is delivered."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class AuthorActions:
    """The settings for some author domains, in place of the general ones. None leaves the general setting in force.

    ``none`` applies to a domain that publishes p=none and fails. ``unpublished`` applies to a domain that publishes no
    policy, or one in error, if neither SPF nor DKIM passes for it. ``monitor``: the actions are only recorded.
    """

    authors: Domains
    reject: Action | None = None
    quarantine: Action | None = None
    none: Action | None = None
    unpublished: Action | None = None
    monitor: bool = False
    place: Place = field(default=Place("", 0, 0), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Forwarders:
    """Hosts that forward other people's mail unchanged and are trusted to have checked it."""

    networks: Networks = Networks()
    names: Domains = Domains()

    def __bool__(self) -> bool:
        return bool(self.networks or self.names)


@dataclass(frozen=True, slots=True)
class DmarcActions:
    """The actions if DMARC fails under a domain's ``p=reject``, ``p=quarantine`` or ``p=none``, or has no answer.

    ``temperror`` applies only if reject or quarantine is known to be at stake (``Dmarc.at_stake``), or if ``none`` asks
    for more than p=none does.

    RFC 9989 section 7.4 forbids rejecting because of ``p=reject`` alone, without other knowledge. ``reject`` is the
    operator's own choice, and ``reject_needs`` is that other knowledge: if it does not hold, ``quarantine`` applies.
    ``ambiguous_author`` is the least severe action for a From that is not one clear domain; None: only the action for
    the strictest of its readings. ``public_suffixes``: use registrable domains as a safety net for the tree walk.

    ``authors`` overrides the settings for some author domains; the first element that fits counts. If an author has
    several readings, the most severe action for any of them counts. The ARC sets of ``trusted_sealers`` are believed.
    ``trusted_forwarders`` and ``mailing_lists`` are trusted to forward only mail that they checked, so a message from
    them that fails is accepted. The actions are taken for ``enforce_percent`` of the messages and only recorded for the
    rest.
    """

    reject: Action = Action.REJECT
    quarantine: Action = Action.HOLD
    temperror: Action = Action.DEFER
    ambiguous_author: Action | None = None
    public_suffixes: bool = True
    reject_needs: Condition | None = None
    authors: tuple[AuthorActions, ...] = ()
    trusted_sealers: Domains = Domains()
    trusted_forwarders: Forwarders = Forwarders()
    mailing_lists: Domains = Domains()
    enforce_percent: int = 100
    none: Action = Action.ACCEPT


class Partial(StrEnum):
    """Whether a good DKIM signature that leaves octets of the body unsigned (l=) counts for DMARC."""

    IGNORE = "ignore"
    ALIGN = "align"


class Repeated(StrEnum):
    """The result of a signature if an unsigned, different second field exists; see :class:`DkimRules`."""

    FAIL = "fail"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class DkimRules:
    """Which DKIM signatures DMARC may align with.

    ``partial``: anybody may have written the part of the body that l= leaves unsigned (RFC 6376 section 8.2).
    ``repeated_fields``: if a signed To, Cc, Sender, Reply-To, Date or Content-Transfer-Encoding is repeated unsigned, a
    reader may be shown the unsigned one (section 8.15). A second From, Subject or Content-Type that differs always
    makes a signature fail.
    """

    partial: Partial = Partial.IGNORE
    repeated_fields: Repeated = Repeated.PASS


@dataclass(frozen=True, slots=True)
class SpfActions:
    """The actions for the SPF result of MAIL FROM (RFC 7208 section 8)."""

    fail: Action = Action.ACCEPT
    softfail: Action = Action.ACCEPT
    permerror: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class IprevActions:
    """The actions for the iprev result of the client's address (RFC 8601 section 2.7.3)."""

    fail: Action = Action.ACCEPT
    permerror: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class SenderDomainActions:
    """The actions if the sender cannot receive mail: RFC 7505 (``null_mx``), RFC 5321 section 5.1 (``no_mail``).

    If all settings accept and no rule uses the result, nothing is looked up.
    """

    null_mx: Action = Action.ACCEPT
    no_mail: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class TagHeaders:
    """The names of the header fields that the action ``tag`` adds."""

    flag: str = "X-Spam-Flag"
    verdict: str = "X-Mailassay-Verdict"
