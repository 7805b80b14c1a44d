"""`mailassay` as the first process of a container, without an engine: python -m tests.lab.pid1 UID serve ...

It starts as root in new namespaces (``COMMAND``). Then the root file system is read-only, the network is a loopback,
and the process is a user without an entry in /etc/passwd, without groups and without capabilities.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys

# while their files can still be read
import mailassay.cli.serve
import mailassay.daemon  # noqa: F401
from mailassay.__main__ import main
from mailassay.dmarc import suffix

COMMAND = ("unshare", "--pid", "--mount", "--net", "--ipc", "--uts", "--fork", "--kill-child")
_PR_SET_NO_NEW_PRIVS = 38
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def enter(user: int) -> None:
    """Become what a container's first process is. Raises OSError, CalledProcessError."""
    assert os.getpid() == 1
    for words in (["--make-rprivate", "/"], ["-t", "proc", "proc", "/proc"], ["-o", "remount,bind,ro", "/"]):
        subprocess.run(["mount", *words], check=True)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    if ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError("prctl")


if __name__ == "__main__":
    suffix.read()
    enter(int(sys.argv.pop(1)))
    sys.exit(main())
