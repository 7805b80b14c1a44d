"""DNS over the network: the only place that knows dnspython."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.wire

from .limits import Limits
from .resolver import NXDOMAIN, Answer, DnsTempError, Question

MAX_TRIES = 3
MAX_TTL = 86400  # seconds
_EDNS_PAYLOAD = 1232  # octets that no path fragments
_MAX_PACKET = 65_535  # octets
_NO_TTL = 2**31  # a TTL from there on, negative as a signed number, is 0 (RFC 2181 section 8)
_LABEL = re.compile(rb"[!-\-/-~]+")  # of a host: what prints, and no full stop inside


def system_nameservers() -> list[tuple[str, int]]:
    """The name servers of /etc/resolv.conf, or the one on this host where there are none."""
    try:
        system = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return [("127.0.0.1", 53)]
    return [(str(address), system.port) for address in system.nameservers]


class Nameservers:
    """A source that asks name servers, any number of questions at once.

    Each try lasts at most ``timeout`` seconds; the servers are tried in turn, each question two or three times in all.
    A response of more than ``limits.dns_octets`` or ``limits.dns_records`` is trouble, like one that cannot be read.
    What reading takes at most is in ``tests/bench/bench_dns.py``; an answer takes less than 100 kB.
    The thread that talks to them starts with the first question, so that a process may fork before.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]], timeout: float, limits: Limits = Limits()) -> None:
        tries = min(MAX_TRIES, max(2, len(addresses)))
        self._tries = [addresses[number % len(addresses)] for number in range(tries)]
        self._timeout, self._limits = timeout, limits
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self, question: Question) -> Future[Answer]:
        # under the lock, so that whatever is handed in comes before the end and is ended by it
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._loop,), name="dns", daemon=True).start()
            return asyncio.run_coroutine_threadsafe(self._ask(question), self._loop)

    def close(self) -> None:
        """Stop the thread; questions under way end with a DnsTempError."""
        with self._lock:
            if self._loop:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None

    async def _ask(self, question: Question) -> Answer:
        name = _name(question.name)
        if name is None:
            return NXDOMAIN
        rdtype = dns.rdatatype.from_text(question.rdtype)
        trouble = "no try"
        for place in self._tries:
            # RFC 6891 section 7: FORMERR is what a server says that knows no EDNS
            query = dns.message.make_query(name, rdtype, use_edns=trouble != "FORMERR", payload=_EDNS_PAYLOAD)
            try:
                # one limit around UDP and TCP
                async with asyncio.timeout(self._timeout):
                    response = await _exchange(query, place)
                rcode = _head(response).rcode()
                if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                    return _answer(response, name, rdtype, self._limits)
                trouble = dns.rcode.to_text(rcode)
            except TimeoutError:
                trouble = "time-out"
            except asyncio.CancelledError as error:
                raise DnsTempError(f"{question.name} {question.rdtype}: closed") from error
            except (dns.exception.DNSException, OSError, EOFError) as error:
                trouble = str(error) or type(error).__name__
        raise DnsTempError(f"{question.name} {question.rdtype}: {trouble}")


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        # a question that is cancelled before its first step would never hear of it
        loop.run_until_complete(asyncio.sleep(0))
        if tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.wait(tasks))
        loop.close()


def _name(text: str) -> dns.name.Name | None:
    """The name as it is, octet by octet; None where DNS can have no such name."""
    labels = [label.encode("utf-8", "surrogatepass") for label in text.split(".")]
    if not all(labels):
        return None
    try:
        return dns.name.Name([*labels, b""])
    except (dns.name.LabelTooLong, dns.name.NameTooLong):
        return None


async def _exchange(query: dns.message.Message, place: tuple[str, int]) -> bytes:
    """The response to a query, by TCP where it is too large for UDP. Raises OSError, EOFError, DNSException."""
    response = await _by_udp(query, place)
    if _head(response).flags & dns.flags.TC:
        response = await _by_tcp(query, place)
        if not _responds(response, query):
            raise dns.exception.FormError
        if _head(response).flags & dns.flags.TC:
            raise dns.exception.TooBig
    return response


async def _by_udp(query: dns.message.Message, place: tuple[str, int]) -> bytes:
    """The first response to the query; everything else is passed over (RFC 5452 section 9.1)."""
    loop = asyncio.get_running_loop()
    with socket(AF_INET6 if ":" in place[0] else AF_INET, SOCK_DGRAM) as udp:
        udp.setblocking(False)
        # from now on the kernel lets nothing in that comes from elsewhere, and the port is one that nobody knows
        await loop.sock_connect(udp, place)
        await loop.sock_sendall(udp, query.to_wire())
        while not _responds(response := await loop.sock_recv(udp, _MAX_PACKET), query):
            continue
    return response


async def _by_tcp(query: dns.message.Message, place: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*place)
    try:
        writer.write(query.to_wire(prepend_length=True))
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        writer.close()


def _head(response: bytes) -> dns.message.Message:
    """The header and the question of a response. Raises DNSException."""
    # more than one question would take its time and be no response (RFC 9619)
    if response[4:6] > b"\0\1":
        raise dns.exception.FormError
    return dns.message.from_wire(response, question_only=True)


def _responds(response: bytes, query: dns.message.Message) -> bool:
    try:
        return query.is_response(_head(response))
    except dns.exception.DNSException:
        return False


def _answer(response: bytes, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, limits: Limits) -> Answer:
    """What a response says of a name, CNAMEs followed inside it. Raises DNSException.

    dnspython itself puts every record into a set, by a hash of all its names: seconds where thousands are long. And
    the hash of a name is one that a sender can make equal for all of them; so names are compared in canonical form.
    """
    parser = dns.wire.Parser(response)
    _, flags, questions, answers, authorities, _ = parser.get_struct("!6H")
    if len(response) > limits.dns_octets or answers + authorities > limits.dns_records:
        raise dns.exception.TooBig
    for _ in range(questions):
        dns.name.from_wire_parser(parser)
        parser.get_struct("!2H")
    found: dict[bytes, list[tuple[dns.rdata.Rdata, int]]] = {}
    aliases: dict[bytes, tuple[bytes, int]] = {}
    for owner, record, ttl in _records(parser, answers, {rdtype, dns.rdatatype.CNAME}):
        if record.rdtype == rdtype:
            found.setdefault(owner, []).append((record, ttl))
        else:
            aliases[owner] = (record.target.to_digestable(), ttl)  # type: ignore[attr-defined]
    asked, ttl = name.to_digestable(), MAX_TTL
    # each alias once: a circle leads to nothing
    while asked not in found and asked in aliases:
        asked, of_alias = aliases.pop(asked)
        ttl = min(ttl, of_alias)
    exists = dns.rcode.from_flags(flags, 0) != dns.rcode.NXDOMAIN
    if asked in found:
        if not exists:
            raise dns.message.AnswerForNXDOMAIN
        texts = [_text(record) for record, _ in found[asked]]
        ttl = min(ttl, *(of_record for _, of_record in found[asked]))
        return Answer(tuple(dict.fromkeys(text for text in texts if text is not None)), ttl=ttl)
    # a "no" holds as long as its SOA says, and not at all without one (RFC 2308)
    for _, soa, of_record in _records(parser, authorities, {dns.rdatatype.SOA}):
        return Answer(exists=exists, ttl=min(ttl, of_record, soa.minimum))  # type: ignore[attr-defined]
    return Answer(exists=exists)


def _records(
    parser: dns.wire.Parser, count: int, wanted: set[dns.rdatatype.RdataType]
) -> Iterator[tuple[bytes, dns.rdata.Rdata, int]]:
    """The next ``count`` records, those that are wanted: owner in canonical form, data, TTL. Raises DNSException."""
    for _ in range(count):
        owner = dns.name.from_wire_parser(parser)
        rdtype, rdclass, ttl, size = parser.get_struct("!HHIH")
        if rdclass == dns.rdataclass.IN and rdtype in wanted:
            with parser.restrict_to(size):
                record = dns.rdata.from_wire_parser(rdclass, rdtype, parser)
            yield owner.to_digestable(), record, ttl if ttl < _NO_TTL else 0
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
