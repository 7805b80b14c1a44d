"""The section ``reports``: which DMARC reports this host sends, from which address, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from ..address import Address
from ..config_key import Key
from ..policy.sets import Domains
from . import shapes, values
from .document import Code, List, Map, Members, Problem, Unfit, error
from .values import Server


class ReportTo(StrEnum):
    """Whose domains get aggregate reports: those that this host has to do with, or all that ask."""

    KNOWN = "known"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class FailureReports:
    """About whose mail failure reports are sent (RFC 9991), and how many an hour. None are if ``domains`` is empty."""

    domains: Annotated[
        Domains,
        Key(
            "The domains about whose mail failure reports are sent, if their DMARC record asks for them (`ruf`): the "
            "domain of the author, or the one at which the record is. "
            "`.example.com` is for the domain and every name below it. An empty list means that there are none.",
        ),
    ] = field(default_factory=Domains)
    per_hour: Annotated[
        int, Key("How many failure reports are sent in an hour for each DMARC record that asks for them.", 1, 1000)
    ] = 5
    total_per_hour: Annotated[int, Key("How many failure reports are sent in an hour in all.", 1, 100_000)] = 60


@dataclass(frozen=True, slots=True)
class Reports:
    """The DMARC reports that are sent. None are if ``sender`` is None.

    None also means: the domain of ``sender`` (``org_name``), no such text (``contact``), and what the history says
    (``submitter``).
    """

    sender: Annotated[
        str | None,
        Key(
            "The address from which reports are sent, in From and, with an address extension, as the reverse-path. It "
            "turns the aggregate reports of DMARC on (RFC 9990), and needs `history.directory`. Mail from its domain "
            "must pass DMARC, aligned by SPF; `mailassay doctor` says what to publish. `null` sends no reports.",
            name="from",
        ),
    ] = None
    org_name: Annotated[
        str | None,
        Key("The name of your organization, as reports say it. `null` means the domain of `from`."),
    ] = None
    contact: Annotated[
        str | None,
        Key("Where else you can be reached, such as the URL of a page, as reports say it. `null` leaves it out."),
    ] = None
    submitter: Annotated[
        str | None,
        Key(
            "The domain name by which reports name this receiver, in their subjects and in the names of their files. "
            "`null` means the name of this host if its history is a file of SQLite, and the domain of `from` if "
            "several hosts share a history in PostgreSQL. If several hosts have a history each, their names must "
            "differ.",
        ),
    ] = None
    to: Annotated[
        ReportTo,
        Key(
            "Who gets aggregate reports, of the domains that ask for them. `known`: those from which mail passed DMARC "
            "and was accepted, or to which your users wrote, in the last 90 days. `all`: also spammers and whomever "
            "they imitate.",
        ),
    ] = ReportTo.KNOWN
    smtp: Annotated[
        Server,
        Key(
            "Where Postfix takes the reports by SMTP: an address of this machine and a port, such as `127.0.0.1:25` or "
            "`[::1]:25`.",
        ),
    ] = field(default=Server("127.0.0.1", 25))
    per_minute: Annotated[int, Key("How many mails with reports are given to Postfix in a minute.", 1, 10_000)] = 120
    egress: Annotated[
        tuple[Address, ...],
        Key(
            "The addresses from which the mail of this host reaches others. SPF must pass for each of them. An empty "
            "list means that they are found out: the addresses that this machine uses towards others. Name them if it "
            "is behind NAT, or if Postfix gives its mail to another host (`relayhost`). IPv6 addresses need quotes.",
        ),
    ] = ()
    failure: Annotated[FailureReports, Key("The failure reports of DMARC (RFC 9991).")] = field(
        default_factory=FailureReports
    )

    @property
    def domain(self) -> str:
        """The domain of ``sender``; empty if no reports are sent."""
        return (self.sender or "").rpartition("@")[2]


def _reports(sender: str | None = None, failure: FailureReports | None = None, **given: Any) -> Reports:
    if failure and failure.domains and not sender:
        raise Unfit("`failure.domains` needs `from`, the address from which reports are sent")
    return Reports(sender, failure=failure or FailureReports(), **given)


REPORTS: Map[Reports] = shapes.of(
    Reports,
    {
        "from": values.or_nothing(values.report_address),
        "org_name": values.or_nothing(values.short_text),
        "contact": values.or_nothing(values.short_text),
        "submitter": values.or_nothing(values.host),
        "smtp": values.loopback,
        "egress": List(values.egress),
        "failure": shapes.of(
            FailureReports, {"domains": Members(values.domain_pattern, shapes.domains, may_be_empty=True)}
        ),
    },
    _reports,
)


def without_history(given: Mapping[str, Any], lines: Mapping[str, Any], path: str) -> list[Problem]:
    """The problem that reports are on and there is no history to make them from; empty if there is none.

    ``given`` are the sections that the file has. A folder that the file names wrongly is a problem of its own.
    """
    reports, history = given.get("reports"), given.get("history")
    if not (reports and reports.sender) or (history and history.directory):
        return []
    line = lines["reports.from"]
    what = "reports.from: reports are made from the history, and none is kept"
    fix = "set `history.directory`, such as /var/lib/mailassay"
    return [error(Code.VALUE, path, what, fix, line, line.column)]
