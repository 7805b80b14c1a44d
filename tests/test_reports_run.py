"""Runs of `mailassay reports send`: real databases, DNS as data, SMTP over sockets."""

import gzip
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from mailassay import return_path
from mailassay.feedback.run import LONGEST
from mailassay.store import observed, outbox
from mailassay.store.outbox import Busy, Stage, State
from tests.lab.outgoing import DATABASES, DAY, NOON, SENDER, Outgoing, host_on, mail
from tests.lab.refusing import Refusing


@pytest.fixture
def server():
    with Refusing() as found:
        yield found


@pytest.fixture(params=DATABASES)
def host(request, tmp_path, server):
    with host_on(request, Outgoing, tmp_path, server.port) as found:
        yield found


@pytest.fixture
def sqlite(tmp_path, server):
    found = Outgoing(tmp_path, server.port)
    yield found
    found.close()


def test_a_day(host, server):
    host.seen("bank.example", 3)
    host.seen("shop.example", rua="mailto:a@shop.example,mailto:b@shop.example!10m")
    done = host.run()
    assert (done.pending, done.composed.composed, done.sent.sent) == (0, 0, 0)
    host.past_midnight()
    first, *more = host.all()
    assert (first.pending, first.composed.composed) == (2, 2)
    assert sum(each.sent.sent for each in [first, *more]) == 3
    assert {each.recipients[0] for each in server.taken} == {"d@bank.example", "a@shop.example", "b@shop.example"}
    assert {name: each.state for name, each in host.reports().items()} == {
        "bank.example": State.DONE,
        "shop.example": State.DONE,
    }
    [found] = [each for each in server.taken if each.recipients == ["d@bank.example"]]
    assert return_path.token(found.return_path, SENDER)
    letter = mail(found.data)
    assert (letter["From"], letter["To"]) == (SENDER, "d@bank.example")
    assert letter["Subject"].startswith("Report Domain: bank.example Submitter: ")
    [attachment] = letter.iter_attachments()
    xml = gzip.decompress(attachment.get_content())
    assert b"<count>3</count>" in xml
    assert f"<begin>{int(NOON) // DAY * DAY}</begin>".encode() in xml
    # nothing is left, and nothing is done twice
    with host.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM observed")).scalar() == 0
    assert sum(each.sent.sent + each.composed.composed for each in host.all()) == 0


def test_each_address_gets_the_same_octets_and_a_return_path_of_its_own(host, server):
    host.seen("shop.example", rua="mailto:a@shop.example,mailto:b@shop.example")
    host.past_midnight()
    host.all()
    first, second = server.taken
    assert first.data.partition(b"\r\n")[2] == second.data.partition(b"\r\n")[2]
    assert first.return_path != second.return_path


@pytest.mark.parametrize("delimiter", [None, ""])
def test_without_a_delimiter_the_return_path_is_plain(sqlite, server, delimiter):
    sqlite.delimiter = delimiter
    sqlite.seen("bank.example")
    sqlite.past_midnight()
    sqlite.all()
    assert [each.return_path for each in server.taken] == [SENDER]


def test_first_attempts_are_spread(sqlite):
    for number in range(60):
        sqlite.seen(f"d{number}.example")
    sqlite.past_midnight()
    sent = [each.sent.sent for each in sqlite.all()]
    assert sum(sent) == 60
    assert sent[0] == 0
    assert all(5 <= each <= 35 for each in sent[1:])


def test_the_server_is_down_and_comes_back(host, server):
    """The same octets, once. What is known of the failure is shown."""
    host.seen("bank.example")
    host.past_midnight()
    server.answer = lambda command, _: b"421 4.3.2 down" if command == "CONNECT" else None
    assert any(each.sent.trouble for each in host.all())
    found = host.deliveries("bank.example")["d@bank.example"]
    assert (found.stage, found.reply) == (Stage.WAITING, "421 4.3.2 down")
    server.answer = lambda *_: None
    assert [each.sent.sent for each in host.all()] == [1, 0, 0, 0]
    assert len(server.taken) == 1


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("MAIL", b"452 4.3.1 Insufficient system storage"),
        ("MAIL", b"553 5.7.1 sender refused"),
        ("EHLO", b"554 5.7.1 no"),
        ("RCPT", b"554 5.7.1 Relay access denied"),
        (".", b"451 4.3.0 try again later"),
        (".", b""),
        (".", b"nonsense"),
    ],
)
def test_a_server_that_takes_nothing_costs_nothing(sqlite, server, command, reply):
    """No report is lost, and no address suppressed; a run that gets nowhere ends."""
    for number in range(50):
        sqlite.seen(f"d{number}.example")
    sqlite.past_midnight()
    sqlite.now += 4 * 3600
    sqlite.run()
    server.answer = lambda said, _: reply if said == command else None
    sqlite.now += 4 * 3600
    done = sqlite.run()
    assert done.sent.sent == done.sent.failed == 0
    assert done.sent.trouble
    assert done.sent.later <= 20
    with sqlite.engine.begin() as connection:
        assert outbox.suppressions(connection, sqlite.now) == []
    server.answer = lambda *_: None
    server.transactions.clear()
    sqlite.now += 3600
    assert sqlite.run().sent.sent == 50
    assert len({each.recipients[0] for each in server.taken}) == 50


def test_a_server_that_goes_away_in_the_middle(host, server):
    for number in range(10):
        host.seen(f"d{number}.example")
    host.past_midnight()
    host.run()
    host.now += 4 * 3600
    server.answer = lambda command, _: b"" if command == "MAIL" and len(server.taken) == 4 else None
    done = host.run()
    assert (done.sent.sent, bool(done.sent.trouble)) == (4, True)
    server.answer = lambda *_: None
    host.now += 3600
    assert host.run().sent.sent == 6
    assert len({each.recipients[0] for each in server.taken}) == len(server.taken) == 10


@pytest.mark.parametrize(
    ("reply", "is_suppressed"), [(b"550 5.1.1 no such user", True), (b"556 5.1.10 no mail", True), (b"", False)]
)
def test_an_address_that_is_refused(host, server, reply, is_suppressed):
    """The other address of the report, and the other report, go out; an unreachable one gets none for a week."""
    host.seen("bank.example", rua="mailto:dead@bank.example,mailto:d@bank.example")
    host.seen("shop.example")
    server.answer = lambda command, now: reply if command == "RCPT" and "dead@" in now.recipients[0] else None
    host.past_midnight()
    host.all()
    assert {each.recipients[0] for each in server.taken} == {"d@bank.example", "d@shop.example"}
    with host.engine.begin() as connection:
        found = outbox.suppressions(connection, host.now)
    assert [each.address for each in found] == (["dead@bank.example"] if is_suppressed else [])
    if not is_suppressed:
        return
    assert host.deliveries("bank.example")["dead@bank.example"].stage is Stage.FAILED
    server.transactions.clear()
    host.seen("bank.example", rua="mailto:dead@bank.example")
    host.past_midnight()
    host.all()
    assert host.became("bank.example") == (State.DROPPED, "suppressed")
    assert server.transactions == []


def test_an_address_that_is_suppressed_after_its_report_was_made(host, server):
    host.seen("bank.example")
    host.past_midnight()
    host.run()
    with host.engine.begin() as connection:
        outbox.suppress(connection, "D@bank.example", None, "asked by mail")
    host.now += 4 * 3600
    assert host.run().sent.suppressed == 1
    found = host.deliveries("bank.example")["d@bank.example"]
    assert (found.stage, found.reply, found.attempts) == (Stage.SUPPRESSED, "asked by mail", 0)
    assert host.reports()["bank.example"].state is State.DONE
    assert server.transactions == []


def test_a_record_that_is_gone(host, server):
    host.seen("bank.example")
    host.seen("shop.example")
    del host.names["_dmarc.bank.example"]
    host.past_midnight()
    host.all()
    assert host.became("bank.example") == (State.DROPPED, "no_record")
    assert [each.recipients for each in server.taken] == [["d@shop.example"]]
    with host.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM observed")).scalar() == 0


def test_a_record_that_asks_for_none_any_more(sqlite, server):
    sqlite.seen("bank.example")
    sqlite.names["_dmarc.bank.example"] = '"v=DMARC1; p=reject"'
    sqlite.past_midnight()
    sqlite.all()
    assert sqlite.became("bank.example") == (State.DROPPED, "no_tag")
    assert server.transactions == []


def test_the_address_is_that_of_the_record_as_it_is_now(sqlite, server):
    sqlite.seen("bank.example")
    sqlite.names["_dmarc.bank.example"] = '"v=DMARC1; p=reject; rua=mailto:new@bank.example"'
    sqlite.past_midnight()
    sqlite.all()
    assert [each.recipients for each in server.taken] == [["new@bank.example"]]


def test_dns_has_no_answer_for_a_while(host, server):
    host.seen("bank.example")
    host.seen("shop.example")
    published, host.names["_dmarc.bank.example"] = host.names["_dmarc.bank.example"], "?"
    host.past_midnight()
    host.all()
    found = host.reports()["bank.example"]
    assert (found.state, found.why.partition(";")[0]) == (State.PENDING, "no_answer")
    assert [each.recipients for each in server.taken] == [["d@shop.example"]]
    host.names["_dmarc.bank.example"] = published
    host.all()
    assert [each.recipients for each in server.taken] == [["d@shop.example"], ["d@bank.example"]]


def test_an_outside_address_whose_consent_dns_does_not_tell_is_waited_for(sqlite, server):
    sqlite.seen("bank.example", rua="mailto:a@bank.example,mailto:b@outside.example")
    sqlite.names["bank.example._report._dmarc.outside.example"] = "?"
    sqlite.past_midnight()
    sqlite.all()
    assert server.transactions == []
    # two days after the end of the day, the others get it
    sqlite.past_midnight(2)
    sqlite.all()
    assert [each.recipients for each in server.taken] == [["a@bank.example"]]


@pytest.mark.parametrize("consents", [True, False])
def test_an_outside_address(sqlite, server, consents):
    sqlite.seen("bank.example", rua="mailto:b@outside.example")
    if consents:
        sqlite.names["bank.example._report._dmarc.outside.example"] = '"v=DMARC1"'
    sqlite.past_midnight()
    sqlite.all()
    assert [each.recipients for each in server.taken] == ([["b@outside.example"]] if consents else [])
    assert sqlite.reports()["bank.example"].why.partition(";")[0] == ("" if consents else "unauthorized")


@pytest.mark.parametrize(
    "rua", ["mailto:0", "http://bank.example/", f"mailto:{SENDER}", "mailto:dmarc-reports+x@receiver.example"]
)
def test_nobody_to_send_it_to(sqlite, server, rua):
    sqlite.seen("bank.example", rua=rua)
    sqlite.seen("shop.example")
    sqlite.past_midnight()
    sqlite.all()
    assert sqlite.reports()["bank.example"].state is State.DROPPED
    assert [each.recipients for each in server.taken] == [["d@shop.example"]]


def test_a_report_that_cannot_be_made_stops_no_other(host, server, caplog):
    """It stays pending, and expires."""
    host.seen("bank.example")
    host.seen("shop.example")
    with host.engine.begin() as connection:
        connection.execute(text("UPDATE observed SET row = '[7]' WHERE domain = 'bank.example'"))
    host.past_midnight()
    assert [each.composed.postponed for each in host.all()] == [1, 1, 1, 1]
    assert [each.recipients for each in server.taken] == [["d@shop.example"]]
    assert "bank.example" in caplog.text
    host.past_midnight(4)
    assert host.run().given_up == 1
    found = host.reports()["bank.example"]
    assert (found.state, found.why.partition(":")[0]) == (State.DROPPED, "expired")


def test_while_our_own_mail_would_not_pass_dmarc_nothing_is_made_or_sent(host, server):
    """Days are closed. What was made before waits, and goes out when it may, for three days."""
    host.seen("bank.example")
    host.past_midnight()
    host.run()
    host.seen("shop.example")
    host.past_midnight()
    host.refused = "no SPF"
    for done in host.all():
        assert (done.refused, done.composed.composed, done.sent.sent) == ("no SPF", 0, 0)
    assert server.transactions == []
    assert {each.domain: each.state for each in host.reports().values()} == {
        "bank.example": State.COMPOSED,
        "shop.example": State.PENDING,
    }
    host.refused = ""
    host.all()
    assert {each.recipients[0] for each in server.taken} == {"d@bank.example", "d@shop.example"}


def test_what_is_too_old_is_given_up(host, server):
    host.seen("bank.example")
    host.past_midnight()
    host.run()
    host.seen("shop.example")
    host.past_midnight()
    host.refused = "no SPF"
    host.run()
    host.past_midnight(4)
    assert host.run().given_up == 2
    host.refused = ""
    host.all()
    assert server.transactions == []
    assert host.deliveries("bank.example")["d@bank.example"].stage is Stage.FAILED
    assert host.became("shop.example") == (State.DROPPED, "expired")


def test_two_runs_at_once(host):
    host.seen("bank.example")
    host.past_midnight()
    with outbox.alone(host.engine, Path(host.settings.history.directory)):
        with pytest.raises(Busy):
            host.run()
        assert host.reports()["bank.example"].state is State.OPEN
    assert host.run().composed.composed == 1


@pytest.mark.xdist_group("postgresql")
def test_two_hosts_with_one_database(postgresql, tmp_path, server):
    """One report for both, once, whoever sends it; its submitter is no host."""
    name = postgresql.new()
    hosts = [Outgoing(tmp_path / each, server.port, postgresql.url(name), f"{each}.receiver.example") for each in "ab"]
    try:
        for number in range(30):
            for each in hosts:
                each.seen(f"d{number}.example", number + 1)
        for each in hosts:
            each.past_midnight()
            each.now += 4 * 3600
        results = []

        def run(each):
            for _ in range(4):
                try:
                    results.append(each.run())
                except Busy as error:
                    results.append(error)
                each.now += 3600

        threads = [threading.Thread(target=run, args=[each]) for each in hosts]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        for each in hosts:
            each.all()
        assert len(results) == 8
        assert sorted(each.recipients[0] for each in server.taken) == sorted(f"d@d{n}.example" for n in range(30))
        letter = mail(server.taken[0].data)
        assert " Submitter: receiver.example " in letter["Subject"]
        [attachment] = letter.iter_attachments()
        number = int(server.taken[0].recipients[0].partition(".")[0].removeprefix("d@d"))
        assert f"<count>{2 * (number + 1)}</count>".encode() in gzip.decompress(attachment.get_content())
    finally:
        for each in hosts:
            each.close()
        postgresql.drop(name)


def test_a_run_ends_in_time_and_the_next_goes_on(sqlite, server):
    for number in range(10):
        sqlite.seen(f"d{number}.example")
    sqlite.past_midnight()
    sqlite.run()
    sqlite.now += 4 * 3600
    server.answer = lambda command, _: (
        setattr(sqlite, "uptime", sqlite.uptime + LONGEST / 3) if command == "." else None
    )
    assert sqlite.run().sent.sent == 4
    server.answer = lambda *_: None
    assert sqlite.run().sent.sent == 6


def test_domains_without_an_answer_hold_up_nobody(sqlite, monkeypatch):
    """Making mails ends in time for those that wait to go out, and who had no answer comes last in the next run."""
    for number in range(4):
        sqlite.seen(f"d{number}.example")
    sqlite.past_midnight()
    asked, find = [], sqlite.find

    def slow(domains):
        for one, found in find(domains):
            asked.append(one)
            sqlite.uptime += LONGEST / 3
            sqlite.now += LONGEST / 3
            yield one, replace(found, addresses=(), undecided=True)

    monkeypatch.setattr(sqlite, "find", slow)
    assert sqlite.run().composed.postponed == 1
    assert len(asked) == 2
    monkeypatch.setattr(sqlite, "find", find)
    with sqlite.engine.begin() as connection:
        assert observed.pending(connection)[-1].domain == asked[0]
    assert sqlite.run().composed.composed == 4


def test_a_run_that_is_stopped(sqlite, server):
    for number in range(10):
        sqlite.seen(f"d{number}.example")
    sqlite.past_midnight()
    sqlite.run()
    sqlite.now += 4 * 3600
    assert sqlite.run(stopped=lambda: len(server.taken) >= 3).sent.sent == 3
    assert sqlite.run().sent.sent == 7
    assert len(server.taken) == 10


def test_a_pace(sqlite):
    sqlite.settings = replace(sqlite.settings, reports=replace(sqlite.settings.reports, per_minute=60))
    for number in range(10):
        sqlite.seen(f"d{number}.example")
    sqlite.past_midnight()
    sqlite.run()
    sqlite.now += 4 * 3600
    before = sqlite.uptime
    assert sqlite.run().sent.sent == 10
    assert sqlite.uptime - before == 9


def test_a_clock_that_jumps_back_over_midnight(host, server):
    """The day is closed: it is reported once, and what comes for it is late."""
    host.seen("bank.example")
    host.past_midnight()
    host.run()
    host.now -= 3600
    host.seen("bank.example")
    host.past_midnight()
    host.all()
    assert [each.recipients for each in server.taken] == [["d@bank.example"]]
