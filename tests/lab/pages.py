"""A history and its pages: records in a database, and a client that asks the WSGI application in this process."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from sqlalchemy import Connection

from mailassay.config import History, Settings
from mailassay.history.spool import SPOOL, SUFFIX
from mailassay.store import database, writing
from mailassay.store.rows import rows
from mailassay.web.app import Pages
from mailassay.web.state import Known, State
from mailassay.zone import Zone

from .program import ENVIRONMENT, PROGRAM


def fill(
    folder: Path,
    records: Iterable[dict[str, Any]],
    url: str | None = None,
    sent: Callable[[Connection], None] = lambda _: None,
) -> None:
    """Put records into the database of a folder, or of a URL, which is made if it is not there; then what was sent."""
    engine = database.connect(database.address(str(folder), url))
    database.migrate(engine)
    made = [rows(each, json.dumps(each).encode()) for each in records]
    with engine.begin() as connection:
        writing.add(connection, made)
        writing.count(connection, Counter(key for each in made for key in each.counts))
        sent(connection)
    engine.dispose()


@dataclass
class Answer:
    """What the application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Asked:
    """The application for the database of a folder, asked as a browser would."""

    def __init__(self, folder: Path, now: float, zone: str = "", url: str | None = None, **settings: Any) -> None:
        self.known = Known()
        self.known.learn(State())
        engine = database.connect(database.address(str(folder), url), reads_only=True)
        found = Settings(history=History(directory=str(folder)), **settings)
        source = Zone(zone, limits=found.policy.limits)
        self.pages = Pages(lambda: found, engine, lambda: source, self.known, lambda: now)
        self._checked = validator(self.pages)

    def get(self, url: str, method: str = "GET", host: str | None = "localhost:8028", **fields: str) -> Answer:
        """The answer to a request, whose form is checked against PEP 3333. ``fields`` are those that a browser adds."""
        path, _, query = url.partition("?")
        environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method}
        environ["SCRIPT_NAME"] = ""
        setup_testing_defaults(environ)
        environ["wsgi.input"] = io.BytesIO()
        environ.pop("HTTP_HOST")
        if host is not None:
            environ["HTTP_HOST"] = host
        environ |= {f"HTTP_{name.upper()}": value for name, value in fields.items()}
        answer = Answer(0, {}, b"")

        def start(status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            answer.status, answer.headers = int(status[:3]), dict(headers)
            return bytearray().extend

        body: Any = self._checked(environ, start)
        answer.body = b"".join(body)
        body.close()
        return answer


class Collect:
    """``mailassay collect`` as a process of its own, with pages at ``listen``; its history is in ``folder``."""

    def __init__(self, folder: Path, listen: str, *program: str) -> None:
        self.spool = folder / SPOOL
        self.spool.mkdir(mode=0o700, exist_ok=True)
        self._listen, self._config, self._log = listen, folder / "mailassay.yaml", folder / "collect.log"
        self._config.write_text(json.dumps({"history": {"directory": str(folder)}, "web": {"listen": listen}}))
        self._program = program or PROGRAM
        self._segments = 0

    def __enter__(self) -> Collect:
        with self._log.open("wb") as log:
            command = [*self._program, "collect", "--config", str(self._config)]
            self.process = subprocess.Popen(command, env=ENVIRONMENT, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until it has logged a text so many times."""
        wait_until(lambda: self.log.count(text) >= count, lambda: self.log)

    def pages(self) -> list[int]:
        """The process ids of its children."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def spooled(self, records: Iterable[dict[str, Any]]) -> None:
        """Put records where a worker that has ended left them."""
        self._segments += 1
        hidden = self.spool / ".new"
        hidden.write_text("".join(f"{json.dumps(each)}\n" for each in records))
        hidden.rename(self.spool / f"mx1-1.{self._segments}-1-1{SUFFIX}")

    def connect(self) -> socket.socket:
        """A connection to its pages."""
        kind, _, place = self._listen.rpartition(":")
        if kind == "unix":
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(place)
            except OSError:
                connection.close()
                raise
            return connection
        return socket.create_connection((kind.strip("[]"), int(place)), 60)

    def get(self, path: str) -> tuple[int, str]:
        """Status and content of a page."""
        client = HTTPConnection("localhost")
        client.sock = self.connect()
        client.sock.settimeout(60)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()


def wait_until(there: Callable[[], bool], why: Callable[[], str] = str, seconds: float = 60.0) -> None:
    """Wait until something is so; if it never is, say what is instead."""
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, why()
        time.sleep(0.02)
