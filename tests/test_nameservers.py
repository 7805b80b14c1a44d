"""dnspython against a real server on loopback."""

import contextlib
import errno
import json
import select
import socket
import struct
import sys
import threading
import time
from itertools import pairwise, permutations

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay import nameservers as network
from mailassay.config import Dns, Settings
from mailassay.limits import Limits
from mailassay.nameservers import Nameservers, system_nameservers, wire
from mailassay.nameservers.turns import Turns
from mailassay.nameservers.wire import MAX_TTL
from mailassay.resolver import Cached, DnsLimit, DnsTempError, DnsUnsent, Question, question
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.dns import DnsServer, bound
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk

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
self.example    CNAME self.example
*.wild.example  A     192.0.2.9
*.alias.example CNAME sla\\sh.example
sla\\sh.example PTR a\\046b.example
at.example      PTR   @.example
é.example       A     192.0.2.7
twice.example   A     192.0.2.5
twice.example   A     192.0.2.5
there.example   -
long.example    TXT   "{"y" * 255}" "{"y" * 255}" ""
void.example    TXT   ""
full.example    MX    65535 mx.example
bad.example     A     !
slow.example    A     ?
"""


@pytest.fixture(scope="module")
def server():
    with DnsServer(Zone(ZONE, ttl=77, limits=LIMITS)) as server:
        yield server


@pytest.fixture(scope="module")
def ask(server):
    nameservers = Nameservers([(server.address, server.port)], 0.3, LIMITS)
    yield lambda name, rdtype: nameservers(question(name, rdtype)).result(60)
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


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "TXT"])
@pytest.mark.parametrize(
    "name",
    ["a.example", "null.example", "1.example", "large.example", "c.example", "cc.example", "loop.example",
     "self.example", "lost.example", "x.wild.example", "x.y.wild.example", "wild.example", "*.wild.example",
     "a..wild.example", "x" * 64 + ".wild.example", "x.alias.example", "sla\\sh.example", "at.example", "é.example",
     "twice.example", "there.example", "long.example", "void.example", "full.example", "nowhere.test"],
)  # fmt: skip
def test_the_network_says_what_the_zone_says(ask, server, name, rdtype):
    by_network, by_zone = ask(name, rdtype), server.zone(question(name, rdtype)).result()
    assert (by_network.records, by_network.exists) == (by_zone.records, by_zone.exists)


def test_whether_a_server_of_the_zone_answers(ask, server):
    for server.authoritative in (False, True):
        for name in ("a.example", "nowhere.example"):
            assert ask(name, "A").authoritative is server.authoritative


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


@pytest.mark.parametrize("mode", ["drop", "servfail", "garbage"])
def test_the_second_server_is_asked(server, mode):
    with DnsServer(Zone("", limits=LIMITS), mode=mode) as first:
        nameservers = Nameservers([(first.address, first.port), (server.address, server.port)], 0.2, LIMITS)
        assert nameservers(question("a.example", "A")).result(60).records
        nameservers.close()


@pytest.mark.parametrize("mode", ["drop", "servfail", "garbage"])
def test_nothing_but_a_temporary_error(mode):
    with DnsServer(Zone("", limits=LIMITS), mode=mode) as server:
        nameservers = Nameservers([(server.address, server.port)], 0.1, LIMITS)
        with pytest.raises(DnsTempError):
            nameservers(question("a.example", "A")).result(60)
        assert len(server.asked) == 2
        nameservers.close()


def test_nobody_listens(free_port):
    nameservers = Nameservers([("127.0.0.1", free_port)], 0.2, LIMITS)
    with pytest.raises(DnsTempError):
        nameservers(question("a.example", "A")).result(60)
    nameservers.close()


def test_nothing_is_made_before_the_first_question():
    """A process that has one of these may fork."""
    nameservers = Nameservers([("127.0.0.1", 53)], 1, LIMITS)
    assert nameservers._listener is None


def test_the_system_has_nameservers():
    assert all(port == 53 for _, port in system_nameservers())


@pytest.mark.parametrize(
    ("mail_from", "selector"),
    [("evil.example", "s"), (".".join(["a" * 60] * 4) + ".exampl", "s"), ("evil.example", "s" * 64)],
)
def test_a_name_that_cannot_be_asked_for_is_no_answer(free_port, mail_from, selector):
    """A sender may choose one: no answer of a name server that is down."""
    with contextlib.closing(Nameservers([("127.0.0.1", free_port)], 0.1, LIMITS)) as nameservers:
        asker = Turns(Cached(nameservers, 100), 100).asker()
        settings = Settings(message_timeout=1, dns=Dns(timeout=0.1))
        evil = {"client": "198.51.100.66", "helo": "mail.evil.example"}
        talk = Talk(asker, settings=settings, first=asker.first, anew=asker.anew, **evil)
        signature = f" v=1; a=ed25519-sha256; d=evil.example; s={selector}; h=from; bh=; b=AAAA"
        fields = [(b"DKIM-Signature", signature.encode())]
        outcome = talk.message(author="ceo@bank.example", fields=fields, mail_from=f"<eve@{mail_from}>")
    assert outcome.unanswered
    assert (outcome.verdict.action, outcome.verdict.rule) == (Action.DEFER, "dns.unavailable")


def test_what_is_under_way_when_all_ends():
    with DnsServer(Zone("", limits=LIMITS), mode="drop") as server:
        nameservers = Nameservers([(server.address, server.port)], 30, LIMITS)
        futures = [nameservers(question(f"n{number}.example", "A")) for number in range(10)]
        while len(server.asked) < len(futures):
            time.sleep(0.01)
        nameservers.close()
        for future in futures:
            with pytest.raises(DnsTempError, match="closed"):
                future.result(5)


def test_closed_before_they_began():
    """Whatever has been handed in ends, and with no other exception."""
    with DnsServer(Zone("", limits=LIMITS), mode="drop") as server:
        for _ in range(50):
            nameservers = Nameservers([(server.address, server.port)], 30, LIMITS)
            futures = [nameservers(question(f"n{number}.example", "A")) for number in range(3)]
            nameservers.close()
            for future in futures:
                with pytest.raises(DnsTempError, match="closed"):
                    future.result(5)


def test_a_thread_that_dies(server, monkeypatch, caplog):
    """By a bug of ours: no answer is to be had, and that lets nothing in."""

    def broken(*_):
        raise LookupError("a fault of ours")

    monkeypatch.setattr(network._Listener, "_hear", broken)
    with contextlib.closing(Nameservers([(server.address, server.port)], 60, LIMITS)) as nameservers:
        assert nameservers.goes_on()
        futures = [nameservers(question(f"slow{number}.example", "A")) for number in range(10)]
        for future in futures:
            with pytest.raises(DnsUnsent):
                future.result(30)
        assert not nameservers.goes_on()
        with pytest.raises(DnsUnsent):
            nameservers(question("a.example", "A")).result(0)
        # also with another time, as a reload may give it
        nameservers.configure([(server.address, server.port)], 50, Limits())
        assert not nameservers.goes_on()
        with pytest.raises(DnsUnsent):
            nameservers(question("a.example", "A")).result(0)
    assert "a fault of ours" in caplog.text


def test_a_thread_that_stands_still(server, monkeypatch):
    """While it does, nothing is asked."""
    monkeypatch.setattr(network, "_MAX_STILL", 0.2)
    over = threading.Event()
    with contextlib.closing(Nameservers([(server.address, server.port)], 0.1, LIMITS)) as nameservers:
        future = nameservers(question("a.example", "A"))
        future.add_done_callback(lambda _: over.wait(60))
        future.exception(30)
        while nameservers.goes_on():
            time.sleep(0.01)
        with pytest.raises(DnsUnsent):
            nameservers(question("a.example", "TXT")).result(0)
        over.set()
        while not nameservers.goes_on():
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "kind", "timeout"),
    [
        *((number, socket.SOCK_DGRAM, 0.02) for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)),
        (errno.EAGAIN, socket.SOCK_DGRAM, 0.02),
        # the response by UDP has to come first
        (errno.EMFILE, socket.SOCK_STREAM, 2),
    ],
)
def test_without_a_socket_no_question_is_sent(server, monkeypatch, number, kind, timeout):
    """That is no trouble of a domain: a sender may have seen to it."""

    def full(family, of):
        if of == kind:
            raise OSError(number, "full")
        return socket.socket(family, of)

    monkeypatch.setattr(network, "socket", full)
    with contextlib.closing(Nameservers([(server.address, server.port)], timeout, LIMITS)) as nameservers:
        error = nameservers(question("large.example", "TXT")).exception(30)
    assert type(error) is DnsUnsent


def test_an_address_that_this_host_cannot_reach(server, monkeypatch):
    """That is no limit of ours: mail does not wait for it."""

    def unreachable(*_):
        raise OSError(errno.EADDRNOTAVAIL, "no IPv6")

    monkeypatch.setattr(network, "socket", unreachable)
    with contextlib.closing(Nameservers([(server.address, server.port)], 0.1, LIMITS)) as nameservers:
        error = nameservers(question("a.example", "A")).exception(30)
    assert type(error) is DnsTempError


@pytest.mark.parametrize("packet", [b"", b"\0", b"\0" * 12, b"\xff" * 40])
def test_noise_does_not_end_the_server(server, ask, packet):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noisy:
        noisy.sendto(packet, (server.address, server.port))
    assert ask("a.example", "A").records


@pytest.mark.parametrize("record", ["PTR a..b", "CNAME " + "x" * 64, "MX 1 " + "x." * 127 + "x"])
def test_what_no_packet_can_carry_is_servfail(record):
    with DnsServer(Zone(f"a.example {record}\nb.example A 192.0.2.1", limits=LIMITS)) as server:
        nameservers = Nameservers([(server.address, server.port)], 1, LIMITS)
        with pytest.raises(DnsTempError, match="SERVFAIL"):
            nameservers(question("a.example", record.split()[0])).result(60)
        assert nameservers(question("b.example", "A")).result(60).records
        nameservers.close()


def test_two_questions_in_one_tcp_segment(server):
    with socket.create_connection((server.address, server.port)) as stream:
        queries = [dns.message.make_query(name, "TXT") for name in ("a.example", "large.example")]
        stream.sendall(b"".join(query.to_wire(prepend_length=True) for query in queries))
        with stream.makefile("rb") as read:
            for query in queries:
                response = dns.message.from_wire(read.read(int.from_bytes(read.read(2), "big")))
                assert query.is_response(response)
                assert response.answer


def test_how_it_asks():
    """With recursion, EDNS that no path fragments, and a port and an id that nobody can guess."""
    with Raw(lambda response: [response.to_wire()]) as server:
        nameservers = Nameservers([server.place], 1, LIMITS)
        for number in range(20):
            nameservers(question(f"n{number}.example", "A")).result(60)
        nameservers.close()
    queries = [query for query, _ in server.asked]
    assert all(query.flags & dns.flags.RD for query in queries)
    assert {(query.edns, query.payload) for query in queries} == {(0, 1232)}
    assert len({query.id for query in queries}) > 15
    assert len({peer for _, peer in server.asked}) > 15


def test_over_ipv6():
    with DnsServer(Zone(ZONE, limits=LIMITS), "::1") as server:
        nameservers = Nameservers([("::1", server.port)], 1, LIMITS)
        assert nameservers(question("a.example", "AAAA")).result(60).records == ("2001:db8::1",)
        nameservers.close()


@pytest.mark.parametrize(("ttl", "kept"), [(0, 0), (5, 5), (10_000_000, MAX_TTL)])
def test_how_long_an_answer_holds(ttl, kept):
    with DnsServer(Zone(ZONE, ttl=ttl, limits=LIMITS)) as server:
        nameservers = Nameservers([(server.address, server.port)], 1, LIMITS)
        assert nameservers(question("a.example", "A")).result(60).ttl == kept
        nameservers.close()


class Raw:
    """A server whose UDP answers a function makes from the empty response, and ``stream`` what it says by TCP."""

    def __init__(self, respond, stream=None):
        self.udp, self.tcp = bound(socket.AF_INET, "127.0.0.1", 0)
        self.tcp.settimeout(2)
        self.place = self.udp.getsockname()
        self._respond, self._stream = respond, stream
        self.asked = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.udp.sendto(b"", self.place)
        # whoever asked is gone: nobody waits for a connection any more
        self.tcp.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.udp.close()
        self.tcp.close()

    def _run(self):
        while True:
            packet, peer = self.udp.recvfrom(4096)
            if not packet:
                return
            query = dns.message.from_wire(packet)
            self.asked.append((query, peer))
            for response in self._respond(dns.message.make_response(query)):
                self.udp.sendto(response, peer)
            if self._stream:
                # whoever asked may have given up
                with contextlib.suppress(OSError, dns.exception.DNSException):
                    connection, _ = self.tcp.accept()
                    with connection, connection.makefile("rb") as read:
                        query = dns.message.from_wire(read.read(int.from_bytes(read.read(2))))
                        said = self._stream(dns.message.make_response(query))
                        for piece in [said] if isinstance(said, bytes) else said:
                            connection.sendall(piece)


def ask_raw(respond, rdtype="A", limits=LIMITS, timeout=5, **more):
    """What comes of one question for a.example."""
    with (
        Raw(respond, **more) as server,
        contextlib.closing(Nameservers([server.place], timeout, limits)) as nameservers,
    ):
        return nameservers(question("a.example", rdtype)).result(60)


def with_records(*texts, rcode="NOERROR"):
    """Such a response: ``owner type data`` each, in this order."""

    def respond(response):
        response.set_rcode(dns.rcode.from_text(rcode))
        for text in texts:
            owner, rdtype, data = text.split(" ", 2)
            response.answer.append(dns.rrset.from_text(f"{owner}.", 60, "IN", rdtype, data))
        return [response.to_wire(max_size=65535)]

    return respond


def octets(count, records):
    """Such a response, its answer section octet by octet."""

    def respond(response):
        response.use_edns(False)
        wire = response.to_wire()
        return [wire[:6] + struct.pack("!H", count) + wire[8:] + records]

    return respond


def truncated(response):
    response.flags |= dns.flags.TC
    return [response.to_wire()]


def by_tcp(respond):
    """The first response, as a stream has it."""

    def stream(response):
        wire = respond(response)[0]
        return struct.pack("!H", len(wire)) + wire

    return stream


def test_many_at_once():
    """The server says nothing before it has heard them all."""
    count, held = 200, []

    def respond(response):
        held.append((response.to_wire(), server.asked[-1][1]))
        if len(held) >= count:
            for wire, peer in held:
                server.udp.sendto(wire, peer)
        return []

    with Raw(respond) as server, contextlib.closing(Nameservers([server.place], 5, LIMITS)) as nameservers:
        futures = [nameservers(question(f"n{number}.example", "A")) for number in range(count)]
        assert all(future.result(60).exists for future in futures)


def test_a_try_has_one_limit_for_udp_and_tcp():
    def slowly(respond):
        def slow(response):
            time.sleep(0.2)
            return respond(response)

        return slow

    with pytest.raises(DnsTempError, match="time-out"):
        ask_raw(slowly(truncated), stream=slowly(by_tcp(with_records("a.example A 192.0.2.1"))), timeout=0.3)


def test_a_no_without_soa_is_not_kept():
    with Raw(lambda response: [response.to_wire()]) as server:
        nameservers = Nameservers([server.place], 1, LIMITS)
        answer = nameservers(question("a.example", "A")).result(60)
        assert (answer.records, answer.exists, answer.ttl) == ((), True, 0)
        nameservers.close()


@pytest.mark.parametrize(
    ("rdtype", "wire", "text"),
    [
        ("PTR", "Host.EXAMPLE.", "host.example"),
        ("PTR", ".", "."),
        ("MX", "7 Mail.EXAMPLE.", "7 mail.example"),
        ("CNAME", "Other.EXAMPLE.", "other.example"),
        ("NS", "Other.EXAMPLE.", "other.example"),
        ("SOA", "Ns.EXAMPLE. a\\.b.example. 1 2 3 4 4294967295", "ns.example a\\.b.example 1 2 3 4 4294967295"),
        ("AAAA", "2001:DB8:0:0::1", "2001:db8::1"),
        ("TXT", r'"a\000\255" "B"', "a\0\xffB"),
    ],
)
def test_the_form_of_a_record(rdtype, wire, text):
    assert ask_raw(with_records(f"a.example {rdtype} {wire}"), rdtype).records == (text,)


@pytest.mark.parametrize(
    "name", [r"\195\188", r"\128", r"a\046b", r"a\032b", r"\009a", r"a\013\010X:", r"\000", r"\127", r"\255"]
)
@pytest.mark.parametrize(("rdtype", "before"), [("PTR", ""), ("MX", "5 ")])
def test_a_name_that_would_be_another_as_text_is_left_out(rdtype, before, name):
    records = [f"a.example {rdtype} {before}{host}.example." for host in (name, "b")]
    assert ask_raw(with_records(*records), rdtype).records == (f"{before}b.example",)
    answer = ask_raw(with_records(records[0]), rdtype)
    assert (answer.records, answer.exists) == ((), True)


@pytest.mark.parametrize(
    ("answers", "records", "ttl"),
    [
        (["a.example A 192.0.2.1", "a.example A 192.0.2.1"], ("192.0.2.1",), 60),
        (["b.example A 192.0.2.2"], (), 0),
        (["b.example A 192.0.2.2", "A.Example A 192.0.2.1"], ("192.0.2.1",), 60),
        (["a.example TXT x"], (), 0),
        # data beside a CNAME, which should not be, is data
        (["a.example CNAME b.example.", "b.example A 192.0.2.2", "a.example A 192.0.2.1"], ("192.0.2.1",), 60),
        # in any order, and with names that are none of a host
        (["b.example A 192.0.2.2", "a.example CNAME b.example."], ("192.0.2.2",), 60),
        ([r"a.example CNAME \200\046.", r"\200\046 A 192.0.2.2"], ("192.0.2.2",), 60),
        # an alias is no alias of names below it
        (["x.a.example CNAME b.example.", "b.example A 192.0.2.2"], (), 0),
        # two of them, which should not be: the last, as dnspython has it
        (["a.example CNAME b.example.", "a.example CNAME c.example.", "b.example A 192.0.2.3"], (), 0),
        # what a server makes of a DNAME
        (["example DNAME d.test.", "a.example CNAME a.d.test.", "a.d.test A 192.0.2.4"], ("192.0.2.4",), 60),
        # circles
        (["a.example CNAME a.example.", "b.example A 192.0.2.2"], (), 0),
        (["a.example CNAME b.example.", "b.example CNAME a.example.", "c.example A 192.0.2.3"], (), 0),
        # as long as may be
        (
            ["a.example CNAME n0.example.", *(f"n{at}.example CNAME n{at + 1}.example." for at in range(126)),
             "n126.example A 192.0.2.5"],
            ("192.0.2.5",),
            60,
        ),
    ],
)  # fmt: skip
def test_what_counts_in_a_response(answers, records, ttl):
    answer = ask_raw(with_records(*answers))
    assert (answer.records, answer.exists, answer.ttl) == (records, True, ttl)


names = st.sampled_from([f"{label}.example." for label in ("a", "A", "b", "c", "x.a")])
records = st.one_of(
    st.tuples(names, st.just("CNAME"), names),
    st.tuples(names, st.just("A"), st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3"])),
    st.tuples(names, st.sampled_from(["TXT", "PTR"]), names),
)


def same(record):
    """One name has one CNAME, and no record twice."""
    owner, rdtype, data = record
    return owner.lower(), rdtype, "" if rdtype == "CNAME" else data


@given(
    answers=st.lists(records, max_size=8, unique_by=same),
    ttls=st.lists(st.integers(0, 2**31 - 1), min_size=8, max_size=8),
)
def test_a_response_says_what_dnspython_reads_in_it(answers, ttls):
    query = wire.query(Question("a.example", "A"))
    response = dns.message.make_response(dns.message.from_wire(query.octets))
    for (owner, rdtype, data), ttl in zip(answers, ttls, strict=False):
        response.answer.append(dns.rrset.from_text(owner, ttl, "IN", rdtype, data))
    written = response.to_wire()
    assert query.is_answered_by(written)
    try:
        chain = dns.message.from_wire(written).resolve_chaining()
        expected = ({each.to_text() for each in chain.answer or ()}, min(chain.minimum_ttl, MAX_TTL))
    except dns.message.ChainTooLong:
        expected = (set(), 0)
    answer = wire.answer(written, query, LARGE)
    assert (set(answer.records), answer.ttl) == (expected[0], expected[1] if expected[0] else 0)
    assert answer.exists


@given(data=st.binary(max_size=200), asked=st.sampled_from(["A", "CNAME", "PTR", "MX", "TXT", "AAAA"]))
def test_any_octets_are_an_answer_or_trouble(data, asked):
    query = wire.query(Question("a.example", asked))
    response = query.octets[:2] + struct.pack("!5H", 0x8180, 1, 2, 1, 0) + query.question + data
    assert query.is_answered_by(response)
    with contextlib.suppress(dns.exception.DNSException):
        assert all(isinstance(text, str) for text in wire.answer(response, query, LARGE).records)
    query.is_answered_by(data)


@given(name=st.text(max_size=300), rdtype=st.sampled_from(["A", "TXT"]), edns=st.booleans())
def test_a_query_is_what_dnspython_would_send(name, rdtype, edns):
    query = wire.query(Question(name, rdtype), edns=edns)
    try:
        labels = [label.encode("utf-8", "surrogatepass") for label in name.split(".")]
        if not all(labels):
            raise dns.name.EmptyLabel
        flags = dns.flags.RD | dns.flags.AD
        same = dns.message.make_query(dns.name.Name([*labels, b""]), rdtype, use_edns=edns, payload=1232, flags=flags)
    except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
        assert query is None
    else:
        assert query.octets[2:] == same.to_wire()[2:]
        assert query.name == same.question[0].name.to_digestable()


@pytest.mark.parametrize("name", ["a.example", "c.example", "there.example", "lost.example", "nowhere.example"])
@pytest.mark.parametrize("authentic", [True, False])
def test_the_server_says_what_dnssec_proves(server, ask, name, authentic):
    """Also of an answer that is none."""
    server.authentic = authentic
    try:
        assert ask(name, "A").authentic is authentic
    finally:
        server.authentic = False


def test_the_end_of_a_cname_does_not_exist():
    answer = ask_raw(with_records("a.example CNAME b.example.", rcode="NXDOMAIN"))
    assert (answer.records, answer.exists) == ((), False)


LARGE = Limits(dns_octets=65_535)
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c"  # the name asked for, A IN, a minute


@pytest.mark.parametrize(
    ("respond", "trouble"),
    [
        (with_records("a.example A 192.0.2.1", rcode="NXDOMAIN"), "NXDOMAIN but"),
        (octets(1, RECORD + b"\0\5\1\2\3\4\5"), "malformed"),
        (octets(1, RECORD + b"\0\3\1\2\3"), "malformed"),
        (octets(1, RECORD + b"\0\4\1\2\3"), "malformed"),
        (octets(2, RECORD + b"\0\4\1\2\3\4"), "malformed"),
        (octets(1, b""), "malformed"),
        # a name that points to itself, and one that points ahead
        (octets(1, b"\xc0\x1b" + RECORD[2:] + b"\0\4\1\2\3\4"), "compression pointer"),
        (octets(1, b"\xc0\x30" + RECORD[2:] + b"\0\4\1\2\3\4"), "compression pointer"),
        (octets(1, b"\x80" + RECORD[2:] + b"\0\4\1\2\3\4"), "label type"),
        # a name in the data that goes on behind it
        (octets(1, b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\1x\0"), "malformed"),
    ],
)
def test_a_response_that_contradicts_itself_is_trouble(respond, trouble):
    with pytest.raises(DnsTempError, match=f"a.example A: .*{trouble}"):
        ask_raw(respond)


def test_of_another_class():
    assert ask_raw(octets(1, b"\xc0\x0c\0\1\0\3\0\0\0\x3c\0\4\1\2\3\4")).records == ()


@pytest.mark.parametrize("order", list(permutations(["b.example.", "c.example.", "A.example."])))
def test_records_have_one_order(order):
    """They are a set, and a server may turn them with each answer."""
    answer = ask_raw(with_records(*(f"a.example PTR {name}" for name in order)), "PTR")
    assert answer.records == ("a.example", "b.example", "c.example")


def test_a_ttl_that_is_negative():
    answer = ask_raw(octets(1, b"\xc0\x0c\0\1\0\1\x80\0\0\0\0\4\1\2\3\4"))
    assert (answer.records, answer.ttl) == (("1.2.3.4",), 0)


def test_a_text_of_many_strings():
    strings = b"\1x\0" * 200
    assert ask_raw(octets(1, RECORD.replace(b"\0\1", b"\0\x10", 1) + b"\2\x58" + strings), "TXT").records == (
        "x" * 200,
    )


@pytest.mark.parametrize("limits", [Limits(), Limits(dns_records=50)])
def test_more_records_than_are_read(limits):
    """Beyond the limit there is no answer: the record that counts could be among those not read."""
    most = limits.dns_records
    addresses = [f"a.example A 10.0.{number >> 8}.{number & 255}" for number in range(most + 1)]
    assert len(ask_raw(with_records(*addresses[:most]), limits=limits).records) == most
    with pytest.raises(DnsLimit, match=f"an answer of more than {most} records"):
        ask_raw(with_records(*addresses), limits=limits)


HOSTS = st.lists(st.sampled_from(["a", "B", "b", "long-label", "example"]), min_size=1, max_size=4).map(".".join)
VALUES = {
    "A": st.ip_addresses(v=4).map(str),
    "AAAA": st.ip_addresses(v=6).map(str),
    "TXT": st.text("xy", max_size=600),
    "PTR": HOSTS,
    "NS": HOSTS,
    "MX": st.tuples(st.integers(0, 3), HOSTS).map(list),
}


@st.composite
def answers(draw):
    """A zone with an answer for a.example, perhaps behind aliases, and its type."""
    rdtype = draw(st.sampled_from(sorted(VALUES)))
    names = ["a.example", *(f"c{at}.{draw(HOSTS)}" for at in range(draw(st.integers(0, 3))))]
    zone = {alias: {"CNAME": [target]} for alias, target in pairwise(names)}
    zone[names[-1]] = {rdtype: draw(st.lists(VALUES[rdtype], min_size=1, max_size=12))}
    return zone, rdtype


def test_the_network_and_a_zone_have_the_same_limits():
    """Any answer is read by both, or by neither, and for the same reason."""
    with DnsServer(Zone("", limits=LIMITS)) as server:

        @given(answers(), st.integers(1, 15), st.integers(40, 1500))
        def compare(found, most_records, most_octets):
            limits = Limits(dns_records=most_records, dns_octets=most_octets)
            text, rdtype = json.dumps(found[0]), found[1]
            server.zone, zone = Zone(text, limits=LIMITS), Zone(text, limits=limits)
            query = wire.query(Question("a.example", rdtype))

            def outcome(read):
                try:
                    answer = read()
                except DnsLimit as limit:
                    return limit.key, str(limit)
                return answer.records, answer.exists

            by_wire = outcome(lambda: wire.answer(server.answer(query.octets, tcp=True), query, limits))
            assert outcome(lambda: zone(Question("a.example", rdtype)).result()) == by_wire

        compare()


def response_of(size):
    """A response of so many octets, with one text."""

    def respond(response):
        size_of_data = size - len(octets(0, b"")(response)[0]) - len(RECORD) - 2
        strings = b"\xff" + b"x" * 255
        data = strings * (size_of_data // 256) + b"\0" * (size_of_data % 256)
        return octets(1, RECORD.replace(b"\0\1", b"\0\x10", 1) + struct.pack("!H", len(data)) + data)(response)

    return by_tcp(respond)


def test_more_octets_than_are_read():
    most = Limits().dns_octets
    assert ask_raw(truncated, "TXT", stream=response_of(most)).records
    with pytest.raises(DnsLimit, match=f"an answer of more than {most} octets"):
        ask_raw(truncated, "TXT", stream=response_of(most + 1))


def long_names(before):
    """Names as long as may be, in two octets after the first one; a function of their number."""
    place = 12 + len(b"\1a\7example\0\0\1\0\1") + 12 + len(before) + 4
    tail = b"\1x" * 124 + b"\0", struct.pack("!H", 0xC000 | place)
    return lambda number: before + b"\3%03d" % number + tail[number > 0]


@pytest.mark.parametrize(
    ("rdtype", "code", "data"),
    [
        ("PTR", 12, long_names(b"")),
        ("MX", 15, long_names(b"\0\5")),
        ("TXT", 16, lambda number: b"\xf0%03d" % number + b"\xff" * 237),
        ("AAAA", 28, lambda number: b"\x20\1" + b"\x11" * 13 + bytes([number])),
    ],
)
def test_how_much_memory_an_answer_takes_at_most(rdtype, code, data):
    """As many records as there may be, as long as there may be so many."""
    most = LARGE.dns_records
    written = [data(number) for number in range(most)]
    records = [struct.pack("!2sHHIH", b"\xc0\x0c", code, 1, 60, len(each)) + each for each in written]
    answer = ask_raw(truncated, rdtype, LARGE, stream=by_tcp(octets(most, b"".join(records))))
    assert len(answer.records) == most
    assert sum(map(sys.getsizeof, answer.records)) + sys.getsizeof(answer.records) < 100_000


def test_what_is_no_response_to_the_question_is_passed_over():
    """RFC 5452 section 9.1: id, question, addresses and ports; and it is waited on for the right one."""
    forgers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    forgers[1].bind(("127.0.0.2", 0))

    def forged(response, **change):
        other = dns.message.from_wire(response.to_wire())
        other.set_rcode(dns.rcode.NXDOMAIN)
        for name, value in change.items():
            setattr(other, name, value)
        return other.to_wire()

    def answers(response):
        for forger in forgers:
            forger.sendto(forged(response), server.asked[-1][1])
        asked = response.question[0]
        name, kind = (dns.rrset.RRset(*of) for of in [(asked.name.parent(), 1, 1), (asked.name, 1, 28)])
        return [
            forged(response, id=response.id ^ 1),
            forged(response, flags=response.flags & ~dns.flags.QR),
            forged(response, question=[name]),
            forged(response, question=[kind]),
            forged(response, question=[]),
            forged(response, question=[asked, asked]),
            forged(response, question=[asked] * 500),
            b"",
            b"\0",
            *with_records("a.example A 192.0.2.1")(response),
        ]

    with Raw(answers) as server, contextlib.closing(Nameservers([server.place], 5, LIMITS)) as nameservers:
        assert nameservers(question("a.example", "A")).result(60).records == ("192.0.2.1",)
    for forger in forgers:
        forger.close()


def test_a_forged_response_alone_is_waited_out():
    def forged(response):
        response.id ^= 1
        return [response.to_wire()]

    with pytest.raises(DnsTempError, match="time-out"):
        ask_raw(forged, timeout=0.1)


def test_a_server_without_edns():
    """RFC 6891 section 7."""

    def respond(response):
        if response.edns < 0:
            return with_records("a.example A 192.0.2.1")(response)
        response.set_rcode(dns.rcode.FORMERR)
        return [response.to_wire()]

    assert ask_raw(respond).records == ("192.0.2.1",)


def test_what_udp_cannot_carry_comes_by_tcp():
    records = by_tcp(with_records("a.example A 192.0.2.1"))
    assert ask_raw(truncated, stream=records).records == ("192.0.2.1",)


@pytest.mark.parametrize(
    ("stream", "trouble"),
    [
        (by_tcp(lambda response: [b"\0\0" + response.to_wire()[2:]]), "malformed"),
        (lambda _: b"", "the connection was closed"),
        (lambda _: b"\0\x64x", "the connection was closed"),
        (lambda _: b"\0\0", "malformed"),
    ],
)
def test_trouble_by_tcp(stream, trouble):
    with pytest.raises(DnsTempError, match=trouble):
        ask_raw(truncated, stream=stream, timeout=2)


def test_what_tcp_cannot_carry_is_beyond_the_limit():
    """It is as large whenever it is asked for."""
    with pytest.raises(DnsLimit, match="an answer of more than 20480 octets"):
        ask_raw(truncated, "TXT", stream=by_tcp(truncated))


# --- what a server, or somebody between, does to keep a question from its answer

NOWHERE = ("255.255.255.255", 53)  # connect(2) is not permitted


def asked(places, timeout, wait=30):
    """What comes of one question for a.example, and after how many seconds."""
    with contextlib.closing(Nameservers(places, timeout, LIMITS)) as nameservers:
        began = time.monotonic()
        try:
            found = nameservers(question("a.example", "A")).result(wait).records
        except DnsTempError as error:
            found = str(error)
        return found, time.monotonic() - began


@pytest.fixture
def refusing():
    """Places that nobody listens at."""
    places = []
    for _ in range(3):
        udp, tcp = bound(socket.AF_INET, "127.0.0.1", 0)
        places.append(udp.getsockname())
        udp.close()
        tcp.close()
    return places


@pytest.mark.parametrize("count", [1, 2, 3])
def test_servers_that_refuse_are_asked_again_when_a_try_is_over(refusing, count):
    """So those that restart meanwhile answer, and at the end it is said what was wrong."""
    found, seconds = asked(refusing[:count], 0.2)
    assert found == "a.example A: [Errno 111] Connection refused"
    assert seconds >= max(2, count) * 0.2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_server_that_comes_back_within_the_time_of_a_try(refusing, count):
    with contextlib.closing(Nameservers(refusing[:count], 3, LIMITS)) as nameservers:
        future = nameservers(question("a.example", "A"))
        with pytest.raises(TimeoutError):
            future.result(0.2)
        with DnsServer(Zone(ZONE, limits=LIMITS), *refusing[0]):
            assert set(future.result(30).records) == {"192.0.2.1", "192.0.2.2"}


def test_a_server_that_goes_away_within_a_connection():
    """As one that restarts does."""
    came = []

    def stream(response):
        came.append(response)
        return b"" if len(came) < 2 else by_tcp(with_records("a.example A 192.0.2.1"))(response)

    assert ask_raw(truncated, stream=stream, timeout=2).records == ("192.0.2.1",)


def test_another_server_is_asked_at_once(server, refusing):
    """It has nothing to do with the one that refuses, or cannot be reached."""
    found, seconds = asked([NOWHERE, refusing[0], (server.address, server.port)], 60)
    assert set(found) == {"192.0.2.1", "192.0.2.2"}
    assert seconds < 60


def test_a_server_that_cannot_be_reached():
    found, seconds = asked([NOWHERE], 0.2)
    assert "Permission denied" in found
    assert seconds >= 0.4


def test_what_waits_to_be_sent_again_when_all_ends(refusing):
    nameservers = Nameservers([NOWHERE], 60, LIMITS)
    others = Nameservers(refusing[:1], 60, LIMITS)
    futures = [ask(question("a.example", "A")) for ask in (nameservers, others)]
    for each in (nameservers, others):
        each.close()
    for future in futures:
        with pytest.raises(DnsTempError, match="closed"):
            future.result(60)


def unreachable(source, port):
    """An ICMP error, as if a server's host sent it, to the socket of this host with that port."""
    udp = struct.pack("!4H", port, source[1], 8, 0)
    addresses = socket.inet_aton("127.0.0.1") + socket.inet_aton(source[0])
    quoted = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses + udp
    words = sum(struct.unpack(f"!{len(quoted) // 2}H", quoted)) + 0x0303
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    return struct.pack("!BBHI", 3, 3, ~words & 0xFFFF, 0) + quoted


@pytest.fixture
def icmp():
    """Sends ICMP errors, as anybody may who guesses a port."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            yield lambda place, port: raw.sendto(unreachable(place, port), ("127.0.0.1", 0))
    except PermissionError:
        pytest.skip(reason="only root may send ICMP")


@pytest.mark.parametrize("tries", [1, 2])
def test_icmp_errors_end_nothing(icmp, tries):
    """They are waited out, and other questions do not notice."""

    def respond(response):
        if response.question[0].name.labels[0] == b"b":
            return with_records("b.example A 192.0.2.2")(response)
        for _ in range(5):
            icmp(server.place, server.asked[-1][1][1])
        time.sleep(0.1)
        return with_records("a.example A 192.0.2.1")(response) if len(server.asked) >= tries else []

    with Raw(respond) as server, contextlib.closing(Nameservers([server.place], 3, LIMITS)) as nameservers:
        assert nameservers(question("a.example", "A")).result(30).records == ("192.0.2.1",)
        assert len(server.asked) == tries
        assert nameservers(question("b.example", "A")).result(30).records == ("192.0.2.2",)


def test_a_flood_of_icmp_errors(icmp):
    """As with one of what is no response."""

    def flood(_):
        while not select.select([server.tcp], [], [], 0)[0]:
            icmp(server.place, server.asked[-1][1][1])
        return []

    with Raw(flood, by_tcp(with_records("a.example A 192.0.2.9"))) as server:
        assert asked([server.place], 60)[0] == ("192.0.2.9",)


@pytest.mark.parametrize("noise", [b"", b"\0", b"x" * 40, None])
def test_a_flood_of_what_is_no_response(noise):
    """It is not read for ever: TCP is what nobody else can answer by (RFC 5452 section 9.3)."""

    def flood(response):
        for number in range(2000):
            response.id = number
            server.udp.sendto(response.to_wire() if noise is None else noise, server.asked[-1][1])
        return []

    with Raw(flood, by_tcp(with_records("a.example A 192.0.2.9"))) as server:
        found, _ = asked([server.place], 60)
    # an id may be the right one, and then the response is one
    assert found in ((("192.0.2.9",),) if noise is not None else (("192.0.2.9",), ()))


def test_other_questions_do_not_wait_for_a_flood(server):
    """Of a socket no more is read at a time than of any other."""
    over = threading.Event()

    def flood(_):
        while not over.is_set():
            server_of_noise.udp.sendto(b"noise", server_of_noise.asked[-1][1])
        return []

    # nobody answers by TCP
    with (
        Raw(flood) as server_of_noise,
        contextlib.closing(Nameservers([server_of_noise.place], 60, LIMITS)) as nameservers,
    ):
        nameservers(question("noise.example", "A"))
        while not server_of_noise.asked:
            time.sleep(0.01)
        nameservers.configure([(server.address, server.port)], 60, Limits())
        for number in range(50):
            assert not nameservers(question(f"n{number}.example", "A")).result(30).exists
        over.set()


@pytest.mark.parametrize("octets_of_it", [b"", b"\0", b"\0\x64"])
@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_drips(octets_of_it, drips):
    """An octet now and then, or none, does not hold a question, nor its descriptor, longer than its try may last."""
    over = threading.Event()

    def stream(_):
        yield octets_of_it
        while not over.wait(0.02):
            yield b"x" if drips else b""

    with Raw(truncated, stream) as server, contextlib.closing(Nameservers([server.place], 0.3, LIMITS)) as nameservers:
        with pytest.raises(DnsTempError, match="time-out"):
            nameservers(question("a.example", "A")).result(30)
        assert not nameservers._listener._open
        over.set()
