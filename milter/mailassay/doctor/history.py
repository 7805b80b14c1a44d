"""The history: who moves it into the database, whether all of it arrives there, and who can read it."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator

from ..history.spool import LEFT_TO_MAIL, SPOOL
from ..postfix.hold_queue import in_units
from ..store import FILE
from .facts import Facts, Node
from .finding import Finding, fine, warning
from .system import SYSTEMD

_UNIT = "mailassay-collector"
_PATIENCE = 600.0  # seconds that a segment may wait for the collector
_MB = 1_000_000
_LEAST_FREE = 2 * LEFT_TO_MAIL  # octets: there is still time to make room


def folder(facts: Facts) -> Iterator[Finding]:
    """Can the service write the history, and can nobody else read it?"""
    if not (directory := facts.settings.history.directory):
        return
    path, user = facts.canonical(directory), facts.daemon
    if facts.nodes.get(path, ...) is None:
        name = user.name if user else "mailassay"
        yield warning(
            "history-folder",
            f"history.directory, {directory}, does not exist: nothing is kept",
            shlex.join(["install", "-d", "-o", name, "-g", user.group if user else name, "-m", "0700", path]),
            *(facts.system.service("restart", each) for each in ("mailassay", _UNIT)),
        )
        return
    nodes = [node for each in _paths(facts, path) if (node := facts.nodes.get(each))]
    closed = [node for node in nodes if user and not user.may(node, 7 if node.path != f"{path}/{FILE}" else 6)]
    for node in closed:
        assert user
        what = f"{user.name}, the user of the service, may not write to {node.path}: nothing is kept"
        yield warning("history-folder", what, shlex.join(["chown", f"{user.name}:", node.path]))
    if nodes and not closed:
        yield fine("history-folder", f"the service may write to {directory}")
        yield from _private(nodes[0])


def _private(node: Node) -> Iterator[Finding]:
    if node.mode & stat.S_IRWXO:
        yield warning(
            "history-private",
            f"everybody may enter {node.path} (mode {node.mode:04o}), where it is kept who writes to whom",
            shlex.join(["chmod", "o-rwx", node.path]),
        )
    else:
        yield fine("history-private", f"not everybody may enter {node.path}")


def _paths(facts: Facts, directory: str) -> list[str]:
    files = [] if facts.settings.history.database else [os.path.join(directory, FILE)]
    return [directory, os.path.join(directory, SPOOL), *files]


def collected(facts: Facts) -> Iterator[Finding]:
    """Is there a collector, and does it keep up?"""
    kept = facts.kept
    if not kept or kept.collected is None:
        return
    since = f"{kept.waiting} of its files wait, the oldest for {in_units(kept.behind)}" if kept.waiting else ""
    if not kept.collected:
        what = "no collector is running, which moves the history into the database"
        yield warning("history-collector", "; ".join(filter(None, (what, since))), *facts.system.enable(_UNIT))
    elif kept.behind > _PATIENCE or kept.stuck:
        why = "; ".join(filter(None, (kept.stuck, since)))
        yield warning(
            "history-behind",
            f"the collector does not move the history into the database: {why}",
            fix=f"Its log has the reason{f': journalctl --unit {_UNIT}' if facts.system.manager is SYSTEMD else ''}",
        )
    else:
        yield fine("history-collector", "a collector moves the history into the database")


def database(facts: Facts) -> Iterator[Finding]:
    """Can the collector use the database?"""
    kept = facts.kept
    if not kept:
        return
    if kept.missing:
        yield warning(
            "history-library",
            f"{facts.interpreter} does not have {' and '.join(kept.missing)}, which the collector needs",
            fix="Install the extras history and postgresql of mailassay with pip, or on Debian the packages that "
            "mailassay recommends and suggests",
        )
    if kept.trouble:
        yield warning(
            "history-database",
            f"the collector cannot use {kept.trouble}",
            facts.system.service("restart", _UNIT),
            fix="Install the version of mailassay that made it, or move it away",
        )
    if not kept.missing and not kept.trouble:
        yield fine("history-database", "nothing is wrong with the database of the history")


def space(facts: Facts) -> Iterator[Finding]:
    """Is there room for more?"""
    kept = facts.kept
    if not kept or kept.free is None:
        return
    where = facts.settings.history.directory
    has = f"; its database has {kept.size // _MB} MB" if kept.size else ""
    what = f"the file system of {where} has {kept.free // _MB} MB left{has}"
    if kept.free < max(_LEAST_FREE, (kept.size or 0) // 10):
        yield warning(
            "history-space",
            f"{what}: when little is left, no more records are written, so that mail has room",
            fix="Make room, or keep less: history.days, history.messages",
        )
    else:
        yield fine("history-space", what)


def pages(facts: Facts) -> Iterator[Finding]:
    """Do the pages answer?"""
    listen = facts.settings.web.listen
    if not facts.kept or not listen:
        return
    place = listen.path if listen.kind == "unix" else f"{listen.host} port {listen.port}"
    if facts.kept.pages is not None:
        yield warning(
            "web",
            f"the pages of the history do not answer at {place} ({facts.place('web.listen')}): {facts.kept.pages}",
            facts.system.service("restart", _UNIT),
        )
    elif facts.kept.collected is not None:
        yield fine("web", f"the pages of the history answer at {place}")


def lost(facts: Facts) -> Iterator[Finding]:
    """Has everything been kept?"""
    if not facts.kept or facts.kept.lost is None:
        return
    if facts.kept.lost:
        some = "1 record was" if facts.kept.lost == 1 else f"{facts.kept.lost} records were"
        what = f"{some} lost within a day: what happened to as many messages is only in the log"
        yield warning("history-lost", what, fix="The log of mailassay and of its collector has the reason")
    else:
        yield fine("history-lost", "no record was lost within a day")
