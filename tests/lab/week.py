"""A week of mail as records of the history, always the same for the same moment."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from .evidence import evidence

DAY = 86_400
_DOMAINS = ("bank.example", "shop.example", "list.example", "news.example", "post.example", "uni.example")
_STRANGERS = ("198.51.100.66", "198.51.100.67", "203.0.113.9", "2001:db8:bad::1")


def record(at: float, /, results: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The record of a message that passes; ``results`` and the other keys change it."""
    return {
        "v": 1, "kind": "message", "time": at, "host": "mx1", "queue_id": "4jWpw36fNkzL4ql", "message_id": "<1@x>",
        "client": "192.0.2.1", "helo": "mail.bank.example", "mail_from": "a@bank.example",
        "recipients": ["bob@receiver.example"], "more_recipients": 0, "untraced": "",
        "evidence": evidence(**(results or {})),
        "verdict": "accept", "would": more.get("verdict", "accept"), "kind_of_rule": "default", "rule": "default",
        "monitored": [], "seconds": 0.003,
    } | more  # fmt: skip


def unjudged(at: float, why: str = "authenticated") -> dict[str, Any]:
    """The record of a message that was not judged."""
    return record(at, kind_of_rule="unjudged", rule=why, evidence=None)


def forged(at: float, domain: str, client: str, /, verdict: str = "reject", **more: Any) -> dict[str, Any]:
    """The record of a message in the name of a domain that publishes a policy."""
    results = {
        "iprev": "fail", "name": "", "spf": "fail", "mail_from": domain, "dkim": [], "dmarc": "fail",
        "header_from": domain,
    }  # fmt: skip
    rule = "dmarc.quarantine" if verdict == "hold" else "dmarc.reject"
    given: dict[str, Any] = {"client": client, "verdict": verdict, "kind_of_rule": "setting", "rule": rule}
    return record(at, results=results, **(given | more))


def week(now: float, messages: int = 2000) -> Iterator[dict[str, Any]]:
    """About so many messages of the seven days before that moment."""
    chance = random.Random(14)
    for _ in range(messages):
        at = now - chance.random() * 7 * DAY
        # more by day than by night
        if chance.random() > 0.55 + 0.45 * math.sin(2 * math.pi * (at / DAY - 0.3)):
            continue
        yield _any(at, chance) | {"host": chance.choice(("mx1", "mx2"))}


def _any(at: float, chance: random.Random) -> dict[str, Any]:
    domain, stranger = chance.choice(_DOMAINS), chance.choice(_STRANGERS)
    seconds = round(chance.lognormvariate(-5.2, 1.1), 6)
    name = f"mail.{domain}"
    fine: dict[str, Any] = {"name": name, "mail_from": domain, "header_from": domain, "helo": name}
    fine["dkim"] = [{"result": "pass", "domain": domain}]
    match chance.choices(range(8), (600, 180, 60, 30, 20, 12, 6, 4))[0]:
        case 0:
            return record(at, seconds=seconds, results=fine)
        case 1:
            return unjudged(at, chance.choice(("authenticated", "authenticated", "trusted_network")))
        case 2:
            return forged(at, domain, stranger, seconds=seconds)
        case 3:
            return forged(at, domain, stranger, "hold", seconds=seconds)
        case 4:
            # a mailing list breaks the signature
            broken = fine | {"spf": "pass", "dkim": [{"result": "fail", "domain": domain}], "dmarc": "fail"}
            broken |= {"name": "lists.example", "arc": "pass"}
            rule = {"kind_of_rule": "rule", "rule": "rules.our-lists", "client": "192.0.2.77"}
            return record(at, seconds=seconds, results=broken, **rule)
        case 5:
            softfail = fine | {"spf": "softfail"}
            return record(at, seconds=seconds, results=softfail, monitored=["rules.strict-spf:tag"], would="tag")
        case 6:
            silent = fine | {"dmarc": "temperror", "spf": "temperror", "mail_from": "slow.example"}
            setting = {"kind_of_rule": "setting", "rule": "dmarc.temperror", "verdict": "defer"}
            return record(at, seconds=10.2, results=silent, **setting)
        case _:
            limited = fine | {"spf": "permerror", "limit": "spf_terms"}
            return record(at, seconds=seconds, results=limited)
