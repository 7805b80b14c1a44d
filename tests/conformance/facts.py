"""Messages of which it is true that ...: abstract results made into DNS records and signatures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.lab.sign import ed25519_key

from .bench import CLIENT, Bench, Judgement, ZoneData

_KEY, _OTHER_KEY = ed25519_key(), ed25519_key("another")
_SPF = {
    "pass": [f"v=spf1 ip4:{CLIENT} -all"],
    "fail": ["v=spf1 -all"],
    "softfail": ["v=spf1 ~all"],
    "neutral": ["v=spf1 ?all"],
    "none": [],
    "permerror": ["v=spf1 include:"],
    "temperror": "SERVFAIL",
}
_DKIM = {"pass": [_KEY.record], "fail": [_OTHER_KEY.record], "none": [], "permerror": [], "temperror": "SERVFAIL"}


@dataclass(frozen=True)
class Facts:
    """``author`` is the domain of From; ``spf`` a MAIL FROM domain and its result; ``dkim`` signers and theirs.

    A signer is a domain, or the identity (i=) for which its domain signs, or None: that signature has no d=. ``zone``
    is what else there is in DNS.
    """

    author: str
    spf: tuple[str, str] | None = None
    dkim: Sequence[tuple[str | None, str]] = ()
    zone: ZoneData = field(default_factory=dict)

    @property
    def published(self) -> ZoneData:
        """The zone, with what makes the facts true."""
        records: dict[str, Any] = {
            f"sel._domainkey.{signer.rpartition('@')[2]}": _DKIM[result] for signer, result in self.dkim if signer
        }
        if self.spf:
            domain, result = self.spf
            records[domain] = _SPF[result]
        added = {name: {**self.zone.get(name, {}), "TXT": values} for name, values in records.items() if values}
        return {**self.zone, **added}

    @property
    def message(self) -> bytes:
        """The message, signed."""
        message = f"From: a@{self.author}\r\nSubject: x\r\n\r\nx\r\n".encode()
        for signer, result in self.dkim:
            if result != "none":
                domain = (signer or "nobody.example").rpartition("@")[2]
                message = _KEY.sign(message, domain, identity=signer if signer and "@" in signer else None)
                if signer is None:
                    message = re.sub(rb"\sd=[^;]*;", b"", message, count=1)
        return message

    def judge(self, bench: Bench, client_ip: str = CLIENT, *, smtputf8: bool = False) -> Judgement:
        """Send it."""
        mail_from = f"a@{self.spf[0]}" if self.spf else ""
        return bench.replay(self.published, self.message, client_ip=client_ip, mail_from=mail_from, smtputf8=smtputf8)
