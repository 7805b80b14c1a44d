"""Gathers the facts about the DMARC reports that this host sends. Changes nothing."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator

from ..config import Listen, Settings
from ..config.mynetworks import tokens
from ..feedback.ourselves import Alignment, alignment
from ..nameservers import Nameservers, system_nameservers
from ..ping import connected
from ..postfix.configuration import NoPostfix, Postfix, beginning, looked_up, parameters, run
from ..resolver import Cached, Method, Shared
from .facts import Reporting
from .own import PARAMETERS
from .signed_reports import sending
from .system import SYSTEMD, this_system

TIMER = "mailassay-reports.timer"
_PATIENCE = 5.0  # seconds to wait for each thing
_PATIENCE_WITH_DNS = 15.0
_GREETING = b"220"  # RFC 5321 section 4.2
# the recipients of each kind of domain; all recipients, if the parameter is empty
_RECIPIENTS = {
    "mydestination": "local_recipient_maps",
    "virtual_alias_domains": "virtual_alias_maps",
    "virtual_mailbox_domains": "virtual_mailbox_maps",
    "relay_domains": "relay_recipient_maps",
}


def reporting(settings: Settings, postfix: Postfix, until: float, unseen: list[str], *, dns: bool) -> Reporting | None:
    """The reports; None if none are sent. ``dns``: a name server answers."""
    reports = settings.reports
    if not reports.sender:
        return None
    takes, knows = None, None
    try:
        takes, knows = _delivers(postfix, until, reports.sender)
    except (NoPostfix, OSError) as error:
        unseen.append(f"whether Postfix takes mail for {reports.sender}: {error}")
    return Reporting(
        alignment=_alignment(settings, postfix) if dns else None,
        takes=takes,
        knows=knows,
        silence=_greeted(Listen("inet", host=reports.smtp.host, port=reports.smtp.port)),
        timer=_is_enabled(TIMER) if this_system().manager is SYSTEMD else None,
    )


def _alignment(settings: Settings, postfix: Postfix) -> Alignment:
    """Would a report pass DMARC? Raises ConfigError if resolv.conf(5) is needed and cannot be used."""
    limits = settings.policy.limits
    nameservers = Nameservers(settings.dns.nameservers or system_nameservers(), settings.dns.timeout, limits)
    try:
        share = Shared(Cached(nameservers, settings.dns.cache_size)).of(Method.LOOKUP)
        return alignment(sending(settings, postfix), share.resolver(time.monotonic() + _PATIENCE_WITH_DNS), limits)
    finally:
        nameservers.close()


def _delivers(postfix: Postfix, until: float, sender: str) -> tuple[bool, bool | None]:
    """Does Postfix take mail for the domain of an address, and does it know the address? Raises NoPostfix, OSError."""
    local_part, _, domain = sender.rpartition("@")
    names = (*PARAMETERS, *_RECIPIENTS.values(), "luser_relay")
    values = parameters(run("postconf", postfix.folder, until, "-x", *names))
    keys = (sender, local_part, f"@{domain}")
    for parameter in PARAMETERS:
        value = values.get(parameter, "")
        if not any(_has(postfix, until, each, domain, parameter) for each in tokens(value)):
            continue
        recipients = values.get(_RECIPIENTS[parameter], "")
        if parameter == "mydestination" and values.get("luser_relay"):
            return True, True
        if not recipients and parameter != "virtual_alias_domains":
            return True, True
        tables = tokens(f"{recipients} {values.get('virtual_alias_maps', '')}")
        return True, any(_found(postfix, until, table, key) for table in tables for key in keys)
    return False, None


def _has(postfix: Postfix, until: float, token: str, domain: str, parameter: str) -> bool:
    """Is the domain an element of the list, or in a file or table that is one?"""
    if token.startswith("/"):
        return domain in {word.lower() for word in _words(token)}
    if ":" in token and not token.startswith("["):
        return _found(postfix, until, token, domain)
    name = token.lower()
    # postconf(5), parent_domain_matches_subdomains
    return name == domain or (parameter == "relay_domains" and domain.endswith(f".{name.removeprefix('.')}"))


def _words(path: str) -> Iterator[str]:
    for line in beginning(path).split("\n"):
        if not line.startswith("#"):
            yield from tokens(line)


def _found(postfix: Postfix, until: float, table: str, key: str) -> bool:
    return bool(looked_up(postfix.folder, until, table.removeprefix("proxy:"), key))


def _greeted(listen: Listen) -> str:
    """Why no SMTP server answers there; empty if one does."""
    try:
        with connected(listen, _PATIENCE) as channel:
            greeting = channel.recv(1024)
            channel.sendall(b"QUIT\r\n")
    except OSError as error:
        return f"{error.strerror or error}".lower()
    return "" if greeting.startswith(_GREETING) else "no SMTP server answers there"


def _is_enabled(timer: str) -> bool | None:
    """Does systemd start the timer with the machine? None if it does not say so."""
    if not (program := shutil.which("systemctl")):
        return None
    try:
        done = subprocess.run(
            [program, "is-enabled", timer], capture_output=True, text=True, errors="replace", timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.startswith("enabled")
