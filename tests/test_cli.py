"""The command line, as a person or a script uses it."""

import contextlib
import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mailassay
from mailassay.cli import main
from mailassay.cli.options import asked
from mailassay.config import Settings
from mailassay.doctor.facts import Process
from mailassay.moment import moment
from tests.lab.program import ENVIRONMENT, PROGRAM, ZONE
from tests.lab.screens import screen

MESSAGE = b"From: alice@bank.example\r\nSubject: x\r\n\r\nHello\r\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # the settings of the machine that runs the tests are not ours
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "no-such-file"))
    (tmp_path / "zone").write_text(ZONE)
    (tmp_path / "mail").write_bytes(MESSAGE)
    return tmp_path


def run(*arguments, stdin=b"", cwd=None, **environment):
    """The program as a process of its own."""
    return subprocess.run(
        [*PROGRAM, *arguments], input=stdin, capture_output=True, cwd=cwd, env={**ENVIRONMENT, **environment}
    )


GOOD = ["--ip", "192.0.2.1", "--helo", "mail.bank.example", "--mail-from", "alice@bank.example", "--zone", "zone"]
SPOOF = ["--ip", "198.51.100.66", "--helo", "x", "--mail-from", "alice@bank.example", "--zone", "zone"]


@pytest.mark.parametrize(("arguments", "status", "name"), [(GOOD, 0, "check-good"), (SPOOF, 1, "check-spoof")])
def test_check_explains(folder, capsys, arguments, status, name):
    (folder / "config.yaml").write_text("authserv_id: mx.receiver.example\n")
    assert main(["check", "mail", *arguments, "--config", "config.yaml"]) == status
    printed = capsys.readouterr().out
    assert printed == screen(name, printed)


@pytest.mark.usefixtures("folder")
def test_check_for_programs(capsys):
    assert main(["check", "mail", *SPOOF, "--json", "--rcpt", "bob@receiver.example"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert list(said) == [
        *("client", "results", "evidence", "remove", "add", "signing", "verdict"),
        *("message", "policy", "spf_terms", "dmarc_walks", "alignment", "dns"),
    ]
    assert said["results"]["dmarc"] == "fail"
    assert said["verdict"] == {
        "action": "reject",
        "rule": "dmarc.reject",
        "line": None,
        "reason": "DMARC fail for bank.example, whose policy is reject",
        "reply": "550 5.7.26 Email rejected per DMARC policy for bank.example",
        "would": "reject",
        "monitored": [],
        "override": "",
    }
    assert said["evidence"]["spf_mail_from"]["mechanism"] == "-all"


@pytest.mark.process
def test_check_reads_standard_input(folder):
    done = run("check", *GOOD, stdin=MESSAGE, cwd=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"verdict       accept" in done.stdout


@pytest.mark.process
def test_check_waits_for_no_typing(folder):
    terminal, other_end = os.openpty()
    done = subprocess.run(
        [*PROGRAM, "check"], stdin=other_end, capture_output=True, cwd=folder, env=ENVIRONMENT, timeout=60
    )
    os.close(terminal)
    os.close(other_end)
    assert done.returncode == 2
    assert b"name a FILE" in done.stderr


def test_check_with_a_policy(folder, capsys):
    (folder / "policy.yaml").write_text("mode: monitor\n")
    (folder / "config.yaml").write_text("policy: policy.yaml\nauthserv_id: mx.test.example\n")
    assert main(["check", "mail", *SPOOF, "--config", "config.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "monitor       enforced, it would be reject" in printed
    assert "Authentication-Results: mx.test.example;" in printed


NOON = datetime(2026, 5, 4, 12, 0, 30).timestamp()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOON),
        ("today", datetime(2026, 5, 4)),
        ("Yesterday", datetime(2026, 5, 3)),
        ("tomorrow", datetime(2026, 5, 5)),
        ("yesterday 14:30", datetime(2026, 5, 3, 14, 30)),
        ("9:05", ValueError),
        ("09:05", datetime(2026, 5, 4, 9, 5)),
        ("2 hours ago", NOON - 7200),
        ("1 week ago", NOON - 604_800),
        ("-2h", NOON - 7200),
        ("- 90 min", NOON - 5400),
        ("+1d", NOON + 86_400),
        ("1d 6h ago", NOON - 108_000),
        ("-1d6h30m5s", NOON - 109_805),
        ("2026-05-01", datetime(2026, 5, 1)),
        ("2026-05-01 10:00", datetime(2026, 5, 1, 10)),
        ("2026-05-01 10:00:05", datetime(2026, 5, 1, 10, 0, 5)),
        ("2026-05-01T10:00", datetime(2026, 5, 1, 10)),
        ("2026-05-01T10:00Z", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01 10:00 UTC", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01T10:00+02:00", datetime(2026, 5, 1, 8, tzinfo=UTC)),
        ("20260501", datetime(2026, 5, 1)),
        ("@1777888800", 1777888800.0),
        ("1777888800", 1777888800.0),
        *((text, ValueError) for text in ("", "x", "soon", "2h", "2 moons ago", "-", "-x", "ago", "2026-13-01", "@",
                                          "yesterday x", "@x", "25:00", "-99999999999999999w", "@9999999999999999999")),
    ],
)  # fmt: skip
def test_times(text, expected):
    if expected is ValueError:
        with pytest.raises(ValueError, match=r"yesterday, .*2 hours ago.*2026-05-04"):
            moment(text, NOON)
    else:
        assert moment(text, NOON) == (expected.timestamp() if isinstance(expected, datetime) else expected)


@given(st.text(alphabet="0123456789 -+@:thdmsagoyetr.Z", max_size=16))
def test_any_time_is_one_or_is_said_to_be_none(text):
    with contextlib.suppress(ValueError):
        assert isinstance(moment(text, NOON), float)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("at", ["yesterday", "-2h", "2 hours ago", "@1777888800"])
def test_check_at_some_time(at, capsys):
    assert main(["check", "mail", *GOOD, "--at", at, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["message"]["judged_at"] < time.time() - 3600


@pytest.mark.usefixtures("folder")
def test_an_mbox_of_one_message_is_that_message(folder, capsys):
    (folder / "mbox").write_bytes(b"\xef\xbb\xbfFrom alice@bank.example Fri Nov 20 10:00:00 2026\n" + MESSAGE)
    assert main(["check", "mbox", *GOOD]) == 0
    assert "dmarc         pass" in capsys.readouterr().out
    with (folder / "mbox").open("ab") as file:
        file.write(b"\nFrom eve@elsewhere.example Fri Nov 20 10:00:00 2026\n" + MESSAGE)
    assert main(["check", "mbox", *GOOD]) == 65
    assert "this is an mbox of 2 messages; judge them with --summary" in capsys.readouterr().err


QUEUED = b"""\
*** ENVELOPE RECORDS hold/BD6582483ED ***
message_size: 100 800 1 0 100 0
message_arrival_time: Fri Nov 20 10:00:00 2026
sender: alice@bank.example
named_attribute: client_address=192.0.2.1
named_attribute: helo_name=mail.bank.example
recipient: bob@receiver.example
*** MESSAGE CONTENTS hold/BD6582483ED ***
Received: from mail.bank.example (unknown [192.0.2.1])
\tby mx.receiver.example (Postfix) with ESMTP id BD6582483ED; Fri, 20 Nov 2026 10:00:00 +0000 (UTC)
From: alice@bank.example

Hello
*** HEADER EXTRACTED hold/BD6582483ED ***
*** MESSAGE FILE END hold/BD6582483ED ***
"""


@pytest.fixture
def postcat(folder, monkeypatch):
    """Postfix's tool, that says and does what is asked here."""
    (folder / "bin").mkdir()
    (folder / "printed").write_bytes(QUEUED)
    monkeypatch.setenv("PATH", f"{folder}/bin:/usr/bin:/bin")

    def does(script):
        (folder / "bin/postcat").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bin/postcat").chmod(0o755)

    does(f'[ "$*" = "-q BD6582483ED" ] && cat {folder}/printed')
    return does


@pytest.mark.usefixtures("postcat")
def test_a_queue_id(folder, capsys):
    assert main(["check", "BD6582483ED", "--zone", "zone"]) == 0
    said = capsys.readouterr().out
    assert "client        192.0.2.1  (the envelope of the queue file (client_address))" in said
    assert "dmarc         pass       bank.example" in said
    # a file of that name is what was meant
    (folder / "BD6582483ED").write_bytes(MESSAGE)
    assert main(["check", "BD6582483ED", *GOOD]) == 0
    assert "client        192.0.2.1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "name", "status", "said"),
    [
        ("echo 'postcat: fatal: open queue file BD6582483ED: No such file or directory' >&2; exit 1", "BD6582483ED",
         66, "BD6582483ED: there is no file and no queued message with that name"),
        ("echo 'postcat: fatal: open queue file hold/BD6582483ED: Permission denied' >&2; exit 1", "BD6582483ED",
         77, "BD6582483ED: postcat: open queue file hold/BD6582483ED: Permission denied"),
        ("exit 3", "BD6582483ED", 69, "BD6582483ED: postcat: exit status 3"),
        ("exit 3", "missing.eml", 66, "missing.eml: No such file or directory"),
        ("exit 3", "ALL", 66, "ALL: No such file or directory"),
    ],
)  # fmt: skip
def test_a_queue_id_that_is_none(postcat, capsys, script, name, status, said):
    postcat(script)
    assert main(["check", name, "--zone", "zone"]) == status
    assert capsys.readouterr().err == f"mailassay: {said}\n"


@pytest.mark.usefixtures("folder")
def test_a_client_that_is_not_judged(capsys):
    assert main(["check", "mail", "--ip", "127.0.0.1", "--zone", "zone"]) == 0
    assert "results    not judged (trusted_network)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["check", "--ip", "x", "mail"], ["check", "a", "b"], ["check", "--summary"], ["check", "--at", "x", "mail"],
     ["check", "--since", "today", "mail"], ["check", "--summary", "--since", "today", "--ip", "192.0.2.1", "mail"],
     ["nonsense"], ["serve", "--nonsense"], ["config"]],
)  # fmt: skip
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: mailassay" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["serve"], ["check"], ["config"], ["config", "check"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--help"])
    assert stopped.value.code == 0
    assert "usage: mailassay" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"mailassay {mailassay.__version__}\n"


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["check", "missing", *GOOD], 66, "mailassay: missing: No such file or directory"),
        (["check", ".", *GOOD], 66, "mailassay: .: Is a directory"),
        (["check", "mail", "--ip", "192.0.2.1", "--zone", "missing"], 74, "missing"),
        (["check", "mail", "--ip", "192.0.2.1", "--zone", "mail"], 78, "mail:1: expected"),
        (["check", "mail", *GOOD, "--config", "missing"], 78, "missing"),
        (["check", "mail", *GOOD, "--config", "bad.yaml"], 78, "bad.yaml:2:1: unknown key `polcy`; did you mean"),
        (["check", "mail", *GOOD, "--policy", "missing"], 78, "missing:1:1: cannot be read"),
        (["check", "mail", *GOOD, "--policy", "bad.yaml"], 78, "bad.yaml:1:1: unknown key"),
        (["check", "mail"], 65, "mail: no Received field has the client's address; give it with --ip"),
        (["check", "--ip=192.0.2.1", "--summary", "mail", "--zone", "missing"], 74, "missing"),
        (["serve", "--config", "bad.yaml"], 78, "bad.yaml:2:1"),
        (["serve", "--config", "nowhere.yaml"], 71, "cannot listen on unix:/nonexistent/socket: folder /nonexistent"),
        (["config", "check", "--config", "bad.yaml"], 1, "bad.yaml:2:1"),
        (["config", "check", "--config", "missing"], 1, "missing"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_words(folder, arguments, status, said):
    (folder / "bad.yaml").write_text("workers: 2\npolcy: x\n")
    (folder / "nowhere.yaml").write_text("listen: unix:/nonexistent/socket\n")
    done = run(*arguments, cwd=folder)
    assert done.returncode == status, done
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_config_check(folder, capsys):
    (folder / "good.yaml").write_text("workers: 2\n")
    assert main(["config", "check", "--config", "good.yaml"]) == 0
    assert capsys.readouterr().out.startswith("configuration good.yaml, policy standard (digest ")
    assert main(["config", "check"]) == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "policy", "status", "said"),
    [
        (["serve"], "polcy: x", 78, "unknown key `polcy`"),
        (["serve"], "{}", 71, "cannot listen on unix:/nonexistent/socket"),
        (["config", "check", "--log"], "polcy: x", 1, "unknown key `polcy`"),
        (["config", "check", "--log"], "lists: {unused: x.example}", 0, "list `unused` is used nowhere"),
        (["config", "check", "--log"], "{}", 0, ": fine"),
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_what_goes_to_the_journal_is_in_the_format_of_the_log(folder, arguments, policy, status, said, form):
    """Whoever reads it as JSON would stop at the first line that is none."""
    (folder / "policy.yaml").write_text(policy)
    config = f"policy: policy.yaml\nlisten: unix:/nonexistent/socket\nlog: {{format: {form}}}\n"
    (folder / "config.yaml").write_text(config)
    done = run(*arguments, "--config", "config.yaml", cwd=folder, JOURNAL_STREAM="8:1")
    assert (done.returncode, done.stdout) == (status, b"")
    lines = done.stderr.decode().splitlines()
    if form == "json":
        lines = [json.loads(line)["message"] for line in lines]
    else:
        assert all(line.startswith("<") for line in lines)
    assert any(said in line for line in lines)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("python", "serve", "--config", "good.yaml"), "policy 0123456789ab, 3 messages", True),
        (("python", "serve", "--config", "good.yaml"), "policy {ours}, 3 messages", False),
        (("python", "serve", "--config", "good.yaml"), "all mail is deferred: good.yaml:1:1: mistake", False),
        (("python", "serve", "--config", "other.yaml"), "policy 0123456789ab", False),
        (("python", "serve"), "policy 0123456789ab", False),
    ],
)
def test_the_service_runs_another_policy(folder, monkeypatch, capsys, words, status, said):
    """What is checked is not what judges, until it is reloaded."""
    (folder / "good.yaml").write_text("workers: 2\n")
    texts = {"StatusText": status.format(ours=Settings().policy.digest), "MainPID": "42"}
    monkeypatch.setattr("mailassay.doctor.gather._of_unit", texts.get)
    monkeypatch.setattr("mailassay.doctor.gather._process", lambda pid, _: Process(pid, words, 0.0))
    assert main(["config", "check", "--config", str(folder / "good.yaml")]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\n    systemctl reload mailassay\n") == said
    assert ("the daemon judges by policy 0123456789ab" in printed) == said
    assert main(["config", "check", "--json", "--config", str(folder / "good.yaml")]) == 0
    assert isinstance(json.loads(capsys.readouterr().out)["findings"], list)


@pytest.mark.process
def test_a_reader_that_stops_reading(folder):
    """As `mailassay check ... | head -1`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.run(
        [*PROGRAM, "check", "mail", *GOOD], stdout=write_end, stderr=subprocess.PIPE, cwd=folder, env=ENVIRONMENT
    )
    os.close(write_end)
    assert process.returncode == 74
    assert process.stderr == b""


@pytest.mark.process
def test_a_full_disk(folder):
    with open("/dev/full", "wb") as full:
        process = subprocess.run(
            [*PROGRAM, "check", "mail", *GOOD], stdout=full, stderr=subprocess.PIPE, cwd=folder, env=ENVIRONMENT
        )
    assert (process.returncode, process.stderr) == (74, b"mailassay: No space left on device\n")


@pytest.mark.process
def test_no_standard_input(folder):
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, "check", *GOOD],
        capture_output=True,
        cwd=folder,
        env=ENVIRONMENT,
    )
    assert (done.returncode, done.stderr) == (66, b"mailassay: standard input: Bad file descriptor\n")


@pytest.mark.process
@pytest.mark.parametrize(
    ("closing", "arguments", "status", "said"),
    [
        (">&-", ["check", "mail", *GOOD], 74, b"mailassay: Bad file descriptor\n"),
        (">&-", ["check", "mail", *GOOD, "--json"], 74, b"mailassay: Bad file descriptor\n"),
        (">&-", ["check", "--summary", "mail", *GOOD], 74, b"mailassay: Bad file descriptor\n"),
        (">&-", ["lookup", "bank.example", "--zone=zone"], 74, b"mailassay: Bad file descriptor\n"),
        (">&-", ["serve", "--config=nowhere.yaml"], 71, b""),
        ("2>&-", ["check", "mail", *GOOD], 0, b""),
        ("2>&-", ["check", "--summary", "mail", *GOOD], 0, b""),
        ("2>&-", ["check", "missing"], 66, b""),
        (">&- 2>&-", ["check", "mail", *GOOD], 74, b""),
        ("<&- >&- 2>&-", ["check", "--summary", "mail", *GOOD], 74, b""),
        ("2>/dev/full", ["check", "missing"], 74, b""),
        ("2>/dev/full", ["check", "mail", "--config=missing"], 74, b""),
        (">/dev/full 2>/dev/full", ["check", "mail", *GOOD], 74, b""),
    ],
)
def test_closed_streams(folder, closing, arguments, status, said):
    (folder / "nowhere.yaml").write_text("listen: unix:/nonexistent/socket\n")
    command = ["/bin/sh", "-c", f'exec "$@" {closing}', "sh", *PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, cwd=folder, env=ENVIRONMENT)
    assert done.returncode == status, done
    assert b"Traceback" not in done.stderr
    assert said in done.stderr


@pytest.mark.process
def test_file_names_are_shown_fit_for_a_terminal(folder):
    for arguments in (["\x1b[31mx"], ["mail", "--ip=192.0.2.1", "--zone=\x1b[31mx"], ["mail", "--config=\x1b[31mx"]):
        done = run("check", *arguments, cwd=folder)
        assert b"?[31mx" in done.stderr
        assert b"\x1b" not in done.stderr


@pytest.mark.usefixtures("folder")
def test_the_zone_of_an_address_is_left_out(capsys):
    for zone in ("", "%eth0"):
        assert main(["check", "mail", f"--ip=fe80::1{zone}", "--zone=zone", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["message"]["client"] == "fe80::1"


@pytest.mark.process
def test_json_for_every_reader(folder):
    """No lone surrogates: a strict reader refuses the whole (RFC 8259 section 8.2)."""
    helo = b"--helo=\\udcff \xff " + "\U0001f600".encode()
    for more in ([], ["--summary"]):
        done = run("check", "mail", "--ip=192.0.2.1", helo, "--zone=zone", "--json", *more, cwd=folder)
        said = done.stdout.partition(b'{"summary"')[0]
        assert json.loads(said)["message"]["helo"] == "\\udcff \ufffd \U0001f600"


@pytest.mark.parametrize(("by", "results", "status"), [
    ("mx.elsewhere.example", "", 65),
    ("mx.elsewhere.example", "mx.third.example", 65),
    ("mx.elsewhere.example", "mx.elsewhere.example", 0),
    ("mx.receiver.example", "", 0),
])  # fmt: skip
def test_the_host_has_several_names(folder, monkeypatch, by, results, status):
    monkeypatch.setattr("socket.gethostname", lambda: "web1")
    (folder / "postconf").write_text("#!/bin/sh\necho mx.receiver.example\n")
    (folder / "postconf").chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(folder / name))
    ours = f"Authentication-Results: {results}; iprev=pass policy.iprev=192.0.2.1\n" if results else ""
    came = f"Received: from mail.bank.example (unknown [192.0.2.1])\n\tby {by} (Postfix) with ESMTP id 1; x\n"
    (folder / "came").write_text(f"Return-Path: <alice@bank.example>\n{ours}{came}{MESSAGE.decode()}")
    assert main(["check", "came", "--zone=zone"]) == status


@pytest.mark.parametrize(
    ("script", "networks"),
    [
        (
            "test $2 = mynetworks && echo '127.0.0.0/8 [::ffff:10.0.0.0]/104, [2001:db8::]/32'",
            "127.0.0.0/8 10.0.0.0/8 2001:db8::/32",
        ),
        ("echo 'hash:/etc/x 192.0.2.0/24'", "192.0.2.0/24"),
        ("echo '192.0.2.0/24 !198.51.100.1 198.51.100.0/24'", "192.0.2.0/24"),
        ("echo '/etc/networks 198.51.100.0/24'", ""),
        ("echo 0.0.0.0/0x", ""),
        ("echo", ""),
        ("exit 1", ""),
    ],
)
def test_postfix_is_asked_for_its_networks(folder, monkeypatch, capsys, script, networks):
    """What cannot be asked, or may be excluded, is not trusted; the first is told."""
    (folder / "postconf").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "postconf").chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(folder / name))
    found = asked(Settings(trusted_networks=None, recipient_delimiter="+")).trusted_networks
    unknown = script == "exit 1"
    assert found == (None if unknown else tuple(map(ip_network, networks.split())))
    (folder / "config.yaml").write_text("trusted_networks: postfix")
    assert main(["config", "check", "--config=config.yaml"]) == 0
    assert ("trusted_networks: Postfix cannot be asked" in capsys.readouterr().err) is unknown


@pytest.mark.parametrize("variable", ["set", "not set"])
def test_a_postfix_without_main_cf_is_not_asked(folder, monkeypatch, variable):
    """It would sleep for a second each time. Only where main.cf would be is asked."""
    (folder / "etc").mkdir()
    script = f'echo "$*" >>{folder}/asked\ntest $2 = config_directory && echo {folder}/etc || echo 192.0.2.0/24'
    (folder / "postconf").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "postconf").chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(folder / name))
    if variable == "set":
        monkeypatch.setenv("MAIL_CONFIG", str(folder / "etc"))
    else:
        monkeypatch.delenv("MAIL_CONFIG")
        monkeypatch.setattr("mailassay.postfix.postconf._MAIN_CF", str(folder / "none" / "main.cf"))
    settings = Settings(trusted_networks=None, recipient_delimiter="+")
    assert asked(settings).trusted_networks is None
    said = (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []
    assert set(said) <= {"-dh config_directory"}
    (folder / "etc" / "main.cf").touch()
    assert asked(settings).trusted_networks == (ip_network("192.0.2.0/24"),)


@pytest.mark.parametrize(
    ("script", "action"),
    [
        ("test $2 = recipient_delimiter || exit 1; echo =", "reject"),
        ("echo", "accept"),  # known, and none
        ("exit 1", "accept"),  # not known: + and -
        ("kill $$", "accept"),
    ],
)
def test_postfix_is_asked_for_its_delimiter(folder, monkeypatch, script, action, capsys):
    (folder / "postconf").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "postconf").chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(folder / name))
    rule = {"name": "board", "if": {"recipient": "bob@"}, "then": "reject"}
    (folder / "policy.yaml").write_text(json.dumps({"rules": [rule]}))
    (folder / "config.yaml").write_text("policy: policy.yaml")
    named = ["check", "mail", *GOOD, "--json", "--config=config.yaml", "--rcpt"]
    assert main([*named, "bob=x@receiver.example"]) == (action == "reject")
    assert json.loads(capsys.readouterr().out)["verdict"]["action"] == action
    unknown = "echo" not in script
    assert main([*named, "bob+x@receiver.example"]) == unknown
    capsys.readouterr()
    assert main(["config", "check", "--config=config.yaml"]) == 0
    assert ("recipient_delimiter: Postfix cannot be asked" in capsys.readouterr().err) is unknown


@pytest.mark.parametrize(
    ("answer", "special", "applies"),
    [("yes", True, False), ("No", False, True), ("", None, True), ("$x", None, True)],
)
def test_postfix_is_asked_for_addresses_of_lists(folder, monkeypatch, answer, special, applies):
    words = f"case $2 in recipient_delimiter) echo +-;; owner_request_special) echo '{answer}';; esac"
    (folder / "postconf").write_text(f"#!/bin/sh\n{words}\n")
    (folder / "postconf").chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name, **_: str(folder / name))
    assert asked(Settings()).owner_request_special is special
    # also if the delimiter is the operator's
    assert asked(Settings(recipient_delimiter="-")).owner_request_special is special
    rule = {"name": "board", "if": {"recipient": "bob@"}, "then": "reject"}
    (folder / "policy.yaml").write_text(json.dumps({"rules": [rule]}))
    (folder / "config.yaml").write_text("policy: policy.yaml")
    named = ["check", "mail", *GOOD, "--config=config.yaml", "--rcpt", "bob-request@receiver.example"]
    assert main(named) == applies


def test_the_configured_delimiter_counts(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name, **_: pytest.fail(name))
    assert asked(Settings(recipient_delimiter="+")).recipient_delimiter == "+"


@pytest.mark.process
def test_interrupted(folder):
    # the zone is read when all is imported; a pipe makes it wait there
    os.mkfifo(folder / "pipe")
    process = subprocess.Popen(
        [*PROGRAM, "check", "mail", *GOOD[:-1], "pipe"], stderr=subprocess.PIPE, cwd=folder, env=ENVIRONMENT
    )
    with open(folder / "pipe", "wb"):
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"")


@pytest.mark.process
def test_a_terminal_without_the_letters(folder):
    done = run("check", "mail", *GOOD[:2], "--helo", "ü x", "--zone", "zone", cwd=folder, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"  ? x\n" in done.stdout


@pytest.mark.process
def test_arguments_of_any_octets(folder):
    done = run("check", "mail", "--ip=192.0.2.1", "--zone=zone", b"--helo=\xff", b"--mail-from=\xff@\xff", cwd=folder)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.usefixtures("folder")
def test_senders_cannot_write_lines_of_ours(capsys):
    for words in ("x\nverdict       accept", "x\n verdict       accept"):
        assert main(["check", "mail", *SPOOF[:2], f"--helo={words}", f"--mail-from=a@{words}", "--zone=zone"]) == 1
        labels = [line.strip().partition("  ")[0] for line in capsys.readouterr().out.splitlines()]
        assert labels.count("verdict") == 1


@given(
    message=st.lists(
        st.sampled_from([b"From", b":", b" ", b"a@bank.example", b"\r\n", b"\n", b"\0", b"\xff", b"DKIM-Signature: v"]),
        max_size=25,
    ),
    helo=st.text(max_size=10),
    mail_from=st.text(max_size=10),
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_any_message_is_judged(folder, capsys, message, helo, mail_from):
    # with these, Postfix need not be asked for its own settings each time, which takes longer than the checks
    (folder / "config.yaml").write_text("trusted_networks: []\nrecipient_delimiter: '+'\n")
    arguments = ["--ip=198.51.100.66", f"--helo={helo}", f"--mail-from={mail_from}", "--zone=zone"]
    arguments += ["--config=config.yaml", "--host=mx.receiver.example", "--json"]
    (folder / "any").write_bytes(b"".join(message))
    assert main(["check", "any", *arguments]) in (0, 1, 65)
    capsys.readouterr()
    # one that begins with a field is a message
    (folder / "any").write_bytes(b"X: y\n" + b"".join(message))
    assert main(["check", "any", *arguments]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["results"]["dmarc"] != "pass"
    assert main(["check", "any", *arguments[:-1], "-v"]) in (0, 1)
    assert capsys.readouterr().out.count("\nclient") == 1
