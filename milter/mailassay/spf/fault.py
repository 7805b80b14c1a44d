"""Why a result of SPF is no pass: the closed vocabulary beside the words of a reason."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """One word for each kind of cause; programs compare these, and never a reason."""

    # none (RFC 7208 sections 4.3 and 4.5)
    NO_DOMAIN = "no_domain"  # the identity is no domain name of two labels or more
    NO_RECORD = "no_record"
    NO_CLIENT = "no_client"  # it is not known from whom the operator's relay has the message
    # fail, softfail and neutral
    MATCHED = "matched"  # a term of the record says so
    NO_MATCH = "no_match"  # no term matches (section 4.7)
    # permerror
    SEVERAL_RECORDS = "several_records"
    SYNTAX = "syntax"
    INCLUDED_NO_RECORD = "included_no_record"  # the domain of an include or redirect has no record
    TERMS = "terms"  # more of them ask DNS than allowed (section 4.6.4)
    VOID_LOOKUPS = "void_lookups"
    MX_HOSTS = "mx_hosts"
    DOMAIN_SPEC = "domain_spec"  # one is longer than is looked at
    RECORD_SIZE = "record_size"
    LIMIT = "limit"  # one of ours on questions or answers
    # temperror
    NO_ANSWER = "no_answer"  # of DNS
