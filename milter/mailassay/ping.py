"""Does a milter answer at a socket? An MTA's side of the milter protocol, up to the first answer."""

from __future__ import annotations

import contextlib
import socket
import struct
import time

from .config import Listen

_MAX_PACKET = 65_536  # octets
# what an MTA offers at protocol 6: every action and every step
_OFFER = struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)
_QUIT = struct.pack("!Ic", 1, b"Q")


def ping(listen: Listen, patience: float) -> str:
    """Why the program at the socket is no milter; empty if it is one. Raises OSError if nobody answers in time.

    It is one option negotiation, as at the beginning of an SMTP connection. ``patience`` is in seconds, for all of it,
    except that a host name is looked up first, and each of its addresses has that time to accept the connection.
    """
    until = time.monotonic() + patience
    with connected(listen, patience) as channel:
        return negotiated(channel, until)


def connected(listen: Listen, patience: float) -> socket.socket:
    """A connection to the socket. Raises OSError."""
    if listen.kind != "unix":
        return socket.create_connection((listen.host, listen.port), patience)
    channel = socket.socket(socket.AF_UNIX)
    try:
        channel.settimeout(patience)
        channel.connect(listen.path)
    except OSError:
        channel.close()
        raise
    return channel


def negotiated(channel: socket.socket, until: float) -> str:
    """Negotiate, and end the connection. ``until`` is a time of ``time.monotonic``. See :func:`ping`."""
    channel.sendall(_OFFER)
    head = _received(channel, 4, until)
    length = int.from_bytes(head)
    if len(head) < 4:
        return "the program there hangs up at the beginning of the milter protocol"
    if (
        not 13 <= length <= _MAX_PACKET
        or (answer := _received(channel, length, until))[:1] != b"O"
        or len(answer) < length
    ):
        return "the program there does not speak the milter protocol"
    with contextlib.suppress(OSError):
        # it has answered already
        channel.sendall(_QUIT)
    return ""


def _received(channel: socket.socket, count: int, until: float) -> bytes:
    """Read so many octets, or fewer if the other side hangs up. Raises TimeoutError."""
    found = b""
    while len(found) < count:
        if (left := until - time.monotonic()) <= 0:
            raise TimeoutError("timed out")
        channel.settimeout(left)
        if not (octets := channel.recv(count - len(found))):
            break
        found += octets
    return found
