"""A report as a mail (RFC 9990 section 3.5.2). The same report and date give the same octets.

Each address gets the same octets behind a To field of its own, so that what is kept is kept once.
"""

from __future__ import annotations

import gzip
import re
import zlib
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from io import BytesIO

from .. import __version__
from ..domain import BadDomain, Domain
from ..terminal import wrapped
from . import document, fit, naming
from .report import Disposition, Report, Row

MAX_LINE = 78  # characters (RFC 5322 section 2.1.1), except for a name that is longer
_TYPE = "application/gzip"
# RFC 5322 section 3.4.1, without comments and folding; the rest of a quoted string is escaped
_DOT_ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"')
_VISIBLE = re.compile("[ -~]+")
_MAX_LOCAL_PART = 64  # octets (RFC 5321 section 4.5.3.1.1), before it is quoted


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
    sender = written(report.reporter.address)
    name = naming.file_name(report)
    lines = [
        f"From: {sender}",
        *_folded("Subject:", *naming.subject(report)),
        f"Date: {format_datetime(datetime.fromtimestamp(int(at), UTC))}",
        *_folded("Message-ID:", f"<{identifier}@{sender.rpartition('@')[2]}>"),
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
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


def addressed(mail: bytes, address: str) -> bytes:
    """The mail to one address, which may come from DNS. Raises ValueError for one that no To field can have."""
    return b"\r\n".join([*(line.encode("ascii") for line in _folded("To:", written(address))), mail])


def written(address: str) -> str:
    """An address as a field has it (RFC 5322 section 3.4.1), its domain with A-labels. Raises ValueError.

    A local-part that is not ASCII would need SMTPUTF8 on the whole way. It is refused.
    """
    local_part, at, domain = address.rpartition("@")
    if not at or not _VISIBLE.fullmatch(local_part) or len(local_part) > _MAX_LOCAL_PART:
        raise ValueError("not an address that a field can have")
    if not _DOT_ATOM.fullmatch(local_part) and not _QUOTED.fullmatch(local_part):
        escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
        local_part = f'"{escaped}"'
    try:
        return f"{local_part}@{Domain(domain)}"
    except BadDomain as error:
        raise ValueError(f"not an address: {error}") from error


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


def _folded(first: str, *parts: str) -> Iterator[str]:
    """A field in lines. It is folded between parts, and within a part only if the part is longer than a line."""
    line = first
    for part in parts:
        for piece in [part] if len(part) < MAX_LINE else part.split(" "):
            if len(line) + 1 + len(piece) > MAX_LINE:
                yield line
                line = ""
            line = f"{line} {piece}"
    yield line


def _base64(octets: memoryview) -> Iterator[str]:
    """The octets in lines of 76 characters (RFC 2045 section 6.8)."""
    for start in range(0, len(octets), 57):
        yield b64encode(octets[start : start + 57]).decode("ascii")
