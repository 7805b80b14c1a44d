"""A record as an outcome again, so that the words about a message of the history are those of ``check``.

What a record does not have is missing: DNS questions, the terms of an SPF record, the steps of a DMARC walk. No worker
imports this module.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from .. import arc, dkim, dmarc, iprev, sender_domain, spf
from ..dmarc import Disposition, Dmarc, How, Identifier, Record
from ..dmarc.discovery import Walk
from ..domain import Domain
from ..evidence import Connection, Evidence, Transaction
from ..judge.outcome import Outcome
from ..result import Result
from ..verdict import Action, Decider, Kind, Reply, Verdict
from .record import MAX_RECIPIENTS, VERSION

_MOST = 10_000  # recipients; a session keeps fewer


class Unreadable(ValueError):
    """It is not a record that this version can read."""


def outcome(record: dict[str, Any]) -> Outcome:
    """The outcome of a message, as far as its record goes. Raises Unreadable."""
    if record.get("v") != VERSION or record.get("kind") != "message":
        raise Unreadable(f"not a record of version {VERSION}")
    try:
        return Outcome(
            verdict=_verdict(record),
            transaction=_transaction(record),
            connection=_connection(record),
            evidence=_evidence(record) if "evidence" in record else None,
            queue_id=record["queue_id"],
            message_id=record["message_id"],
            remove=tuple((name, int(instance)) for name, instance in record["removed"]),
            add=tuple((name, value) for name, value in record["added"]),
            seconds=float(record["seconds"]),
            unanswered=record["unanswered"],
            unsent=record["unsent"],
            sample=record["sample"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _verdict(record: dict[str, Any]) -> Verdict:
    kind = Kind(record["kind_of_rule"])
    reply = None
    if record["reply"]:
        code, enhanced, text = record["reply"].split(" ", 2)
        reply = Reply(int(code), enhanced, text)
    return Verdict(
        Action(record["verdict"]),
        Decider(kind, record["rule"].removeprefix("rules.") if kind is Kind.RULE else record["rule"]),
        record["reason"],
        reply,
        Action(record["would"]),
        monitored=tuple(record["monitored"]),
        override=record["override"],
    )


def _transaction(record: dict[str, Any]) -> Transaction:
    recipients = list(record["recipients"])
    if more := int(record["more_recipients"]):
        # as many as there were: those that are not kept are empty
        recipients += [""] * (MAX_RECIPIENTS - len(recipients) + min(more, _MOST))
    return Transaction(record["mail_from"], login=record["login"], recipients=tuple(recipients))


def _connection(record: dict[str, Any]) -> Connection | None:
    if not record["client"]:
        return None
    results = record["results"]
    return Connection(
        ip_address(record["client"]),
        record["helo"],
        via=tuple(map(ip_address, results.get("via", ()))),
        untraced=results.get("untraced", ""),
    )


def _evidence(record: dict[str, Any]) -> Evidence:
    found = record["evidence"]
    doubt, sender, authors = found["not_vouched"], found["sender_domain"], found["authors"]
    return Evidence(
        iprev=_iprev(found["iprev"]),
        spf_helo=_spf(found["spf_helo"]),
        spf_mail_from=_spf(found["spf_mail_from"]) if found["spf_mail_from"] else None,
        dkim=tuple(map(_dkim, found["dkim"])),
        arc=_arc(found["arc"]),
        dmarc=_dmarc(found["dmarc"], record["dmarc_record"]),
        authors=None if authors is None else tuple(map(Domain, authors)),
        sender_domain=_sender_domain(sender) if sender else None,
        vouched=found["vouched"],
        mailing_list=found["mailing_list"],
        vouched_mail_from=found["vouched_mail_from"],
        not_vouched=arc.Doubted(arc.Doubt(doubt["fault"]), doubt["reason"]) if doubt else None,
    )


def _iprev(found: dict[str, Any]) -> iprev.Iprev:
    return iprev.Iprev(
        Result(found["result"]),
        ip_address(found["client_ip"]),
        found["name"],
        reason=found["reason"],
        limit=found["limit"],
        names=tuple(found["names"]),
        unanswered=tuple(found["unanswered"]),
        fault=iprev.Fault(found["fault"]) if found["fault"] else None,
    )


def _spf(found: dict[str, Any]) -> spf.Spf:
    return spf.Spf(
        Result(found["result"]),
        "helo" if found["scope"] == "helo" else "mailfrom",
        found["domain"],
        found["mechanism"],
        found["reason"],
        found["limit"],
        spf.Fault(found["fault"]) if found["fault"] else None,
    )


def _dkim(found: dict[str, Any]) -> dkim.Dkim:
    return dkim.Dkim(
        Result(found["result"]),
        _domain(found["domain"]),
        identity=found["identity"],
        selector=found["selector"],
        algorithm=found["algorithm"],
        b_text=found["b_text"],
        bits=found["bits"],
        testing=found["testing"],
        partial=found["partial"],
        reason=found["reason"],
        limit=found["limit"],
        fault=dkim.Fault(found["fault"]) if found["fault"] else None,
    )


def _arc(found: dict[str, Any]) -> arc.Arc:
    fault = arc.Fault(found["fault"]) if found["fault"] else None
    sealers = tuple(map(Domain, found["sealers"]))
    return arc.Arc(Result(found["result"]), sealers, found["oldest_pass"], found["reason"], fault)


def _dmarc(found: dict[str, Any], record: dict[str, Any] | None = None) -> Dmarc:
    alignment = record["alignment"] if record else ()
    return Dmarc(
        Result(found["result"]),
        _domain(found["header_from"]),
        _disposition(found["policy"]),
        found["tag"],
        _domain(found["found_at"]),
        _domain(found["org_domain"]),
        tuple(map(_identifier, found["aligned"])),
        testing=found["testing"],
        ambiguous=found["ambiguous"],
        public_suffix=_domain(found["public_suffix"]),
        at_stake=Disposition(found["at_stake"]),
        reason=found["reason"],
        readings=tuple(map(_dmarc, found["readings"])),
        fault=dmarc.Fault(found["fault"]) if found["fault"] else None,
        walk=_walk(record) if record else None,
        alignment=tuple((_identifier(each), How(each["how"])) for each in alignment),
    )


def _walk(record: dict[str, Any]) -> Walk:
    """A walk that ended at the record whose policy applied."""
    at = Domain(record["at"])
    found = Record(
        p=_disposition(record["p"]),
        sp=_disposition(record["sp"]),
        np=_disposition(record["np"]),
        psd=record["psd"],
        testing=record["t"] == "y",
        strict_dkim=record["adkim"] == "s",
        strict_spf=record["aspf"] == "s",
        rua=tuple(record["rua"]),
        ruf=tuple(record["ruf"]),
        fo=record["fo"],
    )
    return Walk(at, ((at, found),))


def _identifier(found: dict[str, Any]) -> Identifier:
    return Identifier(found["method"], Domain(found["domain"]), Result(found["result"]))


def _sender_domain(found: dict[str, Any]) -> sender_domain.SenderDomain:
    fault = sender_domain.Fault(found["fault"]) if found["fault"] else None
    result = sender_domain.Receives(found["result"])
    return sender_domain.SenderDomain(result, found["domain"], found["reason"], found["limit"], fault)


def _domain(text: str | None) -> Domain | None:
    return None if text is None else Domain(text)


def _disposition(text: str | None) -> Disposition | None:
    return None if text is None else Disposition(text)
