"""A DMARC Policy Record: RFC 9989 sections 4.5, 4.7 and 4.8."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

# RFC 3986, without "," and "!", which section 4.8 requires to be encoded; then a size limit of RFC 7489, now ignored
_URI = re.compile(
    r"(?:\A|,)[ \t]*+([a-z][a-z0-9+.-]*+:(?:[a-z0-9._~:/?#\[\]@$&'()*+=-]|%[0-9a-f]{2})+)(?:![0-9]++[kmgt]?)?"
    r"[ \t]*+(?=,|\Z)",
    re.IGNORECASE,
)
_TAG = re.compile(r"(?:\A|;)[ \t]*+([a-z]++)[ \t]*+=([^;]*+)", re.IGNORECASE)
_FAILURE_OPTIONS = re.compile(r"[01ds](?::[01ds])*", re.IGNORECASE)


# Is the text of a TXT record a DMARC record (section 4.7, v=)? The rest of the text does not matter.
# "v" is an ABNF literal, which matches in either case; "DMARC1" is case-sensitive.
is_record = re.compile(r"[vV][ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)").match


class Disposition(StrEnum):
    """What a domain owner asks receivers to do with mail that fails DMARC (RFC 9989 section 4.7, p=)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 for none, 1 for quarantine, 2 for reject."""
        return _SEVERITY[self]

    def lowered(self) -> Disposition:
        """One level less severe, as t=y asks."""
        return Disposition.QUARANTINE if self is Disposition.REJECT else Disposition.NONE


_SEVERITY = {each: severity for severity, each in enumerate(Disposition)}


@dataclass(frozen=True, slots=True)
class Record:
    """One record. Tags that are absent or invalid have their defaults.

    ``p``, ``sp`` and ``np`` are None if absent. ``usable`` is False if one of them is invalid and there is no rua= by
    which the owner could learn of it (RFC 9989 section 4.10.1). ``psd`` is ``y``, ``n`` or ``u``. ``fo`` has its
    default if there is no ``ruf``.
    """

    p: Disposition | None = None
    sp: Disposition | None = None
    np: Disposition | None = None
    usable: bool = True
    psd: str = "u"
    testing: bool = False
    strict_dkim: bool = False
    strict_spf: bool = False
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    fo: str = "0"

    def for_author(self) -> Disposition:
        """The policy for the domain that publishes the record."""
        return self.p or Disposition.NONE

    def below(self, exists: bool) -> tuple[str, Disposition]:
        """The policy for a subdomain without a record of its own, after the tag that gives it (section 4.7)."""
        choices = [("sp", self.sp), ("p", self.p)]
        if not exists:
            choices.insert(0, ("np", self.np))
        return next(((tag, value) for tag, value in choices if value), ("p", Disposition.NONE))

    def at_most(self, own: bool) -> Disposition:
        """The strictest policy that the record may give its own domain (``own``), or a domain below it."""
        if not self.usable:
            return Disposition.NONE
        asked = [self.for_author()] if own else [self.below(exists)[1] for exists in (True, False)]
        strictest = max(asked, key=lambda each: each.severity)
        return strictest.lowered() if self.testing else strictest

    @property
    def asks(self) -> bool:
        """Does the record ask for quarantine or reject for any mail?"""
        return any(self.at_most(own) is not Disposition.NONE for own in (True, False))

    @staticmethod
    def parse(text: str) -> Record | None:
        """Parse the text of a TXT record; None if it is not a DMARC record. Never raises."""
        return _read(text) if is_record(text) else None


def tags(text: str) -> dict[str, str]:
    """The tags, with names in lower case. The first tag of a name counts; other text is ignored (section 4.8)."""
    return {name.lower(): value.strip(" \t") for name, value in reversed(_TAG.findall(text))}


@lru_cache(maxsize=256)
def _read(text: str) -> Record:
    found = tags(text)
    rua, ruf = (_uris(found.get(name, "")) for name in ("rua", "ruf"))
    asked = {name: _disposition(found.get(name)) for name in ("p", "sp", "np")}
    # a record without a policy, or with an invalid one, asks for nothing; it is usable only if it asks for reports
    valid = all(asked[name] for name in asked if name in found)
    if not valid or asked["p"] is None:
        asked = {"p": Disposition.NONE, "sp": None, "np": None}
    psd = found.get("psd", "u").lower()
    fo = found.get("fo", "").lower()
    return Record(
        asked["p"],
        asked["sp"],
        asked["np"],
        usable=valid or bool(rua),
        psd=psd if psd in ("y", "n") else "u",
        testing=found.get("t", "").lower() == "y",
        strict_dkim=found.get("adkim", "").lower() == "s",
        strict_spf=found.get("aspf", "").lower() == "s",
        rua=rua,
        ruf=ruf,
        fo=fo if ruf and _FAILURE_OPTIONS.fullmatch(fo) else "0",
    )


def _disposition(value: str | None) -> Disposition | None:
    return next((each for each in Disposition if each == (value or "").lower()), None)


def _uris(value: str) -> tuple[str, ...]:
    """The URIs of rua= or ruf=. Other text is ignored."""
    return tuple(_URI.findall(value))
