"""``mailassay held`` on the real Postfix: what mailassay put on hold, and nothing else."""

from __future__ import annotations

import email
import email.policy
import json
import os
import re
import subprocess
import sys
import time

import pytest

from mailassay.cli import main
from mailassay.postfix.hold_queue import Queue, oldest
from tests.demo.scenarios import ATTACKER, letter

RECIPIENTS = ["bob@receiver.example", "zoe@receiver.example"]
VERDICT = "X-Mailassay-Verdict"
FORGED = b"X-Mailassay-Verdict: hold; rule=forged\r\n"
NOBODY = "ABCDEF012345"  # a queue id of no message
LATER = "later@receiver.example"  # whose mail stays in the queue
ACCESS = "held@attacker.example"  # whose mail another filter holds
LOCAL = "root@receiver.example"

_MAIN = f"""
transport_maps = inline:{{ {{ {LATER} = smtp:[127.0.0.1]:1 }} }}
smtpd_sender_restrictions = check_sender_access inline:{{ {{ {ACCESS} = HOLD }} }}
"""


@pytest.fixture(scope="module")
def labs(make_lab):
    """With long queue ids; the short ones have a test of their own."""
    return make_lab(more=f"{_MAIN}enable_long_queue_ids = yes\n")


@pytest.fixture
def lab(labs):
    """It, its queue empty."""
    labs.postfix.run("postsuper", "-d", "ALL")
    return labs


@pytest.fixture
def run(lab, capsys):
    """``mailassay held`` on this Postfix: exit status, stdout, stderr."""

    def held(*arguments):
        capsys.readouterr()
        status = main(["held", "-c", str(lab.postfix.folder / "etc"), *map(str, arguments)])
        return (status, *capsys.readouterr())

    return held


def send(lab, message, mail_from="eve@attacker.example", recipients=RECIPIENTS, client=ATTACKER):
    """A message; its queue id."""
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become(client)
        smtp.command("EHLO attacker.example")
        reply = smtp.send(mail_from, recipients, message)
    assert reply.code == 250, f"{reply}\n{lab.postfix.log()[-2000:]}\n{lab.serve.log.read_text()[-2000:]}"
    return reply.queue_id


def quarantined(lab, *more, **envelope):
    """One that fails under p=quarantine."""
    return send(lab, letter("Shop <info@shop.example>", *more), **envelope)


def held_by_operator(lab, queue_id):
    """The same message, held by an operator while it waits for its delivery."""
    wait_for_place(lab, queue_id, "deferred")
    lab.postfix.run("postsuper", "-h", queue_id)
    assert place(lab, queue_id) == "hold"
    return queue_id


def submit(lab, message):
    """A message by sendmail(1), which no milter of ours sees; its queue id."""
    command = ["/usr/sbin/sendmail", "-C", str(lab.postfix.folder / "etc"), "-f", LOCAL, LATER]
    subprocess.run(command, input=message.replace(b"\r", b""), check=True)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for entry in lab.postfix.queue():
            if entry["sender"] == LOCAL and entry["queue_name"] != "maildrop":
                return entry["queue_id"]
        time.sleep(0.02)
    raise AssertionError(lab.postfix.log())


def place(lab, queue_id):
    """The queue that a message is in; None where it is in none."""
    return next((each["queue_name"] for each in lab.postfix.queue() if each["queue_id"] == queue_id), None)


def wait_for_place(lab, queue_id, queue):
    """Wait until a message is in that queue; None: in none, because it is delivered, and qmgr has removed it."""
    end = time.monotonic() + 60
    while place(lab, queue_id) != queue:
        assert time.monotonic() < end, lab.postfix.log()
        time.sleep(0.02)


def listed(run, *arguments):
    """What ``--json`` says."""
    status, out, err = run(*arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def ids(entries):
    return [entry["queue_id"] for entry in entries]


def test_nothing(run):
    assert run() == (0, "mailassay holds no message\n", "")
    assert listed(run) == []
    assert run("release", "--all") == (0, "mailassay holds no message\n", "")
    assert run("delete", "--older", "7d") == (0, "mailassay holds no matching message\n", "")


def test_the_list(lab, run):
    first = quarantined(lab)
    second = quarantined(lab, mail_from="", recipients=[f"user{number}@receiver.example" for number in range(5)])
    status, out, err = run()
    assert (status, err) == (0, "")
    results = "    results   iprev=fail  spf=pass  dkim=none  arc=none  dmarc=fail"
    lines = [re.sub(r"  \d+s  ", "  AGE  ", line) for line in out.splitlines()]
    blocks = {line.split()[0]: lines[at : at + 4] for at, line in enumerate(lines) if line[0] != " "}
    assert blocks[first] == [
        f"{first}  AGE  shop.example  dmarc.quarantine",
        "    from      eve@attacker.example",
        "    to        bob@receiver.example, zoe@receiver.example",
        results,
    ]
    assert blocks[second] == [
        f"{second}  AGE  shop.example  dmarc.quarantine",
        "    from      <>",
        "    to        user0@receiver.example, user1@receiver.example, user2@receiver.example and 2 more",
        results,
    ]
    assert re.fullmatch(r"2 messages held, the oldest for \d+s", lines[-1])


def test_the_list_for_programs(lab, run):
    queue_id = quarantined(lab)
    (entry,) = listed(run)
    assert abs(entry.pop("arrived") + entry.pop("age") - time.time()) < 60
    assert entry.pop("size") > 100
    results = entry.pop("results")
    assert entry == {
        "queue_id": queue_id,
        "sender": "eve@attacker.example",
        "recipients": RECIPIENTS,
        "author_domain": "shop.example",
        "rule": "dmarc.quarantine",
    }
    assert [each["method"] for each in results] == ["iprev", "spf", "dkim", "arc", "dmarc"]
    assert results[-1] == {
        "method": "dmarc",
        "result": "fail",
        "reason": "",
        "comment": "",
        "properties": {"header.from": "shop.example", "policy.dmarc": "quarantine"},
    }


def test_filters(lab, run):
    shop, city = quarantined(lab), send(lab, letter("a@nowhere.city.example"))
    assert set(ids(listed(run, "--domain", "example"))) == {shop, city}
    assert ids(listed(run, "--domain", "SHOP.example.")) == [shop]
    assert ids(listed(run, "--domain", "city.example")) == [city]
    assert listed(run, "--domain", "hop.example") == []
    assert set(ids(listed(run, "--older", "0s"))) == {shop, city}
    assert listed(run, "--older", "1h") == []


def test_show(lab, run):
    queue_id = quarantined(lab, b"X-Odd: \x1b[2J\x07\xff\r\n")
    status, out, err = run("show", queue_id)
    assert (status, err) == (0, "")
    known, _, header = out.partition("\n\n")
    assert re.sub(r"since     \S+ \S+ \S+ \(\d+s\)", "since     THEN", known).splitlines() == [
        f"queue id       {queue_id}",
        "held since     THEN",
        f"size           {next(each['message_size'] for each in lab.postfix.queue())} octets",
        "sender         eve@attacker.example",
        "recipients     bob@receiver.example",
        "               zoe@receiver.example",
        "author domain  shop.example",
        "rule           dmarc.quarantine",
        "results        iprev=fail policy.iprev=198.51.100.66",
        "               spf=pass smtp.mailfrom=attacker.example",
        "               dkim=none",
        "               arc=none smtp.remote-ip=198.51.100.66",
        "               dmarc=fail header.from=shop.example policy.dmarc=quarantine",
    ]
    assert header.startswith("Authentication-Results: mx.receiver.example;\n iprev=fail")
    assert "\nX-Odd: ?[2J?\ufffd\n" in header
    assert header.endswith("\nSubject: Hello\n\n")
    status, out, _ = run("show", "--body", queue_id)
    assert status == 0
    assert "\nSubject: Hello\n\nDear Bob,\n\nthis is a message.\n" in out


def test_release(lab, run):
    """It is delivered, in spite of its verdict, without waiting for a queue run."""
    queue_id, other = quarantined(lab), quarantined(lab)
    status, out, err = run("release", queue_id)
    assert (status, err) == (0, "")
    assert re.fullmatch(rf"released: {queue_id}  \d+s  shop\.example  dmarc\.quarantine\n", out)
    delivered = lab.postfix.delivered(queue_id)
    assert delivered.startswith(b"Authentication-Results: mx.receiver.example;\n iprev=fail")
    assert delivered.count(b"X-Mailassay-Verdict: hold; rule=dmarc.quarantine\n") == 1
    assert b"\n\nDear Bob,\n\nthis is a message.\n" in delivered
    wait_for_place(lab, queue_id, None)
    assert place(lab, other) == "hold"


def test_many_are_released_and_nothing_else_is_tried(lab, run):
    """What was deferred before stays so until it is due."""
    deferred = send(lab, letter("a@open.example"), recipients=[LATER])
    held = [quarantined(lab) for _ in range(25)]
    wait_for_place(lab, deferred, "deferred")
    tried = lab.postfix.log().count(f"{deferred}: to=")
    assert run("release", "--all")[0] == 0
    for queue_id in held:
        lab.postfix.delivered(queue_id)
    assert lab.postfix.log().count(f"{deferred}: to=") == tried
    assert place(lab, deferred) == "deferred"


def test_delete(lab, run):
    queue_id, other = quarantined(lab), quarantined(lab)
    status, out, err = run("delete", queue_id)
    assert (status, err) == (0, "")
    assert re.fullmatch(rf"deleted: {queue_id}  \d+s  shop\.example  dmarc\.quarantine\n", out)
    assert place(lab, queue_id) is None
    assert place(lab, other) == "hold"


@pytest.mark.parametrize("action", ["release", "delete"])
@pytest.mark.parametrize("which", [["--all"], ["--older", "0s"], ["--domain", "shop.example"]])
def test_many(lab, run, action, which):
    """What fits and no other, first tried and then done."""
    shops, city = {quarantined(lab), quarantined(lab)}, send(lab, letter("a@nowhere.city.example"))
    expected = shops if "--domain" in which else {*shops, city}
    status, out, err = run(action, *which, "--dry-run")
    assert (status, err) == (0, "")
    assert {line.split()[3] for line in out.splitlines()} == expected
    assert all(line.startswith(f"would be {action}d: ") for line in out.splitlines())
    assert all(place(lab, queue_id) == "hold" for queue_id in {*shops, city})
    status, out, err = run(action, *which)
    assert (status, err) == (0, "")
    assert {line.split()[1] for line in out.splitlines()} == expected
    if action == "release":
        assert all(lab.postfix.delivered(queue_id) for queue_id in expected)
        # Postfix removes a message from its queue a moment after it has delivered it
        end = time.monotonic() + 60
        while any(place(lab, queue_id) for queue_id in expected):
            assert time.monotonic() < end, lab.postfix.log()
            time.sleep(0.02)
    assert {queue_id for queue_id in {*shops, city} if place(lab, queue_id)} == {*shops, city} - expected


def test_older_leaves_the_young(lab, run):
    queue_id = quarantined(lab)
    assert run("delete", "--older", "1h", "--domain", "example")[0] == 0
    assert place(lab, queue_id) == "hold"


@pytest.mark.parametrize("action", ["release", "delete", "show"])
@pytest.mark.parametrize("by", ["operator", "filter"])
def test_what_others_hold_is_not_ours(lab, run, action, by):
    accepted = letter("a@open.example")
    if by == "operator":
        theirs = held_by_operator(lab, send(lab, accepted, recipients=[LATER]))
    else:
        theirs = send(lab, accepted, mail_from=ACCESS)
    ours = quarantined(lab)
    assert ids(listed(run)) == [ours]
    status, out, err = run(action, theirs, ours, NOBODY, "ALL")
    assert status == 1
    assert err.splitlines() == [
        "mailassay: ALL is not a queue id",
        f"mailassay: {NOBODY} is not in the hold queue",
        f"mailassay: {theirs} was not put on hold by mailassay",
    ]
    assert ours in out
    assert theirs not in out
    assert place(lab, theirs) == "hold"
    assert run("delete", "--all")[0] == 0
    assert place(lab, theirs) == "hold"


def test_a_forged_verdict_is_not_ours(lab, run):
    """We remove it; and where nobody did, since no milter saw the message, it stands below Received."""
    theirs = send(lab, letter("a@open.example", FORGED), mail_from=ACCESS)
    assert b"forged" not in lab.postfix.held(theirs)
    results = b"Authentication-Results: mx.receiver.example; dmarc=fail header.from=shop.example\r\n"
    unseen = held_by_operator(lab, submit(lab, letter("a@open.example", results, FORGED)))
    assert FORGED.replace(b"\r", b"") in lab.postfix.held(unseen)
    ours = quarantined(lab, FORGED)
    (entry,) = listed(run)
    assert (entry["queue_id"], entry["rule"]) == (ours, "dmarc.quarantine")
    assert run("delete", unseen) == (1, "", f"mailassay: {unseen} was not put on hold by mailassay\n")
    assert place(lab, unseen) == "hold"


def test_a_released_message_is_not_deleted(lab, run):
    queue_id = quarantined(lab)
    run("release", queue_id)
    lab.postfix.delivered(queue_id)
    assert run("delete", queue_id) == (1, "", f"mailassay: {queue_id} is not in the hold queue\n")


def test_messages_that_vanish(lab):
    """Between the list and a look at it; the others are read all the same."""
    gone = [quarantined(lab) for _ in range(5)]
    queue = Queue(str(lab.postfix.folder / "etc"))
    for queue_id in (gone[0], gone[2], gone[3]):
        lab.postfix.run("postsuper", "-d", queue_id)
    lab.postfix.run("postsuper", "-H", gone[4])
    assert [queue_id for queue_id, _ in queue.header_sections(gone)] == [gone[1]]
    assert list(queue.header_sections([gone[4]])) == []
    assert queue.content(gone[0], body=True) == b""
    assert queue.delete([*gone]) == {gone[1]}
    assert queue.release([*gone]) == set()


def test_damaged_queue_files(lab, run, caplog):
    """They are named, and hide no other."""
    sent = [quarantined(lab) for _ in range(4)]
    for queue_id, part in ((sent[0], 0.75), (sent[2], 0.95)):
        path = next(lab.postfix.folder.glob(f"queue/hold/**/{queue_id}"))
        os.truncate(path, int(path.stat().st_size * part))
    assert set(ids(listed(run))) == {sent[1], sent[3]}
    assert set(caplog.messages) == {
        f"{sent[0]} is left out: its queue file is damaged",
        f"{sent[2]} is left out: hold/{sent[2]}: unexpected EOF in data, record type 78 length 60; record read error",
    }
    assert run("delete", sent[0])[0] == 1


def test_more_than_postcat_is_given_at_once(lab, run, monkeypatch):
    monkeypatch.setattr("mailassay.postfix.hold_queue.BATCH", 2)
    sent = {quarantined(lab) for _ in range(5)}
    assert set(ids(listed(run))) == sent


def test_remind(lab):
    """In a process of its own, since it sets up logging."""
    assert oldest(Queue(str(lab.postfix.folder / "etc")), VERDICT).count == 0
    queue_id = quarantined(lab)
    quarantined(lab)
    backlog = oldest(Queue(str(lab.postfix.folder / "etc")), VERDICT)
    assert (backlog.count, backlog.oldest.author_domain) == (2, "shop.example")
    assert remind(lab, "1h") == ""
    end = time.monotonic() + 60
    while not (said := remind(lab, "1s")):
        assert time.monotonic() < end
    assert re.search(r"2 held, the oldest for \d+s: queue_id=\w+, author domain shop\.example", said)
    assert place(lab, queue_id) == "hold"


def remind(lab, age):
    """What a timer would have in the journal."""
    command = [sys.executable, "-m", "mailassay", "held", "-c", lab.postfix.folder / "etc", "--remind", age]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    return done.stderr


def test_mail_about_what_is_held(lab, tmp_path, monkeypatch):
    """Once for the same messages, and again for a new one; tests/e2e/test_package.py has it from the sandbox."""
    to = "postmaster@receiver.example"
    (tmp_path / "c").write_text(f"held: {{remind_to: {to}}}\nlog: {{level: warning}}\n")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "told"))

    def mails(count):
        """So many are delivered, once the timer has come again."""
        command = [sys.executable, "-m", "mailassay", "held", "-c", lab.postfix.folder / "etc", "--config"]
        command += [tmp_path / "c", "--remind", "0s"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "held, the oldest for" in done.stderr
        end = time.monotonic() + 60
        while len(found := [path.read_bytes() for path in lab.postfix.folder.glob("mail/inbox/new/*")]) < count:
            assert time.monotonic() < end, lab.postfix.log()
            time.sleep(0.05)
        assert len(found) == count
        return found

    for path in (lab.postfix.folder / "mail").glob("inbox/new/*"):
        path.unlink()
    first = quarantined(lab)
    time.sleep(1.1)
    (told,) = mails(1)
    assert mails(1) == [told]
    message = email.message_from_bytes(told, policy=email.policy.default)
    assert (message["Return-Path"], message["To"], message["Auto-Submitted"]) == ("<>", to, "auto-generated")
    assert message["Subject"].startswith("1 message is held on ")
    assert message["From"].addresses[0].username == "postmaster"
    assert message["Authentication-Results"] is None
    text = message.get_content()
    assert re.search(rf"^{first}  \d+s  shop\.example  dmarc\.quarantine$", text, re.MULTILINE)
    second = quarantined(lab)
    time.sleep(1.1)
    # the second time nothing was sent, and neither is it the fourth time
    (both,) = {*mails(2), *mails(2)} - {told}
    assert first.encode() in both
    assert second.encode() in both


def test_short_queue_ids_and_a_postfix_that_is_down(make_lab, capsys, caplog):
    lab = make_lab(more="enable_long_queue_ids = no\n")
    queue_id = quarantined(lab)
    assert re.fullmatch("[0-9A-F]+", queue_id)
    lab.postfix.run("postfix", "stop")
    assert main(["held", "-c", str(lab.postfix.folder / "etc"), "--json"]) == 0
    assert ids(json.loads(capsys.readouterr().out)) == [queue_id]
    assert main(["held", "-c", str(lab.postfix.folder / "etc"), "release", queue_id]) == 0
    assert capsys.readouterr().out.startswith(f"released: {queue_id}")
    assert caplog.messages == [
        "released messages wait for the next queue run: Cannot contact class public service qmgr - "
        "perhaps the mail system is down"
    ]
    assert place(lab, queue_id) == "deferred"


# the interpreter itself may be where only root can read it; 38 is PR_SET_NO_NEW_PRIVS
AS = """
import ctypes, os, pwd, sys
# while their files can still be read
import mailassay.cli.held
from mailassay.cli import main
who = pwd.getpwnam(sys.argv[1])
os.setgroups([])
os.setgid(who.pw_gid)
os.setuid(who.pw_uid)
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
sys.exit(main(["held", *sys.argv[2:]]))
"""


def run_as(user, lab, *arguments):
    """As a hardened unit would run it."""
    command = [sys.executable, "-c", AS, user, "-c", lab.postfix.folder / "etc", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("user", "arguments", "words"),
    [
        ("nobody", [], "/queue/hold cannot be read: this needs root, or Postfix's own user"),
        ("nobody", ["release", "--all"], "only root can change Postfix's queue"),
        ("postfix", ["delete", "--all"], "only root can change Postfix's queue"),
    ],
)
def test_an_unprivileged_user(lab, user, arguments, words):
    done = run_as(user, lab, *arguments)
    assert (done.returncode, done.stdout) == (os.EX_NOPERM, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_user_postfix_may_list(lab):
    queue_id = quarantined(lab)
    done = run_as("postfix", lab, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert ids(json.loads(done.stdout)) == [queue_id]
    assert f"would be deleted: {queue_id}" in run_as("postfix", lab, "delete", "--all", "--dry-run").stdout


def test_a_configuration_directory_that_is_none(capsys):
    assert main(["held", "-c", "/nonexistent"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err == "mailassay: postconf: open /nonexistent/main.cf: No such file or directory\n"
