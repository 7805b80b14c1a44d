"""The facts of a message in Postfix's queue, as ``postcat -q`` prints it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parsedate

from ..address import Address
from ..message import split
from ..received import parsed
from .delivery import added_after, names_of, received_by, without
from .fact import Fact, Unknown

_ENVELOPE = "the envelope of the queue file"


class Postcat:
    """A message in Postfix's queue, as ``postcat -q`` prints it; the facts are in the records of its envelope."""

    def __init__(self, printed: bytes, path: str, tags: Sequence[str]) -> None:
        """Read the output after its first line, which names the ``path`` of the queue file. Raises Unknown."""
        envelope, begins, rest = printed.partition(b"*** MESSAGE CONTENTS %b ***\n" % path.encode(errors="replace"))
        content, ends, _ = rest.rpartition(b"*** HEADER EXTRACTED ")
        if not begins or not ends or not content:
            raise Unknown("the output of postcat is incomplete; give the whole output of `postcat -q ID`")
        if content.startswith((b"pointer_record:", b"regular_text:")):
            raise Unknown("postcat printed records (-v); give the output of `postcat -q ID`")
        lines = envelope.decode("utf-8", "surrogateescape").split("\n")
        self._attributes, self._values, self._recipients = _records(lines)
        if "sender" not in self._values:
            raise Unknown("the output of postcat names no sender; give the whole output of `postcat -q ID`")
        # octets of the content, its place, recipients, flags of qmgr, octets of the records, flags of SMTPUTF8
        sizes = [_number(each) for each in self._values.get("message_size", "").split()]
        if len(self._recipients) > sum(sizes[2:3]):
            raise Unknown(
                "the output of postcat names more recipients than the queue file has: the client wrote line breaks "
                "into a parameter of RCPT; give the client's address with --ip, for the message alone"
            )
        self.smtputf8 = bool(sum(sizes[5:6]) & 1)  # SMTPUTF8_FLAG_REQUESTED
        self.local = self._attributes.get("log_message_origin") == "local"
        # the client as an inner hop (a content filter) reported it
        self._address = parsed(self._attributes.get("client_address", ""))
        self._inner = "log_" if self._address is not None and self._address.is_loopback else ""
        self._outer = parsed(self._attributes.get(f"{self._inner}client_address", ""))
        headers, self.body = split(content)
        stripped, self.then, self.host = added_after(headers.fields, received_by(headers.fields, ()), tags, ())
        self.headers, top = without(headers, stripped)
        self.stripped = names_of(top)

    def client(self) -> Fact[Address | None]:
        """The client; that of the outer hop, if a content filter sent the message back. Raises Unknown."""
        if self._outer is None and self._address is None and not self.local:
            raise Unknown("the output of postcat names no client_address; give it with --ip")
        return Fact(self._outer or self._address, self._record("client_address"))

    def helo(self) -> Fact[str]:
        """The HELO name of that client."""
        record = f"{self._inner}helo_name" if self._outer else "helo_name"
        return Fact(self._attributes.get(record, ""), self._record("helo_name"))

    def mail_from(self) -> Fact[str]:
        """The reverse-path."""
        return Fact(self._values["sender"], f"{_ENVELOPE} (sender)")

    def recipients(self) -> Fact[tuple[str, ...]]:
        """The recipients as the client named them."""
        return Fact(tuple(self._recipients), f"{_ENVELOPE} (original_recipient)")

    def login(self) -> Fact[str]:
        """The SASL login."""
        return Fact(self._attributes.get("sasl_username", ""), f"{_ENVELOPE} (sasl_username)")

    def at(self) -> Fact[float | None]:
        """When the message came in."""
        arrived = parsedate(self._values.get("message_arrival_time", ""))
        return Fact(_local_time(arrived) if arrived else None, f"{_ENVELOPE} (message_arrival_time)")

    def _record(self, name: str) -> str:
        return f"{_ENVELOPE} ({self._inner if self._outer else ''}{name})"


def _records(lines: Sequence[str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The attributes, the other records and the recipients of an envelope; the first of each name counts.

    Postfix decodes an ORCPT (xtext, RFC 3461 section 4), and postcat prints the line breaks in it unchanged, so the
    client may have written what follows. Postfix writes all records of the message itself before that. It rejects such
    an ENVID.
    """
    attributes: dict[str, str] = {}
    values: dict[str, str] = {}
    recipients: list[str] = []
    original = ""
    believed = True
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "named_attribute":
            key, _, value = value.partition("=")
            believed = believed and key != "dsn_orig_rcpt"
            if believed:
                attributes.setdefault(key, value)
        elif name == "original_recipient":
            original, believed = value, False
        elif name in ("recipient", "done_recipient"):
            recipients.append(original or value)
            original, believed = "", False
        else:
            values.setdefault(name, value)
    return attributes, values, recipients


def _number(text: str) -> int:
    with suppress(ValueError):
        return int(text)
    return 0


def _local_time(arrived: tuple[int, int, int, int, int, int, int, int, int]) -> float | None:
    with suppress(OverflowError, ValueError):
        return time.mktime((*arrived[:8], -1))
    return None
