"""A record as an outcome again, so that the words about a message of the history are those of ``check``.

What a record does not have is missing: DNS questions, the terms of an SPF record, the steps of a DMARC walk. No worker
imports this module.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address
from typing import Any, TypeVar

from .. import arc, dkim, dmarc, iprev, sender_domain, spf
from ..dmarc import Disposition, Dmarc, How, Identifier, Record
from ..dmarc.discovery import Walk
from ..domain import Domain
from ..evidence import Connection, Evidence, Transaction
from ..judge.outcome import Outcome
from ..result import Result
from ..sign import Sealed, Unsealed, Unsigned
from ..verdict import Action, Decider, Kind, Reply, Verdict
from .record import MAX_RECIPIENTS, VERSION

_MOST = 10_000  # recipients; a session keeps fewer
_Word = TypeVar("_Word", bound=StrEnum)


class Unreadable(ValueError):
    """It is not a record that this version can read."""


def outcome(record: dict[str, Any]) -> Outcome:
    """The outcome of a message, as far as its record goes. Raises Unreadable."""
    if record.get("v") != VERSION or record.get("kind") != "message":
        raise Unreadable(f"not a record of version {VERSION}")
    try:
        return _outcome(_Map(record))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


class _Map:
    """A map of JSON. The methods give values by key; they raise KeyError, or TypeError for one of another type."""

    def __init__(self, found: object) -> None:
        if not isinstance(found, dict):
            raise TypeError(f"expected a map, found {type(found).__name__}")
        self._found = found

    def __contains__(self, key: str) -> bool:
        return self._found.get(key) is not None

    def text(self, key: str) -> str:
        return _text(self._found[key])

    def flag(self, key: str) -> bool:
        if not isinstance(found := self._found[key], bool):
            raise TypeError(f"{key} is not a flag")
        return found

    def integer(self, key: str) -> int:
        if not isinstance(found := self._found[key], int):
            raise TypeError(f"{key} is not an integer")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(map(_text, self._items(key)))

    def pairs(self, key: str) -> list[tuple[Any, Any]]:
        return [(first, second) for first, second in self._items(key)]

    def map(self, key: str) -> _Map:
        return _Map(self._found[key])

    def maps(self, key: str) -> list[_Map]:
        return [_Map(each) for each in self._items(key)]

    def word(self, key: str, words: type[_Word]) -> _Word:
        return words(self.text(key))

    def maybe_word(self, key: str, words: type[_Word]) -> _Word | None:
        return self.word(key, words) if key in self else None

    def maybe_domain(self, key: str) -> Domain | None:
        return Domain(self.text(key)) if key in self else None

    def maybe_integer(self, key: str) -> int | None:
        return self.integer(key) if key in self else None

    def maybe_map(self, key: str) -> _Map | None:
        return self.map(key) if key in self else None

    def seconds(self, key: str) -> float:
        return float(self._found[key])

    def _items(self, key: str) -> list[Any]:
        if not isinstance(found := self._found[key], list):
            raise TypeError(f"{key} is not a list")
        return found


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError(f"expected a text, found {type(found).__name__}")
    return found


def _outcome(record: _Map) -> Outcome:
    return Outcome(
        verdict=_verdict(record),
        transaction=_transaction(record),
        connection=_connection(record),
        evidence=_evidence(record) if "evidence" in record else None,
        queue_id=record.text("queue_id"),
        message_id=record.text("message_id"),
        remove=tuple((_text(name), int(instance)) for name, instance in record.pairs("removed")),
        add=tuple((_text(name), _text(value)) for name, value in record.pairs("added")),
        seconds=record.seconds("seconds"),
        dns_wait=record.seconds("dns_wait"),
        unanswered=record.flag("unanswered"),
        unsent=record.flag("unsent"),
        sample=record.maybe_integer("sample"),
        signed_by=record.texts("signed_by") if "signed_by" in record else (),
        signed_with=record.texts("signed_with") if "signed_with" in record else (),
        unsigned=record.maybe_word("unsigned", Unsigned),
        seal=_seal(record),
    )


def _seal(record: _Map) -> Sealed | None:
    why = record.maybe_word("unsealed", Unsealed)
    if "sealed_by" not in record:
        return Sealed(why=why) if why else None
    return Sealed((), record.text("sealed_by"), record.integer("seal_i"), record.word("seal_cv", Result), why)


def _verdict(record: _Map) -> Verdict:
    kind, rule = record.word("kind_of_rule", Kind), record.text("rule")
    reply = None
    if "reply" in record:
        code, enhanced, text = record.text("reply").split(" ", 2)
        reply = Reply(int(code), enhanced, text)
    return Verdict(
        record.word("verdict", Action),
        Decider(kind, rule.removeprefix("rules.") if kind is Kind.RULE else rule),
        record.text("reason"),
        reply,
        record.word("would", Action),
        monitored=record.texts("monitored"),
        override=record.text("override"),
    )


def _transaction(record: _Map) -> Transaction:
    recipients = [*record.texts("recipients")]
    if more := record.integer("more_recipients"):
        # as many as there were: those that are not kept are empty
        recipients += [""] * (MAX_RECIPIENTS - len(recipients) + max(0, min(more, _MOST)))
    return Transaction(record.text("mail_from"), login=record.text("login"), recipients=tuple(recipients))


def _connection(record: _Map) -> Connection | None:
    if not record.text("client"):
        return None
    return Connection(
        ip_address(record.text("client")),
        record.text("helo"),
        via=tuple(map(ip_address, record.texts("via"))),
        untraced=record.text("untraced"),
    )


def _evidence(record: _Map) -> Evidence:
    found = record.map("evidence")
    mail_from, sender, doubt = map(found.maybe_map, ("spf_mail_from", "sender_domain", "not_vouched"))
    return Evidence(
        iprev=_iprev(found.map("iprev")),
        spf_helo=_spf(found.map("spf_helo")),
        spf_mail_from=_spf(mail_from) if mail_from else None,
        dkim=tuple(map(_dkim, found.maps("dkim"))),
        arc=_arc(found.map("arc")),
        dmarc=_dmarc(found.map("dmarc"), record.maybe_map("dmarc_record")),
        authors=tuple(map(Domain, found.texts("authors"))) if "authors" in found else None,
        sender_domain=_sender_domain(sender) if sender else None,
        vouched=found.text("vouched"),
        mailing_list=found.flag("mailing_list"),
        vouched_mail_from=found.text("vouched_mail_from"),
        not_vouched=arc.Doubted(doubt.word("fault", arc.Doubt), doubt.text("reason")) if doubt else None,
    )


def _iprev(found: _Map) -> iprev.Iprev:
    return iprev.Iprev(
        found.word("result", Result),
        ip_address(found.text("client_ip")),
        found.text("name"),
        reason=found.text("reason"),
        limit=found.text("limit"),
        names=found.texts("names"),
        unanswered=found.texts("unanswered"),
        fault=found.maybe_word("fault", iprev.Fault),
    )


def _spf(found: _Map) -> spf.Spf:
    return spf.Spf(
        found.word("result", Result),
        "helo" if found.text("scope") == "helo" else "mailfrom",
        found.text("domain"),
        found.text("mechanism"),
        found.text("reason"),
        found.text("limit"),
        found.maybe_word("fault", spf.Fault),
    )


def _dkim(found: _Map) -> dkim.Dkim:
    return dkim.Dkim(
        found.word("result", Result),
        found.maybe_domain("domain"),
        identity=found.text("identity"),
        selector=found.text("selector"),
        algorithm=found.text("algorithm"),
        b_text=found.text("b_text"),
        bits=found.integer("bits"),
        testing=found.flag("testing"),
        partial=found.flag("partial"),
        reason=found.text("reason"),
        limit=found.text("limit"),
        fault=found.maybe_word("fault", dkim.Fault),
    )


def _arc(found: _Map) -> arc.Arc:
    return arc.Arc(
        found.word("result", Result),
        tuple(map(Domain, found.texts("sealers"))),
        found.maybe_integer("oldest_pass"),
        found.text("reason"),
        found.maybe_word("fault", arc.Fault),
    )


def _dmarc(found: _Map, record: _Map | None = None) -> Dmarc:
    return Dmarc(
        found.word("result", Result),
        found.maybe_domain("header_from"),
        found.maybe_word("policy", Disposition),
        found.text("tag"),
        found.maybe_domain("found_at"),
        found.maybe_domain("org_domain"),
        tuple(map(_identifier, found.maps("aligned"))),
        testing=found.flag("testing"),
        ambiguous=found.flag("ambiguous"),
        public_suffix=found.maybe_domain("public_suffix"),
        at_stake=found.word("at_stake", Disposition),
        reason=found.text("reason"),
        readings=tuple(map(_dmarc, found.maps("readings"))),
        fault=found.maybe_word("fault", dmarc.Fault),
        walk=_walk(record) if record else None,
        alignment=tuple((_identifier(each), each.word("how", How)) for each in record.maps("alignment"))
        if record
        else (),
    )


def _walk(record: _Map) -> Walk:
    """A walk that ended at the record whose policy applied."""
    at = Domain(record.text("at"))
    found = Record(
        p=record.maybe_word("p", Disposition),
        sp=record.maybe_word("sp", Disposition),
        np=record.maybe_word("np", Disposition),
        psd=record.text("psd"),
        testing=record.text("t") == "y",
        strict_dkim=record.text("adkim") == "s",
        strict_spf=record.text("aspf") == "s",
        rua=record.texts("rua"),
        ruf=record.texts("ruf"),
        fo=record.text("fo"),
    )
    return Walk(at, ((at, found),))


def _identifier(found: _Map) -> Identifier:
    return Identifier(found.text("method"), Domain(found.text("domain")), found.word("result", Result))


def _sender_domain(found: _Map) -> sender_domain.SenderDomain:
    return sender_domain.SenderDomain(
        found.word("result", sender_domain.Receives),
        found.text("domain"),
        found.text("reason"),
        found.text("limit"),
        found.maybe_word("fault", sender_domain.Fault),
    )
