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
    with socket.socket(fileno=inherited) if inherited else _open(listen) as listener:
        if not inherited and listen.kind == "unix":
            _give_to_postfix(settings)
        # not by its name: libmilter would remove the file with the first worker that ends, other than root's
        milter.setconn(f"fd:{listener.fileno()}")
        try:
            milter.opensocket(False)
        except milter.error as error:
            raise CannotListen(f"cannot listen on {listen.libmilter}: {error}") from error
        try:
            yield listener.fileno()
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


def _open(listen: Listen) -> socket.socket:
    """Listen. Nobody can connect to a Unix socket before the file has its mode and group."""
    listener = socket.socket(_FAMILIES[listen.kind])
    umask = os.umask(0o177)
    try:
        if listen.kind == "unix":
            _make_room(listen)
            listener.bind(listen.path)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((listen.host, listen.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {listen.libmilter}: {error.strerror or error}") from error
    except CannotListen:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def _make_room(listen: Listen) -> None:
    """Remove the socket that one who was killed has left."""
    with socket.socket(socket.AF_UNIX) as channel:
        if channel.connect_ex(listen.path) == 0:
            raise CannotListen(f"cannot listen on {listen.libmilter}: another process does")
    folder = os.path.dirname(listen.path)
    if not os.access(folder, os.W_OK):
        raise CannotListen(f"cannot listen on {listen.libmilter}: folder {folder} is missing or not writable")
    if not os.path.lexists(listen.path):
        return
    if not stat.S_ISSOCK(os.lstat(listen.path).st_mode):
        raise CannotListen(f"cannot listen on {listen.libmilter}: there is a file that is no socket")
    os.unlink(listen.path)


def _give_to_postfix(settings: Settings) -> None:
    path, group = settings.listen.path, settings.socket_group
    if group:
        try:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        except (KeyError, PermissionError) as error:
            _log.warning("socket_group %s: %s: the socket keeps its group; Postfix may not reach it", group, error)
    os.chmod(path, settings.socket_mode)
