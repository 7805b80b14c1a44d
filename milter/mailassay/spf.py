"""SPF, RFC 7208: may this client send for this name? pyspf evaluates; its questions go through our resolver."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

import spf as pyspf

from .domain import MAX_LABEL, MAX_OCTETS, BadDomain, Domain
from .limits import Limits
from .resolver import DnsTempError, Resolver
from .result import Resinfo, Result

MAX_TERM = 512  # octets of a domain-spec, whose expansion may have 253; pyspf's work grows with the square

Scope = Literal["mailfrom", "helo"]


@dataclass(frozen=True, slots=True)
class Spf:
    """The result for one identity (RFC 7208 section 2.4): ``scope`` says which, ``domain`` is the name checked.

    ``domain`` is as the client gave it, lower case, where it is no domain name. ``mechanism`` is the term of the
    domain's record that matched, in the domain owner's words.
    """

    result: Result
    scope: Scope
    domain: str
    mechanism: str = ""
    reason: str = ""

    def resinfo(self) -> Resinfo:
        """``spf=`` with ``smtp.mailfrom`` or ``smtp.helo``; never the local-part (RFC 8601 section 2.7.2)."""
        properties = (("smtp", self.scope, self.domain),) if self.domain else ()
        return Resinfo("spf", self.result, properties, self.reason)


def question(domain: str) -> tuple[str, str]:
    """What a prefetch asks for a HELO name or the domain of a MAIL FROM."""
    return domain, "TXT"


def check_helo(client_ip: IPv4Address | IPv6Address, helo: str, resolve: Resolver, limits: Limits = Limits()) -> Spf:
    """The HELO identity, which is also the MAIL FROM identity of a null reverse-path (RFC 7208 section 2.4)."""
    return _check(client_ip, "helo", "postmaster", helo, helo, resolve, limits)


def check_mail_from(
    client_ip: IPv4Address | IPv6Address, mail_from: str, helo: str, resolve: Resolver, limits: Limits = Limits()
) -> Spf:
    """The MAIL FROM identity; ``mail_from`` is an address without angle brackets and not empty."""
    local_part, _, domain = mail_from.rpartition("@")
    return _check(client_ip, "mailfrom", local_part or "postmaster", domain, helo, resolve, limits)


def _check(
    client_ip: IPv4Address | IPv6Address,
    scope: Scope,
    local_part: str,
    name: str,
    helo: str,
    resolve: Resolver,
    limits: Limits,
) -> Spf:
    domain = checkable(name)
    if domain is None:
        return Spf(Result.NONE, scope, name.lower())
    query = _Query(str(client_ip), f"{local_part}@{domain}", helo, resolve, limits)
    # pyspf splits at the first "@", which a quoted local-part may hold
    query.l, query.o, query.d = local_part, domain, domain
    try:
        word, _, _ = query.check()
    except (ValueError, AssertionError) as error:
        # numbers of thousands of digits, redirects that pyspf gives up on
        return Spf(Result.PERMERROR, scope, domain, reason=f"the record cannot be evaluated: {error}")
    result = Result(word)
    reason = str(query.prob) if result in (Result.TEMPERROR, Result.PERMERROR) else ""
    return Spf(result, scope, domain, str(query.mechanism or ""), reason)


def checkable(name: str) -> str | None:
    """The name as SPF asks for it, or None where check_host() starts with "none" (RFC 7208 section 4.3)."""
    if not name.isascii():
        try:
            name = Domain(name)
        except BadDomain:
            return None
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    well_formed = len(name) <= MAX_OCTETS and all(0 < len(label) <= MAX_LABEL for label in labels)
    return name if well_formed and len(labels) > 1 and not name.startswith("[") else None


class _Query(pyspf.query):  # type: ignore[misc]
    """A pyspf query that asks through our resolver and follows RFC 7208 where pyspf does not."""

    def __init__(self, client_ip: str, sender: str, helo: str, resolve: Resolver, limits: Limits) -> None:
        super().__init__(client_ip, sender, helo)
        self.prob = ""
        self._resolve, self._limits = resolve, limits

    def dns(
        self, name: str, qtype: str, cnames: object = None, ignore_void: bool = False
    ) -> list[str] | list[list[bytes]] | list[tuple[int, str]]:
        """The records of a name in pyspf's forms; counts void lookups (RFC 7208 section 4.6.4)."""
        del cnames  # the resolver follows CNAMEs
        name = name.lower().removesuffix(".")
        # a macro's expansion may be any text: what cannot be asked does not exist
        if len(name) > MAX_OCTETS or not all(0 < len(label) <= MAX_LABEL for label in name.split(".")):
            return []
        try:
            records = self._resolve(name, qtype).records
        except DnsTempError as error:
            raise pyspf.TempError(str(error)) from error
        if not records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > self._limits.spf_void_lookups:
                raise pyspf.PermError(f"more than {self._limits.spf_void_lookups} lookups without an answer")
        if qtype == "TXT":
            return [[record.encode("latin-1")] for record in records]
        if qtype == "MX":
            return [(int(preference), host) for preference, _, host in (record.partition(" ") for record in records)]
        return list(records)

    def validated_ptrs(self) -> list[str]:
        """The client's names that lead back to it. A lookup that fails is no match (RFC 7208 section 5.5)."""
        validated = []
        try:
            names = self.dns_ptr(self.i)
        except pyspf.TempError:
            return []
        for name in names[: self._limits.ptr_names]:
            try:
                if self.cidrmatch(self.dns_a(name, self.A), self.cidrmax):
                    validated.append(name)
            except pyspf.TempError:
                continue
        return validated

    def dns_spf(self, domain: str) -> str | None:
        """The SPF record of a domain."""
        record: str | None = super().dns_spf(domain)
        if record and len(record) > self._limits.record_octets:
            raise pyspf.PermError(f"a record of more than {self._limits.record_octets} octets")
        return record

    def expand(self, s: str, stripdot: bool = True) -> str:
        """A domain-spec with its macros expanded (RFC 7208 section 7)."""
        if len(s) > MAX_TERM:
            raise pyspf.PermError(f"a domain-spec of more than {MAX_TERM} octets")
        return str(super().expand(s, stripdot))

    def get_explanation(self, spec: str) -> None:
        """exp= is not fetched: its text is never used, and asking would tell the sender who reads it."""
        del spec
