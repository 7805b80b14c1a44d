"""Settings that are valid but probably mistakes: the warnings of ``config check``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import fields
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from ..dmarc import Disposition
from ..finding import Severity
from ..policy import Policy, Rule
from ..policy.condition import All, Condition, Match, Not, is_bound, matches, never_holds
from ..policy.rule import lets_in
from ..policy.sets import overlaps
from ..result import Result
from ..sign import permissions
from ..verdict import Action
from . import signing
from .document import Line, Problem
from .values import is_nearly_everybody

if TYPE_CHECKING:
    from .settings import Settings

_MAX_COMPARED = 100  # rules before each rule; settings for each rule
_MAX_NAMED = 3  # domains in a warning
_CODE = re.compile(r"\s*(?:[245][0-9]{2}(?:[ -]|$)(?:\s*[245](?:\.[0-9]{1,3}){2}\b)?|[245](?:\.[0-9]{1,3}){2}(?:\s|$))")
_FEW, _FEW_IPV6 = 24, 64  # prefix length of a network whose hosts an operator may know


def warnings(
    settings: Settings,
    path: str | None,
    now: float,
    host_names: Collection[str],
    system: Collection[str] = (),
    *,
    in_container: bool = False,
) -> list[Problem]:
    """The probable mistakes in a valid configuration; ``path`` is its file, ``now`` is in seconds since 1970.

    ``host_names`` are the names of this host, empty if they say nothing; ``system`` has the addresses of the system's
    name servers.
    """
    place = path or "built-in"
    found = [*_of_settings(settings, place, host_names), *_of_nameservers(settings, place, system, in_container)]
    return [*found, *_of_policy(settings, now)]


def in_container() -> bool:
    """Does the environment say that this is a container (``container=``, of systemd's Container Interface)?"""
    return bool(os.environ.get("container"))  # noqa: SIM112 - systemd writes it so


def is_elsewhere(address: str, in_container: bool) -> bool:
    """Is a name server too far away to trust its answers? A container has it on another address of the same network."""
    found = ip_address(address)
    return found.is_global if in_container else not found.is_loopback


def _of_settings(settings: Settings, path: str, host_names: Collection[str]) -> Iterator[Problem]:
    name = settings.authserv_id
    if name and host_names and name.lower() not in {each.lower() for each in host_names}:
        yield _warning(
            "authserv-id",
            path,
            settings.lines.get("authserv_id", 1),
            f"authserv_id: {name} is not a name of this host ({', '.join(sorted(host_names))}); readers that trust the "
            "name of the host will not find our results",
        )
    yield from _of_relays(settings, path)
    keys = {each.key for rule in settings.policy.rules for each in matches(rule.condition)}
    if settings.recipient_delimiter is None and "recipient" in keys:
        yield _warning(
            "recipient-delimiter",
            path,
            settings.lines.get("recipient_delimiter", 1),
            "recipient_delimiter: Postfix cannot be asked",
            "name the characters that begin an address extension",
        )
    if settings.trusted_networks is None:
        yield _warning(
            "mynetworks-unknown",
            path,
            settings.lines.get("trusted_networks", 1),
            "trusted_networks: Postfix cannot be asked for mynetworks; no network is trusted until a reload",
            "if Postfix runs elsewhere, list its mynetworks",
        )
    yield from signing.doubts(settings, path, permissions.service())
    for network in filter(is_nearly_everybody, settings.trusted_networks or ()):
        yield _warning(
            "trusted-networks",
            path,
            settings.lines.get("trusted_networks", 1),
            f"trusted_networks: mail from {network}, nearly everybody, is not judged (unsafe)",
        )


def _of_nameservers(settings: Settings, path: str, system: Collection[str], in_container: bool) -> Iterator[Problem]:
    named = [address for address, _ in settings.dns.nameservers]
    where = (path, settings.lines.get("dns.nameservers", 1)) if named else ("/etc/resolv.conf", 1)
    for address in named or system:
        if is_elsewhere(address, in_container):
            yield _warning(
                "nameserver-place",
                *where,
                f"dns.nameservers: {address} is not on this host: anybody on the network path can forge its answers, "
                "and each question takes longer",
                "a validating resolver on 127.0.0.1 is better",
            )


def _of_relays(settings: Settings, path: str) -> Iterator[Problem]:
    relays = settings.relays
    line = settings.lines.get("relays.networks", settings.lines.get("relays", 1))
    for each in relays.networks.networks:
        if overlaps(each, settings.trusted_networks or ()):
            yield _warning(
                "relays",
                path,
                line,
                f"relays: {each} is in trusted_networks as well; its mail is judged all the same, by the client "
                "that the relay received it from",
            )
        if each.prefixlen < (_FEW if each.version == 4 else _FEW_IPV6):
            yield _warning(
                "relays",
                path,
                line,
                f"relays: {each} covers many addresses; every host in it can claim that a message came from any client",
            )
    for other in settings.policy.dmarc.trusted_forwarders.networks.networks:
        if overlaps(other, relays.networks.networks):
            yield _warning(
                "trusted-forwarders",
                settings.policy_path or "",
                settings.policy_lines.get("dmarc.trusted_forwarders", 1),
                f"dmarc.trusted_forwarders: {other} is in relays as well; the mail of a relay is judged by the "
                "client that it received it from, so this network lets in none of it",
            )
    if relays.untraced is not relays.untraced.DMARC:
        yield _warning(
            "untraced",
            path,
            settings.lines.get("relays.untraced", 1),
            "relays.untraced: anybody who cannot be traced through a relay gets in with a message that fails DMARC",
        )


def _of_policy(settings: Settings, now: float) -> Iterator[Problem]:
    yield from settings.odd
    policy = settings.policy
    for each in policy.dmarc.authors:
        if each.monitor:
            names = ", ".join(each.authors.patterns)
            what = f"dmarc.authors: mail that fails for {names} comes in (monitor)"
            yield Problem(Severity.WARNING, "author-monitored", what, "", *each.place)
    needs = policy.dmarc.reject_needs
    if needs and never_holds(All((*_failing(Disposition.REJECT), needs))):
        line = settings.policy_lines.get("dmarc.reject_needs", 1)
        yield _warning(
            "reject-needs",
            settings.policy_path or "",
            line,
            "dmarc.reject_needs can never hold for a message that fails, so `dmarc.reject` never applies",
        )
    seen: list[Rule] = []
    lines = [*_lines(policy)]
    for rule in policy.rules:
        if rule.is_expired(now):
            yield _at("rule-expired", rule, f"rule {rule.name} expired on {rule.expires} and is ignored")
            continue
        yield from _of_rule(rule)
        yield from _before(rule, seen)
        # a rule with `monitor` or `expires` does not hide the rules after it for good
        if not rule.monitor and not rule.expires:
            yield from _after(rule, lines)
            seen.append(rule)


def _of_rule(rule: Rule) -> Iterator[Problem]:
    """The probable mistakes in a single rule."""
    if never_holds(rule.condition):
        yield _at("rule-never", rule, f"rule {rule.name} can never apply: its conditions exclude each other")
    if code := _CODE.match(rule.reply):
        yield _at(
            "rule-reply",
            rule,
            f"rule {rule.name}: reply begins with the code `{code[0].strip()}`, but Postfix gets a code in front of it",
            "set the status code with `enhanced`, and let reply be the text after it",
        )
    if lets_in(rule.action) and not rule.monitor and not is_bound(rule.condition):
        what = f"rule {rule.name} lets in mail from anybody who claims to be the sender (unsafe)"
        yield _at("rule-unsafe", rule, what)


def _before(rule: Rule, seen: list[Rule]) -> Iterator[Problem]:
    """A warning for the first earlier rule because of which this one is never reached."""
    before = next((each for each in seen if each.condition == rule.condition and _applies_with(each, rule)), None)
    wider = next((each for each in seen[:_MAX_COMPARED] if _covers(each, rule)), None)
    if found := before or wider:
        how = "says the same first" if before else "applies wherever it would, if the author is one clear domain"
        what = f"rule {rule.name} is never reached: {found.name} on line {found.place.line} {how}"
        yield _at("rule-unreached", rule, what)


def _after(rule: Rule, lines: list[_Line]) -> Iterator[Problem]:
    """Warnings for stricter settings that this rule keeps from being applied; none if it is unsafe: that is wanted."""
    for key, action in [] if rule.unsafe else _outdone(rule, lines):
        yield _at(
            "rule-hides-setting",
            rule,
            f"rule {rule.name} decides for {rule.action} wherever {key} would {action}, so that setting never "
            "applies: rules come first",
        )


def _covers(first: Rule, second: Rule) -> bool:
    """Does the first decide wherever the second applies? Not if that can differ between recipients or authors."""
    keys = {each.key for rule in (first, second) for each in matches(rule.condition)}
    return "recipient" not in keys and _includes(first.condition, second.condition)


def _includes(first: Condition, second: Condition) -> bool:
    """Does the first hold wherever the second does, and can the second hold at all?"""
    return not never_holds(second) and never_holds(All((second, Not(first))))


class _Line(NamedTuple):
    """A setting of the policy, and the messages to which it applies."""

    key: str
    action: Action
    condition: Condition


def _outdone(rule: Rule, lines: list[_Line]) -> Iterator[tuple[str, Action]]:
    """The settings that are more severe than the rule, and never apply because of it."""
    for key, action, condition in lines[:_MAX_COMPARED]:
        if action.severity > rule.action.severity and _includes(rule.condition, condition):
            yield key, action


def _failing(disposition: Disposition) -> list[Condition]:
    return [Match("dmarc", (Result.FAIL,)), Match("policy", (disposition,))]


def _lines(policy: Policy) -> Iterator[_Line]:
    dmarc, earlier = policy.dmarc, list[Condition]()
    unpublished = Match("dmarc", (Result.NONE, Result.PERMERROR))
    silent: list[Condition] = [unpublished, *(Not(Match(key, (Result.PASS,))) for key in ("spf", "dkim"))]
    for each in dmarc.authors:
        ours: list[Condition] = [Match("author", each.authors), *map(Not, earlier)]
        for word in (*Disposition, "unpublished"):
            action: Action | None = getattr(each, word)
            condition = _failing(word) if isinstance(word, Disposition) else silent
            if action is not None and not each.monitor:
                name = f"dmarc.authors.{word} for {', '.join(each.authors.patterns[:_MAX_NAMED])}"
                yield _Line(name, action, All((*ours, *condition)))
        earlier.append(Match("author", each.authors))
    others: list[Condition] = [*map(Not, earlier)]
    for disposition in Disposition:
        needs = [dmarc.reject_needs] if dmarc.reject_needs and disposition is Disposition.REJECT else []
        action = getattr(dmarc, disposition)
        yield _Line(f"dmarc.{disposition}", action, All((*others, *_failing(disposition), *needs)))
    for section in ("spf", "iprev", "sender_domain"):
        for item in fields(getattr(policy, section)):
            action = getattr(getattr(policy, section), item.name)
            yield _Line(f"{section}.{item.name}", action, Match(section, (item.name,)))


def _applies_with(first: Rule, second: Rule) -> bool:
    """If the conditions are equal, does the first apply wherever the second does? A rule that lets in needs more."""
    return lets_in(second.action) or not lets_in(first.action)


def _at(code: str, rule: Rule, what: str, fix: str = "") -> Problem:
    return Problem(Severity.WARNING, code, what, fix, *rule.place)


def _warning(code: str, path: str, line: int, what: str, fix: str = "") -> Problem:
    return Problem(Severity.WARNING, code, what, fix, path, line, line.column if isinstance(line, Line) else 1)


def expired(policy: Policy, now: float) -> list[Rule]:
    """The rules whose last day is over."""
    return [rule for rule in policy.rules if rule.is_expired(now)]
