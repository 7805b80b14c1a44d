"""The questions of a check, started before it runs: as soon as a record is there, what the check asks for next.

So a check waits for the depth of a record and not for its length. The check itself runs, again whenever a record has
come, and goes on past what is not known yet. So terms are counted once, as RFC 7208 section 4.6.4 counts them.

Behind an include or redirect whose record is not known yet, nobody knows whether a term still counts. There only single
questions are asked, at most ``limits.spf_terms`` of them, and none for the hosts of an mx. So no record makes us ask
for more than ten names beside those that ten terms may ask for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from ..limits import Limits
from ..resolver import Answer, Prefetch, Question, Resolver, Unanswered, question
from .evaluation import Evaluation, Found


class Ahead:
    """One check, whose questions ``evaluation`` asks by the resolver that it is given. Nothing here waits."""

    def __init__(self, evaluation: Callable[[Resolver], Evaluation], prefetch: Prefetch, limits: Limits) -> None:
        self._evaluation = evaluation(self._resolve)
        self._evaluation.goes_on = True
        self._prefetch = prefetch
        self._spare = limits.spf_terms
        self._futures: dict[Question, Future[Answer]] = {}
        self._answers: dict[Question, Answer] = {}
        self._arrivals: list[Future[Answer]] = []
        self._failed = False
        self._found: Found | None = None
        # answers arrive in several threads, of which one looks at a time
        self._lock = threading.Lock()
        self._looking = self._again = False

    @property
    def found(self) -> Found | None:
        """The result, if nothing that it depends on is unknown, and nothing that was asked for failed; else None."""
        return self._found

    def look(self) -> None:
        """Go as far as the answers do, and start what is asked for next; nothing if the result is known."""
        with self._lock:
            self._again = True
            if self._looking or self._found:
                return
            self._looking = True
        while True:
            with self._lock:
                self._again = False
            self._once()
            with self._lock:
                if self._found or not self._again:
                    self._looking = False
                    return

    def _once(self) -> None:
        with suppress(Unanswered):
            found = self._evaluation.found()
            if not self._failed and not self._evaluation.passed_over:
                self._found = found
        arrivals, self._arrivals = self._arrivals, []
        for future in arrivals:
            future.add_done_callback(lambda _: self.look())

    def _resolve(self, name: str, rdtype: str) -> Answer:
        asked = question(name, rdtype)
        if answer := self._answers.get(asked):
            return answer
        future = self._futures.get(asked)
        if future is None:
            if self._evaluation.is_uncertain:
                if not self._spare:
                    raise Unanswered
                self._spare -= 1
            future = self._futures[asked] = self._prefetch(name, rdtype)
            # an address leads to no further question, but if it makes a name of the client a validated one
            if not future.done() and (rdtype not in ("A", "AAAA") or self._evaluation.wants_name):
                self._arrivals.append(future)
        if not future.done():
            raise Unanswered
        try:
            answer = self._answers[asked] = future.result()
        except Exception:
            self._failed = True
            raise
        return answer
