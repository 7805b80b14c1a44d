"""Where the reports of many domains go, by the configuration and DNS as it is now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..config import Settings
from ..domain import BadDomain, Domain
from ..resolver import Source
from .composing import Find
from .destinations import Destinations, Ours, Tag, Wanted, Why, of_each

_PATIENCE = 60.0  # seconds for the answers about one domain


def find(settings: Settings, source: Source, delimiter: str | None, tag: Tag = Tag.RUA) -> Find:
    """A function that finds the destinations of aggregate reports, or of failure reports."""
    sender = settings.reports.sender
    assert sender
    ours = Ours(sender, delimiter)

    def found(domains: Iterable[str]) -> Iterator[tuple[str, Destinations]]:
        wanted = []
        for each in domains:
            try:
                wanted.append(Wanted(Domain(each), tag))
            except BadDomain:
                # DNS has no such name
                yield each, Destinations(why=Why.NO_RECORD)
        for one, destinations in of_each(wanted, source, ours, settings.policy.limits, _PATIENCE):
            yield one.domain, destinations

    return found
