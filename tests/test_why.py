"""`mailassay why` and `mailassay history`, on real files and as processes."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from mailassay.cli import main
from mailassay.collector import Collector
from mailassay.config import History, KeptAddresses, Settings
from mailassay.explain.recorded import Recorded
from mailassay.history.record import Judged, line
from mailassay.policy import Policy
from mailassay.verdict import Action
from tests.lab import spooled
from tests.lab.cases import judged, load
from tests.lab.program import ENVIRONMENT, PROGRAM
from tests.lab.screens import screen
from tests.lab.spooled import segment

CASES = {each.name: each for each in load()}
SPOOF = next(each for each in CASES.values() if each.rule == "dmarc.reject" and not each.policy)
HONEST = next(each for each in CASES.values() if each.verdict == "accept" and "pass" in str(each.results.get("dmarc")))
THEN = 1_790_000_000.0
HOSTILE = "\u202e\x1b[2J<script>\nverdict  accept"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A history: a long queue id, a short one that was used twice, and a message of a hostile sender in the spool."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text(f"history:\n  directory: {tmp_path}\n")
    spoof = judged(SPOOF, Policy())
    at = {"policy_path": "/etc/mailassay/policy.yaml", "policy_lines": {"dmarc.reject": 12}}
    segment(
        tmp_path,
        kept(replace(spoof, queue_id="4AB12"), THEN, **at),
        kept(replace(judged(HONEST, Policy()), queue_id="4bXyZk2mNzQqL"), THEN + 60),
        kept(replace(spoof, queue_id="4AB12", message_id="<second@x>"), THEN + 120, **at),
    )
    collected(tmp_path)
    transaction = replace(spoof.transaction, mail_from=f"{HOSTILE}@x.example", recipients=(f"{HOSTILE}@y.example",))
    connection = replace(spoof.connection, helo=HOSTILE)
    hostile = replace(spoof, transaction=transaction, connection=connection, message_id=HOSTILE, queue_id="4CD34")
    segment(tmp_path, kept(hostile, THEN + 180))
    return tmp_path


def kept(found, at, addresses=KeptAddresses.FULL, **given):
    settings = Settings(history=History(addresses=addresses), **given)
    # the time of the checks is not the same each time
    return line(Judged(replace(found, seconds=0.0042), settings, at), "mx1")


def collected(folder):
    collector = Collector(History(directory=str(folder)), "mx1", lambda: THEN)
    collector.once()
    collector.close()


def run(capsys, *command):
    """Exit status, standard output, standard error."""
    try:
        status = main(command)
    except SystemExit as end:
        status = end.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err.replace("\n    ", " ")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("why", ["why", "4AB12", "--since", "2026-09-21T14:14Z", "--now"]),
        ("why-honest", ["why", "4bXyZk2mNzQqL"]),
        ("why-hostile", ["why", "4CD34"]),
        ("why-nothing", ["why", "nobody@nowhere.example"]),
        ("history", ["history"]),
        ("history-usage", ["history", "--since", "2x"]),
        ("history-narrow", ["history"]),
        ("history-wide", ["history"]),
    ],
)
def test_screen(name, command, capsys, monkeypatch):
    if name.startswith("history-"):
        monkeypatch.setenv("COLUMNS", {"history-narrow": "80", "history-wide": "140"}.get(name, "100"))
    with contextlib.suppress(SystemExit):
        main(command)
    printed = capsys.readouterr()
    out, err = printed.out, printed.err
    said = re.sub(r"version [0-9][^\s]*|policy +changed since: .*", lambda each: each[0].split()[0] + " ...", out + err)
    assert said == screen(name, said)
    assert "\x1b" not in said
    assert "\u202e" not in said


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4AB12", ["4AB12", "4AB12"]),
        ("4bXyZk2mNzQqL", ["4bXyZk2mNzQqL"]),
        ("<second@x>", ["4AB12"]),
        ("second@x", ["4AB12"]),
        (HOSTILE, ["4CD34"]),
        (SPOOF.connection.mail_from.upper(), ["4AB12", "4bXyZk2mNzQqL", "4AB12"]),
        ("bob@receiver.example", ["4AB12", "4bXyZk2mNzQqL", "4AB12"]),
        (SPOOF.header_from or "bank.example", None),
        (SPOOF.connection.client, None),
    ],
)
def test_ids(text, expected, capsys):
    status, out, _ = run(capsys, "why", text, "--json", "--all")
    found = [json.loads(each) for each in out.splitlines()]
    assert status == 0
    if expected is None:
        assert "4AB12" in {each["queue_id"] for each in found}
    else:
        assert [each["queue_id"] for each in found] == expected
    assert [each["time"] for each in found] == sorted(each["time"] for each in found)
    assert set(found[0]) >= {"verdict", "rule", "line", "file", "evidence", "alignment", "policy_changed", "reply"}


def readable(found, but):
    return found if found["queue_id"] != but else {**found, "seconds": "x"}


def test_the_latest_few(folder, capsys, monkeypatch):
    spoof = judged(SPOOF, Policy())
    many = [replace(spoof, queue_id=f"4EE{number}", message_id="<same@x>") for number in range(9)]
    segment(folder, *(kept(each, THEN + 1000 + number) for number, each in enumerate(many)))
    _, out, err = run(capsys, "why", SPOOF.connection.client, "--json")
    assert [json.loads(each)["queue_id"] for each in out.splitlines()] == [f"4EE{number}" for number in range(4, 9)]
    assert "these are the latest 5; --all shows more" in err
    _, out, err = run(capsys, "why", SPOOF.connection.client, "--json", "--all", "--since", f"@{int(THEN)}")
    assert len(out.splitlines()) >= 11
    assert err == ""
    # one that is not shown is not spoken of
    monkeypatch.setattr("mailassay.cli.why.Recorded", lambda found: Recorded(readable(found, but="4EE3")))
    assert "cannot be read" not in run(capsys, "why", SPOOF.connection.client)[2]
    monkeypatch.setattr("mailassay.cli.why.Recorded", lambda found: Recorded(readable(found, but="4EE4")))
    assert "cannot be read" in run(capsys, "why", SPOOF.connection.client)[2]
    monkeypatch.setattr("mailassay.cli.why.Recorded", Recorded)
    monkeypatch.setattr("mailassay.cli.why._MANY", 7)
    for each in (SPOOF.connection.client, "<same@x>"):
        # a sender chooses the Message-ID, and may choose the same one again and again
        _, out, err = run(capsys, "why", each, "--json", "--all")
        assert [json.loads(each)["queue_id"] for each in out.splitlines()] == [f"4EE{number}" for number in range(2, 9)]
        assert err == "these are the latest 7\n"
    _, out, err = run(capsys, "history", "-n", "2", "--client", f"{SPOOF.connection.client}/24", "--json")
    assert [json.loads(each)["queue_id"] for each in out.splitlines()] == ["4EE7", "4EE8"]
    assert "these are the latest 2; -n shows more" in err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--verdict", "reject"], ["4AB12", "4AB12", "4CD34"]),
        (["--would", "accept"], ["4bXyZk2mNzQqL"]),
        (["--rule", "dmarc.reject", "--until", f"@{int(THEN) + 1}"], ["4AB12"]),
        (["--result", "dmarc=pass"], ["4bXyZk2mNzQqL"]),
        (["--result", "dmarc=fail", "--result", "dmarc=pass"], []),
        (["--recipient", "Bob@Receiver.Example"], ["4AB12", "4bXyZk2mNzQqL", "4AB12"]),
        (["--recipient", "y.example"], ["4CD34"]),
        (["--author", "example", "--since", f"@{int(THEN) + 100}"], ["4AB12", "4CD34"]),
        (["--since", "2026-09-21", "--client", "0.0.0.0/0"], ["4AB12", "4bXyZk2mNzQqL", "4AB12", "4CD34"]),
        (["--since", "1d"], []),
    ],
)
@pytest.mark.usefixtures("folder")
def test_filters(given, expected, capsys):
    status, out, err = run(capsys, "history", "--json", *given)
    assert status == 0
    assert [json.loads(each)["queue_id"] for each in out.splitlines()] == expected
    assert ("no message matches; the history goes back to 2026-09-21 14:13:20" in err) is not expected


OURS = {"evidence": None, "kind_of_rule": "unjudged", "rule": "authenticated"}
OUTGOING = [
    spooled.record("4FF1", **OURS, time=THEN + 301, signed_by=["bank.example/a"], signed_with=["rsa-sha256"]),
    spooled.record("4FF2", **OURS, time=THEN + 302, unsigned="envelope"),
    spooled.record("4FF3", **OURS, time=THEN + 303, unsigned="domain"),
    spooled.record("4FF4", **OURS, time=THEN + 304),
]


@pytest.mark.parametrize("moves", [True, False], ids=["database", "spool"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--signed"], ["4FF1"]),
        (["--unsigned"], ["4FF2", "4FF3"]),
        (["--unsigned", "envelope"], ["4FF2"]),
        (["--unsigned=limit"], []),
        (["--unsigned", "--rule", "dmarc.reject"], []),
        (["--unsigned", "--client", "192.0.2.1", "-n", "1"], ["4FF3"]),
    ],
)
def test_outgoing_mail(folder, given, expected, moves, capsys):
    segment(folder, *OUTGOING)
    if moves:
        collected(folder)
    status, out, _ = run(capsys, "history", "--json", *given)
    assert status == 0
    assert [json.loads(each)["queue_id"] for each in out.splitlines()] == expected


def test_the_lines_of_outgoing_mail(folder, capsys, monkeypatch):
    segment(folder, *OUTGOING)
    _, out, _ = run(capsys, "history", "-n", "4")
    assert [re.split("  +", each)[-2:] for each in out.splitlines()] == [
        ["192.0.2.1", "signed"],
        ["192.0.2.1", "unsigned:envelope"],
        ["192.0.2.1", "unsigned:domain"],
        ["192.0.2.1", "authenticated"],
    ]
    monkeypatch.setenv("COLUMNS", "140")
    _, out, _ = run(capsys, "history", "-n", "4")
    assert re.split("  +", out.splitlines()[1])[-2:] == ["unsigned:envelope", "authenticated"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--unsigned", "maybe"], "'maybe' is no reason: expected one of author, domain, envelope, "),
        (["--unsigned", "--signed"], "not allowed with argument"),
        (["--since", "yesteryear"], "'yesteryear' is not a time; examples are 2d, 12h"),
        (["--until", "-3z"], "is not a time"),
        (["--author", "a b"], "'a b' is not a domain name, such as bank.example"),
        (["--client", "300.1.1.1"], "is not an IP address or a network, such as 192.0.2.1"),
        (["--result", "dkim"], "'dkim' is not a result, such as dkim=fail"),
        (["--result", "spam=fail"], "is not a result"),
        (["--verdict", "bounce"], "invalid choice: 'bounce' (choose from "),
        (["--recipient", ""], "expected a text that is not empty"),
        (["--rule", " "], "expected a text that is not empty"),
        (["-n", "0"], "'0' is not a number of messages, such as 20"),
        (["-n", "100001"], "for more than 100000, ask for one span of time after the other"),
        (["-n", "\u0663"], "is not a number"),
    ],
)
def test_values_that_are_refused(given, words, capsys):
    status, _, err = run(capsys, "history", *given)
    assert status == 2
    assert words in err
    assert "Traceback" not in err
    assert "<Action" not in err


def test_an_id_that_is_empty(capsys):
    status, _, err = run(capsys, "why", "")
    assert status == 2
    assert "expected a text that is not empty" in err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "given", [["why", "\udcff"], ["history", "--rule", "\udcff"], ["history", "--recipient", "\udcff@x"],
              ["report", "--host", "\udcff"]],
)  # fmt: skip
def test_what_is_not_utf_8(capsys, given):
    """No database can be asked for it."""
    with pytest.raises(SystemExit) as raised:
        main(given)
    assert raised.value.code == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_there_is_no_history(folder, capsys):
    (folder / "config.yaml").write_text("{}\n")
    for command in (["why", "x"], ["history"]):
        status, _, err = run(capsys, *command)
        assert status == os.EX_CONFIG
        assert "there is no history: set history.directory in the configuration" in err
    (folder / "config.yaml").write_text("history: {directory: here}\n")
    for command in (["why", "x"], ["history"]):
        status, _, err = run(capsys, *command)
        assert status == os.EX_CONFIG
        assert "the absolute path of a folder" in err
        assert "there is no history" not in err


def test_an_empty_history(tmp_path, folder, capsys):
    (tmp_path / "new").mkdir()
    (folder / "other.yaml").write_text(f"history:\n  directory: {tmp_path}/new\n")
    status, _, err = run(capsys, "why", "4AB12", "--config", "other.yaml")
    assert status == 1
    assert "no message has 4AB12 as its queue id or Message-ID; there is no message in the history yet" in err
    assert run(capsys, "why", "4AB12")[0] == 0


def test_a_database_that_cannot_be_read(folder, capsys):
    (folder / "history.sqlite").write_bytes(b"nonsense" * 1000)
    status, out, err = run(capsys, "why", "4AB12")
    assert (status, out) == (os.EX_NOINPUT, "")
    assert "history.sqlite cannot be read" in err


SLOW_TO_LOAD = ("sqlalchemy", "cryptography", "dkim", "dns", "spf")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("command", [["why", "4AB12"], ["why", "bank.example"], ["history", "-n", "9"]])
def test_no_library_is_loaded_that_takes_longer_than_the_search(command):
    """And not every installation has SQLAlchemy."""
    done = without(SLOW_TO_LOAD, *command)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4AB12" in done.stdout


@pytest.mark.usefixtures("folder")
def test_without_sqlalchemy():
    done = without(["sqlalchemy"], "report")
    assert done.returncode == os.EX_UNAVAILABLE
    assert done.stderr == "mailassay report needs sqlalchemy: pip install 'mailassay[history]'\n"


def without(libraries, *command):
    """A command, if these libraries cannot be loaded."""
    code = "import sys\nfor each in sys.argv[1].split(): sys.modules[each] = None\n"
    code += "from mailassay.cli import main\nsys.exit(main(sys.argv[2:]))"
    words = [PROGRAM[0], "-c", code, " ".join(libraries), *command, "--config", "config.yaml"]
    return subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, check=False)


@pytest.mark.parametrize(
    ("addresses", "text", "words"),
    [
        ("none", "bob@receiver.example", "history.addresses is none, so messages cannot be found by recipient"),
        ("domain", "bob@elsewhere.example", "history.addresses is domain, so messages can be found by the domain"),
        ("full", "bob@elsewhere.example", None),
    ],
)
def test_addresses_that_are_not_kept(tmp_path, folder, capsys, addresses, text, words):
    (tmp_path / "new").mkdir()
    (folder / "config.yaml").write_text(f"history:\n  directory: {tmp_path}/new\n  addresses: {addresses}\n")
    segment(tmp_path / "new", kept(judged(SPOOF, Policy()), THEN, KeptAddresses(addresses)))
    for command in (["why", text], ["history", "--recipient", text]):
        _, out, err = run(capsys, *command)
        assert out == ""
        if words:
            assert words in err
        else:
            assert "history.addresses" not in err
    if addresses == "domain":
        assert run(capsys, "why", "@receiver.example")[0] == 0


def test_a_mistake_in_the_configuration(folder, capsys):
    """It is said, and the message is shown all the same; only --now needs the policy."""
    with (folder / "config.yaml").open("a") as file:
        file.write("workers: many\n")
    status, out, err = run(capsys, "why", "4bXyZk2mNzQqL")
    assert status == 0
    assert "workers" in err
    assert "policy" not in out.split("\n\n")[0]
    assert run(capsys, "why", "4bXyZk2mNzQqL", "--now")[0] == os.EX_CONFIG


def test_the_policy_has_changed(folder, capsys):
    (folder / "policy.yaml").write_text("dmarc:\n  reject: hold\n")
    with (folder / "config.yaml").open("a") as file:
        file.write(f"policy: {folder}/policy.yaml\n")
    _, out, _ = run(capsys, "why", "second@x", "--now")
    assert re.search("^policy +changed since: it was [0-9a-f]{12}, and is [0-9a-f]{12} now$", out, re.MULTILINE)
    assert f"now           hold  (setting dmarc.reject, line 2 of {folder}/policy.yaml)" in " ".join(
        out.split("\n")
    ) or ("now           hold  (setting dmarc.reject, line 2" in out)
    _, out, _ = run(capsys, "why", "second@x", "--now", "--json")
    found = json.loads(out)
    assert (found["verdict"], found["now"]["verdict"], found["policy_changed"]) == (Action.REJECT, Action.HOLD, True)


def test_a_clock_that_is_wrong_by_ages(folder, capsys):
    """The messages are listed all the same, and `why` says what it cannot."""
    spoof = judged(SPOOF, Policy())
    segment(folder, kept(replace(spoof, queue_id="4AGES"), 2.0**39))
    status, out, _ = run(capsys, "history", "-n", "1")
    assert (status, out.split()[2]) == (0, "4AGES")
    status, out, err = run(capsys, "why", "4AGES")
    assert (status, out) == (1, "")
    assert "a record of this message cannot be read" in err


def test_follow(folder):
    """New messages appear, each once, until Ctrl-C."""
    command = [*PROGRAM, "history", "--follow", "-n", "1", "--json", "--config", str(folder / "config.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert json.loads(process.stdout.readline())["queue_id"] == "4CD34"
        spoof = judged(SPOOF, Policy())
        collected(folder)
        segment(folder, kept(replace(spoof, queue_id="4FF1"), THEN + 500))
        assert json.loads(process.stdout.readline())["queue_id"] == "4FF1"
        collected(folder)
        segment(folder, kept(replace(spoof, queue_id="4FF2"), THEN + 600))
        collected(folder)
        assert json.loads(process.stdout.readline())["queue_id"] == "4FF2"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        assert process.wait() == 128 + signal.SIGINT
