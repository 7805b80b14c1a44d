"""What DNS says about a mail domain, and what is wrong with it: MX, SPF, DKIM keys, DMARC.

``look`` of each protocol is plain sequential code with a resolver. It runs with a resolver that never waits, again
whenever answers have come, until nothing is missing. So all questions that are known are under way at any time, and the
code is not written twice, once to ask and once to read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass

from ..domain import Domain
from ..finding import Severity
from ..limits import Limits
from ..resolver import Answer, Clock, DnsLimit, DnsTempError, Method, Question, Resolver, Shared, Source, question
from . import dkim, dmarc, mx, spf
from .dkim import key_name
from .problem import Change, Problem, error

__all__ = ["Change", "Problem", "Report", "key_name", "look_up"]

MAX_QUESTIONS = 1000
_TOGETHER = 0.01  # seconds; answers that come within them are processed together


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that was found. ``exists`` is None if DNS does not say whether the domain exists.

    ``findings`` has the worst first. ``questions`` is the number of questions; ``unanswered`` has those without an
    answer, each with the reason.
    """

    domain: Domain
    exists: bool | None
    findings: tuple[Problem, ...]
    mx: mx.Mx
    spf: spf.Spf
    dkim: dkim.Dkim
    dmarc: dmarc.Dmarc
    questions: int
    unanswered: tuple[str, ...]

    @property
    def bad(self) -> bool:
        """Is there an error?"""
        return any(each.severity is Severity.ERROR for each in self.findings)

    @property
    def is_known(self) -> bool:
        """Did DNS answer any question about the domain itself?"""
        return self.exists is not None


def look_up(
    domain: Domain,
    selectors: Sequence[str],
    source: Source,
    timeout: float,
    limits: Limits,
    clock: Clock = time.monotonic,
) -> Report:
    """Look up everything, in ``timeout`` seconds at most. ``selectors`` are DKIM's; if empty, well-known ones."""
    share, deadline = Shared(source, most=MAX_QUESTIONS).of(Method.LOOKUP), clock() + timeout
    while True:
        asking = _Asking(share, timeout)
        report = _report(domain, selectors, asking, limits)
        if not asking.waiting or (left := deadline - clock()) <= 0:
            return report
        wait(asking.waiting, left, FIRST_COMPLETED)
        wait(asking.waiting, min(left, _TOGETHER))


class _Asking:
    """A resolver that never waits: raises DnsTempError for a missing answer, which may still come (``waiting``)."""

    def __init__(self, source: Source, timeout: float) -> None:
        self._source, self._timeout = source, timeout
        self.waiting: set[Future[Answer]] = set()
        self.asked: set[Question] = set()
        self.unanswered: dict[Question, str] = {}

    def __call__(self, name: str, rdtype: str) -> Answer:
        asked = question(name, rdtype)
        future = self._source(asked)
        self.asked.add(asked)
        try:
            if future.done():
                return future.result()
            self.waiting.add(future)
            raise DnsTempError(f"{asked.name} {asked.rdtype}: no answer within {self._timeout:g} seconds")
        except DnsTempError as trouble:
            self.unanswered[asked] = str(trouble)
            raise
        except DnsLimit as limit:
            self.unanswered[asked] = str(limit)
            raise DnsTempError(str(limit)) from limit


def _report(domain: Domain, selectors: Sequence[str], asking: _Asking, limits: Limits) -> Report:
    found_mx = mx.look(domain, asking, limits)
    found_spf = spf.look(domain, asking, limits)
    found_dkim = dkim.look(domain, selectors, asking, limits)
    found_dmarc = dmarc.look(domain, asking, limits)
    exists = _exists(domain, asking)
    if exists is False:
        problems = [
            error("domain-missing", f"The domain {domain} does not exist.", "Check the spelling."),
        ]
    else:
        problems = [
            *mx.problems(found_mx, sends_nothing=found_spf.sends_nothing),
            *spf.problems(found_spf, domain, asking, limits, mx=found_mx.kind),
            *dkim.problems(found_dkim, domain, asking, limits, sends_nothing=found_spf.sends_nothing),
            *dmarc.problems(found_dmarc, domain, asking, limits),
        ]
    severities = list(Severity)
    problems.sort(key=lambda problem: severities.index(problem.severity))
    return Report(
        domain=domain,
        exists=exists,
        findings=tuple(dict.fromkeys(problems)),
        mx=found_mx,
        spf=found_spf,
        dkim=found_dkim,
        dmarc=found_dmarc,
        questions=len(asking.asked),
        unanswered=tuple(asking.unanswered.values()),
    )


def _exists(domain: Domain, resolve: Resolver) -> bool | None:
    """Does the domain exist? Any answer shows it. Raises DnsTempError."""
    for rdtype in ("A", "MX", "TXT"):
        with suppress(DnsTempError):
            return resolve(domain, rdtype).exists
    return None
