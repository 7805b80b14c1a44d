"""Where the reports of a domain go: ``rua`` or ``ruf`` of its DMARC record (RFC 9990 sections 3.5 and 4, RFC 9991)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from ..dmarc import Record, the_record
from ..dmarc.discovery import try_walk
from ..dmarc.record import is_record, tags
from ..dmarc.suffix import between
from ..domain import BadDomain, Domain
from ..limits import Limits
from ..policy.mailbox import spellings
from ..resolver import DnsLimit, DnsTempError, Resolver, Source
from .asking import ask_for_each
from .mailto import host_of, mail_address

MAX_ADDRESSES = 5  # that get a report
MAX_EXAMINED = 20  # addresses of a record for which DNS may have to be asked


class Tag(StrEnum):
    """The tag of the record: of aggregate or of failure reports."""

    RUA = "rua"
    RUF = "ruf"


class Why(StrEnum):
    """Why nobody gets a report, or why an address gets none: one word for each kind of cause."""

    NO_RECORD = "no_record"  # nor several: no record counts then
    NO_TAG = "no_tag"  # the record asks for no reports
    PSD = "psd"  # the record of a registry never leads to failure reports
    UNUSABLE = "unusable"  # not a mailto: URI, or not an address
    OURS = "ours"  # it is our report address
    UNAUTHORIZED = "unauthorized"  # the host does not agree to get the reports
    ELSEWHERE = "elsewhere"  # the host would send them on to another host
    TOO_LONG = "too_long"  # DNS has no name so long as the one at which the host would agree
    TOO_MANY = "too_many"
    NO_ANSWER = "no_answer"  # from DNS


class Refused(NamedTuple):
    """A URI that gets no report, and why; ``text`` has the trouble with DNS."""

    uri: str
    why: Why
    text: str = ""


@dataclass(frozen=True, slots=True)
class Destinations:
    """The addresses in the order of the record. ``why`` is None unless there are none.

    ``undecided``: DNS gave no answer to a question on which an address depends, or the record itself. What is here is
    then not certain, and may be different the next time.
    """

    addresses: tuple[str, ...] = ()
    why: Why | None = None
    refused: tuple[Refused, ...] = ()
    undecided: bool = False
    text: str = ""


class Wanted(NamedTuple):
    """Reports about a DMARC Policy Domain: the name at which its record was found."""

    domain: Domain
    tag: Tag = Tag.RUA


@dataclass(frozen=True, slots=True)
class Ours:
    """Our report address, to which no report goes, also not with an address extension.

    ``delimiters`` are the characters that begin one; None if they are not known.
    """

    address: str
    delimiters: str | None = None

    def has(self, address: str) -> bool:
        """Does mail for an address arrive at ours?"""
        ours = self.address.lower()
        return any(each == ours for each in spellings(address.lower(), self.delimiters, special=None, every=False))


def of_each(
    wanted: Iterable[Wanted], source: Source, ours: Ours, limits: Limits, timeout: float
) -> Iterator[tuple[Wanted, Destinations]]:
    """The destinations for many domains, in the order in which DNS answers.

    The questions of hundreds of domains are under way at once. ``timeout`` is in seconds, for each of them.
    """
    look = partial(_of, ours=ours, limits=limits)
    return ask_for_each(wanted, look, source, timeout)


def destinations(wanted: Wanted, resolve: Resolver, ours: Ours, limits: Limits) -> Destinations:
    """The destinations for one domain, by its record as it is now. Never raises."""
    return _of(wanted, resolve, ours=ours, limits=limits)


def _of(wanted: Wanted, resolve: Resolver, *, ours: Ours, limits: Limits) -> Destinations:
    domain, tag = wanted
    try:
        record = the_record(resolve(f"_dmarc.{domain}", "TXT").records, limits)
    except DnsLimit as limit:
        return Destinations(why=Why.NO_RECORD, text=str(limit))
    except DnsTempError as trouble:
        return Destinations(why=Why.NO_ANSWER, undecided=True, text=str(trouble))
    if record is None:
        return Destinations(why=Why.NO_RECORD)
    if tag is Tag.RUF and record.psd == "y":
        return Destinations(why=Why.PSD)
    uris = _uris(record, tag)
    if not uris:
        return Destinations(why=Why.NO_TAG)
    found, refused = _examined(uris, _Verifying(domain, tag, resolve, limits), ours)
    undecided = any(each.why is Why.NO_ANSWER for each in refused)
    shown = tuple(refused[:MAX_EXAMINED])
    if found:
        return Destinations(found, refused=shown, undecided=undecided)
    why = Why.NO_ANSWER if undecided else next((each.why for each in refused if each.why is not Why.UNUSABLE), None)
    return Destinations(why=why or Why.UNUSABLE, refused=shown, undecided=undecided)


def _uris(record: Record, tag: Tag) -> tuple[str, ...]:
    return record.rua if tag is Tag.RUA else record.ruf


def _examined(uris: Iterable[str], verifying: _Verifying, ours: Ours) -> tuple[tuple[str, ...], list[Refused]]:
    """The addresses that get reports, and the URIs that do not."""
    refused: list[Refused] = []
    beyond: list[Refused] = []
    candidates: dict[str, str] = {}
    for uri in uris:
        address = mail_address(uri)
        if address is None:
            refused.append(Refused(uri, Why.UNUSABLE))
        elif ours.has(address):
            refused.append(Refused(uri, Why.OURS))
        elif len(candidates) < MAX_EXAMINED:
            candidates.setdefault(address, uri)
        elif address not in candidates:
            beyond.append(Refused(uri, Why.TOO_MANY))
    found: dict[str, None] = {}
    # all are verified, so that all questions are under way at once
    results = [(uri, verifying.result(address)) for address, uri in candidates.items()]
    for uri, result in results:
        if isinstance(result, Refused):
            refused.append(result._replace(uri=uri))
            continue
        for each in result:
            if ours.has(each):
                refused.append(Refused(uri, Why.OURS))
            elif len(found) < MAX_ADDRESSES:
                found[each] = None
            elif each not in found:
                beyond.append(Refused(uri, Why.TOO_MANY))
    return tuple(found), [*refused, *beyond]


class _Verifying:
    """RFC 9990 section 4 for the addresses of one record. Each host is asked once."""

    def __init__(self, domain: Domain, tag: Tag, resolve: Resolver, limits: Limits) -> None:
        self._domain, self._tag, self._resolve, self._limits = domain, tag, resolve, limits

    def result(self, address: str) -> tuple[str, ...] | Refused:
        """The addresses that take the place of this one, usually itself; or why it gets no report."""
        host = Domain(address.rpartition("@")[2])
        consent = self._consent(host)
        internal, trouble = self._is_internal(host)
        if internal:
            return (address,)
        if isinstance(consent, Refused):
            return Refused(address, Why.NO_ANSWER, trouble) if trouble else consent
        if trouble:
            return Refused(address, Why.NO_ANSWER, trouble)
        if not consent:
            return Refused(address, Why.UNAUTHORIZED)
        redirected = [each for text in consent if (each := tags(text).get(self._tag)) is not None]
        if not redirected:
            return (address,)
        # the tag alone, because a record without rua is read in another way
        uris = [uri for value in redirected for uri in _written(value, self._tag)]
        if any((other := host_of(uri)) and other != host for uri in uris):
            return Refused(address, Why.ELSEWHERE)
        found = [each for uri in uris if (each := mail_address(uri))]
        return tuple(dict.fromkeys(found)) or Refused(address, Why.UNUSABLE)

    def _consent(self, host: Domain) -> list[str] | Refused:
        """Steps 2 to 7: the records by which a host agrees."""
        try:
            name = Domain(f"{self._domain}._report._dmarc.{host}")
        except BadDomain:
            return Refused("", Why.TOO_LONG)
        try:
            answer = self._resolve(name, "TXT")
        except DnsLimit as limit:
            return Refused("", Why.UNAUTHORIZED, str(limit))
        except DnsTempError as trouble:
            return Refused("", Why.NO_ANSWER, str(trouble))
        return [text for text in answer.records if len(text) <= self._limits.record_octets and is_record(text)]

    def _is_internal(self, host: Domain) -> tuple[bool, str]:
        """Do the host and the domain have the same organizational domain? Or else the trouble with DNS.

        As for alignment (RFC 9989 section 11.8), names with a public suffix between them never do: a registry without
        psd=y would let anybody below it have reports sent to all others.
        """
        domain = self._domain
        if host == domain:
            return True, ""
        # names below different top-level domains are in different organizations
        if host.labels[-1] != domain.labels[-1]:
            return False, ""
        own = try_walk(domain, self._resolve, self._limits)
        if own.trouble:
            certain = between(domain, host, domain.common(host)) is not None
            return False, "" if certain else own.trouble
        if not host.is_within(own.org_domain):
            return False, ""
        if between(domain, host, own.org_domain, declared=own.declared) is not None:
            return False, ""
        other = try_walk(host, self._resolve, self._limits)
        return not other.trouble and own.org_domain == other.org_domain, other.trouble


def _written(value: str, tag: Tag) -> tuple[str, ...]:
    """The URIs in the value of a tag."""
    found = Record.parse(f"v=DMARC1; {tag}={value}")
    return _uris(found, tag) if found else ()
