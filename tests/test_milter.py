"""The daemon, a real second process, spoken to as an MTA speaks: byte for byte over its socket, with real DNS."""

import re
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from mailassay.config import Settings
from mailassay.daemon.callbacks import Callbacks, Work
from mailassay.history.spool import SPOOL, segments
from mailassay.nameservers.turns import Turns
from mailassay.resolver import Cached
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.milter import LEADING_SPACE, PROTOCOL, MilterClient
from tests.lab.serve import AUTHSERV_ID, Serve
from tests.lab.sign import ed25519_key, rsa_key

pytestmark = pytest.mark.process

RSA, ED = rsa_key(), ed25519_key()
ZONE = f"""
    1.2.0.192.in-addr.arpa           PTR  mail.bank.example
    mail.bank.example                A    192.0.2.1
    mail.bank.example                TXT  "v=spf1 a -all"
    bank.example                     TXT  "v=spf1 ip4:192.0.2.1 ip6:2001:db8::/32 -all"
    _dmarc.bank.example              TXT  "v=DMARC1; p=reject"
    rsa._domainkey.bank.example      TXT  "{RSA.record}"
    ed._domainkey.bank.example       TXT  "{ED.record}"
    _dmarc.shop.example              TXT  "v=DMARC1; p=quarantine; rua=mailto:dmarc@shop.example"
    shop.example                     A    192.0.2.80
    slow.example                     TXT  ?
    _dmarc.slow.example              TXT  ?
    *.slow.example                   TXT  ?
"""
FROM_BANK = (b"From", b" Alice <alice@bank.example>")
SUBJECT = (b"Subject", b" hi")


@pytest.fixture(scope="module")
def dns():
    with DnsServer(Zone(ZONE, limits=LIMITS)) as server:
        yield server


@pytest.fixture(scope="module")
def served(dns, tmp_path_factory):
    with Serve(tmp_path_factory.mktemp("serve"), dns, message_timeout=3) as serve:
        yield serve


@pytest.fixture
def client(served):
    with MilterClient(served.socket) as client:
        client.connect("192.0.2.1")
        client.helo(b"mail.bank.example")
        yield client


def attacker(served):
    client = MilterClient(served.socket)
    client.connect("198.51.100.66")
    client.helo(b"mail.evil.example")
    return client


def signed(*keys, body=b"Hello\r\n"):
    message = b"From: Alice <alice@bank.example>\r\nSubject: hi\r\n\r\n" + body
    for selector, key in keys:
        message = key.sign(message, "bank.example", selector)
    head, _, body = message.partition(b"\r\n\r\n")
    fields = []
    for line in head.split(b"\r\n"):
        if line[:1] in b" \t":
            fields[-1][1] += b"\n" + line
        else:
            name, _, value = line.partition(b":")
            fields.append([name, value])
    return [tuple(field) for field in fields], body


def test_a_good_message(client):
    fields, body = signed(("rsa", RSA), ("ed", ED))
    answer = client.message(b"<alice@bank.example>", fields, [body])
    assert answer.verdict == "continue"
    assert answer.results() == {
        "iprev": "pass",
        "spf": "pass",
        "dkim": ["pass", "pass"],
        "arc": "none",
        "dmarc": "pass",
    }
    assert answer.inserted(b"Authentication-Results")[0].startswith(
        f"{AUTHSERV_ID}; iprev=pass policy.iprev=192.0.2.1 (mail.bank.example); spf=pass smtp.mailfrom=bank.example; "
        "dkim=pass header.d=bank.example header.i=@bank.example header.s=ed "
        "header.a=ed25519-sha256 header.b=".encode()
    )
    assert answer.changes[0][1] == 0


def test_as_many_descriptors_as_may_be(served):
    """One for each connection and each question under way."""
    soft, hard = resource.prlimit(served.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_the_log_line(client, served):
    client.message(b"<alice@bank.example>", [FROM_BANK], queue_id="4LOGLINE")
    entry = served.entry("4LOGLINE")
    assert {key: entry[key] for key in ("client", "iprev", "spf", "dkim", "arc", "dmarc", "verdict", "rule")} == {
        "client": "192.0.2.1",
        "iprev": "pass",
        "spf": "pass",
        "dkim": [],
        "arc": "none",
        "dmarc": "pass",
        "verdict": "accept",
        "rule": "default",
    }
    assert entry["ms"] >= 0


def test_a_spoof_is_refused(served):
    with attacker(served) as client:
        answer = client.message(b"<alice@bank.example>", [FROM_BANK], [b"Hello\r\n"])
    assert answer.reply == b"550 5.7.26 Email rejected per DMARC policy for bank.example"
    assert answer.changes == []


def test_a_quarantined_spoof_is_held_with_its_results(served):
    with attacker(served) as client:
        answer = client.message(b"<eve@evil.example>", [(b"From", b" x@shop.example")], [b"Hello\r\n"])
    assert answer.verdict == "continue"
    assert answer.quarantine == b"mailassay: DMARC fail for shop.example, whose policy is quarantine (dmarc.quarantine)"
    lines = [line for line in served.log.read_text().splitlines() if '"verdict": "hold"' in line]
    assert lines
    assert all('"level": "warning"' in line for line in lines)
    assert answer.results()["dmarc"] == "fail"


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_the_body_comes_in_any_pieces(client, cut):
    fields, body = signed(("rsa", RSA), body=b"one  two \r\n\r\n \t three\r\n" * 40 + b"\r\n\r\n")
    chunks = [body[at : at + cut] for at in range(0, len(body), cut)]
    assert client.message(b"<alice@bank.example>", fields, chunks).results()["dkim"] == "pass"


def test_no_more_of_the_body_than_is_needed(client):
    answer = client.message(b"<alice@bank.example>", [FROM_BANK], [b"x" * 60000] * 50)
    assert answer.body_packets == 1


def test_several_messages_and_rset_on_one_connection(client):
    fields, body = signed(("rsa", RSA))
    assert client.message(b"<alice@bank.example>", fields, [body]).results()["dkim"] == "pass"
    client.command(b"M", b"<eve@evil.example>\0")
    client.command(b"L", b"From\0 eve@evil.example\0")
    client.abort()
    second = client.message(b"<>", [FROM_BANK], [b"x\r\n"])
    assert second.results() == {"iprev": "pass", "spf": "pass", "dkim": "none", "arc": "none", "dmarc": "pass"}
    third = client.message(b"<alice@bank.example>", [FROM_BANK, SUBJECT])
    assert third.results()["spf"] == "pass"


def test_null_sender_is_the_helo_identity(client):
    answer = client.message(b"<>", [(b"From", b" postmaster@mail.bank.example")])
    (value,) = answer.inserted(b"Authentication-Results")
    assert b"spf=pass smtp.helo=mail.bank.example;" in value
    assert b"smtp.mailfrom" not in value
    assert answer.results()["dmarc"] == "pass"


def test_ipv6(served):
    with MilterClient(served.socket) as client:
        client.connect("2001:db8::25")
        client.helo(b"mail.bank.example")
        answer = client.message(b"<alice@bank.example>", [FROM_BANK])
    assert b'iprev=permerror policy.iprev="2001:db8::25";' in answer.inserted(b"Authentication-Results")[0]
    assert answer.results()["dmarc"] == "pass"


def test_an_ipv4_client_on_an_ipv6_socket(served):
    with MilterClient(served.socket) as client:
        client.connect("::ffff:192.0.2.1")
        client.helo(b"mail.bank.example")
        assert client.message(b"<alice@bank.example>", [FROM_BANK]).results()["iprev"] == "pass"


@pytest.mark.parametrize(
    ("ip", "login", "rule"), [("192.0.2.250", "", "trusted_network"), ("198.51.100.66", "joe", "authenticated")]
)
def test_trusted_clients_are_not_judged_but_cannot_forge(served, ip, login, rule):
    forged = (b"Authentication-Results", b" mx.receiver.example; dmarc=pass")
    with MilterClient(served.socket) as client:
        client.connect(ip)
        client.helo(b"laptop")
        plain = client.message(b"<alice@bank.example>", [FROM_BANK], login=login, queue_id=f"4PLAIN{rule}")
        answer = client.message(b"<alice@bank.example>", [forged, FROM_BANK], login=login)
    assert (plain.verdict, plain.changes) == ("continue", [])
    assert served.entry(f"4PLAIN{rule}")["rule"] == rule
    assert answer.apply([forged, FROM_BANK]) == [
        (b"Authentication-Results", b" mx.receiver.example; none"),
        FROM_BANK,
    ]


def test_a_client_without_address_is_deferred(served):
    with MilterClient(served.socket) as client:
        client.connect(None)
        client.helo(b"x.example")
        assert client.message(b"<alice@bank.example>", [FROM_BANK]).reply.startswith(b"451 4.7.1 ")


def test_forged_fields_go_and_others_stay(client):
    fields = [
        (b"Authentication-Results", b" mx.receiver.example; dmarc=pass"),
        (b"Authentication-Results", b" other.example; spf=pass smtp.mailfrom=mx.receiver.example"),
        (b"AUTHENTICATION-RESULTS", b' (x)\n\t"MX.Receiver.Example" 1; dmarc=pass'),
        (b"X-Mailassay-Verdict", b" accept"),
        FROM_BANK,
    ]
    answer = client.message(b"<alice@bank.example>", fields)
    after = answer.apply(fields)
    assert after[0][0] == b"Authentication-Results"
    assert after[1:] == [fields[1], FROM_BANK]


@pytest.mark.parametrize("more", [[], [(b"X", b" 1")] * 1500], ids=["few others", "beyond the limit of fields"])
@pytest.mark.parametrize("ip", ["192.0.2.1", "192.0.2.250"])
def test_more_forged_fields_than_can_be_removed(tmp_path, dns, ip, more):
    """Even where everything is to be delivered: MTAs search the whole header for each."""
    forged = (b"Authentication-Results", b" mx.receiver.example; dmarc=pass")
    with Serve(tmp_path, dns, {"mode": "monitor"}) as served, MilterClient(served.socket) as client:
        client.connect(ip)
        client.helo(b"mail.bank.example")
        answer = client.message(b"<alice@bank.example>", [FROM_BANK, *more, *[forged] * 1000])
        assert (answer.verdict, len(answer.apply([FROM_BANK, *more, *[forged] * 1000]))) == ("continue", 2 + len(more))
        for count in (1001, 5000):
            answer = client.message(b"<alice@bank.example>", [FROM_BANK, *more, *[forged] * count])
            assert answer.reply == b"550 5.7.1 Too many forged header fields"
            assert answer.changes == []


@pytest.mark.parametrize("uncounted", [0, 1], ids=["Postfix", "Postfix before its fix"])
@pytest.mark.parametrize("prepended", [b"earlier.example; none", b"mx.receiver.example; none", None])
@pytest.mark.parametrize("first", [[], [SUBJECT]], ids=["results first", "another field first"])
def test_removal_where_the_topmost_field_does_not_count(client, uncounted, prepended, first):
    """Postfix hides its own Received from milters; old ones hid the topmost field instead when fields were changed."""
    name = b"Authentication-Results"
    foreign = (name, b" other.example; none")
    sent = [
        *first,
        (name, b" mx.receiver.example; dmarc=pass"),
        foreign,
        (name, b" mx.receiver.example; none"),
        FROM_BANK,
    ]
    top = [(name, b" " + prepended)] if prepended else []
    answer = client.message(b"<alice@bank.example>", [*top, *sent])
    queue_file = [*top, (b"Received", b" from us"), *sent]
    after = answer.apply(queue_file, uncounted)
    assert after[0][0] == name
    assert after[1:] == [
        *(field for field in top if prepended.startswith(b"earlier")),
        (b"Received", b" from us"),
        *first,
        foreign,
        FROM_BANK,
    ]


def test_only_what_is_needed_is_negotiated(served):
    with MilterClient(served.socket) as client:
        add_headers, change_headers, quarantine, set_macros = 0x1, 0x10, 0x20, 0x100
        assert client.actions == add_headers | change_headers | quarantine | set_macros
        unknown, data = 0x100, 0x200
        assert client.protocol & (unknown | data) == unknown | data
        assert client.protocol & LEADING_SPACE
        assert b"{auth_authen}" in client.macros_asked


def test_an_mta_that_offers_little(served):
    """No leading space, no skipping, an answer to everything."""
    fields, body = signed(("rsa", RSA))
    with MilterClient(served.socket, protocol=0) as client:
        client.connect("192.0.2.1")
        client.helo(b"mail.bank.example")
        answer = client.message(b"<alice@bank.example>", fields, [body] * 1)
    assert answer.results()["dkim"] == "pass"
    assert answer.changes[0][3].startswith(b"mx.receiver.example")
    assert PROTOCOL & LEADING_SPACE


@pytest.mark.parametrize("name", ["ADDHDRS", "CHGHDRS", "QUARANTINE"])
def test_an_mta_that_does_not_let_us_act(served, name):
    """It gets no connection, and so does what it does where a milter cannot be had."""
    lacking = {"ADDHDRS": 0x1, "CHGHDRS": 0x10, "QUARANTINE": 0x20}[name]
    with pytest.raises(ConnectionError):
        MilterClient(served.socket, actions=0x1FF & ~lacking)
    served.wait_for(f"the MTA does not offer {name}; its messages are not judged")


def test_a_login_that_is_not_utf8_is_one(served):
    """Whoever logged in is no stranger, whatever the name."""
    with attacker(served) as client:
        answer = client.message(b"<alice@bank.example>", [FROM_BANK], login="jos\udce9")
    assert (answer.verdict, answer.reply) == ("continue", b"")


def test_the_zone_of_a_link_local_address_means_nothing_to_others():
    """Neither to SPF nor to whoever reads the log."""
    zone = Zone("", limits=LIMITS)
    work = Work(Settings(), Turns(Cached(zone, 10), 10).asker, threading.Lock(), retire=lambda: None)
    session = Callbacks(work)
    session._ctx = SimpleNamespace(getsymval={"j": "mx.receiver.example"}.get)
    session._protocol = 0
    session.connect("unknown", socket.AF_INET6, ("fe80::1%lo", 25, 0, 1))
    assert session._talk.client == "fe80::1"


def test_a_login_is_forgotten_with_its_message(served):
    with MilterClient(served.socket) as client:
        client.connect("198.51.100.66")
        client.helo(b"mail.evil.example")
        assert client.message(b"<alice@bank.example>", [FROM_BANK], login="joe").reply == b""
        assert client.message(b"<alice@bank.example>", [FROM_BANK]).reply.startswith(b"550 5.7.")
        # libmilter would keep the macros where none come
        assert b"j {auth_authen}" in client.macros_asked


# --- bad input: each gives a result word and a verdict, never an exception, never a pass

NEVER = {"pass"}
BAD_MESSAGES = {
    "no From": ([SUBJECT], [b"x\r\n"]),
    "no fields": ([], [b"x\r\n"]),
    "only fields": ([FROM_BANK], []),
    "empty": ([], []),
    "two From": ([FROM_BANK, (b"From", b" eve@evil.example")], [b"x\r\n"]),
    "empty From": ([(b"From", b"")], []),
    "From of garbage": ([(b"From", b" \xff\xfe<<>>@@")], []),
    "bare CR and LF": ([FROM_BANK, (b"X", b" a\rb")], [b"a\rb\nc\r\n"]),
    "NUL in body": ([FROM_BANK], [b"a\0b\r\n"]),
    "field of 100 kB": ([FROM_BANK, (b"X-Big", b" " + b"x" * 100_000)], [b"x\r\n"]),
    "From of 100 kB": ([(b"From", b" (" + b"(" * 100_000)], [b"x\r\n"]),
    "line of 1 MB": ([FROM_BANK], [b"x" * 60_000] * 17),
    "10,000 fields": ([FROM_BANK, *((b"X-%d" % n, b" v") for n in range(10_000))], [b"x\r\n"]),
    "10,000 From fields": ([(b"From", b" a%d@bank.example" % n) for n in range(10_000)], [b"x\r\n"]),
    "100 signatures": (
        [FROM_BANK, *((b"DKIM-Signature", b" v=1; d=bank.example; s=s%d; b=AA" % n) for n in range(100))],
        [b"x\r\n"],
    ),
    "broken base64": (
        [FROM_BANK, (b"DKIM-Signature", b" v=1; a=rsa-sha256; d=bank.example; s=rsa; h=from; bh=!; b=!")],
        [b"x\r\n"],
    ),
    "unknown algorithm": (
        [FROM_BANK, (b"DKIM-Signature", b" v=1; a=rot13; d=bank.example; s=rsa; h=from; bh=AA==; b=AA==")],
        [b"x\r\n"],
    ),
    "1,000 seals": ([FROM_BANK, *((b"ARC-Seal", b" i=%d; cv=none" % n) for n in range(1000))], [b"x\r\n"]),
    "200 forged fields": (
        [*((b"Authentication-Results", b" mx.receiver.example; dmarc=pass") for _ in range(200)), FROM_BANK],
        [b"x\r\n"],
    ),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_messages(served, name):
    fields, chunks = BAD_MESSAGES[name]
    started = time.monotonic()
    with attacker(served) as client:
        answer = client.message(b"<eve@evil.example>", fields, chunks, queue_id=f"4BAD{name.replace(' ', '')}")
    assert time.monotonic() - started < 60
    entry = served.entry(f"4BAD{name.replace(' ', '')}")
    assert entry["dmarc"] not in NEVER
    assert not NEVER & {each["result"] for each in entry["dkim"]}
    if any(field == FROM_BANK for field in fields):
        assert answer.reply.startswith(b"550 5.7.")
    else:
        assert entry["dmarc"] in ("permerror", "fail", "none")
        assert answer.verdict in ("continue", "reject")


@pytest.mark.parametrize(
    "fields",
    [
        [(b"X", b" " + b"y" * 900)] * 22_000,
        [(b"X", b" y")] * 200_000,
        [(b"X-Mailassay-Verdict", b" accept")] * 200_000,
        [(b"Authentication-Results", b" mx.receiver.example; dmarc=pass " + b"x" * 60_000)] * 300,
    ],
    ids=["20 MB", "200,000", "200,000 of ours", "20 MB of ours"],
)
def test_a_flood_of_fields_costs_little_memory(tmp_path, dns, fields):
    with Serve(tmp_path, dns) as served, attacker(served) as client:
        (worker,) = served.wait_for_workers(1)
        client.message(b"<eve@evil.example>", [FROM_BANK])
        before = peak(worker)
        answer = client.message(b"<eve@evil.example>", [FROM_BANK, *fields])
        assert answer.reply.startswith(b"550 5.7.1 ")
        assert peak(worker) - before < 8 << 20


def test_memory_stays_flat_over_many_connections(tmp_path, dns):
    """libmilter's threads share the connections; where Python minds that, each message leaves something behind."""
    fields = [FROM_BANK, *((b"X-%d" % number, b" value") for number in range(60))]
    with Serve(tmp_path, dns) as served, ThreadPoolExecutor(12) as pool:
        (worker,) = served.wait_for_workers(1)

        def send(count):
            with attacker(served) as client:
                for _ in range(count):
                    client.message(b"<eve@evil.example>", fields)

        def rounds(count):
            for _ in range(count):
                assert [*pool.map(send, [25] * 12)] == [None] * 12
            return resident(worker)

        # threads, their memory, and caches
        warm = rounds(2)
        assert rounds(5) - warm < 8 << 20


def resident(pid):
    """The memory of a process, in octets."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s*([0-9]+) kB", file.read())[1]) << 10


def peak(pid):
    """The most memory a process had so far, in octets."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmHWM:\s*([0-9]+) kB", file.read())[1]) << 10


@pytest.mark.parametrize("helo", [b"", b"\xff\xfe\x80", b"a b c", b"[", b"x" * 900, b"<script>", b"-.-", b"..", b"\t"])
def test_bad_helo(served, helo):
    with MilterClient(served.socket) as client:
        client.connect("198.51.100.66")
        client.helo(helo)
        answer = client.message(b"<>", [(b"From", b" eve@evil.example")])
    assert answer.results()["spf"] == "none"
    assert b"\xff" not in answer.inserted(b"Authentication-Results")[0]


def test_a_helo_that_is_not_utf8_leaves_no_earlier_one(served):
    with MilterClient(served.socket) as client, MilterClient(served.socket) as other:
        for each in (client, other):
            each.connect("192.0.2.1")
            each.helo(b"mail.bank.example")
        client.helo(b"mail.bank.\xffexample")
        null, author = b"<>", [(b"From", b" eve@evil.example")]
        assert client.message(null, author, queue_id="4NOTUTF8").results()["spf"] == "none"
        assert other.message(null, author).results()["spf"] == "pass"
        client.helo(b"mail.bank.example")
        assert client.message(null, author).results()["spf"] == "pass"
    assert served.entry("4NOTUTF8")["helo"] == "mail.bank.\ufffdexample"
    assert "not UTF-8: b'mail.bank.\\\\xffexample'" in served.log.read_text()


def test_utf8_only_where_the_message_may_hold_it(client):
    mail_from = "<zoë@bücher.example>".encode()
    author = [(b"From", " zoë@bücher.example".encode())]
    for options, is_ascii in ((b"\0SMTPUTF8", False), (b"", True), (b"\0SIZE=1\0smtputf8", False), (b"\0SIZE=1", True)):
        (value,) = client.message(mail_from + options, author).inserted(b"Authentication-Results")
        assert value.isascii() is is_ascii


@pytest.mark.parametrize(
    "mail_from",
    [b"", b"<", b"<@>", b"<a@>", b"<@b>", b"<\xff@\xfe>", b"<" + b"a" * 900 + b"@bank.example>",
     b"<a@" + b"b." * 400 + b"c>",
     b'<"a b"@bank.example>', b"<@x.example:alice@bank.example>",
     b"<a@bank.example; dmarc=pass>", b'<a@b"c>', b"<a@b(c)>"],
)  # fmt: skip
def test_bad_mail_from(served, mail_from):
    with attacker(served) as client:
        answer = client.message(mail_from, [(b"From", b" eve@evil.example")])
    found = answer.results()
    assert found["dmarc"] == "none"
    assert found["spf"] != "pass"
    assert set(found) == {"iprev", "spf", "dkim", "arc", "dmarc"}


# --- DNS in trouble


def asking(dns, **more):
    """The configuration's ``dns``."""
    return {"nameservers": [f"{dns.address}:{dns.port}"], "timeout": 0.5, **more}


@pytest.mark.parametrize("mode", ["servfail", "drop", "garbage"])
def test_dns_in_trouble(tmp_path, mode):
    """No question has an answer, and the operator wants mail all the same."""
    with (
        DnsServer(Zone(ZONE, limits=LIMITS), mode=mode) as dns,
        Serve(tmp_path, dns, message_timeout=2, dns=asking(dns, unavailable="accept")) as served,
    ):
        started = time.monotonic()
        with attacker(served) as client:
            fields, body = signed(("rsa", RSA))
            answer = client.message(b"<alice@bank.example>", fields, [body])
        assert time.monotonic() - started < 60
    assert answer.results() == {
        "iprev": "temperror",
        "spf": "temperror",
        "dkim": "temperror",
        "arc": "none",
        "dmarc": "temperror",
    }


@pytest.mark.parametrize("mode", ["servfail", "drop", "garbage"])
def test_without_any_answer_from_dns_mail_waits(tmp_path, mode):
    with (
        DnsServer(Zone(ZONE, limits=LIMITS), mode=mode) as dns,
        Serve(tmp_path, dns, message_timeout=2, dns=asking(dns)) as served,
        attacker(served) as client,
    ):
        answer = client.message(b"<alice@bank.example>", [FROM_BANK])
        assert answer.reply == b"451 4.4.3 Temporary failure of DNS"
        assert served.wait_for('"rule": "dns.unavailable"')


def test_a_resolver_that_fails_is_told_from_one_domain_that_does(tmp_path):
    """Also if nearly all that a message asks for is kept from an earlier one."""
    zone = ZONE + "broken.example TXT !\n_dmarc.broken.example TXT !\n"
    honest = [(b"From", b" joe@broken.example")]
    with DnsServer(Zone(zone, limits=LIMITS)) as dns, Serve(tmp_path, dns, message_timeout=2) as served:
        for _ in range(2):
            with attacker(served) as client:
                answer = client.message(b"<joe@broken.example>", honest)
            assert answer.results()["dmarc"] == "temperror"
            assert answer.verdict == "continue"
        dns.mode = "servfail"
        with attacker(served) as client:
            answer = client.message(b"<joe@broken.example>", honest)
        assert answer.reply == b"451 4.4.3 Temporary failure of DNS"


def test_what_is_at_stake_is_remembered(tmp_path):
    """A domain that asked to reject, and whose DNS gives no answer now, while that of others does."""
    spoof = [FROM_BANK]
    with DnsServer(Zone(ZONE, ttl=0, limits=LIMITS)) as dns, Serve(tmp_path, dns, message_timeout=2) as served:
        before = Zone(ZONE + "_dmarc.bank.example TXT !\n", ttl=0, limits=LIMITS)
        for zone, reply in (
            (before, b"c"),
            (Zone(ZONE, ttl=0, limits=LIMITS), b"550 5.7.1 Email rejected per DMARC policy for bank.example"),
            (before, b"451 4.7.1 DMARC for bank.example cannot be decided now"),
        ):
            dns.zone = zone
            with attacker(served) as client:
                answer = client.message(b"<eve@evil.example>", spoof)
            assert answer.reply == reply or (reply == b"c" and answer.verdict == "continue")


def test_one_slow_domain_costs_the_time_of_the_message_and_no_more(tmp_path, dns):
    """One question alone could wait for a minute."""
    more = {"message_timeout": 1, "dns": asking(dns, timeout=60)}
    with Serve(tmp_path, dns, **more) as served, attacker(served) as client:
        started = time.monotonic()
        answer = client.message(b"<a@slow.example>", [(b"From", b" a@slow.example")])
        assert time.monotonic() - started < 45
    assert answer.results()["dmarc"] == "temperror"


# --- the process


def recorded(folder):
    """The messages of the spool: queue id, rule, sender and reply."""
    found = [each.found for segment in segments(folder / SPOOL) for each in segment.lines()]
    keys = ("queue_id", "rule", "mail_from", "reply")
    return [tuple(each[key] for key in keys) for each in found if each["kind"] == "message"]


def test_a_fault_of_ours_defers_that_message(tmp_path, dns):
    """451, the traceback in the log with the queue id, a record, and the next message of the connection is judged."""
    serve = Serve(tmp_path, dns, history={"directory": str(tmp_path)})
    serve.module = "tests.lab.faulty"
    with serve, MilterClient(serve.socket) as client:
        client.connect("192.0.2.1")
        client.helo(b"mail.bank.example")
        at_the_end = client.message(b"<boom@bank.example>", [FROM_BANK], [b"x"], queue_id="4END")
        in_the_header = client.message(b"<alice@bank.example>", [(b"Boom", b" 1"), FROM_BANK], [b"x"], queue_id="4HEAD")
        in_the_log = client.message(b"<alice@bank.example>", [FROM_BANK], [b"x"], queue_id="4LINE")
        good = client.message(b"<alice@bank.example>", [FROM_BANK], [b"x"], queue_id="4GOOD")
        entry = serve.entry("4GOOD")
        assert serve.stop() == 0
    assert recorded(tmp_path) == [
        ("4END", "internal_error", "boom@bank.example", at_the_end.reply.decode()),
        ("4HEAD", "internal_error", "alice@bank.example", at_the_end.reply.decode()),
        ("4LINE", "internal_error", "alice@bank.example", at_the_end.reply.decode()),
        ("4GOOD", "default", "alice@bank.example", None),
    ]
    for answer in (at_the_end, in_the_header, in_the_log):
        assert answer.reply == b"451 4.3.0 Internal error, please try again later"
    assert at_the_end.changes == in_the_header.changes == []
    assert good.results()["dmarc"] == "pass"
    assert entry["verdict"] == "accept"
    faults = [each for each in serve.entries() if "exception" in each]
    assert ["4END" in faults[0]["message"], "4HEAD" in faults[1]["message"]] == [True, True]
    assert "LookupError: a fault at the end" in faults[0]["exception"]
    assert "LookupError: a fault in the header" in faults[1]["exception"]
    assert "LookupError: a fault in the log" in faults[2]["exception"]
    assert len(faults) == 3


def test_a_connection_that_failed_has_no_message_judged(tmp_path, dns):
    """Each is deferred, with one traceback and not one for each of its fields, and has a record."""
    serve = Serve(tmp_path, dns, history={"directory": str(tmp_path)})
    serve.module = "tests.lab.faulty"
    with serve, MilterClient(serve.socket) as client:
        client.connect("203.0.113.13")
        client.helo(b"mail.bank.example")
        for queue_id in ("4FIRST", "4SECOND"):
            answer = client.message(b"<alice@bank.example>", [FROM_BANK] * 50, [b"x"] * 3, queue_id=queue_id)
            assert answer.reply.startswith(b"451 4.3.0 ")
        log = serve.wait_for("4SECOND")
        assert serve.stop() == 0
    assert [found[:2] for found in recorded(tmp_path)] == [("4FIRST", "internal_error"), ("4SECOND", "internal_error")]
    assert log.count("Traceback") == 3
    assert log.count("4FIRST") == log.count("4SECOND") == 1


def test_policies(tmp_path, dns):
    policy = {"dmarc": {"reject": "tag"}, "tag": {"flag": "X-Junk", "verdict": "X-Judged"}}
    with Serve(tmp_path, dns, policy) as served, attacker(served) as client:
        answer = client.message(b"<alice@bank.example>", [FROM_BANK])
    assert [(name, value) for _, _, name, value in answer.changes][:2] == [
        (b"X-Judged", b" tag; rule=dmarc.reject"),
        (b"X-Junk", b" YES"),
    ]


@pytest.mark.parametrize(
    ("typed", "mail_addr", "spf", "mail_from"),
    [
        (b"<alice@bank.example >", "alice@bank.example", "pass", "bank.example"),
        (b"<alice@bank.example(x@evil.example>", "alice@bank.example", "pass", "bank.example"),
        (b'<"alice"@bank.example>', None, "pass", "bank.example"),
        (b"<(x)>", "", "pass", "<>"),
        (b"<>", "", "pass", "<>"),
        (b"<>", None, "pass", "<>"),
    ],
)
def test_the_reverse_path_is_what_the_mta_makes_of_it(served, client, typed, mail_addr, spf, mail_from):
    client.message(b"<bob@shop.example>", [FROM_BANK], mail_addr="bob@shop.example")
    answer = client.message(typed, [FROM_BANK], queue_id="4TYPED", mail_addr=mail_addr)
    assert answer.results()["spf"] == spf
    assert [each["mail_from"] for each in served.entries() if each.get("queue_id") == "4TYPED"][-1] == mail_from


def test_what_a_rule_says_comes_through(tmp_path, dns):
    """The operator's own reply, with its percent sign, and fields on what is delivered."""
    shop = {"name": "shop", "if": {"author": "shop.example"}, "then": "reject", "reply": "100% no, {author} {{%s}}"}
    bank = {
        "name": "bank",
        "if": {"client": "198.51.100.0/24"},
        "then": "hold",
        "headers": {"X-By": "{rule} 5%"},
        "reason": "100% {author}",
    }
    with Serve(tmp_path, dns, {"rules": [shop, bank]}) as served, attacker(served) as client:
        refused = client.message(b"<a@shop.example>", [(b"From", b" a@shop.example")])
        # the protocol doubles it, and the MTA takes one away
        assert refused.reply == b"550 5.7.1 100%% no, shop.example {%%s}"
        held = client.message(b"<a@bank.example>", [FROM_BANK, (b"X-BY", b" forged")])
    assert held.quarantine == b"mailassay: 100% bank.example (rules.bank)"
    assert held.inserted(b"X-By") == [b"bank 5%"]
    assert [name for name, _ in held.apply([FROM_BANK, (b"X-BY", b" forged")])].count(b"X-By") == 1
    assert (b"X-BY", b" forged") not in held.apply([FROM_BANK, (b"X-BY", b" forged")])


def test_monitor_delivers_and_records(tmp_path, dns):
    with Serve(tmp_path, dns, {"mode": "monitor"}) as served, attacker(served) as client:
        answer = client.message(b"<alice@bank.example>", [FROM_BANK], queue_id="4MONITOR")
        entry = served.entry("4MONITOR")
    assert (answer.verdict, answer.quarantine) == ("continue", None)
    assert answer.results()["dmarc"] == "fail"
    assert (entry["verdict"], entry["would"], entry["rule"]) == ("accept", "reject", "dmarc.reject")


def test_many_connections_at_once(tmp_path, dns):
    """Two workers, eight connections, each message with its own truth."""
    fields, body = signed(("rsa", RSA), ("ed", ED))
    spoof, spoofed = [(b"From", b" a@shop.example")], [b"x\r\n"]

    def talk(number):
        found = []
        with MilterClient(served.socket) as client:
            client.connect("192.0.2.1" if number % 2 else "198.51.100.66")
            client.helo(b"mail.bank.example")
            for _ in range(25):
                found.append(client.message(b"<alice@bank.example>", fields, [body]).results()["dmarc"])
                found.append(client.message(b"<eve@evil.example>", spoof, spoofed).results()["dmarc"])
        return found

    with Serve(tmp_path, dns, workers=2) as served, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, range(8))) == [["pass", "fail"] * 25] * 8
        assert len(served.workers()) == 2
