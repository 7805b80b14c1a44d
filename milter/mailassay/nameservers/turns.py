"""Bounds on the questions under way, and the order of those that wait."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from concurrent.futures import Future

from ..resolver import Answer, Asker, Cached, DnsUnsent, Question, Waiting

MAX_FIRST, MAX_OTHERS = 100, 32  # questions of one asker under way
MAX_WAITING = 500  # questions of one asker, of both kinds


class Turns:
    """The access of all connections of a process to its cache: at most ``most`` questions are under way at a time.

    Questions have two kinds. Those asked as ``first`` go before the others, and neither kind gets more than three
    quarters of ``most``. There is an asker for each connection. The next is the one with the fewest questions under
    way, and among these the one that has waited longest. So an asker with many questions waits for itself. Each asker
    has its own queue, even for a question that another asker is waiting to ask: nobody depends on another's place.
    A cached answer, or a question that is under way already, is returned at once.
    """

    def __init__(self, source: Cached, most: int) -> None:
        self._set_most(most)
        self._source = source
        self._lock = threading.Lock()
        self._first, self._others = _Kind(MAX_FIRST), _Kind(MAX_OTHERS)
        self._here = threading.local()

    @property
    def most(self) -> int:
        """The number of questions under way at a time; can be changed."""
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        with self._lock:
            self._set_most(most)
        self._send()

    def _set_most(self, most: int) -> None:
        self._most, self._most_of_a_kind = most, most - most // 4

    def asker(self) -> Asker:
        """An asker for one connection."""
        return _Asker(self, _Queue(self._first), _Queue(self._others))

    def ask(self, asker: _Asker, question: Question, *, first: bool, anew: bool = False) -> Future[Answer]:
        """The answer if it is known, or the future of a question that waits; ``anew`` ignores the cache."""
        known, due = (None, True) if anew else self._source.find(question)
        if known and not due:
            return known
        queue = asker.first_ones if first else asker.others
        with self._lock:
            at_once = self._is_quiet(queue) and asker.is_idle
            if at_once:
                queue.begin()
            else:
                waiting = asker.add(question, first=first, anew=anew)
        if at_once:
            # the usual case: nobody waits
            future = self._sent(question, anew)
            future.add_done_callback(functools.partial(self._end, queue))
            return known or future
        if waiting is None:
            return known or _unsent(question, Waiting())
        self._send()
        return known or waiting

    def drop(self, asker: _Asker, *, close: bool) -> None:
        """Drop the waiting questions of an asker; ``close``: also all that it asks later."""
        with self._lock:
            asker.closed |= close
            dropped = [*asker.first_ones.clear(), *asker.others.clear()]
        for question, waiting in dropped:
            _unsent(question, waiting)

    def _send(self) -> None:
        """Send the questions whose turn has come.

        An immediate answer can lead to further questions, and so to another call in the same thread. That call leaves
        its questions to the first one; otherwise calls would nest as deep as there are questions.
        """
        if getattr(self._here, "sending", False):
            return
        self._here.sending = True
        try:
            while True:
                with self._lock:
                    found = self._next()
                if found is None:
                    return
                queue, question, waiting = found
                self._sent(question, waiting.anew).add_done_callback(functools.partial(self._done, queue, waiting))
        finally:
            self._here.sending = False

    def _sent(self, question: Question, anew: bool) -> Future[Answer]:
        try:
            return self._source.send(question, anew=anew)
        except Exception as error:  # noqa: BLE001 - only this question fails, and no turn is lost
            future: Future[Answer] = Future()
            future.set_exception(error)
            return future

    def _is_quiet(self, queue: _Queue) -> bool:
        """Does no other asker wait that could be next, and is there room for another question of this one?"""
        return (
            not (self._first.ready or self._others.ready)
            and self._first.under_way + self._others.under_way < self._most
            and queue.kind.under_way < self._most_of_a_kind
            and queue.has_room
        )

    def _next(self) -> tuple[_Queue, Question, Waiting] | None:
        """The next question, which counts as under way from now on, and its queue; None if there is none."""
        if self._first.under_way + self._others.under_way >= self._most:
            return None
        for kind in (self._first, self._others):
            if kind.under_way < self._most_of_a_kind and (queue := kind.next()):
                return queue, *queue.take_next()
        return None

    def _end(self, queue: _Queue, _: Future[Answer]) -> None:
        with self._lock:
            queue.end()
            if not (self._first.ready or self._others.ready):
                return
        self._send()

    def _done(self, queue: _Queue, waiting: Waiting, future: Future[Answer]) -> None:
        with self._lock:
            queue.end()
        if error := future.exception():
            waiting.set_exception(error)
        else:
            waiting.set_result(future.result())
        self._send()


class _Asker:
    """The questions of one connection. ``Turns`` has the lock."""

    def __init__(self, turns: Turns, first: _Queue, others: _Queue) -> None:
        self._turns, self.first_ones, self.others = turns, first, others
        self.closed = False

    def __call__(self, question: Question) -> Future[Answer]:
        return self._turns.ask(self, question, first=False)

    def first(self, question: Question) -> Future[Answer]:
        return self._turns.ask(self, question, first=True)

    def anew(self, question: Question) -> Future[Answer]:
        return self._turns.ask(self, question, first=True, anew=True)

    def drop(self) -> None:
        self._turns.drop(self, close=False)

    def close(self) -> None:
        self._turns.drop(self, close=True)

    @property
    def is_idle(self) -> bool:
        """Does none of its questions wait, and is it open?"""
        return not (self.closed or self.first_ones.waiting or self.others.waiting)

    def add(self, question: Question, *, first: bool, anew: bool) -> Waiting | None:
        """Put a question into the queues, or find the place that it has; None if there is no room."""
        queue = self.first_ones if first or question in self.first_ones.waiting else self.others
        waiting = queue.waiting.get(question) or self.others.take(question)
        if waiting is None:
            if self.closed or len(self.first_ones.waiting) + len(self.others.waiting) >= MAX_WAITING:
                return None
            waiting = Waiting()
        waiting.anew |= anew
        queue.put(question, waiting)
        return waiting


class _Kind:
    """Questions of one kind: the number under way, and the queues that may send one.

    ``turns`` has the queues with no question under way, with one, and so on, each in order of arrival; ``ready`` is the
    number of all of them.
    """

    def __init__(self, most: int) -> None:
        self.under_way = self.ready = 0
        self.turns: list[OrderedDict[_Queue, None]] = [OrderedDict() for _ in range(most)]

    def next(self) -> _Queue | None:
        """The queue whose turn it is; None if no waiting question may be sent."""
        return next((queue for turns in self.turns for queue in turns), None) if self.ready else None


class _Queue:
    """The questions of one kind of one asker: those that wait, and the number under way."""

    def __init__(self, kind: _Kind) -> None:
        self.kind = kind
        self.waiting: OrderedDict[Question, Waiting] = OrderedDict()
        self._under_way = 0
        self._turns: OrderedDict[_Queue, None] | None = None

    def put(self, question: Question, waiting: Waiting) -> None:
        """Add a waiting question."""
        self.waiting[question] = waiting
        self._settle()

    def take(self, question: Question) -> Waiting | None:
        """Remove a waiting question; None if it does not wait here."""
        waiting = self.waiting.pop(question, None)
        self._settle()
        return waiting

    def clear(self) -> list[tuple[Question, Waiting]]:
        """Remove and return all waiting questions."""
        waiting = [*self.waiting.items()]
        self.waiting.clear()
        self._settle()
        return waiting

    @property
    def has_room(self) -> bool:
        """Is there room for another question under way?"""
        return self._under_way < len(self.kind.turns)

    def take_next(self) -> tuple[Question, Waiting]:
        """Remove the next question and count it as under way."""
        question, waiting = self.waiting.popitem(last=False)
        self.begin()
        return question, waiting

    def begin(self) -> None:
        """Count another question as under way."""
        self._under_way += 1
        self.kind.under_way += 1
        self._settle()

    def end(self) -> None:
        """Count one question less as under way."""
        self._under_way -= 1
        self.kind.under_way -= 1
        self._settle()

    def _settle(self) -> None:
        """Take or leave a place among the turns; a queue in the right place keeps it."""
        turns = self.kind.turns[self._under_way] if self.waiting and self.has_room else None
        if turns is self._turns:
            return
        if self._turns is not None:
            del self._turns[self]
            self.kind.ready -= 1
        if turns is not None:
            turns[self] = None
            self.kind.ready += 1
        self._turns = turns


def _unsent(question: Question, waiting: Waiting) -> Waiting:
    waiting.set_exception(DnsUnsent(f"{question.name} {question.rdtype}: not sent"))
    return waiting
