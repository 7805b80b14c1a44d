"""SPF, RFC 7208: may this client send for this name?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..address import Address
from ..limits import Limits
from ..resolver import Resolver, Start
from ..result import Resinfo, Result
from .evaluation import Client, Evaluation, Follow, Found, Term, checkable, flat
from .fault import Fault
from .prefetching import Prefetching

__all__ = ["Fault", "Scope", "Spf", "check_mail_from", "checkable", "prefetch"]

Scope = Literal["mailfrom", "helo"]


@dataclass(frozen=True, slots=True)
class Spf:
    """The result for one identity (RFC 7208 section 2.4). ``scope`` says which one; ``domain`` is the name checked.

    If ``domain`` is not a domain name, it is what the client sent, in lower case. ``mechanism`` is the term of the
    domain's record that matched, as the domain owner wrote it. ``limit`` names the limit that led to the
    result, if one did. ``fault`` says why the result is not a pass; ``reason`` is empty if that is enough. ``terms``
    are the terms that were looked at, if the caller asked for them with ``explain``.
    """

    result: Result
    scope: Scope
    domain: str
    mechanism: str = ""
    reason: str = ""
    limit: str = ""
    fault: Fault | None = None
    terms: tuple[Term, ...] = field(default=(), compare=False, repr=False)

    def resinfo(self) -> Resinfo:
        """``spf=`` with ``smtp.mailfrom`` or ``smtp.helo``; never the local-part (RFC 8601 section 2.7.2)."""
        properties = (("smtp", self.scope, self.domain),) if self.domain else ()
        return Resinfo("spf", self.result, properties, self.reason)


def prefetch(
    client_ip: Address,
    mail_from: str,
    helo: str,
    start: Start,
    limits: Limits,
    *,
    explain: bool = False,
) -> Callable[[], Spf | None]:
    """Start the questions of :func:`check_mail_from`.

    The returned function gives the result of that check once all answers have arrived. It gives None before that, if a
    question failed, and if an address of a host arrived last: the caller then runs the check, which need not wait.
    """
    scope, local_part, name = _identity(mail_from, helo)
    domain = checkable(name)
    if domain is None:
        return lambda: Spf(Result.NONE, scope, name.lower(), fault=Fault.NO_DOMAIN)

    def evaluation(resolve: Resolver, follow: Follow) -> Evaluation:
        client = Client.of(client_ip)
        return Evaluation(client, local_part, domain, helo, resolve, limits, follow=follow, explain=explain)

    going = Prefetching(evaluation, start, limits)
    going.look()
    return lambda: _spf(scope, domain, found) if (found := going.found) else None


def check_mail_from(
    client_ip: Address,
    mail_from: str,
    helo: str,
    resolve: Resolver,
    limits: Limits,
    *,
    explain: bool = False,
) -> Spf:
    """Check the MAIL FROM identity, or the HELO identity if the reverse-path is null (RFC 7208 section 2.4).

    ``mail_from`` is an address without angle brackets, empty for a null reverse-path. ``explain``: look at every term,
    even if it cannot match, and keep the terms in the result.
    """
    scope, local_part, name = _identity(mail_from, helo)
    domain = checkable(name)
    if domain is None:
        return Spf(Result.NONE, scope, name.lower(), fault=Fault.NO_DOMAIN)
    evaluation = Evaluation(Client.of(client_ip), local_part, domain, helo, resolve, limits, explain=explain)
    return _spf(scope, domain, evaluation.found())


def _identity(mail_from: str, helo: str) -> tuple[Scope, str, str]:
    """Scope, local-part and name of the identity that is checked (RFC 7208 sections 2.4 and 4.3)."""
    if not mail_from:
        return "helo", "postmaster", helo
    local_part, _, name = mail_from.rpartition("@")
    return "mailfrom", local_part or "postmaster", name


def _spf(scope: Scope, domain: str, found: Found) -> Spf:
    terms = tuple(flat(found.seen))
    return Spf(Result(found.word), scope, domain, found.mechanism, found.problem, found.limit, found.fault, terms)
