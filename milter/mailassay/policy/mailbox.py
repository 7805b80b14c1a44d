"""The mailbox of a recipient address: Postfix delivers ``user+extension`` to ``user``."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ASSUMED = ("+", "-")  # the delimiters to try if Postfix's are not known
_WHOLE = re.compile("postmaster|mailer-daemon|double-bounce", re.IGNORECASE)
_LISTS = re.compile("owner-.*|.+-request", re.IGNORECASE | re.DOTALL)


def spellings(address: str, delimiters: str | None, special: bool | None, every: bool) -> Iterator[str]:
    """The address with and without its extension; a rule may name the mailbox in either form.

    ``delimiters`` is Postfix's ``recipient_delimiter``: any of its characters begins an extension. ``special`` is its
    ``owner_request_special``: the addresses of lists have no extension that begins with ``-``. If either is not known
    (None), a rule that lets mail in (``every``) removes no extension, and any other rule removes every possible one.
    """
    yield address
    local_part, at, domain = address.rpartition("@")
    if local_part.startswith('"') and local_part.endswith('"') and len(local_part) > 1:
        # quoted for SMTP (RFC 5321 section 4.1.2); the mailbox has no quotes
        local_part = re.sub(r"\\(.)", r"\1", local_part[1:-1], flags=re.DOTALL)
        yield f"{local_part}{at}{domain}"
    for each in (delimiters,) if delimiters is not None else () if every else _ASSUMED:
        if user := _user(local_part, each, every if special is None else special):
            yield f"{user}{at}{domain}"


def _user(local_part: str, delimiters: str, special: bool) -> str:
    """The local-part without its extension, as Postfix's ``split_addr()`` gives it; empty if it has no extension."""
    if _WHOLE.fullmatch(local_part) or (special and "-" in delimiters and _LISTS.fullmatch(local_part)):
        return ""
    places = [place for each in delimiters if (place := local_part.find(each)) >= 0]
    return local_part[: min(places, default=0)]
