"""Findings about the mail domains of this Postfix."""

from __future__ import annotations

from collections.abc import Iterator

from ..dmarc import Disposition
from ..verdict import Action, Kind
from .facts import Facts
from .finding import Finding, fine, note, warning
from .own import Own

_FATE = {
    Action.ACCEPT: "accepted",
    Action.TAG: "tagged and delivered",
    Action.HOLD: "held",
    Action.DEFER: "deferred",
    Action.REJECT: "refused",
}


def strangers(facts: Facts) -> Iterator[Finding]:
    """What happens here to a stranger's mail in the name of an own domain?"""
    for each in facts.own:
        if each.verdict is None:
            yield note("own-domain-unknown", f"it is unknown what {each.name} publishes: {each.trouble}")
            continue
        action, would = each.verdict.action, each.verdict.would
        says = f"{each.name} {_published(each)}: mail from strangers in its name is {_FATE[action]} today"
        if refused(each) or (action is Action.TAG and each.asks is Disposition.QUARANTINE):
            yield fine("own-domain", f"{says} ({each.verdict.rule})")
        elif would is not action:
            yield note(
                "own-domain",
                f"{says}; it would be {_FATE[would]} ({each.verdict.rule}), but that is only recorded",
            )
        else:
            fix = _fix(each, facts)
            what = says if fix else f"{says}, as the policy says ({each.verdict.rule})"
            yield warning("own-domain", what, fix=fix)


def records(facts: Facts) -> Iterator[Finding]:
    """Do the SPF and DMARC records of own domains have problems?"""
    for each in facts.own:
        # a name that is not in DNS has no records
        problems = each.wrong if each.exists else ()
        for problem in problems:
            what = problem.what.removesuffix(".")
            shown = f"mailassay lookup {each.name} shows the records"
            yield warning("own-record", f"{each.name}: {what}", fix=" ".join(filter(None, (problem.fix, shown))))
        if each.verdict and each.exists and not problems:
            yield fine("own-record", f"nothing is wrong with the SPF and DMARC records of {each.name}")


def refused(own: Own) -> bool:
    """Is a stranger's mail in the name of that domain kept out, like all its mail that does not pass DMARC?"""
    return own.verdict is not None and own.verdict.action not in (Action.ACCEPT, Action.TAG)


def _published(own: Own) -> str:
    if not own.exists:
        return "is not in DNS"
    return f"publishes p={own.asks}" if own.asks else "publishes no DMARC policy"


def _fix(own: Own, facts: Facts) -> str:
    """The advice for having such mail refused here and elsewhere; empty if our own policy lets it in."""
    is_asked_for = own.verdict is None or own.verdict.decider.kind is not Kind.DEFAULT
    if is_asked_for or own.asks in (Disposition.QUARANTINE, Disposition.REJECT):
        return ""
    place = facts.settings.policy_path or "the policy"
    lines = f"dmarc: {{authors: [{{for: .{own.name}, unpublished: reject, none: reject}}]}}"
    words = f"To refuse it here, write in {place}: {lines}; at first add monitor: true to see who sends"
    if not own.exists:
        return words
    record = "" if own.asks else f'"v=DMARC1; p=none; rua=mailto:..." at _dmarc.{own.name}, and '
    return f"{words}. To have it refused elsewhere, publish {record}p=reject as soon as all your mail passes"
