"""Gathers the facts of this machine. Changes nothing; reports what cannot be examined."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

from ..config import Listen, Problem, Settings
from ..config.mynetworks import tokens
from ..nameservers import Nameservers, system_nameservers
from ..ping import connected, negotiated
from ..postfix.configuration import NoPostfix, Postfix, beginning, examined, looked_up
from ..postfix.configuration import found as where_is
from ..postfix.hold_queue import Queue, Unavailable, oldest
from ..resolver import Answer, DnsLimit, DnsTempError, Question
from ..sign.permissions import group_name
from . import gather_history, gather_other_signers, gather_reports, gather_signing
from .facts import Environment, Facts, Nameserver, Node, Process, Table, User, ancestry, seen_by
from .milters import parsed
from .own import domains, looked_at
from .system import this_system

_PATIENCE = 5.0  # seconds to wait for each thing
_PATIENCE_WITH_POSTFIX = 60.0  # seconds for all of its commands together
_SIGNED = Question("arpa", "SOA")  # as old as DNS, and signed
_TIME_ERROR = 5  # adjtimex(2)
_UNIT = "mailassay.service"
_SIGNERS = ("/etc/opendkim.conf", "/etc/dkimpy-milter/dkimpy-milter.conf")  # named after the programs
_OPTION = re.compile(r"^[ \t]*(\w+)[ \t]+([^#\r\n]*)", re.MULTILINE)
_KEYS = ("keyfile", "keyfileed25519", "keytable", "keytableed25519")


def all_facts(settings: Settings, wrong: Sequence[Problem], config: str | None, folder: str | None) -> Facts:
    """All facts. ``folder`` is Postfix's configuration directory; None means the default one. Raises NoPostfix.

    ``wrong`` has the problems of the configuration; ``settings`` has defaults in their place.
    """
    until = time.monotonic() + _PATIENCE_WITH_POSTFIX
    postfix, unseen = examined(folder, until), list[str]()
    real = {path: os.path.realpath(path) for path in dict.fromkeys(_paths(settings, config, postfix))}
    silence, pid = _greeted(settings.listen, unseen)
    process = _process(pid or _main_pid(), unseen)
    held, waiting, down = _backlog(settings, postfix, until, unseen)
    names, nameservers = frozenset({socket.gethostname().lower()}), tuple(_asked(settings))
    own = domains(postfix, until, names, unseen)
    dns = not all(each.trouble for each in nameservers)
    if not dns:
        # reported already
        own = []
    return Facts(
        settings=settings,
        postfix=postfix,
        config=config,
        wrong=tuple(wrong),
        real=real,
        nodes=dict(_nodes(real.values(), unseen)),
        smtpd=_user(postfix.value("mail_owner")),
        daemon=_owner(process),
        groups={group.gr_name: group.gr_gid for group in grp.getgrall()},
        silence=silence,
        process=process,
        digest=_digest(process),
        interpreter=sys.executable,
        installed=max(path.stat().st_ctime for path in Path(__file__).parents[1].rglob("*.py")),
        environment=environment(),
        signers=dict(signers(unseen)),
        signing=(others := dict(signing())),
        signed=gather_other_signers.signed(others),
        running=gather_other_signers.running(Path(each).stem for each in _SIGNERS),
        tables={
            name: tuple(_tables(name, settings, postfix, until, unseen))
            for name in ("header_checks", "milter_header_checks")
        },
        nameservers=nameservers,
        synchronized=_synchronized(),
        names=names,
        own=tuple(looked_at(own, settings)),
        held=held,
        waiting=waiting,
        down=down,
        kept=gather_history.kept(settings, unseen, time.time()),
        reports=gather_reports.reporting(settings, postfix, until, unseen, dns=dns),
        doubts=gather_signing.doubts(settings, config, _owner(process)),
        published=gather_signing.published(settings, unseen, is_root=os.geteuid() == 0) if dns else (),
        is_root=os.geteuid() == 0,
        system=this_system(),
        unseen=tuple(dict.fromkeys(unseen)),
    )


def before_removal(settings: Settings, folder: str | None) -> Facts:
    """The facts about what Postfix still needs mailassay for. Raises NoPostfix."""
    until = time.monotonic() + _PATIENCE_WITH_POSTFIX
    postfix, unseen = examined(folder, until), list[str]()
    held, waiting, down = _backlog(settings, postfix, until, unseen)
    real = {path: os.path.realpath(path) for path in (postfix.value("queue_directory"), settings.listen.path) if path}
    return Facts(
        settings=settings, postfix=postfix, real=real, held=held, waiting=waiting, down=down, unseen=tuple(unseen)
    )


def _backlog(settings: Settings, postfix: Postfix, until: float, unseen: list[str]) -> tuple[int | None, float, bool]:
    """The number of messages that mailassay put on hold, the age of the first in seconds, and is Postfix down?

    The number is None if it is unknown.
    """
    queue, down = Queue(postfix.folder, until), False
    try:
        down = queue.is_down()
        found = oldest(queue, settings.policy.tag.verdict)
    except Unavailable as error:
        unseen.append(f"the hold queue: {error}")
        return None, 0.0, down
    return found.count, time.time() - found.oldest.queued.arrived if found.oldest else 0.0, down


def _paths(settings: Settings, config: str | None, postfix: Postfix) -> Iterator[str]:
    queue = postfix.value("queue_directory")
    yield queue
    yield from (path for path in (config, settings.policy_path, settings.listen.path) if path)
    yield from gather_history.paths(settings.history)
    for service in postfix.services:
        for milter in parsed(postfix.value("smtpd_milters", service)):
            if milter.path:
                yield from {seen_by(service, milter.path, queue), os.path.join(queue, milter.path)}


def _nodes(paths: Iterable[str], unseen: list[str]) -> Iterator[tuple[str, Node | None]]:
    for path in dict.fromkeys(folder for each in paths for folder in ancestry(each)):
        try:
            state = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            yield path, None
        except OSError as error:
            unseen.append(f"{path}: {error.strerror}")
        else:
            yield path, Node(path, state.st_mode & 0o7777, state.st_uid, state.st_gid, group_name(state.st_gid))


def _user(name: str) -> User | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return User(name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid)), group_name(entry.pw_gid))


def _owner(process: Process | None) -> User | None:
    """The user of the daemon, or the one that it would have."""
    name = "mailassay"
    if process:
        try:
            name = pwd.getpwuid(os.stat(f"/proc/{process.pid}").st_uid).pw_name
        except (OSError, KeyError):
            return None
    return _user(name)


def _greeted(listen: Listen, unseen: list[str]) -> tuple[str | None, int | None]:
    """Why no milter answers on our socket (empty if one does, None if unknown), and the listening process."""
    pid = None
    try:
        with connected(listen, _PATIENCE) as channel:
            if listen.kind == "unix":
                credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                # 1 is systemd, which listens for other programs
                pid = struct.unpack("3i", credentials)[0] if struct.unpack("3i", credentials)[0] > 1 else None
            return negotiated(channel, time.monotonic() + _PATIENCE), pid
    except PermissionError as error:
        unseen.append(f"who answers at {listen.libmilter}: {error.strerror}")
        return None, pid
    except OSError as error:
        return f"{error.strerror or error}".lower(), pid


def environment(
    prefix: str = sys.prefix, base: str = sys.base_prefix, system: Path = Path("/usr/bin/python3")
) -> Environment | None:
    """The virtual environment at ``prefix``; None if it is none, or if the version of a Python is unknown."""
    # the system's Python is a link that names its version
    found = re.fullmatch(r"python([0-9]+)\.([0-9]+)", system.resolve().name)
    if prefix == base or base != "/usr" or not found:
        return None
    return Environment(prefix, sys.version_info[:2], (int(found[1]), int(found[2])))


def running_digest(config: str | None) -> str:
    """The policy digest of the running service; empty if it does not run, or runs another configuration."""
    process = _process(_main_pid(), [])
    if not process or not config:
        return ""
    given = [word for before, word in pairwise(process.words) if before == "--config"]
    return _digest(process) if any(os.path.realpath(each) == os.path.realpath(config) for each in given) else ""


def _digest(process: Process | None) -> str:
    """The policy digest of the service, from ``systemctl status``; empty if another process listens."""
    if not process or process.pid != _main_pid():
        return ""
    found = re.search(r"\bpolicy ([0-9a-f]{12})\b", _of_unit("StatusText"))
    return found[1] if found else ""


def _main_pid() -> int | None:
    """The main process of the service, from systemd."""
    text = _of_unit("MainPID")
    return int(text) if text.isdigit() and text != "0" else None


def _of_unit(name: str) -> str:
    """A property of the service; empty without systemd."""
    if not (program := shutil.which("systemctl")):
        return ""
    command = [program, "show", f"--property={name}", "--value", _UNIT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _process(pid: int | None, unseen: list[str]) -> Process | None:
    if pid is None:
        return None
    folder = Path(f"/proc/{pid}")
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        # proc(5): field 22, in ticks since the machine started; the second field may have blanks and brackets
        ticks = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])
        booted = re.search("^btime ([0-9]+)", Path("/proc/stat").read_text(), re.MULTILINE)
    except OSError as error:
        unseen.append(f"process {pid}: {error.strerror}")
        return None
    began = int(booted[1]) if booted else 0
    return Process(pid, tuple(words), began + ticks / os.sysconf("SC_CLK_TCK"), _files(folder))


def _files(folder: Path) -> int | None:
    try:
        limit = re.search("^Max open files +([0-9]+)", (folder / "limits").read_text(), re.MULTILINE)
    except OSError:
        # only root can read the limits of another user's process
        return None
    return int(limit[1]) if limit else None


def signers(unseen: list[str], files: Sequence[str] = _SIGNERS) -> Iterator[tuple[str, str]]:
    """The Mode of opendkim and dkimpy-milter: s signs, v verifies; empty if not given, which means both."""
    for path in files:
        try:
            text = beginning(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            unseen.append(f"{path}: {error.strerror}")
            continue
        mode = re.search(r"^[ \t]*Mode[ \t]+([sv]+)", text, re.MULTILINE | re.IGNORECASE)
        yield path, mode[1].lower() if mode else ""


def signing(
    files: Sequence[str] = _SIGNERS, where: Callable[[str], str | None] = where_is
) -> Iterator[tuple[str, str]]:
    """The sockets of the installed signing filters that have a key and do not only verify."""
    for path in files:
        try:
            text = beginning(path)
        except OSError:
            # signers() has reported it
            continue
        options = {name.lower(): value.strip() for name, value in _OPTION.findall(text)}
        if where(Path(path).stem) and "s" in options.get("mode", "s").lower() and any(map(options.get, _KEYS)):
            yield path, options.get("socket", "")


def _tables(name: str, settings: Settings, postfix: Postfix, until: float, unseen: list[str]) -> Iterator[Table]:
    ours = settings.authserv_id or postfix.value("myhostname")
    field = f"Authentication-Results: {ours}; dmarc=none header.from=example.com"
    signature = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=a; t=1; h=From; bh=; b="
    for table in tokens(postfix.value(name)):
        kind, _, place = table.partition(":")
        # other tables ask a server, or have no patterns
        if kind not in ("regexp", "pcre"):
            continue
        try:
            text = place if place.startswith("{") else beginning(place)
        except OSError:
            # Postfix itself complains about that, loudly
            text = ""
        try:
            found = [looked_up(postfix.folder, until, table, each) for each in (field, signature)]
            yield Table(table, text, *found)
        except NoPostfix as error:
            unseen.append(f"{name} {table}: {error}")


def _asked(settings: Settings) -> Iterator[Nameserver]:
    """Ask each name server, all at once."""
    places = settings.dns.nameservers or system_nameservers()
    sources = [Nameservers([place], min(settings.dns.timeout, _PATIENCE), settings.policy.limits) for place in places]
    answers: list[Future[Answer]] = [source(_SIGNED) for source in sources]
    for (address, port), answer in zip(places, answers, strict=True):
        try:
            yield Nameserver(address, port, validates=answer.result().authentic)
        except DnsTempError as error:
            yield Nameserver(address, port, trouble=str(error).rpartition(": ")[2])
        except DnsLimit as error:
            yield Nameserver(address, port, trouble=str(error))
    for source in sources:
        source.close()


def _synchronized() -> bool | None:
    """Does the kernel consider its clock right (adjtimex(2))? The program that keeps it right tells the kernel."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    # zeros change nothing; a struct timex is smaller
    state: int = adjtimex(ctypes.create_string_buffer(1024))
    return None if state < 0 else state != _TIME_ERROR
