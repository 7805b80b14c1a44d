"""DNS as data: a zone file that answers questions, for ``check --zone``, the demo and the tests.

A file has one record a line. Outside quotes, ``#`` or ``;`` begins a comment::

    mx.example              A     192.0.2.1
    1.2.0.192.in-addr.arpa  PTR   mx.example
    example.com             MX    10 mx.example
    example.com             TXT   "v=spf1 " "mx -all"     # character-strings, joined without space
    www.example.com         CNAME example.com
    *.wild.example          A     192.0.2.9
    broken.example          TXT   !                        # SERVFAIL
    slow.example            TXT   ?                        # no answer
    there.example           -                              # exists, and has no records
    example.com             NS    ns1.example.com
    example.com             SOA   ns1.example.com admin.example.com 1 7200 900 1209600 3600

A file that begins with ``{`` is JSON: ``{owner: {type: [values]}}``. A TXT value may be a list of character-strings,
and an MX value ``[preference, host]``. ``"SERVFAIL"`` or ``"TIMEOUT"`` may take the place of the values. The type ``*``
stands for every type that is not named.
"""

from __future__ import annotations

import json
import re
from bisect import insort
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from socket import AF_INET6, inet_ntop
from typing import Any

from .domain import MAX_LABEL, MAX_OCTETS
from .limits import Limits
from .resolver import Answer, DnsLimit, DnsTempError, Question, bounded

DEFAULT_TTL = 300
MAX_CNAMES = 10
MAX_PREFERENCE = 65535
MAX_STRING = 255  # octets of one character-string (RFC 1035 section 3.3)
# octets of the rest of a response; each record has a type, class, TTL and length
_HEADER, _RECORD, _EDNS = 12, 10, 11
_FARTHEST = 0x4000  # a compression pointer cannot refer to this offset or beyond
_TYPES = {"A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "TXT"}
_TROUBLES = {"!": "SERVFAIL", "?": "TIMEOUT"}
_WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"#;]\S*))')
_COMMENT = re.compile(r"\s*(?:[#;].*)?")
_MX = re.compile(r"([0-9]{1,5}) +(\S*)")
_SOA = re.compile(r"(\S+) (\S+)((?: [0-9]{1,10}){5})")
_MAX_NUMBER = 2**32 - 1


class ZoneError(ValueError):
    """A line that cannot be read. The text is ``path:line: what is wrong``."""

    def __init__(self, path: str, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")


@dataclass(frozen=True, slots=True)
class Found:
    """What a zone has for a question: the CNAMEs that lead there (owner, target), and the records or a failure.

    ``trouble`` is ``SERVFAIL``, ``TIMEOUT`` or empty. ``exists`` is False if the last name does not exist.
    """

    cnames: tuple[tuple[str, str], ...] = ()
    records: tuple[str, ...] = ()
    exists: bool = True
    trouble: str = ""


class Zone:
    """A zone as a source of answers. Names are compared without regard to case.

    If an answer exceeds ``dns_octets`` or ``dns_records`` of ``limits``, it is a DnsLimit, as it is from the network.
    """

    def __init__(self, text: str, path: str = "zone", ttl: int = DEFAULT_TTL, *, limits: Limits) -> None:
        """Read a zone. ``path`` is for error messages, ``ttl`` in seconds. Raises :class:`ZoneError`."""
        self.ttl, self._limits = ttl, limits
        self._names: dict[str, dict[str, list[str]]] = {}
        self._troubles: dict[tuple[str, str], str] = {}
        if text.lstrip().startswith("{"):
            self._read_json(text, path)
        else:
            for number, line in enumerate(text.split("\n"), 1):
                try:
                    self._read_line(line)
                except ValueError as error:
                    raise ZoneError(path, number, str(error)) from error
        # every name above another exists as well (RFC 8020)
        for name in list(self._names):
            labels = name.split(".")
            for at in range(1, len(labels)):
                self._names.setdefault(".".join(labels[at:]), {})

    @classmethod
    def load(cls, path: str, ttl: int = DEFAULT_TTL, *, limits: Limits) -> Zone:
        """Read a zone file. Raises :class:`ZoneError` and OSError."""
        try:
            return cls(Path(path).read_text("utf-8"), path, ttl, limits=limits)
        except UnicodeDecodeError as error:
            raise ZoneError(path, 1, "the file is not UTF-8") from error

    def __call__(self, question: Question) -> Future[Answer]:
        future: Future[Answer] = Future()
        found = self.lookup(question.name, question.rdtype)
        if found.trouble:
            word = "time-out" if found.trouble == "TIMEOUT" else found.trouble
            future.set_exception(DnsTempError(f"{question.name} {question.rdtype}: {word}"))
            return future
        try:
            bounded(_octets(question, found), len(found.cnames) + len(found.records), self._limits)
        except DnsLimit as limit:
            future.set_exception(limit)
        else:
            future.set_result(Answer(found.records, found.exists, self.ttl, authoritative=True))
        return future

    def lookup(self, name: str, rdtype: str) -> Found:
        """What the zone has for a name and type. CNAMEs are followed inside the zone."""
        name = name.lower().removesuffix(".")
        cnames: list[tuple[str, str]] = []
        while True:
            owner = self._owner(name)
            if owner is None:
                return Found(tuple(cnames), exists=False)
            types = self._names[owner]
            trouble = self._troubles.get((owner, rdtype))
            if not trouble and rdtype not in types:
                trouble = self._troubles.get((owner, "*"))
            if trouble:
                return Found(tuple(cnames), trouble=trouble)
            target = types.get("CNAME", [""])[0]
            if rdtype in types or not target:
                return Found(tuple(cnames), tuple(types.get(rdtype, ())))
            if len(cnames) == MAX_CNAMES or any(target == seen for seen, _ in cnames):
                return Found((*cnames, (name, target)))
            cnames.append((name, target))
            name = target

    def _owner(self, name: str) -> str | None:
        """The name itself, or the wildcard that matches it (RFC 4592); None if the name does not exist."""
        if not _is_possible(name):
            return None
        if name in self._names:
            return name
        labels = name.split(".")
        for at in range(1, len(labels)):
            above = ".".join(labels[at:])
            if f"*.{above}" in self._names:
                return f"*.{above}"
            if above in self._names:
                return None
        return None

    def _read_line(self, line: str) -> None:
        words = _words(line)
        if not words:
            return
        (owner, _), *rest = words
        name = owner.lower().removesuffix(".")
        if rest == [("-", False)]:
            self._names.setdefault(name, {})
            return
        if len(rest) < 2:
            raise ValueError("expected: name, type, value")
        rdtype = rest[0][0].upper()
        values = rest[1:]
        if rdtype not in _TYPES and rdtype != "*":
            raise ValueError(f"type {rdtype} is not one of {', '.join(sorted(_TYPES))}")
        if values in ([("!", False)], [("?", False)]):
            self._troubles[name, rdtype] = _TROUBLES[values[0][0]]
            self._names.setdefault(name, {})
        elif rdtype == "*":
            raise ValueError("the type * takes only ! or ?")
        elif rdtype == "TXT":
            quoted = any(quoted for _, quoted in values)
            self._add(name, rdtype, ("" if quoted else " ").join(text for text, _ in values))
        else:
            self._add(name, rdtype, " ".join(text for text, _ in values))

    def _read_json(self, text: str, path: str) -> None:
        try:
            names: Mapping[str, Mapping[str, Any]] = json.loads(text)
            for owner, types in names.items():
                name = owner.lower().removesuffix(".")
                self._names.setdefault(name, {})
                for rdtype, values in types.items():
                    if not isinstance(values, str | list):
                        raise TypeError(f"{owner} {rdtype} is not a list")
                    for value in [values] if isinstance(values, str) else values:
                        self._add_json(name, rdtype.upper(), value)
        except json.JSONDecodeError as error:
            raise ZoneError(path, error.lineno, error.msg) from error
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise ZoneError(path, 1, f"not {{owner: {{type: [values]}}}}: {error}") from error

    def _add_json(self, name: str, rdtype: str, value: Any) -> None:
        if value in ("SERVFAIL", "TIMEOUT"):
            self._troubles[name, rdtype] = value
        elif rdtype in _TYPES:
            parts = value if isinstance(value, list) else [value]
            if not all(isinstance(part, str | int) for part in parts):
                raise TypeError(f"{name} {rdtype} cannot be {value!r}")
            self._add(name, rdtype, ("" if rdtype == "TXT" else " ").join(map(str, parts)))

    def _add(self, name: str, rdtype: str, value: str) -> None:
        records = self._names.setdefault(name, {}).setdefault(rdtype, [])
        # a set: DNS has no record twice (RFC 2181 section 5)
        if (record := _record(rdtype, value)) not in records:
            insort(records, record)


def _octets(question: Question, found: Found) -> int:
    """The size of the response that a server would send, with EDNS and compressed names (RFC 1035 section 4.1.4)."""
    size, seen = _HEADER, set[bytes]()

    def put(name: str, more: int) -> None:
        """Add a name, and ``more`` octets after it."""
        nonlocal size
        rest = b"" if name == "." else name.encode("utf-8", "surrogatepass").lower()
        while rest and rest not in seen:
            if size < _FARTHEST:
                seen.add(rest)
            label, _, rest = rest.partition(b".")
            size += 1 + len(label)
        size += (2 if rest else 1) + more

    put(question.name, 4)
    owner = question.name
    for _, target in found.cnames:
        put(owner, _RECORD)
        put(target, 0)
        owner = target
    for record in found.records:
        put(owner, _RECORD)
        match question.rdtype:
            case "A":
                size += 4
            case "AAAA":
                size += 16
            case "TXT":
                size += len(record) + max(1, -(-len(record) // MAX_STRING))
            case "SOA":
                size += 20
                for name in record.split(" ")[:2]:
                    put(name, 0)
            case "MX":
                size += 2
                put(record.partition(" ")[2], 0)
            case _:
                put(record, 0)
    return size + _EDNS


def _words(line: str) -> list[tuple[str, bool]]:
    """The words of a line, each with whether it was quoted."""
    words = []
    at = 0
    while match := _WORD.match(line, at):
        quoted, plain = match.groups()
        words.append((re.sub(r"\\(.)", r"\1", quoted), True) if plain is None else (plain, False))
        at = match.end()
    if not _COMMENT.fullmatch(line, at):
        raise ValueError("a quote is not closed")
    return words


def _record(rdtype: str, value: str) -> str:
    """A value in the form that ``Answer`` uses. Raises ValueError if the type cannot have it."""
    match rdtype:
        case "A":
            return str(IPv4Address(value))
        case "AAAA":
            # the form that the network source gives: ::ffff:192.0.2.1
            return inet_ntop(AF_INET6, IPv6Address(value).packed)
        case "TXT":
            return value.encode("utf-8", "surrogatepass").decode("latin-1")
        case "MX":
            if not (match := _MX.fullmatch(value)) or int(match[1]) > MAX_PREFERENCE:
                raise ValueError(f"expected: preference and host, found {value!r}")
            return f"{int(match[1])} {_host(match[2])}"
        case "SOA":
            match = _SOA.fullmatch(value)
            numbers = [int(each) for each in match[3].split()] if match else []
            if not match or max(numbers) > _MAX_NUMBER:
                raise ValueError(f"expected: server, address and five numbers, found {value!r}")
            return " ".join([_host(match[1]), _host(match[2]), *map(str, numbers)])
        case _:
            return _host(value)


def _host(text: str) -> str:
    return text.lower().removesuffix(".") or "."


def _is_possible(name: str) -> bool:
    """Does DNS allow the length of the name and of each label (RFC 1035 section 2.3.4)?"""
    labels = [label.encode("utf-8", "surrogatepass") for label in name.split(".")]
    return all(0 < len(label) <= MAX_LABEL for label in labels) and len(b".".join(labels)) <= MAX_OCTETS
