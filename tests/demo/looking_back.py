"""What the demo leaves in a history, and how one looks at it."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from types import TracebackType

from mailassay.store import FILE

from ..lab.program import ENVIRONMENT, PROGRAM

_PATIENCE = 60.0  # seconds for the collector


class Collect:
    """`mailassay collect` with a configuration whose history is in ``directory``; its log is in ``log``."""

    def __init__(self, config: Path, directory: Path, log: Path) -> None:
        self.database = directory / FILE
        self._config, self._log = config, log

    def __enter__(self) -> Collect:
        with self._log.open("ab") as log:
            command = [*PROGRAM, "collect", "--config", str(self._config)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=log, env=ENVIRONMENT, start_new_session=True
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_for(self, messages: int) -> None:
        """Until so many messages are in the database. Raises AssertionError if there are others, or if it ends."""
        end = time.monotonic() + _PATIENCE
        while (found := self._messages()) != messages:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, f"{found} of {messages} messages are in the history"
            time.sleep(0.1)

    def _messages(self) -> int:
        if not self.database.exists():
            return 0
        with closing(connect(f"file:{self.database}?mode=ro", uri=True)) as database:
            if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'message'").fetchone():
                return 0
            return int(database.execute("SELECT count(*) FROM message").fetchone()[0])


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def short(path: Path) -> str:
    """A path as a shell in this folder may have it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def command(config: Path, *words: str) -> str:
    """A command of the program, to be copied."""
    program = Path(sys.executable).with_name("mailassay")
    return f"{short(program)} {shlex.join([*words, '--config', str(config)])}"


def shown(line: str) -> str:
    """A command, and what it prints. Raises CalledProcessError."""
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    return f"$ {line}\n{done.stdout}"
