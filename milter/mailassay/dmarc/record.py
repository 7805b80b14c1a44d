"""A DMARC Policy Record: RFC 9989 sections 4.5, 4.7 and 4.8."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

# RFC 3986, without the "," and "!" that section 4.8 wants encoded; then a size limit of RFC 7489, which counts no more
_URI = re.compile(
    r"(?:\A|,)[ \t]*+([a-z][a-z0-9+.-]*+:(?:[a-z0-9._~:/?#\[\]@$&'()*+=-]|%[0-9a-f]{2})+)(?:![0-9]++[kmgt]?)?"
    r"[ \t]*+(?=,|\Z)",
    re.IGNORECASE,
)
_TAG = re.compile(r"(?:\A|;)[ \t]*+([a-z]++)[ \t]*+=([^;]*+)", re.IGNORECASE)
_FAILURE_OPTIONS = re.compile(r"[01ds](?::[01ds])*", re.IGNORECASE)


# Is the text of a TXT record a DMARC record, whatever else it holds (section 4.7, v=)?
# "v" is an ABNF literal, which matches in either case; "DMARC1" must be as it is
is_record = re.compile(r"[vV][ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)").match


class Disposition(StrEnum):
    """What a domain owner asks receivers to do with mail that fails (RFC 9989 section 4.7, p=)."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    @property
    def severity(self) -> int:
        """0 for none, rising."""
        return list(Disposition).index(self)

    def lowered(self) -> Disposition:
        """One level less, as t=y asks."""
        return Disposition.QUARANTINE if self is Disposition.REJECT else Disposition.NONE


@dataclass(frozen=True, slots=True)
class Record:
    """One record; tags that are absent or make no sense have their defaults.

    ``p``, ``sp`` and ``np`` are None where absent. ``usable`` is False where one of them is not what it may be and no
    rua= gives the owner a way to learn of it (RFC 9989 section 4.10.1). ``psd`` is ``y``, ``n`` or ``u``. ``fo`` is its
    default where there is no ``ruf``.
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
        """What it asks for the domain that publishes it."""
        return self.p or Disposition.NONE

    def below(self, exists: bool) -> tuple[str, Disposition]:
        """What it asks for a subdomain without a record of its own, and the tag that says so (section 4.7)."""
        choices = [("sp", self.sp), ("p", self.p)]
        if not exists:
            choices.insert(0, ("np", self.np))
        return next(((tag, value) for tag, value in choices if value), ("p", Disposition.NONE))

    def at_most(self, own: bool) -> Disposition:
        """The strictest that it may ask for: for the domain that publishes it (``own``), or for one below it."""
        if not self.usable:
            return Disposition.NONE
        asked = [self.for_author()] if own else [self.below(exists)[1] for exists in (True, False)]
        strictest = max(asked, key=lambda each: each.severity)
        return strictest.lowered() if self.testing else strictest

    @property
    def asks(self) -> bool:
        """Does it ask for quarantine or reject, of any mail?"""
        return any(self.at_most(own) is not Disposition.NONE for own in (True, False))

    @staticmethod
    def parse(text: str) -> Record | None:
        """Read the text of a TXT record; None where it is no DMARC record. Never raises."""
        return _read(text) if is_record(text) else None


def tags(text: str) -> dict[str, str]:
    """The tags, names in lower case; the first of a name counts, and what is no tag is passed over (section 4.8)."""
    return {name.lower(): value.strip(" \t") for name, value in reversed(_TAG.findall(text))}


@lru_cache(maxsize=256)
def _read(text: str) -> Record:
    found = tags(text)
    rua, ruf = (_uris(found.get(name, "")) for name in ("rua", "ruf"))
    asked = {name: _disposition(found.get(name)) for name in ("p", "sp", "np")}
    # a policy that cannot be read, or a record without one, asks for nothing, and only counts if reports are wanted
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
    """The URIs of rua= or ruf=; what is none is passed over."""
    return tuple(_URI.findall(value))
