"""A run in namespaces of its own: no network but a loopback, a /proc and mounts nobody else sees.

Whatever ends the run, the kernel ends with it all that the run has started.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x4000, 0x40000, 2


def run(work: Callable[[Path], int], nameserver: str) -> int:
    """The exit status of ``work``, whose folder, and ``tempfile``'s, is in memory; DNS is asked at ``nameserver``.

    Raises OSError where the machine does not allow namespaces.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    folder = Path(tempfile.mkdtemp(prefix="mailassay-bench-"))
    try:
        if libc.unshare(_CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "the kernel does not allow namespaces")
        if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
            raise OSError(ctypes.get_errno(), "the mounts cannot be made private")
        sys.stdout.flush()
        child = os.fork()
        if not child:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _inside(work, folder, nameserver)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the child has it too, and ends in order
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGHUP, _leave)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        # no command can do it: in a process namespace that is over nothing can be started
        libc.umount2(bytes(folder), _MNT_DETACH)
        folder.rmdir()


def _leave(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _inside(work: Callable[[Path], int], folder: Path, nameserver: str) -> NoReturn:
    """Everything ends when this process does: it is the first of its namespace."""
    status = 1
    try:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        _mount("-t", "proc", "proc", "/proc")
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder))
        resolv = folder / "resolv.conf"
        resolv.write_text(f"nameserver {nameserver}\n")
        _mount("--bind", str(resolv), "/etc/resolv.conf")
        tempfile.tempdir = str(folder)
        status = work(folder)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001
        # nobody above prints it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)
