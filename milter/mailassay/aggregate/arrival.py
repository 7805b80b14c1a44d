"""What a message means for reports: what it adds to one, whom this host knows by it, and which reports came back."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import return_path
from ..dmarc.suffix import registrable
from ..domain import BadDomain, Domain
from ..result import Result
from ..verdict import Action, Kind
from .row import Added, added, is_null

# what a record that is none raises
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OSError, RecursionError)


class Unfit(ValueError):
    """A record does not have what reports need."""


class Arrival(NamedTuple):
    """What one message means.

    ``passed`` are the registrable domains of an author whose message passed DMARC and was accepted, and of the policy
    domain. ``written`` are those to which a user of this host wrote. ``returned`` are the tokens of the return paths of
    our reports to which it is a bounce.
    """

    added: Added | None = None
    passed: tuple[Domain, ...] = ()
    written: tuple[Domain, ...] = ()
    returned: tuple[str, ...] = ()


def arrival(record: dict[str, Any], sender: str) -> Arrival:
    """What the record of a message means. ``sender`` is the address of our reports. Raises Unfit."""
    try:
        returned = tuple(_returned(record, sender))
        if record["kind_of_rule"] == Kind.UNJUDGED:
            return Arrival(written=tuple(_written(record, sender)), returned=returned)
        return Arrival(added(record, sender), tuple(_passed(record)), (), returned)
    except _WRONG as error:
        raise Unfit(f"{type(error).__name__}: {error}") from error


def _returned(record: dict[str, Any], sender: str) -> dict[str, None]:
    # one that is refused tells as much: nobody else knows the token
    if record["verdict"] == Action.DEFER or not is_null(record):
        return {}
    tokens = (return_path.token(each, sender) for each in record["recipients"])
    return dict.fromkeys(each for each in tokens if each)


def _written(record: dict[str, Any], sender: str) -> dict[Domain, None]:
    if not record["mail_from"] or return_path.is_ours(record["mail_from"], sender):
        return {}
    found: dict[Domain, None] = {}
    for each in record["recipients"]:
        _, at, domain = each.rpartition("@")
        try:
            if at:
                found[registrable(Domain(domain))] = None
        except BadDomain:
            # an address literal, or what a client wrote in its place
            continue
    return found


def _passed(record: dict[str, Any]) -> dict[Domain, None]:
    evidence = record.get("evidence")
    if not evidence or evidence["dmarc"]["result"] != Result.PASS or record["verdict"] != Action.ACCEPT:
        return {}
    found = evidence["dmarc"]
    # the record of a public suffix is above the author's registrable domain
    return dict.fromkeys(registrable(Domain(each)) for each in (found["header_from"], found["found_at"]) if each)
