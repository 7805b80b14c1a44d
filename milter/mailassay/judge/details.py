"""The results of the checks in full, as maps, lists and values of JSON: for ``check --json`` and for the history.

Every key is written out here, so renaming a field of a result does not change what programs read. The keys do not
change. Where a result takes a fixed form, its values can also be had without the keys, which costs a worker less.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from ..dkim import Dkim
from ..dmarc import Dmarc
from ..evidence import Evidence


class Form:
    """The keys of a kind of result, in the order of its values. ``fields`` has those whose field is named otherwise."""

    def __init__(self, *keys: str, **fields: str) -> None:
        self.keys = keys
        self.values = attrgetter(*(fields.get(key, key) for key in keys))

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """Values with their keys. Raises ValueError if there are too many or too few."""
        return dict(zip(self.keys, values, strict=True))


_IPREV = Form("result", "client_ip", "name", "reason", "limit", "names", "unanswered", "fault")
_SPF = Form("result", "scope", "domain", "mechanism", "reason", "limit", "fault")
_DKIM = Form(
    "result", "domain", "identity", "selector", "algorithm", "b_text", "bits", "testing", "partial", "reason", "limit",
    "fault",
)  # fmt: skip
_B_TEXT = _DKIM.keys.index("b_text")
_ARC = Form("result", "sealers", "oldest_pass", "reason", "fault")
_DMARC = Form(
    "result", "header_from", "policy", "tag", "found_at", "org_domain", "aligned", "testing", "ambiguous",
    "public_suffix", "at_stake", "reason", "readings", "fault",
    policy="disposition",
)  # fmt: skip
_IDENTIFIER = Form("method", "domain", "result")
_SENDER_DOMAIN = Form("result", "domain", "reason", "limit", "fault")
_DOUBT = Form("fault", "reason")
_EVIDENCE = Form(
    "iprev", "spf_helo", "spf_mail_from", "dkim", "arc", "dmarc", "authors", "sender_domain", "vouched", "mailing_list",
    "vouched_mail_from", "not_vouched",
)  # fmt: skip


def evidence(found: Evidence) -> dict[str, Any]:
    """The results of the checks on one message."""
    return named(values(found))


def values(found: Evidence, b_text: int | None = None) -> list[Any]:
    """The same without keys. ``b_text``: no more than so many characters of it."""
    result, client_ip, *of_iprev = _IPREV.values(found.iprev)
    return [
        [result, str(client_ip), *of_iprev],
        _SPF.values(found.spf_helo),
        _SPF.values(found.spf_mail_from) if found.spf_mail_from else None,
        [_of_dkim(each, b_text) for each in found.dkim],
        _ARC.values(found.arc),
        _of_dmarc(found.dmarc),
        found.authors,
        _SENDER_DOMAIN.values(found.sender_domain) if found.sender_domain else None,
        found.vouched,
        found.mailing_list,
        found.vouched_mail_from,
        found.not_vouched,
    ]


def _of_dkim(found: Dkim, b_text: int | None) -> list[Any]:
    values = list(_DKIM.values(found))
    values[_B_TEXT] = values[_B_TEXT][:b_text]
    return values


def _of_dmarc(found: Dmarc) -> list[Any]:
    *values, readings, fault = _DMARC.values(found)
    return [*values, [_of_dmarc(each) for each in readings], fault]


def named(values: Sequence[Any]) -> dict[str, Any]:
    """What :func:`values` gives, with its keys. Raises ValueError or TypeError if it is not of that form."""
    found = _EVIDENCE.named(values)
    found["iprev"] = _listed(_IPREV.named(found["iprev"]), "names", "unanswered")
    found["spf_helo"] = _SPF.named(found["spf_helo"])
    found["arc"] = _listed(_ARC.named(found["arc"]), "sealers")
    found["dmarc"] = _dmarc(found["dmarc"])
    found["dkim"] = [_DKIM.named(each) for each in found["dkim"]]
    for key, form in (("spf_mail_from", _SPF), ("sender_domain", _SENDER_DOMAIN), ("not_vouched", _DOUBT)):
        if found[key] is not None:
            found[key] = form.named(found[key])
    return found if found["authors"] is None else _listed(found, "authors")


def _dmarc(values: Sequence[Any]) -> dict[str, Any]:
    found = _DMARC.named(values)
    found["aligned"] = [_IDENTIFIER.named(each) for each in found["aligned"]]
    found["readings"] = [_dmarc(each) for each in found["readings"]]
    return found


def _listed(found: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        found[key] = list(found[key])
    return found


def identifier(found: Sequence[Any]) -> dict[str, Any]:
    """A domain that SPF or DKIM authenticated or could not decide on."""
    return _IDENTIFIER.named(found)
