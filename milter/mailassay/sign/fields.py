"""Which header fields a signature covers: RFC 6376 sections 5.4 and 5.4.1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..message import Headers

MAX_NAMES = 100
"""Names in h=. More are only needed for a message that repeats fields, which RFC 5322 section 3.6 forbids."""

# What a reader is shown, or answers to. Each is signed once more than it is there, so that nobody can add one later
# (section 8.15), even if the message has none.
_SHOWN = (b"From", b"To", b"Cc", b"Subject", b"Date", b"Reply-To")
# likewise, but only if the message has one: mailing lists add some of them to messages that have none
_IF_PRESENT = (
    b"Message-ID", b"Sender", b"MIME-Version", b"Content-Type", b"Content-Transfer-Encoding", b"Content-Disposition",
    b"Content-Description", b"Content-ID", b"Content-Language", b"Content-Location", b"In-Reply-To", b"References",
)  # fmt: skip
# as often as the message has them: others may add their own
_PLAIN = (
    b"List-Id", b"List-Help", b"List-Subscribe", b"List-Unsubscribe", b"List-Unsubscribe-Post", b"List-Post",
    b"List-Owner", b"List-Archive", b"Resent-Date", b"Resent-From", b"Resent-Sender", b"Resent-To", b"Resent-Cc",
    b"Resent-Message-ID",
)  # fmt: skip


class TooManyFields(ValueError):
    """The message repeats fields so often that h= would be too long."""


def names(headers: Headers, *more: bytes) -> tuple[bytes, ...]:
    """The names for h=, a repeated one as often as its fields are covered. Raises :class:`TooManyFields`.

    Never among them are trace fields (Received, Return-Path), Authentication-Results and the fields of ARC, which hosts
    on the way add or remove, and Comments and Keywords; DKIM-Signature is, if ``more`` has it, as often as it is there.
    """
    found = tuple(_names(headers, more))
    if len(found) > MAX_NAMES:
        raise TooManyFields(f"more than {MAX_NAMES} fields to sign")
    return found


def _names(headers: Headers, more: Sequence[bytes]) -> Iterator[bytes]:
    for group, always, extra in ((_SHOWN, True, 1), (_IF_PRESENT, False, 1), (_PLAIN, False, 0), (more, False, 0)):
        for name in group:
            count = len(headers.places(name))
            if count or always:
                yield from (name,) * min(count + extra, MAX_NAMES + 1)
