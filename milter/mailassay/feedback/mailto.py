"""The address of a ``mailto:`` URI (RFC 6068), if it is one to which a report can be sent."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from ..domain import BadDomain, Domain

MAX_LOCAL_PART = 64  # octets (RFC 5321 section 4.5.3.1.1)
MAX_ADDRESS = 254  # octets; a path of 256 has angle brackets (RFC 5321 section 4.5.3.1.3)
# RFC 5322 section 3.2.3, without "%" and "!": for a domain of its own, Postfix may take what they part for an address
# at another host (allow_percent_hack, swap_bangpath), which was never asked. Nothing in it ends a command of SMTP, a
# header field or an element of XML.
_DOT_ATOM = re.compile(r"[A-Za-z0-9#$&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9#$&'*+/=?^_`{|}~-]+)*")
_QUOTED = re.compile(r'"([^"\\]*)"')
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def mail_address(uri: str) -> str | None:
    """The one address that a URI is for, with A-labels in lower case; None if it is malformed or of another kind.

    Header fields of the URI (``?subject=``) are left out: they are for mail that a person writes. A local-part is a
    dot-atom; one that needs quotes, or more than ASCII, or that names another host for Postfix, is not supported.
    """
    scheme, _, rest = uri.partition(":")
    # with an authority there is no address
    if scheme.lower() != "mailto" or rest.startswith("//"):
        return None
    try:
        text = unquote(rest.partition("?")[0].partition("#")[0], errors="strict")
    except UnicodeDecodeError:
        return None
    return address(text)


def address(text: str) -> str | None:
    """The address that a text is, in the form of :func:`mail_address`; None if it is none."""
    local_part, at, name = text.rpartition("@")
    if quoted := _QUOTED.fullmatch(local_part):
        # RFC 5321 section 4.1.2: the quotes mean nothing
        local_part = quoted[1]
    if not at or len(local_part) > MAX_LOCAL_PART or not _DOT_ATOM.fullmatch(local_part):
        return None
    try:
        host = Domain(name)
    except BadDomain:
        return None
    found = f"{local_part}@{host}"
    if not _HOST.fullmatch(host) or host.labels[-1].isdigit() or len(found) > MAX_ADDRESS:
        return None
    return found


def host_of(uri: str) -> str:
    """The host of a URI in lower case, whatever its scheme (RFC 3986 section 3.2.2); empty if it has none."""
    if found := mail_address(uri):
        return found.rpartition("@")[2]
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""
