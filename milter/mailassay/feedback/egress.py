"""From which addresses the mail of this host reaches others: as configured, or as Postfix and the kernel have it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address

from ..address import Address, client
from ..config import Settings
from ..config.mynetworks import tokens
from ..postfix.configuration import NoPostfix, Postfix, Service, examined
from .ourselves import Sending

# a root name server, to which nothing is sent; the kernel only says how it would reach it
_OTHERS = {4: (socket.AF_INET, "198.41.0.4"), 6: (socket.AF_INET6, "2001:503:ba3e::2:30")}
_PORT = 53
_SET = "Set reports.egress to the addresses that others see"


def sending(settings: Settings, until: float) -> Sending:
    """How this host sends its reports. Asks Postfix; ``until``, by the monotonic clock, limits its commands."""
    if settings.reports.egress:
        return of_postfix(settings, None)
    try:
        return of_postfix(settings, examined(None, until))
    except NoPostfix as error:
        return _unknown(settings, f"Postfix cannot be asked ({error})")


def of_postfix(settings: Settings, postfix: Postfix | None) -> Sending:
    """How this host sends its reports, if this is its Postfix."""
    sender = settings.reports.sender or ""
    helo = (postfix.value("smtp_helo_name") or postfix.value("myhostname")) if postfix else ""
    helo = helo or socket.gethostname()
    if settings.reports.egress:
        return Sending(sender, settings.reports.egress, helo)
    if postfix is None:
        return _unknown(settings, "Postfix cannot be asked")
    transport, _, next_hop = postfix.value("default_transport").partition(":")
    if relay := postfix.value("relayhost") or next_hop:
        return _unknown(settings, f"Postfix gives its mail to {relay}, which sends it on")
    if postfix.value("sender_dependent_relayhost_maps"):
        return _unknown(settings, "Postfix chooses a relay by the sender (sender_dependent_relayhost_maps)")
    service = next((each for each in postfix.services if each.name == transport), None)
    if service is None or service.program != "smtp":
        return _unknown(settings, f"the transport {transport or 'of Postfix'} is not smtp(8)")
    found = tuple(_addresses(postfix, service))
    if not found:
        return _unknown(settings, "this host has no route to others")
    for each in found:
        if not each.is_global:
            return _unknown(settings, f"mail leaves from {each}, which others do not see")
    return Sending(sender, found, helo)


def _unknown(settings: Settings, why: str) -> Sending:
    return Sending(settings.reports.sender or "", unknown=why, fix=_SET)


def _addresses(postfix: Postfix, service: Service) -> Iterator[Address]:
    """The source address of each protocol that Postfix uses: one that it is bound to, or the kernel's choice."""
    protocols = postfix.value("inet_protocols", service).lower()
    for version, parameter in ((4, "smtp_bind_address"), (6, "smtp_bind_address6")):
        if protocols and "all" not in protocols and f"ipv{version}" not in protocols:
            continue
        if found := _bound(postfix, service, parameter, version) or _of_kernel(version):
            yield found


def _bound(postfix: Postfix, service: Service, parameter: str, version: int) -> Address | None:
    """The address to which Postfix binds its client; None if it leaves the choice to the kernel (postconf(5))."""
    if found := _address(postfix.value(parameter, service), version):
        return found
    # also if it listens on one address only
    listens = [
        each for token in tokens(postfix.value("inet_interfaces", service)) if (each := _address(token, version))
    ]
    return listens[0] if len(listens) == 1 else None


def _address(text: str, version: int) -> Address | None:
    try:
        found = ip_address(text.strip("[]"))
    except ValueError:
        return None
    return None if found.version != version or found.is_unspecified or found.is_loopback else found


def _of_kernel(version: int) -> Address | None:
    """The source address by which the kernel would reach others; None without a route."""
    family, other = _OTHERS[version]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as channel:
            channel.connect((other, _PORT))
            return client(channel.getsockname()[0])
    except OSError:
        return None
