"""Hand mails over to Postfix by SMTP on the loopback address: one connection for many, at a bounded pace."""

from __future__ import annotations

import re
import smtplib
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple

from ..terminal import printable

_PATIENCE = 60.0  # seconds for a connection, and for each reply
_PATIENCE_DATA = 300.0  # seconds for the reply after the message: milters look at it
_MOST_LINES = 100  # of a reply
_MOST_OCTETS = 8192  # of a line of it
_MOST_TEXT = 400  # characters of a reply that are kept
# RFC 3463 sections 3.2 and 3.3: the mailbox or its domain does not exist, cannot be written so, or is disabled; the
# domain takes no mail (RFC 7505). Not 5.7.1, by which Postfix says that we may not send there
_UNREACHABLE = re.compile(r"5[0-9][0-9] 5\.(?:1\.(?:1|2|3|6|10)|2\.1)\b")


class Outcome(StrEnum):
    """What became of a mail.

    ``sent``: Postfix has it. ``later``: it does not take it now, or it is not known whether it has it. ``failed``: it
    never takes it. ``unreachable``: likewise, since the address cannot be reached.
    """

    SENT = "sent"
    LATER = "later"
    FAILED = "failed"
    UNREACHABLE = "unreachable"


class Result(NamedTuple):
    """What became of a mail, and the reply or the error that says so."""

    outcome: Outcome
    reply: str


class Unavailable(Exception):
    """The server takes no mail at all now, whatever it is. The text says what it replied, or why it did not."""


class Pace:
    """So many mails a minute, at even distances."""

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._between, self._clock, self._sleep = 60 / per_minute, clock, sleep
        self._next = clock()

    def wait(self) -> None:
        """Wait until the next mail may go."""
        if (pause := self._next - self._clock()) > 0:
            self._sleep(pause)
        self._next = max(self._next, self._clock()) + self._between


class _Smtp(smtplib.SMTP):
    """A client for which no reply is endless, and that says which replies are none."""

    def getreply(self) -> tuple[int, bytes]:
        """The code and the lines of a reply. Raises SMTPServerDisconnected, also if it is no reply."""
        if self.file is None and self.sock is not None:
            self.file = self.sock.makefile("rb")
        lines: list[bytes] = []
        while len(lines) < _MOST_LINES:
            try:
                line = self.file.readline(_MOST_OCTETS) if self.file else b""
            except OSError as error:
                raise self._broken(f"no reply: {error}") from error
            if not line:
                raise self._broken("the server closed the connection")
            if not (found := re.fullmatch(rb"([2-5][0-9][0-9])(?:([ -])(.*))?\r?\n", line, re.DOTALL)):
                raise self._broken(f"not an SMTP reply: {_text(line)}")
            lines.append((found[3] or b"").strip())
            if found[2] != b"-":
                return int(found[1]), b"\n".join(lines)
        raise self._broken("a reply that does not end")

    def _broken(self, what: str) -> smtplib.SMTPServerDisconnected:
        self.close()
        return smtplib.SMTPServerDisconnected(what)


class Handover:
    """The way to one server. ``name`` is what we say in EHLO.

    A connection is opened for the first mail, and again if it broke meanwhile.
    """

    def __init__(
        self, host: str, port: int, name: str, patience: float = _PATIENCE, patience_data: float = _PATIENCE_DATA
    ) -> None:
        self._host, self._port, self._name = host, port, name
        self._patience, self._patience_data = patience, patience_data
        self._smtp: _Smtp | None = None

    def __enter__(self) -> Handover:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take leave of the server, if there is a connection."""
        if self._smtp:
            with suppress(OSError, smtplib.SMTPException):
                # Postfix has what it has acknowledged; nothing depends on the reply
                self._smtp.quit()
            self._forget()

    def give(self, return_path: str, address: str, mail: bytes) -> Result:
        """Hand a mail over, whose lines end with CRLF. Raises Unavailable."""
        if not (address.isascii() and return_path.isascii()) or re.search(r"[\x00-\x1f\x7f<>]", return_path + address):
            return Result(Outcome.FAILED, "not an address that SMTP can transmit")
        if self._smtp is not None:
            try:
                return self._transaction(self._smtp, return_path, address, mail)
            except _Idle:
                # the server had closed the connection before; it has not seen this mail
                self._forget()
        self._smtp = self._connected()
        try:
            return self._transaction(self._smtp, return_path, address, mail)
        except _Idle as error:
            self._forget()
            raise Unavailable(str(error)) from error

    def _connected(self) -> _Smtp:
        """A connection after EHLO. Raises Unavailable."""
        smtp = _Smtp(local_hostname=self._name, timeout=self._patience)
        try:
            code, said = smtp.connect(self._host, self._port)
            if code == 220:
                code, said = smtp.ehlo(self._name)
                if code == 250:
                    return smtp
        except (OSError, smtplib.SMTPException) as error:
            smtp.close()
            raise Unavailable(_said(error)) from error
        smtp.close()
        raise Unavailable(_reply(code, said))

    def _transaction(self, smtp: _Smtp, return_path: str, address: str, mail: bytes) -> Result:
        """One mail. Raises Unavailable; _Idle if the connection breaks before the server can have seen anything."""
        try:
            code, said = smtp.docmd(f"MAIL FROM:<{return_path}>")
        except (OSError, smtplib.SMTPException) as error:
            raise _Idle(_said(error)) from error
        if code == 421:
            # it ended an idle connection, or it stops
            raise _Idle(_reply(code, said))
        if not 200 <= code < 300:
            # the return path is the same for all: no room, or we may not send
            self._forget()
            raise Unavailable(_reply(code, said))
        try:
            return self._rest(smtp, address, mail)
        except (OSError, smtplib.SMTPException) as error:
            self._forget()
            return Result(Outcome.LATER, _said(error))

    def _rest(self, smtp: _Smtp, address: str, mail: bytes) -> Result:
        """What follows MAIL FROM. Raises OSError and SMTPException if the connection breaks."""
        # RFC 3461 section 4.1: no notices of delays, which the return path would take for bounces
        notify = " NOTIFY=FAILURE" if smtp.has_extn("dsn") else ""
        code, said = smtp.docmd(f"RCPT TO:<{address}>{notify}")
        if not 200 <= code < 300:
            return self._refused(smtp, code, said, of_recipient=True)
        code, said = smtp.docmd("DATA")
        if code != 354:
            return self._refused(smtp, code, said)
        assert smtp.sock
        smtp.sock.settimeout(self._patience_data)
        smtp.send(re.sub(rb"(?m)^\.", b"..", mail) + (b"" if mail.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        code, said = smtp.getreply()
        smtp.sock.settimeout(self._patience)
        if code == 250:
            return Result(Outcome.SENT, _reply(code, said))
        return self._refused(smtp, code, said, of_message=True)

    def _refused(
        self, smtp: _Smtp, code: int, said: bytes, *, of_recipient: bool = False, of_message: bool = False
    ) -> Result:
        """The server does not take this mail. Makes the connection ready for another one."""
        reply = _reply(code, said)
        if code == 421:
            self._forget()
        else:
            with suppress(OSError, smtplib.SMTPException):
                if smtp.rset()[0] != 250:
                    smtp.close()
            if smtp.sock is None:
                self._forget()
        if of_recipient and _UNREACHABLE.match(reply):
            return Result(Outcome.UNREACHABLE, reply)
        # a server that refuses all recipients, or DATA, has a mistake in its configuration, which can be put right
        return Result(Outcome.FAILED if of_message and 500 <= code < 600 else Outcome.LATER, reply)

    def _forget(self) -> None:
        if self._smtp:
            self._smtp.close()
            self._smtp = None


class _Idle(Exception):
    """The connection was not usable any more."""


def _reply(code: int, said: bytes) -> str:
    return f"{code} {_text(said)}".rstrip()


def _said(error: BaseException) -> str:
    match error:
        case smtplib.SMTPResponseException():
            said = error.smtp_error
            return _reply(error.smtp_code, said if isinstance(said, bytes) else said.encode(errors="replace"))
        case OSError(strerror=str() as text):
            return text
    return _text(str(error).encode(errors="replace")) or type(error).__name__


def _text(said: bytes) -> str:
    return printable(" ".join(said.decode(errors="replace").split()))[:_MOST_TEXT]
