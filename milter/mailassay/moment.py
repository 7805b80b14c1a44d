"""Times as people write them: the timestamps of systemd.time(7) that are useful here."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, time, timedelta

_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
}
_SPAN = re.compile(r"(?:[0-9]+ *[a-z]+ *)+")
_PART = re.compile(r"([0-9]+) *([a-z]+)")
_SPAN_ALONE = re.compile("[0-9]{1,6} *[a-z]+")
_EPOCH = re.compile(r"@([0-9]+)|([0-9]{9,})")
_TAKEN = (
    "now, today, yesterday, tomorrow, yesterday 14:30, 14:30, 2 hours ago, -2h, 1d 6h ago, 2026-05-04, "
    "2026-05-04 10:00, 2026-05-04T10:00Z, or seconds since 1970 as @1777888800"
)


def moment(text: str, now: float) -> float:
    """A time in seconds since 1970; ``now`` is the current time. Without a zone it is local time.

    A date alone means the beginning of that day. Raises ValueError, which says which forms are allowed.
    """
    words = " ".join(text.lower().split())
    with suppress(ValueError, OverflowError, OSError):
        if words == "now":
            return now
        if found := _EPOCH.fullmatch(words):
            return datetime.fromtimestamp(int(found[1] or found[2])).timestamp()
        if (span := _span(words)) is not None:
            return datetime.fromtimestamp(now + span).timestamp()
        day, _, clock = words.partition(" ")
        if day in _DAYS or re.fullmatch("[0-9]{1,2}:.*", words):
            date = datetime.fromtimestamp(now).date() + timedelta(days=_DAYS.get(day, 0))
            return datetime.combine(date, time.fromisoformat((clock if day in _DAYS else words) or "00:00")).timestamp()
        return datetime.fromisoformat(re.sub(" *(?:utc|z)$", "+00:00", words).upper()).timestamp()
    raise ValueError(f"{text!r} is not a time; examples are {_TAKEN}")


def since(text: str, now: float) -> float:
    """The same, except that a span alone means that long ago: ``2d`` is ``-2d``. Raises ValueError."""
    return moment(f"-{text}" if _SPAN_ALONE.fullmatch(text.lower()) else text, now)


def _span(words: str) -> float | None:
    """Seconds from now, below 0 in the past; None if it is not such a text. Raises ValueError."""
    sign = {"-": -1, "+": 1}.get(words[:1], 0)
    length = words[1:].strip() if sign else words.removesuffix(" ago")
    if (not sign and length == words) or not _SPAN.fullmatch(length):
        return None
    if unknown := [unit for _, unit in _PART.findall(length) if unit not in _UNITS]:
        raise ValueError(unknown[0])
    return (sign or -1) * sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(length))
