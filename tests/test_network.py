"""dnspython against a real server on loopback."""

import socket
import threading
import time

import dns.flags
import dns.message
import pytest

from mailassay.network import MAX_TTL, Nameservers, system_nameservers
from mailassay.resolver import DnsTempError, question
from mailassay.zone import Zone
from tests.lab.dns import DnsServer

ZONE = f"""
a.example       A     192.0.2.1
a.example       A     192.0.2.2
a.example       AAAA  2001:db8::1
a.example       TXT   "one" "two"
a.example       TXT   "ü"
a.example       MX    10 MX.example
null.example    MX    0 .
1.example       PTR   Host.Example
large.example   TXT   "{"x" * 3000}"
c.example       CNAME a.example
cc.example      CNAME c.example
loop.example    CNAME loop2.example
loop2.example   CNAME loop.example
lost.example    CNAME nowhere.example
bad.example     A     !
slow.example    A     ?
"""


@pytest.fixture(scope="module")
def server():
    with DnsServer(Zone(ZONE, ttl=77)) as server:
        yield server


@pytest.fixture(scope="module")
def ask(server):
    nameservers = Nameservers([(server.address, server.port)], 0.3)
    yield lambda name, rdtype: nameservers(question(name, rdtype)).result(10)
    nameservers.close()


@pytest.mark.parametrize(
    ("name", "rdtype", "records"),
    [
        ("a.example", "A", {"192.0.2.1", "192.0.2.2"}),
        ("A.Example.", "AAAA", {"2001:db8::1"}),
        ("a.example", "TXT", {"onetwo", "\xc3\xbc"}),
        ("a.example", "MX", {"10 mx.example"}),
        ("null.example", "MX", {"0 ."}),
        ("1.example", "PTR", {"host.example"}),
        ("c.example", "AAAA", {"2001:db8::1"}),
        ("cc.example", "AAAA", {"2001:db8::1"}),
        ("large.example", "TXT", {"x" * 3000}),  # by TCP
    ],
)
def test_records(ask, name, rdtype, records):
    answer = ask(name, rdtype)
    assert (set(answer.records), answer.exists, answer.ttl) == (records, True, 77)


@pytest.mark.parametrize(
    ("name", "exists"),
    [
        ("a.example", True),
        ("nowhere.example", False),
        ("lost.example", False),
        ("example", True),
        ("loop.example", True),
    ],
)
def test_no_records(ask, name, exists):
    answer = ask(name, "PTR")
    assert (answer.records, answer.exists) == ((), exists)


def test_a_no_is_kept_as_long_as_its_soa_says(ask):
    assert ask("nowhere.example", "A").ttl == 77


@pytest.mark.parametrize(("name", "word"), [("bad.example", "SERVFAIL"), ("slow.example", "time-out")])
def test_trouble(ask, name, word):
    with pytest.raises(DnsTempError, match=f"{name} A: {word}"):
        ask(name, "A")


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a." * 127 + "example", "a..example", ".example", ""])
def test_names_that_cannot_be_are_not_asked_for(ask, server, name):
    server.asked.clear()
    assert not ask(name, "A").exists
    assert server.asked == []


@pytest.mark.parametrize("name", ['we"ird.example', "back\\slash.example", "sp ace.example", "@.example", "ü.example",
                                  "\udc80.example", "a\0b.example", "*.example"])  # fmt: skip
def test_odd_names_are_asked_for_as_they_are(ask, server, name):
    server.asked.clear()
    assert not ask(name, "A").exists
    assert len(server.asked) == 1


def test_many_at_once(server):
    nameservers = Nameservers([(server.address, server.port)], 2)
    server.latency = 0.2
    try:
        started = time.monotonic()
        futures = [nameservers(question(f"n{number}.example", "A")) for number in range(100)]
        assert not any(future.result(10).exists for future in futures)
        # one after the other they would take twenty seconds
        assert time.monotonic() - started < 5
    finally:
        server.latency = 0
        nameservers.close()


@pytest.mark.parametrize("mode", ["drop", "servfail", "garbage"])
def test_the_second_server_is_asked(server, mode):
    with DnsServer(Zone(""), mode=mode) as first:
        nameservers = Nameservers([(first.address, first.port), (server.address, server.port)], 0.2)
        assert nameservers(question("a.example", "A")).result(10).records
        nameservers.close()


@pytest.mark.parametrize("mode", ["drop", "servfail", "garbage"])
def test_nothing_but_a_temporary_error(mode):
    with DnsServer(Zone(""), mode=mode) as server:
        nameservers = Nameservers([(server.address, server.port)], 0.1)
        started = time.monotonic()
        with pytest.raises(DnsTempError):
            nameservers(question("a.example", "A")).result(10)
        assert time.monotonic() - started < 2
        assert len(server.asked) == 2
        nameservers.close()


def test_nobody_listens(free_port):
    nameservers = Nameservers([("127.0.0.1", free_port)], 0.2)
    with pytest.raises(DnsTempError):
        nameservers(question("a.example", "A")).result(10)
    nameservers.close()


def test_nothing_is_made_before_the_first_question():
    """A process that has one of these may fork."""
    nameservers = Nameservers([("127.0.0.1", 53)], 1)
    assert nameservers._loop is None


def test_the_system_has_nameservers():
    assert all(port == 53 for _, port in system_nameservers())


def test_what_is_under_way_when_all_ends():
    with DnsServer(Zone(""), mode="drop") as server:
        nameservers = Nameservers([(server.address, server.port)], 30)
        futures = [nameservers(question(f"n{number}.example", "A")) for number in range(10)]
        while len(server.asked) < len(futures):
            time.sleep(0.01)
        nameservers.close()
        for future in futures:
            with pytest.raises(DnsTempError, match="closed"):
                future.result(5)


def test_over_ipv6():
    with DnsServer(Zone(ZONE), "::1") as server:
        nameservers = Nameservers([("::1", server.port)], 1)
        assert nameservers(question("a.example", "AAAA")).result(10).records == ("2001:db8::1",)
        nameservers.close()


@pytest.mark.parametrize(("ttl", "kept"), [(0, 0), (5, 5), (10_000_000, MAX_TTL)])
def test_how_long_an_answer_holds(ttl, kept):
    with DnsServer(Zone(ZONE, ttl=ttl)) as server:
        nameservers = Nameservers([(server.address, server.port)], 1)
        assert nameservers(question("a.example", "A")).result(10).ttl == kept
        nameservers.close()


class Raw:
    """A server whose UDP answers a function makes from the query; it accepts TCP and says nothing there."""

    def __init__(self, respond):
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self.place = self._udp.getsockname()
        self._tcp = socket.create_server(self.place)
        self._respond = respond
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._udp.sendto(b"", self.place)
        self._thread.join()
        self._udp.close()
        self._tcp.close()

    def _run(self):
        while True:
            packet, peer = self._udp.recvfrom(4096)
            if not packet:
                return
            for response in self._respond(dns.message.make_response(dns.message.from_wire(packet))):
                self._udp.sendto(response, peer)


def test_a_try_ends_in_time_by_tcp_as_well():
    def truncated(response):
        time.sleep(0.2)
        response.flags |= dns.flags.TC
        return [response.to_wire()]

    with Raw(truncated) as server:
        nameservers = Nameservers([server.place], 0.3)
        started = time.monotonic()
        with pytest.raises(DnsTempError, match="time-out"):
            nameservers(question("a.example", "A")).result(10)
        # two tries; with a limit of its own for TCP it would be one second
        assert time.monotonic() - started < 0.85
        nameservers.close()


def test_a_no_without_soa_is_not_kept():
    with Raw(lambda response: [response.to_wire()]) as server:
        nameservers = Nameservers([server.place], 1)
        answer = nameservers(question("a.example", "A")).result(10)
        assert (answer.records, answer.exists, answer.ttl) == ((), True, 0)
        nameservers.close()


def test_an_answer_to_another_question_is_passed_over():
    def answers(response):
        forged = dns.message.from_wire(response.to_wire())
        forged.id = response.id ^ 1
        forged.set_rcode(3)
        return [forged.to_wire(), b"", b"\0", response.to_wire()]

    with Raw(answers) as server:
        nameservers = Nameservers([server.place], 1)
        assert nameservers(question("a.example", "A")).result(10).exists
        nameservers.close()
