"""The daemon and its machine: which program answers, which files it can read, DNS and clock."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from datetime import UTC, datetime

from ..config import Settings, is_elsewhere
from ..postfix.hold_queue import in_units
from .facts import Facts, Node, ancestry
from .finding import Finding, error, fine, note, warning
from .system import SYSTEMD

_PACKAGED = "/usr/lib/mailassay"  # where packages have the environment
_LEAST_FILES = 1024  # a hundred connections of Postfix's, and the DNS questions of their messages
_DAY = 86_400  # seconds
_PATIENCE = 1  # days after which a held message counts as forgotten
_ROUNDED = 2  # seconds by which the start time of a process may be too early (btime in proc(5))


def configuration(facts: Facts) -> Iterator[Finding]:
    """Is the configuration right? The other checks use the default for each wrong key."""
    if not facts.wrong:
        yield fine("configuration", "the configuration and its policy are right")
        return
    more = f" (and {len(facts.wrong) - 1} more)" if len(facts.wrong) > 1 else ""
    yield error(
        "configuration",
        f"{facts.wrong[0]}{more}. mailassay does not start with it (with mailassay.socket it stays up and defers all "
        "mail), and a reload fails; the checks below use the default for each wrong key",
        shlex.join(["mailassay", "config", "check", *(["--config", facts.config] if facts.config else [])]),
    )


def answering(facts: Facts) -> Iterator[Finding]:
    """Does a milter answer at our socket, and is it mailassay?"""
    where, process = facts.settings.listen.libmilter, facts.process
    if facts.silence:
        start = facts.system.service("start", "mailassay")
        yield error("answering", f"no milter answers at {where}: {facts.silence}", *_folder(facts), start)
    elif facts.silence is None:
        return
    elif process and not any("mailassay" in word for word in process.words):
        program = " ".join(process.words[:2]).strip()
        yield error("stranger", f"another program answers at {where}, process {process.pid}: {program}")
    else:
        yield fine("answering", f"a milter answers at {where}")


def reloaded(facts: Facts) -> Iterator[Finding]:
    """Does the daemon judge by the policy in the file?"""
    if not facts.digest or facts.wrong:
        return
    wrong = [*not_reloaded(facts.settings, facts.digest)]
    ours = facts.settings.policy.digest
    yield from wrong or [fine("not-reloaded", f"the daemon judges by policy {ours}, which is the one in the file")]


def not_reloaded(settings: Settings, digest: str) -> Iterator[Finding]:
    """A finding if the daemon judges by a policy with another digest; none if the digest is unknown (empty)."""
    ours = settings.policy.digest
    if digest not in ("", ours):
        yield warning(
            "not-reloaded",
            f"the daemon judges by policy {digest}, but {settings.policy_path or 'the configuration'} "
            f"has another one, {ours}",
            # only systemd says which policy it is
            "systemctl reload mailassay",
        )


def _folder(facts: Facts) -> Iterator[str]:
    """The command that creates the folder of our socket if it is missing; systemd creates those in /run."""
    folder = os.path.dirname(facts.canonical(facts.settings.listen.path))
    if facts.settings.listen.kind == "unix" and facts.nodes.get(folder, ...) is None and not folder.startswith("/run/"):
        yield facts.making(folder)


def installed(facts: Facts) -> Iterator[Finding]:
    """Does the daemon run the installed version?"""
    process = facts.process
    if not process or not any("mailassay" in word for word in process.words):
        return
    if os.path.dirname(process.words[0]) != os.path.dirname(facts.interpreter):
        yield note(
            "other-installation",
            f"{process.words[0]} runs the daemon, but {facts.interpreter} runs this command: they may differ "
            "in version",
        )
    elif process.started + _ROUNDED < facts.installed:
        since, then = (
            f"{datetime.fromtimestamp(each, UTC):%Y-%m-%d %H:%M} UTC" for each in (process.started, facts.installed)
        )
        yield warning(
            "running-version",
            f"the daemon has run since {since}, but mailassay was installed at {then}",
            facts.system.service("restart", "mailassay"),
        )
    else:
        yield fine("running-version", "the daemon was started after mailassay was installed")


def environment(facts: Facts) -> Iterator[Finding]:
    """Does the virtual environment have the Python of the system, and not that of the release before?"""
    own = facts.environment
    if not own:
        return
    python, system = (".".join(map(str, each)) for each in (own.python, own.system))
    # a system may also have Pythons newer than its own
    if own.python < own.system:
        again = "make it again with the system's Python, by make install or pip as before"
        if own.folder == _PACKAGED:
            again = "build the package on this release, and install it (Debian: make deb)"
        yield warning(
            "old-python",
            f"mailassay runs in {own.folder} with Python {python}, but the Python of the system is {system}: after an "
            "upgrade of the system, the old one gets no security updates",
            fix=f"To get a mailassay for this release, {again}",
        )
    else:
        yield fine("old-python", f"the environment {own.folder} has Python {python}, and the system has {system}")


def limits(facts: Facts) -> Iterator[Finding]:
    """Does the daemon have enough descriptors?"""
    if facts.process and facts.process.files is not None:
        if facts.process.files < _LEAST_FILES:
            what = f"the daemon may open {facts.process.files} files: each connection and each DNS question takes one"
            unit = "Set LimitNOFILE=65536 in mailassay.service"
            fix = unit if facts.system.manager is SYSTEMD else "Let it open 65536 (ulimit -n)"
            yield warning("open-files", what, facts.system.service("restart", "mailassay"), fix=fix)
        else:
            yield fine("open-files", f"the daemon may open {facts.process.files} files")


def socket_group(facts: Facts) -> Iterator[Finding]:
    """Will the group of the socket let Postfix in?"""
    settings, name = facts.settings, facts.settings.socket_group
    if settings.listen.kind != "unix" or not name:
        return
    number = int(name) if name.isdigit() else facts.groups.get(name)
    if number is None:
        yield error("socket-group", f"socket_group is {name}, but there is no such group")
    elif not settings.socket_mode & 0o022:
        yield error("socket-group", f'socket_mode is "{settings.socket_mode:04o}": neither group nor others may write')
    elif facts.smtpd and not settings.socket_mode & 0o002 and number not in facts.smtpd.gids:
        yield error(
            "socket-group",
            f"socket_group is {name}, but {facts.smtpd.name}, the user of smtpd, is not in it",
            fix=f"Write socket_group: {facts.smtpd.group} ({facts.place('socket_group')}) and restart mailassay",
        )
    else:
        yield fine("socket-group", f"the socket gets group {name} and mode {settings.socket_mode:04o}")


def files(facts: Facts) -> Iterator[Finding]:
    """Can the daemon read its configuration, and can nobody else write to it?"""
    paths = [facts.canonical(path) for path in (facts.config, facts.settings.policy_path) if path]
    for path in paths:
        user = facts.daemon
        node = facts.nodes.get(path)
        if user and node and (facts.blocked(user, path) or not user.may(node, 4)):
            wrong = facts.blocked(user, path) or node
            yield error(
                "readable",
                f"{user.name}, the user of the daemon, may not read {path}: mode {wrong.mode:04o} of {wrong.path}",
                *user.let(wrong, "r" if wrong is node else "x", path),
            )
        elif user and node and user.uid and node.uid == user.uid:
            yield warning(
                "owner",
                f"{path} belongs to {user.name}, the user of the daemon: an intruder could change the policy",
                shlex.join(["chown", "root", path]),
            )
    if facts.settings.listen.kind == "unix":
        paths.append(os.path.dirname(facts.canonical(facts.settings.listen.path)))
    writable = [node for node in _nodes(facts, paths) if _by_all(node)]
    for node in writable:
        yield error(
            "writable",
            f"everybody may write to {node.path} (mode {node.mode:04o}), and so decide which mail comes in",
            shlex.join(["chmod", "o-w", node.path]),
        )
    if not writable:
        yield fine("writable", "not everybody may write to configuration, policy and the folder of the socket")


def _nodes(facts: Facts, paths: list[str]) -> list[Node]:
    every = dict.fromkeys(folder for path in paths for folder in ancestry(path))
    return [node for path in every if (node := facts.nodes.get(path))]


def _by_all(node: Node) -> bool:
    """May everybody write to it, or replace a file in it?"""
    return bool(node.mode & stat.S_IWOTH) and not node.mode & stat.S_ISVTX


def nameservers(facts: Facts) -> Iterator[Finding]:
    """Does a name server on this host answer, and does it validate DNSSEC?"""
    found = facts.nameservers
    silent = all(each.trouble for each in found)
    inside = facts.system.in_container and not facts.system.manager
    where = "beside this container" if inside else "here"
    for each in found:
        place = each.address if each.port == 53 else f"{each.address} port {each.port}"
        if each.trouble:
            reason = f"name server {place} gives no answer: {each.trouble}"
            if silent:
                yield error("nameserver", f"{reason}; without DNS nothing can be judged")
            else:
                yield warning("nameserver", f"{reason}; each question that goes to it first is delayed")
        else:
            yield fine("nameserver", f"name server {place} answers")
        if is_elsewhere(each.address, facts.system.in_container):
            yield warning(
                "nameserver-place",
                f"name server {place} is not on this host: anybody on the network path can forge its answers, and "
                "with them SPF, DKIM and DMARC; and each question takes longer",
                *facts.system.install("unbound"),
                fix=f"Run one {where}, such as unbound, and name it in dns.nameservers",
            )
        if not each.trouble and not each.validates:
            what = f"name server {place} does not validate DNSSEC (no AD for a signed name)"
            yield note("nameserver-dnssec", f"{what}: forged records of signed domains are believed")


def clock(facts: Facts) -> Iterator[Finding]:
    """Is the clock right? DKIM signatures expire (x=), and those of DKIM and ARC have a time of signing (t=)."""
    if facts.synchronized is False:
        what = (
            "nothing keeps the clock of this host synchronized: signatures may count as expired, or as made in the "
            "future"
        )
        if facts.system.manager is SYSTEMD and not facts.system.in_container:
            yield warning("clock", what, "timedatectl set-ntp true")
        else:
            outside = ", outside this container" if facts.system.in_container else ""
            yield warning("clock", what, fix=f"Run a time daemon, such as chrony{outside}")
    elif facts.synchronized:
        yield fine("clock", "the clock is synchronized")


def running(facts: Facts) -> Iterator[Finding]:
    """Is Postfix running?"""
    if facts.down:
        reason = "Postfix is not running: no mail comes in, and mail in its queue stays there"
        # a service manager that did not start Postfix cannot restart it; the service of an instance has another name
        managed = (facts.system.manager or facts.system.in_container) and not facts.postfix.folder
        start = facts.system.revive("postfix") if managed else (facts.postfix.command("postfix", "start"),)
        yield warning("postfix-down", reason, *start)
    else:
        yield fine("postfix-down", "Postfix is running")


def held(facts: Facts) -> Iterator[Finding]:
    """Does anybody look at held messages?"""
    if not facts.held:
        if facts.held is not None:
            yield fine("held", "no message is on hold because of mailassay")
        return
    days = int(facts.waiting // _DAY)
    some = "1 message is" if facts.held == 1 else f"{facts.held} messages are"
    to = facts.settings.held.remind_to
    who = (
        f"{to} gets mail about them" if to else "held: {remind_to: ADDRESS} in the configuration sends mail about them"
    )
    reminder, timer = "mailassay-held.timer", facts.system.enable("mailassay-held.timer")
    if facts.system.manager is not SYSTEMD:
        reminder, timer = "a cron job that runs mailassay held --remind 0s", ()
    yield (warning if days >= _PATIENCE else note)(
        "held",
        f"{some} on hold because of mailassay, the oldest for {in_units(facts.waiting)}: nobody was notified of them",
        facts.listing(),
        *timer,
        fix=f"Look at them, then release or delete them; {reminder} reminds you, and {who}",
    )


def unseen(facts: Facts) -> Iterator[Finding]:
    """What was not examined."""
    if facts.unseen:
        more = "" if facts.is_root else "Run it as root to see more"
        yield note("not-looked-at", f"could not look at: {'; '.join(facts.unseen)}", fix=more)
