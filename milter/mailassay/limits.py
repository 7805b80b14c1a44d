"""The caps on everything whose size a sender chooses, and the result if a cap is exceeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from .config_key import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The ``limits:`` of a policy. Exceeding a limit never leads to a pass.

    The bounds are the lowest and the highest sensible value. A limit that an RFC demands can always be set.
    """

    header_fields: Annotated[
        int,
        Key(
            "Header fields of one message. If there are more, DMARC fails as if the author domain asked for rejection.",
            50,
            100_000,
        ),
    ] = 1000
    header_octets: Annotated[
        int,
        Key(
            "Octets of one message's header section. If there are more, DMARC fails as if the author domain asked for "
            "rejection.",
            10_000,
            100_000_000,
        ),
    ] = 1_000_000
    from_fields: Annotated[
        int, Key("From fields. If there are more, DMARC fails as if the author domain asked for rejection.", 1, 100)
    ] = 8
    from_octets: Annotated[
        int,
        Key(
            "Octets of all From fields together. If there are more, DMARC fails as if the author domain asked for "
            "rejection. The same applies if a line of From, or the name of any header field, is longer than 998 "
            "octets, since an MTA that sends the message on breaks it; and if From has more than 1000 words and "
            "special characters.",
            1000,
            100_000,
        ),
    ] = 4096
    from_domains: Annotated[
        int, Key("Author domains. If there are more, DMARC fails as if one of them asked for rejection.", 1, 100)
    ] = 8
    forged_fields: Annotated[
        int,
        Key(
            "Forged fields with our authserv-id or of a name that the policy writes, all of which are removed. If "
            "there are more, the message is rejected, even if `mode` is `monitor`.",
            100,
            10_000,
        ),
    ] = 1000
    results_octets: Annotated[
        int,
        Key(
            "Octets of Authentication-Results fields, from the top. Fields beyond are removed unread, and so are "
            "those beyond 1000 parentheses, quotes and backslashes in total; each field counts as four more.",
            10_000,
            10_000_000,
        ),
    ] = 32_768
    signatures: Annotated[int, Key("DKIM signatures, from the top. Further ones are ignored.", 1, 100)] = 10
    key_records: Annotated[int, Key("DKIM key records at one selector. Further ones are ignored.", 1, 20)] = 4
    key_bits: Annotated[int, Key("Bits of an RSA key. A larger key is a permerror.", 4096, 16_384)] = 8192
    signature_work: Annotated[
        int,
        Key(
            "The work of reading and verifying all DKIM signatures and then ARC, in units of about a microsecond. "
            "Beyond it, DKIM is permerror and ARC fails. Ten signatures and five ARC sets with 2048-bit keys take "
            "about 3000.",
            5000,
            10_000_000,
        ),
    ] = 18_000
    clock_tolerance: Annotated[
        int, Key("Seconds by which t= of a DKIM signature may be in the future, and x= in the past.", 0, 86_400)
    ] = 3600
    arc_sets: Annotated[
        int, Key("ARC sets. If there are more, the chain fails (RFC 8617 section 4.2.1 sets 50).", 1, 50)
    ] = 50
    spf_terms: Annotated[
        int, Key("SPF terms that cause DNS queries. More are a permerror (RFC 7208 section 4.6.4).", 10, 100)
    ] = 10
    spf_void_lookups: Annotated[
        int, Key("SPF lookups that find nothing. More are a permerror (RFC 7208 section 4.6.4).", 2, 100)
    ] = 2
    spf_mx_hosts: Annotated[
        int, Key("Hosts of one `mx` term of SPF. More are a permerror (RFC 7208 section 4.6.4).", 10, 100)
    ] = 10
    ptr_names: Annotated[
        int, Key("Names of the client's address, in alphabetical order. Further ones are ignored.", 1, 100)
    ] = 10
    dmarc_queries: Annotated[int, Key("DNS queries of one DMARC tree walk (RFC 9989 section 4.10).", 8, 100)] = 8
    identifiers: Annotated[
        int, Key("SPF and DKIM domains that may align with the author. Further ones are ignored.", 2, 200)
    ] = 20
    record_octets: Annotated[
        int,
        Key(
            "Octets of one record. A longer one is a permerror for SPF and DKIM, and no policy for DMARC.",
            1000,
            65_536,
        ),
    ] = 5120
    dns_questions: Annotated[
        int,
        Key(
            "DNS questions of one check of a message: iprev, SPF of MAIL FROM, SPF of HELO, ARC. Further ones are not "
            "asked; the result is then permerror, or a chain that fails. Other limits bound the questions for DMARC "
            "policies and DKIM keys.",
            50,
            10_000,
        ),
    ] = 150
    dns_octets: Annotated[
        int, Key("Octets of one DNS response. A larger one is not read, which is a permerror.", 4096, 65_535)
    ] = 20_480
    dns_records: Annotated[
        int,
        Key(
            "Records of one DNS response, CNAMEs included. A response with more is not read, which is a permerror.",
            50,
            5000,
        ),
    ] = 128
