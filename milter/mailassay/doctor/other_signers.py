"""Does another program sign too, now that mailassay signs?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from ..postfix.configuration import Service
from .facts import Facts
from .finding import Finding, fine, note, warning
from .milters import Milter, edited, parsed
from .wiring import entries, is_ours, our_endpoint, signer_of

_SHOWN = 5  # domains in a message
_LISTS = {"smtpd": "smtpd_milters", "cleanup": "non_smtpd_milters"}


def other_signer(facts: Facts) -> Iterator[Finding]:
    """Does opendkim or dkimpy-milter sign what mailassay should sign?"""
    if not facts.settings.sign.domains:
        return
    for path in facts.signing:
        program = PurePosixPath(path).stem
        places, commands = _lists(facts, path)
        stop = facts.system.disable(program)
        if (places or program in facts.running) and (lacking := _lacking(facts, path)):
            asked = f"{', '.join(places)} {'names' if len(places) == 1 else 'name'} its socket" if places else ""
            yield warning(
                "other-signer",
                f"{program} has a key ({path}; {asked or 'Postfix does not ask it'}), and {lacking}",
                fix=f"mailassay migrate {path} says what sign of mailassay.yaml lacks. Until that is "
                f"settled, let {program} sign",
            )
        elif places:
            yield warning(
                "other-signer",
                f"{program} signs too: {path} has a key and does not only verify, and {', '.join(places)} "
                f"{'names' if len(places) == 1 else 'name'} its socket. Mail that passes both has two signatures, and "
                f"what passes {program} alone is not signed by mailassay",
                *commands,
                facts.postfix.command("postfix", "reload"),
                *stop,
                fix=f"SMTP sessions that are under way keep the milters they had: stop {program} when they have ended",
            )
        elif program in facts.running:
            what = f"{program} still runs with a key ({path}), and Postfix does not ask it: mailassay signs"
            yield note("other-signer", what, *stop)
        else:
            yield fine("other-signer", f"Postfix does not ask {program}, and it does not run: mailassay signs")


def _lacking(facts: Facts, path: str) -> str:
    """What the filter signs and mailassay does not, as far as that is known; empty if that is nothing."""
    signed, sign = facts.signed.get(path), facts.settings.sign
    if signed is None:
        return "it is not known for what domains"
    missing = sorted(
        each
        for each in signed.domains
        if each not in sign.domains
        and not (sign.subdomains and any(parent in sign.domains for parent in each.parents()))
    )
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        return f"sign.domains of mailassay.yaml lacks {', '.join(missing[:_SHOWN])}{more}, for which it signs"
    if signed.below and not sign.subdomains:
        return "it signs for names below its domains, which mailassay does not without sign.subdomains"
    return f"it may sign for what mailassay does not: {signed.doubt}" if signed.doubt else ""


def _lists(facts: Facts, path: str) -> tuple[list[str], list[str]]:
    """The lists of milters that name the socket of the filter configured by ``path``, and the commands that end it."""
    places, commands = dict[str, None](), dict[str, None]()
    for service in facts.postfix.services:
        name = _LISTS.get(service.program, "")
        if name and any(signer_of(facts, each) == path for each in parsed(facts.postfix.value(name, service))):
            places[facts.postfix.where(name, service)] = None
            commands[facts.postfix.set(name, _without(facts, name, service, path), service)] = None
    return [*places], [*commands]


def _without(facts: Facts, name: str, service: Service, path: str) -> str:
    """The list without the filter; with us in its place, if we are not in the list."""
    present = any(is_ours(facts, each) for each in parsed(facts.postfix.value(name, service)))
    known = entries(facts)
    ours = None if present else known[0].ours if known else Milter(our_endpoint(facts))
    return edited(facts.postfix, name, service, lambda each: ours if signer_of(facts, each) == path else each)
