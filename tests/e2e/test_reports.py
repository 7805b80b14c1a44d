"""DMARC reports through the real Postfix: of real messages, into a mailbox, and back as a bounce that our milter sees.

Nothing is sent while our own mail would not pass. What Postfix does not take is sent later, and nothing twice.
"""

import gzip
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailassay import return_path
from mailassay.cli import main
from mailassay.zone import Zone
from tests.lab.folder import open_folder
from tests.lab.limits import LIMITS
from tests.lab.outgoing import DAY, mail
from tests.lab.refusing import Refusing
from tests.lab.reporting import Reporting, wait
from tests.lab.reports import tree
from tests.lab.sign import ed25519_key

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers"
OURS = "reports@receiver.example"
HOST, HELO = "192.0.2.1", "mail.bank.example"
STRANGER, ATTACKER = "198.51.100.66", "attacker.example"
EGRESS = "192.0.2.25"
KEY = ed25519_key()
MANY = [f"n{number}.example" for number in range(5)]  # whose reports wait while Postfix is down
DELIVERED = sorted(["bank.example", *MANY])
SENT = ["late.example", "shop.example", *DELIVERED]  # what Postfix takes
NAMES = f"""
1.2.0.192.in-addr.arpa      PTR  {HELO}
{HELO}                      A    {HOST}
{HELO}                      TXT  "v=spf1 ip4:{HOST} -all"
receiver.example            TXT  "v=spf1 ip4:{EGRESS} -all"
_dmarc.receiver.example     TXT  "v=DMARC1; p=reject"
_dmarc.bank.example         TXT  "v=DMARC1; p=reject; sp=quarantine; fo=1; ruf=mailto:inbox@receiver.example; \
rua=mailto:inbox@receiver.example"
ed._domainkey.bank.example  TXT  "{KEY.record}"
pay.bank.example            A    {HOST}
_dmarc.shop.example         TXT  "v=DMARC1; p=reject; rua=mailto:dead@shop.example"
_dmarc.late.example         TXT  "v=DMARC1; p=reject; rua=mailto:late@late.example"
_dmarc.loop.example         TXT  "v=DMARC1; p=reject; rua=mailto:reports+x@receiver.example"
"""
for each in ("bank.example", "shop.example", "late.example", "loop.example", "reply.example", *MANY):
    NAMES += f'{each}  TXT  "v=spf1 ip4:{HOST} -all"\n'
for each in ("reply.example", "stranger.example", *MANY):
    NAMES += f'_dmarc.{each}  TXT  "v=DMARC1; p=reject; rua=mailto:inbox@receiver.example"\n'
for each in ("bank.example", "reply.example", "stranger.example", *MANY):
    NAMES += f'{each}._report._dmarc.receiver.example  TXT  "v=DMARC1"\n'
# the bounces of this Postfix are seen by the milter, as docs/reports.md says
MORE = """
recipient_delimiter = +
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
non_smtpd_milters = $smtpd_milters
internal_mail_filter_classes = bounce
default_transport = smtp:[127.0.0.1]:{port}
delay_warning_time = 1s
"""


def letter(author, subject="Hello"):
    return f"From: {author}\r\nTo: bob@receiver.example\r\nSubject: {subject}\r\n\r\nDear Bob\r\n".encode()


def mail_of_a_day(day):
    """The messages that come in. Local-parts are not kept, and bank.example has a report of several rows."""
    for _ in range(3):
        signed = KEY.sign(letter("a@bank.example"), "bank.example", "ed")
        assert day.come(HOST, HELO, "a@bank.example", signed).code == 250
    assert day.come(HOST, HELO, "a@bank.example", letter("a@bank.example")).code == 250
    for _ in range(2):
        assert day.come(STRANGER, ATTACKER, "eve@attacker.example", letter("a@bank.example")).code == 550
    held = day.come(STRANGER, ATTACKER, "eve@attacker.example", letter("a@pay.bank.example")).queue_id
    assert day.lab.postfix.held(held)
    assert day.come(HOST, HELO, "", letter("a@mail.bank.example", "Undeliverable")).code == 250
    answer = letter("a@bank.example", "Re: Report Domain: bank.example")
    assert day.come(HOST, HELO, "a@bank.example", answer, OURS).code == 250
    for domain in ("shop.example", "late.example", "loop.example", *MANY):
        assert day.come(HOST, HELO, f"a@{domain}", letter(f"a@{domain}")).code == 250
    # only mail about reports: to our address, to one with an extension, and with a null reverse-path
    for recipient in (OURS, "reports+abcdefghijklmnopqrstuvwxyz@receiver.example"):
        answer = letter("a@reply.example", "Re: Report Domain: reply.example")
        assert day.come(HOST, HELO, "a@reply.example", answer, recipient).code == 250
    assert day.come(HOST, HELO, "", letter("a@reply.example", "Undeliverable")).code == 550
    assert day.come(STRANGER, ATTACKER, "eve@attacker.example", letter("a@stranger.example")).code == 550


@dataclass(frozen=True)
class Runs:
    """What the runs of `reports send` said, in their order, and what there was after each."""

    unaligned: subprocess.CompletedProcess
    after_unaligned: tuple[set, list]
    down: subprocess.CompletedProcess
    after_down: tuple[dict, list]
    broken: tuple[int, str]
    after_broken: Counter
    whole: subprocess.CompletedProcess
    again: subprocess.CompletedProcess


def other_host():
    """How the host of other domains replies: it has no recipient dead@, and no time for others at first."""
    known = set()

    def reply(command, transaction):
        if command != "RCPT":
            return None
        recipient = transaction.recipients[-1]
        if recipient.startswith("dead@"):
            return b"550 5.1.1 no such user"
        if recipient in known:
            return None
        known.add(recipient)
        return b"451 4.3.0 later"

    return reply


@pytest.fixture(scope="module")
def sent(make_lab):
    """The reports of a day that is over, and what the runs said that were needed to send them."""
    with open_folder() as folder, Refusing(other_host()) as others:
        history = folder / "history"
        history.mkdir()
        lab = make_lab(
            more=MORE.format(port=others.port),
            names=Zone(NAMES, limits=LIMITS),
            history={"directory": str(history), "addresses": "none"},
            trusted_networks=["127.0.0.0/8"],
            recipient_delimiter="+",
            reports={"from": OURS, "egress": [EGRESS], "per_minute": 10_000},
        )
        day = Reporting(lab, history, folder)
        mail_of_a_day(day)
        day.days_ago(2)
        yield day, send_all(day)


def send_all(day):
    postfix = day.lab.postfix
    unaligned = day.run("send", egress=["203.0.113.99"])
    after_unaligned = {each["state"] for each in day.listed()["reports"].values()}, day.arrived()
    assert day.run("send", smtp="127.0.0.1:9").returncode in (os.EX_OK, os.EX_TEMPFAIL)
    day.time_passes()
    postfix.halt()
    down = day.run("send")
    after_down = day.stages(), day.arrived()
    postfix.resume()
    day.time_passes()
    running = day.start("send", per_minute=12)
    wait(lambda: "sent" in day.stages().values())
    # between two mails, Postfix ends
    running.send_signal(signal.SIGSTOP)
    postfix.halt()
    running.send_signal(signal.SIGCONT)
    _, said = running.communicate(timeout=300)
    after_broken = Counter(day.stages().values())
    postfix.resume()
    day.time_passes()
    whole = day.run("send")
    day.time_passes()
    again = day.run("send")
    wait(lambda: len(day.arrived()) >= len(DELIVERED), lambda: postfix.log()[-3000:])
    broken = running.returncode, said
    return Runs(unaligned, after_unaligned, down, after_down, broken, after_broken, whole, again)


def test_nothing_is_sent_that_would_not_pass_dmarc(sent):
    """And it is said what to publish. The days are closed, and the reports wait."""
    _, runs = sent
    assert runs.unaligned.returncode == 1
    assert f'Publish "v=spf1 ip4:203.0.113.99 ip4:{EGRESS} -all" as TXT at receiver.example' in runs.unaligned.stderr
    assert runs.after_unaligned == ({"pending", "dropped"}, [])


def test_postfix_is_down(sent):
    """Nothing is lost: all of it waits."""
    _, runs = sent
    assert runs.down.returncode == os.EX_TEMPFAIL
    assert "Postfix takes no more reports now: Connection refused" in runs.down.stderr
    assert runs.after_down == (dict.fromkeys(SENT, "waiting"), [])


def test_postfix_ends_in_the_middle(sent):
    """What it had is sent, and the rest waits for the next run."""
    _, runs = sent
    status, said = runs.broken
    assert status == os.EX_TEMPFAIL, said
    assert "Postfix takes no more reports now" in said
    assert set(runs.after_broken) == {"sent", "waiting"}
    assert runs.whole.returncode == os.EX_OK, runs.whole.stderr
    assert f"mails: {runs.after_broken['waiting']} sent, 0 later, 0 refused, 0 suppressed" in runs.whole.stderr


def test_nothing_is_sent_twice(sent):
    """Each report has arrived once, and another run sends nothing."""
    day, runs = sent
    assert runs.again.returncode == os.EX_OK
    assert "mails: 0 sent, 0 later, 0 refused, 0 suppressed" in runs.again.stderr
    arrived = [mail(each) for each in day.arrived()]
    assert sorted(each["Subject"].split()[2] for each in arrived) == DELIVERED
    assert len({each["Message-ID"] for each in arrived}) == len(DELIVERED)
    assert {domain for domain, stage in day.stages().items() if stage == "sent"} >= {"late.example", *DELIVERED}
    # bank.example asks for failure reports too, which nobody has turned on
    assert {each["kind"] for each in day.listed()["reports"].values()} == {"aggregate"}


# client, header_from, envelope_from, disposition, aligned by dkim and spf, results of dkim, result of spf: messages.
# parsedmarc takes the domain of SPF where envelope_from is empty
ROWS = {
    (HOST, "bank.example", "bank.example", "pass", True, True, ("pass",), ("bank.example", "pass")): 3,
    (HOST, "bank.example", "bank.example", "pass", False, True, (), ("bank.example", "pass")): 2,
    (HOST, HELO, HELO, "pass", False, True, (), (HELO, "pass")): 1,
    (STRANGER, "bank.example", ATTACKER, "reject", False, False, (), (ATTACKER, "none")): 2,
    (STRANGER, "pay.bank.example", ATTACKER, "quarantine", False, False, (), (ATTACKER, "none")): 1,
}


@pytest.mark.skipif(not (PEERS / ".ready").exists(), reason="needs others' programs: make peers")
def test_a_program_of_others_reads_what_came_in(sent):
    """parsedmarc, from the mailbox: each message of the day, a reply to a report and one with a null sender too."""
    day, _ = sent
    octets, _ = day.about("bank.example")
    reader = [PEERS / "bin/python", "tests/peers/read_parsedmarc.py"]
    done = subprocess.run(reader, cwd=ROOT, input=octets, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert (said["report_type"], said["warnings"]) == ("aggregate", [])
    said = said["report"]
    metadata = said["report_metadata"]
    assert (metadata["org_name"], metadata["org_email"]) == ("receiver.example", OURS)
    assert [metadata[each] for each in ("begin_date", "end_date")] == [f"{day.date} 00:00:00", f"{day.date} 23:59:59"]
    published = {"domain": "bank.example", "p": "reject", "sp": "quarantine", "fo": "1", "testing": "n"}
    assert published.items() <= said["policy_published"].items()
    assert len(said["records"]) == len(ROWS)
    assert {_row(each): each["count"] for each in said["records"]} == ROWS


def _row(record):
    identifiers, [spf] = record["identifiers"], record["auth_results"]["spf"]
    return (
        record["source"]["ip_address"],
        identifiers["header_from"],
        identifiers["envelope_from"],
        record["policy_evaluated"]["disposition"],
        record["alignment"]["dkim"],
        record["alignment"]["spf"],
        tuple(each["result"] for each in record["auth_results"]["dkim"]),
        (spf["domain"], spf["result"]),
    )


def test_a_report_passes_dmarc_where_it_leaves(sent, tmp_path, capsys):
    """As its recipient sees it: from our address, with its return path, by the address from which our mail leaves."""
    day, _ = sent
    octets, found = day.about("bank.example")
    path = found["Return-Path"].strip("<>")
    assert return_path.token(path, OURS)
    assert (found["From"], found["To"]) == (OURS, "inbox@receiver.example")
    # as it left: without what this host wrote on top of it
    written = rb"\A(?:(?:Return-Path|X-Original-To|Delivered-To|Received|Authentication-Results):.*\n(?:[ \t].*\n)*)+"
    message, zone = tmp_path / "mail", tmp_path / "zone"
    message.write_bytes(re.sub(written, b"", octets))
    zone.write_text(NAMES)
    rest = ["--rcpt", "d@bank.example", "--zone", str(zone), "--json"]

    def judged(client):
        who = ["--ip", client, "--helo", "mx.receiver.example", "--mail-from", path]
        status = main(["check", str(message), *who, *rest])
        return status, json.loads(capsys.readouterr().out)["results"]

    status, results = judged(EGRESS)
    assert (status, results["dmarc"], results["spf"]) == (os.EX_OK, "pass", "pass"), results
    assert judged(STRANGER)[1]["dmarc"] == "fail"


def test_what_is_shown_is_what_was_sent(sent):
    day, _ = sent
    _, found = day.about("bank.example")
    [attachment] = found.iter_attachments()
    document = gzip.decompress(attachment.get_content())
    tree(document)
    assert day.run("show", "bank.example", "--xml").stdout.strip() == document.decode().strip()
    shown = day.run("show", "bank.example").stdout
    assert "inbox@receiver.example  sent " in shown
    assert "9 messages in 5 rows: 6 passed DMARC, 3 did not. Disposition: pass 6, quarantine 1, reject 2." in shown


def test_mail_about_reports_causes_none(sent):
    """A reply to a report, a message to an address of ours with an extension, and one with a null reverse-path."""
    day, _ = sent
    listed = day.listed()["reports"]
    assert (listed["reply.example"]["state"], listed["reply.example"]["why"]) == ("dropped", "only report mail")
    assert listed["reply.example"]["messages"] == 3
    assert "reply.example  dropped: only mail about reports  (3 messages)" in day.run("list", "--all").stdout


def test_no_report_goes_to_a_stranger_or_to_our_own_address(sent):
    day, _ = sent
    listed = day.listed()["reports"]
    assert (listed["stranger.example"]["state"], listed["stranger.example"]["why"]) == ("dropped", "not known")
    assert (listed["loop.example"]["state"], listed["loop.example"]["why"].partition(";")[0]) == ("dropped", "ours")


def test_a_delay_is_no_bounce(sent):
    """A host has no time at first. Postfix, which tells senders of delays here, tells us of none."""
    day, _ = sent
    log = day.lab.postfix.log
    wait(lambda: bool(re.search(r"to=<late@late\.example>, .*\bstatus=deferred ", log())), lambda: log()[-3000:])
    day.lab.postfix.run("postqueue", "-f")
    wait(lambda: bool(re.search(r"to=<late@late\.example>, .*\bstatus=sent ", log())), lambda: log()[-3000:])
    numbers = set(re.findall(r"([0-9A-Za-z]+): to=<late@late\.example>", log()))
    assert numbers
    noticed = [line for line in log().splitlines() if "sender delay notification" in line]
    assert not [line for line in noticed for number in numbers if f" {number}: " in line]
    day.collect()
    assert day.stages()["late.example"] == "sent"


def test_a_bounce_comes_back(sent):
    """This Postfix makes it; our milter sees its recipient, and the collector suppresses the address for a week."""
    day, _ = sent
    log = day.lab.postfix.log
    bounced = re.compile(r"to=<reports\+[a-z2-7]{26}@receiver\.example>, .*\bstatus=sent ")
    wait(lambda: bool(bounced.search(log())), lambda: log()[-3000:])

    def is_back():
        day.collect()
        return day.stages()["shop.example"] == "returned"

    wait(is_back, lambda: log()[-3000:])
    [found] = day.listed()["suppressed"]
    assert (found["address"], found["times"], found["why"]) == ("dead@shop.example", 1, "a report bounced")
    assert 6.9 * DAY < found["until"] - time.time() <= 7 * DAY
    shown = day.run("list").stdout
    assert re.search(r"^ +dead@shop\.example  returned .*: a bounce came back$", shown, re.MULTILINE)
    _, _, suppressed = shown.partition("addresses that get no reports:\n")
    assert re.fullmatch(r" +dead@shop\.example  until [-0-9]+ [:0-9]+: a report bounced\n", suppressed)
    # the reports of others are as they were
    assert day.stages() == dict.fromkeys(SENT, "sent") | {"shop.example": "returned"}
