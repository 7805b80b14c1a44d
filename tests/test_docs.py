"""What the documentation says is so: each example is loaded, and its effect seen."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from mailassay.config import Settings, load, load_policy, schema
from mailassay.history.record import Judged, record
from mailassay.judge.outcome import Outcome
from mailassay.message import split
from mailassay.policy import Policy
from mailassay.store import FILE
from mailassay.zone import Zone
from tests.lab.editor import mistakes
from tests.lab.limits import LIMITS
from tests.lab.pages import fill
from tests.lab.sign import arc_set, ed25519_key
from tests.lab.talk import Talk

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
KEY = ed25519_key()
ZONE = Zone(
    f"""
    1.2.0.192.in-addr.arpa         PTR  mail.bank.example
    mail.bank.example              A    192.0.2.1
    mail.bank.example              TXT  "v=spf1 a -all"
    bank.example                   TXT  "v=spf1 ip4:192.0.2.1 -all"
    bank.example                   MX   10 mail.bank.example
    _dmarc.bank.example            TXT  "v=DMARC1; p=reject; np=quarantine"
    news.bank.example              -
    _dmarc.partner.example         TXT  "v=DMARC1; p=reject"
    _dmarc.broken.example          TXT  "v=DMARC1; p=reject"
    _dmarc.shop.example            TXT  "v=DMARC1; p=quarantine; sp=none"
    news.shop.example              -
    _dmarc.example.com             TXT  "v=DMARC1; p=none"
    _dmarc.down.bank.example       TXT  !
    66.113.0.203.in-addr.arpa      PTR  out.relay.example
    out.relay.example              A    203.0.113.66
    out.relay.example              TXT  "v=spf1 a -all"
    relay.example                  TXT  "v=spf1 a:out.relay.example -all"
    mailer.example                 TXT  "v=spf1 ip4:203.0.113.66 -all"
    lists.example                  TXT  "v=spf1 ip4:203.0.113.66 -all"
    lists.example                  A    203.0.113.66
    ed._domainkey.mailer.example   TXT  "{KEY.record}"
    arc._domainkey.lists.example   TXT  "{KEY.record}"
    arc._domainkey.evil.example    TXT  "{KEY.record}"
    67.113.0.203.in-addr.arpa      PTR  mx1.filter.example
    mx1.filter.example             A    203.0.113.67
    null.example                   MX   0 .
    """,
    limits=LIMITS,
)
BANK, RELAY, FILTER, NAMELESS, PARTNER = "192.0.2.1", "203.0.113.66", "203.0.113.67", "198.51.100.1", "192.0.2.5"
SPRING = datetime(2027, 3, 1, 12, tzinfo=UTC).timestamp()
LAST_DAY = datetime(2027, 3, 31, 23, tzinfo=UTC).timestamp()
TOO_LATE = datetime(2027, 4, 1, 1, tzinfo=UTC).timestamp()


def judge(policy: Any, **more: Any) -> Outcome:
    """What becomes of a message; by default one that fails DMARC of bank.example, which asks to reject."""
    client, helo = more.get("client", RELAY), more.get("helo", "out.relay.example")
    # the secret decides which messages are in a sample
    talk = Talk(ZONE, policy, client=client, helo=helo, now=more.get("now", SPRING), secret=b"of a test")
    return talk.message(
        author=more.get("author", "ann@bank.example"),
        fields=more.get("fields", []),
        mail_from=more.get("mail_from", "ann@relay.example"),
        recipients=more.get("to", ["bob@example.org"]),
    )


def on_top(signed: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a message but From."""
    headers, _ = split(signed)
    return [(field.name, field.value) for field in headers if field.name != b"From"]


def signed(author: str, domain: str) -> list[tuple[bytes, bytes]]:
    return on_top(KEY.sign(b"From: %b\r\n\r\nx\r\n" % author.encode(), domain, "ed"))


def sealed(by: str, found: bytes = b"dmarc=pass header.from=bank.example") -> list[tuple[bytes, bytes]]:
    plain = b"From: ann@bank.example\r\n\r\nx\r\n"
    return on_top(arc_set(plain, 1, by, KEY, results=b" i=1; mx.%b; %b" % (by.encode(), found)))


def blocks(name: str) -> Iterator[tuple[str, str]]:
    """Heading and text of each fenced YAML block."""
    for section in re.split("^## ", (DOCS / name).read_text(), flags=re.MULTILINE)[1:]:
        for block in re.findall(r"^```yaml\n(.*?)^```$", section, re.DOTALL | re.MULTILINE):
            yield section.partition("\n")[0], block


EXAMPLES = dict(blocks("cookbook.md"))
GOOD = {"client": BANK, "mail_from": "ann@bank.example"}
PARTNERS = {"author": "ann@news.partner.example"}
ON_LIST = [(b"List-Id", b" <a.lists.example>")]
STRANGER = {"author": "ann@new.example", "mail_from": "ann@new.example", "client": NAMELESS, "helo": "x"}

# for each example: how messages differ from the one that fails, the action, and the setting that decided
EFFECTS: dict[str, list[tuple[dict[str, Any], str, str]]] = {
    "Watch first": [({}, "accept", "dmarc.reject"), (GOOD, "accept", "default")],
    "Enforce in steps": [
        ({"fields": [(b"Message-ID", b" <8@bank.example>")]}, "accept", "dmarc.reject"),
        ({"fields": [(b"Message-ID", b" <9@bank.example>")]}, "reject", "dmarc.reject"),
    ],
    "Reject only with other knowledge": [
        ({}, "hold", "dmarc.reject_needs"),
        ({"mail_from": "ann@bank.example"}, "reject", "dmarc.reject"),
        ({"mail_from": "ann@new.example"}, "hold", "dmarc.reject_needs"),
        ({"mail_from": "ann@new.example", "client": NAMELESS}, "reject", "dmarc.reject"),
    ],
    "Your own domains, before they publish p=reject": [
        ({"author": "ann@example.com"}, "reject", "dmarc.authors.none"),
        ({"author": "ann@shop.example"}, "hold", "dmarc.quarantine"),
    ],
    "Mark what fails under p=none": [
        ({"author": "ann@example.com"}, "tag", "dmarc.none"),
        ({}, "reject", "dmarc.reject"),
        (GOOD, "accept", "default"),
    ],
    "One domain in shadow": [(PARTNERS, "accept", "dmarc.reject"), ({}, "reject", "dmarc.reject")],
    "A partner who breaks signatures, until a date": [
        ({**PARTNERS, "client": PARTNER}, "accept", "rules.partner-gateway"),
        ({**PARTNERS, "client": PARTNER, "now": LAST_DAY}, "accept", "rules.partner-gateway"),
        ({**PARTNERS, "client": PARTNER, "now": TOO_LATE}, "reject", "dmarc.reject"),
        (PARTNERS, "reject", "dmarc.reject"),
        ({"client": PARTNER}, "reject", "dmarc.reject"),
    ],
    "A partner without fixed addresses": [
        ({**PARTNERS, "mail_from": "a@mailer.example"}, "accept", "rules.partner-newsletter"),
        (
            {**PARTNERS, "fields": signed(PARTNERS["author"], "mailer.example")},
            "accept",
            "rules.partner-newsletter",
        ),
        ({**PARTNERS, "mail_from": "a@mailer.example", "client": NAMELESS}, "reject", "dmarc.reject"),
        ({"mail_from": "a@mailer.example"}, "reject", "dmarc.reject"),
    ],
    "A domain that must come in whatever happens": [
        ({"author": "ann@broken.example"}, "tag", "dmarc.authors.reject"),
        ({}, "reject", "dmarc.reject"),
    ],
    "A trusted forwarder": [
        ({"client": "192.0.2.70"}, "accept", "dmarc.trusted_forwarders"),
        ({"client": FILTER}, "accept", "dmarc.trusted_forwarders"),
        ({}, "reject", "dmarc.reject"),
    ],
    "Mailing lists": [
        ({"mail_from": "a@lists.example", "fields": ON_LIST}, "accept", "dmarc.mailing_lists"),
        ({"mail_from": "a@lists.example"}, "reject", "dmarc.reject"),
        ({"fields": ON_LIST}, "reject", "dmarc.reject"),
    ],
    "ARC sealers": [
        ({"fields": sealed("lists.example")}, "accept", "dmarc.trusted_sealers"),
        ({"fields": sealed("lists.example", b"dmarc=fail header.from=bank.example")}, "reject", "dmarc.reject"),
        ({"fields": sealed("evil.example")}, "reject", "dmarc.reject"),
    ],
    "Stricter for one recipient": [
        (
            {"author": "ann@shop.example", "to": ["bob@example.org", "board@example.org"]},
            "reject",
            "rules.board-authenticated-only",
        ),
        ({**STRANGER, "to": ["ceo@example.net"]}, "reject", "rules.board-authenticated-only"),
        ({**GOOD, "to": ["board@example.org"]}, "accept", "default"),
        (STRANGER, "accept", "default"),
    ],
    "Looser for one recipient": [
        ({"author": "a@new.example", "client": NAMELESS, "to": ["postmaster@example.org"]}, "accept", "rules."),
        (
            {"author": "a@new.example", "client": NAMELESS, "to": ["postmaster@example.org", "bob@example.org"]},
            "reject",
            "spf.fail",
        ),
        ({"to": ["postmaster@example.org"]}, "reject", "dmarc.reject"),
    ],
    "SPF without breaking forwarded mail": [
        ({"author": "a@new.example", "client": NAMELESS}, "reject", "rules.spf-fail"),
        ({"author": "a@mailer.example", "fields": signed("a@mailer.example", "mailer.example")}, "accept", "default"),
        (STRANGER, "accept", "default"),
    ],
    "HELO": [
        ({"author": "a@new.example", "client": NAMELESS}, "reject", "rules.helo-fail"),
        (STRANGER, "accept", "default"),
    ],
    "Null senders": [
        ({**STRANGER, "mail_from": ""}, "tag", "rules.doubtful-bounce"),
        ({"author": "a@new.example", "mail_from": ""}, "accept", "default"),
        (STRANGER, "accept", "default"),
    ],
    "Senders who cannot be answered": [
        ({"author": "a@new.example", "mail_from": "a@null.example"}, "reject", "sender_domain.null_mx"),
        ({"author": "a@new.example", "mail_from": "a@nobody.example"}, "reject", "sender_domain.no_mail"),
        (GOOD, "accept", "default"),
        ({"author": "a@lists.example", "mail_from": "a@lists.example"}, "accept", "default"),
    ],
    "Names that do not exist": [
        ({"author": "ann@invented.bank.example"}, "reject", "rules.invented-name"),
        ({"author": "ann@news.bank.example"}, "reject", "dmarc.reject"),
        ({"author": "ann@shop.example"}, "hold", "dmarc.quarantine"),
    ],
    "Subdomains of one domain": [
        ({"author": "ann@shop.example"}, "hold", "dmarc.quarantine"),
        ({"author": "ann@news.shop.example"}, "reject", "dmarc.authors.none"),
    ],
    "Clients without a name": [(STRANGER, "tag", "iprev.permerror"), (GOOD, "accept", "default")],
    "Lists in files": [
        ({"author": "ann@spam.example"}, "reject", "rules.blocked"),
        ({"author": "ann@new.example", "mail_from": "ann@spam.example"}, "reject", "rules.blocked"),
        ({"author": "ann@other.example", "client": PARTNER}, "accept", "rules.partners"),
        ({"author": "ann@partner.example", "client": PARTNER}, "accept", "rules.partners"),
        ({"author": "ann@partner.example"}, "reject", "dmarc.reject"),
    ],
    "A field of your own for Sieve": [(STRANGER, "tag", "rules.unauthenticated"), (GOOD, "accept", "default")],
    "Try a rule before it counts": [(STRANGER, "accept", "rules.no-authentication"), (GOOD, "accept", "default")],
    "Deliver while DNS is down": [
        ({"author": "ann@down.bank.example"}, "accept", "default"),
        ({}, "reject", "dmarc.reject"),
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blocked.txt").write_text("# seen in May\n.spam.example\n")
    (tmp_path / "partners.txt").write_text("other.example\n")
    return tmp_path


def loaded(folder: Path, heading: str) -> Any:
    path = folder / "policy.yaml"
    path.write_text(EXAMPLES[heading])
    return load_policy(str(path))


def test_every_example_has_its_effects() -> None:
    assert list(EXAMPLES) == list(EFFECTS)
    assert len(EXAMPLES) == (DOCS / "cookbook.md").read_text().count("```yaml")


@pytest.mark.parametrize(
    ("heading", "message", "action", "rule"),
    [(heading, *effect) for heading, effects in EFFECTS.items() for effect in effects],
)
def test_an_example_does_what_it_says(
    folder: Path, heading: str, message: dict[str, Any], action: str, rule: str
) -> None:
    verdict = judge(loaded(folder, heading), **message).verdict
    assert (verdict.action, verdict.rule.startswith(rule)) == (action, True), verdict
    assert not mistakes(schema.policy(), EXAMPLES[heading])


@pytest.mark.parametrize(
    ("heading", "message", "said"),
    [
        ("A trusted forwarder", {"client": FILTER}, 'dmarc=fail reason="trusted_forwarder: 203.0.113.67"'),
        (
            "Mailing lists",
            {"mail_from": "a@lists.example", "fields": ON_LIST},
            'dmarc=fail reason="mailing_list: lists.example"',
        ),
        (
            "ARC sealers",
            {"fields": sealed("lists.example")},
            'dmarc=fail reason="local_policy: ARC pass, sealed by lists.example, which found DMARC pass"',
        ),
        (
            "A partner who breaks signatures, until a date",
            {**PARTNERS, "client": PARTNER},
            'dmarc=fail reason="local_policy: rule partner-gateway"',
        ),
        ("A field of your own for Sieve", STRANGER, "new.example from 198.51.100.1"),
        ("Clients without a name", STRANGER, "tag; rule=iprev.permerror"),
    ],
)
def test_what_an_example_writes(folder: Path, heading: str, message: dict[str, Any], said: str) -> None:
    assert said in "\n".join(value for _, value in judge(loaded(folder, heading), **message).add)


@pytest.mark.parametrize(
    ("heading", "message", "reply"),
    [
        (
            "Stricter for one recipient",
            {"author": "ann@shop.example", "to": ["board@example.org"]},
            "550 5.7.1 shop.example is not authenticated by DMARC, which this recipient asks for",
        ),
        (
            "SPF without breaking forwarded mail",
            {"author": "a@new.example", "client": NAMELESS},
            "550 5.7.23 relay.example does not let 198.51.100.1 send for it",
        ),
        (
            "Senders who cannot be answered",
            {"author": "a@new.example", "mail_from": "a@null.example"},
            "550 5.7.27 The sender accepts no mail (null MX) for null.example",
        ),
    ],
)
def test_what_an_example_replies(folder: Path, heading: str, message: dict[str, Any], reply: str) -> None:
    assert str(judge(loaded(folder, heading), **message).verdict.reply) == reply


def test_a_relay_of_ones_own_is_named_as_the_cookbook_says(tmp_path: Path) -> None:
    section = (DOCS / "cookbook.md").read_text().partition("## Your own relay in front\n")[2].partition("\n## ")[0]
    path = tmp_path / "mailassay.yaml"
    given = re.findall(r"^ {4}(relays: .*)$|`(relays: [^`]*)`", section, re.MULTILINE)
    assert len(given) == 3
    found = []
    for block, within in given:
        path.write_text(block or within)
        found.append(load(str(path)).relays)
    assert ip_address("2001:db8::50") in found[0].networks
    assert (found[1].logins, found[2].untraced) == (("mx2",), "accept")


def test_what_is_tried_is_recorded(folder: Path) -> None:
    verdict = judge(loaded(folder, "Try a rule before it counts"), **STRANGER).verdict
    assert verdict.monitored == ("rules.no-authentication:reject",)
    assert judge(loaded(folder, "Watch first")).verdict.would == "reject"


def is_of_log(called: ast.expr) -> bool:
    """Is this a method of a module's ``_log``?"""
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "_log"


SAY = "_log.error(text, *values)"


def is_of_say(called: ast.expr) -> bool:
    """Is this the method by which a class logs trouble once a minute? Its first argument says which."""
    return isinstance(called, ast.Attribute) and called.attr == "_say"


def log_lines() -> Iterator[tuple[str, str]]:
    """Module and format of each line that the program logs."""
    for path in sorted((ROOT / "milter/mailassay").rglob("*.py")):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        texts = {
            target.id: node.value.value
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            if not isinstance(node, ast.Call) or not (is_of_log(node.func) or is_of_say(node.func)):
                continue
            said = node.args[is_of_say(node.func)]
            # what _say logs is found where it is called
            if ast.unparse(node) != SAY:
                yield path.name, said.value if isinstance(said, ast.Constant) else texts[ast.unparse(said)]


def pattern(form: str) -> str:
    """What a format becomes, whatever stands in its places."""
    return re.sub(r"%(\\\.\d)?[sdf]", ".+", re.escape(form))


EXPLAINED = re.findall("^### `(.*)`$", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE)


LOGGED = [*log_lines()]


@pytest.mark.parametrize(("module", "form"), LOGGED)
def test_every_log_line_is_explained(module: str, form: str) -> None:
    assert any(re.fullmatch(pattern(form), line) for line in EXPLAINED), module


@pytest.mark.parametrize("line", EXPLAINED)
def test_every_line_that_is_explained_is_logged(line: str) -> None:
    # those of a message and of a mistake are made elsewhere
    if not line.startswith(("queue_id=ID client=", "PATH:LINE:COLUMN")):
        assert any(re.fullmatch(pattern(form), line) for _, form in LOGGED if form != "%s")


HISTORY = (DOCS / "history.md").read_text()


@pytest.mark.parametrize("text", re.findall("^```yaml\n(.*?)^```$", HISTORY, re.DOTALL | re.MULTILINE))
def test_a_history_is_configured_as_its_page_says(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mailassay.yaml"
    path.write_text(text)
    assert load(str(path)).history.directory == "/var/lib/mailassay"


def test_what_is_kept_about_an_address_is_deleted_as_the_page_says(tmp_path: Path) -> None:
    """All of it and nothing else: what it sent, what it received, what others received with it."""
    statements, _ = re.findall("^```sql\n(.*?)^```$", HISTORY, re.DOTALL | re.MULTILINE)
    whose = {"sent": ("Ann@Example.ORG", ["bob@example.org"]), "received": ("", ["eve@example.org", "ann@example.org"])}
    others = {"other": ("bob@example.org", ["eve@example.org"]), "below": ("ann@a.example.org", ["joann@example.org"])}
    fill(tmp_path, (kept(name, *envelope) for name, envelope in {**whose, **others}.items()))
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as database, database:
        database.executescript(statements)
    with closing(sqlite3.connect(tmp_path / "history.sqlite")) as database:
        assert {name for (name,) in database.execute("SELECT queue_id FROM message")} == {*others}
        assert {key for (key,) in database.execute("SELECT key FROM recipient")} == {
            "org.example.@eve",
            "org.example.@joann",
        }


def kept(queue_id: str, mail_from: str, recipients: list[str]) -> dict[str, Any]:
    """A record of a message."""
    outcome = judge(Policy(), mail_from=mail_from, to=recipients)
    return {**record(Judged(outcome, Settings(), SPRING), "mx1"), "queue_id": queue_id}


KEYS = {key.name for key in (*schema.settings().keys, *schema.policy().keys)}
MIGRATION = (DOCS / "migration.md").read_text()


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of a table, by the heading above it."""
    section = MIGRATION.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith(("|---", "| opend", "| policyd-spf.conf |", "| rspamd |")):
            yield [cell.strip() for cell in line.strip("|").split("|")]


PAGES = {
    "From opendkim": ("opendkim.conf", r"^ {7}((?!Copyright)[A-Z][\w-]+) \([a-zB]"),
    "From opendmarc": ("opendmarc.conf", r"^ {7}((?!Copyright)[A-Z]\w+) \([a-zB]"),
    "From policyd-spf": ("policyd-spf.conf", r"^ {7}(\w+)(?: = | \((?:string|integer|dataset)\))"),
}


@pytest.mark.parametrize("heading", PAGES)
def test_every_option_of_the_old_filters_has_its_row(heading: str) -> None:
    page, pattern = PAGES[heading]
    environment = {**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    man = shutil.which("man") or pytest.skip(reason="man(1) is not installed")
    done = subprocess.run([man, "5", page], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        pytest.skip(reason=f"{page}(5) is not installed")
    told = {name for row in rows(heading) for name in re.findall("`([^`]+)`", row[0])}
    assert told == set(re.findall(pattern, re.sub(".\b", "", done.stdout), re.MULTILINE))


def test_a_migration_keeps_a_signer_in_every_list() -> None:
    """tests/e2e/test_package.py follows the steps, on a Postfix with the filters."""
    steps = MIGRATION.partition("\n## The steps\n")[2].partition("\n## ")[0]
    before, _, after = steps.partition("\n8. ")
    lists = re.findall(r"^ {7}.*smtpd_milters ?= ?([^']*)'", before, re.MULTILINE)
    assert len(lists) == 5
    assert all("inet:localhost:8891" in each for each in lists)
    # from here on mailassay signs
    lists = re.findall(r"^ {7}.*smtpd_milters ?= ?([^']*)'", after, re.MULTILINE)
    assert lists == ["unix:mailassay/mailassay.sock"] * 3


def test_the_keys_that_take_their_place_are_there() -> None:
    for heading in (*PAGES, "From rspamd's modules"):
        for row in rows(heading):
            assert len(row) == 3, row
            assert set(re.findall("`([^`]+)`", row[1])) <= KEYS, row


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_keys_and_files_that_are_named_are_there(path: Path) -> None:
    text = path.read_text()
    sections = {key.partition(".")[0] for key in KEYS if "." in key}
    named = re.findall(rf"`((?:{'|'.join(sections)})\.[a-z_.]+)`", text)
    # a file, and what decides without a key
    assert set(named) - {FILE, "dns.unsent"} <= KEYS
    assert all((DOCS / link).exists() for link in re.findall(r"\]\(([^):]+)\)", text))


HANDOVER = "smtpd_milters = inet:localhost:8891, unix:mailassay/mailassay.sock"
ORDER = ["clamav", "mailassay.sock", "8891"]  # what scans, what judges, what signs
TEXTS = [
    *sorted(DOCS.glob("*.md")),
    *(ROOT / name for name in ("README.md", "debian/README.Debian", "conf/start.yaml", "conf/postfix-main.cf")),
]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_milters_have_one_order_everywhere(path: Path) -> None:
    # while both sign, the signer comes first, so that mailassay finds its signature
    text = path.read_text().replace(HANDOVER, "") if path.name == "migration.md" else path.read_text()
    for milters in re.findall(r"smtpd_milters ?= ?(.*)", text):
        places = [milters.index(name) for name in ORDER if name in milters]
        assert places == sorted(places), milters


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_no_text_gives_users_an_empty_list(path: Path) -> None:
    """That would take the signer off their mail."""
    assert not re.search(r"-o smtpd_milters=\s*$", path.read_text(), re.MULTILINE)


JQ = [found for path in sorted(DOCS.glob("*.md")) for found in re.findall(r"jq (-\w+ '[^']+')", path.read_text())]


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
@pytest.mark.parametrize("words", JQ)
def test_what_reads_the_journal_passes_over_the_lines_of_systemd(words: str) -> None:
    line = (
        '{"queue_id": "4A", "verdict": "reject", "header_from": "bank.example", "dmarc_why": {"fault": "author"}, '
        '"dkim": [{"fault": "no_key", "selector": "s", "domain": "bank.example"}]}'
    )
    command = ["/bin/sh", "-c", f"jq {words}"]
    text = f"Started mailassay.service - mailassay.\n{line}\nReloading mailassay.\n{line}\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    once = subprocess.run(command, input=f"{line}\n", capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", once.stdout * 2)
    assert once.stdout


def test_jq_is_found_in_the_texts() -> None:
    assert len(JQ) == 4
