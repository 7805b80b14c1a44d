"""The doctor, on other programs that sign while mailassay signs."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from mailassay.doctor import examine
from mailassay.doctor.facts import Signed
from mailassay.doctor.gather_other_signers import running, signed
from mailassay.doctor.other_signers import other_signer
from mailassay.domain import Domain
from mailassay.finding import Severity
from mailassay.sign import Selectors, Sign
from tests.lab.healthy import GOOD, OURS, QUEUE, configured, service
from tests.lab.migrating import laid

OPENDKIM, DKIMPY = "/etc/opendkim.conf", "/etc/dkimpy-milter/dkimpy-milter.conf"
SIGNS = replace(GOOD.settings, sign=Sign({Domain("example.org"): Selectors(("2026a",))}))


SIGNED = {path: Signed(frozenset({Domain("example.org")})) for path in (OPENDKIM, DKIMPY)}


def found(**facts):
    """Severities and commands."""
    facts = {"signed": SIGNED, **facts}
    return [(str(each.severity), *each.commands) for each in other_signer(replace(GOOD, settings=SIGNS, **facts))]


RELOAD, STOP = "postfix reload", "systemctl disable --now opendkim"
LISTS = {
    "behind us": (
        configured(smtpd_milters=f"{OURS}, inet:localhost:8891"),
        "inet:8891@localhost",
        [f"postconf -e smtpd_milters={OURS}"],
    ),
    "in our place, for mail from sendmail(1)": (
        configured(non_smtpd_milters="inet:a:1, unix:opendkim/opendkim.sock"),
        f"local:{QUEUE}/opendkim/opendkim.sock",
        [f"postconf -e 'non_smtpd_milters=inet:a:1, {OURS}'"],
    ),
    "in our place, for users": (
        configured(service(), service("submission", smtpd_milters="inet:localhost:12301")),
        "inet:12301@127.0.0.1",
        [f"postconf -P submission/inet/smtpd_milters={OURS}"],
    ),
    "everywhere": (
        configured(
            service(),
            service("submission", smtpd_milters="inet:localhost:8891"),
            smtpd_milters=f"inet:localhost:8891 {OURS}",
            non_smtpd_milters="inet:localhost:8891",
        ),
        "inet:8891@localhost",
        [
            f"postconf -e smtpd_milters={OURS}",
            f"postconf -P submission/inet/smtpd_milters={OURS}",
            f"postconf -e non_smtpd_milters={OURS}",
        ],
    ),
}


@pytest.mark.parametrize("where", LISTS)
def test_a_signer_that_postfix_asks(where):
    postfix, socket, commands = LISTS[where]
    facts = {"postfix": postfix, "signing": {OPENDKIM: socket}, "signers": {OPENDKIM: "s"}}
    assert found(**facts) == [("warning", *commands, RELOAD, STOP)]
    # nothing of that counts as long as mailassay signs nothing
    assert [*other_signer(replace(GOOD, **facts))] == []


@pytest.mark.parametrize("where", LISTS)
def test_no_other_finding_brings_it_back(where):
    """Whatever commands are run, in whatever order."""
    postfix, socket, _ = LISTS[where]
    known = {"signing": {OPENDKIM: socket}, "signers": {OPENDKIM: "s"}, "signed": SIGNED}
    facts = replace(GOOD, settings=SIGNS, postfix=postfix, **known)
    commands = [each for finding in examine(facts) for each in finding.commands if "milters=" in each]
    assert commands
    assert not [each for each in commands if "opendkim" in each or "8891" in each or "12301" in each]


def test_a_signer_that_only_runs():
    facts = {"signing": {OPENDKIM: "inet:8891@localhost"}}
    assert found(**facts, running=frozenset({"opendkim"})) == [("note", STOP)]
    assert found(**facts) == [(Severity.FINE,)]


def test_a_filter_without_a_key_is_no_signer():
    postfix = configured(smtpd_milters=f"{OURS}, inet:localhost:8891")
    assert found(postfix=postfix, signers={OPENDKIM: "v"}) == []


def test_another_program():
    postfix = configured(smtpd_milters=f"{OURS}, inet:localhost:8892")
    [(severity, *commands)] = found(postfix=postfix, signing={DKIMPY: ""}, signers={DKIMPY: ""})
    assert (severity, commands[-1]) == ("warning", "systemctl disable --now dkimpy-milter")


def test_what_runs_is_seen(tmp_path):
    if not os.path.exists("/proc/self/comm"):
        pytest.skip(reason="there is no /proc")
    script = "import sys; open('/proc/self/comm', 'w').write('opendkim'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\n"
        assert running(["opendkim", "no-such-program"]) == {"opendkim"}
        process.stdin.close()
    assert running(["opendkim"], tmp_path) == frozenset()


ORG, NET, BELOW = Domain("example.org"), Domain("example.net"), Domain("a.example.org")
TABLES = "KeyTable %FOLDER%/k\nSigningTable %FOLDER%/s\n"
KEY = "k example.org:s:/k\n"


@pytest.mark.parametrize(
    ("signs", "subdomains", "words"),
    [
        (Signed(frozenset({ORG, NET})), True, "lacks example.net, for which"),
        (Signed(frozenset({BELOW})), False, "lacks a.example.org, for which"),
        (Signed(frozenset({ORG}), below=True), False, "names below its domains"),
        (Signed(frozenset({ORG}), doubt="/t:1: a pattern"), True, "/t:1: a pattern"),
        (None, True, "not known for what domains"),
        (Signed(frozenset({ORG})), False, ""),
        (Signed(frozenset({ORG, BELOW}), below=True), True, ""),
    ],
)
@pytest.mark.parametrize("asked", [True, False])
def test_a_signer_of_what_mailassay_does_not_sign_is_not_ended(signs, subdomains, words, asked):
    sign = replace(SIGNS.sign, subdomains=subdomains)
    facts = replace(
        GOOD,
        settings=replace(SIGNS, sign=sign),
        postfix=configured(smtpd_milters=f"{OURS}, inet:localhost:8891" if asked else OURS),
        signing={OPENDKIM: "inet:8891@localhost"},
        signers={OPENDKIM: "s"},
        signed={} if signs is None else {OPENDKIM: signs},
        running=frozenset({"opendkim"}),
    )
    [finding] = other_signer(facts)
    assert (bool(finding.commands), words in finding.what) == (not words, True)
    if words:
        assert finding.severity is Severity.WARNING
        assert f"mailassay migrate {OPENDKIM}" in finding.fix


@pytest.mark.parametrize(
    ("files", "domains", "below", "doubt"),
    [
        ({"c": "Domain example.org\nSelector s\nKeyFile /k\n"}, {ORG}, False, ""),
        ({"c": "Domain example.org\nSelector s\nKeyFile /k\nSubDomains yes\n"}, {ORG}, True, ""),
        ({"c": "KeyTable /no/such\nSigningTable /no/such\n"}, set(), False, "cannot be read"),
        ({"c": TABLES, "k": KEY, "s": "example.org k\n"}, {ORG}, False, ""),
        ({"c": TABLES, "k": KEY, "s": "* k\n"}, {ORG}, True, "for all domains"),
        ({"c": "KeyFileEd25519 /k\n"}, set(), False, "names no domain"),
        ({"c": b"\0"}, set(), False, "NUL"),
    ],
)
def test_what_another_signer_signs(tmp_path, files, domains, below, doubt):
    path = str(laid(tmp_path, files))
    found = signed([path])[path]
    assert (found.domains, found.below, bool(found.doubt), doubt in found.doubt) == (domains, below, bool(doubt), True)
