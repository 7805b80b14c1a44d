"""`mailassay serve` as a real second process."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import mailassay

from .dns import DnsServer

AUTHSERV_ID = "mx.receiver.example"


class Serve:
    """The daemon on a unix socket in ``folder``, asking ``server``; other keys of the configuration as given.

    ``policy`` is the content of a policy file, else the standard one is used. The log is JSON lines in ``log``. Before
    it starts, ``environment``, the inherited ``descriptors``, the ``module`` that is run, what the shell does
    ``before``, and ``stderr``, if it is not the log, may be changed.
    """

    def __init__(self, folder: Path, server: DnsServer, policy: dict[str, Any] | None = None, /, **config: Any) -> None:
        self.socket = str(folder / "mailassay.sock")
        self.config = folder / "mailassay.yaml"
        self.log = folder / "mailassay.log"
        self.policy = folder / "policy.yaml"
        settings = {
            "listen": f"unix:{self.socket}",
            "socket_mode": "0666",
            "socket_group": None,
            "authserv_id": AUTHSERV_ID,
            "workers": 1,
            "trusted_networks": ["192.0.2.250/32"],
            "dns": {"nameservers": [f"{server.address}:{server.port}"], "timeout": 5.0},
            "log": {"level": "info", "format": "json"},
            **config,
        }
        if policy is not None:
            self.policy.write_text(json.dumps(policy))
            settings["policy"] = str(self.policy)
        self.config.write_text(json.dumps(settings))
        self.environment = {**os.environ, "PYTHONPATH": str(Path(mailassay.__file__).parents[1])}
        self.descriptors: tuple[int, ...] = ()
        self.module = "mailassay"
        self.before = ""
        self.stderr: int | IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Serve:
        program = shlex.join([sys.executable, "-m", self.module, "serve", "--config", str(self.config)])
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # as systemd does it: LISTEN_PID names the process that is to have the descriptors
                ["/bin/sh", "-c", f"{self.before} LISTEN_PID=$$ exec {program}"],
                stdin=subprocess.DEVNULL,
                stderr=self.stderr or log,
                env=self.environment,
                pass_fds=self.descriptors,
                cwd=Path(__file__).parents[2],
                start_new_session=True,
            )
        if self.stderr is None:
            self.wait_for("listening on")
        else:
            self._wait_for_socket()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process
        self._process.terminate()
        try:
            # libmilter looks every five seconds whether it is to stop
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def inherit(self, listener: socket.socket) -> None:
        """Take the place of ``listen`` from a socket that somebody else keeps, as systemd does."""
        self.module, self.descriptors = "tests.lab.activated", (listener.fileno(),)
        self.environment |= {"LISTEN_FDS": "1", "MAILASSAY_SOCKET": str(listener.fileno())}

    def kill(self) -> None:
        """SIGKILL to the parent, which takes the workers with it."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = 60.0) -> int:
        """Tell it to end; its exit status. Raises where it does not."""
        assert self._process
        self._process.terminate()
        return self._process.wait(seconds)

    @property
    def pid(self) -> int:
        """Of the parent process."""
        assert self._process
        return self._process.pid

    def workers(self) -> list[int]:
        """The ids of the worker processes."""
        return [int(word) for word in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def _wait_for_socket(self, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        with socket.socket(socket.AF_UNIX) as channel:
            while channel.connect_ex(self.socket):
                assert self._process
                assert self._process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)

    def wait_for_workers(self, count: int, seconds: float = 60.0) -> list[int]:
        """Them, once there are as many."""
        end = time.monotonic() + seconds
        while len(self.workers()) != count:
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        return self.workers()

    def wait_for(self, text: str, seconds: float = 60.0) -> str:
        """The log, once it holds a text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            log = self.log.read_text()
            if text in log:
                return log
            if self._process and self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{text!r} is not in the log:\n{self.log.read_text()}")

    def wait_for_count(self, text: str, count: int, seconds: float = 60.0) -> None:
        """Until the log holds a text so many times."""
        end = time.monotonic() + seconds
        while self.log.read_text().count(text) < count:
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def entries(self) -> list[dict[str, Any]]:
        """The log so far, an entry a line."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def entry(self, queue_id: str) -> dict[str, Any]:
        """The line of one message."""
        self.wait_for(f'"queue_id": "{queue_id}"')
        return next(entry for entry in self.entries() if entry.get("queue_id") == queue_id)
