"""A throw-away Postfix with its own directories and ports. The machine's own is not touched."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .serve import Serve
from .smtp import SmtpClient

HOST_NAME = "mx.receiver.example"
DOMAIN = "receiver.example"

_MAIN = """
compatibility_level = 3.6
myhostname = {host}
mydestination =
mynetworks_style = host
inet_protocols = all
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:inbox/
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_milters = {milters}
milter_default_action = tempfail
milter_protocol = 6
smtpd_authorized_xclient_hosts = 127.0.0.1, [::1]
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
local_header_rewrite_clients =
smtpd_client_connection_count_limit = 0
message_size_limit = 52428800
in_flow_delay = 0
smtputf8_enable = yes
alias_maps =
alias_database =
local_recipient_maps =
notify_classes =
default_transport = error:no mail leaves here
relay_transport = error:no mail leaves here
"""

_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
[::1]:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


def missing() -> str:
    """Why no Postfix can be started here; empty where one can."""
    if os.geteuid():
        return "only root can start a Postfix"
    return "" if shutil.which("postfix", path="/usr/sbin:/sbin") else "Postfix is not installed"


class Mta:
    """A Postfix whose smtpd hands mail to ``milters`` and delivers it into a Maildir.

    ``more`` are further lines of main.cf, ``services`` of master.cf. Clients may use XCLIENT.
    """

    def __init__(self, milters: Sequence[str], more: str = "", services: str = "") -> None:
        self.port = free_port()
        self._milters, self._more, self._services = milters, more, services
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Mta:
        self.folder = Path(tempfile.mkdtemp(prefix="mailassay-postfix-"))
        try:
            self._configure()
            self._start()
        except BaseException:
            # also when interrupted: nobody calls __exit__ for what has not been entered
            self.stop()
            raise
        return self

    def _configure(self) -> None:
        self.folder.chmod(0o755)
        self._config = self.folder / "etc"
        nobody, postfix = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data", "mail"):
            (self.folder / name).mkdir()
        os.chown(self.folder / "data", postfix.pw_uid, -1)
        os.chown(self.folder / "mail", nobody.pw_uid, nobody.pw_gid)
        values = {
            "host": HOST_NAME,
            "domain": DOMAIN,
            "folder": self.folder,
            "uid": nobody.pw_uid,
            "gid": nobody.pw_gid,
            "milters": ", ".join(self._milters),
            "port": self.port,
        }
        # postlogd that warns of a parameter given twice may wait for itself
        again = tuple(line.partition("=")[0] + "=" for line in self._more.splitlines() if "=" in line)
        kept = [line for line in _MAIN.format(**values).splitlines() if not line.startswith(again)]
        (self._config / "main.cf").write_text("\n".join([*kept, self._more]))
        (self._config / "master.cf").write_text(_MASTER.format(**values) + self._services)

    def _start(self) -> None:
        with (self.folder / "start.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/postfix", "-c", str(self._config), "start-fg"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            try:
                SmtpClient("127.0.0.1", self.port).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"Postfix did not start:\n{(self.folder / 'start.log').read_text()}{self.log()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, and delete everything it has made."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def halt(self) -> None:
        """End it. Its queue, its log and what it delivered stay."""
        if self._process:
            end = time.monotonic() + 60
            while self._process.poll() is None and time.monotonic() < end:
                # one that is still starting cannot be stopped yet
                self.run("postfix", "stop", check=False)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.2)
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None

    def resume(self) -> None:
        """Start it again after :meth:`halt`, on the same port with the same queue."""
        self._start()

    def run(self, program: str, *arguments: str, check: bool = True) -> str:
        """One of Postfix's own commands on this instance; what it printed."""
        command = [f"/usr/sbin/{program}", "-c", str(self._config), *arguments]
        done = subprocess.run(command, check=check, capture_output=True, text=True, errors="replace")
        return done.stdout

    def client(self, host: str = "127.0.0.1", port: int | None = None) -> SmtpClient:
        """A new connection, to the port of another service if one is given."""
        return SmtpClient(host, port or self.port)

    def log(self) -> str:
        """The mail log so far."""
        path = self.folder / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def delivered(self, queue_id: str, seconds: float = 60.0) -> bytes:
        """The message as it was delivered, what virtual(8) prepends taken off. Raises where it does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for path in self.folder.glob("mail/inbox/new/*"):
                message = path.read_bytes()
                if re.search(rb"\bid %s\b" % queue_id.encode(), message):
                    return re.sub(rb"\A(?:(?:Return-Path|X-Original-To|Delivered-To):.*\n)+", b"", message)
            time.sleep(0.02)
        raise AssertionError(f"{queue_id} was not delivered:\n{self.log()[-3000:]}")

    def queue(self) -> list[dict[str, object]]:
        """What postqueue -j says."""
        return [json.loads(line) for line in self.run("postqueue", "-j").splitlines()]

    def held(self, queue_id: str) -> bytes:
        """A message in the hold queue. Raises where it is not there."""
        if not any(each["queue_id"] == queue_id and each["queue_name"] == "hold" for each in self.queue()):
            raise AssertionError(f"{queue_id} is not held:\n{self.log()[-3000:]}")
        done = subprocess.run(
            ["/usr/sbin/postcat", "-c", str(self._config), "-hbq", queue_id], check=True, capture_output=True
        )
        return done.stdout


@dataclass(frozen=True)
class Lab:
    """A Postfix in front of the daemon."""

    postfix: Mta
    serve: Serve


def free_port() -> int:
    """A port that is free on both loopback addresses, and that the kernel gives to nobody meanwhile."""
    while True:
        port = random.randrange(10_000, 32_768)
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            socket.create_server(("::1", port), family=socket.AF_INET6).close()
            return port
