"""The addresses of our own DMARC reports: recognized in the envelope, and made for each report.

Reports are sent from the address ``reports.from``. The return path of each is that address with an extension that
nobody can guess, its token (a variable envelope return path). A bounce comes back to it, so it says what was not
delivered without being read.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from hashlib import sha256

from .domain import a_labels

TOKEN_LENGTH = 26  # characters: 130 bits of the HMAC
_TOKEN = re.compile("[a-z2-7]{26}")


def is_ours(address: str, sender: str | None) -> bool:
    """Is it the address of our reports, with an extension or without? ``sender`` is None if there are no reports.

    Any sign that is no letter or digit begins an extension: what Postfix's ``recipient_delimiter`` was when a report
    was sent need not be known.
    """
    return _extension(address, sender) is not None


def token(address: str, sender: str | None) -> str:
    """The token of a return path in lower case; empty if the address is not ours, or has none."""
    extension = (_extension(address, sender) or "").lower()
    return extension if _TOKEN.fullmatch(extension) else ""


def kept(address: str, sender: str | None) -> str:
    """What may be kept of an address if no local-part of another one is; empty if it is not ours.

    Of its extension, only a token: anything else may be somebody's name.
    """
    extension = _extension(address, sender)
    if extension is None:
        return ""
    if token(address, sender):
        return address
    local_part, _, domain = address.rpartition("@")
    return f"{local_part[: len(local_part) - len(extension) - 1] if extension else local_part}@{domain}"


def new_token(secret: bytes, report_id: str, address: str) -> str:
    """The token of one report to one address. The secret is that of the history."""
    found = hmac.new(secret, f"{report_id}\n{address}".encode(errors="surrogatepass"), sha256).digest()
    return b32encode(found).decode().lower()[:TOKEN_LENGTH]


def of(sender: str, token: str, delimiter: str | None) -> str:
    """The return path with that token.

    ``delimiter`` is Postfix's ``recipient_delimiter``; of several signs, ``+`` is used, or else the first. The return
    path is ``sender`` itself, without a token, if an address with an extension would not arrive: there is no delimiter,
    it is not known, or the local-part of ``sender`` has one of its signs, where Postfix's ``split_addr()`` would end
    it.
    """
    local_part, _, domain = sender.rpartition("@")
    if not delimiter or any(each in local_part for each in delimiter):
        return sender
    found = f"{local_part}{'+' if '+' in delimiter else delimiter[0]}{token}"
    # RFC 5321 section 4.5.3.1.1: a local-part has at most 64 octets
    return f"{found}@{domain}" if len(found.encode()) <= 64 else sender


def _extension(address: str, sender: str | None) -> str | None:
    """What follows the local-part of ``sender`` and a delimiter; None if the address is not ours."""
    if not sender:
        return None
    local_part, _, domain = address.rpartition("@")
    own, _, own_domain = sender.rpartition("@")
    if _plain(domain) != _plain(own_domain) or local_part[: len(own)].lower() != own.lower():
        return None
    rest = local_part[len(own) :]
    return None if rest[:1].isalnum() else rest[1:]


def _plain(domain: str) -> str:
    return a_labels(domain.lower()).removesuffix(".")
