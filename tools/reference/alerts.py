"""``conf/prometheus-alerts.yaml``: what an operator wants to be woken up for, or to read in the morning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

import yaml

from mailassay.metrics import listed
from mailassay.metrics.listed import Metric

JOB = "mailassay"
"""The name of the job in the configuration of Prometheus."""

_HEAD = f"""\
# Alerts for mailassay. Generated (make reference) from the list of metrics, which docs/metrics.md explains.
# In prometheus.yml: rule_files: [/etc/prometheus/mailassay-alerts.yaml], and job_name: {JOB} for the scrape.
# The thresholds suit a host with some thousand messages a day. Adapt them in a copy: this file is replaced by upgrades.
"""


class Alert(NamedTuple):
    """An alert. ``lasts`` is how long its expression must hold; ``comment`` is for who adapts it."""

    name: str
    expr: str
    lasts: str
    severity: str
    summary: str
    description: str
    action: str
    comment: str = ""


def _raised(metric: Metric, over: str, where: str = "") -> str:
    return f"sum by (instance) (increase({metric.name}{where}[{over}]))"


_RECORDS = listed.RECORDS.name
_DEFERRED_SHARE = f"""\
sum by (instance, method) (increase({listed.RESULTS.name}{{result="temperror"}}[30m]))
  / sum by (instance, method) (increase({listed.RESULTS.name}[30m])) > 0.05
and sum by (instance, method) (increase({listed.RESULTS.name}{{result="temperror"}}[30m])) > 5"""
_DNS_SHARE = f"""\
{_raised(listed.DNS_QUESTIONS, "15m", '{answer="no"}')}
  / {_raised(listed.DNS_QUESTIONS, "15m")} > 0.2
and {_raised(listed.DNS_QUESTIONS, "15m", '{answer="no"}')} > 20"""
_LIMITS_SHARE = f"""\
{_raised(listed.LIMITS, "1h")}
  / sum by (instance) (increase({_RECORDS}[1h])) > 0.02
and {_raised(listed.LIMITS, "1h")} > 10"""
# mail of one's own domains; a domain signs with all its keys, so the algorithm that signs most is all that is signed
_OURS = '{why!="domain",why!="judged",why!="signed"}'
_UNSIGNED = _raised(listed.UNSIGNED, "1h", _OURS)
_SIGNED = f"max by (instance) (increase({listed.SIGNED.name}[1h]))"
_UNSIGNED_SHARE = f"""\
{_UNSIGNED}
  / ({_UNSIGNED} + {_SIGNED}) > 0.05
and {_UNSIGNED} > 5"""

ALERTS = (
    Alert(
        "MailassayNoMessages",
        f"increase({_RECORDS}[1h]) == 0",
        "10m",
        "warning",
        "No message for an hour",
        "mailassay on {{ $labels.instance }} has judged no message for an hour.",
        "Run mailassay doctor. Is Postfix running, does it reach mailassay (smtpd_milters), and does mail arrive at "
        "all? See also MailassayHistoryLag: the messages may only not be counted yet.",
        "Change [1h] to the longest pause that is normal for this host, such as [12h] for a night without mail.",
    ),
    Alert(
        "MailassayCollectorDown",
        f'up{{job="{JOB}"}} == 0',
        "5m",
        "warning",
        "The collector does not answer",
        "Prometheus gets no metrics from {{ $labels.instance }}. Mail is judged all the same; records wait in the "
        "spool.",
        "Run systemctl status mailassay-collector, and read journalctl -u mailassay-collector. If the collector runs, "
        "check web.listen.",
    ),
    Alert(
        "MailassayTextfileOld",
        'time() - node_textfile_mtime_seconds{file=~".*/mailassay[^/]*[.]prom"} > 300',
        "5m",
        "warning",
        "The collector no longer writes its textfile",
        "The file {{ $labels.file }} on {{ $labels.instance }} has not been written for "
        "{{ $value | humanizeDuration }}. Its metrics are old.",
        "Run systemctl status mailassay-collector, and read journalctl -u mailassay-collector.",
        "Only for metrics.textfile; the file needs a name that begins with mailassay.",
    ),
    Alert(
        "MailassayExceptions",
        f"{_raised(listed.EXCEPTIONS, '15m')} > 0",
        "0m",
        "critical",
        "Unforeseen exceptions in mailassay",
        "{{ $value | humanize }} messages on {{ $labels.instance }} were deferred within 15 minutes because of a bug.",
        "The log has the traceback: journalctl -u mailassay -p err. Report it. Senders try again, but the same message "
        "may fail each time.",
    ),
    Alert(
        "MailassayWorkersDying",
        f"""{_raised(listed.WORKER_ENDS, "30m", '{why!="retired"}')} > 2""",
        "0m",
        "critical",
        "Workers die",
        "{{ $value | humanize }} workers on {{ $labels.instance }} ended within 30 minutes although nobody asked them "
        "to.",
        "Read journalctl -u mailassay. Is there enough memory (MemoryMax=, journalctl -k for the OOM killer)?",
    ),
    Alert(
        "MailassayReloadFailed",
        f"{listed.RELOAD_FAILED.name} == 1",
        "10m",
        "warning",
        "The configuration has a mistake",
        "The last reload on {{ $labels.instance }} failed. mailassay goes on with the configuration before it, and "
        "would defer all mail after a restart.",
        "Run mailassay config check, correct the mistake, and run systemctl reload mailassay.",
    ),
    Alert(
        "MailassayTemperrors",
        _DEFERRED_SHARE,
        "15m",
        "warning",
        "Many checks end with temperror",
        "{{ $value | humanizePercentage }} of the results of {{ $labels.method }} on {{ $labels.instance }} are "
        "temperror. Mail may be deferred.",
        "See whether the resolver works: mailassay lookup example.org, and MailassayDnsFailures. If only some domains "
        "are concerned, mailassay report names them.",
    ),
    Alert(
        "MailassayDnsFailures",
        _DNS_SHARE,
        "10m",
        "warning",
        "Name servers do not answer",
        "{{ $value | humanizePercentage }} of the DNS questions from {{ $labels.instance }} get no answer.",
        "Check the resolver (dns.nameservers, /etc/resolv.conf) and the way to it. A resolver on the same host is "
        "best.",
    ),
    Alert(
        "MailassayLimitsReached",
        _LIMITS_SHARE,
        "0m",
        "info",
        "Many messages reach a limit",
        "Limits of the policy decide {{ $value | humanizePercentage }} of the checks per message on "
        "{{ $labels.instance }}.",
        "The dashboard shows which limit, mailassay history and mailassay report which senders. Somebody may be "
        "attacking, or a limit may be too low for your mail (limits in the policy).",
    ),
    Alert(
        "MailassayUnsigned",
        _UNSIGNED_SHARE,
        "15m",
        "warning",
        "Outgoing mail is not signed",
        "{{ $value | humanizePercentage }} of the mail of your own domains leaves {{ $labels.instance }} without a "
        "signature.",
        "Run mailassay history --unsigned and mailassay why ID. docs/troubleshooting.md, Signing, says what to do "
        "about each reason; mailassay check --outbound tries a message.",
        "Without mail of other domains, and mail that was judged or signed before.",
    ),
    Alert(
        "MailassayHeldTooLong",
        f"{listed.HELD_OLDEST.name} > 3 * 86400",
        "0m",
        "warning",
        "A message has been on hold for days",
        "A message on {{ $labels.instance }} has been on hold for {{ $value | humanizeDuration }}. Neither its sender "
        "nor its recipient knows.",
        "Run mailassay held, then mailassay held release ID or mailassay held delete ID.",
        "Three days, in seconds.",
    ),
    Alert(
        "MailassayHistoryLag",
        f"{listed.LAG.name} > 300",
        "10m",
        "warning",
        "Records wait for the database",
        "The oldest record on {{ $labels.instance }} has waited for {{ $value | humanizeDuration }}. Metrics and "
        "history lag behind; mail does not.",
        "Read journalctl -u mailassay-collector. Is the disk full, or PostgreSQL down?",
    ),
    Alert(
        "MailassayHistoryLost",
        f"sum by (instance, why) (increase({listed.LOST.name}[15m])) > 0",
        "0m",
        "warning",
        "Records of messages are lost",
        "{{ $value | humanize }} records on {{ $labels.instance }} are lost ({{ $labels.why }}). The messages "
        "themselves were judged and answered.",
        "unwritten: is the disk of history.directory full or read-only? version: after a downgrade, this stops by "
        "itself. unreadable: one is normal after a worker was killed.",
    ),
    Alert(
        "MailassayReportsUnsent",
        f"{listed.UNSENT_OLDEST.name} > 40 * 3600",
        "1h",
        "warning",
        "DMARC reports are not sent",
        "A day that ended {{ $value | humanizeDuration }} ago has DMARC reports on {{ $labels.instance }} that are not "
        "sent. They are given up after three days.",
        "Run mailassay reports send, or read journalctl -u mailassay-reports: is mailassay-reports.timer on, does the "
        "mail of reports.from pass DMARC, and does Postfix take mail? mailassay doctor says what is missing.",
        "In seconds. A day is closed after 36 hours at the latest; its reports are then sent within hours.",
    ),
)


def file() -> str:
    """The file."""
    rules = "\n".join(line for alert in ALERTS for line in _rule(alert))
    return f"{_HEAD}groups:\n  - name: mailassay\n    rules:\n{rules}\n"


def _rule(alert: Alert) -> Iterator[str]:
    found = {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description, "action": alert.action},
    }
    if alert.comment:
        yield f"      # {alert.comment}"
    yield textwrap.indent(yaml.dump([found], Dumper=_Dumper, sort_keys=False, width=108), "      ").rstrip()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
