"""``conf/grafana-dashboard.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from mailassay.metrics import listed
from mailassay.metrics.listed import Metric

_HERE = '{instance=~"$instance"'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 12, 8  # of a panel, in units of the grid, which has 24 columns


class Panel(NamedTuple):
    """A panel: a graph over time, or one number. ``targets`` are expressions with their legends."""

    title: str
    text: str
    unit: str
    targets: tuple[tuple[str, str], ...]
    stacked: bool = False
    is_number: bool = False
    warns_from: float | None = None


def _rate(metric: Metric, *by: str, where: str = "") -> str:
    # a small host has less than one message a second
    return f"60 * {_by(metric, *by, where=where)}"


def _by(metric: Metric, *by: str, where: str = "") -> str:
    over = f"sum by ({', '.join(by)})" if by else "sum"
    return f"{over} (rate({metric.name}{_HERE}{where}}}[$__rate_interval]))"


def _quantiles(metric: Metric) -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le) (rate({metric.name}_bucket{_HERE}}}[$__rate_interval]))"
    return tuple((f"histogram_quantile({part}, {buckets})", f"p{part * 100:g}") for part in (0.5, 0.95, 0.99))


def _each(metric: Metric) -> tuple[tuple[str, str]]:
    return ((f"{metric.name}{_HERE}}}", "{{instance}}"),)


def _now(metric: Metric, how: str = "sum") -> str:
    return f"{how} ({metric.name}{_HERE}}})"


_DECIDED = ',rule!="default"'
_UNANSWERED = _by(listed.DNS_QUESTIONS, "instance", where=',answer="no"')
ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Now",
        (
            Panel("Messages", "Per minute.", "cpm", ((_rate(listed.RECORDS), ""),), is_number=True),
            Panel("Held", "Messages on hold.", "short", ((_now(listed.HELD), ""),), is_number=True, warns_from=1),
            Panel(
                "Exceptions",
                "In the time that is shown. The log of mailassay.service has the traceback.",
                "short",
                ((f"sum (increase({listed.EXCEPTIONS.name}{_HERE}}}[$__range]))", ""),),
                is_number=True,
                warns_from=1,
            ),
            Panel(
                "Failed reloads",
                "Hosts whose configuration has a mistake: mailassay config check.",
                "short",
                ((_now(listed.RELOAD_FAILED), ""),),
                is_number=True,
                warns_from=1,
            ),
            Panel("Workers", "Worker processes.", "short", ((_now(listed.WORKERS), ""),), is_number=True),
            Panel(
                "Lag",
                "Age of the oldest record that is not in the database.",
                "s",
                ((_now(listed.LAG, "max"), ""),),
                is_number=True,
                warns_from=300,
            ),
        ),
    ),
    (
        "Messages",
        (
            Panel(
                "Messages by verdict",
                "What was done.",
                "cpm",
                ((_rate(listed.MESSAGES, "verdict"), "{{verdict}}"),),
                stacked=True,
            ),
            Panel(
                "Messages by what would have been done",
                "If the whole policy were enforced: no monitor mode, no monitored rule, all messages in the sample.",
                "cpm",
                ((_rate(listed.MESSAGES, "would"), "{{would}}"),),
                stacked=True,
            ),
            Panel(
                "Settings and rules that decide",
                "The ten that decide most.",
                "cpm",
                ((f"topk(10, {_rate(listed.RULES, 'rule', where=_DECIDED)} > 0)", "{{rule}}"),),
            ),
            Panel("Not judged", "By the reason.", "cpm", ((_rate(listed.UNJUDGED, "why"), "{{why}}"),), stacked=True),
        ),
    ),
    (
        "Results",
        (
            Panel(
                "DMARC",
                "By result.",
                "cpm",
                ((_rate(listed.RESULTS, "result", where=',method="dmarc"'), "{{result}}"),),
                stacked=True,
            ),
            Panel(
                "DMARC fail, by policy and what was done",
                "The policy of the author domain, what was done, and why not what the domain asks for.",
                "cpm",
                (
                    (
                        _rate(listed.DMARC, "policy", "applied", "reason", where=',result="fail"'),
                        "p={{policy}}: {{applied}} ({{reason}})",
                    ),
                ),
                stacked=True,
            ),
            *(
                Panel(
                    title,
                    "By result.",
                    "cpm",
                    ((_rate(listed.RESULTS, "result", where=f',method="{method}"'), "{{result}}"),),
                    stacked=True,
                )
                for title, method in (
                    ("SPF", "spf"),
                    ("SPF of HELO", "spf_helo"),
                    ("DKIM, the best signature", "dkim"),
                    ("ARC", "arc"),
                    ("iprev", "iprev"),
                )
            ),
            Panel(
                "DKIM signatures by algorithm and key",
                "All signatures, whatever their result.",
                "cpm",
                ((_rate(listed.SIGNATURES, "algorithm", "bits"), "{{algorithm}} {{bits}}"),),
                stacked=True,
            ),
            Panel(
                "Checks that reach a limit",
                "By the limit of the policy.",
                "cpm",
                ((_rate(listed.LIMITS, "limit") + " > 0", "{{limit}}"),),
            ),
            Panel(
                "Forged fields removed",
                "Header fields that claimed to be ours.",
                "cpm",
                ((_rate(listed.FORGED), "fields"),),
            ),
        ),
    ),
    (
        "Outgoing mail",
        (
            Panel(
                "Signed",
                "By algorithm. With keys of both, each message counts for both.",
                "cpm",
                ((_rate(listed.SIGNED, "algorithm"), "{{algorithm}}"),),
            ),
            Panel(
                "Not signed",
                "By the reason; domain is mail of other domains. mailassay history --unsigned lists the messages.",
                "cpm",
                ((_rate(listed.UNSIGNED, "why"), "{{why}}"),),
                stacked=True,
            ),
            Panel("Keys that sign", "Of all domains.", "short", _each(listed.SIGNING_KEYS)),
        ),
    ),
    (
        "Time and DNS",
        (
            Panel(
                "Time at the end of a message",
                "Until the verdict, that for DNS included.",
                "s",
                _quantiles(listed.MESSAGE_SECONDS),
            ),
            Panel(
                "Waiting for DNS",
                "The part of that time in which the checks waited for answers.",
                "s",
                _quantiles(listed.DNS_WAIT_SECONDS),
            ),
            Panel(
                "DNS questions",
                "Sent, with an answer or without one, and those that a cache answered.",
                "cpm",
                (
                    (_rate(listed.DNS_QUESTIONS, "answer"), "sent, answered: {{answer}}"),
                    (_rate(listed.DNS_CACHED), "from the cache"),
                ),
                stacked=True,
            ),
            Panel(
                "DNS questions without an answer",
                "As a part of those that were sent.",
                "percentunit",
                ((f"{_UNANSWERED} / {_by(listed.DNS_QUESTIONS, 'instance')}", "{{instance}}"),),
            ),
            Panel("Answers in the caches", "Of all workers.", "short", _each(listed.DNS_KEPT)),
        ),
    ),
    (
        "Service",
        (
            Panel("Connections", "Of Postfix.", "short", _each(listed.CONNECTIONS)),
            Panel(
                "Workers that ended",
                "Retired is normal; stuck, signal and exit are not.",
                "short",
                ((f"sum by (why) (increase({listed.WORKER_ENDS.name}{_HERE}}}[$__rate_interval]))", "{{why}}"),),
            ),
            Panel(
                "Last configuration",
                "How long ago the service took it.",
                "s",
                ((f"time() - {listed.CONFIG_LOADED.name}{_HERE}}}", "{{instance}}"),),
            ),
            Panel(
                "Versions",
                "Of the collector.",
                "short",
                ((f"count by (version) ({listed.BUILD.name}{_HERE}}})", "{{version}}"),),
            ),
            Panel("Messages on hold", "Put there by mailassay.", "short", _each(listed.HELD)),
            Panel("Oldest message on hold", "How long it has waited.", "s", _each(listed.HELD_OLDEST)),
        ),
    ),
    (
        "History",
        (
            Panel("Lag", "Age of the oldest record that is not in the database.", "s", _each(listed.LAG)),
            Panel(
                "Records that are lost",
                "The messages were judged all the same.",
                "short",
                ((f"sum by (why) (increase({listed.LOST.name}{_HERE}}}[$__rate_interval]))", "{{why}}"),),
            ),
            Panel(
                "Size of the database",
                "Hosts that share one in PostgreSQL all show the whole.",
                "bytes",
                _each(listed.DATABASE),
            ),
            Panel("Messages in the database", "About so many.", "short", _each(listed.ROWS)),
        ),
    ),
    (
        "DMARC reports",
        (
            Panel("Not sent yet", "About days that are over.", "short", _each(listed.UNSENT)),
            Panel("Oldest that is not sent", "Since the end of its day.", "s", _each(listed.UNSENT_OLDEST)),
            Panel("Addresses that get none", "Reports to them bounced.", "short", _each(listed.SUPPRESSED)),
        ),
    ),
)


def file() -> str:
    """The file."""
    return json.dumps(_dashboard(), indent=2) + "\n"


def expressions() -> list[str]:
    """Every expression."""
    return [expr for _, panels in ROWS for panel in panels for expr, _ in panel.targets]


def _dashboard() -> dict[str, Any]:
    return {
        "__inputs": [],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.0.0"},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        ],
        "uid": "mailassay",
        "title": "mailassay",
        "description": "Mail authentication: what mailassay found and did. Generated (make reference).",
        "tags": ["mail", "dmarc"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [*_variables()]},
        "panels": [*_panels()],
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
    }
    query = f"label_values({listed.BUILD.name}, instance)"
    yield {
        "name": "instance",
        "label": "Host",
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "instance"},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "options": [],
        "refresh": 2,
        "sort": 1,
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, y = 1, 0
    for title, panels in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": _at(0, y, 24, 1),
        }
        number, y, x, height = number + 1, y + 1, 0, 0
        for panel in panels:
            width, height = (4, 4) if panel.is_number else (_WIDTH, _HEIGHT)
            yield {"id": number, "gridPos": _at(x, y, width, height), **_panel(panel)}
            number, x = number + 1, x + width
            if x == 24:
                x, y = 0, y + height
        if x:
            y += height


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.warns_from is not None:
        steps.append({"color": "orange", "value": panel.warns_from})
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if not panel.is_number:
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    return {
        "type": "stat" if panel.is_number else "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _NUMBER if panel.is_number else _GRAPH,
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expr, "legendFormat": legend, "range": True}
            for place, (expr, legend) in enumerate(panel.targets)
        ],
    }


_GRAPH = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
_NUMBER = {
    "colorMode": "value",
    "graphMode": "area",
    "justifyMode": "auto",
    "orientation": "auto",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "textMode": "auto",
}
