"""Plain sequential code that asks DNS, for many subjects at a time: each is a run again when an answer has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from ..nameservers.turns import Turns
from ..resolver import Answer, Cached, Clock, DnsTempError, Method, Resolver, Shared, Source, once_done, question

MAX_QUESTIONS = 300  # for one subject
MAX_TOGETHER = 300  # questions under way; each takes a descriptor
MAX_UNDER_WAY = 200  # subjects

S = TypeVar("S")
T = TypeVar("T")


class _NoAnswerYet:
    """A resolver that never waits: raises DnsTempError for a missing answer, which may still come (``waiting``)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.waiting: set[Future[Answer]] = set()

    def __call__(self, name: str, rdtype: str) -> Answer:
        asked = question(name, rdtype)
        future = self._source(asked)
        if future.done():
            return future.result()
        self.waiting.add(future)
        raise DnsTempError(f"{asked.name} {asked.rdtype}: no answer in time")


class _Run(NamedTuple, Generic[S]):
    """A subject whose answers have not all come, its source, and the time after which they are not waited for.

    ``noted`` are the questions whose answers lead to another look.
    """

    subject: S
    source: Source
    until: float
    noted: set[Future[Answer]]


def ask_for_each(
    subjects: Iterable[S],
    look: Callable[[S, Resolver], T],
    source: Source,
    timeout: float,
    clock: Clock = time.monotonic,
) -> Iterator[tuple[S, T]]:
    """The result of ``look`` for each subject, in the order in which their answers come.

    ``look`` asks one question after the other and has to treat a DnsTempError like the lack of an answer. It is called
    again for a subject as soon as one of its answers comes, so all its questions that are known are under way, and so
    are those of up to ``MAX_UNDER_WAY`` subjects. Questions without an answer after ``timeout`` seconds fail.
    ``source`` is a zone, or the cache before the name servers: the subjects then take turns.
    """
    turns = Turns(source, MAX_TOGETHER) if isinstance(source, Cached) else None
    left = iter(subjects)
    ready: SimpleQueue[int] = SimpleQueue()
    runs: dict[int, _Run[S]] = {}
    number = 0
    more = True
    while more or runs:
        while more and len(runs) < MAX_UNDER_WAY:
            try:
                subject = next(left)
            except StopIteration:
                more = False
                break
            share = Shared(turns.asker() if turns else source, most=MAX_QUESTIONS).of(Method.LOOKUP)
            runs[number] = _Run(subject, share, clock() + timeout, set())
            ready.put(number)
            number += 1
        for each in _arrived(ready, runs, clock):
            run = runs[each]
            asking = _NoAnswerYet(run.source)
            found = look(run.subject, asking)
            if asking.waiting and clock() < run.until:
                for future in asking.waiting - run.noted:
                    run.noted.add(future)
                    once_done(future, lambda _, each=each: ready.put(each))  # type: ignore[misc]
                continue
            del runs[each]
            yield run.subject, found


def _arrived(ready: SimpleQueue[int], runs: dict[int, _Run[S]], clock: Clock) -> set[int]:
    """The runs to which an answer has come, or whose time is up; waits for one."""
    found: set[int] = set()
    if runs:
        with suppress(Empty):
            found.add(ready.get(timeout=max(0.0, min(run.until for run in runs.values()) - clock())))
    with suppress(Empty):
        while True:
            found.add(ready.get_nowait())
    now = clock()
    # an answer may come to a run that is over
    return (found & runs.keys()) | {each for each, run in runs.items() if run.until <= now}
