"""Why a signature fails, or is of no use to DMARC: a closed vocabulary for programs, beside the reason in words."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """One word for each kind of cause. Programs compare these words and never a reason."""

    # the signature field (RFC 6376 sections 3.5 and 6.1.1)
    SYNTAX = "syntax"  # it is not a tag=value list, or a tag has an invalid value
    MISSING_TAG = "missing_tag"
    VERSION = "version"
    ALGORITHM = "algorithm"  # a= is not accepted (RFC 8301)
    CANONICALIZATION = "canonicalization"
    DOMAIN = "domain"  # d= is not a domain name
    SELECTOR = "selector"  # s= and d= do not form a domain name
    IDENTITY = "identity"  # i= is not within d=, or the key forbids subdomains (t=s)
    FROM_NOT_SIGNED = "from_not_signed"
    QUERY = "query"  # q= has no known query method
    FUTURE = "future"
    EXPIRED = "expired"
    # the key (sections 3.6.1 and 6.1.2)
    NO_ANSWER = "no_answer"  # from DNS
    NO_KEY = "no_key"
    REVOKED = "revoked"
    KEY_SYNTAX = "key_syntax"  # the record, or the key in it, cannot be read
    KEY_USE = "key_use"  # h= or s= of the record do not allow this use
    KEY_TYPE = "key_type"  # k= is unknown, or does not match a=
    KEY_SIZE = "key_size"  # fewer bits than RFC 8301 allows, or more than our limit
    KEY_UNSAFE = "key_unsafe"  # anybody can sign for it
    # the message (section 6.1.3)
    LENGTH = "length"  # l= is larger than the body
    BODY = "body"  # the body was changed
    REPEATED_FIELD = "repeated_field"  # a further field is not signed (section 8.15)
    HEADER = "header"  # the signature does not match the header
    # the signature passes, but DMARC cannot use it
    TESTING = "testing"  # the key says t=y
    PARTIAL = "partial"  # l= leaves a part of the body unsigned
    LIMIT = "limit"  # one of our limits on questions, answers or work
