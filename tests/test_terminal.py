"""Text for people: it fits the terminal, and no word is broken."""

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.cli import doctor, main
from mailassay.doctor import examine
from mailassay.terminal import columns, wrapped
from tests.lab.healthy import GOOD, configured
from tests.lab.hold_queue import POSTQUEUE, RECEIVED, printed_by_postcat
from tests.lab.program import ENVIRONMENT, PROGRAM, fits, script

LONG = f"{'a' * 30}-{'b' * 29}.example"  # a label of 60 letters
ZONE = f"""
1.2.0.192.in-addr.arpa PTR  mail.{LONG}
mail.{LONG}            A    192.0.2.1
{LONG}                 MX   10 mail.{LONG}
{LONG}                 TXT  "v=spf1 ip4:192.0.2.1 include:_spf.{LONG} include:nothing.{LONG} a:mail.{LONG} \
                            ptr:{LONG} ~all"
_spf.{LONG}            TXT  "v=spf1 mx:{LONG} exists:%{{i}}.{LONG} -all"
_dmarc.{LONG}          TXT  "v=DMARC1;p=quarantine;np=none;rua=mailto:reports@{LONG},mailto:reports@other.example"
google._domainkey.{LONG} TXT "v=DKIM1; k=rsa; t=y; n=a note; p=AAAA"
_dmarc.spoofed.example TXT  "v=DMARC1; p=reject; sp=none; rua=mailto:reports@spoofed.example; \
                             ruf=mailto:x@spoofed.example"
"""
MESSAGE = f"""DKIM-Signature: v=1; a=rsa-sha256; d={LONG}; s=google; h=from; bh=AAAA; b=AAAA
From: "Somebody" <somebody@%s>
Subject: x

Hello
""".replace("\n", "\r\n")
CLIENT = ["--ip", "192.0.2.1", "--helo", f"mail.{LONG}", "--mail-from", f"somebody@{LONG}", "--rcpt", f"bob@{LONG}"]
POLICY = f"""dmarc:
  authors:
  - {{for: {LONG}, quarantine: accept}}
rules:
- {{name: a-rule-with-a-name-that-is-rather-long, if: {{athor: {LONG}, mail_from: [{LONG}, x@]}}, then: hold}}
- {{name: b, if: {{spf: fail}}, then: accept}}
"""
ODD = f"""dmarc: {{authors: [{{for: [{LONG}, b.{LONG}], monitor: true}}]}}
rules:
- {{name: first, if: {{spf: fail}}, then: hold}}
- {{name: another-with-a-name-that-is-rather-long, if: {{spf: fail}}, then: hold}}
"""
VERDICT = b"X-Mailassay-Verdict: hold; rule=a-rule-with-a-name-that-is-rather-long\n"
RESULTS = (
    b"Authentication-Results: mx.receiver.example; iprev=pass policy.iprev=192.0.2.1;\n"
    b" spf=fail smtp.mailfrom=%b; dkim=fail (the body was changed, and more of that) header.d=%b;\n"
    b" arc=none; dmarc=fail header.from=%b\n" % ((LONG.encode(),) * 3)
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Messages, a zone, configurations with mistakes, a Postfix with something held, and things to fix."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "no-such-file"))
    (tmp_path / "zone").write_text(ZONE)
    box = tmp_path / "box"
    box.mkdir()
    for name, author in (("mail", LONG), ("spoof", "spoofed.example"), (LONG, f"{'c' * 61}.example")):
        (box / name).write_text(MESSAGE % author)
    (box / "nothing").write_text("")
    (tmp_path / "opendkim.conf").write_text(f"Domain {LONG},*\nSelector s\nKeyFile /x/{'k' * 60}\nMacroList a\n")
    for name, policy in (("wrong", POLICY), ("odd", ODD)):
        (tmp_path / f"{name}-policy.yaml").write_text(policy)
        (tmp_path / f"{name}.yaml").write_text(f"policy: {name}-policy.yaml\ndns: {{nameservers: [192.0.2.53]}}\n")
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    script(tools, "postconf", f"echo {tmp_path}")
    queue = POSTQUEUE.splitlines()[0].replace(b"eve@attacker.example", b"eve@" + LONG.encode())
    (tools / "queue").write_bytes(queue.replace(b"zoe@receiver.example", b"zoe@" + LONG.encode()) + b"\n")
    (tools / "file").write_bytes(printed_by_postcat(b"hold/4jWpw36fNkzL4ql", RESULTS + VERDICT + RECEIVED + b"\n"))
    script(tools, "postqueue", f"cat {tools}/queue")
    script(tools, "postcat", f"cat {tools}/file")
    postfix = configured(smtpd_milters=f"inet:{LONG}:8891", milter_default_action="accept")
    facts = replace(
        GOOD, postfix=postfix, silence="connection refused", synchronized=False,
        config=f"/etc/{'x' * 60}/mailassay.yaml", unseen=(f"/etc/{'y' * 70}: permission denied", "and another thing"),
    )  # fmt: skip
    monkeypatch.setattr(doctor, "all_facts", lambda *_: facts)
    return tmp_path


COMMANDS = [
    ["check", "box/mail", *CLIENT, "--zone", "zone"],
    ["check", "-v", "box/mail", *CLIENT, "--zone", "zone"],
    ["check", "-v", "box/spoof", *CLIENT, "--zone", "zone"],
    ["check", "box/nothing"],
    ["check", "--outbound", "box/mail"],
    ["check", "--outbound", "--helo", "x", "box/mail"],
    ["check", f"box/{LONG * 2}"],
    ["check", "--summary", "box", *CLIENT, "--zone", "zone"],
    ["check", "-v", "--summary", "box", *CLIENT, "--zone", "zone"],
    ["lookup", LONG, "--zone", "zone"],
    ["lookup", f"joe@{LONG}", "--selector", "google", "--selector", "d" * 60, "--zone", "zone"],
    ["lookup", "spoofed.example", "--zone", "zone"],
    ["doctor"],
    ["doctor", "-v"],
    ["config", "check", "--config", "wrong.yaml"],
    ["config", "check", "--config", "odd.yaml"],
    ["check", "box/mail", "--config", "wrong.yaml"],
    ["check", "box/mail", "--ip", "x" * 60],
    ["migrate", "opendkim.conf", "--keys", "/nowhere"],
    ["migrate", "nothing"],
    ["held"],
    ["held", "--config", "wrong.yaml"],
    ["held", "release", "--dry-run", "--all"],
    ["held", "show", "4jWpw36fNkzL4ql"],
    ["held", "release", "--dry-run", "BD6582483ED"],
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_line_fits_the_terminal(monkeypatch, capsys, command, width):
    monkeypatch.setenv("COLUMNS", str(width))
    with contextlib.suppress(SystemExit):
        main(command)
    printed = capsys.readouterr()
    commands = {each for finding in examine(doctor.all_facts()) for each in finding.commands}
    # what a message holds stays as it is
    lines = [
        *printed.out.partition("\n\n" if command[1:2] == ["show"] else "\0")[0].split("\n"),
        *printed.err.split("\n"),
    ]
    assert any(lines)
    assert LONG in printed.out or command[:1] != ["held"] or command[-1] == "BD6582483ED"
    assert [line for line in lines if not fits(line, width) and line.strip() not in commands] == []
    # a name is whole, but for what is shown of a line of a file
    shown = "\n".join(line for line in lines if command[0] != "config" or not line.startswith("    "))
    assert re.findall(r"a{30}(?!-b{29}\.example|.{0,30}\.\.\.).*", shown) == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "command", [["check", "box/mail", *CLIENT, "--zone", "zone"], ["lookup", LONG, "--zone", "zone"]]
)
def test_programs_get_the_same_at_every_width(monkeypatch, capsys, command):
    found = []
    for width in (40, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        main([*command, "--json"])
        found.append(re.sub(r'"(judged_at|ms|seconds)": [0-9.]+', "", capsys.readouterr().out))
    assert found[0] == found[1]


@pytest.mark.usefixtures("folder")
def test_the_table_of_a_long_domain(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    main(["check", "--summary", "box", *CLIENT, "--zone", "zone"])
    lines = capsys.readouterr().out.split("\n")
    head = next(line for line in lines if line.startswith("author domain"))
    below = lines[lines.index(LONG) + 1]
    assert below.startswith(" ")
    assert below.split() == ["1", "1"]
    # under its head
    assert len(head.partition("messages")[0] + "messages") == below.index("1") + 1


@pytest.mark.usefixtures("folder")
def test_the_doctor_has_colours_for_terminals(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    main(["doctor", "-v"])
    plain = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    main(["doctor", "-v"])
    colourful = capsys.readouterr().out
    assert colourful.startswith("\x1b[31merror\x1b[0m    ")
    assert "\n\x1b[32mfine\x1b[0m     " in colourful
    assert re.sub(r"\x1b\[[0-9]+m", "", colourful) == plain


@pytest.mark.usefixtures("folder")
@pytest.mark.process
def test_a_real_terminal():
    """Its own width counts."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "COLUMNS"}
    environment["NO_COLOR"] = "1"
    command = [*PROGRAM, "lookup", "spoofed.example", "--zone", "zone"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        text = b""
        try:
            while octets := os.read(ours, 65536):
                text += octets
        except OSError:  # EIO: nobody has the other end any more
            pass
        running.wait()
    os.close(ours)
    lines = text.decode().replace("\r\n", "\n").split("\n")
    assert 60 < max(map(len, lines)) <= 70


@pytest.mark.parametrize(
    ("given_columns", "width"), [("80", 80), ("1", 40), ("0", 110), ("x", 110), ("-5", 110), ("", 110)]
)
def test_the_width_of_what_is_no_terminal(monkeypatch, given_columns, width):
    monkeypatch.setenv("COLUMNS", given_columns)
    assert columns(io.StringIO()) == columns(None) == width


@pytest.mark.usefixtures("folder")
@pytest.mark.process
def test_what_is_no_terminal_gets_complaints_as_they_are():
    """A program that reads them finds one on each line."""
    done = subprocess.run(
        [*PROGRAM, "config", "check", "--config", "wrong.yaml"], capture_output=True, text=True, env=ENVIRONMENT
    )
    heads = [line for line in done.stderr.split("\n") if line[:1].strip()]
    assert all(re.match(r"[^:]+\.yaml:[0-9]+:[0-9]+: ", line) for line in heads)
    assert max(map(len, heads)) > 120


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [">"]),
        ("one two three four", ["> one two three", "four"]),
        ("a `postcat -q ID` b", ["> a", "`postcat -q ID`", "b"]),
        ("no good (RFC 5321 section 5.1)", ["> no good", "(RFC 5321 section 5.1)"]),
        ("x  https://a.example/a-long-way b", ["> x", "https://a.example/a-long-way", "b"]),
        ("v=DMARC1;p=none;sp=reject", ["> v=DMARC1;", "p=none;sp=reject"]),
        ("  two  blanks", [">   two  blanks"]),
    ],
)
def test_wrapping(text, lines):
    assert wrapped(text, 16, "> ", "") == [line.rstrip() for line in lines]


@given(st.text(st.sampled_from("ab ;,`("), max_size=60), st.integers(0, 30), st.integers(0, 10))
def test_nothing_is_lost(text, width, indent):
    lines = wrapped(text, width, "#" * indent)
    assert "".join(lines).replace("#", "").replace(" ", "") == text.replace(" ", "")
    assert all(line == line.rstrip() for line in lines)
