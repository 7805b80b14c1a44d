"""The hash of the header fields that a signature covers: RFC 6376 sections 3.4.1, 3.4.2 and 3.7."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from ..message import Field, Headers
from . import work
from .body import reduced
from .signature import Signature
from .work import Work

# Fields that change what a reader sees and that a message may have only once (RFC 5322 section 3.6, RFC 2045). With a
# second field of the first group it is a different message; honest senders and lists sometimes repeat the others.
_DECISIVE = (b"from", b"subject", b"content-type")
_OTHERS = (b"to", b"cc", b"sender", b"reply-to", b"date", b"content-transfer-encoding")


class HeaderHashes:
    """The header hashes of one message. Each field is canonicalized once, however many signatures cover it.

    Their cost is charged to ``account``, and so is all other work of verifying the message's signatures. For
    ``repeated_fail``, see :meth:`stray`.
    """

    def __init__(self, headers: Headers, account: Work, *, repeated_fail: bool = False) -> None:
        self.account = account
        self._single = (*_DECISIVE, *_OTHERS) if repeated_fail else _DECISIVE
        self._headers = headers
        self._relaxed: dict[int, bytes] = {}

    def digest(self, signature: Signature) -> bytes:
        """The SHA-256 of the fields that a signature covers and of its own field. Raises :class:`TooMuchWork`."""
        self.account.pay(work.naming(signature.header_names))
        covered, fields = list(self._covered(signature)), self._headers.fields
        self.account.pay(work.hashing([*[fields[place] for place in covered], signature.field]))
        own = without_b(signature.field)
        if signature.header_form == "relaxed":
            forms = [*map(self._canonical, covered), relaxed(own)]
        else:
            forms = [*[simple(fields[place]) for place in covered], simple(own)]
        return hashlib.sha256(b"".join(forms).removesuffix(b"\r\n")).digest()

    def stray(self, signature: Signature) -> str:
        """The name of a field that a message may have only once, but that is signed and repeated unsigned; else empty.

        A reader may be shown the unsigned one (RFC 6376 section 8.15), and a message that does not conform to RFC 5322
        should not be verified (section 3.8). A repeated field that equals a signed one in relaxed form is harmless.
        From, Subject and Content-Type are always checked; To, Cc, Sender, Reply-To, Date and Content-Transfer-Encoding
        only with ``repeated_fail``. Raises :class:`TooMuchWork`.
        """
        self.account.pay(work.naming(signature.header_names))
        for name in self._single:
            places = self._headers.places(name)
            signed = signature.header_names.count(name) if len(places) > 1 else 0
            if 0 < signed < len(places):
                self.account.pay(work.hashing([self._headers.fields[place] for place in places]))
                forms = [self._canonical(place) for place in places]
                if not set(forms) <= set(forms[-signed:]):
                    return name.decode()
        return ""

    def _canonical(self, place: int) -> bytes:
        text = self._relaxed.get(place)
        if text is None:
            text = self._relaxed[place] = relaxed(self._headers.fields[place])
        return text

    def _covered(self, signature: Signature) -> Iterator[int]:
        """The positions of the fields that h= names, those of the same name from the bottom up (section 5.4.2)."""
        taken: dict[bytes, int] = {}
        for name in signature.header_names:
            instance = taken.get(name, 0)
            place = self._headers.place(name, instance)
            if place is not None and self._headers.fields[place] is signature.field:
                # h= never refers to the field that contains it (section 3.5)
                instance += 1
                place = self._headers.place(name, instance)
            taken[name] = instance + 1
            if place is not None:
                yield place


def simple(field: Field) -> bytes:
    """A field as ``simple`` hashes it, final CRLF included (RFC 6376 section 3.4.1)."""
    return field.name + b":" + field.value + b"\r\n"


def relaxed(field: Field) -> bytes:
    """A field as ``relaxed`` hashes it, final CRLF included (RFC 6376 section 3.4.2)."""
    # a bare CR and a bare LF that come together when folding is removed are not a line end
    lines = field.value.replace(b"\r\n", b"").split(b"\r\n")
    return field.name.lower() + b":" + b"\r\n".join(map(reduced, lines)).strip(b" ") + b"\r\n"


def without_b(field: Field) -> Field:
    """A signature field without the value of its b= tag."""
    tags = field.value.split(b";")
    for at, tag in enumerate(tags):
        name, equals, _ = tag.partition(b"=")
        if equals and name.strip() == b"b":
            tags[at] = name + equals
    return Field(field.name, b";".join(tags))
