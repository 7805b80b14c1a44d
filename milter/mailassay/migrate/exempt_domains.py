"""ExemptDomains of opendkim: authors whose mail it does not sign, whatever else the configuration says."""

from __future__ import annotations

from .data_set import Entry, opened
from .opendkim_file import Settings
from .plan import Plan, signing_domain
from .remark import Code, note, warning

_NAME_THEM = "Name those that send mail in sign.domains, with keys of their own"


def leave_out(found: Plan, settings: Settings) -> None:
    """Take the exempt domains out of the plan, and subdomains: true if a name below a domain may be exempt."""
    setting = settings.get("ExemptDomains")
    if not setting:
        return
    exempt, remarks = opened("ExemptDomains", setting, settings)
    found.say(*remarks)
    for domain in [*found.domains]:
        if exempt and (entry := exempt.first(domain)):
            del found.domains[domain]
            what = f"{domain} is left out of sign.domains, since opendkim does not sign its mail (ExemptDomains)"
            found.say(note(entry.place, Code.DOMAIN, what))
            if found.subdomains:
                what = f"mail of names below {domain}, which opendkim signs, is unsigned"
                found.say(warning(entry.place, Code.SUBDOMAINS, what, _NAME_THEM))
    below = None
    if exempt:
        below = next((each for each in exempt.entries if _is_below(found, each, patterns=exempt.patterns)), None)
    if found.subdomains and (below or exempt is None):
        found.subdomains = False
        which = f"does not sign mail of {below.key}" if below else "leaves out domains that cannot be read here"
        what = f"ExemptDomains: opendkim {which}, and subdomains: true would sign it. So mail of all names below the "
        what += "domains of the list is unsigned"
        found.say(warning(below.place if below else setting.place, Code.SUBDOMAINS, what, _NAME_THEM))


def _is_below(found: Plan, entry: Entry, *, patterns: bool) -> bool:
    """Can the entry be a name below a domain of the plan?"""
    if patterns and "*" in entry.key:
        return True
    name = signing_domain(entry.key)
    return bool(name and any(parent in found.domains for parent in name.parents()))
