"""The sections of a policy file except its rules. Each setting gives the action for a result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from ..config_key import Key
from ..verdict import Action
from .condition import Condition
from .rule import Place
from .sets import Domains, Networks

_DMARC = (Action.REJECT, Action.HOLD, Action.TAG, Action.ACCEPT)
_UNDECIDED = (Action.ACCEPT, Action.TAG, Action.HOLD, Action.DEFER)


class Mode(StrEnum):
    """Whether verdicts are carried out, or only recorded while all mail is delivered."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorActions:
    """The settings for some author domains, in place of the general ones. None leaves the general setting in force."""

    authors: Annotated[Domains, Key("The author domains to which this element applies. Required.", name="for")]
    reject: Annotated[
        Action | None,
        Key(
            "Replaces `dmarc.reject`. If omitted, `dmarc.reject` and `dmarc.reject_needs` apply.",
            words=_DMARC,
        ),
    ] = None
    quarantine: Annotated[
        Action | None, Key("Replaces `dmarc.quarantine`. If omitted, that one applies.", words=_DMARC)
    ] = None
    none: Annotated[
        Action | None,
        Key(
            "What happens if a message fails and the domain publishes p=none. If omitted, `dmarc.none` applies. Use "
            "it to enforce DMARC for your own domain, or for a domain that never goes beyond p=none.",
            words=_DMARC,
        ),
    ] = None
    unpublished: Annotated[
        Action | None,
        Key(
            "What happens if the domain publishes no valid DMARC policy, and neither SPF nor DKIM passes for the "
            "domain or for another one that the same name in `for` covers. For example, with `.example.com`, a "
            "signature of mail.example.com is enough for example.com. A signature with l= is not. If omitted, such "
            "mail is accepted. Use it for your own domains that have no record yet.",
            words=_DMARC,
        ),
    ] = None
    monitor: Annotated[bool, Key("If `true`, only record what would be done.")] = False
    comment: Annotated[str, Key("Words for people. Required if `unsafe` is true.")] = ""
    unsafe: Annotated[
        bool,
        Key(
            "Confirms that `reject` or `quarantine` of this element is meant to let in mail that fails, from anybody. "
            "Without it, these keys do not take `accept` or `tag`. A rule that requires something authenticated is "
            "better.",
        ),
    ] = False
    place: Place = field(default=Place("", 0, 0), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Forwarders:
    """Hosts that forward other people's mail unchanged and are trusted to have checked it."""

    networks: Networks = field(default_factory=Networks)
    names: Domains = field(default_factory=Domains)


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcActions:
    """The actions if DMARC fails under a domain's ``p=reject``, ``p=quarantine`` or ``p=none``, or has no answer.

    ``ambiguous_author`` is None if only the readings of the author count.
    """

    reject: Annotated[
        Action,
        Key(
            "What happens if a message fails and its author domain publishes p=reject. RFC 9989 section 7.4 says that "
            "a receiver must not reject because of p=reject alone, without other knowledge, since mail that mailing "
            "lists and forwarders have changed would be lost. The RFC's way is `hold`, or `reject_needs`; `reject` "
            "without `reject_needs` is your own decision.",
            words=_DMARC,
        ),
    ] = Action.REJECT
    quarantine: Annotated[
        Action, Key("What happens if a message fails and its author domain publishes p=quarantine.", words=_DMARC)
    ] = Action.HOLD
    none: Annotated[
        Action,
        Key(
            "What happens if a message fails and its author domain publishes p=none, which asks for nothing. Much of "
            "this mail is honest: it comes from mailing lists, forwarders, and services that the domain does not "
            "authenticate yet.",
            words=_DMARC,
        ),
    ] = Action.ACCEPT
    temperror: Annotated[
        Action,
        Key(
            "What happens if DNS gave no answer, so that nobody knows whether the message passes. It applies only if "
            "quarantine or reject is known to be at stake: the author domain or a domain above it has a record that "
            "asks for it, or had one when it was last seen; or your setting for p=none is more severe than `accept`. "
            "Other mail is not delayed. `accept` lets in mail that cannot be judged now.",
            words=(Action.ACCEPT, Action.DEFER),
        ),
    ] = Action.DEFER
    ambiguous_author: Annotated[
        Action | None,
        Key(
            "What happens at least if From does not name exactly one clear domain. `readings` judges each domain that "
            "some mail program may show as the author. None of them passes, and the strictest of their policies "
            "decides, so the message is rejected only if one of them asks for rejection. The other actions apply "
            "whatever the domains publish (RFC 9989 section 11.5).",
            words=(Action.REJECT, Action.HOLD, Action.TAG),
            unless="readings",
        ),
    ] = None
    public_suffixes: Annotated[
        bool,
        Key(
            "If `true`, names below different registrable domains of the Public Suffix List never align, even if the "
            "registry publishes a policy that makes them one organization (RFC 9989 section 11.8), unless that policy "
            "says psd=n. This can only make alignment stricter.",
        ),
    ] = True
    reject_needs: Annotated[
        Condition | None,
        Key(
            "A condition that must also hold before `dmarc.reject` is applied to a message that fails under p=reject: "
            "the other knowledge that RFC 9989 section 7.4 asks for, such as `{spf: [fail, softfail, none]}`. If it "
            "does not hold, `dmarc.quarantine` applies, or `dmarc.reject` if that is milder.",
        ),
    ] = None
    authors: Annotated[
        tuple[AuthorActions, ...],
        Key(
            "Settings for some author domains, which replace the general ones. The first element that matches the "
            "author domain counts. If From can be read to name several domains, each has its own element, and the "
            "most severe action that they and the general settings ask for is taken: a stricter setting applies if "
            "any of the domains has it, a milder one or `monitor` only if all of them do.",
        ),
    ] = ()
    trusted_sealers: Annotated[
        Domains,
        Key(
            "ARC sealers (d= of ARC-Seal) that are believed. A message that fails is accepted if its chain passes, "
            "its newest sealer is listed here, and that sealer recorded dmarc=pass for the same author domain; or "
            "recorded arc=pass, and so on down the chain (RFC 8617 section 7.2). No `spf` setting refuses such a "
            "message if MAIL FROM is in the author domain, or if the sealer that recorded dmarc=pass also recorded "
            "spf=pass for MAIL FROM. Otherwise `spf` settings apply, and `iprev` settings always do. A trusted sealer "
            "can let in mail in anybody's name, and anybody who has a message that it sealed can send it again. The "
            'header says `reason="local_policy: ..."`. If the chain passes but the sealer\'s record is not believed, '
            "the log says why (`not_vouched`).",
        ),
    ] = field(default_factory=Domains)
    trusted_forwarders: Annotated[
        Forwarders,
        Key(
            "Hosts that forward other people's mail and have judged it: networks, or client names that DNS confirms "
            "(iprev=pass). A message that fails is accepted if it comes from one of them, and `spf` and `iprev` "
            'settings do not refuse it. If DMARC failed, the header says `reason="trusted_forwarder: ..."`. Networks '
            "wider than /8, or /16 for IPv6, and top-level domains are not allowed.",
        ),
    ] = field(default_factory=Forwarders)
    mailing_lists: Annotated[
        Domains,
        Key(
            "Domains of mailing lists. A message that fails is accepted if it has a List-Id or List-Post field and "
            "SPF or DKIM authenticated one of these domains. No `spf` setting refuses such a message if MAIL FROM is "
            "in the author domain or in the list's. Otherwise `spf` settings apply, and `iprev` settings always do. "
            'The header says `reason="mailing_list: ..."`.',
        ),
    ] = field(default_factory=Domains)
    enforce_percent: Annotated[
        int,
        Key(
            "The percentage of messages to which the `dmarc` settings are applied; for the others, the log records "
            "what they ask for. Use it to enforce in steps. A message that is sent again always falls into the same "
            "part, and its sender cannot know which: the choice depends on Message-ID, From and Date and on "
            "`/etc/machine-id`. So two hosts choose different messages.",
            0,
            100,
        ),
    ] = 100


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
    """Which DKIM signatures DMARC may align with."""

    partial: Annotated[
        Partial,
        Key(
            "Whether a good signature that does not cover the end of the body (l=), to which anybody can add, counts "
            "for DMARC: `ignore` or `align` (RFC 6376 section 8.2).",
        ),
    ] = Partial.IGNORE
    repeated_fields: Annotated[
        Repeated,
        Key(
            "The result of a good signature, in ARC too, if the message has another To, Cc, Sender, Reply-To, Date or "
            "Content-Transfer-Encoding field that the signature does not cover, beside one that it covers: `fail` or "
            "`pass`. A mail program may show either of them (RFC 6376 section 8.15), but mailing lists and some mail "
            "programs do add such fields. Another From, Subject or Content-Type always makes the signature fail. A "
            "field that differs from the signed one only in white space never does.",
        ),
    ] = Repeated.PASS


@dataclass(frozen=True, slots=True)
class SpfActions:
    """The actions for the SPF result of MAIL FROM (RFC 7208 section 8)."""

    fail: Annotated[Action, Key("The domain says that the client is not allowed to send for it (`-all`).")] = (
        Action.ACCEPT
    )
    softfail: Annotated[Action, Key("The domain says that the client is probably not allowed to (`~all`).")] = (
        Action.ACCEPT
    )
    permerror: Annotated[Action, Key("The domain's SPF record has an error.")] = Action.ACCEPT
    temperror: Annotated[Action, Key("DNS gave no answer.", words=_UNDECIDED)] = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class IprevActions:
    """The actions for the iprev result of the client's address (RFC 8601 section 2.7.3)."""

    fail: Annotated[Action, Key("The address has a name, but the name does not lead back to the address.")] = (
        Action.ACCEPT
    )
    permerror: Annotated[Action, Key("The address has no name.")] = Action.ACCEPT
    temperror: Annotated[Action, Key("DNS gave no answer.", words=_UNDECIDED)] = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class SenderDomainActions:
    """The actions if the sender cannot receive mail: RFC 7505 (``null_mx``), RFC 5321 section 5.1 (``no_mail``).

    If all settings accept and no rule uses the result, nothing is looked up.
    """

    null_mx: Annotated[Action, Key("The domain says that it accepts no mail (RFC 7505). The reply has 5.7.27.")] = (
        Action.ACCEPT
    )
    no_mail: Annotated[
        Action,
        Key(
            "The domain does not exist, or has neither an MX record nor an address (RFC 5321 section 5.1). The reply "
            "has 5.1.8.",
        ),
    ] = Action.ACCEPT
    temperror: Annotated[Action, Key("DNS gave no answer.", words=_UNDECIDED)] = Action.ACCEPT


@dataclass(frozen=True, slots=True)
class TagHeaders:
    """The names of the header fields that the action ``tag`` adds."""

    flag: Annotated[str, Key("The name of a field whose value is `YES`.")] = "X-Spam-Flag"
    verdict: Annotated[
        str,
        Key(
            "The name of a field whose value is the action and the policy setting that decided: `tag; rule=spf.fail`. "
            "Fields of this name that come from outside are removed.",
        ),
    ] = "X-Mailassay-Verdict"
