"""A machine on which Postfix and mailassay work together, as facts for the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mailassay.config import Listen, Settings
from mailassay.doctor import Facts
from mailassay.doctor.facts import Nameserver, Node, Process, User
from mailassay.doctor.system import SYSTEMD, System
from mailassay.postfix.configuration import Postfix, Service

QUEUE = "/var/spool/postfix"
SOCKET = f"{QUEUE}/mailassay/mailassay.sock"
OURS = "unix:mailassay/mailassay.sock"
MAIN = {
    "mail_version": "3.9.1",
    "myhostname": "mx.example.org",
    "mydomain": "example.org",
    "mynetworks": "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128",
    "queue_directory": QUEUE,
    "smtpd_milters": OURS,
    "non_smtpd_milters": "",
    "milter_default_action": "tempfail",
    "milter_protocol": "6",
    "milter_command_timeout": "30s",
    "milter_content_timeout": "300s",
    "smtpd_forbid_bare_newline": "normalize",
    "smtpd_recipient_restrictions": "reject_unauth_destination",
}
CONFIG, POLICY = "/etc/mailassay/mailassay.yaml", "/etc/mailassay/policy.yaml"
SMTPD = User("postfix", 102, frozenset({105}), "postfix")
DAEMON = User("mailassay", 110, frozenset({115, 105}), "mailassay")
PROCESS = Process(4242, ("/opt/mailassay/bin/python", "/opt/mailassay/bin/mailassay", "serve"), 2e9, 65536)
NODES = {
    path: Node(path, mode, uid, gid, {0: "root", 105: "postfix", 115: "mailassay"}[gid])
    for path, mode, uid, gid in [
        ("/", 0o755, 0, 0),
        ("/etc", 0o755, 0, 0),
        ("/etc/mailassay", 0o755, 0, 0),
        (CONFIG, 0o644, 0, 0),
        (POLICY, 0o644, 0, 0),
        ("/run", 0o755, 0, 0),
        ("/run/mailassay", 0o755, 110, 115),
        ("/run/mailassay/mailassay.sock", 0o660, 110, 105),
        ("/var", 0o755, 0, 0),
        ("/var/spool", 0o755, 0, 0),
        (QUEUE, 0o755, 0, 0),
        (f"{QUEUE}/mailassay", 0o750, 110, 105),
        (SOCKET, 0o660, 110, 105),
    ]
}


def service(
    name: str = "smtp",
    kind: str = "inet",
    program: str = "smtpd",
    chrooted: bool = True,
    *,
    expanded: Mapping[str, str] = MappingProxyType({}),
    **overrides: str,
) -> Service:
    """A line of master.cf; ``expanded`` gives what its options come to where they have ``$``."""
    return Service(name, kind, program, chrooted, overrides, {**MAIN, **overrides, **expanded} if overrides else {})


def configured(*services: Service, written: Mapping[str, str] | None = None, **values: str) -> Postfix:
    """A Postfix. ``written`` where main.cf's parameters have ``$``."""
    every = {**MAIN, **values}
    lines = services or (service(),)
    return Postfix({**every, **(written or {})}, every, (*lines, service("cleanup", "unix", "cleanup")))


GOOD = Facts(
    settings=Settings(listen=Listen("unix", path=SOCKET), policy_path=POLICY),
    postfix=configured(),
    config=CONFIG,
    nodes=NODES,
    smtpd=SMTPD,
    daemon=DAEMON,
    groups={"root": 0, "postfix": 105, "mailassay": 115},
    silence="",
    process=PROCESS,
    interpreter="/opt/mailassay/bin/python3",
    installed=1e9,
    nameservers=(Nameserver("127.0.0.1", 53, validates=True),),
    synchronized=True,
    names=frozenset({"mx"}),
    system=System("apt-get install", starts=True, manager=SYSTEMD),
)
