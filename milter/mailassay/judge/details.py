"""The results of the checks in full, as maps, lists and values of JSON: for ``check --json`` and for the history.

Every key is written out here, so renaming a field of a result does not change what programs read. The keys do not
change.
"""

from __future__ import annotations

from typing import Any

from ..arc import Arc
from ..dkim import Dkim
from ..dmarc import Dmarc, Identifier
from ..evidence import Evidence
from ..iprev import Iprev
from ..sender_domain import SenderDomain
from ..spf import Spf


def evidence(found: Evidence) -> dict[str, Any]:
    """The results of the checks on one message."""
    doubt = found.not_vouched
    return {
        "iprev": _iprev(found.iprev),
        "spf_helo": _spf(found.spf_helo),
        "spf_mail_from": _spf(found.spf_mail_from) if found.spf_mail_from else None,
        "dkim": [_dkim(each) for each in found.dkim],
        "arc": _arc(found.arc),
        "dmarc": _dmarc(found.dmarc),
        "authors": None if found.authors is None else list(found.authors),
        "sender_domain": _sender_domain(found.sender_domain) if found.sender_domain else None,
        "vouched": found.vouched,
        "mailing_list": found.mailing_list,
        "vouched_mail_from": found.vouched_mail_from,
        "not_vouched": {"fault": doubt.fault, "reason": doubt.reason} if doubt else None,
    }


def _iprev(found: Iprev) -> dict[str, Any]:
    return {
        "result": found.result,
        "client_ip": str(found.client_ip),
        "name": found.name,
        "reason": found.reason,
        "limit": found.limit,
        "names": list(found.names),
        "unanswered": list(found.unanswered),
        "fault": found.fault,
    }


def _spf(found: Spf) -> dict[str, Any]:
    return {
        "result": found.result,
        "scope": found.scope,
        "domain": found.domain,
        "mechanism": found.mechanism,
        "reason": found.reason,
        "limit": found.limit,
        "fault": found.fault,
    }


def _dkim(found: Dkim) -> dict[str, Any]:
    return {
        "result": found.result,
        "domain": found.domain,
        "identity": found.identity,
        "selector": found.selector,
        "algorithm": found.algorithm,
        "b_text": found.b_text,
        "bits": found.bits,
        "testing": found.testing,
        "partial": found.partial,
        "reason": found.reason,
        "limit": found.limit,
        "fault": found.fault,
    }


def _arc(found: Arc) -> dict[str, Any]:
    return {
        "result": found.result,
        "sealers": list(found.sealers),
        "oldest_pass": found.oldest_pass,
        "reason": found.reason,
        "fault": found.fault,
    }


def _dmarc(found: Dmarc) -> dict[str, Any]:
    return {
        "result": found.result,
        "header_from": found.header_from,
        "policy": found.disposition,
        "tag": found.tag,
        "found_at": found.found_at,
        "org_domain": found.org_domain,
        "aligned": [identifier(each) for each in found.aligned],
        "testing": found.testing,
        "ambiguous": found.ambiguous,
        "public_suffix": found.public_suffix,
        "at_stake": found.at_stake,
        "reason": found.reason,
        "readings": [_dmarc(each) for each in found.readings],
        "fault": found.fault,
    }


def identifier(found: Identifier) -> dict[str, Any]:
    """A domain that SPF or DKIM authenticated or could not decide on."""
    return {"method": found.method, "domain": found.domain, "result": found.result}


def _sender_domain(found: SenderDomain) -> dict[str, Any]:
    return {
        "result": found.result,
        "domain": found.domain,
        "reason": found.reason,
        "limit": found.limit,
        "fault": found.fault,
    }
