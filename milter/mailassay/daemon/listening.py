"""The socket that Postfix connects to: opened once, before there are workers, who share it."""

from __future__ import annotations

import contextlib
import grp
import logging
import os
import socket
import stat
from collections.abc import Iterator

import milter

from ..config import Listen, Settings
from . import systemd

_FAMILIES = {"unix": socket.AF_UNIX, "inet": socket.AF_INET, "inet6": socket.AF_INET6}

_QUIT = b"\0\0\0\1Q"  # of the milter protocol: the other side closes

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The socket cannot be opened; the text says which and why."""


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[int]:
    """Open the socket; its descriptor. A socket file of our own making goes at the end. Raises CannotListen."""
    listen, inherited = settings.listen, systemd.inherited()
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
    try:
        yield inherited or _descriptor()
    finally:
        if listen.kind == "unix" and not inherited:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(listen.path)


def knock(listener: socket.socket) -> None:
    """Connect to a socket of ours, since only that wakes a worker that hangs in accept(2).

    Of the workers that see a connection come, one gets it, and the others wait there for the next.
    """
    with socket.socket(listener.family) as knocking:
        knocking.setblocking(False)
        with contextlib.suppress(OSError):
            knocking.connect(listener.getsockname())


def turn_away(descriptor: int) -> socket.socket:
    """Let nobody come to this process by the socket any more; those that are here stay, other processes go on.

    libmilter can only stop listening and end its connections in one. So it is left a socket that nobody knows of, the
    one returned. Until :func:`is_heard` there, it may still wait for one connection to the old one.
    """
    quiet = socket.socket(socket.AF_UNIX)
    quiet.bind("")
    quiet.listen()
    os.dup2(quiet.fileno(), descriptor, inheritable=False)
    return quiet


def is_heard(listener: socket.socket, seconds: float) -> bool:
    """Does libmilter take a connection to a Unix socket of ours, within some seconds?"""
    with socket.socket(listener.family) as client:
        client.settimeout(seconds)
        try:
            client.connect(listener.getsockname())
            client.sendall(_QUIT)
            return client.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


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


def _descriptor() -> int:
    """The descriptor that libmilter has opened, which it does not tell."""
    for entry in os.scandir("/proc/self/fd"):
        if not stat.S_ISSOCK(entry.stat().st_mode):
            continue
        with socket.socket(fileno=os.dup(int(entry.name))) as channel:
            if channel.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return int(entry.name)
    raise CannotListen("libmilter has opened no socket")


def _give_to_postfix(settings: Settings) -> None:
    path, group = settings.listen.path, settings.socket_group
    if group:
        try:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        except (KeyError, PermissionError) as error:
            _log.warning("socket_group %s: %s: the socket keeps its group; Postfix may not reach it", group, error)
    os.chmod(path, settings.socket_mode)
