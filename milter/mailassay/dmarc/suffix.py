"""Public suffixes, a safety net for the tree walk: RFC 9989 section 11.8.

If a registry publishes a record without psd=y, the walk treats everybody who registered below it as one organization.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol

from ..domain import Domain
from .suffix_list import SuffixList

_SYSTEM = Path("/usr/share/publicsuffix/public_suffix_list.dat")  # package publicsuffix of Debian, of Fedora


class _List(Protocol):
    def publicsuffix(self, name: str, *, accept_unknown: bool = True) -> str | None: ...
    def privatesuffix(self, name: str) -> str | None: ...
    def is_public(self, name: str) -> bool: ...


@cache
def read() -> _List:
    """The list of the library, or else the system's. Raises ImportError if there is neither, or the latter is empty.

    It is read once, at its first use. A process that forks reads it before that, for all.
    """
    try:
        from publicsuffixlist import PublicSuffixList
    except ImportError:
        if not _SYSTEM.exists():
            raise
        # a line that is not UTF-8 is no rule, and does not stop the program
        with _SYSTEM.open(encoding="utf-8", errors="replace") as lines:
            system = SuffixList(lines)
        if not system:
            raise ImportError(f"{_SYSTEM}: no rules") from None
        return system
    # with the suffixes of private registries, and every top-level domain
    found: _List = PublicSuffixList()
    return found


@lru_cache(maxsize=4096)
def registrable(name: Domain) -> Domain:
    """The registrable domain that a name belongs to; a public suffix is returned unchanged."""
    return Domain(read().privatesuffix(name) or name)


def top_level(name: Domain) -> str:
    """The top-level domain of a name; empty if the public DNS does not have it, like ``local``."""
    label = name.labels[-1]
    # for some top-level domains, the list has only a wildcard below them
    return label if read().publicsuffix(f"x.{label}", accept_unknown=False) else ""


def between(one: Domain, other: Domain, org_domain: Domain, *, declared: bool = False) -> Domain | None:
    """The public suffix that separates two names of ``org_domain``; None if they share a registrable domain.

    ``declared``: the organization's own record has psd=n, so its name is not a public suffix (section 4.7), whatever
    the list says. This does not apply to suffixes below that name.
    """
    owners, suffixes = set(), []
    for name in (one, other):
        suffix = Domain(read().publicsuffix(name) or name)
        if declared and org_domain.is_within(suffix):
            owners.add(org_domain)
        else:
            owners.add(registrable(name))
            suffixes.append(suffix)
    if len(owners) == 1:
        return None
    if not declared and read().is_public(org_domain):
        return org_domain
    return max(suffixes, key=len)
