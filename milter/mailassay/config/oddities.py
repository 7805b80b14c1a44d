"""What can be used, and is hardly meant: warnings of ``config check``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import fields
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from ..dmarc import Disposition
from ..policy import Policy, Rule
from ..policy.condition import All, Condition, Match, Not, is_bound, matches, never_holds
from ..policy.rule import lets_in
from ..policy.sets import overlaps
from ..result import Result
from ..verdict import Action
from .document import Line, Problem
from .values import is_nearly_everybody

if TYPE_CHECKING:
    from . import Settings

_MAX_COMPARED = 100  # rules, to each that follows; lines, to each rule
_MAX_NAMED = 3  # domains in a warning
_CODE = re.compile(r"\s*(?:[245][0-9]{2}(?:[ -]|$)(?:\s*[245](?:\.[0-9]{1,3}){2}\b)?|[245](?:\.[0-9]{1,3}){2}(?:\s|$))")
_FEW, _FEW_IPV6 = 24, 64  # length of a network whose hosts one may know


def warnings(
    settings: Settings, path: str | None, now: float, host_names: Collection[str], system: Collection[str] = ()
) -> list[Problem]:
    """Everything odd in a configuration that is right; ``path`` is its file, ``now`` in seconds since 1970.

    ``host_names`` are the names that this host goes by, ``system`` the addresses of the system's name servers.
    """
    return [*_of_settings(settings, path or "built-in", host_names, system), *_of_policy(settings, now)]


def _of_settings(
    settings: Settings, path: str, host_names: Collection[str], system: Collection[str]
) -> Iterator[Problem]:
    name = settings.authserv_id
    if name and name.lower() not in {each.lower() for each in host_names}:
        yield _odd(
            path,
            settings.lines.get("authserv_id", 1),
            f"authserv_id: {name} is no name of this host ({', '.join(sorted(host_names))}); readers that trust the "
            "name of the host will not find our results",
        )
    yield from _of_relays(settings, path)
    keys = {each.key for rule in settings.policy.rules for each in matches(rule.condition)}
    if settings.recipient_delimiter is None and "recipient" in keys:
        yield _odd(
            path,
            settings.lines.get("recipient_delimiter", 1),
            "recipient_delimiter: Postfix cannot be asked; name the characters that begin an address extension",
        )
    if settings.trusted_networks is None:
        yield _odd(
            path,
            settings.lines.get("trusted_networks", 1),
            "trusted_networks: Postfix cannot be asked for mynetworks; no network is trusted until a reload",
        )
    for network in filter(is_nearly_everybody, settings.trusted_networks or ()):
        yield _odd(
            path,
            settings.lines.get("trusted_networks", 1),
            f"trusted_networks: no mail from {network} is judged, nearly everybody's (unsafe)",
        )
    named = [address for address, _ in settings.nameservers]
    where = (path, settings.lines.get("dns.nameservers", 1)) if named else ("/etc/resolv.conf", 1)
    for address in named or system:
        if not ip_address(address).is_loopback:
            yield _odd(
                *where,
                f"dns.nameservers: {address} is not on this host: who is on the way can answer in its place, and each "
                "question takes longer; a validating resolver on 127.0.0.1 is better",
            )


def _of_relays(settings: Settings, path: str) -> Iterator[Problem]:
    relays = settings.relays
    line = settings.lines.get("relays.networks", settings.lines.get("relays", 1))
    for each in relays.networks.networks:
        if overlaps(each, settings.trusted_networks or ()):
            yield _odd(
                path,
                line,
                f"relays: {each} is in trusted_networks as well; mail from there is judged, by the client that the "
                "relay had it from",
            )
        if each.prefixlen < (_FEW if each.version == 4 else _FEW_IPV6):
            yield _odd(
                path,
                line,
                f"relays: {each} is many addresses; every host in it can say of a message that it came from anywhere",
            )
    for other in settings.policy.dmarc.trusted_forwarders.networks.networks:
        if overlaps(other, relays.networks.networks):
            yield _odd(
                settings.policy_path or "",
                settings.policy_lines.get("dmarc.trusted_forwarders", 1),
                f"dmarc.trusted_forwarders: {other} is in relays as well; what a relay brings is judged by the client "
                "that it had it from, and this network lets in none of it",
            )
    if relays.untraced is not relays.untraced.DMARC:
        yield _odd(
            path,
            settings.lines.get("relays.untraced", 1),
            "relays.untraced: who finds a way not to be traced through a relay gets in with a message that fails DMARC",
        )


def _of_policy(settings: Settings, now: float) -> Iterator[Problem]:
    yield from settings.odd
    policy = settings.policy
    for each in policy.dmarc.authors:
        if each.monitor:
            names = ", ".join(each.authors.patterns)
            message = f"dmarc.authors: what fails for {names} comes in (monitor)"
            yield Problem(*each.place, message, warning=True)
    needs = policy.dmarc.reject_needs
    if needs and never_holds(All((*_failing(Disposition.REJECT), needs))):
        line = settings.policy_lines.get("dmarc.reject_needs", 1)
        yield _odd(
            settings.policy_path or "",
            line,
            "dmarc.reject_needs can never hold for a message that fails, so that `dmarc.reject` never follows",
        )
    seen: list[Rule] = []
    lines = [*_lines(policy)]
    for rule in policy.rules:
        if rule.is_expired(now):
            yield _at(rule, f"rule {rule.name} expired on {rule.expires} and is ignored")
            continue
        if never_holds(rule.condition):
            yield _at(rule, f"rule {rule.name} can never apply: its conditions exclude each other")
        before = next((each for each in seen if each.condition == rule.condition and _applies_with(each, rule)), None)
        wider = next((each for each in seen[:_MAX_COMPARED] if _covers(each, rule)), None)
        if found := before or wider:
            how = "says the same first" if before else "applies wherever it would, if the author is one clear domain"
            yield _at(rule, f"rule {rule.name} is never reached: {found.name} on line {found.place.line} {how}")
        if code := _CODE.match(rule.reply):
            yield _at(
                rule,
                f"rule {rule.name}: reply begins with the code `{code[0].strip()}`, and Postfix is told one before it; "
                "`enhanced` names another status code, and reply is the text behind",
            )
        if not rule.monitor and not rule.expires and not rule.unsafe:
            for key, action in _outdone(rule, lines):
                yield _at(
                    rule,
                    f"rule {rule.name} decides for {rule.action} wherever {key} would {action}, which is never done: "
                    "rules go before lines",
                )
        if lets_in(rule.action) and not rule.monitor and not is_bound(rule.condition):
            yield _at(rule, f"rule {rule.name} lets in mail from anybody who claims to be meant (unsafe)")
        # a rule that is monitored, or ends, leaves room for the next
        if not rule.monitor and not rule.expires:
            seen.append(rule)


def _covers(first: Rule, second: Rule) -> bool:
    """Does the first decide wherever the second applies? Not if recipients or authors may differ in that."""
    keys = {each.key for rule in (first, second) for each in matches(rule.condition)}
    return "recipient" not in keys and _includes(first.condition, second.condition)


def _includes(first: Condition, second: Condition) -> bool:
    """Does the first hold wherever the second does, and does that somewhere?"""
    return not never_holds(second) and never_holds(All((second, Not(first))))


class _Line(NamedTuple):
    """A line of the policy, and the messages for which it asks for something."""

    key: str
    action: Action
    condition: Condition


def _outdone(rule: Rule, lines: list[_Line]) -> Iterator[tuple[str, Action]]:
    """The lines that ask for more than the rule, and never come to their turn because of it."""
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
    """Of the same condition: does the first apply wherever the second does? What lets in needs more."""
    return lets_in(second.action) or not lets_in(first.action)


def _at(rule: Rule, message: str) -> Problem:
    return Problem(*rule.place, message, warning=True)


def _odd(path: str, line: int, message: str) -> Problem:
    return Problem(path, line, line.column if isinstance(line, Line) else 1, message, warning=True)


def expired(policy: Policy, now: float) -> list[Rule]:
    """The rules that are none any more."""
    return [rule for rule in policy.rules if rule.is_expired(now)]
