"""A failure report as a mail: ``multipart/report`` with a ``message/feedback-report`` (RFC 5965, RFC 6591, RFC 9991).

The same incident gives the same octets, in lines of ASCII. It must be redacted before (``redaction``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from .. import __version__
from ..authres.render import render
from ..message import MAX_LINE as MAX_OCTETS
from ..report_mail import MAX_LINE, date, folded, head
from ..result import Resinfo, Result
from ..terminal import wrapped
from .incident import Delivery, Failure, Incident

MAX_RECORD = 2000  # characters of an SPF record
_MAX_TERM = 400  # characters of a term, which is twice as long if all of them are escaped
_WORDS = {
    Delivery.DELIVERED: "The message was delivered.",
    Delivery.SPAM: "The message was delivered with a mark.",
    Delivery.POLICY: "The message is on hold.",
    Delivery.REJECT: "The message was refused.",
}
_NAMES = re.compile("[^:]*:|[^:]+")
_NOT_SEEN = re.compile(r"[^ -~]")
_URL = re.compile(r"http(?=s?:)", re.IGNORECASE)


class Reporter(Protocol):
    """Who reports: the receiver's domain, the address in From, and how to reach people."""

    @property
    def domain(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def contact(self) -> str: ...


def compose(
    incident: Incident, reporter: Reporter, report_id: str, at: float, spf_records: Sequence[str] = ()
) -> bytes:
    """The mail without its To field. ``at``: its Date, in seconds since 1970.

    ``spf_records`` are those of the domain that SPF checked.
    """
    boundary = f"=_{report_id}"
    subject = f"DMARC failure report for {incident.domain} Submitter: {reporter.domain} Report-ID: {report_id}".split()
    lines = [
        *head(reporter.address, subject, report_id, at),
        "Content-Type: multipart/report; report-type=feedback-report;",
        f' boundary="{boundary}"',
        "",
        *_part(boundary, "text/plain; charset=us-ascii"),
        *_text(incident, reporter),
        "",
        *_part(boundary, "message/feedback-report"),
        *_feedback(incident, reporter, spf_records),
        "",
        *_part(boundary, "text/rfc822-headers"),
        *_headers(incident, reporter),
        "",
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def _part(boundary: str, content_type: str) -> tuple[str, ...]:
    return f"--{boundary}", f"Content-Type: {content_type}", "Content-Transfer-Encoding: 7bit", ""


def _feedback(incident: Incident, reporter: Reporter, spf_records: Sequence[str]) -> Iterator[str]:
    """The part for programs (RFC 6591, RFC 9991 section 4)."""
    yield "Feedback-Type: auth-failure"
    yield "Version: 1"
    yield f"User-Agent: mailassay/{__version__}"
    yield f"Auth-Failure: {incident.failure}"
    yield _on_one_line(_results(reporter, [_dmarc(incident)]))
    yield f"Identity-Alignment: {', '.join(incident.unaligned) or 'none'}"
    if signature := incident.failed_signature:
        yield from _given("DKIM-Domain", signature.domain)
        yield from _given("DKIM-Identity", signature.identity or (signature.domain and f"@{signature.domain}"))
        yield from _given("DKIM-Selector", signature.selector)
    if spf := incident.failed_spf:
        # an empty text if there is no record
        for record in spf_records or ("",):
            field = folded("SPF-DNS:", "txt", ":", spf.domain, ":", *_quoted(record))
            yield _on_one_line(field)
    yield f"Delivery-Result: {incident.delivery}"
    yield from _given("Original-Envelope-Id", incident.queue_id)
    yield from _given("Original-Mail-From", f"<{incident.mail_from}>" if incident.mail_from else "")
    yield from _given("Source-IP", incident.client)
    yield from _given("Reported-Domain", incident.header_from)
    yield f"Arrival-Date: {date(incident.time)}"
    yield f"Incidents: {incident.count}"


def _on_one_line(field: Iterable[str]) -> str:
    """A field that is folded only if it has to be (RFC 5322 section 2.1.1): parsedmarc reads line by line here."""
    lines = list(field)
    line = "".join(lines)
    return line if len(line) <= MAX_OCTETS else "\r\n".join(lines)


def _given(name: str, value: str) -> Iterator[str]:
    """A field, if there is a value for it."""
    if value:
        yield from folded(f"{name}:", _fit(value))


def _results(reporter: Reporter, found: list[Resinfo]) -> Iterator[str]:
    """Our Authentication-Results field."""
    first, *more = render(reporter.domain, found).split("\n")
    yield from folded("Authentication-Results:", *first.split())
    for each in more:
        yield from (f" {line.lstrip()}" for line in folded("", *each.split()))


def _dmarc(incident: Incident) -> Resinfo:
    return Resinfo("dmarc", Result(incident.result), (("header", "from", incident.header_from),))


def _headers(incident: Incident, reporter: Reporter) -> Iterator[str]:
    """What is shown of the header section, below the results of this host."""
    spf = incident.spf
    found = [Resinfo("spf", Result(spf.result), (("smtp", spf.scope, spf.domain),) if spf.domain else ())]
    found += [
        Resinfo("dkim", Result(each.result), (("header", "d", each.domain), ("header", "s", each.selector)))
        for each in incident.signatures
    ]
    yield from _results(reporter, [*found, _dmarc(incident)])
    for name, value in incident.fields:
        yield from folded(f"{name}:", *_words(value))


def _text(incident: Incident, reporter: Reporter) -> Iterator[str]:
    """The part for people."""
    yield from wrapped(_begin(incident), MAX_LINE)
    yield ""
    yield from wrapped(_alignment(incident), MAX_LINE)
    yield from wrapped(f"SPF: {_outcome(incident.spf.result, incident.spf.fault, incident.spf.domain)}", MAX_LINE)
    for each in incident.signatures:
        yield from wrapped(f"DKIM: {_outcome(each.result, each.fault, each.domain)}", MAX_LINE)
    yield _WORDS[incident.delivery]
    yield ""
    yield from wrapped(
        f"The DMARC record of {incident.domain} asks for these reports (its ruf tag). To get no more of them, remove "
        "the tag. The local-parts of addresses are replaced by hashes; equal ones have equal hashes. Names, comments, "
        "the subject and the body are left out.",
        MAX_LINE,
    )
    if contact := _NOT_SEEN.sub("?", reporter.contact):
        yield from wrapped(f"Contact: {contact}", MAX_LINE)


def _begin(incident: Incident) -> str:
    when = date(incident.time)
    said = f"This is a DMARC failure report (RFC 9991) for a message that was received on {when}"
    said += f" from {incident.client}." if incident.client else "."
    said += f" Its From field has the domain {incident.header_from}."
    if incident.count > 1:
        said += f" {incident.count} messages of that hour failed in the same way."
    return said


def _alignment(incident: Incident) -> str:
    if incident.failure is not Failure.DMARC:
        return "SPF and DKIM authenticate an aligned domain, but another signature fails."
    methods = [each.upper() for each in incident.unaligned]
    return f"No aligned domain was authenticated by {' or '.join(methods)}."


def _outcome(result: str, fault: str, domain: str) -> str:
    about = f" for {domain}" if domain else ""
    return _fit(f"{result}{about} ({fault})" if fault else f"{result}{about}")


def _fit(text: str) -> str:
    """Text on one line of ASCII, in which no URL can be clicked on."""
    return _URL.sub(_defused, _NOT_SEEN.sub("?", text))


def _defused(found: re.Match[str]) -> str:
    return "hxxp" if found[0].islower() else "HXXP"


def _words(value: str) -> list[str]:
    """The words between which a value may be folded; also the names of h=, which is one long word otherwise."""
    return [
        piece for word in _fit(value).split() for piece in (_NAMES.findall(word) if len(word) > MAX_LINE else [word])
    ]


def _quoted(record: str) -> list[str]:
    """The words of a quoted string, between which it may be folded."""
    words = [each[:_MAX_TERM] for each in _fit(record[:MAX_RECORD]).split(" ")]
    text = " ".join(words).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'.split(" ")
