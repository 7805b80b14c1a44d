"""What ``mailassay key`` prints."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..domain import Domain
from ..judge.logline import as_json
from ..key import rotation
from ..key.check import date
from ..key.folder import Folder
from ..key.making import RSA
from ..key.record import Record
from ..key.ring import Kept, State
from ..sign import SigningKey, keys
from ..sign.keys import UnusableKey
from ..terminal import columns, printable, wrapped

FORMS = ("bind", "text")


def print_json(found: Mapping[str, Any]) -> None:
    """Print an object, for programs."""
    print(as_json(found, indent=2))


def say(text: str, indent: int = 0, rest: int | None = None) -> None:
    """Print text in lines of the terminal's width; ``rest`` is the indent of those after the first."""
    more = indent if rest is None else rest
    print("\n".join(wrapped(printable(text), columns(sys.stdout), " " * indent, " " * more)))


# --- records


def print_records(found: Sequence[Record], form: str) -> None:
    """Print records alone: ``bind`` for a zone file, ``text`` for a name and its value in turn."""
    for each in found:
        print(each.bind() if form == "bind" else f"{each.name}\n{each.value}")


def to_publish(found: Sequence[Record], *, instead: bool = False) -> None:
    """Print records in both forms. ``instead``: in place of those that are there."""
    one = len(found) == 1
    what = "this TXT record" if one else "these TXT records"
    where = "" if not instead else " in place of the one that is there" if one else " in place of those that are there"
    print()
    say(f"Publish {what}{where}. In a zone file:")
    print()
    print_records(found, "bind")
    print("\nIn the form of a DNS provider, name and value:\n")
    for each in found:
        print(f"    {each.name}\n    {each.value}")


# --- keys


def algorithm(kept: Kept) -> str:
    """The kind of a key, and its size."""
    public = kept.public
    return f"RSA, {public.bits} bits" if public.kind == RSA else "Ed25519"


def made(folder: Folder, found: Sequence[Kept]) -> None:
    """Print which keys were made."""
    for each in found:
        place = keys.path(folder.directory, folder.domain, each.selector)
        print(printable(f"made {place} ({algorithm(each)})"))


def made_as_json(folder: Folder, kept: Kept) -> dict[str, Any]:
    """A key that was made, and its record."""
    return {
        "selector": kept.selector,
        "algorithm": kept.public.kind,
        "bits": kept.public.bits,
        "file": keys.path(folder.directory, folder.domain, kept.selector),
        "record": folder.record(kept).as_json(),
    }


def folder_as_json(folder: Folder, now: int) -> dict[str, Any]:
    """The keys of a domain."""
    return {
        "domain": folder.domain,
        "configured": folder.is_named,
        "signs": folder.signs if folder.is_named else (),
        "keys": [_as_json(folder, each, now) for each in folder.selectors],
    }


def _as_json(folder: Folder, selector: str, now: int) -> dict[str, Any]:
    kept, public = folder.ring.keys.get(selector), _public(folder, selector)
    return {
        "selector": selector,
        "algorithm": public and public.kind,
        "bits": public and public.bits,
        "state": kept and kept.state,
        "since": kept and kept.since,
        "made": kept and kept.made,
        "seen": kept and kept.seen and kept.seen.since,
        "file": _file(folder, selector),
        "next": _next(folder, selector, now),
    }


def _public(folder: Folder, selector: str) -> Any:
    """The public key, by what is known of it or by its file; None if neither has it."""
    kept, file = folder.ring.keys.get(selector), folder.files.get(selector)
    if kept is None and isinstance(file, SigningKey):
        kept = Kept.new(selector, file.record, 0)
    return kept and kept.public


def _file(folder: Folder, selector: str) -> str | None:
    """The path of the file of a key, None if there is none."""
    return keys.path(folder.directory, folder.domain, selector) if selector in folder.files else None


def print_list(found: Sequence[Folder], now: int) -> None:
    """Print the keys of domains, each with what to do next."""
    for number, folder in enumerate(found):
        if number:
            print()
        say(f"{folder.domain}  ({_signs(folder)})", rest=4)
        for selector in folder.selectors:
            say(f"  {selector:<12}  {_described(folder, selector)}", rest=16)
            if following := _next(folder, selector, now):
                say(following, 16)


def _signs(folder: Folder) -> str:
    if not folder.is_named:
        return "not in sign.domains: nothing signs"
    return f"signs with {', '.join(folder.signs)}" if folder.signs else "no key is active"


def _described(folder: Folder, selector: str) -> str:
    kept, file = folder.ring.keys.get(selector), folder.files.get(selector)
    if kept:
        return f"{algorithm(kept)}, {kept.state} since {date(kept.since)}"
    if isinstance(file, SigningKey):
        return f"{algorithm(Kept.new(selector, file.record, 0))}, in the folder alone"
    return "in the configuration" if selector in (folder.named or ()) else "in the folder alone"


def _next(folder: Folder, selector: str, now: int) -> str:
    """What to do next about a key; empty if there is nothing."""
    kept, file, domain = folder.ring.keys.get(selector), folder.files.get(selector), folder.domain
    if kept is None:
        if isinstance(file, UnusableKey):
            return "; ".join(filter(None, (str(file), file.fix)))
        if selector in (folder.named or ()):
            return "there is no such file: take the key out of the configuration, or put its file back"
        return "neither the configuration nor keys.json has this key"
    if kept.state in (State.PREPARED, State.PUBLISHED, State.ACTIVE) and (why := folder.unusable(kept)):
        return f"its file cannot be used: {why}"
    return "; ".join(_steps(kept, domain, now, is_there=selector in folder.files, folder=folder))


def _steps(kept: Kept, domain: Domain, now: int, *, is_there: bool, folder: Folder) -> Iterator[str]:
    match kept.state:
        case State.PREPARED if kept.seen:
            yield f"mailassay key rotate {domain} makes it active, from {date(kept.seen.until)} on"
        case State.PREPARED:
            yield f"publish its record, which mailassay key rotate {domain} prints"
        case State.PUBLISHED:
            yield f"mailassay key rotate {domain} makes it active"
        case State.RETIRED if now < rotation.may_go(kept):
            yield f"its record has to stay until {date(rotation.may_go(kept))}"
        case State.RETIRED:
            yield f"mailassay key retire {domain} {kept.selector} prints the record that revokes it"
        case State.REVOKED if is_there:
            place = keys.path(folder.directory, folder.domain, kept.selector)
            yield f"its file is of no more use: rm {shlex.quote(place)}"


# --- the configuration


def new_line(domain: Domain, selectors: Sequence[str]) -> None:
    """Print the line of a domain in the configuration."""
    print(f"In mailassay.yaml, in sign.domains:\n\n    {domain}: [{', '.join(selectors)}]")
