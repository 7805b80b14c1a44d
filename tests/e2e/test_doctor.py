"""The doctor at a real Postfix and our real daemon: what it says, and that its commands fix what it says."""

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailassay.config import Listen, load
from mailassay.doctor import all_facts, examine
from mailassay.finding import Severity
from tests.demo.scenarios import zone
from tests.lab import mta
from tests.lab.dns import DnsServer
from tests.lab.examined import OTHER, SOUND, SUBMISSION, age, codes, errors, findings, fix, postconf
from tests.lab.mta import DOMAIN, Mta
from tests.lab.serve import Serve

MESSAGE = b"From: alice@news.example\r\n\r\nHello\r\n"


def doctor(serve, folder, *arguments):
    """Exit status and output."""
    command = [sys.executable, "-m", "mailassay", "doctor", "--config", serve.config, "--postfix-config", folder]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=serve.environment)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def sound(make_lab):
    """A Postfix and a daemon with which nothing is wrong."""
    return make_lab(more=SOUND)


@pytest.fixture
def copy(sound, tmp_path):
    """A copy of its configuration, and postconf on that."""
    folder = tmp_path / "etc"
    shutil.copytree(sound.postfix.folder / "etc", folder)

    return folder, partial(postconf, folder)


def test_nothing_is_wrong(sound):
    """But for the clock of whoever runs the tests, a DNS without DNSSEC, and a domain without a DMARC record."""
    status, said = doctor(sound.serve, sound.postfix.folder / "etc", "--verbose")
    assert "0 errors" in said
    assert status == 0
    codes = {line.split()[1] for line in said.splitlines() if line.split()[0] in ("error", "warning", "note")}
    assert "own-domain:" in codes
    assert codes <= {"clock:", "nameserver-dnssec:", "own-domain:", "own-record:", "running-version:"}
    assert f"{DOMAIN} publishes no DMARC policy: mail from strangers in its name is accepted" in said
    assert f"fine     answering: a milter answers at unix:{sound.serve.socket}" in said


def test_ones_own_domains(sound, copy, tmp_path):
    """In the lists and tables of the real Postfix, by the DNS and the policy of this host."""
    folder, postconf = copy
    (tmp_path / "relayed").write_text("bank.example ok\n.sub.example ok\n")
    (tmp_path / "aliases").write_text("shop.example x\nann@other.example ann@shop.example\n")
    subprocess.run(["/usr/sbin/postmap", "-c", folder, f"hash:{tmp_path}/aliases"], check=True)
    (tmp_path / "file").write_text("news.example\n# no.example\n")
    postconf(
        "mydestination=$myhostname, localhost.$mydomain, localhost",
        f"relay_domains=texthash:{tmp_path}/relayed, pcre:{tmp_path}/none",
        f"virtual_alias_maps=hash:{tmp_path}/aliases",
        f"virtual_mailbox_domains={tmp_path}/file, inline:{{ {{{DOMAIN} = x}} }}",
        "mynetworks=192.0.2.250/32, 203.0.113.0/24",
    )
    age(folder)
    facts = all_facts(load(str(sound.serve.config)), (), str(sound.serve.config), str(folder))
    found = {each.name: each.verdict.action for each in facts.own}
    assert found == {
        "shop.example": "hold",
        "news.example": "reject",
        DOMAIN: "accept",
        "bank.example": "reject",
        "sub.example": "accept",
    }
    assert f"the domains of relay_domains in pcre:{tmp_path}/none" in facts.unseen
    (said,) = [each for each in examine(facts) if each.code == "mynetworks"]
    assert said.severity is Severity.ERROR
    assert "in the name of shop.example it is kept out unless it passes DMARC" in said.text


def test_it_leaves_no_trace(sound):
    """Neither in Postfix's configuration nor in our log."""
    folder = sound.postfix.folder / "etc"
    before = [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    log = sound.serve.log.read_text()
    doctor(sound.serve, folder)
    assert [(path, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())] == before
    assert sound.serve.log.read_text() == log


PUBLIC = ("-M", "192.0.2.1:25/inet=192.0.2.1:25 inet n - n - - smtpd")

# what is done to a sound configuration, by the code of what is said of it then; our socket is OURS, the service PLACE
BAD = {
    "smtpd-milters": [("-e", f"smtpd_milters={OTHER}")],
    "smtpd-milters at a service": [PUBLIC, ("-P", f"192.0.2.1:25/inet/smtpd_milters={OTHER}")],
    "milter-default-action": [("-e", "milter_default_action=accept")],
    "milter-default-action by a milter": [("-e", f"smtpd_milters={OTHER}, {{ OURS, default_action=accept }}")],
    "milter-default-action of a service": [("-P", "PLACE/milter_default_action=accept")],
    "milter-default-action of a milter of a service": [
        ("-P", f"PLACE/smtpd_milters={{OURS,default_action=accept}},{OTHER}")
    ],
    "milter-default-action by a name": [
        ("-e", "mine={ OURS, default_action=accept }", f"smtpd_milters=$mine, {OTHER}")
    ],
    "milter-protocol": [("-e", "milter_protocol=2")],
    "milter-timeout": [("-e", "milter_content_timeout=10s")],
    "bare-newline": [("-e", "smtpd_forbid_bare_newline=no")],
    "line-length": [("-e", "smtp_line_length_limit=100")],
    "override-options": [("-e", "receive_override_options=no_address_mappings,no_milters")],
    "override-options at a service": [
        PUBLIC,
        ("-P", "192.0.2.1:25/inet/receive_override_options=no_address_mappings,no_milters"),
    ],
    "non-smtpd-milters": [("-e", f"non_smtpd_milters=$smtpd_milters, {OTHER}")],
    "submission": [SUBMISSION],
    "submission by its own": [SUBMISSION, ("-P", f"587/inet/smtpd_milters=OURS,{{{OTHER},protocol=6}}")],
    "unsigned": [SUBMISSION, ("-P", "587/inet/smtpd_milters="), ("-e", "non_smtpd_milters=inet:localhost:8891")],
    "content-filter": [
        PUBLIC,
        ("-P", "192.0.2.1:25/inet/content_filter=smtp:[127.0.0.1]:10024"),
    ],
    "competing-milter": [("-e", "smtpd_milters=inet:localhost:8893, OURS")],
    "spf-policy-service": [
        ("-e", "smtpd_recipient_restrictions=reject_unauth_destination, check_policy_service { unix:private/spf }")
    ],
    "milter-header-checks": [("-e", "milter_header_checks=regexp:{ {/^Authentication-Results:/ IGNORE} }")],
    "header-checks": [("-e", "header_checks=regexp:{ {/^Auth.*:.*mx/ IGNORE} }, regexp:{ {/^X/ WARN} }")],
    "header-written": [("-e", "header_checks=regexp:{ {/^Received:/ PREPEND Authentication-Results: mx; x=y} }")],
}


@pytest.mark.parametrize("name", BAD)
def test_its_commands_fix(sound, copy, name):
    folder, postconf = copy
    code = name.split()[0]
    before = codes(sound.serve.config, folder)
    assert code not in before
    place = f"127.0.0.1:{sound.postfix.port}/inet"
    for words in BAD[name]:
        postconf(*(word.replace("OURS", f"unix:{sound.serve.socket}").replace("PLACE", place) for word in words))
    found = [each for each in findings(sound.serve.config, folder) if each.code == code]
    assert found
    for each in found:
        assert each.commands
        fix(each)
    assert codes(sound.serve.config, folder) == before


def test_before_a_removal(sound, copy, tmp_path):
    """What is said is done, and then nothing is left to say; also if the configuration is broken."""
    folder, postconf = copy
    postconf("-e", f"smtpd_milters={OTHER}, unix:{sound.serve.socket}", "non_smtpd_milters=$smtpd_milters")
    postconf(*SUBMISSION)
    postconf("-P", f"587/inet/smtpd_milters={{unix:{sound.serve.socket},protocol=6}},{OTHER}")
    (tmp_path / "broken.yaml").write_text("mood: x\n")
    broken = SimpleNamespace(config=tmp_path / "broken.yaml", environment=sound.serve.environment)
    age(folder)
    said = [doctor(each, folder, "--removal") for each in (sound.serve, broken)]
    assert said[0] == said[1]
    status, printed = said[0]
    assert status == 1
    assert "still-asked" in printed
    for command in re.findall(r"^ +(postconf .*)", printed, re.MULTILINE):
        subprocess.run(["/bin/sh", "-ec", f"PATH=$PATH:/usr/sbin {command}"], check=True)
    age(folder)
    assert doctor(sound.serve, folder, "--removal") == (0, "")
    command = ["/usr/sbin/postconf", "-c", folder, "-xh", "smtpd_milters", "non_smtpd_milters"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == [OTHER, OTHER]


@pytest.mark.parametrize("listed", [True, False])
def test_a_chroot_is_kept(sound, copy, listed):
    """The words are to be obeyed, too: there our socket gets to where smtpd sees it, whatever command comes before."""
    folder, postconf = copy
    place = f"127.0.0.1:{sound.postfix.port}/inet"
    postconf("-F", f"{place}/chroot=y")
    if not listed:
        postconf("-e", f"smtpd_milters={OTHER}")
    code = "chroot" if listed else "smtpd-milters"
    (found,) = [each for each in errors(sound.serve.config, folder) if each.code == code and place in each.text]
    path = f"{sound.postfix.folder}/queue/mailassay/mailassay.sock"
    assert f"First write listen: unix:{path} (line 1 of {sound.serve.config})" in found.text
    install, restart, postconf = found.commands
    assert install.split()[0] == "install"
    assert install.split()[-1] == os.path.dirname(path)
    assert restart == "systemctl restart mailassay"
    fix(replace(found, commands=(postconf,)))
    settings = replace(load(str(sound.serve.config)), listen=Listen("unix", path=path))
    now = [each for each in examine(all_facts(settings, (), None, str(folder))) if place in each.text]
    assert {each.code for each in now if each.severity is Severity.ERROR} == set()
    assert {"chroot", "smtpd-milters"} <= {each.code for each in now}


def test_a_postfix_that_is_down(sound):
    """Started as the doctor says; until then it is what is said of the queue."""
    with Mta([f"unix:{sound.serve.socket}"], SOUND) as postfix:
        folder = postfix.folder / "etc"
        assert "postfix-down" not in codes(sound.serve.config, folder)
        postfix.run("postfix", "stop")
        found = findings(sound.serve.config, folder)
        (down,) = [each for each in found if each.code == "postfix-down"]
        assert down.severity is Severity.WARNING
        assert not [each for each in found if "hold queue" in each.text]
        try:
            fix(down)
            assert "postfix-down" not in codes(sound.serve.config, folder)
        finally:
            postfix.run("postfix", "stop")


def send(postfix, code, seconds=60.0):
    """A message until it is answered so: what is reloaded takes a moment."""
    end = time.monotonic() + seconds
    while True:
        with postfix.client() as client:
            client.command("EHLO x")
            client.become("192.0.2.10")
            client.command("EHLO mail.news.example")
            reply = client.send("bounce@news.example", [f"bob@{DOMAIN}"], MESSAGE)
        if reply.code == code:
            return reply
        assert time.monotonic() < end, f"{reply}\n{postfix.log()[-2000:]}"
        time.sleep(0.1)


def test_a_socket_that_is_closed_to_postfix(sound):
    """The doctor says what Postfix finds."""
    folder, path = sound.postfix.folder / "etc", Path(sound.serve.socket)
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0o600)
    try:
        send(sound.postfix, 451)
        (found,) = errors(sound.serve.config, folder)
        assert found.code == "socket-access"
        fix(found)
        send(sound.postfix, 250)
    finally:
        path.chmod(mode)


@pytest.fixture
def jail():
    """A chrooted smtpd, a daemon whose socket is below the queue directory, and their configuration directory."""
    if why := mta.missing():
        pytest.skip(reason=why)
    with DnsServer(zone()) as server, Mta(["unix:ours/mailassay.sock"], SOUND) as postfix:
        folder = postfix.folder / "queue" / "ours"
        folder.mkdir(mode=0o750)
        shutil.chown(folder, group="postfix")
        place = f"127.0.0.1:{postfix.port}/inet"
        postfix.run("postconf", "-F", f"{place}/chroot=y")
        with Serve(folder, server, socket_mode="0660", socket_group="postfix") as serve:
            postfix.run("postfix", "reload")
            send(postfix, 250)
            yield serve, postfix


def test_in_a_chroot(jail):
    """A path as it is outside does not lead there from inside; nor does a folder that is not Postfix's."""
    serve, postfix = jail
    folder = postfix.folder / "etc"
    assert errors(serve.config, folder) == []
    postfix.run("postconf", "-e", f"smtpd_milters=unix:{serve.socket}")
    postfix.run("postfix", "reload")
    send(postfix, 451)
    found = next(each for each in errors(serve.config, folder) if "127.0.0.1" in each.text)
    assert found.code == "chroot"
    fix(found)
    postfix.run("postfix", "reload")
    send(postfix, 250)
    shutil.chown(Path(serve.socket).parent, group="root")
    send(postfix, 451)
    (found,) = errors(serve.config, folder)
    assert found.code == "socket-access"
    fix(found)
    send(postfix, 250)
    assert errors(serve.config, folder) == []


def test_a_daemon_that_is_not_there(sound, copy, tmp_path):
    folder, postconf = copy
    config = tmp_path / "other.yaml"
    config.write_text(f"listen: unix:{tmp_path}/none.sock\n")
    postconf("-e", f"smtpd_milters=unix:{tmp_path}/none.sock")
    command = [sys.executable, "-m", "mailassay", "doctor", "--config", config, "--postfix-config", folder]
    done = subprocess.run(command, capture_output=True, text=True, env=sound.serve.environment)
    assert done.returncode == 1
    assert f"no milter answers at unix:{tmp_path}/none.sock: no such file" in " ".join(done.stdout.split())


def test_macros_without_end(sound, copy):
    folder, _ = copy
    with (folder / "main.cf").open("a") as file:
        file.write("ring = $round\nround = $ring\nsmtpd_milters = $ring\n")
    command = [sys.executable, "-m", "mailassay", "doctor", "--config", sound.serve.config, "--postfix-config", folder]
    done = subprocess.run(command, capture_output=True, text=True, env=sound.serve.environment)
    assert (done.returncode, done.stdout) == (os.EX_UNAVAILABLE, "")
    assert done.stderr.startswith("mailassay: postconf fails: ")
    assert "macro" in done.stderr


def test_names_that_are_commands(sound, copy, tmp_path):
    """Of services, milters, tables: obeying the doctor runs none of them, and its terminal shows no escape."""
    folder, _ = copy
    touch = f"touch${{IFS}}{tmp_path}/touched"
    odd = f"unix:/x';{touch};`{touch}`$({touch})\x1b[2J\x9b2J&&{touch}||{touch}\x0c\x85"
    with (folder / "main.cf").open("a") as file:
        file.write(
            f"odd = {odd.replace('$', '$$')}\nsmtpd_milters = $odd, inet:localhost:8893\n"
            "milter_default_action = accept\n"
            "smtpd_recipient_restrictions = check_policy_service $odd/spf, reject_unauth_destination\n"
        )
    with (folder / "master.cf").open("a") as file:
        file.write(f"`{touch}`;{touch} inet n - y - - smtpd\n  -o milter_default_action=`{touch}`\n")
    found = findings(sound.serve.config, folder)
    assert {"smtpd-milters", "spf-policy-service"} <= {each.code for each in found}
    for command in [command for each in found for command in each.commands if command.startswith("postconf")]:
        path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
        subprocess.run(["/bin/sh", "-c", command], check=False, env={**os.environ, "PATH": path}, timeout=60)
    assert not (tmp_path / "touched").exists()
    _, said = doctor(sound.serve, folder)
    assert all(line.isprintable() for line in said.split("\n"))


def test_a_postfix_that_is_not_there(sound, tmp_path):
    status, said = doctor(sound.serve, tmp_path / "no-such-folder")
    assert (status, said) == (os.EX_UNAVAILABLE, "")
