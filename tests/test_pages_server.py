"""The process of the pages: on real sockets, whatever its clients do, and never in the way of the records."""

import errno
import os
import signal
import socket
import sqlite3
import stat
import sys
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailassay.config import Listen, Settings
from mailassay.store import FILE
from mailassay.web import child
from mailassay.web import server as serving
from mailassay.web.settings import CurrentSettings
from mailassay.web.state import Known, State, listen, tell
from tests.bench.history import records
from tests.lab.pages import Asked, Collect, fill, wait_until

NOW = time.time()


def wide(many, seed=1):
    return records(seed, NOW, 7, many)


def messages(folder):
    with closing(sqlite3.connect(folder / FILE)) as file, file:
        [many] = file.execute("SELECT count(*) FROM message").fetchone()
    file.close()
    return many


def is_alive(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.process
def test_on_a_unix_socket(tmp_path):
    """From the first record to the end, and its process does not outlive the collector's."""
    path = tmp_path / "pages.sock"
    with Collect(tmp_path, f"unix:{path}") as collect:
        collect.spooled(wide(20))
        collect.wait_for("pages at unix:")
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        wait_until(lambda: collect.get("/healthz") == (200, "ok\n"))
        wait_until(lambda: collect.get("/messages")[1].count("<tr>") == 21)
        [pages] = collect.pages()
    assert collect.process.returncode == 0
    assert not is_alive(pages)
    with Collect(tmp_path, f"unix:{path}") as collect:
        # the socket file is still there
        collect.wait_for("pages at unix:")
        [pages] = collect.pages()
        assert collect.get("/messages")[0] == 200
        collect.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not is_alive(pages))


@pytest.mark.process
def test_its_process_starts_again(tmp_path):
    """Also with the lock of the collector, and the database open."""
    code = (
        "import sys; from mailassay.cli import main; from mailassay.web import child;"
        "from tests.lab.program import overwrite; overwrite(child, _PAUSE=0.1); sys.exit(main())"
    )
    with Collect(tmp_path, f"unix:{tmp_path}/pages.sock", sys.executable, "-c", code) as collect:
        for turn in range(2):
            collect.spooled(wide(20, turn))
            collect.wait_for("pages at unix:", turn + 1)
            wait_until(lambda turn=turn: messages_or_none(tmp_path) == 20 * (turn + 1))
            [pages] = collect.pages()
            assert not [each for each in opened_by(pages) if each.startswith(str(collect.spool))]
            os.kill(pages, signal.SIGKILL)
            collect.wait_for("signal 9 has ended the process of the pages", turn + 1)
        collect.wait_for("pages at unix:", 3)
        wait_until(lambda: collect.get("/healthz") == (200, "ok\n"))


def messages_or_none(folder):
    with suppress(sqlite3.OperationalError):
        return messages(folder)


def opened_by(pid):
    return [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]


def test_no_process_can_be_started(monkeypatch, caplog):
    """Costs the pages, and not the records."""
    released = []

    def full():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", full)
    pages = child.Child(CurrentSettings(Settings(), Settings), lambda: released.append(1), str)
    pages.look_after("")
    pages.look_after("")
    pages.committed(None)
    pages.close()
    assert caplog.messages == [
        "cannot start the process of the pages (Resource temporarily unavailable); the next try is in a minute"
    ]
    assert released == [1]


@pytest.mark.process
def test_an_address_that_is_taken(tmp_path, free_port):
    """Costs the pages, and not the records."""
    with socket.create_server(("127.0.0.1", free_port)), Collect(tmp_path, f"127.0.0.1:{free_port}") as collect:
        collect.wait_for(f"web.listen: cannot listen on http://127.0.0.1:{free_port}/: Address already in use")
        collect.spooled(wide(20))
        wait_until(lambda: messages_or_none(tmp_path) == 20)


SLOW = 150


@pytest.mark.process
def test_slow_and_greedy_clients(tmp_path, free_port):
    """They hold up neither others nor the records, and take little memory."""
    fill(tmp_path, wide(3000))
    with Collect(tmp_path, f"127.0.0.1:{free_port}") as collect, ExitStack() as stack:
        collect.wait_for("pages at http://")
        wait_until(lambda: collect.get("/healthz") == (200, "ok\n"))
        collect.get("/messages")
        [pages] = collect.pages()
        before = resident(pages)
        slow = [stack.enter_context(collect.connect()) for _ in range(SLOW)]
        for number, each in enumerate(slow):
            # some never end their request, others never read the answer
            each.sendall(b"GET /messages HTTP/1.1\r\nHost: localhost\r\n" + (b"\r\n" if number % 3 == 0 else b"X: "))
        stop = threading.Event()
        greedy = [threading.Thread(target=ask_again, args=(collect, stop), daemon=True) for _ in range(8)]
        for each in greedy:
            each.start()
        try:
            for number in range(3):
                collect.spooled(wide(1000, number))
                assert collect.get("/healthz") == (200, "ok\n")
                for each in slow[1::3]:
                    # on a slow machine it may have been idle for too long
                    with suppress(BrokenPipeError, ConnectionResetError):
                        each.sendall(b"x")
            wait_until(lambda: messages(tmp_path) == 6000)
        finally:
            stop.set()
            for each in greedy:
                each.join()
        assert collect.get("/messages")[0] == 200
        assert "queue depth" not in collect.log, "one line for each request that waits"
        assert resident(pages) - before < 40 * 1024


def ask_again(collect, stop):
    while not stop.is_set():
        status, _ = collect.get("/messages?recipient=nobody.example&spf=pass&client=10.0.0.0/8")
        assert status in (200, 503)


def resident(pid):
    [found] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS")]
    return int(found.split()[1])


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A server in this process, on a Unix socket."""
    folder = tmp_path_factory.mktemp("bare")
    fill(folder, wide(60))
    path = str(folder / "pages.sock")
    asked = Asked(folder, NOW)
    found = serving.server(asked.pages, serving.opened(Listen("unix", path=path)))
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    yield path
    found.close()


def exchanged(path, octets):
    """What comes back for some octets, up to the end."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(path)
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionResetError):
            while found := client.recv(65_536):
                received += found
        return received


ODD = st.binary(max_size=40)
FIELD = st.one_of(
    ODD,
    st.sampled_from(
        [b"Content-Length: 5", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"Expect: 100-continue",
         b"Host: [", b"Connection: close", b"Range: bytes=0-1", b"Cookie: x", b"X-Forwarded-Host: x", b" folded"]
    ),
)  # fmt: skip
REQUEST = st.builds(
    lambda method, path, query, fields, body: (
        b"%s /%s?%s HTTP/1.1\r\n%s\r\n\r\n%s" % (method, path, query, b"\r\n".join([b"Host: localhost", *fields]), body)
    ),
    st.one_of(st.sampled_from([b"GET", b"HEAD", b"POST"]), ODD),
    st.one_of(st.sampled_from([b"messages", b"message/1", b"", b"healthz", b"../x", b"%2e%2e/x", b"domain/%ff"]), ODD),
    st.one_of(st.sampled_from([b"author=%00", b"find=%F0", b"since=1d", b"&&;", b"before=9-9", b"%=%"]), ODD),
    st.lists(FIELD, max_size=3),
    st.one_of(st.sampled_from([b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]), ODD),
)


@settings(max_examples=200)
@given(st.one_of(ODD, REQUEST))
def test_any_octets(bare, octets):
    received = exchanged(bare, octets)
    assert received == b"" or received.startswith((b"HTTP/1.0 ", b"HTTP/1.1 "))
    assert b"Traceback" not in received
    assert b" 500 " not in received.partition(b"\r\n")[0]


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"421"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"413"),
        (b"GET http://attacker.example/ HTTP/1.1\r\nHost: attacker.example\r\n\r\n", b"421"),
        (b"GET /%FF HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"GET /messages?author=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
    ],
)
def test_octets(bare, octets, status):
    line, _, rest = exchanged(bare, octets).partition(b"\r\n")
    assert line.split()[1] == status
    assert b"Server:" not in rest


def test_a_file_that_is_no_socket_stays(tmp_path):
    path = tmp_path / "x"
    path.write_text("mine")
    with pytest.raises(serving.CannotListen, match=r"cannot listen on unix:.*/x: Address already in use"):
        serving.opened(Listen("unix", path=str(path)))
    assert path.read_text() == "mine"


def test_a_socket_that_another_process_has(tmp_path):
    place = Listen("unix", path=str(tmp_path / "x"))
    with serving.opened(place), pytest.raises(serving.CannotListen, match="another process does"):
        serving.opened(place)


def test_a_process_that_was_killed_before_it_had_read():
    """Costs what it was told, and nothing of the collector."""
    pages = child.Child(CurrentSettings(Settings(), Settings), int, str)
    pages._channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    tell(pages._channel, State())
    its.close()
    pages.committed(None)
    pages._channel.close()


def test_what_the_collector_says_arrives():
    """Nothing waits if nobody listens, and the end is noticed."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for _ in range(10_000):
        tell(ours, State("full"))
    known, ended = Known(), threading.Event()
    listen(its, known, ended.set)
    wait_until(lambda: known.trouble() == "full")
    wait_until(lambda: tell(ours, State()) or known.trouble() == "")
    assert not ended.is_set()
    ours.close()
    assert ended.wait(60)
    its.close()
