"""Hand over to Postfix what is due, each mail until it is taken, refused or too old."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from .. import return_path
from ..aggregate.mail import addressed, written
from ..store import outbox
from ..store.outbox import Due, Sole, Stage
from .handover import Handover, Outcome, Pace, Result, Unavailable

AGAIN = 45 * 60  # seconds after which a mail is tried again: in the next run
_LISTED = 100  # deliveries that are looked at together
_IN_A_ROW = 20  # mails that are not taken, after which this run ends
_TRIES = 5  # to write down what became of a mail
_PAUSE = 2.0  # seconds between them

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sent:
    """What became of the deliveries that were due. ``trouble`` says why the rest was not tried; empty if it was."""

    sent: int = 0
    later: int = 0
    failed: int = 0
    suppressed: int = 0
    trouble: str = ""


class Sender:
    """Sends from one address. ``delimiter`` is Postfix's ``recipient_delimiter``; None if it is not known."""

    def __init__(
        self,
        engine: Engine,
        sole: Sole,
        address: str,
        delimiter: str | None,
        handover: Handover,
        pace: Pace,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine, self._sole, self._address, self._delimiter = engine, sole, address, delimiter
        self._handover, self._pace, self._clock, self._sleep = handover, pace, clock, sleep
        self._body: tuple[int, bytes | None] = (0, None)
        self._in_a_row = 0

    def send(self, stopped: Callable[[], bool], progress: Callable[[int], None]) -> Sent:
        """Hand over what is due until nothing is, or ``stopped`` says so. Raises DBAPIError."""
        found = Sent()
        while not stopped():
            now = self._clock()
            with self._engine.begin() as connection:
                some = outbox.due(connection, now, _LISTED)
                suppressed = outbox.is_suppressed(connection, {each.address for each in some}, now)
            if not some:
                break
            for each in some:
                if stopped() or found.trouble:
                    return found
                if each.address in suppressed:
                    self._note(each, Stage.SUPPRESSED, suppressed[each.address])
                    found.suppressed += 1
                else:
                    self._give(each, found)
                progress(1)
        return found

    def _give(self, each: Due, found: Sent) -> None:
        """Hand one mail over. Raises DBAPIError."""
        self._pace.wait()
        self._sole.check()
        try:
            result = self._result(each)
        except Unavailable as error:
            found.trouble = str(error)
            # nothing is known against this one: it is due in any later run
            self._later(each, found, found.trouble, self._clock())
            return
        match result.outcome:
            case Outcome.SENT:
                found.sent += 1
                self._in_a_row = 0
                self._note(each, Stage.SENT, result.reply)
                return
            case Outcome.LATER:
                _log.info("a report to %s is tried again: %s", each.address, result.reply)
                self._later(each, found, result.reply, self._clock() + AGAIN)
            case Outcome.FAILED | Outcome.UNREACHABLE:
                found.failed += 1
                _log.warning("a report to %s was refused: %s", each.address, result.reply)
                if result.outcome is Outcome.UNREACHABLE:
                    with self._engine.begin() as connection:
                        outbox.bounced(connection, each.address, f"refused: {result.reply}", self._clock())
                self._note(each, Stage.FAILED, result.reply)
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            found.trouble = f"{_IN_A_ROW} mails in a row were not taken, the last with: {result.reply}"

    def _later(self, each: Due, found: Sent, reply: str, again: float) -> None:
        found.later += 1
        with self._engine.begin() as connection:
            outbox.later(connection, each, reply, again, self._clock())

    def _result(self, each: Due) -> Result:
        """What became of a mail. Raises Unavailable and DBAPIError."""
        if self._body[0] != each.report:
            with self._engine.begin() as connection:
                self._body = each.report, outbox.body(connection, each.report)
        body = self._body[1]
        if body is None:
            return Result(Outcome.FAILED, "the mail of this report is not there any more")
        path = return_path.of(self._address, each.token, self._delimiter)
        try:
            return self._handover.give(path, written(each.address), addressed(body, each.address))
        except ValueError as error:
            return Result(Outcome.FAILED, str(error))

    def _note(self, each: Due, stage: Stage, reply: str) -> None:
        """Write down the stage of a delivery; several times if the database does not take it. Raises DBAPIError.

        If Postfix has the mail and that is never written down, the next run hands the same octets over again.
        """
        for left in reversed(range(_TRIES)):
            try:
                with self._engine.begin() as connection:
                    outbox.settle(connection, each, stage, reply, self._clock())
                return
            except DBAPIError:
                if not left:
                    raise
                self._sleep(_PAUSE)
