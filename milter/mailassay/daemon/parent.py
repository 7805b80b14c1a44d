"""The parent process: it keeps the socket and the workers, replaces a worker that dies, and handles signals."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import operator
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ..config import ConfigError, Settings, expired
from ..config.signing import doubts, sealer
from ..history.service import Event, What, Why
from ..judge import logline
from . import resolv_conf as nameservers
from . import systemd, worker
from .resolv_conf import SystemNameservers
from .turn import Turn, turns
from .worker import HANDLED, Command, Counts, Order

_MIN_LIFE = 1.0  # seconds; a worker that dies sooner is started again only after a pause
_MAX_PAUSE = 30.0
_LOOK_EVERY = 0.2  # seconds
_PING_EVERY = 10.0
_MAX_SILENCE = 60.0  # seconds without an answer, after which a worker counts as stuck
_SPARE = 5.0  # seconds that a worker may take to end, in addition to the time of its messages
_WARN_EVERY = 60.0
_MAX_SENDING = 5.0  # seconds for a command, which a worker reads at once
# what a reload cannot change: the socket is open, its file has its mode, and workers have the spool open
_FIXED = ("listen", "socket_mode", "socket_group", "dns.cache_size", "history.directory")
_MAX_EVENTS = 100  # that wait for a worker

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Worker:
    """``channel`` leads to the worker; ``started`` is by the monotonic clock; ``asked`` counts unanswered pings.

    ``counts`` are the last that it reported, ``unread`` is the beginning of its next word. ``stuck``: it was killed,
    because it did not answer.
    """

    channel: socket.socket
    started: float
    asked: int = 0
    retiring: bool = False
    stuck: bool = False
    counts: Counts = field(default_factory=Counts)
    unread: bytearray = field(default_factory=bytearray)


class Parent:
    """``again`` reads the configuration anew and may raise ConfigError; ``descriptor`` is the socket for Postfix.

    ``system`` has found the name servers of the settings, if they name none, and knows when they change.
    """

    def __init__(
        self, settings: Settings, again: Callable[[], Settings], descriptor: int, system: SystemNameservers
    ) -> None:
        self._settings, self._again, self._descriptor, self._system = settings, again, descriptor, system
        self._expired: set[str] = set()
        self._workers: dict[int, _Worker] = {}  # by process id
        self._pause = 0.0
        self._start_at = 0.0
        self._ping_at = 0.0
        self._ended = Counts()  # of workers that have ended
        self._shown = Counts()  # to systemd
        self._told = Counts()  # at the last look for messages without an answer
        self._warn_at = 0.0
        self._failure = ""  # of the last reload
        self._events: deque[Event] = deque(maxlen=_MAX_EVENTS)  # that no worker has been told yet
        # each worker gets the next one
        self._turns = itertools.cycle(turns(self._count))

    def run(self) -> int:
        """Run until SIGTERM or SIGINT. Returns the exit status."""
        with signals_of() as signals:
            for _ in range(self._count):
                self._start()
            _log.info("listening on %s, %s", self._settings.listen.libmilter, self._status)
            self._tell_policy("policy")
            self._tell(What.STARTED)
            systemd.ready(self._status)
            while True:
                self._look_after()
                ready = _ready([signals, *self._channels()], self._patience())
                self._listen_to(ready)
                received = set(signals.recv(4096)) if signals in ready else set()
                if received & {signal.SIGTERM, signal.SIGINT}:
                    return self._stop(signals)
                if signal.SIGHUP in received:
                    self._reload()

    @property
    def _status(self) -> str:
        counts = self._counts
        messages = f"; {counts.messages} messages" if counts.messages else ""
        unanswered = f", {counts.unanswered} of them without an answer from DNS" if counts.unanswered else ""
        return f"{self._count} workers, policy {self._settings.policy.digest}{messages}{unanswered}{self._failure}"

    @property
    def _counts(self) -> Counts:
        """The counts of all workers, as last reported."""
        return functools.reduce(Counts.plus, (each.counts for each in self._workers.values()), self._ended)

    @property
    def _count(self) -> int:
        return worker.worker_count(self._settings)

    def _staying(self) -> list[int]:
        return [pid for pid, each in self._workers.items() if not each.retiring]

    def _missing(self) -> int:
        return self._count - len(self._staying())

    def _channels(self) -> list[socket.socket]:
        return [each.channel for each in self._workers.values()]

    def _patience(self) -> float:
        """Seconds until the next thing to do if no signal comes."""
        times = [self._ping_at]
        if self._missing() > 0:
            times.append(self._start_at)
        return max(0.0, min(times) - time.monotonic())

    def _look_after(self) -> None:
        """Handle workers that ended, are missing, are too many, or do not answer."""
        self._reap()
        while self._missing() > 0 and time.monotonic() >= self._start_at:
            self._start()
        for pid in self._staying()[self._count :]:
            self._retire(pid)
        self._hand_on_events()
        now = time.monotonic()
        if now < self._ping_at:
            return
        every = min(_PING_EVERY, (systemd.watchdog() or 3600) / 3)
        self._ping_at = now + every
        systemd.alive()
        self._tell_expired()
        self._follow_nameservers()
        self._tell_counts(now)
        for pid, each in self._workers.items():
            # not by the clock, which goes on while the whole service is frozen
            if each.asked * every > _MAX_SILENCE:
                _log.error("worker %d does not answer; killed", pid)
                self._kill(pid)
            else:
                each.asked += 1
                self._send(pid, Command.PING)

    def _start(self) -> None:
        parent = os.getpid()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._not_started(error)
            return
        ours.settimeout(_MAX_SENDING)
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            turn = next(self._turns)
            pid = os.fork()
            if not pid:
                self._become_worker(parent, theirs, ours, turn)
        except OSError as error:
            ours.close()
            self._not_started(error)
        else:
            self._workers[pid] = _Worker(ours, time.monotonic())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            theirs.close()

    def _not_started(self, error: OSError) -> None:
        self._delay(0.0)
        _log.error("cannot start a worker (%s); trying again in %.1f s", error.strerror, self._pause)

    def _become_worker(self, parent: int, theirs: socket.socket, ours: socket.socket, turn: Turn) -> None:
        signal.set_wakeup_fd(-1)
        # a worker notices the end of the parent by its channel, so no other process may hold the other end
        for channel in (ours, *self._channels()):
            channel.close()
        worker.work(self._settings, parent, theirs, self._descriptor, turn)

    def _delay(self, life: float) -> None:
        """If a worker lived for so few seconds, wait before the next one, longer each time."""
        self._pause = 0.0 if life > _MIN_LIFE else min(_MAX_PAUSE, self._pause * 2 or 0.5)
        self._start_at = time.monotonic() + self._pause

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            ended = self._workers.pop(pid, None)
            if not ended:
                continue  # a child of another process that we inherited
            _take_in(ended)
            ended.channel.close()
            self._ended = self._ended.plus(ended.counts)
            why = _why(ended, status)
            self._tell(What.WORKER_ENDED, why, pid)
            if why is Why.RETIRED:
                _log.info("worker %d has retired", pid)
                continue
            self._delay(time.monotonic() - ended.started)
            _log.error("worker %d ended (%s); starting another in %.1f s", pid, _describe(status), self._pause)

    def _listen_to(self, ready: list[socket.socket]) -> None:
        for pid, each in self._workers.items():
            if each.channel not in ready:
                continue
            if _take_in(each) and not each.retiring:
                self._retire(pid)

    def _retire(self, pid: int) -> None:
        """Let a worker end when its connections do. It no longer counts."""
        _log.info("worker %d retires", pid)
        self._workers[pid].retiring = True
        self._send(pid, Command.RETIRE)

    def _kill(self, pid: int) -> None:
        self._workers[pid].stuck = True
        os.kill(pid, signal.SIGKILL)

    def _tell(self, what: What, why: Why | None = None, pid: int = 0) -> None:
        """Have an event written into the history."""
        if self._settings.history.directory:
            self._events.append(
                Event(
                    time=round(time.time(), 3),
                    host=socket.gethostname(),
                    what=what,
                    workers=self._count,
                    policy=self._settings.policy.digest,
                    why=why,
                    pid=pid,
                    keys=sum(map(len, self._settings.signing_keys.values())),
                )
            )

    def _hand_on_events(self) -> None:
        """A worker writes them: the parent never waits for a disk."""
        for pid in self._staying()[:1]:
            while self._events and self._send(pid, self._events[0]):
                self._events.popleft()

    def _send(self, pid: int, order: Order) -> bool:
        """Send an order. Returns whether the worker can have got it."""
        try:
            worker.send(self._workers[pid].channel, order)
        except (BrokenPipeError, ConnectionResetError):
            return False  # it has ended, and _reap() says how
        except OSError as error:
            # a partly sent command is useless; a worker that does not read must not keep the old settings
            _log.error("worker %d does not read commands (%s); killed", pid, error)
            self._kill(pid)
            return False
        return True

    def _reload(self) -> None:
        """Read the configuration again. If it has a mistake, nothing changes."""
        systemd.reloading()
        # thousands of keys take seconds
        systemd.alive()
        try:
            found = self._system.resolved(self._again())
        except ConfigError as error:
            for problem in error.problems:
                _log.error("%s", problem)
            _log.error("the configuration is not reloaded; policy %s stays", self._settings.policy.digest)
            self._failure = f"; the last reload failed: {error.problems[0]}"
            self._tell(What.RELOAD_FAILED)
            systemd.ready(self._status)
            return
        self._failure = ""
        for name in _FIXED:
            value = operator.attrgetter(name)
            if value(found) != value(self._settings):
                _log.warning("%s: needs a restart; not changed", name)
        self._settings = _with_fixed(found, self._settings)
        logline.set_up(found.log.level, found.log.format)
        self._hand_out()
        self._tell_policy("reloaded: policy")
        self._tell(What.RELOADED)
        systemd.ready(self._status)

    def _hand_out(self) -> None:
        """Send the settings to all workers."""
        for pid in self._workers:
            self._send(pid, self._settings)

    def _follow_nameservers(self) -> None:
        if found := self._system.changed():
            _log.info("the name servers of the system are now %s", nameservers.text(found))
            self._settings = nameservers.asking(self._settings, found)
            self._hand_out()

    def _tell_counts(self, now: float) -> None:
        """Show the counts to systemd; log how many messages had no answer from DNS, once a minute at most."""
        counts = self._counts
        if counts != self._shown:
            systemd.status(self._status)
            self._shown = counts
        if now < self._warn_at:
            return
        new, self._told = counts.plus(self._told, -1), counts
        if new.unanswered:
            self._warn_at = now + _WARN_EVERY
            said = "DNS: %d of the last %d messages had no answer from %s; %d questions failed"
            places = nameservers.text(self._settings.dns.nameservers)
            _log.warning(said, new.unanswered, new.messages, places, new.failures)

    def _tell_policy(self, beginning: str) -> None:
        policy = self._settings.policy
        _log.info("%s %s, digest %s", beginning, self._settings.policy_path or "standard", policy.digest)
        if self._settings.trusted_networks is None:
            _log.warning(
                "trusted_networks: Postfix cannot be asked for mynetworks; no network is trusted until a reload"
            )
        if signs := self._settings.sign.domains:
            _log.info("signs for %d domains", len(signs))
        if name := sealer(self._settings):
            _log.info("seals as %s", name)
        for doubt in doubts(self._settings, "mailassay.yaml", None):
            _log.warning("%s", doubt.message)
        self._expired = set()
        self._tell_expired()

    def _tell_expired(self) -> None:
        """Log each expired rule once."""
        for rule in expired(self._settings.policy, time.time()):
            if rule.name not in self._expired:
                self._expired.add(rule.name)
                _log.warning("%s:%d: rule %s expired on %s and is ignored", *rule.place[:2], rule.name, rule.expires)

    def _stop(self, signals: socket.socket) -> int:
        systemd.stopping()
        _log.info("stopping")
        for pid in self._workers:
            self._send(pid, Command.STOP)
        end = time.monotonic() + self._settings.message_timeout + _SPARE
        while self._workers:
            if _ready([signals], _LOOK_EVERY):
                signals.recv(4096)
            for pid in list(self._workers):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._workers[pid]
                elif time.monotonic() > end:
                    _log.error("worker %d does not end; killed", pid)
                    os.kill(pid, signal.SIGKILL)
        return 0


def _take_in(each: _Worker) -> bool:
    """Read what a worker has said. Does it want to retire?"""
    try:
        each.unread += each.channel.recv(4096)
    except OSError:
        return False  # it died before it read a command
    each.asked = 0
    found = worker.words(each.unread)
    if found:
        each.counts = found[-1].counts
    return any(word.retires for word in found)


@contextlib.contextmanager
def signals_of() -> Iterator[socket.socket]:
    """Yield a socket from which signals are read, one octet each."""
    reader, writer = socket.socketpair()
    for channel in (reader, writer):
        channel.setblocking(False)
    with reader, writer:
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, lambda *_: None) for number in HANDLED}
        # those that have come since the program began are handled now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _ready(channels: list[socket.socket], seconds: float) -> list[socket.socket]:
    """The channels that can be read, after so many seconds at most. select(2) fails for descriptors above 1023."""
    poll, by_number = select.poll(), {each.fileno(): each for each in channels}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(seconds * 1000)]


def _why(ended: _Worker, status: int) -> Why:
    if ended.stuck:
        return Why.STUCK
    if os.WIFSIGNALED(status):
        return Why.SIGNAL
    return Why.RETIRED if ended.retiring and not os.WEXITSTATUS(status) else Why.EXIT


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def _with_fixed(found: Settings, before: Settings) -> Settings:
    """New settings, with what a reload cannot change as it was before."""
    return replace(
        found,
        listen=before.listen,
        socket_mode=before.socket_mode,
        socket_group=before.socket_group,
        dns=replace(found.dns, cache_size=before.dns.cache_size),
        history=replace(found.history, directory=before.history.directory),
    )
