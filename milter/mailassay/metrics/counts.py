"""What the batches of the collector add up to since this process started."""

from __future__ import annotations

import json
import logging
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from .. import atomic
from ..collector import Batch
from ..history.service import Event, Said, What, Worker
from ..store.rows import BUCKETS, SEPARATOR
from . import listed
from .listed import ABSENT, OTHER, Kind, Metric

_MOST_ENDED = 1000  # workers that are remembered because a line of theirs may still come
_LOADED = (What.STARTED, What.RELOADED)  # the service has taken a configuration
_OF_EVENTS = (listed.WORKERS, listed.CONFIG_LOADED, listed.RELOAD_FAILED, listed.SIGNING_KEYS)
_MOST_SECONDS = 3600.0  # no message takes as long

_log = logging.getLogger(__name__)

Series = dict[tuple[str, ...], float]
"""The values of a metric by the values of its labels."""

# what a count of an hour adds to; of the parts of its key, the metric has as many as it has labels
_OF_COUNTS: Mapping[str, Metric] = {
    "verdict": listed.MESSAGES,
    "unjudged": listed.UNJUDGED,
    "rule": listed.RULES,
    "result": listed.RESULTS,
    "limit": listed.LIMITS,
    "lost": listed.LOST,
    "signed": listed.SIGNED,
    "unsigned": listed.UNSIGNED,
}


class Times:
    """A histogram of times in seconds: the count of each bucket, that without end last, and the sum."""

    def __init__(self) -> None:
        self._counts, self._sum = [0] * (len(BUCKETS) + 1), 0.0

    def add(self, found: Any) -> None:
        """Count a time. What is none counts as 0, so that all histograms of messages have the same count."""
        seconds = float(found) if isinstance(found, int | float) and 0 <= found < _MOST_SECONDS else 0.0
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def told(self) -> tuple[list[int], float]:
        """The counts of each bucket and of all before it, and the sum."""
        return list(accumulate(self._counts)), self._sum


class Counts:
    """Counters that only rise, and gauges of what the service said last. One thread counts, others may read.

    ``rules`` gives the names of the rules of the present policy, or None if they cannot be read. It is asked at first
    and whenever the service takes another policy. ``file`` keeps what the service said of itself for the next process
    of the collector: the service says it only when it changes.
    """

    def __init__(self, rules: Callable[[], Iterable[str] | None], file: Path) -> None:
        self._rules, self._file = rules, file
        self._lock = threading.Lock()
        self._sets = {
            metric: [frozenset(label.values) for label in metric.labels.values()] for metric in listed.METRICS
        }
        self._counters = {metric: _begun(metric) for metric in listed.METRICS if metric.kind is Kind.COUNTER}
        self._gauges = _kept(file)
        self._times = {metric: Times() for metric in listed.METRICS if metric.kind is Kind.HISTOGRAM}
        self._service = _Service()
        self._policy: str | None = None
        self._take_rules()

    def committed(self, batch: Batch) -> None:
        """Count what is in the database now."""
        for said in batch.said:
            if isinstance(said, Event) and said.what in _LOADED and said.policy != self._policy:
                self._policy = said.policy
                self._take_rules()
        with self._lock:
            self._counters[listed.RECORDS][()] += len(batch.records)
            for (_, _, kind, key), many in batch.counts.items():
                if metric := _OF_COUNTS.get(kind):
                    for each in key.split(",") if kind == "signed" else [key]:
                        self._add(metric, _parts(kind, each), many)
            for record in batch.records:
                self._record(record)
            for said in batch.said:
                self._said(said)
        if any(isinstance(said, Event) for said in batch.said):
            self._keep()

    def counters(self) -> dict[Metric, Series]:
        """The counters."""
        with self._lock:
            return {metric: dict(series) for metric, series in self._counters.items()}

    def gauges(self) -> dict[Metric, Series]:
        """The gauges that are known."""
        with self._lock:
            return {metric: {(): value} for metric, value in (self._gauges | self._service.gauges()).items()}

    def times(self, metric: Metric) -> tuple[list[int], float]:
        """A histogram; see `Times.told`."""
        with self._lock:
            return self._times[metric].told()

    def _keep(self) -> None:
        found = {metric.of: value for metric, value in self._gauges.items()}
        try:
            atomic.replace(self._file, json.dumps(found).encode(), 0o600)
        except OSError as error:
            _log.warning("a new process of the collector will not know the state of the service: %s", error)

    def _take_rules(self) -> None:
        if (names := self._rules()) is not None:
            rules = [f"rules.{name}" for name in names]
            with self._lock:
                self._sets[listed.RULES] = [frozenset((*listed.RULES.labels["rule"].values, *rules))]
                for each in rules:
                    self._counters[listed.RULES].setdefault((each,), 0)

    def _add(self, metric: Metric, labels: Iterable[object], many: float = 1) -> None:
        pairs = zip(labels, self._sets[metric], strict=True)
        key = tuple(each if isinstance(each, str) and each in words else OTHER for each, words in pairs)
        series = self._counters[metric]
        series[key] = series.get(key, 0) + many

    def _record(self, record: Mapping[str, Any]) -> None:
        """Count what the counts by the hour do not have. Apart from what ``store.rows`` reads, it may be anything."""
        if isinstance(removed := record.get("removed"), list):
            self._counters[listed.FORGED][()] += len(removed)
        evidence = record.get("evidence")
        if not evidence or record["kind_of_rule"] == "unjudged":
            return
        self._times[listed.MESSAGE_SECONDS].add(record["seconds"])
        self._times[listed.DNS_WAIT_SECONDS].add(record.get("dns_wait"))
        of_dmarc = evidence["dmarc"]
        policy = "unpublished" if of_dmarc.get("policy") is None else of_dmarc["policy"]
        self._add(listed.DMARC, (of_dmarc["result"], policy, record["verdict"], _reason(record)))
        for each in evidence["dkim"]:
            self._add(listed.SIGNATURES, (each.get("result"), each.get("algorithm"), _bits(each.get("bits"))))

    def _said(self, said: Said) -> None:
        """Count what a process of the service said."""
        self._service.take(said)
        if isinstance(said, Worker):
            self._add(listed.EXCEPTIONS, (), said.exceptions)
            self._add(listed.DNS_CACHED, (), max(0, said.dns_asked - said.dns_sent))
            self._add(listed.DNS_QUESTIONS, ("no",), said.dns_failed)
            self._add(listed.DNS_QUESTIONS, ("yes",), self._service.answered(said))
            return
        if said.what is What.WORKER_ENDED:
            self._add(listed.WORKER_ENDS, (said.why,))
        if said.what in _LOADED:
            self._gauges[listed.CONFIG_LOADED] = said.time
            self._gauges[listed.SIGNING_KEYS] = said.keys
        if said.what in _LOADED or said.what is What.RELOAD_FAILED:
            self._gauges[listed.RELOAD_FAILED] = said.what is What.RELOAD_FAILED
        self._gauges[listed.WORKERS] = said.workers


class _Service:
    """The workers that live, as they said last. Lines of different processes may come in any order."""

    def __init__(self) -> None:
        self._workers: dict[tuple[str, int], Worker] = {}
        self._ended: dict[tuple[str, int], float] = {}
        self._started = 0.0
        self._unanswered = 0
        self._is_known = False

    def take(self, said: Said) -> None:
        """Take what a process said."""
        self._is_known = True
        key = said.host, said.pid
        if isinstance(said, Worker):
            if said.ends:
                self._workers.pop(key, None)
            elif said.time > max(self._started, self._ended.get(key, 0.0)):
                self._workers[key] = said
        elif said.what is What.WORKER_ENDED:
            self._end(key, said.time)
        elif said.what is What.STARTED:
            self._started = said.time
            self._workers = {key: each for key, each in self._workers.items() if each.time > said.time}

    def _end(self, key: tuple[str, int], at: float) -> None:
        if key in self._workers and self._workers[key].time <= at:
            del self._workers[key]
        self._ended[key] = at
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def answered(self, said: Worker) -> int:
        """How many more questions have been answered. A question may fail minutes after it has been sent."""
        found = said.dns_sent - said.dns_failed - self._unanswered
        self._unanswered = max(0, -found)
        return max(0, found)

    def gauges(self) -> dict[Metric, float]:
        """What all workers together have now; nothing before the first of them has said something."""
        if not self._is_known:
            return {}
        workers = self._workers.values()
        return {
            listed.CONNECTIONS: sum(each.connections for each in workers),
            listed.DNS_KEPT: sum(each.dns_kept for each in workers),
        }


def _kept(file: Path) -> dict[Metric, float]:
    try:
        found = json.loads(file.read_bytes())
        return {metric: float(found[metric.of]) for metric in _OF_EVENTS}
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        # there is none, or it is of another version
        return {}


def _begun(metric: Metric) -> Series:
    """Zero for each series whose labels are known in advance: ``increase()`` does not see how a new series begins.

    Not if there are several labels: most of their combinations never occur.
    """
    match list(metric.labels.values()):
        case []:
            return {(): 0}
        case [label]:
            return dict.fromkeys(((each,) for each in label.values), 0)
    return {}


def _parts(kind: str, key: str) -> list[str]:
    if kind == "limit":
        return [key.rpartition(":")[2]]
    return key.split(SEPARATOR)[: len(_OF_COUNTS[kind].labels)]


def _reason(record: Mapping[str, Any]) -> object:
    if override := record.get("override"):
        return override.partition(":")[0] if isinstance(override, str) else OTHER
    return ABSENT if record["would"] == record["verdict"] else "monitored"


def _bits(found: object) -> str:
    return (str(found) if found else "unknown") if type(found) is int else OTHER
