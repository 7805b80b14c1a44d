"""An SMTP server that replies as a test wants, and keeps what it was given."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Transaction:
    """One mail, as far as it came. ``taken``: its data got a reply with 250.

    ``parameters`` are those of the last RCPT.
    """

    return_path: str
    recipients: list[str] = field(default_factory=list)
    parameters: bytes = b""
    data: bytes = b""
    taken: bool = False


Answer = Callable[[str, Transaction], "bytes | None"]
"""The reply to a command (CONNECT, EHLO, MAIL, RCPT, DATA, ``.``); None is the usual one, and b"" closes."""


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            self._converse()

    def _converse(self) -> None:
        server: Refusing = self.server.lab  # type: ignore[attr-defined]
        server.connections += 1
        now = Transaction("")
        usual = {"CONNECT": b"220 x", "DATA": b"354 go on", "EHLO": b"250-x\r\n250 PIPELINING", "QUIT": b"221 bye"}
        command, line = "CONNECT", b""
        while True:
            match command:
                case "MAIL":
                    now = Transaction(_address(line))
                    server.transactions.append(now)
                case "RCPT":
                    now.recipients.append(_address(line))
                    now.parameters = line.rpartition(b">")[2].rstrip(b"\r\n")
            reply = server.answer(command, now)
            if reply is None:
                reply = usual.get(command, b"250 2.0.0 Ok")
            if not reply:
                return
            if command == "." and reply.startswith(b"250 "):
                now.taken = True
            self.wfile.write(reply + b"\r\n")
            if command == "QUIT" or reply.startswith(b"421"):
                return
            if command == "DATA" and reply.startswith(b"354"):
                while (line := self.rfile.readline()) != b".\r\n":
                    if not line:
                        return
                    now.data += line.removeprefix(b".") if line.startswith(b"..") else line
                command = "."
            elif line := self.rfile.readline():
                command = line.split(b" ")[0].strip().upper().decode(errors="replace")
            else:
                return


def _address(line: bytes) -> str:
    return line.partition(b"<")[2].rpartition(b">")[0].decode()


class Refusing:
    """On a loopback port of its own. ``answer`` may be replaced at any time."""

    def __init__(self, answer: Answer = lambda *_: None) -> None:
        self.answer = answer
        self.transactions: list[Transaction] = []
        self.connections = 0
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Session)
        self._server.daemon_threads = True
        self._server.lab = self  # type: ignore[attr-defined]
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Refusing:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def taken(self) -> list[Transaction]:
        """The mails that got their 250."""
        return [each for each in self.transactions if each.taken]
