"""The facts of an examination: all that its checks can use. Nothing here gathers facts."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..config import Problem, Settings
from ..domain import Domain
from ..feedback.ourselves import Alignment
from ..postfix.configuration import Postfix, Service
from ..sign.published import Published
from .own import Own
from .system import System

REMOVES = ("IGNORE", "STRIP", "REPLACE", "DISCARD", "REJECT")
"""Actions of header checks after which a field, or the message, is gone."""


@dataclass(frozen=True, slots=True)
class Node:
    """A file, folder or socket; ``group`` is the name of its group."""

    path: str
    mode: int
    uid: int
    gid: int
    group: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """The user of a program. ``group`` is the primary group, ``gids`` are all groups."""

    name: str
    uid: int
    gids: frozenset[int]
    group: str = ""

    def may(self, node: Node, bits: int) -> bool:
        """Does this user have the permissions ``bits`` (4 read, 2 write, 1 search) for a file?"""
        if self.uid == 0:
            return True
        shift = 6 if node.uid == self.uid else 3 if node.gid in self.gids else 0
        return node.mode >> shift & bits == bits

    def let(self, node: Node, letters: str, path: str) -> tuple[str, ...]:
        """The commands that give this user permissions (``rw``) for a file at ``path``, or for a folder above it.

        The file and its folder get the group of this user. Folders above belong to others, so there all may pass.
        """
        if node.uid == self.uid or node.gid in self.gids:
            return (shlex.join(["chmod", f"{'u' if node.uid == self.uid else 'g'}+{letters}", node.path]),)
        if node.path in (path, os.path.dirname(path)):
            chmod = shlex.join(["chmod", f"g+{letters}", node.path])
            return shlex.join(["chgrp", self.group, node.path]), chmod
        return (shlex.join(["chmod", f"o+{letters}", node.path]),)


@dataclass(frozen=True, slots=True)
class Process:
    """The program that listens on our socket. ``started`` in seconds since 1970; ``files``: how many it may open."""

    pid: int
    words: tuple[str, ...]
    started: float
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """The virtual environment that runs this examination, made of a Python in /usr, and ``system``: /usr/bin/python3.

    Both versions are those that make two Pythons different, as (3, 13).
    """

    folder: str
    python: tuple[int, int]
    system: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of header checks: its name, its text, and its results for our field and for our signature."""

    name: str
    text: str
    answer: str
    of_signature: str = ""


@dataclass(frozen=True, slots=True)
class Nameserver:
    """The result of one question to it: ``trouble``, or whether DNSSEC proved the answer (AD)."""

    address: str
    port: int
    trouble: str = ""
    validates: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """The history, as far as one can look at it. Ages are in seconds, sizes in octets; None means unknown.

    ``collected``: a collector is running. ``waiting``: the number of segments that no worker writes to any more; the
    first of them has waited for ``behind``. ``lost``: the number of records that were lost in the last day. ``size``:
    of the database, if it is a file, and ``free``: what is left on the file system of the directory. ``trouble``: why
    the database cannot be used, empty if nothing is wrong. ``missing``: the libraries that the collector needs.
    ``pages``: why the pages do not answer, None if they do or if there are none; ``stuck``: what they say is wrong
    with the collector, empty if nothing is.
    """

    collected: bool | None = None
    waiting: int = 0
    behind: float = 0.0
    lost: int | None = None
    size: int | None = None
    free: int | None = None
    trouble: str = ""
    missing: tuple[str, ...] = ()
    pages: str | None = None
    stuck: str = ""


@dataclass(frozen=True, slots=True)
class Reporting:
    """The DMARC reports that are sent, as far as one can look at it. None means unknown.

    ``alignment``: would they pass DMARC? ``takes``: Postfix takes mail for the domain of our report address, and
    ``knows`` the address. ``silence``: why no SMTP server takes the reports, empty if one does. ``timer``: systemd
    starts the timer by which they are sent.
    """

    alignment: Alignment | None = None
    takes: bool | None = None
    knows: bool | None = None
    silence: str | None = None
    timer: bool | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """The domains for which another filter signs. ``below``: for names below them too.

    ``doubt`` says why there may be others for which it signs; it is empty if there are none.
    """

    domains: frozenset[Domain] = frozenset()
    below: bool = False
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All facts. ``unseen`` names what could not be examined. None means unknown, unless it is described otherwise.

    ``config``: the file of the settings, None if there is none. ``wrong``: the problems in it and in its policy; the
    valid part is in ``settings``, with defaults for the rest. ``real``: paths without symbolic links; ``nodes``: files
    and all folders above them by such a path, None if one does not exist. ``smtpd`` and ``daemon``: the users of
    Postfix and of mailassay; ``groups``: of this host, by name. ``silence``: why no milter answers on our socket,
    empty if one does; ``process``: which one. ``digest``: of the policy by which the service says it judges, empty
    if unknown. ``interpreter``: the program that runs this examination; ``installed``: when its files were installed.
    ``environment``: the virtual environment that it is in, None if it is in none, or in one of another Python.
    ``signers``: the Mode in configuration files of signing filters, empty if they have none; ``signing``: for those
    with a key, the socket in their file, as it is written there; ``signed``: for what
    domains those sign. ``running``: the names of those that run.
    ``tables``: the header check tables, by parameter.
    ``names``: of this host. ``own``: the domains for which Postfix takes mail. ``held``: the number of messages that
    mailassay put on hold, None if unknown; the first has been ``waiting`` for so many seconds. ``down``: Postfix is not
    running. ``kept``: the history, None if there is none; ``reports``: likewise, if none are sent. ``doubts``: about
    the permissions of the keys. ``published``: what DNS has for each key that signs or seals, empty if no name server
    answers. ``is_root``: this examination can look at everything. ``system``: how packages are installed and services
    are controlled.
    """

    settings: Settings
    postfix: Postfix
    config: str | None = None
    wrong: tuple[Problem, ...] = ()
    real: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, Node | None] = field(default_factory=dict)
    smtpd: User | None = None
    daemon: User | None = None
    groups: Mapping[str, int] = field(default_factory=dict)
    silence: str | None = None
    process: Process | None = None
    digest: str = ""
    interpreter: str = ""
    installed: float = 0.0
    environment: Environment | None = None
    signers: Mapping[str, str] = field(default_factory=dict)
    signing: Mapping[str, str] = field(default_factory=dict)
    signed: Mapping[str, Signed] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    tables: Mapping[str, tuple[Table, ...]] = field(default_factory=dict)
    nameservers: tuple[Nameserver, ...] = ()
    synchronized: bool | None = None
    names: frozenset[str] = frozenset()
    own: tuple[Own, ...] = ()
    held: int | None = 0
    waiting: float = 0.0
    down: bool = False
    kept: Kept | None = None
    reports: Reporting | None = None
    published: tuple[Published, ...] = ()
    doubts: tuple[Problem, ...] = ()
    is_root: bool = False
    system: System = field(default_factory=System)
    unseen: tuple[str, ...] = ()

    def canonical(self, path: str) -> str:
        """The path without symbolic links."""
        return self.real.get(path, os.path.normpath(path))

    @property
    def queue(self) -> str:
        """Postfix's queue directory, in which smtpd works and may be chrooted."""
        return self.canonical(self.postfix.value("queue_directory"))

    def place(self, key: str) -> str:
        """Where a key of our configuration is, in words."""
        file = self.config or "our configuration"
        return f"line {self.settings.lines[key]} of {file}" if key in self.settings.lines else file

    def making(self, folder: str) -> str:
        """The command that creates the folder of our socket."""
        group = self.settings.socket_group or "mailassay"
        return shlex.join(["install", "-d", "-o", "mailassay", "-g", group, "-m", "0750", folder])

    def listing(self, *action: str) -> str:
        """The command that lists the messages that mailassay put on hold, or does something to them."""
        folder = ["-c", self.postfix.folder] if self.postfix.folder else []
        return shlex.join(["mailassay", "held", *action, *folder])

    def blocked(self, user: User, path: str, below: str = "/") -> Node | None:
        """The first folder on the path to a file that a user may not search. Ignores the folders above ``below``."""
        for folder in ancestry(path)[:-1]:
            node = self.nodes.get(folder)
            if node and folder.startswith(below) and not user.may(node, 1):
                return node
        return None


def ancestry(path: str) -> list[str]:
    """A path and the folders above it, ``/`` first."""
    pure = PurePosixPath(path)
    return [*reversed([str(each) for each in pure.parents]), str(pure)]


def seen_by(service: Service, path: str, queue: str) -> str:
    """A path of smtpd's in the whole file system: smtpd works in the queue directory, or is chrooted there."""
    return f"{queue}/{path.lstrip('/')}" if service.chrooted or not path.startswith("/") else path
