"""A DNS server on real sockets that answers a zone, slowly or badly on demand.

python -m tests.lab.dns ZONEFILE ADDRESS:PORT
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from mailassay.zone import Found, Zone
from tests.lab.limits import LIMITS

Mode = Literal["ok", "servfail", "drop", "garbage"]
Peer = socket.socket | tuple[Any, ...]  # a TCP stream, or where to send by UDP


class DnsServer:
    """UDP and TCP on one port of ``address`` (port 0: a free one). ``latency`` in seconds holds every answer back.

    ``asked`` are the (name, type) pairs in the order they came. ``zone``, ``latency``, ``mode``, ``ttl`` and
    ``authentic`` (AD, for those who ask for it) and ``authoritative`` (AA) may be changed while it runs; each answer
    takes them as they are.
    """

    def __init__(
        self, zone: Zone, address: str = "127.0.0.1", port: int = 0, *, latency: float = 0.0, mode: Mode = "ok"
    ) -> None:
        self.zone, self.latency, self.mode, self.ttl = zone, latency, mode, zone.ttl
        self.authentic, self.authoritative = False, True
        self.asked: list[tuple[str, str]] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._udp, self._tcp = bound(family, address, port)
        self.address, self.port = address, self._udp.getsockname()[1]
        self._stop = threading.Event()
        self._held: list[tuple[float, int, bytes, Peer]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> DnsServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._udp.close()
        self._tcp.close()

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._udp, selectors.EVENT_READ)
        selector.register(self._tcp, selectors.EVENT_READ)
        streams: dict[socket.socket, bytes] = {}
        number = 0
        while not self._stop.is_set():
            wait = max(0.0, min(0.05, self._held[0][0] - time.monotonic())) if self._held else 0.05
            for key, _ in selector.select(wait):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._tcp:
                    stream, _ = sock.accept()
                    streams[stream] = b""
                    selector.register(stream, selectors.EVENT_READ)
                    continue
                if sock is self._udp:
                    packet, peer = sock.recvfrom(65535)
                    number += 1
                    self._hold(number, self.answer(packet, tcp=False), peer)
                    continue
                try:
                    data = sock.recv(65535)
                except ConnectionError:
                    data = b""
                streams[sock] += data
                if not data:
                    selector.unregister(sock)
                    del streams[sock]
                    sock.close()
                    continue
                while len(streams[sock]) >= 2 and len(streams[sock]) >= (end := 2 + _uint16(streams[sock])):
                    packet, streams[sock] = streams[sock][2:end], streams[sock][end:]
                    number += 1
                    self._hold(number, self.answer(packet, tcp=True), sock)
            while self._held and self._held[0][0] <= time.monotonic():
                _, _, wire, peer = heapq.heappop(self._held)
                with contextlib.suppress(OSError):
                    if isinstance(peer, socket.socket):
                        peer.sendall(struct.pack("!H", len(wire)) + wire)
                    else:
                        self._udp.sendto(wire, peer)
        for stream in streams:
            stream.close()
        selector.close()

    def _hold(self, number: int, wire: bytes, peer: Peer) -> None:
        if wire:
            heapq.heappush(self._held, (time.monotonic() + self.latency, number, wire, peer))

    def answer(self, packet: bytes, *, tcp: bool) -> bytes:
        """The response to a query; none where it is not answered."""
        try:
            query = dns.message.from_wire(packet)
        except dns.exception.DNSException:
            return b""
        if not query.question:
            return b""
        question = query.question[0]
        name = b".".join(label for label in question.name.labels if label).decode("utf-8", "replace").lower()
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, rdtype))
        if self.mode == "drop":
            return b""
        if self.mode == "garbage":
            return packet[:2] + b"\xff" * 30
        found = self.zone.lookup(name, rdtype)
        if found.trouble == "TIMEOUT":
            return b""
        response = dns.message.make_response(query, recursion_available=True)
        if self.authoritative:
            response.flags |= dns.flags.AA
        if self.authentic:
            response.flags |= query.flags & dns.flags.AD
        if self.mode == "servfail" or found.trouble:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        try:
            self._fill(response, question.name, question.rdtype, found)
        except dns.exception.DNSException:
            # a zone may hold names that no packet can carry
            response = dns.message.make_response(query, recursion_available=True)
            response.set_rcode(dns.rcode.SERVFAIL)
        size = 65535 if tcp else max(512, query.payload)
        wire = response.to_wire(max_size=65535)
        if len(wire) > size:
            response = dns.message.make_response(query, recursion_available=True)
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        return wire

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, found: Found
    ) -> None:
        for _, target in found.cnames:
            alias = dns.rrset.from_rdata(name, self.ttl, _rdata(dns.rdatatype.CNAME, target))
            response.answer.append(alias)
            name = _name(target)
        if found.records:
            rrset = dns.rrset.RRset(name, dns.rdataclass.IN, rdtype)
            for record in found.records:
                rrset.add(_rdata(rdtype, record), self.ttl)
            response.answer.append(rrset)
            return
        if not found.exists:
            response.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.invalid. host.invalid. 1 3600 600 86400 {self.ttl}"
        response.authority.append(dns.rrset.from_text(dns.name.root, self.ttl, "IN", "SOA", soa))


def _rdata(rdtype: dns.rdatatype.RdataType, record: str) -> dns.rdata.Rdata:
    match rdtype:
        case dns.rdatatype.TXT:
            octets = record.encode("latin-1")
            strings = [octets[at : at + 255] for at in range(0, len(octets), 255)] or [b""]
            wire = b"".join(bytes([len(each)]) + each for each in strings)
        case dns.rdatatype.MX:
            preference, host = record.split(" ", 1)
            wire = struct.pack("!H", int(preference)) + _octets(_name(host))
        case dns.rdatatype.SOA:
            server, mailbox, *numbers = record.split(" ")
            wire = _octets(_name(server)) + _octets(_name(mailbox)) + struct.pack("!IIIII", *map(int, numbers))
        case dns.rdatatype.A | dns.rdatatype.AAAA:
            wire = ip_address(record).packed
        case _:
            wire = _octets(_name(record))
    return dns.rdata.from_wire("IN", rdtype, wire, 0, len(wire))


def _name(text: str) -> dns.name.Name:
    """A name octet by octet; no character in it escapes another."""
    labels = [] if text == "." else [label.encode("utf-8", "surrogatepass") for label in text.split(".")]
    return dns.name.Name([*labels, b""])


def _octets(name: dns.name.Name) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name.labels)


def _uint16(octets: bytes) -> int:
    return int.from_bytes(octets[:2], "big")


def bound(family: int, address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP on the same port, which must be free for both."""
    for _ in range(20):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        udp.bind((address, port))
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind((address, udp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
            if port:
                raise
            continue
        tcp.listen(64)
        return udp, tcp
    raise OSError("no port is free for both UDP and TCP")


def main() -> None:
    """Serve a zone file until SIGTERM or SIGINT."""
    path, place = sys.argv[1:]
    address, _, port = place.rpartition(":")
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with DnsServer(Zone.load(path, limits=LIMITS), address, int(port)) as server:
        print(f"ready {server.address}:{server.port}", flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
