"""What Postfix's tools print, and which of it is ours; the captured output is Postfix 3.7.11's."""

import email
import email.policy
import io
import json
import os
import re
import stat
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.authres.read import resinfos
from mailassay.cli import main
from mailassay.postfix import hold_queue, reminder
from mailassay.postfix.hold_queue import QUEUE_ID, Held, Queued, Unavailable, in_units, judged, queue_files, queued
from tests.lab.hold_queue import POSTQUEUE, RECEIVED, RESULTS, VERDICT, printed_by_postcat
from tests.lab.program import script

LETTER = b"From: info@shop.example\nTo: bob@receiver.example\nSubject: Hello\n"


@pytest.mark.parametrize(
    "text",
    ["BD6582483ED", "C08FE2483EE", "4jWpw36fNkzL4ql", "4jWpw40HZczL4rR", "3Pt2mN2VXxznjll", "0A1B2C"],
)
def test_queue_ids(text):
    assert QUEUE_ID.fullmatch(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "-", "ALL", "all", "hold", "deferred", "../hold/BD6582483ED", "hold/BD6582483ED", "BD6582483ED\n",
        "BD6582483ED ", "bd6582483ed", "4jWpw36fNkzL4qz", "4jWpw36fNkL4ql", "BD658*", "-d", "A" * 60, "４BD6582483",
    ],
)  # fmt: skip
def test_what_is_no_queue_id(text):
    assert not QUEUE_ID.fullmatch(text)


def test_the_hold_queue():
    assert list(queued(POSTQUEUE)) == [
        Queued(
            "4jWpw36fNkzL4ql", 1795258404, 395, "eve@attacker.example", ("bob@receiver.example", "zoe@receiver.example")
        ),
        Queued("BD6582483ED", 1795258314, 302, "", ("bob@receiver.example",)),
    ]


def test_a_message_that_is_seen_twice_is_one():
    """Postfix lists queues while messages move."""
    assert list(queued(POSTQUEUE + POSTQUEUE)) == list(queued(POSTQUEUE))


def test_an_empty_queue():
    assert list(queued(b"")) == []


@pytest.mark.parametrize(
    "printed",
    [
        b"Mail queue is empty\n", b"{}\n", b"[]\n", b"3\n", b'"x"\n', b"\n", b"[" * 100_000, b'{"queue_name": "hold"}',
        POSTQUEUE.replace(b"395", b"1e999"), POSTQUEUE.replace(b'"4jWpw36fNkzL4ql"', b"[]"), POSTQUEUE[:50],
    ],
)  # fmt: skip
def test_a_postqueue_that_is_not_known(printed):
    with pytest.raises(Unavailable, match="is not understood"):
        list(queued(printed))


@given(st.binary() | st.lists(st.sampled_from(list(POSTQUEUE.split(b'"'))), max_size=30).map(b'"'.join))
def test_whatever_postqueue_prints(printed):
    try:
        found = list(queued(printed))
    except Unavailable:
        return
    assert all(isinstance(each, Queued) for each in found)


def test_queue_files():
    header = RESULTS + VERDICT + RECEIVED + LETTER
    printed = printed_by_postcat(b"hold/C08FE2483EE", header) + printed_by_postcat(b"deferred/BD6582483ED", LETTER)
    assert list(queue_files(printed)) == [("hold/C08FE2483EE", header), ("deferred/BD6582483ED", LETTER)]


def test_a_queue_file_that_breaks_off():
    whole = printed_by_postcat(b"hold/C08FE2483EE", LETTER)
    for size in range(len(whole)):
        assert list(queue_files(whole[:size])) == []


def test_a_header_section_ends_with_the_file():
    """What stands in the place of its end is none of its lines."""
    lines = printed_by_postcat(b"hold/A", VERDICT).splitlines(keepends=True)
    assert lines[-1].startswith(b"*** MESSAGE FILE END")
    place = next(number for number, line in enumerate(lines) if line.startswith(b"*** HEADER EXTRACTED"))
    assert list(queue_files(b"".join([*lines[:place], lines[-1], *lines[place:]]))) == []


@given(st.lists(st.sampled_from(printed_by_postcat(b"hold/A", VERDICT).splitlines(keepends=True)), max_size=40))
def test_whatever_postcat_prints(lines):
    for path, header in queue_files(b"".join(lines)):
        assert path == "hold/A"
        assert b"MESSAGE FILE END" not in header


HELD = ("dmarc.quarantine", resinfos(RESULTS.strip().partition(b": ")[2]))
FORGED = VERDICT.replace(b"dmarc.quarantine", b"forged")
CASES = {
    "ours": (RESULTS + VERDICT + RECEIVED + LETTER, HELD),
    "ours, with a forged one below": (RESULTS + VERDICT + RECEIVED + FORGED + LETTER, HELD),
    "ours, with another milter's results below": (
        RESULTS + VERDICT + b"Authentication-Results: earlier.example; none\n" + RECEIVED + LETTER,
        HELD,
    ),
    "ours, in other letters": (RESULTS + VERDICT.lower() + RECEIVED, HELD),
    "ours, where header_checks removes Received": (RESULTS + VERDICT + LETTER, HELD),
    "ours, by a rule with blanks": (
        RESULTS + VERDICT.replace(b"dmarc.quarantine", b"no lists; expires=never") + RECEIVED,
        ("no lists", HELD[1]),
    ),
    "an operator's": (b"Authentication-Results: mx.receiver.example; none\n" + RECEIVED + LETTER, None),
    "forged by a sender": (RECEIVED + RESULTS + VERDICT + LETTER, None),
    "forged below our results": (RESULTS + RECEIVED + VERDICT + LETTER, None),
    "forged in the body": (RESULTS + RECEIVED + LETTER + b"\n" + RESULTS + VERDICT, None),
    "no results": (VERDICT + RECEIVED + LETTER, None),
    "results below": (VERDICT + RESULTS + RECEIVED + LETTER, None),
    "tagged, not held": (RESULTS + VERDICT.replace(b"hold", b"tag") + RECEIVED + LETTER, None),
    "tagged, and a hold below": (RESULTS + VERDICT.replace(b"hold", b"tag") + VERDICT + RECEIVED + LETTER, None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_ours(name):
    header, expected = CASES[name]
    assert judged(header, "X-Mailassay-Verdict") == expected


def test_the_name_is_the_policys():
    header = RESULTS + VERDICT.replace(b"X-Mailassay-Verdict", b"X-Our-Verdict") + RECEIVED
    assert judged(header, "X-Our-Verdict") == HELD
    assert judged(header, "X-Mailassay-Verdict") is None


PARTS = [RESULTS, VERDICT, RECEIVED, LETTER, b"\n", b" folded\n", b"Authentication-Results: x; y\n", b"\xff:\n"]


@given(st.binary() | st.lists(st.sampled_from(PARTS)).map(b"".join))
def test_whatever_header_section(header):
    found = judged(header, "X-Mailassay-Verdict")
    assert found is None or VERDICT in header


def test_the_author_domain():
    one = next(queued(POSTQUEUE))
    assert Held(one, *HELD).author_domain == "shop.example"
    assert Held(one, "spf.fail", HELD[1][:-1]).author_domain == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["release"], ["delete"], ["show"], ["nonsense"], ["release", "--all", "BD6582483ED"], ["delete", "--dry-run"],
        ["delete", "--older", "7d", "BD6582483ED"], ["delete", "--all", "--domain", "shop.example"],
        ["--older", "7"], ["--older", "d"], ["--older", "-1d"], ["--older", "1y"], ["--domain", "a b"],
        ["--remind", "soon"], ["--json", "release", "--all"], ["--dry-run", "release"],
        ["--remind", "3d", "delete", "--all"],
    ],
)  # fmt: skip
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["held", *arguments])
    assert stopped.value.code == 2
    assert "usage: mailassay held" in capsys.readouterr().err


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A folder that is the only one with programs of Postfix."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(hold_queue, "_SBIN", str(tmp_path))
    script(tmp_path, "postconf", f"echo {tmp_path}")
    return tmp_path


def test_without_postfix(tools, capsys):
    (tools / "postconf").unlink()
    assert main(["held"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err == "mailassay: there is no postconf here: Postfix is not installed\n"


def test_without_main_cf(tools, monkeypatch, capsys):
    """postconf would sleep for a second, and fail."""
    monkeypatch.setenv("MAIL_CONFIG", str(tools / "etc"))
    script(tools, "postconf", f"touch {tools}/asked")
    assert main(["held"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err == "mailassay: Postfix has no main.cf here, or this user cannot see it\n"
    assert not (tools / "asked").exists()


def test_a_tool_that_fails(tools, capsys):
    script(tools, "postqueue", "echo 'postqueue: fatal: invalid option -- j' >&2; exit 69")
    assert main(["held"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err == "mailassay: postqueue: invalid option -- j\n"


def test_a_postfix_that_is_down(tools, capsys):
    """What it says first is what it is about."""
    script(
        tools,
        "postqueue",
        """echo 'postqueue: warning: Mail system is down -- accessing queue directly (Connect to showq: gone)' >&2
        echo 'postqueue: fatal: malformed showq server response' >&2; exit 69""",
    )
    assert main(["held"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err == (
        "mailassay: postqueue: Mail system is down -- accessing queue directly (Connect to showq: gone); "
        "malformed showq server response\n"
    )
    assert hold_queue.Queue().is_down()
    script(tools, "postqueue", "")
    assert not hold_queue.Queue().is_down()


@pytest.mark.parametrize("count", [1, 1000])
def test_a_release_is_one_queue_run(tools, count):
    """Of what is due, whatever else is deferred."""
    queue_ids = [f"{0xA0000000 + number:X}" for number in range(count)]
    released = [f"postsuper: {each}: released from hold" for each in queue_ids]
    (tools / "said").write_text("\n".join([*released, ""]))
    script(tools, "postsuper", f"PATH=/usr/bin:/bin; cat {tools}/said >&2")
    for name in ("postqueue", "postkick"):
        script(tools, name, f'echo "${{0##*/}} $*" >> {tools}/calls')
    assert hold_queue.Queue().release(queue_ids) == set(queue_ids)
    assert (tools / "calls").read_text() == "postkick public qmgr D\n"


def test_what_was_not_released_makes_no_queue_run(tools):
    script(tools, "postsuper", "")
    assert hold_queue.Queue().release(["A0000000"]) == set()


def test_a_tool_that_prints_something_else(tools, capsys):
    script(tools, "postqueue", "echo 'Mail queue is empty'")
    assert main(["held", "--json"]) == os.EX_PROTOCOL
    assert capsys.readouterr().err == "mailassay: the output of postqueue -j is not understood\n"


@pytest.fixture
def one_held(tools):
    """The queue id of a message that mailassay put on hold; whatever would change the queue fails."""
    (tools / "queue").write_bytes(POSTQUEUE.splitlines()[0] + b"\n")
    (tools / "file").write_bytes(printed_by_postcat(b"hold/4jWpw36fNkzL4ql", RESULTS + VERDICT + RECEIVED + LETTER))
    script(tools, "postqueue", f"PATH=/usr/bin:/bin; cat {tools}/queue")
    script(
        tools,
        "postcat",
        f"PATH=/usr/bin:/bin; case $1 in -qh|-qbh) printf 'Subject: \\351\\n\\n';; *) cat {tools}/file;; esac",
    )
    script(tools, "postsuper", "exit 1")
    return "4jWpw36fNkzL4ql"


@pytest.mark.parametrize("arguments", [["show", "--json"], ["--json", "show"], ["show", "--json", "--body"]])
def test_show_for_programs(one_held, capsys, arguments):
    assert main(["held", *arguments, one_held, "A0000000"]) == 1
    printed = capsys.readouterr()
    (shown,) = json.loads(printed.out)
    assert "A0000000" in printed.err
    assert shown.pop("content") == "Subject: \ufffd\n\n"
    assert main(["held", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert {**shown, "age": 0} == {**listed, "age": 0}


@pytest.mark.parametrize(
    "arguments",
    [["--dry-run", "release", "--all"], ["release", "--all", "--dry-run"], ["--dry-run", "delete", "--all"]],
)
def test_a_dry_run_changes_nothing_wherever_it_is_said(one_held, capsys, arguments):
    assert main(["held", *arguments]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("would be ")
    assert one_held in printed


def test_a_dry_run_of_the_list_is_the_list(one_held, capsys):
    assert main(["held", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(one_held)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_long_queue(tools, monkeypatch, capsys):
    """One postqueue, and a postcat for 500 messages each; a terminal hears how far it is."""
    entry = json.loads(POSTQUEUE.splitlines()[0])
    queue = [json.dumps({**entry, "queue_id": f"{0xA0000000 + number:X}"}) for number in range(1001)]
    (tools / "queue").write_text("\n".join(queue) + "\n")
    (tools / "file").write_bytes(printed_by_postcat(b"hold/ID", RESULTS + VERDICT + RECEIVED + LETTER))
    tool = f"PATH=/usr/bin:/bin; echo $0 >> {tools}/calls"
    script(tools, "postqueue", f"{tool}; cat {tools}/queue")
    script(
        tools,
        "postcat",
        f"""{tool}; shift; for id; do echo "$id"; done | awk -v file={tools}/file '
        BEGIN {{ while ((getline line < file) > 0) text = text line "\\n" }}
        {{ copy = text; gsub("hold/ID", "hold/" $0, copy); printf "%s", copy }}'""",
    )
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert main(["held"]) == 0
    assert "\n1001 messages held, the oldest for " in capsys.readouterr().out
    progress = terminal.getvalue()
    assert re.match(r"\r\[\.{30}\]   0%  1 messages\r", progress)
    assert progress.endswith("\r\x1b[K")
    calls = (tools / "calls").read_text().split()
    assert [os.path.basename(call) for call in calls] == ["postqueue", "postcat", "postcat", "postcat"]
    capsys.readouterr()
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert main(["held", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 1001
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("arguments", [[], ["release", "--all"], ["delete", "--all"], ["show", "BD6582483ED"]])
def test_a_policy_that_is_broken(tools, capsys, arguments):
    """The mistake is said, and the queue is looked at all the same."""
    script(tools, "postqueue", "exit 0")
    (tools / "c").write_text("policy: p\n")
    (tools / "p").write_text("mood: x\nmode: y\n")
    status = main(["held", "--config", str(tools / "c"), *arguments])
    output, errors = capsys.readouterr()
    assert errors.startswith(f"mailassay: {tools / 'p'}:1:1: unknown key `mood`")
    assert "(and 1 more)" in errors
    assert status == (1 if "show" in arguments else 0)
    if "show" in arguments:
        assert errors.splitlines()[1:] == ["mailassay: BD6582483ED is not in the hold queue"]
    else:
        assert output == "mailassay holds no message\n"


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The folder where it is kept of what mail has told."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "told"))
    return tmp_path / "told"


def test_when_mail_is_due(told):
    now = 1e9
    assert reminder.is_due(["A"], now)
    reminder.remember(["A", "B"], now)
    for queue_ids, later, due in [
        (["A", "B"], 3600, False),
        (["B"], 3600, False),
        (["B", "C"], 3600, True),
        (["A"], reminder.AGAIN - 1, False),
        (["A"], reminder.AGAIN, True),
        # the clock was set back
        (["A"], -3600, True),
    ]:
        assert reminder.is_due(queue_ids, now + later) is due, (queue_ids, later)
    for text in ("", "{}", "[]", "null", '{"queue_ids": 1, "sent": 1}', '{"queue_ids": ["A"], "sent": "x"}', "\udcff"):
        (told / "reminded").write_text(text, errors="surrogateescape")
        assert reminder.is_due(["A"], now), text


def test_no_link_is_followed(told, tmp_path):
    """The folder may be another user's."""
    told.mkdir()
    other = tmp_path / "other"
    other.write_text("x")
    (told / "reminded").symlink_to(other)
    reminder.remember(["A"], 1e9)
    assert other.read_text() == "x"
    assert [path.name for path in told.iterdir()] == ["reminded"]
    assert not reminder.is_due(["A"], 1e9 + 1)


def test_the_mail():
    lines = [f"{number:X}  1h  m\xfcller.example  dmarc.quarantine" for number in range(reminder.MOST_LISTED + 7)]
    found = email.message_from_bytes(reminder.mail("a@b.example", "mx", "1h", lines, 1e9), policy=email.policy.default)
    assert found["To"] == "a@b.example"
    assert found["Subject"] == "107 messages are held on mx"
    assert found["Auto-Submitted"] == "auto-generated"
    text = found.get_content()
    assert lines[reminder.MOST_LISTED - 1] in text
    assert lines[reminder.MOST_LISTED] not in text
    assert "\nand 7 more\n" in text


def test_mail_that_cannot_be_sent(tools, told, capsys, caplog, monkeypatch):
    """The exit status says so, and the next run tries again; that what was told is not kept is a warning."""
    told.mkdir()
    (tools / "c").write_text("held: {remind_to: a@b.example}")
    monkeypatch.setattr("mailassay.judge.logline.set_up", lambda *_: None)
    monkeypatch.setattr("mailassay.cli.held.ours", lambda *_: [Held(queued_now(), "dmarc.quarantine", ())])
    script(tools, "postqueue", "")
    script(tools, "sendmail", "echo 'sendmail: fatal: no space' >&2; exit 75")
    command = ["held", "--config", str(tools / "c"), "--remind", "0s"]
    assert main(command) == os.EX_UNAVAILABLE
    assert "mailassay: sendmail: no space\n" in capsys.readouterr().err
    script(tools, "sendmail", f'echo "$@" >>{tools}/sent; while read -r line; do echo "$line"; done >>{tools}/mail')
    told.rmdir()
    told.write_text("")
    assert main(command) == 0
    assert main(command) == 0
    assert caplog.text.count("cannot record what the mail to a@b.example reported") == 2
    told.unlink()
    for _ in range(2):
        assert main(command) == 0
    assert (tools / "sent").read_text().splitlines() == ["-i -f <> -- a@b.example"] * 3
    assert (tools / "mail").read_text().count("Subject: 1 message is held on ") == 3


def test_figures_for_the_metrics(tools, told, caplog, monkeypatch):
    """They are left for another user's process, if there is a history, and never in the way of the mail."""
    monkeypatch.setattr("mailassay.judge.logline.set_up", lambda *_: None)
    found = [Held(queued_now(), "dmarc.quarantine", ())]
    monkeypatch.setattr("mailassay.cli.held.ours", lambda *_: found)
    script(tools, "postqueue", "")
    config = tools / "c"
    command, file = ["held", "--config", str(config), "--remind", "12h"], told / "figures"
    config.write_text("{}")
    assert main(command) == 0
    assert not told.exists()
    config.write_text("history: {directory: /nowhere}")
    begun = time.time()
    assert main(command) == 0
    figures = reminder.figures(file)
    assert begun <= figures.time <= time.time()
    assert (figures.messages, figures.oldest) == (1, found[0].queued.arrived)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    found.clear()
    assert main(command) == 0
    assert reminder.figures(file).messages == 0
    assert caplog.text == ""
    file.unlink()
    told.rmdir()
    told.write_text("")
    assert main(command) == 0
    assert caplog.text.count("the metrics will not show how many messages are held: ") == 1


def queued_now():
    return Queued("BD6582483ED", int(time.time()) - 60, 1000, "", ("bob@receiver.example",))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m 0s"),
        (3599, "59m 59s"),
        (3.5 * 86_400, "3d 12h"),
        (8 * 86_400, "1w 1d"),
    ],
)
def test_how_long_a_message_waits_is_told_in_two_units(seconds, text):
    assert in_units(seconds) == text
