"""Can the MAIL FROM domain receive mail? RFC 5321 sections 3.6.2 and 5.1, RFC 7505."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from .domain import BadDomain, Domain
from .resolver import Answer, DnsLimit, DnsTempError, Resolver, Start, Unanswered, at_once, when

_ROOT = "."


class Receives(StrEnum):
    """What DNS says about the domain that replies and bounces would go to.

    ``none``: there is no domain to ask about. ``null_mx``: the domain says that it accepts no mail (RFC 7505 section
    3). ``no_mail``: the domain does not exist, or has neither an MX nor an address.
    """

    NONE = "none"
    PASS = "pass"
    NULL_MX = "null_mx"
    NO_MAIL = "no_mail"
    TEMPERROR = "temperror"


class Fault(StrEnum):
    """Why the result is not ``pass``: one word for each kind of cause."""

    NO_DOMAIN = "no_domain"  # MAIL FROM has no domain that can be looked up
    NULL_MX = "null_mx"
    NO_SUCH_DOMAIN = "no_such_domain"
    NO_HOST = "no_host"  # neither MX nor address
    NO_ANSWER = "no_answer"  # from DNS
    LIMIT = "limit"  # one of our limits on questions or answers


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """The result for one domain.

    ``domain`` is empty if there is no domain to ask about. ``reason`` is our own text, empty for ``pass``, and
    ``fault`` is its kind. ``limit`` names the limit that led to the result, if one did.
    """

    result: Receives
    domain: str = ""
    reason: str = ""
    limit: str = ""
    fault: Fault | None = None


def prefetch(domain: str, start: Start) -> SenderDomain | None:
    """The result of :func:`check` if all answers are there already, else None.

    In the second case it starts the questions: the MX, and if there is none, both kinds of address at once.
    """
    with suppress(Unanswered):
        return check(domain, at_once(start))

    def addresses(hosts: Answer) -> None:
        if hosts.exists and not hosts.records:
            start(domain, "A")
            start(domain, "AAAA")

    # Unanswered was raised, so this is a domain name
    domain = Domain(domain)
    when(start(domain, "MX"), addresses)
    return None


def check(domain: str, resolve: Resolver) -> SenderDomain:
    """Can ``domain``, the one of MAIL FROM, receive mail at all?

    ``domain`` is the text after the ``@``, empty for a null reverse-path. The result is ``none`` for an address
    literal, a name of one label, and text that is not a domain name. The check does not ask whether the hosts of an MX
    have addresses: that would cost every message two more questions, and a host without an address today says little
    about the sender.
    """
    try:
        domain = Domain(domain)
    except BadDomain:
        return SenderDomain(Receives.NONE, reason="not a domain name", fault=Fault.NO_DOMAIN)
    if "." not in domain:
        return SenderDomain(Receives.NONE, reason="not a domain name", fault=Fault.NO_DOMAIN)
    try:
        mx = resolve(domain, "MX")
        hosts = {record.partition(" ")[2] for record in mx.records}
        if hosts == {_ROOT}:
            why = "the domain accepts no mail (null MX)"
            return SenderDomain(Receives.NULL_MX, domain, why, fault=Fault.NULL_MX)
        if hosts:
            return SenderDomain(Receives.PASS, domain)
        if not mx.exists:
            return SenderDomain(Receives.NO_MAIL, domain, "the domain does not exist", fault=Fault.NO_SUCH_DOMAIN)
        if _has_address(domain, resolve):
            return SenderDomain(Receives.PASS, domain)
    except DnsTempError as error:
        return SenderDomain(Receives.TEMPERROR, domain, str(error), fault=Fault.NO_ANSWER)
    except DnsLimit as error:
        return SenderDomain(Receives.NO_MAIL, domain, f"limit: {error}", error.key, Fault.LIMIT)
    why = "the domain has neither MX nor address"
    return SenderDomain(Receives.NO_MAIL, domain, why, fault=Fault.NO_HOST)


def _has_address(domain: str, resolve: Resolver) -> bool:
    """Is the domain its own mail host (implicit MX)? A failed lookup of one type matters only if the other has none."""
    try:
        if resolve(domain, "A").records:
            return True
    except DnsTempError:
        if resolve(domain, "AAAA").records:
            return True
        raise
    return bool(resolve(domain, "AAAA").records)
