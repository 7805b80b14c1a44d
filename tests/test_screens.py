"""What each command prints for people, as a whole. Its wording is compared here, and facts elsewhere.

That of lookup is compared in test_lookup.py.
"""

import re
import time
from dataclasses import replace

import pytest

from mailassay.cli import main
from tests.lab import stamp
from tests.lab.healthy import GOOD, configured, service
from tests.lab.hold_queue import POSTQUEUE, RECEIVED, RESULTS, VERDICT, printed_by_postcat
from tests.lab.program import ZONE, script
from tests.lab.screens import screen
from tests.lab.talk import OURS

GIVEN = ["--ip", "192.0.2.1", "--helo", "mail.bank.example", "--mail-from", "alice@bounce.example"]
GIVEN += ["--config", "config.yaml", "--zone", "zone"]
KEY = stamp.key("bank.example")
NAMES = f"""
bounce.example                TXT  "v=spf1 include:spf.example ?all"
spf.example                   TXT  "v=spf1 ip4:192.0.2.1 -all"
sel._domainkey.bank.example   TXT  "{KEY.record}"
test._domainkey.bank.example  TXT  "{KEY.record}; t=y"
"""
CAME = b"""\
Return-Path: <eve@bank.example>
Received: from x (unknown [198.51.100.66])
\tby mx.receiver.example (Postfix) with ESMTP id 1;
\tFri, 20 Nov 2026 10:00:00 +0000 (UTC)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Everything that a command reads: a message, a mailbox, a zone, a queue, a healthy machine with two mistakes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "no-such-file"))
    postfix = configured(service(), service("submission"), milter_default_action="accept")
    facts = replace(GOOD, postfix=postfix, synchronized=False)
    monkeypatch.setattr("mailassay.cli.doctor.all_facts", lambda *_: facts)
    message = b"From: alice@bank.example\r\nSubject: x\r\n\r\nHello\r\n"
    for selector in ("sel", "test", "gone"):
        tags = f" v=1; a=ed25519-sha256; d=bank.example; s={selector}; h=from; bh={{bh}}; b={{b}}"
        message = stamp.stamped(message, tags.encode(), KEY)
    (tmp_path / "mail").write_bytes(message)
    (tmp_path / "zone").write_text(ZONE + NAMES)
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "spoof").write_bytes(CAME + b"From: alice@bank.example\n\nHello\n")
    (tmp_path / "box" / "other").write_bytes(CAME + b"From: ann@other.example\n\nHello\n")
    (tmp_path / "config.yaml").write_text(f"authserv_id: {OURS}\n")
    (tmp_path / "wrong.yaml").write_text("authserv_id: mx.example.org\nworkers: many\npolicies: policy.yaml\n")
    (tmp_path / "tools").mkdir()
    held = re.sub(b'"arrival_time": [0-9]+', b'"arrival_time": %d' % (time.time() - 560_000), POSTQUEUE.splitlines()[0])
    (tmp_path / "queue").write_bytes(held + b"\n")
    (tmp_path / "file").write_bytes(printed_by_postcat(b"hold/4jWpw36fNkzL4ql", RESULTS + VERDICT + RECEIVED + b"\n"))
    script(tmp_path / "tools", "postconf", f"echo {tmp_path}/tools")
    script(tmp_path / "tools", "postqueue", f"/bin/cat {tmp_path}/queue")
    script(tmp_path / "tools", "postcat", f"/bin/cat {tmp_path}/file")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("check", ["check", "mail", *GIVEN]),
        ("check-v", ["check", "-v", "mail", *GIVEN]),
        ("check-summary", ["check", "--summary", "box", "--zone", "zone", "--host", OURS]),
        ("config-check", ["config", "check", "--config", "wrong.yaml"]),
        ("doctor", ["doctor"]),
        ("held", ["held"]),
        ("held-show", ["held", "show", "4jWpw36fNkzL4ql"]),
    ],
)
def test_screen(name, command, capsys):
    main(command)
    printed = capsys.readouterr()
    said = re.sub(r"(held since +).* \(", r"\1THEN (", printed.out + printed.err)
    assert said == screen(name, said)
