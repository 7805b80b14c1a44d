"""The meanings of actions, placeholders and notation, for administrators: for manual pages and docs/reference.md.

The meaning of a key stands on the field that holds its value. Back-quotes mark words that are typed as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..verdict import Action

ACTIONS: Mapping[str, str] = {
    Action.ACCEPT: "Deliver.",
    Action.TAG: "Deliver, with header fields that Sieve can file the message by (`tag.flag`, `tag.verdict`).",
    Action.HOLD: "Put the message into Postfix's hold queue; `mailassay held` lists it.",
    Action.DEFER: "Reply with 4xx. The sender tries again.",
    Action.REJECT: "Reply with 5xx. The sender is told.",
}

PLACEHOLDERS: Mapping[str, str] = {
    "author": "the author domain; `unknown` if there is none",
    "mail_from_domain": "the domain of MAIL FROM; `unknown` if it is not a domain",
    "client_ip": "the address of the client",
    "policy": "the DMARC policy that applies: `none`, `quarantine` or `reject`",
    "rule": "the name of the rule",
}

NOTATION: Mapping[str, str] = {
    "example.com": "this domain, but none below it",
    ".example.com": "this domain and every one below it",
    "user@example.com": "this address; letter case does not matter",
    "user@": "this local-part at any domain",
    "<>": "the null reverse-path (`mail_from`)",
    "192.0.2.0/24": "a network, or one address; IPv6 needs quotes",
    "list:NAME": "the members of a list under `lists`",
}
