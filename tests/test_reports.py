"""`mailassay reports`, with real files, DNS and SMTP on sockets, and as processes."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from mailassay.cli import main
from mailassay.failure.redaction import Redactor
from mailassay.store import incidents, observed, outbox
from mailassay.store.outbox import Stage
from mailassay.store.tables import delivery
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.failing import found
from tests.lab.limits import LIMITS
from tests.lab.outgoing import DAY, Outgoing
from tests.lab.program import ENVIRONMENT, PROGRAM, fits
from tests.lab.refusing import Refusing
from tests.lab.reports import tree

NAMES = """
receiver.example         TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.receiver.example  TXT "v=DMARC1; p=reject"
_dmarc.bank.example      TXT "v=DMARC1; p=reject; rua=mailto:d@bank.example; ruf=mailto:f@bank.example"
bank.example             TXT "v=spf1 -all"
_dmarc.gone.example      TXT "v=DMARC1; p=reject"
_dmarc.shop.example      TXT "v=DMARC1; p=none; rua=mailto:d@other.example,mailto:s@shop.example"
"""


@pytest.fixture
def server():
    with Refusing() as found:
        yield found


@pytest.fixture
def names():
    with DnsServer(Zone(NAMES, limits=LIMITS)) as found:
        yield found


@pytest.fixture
def host(tmp_path, server, names, monkeypatch):
    """A host whose history has three domains of yesterday, and one of today."""
    monkeypatch.setenv("COLUMNS", "100")
    found = Outgoing(tmp_path, server.port)
    found.now = time.time() - DAY
    for domain in ("bank.example", "gone.example", "shop.example"):
        found.seen(domain, 2)
    found.now = time.time()
    found.seen("bank.example", 5)
    with found.engine.begin() as connection:
        observed.moved(connection, found.host, found.now + 120)
    configured(tmp_path, server.port, names.port)
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "config.yaml"))
    yield found
    found.close()


def configured(folder, port, dns, reports="from: dmarc-reports@receiver.example, to: all, per_minute: 10000"):
    (folder / "config.yaml").write_text(
        f"""
history: {{directory: {folder}}}
authserv_id: mx1.receiver.example
recipient_delimiter: "+"
dns: {{nameservers: ["127.0.0.1:{dns}"]}}
reports: {{{reports}, smtp: "127.0.0.1:{port}", egress: [192.0.2.25]}}
"""
    )


def run(capsys, *command):
    """Exit status, standard output, standard error."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = main(["reports", *command])
    except SystemExit as end:
        status = end.code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    printed = capsys.readouterr()
    return status, printed.out, printed.err.replace("\n    ", " ")


def all_due(host):
    """No time is spread."""
    with host.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET due = 0"))


def stages(host):
    with host.engine.begin() as connection:
        return {each.address: each.state for each in connection.execute(select(delivery))}


def test_send(host, server, capsys):
    status, _, said = run(capsys, "send")
    assert (status, "2 made, 1 for nobody" in said) == (0, True), said
    all_due(host)
    assert run(capsys, "send")[0] == 0
    assert sorted(each.recipients[0] for each in server.taken) == ["d@bank.example", "s@shop.example"]
    listed = run(capsys, "list")
    assert listed[0] == 0
    assert "bank.example  done  (2 messages)" in listed[1]
    assert "d@bank.example  sent " in listed[1]
    assert "1 more is sent to nobody" in listed[1]
    assert "asks for no reports any more" in listed[1]
    assert "gone.example" not in listed[1]
    assert "gone.example  dropped: its DMARC record asks for no reports any more" in run(capsys, "list", "--all")[1]


def test_failure_reports(host, server, names, capsys, tmp_path):
    """Of an hour that is over, if the configuration lists the domain; and once."""
    failed = replace(found(), time=time.time() - 7200, count=4)
    with host.engine.begin() as connection:
        for one in (failed, replace(failed, domain="shop.example")):
            incidents.add(connection, [one], Redactor(b"k").incident, incidents.Most(5, 5), time.time())
    run(capsys, "send")
    assert not [each for each in server.taken if b"feedback-report" in each.data]
    reports = "from: dmarc-reports@receiver.example, to: all, failure: {domains: [bank.example, shop.example]}"
    configured(tmp_path, server.port, names.port, reports)
    status, _, said = run(capsys, "send")
    assert (status, "failure reports: 1 made, 1 for nobody or left out, 0 wait for DNS" in said) == (0, True), said
    [taken] = [each for each in server.taken if b"feedback-report" in each.data]
    assert taken.recipients == ["f@bank.example"]
    assert b"Incidents: 4" in taken.data
    assert b'SPF-DNS: txt : bank.example : "v=spf1 -all"' in taken.data
    assert "bank.example  failure  done  (4 messages)" in run(capsys, "list")[1]
    assert "shop.example  failure  dropped: its DMARC record asks for no" in run(capsys, "list", "--all")[1]
    assert "failure reports" not in run(capsys, "send")[2]
    assert len([each for each in server.taken if b"feedback-report" in each.data]) == 1


def test_dry_run_changes_nothing(host, server, capsys):
    run(capsys, "send")
    before = host.reports()
    status, printed, _ = run(capsys, "send", "--dry-run")
    assert (status, "for their time: 2" in printed) == (0, True)
    assert (host.reports(), server.transactions) == (before, [])


def test_dry_run_migrates_no_tables(host, capsys):
    """The collector does, and the sender."""
    with host.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    status, _, said = run(capsys, "send", "--dry-run")
    assert (status, said.count("mailassay reports: ")) == (os.EX_NOINPUT, 1)
    with host.engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0001"


def test_killed_between_the_250_and_the_database(host, server, capsys):
    """The same octets are handed over again, and never after that."""
    run(capsys, "send")
    all_due(host)
    killed = []

    def answer(command, _):
        if command == "." and not killed:
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

    with subprocess.Popen(
        [*PROGRAM, "reports", "send", "--config", str(host.settings.history.directory) + "/config.yaml"],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
    ) as process:
        server.answer = answer
        assert process.wait() == -signal.SIGKILL, process.stderr.read()
    assert len(killed) == 1
    assert stages(host) == {"d@bank.example": Stage.WAITING, "s@shop.example": Stage.WAITING}
    for _ in range(2):
        assert run(capsys, "send")[0] == 0
    first, *more = server.taken
    [again] = [each for each in more if each.recipients == first.recipients]
    assert (again.data, again.return_path) == (first.data, first.return_path)
    assert len(server.taken) == 3
    assert stages(host) == {"d@bank.example": Stage.SENT, "s@shop.example": Stage.SENT}


def test_postfix_is_down(host, server, capsys):
    run(capsys, "send")
    all_due(host)
    server.answer = lambda command, _: b"421 4.3.2 stopping" if command == "CONNECT" else None
    status, _, said = run(capsys, "send")
    assert (status, "421 4.3.2 stopping" in said) == (os.EX_TEMPFAIL, True)


def test_another_one_sends(host, capsys):
    with outbox.alone(host.engine, host.folder):
        status, _, said = run(capsys, "send")
    assert (status, "another process" in said) == (os.EX_TEMPFAIL, True)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("missing", ["receiver.example", "_dmarc.receiver.example"])
def test_our_own_mail_would_not_pass(server, names, capsys, missing):
    lines = [each for each in NAMES.splitlines() if each.split(" ")[0] != missing]
    names.zone = Zone("\n".join(lines), limits=LIMITS)
    status, _, said = run(capsys, "send")
    assert status == 1
    assert f"as TXT at {missing}" in said
    assert server.transactions == []
    assert run(capsys, "send", "--dry-run")[0] == 1


@pytest.mark.usefixtures("host")
def test_dns_is_down(server, names, capsys):
    names.mode = "servfail"
    status, _, said = run(capsys, "send")
    assert (status, "no report is sent now" in said) == (os.EX_TEMPFAIL, True)
    assert server.transactions == []


@pytest.mark.usefixtures("host")
def test_preview(capsys):
    status, printed, _ = run(capsys, "preview")
    assert status == 0
    assert "bank.example  open  (5 messages)\n    to d@bank.example" in printed
    # those of yesterday are not made yet
    assert "gone.example  open" in printed
    assert "to nobody: its DMARC record asks for no reports any more" in printed
    assert "not to mailto:d@other.example: the host of its address does not agree" in printed
    status, printed, _ = run(capsys, "preview", "bank.example")
    assert (status, "192.0.2.1" in printed) == (0, True)
    status, printed, _ = run(capsys, "preview", "bank.example", "--xml")
    assert tree(printed.encode()).find(".//{*}count").text == "5"
    found = json.loads(run(capsys, "preview", "bank.example", "--json")[1])
    assert found[0]["addresses"] == ["d@bank.example"]
    assert run(capsys, "preview", "other.example")[0] == 1
    assert run(capsys, "preview", "--xml")[0] == 2


def test_preview_with_known_domains_only(host, server, names, capsys):
    configured(host.folder, server.port, names.port, "from: dmarc-reports@receiver.example")
    assert "to nobody: neither accepted mail from there nor mail of your users" in run(capsys, "preview")[1]


@pytest.mark.usefixtures("host")
def test_show(capsys):
    status, printed, _ = run(capsys, "show", "shop.example")
    assert (status, "open" in printed) == (0, True)
    run(capsys, "send")
    status, printed, _ = run(capsys, "show", "shop.example")
    assert status == 0
    assert "shop.example  composed" in printed
    assert "s@shop.example  waiting until" in printed
    assert "192.0.2.1" in printed
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - DAY))
    status, printed, _ = run(capsys, "show", "bank.example", "--day", day, "--xml")
    assert tree(printed.encode()).find(".//{*}count").text == "2"
    assert run(capsys, "show", "other.example")[0] == 1
    assert run(capsys, "show", "bank.example", "--day", "2020-01-01")[0] == 1
    assert run(capsys, "show", "bank.example", "--day", "x")[0] == 2
    status, printed, said = run(capsys, "show", "gone.example", "--xml")
    assert (status, printed, "is not kept" in said) == (1, "", True)


def test_suppress(host, server, capsys):
    assert run(capsys, "suppress", "D@bank.example", "--why", "asked by mail")[0] == 0
    assert run(capsys, "suppress", "s@shop.example", "--days", "3")[0] == 0
    printed = run(capsys, "list")[1]
    assert "d@bank.example  always: asked by mail" in printed
    assert "s@shop.example  until 20" in printed
    assert len(json.loads(run(capsys, "list", "--json")[1])["suppressed"]) == 2
    run(capsys, "send")
    all_due(host)
    run(capsys, "send")
    assert server.transactions == []
    assert "every address is suppressed" in run(capsys, "list", "--all")[1]
    assert run(capsys, "unsuppress", "d@BANK.example")[0] == 0
    assert run(capsys, "unsuppress", "d@BANK.example")[0] == 1
    for address in ("", "x", "a b@x", "<a@x>", "a@b@x"):
        assert run(capsys, "suppress", address)[0] == 2


def test_reports_are_off(host, server, names, capsys):
    (host.folder / "config.yaml").write_text(f"history: {{directory: {host.folder}}}\n")
    status, _, said = run(capsys, "send")
    # nothing each hour in the log
    assert (status, said) == (os.EX_NOINPUT, "")
    status, _, said = run(capsys, "send", "--dry-run")
    assert (status, "set reports.from" in said) == (os.EX_NOINPUT, True)
    assert run(capsys, "preview")[0] == os.EX_NOINPUT
    status, _, said = run(capsys, "list")
    assert (status, "no more reports are sent" in said) == (0, True)
    assert server.transactions == names.asked == []


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["suppress", "a@b"], ["unsuppress", "a@b"]])
def test_no_history(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text("{}")
    assert run(capsys, *command)[0] == os.EX_CONFIG
    (tmp_path / "config.yaml").write_text(f"history: {{directory: {tmp_path}}}\n")
    status, _, said = run(capsys, *command)
    assert (status, "no database yet" in said) == (os.EX_NOINPUT, True)
    assert [each.name for each in tmp_path.iterdir()] == ["config.yaml"]


def test_what_senders_wrote_does_not_move_the_cursor(host, capsys):
    with host.engine.begin() as connection:
        number = outbox.add(connection, "aggregate", int(host.now) // DAY, "a\x1b[2J.example", "", host.now)
        outbox.compose(connection, number, "x", b"", [("\x1b[2J@x", "t", host.now)], host.now)
        found = outbox.due(connection, host.now, 10)
        outbox.settle(connection, found[0], Stage.FAILED, "550 \x1b[2J\u202e", host.now)
    printed = run(capsys, "list")[1]
    assert "550 ?[2J?" in printed
    assert "\x1b" not in printed


def test_the_file_of_the_lock_belongs_to_the_service(host, capsys):
    """Also if root sends by hand."""
    if os.geteuid():
        pytest.skip(reason="only root can give files to users")
    os.chown(host.folder, 12345, 12345)
    run(capsys, "send")
    assert (host.folder / "reports.lock").stat().st_uid == 12345


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize(
    "command", [["list", "--all"], ["preview"], ["preview", "bank.example"], ["show", "gone.example"]], ids=" ".join
)
@pytest.mark.usefixtures("host")
def test_every_line_fits_the_terminal(monkeypatch, capsys, command, width):
    run(capsys, "send")
    run(capsys, "suppress", "somebody@bank.example", "--why", "they asked us not to send any more reports")
    monkeypatch.setenv("COLUMNS", str(width))
    printed = run(capsys, *command)[1]
    assert printed
    assert [each for each in printed.split("\n") if not fits(each, width)] == []


def test_many_domains_with_many_addresses(host, names, capsys):
    """More questions than may be under way, or wait behind each other: each has its answer in one run."""
    many, lines = 200, [NAMES]
    host.now = time.time() - DAY
    for number in range(many):
        uris = ",".join(f"mailto:d@h{each}.n{number}.example" for each in range(5))
        lines.append(f'_dmarc.d{number}.test TXT "v=DMARC1; p=reject; rua={uris}"')
        lines += [f'd{number}.test._report._dmarc.h{each}.n{number}.example TXT "v=DMARC1"' for each in range(5)]
        # of the day before, for which nothing is closed yet
        host.seen(f"d{number}.test")
    host.now = time.time()
    names.zone = Zone("\n".join(lines), limits=LIMITS)
    status, _, said = run(capsys, "send")
    assert (status, f"{many + 2} made, 1 for nobody, 0 wait for DNS" in said) == (0, True), said
    with host.engine.begin() as connection:
        assert outbox.waiting(connection) == 5 * many + 2
