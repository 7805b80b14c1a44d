"""Keys, the records that publish them, and messages signed by dkimpy."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


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

    def seal(self, message: bytes, domain: str, authserv_id: str, selector: str = "arc") -> bytes:
        """The message with an ARC set on top; it must hold an Authentication-Results field of ``authserv_id``."""
        fields = dkim.arc_sign(message, selector.encode(), domain.encode(), self.private, authserv_id.encode())
        return b"".join(fields) + message


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
    """An Ed25519 key."""
    del name
    private = Ed25519PrivateKey.generate()
    seed = private.private_bytes(
        serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Key(b"ed25519-sha256", base64.b64encode(seed), base64.b64encode(public).decode())
