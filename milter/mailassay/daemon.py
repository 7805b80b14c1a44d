"""The service: one socket, worker processes that share it, signals, and what systemd wants to know.

libmilter runs its own threads and signal handling, so each worker is a process in which nothing but libmilter's main
runs; the parent opens the socket, starts workers, and starts another where one dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import grp
import logging
import os
import resource
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any

import Milter
import milter

from . import report
from .config import Listen, Settings
from .network import Nameservers, system_nameservers
from .resolver import Cached
from .session import ACTIONS, Session, judging, untrapped

_LISTEN_FDS_START = 3  # sd_listen_fds(3)
_MIN_LIFE = 1.0  # seconds; a worker that dies sooner is started again only after a pause
_MAX_PAUSE = 30.0
_KNOCK_EVERY = 0.2  # seconds
_FINISH_EVERY = 0.05
_MAX_PACKET = 16 << 20  # octets of one milter packet; Postfix sends a header field in one, as large as it allows
_FAMILIES = {"unix": socket.AF_UNIX, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The socket cannot be opened; the text says which and why."""


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit status. Raises :class:`CannotListen`."""
    _set_up_logging(settings)
    # a descriptor for each connection and each DNS question under way; systemd forbids it, and has its own limit
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    # whoever started us may ignore it, and then nobody hears of workers that end
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _register()
    _open_socket(settings)
    count = settings.workers or len(os.sched_getaffinity(0))
    with _unlinked(settings):
        return _Parent(settings, count).run()


class _Parent:
    def __init__(self, settings: Settings, count: int) -> None:
        self._settings, self._count = settings, count
        self._workers: dict[int, float] = {}  # process id: when it was started
        self._pause = 0.0
        self._start_at = 0.0

    def run(self) -> int:
        for _ in range(self._count):
            self._start()
        _log.info("listening on %s, %d workers", self._settings.listen.libmilter, self._count)
        _notify("READY=1", f"STATUS={self._count} workers")
        while True:
            self._reap()
            if len(self._workers) < self._count and time.monotonic() >= self._start_at:
                self._start()
                continue
            missing = len(self._workers) < self._count
            wait = max(0.0, self._start_at - time.monotonic()) if missing else 3600.0
            received = signal.sigtimedwait(_SIGNALS, wait)
            if received and received.si_signo in (signal.SIGTERM, signal.SIGINT):
                return self._stop()
            if received and received.si_signo == signal.SIGHUP:
                _log.warning("SIGHUP: configuration is read at start; restart the service to read it again")

    def _start(self) -> None:
        sys.stderr.flush()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._delay(0.0)
            _log.error("cannot start a worker (%s); trying again in %.1f s", error.strerror, self._pause)
            return
        if not pid:
            _work(self._settings, parent)
        self._workers[pid] = time.monotonic()

    def _delay(self, life: float) -> None:
        """Wait before the next worker, longer each time, where one lived for that many seconds only."""
        self._pause = 0.0 if life > _MIN_LIFE else min(_MAX_PAUSE, self._pause * 2 or 0.5)
        self._start_at = time.monotonic() + self._pause

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            self._delay(time.monotonic() - self._workers.pop(pid))
            _log.error("worker %d ended (%s); starting another in %.1f s", pid, _describe(status), self._pause)

    def _stop(self) -> int:
        _notify("STOPPING=1")
        _log.info("stopping")
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        while self._workers:
            _knock(self._settings.listen)
            signal.sigtimedwait({signal.SIGCHLD}, _KNOCK_EVERY)
            for pid in list(self._workers):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._workers[pid]
        return 0


def _knock(listen: Listen) -> None:
    """Connect, since only that wakes a worker that hangs in accept(2).

    Of the workers that see a connection come, one gets it, and the others wait there for the next.
    """
    inherited = _inherited()
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        address: Any
        if inherited:
            listening = stack.enter_context(socket.socket(fileno=os.dup(inherited)))
            family, address = listening.family, listening.getsockname()
        else:
            family, address = _FAMILIES[listen.kind], listen.path or (listen.host, listen.port)
        knocking = stack.enter_context(socket.socket(family))
        knocking.setblocking(False)
        knocking.connect(address)


def _describe(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"


def _work(settings: Settings, parent: int) -> None:
    """A worker process, from fork to exit."""
    status = os.EX_SOFTWARE
    try:
        _die_with(parent)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        nameservers = settings.nameservers or system_nameservers()
        source = Cached(Nameservers(nameservers, settings.dns_timeout, settings.policy.limits), settings.cache_size)
        Milter.factory = lambda: Session(settings, source)
        sys.excepthook = untrapped
        milter.main()
        _finish()
        use = source.use()
        _log.info("worker %d ends; DNS: %d questions, %d of them sent, %d answers kept", os.getpid(), *use)
        status = os.EX_OK
    except Exception:  # noqa: BLE001 - the end of the process
        _log.exception("worker failed")
    finally:
        sys.stderr.flush()
        os._exit(status)


def _finish() -> None:
    """Wait for the messages that are being judged; libmilter has stopped listening and goes on answering."""
    while judging:
        time.sleep(_FINISH_EVERY)
    # the answer itself is written after our callback has returned
    time.sleep(_FINISH_EVERY)


def _die_with(parent: int) -> None:
    """A worker without its parent would hold the socket, and nobody would answer for it: prctl(2).

    Nor would anybody wake it for SIGTERM; what it has in hand the sender tries again.
    """
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        raise RuntimeError("the parent is gone")


def _register() -> None:
    """What ``Milter.runmilter`` does, but for opening the socket and running, which a fork must come between."""
    milter.set_connect_callback(Milter.connect_callback)
    milter.set_helo_callback(lambda context, name: context.getpriv().hello(name))
    milter.set_envfrom_callback(lambda context, *args: context.getpriv().envfrom_bytes(*args))
    milter.set_envrcpt_callback(lambda context, *args: context.getpriv().envrcpt_bytes(*args))
    milter.set_header_callback(lambda context, name, value: context.getpriv().header_bytes(name, value))
    milter.set_eoh_callback(lambda context: context.getpriv().eoh())
    milter.set_body_callback(lambda context, chunk: context.getpriv().body(chunk))
    milter.set_eom_callback(lambda context: context.getpriv().eom())
    milter.set_abort_callback(lambda context: context.getpriv().abort())
    milter.set_close_callback(Milter.close_callback)
    milter.set_flags(ACTIONS)
    _allow_large_packets()
    # where there is no session to answer for its exceptions itself
    milter.set_exception_policy(Milter.TEMPFAIL)
    milter.register(
        "mailassay",
        data=lambda context: context.getpriv().data(),
        unknown=lambda context, command: context.getpriv().unknown(command),
        negotiate=Milter.negotiate_callback,
    )


def _allow_large_packets() -> None:
    """libmilter breaks off at 64 KiB unless told otherwise, and pymilter has no call for that.

    A field larger than that is bad manners, not a reason to defer the message for ever.
    """
    library = ctypes.CDLL(milter.__file__)
    try:
        set_size = library.smfi_setmaxdatasize
    except AttributeError:
        _log.warning("this libmilter takes no header field above 64 KiB; Postfix will defer such messages")
        return
    set_size.argtypes, set_size.restype = [ctypes.c_size_t], ctypes.c_size_t
    set_size(_MAX_PACKET)


def _open_socket(settings: Settings) -> None:
    listen = settings.listen
    inherited = _inherited()
    if not inherited:
        _try(listen)
    milter.setconn(f"fd:{inherited}" if inherited else listen.libmilter)
    # nobody may connect before the file has its mode and group
    umask = os.umask(0o177)
    try:
        milter.opensocket(True)
    except milter.error as error:
        raise CannotListen(f"cannot listen on {listen.libmilter}: {error}") from error
    finally:
        os.umask(umask)
    if not inherited and listen.kind == "unix":
        _give_to_postfix(settings)


def _try(listen: Listen) -> None:
    """Listen for a moment, since libmilter tells the reason of a failure only to syslog."""
    family = _FAMILIES[listen.kind]
    try:
        if listen.kind == "unix":
            with socket.socket(family) as channel:
                if channel.connect_ex(listen.path) == 0:
                    raise CannotListen(f"cannot listen on {listen.libmilter}: another process does")
            if not os.access(os.path.dirname(listen.path), os.W_OK):
                folder = os.path.dirname(listen.path)
                raise CannotListen(f"cannot listen on {listen.libmilter}: folder {folder} is missing or not writable")
            if os.path.lexists(listen.path) and not stat.S_ISSOCK(os.lstat(listen.path).st_mode):
                raise CannotListen(f"cannot listen on {listen.libmilter}: there is a file that is no socket")
        else:
            socket.create_server((listen.host, listen.port), family=family).close()
    except OSError as error:
        raise CannotListen(f"cannot listen on {listen.libmilter}: {error.strerror or error}") from error


def _give_to_postfix(settings: Settings) -> None:
    path, group = settings.listen.path, settings.socket_group
    if group:
        try:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        except (KeyError, PermissionError) as error:
            _log.warning("socket_group %s: %s: the socket keeps its group; Postfix may not reach it", group, error)
    os.chmod(path, settings.socket_mode)


def _inherited() -> int | None:
    """The descriptor that systemd's socket activation hands over: sd_listen_fds(3)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS", "0") == "0":
        return None
    return _LISTEN_FDS_START


@contextlib.contextmanager
def _unlinked(settings: Settings) -> Iterator[None]:
    """A socket file of our own making goes when the service ends."""
    try:
        yield
    finally:
        if settings.listen.kind == "unix" and not _inherited():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(settings.listen.path)


def _notify(*lines: str) -> None:
    """Tell systemd, where it listens: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto("\n".join(lines).encode(), address)
    except OSError as error:
        _log.warning("cannot tell systemd at %s: %s", address, error.strerror)


def _set_up_logging(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(report.JsonFormatter() if settings.log_format == "json" else report.TextFormatter(journal))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
