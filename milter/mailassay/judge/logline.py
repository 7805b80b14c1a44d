"""Renders an outcome as the log line and as ``--json``."""

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
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from io import FileIO
from typing import Any, ClassVar, Protocol, TextIO

from .. import iprev, spf
from ..dkim import Dkim
from ..dmarc import Disposition, Dmarc
from ..evidence import Evidence
from ..sign import Sealed
from ..verdict import Action, Kind
from .outcome import Outcome

_PLAIN = re.compile(r"[A-Za-z0-9_.:@/+,;<>\[\]{}()*-]+")
_LIKE_A_PAIR = re.compile(r' (?=[a-z_]+=[^\s"])')
# a lone surrogate, as json.dumps writes it; the group matches escapes to be skipped
_LONE = re.compile(r"(\\\\|\\ud[89ab]..\\ud[c-f]..)|\\ud[89a-f]..")
_SEPARATOR = re.compile(r"[:,\s]")
_MAX_NAME = 255  # characters of a name that a sender wrote
_MAX_WORDS = 200  # of the words of a cause
_NO_CLIENT = (iprev.Fault.NO_CLIENT, spf.Fault.NO_CLIENT)


class Line:
    """One message in the log: ``key=value`` pairs, the values quoted as JSON strings if necessary.

    ``facts`` has the same for JSON.
    """

    def __init__(self, outcome: Outcome) -> None:
        self.facts = facts(outcome)

    def __str__(self) -> str:
        words = []
        for key, value in self.facts.items():
            if value is None or value == "":
                continue
            if isinstance(value, dict):
                text = _cause(value)
            elif not isinstance(value, list):
                text = str(value)
            elif key == "dkim":
                text = ",".join(map(_signature, value)) or "none"
            elif key == "readings":
                text = ",".join(f"{each['result']}:{each['domain']}:{each['policy'] or ''}" for each in value)
            else:
                text = ",".join(value)
            words.append(f"{key}={_quoted(text)}")
            if key == "dkim" and (causes := dict.fromkeys(_cause(each) for each in value if each["fault"])):
                words.append(f"dkim_why={_quoted('; '.join(causes))}")
        return " ".join(words)


def _cause(found: Mapping[str, Any]) -> str:
    fault, reason = found["fault"], found["reason"]
    return f"{fault}: {reason}" if reason else fault


def _signature(found: Mapping[str, Any]) -> str:
    """``result:domain:selector:fault``, the last only if there is one. A sender chooses the selector."""
    parts = [found["result"], found["domain"] or "", _SEPARATOR.sub("?", found["selector"])]
    return ":".join([*parts, found["fault"]] if found["fault"] else parts)


def _quoted(text: str) -> str:
    # a sender's words must not look like another pair or another line, or move a terminal's cursor; programs that look
    # for pairs, such as grep and fail2ban, do not know about quotes
    return text if _PLAIN.fullmatch(text) else _LIKE_A_PAIR.sub(r"\\u0020", as_json(text))


def as_json(found: Any, indent: int | None = None) -> str:
    """JSON that every program can read: printable ASCII, U+FFFD instead of lone surrogates (RFC 8259 section 8.2)."""
    return without_lone(json.dumps(found, indent=indent, default=str))


def without_lone(text: str) -> str:
    """JSON in ASCII, with U+FFFD instead of lone surrogates."""
    return _LONE.sub(lambda each: each[1] or r"\ufffd", text) if r"\ud" in text else text


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


class _Caused(Protocol):
    """A result of a check, and why it is not pass."""

    @property
    def fault(self) -> StrEnum | None: ...
    @property
    def reason(self) -> str: ...


def _words(found: _Caused) -> str:
    """The reason without the word of the fault. Empty if the client is unknown: ``untraced`` says why."""
    if found.fault is None or found.fault in _NO_CLIENT:
        return ""
    return _cut(found.reason.removeprefix(f"{found.fault}: "), _MAX_WORDS)


def _why(found: _Caused) -> dict[str, str | None]:
    return {"fault": found.fault, "reason": _words(found)}


def _why_spf(found: spf.Spf) -> dict[str, str | None]:
    """If there is no reason, the term that matched."""
    return {"fault": found.fault, "reason": _words(found) or _cut(found.mechanism, _MAX_WORDS)}


def facts(outcome: Outcome) -> dict[str, Any]:
    """The results and the decision: the keys of the log."""
    return {"queue_id": outcome.queue_id, "client": outcome.client, **results(outcome), **_decision(outcome)}


def results(outcome: Outcome) -> dict[str, Any]:
    """The results, without the decision. The cause of a result comes right after it."""
    connection = outcome.connection
    found: dict[str, Any] = {}
    if connection and connection.via:
        found["via"] = list(map(str, connection.via))
    if connection and connection.untraced:
        found["untraced"] = connection.untraced
    return found | _results(outcome.evidence) if outcome.evidence else found


def _decision(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    found: dict[str, Any] = {"verdict": verdict.action, "rule": verdict.rule}
    if outcome.signed_by:
        found["signed_by"] = list(outcome.signed_by)
    if outcome.unsigned:
        found["unsigned"] = outcome.unsigned
    if outcome.seal:
        found |= sealing(outcome.seal)
    if verdict.would is not verdict.action:
        found["would"] = verdict.would
    if verdict.monitored:
        found["monitored"] = list(verdict.monitored)
    refuses = verdict.action is not Action.ACCEPT or verdict.would is not Action.ACCEPT
    if refuses or verdict.override or verdict.decider.kind is Kind.SETTING:
        found["reason"] = verdict.reason
    found["ms"] = round(outcome.seconds * 1000, 1)
    return found


def sealing(seal: Sealed) -> dict[str, Any]:
    """What became of the seal of a message."""
    found: dict[str, Any] = {}
    if seal.by:
        found |= {"sealed_by": seal.by, "seal_i": seal.instance, "seal_cv": seal.status}
    if seal.why:
        found["unsealed"] = seal.why
    return found


def _results(evidence: Evidence) -> dict[str, Any]:
    of_iprev, of_spf, of_helo = evidence.iprev, evidence.spf, evidence.spf_helo
    mail_from, of_arc, of_dmarc, sender = evidence.spf_mail_from, evidence.arc, evidence.dmarc, evidence.sender_domain
    # nearly all mail is honest, so a result without a cause must cost nothing
    found: dict[str, Any] = {"iprev": of_iprev.result}
    if of_iprev.fault:
        found["iprev_why"] = _why(of_iprev)
    found["name"] = of_iprev.name
    found["spf"] = of_spf.result
    if of_spf.fault:
        found["spf_why"] = _why_spf(of_spf)
    found["mail_from"] = _cut(mail_from.domain, _MAX_NAME) if mail_from else "<>"
    found["spf_helo"] = of_helo.result
    if of_helo.fault:
        found["spf_helo_why"] = _why_spf(of_helo)
    found["helo"] = _cut(of_helo.domain, _MAX_NAME)
    found["dkim"] = list(map(_of_signature, evidence.dkim))
    found["arc"] = of_arc.result
    if of_arc.fault:
        found["arc_why"] = _why(of_arc)
    found["dmarc"] = of_dmarc.result
    if of_dmarc.fault:
        found["dmarc_why"] = _why(of_dmarc)
    found["header_from"] = of_dmarc.header_from
    found["policy"] = of_dmarc.disposition
    found["policy_at"] = of_dmarc.found_at
    found["public_suffix"] = of_dmarc.public_suffix
    if of_dmarc.readings:
        found["readings"] = list(map(_of_reading, of_dmarc.readings))
    if of_dmarc.at_stake is not Disposition.NONE:
        found["at_stake"] = of_dmarc.at_stake
    if evidence.limits:
        found["limit"] = list(evidence.limits)
    if evidence.not_vouched:
        found["not_vouched"] = evidence.not_vouched._asdict()
    if sender:
        found["sender_domain"] = sender.result
        if sender.fault:
            found["sender_domain_why"] = _why(sender)
    return found


def _of_signature(found: Dkim) -> dict[str, Any]:
    return {
        "result": found.result,
        "domain": found.domain,
        "selector": _cut(found.selector, _MAX_NAME),
        "algorithm": _cut(found.algorithm, _MAX_NAME),
        "fault": found.fault,
        "reason": _words(found),
    }


def _of_reading(found: Dmarc) -> dict[str, Any]:
    return {
        "result": found.result,
        "domain": found.header_from,
        "policy": found.disposition,
        "fault": found.fault,
        "reason": _words(found),
    }


class TextFormatter(logging.Formatter):
    """For journald and terminals. If stderr goes to the journal, each line begins with syslog's priority."""

    _PRIORITIES: ClassVar = {logging.DEBUG: 7, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

    def __init__(self, journal: bool) -> None:
        super().__init__("%(message)s" if journal else "%(asctime)s %(levelname)s %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._journal:
            return text
        # the journal stores each line of a traceback as an entry, so each needs the priority
        priority = f"<{self._PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(priority + line for line in text.splitlines())


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {"time": at, "level": record.levelname.lower()}
        line = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(line, Line):
            entry |= line.facts
        else:
            entry["message"] = record.getMessage()
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return as_json(entry)


class Handler(logging.StreamHandler[TextIO]):
    """Writes to stderr. A line that cannot be written is lost, and mail is judged all the same.

    If the reader of a pipe or socket hangs, the handler waits ``patience`` seconds, and then no more until the reader
    takes a line again. The first line that it takes says how many were lost.
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
        while left:
            try:
                left = left[self._send(left) :]
            except BlockingIOError:
                seconds = until - time.monotonic()
                poll = select.poll()
                poll.register(self._out.fileno(), select.POLLOUT)
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
        # the disk is full, or the reader has gone: there is no place for a traceback either
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _without_waiting(stream: TextIO) -> tuple[FileIO | socket.socket | None, Callable[[bytes], int] | None]:
    """A pipe or socket, opened once more, and a function that writes to it without waiting; None for other files.

    Other processes may have the pipe or socket open and must still wait, so O_NONBLOCK is not set on it.
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
    # no formatter of ours writes the thread, the process or the line of code, and to find them takes time
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    root = logging.getLogger()
    # after a reload the same one, because a line of another thread may be waiting in it for a reader that hangs
    handler = next((each for each in root.handlers if isinstance(each, Handler) and each.stream is sys.stderr), None)
    if handler is None:
        handler = Handler(sys.stderr)
        logging.basicConfig(handlers=[handler], force=True)
    journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(journal))
    root.setLevel(level.upper())
