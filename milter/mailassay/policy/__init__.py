"""The operator's policy, which turns evidence into a verdict. Pure functions: no clock, no lookups, no logging."""

from .policy import Policy
from .rule import Place, Rule
from .sections import (
    AuthorActions,
    DkimRules,
    DmarcActions,
    Forwarders,
    IprevActions,
    Mode,
    Partial,
    Repeated,
    SenderDomainActions,
    SpfActions,
    TagHeaders,
)

__all__ = [
    "AuthorActions",
    "DkimRules",
    "DmarcActions",
    "Forwarders",
    "IprevActions",
    "Mode",
    "Partial",
    "Place",
    "Policy",
    "Repeated",
    "Rule",
    "SenderDomainActions",
    "SpfActions",
    "TagHeaders",
]
