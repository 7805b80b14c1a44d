"""The process of the pages: its socket, and waitress."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import waitress.server

from ..config import Listen, Nameserver

# what a lookup needs is loaded at the start, and not after an upgrade of the package
from ..dkim import by_dkimpy, public_key  # noqa: F401
from ..limits import Limits
from ..nameservers import Nameservers, system_nameservers
from ..resolver import Cached, Source
from ..spf import by_pyspf  # noqa: F401
from ..store import database
from . import state
from .app import Pages
from .settings import CurrentSettings

_THREADS = 6  # requests that are worked on; slow clients take none
_CONNECTIONS = 500
_IDLE = 15  # seconds without an octet, after which a connection is closed
_MAX_HEADER = 16_384  # octets of a request
_MAX_BODY = 1024  # octets, which nobody reads
_ANSWERS = 2000  # of DNS that are remembered
_NICENESS = 5  # records are moved first, and mail is judged first
_FAMILIES = {"unix": socket.AF_UNIX, "inet": socket.AF_INET, "inet6": socket.AF_INET6}

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The socket cannot be opened. The text says which one and why."""


def serve(current: CurrentSettings, channel: socket.socket) -> None:
    """Serve the pages until the collector at the other end of the channel is gone. Raises CannotListen."""
    settings = current.settings()
    assert settings.web.listen
    assert settings.history.directory
    # a sandbox may forbid it
    with suppress(PermissionError):
        os.nice(_NICENESS)
    # it would log every request that has to wait
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    listener = opened(settings.web.listen)
    known = state.Known()
    state.listen(channel, known, lambda: os.kill(os.getpid(), signal.SIGTERM))
    engine = database.connect(database.address(settings.history.directory, settings.history.database), reads_only=True)
    _log.info("pages at %s", name_of(settings.web.listen))
    server(Pages(current.settings, engine, _source(current), known), listener).run()


def _source(current: CurrentSettings) -> Callable[[], Source]:
    """Gives what answers questions to DNS, by the name servers that are there now."""

    def configuration() -> tuple[Sequence[Nameserver], float, Limits]:
        settings = current.settings()
        return settings.dns.nameservers or system_nameservers(), settings.dns.timeout, settings.policy.limits

    nameservers = Nameservers(*configuration())
    cached = Cached(nameservers, _ANSWERS)

    def source() -> Source:
        nameservers.configure(*configuration())
        return cached

    return source


def server(application: Any, listener: socket.socket) -> Any:
    """Waitress with bounds: it reads requests and writes responses in one thread, which no client can hold up."""
    return waitress.server.create_server(
        application,
        sockets=[listener],
        threads=_THREADS,
        connection_limit=_CONNECTIONS,
        channel_timeout=_IDLE,
        cleanup_interval=5,
        max_request_header_size=_MAX_HEADER,
        max_request_body_size=_MAX_BODY,
        backlog=128,
        ident=None,
        asyncore_use_poll=True,
        log_socket_errors=False,
        clear_untrusted_proxy_headers=True,
    )


def opened(listen: Listen) -> socket.socket:
    """The socket, which listens. A Unix socket is for its owner and its group. Raises CannotListen."""
    listener = socket.socket(_FAMILIES[listen.kind])
    umask = os.umask(0o117)
    try:
        if listen.kind == "unix":
            _make_room(listen.path)
            listener.bind(listen.path)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if listen.kind == "inet6":
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((listen.host, listen.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise CannotListen(f"cannot listen on {name_of(listen)}: {error.strerror or error}") from error
    finally:
        os.umask(umask)
    return listener


def _make_room(path: str) -> None:
    """Remove the socket file of a collector that was killed. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as channel:
        if channel.connect_ex(path) == 0:
            raise OSError("another process does")
    if os.path.lexists(path) and stat.S_ISSOCK(os.lstat(path).st_mode):
        os.unlink(path)


def name_of(listen: Listen) -> str:
    """The address of the pages, for people."""
    if listen.kind == "unix":
        return f"unix:{listen.path}"
    return (
        f"http://[{listen.host}]:{listen.port}/" if listen.kind == "inet6" else f"http://{listen.host}:{listen.port}/"
    )
