"""Notices to systemd and sockets from it: sd_notify(3), sd_listen_fds(3)."""

from __future__ import annotations

import logging
import os
import socket
import time

_LISTEN_FDS_START = 3

_log = logging.getLogger(__name__)


def inherited() -> int | None:
    """The descriptor of a socket unit; None if there is none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS", "0") == "0":
        return None
    return _LISTEN_FDS_START


def watchdog() -> float | None:
    """Seconds within which systemd wants each sign of life; None if it wants none."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdigit() and int(microseconds) else None


def ready(status: str) -> None:
    """Say that the service is at work; also after :func:`reloading`."""
    _notify("READY=1", f"STATUS={status}")


def status(text: str) -> None:
    """Set the text that ``systemctl status`` shows."""
    _notify(f"STATUS={text}")


def reloading() -> None:
    """Say that the configuration is read again, until :func:`ready`."""
    _notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Say that the service stops."""
    _notify("STOPPING=1")


def alive() -> None:
    """Tell the watchdog, if there is one, that the service is alive."""
    if watchdog():
        _notify("WATCHDOG=1")


def _notify(*lines: str) -> None:
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
