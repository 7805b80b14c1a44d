"""Start the questions of a check before it runs: as soon as a record arrives, ask what the check will ask next.

So the time of a check depends on how deep its records are nested and not on how many terms they have. The prefetch runs
the check itself, again whenever a record arrives, and continues past terms whose answers are not there yet. So terms
are counted in one place only, as RFC 7208 section 4.6.4 counts them.

After an include or redirect whose record is not known yet, it is not known whether a term still counts. For such terms
only single questions are asked, at most ``limits.spf_terms`` of them, and none for the hosts of an mx. So a record
makes us ask for at most ten names more than its ten terms may ask for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from ..limits import Limits
from ..resolver import Answer, Resolver, Start, Unanswered, once_done
from .evaluation import Evaluation, Follow, Found


class Prefetching:
    """The prefetch of one check. ``evaluation`` makes the check, given the resolver to use. Nothing here waits."""

    def __init__(self, evaluation: Callable[[Resolver, Follow], Evaluation], start: Start, limits: Limits) -> None:
        self._new_evaluation, self._start = evaluation, start
        self._evaluation: Evaluation  # the one that is running
        self._spare = limits.spf_terms
        # by name and record type; the check asks for names in lower case without final dot
        self._futures: dict[tuple[str, str], Future[Answer]] = {}
        self._answers: dict[tuple[str, str], Answer] = {}
        self._arrivals: list[Future[Answer]] = []
        self._failed = False
        self._found: Found | None = None
        # answers arrive in several threads; only one of them runs the check at a time
        self._lock = threading.Lock()
        self._looking = self._again = False

    @property
    def found(self) -> Found | None:
        """The result, if all answers that it depends on have arrived and no question failed; else None."""
        return self._found

    def look(self) -> None:
        """Run the check as far as the answers allow, and start its next questions. If the result is known, return."""
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
        self._evaluation = self._new_evaluation(self._resolve, Follow.PAST_UNANSWERED)
        try:
            found = self._evaluation.found()
            if not self._failed and not self._evaluation.passed_over:
                self._found = found
        except Unanswered:
            pass
        finally:
            # it refers to this object, and both would wait for the garbage collector
            del self._evaluation
        arrivals, self._arrivals = self._arrivals, []
        for future in arrivals:
            once_done(future, lambda _: self.look())

    def _resolve(self, name: str, rdtype: str) -> Answer:
        asked = name, rdtype
        if answer := self._answers.get(asked):
            return answer
        future, is_new = self._futures.get(asked), False
        if future is None:
            if self._evaluation.is_uncertain:
                if not self._spare:
                    raise Unanswered
                self._spare -= 1
            future, is_new = self._start(name, rdtype), True
            self._futures[asked] = future
        if not future.done():
            # an address leads to further questions only if it validates a name of the client
            if is_new and (rdtype not in ("A", "AAAA") or self._evaluation.wants_name):
                self._arrivals.append(future)
            raise Unanswered
        try:
            answer = self._answers[asked] = future.result()
        except Exception:
            self._failed = True
            raise
        return answer
