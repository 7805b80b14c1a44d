"""Things that the service needs and for which libmilter or pymilter has no call.

libmilter opens its socket and runs its main loop in one call of pymilter's, cannot stop listening without ending its
connections, waits in system calls that only a signal interrupts, and breaks off at large packets.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import Milter
import milter

from .callbacks import ACTIONS, Callbacks, Work, current

# interrupts libmilter's system calls; libmilter itself does not use it
_WAKE = signal.SIGURG
_MAX_PACKET = 16 << 20  # octets of one milter packet; Postfix sends a header field in one, as large as it allows
_LOWEST, _SIZE = 1 << 16, 16 << 20  # a stack below all real ones
_SET_STACK = "PyUnstable_ThreadState_SetStackProtection"

_log = logging.getLogger(__name__)


class Unusable(Exception):
    """The service cannot run with this Python. The text says why."""


def _with_any_stack() -> Callable[[], None]:
    """The function that lets the callbacks of a connection run in any thread. Raises Unusable.

    pymilter has one thread state for each connection, and libmilter calls back from different threads. From 3.14 on,
    Python remembers the C stack of the first of them. In a thread whose stack is lower it believes that the stack is
    nearly used up, and keeps what it should free (``Py_Dealloc``), so that memory grows with each message. So the
    thread state gets a stack that is below all others. That also takes Python's guard against a recursion of C code too
    deep for the stack; limits on what a sender writes keep ours flat.
    """
    if sys.version_info < (3, 14):
        return lambda: None
    try:
        set_stack, state = getattr(ctypes.pythonapi, _SET_STACK), ctypes.pythonapi.PyThreadState_Get
    except AttributeError as error:
        text = f"with Python {sys.version.split()[0]} the memory of the service would grow without end: it has no "
        raise Unusable(f"{text}{_SET_STACK}. Use a later 3.14, or Python 3.11 to 3.13") from error
    state.argtypes, state.restype = [], ctypes.c_void_p
    set_stack.argtypes, set_stack.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t], ctypes.c_int

    def prepare() -> None:
        set_stack(state(), _LOWEST, _SIZE)

    return prepare


def register() -> None:
    """Like ``Milter.runmilter``, without opening the socket and running: the fork must come between these two.

    Raises Unusable.
    """
    prepare_thread_state = _with_any_stack()

    def negotiate(context: Any, options: list[int]) -> int:
        # the first callback of a connection
        prepare_thread_state()
        return int(Milter.negotiate_callback(context, options))

    milter.set_connect_callback(Milter.connect_callback)
    milter.set_helo_callback(lambda context, name: context.getpriv().hello(name))
    milter.set_envfrom_callback(lambda context, *args: context.getpriv().envfrom_bytes(*args))
    milter.set_envrcpt_callback(lambda context, *args: context.getpriv().envrcpt_bytes(*args))
    # the value as octets. pymilter's header_bytes, which can do that too, makes each session a cycle for the garbage
    # collector.
    milter.set_header_callback(lambda context, name, value: context.getpriv().header(name, value))
    milter.set_eoh_callback(lambda context: context.getpriv().eoh())
    milter.set_body_callback(lambda context, chunk: context.getpriv().body(chunk))
    milter.set_eom_callback(lambda context: context.getpriv().eom())
    milter.set_abort_callback(lambda context: context.getpriv().abort())
    milter.set_close_callback(Milter.close_callback)
    milter.set_flags(ACTIONS)
    _allow_large_packets()
    # for exceptions outside any session
    milter.set_exception_policy(Milter.TEMPFAIL)
    milter.register(
        "mailassay",
        data=lambda context: context.getpriv().data(),
        unknown=lambda context, command: context.getpriv().unknown(command),
        negotiate=negotiate,
    )


def _allow_large_packets() -> None:
    """Allow packets above 64 KiB, where libmilter breaks off by default; pymilter has no call for that.

    A larger header field is bad manners, but not a reason to defer the message for ever.
    """
    library = ctypes.CDLL(milter.__file__)
    try:
        set_size = library.smfi_setmaxdatasize
    except AttributeError:
        _log.warning("this libmilter does not take header fields above 64 KiB; Postfix will defer such messages")
        return
    set_size.argtypes, set_size.restype = [ctypes.c_size_t], ctypes.c_size_t
    set_size(_MAX_PACKET)


def use_socket(descriptor: int) -> None:
    """Have libmilter listen on a socket that is open already. Raises OSError."""
    # not by its name: libmilter would remove the file when the first worker ends, unless root runs it
    milter.setconn(f"fd:{descriptor}")
    try:
        milter.opensocket(False)
    except milter.error as error:
        raise OSError(str(error)) from error


def prepare(work: Work) -> None:
    """Prepare this process, a worker, for :func:`run` and :func:`wake`."""
    Milter.factory = lambda: Callbacks(work)
    sys.excepthook = _untrapped
    signal.signal(_WAKE, lambda *_: None)


def run(descriptor: int) -> None:
    """Run libmilter's main loop in the main thread until SIGTERM. Messages in hand still get their answers.

    ``descriptor`` is that of :func:`use_socket`. Raises milter.error.
    """
    try:
        milter.main()
    except milter.error:
        # its thread for signals closes the socket at SIGTERM, and if that comes first, its main loop finds no socket
        if _is_open(descriptor):
            raise


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _untrapped(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The ``sys.excepthook`` of a worker, for failures in pymilter itself, which no callback sees.

    pymilter decodes HELO names and field names as UTF-8. If a HELO name is not UTF-8, an earlier one must not count.
    """
    if session := current.get(None):
        session.failed = True
        if isinstance(error, UnicodeDecodeError):
            _log.warning("queue_id=%s not UTF-8: %s", session.queue_id, ascii(error.object))
            session.hello(error.object.decode("utf-8", "surrogateescape"))
            return
    _log.error("failed in pymilter", exc_info=(kind, error, trace))


def turn_away(descriptor: int) -> None:
    """Take the socket from this process: nobody can connect to it any more. Open connections stay.

    Other processes go on listening. libmilter cannot stop listening without ending its connections, so it gets a
    descriptor on which nothing ever happens. That is not another socket, which anybody who finds its name could reach.
    A call that libmilter has begun still waits at the old socket until a signal interrupts it (:func:`wake`). If it has
    just seen a connection there, its accept(2) fails, and it logs that once.
    """
    nothing = os.eventfd(0)
    os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


def wake() -> None:
    """Interrupt libmilter's poll(2) or accept(2) in the main thread, so that it sees the new descriptor or ends.

    If several workers see a connection, one gets it, and the others wait in accept(2) for the next.
    """
    if main := threading.main_thread().ident:
        signal.pthread_kill(main, _WAKE)
