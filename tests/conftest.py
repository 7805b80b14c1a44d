"""What the tests share: a folder of public conformance suites, where there is one."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mailassay.judge.logline import Handler
from tests.lab import postgres
from tests.lab.folder import open_folder

# how fast an example runs says nothing on a busy machine
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# for each of thousands of mutants: the same few examples (tools/mutation.py)
settings.register_profile(
    "mutation", deadline=None, derandomize=True, max_examples=20, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))
# nor does how wide the terminal is; readline tells it to children, and not to os.environ
os.environ["COLUMNS"] = ""
del os.environ["COLUMNS"]
# nor does it matter whether the tests run in a container
os.environ.pop("container", None)
# what the tests start can be interrupted, even if a shell started them in the background, which ignores SIGINT
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_teardown() -> None:
    """A command that ran within the test logs to the standard error of that test, which is closed after it."""
    root = logging.getLogger()
    for each in root.handlers[:]:
        if isinstance(each, Handler):
            root.removeHandler(each)
    root.setLevel(logging.WARNING)


@pytest.fixture(scope="session", autouse=True)
def postfix_without_settings() -> Iterator[None]:
    """What postconf(1) reads if a test says nothing else: without a main.cf it sleeps for a second, and then fails."""
    with open_folder() as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("main.cf", "master.cf"):
            (folder / name).touch()
        patch.setenv("MAIL_CONFIG", str(folder))
        yield


@pytest.fixture(scope="session")
def suites() -> Path:
    """The folder of the suites: ``MAILASSAY_SUITES``, or one in a ``shared`` folder beside the project."""
    folder = Path(os.environ.get("MAILASSAY_SUITES") or Path(__file__).parents[2] / "shared" / "suites")
    if not folder.is_dir():
        pytest.skip(reason=f"no conformance suites at {folder}; MAILASSAY_SUITES names another folder")
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Postgres]:
    """A PostgreSQL server. What uses it has the mark ``xdist_group("postgresql")``, so that one server is enough."""
    if why := postgres.missing():
        pytest.skip(reason=why)
    with postgres.running() as server:
        yield server


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on, on either loopback address, and that the kernel gives to nobody meanwhile."""
    while True:
        port = random.randrange(10_000, 32_768)
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            socket.create_server(("::1", port), family=socket.AF_INET6).close()
            return port
