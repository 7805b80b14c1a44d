"""Messages through a real Postfix while the collector and the workers are killed: is each answer in the history, once?

python -m tests.lab.killing [--senders N] [--messages N] [--spare-workers] sends so many messages each, as root, and
prints what it found.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from mailassay.store import database
from mailassay.store.tables import hourly, message
from mailassay.zone import Zone

from .dns import DnsServer
from .limits import LIMITS
from .mta import DOMAIN, Mta
from .program import ENVIRONMENT, PROGRAM
from .serve import Serve

SENDERS, MESSAGES = 4, 150
_KILLED = 3  # of each kind, at least
_LATER = 451
_ZONE = """
1.2.0.192.in-addr.arpa  PTR  mail.bank.example
mail.bank.example       A    192.0.2.1
bank.example            TXT  "v=spf1 ip4:192.0.2.1 -all"
_dmarc.bank.example     TXT  "v=DMARC1; p=reject"
"""
_GENUINE, _SPOOF = "192.0.2.1", "198.51.100.66"
_MESSAGE = b"From: alice@bank.example\r\nSubject: hi\r\n\r\nHello\r\n"
# a short queue id comes back, nothing is to be delivered, and a client whose mail is refused is not slowed down
_MAIN = """
enable_long_queue_ids = yes
virtual_transport = discard:
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
"""
_ACCEPTED = re.compile(r"qmgr\[\d+\]: (\w+): from=.*\(queue active\)")
_REFUSED = re.compile(r": (\w+): milter-reject: END-OF-MESSAGE from [^;]*: (\d)\.\d+\.\d+")
_BEGUN = re.compile(r"smtpd\[\d+\]: (\w+): client=")
_AT_ONCE = 40  # messages of one connection


@dataclass(frozen=True)
class Found:
    """What came of it. The sets and the counter have queue ids.

    ``answered`` are the messages that mailassay accepted or refused, by the log of Postfix; ``deferred`` those that
    Postfix deferred, since the worker of the connection was dead. ``rows`` counts the rows of each in the history, and
    ``counted`` is the number of messages by the counts of hours.
    """

    answered: frozenset[str]
    deferred: frozenset[str]
    rows: Counter[str]
    counted: int
    workers: int
    collectors: int

    @property
    def missing(self) -> frozenset[str]:
        """Messages that have an answer, and no row."""
        return self.answered - self.rows.keys()

    def __str__(self) -> str:
        return (
            f"{len(self.answered)} messages answered and {len(self.deferred)} deferred while {self.workers} workers "
            f"and {self.collectors} collectors were killed; {len(self.rows)} in the history, "
            f"{len(self.missing)} missing"
        )


class _Killing(threading.Thread):
    """Does something again and again, after a random time each, until it is told to stop."""

    def __init__(self, do: Callable[[], int], least: float, most: float) -> None:
        super().__init__()
        self._do, self._least, self._most = do, least, most
        self._over = threading.Event()
        self.killed = 0

    def run(self) -> None:
        while not self._over.wait(random.uniform(self._least, self._most)):
            self.killed += self._do()

    def stop(self) -> None:
        """Stop, and wait for it."""
        self._over.set()
        self.join()


class _Collectors:
    """A collector after the other."""

    def __init__(self, config: Path) -> None:
        self._command = [*PROGRAM, "collect", "--config", str(config)]
        self._process = self._start()

    def _start(self, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self._command, *more], env=ENVIRONMENT, stderr=subprocess.PIPE)

    def kill(self) -> int:
        """Kill it, and start the next."""
        self.stop()
        self._process = self._start()
        return 1

    def stop(self) -> None:
        """Kill the last one."""
        self._process.kill()
        self._process.communicate()

    def finish(self) -> None:
        """Have another one move what is left."""
        last = self._start("--once")
        _, said = last.communicate()
        if last.returncode:
            raise AssertionError(said.decode())


def run(folder: Path, senders: int, messages: int, *, kill_workers: bool = True) -> Found:
    """Send, kill, and look."""
    history = folder / "history"
    history.mkdir()
    with (
        DnsServer(Zone(_ZONE, limits=LIMITS)) as dns,
        Serve(folder, dns, workers=2, history={"directory": str(history)}) as serve,
        Mta([f"unix:{serve.socket}"], _MAIN) as postfix,
    ):
        collectors = _Collectors(serve.config)

        def kill_worker() -> int:
            for pid in serve.workers()[:1]:
                os.kill(pid, signal.SIGKILL)
                return 1
            return 0

        of_collectors, of_workers = _Killing(collectors.kill, 1.0, 5.0), _Killing(kill_worker, 1.0, 2.0)
        killing = [of_collectors, of_workers] if kill_workers else [of_collectors]
        try:
            for each in killing:
                each.start()
            with ThreadPoolExecutor(senders) as pool:
                counts = pool.map(lambda number: _send(postfix, number, messages, killing), range(senders))
                replies = sum(counts, Counter[int]())
        finally:
            for each in killing:
                each.stop()
            collectors.stop()
        log = _log_with(postfix, replies)
        assert serve.stop() == 0
        collectors.finish()
    refused = _REFUSED.findall(log)
    answered = {*_ACCEPTED.findall(log), *(queue_id for queue_id, code in refused if code == "5")}
    with database.connect(database.address(str(history), None), reads_only=True).connect() as connection:
        rows = Counter(connection.execute(select(message.c.queue_id)).scalars())
        counted = connection.execute(select(func.sum(hourly.c.count)).where(hourly.c.kind == "verdict")).scalar() or 0
    begun = frozenset(_BEGUN.findall(log))
    return Found(frozenset(answered), begun - answered, rows, int(counted), of_workers.killed, of_collectors.killed)


def _send(postfix: Mta, number: int, messages: int, killing: list[_Killing]) -> Counter[int]:
    """Send so many messages, and more until each kind of process was killed a few times. Returns the replies' codes."""
    choice = random.Random(number)
    replies: Counter[int] = Counter()
    while replies.total() < messages or any(each.killed < _KILLED for each in killing):
        with postfix.client() as client:
            client.command("EHLO mail.bank.example")
            client.become(choice.choice([_GENUINE, _SPOOF]), "mail.bank.example")
            client.command("EHLO mail.bank.example")
            for _ in range(_AT_ONCE):
                reply = client.send("alice@bank.example", [f"inbox@{DOMAIN}"], _MESSAGE)
                replies[reply.code] += 1
                if reply.code == _LATER:
                    break  # the worker of the connection is dead
    return replies


def _log_with(postfix: Mta, replies: Counter[int]) -> str:
    """The log of Postfix, once it has all of the answers."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        log = postfix.log()
        refused = [queue_id for queue_id, code in _REFUSED.findall(log) if code == "5"]
        if (len(_ACCEPTED.findall(log)), len(refused)) == (replies[250], replies[550]):
            return log
        time.sleep(0.1)
    raise AssertionError(f"{dict(replies)} are not in the log:\n{postfix.log()[-3000:]}")


def main() -> int:
    """Once, with what it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.killing", description=__doc__)
    parser.add_argument("--senders", type=int, default=SENDERS)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="of each sender")
    parser.add_argument("--spare-workers", action="store_true", help="kill only collectors")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        begun = time.monotonic()
        found = run(Path(folder), arguments.senders, arguments.messages, kill_workers=not arguments.spare_workers)
    print(f"{found}; {time.monotonic() - begun:.0f} s")
    print(f"twice: {sum(many > 1 for many in found.rows.values())}; by the counts of hours: {found.counted}")
    print(f"rows of messages that Postfix deferred: {len(set(found.rows) & found.deferred)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
