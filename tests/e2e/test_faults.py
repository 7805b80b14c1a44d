"""Workers are killed while mail comes in: each message is answered, and none gets in unjudged.

MAILASSAY_MESSAGES is how many each of four clients sends, for a longer trial than that of every day.
"""

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from mailassay.zone import Zone
from tests.lab.mta import DOMAIN
from tests.lab.serve import AUTHSERV_ID

KILLED = 3  # at least
MESSAGES = int(os.environ.get("MAILASSAY_MESSAGES", "50"))
CLIENTS = 4
ZONE = Zone(
    """
    1.2.0.192.in-addr.arpa  PTR  mail.bank.example
    mail.bank.example       A    192.0.2.1
    bank.example            TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.bank.example     TXT  "v=DMARC1; p=reject"
    """
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
            for worker in self._serve.workers()[:1]:
                os.kill(worker, signal.SIGKILL)
                self.killed += 1

    def stop(self):
        self._stop_it.set()
        self.join()


def send(postfix, number, killer):
    """The replies to a client's messages: who it was, and the code."""
    choice = random.Random(number)
    replies = Counter()
    while replies.total() < MESSAGES or killer.killed < KILLED:
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
    killer = Killer(lab.serve)
    killer.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        replies = sum(pool.map(lambda number: send(lab.postfix, number, killer), range(CLIENTS)), Counter())
    killer.stop()
    print(f"{killer.killed} workers killed; {dict(replies)}")
    assert {code for client_ip, code in replies if client_ip == GENUINE} <= {250, 451}
    assert {code for client_ip, code in replies if client_ip == SPOOF} <= {550, 451}
    assert replies[GENUINE, 250]
    assert replies[SPOOF, 550]
    accepted, end = replies[GENUINE, 250], time.monotonic() + 60
    while len(delivered := list(lab.postfix.folder.glob("mail/inbox/new/*"))) < accepted and time.monotonic() < end:
        time.sleep(0.1)
    assert len(delivered) == accepted
    judged = re.compile(rb"^Authentication-Results: %s;(?:\n\s.*)*dmarc=pass" % AUTHSERV_ID.encode(), re.MULTILINE)
    assert all(judged.search(path.read_bytes().partition(b"\n\n")[0]) for path in delivered)
