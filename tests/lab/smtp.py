"""An SMTP client that sends exactly the octets it is given."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from types import TracebackType

_QUEUED = re.compile(r"queued as (\S+)")


@dataclass(frozen=True)
class Reply:
    """An SMTP reply: ``code``, and the lines after it joined by a space."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"

    @property
    def queue_id(self) -> str:
        """What Postfix calls the message; empty where it refused it."""
        match = _QUEUED.search(self.text)
        return match[1] if match else ""


class SmtpClient:
    """One connection."""

    def __init__(self, host: str, port: int, timeout: float = 60.0) -> None:
        self._socket = socket.create_connection((host, port), timeout)
        self._file = self._socket.makefile("rb")
        try:
            self.banner = self._reply()
        except OSError:
            self.close()
            raise

    def __enter__(self) -> SmtpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """QUIT, without waiting."""
        try:
            self._socket.sendall(b"QUIT\r\n")
        except OSError:
            pass
        finally:
            self._file.close()
            self._socket.close()

    def command(self, line: bytes | str) -> Reply:
        """Send one line."""
        self._socket.sendall((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self._reply()

    def become(self, address: str, name: str = "", login: str = "") -> Reply:
        """Another client, by XCLIENT; needs EHLO before and after."""
        words = [f"ADDR=IPV6:{address}" if ":" in address else f"ADDR={address}", f"NAME={name or '[UNAVAILABLE]'}"]
        if login:
            words.append(f"LOGIN={login}")
        return self.command(f"XCLIENT {' '.join(words)}")

    def send(self, mail_from: str, recipients: list[str], message: bytes, options: str = "") -> Reply:
        """One message, with CRLF or LF; the reply that decided."""
        reply = self.command(f"MAIL FROM:<{mail_from}>{options}")
        if reply.code >= 400:
            return reply
        for recipient in recipients:
            reply = self.command(f"RCPT TO:<{recipient}>")
            if reply.code >= 400:
                return reply
        reply = self.command("DATA")
        if reply.code != 354:
            return reply
        lines = message.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
        stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
        self._socket.sendall(stuffed + b"\r\n.\r\n")
        return self._reply()

    def _reply(self) -> Reply:
        texts = []
        while True:
            line = self._file.readline().decode("utf-8", "replace").rstrip("\r\n")
            if not line:
                raise ConnectionError("the server closed the connection")
            texts.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), " ".join(texts))
