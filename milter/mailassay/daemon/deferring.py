"""Defers all mail while the configuration has a mistake and systemd holds the socket.

If nobody answered, systemd would start the service again for each connection that waits, at once and without end, and
smtpd would wait for an answer. This module knows just enough of the milter protocol to refuse a connection.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator

from ..config import ConfigError, Settings
from . import systemd
from .parent import signals_of

_LOOK_EVERY = 10.0  # seconds; the mistake may be in a file that another program writes, as resolv.conf
_WATCHDOG_EVERY = 3.0
_MOST_CONNECTIONS = 500  # Postfix has a hundred smtpd processes
_PAUSE = 1.0  # seconds, if this host cannot open another connection
_VERSION = 6
_MAX_PACKET = 65_536  # octets
_LENGTH = struct.Struct("!I")
_OFFER, _UNANSWERED = b"O", b"ADKQ"  # SMFIC_OPTNEG; ABORT, MACRO, QUIT_NC, QUIT
_TEMPFAIL = _LENGTH.pack(1) + b"t"

_log = logging.getLogger(__name__)


def until_fixed(descriptor: int, mistake: ConfigError, read: Callable[[], Settings]) -> Settings | None:
    """Defer all mail until ``read`` no longer raises ConfigError. Returns its settings; None on SIGTERM or SIGINT.

    ``read`` is called again on SIGHUP, and every few seconds. ``descriptor`` is the socket that systemd holds.
    """
    with signals_of() as signals, socket.socket(fileno=os.dup(descriptor)) as listener, _Connections(listener) as found:
        said = ""
        look_at = time.monotonic() + _LOOK_EVERY
        while True:
            said = _tell(mistake, said)
            every = min(_LOOK_EVERY, (systemd.watchdog() or 3600) / _WATCHDOG_EVERY)
            received = found.answer(signals, min(every, max(0.0, look_at - time.monotonic())))
            systemd.alive()
            if received & {signal.SIGTERM, signal.SIGINT}:
                systemd.stopping()
                return None
            if signal.SIGHUP in received or time.monotonic() >= look_at:
                look_at = time.monotonic() + _LOOK_EVERY
                try:
                    return read()
                except ConfigError as error:
                    mistake = error
                if signal.SIGHUP in received:
                    said = ""


def _tell(mistake: ConfigError, said: str) -> str:
    """Tell systemd and the log about the mistake, unless they know it already."""
    rest = len(mistake.problems) - 1
    text = f"{mistake.problems[0]}{f' (and {rest} more)' if rest else ''}"
    if text != said:
        for problem in mistake.problems:
            _log.error("%s", problem)
        _log.error("listening on the socket of systemd; all mail is deferred until the configuration is right")
        systemd.ready(f"all mail is deferred: {text}")
    return text


class _Connections:
    """The connections to ``listener``, each with the packet that is not complete yet."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._heard: dict[int, tuple[socket.socket, bytearray]] = {}  # by descriptor, the oldest first
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)

    def __enter__(self) -> _Connections:
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._heard):
            self._hang_up(number)

    def answer(self, signals: socket.socket, seconds: float) -> set[int]:
        """Answer all connections for so many seconds, or until a signal comes. Returns the signals."""
        self._poll.register(signals, select.POLLIN)
        end = time.monotonic() + seconds
        while True:
            ready = [number for number, _ in self._poll.poll(max(0.0, end - time.monotonic()) * 1000)]
            for number in ready:
                if number == self._listener.fileno():
                    self._accept()
                elif number in self._heard:
                    self._hear(number)
            if signals.fileno() in ready:
                return set(signals.recv(4096))
            if time.monotonic() >= end:
                return set()

    def _accept(self) -> None:
        if len(self._heard) >= _MOST_CONNECTIONS:
            self._hang_up(next(iter(self._heard)))
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            _log.error("cannot take a connection: %s", error.strerror)
            time.sleep(_PAUSE)
            return
        connection.setblocking(False)
        self._heard[connection.fileno()] = connection, bytearray()
        self._poll.register(connection, select.POLLIN)

    def _hear(self, number: int) -> None:
        connection, heard = self._heard[number]
        try:
            octets = connection.recv(_MAX_PACKET)
            heard += octets
            for each in answers(heard):
                connection.sendall(each)
        except (OSError, ValueError):
            octets = b""
        if not octets:
            self._hang_up(number)

    def _hang_up(self, number: int) -> None:
        connection, _ = self._heard.pop(number)
        with contextlib.suppress(OSError):
            self._poll.unregister(connection)
        connection.close()


def answers(heard: bytearray) -> Iterator[bytes]:
    """The answers to the packets in ``heard``: every command is deferred. An incomplete packet stays there.

    Raises ValueError if it is not a packet of the milter protocol.
    """
    while len(heard) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(heard)
        if not 1 <= length <= _MAX_PACKET:
            raise ValueError("not the length of a packet")
        if len(heard) < _LENGTH.size + length:
            return
        command, data = heard[4:5], bytes(heard[5 : 4 + length])
        del heard[: 4 + length]
        if command == _OFFER:
            # no action is asked for, and every command gets an answer
            version = min(_VERSION, int.from_bytes(data[:4]))
            yield _LENGTH.pack(13) + _OFFER + struct.pack("!III", version, 0, 0)
        elif command not in _UNANSWERED:
            yield _TEMPFAIL
