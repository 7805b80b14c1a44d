"""Which keys sign the DMARC reports of this host: those of their domain, if Postfix shows the reports to mailassay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from ..config import Settings
from ..config.mynetworks import tokens, trusted
from ..domain import Domain
from ..feedback.egress import of_postfix
from ..feedback.ourselves import Sending
from ..message import Field, Headers
from ..postfix.configuration import Postfix, Service
from ..sign import SigningKey, Submission
from ..sign.who import signer
from .facts import Facts
from .wiring import AFTER_SIGNING, our_entry

_NAMES = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}  # of services, by their ports
# what keeps a milter from seeing a message, or may change it later
_UNSURE = ("content_filter", "smtpd_proxy_filter", "smtpd_milter_maps")


def sending(settings: Settings, postfix: Postfix) -> Sending:
    """How this host sends its reports, and the keys that sign them."""
    return replace(of_postfix(settings, postfix), keys=signing_keys(settings, postfix))


def signing_keys(settings: Settings, postfix: Postfix) -> tuple[SigningKey, ...]:
    """The keys that certainly sign the reports; none if that is in doubt."""
    sender = settings.reports.sender
    if not sender or not settings.signing_keys:
        return ()
    limits = settings.policy.limits
    header = Headers([Field(b"From", f" {sender}".encode())])
    found = signer(header, Submission(sender, local=True), settings.sign, limits)
    if found.domain is None or found.why or not _is_ours(settings, postfix) or not _is_shown(settings, postfix):
        return ()
    return settings.signing_keys.get(Domain(found.domain), ())


def _is_ours(settings: Settings, postfix: Postfix) -> bool:
    """Is mail from our own address not judged?"""
    networks = settings.trusted_networks
    if networks is None:
        networks = trusted(postfix.value("mynetworks"))
    client = ip_address("::1" if ":" in settings.reports.smtp.host else "127.0.0.1")
    is_relay = any(client in each for each in settings.relays.networks.networks)
    return not is_relay and any(client in each for each in networks)


def _is_shown(settings: Settings, postfix: Postfix) -> bool:
    """Does Postfix show us what comes in where reports are handed over, and change nothing in it later?"""
    place = settings.listen.path
    facts = Facts(settings=settings, postfix=postfix, real={each: os.path.realpath(each) for each in (place,) if each})
    services = _services(postfix, settings.reports.smtp.port)
    changes = any(
        postfix.value(name, each) for name in AFTER_SIGNING for each in postfix.services if each.program == "smtp"
    )
    return bool(services) and not changes and all(_asks_us(facts, each) for each in services)


def _asks_us(facts: Facts, service: Service) -> bool:
    postfix = facts.postfix
    found = our_entry(facts, service)
    return (
        found is not None
        and found.reached
        and "no_milters" not in tokens(postfix.value("receive_override_options", service))
        and not any(postfix.value(name, service) for name in _UNSURE)
    )


def _services(postfix: Postfix, port: int) -> Sequence[Service]:
    """The smtpd services at a port; behind postscreen(8), the one to which it passes its clients."""
    there = [
        each for each in postfix.services if each.kind == "inet" and str(_NAMES.get(each.port, each.port)) == str(port)
    ]
    if any(each.program == "postscreen" for each in there):
        return [each for each in postfix.services if each.kind == "pass" and each.program == "smtpd"]
    return there if all(each.program == "smtpd" for each in there) else []
