"""SPF as a tree: what each term of a record asks DNS, and what it costs. RFC 7208."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import NamedTuple

from ..address import Address
from ..domain import Domain
from ..finding import Severity
from ..limits import Limits
from ..resolver import Answer, DnsTempError, Resolver
from ..result import Result
from ..spf import Fault, checkable
from ..spf.evaluation import NOWHERE, Client, Evaluation, Follow, Step, exchanges
from ..spf.record import BadRecord, Directive, is_record, parse
from ..spf.record import Record as Parsed
from . import fix
from .fix import Fixed, fixed
from .problem import Change, Problem, error, note, warning

MAX_FOLLOWED = 60  # terms of a whole tree that are looked up; receivers look up ten
MAX_TERMS = 200  # of one record that are examined
_FEW = 5  # of a kind that are listed
_LONG = 450  # octets; a whole response should fit into 512 (section 3.4)
_WIDE = (8, 16)  # prefix lengths, IPv4 and IPv6; most of a wider network belongs to others
_NEARLY = re.compile(r"[^\w]*(?:v\s*[=:]\s*spf|(?:v\s*)?spf\s*1(?![0-9.]))", re.IGNORECASE | re.ASCII)
_MODIFIERS = ("redirect", "exp")
_ASKING = ("include", "a", "mx", "ptr", "exists", "redirect")
_ALL = re.compile(r"[+?~-]?all", re.IGNORECASE)
_KINDS = ("A", "AAAA")
_UNKNOWN = (Fault.NO_ANSWER, Fault.LIMIT)
_FIXED = {"d", "o"}  # macro letters that do not depend on the message
_NOT_CHECKED = "not a name that SPF is checked for"  # nothing is looked up for it either (section 4.3)
_CLIENTS = (IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"))  # one of each family
_FIRST = {
    "mx": 'Publish "v=spf1 mx ~all", with any other hosts that send listed before ~all. If the domain sends no mail,'
    ' publish "v=spf1 -all".',
    "implicit": 'Publish "v=spf1 a ~all", with any other hosts that send listed before ~all. If the domain sends no'
    ' mail, publish "v=spf1 -all".',
    "none": 'If the domain sends no mail, publish "v=spf1 -all". If it does, publish a record such as "v=spf1'
    ' ip4:ADDRESS ~all" with the addresses that send.',
}
_BEGIN = 'Begin the record with "v=spf1" and a space, with nothing before it.'
_END = "End the record with ~all or -all."
_EVERYONE = "for every client"
_SPLIT = "Move parts of it to records of their own, and include those."
_SLIPS = "Correct the term (RFC 7208 section 5) or remove it: one such term makes the whole record invalid."
_Network = IPv4Network | IPv6Network
_EVERYWHERE: tuple[_Network, ...] = (ip_network("0.0.0.0/0"), ip_network("2000::/3"))  # where clients are
_NEARLY_ALL = 0.75  # of these addresses


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a record, ``text`` as it stands there.

    ``mechanism`` is in lower case, or ``redirect`` or ``exp``; ``result`` is the result if it matches. ``target`` is
    the name that it looks up, empty if there is none or if it depends on the message. ``found`` has addresses or hosts.
    ``asks`` counts the terms that ask DNS, this one and all below it; ``void_ipv4`` and ``void_ipv6`` count those of
    them without an answer for a client with such an address (section 4.6.4). ``reached`` is False after ``all``.
    ``circular``: it names a record that contains it, directly or not.
    ``error`` makes the whole result permerror; ``trouble`` is why something is unknown.
    """

    text: str
    mechanism: str = ""
    result: str = ""
    target: str = ""
    found: tuple[str, ...] = ()
    asks: int = 0
    void_ipv4: int = 0
    void_ipv6: int = 0
    reached: bool = True
    circular: bool = False
    error: str = ""
    trouble: str = ""
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a domain, or its records if there are several (``texts``); its terms and their sums."""

    domain: str
    texts: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()
    asks: int = 0
    void_ipv4: int = 0
    void_ipv6: int = 0
    error: str = ""
    trouble: str = ""
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Spf:
    """``otherwise`` is the result for an IPv4 client that no term names, ``otherwise_ipv6`` for an IPv6 client; empty
    if it depends on the message. ``why`` is the reason if one of them is permerror or temperror.

    ``malformed`` has TXT records that only look like SPF. ``authentic``: DNSSEC proves the domain's record.
    """

    record: Record
    otherwise: str = ""
    otherwise_ipv6: str = ""
    why: str = ""
    malformed: tuple[str, ...] = ()
    authentic: bool = False

    @property
    def sends_nothing(self) -> bool:
        """Does the domain say that it sends no mail at all?"""
        first = next(iter(self.record.terms), None)
        return bool(first and first.mechanism == "all" and first.result == Result.FAIL)


def look(domain: Domain, resolve: Resolver, limits: Limits) -> Spf:
    """The record of a domain, and all that it looks up."""
    malformed: tuple[str, ...] = ()
    authentic = False
    with suppress(DnsTempError):
        answer = resolve(domain, "TXT")
        malformed = tuple(text for text in answer.records if not is_record(text) and _is_nearly(text))
        authentic = answer.authentic
    record = _record(domain, _seen(domain, resolve, limits))
    (ipv4, why), (ipv6, why_ipv6) = (_otherwise(domain, client, resolve, limits) for client in _CLIENTS)
    return Spf(record, ipv4, ipv6, why or why_ipv6, malformed, authentic)


def _is_nearly(text: str) -> bool:
    """Was this meant to be an SPF record? Its first word may be wrong or missing."""
    if _NEARLY.match(text):
        return True
    words = text.split(" ")
    if not _ALL.fullmatch(words[-1]) or len(words) < 2:
        return False
    try:
        parse(f"v=spf1 {text}")
    except BadRecord:
        return False
    return True


def _seen(domain: Domain, resolve: Resolver, limits: Limits) -> Step | None:
    """The domain, with every term of its record and of those that it leads to. ``MAX_FOLLOWED`` terms are looked up."""
    limits = replace(limits, spf_terms=MAX_FOLLOWED, spf_void_lookups=MAX_FOLLOWED)
    nobody = _Nobody.like(_CLIENTS[0])
    return Evaluation(nobody, "postmaster", domain, domain, resolve, limits, follow=Follow.EVERY).found().seen


def _record(domain: str, step: Step | None) -> Record:
    """The record of a domain, from the step that leads to it."""
    if not step or checkable(domain) is None:
        return Record(domain, error=_NOT_CHECKED, fault=Fault.NO_DOMAIN)
    if step.fault in _UNKNOWN:
        return Record(domain, trouble=step.problem)
    texts = tuple(filter(is_record, step.answers.get("TXT", ())))
    if not texts:
        return Record(domain, error="no SPF record", fault=Fault.NO_RECORD)
    if step.fault is Fault.RECORD_SIZE:
        # too long to be shown
        return Record(domain, error=step.problem, fault=step.fault)
    if step.fault:
        read = _unread(texts[0]) if step.fault is Fault.SYNTAX else ()
        return Record(domain, texts, tuple(read), error=step.problem, fault=step.fault)
    terms = tuple(_terms(parse(texts[0]), step.terms))
    asks, void_ipv4, void_ipv6 = (
        sum(getattr(term, name) for term in terms) for name in ("asks", "void_ipv4", "void_ipv6")
    )
    return Record(domain, texts, terms, asks, void_ipv4, void_ipv6)


def _terms(parsed: Parsed, steps: Sequence[Step]) -> Iterator[Term]:
    """The terms of a record as they stand there, with what the evaluation found at each of the ``steps``."""
    directives = {directive.text: directive for directive in parsed.directives()}
    looked_at = iter([step for step in steps if step.directive])
    redirect = next((step for step in steps if not step.directive), None)
    for text in parsed.terms[:MAX_TERMS]:
        if directive := directives.get(text):
            step = next(looked_at, None)
            term = Term(text, directive.mechanism, str(directive.result), reached=step is not None)
        else:
            name = text.partition("=")[0].lower()
            # a modifier may have the name of a mechanism
            name = name if name in _MODIFIERS else ""
            step = redirect if name == "redirect" else None
            term = Term(text, name, reached=name != "redirect" or step is not None)
        yield _found(term, step) if step and term.mechanism in _ASKING else term


def _found(term: Term, step: Step) -> Term:
    """A term that asks DNS, with what it found."""
    term = replace(term, asks=1, target=step.target)
    if step.is_circular:
        return replace(term, circular=True, error="leads back to its own record, without end")
    if step.fault is Fault.TERMS:
        return replace(term, trouble=f"not asked: there are more than {MAX_FOLLOWED} such terms")
    if term.mechanism in ("include", "redirect") and step.target:
        record = _record(checkable(step.target) or step.target, step)
        return replace(
            term,
            asks=1 + record.asks,
            void_ipv4=record.void_ipv4,
            void_ipv6=record.void_ipv6,
            record=record,
            error=record.error,
            trouble=record.trouble,
        )
    if step.fault in _UNKNOWN:
        return replace(term, trouble=step.problem)
    if step.fault:
        return replace(term, error=step.problem)
    if term.mechanism == "mx":
        found = exchanges(step.answers.get("MX", ()))
    else:
        found = [each for rdtype in _KINDS for each in sorted(step.answers.get(rdtype, ()), key=ip_address)]
    # a term is void once, whatever the number of its void questions; exists asks for type A only
    for_ipv6 = {"A"} if term.mechanism == "exists" else {"AAAA", "MX"}
    void_ipv4, void_ipv6 = (int(not step.void.isdisjoint(each)) for each in ({"A", "MX"}, for_ipv6))
    return replace(term, found=tuple(found), void_ipv4=void_ipv4, void_ipv6=void_ipv6)


def _unread(text: str) -> Iterator[Term]:
    """The terms of a record that cannot be parsed; the wrong ones have an error."""
    for term in text.split(" ")[1 : MAX_TERMS + 1]:
        if term:
            try:
                parse(f"v=spf1 {term}")
                yield Term(term)
            except BadRecord:
                yield Term(term, error=_meant(term))


def _meant(term: str) -> str:
    """The mistake in a term, as far as it can be guessed."""
    found = re.match(r"[+?~-]?([^:=/]*)([:=]?)(.*)", term, re.DOTALL)
    name, mark, rest = found.groups() if found else ("", "", "")
    name = name.lower()
    if name in fix.SPF_NAMES:
        is_modifier = name in _MODIFIERS
        if mark and rest and (mark == "=") is not is_modifier:
            return f"{name} is written with {'=' if is_modifier else ':'}"
        if not rest and name != "all":
            return f"{name} needs a value"
        meant = fix.spf_terms(f"v=spf1 {term}")
        return f"not a valid value for {name}" + (f" (probably {' '.join(meant[0])})" if meant and meant[0] else "")
    if not term.isascii():
        return "it contains a character that is not ASCII"
    meant = fix.spf_terms(f"v=spf1 {term}")
    other = re.sub(r"\A[+?~-]", "", meant[0][0]).partition(":")[0].partition("=")[0] if meant and meant[0] else ""
    return f"unknown mechanism (probably {other})" if other else "unknown mechanism or modifier"


class _DependsError(Exception):
    """The name of a required record depends on the message."""


class _Nobody(Client):
    """A client that is in no network and has no names, so that every host of an mx is asked for."""

    __slots__ = ()

    @classmethod
    def like(cls, address: Address) -> _Nobody:
        """Such a client with an address of this family."""
        of = Client.of(address)
        return cls(of.rdtype, of.number, of.letters, reverse="")

    def is_within(self, addresses: Iterable[str], prefix4: int = 32, prefix6: int = 128) -> bool:
        del addresses, prefix4, prefix6
        return False

    def knows(self, letters: frozenset[str]) -> bool:
        """Only %{d} and %{o}: DNS has no names that a macro makes from a message of such a client."""
        return letters <= _FIXED


class _Anyone(_Nobody):
    """A client that is in no network except the one of all addresses."""

    __slots__ = ()

    def is_within(self, addresses: Iterable[str], prefix4: int = 32, prefix6: int = 128) -> bool:
        return (prefix4 if self.rdtype == "A" else prefix6) == 0 and any(addresses)


def _otherwise(domain: Domain, client: Address, resolve: Resolver, limits: Limits) -> tuple[str, str]:
    """The result for a client that no term matches, and the reason if it is an error."""

    def answer(name: str, rdtype: str) -> Answer:
        if name != NOWHERE:
            return resolve(name, rdtype)
        if rdtype == "TXT":
            raise _DependsError
        return Answer(exists=False)

    try:
        # the networks of such a client are described above, so the whole record is read
        found = Evaluation(_Anyone.like(client), "postmaster", domain, domain, answer, limits, explain=True).found()
    except _DependsError:
        return "", ""
    return found.word, found.problem


def terms(record: Record, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Term]]:
    """All terms of a tree, each with the terms that lead to it."""
    for term in record.terms:
        yield way, term
        if term.record:
            yield from terms(term.record, (*way, term.text))


def problems(found: Spf, domain: Domain, resolve: Resolver, limits: Limits, *, mx: str) -> list[Problem]:
    """The problems of the record, and what to publish instead. ``mx`` is the kind of ``mx.Mx``."""
    wrong = list(_problems(_Seen(found, domain, limits, mx)))
    if not (texts := (*found.record.texts, *found.malformed)):
        return fix.doubled("spf-doubled", "SPF record", "spf-none", wrong, domain, domain, resolve, is_record)
    if not wrong or not (better := _fixed(found, limits)):
        return wrong

    def again(answering: Resolver) -> tuple[list[Problem], Fixed | None]:
        seen = look(domain, answering, limits)
        return list(_problems(_Seen(seen, domain, limits, mx))), _fixed(seen, limits)

    return fixed(wrong, Change(str(domain), "TXT", texts, (better.text,)), resolve, again, better.said)


def _fixed(found: Spf, limits: Limits) -> Fixed | None:
    """One corrected record to replace all others; None if it cannot be guessed."""
    record = found.record
    texts = (*record.texts, *found.malformed)
    terms: list[str] = []
    said: list[str] = []
    for text in texts:
        if (one := fix.spf_terms(text)) is None:
            return None
        if not is_record(text):
            said.append(_BEGIN)
        terms += one[0]
        said += one[1]
    if len(texts) > 1:
        said.append("Merge them into one record.")
    known = {} if record.error or len(texts) > 1 else {term.text: term for term in record.terms}
    kept: list[str] = []
    for text in dict.fromkeys(terms):
        new = _cheaper(known[text], dual=record.void_ipv6 <= limits.spf_void_lookups) if text in known else [text]
        if new != [text]:
            said.append(f"Replace {text} with {' '.join(new)}." if new else f"Remove {text}.")
        kept += new
    if all(map(_ALL.fullmatch, kept)) and not all(map(_ALL.fullmatch, terms)):
        # without the term, the record would say that the domain sends no mail
        return None
    kept, sentences = _ended(kept, several=len(texts) > 1)
    if len(dict.fromkeys(terms)) < len(terms):
        said.append("Remove duplicates.")
    return Fixed(" ".join(["v=spf1", *dict.fromkeys(kept)]), (*dict.fromkeys([*said, *sentences]),))


def _cheaper(term: Term, *, dual: bool) -> list[str]:
    """A term without the parts that break or burden the record; empty if nothing else is left.

    Unless ``dual``, hosts without an IPv6 address are named by their addresses.
    """
    if term.circular or (term.record and term.record.fault is Fault.NO_RECORD):
        return []
    if not term.asks or term.trouble or term.error or term.record or not term.target:
        return [term.text]
    if term.void_ipv4 and term.void_ipv6 and not term.found:
        return []
    directive = _directive(term)
    if directive and term.mechanism == "a" and term.void_ipv6 and not dual and term.found:
        sign = term.text[0] if term.text[0] in "+?~-" else ""
        length = directive.prefixes[0]
        return [f"{sign}ip4:{address}{f'/{length}' if length < 32 else ''}" for address in term.found]
    return [term.text]


def _ended(terms: list[str], *, several: bool) -> tuple[list[str], list[str]]:
    """The terms with one ``all`` or one redirect at the end, and the steps to it."""
    said: list[str] = []
    ends = [term for term in terms if _ALL.fullmatch(term)]
    others = [term for term in terms if not _ALL.fullmatch(term)]
    redirects = [term for term in others if term.lower().startswith("redirect=")]
    others = [term for term in others if term not in redirects]
    if several:
        others += [f"include:{term.partition('=')[2]}" for term in redirects]
        redirects = []
    if not ends and redirects:
        return [*others, redirects[0]], said
    if ends and redirects:
        said.append(f"Remove {' '.join(redirects)}.")
    signs = {term[0] if term[0] in "~-" else "" for term in ends}
    end = "-all" if signs == {"-"} else "~all"
    if not ends or "" in signs:
        said.append(_END)
    if len(terms) > 1 and terms[0] in ends and not several and others:
        said.append(f"Remove what comes after {terms[0]}, or move {terms[0]} to the end.")
        return [end], said
    if ends and terms[-1] != ends[0]:
        said.append(f"Move {ends[0]} to the end.")
    return [*others, end], said


class _Seen(NamedTuple):
    """What the rules look at. ``mx`` is the kind of ``mx.Mx``."""

    found: Spf
    domain: Domain
    limits: Limits
    mx: str

    @property
    def record(self) -> Record:
        """The domain's own record."""
        return self.found.record

    @property
    def is_usable(self) -> bool:
        """Is there one record, with terms to look at?"""
        record = self.record
        is_one = len(record.texts) == 1 and not record.trouble
        return is_one and (not record.error or bool(record.terms))


_Rule = Callable[[_Seen], Iterable[Problem]]


def _problems(seen: _Seen) -> Iterator[Problem]:
    for rule in _RULES:
        yield from rule(seen)
    for rule in _RECORD_RULES if seen.is_usable else ():
        yield from rule(seen)


def _malformed(seen: _Seen) -> Iterator[Problem]:
    for text in seen.found.malformed:
        merge = " Merge it into the valid record and remove it: there may be only one." if seen.record.texts else ""
        yield error(
            "spf-malformed",
            f'"{text[:60]}" looks like an SPF record but is not one.',
            f"{_BEGIN}{merge}",
            "RFC 7208 section 4.5",
        )


def _unknown(seen: _Seen) -> Iterator[Problem]:
    if seen.record.trouble:
        yield warning("spf-unknown", f"SPF could not be looked up: {seen.record.trouble}.")


def _missing(seen: _Seen) -> Iterator[Problem]:
    if seen.record.fault is Fault.NO_RECORD:
        yield warning(
            "spf-none",
            "There is no SPF record: nothing says which servers may send for the domain.",
            "" if seen.found.malformed else _FIRST.get(seen.mx, _FIRST["none"]),
        )


def _one_label(seen: _Seen) -> Iterator[Problem]:
    if seen.record.fault is Fault.NO_DOMAIN:
        what = f"{seen.domain} has only one label, so SPF is not checked: the result is none."
        yield note("spf-one-label", what, "", "RFC 7208 section 4.3")


def _several(seen: _Seen) -> Iterator[Problem]:
    if len(seen.record.texts) > 1:
        what = f"There are {len(seen.record.texts)} SPF records: the result is permerror for every client."
        yield error("spf-several", what, "Merge them into one record.", "RFC 7208 section 4.5")


def _too_long(seen: _Seen) -> Iterator[Problem]:
    if seen.record.fault in (Fault.RECORD_SIZE, Fault.SYNTAX) and not seen.record.terms:
        what = f"The SPF record cannot be used: {seen.record.error}."
        yield error("spf-too-long", what, _SPLIT, "RFC 7208 section 3.4")


def _faults(seen: _Seen) -> Iterator[Problem]:
    """Whatever makes the result permerror or unknown, anywhere in the tree."""
    record = seen.record
    if record.error:
        yield from _syntax(record, f"The SPF record of {seen.domain}", _EVERYONE, "")
    for way, term in terms(record):
        place, whole = f"SPF: {' > '.join([*way, term.text])}", (*way, term.text)
        if term.record and term.record.error and term.record.terms:
            do = f"Ask the owner of {term.target} to fix it, or remove {whole[0]}."
            yield from _syntax(term.record, f"{place}: the record there", _whom(record, whole), do)
        elif term.error and (term.mechanism or term.record):
            what = f"{place}: {term.error}. The result is permerror {_whom(record, whole)}."
            yield error("spf-permerror", what, _instead_of(term, whole[0]), _section(term))
        elif term.trouble:
            yield warning("spf-unknown", f"{place}: {term.trouble}.")


def _instead_of(term: Term, top: str) -> str:
    """What to do about a term with an error; ``top`` is the term of the domain's own record that leads to it."""
    if term.record:
        owner = f", or ask the owner of {term.target} to fix that" if term.target else ""
        return f"Correct the name in {top} if it is wrong, or remove the term{owner}."
    return "Remove the term." if term.circular else "List the hosts that send with ip4 and ip6."


def _section(term: Term) -> str:
    if term.record:
        return "RFC 7208 section 5.2" if term.mechanism == "include" else "RFC 7208 section 6.1"
    return "RFC 7208 section 4.6.4"


def _whom(record: Record, way: Sequence[str]) -> str:
    """Which clients reach the last of these terms, each in the record of the one before."""
    for text in way:
        place = [term.text for term in record.terms].index(text)
        term = record.terms[place]
        # redirect comes last, wherever it is written
        before = record.terms if term.mechanism == "redirect" else record.terms[:place]
        if any(each.result for each in before):
            return f"for every client that no term before {text} matches"
        if not term.record:
            break
        record = term.record
    return _EVERYONE


def _syntax(record: Record, whose: str, whom: str, do: str) -> Iterator[Problem]:
    rfc = "RFC 7208 section 4.6"
    wrong = [term for term in record.terms if term.error]
    for term in wrong[:_FEW]:
        what = f'{whose} has "{term.text[:80]}": {term.error}. The result is permerror {whom}.'
        yield error("spf-syntax", what, do or _SLIPS, rfc)
    if not wrong:
        yield error("spf-syntax", f"{whose}: {record.error}. The result is permerror {whom}.", do or _SLIPS, rfc)


def _lookups(seen: _Seen) -> Iterator[Problem]:
    """Terms that ask DNS, near and beyond the limit."""
    record, most = seen.record, seen.limits.spf_terms
    if record.asks > most:
        dearest = sorted((term for term in record.terms if term.asks), key=lambda term: -term.asks)[:3]
        costs = ", ".join(f"{term.text} costs {term.asks}" for term in dearest)
        yield error(
            "spf-terms",
            f"SPF has {record.asks} terms that ask DNS, and receivers stop at {most}: permerror for every client that"
            f" no earlier term matches. {costs}.",
            "Remove what no longer sends for the domain, or let it send for a subdomain with an SPF record of its own.",
            "RFC 7208 section 4.6.4",
        )
    elif record.asks >= most - 1:
        yield note("spf-terms-near", f"SPF has {record.asks} terms that ask DNS; the limit is {most}.")


def _void(seen: _Seen) -> Iterator[Problem]:
    """Terms that find nothing in DNS (void lookups)."""
    record, most = seen.record, seen.limits.spf_void_lookups
    every = [(way, term) for way, term in terms(record) if not term.record]
    empty = [(way, term) for way, term in every if term.void_ipv4 and term.void_ipv6 and not term.found]
    void, ways = _few(sorted({term.target for _, term in empty})), [way for way, _ in empty]
    without_ipv6 = [way for way, term in every if term.void_ipv6]
    rfc = "RFC 7208 section 4.6.4"
    if record.void_ipv4 > most:
        what = f"{record.void_ipv4} terms of SPF find nothing in DNS, and receivers allow {most}: permerror."
        nothing = f" These names have no records: {void}." if void else ""
        yield error("spf-void", f"{what}{nothing}", _by_owners("Remove them.", ways), rfc)
    elif record.void_ipv6 > most:
        what = f"For a client with an IPv6 address, {record.void_ipv6} terms of SPF find nothing in DNS, and receivers"
        do = _by_owners("Use ip4 for hosts that have no IPv6 address.", without_ipv6)
        yield warning("spf-void-ipv6", f"{what} allow {most}: permerror.", do, rfc)
    elif void:
        do = _by_owners("Remove these terms.", ways)
        yield warning("spf-void-term", f"SPF refers to names without records in DNS: {void}.", do, rfc)


def _by_owners(do: str, ways: Iterable[tuple[str, ...]]) -> str:
    """The advice, and who can follow it: a term below another one belongs to that domain."""
    below = [*dict.fromkeys(way[0] for way in ways if way)]
    if not below:
        return do
    return f"{do} In the record that {_few(below)} leads to, only its owner can do that; or remove that term."


def _few(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _FEW} more" if len(texts) > _FEW else ""
    return ", ".join(texts[:_FEW]) + more


def _open(seen: _Seen) -> Iterator[Problem]:
    """A record by which any client passes, or nearly any."""
    way, first = _lets_everybody(seen.found)
    if way:
        own = first and all(map(_ALL.fullmatch, first))
        do = f"Remove {_few(first)}, and list the servers that send."
        if own or not first:
            do = "End the record with -all or ~all, and list the servers that send."
        yield error("spf-open", f"SPF lets anybody send for the domain: {way}.", do)


def _neutral(seen: _Seen) -> Iterator[Problem]:
    if seen.found.otherwise != Result.NEUTRAL or _lets_everybody(seen.found)[0]:
        return
    ended = any(term.mechanism == "all" for _, term in terms(seen.record))
    ours = not any(term.mechanism == "redirect" and term.reached for term in seen.record.terms)
    yield warning(
        "spf-neutral",
        f"SPF {'gives neutral' if ended else 'has no all'}: it says nothing about any other server.",
        _END if ours else "Let the record that redirect= names end with ~all or -all.",
        "RFC 7208 section 4.7",
    )


def _wide(seen: _Seen) -> Iterator[Problem]:
    """Networks most of which belong to others, unless any client passes anyway."""
    if _lets_everybody(seen.found)[0]:
        return
    for above, term in _passing(seen.record):
        if any(0 < network.prefixlen < _WIDE[network.version == 6] for network in _networks(term)):
            do = _by_owners("List the servers.", [above])
            yield warning("spf-wide", f"SPF lets a very large network send: {term.text}.", do)


def _passing(record: Record, way: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Term]]:
    """The terms by which a client can pass, each with the terms that lead to it."""
    for term in record.terms:
        if term.reached and term.result in (Result.PASS, ""):
            yield way, term
            if term.record:
                yield from _passing(term.record, (*way, term.text))


def _lets_everybody(found: Spf) -> tuple[str, list[str]]:
    """The term by which any client passes, or the widest of those by which nearly all addresses do; or empty.

    Also returns the terms of the record itself that lead there.
    """
    networks: list[tuple[_Network, str]] = []
    for way, term in _passing(found.record):
        place = " > ".join([*way, term.text])
        # the result of the lookup does not depend on the client
        if term.mechanism == "all" or (term.mechanism == "exists" and term.found):
            return place, [place.partition(" > ")[0]]
        directive = _directive(term)
        if directive and term.mechanism == "mx" and term.found and 0 in directive.prefixes:
            return place, [place.partition(" > ")[0]]
        networks += ((network, place) for network in _networks(term))
    networks.sort(key=lambda each: each[0].prefixlen)
    for everywhere in _EVERYWHERE:
        inside = [each for each in networks if each[0].version == everywhere.version]
        if _is_most([network for network, _ in inside], everywhere):
            alone = _is_most([inside[0][0]], everywhere)
            places = [inside[0][1]] if alone else [*dict.fromkeys(place for _, place in inside)]
            return _few(places), [*dict.fromkeys(place.partition(" > ")[0] for place in places)]
    by_a_later_term = Result.PASS in (found.otherwise, found.otherwise_ipv6)
    return (f"after its first {MAX_TERMS} terms", []) if by_a_later_term else ("", [])


def _is_most(networks: Sequence[_Network], everywhere: _Network) -> bool:
    inside = 0
    for network in collapse_addresses(networks):  # type: ignore[type-var]
        if network.overlaps(everywhere):
            inside += min(network.num_addresses, everywhere.num_addresses)
    return inside >= _NEARLY_ALL * everywhere.num_addresses


def _networks(term: Term) -> list[_Network]:
    """The networks that an ip4, ip6 or a term matches."""
    directive = _directive(term)
    if not directive or term.mechanism == "mx":
        return []
    addresses = map(ip_address, term.found if term.mechanism == "a" else [directive.argument])
    prefixes = directive.prefixes
    return [ip_network((each, prefixes[each.version == 6]), strict=False) for each in addresses]


def _directive(term: Term) -> Directive | None:
    """A term with a network, parsed."""
    if term.mechanism not in ("ip4", "ip6", "a", "mx"):
        return None
    return next(parse(f"v=spf1 {term.text}").directives())


def _permerror_for_others(seen: _Seen) -> Iterator[Problem]:
    """A permerror that no other rule has explained."""
    found = seen.found
    if Result.PERMERROR not in (found.otherwise, found.otherwise_ipv6):
        return
    explained = (each for rule in (_faults, _lookups, _void) for each in rule(seen))
    if not any(each.severity is Severity.ERROR or each.code == "spf-void-ipv6" for each in explained):
        whom = "any other client" if found.otherwise == Result.PERMERROR else "any other client with IPv6"
        yield warning(
            "spf-otherwise",
            f"SPF gives permerror to {whom}: {found.why}.",
            "Use fewer terms with %{i} or the like: such a term finds nothing in DNS for the clients that it is not"
            " about.",
            "RFC 7208 section 4.6.4",
        )


def _after_all(seen: _Seen) -> Iterator[Problem]:
    if behind := [each.text for each in seen.record.terms if not each.reached and each.mechanism != "redirect"]:
        what = f"SPF: receivers never look at {_few(behind)}, since all comes before."
        yield warning("spf-unreached", what, "Move all to the end.", "RFC 7208 section 5.1")


def _redirect_with_all(seen: _Seen) -> Iterator[Problem]:
    if beside := [each.text for each in seen.record.terms if not each.reached and each.mechanism == "redirect"]:
        what = f"SPF: receivers ignore {_few(beside)}, since the record has all."
        yield warning("spf-unreached", what, "Remove it.", "RFC 7208 section 6.1")


def _modifiers(seen: _Seen) -> Iterator[Problem]:
    unknown = [] if seen.record.error else [term.text for term in seen.record.terms if not term.mechanism]
    if mistaken := [text for text in unknown if text.partition("=")[0].lower() in fix.SPF_NAMES]:
        what = f"SPF: {_few(mistaken)} has no effect, since a mechanism is written with a colon."
        yield warning("spf-modifier", what, "Replace the equals sign with a colon.", "RFC 7208 section 5")
    elif unknown:
        what = f"SPF: {_few(unknown)} has no effect: RFC 7208 has no such modifier."
        yield note("spf-modifier", what, "", "RFC 7208 section 6")


def _pointers(seen: _Seen) -> Iterator[Problem]:
    if pointers := [(term.text, way) for way, term in terms(seen.record) if term.mechanism == "ptr"]:
        yield warning(
            "spf-ptr",
            f"SPF uses {pointers[0][0]}, which is slow, unreliable, and should not be used.",
            _by_owners("List the servers with ip4, ip6, a or mx.", [way for _, way in pointers]),
            "RFC 7208 section 5.5",
        )


def _twice(seen: _Seen) -> Iterator[Problem]:
    texts = [term.text for term in seen.record.terms]
    if twice := [text for text in dict.fromkeys(texts) if texts.count(text) > 1]:
        yield note("spf-twice", f"SPF has {_few(twice)} more than once.", "Keep one of each.")


def _long(seen: _Seen) -> Iterator[Problem]:
    if (length := len(seen.record.texts[0])) > _LONG:
        what = f"The SPF record has {length} octets, so a DNS response with it may not fit into 512."
        yield note("spf-long", what, "", "RFC 7208 section 3.4")


_RULES: list[_Rule] = [_malformed, _unknown, _missing, _one_label, _several, _too_long]
_RECORD_RULES: list[_Rule] = [
    _faults,
    _lookups,
    _void,
    _open,
    _neutral,
    _wide,
    _permerror_for_others,
    _after_all,
    _redirect_with_all,
    _modifiers,
    _pointers,
    _twice,
    _long,
]
"""The rules for a record that has terms."""
