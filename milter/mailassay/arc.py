"""The Authenticated Received Chain: RFC 8617 section 5.2.

A passing chain is evidence of who handled the message. It is never a DMARC pass by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from .address import Address
from .authres.read import Clause, Unreadable, instance_of, opening, read
from .dkim import BodyDigest, BodyRequest, HeaderHashes, Signature
from .dkim import Fault as OfSignature
from .dkim.header import relaxed, without_b
from .dkim.key import BadKey
from .dkim.signature import BadSignature, covering, demand, named, proven, tag_list
from .dkim.verify import NO_KEY, usable_key
from .dkim.work import TooMuchWork, Work, hashing, reading
from .domain import BadDomain, Domain
from .limits import Limits
from .message import Field, Headers
from .resolver import DnsLimit, DnsTempError, Resolver
from .result import Resinfo, Result

_SEAL, _MESSAGE, _RESULTS = b"arc-seal", b"arc-message-signature", b"arc-authentication-results"
_INSTANCE = re.compile(rb"[0-9]{1,2}")
# an author: a domain or an address, with or without angle brackets; a quoted local-part may contain another "@"
_AUTHOR = re.compile(
    r'(?P<bracket><)?(?:(?:"(?:[^"\\]|\\.)*"|[^\x00- "(),:;<>@\\\[\]\x7f]+)?@)?'
    r'(?P<domain>[^\x00- "(),:;<=>@\\\[\]\x7f]+)(?(bracket)>)'
)
_MAX_SHOWN = 60  # characters of a sealer's text in a reason


class Fault(StrEnum):
    """Why a chain fails: one word for each kind of cause (RFC 8617 section 5.2)."""

    SYNTAX = "syntax"  # a field is not a tag=value list
    INSTANCE = "instance"  # an instance number is missing, or zero
    TOO_MANY_SETS = "too_many_sets"
    REPEATED_FIELD = "repeated_field"  # a set has two fields of the same kind
    INCOMPLETE = "incomplete"  # a set lacks a field
    STATUS = "status"  # the cv= of a seal says that the chain failed before, or is invalid for its instance
    MESSAGE_SIGNATURE = "message_signature"  # the newest one does not verify
    SEAL = "seal"  # a seal does not verify
    LIMIT = "limit"  # more work than signature_work allows


class _BadChain(ValueError):
    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Set:
    """One ARC set: the three fields of an instance, with its two signatures parsed."""

    results: Field
    message: Signature
    seal: Signature


@dataclass(frozen=True, slots=True)
class Chain:
    """The sets of a message, instance 1 first.

    If ``problem`` is set, the chain fails whatever its signatures say, and ``fault`` is the kind of problem.
    """

    sets: tuple[Set, ...] = ()
    problem: str = ""
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Arc:
    """The result for the chain.

    ``sealers`` are the d= of the seals, instance 1 first. They mean something only if the result is ``pass``.
    ``oldest_pass`` (RFC 8617 section 5.2, step 4) is the lowest instance down to which the message signatures verify, 0
    if all of them do, None if the chain does not pass. ``fault`` says why the chain fails, and ``reason`` says it in
    words. ``unknown`` says why another host may find that the chain passes: DNS did not answer, or one of our limits
    was reached.
    """

    result: Result
    sealers: tuple[Domain, ...] = ()
    oldest_pass: int | None = None
    reason: str = ""
    fault: Fault | None = None
    unknown: Literal["", "dns", "limit"] = ""

    def resinfo(self, remote_ip: Address | None) -> Resinfo:
        """``arc=`` with the client's address (RFC 8617 section 6)."""
        properties = [("smtp", "remote-ip", str(remote_ip))] if remote_ip else []
        if self.oldest_pass is not None:
            properties.append(("header", "oldest-pass", str(self.oldest_pass)))
        return Resinfo("arc", self.result, tuple(properties), self.reason)


def chain(headers: Headers, limits: Limits, account: Work | None = None) -> Chain:
    """Collect the ARC sets and check their structure (RFC 8617 section 5.2, steps 1 to 3). Never raises.

    The cost of reading them is charged to ``account``.
    """
    try:
        return _collect(headers, limits.arc_sets, account or Work(limits))
    except _BadChain as error:
        return Chain(problem=str(error), fault=error.fault)
    except BadSignature as error:
        return Chain(problem=str(error), fault=Fault.SYNTAX)
    except TooMuchWork as error:
        return Chain(problem=str(error), fault=Fault.LIMIT)


def _collect(headers: Headers, most: int, account: Work) -> Chain:
    found: dict[tuple[int, bytes], tuple[Field, Mapping[bytes, bytes]]] = {}
    for name in (_SEAL, _MESSAGE, _RESULTS):
        for field in headers.named(name):
            tags = _tags(name, field, account)
            instance = _instance(field, tags, most)
            if (instance, name) in found:
                raise _BadChain(Fault.REPEATED_FIELD, "two fields of one kind in one set")
            found[instance, name] = (field, tags)
    count = max((instance for instance, _ in found), default=0)
    if len(found) != 3 * count:
        raise _BadChain(Fault.INCOMPLETE, "a set is incomplete")
    sets = []
    for instance in range(1, count + 1):
        results, (seal, seal_tags) = found[instance, _RESULTS][0], found[instance, _SEAL]
        if _status(seal_tags) != (b"none" if instance == 1 else b"pass"):
            text = f"the seal of set {instance} says that the chain failed, or its cv= is invalid there"
            raise _BadChain(Fault.STATUS, text)
        sets.append(Set(results, _message(*found[instance, _MESSAGE]), _seal(seal, seal_tags)))
    return Chain(tuple(sets))


def _instance(field: Field, tags: Mapping[bytes, bytes], most: int) -> int:
    number = _number(field, tags)
    if number > most:
        raise _BadChain(Fault.TOO_MANY_SETS, f"an instance number is out of range: more than {most} sets")
    if not number:
        raise _BadChain(Fault.INSTANCE, "an instance number is missing or out of range")
    return number


def _number(field: Field, tags: Mapping[bytes, bytes]) -> int:
    """The instance that a field says; 0 if it says none."""
    if not tags:
        return instance_of(field.value)
    match = _INSTANCE.fullmatch(tags.get(b"i", b""))
    return int(match[0]) if match else 0


class Newest(NamedTuple):
    """The highest instance among the ARC fields, and whether the newest ARC-Seal says cv=fail."""

    instance: int = 0
    is_failed: bool = False


def newest(headers: Headers, account: Work) -> Newest:
    """What a sealer needs to know of a chain, however malformed it is (RFC 8617 section 5.1, steps 2 and 3).

    A field that cannot be read counts as none. Raises :class:`TooMuchWork`.
    """
    highest, seal = 0, Newest()
    for name in (_SEAL, _MESSAGE, _RESULTS):
        for field in headers.named(name):
            try:
                tags = _tags(name, field, account)
            except BadSignature:
                continue
            number = _number(field, tags)
            highest = max(highest, number)
            if name == _SEAL and number:
                seal = max(seal, Newest(number, _status(tags) == b"fail"))
    return Newest(highest, seal.is_failed)


def _tags(name: bytes, field: Field, account: Work) -> Mapping[bytes, bytes]:
    """The tags of a field, none of one with results. Raises :class:`BadSignature` and :class:`TooMuchWork`."""
    account.pay(opening(field.value) if name == _RESULTS else reading(field.value))
    return {} if name == _RESULTS else tag_list(field.value)


def _status(tags: Mapping[bytes, bytes]) -> bytes:
    return tags.get(b"cv", b"").lower()


def _message(field: Field, tags: Mapping[bytes, bytes]) -> Signature:
    """Parse an ARC-Message-Signature: RFC 8617 section 4.1.2. If it cannot be read, ``problem`` is set."""
    signature = named(field, tags)
    try:
        demand(tags, b"a", b"b", b"bh", b"d", b"h", b"s")
        signature = covering(proven(signature, tags), tags, default=b"relaxed/relaxed")
        if _SEAL in signature.header_names:
            raise BadSignature(OfSignature.SYNTAX, "an ARC-Message-Signature covers an ARC-Seal")
    except BadSignature as error:
        return signature._replace(problem=str(error))
    return signature


def _seal(field: Field, tags: Mapping[bytes, bytes]) -> Signature:
    """Parse an ARC-Seal: RFC 8617 section 4.1.3. If it cannot be read, ``problem`` is set."""
    signature = named(field, tags)
    try:
        demand(tags, b"a", b"b", b"d", b"s")
        if b"h" in tags:
            raise BadSignature(OfSignature.SYNTAX, "an ARC-Seal has an h=")
        return proven(signature, tags)
    except BadSignature as error:
        return signature._replace(problem=str(error))


def signatures(chain: Chain) -> list[Signature]:
    """All signatures of the chain, for asking for their keys."""
    return [signature for each in chain.sets for signature in (each.message, each.seal)]


def body_requests(chain: Chain) -> list[BodyRequest]:
    """The body hashes that the chain's message signatures need."""
    return [each.message.body for each in chain.sets if not each.message.problem]


def check(
    chain: Chain,
    header: HeaderHashes,
    bodies: Mapping[BodyRequest, BodyDigest],
    resolve: Resolver,
    limits: Limits,
) -> Arc:
    """Validate the chain, RFC 8617 section 5.2. Every failure is permanent, even a failed lookup.

    The cost is charged to the account of ``header``. If it does not suffice for the whole chain, the chain fails.
    """
    if chain.problem:
        # other hosts may allow more sets, and more work
        limited = chain.fault in (Fault.TOO_MANY_SETS, Fault.LIMIT)
        return Arc(Result.FAIL, reason=chain.problem, fault=chain.fault, unknown="limit" if limited else "")
    if not chain.sets:
        return Arc(Result.NONE)
    try:
        return _validate(chain, header, bodies, resolve, limits)
    except TooMuchWork as error:
        return Arc(Result.FAIL, reason=str(error), fault=Fault.LIMIT, unknown="limit")


def _validate(
    chain: Chain,
    header: HeaderHashes,
    bodies: Mapping[BodyRequest, BodyDigest],
    resolve: Resolver,
    limits: Limits,
) -> Arc:
    account = header.account
    if trouble := _message_trouble(chain.sets[-1].message, header, bodies, resolve, limits):
        reason = f"the newest message signature: {trouble}"
        return Arc(Result.FAIL, reason=reason, fault=Fault.MESSAGE_SIGNATURE, unknown=trouble.unknown)
    for instance, (each, digest) in enumerate(zip(chain.sets, _seal_digests(chain, account), strict=True), 1):
        if trouble := _seal_trouble(each.seal, digest, resolve, limits, account):
            return Arc(Result.FAIL, reason=f"seal {instance}: {trouble}", fault=Fault.SEAL, unknown=trouble.unknown)
    oldest = len(chain.sets)
    # the chain passes whatever the results of the older message signatures are
    with suppress(TooMuchWork):
        while oldest > 1 and not _message_trouble(chain.sets[oldest - 2].message, header, bodies, resolve, limits):
            oldest -= 1
    sealers = tuple(each.seal.domain for each in chain.sets if each.seal.domain)
    return Arc(Result.PASS, sealers, 0 if oldest == 1 else oldest)


class _Trouble(NamedTuple):
    """Why a signature does not verify. For ``unknown`` see :class:`Arc`."""

    text: str
    unknown: Literal["", "dns", "limit"] = ""

    def __str__(self) -> str:
        return self.text


def _message_trouble(
    signature: Signature,
    header: HeaderHashes,
    bodies: Mapping[BodyRequest, BodyDigest],
    resolve: Resolver,
    limits: Limits,
) -> _Trouble | None:
    """Why an ARC-Message-Signature does not verify; None if it does. Raises :class:`TooMuchWork`."""
    if signature.problem:
        return _Trouble(signature.problem)
    body = bodies[signature.body]
    if signature.body.length is not None and body.hashed < signature.body.length:
        return _Trouble("l= is larger than the body")
    if body.digest != signature.body_hash:
        return _Trouble("the body was changed")
    if body.partial:
        # a passing chain vouches for the whole message; it has no result for a part of it
        return _Trouble("a part of the body is not signed (l=)")
    if stray := header.stray(signature):
        return _Trouble(f"a further {stray} field is not signed")
    return _signature_trouble(signature, header.digest(signature), resolve, limits, header.account)


def _seal_trouble(seal: Signature, digest: bytes, resolve: Resolver, limits: Limits, account: Work) -> _Trouble | None:
    """Why an ARC-Seal does not verify; None if it does. Raises :class:`TooMuchWork`."""
    if seal.problem:
        return _Trouble(seal.problem)
    return _signature_trouble(seal, digest, resolve, limits, account)


def _seal_digests(chain: Chain, account: Work) -> Iterator[bytes]:
    """The hash that the ARC-Seal of each set signs: all fields of the sets up to it (RFC 8617 section 5.1.1)."""
    digest = hashlib.sha256()
    for each in chain.sets:
        account.pay(hashing([each.results, each.message.field, each.seal.field]))
        digest.update(relaxed(each.results) + relaxed(each.message.field))
        signed = digest.copy()
        signed.update(relaxed(without_b(each.seal.field)).removesuffix(b"\r\n"))
        yield signed.digest()
        digest.update(relaxed(each.seal.field))


def _signature_trouble(
    signature: Signature, digest: bytes, resolve: Resolver, limits: Limits, account: Work
) -> _Trouble | None:
    try:
        records = resolve(signature.key_name, "TXT").records
    except DnsTempError as error:
        return _Trouble(str(error), "dns")
    except DnsLimit as error:
        return _Trouble(f"limit: {error}", "limit")
    trouble = NO_KEY
    for record in records[: limits.key_records]:
        try:
            key = usable_key(record, signature, limits, account)
            if key.testing:
                # counts as unsigned (RFC 6376 section 3.6.1)
                raise BadKey(OfSignature.TESTING, "the key is being tested (t=y)")
            account.pay(key.work)
            if key.verifies(signature.signature, digest):
                return None
            trouble = "the signature does not match the header"
        except BadKey as error:
            trouble = str(error)
    return _Trouble(trouble)


class Doubt(StrEnum):
    """Why a passing chain of a trusted sealer does not vouch for the author."""

    UNTRUSTED = "untrusted"  # a newer sealer is not trusted, or the one whose results a newer one passes on
    SIGNATURE = "signature"  # the message signature is not the sealer's own, or does not cover From and the whole body
    EXPIRED = "expired"
    UNREADABLE = "unreadable"
    CONTRADICTION = "contradiction"  # the results contradict themselves or the seal
    AUTHOR = "author"  # the recorded author is missing, unclear or a different one
    NO_PASS = "no_pass"  # neither DMARC nor ARC passed when the sealer received the message


class Doubted(NamedTuple):
    """Why such a chain does not vouch for the author. ``reason`` may contain text that a sealer recorded."""

    fault: Doubt
    reason: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.reason}"


class Vouched(NamedTuple):
    """Why the message was authentic for its author when a trusted sealer received it, or why that is not known.

    ``because`` consists of our own words and names of trusted sealers. ``mail_from`` is the domain of MAIL FROM for
    which SPF passed at that time. All are empty if the chain does not pass or has no trusted sealer.
    """

    because: str = ""
    doubt: Doubted | None = None
    mail_from: Domain | None = None


class _Recorded(NamedTuple):
    """The results of a sealer when it received the message, in lower case; empty if it did not record them."""

    arc: str = ""
    dmarc: str = ""
    header_from: str = ""
    mail_from: Domain | None = None


class _Doubtful(ValueError):
    def __init__(self, doubt: Doubt, text: str) -> None:
        super().__init__(text)
        self.doubted = Doubted(doubt, text)


def vouched(chain: Chain, found: Arc, author: Domain | None, trusts: Callable[[Domain], bool], now: float) -> Vouched:
    """Was the message authentic for ``author`` when a trusted sealer received it?

    The newest sealer must be trusted. It must have recorded that DMARC passed for the same author domain, or that ARC
    passed; in the second case, the same is required of the sealer before it (RFC 8617 section 7.2). Results vouch for
    nothing if they are malformed, or if they contradict themselves, the seal's cv= or the author.

    ``found`` is the result of :func:`check` for ``chain``. ``author`` is the one clear author domain of the same
    message, or None. A passing chain ties the records to this message: every seal verifies, so the records are the
    sealers' own; and the newest message signature verifies, so From and body are as its sealer sent them. The newest
    sealer answers for earlier changes, and with its arc=pass for the sealers before it. So an older message signature
    need not verify any more (``oldest_pass``), but it must be the sealer's own and cover From and the whole body.

    Two things remain open. Anybody who has a sealed message can resend it unchanged, to anybody, until a message
    signature expires (x=; ``now`` is in seconds since 1970). And a trusted sealer is believed even if it lies or lets
    others write its results.
    """
    if found.result is not Result.PASS or not any(map(trusts, found.sealers)):
        return Vouched()
    try:
        return _vouched(chain, author, trusts, now)
    except _Doubtful as error:
        return Vouched(doubt=error.doubted)


def _vouched(chain: Chain, author: Domain | None, trusts: Callable[[Domain], bool], now: float) -> Vouched:
    if author is None:
        raise _Doubtful(Doubt.AUTHOR, "the author of the message is not one clear domain")
    later: list[Domain] = []
    for instance, each in reversed([*enumerate(chain.sets, 1)]):
        name = f"set {instance}, sealed by {each.seal.domain}"
        sealer = _sealer(each, name, trusts, now)
        recorded = _recorded(each.results, name)
        if recorded.arc not in ("", "pass" if instance > 1 else "none"):
            raise _Doubtful(Doubt.CONTRADICTION, f"{name}, which recorded {_shown('arc', recorded.arc)}")
        if recorded.header_from and _author(recorded.header_from) != author:
            text = f"{name}, which recorded {_shown('header.from', recorded.header_from)}, not {author}"
            raise _Doubtful(Doubt.AUTHOR, text)
        if recorded.dmarc == "pass":
            if not recorded.header_from:
                raise _Doubtful(Doubt.AUTHOR, f"{name}, which recorded dmarc pass without header.from")
            passed = [f", and by {domain}, which found ARC pass" for domain in reversed(later)]
            because = f"ARC pass, sealed by {sealer}, which found DMARC pass{''.join(passed)}"
            return Vouched(because, mail_from=recorded.mail_from)
        if recorded.arc != "pass":
            text = _shown("dmarc", recorded.dmarc) if recorded.dmarc else "no result of DMARC"
            raise _Doubtful(Doubt.NO_PASS, f"{name}, which recorded {text}")
        later.append(sealer)
    return Vouched()  # not reached: set 1 cannot have recorded arc=pass


def _sealer(each: Set, name: str, trusts: Callable[[Domain], bool], now: float) -> Domain:
    """The sealer of a set, if it is trusted and its message signature counts. Raises :class:`_Doubtful`."""
    sealer = each.seal.domain
    if not (sealer and trusts(sealer)):
        raise _Doubtful(Doubt.UNTRUSTED, f"{name}, which is not trusted")
    if not _binds(each.message, sealer):
        text = f"{name}: its message signature is not its own, or does not cover From and the whole body"
        raise _Doubtful(Doubt.SIGNATURE, text)
    if each.message.expires is not None and each.message.expires < now:
        raise _Doubtful(Doubt.EXPIRED, f"{name}: its message signature has expired")
    return sealer


def _binds(message: Signature, sealer: Domain) -> bool:
    """Is this the sealer's own signature, and does it cover From and the whole body?"""
    own = not message.problem and message.domain == sealer
    return own and b"from" in message.header_names and message.body.length is None


def _author(text: str) -> Domain | None:
    """The domain of an author that a sealer recorded; None if it is not one clear domain."""
    found = _AUTHOR.fullmatch(text)
    with suppress(BadDomain):
        return Domain(found["domain"]) if found else None
    return None


def _shown(name: str, value: str) -> str:
    return f"{name} {value[:_MAX_SHOWN]}"


def _recorded(results: Field, name: str) -> _Recorded:
    """The results in an ARC-Authentication-Results (RFC 8617 section 4.1.1). Raises :class:`_Doubtful`.

    A sealer must not give the results that count more than once. A property may be repeated with the same value.
    """
    try:
        clauses = read(results.value, sealed=True)
    except Unreadable as error:
        raise _Doubtful(Doubt.UNREADABLE, f"{name}: its results cannot be read: {error}") from None
    methods = {clause.method: clause for clause in clauses}
    words = [word for clause in clauses for word in (clause.method, *(each for each, _ in clause.properties))]
    for word in ("arc", "dmarc"):
        if words.count(word) > (word in methods):
            raise _Doubtful(Doubt.CONTRADICTION, f"{name}: its results say {word} twice, or of another method")
    arc, dmarc = (methods.get(word, Clause(word, "")) for word in ("arc", "dmarc"))
    for each, _ in dmarc.properties:
        if len(dmarc.values(each)) > 1:
            raise _Doubtful(Doubt.CONTRADICTION, f"{name}: its result of DMARC has several {each[:_MAX_SHOWN]}")
    return _Recorded(arc.result, dmarc.result, "".join(dmarc.values("header.from")), _mail_from(clauses))


def _mail_from(clauses: Sequence[Clause]) -> Domain | None:
    """The domain of MAIL FROM, if the only SPF result is a pass for it."""
    spf = [clause for clause in clauses if clause.method == "spf"]
    if len(spf) == 1 and spf[0].result == "pass" and len(values := spf[0].values("smtp.mailfrom")) == 1:
        return _author(values.pop())
    return None
