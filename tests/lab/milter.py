"""An MTA's side of the milter protocol, version 6, byte for byte.

Commands that the milter asked not to get are not sent; answers that it announced not to give are not waited for.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

VERSION = 6
ACTIONS = 0x1FF  # everything a milter may ask for
PROTOCOL = 0x1FFFFF  # everything an MTA may offer
LEADING_SPACE = 0x100000

# bit that says "do not send me this", bit that says "I will not answer this"
_STEPS = {
    b"C": (0x1, 0x1000),
    b"H": (0x2, 0x2000),
    b"M": (0x4, 0x4000),
    b"R": (0x8, 0x8000),
    b"B": (0x10, 0x80000),
    b"L": (0x20, 0x80),
    b"N": (0x40, 0x40000),
    b"U": (0x100, 0x20000),
    b"T": (0x200, 0x10000),
    b"E": (0, 0),
}
_FINAL = {b"a": "accept", b"c": "continue", b"d": "discard", b"r": "reject", b"t": "tempfail", b"s": "skip"}


@dataclass
class Answer:
    """What the milter said to one message.

    ``verdict`` is continue, accept, reject, tempfail or discard; ``reply`` the SMTP reply if any; ``changes``
    are header operations in order: ``("insert", index, name, value)`` or ``("change", index, name, value)``.
    """

    verdict: str = "continue"
    reply: bytes = b""
    changes: list[tuple[str, int, bytes, bytes]] = field(default_factory=list)
    quarantine: bytes | None = None
    body_packets: int = 0

    def inserted(self, name: bytes) -> list[bytes]:
        """The values inserted under a name and not deleted again, unfolded."""
        values = [value for kind, _, each, value in self.changes if kind == "insert" and each.lower() == name.lower()]
        return [value.replace(b"\n", b"").strip() for value in values]

    def results(self) -> dict[str, str | list[str]]:
        """The result words of our one Authentication-Results field by method; a method that occurs twice has a list."""
        (value,) = self.inserted(b"Authentication-Results")
        words: dict[str, list[str]] = {}
        for clause in re.sub(r'"(\\.|[^"\\])*"', '""', value.decode()).split("; ")[1:]:
            method, _, rest = clause.partition("=")
            words.setdefault(method, []).append(rest.split(" ")[0])
        return {method: found[0] if len(found) == 1 else found for method, found in words.items()}

    def apply(self, fields: Sequence[tuple[bytes, bytes]], uncounted: int = 0) -> list[tuple[bytes, bytes]]:
        """The header fields after the changes, made as an MTA makes them.

        ``uncounted`` fields at the top are passed over where a field is to be changed: 1 is what Postfix did before
        its fix of December 2023.
        """
        result = list(fields)
        for kind, index, name, value in self.changes:
            if kind == "insert":
                result.insert(index, (name, value))
                continue
            named = [place for place, (each, _) in enumerate(result) if each.lower() == name.lower()]
            places = [place for place in named if place >= uncounted]
            if index <= len(places):
                place = places[index - 1]
                if value:
                    result[place] = (result[place][0], value)
                else:
                    del result[place]
        return result


class Early(AssertionError):
    """The milter decided before the end of the message."""

    def __init__(self, command: bytes, answer: Answer) -> None:
        super().__init__(f"{command!r} was answered with {answer}")
        self.answer = answer


class MilterClient:
    """One connection to a milter: ``address`` is a path or (host, port)."""

    def __init__(
        self,
        address: str | tuple[str, int],
        *,
        actions: int = ACTIONS,
        protocol: int = PROTOCOL,
        timeout: float = 60.0,
    ) -> None:
        if isinstance(address, str):
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(timeout)
            try:
                self._socket.connect(address)
            except OSError:
                self._socket.close()
                raise
        else:
            self._socket = socket.create_connection(address, timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        try:
            self._negotiate(actions, protocol)
        except BaseException:
            self._socket.close()
            raise

    def _negotiate(self, actions: int, protocol: int) -> None:
        self._send(b"O", struct.pack("!III", VERSION, actions, protocol))
        command, data = self._receive()
        if command != b"O":
            raise ConnectionError(f"negotiation answered with {command!r}")
        self.version, self.actions, self.protocol = struct.unpack("!III", data[:12])
        self.macros_asked = data[12:]

    def __enter__(self) -> MilterClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye."""
        try:
            self._send(b"Q")
        except OSError:
            pass
        finally:
            self._socket.close()

    def connect(self, client_ip: str | None, name: bytes = b"unknown", macros: Mapping[str, str] = {}) -> None:
        """CONNECT; ``client_ip`` None: the MTA does not know the address."""
        self.macros(b"C", {"j": "mx.receiver.example", "v": "Postfix 3.7.11", **macros})
        if client_ip is None:
            payload = name + b"\0U"
        else:
            address = ipaddress.ip_address(client_ip)
            text = client_ip if address.version == 4 else f"IPv6:{client_ip}"
            payload = name + b"\0" + str(address.version).encode() + struct.pack("!H", 25) + text.encode() + b"\0"
        self.command(b"C", payload)

    def helo(self, name: bytes) -> None:
        """HELO."""
        self.command(b"H", name + b"\0")

    def message(
        self,
        mail_from: bytes,
        fields: Iterable[tuple[bytes, bytes]],
        chunks: Iterable[bytes] = (),
        *,
        recipients: Sequence[bytes] = (b"<bob@receiver.example>",),
        queue_id: str = "4TESTQUEUEID",
        login: str = "",
        mail_addr: str | None = None,
    ) -> Answer:
        """One transaction. ``mail_from`` with angle brackets; a field's value is what follows the colon.

        ``mail_addr`` is the reverse-path as the MTA understands it, where it says so.
        """
        known = {} if mail_addr is None else {"{mail_addr}": mail_addr}
        self.macros(b"M", {"i": queue_id, **({"{auth_authen}": login} if login else {}), **known})
        self.command(b"M", mail_from + b"\0")
        for recipient in recipients:
            self.macros(b"R", {"i": queue_id})
            self.command(b"R", recipient + b"\0")
        self.macros(b"T", {"i": queue_id})
        self.command(b"T")
        for name, value in fields:
            if not self.protocol & LEADING_SPACE:
                value = value.removeprefix(b" ")
            self.command(b"L", name + b"\0" + value + b"\0")
        self.macros(b"N", {"i": queue_id})
        self.command(b"N")
        packets = 0
        for chunk in chunks:
            packets += 1
            answer = self.command(b"B", chunk)
            if answer and answer.verdict == "skip":
                break
        self.macros(b"E", {"i": queue_id})
        answer = self.command(b"E")
        assert answer is not None
        answer.body_packets = packets
        return answer

    def abort(self) -> None:
        """RSET."""
        self._send(b"A")

    def macros(self, command: bytes, values: Mapping[str, str]) -> None:
        """Macro definitions for a command."""
        pairs = b"".join(f"{name}\0{value}\0".encode(errors="surrogateescape") for name, value in values.items())
        self._send(b"D", command + pairs)

    def command(self, command: bytes, payload: bytes = b"") -> Answer | None:
        """Send one command; its answer, or None where there is none. Raises where the milter refuses before the end."""
        unwanted, unanswered = _STEPS[command]
        if self.protocol & unwanted:
            return None
        self._send(command, payload)
        if self.protocol & unanswered:
            return None
        answer = self._answer()
        if command != b"E" and answer.verdict not in ("continue", "skip"):
            raise Early(command, answer)
        return answer

    def _answer(self) -> Answer:
        answer = Answer()
        while True:
            command, data = self._receive()
            if command in _FINAL:
                answer.verdict = _FINAL[command]
                return answer
            if command == b"y":
                answer.reply = data.rstrip(b"\0")
                answer.verdict = "reject" if data[:1] == b"5" else "tempfail"
                return answer
            if command in (b"i", b"m"):
                index = struct.unpack("!I", data[:4])[0]
                name, value = data[4:].split(b"\0")[:2]
                answer.changes.append(("insert" if command == b"i" else "change", index, name, value))
            elif command == b"q":
                answer.quarantine = data.rstrip(b"\0")
            elif command != b"p":
                raise AssertionError(f"unexpected answer {command!r} {data[:80]!r}")

    def _send(self, command: bytes, payload: bytes = b"") -> None:
        self._socket.sendall(struct.pack("!I", len(payload) + 1) + command + payload)

    def _receive(self) -> tuple[bytes, bytes]:
        size = struct.unpack("!I", self._take(4))[0]
        packet = self._take(size)
        return packet[:1], packet[1:]

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the milter closed the connection")
            self._buffer += data
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
