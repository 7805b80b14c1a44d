"""Forged results are removed on the real Postfix, and nothing else is, whatever other milters have inserted."""

import re
import socket
import threading
from contextlib import contextmanager
from itertools import product

import pytest

from mailassay.limits import Limits
from tests.lab.disguises import DISGUISES, OURS
from tests.lab.disguises import FOREIGN as OTHERS
from tests.lab.folder import open_folder
from tests.lab.inserter import inserter

RECIPIENT = "bob@receiver.example"
FORGED = "mx.receiver.example; dmarc=pass"
FOREIGN = "mx.elsewhere.example; spf=pass"
AUTHOR = "From: alice@news.example\r\n"


def deliver(lab, message, client="192.0.2.10"):
    """A message as it was delivered."""
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become(client)
        smtp.command("EHLO mail.news.example")
        reply = smtp.send("bounce@news.example", [RECIPIENT], message)
    return lab.postfix.delivered(reply.queue_id)


def results_after(lab, *values, first="", client="192.0.2.10"):
    """The Authentication-Results values of a delivered message that came in with these, unfolded, ours shortened."""
    message = first + "".join(f"Authentication-Results: {value}\r\n" for value in values) + AUTHOR + "\r\nx\r\n"
    header = deliver(lab, message.encode(), client).partition(b"\n\n")[0].decode()
    lines = header.replace("\n ", " ").replace("\n\t", " ").split("\n")
    assert not [line for line in lines if line.startswith("X-Mailassay-Marker")]
    found = [line.partition(": ")[2] for line in lines if line.lower().startswith("authentication-results:")]
    return ["OURS" if value.startswith("mx.receiver.example; iprev=pass") else value for value in found]


MIXTURES = [list(mixture) for size in (1, 2, 3) for mixture in product((FORGED, FOREIGN), repeat=size)]


@pytest.mark.parametrize("values", MIXTURES, ids=lambda values: "-".join(value[3] for value in values))
class TestRemoval:
    def test_alone(self, lab, values):
        assert results_after(lab, *values) == ["OURS", *(value for value in values if value == FOREIGN)]

    def test_below_another_field(self, lab, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab, *values, first="Subject: x\r\n") == ["OURS", *left]

    @pytest.mark.parametrize("first", ["", "Subject: x\r\n"])
    def test_behind_a_milter_that_wrote_its_own(self, lab_behind_results, values, first):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_behind_results, *values, first=first) == ["OURS", "earlier.example; none", *left]

    def test_behind_a_milter_that_wrote_something_else(self, lab_behind_other, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_behind_other, *values) == ["OURS", *left]

    def test_behind_a_milter_that_forges(self, lab_behind_forger, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_behind_forger, *values) == ["OURS", *left]

    def test_below_a_field_that_postfix_prepends(self, lab_prepending, values):
        left = [value for value in values if value == FOREIGN]
        assert results_after(lab_prepending, *values) == ["OURS", "earlier.example; none", *left]


@pytest.fixture(scope="module")
def lab_prepending(make_lab):
    prepend = "PREPEND Authentication-Results: earlier.example; none"
    return make_lab(more=f"smtpd_data_restrictions = check_client_access static:{{{prepend}}}\n")


@pytest.fixture(scope="module")
def lab_behind_results(make_lab):
    with open_folder() as folder, inserter(folder, 0, "Authentication-Results", "earlier.example; none") as milter:
        yield make_lab(before=(milter,))


@pytest.fixture(scope="module")
def lab_behind_other(make_lab):
    with open_folder() as folder, inserter(folder, 0, "X-Earlier", "1") as milter:
        yield make_lab(before=(milter,))


@pytest.fixture(scope="module")
def lab_behind_forger(make_lab):
    with open_folder() as folder, inserter(folder, 0, "Authentication-Results", FORGED) as milter:
        yield make_lab(before=(milter,))


OURS_ON_TOP = rb"Authentication-Results: mx\.example\.org;\n iprev=pass (?:[^\n]*\n )+dmarc=pass [^\n]*\n"
RECEIVED = rb"Received: [^\n]*\n(?:[ \t][^\n]*\n)*"


def field(value, name=b"Authentication-Results"):
    return name + b":" + value + b"\r\n"


def below(delivered, *between):
    """What of a delivered message stands below our field, those of other milters, and the Received of Postfix."""
    top = re.match(b"".join([OURS_ON_TOP, *map(re.escape, between), RECEIVED]), delivered)
    assert top, delivered[:2000]
    return delivered[top.end() :].replace(b"\n", b"\r\n")


def left_of(value):
    """What may be left of a disguise: Postfix cuts a field at NUL, and then our name may be gone."""
    start, nul, _ = value.partition(b"\0")
    return field(start) if nul and OURS.encode() not in start else b""


@pytest.fixture(scope="module")
def lab_org(make_lab):
    """We are mx.example.org, as in the table of disguises."""
    return make_lab(authserv_id=OURS)


BODY = b"\r\nx\r\n"
AUTHOR_FIELD = AUTHOR.encode()


@pytest.mark.parametrize("place", range(len(DISGUISES)))
def test_a_disguise_alone(lab_org, place):
    """The neighbours, two of other people's fields, stay octet for octet."""
    above, under = field(OTHERS[place % len(OTHERS)]), field(OTHERS[(place + 1) % len(OTHERS)])
    message = above + field(DISGUISES[place]) + AUTHOR_FIELD + under + BODY
    delivered = deliver(lab_org, message)
    assert below(delivered) == above + left_of(DISGUISES[place]) + AUTHOR_FIELD + under + BODY


def test_a_disguise_on_top(lab_org):
    for value in DISGUISES[::10]:
        assert below(deliver(lab_org, field(value) + AUTHOR_FIELD + BODY)) == left_of(value) + AUTHOR_FIELD + BODY


def everything():
    """All disguises in one message, other people's fields between them; and what shall be left."""
    pairs = [(value, OTHERS[place % len(OTHERS)]) for place, value in enumerate(DISGUISES)]
    message = b"".join(field(ours) + field(other) for ours, other in pairs)
    left = b"".join(left_of(ours) + field(other) for ours, other in pairs)
    return message + AUTHOR_FIELD + BODY, left + AUTHOR_FIELD + BODY


def test_all_disguises_at_once(lab_org):
    message, left = everything()
    assert below(deliver(lab_org, message)) == left


def test_all_disguises_behind_another_milter(make_lab):
    message, left = everything()
    with open_folder() as folder, inserter(folder, 0, "Authentication-Results", "earlier.example; none") as milter:
        lab = make_lab(before=(milter,), authserv_id=OURS)
        assert below(deliver(lab, message), b"Authentication-Results: earlier.example; none\n") == left


@pytest.mark.parametrize("index", [0, 1])
def test_all_disguises_before_a_milter_that_inserts(make_lab, index):
    message, left = everything()
    theirs = b"Authentication-Results: later.example; none\n"
    with open_folder() as folder, inserter(folder, index, "Authentication-Results", "later.example; none") as milter:
        delivered = deliver(make_lab(behind=(milter,), authserv_id=OURS), message)
    assert delivered.count(theirs) == 1
    assert below(delivered.replace(theirs, b"")) == left


def test_all_disguises_before_a_milter_that_changes(make_lab):
    """What it takes for the first field is ours: no marker and no removed field is in its way."""
    message, left = everything()
    with open_folder() as folder, inserter(folder, "change", "Authentication-Results", "later.example; none") as milter:
        delivered = deliver(make_lab(behind=(milter,), authserv_id=OURS), message)
    top = re.match(rb"Authentication-Results: later\.example; none\n" + RECEIVED, delivered)
    assert delivered[top.end() :].replace(b"\n", b"\r\n") == left


# how Postfix reads a field: it takes the name, whatever follows it, or the header section ends there
NAMES = [b"authentication-results", b"AUTHENTICATION-RESULTS", b"aUTHENTICATION-rESULTS"]
NAMES += [b"Authentication-Results ", b"Authentication-Results\t", b"Authentication-Results \t \t"]
NO_NAMES = [
    b"Authentication-Results\0",
    b"\0Authentication-Results",
    b"\xa0Authentication-Results",
    b"\xef\xbb\xbfAuthentication-Results",
    b"Authentication Results",
    b"\x0bAuthentication-Results",
    b":Authentication-Results",
    b"Authentication-Results\r\n ",
]
FORGED_VALUE = b" mx.example.org; dmarc=pass"


@pytest.mark.parametrize("name", NAMES)
def test_names(lab_org, name):
    assert below(deliver(lab_org, field(FORGED_VALUE, name) + AUTHOR_FIELD + BODY)) == AUTHOR_FIELD + BODY


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_field_begins_the_body(lab_org, name):
    """Postfix sets an empty line before it, so that nobody below can take it for a field."""
    forged = field(FORGED_VALUE, name)
    assert below(deliver(lab_org, AUTHOR_FIELD + forged + field(FORGED_VALUE) + BODY)).startswith(
        AUTHOR_FIELD + b"\r\n" + forged
    )


@pytest.mark.parametrize("name", [b"Authentication_Results", b"X-Authentication-Results", b"Authentication-Result"])
def test_other_names_stay(lab_org, name):
    message = field(FORGED_VALUE, name) + AUTHOR_FIELD + BODY
    assert below(deliver(lab_org, message)) == message


@pytest.mark.parametrize("start", [b" ", b"\t"])
def test_a_field_that_begins_as_a_continuation(lab_org, start):
    """It must not become part of a field that is put above it."""
    delivered = deliver(lab_org, start + field(FORGED_VALUE) + AUTHOR_FIELD + BODY)
    header, _, body = delivered.partition(b"\n\n")
    assert header.count(b"Authentication-Results") == 1
    assert body.startswith(start + b"Authentication-Results")


@pytest.mark.parametrize(
    "value",
    [
        FORGED_VALUE + b" header.b=" + b"x" * 90_000,
        FORGED_VALUE + b";\r\n " + b"\r\n ".join([b"dkim=pass header.b=" + b"x" * 60] * 1100),
        b" (" + b"x" * 59_000 + b")" + FORGED_VALUE,
        b"\r\n \r\n\t\r\n" + FORGED_VALUE,
    ],
    ids=["90 kB", "90 kB folded", "behind 59 kB", "folded to nothing"],
)
def test_long_values(lab_org, value):
    """What stands below more octets of results than are read is removed unread, whoever it is from."""
    others = field(OTHERS[2])
    read = others if len(value) < Limits().results_octets - 1000 else b""
    message = others + field(value) + AUTHOR_FIELD + others + BODY
    assert below(deliver(lab_org, message)) == others + AUTHOR_FIELD + read + BODY


def test_a_cr_in_another_field_begins_no_field(lab_org):
    """There are readers to whom a bare CR ends a line; Postfix makes a space of it."""
    message = b"X: a\rAuthentication-Results:" + FORGED_VALUE + b"\r\n" + AUTHOR_FIELD + BODY
    assert below(deliver(lab_org, message)) == message.replace(b"a\rA", b"a A")


UNKNOWN_VERSIONS = [b" mx.elsewhere.example 2; dmarc=pass", b"\r\n (x) mx.elsewhere.example\r\n 02 (y)\r\n ; none"]


@pytest.mark.parametrize("value", UNKNOWN_VERSIONS)
def test_a_version_nobody_knows(lab_org, value):
    known = field(b" mx.elsewhere.example 1; dmarc=pass")
    message = known + field(value) + AUTHOR_FIELD + BODY
    assert below(deliver(lab_org, message)) == known + AUTHOR_FIELD + BODY
    trusted = deliver(lab_org, message, client="192.0.2.250")
    assert trusted.startswith(b"Received: ")
    assert trusted.replace(b"\n", b"\r\n").endswith(message)


def test_two_hundred_forged_fields(lab):
    assert results_after(lab, *[FORGED, FOREIGN] * 100) == ["OURS", *[FOREIGN] * 100]


def test_more_forged_fields_than_can_be_removed(lab):
    """Postfix reads the header from its start for each: a hundred thousand would keep it busy for minutes."""
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.250")
        smtp.command("EHLO mail.news.example")
        message = field(b" " + FORGED.encode()) * 100_000 + AUTHOR_FIELD + BODY
        assert str(smtp.send("bounce@news.example", [RECIPIENT], message)) == "550 5.7.1 Too many forged header fields"


def test_trusted_clients_cannot_forge(lab):
    assert results_after(lab, FORGED, FOREIGN, client="192.0.2.250") == ["mx.receiver.example; none", FOREIGN]


def test_several_messages_on_one_connection(lab):
    """Each is judged by itself; RSET leaves nothing behind."""
    bodies = ["From: alice@news.example\r\n\r\n1\r\n", f"Authentication-Results: {FORGED}\r\n{AUTHOR}\r\n2\r\n"]
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.10")
        smtp.command("EHLO mail.news.example")
        smtp.command("MAIL FROM:<eve@attacker.example>")
        smtp.command("RSET")
        replies = [smtp.send("bounce@news.example", [RECIPIENT], body.encode()) for body in bodies]
        refused = smtp.send("eve@attacker.example", [RECIPIENT], b"From: alice@bank.example\r\n\r\nx\r\n")
        replies.append(smtp.send("bounce@news.example", [RECIPIENT], bodies[0].encode()))
    assert refused.code == 550
    for reply in replies:
        header = lab.postfix.delivered(reply.queue_id).partition(b"\n\n")[0]
        assert header.count(b"Authentication-Results:") == 1
        assert b"dmarc=pass header.from=news.example" in header


def test_utf8_and_eight_bit(lab):
    """SMTPUTF8 addresses, and raw octets in header and body, come through as they were sent."""
    message = "From: Zoë <zoë@news.example>\r\nSubject: Grüße\r\n\r\n".encode() + b"\xff\xfe\r\n"
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("192.0.2.10")
        smtp.command("EHLO mail.news.example")
        reply = smtp.send("bounce@news.example", [RECIPIENT], message, " SMTPUTF8 BODY=8BITMIME")
    delivered = lab.postfix.delivered(reply.queue_id)
    assert "Subject: Grüße\n".encode() in delivered
    assert b"\n\n\xff\xfe\n" in delivered
    assert b"dmarc=pass header.from=news.example" in delivered


@contextmanager
def next_hop():
    """An SMTP server for one message: its port, and a list that will hold what it was sent."""
    received = []

    def talk():
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as file:
            reply = b"220 next.example ESMTP"
            while True:
                file.write(reply + b"\r\n")
                file.flush()
                line = file.readline()
                reply = b"250 Ok"
                if line.upper().startswith(b"DATA"):
                    file.write(b"354 Go on\r\n")
                    file.flush()
                    received.append(b"".join(iter(file.readline, b".\r\n")))
                elif not line or line.upper().startswith(b"QUIT"):
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        thread = threading.Thread(target=talk)
        thread.start()
        yield server.getsockname()[1], received
        thread.join()


LABEL = b"a" * 59
LONGEST = {
    "domain": b"v=1; a=rsa-sha256; d=%b.%b.%b.example; s=%b; h=from; bh=AA==; b=AA==" % (LABEL, LABEL, LABEL, LABEL),
    "quotes": b"v=1; a=rsa-sha256; d=news.example; i=%b@news.example; s=%b; h=from; bh=AA==; b=AA=="
    % (b'"' * 240, b'"' * 255),
    "backslashes": b"v=1; a=%b; d=news.example; i=%b; s=%b; h=from; bh=AA==; b=AA=="
    % (b"\\" * 255, b"\\" * 255, b"\\" * 254 + b'"'),
}


@pytest.mark.parametrize("name", LONGEST)
def test_the_longest_field_stays_as_it_is_on_its_way(lab, make_lab, name):
    """Postfix breaks lines of more than 998 octets when it sends them, even within a quoted string."""
    message = b"DKIM-Signature: %b\r\n" % LONGEST[name] + AUTHOR_FIELD + BODY
    header = deliver(lab, message).partition(b"\nReceived: ")[0]
    assert b"dkim=" in header
    with next_hop() as (port, received):
        relay = make_lab(more=f"virtual_transport = smtp:[127.0.0.1]:{port}\n")
        with relay.postfix.client() as smtp:
            smtp.command("EHLO x")
            smtp.become("192.0.2.10")
            smtp.command("EHLO mail.news.example")
            assert smtp.send("bounce@news.example", [RECIPIENT], message).code == 250
    assert received[0].partition(b"\r\nReceived: ")[0].replace(b"\r\n", b"\n") == header
    assert max(map(len, header.split(b"\n"))) <= 998
