"""A throw-away PostgreSQL in a folder of its own, on a Unix socket there. The machine's own is not touched."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from .folder import open_folder

_USER = "postgres"  # of the system, made by Debian's package; the server refuses to be root
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "30",
}
# the role "locked" needs a password
_ACCESS = """
local all locked scram-sha-256
local all all trust
"""
_PATIENCE = 60.0


def missing() -> str | None:
    """Why no server can be started here, or None."""
    if os.geteuid() != 0:
        return "a PostgreSQL of its own is started by root, as another user"
    if not _program("initdb"):
        return "no PostgreSQL server (Debian: apt-get install postgresql)"
    return None


class Postgres:
    """The server. ``start`` and ``kill`` may follow each other any number of times."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._data = folder, folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        user = pwd.getpwnam(_USER)
        os.chown(folder, user.pw_uid, user.pw_gid)
        _run("initdb", "--pgdata", self._data, "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        (self._data / "pg_hba.conf").write_text(_ACCESS)

    def url(self, name: str = _USER, user: str = _USER, password: str = "") -> str:
        """The URL of one of its databases, as in ``history.database``."""
        return f"postgresql://{user}{':' if password else ''}{password}@/{name}?host={self._folder}"

    def new(self, owner: str = _USER) -> str:
        """The name of a new, empty database."""
        name = f"history{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE template0")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it: each takes 8 MB."""
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, statement: str, name: str = _USER) -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self._folder)}
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        until = time.monotonic() + _PATIENCE
        while True:
            with (self._folder / "log").open("ab") as log:
                command = [*_as_user(), _program("postgres"), "-D", str(self._data), *arguments]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            # after kill it ends at once as long as children of the old one are there
            while self._process.poll() is None:
                try:
                    psycopg.connect(self.url()).close()
                except psycopg.OperationalError:
                    time.sleep(0.05)
                else:
                    return
                assert time.monotonic() < until, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def kill(self) -> None:
        """As kill -9: every connection breaks."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stop without waiting for clients."""
        assert self._process
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def log(self) -> str:
        """What it said."""
        return (self._folder / "log").read_text(errors="replace")


@contextmanager
def running() -> Iterator[Postgres]:
    """A server for as long as the context lasts."""
    with open_folder() as folder:
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _program(name: str) -> str:
    """Where a program of the newest server is; empty if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name) or ""


def _as_user() -> list[str]:
    # what a killed run of pytest leaves behind ends with it
    return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--pdeathsig=QUIT"]


def _run(name: str, *arguments: str | Path) -> None:
    done = subprocess.run([*_as_user(), _program(name), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
