"""DMARC reports through the real Postfix: into a mailbox, and back as a bounce that our own milter sees."""

import gzip
import json
import os
import re
import subprocess
import time

import pytest
from sqlalchemy import select

from mailassay import return_path
from mailassay.cli import main
from mailassay.store import database, observed
from mailassay.store.outbox import Stage
from mailassay.store.tables import delivery, suppressed
from mailassay.zone import Zone
from tests.lab.folder import open_folder
from tests.lab.limits import LIMITS
from tests.lab.outgoing import DAY, Outgoing, mail
from tests.lab.program import ENVIRONMENT, PROGRAM
from tests.lab.refusing import Refusing
from tests.lab.reports import tree

OURS = "reports@receiver.example"
NAMES = """
receiver.example         TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.receiver.example  TXT "v=DMARC1; p=reject"
_dmarc.bank.example      TXT "v=DMARC1; p=reject; rua=mailto:inbox@receiver.example"
bank.example._report._dmarc.receiver.example  TXT "v=DMARC1"
_dmarc.shop.example      TXT "v=DMARC1; p=reject; rua=mailto:dead@shop.example"
_dmarc.loop.example      TXT "v=DMARC1; p=reject; rua=mailto:reports+x@receiver.example"
"""
# the bounces of this Postfix are seen by the milter, as docs/reports.md says
MORE = """
recipient_delimiter = +
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
non_smtpd_milters = $smtpd_milters
internal_mail_filter_classes = bounce
default_transport = smtp:[127.0.0.1]:{port}
"""


@pytest.fixture(scope="module")
def sent(make_lab):
    """What was handed over of one day, and the folder of the history. Local-parts are not kept."""
    # the host of another domain, which does not know the recipient
    unknown = Refusing(lambda command, _: b"550 5.1.1 no such user" if command == "RCPT" else None)
    with open_folder() as folder, unknown:
        history = folder / "history"
        history.mkdir()
        names = Zone(NAMES, limits=LIMITS)
        config = {
            "history": {"directory": str(history), "addresses": "none"},
            "trusted_networks": ["127.0.0.0/8"],
            "recipient_delimiter": "+",
            "reports": {"from": OURS, "to": "all", "egress": ["192.0.2.25"], "per_minute": 10_000},
        }
        lab = make_lab(more=MORE.format(port=unknown.port), names=names, **config)
        own = json.loads(lab.serve.config.read_text())
        own["reports"]["smtp"] = f"127.0.0.1:{lab.postfix.port}"
        path = folder / "send.yaml"
        path.write_text(json.dumps(own))
        host = Outgoing(history, lab.postfix.port)
        host.now = time.time() - DAY
        for domain in ("bank.example", "shop.example", "loop.example"):
            host.seen(domain, 3)
        host.now = time.time()
        with host.engine.begin() as connection:
            observed.moved(connection, host.host, host.now + 120)
        assert send(path) == 0
        with host.engine.begin() as connection:
            connection.execute(delivery.update().values(due=0))
        assert send(path) == 0
        yield lab, host, path
        host.close()


def send(path):
    command = [*PROGRAM, "reports", "send", "--config", str(path)]
    return subprocess.run(command, check=False, env=ENVIRONMENT).returncode


def until(lab, pattern):
    """The mail log, once it has this."""
    end = time.monotonic() + 60
    while not re.search(pattern, lab.postfix.log()):
        assert time.monotonic() < end, lab.postfix.log()[-3000:]
        time.sleep(0.05)
    return lab.postfix.log()


def letters(lab, subject):
    """The mails in the mailbox whose subject begins so."""
    paths = sorted(lab.postfix.folder.glob("mail/inbox/new/*"))
    return [each for each in (path.read_bytes() for path in paths) if mail(each)["Subject"].startswith(subject)]


def test_a_report_arrives(sent, tmp_path, capsys):
    """As it was made, with its return path; and it passes DMARC, aligned, where it leaves."""
    lab, host, _ = sent
    until(lab, r"to=<inbox@receiver\.example>.* status=sent")
    [letter] = letters(lab, "Report Domain: bank.example ")
    found = mail(letter)
    assert return_path.token(found["Return-Path"].strip("<>"), OURS)
    assert found["To"] == "inbox@receiver.example"
    [attachment] = found.iter_attachments()
    assert tree(gzip.decompress(attachment.get_content())).find(".//{*}count").text == "3"
    # as it left: without what this host wrote on top of it
    written = rb"\A(?:(?:Return-Path|X-Original-To|Delivered-To|Received|Authentication-Results):.*\n(?:[ \t].*\n)*)+"
    message, zone = tmp_path / "mail", tmp_path / "zone"
    message.write_bytes(re.sub(written, b"", letter))
    zone.write_text(NAMES)
    client = ["--ip", "192.0.2.25", "--helo", "mx.receiver.example", "--mail-from", found["Return-Path"].strip("<>")]
    command = ["check", str(message), *client, "--rcpt", "d@bank.example", "--zone", str(zone), "--json"]
    status = main(command)
    judged = json.loads(capsys.readouterr().out)
    assert (status, judged["results"]["dmarc"]) == (os.EX_OK, "pass"), judged
    assert host.deliveries("bank.example")["inbox@receiver.example"].stage is Stage.SENT


def test_a_report_never_goes_to_our_own_address(sent):
    _, host, _ = sent
    assert host.reports()["loop.example"].why.partition(";")[0] == "ours"


def test_a_bounce_comes_back(sent):
    """This Postfix makes it; the milter sees its recipient, and the collector suppresses the address for a week."""
    lab, host, path = sent
    until(lab, r"from=<>.*\n(?:.*\n)*.*to=<reports\+[a-z2-7]{26}@receiver\.example>.* status=sent")
    end = time.monotonic() + 60
    while host.deliveries("shop.example")["dead@shop.example"].stage is not Stage.RETURNED:
        assert time.monotonic() < end, lab.postfix.log()[-3000:]
        subprocess.run([*PROGRAM, "collect", "--once", "--config", str(path)], check=True, env=ENVIRONMENT)
        time.sleep(0.1)
    engine = database.connect(database.address(str(host.folder), None), reads_only=True)
    with engine.connect() as connection:
        [found] = connection.execute(select(suppressed)).all()
    engine.dispose()
    assert found.address == "dead@shop.example"
    assert 6.9 * DAY < found.until - time.time() <= 7 * DAY
    assert host.deliveries("bank.example")["inbox@receiver.example"].stage is Stage.SENT
