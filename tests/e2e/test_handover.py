"""From opendkim's signatures to mailassay's on the real Postfix: at each step of docs/migration.md, one signature."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mailassay import migrate
from tests.lab.folder import open_folder
from tests.lab.migrating import laid, pkcs1
from tests.lab.mta import Lab
from tests.lab.sink import Sink

FROM = "alice@example.org"
MESSAGE = f"From: {FROM}\r\nTo: bob@next.example\r\nSubject: hi\r\n\r\nHello \r\n".encode()
CONFIG = """\
Mode s
Domain example.org
Selector sel
KeyFile %FOLDER%/sel.private
Canonicalization relaxed/relaxed
RequireSafeKeys no
Background no
Syslog no
UMask 000
InternalHosts 127.0.0.1,198.51.100.7
Socket local:%FOLDER%/opendkim.sock
"""


def listens(path: Path) -> bool:
    with suppress(FileNotFoundError, ConnectionRefusedError), socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(path))
        return True
    return False


def by_port_25(lab: Lab) -> None:
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x.example")
        smtp.become("198.51.100.7", "x.example")
        smtp.command("EHLO x.example")
        assert smtp.send(FROM, ["bob@next.example"], MESSAGE).code == 250


def by_sendmail(lab: Lab) -> None:
    command = ["/usr/sbin/sendmail", "-C", str(lab.postfix.folder / "etc"), "-f", FROM, "bob@next.example"]
    subprocess.run(command, input=MESSAGE.replace(b"\r\n", b"\n"), check=True)


def signers(lab: Lab, sink: Sink, hand_over: Callable[[Lab], None]) -> list[str]:
    """Who signed a message that the next hop gets, by the form of the field."""
    hand_over(lab)
    header = sink.next().partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n")
    found = re.findall(rb"^DKIM-Signature:((?:.*\n[ \t])*.*)", header, re.MULTILINE)
    assert all(b"d=example.org" in each and b"s=sel" in each for each in found)
    # opendkim folds with a tab
    return ["opendkim" if b"\n\t" in each else "mailassay" for each in found]


@pytest.mark.process
def test_there_is_one_signature_at_each_step(make_lab: Callable[..., Lab]) -> None:
    program = shutil.which("opendkim", path="/usr/sbin:/usr/bin") or pytest.skip(reason="opendkim is not installed")
    with open_folder() as folder, Sink() as sink:
        config = laid(folder, {"opendkim.conf": CONFIG, "sel.private": pkcs1()})
        more = (
            f"default_transport = smtp:[127.0.0.1]:{sink.port}\n"
            "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n"
            "mynetworks = 127.0.0.0/8, 198.51.100.7\n"
        )
        lab = make_lab(more=more, trusted_networks=["127.0.0.0/8", "198.51.100.7/32"])
        ours, theirs = f"unix:{lab.serve.socket}", f"unix:{folder}/opendkim.sock"

        def asked(milters: list[str], of_programs: str) -> None:
            lists = f"smtpd_milters = {', '.join(milters)}", f"non_smtpd_milters = {of_programs}"
            lab.postfix.run("postconf", "-e", *lists)
            lab.postfix.run("postfix", "reload")
            # an smtpd with the old settings may still take one connection
            lab.postfix.client().close()
            time.sleep(1)

        def both() -> tuple[list[str], list[str]]:
            return signers(lab, sink, by_port_25), signers(lab, sink, by_sendmail)

        with subprocess.Popen([program, "-f", "-x", config], stderr=subprocess.DEVNULL) as process:
            try:
                end = time.monotonic() + 60
                while not listens(folder / "opendkim.sock"):
                    assert process.poll() is None
                    assert time.monotonic() < end
                    time.sleep(0.02)
                plan = migrate.read(str(config))
                copies = migrate.copies(plan, str(folder / "private"))
                list(migrate.write(copies, str(folder / "private")))
                for path in (folder / "private", *(folder / "private").rglob("*")):
                    os.chmod(path, 0o755 if path.is_dir() else 0o644)
                asked([ours, theirs], theirs)
                assert both() == (["opendkim"], ["opendkim"])
                # step 7
                asked([theirs, ours], theirs)
                assert both() == (["opendkim"], ["opendkim"])
                # step 8
                sign = {"domains": {"example.org": "sel"}, "directory": str(folder / "private"), "from": "envelope"}
                lab.serve.config.write_text(json.dumps({**json.loads(lab.serve.config.read_text()), "sign": sign}))
                os.kill(lab.serve.pid, signal.SIGHUP)
                lab.serve.wait_for("signs for 1 domains")
                assert both() == (["opendkim"], ["opendkim"])
                assert [each["unsigned"] for each in lab.serve.entries() if "unsigned" in each] == ["signed"]
                # in the other order there would be two
                asked([ours, theirs], theirs)
                assert both() == (["opendkim", "mailassay"], ["opendkim"])
                asked([ours], ours)
                assert both() == (["mailassay"], ["mailassay"])
            finally:
                process.kill()
        # step 9: nothing asks for it any more
        assert both() == (["mailassay"], ["mailassay"])
