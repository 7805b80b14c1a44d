"""What comes out of a migration: the domains that sign, with their keys, and what is to be said about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..address import Network
from ..domain import BadDomain, Domain
from ..sign import Believed
from ..sign.keys import is_selector
from .remark import Code, Place, Remark, error, warning


@dataclass(frozen=True, slots=True)
class Source:
    """Where a private key is: in the file ``path``, or in the old configuration itself, as ``octets``."""

    path: str = ""
    octets: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return self.path or "the key in that line"


@dataclass(frozen=True, slots=True)
class Use:
    """A key that signs for a domain, and the line that says so."""

    selector: str
    source: Source
    place: Place


@dataclass(slots=True)
class Plan:
    """The ``sign`` section to be, and the remarks on it.

    ``why_believed`` says why ``from`` is what it is. ``networks`` are those whose mail the old program signed, besides
    loopback; ``clients`` says which option names them. ``left_out`` are keys that cannot be used,
    ``passed_over`` the options that mean nothing for signing here.
    """

    program: str
    file: str
    domains: dict[Domain, list[Use]] = field(default_factory=dict)
    subdomains: bool = False
    why_subdomains: str = ""
    believed: Believed = Believed.ENVELOPE
    why_believed: str = ""
    networks: list[Network] = field(default_factory=list)
    clients: str = ""
    left_out: list[tuple[Domain, Use]] = field(default_factory=list)
    passed_over: list[tuple[str, Place]] = field(default_factory=list)
    remarks: dict[Remark, None] = field(default_factory=dict)

    def say(self, *remarks: Remark) -> None:
        """Add remarks, each once."""
        self.remarks.update(dict.fromkeys(remarks))

    def add(self, name: str, use: Use) -> Domain | None:
        """Let a key sign for a domain. If the name or the selector cannot be used, says so and returns None."""
        domain = signing_domain(name)
        if domain is None:
            self.say(warning(use.place, Code.DOMAIN, f"{name!r} cannot be a domain in d="))
            return None
        if not is_selector(use.selector):
            what = f"{use.selector!r} cannot be a selector here"
            fix = "Make a key under another selector: letters, digits, _, . and -"
            self.say(warning(use.place, Code.SELECTOR, what, fix))
            return None
        uses = self.domains.setdefault(domain, [])
        same = [each for each in uses if each.selector.lower() == use.selector.lower()]
        if any(each.source != use.source for each in same):
            what = f"{domain} has two keys with the selector {use.selector}, and DNS can have one"
            self.say(error(use.place, Code.KEY, what, "Make a key under another selector"))
        elif not same:
            uses.append(use)
        return domain


def signing_domain(name: str) -> Domain | None:
    """The domain with this name, if it can be in d=: at least two labels, and no address."""
    try:
        domain = Domain(name)
    except BadDomain:
        return None
    return None if len(domain.labels) < 2 or domain.labels[-1].isdigit() else domain
