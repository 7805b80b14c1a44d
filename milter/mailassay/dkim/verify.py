"""Verify a signature. RFC 6376 sections 3.7 and 6.1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from ..domain import Domain
from ..limits import Limits
from ..resolver import DnsLimit, DnsTempError, Resolver
from ..result import Resinfo, Result
from . import key as keys
from .body import BodyDigest, BodyRequest
from .fault import Fault
from .header import HeaderHashes
from .signature import ALGORITHMS, Signature
from .work import TooMuchWork, Work, reading

_MAX_B = 64  # characters of b= to tell signatures apart
NO_KEY = "no key record"

_Found = tuple[Result, Fault | None, str]


@dataclass(frozen=True, slots=True)
class Dkim:
    """The result for one signature.

    ``domain`` is d= (None if it is not a domain), ``identity`` is i=, and ``bits`` is the size of the key. ``testing``:
    the key says t=y, so the message is treated as unsigned whatever the result. ``partial``: l= leaves octets unsigned.
    ``limit`` names the limit that led to the result, if one did. ``fault`` says why the signature does not
    pass, or why DMARC cannot use it although it passes; ``reason`` says the same in words.
    """

    result: Result
    domain: Domain | None = None
    _: KW_ONLY
    identity: str = ""
    selector: str = ""
    algorithm: str = ""
    b_text: str = ""
    bits: int = 0
    testing: bool = False
    partial: bool = False
    reason: str = ""
    limit: str = ""
    fault: Fault | None = None


def check(
    signature: Signature,
    header: HeaderHashes,
    bodies: Mapping[BodyRequest, BodyDigest],
    resolve: Resolver,
    now: float,
    limits: Limits,
) -> Dkim:
    """Verify one signature. ``now`` is in seconds since 1970. The cost is charged to the account of ``header``."""
    if signature.problem:
        return _found(signature, Result.PERMERROR, signature.fault, signature.problem)
    if untimely := _untimely(signature, now, limits.clock_tolerance):
        return _found(signature, Result.PERMERROR, *untimely)
    try:
        records = resolve(signature.key_name, "TXT").records
    except DnsTempError as error:
        return _found(signature, Result.TEMPERROR, Fault.NO_ANSWER, str(error))
    except DnsLimit as error:
        return _found(signature, Result.PERMERROR, Fault.LIMIT, f"limit: {error}", limit=error.key)
    try:
        return _by_records(records[: limits.key_records], _Proof(signature, bodies[signature.body], header), limits)
    except TooMuchWork as error:
        return _found(signature, Result.PERMERROR, Fault.LIMIT, str(error), limit="signature_work")


def _found(
    signature: Signature,
    result: Result,
    fault: Fault | None,
    reason: str,
    *,
    key: keys.Key | None = None,
    partial: bool = False,
    limit: str = "",
) -> Dkim:
    return Dkim(
        result,
        signature.domain,
        identity=signature.identity,
        selector=signature.selector,
        algorithm=signature.algorithm,
        b_text=signature.b_text,
        bits=key.bits if key else 0,
        testing=bool(key and key.testing),
        partial=partial,
        reason=reason,
        limit=limit,
        fault=fault,
    )


def _by_records(records: Sequence[str], proof: _Proof, limits: Limits) -> Dkim:
    """The result with the keys of a few records. Raises :class:`TooMuchWork`.

    RFC 6376 section 3.6.2.2 does not define the result of several records, so each is tried.
    """
    outcome: Dkim | None = None
    for record in records:
        try:
            key = usable_key(record, proof.signature, limits, proof.header.account)
            result, fault, reason = proof.by(key)
        except keys.BadKey as error:
            if outcome is None or outcome.result is Result.PERMERROR:
                outcome = _found(proof.signature, Result.PERMERROR, error.fault, str(error))
            continue
        outcome = _found(proof.signature, result, fault, reason, key=key, partial=proof.body.partial)
        if result is Result.PASS:
            break
    return outcome or _found(proof.signature, Result.PERMERROR, Fault.NO_KEY, NO_KEY)


def _untimely(signature: Signature, now: float, tolerance: float) -> tuple[Fault, str] | None:
    """Why the signature does not count at this time, if it does not (RFC 6376 section 3.5, t= and x=)."""
    if signature.signed_at is not None and signature.signed_at > now + tolerance:
        return Fault.FUTURE, "signed in the future (t=)"
    if signature.expires is not None and signature.expires < now - tolerance:
        return Fault.EXPIRED, "the signature has expired (x=)"
    return None


def usable_key(record: str, signature: Signature, limits: Limits, account: Work) -> keys.Key:
    """The key of a record, if this signature may use it. Raises :class:`key.BadKey` and :class:`TooMuchWork`."""
    if len(record) > limits.record_octets:
        raise keys.BadKey(Fault.LIMIT, f"the key record has more than {limits.record_octets} octets")
    account.pay(reading(record.encode("latin-1")))
    key = keys.parse(record)
    if key.bits > limits.key_bits:
        raise keys.BadKey(Fault.KEY_SIZE, f"the key has {key.bits} bits, more than {limits.key_bits}")
    if key.kind != ALGORITHMS[signature.algorithm]:
        raise keys.BadKey(Fault.KEY_TYPE, "the key is not of the type the signature names (a=, k=)")
    if key.strict and signature.identity_domain not in (None, signature.domain):
        raise keys.BadKey(Fault.IDENTITY, "the key does not allow subdomains in i= (t=s)")
    return key


class _Proof:
    """The verification of one signature. The parts that do not depend on the key are computed once."""

    def __init__(self, signature: Signature, body: BodyDigest, header: HeaderHashes) -> None:
        self.signature, self.body, self.header = signature, body, header
        self._hashed: bytes | _Found | None = None  # the result instead, if the signature fails whatever the key is

    def by(self, key: keys.Key) -> _Found:
        """The result with this key. Raises :class:`TooMuchWork`."""
        if self._hashed is None:
            self._hashed = self._fault() or self.header.digest(self.signature)
        if not isinstance(self._hashed, bytes):
            return self._hashed
        self.header.account.pay(key.work)
        if not key.verifies(self.signature.signature, self._hashed):
            return Result.FAIL, Fault.HEADER, "the signature does not match the header"
        if key.testing:
            return Result.PASS, Fault.TESTING, "the key is being tested (t=y)"
        if self.body.partial:
            return Result.PASS, Fault.PARTIAL, "a part of the body is not signed (l=)"
        return Result.PASS, None, ""

    def _fault(self) -> _Found | None:
        """Why the signature fails whatever the key is; None if the key decides."""
        length = self.signature.body.length
        if length is not None and self.body.hashed < length:
            return Result.PERMERROR, Fault.LENGTH, "l= is larger than the body"
        if self.body.digest != self.signature.body_hash:
            return Result.FAIL, Fault.BODY, "the body was changed"
        if stray := self.header.stray(self.signature):
            return Result.FAIL, Fault.REPEATED_FIELD, f"a further {stray} field is not signed"
        return None


def resinfos(results: Sequence[Dkim]) -> Iterable[Resinfo]:
    """One clause for each signature, or ``dkim=none``. RFC 8601 section 2.7.1, RFC 6008 for header.b."""
    if not results:
        yield Resinfo("dkim", Result.NONE)
    for result in results:
        others = [other.b_text for other in results if other is not result and other.b_text != result.b_text]
        size = 8
        # honest signatures differ early; the bound is for a sender that makes us search for the difference
        while size < _MAX_B and any(other.startswith(result.b_text[:size]) for other in others):
            size += 1
        named = {
            "d": result.domain or "",
            "i": result.identity,
            "s": result.selector,
            "a": result.algorithm,
            "b": result.b_text[:size],
        }
        properties = tuple(("header", name, value) for name, value in named.items() if value)
        yield Resinfo("dkim", result.result, properties, result.reason)
