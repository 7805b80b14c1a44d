"""What the tables of a signing filter would do with mail of each domain, compared with what mailassay will do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..domain import Domain
from .data_set import Entry
from .key_table import ANYBODY, Key, Signs, Tables
from .plan import Plan, Source, Use, signing_domain
from .remark import Code, Place, error, note, warning

_BELOW = "mailassay-migrate-probe"  # a label that no table names
NAME_THEM = "Name each domain in sign.domains, with a key of its own"


class Examination:
    """What opendkim would do with mail of each domain that the tables can mean."""

    def __init__(
        self, found: Plan, tables: Tables, source: Callable[[str, Place], Source | None], root: str = ""
    ) -> None:
        """``source`` finds the key with a path, in a line; ``root`` is the folder in which absolute paths begin."""
        self._found, self._tables, self._source, self._root = found, tables, source, root
        self._used: set[str] = set()
        # the domains whose names below are signed by the same keys
        self._above: dict[Domain, bool] = {}
        self._why_not = "other domains have no such line"

    def run(self) -> None:
        """Fill in the plan."""
        candidates = map(signing_domain, self._tables.candidates(self._root))
        for domain in dict.fromkeys(each for each in candidates if each):
            self._domain(domain)
        self._subdomains()
        for entry in self._tables.entries:
            self._line(entry.key, entry.value, entry.place)
        for entry in self._tables.keys:
            if self._tables.key(entry.key) is None:
                what = f"the line of {entry.key} is not complete: it needs DOMAIN:SELECTOR:PATH"
                self._found.say(error(entry.place, Code.KEY, what))
            elif entry.key not in self._used:
                self._found.say(note(entry.place, Code.UNUSED, f"no line of the SigningTable leads to {entry.key}"))

    def _domain(self, domain: Domain) -> None:
        signs = self._tables.signs(ANYBODY, domain)
        for each in signs:
            self._use(each, domain)
        own = self._own(signs, domain)
        if domain in self._found.domains:
            below = self._tables.signs(ANYBODY, f"{_BELOW}.{domain}")
            self._above[domain] = bool(below) and self._own(below, domain) == own

    def _use(self, signs: Signs, domain: Domain) -> None:
        place, key = signs.entry.place, signs.key
        self._used.add(signs.name)
        if key is None:
            what = f"the KeyTable has no key {signs.name}, so mail of {domain} cannot be signed"
            self._found.say(error(place, Code.KEY, what))
        elif signs.domain.lower() == domain:
            self._take(domain, key, place)

    def _own(self, signs: Iterable[Signs], domain: Domain) -> list[str]:
        """The selectors by which a domain signs."""
        return sorted(each.key.selector for each in signs if each.key and each.domain.lower() == domain)

    def _take(self, domain: Domain, key: Key, place: Place) -> None:
        path = key.data.replace("%", domain) if key.data.startswith("/") else key.data
        octets = key.data.encode(errors="surrogateescape")
        source = self._source(path, key.place) if key.is_path else Source(octets=octets)
        if source:
            self._found.add(domain, Use(key.selector, source, place))

    def _subdomains(self) -> None:
        covered = [domain for domain, is_above in self._above.items() if is_above]
        if covered and len(covered) == len(self._above):
            exceptions = [entry for entry in self._tables.entries if self._is_exception(entry)]
            for entry in exceptions:
                what = f"{entry.key}: mail of names below a domain of the list is not signed as that domain, and "
                what += (
                    "subdomains: true would sign it so. So mail of all names below the domains of the list is unsigned"
                )
                fix = "Name those that send mail in sign.domains, with keys of their own"
                self._found.say(warning(entry.place, Code.SUBDOMAINS, what, fix))
            if exceptions:
                self._why_not = f"{exceptions[0].place} decides otherwise about some"
                return
            self._found.subdomains, self._found.why_subdomains = True, "the SigningTable signs for names below too"

    def _is_exception(self, entry: Entry) -> bool:
        """Does a line decide otherwise about a name below a domain of the plan than subdomains: true would?"""
        local_part, at, rest = entry.key.rpartition("@")
        local_part = local_part.replace("*", ANYBODY) if at else ANYBODY
        if not self._tables.has_patterns:
            names = [rest.removeprefix("."), f"{_BELOW}.{rest.removeprefix('.')}"]
        elif "*" in rest.removeprefix("*"):
            # no name can be found that shows what such a pattern matches
            return bool(self._above)
        elif rest.startswith("*"):
            suffix = rest.removeprefix("*")
            names = [suffix.removeprefix("."), f"{_BELOW}{suffix}", f"{_BELOW}.{suffix.removeprefix('.')}"]
        else:
            names = [rest]
        return any(self._differs(local_part, domain) for name in names if (domain := signing_domain(name)))

    def _differs(self, local_part: str, domain: Domain) -> bool:
        """Is a name below a domain of the plan, and signed otherwise than as that domain?"""
        base = next((parent for parent in domain.parents() if parent in self._above), None)
        if domain in self._above or base is None:
            return False
        return self._own(self._tables.signs(local_part, domain), base) != self._own(
            self._tables.signs(ANYBODY, base), base
        )

    def _line(self, pattern: str, value: str, place: Place) -> None:
        """What a line of the SigningTable does beside what is in the plan now."""
        if value.partition(":")[2]:
            self._found.say(note(place, Code.OPTION, f"{pattern}: i= is never written; it would say the same as d="))
        local_part, at, rest = pattern.rpartition("@")
        name = value.partition(":")[0]
        if self._tables.key(name) or name == "%":
            self._used.add(name)
        if self._never(pattern, place):
            return
        base = signing_domain(rest.removeprefix("*").removeprefix("."))
        anybody = local_part == "*" or not at
        if not base or "*" in rest.removeprefix("*."):
            self._wildcard(pattern, name, place, anybody=anybody)
        elif not anybody:
            self._address(local_part, rest, base, place)
        elif rest.startswith((".", "*.")):
            self._below(pattern, base, place)
        else:
            self._foreign(base, place)

    def _never(self, pattern: str, place: Place) -> bool:
        """Can the line match no author at all?"""
        if self._tables.has_patterns:
            never = "@" not in pattern and "*" not in pattern
            fix = f"*@{pattern} does that"
        else:
            never = "*" in pattern.removesuffix("@*") and pattern != "*"
            fix = "refile: reads such patterns, and opendkim was told to read the file otherwise"
        if never:
            self._found.say(warning(place, Code.UNUSED, f"{pattern} matches no author: nothing is signed by it", fix))
        return never

    def _wildcard(self, pattern: str, name: str, place: Place, *, anybody: bool) -> None:
        key = self._tables.key(name)
        known = name == "%" or (key and key.domain == "%" and key.is_path and "%" in key.data)
        if known and anybody:
            what = f"{pattern} signs for every domain that has a key. Those that have one now are in the list"
            self._found.say(note(place, Code.WILDCARD, what, "A domain that gets a key later has to be added to it"))
        else:
            what = (
                f"{pattern} signs for all domains that it matches, and mailassay for those that have keys of their own"
            )
            self._found.say(warning(place, Code.WILDCARD, what, NAME_THEM))

    def _address(self, local_part: str, rest: str, base: Domain, place: Place) -> None:
        domain = f"{_BELOW}.{base}" if rest.startswith((".", "*.")) else base
        if "*" not in local_part and _same(self._tables.signs(local_part, domain), self._tables.signs(ANYBODY, domain)):
            return
        what = f"{local_part}@{rest} signs for some addresses of {base}; mailassay signs for all or none"
        fix = f"Add {base} to sign.domains if all may be signed; with from: login, logins says who may use which"
        self._found.say(warning(place, Code.ADDRESS, what, fix))

    def _below(self, pattern: str, base: Domain, place: Place) -> None:
        below = self._tables.signs(ANYBODY, f"{_BELOW}.{base}")
        if base in self._found.domains and self._above.get(base):
            if not self._found.subdomains:
                what = f"{pattern} signs for names below {base} too, and {self._why_not}"
                fix = "They are unsigned now. Write subdomains: true if it may hold for all of them"
                self._found.say(warning(place, Code.SUBDOMAINS, what, fix))
        elif any(each.entry.place == place for each in below):
            what = f"{pattern} signs for names below {base} otherwise than for {base} itself"
            fix = "Name each of them in sign.domains, or sign them as their parent: subdomains: true"
            self._found.say(warning(place, Code.SUBDOMAINS, what, fix))
        else:
            self._unused(pattern, place)

    def _foreign(self, domain: Domain, place: Place) -> None:
        mine = [each for each in self._tables.signs(ANYBODY, domain) if each.entry.place == place]
        if not mine:
            self._unused(domain, place)
        for each in mine:
            if not each.key or each.domain.lower() == domain:
                continue
            if domain.endswith(f".{each.domain.lower()}"):
                if not (self._found.subdomains and signing_domain(each.domain) in self._found.domains):
                    what = f"mail of {domain} is signed as {each.domain}"
                    fix = "Write subdomains: true, which holds for every name below every domain of the list; or give "
                    fix += f"{domain} a key of its own"
                    self._found.say(warning(place, Code.SUBDOMAINS, what, fix))
            else:
                what = f"mail of {domain} is signed as {each.domain}, which proves nothing about its author"
                self._found.say(warning(place, Code.FOREIGN, what, f"Make a key for {domain}, or leave it unsigned"))

    def _unused(self, pattern: str, place: Place) -> None:
        self._found.say(note(place, Code.UNUSED, f"an earlier line decides about what {pattern} matches"))


def _same(one: Iterable[Signs], other: Iterable[Signs]) -> bool:
    return [(each.domain, each.key) for each in one] == [(each.domain, each.key) for each in other]
