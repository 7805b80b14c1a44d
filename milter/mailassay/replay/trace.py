"""A message judged again, with all DNS questions on the way: what ``mailassay check`` explains."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from ..config import Settings
from ..dmarc.discovery import Step as WalkStep
from ..dmarc.record import is_record
from ..domain import Domain
from ..evidence import Evidence
from ..explain.alignment import Alignment, alignments
from ..judge.outcome import Outcome
from ..judge.session import Clocks, Session
from ..resolver import Answer, DnsTempError, Method, Question, Source
from .message_file import Message

_BODY_CHUNK = 65536


class Recording:
    """A source that remembers every question with its answer, in the order in which they were asked."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._asked: dict[Question, Future[Answer]] = {}

    def __call__(self, asked: Question) -> Future[Answer]:
        future = self._asked[asked] = self._source(asked)
        return future

    def answers(self) -> dict[Question, Answer | DnsTempError]:
        """The answers so far."""
        return {asked: _outcome(asked, future) for asked, future in list(self._asked.items())}


def _outcome(asked: Question, future: Future[Answer]) -> Answer | DnsTempError:
    if not future.done():
        return DnsTempError(f"no answer for {asked.name} {asked.rdtype} within the time of the message")
    error = future.exception()
    if error is None:
        return future.result()
    return error if isinstance(error, DnsTempError) else DnsTempError(str(error))


class Lookup(NamedTuple):
    """A question, its answer, and the check that asked it first."""

    method: Method
    question: Question
    answer: Answer | DnsTempError


class Step(NamedTuple):
    """One name of a DMARC tree walk, and what is there, in words."""

    name: str
    found: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A message, its outcome, and the DNS questions for it."""

    message: Message
    outcome: Outcome
    settings: Settings
    answers: Mapping[Question, Answer | DnsTempError]
    now: float

    def lookups(self) -> Iterator[Lookup]:
        """All questions, each with its method."""
        asked_by = self.outcome.asked_by
        # the question whether DNS answers at all is asked for DMARC
        return (Lookup(asked_by.get(asked, Method.DMARC), asked, answer) for asked, answer in self.answers.items())

    def walks(self) -> list[tuple[Domain, list[Step]]]:
        """The DMARC tree walk of each author domain, as far as the policy needs it."""
        dmarc = self.outcome.evidence.dmarc if self.outcome.evidence else None
        found = (each.walk for each in (dmarc.readings or (dmarc,)) if each.walk) if dmarc else ()
        return [(walk.start, [Step(step.question, _of_dmarc(step)) for step in walk.steps]) for walk in found]

    def alignments(self, evidence: Evidence) -> Iterator[Alignment]:
        """The alignment of each identifier with the author domain, in words (RFC 9989 section 4.4)."""
        return alignments(evidence, self.settings.policy.dkim.partial)


def _of_dmarc(step: WalkStep) -> str:
    """What the walk found at a name, in words."""
    answer = step.answer
    if answer is None:
        return step.trouble
    records = [text for text in answer.records if is_record(text)]
    if len(records) == 1:
        return records[0]
    if records:
        return f"{len(records)} DMARC records, so none counts"
    if answer.records:
        return "no DMARC record"
    return "nothing" if answer.exists else "no such name"


def judge(message: Message, settings: Settings, source: Source, host: str, now: float | None = None) -> Trace:
    """Judge a message as the milter would. ``host`` is our name if neither settings nor message have one.

    ``now`` is the time of judging in seconds since 1970. The default is the time of arrival, or the present if unknown.
    """
    now = now if now is not None else message.at if message.at is not None else time.time()
    at = now
    recording = Recording(source)
    session = Session(settings, recording, message.host or host, Clocks(now=lambda: at), explain=True)
    session.connect(message.client_ip, local=message.local)
    session.helo(message.helo)
    session.mail_from(message.mail_from, message.login, smtputf8=message.smtputf8)
    for recipient in message.recipients:
        session.recipient(recipient)
    for each in message.headers:
        session.header(*each)
    session.end_of_headers()
    for start in range(0, len(message.body), _BODY_CHUNK):
        if not session.body(message.body[start : start + _BODY_CHUNK]):
            break
    outcome = session.end_of_message()
    return Trace(message, outcome, settings, recording.answers(), now)
