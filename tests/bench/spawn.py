"""What spawn(8) does for policyd-spf, as a process apart, so that the cost is not counted as Postfix's.

python -m tests.bench.spawn SOCKET PROGRAM ARGUMENT...
"""

from __future__ import annotations

import os
import pwd
import socketserver
import sys


class _Program(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Become the program, with the connection as its standard input and output."""
        nobody = pwd.getpwnam("nobody")
        for descriptor in (0, 1):
            os.dup2(self.request.fileno(), descriptor)
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        os.execv(sys.argv[2], sys.argv[2:])


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 1000


if __name__ == "__main__":
    os.umask(0)
    _Server(sys.argv[1], _Program).serve_forever()
