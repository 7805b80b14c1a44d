"""The author domains of From: RFC 5322 section 3.6.2 and RFC 9989 section 5.3.1.

DMARC protects what a mail program shows as the author, and mail programs ("readers" below) differ if a field is
malformed. So this package collects every domain that some reader might show as the author's, and is strict about what
it calls clear. A display name is not an address, whatever it says (RFC 9989 section 11.4). Its end is found before
encoded-words are decoded, because they cannot be part of an address (RFC 2047 section 5). A malformed field is clear
only if the same domain follows every ``@``, in every decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..domain import Domain
from ..limits import Limits
from ..message import MAX_LINE, Field, Headers
from . import mailboxes
from .fault import Fault, Malformed, Sloppy, TooMuch, Unclear
from .fields import from_fields, named_instead, shown_instead
from .readings import Tried, anything, anything_malformed
from .tokens import pieces

__all__ = ["Author", "Fault", "author"]

_MAX_PIECES = 1000  # words and special characters in all fields together; each costs time, and 64 mailboxes have 500


@dataclass(frozen=True, slots=True)
class Author:
    """The distinct author domains, in order.

    ``fault`` says why they are not one clear domain; None if they are. ``unread``: there may be more domains than were
    looked at.
    """

    domains: tuple[Domain, ...]
    fault: Fault | None = None
    unread: bool = False

    @property
    def problem(self) -> str:
        """The fault, for people; empty if there is none."""
        return self.fault.value if self.fault else ""


def author(headers: Headers, limits: Limits) -> Author:
    """Read the From field or fields. Never raises.

    If they name nobody, Sender and Resent-From are read, because some readers show these instead.
    """
    if headers.longest_name >= MAX_LINE:
        # an MTA that relays it breaks the name, so that it is not a field any more and ends the header section
        return Author((), Fault.FIELD_NAME, unread=True)
    fields = from_fields(headers)
    fault = None if len(fields) == 1 else Fault.SEVERAL_FIELDS if fields else Fault.NO_FIELD
    found, malformed = _read([*fields, *shown_instead(headers)], limits, fault)
    if not found.domains and not found.unread:
        return _read(named_instead(headers), limits, found.fault)[0]
    if malformed and not found.fault:
        # a reader may find no author in it, and show Sender or Resent-From instead
        beside, _ = _read(named_instead(headers), limits, None)
        if beside.unread or not set(beside.domains) <= set(found.domains):
            domains = tuple(dict.fromkeys([*found.domains, *beside.domains]))
            unread = beside.unread or len(domains) > limits.from_domains
            return Author(domains[: limits.from_domains], malformed, unread)
    return found


def _read(fields: Sequence[Field], limits: Limits, fault: Fault | None) -> tuple[Author, Fault | None]:
    """The author that these fields give, and what is malformed in them. ``fault`` was found before."""
    texts = [field.value.decode("utf-8", "surrogateescape") for field in fields]
    if too_much := _too_much(fields, texts, limits):
        return Author((), fault or too_much, unread=True), None
    found = _Domains(limits.from_domains)
    try:
        for text in texts:
            found.read(text)
    except TooMuch as more:
        return Author((), fault or found.fault or more.fault, unread=True), None
    return found.author(fault), found.malformed


def _too_much(fields: Sequence[Field], texts: Sequence[str], limits: Limits) -> Fault | None:
    """Why From is not read; None if it is within the limits."""
    if len(fields) > limits.from_fields or sum(len(field.value) for field in fields) > limits.from_octets:
        return Fault.OCTETS
    if any(field.breakable for field in fields):
        return Fault.LINE
    return Fault.PIECES if sum(map(pieces, texts)) > _MAX_PIECES else None


class _Domains:
    """The domains of several fields together.

    ``fault`` says why a field is not clear, ``malformed`` what is malformed in a field that is clear all the same.
    """

    def __init__(self, most: int) -> None:
        self.fault: Fault | None = None
        self.malformed: Fault | None = None
        self._most = most
        self._found: dict[Domain, None] = {}
        self._tried = Tried()

    def read(self, text: str) -> None:
        """Add the domains of a field. Raises :class:`TooMuch`."""
        try:
            found = mailboxes.domains(text, self._tried)
        except Unclear as unclear:
            found = self._of_unclear(text, unclear)
        for domain in found:
            self._found[domain] = None
            if len(self._found) > self._most:
                break

    def _of_unclear(self, text: str, unclear: Unclear) -> Sequence[Domain]:
        """The domains that readers may find in a faulty field. Raises :class:`TooMuch`."""
        if isinstance(unclear, Malformed):
            found, is_clear = anything_malformed(text, self._tried)
            if is_clear:
                self.malformed = unclear.fault
        else:
            found, is_clear = anything([text], self._tried), False
            if isinstance(unclear, Sloppy):
                # a single label in a name, as in "Team@Home", is not the domain of an author
                found = [domain for domain in found if len(domain.labels) > 1] or found
                is_clear = len(found) == 1
        if not is_clear:
            self.fault = self.fault or unclear.fault
        return found

    def author(self, fault: Fault | None) -> Author:
        """The author that the fields give. ``fault`` was found before."""
        fault = fault or self.fault
        unread = len(self._found) > self._most
        if unread:
            fault = fault or Fault.DOMAINS
        elif len(self._found) > 1:
            fault = fault or Fault.SEVERAL_DOMAINS
        elif not self._found:
            fault = fault or Fault.NO_ADDRESS
        return Author(tuple(self._found)[: self._most], fault, unread)
