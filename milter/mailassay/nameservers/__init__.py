"""DNS over the network: the only room that imports dnspython."""

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

from ..config import ConfigError
from ..config.document import Code
from ..config.document import error as mistake
from ..limits import Limits
from ..resolver import NXDOMAIN, Answer, DnsTempError, DnsUnsent, Question, too_many
from . import wire

RESOLV_CONF = "/etc/resolv.conf"
PORT = 53
MAX_TRIES = 3
_MAX_HEARD = 32  # datagrams and ICMP errors for one try by UDP
_MAX_PACKET = 65_535  # octets
_MAX_STILL = 30.0  # seconds, in addition to those of a try, after which the thread counts as stuck
_OURS = {EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM}  # this host has no port, descriptor or memory left
_UNHEARD = "no thread listens to name servers"

_log = logging.getLogger(__name__)

Place = tuple[str, int]


def system_nameservers() -> list[Place]:
    """The system's name servers, or the one on this host if it names none. Raises ConfigError."""
    return listed_nameservers() or [("127.0.0.1", PORT)]


def listed_nameservers() -> list[Place]:
    """The name servers in resolv.conf(5); empty if the file is missing or names none. Raises ConfigError."""
    try:
        system = dns.resolver.Resolver(RESOLV_CONF)
    except dns.resolver.NoResolverConfiguration:
        return []
    except (OSError, ValueError, dns.exception.DNSException) as error:
        # the disk may fail, and a name in search or domain may be invalid
        why = str(error) or type(error).__name__
        raise ConfigError([mistake(Code.UNREADABLE, RESOLV_CONF, why)]) from error
    return [(str(address), PORT) for address in system.nameservers]


class Nameservers:
    """A source that asks name servers, any number of questions at once.

    Each try lasts at most ``timeout`` seconds. The servers are tried in turn; each question has two or three tries. If
    a server refuses or cannot be reached, the next one is asked at once, and that server again at the end. No server is
    asked again before the time of a try is over, so that a resolver can restart meanwhile.
    A response of more than ``limits.dns_octets`` or ``limits.dns_records`` is a DnsLimit, and no other server is asked.
    ``tests/bench/bench_dns.py`` has the highest cost of reading; an answer takes less than 100 kB.
    The listening thread starts with the first question, so that a process can fork before. If it dies, which takes a
    bug of ours, or is stuck, every question is a DnsUnsent.
    """

    def __init__(self, addresses: Sequence[Place], timeout: float, limits: Limits) -> None:
        self._lock = threading.Lock()
        self._listener: _Listener | None = None
        self._dead = False
        self._timeout, self._limits = timeout, limits
        self.configure(addresses, timeout, limits)

    def configure(self, addresses: Sequence[Place], timeout: float, limits: Limits) -> None:
        """Change servers, time-out or limits. Questions under way are not affected."""
        tries = min(MAX_TRIES, max(2, len(addresses)))
        with self._lock:
            self._tries = [addresses[number % len(addresses)] for number in range(tries)]
            if self._listener and (timeout, limits) != (self._timeout, self._limits):
                self._listener.last = True
                self._listener = None
            self._timeout, self._limits = timeout, limits

    def __call__(self, question: Question) -> Future[Answer]:
        # under the lock, so that each question comes before the end and is ended by it
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
        """Does the thread listen to name servers? If not, this process has to end."""
        with self._lock:
            return self._goes_on()

    def _goes_on(self) -> bool:
        still = time.monotonic() - self._listener.active if self._listener else 0.0
        return not self._dead and still < self._timeout + _MAX_STILL

    def _died(self) -> None:
        with self._lock:
            self._dead = True

    def close(self) -> None:
        """Stop the thread. Questions under way end with a DnsTempError."""
        with self._lock:
            if self._listener and not self._dead:
                self._listener.stop()
                self._listener = None


class _Exchange:
    """One question under way. ``turn`` counts its tries, ``channel`` is the socket of the current one."""

    def __init__(self, question: Question, places: Iterable[Place]) -> None:
        self.question, self.places = question, deque(places)
        self.future: Future[Answer] = Future()
        self.trouble = "no try"
        self.turn = 0
        self.tried: set[Place] = set()
        self.place: Place
        self.query: wire.Query
        self.channel: socket | None = None
        self.heard = 0  # datagrams and ICMP errors in this try
        self.stream: bytearray | None = None  # octets received by TCP
        self.sent = False  # by TCP
        self.kind: type[DnsTempError] = DnsTempError

    def blame(self, error: OSError | EOFError) -> None:
        """Remember the trouble, and if its cause is this host."""
        self.trouble = str(error)
        if isinstance(error, OSError) and error.errno in _OURS:
            self.kind = DnsUnsent

    def goes_elsewhere(self) -> bool:
        """The server cannot be reached: is there one that was not asked yet? If so, try this one again at the end."""
        if not self.places or self.places[0] in self.tried:
            return False
        self.places.append(self.place)
        return True

    def fail(self, trouble: str, kind: type[DnsTempError] | None = None) -> None:
        """End the question without an answer."""
        self.future.set_exception((kind or self.kind)(f"{self.question.name} {self.question.rdtype}: {trouble}"))


class _Listener:
    """A socket for each question under way, and the thread that listens to them.

    Each socket is connected, so that the kernel drops packets from other addresses, and its port is unpredictable (RFC
    5452 section 9). asyncio would take twice the time of all the rest. ``last``: it takes no more questions.
    ``active``: when the thread last did something, which it does at least once in the time of a try. ``died`` is called
    if the thread dies.
    """

    last = False

    def __init__(self, timeout: float, limits: Limits, died: Callable[[], None]) -> None:
        self._timeout, self._limits, self._died = timeout, limits, died
        self.active = time.monotonic()
        self._epoll = select.epoll()
        self._open: dict[int, tuple[_Exchange, socket]] = {}
        # all have the same time-out, so the first to begin is the first to end
        self._deadlines: deque[tuple[float, int, _Exchange]] = deque()
        self._stop, self._stopped = socketpair()
        self._epoll.register(self._stopped, select.EPOLLIN)
        threading.Thread(target=self._run, name="dns", daemon=True).start()

    def ask(self, exchange: _Exchange) -> None:
        """Send the question to the next server: in the caller's thread, or in ours after trouble."""
        # RFC 6891 section 7: a server without EDNS answers FORMERR
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
            # last, since the listener may finish the question at once; it skips the deadline of a finished try
            self._deadlines.append((time.monotonic() + self._timeout, turn, exchange))
            return
        exchange.fail(exchange.trouble)

    def stop(self) -> None:
        """End the thread. Questions under way fail."""
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
        # last, since the listener may close it from now on
        exchange.channel = channel
        self._open[channel.fileno()] = exchange, channel

    def _run(self) -> None:
        with self._epoll, self._stop, self._stopped:
            end: tuple[str, type[DnsTempError]] = "closed", DnsTempError
            try:
                self._listen()
            except Exception:  # noqa: BLE001 - a bug; all questions fail, and the process ends
                _log.exception("the thread that listens to name servers has died")
                self._died()
                end = _UNHEARD, DnsUnsent
            # from now on it takes no questions
            for exchange in dict.fromkeys(each for _, _, each in self._deadlines if not each.future.done()):
                self._close(exchange)
                exchange.fail(*end)

    def _listen(self) -> None:
        """Listen until the thread has to stop."""
        while self._deadlines or not self.last:
            self.active = now = time.monotonic()
            while self._deadlines and self._deadlines[0][0] <= now:
                _, turn, exchange = self._deadlines[0]
                if exchange.turn == turn and not exchange.future.done():
                    self._again(exchange, exchange.trouble)
                # after the call, so that a question that hits a bug is ended too
                self._deadlines.popleft()
                self.active = time.monotonic()
            # a question that begins meanwhile ends later than that
            ready = self._epoll.poll(self._deadlines[0][0] - now if self._deadlines else self._timeout)
            for descriptor, _ in ready:
                if descriptor == self._stopped.fileno():
                    return
                # it may have been closed meanwhile, by an earlier event
                if found := self._open.get(descriptor):
                    self._hear(*found)
                    self.active = time.monotonic()

    def _hear(self, exchange: _Exchange, channel: socket) -> None:
        """Handle an event on a socket: a response, an error, or a TCP connection that is ready."""
        try:
            stream = exchange.stream
            response = self._by_udp(exchange, channel) if stream is None else self._by_tcp(exchange, channel, stream)
            if response is None:
                return
            code = wire.rcode(response)
            known = code in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
            answer = wire.answer(response, exchange.query, self._limits) if known else None
        except BlockingIOError:
            return  # a datagram with a wrong checksum, which the kernel notices on reading
        except (OSError, EOFError) as error:
            self._unreachable(exchange, error)
        except dns.exception.DNSException as error:
            self._again(exchange, str(error) or type(error).__name__)
        except Exception as error:  # noqa: BLE001 - DnsLimit or a bug: only this question fails
            self._close(exchange)
            exchange.future.set_exception(error)
        else:
            if answer is None:
                self._again(exchange, dns.rcode.to_text(code))
            else:
                self._close(exchange)
                exchange.future.set_result(answer)

    def _unreachable(self, exchange: _Exchange, error: OSError | EOFError) -> None:
        """Handle an ICMP error or a failed connection: ask a server that was not asked yet, if there is one.

        If there is none, an ICMP error does not end the try, since anybody can send one: the response may still come.
        """
        exchange.blame(error)
        elsewhere = exchange.goes_elsewhere()
        if elsewhere or exchange.stream is not None:
            self._close(exchange)
        if elsewhere:
            self.ask(exchange)

    def _by_udp(self, exchange: _Exchange, channel: socket) -> bytes | None:
        """The response; None if it is not a response to our query (ignored), or if a TCP retry has started.

        TCP is used if the response is truncated, or if many datagrams are not responses (RFC 5452 section 9.3).
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
        """The response; None until it is complete. Raises OSError, EOFError, DnsLimit."""
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
            # no response is larger than what TCP carries, so this one always exceeds the limit
            raise too_many("dns_octets", self._limits)
        return response

    def _again(self, exchange: _Exchange, trouble: str) -> None:
        self._close(exchange)
        exchange.trouble = trouble
        self.ask(exchange)

    def _close(self, exchange: _Exchange) -> None:
        if exchange.channel:
            # first, since another thread may get the same descriptor
            self._open.pop(exchange.channel.fileno(), None)
            exchange.channel.close()
            exchange.channel = None
