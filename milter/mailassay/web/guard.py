"""Who may read the pages, and what a browser may do with them."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any

# no script, nothing from elsewhere, and no page of others may show ours or read them (CSP Level 3, Fetch)
HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


def is_our_host(host: str, names: tuple[str, ...]) -> bool:
    """Does a Host field (RFC 9110 section 7.2) name this host: ``localhost``, an IP address, or one of the names?

    A stranger's page can make the name of its own host lead to our address, but the browser still sends that name.
    """
    if not (found := _HOST.fullmatch(host)):
        return False
    name = found[1].lower().removeprefix("[").removesuffix("]").removesuffix(".")
    if name in ("localhost", *names):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_foreign(environ: dict[str, Any]) -> bool:
    """Is the page of another site behind a request (Fetch Metadata)?

    Current browsers say so to localhost, and to any host over https.
    """
    return environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")


def is_link(environ: dict[str, Any]) -> bool:
    """Does a request lead to a page of its own, and not to a part of another page?"""
    return (environ.get("HTTP_SEC_FETCH_MODE"), environ.get("HTTP_SEC_FETCH_DEST")) == ("navigate", "document")


def path_of(environ: dict[str, Any]) -> str:
    """The path that is asked for. Raises ValueError if it is not UTF-8."""
    # WSGI has each octet as a character (PEP 3333)
    octets: bytes = environ.get("PATH_INFO", "").encode("latin-1")
    return octets.decode()
