"""The history as web pages: what is answered, and to whom."""

import json
import logging
import random
import re
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import closing, suppress
from html.parser import HTMLParser
from ipaddress import ip_address
from urllib.parse import quote, urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from mailassay.aggregate.mail import compose
from mailassay.config import ConfigError, Listen, Web, load
from mailassay.config.reports import Reports
from mailassay.store import FILE, outbox
from mailassay.store.outbox import Stage
from mailassay.store.packed import unpack
from mailassay.store.rows import Unfit, rows
from mailassay.terminal import visible
from mailassay.web import guard, query
from mailassay.web.app import Pages, Refused
from mailassay.web.settings import CurrentSettings
from mailassay.web.state import Known, State
from tests.bench.history import records
from tests.lab import bank, sent_reports
from tests.lab.evidence import evidence
from tests.lab.pages import Asked, fill
from tests.lab.reports import ROW, report

NOW = 1_800_000_000.0
TODAY = int(NOW) // outbox.DAY
HOSTILE = "a\u202e\x00\x1b[31m<script>alert(1)</script>\"'&%_\ud800é" + "x" * 10_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("history")
    fill(found, records(1, NOW, 7, 600))
    return found


@pytest.fixture(scope="module")
def asked(folder):
    return Asked(folder, NOW)


class Links(HTMLParser):
    """The addresses to which a page leads, and its elements."""

    def __init__(self, answer, url):
        super().__init__()
        self.base, self.found, self.tags, self.attributes = url, [], [], []
        self.feed(answer.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.append(name)
            if name in ("href", "action"):
                self.found.append(urljoin(self.base, value))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/messages", "/message/1", "/healthz", "/style.css", "/icon.svg"])
def test_pages(asked, path, method):
    answer = asked.get(path, method)
    assert answer.status == 200
    assert (not answer.body) == (method == "HEAD")
    assert int(answer.headers["Content-Length"]) == len(asked.get(path).body)
    for name, value in guard.HEADERS:
        assert answer.headers[name] == value
    assert "Set-Cookie" not in answer.headers
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_nothing_can_be_written(asked, method):
    answer = asked.get("/messages", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


OURS = [
    "localhost", "localhost:8028", "LOCALHOST.", "127.0.0.1", "127.0.0.1:80", "[::1]:8028", "192.0.2.1",
    "mx1.example.org", "MX1.example.org:443",
]  # fmt: skip
OTHERS = [
    None, "", "attacker.example", "localhost.attacker.example", "localhost@attacker.example", "127.0.0.1.nip.example",
    "127.0.0.1 attacker.example", "localhost\tx", "mx2.example.org", "[::1", "0x7f.1", "localhost:8028:1", "é",
    "[fe80::1%lo]",
]  # fmt: skip


@pytest.mark.parametrize(("host", "status"), [*((host, 200) for host in OURS), *((host, 421) for host in OTHERS)])
def test_the_host_is_one_of_ours(folder, host, status):
    """Otherwise the page of a stranger could read the history: it would make its own name lead to us."""
    asked = Asked(folder, NOW, web=Web(hosts=("mx1.example.org",)))
    answer = asked.get("/messages", host=host)
    assert answer.status == status
    if status == 421:
        assert "web.hosts" in answer.text
        assert "message/" not in answer.text


@pytest.mark.parametrize(
    ("site", "mode", "dest", "status"),
    [
        ("none", "navigate", "document", 200),
        ("same-origin", "no-cors", "image", 200),
        ("cross-site", "navigate", "document", 200),
        ("cross-site", "no-cors", "image", 403),
        ("cross-site", "cors", "empty", 403),
        ("cross-site", "navigate", "iframe", 403),
        ("same-site", "no-cors", "script", 403),
        ("same-site", "navigate", "object", 403),
        ("of a later browser", "no-cors", "image", 403),
    ],
)
def test_a_page_of_another_site_can_only_link(asked, monkeypatch, site, mode, dest, status):
    """As an image, or by leading its visitor here, it would make the host ask DNS about a name of its choice."""
    names = []
    monkeypatch.setattr(Pages, "_dns", lambda _, name: names.append(name) or [])
    fields = {"sec_fetch_site": site, "sec_fetch_mode": mode, "sec_fetch_dest": dest}
    answer = asked.get("/domain/bank.example?dns=1", **fields)
    assert answer.status == status
    assert ("another site" in answer.text) is (status == 403)
    assert names == (["bank.example"] if site in ("none", "same-origin") else [])


BAD = [
    "/messages?since=nonsense", "/messages?until=99999999-99-99", "/messages?client=1.2.3",
    "/messages?client=1.2.3.4/33", "/messages?verdict=maybe", "/messages?would=maybe", "/messages?before=1",
    "/messages?signing=maybe", "/messages?dkim=signed",
    "/messages?dkim=maybe", "/messages?author=.", "/messages?recipient=..", "/domain/...",
    "/messages?before=1-2-3", "/messages?unknown=1", "/messages?author=a&author=b", "/messages?author=%00",
    "/messages?author=%FF", "/messages?author=%E2%80%AE", "/messages?x",
    "/messages?" + "author=x&" * 2000, "/messages?author=" + "x" * 2000, "/?x=1", "/healthz?x=1", "/message/1?x=1",
    "/reports?since=nonsense", "/reports?domain=..", "/reports?domain=%3Cscript%3E", "/reports?domain=a%20b",
    "/reports?domain=" + "x" * 300, "/reports?domain=%E2%80%AE", "/reports?state=maybe",
    "/reports?state=open&state=done", "/reports?x=1", "/report/1?x=1",
    "/messages?since=%40" + "9" * 900, "/messages?since=" + "9" * 900 + "d",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD)
def test_a_mistake_in_what_is_asked(asked, url):
    assert asked.get(url).status == 400


@pytest.mark.parametrize(
    "path",
    ["/x", "//", "/message/", "/message/x", "/message/1/", "/message/-1", f"/message/{'9' * 18}",
     f"/message/{'9' * 40}", "/report/", "/report/x", f"/report/{'9' * 18}", f"/report/{'9' * 40}",
     "/style.css/", "/../etc/passwd", "/templates/base.html"],
)  # fmt: skip
def test_what_is_not_there(asked, path):
    assert asked.get(path).status == 404


ANY = st.text(st.characters(codec="latin-1"), max_size=60)
NAMES = {
    "/": ("since", "host"), "/rules": ("since",), "/domain/x": ("since", "dns"), "/message/1": ("x",),
    "/reports": ("since", "domain", "state"), "/report/1": ("x",),
    "/messages": ("find", "since", "until", "author", "client", "recipient", "verdict", "rule", "dkim", "before"),
}  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=30).filter(lambda text: not any("\ud800" <= mark <= "\udfff" for mark in text)).map(quote),
    st.sampled_from(
        ["1d", "2026-11-28", "192.0.2.0/24", "::/0", "fail", "reject", "%25", "_", "@", "<x@y>", "1-2", "%2540"]
    ),
    ANY,
)


def queries(names):
    pairs = st.tuples(st.sampled_from((*names, "x")), VALUES).map("=".join)
    return st.one_of(ANY, st.lists(pairs, max_size=4).map("&".join))


URLS = st.one_of(
    st.sampled_from(sorted(NAMES)).flatmap(lambda path: queries(NAMES[path]).map(lambda query: f"{path}?{query}")),
    ANY.map(lambda path: f"/{path.replace('?', '')}"),
)


@given(URLS)
def test_whatever_is_asked_is_answered(asked, url):
    answer = asked.get(url)
    # there is no collector, and so there are no metrics
    assert answer.status in (200, 400, 404) or (answer.status, url) == (503, "/metrics")
    assert "Traceback" not in answer.text
    Links(answer, "http://localhost/")


def filtered(asked, url):
    answer = asked.get(url)
    assert answer.status == 200
    body = answer.text.partition("<tbody>")[2]
    return re.findall(r"<tr.*?</tr>", body, re.DOTALL)


@pytest.mark.parametrize(
    ("wanted", "in_each"),
    [
        ("verdict=reject", 'v-reject"'),
        ("would=reject", "reject"),
        ("dmarc=fail", "dmarc <b>fail"),
        ("spf=pass&dkim=pass", "spf <b>pass"),
        ("rule=dmarc.reject", "dmarc.reject"),
        ("client=10.0.0.0/8", "10."),
        ("recipient=receiver.example", "@<wbr>receiver"),
        ("since=1d", "/2027-01-1[45]"),
        ("until=2027-01-10", "2027-01-0"),
        ("signing=signed", ">signed<"),
        ("signing=unsigned", ">unsigned: (domain|envelope)<"),
        ("signing=unsigned:envelope", ">unsigned: envelope<"),
        ("signing=unsigned&rule=authenticated&since=7d", ">unsigned: "),
    ],
)
def test_filters(asked, wanted, in_each):
    found = filtered(asked, f"/messages?{wanted}")
    assert found
    assert all(re.search(in_each.lstrip("/"), each) for each in found)


@pytest.mark.parametrize(
    ("asked_for", "twice"),
    [("find=bank.example&author=shop.example", "author"), ("find=192.0.2.1&client=198.51.100.7", "client")],
)
def test_find_is_not_overruled_by_a_filter(asked, asked_for, twice):
    answer = asked.get(f"/messages?{asked_for}")
    assert answer.status == 400
    assert f"find and {twice}: " in answer.text


@pytest.mark.parametrize("of", ["queue_id", "message_id", "author", "recipient", "client"])
def test_find(asked, folder, of):
    """What an administrator is given by a user."""
    with closing(sqlite3.connect(folder / FILE)) as file, file:
        select = "SELECT id, queue_id, message_id, author, client, record FROM message WHERE author != '' LIMIT 1"
        number, queue_id, message_id, author, client, record = file.execute(select).fetchone()
    [recipient] = unpack(record)["recipients"]
    file.close()
    values = {
        "queue_id": queue_id,
        "message_id": message_id,
        "author": author,
        "client": client,
        "recipient": recipient,
    }
    found = filtered(asked, f"/messages?find={quote(values[of])}")
    numbers = [int(re.search("message/([0-9]+)", each)[1]) for each in found]
    assert number in numbers or len(numbers) == 50
    if of in ("queue_id", "message_id"):
        assert numbers == [number]


def walked(asked, url):
    """The numbers of the messages on all pages of a list, and how many pages it has."""
    seen, pages = [], 0
    while url:
        answer = asked.get(url)
        seen += re.findall('href="./message/([0-9]+)"', answer.text)
        following = re.search('rel="next" href="./([^"]+)"', answer.text)
        url = following and f"/{following[1].replace('&amp;', '&')}"
        pages += 1
    return seen, pages


def test_pages_of_a_list(asked, folder):
    with closing(sqlite3.connect(folder / FILE)) as file, file:
        [many] = file.execute("SELECT count(*) FROM message WHERE dkim = 'pass'").fetchone()
    file.close()
    seen, pages = walked(asked, "/messages?dkim=pass")
    assert len(seen) == len(set(seen)) == many
    assert pages == -(-many // 50)


def test_pages_of_a_list_with_one_time(tmp_path):
    fill(tmp_path, [each | {"time": NOW} for each in records(2, NOW, 1, 120)])
    seen, pages = walked(Asked(tmp_path, NOW), "/messages")
    assert (len(seen), len(set(seen)), pages) == (120, 120, 3)


@pytest.fixture(scope="module")
def reporting(tmp_path_factory):
    """The pages of a host that sent DMARC reports."""
    found = tmp_path_factory.mktemp("reports")
    fill(found, records(1, NOW, 7, 50), sent=lambda connection: sent_reports.some(connection, NOW))
    return Asked(found, NOW, reports=Reports(sender="dmarc@reports.example"))


def listed(text):
    return [each for each in re.findall(r"<tr.*?</tr>", text, re.DOTALL) if 'class="when"' in each]


class TestReports:
    """What was sent to domain owners."""

    def test_what_became_of_each(self, reporting):
        text = reporting.get("/reports").text
        assert "4 reports were sent, to 2 addresses." in text
        assert "13 reports are sent to nobody" in text
        assert "returned 20" in text
        assert "550 5.1.1 no such user" in text
        assert "asked by mail" in text
        assert "spam1.example" not in text
        rows = listed(text)
        assert ["late.example" in each for each in rows] == [False, True, False, False, False, False]
        assert "not made yet" in rows[1]

    @pytest.mark.parametrize(
        ("asked_for", "count", "in_each"),
        [
            ("domain=bank.example", 3, "collector"),
            ("domain=BANK.example.&since=1d", 1, "bank"),
            ("domain=spam1.example", 1, "neither accepted mail"),
            ("state=dropped", 13, "sent to nobody"),
            ("state=pending", 1, "late"),
            ("state=composed", 1, "slow"),
            ("domain=spam1.example&state=done", 0, ""),
            ("domain=other", 0, ""),
        ],
    )
    def test_filters(self, reporting, asked_for, count, in_each):
        text = reporting.get(f"/reports?{asked_for}").text
        rows = listed(text)
        assert len(rows) == count
        assert all(in_each in each for each in rows)
        assert ("There is no such report" in text) == (not count)
        assert ("4 reports were sent" in text) == ("domain" not in asked_for)

    def test_one(self, reporting):
        [link] = re.findall("report/[0-9]+", reporting.get("/reports?domain=bank.example&since=1d").text)
        answer = reporting.get(f"/{link}")
        assert answer.status == 200
        assert "1,000 messages from 192.0.2.1: pass" in answer.text
        assert "dmarc@bank.example" in answer.text
        assert Links(answer, "http://localhost/report/1").tags.count("pre") == 1

    def test_one_without_a_mail(self, reporting):
        for state, words in (("pending", "It is not made yet"), ("dropped", "Its mail is not kept, or never was made")):
            link = re.findall("report/[0-9]+", reporting.get(f"/reports?state={state}").text)[0]
            assert words in reporting.get(f"/{link}").text

    def test_one_about_a_failure(self, tmp_path):
        """Its mail has header fields of a message, and is not shown."""

        def sent(connection):
            number = outbox.add(connection, "failure", TODAY, "bank.example", "key", NOW, 1)
            outbox.compose(connection, number, "id", b"Subject: secret", [("d@bank.example", "t", NOW)], NOW)

        fill(tmp_path, [], sent=sent)
        asked = Asked(tmp_path, NOW)
        text = asked.get("/report/1").text
        assert "failure report about" in text
        assert "d@bank.example" in text
        assert "Only aggregate reports are shown here." in text
        assert "secret" not in text
        assert "failure report</small>" in asked.get("/reports").text

    def test_one_that_is_damaged(self, tmp_path):
        stages = {"d@bank.example": Stage.SENT}

        def sent(connection):
            for body in (b"", b"nonsense", sent_reports.MAIL[:-100]):
                sent_reports.add(connection, f"b{len(body)}.example", NOW, TODAY - 1, stages, body=body)

        fill(tmp_path, [], sent=sent)
        asked = Asked(tmp_path, NOW)
        for number in (1, 2, 3):
            answer = asked.get(f"/report/{number}")
            assert (answer.status, "it cannot be read" in answer.text) == (200, True)

    def test_a_long_one(self, tmp_path):
        """The page ends somewhere."""
        mail = compose(report(*(ROW._replace(envelope_from=f"a{n}.example") for n in range(2000))), NOW)
        fill(tmp_path, [], sent=lambda each: sent_reports.add(each, "bank.example", NOW, TODAY - 1, body=mail))
        answer = Asked(tmp_path, NOW).get("/report/1")
        assert (answer.status, "This is the beginning" in answer.text) == (200, True)
        assert len(answer.body) < 400_000

    def test_of_a_domain(self, reporting):
        """Also if its record is above it."""
        for name, count in (("bank.example", 3), ("a.mail.bank.example", 3), ("spam1.example", 1), ("example", 0)):
            text = reporting.get(f"/domain/{name}").text
            assert ("DMARC reports about it" in text) == bool(count)
            assert len(re.findall('href="../report/[0-9]+"', text)) == count

    def test_links(self, reporting):
        for url in ("/", "/reports", "/reports?state=dropped", "/report/1", "/domain/bank.example"):
            for link in set(Links(reporting.get(url), f"http://localhost{url}").found):
                assert reporting.get(link.removeprefix("http://localhost")).status == 200, link

    def test_many(self, tmp_path):
        """A page shows some of them, and says so."""

        def sent(connection):
            for number in range(150):
                sent_reports.add(connection, f"d{number}.example", NOW, TODAY - 1, why="not known")
                outbox.suppress(connection, f"a{number}@x.example", None, "asked")

        fill(tmp_path, [], sent=sent)
        text = Asked(tmp_path, NOW).get("/reports?state=dropped").text
        assert "These are the newest 100" in text
        assert len(re.findall('class="when"', text)) == 100
        assert "150 addresses get none now, of which these are the first" in text
        assert text.count("@x.example") == 100

    def test_pages_lead_to_them_if_there_are_any(self, asked, reporting, tmp_path):
        leads = '<a href="./reports"'
        assert leads in reporting.get("/messages").text
        assert leads not in asked.get("/messages").text
        assert "DMARC reports" not in asked.get("/").text
        on = Asked(tmp_path, NOW, reports=Reports(sender="dmarc@reports.example"))
        fill(tmp_path, [])
        assert leads in on.get("/messages").text
        assert "0 reports were sent" in on.get("/reports").text
        off = Asked(tmp_path, NOW)
        assert off.get("/reports").status == 200
        assert leads not in off.get("/rules").text
        # also in what was sent before they were turned off
        fill(tmp_path, [], sent=lambda connection: sent_reports.add(connection, "x", NOW, TODAY - 9, why="expired"))
        assert leads in off.get("/rules").text


def test_every_link_leads_somewhere(asked):
    """Within the pages, and wherever a web server in front puts them."""
    for url in ("/", "/messages?verdict=reject", "/message/1"):
        links = Links(asked.get(url), f"http://localhost{url}").found
        assert links
        for link in set(links[:40]):
            assert link.startswith("http://localhost/")
            assert asked.get(link.removeprefix("http://localhost")).status == 200, link
        moved = Links(asked.get(url), f"https://mx1.example.org/mailassay{url}").found
        assert all(link.startswith("https://mx1.example.org/mailassay/") for link in moved)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    found = tmp_path_factory.mktemp("hostile")
    [one] = records(3, NOW, 1, 1)
    signature = {"result": HOSTILE, "domain": HOSTILE}
    of_checks = one["evidence"] | evidence(header_from=HOSTILE, name=HOSTILE, dkim=[signature])
    words = dict.fromkeys(("helo", "mail_from", "queue_id", "message_id", "client", "rule", "reason", "reply"), HOSTILE)
    fill(
        found,
        [
            one | words | {"evidence": of_checks, "recipients": [HOSTILE], "added": [[HOSTILE, HOSTILE]]},
            {**one, "evidence": None},
        ],
        sent=lambda connection: sent_reports.hostile(connection, NOW, HOSTILE),
    )
    return Asked(found, NOW)


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "/messages",
        "/message/1",
        "/message/2",
        "/messages?author=%3Cscript%3E",
        "/rules",
        "/reports",
        "/reports?state=dropped",
        "/report/1",
        "/report/2",
    ],
)
def test_what_a_sender_wrote_is_only_shown(hostile, url):
    answer = hostile.get(url)
    assert answer.status == 200
    assert not {"\u202e", "\x00", "\x1b", "\ud800"} & set(answer.text)
    links = Links(answer, "http://localhost/")
    assert "script" not in links.tags
    assert not [name for name in links.attributes if name.startswith("on") or name == "style"]
    if "message" in url or "report" in url:
        assert "[U+202E]" in answer.text or "author" in url or url == "/message/2"


@given(st.text())
def test_what_cannot_be_seen_is_named(text):
    found = visible(text)
    assert found.isprintable()
    assert len(text) == len(re.sub(r"\[U\+[0-9A-F]{4,6}\]", "x", found)) or "[U+" in text


class TestHealth:
    """Whether the collector moves records."""

    def test_until_it_says_something(self, folder):
        asked = Asked(folder, NOW)
        asked.known = asked.pages._known = Known()
        assert (asked.get("/healthz").status, asked.get("/healthz").text) == (
            503,
            "the collector has only just started\n",
        )

    def test_it_is_in_trouble(self, folder):
        asked = Asked(folder, NOW)
        assert (asked.get("/healthz").status, asked.get("/healthz").text) == (200, "ok\n")
        asked.known.learn(State("database or disk is full"))
        assert (asked.get("/healthz").status, asked.get("/healthz").text) == (503, "database or disk is full\n")

    def test_it_is_silent(self):
        now = 0.0
        known = Known(lambda: now)
        known.learn(State())
        now = 61.0
        assert known.trouble() == "the collector has been stuck for 61 seconds"


class TestBounds:
    """No page reads for long, and not too many read at once."""

    def test_too_long(self, folder, monkeypatch):
        monkeypatch.setattr("mailassay.web.app._SECONDS", 0.0)
        monkeypatch.setattr("mailassay.store.database._STEPS", 10)
        answer = Asked(folder, NOW).get("/messages?recipient=nobody.example")
        assert answer.status == 503
        assert "Ask for a shorter time" in answer.text

    def test_too_many_at_once(self, folder):
        asked = Asked(folder, NOW)
        inside, leave = threading.Semaphore(0), threading.Event()

        def slow():
            with asked.pages._reading():
                inside.release()
                leave.wait()

        threads = [threading.Thread(target=slow) for _ in range(4)]
        for each in threads:
            each.start()
            inside.acquire()
        try:
            answer = asked.get("/messages")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert asked.get("/healthz").status == 200
        finally:
            leave.set()
            for each in threads:
                each.join()
        assert asked.get("/messages").status == 200

    @pytest.mark.parametrize("page", ["/", "/domain/bank.example", "/rules"])
    def test_days(self, asked, page):
        """No page starts before the history."""
        assert "15 December 2026 00:00 to 15 January 2027" in asked.get(f"{page}?since=9999d").text
        assert asked.get(f"{page}?since=tomorrow").status == 200

    def test_rows(self, asked):
        assert len(filtered(asked, "/messages")) == 50


def test_a_history_that_cannot_be_read(tmp_path, caplog):
    """Says why, and writes nothing."""
    asked = Asked(tmp_path / "none", NOW)
    answer = asked.get("/messages")
    assert answer.status == 503
    assert "cannot be read now" in answer.text
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / FILE).write_bytes(b"nonsense" * 1000)
    answer = Asked(tmp_path / "x", NOW).get("/messages")
    assert answer.status == 503
    assert "file is not a database" in answer.text
    assert "Traceback" not in caplog.text


def test_a_bug_is_logged_and_not_shown(folder, monkeypatch, caplog):
    asked = Asked(folder, NOW)
    monkeypatch.setattr("mailassay.web.app.row", None)
    with caplog.at_level(logging.ERROR):
        answer = asked.get("/messages")
    assert (answer.status, answer.text) == (500, "This page cannot be shown; the log says why.\n")
    assert "TypeError" in caplog.text


def test_the_pages_cannot_write(asked):
    with asked.pages._engine.connect() as connection, pytest.raises(DBAPIError, match="readonly"):
        connection.exec_driver_sql("DELETE FROM message")


def configured(tmp_path, text):
    path = tmp_path / "mailassay.yaml"
    path.write_text(text)
    return load(str(path)).web


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen: null", Web()),
        ("listen: 127.0.0.1:8028", Web(Listen("inet", host="127.0.0.1", port=8028))),
        ("listen: 127.9.9.9:1", Web(Listen("inet", host="127.9.9.9", port=1))),
        ("listen: '[::1]:8028'", Web(Listen("inet6", host="::1", port=8028))),
        ("listen: unix:/run/x/y.sock", Web(Listen("unix", path="/run/x/y.sock"))),
        ("{listen: '0.0.0.0:80', allow_remote: true}", Web(Listen("inet", host="0.0.0.0", port=80), allow_remote=True)),
        ("hosts: [MX1.example.org, mx]", Web(hosts=("mx1.example.org", "mx"))),
    ],
)
def test_where_the_pages_are(tmp_path, text, expected):
    assert configured(tmp_path, f"web: {text}" if text.startswith("{") else f"web:\n  {text}\n") == expected


def test_an_ipv4_mapped_loopback_address(tmp_path):
    """Only some versions of Python say that it is a loopback address, and they write it in two ways."""
    found = configured(tmp_path, "web:\n  listen: '[::ffff:127.0.0.1]:1'\n").listen
    assert ip_address(found.host) == ip_address("::ffff:127.0.0.1")


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "[::]", "[2001:db8::1]", "[::ffff:192.0.2.1]"])
def test_an_address_that_others_can_reach_needs_a_word(tmp_path, address):
    with pytest.raises(
        ConfigError, match=r"mailassay\.yaml:2:3: web: other machines can reach .* `allow_remote: true`"
    ):
        configured(tmp_path, f"web:\n  listen: '{address}:8028'\n")


@pytest.mark.parametrize(
    "text",
    ["8028", "localhost:8028", "127.0.0.1", "::1", "127.0.0.1:0", "127.0.0.1:99999", "unix:x", "http://127.0.0.1:1",
     "[127.0.0.1]", "1.2.3.4:5:6", f"unix:/{'x' * 200}"],
)  # fmt: skip
def test_an_address_that_is_none(tmp_path, text):
    with pytest.raises(ConfigError, match=r"mailassay\.yaml:2:11: web\.listen: "):
        configured(tmp_path, f"web:\n  listen: '{text}'\n")


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_any_host(text):
    guard.is_our_host(text, ())


@given(queries(NAMES["/messages"]))
def test_any_query(text):
    with suppress(query.BadQuery):
        assert query.messages(text, NOW).filters


class TestDomain:
    """What the history has of an author domain, and what DNS says about it."""

    def test_figures(self, folder, asked):
        with closing(sqlite3.connect(folder / FILE)) as file, file:
            author, many = file.execute(
                "SELECT author, count(*) FROM message WHERE author != '' GROUP BY author ORDER BY 2 DESC"
            ).fetchone()
        file.close()
        said = " ".join(re.sub("<[^>]*>", " ", asked.get(f"/domain/{author.upper()}?since=30d").text).split())
        assert f"messages {many} " in said
        assert f"Of its latest {many} messages" in said

    def test_dns_is_asked_on_request_only(self, folder):
        asked = Asked(folder, NOW, bank.NAMES)
        assert "Look it up" in asked.get("/domain/bank.example").text
        said = asked.get("/domain/bank.example?dns=now").text
        assert "v=DMARC1; p=reject" in said
        assert asked.get(f"/domain/{'x' * 64}?dns=now").status == 400
        assert asked.get("/domain/x..y?dns=now").status == 400

    def test_one_lookup_at_a_time(self, folder):
        asked = Asked(folder, NOW, bank.NAMES)
        with asked.pages._lookups:
            answer = asked.get("/domain/bank.example?dns=now")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        assert asked.get("/domain/bank.example?dns=now").status == 200

    def test_dns_that_never_answers(self, folder, monkeypatch):
        monkeypatch.setattr("mailassay.web.app._SECONDS", 0.01)
        asked = Asked(folder, NOW)
        monkeypatch.setattr(asked.pages, "_source", lambda: lambda _: Future())
        assert "No answer to" in asked.get("/domain/bank.example?dns=now").text


class TestCurrentSettings:
    """The configuration may change while the collector runs."""

    def test_it_is_read_again(self, tmp_path):
        path, policy = tmp_path / "mailassay.yaml", tmp_path / "policy.yaml"
        policy.write_text("mode: monitor")
        path.write_text("policy: policy.yaml")
        reads = []

        def again():
            reads.append(1)
            return load(str(path))

        current = CurrentSettings(load(str(path)), again, str(path))
        assert current.settings().policy.mode == "monitor"
        assert not reads
        policy.write_text("mode: enforce\n")
        assert current.settings().policy.mode == "enforce"
        policy.write_text("mode: nonsense")
        assert current.settings().policy.mode == "enforce"
        policy.unlink()
        assert current.settings().policy.mode == "enforce"
        policy.write_text("mode: monitor\n\n")
        assert current.settings().policy.mode == "monitor"
        assert current.settings().policy.mode == "monitor"
        assert len(reads) == 4


def test_what_a_newer_version_recorded(tmp_path):
    """Is still in the list, and says that it cannot be read."""
    [one] = records(3, NOW, 1, 1)
    fill(tmp_path, [one | {"evidence": one["evidence"] | {"vouched": 7}}])
    asked = Asked(tmp_path, NOW)
    assert len(filtered(asked, "/messages")) == 1
    assert "is not one that this version can read" in asked.get("/message/1").text


@pytest.mark.xdist_group("postgresql")
def test_on_postgresql(postgresql, tmp_path, monkeypatch):
    """The same pages, and the same bounds."""
    url = postgresql.url(postgresql.new())
    fill(tmp_path, [each | {"time": NOW} for each in records(2, NOW, 1, 120)], url)
    asked = Asked(tmp_path, NOW, url=url)
    for path in ("/", "/messages?spf=fail", "/message/1", "/domain/x.example", "/rules"):
        assert asked.get(path).status == 200, path
    seen, pages = walked(asked, "/messages")
    assert (len(seen), len(set(seen)), pages) == (120, 120, 3)
    with pytest.raises(DBAPIError, match="read-only"), asked.pages._engine.connect() as connection:
        connection.exec_driver_sql("DELETE FROM message")
    monkeypatch.setattr("mailassay.web.app._SECONDS", 0.05)
    slow = Asked(tmp_path, NOW, url=url)
    with pytest.raises(Refused, match="took longer"), slow.pages._reading() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(60)")


JUNK = [None, 7, -1, 1e300, "", "\u202e\ud800", [], {}, ["x"], {"x": 1}, True, "2" * 5000, {"result": "pass"}]


def changed(record, chance):
    """The record with another value somewhere in it, or without it."""
    found = node = json.loads(json.dumps(record))
    while True:
        key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if isinstance(node[key], dict | list) and node[key] and chance.random() < 0.75:
            node = node[key]
        elif isinstance(node, dict) and chance.random() < 0.2:
            del node[key]
            return found
        else:
            node[key] = chance.choice(JUNK)
            return found


def fits(record):
    with suppress(Unfit):
        return rows(record, b"")


@settings(max_examples=5)
@given(st.integers(0, 1 << 32))
def test_whatever_is_recorded_is_shown(tmp_path_factory, seed):
    """A record that the collector takes may be one of another version, or damaged."""
    chance, whole = random.Random(seed), list(records(3, NOW, 1, 20))
    made = [changed(chance.choice(whole), chance) for _ in range(80)]
    folder = tmp_path_factory.mktemp("changed")
    fill(folder, filter(fits, made))
    asked = Asked(folder, NOW)
    numbers, _ = walked(asked, "/messages")
    assert numbers
    for url in ("/", "/rules", *(f"/message/{number}" for number in numbers)):
        assert asked.get(url).status == 200, url
