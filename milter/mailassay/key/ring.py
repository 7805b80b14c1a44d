"""What is known of the keys of a domain: the file ``keys.json`` beside them, with the state of each.

A selector never leaves the file, so that no other key gets its name.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from .. import atomic
from ..dkim.key import BadKey, Key, parse
from ..domain import Domain
from ..sign.keys import is_selector

VERSION = 1  # of the form of the file
NAME = "keys.json"
MAX_OCTETS = 1 << 20
_MODE = 0o640
_TIME = re.compile("(?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
MAX_WAIT = 86_400  # seconds; no TTL counts for more (resolver.Answer)


class State(StrEnum):
    """The states of a key, in the order in which it has them.

    ``prepared``: it is made; ``published``: every server has had its record for so long that no resolver has an older
    answer; ``active``: it signs; ``retired``: it signs no more, and its record stays for mail on its way; ``revoked``:
    its record is gone, or says so (p=).
    """

    PREPARED = "prepared"
    PUBLISHED = "published"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


_NEXT = {
    State.PREPARED: {State.PUBLISHED, State.RETIRED},
    # back, if a server has lost the record
    State.PUBLISHED: {State.PREPARED, State.ACTIVE, State.RETIRED},
    State.ACTIVE: {State.RETIRED},
    State.RETIRED: {State.REVOKED},
    State.REVOKED: set(),
}


class BadRing(ValueError):
    """The states of the keys are not known. The text says why, with the path; ``fix`` says what to do about it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


class Busy(Exception):
    """Another process changes the keys of the domain."""


@dataclass(frozen=True, slots=True)
class Seen:
    """When servers were seen to have something (seconds since 1970), and for how long others may have it otherwise.

    ``wait`` is in seconds: resolvers keep an older answer for that long.
    """

    since: int
    wait: int

    @property
    def until(self) -> int:
        """When no resolver has an older answer any more."""
        return self.since + self.wait


@dataclass(frozen=True, slots=True)
class Kept:
    """A key: its record (RFC 6376 section 3.6.1), and its states, each with the time at which it last got it.

    Times are in seconds since 1970. ``seen`` is since when every server has had the record, None if not all have it.
    ``lacked`` is when a server was last seen to have another record or none, which resolvers may keep.
    """

    selector: str
    record: str
    made: int
    state: State
    changed: Mapping[State, int]
    seen: Seen | None = None
    lacked: Seen | None = None

    @classmethod
    def new(cls, selector: str, record: str, now: int) -> Kept:
        """A key that was just made."""
        return cls(selector, record, now, State.PREPARED, {State.PREPARED: now})

    @property
    def public(self) -> Key:
        """The public key."""
        return parse(self.record)

    @property
    def since(self) -> int:
        """When it got its state."""
        return self.changed[self.state]

    @property
    def has_signed(self) -> bool:
        """Was it ever active?"""
        return State.ACTIVE in self.changed

    def to(self, state: State, now: int) -> Kept:
        """The key in its next state. Raises ValueError if that cannot follow."""
        if state not in _NEXT[self.state]:
            raise ValueError(f"{self.selector}: {state} cannot follow {self.state}")
        return self._with(state, now)

    def used(self, now: int) -> Kept:
        """The key as an active one, whatever its state was, since the administrator named it in the configuration."""
        return self._with(State.ACTIVE, now)

    def _with(self, state: State, now: int) -> Kept:
        return replace(self, state=state, changed={**self.changed, state: now})


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys of a domain by their selectors, in the order in which they were made."""

    keys: Mapping[str, Kept] = field(default_factory=dict)

    def of(self, *states: State) -> list[Kept]:
        """The keys in one of these states."""
        return [each for each in self.keys.values() if each.state in states]

    def has(self, selector: str) -> bool:
        """Was this selector ever used? DNS does not tell upper from lower case."""
        return selector.lower() in map(str.lower, self.keys)

    def put(self, *keys: Kept) -> Ring:
        """The keys with these, which take the place of those with their selectors."""
        return Ring({**self.keys, **{each.selector: each for each in keys}})


def path(directory: str, domain: str) -> str:
    """The file of a domain."""
    return os.path.join(directory, domain, NAME)


def active(directory: str, domain: Domain) -> tuple[str, ...]:
    """The selectors of the active keys. Raises :class:`BadRing` if they are not known, or if there is none."""
    place, found = path(directory, domain), load(directory, domain)
    if found is None:
        fix = f"make keys: mailassay key new {domain}; or name those that sign: {domain}: [SELECTOR, ...]"
        raise BadRing(f"{place} does not exist, so no key of {domain} is active", fix)
    selectors = tuple(each.selector for each in found.of(State.ACTIVE))
    if not selectors:
        fix = f"mailassay key rotate {domain} says what is missing; or take {domain} out of sign.domains"
        raise BadRing(f"{place} has no active key, so nothing would be signed for {domain}", fix)
    return selectors


def load(directory: str, domain: Domain) -> Ring | None:
    """The keys of a domain; None if there is no file. Raises :class:`BadRing`."""
    place = path(directory, domain)
    try:
        octets = _octets(place)
    except FileNotFoundError:
        return None
    except OSError as error:
        quoted = shlex.quote(place)
        fix = f"chgrp mailassay {quoted} && chmod 0640 {quoted}" if isinstance(error, PermissionError) else ""
        raise BadRing(f"{place} cannot be read: {error.strerror}", fix) from error
    try:
        return parsed(octets)
    except ValueError as error:
        raise BadRing(f"{place}: {error}", _mend(place, domain)) from error


def _mend(place: str, domain: Domain) -> str:
    away = shlex.quote(f"{place}.bad")
    return (
        f"put the file back from a backup; or move it away, mv {shlex.quote(place)} {away}, name the keys that sign in "
        f"mailassay.yaml, {domain}: [SELECTOR, ...], and run mailassay key check {domain}"
    )


def _octets(place: str) -> bytes:
    """The content of a file, without waiting for one that is no file. Raises OSError, ValueError."""
    with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is not a file")
        return file.read(MAX_OCTETS + 1)


def save(directory: str, domain: Domain, ring: Ring) -> None:
    """Write the file, readable for the group of its folder. Raises OSError; then the old one is still there."""
    place = Path(path(directory, domain))
    group = place.parent.stat().st_gid
    atomic.replace(place, written(ring), _MODE, group=group, durable=True)


@contextmanager
def locked(directory: str, domain: Domain) -> Iterator[None]:
    """Nobody else changes the keys of the domain meanwhile. Raises :class:`Busy`, OSError."""
    descriptor = os.open(os.path.join(directory, domain), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another process changes the keys of {domain}") from error
        yield
    finally:
        os.close(descriptor)


# --- the form of the file


def written(ring: Ring) -> bytes:
    """The content of the file."""
    found = {
        each.selector: {
            "algorithm": each.public.kind,
            "state": each.state,
            "made": _shown(each.made),
            "changed": {state: _shown(when) for state, when in each.changed.items()},
            "seen": _of_seen(each.seen),
            "lacked": _of_seen(each.lacked),
            "record": each.record,
        }
        for each in ring.keys.values()
    }
    return json.dumps({"version": VERSION, "keys": found}, indent=2).encode() + b"\n"


def _of_seen(seen: Seen | None) -> dict[str, Any] | None:
    return None if seen is None else {"since": _shown(seen.since), "wait": seen.wait}


def parsed(octets: bytes) -> Ring:
    """The keys that a file has. Raises ValueError, whose text says what is wrong with it."""
    if len(octets) > MAX_OCTETS:
        raise ValueError(f"it has more than {MAX_OCTETS} octets")
    try:
        found = json.loads(octets, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is damaged: {error}") from error
    if not isinstance(found, dict) or "version" not in found:
        raise ValueError("it is damaged: it has no version")
    if type(found["version"]) is not int or found["version"] != VERSION:
        raise ValueError(f"it is of version {found['version']!r:.20}, and this mailassay knows version {VERSION}")
    keys = _map(found, {"version", "keys"}, "it")["keys"]
    if not isinstance(keys, dict):
        raise ValueError("it is damaged: keys is not a map")
    made = {selector: _kept(selector, each) for selector, each in keys.items()}
    if len({each.lower() for each in made}) < len(made):
        raise ValueError("it is damaged: a selector is there twice")
    return Ring(made)


def _kept(selector: str, found: Any) -> Kept:
    if not is_selector(selector):
        raise ValueError(f"it is damaged: {selector!r:.40} is not a selector")
    found = _map(found, {"algorithm", "state", "made", "changed", "seen", "lacked", "record"}, selector)
    changed = found["changed"]
    if not isinstance(changed, dict) or not isinstance(found["record"], str) or not found["record"].isascii():
        raise ValueError(f"it is damaged: {selector} has no dates, or no record")
    state = _state(found["state"], selector)
    dates = {_state(each, selector): _time(when, selector) for each, when in changed.items()}
    if state not in dates:
        raise ValueError(f"it is damaged: {selector} is {state}, and does not say since when")
    try:
        kind = parse(found["record"]).kind
    except BadKey as error:
        raise ValueError(f"it is damaged: {selector}: {error}") from error
    if found["algorithm"] != kind:
        raise ValueError(f"it is damaged: {selector} has a record of another algorithm")
    seen, lacked = (_seen(found[each], selector) for each in ("seen", "lacked"))
    return Kept(selector, found["record"], _time(found["made"], selector), state, dates, seen, lacked)


def _seen(found: Any, selector: str) -> Seen | None:
    if found is None:
        return None
    wait = _map(found, {"since", "wait"}, selector)["wait"]
    if type(wait) is not int or not 0 <= wait <= MAX_WAIT:
        raise ValueError(f"it is damaged: {selector} has a wait that is no number of seconds")
    return Seen(_time(found["since"], selector), wait)


def _map(found: Any, keys: set[str], of: str) -> dict[str, Any]:
    if not isinstance(found, dict) or set(found) != keys:
        raise ValueError(f"it is damaged: {of} has to have {', '.join(sorted(keys))}, and nothing else")
    return found


def _state(text: Any, selector: str) -> State:
    try:
        return State(text)
    except ValueError as error:
        raise ValueError(f"{selector} has a state that this mailassay does not know: {text!r:.40}") from error


def _time(text: Any, selector: str) -> int:
    try:
        if isinstance(text, str) and _TIME.fullmatch(text):
            return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        # such as the 30th of February
        pass
    raise ValueError(f"it is damaged: {selector} has a time of another form than 2026-11-28T18:00:00Z: {text!r:.40}")


def _shown(when: int) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a value")
