"""check_host() of RFC 7208 section 4.

pyspf holds the state of one check: the macro letters, the domain being evaluated, the counters, and what an error makes
of the result. How it reads records, expands macros and weighs terms differs from the RFC; that is done here.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, NamedTuple

import spf as pyspf

from ..domain import MAX_LABEL, MAX_OCTETS, BadDomain, Domain
from ..limits import Limits
from ..resolver import DnsLimit, DnsTempError, Resolver, Unanswered
from . import macro
from .fault import Fault
from .record import BadRecord, Directive, Record, is_record, parse

MAX_DOMAIN_SPEC = 512  # octets; the name it stands for has at most 253
_ADDRESSES = {"ip4": "A", "ip6": "AAAA"}  # the mechanisms that ask nothing, and whose clients they are for


@lru_cache(maxsize=256)
def _of_client(address: str) -> dict[str, Any]:
    """What pyspf makes of a client's address, which takes longer than all the rest of a new query."""
    query = pyspf.query(address, "", "")
    return {name: getattr(query, name) for name in ("ipaddr", "iplist", "c", "i", "v", "A", "cidrmax")}


_NO_HELO = "unknown"  # as Postfix writes a name that it does not know


def checkable(name: str) -> str | None:
    """The name as SPF asks for it, or None where check_host() starts with "none" (RFC 7208 section 4.3)."""
    return _checkable(name) if len(name) <= MAX_OCTETS + 1 else None


@lru_cache(maxsize=4096)
def _checkable(name: str) -> str | None:
    if not name.isascii():
        try:
            name = Domain(name)
        except BadDomain:
            return None
    name = name.lower().removesuffix(".")
    return name if _can_be_asked(name) and "." in name and not name.startswith("[") else None


@lru_cache(maxsize=4096)
def _can_be_asked(name: str) -> bool:
    return len(name) <= MAX_OCTETS and all(0 < len(label) <= MAX_LABEL for label in name.split("."))


def _is_within(version: str, client: int, addresses: Iterable[str], prefix4: int = 32, prefix6: int = 128) -> bool:
    """Is the client in the network of one of these? ``version`` is A for addresses of IPv4, AAAA for IPv6."""
    family, shift = (AF_INET, 32 - prefix4) if version == "A" else (AF_INET6, 128 - prefix6)
    network = client >> shift
    # half the time of ip_address(): a record may have thousands, and so may a host
    return network in [int.from_bytes(inet_pton(family, each)) >> shift for each in addresses]


@lru_cache(maxsize=128)
def _counting(text: str, most: int, version: str, client: int) -> Record:
    """A record without the terms that never count for one client. Raises :class:`BadRecord`.

    These are each ip4 or ip6 that does not match, what stands behind the first one that does, and of the terms that ask
    DNS those after one more than the ``most`` that are allowed. What is left is short. It is kept, since the check runs
    again whenever an answer has come, and for more than one identity of a client.
    """
    whole = parse(text)
    terms: list[str] = []
    for term in whole.directives():
        is_address = term.mechanism in _ADDRESSES
        if is_address and not (
            _ADDRESSES[term.mechanism] == version and _is_within(version, client, [term.argument], *term.prefixes)
        ):
            continue
        terms.append(term.text)
        if is_address or term.mechanism == "all":
            return Record(tuple(terms), "")
        if len(terms) > most:
            break
    return Record(tuple(terms), whole.redirect)


class Found(NamedTuple):
    """The result word of a check; ``mechanism`` and ``problem`` say why.

    ``limit`` names the limit of the policy that was reached, empty if none was. ``fault`` is the kind of problem, or
    why else it is no pass.
    """

    word: str
    mechanism: str
    problem: str
    limit: str
    fault: Fault | None


class Query(pyspf.query):  # type: ignore[misc]
    """One check: ``found()``.

    With ``goes_on`` the check does not end if its resolver raises Unanswered: the term counts as one that does not
    match. ``passed_over`` then says that there was one, ``is_uncertain`` that it was the record of an include or
    redirect, so that nobody knows how many terms count, and ``wants_name`` that it was an address of a client's name.
    """

    goes_on = passed_over = is_uncertain = wants_name = False

    def __init__(
        self,
        client_ip: IPv4Address | IPv6Address,
        local_part: str,
        domain: str,
        helo: str,
        resolve: Resolver,
        limits: Limits,
    ) -> None:
        # a link-local address has its zone here, in DNS it has none
        address, _, _ = str(client_ip).partition("%")
        super().__init__(None, f"{local_part}@{domain}", checkable(helo) or helo.removesuffix(".") or _NO_HELO)
        self.__dict__.update(_of_client(address))
        # pyspf splits at the first "@", which a quoted local-part may hold
        self.l, self.o, self.d = local_part, domain, domain
        self.prob = ""
        self._client = int(self.ipaddr)
        self._resolve, self._limits = resolve, limits
        self._is_void = False
        self.limit = ""
        self._fault: Fault | None = None
        # the names that a reason may tell: domain names, and nothing that a macro or a client's PTR record made
        self._spelled_out = {domain}

    def found(self) -> Found:
        """Run the check, again if more is known now."""
        self.passed_over = self.is_uncertain = self.wants_name = False
        self.prob = self.limit = ""
        self._fault = None
        # what it costs to ask for them counts each time
        self.__dict__.pop("_names", None)
        word, _, _ = self.check()
        return Found(word, self.mechanism or "", self.prob, self.limit, self._cause(word))

    def _cause(self, word: str) -> Fault | None:
        match word:
            case "pass":
                return None
            case "permerror":
                return self._fault
            case "temperror":
                return Fault.NO_ANSWER
            case "none":
                return Fault.NO_RECORD
            case _:
                return Fault.MATCHED if self.mechanism else Fault.NO_MATCH

    def _error(self, fault: Fault, text: str) -> pyspf.PermError:
        """What makes the result permerror: nothing goes on after it."""
        self._fault = fault
        return pyspf.PermError(text)

    def check0(self, spf: str | None, recursion: int) -> tuple[str, int, str]:
        """Evaluate one record (section 4.6.2); ``recursion`` is 0 outside include. The word is what counts."""
        if spf is None:
            return "none", 250, ""
        try:
            record = self.read(spf)
        except BadRecord as error:
            raise self._error(Fault.SYNTAX, f"{error}{self._of_other(self.d)}") from error
        for directive in record.directives():
            if self._applies(directive):
                if not recursion:
                    self.mechanism = directive.text
                return directive.result, 250, ""
        if record.redirect:
            self.check_lookups()
            try:
                if (domain := self.target(record.redirect)) is not None:
                    return self._check_host("redirect", domain, recursion)
            except Unanswered as unanswered:
                self._pass_over(unanswered, is_record=True)
        return "neutral", 250, ""

    def read(self, text: str) -> Record:
        """What counts of a record. Raises :class:`BadRecord`."""
        return _counting(text, self._limits.spf_terms, self.A, self._client)

    def _applies(self, term: Directive) -> bool:
        try:
            return self.matches(term)
        except Unanswered as unanswered:
            self._pass_over(unanswered, is_record=term.mechanism == "include")
            return False

    def _pass_over(self, unanswered: Unanswered, *, is_record: bool = False) -> None:
        """Go on as if there were no such term, if the check is to go on."""
        if not self.goes_on:
            raise unanswered
        self.passed_over = True
        self.is_uncertain = self.is_uncertain or is_record

    def _check_host(self, term: str, domain: str, recursion: int) -> tuple[str, int, str]:
        """check_host() for the domain of an include or redirect, which must have a record (sections 5.2, 6.1)."""
        if not (text := self.dns_spf(domain)):
            name, text = domain.lower(), f"{term} of a domain without SPF record"
            if self._is_spelled_out(name):
                text = f"{term}{':' if term == 'include' else '='}{name} has no SPF record"
            raise self._error(Fault.INCLUDED_NO_RECORD, text)
        result: tuple[str, int, str] = self.check1(text, domain, recursion)
        return result

    def matches(self, term: Directive) -> bool:
        """Section 5."""
        if term.mechanism == "all":
            return True
        if term.mechanism in _ADDRESSES:
            return _ADDRESSES[term.mechanism] == self.A and self._within([term.argument], *term.prefixes)
        self.check_lookups()
        target = self.target(term.argument)
        if target is None:
            return False
        match term.mechanism:
            case "include":
                return self._check_host("include", target, 1)[0] == "pass"
            case "a":
                return self._within(self.dns_a(target, self.A), *term.prefixes)
            case "mx":
                hosts = self._exchanges(target)
                if self.is_uncertain:
                    # up to ten questions for one term: they wait until it is known that the term counts
                    raise Unanswered
                return any(self._has_host(host, *term.prefixes) for host in hosts)
            case "ptr":
                return any(pyspf.domainmatch([name], target) and self._leads_back(name) for name in self._names)
            case _:  # exists, of type A whatever the client's address
                return bool(self.dns_a(target, "A"))

    def check_lookups(self) -> None:
        """Count one term that asks DNS (section 4.6.4)."""
        self.lookups += 1
        self._is_void = False
        if self.lookups > self._limits.spf_terms:
            raise self._error(Fault.TERMS, f"more than {self._limits.spf_terms} terms that ask DNS")

    def target(self, domain_spec: str) -> str | None:
        """The target-name (section 4.8); None where it is made of a local-part that is not ASCII (RFC 8616)."""
        if len(domain_spec) > MAX_DOMAIN_SPEC:
            raise self._error(Fault.DOMAIN_SPEC, f"a domain-spec of more than {MAX_DOMAIN_SPEC} octets")
        if "%" not in domain_spec and len(domain_spec) <= MAX_OCTETS:
            self._spelled_out.add(domain_spec)
            return domain_spec.removesuffix(".") or str(self.d)
        letters = macro.letters(domain_spec)
        if not self.l.isascii() and letters & {"s", "l"}:
            return None
        return macro.expand(domain_spec, tuple((letter, self._value(letter)) for letter in sorted(letters)))

    def _is_spelled_out(self, name: str) -> bool:
        for each in self._spelled_out:
            with suppress(BadDomain):
                if Domain(each) == name:
                    return True
        return False

    def _of_other(self, domain: str) -> str:
        """Whose record it is, if it is not that of the identity."""
        name = domain.lower()
        return f" ({name})" if name != self.o and self._is_spelled_out(name) else ""

    def _value(self, letter: str) -> str:
        """What a macro letter stands for (section 7.2)."""
        return self._validated_name() if letter == "p" else str(getattr(self, letter))

    def _within(self, addresses: Iterable[str], prefix4: int = 32, prefix6: int = 128) -> bool:
        """Is the client's address in the network of one of these?"""
        return _is_within(self.A, self._client, addresses, prefix4, prefix6)

    def _exchanges(self, domain: str) -> list[str]:
        """The hosts of an MX lookup, in order of preference (section 5.4)."""
        records = [record.split(" ", 1) for record in self.dns(domain, "MX")]
        if len(records) > self._limits.spf_mx_hosts:
            raise self._error(Fault.MX_HOSTS, f"more than {self._limits.spf_mx_hosts} MX hosts")
        return [host for _, host in sorted((int(preference), host) for preference, host in records)]

    def _has_host(self, host: str, prefix4: int, prefix6: int) -> bool:
        """Is the client in a network of a host of an mx?"""
        try:
            return self._within(self.dns_a(host, self.A), prefix4, prefix6)
        except Unanswered as unanswered:
            self._pass_over(unanswered)
            return False

    @cached_property
    def _names(self) -> list[str]:
        """The client's names, validated or not; none where the lookup fails (section 5.5)."""
        try:
            return list(self.dns_ptr(self.i))[: self._limits.ptr_names]
        except pyspf.TempError:
            return []

    def _leads_back(self, name: str) -> bool:
        """Is a name of the client validated? One whose lookup fails is passed over (section 5.5)."""
        try:
            return self._within(self.dns_a(name, self.A))
        except pyspf.TempError:
            return False
        except Unanswered as unanswered:
            self._pass_over(unanswered)
            return False

    def _validated_name(self) -> str:
        """The macro "p": the domain itself, or else a name below it, or else any (section 7.3)."""
        nearest = sorted(self._names, key=lambda name: (name != self.d, not name.endswith("." + self.d)))
        self.wants_name = True
        for name in nearest:
            # Unanswered goes through: another name would be another question
            with suppress(pyspf.TempError):
                if self._within(self.dns_a(name, self.A)):
                    return name
        return "unknown"

    def dns_spf(self, domain: str) -> str | None:
        """The SPF record of a domain; None where it has none or is no domain name to ask for (sections 4.3 to 4.5)."""
        if checkable(domain) is None:
            return None
        texts = [text for text in self.dns(domain, "TXT") if is_record(text)]
        if len(texts) > 1:
            raise self._error(Fault.SEVERAL_RECORDS, f"more than one SPF record{self._of_other(domain)}")
        if texts and len(texts[0]) > self._limits.record_octets:
            text = f"a record of more than {self._limits.record_octets} octets{self._of_other(domain)}"
            raise self._error(Fault.RECORD_SIZE, text)
        return texts[0] if texts else None

    def dns(self, name: str, qtype: str) -> tuple[str, ...]:
        """The records of a name. A term with a question without answer is counted, once (section 4.6.4)."""
        name = name.lower().removesuffix(".")
        # a macro's expansion may be any text: what cannot be asked does not exist
        if len(name) > MAX_OCTETS or not _can_be_asked(name):
            return ()
        try:
            records = self._resolve(name, qtype).records
        except DnsTempError as error:
            raise pyspf.TempError(str(error) if self._is_spelled_out(name) else "no answer") from error
        except DnsLimit as error:
            self.limit = error.key
            raise self._error(Fault.LIMIT, f"limit: {error}") from error
        if not records and not self._is_void:
            self._is_void = True
            self.void_lookups += 1
            if self.void_lookups > self._limits.spf_void_lookups:
                raise self._error(
                    Fault.VOID_LOOKUPS, f"more than {self._limits.spf_void_lookups} terms without an answer"
                )
        return records
