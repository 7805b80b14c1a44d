"""Metrics as Prometheus reads them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector as Custom

from .. import __version__
from ..collector import Batch
from ..postfix import reminder
from ..store.rows import BUCKETS
from ..store.size import Size
from . import listed
from .counts import Counts, Series
from .listed import METRICS, Kind, Metric
from .waiting import Waiting

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

FILE = "service.json"  # in the directory of the history
_BOUNDS = (*map(str, BUCKETS), "+Inf")
_TOLD = 3 * 3600.0  # seconds for which the number of held messages counts; a new one comes every hour


class Exposed(Custom):
    """The metrics of this process: it listens to the collector, and prometheus_client asks it for what it exposes.

    ``rules`` is as in `Counts`. To ask for the metrics costs no SQL.
    """

    def __init__(
        self,
        rules: Callable[[], Iterable[str] | None],
        spool: Path,
        clock: Callable[[], float] = time.time,
        held: Path | None = None,
    ) -> None:
        self._counts, self._waiting = Counts(rules, spool.parent / FILE), Waiting(spool)
        self._clock, self._held = clock, held
        self._size: Size | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def committed(self, batch: Batch) -> None:
        """Count what is in the database now."""
        self._counts.committed(batch)
        self._waiting.committed(batch.segment, batch.end)

    def measured(self, size: Size) -> None:
        """Take the size of the database, which the collector finds out now and then."""
        self._size = size
        for name, octets in size.read.items():
            self._waiting.committed(name, octets)

    def text(self) -> str:
        """The metrics in the text format of Prometheus."""
        return generate_latest(self._registry).decode()

    def describe(self) -> Iterable[Family]:
        """The metrics without values."""
        return [_family(metric) for metric in METRICS]

    def collect(self) -> Iterator[Family]:
        """The metrics with their values, without those that are not known, such as the number of workers at first."""
        found = self._counts.counters() | self._counts.gauges()
        found |= {metric: {(): value} for metric, value in self._gauges(self._clock())}
        found[listed.BUILD] = {(__version__,): 1}
        for metric in METRICS:
            if metric.kind is Kind.HISTOGRAM:
                yield self._histogram(metric)
            elif metric in found:
                yield _family(metric, found[metric])

    def _histogram(self, metric: Metric) -> Family:
        counts, seconds = self._counts.times(metric)
        buckets = [(bound, float(many)) for bound, many in zip(_BOUNDS, counts, strict=True)]
        return HistogramMetricFamily(metric.name, metric.help, buckets, seconds, unit=metric.unit)

    def _gauges(self, now: float) -> Iterator[tuple[Metric, float]]:
        yield listed.LAG, self._waiting.seconds(now)
        if size := self._size:
            yield listed.DATABASE, size.octets
            yield listed.ROWS, size.messages
            yield listed.UNSENT, size.unsent
            yield listed.UNSENT_OLDEST, 0.0 if size.unsent_since is None else max(0.0, now - size.unsent_since)
            yield listed.SUPPRESSED, size.suppressed
        if (told := reminder.figures(self._held)) and 0 <= now - told.time < _TOLD:
            yield listed.HELD, told.messages
            yield listed.HELD_OLDEST, max(0.0, now - told.oldest) if told.messages else 0.0


def _family(metric: Metric, series: Series | None = None) -> Family:
    labels = list(metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        return HistogramMetricFamily(metric.name, metric.help, labels=labels, unit=metric.unit)
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    found = kind(metric.name, metric.help, labels=labels, unit=metric.unit)
    for values, value in sorted((series or {}).items()):
        found.add_metric(values, value)
    return found
