"""What dkimpy reads of a signature: its tags, and the value of c=.

It is loaded with the first signature: dkimpy brings dnspython with it, and ``mailassay why`` reads none.
"""

from __future__ import annotations

from dkim.canonicalization import CanonicalizationPolicy, InvalidCanonicalizationPolicyError, Relaxed
from dkim.util import DuplicateTag, InvalidTagValueList, parse_tag_value

from .body import Canonicalization
from .fault import Fault
from .signature import BadSignature


def tag_list(value: bytes) -> dict[bytes, bytes]:
    """The tags of a tag=value list (RFC 6376 section 3.2). Raises :class:`BadSignature`."""
    try:
        tags: dict[bytes, bytes] = parse_tag_value(value)
    except DuplicateTag as error:
        raise BadSignature(Fault.SYNTAX, "a tag occurs twice") from error
    except InvalidTagValueList as error:
        raise BadSignature(Fault.SYNTAX, "not a tag=value list") from error
    return tags


def canonicalization(value: bytes) -> tuple[Canonicalization, Canonicalization]:
    """What c= says of the header fields and of the body (RFC 6376 section 3.5). Raises :class:`BadSignature`."""
    try:
        found = CanonicalizationPolicy.from_c_value(value)
    except InvalidCanonicalizationPolicyError as error:
        raise BadSignature(Fault.CANONICALIZATION, "c= names an unknown canonicalization") from error
    return _name(found.header_algorithm), _name(found.body_algorithm)


def _name(algorithm: type) -> Canonicalization:
    return "relaxed" if algorithm is Relaxed else "simple"
