"""The mail domains of this Postfix: what they publish, and what happens here to a stranger's mail in their name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address

from ..config import Settings
from ..config.mynetworks import tokens
from ..dmarc import Disposition
from ..dmarc.suffix import registrable
from ..domain import BadDomain, Domain
from ..evidence import Case, Connection, Transaction
from ..finding import Severity
from ..iprev import Iprev
from ..judge.authenticate import Content, EarlyResults, authenticate
from ..lookup import Problem, look_up
from ..message import Field, Headers
from ..nameservers import Nameservers, system_nameservers
from ..nameservers.turns import Turns
from ..postfix.configuration import NoPostfix, Postfix, beginning, listed, parameters, run
from ..resolver import Cached, Method, Shared, Source
from ..result import Result
from ..sender_domain import Receives, SenderDomain
from ..spf import Spf
from ..verdict import Verdict

PARAMETERS = ("mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains")
MOST = 20  # domains that are examined
_MOST_READ = 100_000  # characters of a parameter
_PATIENCE = 15.0  # seconds for all of them
_UNDER_WAY = 300  # DNS questions
# tables whose keys postmap can list; the others ask a server or have patterns
_LISTED = ("hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash", "inline")
# problems that the finding about a stranger's mail mentions anyway
_TOLD = ("dmarc-none", "dmarc-idle-none", "dmarc-unknown", "spf-unknown")
_STRANGER = "stranger.invalid"  # the stranger's own domain (RFC 2606), for which SPF passes
_ADDRESS = ip_address("198.51.100.254")


@dataclass(frozen=True, slots=True)
class Own:
    """One of the mail domains.

    ``asks``: the policy that it publishes for mail that fails DMARC; None if there is no usable one. ``wrong`` has the
    problems of its SPF and DMARC records. ``verdict`` is that on a stranger's message in its name; None if ``trouble``
    with DNS keeps it unknown. ``exists``: in DNS.
    """

    name: Domain
    asks: Disposition | None = None
    wrong: tuple[Problem, ...] = ()
    verdict: Verdict | None = None
    trouble: str = ""
    exists: bool = True


def domains(postfix: Postfix, until: float, hosts: Iterable[str], unseen: list[str]) -> list[Domain]:
    """The domains for which this Postfix takes mail, except names of the host itself."""
    names = {each.lower() for each in (*hosts, postfix.value("myhostname"))}
    found = dict[Domain, None]()
    try:
        values = parameters(run("postconf", postfix.folder, until, "-x", *PARAMETERS))
    except NoPostfix as error:
        unseen.append(f"the mail domains: {error}")
        return []
    for parameter in PARAMETERS:
        for word in _entries(parameter, values.get(parameter, ""), postfix, until, unseen):
            try:
                domain = Domain(word.removeprefix("."))
            except BadDomain:
                # an address in brackets, or a user
                continue
            labels = domain.labels
            if len(labels) < 2 or labels[0] == "localhost" or labels[-1].isdigit():
                continue
            # the name of a host may be that of its domain
            if domain not in names or registrable(domain) == domain:
                found[domain] = None
    if len(found) > MOST:
        unseen.append(f"{len(found) - MOST} more mail domains than {MOST}; mailassay lookup DOMAIN shows one")
    return list(found)[:MOST]


def _entries(parameter: str, value: str, postfix: Postfix, until: float, unseen: list[str]) -> Iterator[str]:
    if len(value) > _MOST_READ:
        unseen.append(f"{parameter} beyond its first {_MOST_READ} characters")
    for token in tokens(value[:_MOST_READ]):
        kind, colon, _ = token.removeprefix("proxy:").partition(":")
        try:
            if token.startswith("/"):
                lines = beginning(token).split("\n")
                yield from (word for line in lines if not line.startswith("#") for word in tokens(line))
            elif not colon or token.startswith("["):
                yield token
            elif kind in _LISTED:
                # in a table of addresses, only the keys that are domains
                keys = listed(postfix.folder, until, token.removeprefix("proxy:"))
                yield from (key for key in keys if "@" not in key)
            elif kind != "static":
                unseen.append(f"the domains of {parameter} in {token}")
        except (OSError, NoPostfix) as error:
            unseen.append(f"the domains of {parameter} in {token}: {error}")


def looked_at(found: Sequence[Domain], settings: Settings) -> list[Own]:
    """Examine all domains at once: what DNS says, and what the policy does with a stranger's mail.

    Raises ConfigError if the system's name servers are asked and resolv.conf(5) cannot be used.
    """
    if not found:
        return []
    nameservers = Nameservers(
        settings.dns.nameservers or system_nameservers(), settings.dns.timeout, settings.policy.limits
    )
    turns, until = Turns(Cached(nameservers, settings.dns.cache_size), _UNDER_WAY), time.monotonic() + _PATIENCE
    try:
        with ThreadPoolExecutor(len(found)) as pool:
            return list(pool.map(lambda each: _looked_at(each, settings, turns.asker(), until), found))
    finally:
        nameservers.close()


def _looked_at(domain: Domain, settings: Settings, source: Source, until: float) -> Own:
    limits = settings.policy.limits
    report = look_up(domain, (), source, max(0.0, until - time.monotonic()), limits)
    verdict, trouble = of_stranger(domain, settings, source, until)
    if trouble:
        return Own(domain, trouble=trouble)
    wrong = (
        each
        for each in report.findings
        if each.severity is not Severity.NOTE and each.code.startswith(("spf-", "dmarc-")) and each.code not in _TOLD
    )
    asks = report.dmarc.domain_asks
    return Own(domain, asks.policy if asks else None, tuple(wrong), verdict, exists=report.exists is not False)


def of_stranger(domain: Domain, settings: Settings, source: Source, until: float) -> tuple[Verdict | None, str]:
    """The verdict on a message in the name of a domain, sent by a stranger; or None and the trouble with DNS.

    The stranger has a name in DNS, and SPF passes for his own domain. The message is outside every sample.
    """
    policy, asked = settings.policy, Shared(source)
    connection = Connection(_ADDRESS, f"mail.{_STRANGER}")
    transaction = Transaction(f"someone@{_STRANGER}", recipients=(f"someone@{domain}",))
    early = EarlyResults(
        iprev=Iprev(Result.PASS, _ADDRESS, connection.helo, names=(connection.helo,)),
        spf_helo=Spf(Result.PASS, "helo", connection.helo),
        spf_mail_from=Spf(Result.PASS, "mailfrom", _STRANGER),
        sender_domain=SenderDomain(Receives.PASS, _STRANGER),
    )
    content = Content(Headers([Field(b"From", f" someone@{domain}".encode())]), policy.limits)
    evidence = authenticate(
        connection,
        transaction,
        content,
        lambda method: asked.of(Method(method)).resolver(until),
        time.time(),
        policy,
        early,
    )
    if evidence.dmarc.result is Result.TEMPERROR:
        return None, evidence.dmarc.reason
    case = Case(connection=connection, transaction=transaction, evidence=evidence, now=time.time(), sample=99)
    return policy.decide(case), ""
