"""The list of metrics: what the collector exposes, and what docs, dashboard and alerts are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from ..config import schema
from ..dkim.signature import ALGORITHMS
from ..dmarc import Disposition
from ..history.service import Why
from ..limits import Limits
from ..result import Result
from ..sign import Unsigned
from ..store.rows import COUNTED
from ..verdict import DEFAULT, Action

PREFIX = "mailassay_"
OTHER = "other"
"""The value of a label for what is not in its set, such as a word of a later version."""

ABSENT = "none"
"""The value of a label if there is nothing to name."""


class Kind(StrEnum):
    """The types of Prometheus that we use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """The values of a label, ``other`` not among them. ``more`` says in words which values come in addition."""

    values: tuple[str, ...] = ()
    more: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A metric: its name after the prefix, its type, its help text, and its labels."""

    of: str
    kind: Kind
    help: str
    labels: Mapping[str, Label] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The full name."""
        return PREFIX + self.of

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that its samples have."""
        ends = ("_bucket", "_sum", "_count") if self.kind is Kind.HISTOGRAM else ("",)
        return tuple(self.name + end for end in ends)

    @property
    def unit(self) -> str:
        """The unit, which is part of the name; empty if there is none."""
        return next((each for each in ("seconds", "bytes") if self.of.endswith(f"_{each}")), "")


def _words(words: Iterable[str]) -> Label:
    return Label(tuple(map(str, words)))


def _counter(of: str, text: str, **labels: Label) -> Metric:
    return Metric(of, Kind.COUNTER, text, labels)


def _gauge(of: str, text: str, **labels: Label) -> Metric:
    return Metric(of, Kind.GAUGE, text, labels)


def _takes_action(found: Mapping[str, Any]) -> bool:
    return any(set(Action) & set(each.get("enum", ())) for each in (found, *found.get("anyOf", ())))


_SECTIONS = ("dmarc.", "spf.", "iprev.", "sender_domain.")
_SETTINGS = tuple(
    key.name for key in schema.policy().keys if key.name.startswith(_SECTIONS) and _takes_action(key.schema)
)
# what decides besides settings that name an action, and rules
_DECIDERS = (
    str(DEFAULT),
    "dmarc.reject_needs",
    "dmarc.trusted_sealers",
    "dmarc.trusted_forwarders",
    "dmarc.mailing_lists",
    "dns.unavailable",
    "dns.unsent",
    "relays.untraced",
    "forged_fields",
    "no_client_address",
    "internal_error",
    "sign.unsignable",
)
_ACTIONS, _RESULTS = _words(Action), _words(Result)

BUILD = _gauge("build_info", "The version of the collector. Always 1.", version=Label(more="the version"))
MESSAGES = _counter(
    "messages_total",
    "Messages by what was done, and what would have been done if the whole policy were enforced.",
    verdict=_ACTIONS,
    would=_ACTIONS,
)
UNJUDGED = _counter(
    "unjudged_total",
    "Messages that were not judged, by the reason.",
    why=_words(("local", "trusted_network", "authenticated")),
)
RULES = _counter(
    "rule_total",
    "Judged messages by the setting or the rule that decided.",
    rule=Label((*_DECIDERS, *_SETTINGS), "`rules.NAME` for each rule of the present policy"),
)
RESULTS = _counter(
    "results_total",
    "Judged messages by the result of each check. With several DKIM signatures, the best result counts.",
    method=_words(COUNTED),
    result=_RESULTS,
)
SIGNATURES = _counter(
    "dkim_signatures_total",
    "DKIM signatures by result, algorithm and size of the key. Unknown: no key was found or looked for.",
    result=_RESULTS,
    algorithm=_words((*ALGORITHMS, "rsa-sha1")),
    bits=_words(("unknown", "256", "512", "768", "1024", "1536", "2048", "3072", "4096")),
)
SIGNED = _counter(
    "signed_total",
    "Messages signed, by algorithm. A message with signatures of both algorithms counts for each.",
    algorithm=_words(ALGORITHMS),
)
UNSIGNED = _counter(
    "unsigned_total",
    "Messages that were neither judged nor signed, by the reason, if sign.domains has a domain. Domain: the author is "
    "of another one. Judged: a stranger's mail that a filter handed back. Signed: by the same keys before.",
    why=_words(Unsigned),
)
SIGNING_KEYS = _gauge(
    "signing_keys", "Keys that sign outgoing mail, as the service said when it last took a configuration."
)
DMARC = _counter(
    "dmarc_total",
    "Judged messages by DMARC result, the policy that the author domain asks for, what was done, and why not what the "
    "domain asks for: an override, or monitored, if more would have been done than was.",
    result=_RESULTS,
    policy=_words((*Disposition, "unpublished")),
    applied=_ACTIONS,
    reason=_words((ABSENT, "local_policy", "mailing_list", "trusted_forwarder", "monitored")),
)
FORGED = _counter("forged_fields_removed_total", "Header fields removed because they claimed to be ours.")
LIMITS = _counter(
    "limits_reached_total",
    "Checks whose result comes from a limit of the policy, by that limit.",
    limit=_words(each.name for each in fields(Limits)),
)
EXCEPTIONS = _counter("exceptions_total", "Unforeseen exceptions in a worker. Each deferred a message.")
MESSAGE_SECONDS = Metric(
    "message_seconds", Kind.HISTOGRAM, "Time of the checks at the end of a judged message, that for DNS included."
)
DNS_WAIT_SECONDS = Metric(
    "dns_wait_seconds", Kind.HISTOGRAM, "The part of that time in which the checks waited for answers of DNS."
)
DNS_QUESTIONS = _counter(
    "dns_questions_total",
    "Questions sent to name servers, by whether there was an answer: records, or that there are none.",
    answer=_words(("yes", "no")),
)
DNS_CACHED = _counter("dns_cached_total", "Questions answered from a cache of the workers.")
DNS_KEPT = _gauge("dns_kept_answers", "Answers in the caches of the workers.")
CONNECTIONS = _gauge("connections", "Connections of Postfix that are open, as the workers said within the last minute.")
WORKERS = _gauge("workers", "Worker processes.")
WORKER_ENDS = _counter("worker_ends_total", "Workers that ended, by the reason.", why=_words(Why))
CONFIG_LOADED = _gauge(
    "config_loaded_timestamp_seconds", "When the service last took a configuration, in seconds since 1970."
)
RELOAD_FAILED = _gauge("config_reload_failed", "1 if the last reload failed, so the configuration before it stays.")
HELD = _gauge("held_messages", "Messages on hold that mailassay put there, as the hourly mailassay held counted them.")
HELD_OLDEST = _gauge("held_oldest_seconds", "How long the oldest message on hold has waited; 0 if there is none.")
RECORDS = _counter("history_records_total", "Records of messages that the collector moved into the database.")
LOST = _counter(
    "history_lost_total",
    "Records of messages that are lost. Unwritten: a worker could not write them. Version: of a later version of "
    "mailassay. Unreadable: no record at all, such as half a line of a worker that was killed.",
    why=_words(("unwritten", "version", "unreadable")),
)
LAG = _gauge("history_lag_seconds", "Age of the oldest record that is not in the database yet; 0 if there is none.")
DATABASE = _gauge("history_database_bytes", "Size of the database of the history.")
ROWS = _gauge("history_messages", "Messages in the database of the history, approximately.")
UNSENT = _gauge("reports_unsent", "DMARC reports about UTC days that are over that are neither sent nor dropped yet.")
UNSENT_OLDEST = _gauge(
    "reports_unsent_oldest_seconds", "How long ago the oldest day of an unsent DMARC report ended; 0 if there is none."
)
SUPPRESSED = _gauge("reports_suppressed_addresses", "Addresses that get no DMARC reports now.")

METRICS: tuple[Metric, ...] = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""All that stand above, in their order."""
