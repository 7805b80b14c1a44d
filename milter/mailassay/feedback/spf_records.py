"""The SPF records of domains, as a failure report quotes them (RFC 6591, RFC 9991 section 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..resolver import DnsLimit, DnsTempError, Resolver, Source
from ..spf.record import is_record
from .asking import ask_for_each

_MOST = 2  # of one name: more than one is an error in any case


def spf_records(domains: Iterable[str], source: Source, timeout: float) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """The records of each domain, in the order in which DNS answers; None if it gives no answer.

    ``timeout`` is in seconds, for each of them.
    """
    return ask_for_each(domains, _look, source, timeout)


def _look(domain: str, resolve: Resolver) -> tuple[str, ...] | None:
    try:
        return tuple(filter(is_record, resolve(domain, "TXT").records))[:_MOST]
    except DnsLimit:
        return ()
    except DnsTempError:
        return None
