"""What a message adds to the report about its DMARC Policy Domain (RFC 9990 section 3.1)."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any, NamedTuple

from .. import dmarc, return_path
from ..dmarc import How
from ..domain import BadDomain, Domain
from ..result import Result
from ..verdict import Action, Kind
from .report import Disposition, Override, Policy, Reason, Row, Signature, Spf

MOST_SIGNATURES = 100  # of a row (section 3.1.3)
_MOST_TEXT = 2000  # characters of the domains and selectors of a row's signatures
_MOST_SELECTOR = 255  # characters; DNS has no longer name
_DKIM = frozenset(Result) - {Result.SOFTFAIL}  # RFC 8601 section 2.7.1
_MAILTO = re.compile(r"mailto:[^@?]+(?:@|%40)[^@?]+", re.IGNORECASE)
# control characters, and halves of surrogate pairs, which no database and no XML takes
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FO = re.compile(r"[01ds](?::[01ds])*")
# what a message that fails gets, by what is done with it
_APPLIED = {
    Action.ACCEPT: Disposition.NONE,
    Action.TAG: Disposition.QUARANTINE,
    Action.HOLD: Disposition.QUARANTINE,
    Action.REJECT: Disposition.REJECT,
}
# the comments of reasons; none names a rule, a file or a setting of the operator
_UNDECIDED = "DNS gave no answer in time"
_MONITORED = "the receiver does not enforce policies yet"
_RULE = "a rule of the receiver"
_LAXER = "the receiver is less strict"
_STRICTER = "the receiver is stricter"


class Added(NamedTuple):
    """One message for the row of a report. ``wanted``: it may cause a report, and not only count in one."""

    policy: Policy
    row: Row
    wanted: bool


def added(record: dict[str, Any], sender: str) -> Added | None:
    """What a record of the history adds; None if no report counts the message.

    ``sender`` is the address of our own reports. Counted is a message that was judged and not deferred, if the record
    of its policy domain asks for reports. If DNS hides which record applies, or it is not known which client sent the
    message, nothing true can be said. Raises KeyError, TypeError, ValueError, AttributeError or OSError if it is no
    record.
    """
    evidence, published = record.get("evidence"), record.get("dmarc_record")
    if not evidence or not published or record["verdict"] == Action.DEFER or record["untraced"]:
        return None
    found = evidence["dmarc"]
    if not any(map(_MAILTO.fullmatch, published["rua"])) or not _is_known(found, published):
        return None
    policy = _policy(published)
    return Added(policy, _row(record, policy), _may_cause(record, sender))


def is_null(record: dict[str, Any]) -> bool:
    """Had the message a null reverse-path? Also true if that is not known: then addresses are not kept."""
    if evidence := record.get("evidence"):
        # the identity of MAIL FROM is then that of HELO (RFC 7208 section 2.4)
        return evidence["spf_mail_from"] is None
    return not record["mail_from"]


def _is_known(found: dict[str, Any], published: dict[str, Any]) -> bool:
    """Is it known that the record applies? Without an answer of DNS, there may be another one."""
    if found["header_from"] is None:
        return False
    if found["found_at"] is not None:
        return bool(found["found_at"] == published["at"])
    return bool(found["fault"] == dmarc.Fault.UNDECIDED)


def _may_cause(record: dict[str, Any], sender: str) -> bool:
    """Not a bounce, and no mail to the address of our reports: it would never end."""
    return not is_null(record) and not any(return_path.is_ours(each, sender) for each in record["recipients"])


def _policy(published: dict[str, Any]) -> Policy:
    p = _asked(published["p"]) or dmarc.Disposition.NONE
    sp = _asked(published["sp"]) or p
    return Policy(
        domain=Domain(published["at"]),
        p=p,
        sp=sp,
        np=_asked(published["np"]) or sp,
        fo=published["fo"] if _FO.fullmatch(published["fo"]) else "0",
        adkim="s" if published["adkim"] == "s" else "r",
        aspf="s" if published["aspf"] == "s" else "r",
        testing=published["t"] == "y",
        psd=published["psd"] if published["psd"] in ("y", "n") else "u",
    )


def _asked(word: str | None) -> dmarc.Disposition | None:
    return None if word is None else dmarc.Disposition(word)


def _row(record: dict[str, Any], policy: Policy) -> Row:
    evidence = record["evidence"]
    found = evidence["dmarc"]
    author = Domain(found["header_from"])
    aligned = {each["method"] for each in found["aligned"]}
    disposition, reasons = _applied(record, policy)
    return Row(
        source_ip=_address(record["client"]),
        header_from=author,
        envelope_from="" if is_null(record) else _domain(evidence["spf_mail_from"]["domain"]),
        disposition=disposition,
        dkim="dkim" in aligned,
        spf="spf" in aligned,
        reasons=reasons,
        signatures=tuple(_signatures(evidence["dkim"], author, record["dmarc_record"]["alignment"])),
        spf_result=_spf(evidence["spf_mail_from"] or evidence["spf_helo"]),
    )


def _address(text: str) -> str:
    if ":" in text:
        return str(IPv6Address(text))
    # a quarter of the time of IPv4Address, and as strict
    socket.inet_pton(socket.AF_INET, text)
    return text


def _domain(text: str | None) -> Domain | None:
    """A domain name; None for other text, such as a HELO that is an address."""
    try:
        return Domain(text) if text else None
    except BadDomain:
        return None


def _spf(found: dict[str, Any]) -> Spf | None:
    domain = _domain(found["domain"])
    return Spf(domain, Result(found["result"])) if domain else None


def _signatures(found: list[dict[str, Any]], author: Domain, alignment: list[dict[str, Any]]) -> Iterator[Signature]:
    """In the order of section 3.1.3, and no more than the first hundred. One without a domain cannot be validated."""
    relaxed = {each["domain"] for each in alignment if each["method"] == "dkim" and each["how"] == How.ORGANIZATION}

    def rank(each: Signature) -> int:
        if each.result != Result.PASS:
            return 3
        return 0 if each.domain == author else 1 if each.domain in relaxed else 2

    signatures = [
        Signature(domain, _fit(each["selector"]), _word(each["result"]))
        for each in found
        if (domain := _domain(each["domain"]))
    ]
    left = _MOST_TEXT
    for each in sorted(signatures, key=rank)[:MOST_SIGNATURES]:
        left -= len(each.domain) + len(each.selector)
        if left < 0:
            return
        yield each


def _word(text: str) -> Result:
    result = Result(text)
    if result not in _DKIM:
        raise ValueError(f"{result} is no result of DKIM")
    return result


def _fit(text: str) -> str:
    return _UNFIT.sub("\ufffd", text[:_MOST_SELECTOR])


def _applied(record: dict[str, Any], policy: Policy) -> tuple[Disposition, tuple[Reason, ...]]:
    """What was done by the DMARC policy, and why that is not what the policy asks for (sections 3.1.1.9, 3.1.6)."""
    found = record["evidence"]["dmarc"]
    if found["result"] == Result.PASS:
        asks = found["policy"] not in (None, dmarc.Disposition.NONE)
        return (Disposition.PASS if asks else Disposition.NONE), ()
    applied = _APPLIED[Action(record["verdict"])]
    if found["result"] != Result.FAIL:
        return applied, (Reason(Override.OTHER, _UNDECIDED),)
    published = dmarc.Disposition({"sp": policy.sp, "np": policy.np}.get(found["tag"], policy.p))
    asked = published.lowered() if policy.testing else published
    if applied.value == published.value:
        return applied, ()
    reasons = []
    if asked is not published:
        reasons.append(Reason(Override.POLICY_TEST_MODE))
    if applied.value != asked.value:
        reasons.append(_override(record, is_laxer=dmarc.Disposition(applied).severity < asked.severity))
    return applied, tuple(reasons)


def _override(record: dict[str, Any], *, is_laxer: bool) -> Reason:
    """Why something else was done than the policy asks for."""
    if is_laxer and record["override"]:
        return _of_override(record)
    if is_laxer and record["would"] != record["verdict"]:
        return Reason(Override.LOCAL_POLICY, _MONITORED)
    if record["kind_of_rule"] == Kind.RULE:
        return Reason(Override.LOCAL_POLICY, _RULE)
    return Reason(Override.LOCAL_POLICY, _LAXER if is_laxer else _STRICTER)


def _of_override(record: dict[str, Any]) -> Reason:
    """For what ``Verdict.override`` says."""
    word, _, rest = record["override"].partition(": ")
    match Override(word):
        case Override.LOCAL_POLICY if rest == record["evidence"]["vouched"]:
            return Reason(Override.LOCAL_POLICY, _seals(record["evidence"]["arc"]["sealers"]))
        case Override.LOCAL_POLICY:
            return Reason(Override.LOCAL_POLICY, _RULE if record["kind_of_rule"] == Kind.RULE else _LAXER)
        case other:
            return Reason(other)


def _seals(sealers: list[str]) -> str:
    """The chain by which a trusted sealer vouches for the message, as RFC 8617 section 7.2.2 has it."""
    numbered = [f"as[{number}].d={Domain(each)}" for number, each in enumerate(sealers, 1)]
    return " ".join(["arc=pass", *reversed(numbered[-5:])])
