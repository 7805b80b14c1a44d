"""The condition of a rule: a test on the facts and the evidence of one message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any, TypeAlias

from ..address import Network
from ..config_key import Key
from ..dmarc import Disposition, Dmarc
from ..evidence import Case, Evidence
from ..result import Result
from ..sender_domain import Receives
from .mailbox import spellings
from .sets import NULL_SENDER, Addresses, Domains, Networks

Values: TypeAlias = Domains | Addresses | Networks | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """One key of a condition. It holds if the message's value for the key is among ``values``."""

    key: str
    values: Values

    def holds(self, case: Case, every: bool, otherwise: bool | None = None) -> bool:
        """Does the condition hold?

        A message can have several recipients and several readings of its author. With ``every`` the condition must hold
        for every one of them, else for any.
        ``otherwise`` is the result if a missing DNS answer leaves open whether something is authenticated; None: it
        counts as not authenticated. It is also the result if the client is not known and the rule has to decide.
        """
        if otherwise is not None and self.key in _UNKNOWN and _UNKNOWN[self.key](case, self.values):
            return otherwise
        # the client will not be known later either, so a rule that rejects need not wait for it
        if case.connection.untraced and self.key in _OF_CLIENT and otherwise is not None and otherwise is not every:
            return otherwise
        return _HOLDS[self.key](case, self.values, every)


@dataclass(frozen=True, slots=True)
class All:
    """Holds if every one of its conditions holds."""

    conditions: tuple[Condition, ...]

    def holds(self, case: Case, every: bool, otherwise: bool | None = None) -> bool:
        """See :meth:`Match.holds`."""
        return all(each.holds(case, every, otherwise) for each in self.conditions)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds if at least one of its conditions holds."""

    conditions: tuple[Condition, ...]

    def holds(self, case: Case, every: bool, otherwise: bool | None = None) -> bool:
        """See :meth:`Match.holds`."""
        return any(each.holds(case, every, otherwise) for each in self.conditions)


@dataclass(frozen=True, slots=True)
class Not:
    """Holds if its condition does not; it swaps "every" and "any" (De Morgan)."""

    condition: Condition

    def holds(self, case: Case, every: bool, otherwise: bool | None = None) -> bool:
        """See :meth:`Match.holds`."""
        return not self.condition.holds(case, not every, None if otherwise is None else not otherwise)


Condition: TypeAlias = Match | All | AnyOf | Not


def matches(condition: Condition) -> Iterator[Match]:
    """All keys of a condition, however deeply nested."""
    match condition:
        case Match():
            yield condition
        case Not():
            yield from matches(condition.condition)
        case _:
            for each in condition.conditions:
                yield from matches(each)


def is_bound(condition: Condition) -> bool:
    """Does the condition depend on something authenticated, which a sender cannot simply claim?

    This is a client's network, its confirmed name, a domain that SPF or DKIM authenticated, or a sealer; or that the
    message does not fail DMARC, or fails under p=none. The word of an author, a sender or a client is not enough, nor
    is a large network or a top-level domain, which covers nearly everyone.
    """
    match condition:
        case All(conditions):
            return any(map(is_bound, conditions))
        case AnyOf(conditions):
            return bool(conditions) and all(map(is_bound, conditions))
        case Match("client", Networks(networks)):
            return not any(map(is_too_wide, networks))
        case Match("client_name" | "spf_pass" | "dkim_pass" | "sealer", Domains(patterns)):
            return not any(map(is_too_wide, patterns))
        case Match("dmarc", values):
            return set(values) <= {Result.PASS, Result.NONE}  # type: ignore[arg-type]
        case Match("policy", values):
            return values == (Disposition.NONE,)
    return False


def is_too_wide(pattern: str | Network) -> bool:
    """Is this a top-level domain, or a network so large that it covers nearly everyone?"""
    if isinstance(pattern, str):
        return "." not in pattern.removeprefix(".")
    return pattern.prefixlen < (8 if pattern.version == 4 else 16)


def never_holds(condition: Condition) -> bool:
    """Does the condition contradict itself, for a message with one author? False if the test would take too long."""
    try:
        return not any(map(_can_hold, _alternatives(condition, True)))
    except OverflowError:
        return False


_Literals: TypeAlias = frozenset[tuple[Match, bool]]
_MAX_ALTERNATIVES = 500
_MAX_SAMPLES = 500  # a list may have many thousands of domains


def _alternatives(condition: Condition, wanted: bool) -> set[_Literals]:
    """The alternatives (disjunctive normal form): sets of keys that must hold or not hold, any set being enough.

    Raises OverflowError if there are too many.
    """
    match condition:
        case Match():
            return {frozenset({(condition, wanted)})}
        case Not(inner):
            return _alternatives(inner, not wanted)
        case All(conditions) | AnyOf(conditions):
            parts = [_alternatives(each, wanted) for each in conditions]
    if isinstance(condition, AnyOf) is wanted:
        found = set().union(*parts)
    else:
        found = {frozenset()}
        for part in parts:
            if len(found) * len(part) > _MAX_ALTERNATIVES:
                raise OverflowError
            found = {before | more for before in found for more in part}
    if len(found) > _MAX_ALTERNATIVES:
        raise OverflowError
    return found


# a message has a value for these keys only if that check passed
_ONLY_WITH_PASS = {"client_name": "iprev", "spf_pass": "spf", "dkim_pass": "dkim", "sealer": "arc"}
_ERRORS = frozenset({Result.TEMPERROR, Result.PERMERROR})
_SPF = _ERRORS | {Result.NONE, Result.PASS, Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL}
# the possible values of each result; None if there is no policy, or if the sender domain was not looked up
_WORDS: dict[str, frozenset[Any]] = {
    "iprev": _ERRORS | {Result.PASS, Result.FAIL, Result.NONE},
    "spf": _SPF,
    "spf_helo": _SPF,
    "dkim": frozenset(Result) - {Result.SOFTFAIL},
    "arc": frozenset({Result.NONE, Result.PASS, Result.FAIL, Result.TEMPERROR}),
    "dmarc": _ERRORS | {Result.NONE, Result.PASS, Result.FAIL},
    "policy": frozenset({*Disposition, None}),
    "policy_tag": frozenset({"p", "sp", "np", None}),
    "sender_domain": frozenset({*Receives, None}),
}


def _can_hold(literals: _Literals) -> bool:
    """Can a message satisfy all of these?"""
    wanted: dict[str, list[Values]] = {}
    unwanted: dict[str, list[Values]] = {}
    for each, holds in literals:
        (wanted if holds else unwanted).setdefault(each.key, []).append(each.values)
    words = {key: _left(set(each), key, wanted, unwanted) for key, each in _WORDS.items()}
    for key, check in _ONLY_WITH_PASS.items():
        if key in wanted:
            words[check] &= {Result.PASS}
    if Result.PASS not in words["spf"] | words["dkim"]:
        # nothing can align
        words["dmarc"] -= {Result.PASS}
    if "policy" in wanted or "policy_tag" in wanted:
        words["dmarc"] &= {Result.PASS, Result.FAIL}
    if not all(words.values()):
        return False
    for key in ("author", "mail_from", "client", "client_name", "helo", "spf_pass", "sealer"):
        if key in wanted and not _has_witness(wanted[key], unwanted.get(key, [])):
            return False
    # a message may have several domains that DKIM authenticated
    return all(_has_witness([each], unwanted.get("dkim_pass", [])) for each in wanted.get("dkim_pass", []))


def _left(words: set[Any], key: str, wanted: dict[str, list[Values]], unwanted: dict[str, list[Values]]) -> set[Any]:
    """The words that remain possible for a result."""
    for each in wanted.get(key, []):
        words &= set(each)  # type: ignore[arg-type]
    return words.difference(*unwanted.get(key, []))  # type: ignore[arg-type]


def _has_witness(wanted: list[Values], unwanted: list[Values]) -> bool:
    """Is there a value that is in all ``wanted`` and in no ``unwanted`` sets? True if the test would take too long."""
    if any(each in unwanted for each in wanted):
        return False
    candidates: Any = chain.from_iterable(map(_samples, [*wanted, *unwanted]))
    return any(
        number >= _MAX_SAMPLES
        or (all(each in values for values in wanted) and not any(each in values for values in unwanted))
        for number, each in enumerate(candidates)
    )


def _samples(values: Any) -> Iterator[Any]:
    """Sample values. A combination of such sets is empty if none of their samples is in it."""
    if isinstance(values, Networks):
        for network in values.networks:
            yield network[0]
            if int(network[-1]) + 1 < 2**network.max_prefixlen:
                yield network[-1] + 1
    else:
        for pattern in values.patterns:
            name = "" if pattern == NULL_SENDER else pattern.removeprefix(".")
            yield name
            if pattern.startswith("."):
                yield f"x--other.{name}"


def dkim_result(case: Case) -> Result:
    """One word for all signatures of a message: the best result, or ``none`` if there are no signatures."""
    found = {each.result for each in case.evidence.dkim}
    return next((word for word in _BEST_FIRST if word in found), Result.NONE)


_BEST_FIRST = (Result.PASS, Result.TEMPERROR, Result.FAIL, Result.NEUTRAL, Result.POLICY, Result.PERMERROR)


def spf_passes(evidence: Evidence) -> list[str]:
    """The domain that SPF authenticated; empty if it authenticated none."""
    return [evidence.spf.domain] if evidence.spf.result is Result.PASS else []


def dkim_passes(evidence: Evidence) -> list[str]:
    """The domains that DKIM authenticated.

    A signature does not count if its key is being tested (RFC 6376 section 3.6.1), or if l= leaves a part of the body
    unsigned (section 8.2).
    """
    good = [each for each in evidence.dkim if each.result is Result.PASS and not (each.testing or each.partial)]
    return [each.domain for each in good if each.domain]


def _author(case: Case, values: Any, every: bool) -> bool:
    authors = case.evidence.authors
    if authors is None:
        # the author domains are not known: one may be among the values, and one may not
        return not every
    return bool(authors) and (all if every else any)(each in values for each in authors)


def _recipient(case: Case, values: Any, every: bool) -> bool:
    recipients = case.transaction.recipients
    delimiters, special = case.recipient_delimiter, case.owner_request_special

    def fits(recipient: str) -> bool:
        if not recipient:
            # placeholder for the recipients past the limit: one may be among the values, and one may not
            return not every
        return any(each in values for each in spellings(recipient, delimiters, special, every))

    return bool(recipients) and (all if every else any)(map(fits, recipients))


def _dmarc(case: Case, every: bool, fits: Callable[[Dmarc], bool]) -> bool:
    """Does DMARC's result fit, for the message and for each reading of its author?"""
    found = case.evidence.dmarc
    if case.evidence.authors is None:
        return not every
    return (all if every else any)(map(fits, (found, *found.readings)))


def _client_name(case: Case, values: Any, _: bool) -> bool:
    return any(name in values for name in case.evidence.iprev.names)


def _may_have_name(case: Case, values: Any) -> bool:
    """Could one of the client's names be among the values, if DNS had answered?"""
    iprev = case.evidence.iprev
    if iprev.result is Result.TEMPERROR and not iprev.unanswered:
        # not even the names are known
        return True
    return any(name in values for name in iprev.unanswered) and not any(name in values for name in iprev.names)


def _sealer(case: Case, values: Any, _: bool) -> bool:
    arc = case.evidence.arc
    return arc.result is Result.PASS and bool(arc.sealers) and arc.sealers[-1] in values


def _sender_domain(case: Case, values: Any, _: bool) -> bool:
    found = case.evidence.sender_domain
    return found is not None and found.result in values


def _trouble(found: Result, name: str, values: Any) -> bool:
    """Could this domain be authenticated and be among the values, if DNS had answered?"""
    return found is Result.TEMPERROR and (not name or name in values)


_UNKNOWN: dict[str, Callable[[Case, Any], bool]] = {
    "client_name": _may_have_name,
    "spf_pass": lambda case, values: _trouble(case.evidence.spf.result, case.evidence.spf.domain, values),
    "dkim_pass": lambda case, values: (
        any(_trouble(each.result, each.domain or "", values) for each in case.evidence.dkim)
        and not any(each in values for each in dkim_passes(case.evidence))
    ),
    "sealer": lambda case, _: case.evidence.arc.result is Result.TEMPERROR,
}
_OF_CLIENT = {"client", "client_name", "helo", "iprev", "spf", "spf_helo", "spf_pass"}
_HOLDS: dict[str, Callable[[Case, Any, bool], bool]] = {
    "author": _author,
    "mail_from": lambda case, values, _: case.transaction.mail_from_domain in values,
    "recipient": _recipient,
    "client": lambda case, values, _: not case.connection.untraced and case.connection.client_ip in values,
    "client_name": _client_name,
    "helo": lambda case, values, _: bool(case.connection.helo) and case.connection.helo in values,
    "spf_pass": lambda case, values, _: any(each in values for each in spf_passes(case.evidence)),
    "dkim_pass": lambda case, values, _: any(each in values for each in dkim_passes(case.evidence)),
    "sealer": _sealer,
    "iprev": lambda case, values, _: case.evidence.iprev.result in values,
    "spf": lambda case, values, _: case.evidence.spf.result in values,
    "spf_helo": lambda case, values, _: case.evidence.spf_helo.result in values,
    "dkim": lambda case, values, _: dkim_result(case) in values,
    "arc": lambda case, values, _: case.evidence.arc.result in values,
    "dmarc": lambda case, values, every: _dmarc(case, every, lambda found: found.result in values),
    "policy": lambda case, values, every: _dmarc(case, every, lambda found: found.disposition in values),
    "policy_tag": lambda case, values, every: _dmarc(case, every, lambda found: found.tag in values),
    "sender_domain": _sender_domain,
}


class Tag(StrEnum):
    """The tag of a DMARC record that a policy came from."""

    P = "p"
    SP = "sp"
    NP = "np"


_SPF_RESULTS = (
    Result.NONE,
    Result.PASS,
    Result.FAIL,
    Result.SOFTFAIL,
    Result.NEUTRAL,
    Result.TEMPERROR,
    Result.PERMERROR,
)
_DKIM_RESULTS = tuple(word for word in Result if word is not Result.SOFTFAIL)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of a condition, and what their values are. Of each key in a file, a ``Match``, ``All``, ... is made."""

    author: Annotated[Domains, Key("The author domain: the domain in From.")]
    mail_from: Annotated[Domains, Key("The domain of MAIL FROM; `<>` is the null reverse-path. Not authenticated.")]
    recipient: Annotated[
        Addresses,
        Key(
            "A recipient (RCPT TO), with or without its address extension (`recipient_delimiter`). What Postfix does "
            "with the address later is unknown here: virtual aliases, aliases(5), canonical maps, forwarding by the "
            "user.",
        ),
    ]
    client: Annotated[
        Networks,
        Key(
            "The address of the client. For a message from one of `relays`, it is the client that the relay received "
            "it from. If that client is unknown, no rule lets the message in because of `client`, `client_name`, "
            "`helo`, `iprev`, `spf`, `spf_helo` or `spf_pass`, or because of `not` with one of them.",
        ),
    ]
    client_name: Annotated[
        Domains,
        Key(
            "A name of the client that leads back to its address (iprev=pass). If it has several, each of them "
            "counts, not only the one in the header and the log.",
        ),
    ]
    helo: Annotated[Domains, Key("The name in HELO or EHLO. Not authenticated.")]
    spf_pass: Annotated[Domains, Key("The domain of MAIL FROM, or of HELO if the reverse-path is null, if SPF passes.")]
    dkim_pass: Annotated[
        Domains,
        Key(
            "The domain (d=) of a good DKIM signature. Signatures whose key is in testing (t=y), or that do not cover "
            "the end of the body (l=), do not count.",
        ),
    ]
    sealer: Annotated[Domains, Key("The newest sealer (d=) of an ARC chain that passes.")]
    iprev: Annotated[
        tuple[Result, ...],
        Key(
            "The result of iprev.",
            words=(Result.PASS, Result.FAIL, Result.PERMERROR, Result.TEMPERROR),
        ),
    ]
    spf: Annotated[
        tuple[Result, ...],
        Key(
            "The SPF result of MAIL FROM, or of HELO if the reverse-path is null.",
            words=_SPF_RESULTS,
        ),
    ]
    spf_helo: Annotated[tuple[Result, ...], Key("The SPF result of HELO.", words=_SPF_RESULTS)]
    dkim: Annotated[
        tuple[Result, ...],
        Key(
            "The best result of all DKIM signatures; `none` if there are none.",
            words=_DKIM_RESULTS,
        ),
    ]
    arc: Annotated[
        tuple[Result, ...],
        Key(
            "The result of the ARC chain.",
            words=(Result.NONE, Result.PASS, Result.FAIL, Result.TEMPERROR),
        ),
    ]
    dmarc: Annotated[
        tuple[Result, ...],
        Key(
            "The result of DMARC. If From may be read to name several domains, `dmarc`, `policy` and `policy_tag` "
            "look at the message and at each of them.",
            words=(Result.NONE, Result.PASS, Result.FAIL, Result.TEMPERROR, Result.PERMERROR),
        ),
    ]
    policy: Annotated[
        tuple[Disposition, ...],
        Key(
            "The policy that applies to the author domain, after the choice of p=, sp= or np= and after t=y.",
        ),
    ]
    policy_tag: Annotated[
        tuple[Tag, ...],
        Key(
            "The tag that this policy came from: `p`, the author domain's own; `sp`, a parent's for subdomains; `np`, "
            "a parent's for names that do not exist.",
        ),
    ]
    sender_domain: Annotated[
        tuple[Receives, ...], Key("Whether the MAIL FROM domain can receive mail; see `sender_domain`.")
    ]
    all: Annotated[tuple[Condition, ...], Key("All of these must hold.")]
    any: Annotated[tuple[Condition, ...], Key("At least one of these must hold.")]
    not_: Annotated[Condition, Key("This must not hold.", name="not")]
