"""What the real Postfix does to a message before and after it is signed.

Each message is judged as it arrives at the next hop, by dkimpy and by our own verifier.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mailassay.config import Settings
from mailassay.domain import Domain
from mailassay.feedback.handover import Handover, Outcome
from mailassay.sign import keys
from tests.lab import mta
from tests.lab.folder import open_folder
from tests.lab.inserter import inserter
from tests.lab.mta import HOST_NAME
from tests.lab.raw import RawSmtp
from tests.lab.signing import DOMAIN, ED, RSA, all_pass, dkimpy_says, signing, write
from tests.lab.sink import Sink
from tests.lab.ways import CLIENT, Way, Ways, recipient, ways

pytestmark = pytest.mark.xdist_group("signing_ways")

FROM = f"alice@{DOMAIN}"
EAI = "xn--bcher-kva.example"
HEADER = (
    f"From: Alice <{FROM}>\r\nTo: bob@next.example\r\nSubject: hi\r\n"
    "Date: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
).encode()
BODY = b"Hello\r\n"
LOCAL = {"local_header_rewrite_clients": "permit_mynetworks"}
REWRITTEN = "inline:{ {alice@inside.example = alice@example.org} }"
REPLACED = "regexp:{ {/^Subject:/ REPLACE Subject: changed}, {/^X-Internal:/ IGNORE} }"
LONG = b"x" * 2000 + b"\r\n"


def _ways(filter_port: int, adding: str, changing: str) -> dict[str, Way]:
    """``adding`` and ``changing`` are other milters: one adds a field that nobody signed, one changes the subject."""
    found = {
        "plain": Way(),
        "unconverted": Way(smtp={"disable_mime_output_conversion": "yes"}),
        "modern": Way(modern=True),
        "unbroken": Way(smtp={"smtp_line_length_limit": "0"}),
        "local": Way(smtpd=LOCAL),
        "completed": Way(cleanup={"always_add_missing_headers": "yes"}),
        "remote": Way(),
        "canonical": Way(smtpd=LOCAL, cleanup={"canonical_maps": REWRITTEN}),
        "sender": Way(smtpd=LOCAL, cleanup={"sender_canonical_maps": REWRITTEN}),
        "masquerade": Way(smtpd=LOCAL, cleanup={"masquerade_domains": DOMAIN}),
        "generic": Way(smtp={"smtp_generic_maps": f"inline:{{ {{{FROM} = alice@public.example}} }}"}),
        "checked": Way(cleanup={"header_checks": REPLACED, "body_checks": "regexp:{ {/^Hello/ REPLACE Bye} }"}),
        "sent-checked": Way(smtp={"smtp_header_checks": REPLACED}),
        "sent-body": Way(smtp={"smtp_body_checks": "regexp:{ {/^Hello/ REPLACE Bye} }"}),
        "sent-internal": Way(smtp={"smtp_header_checks": "regexp:{ {/^(X-Internal|Received):/ IGNORE} }"}),
        "milter-checked": Way(cleanup={"milter_header_checks": "regexp:{ {/^DKIM-Signature:/ IGNORE} }"}),
        "unseen": Way(smtpd={"receive_override_options": "no_milters"}),
        "copied": Way(
            cleanup={
                "always_bcc": "archive@copies.next.example",
                "recipient_bcc_maps": "inline:{ {bob@copied.next.example = more@copies.next.example} }",
            }
        ),
        "copies": Way(),
        "stripped": Way(cleanup={"message_strip_characters": r"\0"}),
        "before": Way(smtpd={"smtpd_milters": f"{changing}, {adding}, OURS"}),
        "after": Way(smtpd={"smtpd_milters": f"OURS, {changing}"}),
        "after-adding": Way(smtpd={"smtpd_milters": f"OURS, {adding}"}),
        "twice": Way(smtpd={"smtpd_milters": "OURS, OURS"}),
        "filtered": Way(smtpd={"content_filter": f"smtp:[127.0.0.1]:{filter_port}"}),
        "back": Way(smtpd={"content_filter": ""}),
        "back-unseen": Way(smtpd={"content_filter": "", "receive_override_options": "no_milters"}),
        "filter-signed": Way(
            smtpd={"content_filter": f"smtp:[127.0.0.1]:{filter_port}", "receive_override_options": "no_milters"}
        ),
        "verified": Way(smtpd={"smtpd_recipient_restrictions": "reject_unverified_recipient, permit"}),
    }
    # main.cf has it, since trivial-rewrite(8) needs to know it
    unset = {"remote_header_rewrite_domain": ""}
    return {name: way if name == "remote" else replace(way, cleanup=unset | way.cleanup) for name, way in found.items()}


MAIN = """
remote_header_rewrite_domain = example.org
sender_canonical_maps = inline:{{ {{ carol@inside.example = carol@example.org }} }}
append_dot_mydomain = yes
mydomain = example.org
mydestination = local.example
alias_maps = inline:{{ {{ alias = bob@plain.next.example }} }}
forward_path = {folder}/$user.forward
non_smtpd_milters = $smtpd_milters
internal_mail_filter_classes = bounce, notify
notify_classes = bounce
bounce_notice_recipient = root@modern.next.example
address_verify_map =
address_verify_poll_delay = 1s
mailbox_size_limit = 0
smtpd_recipient_limit = 1000
"""
SERVICES = """
local unix - n n - - local
verify unix - - n - 1 verify
"""


@dataclass(frozen=True)
class Signed:
    """The lab, the content filter and the keys."""

    ways: Ways
    filter: Sink
    keys: Settings
    numbers: Iterator[int]


@pytest.fixture(scope="module")
def lab() -> Iterator[Signed]:
    """A Postfix with many ways through it."""
    if why := mta.missing():
        pytest.skip(reason=why)
    with ExitStack() as stack:
        folder, own = stack.enter_context(open_folder()), stack.enter_context(open_folder())
        (folder / "keys").mkdir()
        known = signing(folder / "keys")
        for domain in (HOST_NAME, EAI):
            write(folder / "keys", domain, "host")
            one = Domain(domain)
            read = {one: (keys.read(str(folder / "keys"), one, "host"),)}
            known = replace(known, signing_keys={**known.signing_keys, **read})
        forward = folder / "nobody.forward"
        forward.write_text("bob@plain.next.example\n")
        content_filter = stack.enter_context(Sink(b"8BITMIME", b"SMTPUTF8"))
        adding = stack.enter_context(inserter(folder, 0, "X-Scanned", "yes"))
        changing = stack.enter_context(inserter(folder, "change", "Subject", "changed"))
        found = stack.enter_context(
            ways(
                own,
                _ways(content_filter.port, adding, changing),
                MAIN.format(folder=folder),
                SERVICES,
                sign={
                    "domains": {DOMAIN: [RSA, ED], HOST_NAME: "host", EAI: "host"},
                    "directory": str(folder / "keys"),
                    "subdomains": True,
                },
            )
        )
        yield Signed(found, content_filter, known, itertools.count(1))


def sent(
    lab: Signed, way: str, message: bytes = HEADER + b"\r\n" + BODY, mail_from: str = FROM, options: str = "",
    login: str = "alice", to: str = "",
) -> tuple[bytes, Mapping[str, Any]]:  # fmt: skip
    """A message as it arrives at the next hop, and our line in the log."""
    number = b"X-Number: %d.\r\n" % next(lab.numbers)
    with lab.ways.client(way, login) as client:
        reply = client.send(mail_from, [to or recipient(way)], number + message, options)
    assert reply.code == 250, reply
    hop = lab.filter if way.startswith("filter") else lab.ways.hops[way]
    arrived = hop.next(having=number)
    seen = "unseen" not in way and way != "filter-signed"
    return arrived, lab.ways.lab.serve.entry(reply.queue_id) if seen else {}


EIGHT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" + HEADER


@pytest.mark.parametrize(
    ("way", "message", "options"),
    [
        ("unconverted", EIGHT + b"\r\nGr\xc3\xbc\xc3\x9fe\r\n", " BODY=8BITMIME"),
        ("modern", EIGHT + b"\r\nGr\xc3\xbc\xc3\x9fe\r\n", " BODY=8BITMIME"),
        ("modern", HEADER.replace(b"hi", "Grüße".encode()) + b"\r\nx\r\n", " SMTPUTF8"),
        ("unbroken", HEADER + b"\r\n" + LONG, ""),
        ("plain", HEADER + b"\r\n" + b"x" * 998 + b"\r\n", ""),
        ("plain", HEADER + b"\r\n.\r\n..\r\n. .\r\n...dots\r\n\r\n.\r\n", ""),
        ("plain", HEADER + b"\r\n", ""),
        ("plain", HEADER, ""),
        ("plain", HEADER + b"\r\n\r\n\r\n \r\n\r\n", ""),
        ("checked", HEADER + b"X-Internal: 1\r\n\r\n" + BODY, ""),
        ("sent-internal", HEADER + b"X-Internal: 1\r\n\r\n" + BODY, ""),
        ("before", HEADER + b"\r\n" + BODY, ""),
        ("after-adding", HEADER + b"\r\n" + BODY, ""),
        ("local", f"From: {FROM}\r\n\r\nno Date, no Message-ID, no To\r\n".encode(), ""),
        ("completed", f"From: {FROM}\r\n\r\nno Date, no Message-ID, no To\r\n".encode(), ""),
        ("remote", f"From: {FROM}\r\n\r\nno Date, no Message-ID, no To\r\n".encode(), ""),
        ("local", b"Subject: no From\r\n\r\nx\r\n", ""),
        ("completed", b"Subject: no From\r\n\r\nx\r\n", ""),
        ("local", HEADER.replace(FROM.encode(), b"alice@mail").replace(b"next.example", b"next") + b"\r\nx\r\n", ""),
        ("masquerade", HEADER.replace(FROM.encode(), b"alice@pc.example.org") + b"\r\nx\r\n", ""),
    ],
)
def test_what_survives(lab: Signed, way: str, message: bytes, options: str) -> None:
    arrived, entry = sent(lab, way, message, options=options)
    assert entry["signed_by"] == [f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}"]
    assert all_pass(lab.keys, arrived)


BROKEN = {
    "8bit": ("plain", EIGHT + b"\r\nGr\xc3\xbc\xc3\x9fe\r\n", " BODY=8BITMIME"),
    "long": ("plain", HEADER + b"\r\n" + LONG, ""),
    "generic": ("generic", HEADER + b"\r\n" + BODY, ""),
    "smtp_header_checks": ("sent-checked", HEADER + b"\r\n" + BODY, ""),
    "smtp_body_checks": ("sent-body", HEADER + b"\r\n" + BODY, ""),
    "milter_behind": ("after", HEADER + b"\r\n" + BODY, ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_survive(lab: Signed, name: str) -> None:
    way, message, options = BROKEN[name]
    arrived, entry = sent(lab, way, message, options=options)
    assert entry["signed_by"]
    assert dkimpy_says(lab.keys, arrived) == [False, False]


def author(address: str) -> bytes:
    """The message with another address in From."""
    return HEADER.replace(FROM.encode(), address.encode()) + b"\r\n" + BODY


INSIDE = "alice@inside.example"


@pytest.mark.parametrize(
    ("way", "message", "mail_from", "options", "by"),
    [
        # the address that the milter sees in From is the one that recipients see; MAIL FROM is the one of the client
        ("canonical", author(INSIDE), FROM, "", DOMAIN),
        ("sender", author(INSIDE), FROM, "", DOMAIN),
        ("local", author("alice"), "alice", "", HOST_NAME),
        ("remote", author("alice"), FROM, "", DOMAIN),
        ("modern", author("alice@bücher.example"), "alice@bücher.example", " SMTPUTF8", EAI),
        ("modern", author("alice@bücher.example"), f"alice@{EAI}", " SMTPUTF8", EAI),
        ("plain", author(f"alice@{EAI}"), f"alice@{EAI}", "", EAI),
    ],
)
def test_the_domain_that_signs(lab: Signed, way: str, message: bytes, mail_from: str, options: str, by: str) -> None:
    arrived, entry = sent(lab, way, message, mail_from, options)
    assert {each.partition("/")[0] for each in entry["signed_by"]} == {by}
    assert all_pass(lab.keys, arrived)


@pytest.mark.parametrize(
    ("way", "message", "mail_from", "why"),
    [
        ("canonical", author(INSIDE), INSIDE, "envelope"),
        ("sender", author(INSIDE), INSIDE, "envelope"),
        ("plain", author("alice"), FROM, "author"),
        ("plain", HEADER + f"From: {FROM}\r\n\r\n".encode(), FROM, "author"),
        ("plain", author(f"{FROM}>, <eve@bank.example"), FROM, "author"),
        ("plain", author(f"{FROM}> <eve@bank.example"), FROM, "author"),
        ("plain", b"Subject: no From\r\n\r\n", FROM, "author"),
        # a field ends at NUL for milters, and for the next hop
        ("plain", HEADER.replace(b"Alice", b"Al\0ice") + b"\r\n", FROM, "author"),
        (
            "plain",
            HEADER + b"".join(b"X-%d: %b\r\n" % (number, b"y" * 990) for number in range(1000)) + b"\r\n",
            FROM,
            "limit",
        ),
    ],
)
def test_what_is_not_signed(lab: Signed, way: str, message: bytes, mail_from: str, why: str) -> None:
    arrived, entry = sent(lab, way, message, mail_from)
    assert entry["unsigned"] == why
    assert b"DKIM-Signature:" not in arrived


@pytest.mark.parametrize(
    "octets",
    [
        HEADER + b"\r\na\rb\r\n",
        HEADER + b"\r\na\nb\r\n",
        HEADER + b"\r\na\r\r\nb\r\n",
        HEADER + b"\r\na\r\n\r\r\n",
        HEADER.replace(b"hi", b"h\ri") + b"\r\nx\r\n",
        HEADER.replace(b"hi\r\n", b"hi\n") + b"\r\nx\r\n",
        HEADER + b"\r\na\0b\r\n",
        HEADER.replace(b"hi", b"h\0i") + b"\r\nx\r\n",
        HEADER + b"X-Unsigned: h\0i\r\n\r\nx\r\n",
        # one field of a megabyte, of which Postfix keeps the beginning (header_size_limit)
        HEADER.replace(b"hi", b"y" * 900 + b"\r\n " * 1000 + b"y") + b"\r\nx\r\n",
        HEADER.replace(b"hi", b"\r\n ".join([b"y" * 900] * 1100)) + b"\r\nx\r\n",
    ],
)
@pytest.mark.parametrize("way", ["plain", "stripped"])
def test_octets_that_no_message_should_have(lab: Signed, way: str, octets: bytes) -> None:
    """Whatever Postfix makes of them, it does before the milter sees the message."""
    number = b"X-Number: %d.\r\n" % next(lab.numbers)
    with RawSmtp("127.0.0.1", lab.ways.ports[way]) as client:
        client.command("EHLO x.example")
        client.become(CLIENT, "x.example", "alice")
        client.command("EHLO x.example")
        client.envelope(FROM, recipient=recipient(way).encode())
        [reply] = client.content(number + octets + b".\r\n")
    assert lab.ways.lab.serve.entry(reply.queue_id)["signed_by"]
    assert all_pass(lab.keys, lab.ways.hops[way].next(having=number))


def test_200_recipients_and_copies(lab: Signed) -> None:
    """Signed once; each of the transactions has the same message."""
    number = b"X-Number: %d.\r\n" % next(lab.numbers)
    everybody = [f"b{count}@copied.next.example" for count in range(199)] + [recipient("copied")]
    with lab.ways.client("copied") as client:
        reply = client.send(FROM, everybody, number + HEADER + b"\r\n" + BODY)
    # 50 recipients in each transaction, and 2 copies in one of their own
    arrived = [lab.ways.plain.next(having=number) for _ in range(5)]
    assert all(all_pass(lab.keys, each) and each.count(b"DKIM-Signature:") == 2 for each in arrived)
    assert lab.ways.lab.serve.entry(reply.queue_id)["signed_by"] == [f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}"]


@pytest.mark.parametrize("to", ["alias@local.example", "nobody@local.example"])
def test_what_local_forwards_is_signed_once(lab: Signed, to: str) -> None:
    """By an alias, and by a .forward file."""
    number = b"X-Number: %d.\r\n" % next(lab.numbers)
    with lab.ways.client("plain") as client:
        reply = client.send(FROM, [to], number + HEADER + b"\r\n" + BODY)
    arrived = lab.ways.plain.next(having=number)
    assert b"\r\nDelivered-To:" in b"\r\n" + arrived
    assert arrived.count(b"DKIM-Signature:") == 2
    assert all_pass(lab.keys, arrived)
    assert lab.ways.lab.serve.entry(reply.queue_id)["signed_by"]


def test_bounces_and_notices_are_signed(lab: Signed) -> None:
    """Postfix writes both, in 8 bits. The notice to the postmaster has the reverse-path double-bounce."""
    with lab.ways.client("plain") as client:
        assert client.send(recipient("modern"), ["nosuch@local.example"], HEADER + b"\r\n" + BODY).code == 250
    for subject in (b"Subject: Undelivered Mail Returned to Sender\r\n", b"Subject: Postmaster Copy"):
        arrived = lab.ways.modern.next(having=subject)
        header = arrived.partition(b"\r\n\r\n")[0]
        assert header.count(b"DKIM-Signature:") == 1
        assert dkimpy_says(lab.keys, arrived)[:1] == [True]


def test_a_bounce_does_not_survive_a_host_without_8bitmime(lab: Signed) -> None:
    number = b"X-Number: %d.\r\n" % next(lab.numbers)
    with lab.ways.client("plain") as client:
        assert client.send(recipient("plain"), ["nosuch@local.example"], number + HEADER + b"\r\n" + BODY).code == 250
    arrived = lab.ways.plain.next(having=number)
    assert arrived.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:") == 1
    assert dkimpy_says(lab.keys, arrived)[:1] == [False]


def test_of_sendmail_the_milter_sees_the_address_that_was_replaced(lab: Signed) -> None:
    """In MAIL FROM too, other than by SMTP."""
    number = b"X-Number: %d.\r\n" % next(lab.numbers)
    subprocess.run(
        ["/usr/sbin/sendmail", "-C", str(lab.ways.lab.postfix.folder / "etc"), "-f", "carol@inside.example",
         recipient("plain")],
        input=(number + author("carol@inside.example")).replace(b"\r\n", b"\n"),
        check=True,
    )  # fmt: skip
    assert all_pass(lab.keys, lab.ways.plain.next(having=number))


def test_a_probe_of_an_address_is_not_signed_and_does_no_harm(lab: Signed) -> None:
    before = len(lab.ways.lab.serve.entries())
    arrived, _ = sent(lab, "verified")
    assert any(b"double-bounce@" in each for each in lab.ways.plain.senders)
    assert all_pass(lab.keys, arrived)
    # the message itself
    assert len(lab.ways.lab.serve.entries()) - before == 1


@pytest.mark.parametrize(("back", "unsigned"), [("back", "signed"), ("back-unseen", None)])
def test_after_a_content_filter_there_is_one_signature_of_each_key(
    lab: Signed, back: str, unsigned: str | None
) -> None:
    """Signed before the filter; after it with milters, and without."""
    in_filter, entry = sent(lab, "filtered")
    assert entry["signed_by"]
    arrived, entry = sent(lab, back, b"X-Filtered: yes\r\n" + in_filter, login="")
    assert entry.get("unsigned") == unsigned
    assert arrived.count(b"DKIM-Signature:") == 2
    assert all_pass(lab.keys, arrived)


def test_what_a_content_filter_changes_is_signed_anew(lab: Signed) -> None:
    in_filter, _ = sent(lab, "filtered")
    arrived, entry = sent(lab, "back", in_filter + b"-- \r\nfooter\r\n", login="")
    assert entry["signed_by"] == [f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}"]
    assert dkimpy_says(lab.keys, arrived) == [True, True, False, False]
    arrived, _ = sent(lab, "back-unseen", in_filter + b"-- \r\nfooter\r\n", login="")
    assert dkimpy_says(lab.keys, arrived) == [False, False]


def test_signed_after_the_content_filter(lab: Signed) -> None:
    in_filter, _ = sent(lab, "filter-signed")
    assert b"DKIM-Signature:" not in in_filter
    arrived, entry = sent(lab, "back", in_filter + b"-- \r\nfooter\r\n", login="")
    assert entry["signed_by"] == [f"{DOMAIN}/{RSA}", f"{DOMAIN}/{ED}"]
    assert all_pass(lab.keys, arrived)


def test_a_list_with_our_socket_twice_signs_once(lab: Signed) -> None:
    arrived, _ = sent(lab, "twice")
    assert arrived.count(b"DKIM-Signature:") == 2
    assert all_pass(lab.keys, arrived)


def test_without_milters_nothing_is_signed(lab: Signed) -> None:
    arrived, _ = sent(lab, "unseen")
    assert b"DKIM-Signature:" not in arrived


def test_milter_header_checks_see_our_signatures(lab: Signed) -> None:
    """IGNORE takes them away."""
    arrived, entry = sent(lab, "milter-checked")
    assert entry["signed_by"]
    assert b"DKIM-Signature:" not in arrived


@pytest.mark.parametrize("mail_from", [f"dmarc+abcdefghijklmnopqrstuvwxyz@{DOMAIN}", f"dmarc@{DOMAIN}", ""])
def test_what_reports_hand_over_is_signed(lab: Signed, mail_from: str) -> None:
    """By SMTP from this host, without a login, with the reverse-path of a report, and with none."""
    number = b"X-Number: %d.\r\n" % next(lab.numbers)
    report = number + HEADER.replace(FROM.encode(), f"dmarc@{DOMAIN}".encode()) + b"\r\n" + BODY
    with Handover("127.0.0.1", lab.ways.ports["plain"], HOST_NAME) as handover:
        assert handover.give(mail_from, recipient("plain"), report).outcome is Outcome.SENT
    assert all_pass(lab.keys, lab.ways.plain.next(having=number))
