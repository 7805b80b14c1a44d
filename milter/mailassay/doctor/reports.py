"""DMARC reports: would they pass DMARC, does Postfix take them, and do we see it if they bounce?"""

from __future__ import annotations

from collections.abc import Iterator

from ..config.mynetworks import tokens
from ..finding import Severity
from .facts import Facts
from .finding import Finding, fine, warning
from .gather_reports import TIMER
from .wiring import our_endpoint, our_entry

_DELIMITER = "+"  # what to propose


def aligned(facts: Facts) -> Iterator[Finding]:
    """Would a report pass DMARC? No report is sent otherwise."""
    if not facts.reports or not (found := facts.reports.alignment):
        return
    for each in found.problems:
        held = "" if each.severity is Severity.WARNING else ". No report is sent"
        yield warning(each.code, f"{each.what}{held}", fix=each.fix)
    if found.trouble:
        what = f"it is not known whether reports would pass DMARC: {found.trouble}. No report is sent"
        yield warning("reports-unknown", what)
    elif found.passes:
        yield fine("reports-aligned", f"reports from {facts.settings.reports.sender} pass DMARC")


def deliverable(facts: Facts) -> Iterator[Finding]:
    """Does a bounce of a report arrive here?"""
    if not (reports := facts.reports):
        return
    sender, postfix = facts.settings.reports.sender or "", facts.postfix
    delimiter = postfix.value("recipient_delimiter")
    own = [each for each in delimiter if each in sender.rpartition("@")[0]]
    if not delimiter:
        yield warning(
            "reports-delimiter",
            f"recipient_delimiter is empty: all reports come from {sender} itself, so a bounce does not say which "
            "report came back, and reports go on to addresses that do not exist",
            postfix.command("postconf", "-e", f"recipient_delimiter={_DELIMITER}"),
        )
    elif own:
        yield warning(
            "reports-delimiter",
            f"the local-part of {sender} has {own[0]}, at which Postfix splits addresses (recipient_delimiter): all "
            "reports come from that address itself, so a bounce does not say which report came back, and reports go on "
            "to addresses that do not exist",
            fix=f"Let reports.from be an address without {own[0]} in its local-part",
        )
    else:
        yield fine("reports-delimiter", f"Postfix takes mail for extensions of {sender}")
    if reports.takes is False:
        yield warning(
            "reports-address",
            f"Postfix takes no mail for the domain of {sender}: mailassay sees no bounce of a report",
            fix="Let reports.from be an address of a domain for which this Postfix takes mail",
        )
    elif reports.knows is False:
        yield warning(
            "reports-address",
            f"Postfix does not know the recipient {sender}: bounces of reports, and answers to them, are refused",
            fix="Add it to the mailboxes or aliases of its domain",
        )
    elif reports.knows:
        yield fine("reports-address", f"Postfix takes mail for {sender}")


def bounces(facts: Facts) -> Iterator[Finding]:
    """Does mailassay see the bounces that this Postfix itself makes?"""
    if not facts.reports:
        return
    postfix, missing = facts.postfix, False
    for service in postfix.services:
        if service.program != "cleanup":
            continue
        if not our_entry(facts, service, "non_smtpd_milters"):
            missing = True
            others = postfix.as_written("non_smtpd_milters", service)
            value = ", ".join(each for each in (our_endpoint(facts), others) if each)
            yield warning(
                "reports-bounces",
                f"{postfix.where('non_smtpd_milters', service)} does not list our socket: mailassay does not see the "
                "bounces of reports that this Postfix makes",
                postfix.set("non_smtpd_milters", value, service),
            )
        classes = tokens(postfix.value("internal_mail_filter_classes", service))
        if "bounce" not in classes:
            missing = True
            yield warning(
                "reports-bounces",
                f"{postfix.where('internal_mail_filter_classes', service)} has no bounce: Postfix shows its bounces to "
                "no milter, and mailassay does not see those of reports",
                postfix.set("internal_mail_filter_classes", ", ".join([*classes, "bounce"]), service),
            )
    if not missing:
        yield fine("reports-bounces", "mailassay sees the bounces of reports")


def handed_over(facts: Facts) -> Iterator[Finding]:
    """Are reports sent, and does Postfix take them?"""
    if not (reports := facts.reports):
        return
    smtp = facts.settings.reports.smtp
    if reports.silence:
        yield warning(
            "reports-smtp",
            f"Postfix does not take reports at {smtp} ({facts.place('reports.smtp')}): {reports.silence}",
            fix="Name the port of an smtpd service in reports.smtp",
        )
    elif reports.silence is not None:
        yield fine("reports-smtp", f"an SMTP server takes reports at {smtp}")
    if reports.timer is False:
        yield warning("reports-timer", f"{TIMER} is not enabled: no reports are sent", *facts.system.enable(TIMER))
    elif reports.timer:
        yield fine("reports-timer", f"{TIMER} sends reports")
