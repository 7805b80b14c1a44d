"""Where a domain receives mail: RFC 5321 section 5.1, RFC 7505; and the names of these addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from .. import iprev
from ..domain import BadDomain, Domain
from ..limits import Limits
from ..resolver import DnsTempError, Resolver
from ..result import Result
from .problem import Problem, error, note, warning

MAX_HOSTS = 20
MAX_ADDRESSES = 8  # of one host
NULL_MX = "."
_DEAD = "Give it an address, or remove the MX record."
_NOT_A_HOST = "Name a host in the MX record, and give that host the address."
_LISTED = 5  # of a kind, in one sentence
_UNREACHABLE = [
    ip_network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "224.0.0.0/3", "::/127", "fc00::/7", "fe80::/10", "ff00::/8",
    )
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """An address, and whether its name leads back to it, as in iprev (RFC 8601 section 3)."""

    address: str
    result: Result
    name: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """A host that receives mail; ``preference`` is None without an MX record. ``alias`` is the target of its CNAME.

    ``trouble`` is why some or all of its addresses are unknown.
    """

    name: str
    preference: int | None = None
    addresses: tuple[Address, ...] = ()
    alias: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Mx:
    """``kind``: ``mx``, ``null`` (it accepts no mail), ``implicit`` (its own address, without MX), ``none``, or
    ``unknown``; then ``trouble`` says why. Of ``count`` MX records, at most ``MAX_HOSTS`` are looked up.
    """

    kind: str
    hosts: tuple[Host, ...] = ()
    count: int = 0
    authentic: bool = False
    trouble: str = ""


def look(domain: Domain, resolve: Resolver, limits: Limits) -> Mx:
    """The hosts of a domain in order of preference, and all their addresses."""
    try:
        answer = resolve(domain, "MX")
    except DnsTempError as trouble:
        return Mx("unknown", trouble=str(trouble))
    records = sorted(
        (int(preference), name) for preference, _, name in (each.partition(" ") for each in answer.records)
    )
    if not records:
        itself = _host(domain, None, resolve, limits)
        kind = "implicit" if itself.addresses else "unknown" if itself.trouble else "none"
        return Mx(kind, (itself,) if itself.addresses else (), 0, answer.authentic, itself.trouble)
    if [name for _, name in records] == [NULL_MX]:
        return Mx("null", authentic=answer.authentic)
    hosts = tuple(_host(name, preference, resolve, limits) for preference, name in records[:MAX_HOSTS])
    return Mx("mx", hosts, len(records), answer.authentic)


def _host(name: str, preference: int | None, resolve: Resolver, limits: Limits) -> Host:
    if name == NULL_MX:
        return Host(name, preference)
    addresses, alias, trouble = [], "", ""
    for rdtype in ("A", "AAAA"):
        try:
            # DNS returns them in any order
            found = sorted(resolve(name, rdtype).records, key=ip_address)[:MAX_ADDRESSES]
        except DnsTempError as error:
            trouble = trouble or str(error)
            continue
        addresses += [_address(text, resolve, limits) for text in found]
    if preference is not None:
        with suppress(DnsTempError):
            alias = next(iter(resolve(name, "CNAME").records), "")
    return Host(name, preference, tuple(addresses), alias, trouble)


def _address(text: str, resolve: Resolver, limits: Limits) -> Address:
    found = iprev.check(ip_address(text), resolve, limits)
    return Address(text, found.result, found.name, found.reason)


def problems(found: Mx, *, sends_nothing: bool) -> Iterator[Problem]:
    """The problems of the MX records. ``sends_nothing``: SPF says that the domain sends no mail."""
    yield from _absent(found, sends_nothing=sends_nothing)
    yield from _null(found, sends_nothing=sends_nothing)
    if found.count > MAX_HOSTS:
        yield note("mx-many", f"Only the first {MAX_HOSTS} of {found.count} MX records were looked up.")
    for host in found.hosts:
        for rule in _HOST_RULES:
            yield from rule(host)
    yield from _names(found)


def _absent(found: Mx, *, sends_nothing: bool) -> Iterator[Problem]:
    """There is no MX record, or none is known."""
    if found.kind == "unknown":
        yield warning("mx-unknown", f"The MX records could not be looked up: {found.trouble}.")
    elif found.kind == "none" and sends_nothing:
        yield note("mx-none", "The domain receives no mail, but does not say so.", 'Publish the MX "0 .".', "RFC 7505")
    elif found.kind == "none":
        yield error(
            "mx-none",
            "The domain has no MX and no address: no reply or bounce reaches it, and many hosts refuse its mail.",
            'Publish an MX record; for a domain without mail, "0 .".',
            "RFC 5321 section 5.1",
        )
    elif found.kind == "implicit":
        what = "There is no MX record: mail goes to the address of the domain."
        yield note("mx-implicit", what, "", "RFC 5321 section 5.1")


def _null(found: Mx, *, sends_nothing: bool) -> Iterator[Problem]:
    if found.kind == "null" and not sends_nothing:
        yield warning(
            "mx-null-sender",
            "The domain accepts no mail (null MX), but its SPF does not say that it sends none.",
            'If it sends none, publish "v=spf1 -all". Many hosts refuse mail that nobody can reply to.',
            "RFC 7505 section 4.2",
        )
    if NULL_MX in [host.name for host in found.hosts]:
        yield error(
            "mx-null-and-others",
            "There is a null MX next to other MX records, where it has no meaning.",
            'Remove "0 .", or all the others.',
            "RFC 7505 section 3",
        )


def _host_unknown(host: Host) -> Iterator[Problem]:
    if host.trouble:
        yield warning("mx-host-unknown", f"Addresses of {host.name} could not be looked up: {host.trouble}.")


def _host_dead(host: Host) -> Iterator[Problem]:
    if host.trouble or host.addresses or host.name == NULL_MX:
        return
    if _is_address(host.name):
        what, do = f"The MX record names an address, {host.name}, not a host.", _NOT_A_HOST
        yield error("mx-address", what, do, "RFC 5321 section 5.1")
    else:
        what = f"The MX host {host.name} has no address: no mail reaches it."
        yield error("mx-dead", what, _DEAD, "RFC 5321 section 5.1")


def _host_alias(host: Host) -> Iterator[Problem]:
    if host.alias:
        what = f"The MX host {host.name} is an alias (CNAME) of {host.alias}."
        yield warning("mx-alias", what, "Name the host itself in the MX record.", "RFC 2181 section 10.3")


def _host_unreachable(host: Host) -> Iterator[Problem]:
    if unreachable := [each.address for each in host.addresses if _is_unreachable(each.address)]:
        what = f"{host.name} has an address that nobody can reach: {', '.join(unreachable[:_LISTED])}."
        do = "Remove it, or name a host that can be reached from everywhere."
        yield error("mx-unreachable", what, do, "RFC 5321 section 5.1")


_HOST_RULES: list[Callable[[Host], Iterable[Problem]]] = [_host_unknown, _host_dead, _host_alias, _host_unreachable]


def _names(found: Mx) -> Iterator[Problem]:
    addresses = {each.address: each for host in found.hosts for each in host.addresses}
    nameless = [
        f"{each.address} ({each.name or 'none'})"
        for each in addresses.values()
        if each.result in (Result.PERMERROR, Result.FAIL) and not _is_unreachable(each.address)
    ]
    if nameless:
        yield note(
            "mx-name",
            f"No name (PTR) leads back to {_listed(nameless)}.",
            "This matters if these hosts also send mail: many receivers refuse such clients.",
            "RFC 8601 section 3",
        )


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + more


def _is_address(name: str) -> bool:
    try:
        return Domain(name).labels[-1].isdigit() or ":" in name
    except BadDomain:
        return ":" in name


def _is_unreachable(address: str) -> bool:
    return any(ip_address(address) in network for network in _UNREACHABLE)
