"""Configurations of opendkim and rspamd with their keys, and what `mailassay migrate` makes of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mailassay import migrate
from mailassay.config import Settings, load
from mailassay.finding import Severity
from mailassay.migrate import Plan
from tests.lab.signing import pem


@cache
def pkcs1(name: str = "") -> bytes:
    """A key as opendkim-genkey(8) makes it."""
    private = load_pem_private_key(pem("rsa1024", name), None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@cache
def libsodium(name: str = "") -> bytes:
    """An Ed25519 key as rspamd makes it: the seed and the public key, in base64."""
    private = load_pem_private_key(pem("ed25519", name), None)
    assert isinstance(private, Ed25519PrivateKey)
    return base64.b64encode(private.private_bytes_raw() + private.public_key().public_bytes_raw())


def laid(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files; ``%FOLDER%`` in a text is the folder. Returns the path of the first."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        octets = content if isinstance(content, bytes) else content.replace("%FOLDER%", str(folder)).encode()
        path.write_bytes(octets)
    return folder / next(iter(files))


def domains(plan: Plan) -> dict[str, list[str]]:
    """The selectors of each domain."""
    return {domain: [use.selector for use in uses] for domain, uses in plan.domains.items()}


def said(plan: Plan, *severities: Severity) -> set[tuple[str, str, int]]:
    """Severity, code and line of the remarks."""
    wanted = severities or (Severity.ERROR, Severity.WARNING)
    return {(each.severity, each.code, each.place.line) for each in plan.remarks if each.severity in wanted}


def migrated(path: Path, folder: Path) -> Settings:
    """The settings that come out, with the keys, which are written to ``folder``/private."""
    plan, directory = migrate.read(str(path)), str(folder / "private")
    copies = migrate.copies(plan, directory)
    assert [*migrate.write(copies, directory)]
    config = folder / "mailassay.yaml"
    config.write_text("\n".join(migrate.lines(plan, directory)) + "\n")
    return load(str(config), keys=True)
