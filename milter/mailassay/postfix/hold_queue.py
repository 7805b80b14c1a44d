"""The messages that mailassay put on hold: Postfix's hold queue, read and changed by Postfix's own tools.

A message counts as put on hold by mailassay if our verdict says so above the topmost Received field. Postfix writes
that Received field when a message comes in, so only milters can have written the fields above it; and mailassay removes
fields that a sender wrote under the name of ours. A message held by an operator or another filter has no such field.
One that was released, and is held again by an operator, still has it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, NamedTuple

from ..authres.read import resinfos
from ..message import split
from ..result import Resinfo
from .postconf import has_main_cf

UNITS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
"""The units of the time that messages wait, in seconds."""

_PATIENCE = 60.0  # seconds for sendmail(1)
BATCH = 500  # queue files that one postcat reads
# the two forms of mail_queue.h: microseconds and inode in hexadecimal; seconds and microseconds in base 52, "z", inode
QUEUE_ID = re.compile(
    r"[0-9A-F]{6,40}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,20}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]{1,20}"
)
_SBIN = "/usr/sbin:/sbin:/usr/local/sbin"
# a line of a header section never begins like this: Postfix would take it for the first line of the body
_QUEUE_FILE = re.compile(
    rb"^\*\*\* ENVELOPE RECORDS (\S+) \*\*\*\n.*?"
    rb"^\*\*\* MESSAGE CONTENTS \1 \*\*\*\n((?:(?!\*\*\* )[^\n]*\n)*)"
    rb"^\*\*\* HEADER EXTRACTED \1 \*\*\*\n.*?"
    rb"^\*\*\* MESSAGE FILE END \1 \*\*\*\n",
    re.DOTALL | re.MULTILINE,
)
_DONE = re.compile(r"^postsuper: (\S+): (?:released from hold|removed)$", re.MULTILINE)
_RULE = re.compile(r"\s*hold;\s*rule=([^;]+)")
_GONE = b": No such file or directory\n"
_DENIED = b": Permission denied"

_log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Postfix's queue cannot be read or changed. ``status`` is an exit status for the reason (sysexits.h)."""

    def __init__(self, message: str, status: int = os.EX_UNAVAILABLE) -> None:
        super().__init__(message)
        self.status = status


def in_units(seconds: float) -> str:
    """How long a message has waited, in its two largest units."""
    left = max(0, int(seconds))
    words: list[str] = []
    for unit, size in UNITS.items():
        if left >= size or words:
            words.append(f"{left // size}{unit}")
            left %= size
    return " ".join(words[:2]) or "0s"


class Queued(NamedTuple):
    """A message in the hold queue, whatever put it there. ``arrived`` in seconds since 1970, ``size`` in octets."""

    queue_id: str
    arrived: int
    size: int
    sender: str  # empty: the null reverse-path
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A message that mailassay put on hold: the policy setting that decided, and our results."""

    queued: Queued
    rule: str
    results: tuple[Resinfo, ...]

    @property
    def author_domain(self) -> str:
        """The author domain that DMARC used; empty if there was none."""
        properties = (each for resinfo in self.results if resinfo.method == "dmarc" for each in resinfo.properties)
        return next((value for ptype, name, value in properties if (ptype, name) == ("header", "from")), "")


@dataclass(frozen=True, slots=True)
class Backlog:
    """The number of messages that mailassay put on hold, and the one that has waited longest."""

    count: int
    oldest: Held | None


class Queue:
    """The queue of one Postfix: that of ``config_directory``, or the default of Postfix's tools.

    ``until``, by the monotonic clock, limits the time of these tools; None: no limit.
    """

    def __init__(self, config_directory: str | None = None, until: float | None = None) -> None:
        self._config = ("-c", config_directory) if config_directory else ()
        self._until = until

    def hold(self) -> list[Queued]:
        """The hold queue, oldest first. Raises Unavailable."""
        if not self._config and not has_main_cf(_path("postconf")):
            raise Unavailable("Postfix has no main.cf here, or this user cannot see it")
        done = self._run("postconf", "-h", "queue_directory")
        if done.returncode:
            raise _refused("postconf", done)
        folder = os.path.join(os.fsdecode(done.stdout.strip()), "hold")
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise Unavailable(f"{folder} cannot be read: this needs root, or Postfix's own user", os.EX_NOPERM)
        done = self._run("postqueue", "-j")
        if done.returncode:
            raise _refused("postqueue", done)
        return sorted(queued(done.stdout), key=lambda each: each.arrived)

    def is_down(self) -> bool:
        """Is Postfix not running? postqueue says so, even if it reads the queue by itself. Raises Unavailable."""
        return b"mail system is down" in self._run("postqueue", "-j").stderr.lower()

    def header_sections(self, queue_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Queue id and header section of each message that is still in the hold queue. Raises Unavailable."""
        left = list(queue_ids)
        while left:
            done = self._run("postcat", "-qeh", *left)
            files = {path.rpartition("/")[2]: (path, header) for path, header in queue_files(done.stdout)}
            yield from ((name, header) for name, (path, header) in files.items() if path.startswith("hold/"))
            left = [each for each in left if each not in files]
            if not done.returncode:
                for each in left:
                    _log.warning("%s is left out: its queue file is damaged", each)
                return
            # postcat ends, after a second, if it cannot read a file
            failed = next((each for each in left if each.encode() in done.stderr), None)
            if failed is None or _DENIED in done.stderr:
                raise _refused("postcat", done)
            left.remove(failed)
            if _GONE in done.stderr:
                # other messages may be gone as well
                here = {each.queue_id for each in self.hold()}
                left = [each for each in left if each in here]
            else:
                _log.warning("%s is left out: %s", failed, _words(done))

    def content(self, queue_id: str, *, body: bool) -> bytes:
        """A message's header section, and its body if asked for; empty if the message is gone. Raises Unavailable."""
        done = self._run("postcat", "-qbh" if body else "-qh", queue_id)
        if done.returncode and _GONE not in done.stderr:
            raise _refused("postcat", done)
        return done.stdout

    def printed(self, queue_id: str) -> bytes:
        """All that postcat prints about a message in any queue; empty if there is none. Raises Unavailable."""
        done = self._run("postcat", "-q", queue_id)
        if done.returncode and _GONE not in done.stderr:
            status = os.EX_NOPERM if _DENIED in done.stderr else os.EX_UNAVAILABLE
            raise Unavailable(f"postcat: {_words(done)}", status)
        return b"" if done.returncode else done.stdout

    def release(self, queue_ids: Sequence[str]) -> set[str]:
        """Release messages for delivery now. Returns the ids that were released. Raises Unavailable.

        They go to the deferred queue, where they would wait for up to queue_run_delay. So postkick(1) asks qmgr(8) to
        run the messages that are due. Other deferred mail keeps its time, unlike with ``postqueue -f``; and
        ``postqueue -i`` would take a process for each message.
        """
        released = self._change("-H", queue_ids)
        if released:
            done = self._run("postkick", "public", "qmgr", "D")
            if done.returncode:
                _log.warning("released messages wait for the next queue run: %s", _words(done))
        return released

    def delete(self, queue_ids: Sequence[str]) -> set[str]:
        """Delete messages for good. Returns the ids that were deleted. Raises Unavailable."""
        return self._change("-d", queue_ids)

    def send(self, message: bytes, to: str) -> None:
        """Send a message by sendmail(1), with the null reverse-path. Raises Unavailable."""
        # unlike the other tools, sendmail(1) spells the option like this
        folder = ("-C", *self._config[1:]) if self._config else ()
        done = self._done("sendmail", *folder, "-i", "-f", "<>", "--", to, given=message, seconds=_PATIENCE)
        if done.returncode:
            raise _refused("sendmail", done)

    def _change(self, option: str, queue_ids: Sequence[str]) -> set[str]:
        # only in the hold queue: a message that somebody else has just released must not be deleted
        done = self._run("postsuper", option, "-", "hold", given="\n".join(queue_ids))
        changed = set(_DONE.findall(done.stderr.decode(errors="replace")))
        if done.returncode and not changed:
            raise _refused("postsuper", done)
        return changed & set(queue_ids)

    def _run(self, program: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[bytes]:
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        return self._done(program, *self._config, *arguments, given=given.encode(), seconds=left)

    def _done(
        self, program: str, *arguments: str, given: bytes, seconds: float | None
    ) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                [_path(program), *arguments], input=given, capture_output=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{program} takes too long") from None


def _path(program: str) -> str:
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_SBIN}")
    if path is None:
        raise Unavailable(f"there is no {program} here: Postfix is not installed")
    return path


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    """The complaint of a tool, without its name. Often the first line has the reason for the last."""
    lines = done.stderr.decode(errors="replace").split("\n")
    said = [re.sub(r"^\S+: (?:fatal|error|warning): ", "", line) for line in lines if line]
    return "; ".join(said) or f"exit status {done.returncode}"


def _refused(program: str, done: subprocess.CompletedProcess[bytes]) -> Unavailable:
    return Unavailable(f"{program}: {_words(done)}")


def queued(printed: bytes) -> Iterator[Queued]:
    """The messages of the hold queue in what ``postqueue -j`` prints, a JSON object a line. Raises Unavailable."""
    seen = set()
    for line in printed.splitlines():
        try:
            entry = json.loads(line.decode(errors="replace"))
            if entry["queue_name"] != "hold" or entry["queue_id"] in seen:
                continue
            found = _queued(entry)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise Unavailable("the output of postqueue -j is not understood", os.EX_PROTOCOL) from error
        seen.add(found.queue_id)
        yield found


def _queued(entry: dict[str, Any]) -> Queued:
    sender = str(entry["sender"])
    return Queued(
        str(entry["queue_id"]),
        int(entry["arrival_time"]),
        int(entry["message_size"]),
        "" if sender == "MAILER-DAEMON" else sender,
        tuple(str(each["address"]) for each in entry["recipients"]),
    )


def queue_files(printed: bytes) -> Iterator[tuple[str, bytes]]:
    """The path below the queue directory, and the header section, of each complete file in ``postcat -eh``."""
    for found in _QUEUE_FILE.finditer(printed):
        yield found[1].decode(errors="replace"), found[2]


def ours(queue: Queue, waiting: Iterable[Queued], verdict: str) -> Iterator[Held]:
    """The messages in the hold queue that mailassay put there. One that is gone meanwhile is skipped.

    ``verdict`` is the name of our field, the policy's ``tag.verdict``. Raises Unavailable.
    """
    each = iter(waiting)
    while batch := {one.queue_id: one for one in islice(each, BATCH)}:
        for queue_id, header in queue.header_sections(list(batch)):
            if found := judged(header, verdict):
                yield Held(batch[queue_id], *found)


def judged(header: bytes, verdict: str) -> tuple[str, tuple[Resinfo, ...]] | None:
    """The rule by which mailassay held a message, and our results, from its header section; None if it did not."""
    name = verdict.lower().encode()
    top = list(takewhile(lambda field: field.name.lower() != b"received", split(header)[0]))
    names = [field.name.lower() for field in top]
    if name not in names:
        return None
    place = names.index(name)
    rule = _RULE.match(top[place].value.decode(errors="replace"))
    # Postfix asks no further milter after one has held a message, so no field is between them
    results = [field.value for field in top[:place] if field.name.lower() == b"authentication-results"]
    return (rule[1].strip(), resinfos(results[-1])) if rule and results else None


def named(queue: Queue, queue_ids: Sequence[str], verdict: str) -> tuple[list[Held], dict[str, str]]:
    """The messages of these ids that mailassay put on hold, and for each other id the reason. Raises Unavailable.

    Only valid queue ids reach Postfix's tools: to them, some words (``ALL``) mean the whole queue.
    """
    why = {each: "is not a queue id" for each in queue_ids if not QUEUE_ID.fullmatch(each)}
    waiting = {each.queue_id: each for each in queue.hold()}
    why |= {each: "is not in the hold queue" for each in queue_ids if each not in waiting and each not in why}
    asked = dict.fromkeys(each for each in queue_ids if each not in why)
    found = {each.queued.queue_id: each for each in ours(queue, (waiting[each] for each in asked), verdict)}
    why |= {each: "was not put on hold by mailassay" for each in asked if each not in found}
    return list(found.values()), why


def oldest(queue: Queue, verdict: str) -> Backlog:
    """How many messages mailassay put on hold, and since when, for reminders. Raises Unavailable."""
    found = ours(queue, queue.hold(), verdict)
    first = next(found, None)
    return Backlog((first is not None) + sum(1 for _ in found), first)
