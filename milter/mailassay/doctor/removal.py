"""What Postfix still needs mailassay for, to be asked before it is removed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from .facts import Facts
from .finding import Finding, error, warning
from .milters import edited, parsed
from .postfix import Service
from .wiring import is_ours

_CONSEQUENCES = {
    "accept": "all mail comes in unjudged, with whatever header it forges",
    "reject": "all mail is refused for good",
    "quarantine": "all mail is put into the hold queue",
}


def remaining(facts: Facts) -> Iterator[Finding]:
    """Where Postfix names our socket, and what it holds on our word; with the commands that end it."""
    postfix, lists = facts.postfix, {"smtpd": "smtpd_milters", "cleanup": "non_smtpd_milters"}
    places, mends, action = list[str](), list[str](), ""
    for service in postfix.services:
        name = lists.get(service.program, "")
        if name and any(is_ours(facts, each) for each in parsed(postfix.value(name, service))):
            value = _without_us(facts, name, service)
            places.append(postfix.where(name, service))
            mends.append(postfix.set(name, value, service))
            action = action or postfix.value("milter_default_action", service).lower()
    if places:
        then = _CONSEQUENCES.get(action, "all mail is deferred, also that of your own users where it is in their list")
        when = "as soon as Postfix runs again" if facts.down else "from then on"
        named = [*dict.fromkeys(places)]
        has = "has" if len(named) == 1 else "have"
        reason = f"{', '.join(named)} {has} our socket. Without mailassay, {when} {then}"
        reload = () if facts.down else (postfix.command("postfix", "reload"),)
        yield (warning if facts.down else error)("still-asked", reason, *dict.fromkeys(mends), *reload)
    folder = ("-c", postfix.folder) if postfix.folder else ()
    if facts.held:
        some = "1 message is" if facts.held == 1 else f"{facts.held} messages are"
        yield warning(
            "still-held",
            f"{some} held on our word. Look, and release or delete them before: without mailassay, postqueue -p does "
            "not tell them apart from what others hold, and each is released by postsuper -H ID",
            *(shlex.join(("mailassay", "held", *words, *folder)) for words in ((), ("release", "--all"))),
        )
    for each in facts.unseen:
        reason = f"whether messages are held on our word is not known: could not look at {each}"
        yield warning("still-unknown", reason, shlex.join(("mailassay", "held", *folder)))


def _without_us(facts: Facts, name: str, service: Service) -> str:
    """A list without our socket; expanded if it has a ``$name``, which may hold our socket too."""
    if "$" in facts.postfix.as_written(name, service):
        others = (each for each in parsed(facts.postfix.value(name, service)) if not is_ours(facts, each))
        return ", ".join(map(str, others))
    return edited(facts.postfix, name, service, lambda each: None if is_ours(facts, each) else each)
