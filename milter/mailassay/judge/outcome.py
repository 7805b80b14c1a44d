"""Everything known about a message at its end: the value that the log line, JSON and ``check`` render."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..evidence import Connection, Evidence, Transaction
from ..message import Headers
from ..resolver import Method, Question
from ..sign import Sealed, Unsigned
from ..verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict on a message, what it rests on, and the changes to the message.

    ``transaction`` has the recipients. ``connection`` is that of the client, which is not the connected host if a relay
    brought the message; None if it has no address. ``evidence`` is None if the message was not judged. ``queue_id`` is
    Postfix's name for the message; empty if unknown.

    ``remove`` has header fields by name and instance, counted from 1 at the top as milters do; remove the last first.
    ``add`` has (name, value) pairs for the top of the message; the first one ends up highest.

    ``signatures`` are the values of new DKIM-Signature fields, for the place above those of ``add``; ``signed_by`` has
    the key of each as ``domain/selector``, and ``signed_with`` its algorithm. ``unsigned`` says why there is none; None
    if the message is signed, or if nothing signs: it is judged, or ``sign`` has no domains.

    ``seal`` has the fields of a new ARC set, for the place above everything else, or says why there is none; None if
    nothing is sealed, or if the message is not judged or not let in.

    ``message_id`` is the first Message-ID field, as it is in the message; empty if there is none.
    ``seconds`` is the time of the checks at the end of the message, and ``dns_wait`` the part of it in which they
    waited for DNS. ``unanswered``: DNS as a whole gave no answer.
    ``unsent``: a question could not be sent in time. ``sample`` is the number by which ``enforce_percent`` selects;
    None if it selects all messages.
    ``asked_by`` has every DNS question of the message and of its connection, with the check that asked it first.
    ``headers`` is the header section, as far as it was read.
    """

    verdict: Verdict
    transaction: Transaction
    connection: Connection | None = None
    evidence: Evidence | None = None
    queue_id: str = ""
    message_id: str = ""
    remove: tuple[tuple[str, int], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    dns_wait: float = 0.0
    unanswered: bool = False
    unsent: bool = False
    sample: int | None = None
    signatures: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    signed_with: tuple[str, ...] = ()
    unsigned: Unsigned | None = None
    seal: Sealed | None = None
    asked_by: Mapping[Question, Method] = field(default_factory=dict)
    headers: Headers = field(default_factory=lambda: Headers(()), compare=False, repr=False)

    @property
    def client(self) -> str:
        """The address of the client, or of the relay if the client is unknown; empty if there is none."""
        return str(self.connection.client_ip) if self.connection else ""
