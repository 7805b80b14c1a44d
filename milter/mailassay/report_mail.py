"""What the mails of all DMARC reports have in common: their header section, addresses, and folded fields (RFC 5322)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

from .domain import BadDomain, Domain

MAX_LINE = 78  # characters (RFC 5322 section 2.1.1), except for a name that is longer
# RFC 5322 section 3.4.1, without comments and folding; the rest of a quoted string is escaped
_DOT_ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*"')
_VISIBLE = re.compile("[ -~]+")
_MAX_LOCAL_PART = 64  # octets (RFC 5321 section 4.5.3.1.1), before it is quoted


def head(sender: str, subject: Iterable[str], identifier: str, at: float) -> Iterator[str]:
    """The fields of a report from that address, without To and Content-Type.

    ``subject`` has words between which the field may be folded. ``at`` is the Date, in seconds since 1970. Raises
    ValueError for an address that no field can have.
    """
    address = written(sender)
    yield f"From: {address}"
    yield from folded("Subject:", *subject)
    yield f"Date: {date(at)}"
    yield from folded("Message-ID:", f"<{identifier}@{address.rpartition('@')[2]}>")
    yield "Auto-Submitted: auto-generated"
    yield "MIME-Version: 1.0"


def date(at: float) -> str:
    """A time in seconds since 1970, as fields have it, in UTC (RFC 5322 section 3.3)."""
    return format_datetime(datetime.fromtimestamp(int(at), UTC))


def addressed(mail: bytes, address: str) -> bytes:
    """The mail to one address, which may come from DNS. Raises ValueError for one that no To field can have."""
    return b"\r\n".join([*(line.encode("ascii") for line in folded("To:", written(address))), mail])


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


def folded(first: str, *parts: str) -> Iterator[str]:
    """A field in lines. It is folded between parts, and within a part only if the part is longer than a line.

    An empty ``first`` goes on with a field.
    """
    line = first
    for part in parts:
        for piece in [part] if len(part) < MAX_LINE else part.split(" "):
            if line and len(line) + 1 + len(piece) > MAX_LINE:
                yield line
                line = ""
            line = f"{line} {piece}"
    yield line
