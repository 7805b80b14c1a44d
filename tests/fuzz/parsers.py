"""Fuzzed parsers: what may be raised, and what must hold of what was read."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from email.utils import getaddresses
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address

import authres
import dns.exception
import dns.name
import dns.rdatatype

from mailassay import arc as arcs
from mailassay import config as configs
from mailassay import dkim as dkims
from mailassay import dmarc as dmarcs
from mailassay import iprev, spf
from mailassay.author import author as read_author
from mailassay.authres.read import Unreadable, instance_of, read
from mailassay.authres.render import is_ours, render, unwanted
from mailassay.dkim import Work
from mailassay.dkim import key as keys
from mailassay.domain import MAX_LABEL, MAX_OCTETS, BadDomain, Domain
from mailassay.limits import Limits
from mailassay.message import Field, Headers, split
from mailassay.nameservers import wire
from mailassay.received import read as read_received
from mailassay.resolver import Deadline, DnsLimit, Method, Shared
from mailassay.result import Resinfo, Result
from mailassay.zone import Zone, ZoneError
from tests.lab.limits import LIMITS

from . import reader
from .world import AUTHSERV_ID, NOW, Dns, add_record

_PIECE = b"\xff"
_SPF_QUESTIONS = 150  # ten terms, each with ten hosts, and the names of the address
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_AROUND_DOT = re.compile(r"\s*\.\s*")
_HOST = re.compile(r"\.|[!-~]+")
_AFTER_AT = re.compile(r"@\s*([^\s<>,;:@]+)")


def author(data: bytes) -> None:
    """From fields. Where one is clear, a plain reader finds no other domain."""
    found = read_author(Headers(Field(b"From", value) for value in data.split(_PIECE)), LIMITS)
    if found.problem:
        return
    (domain,) = found.domains
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "").replace("\n", "")
    names = [address.rpartition("@")[2] for _, address in getaddresses([text]) if "@" in address]
    if "(" not in text:
        names += _AFTER_AT.findall(_AROUND_DOT.sub(".", _QUOTED.sub("x", text)))
    for name in names:
        with suppress(BadDomain):
            # a top-level domain is nobody's
            assert Domain(name) == domain or len(Domain(name).labels) == 1, (domain, name)


def claimed(data: bytes) -> None:
    """Authentication-Results values: whatever reads as ours is ours."""
    assert unwanted(
        Headers([Field(b"Authentication-Results", data)]), AUTHSERV_ID, most=LIMITS.results_octets
    ) or not is_ours(data, AUTHSERV_ID)
    if is_ours(data, AUTHSERV_ID):
        # what is not there in any spelling, nor as an encoded-word, is not ours
        text = unicodedata.normalize("NFKC", data.decode("utf-8", "ignore")).casefold().replace("\u3002", ".")
        rest = iter(text)
        assert "?" in text or "xn--" in text or all(mark in rest for mark in AUTHSERV_ID), "another's"
        return
    assert data.partition(b";")[0].strip().lower() != AUTHSERV_ID.encode()
    text = data.decode("utf-8", "replace").replace("\r\n", "")
    with suppress(authres.AuthResError, IndexError, ValueError, AttributeError):
        read = authres.AuthenticationResultsHeader.parse_value(text)
        assert str(read.authserv_id).casefold() != AUTHSERV_ID


def recorded(data: bytes) -> None:
    """Results of anybody: they read or do not, and who goes through them mark by mark finds the same."""
    number = instance_of(data)
    for sealed in (False, True):
        with suppress(Unreadable):
            clauses = read(data, sealed=sealed)
            assert number or not sealed
            found = reader.outline(data.decode())
            assert [(each.method, each.result == "pass") for each in clauses] == found or sealed, found


def rendered(data: bytes) -> None:
    """Values a sender wrote: what is written of them stays a value."""
    values = [piece.decode("utf-8", "surrogateescape") for piece in data.split(_PIECE)]
    resinfos = []
    for at, comment in zip(range(0, len(values), 4), values, strict=False):
        properties = tuple(("header", *pair) for pair in zip("disab", values[at:], strict=False))
        resinfos.append(Resinfo("dkim", Result.FAIL, properties, comment=comment))
    for utf8 in (False, True):
        clauses = reader.clauses(render(AUTHSERV_ID, resinfos, utf8=utf8), AUTHSERV_ID, utf8=utf8)
        assert [(method, result) for method, result, _ in clauses] == [("dkim", "fail")] * len(resinfos)
        for (_, _, properties), each in zip(clauses, resinfos, strict=True):
            assert properties.keys() <= {f"{ptype}.{name}" for ptype, name, _ in each.properties}


def dkim(data: bytes) -> None:
    """DKIM-Signature fields, verified against the bank's key and one of nobody's."""
    headers = Headers([*(Field(b"DKIM-Signature", each) for each in data.split(_PIECE)), Field(b"From", b" a@x.test")])
    found = dkims.signatures(headers, LIMITS)
    body = dkims.Body([each.body for each in found if not each.problem])
    body.update(b"x\r\n")
    digests, hashes = body.finish(), dkims.HeaderHashes(headers, Work(LIMITS))
    resolve = Deadline(Dns({}), 0.0, lambda: 0.0)
    results = [dkims.check(each, hashes, digests, resolve, NOW, LIMITS) for each in found]
    assert not any(each.result == "pass" for each in results)
    for signature in found:
        if not signature.problem:
            assert Domain(signature.key_name)
            assert b"from" in signature.header_names
    reader.clauses(render(AUTHSERV_ID, list(dkims.resinfos(results))), AUTHSERV_ID)


def key(data: bytes) -> None:
    """Key records."""
    with suppress(keys.BadKey):
        found = keys.parse(data.decode("latin-1"))
        assert found.bits >= 256
        assert not found.verifies(b"\0" * 256, sha256(data).digest())


_ARC = [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results", b"From", b"DKIM-Signature"]


def arc(data: bytes) -> None:
    """ARC fields: the first octet of a piece says which."""
    pieces = [piece for piece in data.split(_PIECE) if piece]
    headers = Headers(Field(_ARC[piece[0] % len(_ARC)], piece[1:]) for piece in pieces)
    chain = arcs.chain(headers, LIMITS)
    body = dkims.Body(arcs.body_requests(chain))
    body.update(b"x\r\n")
    resolve = Deadline(Dns({}), 0.0, lambda: 0.0)
    found = arcs.check(chain, dkims.HeaderHashes(headers, Work(LIMITS)), body.finish(), resolve, LIMITS)
    assert found.result in ("none", "fail")
    reader.clauses(render(AUTHSERV_ID, [found.resinfo(None)]), AUTHSERV_ID)


def dmarc(data: bytes) -> None:
    """An author field, an identifier and the DMARC records between them: ``name value``."""
    sender, other, *lines = [*data.split(_PIECE), b"", b""]
    records: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        add_record(records, "TXT", line)
        dmarcs.Record.parse(line.decode("latin-1"))
    found_author = read_author(Headers([Field(b"From", sender)]), LIMITS)
    try:
        identifier = Domain(other.decode("utf-8", "replace"))
    except BadDomain:
        return
    resolve = Deadline(Dns(records), 0.0, lambda: 0.0)
    failing = dmarcs.check(found_author, [dmarcs.Identifier("spf", identifier, Result.FAIL)], resolve, LIMITS)
    passing = dmarcs.check(found_author, [dmarcs.Identifier("dkim", identifier, Result.PASS)], resolve, LIMITS)
    assert failing.result != "pass"
    if passing.result == "pass":
        (domain,) = found_author.domains
        assert identifier.labels[-2:] == domain.labels[-2:], (identifier, domain)
    reader.clauses(render(AUTHSERV_ID, [dmarcs.resinfo(failing), dmarcs.resinfo(passing)]), AUTHSERV_ID)


_TYPES = {b"T": "TXT", b"P": "PTR", b"X": "MX", b"A": "A", b"Q": "AAAA"}


def sender(data: bytes) -> None:
    """SPF and iprev: client, HELO, MAIL FROM, then records as ``T name value``, by type as in a script."""
    client, helo, mail_from, *lines = [*data.split(_PIECE), b"", b"", b""]
    records: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        if line[:1] in _TYPES:
            add_record(records, _TYPES[line[:1]], line[1:])
    address: IPv4Address | IPv6Address = ip_address("2001:db8::5" if client.startswith(b"6") else "192.0.2.5")
    shared = Shared(Dns(records), most=_SPF_QUESTIONS)
    resolve = shared.of(Method.SPF).resolver(0.0, lambda: 0.0)
    name = helo.decode("utf-8", "replace")
    given = mail_from.decode("utf-8", "surrogateescape") or "x"
    found = spf.check_mail_from(address, given, name, resolve, LIMITS)
    assert not found.limit, "more questions than SPF may ask"
    by_helo = spf.check_mail_from(address, "", name, shared.of(Method.SPF_HELO).resolver(0.0, lambda: 0.0), LIMITS)
    assert not by_helo.limit, "more questions than SPF may ask"
    reverse = iprev.check(address, shared.of(Method.IPREV).resolver(0.0, lambda: 0.0), LIMITS)
    resinfos = [reverse.resinfo(), found.resinfo(), by_helo.resinfo()]
    reader.clauses(render(AUTHSERV_ID, resinfos), AUTHSERV_ID)


def domain(data: bytes) -> None:
    """Domain names."""
    with suppress(BadDomain):
        name = Domain(data.decode("utf-8", "surrogateescape"))
        assert name.isascii()
        assert name == name.lower()
        assert Domain(name) == name
        assert len(name) <= MAX_OCTETS
        assert all(0 < len(label) <= MAX_LABEL for label in name.labels)
        assert all(name.is_within(parent) for parent in name.parents())


def message(data: bytes) -> None:
    """Message files."""
    headers, body = split(data)
    assert body.count(b"\n") == body.count(b"\r\n")
    for each in headers:
        assert all(33 <= octet <= 126 and octet != 58 for octet in each.name)
        assert all(line[:1] in (b" ", b"\t") for line in each.value.split(b"\r\n")[1:])
        assert each.value.count(b"\n") == each.value.count(b"\r\n")


def received(data: bytes) -> None:
    """A Received field; and in one of Postfix's what a client said in HELO, in its certificate and as a recipient."""
    found = read_received(data.replace(_PIECE, b" "))
    assert not (found.problem and found.client_ip)
    said = [piece.decode("utf-8", "surrogateescape") for piece in data.split(_PIECE)]
    helo, name, local_part = [*said, "x", "x", "x"][:3]
    helo = "".join(each if "!" <= each <= "~" and each not in '<>()\\";@' else "?" for each in helo)[:2000] or "x"
    name = "".join(each if " " <= each <= "~" and each not in "()\\" else "?" for each in name)[:250]
    local_part = re.sub(r'(["\\])', r"\\\1", "".join(each if " " <= each <= "~" else "?" for each in local_part[:500]))
    text = (
        f' from {helo} (unknown [192.0.2.1])\r\n\t(Client CN "{name}", Issuer "{name}" (not verified))\r\n'
        f'\tby mx2.a.example (Postfix) with ESMTPS id 1\r\n\tfor <"{local_part}"@a.example>; x'
    )
    found = read_received(text.encode())
    assert (str(found.client_ip), found.helo, found.login) == ("192.0.2.1", helo, "")


_FILE = tempfile.NamedTemporaryFile(prefix="mailassay-fuzz-", suffix=".yaml")  # noqa: SIM115 - as long as the process


def config(data: bytes) -> None:
    """Both YAML files: what is wrong is a ConfigError that names its place."""
    _FILE.seek(0)
    _FILE.truncate()
    _FILE.write(data)
    _FILE.flush()
    for load in (configs.load, configs.load_policy):
        problems = _problems(load)
        assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
        assert all(str(problem).isprintable() for problem in problems)


def _problems(load: Callable[[str], object]) -> tuple[configs.Problem, ...]:
    try:
        load(_FILE.name)
    except configs.ConfigError as error:
        return error.problems
    return ()


def zone(data: bytes) -> None:
    """Zone files, and what they answer."""
    with suppress(ZoneError):
        found = Zone(data.decode("utf-8", "surrogateescape"), limits=LIMITS)
        for name in ("example.com", "www.example.com", "a.wild.example", data[:20].decode("latin-1")):
            for rdtype in ("A", "AAAA", "MX", "PTR", "TXT"):
                found.lookup(name, rdtype)


def answer(data: bytes) -> None:
    """DNS responses as they come from the network."""
    with suppress(dns.exception.DNSException, DnsLimit):
        name, octets = dns.name.from_wire(data, 12)
        question = data[12 : 16 + octets]
        rdtype = dns.rdatatype.RdataType(int.from_bytes(question[-4:-2]))
        asked = wire.Query(data[:2], question, name.to_digestable(), rdtype)
        if not asked.is_answered_by(data):
            return
        found = wire.answer(data, asked, Limits())
        for record in found.records:
            if asked.rdtype in (1, 28):
                ip_address(record)
            elif asked.rdtype in (5, 12, 15):
                preference, _, host = record.rpartition(" ")
                assert preference.isdecimal() == (asked.rdtype == 15)
                assert _HOST.fullmatch(host)
            elif asked.rdtype == 16:
                record.encode("latin-1")
