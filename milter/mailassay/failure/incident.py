"""What a failure report is about: a message that failed as the domain owner's fo= asks (RFC 9989 section 4.7).

A worker writes an incident into the spool as a line of a kind of its own, beside the record of the message. So the
record, the database of messages and ``why`` have no more of the header section than before, and a version that does not
know the kind passes over the line.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

from ..dkim import Dkim, Fault
from ..dmarc import Dmarc, Record
from ..dmarc.suffix import registrable
from ..domain import BadDomain, Domain
from ..evidence import Evidence
from ..judge.outcome import Outcome
from ..message import Headers
from ..policy.sets import Domains
from ..result import Result
from ..return_path import is_ours
from ..verdict import Action

VERSION, KIND = 1, "failed"
LEFT_OUT = "failed_left_out"  # the kind of a line that counts messages about which there is no other line
METHODS = ("dkim", "spf")
# What shows where the message came from, who signed it, and which way it went. Never what it is about: no Subject, no
# References, and no field that is not here. Comments, names and other words leave their values later.
FIELDS = (
    "Received", "DKIM-Signature", "From", "Sender", "Reply-To", "To", "Cc", "Date", "Message-ID", "List-Id",
    "MIME-Version", "Content-Type",
)  # fmt: skip
MOST_OF_NAME = {"received": 1, "dkim-signature": 4}  # of any other name: 1
MAX_VALUE, MAX_VALUES = 2048, 12_288  # octets of one value, and of all
MAX_SIGNATURES = 10
_MAX_TEXT = 320  # characters of a name or an address; no valid address is longer
_MOST = 1 << 40  # messages that a line can speak of
_PREFIX = {4: 24, 6: 48}  # of the network of the client, by which incidents are alike
# results that say that the evaluation failed; a temporary error may pass later
_DKIM_FAILED = (Result.FAIL, Result.PERMERROR, Result.NEUTRAL, Result.POLICY)
_SPF_FAILED = (Result.FAIL, Result.SOFTFAIL, Result.PERMERROR)


class Failure(StrEnum):
    """The value of Auth-Failure (RFC 6591; RFC 9991 section 4).

    ``dmarc``: not every mechanism gave an aligned identifier. The others are for a message of which each did, and which
    has one more signature that fails: its body hash, its key, or the signature itself.
    """

    DMARC = "dmarc"
    BODYHASH = "bodyhash"
    REVOKED = "revoked"
    SIGNATURE = "signature"


class Delivery(StrEnum):
    """The value of Delivery-Result (RFC 6591)."""

    DELIVERED = "delivered"
    SPAM = "spam"
    POLICY = "policy"
    REJECT = "reject"


_DELIVERY = {
    Action.ACCEPT: Delivery.DELIVERED,
    Action.TAG: Delivery.SPAM,
    Action.HOLD: Delivery.POLICY,
    Action.REJECT: Delivery.REJECT,
}


class Unfit(ValueError):
    """It is not an incident that this version can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A DKIM signature and its result. ``aligned``: its domain is that of the author, or of the same organization."""

    domain: str
    identity: str
    selector: str
    result: str
    fault: str
    aligned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spf:
    """The result of SPF. ``scope`` is ``mailfrom`` or ``helo``."""

    domain: str
    scope: str
    result: str
    fault: str
    aligned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A message that failed, or several that failed alike.

    ``time`` is that of the first, in seconds since 1970; ``count`` is how many there are. ``domain`` is the DMARC
    Policy Domain. ``unaligned`` are the methods that authenticated no aligned identity. ``fields`` are those of the
    header section that may be kept, from the top; their values are what the sender wrote until they are redacted.
    """

    time: float
    host: str
    queue_id: str
    client: str
    domain: str
    header_from: str
    mail_from: str
    result: str
    failure: Failure
    delivery: Delivery
    unaligned: tuple[str, ...]
    spf: Spf
    signatures: tuple[Signature, ...]
    fields: tuple[tuple[str, str], ...]
    count: int = 1

    @property
    def shape(self) -> tuple[str, ...]:
        """What failed: incidents that have the same are alike."""
        return (
            self.domain,
            self.header_from,
            network(self.client),
            *self.unaligned,
            self.failure,
            self.spf.result,
            self.spf.fault,
            *sorted({f"{each.result} {each.fault}" for each in self.signatures if each.result != Result.PASS}),
        )

    @property
    def key(self) -> str:
        """A hash of the shape."""
        return sha256("\0".join(self.shape).encode(errors="surrogatepass")).hexdigest()[:32]

    @property
    def failed_signature(self) -> Signature | None:
        """The signature that a report names: the first of an aligned domain that did not pass.

        If the only thing that failed is another signature, it is that one.
        """
        failed = [each for each in self.signatures if each.result != Result.PASS]
        aligned = [each for each in failed if each.aligned]
        return next(iter(aligned or (failed if self.failure is not Failure.DMARC else ())), None)

    @property
    def failed_spf(self) -> Spf | None:
        """SPF of an aligned domain that did not pass."""
        return self.spf if self.spf.aligned and self.spf.result != Result.PASS else None


def network(client: str) -> str:
    """The network of a client, by which incidents are alike; the text itself if it is no address."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    return str(ip_network((address, _PREFIX[address.version]), strict=False))


def of(outcome: Outcome, domains: Domains, sender: str | None, host: str, at: float) -> Incident | None:
    """The incident of a message; None if no report may be sent about it.

    ``domains`` are the author domains, or those of their DMARC records, that are reported to. ``sender`` is the address
    from which this host sends reports. ``at`` is in seconds since 1970.
    """
    evidence = outcome.evidence
    if evidence is None or outcome.verdict.action not in _DELIVERY:
        # a deferred message comes again
        return None
    dmarc = evidence.dmarc
    found = dmarc.walk.policy if dmarc.walk else None
    if found is None or dmarc.header_from is None or dmarc.ambiguous:
        return None
    policy_domain, record = found
    if policy_domain not in domains and dmarc.header_from not in domains:
        return None
    if not _asks(record, evidence) or may_loop(outcome, sender):
        return None
    unaligned = _unaligned(dmarc)
    spf = evidence.spf
    return Incident(
        time=round(at, 3),
        host=host,
        queue_id=outcome.queue_id,
        client=outcome.client,
        domain=policy_domain,
        header_from=dmarc.header_from,
        mail_from=outcome.transaction.mail_from[:_MAX_TEXT],
        result=dmarc.result,
        failure=Failure.DMARC if unaligned else _failure(evidence.dkim),
        delivery=_DELIVERY[outcome.verdict.action],
        unaligned=unaligned,
        spf=Spf(
            domain=spf.domain[:_MAX_TEXT],
            scope=spf.scope,
            result=spf.result,
            fault=spf.fault or "",
            aligned=_is_aligned(spf.domain, dmarc, policy_domain, record, strict=record.strict_spf),
        ),
        signatures=tuple(
            Signature(
                domain=each.domain or "",
                identity=each.identity[:_MAX_TEXT],
                selector=each.selector[:_MAX_TEXT],
                result=each.result,
                fault=each.fault or "",
                aligned=_is_aligned(each.domain or "", dmarc, policy_domain, record, strict=record.strict_dkim),
            )
            for each in evidence.dkim[:MAX_SIGNATURES]
        ),
        fields=_kept(outcome.headers),
    )


def may_loop(outcome: Outcome, sender: str | None) -> bool:
    """Could a report about the message be answered by a report?

    It could if the message has no address to answer to, is for the address that sends our reports, or is itself a
    report of a mail system: of a delivery, or of a failure like this one.
    """
    transaction = outcome.transaction
    if not transaction.mail_from or any(is_ours(each, sender) for each in transaction.recipients):
        return True
    types = outcome.headers.named(b"content-type")
    return any(b"multipart/report" in each.value[:MAX_VALUE].lower() for each in types)


def _organization(dmarc: Dmarc, policy_domain: Domain, record: Record) -> Domain:
    """The organizational domain of the author, without a question.

    The tree walk finds it only if an identifier has to be compared. Otherwise it is the policy domain above the author
    domain, or the registrable domain.
    """
    if dmarc.org_domain:
        return dmarc.org_domain
    author = dmarc.header_from or policy_domain
    return policy_domain if policy_domain != author and record.psd != "y" else registrable(author)


def _is_aligned(domain: str, dmarc: Dmarc, policy_domain: Domain, record: Record, *, strict: bool) -> bool:
    """Would the domain be aligned if it were authenticated? (RFC 9989 section 4.4)"""
    author = dmarc.header_from
    try:
        name = Domain(domain)
    except BadDomain:
        return False
    if author is None or name == author or strict:
        return name == author
    return name.is_within(_organization(dmarc, policy_domain, record)) and registrable(name) == registrable(author)


def _asks(record: Record, evidence: Evidence) -> bool:
    """Does the record ask for a report about such a message? (RFC 9989 section 4.7, fo= and ruf=)"""
    # reports on a public suffix domain are for aggregates only (RFC 9991 section 2)
    if record.psd == "y" or not any(each.lower().startswith("mailto:") for each in record.ruf):
        return False
    dmarc = evidence.dmarc
    if dmarc.result not in (Result.PASS, Result.FAIL):
        return False
    asked = {
        "0": dmarc.result is Result.FAIL,
        "1": bool(_unaligned(dmarc)),
        "d": any(each.result in _DKIM_FAILED for each in evidence.dkim),
        "s": evidence.spf.result in _SPF_FAILED,
    }
    return any(asked.get(each, False) for each in record.fo.lower().split(":"))


def _unaligned(dmarc: Dmarc) -> tuple[str, ...]:
    """The methods that authenticated no aligned identity."""
    aligned = {each.method for each in dmarc.aligned}
    return tuple(each for each in METHODS if each not in aligned)


def _failure(found: Collection[Dkim]) -> Failure:
    """The word for the first signature that fails."""
    fault = next((each.fault for each in found if each.result in _DKIM_FAILED), None)
    if fault is Fault.BODY:
        return Failure.BODYHASH
    return Failure.REVOKED if fault is Fault.REVOKED else Failure.SIGNATURE


def _kept(headers: Headers) -> tuple[tuple[str, str], ...]:
    """The fields that may be kept, in their order, as far as there is room for them."""
    found: list[tuple[int, str, str]] = []
    room = MAX_VALUES
    for name in FIELDS:
        octets = name.encode()
        places = headers.places(octets)[: MOST_OF_NAME.get(name.lower(), 1)]
        for place in places:
            value = headers.fields[place].value
            if len(value) <= min(room, MAX_VALUE):
                room -= len(value)
                found.append((place, name, value.decode(errors="replace")))
    return tuple((name, value) for _, name, value in sorted(found))


def line(incident: Incident) -> str:
    """The incident as one line of JSON in ASCII, without a line end."""
    return json.dumps({"v": VERSION, "kind": KIND, **asdict(incident)}, separators=(",", ":"))


def left_out(count: int) -> str:
    """A line about so many messages that failed, and of which a worker says no more."""
    return json.dumps({"v": VERSION, "kind": LEFT_OUT, "count": count})


def read_left_out(found: dict[str, Any]) -> int:
    """How many messages a line of ``left_out`` counts. Raises Unfit."""
    try:
        return _count(found["count"])
    except (KeyError, ValueError) as error:
        raise Unfit(f"{type(error).__name__}: {error}") from error


def read(found: dict[str, Any]) -> Incident:
    """The incident that a line, or the database, has. Raises Unfit."""
    try:
        incident = Incident(
            time=_time(found["time"]),
            failure=Failure(found["failure"]),
            delivery=Delivery(found["delivery"]),
            unaligned=tuple(each for each in METHODS if each in found["unaligned"]),
            spf=Spf(**_flat(found["spf"])),
            signatures=tuple(Signature(**_flat(each)) for each in found["signatures"][:MAX_SIGNATURES]),
            fields=tuple((_text(name, 40), _text(value, MAX_VALUE)) for name, value in found["fields"][:20]),
            count=_count(found["count"]),
            domain=Domain(found["domain"]),
            header_from=Domain(found["header_from"]),
            **{key: _text(found[key]) for key in ("host", "queue_id", "client", "mail_from", "result")},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unfit(f"{type(error).__name__}: {error}") from error
    return incident


def _flat(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value is True if key == "aligned" else _text(value) for key, value in found.items()}


def _text(found: object, most: int = _MAX_TEXT) -> str:
    if not isinstance(found, str):
        raise TypeError(f"expected a text, found {type(found).__name__}")
    return found[:most]


def _time(found: object) -> float:
    if not isinstance(found, int | float) or not 0 <= found < 1 << 40:
        raise ValueError("no time")
    return float(found)


def _count(found: object) -> int:
    if not isinstance(found, int) or not 0 < found < _MOST:
        raise ValueError("no number of messages")
    return found
