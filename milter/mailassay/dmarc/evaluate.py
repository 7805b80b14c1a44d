"""Does a message pass DMARC, and which policy applies? RFC 9989 sections 4.4, 5.3 and 5.4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from ..author import Author
from ..domain import Domain
from ..limits import Limits
from ..resolver import DnsLimit, DnsTempError, Resolver
from ..result import Resinfo, Result
from .discovery import Remembered, Walk, try_walk, walk
from .record import Disposition, Record
from .suffix import between


class Identifier(NamedTuple):
    """A domain that SPF or DKIM authenticated or could not decide on: ``method`` is ``spf`` or ``dkim``."""

    method: str
    domain: Domain
    result: Result


class Fault(StrEnum):
    """Why a message does not pass: one word for each kind of cause."""

    NO_AUTHOR = "no_author"  # From names no domain
    AUTHOR = "author"  # the author is not one clear domain
    UNREAD = "unread"  # From, or the header section, is larger than is looked at
    NO_RECORD = "no_record"
    RECORD = "record"  # the policy record is invalid
    NO_ANSWER = "no_answer"  # from DNS
    UNDECIDED = "undecided"  # SPF or DKIM of an aligned domain cannot be decided now
    UNAUTHENTICATED = "unauthenticated"  # neither SPF nor DKIM authenticates a domain
    UNALIGNED = "unaligned"  # they authenticate only domains that are not aligned
    PUBLIC_SUFFIX = "public_suffix"  # an authenticated domain has a different owner below the same public suffix


class How(StrEnum):
    """How an authenticated domain relates to the author domain (RFC 9989 section 4.4)."""

    SAME = "same"
    ORGANIZATION = "organization"  # the same organization, and relaxed alignment is enough
    STRICT = "strict"  # a different domain, and the record requires the same
    OTHER = "other"  # a different organization
    PUBLIC_SUFFIX = "public_suffix"  # a different owner below the same public suffix
    UNKNOWN = "unknown"  # DNS gave no answer

    @property
    def aligned(self) -> bool:
        """Is the domain aligned?"""
        return self in (How.SAME, How.ORGANIZATION)


@dataclass(frozen=True, slots=True)
class Dmarc:
    """The result for a message.

    ``disposition`` is what the domain owner asks for in this case, after the choice of p=, sp= or np= (``tag``) and the
    lowering by t=y (``testing``); None if no policy was found. ``found_at`` is the domain that publishes the record.
    ``ambiguous``: the author is not one clear domain. ``readings`` are then the results for each domain that the author
    may be. ``org_domain`` is that of the author, if it had to be determined. ``public_suffix`` separates the author
    from an identifier that the tree walk alone would have aligned (RFC 9989 section 11.8).
    ``at_stake`` goes with temperror: the strictest policy that is known to be possible, from a record that was found,
    or that was seen earlier at a name that has no answer now. ``fault`` says why the result is not a pass; ``reason``
    is empty if that, or the result, is enough. ``walk`` is the search for the policy, None if there was none.
    ``alignment`` has each authenticated domain that was compared with the author's.
    """

    result: Result
    header_from: Domain | None = None
    disposition: Disposition | None = None
    tag: str = ""
    found_at: Domain | None = None
    org_domain: Domain | None = None
    aligned: tuple[Identifier, ...] = ()
    testing: bool = False
    ambiguous: bool = False
    public_suffix: Domain | None = None
    at_stake: Disposition = Disposition.NONE
    reason: str = ""
    readings: tuple[Dmarc, ...] = ()
    fault: Fault | None = None
    walk: Walk | None = field(default=None, compare=False, repr=False)
    alignment: tuple[tuple[Identifier, How], ...] = field(default=(), compare=False, repr=False)

    @property
    def record(self) -> Record | None:
        """The record whose policy applies; None if there is none."""
        found = self.walk.policy if self.walk else None
        return found[1] if found else None


def resinfo(found: Dmarc) -> Resinfo:
    """``dmarc=`` with the author domain and the policy that applied (RFC 9989 section 9)."""
    properties = []
    if found.header_from:
        properties.append(("header", "from", str(found.header_from)))
    if found.disposition:
        properties.append(("policy", "dmarc", str(found.disposition)))
    return Resinfo("dmarc", found.result, tuple(properties), "" if found.result is Result.PASS else found.reason)


class AuthorPolicy(NamedTuple):
    """What is known about an author domain before alignment.

    ``otherwise`` is the result if no identifier aligns. ``record`` says how to align. Without a record the result is
    final, with one exception: ``exists`` says that there is a policy, although a DNS failure hides which one applies.
    Then an identifier that is exactly the author domain aligns.
    """

    otherwise: Dmarc
    record: Record | None = None
    exists: bool = False


def policies(
    author: Author, resolve: Resolver, limits: Limits, remembered: Remembered | None = None
) -> tuple[AuthorPolicy, ...]:
    """The policy of each author domain; an empty tuple if there are more domains than are looked at."""
    return () if author.unread else tuple(_policy(domain, resolve, limits, remembered) for domain in author.domains)


def check(
    author: Author,
    identifiers: Sequence[Identifier],
    resolve: Resolver,
    limits: Limits,
    *,
    public_suffixes: bool = True,
    known: Sequence[AuthorPolicy] | None = None,
) -> Dmarc:
    """Evaluate DMARC. An author that is not one clear domain never passes.

    ``public_suffixes``: names below different registrable domains never align (RFC 9989 section 11.8). ``known`` are
    the :func:`policies` of the author, if the caller has them already.
    """
    found = policies(author, resolve, limits) if known is None else known
    if not author.problem:
        return _align(found[0], identifiers, resolve, limits, public_suffixes)
    if author.unread:
        # a domain that was not looked at may ask to reject, and no honest message has so many
        problem = author.problem
        return Dmarc(Result.FAIL, disposition=Disposition.REJECT, ambiguous=True, reason=problem, fault=Fault.UNREAD)
    if not found:
        return Dmarc(Result.PERMERROR, ambiguous=True, reason=author.problem, fault=Fault.NO_AUTHOR)
    # an author that is not one clear domain fails, whether or not one of its domains is authenticated
    readings = tuple(
        replace(each.otherwise, fault=Fault.AUTHOR) if each.otherwise.result is Result.FAIL else each.otherwise
        for each in found
    )
    strictest = _strictest(readings)
    return replace(strictest, ambiguous=True, reason=author.problem, readings=readings, fault=Fault.AUTHOR)


def _strictest(readings: Sequence[Dmarc]) -> Dmarc:
    """The reading with the most severe failure (RFC 9989 section 11.5).

    A temperror ranks below a policy of another reading: an author domain whose DNS is broken on purpose must not weaken
    what another one asks for.
    """

    def rank(reading: Dmarc) -> tuple[int, bool, int, bool]:
        asked = reading.disposition.severity if reading.disposition else 0
        undecided = reading.result is Result.TEMPERROR
        return asked, undecided, reading.at_stake.severity, reading.disposition is not None

    strictest = max(readings, key=rank)
    return strictest if strictest.result is not Result.NONE else replace(strictest, result=Result.PERMERROR)


def _policy(domain: Domain, resolve: Resolver, limits: Limits, remembered: Remembered | None) -> AuthorPolicy:
    found = try_walk(domain, resolve, limits, for_policy=True, remembered=remembered)
    if found.trouble:
        undecided = Dmarc(
            Result.TEMPERROR,
            domain,
            at_stake=found.at_stake,
            reason=found.trouble,
            fault=Fault.NO_ANSWER,
            walk=found,
        )
        return AuthorPolicy(undecided, exists=any(record.usable for _, record in found.records))
    policy = found.policy
    if policy is None:
        return AuthorPolicy(Dmarc(Result.NONE, domain, fault=Fault.NO_RECORD, walk=found))
    name, record = policy
    if not record.usable:
        reason = "the policy record is invalid"
        return AuthorPolicy(
            Dmarc(Result.PERMERROR, domain, found_at=name, reason=reason, fault=Fault.RECORD, walk=found)
        )
    try:
        tag, disposition = ("p", record.for_author()) if name == domain else _for_subdomain(domain, record, resolve)
    except DnsTempError as error:
        at_stake, fault = found.at_stake, Fault.NO_ANSWER
        undecided = Dmarc(Result.TEMPERROR, domain, at_stake=at_stake, reason=str(error), fault=fault, walk=found)
        return AuthorPolicy(undecided, exists=True)
    lowered = disposition.lowered() if record.testing else disposition
    fault = Fault.UNAUTHENTICATED
    return AuthorPolicy(
        Dmarc(Result.FAIL, domain, lowered, tag, name, testing=record.testing, fault=fault, walk=found), record
    )


def _align(
    policy: AuthorPolicy, identifiers: Sequence[Identifier], resolve: Resolver, limits: Limits, public_suffixes: bool
) -> Dmarc:
    judged, record = policy.otherwise, policy.record
    domain = judged.header_from
    if record is None or domain is None:
        return _undecided(policy, identifiers)
    deciding = _deciding(identifiers, domain, limits)
    passed = [each for each in deciding if each.result is Result.PASS]
    alignment = _Alignment(domain, record, resolve, limits, public_suffixes)
    result, reason, fault = judged.result, judged.reason, judged.fault
    if aligned := tuple([each for each in passed if alignment.holds(each)]):
        result, reason, fault = Result.PASS, _aligned(aligned), None
    elif undecided := [each for each in deciding if each.result is Result.TEMPERROR and alignment.holds(each)]:
        result, fault = Result.TEMPERROR, Fault.UNDECIDED
        reason = f"{undecided[0].method} for {undecided[0].domain} cannot be decided now"
    elif alignment.public_suffix:
        reason, fault = f"{alignment.public_suffix} is a public suffix", Fault.PUBLIC_SUFFIX
    elif passed:
        fault = Fault.UNALIGNED
    if alignment.trouble and not aligned:
        result, reason, fault = Result.TEMPERROR, alignment.trouble, Fault.NO_ANSWER
    if result is Result.TEMPERROR:
        # no policy applies yet
        judged = Dmarc(result, domain, at_stake=judged.disposition or Disposition.NONE, walk=judged.walk)
    # written out, because dataclasses.replace() takes three times as long, and each message comes here
    return Dmarc(
        result,
        domain,
        disposition=judged.disposition,
        tag=judged.tag,
        found_at=judged.found_at,
        org_domain=alignment.org_domain,
        aligned=aligned,
        testing=judged.testing,
        public_suffix=alignment.public_suffix,
        at_stake=judged.at_stake,
        reason=reason,
        fault=fault,
        walk=judged.walk,
        alignment=tuple(alignment.found.items()),
    )


def _deciding(identifiers: Sequence[Identifier], domain: Domain, limits: Limits) -> list[Identifier]:
    """The identifiers that can decide, best first, so that those a sender adds cannot use up the limit."""
    deciding = list(dict.fromkeys(each for each in identifiers if each.result in (Result.PASS, Result.TEMPERROR)))
    deciding.sort(key=lambda each: (each.result is not Result.PASS, each.domain != domain))
    return deciding[: limits.identifiers]


def _aligned(identifiers: Sequence[Identifier]) -> str:
    return "aligned: " + ", ".join(f"{each.method} {each.domain}" for each in identifiers)


def _undecided(policy: AuthorPolicy, identifiers: Sequence[Identifier]) -> Dmarc:
    """The result without a record that says how to align.

    An authenticated domain that is exactly the author domain is aligned in every mode, so no policy is at stake.
    """
    judged = policy.otherwise
    own = [each for each in identifiers if each.result is Result.PASS and each.domain == judged.header_from]
    if judged.result is not Result.TEMPERROR or not own:
        return judged
    if not policy.exists:
        return replace(judged, at_stake=Disposition.NONE)
    passed = replace(judged, result=Result.PASS, at_stake=Disposition.NONE, fault=None)
    return replace(passed, aligned=tuple(own), reason=_aligned(own))


def _for_subdomain(domain: Domain, record: Record, resolve: Resolver) -> tuple[str, Disposition]:
    """np= if the author domain does not exist, else sp= (RFC 9989 section 4.7). Raises DnsTempError."""
    try:
        # a name without data exists (section 3.2.13), so any type will do; without np= it makes no difference
        return record.below(record.np is None or resolve(domain, "A").exists)
    except DnsLimit:
        return max(record.below(True), record.below(False), key=lambda each: each[1].severity)


class _Alignment:
    """The alignment of identifiers with one author domain (RFC 9989 section 4.4).

    It keeps the first DNS failure, and the first public suffix that separated an identifier from the author domain.
    """

    def __init__(
        self, domain: Domain, record: Record, resolve: Resolver, limits: Limits, public_suffixes: bool
    ) -> None:
        self._domain, self._record, self._resolve, self._limits = domain, record, resolve, limits
        self._public_suffixes = public_suffixes
        self._declared = False
        self.org_domain: Domain | None = None
        self.public_suffix: Domain | None = None
        self.trouble = ""
        self.found: dict[Identifier, How] = {}

    def holds(self, identifier: Identifier) -> bool:
        """Is the identifier the author domain or, with relaxed alignment, in the same organization?"""
        how = self.found[identifier] = self._how(identifier)
        return how.aligned

    def _how(self, identifier: Identifier) -> How:
        if identifier.domain == self._domain:
            return How.SAME
        if self._record.strict_spf if identifier.method == "spf" else self._record.strict_dkim:
            return How.STRICT
        # names below different top-level domains are in different organizations
        if identifier.domain.labels[-1] != self._domain.labels[-1]:
            return How.OTHER
        suffix = None
        try:
            if self.org_domain is None:
                found = walk(self._domain, self._resolve, self._limits)
                self.org_domain, self._declared = found.org_domain, found.declared
            # do not ask for unrelated domains: their broken DNS must not turn a fail into a temperror
            if not identifier.domain.is_within(self.org_domain):
                return How.OTHER
            if self._public_suffixes:
                suffix = between(self._domain, identifier.domain, self.org_domain, declared=self._declared)
            if walk(identifier.domain, self._resolve, self._limits).org_domain != self.org_domain:
                return How.OTHER
        except DnsTempError as error:
            # nor must the DNS of a neighbour below the same public suffix, nor a question that only it causes
            if self.org_domain is None and self._public_suffixes:
                suffix = between(self._domain, identifier.domain, self._domain.common(identifier.domain))
            if suffix is None:
                self.trouble = self.trouble or str(error)
            return How.UNKNOWN if suffix is None else How.PUBLIC_SUFFIX
        self.public_suffix = self.public_suffix or suffix
        return How.ORGANIZATION if suffix is None else How.PUBLIC_SUFFIX
