"""What is wrong with the keys of a domain: their files and their records in DNS, compared; and what comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..domain import Domain
from ..finding import Finding, Severity
from ..sign import keys, permissions
from ..sign.keys import UnusableKey
from .folder import Folder, unknown
from .making import DEFAULT_BITS, RSA
from .published import Has, Published, Sighting
from .record import Record
from .ring import Kept, State
from .rotation import may_go

OLD = 365 * 86_400  # seconds
_WORST = list(Severity)
_CODES = {
    Has.SEVERAL: "key-several",
    Has.OTHER: "key-other",
    Has.REVOKED: "key-revoked",
    Has.UNUSABLE: "key-unusable",
    Has.NOTHING: "key-missing",
}


@dataclass(frozen=True, slots=True)
class Problem(Finding):
    """A finding about a key, or about all keys of its domain; ``selector`` is then empty.

    ``publish`` is the record that mends it, if there is one. An error: mail that is signed now cannot be verified, or
    a reload fails. A warning: that will come, or it is so for some verifiers.
    """

    selector: str = ""
    publish: Record | None = None


def names(folder: Folder) -> dict[str, Domain]:
    """The names of the records that matter, by selector: those of all keys but what is revoked and does not sign."""
    used = [each for each in folder.ring.keys.values() if each.state is not State.REVOKED or _is_used(folder, each)]
    return {each.selector: folder.record(each).name for each in used}


def problems(folder: Folder, published: Mapping[str, Published], now: int) -> list[Problem]:
    """All problems, the worst first. ``published`` is by selector, for those of :func:`names`."""
    found = [
        *_of_domain(folder),
        *(each for kept in folder.ring.keys.values() for each in _of_key(folder, kept, published, now)),
        *_of_files(folder),
    ]
    if not folder.is_named:
        # nothing signs with them, so no mail is broken
        found = [replace(each, severity=max(each.severity, Severity.WARNING, key=_WORST.index)) for each in found]
    return sorted(found, key=lambda each: _WORST.index(each.severity))


def status(found: list[Problem]) -> int:
    """The exit status: 2 if mail that is signed now cannot be verified, 1 if something is to be done, 0 if not."""
    worst = {each.severity for each in found}
    return 2 if Severity.ERROR in worst else int(Severity.WARNING in worst)


def date(when: int) -> str:
    """A time, in words of UTC."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _is_used(folder: Folder, kept: Kept) -> bool:
    return kept.selector in folder.signs


def _of_domain(folder: Folder) -> Iterator[Problem]:
    if not folder.is_known:
        yield Problem(Severity.WARNING, "key-domain", unknown(folder.domain))
    domain, signs = folder.domain, [each for each in folder.ring.of(State.ACTIVE) if _is_used(folder, each)]
    if not folder.is_named and signs:
        what = f"sign.domains does not have {domain}, so nothing signs with its active keys"
        yield Problem(Severity.NOTE, "key-unused", what, f"in mailassay.yaml: {domain}: active")
    elif folder.is_named and folder.is_chosen_by_file and not signs:
        what = f"{domain} has no active key, so the configuration has a mistake, and a reload fails"
        fix = f"mailassay key rotate {domain} says what is missing"
        yield Problem(Severity.ERROR, "key-none", what, fix)
    if signs and not any(each.public.kind == RSA for each in signs):
        what = "all active keys are Ed25519, which some verifiers do not know"
        yield Problem(Severity.WARNING, "key-ed25519", what, f"mailassay key new {domain} --algorithm rsa (RFC 8463)")


def _of_key(folder: Folder, kept: Kept, published: Mapping[str, Published], now: int) -> Iterator[Problem]:
    dns = published.get(kept.selector)
    if _is_used(folder, kept):
        yield from _of_used(folder, kept, now)
    if kept.selector == folder.seals and kept.state in (State.RETIRED, State.REVOKED):
        what = f"key {kept.selector} is {kept.state}, and seals still (sign.seal_as)"
        yield Problem(Severity.WARNING, "key-seals", what, "name another key in sign.seal_as", kept.selector)
    if dns is None:
        return
    yield from _unknown(kept, dns)
    if _is_used(folder, kept):
        yield from _used_in_dns(folder, kept, dns)
    elif kept.state is State.RETIRED:
        yield from _retired_in_dns(folder, kept, dns, now)
    elif kept.state is not State.REVOKED:
        yield from _prepared_in_dns(folder, kept, dns, now)
    if dns.aliases:
        what = f"key {kept.selector}: its record is at {', '.join(dns.aliases)}, which an alias (CNAME) leads to"
        yield Problem(Severity.NOTE, "key-alias", what, selector=kept.selector)


def _of_used(folder: Folder, kept: Kept, now: int) -> Iterator[Problem]:
    """What is wrong with a key that signs, whatever DNS has."""
    selector, public = kept.selector, kept.public
    if kept.state is State.REVOKED:
        what = f"key {selector} was revoked on {date(kept.since)}, and the configuration still uses it"
        yield Problem(Severity.ERROR, "key-revoked", what, "sign with another key", selector)
    if why := folder.unusable(kept):
        what = f"key {selector} signs, and its file cannot be used: {why}"
        fix = "put the file back, or sign with another key; until then, a reload fails"
        yield Problem(Severity.ERROR, "key-file", what, fix, selector)
    if public.kind == RSA and public.bits < DEFAULT_BITS:
        what = f"key {selector} has only {public.bits} bits (RFC 8301 section 3.2)"
        yield Problem(Severity.WARNING, "key-short", what, f"mailassay key rotate {folder.domain}", selector)
    if now - kept.made > OLD:
        what = f"key {selector} is from {date(kept.made)}, more than a year ago"
        yield Problem(Severity.NOTE, "key-old", what, f"mailassay key rotate {folder.domain}", selector)


def _unknown(kept: Kept, dns: Published) -> Iterator[Problem]:
    if dns.trouble:
        yield Problem(Severity.WARNING, "key-unknown", f"key {kept.selector}: {dns.trouble}", selector=kept.selector)
    if silent := [each.trouble for each in dns.sightings if each.trouble]:
        what = f"key {kept.selector}: no answer from {'; '.join(silent)}"
        fix = "verifiers that ask this server cannot verify: mend it, or take it out of the zone's NS records"
        yield Problem(Severity.WARNING, "key-unanswered", what, fix, kept.selector)


def _used_in_dns(folder: Folder, kept: Kept, dns: Published) -> Iterator[Problem]:
    publish = folder.record(kept)
    for has, seen in _by_kind(kept, dns).items():
        severity = Severity.WARNING if has is Has.SEVERAL else Severity.ERROR
        what = f"key {kept.selector} signs, and {has.words}{_where(has, seen, kept, dns)}"
        fix = "publish its record" if has is Has.NOTHING else "publish its record, and no other at this name"
        if has is Has.REVOKED:
            fix = "sign with another key"
        yield Problem(severity, _CODES[has], what, fix, kept.selector, None if has is Has.REVOKED else publish)
    if any(each.is_testing(kept.record) for each in dns.sightings):
        what = f"key {kept.selector}: the record says t=y (testing), so its signatures count for nothing in DMARC"
        yield Problem(Severity.WARNING, "key-testing", what, "take t=y out of the record", kept.selector, publish)


def _prepared_in_dns(folder: Folder, kept: Kept, dns: Published, now: int) -> Iterator[Problem]:
    """A key that is to sign later: what is not so yet is no fault, what is wrong is."""
    publish = folder.record(kept)
    for has, seen in _by_kind(kept, dns).items():
        is_early = has is Has.NOTHING
        what = f"key {kept.selector} is not active yet, and {has.words}{_where(has, seen, kept, dns)}"
        fix = "publish its record, and no other at this name"
        if is_early:
            fix = f"publish its record, which mailassay key rotate {folder.domain} prints"
        severity = Severity.NOTE if is_early else Severity.WARNING
        yield Problem(severity, _CODES[has], what, fix, kept.selector, publish)
    if dns.is_everywhere(kept.record) and kept.seen:
        until = kept.seen.until
        ready = "it can be made active" if now >= until else f"it can be made active on {date(until)}"
        what = f"key {kept.selector}: every server has its record; {ready}"
        yield Problem(Severity.NOTE, "key-published", what, f"mailassay key rotate {folder.domain}", kept.selector)


def _retired_in_dns(folder: Folder, kept: Kept, dns: Published, now: int) -> Iterator[Problem]:
    """A key that signs no more: its record has to stay for a week, and then to go."""
    is_over, selector = now >= may_go(kept), kept.selector
    for has, seen in _by_kind(kept, dns).items():
        if has in (Has.NOTHING, Has.REVOKED) and is_over:
            continue
        what = f"key {selector} is retired, and {has.words}{_where(has, seen, kept, dns)}"
        fix = f"publish its record until {date(may_go(kept))}, for mail on its way, unless the key is lost or stolen"
        publish = folder.record(kept)
        if is_over:
            fix = "publish that it is revoked"
            publish = folder.revoked(kept)
        yield Problem(Severity.WARNING, _CODES[has], what, fix, selector, publish)
    if is_over and any(each.has(kept.record) is Has.KEY for each in dns.sightings):
        what = f"key {selector} is retired since {date(kept.since)}, and its record is still published"
        publish = folder.revoked(kept)
        fix = "publish that it is revoked (RFC 6376 section 3.6.1)"
        yield Problem(Severity.WARNING, "key-retired", what, fix, selector, publish)


def _by_kind(kept: Kept, dns: Published) -> dict[Has, list[Sighting]]:
    """What servers have instead of the key, and which."""
    found: dict[Has, list[Sighting]] = {}
    for each in dns.sightings:
        has = each.has(kept.record)
        if has not in (Has.KEY, Has.SILENT):
            found.setdefault(has, []).append(each)
    return found


def _where(has: Has, seen: list[Sighting], kept: Kept, dns: Published) -> str:
    """Why the record cannot be used, if so; and where that is so."""
    why = f" ({seen[0].why_unusable})" if has is Has.UNUSABLE else ""
    right = [each.server for each in dns.sightings if each.has(kept.record) is Has.KEY]
    if not right and len(seen) == len(dns.sightings):
        return why
    servers = ", ".join(dict.fromkeys(each.server for each in seen))
    others = f"; it is right at {', '.join(dict.fromkeys(right))}" if right else ""
    return f"{why}: at {servers}{others}"


def _of_files(folder: Folder) -> Iterator[Problem]:
    for selector in folder.named or ():
        if selector not in folder.ring.keys:
            found = folder.files.get(selector)
            place = keys.path(folder.directory, folder.domain, selector)
            why = str(found) if isinstance(found, UnusableKey) else f"{place} does not exist"
            if folder.ring.has(selector):
                why = "a selector that differs only in upper and lower case was used before"
            fix = found.fix if isinstance(found, UnusableKey) else "take it out of the list, or put the file back"
            what = f"the configuration has the key {selector}, and it cannot be used: {why}"
            yield Problem(Severity.ERROR, "key-file", what, fix, selector)
    said, reader = set(), permissions.service()
    for selector in folder.files:
        place = keys.path(folder.directory, folder.domain, selector)
        for what, fix in permissions.doubts(place, reader):
            if what not in said:
                said.add(what)
                yield Problem(Severity.WARNING, "key-permissions", what, fix, selector)
        if selector not in (*folder.ring.keys, *(folder.named or ()), folder.seals):
            what = f"{place} is the file of a key that neither the configuration nor keys.json has"
            yield Problem(Severity.NOTE, "key-file-unknown", what, selector=selector)
