"""Rows and policies of reports as text for a column: JSON in ASCII, the same for the same row."""

from __future__ import annotations

import json
from hashlib import blake2b

from ..aggregate import Disposition, Override, Policy, Reason, Row, Signature, Spf

# json.dumps makes an encoder for each call
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def of_row(row: Row) -> str:
    """A row as text."""
    return _encode(row)


def row(text: str) -> Row:
    """The row that a text stands for."""
    source_ip, header_from, envelope_from, disposition, dkim, spf, reasons, signatures, spf_result = json.loads(text)
    return Row(
        source_ip,
        header_from,
        envelope_from,
        Disposition(disposition),
        dkim,
        spf,
        tuple(Reason(Override(word), comment) for word, comment in reasons),
        tuple(Signature(*each) for each in signatures),
        spf_result and Spf(*spf_result),
    )


def of_policy(policy: Policy) -> str:
    """A policy as text, without its domain."""
    return _encode(policy[1:])


def policy(domain: str, text: str) -> Policy:
    """The policy of a domain that a text stands for."""
    return Policy(domain, *json.loads(text))


def key(*texts: str) -> str:
    """32 hexadecimal digits for texts: the same for the same ones."""
    return blake2b("\n".join(texts).encode(), digest_size=16).hexdigest()
