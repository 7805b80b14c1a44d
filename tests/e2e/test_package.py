"""A life of the Debian package, and of `make install`, in clean Debian trees with a Postfix as Debian sets it up.

Once for each release that has a package in build/; `-k trixie` for one.
"""

import re
import shlex
import shutil
import subprocess
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from mailassay.zone import Zone
from tests.lab import tree
from tests.lab.dns import DnsServer
from tests.lab.limits import LIMITS
from tests.lab.mta import DOMAIN
from tests.lab.serve import AUTHSERV_ID
from tests.lab.smtp import SmtpClient
from tests.lab.tree import Tree

pytestmark = pytest.mark.package

ROOT = Path(__file__).parents[2]
_NOT_PROJECT = shutil.ignore_patterns("build", ".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info")
ZONE = Zone(
    """
    1.2.0.192.in-addr.arpa  PTR  mail.bank.example
    mail.bank.example       A    192.0.2.1
    bank.example            TXT  "v=spf1 ip4:192.0.2.1 -all"
    _dmarc.bank.example     TXT  "v=DMARC1; p=reject"
    shop.example            TXT  "v=spf1 -all"
    _dmarc.shop.example     TXT  "v=DMARC1; p=quarantine"
    """,
    limits=LIMITS,
)
GENUINE, SPOOF = "192.0.2.1", "198.51.100.66"
SOCKET = "/var/spool/postfix/mailassay/mailassay.sock"
HISTORY = "/var/lib/mailassay"
KEYS = "/etc/mailassay/keys"
TIMERS = "mailassay-held.timer mailassay-keys.timer mailassay-reports.timer"
CONFIG, POLICY = "/etc/mailassay/mailassay.yaml", "/etc/mailassay/policy.yaml"
# what the tests themselves bring, and what apt and logs keep of any package
_NOT_OURS = r"^/(var/(log|cache|mail|lib/(apt|dpkg|ucf|systemd))/|etc/(group|passwd|g?shadow|sub[ug]id)-?$|.*\.pyc$)"
_FIND = "find /etc /lib /usr /var /opt /run -xdev '(' -iname '*mailassay*' -o -nouser -o -nogroup ')'"


@pytest.fixture(scope="module", params=tree.RELEASES)
def release(request):
    """A release of Debian, by its name."""
    if why := tree.missing():
        pytest.skip(reason=why)
    if not tree.package(request.param):
        pytest.skip(reason=f"no package for {request.param} in build/: make deb, on that release")
    return request.param


@pytest.fixture(scope="module")
def package(release):
    """The package as built by `make deb`."""
    return tree.package(release)


@pytest.fixture(scope="module")
def later(package, tmp_path_factory):
    """The package of a later version, with another standard policy and other words to begin with."""
    folder = tmp_path_factory.mktemp("later") / "files"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    control = folder / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", r"\g<0>+later", control.read_text(), flags=re.MULTILINE))
    for path in (CONFIG, POLICY):
        with (folder / path[1:]).open("a") as file:
            file.write("# of the later version\n")
    made = folder.parent / "later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", folder, made], check=True, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture
def run_tree(release, package, tmp_path_factory):
    """Start a clean tree that asks ``ZONE``; the tests' end is its end."""
    base = tree.base(package, release)
    started = []

    def start(*, systemd):
        running = Tree(base, tmp_path_factory.mktemp("tree"), systemd=systemd).__enter__()
        started.append(running)
        started.append(running.inside(lambda: DnsServer(ZONE, "127.0.0.1", 53).__enter__()))
        return running

    yield start
    for each in reversed(started):
        each.__exit__(None, None, None)


def set_up_postfix(running, start):
    """Debian's Postfix, with us in it as README.Debian says."""
    lines = re.search(r"^    postconf.*?^(?=    postfix reload)", debian_readme(), re.DOTALL | re.MULTILINE)[0]
    running.run(
        f"""
        set -e
        useradd --create-home inbox
        postconf -e myhostname={AUTHSERV_ID} 'mydestination=$myhostname, localhost, {DOMAIN}' inet_protocols=ipv4 \\
            smtpd_authorized_xclient_hosts=127.0.0.1
        newaliases
        {lines}
        {start}
        """
    )


def debian_readme():
    return (ROOT / "debian" / "README.Debian").read_text()


def send(running, client_ip, domain="bank.example"):
    """A message of that domain's, from a client at that address."""
    with running.inside(lambda: SmtpClient("127.0.0.1", 25)) as client:
        client.command("EHLO mail.bank.example")
        reply = client.become(client_ip, "mail.bank.example")
        if reply.code != 220:
            return reply
        client.command("EHLO mail.bank.example")
        message = b"From: alice@%s\r\nSubject: hi\r\n\r\nHello\r\n" % domain.encode()
        return client.send(f"alice@{domain}", [f"inbox@{DOMAIN}"], message)


def assert_judges(running):
    """What is genuine arrives with our field; a spoof is refused."""
    reply = send(running, GENUINE)
    assert reply.code == 250, str(reply) + running.run("tail -n 30 /var/log/mail.log; journalctl -n 30", check=False)
    for _ in range(100):
        mail = running.run("sleep 0.1; cat /var/mail/inbox", check=False)
        if reply.queue_id in mail:
            break
    assert re.search(rf"^Authentication-Results: {AUTHSERV_ID};(?:\n\s.*)*dmarc=pass", mail, re.MULTILINE), mail
    reply = send(running, SPOOF)
    assert (reply.code, reply.text[:6]) == (550, "5.7.26")


def first_reply(running):
    """What whoever connects is told that decides, in the banner, to EHLO or to MAIL; and after how many seconds."""
    began = time.monotonic()
    with running.inside(lambda: SmtpClient("127.0.0.1", 25)) as client:
        replies = [client.banner]
        for line in ("EHLO mail.bank.example", "MAIL FROM:<alice@bank.example>"):
            if replies[-1].code < 400:
                replies.append(client.command(line))
    return replies[-1].code, time.monotonic() - began


def shown(running, unit, *properties):
    """The values of properties of a unit."""
    return [running.run(f"systemctl show --property={name} --value {unit}").strip() for name in properties]


def test_no_restart_loop(package, run_tree):
    """With a socket of systemd's, whatever is wrong: mail is deferred at once, and nothing starts again without end."""
    running = run_tree(systemd=True)
    running.install(package)
    set_up_postfix(running, "systemctl restart postfix")
    running.run("systemctl stop mailassay; systemctl enable --now mailassay.socket; systemctl start mailassay")
    assert_judges(running)
    policy = running.root / POLICY[1:]
    good = policy.read_text()
    policy.write_text(f"{good}mood: x\n")

    running.run("systemctl restart mailassay")
    before = pid(running)
    for _ in range(5):
        code, seconds = first_reply(running)
        assert code == 451
        assert seconds < 10
    assert pid(running) == before != "0"
    assert shown(running, "mailassay", "ActiveState", "NRestarts") == ["active", "0"]
    assert "all mail is deferred: /etc/mailassay/policy.yaml" in running.run("systemctl status mailassay")
    assert "unknown key `mood`" in running.run("systemctl status mailassay")
    assert "mood" in running.run("systemctl reload mailassay 2>&1; journalctl --unit mailassay --output cat -n 5")
    assert first_reply(running)[0] == 451

    policy.write_text(good)
    running.run("systemctl reload mailassay")
    assert_judges(running)
    assert pid(running) == before

    # without the socket it stays down
    running.run("systemctl disable --now mailassay.socket; systemctl stop mailassay")
    policy.write_text(f"{good}mood: x\n")
    assert "failed" in running.run("systemctl start mailassay || systemctl is-failed mailassay")
    code, seconds = first_reply(running)
    assert code == 451
    assert seconds < 10
    assert shown(running, "mailassay", "ActiveState", "NRestarts") == ["failed", "0"]
    policy.write_text(good)

    # a program that ends at once with a status for which systemd does not restart it, again and again by the socket
    folder = running.root / "etc/systemd/system/mailassay.service.d"
    folder.mkdir()
    (folder / "ends.conf").write_text("[Service]\nExecStart=\nExecStart=/bin/sh -c 'exit 78'\n")
    running.run("systemctl daemon-reload; systemctl reset-failed; systemctl start mailassay.socket")
    assert first_reply(running)[0] == 451
    assert shown(running, "mailassay.socket", "ActiveState") == ["failed"]
    assert running.run("journalctl --unit mailassay --output cat").count("status=78/CONFIG") <= 1 + 10
    code, seconds = first_reply(running)
    assert code == 451
    assert seconds < 10
    (folder / "ends.conf").unlink()
    running.run("systemctl daemon-reload; systemctl reset-failed mailassay.service mailassay.socket")
    running.run("systemctl start mailassay.socket mailassay")
    assert_judges(running)


SIGNED = "receiver.example"
APPLICATION = "203.0.113.9"  # a host in mynetworks
_BLOCK = re.compile(r"((?:^ {7}.*\n)+)", re.MULTILINE)


def steps():
    """The steps of docs/migration.md by their number, and the commands and files of each."""
    text = (ROOT / "docs" / "migration.md").read_text()
    section = text.partition("\n## The steps\n")[2].partition("\n## ")[0]
    found = {}
    for number, step in re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^\S|\Z)", section, re.DOTALL | re.MULTILINE):
        found[int(number)] = [textwrap.dedent(block) for block in _BLOCK.findall(step)]
    return found


def follow(running, blocks):
    """Do as a step says, to the letter."""
    for block in blocks:
        first, _, rest = block.partition("\n")
        if first.startswith("# /etc/"):
            (running.root / first[3:]).write_text(rest)
        else:
            # whether there is a line of the journal depends on the mail
            running.run(f"set -e\n{block}", check="journalctl" not in block)


def arrived(running, reply):
    """The header section of a message that was taken."""
    assert reply.code == 250, str(reply) + running.run("tail -n 30 /var/log/mail.log; journalctl -n 30", check=False)
    for _ in range(100):
        mail = running.run("sleep 0.1; cat /var/mail/inbox", check=False)
        if found := [each for each in mail.split("\nFrom ") if f"id {reply.queue_id}" in each]:
            return found[0].partition("\n\n")[0]
    raise AssertionError(mail)


def sent(running, port, client_ip, login=""):
    """A message of this host's own domain."""
    with running.inside(lambda: SmtpClient("127.0.0.1", port)) as client:
        client.command("EHLO x")
        assert client.become(client_ip, login=login).code == 220
        client.command("EHLO x")
        message = b"From: ann@receiver.example\r\nSubject: hi\r\n\r\nHello\r\n"
        return client.send(f"ann@{SIGNED}", [f"inbox@{DOMAIN}"], message)


def assert_signs(running):
    """By each way by which mail leaves; and nobody signs for a stranger."""
    headers = {
        "submission": arrived(running, sent(running, 587, "198.51.100.7", "ann")),
        "port 25": arrived(running, sent(running, 25, APPLICATION)),
    }
    running.run(f"printf 'From: ann@{SIGNED}\\nSubject: local\\n\\nx\\n' | sendmail -f ann@{SIGNED} inbox@{DOMAIN}")
    for _ in range(100):
        mail = running.run("sleep 0.1; cat /var/mail/inbox", check=False)
        local = [each.partition("\n\n")[0] for each in mail.split("\nFrom ") if "Subject: local" in each]
        if local:
            break
    headers["sendmail(1)"] = local[-1]
    running.run("sleep 0.3; rm /var/mail/inbox")
    signatures = {way: re.findall(rf"DKIM-Signature:.*\sd={SIGNED};", header) for way, header in headers.items()}
    assert {way: len(found) for way, found in signatures.items()} == dict.fromkeys(headers, 1)
    assert "DKIM-Signature" not in arrived(running, send(running, GENUINE))
    reply = send(running, SPOOF)
    assert reply.code == 550


def test_migration(package, run_tree):
    """By docs/migration.md, to the letter: at every step outgoing mail is signed, and a spoof is refused."""
    running = run_tree(systemd=True)
    running.run(f"apt-get install -y --no-install-recommends {' '.join(tree.CHAIN)}")
    running.run(
        f"""
        set -e
        useradd --create-home inbox
        useradd ann
        opendkim-genkey -D /etc/dkimkeys -d {SIGNED} -s sel
        chown opendkim /etc/dkimkeys/sel.private
        sed -i '/^Socket/d' /etc/opendkim.conf /etc/opendmarc.conf
        printf '%s\\n' 'Mode sv' 'Domain {SIGNED}' 'Selector sel' 'KeyFile /etc/dkimkeys/sel.private' \\
            'Socket inet:8891@localhost' 'InternalHosts 127.0.0.1,203.0.113.0/24' >>/etc/opendkim.conf
        printf '%s\\n' 'Socket inet:8893@localhost' 'IgnoreAuthenticatedClients true' >>/etc/opendmarc.conf
        postconf -e myhostname={AUTHSERV_ID} 'mydestination=$myhostname, localhost, {DOMAIN}' inet_protocols=ipv4 \\
            'mynetworks=127.0.0.0/8 203.0.113.0/24' smtpd_authorized_xclient_hosts=127.0.0.1 \\
            'smtpd_milters=inet:localhost:8891, inet:localhost:8893' 'non_smtpd_milters=$smtpd_milters' \\
            policyd-spf_time_limit=3600
        printf '%s\\n' 'smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated,' \\
            '    reject_unauth_destination,' '    check_policy_service unix:private/policyd-spf' >>/etc/postfix/main.cf
        postconf -M 'submission/inet=submission inet n - y - - smtpd'
        postconf -M 'policyd-spf/unix=policyd-spf unix - n n - 0 spawn user=policyd-spf argv=/usr/bin/policyd-spf'
        newaliases
        systemctl restart opendkim opendmarc postfix
        """
    )
    assert_signs(running)
    assert list(steps()) == list(range(11))
    for number, blocks in steps().items():
        if number == 1:
            running.install(package)
        follow(running, blocks)
        # a reload of mailassay takes a moment, and an smtpd with the old settings may still take one connection
        running.run("sleep 1; systemctl restart postfix")
        assert_signs(running)
        if number == 6:
            assert_doctor_sees_the_signer(running)
    said = running.run("mailassay doctor", check=False)
    found = {line.split()[1] for line in said.splitlines() if line.startswith(("error", "warning"))}
    assert not found & {
        "unsigned:",
        "submission:",
        "smtpd-milters:",
        "competing-milter:",
        "spf-policy-service:",
        "other-signer:",
    }, said
    assert running.run("systemctl is-active opendkim", check=False).strip() == "inactive"
    assert running.run("systemctl is-enabled opendkim", check=False).strip() == "disabled"


def assert_doctor_sees_the_signer(running):
    """While opendkim signs: it is in every list, and the doctor tells what to do where it is not."""
    said = running.run("mailassay doctor", check=False)
    found = {line.split()[1] for line in said.splitlines() if line.startswith(("error", "warning"))}
    assert not found & {"unsigned:", "submission:", "smtpd-milters:", "competing-milter:", "spf-policy-service:"}, said
    assert running.run("systemctl is-active opendkim").strip() == "active"
    # what the text of before had: the signer in no list of users. A restart, since after a reload an smtpd with the old
    # settings may still take one connection.
    running.run("postconf -e smtpd_milters=unix:mailassay/mailassay.sock; postconf -PX submission/inet/smtpd_milters")
    running.run("systemctl restart postfix")
    assert "DKIM-Signature" not in arrived(running, sent(running, 587, "198.51.100.7", "ann"))
    said = running.run("mailassay doctor", check=False)
    assert "error    unsigned: " in said, said
    for command in dict.fromkeys(re.findall(r"^ +(postconf -P .*)", said, re.MULTILINE)):
        running.run(command)
    running.run("systemctl restart postfix")
    assert "DKIM-Signature" in arrived(running, sent(running, 587, "198.51.100.7", "ann"))


def leftovers(running):
    """Files of ours, or of users and groups who are no more."""
    found = running.run(_FIND, check=False).splitlines()
    return [path for path in found if not re.match(_NOT_OURS, path)]


_MAIN = "systemctl show --property=MainPID --value {}"


def pid(running):
    return running.run(_MAIN.format("mailassay")).strip()


def pids(running):
    """The processes of the service; a small system has neither ps nor pgrep."""
    user = running.run("id -u mailassay").strip()
    found = []
    for status in (running.root / "proc").glob("[0-9]*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if f"\nUid:\t{user}\t" in status.read_text():
                found.append(int(status.parent.name))
    return found


def test_life_under_systemd(package, later, run_tree):
    running = run_tree(systemd=True)
    running.install(package)
    ours = f"mailassay.service mailassay-collector.service {TIMERS}"
    assert running.run(f"systemctl is-active {ours}").split() == ["active"] * 5
    assert running.run(f"systemctl is-enabled {ours}").split() == ["enabled"] * 5
    assert running.run(f"stat --format='%U %G %a' {KEYS}").strip() == "root mailassay 750"
    # nothing signs yet, which is no failure, and nothing to log each day
    running.run("systemctl start mailassay-keys")
    assert running.run("systemctl is-enabled mailassay.socket", check=False).strip() == "disabled"
    assert running.run(f"stat --format='%U %G %a' {SOCKET}").strip() == "mailassay postfix 660"
    status = running.run(f"cat /proc/{pid(running)}/status")
    assert re.search(r"^NoNewPrivs:\s1\n(?:.*\n)*Seccomp:\s2\n", status, re.MULTILINE)
    assert running.run("mailassay config check")
    set_up_postfix(running, "systemctl restart postfix")
    assert_judges(running)

    assert_remembers(running)

    # what is held, and the reminder as the timer starts it
    assert send(running, SPOOF, "shop.example").code == 250
    running.run("sleep 2; systemctl start mailassay-held")
    assert "author domain shop.example" in running.run("journalctl --unit mailassay-held --output cat")

    # and by mail, from the sandbox, once
    config = (running.root / CONFIG[1:]).read_text()
    (running.root / CONFIG[1:]).write_text(f"{config}held: {{remind_to: inbox}}\n")
    running.run("systemctl start mailassay-held; systemctl start mailassay-held")
    assert send(running, SPOOF, "shop.example").code == 250
    running.run("sleep 1.1; systemctl start mailassay-held")
    for _ in range(100):
        mail = running.run("sleep 0.1; cat /var/mail/inbox", check=False)
        if "2 messages are held" in mail:
            break
    assert re.findall("^Subject: (.*) held on ", mail, re.MULTILINE) == ["1 message is", "2 messages are"]
    assert mail.count("Auto-Submitted: auto-generated") == 2
    assert running.run("stat --format=%U /run/mailassay-held/reminded").strip() == "postfix"
    (running.root / CONFIG[1:]).write_text(config)

    # a policy of the operator's; a mistake changes nothing
    with (running.root / POLICY[1:]).open("a") as file:
        file.write("mood: monitor\n")
    before = pid(running)
    assert "mood" in running.run("systemctl reload mailassay || journalctl --unit mailassay --output cat -n 5")
    assert_judges(running)
    policy = (running.root / POLICY[1:]).read_text().replace("mood: monitor\n", "")
    (running.root / POLICY[1:]).write_text(re.sub(r"^mode: enforce", "mode: monitor", policy, flags=re.MULTILINE))
    running.run("systemctl reload mailassay; sleep 0.5")
    assert send(running, SPOOF).code == 250
    assert pid(running) == before

    # the operator's file stays, the other is replaced
    running.install(later, "-o", "Dpkg::Options::=--force-confold")
    assert "later" in running.run("dpkg-query --show mailassay")
    assert pid(running) not in (before, "0")
    assert "mode: monitor" in (running.root / POLICY[1:]).read_text()
    assert "later" in (running.root / f"{POLICY[1:]}.dpkg-dist").read_text()
    assert "later" in (running.root / CONFIG[1:]).read_text()
    assert send(running, SPOOF).code == 250

    # systemd holds the socket: whoever comes while the service is down waits for it
    running.run("systemctl stop mailassay; systemctl enable --now mailassay.socket")
    assert running.run(f"stat --format='%U %G %a' {SOCKET}").strip() == "mailassay postfix 660"
    assert pid(running) == "0"
    assert send(running, GENUINE).code == 250
    assert pid(running) != "0"

    # nobody is asked, and what Postfix still needs us for is said with the commands
    said = running.run("apt-get remove -y mailassay </dev/null")
    assert "*** WARNING: mailassay is being removed" in said
    assert "2 messages are on hold because of mailassay" in said
    assert "mailassay held release --all" in said
    for command in re.findall(r"^ +(postconf .*|postfix reload)$", said, re.MULTILINE):
        running.run(command)
    assert running.run("postconf -h smtpd_milters").strip() == ""
    assert running.run(f"systemctl is-active {ours} mailassay.socket", check=False).split() == ["inactive"] * 6
    assert "history.sqlite" in running.run(f"ls {HISTORY}")
    assert pids(running) == []
    assert "mode: monitor" in (running.root / POLICY[1:]).read_text()
    assert send(running, SPOOF).code == 250
    running.run(f"rm -r {shlex.quote('/etc/systemd/system/mailassay-held.service.d')}; apt-get purge -y mailassay")
    assert leftovers(running) == []
    assert "mailassay" not in running.run("cat /etc/passwd /etc/group")


def assert_remembers(running):
    """The history of a fresh installation, by a collector that neither starts nor ends with the service."""
    assert (
        running.run(f"stat --format='%U %G %a' {HISTORY} {HISTORY}/spool").split("\n")[:2]
        == ["mailassay mailassay 700"] * 2
    )
    spoof = send(running, SPOOF)
    assert spoof.code == 550
    running.run("systemctl restart mailassay-collector")
    told = running.run(f"mailassay history --client {SPOOF} --json; mailassay why {SPOOF}")
    assert '"verdict": "reject"' in told
    assert "reject" in told.partition("verdict  ")[2].splitlines()[0]
    assert running.run(f"stat --format='%U %G %a' {HISTORY}/history.sqlite").strip() == "mailassay mailassay 600"
    said = running.run("mailassay doctor", check=False)
    assert "history-" not in said, said

    # it is killed, and comes again by itself; the service does not notice
    before, service = (running.run(_MAIN.format(unit)).strip() for unit in ("mailassay-collector", "mailassay"))
    running.run(f"kill -KILL {before}")
    for _ in range(300):
        now = running.run(_MAIN.format("mailassay-collector")).strip()
        if now not in ("0", before):
            break
        time.sleep(0.1)
    assert now not in ("0", before)
    assert running.run(_MAIN.format("mailassay")).strip() == service

    # the pages, in the sandbox
    config = (running.root / CONFIG[1:]).read_text()
    (running.root / CONFIG[1:]).write_text(f"{config}web: {{listen: 127.0.0.1:8028}}\n")
    running.run("systemctl restart mailassay-collector")
    running.inside(lambda: patient(lambda: urlopen("http://127.0.0.1:8028/healthz", timeout=10).close()))

    # without a history there is nothing to do, and that is no failure
    (running.root / CONFIG[1:]).write_text(re.sub("^history: .*\n", "", config, flags=re.MULTILINE))
    running.run("systemctl restart mailassay-collector; sleep 2")
    state = shown(running, "mailassay-collector", "ActiveState", "Result", "NRestarts", "ExecMainStatus")
    assert state == ["inactive", "success", "0", "66"]
    (running.root / CONFIG[1:]).write_text(config)
    running.run("systemctl restart mailassay-collector")
    assert running.run("systemctl is-active mailassay-collector").strip() == "active"


def patient(act):
    """Until it raises no OSError any more; such as that the collector has not said yet how it does."""
    for _ in range(600):
        with suppress(OSError):
            return act()
        time.sleep(0.1)
    return act()


def test_life_without_systemd(package, later, run_tree):
    running = run_tree(systemd=False)
    running.install(package, *tree.NO_SYSTEMD)
    set_up_postfix(running, "postconf -e maillog_file=/var/log/mail.log; postfix start")
    serve = "setpriv --reuid=mailassay --regid=mailassay --init-groups mailassay serve"
    with (running.root / CONFIG[1:]).open("a") as file:
        file.write("retire_after: 1\n")
    running.run(f"{serve} >/dev/null 2>&1 & while ! test -S {SOCKET}; do sleep 0.1; done")
    assert_judges(running)
    assert_judges(running)
    running.run("mailassay key new keys.example --algorithm ed25519 --selector a")
    running.install(later, "-o", "Dpkg::Options::=--force-confold")
    assert (running.root / SOCKET[1:]).is_socket()
    running.run(f"kill {min(pids(running))}")
    for _ in range(600):
        if not pids(running):
            break
        time.sleep(0.1)
    assert pids(running) == []
    key = f"{KEYS}/keys.example/a.pem"
    assert running.run(f"stat --format='%U %G %a' {KEYS} {key}").splitlines() == [
        "root mailassay 750",
        "root mailassay 640",
    ]
    # nobody can make a private key again
    assert f"Private keys stay in {KEYS}" in running.run("apt-get purge -y mailassay")
    running.run(f"test -s {key} && rm -r /etc/mailassay")
    assert leftovers(running) == []
    assert "mailassay" not in running.run("cat /etc/passwd /etc/group")


def put_project(maker):
    """The project in an online tree, and what it needs there."""
    shutil.copytree(ROOT, maker.root / "project", symlinks=True, ignore=_NOT_PROJECT)
    maker.fetch("make", "python3")


def test_make_install(release, run_tree, tmp_path_factory):
    """Made by the Python of the release, in another tree: this one has neither compiler nor network."""
    running = run_tree(systemd=True)
    running.run(f"apt-get install -y --no-install-recommends {' '.join(tree.LIBRARIES)}")
    with Tree(tree.bare(release), tmp_path_factory.mktemp("maker"), systemd=False, online=True) as maker:
        put_project(maker)
        maker.run("make -C /project DESTDIR=/made install", seconds=600)
        subprocess.run(["cp", "--archive", f"{maker.root}/made/.", running.root], check=True)
    running.run("systemd-sysusers && systemd-tmpfiles --create; systemctl daemon-reload")
    running.run(f"systemctl enable --now mailassay mailassay-collector {TIMERS}")
    set_up_postfix(running, "systemctl restart postfix")
    assert_judges(running)
    running.run("mailassay why bank.example")
    running.run(f"systemctl disable --now mailassay mailassay-collector {TIMERS}")
    uninstall = ("make", "-C", ROOT, f"DESTDIR={running.root}", "uninstall")
    subprocess.run(uninstall, check=True, capture_output=True)
    left = {path for path in leftovers(running) if not path.startswith(("/var/spool/postfix", HISTORY))}
    assert left == {"/etc/mailassay", CONFIG}


class Mail:
    """Mail that comes all the time, genuine and spoofed, while something else happens."""

    def __init__(self, running):
        self._running, self._over = running, threading.Event()
        self._thread = threading.Thread(target=self._come)
        self.genuine, self.spoofed = [], []
        """The codes of the replies; 421 also means that Postfix did not answer, or went away."""

    def _come(self):
        while not self._over.is_set():
            for client_ip, codes in ((GENUINE, self.genuine), (SPOOF, self.spoofed)):
                try:
                    codes.append(send(self._running, client_ip).code)
                except OSError:
                    codes.append(421)
                    time.sleep(0.1)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        # a spoofed message that is sent after all of it
        before = len(self.spoofed)
        while self._thread.is_alive() and len(self.spoofed) < before + 2:
            time.sleep(0.1)
        self._over.set()
        self._thread.join()


def test_bookworm_becomes_trixie(tmp_path_factory):
    """Mail is judged all the time; the configuration stays; Python 3.11 goes.

    systemd has the socket, so that new sessions wait while mailassay restarts.
    """
    if why := tree.missing():
        pytest.skip(reason=why)
    package = tree.package("bookworm")
    if not package:
        pytest.skip(reason="no package for bookworm in build/: make deb, on that release")
    with Tree(tree.bare("trixie"), tmp_path_factory.mktemp("maker"), systemd=False, online=True) as maker:
        put_project(maker)
        maker.run("make -C /project deb", seconds=600)
        made = tree.package("trixie", maker.root / "project/build")
        following = Path(shutil.copy(made, tmp_path_factory.mktemp("trixie")))
    fetched = tree.upgrade(package, following)
    running = Tree(tree.base(package, "bookworm"), tmp_path_factory.mktemp("tree"), systemd=True)
    with running, running.inside(lambda: DnsServer(ZONE, "127.0.0.1", 53)):
        running.install(package)
        set_up_postfix(running, "systemctl restart postfix")
        running.run("systemctl stop mailassay; systemctl enable --now mailassay.socket; systemctl start mailassay")
        with (running.root / POLICY[1:]).open("a") as file:
            file.write("# of the operator\n")
        configuration = {path: (running.root / path[1:]).read_text() for path in (CONFIG, POLICY)}
        assert_judges(running)
        assert "old-python" not in running.run("mailassay doctor", check=False)

        shutil.copytree(fetched, running.root / "var", dirs_exist_ok=True)
        running.run(tree.FOLLOWING_RELEASE)
        with Mail(running) as mail:
            running.run("apt-get dist-upgrade -y -o Dpkg::Options::=--force-confold", seconds=1800)
        # nobody answers while Postfix restarts
        assert {250} <= set(mail.genuine) <= {250, 421}
        assert {550} <= set(mail.spoofed) <= {550, 421}
        assert 'VERSION_ID="13"' in running.run("cat /etc/os-release")
        assert_judges(running)
        # Debian's upgrade leaves the Postfix of Debian 12 running, as another unit (README.Debian)
        running.run("systemctl stop postfix@-; systemctl restart postfix")
        assert_judges(running)
        running.run("systemctl restart mailassay")
        assert_judges(running)
        assert "old-python" in running.run("mailassay doctor", check=False)

        with Mail(running) as mail:
            running.install(following)
        # mailassay restarts: that defers the mail of a session that is open and has no message under way
        assert {250} <= set(mail.genuine) <= {250, 451}
        assert {550} <= set(mail.spoofed) <= {550, 451}
        assert (mail.genuine + mail.spoofed).count(451) <= 1
        assert running.run("dpkg-query --show --showformat='${Architecture}' mailassay") == "all"
        assert not (running.root / "usr/lib/mailassay").exists()
        assert {path: (running.root / path[1:]).read_text() for path in configuration} == configuration
        assert "old-python" not in running.run("mailassay doctor", check=False)

        with Mail(running) as mail:
            running.run("apt-get autoremove -y", seconds=600)
        assert (set(mail.genuine), set(mail.spoofed)) == ({250}, {550})
        assert not (running.root / "usr/bin/python3.11").exists()
        running.run("systemctl restart mailassay")
        assert_judges(running)
