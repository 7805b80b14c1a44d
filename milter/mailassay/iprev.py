"""Do the client's address and its name agree, forward and backward? RFC 8601 sections 2.7.3 and 3."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from socket import AF_INET, AF_INET6, inet_pton

from .address import Address
from .domain import BadDomain, Domain
from .limits import Limits
from .resolver import Answer, DnsLimit, DnsTempError, Resolver, Start, Unanswered, at_once, when
from .result import Resinfo, Result


class Fault(StrEnum):
    """Why iprev does not pass: one word for each kind of cause."""

    NO_NAME = "no_name"
    UNCONFIRMED = "unconfirmed"  # no name leads back to the address
    NO_ANSWER = "no_answer"  # from DNS
    LIMIT = "limit"  # one of our limits on questions or answers
    NO_CLIENT = "no_client"  # the client that gave the message to the operator's relay is not known


@dataclass(frozen=True, slots=True)
class Iprev:
    """The result for one client address.

    ``names`` are the address's names that lead back to it. ``name`` is the first of them, or the first name of the
    address if there are none. ``unanswered`` are the names for which DNS gave no answer. Both are in alphabetical
    order. The result is ``none`` if the client that gave the message to the operator's relay is not known.

    ``limit`` names the limit that led to the result, if one did. ``fault`` says why the result is not a pass.
    """

    result: Result
    client_ip: Address
    name: str = ""
    _: KW_ONLY
    reason: str = ""
    limit: str = ""
    names: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()
    fault: Fault | None = None

    def resinfo(self) -> Resinfo:
        """``iprev=`` with the address, and the name as a comment if it is confirmed."""
        comment = self.name if self.result is Result.PASS else ""
        reason = self.reason if self.result is Result.TEMPERROR or self.limit else ""
        return Resinfo("iprev", self.result, (("policy", "iprev", str(self.client_ip)),), reason, comment)


def prefetch(client_ip: Address, start: Start, limits: Limits) -> Iprev | None:
    """The result of :func:`check` if all answers are there already, else None.

    In the second case it starts the questions: first the names of the address, then, once these are known, the
    addresses of the names.
    """
    with suppress(Unanswered):
        return check(client_ip, at_once(start), limits)
    rdtype = "A" if client_ip.version == 4 else "AAAA"

    def forward(names: Answer) -> None:
        for name in filter(_is_host, names.records[: limits.ptr_names]):
            start(name, rdtype)

    when(start(client_ip.reverse_pointer, "PTR"), forward)
    return None


def check(client_ip: Address, resolve: Resolver, limits: Limits) -> Iprev:
    """Does the client's address have a name that leads back to it? Its names are all looked at, up to ``ptr_names``."""
    try:
        names = resolve(client_ip.reverse_pointer, "PTR").records[: limits.ptr_names]
    except DnsTempError as error:
        return Iprev(Result.TEMPERROR, client_ip, reason=str(error), fault=Fault.NO_ANSWER)
    except DnsLimit as error:
        return Iprev(Result.PERMERROR, client_ip, reason=f"limit: {error}", limit=error.key, fault=Fault.LIMIT)
    if not names:
        return Iprev(Result.PERMERROR, client_ip, reason="the address has no name", fault=Fault.NO_NAME)
    rdtype, family = ("A", AF_INET) if client_ip.version == 4 else ("AAAA", AF_INET6)
    limit = ""
    confirmed: list[str] = []
    troubles: dict[str, str] = {}
    for name in filter(_is_host, names):
        try:
            addresses = resolve(name, rdtype).records
        except DnsTempError as error:
            troubles[name] = str(error)
            continue
        except DnsLimit as error:
            limit = error.key
            continue
        # takes half the time of ip_address(), and a name may have thousands of addresses
        if client_ip.packed in [inet_pton(family, address) for address in addresses]:
            confirmed.append(name)
    unanswered = tuple(troubles)
    if confirmed:
        return Iprev(Result.PASS, client_ip, confirmed[0], names=tuple(confirmed), unanswered=unanswered)
    if troubles:
        why = next(iter(troubles.values()))
        return Iprev(Result.TEMPERROR, client_ip, names[0], reason=why, unanswered=unanswered, fault=Fault.NO_ANSWER)
    fault = Fault.LIMIT if limit else Fault.UNCONFIRMED
    return Iprev(Result.FAIL, client_ip, names[0], reason="no name leads back to the address", limit=limit, fault=fault)


def _is_host(name: str) -> bool:
    """Is the text from DNS a name that a host may have?"""
    try:
        return name.isascii() and bool(Domain(name))
    except BadDomain:
        return False
