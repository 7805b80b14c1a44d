"""What an examination knows: all that its checks may look at. Nothing here looks for anything."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ..config import Problem, Settings
from ..postfix.configuration import Postfix, Service
from .own import Own

RESTART = "systemctl restart mailassay"


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
    """Somebody in whose name a program runs; ``group`` is the first of the groups, ``gids`` are all."""

    name: str
    uid: int
    gids: frozenset[int]
    group: str = ""

    def may(self, node: Node, bits: int) -> bool:
        """Has this user the permissions ``bits`` (4 read, 2 write, 1 search) for a file?"""
        if self.uid == 0:
            return True
        shift = 6 if node.uid == self.uid else 3 if node.gid in self.gids else 0
        return node.mode >> shift & bits == bits

    def let(self, node: Node, letters: str, path: str) -> tuple[str, ...]:
        """The commands that give permissions (``rw``) for a file at ``path``, or for a folder above it.

        File and folder get the group of this user; folders above belong to others, and there everybody may pass.
        """
        if node.uid == self.uid or node.gid in self.gids:
            return (shlex.join(["chmod", f"{'u' if node.uid == self.uid else 'g'}+{letters}", node.path]),)
        if node.path in (path, os.path.dirname(path)):
            chmod = shlex.join(["chmod", f"g+{letters}", node.path])
            return shlex.join(["chgrp", self.group, node.path]), chmod
        return (shlex.join(["chmod", f"o+{letters}", node.path]),)


@dataclass(frozen=True, slots=True)
class Process:
    """The program that listens at our socket. ``started`` in seconds since the epoch, ``files``: most it may open."""

    pid: int
    words: tuple[str, ...]
    started: float
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of header checks: its name, its text, and what it says of our field."""

    name: str
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Nameserver:
    """What came of one question to it: ``trouble``, or whether DNSSEC proved the answer (AD)."""

    address: str
    port: int
    trouble: str = ""
    validates: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it. What could not be looked at is in ``unseen``; None stands for what is not known.

    ``config``: the file of the settings, None without one. ``wrong``: what is wrong in it and in its policy; what is
    right in them is in ``settings``, with defaults for the rest. ``real``: paths without symbolic links; ``nodes``:
    files and all folders above them by such a path, None where there is none. ``smtpd`` and ``daemon``: in whose names
    Postfix and we run; ``groups``: of this host, by name. ``silence``: why nobody speaks milter at our socket, empty
    where somebody does; ``process``: who. ``digest``: of the policy by which it says it judges, empty if it is not
    known. ``interpreter``: the program that runs this examination; ``installed``: when its files came here.
    ``signers``: the Mode in configuration files of signing filters, empty where they give none; ``signing``: of those
    that have a key, the socket that their file gives, as it is written there. ``tables``: those of a parameter.
    ``names``: of this host. ``own``: the domains for which Postfix takes mail. ``held``: how many messages Postfix
    holds on our word, None if that is not known, and the seconds for which the first of them has been ``waiting``.
    ``down``: Postfix does not run.
    ``is_root``: this examination may look at everything. ``systemd``: it runs the services of this host.
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
    signers: Mapping[str, str] = field(default_factory=dict)
    signing: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, tuple[Table, ...]] = field(default_factory=dict)
    nameservers: tuple[Nameserver, ...] = ()
    synchronized: bool | None = None
    names: frozenset[str] = frozenset()
    own: tuple[Own, ...] = ()
    held: int | None = 0
    waiting: float = 0.0
    down: bool = False
    is_root: bool = False
    systemd: bool = True
    unseen: tuple[str, ...] = ()

    def canonical(self, path: str) -> str:
        """A path without symbolic links."""
        return self.real.get(path, os.path.normpath(path))

    @property
    def queue(self) -> str:
        """Postfix's queue directory, in which smtpd works and may be locked up."""
        return self.canonical(self.postfix.value("queue_directory"))

    def place(self, key: str) -> str:
        """Where people write a key of our configuration."""
        file = self.config or "our configuration"
        return f"line {self.settings.lines[key]} of {file}" if key in self.settings.lines else file

    def making(self, folder: str) -> str:
        """The command that makes the folder of our socket."""
        group = self.settings.socket_group or "mailassay"
        return shlex.join(["install", "-d", "-o", "mailassay", "-g", group, "-m", "0750", folder])

    def blocked(self, user: User, path: str, below: str = "/") -> Node | None:
        """The first folder on the way to a file that a user may not search; those above ``below`` do not matter."""
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
    """The path in the whole file system that smtpd means: it works in the queue directory, or is locked up there."""
    return f"{queue}/{path.lstrip('/')}" if service.chrooted or not path.startswith("/") else path
