"""Facts about a message, and where they were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from ..address import Address
from ..config import Relays

_Value = TypeVar("_Value")


class Unknown(Exception):
    """A fact is missing in the file. The text says which one, why, and which option supplies it."""


@dataclass(frozen=True, slots=True)
class Given:
    """The facts from the operator; None if not given. ``tags`` are the names of our fields beside the results.

    ``relays`` are the operator's relays: the client behind them is in the message itself. ``host`` is the host whose
    Received field names the client, even if other hosts had the message after it.

    ``outgoing``: a message file is what a program hands over, so none of its fields was written by this host. ``login``
    is the SASL name, and says that the client logged in.
    """

    client_ip: Address | None = None
    helo: str | None = None
    mail_from: str | None = None
    recipients: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ("X-Spam-Flag", "X-Mailassay-Verdict")
    relays: Relays = Relays()
    host: str = ""
    login: str | None = None
    outgoing: bool = False


class Fact(NamedTuple, Generic[_Value]):
    """A fact, and where it was found; empty if there is no need to say so."""

    value: _Value
    source: str = ""
