"""``docs/metrics.md``: how Prometheus gets the metrics, every metric, and every alert."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from mailassay.metrics.listed import METRICS, OTHER, Label, Metric
from mailassay.metrics.textfile import EVERY

from .alerts import ALERTS, JOB

_CODE = "    "  # in front of lines that are shown as they are
_MANY = 16  # values of a label that a table shows

_HEAD = f"""\
# Metrics

The collector (`mailassay-collector.service`) counts what it moves into the history, and exposes it for Prometheus. So
metrics need a history: set `history.directory`. The processes that judge mail open no port and know nothing of
Prometheus; what they say about themselves comes through the same spool as the records, once a minute.

This page, `conf/grafana-dashboard.json` and `conf/prometheus-alerts.yaml` are generated (`make reference`) from one
list. On an installed host, both files are in `/usr/share/mailassay`; `mailassay files` writes them too.

## Let Prometheus scrape the collector

With the pages of the history turned on, the metrics are at `/metrics` of the same address:

```yaml
# mailassay.yaml
web:
  listen: 127.0.0.1:8028
```

```yaml
# prometheus.yml
scrape_configs:
  - job_name: {JOB}
    static_configs:
      - targets: [127.0.0.1:8028]
```

If Prometheus runs on another machine, let a web server in front of the collector pass on `/metrics` only, with TLS and
a login, or use a textfile. A scrape costs no query of the database, and shows what the collector said within the last
second. If the collector says nothing for a minute, the answer is 503, and `up` becomes 0.

## Or write a textfile for node_exporter

The collector opens no port for this. It writes the file every {EVERY:.0f} seconds, between batches, and when it ends:

```yaml
# mailassay.yaml
metrics:
  textfile: /var/lib/prometheus/node-exporter/mailassay.prom
```

The folder is that of node_exporter's option `--collector.textfile.directory`, and the name of the file ends in `.prom`.
The collector replaces the file as a whole, so it must be allowed to write to the folder:

```sh
setfacl -m u:mailassay:rwx /var/lib/prometheus/node-exporter
mkdir -p /etc/systemd/system/mailassay-collector.service.d
printf '[Service]\\nReadWritePaths=/var/lib/prometheus/node-exporter\\n' \\
    >/etc/systemd/system/mailassay-collector.service.d/textfile.conf
systemctl daemon-reload
systemctl restart mailassay-collector
```

With AppArmor, `/etc/apparmor.d/local/mailassay` names the folder too: `/var/lib/prometheus/node-exporter/* rw,`. If the
file cannot be written, the log says so once a minute, and everything else goes on.

## The metrics

Counters begin at 0 when the collector starts, and rise after a batch of records is in the database: nothing counts
twice. `rate()` and `increase()` know about such restarts. If the collector has been down, it counts what has waited
when it starts again, at that time. Gauges of the service are missing until the service says something about itself,
and those of held messages until the hourly `mailassay-held.timer` has run.

The values of labels are from closed sets, and `{OTHER}` stands for what is in none of them. No label has a domain, an
address or anything else that a sender chose; `mailassay history`, `mailassay report` and the pages have these. A series
with more than one label appears when it first counts.
"""
_ALERTS = f"""\
## The alerts

`conf/prometheus-alerts.yaml` has these. Copy it to where `rule_files` of prometheus.yml looks, and adapt the thresholds
in your copy. `MailassayCollectorDown` needs `job_name: {JOB}`.

| alert | severity | holds for | means | what to do |
|---|---|---|---|---|\
"""
_DASHBOARD = """\
## The dashboard

In Grafana 10 or later: *Dashboards*, *New*, *Import*, and upload `conf/grafana-dashboard.json`. It asks nothing: choose
the data source and the hosts at its top. It shows messages by verdict and by what would have been done, results by
method, the settings and rules that decide, limits, outgoing mail that is signed or not, the time that messages take
(p50, p95, p99), DNS, workers, messages on hold, how the history keeps up, and DMARC reports that are not sent.
"""


def page() -> str:
    """The page."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield _HEAD
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    yield from map(_row, METRICS)
    yield ""
    for metric in METRICS:
        for name, label in metric.labels.items():
            if len(label.values) > _MANY:
                more = f", and {label.more}" if label.more else ""
                yield f"The values of `{name}` in `{metric.name}`{more}:\n"
                yield "\n".join(
                    textwrap.wrap(" ".join(label.values), 116, initial_indent=_CODE, subsequent_indent=_CODE)
                )
                yield ""
    yield _ALERTS
    for alert in ALERTS:
        means = f"{alert.summary}: `{' '.join(alert.expr.split())}`"
        cells = (f"`{alert.name}`", alert.severity, alert.lasts, means, alert.action)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""
    yield _DASHBOARD.rstrip("\n")
    yield ""


def _row(metric: Metric) -> str:
    labels = "; ".join(f"`{name}`: {_shown(label)}" for name, label in metric.labels.items())
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def _shown(label: Label) -> str:
    return "see below" if len(label.values) > _MANY else _values(label)


def _values(label: Label) -> str:
    return ", ".join([*(f"`{each}`" for each in label.values), *([label.more] if label.more else [])])
