"""Forged results are removed on the real Postfix, and nothing else is, whatever other milters have inserted."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

RECIPIENT = "bob@receiver.example"
FORGED = "mx.receiver.example; dmarc=pass"
FOREIGN = "mx.elsewhere.example; spf=pass"
AUTHOR = "From: alice@news.example\r\n"


@contextmanager
def inserter(folder, index, name, value):
    """Another milter, and its address for Postfix."""
    path = folder / f"inserter{index}.sock"
    command = [sys.executable, "-m", "tests.lab.inserter", f"unix:{path}", str(index), name, value]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 10
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        os.chmod(path, 0o666)
        yield f"unix:{path}"
    finally:
        process.kill()
        process.wait()


def results_after(lab, *values, first="", client="192.0.2.10"):
    """The Authentication-Results values of a delivered message that came in with these, unfolded, ours shortened."""
    message = first + "".join(f"Authentication-Results: {value}\r\n" for value in values) + AUTHOR + "\r\nx\r\n"
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become(client)
        smtp.command("EHLO mail.news.example")
        reply = smtp.send("bounce@news.example", [RECIPIENT], message.encode())
    header = lab.postfix.delivered(reply.queue_id).partition(b"\n\n")[0].decode()
    lines = header.replace("\n ", " ").replace("\n\t", " ").split("\n")
    assert not [line for line in lines if line.startswith("X-Mailassay-Marker")]
    found = [line.partition(": ")[2] for line in lines if line.lower().startswith("authentication-results:")]
    return ["OURS" if value.startswith("mx.receiver.example; iprev=pass") else value for value in found]


MIXTURES = [list(mixture) for size in (1, 2, 3) for mixture in product((FORGED, FOREIGN), repeat=size)]


@pytest.mark.parametrize("values", MIXTURES, ids=lambda values: "-".join(value[3] for value in values))
class TestRemoval:
    def test_alone(self, lab, values):
        assert results_after(lab, *values) == ["OURS", *(value for value in values if value == FOREIGN)]

    def test_below_another_field(self, lab, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab, *values, first="Subject: x\r\n") == ["OURS", *left]

    @pytest.mark.parametrize("first", ["", "Subject: x\r\n"])
    def test_behind_a_milter_that_wrote_its_own(self, lab_behind_results, values, first):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_behind_results, *values, first=first) == ["OURS", "earlier.example; none", *left]

    def test_behind_a_milter_that_wrote_something_else(self, lab_behind_other, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_behind_other, *values) == ["OURS", *left]

    def test_behind_a_milter_that_forges(self, lab_behind_forger, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_behind_forger, *values) == ["OURS", *left]

    def test_below_a_field_that_postfix_prepends(self, lab_prepending, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_prepending, *values) == ["OURS", "earlier.example; none", *left]


@pytest.fixture(scope="module")
def lab_prepending(make_lab):
    prepend = "PREPEND Authentication-Results: earlier.example; none"
    return make_lab(more=f"smtpd_data_restrictions = check_client_access static:{{{prepend}}}\n")


@pytest.fixture(scope="module")
def lab_behind_results(make_lab, tmp_path_factory):
    with inserter(reachable(tmp_path_factory), 0, "Authentication-Results", "earlier.example; none") as milter:
        yield make_lab(before=(milter,))


@pytest.fixture(scope="module")
def lab_behind_other(make_lab, tmp_path_factory):
    with inserter(reachable(tmp_path_factory), 0, "X-Earlier", "1") as milter:
        yield make_lab(before=(milter,))


@pytest.fixture(scope="module")
def lab_behind_forger(make_lab, tmp_path_factory):
    with inserter(reachable(tmp_path_factory), 0, "Authentication-Results", FORGED) as milter:
        yield make_lab(before=(milter,))


def reachable(tmp_path_factory):
    """A folder that Postfix's user can enter."""
    folder = tmp_path_factory.mktemp("inserter")
    for path in (folder, *folder.parents):
        if path.is_relative_to(tmp_path_factory.getbasetemp().parent):
            path.chmod(0o755)
    return folder


def test_two_hundred_forged_fields(lab):
    assert results_after(lab, *[FORGED, FOREIGN] * 100) == ["OURS", *[FOREIGN] * 100]


def test_trusted_clients_cannot_forge(lab):
    assert results_after(lab, FORGED, FOREIGN, client="192.0.2.250") == ["mx.receiver.example; none", FOREIGN]


def test_several_messages_on_one_connection(lab):
    """Each is judged by itself; RSET leaves nothing behind."""
    bodies = ["From: alice@news.example\r\n\r\n1\r\n", f"Authentication-Results: {FORGED}\r\n{AUTHOR}\r\n2\r\n"]
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.10")
        smtp.command("EHLO mail.news.example")
        smtp.command("MAIL FROM:<eve@attacker.example>")
        smtp.command("RSET")
        replies = [smtp.send("bounce@news.example", [RECIPIENT], body.encode()) for body in bodies]
        refused = smtp.send("eve@attacker.example", [RECIPIENT], b"From: alice@bank.example\r\n\r\nx\r\n")
        replies.append(smtp.send("bounce@news.example", [RECIPIENT], bodies[0].encode()))
    assert refused.code == 550
    for reply in replies:
        header = lab.postfix.delivered(reply.queue_id).partition(b"\n\n")[0]
        assert header.count(b"Authentication-Results:") == 1
        assert b"dmarc=pass header.from=news.example" in header


def test_utf8_and_eight_bit(lab):
    """SMTPUTF8 addresses, and raw octets in header and body, come through as they were sent."""
    message = "From: Zoë <zoë@news.example>\r\nSubject: Grüße\r\n\r\n".encode() + b"\xff\xfe\r\n"
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.10")
        smtp.command("EHLO mail.news.example")
        reply = smtp.send("bounce@news.example", [RECIPIENT], message, " SMTPUTF8 BODY=8BITMIME")
    delivered = lab.postfix.delivered(reply.queue_id)
    assert "Subject: Grüße\n".encode() in delivered
    assert b"\n\n\xff\xfe\n" in delivered
    assert b"dmarc=pass header.from=news.example" in delivered
