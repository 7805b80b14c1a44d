"""The questions of a check, started before it runs: as soon as a record is there, what the check asks for next.

So a check waits for the depth of a record and not for its length. The check itself runs, again whenever a record has
come, and goes on past what is not known yet. So terms are counted once, as RFC 7208 section 4.6.4 counts them.

Behind an include or redirect whose record is not known yet, nobody knows whether a term still counts. There only single
questions are asked, at most ``limits.spf_terms`` of them, and none for the hosts of an mx. So no record makes us ask
for more than ten names beside those that its evaluation asks for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from ..limits import Limits
from ..resolver import Answer, Prefetch, Resolver, Unanswered, question
from .query import Query


class Ahead:
    """One check. ``query`` makes it anew for a resolver. Nothing here waits."""

    def __init__(self, query: Callable[[Resolver], Query], prefetch: Prefetch, limits: Limits) -> None:
        self._make, self._prefetch = query, prefetch
        self._spare = limits.spf_terms
        self._started: set[tuple[str, str]] = set()
        # answers arrive in several threads
        self._lock = threading.Lock()
        self._looking = self._again = False

    def look(self) -> tuple[Query, str] | None:
        """Go as far as the answers do, and start what is asked for next.

        The check and its result word, if nothing that it asked for is unknown or failed; else None.
        """
        with self._lock:
            self._again = True
            if self._looking:
                return None
            self._looking = True
        while True:
            with self._lock:
                self._again = False
            found = self._once()
            with self._lock:
                if not self._again:
                    self._looking = False
                    return found

    def _once(self) -> tuple[Query, str] | None:
        arrivals: list[Future[Answer]] = []
        failed = False

        def resolve(name: str, rdtype: str) -> Answer:
            nonlocal failed
            asked = question(name, rdtype)
            if asked not in self._started:
                if query.is_uncertain:
                    if not self._spare:
                        raise Unanswered
                    self._spare -= 1
                self._started.add(asked)
            future = self._prefetch(name, rdtype)
            if not future.done():
                # an address leads to no further question, but where it makes a name of the client a validated one
                if rdtype not in ("A", "AAAA") or query.wants_name:
                    arrivals.append(future)
                raise Unanswered
            failed = failed or future.exception() is not None
            return future.result()

        query = self._make(resolve)
        query.goes_on = True
        try:
            word, _, _ = query.check()
        except Unanswered:
            word = ""
        for future in arrivals:
            future.add_done_callback(lambda _: self.look())
        return (query, word) if word and not failed and not query.passed_over else None
