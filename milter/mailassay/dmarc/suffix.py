"""Public suffixes, a net below the tree walk: RFC 9989 section 11.8.

Where a registry publishes a record without psd=y, the walk makes one organization of all who registered below it.
"""

from __future__ import annotations

from publicsuffixlist import PublicSuffixList

from ..domain import Domain

# with the suffixes of private registries, and every top-level domain; read once, before workers are forked
_LIST = PublicSuffixList()


def between(one: Domain, other: Domain, org_domain: Domain) -> Domain | None:
    """The public suffix that lies between two names of ``org_domain``; None where they share a registrable domain."""
    registrable = _LIST.privatesuffix(one)
    if registrable and registrable == _LIST.privatesuffix(other):
        return None
    if _LIST.is_public(org_domain):
        return org_domain
    return max((Domain(_LIST.publicsuffix(name) or name) for name in (one, other)), key=len)
