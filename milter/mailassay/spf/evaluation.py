"""check_host() of RFC 7208 section 4.

pyspf gives the form of a client's address in macros and in the name of its PTR record, and tests whether a name is
within a domain. It reads records, expands macros and counts terms differently from the RFC, so that is done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

from ..address import Address
from ..domain import MAX_LABEL, MAX_OCTETS, BadDomain, Domain
from ..limits import Limits
from ..resolver import DnsLimit, DnsTempError, Resolver, Unanswered
from . import macro
from .fault import Fault
from .record import BadRecord, Directive, Record, is_record, parse

MAX_DOMAIN_SPEC = 512  # octets; the expanded name has at most 253
_ADDRESSES = {"ip4": "A", "ip6": "AAAA"}  # the mechanisms that ask nothing, and the address type of their clients


_NO_HELO = "unknown"  # as Postfix writes an unknown name


def checkable(name: str) -> str | None:
    """The name in the form that SPF asks for, or None if check_host() returns "none" at once (RFC 7208 section 4.3)."""
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


def _is_within(version: str, client: int, addresses: Iterable[str], prefix4: int, prefix6: int) -> bool:
    """Is the client in the network of one of the addresses? ``version`` is A for IPv4, AAAA for IPv6."""
    family, shift = (AF_INET, 32 - prefix4) if version == "A" else (AF_INET6, 128 - prefix6)
    network = client >> shift
    # takes half the time of ip_address(); a record may have thousands of addresses, and so may a host
    return network in [int.from_bytes(inet_pton(family, each)) >> shift for each in addresses]


@lru_cache(maxsize=128)
def _counting(text: str, most: int, version: str, client: int) -> Record:
    """A record without the terms that never count for this client. Raises :class:`BadRecord`.

    These are each ip4 or ip6 that does not match, everything after the first one that does, and the terms that ask DNS
    beyond one more than the ``most`` that are allowed. The rest is short. It is cached, because the check runs again
    whenever an answer arrives, and for more than one identity of a client.
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


@dataclass(frozen=True, slots=True)
class Client:
    """A client's address in the form that a check needs.

    ``rdtype`` is the record type of such addresses, A or AAAA; ``number`` is the address. ``letters`` has the values of
    the macro letters that depend on it (section 7.2). ``reverse`` is the name of its PTR record.
    """

    rdtype: str
    number: int
    letters: dict[str, str]
    reverse: str

    @staticmethod
    def of(address: Address) -> Client:
        """The client with this address."""
        return _client(str(address))

    def is_within(self, addresses: Iterable[str], prefix4: int = 32, prefix6: int = 128) -> bool:
        """Is the client in the network of one of the addresses?"""
        return _is_within(self.rdtype, self.number, addresses, prefix4, prefix6)

    def knows(self, letters: frozenset[str]) -> bool:
        """Are the values of all these macro letters known?"""
        del letters
        return True

    def read(self, text: str, most: int) -> Record:
        """The terms of a record that count for this client, if ``most`` may ask DNS. Raises :class:`BadRecord`."""
        return _counting(text, most, self.rdtype, self.number)


@lru_cache(maxsize=256)
def _client(address: str) -> Client:
    from .by_pyspf import forms

    found = forms(address)
    return Client(found.rdtype, found.number, {"i": found.i, "v": found.v}, f"{found.reverse}.{found.v}.arpa")


def exchanges(records: Iterable[str]) -> list[str]:
    """The hosts of MX records, in order of preference."""
    pairs = (record.split(" ", 1) for record in records)
    return [host for _, host in sorted((int(preference), host) for preference, host in pairs)]


NOWHERE = "nowhere.invalid"  # stands for a name that cannot be known (RFC 6761 section 6.4)


class Follow(Enum):
    """The branches of a record that an evaluation follows."""

    TO_THE_RESULT = auto()  # as check_host() does: up to a term that matches, or an error
    PAST_UNANSWERED = auto()  # likewise, but past the terms whose answers have not arrived: for a prefetch
    EVERY = auto()  # all up to "all", past matches and errors, for clients of both families: to describe the record


@dataclass(slots=True)
class Step:
    """A term that was looked at, or the identity, in whose record all begins.

    ``target`` is the name that it looks up, empty if there is none or if that depends on values that are not known.
    ``answers`` has the records that it got, by type; for an mx, the addresses of its last host. ``void`` has the types
    for which there was none, also if the name cannot be asked for. ``terms`` are those of the record that it leads to.
    With ``Follow.EVERY``, ``fault`` and ``problem`` say what is wrong with this term; ``is_circular`` says that its
    target is a domain that leads to it, which is not looked up again.
    """

    directive: Directive | None = None  # None for redirect and the identity
    target: str = ""
    matched: bool = False
    is_circular: bool = False
    fault: Fault | None = None
    problem: str = ""
    answers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    void: set[str] = field(default_factory=set)
    terms: list[Step] = field(default_factory=list)


class Term(NamedTuple):
    """A term that was looked at. ``depth`` counts the include and redirect terms that led to its record."""

    depth: int
    text: str
    matched: bool = False


def flat(step: Step | None, depth: int = 0) -> Iterator[Term]:
    """The terms below a step in the order in which they were looked at. A redirect has its target, once known."""
    for each in step.terms if step else ():
        if each.directive or each.matched:
            text = each.directive.text if each.directive else f"redirect={each.target}"
            yield Term(depth, text, each.matched)
        yield from flat(each, depth + 1)


class Found(NamedTuple):
    """The result word of a check; ``mechanism`` and ``problem`` say why.

    ``limit`` names the limit of the policy that was reached, empty if none was. ``fault`` says why the result is not a
    pass. ``seen`` is the identity with the terms that were looked at, if the caller asked for them with ``explain``.
    """

    word: str
    mechanism: str
    problem: str
    limit: str
    fault: Fault | None
    seen: Step | None


class _PermError(Exception):
    """The result is permerror, and the evaluation ends. ``plain`` is the text without the name of another domain."""

    def __init__(self, fault: Fault, plain: str, addition: str = "") -> None:
        super().__init__(plain + addition)
        self.fault, self.plain = fault, plain


class _TempError(Exception):
    """A question has no answer, so the result is temperror. ``plain`` names the question, and is not for a header."""

    fault = Fault.NO_ANSWER

    def __init__(self, text: str, plain: str) -> None:
        super().__init__(text)
        self.plain = plain


class Evaluation:
    """One check, which ``found()`` runs: the only traversal of a record. ``follow`` says which branches it follows.

    ``Follow.PAST_UNANSWERED``: a term whose resolver raises Unanswered counts as not matching, and ``passed_over`` then
    says that there was such a term. ``is_uncertain`` says that it was an include or redirect whose record is not known,
    so the number of terms that count is not known either. ``wants_name`` says that the check needs a validated name of
    the client.
    ``Follow.EVERY``: ``Found.seen`` has the terms of all records, and only that counts: the result is not one of
    check_host().
    """

    passed_over = is_uncertain = wants_name = False

    def __init__(
        self,
        client: Client,
        local_part: str,
        domain: str,
        helo: str,
        resolve: Resolver,
        limits: Limits,
        *,
        follow: Follow = Follow.TO_THE_RESULT,
        explain: bool = False,
    ) -> None:
        """``explain``: look at every term, even if it cannot match, and keep the terms in ``Found.seen``."""
        self._client, self._local_part, self._identity = client, local_part, domain
        self._helo = checkable(helo) or helo.removesuffix(".") or _NO_HELO
        self._resolve, self._limits = resolve, limits
        self._follow, self._explains = follow, explain or follow is Follow.EVERY
        # the names that a reason may contain: domain names, but none that came from a macro or the client's PTR record
        self._spelled_out = {domain}

    def _begin(self) -> None:
        self.passed_over = self.is_uncertain = self.wants_name = False
        self._domain = self._identity  # the domain whose record is evaluated
        self._above: list[str] = []  # the domains that lead to it
        self._asked = self._void = 0  # the number of terms that asked DNS, and of those without an answer
        self._is_void = False
        self._mechanism = self._limit = ""
        self._names: list[str] | None = None
        # the step that is under way
        self._step = Step() if self._explains else None

    def found(self) -> Found:
        """Run the check. It may be run again when more answers have arrived."""
        self._begin()
        seen, problem, fault = self._step, "", None
        try:
            record = self._record(self._identity)
            word = "none" if record is None else self._evaluate(record, 0)
        except _TempError as error:
            word, problem, fault = "temperror", str(error), error.fault
            self._note(seen, error)
        except _PermError as error:
            word, problem, fault = "permerror", str(error), error.fault
            self._note(seen, error)
        return Found(word, self._mechanism, problem, self._limit, fault or self._cause(word), seen)

    def _cause(self, word: str) -> Fault | None:
        match word:
            case "pass":
                return None
            case "none":
                return Fault.NO_RECORD
            case _:
                return Fault.MATCHED if self._mechanism else Fault.NO_MATCH

    def _evaluate(self, text: str, recursion: int) -> str:
        """The result word of one record (section 4.6.2); ``recursion`` is 0 outside include."""
        try:
            # an explanation shows the whole record
            record = parse(text) if self._explains else self._client.read(text, self._limits.spf_terms)
        except BadRecord as error:
            raise _PermError(Fault.SYNTAX, str(error), self._of_other(self._domain)) from error
        for directive in record.directives():
            if self._applies(directive):
                if not recursion:
                    self._mechanism = directive.text
                return directive.result
        return self._redirected(record.redirect, recursion) if record.redirect else "neutral"

    def _redirected(self, domain_spec: str, recursion: int) -> str:
        # nothing follows a redirect, so the step above does not continue
        step = self._begun(self._step) if self._step else None
        try:
            self._count_lookup()
            if (domain := self._target(domain_spec)) is not None:
                if step:
                    step.target, step.matched = domain, True
                return self._check_host("redirect", domain, recursion)
        except (Unanswered, _PermError, _TempError) as error:
            if not self._passes_over(error, step, is_record=True):
                raise
        return "neutral"

    def _applies(self, term: Directive) -> bool:
        """Does the term match, so that the evaluation of the record ends?"""
        above, matched = self._step, False
        step = self._begun(above, term) if above else None
        try:
            matched = self._matches(term)
        except (Unanswered, _PermError, _TempError) as error:
            if not self._passes_over(error, step, is_record=term.mechanism == "include"):
                raise
        finally:
            self._step = above
        if step:
            step.matched = matched
        return matched and (self._follow is not Follow.EVERY or term.mechanism == "all")

    def _begun(self, above: Step, directive: Directive | None = None) -> Step:
        """The step that begins, below the one under way."""
        step = self._step = Step(directive)
        above.terms.append(step)
        return step

    def _passes_over(self, error: Exception, step: Step | None = None, *, is_record: bool = False) -> bool:
        """Does ``follow`` say to continue as if there were no such term?

        If not, the caller raises the error again. Its traceback would keep this frame, the frame the error, and both
        everything that the check has.
        """
        if self._follow is Follow.TO_THE_RESULT:
            return False
        if isinstance(error, Unanswered):
            self.passed_over = True
            self.is_uncertain = self.is_uncertain or is_record
            return True
        if self._follow is Follow.EVERY:
            self._note(step, error)
            return True
        return False

    @staticmethod
    def _note(step: Step | None, error: Exception) -> None:
        if step and isinstance(error, (_PermError, _TempError)):
            step.fault, step.problem = error.fault, error.plain

    def _check_host(self, term: str, domain: str, recursion: int) -> str:
        """check_host() for the domain of an include or redirect, which must have a record (sections 5.2, 6.1)."""
        if self._follow is Follow.EVERY and self._step and self._leads_here(domain):
            self._step.is_circular = True
            return "neutral"
        if not (record := self._record(domain)):
            name, text = domain.lower(), f"{term} of a domain without SPF record"
            if self._is_spelled_out(name):
                text = f"{term}{':' if term == 'include' else '='}{name} has no SPF record"
            raise _PermError(Fault.INCLUDED_NO_RECORD, text)
        self._above.append(self._domain)
        self._domain = domain
        try:
            return self._evaluate(record, recursion)
        finally:
            self._domain = self._above.pop()

    def _leads_here(self, domain: str) -> bool:
        return checkable(domain) in map(checkable, (*self._above, self._domain))

    def _matches(self, term: Directive) -> bool:
        """Does the mechanism match (section 5)?"""
        client = self._client
        if term.mechanism == "all":
            return True
        if term.mechanism in _ADDRESSES:
            is_of_family = _ADDRESSES[term.mechanism] == client.rdtype
            return is_of_family and client.is_within([term.argument], *term.prefixes)
        self._count_lookup()
        target = self._target(term.argument)
        if target is None:
            return False
        if self._step:
            self._step.target = target
        match term.mechanism:
            case "include":
                return self._check_host("include", target, 1) == "pass"
            case "a":
                return client.is_within(self._addresses(target), *term.prefixes)
            case "mx":
                hosts = self._exchanges(target)
                if self.is_uncertain:
                    # one term may need ten questions, so they wait until it is known that the term counts
                    raise Unanswered
                return any(self._has_host(host, *term.prefixes) for host in hosts)
            case "ptr":
                from .by_pyspf import is_within

                near = (name for name in self._client_names() if is_within(name, target))
                return any(map(self._leads_back, near))
            case _:  # exists, of type A whatever the client's address
                return bool(target and self._ask(target, "A"))

    def _count_lookup(self) -> None:
        """Count one more term that asks DNS (section 4.6.4)."""
        self._asked += 1
        self._is_void = False
        if self._asked > self._limits.spf_terms:
            raise _PermError(Fault.TERMS, f"more than {self._limits.spf_terms} terms that ask DNS")

    def _target(self, domain_spec: str) -> str | None:
        """The target-name (section 4.8).

        None if it needs a local-part that is not ASCII (RFC 8616), or, with ``Follow.EVERY``, what is not known.
        """
        if len(domain_spec) > MAX_DOMAIN_SPEC:
            raise _PermError(Fault.DOMAIN_SPEC, f"a domain-spec of more than {MAX_DOMAIN_SPEC} octets")
        if "%" not in domain_spec and len(domain_spec) <= MAX_OCTETS:
            self._spelled_out.add(domain_spec)
            return domain_spec.removesuffix(".") or self._domain
        letters = macro.letters(domain_spec)
        if not self._client.knows(letters):
            return None if self._follow is Follow.EVERY else NOWHERE
        if not self._local_part.isascii() and letters & {"s", "l"}:
            return None
        return macro.expand(domain_spec, tuple((letter, self._value(letter)) for letter in sorted(letters)))

    def _is_spelled_out(self, name: str) -> bool:
        for each in self._spelled_out:
            with suppress(BadDomain):
                if Domain(each) == name:
                    return True
        return False

    def _of_other(self, domain: str) -> str:
        """The domain in parentheses, for a reason, if it is not that of the identity and may be shown."""
        name = domain.lower()
        return f" ({name})" if name != self._identity and self._is_spelled_out(name) else ""

    def _value(self, letter: str) -> str:
        """The value of a macro letter (section 7.2)."""
        match letter:
            case "s":
                return f"{self._local_part}@{self._identity}"
            case "l":
                return self._local_part
            case "o":
                return self._identity
            case "d":
                return self._domain
            case "h":
                return self._helo
            case "p":
                return self._validated_name()
            case _:
                return self._client.letters[letter]

    def _addresses(self, host: str) -> tuple[str, ...]:
        if not host:
            return ()
        if self._follow is Follow.EVERY:
            try:
                self._ask(host, "AAAA" if self._client.rdtype == "A" else "A")
            except _TempError as error:
                if not self._passes_over(error, self._step):
                    raise
        return self._ask(host, self._client.rdtype)

    def _exchanges(self, domain: str) -> list[str]:
        """The hosts of an MX lookup, in order of preference (section 5.4)."""
        records = self._ask(domain, "MX")
        if len(records) > self._limits.spf_mx_hosts:
            raise _PermError(Fault.MX_HOSTS, f"more than {self._limits.spf_mx_hosts} MX hosts")
        return exchanges(records)

    def _has_host(self, host: str, prefix4: int, prefix6: int) -> bool:
        """Is the client in a network of this host of an mx?"""
        try:
            return self._client.is_within(self._addresses(host), prefix4, prefix6)
        except (Unanswered, _TempError) as error:
            if not self._passes_over(error, self._step):
                raise
            return False

    def _client_names(self) -> list[str]:
        """The client's names, validated or not; none if the lookup fails (section 5.5)."""
        if self._names is None:
            try:
                self._names = list(self._ask(self._client.reverse, "PTR"))[: self._limits.ptr_names]
            except _TempError:
                self._names = []
        return self._names

    def _leads_back(self, name: str) -> bool:
        """Is this name of the client validated? A name whose lookup fails is not (section 5.5)."""
        try:
            return self._client.is_within(self._addresses(name))
        except _TempError:
            return False
        except Unanswered as unanswered:
            if not self._passes_over(unanswered):
                raise
            return False

    def _validated_name(self) -> str:
        """The macro "p": if validated, the domain itself, else a name below it, else any name (section 7.3)."""
        domain = self._domain
        nearest = sorted(self._client_names(), key=lambda name: (name != domain, not name.endswith("." + domain)))
        self.wants_name = True
        for name in nearest:
            # Unanswered is not suppressed: a different name would lead to a different question
            with suppress(_TempError):
                if self._client.is_within(self._addresses(name)):
                    return name
        return "unknown"

    def _record(self, domain: str) -> str | None:
        """The SPF record of a domain; None if it has none or cannot be asked for (sections 4.3 to 4.5)."""
        if checkable(domain) is None:
            return None
        texts = [text for text in self._ask(domain, "TXT") if is_record(text)]
        if len(texts) > 1:
            raise _PermError(Fault.SEVERAL_RECORDS, "more than one SPF record", self._of_other(domain))
        if texts and len(texts[0]) > self._limits.record_octets:
            text = f"a record of more than {self._limits.record_octets} octets"
            raise _PermError(Fault.RECORD_SIZE, text, self._of_other(domain))
        return texts[0] if texts else None

    def _ask(self, name: str, rdtype: str) -> tuple[str, ...]:
        """The records of a name. A term with a void lookup is counted once (section 4.6.4)."""
        name = name.lower().removesuffix(".")
        # a macro may expand to any text; a name that cannot be asked for does not exist
        if len(name) > MAX_OCTETS or not _can_be_asked(name):
            if self._step:
                self._step.void.add(rdtype)
            return ()
        try:
            records = self._resolve(name, rdtype).records
        except DnsTempError as error:
            raise _TempError(str(error) if self._is_spelled_out(name) else "no answer", str(error)) from error
        except DnsLimit as error:
            self._limit = error.key
            raise _PermError(Fault.LIMIT, f"limit: {error}") from error
        if self._step:
            self._step.answers[rdtype] = records
            if not records:
                self._step.void.add(rdtype)
        if not records and not self._is_void:
            self._is_void = True
            self._void += 1
            if self._void > self._limits.spf_void_lookups:
                raise _PermError(
                    Fault.VOID_LOOKUPS, f"more than {self._limits.spf_void_lookups} terms without an answer"
                )
        return records
