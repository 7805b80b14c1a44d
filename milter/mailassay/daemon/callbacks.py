"""The pymilter callbacks: milter events in, milter actions out. Only this package imports pymilter."""

from __future__ import annotations

import functools
import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec

import Milter

from ..address import client
from ..config import Settings
from ..dmarc import Remembered
from ..evidence import Transaction
from ..history.record import Judged
from ..judge import logline
from ..judge.outcome import Outcome
from ..judge.session import INTERNAL_ERROR, Lock, Session
from ..resolver import Asker
from ..sign.signature import NAME as DKIM_SIGNATURE
from ..verdict import Action

_NEEDED = {"ADDHDRS": Milter.ADDHDRS, "CHGHDRS": Milter.CHGHDRS, "QUARANTINE": Milter.QUARANTINE}
ACTIONS = Milter.ADDHDRS | Milter.CHGHDRS | Milter.QUARANTINE | Milter.SETSYMLIST
_MARKER = "X-Mailassay-Marker"
_MACROS = {
    Milter.M_CONNECT: "j",
    Milter.M_HELO: "j",
    # j always has a value: without one, libmilter would keep the macros of the previous message
    Milter.M_ENVFROM: "j {auth_authen} {mail_addr}",
    Milter.M_ENVRCPT: "i {rcpt_addr}",
    Milter.M_DATA: "i",
    Milter.M_EOH: "i",
    Milter.M_EOM: "i",
}

_log = logging.getLogger(__name__)
_Arguments = ParamSpec("_Arguments")
_Callback = Callable[Concatenate["Callbacks", _Arguments], int]


def _guarded(callback: _Callback[_Arguments]) -> _Callback[_Arguments]:
    """If a callback raises, defer the message; the daemon goes on."""

    @functools.wraps(callback)
    def guarded(session: Callbacks, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> int:
        try:
            return callback(session, *args, **kwargs)
        except Exception:  # noqa: BLE001 - libmilter is no place for it
            # one traceback a message: each of its fields may fail after that
            if not session.failed:
                session.failed = True
                _log.exception("queue_id=%s failed at %s; deferred", session.queue_id, callback.__name__)
            return int(Milter.CONTINUE)

    return guarded


# pymilter gives each connection its own Python thread state, and so its own context
current: ContextVar[Callbacks] = ContextVar("session")


class Work:
    """The messages that a worker has in hand, and the settings for the next one.

    ``sessions`` are the open connections, ``judging`` those whose message has ended and has no answer yet. ``asker``
    makes the DNS source of one connection, ``remembered`` has the DMARC records seen, and ``dear`` is the turn of
    expensive messages. ``messages`` were judged, ``unanswered`` of them while DNS as a whole gave no answer, and
    ``exceptions`` deferred some. ``retire`` is called once, when the worker has judged ``retire_after`` messages.
    ``record`` takes each message that has its answer into the history, and never waits; None if there is no history.
    """

    def __init__(
        self,
        settings: Settings,
        asker: Callable[[], Asker],
        dear: Lock,
        retire: Callable[[], None],
        record: Callable[[Judged], None] | None = None,
    ) -> None:
        self.settings, self.asker, self.dear, self._retire, self.record = settings, asker, dear, retire, record
        self.remembered = Remembered()
        self.sessions: set[Callbacks] = set()
        self.judging: set[Callbacks] = set()
        self.messages = self.unanswered = self.exceptions = 0
        self._lock = threading.Lock()
        self._said = False

    def judged(self, *, unanswered: bool = False, failed: bool = False) -> None:
        """Count a message that has its answer. DNS as a whole gave none for it (``unanswered``); it was ``failed``."""
        with self._lock:
            self.messages += 1
            self.unanswered += unanswered
            self.exceptions += failed
            is_enough = not self._said and self.messages >= (self.settings.retire_after or math.inf)
            self._said |= is_enough
        if is_enough:
            self._retire()


@Milter.header_leading_space
class Callbacks(Milter.Base):  # type: ignore[misc]
    """One SMTP connection, as pymilter sees it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._session: Session | None = None
        self._asker: Asker | None = None
        self._in_hand = False
        self.failed = False

    @property
    def in_hand(self) -> bool:
        """Is there a message without an answer?"""
        return self._in_hand

    @property
    def queue_id(self) -> str:
        """Postfix's queue id, from DATA on; ``-`` before."""
        return self._macro("i") or "-"

    def negotiate(self, opts: list[int]) -> int:
        """Ask for exactly the actions, events and macros that are needed.

        If the MTA does not offer the actions, refuse the connection: the MTA then does what it does without a milter.
        pymilter's own way to ask for macros (``symlist``) fails on Python 3, and silently takes whatever is offered.
        """
        current.set(self)
        self._work.sessions.add(self)
        offered, steps = opts[:2]
        if missing := [name for name, action in _NEEDED.items() if not offered & action]:
            _log.error("the MTA does not offer %s; its messages are not judged", ", ".join(missing))
            return int(Milter.REJECT)
        self._actions = offered & ACTIONS
        self._protocol = steps & ~self.protocol_mask()
        opts[:] = [self._actions, self._protocol, 0, 0]
        if offered & Milter.SETSYMLIST:
            for stage, macros in _MACROS.items():
                self._ctx.setsymlist(stage, macros)
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @_guarded
    def connect(self, hostname: str, family: int, hostaddr: Any) -> int:
        """Postfix says who connected, and says it again after XCLIENT."""
        del hostname  # Postfix's idea of the name; we ask DNS
        authserv_id = self._macro("j") or socket.gethostname()
        self._session = None
        if self._asker:
            self._asker.close()
        self._asker = asker = self._work.asker()
        session = Session(
            self._work.settings,
            asker,
            authserv_id,
            first=asker.first,
            anew=asker.anew,
            remembered=self._work.remembered,
            dear=self._work.dear,
        )
        client_ip = client(hostaddr[0]) if isinstance(hostaddr, tuple) else None
        session.connect(client_ip, local=family == socket.AF_UNIX)
        # last: if anything above fails, every message of this connection is deferred
        self._session = session
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @_guarded
    def hello(self, hostname: str) -> int:
        """HELO or EHLO."""
        self._talk.helo(hostname)
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @_guarded
    def envfrom(self, f: str, *args: str) -> int:
        """MAIL. A failure in an earlier message no longer counts."""
        self.failed = False
        self._talk.settings = self._work.settings
        smtputf8 = any(argument.upper() == "SMTPUTF8" for argument in args)
        address = self._address("{mail_addr}", f)
        self._talk.mail_from(address, self._macro("{auth_authen}"), smtputf8=smtputf8)
        self._in_hand = True
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @_guarded
    def envrcpt(self, to: str, *args: str) -> int:
        """RCPT."""
        del args
        self._talk.recipient(self._address("{rcpt_addr}", to))
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @_guarded
    def header(self, field: str, value: bytes) -> int:
        """One header field. The name is text, since Postfix allows only ASCII in it."""
        self._talk.header(field.encode(), value)
        return int(Milter.CONTINUE)

    @Milter.noreply  # type: ignore[untyped-decorator]
    @_guarded
    def eoh(self) -> int:
        """End of the header section."""
        self._talk.end_of_headers()
        return int(Milter.CONTINUE)

    @_guarded
    def body(self, blk: bytes) -> int:
        """A piece of the body. The rest is skipped if no signature needs it."""
        hungry = self._talk.body(blk)
        return int(Milter.CONTINUE if hungry or not self._protocol & Milter.P_SKIP else Milter.SKIP)

    def eom(self) -> int:
        """End of the message: judge it, act, log, and record it."""
        self._work.judging.add(self)
        outcome: Outcome | None = None
        try:
            try:
                if not self.failed:
                    outcome = self._talk.end_of_message(self.queue_id)
                    answer = self._carry_out(outcome)
                    # nobody is told about a held message, and it stays until somebody looks
                    say = _log.warning if outcome.verdict.action is Action.HOLD else _log.info
                    say("%s", logline.Line(outcome))
            except Exception:  # noqa: BLE001 - libmilter is no place for it
                self.failed = True
                _log.exception("queue_id=%s failed at end of message; deferred", self.queue_id)
            if self.failed:
                outcome = self._given_up(outcome)
                answer = self._carry_out(outcome)
            if outcome and self._work.record:
                settings = self._session.settings if self._session else self._work.settings
                self._work.record(Judged(outcome, settings, time.time()))
        finally:
            self._over()
            self._work.judging.discard(self)
            self._work.judged(unanswered=bool(outcome and outcome.unanswered), failed=self.failed)
        return answer

    def _given_up(self, outcome: Outcome | None) -> Outcome:
        """The outcome of a message that is deferred because something failed; what is known of it stays in it."""
        if outcome:
            unsigned = replace(outcome, signatures=(), signed_by=(), signed_with=(), seal=None)
            return replace(unsigned, verdict=INTERNAL_ERROR, add=(), remove=())
        if self._session:
            return self._session.give_up(self.queue_id)
        return Outcome(verdict=INTERNAL_ERROR, transaction=Transaction(), queue_id=self.queue_id)

    @_guarded
    def abort(self) -> int:
        """The transaction is over without a message."""
        self._over()
        if self._session:
            self._session.abort()
        return int(Milter.CONTINUE)

    def close(self) -> int:
        """The connection is over."""
        self._work.sessions.discard(self)
        if self._asker:
            self._asker.close()
        return int(Milter.CONTINUE)

    def _over(self) -> None:
        """No message is in hand any more, so its unsent DNS questions are dropped."""
        self._in_hand = False
        if self._asker:
            self._asker.drop()

    @property
    def _talk(self) -> Session:
        if self._session is None:
            raise RuntimeError("an event without CONNECT")
        return self._session

    def _address(self, macro: str, typed: str) -> str:
        """The address by which the MTA delivers; as typed, if the MTA does not give it.

        A client can spell the same address in many ways: quotes, comments, blanks, routes.
        """
        try:
            known = self.getsymval(macro)
        except UnicodeDecodeError:
            known = None
        return typed if known is None else f"<{known}>"

    def _macro(self, name: str) -> str:
        try:
            return str(self.getsymval(name) or "")
        except UnicodeDecodeError:
            # a login name at worst, and only its existence counts
            return "?"

    def _carry_out(self, outcome: Outcome) -> int:
        verdict = outcome.verdict
        if verdict.reply and verdict.action in (Action.DEFER, Action.REJECT):
            # libmilter treats a percent sign as the beginning of a format
            text = verdict.reply.text.replace("%", "%%")
            self.setreply(str(verdict.reply.code), verdict.reply.enhanced, text)
            return int(Milter.TEMPFAIL if verdict.action is Action.DEFER else Milter.REJECT)
        self._change_headers(outcome)
        if verdict.action is Action.HOLD:
            self.quarantine(f"mailassay: {verdict.reason} ({verdict.rule})")
        return int(Milter.CONTINUE)

    def _change_headers(self, outcome: Outcome) -> None:
        # Postfix before 3.9.0, 3.8.6 and 3.7.11 does not count the topmost field of the queue file when it looks for
        # the one to delete. If an earlier milter put a field of the same name there, every number is off by one. So
        # a field of another name goes to the top first, and is removed when it is no longer the topmost.
        if outcome.remove:
            self._insert(_MARKER, "1")
        for name, instance in sorted(outcome.remove, reverse=True):
            self.chgheader(name, instance, "")
        for name, value in reversed(outcome.add):
            self._insert(name, value)
        for value in reversed(outcome.signatures):
            self._insert(DKIM_SIGNATURE, value)
        for name, value in reversed(outcome.seal.fields if outcome.seal else ()):
            self._insert(name, value)
        if outcome.remove:
            self.chgheader(_MARKER, 1, "")

    def _insert(self, name: str, value: str) -> None:
        # if negotiated, we write the space after the colon ourselves
        space = " " if self._protocol & Milter.P_HDR_LEADSPC else ""
        self.addheader(name, space + value, 0)
