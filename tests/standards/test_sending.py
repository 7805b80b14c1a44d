"""RFC 9990: how reports are delivered."""

import pytest

from mailassay.store import outbox
from mailassay.store.outbox import Stage, State
from tests.lab.outgoing import Outgoing, mail
from tests.lab.refusing import Refusing


@pytest.fixture
def server():
    with Refusing() as found:
        yield found


@pytest.fixture
def host(tmp_path, server):
    found = Outgoing(tmp_path, server.port)
    yield found
    found.close()


def test_rfc9990_3_5_every_uri_is_tried(host, server):
    """Each address gets a mail of its own; one that refuses takes nothing from the others."""
    host.seen("bank.example", rua="mailto:0,mailto:a@bank.example,mailto:b@bank.example,mailto:c@bank.example")
    server.answer = lambda command, now: b"550 5.1.1 no" if command == "RCPT" and now.recipients[0][0] == "b" else None
    host.past_midnight()
    host.all()
    assert sorted(each.recipients[0] for each in server.taken) == ["a@bank.example", "c@bank.example"]
    assert host.deliveries("bank.example")["b@bank.example"].stage is Stage.FAILED


def test_rfc9990_3_5_what_cannot_be_delivered_is_tried_again_and_discarded(host, server):
    """Until Postfix takes it; three days after the end of its day it is given up."""
    host.seen("bank.example")
    server.answer = lambda command, _: b"450 4.2.0 not now" if command == "RCPT" else None
    host.past_midnight()
    host.all()
    host.all()
    assert host.deliveries("bank.example")["d@bank.example"].attempts > 1
    host.past_midnight(4)
    host.run()
    found = host.deliveries("bank.example")["d@bank.example"]
    assert (found.stage, found.reply) == (Stage.FAILED, "given up: 450 4.2.0 not now")
    with host.engine.begin() as connection:
        assert outbox.suppressions(connection, host.now) == []


def test_rfc9990_3_5_2_no_report_is_sent_that_would_not_pass_dmarc(host, server):
    """It is not even made, until DNS says that mail from our address passes, aligned."""
    host.refused = "receiver.example has no DMARC record"
    host.seen("bank.example")
    host.past_midnight()
    host.all()
    assert (host.reports()["bank.example"].state, server.transactions) == (State.PENDING, [])


def test_rfc9990_3_5_2_a_report_that_is_sent_again_is_the_same(host, server):
    """If it is not known whether Postfix took it, the same octets are handed over again, with the same file name."""
    host.seen("bank.example")
    server.answer = lambda command, _: b"" if command == "." else None
    host.past_midnight()
    host.all()
    host.seen("bank.example", 5)
    server.answer = lambda *_: None
    host.all()
    first, *_, last = server.transactions
    assert (first.taken, last.taken) == (False, True)
    assert (first.data, first.return_path) == (last.data, last.return_path)
    [attachment] = mail(last.data).iter_attachments()
    assert attachment.get_filename().endswith(".xml.gz")


def test_rfc9990_3_5_4_duplicates_have_the_same_identifiers(host, server):
    """One report for a policy domain and a day: what comes late is in none."""
    host.seen("bank.example")
    host.past_midnight()
    host.all()
    host.now -= 86_400
    host.seen("bank.example")
    host.past_midnight()
    host.all()
    assert len({mail(each.data)["Message-ID"] for each in server.taken}) == len(server.taken) == 1
