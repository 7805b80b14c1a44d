"""The figures of a report are those of the messages."""

import base64
import fcntl
import hashlib
import json
import math
import os
import re
import resource
import time
from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from hypothesis import given
from hypothesis import strategies as st

from mailassay.cli import main
from mailassay.config import Settings
from mailassay.history.service import Worker
from mailassay.judge.logline import as_json
from mailassay.policy import Mode, Policy
from mailassay.policy import rule as rules
from mailassay.policy.condition import Match
from mailassay.report import OnHold, Span, figures
from mailassay.report.as_json import values
from mailassay.report.domain import of_domain
from mailassay.report.figures import Author, Figures, Monitored, NoAnswer, Period, Rule, Source, Unused
from mailassay.report.page import page
from mailassay.report.reported import Reported
from mailassay.report.text import Style, as_text
from mailassay.report.words import share
from mailassay.sign import Unsigned
from mailassay.store import database, writing
from mailassay.store.outbox import Suppressed
from mailassay.terminal import printable, visible
from mailassay.verdict import Action
from tests.lab import sent_reports
from tests.lab.chromium import Watched, chromium
from tests.lab.hold_queue import POSTQUEUE, RECEIVED, RESULTS, VERDICT, printed_by_postcat
from tests.lab.program import script
from tests.lab.screens import screen
from tests.lab.spooled import Spooled
from tests.lab.week import DAY, forged, record, unjudged, week

HOUR = 3600
NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def history(tmp_path):
    """Puts records into the database of a folder."""

    def add(*records, folder=tmp_path, **keys):
        spooled = Spooled(folder, **keys)
        spooled.now = NOW
        spooled.segment(*(each if isinstance(each, str) else as_json(each) for each in records))
        spooled.all()
        spooled.collector.close()

    add.folder = tmp_path
    return add


@pytest.fixture
def sent(history):
    """Puts DMARC reports into the database of a history, which is there."""

    def add(fill, *given):
        engine = database.connect(database.address(str(history.folder), None))
        with engine.begin() as connection:
            fill(connection, NOW, *given)
        engine.dispose()

    return add


def found(history, since=NOW - 7 * DAY, now=NOW, settings=None, **more):
    url = database.address(str(history.folder), None)
    engine = database.connect(url, reads_only=True)
    with engine.connect() as connection:
        try:
            return figures(connection, settings or Settings(), Span.since(since, now), **more)
        finally:
            connection.close()
            engine.dispose()


def rule(name, **more):
    return rules.Rule(name=name, condition=Match("spf", ("fail",)), action=Action.REJECT, **more)


def test_every_figure(history):
    history(
        *(record(NOW - 60) for _ in range(5)),
        *(record(NOW - DAY, host="mx2") for _ in range(2)),
        *(forged(NOW - 2 * DAY, "bank.example", "198.51.100.66") for _ in range(4)),
        forged(NOW, "bank.example", "198.51.100.67", "hold"),
        forged(NOW, "shop.example", "198.51.100.66", name="x"),
        # monitored only
        *(forged(NOW, "shop.example", "192.0.2.9", verdict="accept", would="reject") for _ in range(3)),
        *(record(NOW, monitored=["rules.strict:reject", "dmarc.authors.none:hold"], would="reject") for _ in range(2)),
        record(
            NOW,
            rule="rules.ours",
            kind_of_rule="rule",
            results={
                "limit": "spf_terms",
                "dkim": [{"result": "pass"}, {"result": "policy", "limit": "signatures"}],
            },
        ),
        record(NOW, results={"spf": "temperror", "mail_from": "slow.example"}, seconds=11.0),
        record(NOW, results={"spf_helo": "temperror", "mail_from": None, "helo": "mx.slow.example"}, seconds=30.0),
        record(NOW, results={"dmarc": "temperror", "iprev": "temperror"}),
        unjudged(NOW),
        unjudged(NOW),
        unjudged(NOW, "trusted_network"),
        {"v": 1, "kind": "lost", "records": 7},
        asdict(Worker(time=NOW, host="mx1", pid=1, dns_asked=90, dns_sent=40, dns_failed=3))
        | {"v": 1, "kind": "worker"},
        "garbage",
    )
    policy = Policy(rules=(rule("ours"), rule("strict"), rule("never"), rule("over", expires=date(2026, 11, 23))))
    settings = Settings(policy=policy, policy_lines={"rules.never": 9, "rules.strict": 4, "dmarc.reject": 2})
    got = found(history, settings=settings)
    assert (got.messages, got.judged, got.hosts, got.mode) == (25, 22, ("mx1", "mx2"), Mode.ENFORCE)
    assert got.verdicts == {Action.ACCEPT: 16, Action.REJECT: 5, Action.HOLD: 1}
    assert got.would == {Action.ACCEPT: 11, Action.REJECT: 10, Action.HOLD: 1}
    assert got.changed == {(Action.ACCEPT, Action.REJECT): 5}
    assert got.unjudged == {"authenticated": 2, "trusted_network": 1}
    assert got.results["dmarc"] == {"pass": 12, "fail": 9, "temperror": 1}
    assert got.results["spf"] == {"pass": 11, "fail": 9, "temperror": 2}
    assert got.results["dkim"] == {"pass": 13, "none": 9}
    assert got.results["iprev"] == {"pass": 12, "fail": 9, "temperror": 1}
    assert list(got.results) == ["iprev", "spf", "spf_helo", "dkim", "arc", "dmarc"]
    assert got.authors == (
        Author("bank.example", 18, 5, (Source("198.51.100.66", "", 4), Source("198.51.100.67", "", 1))),
        Author("shop.example", 4, 4, (Source("192.0.2.9", "", 3), Source("198.51.100.66", "", 1))),
    )
    assert got.sources == (
        Source("198.51.100.66", "", 5),
        Source("192.0.2.9", "", 3),
        Source("198.51.100.67", "", 1),
    )
    [default, reject, held, ours] = got.rules
    assert [each.name for each in got.rules] == ["default", "dmarc.reject", "dmarc.quarantine", "rules.ours"]
    assert (default.messages, default.would) == (12, {Action.ACCEPT: 10, Action.REJECT: 2})
    assert (reject.line, reject.verdicts) == (2, {Action.REJECT: 5, Action.ACCEPT: 3})
    assert (held.messages, ours.messages) == (1, 1)
    assert got.unused == (Unused("rules.never", 9, expired=False), Unused("rules.over", None, expired=True))
    assert got.monitored == (
        Monitored("dmarc.authors.none", None, "hold", 2),
        Monitored("rules.strict", 4, "reject", 2),
    )
    assert got.limits == {"spf:spf_terms": 1, "dkim:signatures": 1}
    assert got.unanswered == (
        NoAnswer("dmarc", "bank.example", 1),
        NoAnswer("iprev", "192.0.2.1", 1),
        NoAnswer("spf", "mx.slow.example", 1),
        NoAnswer("spf", "slow.example", 1),
    )
    assert got.dns == {"sent": 40, "failed": 3}
    assert [got.at_most(percent) for percent in (50, 90, 95, 99)] == [0.005, 0.005, 20.0, math.inf]
    assert got.lost == {"unwritten": 7, "unreadable": 1}


def ours(at, **more):
    return unjudged(at) | more


def outgoing(history):
    keys = {"signed_by": ["bank.example/a", "bank.example/b"], "signed_with": ["rsa-sha256", "ed25519-sha256"]}
    history(
        *(ours(NOW, **keys) for _ in range(3)),
        ours(NOW, signed_by=["shop.example/a"], signed_with=["rsa-sha256"]),
        *(ours(NOW, unsigned="domain") for _ in range(2)),
        ours(NOW, unsigned="envelope"),
        ours(NOW, unsigned="later"),
        ours(NOW),
        record(NOW),
        # a domain whose name begins alike is another
        ours(NOW, signed_by=["bank.example0/c"], signed_with=["rsa-sha256"]),
    )
    return found(history)


def test_outgoing_mail(history):
    got = outgoing(history)
    assert (got.messages, got.judged, got.signed.total()) == (11, 1, 5)
    assert got.unsigned == {"domain": 2, "envelope": 1, "later": 1}
    assert got.signers == (("bank.example/a", 3), ("bank.example/b", 3), ("bank.example0/c", 1), ("shop.example/a", 1))
    printed = summary(got)
    assert "Outgoing mail: 5 messages signed, 4 not: domain 2, envelope 1, later 1." in printed
    assert "Keys that signed most\n  bank.example/a " in printed
    assert values(got)["signing"] == {"signed": 5, "keys": dict(got.signers), "unsigned": dict(got.unsigned)}
    shown = checked(page(got)).text
    for words in ("5 messages signed, 4 not", "bank.example/b", Unsigned.ENVELOPE.words, "later"):
        assert words in shown
    assert "Outgoing mail" not in page(found(history, since=NOW - DAY, now=NOW - DAY / 2))


def test_outgoing_mail_of_a_domain(history):
    outgoing(history)
    engine = database.connect(database.address(str(history.folder), None), reads_only=True)
    with engine.connect() as connection:
        assert of_domain(connection, "bank.example", Span.since(NOW - DAY, NOW)).signed == {"a": 3, "b": 3}
        assert of_domain(connection, "news.example", Span.since(NOW - DAY, NOW)).signed == {}
    engine.dispose()


def test_one_host(history):
    history(record(NOW), record(NOW, host="mx2"), forged(NOW, "bank.example", "192.0.2.9", host="mx2"))
    got = found(history, host="mx2")
    assert (got.messages, got.hosts, got.verdicts[Action.REJECT]) == (2, ("mx1", "mx2"), 1)
    assert got.authors[0].messages == 2
    assert found(history, host="mx1").sources == ()
    assert found(history, host="mx3").messages == 0


def test_nothing(history):
    history()
    got = found(history)
    assert (got.messages, got.judged, got.authors, got.at_most(99), got.results) == (0, 0, (), None, {})
    assert len(got.periods) == 8


def starts(since, now):
    return [datetime.fromtimestamp(each * HOUR).strftime("%d %H:%M") for each in Span.since(since, now).starts()]


def test_periods():
    assert starts(NOW - 3 * HOUR, NOW) == ["24 08:00", "24 09:00", "24 10:00", "24 11:00"]
    assert len(starts(NOW - 2 * DAY, NOW)) == 49
    assert starts(NOW - 3 * DAY, NOW) == ["21 00:00", "22 00:00", "23 00:00", "24 00:00"]
    # a time that is still to come
    assert starts(NOW + DAY, NOW) == ["24 11:00"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize("month", [3, 4, 10, 11])
def test_days_of_all_zones(monkeypatch, zone, month):
    """No hour is left out or counted twice, when clocks change either."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    now = datetime(2026, month, 28, tzinfo=UTC).timestamp()
    span = Span.since(now - 27 * DAY, now)
    days = [datetime.fromtimestamp(each * HOUR).date() for each in span.starts()[1:]]
    assert span.starts() == sorted(set(span.starts()))
    assert days == sorted(set(days))
    assert 27 <= len(span.starts()) <= 28


def test_a_message_is_in_its_period(history):
    midnight = datetime(2026, 11, 23).timestamp()
    history(record(midnight - 1), record(midnight), record(midnight + DAY - 1), unjudged(midnight))
    got = found(history, since=NOW - 4 * DAY)
    assert [each.messages for each in got.periods] == [0, 0, 1, 3, 0]
    assert [each.unjudged for each in got.periods] == [0, 0, 0, 1, 0]
    assert got.periods[3].start == midnight


def test_what_came_before_is_left_out(history):
    history(record(NOW - 9 * DAY), record(NOW))
    assert found(history).messages == 1
    assert found(history, since=NOW - 30 * DAY).messages == 2


def test_the_top_of_many(history):
    """A domain that begins like another one is another one."""
    many = [forged(NOW, f"d{number}.example", f"192.0.2.{number}") for number in range(30) for _ in range(number)]
    more = [forged(NOW, "d29.example.example", "198.51.100.1") for _ in range(40)]
    history(*many, *more, *(record(NOW - DAY, results={"header_from": "d29.example"}) for _ in range(11)))
    got = found(history)
    assert [each.domain for each in got.authors[:3]] == ["d29.example.example", "d29.example", "d28.example"]
    assert len(got.authors) == len(got.sources) == 10
    assert got.authors[1] == Author("d29.example", 40, 29, (Source("192.0.2.29", "", 29),))


def test_more_than_are_counted_one_by_one(history, monkeypatch):
    monkeypatch.setattr(writing, "MOST_KEYS", 3)
    silent = {"iprev": "temperror", "spf": "temperror"}
    history(*(forged(NOW, f"d{n}.example", f"192.0.2.{n}") for n in range(9)), record(NOW, results=silent), *(
        record(NOW, client=f"198.51.100.{n}", results={"iprev": "temperror", "name": ""}) for n in range(9)
    ))  # fmt: skip
    got = found(history)
    assert [each.failed for each in got.authors] == [1, 1]
    assert [each.messages for each in got.sources] == [1, 1, 1]
    assert [each.messages for each in got.unanswered] == [1, 1, 1]
    assert got.results["dmarc"]["fail"] == 9


def test_a_week(history):
    """Sums agree, whichever way they are made."""
    records = list(week(NOW))
    history(*records)
    got = found(history)
    judged = [each for each in records if each["kind_of_rule"] != "unjudged"]
    assert (got.messages, got.judged) == (len(records), len(judged))
    for action in Action:
        assert got.verdicts[action] == sum(each["verdict"] == action for each in judged)
        assert got.would[action] == sum(each["would"] == action for each in judged)
    assert sum(each.messages for each in got.rules) == len(judged) == sum(got.times)
    assert {method: sum(each.values()) for method, each in got.results.items()} == dict.fromkeys(
        got.results, len(judged)
    )
    slower = sorted(each["seconds"] for each in judged)
    for percent in (50, 95, 99):
        limit = slower[math.ceil(len(slower) * percent / 100) - 1]
        assert limit <= got.at_most(percent) <= max(2.5 * limit, 0.001)


def test_in_monitor_mode(history):
    history(*(forged(NOW, "bank.example", "192.0.2.9", verdict="accept", would=each) for each in ("reject", "hold")))
    got = found(history, settings=replace(Settings(), policy=Policy(mode=Mode.MONITOR)))
    assert got.mode == "monitor"
    assert got.changed == {(Action.ACCEPT, Action.REJECT): 1, (Action.ACCEPT, Action.HOLD): 1}


HOSTILE = [
    "<script>alert(1)</script>",
    "\u202eevil",
    "a\x00b",
    "\ud800",
    "'\"&",
    "{{ 7*7 }}",
    "x" * 300,
    "\x1b[2J",
    "]]>",
]


def hostile():
    """Records with words of a sender wherever there may be some."""
    for words in HOSTILE:
        results = {"mail_from": words, "helo": words, "name": words, "header_from": words, "spf": "temperror"}
        results |= {"dkim": [{"result": "temperror", "domain": words}], "limit": words, "sender_domain": "temperror"}
        for dmarc in ("fail", "temperror"):
            results["dmarc"] = dmarc
            yield record(NOW, host=words, client=words, rule=words, monitored=[words], results=results)
        yield unjudged(NOW, words) | {"signed_by": [words], "signed_with": [words]}
        yield unjudged(NOW, words) | {"unsigned": words}


class Page(HTMLParser):
    """What a browser makes of a page: its elements and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.attributes, self.text, self.open = set(), [], "", []
        self.feed(html)
        assert self.open == [], "an element is not closed"

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked(html):
    """The page, which has nothing that a sender could have put there."""
    found = Page(html)
    html.encode()
    assert not found.elements & {"script", "img", "iframe", "link", "object", "a", "form"}
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("style", "src", "href")]
    shown = found.text.replace("\n", "")
    assert shown == printable(shown)
    return found


def test_hostile_words_on_the_page(history, sent):
    history(*hostile())
    for words in HOSTILE:
        sent(sent_reports.hostile, words)
    got = checked(page(found(history)))
    for words in HOSTILE:
        assert visible(words[:60].replace("\x00", "\ufffd").replace("\ud800", "\ufffd")) in got.text


def test_a_page(history):
    """It names everything, needs nothing else, and allows nothing else."""
    history(*week(NOW))
    html = page(found(history, on_hold=OnHold(3, 90_000)))
    got = checked(html)
    for each in ("bank.example", "198.51.100.66", "lists.example", "dmarc.reject", "rules.strict-spf", "1 d 1 h"):
        assert each in got.text
    [policy] = re.findall("style-src 'sha256-([^']+)'", html)
    [style] = re.findall("<style>(.*)</style>", html, re.DOTALL)
    assert base64.b64decode(policy) == hashlib.sha256(style.encode()).digest()
    assert "url(" not in style
    assert "@import" not in style
    identifiers = [value for name, value in got.attributes if name == "id"]
    assert sorted(identifiers) == sorted(set(identifiers))
    labels = {each for name, value in got.attributes if name == "aria-labelledby" for each in value.split()}
    assert labels <= set(identifiers)


def test_a_page_of_nothing(history):
    history()
    got = checked(page(found(history, hold_trouble="this needs root")))
    assert "The history has no message from this time" in got.text
    assert "this needs root" in got.text


def summary(figures, width=100, **style):
    return "\n".join(as_text(figures, Style(width, **style)))


@pytest.mark.parametrize("style", [{}, {"blocks": True}, {"width": 40}, {"width": 40, "colour": True}])
def test_hostile_words_on_a_terminal(history, sent, style):
    history(*hostile())
    for words in HOSTILE:
        sent(sent_reports.hostile, words)
    got = summary(found(history), **style)
    assert re.sub("\x1b\\[[0-9;]*m|\n", "", got).isprintable()
    if "colour" not in style:
        assert max(len(each) for each in got.split("\n") if "xxx" not in each) <= style.get("width", 100)


@given(text=st.text(max_size=60))
def test_any_words(text):
    """As in the counts, where a key may be anything."""
    source = Source(text, text, 2)
    accepted = Counter({Action.ACCEPT: 2})
    got = Figures(
        span=Span.since(NOW - HOUR, NOW), host=text, hosts=(text,), mode=text, policy=text,
        periods=(Period(int(NOW), accepted, accepted, 0),), changed=Counter(), unjudged=Counter({text: 2}),
        results={text: Counter({text: 2})}, authors=(Author(text, 3, 2, (source,)),), sources=(source,),
        rules=(Rule(text, None, accepted, accepted),), unused=(Unused(text, 3, expired=True),),
        monitored=(Monitored(text, None, text, 2),), limits=Counter({text: 2}), dns=Counter(),
        unanswered=(NoAnswer(text, text, 2),), times=(1,) * 15, lost=Counter({text: 2}), hold_trouble=text,
        reported=Reported(
            20_000, is_on=True, causes=Counter({text: 2}), suppressed=(Suppressed(text, None, 1, text),), silent=2
        ),
    )  # fmt: skip
    checked(page(got))
    assert summary(got).replace("\n", "").isprintable()
    assert as_json(values(got)).isascii()


def test_bars():
    style = Style(80, blocks=True)
    assert [style.bar(each, 80, 10) for each in (0, 1, 8, 12, 79, 80)] == [
        "", "▏", "█", "█▌", "█████████▉", "██████████",
    ]  # fmt: skip
    assert [Style(80).bar(each, 80, 10) for each in (0, 1, 40, 80)] == ["", "#", "#####", "##########"]


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 5, "0%"), (5, 5, "100%"), (1, 3, "33.3%"), (1, 5000, "< 0.1%"), (4999, 5000, "> 99.9%"), (0, 0, ""),
    ],
)  # fmt: skip
def test_shares(part, whole, said):
    assert share(part, whole) == said


def test_json(history):
    history(*week(NOW), record(NOW, seconds=99.0))
    got = values(found(history, on_hold=OnHold(3, 90_000.5)))
    assert json.loads(as_json(got)) == got
    assert list(got) == [
        "since", "until", "host", "hosts", "policy", "messages", "judged", "unjudged", "verdicts", "would", "changed",
        "period", "periods", "results", "authors", "sources", "rules", "unused_rules", "monitored", "limits", "dns",
        "unanswered", "percentiles", "times", "on_hold", "on_hold_unknown", "lost", "signing",
        "dmarc_reports",
    ]  # fmt: skip
    said = (Path(__file__).parents[1] / "docs" / "json.md").read_text().partition("## `mailassay report --json`")[2]
    assert [key for key in got if f"`{key}`" not in said and f"`{key}[]`" not in said] == []
    assert (got["since"], got["until"]) == ("2026-11-17T00:00:00+01:00", "2026-11-24T11:30:00+01:00")
    assert got["times"][-1] == {"at_most": None, "messages": 1}
    assert got["percentiles"]["p50"] == {"at_most": 0.01}
    assert got["on_hold"] == {"messages": 3, "oldest": 90_000.5}
    assert list(got["verdicts"]) == list(Action)


@pytest.fixture
def at_hand(history, tmp_path, monkeypatch):
    """A configuration with that history, at that time, on a host whose Postfix holds a message."""
    folder = tmp_path / "tools"
    folder.mkdir()
    arrived = re.sub(b'"arrival_time": [0-9]+', b'"arrival_time": %d' % (NOW - 190_000), POSTQUEUE.splitlines()[0])
    (tmp_path / "queue").write_bytes(arrived + b"\n")
    (tmp_path / "file").write_bytes(printed_by_postcat(b"hold/4jWpw36fNkzL4ql", RESULTS + VERDICT + RECEIVED + b"\n"))
    script(folder, "postconf", f"echo {folder}")
    script(folder, "postqueue", f"/bin/cat {tmp_path}/queue")
    script(folder, "postcat", f"/bin/cat {tmp_path}/file")
    rules = "".join(
        f"  - {{name: {name}, if: {{client: 192.0.2.77}}, then: accept}}\n" for name in ("our-lists", "old-partner")
    )
    (tmp_path / "policy.yaml").write_text(f"mode: enforce\nrules:\n{rules}")
    (tmp_path / "config.yaml").write_text(
        f"authserv_id: mx.receiver.example\npolicy: policy.yaml\nhistory: {{directory: {tmp_path}}}\n"
    )
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.chdir(tmp_path)
    return history


def run(capsys, *given):
    status = main(["report", "--config", "config.yaml", *given])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_screen(at_hand, capsys):
    at_hand(*week(NOW), *(record(NOW - 2 * DAY, seconds=30.0) for _ in range(30)), "garbage")
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert out == screen("report", out)


def test_screen_of_one_day(at_hand, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    at_hand(*week(NOW))
    _, out, _ = run(capsys, "--since", "6h", "--host", "mx1")
    assert out == screen("report-hours", out)


def test_screen_of_nothing(at_hand, capsys, tmp_path):
    script(tmp_path / "tools", "postqueue", "echo postqueue: fatal: not allowed >&2; exit 69")
    at_hand()
    _, out, _ = run(capsys)
    assert out == screen("report-nothing", out)


def test_screen_of_reports(at_hand, sent, capsys, monkeypatch):
    """Also if no message came."""
    monkeypatch.setenv("COLUMNS", "80")
    at_hand()
    sent(sent_reports.some)
    _, out, _ = run(capsys)
    assert out == screen("report-dmarc", out)


def test_reports_in_json_and_on_the_page(at_hand, sent, capsys):
    at_hand(record(NOW))
    assert json.loads(run(capsys, "--json")[1])["dmarc_reports"] is None
    assert "DMARC reports" not in run(capsys, "--html", "-")[1]
    sent(sent_reports.some)
    got = json.loads(run(capsys, "--json")[1])["dmarc_reports"]
    assert (got["on"], got["since"], got["states"]["done"], got["suppressed"]) == (False, "2026-11-17", 4, 2)
    assert got["mails"]["sent"] == {"mails": 7, "reports": 4, "addresses": 2}
    assert got["dropped"] == {"not known": 12, "unauthorized": 1}
    assert got["first_suppressed"][0]["address"] == "asked@bank.example"
    html = run(capsys, "--html", "-")[1]
    assert "13 reports are sent to nobody" in checked(html).text
    # the hosts report as one
    assert json.loads(run(capsys, "--json", "--host", "mx1")[1])["dmarc_reports"] is None


def test_reports_are_on(at_hand, capsys, tmp_path):
    at_hand(record(NOW))
    with (tmp_path / "config.yaml").open("a") as config:
        config.write("reports: {from: dmarc-reports@receiver.example}\n")
    assert "0 reports were sent, to 0 addresses." in run(capsys)[1]


def test_commands(at_hand, capsys):
    at_hand(*week(NOW))
    status, out, _ = run(capsys, "--json", "--since", "2026-11-20")
    got = json.loads(out)
    assert (status, got["since"], got["on_hold"]) == (
        0,
        "2026-11-20T00:00:00+01:00",
        {"messages": 1, "oldest": 190_000},
    )
    assert got["unused_rules"] == [{"name": "rules.old-partner", "line": 4, "expired": False}]
    status, out, _ = run(capsys, "--html", "-")
    assert status == 0
    assert "2 d 4 h" in checked(out).text


def test_a_file(at_hand, capsys, tmp_path):
    at_hand(record(NOW))
    (tmp_path / "link").symlink_to("report.html")
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "report.html").chmod(0o640)
    before = sorted(each.name for each in tmp_path.iterdir())
    assert run(capsys, "--html", "link") == (0, "", f"written: {tmp_path}/report.html\n")
    assert "bank.example" not in checked((tmp_path / "report.html").read_text()).text
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 20)
    assert run(capsys, "--html", "pipe")[0] == 0
    assert os.read(reader, 15) == b"<!DOCTYPE html>"
    os.close(reader)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no/such/folder", "No such file or directory"),
        ("old.html", "File too large"),
        ("/dev/full", "No space left on device"),
    ],
)
def test_a_file_that_cannot_be_written(at_hand, capfd, tmp_path, monkeypatch, name, why):
    """What was there stays."""
    at_hand(record(NOW))
    (tmp_path / "old.html").write_text("old")
    monkeypatch.setenv("COLUMNS", "300")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def page_when_files_are_limited(_):
        # the database needs more
        resource.setrlimit(resource.RLIMIT_FSIZE, (9999, before[1]))
        return "<html>" * 9999

    monkeypatch.setattr("mailassay.report.page.page", page_when_files_are_limited)
    try:
        status, _, err = run(capfd, "--html", name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (status, err) == (os.EX_IOERR, f"mailassay: {tmp_path / name}: {why}\n")
    assert (tmp_path / "old.html").read_text() == "old"
    assert not list(tmp_path.glob(".mailassay*"))


@pytest.mark.usefixtures("at_hand")
def test_no_history(capsys, tmp_path):
    status, _, err = run(capsys)
    assert (status, "has no database yet" in err) == (os.EX_NOINPUT, True)
    (tmp_path / "history.sqlite").write_bytes(b"nonsense" * 1000)
    status, out, err = run(capsys)
    assert (status, out) == (os.EX_NOINPUT, "")
    assert "history.sqlite" in err
    (tmp_path / "config.yaml").write_text("authserv_id: mx.receiver.example\n")
    assert run(capsys)[0] == os.EX_CONFIG
    with pytest.raises(SystemExit):
        run(capsys, "--since", "soon")
    with pytest.raises(SystemExit):
        run(capsys, "--json", "--html", "x")


def test_in_a_browser(history, sent):
    """No error, nothing that is too wide for a telephone, and nothing that axe finds."""
    history(*week(NOW), *hostile())
    sent(sent_reports.some)
    for words in HOSTILE:
        sent(sent_reports.hostile, words)
    (history.folder / "report.html").write_text(page(found(history, on_hold=OnHold(3, 90_000))))
    with chromium() as browser:
        for width, scheme in ((1200, "light"), (380, "dark")):
            # axe is a script, which the page refuses
            options = {"color_scheme": scheme, "bypass_csp": True, "viewport": {"width": width, "height": 900}}
            watched = Watched(browser.new_page(**options), f"file://{history.folder}")
            opened = watched.go("/report.html")
            assert not watched.is_too_wide()
            by_axe = Axe().run(opened).response["violations"]
            assert [(one["id"], each["html"]) for one in by_axe for each in one["nodes"]] == []
            assert watched.said == []
        strict = Watched(browser.new_page(), f"file://{history.folder}")
        strict.go("/report.html")
        # by the style, whose hash the page allows
        assert strict.page.evaluate("getComputedStyle(document.body).maxWidth") == "960px"
        assert strict.said == []


@pytest.mark.xdist_group("postgresql")
def test_in_postgresql(history, postgresql, tmp_path):
    """The same figures."""
    records, url = [*week(NOW, 400), *hostile()], postgresql.url(postgresql.new())
    history(*records)
    history(*records, folder=tmp_path / "other", database=url)
    engine = database.connect(database.address("/", url), reads_only=True)
    for host in ("", "mx2"):
        with engine.connect() as connection:
            got = figures(connection, Settings(), Span.since(NOW - 7 * DAY, NOW), host)
        assert got == found(history, host=host)
    engine.dispose()
