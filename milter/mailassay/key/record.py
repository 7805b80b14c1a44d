"""A key record as text for those who publish it: RFC 6376 section 3.6.1, RFC 1035 section 5.1."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..dkim.key import parse
from ..domain import Domain

MAX_STRING = 255  # octets of a character-string (RFC 1035 section 3.3)


class Record(NamedTuple):
    """A TXT record: its name and its value, which is ASCII."""

    name: Domain
    value: str

    @property
    def strings(self) -> list[str]:
        """The character-strings that make the value."""
        return [self.value[at : at + MAX_STRING] for at in range(0, len(self.value), MAX_STRING)]

    def bind(self) -> str:
        """The record in a zone file (RFC 1035 section 5.1), in lines of one string each."""
        [first, *others] = [f'"{_escaped(each)}"' for each in self.strings]
        begun = f"{self.name}. IN TXT "
        if not others:
            return begun + first
        return "\n".join([f"{begun}( {first}", *(f"    {each}" for each in others)]) + " )"

    def as_json(self) -> dict[str, Any]:
        """The record for programs."""
        return {"name": str(self.name), "type": "TXT", "value": self.value, "strings": self.strings}


def of(selector: str, domain: Domain, value: str) -> Record:
    """The record of the key of a selector. Raises BadDomain if its name would be too long."""
    return Record(Domain(f"{selector}._domainkey.{domain}"), value)


def revoked(value: str) -> str:
    """The record that says that a key is revoked: p= without a value."""
    return f"v=DKIM1; k={parse(value).kind}; p="


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
