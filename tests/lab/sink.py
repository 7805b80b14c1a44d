"""The next hop: an SMTP server that takes everything and keeps it as it came."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        sink: Sink = self.server.sink  # type: ignore[attr-defined]
        self.wfile.write(b"220 sink.example\r\n")
        while line := self.rfile.readline():
            match line.split(b" ")[0].strip().upper():
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (line := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                    sink.keep(b"".join(lines))
                    self.wfile.write(b"250 taken\r\n")
                case b"EHLO":
                    replies = [b"sink.example", *sink.extensions]
                    marks = [b"250-"] * (len(replies) - 1) + [b"250 "]
                    self.wfile.write(b"".join(map(b"%b%b\r\n".__mod__, zip(marks, replies, strict=True))))
                case b"MAIL":
                    sink.senders.append(line.strip())
                    self.wfile.write(b"250 sink.example\r\n")
                case _:
                    self.wfile.write(b"250 sink.example\r\n")


class Sink:
    """On a loopback port of its own. It announces ``extensions``; ``senders`` has the MAIL commands so far."""

    def __init__(self, *extensions: bytes) -> None:
        self.extensions = extensions
        self.senders: list[bytes] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Session)
        self._server.daemon_threads = True
        self._server.sink = self  # type: ignore[attr-defined]
        self.port = int(self._server.server_address[1])
        self._messages: list[bytes] = []
        self._came = threading.Condition()

    def __enter__(self) -> Sink:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def keep(self, message: bytes) -> None:
        """One more has come."""
        with self._came:
            self._messages.append(message)
            self._came.notify_all()

    def next(self, seconds: float = 60.0, having: bytes = b"") -> bytes:
        """The next message that has this text, in the order in which they came. Raises TimeoutError."""

        def first() -> int | None:
            return next((at for at, each in enumerate(self._messages) if having in each), None)

        with self._came:
            if not self._came.wait_for(lambda: first() is not None, seconds):
                raise TimeoutError("no message came to the next hop")
            return self._messages.pop(first() or 0)
