"""DMARC reports: what was sent to domain owners in some days, and in which words that is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from ..store import outbox
from ..store.outbox import DAY, Delivered, Listed, Mails, Stage, State, Suppressed

# why a report is dropped or waits, or why an address gets none, in words; the keys are those of the database
_CAUSES = {
    "only report mail": "only mail about reports",
    "not known": "neither accepted mail from there nor mail of your users to it, see reports.to",
    "expired": "too old",
    "suppressed": "every address is suppressed",
    "no_record": "the domain has no DMARC record any more",
    "no_tag": "its DMARC record asks for no reports any more",
    "psd": "its record is that of a registry, about whose domains no failure reports are sent",
    "unusable": "no address in its record can be used",
    "ours": "its record leads to our own report address",
    "unauthorized": "the host of its address does not agree to get reports (RFC 9990 section 4)",
    "elsewhere": "the host of its address sends reports on to another host",
    "too_long": "DNS has no name at which the host of its address could agree",
    "too_many": "its record has too many addresses",
    "no_answer": "DNS gives no answer",
}
STATES = {
    State.OPEN: "its day is not over",
    State.PENDING: "not made yet",
    State.COMPOSED: "on its way",
    State.DONE: "done",
    State.DROPPED: "sent to nobody",
}
_DAYS = 7  # that count; with 20,000 reports a day, more would take long
_MOST = 10  # addresses that are named
_TIMES = {2: ", for the second time", 3: ", for the third time"}
_NO_MAILS = Mails(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Reported:
    """The reports about the UTC days from ``since`` on, a number of days since 1970.

    ``states`` counts the reports. ``mails`` counts what became of their mails, of which each goes to one address.
    ``causes`` counts the reports that are sent to nobody by why. ``suppressed`` are the first of the ``silent``
    addresses that get none now.
    """

    since: int
    is_on: bool
    states: Counter[State] = field(default_factory=Counter)
    mails: Mapping[Stage, Mails] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)
    suppressed: tuple[Suppressed, ...] = ()
    silent: int = 0

    def mails_that(self, stage: Stage) -> Mails:
        """How many mails are at that stage."""
        return self.mails.get(stage, _NO_MAILS)


def reported(connection: Connection, since: int, now: float, *, is_on: bool, most: int = _MOST) -> Reported | None:
    """What was reported of the days from ``since`` on, of a week at most. None if reports are off, and never were on.

    At most so many of the suppressed addresses are named. A few queries, each with a bounded answer.
    """
    if not is_on and not outbox.is_any(connection):
        return None
    since = max(since, int(now) // DAY - _DAYS)
    return Reported(
        since,
        is_on,
        outbox.by_state(connection, since),
        outbox.by_stage(connection, since),
        outbox.dropped(connection, since),
        tuple(outbox.suppressions(connection, now, most)),
        outbox.suppressed_now(connection, now),
    )


def named(day: int) -> str:
    """A UTC day, a number of days since 1970."""
    return f"{datetime.fromtimestamp(day * DAY, UTC):%Y-%m-%d}"


def local(moment: float) -> str:
    """A time in the zone of this host, to the minute."""
    return f"{datetime.fromtimestamp(moment):%Y-%m-%d %H:%M}"


def cause(word: str) -> str:
    """A cause of the database in words. One of a later version stays as it is."""
    return _CAUSES.get(word, word)


def why(text: str) -> str:
    """Why a report is dropped or waits, in words, with what the database has beyond the first of them."""
    word = outbox.cause(text)
    more = text[len(word) :].lstrip(";: ")
    return f"{cause(word)}{f' ({more})' if more else ''}"


def state(found: Listed) -> str:
    """Where a report stands, and why."""
    return f"{STATES[found.state]}{f': {why(found.why)}' if found.why else ''}"


def became(found: Delivered) -> str:
    """What became of the mail to an address."""
    if found.stage is Stage.WAITING:
        tried = f", tried {found.attempts} times, the last reply: {found.reply}" if found.attempts else ""
        return f"waiting until {local(found.due)}{tried}"
    if found.stage is Stage.SENT:
        return f"sent {local(found.changed)}"
    return f"{found.stage} {local(found.changed)}: {found.reply}"


def until(found: Suppressed) -> str:
    """How long an address gets no reports, and how often that has happened."""
    end = "always" if found.until is None else f"until {local(found.until)}"
    return f"{end}{_TIMES.get(found.times, f', for the {found.times}th time' if found.times > 3 else '')}"


def sentences(found: Reported) -> Iterator[str]:
    """The figures for people."""
    sent, waits = found.mails_that(Stage.SENT), found.mails_that(Stage.WAITING)
    back, failed = found.mails_that(Stage.RETURNED), found.mails_that(Stage.FAILED)
    if not found.is_on:
        yield "No more are sent: the configuration has no reports.from."
    about = f"About days from {named(found.since)} on (UTC)"
    yield f"{about}, {_reports(sent.reports)} sent, to {_many(sent.addresses, 'address', 'addresses')}."
    if waits.mails:
        yield f"{_many(waits.mails, 'mail waits', 'mails wait')} for Postfix."
    if failed.mails:
        yield f"{_many(failed.mails, 'mail was', 'mails were')} refused or given up."
    if back.mails:
        yield f"{_many(back.mails, 'mail', 'mails')} came back."
    if late := found.states[State.PENDING]:
        yield f"{_many(late, 'report is', 'reports are')} not made yet."
    if running := found.states[State.OPEN]:
        yield f"{_many(running, 'domain has', 'domains have')} a report of a day that is not over."


def nobody(found: Reported) -> str:
    """How many reports are sent to nobody."""
    return f"{_many(found.states[State.DROPPED], 'report is', 'reports are')} sent to nobody"


def silent(found: Reported) -> str:
    """How many addresses get none."""
    return f"{_many(found.silent, 'address gets', 'addresses get')} none now"


def values(found: Reported) -> dict[str, Any]:
    """For programs. The keys do not change."""
    return {
        "on": found.is_on,
        "since": named(found.since),
        "states": {each: found.states[each] for each in State},
        "mails": {each: found.mails_that(each)._asdict() for each in Stage},
        "dropped": dict(found.causes.most_common()),
        "suppressed": found.silent,
        "first_suppressed": [each._asdict() for each in found.suppressed],
    }


def _reports(many: int) -> str:
    return _many(many, "report was", "reports were")


def _many(many: int, one: str, more: str) -> str:
    return f"{many:,} {one if many == 1 else more}"
