"""A report as a mail (RFC 9990 section 3.5.2). The same report and date give the same octets.

Each address gets the same octets behind a To field of its own, so that what is kept is kept once.
"""

from __future__ import annotations

import gzip
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import BytesIO

from .. import __version__
from ..domain import Domain
from ..report_mail import MAX_LINE, addressed, head, written
from ..terminal import wrapped
from . import document, fit, naming
from .report import Disposition, Report, Row

__all__ = ["addressed", "attached", "compose", "written"]

_TYPE = "application/gzip"


@dataclass(slots=True)
class _Numbers:
    """What is counted while the rows are read."""

    rows: int = 0
    messages: int = 0
    passed: int = 0
    actions: Counter[Disposition] = field(default_factory=Counter)

    def through(self, rows: Iterator[tuple[Row, int]]) -> Iterator[tuple[Row, int]]:
        """The rows, each counted as it goes by."""
        for row, count in rows:
            self.rows += 1
            self.messages += count
            if row.dkim or row.spf:
                self.passed += count
            else:
                self.actions[row.disposition] += count
            yield row, count


def compose(report: Report, at: float) -> bytes:
    """The mail without its To field, in lines of ASCII that end with CRLF. ``at``: its Date, in seconds since 1970.

    Raises ValueError for a report without rows, and for a reporter whose address or domain is none.
    """
    numbers = _Numbers()
    packed = BytesIO()
    # without a time and without a name, so that the same rows are the same octets
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        for piece in document.pieces(replace(report, rows=numbers.through(iter(report.rows)))):
            file.write(piece)
    identifier, boundary = naming.id_of(report), f"=_{naming.id_of(report)}"
    name = naming.file_name(report)
    lines = [
        *head(report.reporter.address, naming.subject(report), identifier, at),
        f'Content-Type: multipart/mixed; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        *_text(report, numbers),
        "",
        f"--{boundary}",
        f"Content-Type: {_TYPE};",
        f' name="{name}"',
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f' filename="{name}"',
        "",
        *_base64(packed.getbuffer()),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def attached(mail: bytes) -> bytes:
    """The XML in a mail that :func:`compose` made. Raises ValueError for any other."""
    _, found, rest = mail.rpartition(f"Content-Type: {_TYPE};\r\n".encode())
    encoded, end, _ = rest.partition(b"\r\n\r\n")[2].partition(b"\r\n--")
    if not found or not end:
        raise ValueError("no mail of an aggregate report")
    try:
        return gzip.decompress(b64decode(encoded))
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError("an aggregate report that is damaged") from error


def _text(report: Report, numbers: _Numbers) -> Iterator[str]:
    """The annotation for people (section 3.5.2), in ASCII: names of senders are only in the XML."""
    domain, receiver = Domain(report.policy.domain), Domain(report.reporter.domain)
    day = datetime.fromtimestamp(report.period.begin, UTC)
    yield from wrapped(f"DMARC aggregate report (RFC 9990) about {domain}, from {receiver}", MAX_LINE)
    yield f"for {day:%Y-%m-%d} (UTC)."
    yield ""
    yield f"Messages:      {numbers.messages}"
    yield f"Passed DMARC:  {numbers.passed}"
    words = {Disposition.REJECT: "rejected", Disposition.QUARANTINE: "quarantined"}
    actions = [f"{number} {words[each]}" for each in words if (number := numbers.actions[each])]
    failed = f"{numbers.messages - numbers.passed}"
    yield f"Failed:        {failed}{', of these ' if actions else ''}{', '.join(actions)}"
    yield ""
    yield from wrapped(f"The attachment has the details, as XML. It was made by mailassay {__version__}.", MAX_LINE)
    yield from wrapped(f"The DMARC record of {domain} asks for these reports, by its rua tag.", MAX_LINE)
    if (contact := fit.sentence(report.reporter.contact)) and contact.isascii():
        yield from wrapped(f"Contact: {contact}", MAX_LINE)


def _base64(octets: memoryview) -> Iterator[str]:
    """The octets in lines of 76 characters (RFC 2045 section 6.8)."""
    for start in range(0, len(octets), 57):
        yield b64encode(octets[start : start + 57]).decode("ascii")
