"""The caps on everything whose size a sender chooses, and the result if a cap is exceeded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The ``limits:`` of a policy. Exceeding a limit never leads to a pass; the result is given for each limit.

    Whole header section: ``header_fields`` and ``header_octets``. If one is exceeded, the author counts as unread, and
    DMARC fails as if the author domain asked to reject. The same happens beyond ``from_fields``, ``from_octets`` (all
    From fields together) and ``from_domains`` (distinct author domains), beyond 1000 words and special characters in
    From, and if a line of From or a field name is longer than the 998 octets of RFC 5322 section 2.1.1, so that an MTA
    breaks it. Up to ``forged_fields`` fields in our own name are removed. With more of them the message is rejected in
    every mode, because the MTA's cost of removing each field grows with their number. ``results_octets`` is how much of
    the Authentication-Results fields is searched for our name, from the top. Those beyond it are removed unread, and so
    are those beyond the first thousand parentheses, quotes and backslashes.

    DKIM: ``signatures`` are verified, from the top, and the rest are ignored. ``key_records`` are read at one selector.
    An RSA key of more than ``key_bits`` is permerror. ``clock_tolerance`` is in seconds: t= may be that far in the
    future, and x= that far in the past.
    DKIM and ARC together: ``signature_work`` is in units of about a microsecond (``dkim.Work``), and DKIM comes first.
    Work that would exceed it is not done: the signature is permerror, and the chain fails.
    ARC: a chain of more than ``arc_sets`` fails (RFC 8617 section 4.2.1 allows 50).
    SPF: more than ``spf_terms`` terms that ask DNS, more than ``spf_void_lookups`` lookups without an answer or more
    than ``spf_mx_hosts`` hosts of one mx are permerror (RFC 7208 section 4.6.4).
    SPF and iprev: ``ptr_names`` of one address are looked at, and the rest are ignored.
    DMARC: ``dmarc_queries`` are made in one tree walk (RFC 9989 section 4.10), and ``identifiers`` are tried for
    alignment.
    ``record_octets``: a longer SPF or key record is permerror, and a longer DMARC record counts as none.
    ``dns_questions``: one check of a message asks no more than these. ``dns_octets`` and ``dns_records``, CNAMEs
    included: a response with more is not read. Both lead to permerror, never to temperror, and for DMARC to no policy
    at that name.
    """

    header_fields: int = 1000
    header_octets: int = 1_000_000
    from_fields: int = 8
    from_octets: int = 4096
    from_domains: int = 8
    forged_fields: int = 1000
    results_octets: int = 32_768
    signatures: int = 10
    key_records: int = 4
    key_bits: int = 8192
    signature_work: int = 18_000
    clock_tolerance: int = 3600
    arc_sets: int = 50
    spf_terms: int = 10
    spf_void_lookups: int = 2
    spf_mx_hosts: int = 10
    ptr_names: int = 10
    dmarc_queries: int = 8
    identifiers: int = 20
    record_octets: int = 5120
    dns_questions: int = 150
    dns_octets: int = 20_480
    dns_records: int = 128
