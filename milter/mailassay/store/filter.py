"""Which messages of the history are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ..sign import Unsigned
from . import keys
from .keys import Keys
from .rows import SIGNED, UNSIGNED, Rows

_ANY = UNSIGNED.removesuffix(":")
SIGNINGS = (SIGNED, _ANY, *(f"{UNSIGNED}{each}" for each in Unsigned))
"""What can be looked for in ``signing``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages are looked for; each condition that is set must hold. Times are in seconds since 1970.

    ``author`` is a domain, and stands for those below it too. ``recipient`` is an address, or a domain, which stands
    for all addresses in it and below it; ``address`` is a recipient or MAIL FROM, likewise. ``client`` is a network.
    ``rule`` is the name of a rule, or a setting. ``results`` has pairs of method and result. ``signing`` is ``signed``,
    ``unsigned``, or ``unsigned:`` and why, of outgoing mail.
    """

    since: float | None = None
    until: float | None = None
    queue_id: str = ""
    message_id: str = ""
    author: str = ""
    client: IPv4Network | IPv6Network | None = None
    recipient: str = ""
    address: str = ""
    verdict: str = ""
    would: str = ""
    rule: str = ""
    results: tuple[tuple[str, str], ...] = ()
    signing: str = ""

    @property
    def is_exact(self) -> bool:
        """Does it look for one message? A queue id and a Message-ID may occur several times."""
        return bool(self.queue_id or self.message_id)

    @property
    def message_ids(self) -> tuple[str, str]:
        """The Message-ID with and without angle brackets, as the column has it."""
        bare = _bare(self.message_id)
        return keys.of_message_id(f"<{bare}>"), keys.of_message_id(bare)

    @property
    def rules(self) -> tuple[str, str]:
        """What decides, as the column has it: a setting, or a rule."""
        return self.rule, f"rules.{self.rule}"

    @property
    def signings(self) -> Keys:
        """What became of outgoing mail, as the column has it."""
        if self.signing == _ANY:
            # up to the sign after the colon
            return Keys(UNSIGNED, UNSIGNED.replace(":", ";"))
        return Keys(self.signing)

    def fits(self, found: Rows) -> bool:
        """Do all conditions hold for a message? As ``reading.search`` finds it in the database."""
        row = found.message
        return (
            (self.since is None or row["time"] >= self.since)
            and (self.until is None or row["time"] < self.until)
            and (not self.queue_id or row["queue_id"] == self.queue_id)
            and (not self.message_id or row["message_id"] in self.message_ids)
            and (not self.verdict or row["verdict"] == self.verdict)
            and (not self.would or row["would"] == self.would)
            and (not self.rule or row["rule"] in self.rules)
            and all(row[method] == result for method, result in self.results)
            and (not self.signing or self.signings.has(row["dkim"]))
            and self._has_keys(found)
        )

    def _has_keys(self, found: Rows) -> bool:
        row, of_recipients = found.message, found.recipients
        addresses = [row["mail_from_key"], *of_recipients]
        return (
            (not self.author or keys.within(self.author).has(row["author_key"]))
            and (not self.client or keys.in_network(self.client).has(row["client_key"]))
            and (not self.recipient or any(map(keys.address_or_domain(self.recipient).has, of_recipients)))
            and (not self.address or any(map(keys.address_or_domain(self.address).has, addresses)))
        )


def of_any_id(text: str) -> tuple[str, list[Filter]]:
    """What an ID may be, in words, and the filters for that, of which the first that finds something counts.

    An ID is a queue id, a Message-ID, an address, a domain or the address of a client.
    """
    bare = _bare(text)
    try:
        return "client", [Filter(client=ip_network(str(ip_address(bare.removeprefix("[").removesuffix("]")))))]
    except ValueError:
        pass
    if "@" in bare:
        return "Message-ID, recipient or MAIL FROM", [Filter(message_id=text), Filter(address=bare)]
    if "." in bare.strip("."):
        return "Message-ID or author domain", [Filter(message_id=text), Filter(author=bare)]
    return "queue id or Message-ID", [Filter(queue_id=text), Filter(message_id=text)]


def _bare(text: str) -> str:
    return text.removeprefix("<").removesuffix(">")
