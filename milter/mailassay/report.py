"""An outcome in the words of the log line and of ``--json``."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import socket
import stat
import sys
import time
from collections.abc import Callable
from io import FileIO
from typing import Any, ClassVar, TextIO

from .conversation import Outcome
from .dkim import Dkim
from .dmarc import Disposition
from .verdict import Action

_PLAIN = re.compile(r"[A-Za-z0-9_.:@/+,;<>\[\]{}()*-]+")


class Line:
    """One message in the log: ``key=value`` pairs, the values quoted as JSON strings where they need it."""

    def __init__(self, queue_id: str, client: str, outcome: Outcome) -> None:
        found = facts(outcome)
        self.facts = {"queue_id": queue_id, "client": found.pop("client", client), **found}

    def __str__(self) -> str:
        return " ".join(f"{key}={_quoted(value)}" for key, value in self.facts.items() if value not in ("", None))


def _quoted(value: object) -> str:
    text = str(value)
    # a sender's words must not look like another pair, another line, or move a terminal's cursor
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def facts(outcome: Outcome) -> dict[str, Any]:
    """What was found and decided, one flat level."""
    verdict, evidence = outcome.verdict, outcome.evidence
    found: dict[str, Any] = {}
    if outcome.connection and outcome.connection.via:
        found = {"client": str(outcome.connection.client_ip), "via": ",".join(map(str, outcome.connection.via))}
    if outcome.connection and outcome.connection.untraced:
        found["untraced"] = outcome.connection.untraced
    if evidence:
        mail_from, dmarc = evidence.spf_mail_from, evidence.dmarc
        found |= {
            "iprev": evidence.iprev.result,
            "name": evidence.iprev.name,
            "spf": evidence.spf.result,
            "mail_from": mail_from.domain if mail_from else "<>",
            "spf_helo": evidence.spf_helo.result,
            "helo": evidence.spf_helo.domain,
            "dkim": ",".join(map(_signature, evidence.dkim)) or "none",
            "arc": evidence.arc.result,
            "dmarc": dmarc.result,
            "header_from": dmarc.header_from,
            "policy": dmarc.policy,
            "policy_at": dmarc.found_at,
            "public_suffix": dmarc.public_suffix,
        }
        if dmarc.at_stake is not Disposition.NONE:
            found["at_stake"] = dmarc.at_stake
        if evidence.limits:
            found["limit"] = ",".join(evidence.limits)
        if evidence.not_vouched:
            found["not_vouched"] = evidence.not_vouched
        if evidence.sender_domain:
            found["sender_domain"] = evidence.sender_domain.result
    found["verdict"] = verdict.action
    found["rule"] = verdict.rule
    if verdict.would is not verdict.action:
        found["would"] = verdict.would
    if verdict.monitored:
        found["monitored"] = ",".join(verdict.monitored)
    refuses = verdict.action is not Action.ACCEPT or verdict.would is not Action.ACCEPT
    if refuses or verdict.override or verdict.rule.startswith("dmarc."):
        found["reason"] = verdict.reason
    found["ms"] = round(outcome.seconds * 1000, 1)
    return found


def _signature(result: Dkim) -> str:
    return f"{result.result}:{result.domain}" if result.domain else result.result


class TextFormatter(logging.Formatter):
    """For journald and terminals: syslog's priority in front where stderr goes to the journal."""

    _PRIORITIES: ClassVar = {logging.DEBUG: 7, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

    def __init__(self, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._journal:
            return text
        # each line of a traceback is a journal entry of its own and needs the priority
        priority = f"<{self._PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(priority + line for line in text.splitlines())


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {"time": record.created, "level": record.levelname.lower()}
        line = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(line, Line):
            entry |= line.facts
        else:
            entry["message"] = record.getMessage()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class Handler(logging.StreamHandler[TextIO]):
    """Writes to stderr. What cannot be written is lost, and mail is judged all the same.

    A pipe or socket whose reader hangs is waited for ``patience`` seconds, and then no more until it takes a line
    again. The first line that it takes says how many were lost.
    """

    def __init__(self, stream: TextIO, patience: float = 5.0) -> None:
        super().__init__(stream)
        self._patience = patience
        self._lost = 0
        self._is_cut = False  # the last line that was written
        self._out, self._send = _without_waiting(stream)

    def emit(self, record: logging.LogRecord) -> None:
        if self._send is None:
            super().emit(record)
            return
        try:
            if self._lost:
                words = f"{self._lost} lines were lost: nobody read them"
                lost = logging.LogRecord(record.name, logging.WARNING, "", 0, words, None, None)
                if not self._written(lost, 0.0):
                    self._lost += 1
                    return
                self._lost = 0
            if not self._written(record, self._patience):
                self._lost += 1
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.handleError(record)

    def _written(self, record: logging.LogRecord, patience: float) -> bool:
        """Write a line within so many seconds; False if it is lost."""
        assert self._out
        assert self._send
        left = line = (("\n" if self._is_cut else "") + self.format(record) + "\n").encode(errors="backslashreplace")
        until = time.monotonic() + patience
        poll = select.poll()
        poll.register(self._out.fileno(), select.POLLOUT)
        while left:
            try:
                left = left[self._send(left) :]
            except BlockingIOError:
                seconds = until - time.monotonic()
                if seconds <= 0 or not poll.poll(1000 * seconds):
                    self._is_cut = self._is_cut if left == line else True
                    return False
        self._is_cut = False
        return True

    def close(self) -> None:
        if self._out:
            self._out.close()
            self._out = self._send = None
        super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        # the disk is full, or whoever reads has gone: no place for a traceback of each entry either
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _without_waiting(stream: TextIO) -> tuple[FileIO | socket.socket | None, Callable[[bytes], int] | None]:
    """A pipe or socket, opened once more, and what writes to it without waiting; None if it is neither, or not ours.

    Who else has the pipe or socket open must still wait, so it gets no O_NONBLOCK.
    """
    try:
        number = stream.fileno()
        mode = os.fstat(number).st_mode
        if stat.S_ISFIFO(mode):
            pipe = FileIO(os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK), "w")
            return pipe, lambda octets: os.write(pipe.fileno(), octets)
        if stat.S_ISSOCK(mode):
            end = socket.socket(fileno=os.dup(number))
            return end, lambda octets: end.send(octets, socket.MSG_DONTWAIT)
    except (OSError, ValueError):
        pass
    return None, None


def set_up(level: str, log_format: str) -> None:
    """Log to stderr from now on: ``text`` or ``json``, nothing below ``level``."""
    handler = Handler(sys.stderr)
    journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(journal))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
