"""A policy file: its shape, and how it becomes a ``Policy``."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Any, NamedTuple

import yaml

from ..config_key import items
from ..finding import Severity
from ..policy import (
    AuthorActions,
    DmarcActions,
    Forwarders,
    Place,
    Policy,
    Rule,
    TagHeaders,
)
from ..policy.condition import All, AnyOf, Condition, Keys, Match, Not, is_bound, is_too_wide
from ..policy.rule import lets_in
from ..verdict import Action
from . import lists, shapes, values
from .document import AnyName, Code, List, Map, Members, Problem, Shape, Unfit, Value, compose, fit, shown


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
    made, problems, lines = fit(root, POLICY, named.expand)
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


def _policy(rules: tuple[Rule, ...] = (), lists: None = None, **given: Any) -> Policy:
    del lists
    return Policy(rules=rules, **given)


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
        raise Unfit(f"{shown(str(member))} covers nearly everybody")
    return member


_TRUSTED = Value(lambda node: trusted(values.domain_pattern(node)), values.domain_pattern.schema)


def _forwarders(members: tuple[Any, ...]) -> Forwarders:
    names = tuple(each for each in members if isinstance(each, str))
    return Forwarders(
        shapes.networks(tuple(each for each in members if not isinstance(each, str))), shapes.domains(names)
    )


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
    return tuple(given.items())


def _rule(node: yaml.Node, **given: Any) -> Rule:
    action: Action | None = given.get("action")
    condition: Condition | None = given.get("condition")
    name = given.get("name", "")
    if missing := [f"`{key}`" for key in ("name", "if", "then") if key not in _written(node)]:
        raise Unfit(f"a rule needs {' and '.join(missing)}")
    if not name or condition is None or action is None:
        raise Unfit
    rule = Rule(place=Place(*_place(node)), **given)
    if rule.enhanced and rule.enhanced[0] != ("4" if action is Action.DEFER else "5"):
        raise Unfit(f"rule {name}: {rule.enhanced} is not a code for {action}")
    if (rule.reply or rule.enhanced) and action not in (Action.DEFER, Action.REJECT):
        raise Unfit(f"rule {name}: {action} has no reply")
    if rule.headers and action in (Action.DEFER, Action.REJECT):
        raise Unfit(f"rule {name}: a message that is not delivered gets no headers")
    if lets_in(action) and not rule.monitor and not is_bound(condition):
        hint = f"bind it to something authenticated ({_AUTHENTICATED})"
        _must_be_safe(f"rule {name}", hint, rule.unsafe, rule.comment)
    return rule


def _authors(node: yaml.Node, **given: Any) -> AuthorActions:
    if not given.get("authors"):
        raise Unfit("" if "for" in _written(node) else "needs `for`, with the author domains to which it applies")
    made = AuthorActions(place=Place(*_place(node)), **given)
    for policy in ("reject", "quarantine"):
        if (action := getattr(made, policy)) and lets_in(action):
            hint = f"write a rule that is bound to something authenticated ({_AUTHENTICATED})"
            _must_be_safe(f"{policy}: {action}", hint, made.unsafe, made.comment)
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


_INNER: dict[str, Shape] = {}
_CONDITION: Map[Condition] = Map(
    _condition,
    _INNER,
    node_as="node",
    definition="condition",
    schema={"title": "a condition", "minProperties": 1},
    about=items(Keys),
)
# a condition may have others inside it
_INNER |= shapes.keys(
    Keys,
    {
        "mail_from": Members(values.sender_pattern, shapes.domains, lists=True),
        "all": List(_CONDITION),
        "any": List(_CONDITION),
        "not": _CONDITION,
    },
)
_RULE = shapes.of(
    Rule,
    {
        "name": values.rule_name,
        "comment": values.comment,
        "expires": values.day,
        "if": _CONDITION,
        "reply": values.template,
        "enhanced": values.enhanced,
        "headers": Map(_headers, AnyName(values.header_name, values.template)),
        "reason": values.template,
    },
    _rule,
    node_as="node",
    schema={"title": "a rule", "required": ["name", "if", "then"]},
)
_AUTHORS = shapes.of(
    AuthorActions,
    {"comment": values.comment},
    _authors,
    node_as="node",
    schema={"title": "a map for author domains", "required": ["for"]},
)
_DMARC = shapes.of(
    DmarcActions,
    {
        "reject_needs": _CONDITION,
        "authors": List(_AUTHORS),
        "trusted_sealers": Members(_TRUSTED, shapes.domains, lists=True, may_be_empty=True),
        "trusted_forwarders": Members(_FORWARDER, _forwarders, lists=True, may_be_empty=True),
        "mailing_lists": Members(_TRUSTED, shapes.domains, lists=True, may_be_empty=True),
    },
)
_TAG = shapes.of(TagHeaders, {"flag": values.header_name, "verdict": values.header_name}, _tag)


def _with_lists(policy: Map[Policy]) -> Map[Policy]:
    """``lists`` follows ``mode``. It is a key of the file, not of the policy: the keys that name a list have it all."""
    mode, *others = policy.keys.items()
    keys = dict([mode, ("lists", lists.SHAPE), *others])
    return replace(policy, keys=keys, about={**policy.about, "lists": lists.ABOUT})


POLICY = _with_lists(shapes.of(Policy, {"dmarc": _DMARC, "tag": _TAG, "rules": List(_RULE)}, _policy))
