"""Every message of the demo comes out as it must."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import pytest

from mailassay.config import Settings
from mailassay.config.signing import with_keys
from mailassay.domain import Domain
from mailassay.sign import Selectors, Sign, Submission
from mailassay.zone import Zone
from tests.demo import outgoing
from tests.demo.play import play
from tests.demo.scenarios import SCENARIOS, zone_text
from tests.lab import mta
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.reports import texts, tree
from tests.lab.signing import finished, on_top

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-u", "-m", "tests.demo"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario, lab):
    assert play(scenario, lab.postfix, lab.serve).differences == ()


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if not each.login], ids=lambda scenario: scenario.name)
def test_check_says_what_the_milter_said(scenario, lab, tmp_path):
    """The same results, verdict and header field from the command line."""
    played = play(scenario, lab.postfix, lab.serve)
    (tmp_path / "zone").write_text(zone_text())
    (tmp_path / "message.eml").write_bytes(played.message)
    command = [
        sys.executable, "-m", "mailassay", "check", "message.eml", "--zone", "zone", "--config", lab.serve.config,
        "--ip", scenario.client, "--helo", scenario.helo, "--mail-from", scenario.mail_from, "--json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == (1 if played.verdict == "reject" else 0), done.stderr
    checked = json.loads(done.stdout)
    entry = {key: value for key, value in played.entry.items() if key in checked["results"] and key != "ms"}
    assert entry == {key: value for key, value in checked["results"].items() if key != "ms"}
    if played.fate in ("refused", "deferred"):
        assert checked["verdict"]["reply"] == str(played.reply)
    else:
        (field,) = (each["value"] for each in checked["add"] if each["name"] == "Authentication-Results")
        assert f"Authentication-Results: {field}\n".encode() in played.header


@pytest.mark.skipif(bool(mta.missing()), reason=mta.missing())
@pytest.mark.parametrize(
    ("progress", "number"),
    [("DNS server on", signal.SIGTERM), ("mailassay serve on", signal.SIGINT), ("aligned pass by SPF", signal.SIGTERM)],
)
def test_interrupted_demo_leaves_nothing(progress, number, tmp_path):
    """Neither files nor processes, whatever was starting just then; not even where it is interrupted twice."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        demo = subprocess.Popen(
            [*DEMO, "--output", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert demo.stdout
        assert any(line.startswith(progress) for line in demo.stdout)
        demo.send_signal(number)
        demo.send_signal(signal.SIGTERM)
        assert "everything is cleaned up" in demo.communicate(timeout=60)[0]
        assert demo.returncode in (128 + number, 128 + signal.SIGTERM)
        assert os.listdir(folder) == []
        assert [line for line in processes() if folder in line] == []


def processes():
    """Working directory and command of every process."""
    for each in Path("/proc").glob("[0-9]*"):
        try:
            yield f"{(each / 'cwd').readlink()} {(each / 'cmdline').read_text(errors='replace')}"
        except OSError:  # it has ended
            continue


def lines_to_try(text):
    return [line.strip() for line in text.partition("Now try:")[2].splitlines() if line.startswith("  ")]


def run(line):
    return subprocess.run(["/bin/sh", "-c", line], cwd=ROOT, capture_output=True, text=True)


def assert_told(told, xml):
    """What is reported about bank.example, readable and as XML, has each of its messages. At midnight, two reports."""
    assert set(re.findall("^DMARC aggregate report about (.*)$", told, re.MULTILINE)) == {"bank.example"}
    assert "    to dmarc@bank.example\n" in told
    mine = [each for each in SCENARIOS if b"From: alice@bank.example\r\n" in each.message()]
    expected = [(each.client, "pass" if each.expected.dmarc == "pass" else each.expected.verdict, "1") for each in mine]
    found = re.findall("^([0-9]+) messages? from ([^ ]+): ([a-z]+)$", told, re.MULTILINE)
    assert sorted((client, disposition, count) for count, client, disposition in found) == sorted(expected)
    document = tree(xml.read_bytes())
    clients = texts(document, "record/row/source_ip")
    assert clients
    assert Counter(clients) <= Counter(each.client for each in mine)


def test_others_verify_what_the_demo_signs(tmp_path):
    """And nothing that was changed."""
    own = outgoing.own(tmp_path / "keys")
    domain = Domain(outgoing.DOMAIN)
    sign = Sign({domain: Selectors(tuple(outgoing.SELECTORS))}, str(own.folder))
    settings, problems = with_keys(Settings(sign=sign), "mailassay.yaml")
    assert not problems
    message = b"From: bob@receiver.example\r\nSubject: hi\r\n\r\nHello\r\n"
    signed = on_top(finished(settings, message, Submission("bob@receiver.example")), message)
    with DnsServer(Zone(own.zone, limits=LIMITS)) as dns:
        said, agree = outgoing.verified(signed, own, dns, tmp_path / "signed.eml")
        assert agree, said
        by_one_key = signed[signed.index(b"DKIM-Signature", 1) :]
        for each in (message, by_one_key, signed.replace(b"hi", b"ho"), signed.replace(b"Hello", b"Hallo")):
            assert not outgoing.verified(each, own, dns, tmp_path / "signed.eml")[1]


@pytest.mark.skipif(bool(mta.missing()), reason=mta.missing())
def test_the_demo_ends_with_lines_that_work(tmp_path):
    done = subprocess.run([*DEMO, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    verified = re.findall(
        r"^dkimpy [0-9.]+: (\S+) by receiver\.example, selector \w+: (\w+)$", done.stdout, re.MULTILINE
    )
    assert verified == [("rsa-sha256", "pass"), ("ed25519-sha256", "pass")]
    history, why, _, _, told = (part for part in done.stdout.partition("afterwards:")[2].split("$ ")[1:])
    assert history.count(" accept ") + history.count(" defer ") + history.count(" reject ") == 5
    assert re.search(r"^verdict +reject .*\n(?:.*\n)*reply +550 5\.7\.26 ", why, re.MULTILINE)
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert "bank.example" in page
    assert_told(told, tmp_path / "bank.example.xml")
    check, lookup, keep = lines_to_try(done.stdout)
    judged = run(check)
    assert (judged.returncode, judged.stderr) == (1, "")
    assert "550 5.7.26 Email rejected per DMARC policy for bank.example" in judged.stdout
    found = run(lookup)
    assert (found.returncode in (0, 1), found.stderr) == (True, "")
    assert "bank.example" in found.stdout
    assert keep.startswith("make demo KEEP=1 ")


@pytest.mark.skipif(bool(mta.missing()), reason=mta.missing())
def test_the_demo_that_stays_ends_with_lines_that_work(tmp_path):
    """The last one changes the policy of the daemon that runs."""
    demo = subprocess.Popen([*DEMO, "--keep", "--output", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        printed = ""
        while "kill -HUP" not in printed:
            line = demo.stdout.readline()
            assert line, printed
            printed += line
        told = printed.partition("$ ")[2].partition("Running until")[0].rpartition("$ ")[2]
        assert_told(told, tmp_path / "bank.example.xml")
        check, lookup, reload = lines_to_try(printed)
        pages = re.search(r"^The history as pages: (http://127\.0\.0\.1:[0-9]+/)$", printed, re.MULTILINE)[1]
        with urlopen(pages) as answer:
            assert b"bank.example" in answer.read()
        assert run(check).returncode == 1
        assert run(lookup).stderr == ""
        log = Path(next(word for word in printed.split() if word.endswith("/mailassay.log")))
        assert run(reload).returncode == 0
        end = time.monotonic() + 60
        while "reloaded: policy" not in log.read_text():
            assert time.monotonic() < end
            time.sleep(0.02)
        assert "reject: hold" in Path(next(word for word in reload.split() if word.endswith("policy.yaml"))).read_text()
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=60)
