"""Queries and responses, octet by octet; dnspython reads the names and records in them.

Its own messages are not made for each question: to build one, and to read one into sets, is most of what DNS would
cost.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.wire

from ..limits import Limits
from ..resolver import Answer, Question

MAX_TTL = 86400  # seconds
_MAX_NAME, _MAX_LABEL = 255, 63  # octets on the wire (RFC 1035 section 2.3.4)
_EDNS_PAYLOAD = 1232  # octets that no path fragments
_NO_TTL = 2**31  # a TTL from there on, negative as a signed number, is 0 (RFC 2181 section 8)
_TO_THE_QUESTION = b"\xc0\x0c"  # a compressed name: the one at octet 12
_LABEL = re.compile(rb"[!-\-/-~]+")  # of a host: what prints, and no full stop inside
_QR, _OPCODE, _TC = 0x80, 0x78, 0x02  # in octet 2 of a header
_AD, _RCODE = 0x20, 0x0F  # in octet 3
_WITHOUT_QUESTION = {dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED}


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it is sent: ``name`` in canonical form, and what stands in its question section."""

    octets: bytes
    question: bytes
    name: bytes
    rdtype: dns.rdatatype.RdataType

    def is_answered_by(self, response: bytes) -> bool:
        """Is this a response to the query (RFC 5452 section 9.1)? Where it comes from the socket knows."""
        if len(response) < 12 or response[:2] != self.octets[:2] or response[2] & (_QR | _OPCODE) != _QR:
            return False
        if response[4:6] == b"\0\0":
            # some leave it out where they understood nothing
            return rcode(response) in _WITHOUT_QUESTION
        # more than one question would be no response (RFC 9619); types and classes here have no letters
        return response[4:6] == b"\0\1" and response[12 : 12 + len(self.question)].lower() == self.question.lower()


def query(question: Question, *, edns: bool = True) -> Query | None:
    """The query for a name as it is, octet by octet; None where DNS can have no such name."""
    labels = [label.encode("utf-8", "surrogatepass") for label in question.name.split(".")]
    if not all(0 < len(label) <= _MAX_LABEL for label in labels):
        return None
    name = b"".join([bytes((len(label),)) + label for label in labels]) + b"\0"
    if len(name) > _MAX_NAME:
        return None
    head, rest, rdtype = _template(question.rdtype, edns)
    return Query(os.urandom(2) + head + name + rest, name + rest[:4], name.lower(), rdtype)


@cache
def _template(rdtype: str, edns: bool) -> tuple[bytes, bytes, dns.rdatatype.RdataType]:
    """What stands between id and name, and behind the name."""
    # AD in a query asks for AD in the response (RFC 6840 section 5.7)
    flags = dns.flags.RD | dns.flags.AD
    made = dns.message.make_query(dns.name.root, rdtype, use_edns=edns, payload=_EDNS_PAYLOAD, flags=flags).to_wire()
    return made[2:12], made[13:], dns.rdatatype.from_text(rdtype)


def rcode(response: bytes) -> dns.rcode.Rcode:
    """The response code, without the bits that EDNS adds."""
    return dns.rcode.Rcode(response[3] & _RCODE)


def is_truncated(response: bytes) -> bool:
    """Is there more by TCP?"""
    return bool(response[2] & _TC)


def answer(response: bytes, query: Query, limits: Limits) -> Answer:
    """What a response to a query says, CNAMEs followed inside it. Raises DNSException.

    dnspython itself puts every record into a set, by a hash of all its names: seconds where thousands are long. And
    the hash of a name is one that a sender can make equal for all of them; so names are compared in canonical form.
    """
    parser = dns.wire.Parser(response, 12 + len(query.question))
    answers, authorities = int.from_bytes(response[6:8]), int.from_bytes(response[8:10])
    if len(response) > limits.dns_octets or answers + authorities > limits.dns_records:
        raise dns.exception.TooBig
    found: dict[bytes, list[tuple[dns.rdata.Rdata, int]]] = {}
    aliases: dict[bytes, tuple[bytes, int]] = {}
    for owner, record, ttl in _records(parser, query, answers, {query.rdtype, dns.rdatatype.CNAME}):
        if record.rdtype == query.rdtype:
            found.setdefault(owner, []).append((record, ttl))
        else:
            aliases[owner] = (record.target.to_digestable(), ttl)  # type: ignore[attr-defined]
    asked, ttl = query.name, MAX_TTL
    # each alias once: a circle leads to nothing
    while asked not in found and asked in aliases:
        asked, of_alias = aliases.pop(asked)
        ttl = min(ttl, of_alias)
    exists, authentic = rcode(response) != dns.rcode.NXDOMAIN, bool(response[3] & _AD)
    if asked in found:
        if not exists:
            raise dns.message.AnswerForNXDOMAIN
        texts = [_text(record) for record, _ in found[asked]]
        ttl = min(ttl, *(of_record for _, of_record in found[asked]))
        return Answer(tuple(dict.fromkeys(text for text in texts if text is not None)), ttl=ttl, authentic=authentic)
    # a "no" holds as long as its SOA says, and not at all without one (RFC 2308)
    for _, soa, of_record in _records(parser, query, authorities, {dns.rdatatype.SOA}):
        ttl = min(ttl, of_record, soa.minimum)  # type: ignore[attr-defined]
        return Answer(exists=exists, ttl=ttl, authentic=authentic)
    return Answer(exists=exists, authentic=authentic)


def _records(
    parser: dns.wire.Parser, query: Query, count: int, wanted: set[dns.rdatatype.RdataType]
) -> Iterator[tuple[bytes, dns.rdata.Rdata, int]]:
    """The next ``count`` records, those that are wanted: owner in canonical form, data, TTL. Raises DNSException."""
    for _ in range(count):
        # as nearly all are written
        of_the_question = parser.wire.startswith(_TO_THE_QUESTION, parser.current)
        name = parser.get_bytes(2) if of_the_question else dns.name.from_wire_parser(parser)
        rdtype, rdclass, ttl, size = parser.get_struct("!HHIH")
        if rdclass == dns.rdataclass.IN and rdtype in wanted:
            with parser.restrict_to(size):
                record = dns.rdata.from_wire_parser(rdclass, rdtype, parser)
            owner = name.to_digestable() if isinstance(name, dns.name.Name) else query.name
            yield owner, record, ttl if ttl < _NO_TTL else 0
        else:
            parser.get_bytes(size)


def _text(record: dns.rdata.Rdata) -> str | None:
    """A record in the form that ``Answer`` gives it; None where it has the name of nothing that could be asked for."""
    match record.rdtype:
        case dns.rdatatype.TXT:
            return b"".join(record.strings).decode("latin-1")  # type: ignore[attr-defined]
        case dns.rdatatype.MX:
            host = _host(record.exchange)  # type: ignore[attr-defined]
            return host and f"{record.preference} {host}"  # type: ignore[attr-defined]
        case dns.rdatatype.PTR | dns.rdatatype.CNAME:
            return _host(record.target)  # type: ignore[attr-defined]
        case _:
            return record.to_text()


def _host(name: dns.name.Name) -> str | None:
    """A host name as text, lower case; ``.`` for the root, None where it would be another name as text."""
    labels = name.labels[:-1]
    if not all(map(_LABEL.fullmatch, labels)):
        return None
    return b".".join(labels).lower().decode("ascii") or "."
