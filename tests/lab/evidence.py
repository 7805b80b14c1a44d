"""The evidence in a record, made from few words about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PASS: dict[str, Any] = {"result": "pass", "domain": "bank.example"}  # a signature


def evidence(
    *,
    client: str = "192.0.2.1",
    iprev: str = "pass",
    name: str = "mail.bank.example",
    spf: str = "pass",
    mail_from: str | None = "bank.example",
    spf_helo: str = "none",
    helo: str = "mail.bank.example",
    dkim: Iterable[Mapping[str, Any]] = (PASS,),
    arc: str = "none",
    dmarc: str = "pass",
    header_from: str | None = "bank.example",
    policy: str | None = None,
    sender_domain: str | None = None,
    limit: str = "",
) -> dict[str, Any]:
    """What ``judge.details`` makes of such results, with its keys.

    ``mail_from`` is None for a null reverse-path. Each of ``dkim`` has what is not usual of a signature. ``limit`` is
    the one from which the result of SPF comes.
    """
    of_spf = {"mechanism": "", "reason": "", "limit": limit, "fault": None}
    sender = sender_domain and {
        "result": sender_domain, "domain": mail_from or "", "reason": "", "limit": "", "fault": None,
    }  # fmt: skip
    usual = {
        "identity": "", "selector": "sel", "algorithm": "rsa-sha256", "b_text": "", "bits": 2048, "testing": False,
        "partial": False, "reason": "", "limit": "", "fault": None,
    }  # fmt: skip
    return {
        "iprev": {
            "result": iprev, "client_ip": client, "name": name, "reason": "", "limit": "", "names": [],
            "unanswered": [], "fault": None,
        },
        "spf_helo": {"result": spf_helo, "scope": "helo", "domain": helo, **of_spf, "limit": ""},
        "spf_mail_from": mail_from and {"result": spf, "scope": "mailfrom", "domain": mail_from, **of_spf},
        "dkim": [{"domain": None, **usual, **each} for each in dkim],
        "arc": {"result": arc, "sealers": [], "oldest_pass": None, "reason": "", "fault": None},
        "dmarc": {
            "result": dmarc, "header_from": header_from, "policy": policy, "tag": "p", "found_at": None,
            "org_domain": None, "aligned": [], "testing": False, "ambiguous": False, "public_suffix": None,
            "at_stake": "none", "reason": "", "readings": [], "fault": None,
        },
        "authors": [header_from or ""], "sender_domain": sender, "vouched": "", "mailing_list": False,
        "vouched_mail_from": "", "not_vouched": None,
    }  # fmt: skip
