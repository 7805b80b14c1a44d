"""The doctor: facts as data, and what is said of them. tests/e2e/test_doctor.py has the real Postfix."""

import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mailassay.doctor
from mailassay.cli import doctor, main
from mailassay.config import Dns, History, Listen, Problem, Relays, Reports, Settings, Web, load_policy
from mailassay.dmarc import Disposition
from mailassay.doctor import CHECKS, NoPostfix, examine, gather, host, milters, own, remaining
from mailassay.doctor.facts import Environment, Kept, Nameserver, Node, Reporting, Signed, Table, User
from mailassay.doctor.own import Own
from mailassay.doctor.system import OPENRC, SYSTEMD, System, installer, this_system
from mailassay.domain import Domain
from mailassay.feedback.ourselves import Alignment
from mailassay.finding import Severity
from mailassay.judge.logline import as_json
from mailassay.lookup import Problem as Fault
from mailassay.policy.sets import Networks
from mailassay.postfix import configuration
from mailassay.sign import Selectors, Sign
from mailassay.terminal import printable
from mailassay.verdict import DEFAULT, Action, Decider, Kind, Verdict
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.findings import codes
from tests.lab.healthy import CONFIG, GOOD, MAIN, NODES, OURS, POLICY, PROCESS, QUEUE, SOCKET, configured, service
from tests.lab.limits import LIMITS


def told(facts):
    """What is wrong, by severity and code."""
    return {(str(each.severity), each.code) for each in examine(facts) if each.severity is not Severity.FINE}


def fixes(facts, code):
    """The commands of the findings with a code."""
    return [command for each in examine(facts) if each.code == code for command in each.commands]


def listening(kind="unix", path="", host="", port=0, **others):
    """Settings with another socket."""
    return replace(GOOD.settings, listen=Listen(kind, path=path, host=host, port=port), **others)


def with_nodes(**changed):
    """Facts with other permissions: path (``/`` as ``__``) to changes."""
    nodes = {path: replace(NODES[path], **change) for path, change in changed.items()}
    return replace(GOOD, nodes={**NODES, **nodes})


def test_nothing_is_wrong_with_a_good_configuration():
    assert told(GOOD) == set()
    assert {each.code for each in examine(GOOD)} >= {
        "smtpd-milters",
        "bare-newline",
        "milter-default-action",
        "writable",
    }


ACCEPTED = Verdict(Action.ACCEPT, DEFAULT)
REFUSED = Verdict(Action.REJECT, Decider(Kind.SETTING, "dmarc.reject"), would=Action.REJECT)
ENFORCED = Own(Domain("example.org"), Disposition.REJECT, verdict=REFUSED)

RUN = listening(path="/run/mailassay/mailassay.sock")
TCP = listening("inet", host="127.0.0.1", port=8899)
ALL_MAIL = {"non_smtpd_milters": OURS, "internal_mail_filter_classes": "bounce"}
SIGNS = replace(GOOD.settings, sign=Sign({Domain("example.org"): Selectors(("2026a",))}))
SUBMISSION = service("submission", smtpd_milters="unix:opendkim/opendkim.sock")

OUT = service("relay", "unix", "smtp")
CONTAINER = System("apt-get install", starts=True, in_container=True)

HISTORY = "/var/lib/mailassay"
KEPT = replace(
    GOOD,
    settings=replace(GOOD.settings, history=History(directory=HISTORY)),
    nodes={
        **NODES,
        "/var/lib": Node("/var/lib", 0o755, 0, 0, "root"),
        HISTORY: Node(HISTORY, 0o700, 110, 115, "mailassay"),
        f"{HISTORY}/spool": Node(f"{HISTORY}/spool", 0o700, 110, 115, "mailassay"),
        f"{HISTORY}/history.sqlite": Node(f"{HISTORY}/history.sqlite", 0o600, 110, 115, "mailassay"),
    },
    kept=Kept(collected=True, lost=0, size=10**9, free=10**10),
)


def keeping(**changed):
    """Facts with another history."""
    return replace(KEPT, kept=replace(KEPT.kept, **changed))


PAGES = replace(KEPT.settings, web=Web(Listen("inet", host="127.0.0.1", port=8028)))


def of_history(name, **changed):
    """Facts with another owner or other permissions of what is in the folder of the history, or of itself."""
    path = f"{HISTORY}/{name}".rstrip("/")
    return replace(KEPT, nodes={**KEPT.nodes, path: replace(KEPT.nodes[path], **changed)})


REPORTING = replace(
    KEPT,
    settings=replace(KEPT.settings, reports=Reports("dmarc@example.org")),
    postfix=configured(recipient_delimiter="+", non_smtpd_milters=OURS, internal_mail_filter_classes="notify, bounce"),
    reports=Reporting(Alignment(), takes=True, knows=True, silence="", timer=True),
)


def reporting(**changed):
    """Facts with other reports."""
    return replace(REPORTING, reports=replace(REPORTING.reports, **changed))


def reported_by(**values):
    """Facts with reports and another Postfix."""
    good = {"recipient_delimiter": "+", "non_smtpd_milters": OURS, "internal_mail_filter_classes": "bounce"}
    return replace(REPORTING, postfix=configured(**good | values))


FINE = {
    "a history": KEPT,
    "reports": REPORTING,
    "reports of which nothing is known": replace(REPORTING, reports=Reporting()),
    "reports of a container": replace(reporting(timer=None), system=CONTAINER),
    "more delimiters": reported_by(recipient_delimiter="-+"),
    "another delimiter": reported_by(recipient_delimiter="-"),
    "pages": replace(KEPT, settings=PAGES),
    "a history that has just begun": replace(
        keeping(lost=None, size=0),
        nodes={path: node for path, node in KEPT.nodes.items() if path != f"{HISTORY}/spool"},
    ),
    "a history that another host has": replace(
        keeping(size=None, lost=None),
        settings=replace(GOOD.settings, history=History(directory=HISTORY, database="postgresql://a@b/c")),
    ),
    "a history of which nothing is known": replace(KEPT, daemon=None, kept=Kept()),
    "a segment that a collector reads just now": keeping(waiting=3, behind=599.0),
    "lines that are never broken": replace(GOOD, postfix=configured(service(), OUT, smtp_line_length_limit="0")),
    "lines as long as any": replace(GOOD, postfix=configured(service(), OUT, smtp_line_length_limit="9" * 5000)),
    "lines of a service that is not used": replace(GOOD, postfix=configured(lmtp_line_length_limit="10")),
    "a service that is not chrooted": replace(
        GOOD,
        settings=RUN,
        postfix=configured(service(chrooted=False), smtpd_milters="unix:/run/mailassay/mailassay.sock"),
    ),
    "the old name of /run": replace(
        GOOD,
        settings=RUN,
        real={"/var/run/mailassay/mailassay.sock": "/run/mailassay/mailassay.sock"},
        postfix=configured(service(chrooted=False), smtpd_milters="local:/var/run/mailassay/mailassay.sock"),
    ),
    "the whole path as the chroot has it": replace(
        GOOD, postfix=configured(smtpd_milters="unix:/mailassay/mailassay.sock")
    ),
    "TCP": replace(GOOD, settings=TCP, postfix=configured(smtpd_milters="inet:localhost:8899")),
    "TCP as Sendmail has it": replace(GOOD, settings=TCP, postfix=configured(smtpd_milters="inet:8899@127.0.0.1")),
    "TCP by a name": replace(
        GOOD,
        settings=listening("inet", host="192.0.2.1", port=8899),
        postfix=configured(smtpd_milters="inet:mx.example.org:8899"),
    ),
    "TCP on every address": replace(
        GOOD,
        settings=listening("inet6", host="::", port=8899),
        postfix=configured(smtpd_milters="inet:[::1]:8899"),
    ),
    "options of our own": replace(
        GOOD,
        postfix=configured(
            smtpd_milters=f"{{ {OURS}, default_action=tempfail, protocol=6, content_timeout=60 }}",
            milter_default_action="accept",
            milter_content_timeout="1s",
            milter_protocol="2",
        ),
    ),
    "shutdown": replace(GOOD, postfix=configured(milter_default_action="shutdown", mail_version="3.11.0")),
    "by an option of the service": replace(
        GOOD, postfix=configured(service(smtpd_milters=OURS), SUBMISSION, smtpd_milters="")
    ),
    "postscreen in front": replace(
        GOOD, postfix=configured(service("smtp", program="postscreen"), service("smtpd", "pass"))
    ),
    "a submission service without milters": replace(
        GOOD, postfix=configured(service(), service("submission", smtpd_milters=""), service("smtps", smtpd_milters=""))
    ),
    "what comes back from a content filter": replace(
        GOOD,
        postfix=configured(
            service(), service("127.0.0.1:10025", smtpd_milters=""), content_filter="smtp:[127.0.0.1]:10024"
        ),
    ),
    "what comes back from a content filter, without milters": replace(
        GOOD,
        postfix=configured(
            service(),
            service(
                "127.0.0.1:10025",
                content_filter="",
                receive_override_options="no_header_body_checks,no_milters",
                milter_default_action="accept",
            ),
            content_filter="smtp:[127.0.0.1]:10024",
        ),
    ),
    "what comes back from a content filter of an access table, without milters": replace(
        GOOD,
        postfix=configured(
            service(),
            service("127.0.0.1:10025", receive_override_options="no_milters", milter_default_action="accept"),
        ),
    ),
    "a submission service where no milter is asked": replace(
        GOOD, postfix=configured(service(), service("submission", receive_override_options="no_milters"))
    ),
    "a submission service that another program signs for, or may sign for": replace(
        GOOD,
        postfix=configured(
            service(),
            service("submission", content_filter="smtp:[127.0.0.1]:10024", smtpd_milters=""),
            service("587", receive_override_options="no_milters", smtpd_milters=""),
            service("465", smtpd_milters="unix:rspamd/milter.sock"),
            service("smtps", smtpd_milters="inet:10.0.0.1:1"),
            non_smtpd_milters="inet:localhost:8891",
        ),
    ),
    "a submission service, and a filter that only verifies": replace(
        GOOD,
        postfix=configured(service(), service("submission", smtpd_milters=""), non_smtpd_milters="inet:a:8891"),
        signers={"/etc/opendkim.conf": "v"},
    ),
    "a signer by a port of one's own": replace(
        GOOD,
        postfix=configured(service(), service("submission", smtpd_milters="inet:localhost:12301")),
        signing={"/etc/opendkim.conf": "inet:12301@127.0.0.1"},
    ),
    "a signer of which no socket is known": replace(
        GOOD,
        postfix=configured(service(), service("submission", smtpd_milters="")),
        signing={"/etc/opendkim.conf": ""},
    ),
    "a signer behind us": replace(
        GOOD,
        postfix=configured(smtpd_milters=f"{OURS}, unix:opendkim/opendkim.sock"),
        signers={"/etc/opendkim.conf": "s"},
    ),
    "an unknown milter": replace(GOOD, postfix=configured(smtpd_milters=f"unix:clamav/clamav-milter.ctl {OURS}")),
    "a policy service that is not for SPF": replace(
        GOOD, postfix=configured(smtpd_recipient_restrictions="check_policy_service inet:127.0.0.1:10023")
    ),
    "3.7.11": replace(GOOD, postfix=configured(mail_version="3.7.11")),
    "a snapshot": replace(GOOD, postfix=configured(mail_version="3.10-20240901")),
    "smuggling answered by a refusal": replace(GOOD, postfix=configured(smtpd_forbid_bare_newline="reject")),
    "tables about other fields": replace(
        GOOD, tables={"header_checks": (Table("regexp:/x", "/^Subject: x/ IGNORE", ""),), "milter_header_checks": ()}
    ),
    "a warning about our field": replace(
        GOOD, tables={"milter_header_checks": (Table("regexp:/x", "/^Auth/ WARN", "WARN"),)}
    ),
    "the domain of the host as authserv-id": replace(GOOD, settings=replace(GOOD.settings, authserv_id="example.org")),
    "the host's own name as authserv-id": replace(
        GOOD, settings=replace(GOOD.settings, authserv_id="a.example.net"), names=frozenset({"a.example.net"})
    ),
    "a relay that Postfix trusts": replace(
        GOOD,
        settings=replace(GOOD.settings, relays=Relays(Networks((ip_network("192.0.2.50/32"),)), ("mx2",))),
        postfix=configured(
            service(),
            service("submission", smtpd_sasl_auth_enable="Yes", smtpd_milters=""),
            mynetworks="127.0.0.0/8 [::1] 192.0.2.50",
        ),
    ),
    "the networks of Postfix": replace(GOOD, settings=replace(GOOD.settings, trusted_networks=None)),
    "the policy of the file": replace(GOOD, digest=GOOD.settings.policy.digest),
    "networks written otherwise": replace(
        GOOD,
        settings=replace(GOOD.settings, trusted_networks=(*GOOD.settings.trusted_networks, ip_network("192.0.2.0/24"))),
        postfix=configured(mynetworks="127.0.0.0/8, [::1]/128, 192.0.2.0/25 192.0.2.128/25"),
    ),
    "a file in a folder where everybody has a place of his own": with_nodes(**{"/etc": {"mode": 0o1777}}),
    "a daemon of which nothing is known": replace(GOOD, process=None, daemon=None, synchronized=None),
    "a daemon that began in the second of its installation": replace(GOOD, installed=PROCESS.started + 1),
    "a domain of one's own that is enforced": replace(
        GOOD, own=(Own(Domain("example.org"), Disposition.REJECT, verdict=REFUSED),)
    ),
    "a domain of one's own that is tagged as it asks": replace(
        GOOD,
        own=(
            Own(
                Domain("example.org"),
                Disposition.QUARANTINE,
                verdict=Verdict(Action.TAG, Decider(Kind.SETTING, "x"), would=Action.TAG),
            ),
        ),
    ),
    "no group asked for": replace(GOOD, settings=replace(GOOD.settings, socket_group=None)),
    "programs of this host": replace(
        GOOD, postfix=configured(service(), service("127.0.0.1:2525"), service("[::1]:2525", smtpd_milters=""))
    ),
    "a folder above the queue directory, which smtpd does not go through": with_nodes(
        **{"/var/spool": {"mode": 0o700}}
    ),
    "an instance": replace(
        GOOD, postfix=replace(configured(multi_instance_directories="/etc/postfix-out"), folder="/etc/postfix")
    ),
    "a socket that everybody may write to": replace(
        GOOD, settings=replace(GOOD.settings, socket_group="mailassay", socket_mode=0o666)
    ),
    "DNS beside the container": replace(
        GOOD, system=CONTAINER, nameservers=(Nameserver("10.96.0.10", 53, validates=True),)
    ),
    "root reads everything": replace(
        with_nodes(**{CONFIG: {"mode": 0o600}}), daemon=User("root", 0, frozenset({0}), "root")
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine(name):
    assert told(FINE[name]) == set()


BROKEN = {
    # reachable, and called
    "nobody answers": (
        replace(GOOD, silence="connection refused"),
        ("error", "answering"),
        "systemctl start mailassay",
    ),
    "somebody else answers": (
        replace(GOOD, process=replace(PROCESS, words=("/usr/sbin/opendkim", "-f"))),
        ("error", "stranger"),
        None,
    ),
    "no smtpd": (replace(GOOD, postfix=configured(SUBMISSION)), ("error", "no-smtpd"), None),
    "no milters": (
        replace(GOOD, postfix=configured(smtpd_milters="")),
        ("error", "smtpd-milters"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "a socket of ours of former times": (
        replace(GOOD, postfix=configured(smtpd_milters="{ unix:mailassay.sock, protocol=6 } inet:a:1")),
        ("error", "smtpd-milters"),
        f"postconf -e 'smtpd_milters={{ {OURS}, protocol=6 }}, inet:a:1'",
    ),
    "a queue directory by a link": (
        replace(
            GOOD,
            real={QUEUE: "/data/postfix", SOCKET: "/data/postfix/mailassay/mailassay.sock"},
            postfix=configured(smtpd_milters=""),
        ),
        ("error", "smtpd-milters"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "other milters": (
        replace(GOOD, postfix=configured(smtpd_milters="inet:10.0.0.1:1", written={"smtpd_milters": "$filters"})),
        ("error", "smtpd-milters"),
        f"postconf -e 'smtpd_milters={OURS}, $filters'",
    ),
    "a scanner that is there already": (
        replace(GOOD, postfix=configured(smtpd_milters="unix:clamav/clamav.sock, inet:localhost:8891")),
        ("error", "smtpd-milters"),
        f"postconf -e 'smtpd_milters=unix:clamav/clamav.sock, {OURS}, inet:localhost:8891'",
    ),
    "a scanner and a signer in the wrong order, and rspamd": (
        replace(
            GOOD,
            postfix=configured(smtpd_milters="inet:localhost:8891, unix:clamav/clamav.sock, inet:a:11332, inet:a:1"),
        ),
        ("error", "smtpd-milters"),
        f"postconf -e 'smtpd_milters=unix:clamav/clamav.sock, inet:a:11332, {OURS}, inet:localhost:8891, inet:a:1'",
    ),
    "another port": (
        replace(GOOD, settings=TCP, postfix=configured(smtpd_milters="inet:127.0.0.1:8898")),
        ("error", "smtpd-milters"),
        "postconf -e 'smtpd_milters=inet:127.0.0.1:8899, inet:127.0.0.1:8898'",
    ),
    "the same port of another host": (
        replace(GOOD, settings=TCP, postfix=configured(smtpd_milters="inet:192.0.2.1:8899")),
        ("error", "smtpd-milters"),
        "postconf -e 'smtpd_milters=inet:127.0.0.1:8899, inet:192.0.2.1:8899'",
    ),
    "the same port of another address": (
        replace(
            GOOD,
            settings=listening("inet", host="192.0.2.1", port=8899),
            postfix=configured(smtpd_milters="inet:192.0.2.9:8899"),
        ),
        ("error", "smtpd-milters"),
        "postconf -e 'smtpd_milters=inet:192.0.2.1:8899, inet:192.0.2.9:8899'",
    ),
    "other milters by an option": (
        replace(GOOD, postfix=configured(service(smtpd_milters="{ unix:a, protocol=6 }"))),
        ("error", "smtpd-milters"),
        f"postconf -P 'smtp/inet/smtpd_milters={OURS},{{unix:a,protocol=6}}'",
    ),
    "another service without us": (
        replace(GOOD, postfix=configured(service(), service("2525", smtpd_milters=""))),
        ("warning", "smtpd-milters"),
        f"postconf -P 2525/inet/smtpd_milters={OURS}",
    ),
    "port 25 of one address without us": (
        replace(GOOD, postfix=configured(service(), service("192.0.2.1:25", smtpd_milters=""))),
        ("error", "smtpd-milters"),
        f"postconf -P 192.0.2.1:25/inet/smtpd_milters={OURS}",
    ),
    "missing, and outside the chroot": (
        replace(GOOD, settings=RUN, postfix=configured(smtpd_milters="")),
        ("error", "smtpd-milters"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "a path that begins outside the chroot": (
        replace(GOOD, postfix=configured(smtpd_milters=f"{{ unix:{SOCKET}, default_action=tempfail }}")),
        ("error", "chroot"),
        f"postconf -e 'smtpd_milters={{ {OURS}, default_action=tempfail }}'",
    ),
    "a socket outside the chroot": (
        replace(GOOD, settings=RUN, postfix=configured(smtpd_milters="unix:/run/mailassay/mailassay.sock")),
        ("error", "chroot"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "a link out of the chroot": (
        replace(
            GOOD,
            settings=RUN,
            real={SOCKET: "/run/mailassay/mailassay.sock"},
            postfix=configured(smtpd_milters=OURS),
        ),
        ("error", "chroot"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "a folder that is closed to Postfix": (
        with_nodes(**{f"{QUEUE}/mailassay": {"gid": 115, "group": "mailassay"}}),
        ("error", "socket-access"),
        f"chgrp postfix {QUEUE}/mailassay",
    ),
    "a folder far above the socket": (
        replace(
            with_nodes(**{"/run": {"mode": 0o700}}),
            settings=RUN,
            postfix=configured(service(chrooted=False), smtpd_milters="unix:/run/mailassay/mailassay.sock"),
        ),
        ("error", "socket-access"),
        "chmod o+x /run",
    ),
    "a folder that is closed to its group": (
        with_nodes(**{f"{QUEUE}/mailassay": {"mode": 0o700}}),
        ("error", "socket-access"),
        f"chmod g+x {QUEUE}/mailassay",
    ),
    "a socket of another group": (
        with_nodes(**{SOCKET: {"gid": 0, "group": "root"}}),
        ("error", "socket-access"),
        f"chgrp postfix {SOCKET}",
    ),
    "a socket that is closed to Postfix": (
        with_nodes(**{SOCKET: {"mode": 0o600}}),
        ("error", "socket-access"),
        f"chmod g+rw {SOCKET}",
    ),
    "a group that does not exist": (
        replace(GOOD, settings=replace(GOOD.settings, socket_group="postfixx")),
        ("error", "socket-group"),
        None,
    ),
    "a group that is not Postfix's": (
        replace(GOOD, settings=replace(GOOD.settings, socket_group="mailassay")),
        ("error", "socket-group"),
        None,
    ),
    "a folder that is missing": (
        replace(GOOD, silence="no such file or directory", nodes={**NODES, f"{QUEUE}/mailassay": None, SOCKET: None}),
        ("error", "answering"),
        f"install -d -o mailassay -g postfix -m 0750 {QUEUE}/mailassay",
    ),
    "a mode that lets nobody in": (
        replace(GOOD, settings=replace(GOOD.settings, socket_mode=0o600)),
        ("error", "socket-group"),
        None,
    ),
    # another signer
    "opendkim signs too": (
        replace(
            GOOD,
            settings=SIGNS,
            postfix=configured(smtpd_milters=f"{OURS}, inet:localhost:8891", **ALL_MAIL),
            signers={"/etc/opendkim.conf": "s"},
            signing={"/etc/opendkim.conf": "inet:8891@localhost"},
            signed={"/etc/opendkim.conf": Signed(frozenset({Domain("example.org")}))},
        ),
        ("warning", "other-signer"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "opendkim still runs": (
        replace(
            GOOD,
            settings=SIGNS,
            postfix=configured(**ALL_MAIL),
            signing={"/etc/opendkim.conf": "inet:8891@localhost"},
            signed={"/etc/opendkim.conf": Signed(frozenset({Domain("example.org")}))},
            running=frozenset({"opendkim"}),
        ),
        ("note", "other-signer"),
        "systemctl disable --now opendkim",
    ),
    # not called where we should not be
    "submission, by main.cf": (
        replace(GOOD, postfix=configured(service(), service("submission"))),
        ("warning", "submission"),
        "postconf -P submission/inet/smtpd_milters=",
    ),
    "submissions, and a signer": (
        replace(GOOD, postfix=configured(service(), service("465", smtpd_milters=f"{OURS}, {{ unix:s, protocol=6 }}"))),
        ("warning", "submission"),
        "postconf -P '465/inet/smtpd_milters={unix:s,protocol=6}'",
    ),
    "submission by TLS at once": (
        replace(GOOD, postfix=configured(service(), service("10465", smtpd_tls_wrappermode="yes"))),
        ("warning", "submission"),
        "postconf -P 10465/inet/smtpd_milters=",
    ),
    # mail of one's own users that leaves as it is
    "submission, by main.cf, and a signer that mail from sendmail(1) meets": (
        replace(
            GOOD,
            postfix=configured(
                service(), service("submission", smtpd_milters=""), non_smtpd_milters="inet:localhost:8891"
            ),
        ),
        ("error", "unsigned"),
        "postconf -P submission/inet/smtpd_milters=inet:localhost:8891",
    ),
    "submission, and a signer that only its own configuration names": (
        replace(
            GOOD,
            postfix=configured(service(), service("587", smtpd_milters="unix:clamav/clamav-milter.ctl, inet:a:8893")),
            signers={"/etc/opendkim.conf": "sv"},
            signing={"/etc/opendkim.conf": f"local:{QUEUE}/dkim/sign.sock"},
        ),
        ("error", "unsigned"),
        "postconf -P 587/inet/smtpd_milters=unix:clamav/clamav-milter.ctl,inet:a:8893,unix:dkim/sign.sock",
    ),
    "users who log in at port 25": (
        replace(
            GOOD, postfix=configured(smtpd_sasl_auth_enable="yes"), signing={"/etc/opendkim.conf": "inet:12301@::1"}
        ),
        ("error", "unsigned"),
        f"postconf -e 'smtpd_milters={OURS}, inet:[::1]:12301'",
    ),
    "users who may log in at port 25 too": (
        replace(GOOD, postfix=configured(service(), SUBMISSION, smtpd_sasl_auth_enable="yes")),
        ("warning", "unsigned"),
        f"postconf -e 'smtpd_milters={OURS}, unix:opendkim/opendkim.sock'",
    ),
    "hosts of one's own that send by port 25": (
        replace(
            GOOD,
            settings=replace(
                GOOD.settings, trusted_networks=(*GOOD.settings.trusted_networks, ip_network("192.0.2.0/24"))
            ),
            postfix=configured(service(), SUBMISSION, mynetworks="127.0.0.0/8 [::1]/128 192.0.2.0/24"),
        ),
        ("note", "unsigned"),
        f"postconf -e 'smtpd_milters={OURS}, unix:opendkim/opendkim.sock'",
    ),
    "judged twice": (
        replace(
            GOOD, postfix=configured(service(), service("127.0.0.1:10025"), content_filter="smtp:[127.0.0.1]:10024")
        ),
        ("error", "content-filter"),
        "postconf -P 127.0.0.1:10025/inet/smtpd_milters=",
    ),
    "sendmail": (
        replace(GOOD, postfix=configured(non_smtpd_milters=OURS, written={"non_smtpd_milters": "$smtpd_milters"})),
        ("warning", "non-smtpd-milters"),
        "postconf -e non_smtpd_milters=",
    ),
    "sendmail, and a signer": (
        replace(GOOD, postfix=configured(non_smtpd_milters=f"{OURS} inet:127.0.0.1:8891")),
        ("warning", "non-smtpd-milters"),
        "postconf -e non_smtpd_milters=inet:127.0.0.1:8891",
    ),
    "no_milters": (
        replace(GOOD, postfix=configured(receive_override_options="no_address_mappings, no_milters")),
        ("error", "override-options"),
        "postconf -e receive_override_options=no_address_mappings",
    ),
    "no_milters at the only service, a local one": (
        replace(GOOD, postfix=configured(service("127.0.0.1:25", receive_override_options="no_milters"))),
        ("error", "override-options"),
        "postconf -P 127.0.0.1:25/inet/receive_override_options=",
    ),
    "a proxy filter": (
        replace(GOOD, postfix=configured(smtpd_proxy_filter="inet:127.0.0.1:10024")),
        ("error", "proxy-filter"),
        None,
    ),
    "milters by client": (
        replace(GOOD, postfix=configured(smtpd_milter_maps="cidr:/etc/postfix/milters")),
        ("note", "milter-maps"),
        None,
    ),
    # while we are away, and in time
    "accept": (
        replace(GOOD, postfix=configured(milter_default_action="Accept")),
        ("error", "milter-default-action"),
        "postconf -e milter_default_action=tempfail",
    ),
    "accept for us alone": (
        replace(
            GOOD,
            postfix=configured(smtpd_milters=f"{{{OURS} default_action=accept protocol=6}}, {{inet:a:1,protocol=6}}"),
        ),
        ("error", "milter-default-action"),
        f"postconf -e 'smtpd_milters={{ {OURS}, default_action=tempfail, protocol=6 }}, {{inet:a:1,protocol=6}}'",
    ),
    "accept at one service": (
        replace(GOOD, postfix=configured(service(milter_default_action="accept"))),
        ("error", "milter-default-action"),
        "postconf -P smtp/inet/milter_default_action=tempfail",
    ),
    "reject": (
        replace(GOOD, postfix=configured(milter_default_action="reject")),
        ("warning", "milter-default-action"),
        "postconf -e milter_default_action=tempfail",
    ),
    "quarantine": (
        replace(GOOD, postfix=configured(milter_default_action="quarantine")),
        ("warning", "milter-default-action"),
        "postconf -e milter_default_action=tempfail",
    ),
    "an action that nobody knows": (
        replace(GOOD, postfix=configured(milter_default_action="acept")),
        ("warning", "milter-default-action"),
        "postconf -e milter_default_action=tempfail",
    ),
    "an old protocol": (
        replace(GOOD, postfix=configured(milter_protocol="2")),
        ("error", "milter-protocol"),
        "postconf -e milter_protocol=6",
    ),
    "a short content timeout": (
        replace(GOOD, postfix=configured(milter_content_timeout="20")),
        ("error", "milter-timeout"),
        "postconf -e milter_content_timeout=300s",
    ),
    "a long message timeout": (
        replace(GOOD, settings=replace(GOOD.settings, message_timeout=300.0)),
        ("error", "milter-timeout"),
        "postconf -e milter_content_timeout=305s",
    ),
    "a short command timeout": (
        replace(GOOD, postfix=configured(milter_command_timeout="3s")),
        ("warning", "milter-timeout"),
        "postconf -e milter_command_timeout=30s",
    ),
    # others
    "opendmarc": (
        replace(GOOD, postfix=configured(smtpd_milters=f"unix:opendmarc/opendmarc.sock {OURS}")),
        ("warning", "competing-milter"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "the whole chain": (
        replace(
            GOOD,
            postfix=configured(
                smtpd_milters=f"unix:opendkim/opendkim.sock, unix:opendmarc/opendmarc.sock inet:a:1 {OURS}"
            ),
            signers={"/etc/opendkim.conf": "sv"},
        ),
        ("warning", "competing-milter"),
        f"postconf -e 'smtpd_milters=unix:opendkim/opendkim.sock, inet:a:1, {OURS}'",
    ),
    "pyspf-milter": (
        replace(GOOD, postfix=configured(smtpd_milters=f"{OURS}, unix:pyspf-milter/pyspf-milter.sock")),
        ("warning", "competing-milter"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "rspamd": (
        replace(GOOD, postfix=configured(smtpd_milters=f"{OURS}, inet:localhost:11332")),
        ("warning", "competing-milter"),
        None,
    ),
    "opendkim that verifies": (
        replace(
            GOOD,
            postfix=configured(smtpd_milters=f"{OURS}, inet:localhost:8891"),
            signers={"/etc/opendkim.conf": "sv"},
        ),
        ("warning", "competing-milter"),
        "systemctl restart opendkim",
    ),
    "opendkim that only verifies": (
        replace(
            GOOD,
            postfix=configured(smtpd_milters=f"{OURS}, inet:localhost:8891"),
            signers={"/etc/opendkim.conf": "v"},
        ),
        ("warning", "competing-milter"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "dkimpy-milter that verifies": (
        replace(
            GOOD,
            postfix=configured(smtpd_milters=f"{OURS}, inet:localhost:8892"),
            signers={"/etc/opendkim.conf": "s", "/etc/dkimpy-milter/dkimpy-milter.conf": "v"},
        ),
        ("warning", "competing-milter"),
        f"postconf -e smtpd_milters={OURS}",
    ),
    "a signer in front of us": (
        replace(
            GOOD,
            postfix=configured(smtpd_milters=f"inet:a:1 unix:opendkim/opendkim.sock {OURS}"),
            signers={"/etc/opendkim.conf": "s"},
        ),
        ("note", "milter-order"),
        f"postconf -e 'smtpd_milters=inet:a:1, {OURS}, unix:opendkim/opendkim.sock'",
    ),
    "a virus scanner behind us": (
        replace(GOOD, postfix=configured(smtpd_milters=f"inet:a:1 {OURS} unix:clamav/clamav-milter.ctl")),
        ("note", "milter-behind"),
        f"postconf -e 'smtpd_milters=inet:a:1, unix:clamav/clamav-milter.ctl, {OURS}'",
    ),
    "an SPF policy service": (
        replace(
            GOOD,
            postfix=configured(
                smtpd_recipient_restrictions="permit_mynetworks, reject_unauth_destination,"
                " check_policy_service unix:private/policyd-spf, permit"
            ),
        ),
        ("warning", "spf-policy-service"),
        "postconf -e 'smtpd_recipient_restrictions=permit_mynetworks, reject_unauth_destination, permit'",
    ),
    "an SPF policy service with options, by another name": (
        replace(
            GOOD,
            postfix=configured(
                smtpd_sender_restrictions="check_policy_service { unix:private/spf, timeout=10s } permit",
                written={"smtpd_sender_restrictions": "$mine"},
            ),
        ),
        ("warning", "spf-policy-service"),
        "postconf -e smtpd_sender_restrictions=permit",
    ),
    # content
    "further instances": (
        replace(GOOD, postfix=configured(multi_instance_directories="/etc/postfix-out, /etc/postfix-in")),
        ("note", "instances"),
        None,
    ),
    "an old Postfix": (replace(GOOD, postfix=configured(mail_version="3.7.10")), ("note", "postfix-version"), None),
    "a very old Postfix": (
        replace(GOOD, postfix=configured(mail_version="3.6.13", smtpd_forbid_bare_newline="yes")),
        ("note", "postfix-version"),
        None,
    ),
    "smuggling": (
        replace(GOOD, postfix=configured(smtpd_forbid_bare_newline="no")),
        ("error", "bare-newline"),
        "postconf -e smtpd_forbid_bare_newline=yes",
    ),
    "smuggling at one service": (
        replace(GOOD, postfix=configured(service(smtpd_forbid_bare_newline="no"))),
        ("error", "bare-newline"),
        "postconf -P smtp/inet/smtpd_forbid_bare_newline=yes",
    ),
    "lines broken by smtp": (
        replace(GOOD, postfix=configured(service(), OUT, smtp_line_length_limit="990")),
        ("warning", "line-length"),
        "postconf -e smtp_line_length_limit=998",
    ),
    "lines broken by lmtp, at one service": (
        replace(
            GOOD,
            postfix=configured(
                service(),
                OUT,
                service("dovecot", "unix", "lmtp", lmtp_line_length_limit="100"),
                smtp_line_length_limit="998",
                lmtp_line_length_limit="998",
            ),
        ),
        ("warning", "line-length"),
        "postconf -P dovecot/unix/lmtp_line_length_limit=998",
    ),
    "smuggling that this Postfix cannot forbid": (
        replace(GOOD, postfix=configured(smtpd_forbid_bare_newline="", smtpd_discard_ehlo_keywords="etrn chunking")),
        ("error", "bare-newline"),
        "postconf -e 'smtpd_discard_ehlo_keywords=chunking, etrn'",
    ),
    "smuggling that this Postfix can forbid only with pipelining": (
        replace(GOOD, postfix=configured(smtpd_forbid_bare_newline="", smtpd_forbid_unauth_pipelining="no")),
        ("error", "bare-newline"),
        "postconf -e smtpd_forbid_unauth_pipelining=yes",
    ),
    "smuggling, and restrictions that stay": (
        replace(GOOD, postfix=configured(smtpd_forbid_bare_newline="", smtpd_data_restrictions="permit_mynetworks")),
        ("error", "bare-newline"),
        "postconf -e 'smtpd_data_restrictions=reject_unauth_pipelining, permit_mynetworks'",
    ),
    "our header is stripped": (
        replace(
            GOOD,
            postfix=configured(milter_header_checks="regexp:/x, pcre:/y"),
            tables={"milter_header_checks": (Table("regexp:/x", "/^Auth/ IGNORE", "IGNORE"),)},
        ),
        ("error", "milter-header-checks"),
        "postconf -e milter_header_checks=pcre:/y",
    ),
    "the header of others is stripped": (
        replace(
            GOOD,
            postfix=configured(header_checks="pcre:{{/^Authentication-Results:/ STRIP}}", written={}),
            tables={"header_checks": (Table("pcre:{{/^Authentication-Results:/ STRIP}}", "", "strip x"),)},
        ),
        ("note", "header-checks"),
        "postconf -e header_checks=",
    ),
    "our header is written by others": (
        replace(
            GOOD,
            postfix=configured(header_checks="regexp:/x", written={"header_checks": "$tables"}),
            tables={"header_checks": (Table("regexp:/x", "/^Received:/ PREPEND authentication-results: x", ""),)},
        ),
        ("warning", "header-written"),
        "postconf -e header_checks=",
    ),
    "another policy than the file's": (
        replace(GOOD, digest="0123456789ab"),
        ("warning", "not-reloaded"),
        "systemctl reload mailassay",
    ),
    "a configuration that is wrong": (
        replace(
            GOOD, wrong=tuple(Problem(Severity.ERROR, "unknown-key", "x", path=POLICY, line=line) for line in (4, 5))
        ),
        ("error", "configuration"),
        f"mailassay config check --config {CONFIG}",
    ),
    "ours are wider": (
        replace(
            GOOD,
            settings=replace(
                GOOD.settings, trusted_networks=(*GOOD.settings.trusted_networks, ip_network("192.0.2.0/24"))
            ),
            postfix=configured(mynetworks="127.0.0.0/8 [::1] 192.0.2.0/25"),
        ),
        ("warning", "trusted-networks"),
        None,
    ),
    "a relay in a trusted network": (
        replace(
            GOOD,
            settings=replace(
                GOOD.settings,
                trusted_networks=(*GOOD.settings.trusted_networks, ip_network("192.0.2.0/24")),
                relays=Relays(Networks((ip_network("192.0.2.50/32"),))),
            ),
            postfix=configured(mynetworks="127.0.0.0/8 [::1] 192.0.2.0/24"),
        ),
        ("warning", "relays"),
        None,
    ),
    "logins of relays where nobody logs in": (
        replace(GOOD, settings=replace(GOOD.settings, relays=Relays(logins=("mx2",)))),
        ("warning", "relays"),
        None,
    ),
    "a network that Postfix trusts and we cannot": (
        replace(
            GOOD,
            settings=replace(GOOD.settings, trusted_networks=None),
            postfix=configured(mynetworks="127.0.0.0/8 !192.0.2.1 192.0.2.0/24"),
        ),
        ("note", "mynetworks-unknown"),
        None,
    ),
    "a network of Postfix's that covers nearly everybody": (
        replace(
            GOOD,
            settings=replace(GOOD.settings, trusted_networks=None),
            postfix=configured(mynetworks="127.0.0.0/8 [::1] 0.0.0.0/0"),
        ),
        ("note", "mynetworks-unknown"),
        None,
    ),
    "theirs are wider": (
        replace(GOOD, postfix=configured(mynetworks="127.0.0.0/8 [::1] 192.0.2.1 [2001:db8::]/32")),
        ("warning", "mynetworks"),
        None,
    ),
    "theirs are in a table": (
        replace(
            GOOD, postfix=configured(mynetworks="127.0.0.0/8 [::1] cidr:/etc/postfix/networks !192.0.2.1 10.0.0.256")
        ),
        ("note", "mynetworks-unknown"),
        None,
    ),
    "the name of another host": (
        replace(GOOD, settings=replace(GOOD.settings, authserv_id="mx.example.net")),
        ("warning", "authserv-id"),
        None,
    ),
    "a name that many have": (replace(GOOD, postfix=configured(myhostname="mail")), ("warning", "authserv-id"), None),
    # the host
    "a configuration that everybody writes": (
        with_nodes(**{CONFIG: {"mode": 0o666}}),
        ("error", "writable"),
        f"chmod o-w {CONFIG}",
    ),
    "a folder where everybody puts a policy": (
        with_nodes(**{"/etc/mailassay": {"mode": 0o777}}),
        ("error", "writable"),
        "chmod o-w /etc/mailassay",
    ),
    "a folder where everybody puts a socket": (
        with_nodes(**{f"{QUEUE}/mailassay": {"mode": 0o777}}),
        ("error", "writable"),
        f"chmod o-w {QUEUE}/mailassay",
    ),
    "a policy that the daemon cannot read": (
        with_nodes(**{POLICY: {"mode": 0o640}}),
        ("error", "readable"),
        f"chgrp mailassay {POLICY}",
    ),
    "a folder that the daemon cannot enter": (
        with_nodes(**{"/etc/mailassay": {"mode": 0o700}}),
        ("error", "readable"),
        "chmod g+x /etc/mailassay",
    ),
    "a policy that is the daemon's own": (
        with_nodes(**{POLICY: {"uid": 110}}),
        ("warning", "owner"),
        f"chown root {POLICY}",
    ),
    "DNS elsewhere": (
        replace(GOOD, nameservers=(Nameserver("192.0.2.53", 53, validates=True),)),
        ("warning", "nameserver-place"),
        "apt-get install unbound",
    ),
    "public DNS in a container": (
        replace(GOOD, system=CONTAINER, nameservers=(Nameserver("9.9.9.9", 53, validates=True),)),
        ("warning", "nameserver-place"),
        None,
    ),
    "DNS that does not answer": (
        replace(GOOD, nameservers=(Nameserver("127.0.0.1", 5353, trouble="time-out"),)),
        ("error", "nameserver"),
        None,
    ),
    "DNS that does not always answer": (
        replace(GOOD, nameservers=(*GOOD.nameservers, Nameserver("::1", 53, trouble="REFUSED"))),
        ("warning", "nameserver"),
        None,
    ),
    "DNS without DNSSEC": (
        replace(GOOD, nameservers=(Nameserver("127.0.0.1", 53),)),
        ("note", "nameserver-dnssec"),
        None,
    ),
    "a clock that nobody keeps": (
        replace(GOOD, synchronized=False),
        ("warning", "clock"),
        "timedatectl set-ntp true",
    ),
    "a daemon of yesterday": (
        replace(GOOD, installed=3e9),
        ("warning", "running-version"),
        "systemctl restart mailassay",
    ),
    "two installations": (
        replace(GOOD, interpreter="/usr/bin/python3"),
        ("note", "other-installation"),
        None,
    ),
    "a Python that an upgrade left behind": (
        replace(GOOD, environment=Environment("/usr/lib/mailassay", (3, 11), (3, 13))),
        ("warning", "old-python"),
        None,
    ),
    "few descriptors": (
        replace(GOOD, process=replace(PROCESS, files=256)),
        ("warning", "open-files"),
        "systemctl restart mailassay",
    ),
    "a domain of one's own without a policy": (
        replace(GOOD, own=(Own(Domain("example.org"), verdict=ACCEPTED),)),
        ("warning", "own-domain"),
        None,
    ),
    "a domain of one's own that only watches": (
        replace(GOOD, own=(Own(Domain("example.org"), Disposition.NONE, verdict=ACCEPTED),)),
        ("warning", "own-domain"),
        None,
    ),
    "a domain of one's own for which nothing is done": (
        replace(GOOD, own=(Own(Domain("example.org"), Disposition.REJECT, verdict=ACCEPTED),)),
        ("warning", "own-domain"),
        None,
    ),
    "a domain of one's own for which it is recorded what would be done": (
        replace(
            GOOD,
            own=(Own(Domain("example.org"), Disposition.REJECT, verdict=replace(REFUSED, action=Action.ACCEPT)),),
        ),
        ("note", "own-domain"),
        None,
    ),
    "a domain of one's own of which DNS says nothing": (
        replace(GOOD, own=(Own(Domain("example.org"), trouble="SERVFAIL"),)),
        ("note", "own-domain-unknown"),
        None,
    ),
    "a domain of one's own with a record in error": (
        replace(
            GOOD,
            own=(
                Own(
                    Domain("example.org"),
                    Disposition.REJECT,
                    (Fault(Severity.ERROR, "spf-several", "There are 2.", "Make one."),),
                    REFUSED,
                ),
            ),
        ),
        ("warning", "own-record"),
        None,
    ),
    "theirs are wider, and a domain of one's own is enforced": (
        replace(
            GOOD,
            postfix=configured(mynetworks="127.0.0.0/8 [::1] 192.0.2.1"),
            own=(Own(Domain("example.org"), Disposition.REJECT, verdict=REFUSED),),
        ),
        ("error", "mynetworks"),
        None,
    ),
    "a table of theirs, and a domain of one's own is enforced": (
        replace(GOOD, postfix=configured(mynetworks="127.0.0.0/8 [::1] cidr:/x"), own=(ENFORCED,)),
        ("warning", "mynetworks-unknown"),
        None,
    ),
    "a network that Postfix trusts and we cannot, and a domain of one's own is enforced": (
        replace(
            GOOD,
            settings=replace(GOOD.settings, trusted_networks=None),
            postfix=configured(mynetworks="127.0.0.0/8 !192.0.2.1 192.0.2.0/24"),
            own=(ENFORCED,),
        ),
        ("error", "mynetworks-unknown"),
        None,
    ),
    # the history
    "a folder of the history that is missing": (
        replace(KEPT, nodes={**KEPT.nodes, HISTORY: None}),
        ("warning", "history-folder"),
        f"install -d -o mailassay -g mailassay -m 0700 {HISTORY}",
    ),
    "a database that root has made": (
        of_history("history.sqlite", uid=0),
        ("warning", "history-folder"),
        f"chown mailassay: {HISTORY}/history.sqlite",
    ),
    "a spool that is not the service's": (
        of_history("spool", uid=0),
        ("warning", "history-folder"),
        f"chown mailassay: {HISTORY}/spool",
    ),
    "a history that everybody can read": (
        of_history("", mode=0o705),
        ("warning", "history-private"),
        f"chmod o-rwx {HISTORY}",
    ),
    "no collector": (
        keeping(collected=False, waiting=7, behind=9e4),
        ("warning", "history-collector"),
        "systemctl enable --now mailassay-collector",
    ),
    "a collector that is behind": (keeping(waiting=2, behind=601.0), ("warning", "history-behind"), None),
    "a collector that says what is wrong": (keeping(stuck="database is locked"), ("warning", "history-behind"), None),
    "pages that do not answer": (
        replace(keeping(pages="connection refused"), settings=PAGES),
        ("warning", "web"),
        "systemctl restart mailassay-collector",
    ),
    "records that were lost": (keeping(lost=3), ("warning", "history-lost"), None),
    "a full disk": (keeping(free=255 * 10**6), ("warning", "history-space"), None),
    "a disk that is full of the history": (keeping(size=10**10, free=9 * 10**8), ("warning", "history-space"), None),
    "a database of another program": (
        keeping(trouble=f"{HISTORY}/history.sqlite: it belongs to another program"),
        ("warning", "history-database"),
        "systemctl restart mailassay-collector",
    ),
    "no library": (keeping(missing=("psycopg",)), ("warning", "history-library"), None),
    "reports of which DNS says nothing": (
        reporting(alignment=Alignment(trouble="_dmarc.example.org TXT: SERVFAIL")),
        ("warning", "reports-unknown"),
        None,
    ),
    "no address extensions": (
        reported_by(recipient_delimiter=""),
        ("warning", "reports-delimiter"),
        "postconf -e recipient_delimiter=+",
    ),
    "a report address that has a delimiter": (
        replace(
            reported_by(recipient_delimiter="+-"),
            settings=replace(KEPT.settings, reports=Reports("dmarc-reports@example.org")),
        ),
        ("warning", "reports-delimiter"),
        None,
    ),
    "a report address elsewhere": (reporting(takes=False, knows=None), ("warning", "reports-address"), None),
    "a report address that nobody has": (reporting(knows=False), ("warning", "reports-address"), None),
    "bounces of a Postfix without our milter": (
        reported_by(non_smtpd_milters="unix:opendkim/opendkim.sock"),
        ("warning", "reports-bounces"),
        f"postconf -e 'non_smtpd_milters={OURS}, unix:opendkim/opendkim.sock'",
    ),
    "bounces that no milter sees": (
        reported_by(internal_mail_filter_classes=""),
        ("warning", "reports-bounces"),
        "postconf -e internal_mail_filter_classes=bounce",
    ),
    "no SMTP server for reports": (reporting(silence="connection refused"), ("warning", "reports-smtp"), None),
    "no timer for reports": (
        reporting(timer=False),
        ("warning", "reports-timer"),
        "systemctl enable --now mailassay-reports.timer",
    ),
    "something is held": (replace(GOOD, held=1, waiting=60.0), ("note", "held"), "mailassay held"),
    "something is held in another instance": (
        replace(GOOD, postfix=replace(GOOD.postfix, folder="/etc/postfix-in"), held=1, waiting=60.0),
        ("note", "held"),
        "mailassay held -c /etc/postfix-in",
    ),
    "nobody looks at what is held": (
        replace(GOOD, held=7, waiting=3.5 * 86_400),
        ("warning", "held"),
        "mailassay held",
    ),
    "a Postfix that is down": (replace(GOOD, down=True), ("warning", "postfix-down"), "systemctl restart postfix"),
    "an instance that is down": (
        replace(GOOD, postfix=replace(GOOD.postfix, folder="/etc/postfix-in"), down=True),
        ("warning", "postfix-down"),
        "postfix -c /etc/postfix-in start",
    ),
    "not root": (replace(GOOD, silence=None, unseen=("/x: denied",)), ("note", "not-looked-at"), None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong(name):
    """That one thing is said and nothing else, with the command that fixes it."""
    facts, finding, command = BROKEN[name]
    assert told(facts) == {finding}
    found = fixes(facts, finding[1])
    assert command in found if command else found == []


# no examination; and what tests/test_doctor_signing.py has
ELSEWHERE = {"removal.py", "signing.py"}


def test_every_finding_is_tested():
    files = [path for path in Path(mailassay.doctor.__file__).parent.glob("*.py") if path.name not in ELSEWHERE]
    assert {code for _, (_, code), _ in BROKEN.values()} == {code for path in files for code in codes(path)}


@pytest.mark.parametrize(
    ("config", "lines", "place"),
    [
        (CONFIG, {"socket_group": 7}, f"line 7 of {CONFIG}"),
        (CONFIG, {}, CONFIG),
        (None, {}, "our configuration"),
    ],
)
@pytest.mark.parametrize("group", ["root", "mailassay"])
def test_postfix_joins_no_group(config, lines, place, group):
    facts = replace(GOOD, config=config, settings=replace(GOOD.settings, socket_group=group, lines=lines))
    (found,) = [each for each in examine(facts) if each.code == "socket-group"]
    assert found.commands == ()
    assert f"Write socket_group: postfix ({place}) and restart mailassay" in found.text


@pytest.mark.parametrize("name", ["missing, and outside the chroot", "a socket outside the chroot"])
@pytest.mark.parametrize(
    ("config", "lines", "words"),
    [
        (CONFIG, {"listen": 3}, f"First write listen: unix:{SOCKET} (line 3 of {CONFIG})"),
        (None, {}, f"First write listen: unix:{SOCKET} (our configuration)"),
    ],
)
def test_our_socket_goes_into_the_chroot(name, config, lines, words):
    """In the words its line, in the commands the rest, in that order; smtpd stays where it is."""
    facts, (_, code), _ = BROKEN[name]
    facts = replace(facts, config=config, settings=replace(facts.settings, lines=lines))
    facts = replace(facts, nodes={**NODES, f"{QUEUE}/mailassay": None})
    (found,) = [each for each in examine(facts) if each.code == code]
    assert words in found.text
    assert found.commands == (
        f"install -d -o mailassay -g postfix -m 0750 {QUEUE}/mailassay",
        "systemctl restart mailassay",
        f"postconf -e smtpd_milters={OURS}",
    )


@pytest.mark.parametrize(
    ("name", "value", "versions", "severity"),
    [
        ("smtpd_forbid_bare_newline", "normalize", "3.5.24 3.6.14 3.7.10 3.7.11 3.8.5 3.9.0 3.10.13 3.11.7", None),
        ("smtpd_forbid_bare_newline", "normalize", "3.5.23 3.7.9 3.8.4", "warning"),
        ("smtpd_forbid_bare_newline", "reject", "3.8.4", "warning"),
        ("smtpd_forbid_bare_newline", "note", "3.9.0 3.10.13 3.11.7", None),
        ("smtpd_forbid_bare_newline", "note", "3.7.11 3.8.16", "warning"),
        ("smtpd_forbid_bare_newline", "YES", "3.7.9 3.8.4 3.11.7", None),
        ("smtpd_forbid_bare_newline", "No", "3.7.9 3.8.4 3.11.7", "error"),
        ("milter_default_action", "shutdown", "3.7.20 3.8.15 3.9.9 3.10.8 3.10.13 3.11.0 3.12-20270101 4.0", None),
        ("milter_default_action", "shutdown", "3.6.30 3.7.11 3.8.14 3.9.1 3.10.7", "warning"),
        ("milter_default_action", "tempfail", "3.7.11 3.11.7", None),
    ],
)
def test_what_a_release_of_postfix_knows(name, value, versions, severity):
    """postconf(5), and HISTORY of each series."""
    for version in versions.split():
        facts = replace(GOOD, postfix=configured(mail_version=version, **{name: value}))
        code = name.removeprefix("smtpd_forbid_").replace("_", "-")
        found = [each for each in examine(facts) if each.severity is not Severity.FINE and each.code.endswith(code)]
        assert [str(each.severity) for each in found] == ([severity] if severity else [])
        # what the fix sets is known to every release
        good = {"smtpd_forbid_bare_newline": "yes", "milter_default_action": "tempfail"}[name]
        assert [command for each in found for command in each.commands] == [f"postconf -e {name}={good}"][: len(found)]


SYSTEMS = {
    "systemd": System("dnf install", manager=SYSTEMD),
    "openrc": System("apk add", manager=OPENRC),
    "unknown": System(),
    "container": CONTAINER,
    "container with systemd": replace(CONTAINER, manager=SYSTEMD),
}


def of_system(facts, kind, code):
    """The fix in words, and the commands."""
    (found,) = [each for each in examine(replace(facts, system=SYSTEMS[kind])) if each.code == code]
    return found.fix, list(found.commands)


@pytest.mark.parametrize(
    ("kind", "words", "commands"),
    [
        ("systemd", "", ["systemctl start mailassay"]),
        ("openrc", "", ["rc-service mailassay start"]),
        ("unknown", "With this host's service manager, start mailassay", []),
        ("container", "From outside this container, start mailassay", []),
    ],
)
def test_services_are_started_in_the_way_of_the_system(kind, words, commands):
    assert of_system(replace(GOOD, silence="no"), kind, "answering") == (words, commands)


@pytest.mark.parametrize(
    ("kind", "words", "commands"),
    [
        ("systemd", "here", ["dnf install unbound", "systemctl enable --now unbound"]),
        ("openrc", "here", ["apk add unbound", "rc-update add unbound", "rc-service unbound start"]),
        ("unknown", "here", []),
        ("container", "beside this container", []),
        ("container with systemd", "here", ["apt-get install unbound"]),
    ],
)
def test_a_resolver_is_installed_in_the_way_of_the_system(kind, words, commands):
    facts = replace(GOOD, nameservers=(Nameserver("9.9.9.9", 53, validates=True),))
    fix = f"Run one {words}, such as unbound, and name it in dns.nameservers"
    assert of_system(facts, kind, "nameserver-place") == (fix, commands)


def test_an_installer_without_a_service_manager():
    assert System("dnf install").install("unbound") == (
        "dnf install unbound",
        "With this host's service manager, start unbound",
    )


@pytest.mark.parametrize(
    ("kind", "words", "commands"),
    [
        ("systemd", "", ["systemctl restart postfix"]),
        ("openrc", "", ["rc-service postfix zap", "rc-service postfix start"]),
        ("unknown", "", ["postfix start"]),
        ("container", "From outside this container, start postfix", []),
        ("container with systemd", "", ["systemctl restart postfix"]),
    ],
)
def test_postfix_is_started_in_the_way_of_the_system(kind, words, commands):
    assert of_system(replace(GOOD, down=True), kind, "postfix-down") == (words, commands)


@pytest.mark.parametrize(
    ("kind", "words", "commands"),
    [
        ("systemd", "", ["timedatectl set-ntp true"]),
        ("openrc", "Run a time daemon, such as chrony", []),
        ("unknown", "Run a time daemon, such as chrony", []),
        ("container", "Run a time daemon, such as chrony, outside this container", []),
        ("container with systemd", "Run a time daemon, such as chrony, outside this container", []),
    ],
)
def test_the_clock_is_set_in_the_way_of_the_system(kind, words, commands):
    assert of_system(replace(GOOD, synchronized=False), kind, "clock") == (words, commands)


@pytest.mark.parametrize("kind", SYSTEMS)
def test_only_systemd_has_a_timer_for_held_messages(kind):
    has_timer = "systemd" in kind
    words, commands = of_system(replace(GOOD, held=1, waiting=60.0), kind, "held")
    assert commands == [
        "mailassay held",
        *(["systemctl enable --now mailassay-held.timer"] if has_timer else []),
    ]
    assert ("mailassay-held.timer reminds" in words) is has_timer
    assert ("a cron job that runs mailassay held --remind 0s reminds" in words) is (not has_timer)


@pytest.mark.parametrize("kind", ["openrc", "unknown"])
def test_without_systemd_no_command_of_it_is_proposed(kind):
    """The same is found, and other commands stay."""
    own = ("systemctl", "timedatectl", "apt-get", "rc-service", "rc-update", "apk")
    # only systemd says by which policy the daemon judges
    for facts in (case[0] for case in BROKEN.values() if not case[0].digest and case[0].system is not CONTAINER):
        with_it, without = examine(facts), examine(replace(facts, system=SYSTEMS[kind]))
        assert [(each.severity, each.code) for each in with_it] == [(each.severity, each.code) for each in without]
        for one, other in zip(with_it, without, strict=True):
            assert not any(each.startswith(("systemctl ", "timedatectl ")) for each in other.commands)
            stay = [[each for each in found.commands if each.split()[0] not in own] for found in (one, other)]
            assert stay[0] == [each for each in stay[1] if each != "postfix start"]


RELEASES = {
    "Debian 12": (
        'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n',
        ("apt-get install", True),
    ),
    "Debian 13": (
        'NAME="Debian GNU/Linux"\nVERSION_ID="13"\nID=debian\nDEBIAN_VERSION_FULL=13.2\n',
        ("apt-get install", True),
    ),
    "Ubuntu 24.04": ('NAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n', ("apt-get install", True)),
    "Linux Mint": ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', ("apt-get install", True)),
    "AlmaLinux 9": (
        'NAME="AlmaLinux"\nVERSION="9.4 (Seafoam Ocelot)"\nID="almalinux"\nID_LIKE="rhel centos fedora"\n',
        ("dnf install", False),
    ),
    "RHEL 10": ('ID="rhel"\nID_LIKE="centos fedora"\n', ("dnf install", False)),
    "Fedora": ("ID=fedora\nVERSION_ID=43\n", ("dnf install", False)),
    "Alpine": ('NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\n', ("apk add", False)),
    "Arch": ("ID=arch\n", ("pacman -S", False)),
    "openSUSE": ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', ("zypper install", False)),
    "a distribution that is not known": ("ID=nixos\n", ("", False)),
    "malformed lines": ("ID\n=debian\nID =debian\n\0\nID_LIKE='\n", ("", False)),
    "empty": ("", ("", False)),
    "not UTF-8": (b"NAME=\xff\nID=debian\n", ("", False)),
    "no file": (None, ("", False)),
}


def system_of(path, content):
    """What a machine is taken for if its os-release has this content; None: it has none."""
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("platform._os_release_candidates", (str(path),))
        patched.setattr("platform._os_release_cache", None)
        return this_system()


@pytest.mark.parametrize("name", RELEASES)
def test_the_installer_of_a_distribution(tmp_path, name):
    content, expected = RELEASES[name]
    found = system_of(tmp_path / "os-release", content)
    assert (found.installer, found.starts) == expected


@given(content=st.binary() | st.text().map(lambda text: f"ID={text}\nID_LIKE='{text} alpine'\n"))
def test_any_os_release_is_read(tmp_path_factory, content):
    found = system_of(tmp_path_factory.getbasetemp() / "os-release", content)
    assert (found.installer, found.starts) in [expected for _, expected in RELEASES.values()]


@given(st.dictionaries(st.sampled_from(["ID", "ID_LIKE"]), st.text()))
def test_the_closest_distribution_decides(release):
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    assert bool(installer(release)[0]) is bool({"debian", "fedora", "rhel", "alpine", "arch", "suse"} & set(names))


@pytest.mark.parametrize(
    ("paths", "manager"),
    [({"/run/systemd/system"}, SYSTEMD), ({"/run/openrc/softlevel"}, OPENRC), (set(), None)],
)
@pytest.mark.parametrize("container", ["", "podman"])
def test_the_service_manager(monkeypatch, paths, manager, container):
    monkeypatch.setattr("mailassay.doctor.system.os.path.exists", lambda path: path in paths)
    monkeypatch.setenv("container", container)
    found = this_system()
    assert found.manager is manager
    assert found.in_container is bool(container)


def test_root_is_not_told_to_be_root():
    for is_root in (True, False):
        facts = replace(GOOD, unseen=("/x: denied",), is_root=is_root)
        (found,) = [each for each in examine(facts) if each.code == "not-looked-at"]
        assert ("as root" in found.text) is not is_root


def test_worst_first():
    facts = replace(GOOD, synchronized=False, silence="x", postfix=configured(mail_version="3.1"))
    severities = [each.severity for each in examine(facts)]
    assert severities == sorted(severities, key=list(Severity).index)
    assert severities[0] is Severity.ERROR


def test_nothing_is_said_twice():
    """Two services, one parameter of main.cf."""
    facts = replace(GOOD, postfix=configured(service(), service("smtpd", "pass"), milter_default_action="accept"))
    assert fixes(facts, "milter-default-action") == ["postconf -e milter_default_action=tempfail"]


def another_check(facts):
    yield mailassay.doctor.Finding(Severity.NOTE, "x", facts.postfix.value("myhostname"))


def test_another_check_can_be_added(monkeypatch):
    monkeypatch.setattr(mailassay.doctor, "CHECKS", [*CHECKS, another_check])
    assert ("note", "x") in told(GOOD)


@pytest.mark.parametrize(
    ("folder", "python", "system", "said"),
    [
        ("/usr/lib/mailassay", (3, 11), (3, 13), "install it (Debian: make deb)"),
        ("/usr/local/lib/mailassay", (3, 9), (3, 13), "make install or pip"),
        # RHEL 9: python3 is 3.9, and python3.12 is beside it
        ("/usr/lib/mailassay", (3, 12), (3, 9), ""),
        ("/usr/lib/mailassay", (3, 11), (3, 11), ""),
    ],
)
def test_an_upgrade_of_the_system_leaves_the_environment_its_python(folder, python, system, said):
    (found,) = host.environment(replace(GOOD, environment=Environment(folder, python, system)))
    assert found.severity is (Severity.WARNING if said else Severity.FINE)
    assert said in found.text


def test_the_environment_is_found(tmp_path):
    (tmp_path / "python3.13").touch()
    python3 = tmp_path / "python3"
    python3.symlink_to("python3.13")
    own = sys.version_info[:2]
    assert gather.environment("/usr/lib/x", "/usr", python3) == Environment("/usr/lib/x", own, (3, 13))
    assert gather.environment("/usr", "/usr", python3) is None
    assert gather.environment("/usr/lib/x", "/opt/python", python3) is None
    assert gather.environment("/usr/lib/x", "/usr", tmp_path / "no-python3") is None


@pytest.mark.parametrize(
    "text",
    [
        "Mode sv\n", "# Mode s\nMode\tvs # both\nKeyTable x\n", "  mode   sv", "\nMode sv\n\nMode sv\n",
        "Syslog yes\n", "# Mode s\n#Mode s", "ModeX sv\nX Mode s\n", "Mode\n", "Mode sv\r\n",
    ],
)  # fmt: skip
def test_a_signer_goes_on_signing(tmp_path, text):
    """What is to be done about one that also verifies changes its Mode, and nothing else."""
    path = tmp_path / "opendkim.conf"
    path.write_text(text, newline="")

    def found():
        return dict(gather.signers([], [str(path)]))

    facts = replace(GOOD, postfix=configured(smtpd_milters=f"{OURS}, inet:localhost:8891"), signers=found())
    assert told(facts) == {("warning", "competing-milter")}
    mode, restart = fixes(facts, "competing-milter")
    assert restart == "systemctl restart opendkim"
    subprocess.run(["/bin/sh", "-ec", mode], check=True)
    assert told(replace(facts, signers=found())) == set()

    def others(text):
        return [line for line in text.splitlines() if line.split()[:1] not in ([], ["Mode"], ["mode"])]

    assert others(path.read_text()) == others(text)


MENDED_STAYS_SIGNED = {
    "submission": configured(service(), service("submission"), non_smtpd_milters="inet:localhost:8891"),
    "submission, and others": configured(
        service(), service("465", smtpd_milters=f"{OURS} inet:a:8893"), non_smtpd_milters="inet:localhost:8891"
    ),
    "non-smtpd-milters": configured(service(), SUBMISSION, non_smtpd_milters=OURS),
}


@pytest.mark.parametrize("name", MENDED_STAYS_SIGNED)
def test_no_fix_takes_a_signer_away(name):
    """Where ours is the only milter, and other mail of this host is signed."""
    (command,) = fixes(replace(GOOD, postfix=MENDED_STAYS_SIGNED[name]), name.partition(",")[0])
    assert "8891" in command or "opendkim" in command


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ("Mode sv\nKeyFile /x\nSocket inet:8891@localhost\n", "inet:8891@localhost"),
        ("keytable x # y\n socket\tlocal:/run/x # y\n", "local:/run/x"),
        ("SigningTable x\nKeyTable y\n", ""),
        ("Mode v\nKeyTable x\nSocket local:/run/x\n", None),
        ("#KeyFile x\nSocket local:/run/x\n", None),
        ("Socket local:/run/x\nKeyFile\n", None),
    ],
)
def test_who_has_a_key_signs(tmp_path, text, socket):
    path = tmp_path / "opendkim.conf"
    path.write_text(text)
    files = [str(path), str(tmp_path / "missing")]
    found = dict(gather.signing(files, {"opendkim": "/usr/sbin/opendkim"}.get))
    assert found == ({} if socket is None else {str(path): socket})
    assert dict(gather.signing(files, lambda _: None)) == {}


# before mailassay is removed


def left(facts):
    """Code and commands of what Postfix still needs us for."""
    return [(str(each.severity), each.code, *each.commands) for each in remaining(facts)]


def test_nothing_is_left_to_ask():
    assert left(replace(GOOD, postfix=configured(service(), SUBMISSION, smtpd_milters="inet:a:1"))) == []


def test_every_list_that_has_our_socket():
    """By its path, by TCP, or by our name; what is in a list beside it stays."""
    lines = (
        service(),
        service("submission", smtpd_milters=f"{{ {OURS}, protocol=6 }}, inet:localhost:8891"),
        service("465", smtpd_milters="inet:localhost:8891"),
    )
    names = {"smtpd_milters": "$filters, unix:run/mailassay.sock", "non_smtpd_milters": "$smtpd_milters"}
    values = dict.fromkeys(names, f"inet:a:1, {OURS}, unix:run/mailassay.sock")
    facts = replace(GOOD, postfix=configured(*lines, written=names, **values))
    assert left(facts) == [
        (
            "error",
            "still-asked",
            "postconf -e smtpd_milters=inet:a:1",
            "postconf -P submission/inet/smtpd_milters=inet:localhost:8891",
            "postconf -e non_smtpd_milters=inet:a:1",
            "postfix reload",
        )
    ]
    tcp = replace(GOOD, settings=TCP, postfix=configured(smtpd_milters="inet:localhost:8899"))
    assert left(tcp) == [("error", "still-asked", "postconf -e smtpd_milters=", "postfix reload")]


@pytest.mark.parametrize(
    ("action", "words"),
    [("tempfail", "deferred"), ("accept", "unjudged"), ("reject", "refused for good"), ("quarantine", "hold queue")],
)
def test_what_would_become_of_mail(action, words):
    (found,) = remaining(replace(GOOD, postfix=configured(milter_default_action=action)))
    assert words in found.text


def test_a_postfix_that_is_down_is_told_before_it_runs_again():
    (found,) = remaining(replace(GOOD, down=True))
    assert (found.severity, found.commands) == (Severity.WARNING, ("postconf -e smtpd_milters=",))
    assert "as soon as Postfix runs again" in found.text


def test_what_is_held_on_our_word():
    facts = replace(GOOD, postfix=configured(smtpd_milters=""), held=3)
    assert left(facts) == [("warning", "still-held", "mailassay held", "mailassay held release --all")]
    (found,) = left(replace(facts, postfix=replace(facts.postfix, folder="/etc/a b")))
    assert found[2:] == ("mailassay held -c '/etc/a b'", "mailassay held release --all -c '/etc/a b'")


@pytest.mark.skipif(not shutil.which("postconf", path="/usr/sbin"), reason="Postfix is not installed")
def test_a_queue_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "master.cf").write_text("")
    (tmp_path / "postqueue").write_text("#!/bin/sh\necho 'postqueue: fatal: no luck' >&2\nexit 1\n")
    (tmp_path / "postqueue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (found,) = remaining(gather.before_removal(Settings(), str(tmp_path)))
    assert (found.severity, found.code, found.commands) == (
        Severity.WARNING,
        "still-unknown",
        (f"mailassay held -c {tmp_path}",),
    )
    assert "no luck" in found.text


# what postconf prints

MASTER = """\
smtp       inet  n       -       y       -       -       smtpd -v -o smtpd_milters=$x
127.0.0.1:10025 inet n   -       -       -       -       smtpd
pickup     unix  n       -       n       60      1       pickup
maildrop   unix  -       n       n       -       -       pipe flags=DRXhu user=vmail argv=/usr/bin/maildrop ${recipient}
smtpd      pass  -       -       n       -       -       smtpd
"""


@pytest.mark.parametrize("default", [True, False])
def test_services(default):
    found = list(configuration.services(MASTER, default))
    assert [(str(each), each.program, each.chrooted) for each in found] == [
        ("smtp/inet", "smtpd", True),
        ("127.0.0.1:10025/inet", "smtpd", default),
        ("pickup/unix", "pickup", False),
        ("maildrop/unix", "pipe", False),
        ("smtpd/pass", "smtpd", False),
    ]


def test_parameters():
    assert configuration.parameters("a = b = c\nd =\n\npostconf: warning\n") == {"a": "b = c", "d": ""}


def test_overrides():
    output = "submission/inet/smtpd_milters = { unix:a/b, protocol=6 }\n[::1]:25/inet/x =\n127.0.0.1:465/inet/y = $z\n"
    assert configuration.overrides(output) == {
        "submission/inet": {"smtpd_milters": "{ unix:a/b, protocol=6 }"},
        "[::1]:25/inet": {"x": ""},
        "127.0.0.1:465/inet": {"y": "$z"},
    }


WORDS = st.text(st.characters(exclude_characters=" ,{}\t\r\n", categories=["L", "N", "P", "S"]), min_size=1)
BRACED = st.lists(WORDS).map(lambda words: "{ " + ", ".join(words) + " }")


@given(st.lists(WORDS | BRACED), st.sampled_from([" ", ",", ", ", "\t,"]))
def test_tokens(words, between):
    assert configuration.tokens(between.join(words)) == words


@given(st.text())
def test_tokens_of_anything(text):
    """Nothing is lost but what stands between."""
    found = configuration.tokens(text)
    assert [mark for mark in "".join(found) if mark not in ", \t\r\n"] == [
        mark for mark in text if mark not in ", \t\r\n"
    ]
    milters.parsed(text)


@given(st.text())
def test_any_output_is_read(text):
    for each in configuration.services(text, chrooted=True):
        assert each.name
        assert each.program
    found = configuration.parameters(text)
    assert set(found) == {line.partition("=")[0].strip() for line in text.split("\n") if "=" in line}
    of_services = configuration.overrides(text)
    assert {f"{service}/{name}" for service, names in of_services.items() for name in names} == {
        name for name in found if "/" in name
    }


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_-.0123456789", min_size=1)
COLUMNS = st.tuples(NAMES, st.sampled_from(["inet", "unix", "pass", "fifo"]), st.sampled_from("yn-"), NAMES)


@given(st.lists(COLUMNS))
def test_every_service_is_read(lines):
    output = "".join(f"{name} {kind} - - {chroot}  - - {program} -o a=b\n" for name, kind, chroot, program in lines)
    assert [
        (each.name, each.kind, each.chrooted, each.program) for each in configuration.services(output, chrooted=False)
    ] == [(name, kind, chroot == "y", program) for name, kind, chroot, program in lines]


OPTIONS = st.dictionaries(st.sampled_from(["default_action", "protocol", "content_timeout"]), NAMES)
MILTERS = st.builds(milters.Milter, NAMES.map("unix:{}".format) | NAMES.map("inet:{}:1".format), OPTIONS)


@given(st.lists(MILTERS))
def test_milters_are_read_as_they_are_written(lists):
    for text in (", ".join(map(str, lists)), configuration.unspaced(" ".join(map(str, lists)))):
        assert list(milters.parsed(text)) == lists


@given(st.lists(MILTERS, min_size=1, unique_by=str), st.data())
def test_one_is_taken_out(lists, data):
    out = data.draw(st.sampled_from(lists))
    written = configured(smtpd_milters=" ".join(map(str, lists)))
    value = milters.edited(written, "smtpd_milters", written.services[0], lambda each: None if each == out else each)
    assert list(milters.parsed(value)) == [each for each in lists if each != out]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("300", 300), ("5m", 300), ("1h", 3600), ("1d", 86400), ("1w", 604800), ("x", float("inf"))],
)
def test_seconds(text, seconds):
    assert configuration.seconds(text) == seconds


@pytest.mark.parametrize("name", [name for name, (_, _, command) in BROKEN.items() if command])
def test_commands_are_safe_for_a_shell(name):
    facts, (_, code), _ = BROKEN[name]
    for command in fixes(facts, code):
        assert shlex.join(shlex.split(command)) == command
        assert shlex.split(command)[0] in {
            "postconf",
            "chmod",
            "chown",
            "chgrp",
            "systemctl",
            "timedatectl",
            "apt-get",
            "mailassay",
            "install",
            "sed",
            "postfix",
        }


def test_values_cannot_leave_their_quotes():
    evil = "unix:$(touch${IFS}/tmp/x) `id` 'x' \";reboot"
    facts = replace(GOOD, postfix=configured(smtpd_milters=evil))
    (command,) = fixes(facts, "smtpd-milters")
    assert shlex.split(command) == ["postconf", "-e", f"smtpd_milters={OURS}, {evil}"]


# what is looked at


def test_nobody_is_there(tmp_path, free_port):
    assert gather._greeted(Listen("unix", path=str(tmp_path / "s")), []) == ("no such file or directory", None)
    assert gather._greeted(Listen("inet", host="127.0.0.1", port=free_port), []) == ("connection refused", None)


def test_this_process():
    found = gather._process(os.getpid(), [])
    assert found.pid == os.getpid()
    assert any("python" in word or "pytest" in word for word in found.words)
    assert found.files >= 64
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as child:
        assert gather._process(child.pid, []).started >= found.started
    gone = []
    assert gather._process(2**22 + 1, gone) is None
    assert len(gone) == 1


def test_nodes_on_the_way(tmp_path):
    (tmp_path / "f").write_text("x")
    found = dict(gather._nodes([str(tmp_path / "f"), str(tmp_path / "no" / "g"), str(tmp_path / "f" / "h")], []))
    assert found[str(tmp_path / "no")] is found[str(tmp_path / "f" / "h")] is None
    assert found["/"].path == "/"
    assert found[str(tmp_path / "f")].mode == stat.S_IMODE((tmp_path / "f").stat().st_mode)


@pytest.mark.parametrize("authentic", [True, False])
def test_name_servers(free_port, authentic):
    with DnsServer(Zone('arpa TXT "x"', limits=LIMITS)) as server:
        server.authentic = authentic
        settings = Settings(dns=Dns(nameservers=((server.address, server.port), ("127.0.0.1", free_port)), timeout=1.0))
        asked, silent = gather._asked(settings)
    assert (asked.trouble, asked.validates) == ("", authentic)
    assert silent.trouble


OWN = """
none.example TXT "v=spf1 +all"
_dmarc.watch.example TXT "v=DMARC1; p=none"
watch.example TXT "v=spf1 -all"
_dmarc.strict.example TXT "v=DMARC1; p=reject; rua=mailto:x@strict.example"
strict.example TXT "v=spf1 -all"
"""


def looked_at(policy, *names):
    """What is found of domains in that DNS."""
    with DnsServer(Zone(OWN, limits=LIMITS)) as server:
        settings = replace(
            GOOD.settings, policy=policy, dns=Dns(nameservers=((server.address, server.port),), timeout=30.0)
        )
        found = own.looked_at([Domain(name) for name in names], settings)
    return replace(GOOD, settings=settings, own=tuple(found))


def test_strangers_in_the_name_of_ones_own_domains(tmp_path):
    names = ("none.example", "watch.example", "strict.example", "missing.example")
    facts = looked_at(GOOD.settings.policy, *names)
    found = [each for each in examine(facts) if each.code.startswith("own-")]
    asks = {each.name: (each.asks, each.verdict.action, each.exists) for each in facts.own}
    assert asks == {
        "none.example": (None, "accept", True),
        "watch.example": ("none", "accept", True),
        "strict.example": ("reject", "reject", True),
        "missing.example": (None, "accept", False),
    }
    said = {name: [each for each in found if name in each.text] for name in names}
    assert [str(each.severity) for each in said["strict.example"]] == ["fine", "fine"]
    assert "SPF lets anybody send for the domain" in said["none.example"][1].text
    assert "publishes no DMARC policy: mail from strangers in its name is accepted" in said["none.example"][0].text
    assert "publishes p=none" in said["watch.example"][0].text
    assert "is not in DNS" in said["missing.example"][0].text
    # who obeys has it refused
    for name in ("none.example", "watch.example", "missing.example"):
        path = tmp_path / "policy.yaml"
        path.write_text(re.search(r"policy\.yaml: (dmarc: .*?\]\})", said[name][0].text)[1])
        (obeyed,) = looked_at(load_policy(str(path)), name).own
        assert obeyed.verdict.action == "reject", name


def test_a_message_outside_the_sample(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("dmarc: {enforce_percent: 99}")
    facts = looked_at(load_policy(str(path)), "strict.example")
    assert ("note", "own-domain") in told(facts)


def test_domains_that_dns_does_not_answer_for(free_port):
    settings = replace(GOOD.settings, dns=Dns(nameservers=(("127.0.0.1", free_port),), timeout=0.05))
    (found,) = own.looked_at([Domain("example.org")], settings)
    assert found.verdict is None
    assert found.trouble


@pytest.fixture
def postconf(tmp_path, monkeypatch):
    """What postconf and postmap print."""

    def prints(**parameters):
        lines = "".join(f"{name} = {value}\n" for name, value in parameters.items())
        (tmp_path / "values").write_text(lines)
        keys = "b.example\tx\nuser@c.example\ty\n.d.example\tz\n"
        (tmp_path / "keys").write_text(keys)
        programs = {"postconf": f"cat {tmp_path}/values", "postmap": f'test "$2" != hash:/no && cat {tmp_path}/keys'}
        for name, script in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        unseen = []
        found = own.domains(GOOD.postfix, time.monotonic() + 60, ["host.example.org"], unseen)
        return found, unseen

    return prints


def test_ones_own_domains(postconf, tmp_path):
    (tmp_path / "list").write_text("# ours\ne.example, F.example\n!g.example\n")
    found, unseen = postconf(
        mydestination="mx.example.org, host.example.org localhost.example.org localhost example.org [192.0.2.1]",
        virtual_alias_domains="proxy:hash:/x ldap:/y hash:/no static:all",
        virtual_mailbox_domains=f"{tmp_path}/list /nowhere x.example",
        relay_domains="192.0.2.1 example.org nobody",
    )
    assert found == ["example.org", "b.example", "d.example", "e.example", "f.example", "x.example"]
    assert [each.partition(":")[0] for each in unseen] == [
        "the domains of virtual_alias_domains in ldap",
        "the domains of virtual_alias_domains in hash",
        "the domains of virtual_mailbox_domains in /nowhere",
    ]


def test_a_host_with_the_name_of_its_domain(monkeypatch):
    monkeypatch.setattr(own, "run", lambda *_: "mydestination = example.org, localhost")
    assert own.domains(configured(myhostname="example.org"), time.monotonic() + 60, [], []) == ["example.org"]
    assert own.domains(configured(myhostname="Mx.Example.org"), time.monotonic() + 60, [], []) == ["example.org"]


def test_many_domains_of_ones_own(postconf):
    found, unseen = postconf(mydestination=" ".join(f"d{number}.example" for number in range(own.MOST + 5)))
    assert len(found) == own.MOST
    assert unseen == ["5 more mail domains than 20; mailassay lookup DOMAIN shows one"]
    _, unseen = postconf(mydestination=" ".join(f"d{number}.example" for number in range(20_000)))
    assert unseen[0].startswith("mydestination beyond its first")


@contextmanager
def nobody():
    """Without root's powers, where root runs the tests."""
    before = os.geteuid()
    os.seteuid(before or 65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_may_not_be_looked_at(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(closed / "s"))
        listener.listen()
        closed.chmod(0)
        unseen = []
        with nobody():
            found = dict(gather._nodes([str(closed / "s")], unseen))
            assert gather._greeted(Listen("unix", path=str(closed / "s")), unseen) == (None, None)
        closed.chmod(0o700)
    assert str(closed / "s") not in found
    assert len(unseen) >= 2
    assert all("Permission denied" in each for each in unseen)


@pytest.mark.parametrize(
    ("pid", "status", "digest"),
    [
        (4242, "2 workers, policy bae829666e1d; 3 messages", "bae829666e1d"),
        (4242, "starting", ""),
        (1, "2 workers, policy bae829666e1d", ""),
    ],
)
def test_the_policy_of_the_daemon(tmp_path, monkeypatch, pid, status, digest):
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\ncase $2 in *MainPID) echo {pid};; *StatusText) echo '{status}';; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gather._digest(PROCESS) == digest
    assert gather._digest(None) == ""


@pytest.mark.parametrize("status", [0, 69])
def test_the_queue_of_a_postfix_that_is_down(tmp_path, monkeypatch, status):
    """root sees the queue all the same. To others it is not an empty one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "postconf").write_text(f"#!/bin/sh\necho {tmp_path}\n")
    (tmp_path / "postqueue").write_text(f"#!/bin/sh\necho 'postqueue: x: mail system is down' >&2\nexit {status}\n")
    for name in ("postconf", "postqueue"):
        (tmp_path / name).chmod(0o755)
    unseen = []
    held = 0 if status == 0 else None
    assert gather._backlog(Settings(), GOOD.postfix, time.monotonic() + 60, unseen) == (held, 0.0, True)
    assert unseen == ([] if status == 0 else ["the hold queue: postqueue: postqueue: x: mail system is down"])
    assert [each.code for each in host.held(replace(GOOD, held=held))] == ([] if held is None else ["held"])


def test_the_clock():
    assert gather._synchronized() in (True, False, None)


# the command


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run the command on facts; exit status, output, errors."""
    monkeypatch.setattr("mailassay.cli.options.DEFAULT_CONFIG", str(tmp_path / "no-such-file"))

    def run(facts, *arguments):
        monkeypatch.setattr("mailassay.cli.doctor.all_facts", lambda *_: facts)
        monkeypatch.setattr("mailassay.cli.doctor.before_removal", lambda *_: facts)
        status = main(["doctor", *arguments])
        return status, *capsys.readouterr()

    return run


def test_no_errors(command):
    status, output, _ = command(replace(GOOD, synchronized=False))
    assert status == 0
    assert output.startswith("warning  clock: nothing keeps the clock of this host synchronized")
    assert "           timedatectl set-ntp true\n" in output
    assert "fine     " not in output
    assert "0 errors, 1 warning, 0 notes" in output


def test_what_is_fine_too(command):
    status, output, _ = command(GOOD, "--verbose")
    assert status == 0
    assert "fine     bare-newline: smtpd_forbid_bare_newline is normalize\n" in output


def test_errors(command):
    facts, _, _ = BROKEN["accept"]
    status, output, _ = command(facts)
    assert status == 1
    assert output.startswith("error    milter-default-action: ")
    assert "after postconf: postfix reload; then mailassay doctor again\n" in output


def test_what_comes_after_the_commands(command):
    """A Postfix that is down cannot be reloaded, and what is removed is not asked again."""
    facts = replace(GOOD, postfix=configured(smtpd_milters=OURS, non_smtpd_milters=OURS, milter_protocol="4"))
    assert "after postconf: postfix reload; then mailassay doctor again\n" in command(facts)[1]
    assert "after postconf: mailassay doctor again\n" in command(replace(facts, down=True))[1]
    status, output, _ = command(facts, "--removal")
    assert status == 1
    assert "smtpd_milters, non_smtpd_milters have our socket" in output
    assert "again" not in output


def test_for_programs(command):
    facts, _, _ = BROKEN["accept"]
    status, output, _ = command(facts, "--json")
    said = json.loads(output)
    assert status == 1
    assert set(said) == {"mailassay", "postfix", "findings"}
    assert said["findings"][0] == {
        "severity": "error",
        "code": "milter-default-action",
        "what": "milter_default_action is Accept: while mailassay does not answer, all mail comes in unjudged, with "
        "whatever header it forges",
        "fix": "",
        "commands": ["postconf -e milter_default_action=tempfail"],
    }


def test_a_terminal_is_not_moved(command):
    facts = replace(GOOD, postfix=configured(smtpd_milters="unix:\x1b[2Jx"))
    assert "\x1b" not in command(facts)[1]


@pytest.mark.usefixtures("command")
def test_no_postfix(monkeypatch, capsys):
    monkeypatch.setattr("mailassay.postfix.configuration.found", lambda _: None)
    assert main(["doctor"]) == os.EX_UNAVAILABLE
    assert capsys.readouterr().err == "mailassay: there is no postconf command: Postfix is not installed here\n"


def test_a_postfix_that_cannot_be_read(tmp_path):
    program = tmp_path / "postconf"
    program.write_text("#!/bin/sh\necho 'fatal: open main.cf' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(NoPostfix, match="postconf fails: fatal: open main"):
            configuration.examined(None, time.monotonic() + 60)


@pytest.mark.parametrize(
    ("config", "policy", "mistake"),
    [
        ("listen: 5\n", None, "c:1:9: listen:"),
        ("authserv_id: ours.example\npolicy: p\n", "mood: x\n", "p:1:1: unknown key `mood`"),
        ("authserv_id: ours.example\npolicy: p\n", "{", "p:1:2: "),
        ("authserv_id: ours.example\npolicy: p\n", None, "c:2:9: policy:"),
        (None, None, "c:1:1: cannot be read"),
    ],
)
def test_a_configuration_that_is_broken(tmp_path, monkeypatch, capsys, config, policy, mistake):
    """It is the first finding, and what is right in it counts for the others."""
    for name, text in (("c", config), ("p", policy)):
        if text is not None:
            (tmp_path / name).write_text(text)

    def all_facts(settings, wrong, *_):
        assert settings.authserv_id == ("ours.example" if "ours" in (config or "") else None)
        return replace(GOOD, settings=replace(settings, listen=GOOD.settings.listen), wrong=tuple(wrong))

    monkeypatch.setattr("mailassay.cli.doctor.all_facts", all_facts)
    assert main(["doctor", "-v", "--config", str(tmp_path / "c")]) == 1
    output = capsys.readouterr().out
    assert output.startswith("error    configuration: ")
    assert mistake in " ".join(output.split())
    assert "fine     milter-default-action" in output


# a configuration, files and programs that are not what they should be


@pytest.fixture
def hostile(tmp_path, monkeypatch, capsys):
    """Run the command with a postconf that prints this, or does that; exit status, output, errors."""
    # nobody answers there, which is told as soon as a try is over
    dns = 'nameservers: ["127.0.0.1:1"], timeout: 0.05'
    (tmp_path / "mailassay.yaml").write_text(f"listen: unix:{tmp_path}/none\ndns: {{{dns}}}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("mailassay.postfix.configuration._PATH", "")
    monkeypatch.setattr("mailassay.postfix.hold_queue._SBIN", "")

    def script(name, text):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(main_cf=b"", master_cf=b"", options=b"", postconf=None, postqueue="exit 69", patience=60.0):
        monkeypatch.setattr(gather, "_PATIENCE_WITH_POSTFIX", patience)
        for name, text in {"main": main_cf, "-M": master_cf, "-P": options}.items():
            (tmp_path / name).write_bytes(text)
        script(
            "postconf",
            postconf or f'#!/bin/sh\ncase "$1" in -[MP]) ;; *) set -- main ;; esac\n/bin/cat {tmp_path}/$1\n',
        )
        script("postqueue", f"#!/bin/sh\n{postqueue}\n")
        status = main(["doctor", "--config", str(tmp_path / "mailassay.yaml")])
        said, errors = capsys.readouterr()
        assert all(line.isprintable() for line in [*said.split("\n"), *errors.split("\n")])
        return status, " ".join(said.split()), errors

    return run


@pytest.mark.parametrize(
    ("postconf", "reason"),
    [
        ("#!/bin/sh\nexec /bin/sleep 30", "postconf takes too long"),
        # whoever it has started keeps its stdout
        ("#!/bin/sh\n/bin/sleep 10 & wait", "postconf takes too long"),
        ("#!/bin/sh\n/bin/sleep 10 &", "postconf takes too long"),
        ("#!/bin/sh\nexec >&- 2>&-\nexec /bin/sleep 30", "postconf takes too long"),
        ("#!/bin/sh\nexec /usr/bin/yes", "postconf prints more than 10000000 octets"),
        ("#!/bin/sh\nexec /usr/bin/yes >&2", "postconf prints more than 10000000 octets"),
        ("#!/bin/sh\nprintf 'fatal: \\033[2J\\n' >&2; exit 1", "postconf fails: fatal: ?[2J"),
        ("#!/bin/sh\n/usr/bin/yes fatal | /usr/bin/head -c 1000000 >&2; exit 1", "postconf fails: fatal"),
        ("#!/bin/sh\nkill -9 $$", "postconf fails: exit status -9"),
        ("#!/no/such/shell\n", "postconf cannot be run: "),
    ],
)
def test_a_postconf_that_fails(hostile, postconf, reason):
    status, said, errors = hostile(postconf=postconf, patience=1.0 if "sleep" in postconf else 60.0)
    assert (status, said) == (os.EX_UNAVAILABLE, "")
    assert errors.startswith(f"mailassay: {reason}")
    assert len(errors) < 2000


def test_a_configuration_that_is_too_large(hostile):
    status, _, errors = hostile(b"smtpd_milters = " + b"x" * 20_001)
    assert (status, errors) == (
        os.EX_UNAVAILABLE,
        "mailassay: smtpd_milters has 20001 characters; at most 20000 are examined\n",
    )
    status, _, errors = hostile(master_cf=b"smtp inet n - y - - smtpd\n" * 2001)
    assert (status, errors) == (
        os.EX_UNAVAILABLE,
        "mailassay: master.cf has 2001 services; at most 2000 are examined\n",
    )


def test_a_postconf_that_prints_garbage(hostile):
    garbage = bytes(range(256)) * 1000
    assert hostile(garbage, garbage, garbage)[0] == 1


@pytest.mark.parametrize(
    "main_cf",
    [
        *(
            f"{name} = {'9' * 19_000}"
            for name in ("compatibility_level", "mail_version", "milter_protocol", "mynetworks")
        ),
        f"milter_content_timeout = {'9' * 19_000}s",
        f"mynetworks = 1.2.3.4/{'9' * 19_000}",
        f"smtpd_milters = {'{' * 19_000}",
        f"smtpd_milters = {'{' * 9_000}{'}' * 9_000}",
        f"queue_directory = /{'x/' * 3_000}",
        "mail_owner = a\0b",
        "smtpd_milters = unix:a\0b",
        "smtpd_milters = ,,{},{,},{ {} },{{=}}",
    ],
    ids=lambda text: text[:25],
)
def test_values_that_are_none(hostile, main_cf):
    """In main.cf, and as an option of a service, where they are also made into commands."""
    name, _, value = main_cf.partition(" = ")
    services = b"smtp inet n - y - - smtpd\n587 inet n - n - - smtpd\n"
    options = f"smtp/inet/{name} = {value}\n587/inet/{name} = {value}\n587/inet/smtpd_tls_wrappermode = yes\n"
    assert hostile(main_cf.encode(), services)[0] == 1
    assert hostile(main_cf.encode(), services, options.encode())[0] == 1


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
def test_only_a_line_feed_ends_a_line(mark):
    """Else the value of one parameter could say what another is."""
    assert configuration.parameters(f"a = x{mark}b = y\n") == {"a": f"x{mark}b = y"}
    assert [each.name for each in configuration.services(f"a inet n - y - - x{mark}b inet n - y - - x\n", False)] == [
        "a"
    ]


def test_a_list_without_blanks_at_any_depth():
    assert configuration.unspaced("{ { a b }, { c = d } }") == "{{a,b},{c,=,d}}"
    assert configuration.unspaced("{" * 5000 + "a b" + "}" * 5000) == "{" * 5000 + "a b" + "}" * 5000


def test_a_queue_that_does_not_answer(hostile):
    status, said, _ = hostile(b"mail_version = 3.9.1", postqueue="exec /bin/sleep 30", patience=5.0)
    assert status == 1
    assert "could not look at: the hold queue: postqueue takes too long" in said


def test_more_findings_than_anybody_fixes():
    """Of many services, each with many milters: what is said has an end, and is no success."""
    judges = ", ".join(["inet:localhost:8893"] * 300)
    services = [service(f"127.0.0.1:{port}", smtpd_milters=f"{OURS}, {judges}") for port in range(1000, 1120)]
    found = examine(replace(GOOD, postfix=configured(*services, content_filter="x")))
    assert "too-many" in {each.code for each in found if each.severity is Severity.ERROR}
    assert len([each for each in found if each.severity is not Severity.FINE]) < 101 * len(CHECKS)


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_a_file_that_is_none(tmp_path, kind):
    """Nobody waits for who writes into it, and nobody reads without end."""
    path = str(tmp_path / "x")
    with socket.socket(socket.AF_UNIX) as listener:
        make = {"fifo": os.mkfifo, "folder": os.mkdir, "socket": listener.bind}
        make.get(kind, lambda path: os.symlink("/dev/zero", path))(path)
        with pytest.raises(OSError, match=r"not a regular file|Is a directory|No such device"):
            configuration.beginning(path)
        unseen = []
        assert dict(gather.signers(unseen, [path])) == {}
        assert unseen[0].startswith(f"{path}: ")


def test_a_table_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "postmap").write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    (tmp_path / "postmap").chmod(0o755)
    os.mkfifo(tmp_path / "table")
    unseen, table = [], f"regexp:{tmp_path}/table"
    found = configured(header_checks=table)
    assert [*gather._tables("header_checks", GOOD.settings, found, time.monotonic() + 1, unseen)] == []
    assert unseen == [f"header_checks {table}: postmap takes too long"]


ODD = st.text(
    st.sampled_from("{}[]$;`'\"\\|&<>()*?#!~ ,=\t\r\x00\x1b\x0b\x1c\x85\u2028\u202e/-:@.%+19asx") | st.characters()
)
HOSTILE = st.tuples(st.sampled_from(["", OURS, f"unix:{SOCKET}", "inet:x:8893", "{ "]), ODD, ODD).map("".join)
SERVICES = st.tuples(
    st.sampled_from(["smtp", "127.0.0.1:25", "-x"]) | HOSTILE,
    st.sampled_from(["inet", "pass", "unix"]),
    st.sampled_from("yn-"),
    st.sampled_from(["smtpd", "cleanup"]) | HOSTILE,
    st.dictionaries(st.sampled_from(configuration.PARAMETERS), HOSTILE),
)


@given(st.dictionaries(st.sampled_from(configuration.PARAMETERS), HOSTILE), st.lists(SERVICES, max_size=4))
def test_a_hostile_configuration(values, services):
    """Whatever is in it, the doctor reads and tells it; no command is more than one command, with arguments."""
    texts = {
        "-M": "\n".join(f"{name} {kind} n - {jailed} - - {program}" for name, kind, jailed, program, _ in services),
        "-P": "\n".join(
            f"{name}/{kind}/{option} = {value}"
            for name, kind, _, _, given in services
            for option, value in given.items()
        ),
    }
    main_cf = "\n".join(f"{name} = {value}" for name, value in {**MAIN, **values}.items())

    def done(command, _):
        return 0, configuration._text(texts.get(command[1], main_cf).encode("utf-8", "surrogatepass")), ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configuration, "_done", done)
        patch.setattr(configuration, "found", lambda program: f"/usr/sbin/{program}")
        found = configuration.examined(None, time.monotonic() + 60)
    for path in gather._paths(GOOD.settings, CONFIG, found):
        os.path.realpath(path)
    gather._user(found.value("mail_owner"))
    facts = replace(GOOD, postfix=found)
    findings = examine(facts)
    assert all(printable(line).isprintable() for line in doctor._lines(facts, findings, verbose=True, again=True))
    json.loads(as_json(doctor._as_json(facts, findings)))
    for command in [command for each in findings for command in each.commands]:
        words = shlex.split(command)
        assert shlex.join(words) == command
        assert words[0] in {"postconf", "postfix", "chmod", "chgrp", "install", "systemctl", "sed"}
