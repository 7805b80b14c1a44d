"""Queries and responses, octet by octet; dnspython reads the names and records in them.

dnspython's own messages are not used: building one for each question, and reading each response into sets, would be
most of the cost of DNS.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from socket import AF_INET, AF_INET6, inet_ntop

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
from ..resolver import Answer, Question, bounded

MAX_TTL = 86400  # seconds
_MAX_NAME, _MAX_LABEL = 255, 63  # octets on the wire (RFC 1035 section 2.3.4)
_EDNS_PAYLOAD = 1232  # octets; no path fragments that many
_NO_TTL = 2**31  # a TTL of this or more, negative as a signed number, is 0 (RFC 2181 section 8)
_TO_THE_QUESTION = b"\xc0\x0c"  # a compressed name: the one at octet 12
_LABEL = re.compile(rb"[!-\-/-~]+")  # of a host: printable, without a full stop
_QR, _OPCODE, _AA, _TC = 0x80, 0x78, 0x04, 0x02  # in octet 2 of a header
_AD, _RCODE = 0x20, 0x0F  # in octet 3
_POINTER = 0xC0  # the lowest first octet of a pointer (RFC 1035 section 4.1.4)
_LEAST_SOA = 22  # octets: two root names and five numbers (RFC 1035 section 3.3.13)
_WITHOUT_QUESTION = {dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED}


@dataclass(frozen=True, slots=True)
class Query:
    """A query as it is sent: ``name`` in canonical form, and its question section."""

    octets: bytes
    question: bytes
    name: bytes
    rdtype: dns.rdatatype.RdataType

    def is_answered_by(self, response: bytes) -> bool:
        """Is this a response to the query (RFC 5452 section 9.1)? The socket checks the sender."""
        if len(response) < 12 or response[:2] != self.octets[:2] or response[2] & (_QR | _OPCODE) != _QR:
            return False
        if response[4:6] == b"\0\0":
            # some servers leave out the question if they could not read it
            return rcode(response) in _WITHOUT_QUESTION
        # a response has one question (RFC 9619); lower() changes no type or class used here
        return response[4:6] == b"\0\1" and response[12 : 12 + len(self.question)].lower() == self.question.lower()


def query(question: Question, *, edns: bool = True) -> Query | None:
    """The query for a name as it is, octet by octet; None if DNS cannot have such a name."""
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
    """The octets between id and name, those after the name, and the type."""
    # AD in a query asks for AD in the response (RFC 6840 section 5.7)
    flags = dns.flags.RD | dns.flags.AD
    made = dns.message.make_query(dns.name.root, rdtype, use_edns=edns, payload=_EDNS_PAYLOAD, flags=flags).to_wire()
    return made[2:12], made[13:], dns.rdatatype.from_text(rdtype)


def rcode(response: bytes) -> dns.rcode.Rcode:
    """The response code without the bits that EDNS adds."""
    return dns.rcode.Rcode(response[3] & _RCODE)


def is_truncated(response: bytes) -> bool:
    """Is the response truncated (TC)? Then TCP gives all of it."""
    return bool(response[2] & _TC)


def answer(response: bytes, query: Query, limits: Limits) -> Answer:
    """The answer in a response to a query; follows CNAMEs inside it. Raises DNSException, DnsLimit.

    dnspython itself would put every record into a set by a hash of all its names, which takes seconds for thousands of
    long ones. A sender can also make these hashes equal. So names are compared in canonical form.
    """
    parser = dns.wire.Parser(response, 12 + len(query.question))
    answers, authorities = int.from_bytes(response[6:8]), int.from_bytes(response[8:10])
    bounded(len(response), answers + authorities, limits)
    found: dict[bytes, list[tuple[str | None, int]]] = {}
    aliases: dict[bytes, tuple[bytes, int]] = {}
    for owner, rdtype, size, ttl in _records(parser, query, answers, {query.rdtype, dns.rdatatype.CNAME}):
        if rdtype == query.rdtype:
            found.setdefault(owner, []).append((_text(parser, rdtype, size), ttl))
        else:
            aliases[owner] = (dns.name.from_wire_parser(parser).to_digestable(), ttl)
    asked, ttl = query.name, MAX_TTL
    # each alias once, so that a loop ends
    while asked not in found and asked in aliases:
        asked, of_alias = aliases.pop(asked)
        ttl = min(ttl, of_alias)
    exists = rcode(response) != dns.rcode.NXDOMAIN
    authentic, authoritative = bool(response[3] & _AD), bool(response[2] & _AA)
    if asked in found:
        if not exists:
            raise dns.message.AnswerForNXDOMAIN
        ttl = min(ttl, *(of_record for _, of_record in found[asked]))
        texts = {text for text, _ in found[asked] if text is not None}
        return Answer(tuple(sorted(texts)), ttl=ttl, authentic=authentic, authoritative=authoritative)
    # a negative answer is kept as long as its SOA says, and not at all without one (RFC 2308)
    of_no = _minimum(parser, authorities)
    ttl = 0 if of_no is None else min(ttl, of_no)
    return Answer(exists=exists, ttl=ttl, authentic=authentic, authoritative=authoritative)


def _minimum(parser: dns.wire.Parser, count: int) -> int | None:
    """The TTL of a negative answer, from the first SOA of ``count`` records; None without one. Raises DNSException.

    Names on the way are only skipped.
    """
    for _ in range(count):
        while length := parser.get_uint8():
            if length >= _POINTER:
                parser.get_bytes(1)
                break
            if length > _MAX_LABEL:
                raise dns.name.BadLabelType
            parser.get_bytes(length)
        rdtype, rdclass, ttl, size = parser.get_struct("!HHIH")
        data = parser.get_bytes(size)
        if (rdclass, rdtype) == (dns.rdataclass.IN, dns.rdatatype.SOA):
            if size < _LEAST_SOA:
                raise dns.exception.FormError
            return min(ttl if ttl < _NO_TTL else 0, int.from_bytes(data[-4:]))
    return None


def _records(
    parser: dns.wire.Parser, query: Query, count: int, wanted: set[dns.rdatatype.RdataType]
) -> Iterator[tuple[bytes, int, int, int]]:
    """The wanted ones of the next ``count`` records: owner in canonical form, type, octets of data, TTL.

    At each record the parser is at the start of the data; the caller moves it to the end. Raises DNSException.
    """
    for _ in range(count):
        # the form of nearly all owners
        of_the_question = parser.wire.startswith(_TO_THE_QUESTION, parser.current)
        name = parser.get_bytes(2) if of_the_question else dns.name.from_wire_parser(parser)
        rdtype, rdclass, ttl, size = parser.get_struct("!HHIH")
        if rdclass == dns.rdataclass.IN and rdtype in wanted:
            owner = name.to_digestable() if isinstance(name, dns.name.Name) else query.name
            with parser.restrict_to(size):
                yield owner, rdtype, size, ttl if ttl < _NO_TTL else 0
        else:
            parser.get_bytes(size)


def _text(parser: dns.wire.Parser, rdtype: int, size: int) -> str | None:
    """A record in the form of ``Answer``; None if it contains a name that cannot be asked for.

    Simple types are read here: dnspython's objects for them take longer than all the rest.
    """
    match rdtype:
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            family, octets = (AF_INET, 4) if rdtype == dns.rdatatype.A else (AF_INET6, 16)
            if size != octets:
                raise dns.exception.FormError
            return inet_ntop(family, parser.get_bytes(octets))
        case dns.rdatatype.TXT:
            if not size:
                raise dns.exception.FormError
            strings = []
            while parser.remaining():
                strings.append(parser.get_counted_bytes())
            return b"".join(strings).decode("latin-1")
        case dns.rdatatype.MX:
            preference = parser.get_uint16()
            host = _host(parser)
            return host and f"{preference} {host}"
        case dns.rdatatype.PTR | dns.rdatatype.CNAME | dns.rdatatype.NS:
            return _host(parser)
        case dns.rdatatype.SOA:
            names = [dns.name.from_wire_parser(parser).to_text(omit_final_dot=True).lower() for _ in range(2)]
            return " ".join([*names, *map(str, parser.get_struct("!IIIII"))])
    return dns.rdata.from_wire_parser(dns.rdataclass.IN, dns.rdatatype.RdataType(rdtype), parser).to_text()


def _host(parser: dns.wire.Parser) -> str | None:
    """A host name as text, in lower case; ``.`` for the root, None if the text would mean another name."""
    labels = dns.name.from_wire_parser(parser).labels[:-1]
    if not all(map(_LABEL.fullmatch, labels)):
        return None
    return b".".join(labels).lower().decode("ascii") or "."
