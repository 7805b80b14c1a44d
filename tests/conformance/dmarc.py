"""DMARC: the examples of RFC 9989, and tables of others.

Inputs: ``header_from`` (or ``author_domain``, ``domain``) is the author; ``mail_from`` (or ``mail_from_domain``,
``identifier``) and ``dkim_d`` are domains that pass; in tables ``spf`` is one ``{result, domain}``, ``dkim`` a list of
them; ``record`` stands for a zone that holds nothing else. All are made true by DNS records and signatures (``facts``).

What ``expect`` says, and how it is seen from outside:

- ``dmarc``, ``policy`` (``effective``: after t=y): the result and policy.dmarc of our field;
- ``disposition``: ``pass``, or that policy on a message that fails;
- ``policy_record_at``: the log line;
- ``queries``: every question below ``_dmarc`` in the order they came, for a message without other identifiers;
- ``spf_aligned``, ``dkim_aligned``: whether a message passes for which only this identifier speaks;
- ``alignment``, ``spf_alignment``, ``dkim_alignment``: ``strict`` where it passes even if every record asks for strict
  alignment, ``relaxed`` where it passes otherwise, else ``none``;
- ``org_domain``, ``org_author``, ``org_spf``, ``org_dkim``: the shortest name above the author, or the other domain as
  an author, with which it aligns.

An expectation of another name is not met.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .bench import Bench, Case
from .facts import Facts


def cases(path: Path) -> list[Case]:
    """The cases of a file."""
    return [_case(each) for each in json.loads(path.read_text())]


def _case(case: dict[str, Any]) -> Case:
    expect: dict[str, Any] = {name: value for name, value in case["expect"].items() if name != "note"}
    facts = _facts(case)

    def replay(bench: Bench) -> Iterable[str]:
        for name, expected in expect.items():
            if (got := _found(bench, facts, name)) != expected:
                yield f"{name}: got {got}, expected {expected}"

    return Case(case["id"], replay)


def _facts(case: dict[str, Any]) -> Facts:
    author = _domain(case, "header_from", "author_domain", "domain") or "example.com"
    zone = {f"_dmarc.{author}": {"TXT": [case["record"]]}} if "record" in case else case["zone"]
    spf, dkim = case.get("spf"), case.get("dkim") or []
    if not isinstance(spf, dict):
        domain = _domain(case, "mail_from", "mail_from_domain", "identifier")
        spf = {"domain": domain, "result": "pass"} if domain else None
    if not isinstance(dkim, list) or "dkim_d" in case:
        dkim = [{"domain": case["dkim_d"], "result": "pass"}]
    return Facts(
        author,
        (spf["domain"], spf["result"]) if spf else None,
        tuple((each["domain"], each["result"]) for each in dkim),
        zone,
    )


def _domain(case: dict[str, Any], *names: str) -> str:
    return next((str(case[name]).rpartition("@")[2] for name in names if name in case), "")


def _found(bench: Bench, facts: Facts, name: str) -> object:
    """What an expectation of that name is compared with."""
    match name:
        case "dmarc":
            return facts.judge(bench).result("dmarc")
        case "policy" | "effective":
            return facts.judge(bench).property("dmarc", "policy.dmarc")
        case "disposition":
            judged = facts.judge(bench)
            result = judged.result("dmarc")
            return judged.property("dmarc", "policy.dmarc") if result == "fail" else result
        case "policy_record_at":
            return facts.judge(bench).entry.get("policy_at")
        case "queries":
            asked = Facts(facts.author, zone=facts.zone).judge(bench).asked
            return [owner for owner, _ in asked if owner.startswith("_dmarc.")]
        case "spf_aligned" | "dkim_aligned":
            return _alignment(bench, facts, name) != "none"
        case "alignment" | "spf_alignment" | "dkim_alignment":
            return _alignment(bench, facts, name)
        case "org_domain" | "org_author":
            return _organization(bench, facts, facts.author)
        case "org_spf" if facts.spf:
            return _organization(bench, facts, facts.spf[0])
        case "org_dkim" if facts.dkim and facts.dkim[0][0]:
            return _organization(bench, facts, facts.dkim[0][0])
    return "nothing that is known of here"


def _alignment(bench: Bench, facts: Facts, name: str) -> str:
    alone = replace(facts, spf=None) if name.startswith("dkim") else replace(facts, dkim=())
    strict = {
        owner: {**types, "TXT": [f"{''.join(text)}; aspf=s; adkim=s" for text in types["TXT"]]}
        if owner.startswith("_dmarc.") and "TXT" in types
        else types
        for owner, types in facts.zone.items()
    }
    if alone.judge(bench).result("dmarc") != "pass":
        return "none"
    return "strict" if replace(alone, zone=strict).judge(bench).result("dmarc") == "pass" else "relaxed"


def _organization(bench: Bench, facts: Facts, domain: str) -> str:
    labels = domain.split(".")
    found = "none"
    for at in range(len(labels)):
        above = ".".join(labels[at:])
        if Facts(domain, (above, "pass"), zone=facts.zone).judge(bench).result("dmarc") == "pass":
            found = above
    return found
