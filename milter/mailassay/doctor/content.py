"""Other settings of Postfix that affect a judged message."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from ..config import Network
from ..config.mynetworks import mynetworks, tokens, trusted
from ..message import MAX_LINE
from ..policy.sets import overlaps
from ..postfix.configuration import RESTRICTIONS, Service
from .domains import refused
from .facts import REMOVES, Facts
from .finding import Finding, error, fine, note, warning
from .wiring import incoming, listeners, some

# releases of Postfix by its HISTORY and postconf(5), the first of each series
_COUNTS_RIGHT = ((3, 7, 11), (3, 8, 6), (3, 9))  # 20231213
_NORMALIZES = ((3, 5, 24), (3, 6, 14), (3, 7, 10), (3, 8, 5), (3, 9))  # 20240118; before, only yes and no
_NOTES = (3, 9)  # smtpd_forbid_bare_newline = note
_WRITES = re.compile(r"\b(PREPEND|REPLACE)\s+Authentication-Results", re.IGNORECASE)
_SPF_SERVICE = re.compile("spf", re.IGNORECASE)


def version(facts: Facts) -> Iterator[Finding]:
    """Does this Postfix count header fields in the way that milters rely on?"""
    shown = facts.postfix.value("mail_version")
    if facts.postfix.has(*_COUNTS_RIGHT):
        yield fine("postfix-version", f"Postfix {shown or 'of an unknown version'}")
        return
    yield note(
        "postfix-version",
        f"Postfix {shown} may count header fields wrongly when a milter removes one (fixed in 3.9.0, 3.8.6 "
        "and 3.7.11). mailassay writes a marker field first, so forged fields are removed all the same",
    )


def instances(facts: Facts) -> Iterator[Finding]:
    """Does Postfix have further instances, which are not examined (MULTI_INSTANCE_README)?"""
    if not facts.postfix.folder and (others := tokens(facts.postfix.value("multi_instance_directories"))):
        which = " ".join(f"--postfix-config {shlex.quote(each)}" for each in others)
        yield note(
            "instances",
            "Postfix has further instances, which were not examined",
            fix=f"Run mailassay doctor for each of them: {which}",
        )


def smuggling(facts: Facts) -> Iterator[Finding]:
    """Does smtpd accept a bare LF as the end of a line (SMTP smuggling)?"""
    name, postfix = "smtpd_forbid_bare_newline", facts.postfix
    reason = "a message can hide a second one inside it (SMTP smuggling); no milter can detect that"
    for service in incoming(facts):
        value = postfix.value(name, service)
        if not value:
            yield error(
                "bare-newline",
                f"Postfix {postfix.value('mail_version')} has no {name}: {reason}",
                *_no_pipelining(facts, service),
                fix="If there is no newer Postfix for this system, these two settings prevent most of it",
            )
        elif value.lower() == "no":
            # any release that has the parameter knows yes, which became another word for normalize
            yield error(
                "bare-newline", f"{postfix.where(name, service)} is no: {reason}", postfix.set(name, "yes", service)
            )
        elif value.lower() != "yes" and not postfix.has(*([_NOTES] if value.lower() == "note" else _NORMALIZES)):
            # a distribution may have added the value
            yield warning(
                "bare-newline",
                f"{postfix.where(name, service)} is {value}, which is newer than Postfix "
                f"{postfix.value('mail_version')}: smtpd does not run with a value that it does not know",
                postfix.set(name, "yes", service),
            )
        else:
            yield fine("bare-newline", f"{postfix.where(name, service)} is {value}")


def _no_pipelining(facts: Facts, service: Service) -> Iterator[str]:
    """The commands against smuggling for a Postfix that takes a bare LF (https://www.postfix.org/smtp-smuggling.html).

    They add to what is there.
    """
    postfix = facts.postfix
    if postfix.value("smtpd_forbid_unauth_pipelining", service):
        yield postfix.set("smtpd_forbid_unauth_pipelining", "yes", service)
    else:
        yield _with(facts, service, "smtpd_data_restrictions", "reject_unauth_pipelining")
    yield _with(facts, service, "smtpd_discard_ehlo_keywords", "chunking")


def _with(facts: Facts, service: Service, name: str, word: str) -> str:
    """The command that puts a word before the others of a list."""
    others = [each for each in tokens(facts.postfix.as_written(name, service)) if each != word]
    return facts.postfix.set(name, ", ".join([word, *others]), service)


def line_length(facts: Facts) -> Iterator[Finding]:
    """When Postfix sends a message on, does it break lines that we read as one?"""
    postfix = facts.postfix
    for service in postfix.services:
        name = f"{service.program}_line_length_limit"
        if service.program not in ("smtp", "lmtp") or not (value := postfix.value(name, service)):
            continue
        # 0 means that no line is broken
        if re.fullmatch("[0-9]{1,9}", value) and 0 < int(value) < MAX_LINE:
            yield warning(
                "line-length",
                f"{postfix.where(name, service)} is {value}: Postfix breaks longer lines after mailassay judged, and "
                f"the reader may see another author, or other results. RFC 5321 has {MAX_LINE}",
                postfix.set(name, str(MAX_LINE), service),
            )
        else:
            yield fine("line-length", f"{postfix.where(name, service)} is {value}")


def header_checks(facts: Facts) -> Iterator[Finding]:
    """Do Postfix's own tables remove our header field, or write one?"""
    for name, tables in facts.tables.items():
        ours = name == "milter_header_checks"
        for table in tables:
            action = table.answer.split()[0].upper() if table.answer else ""
            if ours and action in REMOVES:
                yield error(
                    "milter-header-checks",
                    f"{name} has {table.name}, which applies {action} to the field that mailassay writes: it is lost",
                    _without_table(facts, name, table.name),
                )
            elif action in REMOVES:
                yield note(
                    "header-checks",
                    f"{name} has {table.name}, which applies {action} to Authentication-Results. mailassay removes "
                    "forged fields itself; signatures that cover the others fail without them",
                    _without_table(facts, name, table.name),
                )
            if _WRITES.search(table.text):
                yield warning(
                    "header-written",
                    f"{name} has {table.name}, which writes Authentication-Results: readers cannot tell it from "
                    "mailassay's",
                    _without_table(facts, name, table.name),
                )
    if not facts.tables.get("milter_header_checks"):
        yield fine("milter-header-checks", "no milter_header_checks touch mailassay's header field")


def _without_table(facts: Facts, name: str, table: str) -> str:
    postfix = facts.postfix
    left = [each for each in tokens(postfix.written.get(name, "")) if each != table]
    if table not in tokens(postfix.written.get(name, "")):
        left = [each for each in tokens(postfix.value(name)) if each != table]
    return postfix.command("postconf", "-e", f"{name}={', '.join(left)}")


def policy_service(facts: Facts) -> Iterator[Finding]:
    """Does a policy service judge SPF before mailassay does?"""
    postfix = facts.postfix
    for service in incoming(facts):
        for name in RESTRICTIONS:
            written, value = postfix.as_written(name, service), postfix.value(name, service)
            named = [step for step in _steps(value) if _asks_for_spf(step)]
            if not named:
                continue
            # the written value may name the service by another parameter
            steps = _steps(written if any(map(_asks_for_spf, _steps(written))) else value)
            left = [word for step in steps if not _asks_for_spf(step) for word in step]
            yield warning(
                "spf-policy-service",
                f"{postfix.where(name, service)} has {' '.join(named[0])}: mail that fails SPF is refused there before "
                "DKIM can pass (RFC 9989 section 7.1), and it prepends a field that mailassay did not check",
                postfix.set(name, ", ".join(left), service),
            )


def _steps(restrictions: str) -> list[tuple[str, ...]]:
    """The elements of a list of restrictions. A policy service and its address are one element."""
    words = iter(tokens(restrictions))
    return [(word, next(words, "")) if word == "check_policy_service" else (word,) for word in words]


def _asks_for_spf(step: tuple[str, ...]) -> bool:
    return step[0] == "check_policy_service" and bool(_SPF_SERVICE.search(step[1]))


def networks(facts: Facts) -> Iterator[Finding]:
    """Do mailassay and Postfix trust the same networks?"""
    enforced = next((each.name for each in facts.own if refused(each)), None)
    fate = f"; in the name of {enforced} it is kept out unless it passes DMARC" if enforced else ""
    compare = _mynetworks_read if facts.settings.trusted_networks is None else _networks_compared
    yield from compare(facts, fate)


def _mynetworks_read(facts: Facts, fate: str) -> Iterator[Finding]:
    """``trusted_networks: postfix``. ``fate`` is what happens to mail of a trusted client that is judged, in words."""
    theirs, unknown = mynetworks(facts.postfix.value("mynetworks"))
    known = [*trusted(facts.postfix.value("mynetworks")), *facts.settings.relays.networks.networks]
    rest = _beyond(theirs, known)
    if not rest and not unknown:
        yield fine("trusted-networks", "trusted_networks are those of mynetworks")
        return
    severe = error if rest else warning
    # an element that is not a network may let anybody send
    yield (severe if fate else note)(
        "mynetworks-unknown",
        f"mynetworks has {', '.join([*unknown, *map(str, rest)])}, which trusted_networks: postfix does not "
        f"include: mail from these clients is judged{fate}",
        fix=f"To spare it, write a list instead ({facts.place('trusted_networks')})",
    )


def _networks_compared(facts: Facts, fate: str) -> Iterator[Finding]:
    """A list of ``trusted_networks``."""
    theirs, unknown = mynetworks(facts.postfix.value("mynetworks"))
    place, ours = facts.config or "the configuration", facts.settings.trusted_networks or ()
    # the mail of a relay is judged, whatever Postfix lets the relay do
    ours_only = _beyond(ours, theirs)
    theirs_only = _beyond(theirs, [*ours, *facts.settings.relays.networks.networks])
    if ours_only:
        yield warning(
            "trusted-networks",
            f"trusted_networks has {some(ours_only)}, which mynetworks does not: mail from there is not judged, but "
            "Postfix treats it as mail from strangers",
            fix=f"Take it out of trusted_networks in {place}; or add it to mynetworks, if these clients may send to "
            "anywhere through this host",
        )
    if theirs_only:
        wanted = ", ".join(f'"{each}"' for each in [*ours, *theirs_only])
        yield (error if fate else warning)(
            "mynetworks",
            f"mynetworks has {some(theirs_only)}, which trusted_networks does not: mail of your own clients is "
            f"judged{fate or ', and may be refused'}",
            fix=f"To spare it, in {place}: trusted_networks: postfix, or [{wanted}]",
        )
    if unknown:
        yield (warning if fate else note)(
            "mynetworks-unknown",
            f"mynetworks has {', '.join(unknown)}, which was not compared with trusted_networks: mail from clients "
            f"that only Postfix trusts is judged{fate}",
        )
    if not ours_only and not theirs_only:
        yield fine("trusted-networks", "trusted_networks and mynetworks agree")


def relays(facts: Facts) -> Iterator[Finding]:
    """Does `relays` agree with the other settings?"""
    found, ours = facts.settings.relays, facts.settings.trusted_networks or ()
    place = facts.place("relays")
    both = [each for each in found.networks.networks if overlaps(each, ours)]
    if both:
        yield warning(
            "relays",
            f"{some(both)} is in relays and in trusted_networks: its mail is judged, by the client that it received "
            "it from",
            fix=f"Take it out of trusted_networks, or out of relays in {place}",
        )
    can_log_in = {facts.postfix.value("smtpd_sasl_auth_enable", each).lower() for each in listeners(facts)}
    if found.logins and "yes" not in can_log_in:
        yield warning(
            "relays",
            f"relays.logins has {', '.join(found.logins)}, but no service of Postfix lets anybody log in "
            "(smtpd_sasl_auth_enable): nobody can use these logins",
        )
    if found.networks.networks and not both:
        yield fine("relays", f"mail from {some(found.networks.networks)} is judged by the client before the relay")


def _beyond(some: Sequence[Network], others: Sequence[Network]) -> list[Network]:
    """The networks of ``some`` that are not completely within ``others``."""
    four = list(collapse_addresses(each for each in others if isinstance(each, IPv4Network)))
    six = list(collapse_addresses(each for each in others if isinstance(each, IPv6Network)))
    return [
        each
        for each in dict.fromkeys(some)
        if not (
            any(each.subnet_of(other) for other in four)
            if isinstance(each, IPv4Network)
            else any(each.subnet_of(other) for other in six)
        )
    ]


def authserv_id(facts: Facts) -> Iterator[Finding]:
    """Is our authserv-id a name of this host, or of the domain that it is in?"""
    postfix, place = facts.postfix, facts.config or "the configuration"
    for host in dict.fromkeys(postfix.value("myhostname", each).lower() for each in _first(listeners(facts))):
        ours = (facts.settings.authserv_id or host).lower()
        if "." not in ours:
            yield warning(
                "authserv-id",
                f"the name in Authentication-Results is {ours}, which is not a full domain name: others may have it "
                "too (RFC 8601 section 5)",
                fix=f"Set authserv_id in {place}, or myhostname in Postfix",
            )
        elif not _is_within(host, ours) and not any(_is_within(name, ours) for name in facts.names):
            yield warning(
                "authserv-id",
                f"authserv_id is {ours}, and this host is {host} (myhostname): programs that look for the header of "
                "this host ignore it",
                fix=f"In {place}: authserv_id: {host}",
            )
        else:
            yield fine("authserv-id", f"the name in Authentication-Results is {ours}")


def _first(services: list[Service]) -> list[Service | None]:
    return [*services] or [None]


def _is_within(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")
