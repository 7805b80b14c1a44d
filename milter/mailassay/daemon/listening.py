"""The socket that Postfix connects to. It is opened once, before the workers start, and they share it."""

from __future__ import annotations

import contextlib
import grp
import logging
import os
import socket
import stat
from collections.abc import Iterator

from ..config import Listen, Settings
from . import libmilter, systemd

_FAMILIES = {"unix": socket.AF_UNIX, "inet": socket.AF_INET, "inet6": socket.AF_INET6}

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The socket cannot be opened. The text says which one and why."""


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[int]:
    """Open the socket and yield its descriptor. Removes its own socket file at the end. Raises CannotListen."""
    listen, inherited = settings.listen, systemd.inherited()
    with socket.socket(fileno=inherited) if inherited else _open(listen) as listener:
        if not inherited and listen.kind == "unix":
            _give_to_postfix(settings)
        try:
            libmilter.use_socket(listener.fileno())
        except OSError as error:
            raise CannotListen(f"cannot listen on {listen.libmilter}: {error}") from error
        try:
            yield listener.fileno()
        finally:
            if listen.kind == "unix" and not inherited:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(listen.path)


def _open(listen: Listen) -> socket.socket:
    """Listen. Nobody can connect to a Unix socket before its file has its mode and group."""
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
    """Remove the socket file of a service that was killed. Raises CannotListen."""
    with socket.socket(socket.AF_UNIX) as channel:
        if channel.connect_ex(listen.path) == 0:
            raise CannotListen(f"cannot listen on {listen.libmilter}: another process does")
    folder = os.path.dirname(listen.path)
    if not os.access(folder, os.W_OK):
        raise CannotListen(f"cannot listen on {listen.libmilter}: folder {folder} is missing or not writable")
    if not os.path.lexists(listen.path):
        return
    if not stat.S_ISSOCK(os.lstat(listen.path).st_mode):
        raise CannotListen(f"cannot listen on {listen.libmilter}: there is a file that is not a socket")
    os.unlink(listen.path)


def _give_to_postfix(settings: Settings) -> None:
    path, group = settings.listen.path, settings.socket_group
    if group:
        try:
            os.chown(path, -1, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid)
        except (KeyError, PermissionError) as error:
            _log.warning("socket_group %s: %s: the socket keeps its group; Postfix may not reach it", group, error)
    os.chmod(path, settings.socket_mode)
