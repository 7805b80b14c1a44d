"""How much of what a sender controls is looked at, and what follows where there is more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The ``limits:`` of a policy. Nothing beyond a limit passes: each says what the result is.

    Whole header section: ``header_fields``, ``header_octets``; beyond, the author counts as unread, and DMARC fails as
    if the author domain asked to reject. So it is with ``from_fields``, ``from_octets`` (of all From fields together)
    and ``from_domains`` (distinct author domains), with more than 1000 words and marks in From, and with a line of From
    or a field name that an MTA breaks (998 octets, RFC 5322 section 2.1.1; no limit of ours). ``forged_fields`` in our
    own name are removed; with more of them a message is rejected in every mode, since what it costs the MTA to remove
    each grows with their number. ``results_octets`` of Authentication-Results fields, from the top, are searched for
    our name; those beyond are removed unread, as are those beyond the first thousand parentheses, quotes and
    backslashes.

    DKIM: ``signatures`` from the top, the rest is not there; ``key_records`` at one selector; ``key_bits`` of an RSA
    key, beyond which it is permerror; ``clock_tolerance`` in seconds, by which t= may be ahead and x= behind.
    DKIM and ARC together: ``signature_work`` in units of about a microsecond (``dkim.Work``), DKIM first; what would
    exceed it is not done, so that the signature is permerror and the chain fails.
    ARC: ``arc_sets``, beyond which the chain fails (RFC 8617 section 4.2.1 has 50).
    SPF: ``spf_terms`` that ask DNS, ``spf_void_lookups`` without an answer, beyond which it is permerror, and
    ``spf_mx_hosts`` of one mx (RFC 7208 section 4.6.4).
    SPF and iprev: ``ptr_names`` of one address, the rest is not there.
    DMARC: ``dmarc_queries`` of one tree walk (RFC 9989 section 4.10), ``identifiers`` that may align.
    ``record_octets`` of an SPF or key record, beyond which it is permerror, or of a DMARC record, which is then none.
    ``dns_questions`` of one check of a message: further ones are not asked. ``dns_octets`` and ``dns_records`` of one
    response, CNAMEs included: beyond, it is not read. Either is permerror, never temperror, and no policy there.
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
