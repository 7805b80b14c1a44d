"""What the next step in the life of a key is. Pure functions of the keys, of DNS and of the time.

A key becomes active only after every server was seen to have its record, and every resolver has it too. A key that was
active stays published for a week, since mail that it signed may still be on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from .adding import Wanted
from .making import DEFAULT_BITS, ED25519, RSA
from .published import Has, Published
from .ring import MAX_WAIT, Kept, Ring, Seen, State

KEEP = 7 * 86_400  # seconds for which the record of a retired key has to stay


class Refused(Exception):
    """The step would leave mail without a signature that can be verified. The text says why."""


class Waiting(NamedTuple):
    """A key that cannot be active yet, and why. ``until`` is when it may be; None if that is not known."""

    selector: str
    why: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The next step of a rotation; exactly one of these is not empty.

    ``make``: keys to be made. ``waiting``: those that the rotation waits for. ``activate`` begin to sign, and
    ``retire`` end. ``done``: when the records of the keys that were retired last may go, if nothing is left to do now.
    """

    make: tuple[Wanted, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    activate: tuple[str, ...] = ()
    retire: tuple[str, ...] = ()
    done: int | None = None


def observed(ring: Ring, published: Mapping[str, Published], now: int) -> Ring:
    """The keys after a look at DNS, by selector."""
    return ring.put(*(_observed(ring.keys[each], dns, now) for each, dns in published.items() if each in ring.keys))


def _observed(kept: Kept, dns: Published, now: int) -> Kept:
    if kept.state in (State.RETIRED, State.REVOKED):
        is_over = kept.state is State.RETIRED and now >= may_go(kept)
        return kept.to(State.REVOKED, now) if is_over and dns.is_gone(kept.record) else kept
    if dns.is_everywhere(kept.record):
        # a time in the future: the clock was wrong
        begun = kept.seen.since if kept.seen and kept.seen.since <= now else now
        longest = max(dns.wait, kept.seen.wait if kept.seen else 0, _left(kept.lacked, begun))
        kept = replace(kept, seen=Seen(begun, longest))
    elif dns.lacks(kept.record):
        # what is there instead may have a longer TTL than what comes
        kept = replace(kept, seen=None, lacked=Seen(now, max(dns.wait, _left(kept.lacked, now))))
    if kept.state is State.PREPARED and kept.seen and now >= kept.seen.until:
        return kept.to(State.PUBLISHED, now)
    if kept.state is State.PUBLISHED and not (kept.seen and now >= kept.seen.until):
        return kept.to(State.PREPARED, now)
    return kept


def _left(lacked: Seen | None, now: int) -> int:
    """For how many seconds from now on resolvers may keep what servers had instead."""
    return min(max(0, lacked.until - now), MAX_WAIT) if lacked else 0


def may_go(kept: Kept) -> int:
    """When the record of a retired key may be revoked."""
    return kept.since + (KEEP if kept.has_signed else 0)


def on_their_way(ring: Ring, now: int) -> list[Kept]:
    """The retired keys whose records have to stay: mail that they signed may still be on its way."""
    return [each for each in ring.of(State.RETIRED) if each.has_signed and now < may_go(each)]


def plan(
    ring: Ring, published: Mapping[str, Published], unusable: Mapping[str, str], now: int, seals: str = ""
) -> Plan:
    """The next step of a rotation. ``ring`` is as :func:`observed` gives it.

    ``unusable`` says of each key whose file cannot sign why. The key that ``seals`` and does not sign is no successor.
    """
    active = ring.of(State.ACTIVE)
    successors = [each for each in ring.of(State.PREPARED, State.PUBLISHED) if each.selector != seals]
    if not successors:
        recent = on_their_way(ring, now)
        if active and recent:
            return Plan(done=max(map(may_go, recent)))
        return Plan(make=tuple(dict.fromkeys(map(_like, active))) or (Wanted(RSA), Wanted(ED25519)))
    if waiting := [found for each in successors if (found := _waiting(each, published, unusable))]:
        return Plan(waiting=tuple(waiting))
    kinds = {each.public.kind for each in successors}
    return Plan(
        activate=tuple(each.selector for each in successors),
        retire=tuple(each.selector for each in active if each.public.kind in kinds),
    )


def _like(kept: Kept) -> Wanted:
    public = kept.public
    return Wanted(ED25519) if public.kind == ED25519 else Wanted(RSA, max(DEFAULT_BITS, public.bits))


def _waiting(kept: Kept, published: Mapping[str, Published], unusable: Mapping[str, str]) -> Waiting | None:
    """What a successor waits for; None if it can be active now."""
    dns = published.get(kept.selector, Published(trouble="DNS was not asked"))
    if kept.selector in unusable:
        return Waiting(kept.selector, unusable[kept.selector])
    if dns.trouble:
        return Waiting(kept.selector, dns.trouble)
    if not dns.is_everywhere(kept.record):
        lacking = [each for each in dns.sightings if each.has(kept.record) is not Has.KEY]
        why = "; ".join(each.trouble or f"{each.has(kept.record).words} at {each.server}" for each in lacking)
        return Waiting(kept.selector, why or "no server was asked")
    if kept.state is not State.PUBLISHED:
        assert kept.seen
        return Waiting(kept.selector, "resolvers may still have an older answer", kept.seen.until)
    return None


def done(ring: Ring, found: Plan, now: int) -> Ring:
    """The keys after the step that makes some active and retires others."""
    active = [ring.keys[each].to(State.ACTIVE, now) for each in found.activate]
    retired = [ring.keys[each].to(State.RETIRED, now) for each in found.retire]
    return ring.put(*active, *retired)


def retired(ring: Ring, selector: str, now: int, *, last: bool = False) -> Ring:
    """The keys after one of them was retired. Raises :class:`Refused`, unless it is the ``last`` on purpose."""
    kept = ring.keys[selector]
    if kept.state is State.ACTIVE and len(ring.of(State.ACTIVE)) == 1 and not last:
        raise Refused(f"{selector} is the only active key: without it, nothing is signed")
    return ring.put(kept.to(State.RETIRED, now))
