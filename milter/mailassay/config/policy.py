"""A policy file: its shape, and how it becomes a ``Policy``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

import yaml

from ..dmarc import Disposition
from ..finding import Severity
from ..limits import Limits
from ..policy import (
    AuthorActions,
    DkimRules,
    DmarcActions,
    Forwarders,
    IprevActions,
    Mode,
    Partial,
    Place,
    Policy,
    Repeated,
    Rule,
    SenderDomainActions,
    SpfActions,
    TagHeaders,
)
from ..policy.condition import All, AnyOf, Condition, Match, Not, is_bound, is_too_wide
from ..policy.rule import lets_in
from ..policy.sets import Addresses, Domains, Networks
from ..result import Result
from ..sender_domain import Receives
from ..verdict import Action
from . import lists, values
from .document import Code, List, Map, Members, Problem, Shape, Unfit, Value, compose, fit, shown

_DMARC = values.one_of(Action.REJECT, Action.HOLD, Action.TAG, Action.ACCEPT)
_AMBIGUOUS = values.one_of(Action.REJECT, Action.HOLD, Action.TAG)
_WAIT = values.one_of(Action.ACCEPT, Action.DEFER)
_FAILED = values.one_of(*Action)
_UNDECIDED = values.one_of(Action.ACCEPT, Action.TAG, Action.HOLD, Action.DEFER)

# the lowest and the highest sensible value; a limit that an RFC demands can always be set
_LIMITS = {
    "header_fields": (50, 100_000),
    "header_octets": (10_000, 100_000_000),
    "from_fields": (1, 100),
    "from_octets": (1000, 100_000),
    "from_domains": (1, 100),
    "forged_fields": (100, 10_000),
    "results_octets": (10_000, 10_000_000),
    "signatures": (1, 100),
    "key_records": (1, 20),
    "key_bits": (4096, 16_384),
    "signature_work": (5000, 10_000_000),
    "clock_tolerance": (0, 86_400),
    "arc_sets": (1, 50),
    "spf_terms": (10, 100),
    "spf_void_lookups": (2, 100),
    "spf_mx_hosts": (10, 100),
    "ptr_names": (1, 100),
    "dmarc_queries": (8, 100),
    "identifiers": (2, 200),
    "record_octets": (1000, 65_536),
    "dns_questions": (50, 10_000),
    "dns_octets": (4096, 65_535),
    "dns_records": (50, 5000),
}


class PolicyFile(NamedTuple):
    """A policy, its problems, the line of each key and of each rule, and warnings."""

    policy: Policy
    problems: list[Problem]
    lines: dict[str, int]
    odd: list[Problem]


def read_policy(path: str) -> PolicyFile:
    """Read a policy file. Raises OSError if it cannot be read, ConfigError if it is not YAML."""
    root = compose(path)
    named = lists.Lists(root, os.path.dirname(path))
    made, problems, lines = fit(root, shape(named))
    lines |= {f"rules.{rule.name}": rule.place.line for rule in made.rules}
    doubles = [rule for at, rule in enumerate(made.rules) if rule.name in {each.name for each in made.rules[:at]}]
    problems += [
        Problem(Severity.ERROR, Code.DUPLICATE, f"rules: another rule is called {shown(rule.name)}", "", *rule.place)
        for rule in doubles
    ]
    odd = [
        Problem(Severity.WARNING, code, f"list {shown(name)} {trouble}", "", *_place(node))
        for code, trouble, found in (
            ("list-unused", "is used nowhere", named.unused),
            ("list-empty", "is empty", named.empty),
        )
        for name, node in found.items()
    ]
    return PolicyFile(made, [*named.problems, *problems], lines, odd)


def shape(named: lists.Lists) -> Map[Policy]:
    """The keys of a policy file. Conditions may use these lists."""

    def some(element: Value, make: Callable[[tuple[Any, ...]], Any]) -> Members:
        return Members(element, lambda members: make(_any(members)), named.expand)

    def words(*allowed: StrEnum) -> Members:
        return Members(values.one_of(*allowed), _any, lambda node: [node])

    domains = some(values.domain_pattern, _domains)
    keys: dict[str, Shape] = {
        "author": domains,
        "mail_from": some(values.sender_pattern, _domains),
        "recipient": some(values.address_pattern, lambda patterns: Addresses(tuple(sorted(set(patterns))))),
        "client": some(values.network, _networks),
        "client_name": domains,
        "helo": domains,
        "spf_pass": domains,
        "dkim_pass": domains,
        "sealer": domains,
        "iprev": words(Result.PASS, Result.FAIL, Result.PERMERROR, Result.TEMPERROR),
        "spf": words(*_SPF),
        "spf_helo": words(*_SPF),
        "dkim": words(*(word for word in Result if word is not Result.SOFTFAIL)),
        "arc": words(Result.NONE, Result.PASS, Result.FAIL, Result.TEMPERROR),
        "dmarc": words(Result.NONE, Result.PASS, Result.FAIL, Result.TEMPERROR, Result.PERMERROR),
        "policy": words(*Disposition),
        "policy_tag": words(*_Tag),
        "sender_domain": words(*Receives),
    }
    condition: Map[Condition] = Map(
        _condition, keys, node_as="node", definition="condition", schema={"title": "a condition", "minProperties": 1}
    )
    keys |= {"all": List(condition), "any": List(condition), "not": condition}
    rule = Map(
        _rule,
        {
            "name": values.rule_name,
            "comment": values.comment,
            "expires": values.day,
            "monitor": values.boolean,
            "unsafe": values.boolean,
            "if": condition,
            "then": _FAILED,
            "reply": values.template,
            "enhanced": values.enhanced,
            "headers": Map(_headers, AnyName(values.template)),
            "reason": values.template,
        },
        node_as="node",
        schema={"title": "a rule", "required": ["name", "if", "then"]},
    )
    authors = Map(
        _authors,
        {
            "for": domains,
            "reject": _DMARC,
            "quarantine": _DMARC,
            "none": _DMARC,
            "unpublished": _DMARC,
            "monitor": values.boolean,
            "comment": values.comment,
            "unsafe": values.boolean,
        },
        node_as="node",
        schema={"title": "a map for author domains", "required": ["for"]},
    )
    return Map(
        _policy,
        {
            "mode": values.one_of(*Mode),
            "lists": lists.SHAPE,
            "dmarc": Map(
                DmarcActions,
                {
                    "reject": _DMARC,
                    "quarantine": _DMARC,
                    "none": _DMARC,
                    "temperror": _WAIT,
                    "ambiguous_author": values.or_word("readings", _AMBIGUOUS),
                    "public_suffixes": values.boolean,
                    "reject_needs": condition,
                    "authors": List(authors),
                    "trusted_sealers": Members(_TRUSTED, _domains, named.expand, may_be_empty=True),
                    "trusted_forwarders": Members(_FORWARDER, _forwarders, named.expand, may_be_empty=True),
                    "mailing_lists": Members(_TRUSTED, _domains, named.expand, may_be_empty=True),
                    "enforce_percent": values.whole(0, 100),
                },
            ),
            "dkim": Map(DkimRules, {"partial": values.one_of(*Partial), "repeated_fields": values.one_of(*Repeated)}),
            "spf": Map(
                SpfActions,
                {"fail": _FAILED, "softfail": _FAILED, "permerror": _FAILED, "temperror": _UNDECIDED},
            ),
            "iprev": Map(IprevActions, {"fail": _FAILED, "permerror": _FAILED, "temperror": _UNDECIDED}),
            "sender_domain": Map(
                SenderDomainActions, {"null_mx": _FAILED, "no_mail": _FAILED, "temperror": _UNDECIDED}
            ),
            "tag": Map(_tag, {"flag": values.header_name, "verdict": values.header_name}),
            "limits": Map(Limits, {name: values.whole(*bounds) for name, bounds in _LIMITS.items()}),
            "rules": List(rule),
        },
    )


class _Tag(StrEnum):
    """The tag of a DMARC record that a policy came from."""

    P = "p"
    SP = "sp"
    NP = "np"


_SPF = (
    Result.NONE,
    Result.PASS,
    Result.FAIL,
    Result.SOFTFAIL,
    Result.NEUTRAL,
    Result.TEMPERROR,
    Result.PERMERROR,
)


class AnyName(dict[str, Value]):
    """Keys that are names of header fields: any name is a key."""

    def __init__(self, value: Value) -> None:
        super().__init__()
        self.value = value

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> Value:
        return self.value


def _policy(rules: tuple[Rule, ...] = (), lists: None = None, **given: Any) -> Policy:
    del lists
    return Policy(rules=rules, **given)


def _any(members: tuple[Any, ...]) -> tuple[Any, ...]:
    """The members in their order, without duplicates."""
    return tuple(dict.fromkeys(members))


def _domains(patterns: tuple[str, ...]) -> Domains:
    return Domains(tuple(sorted(set(patterns))))


def _networks(networks: tuple[Any, ...]) -> Networks:
    return Networks(tuple(sorted(set(networks), key=lambda each: (each.version, each))))


def _read_forwarder(node: yaml.Node) -> Any:
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    return trusted(
        values.domain_pattern(node) if re.search("[a-z]", text) and ":" not in text else values.network(node)
    )


_FORWARDER = Value(
    _read_forwarder, {"title": "a network or a domain", "anyOf": [values.network.schema, values.domain_pattern.schema]}
)


def trusted(member: Any) -> Any:
    """Reject a trust entry that covers nearly everybody. Raises Unfit."""
    if is_too_wide(member):
        raise Unfit(f"{shown(str(member))} is nearly everybody")
    return member


_TRUSTED = Value(lambda node: trusted(values.domain_pattern(node)), values.domain_pattern.schema)


def _forwarders(members: tuple[Any, ...]) -> Forwarders:
    names = tuple(each for each in members if isinstance(each, str))
    return Forwarders(_networks(tuple(each for each in members if not isinstance(each, str))), _domains(names))


def _written(node: yaml.Node) -> set[str]:
    """The keys of a map, valid or not."""
    return {str(key.value) for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()


def _condition(node: yaml.Node, **given: Any) -> Condition:
    conditions: list[Condition] = []
    for key, value in given.items():
        match key:
            case "all":
                conditions.append(All(value))
            case "any":
                conditions.append(AnyOf(value))
            case "not":
                conditions.append(Not(value))
            case _:
                conditions.append(Match(key, value))
    if not conditions:
        raise Unfit("" if _written(node) else "a condition needs at least one key")
    return conditions[0] if len(conditions) == 1 else All(tuple(conditions))


def _headers(**given: str) -> tuple[tuple[str, str], ...]:
    for name in given:
        values.header_name(yaml.ScalarNode("tag:yaml.org,2002:str", name))
    return tuple(given.items())


def _rule(node: yaml.Node, **given: Any) -> Rule:
    action: Action | None = given.pop("then", None)
    condition: Condition | None = given.pop("if", None)
    name = given.get("name", "")
    if missing := [f"`{key}`" for key in ("name", "if", "then") if key not in _written(node)]:
        raise Unfit(f"a rule needs {' and '.join(missing)}")
    if not name or condition is None or action is None:
        raise Unfit
    rule = Rule(condition=condition, action=action, place=Place(*_place(node)), **given)
    if rule.enhanced and rule.enhanced[0] != ("4" if action is Action.DEFER else "5"):
        raise Unfit(f"rule {name}: {rule.enhanced} is not a code for {action}")
    if (rule.reply or rule.enhanced) and action not in (Action.DEFER, Action.REJECT):
        raise Unfit(f"rule {name}: {action} has no reply")
    if rule.headers and action in (Action.DEFER, Action.REJECT):
        raise Unfit(f"rule {name}: what is not delivered has no headers")
    if lets_in(action) and not rule.monitor and not is_bound(condition):
        hint = f"bind it to something authenticated ({_AUTHENTICATED})"
        _must_be_safe(f"rule {name}", hint, rule.unsafe, rule.comment)
    return rule


def _authors(node: yaml.Node, comment: str = "", unsafe: bool = False, **given: Any) -> AuthorActions:
    authors = given.pop("for", None)
    if not authors:
        raise Unfit("" if "for" in _written(node) else "needs `for`, with the author domains to which it applies")
    made = AuthorActions(authors, **given, place=Place(*_place(node)))
    for policy in ("reject", "quarantine"):
        if (action := getattr(made, policy)) and lets_in(action):
            hint = f"write a rule that is bound to something authenticated ({_AUTHENTICATED})"
            _must_be_safe(f"{policy}: {action}", hint, unsafe, comment)
    return made


_AUTHENTICATED = "client, client_name, spf_pass, dkim_pass, sealer, or dmarc: [pass, none]"


def _must_be_safe(what: str, hint: str, unsafe: bool, comment: str) -> None:
    """If anybody can get mail that fails in by this, the operator has to confirm it and say why. Raises Unfit."""
    if not unsafe:
        raise Unfit(
            f"{what} would let in mail that fails DMARC, from anybody; {hint}, or add `unsafe: true` and a `comment`"
        )
    if not comment:
        raise Unfit(f"{what} is unsafe; say in `comment` why it has to be")


def _tag(**given: str) -> TagHeaders:
    tag = TagHeaders(**given)
    if tag.flag.lower() == tag.verdict.lower():
        raise Unfit(f"flag and verdict are both {shown(tag.flag)}")
    return tag


def _place(node: yaml.Node) -> tuple[str, int, int]:
    mark = node.start_mark
    return mark.name, mark.line + 1, mark.column + 1
