"""Metrics: counted once, from closed sets, and read by Prometheus's own tools."""

import fcntl
import json
import os
import re
import socket
import stat
import threading
import time
from itertools import count as numbers
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as families
from sqlalchemy.exc import DatabaseError

import mailassay
from mailassay import __version__
from mailassay.collector import Batch, Collector
from mailassay.config import ConfigError, History, load
from mailassay.history.service import Event, What, Why, Worker, values
from mailassay.history.spool import SPOOL, SUFFIX, Line
from mailassay.metrics import Exposed, Textfile, exposition, listed
from mailassay.metrics.listed import METRICS
from mailassay.postfix import reminder
from mailassay.sign import Unsigned
from mailassay.store import FILE, database, outbox, writing
from mailassay.store.outbox import Stage
from mailassay.store.rows import BUCKETS, Unfit
from mailassay.web.state import Known, State, listen, tell
from tests.lab import sent_reports
from tests.lab.evidence import evidence
from tests.lab.pages import Asked

PACKAGE = Path(mailassay.__file__).parent
NOW = 1_800_000_000.0
BEGUN = numbers(1)
POLICY = "policy1"


def record(name, /, **more):
    return {
        "v": 1, "kind": "message", "time": NOW, "host": "mx1", "queue_id": name, "message_id": f"<{name}@x>",
        "client": "192.0.2.1", "helo": "mail.bank.example", "mail_from": "a@bank.example",
        "recipients": ["bob@receiver.example"], "more_recipients": 0,
        "untraced": "",
        "verdict": "reject", "would": "reject", "kind_of_rule": "setting", "rule": "dmarc.reject", "monitored": [],
        "override": "", "removed": [["Authentication-Results", 1], ["Authentication-Results", 2]], "seconds": 0.003,
        "dns_wait": 0.001,
        "evidence": evidence(spf="softfail", dmarc="fail", policy="reject", limit="dns_questions", dkim=[
            {"result": "fail", "algorithm": "rsa-sha256", "bits": 2048},
            {"result": "pass", "algorithm": "ed25519-sha256", "bits": 256},
        ]),
    } | more  # fmt: skip


def worker(pid=1, at=NOW, **more):
    return values(Worker(time=at, host="mx1", pid=pid, **more))


def event(what, at=NOW, **more):
    return values(Event(**{"time": at, "host": "mx1", "what": what, "workers": 2, "policy": POLICY} | more))


class Host:
    """A spool, its collector, and the metrics of that."""

    def __init__(self, folder):
        (folder / SPOOL).mkdir(exist_ok=True)
        self.folder, self.held = folder, folder / "figures"
        self.now = NOW
        self.rules = ["lists"]
        self.collector = None
        self.begin()

    def begin(self):
        """The collector starts, in another process than before."""
        if self.collector:
            self.collector.close()
        self.exposed = Exposed(lambda: self.rules, self.folder / SPOOL, lambda: self.now, self.held)
        history = History(directory=str(self.folder))
        self.collector = Collector(history, "mx1", lambda: self.now, listeners=[self.exposed.committed])

    def segment(self, *lines, begun=None):
        path = self.folder / SPOOL / f"mx1-{begun or next(BEGUN):.6f}-{next(BEGUN)}-1{SUFFIX}"
        path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines))
        return path

    def move(self, *lines):
        if lines:
            self.segment(*lines)
        while self.collector.once():
            pass

    def text(self):
        return self.exposed.text()

    def samples(self):
        """Every sample by its name and labels, without zeros of counters."""
        found = {}
        for family in families(self.text()):
            for each in family.samples:
                labels = "".join(f" {name}={value}" for name, value in sorted(each.labels.items()))
                assert (each.name, labels) not in found
                found[each.name.removeprefix("mailassay_") + labels] = each.value
        return found

    def counted(self, name):
        """The series of a metric that are not zero."""
        return {
            sample.removeprefix(name).strip(): value
            for sample, value in self.samples().items()
            if sample.split()[0] == name and value
        }

    def one(self, name):
        return self.samples().get(name)


@pytest.fixture
def host(tmp_path):
    found = Host(tmp_path)
    yield found
    found.collector.close()


def test_what_a_message_counts_in(host):
    host.move(record("Q1"), record("Q2", seconds=0.2), record("Q3", seconds=70))
    assert host.counted("history_records_total") == {"": 3}
    assert host.counted("messages_total") == {"verdict=reject would=reject": 3}
    assert host.counted("rule_total") == {"rule=dmarc.reject": 3}
    assert host.counted("results_total") == {
        "method=iprev result=pass": 3, "method=spf result=softfail": 3, "method=spf_helo result=none": 3,
        "method=dkim result=pass": 3, "method=arc result=none": 3, "method=dmarc result=fail": 3,
    }  # fmt: skip
    assert host.counted("dkim_signatures_total") == {
        "algorithm=rsa-sha256 bits=2048 result=fail": 3, "algorithm=ed25519-sha256 bits=256 result=pass": 3,
    }  # fmt: skip
    assert host.counted("dmarc_total") == {"applied=reject policy=reject reason=none result=fail": 3}
    assert host.counted("forged_fields_removed_total") == {"": 6}
    assert host.counted("limits_reached_total") == {"limit=dns_questions": 3}
    assert host.counted("message_seconds_count") == {"": 3}
    assert host.counted("message_seconds_sum") == {"": pytest.approx(70.203)}
    assert host.counted("dns_wait_seconds_count") == {"": 3}
    assert host.counted("dns_wait_seconds_sum") == {"": pytest.approx(0.003)}
    buckets = host.counted("message_seconds_bucket")
    assert [buckets.get(f"le={each}") for each in ("0.0025", "0.005", "0.1", "0.25", "20.0", "+Inf")] == [
        None, 1, 1, 2, 2, 3,
    ]  # fmt: skip
    assert host.one(f"build_info version={__version__}") == 1


def test_a_message_that_is_not_judged(host):
    more = {"evidence": None, "verdict": "accept", "would": "accept", "removed": 0}
    host.move(record("Q1", kind_of_rule="unjudged", rule="authenticated", **more))
    assert host.counted("unjudged_total") == {"why=authenticated": 1}
    assert host.counted("messages_total") == {"verdict=accept would=accept": 1}
    for name in ("rule_total", "results_total", "dmarc_total", "message_seconds_count"):
        assert host.counted(name) == {}


OURS = {
    "evidence": None,
    "verdict": "accept",
    "would": "accept",
    "removed": 0,
    "kind_of_rule": "unjudged",
}
BOTH = {"signed_by": ["x.example/a", "x.example/b"], "signed_with": ["rsa-sha256", "ed25519-sha256"]}


def test_outgoing_mail(host):
    ours = OURS | {"rule": "authenticated"}
    # before the first message: increase() does not see how a series begins
    assert host.one("signed_total algorithm=rsa-sha256") == host.one("unsigned_total why=envelope") == 0
    host.move(
        record("Q1", **ours, **BOTH),
        record("Q2", **ours, **BOTH),
        record("Q3", **ours, signed_by=["x.example/a", "x.example/c"], signed_with=["rsa-sha256", "rsa-sha256"]),
        record("Q4", **ours, unsigned="envelope"),
        record("Q5", **ours | {"kind_of_rule": "configuration", "rule": "sign.unsignable"}, unsigned="author"),
        record("Q6"),
        record("Q7", **ours),
    )
    assert host.counted("signed_total") == {"algorithm=rsa-sha256": 3, "algorithm=ed25519-sha256": 2}
    assert host.counted("unsigned_total") == {"why=envelope": 1, "why=author": 1}
    # of a later version, and of one that did not say the algorithm
    host.move(
        record("Q8", **ours, signed_by=["x.example/a"], signed_with=["mldsa44"]),
        record("Q9", **ours, signed_by=["x.example/a"]),
        record("Q0", **ours, unsigned="later"),
    )
    assert host.counted("signed_total")["algorithm=other"] == 2
    assert host.counted("unsigned_total")["why=other"] == 1
    assert host.counted("results_total") == {f"method={method} result={result}": 1 for method, result in (
        ("iprev", "pass"), ("spf", "softfail"), ("spf_helo", "none"), ("dkim", "pass"), ("arc", "none"),
        ("dmarc", "fail"),
    )}  # fmt: skip


def test_unsigned_is_listed():
    assert set(listed.UNSIGNED.labels["why"].values) == set(Unsigned)


def test_keys_that_sign(host):
    assert host.one("signing_keys") is None
    host.move(event(What.STARTED, NOW - 9, keys=3))
    assert host.one("signing_keys") == 3
    # the keys from before the reload stay in use
    host.move(event(What.RELOAD_FAILED, NOW - 8, keys=3), event(What.WORKER_ENDED, NOW - 7, why=Why.RETIRED))
    assert host.one("signing_keys") == 3
    host.begin()
    assert host.one("signing_keys") == 3
    host.move(event(What.RELOADED, NOW - 5, keys=4))
    assert host.one("signing_keys") == 4


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"override": "mailing_list: lists.example"}, "mailing_list"),
        ({"override": "local_policy: rule x"}, "local_policy"),
        ({"override": "trusted_forwarder: 192.0.2.1"}, "trusted_forwarder"),
        ({"override": "sampled_out"}, "other"),
        ({"override": 7}, "other"),
        ({"would": "hold"}, "monitored"),
        ({"override": None}, "none"),
    ],
)
def test_why_not_what_the_domain_asks_for(host, more, reason):
    host.move(record("Q1", **{"verdict": "accept", "would": "accept"} | more))
    assert host.counted("dmarc_total") == {f"applied=accept policy=reject reason={reason} result=fail": 1}


def test_rules_of_the_present_policy(host):
    ours = {"kind_of_rule": "rule", "rule": "rules.lists"}
    assert host.samples()["rule_total rule=rules.lists"] == 0
    host.move(record("Q1", **ours), record("Q2", **ours | {"rule": "rules.old"}), record("Q3", rule="dmarc.later"))
    assert host.counted("rule_total") == {"rule=rules.lists": 1, "rule=other": 2}
    # the file changes, but the service goes on with the policy before it
    host.rules = ["old"]
    host.move(event(What.RELOAD_FAILED), record("Q4", **ours))
    host.rules = None
    host.move(event(What.RELOADED, policy="policy2"), record("Q5", **ours))
    assert host.counted("rule_total")["rule=rules.lists"] == 3
    host.rules = ["new"]
    host.move(event(What.RELOADED, policy="policy3"))
    host.move(record("Q6", **ours), record("Q7", **ours | {"rule": "rules.new"}))
    # a counter never falls
    assert host.counted("rule_total") == {"rule=rules.lists": 3, "rule=rules.new": 1, "rule=other": 3}


def test_nothing_counts_twice(host, monkeypatch):
    """A batch counts after it has been committed, and no batch is committed twice."""
    host.segment(record("Q1"), {"v": 1, "kind": "lost", "records": 3})
    with monkeypatch.context() as patched:
        trouble = DatabaseError("INSERT", {}, Exception("disk full"))
        patched.setattr(writing, "read_up_to", lambda *_: (_ for _ in ()).throw(trouble))
        assert not host.collector.once()
        assert host.counted("history_records_total") == host.counted("history_lost_total") == {}
    path = host.segment(record("Q2"))
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for number in range(5):
            host.move()
            assert host.counted("history_records_total") == {"": 2 + number}
            assert host.counted("history_lost_total") == {"why=unwritten": 3}
            file.write(json.dumps(record(f"R{number}")) + "\n")
            file.flush()


def test_what_is_lost(host):
    host.move("garbage", {"v": 9, "kind": "message"}, record("Q", time="x"), {"v": 1, "kind": "lost", "records": 5})
    assert host.counted("history_lost_total") == {"why=unreadable": 2, "why=version": 1, "why=unwritten": 5}
    assert host.counted("history_records_total") == {}


def test_workers(host):
    host.move(
        event(What.STARTED, NOW - 100),
        worker(
            1, NOW - 50, messages=5, exceptions=1, dns_asked=10, dns_sent=6, dns_failed=1, connections=3, dns_kept=7
        ),
        worker(2, NOW - 40, messages=5, dns_asked=5, dns_sent=5, connections=2, dns_kept=5),
        worker(2, NOW - 20, exceptions=1, connections=1, dns_kept=6),
    )
    assert host.counted("exceptions_total") == {"": 2}
    assert host.counted("dns_questions_total") == {"answer=yes": 10, "answer=no": 1}
    assert host.counted("dns_cached_total") == {"": 4}
    assert [host.one(name) for name in ("connections", "dns_kept_answers", "workers")] == [4, 13, 2]
    host.move(event(What.WORKER_ENDED, NOW - 10, why=Why.SIGNAL, pid=2, workers=1))
    # written before it was killed, and read after that
    host.move(worker(2, NOW - 11, connections=9))
    assert host.counted("worker_ends_total") == {"why=signal": 1}
    assert [host.one(name) for name in ("connections", "dns_kept_answers", "workers")] == [3, 7, 1]
    host.move(worker(1, NOW - 5, ends=True, messages=1))
    assert [host.one(name) for name in ("connections", "workers")] == [0, 1]
    host.move(worker(3, NOW - 4, connections=8), event(What.STARTED, NOW - 2), worker(4, NOW - 1, connections=1))
    assert [host.one(name) for name in ("connections", "workers")] == [1, 2]


def test_a_thousand_workers_leave_nothing_behind(host):
    lines = []
    for pid in range(1100):
        lines += [worker(pid, NOW + pid, connections=1), event(What.WORKER_ENDED, NOW + pid + 0.5, pid=pid)]
    host.move(*lines)
    assert host.one("connections") == 0
    assert host.counted("worker_ends_total") == {"why=other": 1100}
    service = host.exposed._counts._service
    assert len(service._ended) <= 1000
    assert not service._workers


def test_a_question_that_fails_later(host):
    """Its failure stands in a later line than that it was sent; no counter falls."""
    host.move(worker(dns_asked=5, dns_sent=5))
    host.move(worker(dns_asked=1, dns_sent=1, dns_failed=4))
    assert host.counted("dns_questions_total") == {"answer=yes": 5, "answer=no": 4}
    host.move(worker(dns_asked=8, dns_sent=8))
    assert host.counted("dns_questions_total") == {"answer=yes": 10, "answer=no": 4}


def test_the_configuration_of_the_service(host):
    names = ("config_reload_failed", "config_loaded_timestamp_seconds", "workers", "connections")
    assert [host.one(name) for name in names] == [None] * 4
    host.move(event(What.STARTED, NOW - 9))
    assert [host.one(name) for name in names] == [0, NOW - 9, 2, 0]
    host.move(event(What.RELOAD_FAILED, NOW - 5))
    assert [host.one(name) for name in names] == [1, NOW - 9, 2, 0]
    host.begin()
    # another process of the collector, before the service says anything
    assert [host.one(name) for name in names] == [1, NOW - 9, 2, None]
    host.move(event(What.RELOADED, NOW - 2, workers=3))
    assert [host.one(name) for name in names] == [0, NOW - 2, 3, 0]


def test_how_long_records_wait(host):
    assert host.one("history_lag_seconds") == 0
    old = host.segment(record("Q1", time=NOW - 300), begun=NOW - 310)
    host.segment(record("Q2", time=NOW - 100), begun=NOW - 110)
    assert host.one("history_lag_seconds") == 300
    with old.open("a") as file:
        # its worker is idle, and keeps it open
        fcntl.flock(file, fcntl.LOCK_EX)
        host.move()
        assert host.one("history_lag_seconds") == 0
        host.begin()
        host.move()
        host.exposed.measured(host.collector.size())
        assert host.one("history_lag_seconds") == 0
        file.write(json.dumps(record("Q3", time=NOW - 7)))
        file.flush()
        assert host.one("history_lag_seconds") == 0
        file.write("\n")
        file.flush()
        assert host.one("history_lag_seconds") == 7
        host.move()
        assert host.one("history_lag_seconds") == 0
        for line in ("garbage", {"v": 1, "time": 10**400}, {"v": 1, "time": [1]}, {"v": 1, "time": "x"}):
            host.segment(line, begun=NOW - 50)
            assert host.one("history_lag_seconds") == 50
        host.segment(record("Q4", time=NOW + 1e6), begun=NOW - 90)
        assert host.one("history_lag_seconds") == 0


def test_the_size_of_the_database(host):
    host.move(*(record(f"Q{number}") for number in range(40)))
    assert host.one("history_messages") is None
    host.exposed.measured(host.collector.size())
    assert host.one("history_messages") == 40
    files = [host.folder / FILE, host.folder / f"{FILE}-wal"]
    assert host.one("history_database_bytes") == sum(each.stat().st_size for each in files if each.exists()) > 10_000
    host.collector.close()
    assert host.collector.size() is None


def test_reports_that_are_not_sent(host):
    host.move(record("Q1"))
    assert host.one("reports_unsent") is None
    today = int(NOW) // outbox.DAY

    def measured(act=lambda _: None):
        engine = database.connect(database.address(str(host.folder), None))
        with engine.begin() as connection:
            act(connection)
        engine.dispose()
        host.exposed.measured(host.collector.size())
        return [
            host.one(each)
            for each in ("reports_unsent", "reports_unsent_oldest_seconds", "reports_suppressed_addresses")
        ]

    assert measured() == [0, 0, 0]

    def some(connection):
        sent_reports.add(connection, "waits.example", NOW, today - 2, {"d@waits.example": Stage.WAITING})
        outbox.add(connection, "aggregate", today - 1, "pending.example", "", NOW)
        # done, dropped, or about a day that is not over
        sent_reports.add(connection, "done.example", NOW, today - 3, {"d@done.example": Stage.RETURNED})
        sent_reports.add(connection, "dropped.example", NOW, today - 3, why="not known")
        outbox.add(connection, "aggregate", today, "today.example", "", NOW)
        outbox.suppress(connection, "asked@x.example", None, "asked")

    assert measured(some) == [2, NOW - (today - 1) * outbox.DAY, 2]
    host.now += 8 * outbox.DAY
    # the day has ended; what bounced gets reports again
    assert measured() == [3, host.now - (today - 1) * outbox.DAY, 1]


def test_messages_on_hold(host, monkeypatch):
    assert host.one("held_messages") is host.one("held_oldest_seconds") is None
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(host.folder))
    reminder.leave(reminder.Figures(NOW - 60, 4, int(NOW - 7200)))
    assert stat.S_IMODE(host.held.stat().st_mode) == 0o644
    assert (host.one("held_messages"), host.one("held_oldest_seconds")) == (4, 7200)
    reminder.leave(reminder.Figures(NOW - 60, 0, NOW - 60))
    assert (host.one("held_messages"), host.one("held_oldest_seconds")) == (0, 0)
    # nobody counts them any more
    host.now += 4 * 3600
    assert host.one("held_messages") is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "[" * 999, '{"time": NaN}', '{"time": 1, "messages": "x", "oldest": 0}', "\x00\xff"],
)
def test_figures_that_are_none(host, text):
    host.held.write_text(text)
    assert host.one("held_messages") is None
    host.held.write_text(f'{{"time": {NOW}, "messages": 1e999, "oldest": 0}}')
    assert host.one("held_messages") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"workers": "many"}', "\x00\xff", "[" * 9999])
def test_a_state_of_the_service_that_is_none(host, text):
    (host.folder / exposition.FILE).write_text(text)
    host.begin()
    assert host.one("workers") is None
    host.move(event(What.STARTED))
    assert host.one("workers") == 2


def test_the_state_of_the_service_cannot_be_kept(host, caplog):
    (host.folder / exposition.FILE).mkdir()
    host.move(event(What.STARTED), record("Q1"))
    assert host.one("workers") == 2
    assert "will not know the state of the service" in caplog.text
    assert host.counted("history_records_total") == {"": 1}
    assert sorted(path.name for path in host.folder.iterdir() if path.name.startswith(".")) == []


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = [*sorted(record("Q")), "signed_by", "signed_with", "unsigned"]


@given(
    found=st.dictionaries(st.sampled_from(KEYS), ANY, max_size=4),
    results=st.dictionaries(st.sampled_from(sorted(record("Q")["evidence"])), ANY, max_size=3),
    parts=st.dictionaries(st.sampled_from(["iprev", "spf_helo", "spf_mail_from", "arc", "dmarc"]), st.dictionaries(
        st.sampled_from(["result", "name", "domain", "header_from", "policy", "limit"]), ANY), max_size=3),
    signatures=st.none() | st.lists(st.dictionaries(
        st.sampled_from(["result", "algorithm", "bits", "domain", "limit"]), ANY), max_size=3),
)  # fmt: skip
def test_no_record_breaks_the_metrics_or_chooses_a_label(tmp_path_factory, found, results, parts, signatures):
    """Whatever a line of the spool says, every value of a label is from its set."""
    exposed = Exposed(lambda: ["lists"], tmp_path_factory.getbasetemp() / SPOOL, lambda: NOW)
    base = record("Q")
    base["evidence"] |= results | {part: base["evidence"][part] | more for part, more in parts.items()}
    if signatures is not None:
        [usual, _] = record("Q")["evidence"]["dkim"]
        base["evidence"]["dkim"] = [usual | each for each in signatures]
    octets = json.dumps(base | found).encode()
    batch = Batch("x", 0)
    try:
        batch.add(Line(1, len(octets), octets, json.loads(octets)), NOW, "mx1")
    except Unfit:
        return
    exposed.committed(batch)
    for family in families(exposed.text()):
        for each in family.samples:
            assert each.value >= 0
            assert set(each.labels.items()) <= ALLOWED, each


ALLOWED = {
    *((name, value) for metric in METRICS for name, label in metric.labels.items() for value in label.values),
    *((name, listed.OTHER) for metric in METRICS for name in metric.labels),
    *(("le", str(each)) for each in (*BUCKETS, "+Inf")),
    ("rule", "rules.lists"),
    ("version", __version__),
}


def test_deciders_are_listed():
    """What the policy and the session name as a decider is a value of the label."""
    source = "".join(path.read_text() for room in ("policy", "judge") for path in (PACKAGE / room).glob("*.py"))
    names = re.findall(r'(?:_setting|_built_in)\(\s*"([a-z_.]+)"', source)
    names += re.findall(r'Decider\(Kind\.(?:CONFIGURATION|BUILT_IN|SETTING), "([a-z_.]+)"', source)
    assert {"dmarc.reject", "dns.unsent", "forged_fields", "internal_error", "relays.untraced"} <= set(names)
    assert set(names) <= set(listed.RULES.labels["rule"].values)


def test_unjudged_is_listed():
    source = (PACKAGE / "judge/session.py").read_text()
    body = source[source.index("def _unjudged(") :].split("\n\n\n")[0]
    found = {each for each in re.findall('"([a-z_]+)"', body) if each}
    assert found == set(listed.UNJUDGED.labels["why"].values)


class Steady:
    """Metrics of which only the size matters."""

    def __init__(self):
        self.asked = 0

    def text(self):
        self.asked += 1
        return f"{self.asked}\n" * 100_000


def test_a_textfile_is_never_half_written(tmp_path):
    path, exposed = tmp_path / "m.prom", Steady()
    textfile, is_over, seen = Textfile(path, exposed), threading.Event(), set()
    textfile.write()

    def read():
        while not is_over.is_set():
            lines = path.read_text().splitlines()
            seen.add((len(lines), len(set(lines))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while exposed.asked < 20 or not seen:
            textfile.write()
    finally:
        is_over.set()
        reader.join()
    assert seen == {(100_000, 1)}
    assert path.read_text().startswith(f"{exposed.asked}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["m.prom"]


def test_a_textfile_is_written_once_in_a_period(tmp_path):
    """After a commit as well as while there is nothing to move, and at the end in any case."""
    now, exposed = 0.0, Steady()
    textfile = Textfile(tmp_path / "m.prom", exposed, 15.0, lambda: now)
    for each, written in [(0.0, 1), (14.9, 1), (15.0, 2), (29.9, 2), (45.0, 3), (59.9, 3)]:
        now = each
        textfile.committed(Batch())
        textfile.look_after()
        assert exposed.asked == written, now
    textfile.write()
    now = 60.0
    textfile.look_after()
    assert exposed.asked == 4
    now = 75.0
    textfile.look_after()
    assert exposed.asked == 5


def test_a_textfile_that_cannot_be_written(tmp_path, caplog):
    now, folder = 0.0, tmp_path / "later"
    textfile = Textfile(folder / "m.prom", Steady(), 15.0, lambda: now)
    for each in (0.0, 15.0, 30.0, 45.0):
        now = each
        textfile.look_after()
    assert caplog.text.count("cannot be written: No such file or directory") == 1
    now = 60.0
    textfile.look_after()
    assert caplog.text.count("cannot be written") == 2
    folder.mkdir()
    textfile.look_after()
    assert not (folder / "m.prom").exists()
    now = 75.0
    textfile.look_after()
    assert (folder / "m.prom").exists()
    assert caplog.text.count("cannot be written") == 2


def test_a_textfile_follows_no_link(tmp_path):
    other = tmp_path / "other"
    other.write_text("theirs")
    (tmp_path / "m.prom").symlink_to(other)
    Textfile(tmp_path / "m.prom", Steady()).write()
    assert other.read_text() == "theirs"
    assert not (tmp_path / "m.prom").is_symlink()


@pytest.mark.parametrize("path", ["m.prom", "/m", "/m.prom/", "/.prom", "/x/.prom", "/a\0.prom", "", 7])
def test_a_path_that_node_exporter_would_not_read(tmp_path, path):
    file = tmp_path / "mailassay.yaml"
    file.write_text(json.dumps({"metrics": {"textfile": path}}))
    with pytest.raises(ConfigError, match=r"absolute path of a file that ends in \.prom"):
        load(str(file))


def test_a_path_that_node_exporter_reads(tmp_path):
    file = tmp_path / "mailassay.yaml"
    file.write_text(json.dumps({"metrics": {"textfile": "/x/y.prom"}}))
    assert load(str(file)).metrics.textfile == "/x/y.prom"


class TestPage:
    """/metrics, by the process that shows the pages."""

    def test_what_the_collector_said_last(self, host):
        asked = Asked(host.folder, NOW)
        answer = asked.get("/metrics")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        asked.known.learn(State("database or disk is full", host.exposed.text()))
        answer = asked.get("/metrics")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert answer.text == host.exposed.text()
        assert asked.get("/metrics", "HEAD").status == 200
        assert asked.get("/metrics?x=1").status == 400
        assert asked.get("/metrics", "POST").status == 405

    def test_a_collector_that_says_nothing(self):
        now = 0.0
        known = Known(lambda: now)
        known.learn(State("", "text"))
        now = 59.0
        assert known.metrics == "text"
        now = 61.0
        assert known.metrics == ""

    def test_a_policy_with_more_rules_than_a_buffer_takes(self, tmp_path):
        """The rest of the state arrives all the same."""
        exposed = Exposed(lambda: [os.urandom(30).hex() for _ in range(20_000)], tmp_path / SPOOL)
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        known, ended = Known(), threading.Event()
        listen(its, known, ended.set)
        with ours:
            # what thousands of rules take
            some = Exposed(lambda: [f"list-{number}" for number in range(3000)], tmp_path / SPOOL).text()
            tell(ours, State("some", some))
            end = time.monotonic() + 60
            while known.metrics != some:
                assert time.monotonic() < end
                time.sleep(0.01)
            tell(ours, State("more", exposed.text()))
        assert ended.wait(60)
        its.close()
        assert (known.trouble(), known.metrics) == ("more", "")
        assert len(some) > 150_000
