"""The pages as people see them, in a real browser."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from mailassay.config import load
from tests.bench.history import records
from tests.lab import bank, sent_reports
from tests.lab.chromium import Watched, chromium, free, served
from tests.lab.evidence import evidence
from tests.lab.pages import Asked, fill

NOW = 1_800_000_000.0
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 380, "height": 800}
POLICY = """
rules:
  - {name: partner, comment: signed by our partner, if: {dkim_pass: partner.example}, then: accept}
  - {name: strict, monitor: true, if: {spf: [fail]}, then: reject}
  - {name: gone, expires: 2026-01-01, if: {helo: x.example}, then: hold}
"""
HOSTILE = "\u202e<script>alert(1)</script>" + "W" * 900


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "mailassay.yaml").write_text("policy: policy.yaml")
    settings = load(str(folder / "mailassay.yaml"))
    made = list(records(1, NOW, 7, 400))
    judged = next(each for each in reversed(made) if "evidence" in each)
    hostile = judged | dict.fromkeys(("helo", "mail_from", "queue_id", "rule", "reply", "reason"), HOSTILE)
    of_checks = hostile["evidence"] | evidence(header_from=f"{'w' * 200}.example", name=HOSTILE)

    def sent(connection):
        sent_reports.some(connection, NOW)
        sent_reports.hostile(connection, NOW, HOSTILE)

    fill(folder, [*made, hostile | {"evidence": of_checks, "recipients": [HOSTILE]}], sent=sent)
    policy = {"policy": settings.policy, "policy_path": settings.policy_path, "policy_lines": settings.policy_lines}
    with served(Asked(folder, NOW, bank.NAMES, **policy).pages, free()) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, address):
    """Opens pages; in the end, none may have complained."""
    contexts, watched = [], []

    def opened(**options):
        contexts.append(browser.new_context(**{"viewport": WIDE, **options}))
        watched.append(Watched(contexts[-1].new_page(), address))
        return watched[-1]

    yield opened
    for each in contexts:
        each.close()
    assert [said for each in watched for said in each.said] == []


PATHS = (
    "/", "/messages?verdict=reject&since=30d", "/messages?find=none", "/message/1", "/message/401",
    "/domain/bank.example?dns=now", "/rules", "/reports", "/report/1",
)  # fmt: skip
LONG = ("/?since=1d", "/messages")  # in which axe finds nothing else, and takes long
SCRIPTED = {"bypass_csp": True}  # axe is a script, which our pages refuse


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
def test_everybody_can_use_them(opened, viewport, scheme):
    """No violation that axe knows, nothing to scroll sideways, nothing on the console."""
    watched = opened(viewport=viewport, color_scheme=scheme, **SCRIPTED)
    for path in PATHS:
        page = watched.go(path)
        assert not watched.is_too_wide(), path
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0] < 128")
        assert dark is (scheme == "dark")
    for path in LONG:
        watched.go(path)
        assert not watched.is_too_wide(), path


def test_without_scripts(opened):
    """No page has one, and none needs one."""
    watched = opened(java_script_enabled=False)
    page = watched.go("/messages")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Verdict").select_option("reject")
    page.get_by_role("button", name="Show").click()
    assert (
        page.locator(".messages .verdict").all_inner_texts() == ["reject"] * page.locator(".messages tbody tr").count()
    )
    assert page.locator("script").count() == 0


def test_filters(opened):
    watched = opened()
    page = watched.go("/messages")
    every = page.locator(".messages tbody tr").count()
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("DMARC").select_option("fail")
    page.get_by_label("Since").fill("3d")
    page.get_by_role("button", name="Show").click()
    rows = page.locator(".messages tbody tr")
    assert 0 < rows.count() < every
    assert rows.count() == page.get_by_text("dmarc fail").count()
    # what was asked for is still there
    assert page.get_by_label("DMARC").input_value() == "fail"
    assert page.get_by_label("Since").input_value() == "3d"
    page.get_by_role("link", name="Show all").click()
    assert page.locator(".messages tbody tr").count() == every
    assert page.url.endswith("/messages")


def test_from_what_happened_to_why(opened):
    """Overview, messages of a rule, one of them, its domain, and back to its messages."""
    watched = opened()
    page = watched.go("/")
    page.locator("#rules ~ table").get_by_role("link", name="dmarc.reject").click()
    assert set(page.locator(".rule").all_inner_texts()) == {"dmarc.reject"}
    page.locator(".messages tbody tr").first.get_by_role("link").first.click()
    assert "/message/" in page.url
    said = page.locator("main").inner_text()
    assert "DMARC fail" in said
    assert "alignment" in said
    assert "Authentication-Results" in said
    page.locator(".lead").get_by_role("link").click()
    name = page.locator("h1 bdi").inner_text()
    assert page.url.endswith(f"/domain/{name}")
    page.get_by_role("link", name="Look it up").click()
    assert "does not exist" in page.locator("pre").inner_text()
    page.get_by_role("link", name="All its messages").click()
    assert set(page.locator(".who a").all_inner_texts()) == {name}


def test_find(opened):
    """The box on each page takes whatever a user gives to an administrator."""
    watched = opened()
    page = watched.go("/message/7")
    queue_id = page.locator("h1 bdi").inner_text()
    for path in ("/", "/rules", "/message/1"):
        page = watched.go(path)
        page.get_by_role("searchbox").fill(queue_id)
        page.get_by_role("button", name="Find").click()
        assert page.locator(".messages tbody tr").count() == 1
        page.locator(".messages tbody a").first.click()
        assert page.locator("h1 bdi").inner_text() == queue_id


def test_a_list_in_pages(opened):
    watched = opened()
    page = watched.go("/messages?dkim=pass")
    seen = []
    while True:
        seen += [each.get_attribute("href") for each in page.locator(".when a").all()]
        following = page.get_by_role("link", name="Older messages")
        if not following.count():
            break
        following.click()
    assert len(seen) == len(set(seen)) > 100


def test_span(opened):
    watched = opened()
    page = watched.go("/")
    week = page.locator(".key dd").first.inner_text()
    page.get_by_label("Since").select_option("1 day")
    page.get_by_label("Host").select_option("mx1")
    page.get_by_role("button", name="Show").click()
    assert page.locator(".key dd").first.inner_text() != week
    assert page.get_by_label("Since").input_value() == "1d"
    assert "mx1" in page.locator("main .soft").first.inner_text()


def test_rules(opened):
    page = opened().go("/rules")
    said = page.locator("#rules ~ table").inner_text()
    assert re.search(r"partner line 3\s+signed by our partner", said)
    assert "expired 2026-01-01" in said
    assert "monitored" in said


def test_reports(opened):
    """From the list to what a report says, and why others are sent to nobody."""
    watched = opened()
    page = watched.go("/")
    page.get_by_role("navigation").get_by_role("link", name="Reports").click()
    page.get_by_role("textbox", name="Domain").fill("bank.example")
    page.get_by_role("button", name="Show", exact=True).click()
    assert page.locator(".messages tbody tr").count() == 3
    page.locator(".messages .when a").first.click()
    assert "1,000 messages from 192.0.2.1: pass" in page.locator("pre").inner_text()
    page.get_by_role("link", name="Reports about this domain").click()
    page.get_by_role("textbox", name="Domain").fill("")
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("link", name="Show them").click()
    assert "spam1.example" in page.locator(".messages").inner_text()


def test_what_a_sender_wrote(opened):
    """Is shown as it is, and nothing else comes of it."""
    watched = opened()
    for path in ("/", "/messages", "/message/401"):
        page = watched.go(path)
        assert page.locator("script").count() == 0
    assert "[U+202E]<script>alert(1)</script>" in page.locator("main").inner_text()


def test_a_refusal_says_why(browser, address):
    page = browser.new_page()
    page.goto(f"{address}/messages?client=nonsense")
    assert "'nonsense' is not an IP address or a network" in page.locator("main").inner_text()
    page.goto(f"{address}/none")
    page.get_by_role("link", name="Overview").click()
    assert page.url == f"{address}/"
    page.close()
