"""The sections of a policy file but for its rules: each line says what follows from a result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..verdict import Action
from .condition import Condition
from .rule import Place
from .sets import Domains, Networks


class Mode(StrEnum):
    """Whether verdicts are carried out, or only recorded while everything is delivered."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True)
class AuthorActions:
    """What follows for some author domains in the place of the general lines; None leaves these.

    ``none`` is for a domain that publishes p=none and fails; ``unpublished`` for one that publishes no policy, or one
    in error, and for which neither SPF nor DKIM passes. ``monitor``: it is only recorded what would follow.
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
    """Hosts that pass on other people's mail unchanged, and are trusted to have looked at it."""

    networks: Networks = Networks()
    names: Domains = Domains()

    def __bool__(self) -> bool:
        return bool(self.networks or self.names)


@dataclass(frozen=True, slots=True)
class DmarcActions:
    """What follows if DMARC fails under a domain's ``p=reject``, ``p=quarantine`` or ``p=none``, or has no answer.

    ``temperror`` applies only if reject or quarantine is known to be at stake (``Dmarc.at_stake``), or if ``none`` asks
    for more than p=none does.

    RFC 9989 section 7.4 forbids rejecting on ``p=reject`` alone, without other knowledge: ``reject`` here is the
    operator's own choice, and ``reject_needs`` that other knowledge: where it does not hold, ``quarantine`` follows.
    ``ambiguous_author`` is what at least follows where From is not one clear domain; None: only what the strictest of
    its readings asks for. ``public_suffixes``: registrable domains as a net below the tree walk.

    ``authors`` overrules the lines for some author domains, the first that fits; of an author of several readings, the
    severest of what is said of any. ``trusted_sealers`` are believed what their ARC sets say, ``trusted_forwarders``
    and ``mailing_lists`` that what they pass on is what it was: what fails and comes by them is accepted.
    ``enforce_percent`` of the messages get what follows, with the rest it is recorded.
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
    """What becomes of a signature if a further To, Cc, Sender, Reply-To, Date or Content-Transfer-Encoding differs."""

    FAIL = "fail"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class DkimRules:
    """Which signatures DMARC may align with; what l= leaves open anybody may have written (RFC 6376 section 8.2).

    ``repeated_fields`` that are not signed, beside one that is, may be what a reader is shown (section 8.15). A further
    From, Subject or Content-Type that differs makes a signature fail always.
    """

    partial: Partial = Partial.IGNORE
    repeated_fields: Repeated = Repeated.PASS


@dataclass(frozen=True, slots=True)
class SpfActions:
    """What follows from the SPF result of MAIL FROM (RFC 7208 section 8)."""

    fail: Action = Action.ACCEPT
    softfail: Action = Action.ACCEPT
    permerror: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class IprevActions:
    """What follows from the iprev result of the client's address (RFC 8601 section 2.7.3)."""

    fail: Action = Action.ACCEPT
    permerror: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class SenderDomainActions:
    """What follows where nobody could answer the sender: RFC 7505 (``null_mx``), RFC 5321 section 5.1 (``no_mail``).

    Where all lines accept, and no rule asks for the result, nothing is looked up.
    """

    null_mx: Action = Action.ACCEPT
    no_mail: Action = Action.ACCEPT
    temperror: Action = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class TagHeaders:
    """The names of the header fields that the action ``tag`` writes."""

    flag: str = "X-Spam-Flag"
    verdict: str = "X-Mailassay-Verdict"
