"""DKIM: parse the signatures, hash the body as it arrives, and verify. RFC 6376, 8301, 8463, 8616.

dkimpy reads tag lists and c=. Its ``verify`` is not used: it holds the whole body in memory, cannot tell a failed
lookup from a missing key, and is laxer than the RFCs in a dozen places (see DESIGN.md). Its canonicalization of header
fields is not used either, because it strips more than space and tab from their ends.
"""

from .body import Body, BodyDigest, BodyRequest
from .fault import Fault
from .header import HeaderHashes
from .signature import Signature, parse, signatures
from .verify import Dkim, check, resinfos
from .work import TooMuchWork, Work

__all__ = [
    "Body",
    "BodyDigest",
    "BodyRequest",
    "Dkim",
    "Fault",
    "HeaderHashes",
    "Signature",
    "TooMuchWork",
    "Work",
    "check",
    "parse",
    "resinfos",
    "signatures",
]
