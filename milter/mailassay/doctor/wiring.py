"""Does Postfix pass the right mail to mailassay, and what does it do while mailassay does not answer?"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ..config.mynetworks import tokens
from ..postfix.configuration import Service, seconds
from .facts import Facts, ancestry, seen_by
from .finding import Finding, error, fine, note, warning
from .milters import Entry, Milter, edited, endpoint, is_there, parsed

_LEAST_COMMAND = 10  # seconds; what we do before the end of a message is quick, but a machine may be busy
_SPARE = 5  # seconds that Postfix should wait longer than we judge
# recognized by usual socket names, and by the ports in the documentation of these programs
_SIGNER = re.compile("opendkim|dkimpy|:889[12]$", re.IGNORECASE)
_SCANNER = re.compile("clam|spamass|amavis|mimedefang|virus")
_DKIMPY = re.compile("dkimpy|:8892$", re.IGNORECASE)
_JUDGE = re.compile("opendmarc|spf|:8893$", re.IGNORECASE)
_RSPAMD = re.compile("rspamd|:11332$", re.IGNORECASE)
_INSIDE = "mailassay/mailassay.sock"  # our socket, from the queue directory
_MOST_SHOWN = 5  # networks
AFTER_SIGNING = (
    "smtp_generic_maps", "smtp_header_checks", "smtp_mime_header_checks", "smtp_nested_header_checks",
    "smtp_body_checks",
)  # fmt: skip
"""Tables by which smtp(8) changes a message when it sends it on."""
# milter_default_action = shutdown, by postconf(5): the first release of each series
_SHUTS_DOWN = ((3, 7, 20), (3, 8, 15), (3, 9, 9), (3, 10, 8), (3, 11))


def listeners(facts: Facts) -> list[Service]:
    """The smtpd services that take mail from outside or from users."""
    return [each for each in facts.postfix.services if each.program == "smtpd" and each.kind in ("inet", "pass")]


def incoming(facts: Facts) -> list[Service]:
    """The services for mail from strangers: not those for submission, or for mail back from a content filter.

    Nor those for programs of this host, for which no milter is asked, unless there is no other service.
    """
    filtered = _has_filter(facts)
    found = [each for each in listeners(facts) if not each.is_submission and not (filtered and each.is_local)]
    return [each for each in found if not (each.is_local and _without_milters(facts, each))] or found


def _has_filter(facts: Facts) -> bool:
    """Is there a content filter, which returns mail to a service on loopback?"""
    names = ("content_filter", "smtpd_proxy_filter")
    return any(facts.postfix.value(name, each) for each in facts.postfix.services for name in names)


def _without_milters(facts: Facts, service: Service) -> bool:
    return "no_milters" in tokens(facts.postfix.value("receive_override_options", service))


def entries(facts: Facts) -> list[Entry]:
    """Our entry at each service for mail from strangers."""
    return [found for each in incoming(facts) if (found := our_entry(facts, each))]


def _asking(facts: Facts) -> list[Entry]:
    """Our entry at each service that should ask us: those for mail from strangers; if mail is signed, also of users."""
    users = [each for each in listeners(facts) if each.is_submission] if facts.settings.sign.domains else []
    return [*entries(facts), *(found for each in users if (found := our_entry(facts, each)))]


def our_entry(facts: Facts, service: Service, name: str = "smtpd_milters") -> Entry | None:
    """Our entry in a list of milters, even if smtpd finds nothing there; None if we are not in it."""
    milters = parsed(facts.postfix.value(name, service))
    for index, milter in enumerate(milters):
        if (reached := is_found(facts, service, milter)) is not None:
            return Entry(service, milters, index, reached=reached)
    return None


def is_found(facts: Facts, service: Service, milter: Milter) -> bool | None:
    """Does a service find our socket by this element of its list? None if it names another."""
    listen, queue = facts.settings.listen, facts.postfix.value("queue_directory")
    if is_there(milter, listen):
        return True
    if milter.path is None or listen.kind != "unix":
        return None
    socket = facts.canonical(listen.path)
    if facts.canonical(seen_by(service, milter.path, queue)) == socket:
        # inside a chroot, a link out of it leads nowhere
        return not service.chrooted or facts.queue in ancestry(socket)
    return False if milter.path.startswith("/") and facts.canonical(milter.path) == socket else None


def _instead(facts: Facts, service: Service, old: Milter, new: Milter | None, name: str = "smtpd_milters") -> str:
    """The list as it is written, with one milter replaced or removed."""
    return edited(facts.postfix, name, service, lambda milter: new if milter == old else milter)


def _in_order(others: Sequence[Milter], ours: Milter) -> list[Milter]:
    """The milters in order: those that look for viruses or spam, mailassay, those that sign. The rest keep theirs."""
    scanners = [at for at, each in enumerate(others, 1) if _SCANNER.search(each.endpoint) or _is_rspamd(each)]
    last = scanners[-1] if scanners else 0
    signers = [each for each in others[:last] if _SIGNER.search(each.endpoint)]
    return [*(each for each in others[:last] if each not in signers), ours, *signers, *others[last:]]


def _is_rspamd(milter: Milter) -> bool:
    return bool(_RSPAMD.search(milter.endpoint))


def our_endpoint(facts: Facts) -> str:
    """Our socket as smtpd would find it."""
    listen = facts.settings.listen
    return endpoint(replace(listen, path=facts.canonical(listen.path)), facts.queue)


def _is_outside(facts: Facts) -> bool:
    """Is our socket a file outside the queue directory?"""
    listen = facts.settings.listen
    return listen.kind == "unix" and facts.queue not in ancestry(facts.canonical(listen.path))


def endpoint_for(facts: Facts, service: Service) -> str:
    """Our socket as a service finds it, or would find it after it was moved into the chroot."""
    return f"unix:{_INSIDE}" if _is_outside(facts) and service.chrooted else our_endpoint(facts)


def _moved(facts: Facts, service: Service, value: str) -> tuple[str, list[str]]:
    """How to move our socket to where a chrooted smtpd sees it: what to write, and the commands after that."""
    path = f"{facts.queue}/{_INSIDE}"
    words = (
        f"First write listen: unix:{path} ({facts.place('listen')}), then run these commands. It is worse to let "
        f"smtpd out of its chroot: {facts.postfix.unchroot(service)}"
    )
    restart = facts.system.service("restart", "mailassay")
    return words, [facts.making(os.path.dirname(path)), restart, facts.postfix.set("smtpd_milters", value, service)]


def listed(facts: Facts) -> Iterator[Finding]:
    """Is our socket in the smtpd_milters of each service for incoming mail?"""
    postfix, listen = facts.postfix, facts.settings.listen
    services, nowhere = incoming(facts), not entries(facts)
    if not services:
        yield error("no-smtpd", "master.cf has no smtpd service for incoming mail")
    for service in services:
        if found := our_entry(facts, service):
            yield fine("smtpd-milters", f"{service} passes its mail to {found.ours.endpoint}")
            continue
        if service.is_local and not nowhere:
            # a service for programs of this host
            continue
        ours, outside = endpoint_for(facts, service), _is_outside(facts)
        milters, others = parsed(postfix.value("smtpd_milters", service)), postfix.as_written("smtpd_milters", service)
        value = ", ".join(each for each in (ours, others) if each)
        if "$" not in others:
            value = ", ".join(map(str, _in_order(parsed(others), Milter(ours))))
        if wrong := next((milter for milter in milters if "mailassay" in milter.endpoint), None):
            value = _instead(facts, service, wrong, Milter(ours, wrong.options))
        public = service.kind == "pass" or service.port in ("smtp", "25")
        reason = f"{postfix.where('smtpd_milters', service)} does not list our socket, {listen.libmilter}"
        fix, commands = "", [postfix.set("smtpd_milters", value, service)]
        if outside and service.chrooted:
            fix, commands = _moved(facts, service, value)
            reason += f". It is not below {facts.queue}, where {service} is chrooted"
        yield (error if public or nowhere else warning)(
            "smtpd-milters", f"mail that comes in by {service} is not judged: {reason}", *commands, fix=fix
        )


def found_in_chroot(facts: Facts) -> Iterator[Finding]:
    """Does smtpd look for our socket in the right place?"""
    postfix, path = facts.postfix, facts.settings.listen.path
    for found in _asking(facts):
        if found.reached:
            yield fine("chroot", f"{found.service} looks for our socket in the right place")
            continue
        looks = seen_by(found.service, found.ours.path or "", facts.queue)
        reason = f"{found.service} is chrooted in {facts.queue}: it looks for our socket at {looks}"
        if facts.queue in ancestry(facts.canonical(path)):
            value = _instead(facts, found.service, found.ours, Milter(our_endpoint(facts), found.ours.options))
            yield error("chroot", reason, postfix.set("smtpd_milters", value, found.service))
            continue
        inside = Milter(f"unix:{_INSIDE}", found.ours.options)
        fix, commands = _moved(facts, found.service, _instead(facts, found.service, found.ours, inside))
        yield error("chroot", f"{reason}, but the socket is {path}", *commands, fix=fix)


def reachable(facts: Facts) -> Iterator[Finding]:
    """May smtpd reach our socket and write to it?"""
    user, path = facts.smtpd, facts.canonical(facts.settings.listen.path)
    if facts.settings.listen.kind != "unix" or user is None:
        return
    for found in _asking(facts):
        relative = not (found.ours.path or "").startswith("/")
        # smtpd works in the queue directory: what is above it does not matter to a path from there
        below = facts.queue if found.service.chrooted or relative else "/"
        node = facts.nodes.get(path)
        if folder := facts.blocked(user, path, below):
            yield error(
                "socket-access",
                f"{user.name}, the user of smtpd, may not pass through {folder.path} (mode {folder.mode:04o}, group "
                f"{folder.group}) to our socket",
                *user.let(folder, "x", path),
            )
        elif node and not user.may(node, 2):
            yield error(
                "socket-access",
                f"{user.name}, the user of smtpd, may not write to our socket {path} (mode {node.mode:04o}, group "
                f"{node.group})",
                *user.let(node, "rw", path),
                fix=f'To keep that after a restart: socket_group: {user.group} and socket_mode: "0660"',
            )
        elif node:
            yield fine("socket-access", f"{user.name}, the user of smtpd, may use our socket")


def listed_elsewhere(facts: Facts) -> Iterator[Finding]:
    """Is our socket in a service that takes no mail from strangers?"""
    postfix, judged = facts.postfix, {id(each) for each in incoming(facts)}
    for service in listeners(facts):
        if id(service) in judged or _without_milters(facts, service) or not (found := our_entry(facts, service)):
            continue
        left = _instead(facts, service, found.ours, None)
        if _is_for_signing(facts, service):
            continue
        if service.is_submission:
            fix = postfix.override("smtpd_milters", _and_signed(facts, service, left), service)
            reason = f"{service} is for your own users; their mail is not incoming mail and must not be judged"
            yield warning("submission", reason, fix)
        else:
            fix = postfix.override("smtpd_milters", left, service)
            reason = f"{service} takes mail back from a content filter; there, mailassay's own field looks forged"
            yield error("content-filter", reason, fix)
    for service in postfix.services:
        # with reports, we need to see the bounces that Postfix makes; and mail of this host is signed
        if facts.reports or facts.settings.sign.domains or service.program != "cleanup":
            continue
        if found := our_entry(facts, service, "non_smtpd_milters"):
            reason = "is for mail from sendmail(1), which has no client: there is nothing to authenticate"
            left = _instead(facts, service, found.ours, None, "non_smtpd_milters")
            left = _and_signed(facts, service, left, "non_smtpd_milters")
            yield warning(
                "non-smtpd-milters",
                f"{postfix.where('non_smtpd_milters', service)} {reason}",
                postfix.set("non_smtpd_milters", left, service),
            )


def _is_for_signing(facts: Facts, service: Service) -> bool:
    """Does mailassay sign the mail of this service? Mail from a filter only if no incoming mail comes from there."""
    if not facts.settings.sign.domains:
        return False
    names = ("content_filter", "smtpd_proxy_filter")
    return service.is_submission or not any(
        facts.postfix.value(name, each) for each in incoming(facts) for name in names
    )


def unsigned(facts: Facts) -> Iterator[Finding]:
    """Does mail of own users leave without the DKIM signature that other mail of this host gets?"""
    postfix, signer = facts.postfix, _known_signer(facts)
    if not signer:
        return
    said = f"and {signer.endpoint} signs mail on this host"
    users = [each for each in listeners(facts) if each.is_submission]
    judged = {id(each) for each in incoming(facts)}
    for service in listeners(facts):
        milters = parsed(postfix.value("smtpd_milters", service))
        later = postfix.value("content_filter", service) or postfix.value("smtpd_proxy_filter", service)
        if later or _without_milters(facts, service):
            # another milter in the list may sign, or no signer is known
            continue
        if any(_may_sign(facts, each) for each in milters):
            yield fine("unsigned", f"mail that {service} takes from your own users passes a signer")
        elif service.is_submission:
            ours = our_entry(facts, service)
            left = _instead(facts, service, ours.ours, None) if ours else postfix.as_written("smtpd_milters", service)
            value = _and_signed(facts, service, left)
            yield error(
                "unsigned",
                f"mail of your own users by {service} leaves without a DKIM signature: "
                f"{postfix.where('smtpd_milters', service)} has no signer, {said}",
                postfix.override("smtpd_milters", value, service),
            )
        elif id(service) in judged:
            value = _and_signed(facts, service, postfix.as_written("smtpd_milters", service))
            fix = postfix.set("smtpd_milters", value, service)
            reason = f"by {service} leaves without a DKIM signature: its list has no signer, {said}"
            if postfix.value("smtpd_sasl_auth_enable", service).lower() == "yes":
                yield (warning if users else error)("unsigned", f"mail of users who log in {reason}", fix)
            elif others := _other_hosts(postfix.value("mynetworks", service)):
                yield note("unsigned", f"mail of hosts in mynetworks ({others}) that send {reason}", fix)


def _known_signer(facts: Facts) -> Milter | None:
    """The milter that signs on this host: one in a list of Postfix's, or one with a key. None if there is none."""
    lists = [("non_smtpd_milters", each) for each in facts.postfix.services if each.program == "cleanup"]
    lists += [("smtpd_milters", each) for each in listeners(facts)]
    asked = [milter for name, each in lists for milter in parsed(facts.postfix.value(name, each))]
    configured = [Milter(found) for socket in facts.signing.values() if (found := _as_postfix_has_it(facts, socket))]
    return next((each for each in [*asked, *configured] if signs(facts, each)), None)


def signs(facts: Facts, milter: Milter) -> bool:
    """Is that milter a signer, by its name or by its own configuration?"""
    if _is_configured(facts, milter):
        return True
    signer = _signer(facts, milter)
    return bool(_SIGNER.search(milter.endpoint)) and (signer is None or signer[1] != "v")


def _is_configured(facts: Facts, milter: Milter) -> bool:
    """Is it the socket in the configuration of a filter with a key?"""
    named = [Milter(_as_postfix_has_it(facts, socket)) for socket in facts.signing.values()]
    return any(_same(facts, each, milter) for each in named)


def signer_of(facts: Facts, milter: Milter) -> str:
    """The configuration of the filter with a key that this milter is; empty if it is none."""
    for path, socket in facts.signing.items():
        if _same(facts, Milter(_as_postfix_has_it(facts, socket)), milter):
            return path
    known = _signer(facts, milter)
    return known[0] if known and known[0] in facts.signing else ""


def _same(facts: Facts, one: Milter, other: Milter) -> bool:
    """Do both name the same socket? Hosts are not compared: nobody has two milters on the same port."""
    if one.place and other.place:
        return one.place[1] == other.place[1]
    return bool(one.path and other.path) and _from_queue(facts, one) == _from_queue(facts, other)


def _from_queue(facts: Facts, milter: Milter) -> str:
    """The path of a socket; relative to the queue directory if it is below that, so that a chroot works."""
    return (milter.path or "").removeprefix(facts.queue).strip("/")


def _as_postfix_has_it(facts: Facts, socket: str) -> str:
    """A socket of libmilter's syntax, ``inet:8891@localhost`` or ``local:/path``; empty if it is neither."""
    kind, _, rest = socket.partition(":")
    if kind.lower() in ("inet", "inet6"):
        port, _, host = rest.partition("@")
        host = "localhost" if host in ("", "0.0.0.0", "::") else f"[{host.strip('[]')}]" if ":" in host else host
        return f"inet:{host}:{port}"
    path = rest if kind.lower() in ("unix", "local") else socket
    return f"unix:{path.removeprefix(facts.queue + '/')}" if path.startswith("/") else ""


def _may_sign(facts: Facts, milter: Milter) -> bool:
    """May that milter be a signer? Yes, unless it is known to do something else."""
    if signs(facts, milter) or _is_rspamd(milter) or (facts.settings.sign.domains and is_ours(facts, milter)):
        return True
    known = _SIGNER.search(milter.endpoint) or _SCANNER.search(milter.endpoint) or _judges(facts, milter)
    return not known and not is_ours(facts, milter)


def is_ours(facts: Facts, milter: Milter) -> bool:
    """Is it our socket, or one with our name?"""
    listen = facts.settings.listen
    return (
        "mailassay" in milter.endpoint
        or is_there(milter, listen)
        or (listen.kind == "unix" and _same(facts, milter, Milter(f"unix:{facts.canonical(listen.path)}")))
    )


def scans(milter: Milter) -> bool:
    """Does a milter look for viruses or spam, by its name?"""
    return bool(_SCANNER.search(milter.endpoint))


def _and_signed(facts: Facts, service: Service, value: str, name: str = "smtpd_milters") -> str:
    """A list to be written: with the signer of this host at the end, unless one of the others may sign."""
    signer = _known_signer(facts)
    if not signer or any(_may_sign(facts, each) for each in parsed(facts.postfix.value(name, service))):
        return value
    return ", ".join(each for each in (value, str(signer)) if each)


def _other_hosts(mynetworks: str) -> str:
    """The networks of a list that are not loopback, in words."""
    found = [each for each in tokens(mynetworks) if not re.match(r"\[?(127\.|::1\b|::ffff:127\.)", each)]
    return some(found)


def some(networks: Sequence[object]) -> str:
    """The first of them, and how many more there are."""
    rest = len(networks) - _MOST_SHOWN
    return ", ".join(map(str, networks[:_MOST_SHOWN])) + (f" and {rest} more" if rest > 0 else "")


def bypassed(facts: Facts) -> Iterator[Finding]:
    """Does a setting keep Postfix from calling its milters, or from showing them all of a message?"""
    postfix = facts.postfix
    for found in entries(facts):
        options = tokens(postfix.value("receive_override_options", found.service))
        if "no_milters" in options:
            value = ",".join(each for each in options if each != "no_milters")
            yield error(
                "override-options",
                f"{postfix.where('receive_override_options', found.service)} has no_milters: nothing is judged",
                postfix.set("receive_override_options", value, found.service),
            )
        if proxy := postfix.value("smtpd_proxy_filter", found.service):
            yield error(
                "proxy-filter",
                f"{found.service} has smtpd_proxy_filter = {proxy}: with it milters see no header and no body "
                "(MILTER_README, Limitations)",
                fix="Use a content_filter instead: it comes after the queue, and works with milters",
            )
        if maps := postfix.value("smtpd_milter_maps", found.service):
            yield note("milter-maps", f"smtpd_milter_maps = {maps}: mail from the clients in it may come in unjudged")


def default_action(facts: Facts) -> Iterator[Finding]:
    """What happens to mail while mailassay does not answer?"""
    meaning = {
        "accept": (error, "all mail comes in unjudged, with whatever header it forges"),
        "reject": (warning, "all mail is refused for good"),
        "quarantine": (warning, "all mail is put into the hold queue unjudged"),
    }
    for found, action, name, fix in _setting(facts, "default_action", "tempfail"):
        if action.lower() in meaning:
            severe, consequence = meaning[action.lower()]
            if found.service.is_submission and action.lower() == "accept":
                severe, consequence = warning, "mail of your own users leaves unsigned"
            yield severe(
                "milter-default-action", f"{name} is {action}: while mailassay does not answer, {consequence}", fix
            )
        elif action.lower() == "tempfail" or (action.lower() == "shutdown" and facts.postfix.has(*_SHUTS_DOWN)):
            yield fine("milter-default-action", f"{name} is {action}: while mailassay does not answer, mail waits")
        else:
            yield warning(
                "milter-default-action",
                f"{name} of {found.service} is {action}, which Postfix {facts.postfix.value('mail_version')} is not "
                "known to have: while mailassay does not answer, it defers all mail, as 'unrecognized default action'",
                fix,
            )


def protocol(facts: Facts) -> Iterator[Finding]:
    """Can Postfix tell mailassay all that it needs?"""
    for _, value, name, fix in _setting(facts, "protocol", "6"):
        number = re.match("[0-9]{1,9}", value)
        if number and int(number[0]) < 6:
            reason = "white space that a signature covers is lost, and good DKIM signatures fail"
            yield error("milter-protocol", f"{name} is {value}, not 6: {reason}", fix)
        else:
            yield fine("milter-protocol", f"{name} is {value}")


def timeouts(facts: Facts) -> Iterator[Finding]:
    """Does Postfix wait as long as mailassay may take?"""
    least = facts.settings.message_timeout + _SPARE
    for found, value, name, fix in _setting(facts, "content_timeout", f"{max(300, round(least))}s"):
        if seconds(value) < least:
            ours = f"message_timeout is {facts.settings.message_timeout:g} s"
            yield error("milter-timeout", f"{name} is {value}, but {ours}: Postfix gives up too soon", fix)
        else:
            yield fine("milter-timeout", f"{name} is {value}, longer than mailassay takes ({found.service})")
    for _, value, name, fix in _setting(facts, "command_timeout", "30s"):
        if seconds(value) < _LEAST_COMMAND:
            reason = "on a busy machine Postfix gives up too soon"
            yield warning("milter-timeout", f"{name} is {value}: {reason}", fix)


def _setting(facts: Facts, option: str, good: str) -> Iterator[tuple[Entry, str, str, str]]:
    """An option at each of our services: its value, its name in words, and the command that sets the good value."""
    for found in _asking(facts):
        name, postfix = f"milter_{option}", facts.postfix
        if option in found.ours.options:
            better = Milter(found.ours.endpoint, {**found.ours.options, option: good})
            fix = postfix.set("smtpd_milters", _instead(facts, found.service, found.ours, better), found.service)
            name = f"{option} of {found.ours.endpoint} in {postfix.where('smtpd_milters', found.service)}"
            yield found, found.ours.options[option], name, fix
        elif value := postfix.value(name, found.service):
            yield found, value, postfix.where(name, found.service), postfix.set(name, good, found.service)


def neighbours(facts: Facts) -> Iterator[Finding]:
    """Other milters: those that judge too, those that sign, and those that look for viruses and spam."""
    for found in entries(facts):
        for index, milter in enumerate(found.milters):
            if index != found.index:
                yield from [*_competing(facts, found, milter)] or _in_place(facts, found, index)


def _competing(facts: Facts, found: Entry, milter: Milter) -> Iterator[Finding]:
    """Does the milter do the same work?"""
    if _is_rspamd(milter):
        yield warning(
            "competing-milter",
            f"{milter.endpoint} belongs to rspamd: if its milter_headers has authentication-results, it "
            "removes mailassay's field and writes its own",
            fix="Take that out of `use` in local.d/milter_headers.conf",
        )
    elif _judges(facts, milter):
        # remove all of them at once, since each command sets the whole list
        left = edited(facts.postfix, "smtpd_milters", found.service, lambda it: None if _judges(facts, it) else it)
        yield warning(
            "competing-milter",
            f"{milter.endpoint} ({found.service}) judges the same things; it believes header fields, or writes its own "
            "Authentication-Results",
            facts.postfix.set("smtpd_milters", left, found.service),
        )
    elif (signer := _signer(facts, milter)) and signer[1] != "s":
        yield warning(
            "competing-milter",
            f"{milter.endpoint} ({found.service}) signs, but also verifies (Mode in {signer[0]}): it writes a second "
            "Authentication-Results",
            *_only_signing(facts, *signer),
        )


def _in_place(facts: Facts, found: Entry, index: int) -> Iterator[Finding]:
    """Does a signer come after mailassay, and a scanner before it?"""
    milters, milter = found.milters, found.milters[index]
    is_signer = _SIGNER.search(milter.endpoint)
    if is_signer and facts.settings.sign.domains and signer_of(facts, milter):
        # it should not be in the list at all: other-signer
        return
    if is_signer and index < found.index:
        order = [*milters[:index], *milters[index + 1 : found.index + 1], milter, *milters[found.index + 1 :]]
        yield note(
            "milter-order",
            f"{milter.endpoint}, a signer, comes before mailassay: it should sign the final message",
            facts.postfix.set("smtpd_milters", ", ".join(map(str, order)), found.service),
        )
    elif is_signer:
        yield fine("milter-order", f"{milter.endpoint}, a signer, comes after mailassay")
    elif _SCANNER.search(milter.endpoint) and index > found.index:
        order = [each for each in milters if each is not milter and each is not found.ours]
        order[found.index : found.index] = [milter, found.ours]
        yield note(
            "milter-behind",
            f"{milter.endpoint} comes after mailassay, and Postfix does not show it held messages: they are not "
            "scanned when they are released",
            facts.postfix.set("smtpd_milters", ", ".join(map(str, order)), found.service),
        )


def _judges(facts: Facts, milter: Milter) -> bool:
    """Does a milter do the work of mailassay, and nothing else, as far as is known?"""
    if _is_rspamd(milter):
        return False
    signer = _signer(facts, milter)
    return bool(_JUDGE.search(milter.endpoint)) or (signer is not None and signer[1] == "v")


def _signer(facts: Facts, milter: Milter) -> tuple[str, str] | None:
    """The configuration of a signing filter, and the Mode in it; None if the milter is not a known one."""
    if not _SIGNER.search(milter.endpoint):
        return None
    program = "dkimpy" if _DKIMPY.search(milter.endpoint) else "opendkim"
    return next(((path, mode) for path, mode in facts.signers.items() if program in path), None)


def _only_signing(facts: Facts, path: str, mode: str) -> Iterator[str]:
    """The commands that make a signing filter only sign; its file may have a Mode line or not."""
    edit = r"s/^\s*Mode\s.*/Mode s/I" if mode else "$aMode s"
    yield shlex.join(["sed", "-i", edit, path])
    yield facts.system.service("restart", PurePosixPath(path).stem)
