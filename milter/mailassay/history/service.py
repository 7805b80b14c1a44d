"""What the processes of the service say about themselves, as lines of the spool: for metrics, and the counts of hours.

A line is a map of JSON, as the record of a message is. ``v`` is its version, ``kind`` says what it is, ``time`` is in
seconds since 1970, and ``host`` is the name of this host. The other keys of a kind are the fields of its class:

``worker``   a worker, once a minute if anything has changed, and at its end (`Worker`)
``event``    something that happened to the service (`Event`)

Counts in a ``worker`` line are those since the last line of the same worker, so they can be added up; a line that is
lost takes its counts with it. The other numbers are those of that moment. The process id tells the workers of a host
apart. A worker is gone after its line with ``ends``, after an event ``worker_ended`` with its process id, and after an
event ``started``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any, ClassVar

VERSION = 1
_MOST = 1 << 40  # of a count: the sums of many fit the database


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker: what it did since its last line, and what it does now.

    Counts: ``messages`` that got an answer, ``unanswered`` of them while DNS as a whole gave none, ``exceptions`` that
    deferred one; ``dns_asked`` questions, ``dns_sent`` of them, because the answer was not in the cache, and
    ``dns_failed`` of these without an answer.

    Now: ``connections`` that are open, messages that it is ``judging``, answers that the cache has kept (``dns_kept``).
    ``ends``: this is its last line, and the numbers of now no longer count.
    """

    KIND: ClassVar = "worker"

    time: float
    host: str
    pid: int
    messages: int = 0
    unanswered: int = 0
    exceptions: int = 0
    dns_asked: int = 0
    dns_sent: int = 0
    dns_failed: int = 0
    connections: int = 0
    judging: int = 0
    dns_kept: int = 0
    ends: bool = False

    def since(self, before: Worker | None, *, ends: bool = False) -> Worker | None:
        """The line to write if the last one was written at ``before``; None if nothing has changed since then.

        The counts of both are those since the worker began.
        """
        before = before or Worker(time=self.time, host=self.host, pid=self.pid)
        if not ends and replace(before, time=self.time) == self:
            return None
        return replace(self, ends=ends, **{name: getattr(self, name) - getattr(before, name) for name in _COUNTS})


_COUNTS = ("messages", "unanswered", "exceptions", "dns_asked", "dns_sent", "dns_failed")


class What(StrEnum):
    """What happened. ``reload_failed``: the configuration has a mistake, and the one before it stays."""

    STARTED = "started"
    RELOADED = "reloaded"
    RELOAD_FAILED = "reload_failed"
    WORKER_ENDED = "worker_ended"


class Why(StrEnum):
    """Why a worker ended.

    ``retired``: after the number of messages in ``retire_after``, or because a reload asks for fewer workers.
    ``stuck``: it did not answer, and was killed. ``signal``: something else killed it. ``exit``: it gave up.
    """

    RETIRED = "retired"
    STUCK = "stuck"
    SIGNAL = "signal"
    EXIT = "exit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to the service.

    ``workers`` is the number that it has from then on, and ``policy`` the digest of the policy by which they judge.
    ``why`` and ``pid`` are those of the worker that ended; None and 0 in other events. ``keys`` is the number of keys
    that sign outgoing mail.
    """

    KIND: ClassVar = "event"

    time: float
    host: str
    what: What
    workers: int
    policy: str
    why: Why | None = None
    pid: int = 0
    keys: int = 0


Said = Worker | Event


def values(said: Said) -> dict[str, Any]:
    """A line as maps, lists and values of JSON."""
    return {"v": VERSION, "kind": said.KIND, **asdict(said)}


def read(found: dict[str, Any]) -> Said | None:
    """A line of this version and of these kinds; None if it is another, or not as it should be."""
    if found.get("v") != VERSION:
        return None
    try:
        match found.get("kind"):
            case Worker.KIND:
                return Worker(**_read(Worker, found))
            case Event.KIND:
                return Event(**_read(Event, found))
    except (KeyError, TypeError, ValueError):
        pass
    return None


def _read(kind: type[Said], found: dict[str, Any]) -> dict[str, Any]:
    return {each.name: _READ[str(each.type)](found[each.name]) for each in fields(kind)}


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError
    return value


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        raise ValueError
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _why(value: object) -> Why | None:
    return None if value is None else Why(_text(value))


# by the type of a field, as it is written above
_READ = {
    "int": _number,
    "float": _time,
    "str": _text,
    "bool": _truth,
    "What": What,
    "Why | None": _why,
}
