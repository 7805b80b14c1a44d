"""A worker: a process in which libmilter's main loop runs, with a thread that listens to the parent.

libmilter has its own threads and signal handling, and waits at its socket. So commands come by a channel.
"""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import NamedTuple, NoReturn

from ..config import Settings

# what a message needs is loaded before workers are forked: they share its memory, and none waits for it
from ..dkim import by_dkimpy, public_key  # noqa: F401
from ..failure.picking import Picking
from ..history import service
from ..history.spool import SPOOL, Spool
from ..judge import logline
from ..limits import Limits
from ..nameservers import Nameservers
from ..nameservers.turns import Turns
from ..resolver import Cached
from ..sign import private_key  # noqa: F401
from ..spf import by_pyspf  # noqa: F401
from . import libmilter
from .callbacks import Work
from .processors import suitable_workers
from .turn import Turn

HANDLED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_LOOK_EVERY = 0.05  # seconds
_WAKE_EVERY = 0.2
_GREETING = 1.0
_LENGTH = struct.Struct("!I")
_WORD = struct.Struct("!?QQQ")
_MOST_UNDER_WAY, _LEAST_UNDER_WAY = 2000, 16  # DNS questions
_PORTS = (32768, 60999)  # as Linux has it

_log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """The counts of one worker, or of all.

    Messages that were judged; those of them for which DNS gave no answer at all; and unanswered questions.
    """

    messages: int = 0
    unanswered: int = 0
    failures: int = 0

    def plus(self, other: Counts, sign: int = 1) -> Counts:
        """The sum of both; the difference if ``sign`` is -1."""
        return Counts(*(one + sign * more for one, more in zip(self, other, strict=True)))


class Word(NamedTuple):
    """The report of a worker to its parent, when it is asked and when it has judged ``retire_after`` messages."""

    retires: bool
    counts: Counts


class Command(Enum):
    """A command of the parent to a worker: to answer, or to take no more connections and end.

    RETIRE: ends when its connections do. STOP: ends when the messages in hand have their answer, or their time is over.
    """

    PING = "ping"
    RETIRE = "retire"
    STOP = "stop"


Order = Command | Settings | service.Event


def send(channel: socket.socket, order: Order) -> None:
    """Send a command, the settings for every message from now on, or an event to be written into the history.

    Raises OSError, also after a time-out.
    """
    octets = pickle.dumps(order)
    channel.sendall(_LENGTH.pack(len(octets)) + octets)


def words(heard: bytearray) -> list[Word]:
    """The complete words in what was heard from a worker. An incomplete one stays in ``heard``."""
    found = []
    while len(heard) >= _WORD.size:
        retires, *counts = _WORD.unpack_from(heard)
        found.append(Word(retires, Counts(*counts)))
        del heard[: _WORD.size]
    return found


def work(settings: Settings, parent: int, channel: socket.socket, descriptor: int, turn: Turn) -> NoReturn:
    """Run a worker process, from fork to exit. All ``HANDLED`` signals are blocked at its start."""
    status = os.EX_SOFTWARE
    try:
        _die_with(parent)
        nameservers = Nameservers(*_dns(settings))
        cached = Cached(nameservers, settings.dns.cache_size)
        turns = Turns(cached, questions_under_way(settings))
        saying = threading.Lock()

        def say(*, retires: bool = False) -> None:
            with saying:
                channel.sendall(_WORD.pack(retires, now.messages, now.unanswered, cached.stats().failed))

        now = Work(settings, turns.asker, turn, retire=lambda: say(retires=True))
        spool = _spool(settings, lambda: _status(now, cached))
        now.record = spool.add if spool else None
        libmilter.prepare(now)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        # Every thread inherits the blocked signals, and libmilter waits for them in a thread of its own. One that comes
        # before that is not lost, and does not end the worker before it has said what it did.
        orders = _Orders(channel, say, now, nameservers, turns, descriptor, spool)
        threading.Thread(target=orders.carry_out, daemon=True).start()
        libmilter.run(descriptor)
        _finish(now)
        if spool:
            spool.close()
        say()
        stats = cached.stats()
        said = "worker %d ends; DNS: %d questions, %d of them sent, %d answers kept, %d failures"
        _log.info(said, os.getpid(), *stats)
        status = os.EX_OK
    except Exception:  # noqa: BLE001 - the end of the process
        _log.exception("worker failed")
    finally:
        os._exit(status)


def _dns(settings: Settings) -> tuple[tuple[tuple[str, int], ...], float, Limits]:
    return settings.dns.nameservers, settings.dns.timeout, settings.policy.limits


def questions_under_way(settings: Settings) -> int:
    """How many DNS questions a worker may have under way: each takes a descriptor and a port of this host.

    Half of both is left for connections and other programs, perhaps the name server among them.
    """
    try:
        low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except (OSError, ValueError):
        # hidden by ProcSubset=pid in the shipped unit
        low, high = _PORTS
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ports = (high - low + 1) // worker_count(settings)
    return max(_LEAST_UNDER_WAY, min(_MOST_UNDER_WAY, ports // 2, descriptors // 2))


def worker_count(settings: Settings) -> int:
    """The number in the settings, or the one that suits this machine."""
    return settings.workers or suitable_workers()


def _spool(settings: Settings, status: Callable[[], service.Worker]) -> Spool | None:
    if not settings.history.directory:
        return None
    return Spool(Path(settings.history.directory, SPOOL), status, more=Picking(socket.gethostname()))


def _status(now: Work, cached: Cached) -> service.Worker:
    """What the worker has done since it began, and what it does now."""
    asked, sent, kept, failed = cached.stats()
    return service.Worker(
        time=round(time.time(), 3),
        host=socket.gethostname(),
        pid=os.getpid(),
        messages=now.messages,
        unanswered=now.unanswered,
        exceptions=now.exceptions,
        dns_asked=asked,
        dns_sent=sent,
        dns_failed=failed,
        connections=len(now.sessions),
        judging=len(now.judging),
        dns_kept=kept,
    )


class _Orders(NamedTuple):
    """The orders of the parent, and what they concern."""

    channel: socket.socket
    say: Callable[[], None]
    now: Work
    nameservers: Nameservers
    turns: Turns
    descriptor: int
    spool: Spool | None

    def carry_out(self) -> None:
        """Carry out each order until the parent is gone."""
        with self.channel.makefile("rb") as file:
            while length := file.read(_LENGTH.size):
                self._obey(pickle.loads(file.read(*_LENGTH.unpack(length))))

    def _obey(self, order: Order) -> None:
        if order is Command.PING:
            # without DNS the worker is useless, and the parent replaces a worker that does not answer
            if self.nameservers.goes_on():
                self.say()
            else:
                _log.error("worker %d no longer hears name servers", os.getpid())
        elif isinstance(order, Command):
            arguments = self.now, self.descriptor, order is Command.STOP
            threading.Thread(target=_end, args=arguments, daemon=True).start()
        elif isinstance(order, service.Event):
            if self.spool:
                self.spool.say(order)
        else:
            logline.set_up(order.log.level, order.log.format)
            self.now.settings = order
            self.nameservers.configure(*_dns(order))
            self.turns.most = questions_under_way(order)
            _log.info("worker %d judges by policy %s", os.getpid(), order.policy.digest)


def _end(now: Work, descriptor: int, at_once: bool) -> None:
    """End when the last connection does; ``at_once``: when no message is in hand, or the time of the last is over."""
    end = time.monotonic() + now.settings.message_timeout
    libmilter.turn_away(descriptor)
    libmilter.wake()
    if at_once:
        while any(each.in_hand for each in [*now.sessions]) and time.monotonic() < end:
            time.sleep(_LOOK_EVERY)
    else:
        # the last client may not have said anything yet
        time.sleep(_GREETING)
        while now.sessions:
            time.sleep(_WAKE_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        libmilter.wake()
        time.sleep(_WAKE_EVERY)


def _finish(now: Work) -> None:
    """Wait for the messages that are being judged. libmilter has stopped listening and still answers them."""
    while now.judging:
        time.sleep(_LOOK_EVERY)
    # the answer itself is written after our callback has returned
    time.sleep(_LOOK_EVERY)


def _die_with(parent: int) -> None:
    """End this process when its parent ends (prctl(2)): it would hold the socket, and nobody would look after it.

    The sender tries the messages in hand again. Raises RuntimeError if the parent has ended already.
    """
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        raise RuntimeError("the parent is gone")
