"""DKIM signatures: parsed, their body hashes advanced with the body, verified. RFC 6376, 8301, 8463, 8616.

dkimpy reads tag lists and c=. Its ``verify`` is not used: it holds the whole body, cannot tell a lookup that failed
from a key that is not there, and is laxer than the RFCs in a dozen places (see DESIGN.md); nor is its canonicalization
of header fields, which takes more for white space than space and tab.
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
