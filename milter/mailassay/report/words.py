"""How figures are written for people, on a terminal and on a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from ..sign import Unsigned
from ..store.rows import HOUR
from ..verdict import Action
from .domain import OfDomain
from .figures import Figures, Period, Span

ACTIONS = {
    Action.ACCEPT: "accepted",
    Action.TAG: "tagged",
    Action.HOLD: "held",
    Action.DEFER: "deferred",
    Action.REJECT: "refused",
}
LOST = {
    "unwritten": "could not be written",
    "unreadable": "could not be read",
    "version": "are of another version",
}
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float) -> str:
    """A number with commas."""
    return f"{value:,}"


def messages(count: int) -> str:
    """``1 message``, ``2,000 messages``."""
    return f"{count:,} message{'' if count == 1 else 's'}"


def share(part: int, whole: int) -> str:
    """A part of the whole in percent. What is there is never written as 0%, and what is missing never as 100%."""
    if not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1%"
    if percent >= 99.95 and part < whole:
        return "> 99.9%"
    return f"{percent:.0f}%" if percent in (0, 100) else f"{percent:.1f}%"


def seconds(value: float | None) -> str:
    """At most how long something took."""
    if value is None:
        return "-"
    if value == math.inf:
        return "more than 20 s"
    return f"{1000 * value:g} ms" if value < 1 else f"{value:g} s"


def age(value: float) -> str:
    """A long time in its two largest units."""
    left, words = max(0, int(value)), list[str]()
    for size, unit in _UNITS:
        if left >= size or words:
            words.append(f"{left // size} {unit}")
            left %= size
    return " ".join(words[:2]) or "0 s"


def day(seconds: float) -> str:
    """A day: ``Tue 24 Nov``."""
    return f"{datetime.fromtimestamp(seconds):%a %-d %b}"


def period(found: Period, span: Span) -> str:
    """An hour or a day: ``Tue 24 Nov``, ``Tue 24 Nov 14:00``."""
    return f"{day(found.start)} {datetime.fromtimestamp(found.start):%H:%M}" if span.by_hour else day(found.start)


def series(figures: Figures, of: str = "", *, would: bool = False) -> list[tuple[str, int]]:
    """For each hour or day, its name and how many messages there were: all, those of an action, or the unjudged."""

    def value(each: Period) -> int:
        if not of:
            return each.messages
        return each.unjudged if of == "unjudged" else (each.would if would else each.verdicts)[Action(of)]

    return [(_short(each.start, figures.span), value(each)) for each in figures.periods]


def of_result(found: OfDomain, result: str) -> list[tuple[str, int]]:
    """For each hour or day, its name and how many messages of a domain had a result of DMARC."""
    return [(_short(start, found.span), counts[result]) for start, counts in found.periods]


def _short(start: int, span: Span) -> str:
    return f"{datetime.fromtimestamp(start):{'%a %H:%M' if span.by_hour else '%a %-d %b'}}"


def times(span: Span) -> str:
    """The time from and to which a span goes."""
    begun = datetime.fromtimestamp(span.first * HOUR).astimezone()
    return f"{begun:%-d %B %Y %H:%M} to {datetime.fromtimestamp(span.now).astimezone():%-d %B %Y %H:%M %Z}"


def place(host: str, hosts: tuple[str, ...]) -> str:
    """Of which hosts the figures are."""
    if host:
        return host
    return f"{len(hosts)} hosts: {', '.join(hosts)}" if len(hosts) > 1 else "".join(hosts)


def occurred(found: Mapping[Action, int]) -> str:
    """The actions that occurred: ``211 refused``."""
    return ", ".join(f"{found[each]:,} {word}" for each, word in ACTIONS.items() if found.get(each))


def counts(found: Mapping[Action, int]) -> str:
    """The actions that occurred, and accepted messages always."""
    return occurred(found) if found.get(Action.ACCEPT) else ", ".join(filter(None, ("0 accepted", occurred(found))))


def results(found: Counter[str]) -> str:
    """The results of a method, the most frequent first."""
    return ", ".join(f"{result} {share(many, found.total())}" for result, many in found.most_common())


def unsigned(why: str) -> str:
    """Why a message was not signed; empty if it is a word of a later version."""
    return Unsigned(why).words if why in list(Unsigned) else ""


def at_most(figures: Figures, percent: int) -> str:
    """The time that so many percent of the messages did not exceed."""
    found = figures.at_most(percent)
    return seconds(found) if found is None or found == math.inf else f"at most {seconds(found)}"
