"""``mailassay key rotate`` and ``mailassay key retire``."""

from __future__ import annotations

import argparse
import os
import sys

from ..config import Settings
from ..doctor.system import this_system
from ..key import adding, making, ring, rotation
from ..key import folder as folders
from ..key.adding import Wanted
from ..key.check import date
from ..key.folder import Folder
from ..key.ring import Kept, State
from ..key.rotation import Plan, Refused
from ..resolver import Source
from ..sign import keys
from ..terminal import complain, is_terminal, printable
from . import key_text
from . import key_world as world
from .key_text import say
from .options import settings, source

_POLL = 60  # seconds between two looks at DNS

# --- rotate


def rotate(arguments: argparse.Namespace) -> int:
    """Take the next step, or with ``--wait`` all of them. Returns the exit status. Raises Busy, unless it waits."""
    found = settings(arguments)
    if not folders.look(found.sign, arguments.domain, world.now()).is_known:
        complain(f"mailassay key: {folders.unknown(arguments.domain)}")
        return 1
    answers, progress = source(arguments, found), _Progress()
    try:
        while True:
            try:
                step, folder = _step(found, arguments, answers)
            except ring.Busy:
                if not arguments.wait:
                    raise
                # a check holds the lock for seconds, and must not end a wait of hours
                world.sleep(1)
                continue
            if not (arguments.wait and (step.make or step.waiting)):
                break
            if step.make:
                _say_made(folder, step)
            due = [each.until for each in step.waiting if each.until]
            progress.show(_waits(step))
            world.sleep(min(_POLL, max(1, min(due, default=_POLL) - world.now())))
    finally:
        progress.end()
    return _said(folder, step)


def _step(found: Settings, arguments: argparse.Namespace, answers: Source) -> tuple[Plan, Folder]:
    """Take the next step. Returns it, and the keys after it."""
    sign, domain = found.sign, arguments.domain
    dns = world.look(found, arguments, answers, folders.look(sign, domain, world.now()))
    undone = making.folder(sign.directory, domain)
    with ring.locked(sign.directory, domain):
        folder = folders.look(sign, domain, world.now())
        after = rotation.observed(folder.ring, dns, world.now())
        unusable = {each.selector: why for each in after.keys.values() if (why := folder.unusable(each))}
        step = rotation.plan(after, dns, unusable, world.now(), folder.seals)
        if folder.is_chosen_by_file:
            after = rotation.done(after, step, world.now())
        folder = folders.store(folder, after)
        if step.make:
            made, more = adding.add(folder, step.make, world.now())
            undone += more
            folder = folders.look(sign, domain, world.now())
            step = Plan(make=tuple(Wanted(each.public.kind, each.public.bits) for each in made))
    for each in undone:
        complain(f"mailassay key: {each}")
    return step, folder


def _said(folder: Folder, step: Plan) -> int:
    """Say what was done. Returns the exit status: 0 if the new keys are active, or if there is nothing to do."""
    domain = folder.domain
    if step.make:
        _say_made(folder, step)
        print(f"\nThen: mailassay key rotate {domain} --wait")
        return 1
    if step.waiting:
        for each in step.waiting:
            say(f"{each.selector} cannot be active yet: {each.why}{_until(each.until)}", rest=4)
        successors = [folder.ring.keys[each.selector] for each in step.waiting if each.until is None]
        if lacking := [each for each in successors if not folder.unusable(each)]:
            key_text.to_publish([folder.record(each) for each in lacking])
        return 1
    if step.done is not None:
        retired = ", ".join(each.selector for each in rotation.on_their_way(folder.ring, world.now()))
        say(f"{domain}: the keys were replaced. The records of {retired} have to stay until {date(step.done)}.")
        say(f"To replace the keys again before that, make others: mailassay key new {domain}")
        return os.EX_OK
    if folder.seals in step.retire:
        _say_seals(folder)
    if folder.named is not None:
        line = [*(each for each in folder.named if each not in step.retire), *step.activate]
        key_text.new_line(domain, line)
    else:
        say(f"{domain}: {', '.join(step.activate)} sign from the next reload on.")
        if step.retire:
            stay = date(world.now() + rotation.KEEP)
            say(f"{', '.join(step.retire)} sign no more then. Their records have to stay until {stay} at least.")
        if not folder.is_named:
            print(f"\nIn mailassay.yaml, in sign.domains:\n\n    {domain}: active")
    _say_reload()
    return os.EX_OK


def _say_seals(folder: Folder) -> None:
    say(f"{folder.seals} seals too (sign.seal_as): name another key there before its record goes.")


def _say_made(folder: Folder, step: Plan) -> None:
    made = folder.ring.of(State.PREPARED)[-len(step.make) :]
    key_text.made(folder, made)
    key_text.to_publish([folder.record(each) for each in made])
    sys.stdout.flush()


def _until(when: int | None) -> str:
    return f", until {date(when)}" if when else ""


def _waits(step: Plan) -> str:
    if step.make:
        return "waits for the records in DNS"
    return "; ".join(f"{each.selector}: {each.why}{_until(each.until)}" for each in step.waiting)


def _say_reload() -> None:
    print(f"\nThen: {this_system().service('reload', 'mailassay')}")


class _Progress:
    """What a command waits for, on standard error: one line on a terminal, and otherwise a line for each change."""

    def __init__(self) -> None:
        self._said = ""
        self._is_terminal = is_terminal(sys.stderr)

    def show(self, text: str) -> None:
        """Show what is waited for now."""
        text = printable(text)
        if self._is_terminal:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif text != self._said:
            print(text, file=sys.stderr, flush=True)
        self._said = text

    def end(self) -> None:
        """Clear the line."""
        if self._is_terminal and self._said:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# --- retire


def retire(arguments: argparse.Namespace) -> int:
    """Retire a key, or say how to revoke it. Returns the exit status."""
    sign, domain, selector = settings(arguments).sign, arguments.domain, arguments.selector
    try:
        with ring.locked(sign.directory, domain):
            return _retired(folders.look(sign, domain, world.now()), selector, last=arguments.last)
    except FileNotFoundError:
        complain(f"mailassay key: {domain} has no keys in {sign.directory}")
        return 1


def _retired(folder: Folder, selector: str, *, last: bool) -> int:
    domain, kept = folder.domain, folder.ring.keys.get(selector)
    if kept is None:
        complain(f"mailassay key: {domain} has no key {selector}; mailassay key list {domain} shows its keys")
        return 1
    if kept.state in (State.RETIRED, State.REVOKED):
        return _revoke(folder, kept)
    try:
        after = rotation.retired(folder.ring, selector, world.now(), last=last)
    except Refused as error:
        complain(f"mailassay key: {error}; mailassay key rotate {domain} replaces it, --last retires it all the same")
        return 1
    if kept.state is not State.ACTIVE:
        folders.store(folder, after)
        say(f"{selector} is retired. It has never signed, so its record may go at once.")
        return os.EX_OK
    left = [each.selector for each in after.of(State.ACTIVE)]
    if selector == folder.seals:
        _say_seals(folder)
    if folder.named is None:
        folders.store(folder, after)
        say(f"{selector} signs no more from the next reload on. Its record has to stay for a week.")
    if not left and folder.is_named:
        say(f"In mailassay.yaml, take {domain} out of sign.domains: it has no key any more.")
    elif folder.named is not None:
        key_text.new_line(domain, [each for each in folder.named if each != selector])
    _say_reload()
    return os.EX_OK


def _revoke(folder: Folder, kept: Kept) -> int:
    """Say what is to be done with a key that signs no more."""
    domain, due = folder.domain, rotation.may_go(kept)
    if kept.state is State.REVOKED:
        place = keys.path(folder.directory, domain, kept.selector)
        say(f"{kept.selector} is revoked since {date(kept.since)}.")
        if kept.selector in folder.files:
            say(f"Its file is of no more use: {place}")
        return os.EX_OK
    if world.now() < due:
        on_its_way = f"Mail that it signed may still be on its way: its record has to stay until {date(due)}."
        say(f"{kept.selector} is retired since {date(kept.since)}. {on_its_way}")
        return 1
    if kept.selector == folder.seals:
        _say_seals(folder)
        return 1
    key_text.to_publish([folder.revoked(kept)], instead=True)
    print(f"\nThen: mailassay key check {domain}")
    return os.EX_OK
