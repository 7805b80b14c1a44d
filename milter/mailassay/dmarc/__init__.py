"""DMARC, RFC 9989: what the owner of the author domain asks receivers to do, and whether that applies."""

from .discovery import Remembered, questions, the_record
from .evaluate import AuthorPolicy, Dmarc, Fault, How, Identifier, check, policies, resinfo
from .record import Disposition, Record
from .suffix import top_level

__all__ = [
    "AuthorPolicy",
    "Disposition",
    "Dmarc",
    "Fault",
    "How",
    "Identifier",
    "Record",
    "Remembered",
    "check",
    "policies",
    "questions",
    "resinfo",
    "the_record",
    "top_level",
]
