"""The daemon and its DNS, and what it says of one message."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import dns.message
import dns.query
from authres import AuthenticationResultsHeader
from authres.core import AuthenticationResult, AuthResError

from mailassay.message import split
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.milter import Answer, MilterClient
from tests.lab.serve import AUTHSERV_ID, Serve

_LAST_QUESTION = dns.message.make_query("last-question.invalid", "TXT")
CLIENT = "192.0.2.77"
Fields = Sequence[tuple[bytes, bytes]]
ZoneData = Mapping[str, Mapping[str, Any]]


class Unjudged(Exception):
    """A message did not get the one field that it should have; the text says what happened instead."""


class Gone(Exception):
    """The daemon takes no connection; the text is the end of its log."""


@dataclass(frozen=True)
class Stated:
    """One result of our field: ``properties`` by their full name, as ``smtp.mailfrom``."""

    method: str
    result: str
    properties: dict[str, str]


@dataclass(frozen=True)
class Judgement:
    """What became of one message: our field as authres reads it, the milter's answer, the log line, the questions."""

    stated: tuple[Stated, ...]
    answer: Answer
    entry: dict[str, Any]
    asked: tuple[tuple[str, str], ...]

    def results(self, method: str) -> list[str]:
        """The result words of a method, in order."""
        return [each.result for each in self.stated if each.method == method]

    def result(self, method: str) -> str:
        """The result word of a method that is stated once."""
        return ", ".join(self.results(method)) or "nothing"

    def property(self, method: str, name: str) -> str:
        """A property of a method that is stated once."""
        return next((each.properties.get(name, "nothing") for each in self.stated if each.method == method), "nothing")


@dataclass(frozen=True)
class Case:
    """One case: ``replay`` says what differs from its expectation, in words; nothing where it passes."""

    name: str
    replay: Callable[[Bench], Iterable[str]]


class Bench:
    """A running daemon; nothing is refused, so that every message gets its field.

    ``policy`` is added to its policy. ``timeout`` is how many seconds it waits for DNS: less than a second, since the
    suites have names that nobody answers for.
    """

    def __init__(self, policy: Mapping[str, Any] = {}, timeout: float = 0.3) -> None:
        self._policy, self._timeout = {"mode": "monitor", **policy}, timeout
        self._stack = ExitStack()
        self._number = 0

    def __enter__(self) -> Bench:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailassay-")))
            self._clock = folder / "clock"
            self._clock.write_text("")
            self._dns = stack.enter_context(DnsServer(Zone("", ttl=0, limits=LIMITS)))
            settings = {"nameservers": [f"{self._dns.address}:{self._dns.port}"], "timeout": self._timeout}
            # the MTA names itself in each connection, so that one daemon plays every host
            self.serve = Serve(folder, self._dns, self._policy, authserv_id=None, dns=settings)
            self.serve.module = "tests.conformance.daemon"
            self.serve.environment["MAILASSAY_CLOCK"] = str(self._clock)
            stack.enter_context(self.serve)
            self._log = stack.enter_context(self.serve.log.open())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def replay(
        self,
        zone: ZoneData,
        message: bytes | tuple[Fields, Sequence[bytes]],
        *,
        client_ip: str = CLIENT,
        helo: str = "client.example.invalid",
        mail_from: str = "",
        authserv_id: str = AUTHSERV_ID,
        smtputf8: bool = False,
        now: float | None = None,
    ) -> Judgement:
        """Send one message, as a file or as header fields and pieces of the body.

        ``authserv_id`` is what the MTA calls itself, ``now`` the daemon's clock in seconds since 1970.
        Raises :class:`Unjudged`, :class:`Gone`.
        """
        self._dns.zone = Zone(json.dumps(zone), ttl=0, limits=LIMITS)
        self._dns.asked.clear()
        self._clock.write_text("" if now is None else str(now))
        self._number += 1
        queue_id = f"4CASE{self._number}"
        if isinstance(message, bytes):
            headers, body = split(message)
            message = ([*headers], [body] if body else [])
        fields, chunks = message
        sender = f"<{mail_from}>".encode("utf-8", "surrogateescape") + b"\0SMTPUTF8" * smtputf8
        try:
            connection = MilterClient(self.serve.socket)
        except OSError as error:
            raise Gone(f"{error}; its log ends with\n{self._log_tail()}") from error
        try:
            with connection as client:
                client.connect(client_ip, macros={"j": authserv_id})
                client.helo(helo.encode("utf-8", "surrogateescape"))
                answer = client.message(sender, fields, chunks, queue_id=queue_id)
        except (OSError, AssertionError) as error:
            raise Unjudged(f"{error}; its log ends with\n{self._log_tail()}") from error
        # a question that nobody waited for must not count for the next case; after our own, all have been heard
        dns.query.udp(_LAST_QUESTION, self._dns.address, 10.0, self._dns.port)
        entry = self._entry(queue_id)
        inserted = answer.inserted(b"Authentication-Results")
        if len(inserted) != 1 or answer.verdict != "continue" or entry is None:
            raise Unjudged(f"{answer}; its log ends with\n{self._log_tail()}")
        return Judgement(_read(inserted[0].decode(), authserv_id), answer, entry, tuple(self._dns.asked[:-1]))

    def _entry(self, queue_id: str) -> dict[str, Any] | None:
        """The log line of a message that was answered, which is written before the answer."""
        entries: list[dict[str, Any]] = [json.loads(line) for line in self._log]
        return next((entry for entry in entries if entry.get("queue_id") == queue_id), None)

    def _log_tail(self) -> str:
        """The end of the daemon's log, the lines about messages left out."""
        lines = [line for line in self.serve.log.read_text().splitlines() if '"queue_id": "' not in line]
        return "\n".join(lines[-6:])


def _read(value: str, authserv_id: str) -> tuple[Stated, ...]:
    """Our field, read by a library that did not write it."""
    try:
        # authres knows no UTF-8 in a field (RFC 6532)
        plain = value.encode("ascii", "replace").decode()
        parsed = AuthenticationResultsHeader.parse(f"Authentication-Results: {plain}")
    except AuthResError as error:
        raise Unjudged(f"our own field does not parse: {error!r}: {value}") from error
    if parsed.authserv_id != authserv_id:
        raise Unjudged(f"our own field speaks for {parsed.authserv_id}, not for {authserv_id}")
    return stated(parsed)


def stated(parsed: AuthenticationResultsHeader) -> tuple[Stated, ...]:
    """The results of a parsed field; ``none`` is none."""
    return tuple(
        Stated(each.method, each.result, {f"{one.type}.{one.name}": one.value for one in each.properties})
        for each in parsed.results
        if isinstance(each, AuthenticationResult)
    )
