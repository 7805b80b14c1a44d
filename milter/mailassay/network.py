"""DNS over the network: the only place that knows dnspython."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver

from .resolver import NXDOMAIN, Answer, DnsTempError, Question

MAX_TRIES = 3
MAX_TTL = 86400  # seconds
_EDNS_PAYLOAD = 1232  # octets that no path fragments


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
    The thread that talks to them starts with the first question, so that a process may fork before.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]], timeout: float) -> None:
        tries = min(MAX_TRIES, max(2, len(addresses)))
        self._tries = [addresses[number % len(addresses)] for number in range(tries)]
        self._timeout = timeout
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
        for address, port in self._tries:
            query = dns.message.make_query(name, rdtype, use_edns=0, payload=_EDNS_PAYLOAD)
            try:
                # one limit around both: dnspython's own would begin anew for TCP
                async with asyncio.timeout(self._timeout):
                    response, _ = await dns.asyncquery.udp_with_fallback(
                        query, address, port=port, ignore_unexpected=True, ignore_errors=True
                    )
            except TimeoutError:
                trouble = "time-out"
                continue
            except asyncio.CancelledError as error:
                raise DnsTempError(f"{question.name} {question.rdtype}: closed") from error
            except (dns.exception.DNSException, OSError, EOFError) as error:
                trouble = str(error) or type(error).__name__
                continue
            rcode = response.rcode()
            if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return _answer(response, rcode)
            trouble = dns.rcode.to_text(rcode)
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


def _answer(response: dns.message.Message, rcode: dns.rcode.Rcode) -> Answer:
    try:
        chain = response.resolve_chaining()  # type: ignore[attr-defined]
    except dns.exception.DNSException:
        # CNAMEs that go in a circle or too far lead to nothing
        return Answer()
    records = tuple(_text(record) for record in chain.answer) if chain.answer is not None else ()
    return Answer(records, rcode != dns.rcode.NXDOMAIN, min(MAX_TTL, _ttl(response, chain.minimum_ttl, records)))


def _ttl(response: dns.message.Message, minimum: int, records: tuple[str, ...]) -> int:
    """How long an answer holds; a "no" holds as long as its SOA says, and not at all without one (RFC 2308)."""
    has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
    return minimum if records or has_soa else 0


def _text(record: dns.rdata.Rdata) -> str:
    """A record in the form that ``Answer`` gives it."""
    match record.rdtype:
        case dns.rdatatype.TXT:
            return b"".join(record.strings).decode("latin-1")  # type: ignore[attr-defined]
        case dns.rdatatype.MX:
            return f"{record.preference} {_host(record.exchange)}"  # type: ignore[attr-defined]
        case dns.rdatatype.PTR | dns.rdatatype.CNAME:
            return _host(record.target)  # type: ignore[attr-defined]
        case _:
            return record.to_text()


def _host(name: dns.name.Name) -> str:
    """A host name as text, lower case; ``.`` for the root."""
    return b".".join(label for label in name.labels if label).lower().decode("latin-1") or "."
