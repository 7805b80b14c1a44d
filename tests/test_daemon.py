"""The service: its socket, its workers, signals and systemd, seen from outside; a real second process and real DNS."""

import errno
import fcntl
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

import milter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import nameservers
from mailassay.config import Dns, Listen, Settings
from mailassay.daemon import deferring, libmilter, systemd
from mailassay.daemon.listening import _open
from mailassay.daemon.parent import Parent
from mailassay.daemon.resolv_conf import SystemNameservers
from mailassay.daemon.turn import turns
from mailassay.daemon.worker import Counts, questions_under_way, words, worker_count
from mailassay.history.spool import SPOOL, segments
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.folder import open_folder
from tests.lab.limits import LIMITS
from tests.lab.milter import MilterClient
from tests.lab.program import ENVIRONMENT
from tests.lab.serve import Serve

pytestmark = pytest.mark.process

HOSTS = " ".join(f"a:{number}.%{{d1r}}.slow.example" for number in range(10))
ZONE = f"""
    1.2.0.192.in-addr.arpa  PTR  mail.bank.example
    mail.bank.example       A    192.0.2.1
    bank.example            TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.bank.example     TXT  "v=DMARC1; p=reject"
    slow.example            TXT  ?
    *.slow.example          TXT  ?
    *.slow.example          A    ?
    *.hostile.example       TXT  "v=spf1 {HOSTS} -all"
"""
FROM_BANK = (b"From", b" Alice <alice@bank.example>")


@pytest.fixture(scope="module")
def dns():
    with DnsServer(Zone(ZONE, limits=LIMITS)) as server:
        yield server


def attacker(served):
    client = MilterClient(served.socket)
    client.connect("198.51.100.66")
    client.helo(b"mail.evil.example")
    return client


def is_running(pid):
    """Also a process that has ended is there until somebody asks how."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def spoof(client, **more):
    return client.message(b"<alice@bank.example>", [FROM_BANK], **more)


def decided(client):
    """The verdict on the spoof. On a busy machine an answer of DNS may come too late; a sender then tries again."""
    for _ in range(50):
        if (verdict := spoof(client).verdict) != "tempfail":
            break
    return verdict


# --- socket and systemd


@pytest.mark.parametrize("listen", ["inet:{port}@127.0.0.1", "inet:127.0.0.1:{port}", "inet6:{port}@::1"])
def test_sockets(tmp_path, dns, listen, free_port):
    address = ("::1" if "::1" in listen else "127.0.0.1", free_port)
    with Serve(tmp_path, dns, listen=listen.format(port=free_port)), MilterClient(address) as client:
        client.connect("192.0.2.1")
        client.helo(b"mail.bank.example")
        assert client.message(b"<alice@bank.example>", [FROM_BANK]).results()["dmarc"] == "pass"


@contextmanager
def handed_over(served, path):
    """Start a service with a socket from systemd."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        served.inherit(listener)
        with served:
            yield


def test_a_socket_from_systemd_wins(tmp_path, dns):
    """sd_listen_fds(3); the socket's file is not ours to remove."""
    path = str(tmp_path / "inherited.sock")
    served = Serve(tmp_path, dns)
    with handed_over(served, path):
        with MilterClient(path) as client:
            client.connect("192.0.2.1")
            client.helo(b"mail.bank.example")
            assert client.message(b"<alice@bank.example>", [FROM_BANK]).results()["dmarc"] == "pass"
        assert not os.path.exists(served.socket)
    assert os.path.exists(path)


def is_deferred(path):
    """Is whoever connects told to come again later, before he has said anything else?"""
    with MilterClient(path) as client:
        try:
            client.connect("192.0.2.1")
        except AssertionError as error:
            return "verdict='tempfail'" in str(error)
        return False


def test_a_mistake_with_a_socket_from_systemd(tmp_path, dns):
    """Systemd would start the service again at once for each connection that waits, without end.

    So it stays, says what is wrong, and defers all mail at once, until the mistake is fixed; then it judges.
    """
    path, notify = str(tmp_path / "inherited.sock"), str(tmp_path / "notify")
    served = Serve(tmp_path, dns, {"mood": "x"}, retire_after=3)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(notify)
        channel.settimeout(20)
        served.environment["NOTIFY_SOCKET"] = notify
        with handed_over(served, path):
            told = channel.recv(1000).decode()
            assert told.startswith("READY=1\nSTATUS=all mail is deferred: ")
            assert f"{served.policy}:1:2: unknown key `mood`" in told
            assert f"{served.policy}:1:2: unknown key `mood`" in served.log.read_text()
            with MilterClient(path) as idle, socket.socket(socket.AF_UNIX) as silent:
                silent.connect(path)
                assert all(is_deferred(path) for _ in range(20))
                # nothing changes by a reload with the mistake
                os.kill(served.pid, signal.SIGHUP)
                assert is_deferred(path)
                rewrite(served, {})
                os.kill(served.pid, signal.SIGHUP)
                served.wait_for("1 workers, policy")
                # who was connected before is hung up on
                with pytest.raises(ConnectionError):
                    idle.connect("192.0.2.1")
                served.socket = path
                for _ in range(6):
                    with attacker(served) as client:
                        assert spoof(client).verdict == "reject"
            assert served.stop() == 0
        channel.setblocking(False)
        heard = b""
        with suppress(BlockingIOError):
            while True:
                heard = channel.recv(1000)
        assert heard == b"STOPPING=1"


def test_a_mistake_that_another_program_fixes(tmp_path, dns):
    """Nobody tells the service; and it ends while it defers as it does else."""
    path = str(tmp_path / "inherited.sock")
    served = Serve(tmp_path, dns, {"mood": "x"})
    with handed_over(served, path):
        rewrite(served, {})
        served.wait_for("1 workers, policy", 40)
    served = Serve(tmp_path, dns, {"mood": "x"})
    served.log = tmp_path / "second.log"
    os.unlink(path)
    with handed_over(served, path):
        assert is_deferred(path)
        assert served.stop() == 0


def test_more_connections_than_a_mistake_has_places_for(tmp_path, dns):
    """The oldest of them retires."""
    path = str(tmp_path / "inherited.sock")
    with handed_over(Serve(tmp_path, dns, {"mood": "x"}), path), ExitStack() as stack:
        for _ in range(deferring._MOST_CONNECTIONS + 10):
            silent = stack.enter_context(socket.socket(socket.AF_UNIX))
            silent.connect(path)
        assert is_deferred(path)


OFFER = struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)


@pytest.mark.parametrize(
    ("heard", "said", "left"),
    [
        (OFFER, [struct.pack("!IcIII", 13, b"O", 6, 0, 0)], b""),
        (OFFER.replace(b"\6", b"\2", 1), [struct.pack("!IcIII", 13, b"O", 2, 0, 0)], b""),
        (b"\0\0\0\5DCj\0x\0\0\0\4Cx\0U\0\0\0\1Q", [b"\0\0\0\1t"], b""),
        (b"\0\0\0\1A\0\0\0\1K\0\0\0\4Cx", [], b"\0\0\0\4Cx"),
        (b"\0\0\0", [], b"\0\0\0"),
        (b"\0\0\0\1?\0\0\0\0", None, b""),
        (b"EHLO x\r\n", None, b""),
    ],
)
def test_what_is_said_while_all_mail_is_deferred(heard, said, left):
    octets = bytearray(heard)
    if said is None:
        with pytest.raises(ValueError, match="length"):
            list(deferring.answers(octets))
    else:
        assert (list(deferring.answers(octets)), octets) == (said, left)


def test_a_flood_while_the_service_restarts(tmp_path, dns):
    """Systemd keeps the socket: who comes while nobody is there waits for the next, and is judged.

    Whoever was connected and had no message in hand is hung up on, which Postfix answers with a deferral.
    """
    over = threading.Event()

    def talk(_):
        verdicts = Counter()
        while not over.is_set():
            try:
                with MilterClient(path) as client:
                    client.connect("198.51.100.66")
                    client.helo(b"mail.evil.example")
                    verdicts[spoof(client).verdict] += 1
            except ConnectionError:
                verdicts["deferred"] += 1
        return verdicts

    path = str(tmp_path / "inherited.sock")
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor(12) as pool:
        listener.bind(path)
        listener.listen()
        talks = [pool.submit(talk, number) for number in range(12)]
        try:
            # nobody is there yet, and all are connected
            time.sleep(0.3)
            for number in range(4):
                served = Serve(tmp_path, dns, workers=3, retire_after=30)
                served.log = tmp_path / f"{number}.log"
                served.inherit(listener)
                with served:
                    wait_until(lambda log=served.log: log.read_text().count("4TESTQUEUEID") > 50)
                    assert served.stop() == 0
            served = Serve(tmp_path, dns)
            served.log = tmp_path / "last.log"
            served.inherit(listener)
            with served:
                over.set()
                verdicts = sum((each.result(60) for each in talks), Counter())
                assert served.stop() == 0
        finally:
            over.set()
            listener.close()
    assert set(verdicts) <= {"reject", "deferred"}
    assert verdicts["reject"] > 200
    # no more than were connected at a time when the service stopped
    assert verdicts["deferred"] <= 5 * 12


def test_systemd_is_told(tmp_path, dns):
    """sd_notify(3)."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(5)
        serve = Serve(tmp_path, dns)
        serve.environment["NOTIFY_SOCKET"] = path
        with serve:
            assert channel.recv(1000).splitlines()[0] == b"READY=1"
        assert channel.recv(1000) == b"STOPPING=1"


def test_the_socket_file(tmp_path, dns):
    with Serve(tmp_path, dns, socket_mode="0640") as served:
        assert stat.S_IMODE(os.stat(served.socket).st_mode) == 0o640
        (tmp_path / "second").mkdir()
        second = Serve(tmp_path / "second", dns, listen=f"unix:{served.socket}")
        with pytest.raises(AssertionError, match="another process does"), second:
            pass
        with MilterClient(served.socket):
            pass


def test_the_socket_file_is_closed_to_others_from_the_beginning(tmp_path, monkeypatch):
    """Also to whoever connects between bind(2) and the chmod(2) that gives it its mode; whatever umask we came with."""
    modes = []

    class Watched(socket.socket):
        def bind(self, address):
            super().bind(address)
            modes.append(stat.S_IMODE(os.stat(address).st_mode))

    monkeypatch.setattr(socket, "socket", Watched)
    umask = os.umask(0)
    try:
        _open(Listen("unix", path=str(tmp_path / "milter.sock"))).close()
    finally:
        left = os.umask(umask)
    assert (modes, left) == ([0o600], 0)


@pytest.mark.parametrize(
    ("process", "count", "descriptor"),
    [("ours", "1", 3), ("ours", "0", None), ("another's", "1", None), (None, "1", None), ("ours", None, None)],
)
def test_whose_socket_it_is(monkeypatch, process, count, descriptor):
    """sd_listen_fds(3): LISTEN_PID names the process that descriptor 3 is meant for. A child may inherit the rest."""
    pid = {"ours": os.getpid(), "another's": os.getppid(), None: None}[process]
    for name, value in {"LISTEN_PID": pid, "LISTEN_FDS": count}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(value))
    assert systemd.inherited() == descriptor


def let_workers_hang(address):
    """A connection wakes several, and who comes too late for it waits in accept(2) for the next: a race, not a rule."""
    for _ in range(3):
        # until all wait in poll(2) again, or hang
        time.sleep(0.1)
        MilterClient(address).close()


@pytest.mark.parametrize("listen", ["unix:{path}", "inet:{port}@127.0.0.1", "inet6:{port}@::1"])
def test_all_workers_stop(tmp_path, dns, listen, free_port):
    """Even those that hang in accept(2); idle connections do not matter."""
    path = str(tmp_path / "milter.sock")
    address = path if "unix" in listen else ("::1" if "::1" in listen else "127.0.0.1", free_port)
    with Serve(tmp_path, dns, workers=8, listen=listen.format(path=path, port=free_port)) as served:
        let_workers_hang(address)
        with MilterClient(address) as client:
            client.connect("192.0.2.1")
            assert served.stop() == 0
    assert not os.path.exists(path)


def test_a_message_in_hand_is_finished(tmp_path, dns):
    policy = {"mode": "monitor"}
    with (
        Serve(tmp_path, dns, policy, message_timeout=2) as served,
        ThreadPoolExecutor(1) as pool,
        attacker(served) as client,
    ):
        before = len(dns.asked)
        answer = pool.submit(client.message, b"<a@slow.example>", [FROM_BANK])
        wait_until(lambda: ("slow.example", "TXT") in dns.asked[before:])
        assert served.stop() == 0
        assert answer.result().results()["spf"] == "temperror"


def test_a_worker_that_ends_of_an_odd_signal_is_replaced(tmp_path, dns):
    with Serve(tmp_path, dns) as served:
        (worker,) = served.wait_for_workers(1)
        os.kill(worker, signal.SIGRTMIN + 3)
        served.wait_for(f"ended (signal {signal.SIGRTMIN + 3})")
        served.wait_for_workers(1)


def test_systemd_that_does_not_listen(tmp_path, dns):
    served = Serve(tmp_path, dns)
    served.environment["NOTIFY_SOCKET"] = str(tmp_path / "nobody")
    with served:
        served.wait_for("cannot tell systemd")
        assert served.stop() == 0


def test_workers_end_with_their_parent(tmp_path, dns):
    """Those that hang in accept(2) as well; the socket's file that is left does not keep the next one from starting."""
    with Serve(tmp_path, dns, workers=8) as served:
        let_workers_hang(served.socket)
        workers = served.workers()
        os.kill(served.pid, signal.SIGKILL)
        end = time.monotonic() + 60
        while any(is_running(worker) for worker in workers) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(map(is_running, workers))
    assert os.path.exists(served.socket)
    again = Serve(tmp_path, dns)
    again.log = tmp_path / "again.log"
    with again, MilterClient(again.socket):
        pass


def test_a_worker_that_dies_is_replaced(tmp_path, dns):
    with Serve(tmp_path, dns) as served:
        (worker,) = served.wait_for_workers(1)
        os.kill(worker, signal.SIGKILL)
        served.wait_for("ended (signal 9)")
        served.wait_for_workers(1)
        with MilterClient(served.socket) as client:
            client.connect("192.0.2.1")
            client.helo(b"mail.bank.example")
            assert client.message(b"<alice@bank.example>", [FROM_BANK]).results()["dmarc"] == "pass"


def test_a_worker_that_cannot_be_started_is_started_later(tmp_path, dns):
    """Also where SIGCHLD was ignored by whoever started the service, which it inherits."""
    served = Serve(tmp_path, dns)
    served.module = "tests.lab.faulty"
    with served:
        (worker,) = served.wait_for_workers(1)
        os.kill(worker, signal.SIGKILL)
        served.wait_for("cannot start a worker (Resource temporarily unavailable)")
        served.wait_for_workers(1)
        assert served.stop() == 0


# --- workers that retire


def test_a_worker_for_which_there_is_no_descriptor(monkeypatch, caplog):
    """The service goes on, and tries again later."""

    def full():
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    monkeypatch.setattr(socket, "socketpair", full)
    parent = Parent(Settings(dns=Dns(nameservers=(("192.0.2.1", 53),))), Settings, -1, SystemNameservers())
    parent._start()
    assert caplog.messages == ["cannot start a worker (Too many open files in system); trying again in 0.5 s"]
    assert parent._start_at > time.monotonic() - 60


def test_a_worker_makes_room_after_so_many_messages(tmp_path, dns):
    """Another takes its place at once; who is connected to it stays, and is served until he leaves."""
    with Serve(tmp_path, dns, retire_after=5) as served, attacker(served) as client:
        (first,) = served.wait_for_workers(1)
        for _ in range(5):
            assert spoof(client).verdict == "reject"
        served.wait_for(f"worker {first} retires")
        (second,) = set(served.wait_for_workers(2)) - {first}
        with attacker(served) as other:
            for _ in range(4):
                assert spoof(other).verdict == "reject"
        for _ in range(10):
            assert spoof(client).verdict == "reject"
        assert set(served.workers()) == {first, second}
        client.close()
        served.wait_for(f"worker {first} has retired")
        assert served.wait_for_workers(1) == [second]
        assert "starting another" not in served.log.read_text()


def test_workers_that_make_room_lose_nothing(tmp_path, dns):
    """Many messages, a connection each, and a new worker every ten."""

    def talk(_):
        verdicts = []
        for _ in range(60):
            with attacker(served) as client:
                verdicts.append(spoof(client).verdict)
        return verdicts

    with Serve(tmp_path, dns, workers=2, retire_after=10) as served, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(talk, range(4))) == [["reject"] * 60] * 4
        served.wait_for_workers(2)
        assert served.log.read_text().count("has retired") > 5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_socket_file_outlives_workers(dns):
    """libmilter removes the file of a socket that it was told by name, except for root."""
    with open_folder() as folder:
        folder.chmod(0o777)
        serve = Serve(folder, dns, workers=2, retire_after=1)
        serve.module = "tests.lab.unprivileged"
        outlives_workers(serve)


def outlives_workers(serve):
    with serve:
        for _ in range(4):
            with attacker(serve) as client:
                assert spoof(client).verdict == "reject"
            serve.wait_for("has retired")
        let_workers_hang(serve.socket)
        assert serve.stop() == 0
    assert not os.path.exists(serve.socket)


def doors(pid):
    """The inodes of the sockets at which a process takes connections: what proc(5) has of Unix and TCP sockets."""
    folder = Path("/proc", str(pid))
    lines = [line.split() for line in (folder / "net/unix").read_text().splitlines()[1:]]
    # __SO_ACCEPTCON of Linux's net.h
    waiting = {words[6] for words in lines if int(words[3], 16) & 0x10000}
    for name in ("tcp", "tcp6"):
        lines = [line.split() for line in (folder / "net" / name).read_text().splitlines()[1:]]
        waiting |= {words[9] for words in lines if words[3] == "0A"}  # TCP_LISTEN
    links = [os.readlink(path) for path in (folder / "fd").iterdir()]
    return waiting & {link.removeprefix("socket:[").removesuffix("]") for link in links}


@pytest.mark.parametrize("listen", ["unix:{path}", "inet:{port}@127.0.0.1"])
def test_nobody_connects_to_a_worker_that_makes_room(tmp_path, dns, listen, free_port):
    """Not by another socket either: one without a file could be reached by every user of the machine."""
    listen = listen.format(path=tmp_path / "milter.sock", port=free_port)
    with Serve(tmp_path, dns, retire_after=1, socket_mode="0600", listen=listen) as served:
        served.socket = str(tmp_path / "milter.sock") if "unix" in listen else ("127.0.0.1", free_port)
        (old,) = served.wait_for_workers(1)
        door = doors(old)
        assert len(door) == 1
        with attacker(served) as client:
            spoof(client)
            served.wait_for(f"worker {old} retires")
            (new,) = set(served.wait_for_workers(2)) - {old}
            wait_until(lambda: not doors(old))
            assert doors(new) == doors(served.pid) == door
            assert spoof(client).verdict == "reject"
        served.wait_for(f"worker {old} has retired")


def test_a_worker_that_makes_room_stops_with_the_service(tmp_path, dns):
    """However long its clients stay."""
    with Serve(tmp_path, dns, retire_after=1) as served, attacker(served) as client:
        spoof(client)
        served.wait_for("retires")
        served.wait_for_workers(2)
        assert served.stop() == 0


def test_a_worker_that_hangs_is_killed(tmp_path, dns):
    served = Serve(tmp_path, dns)
    served.module = "tests.lab.impatient"
    with served:
        (worker,) = served.wait_for_workers(1)
        os.kill(worker, signal.SIGSTOP)
        served.wait_for(f"worker {worker} does not answer; killed")
        served.wait_for(f"worker {worker} ended (signal 9)")
        served.wait_for_workers(1)
        with attacker(served) as client:
            assert spoof(client).verdict == "reject"


def test_a_service_that_stands_still_as_a_whole(tmp_path, dns):
    """As in a container that is frozen: nobody is silent, since nobody was asked."""
    served = Serve(tmp_path, dns, workers=3, recipient_delimiter="+")
    served.module = "tests.lab.impatient"
    with served:
        workers = served.wait_for_workers(3)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in (*workers, served.pid):
                os.kill(pid, number)
            time.sleep(2)
        assert served.workers() == workers
        assert "does not answer" not in served.log.read_text()


@pytest.mark.parametrize("fault", ["dead", "still"])
def test_a_worker_whose_dns_is_gone_is_replaced(tmp_path, dns, fault):
    """It lets nothing in by that, whatever the settings say of trouble with DNS."""
    policy = {"dmarc": {"temperror": "accept"}}
    more = {"dns": {"nameservers": [f"{dns.address}:{dns.port}"], "timeout": 0.2, "unavailable": "accept"}}
    served = Serve(tmp_path, dns, policy, message_timeout=60, recipient_delimiter="+", **more)
    served.module = "tests.lab.impatient"
    with served:
        (worker,) = served.wait_for_workers(1)
        # Postfix defers what its milter has no answer to
        with suppress(ConnectionError), attacker(served) as client:
            answer = client.message(f"<eve@{fault}.example>".encode(), [(b"From", b" joe@honest.example")])
            assert answer.reply == b"451 4.4.3 Temporary failure of DNS"
        served.wait_for(f"worker {worker} no longer hears name servers")
        served.wait_for(f"worker {worker} does not answer; killed")
        served.wait_for(f"worker {worker} ended (signal 9)")
        served.wait_for_workers(1)
        with attacker(served) as client:
            assert spoof(client).verdict == "reject"


# --- reload


def rewrite(served, policy=None, /, **changes):
    """Change the policy, and keys of the configuration; nobody reads half a file."""
    texts = {served.config: json.dumps(json.loads(served.config.read_text()) | changes)}
    if policy is not None:
        texts[served.policy] = policy if isinstance(policy, str) else json.dumps(policy)
    for path, text in texts.items():
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)


def reload(served, expected, count=1):
    """SIGHUP; waits until the log has it, for as many times as it was there and one more."""
    before = served.log.read_text().count(expected)
    os.kill(served.pid, signal.SIGHUP)
    end = time.monotonic() + 60
    while served.log.read_text().count(expected) < before + count:
        assert time.monotonic() < end, served.log.read_text()
        time.sleep(0.01)


@pytest.fixture
def lenient(tmp_path, dns):
    """A service whose policy lets spoofs in."""
    with Serve(tmp_path, dns, {"dmarc": {"reject": "accept"}}, workers=2) as served:
        yield served


def test_reload(lenient):
    """The next message is judged by the new policy, on connections that are open too, and in every worker."""
    clients = [attacker(lenient) for _ in range(6)]
    assert {spoof(client).verdict for client in clients} == {"continue"}
    rewrite(lenient, {"dmarc": {"reject": "reject"}})
    reload(lenient, "judges by policy", count=2)
    assert {spoof(client).verdict for client in clients} == {"reject"}
    for client in clients:
        client.close()
    lenient.wait_for("reloaded: policy")


def test_the_message_in_hand_keeps_its_policy(lenient):
    def chunks():
        yield b"x\r\n"
        rewrite(lenient, {"dmarc": {"reject": "reject"}})
        reload(lenient, "judges by policy", count=2)
        yield b"x\r\n"

    with attacker(lenient) as client:
        signature = (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=x.example; s=s; h=from; bh=AAAA; b=AAAA")
        answer = client.message(b"<alice@bank.example>", [signature, FROM_BANK], chunks())
        assert (answer.verdict, answer.body_packets) == ("continue", 2)
        assert spoof(client).verdict == "reject"


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        ("dmarc:\n  reject: perhaps\n", "policy.yaml:2:11: dmarc.reject: expected reject"),
        ("dmarc: [", "policy.yaml:1:9: while parsing a flow node"),
        ("", "policy.yaml:1:1: the file has no keys; write {} for the defaults"),
    ],
)
def test_a_bad_configuration_changes_nothing(lenient, policy, problem):
    with attacker(lenient) as client:
        rewrite(lenient, policy)
        reload(lenient, "the configuration is not reloaded")
        assert problem in lenient.log.read_text()
        assert spoof(client).verdict == "continue"
        lenient.policy.unlink()
        reload(lenient, "the configuration is not reloaded")
        assert spoof(client).verdict == "continue"
        rewrite(lenient, {"dmarc": {"reject": "reject"}})
        reload(lenient, "judges by policy", count=2)
        assert spoof(client).verdict == "reject"


@pytest.mark.skipif(not shutil.which("postconf", path="/usr/sbin"), reason="Postfix is not installed")
def test_postfix_is_asked_for_its_delimiter_at_start_and_reload(tmp_path, dns):
    """A Postfix that cannot be asked keeps no service from running."""
    main = tmp_path / "main.cf"
    main.write_text("recipient_delimiter = =\n")
    rule = {"name": "board", "if": {"recipient": "bob@"}, "then": "reject"}
    serve = Serve(tmp_path, dns, {"dmarc": {"reject": "accept"}, "rules": [rule]})
    serve.environment["MAIL_CONFIG"] = str(tmp_path)

    def verdicts():
        with attacker(serve) as client:
            return [
                spoof(client, recipients=[b"<bob%cx@receiver.example>" % each]).verdict == "reject" for each in b"=+-"
            ]

    with serve:
        assert verdicts() == [True, False, False]
        main.write_text("recipient_delimiter = +\n")
        reload(serve, "judges by policy")
        assert verdicts() == [False, True, False]
        main.unlink()
        reload(serve, "judges by policy")
        assert verdicts() == [False, True, True]


@pytest.mark.skipif(not shutil.which("postconf", path="/usr/sbin"), reason="Postfix is not installed")
def test_the_networks_of_postfix_are_followed(tmp_path, dns):
    """At start and at reload; of a Postfix that cannot be asked, none are trusted."""
    main = tmp_path / "main.cf"
    main.write_text("mynetworks = 127.0.0.0/8, 198.51.100.0/24\n")
    serve = Serve(tmp_path, dns, trusted_networks="postfix")
    serve.environment["MAIL_CONFIG"] = str(tmp_path)

    def verdict():
        with attacker(serve) as client:
            return spoof(client).verdict

    with serve:
        assert verdict() == "continue"
        for text, expected in [
            ("mynetworks = 127.0.0.0/8, 198.51.100.0/27\n", "reject"),
            ("home = [::ffff:198.51.100.66]\nmynetworks = 127.0.0.0/8 $home\n", "continue"),
            ("mynetworks = 0.0.0.0/0\n", "reject"),
            ("mynetworks = !198.51.100.66 198.51.100.0/24\n", "reject"),
            ("mynetworks = 198.51.100.66\n", "continue"),
            (None, "reject"),
        ]:
            if text is None:
                main.unlink()
            else:
                main.write_text(text)
            reload(serve, "judges by policy")
            assert verdict() == expected, text
            assert ("trusted_networks: Postfix cannot be asked" in serve.log.read_text()) is (text is None)


def test_reloads_under_load(lenient):
    """Fifty, good and bad by turns: every message has its answer by one of the two good policies, on one connection."""
    over = threading.Event()

    def talk(_):
        verdicts = []
        with attacker(lenient) as client:
            while not over.is_set():
                verdicts.append(spoof(client).verdict)
        return verdicts

    with ThreadPoolExecutor(4) as pool:
        talks = [pool.submit(talk, number) for number in range(4)]
        try:
            for number in range(50):
                if number % 2:
                    rewrite(lenient, random.choice(["dmarc: [", "mode: perhaps", "\x00", "rules: 1"]))
                    reload(lenient, "the configuration is not reloaded")
                else:
                    rewrite(lenient, {"dmarc": {"reject": random.choice(["reject", "accept"])}})
                    reload(lenient, "judges by policy", count=2)
        finally:
            over.set()
        for each in talks:
            verdicts = each.result()
            assert len(verdicts) > 10
            assert set(verdicts) <= {"reject", "continue"}
    assert "ended" not in lenient.log.read_text()


def test_a_storm_of_reloads(tmp_path, dns):
    """While workers retire, become more and fewer: every message is judged, and at the end all is as configured."""
    over = threading.Event()

    def talk(_):
        verdicts = Counter()
        while not over.is_set():
            with attacker(served) as client:
                for _ in range(3):
                    verdicts[spoof(client).verdict] += 1
        return verdicts

    with Serve(tmp_path, dns, {}, workers=2, retire_after=10) as served, ThreadPoolExecutor(4) as pool:
        talks = [pool.submit(talk, number) for number in range(4)]
        try:
            for number in range(30):
                rewrite(served, {"dmarc": {"reject": "reject"}} if number % 2 else {}, workers=1 + number % 3)
                for _ in range(100):
                    os.kill(served.pid, signal.SIGHUP)
                    time.sleep(0.0005)
        finally:
            over.set()
        for each in talks:
            assert set(each.result(60)) == {"reject"}
        rewrite(served, {"dmarc": {"reject": "accept"}}, workers=2, retire_after="never")
        os.kill(served.pid, signal.SIGHUP)
        served.wait_for_workers(2)
        with attacker(served) as client:
            wait_until(lambda: spoof(client).verdict == "continue")
        assert served.stop() == 0
    log = served.log.read_text()
    assert "has retired" in log
    assert "killed" not in log
    assert "starting another" not in log


def test_a_reload_reaches_a_worker_that_makes_room(tmp_path, dns):
    """Who stays connected to it is judged by the new policy, like everybody else."""
    with Serve(tmp_path, dns, {"dmarc": {"reject": "accept"}}, retire_after=1) as served, attacker(served) as client:
        (old,) = served.wait_for_workers(1)
        assert spoof(client).verdict == "continue"
        served.wait_for(f"worker {old} retires")
        rewrite(served, {"dmarc": {"reject": "reject"}})
        reload(served, f"worker {old} judges by policy")
        assert spoof(client).verdict == "reject"
        client.close()
        served.wait_for(f"worker {old} has retired")
        assert served.stop() == 0


def test_a_reload_changes_what_can_be_changed(lenient):
    """DNS, log and the number of workers; what needs a restart is named."""
    rewrite(
        lenient,
        workers=3,
        listen="unix:/elsewhere.sock",
        log={"level": "debug", "format": "text"},
        dns={"nameservers": ["127.0.0.1:1"], "timeout": 0.1, "unavailable": "accept"},
    )
    reload(lenient, "judges by policy", count=2)
    assert "listen: needs a restart" in lenient.log.read_text()
    lenient.wait_for_workers(3)
    assert not lenient.log.read_text().splitlines()[-1].startswith("{")
    clients = [attacker(lenient) for _ in range(6)]
    for client in clients:
        answer = client.message(b"<alice@bank.example>", [FROM_BANK])
        assert answer.results()["dmarc"] == "temperror"
        client.close()
    rewrite(lenient, workers=1)
    os.kill(lenient.pid, signal.SIGHUP)
    lenient.wait_for_workers(1)
    assert "starting another" not in lenient.log.read_text()


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"listen": "unix:/elsewhere.sock"}, "listen"),
        ({"socket_mode": "0600"}, "socket_mode"),
        ({"socket_group": "nogroup"}, "socket_group"),
        ({"dns": {"cache_size": 5}}, "dns.cache_size"),
        ({"history": {"directory": "/elsewhere"}}, "history.directory"),
    ],
)
def test_a_reload_leaves_what_takes_a_restart(tmp_path, dns, changed, name):
    """It says so, each time. A worker that is started later is like the others, which made what they have at first."""
    with Serve(tmp_path, dns) as served:
        old = os.stat(served.socket)
        rewrite(served, **changed)
        for _ in range(2):
            reload(served, f"{name}: needs a restart; not changed")
            served.wait_for("reloaded: policy")
        new = os.stat(served.socket)
        assert (new.st_ino, new.st_mode, new.st_gid) == (old.st_ino, old.st_mode, old.st_gid)


def test_a_worker_that_takes_no_settings_is_killed(tmp_path, dns):
    """It must not go on with those of before."""
    served = Serve(tmp_path, dns)
    served.module = "tests.lab.impatient"
    with served:
        (worker,) = served.wait_for_workers(1)
        os.kill(worker, signal.SIGSTOP)
        networks = [f"10.{high}.{low}.0/24" for high, low in itertools.product(range(30), range(256))]
        rewrite(served, trusted_networks=networks)
        os.kill(served.pid, signal.SIGHUP)
        served.wait_for(f"worker {worker} ended (signal 9)")
        served.wait_for_workers(1)
        with MilterClient(served.socket) as client:
            client.connect("10.29.255.1")
            client.helo(b"x.example")
            spoof(client, queue_id="4NEW")
        assert served.entry("4NEW")["rule"] == "trusted_network"


def test_systemd_hears_of_a_reload(tmp_path, dns):
    """Type=notify-reload of systemd.service(5): RELOADING with the time, then READY, whether it went well or not."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(5)
        served = Serve(tmp_path, dns, {})
        served.environment["NOTIFY_SOCKET"] = path
        with served:
            assert channel.recv(1000).startswith(b"READY=1\nSTATUS=1 workers, policy ")
            for policy, status in ({}, b"STATUS=1 workers, policy "), ("mode: [", b"; the last reload failed: "):
                rewrite(served, policy)
                os.kill(served.pid, signal.SIGHUP)
                reloading, microseconds = channel.recv(1000).splitlines()
                assert reloading == b"RELOADING=1"
                assert microseconds.startswith(b"MONOTONIC_USEC=")
                ready, found = channel.recv(1000).splitlines()
                assert ready == b"READY=1"
                assert status in found


def test_the_watchdog_is_fed(tmp_path, dns):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(5)
        served = Serve(tmp_path, dns)
        served.environment |= {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}
        with served:
            assert channel.recv(1000).startswith(b"READY=1")
            assert [channel.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3


# --- the name servers of the system


def test_name_servers_that_change(tmp_path, dns, free_port):
    """No reload is needed, and a file that is being written, or lost, does no harm."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("# DHCP has not answered yet\n")
    # Postfix is not asked, which takes a second if it has no main.cf: the impatient parent would kill the workers
    served = Serve(tmp_path, dns, dns={"timeout": 0.2, "unavailable": "accept"}, workers=2, recipient_delimiter="+")
    served.module = "tests.lab.impatient"
    served.environment |= {"RESOLV_CONF": str(resolv_conf), "DNS_PORT": str(free_port)}

    def verdicts():
        """Of both workers, it may be."""
        found = set()
        for _ in range(4):
            with attacker(served) as client:
                found.add(decided(client))
        return found

    strict, lenient = Zone(ZONE, ttl=0, limits=LIMITS), Zone(ZONE.replace("p=reject", "p=none"), ttl=0, limits=LIMITS)
    with DnsServer(strict, "127.0.0.2", free_port), DnsServer(lenient, "127.0.0.3", free_port), served:
        assert "reject" not in verdicts()
        resolv_conf.write_text("nameserver 127.0.0.2\n")
        served.wait_for(f"the name servers of the system are now 127.0.0.2 port {free_port}")
        served.wait_for_count("judges by policy", 2)
        assert verdicts() == {"reject"}
        resolv_conf.write_text("")
        time.sleep(0.5)
        assert verdicts() == {"reject"}
        resolv_conf.write_text("nameserver nobody\n")
        served.wait_for("; the name servers stay the same")
        os.kill(served.pid, signal.SIGHUP)
        served.wait_for("the configuration is not reloaded")
        resolv_conf.unlink()
        time.sleep(0.5)
        os.kill(served.pid, signal.SIGHUP)
        served.wait_for_count("judges by policy", 4)
        assert verdicts() == {"reject"}
        other = tmp_path / "other"
        other.write_text("nameserver 127.0.0.3\nnameserver 127.0.0.2\n")
        other.rename(resolv_conf)
        served.wait_for(f"are now 127.0.0.3 port {free_port}, 127.0.0.2 port {free_port}")
        served.wait_for_count("judges by policy", 6)
        assert verdicts() == {"continue"}
    assert served.log.read_text().count("the name servers stay") == 1


@pytest.fixture
def resolv_conf(tmp_path, monkeypatch):
    path = tmp_path / "resolv.conf"
    monkeypatch.setattr(nameservers, "RESOLV_CONF", str(path))
    return path


def test_what_is_followed(resolv_conf):
    system = SystemNameservers()
    named = Settings(dns=Dns(nameservers=(("192.0.2.1", 5353),)))
    resolv_conf.write_text("nameserver 192.0.2.2\n")
    assert system.resolved(named) == named
    assert system.changed() is None
    assert system.resolved(Settings()).dns.nameservers == (("192.0.2.2", 53),)
    assert system.changed() is None
    resolv_conf.write_text("nameserver 2001:db8::1\nnameserver 192.0.2.2\n")
    assert system.changed() == (("2001:db8::1", 53), ("192.0.2.2", 53))
    assert system.changed() is None
    resolv_conf.write_text("nameserver 2001:db8::1\n# the same\nnameserver 192.0.2.2\n")
    assert system.changed() is None
    resolv_conf.unlink()
    assert system.changed() is None
    assert system.resolved(Settings()).dns.nameservers == (("2001:db8::1", 53), ("192.0.2.2", 53))
    assert system.resolved(named) == named
    resolv_conf.write_text("nameserver 192.0.2.3\n")
    assert system.changed() is None
    resolv_conf.unlink()
    assert system.resolved(Settings()).dns.nameservers == (("127.0.0.1", 53),)
    resolv_conf.write_text("nameserver 192.0.2.3\n")
    assert system.changed() == (("192.0.2.3", 53),)


@pytest.mark.parametrize(
    "wrong",
    [b"", b"\n", b"search example\n", b"search foo..bar\n", b"nameserver\n", b"nameserver x\n", b"\xff\xfe", None],
)
def test_what_is_not_followed(resolv_conf, wrong):
    """A directory in its place neither."""
    system = SystemNameservers()
    resolv_conf.write_text("nameserver 192.0.2.2\n")
    system.resolved(Settings())
    resolv_conf.unlink()
    if wrong is None:
        resolv_conf.mkdir()
    else:
        resolv_conf.write_bytes(wrong)
    assert system.changed() is None
    if wrong is None:
        resolv_conf.rmdir()
    resolv_conf.write_text("nameserver 192.0.2.3\n")
    assert system.changed() == (("192.0.2.3", 53),)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), UnicodeError("x"), ValueError("x")])
def test_a_file_that_cannot_be_read(resolv_conf, monkeypatch, caplog, error):
    """It does not end the service, and the log says so."""

    def fails(*_):
        raise error

    system = SystemNameservers()
    resolv_conf.write_text("nameserver 192.0.2.2\n")
    system.resolved(Settings())
    resolv_conf.write_text("nameserver 192.0.2.33\n")
    with monkeypatch.context() as patch:
        patch.setattr("dns.resolver.Resolver", fails)
        assert system.changed() is None
        assert system.changed() is None
    assert caplog.text.count("the name servers stay") == 1
    resolv_conf.write_text("nameserver 192.0.2.3\n")
    assert system.changed() == (("192.0.2.3", 53),)


# --- what it counts


def test_what_is_counted(tmp_path):
    """In all workers, those that ended too: for systemd, and once a minute for the log."""
    path = str(tmp_path / "notify")

    def send(mode):
        dns.mode = mode
        with attacker(served) as client:
            client.message(b"<eve@evil.example>", [FROM_BANK])

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(20)

        def wait_for(text):
            while text not in (said := channel.recv(1000).decode()):
                pass
            return said

        dns = DnsServer(Zone(ZONE, ttl=0, limits=LIMITS))
        served = Serve(tmp_path, dns, workers=2, retire_after=3)
        served.module = "tests.lab.impatient"
        served.environment["NOTIFY_SOCKET"] = path
        with dns, served:
            send("servfail")
            said = wait_for("; 1 messages")
            assert said.startswith("STATUS=2 workers, policy ")
            assert said.endswith("; 1 messages, 1 of them without an answer from DNS")
            served.wait_for("DNS: 1 of the last 1 messages had no answer from 127.0.0.1 port")
            for _ in range(8):
                send("ok")
            wait_for("; 9 messages, 1 of them without an answer from DNS")
            send("servfail")
            wait_for("; 10 messages, 2 of them without an answer from DNS")
            log = served.wait_for("has retired")
            # not one that ends by itself
            (worker, *_) = [pid for pid in served.workers() if f"worker {pid} retires" not in log]
            os.kill(worker, signal.SIGKILL)
            served.wait_for(f"worker {worker} ended (signal 9)")
            send("servfail")
            wait_for("; 11 messages, 3 of them without an answer from DNS")
            rewrite(served, listen=7)
            os.kill(served.pid, signal.SIGHUP)
            wait_for("; 11 messages, 3 of them without an answer from DNS; the last reload failed: ")
        assert served.log.read_text().count("had no answer from") == 1


@given(
    said=st.lists(st.tuples(st.booleans(), st.tuples(*[st.integers(0, 2**64 - 1)] * 3))),
    cuts=st.lists(st.integers(1, 60)),
)
def test_words_of_workers(said, cuts):
    """However they arrive."""
    octets = b"".join(struct.pack("!?QQQ", retires, *counts) for retires, counts in said)
    heard, found = bytearray(), []
    for size in [*cuts, len(octets)]:
        heard += octets[:size]
        octets = octets[size:]
        found += words(heard)
    assert found == said
    assert not heard


def test_how_often_it_is_said(caplog, monkeypatch):
    """Of what is new since the last look, or the last warning."""
    with caplog.at_level("WARNING", logger="mailassay"):
        parent = Parent(Settings(dns=Dns(nameservers=(("192.0.2.1", 53),))), Settings, -1, SystemNameservers())
        for now, counts in [
            (0, (100, 0, 7)),
            (10, (110, 3, 9)),
            (20, (120, 13, 20)),
            (69, (180, 20, 30)),
            (70, (190, 21, 31)),
            (130, (250, 21, 40)),
            (140, (260, 22, 50)),
        ]:
            monkeypatch.setattr(parent, "_ended", Counts(*counts))
            parent._tell_counts(now)
    assert [
        record.getMessage().replace(" messages had no answer from 192.0.2.1 port 53", "") for record in caplog.records
    ] == [
        "DNS: 3 of the last 10; 2 questions failed",
        "DNS: 18 of the last 80; 22 questions failed",
        "DNS: 1 of the last 10; 10 questions failed",
    ]


# --- what goes wrong around it


def test_more_questions_than_may_be_under_way(tmp_path, dns):
    """Hostile messages ask far more than there are descriptors, and nobody answers; others are judged beside them."""
    over, taken = threading.Event(), []

    def attack(number):
        """Three names of SPF records, keys and policies, and all that follows from them."""
        with MilterClient(served.socket) as client:
            client.connect("198.51.100.66")
            client.helo(f"h{number}.hostile.example".encode())
            domain = f"a.b.c.d.e.f.{number}.slow.example"
            tags = f" v=1; a=rsa-sha256; h=from; bh=AAAA; b=AAAA; d={domain}; s="
            fields = [(b"DKIM-Signature", f"{tags}{each}".encode()) for each in range(10)]
            fields.append((b"From", f" a@{domain}".encode()))
            while not over.is_set():
                client.message(f"<a@m{number}.hostile.example>".encode(), fields)

    def watch():
        while not over.wait(0.05):
            taken.append(len(os.listdir(f"/proc/{worker}/fd")))

    # short, so that those who wait for one of the questions get it
    short = {"nameservers": [f"{dns.address}:{dns.port}"], "timeout": 0.5}
    served = Serve(tmp_path, dns, message_timeout=10, dns=short)
    served.before = "ulimit -n 256;"
    with served, ThreadPoolExecutor(13) as pool:
        (worker,) = served.wait_for_workers(1)
        try:
            talks = [pool.submit(attack, number) for number in range(12)]
            watching = pool.submit(watch)
            end = time.monotonic() + 60
            # three quarters of those for questions, and the connections: no more may be under way
            while not taken or max(taken) < 96 + 12:
                assert time.monotonic() < end, max(taken, default=0)
                time.sleep(0.01)
            for _ in range(3):
                with MilterClient(served.socket) as client:
                    client.connect("192.0.2.1")
                    client.helo(b"mail.bank.example")
                    # on a busy machine an answer of DNS may come too late; it is kept for the next message
                    for _ in range(50):
                        answer = client.message(b"<alice@bank.example>", [FROM_BANK])
                        if answer.verdict != "tempfail" and answer.results()["dmarc"] != "temperror":
                            break
                    assert answer.results()["dmarc"] == "pass"
                with attacker(served) as client:
                    assert decided(client) == "reject"
        finally:
            over.set()
        for each in (*talks, watching):
            each.result()
        # half of what there is for questions; the rest are connections, and what a process has
        assert max(taken) < 128 + 40
        assert served.workers() == [worker]
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize(
    ("descriptors", "workers", "most"), [(256, 1, 128), (65_536, 1, 2000), (1_000_000, 10_000, 16), (8, 1, 16)]
)
def test_how_many_questions_may_be_under_way(monkeypatch, descriptors, workers, most):
    """No more than there are descriptors and ports for, with as many left to others."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert questions_under_way(Settings(workers=workers)) == most


def test_a_child_of_somebody_else_does_not_matter(tmp_path, dns):
    """As the first process of a container has it, or what a shell started before it became the service."""
    served = Serve(tmp_path, dns)
    served.before = "sleep 0.5 &"
    with served:
        time.sleep(1)
        (worker,) = served.wait_for_workers(1)
        os.kill(worker, signal.SIGKILL)
        served.wait_for(f"worker {worker} ended (signal 9)")
        served.wait_for_workers(1)
        assert served.stop() == 0


def test_where_no_process_can_be_started(tmp_path, dns):
    """It tries again, more and more seldom, and can be stopped."""
    served = Serve(tmp_path, dns, workers=2)
    served.module = "tests.lab.forkless"
    with served:
        served.wait_for("trying again in 1.0 s")
        assert served.log.read_text().count("cannot start a worker") < 10
        assert served.stop() == 0


def test_more_descriptors_than_select_knows(tmp_path, dns):
    with open(os.devnull) as null:
        low, high = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(high, 4096), high))
        try:
            served = Serve(tmp_path, dns)
            served.descriptors = tuple(os.dup(null.fileno()) for _ in range(1100))
            with served, attacker(served) as client:
                assert spoof(client).verdict == "reject"
                assert served.stop() == 0
        finally:
            for each in served.descriptors:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, (low, high))


def test_a_worker_that_hangs_does_not_keep_the_service(tmp_path, dns):
    with Serve(tmp_path, dns, workers=2, message_timeout=0.5) as served:
        (worker, _) = served.wait_for_workers(2)
        os.kill(worker, signal.SIGSTOP)
        assert served.stop() == 0
        assert f"worker {worker} does not end; killed" in served.log.read_text()


def test_a_message_under_way_is_finished(tmp_path, dns):
    """Not only one whose end has come: its client goes on sending while the service stops."""

    def chunks():
        yield b"x\r\n"
        os.kill(served.pid, signal.SIGTERM)
        served.wait_for("stopping")
        time.sleep(0.5)
        yield b"x\r\n"

    with Serve(tmp_path, dns, {"mode": "monitor"}) as served, attacker(served) as client:
        signature = (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=x.example; s=s; h=from; bh=AAAA; b=AAAA")
        answer = client.message(b"<alice@bank.example>", [signature, FROM_BANK], chunks())
        assert answer.results()["dmarc"] == "fail"
        assert served.stop() == 0


# --- a log that cannot be written


def live_through(served):
    """Messages, workers that die, that retire and that are many, reloads, and the end: all as it should be."""
    with MilterClient(served.socket) as client:
        client.connect("192.0.2.1")
        client.helo(b"mail.bank.example")
        assert client.message(b"<alice@bank.example>", [FROM_BANK]).results()["dmarc"] == "pass"
    first = set(served.workers())
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(served.workers()) - first) == 2)
    for policy, workers in ({"dmarc": {"reject": "reject"}}, 3), ("mode: [", 2), ({}, 2):
        rewrite(served, policy, workers=workers)
        os.kill(served.pid, signal.SIGHUP)
        for _ in range(20):
            with attacker(served) as client:
                assert spoof(client).verdict == "reject"
    served.wait_for_workers(2)


@pytest.fixture(params=["full", "unread", "hanging", "closed", "unbuffered"])
def mute(request, tmp_path, dns):
    """A service whose stderr takes nothing from the beginning."""
    served = Serve(tmp_path, dns, {}, workers=2, retire_after=10)
    served.environment.pop("PYTHONUNBUFFERED", None)
    if request.param == "closed":
        served.before = "exec 2>&-;"
    if request.param == "unbuffered":
        served.environment["PYTHONUNBUFFERED"] = "1"
    reader, writer = os.pipe()
    with open("/dev/full", "wb") as full, os.fdopen(reader, "rb") as read, os.fdopen(writer, "wb") as unread:
        served.stderr = unread if request.param in ("unread", "hanging") else full
        if request.param == "hanging":
            os.set_blocking(writer, False)
            with suppress(BlockingIOError):
                while os.write(writer, bytes(4096)):
                    pass
            os.set_blocking(writer, True)
        else:
            read.close()
        with served:
            yield served


def test_a_log_that_takes_nothing(mute):
    """The disk is full, or its reader has gone or hangs: mail is judged, workers come and go, the service ends well."""
    live_through(mute)
    assert mute.stop() == 0


def test_a_disk_that_is_full_for_a_while(tmp_path, dns):
    """What was to be written meanwhile is lost. Nothing of it comes later, or twice, nor a traceback of each entry."""
    served = Serve(tmp_path, dns, {}, workers=2, retire_after=10)
    served.environment.pop("PYTHONUNBUFFERED", None)

    def limit(octets):
        for pid in (served.pid, *served.workers()):
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))

    with served:
        limit(served.log.stat().st_size)
        live_through(served)
        full = served.log.read_text()
        limit(resource.RLIM_INFINITY)
        with attacker(served) as client:
            spoof(client, queue_id="4AFTER")
        served.wait_for("4AFTER")
        assert served.stop() == 0
    after = served.log.read_text().removeprefix(full)
    assert "4TESTQUEUEID" not in after
    assert all(line.startswith("{") for line in after.splitlines())


def test_a_log_file_that_is_rotated(tmp_path, dns):
    """By copytruncate of logrotate(8), since the service keeps its stderr: what comes next stands at the beginning."""
    with Serve(tmp_path, dns) as served, attacker(served) as client:
        spoof(client, queue_id="4BEFORE")
        served.wait_for("4BEFORE")
        os.truncate(served.log, 0)
        assert spoof(client, queue_id="4AFTER").verdict == "reject"
        assert served.wait_for("4AFTER").startswith("{")
        assert "4BEFORE" not in served.log.read_text()
        served.log.rename(tmp_path / "moved.log")
        assert spoof(client, queue_id="4MOVED").verdict == "reject"
        wait_until(lambda: "4MOVED" in (tmp_path / "moved.log").read_text())
        assert served.stop() == 0


def test_fewer_messages_for_a_worker_than_it_has_judged_already(lenient):
    with attacker(lenient) as client:
        for _ in range(6):
            spoof(client)
        rewrite(lenient, retire_after=3)
        reload(lenient, "judges by policy", count=2)
        spoof(client)
        lenient.wait_for("retires")


def test_a_reload_on_a_socket_from_systemd(tmp_path, dns):
    path = str(tmp_path / "inherited.sock")
    served = Serve(tmp_path, dns, {"dmarc": {"reject": "accept"}}, retire_after=4)
    verdicts = []
    with handed_over(served, path):
        served.socket = path
        for number in range(12):
            if number == 6:
                rewrite(served, {"dmarc": {"reject": "reject"}})
                reload(served, "judges by policy")
            with attacker(served) as client:
                verdicts.append(spoof(client).verdict)
        assert served.stop() == 0
    assert verdicts == ["continue"] * 6 + ["reject"] * 6


def test_lists_are_read_again(tmp_path, dns):
    """Those in files of their own too, though the policy file is as it was."""
    (tmp_path / "blocked.txt").write_text("other.example\n")
    rule = {"name": "blocked", "if": {"author": "list:blocked"}, "then": "defer"}
    policy = {"lists": {"blocked": "file:blocked.txt"}, "rules": [rule]}
    with Serve(tmp_path, dns, policy) as served, attacker(served) as client:
        assert spoof(client).verdict == "reject"
        (tmp_path / "blocked.txt").write_text("other.example\nbank.example\n")
        reload(served, "judges by policy")
        assert spoof(client).verdict == "tempfail"
        (tmp_path / "blocked.txt").write_text("no domain\n")
        reload(served, "the configuration is not reloaded")
        assert "blocked.txt:1:1: rules.if.author: expected a domain" in served.log.read_text()
        assert spoof(client).verdict == "tempfail"


def test_the_turn_of_dear_messages_is_free_again_if_a_worker_dies():
    """And only one worker has it."""
    (turn,) = turns(1)
    tell, told = os.pipe()
    worker = os.fork()
    if not worker:
        turn.acquire()
        os.write(told, b"x")
        time.sleep(3600)
    os.read(tell, 1)
    taken = threading.Event()
    thread = threading.Thread(target=lambda: (turn.acquire(), taken.set(), turn.release()), daemon=True)
    thread.start()
    assert not taken.wait(0.2)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    assert taken.wait(60)
    thread.join()
    turn.acquire()
    turn.release()
    os.close(tell)
    os.close(told)


@pytest.mark.parametrize("failing", [fcntl.LOCK_EX, fcntl.LOCK_UN])
def test_the_turn_is_free_again_if_the_kernel_has_no_memory_for_it(failing, monkeypatch):
    """The message fails, and only this one."""
    [turn] = turns(1)

    def lockf(_, operation, *_place):
        if operation == failing:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "lockf", lockf)
        with pytest.raises(OSError, match="locks"):  # noqa: PT012 - one of the two
            turn.acquire()
            turn.release()
    taken = threading.Event()
    threading.Thread(target=lambda: (turn.acquire(), taken.set(), turn.release()), daemon=True).start()
    assert taken.wait(60)


@pytest.mark.parametrize(("workers", "dear"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_half_the_workers_are_for_messages_that_cost_little(workers, dear, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert worker_count(Settings(workers=workers)) == workers
    assert len(turns(workers)) == dear


@pytest.mark.parametrize(("processors", "workers", "dear"), [(1, 5, 1), (2, 8, 1), (4, 8, 2), (8, 4, 2)])
def test_more_workers_than_processors_do_not_give_all_processors_to_dear_messages(
    monkeypatch, processors, workers, dear
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert len(turns(workers)) == dear


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a process the first one of a namespace")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_process_of_a_container_sees_a_signal_that_comes_while_it_starts(tmp_path, dns, number):
    """Without a handler, the kernel keeps signals from such a process."""
    serve = Serve(tmp_path, dns)
    settings = serve.config.read_text()
    serve.config.unlink()
    # it waits for its configuration
    os.mkfifo(serve.config)
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "mailassay", "serve", "--config"]
    with (
        serve.log.open("ab") as log,
        subprocess.Popen([*command, serve.config], stderr=log, env=serve.environment) as outer,
    ):
        with serve.config.open("w") as config:
            (child,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            os.kill(int(child), number)
            config.write(settings)
        try:
            assert outer.wait(60) == 0, serve.log.read_text()
        finally:
            outer.kill()
    assert "stopping" in serve.log.read_text()


def test_a_group_by_its_number(tmp_path, dns):
    group = os.getgid()
    with Serve(tmp_path, dns, socket_group=group) as serve:
        assert os.stat(serve.socket).st_gid == group
    assert "socket_group" not in serve.log.read_text()


def test_without_libmilter(tmp_path):
    """A clear word about what is missing; check, lookup and config need none of it."""
    code = "import sys; sys.modules['milter'] = None; from mailassay.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code]
    done = subprocess.run([*command, "serve"], capture_output=True, text=True)
    assert done.returncode == os.EX_UNAVAILABLE
    assert "serve needs pymilter and libmilter" in done.stderr
    assert "libmilter1.0.1" in done.stderr
    assert "Traceback" not in done.stderr
    for line in ("config check", "check --help", "lookup --help", f"ping {tmp_path}/s"):
        done = subprocess.run([*command, *line.split()], capture_output=True, text=True)
        assert done.returncode in (0, 1)
        # Python says: import of milter halted
        assert "halted" not in done.stderr
        assert "Traceback" not in done.stderr


def test_without_public_suffixes(tmp_path):
    """The service says so at its start, before it forks. What judges no mail reads no list."""
    code = (
        "import sys; sys.modules['publicsuffixlist'] = None; from pathlib import Path; exists = Path.exists; "
        "Path.exists = lambda path: not str(path).startswith('/usr/share/publicsuffix') and exists(path); "
        "from mailassay.__main__ import main; sys.exit(main())"
    )
    config = tmp_path / "mailassay.yaml"
    config.write_text(f"listen: unix:{tmp_path}/s\nsocket_group: null\n")
    command = [sys.executable, "-c", code]
    done = subprocess.run([*command, "serve", "--config", config], capture_output=True, text=True)
    assert done.returncode == os.EX_UNAVAILABLE
    assert "the Public Suffix List is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()
    done = subprocess.run([*command, "config", "check", "--config", config], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="such a Python has the function, or the daemon does not start")
def test_a_python_with_which_memory_would_grow(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    with pytest.raises(libmilter.Unusable, match=r"PyUnstable_ThreadState_SetStackProtection.*later 3\.14"):
        libmilter.register()


def spooled(folder):
    """Everything that the spool says, with values by their keys."""
    found = [each.found for segment in segments(folder / SPOOL) for each in segment.lines()]
    assert None not in found
    return found


def test_failed_messages_are_also_lines_of_their_own(tmp_path):
    """If failure reports are on for the domain: the header fields that may be kept, and never the subject."""
    history = tmp_path / "history"
    history.mkdir()
    zone = Zone('_dmarc.bank.example TXT "v=DMARC1; p=reject; ruf=mailto:f@bank.example"', limits=LIMITS)
    reports = {"from": "reports@receiver.example", "failure": {"domains": ["bank.example"]}}
    with DnsServer(zone) as dns:
        more = {"history": {"directory": str(history)}, "workers": 1}
        with Serve(tmp_path, dns, reports=reports, **more) as served, attacker(served) as client:
            fields = [FROM_BANK, (b"Subject", b" secret"), (b"To", b" bob@receiver.example")]
            for number in range(3):
                client.message(b"<alice@bank.example>", fields, queue_id=f"Q{number}")
            rewrite(served, reports={"from": "reports@receiver.example"}, **more)
            reload(served, "judges by policy")
            client.message(b"<alice@bank.example>", fields, queue_id="Q3")
        assert served.stop() == 0
    found = spooled(history)
    assert [each["queue_id"] for each in found if each["kind"] == "message"] == ["Q0", "Q1", "Q2", "Q3"]
    failed = [each for each in found if each["kind"] == "failed"]
    assert [(each["domain"], each["count"]) for each in failed] == [("bank.example", 1), ("bank.example", 2)]
    assert [name for name, _ in failed[0]["fields"]] == ["From", "To"]
    assert "secret" not in str(found)


def test_a_worker_that_is_ended_while_it_starts_says_so(tmp_path, dns):
    """A signal that comes before libmilter waits for it is not lost, and does not kill."""
    history = tmp_path / "history"
    history.mkdir()
    with Serve(tmp_path, dns, workers=1, history={"directory": str(history)}) as served:
        [old] = served.workers()
        os.kill(old, signal.SIGKILL)
        # without a pause: what a worker does before libmilter runs takes milliseconds
        while (new := served.workers()) in ([], [old]):
            pass
        os.kill(new[0], signal.SIGTERM)
        wait_until(lambda: new[0] in [each["pid"] for each in spooled(history) if each.get("ends")])


def test_what_goes_into_the_spool(tmp_path, dns):
    """Records by the settings of the message, and what happens to the service; no library of the collector."""
    history = tmp_path / "history"
    history.mkdir()
    with Serve(tmp_path, dns, workers=2, history={"directory": str(history)}) as served:
        for libraries in [Path(f"/proc/{pid}/maps").read_text() for pid in [served.pid, *served.workers()]]:
            assert "/libmilter" in libraries
            assert not re.search(r"/(sqlalchemy|psycopg|markupsafe|greenlet)|_sqlite3|libpq", libraries)
        with attacker(served) as client:
            spoof(client, queue_id="Q1")
            rewrite(served, history={"directory": str(history), "addresses": "none"})
            reload(served, "judges by policy", count=2)
            spoof(client, queue_id="Q2")
        # the killed worker may be the one that has not written its record yet
        wait_until(lambda: any(each.get("queue_id") == "Q2" for each in spooled(history)))
        os.kill(served.workers()[0], signal.SIGKILL)
        served.wait_for("starting another")
        rewrite(served, workers="many")
        reload(served, "the configuration is not reloaded")
        wait_until(lambda: len([each for each in spooled(history) if each["kind"] == "event"]) == 4)
        wait_until(lambda: len(served.workers()) == 2)
        assert served.stop() == 0
    found = spooled(history)
    assert [(each["queue_id"], bool(each["mail_from"])) for each in found if each["kind"] == "message"] == [
        ("Q1", True), ("Q2", False),
    ]  # fmt: skip
    events = [(each["what"], each["why"]) for each in found if each["kind"] == "event"]
    assert sorted(events, key=str) == [
        ("reload_failed", None), ("reloaded", None), ("started", None), ("worker_ended", "signal"),
    ]  # fmt: skip
    workers = [each for each in found if each["kind"] == "worker"]
    assert sum(each["ends"] for each in workers) == 2


def test_the_libraries_of_the_collector_are_not_imported():
    """Nor is anything by a module of the service."""
    program = """
import sys, mailassay.cli.serve, mailassay.daemon
found = {"sqlalchemy", "alembic", "prometheus_client", "jinja2", "waitress", "psycopg", "sqlite3"} & set(sys.modules)
print(*found)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout.split() == []


@pytest.mark.parametrize("closes", [True, False])
def test_a_signal_before_libmilter_listens_is_an_end_and_no_fault(monkeypatch, closes):
    """Its thread for signals may close the socket before its main loop looks for it."""
    read, write = os.pipe()

    def main():
        if closes:
            os.close(read)
        raise milter.error("cannot run main")

    monkeypatch.setattr(milter, "main", main)
    with nullcontext() if closes else pytest.raises(milter.error):
        libmilter.run(read)
    os.close(write)
    if not closes:
        os.close(read)
