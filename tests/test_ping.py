"""``mailassay ping``: who answers at a socket."""

import os
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.cli import main
from mailassay.config import Listen, socket_named
from mailassay.doctor import gather
from mailassay.ping import negotiated, ping
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.serve import Serve

PATIENCE = 60.0
OPTION = struct.pack("!IcIII", 13, b"O", 6, 0x11, 0)
NO_MILTER = (
    (b"", "hangs up"),
    (b"220 mx.example.org ESMTP\r\n", "does not speak"),
    (OPTION[:-1], "does not speak"),
    (struct.pack("!Ic", 13, b"t") + bytes(12), "does not speak"),
)


@pytest.fixture
def answering(tmp_path):
    """A program at a Unix socket, once, and what it got: a function from what it sends to the socket."""
    path = str(tmp_path / "s")
    got = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer(octets):
            def talk():
                connection, _ = listener.accept()
                with connection:
                    got.append(connection.recv(4096))
                    connection.sendall(octets)
                    got.append(connection.recv(4096) if octets == OPTION else b"")

            thread = threading.Thread(target=talk, daemon=True)
            thread.start()
            return Listen("unix", path=path), thread, got

        yield answer


def test_a_milter(answering):
    listen, thread, got = answering(OPTION)
    assert ping(listen, PATIENCE) == ""
    thread.join(PATIENCE)
    offer, end = got
    # protocol 6, every action and every step; then QUIT
    assert offer == struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)
    assert end == struct.pack("!Ic", 1, b"Q")


@pytest.mark.parametrize(("answer", "problem"), NO_MILTER)
def test_another_program(answering, answer, problem):
    listen, *_ = answering(answer)
    assert problem in ping(listen, PATIENCE)


def test_the_doctor_names_the_process(answering):
    listen, *_ = answering(OPTION)
    assert gather._greeted(listen, []) == ("", os.getpid())


@given(st.binary(max_size=64))
def test_any_answer(octets):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def talk():
            connection, _ = listener.accept()
            # the other side leaves as soon as it knows
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(octets)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        found = ping(Listen("inet", host="127.0.0.1", port=listener.getsockname()[1]), PATIENCE)
        thread.join(PATIENCE)
    length = int.from_bytes(octets[:4])
    is_option = len(octets) >= 4 and 13 <= length <= len(octets) - 4 and octets[4:5] == b"O"
    assert bool(found) is not is_option


def test_an_answer_that_has_no_end(tmp_path):
    """An octet now and then, each well before its time is over."""
    path, over = str(tmp_path / "s"), threading.Event()

    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(struct.pack("!Ic", 60_000, b"O"))
            while not over.wait(0.1):
                connection.sendall(b"x")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        try:
            with pytest.raises(TimeoutError):
                ping(Listen("unix", path=path), 1.0)
        finally:
            over.set()


def test_an_answer_that_comes_too_late():
    """It is there when we look, but our time was over before. So octets without a pause do not extend it either."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OPTION)
        with pytest.raises(TimeoutError):
            negotiated(ours, time.monotonic() - 1)


def test_the_command(tmp_path, free_port, capsys):
    """One line, for people and for monitoring."""
    assert main(["ping", f"inet:{free_port}@127.0.0.1"]) == 1
    assert capsys.readouterr().out == f"mailassay does not answer at inet:{free_port}@127.0.0.1: connection refused\n"
    (tmp_path / "mailassay.yaml").write_text(f"listen: unix:{tmp_path}/s\n")
    for words in (["--config", str(tmp_path / "mailassay.yaml")], [f"{tmp_path}/s"]):
        assert main(["ping", *words]) == 1
        assert capsys.readouterr().out == f"mailassay does not answer at unix:{tmp_path}/s: no such file or directory\n"


@pytest.mark.process
def test_the_service(tmp_path, capsys):
    """It answers on each of its workers, and logs nothing."""
    with DnsServer(Zone("", limits=LIMITS)) as server, Serve(tmp_path, server, workers=2) as serve:
        serve.wait_for("policy standard, digest")  # the last line of the start
        before = serve.log.read_text()
        for _ in range(8):
            assert main(["ping", "--config", str(serve.config), "--timeout", str(PATIENCE)]) == 0
            assert capsys.readouterr().out.startswith(f"mailassay answers at unix:{serve.socket} in ")
        assert serve.log.read_text() == before


def test_a_broken_configuration_says_where_to_ask(tmp_path, capsys):
    (tmp_path / "mailassay.yaml").write_text(f"listen: unix:{tmp_path}/s\nworkers: many\n")
    assert main(["ping", "--config", str(tmp_path / "mailassay.yaml")]) == 1
    assert f"unix:{tmp_path}/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["nonsense"], ["inet:x@y"], ["--timeout", "0"], ["--timeout", "nan"], ["--timeout", "x"]]
)
def test_bad_use(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(["ping", *words])
    assert left.value.code == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("unix:/run/s", Listen("unix", path="/run/s")),
        ("inet:8899@127.0.0.1", Listen("inet", host="127.0.0.1", port=8899)),
        ("inet:127.0.0.1:8899", Listen("inet", host="127.0.0.1", port=8899)),
    ],
)
def test_the_name_of_a_socket(text, listen):
    assert socket_named(text) == listen


@given(st.text())
def test_any_name_of_a_socket(text):
    with suppress(ValueError):
        assert isinstance(socket_named(text), Listen)
