"""DNS over the network: the only place that knows dnspython."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from errno import EAGAIN, EINPROGRESS, EMFILE, ENFILE, ENOBUFS, ENOMEM
from socket import AF_INET, AF_INET6, SO_ERROR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, SocketKind, socket, socketpair

import dns.exception
import dns.rcode
import dns.resolver

from ..config import ConfigError, Problem
from ..limits import Limits
from ..resolver import NXDOMAIN, Answer, DnsTempError, DnsUnsent, Question, too_many
from . import wire

RESOLV_CONF = "/etc/resolv.conf"
PORT = 53
MAX_TRIES = 3
_MAX_HEARD = 32  # datagrams and ICMP errors for one try by UDP
_MAX_PACKET = 65_535  # octets
_MAX_STILL = 30.0  # seconds beyond those of a try, in which the thread has to go on
_OURS = {EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM}  # no port, descriptor or memory is left, whoever took them
_UNHEARD = "no thread listens to name servers"

_log = logging.getLogger(__name__)

Place = tuple[str, int]


def system_nameservers() -> list[Place]:
    """The name servers of the system, or the one on this host if it names none. Raises ConfigError."""
    return listed_nameservers() or [("127.0.0.1", PORT)]


def listed_nameservers() -> list[Place]:
    """The name servers that resolv.conf(5) names; none if the file is missing or names none. Raises ConfigError."""
    try:
        system = dns.resolver.Resolver(RESOLV_CONF)
    except dns.resolver.NoResolverConfiguration:
        return []
    except (OSError, ValueError, dns.exception.DNSException) as error:
        # a disk may fail as it is read, and a name in search or domain may be none
        raise ConfigError([Problem(RESOLV_CONF, 1, 1, str(error) or type(error).__name__)]) from error
    return [(str(address), PORT) for address in system.nameservers]


class Nameservers:
    """A source that asks name servers, any number of questions at once.

    Each try lasts at most ``timeout`` seconds; the servers are tried in turn, each question two or three times in all.
    If a server refuses or cannot be reached, the next one is asked at once, and that one again at the end: but no
    server again before the time of a try is over, so that a resolver may restart meanwhile.
    A response of more than ``limits.dns_octets`` or ``limits.dns_records`` is a DnsLimit, and no other server is asked.
    What reading takes at most is in ``tests/bench/bench_dns.py``; an answer takes less than 100 kB.
    The thread that listens to them starts with the first question, so that a process may fork before. If it dies, which
    takes a bug of ours, or stands still, every question is a DnsUnsent.
    """

    def __init__(self, addresses: Sequence[Place], timeout: float, limits: Limits = Limits()) -> None:
        self._lock = threading.Lock()
        self._listener: _Listener | None = None
        self._dead = False
        self._timeout, self._limits = timeout, limits
        self.configure(addresses, timeout, limits)

    def configure(self, addresses: Sequence[Place], timeout: float, limits: Limits) -> None:
        """Ask others, or in another way, from now on; questions under way end as they began."""
        tries = min(MAX_TRIES, max(2, len(addresses)))
        with self._lock:
            self._tries = [addresses[number % len(addresses)] for number in range(tries)]
            if self._listener and (timeout, limits) != (self._timeout, self._limits):
                self._listener.last = True
                self._listener = None
            self._timeout, self._limits = timeout, limits

    def __call__(self, question: Question) -> Future[Answer]:
        # under the lock, so that whatever is handed in comes before the end and is ended by it
        with self._lock:
            exchange = _Exchange(question, self._tries)
            if self._listener is None and not self._dead:
                self._listener = _Listener(self._timeout, self._limits, self._died)
            if self._listener and self._goes_on():
                self._listener.ask(exchange)
                return exchange.future
        exchange.fail(_UNHEARD, DnsUnsent)
        return exchange.future

    def goes_on(self) -> bool:
        """Does the thread hear what name servers say? If not, this process is to end."""
        with self._lock:
            return self._goes_on()

    def _goes_on(self) -> bool:
        still = time.monotonic() - self._listener.active if self._listener else 0.0
        return not self._dead and still < self._timeout + _MAX_STILL

    def _died(self) -> None:
        with self._lock:
            self._dead = True

    def close(self) -> None:
        """Stop the thread; questions under way end with a DnsTempError."""
        with self._lock:
            if self._listener and not self._dead:
                self._listener.stop()
                self._listener = None


class _Exchange:
    """One question on its way. ``turn`` counts its tries, ``channel`` is the socket of the one under way."""

    def __init__(self, question: Question, places: Iterable[Place]) -> None:
        self.question, self.places = question, deque(places)
        self.future: Future[Answer] = Future()
        self.trouble = "no try"
        self.turn = 0
        self.tried: set[Place] = set()
        self.place: Place
        self.query: wire.Query
        self.channel: socket | None = None
        self.heard = 0  # by UDP, in this try
        self.stream: bytearray | None = None  # what has come by TCP
        self.sent = False  # by TCP
        self.kind: type[DnsTempError] = DnsTempError

    def blame(self, error: OSError | EOFError) -> None:
        """Remember the trouble, and whether it is ours."""
        self.trouble = str(error)
        if isinstance(error, OSError) and error.errno in _OURS:
            self.kind = DnsUnsent

    def goes_elsewhere(self) -> bool:
        """Its server cannot be reached. Is there one that was not asked yet? Then this one comes again, last."""
        if not self.places or self.places[0] in self.tried:
            return False
        self.places.append(self.place)
        return True

    def fail(self, trouble: str, kind: type[DnsTempError] | None = None) -> None:
        """Nobody will answer."""
        self.future.set_exception((kind or self.kind)(f"{self.question.name} {self.question.rdtype}: {trouble}"))


class _Listener:
    """Sockets that wait for responses, one for each question under way, and the thread that listens to them.

    A socket is connected, so that the kernel lets nothing in that comes from elsewhere, and its port is one that nobody
    knows (RFC 5452 section 9). asyncio would take twice the time of all the rest. ``last``: it is asked nothing more.
    ``active``: when it has done something last, which it does once in the time of a try. ``died`` is told if it dies.
    """

    last = False

    def __init__(self, timeout: float, limits: Limits, died: Callable[[], None]) -> None:
        self._timeout, self._limits, self._died = timeout, limits, died
        self.active = time.monotonic()
        self._epoll = select.epoll()
        self._open: dict[int, tuple[_Exchange, socket]] = {}
        # all last equally long, so the first to begin is the first to end
        self._deadlines: deque[tuple[float, int, _Exchange]] = deque()
        self._stop, self._stopped = socketpair()
        self._epoll.register(self._stopped, select.EPOLLIN)
        threading.Thread(target=self._run, name="dns", daemon=True).start()

    def ask(self, exchange: _Exchange) -> None:
        """Send the question to the next server: in the thread of who asks it, or after trouble in ours."""
        # RFC 6891 section 7: FORMERR is what a server says that knows no EDNS
        edns = exchange.trouble != "FORMERR"
        while exchange.places:
            query = wire.query(exchange.question, edns=edns)
            if query is None:
                exchange.future.set_result(NXDOMAIN)
                return
            exchange.place, exchange.query = exchange.places.popleft(), query
            exchange.tried.add(exchange.place)
            exchange.heard, exchange.stream, exchange.sent = 0, None, False
            exchange.trouble = "time-out"
            exchange.turn = turn = exchange.turn + 1
            try:
                self._connect(exchange, SOCK_DGRAM)
            except OSError as error:
                exchange.blame(error)
                if exchange.goes_elsewhere():
                    continue
            # only now, since the listener may have the question done by then; a try that is over is passed over there
            self._deadlines.append((time.monotonic() + self._timeout, turn, exchange))
            return
        exchange.fail(exchange.trouble)

    def stop(self) -> None:
        """End the thread; what is under way fails."""
        self._stop.send(b".")

    def _connect(self, exchange: _Exchange, kind: SocketKind) -> None:
        channel = socket(AF_INET6 if ":" in exchange.place[0] else AF_INET, kind)
        try:
            channel.setblocking(False)
            if kind == SOCK_DGRAM:
                channel.connect(exchange.place)
                channel.send(exchange.query.octets)
            elif (error := channel.connect_ex(exchange.place)) not in (0, EINPROGRESS):
                raise OSError(error, os.strerror(error))
            self._epoll.register(channel, select.EPOLLIN if kind == SOCK_DGRAM else select.EPOLLOUT)
        except OSError:
            channel.close()
            raise
        # last, since from now on the listener may close it
        exchange.channel = channel
        self._open[channel.fileno()] = exchange, channel

    def _run(self) -> None:
        with self._epoll, self._stop, self._stopped:
            end: tuple[str, type[DnsTempError]] = "closed", DnsTempError
            try:
                self._listen()
            except Exception:  # noqa: BLE001 - a bug; whoever waits hears of it, and the process ends
                _log.exception("the thread that listens to name servers has died")
                self._died()
                end = _UNHEARD, DnsUnsent
            # from now on it is asked nothing more
            for exchange in dict.fromkeys(each for _, _, each in self._deadlines if not each.future.done()):
                self._close(exchange)
                exchange.fail(*end)

    def _listen(self) -> None:
        """Until it is to stop."""
        while self._deadlines or not self.last:
            self.active = now = time.monotonic()
            while self._deadlines and self._deadlines[0][0] <= now:
                _, turn, exchange = self._deadlines[0]
                if exchange.turn == turn and not exchange.future.done():
                    self._again(exchange, exchange.trouble)
                # only now: one that a bug comes from has to end too
                self._deadlines.popleft()
                self.active = time.monotonic()
            # a question that begins meanwhile does not end before that
            ready = self._epoll.poll(self._deadlines[0][0] - now if self._deadlines else self._timeout)
            for descriptor, _ in ready:
                if descriptor == self._stopped.fileno():
                    return
                # one that was closed since then, by what came before it
                if found := self._open.get(descriptor):
                    self._hear(*found)
                    self.active = time.monotonic()

    def _hear(self, exchange: _Exchange, channel: socket) -> None:
        """Something has come for a question, or its connection is there."""
        try:
            stream = exchange.stream
            response = self._by_udp(exchange, channel) if stream is None else self._by_tcp(exchange, channel, stream)
            if response is None:
                return
            code = wire.rcode(response)
            known = code in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
            answer = wire.answer(response, exchange.query, self._limits) if known else None
        except BlockingIOError:
            return  # a datagram with a wrong checksum, which the kernel finds as it is read
        except (OSError, EOFError) as error:
            self._unreachable(exchange, error)
        except dns.exception.DNSException as error:
            self._again(exchange, str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - DnsLimit, or a bug: for whoever asked; everybody else's go on
            self._close(exchange)
            exchange.future.set_exception(error)
        else:
            if answer is None:
                self._again(exchange, dns.rcode.to_text(code))
            else:
                self._close(exchange)
                exchange.future.set_result(answer)

    def _unreachable(self, exchange: _Exchange, error: OSError | EOFError) -> None:
        """An ICMP error, or a connection that came to nothing.

        Anybody can send ICMP errors, so they end no try by UDP: until its deadline the response may still come.
        """
        exchange.blame(error)
        elsewhere = exchange.goes_elsewhere()
        if elsewhere or exchange.stream is not None:
            self._close(exchange)
        if elsewhere:
            self.ask(exchange)

    def _by_udp(self, exchange: _Exchange, channel: socket) -> bytes | None:
        """The response; None where it is none, which is passed over, or where TCP has begun.

        That is where the response is too large, or somebody sends many that are none (RFC 5452 section 9.3).
        """
        exchange.heard += 1
        if exchange.heard <= _MAX_HEARD:
            response = channel.recv(_MAX_PACKET)
            if not exchange.query.is_answered_by(response):
                return None
            if not wire.is_truncated(response):
                return response
        self._close(exchange)
        exchange.stream = bytearray()
        self._connect(exchange, SOCK_STREAM)
        return None

    def _by_tcp(self, exchange: _Exchange, channel: socket, stream: bytearray) -> bytes | None:
        """The response; None until all of it is there."""
        query = exchange.query.octets
        if not exchange.sent:
            if error := channel.getsockopt(SOL_SOCKET, SO_ERROR):
                raise OSError(error, os.strerror(error))
            channel.sendall(len(query).to_bytes(2) + query)
            exchange.sent = True
            self._epoll.modify(channel, select.EPOLLIN)
            return None
        if not (piece := channel.recv(_MAX_PACKET)):
            raise EOFError("the connection was closed")
        stream += piece
        end = 2 + int.from_bytes(stream[:2])
        if len(stream) < max(2, end):
            return None
        response = bytes(stream[2:end])
        if not exchange.query.is_answered_by(response):
            raise dns.exception.FormError
        if wire.is_truncated(response):
            # no response is larger than what TCP carries, so this one is beyond the limit whenever it is asked for
            raise too_many("dns_octets", self._limits)
        return response

    def _again(self, exchange: _Exchange, trouble: str) -> None:
        self._close(exchange)
        exchange.trouble = trouble
        self.ask(exchange)

    def _close(self, exchange: _Exchange) -> None:
        if exchange.channel:
            # first out of sight, since another thread may get the same number
            self._open.pop(exchange.channel.fileno(), None)
            exchange.channel.close()
            exchange.channel = None
