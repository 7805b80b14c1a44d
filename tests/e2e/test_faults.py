"""Workers and the service are killed while mail comes in: each message is answered, and none gets in unjudged.

MAILASSAY_MESSAGES is how many each of four clients sends, for a longer trial than that of every day.
"""

import os
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailassay.zone import Zone
from tests.lab import mta
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.mta import DOMAIN, Mta
from tests.lab.serve import AUTHSERV_ID, Serve

KILLED = 3  # at least
MESSAGES = int(os.environ.get("MAILASSAY_MESSAGES", "50"))
CLIENTS = 4
ZONE = Zone(
    """
    1.2.0.192.in-addr.arpa  PTR  mail.bank.example
    mail.bank.example       A    192.0.2.1
    bank.example            TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.bank.example     TXT  "v=DMARC1; p=reject"
    """,
    limits=LIMITS,
)
GENUINE, SPOOF = "192.0.2.1", "198.51.100.66"
MESSAGE = b"From: alice@bank.example\r\nSubject: hi\r\n\r\nHello\r\n"


class Killer(threading.Thread):
    """Kills one worker after the other until it is told to stop. One that lives for a second is replaced at once."""

    def __init__(self, serve):
        super().__init__()
        self._serve, self._stop_it = serve, threading.Event()
        self.killed = 0

    def run(self):
        while not self._stop_it.wait(random.uniform(1.0, 1.6)):
            self._kill()

    def _kill(self):
        for worker in self._serve.workers()[:1]:
            os.kill(worker, signal.SIGKILL)
            self.killed += 1

    def stop(self):
        self._stop_it.set()
        self.join()


class Restarter(Killer):
    """Kills the service, or ends it properly, by turns; after a moment without one starts it again."""

    def _kill(self):
        if self.killed % 2:
            assert self._serve.stop() == 0
        else:
            self._serve.kill()
        time.sleep(random.uniform(0.0, 0.3))
        self._serve.__enter__()
        # before that SIGTERM ends it in its own way
        self._serve.wait_for_count("listening on", self.killed + 2, 60)
        self.killed += 1


def send(postfix, number, killer):
    """The replies to a client's messages: who it was, and the code."""
    choice = random.Random(number)
    replies = Counter()
    while replies.total() < MESSAGES or (killer.killed < KILLED and killer.is_alive()):
        client_ip = choice.choice([GENUINE, SPOOF])
        with postfix.client() as client:
            client.command("EHLO mail.bank.example")
            client.become(client_ip, "mail.bank.example")
            client.command("EHLO mail.bank.example")
            reply = client.send("alice@bank.example", [f"inbox@{DOMAIN}"], MESSAGE)
        replies[client_ip, reply.code] += 1
    return replies


def test_workers_are_killed(make_lab):
    lab = make_lab(names=ZONE, workers=2)
    bombard(lab.postfix, Killer(lab.serve))


@pytest.mark.parametrize("activated", [False, True], ids=["own socket", "socket of systemd"])
def test_the_service_is_killed(activated):
    if why := mta.missing():
        pytest.skip(reason=why)
    with (
        DnsServer(ZONE) as dns,
        Mta(["unix:ours/mailassay.sock"]) as postfix,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        folder = postfix.folder / "queue" / "ours"
        folder.mkdir(mode=0o755)
        serve = Serve(folder, dns, workers=2)
        if activated:
            listener.bind(serve.socket)
            os.chmod(serve.socket, 0o666)
            listener.listen()
            serve.inherit(listener)
        with serve:
            bombard(postfix, Restarter(serve))


def bombard(postfix, killer):
    """Send while somebody kills. What was accepted is delivered, and judged."""
    killer.start()
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            replies = sum(pool.map(lambda number: send(postfix, number, killer), range(CLIENTS)), Counter())
    finally:
        killer.stop()
    print(f"{killer.killed} times killed; {dict(replies)}")
    assert killer.killed >= KILLED
    assert {code for client_ip, code in replies if client_ip == GENUINE} <= {250, 451}
    assert {code for client_ip, code in replies if client_ip == SPOOF} <= {550, 451}
    assert replies[GENUINE, 250]
    assert replies[SPOOF, 550]
    accepted, end = replies[GENUINE, 250], time.monotonic() + 60
    while len(delivered := list(postfix.folder.glob("mail/inbox/new/*"))) < accepted and time.monotonic() < end:
        time.sleep(0.1)
    assert len(delivered) == accepted
    judged = re.compile(rb"^Authentication-Results: %s;(?:\n\s.*)*dmarc=pass" % AUTHSERV_ID.encode(), re.MULTILINE)
    assert all(judged.search(path.read_bytes().partition(b"\n\n")[0]) for path in delivered)
