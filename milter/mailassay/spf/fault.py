"""Why an SPF result is not a pass: a closed vocabulary for programs, in addition to the reason in words."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """One word for each kind of cause. Programs compare these words and never a reason."""

    # none (RFC 7208 sections 4.3 and 4.5)
    NO_DOMAIN = "no_domain"  # the identity is not a domain name of two labels or more
    NO_RECORD = "no_record"
    NO_CLIENT = "no_client"  # the client that gave the message to the operator's relay is not known
    # fail, softfail and neutral
    MATCHED = "matched"  # a term of the record matched and says so
    NO_MATCH = "no_match"  # no term matches (section 4.7)
    # permerror
    SEVERAL_RECORDS = "several_records"
    SYNTAX = "syntax"
    INCLUDED_NO_RECORD = "included_no_record"  # the domain of an include or redirect has no record
    TERMS = "terms"  # more terms ask DNS than are allowed (section 4.6.4)
    VOID_LOOKUPS = "void_lookups"
    MX_HOSTS = "mx_hosts"
    DOMAIN_SPEC = "domain_spec"  # a domain-spec is too long
    RECORD_SIZE = "record_size"
    LIMIT = "limit"  # one of our limits on questions or answers
    # temperror
    NO_ANSWER = "no_answer"  # from DNS
