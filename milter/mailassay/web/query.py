"""What a browser asks for: the parameters of a page, each read strictly."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .. import moment
from ..domain import BadDomain, Domain
from ..result import METHODS, Result
from ..store.filter import SIGNINGS, Filter, of_any_id
from ..store.outbox import State
from ..verdict import Action

_MAX_QUERY = 4000  # octets
_MAX_VALUE = 1000  # characters
_WORDS = ("find", "since", "until", "author", "client", "recipient", "verdict", "would", "rule", "signing", *METHODS)
_PLACE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,20})?)-([0-9]{1,18})")


class BadQuery(ValueError):
    """The parameters are not such as a page takes. The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The messages that are asked for. ``given`` are the parameters as they were written, without empty ones.

    The first of the ``filters`` that finds something counts. ``before`` is the place in the list at which the page
    begins: time and number of the message before it.
    """

    given: dict[str, str]
    filters: tuple[Filter, ...]
    before: tuple[float, int] | None = None

    def after(self, time: float, number: int) -> str:
        """The query string of the page that begins after a message."""
        return urlencode({**self.given, "before": f"{time!r}-{number}"})


def parameters(query: str, *names: str) -> dict[str, str]:
    """The parameters of a query string that are not empty. Raises BadQuery if one is not among ``names``."""
    if len(query) > _MAX_QUERY:
        raise BadQuery(f"the address is too long: more than {_MAX_QUERY} characters after the ?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError as error:
        raise BadQuery("the part of the address after the ? cannot be read") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            raise BadQuery(f"there is no parameter {name!r} on this page")
        if name in found:
            raise BadQuery(f"the parameter {name!r} is there twice")
        if len(value) > _MAX_VALUE or not all(mark.isprintable() for mark in value):
            raise BadQuery(f"{name}: expected at most {_MAX_VALUE} characters that can be printed")
        found[name] = value.strip()
    return {name: value for name, value in found.items() if value}


def messages(query: str, now: float) -> Asked:
    """The messages that a query string asks for. Raises BadQuery."""
    given = parameters(query, *_WORDS, "before")
    before = _place(given.pop("before", ""))
    wanted = of_any_id(given["find"])[1] if "find" in given else [Filter()]
    conditions = _conditions(given, now)
    if twice := [name for name in conditions if any(getattr(each, name) for each in wanted)]:
        raise BadQuery(f"find and {twice[0]}: {given['find']!r} is looked for there too; give one of them")
    return Asked(given, tuple(replace(each, **conditions) for each in wanted), before)


def reports(given: dict[str, str]) -> tuple[str, list[State]]:
    """The policy domain of the reports that are asked for, empty for any, and their states. Raises BadQuery.

    Those that are sent to nobody may be many: they are only shown if they, or a domain, are asked for.
    """
    domain, state = given.get("domain", ""), given.get("state")
    try:
        domain = domain and str(Domain(domain))
    except BadDomain as error:
        raise BadQuery(f"domain: {domain!r} is not a domain name") from error
    if state is None:
        return domain, [each for each in State if domain or each is not State.DROPPED]
    if state not in list(State):
        raise BadQuery(f"state: expected one of {', '.join(State)}")
    return domain, [State(state)]


def since(text: str, now: float) -> float:
    """A time; a span such as ``2d`` means that long ago. Raises BadQuery."""
    try:
        return moment.since(text, now)
    except ValueError as error:
        raise BadQuery(str(error)) from error


def _conditions(given: dict[str, str], now: float) -> dict[str, Any]:
    found: dict[str, Any] = {name: since(given[name], now) for name in ("since", "until") if name in given}
    if "client" in given:
        try:
            found["client"] = ip_network(given["client"], strict=False)
        except ValueError as error:
            raise BadQuery(f"client: {given['client']!r} is not an IP address or a network") from error
    for name in ("author", "recipient"):
        if name in given:
            if not (domain := given[name].lower().rstrip(".")):
                raise BadQuery(f"{name}: {given[name]!r} is not a name")
            found[name] = domain
    for name, words in (("verdict", [*Action]), ("would", [*Action]), ("signing", SIGNINGS)):
        if name in given:
            if given[name] not in words:
                raise BadQuery(f"{name}: expected one of {', '.join(words)}")
            found[name] = given[name]
    if "rule" in given:
        found["rule"] = given["rule"]
    if results := tuple((method, given[method]) for method in METHODS if method in given):
        if unknown := [method for method, result in results if result not in list(Result)]:
            raise BadQuery(f"{unknown[0]}: expected one of {', '.join(Result)}")
        found["results"] = results
    return found


def _place(text: str) -> tuple[float, int] | None:
    if not text:
        return None
    if not (found := _PLACE.fullmatch(text)):
        raise BadQuery("before: this is not a place in the list")
    return float(found[1]), int(found[2])
