"""What DNS has for keys, asked of every authoritative server: a resolver may know an older answer, or one server's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from enum import StrEnum

from ..dkim import Fault
from ..dkim.key import BadKey, Key, parse
from ..domain import BadDomain, Domain
from ..resolver import Answer, Clock, DnsLimit, DnsTempError, Method, Question, Resolver, Share, Shared, Source

PATIENCE = 30.0  # seconds for all questions
MAX_SERVERS = 40  # addresses for one name
MAX_ALIASES = 8
_MAX_QUESTIONS = 2000  # to the resolver
_MAX_ASKED = 2000  # addresses that are asked, for all names
_TOGETHER = 60  # of them, or of names, at the same time; each takes up to three descriptors
_ADDRESSES = ("A", "AAAA")


class Has(StrEnum):
    """What a server has for a key, compared with the key."""

    KEY = "key"  # one record, with this key
    SEVERAL = "several"  # this key, and other records
    OTHER = "other"  # a key that is another one
    REVOKED = "revoked"  # p= is empty
    UNUSABLE = "unusable"  # a record that cannot be used
    NOTHING = "nothing"
    SILENT = "silent"  # no answer

    @property
    def words(self) -> str:
        """The same in words."""
        return _WORDS[self]


_WORDS = {
    Has.KEY: "the record has the key",
    Has.SEVERAL: "there are other records beside its own, and verifiers may try any of them",
    Has.OTHER: "the record has another key than the file",
    Has.REVOKED: "the record says that the key is revoked (p= is empty)",
    Has.UNUSABLE: "the record cannot be used",
    Has.NOTHING: "there is no record",
    Has.SILENT: "there is no answer",
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one server has. ``ttl`` is in seconds, 86,400 at most.

    ``alias`` is the target of a CNAME, if the server has that instead; ``trouble`` says why there is no answer.
    """

    server: str
    address: str = ""
    records: tuple[str, ...] = ()
    ttl: int = 0
    alias: str = ""
    trouble: str = ""

    def has(self, record: str) -> Has:
        """What that is for the key of this record."""
        if self.trouble:
            return Has.SILENT
        if not self.records:
            return Has.NOTHING
        if any(_same(each, record) for each in self.records):
            return Has.KEY if len(self.records) == 1 else Has.SEVERAL
        faults = {_fault(each) for each in self.records}
        if None in faults:
            return Has.OTHER
        return Has.REVOKED if Fault.REVOKED in faults else Has.UNUSABLE

    def is_testing(self, record: str) -> bool:
        """Does the record with this key say t=y?"""
        return any(_same(each, record) and parse(each).testing for each in self.records)

    @property
    def why_unusable(self) -> str:
        """Why the first record cannot be used; empty if it can, or if there is none."""
        found = _parsed(self.records[0]) if self.records else None
        return str(found) if isinstance(found, BadKey) else ""


@dataclass(frozen=True, slots=True)
class Published:
    """What all servers have for a name. ``sightings`` are those that have no alias, and those that an alias leads to.

    ``aliases`` are the targets of CNAMEs on the way. ``wait`` is how long resolvers may have an older answer: the
    largest TTL of the records and of a negative answer (RFC 2308 section 5). ``trouble`` says why not all servers are
    known.
    """

    sightings: tuple[Sighting, ...] = ()
    aliases: tuple[str, ...] = ()
    wait: int = 0
    trouble: str = ""

    def is_everywhere(self, record: str) -> bool:
        """Does every server have this key, and only this one?"""
        return self._all(record, {Has.KEY})

    def is_gone(self, record: str) -> bool:
        """Does no server have a key? They say that it is revoked, or have no record."""
        return self._all(record, {Has.REVOKED, Has.NOTHING})

    def _all(self, record: str, wanted: set[Has]) -> bool:
        return not self.trouble and bool(self.sightings) and all(each.has(record) in wanted for each in self.sightings)

    def lacks(self, record: str) -> bool:
        """Does a server that answers not have this key, or not only this one?"""
        return any(each.has(record) not in (Has.KEY, Has.SILENT) for each in self.sightings)


def look(
    names: Iterable[Domain], source: Source, at: Callable[[str], Source], clock: Clock = time.monotonic
) -> dict[Domain, Published]:
    """What the servers of their zones have for these names.

    ``source`` is a resolver, which names the servers; ``at`` is the source that asks the server of one address. A
    server that has several addresses is asked at each. If one of them answers, those that do not are left out: this
    host may have no route to them.
    """
    wanted = list(dict.fromkeys(names))
    look_at = _Look(Shared(source, most=_MAX_QUESTIONS).of(Method.LOOKUP), at, clock() + PATIENCE, clock)
    found: dict[Domain, Published] = {}
    for begin in range(0, len(wanted), _TOGETHER):
        found |= look_at.look(wanted[begin : begin + _TOGETHER])
    return found


@dataclass
class _Place:
    """A name that is asked for on behalf of another one, which an alias led from; what was found."""

    name: Domain
    of: Domain
    depth: int
    zone: _Zone


@dataclass
class _Zone:
    """A zone: its servers by name, each with its addresses. ``trouble``: they are not known."""

    name: str = ""
    servers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trouble: str = ""


@dataclass
class _So:
    """What was found for a name so far."""

    sightings: list[Sighting] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    wait: int = 0
    trouble: str = ""


class _Look:
    """One look at several names. Questions that do not depend on each other are asked at the same time."""

    def __init__(self, share: Share, at: Callable[[str], Source], deadline: float, clock: Clock) -> None:
        self._share, self._deadline, self._clock = share, deadline, clock
        self._resolve: Resolver = share.resolver(deadline, clock)
        self._at = at
        self._sources: dict[str, Source] = {}
        self._left = _MAX_ASKED

    def look(self, names: list[Domain]) -> dict[Domain, Published]:
        found = {name: _So() for name in names}
        followed: set[tuple[Domain, Domain]] = set()
        todo = [(name, name, 0) for name in names]
        while todo:
            self._start(name for name, _, _ in todo)
            places = [_Place(name, of, depth, self._zone(name)) for name, of, depth in todo]
            todo = []
            for target, of, depth in self._ask(places, found):
                if depth > MAX_ALIASES or (target, of) in followed:
                    found[of].trouble = f"the aliases (CNAME) of {of} go on and on, or in a circle"
                    continue
                followed.add((target, of))
                todo.append((target, of, depth))
        return {
            name: Published(tuple(each.sightings), tuple(dict.fromkeys(each.aliases)), each.wait, each.trouble)
            for name, each in found.items()
        }

    def _start(self, names: Iterable[Domain]) -> None:
        for name in names:
            self._share.prefetch(name, "CNAME")
            for each in (name, *name.parents()):
                self._share.prefetch(each, "NS")

    def _zone(self, name: Domain) -> _Zone:
        """The zone of a name: the nearest one above it that has servers."""
        try:
            # the servers of an alias are those of the name that it is at
            is_alias = bool(self._resolve(name, "CNAME").records)
            for each in (*(() if is_alias else (name,)), *name.parents()):
                if servers := self._resolve(each, "NS").records:
                    return _Zone(each, self._addresses(servers))
        except (DnsTempError, DnsLimit) as error:
            return _Zone(trouble=f"the servers of {name} are not known: {error}")
        return _Zone(trouble=f"DNS has no servers for {name} or a name above it")

    def _addresses(self, servers: Iterable[str]) -> dict[str, tuple[str, ...]]:
        for server in servers:
            for rdtype in _ADDRESSES:
                self._share.prefetch(server, rdtype)
        return {server: tuple(self._of_server(server)) for server in servers}

    def _of_server(self, server: str) -> Iterator[str]:
        for rdtype in _ADDRESSES:
            try:
                yield from self._resolve(server, rdtype).records
            except (DnsTempError, DnsLimit):
                # without any address, the server counts as silent
                continue

    def _ask(self, places: list[_Place], found: Mapping[Domain, _So]) -> list[tuple[Domain, Domain, int]]:
        """Ask all servers of these names. Returns the targets of aliases, with what they are asked for."""
        aliases: dict[tuple[Domain, Domain, int], None] = {}
        for batch in self._batches(places, found):
            # all of a batch are under way before the first is waited for
            asked = [
                (place, [(server, address, self._started(place, address)) for server, address in pairs])
                for place, pairs in batch
            ]
            for place, started in asked:
                so = found[place.of]
                seen = [self._seen(server, address, futures, so) for server, address, futures in started]
                for target in self._sorted(place, seen, so):
                    aliases[target, place.of, place.depth + 1] = None
        return [*aliases]

    def _batches(
        self, places: list[_Place], found: Mapping[Domain, _So]
    ) -> Iterator[list[tuple[_Place, list[tuple[str, str]]]]]:
        """Names with their servers and addresses, as many as may be asked for at the same time."""
        batch: list[tuple[_Place, list[tuple[str, str]]]] = []
        room = _TOGETHER
        for place in places:
            so, zone = found[place.of], place.zone
            so.trouble = so.trouble or zone.trouble
            pairs = [(server, address) for server, all_of in zone.servers.items() for address in all_of or ("",)]
            if len(pairs) > min(MAX_SERVERS, self._left):
                so.trouble = f"{zone.name} has too many servers, more than {MAX_SERVERS}, or its aliases too many names"
                pairs = pairs[: min(MAX_SERVERS, self._left)]
            self._left -= len(pairs)
            if batch and len(pairs) > room:
                yield batch
                batch, room = [], _TOGETHER
            batch.append((place, pairs))
            room -= len(pairs)
        yield batch

    def _sorted(self, place: _Place, found: list[Sighting], so: _So) -> Iterator[Domain]:
        """Keep what was seen of a name; the targets of aliases."""
        heard = {each.server for each in found if not each.trouble}
        for each in found:
            if each.trouble and each.server in heard:
                continue
            if not each.alias:
                so.sightings.append(each)
                continue
            so.aliases.append(each.alias)
            try:
                yield Domain(each.alias)
            except BadDomain as error:
                so.trouble = f"{place.name} is an alias (CNAME) of what is no name: {error}"

    def _started(self, place: _Place, address: str) -> Mapping[str, Future[Answer]]:
        if not address:
            return {}
        if address not in self._sources:
            self._sources[address] = self._at(address)
        names = {"TXT": str(place.name), "CNAME": str(place.name), "SOA": place.zone.name}
        return {rdtype: self._sources[address](Question(name, rdtype)) for rdtype, name in names.items()}

    def _seen(self, server: str, address: str, futures: Mapping[str, Future[Answer]], so: _So) -> Sighting:
        """What a server says. Its TTLs count for how long others may have an older answer."""
        if not futures:
            return Sighting(server, trouble=f"{server} has no address")
        try:
            answer, soa = self._answer(futures["TXT"]), self._answer(futures["SOA"])
            if not (answer.authoritative and soa.authoritative):
                why = "it does not have the zone, or a cache answers in its place"
                return Sighting(server, address, trouble=f"{server} ({address}) gives no authoritative answer: {why}")
            if not soa.records:
                return Sighting(server, address, trouble=f"{server} ({address}) does not have the zone")
            so.wait = max(so.wait, answer.ttl if answer.records else 0, _negative(soa))
            if answer.records:
                return Sighting(server, address, answer.records, answer.ttl)
            alias = self._answer(futures["CNAME"])
        except (DnsTempError, DnsLimit) as error:
            return Sighting(server, address, trouble=f"{server} ({address}): {error}")
        if alias.records:
            so.wait = max(so.wait, alias.ttl)
            return Sighting(server, address, ttl=alias.ttl, alias=alias.records[0])
        return Sighting(server, address)

    def _answer(self, future: Future[Answer]) -> Answer:
        try:
            return future.result(max(0.0, self._deadline - self._clock()))
        except FutureTimeout as error:
            raise DnsTempError("no answer in time") from error


def _negative(soa: Answer) -> int:
    """How long a resolver may keep that there is no such name (RFC 2308 section 5)."""
    return min(soa.ttl, int(soa.records[0].split()[-1]))


def _parsed(record: str) -> Key | BadKey:
    try:
        return parse(record)
    except BadKey as error:
        return error


def _fault(record: str) -> Fault | None:
    found = _parsed(record)
    return found.fault if isinstance(found, BadKey) else None


def _same(record: str, other: str) -> bool:
    """Do both records have the same public key? It can be written in several ways (RFC 6376 section 3.6.1)."""
    found, wanted = _parsed(record), _parsed(other)
    if isinstance(found, BadKey) or isinstance(wanted, BadKey):
        return False
    return found.public == wanted.public
