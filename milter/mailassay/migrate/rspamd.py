"""A plan from rspamd's dkim_signing.conf: its domains and keys, by what rspamd would do with mail of each domain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ..dmarc.suffix import registrable
from ..domain import Domain
from ..sign import Believed
from . import rspamd_map, source, ucl
from .clients import networks
from .data_set import DataSet, Entry
from .examination import NAME_THEM, Examination
from .key_table import Tables, domains_of_files
from .plan import Plan, Source, Use, signing_domain
from .remark import Code, Place, Remark, error, note, warning
from .rspamd_options import DEFAULT_PATH, DEFAULT_SELECTOR, KNOWN, NOTHING, ON, READ, WITHOUT, WITHOUT_IF_ON
from .ucl import Array, Object, Scalar, Value

_SECTION = "dkim_signing"
_SIBLINGS = {"local.d": "override.d", "override.d": "local.d"}


def plan(path: str) -> Plan:
    """The plan of a configuration. Raises Unreadable and Unclear."""
    section = ucl.parsed(source.text(path), path)
    inner = section.members.get(_SECTION)
    if isinstance(inner, Object) and len(section.members) == 1:
        section = inner
    if section.members and not KNOWN & {*section.members}:
        raise ucl.Unclear(Place(path), "has no option of opendkim.conf(5) or of rspamd's module dkim_signing")
    found = Plan("rspamd", path)
    settings = _Settings(found, section)
    folder, name = os.path.split(os.path.abspath(path))
    if (sibling := _SIBLINGS.get(os.path.basename(folder))) and os.path.exists(
        other := os.path.join(os.path.dirname(folder), sibling, name)
    ):
        what = f"rspamd reads {other} too, and what is in override.d replaces what is in local.d"
        fix = f"rspamadm configdump -j {_SECTION} prints both together; migrate what it prints"
        found.say(warning(Place(path), Code.OTHER_FILE, what, fix))
    if not settings.is_on("enabled"):
        found.say(warning(settings.place("enabled"), Code.DISABLED, "enabled is false: rspamd signs nothing"))
        return found
    if "signing_table" in section.members and "key_table" in section.members:
        _by_tables(found, settings)
    else:
        _by_domain(found, settings)
    _believed(found, settings)
    _clients(found, settings)
    _others(found, settings)
    return found


class _Settings:
    """The options that the file has, and rspamd's defaults for the others."""

    def __init__(self, found: Plan, section: Object) -> None:
        self.found, self.section = found, section

    def place(self, name: str) -> Place:
        """The line of an option; the whole file if it is not there."""
        value = self.section.members.get(name)
        return value.place if value else Place(self.found.file)

    def is_on(self, name: str) -> bool:
        """Is a boolean option on? Raises Unclear."""
        value = self.section.members.get(name)
        if value is None:
            return name in ON
        if not isinstance(value, Scalar):
            raise ucl.Unclear(value.place, f"{name}: expected true or false")
        return value.is_true

    def text(self, name: str, otherwise: str = "") -> str:
        """The text of an option. Raises Unclear."""
        return _text(self.section, name, otherwise)

    def map(self, name: str) -> list[rspamd_map.Line]:
        """The elements of a map; none if it cannot be read, which is said."""
        value = self.section.members.get(name)
        if value is None:
            return []
        elements, remarks = rspamd_map.read(name, value)
        self.found.say(*remarks)
        return elements or []


def _text(section: Object, name: str, otherwise: str = "") -> str:
    value = section.members.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, Scalar):
        raise ucl.Unclear(value.place, f"{name}: expected a text")
    return value.text


@dataclass(slots=True)
class _Pair:
    """A selector and the path of its key; empty if another option says it."""

    selector: str
    path: str
    place: Place


class _Domains:
    """By ``domain``, the maps, and the default path and selector."""

    def __init__(self, settings: _Settings) -> None:
        self.selector = settings.text("selector", DEFAULT_SELECTOR)
        self.path = settings.text("path", DEFAULT_PATH)
        self.selectors = {each.key.lower(): each for each in settings.map("selector_map")}
        self.paths = {each.key.lower(): each for each in settings.map("path_map")}
        self.falls_back = settings.is_on("try_fallback")
        self.blocks = dict(_blocks(settings.section))
        self._default = settings.place("path")

    def named(self) -> list[str]:
        """The domains that the configuration names."""
        return [*dict.fromkeys([*self.blocks, *self.selectors, *self.paths])]

    def pairs(self, domain: str) -> list[_Pair]:
        """What signs for a domain; none if nothing does."""
        pairs = [_Pair(each.selector, each.path, each.place) for each in self.blocks.get(domain, ())]
        for lines, name in ((self.selectors, "selector"), (self.paths, "path")):
            if line := lines.get(domain):
                pairs = pairs or [_Pair("", "", line.place)]
                for pair in pairs:
                    setattr(pair, name, getattr(pair, name) or line.value)
        if not pairs and self.falls_back:
            pairs = [_Pair("", "", self._default)]
        for pair in pairs:
            pair.selector = pair.selector or self.selector
            pair.path = pair.path or self.path
        return pairs

    def with_files(self) -> list[str]:
        """The domains that are not named and have a key at the default path."""
        if not self.falls_back or "$domain" not in _plain(self.path):
            return []
        template = _plain(self.path).replace("$selector", self.selector)
        return domains_of_files(template, "$domain")


def _blocks(section: Object) -> Iterator[tuple[str, list[_Pair]]]:
    """The members of ``domain``. Raises Unclear."""
    domains = section.members.get("domain")
    if domains is None:
        return
    if not isinstance(domains, Object):
        raise ucl.Unclear(domains.place, "domain: expected an object with a member for each domain")
    for name, block in domains.members.items():
        if not isinstance(block, Object):
            raise ucl.Unclear(block.place, f"domain.{name}: expected an object with selector and path")
        pairs = [_pair(block)] if {"selector", "path"} & {*block.members} else []
        several = block.members.get("selectors")
        for each in _elements(several):
            if not isinstance(each, Object):
                raise ucl.Unclear(each.place, f"domain.{name}.selectors: expected objects with selector and path")
            pairs.append(_pair(each))
        yield name.lower(), pairs


def _elements(value: Value | None) -> tuple[Value, ...]:
    if value is None:
        return ()
    return value.elements if isinstance(value, Array) else (value,)


def _pair(block: Object) -> _Pair:
    return _Pair(_text(block, "selector"), _text(block, "path"), block.place)


def _plain(path: str) -> str:
    return path.replace("${domain}", "$domain").replace("${selector}", "$selector")


def _by_domain(found: Plan, settings: _Settings) -> None:
    domains, organizational = _Domains(settings), settings.is_on("use_esld")
    found.subdomains, found.why_subdomains = organizational, f"{settings.place('use_esld')}, use_esld"
    for name in [*domains.named(), *domains.with_files()]:
        domain = signing_domain(name)
        pairs = domains.pairs(name)
        if name == "*":
            what = "domain.* signs for all domains with one key"
            found.say(warning(pairs[0].place if pairs else Place(found.file), Code.WILDCARD, what, NAME_THEM))
        elif domain and organizational and registrable(domain) != domain:
            what = f"use_esld is true: rspamd signs mail of {domain} as {registrable(domain)}, and reads nothing else"
            place = pairs[0].place if pairs else Place(found.file)
            found.say(warning(place, Code.UNUSED, what, f"subdomains: true does the same, if {domain} is not named"))
        elif domain:
            for pair in pairs:
                _take(found, domain, pair)
        elif pairs:
            found.say(warning(pairs[0].place, Code.DOMAIN, f"{name!r} cannot be a domain in d="))
    _fallback(found, domains, settings)


def _take(found: Plan, domain: Domain, pair: _Pair) -> None:
    path = _plain(pair.path).replace("$domain", domain).replace("$selector", pair.selector)
    if not path.startswith("/"):
        what = f"where the key {path} is depends on the folder in which rspamd was started"
        found.say(error(pair.place, Code.FILE, what, "Write its whole path"))
        return
    found.add(domain, Use(pair.selector, Source(path), pair.place))


def _fallback(found: Plan, domains: _Domains, settings: _Settings) -> None:
    if not domains.falls_back:
        return
    if "$domain" in _plain(domains.path):
        what = f"try_fallback: rspamd signs for every domain that has a key at {domains.path}. Those that have one now "
        what += "are in the list"
        fix = "A domain that gets a key later has to be added to it"
        found.say(note(settings.place("path"), Code.WILDCARD, what, fix))
    else:
        what = f"try_fallback: rspamd signs for all domains with the key {domains.path}, which proves nothing about "
        what += "the author"
        found.say(warning(settings.place("path"), Code.WILDCARD, what, NAME_THEM))


def _by_tables(found: Plan, settings: _Settings) -> None:
    """signing_table and key_table, as opendkim has them."""
    signing, keys = settings.map("signing_table"), settings.map("key_table")
    selector = settings.text("selector", DEFAULT_SELECTOR)
    entries = []
    for each in keys:
        fields = each.value.split(":")
        if len(fields) == 2:
            fields.insert(1, selector)
        entries.append(Entry(each.key, ":".join(fields) if len(fields) == 3 else "", each.place))
    tables = Tables(DataSet([*_entries(found, signing, "signing_table")], patterns=True), DataSet(entries, folded=True))
    for each in keys:
        if rspamd_map.is_pattern(each.key):
            what = f"key_table: {each.key} stands for many names"
            found.say(warning(each.place, Code.WILDCARD, what, "Write a line for each domain"))
    Examination(found, tables, lambda path, place: _whole(found, path, place)).run()


def _entries(found: Plan, lines: list[rspamd_map.Line], name: str) -> Iterator[Entry]:
    for each in lines:
        if rspamd_map.is_pattern(each.key.replace("*", "")):
            what = f"{name}: only * is read as a pattern, which {each.key} has not alone"
            found.say(warning(each.place, Code.WILDCARD, what, "Write a line for each domain"))
        else:
            yield Entry(each.key, each.value, each.place)


def _whole(found: Plan, path: str, place: Place) -> Source | None:
    if path.startswith("/"):
        return Source(path)
    what = f"where the key {path} is depends on the folder in which rspamd was started"
    found.say(error(place, Code.FILE, what, "Write its whole path"))
    return None


def _believed(found: Plan, settings: _Settings) -> None:
    """What has to agree with the author."""
    used = settings.text("use_domain", "header")
    if "signing_table" in settings.section.members and "key_table" in settings.section.members:
        found.why_believed = "with its tables, rspamd compares nothing with the author; any signs as before"
        return
    if settings.is_on("allow_hdrfrom_mismatch"):
        found.believed = Believed.ANY
        found.why_believed = "allow_hdrfrom_mismatch is true: rspamd does not compare MAIL FROM with the author. "
        found.why_believed += "With envelope, nobody signs in the name of another domain than that of MAIL FROM"
    else:
        found.why_believed = "allow_hdrfrom_mismatch is false: rspamd wants MAIL FROM and the author in one "
        found.why_believed += "organization; mailassay wants them in one domain of sign.domains"
    same = used == "envelope" and found.believed is Believed.ENVELOPE and found.subdomains
    if used != "header" and not same:
        what = f"use_domain is {used}: d= is not the domain of the author, which DMARC asks for"
        found.say(warning(settings.place("use_domain"), Code.AUTHOR, what, "d= is the domain in From"))
    if not settings.is_on("allow_username_mismatch") and settings.is_on("sign_authenticated"):
        what = "rspamd signs for a login only if the login has the domain of the author (allow_username_mismatch is "
        what += "false); mailassay compares MAIL FROM, which Postfix can compare with the login"
        fix = "Set smtpd_sender_login_maps and reject_sender_login_mismatch, or write from: login with logins"
        found.say(note(settings.place("allow_username_mismatch"), Code.BELIEVED, what, fix))


def _clients(found: Plan, settings: _Settings) -> None:
    """Whose mail rspamd signs."""
    lines = settings.map("sign_networks")
    found.networks, remarks = networks(((each.key, each.place) for each in lines), "sign_networks")
    found.clients = f"{settings.place('sign_networks')}, sign_networks"
    found.say(*remarks)
    if settings.is_on("sign_local"):
        what = "sign_local is true: rspamd signs mail of private networks (local_addrs in options.inc). mailassay "
        what += "signs mail of clients in trusted_networks, and does not judge it"
        fix = "trusted_networks: postfix trusts Postfix's mynetworks"
        found.say(note(settings.place("sign_local"), Code.CLIENTS, what, fix))
    if not settings.is_on("sign_authenticated"):
        what = "sign_authenticated is false; mailassay signs mail of clients that logged in"
        fix = "Give their service a list of milters without mailassay, or write from: login"
        found.say(warning(settings.place("sign_authenticated"), Code.CLIENTS, what, fix))


def _others(found: Plan, settings: _Settings) -> None:
    """The options that are not read."""
    for name, value in settings.section.members.items():
        if name in WITHOUT or (name in WITHOUT_IF_ON and settings.is_on(name)):
            words = WITHOUT.get(name) or WITHOUT_IF_ON[name]
            found.say(warning(value.place, Code.OPTION, f"{name} has no equivalent: {words}"))
        elif name in NOTHING:
            found.passed_over.append((name, value.place))
        elif name not in READ and name not in WITHOUT_IF_ON:
            found.say(_unknown(name, value))


def _unknown(name: str, value: Value) -> Remark:
    return warning(value.place, Code.UNKNOWN, f"{name} is no option of dkim_signing that is known here")
