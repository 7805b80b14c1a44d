"""A record as rows: of the message, of its recipients, and what it adds to the counts of its hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..evidence import limits
from ..history import service
from ..result import METHODS
from . import keys
from .packed import pack

HOUR = 3600
_DAY = 86_400
_OLDEST = 10 * 365 * _DAY  # no history goes back further
# seconds; the last bucket has all that took longer
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
SEPARATOR = "\t"  # between the parts of a key; no domain, address or word has one
COUNTED = tuple(each for method in METHODS for each in ((method, "spf_helo") if method == "spf" else (method,)))
"""The methods whose results are counted, in the order in which they are shown; SPF once for each of its identities."""
SIGNED, UNSIGNED = "signed", "unsigned:"
"""In the column ``dkim``, of mail that is not judged; after the second comes why."""
OF_SENDERS = ("author", "source", "source_of", "unanswered")  # kinds of counts whose keys senders choose
# octets of a text, and of one of our words: PostgreSQL's indexes take 2,704, and some have several of them
_MOST, _WORD = 800, 80
# from the best to the worst, for a message with several signatures
_DKIM = ("pass", "policy", "neutral", "fail", "temperror", "permerror", "none")


# what a record that is none raises
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Rows(NamedTuple):
    """The rows of one message, without the number that the database gives it."""

    message: dict[str, Any]
    recipients: list[str]
    """their keys"""
    counts: list[tuple[int, str, str, str]]
    """hour, host, kind and key, each to be counted once"""


class Unfit(ValueError):
    """A line is no record that this version can read."""


def rows(record: dict[str, Any], line: bytes, arrived: float | None = None) -> Rows:
    """The rows of a record of a message, with its line in the spool. Raises Unfit.

    ``arrived`` is when it arrived in the collector, in seconds since 1970.
    If the clock of its host was wrong by years, it is found, and deleted, among those that arrived with it.
    """
    message, recipients, _ = searched(record)
    try:
        message["record"] = pack(line)
        if arrived is not None and not arrived - _OLDEST < message["time"] < arrived + _DAY:
            message["time"] = arrived
        hour, host = int(message["time"]) // HOUR, message["host"]
        counts = [(hour, host, kind, key) for kind, key in _counts(record, message)]
    except _WRONG as error:
        raise Unfit(f"{type(error).__name__}: {error}") from error
    return Rows(message, recipients, counts)


def searched(record: dict[str, Any]) -> Rows:
    """The rows as far as a search needs them: without the packed record and the counts. Raises Unfit."""
    try:
        message = _message(record)
        recipients = [keys.of_address(each) for each in record["recipients"]]
    except _WRONG as error:
        raise Unfit(f"{type(error).__name__}: {error}") from error
    return Rows(message, list(dict.fromkeys(recipients)), [])


def others(kind: str, key: str) -> str:
    """The key that takes the place of one too many: all parts that a sender chooses are empty."""
    parts = key.split(SEPARATOR)
    ours = {"author": len(parts) - 1, "unanswered": 0}.get(kind)
    return SEPARATOR.join(part if place == ours else "" for place, part in enumerate(parts))


def of_said(said: service.Said) -> dict[tuple[int, str, str, str], int]:
    """What a line of a process of the service adds to the counts: hour, host, kind and key."""
    if not isinstance(said, service.Worker):
        return {}
    place = int(said.time) // HOUR, _text(said.host), "dns"
    return {(*place, key): many for key, many in (("sent", said.dns_sent), ("failed", said.dns_failed)) if many}


def _message(record: dict[str, Any]) -> dict[str, Any]:
    evidence = record.get("evidence")
    found: dict[str, Any] = {
        "time": _number(record["time"]),
        "seconds": _number(record["seconds"]),
        "author": _text(evidence["dmarc"]["header_from"] or "") if evidence else "",
        "name": _text(evidence["iprev"]["name"]) if evidence else "",
    }
    of_checks = results(record)
    for method in METHODS:
        found[method] = of_checks.get(method, "")
    outgoing = signing(record)
    found["dkim"] = found["dkim"] or outgoing
    for key in ("verdict", "would"):
        found[key] = _text(record[key], _WORD)
    for key in ("host", "queue_id", "message_id", "client", "helo", "mail_from", "rule"):
        found[key] = _text(record[key])
    found["message_id"] = keys.of_message_id(found["message_id"])
    found["author_key"] = keys.of_domain(found["author"])
    found["client_key"] = keys.of_client(found["client"])
    found["mail_from_key"] = keys.of_address(found["mail_from"])
    if not 0 <= found["time"] < 1 << 40 or not 0 <= found["seconds"] < 1 << 40:
        raise ValueError("no time")
    return found


def results(record: dict[str, Any]) -> dict[str, str]:
    """The result of each of ``COUNTED``, one for all signatures of DKIM; nothing if the message was not judged."""
    evidence = record.get("evidence")
    if not evidence:
        return {}
    of_helo = evidence["spf_helo"]
    found = {method: evidence[method]["result"] for method in ("iprev", "arc", "dmarc")}
    found["spf"] = (evidence["spf_mail_from"] or of_helo)["result"]
    found["spf_helo"] = of_helo["result"]
    # the best one counts
    found["dkim"] = min((each["result"] for each in evidence["dkim"]), key=_rank, default="none")
    return {method: _text(found[method], _WORD) for method in COUNTED}


def signing(record: dict[str, Any]) -> str:
    """What became of mail that is not judged: ``signed``, or ``unsigned:`` and why; empty if nothing signs."""
    if record.get("signed_by"):
        return SIGNED
    return f"{UNSIGNED}{_text(record['unsigned'], _WORD)}" if record.get("unsigned") else ""


def _rank(result: str) -> int:
    return _DKIM.index(result) if result in _DKIM else len(_DKIM)


def _counts(record: dict[str, Any], message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is counted: its kind, and the key of that kind."""
    yield "verdict", SEPARATOR.join((message["verdict"], message["would"]))
    yield from _signatures(record)
    if record["kind_of_rule"] == "unjudged":
        yield "unjudged", message["rule"]
        return
    yield "rule", SEPARATOR.join((message["rule"], message["verdict"], message["would"]))
    for each in record["monitored"]:
        yield "monitored", _text(each)
    evidence = record.get("evidence")
    if not evidence:
        return
    of_checks = message | {"spf_helo": _text(evidence["spf_helo"]["result"], _WORD)}
    for method in COUNTED:
        yield "result", SEPARATOR.join((method, of_checks[method]))
    yield "seconds", str(next((each for each in BUCKETS if message["seconds"] <= each), "inf"))
    for each in limits(_limits(evidence)):
        yield "limit", _text(each)
    if message["author"]:
        yield "author", SEPARATOR.join((message["author"], message["dmarc"]))
    for method, domain in dict.fromkeys(_unanswered(evidence, message)):
        yield "unanswered", SEPARATOR.join((method, domain))
    if message["dmarc"] == "fail":
        yield "source", SEPARATOR.join((message["client"], message["name"]))
        yield "source_of", SEPARATOR.join((message["author"], message["client"], message["name"]))


def _signatures(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Whether outgoing mail was signed, once a message; and by which keys, once a key."""
    if record.get("signed_by"):
        # the algorithms together, so that messages can be counted too
        yield "signed", ",".join(_texts(record.get("signed_with") or []))
        for each in _texts(record["signed_by"]):
            yield "signed_by", each
    elif record.get("unsigned"):
        yield "unsigned", _text(record["unsigned"], _WORD)


def _texts(found: object) -> Iterable[str]:
    """The different texts of a list. Raises TypeError."""
    if not isinstance(found, list):
        raise TypeError(f"expected a list, found {type(found).__name__}")
    return dict.fromkeys(map(_text, found))


def _limits(evidence: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The limit of each result, in the order of ``evidence.Evidence.limits``."""
    for method, key in (("iprev", "iprev"), ("spf_helo", "spf_helo"), ("spf", "spf_mail_from")):
        yield method, evidence[key]["limit"] if evidence[key] else ""
    for each in evidence["dkim"]:
        yield "dkim", each["limit"]
    if sender := evidence["sender_domain"]:
        yield "sender_domain", sender["limit"]


def _unanswered(evidence: dict[str, Any], message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The checks that DNS gave no answer, and about whom they asked."""
    if message["iprev"] == "temperror":
        yield "iprev", message["client"]
    if message["spf"] == "temperror":
        # of a null reverse-path, SPF checks the HELO name
        yield "spf", _text((evidence["spf_mail_from"] or evidence["spf_helo"])["domain"])
    if (sender := evidence["sender_domain"]) and sender["result"] == "temperror":
        yield "sender_domain", _text(sender["domain"])
    for each in evidence["dkim"]:
        if each["result"] == "temperror":
            yield "dkim", _text(each["domain"] or "")
    if message["dmarc"] == "temperror":
        yield "dmarc", message["author"]


def _number(found: object) -> float:
    """A number for a column. Raises TypeError."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"expected a number, found {type(found).__name__}")
    return float(found)


def _text(found: object, most: int = _MOST) -> str:
    """Text for a column: what both databases take, and no longer than can be indexed. Raises TypeError."""
    if not isinstance(found, str):
        raise TypeError(f"expected a text, found {type(found).__name__}")
    if len(found) <= most and found.isascii() and found.isprintable():
        return found
    text = found.replace("\0", "\ufffd").replace(SEPARATOR, " ")
    # half a surrogate pair becomes "?"
    return text.encode(errors="replace")[:most].decode(errors="ignore")
