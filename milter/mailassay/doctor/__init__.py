"""Examines the Postfix of this machine and what mailassay needs there. Changes nothing.

The facts are gathered first (``gather``). A check is a function from facts to findings, whose codes do not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..finding import Severity
from ..postfix.configuration import NoPostfix
from . import content, domains, history, host, other_signers, reports, signing, wiring
from .facts import Facts
from .finding import Finding
from .gather import all_facts, before_removal, running_digest
from .host import not_reloaded
from .removal import remaining

__all__ = [
    "CHECKS",
    "Facts",
    "Finding",
    "NoPostfix",
    "all_facts",
    "before_removal",
    "examine",
    "not_reloaded",
    "remaining",
    "running_digest",
]

_MOST_FOUND = 100  # by one check

CHECKS: list[Callable[[Facts], Iterable[Finding]]] = [
    host.configuration,
    host.running,
    host.answering,
    host.reloaded,
    wiring.listed,
    wiring.found_in_chroot,
    wiring.reachable,
    wiring.listed_elsewhere,
    wiring.unsigned,
    other_signers.other_signer,
    wiring.bypassed,
    wiring.default_action,
    wiring.protocol,
    wiring.timeouts,
    wiring.neighbours,
    content.version,
    content.instances,
    content.smuggling,
    content.line_length,
    content.header_checks,
    content.policy_service,
    content.networks,
    content.relays,
    content.authserv_id,
    domains.strangers,
    domains.records,
    signing.seen,
    signing.once,
    signing.unchanged,
    signing.senders,
    signing.permissions,
    signing.published,
    host.socket_group,
    host.files,
    host.nameservers,
    host.clock,
    host.installed,
    host.environment,
    host.limits,
    host.held,
    history.folder,
    history.collected,
    history.database,
    history.space,
    history.lost,
    history.pages,
    reports.aligned,
    reports.deliverable,
    reports.bounces,
    reports.handed_over,
    host.unseen,
]
"""All checks. Findings of the same severity appear in this order."""


def examine(facts: Facts) -> list[Finding]:
    """The findings of all checks, worst first, without duplicates. Includes the passing findings of failing checks."""
    found = dict.fromkeys(finding for check in CHECKS for finding in _some(check(facts)))
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _some(findings: Iterable[Finding]) -> Iterator[Finding]:
    """As many findings as anybody fixes by hand: a configuration can have any number of services and milters."""
    wrong = 0
    for finding in findings:
        yield finding
        wrong += finding.severity is not Severity.FINE
        if wrong == _MOST_FOUND:
            what = f"{finding.code} was found {_MOST_FOUND} times, and there may be more"
            yield Finding(Severity.ERROR, "too-many", what, "Fix these, and run mailassay doctor again")
            return
