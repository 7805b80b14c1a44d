"""Failure reports on their way: real databases, DNS as data, SMTP over sockets."""

import email
import re
from dataclasses import replace

import pytest
from sqlalchemy import text

from mailassay import return_path
from mailassay.domain import Domain
from mailassay.failure.redaction import Redactor
from mailassay.feedback import destinations
from mailassay.feedback.destinations import Ours, Tag, Wanted
from mailassay.feedback.failing import Failing
from mailassay.feedback.spf_records import spf_records
from mailassay.store import incidents, outbox
from mailassay.store.incidents import KIND, Most
from mailassay.store.outbox import Stage, State
from mailassay.store.tables import hourly
from mailassay.zone import Zone
from tests.lab.failing import BROKEN, NOW, SENDER, found
from tests.lab.limits import LIMITS
from tests.lab.outgoing import DATABASES, Outgoing, host_on, mail
from tests.lab.refusing import Refusing

KEY = Redactor(b"k" * 32)
HOUR = int(NOW) // 3600
AFTER = (HOUR + 1) * 3600 + 600.0  # the next hour, when everything has arrived


class Sending(Outgoing):
    """A host that sends failure reports about the domains in ``names``."""

    def __init__(self, *given):
        super().__init__(*given)
        self.now = AFTER
        self.failing = Failing(self._find, self._records, Most(10, 60), self.host)
        self.names = {
            "bank.example": '"v=spf1 ip4:192.0.2.1 -all"',
            "_dmarc.bank.example": '"v=DMARC1; p=reject; ruf=mailto:fail@bank.example"',
        }

    @property
    def zone(self):
        return Zone("\n".join(f"{name} TXT {value}" for name, value in self.names.items()), limits=LIMITS)

    def _find(self, domains):
        wanted = [Wanted(Domain(each), Tag.RUF) for each in domains]
        for one, to in destinations.of_each(wanted, self.zone, Ours(SENDER, "+"), LIMITS, 60.0):
            yield one.domain, to

    def _records(self, domains):
        return spf_records(domains, self.zone, 60.0)

    def failed(self, *incident):
        """Messages that failed, as the collector keeps them. Returns how many are left out."""
        with self.engine.begin() as connection:
            return incidents.add(connection, incident, KEY.incident, Most(1000, 1000), self.now)

    def listed(self):
        with self.engine.begin() as connection:
            return [each for each in outbox.reports(connection, 0) if each.kind == KIND]

    def left_out(self):
        with self.engine.begin() as connection:
            rows = connection.execute(hourly.select().where(hourly.c.kind == "failure")).all()
        return sum(each._mapping["count"] for each in rows)

    def left(self):
        with self.engine.begin() as connection:
            return connection.execute(text("SELECT count(*) FROM incident")).scalar()


@pytest.fixture
def server():
    with Refusing() as found:
        yield found


@pytest.fixture(params=DATABASES)
def host(request, tmp_path, server):
    with host_on(request, Sending, tmp_path, server.port) as found:
        yield found


@pytest.fixture
def sqlite(tmp_path, server):
    sending = Sending(tmp_path, server.port)
    yield sending
    sending.close()


def networks(many, **changes):
    """Incidents that differ in the network of the client."""
    return [replace(found(), client=f"10.0.{n}.1", **changes) for n in range(many)]


def test_an_hour(host, server):
    broken = replace(found(message=BROKEN), count=3)
    host.failed(broken, broken, found())
    done = host.run()
    assert (done.failures.composed, done.sent.sent) == (2, 2)
    assert [each.recipients for each in server.taken] == [["fail@bank.example"]] * 2
    assert all(return_path.token(each.return_path, SENDER) for each in server.taken)
    letters = [mail(each.data) for each in server.taken]
    assert {each["To"] for each in letters} == {"fail@bank.example"}
    [letter] = [each for each in letters if b"Incidents: 6" in each.as_bytes()]
    [fields] = letter.get_payload(1).get_payload()
    assert fields["SPF-DNS"] == 'txt : bank.example : "v=spf1 ip4:192.0.2.1 -all"'
    assert (fields["Auth-Failure"], fields["DKIM-Selector"]) == ("dmarc", "ed")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert {each.state for each in host.listed()} == {State.DONE}
    assert {each.messages for each in host.listed()} == {6, 1}
    # nothing is left, and nothing is done twice
    assert host.left() == 0
    assert sum(each.sent.sent + each.failures.composed for each in host.all()) == 0


def test_an_hour_that_is_not_over(sqlite, server):
    sqlite.now = NOW + 60
    sqlite.failed(found())
    for now in (NOW + 60, (HOUR + 1) * 3600.0, (HOUR + 1) * 3600 + 299.0):
        sqlite.now = now
        assert sqlite.run().failures.composed == 0
    sqlite.now += 1
    assert sqlite.run().failures.composed == 1
    assert len(server.taken) == 1


def test_messages_that_come_after_the_report_of_their_hour(sqlite, server):
    sqlite.failed(found())
    sqlite.run()
    sqlite.failed(replace(found(), count=5))
    assert sqlite.run().failures.composed == 0
    assert (sqlite.left(), sqlite.left_out(), len(server.taken)) == (0, 5, 1)


def test_at_most_so_many_of_a_domain_and_in_all(tmp_path, server):
    """The rest is counted, also if it comes in another run of the same hour; the next hour has room again."""
    sending = Sending(tmp_path, server.port)
    sending.failing = replace(sending.failing, most=Most(4, 6))
    for domain in ("shop.example", "park.example"):
        sending.names[f"_dmarc.{domain}"] = f'"v=DMARC1; p=none; ruf=mailto:f@{domain}"'
    try:
        sending.failed(*networks(7))
        assert sending.run().failures.composed == 4
        assert (sending.left(), sending.left_out()) == (0, 3)
        sending.failed(*networks(2, domain="shop.example"), *networks(2, domain="park.example"))
        assert sending.run().failures.composed == 2
        assert (sending.left(), sending.left_out()) == (0, 5)
        assert len(server.taken) == 6
        sending.now += 3600
        sending.failed(*networks(5, time=NOW + 3600))
        assert sending.run().failures.composed == 4
        assert len(server.taken) == 10
    finally:
        sending.close()


def test_each_uri_is_tried(sqlite, server):
    """RFC 9991 section 2. An external one only if its host agrees (section 5)."""
    uris = "mailto:a@bank.example,mailto:b@bank.example!10m,mailto:c@yes.example,mailto:d@no.example,https://x.example/"
    sqlite.names["_dmarc.bank.example"] = f'"v=DMARC1; p=none; ruf={uris}"'
    sqlite.names["bank.example._report._dmarc.yes.example"] = '"v=DMARC1"'
    sqlite.failed(found())
    sqlite.run()
    assert sorted(each.recipients[0] for each in server.taken) == ["a@bank.example", "b@bank.example", "c@yes.example"]
    bodies = {each.data.partition(b"From:")[2] for each in server.taken}
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ('"v=DMARC1; p=none; rua=mailto:fail@bank.example"', "no_tag"),
        ('"v=DMARC1; p=none; psd=y; ruf=mailto:fail@bank.example"', "psd"),
        ('"v=spf1 -all"', "no_record"),
        (f'"v=DMARC1; p=none; ruf=mailto:{SENDER}"', "ours"),
        ('"v=DMARC1; p=none; ruf=mailto:f@no.example"', "unauthorized"),
    ],
)
def test_what_dns_says_now_counts(sqlite, server, record, why):
    sqlite.names["_dmarc.bank.example"] = record
    sqlite.failed(found())
    assert sqlite.run().failures.dropped == 1
    [listed] = sqlite.listed()
    assert (listed.state, outbox.cause(listed.why)) == (State.DROPPED, why)
    assert (sqlite.left(), server.taken) == (0, [])


@pytest.mark.parametrize("name", ["_dmarc.bank.example", "bank.example"])
def test_dns_that_gives_no_answer(sqlite, server, name):
    """The report waits for a while, and then goes out without the record, or nowhere."""
    value = sqlite.names[name]
    sqlite.names[name] = "?"
    sqlite.failed(found(), *networks(1))
    assert sqlite.run().failures.postponed == 2
    assert sqlite.left() == 2
    sqlite.names[name] = value
    sqlite.now += 3600
    assert sqlite.run().failures.composed == 2
    sqlite.names[name] = "?"
    sqlite.failed(replace(found(), time=sqlite.now - 3600))
    sqlite.now += 6 * 3600
    done = sqlite.run().failures
    assert (done.composed, done.dropped) == ((0, 1) if "dmarc" in name else (1, 0))
    assert sqlite.left() == 0
    if "dmarc" not in name:
        assert b'SPF-DNS: txt : bank.example : ""' in server.taken[-1].data


def test_suppressed_addresses_get_none(sqlite, server):
    with sqlite.engine.begin() as connection:
        outbox.suppress(connection, "fail@bank.example", None, "by hand")
    sqlite.failed(found())
    assert sqlite.run().failures.dropped == 1
    assert [each.why for each in sqlite.listed()] == ["suppressed"]
    assert server.taken == []


def test_a_bounce_suppresses_the_address(sqlite, server):
    sqlite.failed(found())
    sqlite.run()
    token = return_path.token(server.taken[0].return_path, SENDER)
    with sqlite.engine.begin() as connection:
        assert outbox.returned(connection, [token], sqlite.now) == 1
    sqlite.now += 3600
    sqlite.failed(replace(found(), time=NOW + 3600))
    assert sqlite.run().failures.dropped == 1
    assert len(server.taken) == 1
    numbers = [each.id for each in sqlite.listed()]
    with sqlite.engine.begin() as connection:
        stages = [one.stage for each in outbox.deliveries(connection, numbers).values() for one in each]
    assert stages == [Stage.RETURNED]


def test_nothing_is_sent_while_our_own_mail_would_not_pass(sqlite, server):
    """RFC 9991 section 5.1."""
    sqlite.refused = "no SPF record"
    sqlite.failed(found())
    sqlite.run()
    assert (sqlite.left(), sqlite.listed(), server.taken) == (1, [], [])


def test_one_that_cannot_be_made_holds_up_no_other(sqlite, server, caplog):
    sqlite.failed(found(), *networks(1))
    with sqlite.engine.begin() as connection:
        connection.execute(text("UPDATE incident SET first = '{}' WHERE first LIKE '%10.0.0.1%'"))
    assert sqlite.run().failures.composed == 1
    assert sqlite.left() == 1
    with sqlite.engine.begin() as connection:
        assert incidents.expire(connection, sqlite.now + 26 * 3600) == 1
    assert len(server.taken) == 1
    assert not caplog.records


def test_no_local_part_is_in_a_mail(sqlite, server):
    """What the server got, with the header that is written at the end."""
    sqlite.failed(found(message=BROKEN, mail_from="<alice@bank.example>"))
    sqlite.run()
    [taken] = server.taken
    assert not re.search(rb"alice|bob|q1@", taken.data)
    assert len(email.message_from_bytes(taken.data).get_payload()) == 3
