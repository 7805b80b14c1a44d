"""Judges many messages again: what a policy would do to yesterday's mail."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from ..dkim import Fault
from ..evidence import Evidence
from ..judge.outcome import Outcome
from ..message import BOM
from ..result import Result
from ..sign import Unsigned
from ..verdict import Action, Decider
from .explain import differences
from .message_file import Unknown
from .trace import Trace

WORKERS = 16  # messages judged at a time; most of the time they wait for DNS
_AHEAD = 4  # messages for each worker that are read but not yet counted
_MAX_OCTETS = 100_000_000  # of all these messages
FROM = b"From "  # the beginning of an mbox
_Row = TypeVar("_Row")


class File(NamedTuple):
    """A message, or why it cannot be read. ``name`` is a path; for an mbox, with the number of the message."""

    name: str
    raw: bytes = b""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """The result for one file: a ``trace``, or why there is none; ``unreadable`` if the file cannot be read.

    ``earlier``: the message came in before the time of ``--since``.
    """

    name: str
    trace: Trace | None = None
    error: str = ""
    unreadable: bool = False
    earlier: bool = False

    @property
    def author(self) -> str:
        """The author domain; empty if there is none, or if the message was not judged."""
        evidence = self.trace.outcome.evidence if self.trace else None
        return str(evidence.dmarc.header_from or "") if evidence else ""


@dataclass(slots=True)
class Tally:
    """The counts so far."""

    actions: Counter[Action] = field(default_factory=Counter)
    would: Counter[Action] = field(default_factory=Counter)
    authors: dict[str, Counter[Action]] = field(default_factory=dict)
    deciders: dict[Decider, Counter[Action]] = field(default_factory=dict)
    stopped: list[tuple[str, str, str, Action]] = field(default_factory=list)  # file, author domain, rule, action
    unknown: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    earlier: int = 0
    unanswered: int = 0
    expired: int = 0
    keyless: int = 0
    differs: Counter[str] = field(default_factory=Counter)
    different: int = 0
    signed: int = 0
    signed_by: Counter[str] = field(default_factory=Counter)
    unsigned: Counter[Unsigned] = field(default_factory=Counter)
    left: list[tuple[str, Unsigned]] = field(default_factory=list)  # file, and why it leaves unsigned

    @property
    def count(self) -> int:
        """The number of messages that were judged."""
        return self.actions.total()

    def add(self, judged: Judged) -> None:
        """Count one file."""
        if judged.earlier:
            self.earlier += 1
            return
        if judged.trace is None:
            (self.unreadable if judged.unreadable else self.unknown).append((judged.name, judged.error))
            return
        self._sign(judged.name, judged.trace.outcome)
        verdict, evidence = judged.trace.outcome.verdict, judged.trace.outcome.evidence
        self.actions[verdict.action] += 1
        self.would[verdict.would] += 1
        self.deciders.setdefault(verdict.decider, Counter())[verdict.action] += 1
        if evidence:
            self.authors.setdefault(judged.author, Counter())[verdict.action] += 1
            self.unanswered += Result.TEMPERROR in _results(evidence)
            faults = {each.fault for each in evidence.dkim}
            self.expired += Fault.EXPIRED in faults
            self.keyless += not faults.isdisjoint((Fault.NO_KEY, Fault.REVOKED))
        if verdict.action is not Action.ACCEPT:
            self.stopped.append((judged.name, judged.author, verdict.rule, verdict.action))
        if found := differences(judged.trace):
            self.different += 1
            self.differs.update(found.keys())

    def _sign(self, name: str, outcome: Outcome) -> None:
        self.signed += bool(outcome.signed_by)
        self.signed_by.update(outcome.signed_by)
        if outcome.unsigned:
            self.unsigned[outcome.unsigned] += 1
            self.left.append((name, outcome.unsigned))


def _results(evidence: Evidence) -> Iterator[str]:
    found = (evidence.iprev, evidence.spf_helo, evidence.spf_mail_from, evidence.arc, evidence.dmarc)
    yield from (each.result for each in (*found, *evidence.dkim, evidence.sender_domain) if each)


def sizes(paths: Iterable[str]) -> int:
    """The number of octets that :func:`files` will read, as far as it is known."""
    total = 0
    for path in _paths(paths):
        try:
            total += os.path.getsize(path)
        except OSError:
            continue
    return total


def files(paths: Iterable[str]) -> Iterator[File]:
    """The messages in files, mbox files, Maildirs (``cur`` and ``new``) and folders that contain any of these."""
    for path in _paths(paths):
        try:
            with open(path, "rb") as file:
                start = file.read(len(BOM + FROM))
                file.seek(len(BOM) if start.startswith(BOM) else 0)
                if not start.removeprefix(BOM).startswith(FROM):
                    yield File(path, file.read())
                    continue
                for number, raw in enumerate(mbox(file), 1):
                    yield File(f"{path}#{number}", raw)
        except OSError as error:
            yield File(path, error=error.strerror or str(error))


def _paths(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        try:
            with os.scandir(path) as found:
                entries = {each.name: each for each in found if not each.name.startswith(".")}
        except OSError:
            # opening it as a file gives the reason why it cannot be read
            yield path
            continue
        # the folders of a Maildir++ begin with a dot; they are read only if they are named
        names = ["cur", "new"] if {"cur", "new"} <= entries.keys() else sorted(entries)
        for name in names:
            if entries[name].is_dir(follow_symlinks=False):
                yield from _paths([entries[name].path])
            elif entries[name].is_file():
                yield entries[name].path


def mbox(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The messages in an mbox file, each with its ``From `` line; removes the quoting by ``>``."""
    message: list[bytes] = []
    empty = True
    for line in lines:
        if line.startswith(FROM) and empty and message:
            yield b"".join(message)
            message = []
        empty = line in (b"\n", b"\r\n")
        message.append(line[1:] if line.startswith(b">From ") and len(message) > 1 else line)
    if message:
        yield b"".join(message)


def run(
    messages: Iterable[File],
    judge: Callable[[bytes], Trace | None],
    workers: int = WORKERS,
    ending: Callable[[], None] = lambda: None,
    most_octets: int = _MAX_OCTETS,
) -> Iterator[Judged]:
    """Judge messages, several at a time; in their order.

    No further message is read while those in memory have more than ``most_octets``.

    ``judge`` raises Unknown if facts are missing, and returns None for a message to be skipped.

    If it is interrupted (KeyboardInterrupt), it yields the messages under way and raises that again; it calls
    ``ending`` first if that takes a while.
    """

    def one(file: File) -> Judged:
        if file.error:
            return Judged(file.name, error=file.error, unreadable=True)
        try:
            trace = judge(file.raw)
            return Judged(file.name, trace, earlier=trace is None)
        except Unknown as error:
            return Judged(file.name, error=str(error))

    executor = ThreadPoolExecutor(workers)
    under_way: deque[tuple[Future[Judged], int]] = deque()
    octets = 0
    try:
        for file in messages:
            under_way.append((executor.submit(one, file), len(file.raw)))
            octets += len(file.raw)
            while len(under_way) >= _AHEAD * workers or octets > most_octets:
                judged = under_way[0][0].result()
                octets -= under_way.popleft()[1]
                yield judged
        while under_way:
            judged = under_way[0][0].result()
            under_way.popleft()
            yield judged
    except KeyboardInterrupt:
        # what is known by now counts
        executor.shutdown(wait=False, cancel_futures=True)
        if any(not future.done() for future, _ in under_way):
            ending()
        yield from (future.result() for future, _ in under_way if not future.cancelled())
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def most(table: dict[_Row, Counter[Action]]) -> Sequence[tuple[_Row, Counter[Action]]]:
    """The rows with the most refused messages first, then those with the most messages."""

    def rank(entry: tuple[_Row, Counter[Action]]) -> tuple[int, int, str]:
        row, counts = entry
        return counts[Action.ACCEPT] - counts.total(), -counts.total(), str(row)

    return sorted(table.items(), key=rank)
