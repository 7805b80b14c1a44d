"""The Authenticated Received Chain: RFC 8617 section 5.2.

A passing chain is evidence of who handled the message, and never a pass for DMARC by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from .dkim import BodyDigest, BodyRequest, HeaderHashes, Signature
from .dkim.header import relaxed, without_b
from .dkim.key import BadKey
from .dkim.signature import BadSignature, covering, demand, named, proven, tag_list
from .dkim.verify import usable_key
from .dkim.work import TooMuchWork, Work, hashing, reading
from .domain import BadDomain, Domain
from .limits import Limits
from .message import Field, Headers
from .resolver import DnsLimit, DnsTempError, Resolver
from .result import Resinfo, Result

_SEAL, _MESSAGE, _RESULTS = b"arc-seal", b"arc-message-signature", b"arc-authentication-results"
_INSTANCE = re.compile(rb"[0-9]{1,2}")
_CFWS = rb"(?:[ \t\r\n]|\((?:[^()\\]|\\.)*\))*"  # comments in comments are not looked for
_RESULTS_INSTANCE = re.compile(rb"%bi%b=%b([0-9]{1,2})%b;" % (_CFWS, _CFWS, _CFWS, _CFWS), re.DOTALL)

_SPACE = _CFWS.decode()
_QUOTED = r'"(?:[^\0-\x08\n-\x1f"\\\x7f]|\\[\t -~])*"'
_WORD = r'[^\0- "();\\\x7f]*'
_AUTHSERV_ID = re.compile(rf'{_SPACE}(?:{_QUOTED}|[^\0- "();=\\\x7f]+)(?:{_SPACE}1)?{_SPACE}(?=;)', re.DOTALL)
_PAIR = re.compile(
    rf"(;{_SPACE})?([a-z][a-z0-9_.-]*)(?:/1)?=({_QUOTED}(?:@{_WORD})?|{_WORD})(?=[ \t\r\n(;]|\Z){_SPACE}",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Set:
    """One ARC set: the three fields of an instance, its two signatures read."""

    results: Field
    message: Signature
    seal: Signature


@dataclass(frozen=True, slots=True)
class Chain:
    """The sets of a message, instance 1 first. Where ``problem`` is set the chain fails whatever its signatures say."""

    sets: tuple[Set, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Arc:
    """What the chain proves.

    ``sealers`` are the d= of the seals, instance 1 first; only under ``pass`` do they mean anything.
    ``oldest_pass`` (RFC 8617 section 5.2, step 4) is the lowest instance down to which the message signatures hold,
    0 where all of them do, None where the chain does not pass.
    """

    result: Result
    sealers: tuple[Domain, ...] = ()
    oldest_pass: int | None = None
    reason: str = ""

    def resinfo(self, remote_ip: IPv4Address | IPv6Address | None) -> Resinfo:
        """``arc=`` with the client's address (RFC 8617 section 6)."""
        properties = [("smtp", "remote-ip", str(remote_ip))] if remote_ip else []
        if self.oldest_pass is not None:
            properties.append(("header", "oldest-pass", str(self.oldest_pass)))
        return Resinfo("arc", self.result, tuple(properties), self.reason)


def chain(headers: Headers, limits: Limits = Limits(), account: Work | None = None) -> Chain:
    """Collect the ARC sets and look at their structure (RFC 8617 section 5.2, steps 1 to 3); never raises.

    ``account`` pays for reading them.
    """
    try:
        return _collect(headers, limits.arc_sets, account or Work(limits))
    except (BadSignature, TooMuchWork) as error:
        return Chain(problem=str(error))


def _collect(headers: Headers, most: int, account: Work) -> Chain:
    found: dict[tuple[int, bytes], tuple[Field, Mapping[bytes, bytes]]] = {}
    for name in (_SEAL, _MESSAGE, _RESULTS):
        for field in headers.named(name):
            # before the work, not after it: the limit bounds what a sender can make us read
            if len(found) > 3 * most:
                raise BadSignature(f"more than {most} sets")
            if name != _RESULTS:
                account.pay(reading(field.value))
            tags = {} if name == _RESULTS else tag_list(field.value)
            instance = _instance(field, tags, most)
            if (instance, name) in found:
                raise BadSignature("two fields of one kind in one set")
            found[instance, name] = (field, tags)
    count = max((instance for instance, _ in found), default=0)
    if len(found) != 3 * count:
        raise BadSignature("a set is incomplete")
    sets = []
    for instance in range(1, count + 1):
        results, (seal, seal_tags) = found[instance, _RESULTS][0], found[instance, _SEAL]
        status = seal_tags.get(b"cv", b"").lower()
        if status != (b"none" if instance == 1 else b"pass"):
            raise BadSignature(f"the seal of set {instance} says that the chain failed, or says nothing that fits")
        sets.append(Set(results, _message(*found[instance, _MESSAGE]), _seal(seal, seal_tags)))
    return Chain(tuple(sets))


def _instance(field: Field, tags: Mapping[bytes, bytes], most: int) -> int:
    if tags:
        match = _INSTANCE.fullmatch(tags.get(b"i", b""))
        text = match[0] if match else b"0"
    else:
        match = _RESULTS_INSTANCE.match(field.value)
        text = match[1] if match else b"0"
    if not 1 <= int(text) <= most:
        raise BadSignature("an instance number is missing or out of range")
    return int(text)


def _message(field: Field, tags: Mapping[bytes, bytes]) -> Signature:
    """An ARC-Message-Signature: RFC 8617 section 4.1.2. One that cannot be read keeps its problem."""
    signature = named(field, tags)
    try:
        demand(tags, b"a", b"b", b"bh", b"d", b"h", b"s")
        signature = covering(proven(signature, tags), tags, default=b"relaxed/relaxed")
        if _SEAL in signature.header_names:
            raise BadSignature("an ARC-Message-Signature covers an ARC-Seal")
    except BadSignature as error:
        return signature._replace(problem=str(error))
    return signature


def _seal(field: Field, tags: Mapping[bytes, bytes]) -> Signature:
    """An ARC-Seal: RFC 8617 section 4.1.3."""
    signature = named(field, tags)
    try:
        demand(tags, b"a", b"b", b"d", b"s")
        if b"h" in tags:
            raise BadSignature("an ARC-Seal has an h=")
        return proven(signature, tags)
    except BadSignature as error:
        return signature._replace(problem=str(error))


def signatures(chain: Chain) -> list[Signature]:
    """Every signature of the chain: whose keys to ask for."""
    return [signature for each in chain.sets for signature in (each.message, each.seal)]


def body_requests(chain: Chain) -> list[BodyRequest]:
    """The body hashes that the chain's message signatures want."""
    return [each.message.body for each in chain.sets if not each.message.problem]


def check(
    chain: Chain,
    header: HeaderHashes,
    bodies: Mapping[BodyRequest, BodyDigest],
    resolve: Resolver,
    limits: Limits = Limits(),
) -> Arc:
    """Validate the chain, RFC 8617 section 5.2. Every failure is permanent, a lookup that failed included.

    The account of ``header`` pays; a chain that it cannot pay for as a whole fails.
    """
    if chain.problem:
        return Arc(Result.FAIL, reason=chain.problem)
    if not chain.sets:
        return Arc(Result.NONE)
    try:
        return _validate(chain, header, bodies, resolve, limits)
    except TooMuchWork as error:
        return Arc(Result.FAIL, reason=str(error))


def _validate(
    chain: Chain,
    header: HeaderHashes,
    bodies: Mapping[BodyRequest, BodyDigest],
    resolve: Resolver,
    limits: Limits,
) -> Arc:
    account = header.account
    if trouble := _message_trouble(chain.sets[-1].message, header, bodies, resolve, limits):
        return Arc(Result.FAIL, reason=f"the newest message signature: {trouble}")
    for instance, (each, digest) in enumerate(zip(chain.sets, _seal_digests(chain, account), strict=True), 1):
        if trouble := each.seal.problem or _signature_trouble(each.seal, digest, resolve, limits, account):
            return Arc(Result.FAIL, reason=f"seal {instance}: {trouble}")
    oldest = len(chain.sets)
    # the chain is good whatever comes of these
    with suppress(TooMuchWork):
        while oldest > 1 and not _message_trouble(chain.sets[oldest - 2].message, header, bodies, resolve, limits):
            oldest -= 1
    sealers = tuple(each.seal.domain for each in chain.sets if each.seal.domain)
    return Arc(Result.PASS, sealers, 0 if oldest == 1 else oldest)


def _message_trouble(
    signature: Signature,
    header: HeaderHashes,
    bodies: Mapping[BodyRequest, BodyDigest],
    resolve: Resolver,
    limits: Limits,
) -> str:
    """Why an ARC-Message-Signature does not hold; empty where it does. Raises :class:`TooMuchWork`."""
    if signature.problem:
        return signature.problem
    body = bodies[signature.body]
    if signature.body.length is not None and body.hashed < signature.body.length:
        return "l= is larger than the body"
    if body.digest != signature.body_hash:
        return "the body was changed"
    if body.partial:
        # a chain that passes vouches for the message, and has no word for a part of it
        return "a part of the body is not signed (l=)"
    if stray := header.stray(signature):
        return f"a further {stray} field is not signed"
    return _signature_trouble(signature, header.digest(signature), resolve, limits, header.account)


def _seal_digests(chain: Chain, account: Work) -> Iterator[bytes]:
    """What each set's ARC-Seal signs: all fields of all sets up to it (RFC 8617 section 5.1.1)."""
    digest = hashlib.sha256()
    for each in chain.sets:
        account.pay(hashing([each.results, each.message.field, each.seal.field]))
        digest.update(relaxed(each.results) + relaxed(each.message.field))
        signed = digest.copy()
        signed.update(relaxed(without_b(each.seal.field)).removesuffix(b"\r\n"))
        yield signed.digest()
        digest.update(relaxed(each.seal.field))


def _signature_trouble(signature: Signature, digest: bytes, resolve: Resolver, limits: Limits, account: Work) -> str:
    try:
        records = resolve(signature.key_name, "TXT").records
    except DnsTempError as error:
        return str(error)
    except DnsLimit as error:
        return f"limit: {error}"
    trouble = "no key record"
    for record in records[: limits.key_records]:
        try:
            key = usable_key(record, signature, limits, account)
            if key.testing:
                # as good as unsigned (RFC 6376 section 3.6.1)
                raise BadKey("the key is being tested (t=y)")
            account.pay(key.work)
            if key.verifies(signature.signature, digest):
                return ""
            trouble = "the signature does not fit the header"
        except BadKey as error:
            trouble = str(error)
    return trouble


class _Recorded(NamedTuple):
    """What a sealer found when the message came in, lower case; empty where its results do not say."""

    arc: str = ""
    dmarc: str = ""
    header_from: str = ""


def vouched(chain: Chain, found: Arc, author: Domain, trusts: Callable[[Domain], bool], now: float) -> str:
    """Why the message was authentic for ``author`` when it came to a sealer that is trusted; empty where none says so.

    The newest sealer has to be trusted, and to have recorded that DMARC passed for the same author domain; or that ARC
    passed, and then the sealer before it is asked in the same way (RFC 8617 section 7.2). Results that contradict
    themselves, the seal's cv= or the author, or that are not understood as a whole, end it: they vouch for nothing.
    The text is our own but for names of trusted sealers.

    ``found`` is what :func:`check` gave for ``chain``, and ``author`` the one clear author domain of the same message.
    It is this that makes a record speak of this message: every seal is good, so the records are the sealers' own, and
    the newest message signature is good, so From and body are as its sealer passed them on. What was changed before
    that, the newest sealer answers for, and by its arc=pass those before it; so an older message signature need not
    hold any more (``oldest_pass``), but it has to be the sealer's own, over From and the whole body.

    What this cannot show: who else gets a message that was sealed once, and when. Whoever has it may send it again,
    unchanged, to anybody, until a message signature expires (x=; ``now`` in seconds since 1970). And a trusted sealer
    is believed, whether it lies or lets others write its results.
    """
    if found.result is not Result.PASS:
        return ""
    later: list[Domain] = []
    for instance, each in reversed([*enumerate(chain.sets, 1)]):
        sealer = each.seal.domain
        if not (sealer and trusts(sealer) and _binds(each.message, sealer)):
            return ""
        if each.message.expires is not None and each.message.expires < now:
            return ""
        recorded = _recorded(each.results)
        if recorded is None or recorded.arc not in ("", "pass" if instance > 1 else "none"):
            return ""
        if recorded.header_from and not _is_domain(recorded.header_from, author):
            return ""
        if recorded.dmarc == "pass" and recorded.header_from:
            passed = [f", and by {domain}, which found ARC pass" for domain in reversed(later)]
            return f"ARC pass, sealed by {sealer}, which found DMARC pass{''.join(passed)}"
        if recorded.dmarc == "pass" or recorded.arc != "pass":
            return ""
        later.append(sealer)
    return ""


def _binds(message: Signature, sealer: Domain) -> bool:
    """Is this the sealer's own signature, over From and the whole body?"""
    own = not message.problem and message.domain == sealer
    return own and b"from" in message.header_names and message.body.length is None


def _is_domain(text: str, domain: Domain) -> bool:
    try:
        return Domain(text) == domain
    except BadDomain:
        return False


def _recorded(results: Field) -> _Recorded | None:
    """Read an ARC-Authentication-Results (RFC 8617 section 4.1.1, RFC 8601 section 2.2); None where that is not clear.

    All of it has to be understood, so that no comment, quoted string or clause is taken for another: authres leaves out
    what it cannot read. Beyond the RFC a property may lack its ptype, as in ``action=none``, which Microsoft writes.
    White space around an equals sign is not understood.
    """
    instance = _RESULTS_INSTANCE.match(results.value)
    if not instance:
        return None
    try:
        text = results.value[instance.end() :].decode().replace("\r\n", "")
    except UnicodeDecodeError:
        return None
    head = _AUTHSERV_ID.match(text)
    if not head:
        return None
    at = head.end()
    names: list[str] = []
    clauses: dict[str, list[tuple[str, str]]] = {}
    while pair := _PAIR.match(text, at):
        begins, name, value = pair.groups()
        names.append(name.lower())
        if begins:
            pairs = clauses[names[-1]] = []
        pairs.append((names[-1], re.sub(r'\\(.)|"', r"\1", value).lower()))
        at = pair.end()
    arc, dmarc = clauses.get("arc", []), clauses.get("dmarc", [])
    if text[at:].rstrip(" \t;") or names.count("arc") > 1 or names.count("dmarc") > 1 or len(dict(dmarc)) < len(dmarc):
        return None
    return _Recorded(dict(arc).get("arc", ""), dict(dmarc).get("dmarc", ""), dict(dmarc).get("header.from", ""))
