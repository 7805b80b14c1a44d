"""What Postfix still needs mailassay for, before mailassay is removed."""

from __future__ import annotations

from collections.abc import Iterator

from ..postfix.configuration import Service
from .facts import Facts
from .finding import Finding, error, warning
from .milters import edited, parsed
from .wiring import is_ours

_CONSEQUENCES = {
    "accept": "all mail comes in unjudged, with whatever header it forges",
    "reject": "all mail is refused for good",
    "quarantine": "all mail is put into the hold queue",
}
_DEFERRED = "all mail is deferred, also that of your own users if the socket is in their list"


def remaining(facts: Facts) -> Iterator[Finding]:
    """Where Postfix names our socket, and which messages mailassay put on hold; with the commands that end both."""
    postfix, lists = facts.postfix, {"smtpd": "smtpd_milters", "cleanup": "non_smtpd_milters"}
    places, fixes, action = list[str](), list[str](), ""
    for service in postfix.services:
        name = lists.get(service.program, "")
        if name and any(is_ours(facts, each) for each in parsed(postfix.value(name, service))):
            value = _without_us(facts, name, service)
            places.append(postfix.where(name, service))
            fixes.append(postfix.set(name, value, service))
            action = action or postfix.value("milter_default_action", service).lower()
    if places:
        then = _CONSEQUENCES.get(action, _DEFERRED)
        when = "as soon as Postfix runs again" if facts.down else "from then on"
        named = [*dict.fromkeys(places)]
        has = "has" if len(named) == 1 else "have"
        reason = f"{', '.join(named)} {has} our socket. Without mailassay, {when} {then}"
        reload = () if facts.down else (postfix.command("postfix", "reload"),)
        yield (warning if facts.down else error)("still-asked", reason, *dict.fromkeys(fixes), *reload)
    if facts.held:
        some = "1 message is" if facts.held == 1 else f"{facts.held} messages are"
        yield warning(
            "still-held",
            f"{some} on hold because of mailassay",
            facts.listing(),
            facts.listing("release", "--all"),
            fix="Look at them, then release or delete them first: without mailassay, postqueue -p shows them among all "
            "other held messages, and postsuper -H ID releases one at a time",
        )
    for each in facts.unseen:
        reason = f"it is unknown whether messages are on hold because of mailassay: could not look at {each}"
        yield warning("still-unknown", reason, facts.listing())


def _without_us(facts: Facts, name: str, service: Service) -> str:
    """A list without our socket; expanded if it has a ``$name``, which may contain our socket too."""
    if "$" in facts.postfix.as_written(name, service):
        others = (each for each in parsed(facts.postfix.value(name, service)) if not is_ours(facts, each))
        return ", ".join(map(str, others))
    return edited(facts.postfix, name, service, lambda each: None if is_ours(facts, each) else each)
