"""Keys, the records that publish them, and messages signed: by dkimpy, or to any text of a signature field.

``canonical_body`` and ``canonical_field`` are RFC 6376 section 3.4 read plainly, over the whole, to hold ours against.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256


@dataclass(frozen=True)
class Key:
    """A key pair: ``private`` as dkimpy wants it, ``record`` as DNS publishes it."""

    algorithm: bytes
    private: bytes
    material: str

    @property
    def record(self) -> str:
        """The TXT record."""
        kind = "ed25519" if self.algorithm.startswith(b"ed25519") else "rsa"
        return f"v=DKIM1; k={kind}; p={self.material}"

    def sign(
        self,
        message: bytes,
        domain: str,
        selector: str = "sel",
        *,
        headers: list[bytes] | None = None,
        canonicalize: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
        identity: str | None = None,
        length: bool = False,
    ) -> bytes:
        """The message with a DKIM-Signature on top."""
        field = dkim.sign(
            message,
            selector.encode(),
            domain.encode(),
            self.private,
            signature_algorithm=self.algorithm,
            include_headers=headers,
            canonicalize=canonicalize,
            identity=identity.encode() if identity else None,
            length=length,
        )
        return bytes(field) + message

    def prove(self, signed: bytes) -> bytes:
        """The signature of these octets, in base64."""
        digest = sha256(signed).digest()
        if self.algorithm.startswith(b"ed25519"):
            return base64.b64encode(Ed25519PrivateKey.from_private_bytes(base64.b64decode(self.private)).sign(digest))
        return base64.b64encode(_loaded(self.private).sign(digest, PKCS1v15(), Prehashed(SHA256())))

    def seal(self, message: bytes, domain: str, authserv_id: str, selector: str = "arc") -> bytes:
        """The message with an ARC set on top; it must hold an Authentication-Results field of ``authserv_id``."""
        fields = dkim.arc_sign(message, selector.encode(), domain.encode(), self.private, authserv_id.encode())
        return b"".join(fields) + message


@cache
def _loaded(pem: bytes) -> RSAPrivateKey:
    # a test's own key needs no proof that its numbers are primes, which takes longer than a signature
    private = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, RSAPrivateKey)
    return private


@cache
def rsa_key(bits: int = 2048, name: str = "") -> Key:
    """An RSA key; ``name`` tells several of one size apart."""
    del name
    private = rsa.generate_private_key(65537, bits)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Key(b"rsa-sha256", pem, base64.b64encode(der).decode())


@cache
def ed25519_key(name: str = "") -> Key:
    """An Ed25519 key of this name. It is the same in every process, since tests are named by their parameters."""
    seed = sha256(b"a key for tests: " + name.encode()).digest()
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Key(b"ed25519-sha256", base64.b64encode(seed), base64.b64encode(public).decode())


TAGS = b" v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=sel; h=from:to:subject; bh={bh}; b={b}"
"""A signature as others write it."""


def written(
    message: bytes,
    value: bytes = TAGS,
    key: Key | None = None,
    *,
    name: bytes = b"DKIM-Signature",
    covered: Iterable[bytes] = (b"from", b"to", b"subject"),
    relaxed: tuple[bool, bool] = (True, True),
    length: int | None = None,
    fold: Callable[[bytes], bytes] = bytes,
) -> bytes:
    """The message with a signature field of this value on top, right for what it says it is.

    ``{bh}`` and ``{b}`` stand for the hash of the body and the signature, which ``fold`` may fold. What is hashed is
    told by ``covered`` (the names of the fields, in order, each name's from the bottom), ``relaxed`` (header, body)
    and ``length`` (canonical octets of the body), whatever the value says.
    """
    head, _, body = message.partition(b"\r\n\r\n")
    fields = [(each.partition(b":")[0], each.partition(b":")[2]) for each in re.split(rb"\r\n(?![ \t])", head)]
    digest = sha256(canonical_body(body, relaxed=relaxed[1])[:length]).digest()
    before, _, after = value.replace(b"{bh}", base64.b64encode(digest)).partition(b"{b}")
    hashed = b""
    for wanted in covered:
        for place in range(len(fields) - 1, -1, -1):
            if fields[place][0].lower() == wanted:
                hashed += canonical_field(*fields.pop(place), relaxed=relaxed[0])
                break
    hashed += canonical_field(name, before + after, relaxed=relaxed[0]).removesuffix(b"\r\n")
    signature = (key or rsa_key()).prove(hashed)
    return name + b":" + before + fold(signature) + after + b"\r\n" + message


def arc_set(message: bytes, instance: int, domain: str, key: Key, **values: bytes) -> bytes:
    """The message with an ARC set on top (RFC 8617 section 5.1); the sets below it are the chain that it goes on from.

    ``results``, ``message_signature``, ``seal`` are the values of the three fields where others are wanted than the
    usual; ``status`` is the cv= of the usual seal.
    """
    names = {"number": b"%d" % instance, "domain": domain.encode(), "algorithm": key.algorithm}
    names["status"] = values.get("status", b"pass" if instance > 1 else b"none")
    usual = {
        "results": b" i={number}; {domain}; spf=pass",
        "message_signature": b" i={number}; a={algorithm}; c=relaxed/relaxed; d={domain}; s=arc;"
        b" h=from:to:subject; bh={bh}; b={b}",
        "seal": b" i={number}; a={algorithm}; cv={status}; d={domain}; s=arc; b={b}",
    } | {kind: value for kind, value in values.items() if kind != "status"}
    for name, text in names.items():
        usual = {kind: value.replace(b"{%s}" % name.encode(), text) for kind, value in usual.items()}
    chain = [b"ARC-Authentication-Results", b"ARC-Message-Signature", b"ARC-Seal"]
    signed = written(message, usual["message_signature"], key, name=b"ARC-Message-Signature")
    signed = b"ARC-Authentication-Results:" + usual["results"] + b"\r\n" + signed
    covered = [name.lower() for name in chain * instance][:-1]
    return written(signed, usual["seal"], key, name=b"ARC-Seal", covered=covered)


def canonical_body(body: bytes, *, relaxed: bool) -> bytes:
    """RFC 6376 sections 3.4.3 and 3.4.4."""
    lines = body.split(b"\r\n")
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).removesuffix(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines) or (b"" if relaxed else b"\r\n")


def canonical_field(name: bytes, value: bytes, *, relaxed: bool) -> bytes:
    """RFC 6376 sections 3.4.1 and 3.4.2."""
    if not relaxed:
        return name + b":" + value + b"\r\n"
    value = re.sub(rb"[ \t]+", b" ", re.sub(rb"\r\n(?=[ \t])", b"", value))
    return name.lower().rstrip(b" \t") + b":" + value.strip(b" ") + b"\r\n"
