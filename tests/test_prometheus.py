"""What Prometheus's own tools say: to the metrics of a real collector, to the alerts, and to the dashboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

from mailassay.config import Settings
from mailassay.history.record import Judged
from mailassay.history.service import Event, What, Worker
from mailassay.history.spool import SPOOL, Spool
from mailassay.metrics import listed
from mailassay.metrics.listed import METRICS
from tests.lab.bank import HOST, MESSAGE, outcome, signed
from tests.lab.program import ENVIRONMENT, PROGRAM
from tools.reference import alerts, dashboard, metrics
from tools.reference.files import ROOT

BOARD = json.loads((ROOT / "conf/grafana-dashboard.json").read_text())
ALERTS = ROOT / "conf/prometheus-alerts.yaml"
BY_SAMPLE = {sample: metric for metric in METRICS for sample in metric.samples}
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """What promtool prints; it must have no complaint."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def filled_in(expr: str) -> str:
    """An expression as Grafana sends it."""
    for name, value in {"$__rate_interval": "5m", "$__range": "1d", "$instance": ".*"}.items():
        expr = expr.replace(name, value)
    return expr


EXPRESSIONS = [*dashboard.expressions(), *(rule["expr"] for rule in RULES)]


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_what_is_asked_for_exists(expr: str) -> None:
    """Every metric of an expression, every label, and every value of a label."""
    used = re.findall(r"(mailassay_\w+)(?:\{([^}]*)\})?", expr)
    labels = {"instance", "job"}
    for sample, selector in used:
        metric = BY_SAMPLE[sample]
        labels |= {*metric.labels, *(["le"] if sample.endswith("_bucket") else [])}
        for name, operator, value in re.findall(r'(\w+)(=~|!=|!~|=)"([^"]*)"', selector):
            assert name in {*metric.labels, "instance"}
            if name != "instance":
                assert operator in ("=", "!=")
                assert value in metric.labels[name].values
    assert used or re.match(r"up\{|time\(\) - node_textfile_mtime_seconds\{", expr)
    for by in re.findall(r"by \(([^)]*)\)", expr):
        assert {each.strip() for each in by.split(",")} <= labels


def test_what_is_not_on_the_dashboard() -> None:
    """Nothing."""
    shown = set(re.findall(r"mailassay_\w+", " ".join(dashboard.expressions())))
    assert {metric for metric in METRICS if not shown & set(metric.samples)} == set()


def test_the_page_has_every_metric_and_every_alert() -> None:
    page = metrics.page()
    assert all(f"| `{metric.name}` | {metric.kind} |" in page for metric in METRICS)
    assert all(f"| `{alert.name}` |" in page for alert in alerts.ALERTS)
    for metric in METRICS:
        for name, label in metric.labels.items():
            assert f"`{name}`" in page
            assert all(re.search(rf"(`|\s){re.escape(value)}(`|\s)", page) for value in label.values)


def test_names_are_as_prometheus_wants_them() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS) > 20
    assert len(BY_SAMPLE) == sum(len(metric.samples) for metric in METRICS)
    for metric in METRICS:
        assert re.fullmatch("[a-z_]+", metric.of)
        assert (metric.kind == "counter") == metric.of.endswith("_total")
        assert metric.help.endswith(".")
        assert all(label.values or label.more for label in metric.labels.values())
        assert all(listed.OTHER not in label.values for label in metric.labels.values())


def test_the_dashboard() -> None:
    """It is for any data source and for any hosts, and no panel lies on another."""
    assert [each["name"] for each in BOARD["templating"]["list"]] == ["datasource", "instance"]
    ids, cells = [], []
    for panel in BOARD["panels"]:
        ids.append(panel["id"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells += [(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])]
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"]
            assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert len(set(ids)) == len(ids)
    assert len(set(cells)) == len(cells)


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["alert"].startswith("Mailassay")
        assert {"summary", "description", "action"} == set(rule["annotations"])
        assert rule["labels"]["severity"] in ("critical", "warning", "info")


@needs_promtool
def test_promtool_reads_every_expression(tmp_path: Path) -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", ALERTS)
    rules = [{"record": f"x:y{n}", "expr": filled_in(expr)} for n, expr in enumerate(dashboard.expressions())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
    file.write_text(file.read_text().replace("sum by (verdict)", "sum by verdict"))
    with pytest.raises(AssertionError, match="could not parse expression"):
        promtool("check", "rules", file)


# for each alert: the labels it has, and series, one a minute, of a host where it fires and of one where it does not
CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "NoMessages": ({}, {"history_records_total": "7x120"}, {"history_records_total": "0+1x120"}),
    "Exceptions": ({}, {"exceptions_total": "0x110 1x10"}, {"exceptions_total": "3x120"}),
    "WorkersDying": (
        {},
        {'worker_ends_total{why="signal"}': "0x110 1 2 3 4x7", 'worker_ends_total{why="retired"}': "0x120"},
        {'worker_ends_total{why="retired"}': "0+1x120", 'worker_ends_total{why="stuck"}': "1x120"},
    ),
    "ReloadFailed": ({}, {"config_reload_failed": "0x100 1x20"}, {"config_reload_failed": "1x115 0x5"}),
    "Temperrors": (
        {"method": "spf"},
        {
            'results_total{method="spf",result="temperror"}': "0+1x120",
            'results_total{method="spf",result="pass"}': "0+10x120",
            'results_total{method="dmarc",result="pass"}': "0+10x120",
        },
        {
            'results_total{method="spf",result="temperror"}': "0+1x120",
            'results_total{method="spf",result="pass"}': "0+100x120",
        },
    ),
    "DnsFailures": (
        {},
        {'dns_questions_total{answer="no"}': "0+5x120", 'dns_questions_total{answer="yes"}': "0+10x120"},
        {'dns_questions_total{answer="no"}': "0+5x120", 'dns_questions_total{answer="yes"}': "0+100x120"},
    ),
    "LimitsReached": (
        {},
        {'limits_reached_total{limit="dns_questions"}': "0+1x120", "history_records_total": "0+10x120"},
        {'limits_reached_total{limit="dns_questions"}': "0+1x120", "history_records_total": "0+1000x120"},
    ),
    "Unsigned": (
        {},
        {
            'unsigned_total{why="envelope"}': "0+1x120",
            'signed_total{algorithm="rsa-sha256"}': "0+10x120",
            'signed_total{algorithm="ed25519-sha256"}': "0+10x120",
        },
        {
            'unsigned_total{why="envelope"}': "0+1x120",
            'unsigned_total{why="domain"}': "0+100x120",
            'signed_total{algorithm="rsa-sha256"}': "0+100x120",
        },
    ),
    "HeldTooLong": ({}, {"held_oldest_seconds": "300000x120"}, {"held_oldest_seconds": "200000x120"}),
    "ReportsUnsent": (
        {},
        {"reports_unsent_oldest_seconds": "150000x120"},
        {"reports_unsent_oldest_seconds": "140000x120"},
    ),
    "HistoryLag": ({}, {"history_lag_seconds": "0+10x120"}, {"history_lag_seconds": "900x110 0x10"}),
    "HistoryLost": (
        {"why": "unwritten"},
        {'history_lost_total{why="unwritten"}': "0x110 5x10", 'history_lost_total{why="version"}': "1x120"},
        {'history_lost_total{why="unwritten"}': "5x120"},
    ),
    "CollectorDown": ({"job": "mailassay"}, {'up{job="mailassay"}': "0x120"}, {'up{job="mailassay"}': "1x120"}),
    "TextfileOld": (
        {"file": "/t/mailassay.prom"},
        {'node_textfile_mtime_seconds{file="/t/mailassay.prom"}': "0x120"},
        {'node_textfile_mtime_seconds{file="/t/mailassay.prom"}': "0+60x120"},
    ),
}


def series(name: str, host: str) -> str:
    """A series of a host."""
    name = name if name.startswith(("up", "node_")) else listed.PREFIX + name
    bare, _, labels = name.rstrip("}").partition("{")
    return f"{bare}{{{labels}{',' if labels else ''}instance={host!r}}}".replace("'", '"')


@needs_promtool
def test_when_alerts_fire(tmp_path: Path) -> None:
    assert {f"Mailassay{name}" for name in CASES} == {rule["alert"] for rule in RULES}
    severity = {rule["alert"]: rule["labels"]["severity"] for rule in RULES}
    tests = []
    for short, (labels, fires, quiet) in CASES.items():
        name = f"Mailassay{short}"
        expected = {"alertname": name, "alertstate": "firing", "instance": "mx1", "severity": severity[name], **labels}
        pairs = [f'{label}="{value}"' for label, value in expected.items()]
        tests.append(
            {
                "interval": "1m",
                "input_series": [
                    {"series": series(each, host), "values": values}
                    for host, found in (("mx1", fires), ("mx2", quiet))
                    for each, values in found.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": f'ALERTS{{alertname="{name}",alertstate="firing"}}',
                        "eval_time": "2h",
                        "exp_samples": [{"labels": f"ALERTS{{{','.join(pairs)}}}", "value": 1}],
                    }
                ],
            }
        )
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", file)


FORGED = b"X-Mailassay-Verdict: accept\r\n" + MESSAGE


def fill(spool: Path, many: int, message: bytes | None = None, client: str = HOST) -> None:
    """Records as a worker writes them."""
    found = outcome(signed() if message is None else message, client)
    status = Worker(time=time.time(), host="mx1", pid=7, messages=many, dns_asked=9, dns_sent=5, dns_failed=1)
    worker = Spool(spool, lambda: status)
    worker.say(Event(time=time.time(), host="mx1", what=What.STARTED, workers=2, policy="0123456789ab"))
    for _ in range(many):
        worker.add(Judged(found, Settings(), time.time()))
    worker.close()


def get(url: str) -> tuple[str, str]:
    """The body and the media type."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read().decode(), answer.headers["Content-Type"]
    except HTTPError as error:
        error.close()
        raise


def until(seen: Callable[[], Any], seconds: float = 60) -> Any:
    """What is seen, as soon as it is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            if found := seen():
                return found
        time.sleep(0.05)
    raise AssertionError("nothing seen in time")


def is_free(port: int) -> bool:
    """Does nothing listen on this port?"""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def running(*command: str | Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended in the end."""
    with subprocess.Popen([*map(str, command)], **more) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def collecting(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A collector with pages and a textfile."""
    config = folder / "mailassay.yaml"
    found = {
        "history": {"directory": str(folder)},
        "web": {"listen": f"127.0.0.1:{port}"},
        "metrics": {"textfile": str(folder / "out/mailassay.prom")},
    }
    config.write_text(yaml.safe_dump(found))
    with running(*PROGRAM, "collect", "--config", config, env=ENVIRONMENT) as process:
        yield process


@pytest.mark.process
@needs_promtool
def test_a_real_collector(tmp_path: Path, free_port: int) -> None:
    """Its pages and its textfile show the same, without anything to complain about."""
    (tmp_path / "out").mkdir()
    fill(tmp_path / SPOOL, 40)
    url, textfile = f"http://127.0.0.1:{free_port}/metrics", tmp_path / "out/mailassay.prom"
    with collecting(tmp_path, free_port) as process:
        wanted = 'mailassay_messages_total{verdict="accept",would="accept"} 40.0'
        found, media_type = until(lambda: (answer := get(url))[0].count(wanted) and answer)
        assert media_type == "text/plain; version=0.0.4; charset=utf-8"
        # silence is praise
        assert promtool("check", "metrics", text=found) == ""
        assert f'="{listed.OTHER}"' not in found
        assert 'mailassay_dkim_signatures_total{algorithm="ed25519-sha256",bits="256",result="pass"} 40.0' in found
        assert 'mailassay_dns_questions_total{answer="yes"} 4.0' in found
        assert "mailassay_workers 2.0" in found
        assert "mailassay_history_lag_seconds 0.0" in found
        assert stat.S_IMODE(textfile.stat().st_mode) == 0o644
        # it does not wait for the next time
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    text = textfile.read_text()
    assert wanted in text
    assert promtool("check", "metrics", text=text) == ""
    assert os.listdir(textfile.parent) == ["mailassay.prom"]
    # what the tables show is there once something happened
    shown = set(re.findall("^# TYPE (mailassay_[a-z_]+) ", text, re.MULTILINE))
    missing = {metric.name for metric in METRICS} - shown
    assert missing == {listed.HELD.name, listed.HELD_OLDEST.name}


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus (Debian: prometheus)")
def test_a_real_prometheus(tmp_path: Path, free_port: int) -> None:
    """It scrapes every second, and answers every question of the dashboard and of the alerts."""
    (tmp_path / "out").mkdir()
    fill(tmp_path / SPOOL, 10)
    port = next(each for each in range(free_port + 1, free_port + 1000) if is_free(each))
    config = tmp_path / "prometheus.yml"
    job = {"job_name": alerts.JOB, "static_configs": [{"targets": [f"127.0.0.1:{free_port}"]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config.write_text(yaml.safe_dump({"global": every, "rule_files": [str(ALERTS)], "scrape_configs": [job]}))
    prometheus = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip

    def asked(path: str, **query: str) -> Any:
        answer = json.loads(get(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}")[0])
        assert answer["status"] == "success"
        return answer["data"]

    def total() -> float:
        found = asked("query", query="sum(mailassay_messages_total)")["result"]
        return float(found[0]["value"][1]) if found else 0.0

    with collecting(tmp_path, free_port), running(*prometheus):
        until(lambda: total() == 10)
        fill(tmp_path / SPOOL, 5, FORGED, "192.0.2.66")
        until(lambda: total() == 15)
        for expr in dashboard.expressions():
            asked("query", query=filled_in(expr))
        found = until(lambda: asked("query", query='mailassay_dmarc_total{result="fail"}')["result"])
        assert [each["metric"]["policy"] for each in found] == ["reject"]
        [removed] = asked("query", query="mailassay_forged_fields_removed_total")["result"]
        assert removed["value"][1] == "5"
        groups = until(lambda: (groups := asked("rules")["groups"]) and groups[0]["evaluationTime"] and groups)
        assert {rule["health"] for rule in groups[0]["rules"]} <= {"ok", "unknown"}
        assert not [rule for rule in groups[0]["rules"] if rule.get("lastError")]
        [target] = asked("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
