"""Public suffixes, a safety net for the tree walk: RFC 9989 section 11.8.

If a registry publishes a record without psd=y, the walk treats everybody who registered below it as one organization.
"""

from __future__ import annotations

from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from ..domain import Domain

# includes the suffixes of private registries and every top-level domain; read once, before workers are forked
_LIST = PublicSuffixList()


@lru_cache(maxsize=4096)
def registrable(name: Domain) -> Domain:
    """The registrable domain that a name belongs to; a public suffix is returned unchanged."""
    return Domain(_LIST.privatesuffix(name) or name)


def top_level(name: Domain) -> str:
    """The top-level domain of a name; empty if the public DNS does not have it, like ``local``."""
    label = name.labels[-1]
    # for some top-level domains, the list has only a wildcard below them
    return label if _LIST.publicsuffix(f"x.{label}", accept_unknown=False) else ""


def between(one: Domain, other: Domain, org_domain: Domain, *, declared: bool = False) -> Domain | None:
    """The public suffix that separates two names of ``org_domain``; None if they share a registrable domain.

    ``declared``: the organization's own record has psd=n, so its name is not a public suffix (section 4.7), whatever
    the list says. This does not apply to suffixes below that name.
    """
    owners, suffixes = set(), []
    for name in (one, other):
        suffix = Domain(_LIST.publicsuffix(name) or name)
        if declared and org_domain.is_within(suffix):
            owners.add(org_domain)
        else:
            owners.add(registrable(name))
            suffixes.append(suffix)
    if len(owners) == 1:
        return None
    if not declared and _LIST.is_public(org_domain):
        return org_domain
    return max(suffixes, key=len)
