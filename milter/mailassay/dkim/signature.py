"""Parse a DKIM-Signature field: RFC 6376 sections 3.2 and 3.5. The same code reads the two signatures of ARC."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container, Mapping
from typing import NamedTuple

from ..domain import BadDomain, Domain, a_labels
from ..limits import Limits
from ..message import Field, Headers
from .body import BodyRequest, Canonicalization
from .fault import Fault
from .work import TooMuchWork, Work, reading

ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}
"""The accepted algorithms, and the key type of each. RFC 8301 section 3.1 forbids rsa-sha1."""

_WHOLE_SIMPLE = BodyRequest("simple", None)
# the names of a list joined by "=", which no name has in it
_TAG_NAMES = re.compile(rb"(?:[A-Za-z][A-Za-z0-9_]*+(?:=(?!\Z)|\Z))*")
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FIELD_NAMES = re.compile(rb"[!-9;-~]+(?:[ \t\r\n]*:[ \t\r\n]*[!-9;-~]+)*")
_LOCAL_PART = re.compile(r'(?:[^\0- "(),:;<>@\[\\\]\x7f]*|"(?:[^\0-\x1f"\\\x7f]|\\[ -~])*")@')
_NUMBER = re.compile(rb"[0-9]{1,76}")
_WHITE_SPACE = b" \t\r\n"
_MAX_BASE64 = 4096  # characters; a signature with an RSA key of 16,384 bits has 2732
_MAX_IDENTITY = 1000  # characters; local-part, at sign and domain have 318 octets, each written in three at most


class BadSignature(ValueError):
    """The field is not a usable signature. The text says why in our own words; ``fault`` is its kind."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class Signature(NamedTuple):
    """One signature field.

    If ``problem`` is set, the field cannot be verified, ``fault`` is the kind of problem, and the rest is what could be
    read.
    ``identity`` is i= decoded (default ``@`` and the domain). ``algorithm`` is a= in lower case. ``header_names`` are
    the names of h=, in lower case and in their order; ``header_form`` is the canonicalization of these fields, and
    ``body`` has that of the body. ``signed_at`` and ``expires`` are in seconds since 1970.
    """

    field: Field
    problem: str = ""
    domain: Domain | None = None
    selector: str = ""
    identity: str = ""
    identity_domain: Domain | None = None
    algorithm: str = ""
    signature: bytes = b""
    b_text: str = ""
    body_hash: bytes = b""
    body: BodyRequest = _WHOLE_SIMPLE
    header_form: Canonicalization = "simple"
    header_names: tuple[bytes, ...] = ()
    signed_at: int | None = None
    expires: int | None = None
    fault: Fault | None = None

    @property
    def key_name(self) -> str:
        """The name of the key record: RFC 6376 section 3.6.2.1."""
        return f"{a_labels(self.selector)}._domainkey.{self.domain}"


def signatures(headers: Headers, limits: Limits, account: Work | None = None) -> tuple[Signature, ...]:
    """The DKIM signatures of a message, from the top. The cost of reading them is charged to ``account``."""
    account = account or Work(limits)
    return tuple(_paid(field, account) for field in headers.named(b"dkim-signature")[: limits.signatures])


def _paid(field: Field, account: Work) -> Signature:
    try:
        account.pay(reading(field.value))
    except TooMuchWork as error:
        return Signature(field, str(error), fault=Fault.LIMIT)
    return parse(field)


def tag_list(value: bytes) -> dict[bytes, bytes]:
    """The tags of a tag=value list (RFC 6376 section 3.2), without folding. Raises :class:`BadSignature`."""
    if _CONTROL.search(value):
        raise BadSignature(Fault.SYNTAX, "a control character in a tag=value list")
    from .by_dkimpy import tag_list as read

    tags = read(value.replace(b"\r\n", b""))
    if not _TAG_NAMES.fullmatch(b"=".join(tags)):
        raise BadSignature(Fault.SYNTAX, "not a tag=value list")
    return tags


def parse(field: Field) -> Signature:
    """Read a DKIM-Signature field; never raises."""
    try:
        tags = tag_list(field.value)
    except BadSignature as error:
        return Signature(field, str(error), fault=error.fault)
    signature = named(field, tags)
    if b"i" in tags:
        identity, identity_domain = _identity(tags[b"i"])
        signature = signature._replace(identity=identity, identity_domain=identity_domain)
    elif signature.domain:
        signature = signature._replace(identity=f"@{signature.domain}", identity_domain=signature.domain)
    try:
        demand(tags, b"v", b"a", b"b", b"bh", b"d", b"h", b"s")
        if tags[b"v"] != b"1":
            raise BadSignature(Fault.VERSION, "v= is not 1")
        if not _FIELD_NAMES.fullmatch(tags[b"h"]):
            raise BadSignature(Fault.SYNTAX, "h= is not a list of field names")
        signature = covering(proven(signature, tags), tags)
        identity_domain = signature.identity_domain
        if not (identity_domain and signature.domain and identity_domain.is_within(signature.domain)):
            raise BadSignature(Fault.IDENTITY, "i= is not within d=")
        if b"from" not in signature.header_names:
            raise BadSignature(Fault.FROM_NOT_SIGNED, "h= does not cover From")
        if b"q" in tags and b"dns/txt" not in words(tags[b"q"]):
            raise BadSignature(Fault.QUERY, "q= has no known query method")
    except BadSignature as error:
        return signature._replace(problem=str(error), fault=error.fault)
    return signature


def demand(tags: Container[bytes], *names: bytes) -> None:
    """Require these tags. Raises :class:`BadSignature` if one is missing."""
    for name in names:
        if name not in tags:
            raise BadSignature(Fault.MISSING_TAG, f"{name.decode()}= is missing")


def named(field: Field, tags: Mapping[bytes, bytes]) -> Signature:
    """A signature with the tags that identify it (d=, s=, a=, the text of b=), as far as they exist. Never raises."""
    return Signature(
        field,
        domain=_domain(tags.get(b"d", b"")),
        selector=text(tags.get(b"s", b"")),
        algorithm=text(tags.get(b"a", b"").lower()),
        b_text=text(tags.get(b"b", b"").translate(None, _WHITE_SPACE)),
    )


def proven(signature: Signature, tags: Mapping[bytes, bytes]) -> Signature:
    """Add what is needed to verify it: a=, b=, the name of the key, and t=. Raises :class:`BadSignature`."""
    if signature.algorithm not in ALGORITHMS:
        raise BadSignature(Fault.ALGORITHM, "a= names an algorithm that is not accepted")
    if not signature.domain:
        raise BadSignature(Fault.DOMAIN, "d= is not a domain name")
    try:
        Domain(signature.key_name)
    except BadDomain as error:
        raise BadSignature(Fault.SELECTOR, "s= and d= do not form a domain name") from error
    signed_at = number(tags[b"t"], "t=") if b"t" in tags else None
    return signature._replace(signature=base64_value(tags[b"b"], "b="), signed_at=signed_at)


def covering(signature: Signature, tags: Mapping[bytes, bytes], default: bytes = b"simple/simple") -> Signature:
    """Add what it covers and when it expires: c= (or ``default``), l=, bh=, h= and x=. Raises :class:`BadSignature`."""
    from .by_dkimpy import canonicalization

    header_form, body_form = canonicalization(tags.get(b"c", default).lower())
    expires = number(tags[b"x"], "x=") if b"x" in tags else None
    if signature.signed_at is not None and expires is not None and expires <= signature.signed_at:
        raise BadSignature(Fault.SYNTAX, "x= is not after t=")
    return signature._replace(
        expires=expires,
        header_form=header_form,
        body=BodyRequest(body_form, number(tags[b"l"], "l=") if b"l" in tags else None),
        body_hash=base64_value(tags[b"bh"], "bh="),
        header_names=words(tags[b"h"]),
    )


def words(value: bytes) -> tuple[bytes, ...]:
    """The words of a colon-separated list, in lower case because case does not matter (RFC 5234 section 2.3)."""
    return tuple([word.strip() for word in value.lower().split(b":")])


def text(value: bytes) -> str:
    """Octets from the sender as text, with U+FFFD for each that is not UTF-8."""
    return value.decode("utf-8", "replace")


def base64_value(value: bytes, tag: str) -> bytes:
    """The octets of a base64string, which may be folded (RFC 6376 section 2.10). Raises :class:`BadSignature`."""
    value = value.translate(None, _WHITE_SPACE)
    if len(value) > _MAX_BASE64:
        raise BadSignature(Fault.SYNTAX, f"{tag} is too long")
    try:
        decoded = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise BadSignature(Fault.SYNTAX, f"{tag} is not base64") from error
    if not decoded:
        raise BadSignature(Fault.SYNTAX, f"{tag} is empty")
    return decoded


def number(value: bytes, tag: str) -> int:
    """An unsigned decimal number of at most 76 digits. Raises :class:`BadSignature`."""
    if not _NUMBER.fullmatch(value):
        raise BadSignature(Fault.SYNTAX, f"{tag} is not a number")
    return int(value)


def _identity(value: bytes) -> tuple[str, Domain | None]:
    """i= decoded from dkim-quoted-printable (RFC 6376 section 2.11), and its domain, None if it is not an address.

    Both are empty if i= is longer than an address can be.
    """
    plain = value.translate(None, _WHITE_SPACE)
    if len(plain) > _MAX_IDENTITY:
        return "", None
    decoded = re.sub(rb"=([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), plain)
    local_part, _, domain = decoded.rpartition(b"@")
    is_one = _LOCAL_PART.fullmatch(f"{text(local_part)}@") and b"@" in decoded
    return text(decoded), _domain(domain) if is_one else None


def _domain(value: bytes) -> Domain | None:
    """A domain-name of d= or i=: at least two labels, no final dot (RFC 6376 section 3.5). None for other text."""
    try:
        domain = Domain(value.decode())
    except (BadDomain, UnicodeDecodeError):
        return None
    return domain if "." in domain and not value.endswith(b".") else None
