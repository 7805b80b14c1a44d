"""Signing: does mailassay see the mail that leaves, what changes it after that, who may sign, and what has DNS?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..config.mynetworks import tokens
from ..message import MAX_LINE
from ..postfix.configuration import RESTRICTIONS, Service
from ..sign import Believed
from .facts import REMOVES, Facts
from .finding import Finding, error, fine, note, warning
from .milters import Milter, edited, parsed
from .wiring import AFTER_SIGNING, endpoint_for, incoming, is_found, listeners, our_entry, scans, signer_of, signs

_LISTS = {"smtpd": "smtpd_milters", "cleanup": "non_smtpd_milters"}
# what keeps a login from the MAIL FROM of another; reject_known_sender_login_mismatch lets it have unknown ones
_LOGIN_CHECKS = ("reject_sender_login_mismatch", "reject_authenticated_sender_login_mismatch")
_ENDS = ("permit", "permit_sasl_authenticated")  # what comes after them is not looked at for a login


def _signs_here(facts: Facts) -> bool:
    return bool(facts.settings.sign.domains)


def seen(facts: Facts) -> Iterator[Finding]:
    """Does Postfix show mailassay the mail that it may sign?"""
    if not _signs_here(facts):
        return
    for service in listeners(facts):
        if service.is_submission:
            yield from _of_users(facts, service)
    for service in facts.postfix.services:
        if service.program == "cleanup":
            yield from _of_this_host(facts, service)


def _of_users(facts: Facts, service: Service) -> Iterator[Finding]:
    postfix = facts.postfix
    if _is_signed_later(facts, service):
        yield fine("sign-submission", f"mail of {service} goes through a content filter, and is signed after that")
        return
    options = tokens(postfix.value("receive_override_options", service))
    if "no_milters" in options:
        yield error(
            "sign-submission",
            f"mail of your own users by {service} is not signed: "
            f"{postfix.where('receive_override_options', service)} has no_milters",
            postfix.set(
                "receive_override_options", ",".join(each for each in options if each != "no_milters"), service
            ),
        )
    if _place(facts, service) is None:
        yield error(
            "sign-submission",
            f"mail of your own users by {service} is not signed: {postfix.where('smtpd_milters', service)} does not "
            "list our socket",
            postfix.set("smtpd_milters", _and_us(facts, "smtpd_milters", service), service),
        )
    elif "no_milters" not in options:
        yield fine("sign-submission", f"mailassay sees the mail of {service}")


def _is_signed_later(facts: Facts, service: Service) -> bool:
    """Does the mail of a service go through a content filter, which hands it to a service that asks us?"""
    if not facts.postfix.value("content_filter", service):
        return False
    return any(each.is_local and _place(facts, each) is not None for each in listeners(facts) if each is not service)


def _of_this_host(facts: Facts, service: Service) -> Iterator[Finding]:
    postfix, missing = facts.postfix, False
    if _place(facts, service) is None:
        missing = True
        yield warning(
            "sign-non-smtpd",
            f"{postfix.where('non_smtpd_milters', service)} does not list our socket: mail of programs on this host, "
            "by sendmail(1), is not signed",
            postfix.set("non_smtpd_milters", _and_us(facts, "non_smtpd_milters", service), service),
        )
    classes = tokens(postfix.value("internal_mail_filter_classes", service))
    if "bounce" not in classes:
        missing = True
        yield warning(
            "sign-bounces",
            f"{postfix.where('internal_mail_filter_classes', service)} has no bounce: bounces are not signed",
            postfix.set("internal_mail_filter_classes", ", ".join([*classes, "bounce"]), service),
        )
    if not missing:
        yield fine("sign-non-smtpd", "mailassay sees the mail of programs on this host, and bounces")


def _and_us(facts: Facts, name: str, service: Service) -> str:
    """A list as it is written, with our socket at its end: what other milters change, they change before us.

    Another signer is left out, since its signature would be a second one.
    """
    others = facts.postfix.as_written(name, service)
    if any(signer_of(facts, each) for each in _milters(facts, service)):
        others = edited(facts.postfix, name, service, lambda each: None if signer_of(facts, each) else each)
    return ", ".join(filter(None, (others, endpoint_for(facts, service))))


def _milters(facts: Facts, service: Service) -> Sequence[Milter]:
    return parsed(facts.postfix.value(_LISTS[service.program], service))


def _place(facts: Facts, service: Service) -> int | None:
    """Where our socket is in the list of a service; None if it is not there."""
    entry = our_entry(facts, service, _LISTS[service.program])
    return entry.index if entry else None


def once(facts: Facts) -> Iterator[Finding]:
    """Does a list name our socket twice?"""
    for service, name in _asking(facts):
        milters = _milters(facts, service)
        first = _place(facts, service)
        left = [each for at, each in enumerate(milters) if at == first or is_found(facts, service, each) is None]
        if len(left) < len(milters):
            yield warning(
                "sign-twice",
                f"{facts.postfix.where(name, service)} lists our socket more than once: each message passes through "
                "mailassay as often",
                facts.postfix.set(name, ", ".join(map(str, left)), service),
            )


def _asking(facts: Facts) -> Iterator[tuple[Service, str]]:
    """The services with a list of milters, and its name; none if nothing is signed."""
    if _signs_here(facts):
        yield from ((each, "smtpd_milters") for each in listeners(facts))
        yield from ((each, "non_smtpd_milters") for each in facts.postfix.services if each.program == "cleanup")


def unchanged(facts: Facts) -> Iterator[Finding]:
    """Does anything change a message after it was signed?"""
    for service, name in _asking(facts):
        if (place := _place(facts, service)) is not None:
            yield from _behind(facts, service, name, place)
            if name == "smtpd_milters":
                yield from _filtered(facts, service)
    if _signs_here(facts):
        yield from _removed(facts)
        for service in facts.postfix.services:
            if service.program == "smtp":
                yield from _on_leaving(facts, service)


def _behind(facts: Facts, service: Service, name: str, place: int) -> Iterator[Finding]:
    """Milters after ours, which can change what we signed."""
    milters = _milters(facts, service)
    judged = any(each is service for each in incoming(facts))
    for milter in milters[place + 1 :]:
        # wiring.neighbours has said it of a scanner of incoming mail
        ours = is_found(facts, service, milter) is not None
        if ours or signs(facts, milter) or (judged and scans(milter)):
            continue
        last = max(at for at, each in enumerate(milters) if not signs(facts, each))
        order = [*milters[:place], *milters[place + 1 : last + 1], milters[place], *milters[last + 1 :]]
        yield note(
            "sign-behind",
            f"{milter.endpoint} comes after mailassay in {facts.postfix.where(name, service)}: if it changes a field "
            "that is signed, or the body, our signature fails",
            facts.postfix.set(name, ", ".join(map(str, order)), service),
        )


def _filtered(facts: Facts, service: Service) -> Iterator[Finding]:
    if found := facts.postfix.value("content_filter", service):
        yield note(
            "sign-filter",
            f"{facts.postfix.where('content_filter', service)} is {found}, which comes after mailassay: if the filter "
            "changes a field that is signed, or the body, our signature fails",
            fix="If it does, sign after it (docs/signing.md, What Postfix changes)",
        )


def _removed(facts: Facts) -> Iterator[Finding]:
    """Header checks for what milters write."""
    postfix = facts.postfix
    for table in facts.tables.get("milter_header_checks", ()):
        action = table.of_signature.split()[0].upper() if table.of_signature else ""
        if action in REMOVES:
            yield error(
                "sign-milter-checks",
                f"milter_header_checks has {table.name}, which applies {action} to DKIM-Signature: our signatures are "
                "lost",
                fix=f"Take the lines about that field out of the table, or the table out of the list: "
                f"{postfix.command('postconf', 'milter_header_checks')} shows it",
            )


def _on_leaving(facts: Facts, service: Service) -> Iterator[Finding]:
    """What smtp(8) does to a message when it sends it on."""
    postfix = facts.postfix
    name = "disable_mime_output_conversion"
    if postfix.value(name, service).lower() == "no":
        yield note(
            "sign-8bit",
            f"{postfix.where(name, service)} is no: to a host that does not offer 8BITMIME, Postfix sends 8-bit text "
            "as quoted-printable, and our signature fails",
            postfix.set(name, "yes", service),
        )
    name = "smtp_line_length_limit"
    # 0 means that no line is broken
    if re.fullmatch("0*[1-9][0-9]{0,8}", postfix.value(name, service)):
        yield note(
            "sign-lines",
            f"{postfix.where(name, service)} is {postfix.value(name, service)}: Postfix breaks a longer line, and our "
            f"signature fails. Programs should write none (RFC 5322: {MAX_LINE})",
            postfix.set(name, "0", service),
        )
    name, *checks = AFTER_SIGNING
    if found := postfix.value(name, service):
        yield warning(
            "sign-generic",
            f"{postfix.where(name, service)} is {found}: our signature fails if it replaces an address in From, To, Cc "
            "or Reply-To",
            fix="Name the table in sender_canonical_maps instead, which comes before mailassay; then "
            f"{postfix.set(name, '', service)}",
        )
    for name in checks:
        if found := postfix.value(name, service):
            yield note(
                "sign-checks",
                f"{postfix.where(name, service)} is {found}: our signature fails if it changes a field that is signed, "
                "or the body",
                fix=f"Such lines belong into {_before(name)}, which come before mailassay",
            )


def _before(name: str) -> str:
    """The checks of cleanup(8) that do the same as one of smtp(8)."""
    return name.removeprefix("smtp_")


def senders(facts: Facts) -> Iterator[Finding]:
    """``sign.from: envelope``: does Postfix keep a login from the MAIL FROM of another?"""
    postfix = facts.postfix
    if not _signs_here(facts) or facts.settings.sign.believed is not Believed.ENVELOPE:
        return
    for service in listeners(facts):
        if postfix.value("smtpd_sasl_auth_enable", service).lower() != "yes" or _place(facts, service) is None:
            continue
        lists = {name: tokens(postfix.value(name, service)) for name in RESTRICTIONS}
        classes = set(tokens(postfix.value("smtpd_restriction_classes", service)))
        if any(classes.intersection(each) for each in lists.values()):
            # what a class does is not looked at
            continue
        maps = postfix.value("smtpd_sender_login_maps", service)
        who = f"a login of {service} can use any MAIL FROM, and so gets mail in the name of every domain of "
        if not maps:
            yield warning(
                "sign-senders",
                f"{who}sign.domains signed: {postfix.where('smtpd_sender_login_maps', service)} is empty",
                fix="Make a table that has the logins of each address (smtpd_sender_login_maps in postconf(5)), and "
                "run mailassay doctor again; or set sign.from to login",
            )
        elif not any(map(_checks_login, lists.values())):
            name = "smtpd_sender_restrictions"
            others = [each for each in tokens(postfix.as_written(name, service)) if each not in _LOGIN_CHECKS]
            yield warning(
                "sign-senders",
                f"{who}sign.domains signed: no list of restrictions has {_LOGIN_CHECKS[1]} before it permits logins",
                postfix.set(name, ", ".join([_LOGIN_CHECKS[1], *others]), service),
            )
        else:
            yield fine("sign-senders", f"each login of {service} has MAIL FROM addresses of its own")


def _checks_login(restrictions: Sequence[str]) -> bool:
    """Does a list compare MAIL FROM with the login, before it lets every login pass?"""
    ends = next((at for at, each in enumerate(restrictions) if each in _ENDS), len(restrictions))
    return any(each in _LOGIN_CHECKS for each in restrictions[:ends])


def permissions(facts: Facts) -> Iterator[Finding]:
    """Can others read or replace the keys that sign, or can the service not read them?"""
    for each in facts.doubts:
        yield warning("sign-permissions", each.what.removeprefix("sign: "), each.fix)


def published(facts: Facts) -> Iterator[Finding]:
    """Does DNS have the record of each key that signs?"""
    for each in facts.published:
        key, next_step = each.key, f"mailassay key check {each.key.domain} says more"
        if each.problem:
            what = f"DNS does not have the key {key}, so nobody can verify by it: {each.problem} at {each.name}"
            yield error("sign-record", what, fix=f'Publish "{key.record}" as TXT there; {next_step}')
        elif each.trouble:
            yield note("sign-record-unknown", f"it is unknown if DNS has the key {key}: {each.trouble}", fix=next_step)
        else:
            yield fine("sign-record", f"DNS has the key {key}")
