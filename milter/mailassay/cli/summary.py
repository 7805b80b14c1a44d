"""``mailassay check --summary``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..config import Settings
from ..judge.logline import as_json
from ..replay import explain, many
from ..replay.as_json import values
from ..replay.trace import Trace
from ..terminal import columns, complain, is_terminal, printable, wrapped
from ..verdict import Action
from .bar import Bar

_FIRST = 5  # messages that could not be judged
_ROWS = 20  # of a table
_WORDS = {
    Action.ACCEPT: "accepted",
    Action.TAG: "tagged",
    Action.HOLD: "held",
    Action.DEFER: "deferred",
    Action.REJECT: "refused",
}


def summarize(arguments: argparse.Namespace, found: Settings, judge: Callable[[bytes], Trace | None]) -> int:
    """Judge all files that the arguments name. Returns the exit status. ``judge`` may raise Unknown."""
    tally, interrupted = many.Tally(), False
    shown = is_terminal(sys.stderr) and not (arguments.json and is_terminal(sys.stdout))
    bar = Bar(many.sizes(arguments.files) if shown else None)

    def ending() -> None:
        bar.end()
        complain("mailassay: ending; messages under way still wait for DNS")

    try:
        for judged in many.run(bar.passing(many.files(arguments.files), _octets), judge, ending=ending):
            tally.add(judged)
            if arguments.json and not judged.earlier:
                print(as_json(_entry(judged)))
    except KeyboardInterrupt:
        interrupted = True
    bar.end()
    if arguments.json:
        print(as_json({"summary": _as_json(tally, found, interrupted=interrupted)}))
    else:
        width = columns(sys.stdout)
        for line in _as_text(tally, found, arguments, width, interrupted=interrupted):
            # the lines of a table are not wrapped again
            print(printable(line))
    if interrupted:
        return 128 + signal.SIGINT
    if tally.unreadable:
        return os.EX_NOINPUT
    return os.EX_OK if tally.count or (tally.earlier and not tally.unknown) else os.EX_DATAERR


def _octets(file: many.File) -> int:
    return len(file.raw)


def _entry(judged: many.Judged) -> dict[str, Any]:
    """The JSON line of one message."""
    if judged.trace is None:
        return {"file": judged.name, "error": judged.error, "unreadable": judged.unreadable}
    return {"file": judged.name, **values(judged.trace)}


def _as_json(tally: many.Tally, found: Settings, *, interrupted: bool) -> dict[str, Any]:
    return {
        "messages": tally.count,
        "interrupted": interrupted,
        "policy": {"file": found.policy_path, "digest": found.policy.digest, "mode": found.policy.mode},
        "actions": dict(tally.actions),
        "would": dict(tally.would),
        "authors": {name: dict(counts) for name, counts in many.most(tally.authors)},
        "rules": {
            str(decider): {"line": explain.line_of(decider, found), **counts}
            for decider, counts in many.most(tally.deciders)
        },
        "unknown": len(tally.unknown),
        "unreadable": len(tally.unreadable),
        "earlier": tally.earlier,
        "unanswered": tally.unanswered,
        "expired_signatures": tally.expired,
        "missing_keys": tally.keyless,
        "differs": {"messages": tally.different, **tally.differs},
        "signed": tally.signed,
        "signed_by": dict(tally.signed_by),
        "unsigned": dict(tally.unsigned),
    }


def _as_text(
    tally: many.Tally, found: Settings, arguments: argparse.Namespace, width: int, *, interrupted: bool
) -> Iterator[str]:
    if interrupted:
        yield "Interrupted; so far:"
    yield from _lines(f"Of {_messages(tally.count)} {_counts(tally.actions)}.", width)
    if tally.would != tally.actions:
        yield from _lines(f"Without monitor, it would be: {_counts(tally.would)}.", width)
    if tally.earlier:
        yield from _lines(f"{_messages(tally.earlier)} came in before that time (--since).", width)
    for failed, what in ((tally.unreadable, "could not be read"), (tally.unknown, "could not be judged")):
        if failed:
            yield f"{len(failed):,} {what}:"
            yield from _failed(failed, width, len(failed) if arguments.verbose else _FIRST)
    yield from (_signing if arguments.outbound else _tables)(tally, found, arguments, width)
    if arguments.verbose and tally.stopped:
        yield ""
        # if the output is not a terminal, one message a line, for grep
        width = columns(sys.stdout, otherwise=sys.maxsize)
        for name, author, rule, action in tally.stopped:
            yield from wrapped(f"{name}  {author or '(no author domain)'}  {rule}", width, f"{_WORDS[action]:<9} ")


def _tables(tally: many.Tally, found: Settings, arguments: argparse.Namespace, width: int) -> Iterator[str]:
    """What was judged by what, and notes."""
    if tally.authors:
        named = {name or "(no author domain)": counts for name, counts in tally.authors.items()}
        yield ""
        yield from _table("author domain", named, width, verbose=arguments.verbose)
    if tally.deciders:
        named = {explain.place(decider, found): counts for decider, counts in tally.deciders.items()}
        yield ""
        yield from _table("policy setting", named, width, verbose=arguments.verbose)
    if notes := list(_notes(tally)):
        yield ""
        for note in notes:
            yield from _lines(note, width)


def _signing(tally: many.Tally, found: Settings, arguments: argparse.Namespace, width: int) -> Iterator[str]:
    """By which keys outgoing mail is signed, and why not."""
    del found
    yield ""
    yield from _lines(f"{_messages(tally.signed)} signed, {tally.unsigned.total():,} not.", width)
    for key, count in sorted(tally.signed_by.items()):
        yield from wrapped(f"signed by {key}", width, f"{count:>9,}  ", " " * 15)
    for why, count in tally.unsigned.most_common():
        yield from wrapped(f"unsigned={why}: {why.words}", width, f"{count:>9,}  ", " " * 15)
    if arguments.verbose and tally.left:
        yield ""
        width = columns(sys.stdout, otherwise=sys.maxsize)
        for name, why in tally.left:
            yield from wrapped(name, width, f"{why:<9} ")


def _failed(failed: Sequence[tuple[str, str]], width: int, most: int) -> Iterator[str]:
    for name, error in failed[:most]:
        yield from wrapped(f"{name}: {error}", width, "  ", "      ")
    if len(failed) > most:
        yield f"  and {len(failed) - most:,} more"


def _lines(text: str, width: int) -> list[str]:
    return wrapped(text, width, rest=" " * 4)


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


def _counts(actions: Counter[Action]) -> str:
    """The counts of the actions that occurred, and of accepted messages always."""
    told = [each for each in Action if actions[each] or each is Action.ACCEPT]
    return ", ".join(f"{actions[each]:,} {_WORDS[each]}" for each in told)


def _table(title: str, table: dict[str, Counter[Action]], width: int, *, verbose: bool) -> Iterator[str]:
    """Rows of counts with a column for each action that occurred. A name that is too long gets its own lines."""
    actions = [each for each in Action if any(counts[each] for counts in table.values())]
    rows = many.most(table)
    shown = rows if verbose else rows[:_ROWS]
    head = ("messages", *(_WORDS[each] for each in actions))
    lines = [(name, _numbers(counts, actions)) for name, counts in shown]
    sizes = [2 + max(map(len, column)) for column in zip(head, *(numbers for _, numbers in lines), strict=True)]
    longest = max(len(title), *(len(name) for name, _ in lines))
    room = max(len(title), min(longest, width - sum(sizes)))
    for name, numbers in [(title, head), *lines]:
        if len(name) > room:
            yield from wrapped(name, width, rest="  ")
            name = ""
        counted = "".join(f"{number:>{size}}" for number, size in zip(numbers, sizes, strict=True))
        yield f"{name:<{room}}{counted}".rstrip()
    if len(rows) > len(shown):
        yield f"and {len(rows) - len(shown):,} more"


def _numbers(counts: Counter[Action], actions: Sequence[Action]) -> tuple[str, ...]:
    return f"{counts.total():,}", *(f"{counts[each]:,}" if counts[each] else "" for each in actions)


def _notes(tally: many.Tally) -> Iterator[str]:
    """Notes on results that DNS and time have changed for old mail."""
    if tally.unanswered:
        answer = "DNS did not answer a question: these verdicts are not reliable"
        yield f"In {_messages(tally.unanswered)} {answer}."
    if tally.expired:
        yield f"In {_messages(tally.expired)} a signature had expired (x=)."
    if tally.keyless:
        withdrawn = "domains remove keys some time after their use"
        yield f"In {_messages(tally.keyless)} a signature no longer has a key in DNS: {withdrawn}."
    if tally.different:
        methods = ", ".join(f"{method} {count:,}" for method, count in tally.differs.most_common())
        yield f"{_messages(tally.different)} gave another result than when they came in: {methods}."
