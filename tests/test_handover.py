"""SMTP over sockets, with servers that refuse, hang up and talk nonsense."""

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.feedback.handover import Handover, Outcome, Pace, Unavailable
from tests.lab.refusing import Refusing

PATH, TO, MAIL = "r+token@example.org", "d@bank.example", b"To: d@bank.example\r\n\r\n.dot\r\n..\r\nend\r\n"


@pytest.fixture
def server():
    with Refusing() as found:
        yield found


@pytest.fixture
def handover(server):
    with Handover("127.0.0.1", server.port, "mx1.example.org") as found:
        yield found


def replies(table):
    """A server that gives these replies to commands, and the usual ones to the rest."""
    return lambda command, _: table.get(command)


def test_many_mails_in_one_connection(server, handover):
    for number in range(5):
        result = handover.give(PATH, f"d{number}@bank.example", MAIL)
        assert result == (Outcome.SENT, "250 2.0.0 Ok")
    assert [each.recipients for each in server.taken] == [[f"d{number}@bank.example"] for number in range(5)]
    assert {each.data for each in server.taken} == {MAIL}
    assert {each.return_path for each in server.taken} == {PATH}
    assert server.connections == 1


@pytest.mark.parametrize(
    ("offered", "parameters"),
    [
        (b"250-x\r\n250-DSN\r\n250 8BITMIME", b" NOTIFY=FAILURE"),
        (b"250-x\r\n250 dsn", b" NOTIFY=FAILURE"),
        (b"250-x\r\n250 8BITMIME", b""),
        (b"250-DSN\r\n250 DSNX", b""),
    ],
)
def test_only_failures_are_asked_for(server, handover, offered, parameters):
    """RFC 3461 section 4.1: a notice of a delay would look like a bounce, and the address would get no reports."""
    server.answer = replies({"EHLO": offered})
    for _ in range(2):
        assert handover.give(PATH, TO, MAIL).outcome is Outcome.SENT
    assert [each.parameters for each in server.taken] == [parameters] * 2
    assert [each.recipients for each in server.taken] == [[TO]] * 2


@pytest.mark.parametrize(
    ("command", "reply", "outcome"),
    [
        ("RCPT", b"450 4.2.0 greylisted", Outcome.LATER),
        ("RCPT", b"550 5.1.1 no such user", Outcome.UNREACHABLE),
        ("RCPT", b"556 5.1.10 takes no mail", Outcome.UNREACHABLE),
        ("RCPT", b"501 5.1.3 bad address", Outcome.UNREACHABLE),
        # nothing is known of the address: it may be tried again once the server is put right
        ("RCPT", b"554 5.7.1 relay access denied", Outcome.LATER),
        ("RCPT", b"550 no", Outcome.LATER),
        ("RCPT", b"421 4.3.2 stopping", Outcome.LATER),
        ("DATA", b"451 4.3.0 no", Outcome.LATER),
        ("DATA", b"550 5.1.1 no", Outcome.LATER),
        (".", b"451 4.7.1 try again", Outcome.LATER),
        (".", b"452 4.3.1 Insufficient system storage", Outcome.LATER),
        (".", b"554 5.7.1 refused by content", Outcome.FAILED),
        (".", b"550 5.1.1 refused by content", Outcome.FAILED),
        (".", b"251 not a 250", Outcome.LATER),
        (".", b"", Outcome.LATER),
        (".", b"nonsense", Outcome.LATER),
        (".", b"\xff\xfe\x00", Outcome.LATER),
        (".", b"999 nonsense", Outcome.LATER),
        (".", b"250" * 10_000, Outcome.LATER),
        (".", b"250-more\r\n" * 200, Outcome.LATER),
        ("RCPT", b"", Outcome.LATER),
        ("DATA", b"", Outcome.LATER),
    ],
)
def test_a_refusal_of_one_mail(server, handover, command, reply, outcome):
    """The next one goes out."""
    server.answer = lambda said, transaction: reply if said == command and TO in transaction.recipients else None
    found = handover.give(PATH, TO, MAIL)
    assert found.outcome is outcome
    assert found.reply
    assert found.reply.isprintable()
    assert handover.give(PATH, "e@bank.example", MAIL).outcome is Outcome.SENT
    assert [each.recipients for each in server.taken] == [["e@bank.example"]]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("CONNECT", b"554 no"),
        ("CONNECT", b"421 4.3.2 stopping"),
        ("CONNECT", b""),
        ("CONNECT", b"hello"),
        ("EHLO", b"502 what?"),
        ("EHLO", b""),
        ("MAIL", b"452 4.3.1 Insufficient system storage"),
        ("MAIL", b"421 4.3.2 stopping"),
        ("MAIL", b"553 5.7.1 sender refused"),
        ("MAIL", b""),
        ("MAIL", b"nonsense"),
    ],
)
def test_a_server_that_takes_nothing(server, handover, command, reply):
    server.answer = replies({command: reply})
    with pytest.raises(Unavailable) as caught:
        handover.give(PATH, TO, MAIL)
    assert str(caught.value)
    assert str(caught.value).isprintable()
    assert server.taken == []
    server.answer = replies({})
    assert handover.give(PATH, TO, MAIL).outcome is Outcome.SENT


def test_nobody_listens(free_port):
    with Handover("127.0.0.1", free_port, "x") as handover, pytest.raises(Unavailable, match="refused"):
        handover.give(PATH, TO, MAIL)


@pytest.mark.parametrize("reply", [b"", b"421 4.4.2 idle"])
def test_an_idle_connection_that_was_closed(server, handover, reply):
    """It is opened anew, and the mail goes out at once."""
    assert handover.give(PATH, TO, MAIL).outcome is Outcome.SENT
    said = [reply]
    server.answer = lambda command, _: said.pop() if command == "MAIL" and said else None
    assert handover.give(PATH, TO, MAIL).outcome is Outcome.SENT
    assert server.connections == 2
    assert len(server.taken) == 2


@pytest.mark.parametrize("silent", ["CONNECT", "MAIL", "."])
def test_a_server_that_says_nothing(silent):
    """It is not waited for without end; after the message it may have it, so the same comes again later."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with Refusing() as server:
            if silent == "CONNECT":
                handover = Handover("127.0.0.1", port, "x", 0.2, 0.2)
            else:
                never = threading.Event()
                server.answer = lambda command, _: never.wait(2) and None if command == silent else None
                handover = Handover("127.0.0.1", server.port, "x", 0.2, 0.2)
            with handover:
                if silent == ".":
                    assert handover.give(PATH, TO, MAIL).outcome is Outcome.LATER
                else:
                    with pytest.raises(Unavailable):
                        handover.give(PATH, TO, MAIL)


@given(st.text(max_size=30), st.text(max_size=30))
def test_an_address_adds_no_command(server_of_module, path, address):
    """What cannot be transmitted is not."""
    server_of_module.transactions.clear()
    with Handover("127.0.0.1", server_of_module.port, "x") as handover:
        found = handover.give(f"{path}@example.org", f"{address}@bank.example", MAIL)
    if found.outcome is Outcome.FAILED:
        assert server_of_module.transactions == []
    else:
        [taken] = server_of_module.transactions
        assert (taken.return_path, taken.recipients) == (f"{path}@example.org", [f"{address}@bank.example"])


@pytest.fixture(scope="module")
def server_of_module():
    with Refusing() as found:
        yield found


@given(st.lists(st.sampled_from([b".", b"..", b".x", b"", b"x.", b". "]), min_size=1))
def test_lines_arrive_as_they_are(server_of_module, lines):
    server_of_module.transactions.clear()
    mail = b"\r\n".join(lines) + b"\r\n"
    with Handover("127.0.0.1", server_of_module.port, "x") as handover:
        assert handover.give(PATH, TO, mail).outcome is Outcome.SENT
    assert server_of_module.taken[0].data == mail


def test_a_pace():
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(120, lambda: now[0], sleep)
    for _ in range(3):
        pace.wait()
    assert slept == [0.5, 0.5]
    # what took long needs no pause, and nothing is made up for
    now[0] += 10
    pace.wait()
    pace.wait()
    assert slept == [0.5, 0.5, 0.5]
