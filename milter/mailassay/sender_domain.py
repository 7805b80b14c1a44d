"""The MAIL FROM domain can receive mail: RFC 5321 sections 3.6.2 and 5.1, RFC 7505."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from .domain import BadDomain, Domain
from .resolver import Answer, DnsLimit, DnsTempError, Prefetch, Resolver, Unanswered, at_once, when

_ROOT = "."


class Receives(StrEnum):
    """What DNS says of a domain that replies and bounces would go to.

    ``none``: there is no domain to ask about. ``null_mx``: it says that it accepts no mail (RFC 7505 section 3).
    ``no_mail``: it does not exist, or has neither MX nor address.
    """

    NONE = "none"
    PASS = "pass"
    NULL_MX = "null_mx"
    NO_MAIL = "no_mail"
    TEMPERROR = "temperror"


class Fault(StrEnum):
    """Why the result is no pass: one word for each kind of cause."""

    NO_DOMAIN = "no_domain"  # MAIL FROM has none that DNS could know
    NULL_MX = "null_mx"
    NO_SUCH_DOMAIN = "no_such_domain"
    NO_HOST = "no_host"  # neither MX nor address
    NO_ANSWER = "no_answer"  # of DNS
    LIMIT = "limit"  # one of ours on questions or answers


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """``domain`` is empty where there is none to ask about; ``reason`` is text of our own, empty for ``pass``.

    ``fault`` is the kind of cause.

    ``limit`` names the limit of ours, if it was one on questions that made the result.
    """

    result: Receives
    domain: str = ""
    reason: str = ""
    limit: str = ""
    fault: Fault | None = None


def ahead(domain: str, prefetch: Prefetch) -> SenderDomain | None:
    """What :func:`check` gives, if it need not wait.

    Else None, and its questions are started: the MX, and where there is none, both kinds of address at once.
    """
    with suppress(Unanswered):
        return check(domain, at_once(prefetch))

    def addresses(hosts: Answer) -> None:
        if hosts.exists and not hosts.records:
            prefetch(domain, "A")
            prefetch(domain, "AAAA")

    # only a domain name has a question that is unanswered
    domain = Domain(domain)
    when(prefetch(domain, "MX"), addresses)
    return None


def check(domain: str, resolve: Resolver) -> SenderDomain:
    """Can ``domain``, the one of MAIL FROM, receive mail at all?

    ``domain`` is what follows the ``@``: empty for a null reverse-path. An address literal, a name of one label and
    what is no name are ``none``. Whether the hosts of an MX have addresses is not asked: that would cost every message
    two more questions, and a host that has none today says little of the sender.
    """
    try:
        domain = Domain(domain)
    except BadDomain:
        return SenderDomain(Receives.NONE, reason="no domain name", fault=Fault.NO_DOMAIN)
    if "." not in domain:
        return SenderDomain(Receives.NONE, reason="no domain name", fault=Fault.NO_DOMAIN)
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
    """Is the domain its own mail host (implicit MX)? Trouble with one kind of address matters without the other."""
    try:
        if resolve(domain, "A").records:
            return True
    except DnsTempError:
        if resolve(domain, "AAAA").records:
            return True
        raise
    return bool(resolve(domain, "AAAA").records)
