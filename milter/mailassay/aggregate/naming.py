"""The names of a report: Report-ID, file name and subject (RFC 9990 sections 3.5.1 and 3.5.2)."""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256

from ..domain import Domain
from .report import Report

KIND = "aggregate"  # of the two kinds of reports
_LENGTH = 26  # characters of a Report-ID: 130 bits


def report_id(receiver: str, policy_domain: str, day: int, kind: str = KIND, key: str = "") -> str:
    """The Report-ID: 26 letters and digits, always the same for the same report.

    ``day`` is a UTC day: seconds since 1970, divided by 86,400. ``key`` tells reports of one day apart. Letters and
    digits are a dot-atom-text (section 3.5.1) and a unique-id (section 3.5.2), so that one identifier serves for both.
    """
    # no part has a NUL, so no two lists of parts are the same text
    text = "\0".join((receiver.lower(), policy_domain.lower(), str(day), kind, key))
    return b32encode(sha256(text.encode(errors="surrogatepass")).digest())[:_LENGTH].decode().lower()


def id_of(report: Report) -> str:
    """The Report-ID of an aggregate report."""
    return report_id(report.reporter.domain, report.policy.domain, report.period.day)


def file_name(report: Report) -> str:
    """The name of the attachment, which a report has each time it is sent (section 3.5.2). Raises BadDomain."""
    parts = (
        Domain(report.reporter.domain),
        Domain(report.policy.domain),
        str(report.period.begin),
        str(report.period.end),
        id_of(report),
    )
    return f"{'!'.join(parts)}.xml.gz"


def subject(report: Report) -> list[str]:
    """The subject (section 3.5.2), in the parts between which it is best folded. Raises BadDomain."""
    domain, receiver = Domain(report.policy.domain), Domain(report.reporter.domain)
    return [f"Report Domain: {domain}", f"Submitter: {receiver}", f"Report-ID: {id_of(report)}"]
